/*-------------------------------------------------------------------------
 *
 * monitoring.h
 *		Reading Prometheus metrics.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_MONITORING_H
#define CHPG_MONITORING_H

#include "engine/connection.h"
#include "utils/tuplestore.h"

/*
 * Store the samples of a service, or of all (NULL), with those columns of
 * chpg_prometheus_row that the descriptor has.  A service that is not there has
 * none.  One request, of which the errors are thrown.
 */
extern void chpg_read_prometheus(ChpgConnection *connection, const char *service_id,
								 TupleDesc tupdesc, Tuplestorestate *store);

#endif							/* CHPG_MONITORING_H */
