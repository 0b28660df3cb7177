/*-------------------------------------------------------------------------
 *
 * bind.h
 *		What a scan of a foreign table asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BIND_H
#define CHPG_BIND_H

#include "fdw/scan.h"

/*
 * Fill in what the scan wants, from the values of its conditions; false if they
 * fit no row.  *prometheus_of is the only service whose metrics are wanted, or
 * NULL.  Errors: HV002 if something that has to be known is not, and those of
 * values that cannot be right (22023).  Nothing is sent.
 */
extern bool chpg_scan_request(ChpgScan *scan, ForeignScanState *node,
							  const char **prometheus_of);

/* Would the API be told the same as it was? */
extern bool chpg_scan_is_same(const ChpgScan *scan, ForeignScanState *node);

#endif							/* CHPG_BIND_H */
