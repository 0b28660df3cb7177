/*-------------------------------------------------------------------------
 *
 * rows.h
 *		Many calls as one stream of rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ROWS_H
#define CHPG_ROWS_H

#include "access/tupdesc.h"
#include "arguments.h"
#include "connection.h"

/* What a statement wants to read. */
typedef struct ChpgRequestedRows
{
	ChpgConnection *connection;
	const ChpgEndpoint *endpoint;
	ChpgArguments arguments;
	const char *service;		/* id or name; NULL: all services, where the
								 * endpoint concerns services */
	int64		max_rows;		/* per service; 0: all */
	TupleDesc	tupdesc;		/* of the rows */
} ChpgRequestedRows;

typedef struct ChpgStream ChpgStream;

/*
 * A stream that belongs to the current memory context.  Sends nothing before
 * the first row is asked for.
 */
extern ChpgStream *chpg_stream_begin(const ChpgRequestedRows *wanted);

/*
 * The next row, allocated in the current memory context; false after the last.
 * A failed call is an error, so rows never end early.
 */
extern bool chpg_stream_next(ChpgStream *stream, Datum *values, bool *nulls);

extern void chpg_stream_end(ChpgStream *stream);

#endif							/* CHPG_ROWS_H */
