/*-------------------------------------------------------------------------
 *
 * prometheus.c
 *		Samples out of Prometheus' text format, version 0.0.4.
 *
 * The text is read three times: first to compute the memory that parsing takes, then
 * for its HELP and TYPE lines, which may follow their samples, and last for the
 * samples.  No PostgreSQL header is included, so that it can be fuzzed alone.
 *
 *-------------------------------------------------------------------------
 */
#include "protocol/prometheus.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/exposition.h"

typedef enum LineKind
{
	LINE_EMPTY,
	LINE_SAMPLE,
	LINE_COMMENT,
	LINE_HELP,
	LINE_TYPE,
	LINE_EOF
} LineKind;

/* A metric family, of its HELP line, its TYPE line, or both */
struct ChpgFamily
{
	ChpgText	name;
	bool		has_type;
	ChpgMetricType type;
	ChpgText	help;			/* data is NULL if there is none */
	const char *line;
	size_t		line_number;
};

static const struct
{
	const char *name;
	ChpgMetricType type;
}			metric_types[] =

{
	/* The first name of a type is the one that is shown. */
	{"unknown", CHPG_METRIC_UNKNOWN},
	{"untyped", CHPG_METRIC_UNKNOWN},
	{"counter", CHPG_METRIC_COUNTER},
	{"gauge", CHPG_METRIC_GAUGE},
	{"histogram", CHPG_METRIC_HISTOGRAM},
	{"summary", CHPG_METRIC_SUMMARY},
	{"gaugehistogram", CHPG_METRIC_GAUGEHISTOGRAM},
	{"stateset", CHPG_METRIC_STATESET},
	{"info", CHPG_METRIC_INFO}
};

/* Suffixes of samples to the name of their family, by types of families */
static const struct
{
	const char *suffix;
	unsigned	types;
}			suffixes[] =

