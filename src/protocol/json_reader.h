/*-------------------------------------------------------------------------
 *
 * json_reader.h
 *		JSON from outside, as documents of json-c.
 *
 * No PostgreSQL header is included, so that it can be fuzzed alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_JSON_READER_H
#define CHPG_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>

/* Deeper than any response of the API; json-c recurses while it frees */
#define CHPG_JSON_MAX_DEPTH		32

struct json_object;

typedef enum ChpgJsonResult
{
	CHPG_JSON_OK,
	CHPG_JSON_MALFORMED,
	CHPG_JSON_TOO_LARGE,
	CHPG_JSON_NO_MEMORY
} ChpgJsonResult;

typedef struct ChpgJsonProblem
{
	const char *reason;			/* a phrase; NULL if there is none */
	bool		has_place;		/* is "place" known? */
	size_t		place;			/* byte of the problem, from 0 */
	bool		replaces;		/* json-c replaces half a surrogate pair */
} ChpgJsonProblem;

/*
 * Parse a text that ends with a NUL, which its length does not count.  A document of
 * more than max_nodes values, give or take one, is too large.  The caller releases
 * *root with json_object_put(), whatever the result.
 */
extern ChpgJsonResult chpg_json_read(const char *data, size_t length,
									 int max_nodes, struct json_object **root,
									 ChpgJsonProblem *problem);

#endif							/* CHPG_JSON_READER_H */
