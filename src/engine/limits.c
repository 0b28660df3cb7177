/*-------------------------------------------------------------------------
 *
 * limits.c
 *		The limits of a key: what its log of requests must keep.
 *
 * Nobody can know when a request arrives at the API; but it has arrived by the
 * time at which the response begins.  So a slot of the log is taken from the grant
 * until the window's length after that: two requests in one slot never arrive
 * within one window.  That keeps a limit of the API whether its window slides or is
 * fixed, wherever a fixed one begins.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "engine/keys_file.h"
#include "engine/limits.h"
#include "miscadmin.h"
#include "net/clock.h"

/*
 * The limit of a server that is no longer used counts for at most this long, and a
 * learned limit replaces the documented one for this long after the last response.
 */
#define LIMIT_MEMORY	(60 * USECS_PER_SEC)

/*
 * The log
 */

/* Is the request of a slot under way, for all that is known? */
static bool
is_travelling(const ChpgSlot *slot)
{
	return slot->owner != CHPG_NOBODY;
}

/* Has its owner turned away before its request was sent, and not come back? */
static bool
is_forfeit(const ChpgSlot *slot, int64 now)
{
	return is_travelling(slot) && slot->away != 0 && !slot->sent &&
		slot->away + CHPG_AWAY_GRACE <= now;
}

int64
chpg_slot_end(const ChpgSlot *slot, int64 window, int64 now, int64 arrival)
{
	if (slot->serial == 0 || is_forfeit(slot, now))
		return 0;
	if (!is_travelling(slot))
		return slot->arrived + window;
	if (slot->away != 0 && !slot->sent)
		return slot->away + CHPG_AWAY_GRACE;
	if (slot->expires <= now)
		return slot->expires + window;
	return arrival == CHPG_FOREVER ? CHPG_FOREVER : arrival + window;
}

static int
compare_times(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

int
chpg_slot_ends(const ChpgKey *key, int64 window, int64 now, int64 arrival,
			   int64 *ends)
{
	int			n = 0;

	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		int64		end = chpg_slot_end(&key->slots[i], window, now, arrival);

		if (end > now)
			ends[n++] = end;
	}
	qsort(ends, n, sizeof(int64), compare_times);
	return n;
}

/*
 * Limits
 */

/* Was the limit used so recently that it still counts? */
static bool
in_use(const ChpgLimit *limit, int64 now)
{
	return limit->requests > 0 &&
		limit->used + Min(Max(limit->window, CHPG_DEFAULT_WINDOW), LIMIT_MEMORY) > now;
}

ChpgLimit
chpg_limit_of(const ChpgConnection *connection, int64 now)
{
	ChpgLimit	limit = {
		.database = MyDatabaseId,
		.server = connection->server_id,
		.requests = connection->rate_requests,
		.window = (int64) (connection->rate_window * USECS_PER_SEC),
		.automatic = connection->rate_is_automatic,
		.used = now
	};

	return limit;
}

/* Note the longest window of a key's limits: its requests matter for that long. */
static void
note_window(ChpgSharedState *shared, int number, int64 window)
{
	ChpgKey    *key = &shared->keys[number];

	if (window <= key->window)
		return;
	key->window = window;
	chpg_keys_file_save_key(shared, number);
}

void
chpg_limits_note(ChpgSharedState *shared, int number, const ChpgLimit *own)
{
	ChpgKey    *key = &shared->keys[number];
	ChpgLimit  *place = &key->limits[0];

	if (!OidIsValid(own->server))
		return;					/* it is only being tried out */

	for (int i = 0; i < CHPG_MAX_LIMITS; i++)
	{
		ChpgLimit  *limit = &key->limits[i];

		if (limit->database == own->database && limit->server == own->server)
		{
			place = limit;
			break;
		}
		if (limit->used < place->used)
			place = limit;
	}
	*place = *own;
	note_window(shared, number, own->window);
}

/* The limit that the responses describe; its requests are 0 if they do not. */
static ChpgLimit
learned_limit(const ChpgKey *key, int64 now)
{
	ChpgLimit	limit = {
		.requests = key->learned.requests,
		.window = key->learned.window,
		.used = now
	};

	return limit;
}

/* The same limit, or the learned one in place of the documented one. */
static ChpgLimit
resolve(const ChpgKey *key, const ChpgLimit *limit, int64 now)
{
	ChpgLimit	resolved = *limit;

	if (limit->automatic && key->learned.requests > 0 &&
		key->learned.confirmed_until > now)
	{
		resolved.requests = key->learned.requests;
		resolved.window = key->learned.window;
	}
	return resolved;
}

/* Is a limit stricter than another one, which may be none? */
static bool
is_stricter(const ChpgLimit *limit, const ChpgLimit *other)
{
	return limit->requests > 0 &&
		(other->requests == 0 ||
		 (double) limit->requests * other->window <
		 (double) other->requests * limit->window);
}

