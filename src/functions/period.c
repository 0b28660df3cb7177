/*-------------------------------------------------------------------------
 *
 * period.c
 *		The forms in which a call says its window.
 *
 * Literals without a type, and parameters whose type the client leaves open, are texts.
 * A text may be a time, a period or a range; what it is decides what the next one is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "ascii.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/period.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(chpg_last);
PG_FUNCTION_INFO_V1(chpg_period_kind);
PG_FUNCTION_INFO_V1(chpg_period_of_texts);

/* The most bytes of an argument that a message shows. */
#define MAX_SHOWN_BYTES	60

/* Words before a period that are not a part of it. */
static const char *const fillers[] = {"in", "for", "the", "last", "past", "previous", "a", "an"};

/* What a text may say. */
typedef enum TextKind
{
	TEXT_TIME,
	TEXT_PERIOD,
	TEXT_RANGE,
	TEXT_OTHER
} TextKind;

/* The text of an argument as a message shows it, palloc'd. */
static char *
shown(const char *text)
{
	int			length = strlen(text);

	if (length <= MAX_SHOWN_BYTES)
		return pstrdup(text);
	return psprintf("%s...", pnstrdup(text, pg_mbcliplen(text, length, MAX_SHOWN_BYTES)));
}

/* A text as a literal, as a HINT shows it, palloc'd. */
static char *
literal(const char *text)
{
	return quote_literal_cstr(shown(text));
}

/* Is a text a time?  *wrong is whether it looks like one that does not exist. */
static bool
is_time(const char *text, bool *wrong)
{
	char		buffer[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			count;
	int			type;
	struct pg_tm tm;
	fsec_t		fsec;
	int			zone;
	int			error;

	error = ParseDateTime(text, buffer, sizeof(buffer), fields, types, MAXDATEFIELDS, &count);
	if (error == 0)
		error = chpg_decode_datetime(fields, types, count, &type, &tm, &fsec, &zone);
	*wrong = error != 0 && error != DTERR_BAD_FORMAT;
	return error == 0;
}

/* Is a text an interval, in PostgreSQL's form or that of ISO 8601? */
static bool
is_period(const char *text)
{
	char		buffer[256];
	char	   *copy = pstrdup(text);
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			count;
	int			type;
	struct pg_itm_in interval;
	int			error;

	error = ParseDateTime(text, buffer, sizeof(buffer), fields, types, MAXDATEFIELDS, &count);
	if (error == 0)
		error = DecodeInterval(fields, types, count, INTERVAL_FULL_RANGE, &type, &interval);
	if (error == DTERR_BAD_FORMAT)
		error = DecodeISO8601Interval(copy, &type, &interval);
	pfree(copy);
	return error == 0;
}

static TextKind
kind_of(const char *text)
{
	bool		wrong;

	text += strspn(text, " \t\n\r\f\v");
	if (*text == '[' || *text == '(' || chpg_same_in_any_case(text, "empty"))
		return TEXT_RANGE;
	if (is_time(text, &wrong))
		return TEXT_TIME;
	if (is_period(text))
		return TEXT_PERIOD;
	return wrong ? TEXT_TIME : TEXT_OTHER;
}

/*
 * Return the period that was meant by a text that is none, palloc'd, such as 1 hour for
 * "the last hour"; or NULL.
 */
static char *
period_meant(const char *text)
{
	char	   *rest = pstrdup(text);
	char	   *meant;
	int			length;

	for (int i = 0; i < lengthof(fillers); i++)
	{
		length = strlen(fillers[i]);
		if (chpg_begins_in_any_case(rest, fillers[i]) && rest[length] == ' ')
			rest += length + 1;
	}
	length = strlen(rest);
	if (length > 4 && chpg_same_in_any_case(rest + length - 4, " ago"))
		rest[length - 4] = '\0';
	if (*rest == '\0')
		return NULL;
	if (is_period(rest))
		return rest;
	meant = psprintf("1 %s", rest);
	return is_period(meant) ? meant : NULL;
}

/* Set the window between two times. */
static void
set_window(ChpgPeriod *period, TimestampTz from, TimestampTz to)
{
	const ChpgEndpoint *endpoint = period->endpoint;

	period->from = from;
	period->to = to;
	if (endpoint == NULL)
		return;
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		const ChpgParameter *parameter = &endpoint->parameters[i];

		if (parameter->kind == CHPG_WINDOW_START)
			chpg_set_argument(period->arguments, endpoint, parameter,
							  TimestampTzGetDatum(from));
		else if (parameter->kind == CHPG_WINDOW_END)
			chpg_set_argument(period->arguments, endpoint, parameter,
							  TimestampTzGetDatum(to));
	}
}

