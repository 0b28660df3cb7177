/*-------------------------------------------------------------------------
 *
 * decode.c
 *		Rows out of a JSON document.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "ascii.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "protocol/decode.h"
#include "protocol/remote_text.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#define MAX_STEPS			8

/* Bytes; input functions quote a value that they reject, which keeps that short */
#define MAX_SCALAR_LENGTH	100

/* Bytes of a date in ISO 8601: 2026-05-29 */
#define ISO_DATE_LENGTH		10

/* Bytes of a time in ISO 8601, without fraction and zone: 2026-05-29T10:00:00 */
#define ISO_TIME_LENGTH		19

/* Keys that one step may have */
#define MAX_SECTIONS		2

typedef enum StepKind
{
	STEP_OBJECT,				/* "key" */
	STEP_OPTIONAL,				/* "key?" */
	STEP_LIST,					/* "key[]" */
	STEP_LIST_OR_ITEMS,			/* "key[items]" */
	STEP_ENTRIES				/* "key{}" or "key|key{}" */
} StepKind;

/* One step of the path, and its current position in the document */
typedef struct Step
{
	StepKind	kind;
	const char *keys[MAX_SECTIONS];
	int			num_keys;
	int			section;		/* which key */
	ChpgJsonNode *node;			/* the key's value */
	int			index;			/* of the current element of a list */
	ChpgJsonEntry *entry;		/* the current one */
	ChpgJsonNode *object;		/* the current object */
} Step;

/* Where a column's value is; all but the first two belong to a step of entries */
typedef enum ColumnSource
{
	SOURCE_MEMBER,				/* a member of an object */
	SOURCE_ROW,					/* "@row" */
	SOURCE_SECTION,				/* "@section" */
	SOURCE_KEY,					/* "@key" */
	SOURCE_VALUE				/* "@value" */
} ColumnSource;

typedef struct Column
{
	const char *name;
	char	   *key;
	const char *other_key;
	bool		lenient;
	ColumnSource source;
	bool		dropped;
	bool		tags;
	bool		integral;
	bool		hex;
	const char *const *words;
	Oid			type;
	int32		typmod;
	Oid			ioparam;
	FmgrInfo	input;
	char	   *fallback;		/* text for rows without a value, or NULL */
} Column;

