/*-------------------------------------------------------------------------
 *
 * config.c
 *		Changing the configuration of a service: chpg_patch_config(),
 *		chpg_replace_config().
 *
 * A configuration has two sections, for PostgreSQL and for PgBouncer, and the API
 * requires both in every request.  An empty section leaves its settings alone in a
 * PATCH, and removes them in a POST.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/redact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/write.h"

PG_FUNCTION_INFO_V1(chpg_patch_config);
PG_FUNCTION_INFO_V1(chpg_replace_config);

/*
 * Warn of each setting that was sent in a section (JSON) and is missing from
 * the result: the API has ignored it.
 */
static void
warn_dropped(ChpgJsonNode *result, const char *section, const char *sent)
{
	ChpgJson   *document = chpg_json_create(CurrentMemoryContext);
	ChpgJsonNode *after = chpg_json_get(result, section);
	ChpgJsonNode *before;
	ChpgJsonEntry *entry = NULL;

	chpg_json_set_json(document, section, sent);
	before = chpg_json_get(chpg_json_root(document), section);
	while ((entry = chpg_json_next(before, entry)) != NULL)
	{
		char	   *name = chpg_json_entry_key(entry);

		if (chpg_json_entry_value(entry) != NULL &&
			chpg_json_get(after, name) == NULL)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("setting \"%s\" is missing from the API response: check chpg_config()",
							chpg_clean_remote(name))));
	}
	chpg_json_free(document);
}

/*
 * Show the message of the API, such as which settings wait for a restart, and
 * warn of settings that the API has ignored.
 */
static void
report_config_change(ChpgPrepared *prepared, const ChpgCall *call)
{
	ChpgJsonNode *result = chpg_call_result(call);
	ChpgJsonNode *message = chpg_json_get(result, "message");

	if (chpg_json_kind(message) == CHPG_JSON_STRING)
		ereport(NOTICE,
				(errmsg("%s", chpg_redact_remote(&prepared->request,
												 chpg_json_text(message)))));
	warn_dropped(result, "pgConfig", *chpg_prepared_argument(prepared, "pg_config"));
	warn_dropped(result, "pgBouncerConfig",
				 *chpg_prepared_argument(prepared, "pgbouncer_config"));
}

/*
 * Check the arguments of a change, and locate the service.  Error 22023 if
 * neither section is given.
 */
static void
begin_config_change(FunctionCallInfo fcinfo, ChpgOperation operation,
					ChpgPrepared *prepared)
{
	InitMaterializedSRF(fcinfo, 0);
	(void) chpg_begin_operation(fcinfo, operation, prepared);
	if (*chpg_prepared_argument(prepared, "pg_config") == NULL &&
		*chpg_prepared_argument(prepared, "pgbouncer_config") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing to change: specify \"pg_config\" or \"pgbouncer_config\"")));
	chpg_locate_service(prepared);
}

/*
 * Send a prepared change, and return the new settings; no rows in a dry run.
 */
static Datum
send_config_change(FunctionCallInfo fcinfo, ChpgPrepared *prepared)
{
	ChpgCall   *call = chpg_send_write(&prepared->request);

	if (call != NULL)
	{
		report_config_change(prepared, call);
		chpg_put_response_rows(fcinfo, &prepared->request, call);
	}
	return (Datum) 0;
}

/* Set a section, as JSON, unless the caller has given it. */
static void
default_section(ChpgPrepared *prepared, const char *name, const char *json)
{
	const char **section = chpg_prepared_argument(prepared, name);

	if (*section == NULL)
		*section = json;
}

/*
 * chpg_patch_config(service, pg_config, pgbouncer_config)
 */
Datum
chpg_patch_config(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;

	begin_config_change(fcinfo, CHPG_PATCH_CONFIG, &prepared);

	/* The API rejects a request without one of the sections. */
	default_section(&prepared, "pg_config", "{}");
	default_section(&prepared, "pgbouncer_config", "{}");
	return send_config_change(fcinfo, &prepared);
}

/*
 * Read the current settings of a section, as JSON to be sent back, palloc'd.
 * One request.  Errors: 55000 if the response omits the section, 22P05 if the
 * database's encoding cannot hold it.
 */
static const char *
read_section(const ChpgPrepared *prepared, const char *key)
{
	ChpgJsonNode *section = chpg_read_now(prepared, CHPG_GET_CONFIG, key);

	if (section == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("API response omits \"%s\" of service \"%s\"",
						key, prepared->request.service_id),
				 errdetail("Replacing the other section would remove its settings."),
				 errhint("Specify both pg_config and pgbouncer_config.")));
	if (chpg_json_kind(section) != CHPG_JSON_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"%s\" is not %s",
						key, "an object")));
	return chpg_json_serialize_exactly(section);
}

/*
 * chpg_replace_config(service, pg_config, pgbouncer_config)
 */
Datum
chpg_replace_config(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;

	begin_config_change(fcinfo, CHPG_REPLACE_CONFIG, &prepared);

	/* An empty section would remove its settings: send the current ones. */
	if (*chpg_prepared_argument(&prepared, "pg_config") == NULL)
		default_section(&prepared, "pg_config",
						read_section(&prepared, "pgConfig"));
	if (*chpg_prepared_argument(&prepared, "pgbouncer_config") == NULL)
		default_section(&prepared, "pgbouncer_config",
						read_section(&prepared, "pgBouncerConfig"));
	return send_config_change(fcinfo, &prepared);
}
