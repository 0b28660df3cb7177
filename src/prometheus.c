/*-------------------------------------------------------------------------
 *
 * prometheus.c
 *		Samples out of Prometheus' text format, version 0.0.4.
 *
 * The text is read three times: once for the memory that it takes, once for
 * what it says of families of metrics, which may come after their samples, and
 * once for the samples.  No PostgreSQL header is included, so that it can be
 * fuzzed alone.
 *
 *-------------------------------------------------------------------------
 */
#include "prometheus.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The longest double, written out, has 1,077 digits. */
#define MAX_NUMBER_LENGTH	1100

/* Bytes of a line that an error shows */
#define MAX_SHOWN_LENGTH	200

/* Seconds whose milliseconds certainly fit */
#define MAX_SECONDS			9.2e15

typedef enum LineKind
{
	LINE_EMPTY,
	LINE_SAMPLE,
	LINE_COMMENT,
	LINE_HELP,
	LINE_TYPE,
	LINE_EOF
} LineKind;

/* What a HELP or a TYPE line says, or both */
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
	{"untyped", CHPG_METRIC_UNTYPED},
	{"unknown", CHPG_METRIC_UNTYPED},
	{"counter", CHPG_METRIC_COUNTER},
	{"gauge", CHPG_METRIC_GAUGE},
	{"histogram", CHPG_METRIC_HISTOGRAM},
	{"summary", CHPG_METRIC_SUMMARY},
	{"gaugehistogram", CHPG_METRIC_GAUGEHISTOGRAM},
	{"stateset", CHPG_METRIC_STATESET},
	{"info", CHPG_METRIC_INFO}
};

/* The samples of a family that have not its name */
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
 * Lines and characters
 */

/* Remember what is wrong with the current line; always false. */
static bool
fail(ChpgPrometheus *parser, const char *reason)
{
	size_t		length = parser->end - parser->line;

	if (length > MAX_SHOWN_LENGTH)
	{
		length = MAX_SHOWN_LENGTH;
		while (length > MAX_SHOWN_LENGTH - 4 &&
			   (parser->line[length] & 0xC0) == 0x80)
			length--;			/* not in the middle of a character */
	}
	parser->error.reason = reason;
	parser->error.line = parser->line_number;
	parser->error.text.data = parser->line;
	parser->error.text.length = length;
	return false;
}

static void
go_to(ChpgPrometheus *parser, const char *line, size_t line_number)
{
	parser->rest = line;
	parser->line_number = line_number - 1;
}

static bool
next_line(ChpgPrometheus *parser)
{
	const char *newline;

	if (parser->rest == parser->limit)
		return false;

	newline = memchr(parser->rest, '\n', parser->limit - parser->rest);
	parser->line = parser->at = parser->rest;
	parser->end = newline ? newline : parser->limit;
	parser->rest = newline ? newline + 1 : parser->limit;
	parser->line_number++;
	if (parser->end > parser->line && parser->end[-1] == '\r')
		parser->end--;
	return true;
}

/* The next character; '\0', which no line contains, at the end. */
static char
peek(const ChpgPrometheus *parser)
{
	return parser->at < parser->end ? *parser->at : '\0';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char
peek_token(ChpgPrometheus *parser)
{
	while (is_blank(peek(parser)))
		parser->at++;
	return peek(parser);
}

static bool
accept_token(ChpgPrometheus *parser, char c)
{
	if (peek_token(parser) != c)
		return false;
	parser->at++;
	return true;
}

/* What there is up to the next blank */
static ChpgText
read_word(ChpgPrometheus *parser)
{
	ChpgText	word;

	peek_token(parser);
	word.data = parser->at;
	while (parser->at < parser->end && !is_blank(*parser->at))
		parser->at++;
	word.length = parser->at - word.data;
	return word;
}

static bool
is_word(ChpgText word, const char *expected)
{
	return word.length == strlen(expected) &&
		memcmp(word.data, expected, word.length) == 0;
}

/* In lower case, whatever the locale */
static bool
is_word_in_any_case(ChpgText word, const char *expected)
{
	if (word.length != strlen(expected))
		return false;
	for (size_t i = 0; i < word.length; i++)
	{
		char		c = word.data[i];

		if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != expected[i])
			return false;
	}
	return true;
}

