/*-------------------------------------------------------------------------
 *
 * arguments.c
 *		Values for an endpoint's parameters, checked before anything is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "ascii.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "protocol/arguments.h"
#include "protocol/closest.h"
#include "protocol/remote_text.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Bytes; more than any name that PostgreSQL itself accepts */
#define MAX_TEXT_LENGTH		256

/* Seconds; the longest window that the API accepts */
#define MAX_BUCKET			(31 * SECS_PER_DAY)

/* The API's limits for tags */
#define MAX_TAGS			50
#define MAX_TAG_KEY			128
#define MAX_TAG_VALUE		256

/* The API's limit for the name of a service, in characters */
#define MAX_SERVICE_LENGTH	50

const char *const chpg_log_severities[] = {
	"DEBUG", "LOG", "INFO", "NOTICE", "WARNING", "ERROR", "FATAL", "PANIC", NULL
};

/* Throw error 22023 for a value of a parameter, which the message shows. */
static void
refuse(const ChpgParameter *parameter, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", parameter->name,
					chpg_clean_remote(pstrdup(value))),
			 errhint("%s", hint)));
}

/* Throw error 22023 for a JSON value that is no object. */
static void
refuse_json(const ChpgParameter *parameter, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" must be a JSON object", parameter->name),
			 errhint("%s", hint)));
}

bool
chpg_text_fits(Datum value)
{
	return toast_raw_datum_size(value) - VARHDRSZ <= MAX_TEXT_LENGTH;
}

/*
 * Return a text that can be sent, palloc'd: short, and convertible to UTF-8.
 */
static char *
text_argument(const ChpgParameter *parameter, Datum value)
{
	char	   *string = TextDatumGetCString(value);

	if (!chpg_text_fits(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value for \"%s\" is too long", parameter->name),
				 errdetail("The value has %zu bytes; at most %d are allowed.",
						   strlen(string), MAX_TEXT_LENGTH)));
	(void) pg_server_to_any(string, strlen(string), PG_UTF8);
	return string;
}

/* Convert a time to milliseconds since 1970, rounded down. */
static int64
to_milliseconds(TimestampTz time)
{
	int64		since_2000 = time / 1000 - (time % 1000 < 0);

	return since_2000 + MILLISECONDS_TO_2000;
}

char *
chpg_time_text(int64 milliseconds)
{
	TimestampTz time = (milliseconds - MILLISECONDS_TO_2000) * 1000;
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
					tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec / 1000);
}

/* Return a time in the API's form, palloc'd. */
static char *
time_argument(const ChpgParameter *parameter, Datum value)
{
	TimestampTz time = DatumGetTimestampTz(value);
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(time))
		refuse(parameter, TIMESTAMP_IS_NOBEGIN(time) ? "-infinity" : "infinity",
			   "Specify a finite time.");
	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		refuse(parameter, timestamptz_to_str(time),
			   "Specify a time between the years 1 and 9999.");
	return chpg_time_text(to_milliseconds(time));
}

/*
 * Throw error 22023 for a text that is none of a parameter's words, a list that ends with
 * NULL.  The primary message names the closest one, or else all of them, and after these
 * what else can be done (NULL: nothing).  wanted: what to look for instead of the text.
 */
static void
refuse_word(const ChpgParameter *parameter, const char *text, const char *wanted,
			const char *const *words, const char *otherwise, const char *hint)
{
	ChpgClosest closest;
	StringInfoData list;

	chpg_closest_begin(&closest, wanted);
	initStringInfo(&list);
	for (int i = 0; words[i] != NULL; i++)
	{
		appendStringInfo(&list, "%s%s", i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ",
						 words[i]);
		chpg_closest_add(&closest, words[i]);
	}
	if (hint == NULL && closest.match != NULL)
		hint = psprintf("Give %s.", list.data);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"%s", parameter->name,
					chpg_clean_remote(pstrdup(text)), closest.match != NULL ?
					chpg_closest_question(&closest) :
					psprintf(": give %s%s", list.data, otherwise != NULL ? otherwise : "")),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Return the word of a list that ends with NULL which a text is, in any case of letters.
 * Errors: as refuse_word.
 */
