/*-------------------------------------------------------------------------
 *
 * json_reader.c
 *		JSON from outside, as documents of json-c.
 *
 * json-c does the parsing.  It silently alters some documents: integers that do not
 * fit become the largest one, and \u0000 ends a key.  Others take a thousand times
 * their size in memory.  A scan in front of json-c rejects the former, and bounds the
 * latter.
 *
 *-------------------------------------------------------------------------
 */
#include "protocol/json_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ascii.h"

/* An integer of so few characters fits into 64 bits */
#define SAFE_DIGITS		18

#define WHITE_SPACE		" \t\r\n"

/*
 * The guard in front of the parser
 */

/* Does an integer literal fit into 64 bits? json-c would saturate it. */
static bool
integer_fits(const char *literal, const char *end)
{
	char		digits[24];
	size_t		length = end - literal;

	if (length >= sizeof(digits))
		return false;
	memcpy(digits, literal, length);
	digits[length] = '\0';
	errno = 0;
	if (literal[0] == '-')
		(void) strtoll(digits, NULL, 10);
	else
		(void) strtoull(digits, NULL, 10);
	return errno == 0;
}

/* Skip digits, and return their number. */
static size_t
skip_digits(const char **p)
{
	const char *start = *p;

	while (chpg_is_digit(**p))
		(*p)++;
	return *p - start;
}

/*
 * Skip a number, and reject others than JSON's.  json-c accepts more, and
 * drops what it does not understand, such as an exponent without digits.
 */
static const char *
skip_number(const char *p, ChpgJsonProblem *problem)
{
	const char *start = p;
	const char *first = *p == '-' ? p + 1 : p;
	bool		is_integer = true;
	bool		is_valid;

	p = first;
	is_valid = skip_digits(&p) == 1 || (p > first && *first != '0');
	if (*p == '.')
	{
		p++;
		is_integer = false;
		is_valid = skip_digits(&p) > 0 && is_valid;
	}
	if (*p == 'e' || *p == 'E')
	{
		p++;
		if (*p == '+' || *p == '-')
			p++;
		is_integer = false;
		is_valid = skip_digits(&p) > 0 && is_valid;
	}
	if (!is_valid)
		problem->reason = "malformed number";
	else if (is_integer && p - start > SAFE_DIGITS && !integer_fits(start, p))
		problem->reason = "integer out of range";
	return p;
}

/*
 * Return the UTF-16 unit of an escape such as \ud83d; -1 for another escape.
 */
static int
escaped_unit(const char *p)
{
	int			unit = 0;

	if (p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		int			digit = chpg_hex_value(p[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/*
 * Skip an escape, and note half a surrogate pair, which json-c replaces
 * silently.
 */
static const char *
skip_escape(const char *p, bool *has_nul, ChpgJsonProblem *problem)
{
	int			unit = escaped_unit(p);

	if (unit == 0)
		*has_nul = true;
	if (unit < 0xD800 || unit > 0xDFFF)
		return p[1] != '\0' ? p + 2 : p + 1;
	if (unit <= 0xDBFF && (escaped_unit(p + 6) & 0xFC00) == 0xDC00)
		return p + 12;
	problem->replaces = true;
	return p + 6;
}

/* Skip a string, and reject a key with \u0000. */
static const char *
skip_string(const char *p, ChpgJsonProblem *problem)
{
	bool		has_nul = false;
	const char *end = strchr(++p, '"');

	/* Few have escapes. */
	if (end != NULL && memchr(p, '\\', end - p) == NULL)
		return end + 1;
	while (*p != '"' && *p != '\0')
	{
		if (*p == '\\')
			p = skip_escape(p, &has_nul, problem);
		else
			p++;
	}
	if (*p == '"')
		p++;
	if (has_nul && p[strspn(p, WHITE_SPACE)] == ':')
		problem->reason = "key with \\u0000";
	return p;
}

/*
 * Skip a word, and reject others than JSON's.  json-c accepts NaN and Infinity
 * even in its strict mode.
 */
static const char *
skip_word(const char *p, ChpgJsonProblem *problem)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t		length = strlen(words[i]);

		if (strncmp(p, words[i], length) == 0)
			return p + length;
	}
	problem->reason = "unknown word";
	return p;
}

/*
 * Check a character between strings, numbers and words, of which "previous" is
 * the last one's first character.
 */
static void
check_punctuation(char c, char previous, ChpgJsonProblem *problem)
{
	switch (c)
	{
		case '{':
		case '[':
		case ':':
		case ',':
			break;
		case '}':
		case ']':
			if (previous == ',')
				problem->reason = "comma before the end of a list or an object";
			break;
		default:
			problem->reason = "unexpected character";
			break;
	}
}

/*
 * Check every token once.  json-c's own strict mode is not used: what it
 * rejects differs between versions, and 0.18 rejects all that is not ASCII.
 */
static ChpgJsonResult
check_document(const char *data, int max_nodes, ChpgJsonProblem *problem)
{
	char		previous = '\0';
	int			nodes = 0;

	for (const char *p = data; *p != '\0' && problem->reason == NULL;)
	{
		char		c = *p;

		if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		{
			p++;
			continue;
		}
		if (c == '"')
			p = skip_string(p, problem);
		else if (c == '-' || chpg_is_digit(c))
			p = skip_number(p, problem);
		else if (chpg_is_letter(c))
			p = skip_word(p, problem);
		else
		{
			check_punctuation(c, previous, problem);
			if ((c == ',' || c == '{' || c == '[') && ++nodes > max_nodes)
			{
				problem->reason = "too many values";
				return CHPG_JSON_TOO_LARGE;
			}
			p++;
		}
		previous = c;
	}
	return problem->reason == NULL ? CHPG_JSON_OK : CHPG_JSON_MALFORMED;
}

/* Let json-c parse the whole text. */
static ChpgJsonResult
parse_document(struct json_tokener *tokener, const char *data, size_t length,
			   struct json_object **root, ChpgJsonProblem *problem)
{
	/* With its NUL, or a bare scalar would "need more data". */
	*root = json_tokener_parse_ex(tokener, data, (int) length + 1);
	problem->place = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		problem->reason = json_tokener_error_desc(json_tokener_get_error(tokener));
	else if (problem->place < length &&
			 problem->place + strspn(data + problem->place, WHITE_SPACE) < length)
		problem->reason = "text after the document";
	problem->has_place = problem->reason != NULL;
	return problem->has_place ? CHPG_JSON_MALFORMED : CHPG_JSON_OK;
}

ChpgJsonResult
chpg_json_read(const char *data, size_t length, int max_nodes,
			   struct json_object **root, ChpgJsonProblem *problem)
{
	struct json_tokener *tokener;
	ChpgJsonResult rc;

	*root = NULL;
	memset(problem, 0, sizeof(ChpgJsonProblem));
	rc = check_document(data, max_nodes, problem);
	if (rc != CHPG_JSON_OK)
		return rc;
	tokener = json_tokener_new_ex(CHPG_JSON_MAX_DEPTH);
	if (tokener == NULL)
		return CHPG_JSON_NO_MEMORY;
	rc = parse_document(tokener, data, length, root, problem);
	json_tokener_free(tokener);
	return rc;
}
