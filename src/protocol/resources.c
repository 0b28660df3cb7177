/*-------------------------------------------------------------------------
 *
 * resources.c
 *		The table of resources, which are what foreign tables show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "protocol/resources.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* The longest window of a table; a leap year */
#define MAX_WINDOW_DAYS	366

static const char *const none[] = {NULL};

static const char *const window[] = {"from_date", "to_date", NULL};

static const char *const window_and_bucket[] = {
	"from_date", "to_date", "bucket", NULL
};

/* Secrets are no columns: many roles read a table, and copy it. */
static const char *const secrets[] = {"password", "connection_string", NULL};

/* The list of services may omit storage_size and tags. */
static const char *const listed_details[] = {
	"id", "name", "state", "provider", "region", "postgres_version", "size",
	"ha_type", "is_primary", "created_at", NULL
};

const ChpgResource chpg_resources[] = {
	{
		.name = "organizations",
		.operation = CHPG_LIST_ORGANIZATIONS,
		.row_type = "chpg_organization_row",
		.parameters = none,
		.hidden = none,
		.rows = 1
	},
	{
		.name = "services",
		.operation = CHPG_LIST_SERVICES,
		.row_type = "chpg_service_row",
		.parameters = none,
		.hidden = none,
		.rows = 20
	},
	{
		.name = "service_details",
		.operation = CHPG_GET_SERVICE,
		.row_type = "chpg_service_detail_row",
		.parameters = none,
		.hidden = secrets,
		.listed = listed_details,
		.any_state = true,
		.rows = 1
	},
	{
		.name = "slow_patterns",
		.operation = CHPG_LIST_SLOW_PATTERNS,
		.row_type = "chpg_slow_pattern_row",
		.parameters = window,
		.hidden = none,
		.rows = 500
	},
	{
		.name = "slow_pattern_executions",
		.operation = CHPG_LIST_SLOW_PATTERN_EXECUTIONS,
		.row_type = "chpg_slow_pattern_execution_row",
		.parameters = none,
		.hidden = none,
		.source = "slow_patterns",
		.rows = 10
	},
	{
		.name = "metrics",
		.operation = CHPG_GET_METRICS,
		.row_type = "chpg_metric_row",
		.parameters = window_and_bucket,
		.hidden = none,
		.ranges = true,
		.rows = 5000
	},
	{
		.name = "prometheus",
		.operation = CHPG_GET_PROMETHEUS,
		.row_type = "chpg_prometheus_row",
		.parameters = none,
		.hidden = none,
		.rows = 50
	},
	{
		.name = "config",
		.operation = CHPG_GET_CONFIG,
		.row_type = "chpg_config_row",
		.parameters = none,
		.hidden = none,
		.rows = 10
	},
	{
		.name = "logs",
		.operation = CHPG_LIST_LOGS,
		.row_type = "chpg_log_row",
		.parameters = window,
		.hidden = none,
		.ranges = true,
		.rows = 2000
	},
	{
		.name = "backups",
		.operation = CHPG_LIST_BACKUPS,
		.row_type = "chpg_backup_row",
		.parameters = none,
		.hidden = none,
		.rows = 7
	},
	{NULL}
};

const ChpgResource *
chpg_find_resource(const char *name)
{
	for (const ChpgResource *resource = chpg_resources; resource->name != NULL;
		 resource++)
	{
		if (strcmp(resource->name, name) == 0)
			return resource;
	}
	return NULL;
}

char *
chpg_resource_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (const ChpgResource *resource = chpg_resources; resource->name != NULL;
		 resource++)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 resource->name);
	return names.data;
}

bool
chpg_has_window(const ChpgResource *resource)
{
	return chpg_is_listed(resource->parameters, "from_date");
}

Interval *
chpg_parse_window(const char *text)
{
	Interval   *window = DatumGetIntervalP(DirectFunctionCall3(interval_in,
															   CStringGetDatum(text),
															   ObjectIdGetDatum(InvalidOid),
															   Int32GetDatum(-1)));
	double		days = window->month * 30.0 + window->day +
	(double) window->time / USECS_PER_DAY;

	return days > 0 && days <= MAX_WINDOW_DAYS && window->month >= 0 &&
		window->day >= 0 && window->time >= 0 ? window : NULL;
}

Oid
chpg_parameter_type(const ChpgParameter *parameter)
{
	switch (parameter->kind)
	{
		case CHPG_WINDOW_START:
		case CHPG_WINDOW_END:
		case CHPG_TIME:
			return TIMESTAMPTZOID;
		case CHPG_BUCKET:
			return INTERVALOID;
		case CHPG_NUMBER:
			return INT8OID;
		default:
			return TEXTOID;
	}
}

const char *
chpg_parameter_comment(const ChpgParameter *parameter)
{
	switch (parameter->kind)
	{
		case CHPG_WINDOW_START:
			return "Start of the window, which it includes: give it as from_date = ... or from_date >= ...";
		case CHPG_WINDOW_END:
			return "End of the window, which it does not include: give it as to_date = ... or from_date < ...";
		case CHPG_BUCKET:
			return "Time between two points: give it as bucket = ..., or leave it to the API.";
		default:
			return "What is asked for: give it as a condition.";
	}
}

bool
chpg_is_listed(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* ORDER BY stands for the parameters of sorting, which are no columns. */
const ChpgParameter *
chpg_resource_parameter(const ChpgResource *resource, const char *column)
{
	const ChpgParameter *parameter = chpg_find_parameter(&chpg_endpoints[resource->operation],
														 column);

	if (parameter != NULL && (parameter->kind == CHPG_SORT_FIELD ||
							  parameter->kind == CHPG_SORT_ORDER))
		return NULL;
	return parameter;
}

List *
chpg_required_columns(const ChpgResource *resource)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[resource->operation];
	const ChpgParameter *parameters = endpoint->parameters;
	List	   *names = NIL;

	if (chpg_endpoint_is_per_service(endpoint) && !endpoint->fleet &&
		!resource->any_state)
		names = lappend(names, pstrdup(endpoint->service_attribute));
	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].required)
			names = lappend(names, pstrdup(parameters[i].name));
	}
	return names;
}

List *
chpg_name_alternatives(List *names, const char *quote)
{
	List	   *alternatives = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		char	   *name = lfirst(lc);

		if (strcmp(name, "query_id") == 0)
			name = psprintf("query_id%s or %squery_hex", quote, quote);
		alternatives = lappend(alternatives, name);
	}
	return alternatives;
}

char *
chpg_join_names(List *names, const char *before, const char *after,
				const char *between, const char *last)
{
	StringInfoData joined;
	ListCell   *lc;

	initStringInfo(&joined);
	foreach(lc, names)
	{
		if (joined.len > 0)
			appendStringInfoString(&joined, lnext(names, lc) ? between : last);
		appendStringInfo(&joined, "%s%s%s", before, (char *) lfirst(lc), after);
	}
	return joined.data;
}

bool
chpg_is_service_column(const ChpgResource *resource, const char *column)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[resource->operation];

	if (!chpg_endpoint_is_per_service(endpoint))
		return false;
	return strcmp(column, endpoint->service_attribute ?
				  endpoint->service_attribute : "service_id") == 0;
}

bool
chpg_is_service_name(const ChpgResource *resource, const char *column)
{
	return chpg_endpoints[resource->operation].names_services &&
		strcmp(column, "service_name") == 0;
}