static const char *
word_argument(const ChpgParameter *parameter, const char *text, const char *const *words,
			  const char *otherwise, const char *hint)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (chpg_same_in_any_case(text, words[i]))
			return words[i];
	}
	refuse_word(parameter, text, text, words, otherwise, hint);
	return NULL;				/* keep compiler quiet */
}

/* Return an interval in whole seconds. */
static int64
bucket_argument(const ChpgParameter *parameter, Datum value)
{
	const		Interval *interval = DatumGetIntervalP(value);
	double		seconds = rint(interval->day * (double) SECS_PER_DAY +
							   (double) interval->time / USECS_PER_SEC);

	if (interval->month != 0 || seconds < 1 || seconds > MAX_BUCKET)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\": give 1 second to 31 days, without months",
						parameter->name,
						DatumGetCString(DirectFunctionCall1(interval_out, value))),
				 errhint("Such as interval '5 minutes'.")));
	return (int64) seconds;
}

/*
 * Return a severity of notifications as the API spells it.  The API answers a request for
 * another one with no rows.
 */
static const char *
notification_severity_argument(const ChpgParameter *parameter, const char *text)
{
	static const char *const words[] = {"info", "warning", "critical", NULL};

	return word_argument(parameter, text, words, ", or a time as \"since\"",
						 "Run: SELECT * FROM chpg_notifications('critical', since => now() - interval '1 day');");
}

/* The attribute that is meant by a word of chpg_top, or by one like it; or the word. */
static const char *
meant_by_word(const char *word)
{
	static const char *const words[][2] = {
		{"time", "total_duration_us"},
		{"calls", "call_count"},
		{"mean", "avg_duration_us"},
		{"latency", "avg_duration_us"},
		{"errors", "error_count"}
	};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (chpg_same_in_any_case(word, words[i][0]))
			return words[i][1];
	}
	return word;
}

/*
 * Return the API's name of a sort field, given by that or by its attribute.
 */
static const char *
sort_field_argument(const ChpgEndpoint *endpoint,
					const ChpgParameter *parameter, const char *value)
{
	const char **attributes;
	int			count = 0;

	for (const ChpgSortField *field = endpoint->sort_fields; field->key != NULL; field++)
	{
		if (strcmp(value, field->key) == 0 || strcmp(value, field->attribute) == 0)
			return field->key;
		count++;
	}
	attributes = palloc0(sizeof(char *) * (count + 1));
	for (int i = 0; i < count; i++)
		attributes[i] = endpoint->sort_fields[i].attribute;
	refuse_word(parameter, value, meant_by_word(value), attributes, NULL, NULL);
	return NULL;				/* keep compiler quiet */
}

/* Return the API's name of a sort order. */
static const char *
sort_order_argument(const ChpgParameter *parameter, const char *text)
{
	static const char *const words[] = {"asc", "desc", NULL};

	return word_argument(parameter, text, words, NULL, NULL);
}

/* Return the name of a service, palloc'd. */
static char *
name_argument(const ChpgParameter *parameter, Datum value)
{
	char	   *string = text_argument(parameter, value);

	if (*string == '\0' || pg_mbstrlen(string) > MAX_SERVICE_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", parameter->name),
				 errdetail("Service names have 1 to %d characters.",
						   MAX_SERVICE_LENGTH)));
	return string;
}

