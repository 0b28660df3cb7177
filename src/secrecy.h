/*-------------------------------------------------------------------------
 *
 * secrecy.h
 *		Keeping a statement that contains a secret out of sight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SECRECY_H
#define CHPG_SECRECY_H

/*
 * From now to the end of the statement, show this text, a constant, instead of
 * it in the log and in pg_stat_activity.  The caller pops the callback, which
 * it provides, off error_context_stack before it returns.
 */
extern void chpg_hide_statement(ErrorContextCallback *callback,
								const char *text);

#endif							/* CHPG_SECRECY_H */
