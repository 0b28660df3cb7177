/*-------------------------------------------------------------------------
 *
 * history.c
 *		What the history's PL/pgSQL cannot do by itself.
 *
 * Captures and purges change tables on which others may have rights.  Two things
 * keep code that somebody has planted there from running with the rights of whoever
 * calls a capture:
 *
 * - _chpg_refuse_code() rejects a table with triggers, foreign keys or rules.  A role
 *	 with TRIGGER or REFERENCES on a table, such as by GRANT ALL, decides what
 *	 changes of it run, and with whose rights.  A query sees the catalogs as of its
 *	 transaction's snapshot, which may be older than a trigger; the executor, and this
 *	 function, see the relation cache.
 * - _chpg_run_as() runs the changes as the owner of the tables.  The caller sends the
 *	 API's requests before, with the caller's own key.
 *
 * _chpg_history_state() remembers that the checks before all that found nothing.
 * _chpg_check_commits() and _chpg_raise() stand in for what PL/pgSQL lacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "functions/invocation.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(chpg_check_commits);
PG_FUNCTION_INFO_V1(chpg_history_state);
PG_FUNCTION_INFO_V1(chpg_raise);
PG_FUNCTION_INFO_V1(chpg_refuse_code);
PG_FUNCTION_INFO_V1(chpg_run_as);
PG_FUNCTION_INFO_V1(chpg_self_of_other);

/*
 * Refusing planted code
 */

/*
 * Throw error 55000 for a trigger, which is internal if it is a foreign key's.
 */
static void
refuse_trigger(Relation relation, const Trigger *trigger)
{
	const char *table = RelationGetRelationName(relation);

	if (trigger->tgisinternal)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has a foreign key of table \"%s\", which chpg did not create",
						table, get_rel_name(trigger->tgconstrrelid)),
				 errhint("Drop the foreign key.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has a trigger \"%s\", which chpg did not create",
					table, trigger->tgname),
			 errhint("Run: DROP TRIGGER %s ON %s;", quote_identifier(trigger->tgname),
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
												table))));
}

/*
 * _chpg_refuse_code(relation)
 *
 * Throw error 55000 if a table, or one of its partitions, has a trigger, a foreign
 * key of either direction, or a rule.  The caller holds a lock on the tables that
 * excludes CREATE TRIGGER and the like.
 */
Datum
chpg_refuse_code(PG_FUNCTION_ARGS)
{
	List	   *ids = find_all_inheritors(PG_GETARG_OID(0), AccessShareLock, NULL);
	ListCell   *cell;

	foreach(cell, ids)
	{
		Relation	relation = table_open(lfirst_oid(cell), AccessShareLock);

		if (relation->trigdesc != NULL && relation->trigdesc->numtriggers > 0)
			refuse_trigger(relation, &relation->trigdesc->triggers[0]);
		if (relation->rd_rules != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" has a rule, which chpg did not create",
							RelationGetRelationName(relation))));
		table_close(relation, AccessShareLock);
	}
	PG_RETURN_VOID();
}

/*
 * Whether the history is safe to use
 *
 * A capture, a comparison or findings enter the history a dozen times, and looking
 * for planted code takes as long as reading a window.  That nothing was found holds
 * within a transaction, for these roles, until a catalog changes that the search looks
 * at.  The search itself, in PL/pgSQL, is _chpg_history_examine().
 */
typedef struct FoundSafe
{
	bool		valid;
	uint64		changes;		/* catalog_changes before the search */
	Oid			role;
	Oid			session_role;
	NameData	schema;
	NameData	owner;			/* empty for NULL */
} FoundSafe;

static FoundSafe found_safe;
static uint64 catalog_changes;

/* What was found in a transaction ends with it. */
static void
forget_at_end(XactEvent event, void *arg)
{
	found_safe.valid = false;
}

static void
note_relation_change(Datum arg, Oid relation)
{
	catalog_changes++;
}

static void
note_catalog_change(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_changes++;
}

/*
 * Take notice of changes from here on.  A change of a table's trigger, rule, policy,
 * default, constraint, index, privilege, owner, parent or statistics invalidates its
 * entry in the relation cache.
 */
static void
watch_catalogs(void)
{
	static const int watched[] = {
		AUTHMEMROLEMEM, AUTHOID, NAMESPACEOID, OPEROID, PROCOID, TYPEOID
	};
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(note_relation_change, (Datum) 0);
	for (int i = 0; i < lengthof(watched); i++)
		CacheRegisterSyscacheCallback(watched[i], note_catalog_change, (Datum) 0);
	RegisterXactCallback(forget_at_end, NULL);
	watching = true;
}

/*
 * Run a query of the extension's schema, whose name the format takes, within SPI.
 * Return whether it has a row.  It gets a snapshot of its own, as the calling query's
 * may be older than the changes that were taken notice of.
 */
