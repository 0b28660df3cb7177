/*-------------------------------------------------------------------------
 *
 * call.c
 *		Calls of the API: their life, and their attempts.
 *
 * The only place that knows when a request may be sent, and sent again.
 *
 * While chpg_calls_wait() waits, the calls hold what other backends wait for: a
 * ticket and slots of the key's budget, and flights.  When it returns, they keep
 * that for a moment only, so that a cursor that nobody reads from delays nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "engine/admission.h"
#include "engine/call.h"
#include "engine/coalesce.h"
#include "engine/keys.h"
#include "engine/statement_cache.h"
#include "engine/stats.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "protocol/rate_limit.h"
#include "protocol/remote_text.h"
#include "settings.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

/* How often (microseconds) a queued call reports to its followers that it is there. */
#define FLIGHT_BEAT			USECS_PER_SEC

/* Microseconds before the second attempt; doubled for each further one. */
#define FIRST_DELAY			INT64CONST(250000)

/* Seconds for which a 429 without a time blocks the key: the API's whole window. */
#define DEFAULT_RESET		10.0

/*
 * A 429 blocks a key for this many windows at most: a date, say, or a fault of
 * the API must not stop a key for long.
 */
#define MAX_BLOCK_WINDOWS	3

/* Seconds for which a 429 blocks the key at least. */
#define LEAST_RESET			0.2

/* All calls of this backend. */
static dlist_head all_calls = DLIST_STATIC_INIT(all_calls);

/*
 * An attempt
 */

/* Count the request of this attempt once it is sent, with the time it was queued. */
static void
count_request(ChpgCall *call)
{
	ChpgCounters counters = {0};

	if (call->counted || !chpg_http_sent(call->transfer))
		return;
	call->counted = true;
	counters.values[CHPG_REQUESTS] = 1;
	counters.values[CHPG_RETRIES] = call->attempts > 1;
	counters.values[CHPG_WAITS] = call->queued_us > 0;
	counters.values[CHPG_WAIT_TIME] = call->queued_us;
	call->queued_us = 0;
	chpg_count(call->request.connection, call->request.endpoint, &counters);
}

/*
 * Send the request of a call that the budget has granted one: the call is
 * CALL_SENDING then.  A write outdates what the caches have of its key.
 */
static void
send_request(ChpgCall *call)
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
	{
		/*
		 * The clock is read once, lest 0, which libcurl takes for no timeout,
		 * pass.
		 */
		int64		rest = (call->request.deadline - chpg_now()) / 1000;

		http.timeout = Max(Min(http.timeout, rest), 1);
	}
	if (call->write)
		chpg_key_changed(connection);
	call->transfer = chpg_http_start(call->context, &http);
	call->phase = CALL_SENDING;
	chpg_flight_sent(&call->flight);
	if (call->attempts++ == 0)
		++* chpg_statement_requests();
	call->sent = false;
	call->counted = false;
	call->queued = false;
}

/* Take back a request that was not sent: the call queues again. */
static void
withdraw_request(ChpgCall *call)
{
	chpg_http_end(call->transfer);
	call->transfer = NULL;
	call->phase = CALL_WAITING;
	if (call->grant.serial != 0)
		chpg_budget_return(&call->grant);
	chpg_flight_waits(&call->flight, chpg_now());
	if (--call->attempts == 0)
		--* chpg_statement_requests();
	call->queued = true;
}

/*
 * Nobody waits for the call for a while: let others have what it holds, unless
 * it is back in a moment.  Does nothing for a call that holds nothing.
 */
static void
pause_call(ChpgCall *call)
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
	if (call->flight.serial != 0 && call->phase != CALL_FOLLOWING)
		chpg_flight_pause(&call->flight);
}

/* Wait for the call again.  What others took meanwhile must be obtained anew. */
static void
resume_call(ChpgCall *call)
{
	bool		stopped;
	bool		lost;

	if (call->flight.serial != 0 && call->phase != CALL_FOLLOWING &&
		!chpg_flight_resume(&call->flight))
		call->flight.serial = 0;
	stopped = call->transfer != NULL && chpg_http_hold(call->transfer, false);
	lost = call->grant.serial != 0 && !chpg_budget_resume(&call->grant);
	if (lost)
		call->grant.serial = 0;
	if (call->transfer != NULL && !call->sent && (stopped || lost))
		withdraw_request(call);
}

