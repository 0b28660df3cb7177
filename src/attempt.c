/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		A call's attempts: its request is sent, and perhaps sent again.
 *
 * The only place that knows when that may be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "call.h"
#include "common/pg_prng.h"
#include "quote.h"
#include "settings.h"
#include "shared.h"
#include "stats.h"

/* Microseconds before the second attempt; doubled for each further one. */
#define FIRST_DELAY			INT64CONST(250000)

/* Where the API names no time after a 429: its whole window. */
#define DEFAULT_RESET		10.0

/* A longer time is none, but a date, say. */
#define MAX_RESET			3600

/* A request counts once it is sent. */
static void
count_request(ChpgCall *call)
{
	ChpgCounters counters = {0};

	if (call->counted || !chpg_http_sent(call->transfer))
		return;
	call->counted = true;
	counters.values[CHPG_REQUESTS] = 1;
	counters.values[CHPG_RETRIES] = call->attempts > 1;
	counters.values[CHPG_WAITS] = call->queue_time > 0;
	counters.values[CHPG_WAIT_TIME] = call->queue_time;
	call->queue_time = 0;
	chpg_count(call->question.connection, call->question.endpoint, &counters);
}

void
chpg_call_send(ChpgCall *call)
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
	if (call->write)
		chpg_key_changed(connection);
	call->transfer = chpg_http_start(call->context, &request);
	chpg_flight_sent(&call->flight, true);
	call->attempts++;
	call->sent = false;
	call->counted = false;
	call->queued = false;
}

static void
withdraw_request(ChpgCall *call)
{
	chpg_http_end(call->transfer);
	call->transfer = NULL;
	if (call->grant.serial != 0)
		chpg_budget_return(&call->grant);
	chpg_flight_sent(&call->flight, false);
	call->attempts--;
	call->queued = true;
}

/*
 * While nobody waits for the call
 */

void
chpg_call_pause(ChpgCall *call)
{
	if (call->transfer != NULL)
	{
		call->sent = chpg_http_sent(call->transfer);
		(void) chpg_http_hold(call->transfer, true);
		count_request(call);
		if (call->sent && call->write)
			chpg_key_changed(call->question.connection);
	}
	if (call->grant.serial != 0)
		chpg_budget_pause(&call->grant, call->sent);
	if (call->flight.serial != 0 && !call->follows)
		chpg_flight_pause(&call->flight);
}

/* What others took in the meantime has to be had anew. */
void
chpg_call_resume(ChpgCall *call)
{
	bool		stopped;
	bool		lost;

	if (call->flight.serial != 0 && !call->follows &&
		!chpg_flight_resume(&call->flight))
		call->flight.serial = 0;
	stopped = call->transfer != NULL && chpg_http_hold(call->transfer, false);
	lost = call->grant.serial != 0 && !chpg_budget_resume(&call->grant);
	if (lost)
		call->grant.serial = 0;
	if (call->transfer != NULL && !call->sent && (stopped || lost))
		withdraw_request(call);
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

bool
chpg_call_is_transient(const ChpgCall *call)
{
	if (call->state != CALL_FAILED)
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
	if (!chpg_call_is_transient(call) || call->question.once || chpg_max_retries == 0 ||
		call->attempts - call->rate_limited > chpg_max_retries ||
		call->waited + delay > (double) chpg_max_wait * 1000)
		return;
	call->not_before = now + (int64) delay;
	call->state = CALL_RUNNING;
}

static void
count_outcome(ChpgCall *call, const ChpgHttpResponse *response)
{
	ChpgCounters counters = {0};
	int64	   *values = counters.values;

	if (response->outcome == CHPG_HTTP_MALFORMED)
		values[CHPG_FAILED] = 1;
	else if (response->outcome != CHPG_HTTP_ANSWERED)
		values[chpg_http_sent(call->transfer) ? CHPG_BROKEN : CHPG_UNSENT] = 1;
	else if (response->status == 429)
		values[CHPG_RATE_LIMITED] = 1;
	else if (response->status >= 400 && response->status < 500)
		values[CHPG_REFUSED] = 1;
	else if (response->status >= 200 && response->status < 300)
		values[CHPG_SUCCEEDED] = 1;
	else
		values[CHPG_FAILED] = 1;
	values[CHPG_BYTES_RECEIVED] = response->wire_size;
	values[CHPG_BYTES_DECODED] = response->length;
	values[CHPG_CONNECTIONS_OPENED] = response->connections;
	chpg_count(call->question.connection, call->question.endpoint, &counters);
}

/* A request that was not sent takes nothing of the budget. */
static void
settle_budget(ChpgCall *call)
{
	int64		began = chpg_http_began(call->transfer);

	if (call->grant.serial == 0)
		return;
	if (began != 0)
		chpg_budget_arrived(&call->grant, began);
	else if (chpg_http_response(call->transfer) == NULL)
		return;
	else if (chpg_http_sent(call->transfer))
	{
		chpg_budget_pause(&call->grant, true);
		call->grant.serial = 0;
	}
	else
		chpg_budget_return(&call->grant);
}

/* Take what a transfer that has ended brought. */
static void
settle(ChpgCall *call, const ChpgHttpResponse *response)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);
	bool		answered = response->outcome == CHPG_HTTP_ANSWERED;
	ChpgAnswer	answer = {
		.status = response->status,
		.body = unconstify(char *, response->body),
		.length = response->length
	};

	count_outcome(call, response);
	if (call->write)
		chpg_key_changed(call->question.connection);
	if (answered)
		chpg_call_read(call, &answer);
	else
	{
		call->status = response->status;
		call->request_id = NULL;
		call->by_api = false;
		chpg_call_fail(call, chpg_failure_of_outcome(call, response->outcome),
					   psprintf("%s.", chpg_quote_remote(&call->question,
														 pstrdup(response->error))));
	}
	if (call->state == CALL_SUCCEEDED)
		chpg_key_accept(call->question.connection);
	if (call->state == CALL_FAILED)
	{
		if (call->failure == FAILURE_RATE_LIMIT)
			call->wait = reset_time(call->transfer, response);
		consider_retry(call, (double) response->retry_after);
	}
	if (call->state != CALL_RUNNING)
		chpg_call_share(call, answered ? &answer : NULL);
	else
		chpg_flight_sent(&call->flight, false);
	chpg_http_end(call->transfer);
	call->transfer = NULL;
	MemoryContextSwitchTo(caller);
}

void
chpg_call_look_after(ChpgCall *call)
{
	const ChpgHttpResponse *response;

	settle_budget(call);
	count_request(call);
	response = chpg_http_response(call->transfer);
	if (response != NULL)
		settle(call, response);
}
