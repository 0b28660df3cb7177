/*-------------------------------------------------------------------------
 *
 * json.h
 *		Parsed JSON documents from a source that is not trusted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_JSON_H
#define CHPG_JSON_H

typedef struct ChpgJson ChpgJson;	/* a document, owned by a memory context */
typedef struct json_object ChpgJsonNode;	/* borrowed from its document */

typedef enum ChpgJsonKind
{
	CHPG_JSON_NULL,
	CHPG_JSON_BOOLEAN,
	CHPG_JSON_INTEGER,
	CHPG_JSON_FRACTION,
	CHPG_JSON_STRING,
	CHPG_JSON_ARRAY,
	CHPG_JSON_OBJECT
} ChpgJsonKind;

typedef enum ChpgJsonResult
{
	CHPG_JSON_OK,
	CHPG_JSON_MALFORMED,
	CHPG_JSON_TOO_LARGE
} ChpgJsonResult;

/*
 * Parse a NUL-terminated text.  The document is freed with the context.
 * Otherwise *problem says, in a phrase, what is wrong with the text.
 */
extern ChpgJsonResult chpg_json_parse(MemoryContext context, const char *data,
									  size_t length, ChpgJson **document,
									  const char **problem);
extern void chpg_json_free(ChpgJson *document);
extern ChpgJsonNode *chpg_json_root(ChpgJson *document);

extern ChpgJsonKind chpg_json_kind(ChpgJsonNode *node);

/* A member of an object; NULL if it is missing, null, or node no object. */
extern ChpgJsonNode *chpg_json_get(ChpgJsonNode *node, const char *key);
extern int	chpg_json_length(ChpgJsonNode *array);
extern ChpgJsonNode *chpg_json_element(ChpgJsonNode *array, int i);

/*
 * The text of a scalar, or the JSON of any node, in the database's encoding.
 * What the encoding, or a text, cannot hold is replaced, with one warning per
 * statement.
 */
extern char *chpg_json_text(ChpgJsonNode *node);
extern char *chpg_json_serialize(ChpgJsonNode *node);

#endif							/* CHPG_JSON_H */
