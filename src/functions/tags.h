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
 * The tags of the service as an object in jsonb, with the changes that this
 * backend has sent but the API does not show yet.  1 request.  Error 55000 if
 * the API does not tell them.
 */
extern Datum chpg_read_tags(ChpgPrepared *prepared);

/* Send a change that names the tags, and remember them. */
extern Datum chpg_send_tags(FunctionCallInfo fcinfo, ChpgPrepared *prepared);

#endif							/* CHPG_TAGS_H */
