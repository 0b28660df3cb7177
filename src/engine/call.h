/*-------------------------------------------------------------------------
 *
 * call.h
 *		The inside of a call, for client.c and failure.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CALL_H
#define CHPG_CALL_H

#include "engine/budget.h"
#include "engine/cache.h"
#include "engine/client.h"
#include "lib/ilist.h"
#include "net/http.h"

typedef enum CallState
{
	CALL_RUNNING,
	CALL_SUCCEEDED,
	CALL_FAILED
} CallState;

/* The ways in which a call can fail, told apart by what the user can do. */
typedef enum Failure
{
	FAILURE_REFUSED,			/* 400, 422 and other 4xx */
	FAILURE_KEY,				/* 401 */
	FAILURE_PERMISSION,			/* 403 */
	FAILURE_NOT_FOUND,			/* 404 */
	FAILURE_CONFLICT,			/* 409 */
	FAILURE_RATE_LIMIT,			/* 429 */
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
	ChpgRequest request;
	MemoryContext context;
	char	   *url;
	char	   *path;			/* for messages */
	const char *body;
	bool		write;
	CallState	state;
	dlist_node	node;			/* among all calls of the backend */
	MemoryContextCallback callback;

	/* attempts */
	ChpgTransfer *transfer;		/* NULL between attempts */
	ChpgGrant	grant;			/* its place in the key's budget */
	bool		sent;			/* when it was left alone last */
	int64		waited;			/* microseconds, with no request under way */
	int64		waited_until;	/* up to when they are counted */
	int64		not_before;		/* when the next attempt is due */
	bool		queued;			/* for the key's budget */
	bool		admitted;		/* chpg.max_wait does not end the waiting */
	int64		queue_time;		/* how long it was, for this attempt */
	bool		counted;		/* this attempt, as a request */
	int			attempts;
	int			rate_limited;	/* attempts that the API answered with 429 */
	int64		blocked_us;		/* for how long they blocked the key */

	/* answers to others */
	bool		looked_up;		/* whether somebody has the answer */
	ChpgReadId	id;
	uint64		generation;
	ChpgFlight	flight;
	int64		next_beat;		/* when to report to its followers again */
	bool		follows;		/* the flight is another backend's */
	int64		follows_since;
	int64		flight_sent;	/* since when that backend's request travels;
								 * 0 while it waits to be sent */
	int64		look_again;		/* at that flight, at the latest */
	ChpgCall   *leader;			/* another call of the same execution that
								 * asks the same, or NULL */
	bool		reused;			/* the answer was to somebody else's request */

	/* the end */
	ChpgJson   *document;
	char	   *text;			/* of an answer that is no JSON */

	/* of the last attempt */
	Failure		failure;
	int			status;			/* HTTP status, or 0 */
	const char *detail;			/* a sentence, or NULL */
	const char *hint;			/* instead of the usual one, or NULL */
	bool		by_api;			/* the API itself says that it failed */
	char	   *request_id;
	double		wait;			/* seconds the rate limit asks for */
};

/* client.c */

/* The first of this backend's calls with which the given one fits, or NULL. */
extern ChpgCall *chpg_find_call(const ChpgCall *call,
								bool (*fits) (const ChpgCall *call,
											  const ChpgCall *other));

/*
 * How long, in microseconds, a statement has waited for the budget by all its
 * calls, of which one has waited for the given time.
 */
extern int64 chpg_statement_waited(const ChpgConnection *connection, int64 waited);

/* attempt.c */

/* Send the request of a call that has its turn, and see what comes of it. */
extern void chpg_call_send(ChpgCall *call);
extern void chpg_call_progress(ChpgCall *call);

/*
 * Nobody waits for the call for a while: others may need what it has.  After
 * that, what they took has to be had anew.
 */
extern void chpg_call_pause(ChpgCall *call);
extern void chpg_call_resume(ChpgCall *call);

/* answer.c */

/* End the call, by an answer, or as failed; the detail is a sentence or NULL. */
extern void chpg_call_read(ChpgCall *call, const ChpgAnswer *answer);
extern void chpg_call_fail(ChpgCall *call, Failure failure, const char *detail);
extern ChpgHttpOutcome chpg_call_check_end(const ChpgCall *call,
										   const ChpgAnswer *answer, bool has_end,
										   const char **problem);
extern Failure chpg_failure_of_outcome(const ChpgCall *call,
									   ChpgHttpOutcome outcome);

/* coalesce.c */

/*
 * Whether somebody has the answer, or asks the same: then the call ends, has a
 * leader, or follows.  chpg_call_follow() sees what came of it.
 */
extern void chpg_call_look_up(ChpgCall *call);
extern void chpg_call_follow(ChpgCall *call);

/*
 * End a call whose turn has come with an answer that was kept while it was
 * queued; false if there is none.
 */
extern bool chpg_call_look_again(ChpgCall *call);

/* Does the call wait until it, or the call that it follows, may be sent? */
extern bool chpg_call_awaits_turn(const ChpgCall *call);

/* Tell the others what a request brought: NULL if that is no answer. */
extern void chpg_call_share(ChpgCall *call, const ChpgAnswer *answer);
extern void chpg_call_leave_flight(ChpgCall *call);

/* failure.c */

/* A sentence on requests of which the last can be sent at that time. */
extern const char *chpg_describe_budget(int64 requests, int available,
										int64 done);

/* Throw error 53400: it takes longer than the setting allows. */
pg_noreturn extern void chpg_report_no_time(const ChpgRequest *request,
											int64 requests, int available,
											int64 done, const char *setting);

#endif							/* CHPG_CALL_H */
