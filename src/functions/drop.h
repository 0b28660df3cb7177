/*-------------------------------------------------------------------------
 *
 * drop.h
 *		Saying what DROP EXTENSION leaves, and what goes with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_DROP_H
#define CHPG_DROP_H

/* From now on this process says so, in NOTICEs. */
extern void chpg_watch_drops(void);

#endif							/* CHPG_DROP_H */
