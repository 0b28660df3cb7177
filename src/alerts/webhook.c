/*-------------------------------------------------------------------------
 *
 * webhook.c
 *		Webhooks: their options, and the function that creates them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "alerts/webhook.h"
#include "ascii.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "engine/connection.h"
#include "engine/hide_statement.h"
#include "engine/trust.h"
#include "engine/utility.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Longer than any value in use. */
#define MAX_VALUE_LENGTH	1024

#define PAGERDUTY_URL		"https://events.pagerduty.com/v2/enqueue"

typedef struct WebhookOption
{
	const char *name;
	Oid			catalog;		/* whose objects take it */
	const char *remedy;			/* what to give */
	bool		(*is_valid) (const char *value);	/* NULL: one of the words */
	const char *const *words;	/* ends with NULL */
} WebhookOption;

static bool is_service(const char *value);
static bool is_tags(const char *value);
static bool is_quiet_hours(const char *value);
static bool is_ca_file(const char *value);
static bool is_url(const char *value);
static bool is_secret(const char *value);

static const char *const formats[] = {
	[CHPG_WEBHOOK_JSON] = "json",
	[CHPG_WEBHOOK_SLACK] = "slack",
	[CHPG_WEBHOOK_PAGERDUTY] = "pagerduty",
	NULL
};
static const char *const levels[] = {"WARN", "ERROR", NULL};
static const char *const kinds[] = {"incident", "risk", "notification", NULL};

/* In the order of the arguments of chpg_create_webhook() that follow its name. */
static const WebhookOption options[] = {
	{"format", ForeignServerRelationId, "json, slack or pagerduty", NULL, formats},
	{"url", UserMappingRelationId, "an https URL without user name and fragment", is_url},
	{"secret", UserMappingRelationId, "printable ASCII characters without spaces", is_secret},
	{"level", ForeignServerRelationId, "WARN or ERROR", NULL, levels},
	{"kind", ForeignServerRelationId, "incident, risk or notification, or omit it for incidents and risks", NULL, kinds},
	{"service", ForeignServerRelationId, "the id or the name of a service", is_service},
	{"tags", ForeignServerRelationId, "a JSON object of texts, such as {\"team\": \"sales\"}", is_tags},
	{"quiet_hours", ForeignServerRelationId, "two times and a time zone, such as 22:00-07:00 Europe/Berlin", is_quiet_hours},
	{"ca_file", ForeignServerRelationId, "the absolute path of a PEM file on the server's machine", is_ca_file}
};

PG_FUNCTION_INFO_V1(chpg_create_webhook);
PG_FUNCTION_INFO_V1(chpg_webhook_validator);

/*
 * Values of options
 */

/* Return the place of a word in a list, in any case; -1 if it is none of them. */
static int
find_word(const char *const *words, const char *value)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (chpg_same_in_any_case(value, words[i]))
			return i;
	}
	return -1;
}

static bool
is_service(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7F)
			return false;
	}
	return strlen(value) <= 100;
}

/* Throws the error of a text that is not JSON. */
static bool
is_tags(const char *value)
{
	Jsonb	   *tags = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(value)));
	JsonbIterator *it = JsonbIteratorInit(&tags->root);
	JsonbValue	item;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(tags))
		return false;
	while ((token = JsonbIteratorNext(&it, &item, false)) != WJB_DONE)
	{
		if (token == WJB_VALUE && item.type != jbvString)
			return false;
		if (token == WJB_BEGIN_ARRAY)
			return false;
	}
	return true;
}

/* Is this the time of a day, as in 07:30? */
static bool
is_time(const char *p)
{
	return chpg_is_digit(p[0]) && chpg_is_digit(p[1]) && p[2] == ':' &&
		chpg_is_digit(p[3]) && chpg_is_digit(p[4]) &&
		(p[0] - '0') * 10 + (p[1] - '0') < 24 && p[3] < '6';
}

