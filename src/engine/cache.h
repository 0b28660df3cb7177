/*-------------------------------------------------------------------------
 *
 * cache.h
 *		Responses already paid for, shared by all backends.
 *
 * The cache keeps whole successful answers, as they came.  Beside them there are
 * flights: reads under way, whose answer other backends wait for.  The owner of a
 * flight must be waiting for it; when it turns to something else for longer than
 * CHPG_AWAY_GRACE, one of the followers takes the flight over.
 *
 * Each role whose keys' answers are kept has a share of the cache, the same for
 * all of them.  It may use what is free beyond that, but nothing within the share of
 * another role makes way for it.
 *
 * Layout, locks, lifetime and what a crash leaves: see cache.c.  Times are those of
 * clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CACHE_H
#define CHPG_CACHE_H

#include "engine/connection.h"

/* A flight that a call owns or follows. */
typedef struct ChpgFlight
{
	int			number;
	uint64		serial;			/* 0: none */
	uint64		ownership;		/* the flight's, while it is our own */
} ChpgFlight;

typedef enum ChpgCacheResult
{
	CHPG_CACHE_MISS,			/* no answer, and no flight */
	CHPG_CACHE_ANSWER,			/* here it is */
	CHPG_CACHE_OWN,				/* send the request: the flight is the
								 * caller's */
	CHPG_CACHE_FOLLOW			/* another backend sends it: wait for the
								 * latch */
} ChpgCacheResult;

/*
 * In the place of a key's generation, for what is no response: changes do not outdate it,
 * chpg_cache_clear() leaves it, and responses of the same role make way first.
 */
#define CHPG_LASTING	PG_UINT64_MAX

/* An answer; the body is palloc'd and NUL-terminated. */
typedef struct ChpgAnswer
{
	int			status;			/* HTTP */
	char	   *body;
	size_t		length;
} ChpgAnswer;

/*
 * Look for an answer of that generation, at most max_age microseconds old, with its
 * body in the current memory context; else for a flight to follow.  If there is
 * neither, make a flight that the caller owns.
 */
extern ChpgCacheResult chpg_cache_find(const ChpgReadId *id, uint64 generation,
									   int64 max_age, ChpgAnswer *answer,
									   ChpgFlight *flight);

/* Look for the answer only, without a flight; false if there is none. */
extern bool chpg_cache_get(const ChpgReadId *id, uint64 generation,
						   int64 max_age, ChpgAnswer *answer);

/*
 * Is there an answer, or has a request for it been sent?  Does not count as a
 * use of the answer.
 */
extern bool chpg_cache_has(const ChpgReadId *id, uint64 generation,
						   int64 max_age);

/*
 * See what has become of a flight that is followed: CHPG_CACHE_FOLLOW while the
 * owner goes on, CHPG_CACHE_ANSWER with its answer, CHPG_CACHE_OWN if the caller
 * has taken the flight over, or CHPG_CACHE_MISS if each follower sends its own
 * request.  *next is when to look again at the latest.  *sent is the time since
 * which the owner's request travels, or 0 while it waits to be sent.
 */
extern ChpgCacheResult chpg_cache_follow(ChpgFlight *flight, ChpgAnswer *answer,
										 int64 *next, int64 *sent);

/* Stop following a flight. */
extern void chpg_cache_unfollow(ChpgFlight *flight);

/* Leave an own flight to one of its followers. */
extern void chpg_flight_hand_over(ChpgFlight *flight);

/* The request of an own flight is sent.  Does nothing without a flight. */
extern void chpg_flight_sent(const ChpgFlight *flight);

/*
 * The request of an own flight waits to be sent, and the owner reports that again
 * by the given time.  An owner that does not is stopped, by a signal, say.
 */
extern void chpg_flight_waits(const ChpgFlight *flight, int64 until);

/* The owner of a flight turns to something else. */
extern void chpg_flight_pause(const ChpgFlight *flight);

/* The owner is back; false if the flight has ended, or another backend has it. */
extern bool chpg_flight_resume(const ChpgFlight *flight);

/*
 * Give the API's answer to all followers of an own flight, and end it.  Keep the
 * answer for others too, if it is a success, in the share of the role whose key it
 * is; the flight may be none then.
 */
extern void chpg_cache_publish(const ChpgReadId *id, Oid role, uint64 generation,
							   ChpgFlight *flight, const ChpgAnswer *answer,
							   bool keep);

/* Remove all answers.  Those to requests under way are not kept either. */
extern void chpg_cache_clear(void);

#endif							/* CHPG_CACHE_H */
