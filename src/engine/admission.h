/*-------------------------------------------------------------------------
 *
 * admission.h
 *		Whether a statement may send requests, and in time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ADMISSION_H
#define CHPG_ADMISSION_H

#include "compat.h"
#include "engine/activity.h"
#include "engine/cache.h"
#include "protocol/request_build.h"

/* How calls that belong together wait for the key's budget. */
typedef struct ChpgQueueing
{
	int64		waited_us;		/* time that they have waited so far */
	int64		expected;		/* requests for them, and for those after them */
	const ChpgReadId *id;		/* of all these requests; NULL if no responses
								 * are shared with other backends */
	bool		admitted;		/* chpg.max_wait allows the time that all of
								 * them were to take, and ends no waiting */
	ChpgProgress progress;		/* of them */
}			ChpgQueueing;

/*
 * The time by which a request that has waited for waited_us must be sent, and
 * the setting that says so: statement_timeout, or chpg.max_wait, which holds
 * unless the request was admitted.
 */
extern int64 chpg_admission_deadline(int64 waited_us, bool admitted,
									 const char **setting);

/* Would the request's response come without sending it?  Only looks. */
extern bool chpg_admission_is_answered(const ChpgRequest *request);

/* May the statement send that number of further requests (chpg.max_requests)? */
extern bool chpg_admission_may_send(int64 requests);

/* Throw error 54000: the statement needs that many requests. */
pg_noreturn extern void chpg_admission_report_too_many(const ChpgRequest *request,
													   int64 requests);

/*
 * Can that number of further requests be sent in time?  *seconds is how long they take.
 * If they can, other backends reckon with them from now on.
 */
extern bool chpg_admission_suffices(const ChpgConnection *connection,
									int64 requests,
									const ChpgQueueing * queueing,
									double *seconds);

/* The same, or error 53400, which says when they could be sent. */
extern void chpg_admission_require(const ChpgRequest *request, int64 requests,
								   const ChpgQueueing * queueing,
								   double *seconds);

/*
 * Describe, in a sentence, requests of which "available" can be sent at once, and the
 * last at the time "done"; palloc'd.
 */
extern const char *chpg_admission_describe(int64 requests, int available,
										   int64 done);

/* The end of a hint that says what ends a block of the connection's key; "" without one. */
extern const char *chpg_admission_block_hint(const ChpgConnection *connection);

#endif							/* CHPG_ADMISSION_H */
