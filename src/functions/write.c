/*-------------------------------------------------------------------------
 *
 * write.c
 *		Changes by the API: prepared, sent, logged.
 *
 * A change acts at once, outside of the transaction.  It is sent a second time only
 * if the first attempt certainly did nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "engine/commands.h"
#include "engine/creations.h"
#include "engine/names.h"
#include "engine/redact.h"
#include "engine/services.h"
#include "engine/statement_cache.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "functions/setting_names.h"
#include "functions/write.h"
#include "miscadmin.h"
#include "net/http.h"
#include "net/clock.h"
#include "net/sockets.h"
#include "protocol/remote_text.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Seconds between attempts while the API says "not ready": the first, the longest */
#define FIRST_RETRY			1
#define LAST_RETRY			20

/* Seconds that explaining a failure may take */
#define EXPLAIN_SECONDS		5

/*
 * Preparing
 */

void
chpg_check_write_allowed(const char *function)
{
	PreventCommandIfReadOnly(psprintf("%s()", function));
	chpg_check_dry_run_meant();
}

bool
chpg_begin_operation(FunctionCallInfo fcinfo, ChpgOperation operation,
					 ChpgPrepared *prepared)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[operation];
	ChpgInvocation *invocation = &prepared->invocation;

	if (chpg_is_write(endpoint))
		chpg_check_write_allowed(get_func_name(fcinfo->flinfo->fn_oid));
	chpg_read_invocation(fcinfo, endpoint, invocation);
	if (invocation->null_argument != NULL)
	{
		if (!chpg_is_write(endpoint))
			return false;
		chpg_refuse_null(invocation->null_argument);
	}
	memset(&prepared->request, 0, sizeof(ChpgRequest));
	prepared->current_tags = NULL;
	prepared->access_list = NULL;
	prepared->request.connection = invocation->connection;
	prepared->request.endpoint = endpoint;
	prepared->request.arguments = &invocation->arguments;

	/* A change builds on current values, not on cached ones. */
	invocation->connection->no_cache = chpg_is_write(endpoint);

	/* Reject arguments that cannot be sent, before the first request. */
	(void) chpg_build_body(&prepared->request, false);
	return true;
}

void
chpg_locate_service(ChpgPrepared *prepared)
{
	ChpgInvocation *invocation = &prepared->invocation;
	ChpgService *service;

	chpg_discover_organization(invocation->connection);
	if (!chpg_endpoint_is_per_service(invocation->endpoint))
		return;
	service = linitial(chpg_find_services(invocation->connection,
										  invocation->service));
	prepared->request.service_id = service->id;
	prepared->request.service_name = service->shown_name;

	/*
	 * Before a change: what is interrupted after it hides that it was carried
	 * out.
	 */
	if (service->name == NULL && invocation->endpoint->names_services &&
		chpg_is_write(invocation->endpoint) && !chpg_dry_run)
		(void) chpg_name_of_service(invocation->connection, service->id);
}

ChpgRequest
chpg_read_request(const ChpgPrepared *prepared, ChpgOperation operation)
{
	static const ChpgArguments none = {{NULL}};
	ChpgRequest request = prepared->request;

	request.endpoint = &chpg_endpoints[operation];
	request.arguments = &none;
	return request;
}

ChpgJsonNode *
chpg_read_result(const ChpgPrepared *prepared, ChpgOperation operation)
{
	ChpgRequest request = chpg_read_request(prepared, operation);
	ChpgCall   *call;

	(void) chpg_call_perform(&request, &call);
	return chpg_call_result(call);
}

ChpgJsonNode *
chpg_read_now(const ChpgPrepared *prepared, ChpgOperation operation, const char *key)
{
	return chpg_json_get(chpg_read_result(prepared, operation), key);
}

const char **
chpg_prepared_argument(ChpgPrepared *prepared, const char *name)
{
	return chpg_argument(&prepared->invocation.arguments,
						 prepared->request.endpoint, name);
}

/*
 * Sending
 */

/* Say what became of a change, for the log; NULL is an interrupted call. */
static const char *
describe_outcome(const ChpgCall *call)
{
	if (call == NULL)
		return "interrupted, outcome unknown";
	if (!chpg_call_failed(call))
		return "accepted";
	return chpg_call_is_ambiguous(call) ? "outcome unknown" : "failed";
}

