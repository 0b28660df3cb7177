/*-------------------------------------------------------------------------
 *
 * prometheus_rows.h
 *		Rows of Prometheus samples, for functions and foreign tables alike.
 *
 * All functions discover the organization first, which costs a request if the
 * backend does not know it yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PROMETHEUS_ROWS_H
#define CHPG_PROMETHEUS_ROWS_H

#include "engine/connection.h"
#include "utils/tuplestore.h"

/*
 * Store the samples of a service, by id or name, or of all services of the
 * organization (NULL), with those columns of chpg_prometheus_row that the descriptor
 * has.  One request, one more for a name.  Errors: those of the call; 08P01 if the
 * text is malformed; 54000 if it omits services of the organization.
 */
extern void chpg_prometheus_put(ChpgConnection *connection, const char *service,
								TupleDesc tupdesc, Tuplestorestate *store);

/*
 * Do the same by id only (or NULL); a service that does not exist has no samples.  Others
 * may be read after it (one_of_many): then it may fail as one of a fleet may.
 */
extern void chpg_prometheus_put_by_id(ChpgConnection *connection,
									  const char *service_id, bool one_of_many,
									  TupleDesc tupdesc, Tuplestorestate *store);

/*
 * Do the same for all services.  Where the organization's metrics are not enabled, those of
 * each service are read instead, which a NOTICE says: one request for the list, and one for
 * each service.  Errors: 53400 and 54000 for too many requests, too.
 */
extern void chpg_prometheus_put_fleet(ChpgConnection *connection, TupleDesc tupdesc,
									  Tuplestorestate *store);

/*
 * Return the text itself, checked, for a service by id or name, or for the
 * organization (NULL).  It belongs to the current memory context.
 */
extern const char *chpg_prometheus_read_text(ChpgConnection *connection,
											 const char *service);

#endif							/* CHPG_PROMETHEUS_ROWS_H */
