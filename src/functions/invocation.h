/*-------------------------------------------------------------------------
 *
 * invocation.h
 *		How an SQL function was called: its arguments, connection and transaction.
 *
 * Arguments are recognized by their names in the SQL declaration: the endpoint's
 * parameters, the window in one of the forms of period.h, "service", "max_rows",
 * "server", and others that a function looks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_INVOCATION_H
#define CHPG_INVOCATION_H

#include "compat.h"
#include "engine/connection.h"
#include "fmgr.h"
#include "protocol/arguments.h"

typedef struct ChpgInvocation
{
	FunctionCallInfo fcinfo;
	char	  **names;			/* of the arguments, by position */
	const ChpgEndpoint *endpoint;
	ChpgConnection *connection;
	ChpgArguments arguments;
	const char *service;		/* id or name, or NULL */
	int64		max_rows;		/* 0: all */
	const char *null_argument;	/* name of a required one that is NULL in a
								 * row, or NULL */
} ChpgInvocation;

/*
 * Read and check all arguments, and find the connection, without a request.  All is
 * allocated in the current memory context.  NULL for a required argument is error
 * 22004, but if it comes from a row, null_argument is set.
 * Errors: 22023 for invalid values, and those of chpg_connection_get().
 */
extern void chpg_read_invocation(FunctionCallInfo fcinfo,
								 const ChpgEndpoint *endpoint,
								 ChpgInvocation *invocation);

/*
 * Let a set-returning function share responses with the rest of its statement, by
 * the connection's statement cache.
 */
extern void chpg_use_statement_cache(ChpgInvocation *invocation);

/* Find the position of an argument; -1 if it is NULL, or the function has none. */
extern int	chpg_find_argument(const ChpgInvocation *invocation,
							   const char *name);

/* Throw error 22004 for an argument of this name. */
pg_noreturn extern void chpg_refuse_null(const char *name);

/*
 * Return an argument of type interval in seconds; 0 if it is NULL.  Error 22023 unless
 * it lies between 0 and 30 days.
 */
extern double chpg_interval_argument(const ChpgInvocation *invocation,
									 const char *name);

/*
 * Error 25001, with this hint, unless a procedure may end its transaction: unless it
 * was called by a CALL outside of any transaction block.
 */
extern void chpg_check_nonatomic(FunctionCallInfo fcinfo, const char *procedure,
								 const char *hint);

#endif							/* CHPG_INVOCATION_H */