/* The longest time, in seconds, for which a 429 may block a key. */
static double
max_block(const ChpgConnection *connection)
{
	ChpgLimit	limit = chpg_budget_limit(connection);
	double		window = Max(connection->rate_window,
							 (double) limit.window / USECS_PER_SEC);

	return Min(MAX_BLOCK_WINDOWS * Max(window, DEFAULT_RESET), CHPG_MAX_BLOCK);
}

/* Seconds until the API takes requests again, by the headers of its 429. */
static double
reset_time(const ChpgCall *call, const ChpgHttpResponse *response)
{
	const char *header = chpg_http_header(call->transfer, "X-RateLimit-Reset");
	double		seconds;

	if (header == NULL || !chpg_parse_reset(header, &seconds))
		seconds = response->retry_after > 0 ? 0 : DEFAULT_RESET;
	seconds = Max(Max(seconds, (double) response->retry_after), LEAST_RESET);
	return Min(seconds, max_block(call->request.connection));
}

/*
 * Microseconds before the next attempt: they grow with each attempt that failed
 * otherwise than by the rate limit, and differ between backends.
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

	call->wait_s = (double) (until - now) / USECS_PER_SEC;
	call->rate_limited++;
	call->blocked_us += until - now;
	if (call->request.no_retry || chpg_max_retries == 0 ||
		call->blocked_us > (int64) chpg_max_wait * 1000)
		return;
	call->phase = CALL_WAITING;
}

/* After another failed attempt: send again later, or leave it failed. */
static void
consider_retry(ChpgCall *call, double retry_after)
{
	double		delay = backoff(call);
	int			retries = call->request.one_retry && call->failure == FAILURE_API ?
	Min(chpg_max_retries, 1) : chpg_max_retries;

	delay = Max(delay, retry_after * USECS_PER_SEC);
	if (!chpg_call_is_transient(call) || call->request.no_retry || retries == 0 ||
		call->attempts - call->rate_limited > retries ||
		(call->admitted ? 0 : call->waited_us) + delay > (double) chpg_max_wait * 1000)
		return;
	call->not_before = chpg_now() + (int64) delay;
	call->phase = CALL_WAITING;
}

/* Count how an attempt ended, and what it brought. */
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

/*
 * Tell the budget when the request had arrived, as soon as that is known.  A
 * request that was not sent takes nothing of it.
 */
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

/*
 * Learn the rate limit from a whole response that was read.  Only a response of the
 * API itself, which bears the id of its request, shows by its lack of headers that the
 * API sends none: a text may be a page of a proxy.
 */
static void
learn_limit(const ChpgCall *call)
{
	const ChpgConnection *connection = call->request.connection;
	ChpgRateLimit limit;

	if (call->request_id == NULL && call->phase != CALL_SUCCEEDED)
		return;
	if (chpg_parse_rate_limit(chpg_http_header(call->transfer, "X-RateLimit-Limit"),
							  chpg_http_header(call->transfer, "X-RateLimit-Policy"),
							  chpg_http_header(call->transfer, "X-RateLimit-Remaining"),
							  chpg_http_header(call->transfer, "X-RateLimit-Reset"),
							  &limit))
		chpg_budget_learn(connection, &limit, &call->grant,
						  chpg_http_began(call->transfer));
	else if (call->request_id != NULL)
		chpg_budget_learn(connection, NULL, &call->grant, 0);
}

/*
 * Take what a transfer that has ended brought: the call ends, which is shared
 * before the transfer is gone, or waits for its next attempt.
 */
