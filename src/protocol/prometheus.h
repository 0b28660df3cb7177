/*-------------------------------------------------------------------------
 *
 * prometheus.h
 *		Samples out of Prometheus' text format, version 0.0.4.
 *
 * Nothing of PostgreSQL is needed.  The text stays the caller's, and so is all
 * memory; what is returned are views of either.  Usage:
 *
 *		if (chpg_prometheus_scan(&parser, data, length, &needed) &&
 *			chpg_prometheus_start(&parser, palloc(needed)))
 *			while (chpg_prometheus_next(&parser, &sample))
 *				...
 *		if (parser.lines.error.reason != NULL)
 *			...
 *
 * What is not quite that version:
 *
 * - Lines may come in any order: HELP and TYPE hold for the whole text.  They
 *	 are never malformed, with one exception: a second, other TYPE for the same
 *	 name, which is found first, whatever stands above it.  Of several HELP the
 *	 first that is not empty holds.  A type that is none of these is "unknown", and a line
 *	 without a valid name, or of TYPE without a type, is a comment.
 * - In HELP, other escapes than those of the format stay as they are.
 * - Lines may end in \r\n, the last one in nothing; blanks may stand between
 *	 tokens and at either end of a line.
 * - Names may be quoted, as Prometheus 3 does: {"my.metric", "my.label"="x"}.
 * - A text with a line "# EOF" is OpenMetrics: its timestamps are seconds,
 *	 with or without a fraction, and only empty lines may follow.  Exemplars
 *	 are checked and dropped in any text, "# UNIT" is a comment.
 * - A sample belongs to the family of its name, or else to the one without
 *	 its suffix if that is of a type that has such samples: x_bucket to the
 *	 histogram x, x_total to the counter x.
 * - The values of le and quantile are text, as those of other labels.  Two
 *	 samples with the same labels are two samples.
 * - Numbers are what Go's ParseFloat takes, without hexadecimal ones and
 *	 underscores, in at most 1,100 characters (any double, written out).  One
 *	 too large for a double is an error; one too small is rounded.  They are
 *	 correctly rounded if strtod() does so, as glibc's, and if LC_NUMERIC is
 *	 "C", as in a backend; in a locale with another decimal point they are
 *	 errors, not other numbers.
 * - Bytes from 0x80 are taken as they come, in comments and between quotes:
 *	 whether they are UTF-8 is left to the caller.  A NUL is an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PROMETHEUS_H
#define CHPG_PROMETHEUS_H

#include "protocol/exposition.h"

/* Labels of a sample; more are an error. */
#define CHPG_MAX_LABELS		64

/* HELP and TYPE lines of a text; more are an error. */
#define CHPG_MAX_FAMILY_LINES	65536

typedef enum ChpgMetricType
{
	CHPG_METRIC_UNKNOWN,		/* also if there is no TYPE */
	CHPG_METRIC_COUNTER,
	CHPG_METRIC_GAUGE,
	CHPG_METRIC_HISTOGRAM,
	CHPG_METRIC_SUMMARY,
	CHPG_METRIC_GAUGEHISTOGRAM, /* this and the next ones: OpenMetrics only */
	CHPG_METRIC_STATESET,
	CHPG_METRIC_INFO
} ChpgMetricType;

typedef struct ChpgLabel
{
	ChpgText	name;
	ChpgText	value;
} ChpgLabel;

/* Its views hold until the next sample is asked for, help until the end. */
typedef struct ChpgSample
{
	ChpgText	name;
	ChpgMetricType type;
	ChpgText	help;			/* data is NULL if there is none */
	ChpgLabel	labels[CHPG_MAX_LABELS];
	int			label_count;
	double		value;
	bool		has_timestamp;
	int64_t		timestamp;		/* milliseconds since 1970 */
} ChpgSample;

typedef struct ChpgFamily ChpgFamily;

typedef struct ChpgPrometheus
{
	ChpgLines	lines;			/* its error is the caller's to read; all else
								 * is the parser's own */
	const char *data;
	bool		is_openmetrics;

	ChpgFamily *families;		/* sorted by name */
	size_t		family_count;
	size_t		family_lines;
	char	   *scratch;		/* as large as the longest line */
} ChpgPrometheus;

/*
 * Scan a text, and set *needed to the bytes of memory that parsing it takes: at most
 * twice its length, and 4 MB.  False if it is malformed.
 */
extern bool chpg_prometheus_scan(ChpgPrometheus *parser, const char *data,
								 size_t length, size_t *needed);

/*
 * Read the HELP and TYPE lines into the memory, which is aligned for any type
 * and outlives the parser.  NULL for it is the error "out of memory".
 */
extern bool chpg_prometheus_start(ChpgPrometheus *parser, void *memory);

/* Read the next sample, in order of the text; false at its end and after an error. */
extern bool chpg_prometheus_next(ChpgPrometheus *parser, ChpgSample *sample);

/* Name a type as a TYPE line of OpenMetrics does: "unknown" also for "untyped". */
extern const char *chpg_metric_type_name(ChpgMetricType type);

#endif							/* CHPG_PROMETHEUS_H */