static bool
query_extension(FunctionCallInfo fcinfo, const char *format)
{
	char	   *schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	char	   *query = psprintf(format, quote_identifier(schema));

	if (SPI_execute(query, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not query the history");
	return SPI_processed > 0;
}

/* Copy a column of type name of the row that was read; NULL becomes empty. */
static void
copy_name(NameData *target, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
									  &isnull);

	namestrcpy(target, isnull ? "" : NameStr(*DatumGetName(value)));
}

/*
 * _chpg_history_state()
 *
 * Return the row of _chpg_history_examine(), or none without a history.  The search is
 * left out if it found nothing before in this transaction, by the same roles, and no
 * catalog has changed since.
 */
Datum
chpg_history_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FoundSafe	now = {0};
	Datum		values[3] = {0};
	bool		nulls[3] = {false, true, true};

	InitMaterializedSRF(fcinfo, 0);
	watch_catalogs();
	AcceptInvalidationMessages();
	SPI_connect();
	if (query_extension(fcinfo, "SELECT schema_name, owner FROM %s.chpg_history_schema"))
	{
		now.changes = catalog_changes;
		now.role = GetUserId();
		now.session_role = GetSessionUserId();
		copy_name(&now.schema, 1);
		copy_name(&now.owner, 2);
		if (found_safe.valid && memcmp(&found_safe.changes, &now.changes,
									   sizeof(FoundSafe) - offsetof(FoundSafe, changes)) == 0)
			values[0] = NameGetDatum(&now.schema);
		else if (query_extension(fcinfo, "SELECT * FROM %s._chpg_history_examine()"))
			for (int i = 0; i < lengthof(values); i++)
				values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										  i + 1, &nulls[i]);
	}
	if (values[0] != (Datum) 0)
	{
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		now.valid = nulls[1];
		found_safe = now;
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * Running as the owner
 */

/*
 * Return the value of the only column of the only row, in this memory context.
 * Error 22023 unless it is of type jsonb.
 */
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
				 errmsg("statement must return one value of type jsonb")));
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

/* Return the fields of a row as arguments, palloc'd. */
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
 * Run a statement as a role, and return the one value of type jsonb that it returns, in
 * the caller's memory context.  Meanwhile the role cannot be changed, so that no code
 * gets back the caller's rights, search_path is pg_catalog, and what the statement sets
 * ends with it.  An error restores the caller as the (sub)transaction that it aborts does.
 */
static Datum
run_as(Oid role, const char *statement, const Arguments *arguments, bool *isnull)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			caller;
	int			security;
	int			nestlevel;
	Datum		result;

	GetUserIdAndSecContext(&caller, &security);
	nestlevel = NewGUCNestLevel();
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (SPI_execute_with_args(statement, arguments->count, arguments->types,
							  arguments->values, arguments->nulls, false, 0) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("statement must be a SELECT")));
	result = single_value(context, isnull);
	SPI_finish();
	AtEOXact_GUC(false, nestlevel);
	SetUserIdAndSecContext(caller, security);
	return result;
}

/*
 * _chpg_run_as(role, statement, arguments)
 *
 * Run a statement, in which $1, $2, ... are the fields of a row, as a role that the
 * caller might become by SET ROLE.  Error 42501: the caller may not become that role.
 */
Datum
chpg_run_as(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Arguments	arguments = fields_of(PG_GETARG_HEAPTUPLEHEADER(2));
	Datum		result;
	bool		isnull;

	if (!chpg_may_set_role(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run as role \"%s\"",
						GetUserNameFromId(role, false))));
	result = run_as(role, statement, &arguments, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * _chpg_self_of_other()
 *
 * Return _chpg_self_history() of a history that belongs to another role, run as that role;
 * NULL unless the caller may read all of the history.  The caller chooses nothing of
 * what is run, and what the owner has planted has the owner's rights.
 */
Datum
chpg_self_of_other(PG_FUNCTION_ARGS)
{
	char	   *schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	Arguments	arguments = {0};
	Datum		result;
	Oid			owner;
	bool		isnull = true;

	SPI_connect();
	owner = query_extension(fcinfo, "SELECT %s._chpg_readers_owner()") ?
		DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) :
		InvalidOid;
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	result = run_as(owner, psprintf("SELECT %1$s._chpg_self_history(h.schema_name)"
									" FROM %1$s.chpg_history_schema h", quote_identifier(schema)),
					&arguments, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * What PL/pgSQL lacks
 */

/* Return the text of an argument, palloc'd, or NULL. */
static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/*
 * CALL _chpg_check_commits(procedure, example)
 *
 * Throw error 25001 unless the procedure may end its transaction; the hint has a command that
 * calls it.  A procedure in PL/pgSQL notices only when it does so.
 */
Datum
chpg_check_commits(PG_FUNCTION_ARGS)
{
	const char *procedure = text_argument(fcinfo, 0);
	const char *example = text_argument(fcinfo, 1);

	chpg_check_nonatomic(fcinfo, procedure != NULL ? procedure : "",
						 psprintf("Call it outside of a transaction block, as in: %s",
								  example != NULL ? example : "CALL"));
	PG_RETURN_VOID();
}

/*
 * _chpg_raise(state, message, detail, hint, context)
 *
 * Raise an error that PL/pgSQL caught.  Its RAISE takes no null for what an error
 * lacks, and no CONTEXT.
 */
Datum
chpg_raise(PG_FUNCTION_ARGS)
{
	char	   *state = text_argument(fcinfo, 0);
	char	   *message = text_argument(fcinfo, 1);
	char	   *detail = text_argument(fcinfo, 2);
	char	   *hint = text_argument(fcinfo, 3);
	char	   *context = text_argument(fcinfo, 4);
	int			code = ERRCODE_INTERNAL_ERROR;

	if (state != NULL && strlen(state) == 5 &&
		strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
		code = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
	ereport(ERROR,
			(errcode(code),
			 errmsg_internal("%s", message ? message : "unknown error"),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 context ? errcontext("%s", context) : 0));
	PG_RETURN_VOID();
}
