/*-------------------------------------------------------------------------
 *
 * client.c
 *		Calls of the API: from an endpoint and arguments to a parsed answer.
 *
 * The only place that knows the API's envelope, when a request may be sent
 * again, and which SQLSTATE an outcome has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "budget.h"
#include "client.h"
#include "common/pg_prng.h"
#include "http.h"
#include "lib/stringinfo.h"
#include "quote.h"
#include "settings.h"
#include "sockets.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Microseconds before the second attempt; doubled for each further one. */
#define FIRST_DELAY			INT64CONST(250000)

/* Where the API names no time after a 429: its whole window. */
#define DEFAULT_RESET		10.0

/* A longer time is none, but a date, say. */
#define MAX_RESET			3600

typedef enum CallState
{
	CALL_RUNNING,
	CALL_SUCCEEDED,
	CALL_FAILED
} CallState;

/* The ways in which a call can fail, told apart by what the user can do. */
typedef enum Failure
{
	FAILURE_REFUSED,			/* 400, 422 and other 4xx */
	FAILURE_KEY,				/* 401 */
	FAILURE_PERMISSION,			/* 403 */
	FAILURE_NOT_FOUND,			/* 404 */
	FAILURE_CONFLICT,			/* 409 */
	FAILURE_RATE_LIMIT,			/* 429 */
	FAILURE_API,				/* 5xx */
	FAILURE_MALFORMED,			/* 3xx, or not what the API answers */
	FAILURE_NOT_CONNECTED,
	FAILURE_UNTRUSTED,
	FAILURE_BROKEN,
	FAILURE_TIMED_OUT,
	FAILURE_UNKNOWN,			/* a write that may have been carried out */
	FAILURE_TOO_LARGE,
	FAILURE_LOCAL
} Failure;

struct ChpgCall
{
	ChpgQuestion question;
	MemoryContext context;
	char	   *url;
	char	   *path;			/* for messages */
	const char *body;
	bool		write;
	CallState	state;
	ChpgTransfer *transfer;		/* NULL between attempts */
	int64		started;		/* when the first attempt was due */
	int64		not_before;		/* when the next attempt is due */
	int			attempts;
	int			rate_limited;	/* attempts that only the budget refused */
	ChpgJson   *document;
	char	   *text;			/* of an answer that is no JSON */

	/* of the last attempt */
	Failure		failure;
	int			status;			/* HTTP status, or 0 */
	const char *detail;			/* a sentence, or NULL */
	bool		by_api;			/* the API itself says that it failed */
	char	   *request_id;
	double		wait;			/* seconds the rate limit asks for */
};

/*
 * The life of a call
 */

ChpgCall *
chpg_call_create(const ChpgQuestion *question)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg call",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ChpgCall   *call = palloc0(sizeof(ChpgCall));

	call->context = context;
	call->question = *question;
	call->path = chpg_build_path(question);
	call->url = chpg_build_url(question, call->path);
	call->body = chpg_build_body(question, false);
	call->write = chpg_is_write(question->endpoint);
	call->started = chpg_now();
	MemoryContextSwitchTo(caller);
	return call;
}

void
chpg_call_end(ChpgCall *call)
{
	MemoryContextDelete(call->context);
}

static void
send_request(ChpgCall *call)
{
	const ChpgConnection *connection = call->question.connection;
	ChpgHttpRequest request = {
		.method = call->question.endpoint->method,
		.url = call->url,
		.body = call->body,
		.user = connection->key_id,
		.password = connection->key_secret,
		.ca_file = connection->ca_file,
		.proxy = connection->proxy,
		.fresh = call->write,
		.connect_timeout = chpg_connect_timeout,
		.timeout = chpg_request_timeout,
		.max_size = (size_t) chpg_max_response_size * 1024
	};

	if (call->question.deadline > 0)
		request.timeout = Max(Min(request.timeout,
								  (call->question.deadline - chpg_now()) / 1000), 1);
	call->attempts++;
	call->transfer = chpg_http_start(call->context, &request);
}

/* A string member of the envelope, or NULL. */
static char *
remote_string(const ChpgCall *call, ChpgJson *document, const char *key)
{
	ChpgJsonNode *node = chpg_json_get(chpg_json_root(document), key);

	if (chpg_json_kind(node) != CHPG_JSON_STRING)
		return NULL;
	return chpg_quote_remote(&call->question, chpg_json_text(node));
}