static LineKind
read_line_kind(ChpgPrometheus *parser)
{
	ChpgText	word;

	if (peek_token(parser) == '\0')
		return LINE_EMPTY;
	if (!accept_token(parser, '#'))
		return LINE_SAMPLE;

	word = read_word(parser);
	if (is_word(word, "HELP"))
		return LINE_HELP;
	if (is_word(word, "TYPE"))
		return LINE_TYPE;
	if (is_word(word, "EOF") && peek_token(parser) == '\0')
		return LINE_EOF;
	return LINE_COMMENT;
}

/*
 * Texts and names
 */

/*
 * The text without its escapes, which is shorter: all texts of a line fit where
 * there is room for the line.
 */
static bool
unescape(ChpgPrometheus *parser, ChpgText *text)
{
	const char *end = text->data + text->length;
	char	   *out = parser->unescaped;

	for (const char *p = text->data; p < end; p++)
	{
		if (*p != '\\')
		{
			*out++ = *p;
			continue;
		}
		if (++p == end || (*p != '\\' && *p != '"' && *p != 'n'))
			return fail(parser, "invalid escape sequence");
		*out++ = *p == 'n' ? '\n' : *p;
	}
	text->data = parser->unescaped;
	text->length = out - parser->unescaped;
	parser->unescaped = out;
	return true;
}

static bool
read_quoted(ChpgPrometheus *parser, ChpgText *text)
{
	const char *p = ++parser->at;
	bool		has_escapes = false;

	for (; p < parser->end && *p != '"'; p++)
	{
		if (*p != '\\')
			continue;
		has_escapes = true;
		if (++p == parser->end)
			break;
	}
	if (p == parser->end)
		return fail(parser, "missing closing quote");

	text->data = parser->at;
	text->length = p - parser->at;
	parser->at = p + 1;
	return !has_escapes || unescape(parser, text);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* An empty name is none. */
static bool
read_name(ChpgPrometheus *parser, bool is_metric, ChpgText *name)
{
	const char *p;

	if (peek_token(parser) == '"')
		return read_quoted(parser, name);

	for (p = parser->at; p < parser->end; p++)
	{
		if (!is_letter(*p) && !(is_digit(*p) && p > parser->at) &&
			!(is_metric && *p == ':'))
			break;
	}
	name->data = parser->at;
	name->length = p - parser->at;
	parser->at = p;
	return true;
}

/* Which is followed by a blank, or this character, or nothing */
static bool
read_metric_name(ChpgPrometheus *parser, char follower, ChpgText *name)
{
	if (!read_name(parser, true, name))
		return false;
	if (name->length == 0 ||
		(parser->at < parser->end && !is_blank(*parser->at) &&
		 *parser->at != follower))
		return fail(parser, "invalid metric name");
	return true;
}

/*
 * Numbers
 */

static size_t
skip_digits(const char **p)
{
	const char *start = *p;

	while (is_digit(**p))
		(*p)++;
	return *p - start;
}

static void
skip_sign(const char **p)
{
	if (**p == '+' || **p == '-')
		(*p)++;
}

/* strtod() takes more than that. */
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

static bool
parse_number(ChpgText word, double *value)
{
	bool		is_negative = word.length > 0 && word.data[0] == '-';
	ChpgText	magnitude = word;

	if (is_word_in_any_case(word, "nan"))
	{
		*value = NAN;
		return true;
	}
	if (is_negative || (word.length > 0 && word.data[0] == '+'))
	{
		magnitude.data++;
		magnitude.length--;
	}
	if (is_word_in_any_case(magnitude, "inf") ||
		is_word_in_any_case(magnitude, "infinity"))
	{
		*value = is_negative ? -INFINITY : INFINITY;
		return true;
	}
	return parse_decimal(word, value);
}

static bool
parse_milliseconds(ChpgText word, int64_t *timestamp)
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

static bool
parse_seconds(ChpgText word, int64_t *timestamp)
{
	double		seconds;

	if (!parse_number(word, &seconds) ||
		!(seconds > -MAX_SECONDS && seconds < MAX_SECONDS))
		return false;
	*timestamp = (int64_t) (seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
	return true;
}

/*
 * Families
 */

static bool
read_help(ChpgPrometheus *parser, ChpgText *help)
{
	peek_token(parser);
	help->data = parser->at;
	help->length = parser->end - parser->at;
	return memchr(help->data, '\\', help->length) == NULL ||
		unescape(parser, help);
}

static bool
read_type(ChpgPrometheus *parser, ChpgMetricType *type)
{
	ChpgText	word = read_word(parser);

	if (word.length == 0)
		return fail(parser, "missing metric type");
	for (size_t i = 0; i < lengthof(metric_types); i++)
	{
		if (!is_word_in_any_case(word, metric_types[i].name))
			continue;
		*type = metric_types[i].type;
		return peek_token(parser) == '\0' ||
			fail(parser, "unexpected text after the metric type");
	}
	return fail(parser, "unknown metric type");
}

static bool
read_family(ChpgPrometheus *parser, LineKind kind)
{
	ChpgFamily *family = &parser->families[parser->family_count++];

	memset(family, 0, sizeof(*family));
	family->line = parser->line;
	family->line_number = parser->line_number;
	if (peek_token(parser) == '\0')
		return fail(parser, "missing metric name");
	if (!read_metric_name(parser, '\0', &family->name))
		return false;
	if (kind == LINE_HELP)
		return read_help(parser, &family->help);
	family->has_type = true;
	return read_type(parser, &family->type);
}

/* Any order will do. */
static int
compare_texts(ChpgText a, ChpgText b)
{
	if (a.length != b.length)
		return a.length < b.length ? -1 : 1;
	return memcmp(a.data, b.data, a.length);
}

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

/* The second line of a family tells what the first one does not. */
static const char *
merge_family(ChpgFamily *family, const ChpgFamily *more)
{
	if (more->has_type)
	{
		if (family->has_type)
			return "second TYPE for the same metric";
		family->has_type = true;
		family->type = more->type;
	}
	else
	{
		if (family->help.data != NULL)
			return "second HELP for the same metric";
		family->help = more->help;
	}
	return NULL;
}

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
		const char *problem;

		if (compare_texts(family->name, more->name) != 0)
		{
			parser->families[parser->family_count++] = *more;
			continue;
		}
		problem = merge_family(family, more);
		if (problem != NULL)
		{
			go_to(parser, more->line, more->line_number);
			next_line(parser);
			return fail(parser, problem);
		}
	}
	return true;
}

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

