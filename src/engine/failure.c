/*-------------------------------------------------------------------------
 *
 * failure.c
 *		The errors that failed calls are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "engine/call.h"
#include "engine/keys.h"
#include "lib/stringinfo.h"
#include "net/clock.h"
#include "settings.h"
#include "utils/timestamp.h"

#define TOO_MANY_HINT \
	"Ask for less: a shorter window, larger buckets, fewer services. Superusers may raise \"chpg.max_requests\"."

typedef struct FailureText
{
	int			sqlstate;
	const char *reason;			/* ends the primary message */
	const char *hint;			/* or NULL */
} FailureText;

/* The one place that gives outcomes their SQLSTATE. */
static const FailureText failure_texts[] = {
	[FAILURE_REFUSED] = {
		ERRCODE_INVALID_PARAMETER_VALUE,
		"the API refused the request",
		NULL
	},
	[FAILURE_KEY] = {
		ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		"the API did not accept the key",
		"Check that the key is not revoked or expired, and set it with chpg_connect() or ALTER USER MAPPING."
	},
	[FAILURE_PERMISSION] = {
		ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the key does not have the permission",
		NULL
	},
	[FAILURE_NOT_FOUND] = {
		ERRCODE_UNDEFINED_OBJECT,
		"the API does not know it",
		"Check the server's options organization_id and api_url."
	},
	[FAILURE_CONFLICT] = {
		ERRCODE_OBJECT_IN_USE,
		"the API reports a conflict",
		"Another change may be under way, or a quota reached. Try again later."
	},
	[FAILURE_RATE_LIMIT] = {
		ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
		"the key's request budget is used up",
		"Others may use the same key. Try again later, or raise \"chpg.max_wait\"."
	},
	[FAILURE_API] = {
		ERRCODE_SYSTEM_ERROR,
		"the API failed",
		"Try again later."
	},
	[FAILURE_MALFORMED] = {
		ERRCODE_PROTOCOL_VIOLATION,
		"the answer is not what the API sends",
		"Check the server's option api_url, and what stands between: a proxy or a login page may have answered."
	},
	[FAILURE_NOT_CONNECTED] = {
		ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
		"no connection to the API",
		"Check the server's options api_url and proxy, and that this machine may reach that address."
	},
	[FAILURE_UNTRUSTED] = {
		ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
		"the certificate of the API's host is not valid",
		"Check the server's option api_url; a private CA is named in its option ca_file."
	},
	[FAILURE_BROKEN] = {
		ERRCODE_CONNECTION_FAILURE,
		"the connection broke before the answer was complete",
		"Try again later."
	},
	[FAILURE_TIMED_OUT] = {
		ERRCODE_CONNECTION_FAILURE,
		"the API did not answer in time",
		"Try again later, or raise \"chpg.request_timeout\"."
	},
	[FAILURE_UNKNOWN] = {
		ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN,
		"no complete answer came, and the request may have been carried out",
		"Look at the present state before you try again."
	},
	[FAILURE_TOO_LARGE] = {
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		"the answer is too large",
		"Ask for less, such as a shorter window, or raise \"chpg.max_response_size\"."
	},
	[FAILURE_TOO_MANY] = {
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		"the statement has sent as many requests as \"chpg.max_requests\" allows",
		TOO_MANY_HINT
	},
	[FAILURE_LOCAL] = {
		ERRCODE_SYSTEM_ERROR,
		"the request failed on this side",
		NULL
	},
};

static const char *
failure_reason(const ChpgCall *call)
{
	if (call->failure == FAILURE_NOT_FOUND && call->request.path == NULL &&
		!chpg_endpoint_is_per_service(call->request.endpoint))
		return "the API does not know the organization";
	return failure_texts[call->failure].reason;
}

static const char *
failure_hint(const ChpgCall *call)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;

	if (call->hint != NULL)
		return call->hint;
	if (call->failure == FAILURE_PERMISSION && endpoint->permission != NULL)
		return psprintf("The role of key \"%s\" needs the permission %s.",
						chpg_key_shown_id(call->request.connection),
						endpoint->permission);
	if (call->failure == FAILURE_NOT_FOUND && call->request.path != NULL)
		return "Check the argument \"path\".";
	if (call->failure == FAILURE_NOT_FOUND &&
		chpg_endpoint_is_per_service(endpoint))
		return "SELECT * FROM chpg_services shows the services that exist.";
	return failure_texts[call->failure].hint;
}

