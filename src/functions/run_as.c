/*-------------------------------------------------------------------------
 *
 * run_as.c
 *		Running a statement with the rights of another role.
 *
 * What a capture or a purge does with the tables of a history runs as the
 * owner of these tables, whoever calls it: code that somebody has planted
 * there gets no rights that the owner lacks.  It is the caller who asks the
 * API, with their own key, before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/typcache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(chpg_run_as);

/* The value of the first row's only column, of type jsonb, or NULL. */
static Datum
single_value(MemoryContext context, bool *isnull)
{
	MemoryContext previous;
	Datum		value;

	if (SPI_processed != 1 || SPI_tuptable == NULL ||
		SPI_tuptable->tupdesc->natts != 1 ||
		SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the statement must return one value of type jsonb")));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	if (*isnull)
		return (Datum) 0;
	previous = MemoryContextSwitchTo(context);
	value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(previous);
	return value;
}

/* A statement's arguments, as SPI takes them. */
typedef struct Arguments
{
	int			count;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;			/* 'n' or ' ' for each */
} Arguments;

/* The fields of a row. */
static Arguments
fields_of(HeapTupleHeader row)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row),
											  HeapTupleHeaderGetTypMod(row));
	Arguments	arguments = {.count = desc->natts};
	bool	   *isnull = palloc(desc->natts * sizeof(bool));
	HeapTupleData tuple = {.t_data = row};

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	arguments.types = palloc(desc->natts * sizeof(Oid));
	arguments.values = palloc(desc->natts * sizeof(Datum));
	arguments.nulls = palloc(desc->natts * sizeof(char));
	heap_deform_tuple(&tuple, desc, arguments.values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		arguments.types[i] = TupleDescAttr(desc, i)->atttypid;
		arguments.nulls[i] = isnull[i] ? 'n' : ' ';
	}
	ReleaseTupleDesc(desc);
	return arguments;
}

/*
 * _chpg_run_as(role, statement [, arguments])
 *
 * Run a statement, in which $1, $2, ... are the fields of a row, as a role that the
 * caller might become by SET ROLE, and return the one value of type jsonb that it
 * returns, in the caller's memory context.  Meanwhile the role cannot be changed, so
 * that no code gets back the caller's rights, search_path is pg_catalog, and what the
 * statement sets ends with it.  Error 42501: the caller may not become that role.
 * An error restores the caller as the (sub)transaction that it aborts does.
 */
Datum
chpg_run_as(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			role = PG_GETARG_OID(0);
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Arguments	arguments = {0};
	Oid			caller;
	int			security;
	int			nestlevel;
	Datum		result;
	bool		isnull;

	if (PG_NARGS() > 2)
		arguments = fields_of(PG_GETARG_HEAPTUPLEHEADER(2));
	if (!chpg_may_set_role(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run as role \"%s\"",
						GetUserNameFromId(role, false))));

	GetUserIdAndSecContext(&caller, &security);
	nestlevel = NewGUCNestLevel();
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (SPI_execute_with_args(statement, arguments.count, arguments.types,
							  arguments.values, arguments.nulls, false, 0) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the statement must be a SELECT")));
	result = single_value(context, &isnull);
	SPI_finish();
	AtEOXact_GUC(false, nestlevel);
	SetUserIdAndSecContext(caller, security);

	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