{
	{"_bucket", 1 << CHPG_METRIC_HISTOGRAM | 1 << CHPG_METRIC_GAUGEHISTOGRAM},
	{"_sum", 1 << CHPG_METRIC_HISTOGRAM | 1 << CHPG_METRIC_SUMMARY},
	{"_count", 1 << CHPG_METRIC_HISTOGRAM | 1 << CHPG_METRIC_SUMMARY},
	{"_created", 1 << CHPG_METRIC_HISTOGRAM | 1 << CHPG_METRIC_SUMMARY |
	1 << CHPG_METRIC_COUNTER},
	{"_total", 1 << CHPG_METRIC_COUNTER},
	{"_gsum", 1 << CHPG_METRIC_GAUGEHISTOGRAM},
	{"_gcount", 1 << CHPG_METRIC_GAUGEHISTOGRAM},
	{"_info", 1 << CHPG_METRIC_INFO}
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

const char *
chpg_metric_type_name(ChpgMetricType type)
{
	size_t		i = 0;

	while (metric_types[i].type != type)
		i++;
	return metric_types[i].name;
}

/*
 * Families
 */

/* Classify the current line, and read its beginning. */
static LineKind
read_line_kind(ChpgPrometheus *parser)
{
	ChpgText	word;

	if (chpg_peek_token(&parser->lines) == '\0')
		return LINE_EMPTY;
	if (!chpg_accept_token(&parser->lines, '#'))
		return LINE_SAMPLE;

	word = chpg_read_word(&parser->lines);
	if (chpg_is_word(word, "HELP"))
		return LINE_HELP;
	if (chpg_is_word(word, "TYPE"))
		return LINE_TYPE;
	if (chpg_is_word(word, "EOF") && chpg_peek_token(&parser->lines) == '\0')
		return LINE_EOF;
	return LINE_COMMENT;
}

/* Read the rest of a HELP line. */
static ChpgText
read_help(ChpgPrometheus *parser)
{
	ChpgText	help;

	chpg_peek_token(&parser->lines);
	help.data = parser->lines.at;
	help.length = parser->lines.end - parser->lines.at;
	if (memchr(help.data, '\\', help.length) != NULL)
		chpg_unescape_help(&parser->lines, &help);
	return help;
}

/*
 * Read the rest of a TYPE line; false if it is empty.  An unknown type counts
 * as "unknown".
 */
static bool
read_type(ChpgPrometheus *parser, ChpgMetricType *type)
{
	ChpgText	word = chpg_read_word(&parser->lines);

	*type = CHPG_METRIC_UNKNOWN;
	for (size_t i = 0; i < lengthof(metric_types); i++)
	{
		if (chpg_is_word_in_any_case(word, metric_types[i].name) &&
			chpg_peek_token(&parser->lines) == '\0')
			*type = metric_types[i].type;
	}
	return word.length > 0;
}

/*
 * Note the family of a HELP or a TYPE line.  A malformed line counts as a
 * comment, since no sample depends on it.
 */
static void
read_family(ChpgPrometheus *parser, LineKind kind)
{
	ChpgFamily *family = &parser->families[parser->family_count];

	memset(family, 0, sizeof(*family));
	family->line = parser->lines.line;
	family->line_number = parser->lines.line_number;
	if (chpg_peek_token(&parser->lines) == '\0' ||
		!chpg_read_metric_name(&parser->lines, '\0', &family->name))
	{
		memset(&parser->lines.error, 0, sizeof(parser->lines.error));
		return;
	}
	if (kind == LINE_HELP)
		family->help = read_help(parser);
	else
		family->has_type = read_type(parser, &family->type);
	if (kind == LINE_HELP || family->has_type)
		parser->family_count++;
}

/* Compare two texts, in any total order. */
static int
compare_texts(ChpgText a, ChpgText b)
{
	if (a.length != b.length)
		return a.length < b.length ? -1 : 1;
	return memcmp(a.data, b.data, a.length);
}

/* Order families by name, then by line. */
static int
compare_families(const void *a, const void *b)
{
	const ChpgFamily *first = a;
	const ChpgFamily *second = b;
	int			order = compare_texts(first->name, second->name);

	if (order != 0)
		return order;
	return (first->line_number > second->line_number) -
		(first->line_number < second->line_number);
}

/*
 * Merge another line of a family into it: a text may be the concatenation of
 * those of several services.  The first HELP that is not empty holds.  False
 * if two types differ.
 */
static bool
merge_family(ChpgFamily *family, const ChpgFamily *more)
{
	if (!more->has_type)
	{
		if (family->help.length == 0)
			family->help = more->help;
		return true;
	}
	if (family->type != CHPG_METRIC_UNKNOWN &&
		more->type != CHPG_METRIC_UNKNOWN && family->type != more->type)
		return false;
	if (family->type == CHPG_METRIC_UNKNOWN)
		family->type = more->type;
	family->has_type = true;
	return true;
}

/*
 * Sort the families by name, and merge the lines of each.  False, with the
 * error set, if types of one differ.
 */
static bool
merge_families(ChpgPrometheus *parser)
{
	size_t		lines = parser->family_count;

	if (lines == 0)
		return true;
	qsort(parser->families, lines, sizeof(ChpgFamily), compare_families);
	parser->family_count = 1;
	for (size_t i = 1; i < lines; i++)
	{
		ChpgFamily *family = &parser->families[parser->family_count - 1];
		const ChpgFamily *more = &parser->families[i];

		if (compare_texts(family->name, more->name) != 0)
		{
			parser->families[parser->family_count++] = *more;
			continue;
		}
		if (!merge_family(family, more))
		{
			chpg_go_to_line(&parser->lines, more->line, more->line_number);
			chpg_next_line(&parser->lines);
			return chpg_fail_line(&parser->lines, "second TYPE for the same metric");
		}
	}
	return true;
}

/* Find the family of this name, or NULL. */
static const ChpgFamily *
find_family(const ChpgPrometheus *parser, ChpgText name)
{
	size_t		low = 0;
	size_t		high = parser->family_count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;
		int			order = compare_texts(name, parser->families[middle].name);

		if (order == 0)
			return &parser->families[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/*
 * Find the family of a sample: the one of its name, or else of its name
 * without a suffix that the family's type has.
 */
static const ChpgFamily *
find_family_of_sample(const ChpgPrometheus *parser, ChpgText name)
{
	const ChpgFamily *family = find_family(parser, name);

	for (size_t i = 0; i < lengthof(suffixes) && family == NULL; i++)
	{
		size_t		length = strlen(suffixes[i].suffix);
		ChpgText	stem = {name.data, name.length - length};

		if (name.length <= length ||
			memcmp(name.data + stem.length, suffixes[i].suffix, length) != 0)
			continue;
		family = find_family(parser, stem);
		if (family != NULL && (suffixes[i].types & 1U << family->type) == 0)
			family = NULL;
	}
	return family;
}

/*
 * Samples
 */

/* Read the value of a label, from the "=" on. */
static bool
read_label_value(ChpgPrometheus *parser, ChpgText *value)
{
	if (!chpg_accept_token(&parser->lines, '='))
		return chpg_fail_line(&parser->lines, "missing = after a label name");
	if (chpg_peek_token(&parser->lines) != '"')
		return chpg_fail_line(&parser->lines, "missing quote before a label value");
	return chpg_read_quoted(&parser->lines, value);
}

/*
 * Add a label to a sample; false, with the error set, for a duplicate or one
 * too many.
 */
static bool
add_label(ChpgPrometheus *parser, ChpgSample *sample, const ChpgLabel *label)
{
	for (int i = 0; i < sample->label_count; i++)
	{
		if (compare_texts(sample->labels[i].name, label->name) == 0)
			return chpg_fail_line(&parser->lines, "duplicate label name");
	}
	if (sample->label_count == CHPG_MAX_LABELS)
		return chpg_fail_line(&parser->lines, "too many labels");
	sample->labels[sample->label_count++] = *label;
	return true;
}

/*
 * Read a label, or the metric's name, which may be among the labels if it is
 * quoted.
 */
static bool
read_label(ChpgPrometheus *parser, ChpgSample *sample)
{
	bool		is_quoted = chpg_peek_token(&parser->lines) == '"';
	ChpgLabel	label;

	if (!chpg_read_name(&parser->lines, false, &label.name))
		return false;
	if (is_quoted && chpg_peek_token(&parser->lines) != '=')
	{
		if (label.name.length == 0)
			return chpg_fail_line(&parser->lines, "invalid metric name");
		if (sample->name.length > 0)
			return chpg_fail_line(&parser->lines, "second metric name");
		sample->name = label.name;
		return true;
	}
	if (label.name.length == 0)
		return chpg_fail_line(&parser->lines, "invalid label name");
	if (chpg_is_word(label.name, "__name__"))
		return chpg_fail_line(&parser->lines, "reserved label name");
	return read_label_value(parser, &label.value) &&
		add_label(parser, sample, &label);
}

/* Read the labels, from behind the opening brace on. */
static bool
read_labels(ChpgPrometheus *parser, ChpgSample *sample)
{
	sample->label_count = 0;
	while (!chpg_accept_token(&parser->lines, '}'))
	{
		if (chpg_peek_token(&parser->lines) == '\0')
			return chpg_fail_line(&parser->lines, "missing } after the labels");
		if (!read_label(parser, sample))
			return false;
		if (chpg_peek_token(&parser->lines) != '}' &&
			!chpg_accept_token(&parser->lines, ','))
			return chpg_fail_line(&parser->lines, "missing , or } after a label");
	}
	return true;
}

/* Read the value of a sample. */
static bool
read_value(ChpgPrometheus *parser, double *value)
{
	ChpgText	word = chpg_read_word(&parser->lines);

	if (word.length == 0)
		return chpg_fail_line(&parser->lines, "missing value");
	return chpg_parse_number(word, value) ||
		chpg_fail_line(&parser->lines, "invalid value");
}

/* Read the timestamp of a sample, if there is one. */
static bool
read_timestamp(ChpgPrometheus *parser, bool is_seconds, ChpgSample *sample)
{
	char		next = chpg_peek_token(&parser->lines);
	ChpgText	word;

	sample->has_timestamp = next != '\0' && next != '#';
	if (!sample->has_timestamp)
		return true;
	word = chpg_read_word(&parser->lines);
	if (is_seconds ? chpg_parse_seconds(word, &sample->timestamp)
		: chpg_parse_milliseconds(word, &sample->timestamp))
		return true;
	return chpg_fail_line(&parser->lines, "invalid timestamp");
}

/* Check an exemplar, if there is one, and drop it. */
static bool
skip_exemplar(ChpgPrometheus *parser, ChpgText name)
{
	ChpgSample	exemplar;

	if (!chpg_accept_token(&parser->lines, '#'))
		return true;
	exemplar.name = name;		/* reject a second one */
	if (!chpg_accept_token(&parser->lines, '{'))
		return chpg_fail_line(&parser->lines, "missing { after #");
	return read_labels(parser, &exemplar) &&
		read_value(parser, &exemplar.value) &&
		read_timestamp(parser, true, &exemplar);
}

/* Read a sample's line. */
static bool
read_sample(ChpgPrometheus *parser, ChpgSample *sample)
{
	sample->name.length = 0;
	sample->label_count = 0;
	if (chpg_peek_token(&parser->lines) == '"')
		return chpg_fail_line(&parser->lines, "invalid metric name");
	if (chpg_peek_token(&parser->lines) != '{' &&
		!chpg_read_metric_name(&parser->lines, '{', &sample->name))
		return false;
	if (chpg_accept_token(&parser->lines, '{') && !read_labels(parser, sample))
		return false;
	if (sample->name.length == 0)
		return chpg_fail_line(&parser->lines, "missing metric name");

	if (!read_value(parser, &sample->value) ||
		!read_timestamp(parser, parser->is_openmetrics, sample) ||
		!skip_exemplar(parser, sample->name))
		return false;
	return chpg_peek_token(&parser->lines) == '\0' ||
		chpg_fail_line(&parser->lines, "unexpected text after the sample");
}

/*
 * What the header offers
 */

bool
chpg_prometheus_scan(ChpgPrometheus *parser, const char *data, size_t length,
					 size_t *needed)
{
	size_t		longest = 0;
	size_t		escaped = 0;

	memset(parser, 0, sizeof(*parser));
	parser->data = length > 0 ? data : "";
	parser->lines.limit = parser->data + length;
	chpg_go_to_line(&parser->lines, parser->data, 1);
	while (chpg_next_line(&parser->lines))
	{
		size_t		line_length = parser->lines.end - parser->lines.line;
		LineKind	kind;

		if (line_length > 0 && memchr(parser->lines.line, '\0', line_length) != NULL)
			return chpg_fail_line(&parser->lines, "NUL byte");
		kind = read_line_kind(parser);
		if (parser->is_openmetrics && kind != LINE_EMPTY)
			return chpg_fail_line(&parser->lines, "text after # EOF");
		if (kind == LINE_EOF)
			parser->is_openmetrics = true;
		if (kind == LINE_HELP || kind == LINE_TYPE)
		{
			if (++parser->family_lines > CHPG_MAX_FAMILY_LINES)
				return chpg_fail_line(&parser->lines, "too many HELP and TYPE lines");
			if (memchr(parser->lines.line, '\\', line_length) != NULL)
				escaped += line_length;
		}
		if (line_length > longest)
			longest = line_length;
	}
	*needed = parser->family_lines * sizeof(ChpgFamily) +
		escaped + longest + 1;
	return true;
}

bool
chpg_prometheus_start(ChpgPrometheus *parser, void *memory)
{
	if (memory == NULL)
		return chpg_fail_line(&parser->lines, "out of memory");

	parser->families = memory;
	parser->lines.unescaped = (char *) (parser->families + parser->family_lines);
	chpg_go_to_line(&parser->lines, parser->data, 1);
	while (chpg_next_line(&parser->lines))
	{
		LineKind	kind = read_line_kind(parser);

		if (kind == LINE_HELP || kind == LINE_TYPE)
			read_family(parser, kind);
	}
	parser->scratch = parser->lines.unescaped;
	if (!merge_families(parser))
		return false;
	chpg_go_to_line(&parser->lines, parser->data, 1);
	return true;
}

bool
chpg_prometheus_next(ChpgPrometheus *parser, ChpgSample *sample)
{
	const ChpgFamily *family;

	if (parser->lines.error.reason != NULL)
		return false;
	do
	{
		if (!chpg_next_line(&parser->lines))
			return false;
	} while (read_line_kind(parser) != LINE_SAMPLE);

	parser->lines.unescaped = parser->scratch;
	if (!read_sample(parser, sample))
		return false;
	family = find_family_of_sample(parser, sample->name);
	sample->type = family ? family->type : CHPG_METRIC_UNKNOWN;
	sample->help = family ? family->help : (ChpgText)
	{
		NULL, 0
	};
	return true;
}
