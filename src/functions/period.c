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
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "functions/period.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(chpg_period_kind);

/* The most bytes of an argument that a message shows. */
#define MAX_SHOWN_BYTES	60

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

/* Set the window between two times. */
static void
set_window(ChpgPeriod *period, TimestampTz from, TimestampTz to)
{
	const ChpgEndpoint *endpoint = period->endpoint;

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

/* Set the window to a period that ends with the last full minute. */
static void
set_interval(ChpgPeriod *period, Datum interval)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz to = now - ((now % USECS_PER_MINUTE) + USECS_PER_MINUTE) % USECS_PER_MINUTE;
	TimestampTz from = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
															   TimestampTzGetDatum(to), interval));

	if (from >= to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\" is not a positive interval", "period",
						shown(DatumGetCString(DirectFunctionCall1(interval_out, interval)))),
				 errhint("Give the time until now, such as interval '1 hour'.")));
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

/* Throw error 22023 for texts that say no window, with what is to be called. */
static void
refuse_texts(const char *problem, const char *call)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", problem),
			 errhint("Run: SELECT * FROM %s;", call)));
}

/* Take the text after a period or a range for the service. */
static void
set_service_after(ChpgPeriod *period, const char *function, const char *first,
				  char *second)
{
	TextKind	kind = kind_of(second);

	if (period->service != NULL)
		refuse_texts(psprintf("\"service\" is given twice, as \"%s\" and as \"%s\": name the arguments after it",
							  shown(second), shown(period->service)),
					 psprintf("%s(%s, %s, ... => %s)", function, literal(first),
							  literal(second), literal(period->service)));
	if (kind == TEXT_TIME || kind == TEXT_RANGE)
		refuse_texts(psprintf("the period \"%s\" ends now, or is a range: \"%s\" cannot be its end",
							  shown(first), shown(second)),
					 psprintf("%s(from_date => ..., to_date => %s)", function, literal(second)));
	chpg_check_service(second);
	period->service = second;
}

/* Throw the error of two texts of which the first is neither a time nor a period. */
static void
refuse_first(const char *function, const char *first, const char *second)
{
	if (second != NULL && kind_of(second) != TEXT_OTHER)
		refuse_texts(psprintf("\"%s\" is neither a time nor a period: give the period before the service",
							  shown(first)),
					 psprintf("%s(%s, %s)", function, literal(second), literal(first)));
	refuse_texts(psprintf("\"%s\" is neither a time nor a period: give a service as service => %s",
						  shown(first), literal(first)),
				 psprintf("%s(service => %s)", function, literal(first)));
}

/* Throw the error of a text after a time that is no time. */
static void
refuse_second(const char *function, const char *first, const char *second)
{
	if (kind_of(second) == TEXT_OTHER)
		refuse_texts(psprintf("\"%s\" is not a time: give a service as service => %s",
							  shown(second), literal(second)),
					 psprintf("%s(%s, service => %s)", function, literal(first), literal(second)));
	refuse_texts(psprintf("\"%s\" is not a time: give the end as to_date => ..., or a range",
						  shown(second)),
				 psprintf("%s('[%s, ...)')", function, shown(first)));
}

/* Set the window, and perhaps the service, by one or two texts. */
static void
set_texts(ChpgPeriod *period, const char *first, char *second)
{
	const char *function = get_func_name(period->function);

	switch (kind_of(first))
	{
		case TEXT_TIME:
			if (second != NULL && kind_of(second) != TEXT_TIME)
				refuse_second(function, first, second);
			set_window(period, DatumGetTimestampTz(convert(TIMESTAMPTZOID, first)),
					   second == NULL ? GetCurrentTransactionStartTimestamp() :
					   DatumGetTimestampTz(convert(TIMESTAMPTZOID, second)));
			return;
		case TEXT_PERIOD:
			set_interval(period, convert(INTERVALOID, first));
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
chpg_set_period(ChpgPeriod *period, Oid type, Datum first, const Datum *end)
{
	switch (type)
	{
		case TIMESTAMPTZOID:
			set_window(period, DatumGetTimestampTz(first),
					   end == NULL ? GetCurrentTransactionStartTimestamp() :
					   DatumGetTimestampTz(*end));
			break;
		case INTERVALOID:
			set_interval(period, first);
			break;
		case TSTZRANGEOID:
			set_range(period, first);
			break;
		case TEXTOID:
			set_texts(period, TextDatumGetCString(first),
					  end == NULL ? NULL : TextDatumGetCString(*end));
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
