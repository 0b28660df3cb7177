/*-------------------------------------------------------------------------
 *
 * functions.c
 *		The functions that read.
 *
 * A function's SQL declaration says the names of its arguments and the
 * attributes of its rows.  The arguments are those of the operation in
 * endpoints.c, and "service", "max_rows" and "server".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "connection.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "rows.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* A reading function in C, for an operation. */
#define CHPG_READER(name, operation) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		read_rows(fcinfo, &chpg_endpoints[operation]); \
		return (Datum) 0; \
	}

/* Names of the arguments of the function being called. */
static char **
argument_names(Oid function, int nargs)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	n = get_func_arg_info(tuple, &types, &names, &modes);
	ReleaseSysCache(tuple);
	if (names == NULL || n < nargs)
		elog(ERROR, "function %u has arguments without names", function);
	return names;
}

static const ChpgParameter *
find_parameter(const ChpgEndpoint *endpoint, const char *name)
{
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		if (strcmp(endpoint->parameters[i].name, name) == 0)
			return &endpoint->parameters[i];
	}
	return NULL;
}

static bool
is_required(const ChpgEndpoint *endpoint, const char *name)
{
	const ChpgParameter *parameter = find_parameter(endpoint, name);

	if (parameter != NULL)
		return parameter->required;
	return strcmp(name, "service") == 0 && !endpoint->fleet;
}

/*
 * NULL for a required argument: an error if that is what the user wrote, and
 * no rows if it comes from a row, as in a lateral join.
 */
static void
refuse_null(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (get_fn_expr_arg_stable(fcinfo->flinfo, i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

static void
set_argument(ChpgRequestedRows *wanted, char **server, const char *name,
			 Datum value)
{
	const ChpgParameter *parameter = find_parameter(wanted->endpoint, name);

	if (parameter != NULL)
		chpg_set_argument(&wanted->arguments, wanted->endpoint, parameter, value);
	else if (strcmp(name, "server") == 0)
		*server = TextDatumGetCString(value);
	else if (strcmp(name, "service") == 0)
	{
		wanted->service = TextDatumGetCString(value);
		chpg_check_service(wanted->service);
	}
	else if (strcmp(name, "max_rows") == 0)
	{
		wanted->max_rows = DatumGetInt64(value);
		if (wanted->max_rows < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for \"%s\": \"" INT64_FORMAT "\"",
							name, wanted->max_rows),
					 errhint("Give at least 1, or leave it out to get all rows.")));
	}
	else
		elog(ERROR, "unknown argument \"%s\"", name);
}

/* Everything that can be refused without a request is refused here. */
static bool
read_arguments(FunctionCallInfo fcinfo, ChpgRequestedRows *wanted)
{
	char	  **names = argument_names(fcinfo->flinfo->fn_oid, fcinfo->nargs);
	char	   *server = NULL;
	bool		complete = true;

	for (int i = 0; i < fcinfo->nargs; i++)
	{
		if (!PG_ARGISNULL(i))
			set_argument(wanted, &server, names[i], PG_GETARG_DATUM(i));
		else if (is_required(wanted->endpoint, names[i]))
		{
			refuse_null(fcinfo, i, names[i]);
			complete = false;
		}
	}
	chpg_check_arguments(&wanted->arguments, wanted->endpoint);
	wanted->connection = chpg_connection_get(server);
	return complete;
}

static void
read_rows(FunctionCallInfo fcinfo, const ChpgEndpoint *endpoint)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgRequestedRows wanted = {.endpoint = endpoint};
	MemoryContext row_context;
	ChpgStream *stream;
	Datum	   *values;
	bool	   *nulls;

	InitMaterializedSRF(fcinfo, 0);
	if (!read_arguments(fcinfo, &wanted))
		return;

	wanted.tupdesc = rsinfo->setDesc;
	values = palloc(wanted.tupdesc->natts * sizeof(Datum));
	nulls = palloc(wanted.tupdesc->natts * sizeof(bool));
	row_context = AllocSetContextCreate(CurrentMemoryContext, "chpg row",
										ALLOCSET_DEFAULT_SIZES);
	stream = chpg_stream_begin(&wanted);
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

CHPG_READER(chpg_organizations, CHPG_LIST_ORGANIZATIONS)
CHPG_READER(chpg_service, CHPG_GET_SERVICE)
CHPG_READER(chpg_services, CHPG_LIST_SERVICES)
CHPG_READER(chpg_slow_pattern, CHPG_GET_SLOW_PATTERN)
CHPG_READER(chpg_slow_pattern_executions, CHPG_LIST_SLOW_PATTERN_EXECUTIONS)
CHPG_READER(chpg_slow_patterns, CHPG_LIST_SLOW_PATTERNS)