static char *
describe_service(const ChpgRequest *request)
{
	if (request->service_id == NULL)
		return chpg_endpoint_is_per_service(request->endpoint) ?
			" the services" : "";
	if (request->service_name == NULL ||
		strcmp(request->service_name, request->service_id) == 0)
		return psprintf(" service \"%s\"", request->service_id);
	return psprintf(" service \"%s\" (%s)", request->service_name,
					request->service_id);
}

/* What is known of the last attempt, as sentences. */
static char *
describe_attempts(const ChpgCall *call)
{
	StringInfoData detail;

	initStringInfo(&detail);
	if (call->detail != NULL)
		appendStringInfo(&detail, "%s ", call->detail);
	if (call->failure == FAILURE_RATE_LIMIT && call->status == 429 &&
		call->wait > 0)
		appendStringInfo(&detail, "The budget resets in %.1f s. ", call->wait);
	if (call->attempts == 0 && !call->reused)
	{
		appendStringInfoString(&detail, "Nothing was sent.");
		return detail.data;
	}
	if (call->status != 0)
		appendStringInfo(&detail, "HTTP status %d", call->status);
	else
		appendStringInfoString(&detail, "No HTTP status");
	if (call->request_id != NULL)
		appendStringInfo(&detail, ", request id %s", call->request_id);
	if (call->reused)
		appendStringInfoString(&detail, ", in answer to another session.");
	else
		appendStringInfo(&detail, ", %d %s.", call->attempts,
						 call->attempts == 1 ? "attempt" : "attempts");
	return detail.data;
}

static void
call_context_callback(void *arg)
{
	ChpgCall   *call = (ChpgCall *) arg;

	errcontext("request %s %s%s%s", call->request.endpoint->method, call->path,
			   call->write ? ", which was carried out" : "",
			   call->request.service_name == NULL ? "" :
			   psprintf(" for service \"%s\"", call->request.service_name));
}

void
chpg_call_push_context(ChpgCall *call, ErrorContextCallback *callback)
{
	callback->callback = call_context_callback;
	callback->arg = call;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
report(const ChpgCall *call, int elevel)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;
	const FailureText *text = &failure_texts[call->failure];
	const char *hint = failure_hint(call);

	ereport(elevel,
			(errcode(text->sqlstate),
			 errmsg("could not %s%s: %s", endpoint->purpose,
					describe_service(&call->request), failure_reason(call)),
			 errdetail_internal("%s", describe_attempts(call)),
			 hint != NULL ? errhint("%s", hint) : 0,
			 errcontext("request %s %s", endpoint->method, call->path)));
}

void
chpg_call_report(const ChpgCall *call)
{
	report(call, ERROR);
	pg_unreachable();
}

void
chpg_call_warn(const ChpgCall *call)
{
	report(call, WARNING);
}

bool
chpg_call_concerns_service(const ChpgCall *call)
{
	return call->failure != FAILURE_KEY &&
		call->failure != FAILURE_RATE_LIMIT &&
		call->failure != FAILURE_TOO_MANY && call->failure != FAILURE_LOCAL;
}

const char *
chpg_describe_budget(int64 requests, int available, int64 done)
{
	int64		wait = Max(done - chpg_now(), 0);
	TimestampTz time;

	if (pg_add_s64_overflow(GetCurrentTimestamp(), wait, &time))
		time = DT_NOEND;
	return psprintf(INT64_FORMAT " %s needed, and " INT64_FORMAT " can be sent now; the last could be sent in %.1f s, at %s.",
					requests, requests == 1 ? "request is" : "requests are",
					Min(available, requests), (double) wait / USECS_PER_SEC,
					timestamptz_to_str(time));
}

void
chpg_report_no_time(const ChpgRequest *request, int64 requests, int available,
					int64 done, const char *setting)
{
	const FailureText *text = &failure_texts[FAILURE_RATE_LIMIT];

	ereport(ERROR,
			(errcode(text->sqlstate),
			 errmsg("could not %s%s: the key's request budget does not allow it in time",
					request->endpoint->purpose, describe_service(request)),
			 errdetail_internal("%s", chpg_describe_budget(requests, available, done)),
			 errhint("Ask for less, or raise \"%s\".", setting)));
}

void
chpg_report_too_many(const ChpgRequest *request, int64 requests)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("could not %s%s: " INT64_FORMAT " requests are needed, of which \"chpg.max_requests\" allows %d",
					request->endpoint->purpose, describe_service(request),
					requests, chpg_max_requests),
			 errdetail("Nothing was sent for them."),
			 errhint(TOO_MANY_HINT)));
}
