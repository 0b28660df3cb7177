/*-------------------------------------------------------------------------
 *
 * access_list.h
 *		The IP access list of a service, which a change of something else must keep.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ACCESS_LIST_H
#define CHPG_ACCESS_LIST_H

#include "functions/write.h"

/* Return the list in the API's object of a service; NULL if it shows none. */
extern ChpgJsonNode *chpg_shown_access_list(ChpgJsonNode *service);

/* Return the source of an entry, palloc'd; NULL if it has none. */
extern char *chpg_access_source(ChpgJsonNode *entry);

/* Are two sources the same?  An address equals its /32. */
extern bool chpg_same_source(const char *a, const char *b);

/* Does a list, which may be NULL, have an entry of this source? */
extern bool chpg_has_source(ChpgJsonNode *list, const char *source);

/*
 * After a change that was carried out: issue a WARNING if entries of access_list are
 * missing from the response, with the statements that restore them.  Without a list
 * in the response it is read again, which is one request; a WARNING if that fails.
 */
extern void chpg_check_access_list(const ChpgPrepared *prepared, ChpgCall *call);

#endif							/* CHPG_ACCESS_LIST_H */