/*
 * Return a change as "METHOD PATH BODY", palloc'd.  Masked, it is fit for messages:
 * without secrets and control characters, in the database's encoding.
 */
static char *
change_text(const ChpgRequest *request, bool masked)
{
	const char *body = chpg_build_body(request, masked);

	if (body != NULL && masked)
		body = chpg_mask_key(request->connection,
							 chpg_clean_text(chpg_json_convert(body, strlen(body))));
	return psprintf("%s %s%s%s", request->endpoint->method,
					chpg_build_path(request, request->connection->organization_id),
					body ? " " : "", body ? body : "");
}

/*
 * Log a change, in one line: which role sent what, and the outcome.  A call of NULL
 * was interrupted.
 */
static void
log_write(const ChpgRequest *request, const ChpgCall *call)
{
	const char *request_id = call ? chpg_call_request_id(call) : NULL;

	ereport(LOG,
			(errmsg("chpg: role \"%s\" (session of \"%s\") sent %s",
					GetUserNameFromId(GetUserId(), false),
					GetUserNameFromId(GetSessionUserId(), false),
					change_text(request, true)),
			 errdetail_log("Purpose: %s%s%s; %s; request id %s.",
						   request->endpoint->purpose,
						   request->service_name ? " " : "",
						   request->service_name ? request->service_name : "",
						   describe_outcome(call),
						   request_id ? request_id : "unknown"),
			 errhidestmt(true),
			 errhidecontext(true)));
}

/* Return the value of a parameter in a change, or NULL. */
static const char *
sent_value(const ChpgRequest *request, const char *name)
{
	const ChpgEndpoint *endpoint = request->endpoint;

	return request->arguments->values[chpg_find_parameter(endpoint, name) -
									  endpoint->parameters];
}

/* Set the kind of a command by its name. */
static void
set_kind(ChpgCommand *command, const char *name)
{
	command->kind = strcmp(name, "promote") == 0 ? CHPG_PROMOTION :
		strcmp(name, "switchover") == 0 ? CHPG_SWITCHOVER : CHPG_RESTART;
}

/*
 * Set the values that an update asks for; false if it changes neither.  Values that are
 * too long to be remembered are left out.
 */
static bool
set_values(ChpgCommand *command, const ChpgRequest *request)
{
	const char *size = sent_value(request, "size");
	const char *ha_type = sent_value(request, "ha_type");

	command->kind = CHPG_UPDATE;
	if (size != NULL && strlen(size) < sizeof(command->size))
		strlcpy(command->size, size, sizeof(command->size));
	if (ha_type != NULL && strlen(ha_type) < sizeof(command->ha_type))
		strlcpy(command->ha_type, ha_type, sizeof(command->ha_type));
	return size != NULL || ha_type != NULL;
}

/*
 * Remember a command that was, or may have been, accepted: a wait does not believe the
 * state from before it.  A call of NULL was interrupted.
 */
static void
note_command(const ChpgRequest *request, const ChpgCall *call)
{
	ChpgCommand command = {0};
	ChpgJsonNode *state = NULL;

	if (call != NULL && chpg_call_failed(call) && !chpg_call_is_ambiguous(call))
		return;
	switch (chpg_operation_number(request->endpoint))
	{
		case CHPG_COMMAND_SERVICE:
			set_kind(&command, sent_value(request, "command"));
			break;
		case CHPG_DELETE_SERVICE:
			command.kind = CHPG_DELETION;
			break;
		case CHPG_UPDATE_SERVICE:
			if (set_values(&command, request))
				break;
			return;
		default:
			return;
	}
	if (call != NULL && !chpg_call_failed(call))
		state = chpg_json_get(chpg_call_result(call), "state");
	chpg_command_note(request->connection, request->service_id, &command,
					  chpg_json_kind(state) == CHPG_JSON_STRING ?
					  chpg_json_text(state) : NULL);
}

/*
 * Send a change, and log it whatever its outcome.  Returns the call, which has
 * succeeded or failed; an interrupt is thrown.
 */