ChpgLimit
chpg_limits_with_learned(const ChpgKey *key, const ChpgLimit *own, int64 now)
{
	ChpgLimit	limit = resolve(key, own, now);
	ChpgLimit	learned = learned_limit(key, now);

	return is_stricter(&learned, &limit) ? learned : limit;
}

/* Do other programs use so much of the API's window that few requests are left? */
static bool
is_shared_with_others(const ChpgKey *key, int64 now)
{
	return key->learned.requests > 0 && key->learned.reset > now;
}

/* The time at which a limit lets the next request through, as far as known. */
static int64
next_by_limit(const ChpgKey *key, const ChpgLimit *limit, int64 now)
{
	int64		ends[CHPG_MAX_RATE];
	ChpgLimit	resolved = resolve(key, limit, now);
	int			n;

	if (!in_use(&resolved, now))
		return now;
	n = chpg_slot_ends(key, resolved.window, now, CHPG_FOREVER, ends);
	return n < resolved.requests ? now : ends[n - resolved.requests];
}

/* The later time.  Max() would compute one of its arguments twice. */
static inline int64
later(int64 a, int64 b)
{
	return Max(a, b);
}

int64
chpg_limits_next(const ChpgKey *key, const ChpgLimit *own, int64 now)
{
	ChpgLimit	learned = learned_limit(key, now);
	int64		next = later(key->blocked_until, next_by_limit(key, own, now));

	next = later(next, next_by_limit(key, &key->share, now));
	next = later(next, next_by_limit(key, &learned, now));
	if (is_shared_with_others(key, now) && key->learned.left == 0)
		next = later(next, key->learned.reset);
	for (int i = 0; i < CHPG_MAX_LIMITS; i++)
		next = later(next, next_by_limit(key, &key->limits[i], now));
	return next;
}

/*
 * When the last of these requests could be sent by one limit, and in *available
 * how many at once.  Each slot can be used once in a window: the limit's slots, in
 * the order in which they get free, over and over.
 */
static int64
estimate_by_limit(const ChpgKey *key, const ChpgLimit *limit, int64 requests,
				  int64 now, int *available)
{
	int64		ends[CHPG_MAX_RATE];
	ChpgLimit	resolved = resolve(key, limit, now);
	int			most = resolved.requests;
	int64		rounds;
	int64		start;
	int64		done;
	int			n;
	int			free;
	int			turn;

	if (!in_use(&resolved, now))
		return now;
	n = chpg_slot_ends(key, resolved.window, now, now, ends);
	free = Max(most - n, 0);
	turn = (int) ((requests - 1) % most);
	rounds = (requests - 1) / most;
	/* A looser limit may have let more through than this one has. */
	start = turn < free ? now : ends[Max(n - most, 0) + turn - free];
	start = later(start, key->blocked_until);
	*available = Min(*available, free);
	if (pg_mul_s64_overflow(rounds, resolved.window, &done) ||
		pg_add_s64_overflow(done, start, &done))
		return CHPG_FOREVER;
	return done;
}

/* The same for what others leave of the API's window, and for those after it. */
static int64
estimate_beside_others(const ChpgKey *key, int64 requests, int64 now, int *available)
{
	const ChpgLearnedLimit *learned = &key->learned;
	int64		done;

	if (!is_shared_with_others(key, now))
		return now;
	*available = Min(*available, learned->left);
	if (requests <= learned->left)
		return now;
	if (pg_mul_s64_overflow((requests - learned->left - 1) / learned->requests,
							learned->window, &done) ||
		pg_add_s64_overflow(done, learned->reset, &done))
		return CHPG_FOREVER;
	return done;
}

int64
chpg_limits_estimate(const ChpgKey *key, const ChpgLimit *own, int64 requests,
					 int64 now, int *available)
{
	ChpgLimit	learned = learned_limit(key, now);
	int64		done = later(now, key->blocked_until);

	done = later(done, estimate_by_limit(key, own, requests, now, available));
	done = later(done, estimate_by_limit(key, &key->share, requests, now, available));
	done = later(done, estimate_by_limit(key, &learned, requests, now, available));
	for (int i = 0; i < CHPG_MAX_LIMITS; i++)
		done = later(done, estimate_by_limit(key, &key->limits[i], requests, now,
											 available));
	done = later(done, estimate_beside_others(key, requests, now, available));
	if (key->blocked_until > now)
		*available = 0;
	return done;
}

/*
 * What others leave
 */

/*
 * A refusal leaves three quarters of what was tried, and each window without one
 * lets another request in, until it is the whole limit again.  So clusters that
 * share a key find their parts of it.
 */
void
chpg_limits_lower_share(ChpgKey *key, const ChpgLimit *own)
{
	ChpgLimit	limit = chpg_limits_with_learned(key, own, own->used);
	bool		known = in_use(&key->share, own->used);

	if (limit.requests == 0)
		return;
	if (!known || key->share.requests > limit.requests)
		key->share = limit;
	key->share.automatic = false;
	key->share.requests = Max(key->share.requests * 3 / 4, 1);
	key->share.window = limit.window;
	key->share.used = own->used;
}

