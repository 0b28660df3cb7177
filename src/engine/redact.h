/*-------------------------------------------------------------------------
 *
 * redact.h
 *		Words of others, made fit to be shown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REDACT_H
#define CHPG_REDACT_H

#include "protocol/remote_text.h"
#include "protocol/request_build.h"

/*
 * A text from outside, in the database's encoding, for a message: clipped, on
 * one line, and without the secrets of the request that it answers.  Of one that is
 * far longer than what shows, only the length.
 */
extern char *chpg_redact_remote(const ChpgRequest *request, char *text);

#endif							/* CHPG_REDACT_H */
