/*-------------------------------------------------------------------------
 *
 * decode.h
 *		Rows out of a JSON document.
 *
 * Where the rows are is said by a path from the document's root: keys joined
 * by dots, each "key[]" a list whose elements are walked through.  "key?" is
 * an object that may be missing, which makes no row.  "result.metrics[].series[]"
 * gives a row for each series of each metric.  "a|b{}" gives a row for each
 * entry of the objects a and b, of which either may be missing; "@section" is
 * then a or b, "@key" and "@value" are the entry's.
 *
 * What a row consists of is said by a tuple descriptor: each attribute is
 * looked up by its name, turned from snake_case to camelCase, in the innermost
 * object of the path, then outward.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_DECODE_H
#define CHPG_DECODE_H

#include "access/tupdesc.h"
#include "protocol/json.h"

/* An attribute that is not simply its key in snake_case. */
typedef struct ChpgAttribute
{
	const char *name;
	const char *key;			/* NULL: as usual */
	bool		tags;			/* from [{"key": k, "value": v}] to {k: v} */
	bool		integral;		/* a fraction is an error, not rounded */
	bool		hex;			/* a bigint as 16 hexadecimal digits */
	const char *const *words;	/* pairs up to NULL: what the API says, and
								 * what is shown instead */
} ChpgAttribute;

typedef struct ChpgDecoder ChpgDecoder;

/* A decoder for rows of this shape; exceptions end with a NULL name. */
extern ChpgDecoder *chpg_decoder_create(TupleDesc tupdesc, const char *path,
										const ChpgAttribute *exceptions);

/* What the named attribute is where the document does not say. */
extern void chpg_decoder_set_default(ChpgDecoder *decoder,
									 const char *attribute, const char *text);

/* Begin with a document, which must outlive the reading of its rows. */
extern void chpg_decoder_start(ChpgDecoder *decoder, ChpgJson *document);

/*
 * Move to the next row; false if there is none.  Error 08P01 if the document is
 * not of the shape that the path says.
 */
extern bool chpg_decoder_next(ChpgDecoder *decoder);

/*
 * Decode the current row, or where there is none, give the defaults.  Allocates
 * in the current memory context.  Errors: those of the attributes' input
 * functions, and 08P01.
 */
extern void chpg_decoder_row(ChpgDecoder *decoder, Datum *values, bool *nulls);

/* Tags as the API sends them as the JSON of one object. */
extern char *chpg_tags_to_object(ChpgJsonNode *list);

/* A member of the current row's object, or NULL. */
extern ChpgJsonNode *chpg_decoder_get(ChpgDecoder *decoder, const char *key);

#endif							/* CHPG_DECODE_H */