struct ChpgDecoder
{
	MemoryContext context;
	int			num_steps;
	Step		steps[MAX_STEPS];
	bool		started;
	ChpgJsonNode *root;
	int			num_columns;
	Column		columns[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * Creating a decoder
 */

/* Return the kind of a step, and cut its mark off the text. */
static StepKind
step_kind(char *step)
{
	static const struct
	{
		const char *mark;
		StepKind	kind;
	}			marks[] = {
		{"[]", STEP_LIST}, {"[items]", STEP_LIST_OR_ITEMS}, {"{}", STEP_ENTRIES}, {"?", STEP_OPTIONAL}
	};
	size_t		length = strlen(step);

	for (int i = 0; i < lengthof(marks); i++)
	{
		size_t		mark = strlen(marks[i].mark);

		if (length > mark && strcmp(step + length - mark, marks[i].mark) == 0)
		{
			step[length - mark] = '\0';
			return marks[i].kind;
		}
	}
	return STEP_OBJECT;
}

/* Parse the path of rows into steps. */
static void
parse_path(ChpgDecoder *decoder, const char *path)
{
	char	   *save = NULL;
	char	   *save_key = NULL;

	for (char *part = strtok_r(pstrdup(path), ".", &save); part != NULL;
		 part = strtok_r(NULL, ".", &save))
	{
		Step	   *step = &decoder->steps[decoder->num_steps++];

		Assert(decoder->num_steps <= MAX_STEPS);
		step->kind = step_kind(part);
		for (char *key = strtok_r(part, "|", &save_key); key != NULL;
			 key = strtok_r(NULL, "|", &save_key))
		{
			Assert(step->num_keys < MAX_SECTIONS);
			step->keys[step->num_keys++] = key;
		}
	}
}

/* Convert a name such as total_cpu_time_us to totalCpuTimeUs, palloc'd. */
static char *
camel_case(const char *name)
{
	char	   *key = palloc(strlen(name) + 1);
	char	   *to = key;

	for (const char *from = name; *from != '\0'; from++)
	{
		if (*from == '_' && from[1] != '\0')
			*to++ = chpg_to_upper(*++from);
		else
			*to++ = *from;
	}
	*to = '\0';
	return key;
}

/* Look up how an attribute is decoded. */
static void
describe_column(Column *column, Form_pg_attribute attribute,
				const ChpgAttribute *exceptions)
{
	Oid			input;

	column->name = pstrdup(NameStr(attribute->attname));
	column->dropped = attribute->attisdropped;
	if (column->dropped)
		return;
	column->type = attribute->atttypid;
	column->typmod = attribute->atttypmod;
	getTypeInputInfo(column->type, &input, &column->ioparam);
	fmgr_info(input, &column->input);
	for (; exceptions->name != NULL; exceptions++)
	{
		if (strcmp(exceptions->name, column->name) != 0)
			continue;
		if (exceptions->key != NULL)
			column->key = pstrdup(exceptions->key);
		column->other_key = exceptions->other_key;
		column->lenient = exceptions->lenient;
		column->tags = exceptions->tags;
		column->integral = exceptions->integral;
		column->hex = exceptions->hex;
		column->words = exceptions->words;
	}
	if (column->key == NULL)
		column->key = camel_case(column->name);
	else if (strcmp(column->key, "@row") == 0)
		column->source = SOURCE_ROW;
	else if (strcmp(column->key, "@section") == 0)
		column->source = SOURCE_SECTION;
	else if (strcmp(column->key, "@key") == 0)
		column->source = SOURCE_KEY;
	else if (strcmp(column->key, "@value") == 0)
		column->source = SOURCE_VALUE;
}

ChpgDecoder *
chpg_decoder_create(TupleDesc tupdesc, const char *path,
					const ChpgAttribute *exceptions)
{
	ChpgDecoder *decoder;

	decoder = palloc0(offsetof(ChpgDecoder, columns) +
					  tupdesc->natts * sizeof(Column));
	decoder->context = CurrentMemoryContext;
	decoder->num_columns = tupdesc->natts;
	parse_path(decoder, path);
	for (int i = 0; i < tupdesc->natts; i++)
		describe_column(&decoder->columns[i], TupleDescAttr(tupdesc, i),
						exceptions);
	return decoder;
}

void
chpg_decoder_set_default(ChpgDecoder *decoder, const char *attribute,
						 const char *text)
{
	char	   *key = camel_case(attribute);

	for (int i = 0; i < decoder->num_columns; i++)
	{
		Column	   *column = &decoder->columns[i];

		if (column->dropped ||
			(strcmp(column->name, attribute) != 0 &&
			 !(column->hex && strcmp(column->key, key) == 0)))
			continue;
		if (column->fallback != NULL)
			pfree(column->fallback);
		column->fallback = text ?
			MemoryContextStrdup(decoder->context, text) : NULL;
	}
	pfree(key);
}

/*
 * Walking through the rows
 */

/* Throw error 08P01: a step is not of the expected kind. */
static void
refuse_shape(const Step *step, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed API response: \"%s\" is not %s",
					step->keys[step->section], expected)));
}

/* Return the object in which step i is looked up. */
static ChpgJsonNode *
parent_object(ChpgDecoder *decoder, int i)
{
	return i > 0 ? decoder->steps[i - 1].object : decoder->root;
}

/* Warn, once in a statement, of a value that the API sends in place of nothing. */
static void
warn_odd(const char *key, const char *odd, const char *read_as)
{
	static TimestampTz warned_at = 0;

	if (warned_at == GetCurrentStatementStartTimestamp())
		return;
	warned_at = GetCurrentStatementStartTimestamp();
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("API response has %s for \"%s\": it is read as %s",
					odd, key, read_as),
			 errdetail("Further such values of this statement are not reported.")));
}