static ChpgCall *
attempt_write(const ChpgRequest *request)
{
	MemoryContext caller = CurrentMemoryContext;
	ChpgCall   *volatile call = chpg_call_create(request);

	PG_TRY();
	{
		chpg_call_wait(call);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (chpg_call_in_flight(call))
		{
			note_command(request, NULL);
			log_write(request, NULL);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();

	/*
	 * A cancel that arrives now must not hide that the change was carried
	 * out.
	 */
	HOLD_INTERRUPTS();
	note_command(request, call);
	log_write(request, call);
	RESUME_INTERRUPTS();
	return call;
}

/* Hash a change: what is sent where.  Not 0. */
static uint64
hash_change(const ChpgRequest *request)
{
	char	   *text = change_text(request, false);
	uint64		hash = hash_bytes_extended((unsigned char *) text, strlen(text), 0);

	return hash != 0 ? hash : 1;
}

/*
 * Throw error 55000 if a change equals the previous one of the same statement
 * and transaction.  (chpg_create_service(...)).* calls the function once for
 * each column, and each call would create a service.  The body of a DO block
 * or of a procedure is one statement; each COMMIT or ROLLBACK in it begins a
 * new transaction.
 */
static void
check_not_repeated(const ChpgRequest *request)
{
	if (*chpg_statement_write() != hash_change(request))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("duplicate change refused: this statement has already sent the same request"),
			 errdetail("PostgreSQL calls a function in (function(...)).* once for each column, and a loop calls it in each iteration."),
			 errhint("Use SELECT * FROM function(...). To repeat a request in a loop, COMMIT after each. The first request was carried out: chpg_services lists a service that it created, and chpg_set_password() sets its password.")));
}

/* Read an integer that may have arrived as a number of any form, or as a text. */
static bool
read_count(ChpgJsonNode *node, double *count)
{
	char	   *text;
	char	   *end;

	if (node == NULL || chpg_json_kind(node) >= CHPG_JSON_ARRAY)
		return false;
	text = chpg_json_text(node);
	*count = strtod(text, &end);
	return end != text && *end == '\0';
}

/*
 * Is a quota, by its code, one that a new service needs?  What it counts stands before
 * "-per-": postgres-services-per-organization.  The set of codes is open.
 */
static bool
quota_fits(const ChpgRequest *request, const char *code)
{
	const char *end = strstr(code, "-per-");
	char	   *counted = pnstrdup(code, end != NULL ? end - code : strlen(code));
	bool		replicas = strstr(counted, "replica") != NULL;

	return strstr(counted, "postgres") != NULL &&
		(replicas ? chpg_operation_number(request->endpoint) == CHPG_CREATE_READ_REPLICA :
		 strstr(counted, "service") != NULL);
}

/* Explain a failed call by the first full quota that it needs, if there is one. */
static void
explain_by_quota(ChpgCall *call, const ChpgRequest *request, ChpgJsonNode *quotas)
{
	int			count = chpg_json_kind(quotas) == CHPG_JSON_ARRAY ?
	chpg_json_length(quotas) : 0;

	for (int i = 0; i < count; i++)
	{
		ChpgJsonNode *quota = chpg_json_element(quotas, i);
		ChpgJsonNode *code = chpg_json_get(quota, "quotaCode");
		double		value;
		double		usage;

		if (chpg_json_kind(code) == CHPG_JSON_STRING &&
			quota_fits(request, chpg_json_text(code)) &&
			read_count(chpg_json_get(quota, "value"), &value) &&
			read_count(chpg_json_get(quota, "usage"), &usage) && usage >= value)
		{
			chpg_call_explain(call, psprintf("quota \"%s\" is full: %.0f of %.0f",
											 chpg_redact_remote(request, chpg_json_text(code)),
											 usage, value),
							  "Delete a service, or have the quota raised. All quotas: SELECT * FROM chpg_quotas();");
			return;
		}
	}
}

/*
 * Let the failure of a change name the quota that is full, if a new service met a
 * conflict.  One request, which is sent only if the budget has room for it now, and
 * whose failure changes nothing.
 */
