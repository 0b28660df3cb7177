/*-------------------------------------------------------------------------
 *
 * json.h
 *		Parsed JSON documents from a source that is not trusted.
 *
 * A document belongs to a memory context; its nodes and entries belong to it.  Texts
 * are palloc'd in the current memory context, in the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_JSON_H
#define CHPG_JSON_H

#include "protocol/json_reader.h"

typedef struct ChpgJson ChpgJson;
typedef struct json_object ChpgJsonNode;

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
 * Parse a NUL-terminated text of this length, in UTF-8, to a document of the memory
 * context.  Unless the result is CHPG_JSON_OK, *problem is a phrase on what is wrong
 * with the text.  Invalid UTF-8 is replaced, with one warning per statement.  Error
 * 53200 without memory.
 */
extern ChpgJsonResult chpg_json_parse(MemoryContext context, const char *data,
									  size_t length, ChpgJson **document,
									  const char **problem);

/* Free a document before its memory context does. */
extern void chpg_json_free(ChpgJson *document);

/* Return the outermost node of a document. */
extern ChpgJsonNode *chpg_json_root(ChpgJson *document);

/* Return the kind of a node; NULL is a null. */
extern ChpgJsonKind chpg_json_kind(ChpgJsonNode *node);

/*
 * Is a node a number that the type holds exactly as its text would be converted?  Sets
 * the value then.
 */
extern bool chpg_json_is_bigint(ChpgJsonNode *node, int64 *value);
extern bool chpg_json_is_double(ChpgJsonNode *node, double *value);

/* Return a member of an object; NULL if it is missing or null, or there is no object. */
extern ChpgJsonNode *chpg_json_get(ChpgJsonNode *node, const char *key);

/* Does an object have a member, be it null? */
extern bool chpg_json_has(ChpgJsonNode *node, const char *key);

/* Is a node a string of no characters? */
extern bool chpg_json_is_empty_text(ChpgJsonNode *node);

/* Return the number of elements of an array, 0 for NULL; and one of them. */
extern int	chpg_json_length(ChpgJsonNode *array);
extern ChpgJsonNode *chpg_json_element(ChpgJsonNode *array, int i);

typedef struct lh_entry ChpgJsonEntry;

/* Return the entry of an object after the given one, or the first (NULL); NULL at the end. */
extern ChpgJsonEntry *chpg_json_next(ChpgJsonNode *object,
									 ChpgJsonEntry *previous);

/* Return the key and the value of an entry. */
extern char *chpg_json_entry_key(ChpgJsonEntry *entry);
extern ChpgJsonNode *chpg_json_entry_value(ChpgJsonEntry *entry);

/*
 * Return a string's value, or the JSON of any other node.  Characters that the
 * encoding, or a text, cannot hold are replaced, with one warning per statement.
 */
extern char *chpg_json_text(ChpgJsonNode *node);

/* Return the JSON of a node, with the same replacements. */
extern char *chpg_json_serialize(ChpgJsonNode *node);

/* Return the JSON of a node without replacements: error 22P05 if one is needed. */
extern char *chpg_json_serialize_exactly(ChpgJsonNode *node);

/* Convert any text of the API, in UTF-8, with the same replacements. */
extern char *chpg_json_convert(const char *utf8, size_t length);

/* Create a document with an empty object, in this memory context.  Error 53200. */
extern ChpgJson *chpg_json_create(MemoryContext context);

/*
 * Set a member of the outermost object, from a text or from JSON in the database's
 * encoding.  Errors: 53200; 22023 for malformed JSON.
 */
extern void chpg_json_set_text(ChpgJson *document, const char *key,
							   const char *text);
extern void chpg_json_set_json(ChpgJson *document, const char *key,
							   const char *json);

/* Print a document as JSON in UTF-8; the text belongs to it.  Error 53200. */
extern const char *chpg_json_print(ChpgJson *document);

#endif							/* CHPG_JSON_H */