/* Is a list that lies within the result null? The result itself never is. */
static bool
is_null_list(ChpgDecoder *decoder, int i)
{
	const Step *step = &decoder->steps[i];

	if (i == 0 || step->node != NULL ||
		!chpg_json_has(parent_object(decoder, i), step->keys[0]))
		return false;
	warn_odd(step->keys[0], "null", "an empty list");
	return true;
}

/*
 * Move to the current element of a list; false after the last.  Error 08P01.
 */
static bool
enter_element(Step *step)
{
	if (step->index >= chpg_json_length(step->node))
		return false;
	step->object = chpg_json_element(step->node, step->index);
	if (chpg_json_kind(step->object) != CHPG_JSON_OBJECT)
		refuse_shape(step, "a list of objects");
	return true;
}

/*
 * Move to the first entry of the current section, or of one after it; false if
 * there is none.  Error 08P01.
 */
static bool
enter_section(Step *step, ChpgJsonNode *parent)
{
	for (; step->section < step->num_keys; step->section++)
	{
		step->node = chpg_json_get(parent, step->keys[step->section]);
		if (step->node == NULL)
			continue;
		if (chpg_json_kind(step->node) != CHPG_JSON_OBJECT)
			refuse_shape(step, "an object");
		step->entry = chpg_json_next(step->node, NULL);
		if (step->entry != NULL)
			return true;
	}
	return false;
}

/* Are the elements of a list visited at a step? */
static bool
is_list(const Step *step)
{
	return step->kind == STEP_LIST || step->kind == STEP_LIST_OR_ITEMS;
}

/* Move to the first element of a step; false if it has none.  Error 08P01. */
static bool
enter_step(ChpgDecoder *decoder, int i)
{
	Step	   *step = &decoder->steps[i];

	step->section = 0;
	step->index = 0;
	if (step->kind == STEP_ENTRIES)
		return enter_section(step, parent_object(decoder, i));
	step->node = chpg_json_get(parent_object(decoder, i), step->keys[0]);
	if (step->kind == STEP_LIST_OR_ITEMS &&
		chpg_json_kind(step->node) == CHPG_JSON_OBJECT)
		step->node = chpg_json_get(step->node, "items");
	if (is_list(step))
	{
		if (is_null_list(decoder, i))
			return false;
		if (chpg_json_kind(step->node) != CHPG_JSON_ARRAY)
			refuse_shape(step, "a list");
		return enter_element(step);
	}
	if (step->kind == STEP_OPTIONAL && step->node == NULL)
		return false;
	if (chpg_json_kind(step->node) != CHPG_JSON_OBJECT)
		refuse_shape(step, "an object");
	step->object = step->node;
	return true;
}

/* Move to the next element of a step; false if it has none.  Error 08P01. */
static bool
advance_step(ChpgDecoder *decoder, int i)
{
	Step	   *step = &decoder->steps[i];

	if (is_list(step))
	{
		step->index++;
		return enter_element(step);
	}
	if (step->kind != STEP_ENTRIES)
		return false;
	step->entry = chpg_json_next(step->node, step->entry);
	if (step->entry != NULL)
		return true;
	step->section++;
	return enter_section(step, parent_object(decoder, i));
}

void
chpg_decoder_start(ChpgDecoder *decoder, ChpgJson *document)
{
	decoder->root = chpg_json_root(document);
	decoder->started = false;
	for (int i = 0; i < decoder->num_steps; i++)
		decoder->steps[i].object = NULL;
}

bool
chpg_decoder_next(ChpgDecoder *decoder)
{
	int			last = decoder->num_steps - 1;
	int			i = decoder->started ? last : 0;
	bool		found;

	found = decoder->started ? advance_step(decoder, i) :
		enter_step(decoder, i);
	decoder->started = true;
	while (!found || i < last)
	{
		if (found)
			found = enter_step(decoder, ++i);
		else if (i == 0)
			return false;
		else
			found = advance_step(decoder, --i);
	}
	return true;
}