static void
explain_conflict(const ChpgRequest *request, ChpgCall *call)
{
	static const ChpgArguments none = {{NULL}};
	ChpgRequest quotas = {
		.connection = request->connection,
		.endpoint = &chpg_endpoints[CHPG_LIST_QUOTAS],
		.arguments = &none,
		.no_retry = true,
		.deadline = chpg_now() + EXPLAIN_SECONDS * USECS_PER_SEC
	};
	ChpgQueueing queueing = {0};
	ErrorContextCallback callback;
	ChpgCall   *read;
	double		seconds;

	if (chpg_call_status(call) != 409 || !request->endpoint->new_service ||
		!chpg_admission_may_send(1) ||
		!chpg_admission_suffices(request->connection, 1, &queueing, &seconds) ||
		seconds > 0)
		return;
	read = chpg_call_create(&quotas);

	/* A cancel must not hide that the change was refused. */
	chpg_call_push_context(call, &callback);
	chpg_call_wait(read);
	error_context_stack = callback.previous;
	if (chpg_call_document(read) == NULL)
		return;
	explain_by_quota(call, request, chpg_call_result(read));
}

/*
 * Let the failure of a change of the IP access list say what to do, if the API takes the
 * whole list: its form is not documented.
 */
static void
explain_list(const ChpgRequest *request, ChpgCall *call)
{
	if (chpg_operation_number(request->endpoint) != CHPG_UPDATE_SERVICE ||
		!chpg_call_refused_with(call, "ipAccessList") ||
		!chpg_call_refused_with(call, "not an array"))
		return;
	chpg_call_explain(call, "this API takes the whole IP access list (an array), not changes of it",
					  psprintf("Send all entries that are to be on it; chpg_ip_access_list() shows those of now: SELECT FROM chpg_update_service(%s, ip_access_list => '[{\"source\": \"192.0.2.0/24\", \"description\": \"office\"}]', server => %s);",
							   quote_literal_cstr(request->service_id),
							   quote_literal_cstr(request->connection->server)));
}

/* Throw the error of a failed change. */
static void
report_write(const ChpgRequest *request, ChpgCall *call)
{
	explain_conflict(request, call);
	explain_list(request, call);
	chpg_explain_setting(request, call);
	chpg_call_report(call);
}

/*
 * Remember a service that a change has created, with its name or a new one, and forget
 * one that it has deleted.
 */
static void
note_creation(const ChpgRequest *request, const ChpgCall *call)
{
	ChpgJsonNode *result = chpg_call_result(call);
	ChpgJsonNode *id = chpg_json_get(result, "id");
	ChpgJsonNode *name = chpg_json_get(result, "name");
	bool		is_update = chpg_operation_number(request->endpoint) == CHPG_UPDATE_SERVICE;

	if (chpg_operation_number(request->endpoint) == CHPG_DELETE_SERVICE)
		chpg_creation_forget(request->connection, request->service_id);
	if ((!is_update && !request->endpoint->new_service) ||
		chpg_json_kind(id) != CHPG_JSON_STRING || chpg_json_kind(name) != CHPG_JSON_STRING)
		return;
	if (!is_update)
		chpg_creation_note(request->connection, chpg_json_text(id), chpg_json_text(name));
	chpg_names_set(request->connection, chpg_json_text(id), chpg_json_text(name));
}

ChpgCall *
chpg_send_write_unless(const ChpgRequest *request,
					   bool (*is_expected) (const ChpgRequest *request, const ChpgCall *call))
{
	ChpgCall   *call;

	chpg_warn_of_settings(request);
	if (chpg_dry_run)
	{
		ereport(NOTICE, (errmsg("would send %s", change_text(request, true))));
		return NULL;
	}
	check_not_repeated(request);
	call = attempt_write(request);
	if (chpg_call_failed(call))
	{
		if (is_expected != NULL && is_expected(request, call))
			return call;
		report_write(request, call);
	}
	*chpg_statement_write() = hash_change(request);
	note_creation(request, call);
	return call;
}

ChpgCall *
chpg_send_write(const ChpgRequest *request)
{
	return chpg_send_write_unless(request, NULL);
}

