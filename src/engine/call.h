/*-------------------------------------------------------------------------
 *
 * call.h
 *		Calls of the API: from an endpoint and arguments to a parsed response.
 *
 * A call sends its request as often as the rules for retries allow and ends
 * with a document or with a failure, which chpg_call_report() turns into an
 * error: see response.h for what it ended with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CALL_H
#define CHPG_CALL_H

#include "engine/admission.h"
#include "engine/response.h"
#include "nodes/pg_list.h"
#include "protocol/request_build.h"

/*
 * A call in a memory context of its own, a child of the current one; what the
 * request points to must outlive it.  Sends nothing yet.
 */
extern ChpgCall *chpg_call_create(const ChpgRequest *request);

/* Free a call, in any state: it also ends with its parent memory context. */
extern void chpg_call_end(ChpgCall *call);

/*
 * Send and receive for these calls until one of them ends, and return its index.
 * Earlier ones come first where they compete.  Errors: those of interrupts, of
 * memory, of temporary files, of chpg_http_start(), and of chpg_connection_renew();
 * how a call failed is its own.
 */
extern int	chpg_calls_wait(List *calls, ChpgQueueing * queueing);

/* The same for a single call. */
extern void chpg_call_wait(ChpgCall *call);

/* Is a request of the call under way? */
extern bool chpg_call_in_flight(const ChpgCall *call);

/*
 * Create and wait for a single call, and throw its error if it fails.  Returns its
 * document, which belongs to the call; *call is for the caller to end.
 */
extern ChpgJson *chpg_call_perform(const ChpgRequest *request,
								   ChpgCall **call);

#endif							/* CHPG_CALL_H */
