/*-------------------------------------------------------------------------
 *
 * keys_file.h
 *		What must outlive the server: the keys' logs of requests, and blocks.
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

/* Open the file for this backend; a failure is logged. */
extern void chpg_keys_file_open(void);

/* Fill new shared memory from the file, with the lock held. */
extern void chpg_keys_file_restore(ChpgSharedState *shared);

/* Write a key without its log, a slot of its log, or both; with the lock held. */
extern void chpg_keys_file_save_key(const ChpgSharedState *shared, int key);
extern void chpg_keys_file_save_slot(const ChpgSharedState *shared, int key, int slot);
extern void chpg_keys_file_save_new_key(const ChpgSharedState *shared, int key);

#endif							/* CHPG_KEYS_FILE_H */