static Failure
failure_of_answer(const ChpgCall *call)
{
	/* Something stopped in the middle, here or there. */
	if (call->write && (call->status >= 500 || call->status == 408))
		return FAILURE_UNKNOWN;
	switch (call->status)
	{
		case 401:
			return FAILURE_KEY;
		case 403:
			return FAILURE_PERMISSION;
		case 404:
			return FAILURE_NOT_FOUND;
		case 409:
			return FAILURE_CONFLICT;
		case 429:
			return FAILURE_RATE_LIMIT;
	}
	if (call->status >= 500)
		return FAILURE_API;
	if (call->status >= 400)
		return FAILURE_REFUSED;
	return FAILURE_MALFORMED;
}

/* A write with an answer that nobody understands was carried out or not. */
static Failure
malformed(const ChpgCall *call)
{
	return call->write ? FAILURE_UNKNOWN : FAILURE_MALFORMED;
}

static Failure
failure_of_outcome(const ChpgCall *call, ChpgHttpOutcome outcome)
{
	switch (outcome)
	{
		case CHPG_HTTP_ANSWERED:
			break;
		case CHPG_HTTP_NOT_CONNECTED:
			return FAILURE_NOT_CONNECTED;
		case CHPG_HTTP_UNTRUSTED:
			return FAILURE_UNTRUSTED;
		case CHPG_HTTP_BROKEN:
			return call->write ? FAILURE_UNKNOWN : FAILURE_BROKEN;
		case CHPG_HTTP_TIMED_OUT:
			return call->write ? FAILURE_UNKNOWN : FAILURE_TIMED_OUT;
		case CHPG_HTTP_MALFORMED:
			return malformed(call);
		case CHPG_HTTP_TOO_LARGE:
			return call->write ? FAILURE_UNKNOWN : FAILURE_TOO_LARGE;
		case CHPG_HTTP_FAILED:
			return FAILURE_LOCAL;
	}
	return FAILURE_MALFORMED;
}

static void
fail(ChpgCall *call, Failure failure, const char *detail)
{
	call->state = CALL_FAILED;
	call->failure = failure;
	call->detail = detail;
}

static void
read_json(ChpgCall *call, bool ok, ChpgJson *document)
{
	const char *error = remote_string(call, document, "error");

	call->request_id = remote_string(call, document, "requestId");
	call->by_api = error != NULL;
	if (error != NULL)
		error = psprintf("The API says: \"%s\".", error);
	if (!ok)
		fail(call, failure_of_answer(call), error);
	else if (chpg_json_get(chpg_json_root(document), "result") == NULL &&
			 !call->question.endpoint->acknowledges)
		fail(call, malformed(call),
			 error ? error : "The answer has no \"result\".");
	else
	{
		call->document = document;
		call->state = CALL_SUCCEEDED;
	}
}

/* From a proxy, as a rule. */
static void
read_other(ChpgCall *call, const ChpgHttpResponse *response)
{
	char	   *location = chpg_http_header(call->transfer, "Location");
	const char *detail = response->length > 0 ? "The answer is not JSON." : NULL;

	if (location != NULL && response->status < 400)
		detail = psprintf("It redirects to \"%s\".",
						  chpg_quote_remote(&call->question, location));
	fail(call, failure_of_answer(call), detail);
}

/* The answer's envelope: {"result": ..., "requestId": ..., "status": 200}. */
static void
read_answer(ChpgCall *call, const ChpgHttpResponse *response)
{
	bool		ok = response->status >= 200 && response->status <= 299;
	ChpgJson   *document;
	const char *problem;
	ChpgJsonResult rc;

	if (ok && call->question.endpoint->rows == NULL)
	{
		const char *start = call->question.endpoint->text_start;

		if (strncmp(response->body, start, strlen(start)) != 0)
		{
			fail(call, FAILURE_MALFORMED,
				 psprintf("The answer does not begin with \"%s\".", start));
			return;
		}
		call->text = chpg_json_convert(response->body, response->length);
		call->state = CALL_SUCCEEDED;
		return;
	}
	rc = chpg_json_parse(call->context, response->body, response->length,
						 &document, &problem);
	if (rc == CHPG_JSON_OK)
		read_json(call, ok, document);
	else if (!ok)
		read_other(call, response);
	else
		fail(call, rc == CHPG_JSON_TOO_LARGE && !call->write ?
			 FAILURE_TOO_LARGE : malformed(call),
			 psprintf("The answer is not usable as JSON: %s.", problem));
	if (call->document == NULL)
		chpg_json_free(document);
}

/* Seconds until the API takes requests again, by its own word. */
static double
reset_time(ChpgTransfer *transfer, const ChpgHttpResponse *response)
{
	const char *reset = chpg_http_header(transfer, "X-RateLimit-Reset");

	if (reset != NULL)
	{
		char	   *end;
		double		seconds = strtod(reset, &end);

		if (end != reset && seconds >= 0 && seconds <= MAX_RESET)
			return Max(seconds, (double) Min(response->retry_after, MAX_RESET));
	}
	if (response->retry_after > 0)
		return Min(response->retry_after, MAX_RESET);
	return DEFAULT_RESET;
}

