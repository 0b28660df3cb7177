/*-------------------------------------------------------------------------
 *
 * client.c
 *		Calls of the API, from their beginning to their end.
 *
 * While chpg_calls_wait() waits, the calls have what others wait for, too: a
 * ticket and slots of the key's budget, and flights.  When it does not wait any
 * more, they keep that for a moment only, so that a cursor that nobody reads
 * from holds nobody up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/call.h"
#include "engine/keys.h"
#include "engine/statement_cache.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "protocol/remote_text.h"
#include "settings.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* How often a call that is queued says to those that follow it that it is there. */
#define FLIGHT_BEAT		USECS_PER_SEC

/* All calls of this backend. */
static dlist_head all_calls = DLIST_STATIC_INIT(all_calls);

/*
 * The life of a call
 */

/* Give back what others wait for; also the memory context's callback. */
static void
release_call(void *arg)
{
	ChpgCall   *call = (ChpgCall *) arg;
	dlist_iter	iter;

	if (call->grant.serial != 0 && !call->sent)
		chpg_budget_return(&call->grant);
	call->grant.serial = 0;
	chpg_call_leave_flight(call);
	if (call->node.next == NULL)
		return;
	dlist_delete(&call->node);
	memset(&call->node, 0, sizeof(call->node));
	dlist_foreach(iter, &all_calls)
	{
		ChpgCall   *other = dlist_container(ChpgCall, node, iter.cur);

		if (other->leader == call)
			other->leader = NULL;
	}
}

/* However the backend ends. */
static void
release_all_calls(int code, Datum arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_calls)
	{
		ChpgCall   *call = dlist_container(ChpgCall, node, iter.cur);

		chpg_call_pause(call);
		release_call(call);
	}
	chpg_budget_leave(false);
	chpg_budget_rest(false);
}

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
 * Waiting
 */

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
					   call->request.endpoint->method, call->path);
	}
}

/* The call whose request is sent: another's, if that asks the same. */
static ChpgCall *
leader_or_self(ChpgCall *call)
{
	return call->leader != NULL ? call->leader : call;
}

/* When a call that has waited so long already has to have its turn. */
static int64
time_limit(int64 waited, bool admitted, const char **setting)
{
	int64		now = chpg_now();
	int64		limit = admitted ? CHPG_FOREVER :
	now + (int64) chpg_max_wait * 1000 - waited;

	*setting = "chpg.max_wait";
	if (get_timeout_active(STATEMENT_TIMEOUT))
	{
		int64		rest = get_timeout_finish_time(STATEMENT_TIMEOUT) -
		GetCurrentTimestamp();

		if (now + rest < limit)
		{
			limit = now + rest;
			*setting = "statement_timeout";
		}
	}
	return limit;
}

int64
chpg_statement_waited(const ChpgConnection *connection, int64 waited)
{
	return connection->statement_cache == NULL ? waited :
		Max(waited, *chpg_statement_cache_waited(connection->statement_cache));
}

/* There is no place in shared memory for the log of the call's key. */
static void
fail_without_place(ChpgCall *call)
{
	Oid			owner = call->request.connection->owner_id;

	if (call->grant.key == CHPG_NO_PLACE)
	{
		chpg_call_fail(call, FAILURE_RATE_LIMIT,
					   psprintf("%d other keys have sent requests that still count, and there is no place for one more.",
								CHPG_MAX_KEYS));
		call->hint = "Try again when the windows of their rate limits are over, which chpg_budget shows to members of pg_monitor.";
		return;
	}
	chpg_call_fail(call, FAILURE_RATE_LIMIT,
				   psprintf("Role \"%s\" has %d other keys whose requests still count, and a role has no more places.",
							chpg_clean_text(GetUserNameFromId(owner, false)),
							CHPG_MAX_ROLE_KEYS));
	call->hint = owner == GetUserId() ?
		"Try again when the windows of their rate limits are over, or give the key to another role." :
		"Try again when the windows of their rate limits are over, or give the server a key of your own with chpg_connect().";
}

/*
 * Can a call still have its turn in time?  Once it waits, it is only turned
 * away when the time is over: until then, others may give up.
 */
static bool
has_time(ChpgCall *call, int64 due)
{
	int64		now = chpg_now();
	const char *setting;
	int64		limit = time_limit(chpg_statement_waited(call->request.connection,
														 call->waited),
								   call->admitted, &setting);
	int			available = 0;

	if (call->request.deadline > 0)
		limit = Min(limit, call->request.deadline);
	if (due == CHPG_FOREVER)
		due = call->queued ? now :
			chpg_budget_estimate(call->request.connection, 1, NULL,
								 PG_INT64_MIN, &available);
	if (due <= limit)
		return true;
	call->wait = (double) (due - now) / USECS_PER_SEC;
	if (call->grant.key < 0)
	{
		fail_without_place(call);
		return false;
	}
	chpg_call_fail(call, FAILURE_RATE_LIMIT,
				   chpg_describe_budget(1, available, due));
	call->hint = psprintf("Try again later, or raise \"%s\".%s", setting,
						  chpg_budget_is_blocked(call->grant.key) ?
						  " The API refused the key (429): SELECT chpg_budget_reset() ends the block." : "");
	return false;
}

