/*-------------------------------------------------------------------------
 *
 * driver.c
 *		The parser of src/protocol/prometheus.c as a program, for the tests.
 *
 *	driver FILE...		prints the samples of each text
 *	driver --frames		the same for texts on standard input, each after a line
 *						with its length
 *	driver --time FILE	prints the least milliseconds of CPU of 20 runs
 *
 * A sample is a line with a JSON array: name, type, help, array of labels, value
 * (as text, with 17 digits), milliseconds.  A text ends with a line "end", or
 * with "error: line N: REASON: TEXT".
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/protocol/prometheus.h"

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
print_string(ChpgText text)
{
	if (text.data == NULL)
	{
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (size_t i = 0; i < text.length; i++)
	{
		unsigned char c = text.data[i];

		if (c < ' ')
			printf("\\u%04x", c);
		else if (c == '\\' || c == '"')
			printf("\\%c", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void
print_sample(const ChpgSample *sample)
{
	putchar('[');
	print_string(sample->name);
	printf(",\"%s\",", chpg_metric_type_name(sample->type));
	print_string(sample->help);
	fputs(",[", stdout);
	for (int i = 0; i < sample->label_count; i++)
	{
		fputs(i > 0 ? ",[" : "[", stdout);
		print_string(sample->labels[i].name);
		putchar(',');
		print_string(sample->labels[i].value);
		putchar(']');
	}
	if (isnan(sample->value))
		fputs("],\"nan\",", stdout);
	else
		printf("],\"%.17g\",", sample->value);
	if (sample->has_timestamp)
		printf("%" PRId64 "]\n", sample->timestamp);
	else
		puts("null]");
}

static void
parse(const char *data, size_t length, int is_printed)
{
	ChpgPrometheus parser;
	ChpgSample	sample;
	size_t		needed;
	void	   *memory = NULL;

	if (chpg_prometheus_scan(&parser, data, length, &needed) &&
		chpg_prometheus_start(&parser, memory = malloc(needed)))
	{
		while (chpg_prometheus_next(&parser, &sample))
		{
			if (is_printed)
				print_sample(&sample);
		}
	}
	if (parser.lines.error.reason != NULL)
		printf("error: line %zu: %s: %.*s\n", parser.lines.error.line,
			   parser.lines.error.reason, (int) parser.lines.error.text.length,
			   parser.lines.error.text.data);
	else if (is_printed)
		puts("end");
	free(memory);
}

static char *
read_file(const char *name, size_t *length)
{
	FILE	   *file = fopen(name, "rb");
	char	   *data;
	long		size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
		die(name);
	size = ftell(file);
	rewind(file);
	*length = size;
	data = malloc(size + 1);
	if (data == NULL || fread(data, 1, *length, file) != *length)
		die(name);
	fclose(file);
	return data;
}

static void
parse_frames(void)
{
	size_t		length;

	while (scanf("%zu", &length) == 1)
	{
		char	   *data = malloc(length + 1);

		getchar();				/* the newline */
		if (data == NULL || fread(data, 1, length, stdin) != length)
			die("frame");
		parse(data, length, 1);
		free(data);
	}
}

static void
measure(const char *name)
{
	size_t		length;
	char	   *data = read_file(name, &length);
	clock_t		least = 0;

	for (int i = 0; i < 20; i++)
	{
		clock_t		start = clock();
		clock_t		spent;

		parse(data, length, 0);
		spent = clock() - start;
		if (i == 0 || spent < least)
			least = spent;
	}
	printf("%.3f\n", 1000.0 * least / CLOCKS_PER_SEC);
	free(data);
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--frames") == 0)
		parse_frames();
	else if (argc == 3 && strcmp(argv[1], "--time") == 0)
		measure(argv[2]);
	else
	{
		for (int i = 1; i < argc; i++)
		{
			size_t		length;
			char	   *data = read_file(argv[i], &length);

			parse(data, length, 1);
			free(data);
		}
	}
	return 0;
}
