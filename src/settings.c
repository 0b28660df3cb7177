/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The configuration parameters chpg.*, their units, ranges and defaults.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "datatype/timestamp.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"

int			chpg_cache_size = 32 * 1024;
int			chpg_cache_ttl = 10000;
int			chpg_connect_timeout = 10000;
int			chpg_default_window = 0;
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

	DefineCustomIntVariable("chpg.default_window",
							"Sets the window, up to now, that a foreign table shows when a query names none.",
							"Such as 1h or 30d. 0 is none: a query has to name a window.",
							&chpg_default_window,
							0, 0, 366 * SECS_PER_DAY,
							PGC_USERSET, GUC_UNIT_S,
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
							"Sets the maximum time that a call may wait for the request budget and between attempts.",
							"A call that would have to wait longer for the budget fails at once.",
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

	MarkGUCPrefixReserved("chpg");
}
