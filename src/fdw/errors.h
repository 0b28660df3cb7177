/*-------------------------------------------------------------------------
 *
 * errors.h
 *		Errors of queries on foreign tables that restrict too little.
 *
 * Each function throws HV002.  The error names what has to be restricted, the
 * conditions on it that are not pushed down, and a remedy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ERRORS_H
#define CHPG_ERRORS_H

#include "fdw/times.h"
#include "nodes/execnodes.h"

/* Throw: these columns, a list of their names, have no value. */
extern void chpg_raise_missing_columns(ForeignScanState *node, List *names);

/*
 * Throw: the window has no start, or no end, as far as range says.  The remedy is
 * relative to the bound that it has.
 */
extern void chpg_raise_missing_window(ForeignScanState *node, const ChpgRange *range);

/* Throw: a column that may be left out is compared in a way that cannot be pushed down. */
extern void chpg_raise_unpushed_comparison(ForeignScanState *node, const char *name);

/*
 * Throw: a bound of the window has a range, and is compared with something else, too,
 * from which no bound follows.
 */
extern void chpg_raise_unpushed_bound(ForeignScanState *node, const char *name);

#endif							/* CHPG_ERRORS_H */
