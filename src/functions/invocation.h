/*-------------------------------------------------------------------------
 *
 * invocation.h
 *		What a function of ours was called with.
 *
 * Arguments are told apart by their names in the SQL declaration: those of an
 * endpoint's parameters, "service", "max_rows", "server", and whatever else the
 * function itself looks for.
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
	char	  **names;			/* of the arguments */
	const ChpgEndpoint *endpoint;
	ChpgConnection *connection;
	ChpgArguments arguments;
	const char *service;		/* id or name, or NULL */
	int64		max_rows;		/* 0: all */
	const char *null_argument;	/* one that is required and NULL, or NULL */
} ChpgInvocation;

/*
 * Read and check all arguments, and find the connection; sends nothing.  A
 * required argument that is NULL is error 22004 if the user wrote it so, else
 * it is noted.
 */
extern void chpg_read_invocation(FunctionCallInfo fcinfo,
								 const ChpgEndpoint *endpoint,
								 ChpgInvocation *invocation);

/*
 * Let a set-returning function share responses with the rest of its statement, by
 * the connection's statement cache.
 */
extern void chpg_use_statement_cache(ChpgInvocation *invocation);

/* The place of an argument that is not NULL, or -1. */
extern int	chpg_find_argument(const ChpgInvocation *invocation,
							   const char *name);

/* Error 22004: an argument that is needed is NULL. */
pg_noreturn extern void chpg_refuse_null(const char *name);

/*
 * An interval argument in seconds; 0 if it is NULL.  Error 22023 unless it lies
 * between 0 and 30 days.
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
