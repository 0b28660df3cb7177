/*-------------------------------------------------------------------------
 *
 * answer.c
 *		What an answer of the API says: a document, or how the call failed.
 *
 * The only place that knows the API's envelope.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ascii.h"
#include "engine/call.h"
#include "engine/redact.h"

/* The last line of OpenMetrics */
#define OPENMETRICS_END	"# EOF"

/* A string member of the envelope, or NULL. */
static char *
remote_string(const ChpgCall *call, ChpgJson *document, const char *key)
{
	ChpgJsonNode *node = chpg_json_get(chpg_json_root(document), key);

	if (chpg_json_kind(node) != CHPG_JSON_STRING)
		return NULL;
	return chpg_redact_remote(&call->request, chpg_json_text(node));
}

/*
 * The failure that an HTTP status of 300 or more stands for.
 *
 * 408 says that the request did not arrive in time, but a proxy sends it also
 * when the API behind it was slow: a write may have been carried out.  425
 * certainly means that the request was not processed.
 */
static Failure
failure_of_answer(const ChpgCall *call)
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

Failure
chpg_failure_of_outcome(const ChpgCall *call, ChpgHttpOutcome outcome)
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
chpg_call_fail(ChpgCall *call, Failure failure, const char *detail)
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
		chpg_call_fail(call, failure_of_answer(call), error);
	else if (chpg_json_get(chpg_json_root(document), "result") == NULL &&
			 !call->request.endpoint->acknowledges)
		chpg_call_fail(call, malformed(call),
					   error ? error : "The answer has no \"result\".");
	else
	{
		call->document = document;
		call->state = CALL_SUCCEEDED;
	}
}

/* From a proxy, as a rule. */
static void
read_other(ChpgCall *call, const ChpgAnswer *answer)
{
	char	   *location = NULL;
	const char *detail = answer->length > 0 ? "The answer is not JSON." : NULL;

	if (call->transfer != NULL)
		location = chpg_http_header(call->transfer, "Location");
	if (location != NULL && answer->status < 400)
		detail = psprintf("It redirects to \"%s\".",
						  chpg_redact_remote(&call->request, location));
	chpg_call_fail(call, failure_of_answer(call), detail);
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

/*
 * A text may be cut, here or on the other side of a proxy, and still be one.
 * Whether this one is whole: CHPG_HTTP_ANSWERED, or what it is to be taken for,
 * and why.  JSON shows that by itself.
 */
ChpgHttpOutcome
chpg_call_check_end(const ChpgCall *call, const ChpgAnswer *answer, bool has_end,
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
		*problem = "The answer does not end with \"" OPENMETRICS_END "\"";
		return CHPG_HTTP_BROKEN;
	}
	if (!has_end)
	{
		*problem = "The answer does not say where it ends, so that a part of it would look like all of it";
		return CHPG_HTTP_MALFORMED;
	}
	/* A page of HTML is refused for what it is. */
	if (answer->length == 0 || ends_with(answer, endpoint->text_end) ||
		*answer->body == '<')
		return CHPG_HTTP_ANSWERED;
	*problem = *endpoint->text_start == '\0' ?
		"The answer ends within a line" :
		psprintf("The answer does not end with \"%s\"", endpoint->text_end);
	return CHPG_HTTP_BROKEN;
}

/* A text, as it is. */
static void
read_text(ChpgCall *call, const ChpgAnswer *answer)
{
	const char *start = call->request.endpoint->text_start;

	if (answer->status != 200)
		chpg_call_fail(call, FAILURE_MALFORMED,
					   "Only an answer with HTTP status 200 has all of it.");
	else if (strncmp(answer->body, start, strlen(start)) != 0)
		chpg_call_fail(call, FAILURE_MALFORMED,
					   psprintf("The answer does not begin with \"%s\".", start));
	else
	{
		call->text = chpg_json_convert(answer->body, answer->length);
		call->state = CALL_SUCCEEDED;
	}
}

/* The answer's envelope: {"result": ..., "requestId": ..., "status": 200}. */
void
chpg_call_read(ChpgCall *call, const ChpgAnswer *answer)
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
	rc = chpg_json_parse(call->context, answer->body, answer->length,
						 &document, &problem);
	if (rc == CHPG_JSON_OK)
		read_json(call, ok, document);
	else if (!ok)
		read_other(call, answer);
	else
		chpg_call_fail(call, rc == CHPG_JSON_TOO_LARGE && !call->write ?
					   FAILURE_TOO_LARGE : malformed(call),
					   psprintf("The answer is not usable as JSON: %s.", problem));
	if (call->document == NULL)
		chpg_json_free(document);
}
