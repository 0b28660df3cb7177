/*-------------------------------------------------------------------------
 *
 * private_endpoint.h
 *		The private endpoint of a service (AWS PrivateLink).
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PRIVATE_ENDPOINT_H
#define CHPG_PRIVATE_ENDPOINT_H

#include "functions/write.h"

/*
 * Was the private endpoint of a request's service created just now, so that the API may
 * not show it yet?
 */
extern bool chpg_private_endpoint_is_new(const ChpgRequest *request);

#endif							/* CHPG_PRIVATE_ENDPOINT_H */
