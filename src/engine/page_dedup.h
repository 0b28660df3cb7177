/*-------------------------------------------------------------------------
 *
 * page_dedup.h
 *		Which rows were on an earlier page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PAGE_DEDUP_H
#define CHPG_PAGE_DEDUP_H

typedef struct ChpgPageDedup ChpgPageDedup;

/* Nothing was seen yet; belongs to the current memory context. */
extern ChpgPageDedup *chpg_page_dedup_create(void);
extern void chpg_page_dedup_free(ChpgPageDedup *dedup);

/*
 * For each row of a page, named by a hash of what identifies it, whether it was
 * on an earlier one; their number.  Error: a temporary file cannot be written.
 */
extern int	chpg_page_dedup_add(ChpgPageDedup *dedup, const uint64 *hashes, int num_rows,
								bool *repeated);

#endif							/* CHPG_PAGE_DEDUP_H */
