/*-------------------------------------------------------------------------
 *
 * secrecy.c
 *		Keeping a statement that contains a secret out of sight.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgstat.h"
#include "secrecy.h"
#include "tcop/tcopprot.h"

static void
hide_statement_callback(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);		/* of PL/pgSQL, with the calling statement */
}

/*
 * The callback hides the statement from the messages of the function that
 * calls; the new text, from those of a cancel or of the commit after it.
 */
void
chpg_hide_statement(ErrorContextCallback *callback, const char *text)
{
	callback->callback = hide_statement_callback;
	callback->arg = NULL;
	callback->previous = error_context_stack;
	error_context_stack = callback;

	debug_query_string = text;
	pgstat_report_activity(STATE_RUNNING, text);
}
