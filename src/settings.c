/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The configuration parameters chpg.*, their units, ranges and defaults.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "ascii.h"
#include "commands/dbcommands.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

int			chpg_cache_size = 32 * 1024;
int			chpg_cache_ttl = 10000;
int			chpg_connect_timeout = 10000;
bool		chpg_dry_run = false;
int			chpg_max_concurrency = 8;
int			chpg_max_response_size = 64 * 1024;
int			chpg_max_retries = 3;
int			chpg_max_wait = 60000;
int			chpg_on_service_error = CHPG_SERVICE_ERROR;
int			chpg_request_timeout = 30000;
char	   *chpg_server = NULL;

static const struct config_enum_entry on_service_error_options[] = {
	{"error", CHPG_SERVICE_ERROR, false},
	{"warning", CHPG_SERVICE_WARNING, false},
	{NULL, 0, false}
};

#define SETTING_PREFIX		"chpg."

/* Unknown settings that are named in an error. */
#define MAX_NAMED_SETTINGS	5

/* Settings of earlier versions, which ALTER ROLE or ALTER DATABASE may have left. */
static const char *const removed_settings[] = {"chpg.default_window"};

/*
 * Settings chpg.* that were set before the library was loaded, and do not exist:
 * the first ones, and how many there are.  The postmaster's backends inherit them.
 */
typedef struct UnknownSetting
{
	char	   *name;
	GucSource	source;
} UnknownSetting;

static UnknownSetting unknown_settings[MAX_NAMED_SETTINGS];
static int	unknown_settings_count = 0;

/* Were they noted by the postmaster, which loads the library once? */
static bool noted_at_start = false;

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

/* One that no library has defined, and that has a value now. */
static bool
is_unknown_setting(const struct config_generic *setting)
{
	return (setting->flags & GUC_CUSTOM_PLACEHOLDER) != 0 &&
		setting->source != PGC_S_DEFAULT &&
		chpg_begins_in_any_case(setting->name, SETTING_PREFIX) &&
		!is_removed_setting(setting->name);
}

/* To be called once all that exist are defined. */
static void
note_unknown_settings(void)
{
	int			number;
	struct config_generic **settings = chpg_list_settings(&number);

	for (int i = 0; i < number; i++)
	{
		int			n = unknown_settings_count;

		if (!is_unknown_setting(settings[i]))
			continue;
		unknown_settings_count++;
		if (n >= MAX_NAMED_SETTINGS)
			continue;
		unknown_settings[n].name = MemoryContextStrdup(TopMemoryContext,
													   settings[i]->name);
		unknown_settings[n].source = settings[i]->source;
	}
	noted_at_start = process_shared_preload_libraries_in_progress;
	pfree(settings);
}

/* Name the settings that do not exist, for a message. */
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
 * Append to a hint how to remove a setting from where it outlasts the session.
 * Once the library is loaded, PostgreSQL 15 to 18 refuse its name in RESET, too.
 */
static void
append_removal(StringInfo hint, const UnknownSetting *setting)
{
	const char *reset = " In a session that has not called chpg yet: %s RESET %s.";
	const char *name = quote_identifier(setting->name);

	switch (setting->source)
	{
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
			appendStringInfo(hint, " Remove %s from the server's configuration, and %s.",
							 name, noted_at_start ? "restart the server" : "reload it");
			break;
		case PGC_S_GLOBAL:
			appendStringInfo(hint, reset, "ALTER ROLE ALL", name);
			break;
		case PGC_S_DATABASE:
			appendStringInfo(hint, reset,
							 psprintf("ALTER DATABASE %s",
									  quote_identifier(get_database_name(MyDatabaseId))),
							 name);
			break;
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
			appendStringInfo(hint, reset,
							 psprintf("ALTER ROLE %s%s%s",
									  quote_identifier(GetUserNameFromId(GetSessionUserId(), false)),
									  setting->source == PGC_S_USER ? "" : " IN DATABASE ",
									  setting->source == PGC_S_USER ? "" :
									  quote_identifier(get_database_name(MyDatabaseId))),
							 name);
			break;
		default:
			break;				/* it ends with the session */
	}
}

/* Was it set for this session, and not for its role or database, say? */
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

	if (unknown_settings_count == 0 || chpg_dry_run ||
		is_set_in_session("chpg.dry_run"))
		return;
	initStringInfo(&hint);
	appendStringInfoString(&hint, "SET chpg.dry_run = on shows changes, SET chpg.dry_run = off makes them.");
	for (int i = 0; i < Min(unknown_settings_count, MAX_NAMED_SETTINGS); i++)
		append_removal(&hint, &unknown_settings[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("set \"chpg.dry_run\" before any change: this session has settings that chpg does not know: %s",
					unknown_setting_names()),
			 errdetail("Nothing was sent. PostgreSQL takes any name until chpg is loaded."),
			 errhint("%s", hint.data)));
}

/*
 * Until the library is loaded, SET takes any value; one that is no boolean
 * would then be dropped, and the change that was to be shown would be made.
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

void
chpg_define_settings(void)
{
	check_dry_run();

	DefineCustomIntVariable("chpg.cache_size",
							"Sets the size of the memory for answers of the API, which all backends share.",
							"Read once, by the first backend that has an answer to keep. 0 is none, and less than 1 MB is 1 MB.",
							&chpg_cache_size,
							32 * 1024, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.cache_ttl",
							"Sets how old an answer of the API may be that is given again.",
							"0 means that each statement asks anew, even while another session asks the same.",
							&chpg_cache_ttl,
							10000, 0, 24 * 60 * 60 * 1000,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.connect_timeout",
							"Sets the maximum time to wait for a connection to the API.",
							"Covers name resolution, TCP and TLS.",
							&chpg_connect_timeout,
							10000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("chpg.dry_run",
							 "Shows the changes that functions would make instead of making them.",
							 "Requests that only read are sent.",
							 &chpg_dry_run,
							 false,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.max_concurrency",
							"Sets the maximum number of requests that one call has under way at once.",
							NULL,
							&chpg_max_concurrency,
							8, 1, 64,
							PGC_USERSET, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.max_response_size",
							"Sets the maximum size of an answer of the API, after decompression.",
							NULL,
							&chpg_max_response_size,
							64 * 1024, 1, 512 * 1024,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.max_retries",
							"Sets how many times a request is sent again after a transient failure.",
							"Only requests that change nothing, or that certainly were not carried out, are sent again. Refusals for the rate limit do not count, unless this is 0.",
							&chpg_max_retries,
							3, 0, 10,
							PGC_USERSET, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.max_wait",
							"Sets the maximum time that a statement may wait for the request budget, and a request between attempts.",
							"A statement that would have to wait longer for the budget fails at once.",
							&chpg_max_wait,
							60000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomEnumVariable("chpg.on_service_error",
							 "Sets what becomes of a fleet's rows when one of its services cannot be read.",
							 "With warning, the rows of the other services come, and a warning for each that failed.",
							 &chpg_on_service_error,
							 CHPG_SERVICE_ERROR, on_service_error_options,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("chpg.request_timeout",
							"Sets the maximum time for one attempt at a request.",
							NULL,
							&chpg_request_timeout,
							30000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomStringVariable("chpg.server",
							   "Sets the server to use when a call names none.",
							   NULL,
							   &chpg_server,
							   "",
							   PGC_USERSET, 0,
							   NULL, NULL, NULL);

	note_unknown_settings();
	MarkGUCPrefixReserved("chpg");
}
