/*-------------------------------------------------------------------------
 *
 * client.h
 *		Calls of the API: from an endpoint and arguments to a parsed answer.
 *
 * A call sends its request as often as the rules for retries allow and ends
 * with a document or with a failure, which chpg_call_report() turns into an
 * error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CLIENT_H
#define CHPG_CLIENT_H

#include "compat.h"
#include "engine/cache.h"
#include "nodes/pg_list.h"
#include "protocol/request_build.h"

typedef struct ChpgCall ChpgCall;

/*
 * A call that belongs to the current memory context.  What the request points
 * to must outlive it.  Sends nothing yet.
 */
extern ChpgCall *chpg_call_create(const ChpgRequest *request);
extern void chpg_call_end(ChpgCall *call);

/* How calls that belong together wait for the key's budget. */
typedef struct ChpgQueueing
{
	int64		waited;			/* microseconds, so far */
	int64		expected;		/* requests for them, and for those after them */
	const ChpgReadId *id;		/* of all these requests; NULL if no answers
								 * are shared with other backends */
	bool		admitted;		/* chpg.max_wait allows the time that all of
								 * them were to take, and ends no waiting */
}			ChpgQueueing;

/*
 * Send and receive for these calls until one of them ends, and return it.
 * Earlier ones come first where they compete.
 */
extern ChpgCall *chpg_calls_wait(List *calls, ChpgQueueing * queueing);

/* The same for a single call. */
extern void chpg_call_wait(ChpgCall *call);

/* The answer of a call that has ended, or NULL if it failed. */
extern ChpgJson *chpg_call_document(const ChpgCall *call);

/* The answer that is no JSON, the HTTP status, and the id of the request. */
extern const char *chpg_call_text(const ChpgCall *call);
extern int	chpg_call_status(const ChpgCall *call);
extern const char *chpg_call_request_id(const ChpgCall *call);

extern bool chpg_call_failed(const ChpgCall *call);

/* Has a request been sent that has no answer yet? */
extern bool chpg_call_in_flight(const ChpgCall *call);

/* Did only the rate limit stand in its way? */
extern bool chpg_call_is_rate_limited(const ChpgCall *call);

/* Is it a failed write that may have been carried out? */
extern bool chpg_call_is_ambiguous(const ChpgCall *call);

/* Did it fail in a way that may be over another time? */
extern bool chpg_call_is_transient(const ChpgCall *call);

/* Did the API refuse it (400) with these words? */
extern bool chpg_call_refused_with(const ChpgCall *call, const char *words);

/* Did the API, not something in front of it, answer that it does not know what was asked for? */
extern bool chpg_call_not_found(const ChpgCall *call);

/* Did it fail for this service, and might not for another? */
extern bool chpg_call_concerns_service(const ChpgCall *call);

/* Show the failure of a call as a warning. */
extern void chpg_call_warn(const ChpgCall *call);

/* Throw the error of a failed call. */
pg_noreturn extern void chpg_call_report(const ChpgCall *call);

/* Push the call's CONTEXT on the error stack while its answer is decoded. */
extern void chpg_call_push_context(ChpgCall *call,
								   ErrorContextCallback *callback);

/* Would it cost no request? */
extern bool chpg_is_answered(const ChpgRequest *request);

/*
 * Can so many more requests be sent in time (chpg.max_wait, statement_timeout)
 * by calls that have waited so far?  *seconds is how long they take.  The second
 * throws error 53400, which says what would be needed.
 */
extern bool chpg_budget_suffices(const ChpgConnection *connection,
								 int64 requests, const ChpgQueueing * queueing,
								 double *seconds);
extern void chpg_require_budget(const ChpgRequest *request, int64 requests,
								const ChpgQueueing * queueing, double *seconds);

/*
 * May the statement send so many more requests (chpg.max_requests)?  The second
 * throws error 54000: it needs that many.
 */
extern bool chpg_may_send(int64 requests);
pg_noreturn extern void chpg_report_too_many(const ChpgRequest *request,
											 int64 requests);

/* Create, wait for, and report a single call; its document if it succeeds. */
extern ChpgJson *chpg_call_perform(const ChpgRequest *request,
								   ChpgCall **call);

#endif							/* CHPG_CLIENT_H */
