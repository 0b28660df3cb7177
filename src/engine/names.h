/*-------------------------------------------------------------------------
 *
 * names.h
 *		The names of services, kept for an hour.
 *
 * Rows have the name of their service beside its id.  A call by name, and one of all
 * services, reads the list anyway; a call by id finds the name here.  Every list that is
 * read is kept, by this backend and for all others with the same key, in the cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_NAMES_H
#define CHPG_NAMES_H

#include "engine/connection.h"
#include "protocol/json.h"

/* Keep the names in a list of services, which was read now. */
extern void chpg_names_note(const ChpgConnection *connection, ChpgJsonNode *services);

/* Keep the name that a service has from now on. */
extern void chpg_names_set(const ChpgConnection *connection, const char *id,
						   const char *name);

/*
 * Return the name of the service of this id, palloc'd; NULL if it cannot be found.  One
 * request for the list, if none is kept that is less than an hour old, or if that lacks
 * the service.  A list that cannot be read is no error, and is not requested again for a
 * minute; for an hour if the API refuses it, or if it lacks the service.
 */
extern char *chpg_name_of_service(const ChpgConnection *connection, const char *id);

/* Return the name that is kept, however old, palloc'd; NULL if there is none. */
extern char *chpg_kept_name(const ChpgConnection *connection, const char *id);

#endif							/* CHPG_NAMES_H */