static bool
is_quiet_hours(const char *value)
{
	return strlen(value) > 12 && strlen(value) < 100 &&
		is_time(value) && value[5] == '-' && is_time(value + 6) &&
		value[11] == ' ' && strncmp(value, value + 6, 5) != 0 &&
		pg_tzset(value + 12) != NULL;
}

/* Throws error 42501 for a role that may not read files. */
static bool
is_ca_file(const char *value)
{
	chpg_check_option("ca_file", value);
	return true;
}

/* Return what follows a host, the name or address of a URL; NULL if there is none. */
static const char *
skip_host(const char *p)
{
	bool		is_address = *p == '[';
	const char *begin = is_address ? ++p : p;

	while (chpg_is_letter(*p) || chpg_is_digit(*p) || *p == '.' ||
		   (is_address ? *p == ':' : *p == '-' || *p == '_'))
		p++;
	if (p == begin || (is_address && *p++ != ']'))
		return NULL;
	return p;
}

/* Return what follows the port, if a URL has one here; NULL if it cannot be one. */
static const char *
skip_port(const char *p)
{
	int			port = 0;

	if (*p != ':')
		return p;
	while (chpg_is_digit(*++p) && port <= PG_UINT16_MAX)
		port = port * 10 + (*p - '0');
	return port > 0 && port <= PG_UINT16_MAX ? p : NULL;
}

/* libcurl reads such a URL in one way only. */
static bool
is_url(const char *value)
{
	const char *p;

	if (strncmp(value, "https://", strlen("https://")) != 0)
		return false;
	p = skip_host(value + strlen("https://"));
	if (p != NULL)
		p = skip_port(p);
	if (p == NULL || (*p != '\0' && *p != '/' && *p != '?'))
		return false;
	for (; *p != '\0'; p++)
	{
		if (*p <= ' ' || *p >= 0x7F || strchr("#\"<>\\^`{|}", *p) != NULL)
			return false;
	}
	return true;
}

static bool
is_secret(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
	{
		if (*p <= ' ' || *p >= 0x7F)
			return false;
	}
	return true;
}

/* Is this a value of an option?  A word must be written as in the list. */
static bool
is_valid(const WebhookOption *option, const char *value)
{
	int			i;

	if (option->words == NULL)
		return *value != '\0' && strlen(value) <= MAX_VALUE_LENGTH && option->is_valid(value);
	i = find_word(option->words, value);
	return i >= 0 && strcmp(value, option->words[i]) == 0;
}

/* Throw error HV024 for an invalid value, which the message does not show. */
static void
check_value(const WebhookOption *option, const char *value)
{
	if (is_valid(option, value))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("invalid value for option \"%s\" of a webhook: give %s",
					option->name, option->remedy)));
}

/* Check an option of CREATE and ALTER.  Errors: HV00D for an unknown one, HV024. */
static void
check_option(const char *name, const char *value, Oid catalog)
{
	for (int i = 0; i < lengthof(options); i++)
	{
		if (options[i].catalog == catalog && strcmp(options[i].name, name) == 0)
		{
			check_value(&options[i], value);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\" of a webhook", name),
			 errhint("Create webhooks with chpg_create_webhook().")));
}

/* chpg_webhook_validator(options, catalog): checks the options of CREATE and ALTER */
Datum
chpg_webhook_validator(PG_FUNCTION_ARGS)
{
	List	   *given = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;

	foreach(lc, given)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		check_option(option->defname, defGetString(option), catalog);
	}
	PG_RETURN_VOID();
}

/*
 * Finding a webhook
 */

/* Return the server of that name, if it is a webhook; or NULL. */
static ForeignServer *
find_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL ||
		strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, CHPG_WEBHOOK_WRAPPER) != 0)
		return NULL;
	return server;
}

/* The options of the current user's own mapping, or NIL. */
static List *
own_options(const ForeignServer *server)
{
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(GetUserId()),
							   ObjectIdGetDatum(server->serverid)))
		return NIL;
	return GetUserMapping(GetUserId(), server->serverid)->options;
}

