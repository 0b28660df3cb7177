/*-------------------------------------------------------------------------
 *
 * exposition.h
 *		The tokens of a line of Prometheus' text format: words, quoted texts, names,
 *		numbers.
 *
 * For prometheus.c alone.  No PostgreSQL header is included, so that it can be
 * fuzzed alone.  Functions that return a bool return false and note the error if
 * the line is malformed; functions without a ChpgLines leave that to the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_EXPOSITION_H
#define CHPG_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of a text, without a NUL at its end */
typedef struct ChpgText
{
	const char *data;
	size_t		length;
} ChpgText;

typedef struct ChpgPrometheusError
{
	const char *reason;			/* a phrase; NULL if there is no error */
	size_t		line;			/* from 1 */
	ChpgText	text;			/* of the line, its beginning if it is long */
} ChpgPrometheusError;

/* A text that is read line by line, and the current position in it */
typedef struct ChpgLines
{
	ChpgPrometheusError error;	/* the first one */
	const char *limit;			/* the text's end */
	const char *rest;			/* what follows the current line */
	const char *line;			/* the current line */
	const char *end;			/* its end */
	const char *at;				/* the next character to read in it */
	size_t		line_number;	/* from 1 */
	char	   *unescaped;		/* where the next unescaped text goes */
} ChpgLines;

/* Let chpg_next_line() continue at this line. */
extern void chpg_go_to_line(ChpgLines *lines, const char *line,
							size_t line_number);

/* Move to the next line; false at the end of the text. */
extern bool chpg_next_line(ChpgLines *lines);

/* Note the error of the current line, a phrase; return false. */
extern bool chpg_fail_line(ChpgLines *lines, const char *reason);

/*
 * Skip blanks, and return the first character of the next token; '\0', which no line
 * contains, at the end of the line.
 */
extern char chpg_peek_token(ChpgLines *lines);

/* Consume the next token if it is this character. */
extern bool chpg_accept_token(ChpgLines *lines, char c);

/* Read up to the next blank; empty at the end of the line. */
extern ChpgText chpg_read_word(ChpgLines *lines);

/* Is a word this one? */
extern bool chpg_is_word(ChpgText word, const char *expected);

/* The same in any case, by ASCII letters; expected is in lower case. */
extern bool chpg_is_word_in_any_case(ChpgText word, const char *expected);

/*
 * Remove the escapes of HELP from a text, in place of which the new one stands at
 * lines->unescaped.  All texts of a line need no more room there than the line.
 */
extern void chpg_unescape_help(ChpgLines *lines, ChpgText *help);

/* Read a quoted text, at whose first quote the line stands, without its escapes. */
extern bool chpg_read_quoted(ChpgLines *lines, ChpgText *text);

/* Read a name, quoted or not; empty if there is none. */
extern bool chpg_read_name(ChpgLines *lines, bool is_metric,
						   ChpgText *name);

/* Read a metric name that ends with a blank, this character, or the line. */
extern bool chpg_read_metric_name(ChpgLines *lines, char follower,
								  ChpgText *name);

/* Parse a number, with nan and infinities; false if the word is none. */
extern bool chpg_parse_number(ChpgText word, double *value);

/* Parse a word that is not empty, of milliseconds or seconds, to milliseconds. */
extern bool chpg_parse_milliseconds(ChpgText word, int64_t *timestamp);
extern bool chpg_parse_seconds(ChpgText word, int64_t *timestamp);

#endif							/* CHPG_EXPOSITION_H */