static bool
is_transient(const ChpgCall *call)
{
	switch (call->failure)
	{
		case FAILURE_RATE_LIMIT:
		case FAILURE_NOT_CONNECTED:
			return true;		/* it certainly was not carried out */
		case FAILURE_API:
		case FAILURE_BROKEN:
		case FAILURE_TIMED_OUT:
			return !call->write;
		default:
			return false;
	}
}

/* Grows with each attempt, and differs between backends. */
static double
backoff(const ChpgCall *call)
{
	double		delay = (double) FIRST_DELAY * (1 << Min(call->attempts - 1, 6));

	return delay * (0.5 + pg_prng_double(&pg_global_prng_state) / 2);
}

/* After a failed attempt: send again later, or leave it failed. */
static void
consider_retry(ChpgCall *call, double retry_after)
{
	int64		now = chpg_now();
	double		delay = Max(backoff(call), retry_after * USECS_PER_SEC);

	if (call->failure == FAILURE_RATE_LIMIT)
	{
		call->rate_limited++;
		delay = Max(delay, call->wait * USECS_PER_SEC);
		chpg_budget_block(call->question.connection,
						  now + (int64) (call->wait * USECS_PER_SEC));
	}
	if (!is_transient(call) || call->question.once || chpg_max_retries == 0 ||
		call->attempts - call->rate_limited > chpg_max_retries ||
		now - call->started + delay > (double) chpg_max_wait * 1000)
		return;
	call->not_before = now + (int64) delay;
	call->state = CALL_RUNNING;
}

/* Take what a transfer that has ended brought. */
static void
settle(ChpgCall *call, const ChpgHttpResponse *response)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	call->status = response->status;
	call->request_id = NULL;
	call->by_api = false;
	if (response->outcome == CHPG_HTTP_ANSWERED)
		read_answer(call, response);
	else
		fail(call, failure_of_outcome(call, response->outcome),
			 psprintf("%s.", chpg_quote_remote(&call->question, pstrdup(response->error))));
	if (call->state == CALL_FAILED)
	{
		if (call->failure == FAILURE_RATE_LIMIT)
			call->wait = reset_time(call->transfer, response);
		consider_retry(call, (double) response->retry_after);
	}
	chpg_http_end(call->transfer);
	call->transfer = NULL;
	MemoryContextSwitchTo(caller);
}

/* What an interrupted write may have done must be said. */
static void
write_interrupted_callback(void *arg)
{
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);

		if (call->write && call->transfer != NULL)
			errcontext("request %s %s, which may have been carried out",
					   call->question.endpoint->method, call->path);
	}
}

/* Send what is due; returns when to look again. */
static int64
send_due(List *calls)
{
	int64		next = CHPG_FOREVER;
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);
		int64		due;
		int64		now;

		if (call->state != CALL_RUNNING || call->transfer != NULL)
			continue;
		due = Max(call->not_before,
				  chpg_budget_next(call->question.connection));
		now = chpg_now();
		if (due <= now)
			send_request(call);
		else if (due - call->started > (int64) chpg_max_wait * 1000 ||
				 (call->question.deadline > 0 && due > call->question.deadline))
		{
			call->wait = (double) (due - now) / USECS_PER_SEC;
			fail(call, FAILURE_RATE_LIMIT, NULL);
			return now;
		}
		else
			next = Min(next, due);
	}
	return next;
}

static ChpgCall *
find_ended(List *calls)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);
		const ChpgHttpResponse *response;

		if (call->transfer != NULL &&
			(response = chpg_http_response(call->transfer)) != NULL)
			settle(call, response);
		if (call->state != CALL_RUNNING)
			return call;
	}
	return NULL;
}

ChpgCall *
chpg_calls_wait(List *calls)
{
	ErrorContextCallback callback;
	ChpgCall   *ended;

	callback.callback = write_interrupted_callback;
	callback.arg = calls;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	while ((ended = find_ended(calls)) == NULL)
		chpg_http_wait(send_due(calls));
	error_context_stack = callback.previous;
	return ended;
}

ChpgJson *
chpg_call_document(const ChpgCall *call)
{
	return call->document;
}

const char *
chpg_call_text(const ChpgCall *call)
{
	return call->text;
}

const char *
chpg_call_request_id(const ChpgCall *call)
{
	return call->request_id;
}

int
chpg_call_status(const ChpgCall *call)
{
	return call->status;
}

