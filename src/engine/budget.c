/*-------------------------------------------------------------------------
 *
 * budget.c
 *		When the next request with a key may be sent.
 *
 * Layout, locks, lifetime and what a crash leaves: see budget.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "common/int.h"
#include "common/pg_prng.h"
#include "engine/budget.h"
#include "engine/keys.h"
#include "engine/keys_file.h"
#include "engine/limits.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "protocol/remote_text.h"
#include "settings.h"
#include "utils/timestamp.h"

/* A backend that does not take its turn for this long is passed. */
#define TURN_TIME		USECS_PER_SEC

/*
 * For this long, others reckon with the requests of a statement that does not
 * wait for them: its rows are being read, or its cursor is idle.
 */
#define DEMAND_MEMORY	(2 * USECS_PER_SEC)

/* A longer wait for the budget is logged, if it is half of chpg.max_wait, too. */
#define LONG_QUEUE		(30 * USECS_PER_SEC)

/* Failures of the API in a row that are logged */
#define FAILURES_TO_LOG	3

/* For this long, no further beginning of failures is logged. */
#define FAILURE_LOG_PAUSE	(10 * USECS_PER_MINUTE)

/* How often the time of a block doubles. */
#define MAX_DOUBLINGS	6

/*
 * Tickets
 */

/* The backend with the first ticket of those that are not passed, or nobody. */
static int
first_waiter(const ChpgSharedState *shared, int key)
{
	int			first = CHPG_NOBODY;

	for (int i = 0; i < shared->num_waiters; i++)
	{
		const ChpgWaiter *waiter = &shared->waiters[i];

		if (waiter->waiting && !waiter->passed && waiter->key == key &&
			(first == CHPG_NOBODY ||
			 waiter->ticket < shared->waiters[first].ticket))
			first = i;
	}
	return first;
}

/* Wake the first waiter of a key after a change that it may have waited for. */
static void
wake_first(const ChpgSharedState *shared, int key)
{
	int			first = first_waiter(shared, key);

	if (first != CHPG_NOBODY && first != chpg_process_number())
		chpg_wake(first);
}

/*
 * The backend that is to be served next, if this one waits, too.  One that could
 * have sent its request for a while and did not is stopped, by a signal, say, or
 * swapped out: it is passed, and has its turn when it comes back.
 */
static int
next_waiter(ChpgSharedState *shared, int key, int64 now)
{
	int			first;

	while ((first = first_waiter(shared, key)) != chpg_process_number())
	{
		ChpgWaiter *waiter = &shared->waiters[first];

		if (chpg_limits_next(&shared->keys[key], &waiter->limit, now) > now)
			waiter->called = 0;
		else if (waiter->called == 0)
		{
			waiter->called = now;
			chpg_wake(first);
		}
		else if (waiter->called + TURN_TIME <= now)
		{
			waiter->passed = true;
			continue;
		}
		break;
	}
	return first;
}

/*
 * When a backend that is not the first is to look whether the first, which may
 * be stopped, takes its turn.  The second looks first, and each further one
 * later, in case those before it are stopped, too.
 */
static int64
next_look(const ChpgSharedState *shared, int key, int first, int64 now)
{
	const ChpgWaiter *head = &shared->waiters[first];
	const ChpgWaiter *own = &shared->waiters[chpg_process_number()];
	int64		look = head->called + TURN_TIME;
	int			between = 0;

	if (head->called == 0)
	{
		int64		next = chpg_limits_next(&shared->keys[key], &head->limit, now);

		look = Min(next, now + TURN_TIME);
	}
	for (int i = 0; i < shared->num_waiters; i++)
	{
		const ChpgWaiter *waiter = &shared->waiters[i];

		between += waiter->waiting && !waiter->passed && waiter->key == key &&
			waiter->ticket > head->ticket && waiter->ticket < own->ticket;
	}
	return look + between * TURN_TIME;
}

/* Give this backend a ticket for a key, unless it has one that is still good. */
static void
queue_up(ChpgSharedState *shared, int key, const ChpgLimit *own, int64 now)
{
	ChpgWaiter *waiter = &shared->waiters[chpg_process_number()];

	if (waiter->ticket == 0 || waiter->key != key ||
		(!waiter->waiting && waiter->left + CHPG_AWAY_GRACE < now))
	{
		if (waiter->key != key)
			waiter->demand = 0;
		waiter->ticket = ++shared->last_serial;
		waiter->key = key;
		waiter->since = now;
	}
	waiter->waiting = true;
	waiter->passed = false;
	waiter->called = 0;
	waiter->limit = *own;
}