/* Return a password by the API's rules, palloc'd.  No message shows it. */
static char *
password_argument(const ChpgParameter *parameter, Datum value)
{
	char	   *string = TextDatumGetCString(value);
	size_t		length = pg_mbstrlen(string);

	if (length < 12 || length > 1024 ||
		strpbrk(string, "abcdefghijklmnopqrstuvwxyz") == NULL ||
		strpbrk(string, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL ||
		strpbrk(string, "0123456789") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", parameter->name),
				 errdetail("A password has 12 to 1024 characters, with a lower-case letter, an upper-case letter and a digit."),
				 errhint("Omit it to have the API generate one.")));
	(void) pg_server_to_any(string, strlen(string), PG_UTF8);
	return string;
}

/*
 * Objects in JSON
 */

/* Return a jsonb string, palloc'd. */
static char *
jsonb_text(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * Check each entry of a jsonb object; returns their number, or -1 if it is no
 * object.
 */
static int
each_entry(const ChpgParameter *parameter, Datum json,
		   void (*check) (const ChpgParameter *parameter, const char *key,
						  const JsonbValue *value))
{
	Jsonb	   *object = DatumGetJsonbP(json);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	char	   *key = NULL;
	int			entries = 0;

	if (!JB_ROOT_IS_OBJECT(object))
		return -1;
	it = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = jsonb_text(&item);
		else if (token == WJB_VALUE)
		{
			check(parameter, key, &item);
			entries++;
		}
	}
	return entries;
}

/* Is a text one of those that the API accepts in tags? */
static bool
is_tag_text(const char *string, size_t max_length)
{
	size_t		length = strlen(string);

	return length >= 1 && length <= max_length &&
		strspn(string, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789._-") == length;
}

/* Check a tag. */
static void
check_tag(const ChpgParameter *parameter, const char *key,
		  const JsonbValue *value)
{
	if (strncmp(key, "chc_", 4) == 0)
		refuse(parameter, key, "Keys that begin with chc_ are reserved.");
	if (!is_tag_text(key, MAX_TAG_KEY))
		refuse(parameter, key,
			   "A key has 1 to 128 letters, digits, dots, underscores and dashes.");
	if (value->type != jbvString || !is_tag_text(jsonb_text(value), MAX_TAG_VALUE))
		refuse(parameter, key,
			   "The value of this tag must be a string of 1 to 256 letters, digits, dots, underscores and dashes.");
}

/* Return tags in the API's form, as JSON, palloc'd. */
static char *
tags_argument(const ChpgParameter *parameter, Datum value)
{
	int			tags = each_entry(parameter, value, check_tag);

	if (tags < 0)
		refuse_json(parameter, "Specify an object such as {\"team\": \"data\"}.");
	if (tags > MAX_TAGS)
		refuse(parameter, psprintf("%d tags", tags),
			   "A service has at most 50 tags.");
	return chpg_tags_to_list(value);
}

/* Check a setting of a configuration. */
static void
check_setting(const ChpgParameter *parameter, const char *name,
			  const JsonbValue *value)
{
	if (*name == '\0' || strlen(name) > MAX_TEXT_LENGTH)
		refuse(parameter, name, "Names of settings have 1 to 256 bytes.");
	if (value->type == jbvNull && parameter->kind != CHPG_CHANGED_CONFIG)
		refuse(parameter, name, "Omit the setting instead of specifying null.");
	if (value->type == jbvBinary)
		refuse(parameter, name,
			   "The value of this setting must be a string, a number or a boolean.");
}

/* Push a string to a jsonb value under construction. */
static void
push_text(JsonbInState *state, JsonbIteratorToken token, const char *string)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	chpg_push_jsonb(state, token, &value);
}

/*
 * Convert a setting to a string, unless it is null or a string already.
 */
static void
make_string(JsonbValue *value)
{
	char	   *text;

	if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	else
		return;
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = strlen(text);
}

char *
chpg_config_to_text(const ChpgParameter *parameter, Datum settings)
{
	Jsonb	   *object = DatumGetJsonbP(settings);
	JsonbInState state = {0};
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	item;

	if (!parameter->only_strings)
		return JsonbToCString(NULL, &object->root, VARSIZE(object));
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE)
			make_string(&item);
		chpg_push_jsonb(&state, token, token < WJB_BEGIN_ARRAY ? &item : NULL);
	}
	object = JsonbValueToJsonb(state.result);
	return JsonbToCString(NULL, &object->root, VARSIZE(object));
}

