/*-------------------------------------------------------------------------
 *
 * coalesce.h
 *		Identical reads share one request.
 *
 * A call that finds its response, in the statement's cache or in the cache of
 * all backends, ends with it.  A call that finds another one with the same
 * request waits for that: for its leader, in the same execution of a statement,
 * or for a flight, that is, another backend's request under way.  Writes, and
 * reads that bypass the cache, neither look nor share.
 *
 * The current memory context is to be the call's own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_COALESCE_H
#define CHPG_COALESCE_H

#include "engine/call_private.h"
#include "engine/response.h"

/*
 * Look whether the response of a new call exists, or is on its way.  The call
 * then has ended, is led by one of the backend's calls, which the caller
 * resumes, follows a flight, or waits to be sent, perhaps with a flight of its
 * own.
 */
extern void chpg_coalesce_look_up(ChpgCall *call, dlist_head * calls);

/*
 * See what has become of the flight that a call follows: the call still follows,
 * has ended with the response, or waits to be sent.
 */
extern void chpg_coalesce_follow(ChpgCall *call);

/*
 * End a call that has been granted a request with a response that has arrived
 * since it looked; false if there is none.
 */
extern bool chpg_coalesce_look_again(ChpgCall *call);

/*
 * Give a call's end to all that wait for it, and keep its response.  The answer
 * is what the API sent, or NULL if the attempt brought none.
 */
extern void chpg_coalesce_share(ChpgCall *call, const ChpgAnswer *answer);

/* Leave the call's flight, to its followers if it is its own. */
extern void chpg_coalesce_leave(ChpgCall *call);

#endif							/* CHPG_COALESCE_H */
