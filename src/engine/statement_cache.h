/*-------------------------------------------------------------------------
 *
 * statement_cache.h
 *		The answers that one execution of a statement has got.
 *
 * However often a statement needs the same read, its request is sent once, and
 * all of the statement sees the same answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_STATEMENT_CACHE_H
#define CHPG_STATEMENT_CACHE_H

#include "engine/cache.h"

typedef struct ChpgStatementCache ChpgStatementCache;

/*
 * The statement cache of the execution that this memory context belongs to, and with
 * which it ends.
 */
extern ChpgStatementCache *chpg_statement_cache_get(MemoryContext query_context);

/*
 * Keep a copy of an answer, unless that would go beyond temp_file_limit.  Error: a
 * temporary file cannot be written.
 */
extern void chpg_statement_cache_store(ChpgStatementCache *statement_cache, const ChpgReadId *id,
									   uint64 generation, const ChpgAnswer *answer);

/*
 * Find an answer of that generation, with its body in the current memory context;
 * false if there is none.
 */
extern bool chpg_statement_cache_find(ChpgStatementCache *statement_cache, const ChpgReadId *id,
									  uint64 generation, ChpgAnswer *answer);

/*
 * How long, in microseconds, an execution has waited for the budget by all its
 * calls, of which one has waited for the given time; without a statement cache
 * (NULL), only that one counts.
 */
extern int64 chpg_statement_cache_waited(const ChpgStatementCache *statement_cache,
										 int64 waited_us);

/* Add microseconds to that; does nothing without a statement cache. */
extern void chpg_statement_cache_add_wait(ChpgStatementCache *statement_cache,
										  int64 waited_us);

/*
 * The requests that the client's present statement has sent, in its present
 * transaction, by all its executions together: a function's queries, say.
 */
extern int64 *chpg_statement_requests(void);

/* A hash of the latest change that the client's statement has sent in its present transaction, or 0. */
extern uint64 *chpg_statement_write(void);

/* The notices about a window that a statement of the client issues once. */
typedef enum ChpgWindowNotice
{
	CHPG_WINDOW_FORGOTTEN,
	CHPG_WINDOW_IN_FUTURE
} ChpgWindowNotice;

/*
 * Has neither the execution, which may go on in later statements (a cursor), nor
 * the client's present statement issued this notice yet?  Notes that it has.
 * Statements that the client sends as one message count as one.  The statement
 * cache may be NULL.
 */
extern bool chpg_statement_cache_says_first(ChpgStatementCache *statement_cache,
											ChpgWindowNotice notice);

/* Is there an answer of that generation? */
extern bool chpg_statement_cache_has(ChpgStatementCache *statement_cache, const ChpgReadId *id,
									 uint64 generation);

#endif							/* CHPG_STATEMENT_CACHE_H */
