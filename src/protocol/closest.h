/*-------------------------------------------------------------------------
 *
 * closest.h
 *		Which of several names was meant by one that does not exist.
 *
 * As PostgreSQL's ClosestMatch, which version 15 lacks, but for case and quotes, which
 * cost nothing, and for beginnings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CLOSEST_H
#define CHPG_CLOSEST_H

typedef struct ChpgClosest
{
	char	   *wanted;			/* folded, without quotes; NULL: no name can
								 * be close */
	const char *match;			/* the closest name so far, or NULL */
	int			distance;
} ChpgClosest;

/* Begin to look for a name; all is palloc'd in the current memory context. */
extern void chpg_closest_begin(ChpgClosest *closest, const char *wanted);

/* Consider a name, which must outlive the search.  NULL is none. */
extern void chpg_closest_add(ChpgClosest *closest, const char *name);

/*
 * Return the end of a primary message, palloc'd, such as ': did you mean "orders"?'; ""
 * if no name is close.
 */
extern const char *chpg_closest_question(const ChpgClosest *closest);

#endif							/* CHPG_CLOSEST_H */