/* The time that lies an interval before another. */
static TimestampTz
time_before(TimestampTz time, Datum interval)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(time), interval));
}

/* An interval as a message shows it, palloc'd. */
static char *
shown_interval(Datum interval)
{
	return shown(DatumGetCString(DirectFunctionCall1(interval_out, interval)));
}

/* Set the window to a period that ends with the last full minute; the name is for errors. */
static void
set_interval(ChpgPeriod *period, const char *name, Datum interval)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz to = now - ((now % USECS_PER_MINUTE) + USECS_PER_MINUTE) % USECS_PER_MINUTE;
	TimestampTz from = time_before(to, interval);
	Datum		negated;

	if (from >= to)
	{
		negated = DirectFunctionCall1(interval_um, interval);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\" is not a positive interval%s",
						name, shown_interval(interval), time_before(to, negated) >= to ? "" :
						psprintf(": did you mean \"%s\"?", shown_interval(negated))),
				 errhint("Give the time until now, such as interval '1 hour'.")));
	}
	set_window(period, from, to);
}

/*
 * Set the window to a range.  Times are whole milliseconds: an excluded start is the
 * next one, as is the end after one that is included.
 */
static void
set_range(ChpgPeriod *period, Datum during)
{
	RangeType  *range = DatumGetRangeTypeP(during);
	TypeCacheEntry *type = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	RangeBound	from;
	RangeBound	to;
	bool		empty;

	range_deserialize(type, range, &from, &to, &empty);
	if (empty || from.infinite)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(empty ? "invalid value for \"%s\": the range is empty" :
						"invalid value for \"%s\": the range has no start", "during"),
				 errhint("Give a range with a start, such as tstzrange(now() - interval '1 day', now()).")));
	set_window(period,
			   DatumGetTimestampTz(from.val) + (from.inclusive ? 0 : 1000),
			   to.infinite ? GetCurrentTransactionStartTimestamp() :
			   DatumGetTimestampTz(to.val) + (to.inclusive ? 1000 : 0));
}

/* Convert a text by the input function of a type. */
static Datum
convert(Oid type, const char *text)
{
	Oid			function;
	Oid			parameter;

	getTypeInputInfo(type, &function, &parameter);
	return OidInputFunctionCall(function, unconstify(char *, text), parameter, -1);
}

/*
 * Throw error 22023 for texts that say no window, with the arguments to call the
 * function with, unless that is NULL.
 */
static void
refuse_texts(const char *function, const char *problem, const char *arguments)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", problem),
			 function == NULL ?
			 errhint("Give an interval until now, such as '1 day', a range, or two times.") :
			 errhint("Run: SELECT * FROM %s(%s);", function, arguments)));
}

/*
 * The name of the argument after "service" of a function, palloc'd, if a text can be
 * meant for it; or NULL.
 */
static char *
argument_after_service(Oid function, const char *text)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			count;
	char	   *name = NULL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	count = get_func_arg_info(tuple, &types, &names, &modes);
	for (int i = 1; names != NULL && i < count; i++)
	{
		if (strcmp(names[i - 1], "service") == 0 &&
			(types[i] == TEXTOID || (types[i] == INTERVALOID && is_period(text))))
			name = names[i];
	}
	ReleaseSysCache(tuple);
	return name;
}

/*
 * Throw the error of a text after the service, where the forms of two times have the
 * service: it is the next argument.
 */
