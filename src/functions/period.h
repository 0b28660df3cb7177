/*-------------------------------------------------------------------------
 *
 * period.h
 *		The forms in which a call says its window: two times, an interval until now,
 *		a range, or texts of any of these.
 *
 * Overloads distinguish the forms by the names and types of their first arguments:
 * from_date and to_date (timestamptz, or text), period (interval), during (tstzrange).
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PERIOD_H
#define CHPG_PERIOD_H

#include "protocol/arguments.h"

/* Where a call's window is set. */
typedef struct ChpgPeriod
{
	Oid			function;		/* that was called, for messages; or 0 */
	const ChpgEndpoint *endpoint;	/* or NULL: the window is not an argument */
	ChpgArguments *arguments;	/* the window becomes a part of */
	const char *service;		/* id or name, or NULL; set if a text says it */
	TimestampTz from;			/* the window, once it is set */
	TimestampTz to;
} ChpgPeriod;

/* Does an argument of this name say the window? */
extern bool chpg_is_period_argument(const char *name);

/*
 * Set the window by the value of the first of these arguments, and by to_date, or NULL:
 * then the window ends now.  to_date is of the same type, or a text after a timestamptz.
 * An interval ends with the last full minute, so that calls within a minute send the
 * same requests.  Errors: 22023, 22007, 22008 if that is no window.
 */
extern void chpg_set_period(ChpgPeriod *period, Oid type, Datum first, Oid end_type,
							const Datum *end);

#endif							/* CHPG_PERIOD_H */
