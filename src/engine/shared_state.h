/*-------------------------------------------------------------------------
 *
 * shared_state.h
 *		What all backends share: keys, their requests, and the waiting backends.
 *
 * Layout: one ChpgSharedState of a fixed size, with a ChpgKey for each key in use,
 * which has the log of its requests, and a ChpgWaiter for each backend, by its
 * process number.  The cache is a segment of its own (cache.c), whose handle is
 * here.  Times are those of chpg_now(), unless their type says otherwise.
 *
 * Locks: "lock" guards everything.  Whoever writes holds it exclusively: keys.c the
 * keys, limits.c their limits, budget.c slots and blocks, and the waiters, of which
 * activity.c the activity, stats.c the counters, creations.c the creations, commands.c
 * the commands, cache.c the handle, keys_file.c all keys once, when it restores them.
 * Some things need no lock: what is set before others see the memory (tranche,
 * is_shared, num_waiters); the ticket and the demand of a backend's own waiter, which
 * nobody else sets; "restored", which is read again with it; and cache_failed, which
 * is even written without it, since it only spares a second line in the log.
 *
 * Lock order: "lock" and the cache's lock are never held together.  Nothing may
 * throw while either is held, since what cleans up after an error takes it again.
 *
 * Lifetime: the server's.  From PostgreSQL 17 on the first backend makes the memory,
 * before that the postmaster, if the library is in shared_preload_libraries.
 * Otherwise each backend has its own, and the same code works on it.
 *
 * A crash: a backend that dies makes the postmaster end all others, and the memory
 * begins anew, with the logs and blocks that keys_file.h has kept.  A backend that
 * is stopped blocks nobody for long: others pass its ticket (budget.c) and take its
 * flights (cache.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SHARED_STATE_H
#define CHPG_SHARED_STATE_H

#include "datatype/timestamp.h"
#include "engine/connection.h"
#include "protocol/endpoints.h"
#include "storage/dsm_impl.h"
#include "storage/lwlock.h"

#define CHPG_MAX_KEYS		128

/* Of these, keys of one role, unless it is a superuser. */
#define CHPG_MAX_ROLE_KEYS	8

#define CHPG_MAX_LIMITS		16

/* Services whose creation is remembered at once; the oldest makes way. */
#define CHPG_MAX_CREATIONS	64

/* Services to which the latest command is remembered; the oldest makes way. */
#define CHPG_MAX_COMMANDS	64

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
	bool		automatic;		/* the documented limit, in whose place there
								 * may be a learned one */
	int64		used;			/* when it was used last */
} ChpgLimit;

/* The API's own limit, as the headers of its latest response describe it. */
typedef struct ChpgLearnedLimit
{
	int			requests;		/* 0: the response had no such headers */
	int64		window;			/* microseconds */
	int64		confirmed_until;	/* until then it replaces the documented
									 * limit */
	int			remaining;		/* -1: unknown */
	int			left;			/* if others use the key, too: requests that
								 * may be granted until "reset" */
	int64		reset;			/* 0: no others were noticed */
} ChpgLearnedLimit;

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
	int			failures;		/* responses in a row that failed, or never
								 * came */
	TimestampTz failing_since;	/* time of day of the first one; 0: none */
	TimestampTz failed_at;		/* time of day of the last one */
	bool		failure_is_logged;	/* that they have begun, and not their end */
	TimestampTz failure_logged_at;	/* time of day of that */
	bool		queue_is_long;	/* a backend waits for longer than the log
								 * keeps quiet about */
	ChpgLimit	share;			/* what others leave of the limit, by the
								 * API's refusals */
	ChpgLearnedLimit learned;
	int64		window;			/* the longest of its limits so far */
	ChpgLimit	limits[CHPG_MAX_LIMITS];
	ChpgSlot	slots[CHPG_MAX_RATE];
	ChpgCounters counters[CHPG_NUM_OPERATIONS + 1]; /* the last: any other */
} ChpgKey;

/* What a backend does in chpg; activity.c */
typedef struct ChpgActivity
{
	int			operation;		/* 0: nothing; see activity.c */
	int			pid;
	Oid			role;			/* that has connected */
	int64		done;			/* of "total"; -1: unknown, as total */
	int64		total;
	int64		started;
	int64		advanced;		/* when "done" was raised last */
	int64		expected_end;	/* by the request budget; 0: unknown */
	int			waiting_for;	/* a ChpgWaitReason */
	int64		waiting_since;
	TimestampTz clock_origin;	/* the time of day when clock.h's was 0 */
} ChpgActivity;

/* A backend that waits for the budget, or will do so again. */
typedef struct ChpgWaiter
{
	uint64		ticket;			/* 0: none; served in order */
	int			key;
	int64		since;			/* when it took the ticket */
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
	ChpgActivity activity;
} ChpgWaiter;

/* A service that was created, which the API may not show yet. */
typedef struct ChpgCreation
{
	uint8		identity[PG_SHA256_DIGEST_LENGTH];	/* of the key */
	int64		created;		/* 0: free */
	char		id[65];
	char		name[201];		/* 50 characters in UTF-8 */
} ChpgCreation;

/* What changes the state of a service. */
typedef enum ChpgCommandKind
{
	CHPG_RESTART,
	CHPG_PROMOTION,
	CHPG_SWITCHOVER,
	CHPG_DELETION,
	CHPG_UPDATE
} ChpgCommandKind;

/* A command that was sent to a service, which the API may not have begun yet. */
typedef struct ChpgCommand
{
	uint8		identity[PG_SHA256_DIGEST_LENGTH];	/* of the key */
	int64		sent;			/* 0: free */
	char		id[65];
	ChpgCommandKind kind;
	char		size[65];		/* that an update asks for, or empty */
	char		ha_type[65];
	char		state[33];		/* found first since it was sent, or empty */
	bool		begun;			/* its effect was seen, or several states */
	bool		follows_pending;	/* another one may not have begun before:
									 * the effect does not prove that it has */
} ChpgCommand;

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
	ChpgCreation creations[CHPG_MAX_CREATIONS];
	ChpgCommand commands[CHPG_MAX_COMMANDS];
	ChpgWaiter	waiters[FLEXIBLE_ARRAY_MEMBER]; /* by process number */
} ChpgSharedState;

#endif							/* CHPG_SHARED_STATE_H */
