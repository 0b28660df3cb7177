/*-------------------------------------------------------------------------
 *
 * lifecycle.c
 *		The functions that change services.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/hide_statement.h"
#include "engine/redact.h"
#include "fmgr.h"
#include "functions/tags.h"
#include "functions/write.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(chpg_ca_certificates);
PG_FUNCTION_INFO_V1(chpg_create_read_replica);
PG_FUNCTION_INFO_V1(chpg_create_service);
PG_FUNCTION_INFO_V1(chpg_delete_service);
PG_FUNCTION_INFO_V1(chpg_promote_service);
PG_FUNCTION_INFO_V1(chpg_restart_service);
PG_FUNCTION_INFO_V1(chpg_restore_service);
PG_FUNCTION_INFO_V1(chpg_set_password);
PG_FUNCTION_INFO_V1(chpg_switchover_service);
PG_FUNCTION_INFO_V1(chpg_update_service);

/*
 * Read a member of the service, a string; NULL if the response omits it.  One
 * request.  Error 22P05 if the encoding cannot hold it.
 */
static char *
read_text_now(const ChpgPrepared *prepared, const char *key)
{
	ChpgJsonNode *node = chpg_read_now(prepared, CHPG_GET_SERVICE, key);

	if (chpg_json_kind(node) != CHPG_JSON_STRING)
		return NULL;
	(void) chpg_json_serialize_exactly(node);	/* no replaced characters */
	return chpg_json_text(node);
}

/*
 * Services
 */

/*
 * chpg_create_service(name, provider, region, size, ...)
 */
Datum
chpg_create_service(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;

	(void) chpg_begin_operation(fcinfo, CHPG_CREATE_SERVICE, &prepared);
	chpg_locate_service(&prepared);
	return chpg_send_for_row(fcinfo, &prepared.request);
}

/*
 * Throw error 22023 for a time before the earliest one to which the service can be
 * restored, if the API shows that, and shows it to this key: a key that may restore need
 * not be one that may read.  Whether a time is too late is up to the API, since clocks
 * differ.  One request.
 */
static void
check_restore_target(FunctionCallInfo fcinfo, const ChpgPrepared *prepared)
{
	int			i = chpg_find_argument(&prepared->invocation, "restore_target");
	Datum		earliest;

	if (i < 0 || !chpg_read_attribute_now(fcinfo, prepared, "earliest_restore_time",
										  &earliest))
		return;
	if (PG_GETARG_TIMESTAMPTZ(i) < DatumGetTimestampTz(earliest))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"restore_target\" is before %s, the earliest restore time of service \"%s\"",
						timestamptz_to_str(DatumGetTimestampTz(earliest)),
						prepared->invocation.service),
				 errhint("Specify that time, or a later one: restore_target => '%s'.",
						 timestamptz_to_str(DatumGetTimestampTz(earliest)))));
}

/*
 * chpg_restore_service(service, name, restore_target, ...)
 */
Datum
chpg_restore_service(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;

	(void) chpg_begin_operation(fcinfo, CHPG_RESTORE_SERVICE, &prepared);
	chpg_locate_service(&prepared);
	check_restore_target(fcinfo, &prepared);
	return chpg_send_for_row(fcinfo, &prepared.request);
}

/* Did the API reject a replica because the service has no backup yet? */
static bool
is_not_ready(const ChpgCall *call)
{
	return chpg_call_refused_with(call, "not ready for read replicas") ||
		chpg_call_refused_with(call, "no backups");
}

/*
 * chpg_create_read_replica(service, name, ..., retry_for)
 */
Datum
chpg_create_read_replica(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;
	double		retry_for;

	(void) chpg_begin_operation(fcinfo, CHPG_CREATE_READ_REPLICA, &prepared);
	retry_for = chpg_interval_argument(&prepared.invocation, "retry_for");
	chpg_locate_service(&prepared);
	if (chpg_dry_run)
		return chpg_send_for_row(fcinfo, &prepared.request);
	call = chpg_send_write_retried(&prepared.request, is_not_ready, retry_for);
	return chpg_response_row(fcinfo, &prepared.request, call);
}

/*
 * chpg_update_service(service, name, size, ha_type, tags, ip_access_list)
 */
Datum
chpg_update_service(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	const char **tags;
	bool		changes_list;

	(void) chpg_begin_operation(fcinfo, CHPG_UPDATE_SERVICE, &prepared);
	tags = chpg_prepared_argument(&prepared, "tags");
	changes_list = *chpg_prepared_argument(&prepared, "ip_access_list") != NULL;
	if (*tags == NULL && *chpg_prepared_argument(&prepared, "name") == NULL &&
		*chpg_prepared_argument(&prepared, "size") == NULL &&
		*chpg_prepared_argument(&prepared, "ha_type") == NULL && !changes_list)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing to change: specify \"name\", \"size\", \"ha_type\", \"tags\" or \"ip_access_list\"")));
	chpg_locate_service(&prepared);
	if (*tags == NULL)
		*tags = chpg_tags_to_list(chpg_read_tags(&prepared));
	if (changes_list)
		prepared.access_list = NULL;	/* the caller replaces it */
	return chpg_send_tags(fcinfo, &prepared);
}

/*
 * chpg_delete_service(service, confirm_name)
 */