static void
settle(ChpgCall *call, const ChpgHttpResponse *response)
{
	ChpgHttpOutcome outcome = response->outcome;
	const char *problem = response->error;
	bool		answered;
	ChpgAnswer	answer = {
		.status = response->status,
		.body = unconstify(char *, response->body),
		.length = response->length
	};

	if (outcome == CHPG_HTTP_ANSWERED)
		outcome = chpg_response_check_end(call, &answer, response->has_end, &problem);
	answered = outcome == CHPG_HTTP_ANSWERED;
	count_outcome(call, response, outcome);
	if (call->write)
		chpg_key_changed(call->request.connection);
	if (answered)
		chpg_response_read(call, &answer);
	else
		chpg_response_fail_transfer(call, outcome, response->status, problem);
	if (call->phase == CALL_SUCCEEDED)
		chpg_key_accept(call->request.connection);
	if (answered)
		learn_limit(call);
	if (answered && response->status != 429)
		chpg_budget_accepted(call->request.connection);
	if (response->status != 429)
		chpg_budget_note_health(call->request.connection,
								!answered || response->status >= 500);
	if (call->phase == CALL_FAILED && call->failure == FAILURE_RATE_LIMIT)
		queue_again(call, reset_time(call, response));
	else if (call->phase == CALL_FAILED)
		consider_retry(call, (double) response->retry_after);
	if (call_has_ended(call))
		chpg_coalesce_share(call, answered ? &answer : NULL);
	else
		chpg_flight_waits(&call->flight, Max(call->not_before, chpg_now()));
	chpg_http_end(call->transfer);
	call->transfer = NULL;
}

/* See how far the request of a call has come. */
static void
progress_transfer(ChpgCall *call)
{
	const ChpgHttpResponse *response;

	settle_budget(call);
	count_request(call);
	response = chpg_http_response(call->transfer);
	if (response != NULL)
		settle(call, response);
}

/*
 * The life of a call
 */

/*
 * Give back what others wait for; also the memory context's callback.  A call
 * that it led looks for the response anew.
 */
static void
release_call(void *arg)
{
	ChpgCall   *call = (ChpgCall *) arg;
	dlist_iter	iter;

	if (call->grant.serial != 0 && !call->sent)
		chpg_budget_return(&call->grant);
	call->grant.serial = 0;
	chpg_coalesce_leave(call);
	if (call->node.next == NULL)
		return;
	dlist_delete(&call->node);
	memset(&call->node, 0, sizeof(call->node));
	dlist_foreach(iter, &all_calls)
	{
		ChpgCall   *other = dlist_container(ChpgCall, node, iter.cur);

		if (other->leader == call)
		{
			other->leader = NULL;
			other->phase = CALL_NEW;
		}
	}
}

/* Give back what all calls hold when the backend ends, in whatever way. */
static void
release_all_calls(int code, Datum arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_calls)
	{
		ChpgCall   *call = dlist_container(ChpgCall, node, iter.cur);

		pause_call(call);
		release_call(call);
	}
	chpg_budget_leave(false);
	chpg_budget_rest(false);
}

/* List a call; the end of its context, or of the backend, releases it. */
static void
register_call(ChpgCall *call)
{
	static bool prepared = false;

	chpg_keys_announce();
	if (!prepared)
		before_shmem_exit(release_all_calls, (Datum) 0);
	prepared = true;
	call->callback.func = release_call;
	call->callback.arg = call;
	MemoryContextRegisterResetCallback(call->context, &call->callback);
	dlist_push_tail(&all_calls, &call->node);
}

ChpgCall *
chpg_call_create(const ChpgRequest *request)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg call",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ChpgCall   *call = palloc0(sizeof(ChpgCall));

	call->context = context;
	call->request = *request;
	call->path = chpg_build_path(request, request->connection->organization_id);
	call->url = chpg_build_url(request, request->connection->api_url, call->path);
	call->body = chpg_build_body(request, false);
	call->write = chpg_is_write(request->endpoint);
	register_call(call);
	MemoryContextSwitchTo(caller);
	return call;
}

void
chpg_call_end(ChpgCall *call)
{
	MemoryContextDelete(call->context);
}

/*
 * Sending what is due
 */

/*
 * The call whose request is sent for a call: its leader's, or its own.  A leader
 * may have got a leader since, when its key was rotated.
 */
static ChpgCall *
leader_or_self(ChpgCall *call)
{
	while (call->leader != NULL)
		call = call->leader;
	return call;
}

