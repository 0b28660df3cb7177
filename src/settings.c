/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The configuration parameters chpg.*, their units, ranges and defaults.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "ascii.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

int			chpg_cache_size = 32 * 1024;
int			chpg_cache_ttl = 10000;
int			chpg_command_lag = 120000;
int			chpg_connect_timeout = 10000;
bool		chpg_dry_run = false;
int			chpg_max_concurrency = 8;
int			chpg_max_requests = 10000;
int			chpg_max_response_size = 64 * 1024;
int			chpg_max_retries = 3;
int			chpg_max_wait = 60000;
int			chpg_on_service_error = CHPG_SERVICE_ERROR;
int			chpg_request_timeout = 30000;
char	   *chpg_server = NULL;
char	   *chpg_webhook_addresses = NULL;

static const struct config_enum_entry on_service_error_options[] = {
	{"error", CHPG_SERVICE_ERROR, false},
	{"warning", CHPG_SERVICE_WARNING, false},
	{NULL, 0, false}
};

#define SETTING_PREFIX		"chpg."

/* Unknown settings that an error names */
#define MAX_NAMED_SETTINGS	5

/* Settings of earlier versions, which ALTER ROLE or ALTER DATABASE may still set */
static const char *const removed_settings[] = {"chpg.default_window"};

/*
 * Settings chpg.* that do not exist, but were set before the library was loaded, or
 * in another case: the first ones, and their number.  If the postmaster loads the
 * library, its backends inherit what it has noted.
 */
typedef struct UnknownSetting
{
	char	   *name;
	GucSource	source;
} UnknownSetting;

static UnknownSetting unknown_settings[MAX_NAMED_SETTINGS];
static int	unknown_settings_count = 0;

/* Did the postmaster load the library, and note them? */
static bool noted_at_start = false;

/* Is it a setting of an earlier version? */
static bool
is_removed_setting(const char *name)
{
	for (int i = 0; i < lengthof(removed_settings); i++)
	{
		if (chpg_same_in_any_case(name, removed_settings[i]))
			return true;
	}
	return false;
}

/*
 * Is it a setting chpg.* that has a value, and that no library has defined?
 */
static bool
is_unknown_setting(const struct config_generic *setting)
{
	return (setting->flags & GUC_CUSTOM_PLACEHOLDER) != 0 &&
		setting->source != PGC_S_DEFAULT &&
		chpg_begins_in_any_case(setting->name, SETTING_PREFIX) &&
		!is_removed_setting(setting->name);
}

/* Note an unknown setting, and where it was set, unless it is noted. */
static void
note_unknown_setting(const char *name, GucSource source)
{
	int			n = unknown_settings_count;

	for (int i = 0; i < Min(n, MAX_NAMED_SETTINGS); i++)
	{
		if (strcmp(unknown_settings[i].name, name) == 0)
			return;
	}
	unknown_settings_count++;
	if (n >= MAX_NAMED_SETTINGS)
		return;
	unknown_settings[n].name = MemoryContextStrdup(TopMemoryContext, name);
	unknown_settings[n].source = source;
}

/*
 * Note all unknown settings of this session.  Must be called once the known
 * ones are defined.
 */
static void
note_unknown_settings(void)
{
	int			number;
	struct config_generic **settings = chpg_list_settings(&number);

	for (int i = 0; i < number; i++)
	{
		if (is_unknown_setting(settings[i]))
			note_unknown_setting(settings[i]->name, settings[i]->source);
	}
	pfree(settings);
}

/* Note the unknown settings chpg.* in an array of "name=value". */
static void
note_unknown_of_list(ArrayType *list, GucSource source)
{
	Datum	   *items;
	int			count;

	deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &items, NULL,
					  &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = TextDatumGetCString(items[i]);

		name[strcspn(name, "=")] = '\0';
		if (chpg_begins_in_any_case(name, SETTING_PREFIX) &&
			GetConfigOption(name, true, false) == NULL &&
			!is_removed_setting(name))
			note_unknown_setting(name, source);
	}
}

/*
 * Note the unknown settings that ALTER ROLE or ALTER DATABASE has stored for this
 * session.  Where the postmaster has loaded the library, PostgreSQL leaves them out
 * at login, with a WARNING that a job does not read.
 */
static void
note_unknown_stored_settings(Oid database, Oid role, GucSource source)
{
	ScanKeyData keys[2];
	Relation	relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true,
							  NULL, lengthof(keys), keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		list = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										RelationGetDescr(relation), &isnull);

		if (!isnull)
			note_unknown_of_list(DatumGetArrayTypeP(list), source);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

