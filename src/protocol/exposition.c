/*-------------------------------------------------------------------------
 *
 * exposition.c
 *		The tokens of a line of Prometheus' text format.
 *
 *-------------------------------------------------------------------------
 */
#include "protocol/exposition.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"

/* The longest double, written out, has 1,077 digits. */
#define MAX_NUMBER_LENGTH	1100

/* Bytes of a line that an error shows */
#define MAX_SHOWN_LENGTH	200

/* Seconds whose milliseconds fit into 64 bits */
#define MAX_SECONDS			9.2e15

/*
 * Lines and characters
 */

bool
chpg_fail_line(ChpgLines *lines, const char *reason)
{
	size_t		length = lines->end - lines->line;

	if (length > MAX_SHOWN_LENGTH)
	{
		length = MAX_SHOWN_LENGTH;
		while (length > MAX_SHOWN_LENGTH - 4 &&
			   (lines->line[length] & 0xC0) == 0x80)
			length--;			/* not in the middle of a character */
	}
	lines->error.reason = reason;
	lines->error.line = lines->line_number;
	lines->error.text.data = lines->line;
	lines->error.text.length = length;
	return false;
}

void
chpg_go_to_line(ChpgLines *lines, const char *line, size_t line_number)
{
	lines->rest = line;
	lines->line_number = line_number - 1;
}

bool
chpg_next_line(ChpgLines *lines)
{
	const char *newline;

	if (lines->rest == lines->limit)
		return false;

	newline = memchr(lines->rest, '\n', lines->limit - lines->rest);
	lines->line = lines->at = lines->rest;
	lines->end = newline ? newline : lines->limit;
	lines->rest = newline ? newline + 1 : lines->limit;
	lines->line_number++;
	if (lines->end > lines->line && lines->end[-1] == '\r')
		lines->end--;
	return true;
}

/* Return the next character; '\0', which no line contains, at the end. */
static char
peek(const ChpgLines *lines)
{
	return lines->at < lines->end ? *lines->at : '\0';
}

/* Is it a blank? */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

char
chpg_peek_token(ChpgLines *lines)
{
	while (is_blank(peek(lines)))
		lines->at++;
	return peek(lines);
}

bool
chpg_accept_token(ChpgLines *lines, char c)
{
	if (chpg_peek_token(lines) != c)
		return false;
	lines->at++;
	return true;
}

ChpgText
chpg_read_word(ChpgLines *lines)
{
	ChpgText	word;

	chpg_peek_token(lines);
	word.data = lines->at;
	while (lines->at < lines->end && !is_blank(*lines->at))
		lines->at++;
	word.length = lines->at - word.data;
	return word;
}

bool
chpg_is_word(ChpgText word, const char *expected)
{
	return word.length == strlen(expected) &&
		memcmp(word.data, expected, word.length) == 0;
}

bool
chpg_is_word_in_any_case(ChpgText word, const char *expected)
{
	if (word.length != strlen(expected))
		return false;
	for (size_t i = 0; i < word.length; i++)
	{
		if (chpg_to_lower(word.data[i]) != expected[i])
			return false;
	}
	return true;
}

/*
 * Texts and names
 */

/*
 * What is written is not longer than what is read.  Other escapes stay as they
 * are, or make the line malformed.
 */
static bool
unescape(ChpgLines *lines, bool others_stay, ChpgText *text)
{
	const char *end = text->data + text->length;
	char	   *out = lines->unescaped;

	for (const char *p = text->data; p < end; p++)
	{
		if (*p != '\\')
		{
			*out++ = *p;
			continue;
		}
		if (p + 1 < end && (p[1] == '\\' || p[1] == '"' || p[1] == 'n'))
			*out++ = *++p == 'n' ? '\n' : *p;
		else if (others_stay)
			*out++ = *p;
		else
			return chpg_fail_line(lines, "invalid escape sequence");
	}
	text->data = lines->unescaped;
	text->length = out - lines->unescaped;
	lines->unescaped = out;
	return true;
}

void
chpg_unescape_help(ChpgLines *lines, ChpgText *help)
{
	(void) unescape(lines, true, help);
}