/* Return a section of a configuration as JSON, palloc'd. */
static char *
config_argument(const ChpgParameter *parameter, Datum value)
{
	int			settings = each_entry(parameter, value, check_setting);

	if (settings < 0)
		refuse_json(parameter, "Specify an object such as {\"max_connections\": 200}.");
	if (settings == 0 && parameter->kind != CHPG_WHOLE_CONFIG)
		refuse(parameter, "{}", "Specify a setting, or omit the argument.");
	return chpg_config_to_text(parameter, value);
}

/* Return an object or a list as JSON, palloc'd. */
static char *
json_argument(const ChpgParameter *parameter, Datum value)
{
	Jsonb	   *json = DatumGetJsonbP(value);

	if (JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be a JSON object or array", parameter->name)));
	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

/* Return a list of texts as JSON, palloc'd. */
static char *
list_argument(const ChpgParameter *parameter, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	StringInfoData list;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", parameter->name),
				 errhint("Specify a list of one dimension, without nulls.")));
	initStringInfo(&list);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *text = text_argument(parameter, elements[i]);

		CHECK_FOR_INTERRUPTS();
		if (*text == '\0')
			refuse(parameter, text, "Specify no empty text.");
		appendStringInfoString(&list, i > 0 ? "," : "");
		escape_json(&list, text);
	}
	return psprintf("[%s]", list.data);
}

char *
chpg_tags_to_list(Datum tags)
{
	Jsonb	   *object = DatumGetJsonbP(tags);
	JsonbInState state = {0};
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	Jsonb	   *list;

	chpg_push_jsonb(&state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			chpg_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
			push_text(&state, WJB_KEY, "key");
			push_text(&state, WJB_VALUE, jsonb_text(&item));
		}
		else if (token == WJB_VALUE)
		{
			push_text(&state, WJB_KEY, "value");
			chpg_push_jsonb(&state, WJB_VALUE, &item);
			chpg_push_jsonb(&state, WJB_END_OBJECT, NULL);
		}
	}
	chpg_push_jsonb(&state, WJB_END_ARRAY, NULL);
	list = JsonbValueToJsonb(state.result);
	return JsonbToCString(NULL, &list->root, VARSIZE(list));
}

const char **
chpg_argument(ChpgArguments *arguments, const ChpgEndpoint *endpoint,
			  const char *name)
{
	const ChpgParameter *parameter = chpg_find_parameter(endpoint, name);

	if (parameter == NULL)
		elog(ERROR, "endpoint has no parameter \"%s\"", name);
	return &arguments->values[parameter - endpoint->parameters];
}

