/*-------------------------------------------------------------------------
 *
 * hide_statement.c
 *		Hiding the text of a statement that contains a secret.
 *
 * PostgreSQL attaches the statement to messages in the log, and shows it in
 * pg_stat_activity.  The callback hides it in the messages of the function that
 * installs it; the replaced text, in those of a cancel, and of the commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/execdesc.h"
#include "engine/hide_statement.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* Hide statement and context of an error that is being reported. */
static void
hide_statement_callback(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);		/* PL/pgSQL's has the calling statement */
}

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

/*
 * Is the client's own statement a SELECT that calls the function itself?
 * PostgreSQL calls a function in a context right below that of its query.  If
 * that query is the portal's, neither a function nor SPI is in between.
 * Cursors and EXECUTE have portals with names.
 */
static bool
is_plain_select(void)
{
	Portal		portal = ActivePortal;

	return PortalIsValid(portal) && portal->name[0] == '\0' &&
		portal->strategy == PORTAL_ONE_SELECT &&
		portal->queryDesc != NULL && portal->queryDesc->estate != NULL &&
		MemoryContextGetParent(CurrentMemoryContext) ==
		portal->queryDesc->estate->es_query_cxt;
}

void
chpg_warn_exposed(const char *function)
{
	if (is_plain_select())
		return;
	ereport(NOTICE,
			(errmsg("secret may be recorded with the statement text: call %s() as a plain SELECT",
					function),
			 errdetail("pg_stat_statements records utility statements, such as DO, COPY, EXPLAIN and CREATE TABLE AS, with their literals; pg_proc records functions."),
			 errhint("Call it in a SELECT of its own, and replace a secret that was part of another statement.")));
}