ChpgWebhook *
chpg_find_webhook(const char *name)
{
	ChpgWebhook *webhook = palloc0(sizeof(ChpgWebhook));
	ForeignServer *server = find_server(name);
	const char *format;
	List	   *own;

	if (server == NULL)
	{
		webhook->problem = "it does not exist";
		return webhook;
	}
	own = own_options(server);
	format = chpg_get_option(server->options, "format");
	webhook->format = format != NULL ? (ChpgWebhookFormat) Max(find_word(formats, format), 0) : CHPG_WEBHOOK_JSON;
	webhook->url = chpg_get_option(own, "url");
	webhook->secret = chpg_get_option(own, "secret");
	webhook->ca_file = chpg_get_option(server->options, "ca_file");

	/* The owner of a server may make the mappings of others. */
	if (!chpg_trusts(GetUserId(), server->owner))
		webhook->problem = "its owner is not trusted: create one of your own";
	else if (webhook->url == NULL)
		webhook->problem = "the role that sends has no URL for it";
	else if (webhook->format == CHPG_WEBHOOK_PAGERDUTY && webhook->secret == NULL)
		webhook->problem = "it has no routing key";
	return webhook;
}

/*
 * chpg_create_webhook
 */

/* Return argument i as text, palloc'd, or NULL. */
static char *
argument(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return NULL;
	if (get_fn_expr_argtype(fcinfo->flinfo, i) == JSONBOID)
		return DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(i)));
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* Return a value as the option's list of words has it, if one is meant. */
static char *
canonical(const WebhookOption *option, char *value)
{
	int			i = option->words != NULL ? find_word(option->words, value) : -1;

	return i >= 0 ? pstrdup(option->words[i]) : value;
}

/*
 * Read and check the arguments after the name: the values of all options.  Errors:
 * 22004 for a NULL, HV024, and 22023 for a secret that is missing, or of no use.
 */
static void
read_values(FunctionCallInfo fcinfo, char **values)
{
	for (int i = 0; i < lengthof(options); i++)
	{
		values[i] = argument(fcinfo, i + 1);
		if (values[i] == NULL)
			continue;
		values[i] = canonical(&options[i], values[i]);
		check_value(&options[i], values[i]);
	}
	if (values[0] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "format")));
	if (values[1] == NULL && find_word(formats, values[0]) == CHPG_WEBHOOK_PAGERDUTY)
		values[1] = PAGERDUTY_URL;
	if (values[1] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "url")));
	if (values[2] == NULL && find_word(formats, values[0]) == CHPG_WEBHOOK_PAGERDUTY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a webhook of format \"%s\" requires argument \"%s\"", values[0], "secret"),
				 errhint("Specify the integration key of the service's Events API v2 in PagerDuty.")));
	if (values[2] != NULL && find_word(formats, values[0]) == CHPG_WEBHOOK_SLACK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a webhook of format \"%s\" takes no argument \"%s\"", values[0], "secret"),
				 errhint("Slack's URL is the secret: omit the argument.")));
}

/*
 * Make the options of a CREATE statement (present is NULL), or the changes of an ALTER
 * statement, that leave an object of this catalog with these values.
 */
static List *
changed_options(Oid catalog, char *const *values, List **present)
{
	List	   *changes = NIL;

	for (int i = 0; i < lengthof(options); i++)
	{
		DefElem    *change;

		if (options[i].catalog != catalog ||
			(values[i] == NULL &&
			 (present == NULL || chpg_get_option(*present, options[i].name) == NULL)))
			continue;
		change = chpg_option_change(present != NULL ? *present : NIL, options[i].name, values[i]);
		if (present == NULL)
			change->defaction = DEFELEM_UNSPEC;
		changes = lappend(changes, change);
	}
	return changes;
}

