/*-------------------------------------------------------------------------
 *
 * wait.c
 *		Waiting until a service has a state and values: chpg_wait(),
 *		chpg_wait_until().
 *
 * The API queues changes: for a while it shows "running" with the old values.  So
 * several polls in a row have to find the expected state and values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "engine/creations.h"
#include "engine/keys.h"
#include "engine/redact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/write.h"
#include "lib/stringinfo.h"
#include "net/http.h"
#include "net/clock.h"
#include "net/sockets.h"
#include "protocol/resources.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

/* Polls in a row that must match */
#define POLLS_NEEDED		3

/* Failed polls in a row that are tolerated */
#define FAILURES_TOLERATED	5

/* Time for the last poll, which starts at the timeout (microseconds) */
#define LAST_POLL_TIME		(2 * USECS_PER_SEC)

/* A poll that ends this close to the timeout is the last (microseconds) */
#define LEAST_PAUSE			INT64CONST(10000)

#define STATE_DELETED		"deleted"

/* Of a service that was created just now: the API returns 404 for some seconds */
#define STATE_NOT_SHOWN		"not shown by the API yet"

typedef struct Wait
{
	ChpgPrepared prepared;
	TupleDesc	tupdesc;
	const char *state;			/* expected */
	Datum		expected;		/* values, a jsonb object; 0: none */
	double		poll_interval;	/* seconds */
	int64		started;		/* on the clock of chpg_now() */
	int64		deadline;
	char	   *last_state;		/* reported last */
	char	   *found;			/* values that the last poll found instead of
								 * those expected, as JSON; or NULL */
	int			matches;		/* polls in a row that matched */
	int			failures;		/* failed polls in a row */
	MemoryContext context;		/* of what outlives a poll */
	MemoryContext poll_context;
} Wait;

PG_FUNCTION_INFO_V1(chpg_wait);
PG_FUNCTION_INFO_V1(chpg_wait_until);

/* Does the row type have an attribute of this name, of this length? */
static bool
has_attribute(TupleDesc tupdesc, const char *name, size_t length)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		const char *attribute = NameStr(TupleDescAttr(tupdesc, i)->attname);

		if (strlen(attribute) == length &&
			strncmp(attribute, name, length) == 0)
			return true;
	}
	return false;
}

/*
 * Throw error 22023 unless the expected values are an object of attributes of
 * a service: others would never match.
 */
static void
check_expected(const Wait *wait)
{
	Jsonb	   *expected = DatumGetJsonbP(wait->expected);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (!JB_ROOT_IS_OBJECT(expected))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", "expected"),
				 errhint("Specify an object such as {\"size\": \"r8gd.large\"}.")));
	it = JsonbIteratorInit(&expected->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY &&
			!has_attribute(wait->tupdesc, item.val.string.val,
						   item.val.string.len))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for \"%s\": a service has no attribute \"%s\"",
							"expected", chpg_clean_remote(pnstrdup(item.val.string.val,
																   item.val.string.len))),
					 errhint("List the attributes in psql by: \\d chpg_service_detail_row")));
	}
}

/*
 * Read and check the arguments, and locate the service.  False if there is
 * nothing to wait for: see chpg_begin_operation().
 */
static bool
begin_wait(FunctionCallInfo fcinfo, TupleDesc tupdesc, Wait *wait)
{
	ChpgInvocation *invocation = &wait->prepared.invocation;
	double		timeout;
	int			i;

	memset(wait, 0, sizeof(Wait));
	wait->tupdesc = tupdesc;
	wait->context = CurrentMemoryContext;
	wait->poll_context = AllocSetContextCreate(CurrentMemoryContext, "chpg poll",
											   ALLOCSET_DEFAULT_SIZES);
	if (!chpg_begin_operation(fcinfo, CHPG_GET_SERVICE, &wait->prepared))
		return false;
	invocation->connection->no_cache = true;
	i = chpg_find_argument(invocation, "state");
	if (i < 0)
		chpg_refuse_null("state");
	wait->state = TextDatumGetCString(PG_GETARG_DATUM(i));
	i = chpg_find_argument(invocation, "expected");
	wait->expected = i < 0 ? (Datum) 0 : PG_GETARG_DATUM(i);
	if (i >= 0)
		check_expected(wait);
	wait->poll_interval = chpg_interval_argument(invocation, "poll_interval");
	timeout = chpg_interval_argument(invocation, "timeout");
	if (timeout <= 0 || wait->poll_interval <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"timeout\" and \"poll_interval\" must be positive")));
	wait->started = chpg_now();
	wait->deadline = wait->started + (int64) (timeout * USECS_PER_SEC);
	chpg_locate_service(&wait->prepared);

	/* The next poll is the retry. */
	wait->prepared.request.no_retry = true;
	wait->prepared.request.deadline = wait->deadline;
	return true;
}

