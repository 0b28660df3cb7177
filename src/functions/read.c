/*-------------------------------------------------------------------------
 *
 * read.c
 *		The functions that read rows.
 *
 * Their SQL declarations name the attributes of the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/prometheus_rows.h"
#include "engine/rows.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/invocation.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

/* Define the reading function of an operation. */
#define CHPG_READER(name, operation) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		read_rows(fcinfo, &chpg_endpoints[operation]); \
		return (Datum) 0; \
	}

/* How many rows in sequence that are older than "since" end a list: order is not certain */
#define OLD_ROWS_TO_END		50

/* The rows that a function returns of those that the API has */
typedef struct Selection
{
	int			created_at;		/* index of the attribute, or -1: there is no
								 * "since" */
	TimestampTz since;
	int64		max_rows;		/* 0: all */
	int64		rows;			/* that were returned */
	int			old_rows;		/* in sequence, at the end of those seen */
} Selection;

/*
 * Read the function's argument "since".  With it, rows that are too old must not count for
 * max_rows, so that the stream returns all.
 */
static Selection
select_rows(const ChpgInvocation *invocation, TupleDesc tupdesc, ChpgReadSpec *spec)
{
	FunctionCallInfo fcinfo = invocation->fcinfo;
	int			since = chpg_find_argument(invocation, "since");
	Selection	selection = {.created_at = -1};

	if (since < 0)
		return selection;
	selection.created_at = SPI_fnumber(tupdesc, "created_at") - 1;
	selection.since = PG_GETARG_TIMESTAMPTZ(since);
	selection.max_rows = spec->max_rows;
	spec->max_rows = 0;
	return selection;
}

/* Is a row to be returned?  Not one that is older than "since", as far as that is known. */
static bool
is_selected(Selection *selection, const Datum *values, const bool *nulls)
{
	int			i = selection->created_at;

	if (i >= 0 && !nulls[i])
	{
		if (DatumGetTimestampTz(values[i]) < selection->since)
		{
			selection->old_rows++;
			return false;
		}
		selection->old_rows = 0;
	}
	selection->rows++;
	return true;
}

/* Need no further row be read?  The API returns the newest first, but for single rows. */
static bool
is_complete(const Selection *selection)
{
	return selection->old_rows >= OLD_ROWS_TO_END ||
		(selection->max_rows > 0 && selection->rows >= selection->max_rows);
}

/*
 * Return the rows of an endpoint as the function's result set.  A NULL that came from
 * a row, for a required argument, gives no rows.  Rows that come newest first end
 * after the argument "since", and no further page is requested.
 */
static void
read_rows(FunctionCallInfo fcinfo, const ChpgEndpoint *endpoint)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgInvocation invocation;
	ChpgReadSpec spec = {.endpoint = endpoint};
	Selection	selection;
	MemoryContext row_context;
	ChpgStream *stream;
	Datum	   *values;
	bool	   *nulls;

	InitMaterializedSRF(fcinfo, 0);
	chpg_read_invocation(fcinfo, endpoint, &invocation);
	if (invocation.null_argument != NULL)
		return;

	chpg_use_statement_cache(&invocation);
	spec.connection = invocation.connection;
	spec.arguments = invocation.arguments;
	spec.service = invocation.service;
	spec.max_rows = invocation.max_rows;
	spec.tupdesc = rsinfo->setDesc;
	selection = select_rows(&invocation, spec.tupdesc, &spec);
	values = palloc(spec.tupdesc->natts * sizeof(Datum));
	nulls = palloc(spec.tupdesc->natts * sizeof(bool));
	row_context = AllocSetContextCreate(CurrentMemoryContext, "chpg row",
										ALLOCSET_DEFAULT_SIZES);
	stream = chpg_stream_begin(&spec);
	while (!is_complete(&selection))
	{
		MemoryContext caller = MemoryContextSwitchTo(row_context);
		bool		found;

		MemoryContextReset(row_context);
		found = chpg_stream_next(stream, values, nulls);
		MemoryContextSwitchTo(caller);
		if (!found)
			break;
		if (is_selected(&selection, values, nulls))
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	chpg_stream_end(stream);
	MemoryContextDelete(row_context);
}

/*
 * chpg_prometheus(service)
 */
PG_FUNCTION_INFO_V1(chpg_prometheus);
Datum
chpg_prometheus(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgInvocation invocation;

	InitMaterializedSRF(fcinfo, 0);
	chpg_read_invocation(fcinfo, &chpg_endpoints[CHPG_GET_PROMETHEUS], &invocation);
	chpg_use_statement_cache(&invocation);
	chpg_prometheus_put(invocation.connection, invocation.service,
						rsinfo->setDesc, rsinfo->setResult);
	return (Datum) 0;
}

/*
 * _chpg_prometheus_of_fleet()
 */
PG_FUNCTION_INFO_V1(chpg_prometheus_of_fleet);
Datum
chpg_prometheus_of_fleet(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgInvocation invocation;

	InitMaterializedSRF(fcinfo, 0);
	chpg_read_invocation(fcinfo, &chpg_endpoints[CHPG_GET_ALL_PROMETHEUS], &invocation);
	chpg_use_statement_cache(&invocation);
	chpg_prometheus_put_fleet(invocation.connection, rsinfo->setDesc, rsinfo->setResult);
	return (Datum) 0;
}

/*
 * chpg_prometheus_text(service)
 */
PG_FUNCTION_INFO_V1(chpg_prometheus_text);
Datum
chpg_prometheus_text(PG_FUNCTION_ARGS)
{
	ChpgInvocation invocation;

	chpg_read_invocation(fcinfo, &chpg_endpoints[CHPG_GET_PROMETHEUS], &invocation);
	PG_RETURN_TEXT_P(cstring_to_text(chpg_prometheus_read_text(invocation.connection,
															   invocation.service)));
}

CHPG_READER(chpg_backups, CHPG_LIST_BACKUPS)
CHPG_READER(chpg_config, CHPG_GET_CONFIG)
CHPG_READER(chpg_logs, CHPG_LIST_LOGS)
CHPG_READER(chpg_metrics, CHPG_GET_METRICS)
CHPG_READER(chpg_notification_types, CHPG_LIST_NOTIFICATION_TYPES)
CHPG_READER(chpg_notifications, CHPG_LIST_NOTIFICATIONS)
CHPG_READER(chpg_organizations, CHPG_LIST_ORGANIZATIONS)
CHPG_READER(chpg_private_endpoint, CHPG_GET_PRIVATE_ENDPOINT)
CHPG_READER(chpg_quotas, CHPG_LIST_QUOTAS)
CHPG_READER(chpg_service, CHPG_GET_SERVICE)
CHPG_READER(chpg_services, CHPG_LIST_SERVICES)
CHPG_READER(chpg_slow_pattern, CHPG_GET_SLOW_PATTERN)
CHPG_READER(chpg_slow_pattern_executions, CHPG_LIST_SLOW_PATTERN_EXECUTIONS)
CHPG_READER(chpg_slow_patterns, CHPG_LIST_SLOW_PATTERNS)
CHPG_READER(chpg_whoami, CHPG_WHOAMI)
