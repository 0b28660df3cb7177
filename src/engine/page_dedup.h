/*-------------------------------------------------------------------------
 *
 * page_dedup.h
 *		Finding rows that were on an earlier page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PAGE_DEDUP_H
#define CHPG_PAGE_DEDUP_H

typedef struct ChpgPageDedup ChpgPageDedup;

/* Nothing was seen yet; belongs to the current memory context. */
extern ChpgPageDedup *chpg_page_dedup_create(void);

/* Free it, and its temporary file. */
extern void chpg_page_dedup_free(ChpgPageDedup *dedup);

/*
 * Add the rows of a page, each by a hash of what identifies it.  repeated[] says of
 * each whether it was on an earlier page; returns how many were.  Error: a temporary
 * file cannot be written or read.
 */
extern int	chpg_page_dedup_add(ChpgPageDedup *dedup, const uint64 *hashes, int num_rows,
								bool *repeated);

#endif							/* CHPG_PAGE_DEDUP_H */