/* List the unknown settings, for a message; palloc'd. */
static char *
unknown_setting_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < Min(unknown_settings_count, MAX_NAMED_SETTINGS); i++)
		appendStringInfo(&names, "%s\"%s\"", i > 0 ? ", " : "",
						 unknown_settings[i].name);
	if (unknown_settings_count > MAX_NAMED_SETTINGS)
		appendStringInfoString(&names, ", ...");
	return names.data;
}

/*
 * Return the beginning of the ALTER statement that has stored a setting; NULL
 * if it is not stored.
 */
static char *
storing_statement(GucSource source)
{
	const char *role = quote_identifier(GetUserNameFromId(GetSessionUserId(), false));
	const char *database = quote_identifier(get_database_name(MyDatabaseId));

	switch (source)
	{
		case PGC_S_GLOBAL:
			return "ALTER ROLE ALL";
		case PGC_S_DATABASE:
			return psprintf("ALTER DATABASE %s", database);
		case PGC_S_USER:
			return psprintf("ALTER ROLE %s", role);
		case PGC_S_DATABASE_USER:
			return psprintf("ALTER ROLE %s IN DATABASE %s", role, database);
		default:
			return NULL;
	}
}

/*
 * Append to a hint how to remove a setting from where it outlasts the session.
 * Once the library is loaded, PostgreSQL 15 to 18 refuse its name in RESET, too.
 */
static void
append_removal(StringInfo hint, const UnknownSetting *setting)
{
	const char *name = quote_identifier(setting->name);
	const char *statement = storing_statement(setting->source);

	if (statement != NULL)
	{
		if (noted_at_start)
			appendStringInfo(hint, " %s RESET ALL removes %s, and what else is stored there.",
							 statement, name);
		else
			appendStringInfo(hint, " In a session that has not called chpg yet: %s RESET %s.",
							 statement, name);
	}
	else if (setting->source >= PGC_S_ENV_VAR && setting->source < PGC_S_GLOBAL)
		appendStringInfo(hint, " Remove %s from the server's configuration, and %s.",
						 name, noted_at_start ? "restart the server" : "reload it");
}

/*
 * Was a setting set in this session, rather than for its role, its database or
 * the server?
 */
static bool
is_set_in_session(const char *name)
{
	int			number;
	struct config_generic **settings = chpg_list_settings(&number);
	bool		result = false;

	for (int i = 0; i < number && !result; i++)
		result = strcmp(settings[i]->name, name) == 0 &&
			settings[i]->source >= PGC_S_CLIENT;
	pfree(settings);
	return result;
}

void
chpg_check_dry_run_meant(void)
{
	StringInfoData hint;

	/* The prefix is reserved in lower case only. */
	note_unknown_settings();
	if (noted_at_start)
	{
		Oid			user = GetSessionUserId();

		note_unknown_stored_settings(MyDatabaseId, user, PGC_S_DATABASE_USER);
		note_unknown_stored_settings(InvalidOid, user, PGC_S_USER);
		note_unknown_stored_settings(MyDatabaseId, InvalidOid, PGC_S_DATABASE);
		note_unknown_stored_settings(InvalidOid, InvalidOid, PGC_S_GLOBAL);
	}
	if (unknown_settings_count == 0 || chpg_dry_run ||
		is_set_in_session("chpg.dry_run"))
		return;
	initStringInfo(&hint);
	appendStringInfoString(&hint, "SET chpg.dry_run = on shows changes, SET chpg.dry_run = off makes them.");
	for (int i = 0; i < Min(unknown_settings_count, MAX_NAMED_SETTINGS); i++)
		append_removal(&hint, &unknown_settings[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("set \"chpg.dry_run\" before any change: unknown settings %s",
					unknown_setting_names()),
			 errdetail("No request was sent. PostgreSQL accepts any name of a setting until chpg is loaded, also a misspelled one."),
			 errhint("%s", hint.data)));
}

/*
 * Throw error 22023 if chpg.dry_run was set to a value that is no boolean.
 * SET accepts any value until the library is loaded, which would drop it, and
 * changes would be made instead of shown.
 */
static void
check_dry_run(void)
{
	const char *value = GetConfigOption("chpg.dry_run", true, false);
	bool		parsed;

	if (value != NULL && !parse_bool(value, &parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" requires a Boolean value",
						"chpg.dry_run")));
}

/* How chpg.webhook_addresses is checked */
static bool (*is_network_list) (const char *text);

static bool
check_networks(char **value, void **extra, GucSource source)
{
	if (*value == NULL || is_network_list(*value))
		return true;
	GUC_check_errhint("Set a list of networks, such as 10.1.0.0/16, fd00::/8.");
	return false;
}

