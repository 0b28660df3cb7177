/*-------------------------------------------------------------------------
 *
 * decode.h
 *		Rows out of a JSON document.
 *
 * A path from the document's root locates the rows: keys joined by dots, where
 * "key[]" is a list, each element of which is visited, "key[items]" is the same, or an
 * object whose member "items" is the list, and "key?" is an object that
 * may be missing, for no row.  "result.metrics[].series[]" gives a row for each series
 * of each metric.  "a|b{}" gives a row for each entry of the objects a and b, of which
 * either may be missing; "@section" is then a or b, "@key" and "@value" are the
 * entry's.  "@row" is the innermost object as a whole.
 *
 * A tuple descriptor lists the attributes of a row.  The name of each is converted
 * from snake_case to camelCase, and looked up in the innermost object of the path,
 * then outward.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_DECODE_H
#define CHPG_DECODE_H

#include "access/tupdesc.h"
#include "protocol/json.h"

/* An attribute that is decoded in another way than by its name alone. */
typedef struct ChpgAttribute
{
	const char *name;
	const char *key;			/* NULL: made of the name */
	const char *other_key;		/* looked up if there is no key; or NULL */
	bool		lenient;		/* NULL, or JSON in a text, instead of an
								 * error for a value of another kind */
	bool		tags;			/* from [{"key": k, "value": v}] to {k: v} */
	bool		integral;		/* a fraction is an error, not rounded */
	bool		hex;			/* a bigint as 16 hexadecimal digits */
	const char *const *words;	/* pairs up to NULL: the API's word, and the
								 * one that is shown */
} ChpgAttribute;

typedef struct ChpgDecoder ChpgDecoder;

/*
 * Create a decoder of rows at this path, in the current memory context.  Exceptions
 * are attributes that need more than their name, up to a NULL name.
 */
extern ChpgDecoder *chpg_decoder_create(TupleDesc tupdesc, const char *path,
										const ChpgAttribute *exceptions);

/* Set the text of an attribute in rows without a value for it; NULL: none. */
extern void chpg_decoder_set_default(ChpgDecoder *decoder,
									 const char *attribute, const char *text);

/* Start decoding a document, which must outlive the reading of its rows. */
extern void chpg_decoder_start(ChpgDecoder *decoder, ChpgJson *document);

/*
 * Move to the next row; false after the last.  Error 08P01 if the document does not
 * match the path.
 */
extern bool chpg_decoder_next(ChpgDecoder *decoder);

/*
 * Decode the current row; without one, return the defaults.  Allocates in the current
 * memory context.  Errors: 08P01, 22P02, 22007, and those of the attributes' input
 * functions, with the attribute in their context.
 */
extern void chpg_decoder_row(ChpgDecoder *decoder, Datum *values, bool *nulls);

/* Convert the API's list of tags to the JSON of one object, palloc'd.  Error 08P01. */
extern char *chpg_tags_to_object(ChpgJsonNode *list);

/* Return a member of the current row's object, or NULL. */
extern ChpgJsonNode *chpg_decoder_get(ChpgDecoder *decoder, const char *key);

#endif							/* CHPG_DECODE_H */
