/*-------------------------------------------------------------------------
 *
 * wait.c
 *		Waiting until a service has a state and values: chpg_wait(),
 *		chpg_wait_until().
 *
 * The API queues changes: for a while it shows "running" with the old values.  So
 * several polls in a row have to find the expected state and values.  After a command,
 * the expected state is believed only once a poll has found another one, or the effect
 * of the command, or after chpg.command_lag with a WARNING: a command may have been
 * carried out between two polls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "engine/activity.h"
#include "engine/commands.h"
#include "engine/creations.h"
#include "engine/keys.h"
#include "engine/redact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/expected.h"
#include "functions/private_endpoint.h"
#include "functions/write.h"
#include "lib/stringinfo.h"
#include "net/http.h"
#include "net/clock.h"
#include "net/sockets.h"
#include "protocol/closest.h"
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

/* Row types of what is waited for */
#define SERVICE_ROW_TYPE	"chpg_service_detail_row"
#define ENDPOINT_ROW_TYPE	"chpg_private_endpoint_row"

/* In messages, where the response omits it */
#define STATE_UNKNOWN		"in an unknown state"

/* Of a service that was created just now: the API returns 404 for some seconds */
#define STATE_NOT_SHOWN		"not shown by the API yet"

typedef struct Wait
{
	ChpgPrepared prepared;
	TupleDesc	tupdesc;
	const char *state;			/* expected */
	Datum		expected;		/* values, a jsonb object; 0: none */
	TupleDesc	endpoint_tupdesc;	/* of the private endpoint's row; NULL: it
									 * is not expected */
	double		poll_interval;	/* seconds */
	int64		started;		/* on the clock of chpg_now() */
	int64		deadline;
	char	   *last_state;		/* reported last */
	char	   *last_endpoint_state;	/* the same of the private endpoint */
	char	   *found;			/* values that the last poll found for those
								 * expected, as JSON; or NULL */
	int			matches;		/* polls in a row that matched */
	int			failures;		/* failed polls in a row */
	ChpgCommand command;		/* the latest to the service */
	bool		doubted;		/* the last poll that found the expected state
								 * before chpg.command_lag may have found the
								 * state before the command */
	MemoryContext context;		/* of what outlives a poll */
	MemoryContext poll_context;
} Wait;

PG_FUNCTION_INFO_V1(chpg_wait);
PG_FUNCTION_INFO_V1(chpg_wait_until);

/* Find a row type of the extension, for what returns no rows of it, or NULL. */
static TupleDesc
find_row_type(Oid schema, const char *name)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum(name), ObjectIdGetDatum(schema));

	return OidIsValid(type) ? lookup_rowtype_tupdesc_copy(type, -1) : NULL;
}

/*
 * Check the expected values, and note whether they have a private endpoint, which
 * older definitions of the extension lack.  Error 22023.
 */
static void
check_expected(Wait *wait, Oid schema)
{
	TupleDesc	endpoint = find_row_type(schema, ENDPOINT_ROW_TYPE);

	chpg_check_expected(wait->expected, wait->tupdesc, endpoint);
	if (chpg_expected_endpoint(wait->expected) != NULL)
		wait->endpoint_tupdesc = endpoint;
}

/*
 * Issue a WARNING if the expected state looks like a wrong spelling of one that the API
 * documents.  No error: the API may have more states than it documents.
 */
static void
warn_of_spelling(const Wait *wait)
{
	static const char *const documented[] = {
		"creating", "restarting", "running", "replaying_wal", "restoring_backup",
		"finalizing_restore", "unavailable", "stopped", "deleting", STATE_DELETED
	};
	ChpgClosest closest;

	chpg_closest_begin(&closest, wait->state);
	for (int i = 0; i < lengthof(documented); i++)
	{
		if (strcmp(wait->state, documented[i]) == 0)
			return;
		chpg_closest_add(&closest, documented[i]);
	}
	if (closest.match != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the API documents no state \"%s\"%s",
						chpg_clean_remote(pstrdup(wait->state)),
						chpg_closest_question(&closest)),
				 errhint("Cancel the wait, which goes on until \"timeout\".")));
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
		check_expected(wait, get_func_namespace(fcinfo->flinfo->fn_oid));
	wait->poll_interval = chpg_interval_argument(invocation, "poll_interval");
	timeout = chpg_interval_argument(invocation, "timeout");
	if (timeout <= 0 || wait->poll_interval <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"timeout\" and \"poll_interval\" must be positive")));
	wait->started = chpg_now();
	wait->deadline = wait->started + (int64) (timeout * USECS_PER_SEC);
	chpg_locate_service(&wait->prepared);
	warn_of_spelling(wait);

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
 * Does a response have the value that an update asks for?  An empty one is none.
 */
