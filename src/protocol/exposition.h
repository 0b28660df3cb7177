/*-------------------------------------------------------------------------
 *
 * exposition.h
 *		What a line of Prometheus' text format is made of: words, quoted texts,
 *		names, numbers.
 *
 * For prometheus.c alone.  What returns a bool is false, and the error noted, if
 * the line is malformed; where no parser is given, its caller does that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_EXPOSITION_H
#define CHPG_EXPOSITION_H

#include "protocol/prometheus.h"

/* The line that stands there becomes the next one. */
extern void chpg_go_to_line(ChpgPrometheus *parser, const char *line,
							size_t line_number);

/* False at the end of the text */
extern bool chpg_next_line(ChpgPrometheus *parser);

/* Note what is wrong with the current line; always false. */
extern bool chpg_fail_line(ChpgPrometheus *parser, const char *reason);

/*
 * Tokens may have blanks before them.  The first character of the next one, or
 * '\0', which no line contains, at the end; whether that was c, and is behind us.
 */
extern char chpg_peek_token(ChpgPrometheus *parser);
extern bool chpg_accept_token(ChpgPrometheus *parser, char c);

/* What there is up to the next blank, or nothing at the end of the line */
extern ChpgText chpg_read_word(ChpgPrometheus *parser);
extern bool chpg_is_word(ChpgText word, const char *expected);

/* Expected in lower case; whatever the locale */
extern bool chpg_is_word_in_any_case(ChpgText word, const char *expected);

/*
 * Texts without their escapes, if they have any, go where parser->unescaped
 * points to.  Those of a line take no more room than the line.
 */
extern void chpg_unescape_help(ChpgPrometheus *parser, ChpgText *help);
extern bool chpg_read_quoted(ChpgPrometheus *parser, ChpgText *text);

/* A name, quoted or not; an empty one if there is none */
extern bool chpg_read_name(ChpgPrometheus *parser, bool is_metric,
						   ChpgText *name);

/* One that is followed by a blank, or this character, or nothing */
extern bool chpg_read_metric_name(ChpgPrometheus *parser, char follower,
								  ChpgText *name);

extern bool chpg_parse_number(ChpgText word, double *value);

/* Both give milliseconds; of a word that is not empty. */
extern bool chpg_parse_milliseconds(ChpgText word, int64_t *timestamp);
extern bool chpg_parse_seconds(ChpgText word, int64_t *timestamp);

#endif							/* CHPG_EXPOSITION_H */
