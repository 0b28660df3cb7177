/*-------------------------------------------------------------------------
 *
 * keys_file.h
 *		Keeps the keys' logs of requests, and blocks, beyond a restart.
 *
 * The file pg_stat/chpg_budget has a place for each key of shared memory, with
 * the time of each slot of its log.  It is written as the memory is, so that a
 * server that is killed forgets nothing; it is not flushed, so that a machine
 * that stops may.  Without the file, a restart forgets the log.
 *
 * Nothing here throws, but for chpg_keys_file_open().
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_KEYS_FILE_H
#define CHPG_KEYS_FILE_H

#include "engine/shared_state.h"

/* Open the file for this backend.  A failure is a LOG line, and no error. */
extern void chpg_keys_file_open(void);

/* Fill new shared memory from the file.  The caller holds the lock exclusively. */
extern void chpg_keys_file_restore(ChpgSharedState *shared);

/* Write a key without its log.  The caller holds the lock, as for the others. */
extern void chpg_keys_file_save_key(const ChpgSharedState *shared, int key);

/* Write a slot of a key's log. */
extern void chpg_keys_file_save_slot(const ChpgSharedState *shared, int key, int slot);

/* Write a key that has just got its place, with an empty log. */
extern void chpg_keys_file_save_new_key(const ChpgSharedState *shared, int key);

#endif							/* CHPG_KEYS_FILE_H */
