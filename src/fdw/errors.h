/*-------------------------------------------------------------------------
 *
 * errors.h
 *		The errors of a scan that is told too little.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ERRORS_H
#define CHPG_ERRORS_H

#include "fdw/fdw.h"
#include "fdw/values.h"
#include "nodes/execnodes.h"

/*
 * They have HV002, and say what is missing,
 * which conditions on it the API cannot be told, and what to do.
 */

/* Columns, by their names, are not known. */
extern void chpg_refuse_missing(ForeignScanState *node, List *names);

/*
 * The window is not known, or only its start is, or its end is: the advice is relative
 * to that.
 */
extern void chpg_refuse_missing_window(ForeignScanState *node, const ChpgRange *known);

/* A column that may be left out is compared in a way that the API cannot be told. */
extern void chpg_refuse_comparison(ForeignScanState *node, const char *name);

/*
 * A bound of the window is known by a range, and compared with something else, too,
 * from which no bound follows.
 */
extern void chpg_refuse_window_condition(ForeignScanState *node, const char *name);

#endif							/* CHPG_ERRORS_H */
