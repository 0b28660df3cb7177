/*-------------------------------------------------------------------------
 *
 * write.h
 *		Operations on one service, or that create one: prepared, sent, logged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_WRITE_H
#define CHPG_WRITE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "engine/call.h"
#include "functions/invocation.h"

/* An operation whose arguments have been checked. */
typedef struct ChpgPrepared
{
	ChpgInvocation invocation;
	ChpgRequest request;
	char	   *current_tags;	/* as the API shows them, a JSON object; NULL
								 * if not read */
	ChpgJsonNode *access_list;	/* the IP access list that the API shows; NULL
								 * if not read, or not shown */
} ChpgPrepared;

/*
 * Throw an error unless this function may change something now: 25006 in a read-only
 * transaction, 22023 if the session may have meant a dry run.
 */
extern void chpg_check_write_allowed(const char *function);

/*
 * Read the arguments of a function, and check all that can be checked without a
 * request.  False for a read if a required argument is NULL in a row.  Errors: those
 * of chpg_check_write_allowed() for a write; 22004, 22023, and those of
 * chpg_connection_get().
 */
extern bool chpg_begin_operation(FunctionCallInfo fcinfo,
								 ChpgOperation operation,
								 ChpgPrepared *prepared);

/*
 * Discover the organization, and find the service of an operation on one: one request
 * each, unless the organization is known, or the service is given by its id.
 */
extern void chpg_locate_service(ChpgPrepared *prepared);

/* Return the place of a parameter's value, which is NULL unless it is given. */
extern const char **chpg_prepared_argument(ChpgPrepared *prepared,
										   const char *name);

/* Make a request of a reading endpoint without arguments for the same service. */
extern ChpgRequest chpg_read_request(const ChpgPrepared *prepared,
									 ChpgOperation operation);

/*
 * Read the result of a reading operation for the same service.  One request.  Belongs
 * to the current memory context.
 */
extern ChpgJsonNode *chpg_read_result(const ChpgPrepared *prepared,
									  ChpgOperation operation);

/* Read a member of such a result; NULL if the response omits it. */
extern ChpgJsonNode *chpg_read_now(const ChpgPrepared *prepared,
								   ChpgOperation operation, const char *key);

/*
 * Read an attribute of the service of an operation that returns its row; true unless
 * it is null, or the key may not read it (403).  One request.
 */
extern bool chpg_read_attribute_now(FunctionCallInfo fcinfo,
									const ChpgPrepared *prepared,
									const char *attribute, Datum *value);

/*
 * Send a change and log it.  Returns the call, which has succeeded; with
 * chpg.dry_run, shows the change in a NOTICE and returns NULL.  Errors: 55000 if the
 * statement has sent the same change already, and those of the call.
 */
extern ChpgCall *chpg_send_write(const ChpgRequest *request);

/*
 * Do the same, but return a failed call, too, whose failure is_expected() accepts.
 */
extern ChpgCall *chpg_send_write_unless(const ChpgRequest *request,
										bool (*is_expected) (const ChpgRequest *request,
															 const ChpgCall *call));

/*
 * Do the same, and retry while is_not_ready() accepts the failure, for at most this
 * many seconds.  Not for a dry run.
 */
extern ChpgCall *chpg_send_write_retried(const ChpgRequest *request,
										 bool (*is_not_ready) (const ChpgCall *call),
										 double seconds);

/* Send a change, and return the row in its response; NULL in a dry run. */
extern Datum chpg_send_for_row(FunctionCallInfo fcinfo,
							   const ChpgRequest *request);

/*
 * Form the row in a call's response, as the function's result; of a response without
 * a row, the attributes that are known from the request.  Errors: the decoder's.
 */
extern Datum chpg_response_row(FunctionCallInfo fcinfo,
							   const ChpgRequest *request, ChpgCall *call);

/*
 * Put the rows in a call's response into the function's result set.  Errors: the
 * decoder's.
 */
extern void chpg_put_response_rows(FunctionCallInfo fcinfo,
								   const ChpgRequest *request, ChpgCall *call);

/* Form the same row as a tuple of this type, in the current memory context. */
extern HeapTuple chpg_response_tuple(const ChpgRequest *request,
									 ChpgCall *call, TupleDesc tupdesc);

#endif							/* CHPG_WRITE_H */
