/*-------------------------------------------------------------------------
 *
 * expected.h
 *		What chpg_wait() expects: values of a service's attributes, in a jsonb object.
 *
 * The member "private_endpoint" is an object of values of its private endpoint's
 * attributes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_EXPECTED_H
#define CHPG_EXPECTED_H

#include "access/tupdesc.h"
#include "utils/jsonb.h"

#define CHPG_EXPECTED_ENDPOINT	"private_endpoint"

/*
 * Throw error 22023 unless the values are an object of attributes of a service, and of
 * its private endpoint (NULL: none are known): others would never match.
 */
extern void chpg_check_expected(Datum expected, TupleDesc service, TupleDesc endpoint);

/* Return what is expected of the private endpoint; NULL if nothing is. */
extern Jsonb *chpg_expected_endpoint(Datum expected);

/* Is this state of the private endpoint expected? */
extern bool chpg_expects_endpoint_state(Datum expected, const char *state);

/*
 * Print, as a JSON object, what a row has for each expected attribute, but for those in
 * the list "hidden", which may be NULL; "{}" without any.
 */
extern char *chpg_pick_values(Jsonb *row, Jsonb *expected, const char *const *hidden);

#endif							/* CHPG_EXPECTED_H */
