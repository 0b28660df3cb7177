/*-------------------------------------------------------------------------
 *
 * scan.h
 *		Executing scans of foreign tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SCAN_H
#define CHPG_SCAN_H

#include "engine/keys.h"
#include "nodes/execnodes.h"

/* The executor's callbacks; nothing is sent before the first row is fetched. */
extern void chpgBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *chpgIterateForeignScan(ForeignScanState *node);
extern void chpgReScanForeignScan(ForeignScanState *node);
extern void chpgEndForeignScan(ForeignScanState *node);

/* Return the counters of a scan's requests so far; NULL if it is not executed. */
extern const ChpgCounters *chpg_scan_counters(const ForeignScanState *node);

#endif							/* CHPG_SCAN_H */
