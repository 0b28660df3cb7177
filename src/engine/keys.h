/*-------------------------------------------------------------------------
 *
 * keys.h
 *		What the backends know together: keys, and who waits for them.
 *
 * Places for keys belong to roles: to the one whose user mapping has the key, or
 * to the server's owner if that mapping is PUBLIC's.  A role has
 * CHPG_MAX_ROLE_KEYS of them at most, superusers as many as there are: they could
 * stop the server, and one of them may well connect many organizations.  A key of
 * several roles is in one place, which is of the role that used it first.
 *
 * A key whose requests, or block, still count never makes way.  Another one makes
 * way for a key of the same role, or, when all places are taken, of a role that
 * has fewer; those that the API has not accepted come first, and then those that
 * were not used for the longest time.
 *
 * It is in shared memory from PostgreSQL 17 on, and before that if the library
 * is in shared_preload_libraries.  Otherwise each backend has its own, and the
 * same code works on it.
 *
 * Nothing may throw while the lock is held: what cleans up after an error takes
 * it again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_KEYS_H
#define CHPG_KEYS_H

#include "datatype/timestamp.h"
#include "engine/cache.h"
#include "engine/connection.h"
#include "protocol/endpoints.h"
#include "storage/dsm_impl.h"
#include "storage/lwlock.h"

#define CHPG_MAX_KEYS		128

/* Of these, keys of one role, unless it is a superuser. */
#define CHPG_MAX_ROLE_KEYS	8

#define CHPG_MAX_LIMITS		16
#define CHPG_NOBODY			(-1)
#define CHPG_SHOWN_KEY_LENGTH	64

/* In the place of a key's number: all places, or those of its role, are taken. */
#define CHPG_NO_PLACE		(-1)
#define CHPG_NO_ROLE_PLACE	(-2)

/* Characters that are shown of the id of a key that the API has not accepted. */
#define CHPG_KEY_PREFIX_LENGTH	4

/* The documented window of the API's own limit (microseconds). */
#define CHPG_DEFAULT_WINDOW	INT64CONST(10000000)

/* What a request that was given up on its way may need to arrive (microseconds). */
#define CHPG_TRAVEL_TIME	INT64CONST(250000)

/* The longest time, in seconds, for which a 429 may block a key. */
#define CHPG_MAX_BLOCK		3600

/* For this long (microseconds) a backend that does not wait keeps its place. */
#define CHPG_AWAY_GRACE		INT64CONST(100000)

/* What is counted, for each key and operation. */
typedef enum ChpgCounter
{
	CHPG_REQUESTS,
	CHPG_SUCCEEDED,
	CHPG_REFUSED,				/* 4xx, but not 429 */
	CHPG_RATE_LIMITED,			/* 429 */
	CHPG_FAILED,				/* 3xx, 5xx, and what is no HTTP */
	CHPG_BROKEN,				/* no complete answer */
	CHPG_UNSENT,				/* no connection to send it by */
	CHPG_RETRIES,
	CHPG_WAITS,
	CHPG_WAIT_TIME,				/* microseconds */
	CHPG_BYTES_RECEIVED,		/* headers and bodies, as they travel */
	CHPG_BYTES_DECODED,
	CHPG_CACHE_HITS,
	CHPG_SHARED_FLIGHTS,
	CHPG_CONNECTIONS_OPENED,
	CHPG_NUM_COUNTERS
} ChpgCounter;

typedef struct ChpgCounters
{
	int64		values[CHPG_NUM_COUNTERS];
} ChpgCounters;

/* The rate limit of a server, which all who share its key keep while it is in use. */
typedef struct ChpgLimit
{
	Oid			database;
	Oid			server;
	int			requests;		/* 0: not in use */
	int64		window;			/* microseconds */
	int64		used;			/* when it was used last */
} ChpgLimit;

/* A request in the log of a key. */
typedef struct ChpgSlot
{
	uint64		serial;			/* 0: free */
	int			owner;			/* backend whose request travels, or nobody */
	bool		sent;			/* while the owner is away: was it sent? */
	int64		away;			/* since when its owner does not wait, or 0 */
	int64		arrived;		/* if it does not travel: when it had arrived */
	int64		expires;		/* when it had arrived at the latest */
} ChpgSlot;

