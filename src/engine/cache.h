/*-------------------------------------------------------------------------
 *
 * cache.h
 *		Answers already paid for, shared by all backends.
 *
 * What is kept are whole successful answers, as they came.  Beside them there
 * are flights: reads that are under way, whose answer others wait for.  Whoever
 * owns a flight must be waiting for it; when he turns to something else for
 * longer, one of those who follow takes it over.
 *
 * Each role whose keys' answers are kept has a share of the cache, the same for
 * all of them.  It may use what is free beyond that, but nothing that is within the
 * share of another role makes way for it.
 *
 * Times are those of clock.h.
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
	CHPG_CACHE_MISS,			/* nobody asks, and no flight was made */
	CHPG_CACHE_ANSWER,			/* here it is */
	CHPG_CACHE_OWN,				/* ask, and tell the others of the flight */
	CHPG_CACHE_FOLLOW			/* somebody else asks: wait for the latch */
} ChpgCacheResult;

/* An answer; the body is palloc'd and NUL-terminated. */
typedef struct ChpgAnswer
{
	int			status;			/* HTTP */
	char	   *body;
	size_t		length;
} ChpgAnswer;

/*
 * Look for an answer of that generation, at most max_age microseconds old, or
 * somebody who asks for it.  Otherwise there is a flight, which is the
 * caller's.
 */
extern ChpgCacheResult chpg_cache_find(const ChpgReadId *id, uint64 generation,
									   int64 max_age, ChpgAnswer *answer,
									   ChpgFlight *flight);

/* The same answer, for a call that neither follows nor makes a flight. */
extern bool chpg_cache_get(const ChpgReadId *id, uint64 generation,
						   int64 max_age, ChpgAnswer *answer);

/*
 * Is there an answer, or has a request for it been sent?  Only looks; does not
 * count as a use.
 */
extern bool chpg_cache_has(const ChpgReadId *id, uint64 generation,
						   int64 max_age);

/*
 * What has become of a flight that is followed: CHPG_CACHE_MISS if everybody
 * has to ask for himself.  *next is when to look again at the latest.  *sent is
 * the time since which the owner's request travels, or 0 while the owner waits
 * to send it.
 */
extern ChpgCacheResult chpg_cache_follow(ChpgFlight *flight, ChpgAnswer *answer,
										 int64 *next, int64 *sent);
extern void chpg_cache_unfollow(ChpgFlight *flight);

/* Leave an own flight to one of those who follow. */
extern void chpg_flight_hand_over(ChpgFlight *flight);

/*
 * The owner's request is sent; or it waits to be sent, and the owner says so
 * again by the given time.  An owner that does not is stopped, by a signal, say.
 */
extern void chpg_flight_sent(const ChpgFlight *flight);
extern void chpg_flight_waits(const ChpgFlight *flight, int64 until);

/* The owner turns to something else, and comes back: false if it is lost. */
extern void chpg_flight_pause(const ChpgFlight *flight);
extern bool chpg_flight_resume(const ChpgFlight *flight);

/*
 * Give the API's answer to all who follow, and end the flight; keep it for
 * others if it is a success, in the share of the role whose key it is.
 */
extern void chpg_cache_publish(const ChpgReadId *id, Oid role, uint64 generation,
							   ChpgFlight *flight, const ChpgAnswer *answer,
							   bool keep);

extern void chpg_cache_clear(void);

#endif							/* CHPG_CACHE_H */
