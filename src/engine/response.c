/*-------------------------------------------------------------------------
 *
 * response.c
 *		How a call ended: with the API's answer, or with a failure.
 *
 * The only place that knows the API's envelope, and that gives failures their
 * SQLSTATE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ascii.h"
#include "common/hashfn.h"
#include "engine/call_private.h"
#include "engine/creations.h"
#include "engine/keys.h"
#include "engine/redact.h"
#include "engine/response.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

/* The longest cursor, in bytes; it becomes part of a URL. */
#define MAX_CURSOR		2048

/* The last line of OpenMetrics */
#define OPENMETRICS_END	"# EOF"

/*
 * Reading an answer
 */

/* A string member of the envelope, or NULL. */
static char *
remote_string(const ChpgCall *call, ChpgJson *document, const char *key)
{
	ChpgJsonNode *node = chpg_json_get(chpg_json_root(document), key);

	if (chpg_json_kind(node) != CHPG_JSON_STRING)
		return NULL;
	return chpg_redact_remote(&call->request, chpg_json_text(node));
}

/* Does the API's error, which may be NULL, name a feature rather than a permission? */
static bool
names_feature(const char *error)
{
	return error != NULL && (strstr(error, "early access") != NULL ||
							 strstr(error, "has not been setup") != NULL);
}

/*
 * The failure that an HTTP status of 300 or more stands for.
 *
 * 408 says that the request did not arrive in time, but a proxy sends it also
 * when the API behind it was slow: a write may have been carried out.  425
 * certainly means that the request was not processed.  The API's error tells two
 * kinds of 403 apart; it is NULL if there is none.
 */
