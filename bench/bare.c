/*-------------------------------------------------------------------------
 *
 * bare.c
 *		The floor: what reading pages costs with libcurl and json-c alone.
 *
 *	bare [--gzip] [--rows] ID URL [ID URL]...
 *
 * Fetches the URLs one after the other over one connection and parses each
 * answer into rows, whose service_id is ID.  Prints the mean time of a page in
 * milliseconds, the first one, which connects, left out; with --rows instead
 * the rows, as COPY reads them.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum BareKind
{
	TEXT,
	COUNT,
	MEASURE
} BareKind;

static const struct
{
	const char *key;
	BareKind	kind;
}			fields[] = {
	{"queryId", COUNT}, {"queryText", TEXT}, {"dbName", TEXT},
	{"dbUser", TEXT}, {"dbOperation", TEXT}, {"app", TEXT},
	{"callCount", COUNT}, {"errorCount", COUNT}, {"totalDurationUs", MEASURE},
	{"avgDurationUs", MEASURE}, {"maxDurationUs", MEASURE},
	{"p50DurationUs", MEASURE}, {"p95DurationUs", MEASURE},
	{"p99DurationUs", MEASURE}, {"totalRows", COUNT},
	{"totalSharedBlksRead", COUNT}, {"totalSharedBlksHit", COUNT},
	{"totalCpuTimeUs", MEASURE}, {"totalWalBytes", COUNT}
};

#define NUM_FIELDS (sizeof(fields) / sizeof(fields[0]))

typedef struct BareValue
{
	bool		null;
	char	   *text;
	int64_t		count;
	double		measure;
} BareValue;

typedef BareValue BareRow[NUM_FIELDS];

typedef struct BarePage
{
	char	   *body;
	size_t		length;
	size_t		capacity;
	BareRow    *rows;
	size_t		num_rows;
} BarePage;

static void
fail(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	fputs("bare: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static size_t
receive(char *data, size_t size, size_t count, void *argument)
{
	BarePage   *page = argument;

	count *= size;
	if (page->length + count > page->capacity)
	{
		page->capacity = 2 * (page->length + count);
		page->body = realloc(page->body, page->capacity);
		if (page->body == NULL)
			return 0;
	}
	memcpy(page->body + page->length, data, count);
	page->length += count;
	return count;
}

/* The API sends numbers as such or as strings, and counters as 12.0, too. */
static BareValue
convert(json_object *node, BareKind kind)
{
	BareValue	value = {.null = node == NULL};

	if (node == NULL)
		return value;
	if (kind == TEXT)
	{
		value.text = strdup(json_object_get_string(node));
		if (value.text == NULL)
			fail("out of memory");
	}
	else if (kind == MEASURE || json_object_is_type(node, json_type_double))
		value.measure = json_object_get_double(node);
	else
		value.count = json_object_get_int64(node);
	if (kind == COUNT && json_object_is_type(node, json_type_double))
		value.count = (int64_t) value.measure;
	return value;
}

static void
parse(BarePage *page)
{
	json_tokener *tokener = json_tokener_new();
	json_object *root = json_tokener_parse_ex(tokener, page->body, page->length);
	json_object *result;

	if (!json_object_object_get_ex(root, "result", &result))
		fail("no result in %zu bytes", page->length);
	page->num_rows = json_object_array_length(result);
	page->rows = malloc(page->num_rows * sizeof(BareRow));
	for (size_t i = 0; i < page->num_rows; i++)
	{
		json_object *row = json_object_array_get_idx(result, i);

		for (size_t j = 0; j < NUM_FIELDS; j++)
			page->rows[i][j] = convert(json_object_object_get(row, fields[j].key),
									   fields[j].kind);
	}
	json_object_put(root);
	json_tokener_free(tokener);
}

static void
print_text(const char *text)
{
	for (; *text; text++)
	{
		if (*text == '\n')
			fputs("\\n", stdout);
		else if (*text == '\t')
			fputs("\\t", stdout);
		else if (*text == '\\')
			fputs("\\\\", stdout);
		else
			putchar(*text);
	}
}

static void
print_rows(const char *id, const BarePage *page)
{
	for (size_t i = 0; i < page->num_rows; i++)
	{
		fputs(id, stdout);
		for (size_t j = 0; j < NUM_FIELDS; j++)
		{
			const BareValue *value = &page->rows[i][j];

			/* service_name and query_hex, which only chpg has */
			if (j <= 1)
				fputs("\t\\N", stdout);
			putchar('\t');
			if (value->null)
				fputs("\\N", stdout);
			else if (fields[j].kind == TEXT)
				print_text(value->text);
			else if (fields[j].kind == COUNT)
				printf("%jd", (intmax_t) value->count);
			else
				printf("%.17g", value->measure);
		}
		putchar('\n');
	}
}

static void
release(BarePage *page)
{
	for (size_t i = 0; i < page->num_rows; i++)
	{
		for (size_t j = 0; j < NUM_FIELDS; j++)
			free(page->rows[i][j].text);
	}
	free(page->rows);
	page->length = 0;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int
main(int argc, char **argv)
{
	CURL	   *curl = curl_easy_init();
	BarePage	page = {0};
	bool		print = false;
	double		start = 0;
	int			first = 1;
	int			pages;

	for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++)
	{
		if (strcmp(argv[first], "--gzip") == 0)
			curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
		else
			print = true;
	}
	pages = (argc - first) / 2;
	if (pages < 2)
		fail("usage: bare [--gzip] [--rows] ID URL ID URL...");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &page);
	curl_easy_setopt(curl, CURLOPT_USERPWD, "demoKeyId:demoKeySecret");
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	for (int i = 0; i < pages; i++)
	{
		CURLcode	code;

		if (i == 1)
			start = now();
		curl_easy_setopt(curl, CURLOPT_URL, argv[first + 2 * i + 1]);
		code = curl_easy_perform(curl);
		if (code != CURLE_OK)
			fail("%s", curl_easy_strerror(code));
		parse(&page);
		if (print)
			print_rows(argv[first + 2 * i], &page);
		release(&page);
	}
	if (!print)
		printf("%.4f\n", (now() - start) / (pages - 1));
	curl_easy_cleanup(curl);
	return 0;
}
