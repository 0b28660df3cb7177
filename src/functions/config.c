/*-------------------------------------------------------------------------
 *
 * config.c
 *		Changing the configuration of a service: chpg_patch_config(),
 *		chpg_replace_config().
 *
 * A configuration has two sections, for PostgreSQL and for PgBouncer, and the API
 * requires both in every request.  An empty section leaves its settings alone in a
 * PATCH, and removes them in a POST; but the API's schema forbids it.  A PATCH whose
 * empty section is refused is sent once more, with the settings that the section has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/redact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/write.h"
#include "utils/fmgrprotos.h"

#define EMPTY_SECTION	"{}"

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
 * Return the new settings, as the response to a change has them; no rows in a dry run.
 */
static Datum
finish_config_change(FunctionCallInfo fcinfo, ChpgPrepared *prepared, ChpgCall *call)
{
	if (call != NULL)
	{
		report_config_change(prepared, call);
		chpg_put_response_rows(fcinfo, &prepared->request, call);
	}
	return (Datum) 0;
}

/*
 * Read the current settings of a section, as JSON to be sent back, palloc'd; NULL if the
 * response omits the section.  One request.  Error 22P05 if the database's encoding
 * cannot hold it.
 */
static const char *
read_section(const ChpgPrepared *prepared, const ChpgParameter *section)
{
	ChpgJsonNode *settings = chpg_read_now(prepared, CHPG_GET_CONFIG, section->key);

	if (settings == NULL)
		return NULL;
	if (chpg_json_kind(settings) != CHPG_JSON_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"%s\" is not %s",
						section->key, "an object")));
	return chpg_config_to_text(section,
							   DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(chpg_json_serialize_exactly(settings))));
}

/* Return the section that is empty in a request, or NULL. */
static const ChpgParameter *
empty_section(const ChpgRequest *request)
{
	for (const ChpgParameter *parameter = request->endpoint->parameters;
		 parameter->name != NULL; parameter++)
	{
		const char *section =
		request->arguments->values[parameter - request->endpoint->parameters];

		if (section != NULL && strcmp(section, EMPTY_SECTION) == 0)
			return parameter;
	}
	return NULL;
}

/* Did the API refuse a change for its empty section? */
static bool
is_empty_section_refused(const ChpgRequest *request, const ChpgCall *call)
{
	const ChpgParameter *section = empty_section(request);

	return section != NULL && chpg_call_refused_with(call, section->key);
}

/*
 * Send a PATCH whose empty section the API has refused again, with the settings that
 * the section has now.  Two requests; one, and the refusal's error, if it has none.
 */
static ChpgCall *
resend_with_section(ChpgPrepared *prepared, ChpgCall *refusal)
{
	const ChpgParameter *section = empty_section(&prepared->request);
	const char *settings;
	ErrorContextCallback callback;

	chpg_call_push_context(refusal, &callback);
	settings = read_section(prepared, section);
	error_context_stack = callback.previous;
	if (settings == NULL || strcmp(settings, EMPTY_SECTION) == 0)
	{
		chpg_call_explain(refusal,
						  psprintf("it has no settings to send back for the empty \"%s\"",
								   section->name),
						  psprintf("Specify a setting in \"%s\", too.", section->name));
		chpg_call_report(refusal);
	}
	*chpg_prepared_argument(prepared, section->name) = settings;
	return chpg_send_write(&prepared->request);
}

/*
 * chpg_patch_config(service, pg_config, pgbouncer_config)
 */
Datum
chpg_patch_config(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;

	begin_config_change(fcinfo, CHPG_PATCH_CONFIG, &prepared);
	for (const ChpgParameter *section = prepared.request.endpoint->parameters;
		 section->name != NULL; section++)
	{
		const char **settings = chpg_prepared_argument(&prepared, section->name);

		/* The API rejects a request without one of the sections. */
		if (*settings == NULL)
			*settings = EMPTY_SECTION;
	}
	call = chpg_send_write_unless(&prepared.request, is_empty_section_refused);
	if (call != NULL && chpg_call_failed(call))
		call = resend_with_section(&prepared, call);
	return finish_config_change(fcinfo, &prepared, call);
}

/*
 * chpg_replace_config(service, pg_config, pgbouncer_config)
 */
Datum
chpg_replace_config(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;

	begin_config_change(fcinfo, CHPG_REPLACE_CONFIG, &prepared);
	for (const ChpgParameter *section = prepared.request.endpoint->parameters;
		 section->name != NULL; section++)
	{
		const char **settings = chpg_prepared_argument(&prepared, section->name);

		if (*settings != NULL)
			continue;

		/* An empty section would remove its settings: send the current ones. */
		*settings = read_section(&prepared, section);
		if (*settings == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("API response omits \"%s\" of service \"%s\"",
							section->key, prepared.request.service_id),
					 errdetail("Replacing the other section would remove its settings."),
					 errhint("Specify both pg_config and pgbouncer_config.")));
	}
	return finish_config_change(fcinfo, &prepared, chpg_send_write(&prepared.request));
}