static bool
shows_value(ChpgJsonNode *service, const char *key, const char *value)
{
	ChpgJsonNode *shown = chpg_json_get(service, key);

	return *value == '\0' ||
		(chpg_json_kind(shown) == CHPG_JSON_STRING &&
		 strcmp(chpg_json_text(shown), value) == 0);
}

/* Does a response show the effect of a command by more than the state? */
static bool
shows_effect(const ChpgCommand *command, ChpgJsonNode *service)
{
	switch (command->kind)
	{
		case CHPG_PROMOTION:
			return chpg_json_kind(chpg_json_get(service, "isPrimary")) == CHPG_JSON_BOOLEAN &&
				strcmp(chpg_json_text(chpg_json_get(service, "isPrimary")), "true") == 0;
		case CHPG_UPDATE:
			return (*command->size != '\0' || *command->ha_type != '\0') &&
				shows_value(service, "size", command->size) &&
				shows_value(service, "haType", command->ha_type);
		default:
			return false;
	}
}

/*
 * Note what a poll, which began at this time, has found.  True if that may be from
 * before a command, and so is not believed.
 */
static bool
is_doubtful(Wait *wait, const ChpgCall *call, const char *state, int64 began)
{
	const ChpgConnection *connection = wait->prepared.invocation.connection;
	ChpgCommand *command = &wait->command;

	if (!chpg_command_follow(connection, wait->prepared.request.service_id,
							 strcmp(state, STATE_UNKNOWN) != 0 ? state : NULL,
							 began, command))
		return false;
	if (!command->follows_pending && shows_effect(command, chpg_call_result(call)))
	{
		chpg_command_confirm(connection, command);
		command->begun = true;
	}
	if (chpg_command_has_begun(command, wait->state))
	{
		wait->doubted = false;
		return false;
	}
	if (chpg_command_is_old(command, began))
		return false;
	wait->doubted = true;
	return true;
}

/* Issue a WARNING: whether the command has been carried out is unknown. */
static void
warn_of_doubt(const Wait *wait)
{
	const char *noun = chpg_command_noun(&wait->command);
	const char *hint = NULL;

	switch (wait->command.kind)
	{
		case CHPG_RESTART:
		case CHPG_SWITCHOVER:
			hint = "Connect to the service to see when its server started: SELECT pg_postmaster_start_time();";
			break;
		case CHPG_PROMOTION:
			hint = "The attribute is_primary of chpg_service() tells.";
			break;
		case CHPG_UPDATE:
			hint = "Wait for the values with the argument \"expected\".";
			break;
		case CHPG_DELETION:
			hint = "Wait for the state \"deleted\".";
			break;
	}
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("no other state of service \"%s\" was seen since the %s %.0f s ago",
					wait->prepared.invocation.service, noun,
					(double) (chpg_now() - wait->command.sent) / USECS_PER_SEC),
			 errdetail("Either the %s was over between two polls, or it has not begun yet.", noun),
			 errhint("%s", hint)));
}

/*
 * Say what a service in this state still lacks, for a message; empty if
 * nothing.
 */
static const char *
describe_missing(const Wait *wait, const char *state, bool doubtful)
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
	if (doubtful && missing.len == 0)
		appendStringInfo(&missing, ", waiting for the %s to begin",
						 chpg_command_noun(&wait->command));
	return missing.data;
}

/*
 * Note a state in *last, the one that was reported last, and discard cached responses of
 * the key; false if the state is that one.
 */
static bool
note_state(const Wait *wait, char **last, const char *state)
{
	if (*last != NULL && strcmp(*last, state) == 0)
		return false;
	*last = MemoryContextStrdup(wait->context, state);

	/* Responses that others have cached are outdated. */
	chpg_key_changed(wait->prepared.invocation.connection);
	return true;
}