void
chpg_set_argument(ChpgArguments *arguments, const ChpgEndpoint *endpoint,
				  const ChpgParameter *parameter, Datum value)
{
	const char *text = NULL;

	switch (parameter->kind)
	{
		case CHPG_ANY_TEXT:
			text = text_argument(parameter, value);
			break;
		case CHPG_WINDOW_START:
			text = time_argument(parameter, value);
			arguments->start = to_milliseconds(DatumGetTimestampTz(value));
			break;
		case CHPG_WINDOW_END:
			text = time_argument(parameter, value);
			arguments->end = to_milliseconds(DatumGetTimestampTz(value));
			break;
		case CHPG_TIME:
			text = time_argument(parameter, value);
			break;
		case CHPG_BUCKET:
			arguments->bucket = bucket_argument(parameter, value);
			text = psprintf(INT64_FORMAT, arguments->bucket);
			break;
		case CHPG_SEVERITY:
			text = word_argument(parameter, text_argument(parameter, value),
								 chpg_log_severities, NULL, NULL);
			break;
		case CHPG_NOTIFICATION_SEVERITY:
			text = notification_severity_argument(parameter,
												  text_argument(parameter, value));
			break;
		case CHPG_NUMBER:
			text = psprintf(INT64_FORMAT, DatumGetInt64(value));
			break;
		case CHPG_SORT_FIELD:
			text = sort_field_argument(endpoint, parameter,
									   text_argument(parameter, value));
			break;
		case CHPG_SORT_ORDER:
			text = sort_order_argument(parameter,
									   text_argument(parameter, value));
			break;
		case CHPG_NAME:
			text = name_argument(parameter, value);
			break;
		case CHPG_PASSWORD:
			text = password_argument(parameter, value);
			break;
		case CHPG_TAGS:
			text = tags_argument(parameter, value);
			break;
		case CHPG_NEW_CONFIG:
		case CHPG_CHANGED_CONFIG:
		case CHPG_WHOLE_CONFIG:
			text = config_argument(parameter, value);
			break;
		case CHPG_ANY_JSON:
			text = json_argument(parameter, value);
			break;
		case CHPG_TEXT_LIST:
			text = list_argument(parameter, value);
			break;
	}
	if (chpg_is_write(endpoint))
	{
		if (parameter->kind == CHPG_NUMBER && DatumGetInt64(value) < 1)
			refuse(parameter, text, "Specify a positive number.");
		if (parameter->kind == CHPG_ANY_TEXT && *text == '\0')
			refuse(parameter, text, "Specify a value, or omit an optional argument.");
	}
	arguments->values[parameter - endpoint->parameters] = text;
}

void
chpg_check_arguments(const ChpgArguments *arguments,
					 const ChpgEndpoint *endpoint)
{
	const char *start = NULL;
	const char *end = NULL;

	for (int i = 0; i < CHPG_MAX_PARAMETERS; i++)
	{
		if (endpoint->parameters[i].kind == CHPG_WINDOW_START)
			start = arguments->values[i];
		else if (endpoint->parameters[i].kind == CHPG_WINDOW_END)
			end = arguments->values[i];
	}

	/* In the API's form, texts compare as the times do. */
	if (start != NULL && end != NULL && strcmp(start, end) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("window from %s to %s is empty: give the start before the end", start, end),
				 errhint("Specify an end after the start. A window includes its start and excludes its end, both in whole milliseconds.")));
}

void
chpg_check_service(const char *service)
{
	if (*service == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"service\" must not be empty"),
				 errhint("Specify the id or the name of a service.")));
	if (pg_mbstrlen(service) > MAX_SERVICE_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("service \"%s...\" is too long",
						chpg_clean_text(pnstrdup(service, pg_mbcliplen(service, strlen(service), MAX_SERVICE_LENGTH)))),
				 errdetail("Service names have at most %d characters.",
						   MAX_SERVICE_LENGTH)));
	for (const char *p = service; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7F)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"service\" contains a control character (code %d)",
							(unsigned char) *p),
					 errhint("Specify the id or the name of a service.")));
	}
	if (chpg_has_hidden(service))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"service\" contains characters that are invisible or change the direction of text"),
				 errdetail("Without them it is \"%s\".", chpg_clean_text(pstrdup(service))),
				 errhint("Specify the id of the service.")));
}

bool
chpg_is_uuid(const char *text)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	bool		valid = strlen(text) == strlen(pattern);

	for (int i = 0; valid && pattern[i] != '\0'; i++)
		valid = pattern[i] == '-' ? text[i] == '-' :
			chpg_hex_value(text[i]) >= 0;
	return valid;
}

bool
chpg_is_service_id(const char *service)
{
	size_t		length = strlen(service);

	if (length == 26 && strncmp(service, "pg", 2) == 0)
		return strspn(service, "abcdefghijklmnopqrstuvwxyz0123456789") == 26;
	return chpg_is_uuid(service);
}