ChpgJsonNode *
chpg_decoder_get(ChpgDecoder *decoder, const char *key)
{
	return chpg_json_get(decoder->steps[decoder->num_steps - 1].object, key);
}

/*
 * Decoding a row
 */

/*
 * Find a member in the innermost object of the current row, then outward among
 * scalars.
 */
static ChpgJsonNode *
find_value(ChpgDecoder *decoder, const char *key)
{
	ChpgJsonNode *value = chpg_decoder_get(decoder, key);

	for (int i = decoder->num_steps - 2; value == NULL && i >= 0; i--)
	{
		value = chpg_json_get(decoder->steps[i].object, key);
		if (value != NULL && chpg_json_kind(value) >= CHPG_JSON_ARRAY)
			value = NULL;
	}
	return value;
}

/* [{"key": k, "value": v}, ...] -> {k: v, ...} */
char *
chpg_tags_to_object(ChpgJsonNode *list)
{
	StringInfoData json;

	if (chpg_json_kind(list) == CHPG_JSON_OBJECT)
		return chpg_json_serialize(list);
	if (chpg_json_kind(list) != CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: tags are not a list")));

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		ChpgJsonNode *key = chpg_json_get(chpg_json_element(list, i), "key");
		ChpgJsonNode *value = chpg_json_get(chpg_json_element(list, i), "value");

		if (chpg_json_kind(key) != CHPG_JSON_STRING)
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("malformed API response: tag without a key")));
		if (i > 0)
			appendStringInfoString(&json, ", ");
		escape_json(&json, chpg_json_text(key));
		appendStringInfoString(&json, ": ");
		if (value == NULL)
			appendStringInfoString(&json, "null");
		else
			escape_json(&json, chpg_json_text(value));
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* Is it a type of integers? */
static bool
is_integer_type(Oid type)
{
	return type == INT8OID || type == INT4OID;
}

/* Is a text an integer in decimal digits? */
static bool
is_integer_text(const char *text)
{
	const char *digits = text + (*text == '-');

	return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

/*
 * Return a fraction, or a number in another notation, as the nearest integer.
 * Error 22P02 for a text that is no number, and for a fraction of an integral
 * column.
 */
static char *
round_number(const Column *column, const char *text)
{
	Datum		number;
	Datum		rounded;

	/* numeric's input takes words, too. */
	if (text[strspn(text, "+-.0123456789eE")] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"%s\" is not a number", text)));
	number = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
								 ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	rounded = DirectFunctionCall1(numeric_int8, number);
	if (column->integral &&
		!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
										  DirectFunctionCall1(int8_numeric, rounded))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"%s\" is not an integer", text)));
	return psprintf(INT64_FORMAT, DatumGetInt64(rounded));
}

/*
 * Return a time in ISO 8601. The API sends that, or Unix seconds.  The type's
 * input function would also accept words such as "now", and forms that depend
 * on DateStyle, and would take a time without a zone to be in the session's: the
 * API's are in UTC.  Error 22007.
 */
static char *
check_time(ChpgJsonNode *value, char *text)
{
	if (chpg_json_kind(value) == CHPG_JSON_INTEGER ||
		chpg_json_kind(value) == CHPG_JSON_FRACTION)
	{
		Datum		time = DirectFunctionCall1(float8_timestamptz,
											   DirectFunctionCall1(float8in, CStringGetDatum(text)));

		return JsonEncodeDateTime(palloc(MAXDATELEN + 1), time, TIMESTAMPTZOID,
								  NULL);
	}
	if (strspn(text, "0123456789") != 4 || text[4] != '-')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("invalid timestamp: \"%s\"", text)));
	if (strspn(text, "0123456789-") == ISO_DATE_LENGTH &&
		text[ISO_DATE_LENGTH + strspn(text + ISO_DATE_LENGTH, "0123456789:.,Tt ")] == '\0')
		return psprintf("%s UTC", text);
	return text;
}

