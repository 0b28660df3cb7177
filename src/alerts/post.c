/*-------------------------------------------------------------------------
 *
 * post.c
 *		Sending an alert to a webhook.
 *
 * The request is no request to the API: it has no key, and spends no budget.  Where
 * it may go is decided at the connection, by the address that the host's name has
 * resolved to, so that no name leads into the network of this machine.
 *
 * The outcome never shows the URL, nor what a receiver has answered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "alerts/webhook.h"
#include "ascii.h"
#include "engine/activity.h"
#include "engine/trust.h"
#include "engine/utility.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "net/addresses.h"
#include "net/clock.h"
#include "net/http.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

/* Milliseconds at most: a run of chpg_deliver() has a minute for all alerts. */
#define CONNECT_TIMEOUT		5000
#define REQUEST_TIMEOUT		10000

/* Bytes of a response, of which only the status counts */
#define MAX_RESPONSE_SIZE	(64 * 1024)

PG_FUNCTION_INFO_V1(chpg_can_commit);
PG_FUNCTION_INFO_V1(chpg_post_webhook);
PG_FUNCTION_INFO_V1(chpg_post_webhook_alone);

/* The networks of chpg.webhook_addresses, while a request is under way */
static ChpgNetworks allowed_networks;

static bool
accepts_address(const struct sockaddr *address)
{
	return chpg_is_public_address(address) ||
		chpg_is_in_networks(address, &allowed_networks);
}

/* Return the header with a body's signature, palloc'd. */
static char *
signature_header(const char *secret, const char *body)
{
	return psprintf("X-Chpg-Signature: sha256=%s",
					chpg_hmac_sha256(secret, strlen(secret), body, strlen(body)));
}

/* Return a JSON object with PagerDuty's routing key as its first field, palloc'd. */
static char *
with_routing_key(const char *secret, const char *body)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"routing_key\": ");
	escape_json(&text, secret);
	appendStringInfo(&text, ", %s", body + 1);
	return text.data;
}

/* Return what went wrong, in fixed words; NULL if the receiver has taken the request. */
static const char *
describe_outcome(const ChpgHttpResponse *response)
{
	bool		is_success = response->status >= 200 && response->status < 300;

	switch (response->outcome)
	{
		case CHPG_HTTP_ANSWERED:
			return is_success ? NULL : psprintf("HTTP status %d", response->status);
		case CHPG_HTTP_TOO_LARGE:
			return is_success ? NULL : "the response is too large";
		case CHPG_HTTP_NOT_CONNECTED:
			/* whether a port is open is not said */
			if (response->is_host_unknown)
				return "the name of the host is unknown";
			return response->address_refused ?
				"the address of the host is not allowed: see chpg.webhook_addresses" :
				"no connection";
		case CHPG_HTTP_UNTRUSTED:
			return "the certificate of the host is not valid: see ca_file of chpg_create_webhook";
		case CHPG_HTTP_BROKEN:
			return "the connection broke";
		case CHPG_HTTP_TIMED_OUT:
			return "no response in time";
		case CHPG_HTTP_MALFORMED:
			return "the response is not HTTP";
		case CHPG_HTTP_FAILED:
			return "the request could not be sent";
	}
	return "unknown";
}

/* Form the outcome: status, error and retry_after (seconds), as jsonb. */
static Datum
outcome_json(int status, const char *error, int64 retry_after)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"status\": %d, \"retry_after\": " INT64_FORMAT ", \"error\": ",
					 status, retry_after);
	if (error != NULL)
		escape_json(&text, error);
	else
		appendStringInfoString(&text, "null");
	appendStringInfoChar(&text, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}

/*
 * Return a text in UTF-8.  Without an encoding (SQL_ASCII), a text may be of any bytes, or
 * cut within a character: what is no character becomes a question mark.
 */
static char *
to_utf8(char *text)
{
	int			length = strlen(text);
	int			valid;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return pg_server_to_any(text, length, PG_UTF8);
	for (char *p = text; (valid = pg_encoding_verifymbstr(PG_UTF8, p, length)) < length; p += valid + 1)
	{
		p[valid] = '?';
		length -= valid + 1;
	}
	return text;
}