bool
chpg_read_quoted(ChpgLines *lines, ChpgText *text)
{
	const char *p = ++lines->at;
	bool		has_escapes = false;

	for (; p < lines->end && *p != '"'; p++)
	{
		if (*p != '\\')
			continue;
		has_escapes = true;
		if (++p == lines->end)
			break;
	}
	if (p == lines->end)
		return chpg_fail_line(lines, "missing closing quote");

	text->data = lines->at;
	text->length = p - lines->at;
	lines->at = p + 1;
	return !has_escapes || unescape(lines, false, text);
}

bool
chpg_read_name(ChpgLines *lines, bool is_metric, ChpgText *name)
{
	const char *p;

	if (chpg_peek_token(lines) == '"')
		return chpg_read_quoted(lines, name);

	for (p = lines->at; p < lines->end; p++)
	{
		if (!chpg_is_letter(*p) && *p != '_' &&
			!(chpg_is_digit(*p) && p > lines->at) &&
			!(is_metric && *p == ':'))
			break;
	}
	name->data = lines->at;
	name->length = p - lines->at;
	lines->at = p;
	return true;
}

bool
chpg_read_metric_name(ChpgLines *lines, char follower, ChpgText *name)
{
	if (!chpg_read_name(lines, true, name))
		return false;
	if (name->length == 0 ||
		(lines->at < lines->end && !is_blank(*lines->at) &&
		 *lines->at != follower))
		return chpg_fail_line(lines, "invalid metric name");
	return true;
}

/*
 * Numbers
 */

/* Skip digits, and return their number. */
static size_t
skip_digits(const char **p)
{
	const char *start = *p;

	while (chpg_is_digit(**p))
		(*p)++;
	return *p - start;
}

/* Skip a sign, if there is one. */
static void
skip_sign(const char **p)
{
	if (**p == '+' || **p == '-')
		(*p)++;
}

/* Is it a decimal number? strtod() accepts more than that. */
static bool
is_decimal(const char *p)
{
	size_t		digits;

	skip_sign(&p);
	digits = skip_digits(&p);
	if (*p == '.')
	{
		p++;
		digits += skip_digits(&p);
	}
	if (digits == 0)
		return false;
	if (*p == 'e' || *p == 'E')
	{
		p++;
		skip_sign(&p);
		if (skip_digits(&p) == 0)
			return false;
	}
	return *p == '\0';
}

/*
 * Parse a decimal number; false for another text, and for one too large for a
 * double.
 */
static bool
parse_decimal(ChpgText word, double *value)
{
	char		digits[MAX_NUMBER_LENGTH + 1];
	char	   *end;

	if (word.length > MAX_NUMBER_LENGTH)
		return false;
	memcpy(digits, word.data, word.length);
	digits[word.length] = '\0';
	if (!is_decimal(digits))
		return false;
	*value = strtod(digits, &end);
	return *end == '\0' && *value >= -DBL_MAX && *value <= DBL_MAX;
}

bool
chpg_parse_number(ChpgText word, double *value)
{
	bool		is_negative = word.length > 0 && word.data[0] == '-';
	ChpgText	magnitude = word;

	if (chpg_is_word_in_any_case(word, "nan"))
	{
		*value = NAN;
		return true;
	}
	if (is_negative || (word.length > 0 && word.data[0] == '+'))
	{
		magnitude.data++;
		magnitude.length--;
	}
	if (chpg_is_word_in_any_case(magnitude, "inf") ||
		chpg_is_word_in_any_case(magnitude, "infinity"))
	{
		*value = is_negative ? -INFINITY : INFINITY;
		return true;
	}
	return parse_decimal(word, value);
}

bool
chpg_parse_milliseconds(ChpgText word, int64_t *timestamp)
{
	bool		is_negative = word.data[0] == '-';
	size_t		i = is_negative || word.data[0] == '+' ? 1 : 0;
	int64_t		value = 0;

	if (i == word.length)
		return false;
	for (; i < word.length; i++)
	{
		int			digit = word.data[i] - '0';

		/* Of the two ends, the lower one is further from zero. */
		if (digit < 0 || digit > 9 || value < (INT64_MIN + digit) / 10)
			return false;
		value = value * 10 - digit;
	}
	if (!is_negative && value == INT64_MIN)
		return false;
	*timestamp = is_negative ? value : -value;
	return true;
}

bool
chpg_parse_seconds(ChpgText word, int64_t *timestamp)
{
	double		seconds;

	if (!chpg_parse_number(word, &seconds) ||
		!(seconds > -MAX_SECONDS && seconds < MAX_SECONDS))
		return false;
	*timestamp = (int64_t) (seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
	return true;
}
