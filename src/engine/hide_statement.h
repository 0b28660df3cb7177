/*-------------------------------------------------------------------------
 *
 * hide_statement.h
 *		Hiding the text of a statement that contains a secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_HIDE_STATEMENT_H
#define CHPG_HIDE_STATEMENT_H

/*
 * Show this text, a constant, in place of the statement until it ends: in the log
 * and in pg_stat_activity.  Pushes the callback, which the caller provides and pops
 * off error_context_stack before it returns.
 */
extern void chpg_hide_statement(ErrorContextCallback *callback,
								const char *text);

/*
 * Issue a NOTICE if the function of this name, which hides its statement, was not
 * called by a plain SELECT: PostgreSQL or an extension may record the text of other
 * statements.  Must be called in the memory context in which the function was called.
 */
extern void chpg_warn_exposed(const char *function);

#endif							/* CHPG_HIDE_STATEMENT_H */