/* Create the server of a webhook, or change the one that it has. */
static void
set_server(char *name, char *const *values, ForeignServer *server)
{
	if (server == NULL)
	{
		CreateForeignServerStmt *stmt = makeNode(CreateForeignServerStmt);

		stmt->servername = name;
		stmt->fdwname = CHPG_WEBHOOK_WRAPPER;
		stmt->options = changed_options(ForeignServerRelationId, values, NULL);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("CREATE SERVER", name,
											 " FOREIGN DATA WRAPPER " CHPG_WEBHOOK_WRAPPER,
											 stmt->options));
	}
	else
	{
		AlterForeignServerStmt *stmt = makeNode(AlterForeignServerStmt);

		stmt->servername = name;
		stmt->options = changed_options(ForeignServerRelationId, values, &server->options);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("ALTER SERVER", name, "", stmt->options));
	}
}

/* Create the current user's mapping for a webhook, or change the present one. */
static void
set_mapping(char *name, char *const *values)
{
	ForeignServer *server = GetForeignServerByName(name, false);
	List	   *present = own_options(server);

	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(GetUserId()),
							   ObjectIdGetDatum(server->serverid)))
	{
		CreateUserMappingStmt *stmt = makeNode(CreateUserMappingStmt);

		stmt->user = chpg_current_role();
		stmt->servername = name;
		stmt->options = changed_options(UserMappingRelationId, values, NULL);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("CREATE USER MAPPING FOR CURRENT_USER SERVER", name,
											 "", stmt->options));
	}
	else
	{
		AlterUserMappingStmt *stmt = makeNode(AlterUserMappingStmt);

		stmt->user = chpg_current_role();
		stmt->servername = name;
		stmt->options = changed_options(UserMappingRelationId, values, &present);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("ALTER USER MAPPING FOR CURRENT_USER SERVER", name,
											 "", stmt->options));
	}
}

/* Read the name of a webhook from argument 0.  Errors: 22004, 22023. */
static char *
webhook_name(FunctionCallInfo fcinfo)
{
	char	   *name = argument(fcinfo, 0);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "name")));
	if (*name == '\0' || strlen(name) >= NAMEDATALEN || !is_service(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", "name"),
				 errhint("Specify a name of 1 to %d bytes.", NAMEDATALEN - 1)));
	return name;
}

/* Let NOTICEs and WARNINGs say what a webhook is not going to get. */
static void
announce_gaps(FunctionCallInfo fcinfo, const char *name)
{
	char	   *schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);

	SPI_connect();
	if (SPI_execute_with_args(psprintf("SELECT %s._chpg_check_webhook($1)", quote_identifier(schema)),
							  1, &type, &value, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not query the webhooks");
	SPI_finish();
}

/*
 * chpg_create_webhook(name, format, url, secret, level, kind, service, tags,
 * quiet_hours, ca_file)
 */
Datum
chpg_create_webhook(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback;
	char	   *values[lengthof(options)];
	char	   *name;
	ForeignServer *server;

	chpg_hide_statement(&callback, "SELECT chpg_create_webhook(...)");
	chpg_warn_exposed("chpg_create_webhook");
	PreventCommandIfReadOnly("chpg_create_webhook()");
	name = webhook_name(fcinfo);
	read_values(fcinfo, values);
	server = find_server(name);
	if (server == NULL && GetForeignServerByName(name, true) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("server \"%s\" is not a webhook: choose another name", name)));
	/* The owner would go on to send to the URL that it has. */
	if (server != NULL && server->owner != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("webhook \"%s\" belongs to role \"%s\": choose another name",
						name, GetUserNameFromId(server->owner, false)),
				 errhint("Or change it as that role. Run: SET ROLE %s;",
						 quote_identifier(GetUserNameFromId(server->owner, false)))));
	set_server(name, values, server);
	set_mapping(name, values);
	announce_gaps(fcinfo, name);
	error_context_stack = callback.previous;
	PG_RETURN_VOID();
}
