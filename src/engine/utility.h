/*-------------------------------------------------------------------------
 *
 * utility.h
 *		Running utility statements on servers and user mappings without showing secrets;
 *		and whether CALL lets a procedure end its transaction.
 *
 * Event triggers and ProcessUtility hooks see the parse nodes, which hold the
 * secrets, and texts, which do not.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_UTILITY_H
#define CHPG_UTILITY_H

#include "fmgr.h"
#include "nodes/parsenodes.h"

/* Run a utility statement, of which hooks and event triggers see this text. */
extern void chpg_run_utility(Node *stmt, const char *text);

/*
 * Return the text "COMMAND SERVER REST OPTIONS (...)" of a statement, palloc'd, with
 * "***" for options that are secret.
 */
extern char *chpg_statement_text(const char *command, const char *server,
								 const char *rest, List *options);

/* May a procedure end its transaction: was it called by a CALL outside of any block? */
extern bool chpg_is_nonatomic(FunctionCallInfo fcinfo);

/* Make the parse node of CURRENT_USER. */
extern RoleSpec *chpg_current_role(void);

/*
 * Make an option of an ALTER statement: SET if the present options have it, else ADD;
 * DROP for NULL.
 */
extern DefElem *chpg_option_change(List *present, const char *name, char *value);

#endif							/* CHPG_UTILITY_H */