/* Which wait of this backend is long: shorter ones are if it does not wait longer. */
static int64
long_wait(void)
{
	return Min(LONG_QUEUE, (int64) chpg_max_wait * 500);
}

/*
 * Note that the queue of a key is long, by how long this backend has waited; or, once
 * it waits no more, that it is so no longer.  Returns whether that is news, for the
 * log.
 */
static bool
note_queue(ChpgKey *key, int64 waited, bool waits)
{
	bool		was_long = key->queue_is_long;

	if (waited >= long_wait())
		key->queue_is_long = true;
	else if (!waits && waited < long_wait() / 2)
		key->queue_is_long = false;
	return key->queue_is_long && !was_long;
}

/*
 * Grants
 */

/*
 * Take a slot for a grant: the one that was free for the longest time.  Requests of a
 * server without a limit are in the log, too, since others may have one.
 */
static void
fill_slot(ChpgSharedState *shared, int64 now, ChpgGrant *grant)
{
	ChpgKey    *key = &shared->keys[grant->key];
	int64		oldest = CHPG_FOREVER;
	ChpgSlot   *slot;

	grant->slot = -1;
	grant->serial = ++shared->last_serial;
	grant->taken = now;
	chpg_limits_granted(key, now);
	for (int i = 0; i < CHPG_MAX_RATE && oldest > 0; i++)
	{
		int64		end = chpg_slot_end(&key->slots[i], 0, now, CHPG_FOREVER);

		if (end < oldest)
		{
			oldest = end;
			grant->slot = i;
		}
	}
	if (grant->slot < 0)
		return;
	slot = &key->slots[grant->slot];
	memset(slot, 0, sizeof(ChpgSlot));
	slot->serial = grant->serial;
	slot->owner = chpg_process_number();
	slot->expires = now + (int64) chpg_request_timeout * 1000 + CHPG_TRAVEL_TIME;
	chpg_keys_file_save_slot(shared, grant->key, grant->slot);
}

int64
chpg_budget_take(const ChpgConnection *connection, ChpgGrant *grant, int64 *due)
{
	ChpgSharedState *shared = chpg_keys_get();
	int64		now = chpg_now();
	ChpgLimit	own = chpg_limit_of(connection, now);
	int64		look = now + CHPG_AWAY_GRACE;	/* if there is no place */
	bool		is_news = false;

	*due = look;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	grant->key = chpg_key_enter(shared, connection);
	if (grant->key >= 0)
	{
		ChpgKey    *key = &shared->keys[grant->key];
		ChpgWaiter *waiter = &shared->waiters[chpg_process_number()];
		int			first;

		queue_up(shared, grant->key, &own, now);
		*due = chpg_limits_next(key, &own, now);
		look = Min(*due, now + TURN_TIME);
		first = next_waiter(shared, grant->key, now);
		if (first != chpg_process_number())
		{
			*due = CHPG_FOREVER;
			look = next_look(shared, grant->key, first, now);
			is_news = note_queue(key, now - waiter->since, true);
		}
		else if (*due <= now)
		{
			(void) note_queue(key, now - waiter->since, false);
			chpg_limits_note(shared, grant->key, &own);
			fill_slot(shared, now, grant);
			waiter->ticket = 0;
			waiter->waiting = false;
			if (waiter->demand > 0)
				waiter->demand--;
			look = 0;
			wake_first(shared, grant->key);
		}
		else
			is_news = note_queue(key, now - waiter->since, true);
	}
	LWLockRelease(&shared->lock);
	if (is_news)
		ereport(LOG,
				(errmsg("the queue for the request budget of key \"%s\" of server \"%s\" is longer than %g s",
						chpg_key_shown_id(connection),
						chpg_clean_text(pstrdup(connection->server)),
						(double) long_wait() / USECS_PER_SEC)));
	return look;
}

void
chpg_budget_leave(bool for_a_moment)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgWaiter *waiter = &shared->waiters[chpg_process_number()];

	if (waiter->ticket == 0)
		return;					/* nobody else sets it */
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	waiter->waiting = false;
	waiter->left = chpg_now();
	if (!for_a_moment)
		waiter->ticket = 0;
	wake_first(shared, waiter->key);
	LWLockRelease(&shared->lock);
}

/* The slot of a grant, or NULL if another request has it by now, or it has none. */
static ChpgSlot *
granted_slot(ChpgSharedState *shared, const ChpgGrant *grant)
{
	ChpgSlot   *slot;

	if (grant->serial == 0 || grant->slot < 0)
		return NULL;
	slot = &shared->keys[grant->key].slots[grant->slot];
	return slot->serial == grant->serial ? slot : NULL;
}