static Failure
failure_of_answer(const ChpgCall *call, const char *error)
{
	if (call->write && (call->status >= 500 || call->status == 408))
		return FAILURE_UNKNOWN;
	switch (call->status)
	{
		case 408:
			return FAILURE_API;
		case 425:
			return call->write ? FAILURE_REFUSED : FAILURE_API;
		case 401:
			return FAILURE_KEY;
		case 403:
			return names_feature(error) ? FAILURE_NOT_ENABLED : FAILURE_PERMISSION;
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

/* The failure of an answer that cannot be read: a write may have been carried out. */
static Failure
malformed(const ChpgCall *call)
{
	return call->write ? FAILURE_UNKNOWN : FAILURE_MALFORMED;
}

/* The failure that a transfer without an answer stands for. */
static Failure
failure_of_transfer(const ChpgCall *call, ChpgHttpOutcome outcome)
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

void
chpg_response_fail(ChpgCall *call, Failure failure, const char *detail,
				   const char *hint)
{
	call->phase = CALL_FAILED;
	call->failure = failure;
	call->detail = detail;
	call->hint = hint;
}

void
chpg_response_fail_transfer(ChpgCall *call, ChpgHttpOutcome outcome, int status,
							const char *problem)
{
	call->status = status;
	call->request_id = NULL;
	call->by_api = false;
	chpg_response_fail(call, failure_of_transfer(call, outcome),
					   psprintf("%s.", chpg_redact_remote(&call->request,
														  pstrdup(problem))),
					   NULL);
}

/* Read a document of the API: its envelope is {"result": ..., "requestId": ..., "status": 200}. */
static void
read_json(ChpgCall *call, bool ok, ChpgJson *document)
{
	const char *error = remote_string(call, document, "error");

	call->request_id = remote_string(call, document, "requestId");
	call->by_api = error != NULL;
	if (error != NULL)
		error = psprintf("The API says: \"%s\".", error);
	if (!ok)
		chpg_response_fail(call, failure_of_answer(call, error), error, NULL);
	else if (chpg_json_get(chpg_json_root(document), "result") == NULL &&
			 !call->request.endpoint->acknowledges)
		chpg_response_fail(call, malformed(call),
						   error ? error : "The response lacks \"result\".", NULL);
	else
	{
		call->document = document;
		call->phase = CALL_SUCCEEDED;
	}
}

/* Read a failure that is no document: it comes from a proxy, as a rule. */
static void
read_other(ChpgCall *call, const ChpgAnswer *answer)
{
	char	   *location = NULL;
	const char *detail = answer->length > 0 ? "The response is not JSON." : NULL;

	if (call->transfer != NULL)
		location = chpg_http_header(call->transfer, "Location");
	if (location != NULL && answer->status < 400)
		detail = psprintf("It redirects to \"%s\".",
						  chpg_redact_remote(&call->request, location));
	chpg_response_fail(call, failure_of_answer(call, NULL), detail, NULL);
}

/* Does a text end with this, but for blanks and line ends after it? */
static bool
ends_with(const ChpgAnswer *answer, const char *end)
{
	size_t		length = strlen(end);
	size_t		total = answer->length;

	while (end[length - 1] != '\n' && total > length &&
		   memchr(" \t\r\n", answer->body[total - 1], 4) != NULL)
		total--;
	return total >= length &&
		memcmp(answer->body + total - length, end, length) == 0;
}

ChpgHttpOutcome
chpg_response_check_end(const ChpgCall *call, const ChpgAnswer *answer, bool has_end,
						const char **problem)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;
	const char *type = chpg_http_header(call->transfer, "Content-Type");
	bool		is_openmetrics = type != NULL &&
	chpg_begins_in_any_case(type, "application/openmetrics-text");

	if (endpoint->rows != NULL || answer->status != 200 ||
		(*endpoint->text_start == '\0' && ends_with(answer, OPENMETRICS_END)))
		return CHPG_HTTP_ANSWERED;
	if (is_openmetrics)
	{
		*problem = "The response does not end with \"" OPENMETRICS_END "\"";
		return CHPG_HTTP_BROKEN;
	}
	if (!has_end)
	{
		*problem = "The response does not mark its end, so that a part would look like all of it";
		return CHPG_HTTP_MALFORMED;
	}
	/* A page of HTML is refused for what it is. */
	if (answer->length == 0 || ends_with(answer, endpoint->text_end) ||
		*answer->body == '<')
		return CHPG_HTTP_ANSWERED;
	*problem = *endpoint->text_start == '\0' ?
		"The response ends within a line" :
		psprintf("The response does not end with \"%s\"", endpoint->text_end);
	return CHPG_HTTP_BROKEN;
}

/* Is there nothing, or nothing but blanks and line ends, in an answer? */
static bool
is_blank(const ChpgAnswer *answer)
{
	return answer->length == 0 ||
		strspn(answer->body, " \t\r\n") == answer->length;
}

/* Skip the empty lines, and the comments, that a bundle of certificates may begin with. */
static const char *
skip_comments(const char *text)
{
	for (;;)
	{
		text += strspn(text, " \t\r\n");
		if (*text != '#')
			return text;
		text += strcspn(text, "\n");
	}
}

/* Read an answer that is a text, as it is. */
static void
read_text(ChpgCall *call, const ChpgAnswer *answer)
{
	const char *start = call->request.endpoint->text_start;

	if (answer->status != 200)
		chpg_response_fail(call, FAILURE_MALFORMED,
						   "Only a response with HTTP status 200 is complete.", NULL);
	else if (*start != '\0' &&
			 strncmp(skip_comments(answer->body), start, strlen(start)) != 0)
		chpg_response_fail(call, FAILURE_MALFORMED,
						   psprintf("The response does not begin with \"%s\".", start), NULL);
	else
	{
		call->text = chpg_json_convert(answer->body, answer->length);
		call->phase = CALL_SUCCEEDED;
	}
}

void
chpg_response_read(ChpgCall *call, const ChpgAnswer *answer)
{
	bool		ok = answer->status >= 200 && answer->status <= 299;
	ChpgJson   *document;
	const char *problem;
	ChpgJsonResult rc;

	call->status = answer->status;
	call->request_id = NULL;
	call->by_api = false;
	if (ok && call->request.endpoint->rows == NULL)
	{
		read_text(call, answer);
		return;
	}
	if (ok && call->write && call->request.endpoint->acknowledges &&
		is_blank(answer))
	{
		/* The status acknowledges the change. */
		read_json(call, ok, chpg_json_create(call->context));
		return;
	}
	rc = chpg_json_parse(call->context, answer->body, answer->length,
						 &document, &problem);
	if (rc == CHPG_JSON_OK)
		read_json(call, ok, document);
	else if (!ok)
		read_other(call, answer);
	else
		chpg_response_fail(call, rc == CHPG_JSON_TOO_LARGE && !call->write ?
						   FAILURE_TOO_LARGE : malformed(call),
						   psprintf("The response is not usable as JSON: %s.", problem), NULL);
	if (call->document == NULL)
		chpg_json_free(document);
}

/*
 * What has become of a call
 */

ChpgJson *
chpg_call_document(const ChpgCall *call)
{
	return call->document;
}

ChpgJsonNode *
chpg_call_result(const ChpgCall *call)
{
	return chpg_json_get(chpg_json_root(call->document), "result");
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

char *
chpg_call_next_cursor(const ChpgCall *call, int page, ChpgPageDedup **seen)
{
	ChpgJsonNode *node = chpg_json_get(chpg_json_root(call->document), "nextCursor");
	char	   *cursor = NULL;
	uint64		hash;
	bool		repeated;

	/* Some lists stand, with their pagination, in the result. */
	if (node == NULL)
		node = chpg_json_get(chpg_json_get(chpg_call_result(call), "pagination"),
							 "nextCursor");
	if (node == NULL)
		return NULL;
	if (chpg_json_kind(node) == CHPG_JSON_STRING)
	{
		(void) chpg_json_serialize_exactly(node);	/* no replaced characters */
		cursor = chpg_json_text(node);
	}
	if (cursor == NULL || *cursor == '\0' || strlen(cursor) > MAX_CURSOR)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"nextCursor\" of page %d is no text of 1 to %d bytes",
						page, MAX_CURSOR)));
	if (*seen == NULL)
		*seen = chpg_page_dedup_create();
	hash = hash_bytes_extended((unsigned char *) cursor, strlen(cursor), 0);
	if (chpg_page_dedup_add(*seen, &hash, 1, &repeated) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"nextCursor\" of page %d is that of an earlier page",
						page)));
	return cursor;
}