static void
refuse_second_service(const ChpgPeriod *period, const char *function, const char *first,
					  const char *second)
{
	const char *next = function == NULL ? NULL : argument_after_service(period->function, period->service);

	if (next == NULL)
		refuse_texts(function,
					 psprintf("\"service\" is given twice, as \"%s\" and as \"%s\": name the arguments after it",
							  shown(second), shown(period->service)),
					 psprintf("%s, %s", literal(first), literal(second)));
	refuse_texts(function,
				 psprintf("\"service\" is given twice, as \"%s\" and as \"%s\": name the argument after it, such as %s => %s",
						  shown(second), shown(period->service), next, literal(period->service)),
				 psprintf("%s, %s, %s => %s", literal(first), literal(second), next,
						  literal(period->service)));
}

/* Take the text after a period or a range for the service. */
static void
set_service_after(ChpgPeriod *period, const char *function, const char *first,
				  char *second)
{
	TextKind	kind = kind_of(second);

	if (kind == TEXT_TIME || kind == TEXT_RANGE)
		refuse_texts(function,
					 psprintf("the period \"%s\" ends now, or is a range: \"%s\" cannot be its end",
							  shown(first), shown(second)),
					 psprintf("from_date => ..., to_date => %s", literal(second)));
	if (period->service != NULL)
		refuse_second_service(period, function, first, second);
	chpg_check_service(second);
	period->service = second;
}

/* Throw the error of two texts of which the first is neither a time nor a period. */
static void
refuse_first(const char *function, const char *first, const char *second)
{
	char	   *meant = period_meant(first);

	if (meant != NULL)
		refuse_texts(function,
					 psprintf("\"%s\" is neither a time nor a period: did you mean \"%s\"?",
							  shown(first), shown(meant)),
					 second == NULL || kind_of(second) == TEXT_TIME ? literal(meant) :
					 psprintf("%s, %s", literal(meant), literal(second)));
	if (first[strspn(first, " ")] == '\0' || chpg_is_digit(*first) || chpg_begins_in_any_case(first, "now"))
		refuse_texts(function,
					 psprintf("\"%s\" is neither a time nor a period: give an interval such as '1 hour', a range, or a time",
							  shown(first)),
					 second == NULL || kind_of(second) == TEXT_TIME ? "'1 hour'" :
					 psprintf("'1 hour', %s", literal(second)));
	if (second != NULL && kind_of(second) != TEXT_OTHER)
		refuse_texts(function,
					 psprintf("\"%s\" is neither a time nor a period: give the period before the service",
							  shown(first)),
					 psprintf("%s, %s", literal(second), literal(first)));
	refuse_texts(function,
				 psprintf("\"%s\" is neither a time nor a period: give a service as service => %s",
						  shown(first), literal(first)),
				 psprintf("service => %s", literal(first)));
}

/* Throw the error of a text after a time that is no time. */
static void
refuse_second(const char *function, const char *first, const char *second)
{
	if (kind_of(second) == TEXT_OTHER)
		refuse_texts(function,
					 psprintf("\"%s\" is not a time: give a service as service => %s",
							  shown(second), literal(second)),
					 psprintf("%s, service => %s", literal(first), literal(second)));
	refuse_texts(function,
				 psprintf("\"%s\" is not a time: give %s, or a range", shown(second),
						  function == NULL ? "two times" : "the end as to_date => ..."),
				 psprintf("'[%s, ...)'", shown(first)));
}

/* Set the window between a time and the one that a text says; or now (NULL). */
static void
set_end(ChpgPeriod *period, const char *function, const char *first, TimestampTz from,
		const char *second)
{
	if (second != NULL && kind_of(second) != TEXT_TIME)
		refuse_second(function, first, second);
	set_window(period, from, second == NULL ? GetCurrentTransactionStartTimestamp() :
			   DatumGetTimestampTz(convert(TIMESTAMPTZOID, second)));
}

/* Throw the error of a number without a unit, which PostgreSQL takes for seconds. */
static void
refuse_number(const char *function, const char *number, const char *second)
{
	char	   *meant = psprintf("%s hours", shown(number));

	refuse_texts(function,
				 psprintf("\"%s\" has no unit: did you mean \"%s\"?", shown(number), meant),
				 second == NULL ? literal(meant) :
				 psprintf("%s, %s", literal(meant), literal(second)));
}