/* Let a call fail for whose key shared memory has no place. */
static void
fail_without_place(ChpgCall *call)
{
	Oid			owner = call->request.connection->owner_id;

	if (call->grant.key == CHPG_NO_PLACE)
		chpg_response_fail(call, FAILURE_RATE_LIMIT,
						   psprintf("%d other keys have sent requests that still count, and there is no place for one more.",
									CHPG_MAX_KEYS),
						   "Try again when the windows of their rate limits are over, which chpg_budget shows to members of pg_monitor.");
	else
		chpg_response_fail(call, FAILURE_RATE_LIMIT,
						   psprintf("Role \"%s\" has %d other keys whose requests still count, and a role has no more places.",
									chpg_clean_text(GetUserNameFromId(owner, false)),
									CHPG_MAX_ROLE_KEYS),
						   owner == GetUserId() ?
						   "Try again when the windows of their rate limits are over, or give the key to another role." :
						   "Try again when the windows of their rate limits are over, or give the server a key of your own with chpg_connect().");
}

/*
 * Can a call still be sent in time, where its request is due at the given time,
 * or CHPG_FOREVER?  If not, it fails.  Once it is queued, it fails only when the
 * time is over: until then, others ahead of it may give up.
 */
static bool
has_time(ChpgCall *call, int64 due)
{
	const ChpgConnection *connection = call->request.connection;
	int64		now = chpg_now();
	const char *setting;
	int64		deadline = chpg_admission_deadline(chpg_statement_cache_waited(connection->statement_cache,
																			   call->waited_us),
												   call->admitted, &setting);
	int			available = 0;

	if (call->request.deadline > 0)
		deadline = Min(deadline, call->request.deadline);
	if (due == CHPG_FOREVER)
		due = call->queued ? now :
			chpg_budget_estimate(connection, 1, NULL, PG_INT64_MIN, &available);
	if (due <= deadline)
		return true;
	call->wait_s = (double) (due - now) / USECS_PER_SEC;
	if (call->grant.key < 0)
		fail_without_place(call);
	else
		chpg_response_fail(call, FAILURE_RATE_LIMIT,
						   chpg_admission_describe(1, available, due),
						   psprintf("Try again later, or raise \"%s\".%s", setting,
									chpg_admission_block_hint(connection)));
	return false;
}

/*
 * Let a call start anew if its key was rotated since the statement began: the new
 * key has a budget and responses of its own.  False if it was not.
 */
static bool
renew_key(ChpgCall *call)
{
	ChpgConnection *renewed = chpg_connection_renew(call->request.connection);

	if (renewed == NULL)
		return false;
	chpg_coalesce_leave(call);
	chpg_budget_leave(false);
	call->request.connection = renewed;
	call->phase = CALL_NEW;
	return true;
}

/* When chpg.max_wait ends a call's waiting. */
static int64
give_up_time(const ChpgCall *call)
{
	if (call->admitted)
		return CHPG_FOREVER;
	return chpg_now() + (int64) chpg_max_wait * 1000 + 1 -
		chpg_statement_cache_waited(call->request.connection->statement_cache,
									call->waited_us);
}

/*
 * Send the request of a waiting call if the budget grants it now, or end the call
 * if it cannot be sent in time.  Returns the time to try again at the latest, or
 * 0 after the request was sent or its response found.
 */
static int64
try_to_send(ChpgCall *call)
{
	int64		due;
	int64		look;

	if (renew_key(call))
		return chpg_now();
	if (call->attempts == 0 && !chpg_admission_may_send(1))
	{
		chpg_response_fail(call, FAILURE_TOO_MANY,
						   psprintf("It has sent %d.", chpg_max_requests), NULL);
		chpg_coalesce_leave(call);
		return chpg_now();
	}
	look = chpg_budget_take(call->request.connection, &call->grant, &due);
	if (look == 0)
	{
		if (chpg_coalesce_look_again(call))
			chpg_budget_return(&call->grant);
		else
			send_request(call);
		return 0;
	}
	if (!has_time(call, due))
		chpg_coalesce_leave(call);
	else
	{
		/* A stricter limit that delays this call delays those behind it. */
		chpg_budget_note_limit(call->request.connection);
		call->queued = true;
	}
	look = Min(look, give_up_time(call));
	if (call->request.deadline > 0)
		look = Min(look, call->request.deadline + 1);
	return look;
}