void
chpg_limits_raise_share(ChpgKey *key, const ChpgLimit *own)
{
	ChpgLimit  *share = &key->share;

	if (share->requests == 0 || share->used + share->window > own->used)
		return;
	share->requests++;
	share->used = own->used;
	if (share->requests >= chpg_limits_with_learned(key, own, own->used).requests)
		share->requests = 0;	/* no others */
}

void
chpg_limits_granted(ChpgKey *key, int64 now)
{
	if (is_shared_with_others(key, now) && key->learned.left > 0)
		key->learned.left--;
}

/*
 * See from a response whether others use the key.  The API has counted the
 * requests of its window that are not remaining.  Of the log, those may be among
 * them that travel, or had arrived since the window began, which was a window
 * before its reset.  If the API counts more than these, others sent them: then
 * no more may be sent until the reset than remain beside those that travel.
 *
 * The API computed the reset after the request was granted and before the response
 * began: the earlier time gives the earliest begin of its window, and the later one
 * the latest end.  A reset without a fraction may be rounded.  In a window that may
 * slide, the reset frees one request only, and a whole window all of them.
 */
static void
notice_others(ChpgKey *key, const ChpgRateLimit *headers, int64 granted, int64 began)
{
	ChpgLearnedLimit *learned = &key->learned;
	int64		rounding = headers->reset_us % USECS_PER_SEC == 0 ? USECS_PER_SEC : 0;
	int64		begin = granted + headers->reset_us - rounding - learned->window;
	int64		rest = headers->is_fixed ? headers->reset_us + rounding : learned->window;
	int64		reset = began + Min(rest, learned->window);
	int			travelling = 0;
	int			counted = 0;
	int			left;

	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		const ChpgSlot *slot = &key->slots[i];

		if (slot->serial == 0 || is_forfeit(slot, began))
			continue;
		if (is_travelling(slot))
			travelling++;
		else if (slot->arrived >= begin)
			counted++;
	}
	if (headers->requests - headers->remaining <= counted + travelling)
		return;
	left = Max(headers->remaining - travelling, 0);
	if (learned->reset > began)
	{
		left = Min(left, learned->left);
		reset = later(reset, learned->reset);
	}
	learned->left = left;
	learned->reset = reset;
}

void
chpg_limits_learn(ChpgSharedState *shared, int number, const ChpgRateLimit *headers,
				  int64 granted, int64 began)
{
	ChpgKey    *key = &shared->keys[number];
	ChpgLearnedLimit *learned = &key->learned;

	if (headers == NULL)
	{
		memset(learned, 0, sizeof(ChpgLearnedLimit));
		return;
	}
	learned->requests = headers->requests;
	learned->window = (int64) headers->window * USECS_PER_SEC;
	learned->remaining = headers->remaining;

	/* Backends that share no log could together exceed it. */
	learned->confirmed_until = shared->is_shared ? chpg_now() + LIMIT_MEMORY : 0;
	note_window(shared, number, learned->window);
	if (headers->remaining >= 0 && headers->reset_us >= 0)
		notice_others(key, headers, granted, began);
}

/*
 * Monitoring
 */

ChpgLimit
chpg_limits_in_force(const ChpgKey *key, int64 now, ChpgLimitSource *source)
{
	const ChpgLimit *latest = &key->limits[0];
	ChpgLimit	strictest = {0};
	ChpgLimit	learned = learned_limit(key, now);

	for (int i = 0; i < CHPG_MAX_LIMITS; i++)
	{
		ChpgLimit	limit = resolve(key, &key->limits[i], now);

		if (in_use(&limit, now) && is_stricter(&limit, &strictest))
			strictest = limit;
		if (limit.used > latest->used)
			latest = &key->limits[i];
	}
	if (strictest.requests == 0)
		strictest = resolve(key, latest, now);

	if (!OidIsValid(strictest.server))
		*source = CHPG_LIMIT_UNKNOWN;
	else if (is_stricter(&learned, &strictest))
	{
		strictest = learned;
		*source = CHPG_LIMIT_HEADERS;
	}
	else if (!strictest.automatic)
		*source = CHPG_LIMIT_OPTION;
	else
		*source = key->learned.confirmed_until > now ?
			CHPG_LIMIT_HEADERS : CHPG_LIMIT_DOCUMENTED;
	return strictest;
}

int
chpg_limits_free(const ChpgKey *key, const ChpgLimit *limit, int used, int64 now)
{
	int			free = limit->requests - used;

	if (in_use(&key->share, now))
		free = Min(free, key->share.requests - used);
	if (is_shared_with_others(key, now))
		free = Min(free, key->learned.left);
	return Max(free, 0);
}