/* Set the window, and perhaps the service, by one or two texts. */
static void
set_texts(ChpgPeriod *period, const char *first, char *second)
{
	const char *function = OidIsValid(period->function) ? get_func_name(period->function) : NULL;

	switch (kind_of(first))
	{
		case TEXT_TIME:
			set_end(period, function, first,
					DatumGetTimestampTz(convert(TIMESTAMPTZOID, first)), second);
			return;
		case TEXT_PERIOD:
			if (first[strspn(first, "+0123456789. \t\n\r\f\v")] == '\0')
				refuse_number(function, first, second);
			set_interval(period, "period", convert(INTERVALOID, first));
			break;
		case TEXT_RANGE:
			set_range(period, convert(TSTZRANGEOID, first));
			break;
		case TEXT_OTHER:
			refuse_first(function, first, second);
	}
	if (second != NULL)
		set_service_after(period, function, first, second);
}

bool
chpg_is_period_argument(const char *name)
{
	return strcmp(name, "from_date") == 0 || strcmp(name, "to_date") == 0 ||
		strcmp(name, "period") == 0 || strcmp(name, "during") == 0;
}

void
chpg_set_period(ChpgPeriod *period, Oid type, Datum first, Oid end_type, const Datum *end)
{
	char	   *second = end != NULL && end_type == TEXTOID ? TextDatumGetCString(*end) : NULL;

	switch (type)
	{
		case TIMESTAMPTZOID:
			if (end_type == TEXTOID)
				set_end(period, get_func_name(period->function),
						DatumGetCString(DirectFunctionCall1(timestamptz_out, first)),
						DatumGetTimestampTz(first), second);
			else
				set_window(period, DatumGetTimestampTz(first),
						   end == NULL ? GetCurrentTransactionStartTimestamp() :
						   DatumGetTimestampTz(*end));
			break;
		case INTERVALOID:
			set_interval(period, "period", first);
			break;
		case TSTZRANGEOID:
			set_range(period, first);
			break;
		case TEXTOID:
			set_texts(period, TextDatumGetCString(first), second);
			break;
		default:
			elog(ERROR, "window of an unexpected type: %u", type);
	}
}

/*
 * _chpg_period_kind(value): time, period, range, or NULL for another text
 */
Datum
chpg_period_kind(PG_FUNCTION_ARGS)
{
	switch (kind_of(text_to_cstring(PG_GETARG_TEXT_PP(0))))
	{
		case TEXT_TIME:
			PG_RETURN_TEXT_P(cstring_to_text("time"));
		case TEXT_PERIOD:
			PG_RETURN_TEXT_P(cstring_to_text("period"));
		case TEXT_RANGE:
			PG_RETURN_TEXT_P(cstring_to_text("range"));
		case TEXT_OTHER:
			break;
	}
	PG_RETURN_NULL();
}

/* A window as a range. */
static Datum
window_range(const ChpgPeriod *period)
{
	TypeCacheEntry *type = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	RangeBound	from = {
		.val = TimestampTzGetDatum(period->from),
		.inclusive = true,
		.lower = true
	};
	RangeBound	to = {.val = TimestampTzGetDatum(period->to)};

	return RangeTypePGetDatum(chpg_make_range(type, &from, &to));
}

/*
 * _chpg_last(period, argument): the period until the last full minute
 */
Datum
chpg_last(PG_FUNCTION_ARGS)
{
	ChpgPeriod	period = {0};
	const char *name = PG_ARGISNULL(1) ? "period" : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	set_interval(&period, name, PG_GETARG_DATUM(0));
	return window_range(&period);
}

/*
 * _chpg_period_of_texts(first, second, service): the period that two texts say; NULL if
 * the first one is NULL.  A range is returned as it is.
 */
Datum
chpg_period_of_texts(PG_FUNCTION_ARGS)
{
	ChpgPeriod	period = {0};
	char	   *first;
	char	   *second = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	first = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(2))
		period.service = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (kind_of(first) == TEXT_RANGE)
	{
		if (second != NULL)
			set_service_after(&period, NULL, first, second);
		return convert(TSTZRANGEOID, first);
	}
	set_texts(&period, first, second);
	if (period.to <= period.from && kind_of(first) == TEXT_TIME && second != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("period from %s to %s is empty: give the start before the end",
						shown(first), shown(second))));
	return window_range(&period);
}