/*
 * Report to the followers of a call's flight that the call still waits to be
 * sent; returns when to report again, or CHPG_FOREVER.  Every call with followers
 * does so, also behind another call of this backend: a flight of which nothing is
 * reported is taken over.
 */
static int64
beat_for_flight(ChpgCall *call)
{
	int64		now = chpg_now();

	if (call->phase != CALL_WAITING || call->flight.serial == 0)
		return CHPG_FOREVER;
	if (call->next_beat <= now)
	{
		call->next_beat = now + FLIGHT_BEAT;
		chpg_flight_waits(&call->flight, call->next_beat);
	}
	return call->next_beat;
}

/*
 * Look up a new call.  A leader may be a call that nobody waits for just now.
 */
static void
look_up(ChpgCall *call)
{
	chpg_coalesce_look_up(call, &all_calls);
	if (call->phase == CALL_LED)
		resume_call(call->leader);
}

/*
 * Send what is due of one call; returns when to look again.  *queued is whether
 * a call holds the backend's ticket: the calls after it wait for that.  They do
 * not look up either, since others would follow them and wait in turn.
 */
static int64
send_if_due(ChpgCall *call, bool *queued)
{
	int64		due = CHPG_FOREVER;
	int64		beat;

	if (call->phase == CALL_NEW && !*queued)
		look_up(call);
	if (call->phase == CALL_WAITING)
	{
		if (call->not_before > chpg_now())
			due = call->not_before;
		else if (!*queued)
		{
			int64		look = try_to_send(call);

			if (look != 0)
				due = look;
			*queued = look != 0 && !call_has_ended(call);
		}
	}
	if (call_has_ended(call) || call->phase == CALL_LED)
		due = chpg_now();		/* it is done, or another call is to be sent */
	else if (call->phase == CALL_FOLLOWING)
		due = call->look_again;
	beat = beat_for_flight(call);
	return Min(due, beat);
}

/*
 * Send what is due of all these calls; returns when to look again.  *reason is
 * what they wait for, and *queued is whether one of them is queued.
 */
static int64
send_due(List *calls, ChpgWaitReason *reason, bool *queued)
{
	const ChpgConnection *connection = ((ChpgCall *) linitial(calls))->request.connection;
	int64		next = CHPG_FOREVER;
	bool		sending = false;
	bool		following = false;
	ListCell   *lc;

	*queued = false;
	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));
		MemoryContext caller = MemoryContextSwitchTo(call->context);
		int64		due = send_if_due(call, queued);

		next = Min(next, due);
		sending |= call->phase == CALL_SENDING;
		following |= call->phase == CALL_FOLLOWING;
		MemoryContextSwitchTo(caller);
	}
	if (!*queued)
		chpg_budget_leave(false);
	*reason = sending ? CHPG_WAIT_RESPONSE :
		*queued ? (chpg_budget_is_blocked(connection) ? CHPG_WAIT_RATE_LIMIT : CHPG_WAIT_BUDGET) :
		following ? CHPG_WAIT_SHARED : CHPG_WAIT_RETRY;
	return next;
}

/*
 * Waiting
 */

/* An interrupted write may have been carried out, which its error must say. */
static void
write_interrupted_callback(void *arg)
{
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);

		if (call->write && call->transfer != NULL)
			errcontext("request %s %s, which may have been carried out",
					   call->request.endpoint->method, call->path);
	}
}

/* See what has become of a call's request, or of the flight that it follows. */
static void
progress(ChpgCall *call)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	if (call->phase == CALL_SENDING)
		progress_transfer(call);
	else if (call->phase == CALL_FOLLOWING)
		chpg_coalesce_follow(call);
	MemoryContextSwitchTo(caller);
}

