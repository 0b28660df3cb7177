/*-------------------------------------------------------------------------
 *
 * json.h
 *		Parsed JSON documents from a source that is not trusted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_JSON_H
#define CHPG_JSON_H

#include "protocol/json_reader.h"

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

/*
 * Is it a number that the type holds without more ado?  Then its text would give
 * the same value.
 */
extern bool chpg_json_is_bigint(ChpgJsonNode *node, int64 *value);
extern bool chpg_json_is_double(ChpgJsonNode *node, double *value);

/* A member of an object; NULL if it is missing, null, or node no object. */
extern ChpgJsonNode *chpg_json_get(ChpgJsonNode *node, const char *key);
extern int	chpg_json_length(ChpgJsonNode *array);
extern ChpgJsonNode *chpg_json_element(ChpgJsonNode *array, int i);

/* The entry of an object after the given one, or the first; NULL at the end. */
typedef struct lh_entry ChpgJsonEntry;
extern ChpgJsonEntry *chpg_json_next(ChpgJsonNode *object,
									 ChpgJsonEntry *previous);
extern char *chpg_json_entry_key(ChpgJsonEntry *entry);
extern ChpgJsonNode *chpg_json_entry_value(ChpgJsonEntry *entry);

/*
 * The text of a scalar, or the JSON of any node, in the database's encoding.
 * What the encoding, or a text, cannot hold is replaced, with one warning per
 * statement.
 */
extern char *chpg_json_text(ChpgJsonNode *node);
extern char *chpg_json_serialize(ChpgJsonNode *node);

/* The JSON of a node that is to be sent back: error 22P05 if that replaces. */
extern char *chpg_json_serialize_exactly(ChpgJsonNode *node);

/* Any text of the API, in the same way. */
extern char *chpg_json_convert(const char *utf8, size_t length);

/*
 * Building a document: an object whose members are set one by one, from text in
 * the database's encoding.  chpg_json_set_json() takes JSON; error 22023 if it
 * is not usable.  chpg_json_print() gives UTF-8.
 */
extern ChpgJson *chpg_json_create(MemoryContext context);
extern void chpg_json_set_text(ChpgJson *document, const char *key,
							   const char *text);
extern void chpg_json_set_json(ChpgJson *document, const char *key,
							   const char *json);
extern const char *chpg_json_print(ChpgJson *document);

#endif							/* CHPG_JSON_H */
