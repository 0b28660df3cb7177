/*-------------------------------------------------------------------------
 *
 * import.c
 *		IMPORT FOREIGN SCHEMA, and the descriptions of tables and columns.
 *
 * Columns have the types and comments of the row types' attributes, so that these are
 * written once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "compat.h"
#include "engine/connection.h"
#include "fdw/import.h"
#include "fdw/tables.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(chpg_table_columns);

/*
 * Call a function for each column of a resource, in order: for the parameters that rows
 * do not have, then for the attributes of the row type.
 */
static void
each_column(const ChpgResource *resource, TupleDesc rows,
			void (*act) (const ChpgResource *resource, const char *name, Oid type,
						 const char *comment, void *arg),
			void *arg)
{
	for (const char *const *name = resource->parameters; *name != NULL; name++)
	{
		const ChpgParameter *parameter = chpg_resource_parameter(resource, *name);

		act(resource, *name, chpg_parameter_type(parameter),
			chpg_parameter_comment(parameter), arg);
	}
	for (int i = 0; i < rows->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(rows, i);

		if (!attribute->attisdropped &&
			!chpg_is_listed(resource->hidden, NameStr(attribute->attname)))
			act(resource, NameStr(attribute->attname), attribute->atttypid,
				GetComment(attribute->attrelid, RelationRelationId, attribute->attnum),
				arg);
	}
}

/*
 * IMPORT FOREIGN SCHEMA
 */

static void
append_column(const ChpgResource *resource, const char *name, Oid type,
			  const char *comment, void *arg)
{
	StringInfo	command = (StringInfo) arg;

	appendStringInfo(command, "%s\n\t%s %s",
					 command->data[command->len - 1] == '(' ? "" : ",",
					 quote_identifier(name), format_type_be_qualified(type));
}

/*
 * Return the command that creates a foreign table of a resource; with the option
 * "window" unless that is NULL.
 */
static char *
create_table_command(const ImportForeignSchemaStmt *stmt, const ChpgResource *resource,
					 const char *name, const char *window, Oid server)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfo(&command, "CREATE FOREIGN TABLE %s (",
					 quote_qualified_identifier(stmt->local_schema, name));
	each_column(resource, chpg_resource_tupdesc(resource, server), append_column, &command);
	appendStringInfo(&command, "\n) SERVER %s OPTIONS (resource %s",
					 quote_identifier(stmt->server_name),
					 quote_literal_cstr(resource->name));
	if (window != NULL)
		appendStringInfo(&command, ", %s %s", quote_identifier("window"),
						 quote_literal_cstr(window));
	appendStringInfoChar(&command, ')');
	return command.data;
}

/* Throw HV00D for an option other than "window", 42601 for a second one. */
static void
check_import_options(const ImportForeignSchemaStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		const char *name = ((DefElem *) lfirst(lc))->defname;

		if (strcmp(name, "window") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", name),
					 errhint("Valid options in this context are: %s", "window")));
		if (foreach_current_index(lc) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("option \"%s\" provided more than once", name)));
	}
}

/* Throw HV00J if LIMIT TO names a table of latest rows: the import has no window. */
static void
check_recent(const ImportForeignSchemaStmt *stmt)
{
	ListCell   *lc;

	if (stmt->list_type != FDW_IMPORT_SCHEMA_LIMIT_TO)
		return;
	foreach(lc, stmt->table_list)
	{
		const char *name = ((RangeVar *) lfirst(lc))->relname;
		const ChpgResource *resource = NULL;

		if (strncmp(name, CHPG_RECENT, strlen(CHPG_RECENT)) == 0)
			resource = chpg_find_resource(name + strlen(CHPG_RECENT));
		if (resource != NULL && chpg_has_window(resource))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
					 errmsg("import of \"%s\" requires option \"%s\"", name, "window"),
					 errhint("Add OPTIONS (window '1 day').")));
	}
}

List *
chpgImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid server)
{
	List	   *commands = NIL;
	const char *window;

	if (strcmp(stmt->remote_schema, CHPG_REMOTE_SCHEMA) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				 errmsg("schema \"%s\" is not present on foreign server \"%s\"",
						stmt->remote_schema, stmt->server_name),
				 errhint("The only schema is \"%s\".", CHPG_REMOTE_SCHEMA)));
	check_import_options(stmt);
	window = chpg_get_option(stmt->options, "window");
	if (window != NULL)
		chpg_check_option("window", window);
	else
		check_recent(stmt);
	for (const ChpgResource *resource = chpg_resources; resource->name != NULL;
		 resource++)
	{
		char	   *recent = psprintf(CHPG_RECENT "%s", resource->name);

		if (IsImportableForeignTable(resource->name, stmt))
			commands = lappend(commands,
							   create_table_command(stmt, resource, resource->name,
													NULL, server));
		if (window != NULL && chpg_has_window(resource) &&
			IsImportableForeignTable(recent, stmt))
			commands = lappend(commands,
							   create_table_command(stmt, resource, recent, window,
													server));
	}
	return commands;
}