void
chpg_budget_arrived(ChpgGrant *grant, int64 when)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgSlot   *slot;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = granted_slot(shared, grant);
	if (slot != NULL)
	{
		slot->owner = CHPG_NOBODY;
		slot->arrived = when;
		chpg_keys_file_save_slot(shared, grant->key, grant->slot);
		wake_first(shared, grant->key);
	}
	LWLockRelease(&shared->lock);
	grant->serial = 0;
}

void
chpg_budget_return(ChpgGrant *grant)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgSlot   *slot;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = granted_slot(shared, grant);
	if (slot != NULL)
	{
		slot->serial = 0;
		chpg_keys_file_save_slot(shared, grant->key, grant->slot);
		wake_first(shared, grant->key);
	}
	LWLockRelease(&shared->lock);
	grant->serial = 0;
}

void
chpg_budget_pause(const ChpgGrant *grant, bool sent)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgSlot   *slot;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = granted_slot(shared, grant);
	if (slot != NULL)
	{
		slot->away = chpg_now();
		slot->sent = sent;
		if (sent)
		{
			/* If the owner never comes back, this is when it had arrived. */
			slot->owner = CHPG_NOBODY;
			slot->arrived = slot->away + CHPG_TRAVEL_TIME;
			chpg_keys_file_save_slot(shared, grant->key, grant->slot);
		}
		wake_first(shared, grant->key);
	}
	LWLockRelease(&shared->lock);
}

bool
chpg_budget_resume(const ChpgGrant *grant)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgSlot   *slot;

	if (grant->serial == 0 || grant->slot < 0)
		return true;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = granted_slot(shared, grant);
	if (slot != NULL)
	{
		slot->owner = chpg_process_number();
		slot->away = 0;
	}
	LWLockRelease(&shared->lock);
	return slot != NULL;
}

/*
 * Blocks
 */

/*
 * For how many seconds a refusal blocks the key.  A single one does until the
 * API's own reset.  Where it refuses again after that, others use the key, too:
 * then the time doubles with each refusal in a row, less a part by chance, so
 * that clusters that share a key do not send in step.
 */
static double
block_time(int refusals, double seconds, double max_seconds, double chance)
{
	double		more = seconds * ((1 << Min(refusals - 1, MAX_DOUBLINGS)) - 1);

	return Min(seconds + more * (1 + chance) / 2, max_seconds);
}

int64
chpg_budget_block(const ChpgConnection *connection, double seconds, double max_seconds)
{
	ChpgSharedState *shared = chpg_keys_get();
	double		chance = pg_prng_double(&pg_global_prng_state);
	int64		now = chpg_now();
	int64		until = now + (int64) (seconds * USECS_PER_SEC);
	ChpgLimit	own = chpg_limit_of(connection, now);
	bool		longer = true;
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
	{
		ChpgKey    *key = &shared->keys[number];

		/* Requests that travelled together are refused together. */
		if (key->blocked_until <= now)
		{
			key->refusals++;
			chpg_limits_lower_share(key, &own);
		}
		until = now + (int64) (block_time(Max(key->refusals, 1), seconds,
										  max_seconds, chance) * USECS_PER_SEC);
		longer = until > key->blocked_until + USECS_PER_SEC;
		key->blocked_until = Max(key->blocked_until, until);
		until = key->blocked_until;
		chpg_keys_file_save_key(shared, number);
	}
	LWLockRelease(&shared->lock);
	if (longer)
		ereport(LOG,
				(errmsg("the API's rate limit refused a request: key \"%s\" of server \"%s\" is blocked until %s",
						chpg_key_shown_id(connection),
						chpg_clean_text(pstrdup(connection->server)),
						timestamptz_to_str(GetCurrentTimestamp() + until - now))));
	return until;
}

void
chpg_budget_accepted(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgLimit	own = chpg_limit_of(connection, chpg_now());
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_find(shared, connection);
	if (number >= 0)
	{
		shared->keys[number].refusals = 0;
		chpg_limits_raise_share(&shared->keys[number], &own);
	}
	LWLockRelease(&shared->lock);
}

/*
 * Note a response with a key, or a failure; returns whether that is news, for the log.
 * Where one path of the API fails and others do not, only the first of the failures is.
 */
