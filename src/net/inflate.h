/*-------------------------------------------------------------------------
 *
 * inflate.h
 *		Compressed bodies, decompressed as they arrive.
 *
 * libcurl could do it, but takes a body without its end for a whole one.
 * Nothing of PostgreSQL is needed, and nothing throws: callbacks of libcurl
 * use this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_INFLATE_H
#define CHPG_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* The codings that are accepted, as a request names them. */
#define CHPG_CONTENT_CODINGS	"gzip, deflate"

typedef enum ChpgCoding
{
	CHPG_CODING_NONE,
	CHPG_CODING_GZIP,
	CHPG_CODING_DEFLATE,
	CHPG_CODING_UNKNOWN
} ChpgCoding;

typedef enum ChpgInflateResult
{
	CHPG_INFLATE_OK,
	CHPG_INFLATE_MALFORMED,
	CHPG_INFLATE_NO_MEMORY,
	CHPG_INFLATE_STOPPED		/* the sink takes no more */
} ChpgInflateResult;

typedef struct ChpgInflate ChpgInflate;

/* What takes the decompressed bytes; false to stop. */
typedef bool (*ChpgInflateSink) (const char *data, size_t length, void *arg);

/* The coding that a Content-Encoding header names; none without one (NULL). */
extern ChpgCoding chpg_content_coding(const char *value);

/* malloc'd; NULL without memory.  For gzip and deflate only. */
extern ChpgInflate *chpg_inflate_create(ChpgCoding coding);

/* Decompress the next bytes of the body into the sink. */
extern ChpgInflateResult chpg_inflate(ChpgInflate *state, const char *data,
									  size_t length, ChpgInflateSink sink,
									  void *arg);

/* Is the end of the compressed data there, and its checksum right? */
extern bool chpg_inflate_ended(const ChpgInflate *state);

/* Takes NULL, too. */
extern void chpg_inflate_free(ChpgInflate *state);

#endif							/* CHPG_INFLATE_H */
