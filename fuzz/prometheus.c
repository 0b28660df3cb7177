/*-------------------------------------------------------------------------
 *
 * prometheus.c
 *		libFuzzer target: any bytes are a text of Prometheus, or an error.
 *
 * Memory is exactly as large as it was asked for, so that AddressSanitizer sees
 * the first byte beyond it.  What was read is written out in one canonical way,
 * and must come back from that unchanged.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/protocol/prometheus.h"

/* Bytes of a line that an error may show */
#define MAX_ERROR_TEXT	200

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void
write_quoted(FILE *out, ChpgText text)
{
	putc('"', out);
	for (size_t i = 0; i < text.length; i++)
	{
		char		c = text.data[i];

		if (c == '\\' || c == '"' || c == '\n')
			putc('\\', out);
		putc(c == '\n' ? 'n' : c, out);
	}
	putc('"', out);
}

static void
write_help(FILE *out, ChpgText help)
{
	for (size_t i = 0; i < help.length; i++)
	{
		char		c = help.data[i];

		if (c == '\\' || c == '\n')
			putc('\\', out);
		putc(c == '\n' ? 'n' : c, out);
	}
}

static void
write_sample(FILE *out, const ChpgSample *sample)
{
	putc('{', out);
	write_quoted(out, sample->name);
	for (int i = 0; i < sample->label_count; i++)
	{
		putc(',', out);
		write_quoted(out, sample->labels[i].name);
		putc('=', out);
		write_quoted(out, sample->labels[i].value);
	}
	if (isnan(sample->value))
		fputs("} NaN", out);
	else
		fprintf(out, "} %.17g", sample->value);
	if (sample->has_timestamp)
		fprintf(out, " %" PRId64, sample->timestamp);
	fprintf(out, "\n# of type %s: ", chpg_metric_type_name(sample->type));
	write_help(out, sample->help);
	putc('\n', out);
}

static void
check_error(const ChpgPrometheusError *error, const char *text, size_t size)
{
	require(error->reason[0] != '\0', "an error has a reason");
	require(error->line >= 1 && error->line <= size + 1, "an error has a line");
	require(error->text.length <= MAX_ERROR_TEXT, "an error is short");
	require(error->text.data >= text &&
			error->text.data + error->text.length <= text + size,
			"an error shows the text");
}

static ChpgSample *
parse(FILE *out, const char *text, size_t size, ChpgPrometheus *parser,
	  void **memory)
{
	ChpgSample *sample = malloc(sizeof(*sample));
	size_t		needed = 0;

	*memory = NULL;
	if (chpg_prometheus_scan(parser, text, size, &needed))
	{
		require(needed <= 2 * size + (4 << 20), "memory is bounded");
		*memory = malloc(needed);
		if (chpg_prometheus_start(parser, *memory))
			while (chpg_prometheus_next(parser, sample))
				write_sample(out, sample);
	}
	if (parser->lines.error.reason != NULL)
	{
		check_error(&parser->lines.error, text, size);
		require(!chpg_prometheus_next(parser, sample), "an error is the end");
	}
	return sample;
}

/* The samples of a text, without their families, in the canonical way */
static char *
canonical(const char *text, size_t size, size_t *length, int *is_valid)
{
	ChpgPrometheus parser;
	char	   *written = NULL;
	FILE	   *out = open_memstream(&written, length);
	void	   *memory;

	free(parse(out, text, size, &parser, &memory));
	fclose(out);
	free(memory);
	*is_valid = parser.lines.error.reason == NULL;
	return written;
}

/* Comments hold the type and help, which the second time are untyped and none. */
static void
drop_comments(char *text, size_t *length)
{
	char	   *out = text;
	char	   *end = text + *length;

	while (text < end)
	{
		char	   *newline = memchr(text, '\n', end - text);
		size_t		line = newline + 1 - text;

		if (*text != '#')
		{
			memmove(out, text, line);
			out += line;
		}
		text += line;
	}
	*length -= end - out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size);
	char	   *first;
	char	   *second;
	size_t		first_length;
	size_t		second_length;
	int			is_valid;

	if (size > 0)
		memcpy(text, data, size);
	first = canonical(text, size, &first_length, &is_valid);
	drop_comments(first, &first_length);

	/* Even of a text with an error, the samples before it were valid. */
	second = canonical(first, first_length, &second_length, &is_valid);
	require(is_valid, "what was written is valid");
	drop_comments(second, &second_length);
	require(first_length == second_length &&
			memcmp(first, second, first_length) == 0,
			"what was written comes back");
	free(first);
	free(second);
	free(text);
	return 0;
}