static bool
note_health(ChpgKey *key, bool failed, TimestampTz now)
{
	bool		was_logged = key->failure_is_logged;

	if (!failed)
	{
		key->failures = 0;
		key->failing_since = 0;
		key->failure_is_logged = false;
		return was_logged;
	}
	if (key->failures == 0)
		key->failing_since = now;
	key->failures = Min(key->failures, INT_MAX - 1) + 1;
	key->failed_at = now;
	if (was_logged || key->failures < FAILURES_TO_LOG ||
		(key->failure_logged_at <= now && now < key->failure_logged_at + FAILURE_LOG_PAUSE))
		return false;
	key->failure_is_logged = true;
	key->failure_logged_at = now;
	return true;
}

void
chpg_budget_note_health(const ChpgConnection *connection, bool failed)
{
	ChpgSharedState *shared = chpg_keys_get();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since = 0;
	bool		is_news = false;
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_find(shared, connection);
	/* the failure of a key that was never accepted is no outage, but a typo */
	if (number >= 0 && shared->keys[number].accepted)
	{
		ChpgKey    *key = &shared->keys[number];

		since = key->failures > 0 ? key->failing_since : now;
		is_news = note_health(key, failed, now);
	}
	LWLockRelease(&shared->lock);
	if (!is_news)
		return;
	ereport(LOG,
			(failed ?
			 errmsg("the API has been failing since %s for key \"%s\" of server \"%s\"",
					timestamptz_to_str(since),
					chpg_key_shown_id(connection),
					chpg_clean_text(pstrdup(connection->server))) :
			 errmsg("the API answers again, after failing since %s for key \"%s\" of server \"%s\"",
					timestamptz_to_str(since),
					chpg_key_shown_id(connection),
					chpg_clean_text(pstrdup(connection->server))),
			 errhidecontext(true)));
}

void
chpg_budget_learn(const ChpgConnection *connection, const ChpgRateLimit *headers,
				  const ChpgGrant *grant, int64 began)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_find(shared, connection);
	if (number >= 0)
	{
		chpg_limits_learn(shared, number, headers, grant->taken, began);
		wake_first(shared, number);
	}
	LWLockRelease(&shared->lock);
}

ChpgLimit
chpg_budget_limit(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	int64		now = chpg_now();
	ChpgLimit	limit = chpg_limit_of(connection, now);
	int			number;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = chpg_key_find(shared, connection);
	if (number >= 0)
		limit = chpg_limits_with_learned(&shared->keys[number], &limit, now);
	LWLockRelease(&shared->lock);
	return limit;
}

bool
chpg_budget_is_blocked(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;
	bool		blocked;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = chpg_key_find(shared, connection);
	blocked = number >= 0 && shared->keys[number].blocked_until > chpg_now();
	LWLockRelease(&shared->lock);
	return blocked;
}

void
chpg_budget_unblock(void)
{
	ChpgSharedState *shared = chpg_keys_get();

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (shared->keys[i].blocked_until == 0)
			continue;
		shared->keys[i].blocked_until = 0;
		shared->keys[i].refusals = 0;
		shared->keys[i].share.requests = 0;
		chpg_keys_file_save_key(shared, i);
		wake_first(shared, i);
	}
	LWLockRelease(&shared->lock);
}

/*
 * Looking ahead
 */

/* The backends that wait for a key's budget. */
static int
count_waiting(const ChpgSharedState *shared, int key)
{
	int			n = 0;

	for (int i = 0; i < shared->num_waiters; i++)
		n += shared->waiters[i].waiting && shared->waiters[i].key == key;
	return n;
}

/* How many requests a backend is known to need. */
static int64
demand_of(const ChpgWaiter *waiter, int64 now)
{
	int64		demand = waiter->demand_until > now ? waiter->demand : 0;

	return Max(demand, waiter->waiting ? 1 : 0);
}

/* Does another backend need requests with the key? */
static bool
competes(const ChpgSharedState *shared, int key, int backend, int64 now)
{
	const ChpgWaiter *waiter = &shared->waiters[backend];

	return waiter->key == key && backend != chpg_process_number() &&
		!waiter->passed && demand_of(waiter, now) > 0;
}

/* Are the requests of a waiter those with this id, which may be NULL? */
static bool
shares_demand(const ChpgWaiter *waiter, const ChpgReadId *id)
{
	return id != NULL && waiter->demand_is_shared &&
		memcmp(&waiter->demand_id, id, sizeof(ChpgReadId)) == 0;
}

/*
 * How many requests of a backend come before the last of this backend's requests,
 * if they take turns.  Backends that share their requests have a turn each, but
 * all of them together need only as much as the one that needs most.  They are
 * counted with the first of them: the result is 0 for the others.
 */