bool
chpg_call_failed(const ChpgCall *call)
{
	return call->state == CALL_FAILED;
}

bool
chpg_call_in_flight(const ChpgCall *call)
{
	return call->transfer != NULL;
}

bool
chpg_call_is_rate_limited(const ChpgCall *call)
{
	return call->state == CALL_FAILED && call->failure == FAILURE_RATE_LIMIT;
}

bool
chpg_call_is_ambiguous(const ChpgCall *call)
{
	return call->failure == FAILURE_UNKNOWN;
}

bool
chpg_call_is_transient(const ChpgCall *call)
{
	return call->state == CALL_FAILED && is_transient(call);
}

bool
chpg_call_refused_with(const ChpgCall *call, const char *words)
{
	return call->state == CALL_FAILED && call->failure == FAILURE_REFUSED &&
		call->detail != NULL && strstr(call->detail, words) != NULL;
}

bool
chpg_call_not_found(const ChpgCall *call)
{
	return call->state == CALL_FAILED && call->failure == FAILURE_NOT_FOUND &&
		call->by_api;
}

ChpgJson *
chpg_call_perform(const ChpgQuestion *question, ChpgCall **result)
{
	ChpgCall   *call = chpg_call_create(question);

	(void) chpg_calls_wait(list_make1(call));
	if (call->state == CALL_FAILED)
		chpg_call_report(call);
	*result = call;
	return call->document;
}

/*
 * Errors
 */

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
	[FAILURE_LOCAL] = {
		ERRCODE_SYSTEM_ERROR,
		"the request failed on this side",
		NULL
	},
};

static const char *
failure_reason(const ChpgCall *call)
{
	if (call->failure == FAILURE_NOT_FOUND && call->question.path == NULL &&
		!chpg_endpoint_is_per_service(call->question.endpoint))
		return "the API does not know the organization";
	return failure_texts[call->failure].reason;
}

static const char *
failure_hint(const ChpgCall *call)
{
	const ChpgEndpoint *endpoint = call->question.endpoint;

	if (call->failure == FAILURE_PERMISSION && endpoint->permission != NULL)
		return psprintf("The role of key \"%s\" needs the permission %s.",
						call->question.connection->key_id,
						endpoint->permission);
	if (call->failure == FAILURE_NOT_FOUND && call->question.path != NULL)
		return "Check the argument \"path\".";
	if (call->failure == FAILURE_NOT_FOUND &&
		chpg_endpoint_is_per_service(endpoint))
		return "SELECT * FROM chpg_services shows the services that exist.";
	return failure_texts[call->failure].hint;
}

static char *
describe_service(const ChpgQuestion *question)
{
	if (question->service_id == NULL)
		return "";
	if (question->service_name == NULL ||
		strcmp(question->service_name, question->service_id) == 0)
		return psprintf(" service \"%s\"", question->service_id);
	return psprintf(" service \"%s\" (%s)", question->service_name,
					question->service_id);
}

/* What is known of the last attempt, as sentences. */
static char *
describe_attempts(const ChpgCall *call)
{
	StringInfoData detail;

	initStringInfo(&detail);
	if (call->detail != NULL)
		appendStringInfo(&detail, "%s ", call->detail);
	if (call->failure == FAILURE_RATE_LIMIT)
		appendStringInfo(&detail, "The budget resets in %.1f s. ", call->wait);
	if (call->attempts == 0)
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
	appendStringInfo(&detail, ", %d %s.", call->attempts,
					 call->attempts == 1 ? "attempt" : "attempts");
	return detail.data;
}

static void
call_context_callback(void *arg)
{
	ChpgCall   *call = (ChpgCall *) arg;

	errcontext("request %s %s%s%s", call->question.endpoint->method, call->path,
			   call->write ? ", which was carried out" : "",
			   call->question.service_name == NULL ? "" :
			   psprintf(" for service \"%s\"", call->question.service_name));
}

void
chpg_call_push_context(ChpgCall *call, ErrorContextCallback *callback)
{
	callback->callback = call_context_callback;
	callback->arg = call;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
chpg_call_report(const ChpgCall *call)
{
	const ChpgEndpoint *endpoint = call->question.endpoint;
	const FailureText *text = &failure_texts[call->failure];
	const char *hint = failure_hint(call);

	ereport(ERROR,
			(errcode(text->sqlstate),
			 errmsg("could not %s%s: %s", endpoint->purpose,
					describe_service(&call->question), failure_reason(call)),
			 errdetail_internal("%s", describe_attempts(call)),
			 hint != NULL ? errhint("%s", hint) : 0,
			 errcontext("request %s %s", endpoint->method, call->path)));
}
