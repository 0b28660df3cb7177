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

#include "common/pg_prng.h"
#include "engine/call.h"
#include "engine/keys.h"
#include "engine/redact.h"
#include "engine/statement_cache.h"
#include "engine/stats.h"
#include "net/clock.h"
#include "settings.h"

/* Microseconds before the second attempt; doubled for each further one. */
#define FIRST_DELAY			INT64CONST(250000)

/* Where the API names no time after a 429: its whole window. */
#define DEFAULT_RESET		10.0

/*
 * A 429 blocks a key for this many windows at most: a date, say, or a fault of
 * the API must not stop a key for long.
 */
#define MAX_BLOCK_WINDOWS	3

/* An API that refuses and names no time is not asked again at once. */
#define LEAST_RESET			0.2

/* A longer number is none that the API would send. */
#define MAX_NUMBER_LENGTH	32

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
	chpg_count(call->request.connection, call->request.endpoint, &counters);
}

void
chpg_call_send(ChpgCall *call)
{
	const ChpgConnection *connection = call->request.connection;
	ChpgHttpRequest http = {
		.method = call->request.endpoint->method,
		.url = call->url,
		.body = call->body,
		.user = connection->key_id,
		.password = connection->key_secret,
		.ca_file = connection->ca_file,
		.proxy = connection->proxy,
		.new_connection = call->write,
		.connect_timeout = chpg_connect_timeout,
		.timeout = chpg_request_timeout,
		.max_size = (size_t) chpg_max_response_size * 1024
	};

	if (call->request.deadline > 0)
		http.timeout = Max(Min(http.timeout,
							   (call->request.deadline - chpg_now()) / 1000), 1);
	if (call->write)
		chpg_key_changed(connection);
	call->transfer = chpg_http_start(call->context, &http);
	chpg_flight_sent(&call->flight);
	if (call->attempts++ == 0)
		++* chpg_statement_requests();
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
	chpg_flight_waits(&call->flight, chpg_now());
	if (--call->attempts == 0)
		--* chpg_statement_requests();
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
			chpg_key_changed(call->request.connection);
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

/* Parse digits with at most one fraction, and nothing beside them. */
static bool
parse_seconds(const char *text, double *seconds)
{
	static const char digits[] = "0123456789";
	size_t		length = strspn(text, digits);
	char	   *end;

	if (length == 0)
		return false;
	if (text[length] == '.')
		length += 1 + strspn(text + length + 1, digits);
	if (text[length] != '\0' || length > MAX_NUMBER_LENGTH)
		return false;
	*seconds = strtod(text, &end);
	return *end == '\0';
}

/* The longest time, in seconds, for which a 429 may block a key. */
static double
max_block(const ChpgConnection *connection)
{
	return Min(MAX_BLOCK_WINDOWS * Max(connection->rate_window, DEFAULT_RESET),
			   CHPG_MAX_BLOCK);
}

/* Seconds until the API takes requests again, by the headers of its 429. */
static double
reset_time(const ChpgCall *call, const ChpgHttpResponse *response)
{
	const char *header = chpg_http_header(call->transfer, "X-RateLimit-Reset");
	double		seconds;

	if (header == NULL || !parse_seconds(header, &seconds))
		seconds = response->retry_after > 0 ? 0 : DEFAULT_RESET;
	seconds = Max(Max(seconds, (double) response->retry_after), LEAST_RESET);
	return Min(seconds, max_block(call->request.connection));
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

/*
 * Microseconds, which grow with each attempt that failed otherwise than by the
 * rate limit, and differ between backends.
 */
static double
backoff(const ChpgCall *call)
{
	int			failures = call->attempts - call->rate_limited;
	double		delay = (double) FIRST_DELAY * (1 << Min(Max(failures - 1, 0), 6));

	return delay * (0.5 + pg_prng_double(&pg_global_prng_state) / 2);
}

/*
 * After a 429: the key is blocked, for all backends, and the call queues again.
 * It fails when the blocks of its own refusals add up to more than it may wait.
 * Its time in the queue does not count here: others have their turns in it.
 */
static void
queue_again(ChpgCall *call, double reset)
{
	int64		now = chpg_now();
	int64		until = chpg_budget_block(call->request.connection, reset,
										  max_block(call->request.connection));

	call->wait = (double) (until - now) / USECS_PER_SEC;
	call->rate_limited++;
	call->blocked_us += until - now;
	if (call->request.no_retry || chpg_max_retries == 0 ||
		call->blocked_us > (int64) chpg_max_wait * 1000)
		return;
	call->state = CALL_RUNNING;
}

/* After another failed attempt: send again later, or leave it failed. */
static void
consider_retry(ChpgCall *call, double retry_after)
{
	double		delay = Max(backoff(call), retry_after * USECS_PER_SEC);

	if (!chpg_call_is_transient(call) || call->request.no_retry || chpg_max_retries == 0 ||
		call->attempts - call->rate_limited > chpg_max_retries ||
		(call->admitted ? 0 : call->waited) + delay > (double) chpg_max_wait * 1000)
		return;
	call->not_before = chpg_now() + (int64) delay;
	call->state = CALL_RUNNING;
}

static void
count_outcome(ChpgCall *call, const ChpgHttpResponse *response,
			  ChpgHttpOutcome outcome)
{
	ChpgCounters counters = {0};
	int64	   *values = counters.values;

	if (outcome == CHPG_HTTP_MALFORMED)
		values[CHPG_FAILED] = 1;
	else if (outcome != CHPG_HTTP_ANSWERED)
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
	chpg_count(call->request.connection, call->request.endpoint, &counters);
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
	ChpgHttpOutcome outcome = response->outcome;
	const char *problem = response->error;
	bool		answered;
	ChpgAnswer	answer = {
		.status = response->status,
		.body = unconstify(char *, response->body),
		.length = response->length
	};

	if (outcome == CHPG_HTTP_ANSWERED)
		outcome = chpg_call_check_end(call, &answer, response->has_end, &problem);
	answered = outcome == CHPG_HTTP_ANSWERED;
	count_outcome(call, response, outcome);
	if (call->write)
		chpg_key_changed(call->request.connection);
	if (answered)
		chpg_call_read(call, &answer);
	else
	{
		call->status = response->status;
		call->request_id = NULL;
		call->by_api = false;
		chpg_call_fail(call, chpg_failure_of_outcome(call, outcome),
					   psprintf("%s.", chpg_redact_remote(&call->request,
														  pstrdup(problem))));
	}
	if (call->state == CALL_SUCCEEDED)
		chpg_key_accept(call->request.connection);
	if (answered && response->status != 429)
		chpg_budget_accepted(call->request.connection);
	if (call->state == CALL_FAILED && call->failure == FAILURE_RATE_LIMIT)
		queue_again(call, reset_time(call, response));
	else if (call->state == CALL_FAILED)
		consider_retry(call, (double) response->retry_after);
	if (call->state != CALL_RUNNING)
		chpg_call_share(call, answered ? &answer : NULL);
	else
		chpg_flight_waits(&call->flight, Max(call->not_before, chpg_now()));
	chpg_http_end(call->transfer);
	call->transfer = NULL;
	MemoryContextSwitchTo(caller);
}

void
chpg_call_progress(ChpgCall *call)
{
	const ChpgHttpResponse *response;

	settle_budget(call);
	count_request(call);
	response = chpg_http_response(call->transfer);
	if (response != NULL)
		settle(call, response);
}
