/*-------------------------------------------------------------------------
 *
 * rate_limit.c
 *		The rate limit that the headers of a response describe.
 *
 * A wrong limit would let the API refuse requests, or delay them.  So whatever is
 * not exactly of the known form is no limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ascii.h"
#include "datatype/timestamp.h"
#include "protocol/rate_limit.h"

#define MAX_REQUESTS	1000
#define MAX_WINDOW		60		/* seconds */

/* A longer number is none that the API would send. */
#define MAX_NUMBER_LENGTH	32

static const char digits[] = "0123456789";

bool
chpg_parse_reset(const char *text, double *seconds)
{
	size_t		length = strspn(text, digits);
	char	   *end;

	if (length == 0)
		return false;
	if (text[length] == '.')
		length += 1 + strspn(text + length + 1, digits);
	if (text[length] != '\0' || length > MAX_NUMBER_LENGTH)
		return false;
	*seconds = strtod(text, &end);
	return *end == '\0';
}

/*
 * Parse a number from least to most at the beginning of a text.  Returns what
 * follows it, or NULL.
 */
static const char *
parse_number(const char *text, int least, int most, int *number)
{
	size_t		length = strspn(text, digits);

	if (length == 0 || length > 4)
		return NULL;
	*number = atoi(text);
	return *number >= least && *number <= most ? text + length : NULL;
}

/* The same, where nothing follows. */
static bool
parse_whole_number(const char *text, int least, int most, int *number)
{
	const char *end = text == NULL ? NULL : parse_number(text, least, most, number);

	return end != NULL && *end == '\0';
}

static const char *
skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

static const char *
skip_token(const char *text)
{
	while (chpg_is_digit(*text) || chpg_is_letter(*text) ||
		   (*text != '\0' && strchr("-_.*", *text) != NULL))
		text++;
	return text;
}

/* Skip the value of a parameter, a token or a quoted string; NULL if it is neither. */
static const char *
skip_value(const char *text)
{
	const char *end = skip_token(text);

	if (*text != '"')
		return end == text ? NULL : end;
	for (end = text + 1; *end != '"'; end++)
	{
		if (*end == '\\')
			end++;
		if (*end == '\0')
			return NULL;
	}
	return end + 1;
}

/*
 * Parse a policy: a number of requests, and parameters, of which "w" is the window.
 * False for several policies, which are separated by commas.
 */
static bool
parse_policy(const char *text, int *requests, int *window, bool *is_fixed)
{
	static const char fixed[] = "comment=\"fixed window\"";

	*window = 0;
	*is_fixed = false;
	text = parse_number(text, 1, MAX_REQUESTS, requests);
	while (text != NULL && *(text = skip_blanks(text)) == ';')
	{
		const char *name = skip_blanks(text + 1);
		const char *end = skip_token(name);

		if (end == name || *end != '=')
			return false;
		*is_fixed |= strncmp(name, fixed, strlen(fixed)) == 0;
		if (end == name + 1 && *name == 'w')
			text = *window != 0 ? NULL : parse_number(end + 1, 1, MAX_WINDOW, window);
		else
			text = skip_value(end + 1);
	}
	return text != NULL && *text == '\0' && *window != 0;
}

bool
chpg_parse_rate_limit(const char *limit, const char *policy, const char *remaining,
					  const char *reset, ChpgRateLimit *result)
{
	int			requests;
	double		seconds;

	if (limit == NULL || policy == NULL ||
		!parse_whole_number(limit, 1, MAX_REQUESTS, &result->requests) ||
		!parse_policy(policy, &requests, &result->window, &result->is_fixed) ||
		requests != result->requests)
		return false;
	if (!parse_whole_number(remaining, 0, requests, &result->remaining))
		result->remaining = -1;
	result->reset_us = -1;
	if (reset != NULL && chpg_parse_reset(reset, &seconds) &&
		seconds <= result->window)
		result->reset_us = (int64) (seconds * USECS_PER_SEC);
	return true;
}