/* A setting that is a number. */
typedef struct NumberSetting
{
	const char *name;
	const char *purpose;
	const char *details;		/* or NULL */
	int		   *value;
	int			initial;
	int			lowest;
	int			highest;
	GucContext	context;
	int			flags;			/* its unit */
} NumberSetting;

static const NumberSetting number_settings[] = {
	{"chpg.cache_size",
		"Sets the size of the response cache, which all backends share.",
		"Read once, when the first response is cached. 0 disables the cache; other values are at least 1 MB.",
	&chpg_cache_size, 32 * 1024, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB},
	{"chpg.cache_ttl",
		"Sets the maximum age of a cached API response.",
		"0 disables cached and shared responses. The cache hides for as long that a key was revoked.",
	&chpg_cache_ttl, 10000, 0, 60 * 60 * 1000, PGC_USERSET, GUC_UNIT_MS},
	{"chpg.command_lag",
		"Sets how long after a command a wait ignores the state that the service had before it.",
		"A wait that has seen no other state by then ends with a warning.",
	&chpg_command_lag, 120000, 0, 60 * 60 * 1000, PGC_USERSET, GUC_UNIT_MS},
	{"chpg.connect_timeout",
		"Sets the maximum time to wait for a connection to the API.",
		"Covers name resolution, TCP and TLS.",
	&chpg_connect_timeout, 10000, 1, INT_MAX, PGC_USERSET, GUC_UNIT_MS},
	{"chpg.max_concurrency",
		"Sets the maximum number of concurrent requests of one call.",
		NULL,
	&chpg_max_concurrency, 8, 1, 64, PGC_USERSET, 0},
	{"chpg.max_requests",
		"Sets the maximum number of requests that one statement may send.",
		"A statement that is known to need more fails before it sends any. Retries do not count, and a COMMIT in a procedure starts a new count.",
	&chpg_max_requests, 10000, 1, INT_MAX, PGC_SUSET, 0},
	{"chpg.max_response_size",
		"Sets the maximum size of an API response, after decompression.",
		NULL,
	&chpg_max_response_size, 64 * 1024, 1, 512 * 1024, PGC_USERSET, GUC_UNIT_KB},
	{"chpg.max_retries",
		"Sets the maximum number of retries after a transient failure.",
		"Reads are retried, and changes that certainly were not carried out. Retries after a rate limit error (HTTP 429) do not count, unless this is 0.",
	&chpg_max_retries, 3, 0, 10, PGC_USERSET, 0},
	{"chpg.max_wait",
		"Sets the maximum time that a statement waits for the request budget, or a request for its next attempt.",
		"A statement that would wait longer for the budget fails at once.",
	&chpg_max_wait, 60000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS},
	{"chpg.request_timeout",
		"Sets the maximum time for one attempt at a request.",
		NULL,
	&chpg_request_timeout, 30000, 1, INT_MAX, PGC_USERSET, GUC_UNIT_MS}
};

void
chpg_define_settings(bool (*is_networks) (const char *text))
{
	is_network_list = is_networks;
	check_dry_run();

	for (int i = 0; i < lengthof(number_settings); i++)
	{
		const NumberSetting *setting = &number_settings[i];

		DefineCustomIntVariable(setting->name, setting->purpose, setting->details,
								setting->value, setting->initial,
								setting->lowest, setting->highest,
								setting->context, setting->flags,
								NULL, NULL, NULL);
	}

	DefineCustomBoolVariable("chpg.dry_run",
							 "Shows the changes that functions would make instead of making them.",
							 "Read requests are still sent.",
							 &chpg_dry_run,
							 false,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomEnumVariable("chpg.on_service_error",
							 "Sets whether a running service that cannot be read fails a read of the fleet.",
							 "With \"warning\", the rows of the other services are returned, and each failure is a WARNING. A service in another state never fails it.",
							 &chpg_on_service_error,
							 CHPG_SERVICE_ERROR, on_service_error_options,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("chpg.server",
							   "Sets the default server of calls.",
							   "In a SECURITY DEFINER function, only servers to which the function's owner gave a key can be selected.",
							   &chpg_server,
							   "",
							   PGC_USERSET, 0,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("chpg.webhook_addresses",
							   "Sets networks that webhooks may reach beside the public internet.",
							   "A list such as \"10.1.0.0/16, fd00::/8\". Without it, private, loopback and link-local addresses are refused.",
							   &chpg_webhook_addresses,
							   "",
							   PGC_SUSET, 0,
							   check_networks, NULL, NULL);

	note_unknown_settings();
	noted_at_start = process_shared_preload_libraries_in_progress;
	MarkGUCPrefixReserved("chpg");
}