/*
 * The key may have been rotated since the statement began: the call then starts
 * anew with the new one, which has a budget and answers of its own.
 */
static bool
renew_key(ChpgCall *call)
{
	ChpgConnection *renewed = chpg_connection_renew(call->request.connection);

	if (renewed == NULL)
		return false;
	chpg_call_leave_flight(call);
	chpg_budget_leave(false);
	call->request.connection = renewed;
	call->looked_up = false;
	return true;
}

/* When chpg.max_wait ends a call's waiting. */
static int64
give_up_time(const ChpgCall *call)
{
	if (call->admitted)
		return CHPG_FOREVER;
	return chpg_now() + (int64) chpg_max_wait * 1000 + 1 -
		chpg_statement_waited(call->request.connection, call->waited);
}

/* Send a request, or say when to try again. */
static int64
try_to_send(ChpgCall *call)
{
	int64		due;
	int64		look;

	if (renew_key(call))
		return chpg_now();
	if (call->attempts == 0 && !chpg_may_send(1))
	{
		chpg_call_fail(call, FAILURE_TOO_MANY,
					   psprintf("It has sent %d.", chpg_max_requests));
		chpg_call_leave_flight(call);
		return chpg_now();
	}
	look = chpg_budget_take(call->request.connection, &call->grant, &due);
	if (look == 0)
	{
		if (chpg_call_look_again(call))
			chpg_budget_return(&call->grant);
		else
			chpg_call_send(call);
		return 0;
	}
	if (!has_time(call, due))
		chpg_call_leave_flight(call);
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
 * sent; returns when to report again.  Every call with followers does so, also
 * behind another call of this backend: a flight of which nothing is reported
 * is taken over.
 */
static int64
beat_for_flight(ChpgCall *call)
{
	int64		now = chpg_now();

	if (call->state != CALL_RUNNING || call->transfer != NULL ||
		call->follows || call->flight.serial == 0)
		return CHPG_FOREVER;
	if (call->next_beat <= now)
	{
		call->next_beat = now + FLIGHT_BEAT;
		chpg_flight_waits(&call->flight, call->next_beat);
	}
	return call->next_beat;
}

/*
 * Send what is due; returns when to look again.  Who cannot send has the
 * backend's ticket, and those after him wait for it: they do not look whether
 * somebody asks the same, since others would wait for them in turn.
 */
static int64
send_due(List *calls, ChpgWaitReason *reason, bool *queued)
{
	int64		next = CHPG_FOREVER;
	bool		travelling = false;
	bool		following = false;
	ListCell   *lc;

	*queued = false;
	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));
		MemoryContext caller = MemoryContextSwitchTo(call->context);
		int64		due = 0;

		if (call->state == CALL_RUNNING && call->transfer == NULL &&
			!call->looked_up && !*queued)
			chpg_call_look_up(call);
		if (call->state == CALL_RUNNING && call->transfer == NULL &&
			call->leader == NULL && !call->follows)
		{
			if (call->not_before > chpg_now())
				due = call->not_before;
			else if (!*queued)
			{
				due = try_to_send(call);
				*queued = due != 0 && call->state == CALL_RUNNING;
			}
		}
		if (call->state != CALL_RUNNING || call->leader != NULL)
			due = chpg_now();	/* it has ended, or another is to be sent */
		if (due != 0)
			next = Min(next, due);
		if (call->follows)
			next = Min(next, call->look_again);
		next = Min(next, beat_for_flight(call));
		travelling |= call->transfer != NULL;
		following |= call->follows;
		MemoryContextSwitchTo(caller);
	}
	if (!*queued)
		chpg_budget_leave(false);
	*reason = travelling ? CHPG_WAIT_REQUEST : *queued ? CHPG_WAIT_BUDGET :
		following ? CHPG_WAIT_SHARED : CHPG_WAIT_PAUSE;
	return next;
}

/* See what has become of a call's request, or of another's that it waits for. */
static void
progress(ChpgCall *call)
{
	if (call->state != CALL_RUNNING)
		return;
	if (call->transfer != NULL)
		chpg_call_progress(call);
	else if (call->follows)
		chpg_call_follow(call);
}

static ChpgCall *
find_ended(List *calls)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = (ChpgCall *) lfirst(lc);

		progress(leader_or_self(call));
		if (call->leader != NULL && call->leader->state != CALL_RUNNING)
		{
			/* Its answer can be found now; after a failure, ask oneself. */
			call->leader = NULL;
			call->looked_up = false;
		}
		if (call->state != CALL_RUNNING)
			return call;
	}
	return NULL;
}

static void
for_each_running(List *calls, void (*act) (ChpgCall *call))
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (call->state == CALL_RUNNING)
			act(call);
	}
}

