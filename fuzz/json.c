/*-------------------------------------------------------------------------
 *
 * json.c
 *		libFuzzer target: any bytes are JSON that json-c holds as it is, or are
 *		refused.
 *
 * Memory is exactly as large as the text, so that AddressSanitizer sees the
 * first byte beyond it.  Few values are allowed, so that the limit is reached.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../src/protocol/json_reader.h"

#define MAX_NODES	64

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

/* How many values there are; none is deeper than it may be. */
static int
count_values(struct json_object *value, int depth)
{
	int			count = 1;

	require(depth <= CHPG_JSON_MAX_DEPTH, "depth is bounded");
	if (json_object_is_type(value, json_type_array))
	{
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_values(json_object_array_get_idx(value, i), depth + 1);
	}
	else if (json_object_is_type(value, json_type_object))
	{
		json_object_object_foreach(value, key, member)
		{
			require(key != NULL, "a member has a key");
			count += count_values(member, depth + 1);
		}
	}
	return count;
}

/* What is between this quote and the next one that is not escaped */
static const char *
skip_string(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	return *p == '"' ? p + 1 : p;
}

/* No integer of the text is one that 64 bits do not hold, and no word is odd. */
static void
check_literals(const char *p)
{
	while (*p != '\0')
	{
		size_t		length = strspn(p, "+-.0123456789eE");
		char	   *number;

		if (*p == '"')
			p = skip_string(p);
		else if (length == 0 || strchr("eE", *p) != NULL)
		{
			require(*p != 'N' && *p != 'I', "no NaN and no Infinity");
			p++;
		}
		else
		{
			number = strndup(p, length);
			errno = 0;
			if (strpbrk(number, ".eE") == NULL && *number == '-')
				(void) strtoll(number, NULL, 10);
			else if (strpbrk(number, ".eE") == NULL)
				(void) strtoull(number, NULL, 10);
			require(errno == 0, "an integer is in range");
			free(number);
			p += length;
		}
	}
}

/* What json-c writes of it, it reads as the same. */
static void
check_round_trip(struct json_object *root)
{
	const char *json = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
	struct json_object *again;
	ChpgJsonProblem problem;
	ChpgJsonResult rc = chpg_json_read(json, strlen(json), MAX_NODES + 1, &again,
									   &problem);

	/* Numbers too large for a double are written as words. */
	if (strstr(json, "Infinity") == NULL && strstr(json, "NaN") == NULL)
	{
		require(rc == CHPG_JSON_OK, "what was written is usable");
		require(json_object_equal(root, again), "what was written comes back");
	}
	json_object_put(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);
	struct json_object *root = NULL;
	ChpgJsonProblem problem;
	ChpgJsonResult rc;

	/* The caller has replaced what is no text. */
	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == '\0' ? '?' : data[i];
	text[size] = '\0';
	rc = chpg_json_read(text, size, MAX_NODES, &root, &problem);
	require(rc != CHPG_JSON_NO_MEMORY, "there is memory");
	require((rc == CHPG_JSON_OK) == (problem.reason == NULL), "a refusal has a reason");
	require(!problem.has_place || problem.place <= size + 1, "a place is in the text");
	if (rc == CHPG_JSON_OK)
	{
		require(count_values(root, 0) <= MAX_NODES + 1, "values are bounded");
		check_literals(text);
		check_round_trip(root);
	}
	json_object_put(root);
	free(text);
	return 0;
}