typedef struct ChpgKey
{
	bool		in_use;
	uint8		identity[PG_SHA256_DIGEST_LENGTH];	/* of its connections */
	Oid			owner;			/* role to whose places it counts */
	bool		accepted;		/* by the API */
	char		key_id[CHPG_SHOWN_KEY_LENGTH];	/* as it may be shown; empty
												 * until it is used after a
												 * restart */
	char		server[NAMEDATALEN];	/* that used it last */
	int64		used;			/* when it was used last */
	uint64		generation;		/* raised by each change */
	int64		blocked_until;	/* after a 429; 0: never, or reset */
	int			refusals;		/* blocks in a row, since the API last took a
								 * request */
	ChpgLimit	share;			/* what others leave of the limit, by the
								 * API's refusals */
	int64		window;			/* the longest of its limits so far */
	ChpgLimit	limits[CHPG_MAX_LIMITS];
	ChpgSlot	slots[CHPG_MAX_RATE];
	ChpgCounters counters[CHPG_NUM_OPERATIONS + 1]; /* the last: any other */
} ChpgKey;

/* A backend that waits for the budget, or will do so again. */
typedef struct ChpgWaiter
{
	uint64		ticket;			/* 0: none; served in order */
	int			key;
	bool		waiting;
	bool		passed;			/* it did not take its turn; until it comes
								 * back */
	int64		called;			/* since when others see that it could have
								 * taken it, or 0 */
	int64		left;			/* when it stopped waiting, with its ticket */
	ChpgLimit	limit;			/* of its server */
	int64		demand;			/* requests that its statement is known to
								 * need and has not sent */
	int64		demand_until;	/* when that is outdated */
	bool		demand_is_shared;	/* with all that have the same id */
	ChpgReadId	demand_id;		/* of these requests */
} ChpgWaiter;

typedef struct ChpgSharedState
{
	LWLock		lock;
	int			tranche;
	bool		is_shared;
	TimestampTz started;		/* the server: before that others had this
								 * memory */
	bool		restored;		/* what the file knows of that time */
	dsm_handle	cache;			/* 0 until there is one */
	bool		cache_failed;	/* it was said that there is none */
	uint64		last_serial;	/* of slots, tickets and generations */
	TimestampTz stats_reset;
	int			num_waiters;
	ChpgKey		keys[CHPG_MAX_KEYS];
	ChpgCounters others[CHPG_NUM_OPERATIONS + 1];	/* of keys that had to
													 * give way */
	ChpgWaiter	waiters[FLEXIBLE_ARRAY_MEMBER]; /* by process number */
} ChpgSharedState;

/* Ask for shared memory, if the postmaster loads the library. */
extern void chpg_keys_prepare(void);

/* The memory, found or made by the first call of a backend. */
extern ChpgSharedState *chpg_keys_get(void);

/* Once, a NOTICE to a session whose budget and cache no other session shares. */
extern void chpg_keys_announce(void);

/* The number of this backend, and how to wake another. */
extern int	chpg_process_number(void);
extern void chpg_wake(int process);

/*
 * The place of a connection's key, with the lock held exclusively; CHPG_NO_PLACE or
 * CHPG_NO_ROLE_PLACE, both negative, if there is none for it.  chpg_key_find() makes
 * none, and needs a shared lock only.
 */
extern int	chpg_key_find(ChpgSharedState *shared, const ChpgConnection *connection);
extern int	chpg_key_enter(ChpgSharedState *shared,
						   const ChpgConnection *connection);

/*
 * The id of a connection's key as it may be shown: its beginning only until the
 * API has accepted the key, since it may be a secret in the wrong place.
 * chpg_key_accept() notes that it has.
 */
extern char *chpg_key_shown_id(const ChpgConnection *connection);
extern void chpg_key_accept(const ChpgConnection *connection);

/*
 * Answers that were asked for under an earlier generation are outdated.  A
 * change raises it.
 */
extern uint64 chpg_key_generation(const ChpgConnection *connection);
extern void chpg_key_changed(const ChpgConnection *connection);

#endif							/* CHPG_KEYS_H */