/* Print the expected values, for a message. */
static const char *
expected_text(const Wait *wait)
{
	Jsonb	   *expected = DatumGetJsonbP(wait->expected);

	return chpg_clean_remote(JsonbToCString(NULL, &expected->root,
											VARSIZE(expected)));
}

/*
 * Say what a service in this state still lacks, for a message; empty if
 * nothing.
 */
static const char *
describe_missing(const Wait *wait, const char *state)
{
	StringInfoData missing;

	initStringInfo(&missing);
	if (strcmp(state, wait->state) != 0)
		appendStringInfo(&missing, ", waiting for %s",
						 chpg_clean_remote(pstrdup(wait->state)));
	if (wait->expected != (Datum) 0)
		appendStringInfo(&missing, "%s%s",
						 missing.len > 0 ? " with " : ", waiting for ",
						 expected_text(wait));
	return missing.data;
}

/*
 * Report a state in a NOTICE, unless it was reported last, and discard cached
 * responses of the key.
 */
static void
report_state(Wait *wait, const char *state)
{
	if (wait->last_state != NULL && strcmp(wait->last_state, state) == 0)
		return;
	wait->last_state = MemoryContextStrdup(wait->context, state);

	/* Responses that others have cached are outdated. */
	chpg_key_changed(wait->prepared.invocation.connection);
	ereport(NOTICE,
			(errmsg("service \"%s\" is %s after %.0f s%s",
					wait->prepared.invocation.service, state,
					(double) (chpg_now() - wait->started) / USECS_PER_SEC,
					describe_missing(wait, state))));
}

/*
 * Remember, for the message at the timeout, what a service's row has for each
 * expected attribute, but for secrets that no table shows.
 */
static void
note_found(Wait *wait, Jsonb *row)
{
	const ChpgResource *shown = chpg_find_resource("service_details");
	Jsonb	   *expected = DatumGetJsonbP(wait->expected);
	JsonbIterator *it = JsonbIteratorInit(&expected->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	StringInfoData text;

	initStringInfo(&text);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		JsonbValue *value;
		Jsonb	   *found;
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(item.val.string.val, item.val.string.len);
		value = getKeyJsonValueFromContainer(&row->root, name, strlen(name), NULL);
		if (value == NULL || chpg_is_listed(shown->hidden, name))
			continue;
		found = JsonbValueToJsonb(value);
		appendStringInfo(&text, "%s\"%s\": %s", text.len > 0 ? ", " : "{", name,
						 JsonbToCString(NULL, &found->root, VARSIZE(found)));
	}
	if (text.len == 0)
		return;
	appendStringInfoChar(&text, '}');
	wait->found = MemoryContextStrdup(wait->context, chpg_clean_remote(text.data));
}

/* Does the row contain all expected values? Notes the others. */
static bool
is_as_expected(Wait *wait, HeapTuple tuple)
{
	Datum		row;

	if (wait->expected == (Datum) 0)
		return true;
	row = DirectFunctionCall1(jsonb_in,
							  CStringGetDatum(TextDatumGetCString(DirectFunctionCall1(row_to_json,
																					  HeapTupleGetDatum(tuple)))));
	if (DatumGetBool(DirectFunctionCall2(jsonb_contains, row, wait->expected)))
		return true;
	note_found(wait, DatumGetJsonbP(row));
	return false;
}

/* Return the state in a response, for messages and comparison. */
static const char *
response_state(const ChpgCall *call)
{
	ChpgJsonNode *state = chpg_json_get(chpg_call_result(call), "state");

	return chpg_json_kind(state) == CHPG_JSON_STRING ?
		chpg_clean_remote(chpg_json_text(state)) : "in an unknown state";
}

/*
 * Handle a failed poll; true if that ends the wait, as the 404 of a deleted
 * service does; a service created just now may not be shown yet.  Throws the call's
 * error unless the failure is transient.
 */
static bool
handle_failed_poll(Wait *wait, const ChpgCall *call)
{
	if (chpg_call_not_found(call) &&
		chpg_creation_is_recent(wait->prepared.invocation.connection,
								wait->prepared.request.service_id))
	{
		wait->matches = 0;
		report_state(wait, STATE_NOT_SHOWN);
		return false;
	}
	if (chpg_call_not_found(call) && strcmp(wait->state, STATE_DELETED) == 0)
	{
		wait->failures = 0;
		report_state(wait, STATE_DELETED);
		return ++wait->matches >= POLLS_NEEDED;
	}
	if (chpg_call_is_rate_limited(call))
		return false;			/* the timeout bounds it */
	if (!chpg_call_is_transient(call) || ++wait->failures > FAILURES_TOLERATED)
		chpg_call_report(call);
	wait->matches = 0;
	return false;
}

