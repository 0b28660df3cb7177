/*-------------------------------------------------------------------------
 *
 * read.c
 *		The functions that read.
 *
 * A function's SQL declaration says the attributes of its rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/rows.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/invocation.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

/* A reading function in C, for an operation. */
#define CHPG_READER(name, operation) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		read_rows(fcinfo, &chpg_endpoints[operation]); \
		return (Datum) 0; \
	}

static void
read_rows(FunctionCallInfo fcinfo, const ChpgEndpoint *endpoint)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgInvocation invocation;
	ChpgReadSpec spec = {.endpoint = endpoint};
	MemoryContext row_context;
	ChpgStream *stream;
	Datum	   *values;
	bool	   *nulls;

	InitMaterializedSRF(fcinfo, 0);
	chpg_read_invocation(fcinfo, endpoint, &invocation);
	if (invocation.null_argument != NULL)
		return;

	chpg_use_memo(&invocation);
	spec.connection = invocation.connection;
	spec.arguments = invocation.arguments;
	spec.service = invocation.service;
	spec.max_rows = invocation.max_rows;
	spec.tupdesc = rsinfo->setDesc;
	values = palloc(spec.tupdesc->natts * sizeof(Datum));
	nulls = palloc(spec.tupdesc->natts * sizeof(bool));
	row_context = AllocSetContextCreate(CurrentMemoryContext, "chpg row",
										ALLOCSET_DEFAULT_SIZES);
	stream = chpg_stream_begin(&spec);
	for (;;)
	{
		MemoryContext caller = MemoryContextSwitchTo(row_context);
		bool		found;

		MemoryContextReset(row_context);
		found = chpg_stream_next(stream, values, nulls);
		MemoryContextSwitchTo(caller);
		if (!found)
			break;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	chpg_stream_end(stream);
	MemoryContextDelete(row_context);
}

CHPG_READER(chpg_config, CHPG_GET_CONFIG)
CHPG_READER(chpg_logs, CHPG_LIST_LOGS)
CHPG_READER(chpg_metrics, CHPG_GET_METRICS)
CHPG_READER(chpg_organizations, CHPG_LIST_ORGANIZATIONS)
CHPG_READER(chpg_service, CHPG_GET_SERVICE)
CHPG_READER(chpg_services, CHPG_LIST_SERVICES)
CHPG_READER(chpg_slow_pattern, CHPG_GET_SLOW_PATTERN)
CHPG_READER(chpg_slow_pattern_executions, CHPG_LIST_SLOW_PATTERN_EXECUTIONS)
CHPG_READER(chpg_slow_patterns, CHPG_LIST_SLOW_PATTERNS)
