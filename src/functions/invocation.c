/*-------------------------------------------------------------------------
 *
 * invocation.c
 *		How an SQL function was called: its arguments, connection and transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "engine/statement_cache.h"
#include "engine/utility.h"
#include "funcapi.h"
#include "functions/invocation.h"
#include "functions/period.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

/* The longest interval that a function accepts (seconds) */
#define MAX_INTERVAL		(30.0 * 86400)

/* Return the names of the function's arguments, by position, and their types, palloc'd. */
static char **
argument_names(Oid function, int nargs, Oid **types)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char	  **names;
	char	   *modes;
	int			n;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	n = get_func_arg_info(tuple, types, &names, &modes);
	ReleaseSysCache(tuple);
	if (names == NULL || n < nargs)
		elog(ERROR, "function %u has arguments without names", function);
	return names;
}

/* Must an argument of this name have a value? */
static bool
is_required(const ChpgEndpoint *endpoint, const char *name)
{
	const ChpgParameter *parameter = chpg_find_parameter(endpoint, name);

	if (parameter != NULL)
		return parameter->required;
	return strcmp(name, "service") == 0 && !endpoint->fleet;
}

void
chpg_refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", name)));
}

/*
 * Does a plan, or one below it, have a subquery that sets a parameter once, whatever the
 * rows are?
 */
static bool
sets_once(const PlannedStmt *statement, Plan *plan, int parameter)
{
	List	   *children = NIL;
	ListCell   *lc;

	if (plan == NULL)
		return false;
	foreach(lc, plan->initPlan)
	{
		SubPlan    *subplan = lfirst_node(SubPlan, lc);
		Plan	   *subquery = (Plan *) list_nth(statement->subplans, subplan->plan_id - 1);

		if (list_member_int(subplan->setParam, parameter))
			return bms_is_empty(subquery->extParam);
	}
	if (IsA(plan, Append))
		children = ((Append *) plan)->appendplans;
	else if (IsA(plan, MergeAppend))
		children = ((MergeAppend *) plan)->mergeplans;
	else if (IsA(plan, SubqueryScan))
		children = list_make1(((SubqueryScan *) plan)->subplan);
	foreach(lc, children)
	{
		if (sets_once(statement, (Plan *) lfirst(lc), parameter))
			return true;
	}
	return sets_once(statement, plan->lefttree, parameter) ||
		sets_once(statement, plan->righttree, parameter);
}

/* Is an expression of a statement (PlannedStmt) one over the rows of other tables? */
static bool
is_over_rows(Node *node, void *context)
{
	const PlannedStmt *statement = (const PlannedStmt *) context;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return true;
	if (!IsA(node, Param))
		return expression_tree_walker(node, is_over_rows, context);
	if (((Param *) node)->paramkind != PARAM_EXEC)
		return false;
	if (sets_once(statement, statement->planTree, ((Param *) node)->paramid))
		return false;
	foreach(lc, statement->subplans)
	{
		if (sets_once(statement, (Plan *) lfirst(lc), ((Param *) node)->paramid))
			return false;
	}
	return true;
}

/* Does a function's argument come from rows, as in a lateral join? */
static bool
is_from_rows(FunctionCallInfo fcinfo, int i)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Node	   *call = fcinfo->flinfo->fn_expr;
	PlannedStmt *statement;

	if (get_fn_expr_arg_stable(fcinfo->flinfo, i))
		return false;
	if (call == NULL || !IsA(call, FuncExpr) || rsinfo == NULL ||
		!IsA(rsinfo, ReturnSetInfo) || rsinfo->econtext->ecxt_estate == NULL)
		return true;
	statement = rsinfo->econtext->ecxt_estate->es_plannedstmt;
	return statement == NULL ||
		is_over_rows((Node *) list_nth(((FuncExpr *) call)->args, i), statement);
}

/*
 * Handle NULL for a required argument: error 22004, unless it comes from a row, as in a
 * lateral join, which is noted for a result without rows.
 */
static void
handle_null(ChpgInvocation *invocation, int i)
{
	if (!is_from_rows(invocation->fcinfo, i))
		chpg_refuse_null(invocation->names[i]);
	invocation->null_argument = invocation->names[i];
}

/*
 * Check an argument and set it: a parameter of the endpoint, or one that all
 * functions have.  The caller reads others by chpg_find_argument(). Error
 * 22023 if it is invalid.
 */