static bool
read_label_value(ChpgPrometheus *parser, ChpgText *value)
{
	if (!accept_token(parser, '='))
		return fail(parser, "missing = after a label name");
	if (peek_token(parser) != '"')
		return fail(parser, "missing quote before a label value");
	return read_quoted(parser, value);
}

static bool
add_label(ChpgPrometheus *parser, ChpgSample *sample, const ChpgLabel *label)
{
	for (int i = 0; i < sample->label_count; i++)
	{
		if (compare_texts(sample->labels[i].name, label->name) == 0)
			return fail(parser, "duplicate label name");
	}
	if (sample->label_count == CHPG_MAX_LABELS)
		return fail(parser, "too many labels");
	sample->labels[sample->label_count++] = *label;
	return true;
}

/* One label; or the metric's name, which may stand among them if quoted. */
static bool
read_label(ChpgPrometheus *parser, ChpgSample *sample)
{
	bool		is_quoted = peek_token(parser) == '"';
	ChpgLabel	label;

	if (!read_name(parser, false, &label.name))
		return false;
	if (is_quoted && peek_token(parser) != '=')
	{
		if (label.name.length == 0)
			return fail(parser, "invalid metric name");
		if (sample->name.length > 0)
			return fail(parser, "second metric name");
		sample->name = label.name;
		return true;
	}
	if (label.name.length == 0)
		return fail(parser, "invalid label name");
	if (is_word(label.name, "__name__"))
		return fail(parser, "reserved label name");
	return read_label_value(parser, &label.value) &&
		add_label(parser, sample, &label);
}

/* After the opening brace */
static bool
read_labels(ChpgPrometheus *parser, ChpgSample *sample)
{
	sample->label_count = 0;
	while (!accept_token(parser, '}'))
	{
		if (peek_token(parser) == '\0')
			return fail(parser, "missing } after the labels");
		if (!read_label(parser, sample))
			return false;
		if (peek_token(parser) != '}' && !accept_token(parser, ','))
			return fail(parser, "missing , or } after a label");
	}
	return true;
}

