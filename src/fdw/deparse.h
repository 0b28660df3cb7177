/*-------------------------------------------------------------------------
 *
 * deparse.h
 *		Conditions of a scan as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_DEPARSE_H
#define CHPG_DEPARSE_H

#include "nodes/execnodes.h"
#include "nodes/plannodes.h"

/*
 * The texts of a scan's conditions, in the order of the plan's quals, as EXPLAIN
 * prints them.  The statement is the one that the scan's plan is part of, and
 * tree is what deparse_context_for_plan_tree() made of it.  The result belongs
 * to the current memory context.
 */
extern List *chpg_deparse_quals(const ForeignScanState *node,
								PlannedStmt * statement, List *tree);

#endif							/* CHPG_DEPARSE_H */
