/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The clock for deadlines, and for times that backends compare.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CLOCK_H
#define CHPG_CLOCK_H

#include <time.h>

#include "datatype/timestamp.h"

/* A deadline that never comes. */
#define CHPG_FOREVER	PG_INT64_MAX

/*
 * Return microseconds of CLOCK_MONOTONIC.
 *
 * This is not instr_time, because each session may choose another clock for
 * that since PostgreSQL 19 ("timing_clock_source").
 */
static inline int64
chpg_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

#endif							/* CHPG_CLOCK_H */