void
chpg_call_explain(ChpgCall *call, const char *reason, const char *hint)
{
	call->reason = reason;
	call->hint = hint;
}

bool
chpg_call_failed(const ChpgCall *call)
{
	return call->phase == CALL_FAILED;
}

bool
chpg_call_is_rate_limited(const ChpgCall *call)
{
	return call->phase == CALL_FAILED && call->failure == FAILURE_RATE_LIMIT;
}

bool
chpg_call_is_ambiguous(const ChpgCall *call)
{
	return call->failure == FAILURE_UNKNOWN;
}

bool
chpg_call_is_transient(const ChpgCall *call)
{
	if (call->phase != CALL_FAILED)
		return false;
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

bool
chpg_call_refused_with(const ChpgCall *call, const char *words)
{
	return call->phase == CALL_FAILED && call->failure == FAILURE_REFUSED &&
		call->detail != NULL && strstr(call->detail, words) != NULL;
}

bool
chpg_call_not_enabled(const ChpgCall *call)
{
	return call->phase == CALL_FAILED && call->failure == FAILURE_NOT_ENABLED;
}

bool
chpg_call_not_found(const ChpgCall *call)
{
	return call->phase == CALL_FAILED && call->failure == FAILURE_NOT_FOUND &&
		call->by_api;
}

bool
chpg_call_concerns_service(const ChpgCall *call)
{
	return call->failure != FAILURE_KEY &&
		call->failure != FAILURE_RATE_LIMIT &&
		call->failure != FAILURE_TOO_MANY && call->failure != FAILURE_LOCAL;
}

bool
chpg_call_may_blame_state(const ChpgCall *call)
{
	if (call->phase != CALL_FAILED)
		return false;
	switch (call->failure)
	{
		case FAILURE_REFUSED:
		case FAILURE_CONFLICT:
		case FAILURE_API:
			return true;
		default:
			return chpg_call_not_found(call);
	}
}

/*
 * Reporting a failure
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
		"the API rejected the request",
		NULL
	},
	[FAILURE_KEY] = {
		ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		"the API did not accept the key",
		"Check the secret, and that the key is not revoked or expired. Set the right one with chpg_connect() or ALTER USER MAPPING."
	},
	[FAILURE_PERMISSION] = {
		ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the key does not have the permission",
		NULL
	},
	[FAILURE_NOT_ENABLED] = {
		ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the feature may not be enabled for the organization",
		"Ask the support of ClickHouse Cloud to enable it."
	},
	[FAILURE_NOT_FOUND] = {
		ERRCODE_UNDEFINED_OBJECT,
		"the API did not find it",
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
		"malformed API response",
		"Check the server's option api_url: a proxy or a login page may have responded instead."
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
		"the connection broke before the response was complete",
		"Try again later."
	},
	[FAILURE_TIMED_OUT] = {
		ERRCODE_CONNECTION_FAILURE,
		"the API did not answer in time",
		"Try again later, or raise \"chpg.request_timeout\"."
	},
	[FAILURE_UNKNOWN] = {
		ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN,
		"no complete response arrived, and the request may have been carried out",
		"Look at the present state before you try again."
	},
	[FAILURE_TOO_LARGE] = {
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		"the response is too large",
		"Ask for less, such as a shorter window, or raise \"chpg.max_response_size\"."
	},
	[FAILURE_TOO_MANY] = {
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		"the statement has sent as many requests as \"chpg.max_requests\" allows",
		"Ask for less: a shorter window, larger buckets, fewer services. Superusers may raise \"chpg.max_requests\"."
	},
	[FAILURE_LOCAL] = {
		ERRCODE_SYSTEM_ERROR,
		"the request failed locally",
		NULL
	},
};

/* Did the API not find a service that was created just now? */
static bool
is_new_service(const ChpgCall *call)
{
	const ChpgRequest *request = &call->request;

	return call->failure == FAILURE_NOT_FOUND && request->service_id != NULL &&
		chpg_creation_is_recent(request->connection, request->service_id);
}

/* The end of the primary message of a call's failure. */
static const char *
failure_reason(const ChpgCall *call)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;

	if (call->reason != NULL)
		return call->reason;
	if (is_new_service(call))
		return "the API does not show the new service yet: call chpg_wait()";
	if (call->failure == FAILURE_PERMISSION && endpoint->may_be_disabled)
		return "the key does not have the permission, or the organization not the feature";
	if (call->failure == FAILURE_NOT_FOUND && call->request.path == NULL &&
		endpoint->missing_reason != NULL)
		return endpoint->missing_reason;
	if (call->failure == FAILURE_NOT_FOUND && call->request.path == NULL &&
		endpoint->missing_hint != NULL)
		return "the API does not have this operation";
	if (call->failure == FAILURE_NOT_FOUND && call->request.path == NULL &&
		!chpg_endpoint_is_per_service(endpoint))
		return "the API did not find the organization";
	return failure_texts[call->failure].reason;
}

