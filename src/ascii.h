/*-------------------------------------------------------------------------
 *
 * ascii.h
 *		Classes of ASCII characters, whatever the locale.
 *
 * isalnum() and its like depend on LC_CTYPE, and take bytes of UTF-8 for letters
 * in a database with a single-byte encoding.  Only these functions classify bytes
 * from outside.  No PostgreSQL header is included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ASCII_H
#define CHPG_ASCII_H

#include <stdbool.h>

static inline bool
chpg_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
chpg_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char
chpg_to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static inline char
chpg_to_upper(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

/* Return the value of a hexadecimal digit, or -1. */
static inline int
chpg_hex_value(char c)
{
	if (chpg_is_digit(c))
		return c - '0';
	c = chpg_to_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Are two texts equal but for the case of ASCII letters? */
static inline bool
chpg_same_in_any_case(const char *a, const char *b)
{
	while (*a != '\0' && chpg_to_lower(*a) == chpg_to_lower(*b))
	{
		a++;
		b++;
	}
	return *a == *b;
}

/* Does a text begin with another, but for the case of ASCII letters? */
static inline bool
chpg_begins_in_any_case(const char *text, const char *beginning)
{
	while (*beginning != '\0' &&
		   chpg_to_lower(*text) == chpg_to_lower(*beginning))
	{
		text++;
		beginning++;
	}
	return *beginning == '\0';
}

#endif							/* CHPG_ASCII_H */
