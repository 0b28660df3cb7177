/*-------------------------------------------------------------------------
 *
 * write.h
 *		Operations on a single service, or on what makes services: prepared, sent,
 *		logged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_WRITE_H
#define CHPG_WRITE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "engine/call.h"
#include "functions/invocation.h"

/* An operation whose arguments are known to be good. */
typedef struct ChpgPrepared
{
	ChpgInvocation invocation;
	ChpgRequest request;
	char	   *shown_tags;		/* by the API; NULL if not read */
} ChpgPrepared;

/*
 * Error unless changes are allowed now: 25006 in a read-only transaction, 22023
 * if the session may have meant a dry run.
 */
extern void chpg_check_write_allowed(const char *function);

/*
 * Check all that can be checked without a request.  False for a read whose
 * required argument is NULL in a row.  Errors: those of
 * chpg_check_write_allowed() for a write, 22004, 22023.
 */
extern bool chpg_begin_operation(FunctionCallInfo fcinfo,
								 ChpgOperation operation,
								 ChpgPrepared *prepared);

/* Find the service that it concerns.  1 request if it is named. */
extern void chpg_locate_service(ChpgPrepared *prepared);

/* The value of a parameter, to be read or set; NULL: not given. */
extern const char **chpg_prepared_argument(ChpgPrepared *prepared,
										   const char *name);

/*
 * Read, by an operation without arguments, a member of the result for the
 * service as it is now; NULL where the API does not tell it.
 */
extern ChpgJsonNode *chpg_read_now(const ChpgPrepared *prepared,
								   ChpgOperation operation, const char *key);

/*
 * Send a change and log it; the call, which succeeded, or NULL after showing
 * it, if chpg.dry_run is on.
 */
extern ChpgCall *chpg_send_write(const ChpgRequest *request);

/*
 * The same, again and again while the API refuses it as not ready, for so many
 * seconds at most.  Not in a dry run.
 */
extern ChpgCall *chpg_send_write_again(const ChpgRequest *request,
									   bool (*is_not_ready) (const ChpgCall *call),
									   double seconds);

/* Send a change, and return the row of its answer; NULL in a dry run. */
extern Datum chpg_send_for_row(FunctionCallInfo fcinfo,
							   const ChpgRequest *request);

/* The row of an answer; where it has none, what is known without one. */
extern Datum chpg_answer_row(FunctionCallInfo fcinfo,
							 const ChpgRequest *request, ChpgCall *call);
extern HeapTuple chpg_answer_tuple(const ChpgRequest *request,
								   ChpgCall *call, TupleDesc tupdesc);

#endif							/* CHPG_WRITE_H */
