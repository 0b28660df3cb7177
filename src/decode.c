/*-------------------------------------------------------------------------
 *
 * decode.c
 *		Rows out of a JSON document.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "decode.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/datetime.h"

#define MAX_STEPS			8

/* Input functions quote what they refuse, so keep it short, unless text. */
#define MAX_SCALAR_LENGTH	100

/* One step of the path, and where in the document it stands. */
typedef struct Step
{
	const char *key;
	bool		list;			/* "key[]" */
	bool		optional;		/* "key?" */
	ChpgJsonNode *node;			/* the key's value */
	int			index;			/* of the current element of a list */
	ChpgJsonNode *object;		/* the current object */
} Step;

typedef struct Column
{
	const char *name;
	char	   *key;
	bool		dropped;
	bool		tags;
	bool		integral;
	Oid			type;
	int32		typmod;
	Oid			ioparam;
	FmgrInfo	input;
	char	   *fallback;		/* text used where the document has none */
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

static void
parse_path(ChpgDecoder *decoder, const char *path)
{
	char	   *save = NULL;

	for (char *key = strtok_r(pstrdup(path), ".", &save); key != NULL;
		 key = strtok_r(NULL, ".", &save))
	{
		Step	   *step = &decoder->steps[decoder->num_steps++];
		size_t		length = strlen(key);

		Assert(decoder->num_steps <= MAX_STEPS);
		step->list = length > 2 && strcmp(key + length - 2, "[]") == 0;
		step->optional = key[length - 1] == '?';
		key[length - (step->list ? 2 : step->optional ? 1 : 0)] = '\0';
		step->key = key;
	}
}

/* total_cpu_time_us -> totalCpuTimeUs */
static char *
camel_case(const char *name)
{
	char	   *key = palloc(strlen(name) + 1);
	char	   *to = key;

	for (const char *from = name; *from != '\0'; from++)
	{
		if (*from == '_' && from[1] != '\0')
			*to++ = pg_toupper((unsigned char) *++from);
		else
			*to++ = *from;
	}
	*to = '\0';
	return key;
}

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
		column->tags = exceptions->tags;
		column->integral = exceptions->integral;
	}
	if (column->key == NULL)
		column->key = camel_case(column->name);
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
	for (int i = 0; i < decoder->num_columns; i++)
	{
		Column	   *column = &decoder->columns[i];

		if (column->dropped || strcmp(column->name, attribute) != 0)
			continue;
		if (column->fallback != NULL)
			pfree(column->fallback);
		column->fallback = text ?
			MemoryContextStrdup(decoder->context, text) : NULL;
	}
}

/*
 * Walking through the rows
 */

static void
refuse_shape(const Step *step, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed answer from the API: \"%s\" is not %s",
					step->key, expected)));
}

/* Stand on an element of a list. */
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

/* Stand on the first element of a step; false if it has none. */
static bool
enter_step(ChpgDecoder *decoder, int i)
{
	Step	   *step = &decoder->steps[i];

	step->node = chpg_json_get(i > 0 ? decoder->steps[i - 1].object :
							   decoder->root, step->key);
	step->index = 0;
	if (step->list)
	{
		if (chpg_json_kind(step->node) != CHPG_JSON_ARRAY)
			refuse_shape(step, "a list");
		return enter_element(step);
	}
	if (step->optional && step->node == NULL)
		return false;
	if (chpg_json_kind(step->node) != CHPG_JSON_OBJECT)
		refuse_shape(step, "an object");
	step->object = step->node;
	return true;
}

static bool
advance_step(Step *step)
{
	if (!step->list)
		return false;
	step->index++;
	return enter_element(step);
}

void
chpg_decoder_start(ChpgDecoder *decoder, ChpgJson *document)
{
	decoder->root = chpg_json_root(document);
	decoder->started = false;
}

bool
chpg_decoder_next(ChpgDecoder *decoder)
{
	int			last = decoder->num_steps - 1;
	int			i = decoder->started ? last : 0;
	bool		found;

	found = decoder->started ? advance_step(&decoder->steps[i]) :
		enter_step(decoder, i);
	decoder->started = true;
	while (!found || i < last)
	{
		if (found)
			found = enter_step(decoder, ++i);
		else if (i == 0)
			return false;
		else
			found = advance_step(&decoder->steps[--i]);
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

/* Look in the innermost object, then outward among scalars. */
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
static char *
tags_to_json(ChpgJsonNode *list)
{
	StringInfoData json;

	if (chpg_json_kind(list) == CHPG_JSON_OBJECT)
		return chpg_json_serialize(list);
	if (chpg_json_kind(list) != CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed answer from the API: tags are not a list")));

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		ChpgJsonNode *key = chpg_json_get(chpg_json_element(list, i), "key");
		ChpgJsonNode *value = chpg_json_get(chpg_json_element(list, i), "value");

		if (chpg_json_kind(key) != CHPG_JSON_STRING)
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("malformed answer from the API: a tag has no key")));
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

static bool
is_integer_type(Oid type)
{
	return type == INT8OID || type == INT4OID;
}

static bool
is_integer_text(const char *text)
{
	const char *digits = text + (*text == '-');

	return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

/* A fraction, or a number in another notation, as the nearest integer. */
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
 * The input function takes words such as "now" and forms that depend on
 * DateStyle; the API sends ISO 8601 or Unix seconds.
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
	return text;
}

/* The text that the attribute's input function is given. */
static char *
input_text(const Column *column, ChpgJsonNode *value)
{
	char	   *text;

	if (column->tags)
		return tags_to_json(value);
	if (column->type == JSONBOID)
		return chpg_json_serialize(value);
	if (chpg_json_kind(value) >= CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed answer from the API: %s instead of a plain value",
						chpg_json_kind(value) == CHPG_JSON_ARRAY ? "a list" : "an object")));
	text = chpg_json_text(value);
	if (column->type == TEXTOID)
		return text;
	if (strlen(text) > MAX_SCALAR_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed answer from the API: a value of %zu characters where a number, a time or the like is due",
						strlen(text))));
	if (is_integer_type(column->type) && !is_integer_text(text))
		return round_number(column, text);
	if (column->type == TIMESTAMPTZOID)
		return check_time(value, text);
	return text;
}

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
		ChpgJsonNode *value;
		char	   *text;

		values[i] = (Datum) 0;
		nulls[i] = true;
		if (column->dropped)
			continue;
		name = column->name;
		value = find_value(decoder, column->key);
		text = value != NULL ? input_text(column, value) : column->fallback;
		if (text == NULL)
			continue;
		values[i] = InputFunctionCall(&column->input, text, column->ioparam,
									  column->typmod);
		nulls[i] = false;
	}
	error_context_stack = callback.previous;
}
