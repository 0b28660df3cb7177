/*-------------------------------------------------------------------------
 *
 * inflate.c
 *		Compressed bodies, decompressed as they arrive.
 *
 *-------------------------------------------------------------------------
 */
#include "net/inflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ascii.h"

/* Bytes decompressed at once */
#define CHUNK_SIZE		16384

/* For inflateInit2(): recognize zlib's and gzip's headers, or expect none. */
#define ANY_HEADER		(MAX_WBITS + 32)
#define NO_HEADER		(-MAX_WBITS)

struct ChpgInflate
{
	z_stream	stream;
	ChpgCoding	coding;
	bool		started;		/* the stream is initialized */
	bool		ended;
	char		chunk[CHUNK_SIZE];
};

ChpgCoding
chpg_content_coding(const char *value)
{
	/* libcurl 7.88 leaves an empty value's line end in it. */
	if (value == NULL || value[strspn(value, " \t\r\n")] == '\0' ||
		chpg_same_in_any_case(value, "identity"))
		return CHPG_CODING_NONE;
	if (chpg_same_in_any_case(value, "gzip") ||
		chpg_same_in_any_case(value, "x-gzip"))
		return CHPG_CODING_GZIP;
	if (chpg_same_in_any_case(value, "deflate"))
		return CHPG_CODING_DEFLATE;
	return CHPG_CODING_UNKNOWN;
}

ChpgInflate *
chpg_inflate_create(ChpgCoding coding)
{
	ChpgInflate *state = calloc(1, sizeof(ChpgInflate));

	if (state != NULL)
		state->coding = coding;
	return state;
}

/*
 * Initialize the stream by the first byte.  "deflate" means zlib's format, but
 * some servers omit its header, whose first byte has 8 in its lower half.
 */
static bool
start(ChpgInflate *state, char first)
{
	bool		bare = state->coding == CHPG_CODING_DEFLATE && (first & 0x0F) != 8;

	state->started = inflateInit2(&state->stream,
								  bare ? NO_HEADER : ANY_HEADER) == Z_OK;
	return state->started;
}

/* Decompress until the input is used up, a chunk at a time. */
ChpgInflateResult
chpg_inflate(ChpgInflate *state, const char *data, size_t length,
			 ChpgInflateSink sink, void *arg)
{
	z_stream   *stream = &state->stream;

	if (length == 0)
		return CHPG_INFLATE_OK;
	if (!state->started && !start(state, data[0]))
		return CHPG_INFLATE_NO_MEMORY;
	stream->next_in = (Bytef *) data;
	stream->avail_in = (uInt) length;
	for (;;)
	{
		int			rc;
		size_t		produced;

		if (state->ended)
		{
			if (stream->avail_in == 0)
				break;
			/* Only gzip's format lets another member follow. */
			if (state->coding != CHPG_CODING_GZIP || inflateReset(stream) != Z_OK)
				return CHPG_INFLATE_MALFORMED;
			state->ended = false;
		}
		stream->next_out = (Bytef *) state->chunk;
		stream->avail_out = CHUNK_SIZE;
		rc = inflate(stream, Z_NO_FLUSH);
		if (rc == Z_BUF_ERROR)
			break;				/* it needs more input */
		if (rc == Z_MEM_ERROR)
			return CHPG_INFLATE_NO_MEMORY;
		if (rc != Z_OK && rc != Z_STREAM_END)
			return CHPG_INFLATE_MALFORMED;
		produced = CHUNK_SIZE - stream->avail_out;
		if (produced > 0 && !sink(state->chunk, produced, arg))
			return CHPG_INFLATE_STOPPED;
		state->ended = rc == Z_STREAM_END;
	}
	return CHPG_INFLATE_OK;
}

bool
chpg_inflate_ended(const ChpgInflate *state)
{
	return state->ended;
}

void
chpg_inflate_free(ChpgInflate *state)
{
	if (state == NULL)
		return;
	if (state->started)
		(void) inflateEnd(&state->stream);
	free(state);
}
