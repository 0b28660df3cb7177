/*-------------------------------------------------------------------------
 *
 * keys.h
 *		The keys' places in shared memory.
 *
 * Places for keys belong to roles: to the one whose user mapping has the key, or
 * to the server's owner if that mapping is PUBLIC's.  A role has
 * CHPG_MAX_ROLE_KEYS of them at most, superusers as many as there are: they could
 * stop the server, and one of them may well connect many organizations.  A key of
 * several roles is in one place, which is of the role that used it first.
 *
 * A key whose requests, or block, still count never makes way.  Another one makes
 * way for a key of the same role, or, when all places are taken, of a role that
 * has fewer; those that the API has not accepted come first, and then those that
 * were not used for the longest time.
 *
 * Layout, locks, lifetime and what a crash leaves: see shared_state.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_KEYS_H
#define CHPG_KEYS_H

#include "engine/shared_state.h"

/* Request shared memory from the postmaster, if that loads the library. */
extern void chpg_keys_prepare(void);

/*
 * The shared memory, which the first call of a backend finds, or makes.  Private to
 * the backend where sessions share none.
 */
extern ChpgSharedState *chpg_keys_get(void);

/* Issue a NOTICE, once in a session whose budget and cache no other session shares. */
extern void chpg_keys_announce(void);

/* The number of this backend among the waiters of shared memory. */
extern int	chpg_process_number(void);

/* Set the latch of the backend of that number. */
extern void chpg_wake(int process);

/*
 * The place of a connection's key, or -1.  The caller holds the lock, at least
 * shared.
 */
extern int	chpg_key_find(ChpgSharedState *shared, const ChpgConnection *connection);

/*
 * The same, with a new place for a key that has none, of which the key makes use
 * now: CHPG_NO_PLACE or CHPG_NO_ROLE_PLACE, both negative, if there is none for it.
 * The caller holds the lock exclusively.
 */
extern int	chpg_key_enter(ChpgSharedState *shared,
						   const ChpgConnection *connection);

/*
 * The id of a connection's key as messages may show it, palloc'd: its beginning only
 * until the API has accepted the key, since it may be a secret in the wrong place.
 */
extern char *chpg_key_shown_id(const ChpgConnection *connection);

/* Note that the API has accepted a connection's key. */
extern void chpg_key_accept(const ChpgConnection *connection);

/*
 * The generation of a connection's key.  Answers to requests of earlier ones are
 * outdated.
 */
extern uint64 chpg_key_generation(const ChpgConnection *connection);

/* Raise the generation: a change may have been carried out. */
extern void chpg_key_changed(const ChpgConnection *connection);

#endif							/* CHPG_KEYS_H */
