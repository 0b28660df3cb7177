/*-------------------------------------------------------------------------
 *
 * rate_limit.h
 *		The rate limit that the headers of a response describe.
 *
 *		X-RateLimit-Limit: 40
 *		X-RateLimit-Policy: 40;w=10;comment="fixed window"
 *		X-RateLimit-Remaining: 39
 *		X-RateLimit-Reset: 8.25
 *
 * Nothing here throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_RATE_LIMIT_H
#define CHPG_RATE_LIMIT_H

typedef struct ChpgRateLimit
{
	int			requests;		/* 1 to 1000 */
	int			window;			/* seconds, 1 to 60 */
	bool		is_fixed;		/* the policy says so: all is free at the
								 * reset */
	int			remaining;		/* requests, or -1 */
	int64		reset_us;		/* microseconds until the window ends, or -1 */
} ChpgRateLimit;

/*
 * Parse the values of the four headers, each of which may be NULL.  False unless
 * Limit and Policy agree on one limit in the bounds above.  A value of Remaining or
 * Reset that does not fit this limit is unknown.
 */
extern bool chpg_parse_rate_limit(const char *limit, const char *policy,
								  const char *remaining, const char *reset,
								  ChpgRateLimit *result);

/* Parse digits with at most one fraction, and nothing beside them. */
extern bool chpg_parse_reset(const char *text, double *seconds);

#endif							/* CHPG_RATE_LIMIT_H */
