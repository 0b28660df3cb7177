/*-------------------------------------------------------------------------
 *
 * arguments.c
 *		Values for an endpoint's parameters, checked before anything is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "connection.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* More than any name that PostgreSQL itself takes. */
#define MAX_TEXT_LENGTH		256

/* The API's limit for the name of a service. */
#define MAX_SERVICE_LENGTH	50

static void
refuse(const ChpgParameter *parameter, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", parameter->name, value),
			 errhint("%s", hint)));
}

/* Text that can be sent: short, and valid once it is UTF-8. */
static char *
text_argument(const ChpgParameter *parameter, Datum value)
{
	char	   *string = TextDatumGetCString(value);

	if (strlen(string) > MAX_TEXT_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value for \"%s\" is too long", parameter->name),
				 errdetail("It has %zu bytes, of at most %d.",
						   strlen(string), MAX_TEXT_LENGTH)));
	(void) pg_server_to_any(string, strlen(string), PG_UTF8);
	return string;
}

/* The API takes milliseconds, and UTC only. */
static char *
time_argument(const ChpgParameter *parameter, Datum value)
{
	TimestampTz time = DatumGetTimestampTz(value);
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(time))
		refuse(parameter, TIMESTAMP_IS_NOBEGIN(time) ? "-infinity" : "infinity",
			   "Give a finite time.");
	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		refuse(parameter, timestamptz_to_str(time),
			   "Give a time between the years 1 and 9999.");
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
					tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec / 1000);
}

static const char *
sort_field_argument(const ChpgEndpoint *endpoint,
					const ChpgParameter *parameter, const char *value)
{
	StringInfoData hint;

	initStringInfo(&hint);
	appendStringInfoString(&hint, "Sort by one of: ");
	for (const ChpgSortField *field = endpoint->sort_fields;
		 field->key != NULL; field++)
	{
		if (strcmp(value, field->key) == 0 ||
			strcmp(value, field->attribute) == 0)
			return field->key;
		appendStringInfo(&hint, "%s%s",
						 field == endpoint->sort_fields ? "" : ", ",
						 field->attribute);
	}
	appendStringInfoChar(&hint, '.');
	refuse(parameter, value, hint.data);
	return NULL;				/* keep compiler quiet */
}

static const char *
sort_order_argument(const ChpgParameter *parameter, const char *value)
{
	if (pg_strcasecmp(value, "asc") == 0)
		return "asc";
	if (pg_strcasecmp(value, "desc") != 0)
		refuse(parameter, value, "Give asc or desc.");
	return "desc";
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
		case CHPG_WINDOW_END:
		case CHPG_TIME:
			text = time_argument(parameter, value);
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

	/* The form that the API takes compares as the times do. */
	if (start != NULL && end != NULL && strcmp(start, end) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window from %s to %s is empty", start, end),
				 errhint("The window includes its start and not its end, both in whole milliseconds; give an end after the start.")));
}

void
chpg_check_service(const char *service)
{
	if (*service == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("service must not be empty"),
				 errhint("Give the id or the name of a service.")));
	if (pg_mbstrlen(service) > MAX_SERVICE_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("service \"%s...\" is too long",
						pnstrdup(service, pg_mbcliplen(service, strlen(service), MAX_SERVICE_LENGTH))),
				 errdetail("Names of services have at most %d characters.",
						   MAX_SERVICE_LENGTH)));
	for (const char *p = service; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7F)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("service contains a control character (code %d)",
							(unsigned char) *p),
					 errhint("Give the id or the name of a service.")));
	}
}

/* A UUID, or "pg" and 24 lower-case letters and digits. */
bool
chpg_is_service_id(const char *service)
{
	size_t		length = strlen(service);

	if (length == 26 && strncmp(service, "pg", 2) == 0)
		return strspn(service, "abcdefghijklmnopqrstuvwxyz0123456789") == 26;
	return chpg_is_uuid(service);
}