/*
 * Return a bigint as 16 hexadecimal digits, for programs that would round the
 * number.
 */
static char *
hexadecimal(const char *text)
{
	uint64		number = (uint64) DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));

	return psprintf("%08x%08x", (uint32) (number >> 32), (uint32) number);
}

/*
 * Return the text to be passed to the attribute's input function.  Errors:
 * 08P01, 22P02, 22007.
 */
static char *
input_text(const Column *column, ChpgJsonNode *value)
{
	char	   *text;

	if (column->tags)
		return chpg_tags_to_object(value);
	if (column->type == JSONBOID)
		return chpg_json_serialize(value);
	if (chpg_json_kind(value) >= CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: %s instead of a scalar",
						chpg_json_kind(value) == CHPG_JSON_ARRAY ? "a list" : "an object")));
	text = chpg_json_text(value);
	if (column->type == TEXTOID && !column->hex)
		return text;
	if (strlen(text) > MAX_SCALAR_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: value of %zu characters instead of a number, a time or a boolean",
						strlen(text))));

	/* Input functions repeat the text in their errors. */
	if (chpg_has_hidden(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("malformed API response: value that is no number, time or boolean: \"%s\"",
						chpg_clean_remote(text))));
	if ((is_integer_type(column->type) || column->hex) && !is_integer_text(text))
		text = round_number(column, text);
	if (column->hex)
		return hexadecimal(text);
	if (column->type == TIMESTAMPTZOID)
		return check_time(value, text);
	return text;
}

/* Does a text begin in a form, of which each 'd' stands for a digit? */
static bool
has_form(const char *text, const char *form)
{
	for (int i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == 'd' ? !(text[i] >= '0' && text[i] <= '9') : text[i] != form[i])
			return false;
	}
	return true;
}

/* Return the number of two digits. */
static int
two_digits(const char *text)
{
	return (text[0] - '0') * 10 + text[1] - '0';
}

/* Is it the end of a time after its seconds: a fraction, perhaps, and a zone or none? */
static bool
is_time_end(const char *text)
{
	const char *sign;

	if (*text == '.' && has_form(text, ".d"))
		text += 1 + strspn(text + 1, "0123456789");
	if (*text == '\0' || strcmp(text, "Z") == 0)
		return true;
	sign = text++;
	if ((*sign != '+' && *sign != '-') || !has_form(text, "dd") || two_digits(text) >= 15)
		return false;
	text += 2;
	if (*text == ':')
		text++;
	return *text == '\0' || (has_form(text, "dd") && two_digits(text) < 60 && text[2] == '\0');
}

/*
 * Is a text in the form of ISO 8601, to the second, a time that there is?  The type's
 * input function would throw an error for another.
 */
static bool
is_possible_time(const char *text)
{
	int			year = two_digits(text) * 100 + two_digits(text + 2);
	int			month = two_digits(text + 5);
	int			day = two_digits(text + 8);

	return year > 0 && month >= 1 && month <= MONTHS_PER_YEAR &&
		day >= 1 && day <= day_tab[isleap(year)][month - 1] &&
		two_digits(text + 11) < HOURS_PER_DAY && two_digits(text + 14) < MINS_PER_HOUR &&
		two_digits(text + 17) < SECS_PER_MINUTE && is_time_end(text + ISO_TIME_LENGTH);
}

/*
 * Return the text of a value of which not even the kind is known: JSON for a list or
 * an object in a text; NULL for what is no time, with a WARNING if it looks like one.
 */
static char *
lenient_text(const Column *column, ChpgJsonNode *value)
{
	char	   *text = chpg_json_text(value);

	if (column->type != TIMESTAMPTZOID)
		return text;
	if (!has_form(text, "dddd-dd-ddTdd:dd:dd"))
		return NULL;
	if (strlen(text) <= MAX_SCALAR_LENGTH && is_possible_time(text))
		return input_text(column, value);
	warn_odd(column->key, "an impossible time", "NULL");
	return NULL;
}

