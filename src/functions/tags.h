/*-------------------------------------------------------------------------
 *
 * tags.h
 *		Changing some tags of a service, and keeping the others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_TAGS_H
#define CHPG_TAGS_H

#include "functions/write.h"

/*
 * Read the tags of the service, as a jsonb object, with the changes that this backend
 * has sent and the API does not show yet (a NOTICE says so).  Sets access_list, too.
 * One request.  Errors:
 * 55000 if the response omits tags, 55006 if nobody can tell whether an earlier
 * change is still queued.
 */
extern Datum chpg_read_tags(ChpgPrepared *prepared);

/*
 * Send a change that has tags, remember them, check that access_list was kept, and
 * return the row; NULL in a dry run.  One request, and that of the check.
 */
extern Datum chpg_send_tags(FunctionCallInfo fcinfo, ChpgPrepared *prepared);

#endif							/* CHPG_TAGS_H */