/* The first of these calls that has ended, or NULL. */
static ChpgCall *
find_ended(List *calls)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);
		ChpgCall   *leader = leader_or_self(call);

		progress(leader);
		if (leader != call && call_has_ended(leader))
		{
			/* Its response can be found now; after a failure, send its own. */
			call->leader = NULL;
			call->phase = CALL_NEW;
		}
		if (call_has_ended(call))
			return call;
	}
	return NULL;
}

/* Do this with each of the calls, or with its leader, that has not ended. */
static void
for_each_running(List *calls, void (*act) (ChpgCall *call))
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (!call_has_ended(call))
			act(call);
	}
}

/* Does the call wait until it, or the call that it follows, may be sent? */
static bool
awaits_turn(const ChpgCall *call)
{
	return call->phase == CALL_NEW || call->phase == CALL_WAITING ||
		(call->phase == CALL_FOLLOWING && call->flight_sent == 0);
}

/* Count the time between these two times for each call that awaits its turn. */
static void
count_wait(List *calls, int64 since, int64 until)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (awaits_turn(call))
		{
			int64		waited_us = until - Max(since, call->waited_until);

			call->waited_us += waited_us;
			if (call->queued)
				call->queued_us += waited_us;
		}
		call->waited_until = until;
	}
}

/* Does one of the calls follow a call of another backend that is yet to be sent? */
static bool
follows_unsent(List *calls)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (call->phase == CALL_FOLLOWING && awaits_turn(call))
			return true;
	}
	return false;
}

/* Send and receive for these calls until one of them has ended. */
static ChpgCall *
wait_for_any(List *calls, ChpgQueueing * queueing)
{
	ChpgStatementCache *statement_cache =
	((ChpgCall *) linitial(calls))->request.connection->statement_cache;
	ChpgCall   *ended;

	while ((ended = find_ended(calls)) == NULL)
	{
		ChpgWaitReason reason;
		bool		queued;
		int64		next = send_due(calls, &reason, &queued);
		int64		since = chpg_now();
		int64		until;

		if (next <= since)
			continue;
		chpg_activity_call(((ChpgCall *) linitial(calls))->request.endpoint,
						   &queueing->progress);
		chpg_activity_wait(next, reason);
		until = chpg_now();
		count_wait(calls, since, until);
		if (queued || follows_unsent(calls))
		{
			queueing->waited_us += until - since;
			chpg_statement_cache_add_wait(statement_cache, until - since);
		}
	}
	return ended;
}

/* Resume these calls, and let others reckon with the requests of their statement. */
static void
begin_waiting(List *calls, const ChpgQueueing * queueing)
{
	ListCell   *lc;

	foreach(lc, calls)
		((ChpgCall *) lfirst(lc))->admitted = queueing->admitted;
	if (queueing->expected > 1)
		chpg_budget_expect(((ChpgCall *) linitial(calls))->request.connection,
						   queueing->expected, queueing->id);
	for_each_running(calls, resume_call);
}

int
chpg_calls_wait(List *calls, ChpgQueueing * queueing)
{
	ErrorContextCallback callback;
	ChpgCall   *volatile ended = NULL;

	callback.callback = write_interrupted_callback;
	callback.arg = calls;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	begin_waiting(calls, queueing);
	PG_TRY();
	{
		ended = wait_for_any(calls, queueing);
	}
	PG_FINALLY();
	{
		for_each_running(calls, pause_call);
		chpg_budget_leave(ended != NULL);
		chpg_budget_rest(ended != NULL);
		chpg_activity_waited();
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	for (int i = 0; i < list_length(calls); i++)
	{
		if (list_nth(calls, i) == ended)
			return i;
	}
	pg_unreachable();
}

void
chpg_call_wait(ChpgCall *call)
{
	ChpgQueueing queueing = {.expected = 1};

	(void) chpg_calls_wait(list_make1(call), &queueing);
}

bool
chpg_call_in_flight(const ChpgCall *call)
{
	return call->phase == CALL_SENDING;
}

ChpgJson *
chpg_call_perform(const ChpgRequest *request, ChpgCall **result)
{
	ChpgCall   *call = chpg_call_create(request);

	chpg_call_wait(call);
	if (call->phase == CALL_FAILED)
		chpg_call_report(call);
	*result = call;
	return call->document;
}