void
chpg_call_blame_state(ChpgCall *call, const char *state, const char *name)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	chpg_call_explain(call,
					  psprintf("the service%s is \"%s\", and %s",
							   name != NULL ? psprintf(", \"%s\",", name) : "", state,
							   failure_reason(call)),
					  "Read it again when chpg_services shows it as running.");
	MemoryContextSwitchTo(caller);
}

/* The HINT of a missing permission, with all that the endpoint requires; palloc'd. */
static char *
permission_hint(const ChpgCall *call)
{
	const char *const *permissions = call->request.endpoint->permissions;
	StringInfoData hint;

	initStringInfo(&hint);
	appendStringInfo(&hint, "The role of key \"%s\" needs the %s %s",
					 chpg_key_shown_id(call->request.connection),
					 permissions[1] != NULL ? "permissions" : "permission",
					 permissions[0]);
	for (int i = 1; i < CHPG_MAX_PERMISSIONS && permissions[i] != NULL; i++)
		appendStringInfo(&hint, " and %s", permissions[i]);
	appendStringInfoChar(&hint, '.');
	if (call->request.endpoint->may_be_disabled)
		appendStringInfoString(&hint, " If it has that, ask the support of ClickHouse Cloud to enable the feature.");
	return hint.data;
}

/* The HINT of a call's failure: its own, or one that suits the endpoint. */
static const char *
failure_hint(const ChpgCall *call)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;

	if (call->hint != NULL)
		return call->hint;
	if (call->failure == FAILURE_PERMISSION && endpoint->permissions[0] != NULL)
		return permission_hint(call);
	if (call->failure == FAILURE_NOT_FOUND && call->request.path != NULL)
		return "Check the argument \"path\".";
	if (is_new_service(call))
		return psprintf("Wait for it: SELECT * FROM chpg_wait(%s, server => %s);",
						quote_literal_cstr(call->request.service_id),
						quote_literal_cstr(call->request.connection->server));
	if (call->failure == FAILURE_NOT_FOUND && endpoint->missing_hint != NULL)
		return endpoint->missing_hint;
	if (call->failure == FAILURE_CONFLICT && endpoint->conflict_hint != NULL)
		return endpoint->conflict_hint;
	if (call->failure == FAILURE_NOT_FOUND &&
		chpg_endpoint_is_per_service(endpoint))
		return "SELECT * FROM chpg_services shows the services that exist.";
	return failure_texts[call->failure].hint;
}

const char *
chpg_describe_service(const ChpgRequest *request)
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

/* The DETAIL of a failed call: what is known of its last attempt, as sentences. */
static char *
describe_attempts(const ChpgCall *call)
{
	StringInfoData detail;

	initStringInfo(&detail);
	if (call->detail != NULL)
		appendStringInfo(&detail, "%s ", call->detail);
	if (call->failure == FAILURE_RATE_LIMIT && call->status == 429 &&
		call->wait_s > 0)
		appendStringInfo(&detail, "The budget resets in %.1f s. ", call->wait_s);
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
		appendStringInfoString(&detail, ", in response to another session.");
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
			   call->phase == CALL_FAILED ?
			   psprintf(", which failed with HTTP status %d", call->status) :
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

/* Throw or issue the message of a failed call. */
static void
report(const ChpgCall *call, int elevel)
{
	const ChpgEndpoint *endpoint = call->request.endpoint;
	const FailureText *text = &failure_texts[call->failure];
	const char *hint = failure_hint(call);

	ereport(elevel,
			(errcode(text->sqlstate),
			 errmsg("could not %s%s: %s", endpoint->purpose,
					chpg_describe_service(&call->request), failure_reason(call)),
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