/*
 * Poll once.  True when the wait is over; *row is then the service's row, in
 * the wait's memory context, or unchanged for a deleted service.  Must be
 * called in poll_context; may leave another one current.
 */
static bool
poll_once(Wait *wait, HeapTuple *row)
{
	ChpgCall   *call = chpg_call_create(&wait->prepared.request);
	const char *state;
	HeapTuple	tuple;

	chpg_call_wait(call);
	if (chpg_call_failed(call))
		return handle_failed_poll(wait, call);
	wait->failures = 0;
	if (wait->found != NULL)
		pfree(wait->found);
	wait->found = NULL;
	state = response_state(call);
	report_state(wait, state);
	if (strcmp(state, wait->state) != 0)
	{
		wait->matches = 0;
		return false;
	}
	tuple = chpg_response_tuple(&wait->prepared.request, call, wait->tupdesc);
	wait->matches = is_as_expected(wait, tuple) ? wait->matches + 1 : 0;
	if (wait->matches < POLLS_NEEDED)
		return false;
	MemoryContextSwitchTo(wait->context);
	*row = heap_copytuple(tuple);
	return true;
}

/* Throw error 57014: the timeout has passed. */
static void
report_timeout(const Wait *wait)
{
	StringInfoData expected;

	initStringInfo(&expected);
	appendStringInfoString(&expected, chpg_clean_remote(pstrdup(wait->state)));
	if (wait->expected != (Datum) 0)
		appendStringInfo(&expected, " with %s", expected_text(wait));
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("service \"%s\" did not become %s within \"timeout\"",
					wait->prepared.invocation.service, expected.data),
			 errdetail("The state is %s%s%s. Matching polls in a row: %d of %d.",
					   wait->last_state ? wait->last_state : "unknown",
					   wait->found ? ", with " : "",
					   wait->found ? wait->found : "",
					   wait->matches, POLLS_NEEDED),
			 errhint("Wait again, or raise \"timeout\".")));
}

/*
 * Sleep until the next poll.  The last poll starts at the deadline, with time
 * of its own; after that one, throws error 57014.
 */
static void
sleep_between_polls(Wait *wait)
{
	int64		pause = (int64) (wait->poll_interval * USECS_PER_SEC);
	int64		now = chpg_now();
	int64		until = Min(now + pause, wait->deadline);

	if (now >= wait->deadline - LEAST_PAUSE)
		report_timeout(wait);
	if (until == wait->deadline)
		wait->prepared.request.deadline = until + LAST_POLL_TIME;
	chpg_http_sleep(until);
}

/*
 * Poll until the service matches; returns its row, or NULL once it is deleted.
 * Calls "between" before each pause, unless it is NULL.
 */
static HeapTuple
wait_for_service(Wait *wait, void (*between) (void))
{
	HeapTuple	row = NULL;

	for (;;)
	{
		MemoryContext caller = MemoryContextSwitchTo(wait->poll_context);
		bool		over = poll_once(wait, &row);

		MemoryContextSwitchTo(caller);
		MemoryContextReset(wait->poll_context);
		if (over)
			return row;
		if (between != NULL)
			between();
		sleep_between_polls(wait);
	}
}

/*
 * chpg_wait(service, state, timeout, poll_interval, expected)
 */
Datum
chpg_wait(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Wait		wait;
	HeapTuple	row;

	InitMaterializedSRF(fcinfo, MAT_SRF_BLESS);
	if (!begin_wait(fcinfo, rsinfo->setDesc, &wait))
		return (Datum) 0;
	row = wait_for_service(&wait, NULL);
	if (row != NULL)
		tuplestore_puttuple(rsinfo->setResult, row);
	return (Datum) 0;
}

/*
 * Find the row type of chpg_wait(), for the procedure, which returns no rows.
 */
static TupleDesc
service_row_type(Oid function)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum("chpg_service_detail_row"),
									   ObjectIdGetDatum(get_func_namespace(function)));

	if (!OidIsValid(type))
		elog(ERROR, "type chpg_service_detail_row does not exist");
	return lookup_rowtype_tupdesc_copy(type, -1);
}

/*
 * CALL chpg_wait_until(service, state, timeout, poll_interval, expected)
 *
 * Ends its transaction before each pause, so that no snapshot keeps VACUUM
 * from removing rows meanwhile.
 */
Datum
chpg_wait_until(PG_FUNCTION_ARGS)
{
	Wait		wait;

	chpg_check_nonatomic(fcinfo, "chpg_wait_until",
						 "Call it outside of a transaction block, or use chpg_wait().");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (!begin_wait(fcinfo, service_row_type(fcinfo->flinfo->fn_oid), &wait))
		chpg_refuse_null("service");
	(void) wait_for_service(&wait, SPI_commit);
	SPI_finish();
	PG_RETURN_VOID();
}
