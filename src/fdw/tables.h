/*-------------------------------------------------------------------------
 *
 * tables.h
 *		Foreign tables in the catalog, their sizes, and statistics of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_TABLES_H
#define CHPG_TABLES_H

#include "access/tupdesc.h"
#include "foreign/fdwapi.h"
#include "protocol/resources.h"

/* The schema to import, and the prefix of the names of tables with a window. */
#define CHPG_REMOTE_SCHEMA	"chpg"
#define CHPG_RECENT			"recent_"

/*
 * Return the resource that a foreign table shows.  Error: HV00J if the table has no
 * option "resource" that names one.
 */
extern const ChpgResource *chpg_table_resource(Oid table);

/*
 * Return the length of the window that a table always shows, which ends now; NULL
 * if the table has no option "window".  The result belongs to the current memory
 * context.  Error: 22007 for an option that is no interval.
 */
extern Interval * chpg_table_window(Oid table);

/*
 * Return the row type of a resource with all its attributes, as the extension of the
 * server declares it.  The result belongs to the current memory context.  Error:
 * 42704 if there is no such type.
 */
extern TupleDesc chpg_resource_tupdesc(const ChpgResource *resource, Oid server);

/*
 * Return the SQL function chpg_query_id() of the server's extension; InvalidOid if the
 * extension's SQL is older than the function.
 */
extern Oid	chpg_query_id_function(Oid server);

/*
 * Record for later plans of this backend of how many services a resource was read,
 * and the rows of each.  With 0 services the recorded number stays.
 */
extern void chpg_record_size(Oid server, const ChpgResource *resource,
							 int services, double rows);

/*
 * Estimate of how many services a resource is read, and the rows of each: as recorded
 * last, else by defaults.
 */
extern void chpg_estimate_size(Oid server, const ChpgResource *resource,
							   double *services, double *rows);

/*
 * Install a hook, once in a backend, that gives the planner statistics of all foreign
 * tables whose wrapper has this function.
 */
extern void chpg_offer_statistics(GetForeignRelSize_function function);

#endif							/* CHPG_TABLES_H */
