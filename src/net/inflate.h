/*-------------------------------------------------------------------------
 *
 * inflate.h
 *		Compressed bodies, decompressed as they arrive.
 *
 * libcurl could decompress, but takes a truncated body for a complete one.  No
 * PostgreSQL header is included, and nothing throws: callbacks of libcurl use this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_INFLATE_H
#define CHPG_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* The accepted codings, for the header Accept-Encoding */
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
	CHPG_INFLATE_STOPPED		/* the sink has returned false */
} ChpgInflateResult;

typedef struct ChpgInflate ChpgInflate;

/* Receives decompressed bytes; returns false to stop. */
typedef bool (*ChpgInflateSink) (const char *data, size_t length, void *arg);

/* Return the coding of a Content-Encoding header; NULL means that there is none. */
extern ChpgCoding chpg_content_coding(const char *value);

/* Create a decompressor, malloc'd, for gzip or deflate; NULL without memory. */
extern ChpgInflate *chpg_inflate_create(ChpgCoding coding);

/* Decompress the next bytes of the body into the sink. */
extern ChpgInflateResult chpg_inflate(ChpgInflate *state, const char *data,
									  size_t length, ChpgInflateSink sink,
									  void *arg);

/* Has the compressed data ended, with the right checksum? */
extern bool chpg_inflate_ended(const ChpgInflate *state);

/* Free a decompressor, or NULL. */
extern void chpg_inflate_free(ChpgInflate *state);

#endif							/* CHPG_INFLATE_H */
