/*-------------------------------------------------------------------------
 *
 * call_private.h
 *		The inside of a call, for call.c and the files below it.
 *
 * Each field belongs to one file, which assigns it: call.c those of the call's life
 * and of its attempts, coalesce.c those of its flight, response.c those of its end.
 * call.c also drops a leader that has ended, and a flight that was lost meanwhile.
 * The phase is assigned by all three, along these arrows:
 *
 *	CALL_NEW -> CALL_LED			another call of the execution sends the
 *									same request (coalesce.c)
 *			 -> CALL_FOLLOWING		another backend sends it (coalesce.c)
 *			 -> CALL_SUCCEEDED, CALL_FAILED
 *									the response is known already (response.c)
 *			 -> CALL_WAITING		otherwise (coalesce.c)
 *	CALL_LED -> CALL_NEW			the leader has ended, or was freed: its
 *									response can be found now, or the call sends
 *									its own request
 *	CALL_FOLLOWING -> CALL_SUCCEEDED, CALL_FAILED
 *									by the response to the other backend
 *			 -> CALL_WAITING		the call owns the flight now, or has left it
 *	CALL_WAITING -> CALL_SENDING	the key's budget grants a request
 *			 -> CALL_NEW			the key was rotated
 *			 -> CALL_SUCCEEDED, CALL_FAILED
 *									a response arrived meanwhile, or the call
 *									cannot be sent in time
 *	CALL_SENDING -> CALL_SUCCEEDED, CALL_FAILED
 *			 -> CALL_WAITING		the attempt failed, and another one is due
 *									at not_before; or the request was withdrawn
 *									before it was sent
 *
 * A call can be freed in each phase.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CALL_PRIVATE_H
#define CHPG_CALL_PRIVATE_H

#include "engine/budget.h"
#include "engine/cache.h"
#include "lib/ilist.h"
#include "net/http.h"
#include "protocol/request_build.h"

typedef enum CallPhase
{
	CALL_NEW,					/* has to look whether the response exists */
	CALL_LED,					/* waits for "leader" */
	CALL_FOLLOWING,				/* waits for another backend's "flight" */
	CALL_WAITING,				/* until not_before, then for the budget */
	CALL_SENDING,				/* "transfer" is under way */
	CALL_SUCCEEDED,				/* with a document or a text */
	CALL_FAILED					/* as "failure" says */
} CallPhase;

/* The ways in which a call can fail, distinguished by what the user can do. */
typedef enum Failure
{
	FAILURE_REFUSED,			/* 400, 422 and other 4xx */
	FAILURE_KEY,				/* 401 */
	FAILURE_PERMISSION,			/* 403 */
	FAILURE_NOT_ENABLED,		/* 403 for a feature that is not enabled */
	FAILURE_NOT_FOUND,			/* 404 */
	FAILURE_CONFLICT,			/* 409 */
	FAILURE_RATE_LIMIT,			/* 429, or the budget grants no request in
								 * time */
	FAILURE_API,				/* 5xx */
	FAILURE_MALFORMED,			/* 3xx, or not what the API answers */
	FAILURE_NOT_CONNECTED,
	FAILURE_UNTRUSTED,
	FAILURE_BROKEN,
	FAILURE_TIMED_OUT,
	FAILURE_UNKNOWN,			/* a write that may have been carried out */
	FAILURE_TOO_LARGE,
	FAILURE_TOO_MANY,			/* requests of the statement */
	FAILURE_LOCAL
} Failure;

struct ChpgCall
{
	CallPhase	phase;

	/* its life: call.c */
	ChpgRequest request;
	MemoryContext context;		/* the call's own, with all that it has */
	char	   *url;
	char	   *path;			/* for messages */
	const char *body;
	bool		write;
	dlist_node	node;			/* among all calls of the backend */
	MemoryContextCallback callback;

	/* its attempts: call.c; times are those of net/clock.h */
	ChpgTransfer *transfer;		/* of CALL_SENDING, until its response is
								 * shared; else NULL */
	ChpgGrant	grant;			/* its request's slot in the key's budget */
	bool		sent;			/* the request, when the call was paused last */
	bool		queued;			/* the budget granted no request at once;
								 * until it does */
	bool		counted;		/* this attempt, as a request */
	bool		admitted;		/* chpg.max_wait does not end the waiting */
	int			attempts;
	int			rate_limited;	/* attempts that the API answered with 429 */
	int64		not_before;		/* when the next attempt is due */
	int64		waited_us;		/* time with no request under way */
	int64		waited_until;	/* the time up to which waited_us counts */
	int64		queued_us;		/* time queued for the budget, for this
								 * attempt */
	int64		blocked_us;		/* for which its own 429s blocked the key */
	int64		next_beat;		/* when to report to its followers again */
	double		wait_s;			/* seconds until the budget has room, as said
								 * last */

	/* its flight: coalesce.c */
	ChpgReadId	id;
	uint64		generation;		/* of the key, when the call looked */
	ChpgFlight	flight;			/* CALL_FOLLOWING: another backend's; else its
								 * own, or none */
	int64		follows_since;
	int64		flight_sent;	/* since when that backend's request travels;
								 * 0 while it waits to be sent */
	int64		look_again;		/* at that flight, at the latest */
	struct ChpgCall *leader;	/* of CALL_LED; else NULL */
	bool		reused;			/* the response is to another call's request */

	/* its end: response.c */
	ChpgJson   *document;
	char	   *text;			/* of a response that is not JSON */
	Failure		failure;		/* of the last attempt, as all below */
	int			status;			/* HTTP status, or 0 */
	const char *detail;			/* a sentence, or NULL */
	const char *hint;			/* instead of the usual one, or NULL */
	const char *reason;			/* instead of the usual one, or NULL */
	bool		by_api;			/* the API itself reports an error */
	char	   *request_id;
};

/* Has the call its document, its text, or a failure? */
static inline bool
call_has_ended(const struct ChpgCall *call)
{
	return call->phase == CALL_SUCCEEDED || call->phase == CALL_FAILED;
}

/*
 * response.c: what ends a call, or an attempt.  Texts are allocated in the
 * current memory context, which is the call's own.
 */

/*
 * Read the API's answer, whose body need not outlive this: the call then has
 * succeeded or failed.
 */
extern void chpg_response_read(struct ChpgCall *call, const ChpgAnswer *answer);

/*
 * Let the call fail.  The detail is a sentence, or NULL; the hint replaces the
 * failure's usual one, unless it is NULL.
 */
extern void chpg_response_fail(struct ChpgCall *call, Failure failure,
							   const char *detail, const char *hint);

/*
 * Let the call fail because its transfer brought no answer: with the outcome of
 * the transfer and its description of the problem, of which "." is left out.
 */
extern void chpg_response_fail_transfer(struct ChpgCall *call, ChpgHttpOutcome outcome,
										int status, const char *problem);

/*
 * Check that a text is whole, which JSON shows by itself: it may be cut, here or
 * beyond a proxy, and still be a text.  Returns CHPG_HTTP_ANSWERED, or what to
 * take the answer for, with the problem.  has_end says whether the transfer
 * marked the end of the body.
 */
extern ChpgHttpOutcome chpg_response_check_end(const struct ChpgCall *call,
											   const ChpgAnswer *answer,
											   bool has_end,
											   const char **problem);

#endif							/* CHPG_CALL_PRIVATE_H */