ChpgCall *
chpg_send_write_retried(const ChpgRequest *request,
						bool (*is_not_ready) (const ChpgCall *call),
						double seconds)
{
	int64		deadline = chpg_now() + (int64) (seconds * USECS_PER_SEC);
	int			delay = FIRST_RETRY;
	ChpgProgress progress = {.started = chpg_now()};

	chpg_warn_of_settings(request);
	check_not_repeated(request);
	for (;;)
	{
		ChpgCall   *call = attempt_write(request);

		if (!chpg_call_failed(call))
		{
			*chpg_statement_write() = hash_change(request);
			note_creation(request, call);
			return call;
		}
		if (!is_not_ready(call) ||
			chpg_now() + delay * USECS_PER_SEC > deadline)
			report_write(request, call);
		chpg_call_end(call);
		chpg_activity_call(request->endpoint, &progress);
		chpg_activity_sleep(chpg_now() + delay * USECS_PER_SEC, CHPG_WAIT_RETRY);
		delay = Min(delay * 2, LAST_RETRY);
	}
}

/* Make a decoder that stands before the first row in a call's response. */
static ChpgDecoder *
decode_response(const ChpgRequest *request, const ChpgCall *call, TupleDesc tupdesc)
{
	const ChpgEndpoint *endpoint = request->endpoint;
	ChpgDecoder *decoder;

	decoder = chpg_decoder_create(tupdesc, endpoint->rows, endpoint->attributes);
	if (endpoint->service_attribute != NULL)
		chpg_decoder_set_default(decoder, endpoint->service_attribute,
								 request->service_id);
	if (endpoint->names_services)
		chpg_decoder_set_default(decoder, "service_name",
								 chpg_kept_name(request->connection, request->service_id));
	chpg_decoder_start(decoder, chpg_call_document(call));
	return decoder;
}

HeapTuple
chpg_response_tuple(const ChpgRequest *request, ChpgCall *call,
					TupleDesc tupdesc)
{
	Datum	   *values = palloc(tupdesc->natts * sizeof(Datum));
	bool	   *nulls = palloc(tupdesc->natts * sizeof(bool));
	ErrorContextCallback callback;
	ChpgDecoder *decoder;

	chpg_call_push_context(call, &callback);
	decoder = decode_response(request, call, tupdesc);
	(void) chpg_decoder_next(decoder);
	chpg_decoder_row(decoder, values, nulls);
	error_context_stack = callback.previous;
	return heap_form_tuple(tupdesc, values, nulls);
}

Datum
chpg_response_row(FunctionCallInfo fcinfo, const ChpgRequest *request,
				  ChpgCall *call)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(chpg_response_tuple(request, call,
												 BlessTupleDesc(tupdesc)));
}

void
chpg_put_response_rows(FunctionCallInfo fcinfo, const ChpgRequest *request,
					   ChpgCall *call)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	tupdesc = rsinfo->setDesc;
	Datum	   *values = palloc(tupdesc->natts * sizeof(Datum));
	bool	   *nulls = palloc(tupdesc->natts * sizeof(bool));
	ErrorContextCallback callback;
	ChpgDecoder *decoder;

	chpg_call_push_context(call, &callback);
	decoder = decode_response(request, call, tupdesc);
	while (chpg_decoder_next(decoder))
	{
		chpg_decoder_row(decoder, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, tupdesc, values, nulls);
	}
	error_context_stack = callback.previous;
}

bool
chpg_read_attribute_now(FunctionCallInfo fcinfo, const ChpgPrepared *prepared,
						const char *attribute, Datum *value)
{
	ChpgRequest request = chpg_read_request(prepared, CHPG_GET_SERVICE);
	ChpgCall   *call;
	TupleDesc	tupdesc;
	HeapTuple	tuple;
	bool		is_null;
	int			number;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	number = SPI_fnumber(tupdesc, attribute);
	if (number <= 0)
		return false;			/* an older definition */
	call = chpg_call_create(&request);
	chpg_call_wait(call);
	if (chpg_call_status(call) == 403)
		return false;
	if (chpg_call_failed(call))
		chpg_call_report(call);
	tuple = chpg_response_tuple(&request, call, BlessTupleDesc(tupdesc));
	*value = heap_getattr(tuple, number, tupdesc, &is_null);
	return !is_null;
}

Datum
chpg_send_for_row(FunctionCallInfo fcinfo, const ChpgRequest *request)
{
	ChpgCall   *call = chpg_send_write(request);

	if (call == NULL)
		PG_RETURN_NULL();
	return chpg_response_row(fcinfo, request, call);
}