/* Send a body, a JSON object in the server's encoding; returns the outcome as jsonb. */
static Datum
send_body(const ChpgWebhook *webhook, char *body, const char *key)
{
	const char *headers[3] = {0};
	ChpgHttpRequest request = {
		.method = "POST",
		.url = webhook->url,
		.headers = headers,
		.ca_file = webhook->ca_file,
		.accepts_address = accepts_address,
		.new_connection = true,
		.connect_timeout = Min(chpg_connect_timeout, CONNECT_TIMEOUT),
		.timeout = Min(chpg_request_timeout, REQUEST_TIMEOUT),
		.max_size = MAX_RESPONSE_SIZE
	};
	bool		is_shown;
	ChpgTransfer *transfer;
	const ChpgHttpResponse *response;
	Datum		outcome;

	if (!chpg_parse_networks(chpg_webhook_addresses ? chpg_webhook_addresses : "",
							 &allowed_networks))
		return outcome_json(0, "the setting chpg.webhook_addresses cannot be used", 0);
	body = to_utf8(body);
	if (webhook->format == CHPG_WEBHOOK_PAGERDUTY)
		body = with_routing_key(webhook->secret, body);
	headers[0] = psprintf("Idempotency-Key: %s", key);
	if (webhook->format == CHPG_WEBHOOK_JSON && webhook->secret != NULL)
		headers[1] = signature_header(webhook->secret, body);
	request.body = body;
	transfer = chpg_http_start(CurrentMemoryContext, &request);
	is_shown = chpg_activity_begin(CHPG_WORK_DELIVER);
	while ((response = chpg_http_response(transfer)) == NULL)
		chpg_activity_wait(CHPG_FOREVER, CHPG_WAIT_WEBHOOK);
	chpg_activity_waited();
	if (is_shown)
		chpg_activity_end();
	outcome = outcome_json(response->status, describe_outcome(response), response->retry_after);
	chpg_http_end(transfer);
	return outcome;
}

/* Throw error 22023 for an argument that chpg's SQL does not give. */
static void
check_arguments(const char *body, const char *key)
{
	const char *p = key;

	while (chpg_is_letter(*p) || chpg_is_digit(*p) || *p == '-')
		p++;
	if (*p != '\0' || p == key || p - key > 64 || *body != '{')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid body or key of an alert")));
}

/*
 * End the transaction of a procedure, with its snapshots and locks, and begin another,
 * in which nothing is found by the caller's search_path.
 */
static void
commit(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	SPI_finish();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	InvalidateCatalogSnapshot();
}

/* Return a text argument, palloc'd.  Error 22004: a procedure is never strict. */
static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("webhook, body and key of an alert must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/*
 * Send the arguments webhook, body and idempotency_key; returns the outcome as jsonb.
 * "commits" ends the transaction once they are read.
 */
static Datum
post(FunctionCallInfo fcinfo, bool commits)
{
	char	   *name = text_argument(fcinfo, 0);
	char	   *body = text_argument(fcinfo, 1);
	char	   *key = text_argument(fcinfo, 2);
	ChpgWebhook *webhook;

	check_arguments(body, key);
	webhook = chpg_find_webhook(name);
	if (commits)
		commit();
	if (webhook->problem != NULL)
		return outcome_json(0, webhook->problem, 0);
	return send_body(webhook, body, key);
}

/* _chpg_post_webhook(webhook, body, idempotency_key) */
Datum
chpg_post_webhook(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(post(fcinfo, false));
}

/* Return the row of a procedure's only INOUT argument. */
static Datum
inout_row(FunctionCallInfo fcinfo, Datum value)
{
	TupleDesc	tupdesc;
	bool		isnull = false;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), &value, &isnull));
}

/*
 * CALL _chpg_post_webhook_alone(webhook, body, idempotency_key, outcome)
 *
 * The same, for a procedure outside of a transaction block: commits before it sends, so
 * that neither a snapshot nor a lock is held meanwhile.  Errors: 25001.
 */
Datum
chpg_post_webhook_alone(PG_FUNCTION_ARGS)
{
	if (!chpg_is_nonatomic(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("an alert cannot be sent inside a transaction block")));
	PG_RETURN_DATUM(inout_row(fcinfo, post(fcinfo, true)));
}

/* CALL _chpg_can_commit(answer): may the calling procedure end its transaction? */
Datum
chpg_can_commit(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(inout_row(fcinfo, BoolGetDatum(chpg_is_nonatomic(fcinfo))));
}
