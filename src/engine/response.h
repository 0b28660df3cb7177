/*-------------------------------------------------------------------------
 *
 * response.h
 *		How a call ended: with the API's answer, or with a failure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_RESPONSE_H
#define CHPG_RESPONSE_H

#include "compat.h"
#include "engine/page_dedup.h"
#include "protocol/json.h"
#include "protocol/request_build.h"

typedef struct ChpgCall ChpgCall;

/* The JSON document of a call that succeeded, which has it; or NULL. */
extern ChpgJson *chpg_call_document(const ChpgCall *call);

/* The result in that document; NULL if it is missing, or null. */
extern ChpgJsonNode *chpg_call_result(const ChpgCall *call);

/* The response that is not JSON, palloc'd, or NULL; it belongs to the call. */
extern const char *chpg_call_text(const ChpgCall *call);

/* The HTTP status of the last attempt, or 0. */
extern int	chpg_call_status(const ChpgCall *call);

/* The id that the API gave the request, or NULL; it belongs to the call. */
extern const char *chpg_call_request_id(const ChpgCall *call);

/*
 * The cursor that a succeeded call names for the page after this one (counted from 1),
 * palloc'd; NULL after the last.  *seen, NULL at first, becomes what has come before,
 * in the current memory context; it is the caller's.  Errors: 08P01 for a cursor that is
 * none, or that came before, as the pages would never end; 22P05 if the encoding cannot
 * hold it.
 */
extern char *chpg_call_next_cursor(const ChpgCall *call, int page,
								   ChpgPageDedup **seen);

/* Did the call fail? */
extern bool chpg_call_failed(const ChpgCall *call);

/* Did it fail because of the key's budget, or with a 429? */
extern bool chpg_call_is_rate_limited(const ChpgCall *call);

/* Is it a write that failed and may have been carried out? */
extern bool chpg_call_is_ambiguous(const ChpgCall *call);

/*
 * Did it fail in a way that may be over another time, so that the request can be
 * repeated?  Of a write, the request was certainly not carried out then.
 */
extern bool chpg_call_is_transient(const ChpgCall *call);

/* Did the API reject it (400) with an error that has these words? */
extern bool chpg_call_refused_with(const ChpgCall *call, const char *words);

/* Did the API answer 403 because the feature is not enabled for the organization? */
extern bool chpg_call_not_enabled(const ChpgCall *call);

/* Did the API itself answer 404, and not something in front of it? */
extern bool chpg_call_not_found(const ChpgCall *call);

/* Did it fail for its service, while another's request might succeed? */
extern bool chpg_call_concerns_service(const ChpgCall *call);

/*
 * Did it fail in a way in which the API may answer for a service that is not running?
 * Not for the key's sake, nor without an answer.
 */
extern bool chpg_call_may_blame_state(const ChpgCall *call);

/*
 * Let the message of a failed call say that its service is in this state.  The name is
 * NULL if the message has it anyway.
 */
extern void chpg_call_blame_state(ChpgCall *call, const char *state, const char *name);

/*
 * Replace the end of the primary message of a failed call, and its HINT; the texts must
 * live until it is reported.
 */
extern void chpg_call_explain(ChpgCall *call, const char *reason, const char *hint);

/* Throw the error of a failed call, with the SQLSTATE of its failure. */
pg_noreturn extern void chpg_call_report(const ChpgCall *call);

/* Issue the same as a WARNING. */
extern void chpg_call_warn(const ChpgCall *call);

/*
 * Push the call's CONTEXT on the error stack while its response is decoded.  The
 * caller owns the callback, and pops it.
 */
extern void chpg_call_push_context(ChpgCall *call,
								   ErrorContextCallback *callback);

/*
 * The service of a request for a primary message, with a blank before it; or "".
 * Palloc'd or constant.
 */
extern const char *chpg_describe_service(const ChpgRequest *request);

#endif							/* CHPG_RESPONSE_H */