static void
set_argument(ChpgInvocation *invocation, char **server, const char *name, Oid type,
			 Datum value)
{
	const ChpgParameter *parameter = chpg_find_parameter(invocation->endpoint, name);

	if (parameter != NULL && parameter->kind == CHPG_BUCKET && type == TEXTOID)
		value = DirectFunctionCall3(interval_in, CStringGetDatum(TextDatumGetCString(value)),
									ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	if (parameter != NULL)
		chpg_set_argument(&invocation->arguments, invocation->endpoint, parameter, value);
	else if (strcmp(name, "server") == 0)
		*server = TextDatumGetCString(value);
	else if (strcmp(name, "service") == 0)
	{
		invocation->service = TextDatumGetCString(value);
		chpg_check_service(invocation->service);
	}
	else if (strcmp(name, "max_rows") == 0)
	{
		invocation->max_rows = DatumGetInt64(value);
		if (invocation->max_rows < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for \"%s\": \"" INT64_FORMAT "\": give at least 1, or omit it for all rows",
							name, invocation->max_rows)));
	}
}

/*
 * Read the window, in the form that the names and types of the arguments say.  An end
 * that is omitted, or written as NULL, is now; one that is NULL in a row gives no rows.
 */
static void
read_period(ChpgInvocation *invocation, const Oid *types)
{
	FunctionCallInfo fcinfo = invocation->fcinfo;
	ChpgPeriod	period = {
		.function = fcinfo->flinfo->fn_oid,
		.endpoint = invocation->endpoint,
		.arguments = &invocation->arguments,
		.service = invocation->service
	};
	int			first = -1;
	int			end = -1;

	for (int i = 0; i < fcinfo->nargs; i++)
	{
		if (strcmp(invocation->names[i], "to_date") == 0)
			end = i;
		else if (chpg_is_period_argument(invocation->names[i]))
			first = i;
	}
	if (first < 0)
		return;
	if (PG_ARGISNULL(first))
		handle_null(invocation, first);
	else if (end >= 0 && PG_ARGISNULL(end) && is_from_rows(fcinfo, end))
		handle_null(invocation, end);
	if (invocation->null_argument != NULL)
		return;
	chpg_set_period(&period, types[first], PG_GETARG_DATUM(first),
					end < 0 ? InvalidOid : types[end], end < 0 || PG_ARGISNULL(end) ? NULL : &PG_GETARG_DATUM(end));
	invocation->service = period.service;
}

void
chpg_read_invocation(FunctionCallInfo fcinfo, const ChpgEndpoint *endpoint,
					 ChpgInvocation *invocation)
{
	char	   *server = NULL;
	Oid		   *types;

	memset(invocation, 0, sizeof(ChpgInvocation));
	invocation->fcinfo = fcinfo;
	invocation->endpoint = endpoint;
	invocation->names = argument_names(fcinfo->flinfo->fn_oid, fcinfo->nargs, &types);
	for (int i = 0; i < fcinfo->nargs; i++)
	{
		if (chpg_is_period_argument(invocation->names[i]))
			continue;
		if (!PG_ARGISNULL(i))
			set_argument(invocation, &server, invocation->names[i], types[i],
						 PG_GETARG_DATUM(i));
		else if (is_required(endpoint, invocation->names[i]))
			handle_null(invocation, i);
	}
	read_period(invocation, types);
	chpg_check_arguments(&invocation->arguments, endpoint);
	invocation->connection = chpg_connection_get(server);
}

void
chpg_use_statement_cache(ChpgInvocation *invocation)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) invocation->fcinfo->resultinfo;
	EState	   *estate = rsinfo->econtext->ecxt_estate;

	if (estate != NULL)
		invocation->connection->statement_cache = chpg_statement_cache_get(estate->es_query_cxt);
}

int
chpg_find_argument(const ChpgInvocation *invocation, const char *name)
{
	FunctionCallInfo fcinfo = invocation->fcinfo;

	for (int i = 0; i < fcinfo->nargs; i++)
	{
		if (strcmp(invocation->names[i], name) == 0)
			return PG_ARGISNULL(i) ? -1 : i;
	}
	return -1;
}

double
chpg_interval_argument(const ChpgInvocation *invocation, const char *name)
{
	int			i = chpg_find_argument(invocation, name);
	FunctionCallInfo fcinfo = invocation->fcinfo;
	double		seconds;

	if (i < 0)
		return 0;
	seconds = DatumGetFloat8(DirectFunctionCall2(interval_part,
												 CStringGetTextDatum("epoch"),
												 PG_GETARG_DATUM(i)));
	if (seconds < 0 || seconds > MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", name),
				 errhint("Specify an interval between 0 and 30 days.")));
	return seconds;
}

void
chpg_check_nonatomic(FunctionCallInfo fcinfo, const char *procedure,
					 const char *hint)
{
	if (!chpg_is_nonatomic(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s() cannot run inside a transaction block", procedure),
				 errhint("%s", hint)));
}