/*
 * Report a state in a NOTICE, unless it was reported last.  A doubtful one may be from
 * before a command.
 */
static void
report_state(Wait *wait, const char *state, bool doubtful)
{
	if (!note_state(wait, &wait->last_state, state))
		return;
	ereport(NOTICE,
			(errmsg("service \"%s\" is %s after %.0f s%s",
					wait->prepared.invocation.service, state,
					(double) (chpg_now() - wait->started) / USECS_PER_SEC,
					describe_missing(wait, state, doubtful))));
}

/* Convert a row to jsonb. */
static Datum
row_to_jsonb(HeapTuple tuple)
{
	char	   *json = TextDatumGetCString(DirectFunctionCall1(row_to_json,
															   HeapTupleGetDatum(tuple)));

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/* Remember what a poll has found, a JSON object, for the message at the timeout. */
static void
note_found(Wait *wait, char *found)
{
	if (wait->found != NULL)
		pfree(wait->found);
	wait->found = NULL;
	if (strcmp(found, "{}") != 0)
		wait->found = MemoryContextStrdup(wait->context, chpg_clean_remote(found));
}

/*
 * Does the row of a service contain all expected values?  Notes what it has for them,
 * but for secrets that no table shows.
 */
static bool
is_as_expected(Wait *wait, Datum row)
{
	note_found(wait, chpg_pick_values(DatumGetJsonbP(row), DatumGetJsonbP(wait->expected),
									  chpg_find_resource("service_details")->hidden));
	return DatumGetBool(DirectFunctionCall2(jsonb_contains, row, wait->expected));
}

/* Return the state in a response, for messages and comparison. */
static const char *
response_state(const ChpgCall *call)
{
	ChpgJsonNode *state = chpg_json_get(chpg_call_result(call), "state");

	return chpg_json_kind(state) == CHPG_JSON_STRING ?
		chpg_clean_remote(chpg_json_text(state)) : STATE_UNKNOWN;
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
		report_state(wait, STATE_NOT_SHOWN, false);
		return false;
	}
	if (chpg_call_not_found(call) && strcmp(wait->state, STATE_DELETED) == 0)
	{
		wait->failures = 0;
		report_state(wait, STATE_DELETED, false);
		return ++wait->matches >= POLLS_NEEDED;
	}
	if (chpg_call_is_rate_limited(call))
		return false;			/* the timeout bounds it */
	if (!chpg_call_is_transient(call) || ++wait->failures > FAILURES_TOLERATED)
		chpg_call_report(call);
	wait->matches = 0;
	return false;
}

/* Report the state of the private endpoint in a NOTICE, unless it was reported last. */
static void
report_endpoint_state(Wait *wait, const char *state)
{
	if (!note_state(wait, &wait->last_endpoint_state, state))
		return;
	ereport(NOTICE,
			(errmsg("private endpoint of service \"%s\" is %s after %.0f s",
					wait->prepared.invocation.service, state,
					(double) (chpg_now() - wait->started) / USECS_PER_SEC)));
}

/*
 * Return the expected attributes of the private endpoint in a response, as JSON; the
 * call may have failed because there is no endpoint, which is a state.
 */
static char *
endpoint_values(Wait *wait, const ChpgRequest *request, ChpgCall *call,
				const char *state)
{
	HeapTuple	tuple;

	if (chpg_call_failed(call))
		return psprintf("{\"state\": \"%s\"}", state);
	tuple = chpg_response_tuple(request, call, wait->endpoint_tupdesc);
	return chpg_pick_values(DatumGetJsonbP(row_to_jsonb(tuple)),
							chpg_expected_endpoint(wait->expected), NULL);
}

/*
 * Read the private endpoint, one request, and add its expected attributes to those of
 * the service.  Its 404 is a state if "deleted" is expected, or if the API may not show
 * the new endpoint yet, and else thrown.  False with the call of another failure.
 */