/*
 * Descriptions
 */

typedef struct DescriptionSink
{
	ReturnSetInfo *rsinfo;
	Oid			table;
} DescriptionSink;

/* Add a row to the result; name is NULL for the table itself. */
static void
put_description(DescriptionSink *sink, const char *name, const char *description)
{
	Datum		values[2] = {0};
	bool		nulls[2] = {name == NULL, false};

	if (name != NULL)
		values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(description);
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc, values, nulls);
}

static char *
interval_text(Interval * interval)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

/*
 * Return true if a column must be restricted.  Those that stand for parameters say so in
 * their own comments.
 */
static bool
needs_remark(const ChpgResource *resource, const char *name)
{
	ListCell   *lc;

	foreach(lc, chpg_required_columns(resource))
	{
		if (strcmp(lfirst(lc), name) == 0)
			return !chpg_is_listed(resource->parameters, name);
	}
	return false;
}

/*
 * Return the description of a bound of the window of a table with the option "window";
 * NULL for another column or table.
 */
static const char *
describe_own_bound(Oid table, const ChpgResource *resource, const char *name)
{
	const ChpgParameter *parameter = chpg_resource_parameter(resource, name);
	Interval   *window = chpg_table_window(table);

	if (parameter == NULL || window == NULL)
		return NULL;
	if (parameter->kind == CHPG_WINDOW_START)
		return psprintf("Start of the table's window: now() - interval '%s' in each row. A condition on it does not narrow the window.",
						interval_text(window));
	if (parameter->kind == CHPG_WINDOW_END)
		return "End of the table's window: now() in each row. A condition on it does not narrow the window.";
	return NULL;
}

/* Put the description of a column, if the table has the column. */
static void
put_column(const ChpgResource *resource, const char *name, Oid type,
		   const char *comment, void *arg)
{
	DescriptionSink *sink = (DescriptionSink *) arg;
	const char *own_bound = describe_own_bound(sink->table, resource, name);

	if (get_attnum(sink->table, name) == InvalidAttrNumber || comment == NULL)
		return;
	if (own_bound != NULL)
		comment = own_bound;
	else if (needs_remark(resource, name))
		comment = psprintf("%s Must be restricted: %s = ...%s, or a join.",
						   comment, name,
						   strcmp(name, "query_id") == 0 ? " or query_hex = ..." : "");
	put_description(sink, name, comment);
}

/* Return a sentence about the window: the table's own, or what the query must say. */
static char *
describe_window(Oid table, const ChpgResource *resource)
{
	Interval   *window = chpg_table_window(table);

	if (window != NULL)
		return psprintf(" Has the rows from now() - interval '%s' up to now().",
						interval_text(window));
	if (resource->ranges)
		return " Requires a window: \"timestamp\" >= ..., or from_date = ... or >= ...; it ends now unless the query says otherwise.";
	return " Requires a window: from_date = ... AND to_date = ..., or from_date >= ..., which ends now or with from_date < ....";
}

/* Put the description of the table: its rows, and what a query must restrict. */
static void
put_table(DescriptionSink *sink, const ChpgResource *resource, const char *comment)
{
	StringInfoData needs;
	List	   *names = chpg_required_columns(resource);

	initStringInfo(&needs);
	appendStringInfoString(&needs, comment);
	if (chpg_has_window(resource))
		appendStringInfoString(&needs, describe_window(sink->table, resource));
	else if (names != NIL)
		appendStringInfo(&needs, " Requires conditions on %s, by = or a join.",
						 chpg_join_names(chpg_name_alternatives(names, ""), "", "", ", ", " and "));
	put_description(sink, NULL, needs.data);
}

/* Return the resource of a table, which may be any; throw 42809 if it is not ours. */
static const ChpgResource *
resource_of(Oid table)
{
	if (get_rel_relkind(table) == RELKIND_FOREIGN_TABLE)
	{
		ForeignServer *server = GetForeignServer(GetForeignTable(table)->serverid);

		if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, CHPG_WRAPPER_NAME) == 0)
			return chpg_table_resource(table);
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a foreign table of the wrapper \"%s\"",
					get_rel_name(table) ? get_rel_name(table) : psprintf("%u", table),
					CHPG_WRAPPER_NAME)));
	return NULL;				/* keep compiler quiet */
}

/* SQL: chpg_table_columns(foreign_table) */
Datum
chpg_table_columns(PG_FUNCTION_ARGS)
{
	DescriptionSink sink = {
		.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,
		.table = DatumGetObjectId(DirectFunctionCall1(regclassin,
													  CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(0)))))
	};
	const ChpgResource *resource = resource_of(sink.table);
	TupleDesc	rows = chpg_resource_tupdesc(resource,
											 GetForeignTable(sink.table)->serverid);
	char	   *comment = GetComment(rows->tdtypeid, TypeRelationId, 0);

	InitMaterializedSRF(fcinfo, 0);
	if (comment != NULL)
		put_table(&sink, resource, comment);
	each_column(resource, rows, put_column, &sink);
	return (Datum) 0;
}