/* Time has passed, in which some calls only waited for their turn. */
static void
count_wait(List *calls, int64 since, int64 until)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (chpg_call_awaits_turn(call))
		{
			int64		waited = until - Max(since, call->waited_until);

			call->waited += waited;
			if (call->queued)
				call->queue_time += waited;
		}
		call->waited_until = until;
	}
}

static void
count_queue_time(const ChpgConnection *connection, ChpgQueueing * queueing, int64 time)
{
	queueing->waited += time;
	if (connection->statement_cache != NULL)
		*chpg_statement_cache_waited(connection->statement_cache) += time;
}

/* Does a call follow another backend's, which waits to be sent? */
static bool
follows_unsent(List *calls)
{
	ListCell   *lc;

	foreach(lc, calls)
	{
		ChpgCall   *call = leader_or_self((ChpgCall *) lfirst(lc));

		if (call->follows && chpg_call_awaits_turn(call))
			return true;
	}
	return false;
}

static ChpgCall *
wait_for_any(List *calls, ChpgQueueing * queueing)
{
	const ChpgConnection *connection = ((ChpgCall *) linitial(calls))->request.connection;
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
		chpg_http_wait(next, reason);
		until = chpg_now();
		count_wait(calls, since, until);
		if (queued || follows_unsent(calls))
			count_queue_time(connection, queueing, until - since);
	}
	return ended;
}

static void
begin_waiting(List *calls, const ChpgQueueing * queueing)
{
	ListCell   *lc;

	foreach(lc, calls)
		((ChpgCall *) lfirst(lc))->admitted = queueing->admitted;
	if (queueing->expected > 1)
		chpg_budget_expect(((ChpgCall *) linitial(calls))->request.connection,
						   queueing->expected, queueing->id);
	for_each_running(calls, chpg_call_resume);
}

ChpgCall *
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
		for_each_running(calls, chpg_call_pause);
		chpg_budget_leave(ended != NULL);
		chpg_budget_rest(ended != NULL);
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return ended;
}

void
chpg_call_wait(ChpgCall *call)
{
	ChpgQueueing queueing = {.expected = 1};

	(void) chpg_calls_wait(list_make1(call), &queueing);
}

ChpgCall *
chpg_find_call(const ChpgCall *call,
			   bool (*fits) (const ChpgCall *call, const ChpgCall *other))
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_calls)
	{
		ChpgCall   *other = dlist_container(ChpgCall, node, iter.cur);

		if (fits(call, other))
			return other;
	}
	return NULL;
}

/*
 * Looking ahead
 */

bool
chpg_may_send(int64 requests)
{
	return requests <= chpg_max_requests - *chpg_statement_requests();
}

bool
chpg_is_answered(const ChpgRequest *request)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg request",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	const ChpgConnection *connection = request->connection;
	uint64		generation = chpg_key_generation(connection);
	ChpgReadId	id;
	bool		answered;

	chpg_read_id(connection, chpg_build_url(request, connection->api_url,
											chpg_build_path(request, connection->organization_id)),
				 &id);
	answered = !connection->no_cache &&
		((connection->statement_cache != NULL &&
		  chpg_statement_cache_has(connection->statement_cache, &id, generation)) ||
		 chpg_cache_has(&id, generation, (int64) chpg_cache_ttl * 1000));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return answered;
}

static bool
fits_budget(const ChpgConnection *connection, int64 requests,
			const ChpgQueueing * queueing, int64 *done, int *available,
			const char **setting)
{
	int64		limit = time_limit(chpg_statement_waited(connection, queueing->waited),
								   queueing->admitted, setting);

	/* What is done now is done in time, also if no time is left. */
	*done = chpg_now();
	limit = Max(limit, *done);
	*available = 0;
	if (requests > 0)
		*done = chpg_budget_estimate(connection, requests, queueing->id, limit,
									 available);
	return *done <= limit;
}

bool
chpg_budget_suffices(const ChpgConnection *connection, int64 requests,
					 const ChpgQueueing * queueing, double *seconds)
{
	const char *setting;
	int			available;
	int64		done;
	bool		fits = fits_budget(connection, requests, queueing, &done,
								   &available, &setting);

	*seconds = (double) (done - chpg_now()) / USECS_PER_SEC;
	return fits;
}

void
chpg_require_budget(const ChpgRequest *request, int64 requests,
					const ChpgQueueing * queueing, double *seconds)
{
	const char *setting;
	int			available;
	int64		done;

	if (!fits_budget(request->connection, requests, queueing, &done, &available,
					 &setting))
		chpg_report_no_time(request, requests, available, done, setting);
	*seconds = (double) (done - chpg_now()) / USECS_PER_SEC;
}

/*
 * What has become of a call
 */

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
chpg_call_perform(const ChpgRequest *request, ChpgCall **result)
{
	ChpgCall   *call = chpg_call_create(request);

	chpg_call_wait(call);
	if (call->state == CALL_FAILED)
		chpg_call_report(call);
	*result = call;
	return call->document;
}