/* Return the word that is shown in place of the API's. */
static char *
shown_word(const Column *column, char *text)
{
	for (int i = 0; column->words != NULL && column->words[i] != NULL; i += 2)
	{
		if (strcmp(column->words[i], text) == 0)
			return pstrdup(column->words[i + 1]);
	}
	return text;
}

/*
 * Convert a number that the type holds as it is; false for other values.  Most
 * values are such numbers, and their text and input function would take a
 * quarter of the time of a page.
 */
static bool
is_plain_number(const Column *column, ChpgJsonNode *value, Datum *datum)
{
	double		number;
	int64		integer;

	if (column->type == FLOAT8OID && chpg_json_is_double(value, &number))
		*datum = Float8GetDatum(number);
	else if (column->type == INT8OID && chpg_json_is_bigint(value, &integer))
		*datum = Int64GetDatum(integer);
	else
		return false;
	return true;
}

/*
 * Is a value an empty text where a number, a time or a boolean belongs?  It stands for
 * nothing.
 */
static bool
is_empty_scalar(const Column *column, ChpgJsonNode *value)
{
	if ((column->type == TEXTOID && !column->hex) || column->type == JSONBOID ||
		!chpg_json_is_empty_text(value))
		return false;
	warn_odd(column->key, "an empty text", "NULL");
	return true;
}

/* Return the node of a column in the current row, or NULL. */
static ChpgJsonNode *
column_node(ChpgDecoder *decoder, const Column *column)
{
	ChpgJsonNode *value;

	if (column->source == SOURCE_MEMBER)
	{
		value = find_value(decoder, column->key);
		if (value == NULL && column->other_key != NULL)
			value = find_value(decoder, column->other_key);
		return value;
	}
	if (column->source == SOURCE_ROW)
		return decoder->steps[decoder->num_steps - 1].object;
	if (column->source == SOURCE_VALUE)
		return chpg_json_entry_value(decoder->steps[decoder->num_steps - 1].entry);
	return NULL;
}

/* Return the text of a column in the current row, or NULL. */
static char *
column_text(ChpgDecoder *decoder, const Column *column, ChpgJsonNode *node)
{
	const Step *last = &decoder->steps[decoder->num_steps - 1];

	if (column->source == SOURCE_SECTION)
		return shown_word(column, pstrdup(last->keys[last->section]));
	if (column->source == SOURCE_KEY)
		return chpg_json_entry_key(last->entry);
	if (node != NULL && column->lenient)
		return lenient_text(column, node);
	if (node != NULL)
		return input_text(column, node);
	return column->hex && column->fallback != NULL ?
		hexadecimal(column->fallback) : column->fallback;
}

/* Name the attribute in an error's context. */
static void
conversion_error_callback(void *arg)
{
	errcontext("attribute \"%s\"", *(const char **) arg);
}

void
chpg_decoder_row(ChpgDecoder *decoder, Datum *values, bool *nulls)
{
	const char *name = NULL;
	ErrorContextCallback callback;

	callback.callback = conversion_error_callback;
	callback.arg = (void *) &name;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	for (int i = 0; i < decoder->num_columns; i++)
	{
		Column	   *column = &decoder->columns[i];
		ChpgJsonNode *node;
		char	   *text;

		values[i] = (Datum) 0;
		nulls[i] = true;
		if (column->dropped)
			continue;
		name = column->name;
		node = column_node(decoder, column);
		nulls[i] = false;
		if (node != NULL && is_plain_number(column, node, &values[i]))
			continue;
		if (node != NULL && is_empty_scalar(column, node))
			node = NULL;
		text = column_text(decoder, column, node);
		nulls[i] = text == NULL;
		if (nulls[i])
			continue;
		values[i] = InputFunctionCall(&column->input, text, column->ioparam,
									  column->typmod);
	}
	error_context_stack = callback.previous;
}