static int64
requests_of(const ChpgSharedState *shared, int key, int backend, int64 requests,
			int64 now)
{
	const ChpgWaiter *waiter = &shared->waiters[backend];
	int64		needed = 0;
	int64		turns = 0;

	if (!waiter->demand_is_shared)
		return Min(demand_of(waiter, now), requests);
	for (int i = 0; i < shared->num_waiters; i++)
	{
		const ChpgWaiter *other = &shared->waiters[i];

		if (!competes(shared, key, i, now) ||
			!shares_demand(other, &waiter->demand_id))
			continue;
		if (i < backend)
			return 0;
		needed = Max(needed, demand_of(other, now));
		turns += Min(demand_of(other, now), requests);
	}
	return Min(needed, turns);
}

/*
 * How many requests of others come before the last of this backend's requests,
 * which have this id.  Each backend has one ticket, so that they are served in
 * turns.  Those that share the requests have the answers to them, too.
 */
static int64
requests_before(const ChpgSharedState *shared, int key, int64 requests,
				const ChpgReadId *id, int64 now)
{
	int64		before = 0;

	for (int i = 0; i < shared->num_waiters; i++)
	{
		if (competes(shared, key, i, now) &&
			!shares_demand(&shared->waiters[i], id))
			before += requests_of(shared, key, i, requests, now);
	}
	return before;
}

/* Note how many requests this backend's statement needs, until that time. */
static void
set_demand(ChpgSharedState *shared, int key, int64 requests, const ChpgReadId *id,
		   int64 until)
{
	ChpgWaiter *waiter = &shared->waiters[chpg_process_number()];

	if (waiter->key != key)
		waiter->ticket = 0;		/* it was for another key */
	waiter->key = key;
	waiter->demand = requests;
	waiter->demand_until = until;
	waiter->demand_is_shared = id != NULL;
	if (id != NULL)
		waiter->demand_id = *id;
}

void
chpg_budget_expect(const ChpgConnection *connection, int64 requests,
				   const ChpgReadId *id)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
		set_demand(shared, number, requests, id, CHPG_FOREVER);
	LWLockRelease(&shared->lock);
}

void
chpg_budget_rest(bool for_a_moment)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgWaiter *waiter = &shared->waiters[chpg_process_number()];

	if (waiter->demand == 0)
		return;					/* nobody else sets it */
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (for_a_moment)
		waiter->demand_until = Min(waiter->demand_until, chpg_now() + DEMAND_MEMORY);
	else
		waiter->demand = 0;
	LWLockRelease(&shared->lock);
}

int64
chpg_budget_estimate(const ChpgConnection *connection, int64 requests,
					 const ChpgReadId *id, int64 limit, int *available)
{
	ChpgSharedState *shared = chpg_keys_get();
	int64		now = chpg_now();
	ChpgLimit	own = chpg_limit_of(connection, now);
	int64		done = now;
	int			number;

	*available = PG_INT32_MAX;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
	{
		int64		position;

		if (pg_add_s64_overflow(requests,
								requests_before(shared, number, requests, id, now),
								&position))
			position = PG_INT64_MAX;
		done = chpg_limits_estimate(&shared->keys[number], &own, position, now, available);
		if (done <= limit)
			set_demand(shared, number, requests, id, now + DEMAND_MEMORY);
	}
	LWLockRelease(&shared->lock);
	return done;
}

void
chpg_budget_note_limit(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgLimit	own = chpg_limit_of(connection, chpg_now());
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_find(shared, connection);
	if (number >= 0)
		chpg_limits_note(shared, number, &own);
	LWLockRelease(&shared->lock);
}

void
chpg_budget_state(int number, ChpgBudgetState *state)
{
	ChpgSharedState *shared = chpg_keys_get();
	const ChpgKey *key = &shared->keys[number];
	int64		now = chpg_now();
	ChpgLimit	limit;
	int64		window;
	int64		ends[CHPG_MAX_RATE];

	memset(state, 0, sizeof(ChpgBudgetState));
	limit = chpg_limits_in_force(key, now, &state->source);
	state->requests = limit.requests;
	state->window = limit.window;
	state->remaining = key->learned.requests > 0 ? key->learned.remaining : -1;

	/*
	 * After a restart, what the file knows is all that is known of the
	 * limits.
	 */
	window = state->source != CHPG_LIMIT_UNKNOWN ? state->window : key->window;
	state->used = chpg_slot_ends(key, window > 0 ? window : CHPG_DEFAULT_WINDOW,
								 now, now, ends);
	state->available = chpg_limits_free(key, &limit, state->used, now);
	if (key->blocked_until > now)
	{
		state->blocked_until = key->blocked_until;
		state->available = 0;
	}
	state->waiting = count_waiting(shared, number);
}