static bool
read_value(ChpgPrometheus *parser, double *value)
{
	ChpgText	word = read_word(parser);

	if (word.length == 0)
		return fail(parser, "missing value");
	return parse_number(word, value) || fail(parser, "invalid value");
}

static bool
read_timestamp(ChpgPrometheus *parser, bool is_seconds, ChpgSample *sample)
{
	ChpgText	word;

	sample->has_timestamp = peek_token(parser) != '\0' && peek(parser) != '#';
	if (!sample->has_timestamp)
		return true;
	word = read_word(parser);
	if (is_seconds ? parse_seconds(word, &sample->timestamp)
		: parse_milliseconds(word, &sample->timestamp))
		return true;
	return fail(parser, "invalid timestamp");
}

/* It must be well-formed, but nobody asks for it. */
static bool
skip_exemplar(ChpgPrometheus *parser, ChpgText name)
{
	ChpgSample	exemplar;

	if (!accept_token(parser, '#'))
		return true;
	exemplar.name = name;		/* no second one */
	if (!accept_token(parser, '{'))
		return fail(parser, "missing { after #");
	return read_labels(parser, &exemplar) &&
		read_value(parser, &exemplar.value) &&
		read_timestamp(parser, true, &exemplar);
}

static bool
read_sample(ChpgPrometheus *parser, ChpgSample *sample)
{
	sample->name.length = 0;
	sample->label_count = 0;
	if (peek_token(parser) == '"')
		return fail(parser, "invalid metric name");
	if (peek(parser) != '{' && !read_metric_name(parser, '{', &sample->name))
		return false;
	if (accept_token(parser, '{') && !read_labels(parser, sample))
		return false;
	if (sample->name.length == 0)
		return fail(parser, "missing metric name");

	if (!read_value(parser, &sample->value) ||
		!read_timestamp(parser, parser->is_openmetrics, sample) ||
		!skip_exemplar(parser, sample->name))
		return false;
	return peek_token(parser) == '\0' ||
		fail(parser, "unexpected text after the sample");
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
	parser->limit = parser->data + length;
	go_to(parser, parser->data, 1);
	while (next_line(parser))
	{
		size_t		line_length = parser->end - parser->line;
		LineKind	kind;

		if (line_length > 0 && memchr(parser->line, '\0', line_length) != NULL)
			return fail(parser, "NUL byte");
		kind = read_line_kind(parser);
		if (parser->is_openmetrics && kind != LINE_EMPTY)
			return fail(parser, "text after # EOF");
		if (kind == LINE_EOF)
			parser->is_openmetrics = true;
		if (kind == LINE_HELP || kind == LINE_TYPE)
		{
			if (++parser->family_lines > CHPG_MAX_FAMILY_LINES)
				return fail(parser, "too many HELP and TYPE lines");
			if (memchr(parser->line, '\\', line_length) != NULL)
				escaped += line_length;
		}
		if (line_length > longest)
			longest = line_length;
	}
	*needed = parser->family_lines * sizeof(ChpgFamily) + escaped + longest + 1;
	return true;
}

bool
chpg_prometheus_start(ChpgPrometheus *parser, void *memory)
{
	if (memory == NULL)
		return fail(parser, "out of memory");

	parser->families = memory;
	parser->unescaped = (char *) (parser->families + parser->family_lines);
	go_to(parser, parser->data, 1);
	while (next_line(parser))
	{
		LineKind	kind = read_line_kind(parser);

		if ((kind == LINE_HELP || kind == LINE_TYPE) &&
			!read_family(parser, kind))
			return false;
	}
	parser->scratch = parser->unescaped;
	if (!merge_families(parser))
		return false;
	go_to(parser, parser->data, 1);
	return true;
}

bool
chpg_prometheus_next(ChpgPrometheus *parser, ChpgSample *sample)
{
	const ChpgFamily *family;

	if (parser->error.reason != NULL)
		return false;
	do
	{
		if (!next_line(parser))
			return false;
	} while (read_line_kind(parser) != LINE_SAMPLE);

	parser->unescaped = parser->scratch;
	if (!read_sample(parser, sample))
		return false;
	family = find_family_of_sample(parser, sample->name);
	sample->type = family ? family->type : CHPG_METRIC_UNTYPED;
	sample->help = family ? family->help : (ChpgText)
	{
		NULL, 0
	};
	return true;
}
