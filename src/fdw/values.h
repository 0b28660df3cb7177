/*-------------------------------------------------------------------------
 *
 * values.h
 *		What a column can be, by all that is said of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_VALUES_H
#define CHPG_VALUES_H

#include "datatype/timestamp.h"
#include "fdw/fdw.h"

/* What a column can be, as far as conditions say; NULLs fit no row. */
typedef struct ChpgValues
{
	bool		known;
	int			count;
	Datum	   *values;
} ChpgValues;

/* Times between which rows are wanted: from start up to but not including end. */
typedef struct ChpgRange
{
	bool		has_start;
	bool		has_end;
	TimestampTz start;
	TimestampTz end;
} ChpgRange;

/* One of these, which are kept as they are: the shorter list counts. */
extern void chpg_set_values(ChpgValues *values, Datum *found, int count);

/* An element of an array of the type. */
extern void chpg_add_array(ChpgValues *values, Datum value, Oid type);

extern void chpg_add_bound(ChpgRange *range, ChpgComparison comparison,
						   TimestampTz time);

/* From this time on, if it is one. */
extern void chpg_add_start(ChpgRange *range, TimestampTz start);

/* Before this time, if it is one. */
extern void chpg_add_end(ChpgRange *range, TimestampTz end);

/*
 * One of these times, in their order: the API is told no list of them, but
 * between which of them rows are.  False if none is a time.
 */
extern bool chpg_add_times(ChpgRange *range, const ChpgValues *times);

#endif							/* CHPG_VALUES_H */