static bool
add_endpoint(Wait *wait, Datum *values, ChpgCall **failed)
{
	ChpgRequest request = chpg_read_request(&wait->prepared, CHPG_GET_PRIVATE_ENDPOINT);
	ChpgCall   *call = chpg_call_create(&request);
	const char *state;
	char	   *json;

	*failed = call;
	chpg_call_wait(call);
	if (!chpg_call_failed(call))
		state = response_state(call);
	else if (!chpg_call_not_found(call))
		return false;
	else if (chpg_private_endpoint_is_new(&request))
		state = STATE_NOT_SHOWN;
	else if (chpg_expects_endpoint_state(wait->expected, STATE_DELETED))
		state = STATE_DELETED;
	else
		chpg_call_report(call);
	report_endpoint_state(wait, state);
	json = psprintf("{\"" CHPG_EXPECTED_ENDPOINT "\": %s}", endpoint_values(wait, &request, call, state));
	*values = DirectFunctionCall2(jsonb_concat, *values,
								  DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	return true;
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
	int64		began = chpg_now();
	const char *state;
	HeapTuple	tuple;
	bool		matches = true;
	bool		doubtful;

	chpg_call_wait(call);
	if (chpg_call_failed(call))
		return handle_failed_poll(wait, call);
	state = response_state(call);
	doubtful = is_doubtful(wait, call, state, began);
	report_state(wait, state, doubtful);
	if (strcmp(state, wait->state) != 0)
	{
		note_found(wait, "{}");
		wait->failures = 0;
		wait->matches = 0;
		return false;
	}
	tuple = chpg_response_tuple(&wait->prepared.request, call, wait->tupdesc);
	if (wait->expected != (Datum) 0)
	{
		Datum		values = row_to_jsonb(tuple);

		if (wait->endpoint_tupdesc != NULL &&
			!add_endpoint(wait, &values, &call))
			return handle_failed_poll(wait, call);
		matches = is_as_expected(wait, values);
	}
	wait->failures = 0;
	wait->matches = matches && !doubtful ? wait->matches + 1 : 0;
	if (wait->matches < POLLS_NEEDED)
		return false;
	if (wait->doubted)
		warn_of_doubt(wait);
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
			 errdetail("The state is %s%s%s%s. Matching polls in a row: %d of %d.",
					   wait->last_state ? wait->last_state : "unknown",
					   wait->found ? ", with " : "",
					   wait->found ? wait->found : "",
					   wait->doubted ?
					   psprintf(", and no other was seen since the %s %.0f s ago",
								chpg_command_noun(&wait->command),
								(double) (chpg_now() - wait->command.sent) / USECS_PER_SEC) : "",
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
	chpg_activity_sleep(until, CHPG_WAIT_STATE);
}

/*
 * Poll until the service matches; returns its row, or NULL once it is deleted.
 * Calls "between" before each pause, unless it is NULL.
 */
static HeapTuple
wait_for_service(Wait *wait, void (*between) (void))
{
	HeapTuple	row = NULL;
	bool		is_shown = chpg_activity_begin(CHPG_WORK_WAIT);

	for (;;)
	{
		MemoryContext caller = MemoryContextSwitchTo(wait->poll_context);
		bool		over = poll_once(wait, &row);

		MemoryContextSwitchTo(caller);
		MemoryContextReset(wait->poll_context);
		if (over)
			break;
		if (between != NULL)
			between();
		sleep_between_polls(wait);
	}
	if (is_shown)
		chpg_activity_end();
	return row;
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
 * CALL chpg_wait_until(service, state, timeout, poll_interval, expected)
 *
 * Ends its transaction before each pause, so that no snapshot keeps VACUUM
 * from removing rows meanwhile.
 */
Datum
chpg_wait_until(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc = find_row_type(get_func_namespace(fcinfo->flinfo->fn_oid),
										SERVICE_ROW_TYPE);
	Wait		wait;

	if (tupdesc == NULL)
		elog(ERROR, "type " SERVICE_ROW_TYPE " does not exist");
	chpg_check_nonatomic(fcinfo, "chpg_wait_until",
						 "Call it outside of a transaction block, or use chpg_wait().");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (!begin_wait(fcinfo, tupdesc, &wait))
		chpg_refuse_null("service");
	(void) wait_for_service(&wait, SPI_commit);
	SPI_finish();
	PG_RETURN_VOID();
}
