/*-------------------------------------------------------------------------
 *
 * redact.h
 *		Remote text without secrets, for messages.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REDACT_H
#define CHPG_REDACT_H

#include "engine/connection.h"
#include "protocol/remote_text.h"
#include "protocol/request_build.h"

/*
 * Redact a text from outside, in the database's encoding, for a message: on one
 * line, clipped, and without the secrets of the request that it is the response to.
 * A very long text is replaced by its length.  Palloc'd; may change the given text.
 */
extern char *chpg_redact_remote(const ChpgRequest *request, char *text);

/*
 * Mask the key of a connection in a text, also as a request has it; and its id, too,
 * until the API has accepted it.  The result is palloc'd.
 */
extern char *chpg_mask_key(const ChpgConnection *connection, char *text);

#endif							/* CHPG_REDACT_H */
