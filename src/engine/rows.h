/*-------------------------------------------------------------------------
 *
 * rows.h
 *		Many calls as one stream of rows.
 *
 * A stream reads all pages of all slices of all targets: services, or the
 * organization.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ROWS_H
#define CHPG_ROWS_H

#include "access/tupdesc.h"
#include "engine/connection.h"
#include "engine/statement_cache.h"
#include "nodes/pg_list.h"
#include "protocol/arguments.h"

/* What a statement is to read. */
typedef struct ChpgReadSpec
{
	ChpgConnection *connection;
	const ChpgEndpoint *endpoint;
	ChpgArguments arguments;
	const char *service;		/* id or name; NULL: all services, where the
								 * endpoint concerns services */
	bool		by_id;			/* instead, the services with these ids: one
								 * that is not there has no rows */
	List	   *service_ids;
	List	   *service_names;	/* of all these, only services that have one
								 * of these names; NIL: whatever their names */
	bool		one_of_many;	/* others are read after it: to leave out one
								 * that fails leaves some */
	bool		any_state;		/* of all services, those that come or go, too */
	List	   *alternatives;	/* ChpgArguments for the same window, each of
								 * which is read; NIL: the arguments */
	int64		max_rows;		/* per service; 0: all */
	int			first_page;		/* rows that are probably enough; 0: all */
	int			concurrency;	/* 0: as the settings say */
	TupleDesc	tupdesc;		/* of the rows */
} ChpgReadSpec;

typedef struct ChpgStream ChpgStream;

/*
 * A stream that belongs to the current memory context.  Sends nothing before
 * the first row is read.
 */
extern ChpgStream *chpg_stream_begin(const ChpgReadSpec *spec);

/*
 * Read the next row into arrays of the descriptor's length, allocated in the current
 * memory context; false after the last.  Errors: those of failed calls, so that rows
 * never end early; 53400 and 54000 for too many requests; 08P01 for malformed responses.
 */
extern bool chpg_stream_next(ChpgStream *stream, Datum *values, bool *nulls);

/* The number of services, or the like, that it reads; 0 before the first row. */
extern int	chpg_stream_targets(const ChpgStream *stream);

/* Free a stream, and give up its calls. */
extern void chpg_stream_end(ChpgStream *stream);

#endif							/* CHPG_ROWS_H */
