/*-------------------------------------------------------------------------
 *
 * utility.c
 *		Running utility statements on servers and user mappings without showing secrets;
 *		and whether CALL lets a procedure end its transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "engine/connection.h"
#include "engine/utility.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

/* Options of user mappings: texts of statements show none of them, but for key_id. */
static const char *const secret_options[] = {"key_secret", "secret", "url"};

void
chpg_run_utility(Node *stmt, const char *text)
{
	PlannedStmt *planned = makeNode(PlannedStmt);

	planned->commandType = CMD_UTILITY;
	planned->utilityStmt = stmt;
	planned->stmt_location = -1;	/* the text has no other statement */
	ProcessUtility(planned, text, false, PROCESS_UTILITY_QUERY, NULL, NULL,
				   None_Receiver, NULL);
	CommandCounterIncrement();
}

static bool
is_secret(const char *option)
{
	for (int i = 0; i < lengthof(secret_options); i++)
	{
		if (strcmp(option, secret_options[i]) == 0)
			return true;
	}
	return false;
}

/* Append an option, with its action and its value, which "***" stands for in a secret. */
static void
append_option(StringInfo text, const DefElem *option)
{
	const char *action = option->defaction == DEFELEM_ADD ? "ADD " :
	option->defaction == DEFELEM_SET ? "SET " :
	option->defaction == DEFELEM_DROP ? "DROP " : "";

	appendStringInfo(text, "%s%s", action, quote_identifier(option->defname));
	if (option->arg != NULL)
		appendStringInfo(text, " %s",
						 quote_literal_cstr(is_secret(option->defname) ? "***" : strVal(option->arg)));
}

char *
chpg_statement_text(const char *command, const char *server, const char *rest,
					List *options)
{
	const char *separator = " OPTIONS (";
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s%s", command, quote_identifier(server), rest);
	foreach(lc, options)
	{
		appendStringInfoString(&text, separator);
		append_option(&text, (DefElem *) lfirst(lc));
		separator = ", ";
	}
	if (options != NIL)
		appendStringInfoChar(&text, ')');
	return text.data;
}

RoleSpec *
chpg_current_role(void)
{
	RoleSpec   *role = makeNode(RoleSpec);

	role->roletype = ROLESPEC_CURRENT_USER;
	role->location = -1;
	return role;
}

DefElem *
chpg_option_change(List *present, const char *name, char *value)
{
	DefElem    *change = makeDefElem(pstrdup(name),
									 value != NULL ? (Node *) makeString(value) : NULL, -1);

	change->defaction = value == NULL ? DEFELEM_DROP :
		chpg_get_option(present, name) != NULL ? DEFELEM_SET : DEFELEM_ADD;
	return change;
}

bool
chpg_is_nonatomic(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	return context != NULL && IsA(context, CallContext) &&
		!context->atomic && !IsSubTransaction();
}
