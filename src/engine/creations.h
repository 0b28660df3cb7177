/*-------------------------------------------------------------------------
 *
 * creations.h
 *		Services created just now, which the API may not show yet.
 *
 * For some seconds after a creation the API's list may lack the service, and a read of
 * it may return 404.  All sessions with the same key know of the creation, where they
 * share memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CREATIONS_H
#define CHPG_CREATIONS_H

#include "engine/connection.h"

/* Remember that a service was created now. */
extern void chpg_creation_note(const ChpgConnection *connection, const char *id,
							   const char *name);

/* Forget it: the service was deleted. */
extern void chpg_creation_forget(const ChpgConnection *connection, const char *id);

/* The id of the latest service of this name that was created just now, palloc'd; or NULL. */
extern char *chpg_creation_find(const ChpgConnection *connection, const char *name);

/* Was the service of this id created just now? */
extern bool chpg_creation_is_recent(const ChpgConnection *connection, const char *id);

#endif							/* CHPG_CREATIONS_H */
