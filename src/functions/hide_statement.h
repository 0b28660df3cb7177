/*-------------------------------------------------------------------------
 *
 * hide_statement.h
 *		Keeping a statement that contains a secret out of sight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_HIDE_STATEMENT_H
#define CHPG_HIDE_STATEMENT_H

/*
 * From now to the end of the statement, show this text, a constant, instead of
 * it in the log and in pg_stat_activity.  The caller pops the callback, which
 * it provides, off error_context_stack before it returns.
 */
extern void chpg_hide_statement(ErrorContextCallback *callback,
								const char *text);

/*
 * A NOTICE if the function of this name, which hides its statement, was not
 * called as a plain SELECT: the text of another statement is kept elsewhere.  To
 * be called in the memory context that the function was called in.
 */
extern void chpg_warn_exposed(const char *function);

#endif							/* CHPG_HIDE_STATEMENT_H */
