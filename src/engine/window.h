/*-------------------------------------------------------------------------
 *
 * window.h
 *		A window of time that takes several requests.
 *
 * The API limits what one request covers.  A longer window is cut at multiples
 * of the bucket, so that no bucket is read twice or in parts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_WINDOW_H
#define CHPG_WINDOW_H

#include "engine/statement_cache.h"
#include "protocol/arguments.h"

/* Times are milliseconds since 1970. */
typedef struct ChpgWindow
{
	int64		start;
	int64		end;
	int64		origin;			/* where the first slice would begin if it
								 * were whole */
	int64		step;			/* length of a slice */
	int64		count;			/* of slices; 1 if the API takes any window */
} ChpgWindow;

/* Let the window of these arguments end at that time at the latest (milliseconds since 1970). */
extern void chpg_end_window(const ChpgEndpoint *endpoint,
							ChpgArguments *arguments, int64 end);

/*
 * Cut the window of these arguments into slices that the API takes.  Adds a bucket to
 * the arguments where the API would choose another one for each slice.
 */
extern void chpg_cut_window(const ChpgEndpoint *endpoint,
							ChpgArguments *arguments, ChpgWindow *window);

/* The same arguments for a slice, numbered from 0; palloc'd. */
extern ChpgArguments *chpg_slice_arguments(const ChpgEndpoint *endpoint,
										   const ChpgArguments *arguments,
										   const ChpgWindow *window,
										   int64 slice);

/*
 * Warn of a window that begins before what the API keeps, or in the future, by the
 * clock of this server: the response does not show that.  Each is issued once in a
 * statement of the client.  The statement cache may be NULL.
 */
extern void chpg_check_window_times(const ChpgEndpoint *endpoint,
									const ChpgArguments *arguments,
									ChpgStatementCache *statement_cache);

/* Issue the warning of a window that begins in the future. */
extern void chpg_warn_of_future(ChpgStatementCache *statement_cache);

#endif							/* CHPG_WINDOW_H */