Datum
chpg_delete_service(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;
	const char *name;
	const char *request_id;
	int			i;

	(void) chpg_begin_operation(fcinfo, CHPG_DELETE_SERVICE, &prepared);
	i = chpg_find_argument(&prepared.invocation, "confirm_name");
	if (i < 0)
		chpg_refuse_null("confirm_name");
	chpg_locate_service(&prepared);
	name = read_text_now(&prepared, "name");
	if (name == NULL ||
		strcmp(name, TextDatumGetCString(PG_GETARG_DATUM(i))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"confirm_name\" is \"%s\", which is not the name of service \"%s\"",
						chpg_clean_remote(TextDatumGetCString(PG_GETARG_DATUM(i))),
						prepared.request.service_id),
				 errdetail("The name of the service is \"%s\".",
						   name ? chpg_clean_remote(pstrdup(name)) : ""),
				 errhint("Deletion removes the service with all its data. Confirm it by the current name.")));
	prepared.request.service_name = chpg_clean_remote(pstrdup(name));
	call = chpg_send_write(&prepared.request);
	request_id = call != NULL ? chpg_call_request_id(call) : NULL;
	if (request_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(request_id));
}

/*
 * Commands
 */

/*
 * Throw error 55000 unless the service has a standby: without one, the API replaces
 * the primary, or older deployments do nothing.  A response that omits haType does not
 * say that there is none.  One request.
 */
static void
check_standby(const ChpgPrepared *prepared)
{
	const char *ha_type = read_text_now(prepared, "haType");
	const char *service = prepared->invocation.service;
	const char *server = "";

	if (ha_type != NULL && *ha_type != '\0' && strcmp(ha_type, "none") != 0)
		return;
	if (chpg_find_argument(&prepared->invocation, "server") >= 0)
		server = psprintf(", server => %s",
						  quote_literal_cstr(prepared->invocation.connection->server));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 ha_type == NULL ?
			 errmsg("API response omits whether service \"%s\" has a standby: confirm with \"replace_primary\"",
					service) :
			 errmsg("service \"%s\" has no standby to switch over to: confirm with \"replace_primary\"",
					service),
			 errdetail("Without a standby, the API provisions a new server, which takes minutes to hours, and replaces the primary with it. Older deployments accept the switchover and do nothing."),
			 errhint("Add a standby with chpg_update_service(), or run: SELECT * FROM chpg_switchover_service(%s, replace_primary => true%s);",
					 quote_literal_cstr(prepared->request.service_id), server)));
}

/* Send a command that changes the state of a service, and return its row. */
static Datum
command_service(FunctionCallInfo fcinfo, const char *command,
				bool needs_standby)
{
	ChpgPrepared prepared;

	(void) chpg_begin_operation(fcinfo, CHPG_COMMAND_SERVICE, &prepared);
	chpg_locate_service(&prepared);
	if (needs_standby)
	{
		int			i = chpg_find_argument(&prepared.invocation, "replace_primary");

		if (i < 0 || !PG_GETARG_BOOL(i))
			check_standby(&prepared);
	}
	*chpg_prepared_argument(&prepared, "command") = command;
	return chpg_send_for_row(fcinfo, &prepared.request);
}

/*
 * chpg_restart_service(service)
 */
Datum
chpg_restart_service(PG_FUNCTION_ARGS)
{
	return command_service(fcinfo, "restart", false);
}

/*
 * chpg_promote_service(service)
 */
Datum
chpg_promote_service(PG_FUNCTION_ARGS)
{
	return command_service(fcinfo, "promote", false);
}

/*
 * chpg_switchover_service(service, replace_primary)
 */
Datum
chpg_switchover_service(PG_FUNCTION_ARGS)
{
	return command_service(fcinfo, "switchover", true);
}

/* Set the password; returns the one that the API has generated, or NULL. */
static Datum
set_password(FunctionCallInfo fcinfo)
{
	ChpgPrepared prepared;
	ChpgCall   *call;
	ChpgJsonNode *password;

	(void) chpg_begin_operation(fcinfo, CHPG_SET_PASSWORD, &prepared);
	chpg_locate_service(&prepared);
	call = chpg_send_write(&prepared.request);
	if (call == NULL || *chpg_prepared_argument(&prepared, "password") != NULL)
		PG_RETURN_NULL();
	password = chpg_json_get(chpg_call_result(call), "password");
	if (chpg_json_kind(password) != CHPG_JSON_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
				 errmsg("API response omits the new password: set one with chpg_set_password()"),
				 errhint("Run: SELECT chpg_set_password(%s, 'PASSWORD', server => %s);",
						 quote_literal_cstr(prepared.request.service_id),
						 quote_literal_cstr(prepared.invocation.connection->server))));
	PG_RETURN_TEXT_P(cstring_to_text(chpg_json_text(password)));
}

/*
 * chpg_set_password(service, password)
 */
Datum
chpg_set_password(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback;
	Datum		result;

	chpg_hide_statement(&callback, "SELECT chpg_set_password(...)");
	chpg_warn_exposed("chpg_set_password");
	result = set_password(fcinfo);
	error_context_stack = callback.previous;
	return result;
}

/*
 * chpg_ca_certificates(service)
 */
Datum
chpg_ca_certificates(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;

	if (!chpg_begin_operation(fcinfo, CHPG_GET_CA_CERTIFICATES, &prepared))
		PG_RETURN_NULL();
	chpg_locate_service(&prepared);
	(void) chpg_call_perform(&prepared.request, &call);
	PG_RETURN_TEXT_P(cstring_to_text(chpg_call_text(call)));
}
