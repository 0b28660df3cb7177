/*-------------------------------------------------------------------------
 *
 * scan.h
 *		Reading a foreign table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SCAN_H
#define CHPG_SCAN_H

#include "engine/keys.h"
#include "engine/rows.h"
#include "fdw/fdw.h"
#include "nodes/execnodes.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

/* The value of a condition that the API is told. */
typedef struct ChpgTold
{
	Datum		value;
	bool		isnull;
	bool		by_value;		/* how its type is stored */
	int16		length;
} ChpgTold;

typedef struct ChpgScan
{
	const ChpgScanPlan *plan;
	const ChpgResource *resource;
	const		Interval *window;	/* of the table itself, or NULL */
	Relation	relation;
	List	   *values;			/* ExprState, of the plan's conditions */
	Oid			user;			/* whose key is used */
	bool		keep_rows;		/* for another scan of the same */
	ChpgCounters spent;

	/* from the first row on */
	bool		started;
	bool		again;			/* is to be read again, perhaps for other
								 * values */
	ChpgTold   *told;			/* in the order of the plan's conditions */
	MemoryContext context;		/* of all below, until the values change */
	ChpgReadSpec spec;
	bool		narrowed;		/* to a part of the rows, by optional filters */
	ChpgStream *stream;			/* NULL: there is nothing to ask, or its rows
								 * are all in the store */
	Datum	   *row;			/* as the stream gives it */
	bool	   *row_nulls;
	int			num_columns;	/* of the table; the row may have one more */
	Datum	   *given;			/* what a column is in all rows, ... */
	bool	   *is_given;		/* ... if it is */
	int64		rows_read;

	/* rows that are kept */
	Tuplestorestate *store;
	TupleTableSlot *stored;

	/* rows in the API's order */
	SortSupportData sort;
	int64		verified;		/* rows in the store to be given first */
	bool		all_read;
	Tuplesortstate *sorted;		/* the others, or all */
	bool		has_last;		/* the sort column of the last row given */
	bool		last_null;
	Datum		last;
} ChpgScan;

extern void chpg_scan_start(ChpgScan *scan, ForeignScanState *node);
extern bool chpg_scan_next(ChpgScan *scan, TupleTableSlot *slot);
extern void chpg_scan_again(ChpgScan *scan, ForeignScanState *node);
extern void chpg_scan_end(ChpgScan *scan);

/* The API's name of the field by which a column is sorted, or NULL. */
extern const char *chpg_sort_key(const ChpgEndpoint *endpoint, const char *column);

#endif							/* CHPG_SCAN_H */
