/*-------------------------------------------------------------------------
 *
 * activity.c
 *		What backends do in chpg, how far they are, and what they wait for.
 *
 * Each backend keeps what it shows in "own", and copies it into its ChpgWaiter
 * whenever that changes: when it begins to wait, or to wait for something else, and
 * when a work advances.  A read whose responses are cached waits for nothing, and
 * copies nothing.
 *
 * Layout, locks, lifetime and what a crash leaves: see shared_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "engine/activity.h"
#include "engine/keys.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "net/http.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define ACTIVITY_COLUMNS	10

/* For this long (microseconds) a pause in a wait for the budget does not end it. */
#define SAME_WAIT			USECS_PER_SEC

/* Microseconds for which a session leaves the budget to others before it looks again */
#define LEAVE_TIME			INT64CONST(100000)

/* Clocks that differ by this much more (microseconds) have been set. */
#define CLOCK_SET			(USECS_PER_SEC / 2)

/* A later end (microseconds from now) is none. */
#define MAX_ESTIMATE		(INT64CONST(366) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(chpg_activity);
PG_FUNCTION_INFO_V1(chpg_progress);
PG_FUNCTION_INFO_V1(chpg_expect_end);
PG_FUNCTION_INFO_V1(chpg_leave_budget);

typedef struct Work
{
	const char *name;
	const char *unit;			/* of done and total */
} Work;

static const Work works[CHPG_NUM_WORKS] = {
	[CHPG_WORK_CAPTURE] = {"capture", "windows"},
	[CHPG_WORK_DELIVER] = {"deliver alerts", "alerts"},
	[CHPG_WORK_EXPORT] = {"export", "services"},
	[CHPG_WORK_IMPORT_READ] = {"import: read", "rows"},
	[CHPG_WORK_IMPORT_WRITE] = {"import: write", "windows"},
	[CHPG_WORK_SEAL] = {"seal", "windows"},
	[CHPG_WORK_UPGRADE] = {"upgrade", "windows"},
	[CHPG_WORK_WAIT] = {"wait for a service"},
	[CHPG_WORK_WATCH] = {"watch"}
};

/* What this backend shows; an operation beyond the works is a call of the API. */
static ChpgActivity own;

/* The nesting level of the transaction in which the operation began */
static int	own_level;

/* Counts operations, so that what ends one ends no later one. */
static uint64 own_number;

/* The wait that ended last */
static int	last_waiting_for;
static int64 last_waiting_since;
static int64 last_waited;

/* Ends the work that SQL began in a portal, if nothing else has, with the portal. */
typedef struct PortalWork
{
	MemoryContextCallback callback;
	uint64		number;
} PortalWork;

/*
 * What this backend does
 */

/*
 * Return the time of day at which clock.h's time was 0.  The result changes only when
 * one of the clocks is set: times that are computed from it do not jump.
 */
static TimestampTz
clock_origin(void)
{
	static TimestampTz origin = 0;
	TimestampTz now = GetCurrentTimestamp() - chpg_now();

	if (now > origin + CLOCK_SET || now < origin - CLOCK_SET)
		origin = now;
	return origin;
}

/* Let others see what this backend does. */
static void
publish(void)
{
	ChpgSharedState *shared = chpg_keys_get();

	own.clock_origin = clock_origin();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->waiters[chpg_process_number()].activity = own;
	LWLockRelease(&shared->lock);
}

/* End the operation, of whatever kind. */
static void
clear(void)
{
	if (own.operation == 0 && own.waiting_for == CHPG_WAIT_NOTHING)
		return;
	memset(&own, 0, sizeof(own));
	publish();
}

static void
clear_at_exit(int code, Datum arg)
{
	clear();
}

/*
 * An operation survives the commits of a procedure, which runs in a portal.  At any
 * other commit what is left is of a cursor that is held, whose portal remains.
 */
static void
clear_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT ||
		(event == XACT_EVENT_COMMIT && ActivePortal == NULL))
		clear();
}

/* An operation survives an error that is caught within it. */
static void
clear_at_subabort(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
				  void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB && own_level == level)
		own_level--;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	if (own_level >= level)
		clear();
	else
		chpg_activity_waited();
}

/* Note the beginning of an operation, which others do not see yet. */
static void
begin(int operation, int64 started)
{
	static bool prepared = false;

	if (!prepared)
	{
		before_shmem_exit(clear_at_exit, (Datum) 0);
		RegisterXactCallback(clear_at_end, NULL);
		RegisterSubXactCallback(clear_at_subabort, NULL);
		prepared = true;
	}
	own.operation = operation;
	own.pid = MyProcPid;
	own.role = MyProc->roleId;
	own.done = -1;
	own.total = -1;
	own.started = started;
	own.advanced = 0;
	own.expected_end = 0;
	own_level = GetCurrentTransactionNestLevel();
	own_number++;
}

bool
chpg_activity_begin(ChpgWork work)
{
	if (own.operation != 0)
		return false;
	begin(work, chpg_now());
	publish();
	return true;
}

void
chpg_activity_end(void)
{
	clear();
}

void
chpg_activity_call(const ChpgEndpoint *endpoint, const ChpgProgress *progress)
{
	if (own.operation != 0)
		return;
	begin(CHPG_NUM_WORKS + chpg_operation_number(endpoint),
		  progress->started > 0 ? progress->started : chpg_now());
	if (progress->total == 0)
		return;
	own.done = progress->done;
	own.total = progress->total;
	own.advanced = progress->advanced;
	own.expected_end = progress->expected_end;
}

/*
 * Since when the backend waits for this: polls do not interrupt the wait for a state,
 * nor a moment the wait for the budget.
 */
static int64
waiting_since(ChpgWaitReason reason)
{
	int64		now = chpg_now();

	if (reason == CHPG_WAIT_STATE && own.started > 0)
		return own.started;
	if (reason == CHPG_WAIT_BUDGET && last_waiting_for == CHPG_WAIT_BUDGET &&
		last_waited + SAME_WAIT > now)
		return last_waiting_since;
	return now;
}

void
chpg_activity_wait(int64 until, ChpgWaitReason reason)
{
	if (own.waiting_for != reason)
	{
		own.waiting_since = waiting_since(reason);
		own.waiting_for = reason;
		publish();
	}
	chpg_http_wait(until, reason);
}

void
chpg_activity_waited(void)
{
	if (own.waiting_for == CHPG_WAIT_NOTHING)
		return;
	last_waiting_for = own.waiting_for;
	last_waiting_since = own.waiting_since;
	last_waited = chpg_now();
	if (own.operation >= CHPG_NUM_WORKS)
		clear();
	else
	{
		own.waiting_for = CHPG_WAIT_NOTHING;
		publish();
	}
}

void
chpg_activity_sleep(int64 until, ChpgWaitReason reason)
{
	while (chpg_now() < until)
		chpg_activity_wait(until, reason);
	chpg_activity_waited();
}

/*
 * What SQL does
 */

static void
end_with_portal(void *arg)
{
	if (((PortalWork *) arg)->number == own_number)
		clear();
}

static void
begin_in_portal(int work)
{
	PortalWork *portal;

	(void) chpg_activity_begin(work);
	if (PortalContext == NULL)
		return;
	portal = MemoryContextAllocZero(PortalContext, sizeof(PortalWork));
	portal->callback.func = end_with_portal;
	portal->callback.arg = portal;
	portal->number = own_number;
	MemoryContextRegisterResetCallback(PortalContext, &portal->callback);
}

/* Return a work by its name.  Error 22023. */
static int
find_work(const char *name)
{
	for (int i = 1; i < CHPG_NUM_WORKS; i++)
	{
		if (strcmp(works[i].name, name) == 0)
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown operation of chpg")));
}

/*
 * _chpg_progress(operation, done, total)
 *
 * Shows that this much of the operation is done, which begins with the first call, and
 * ends with one whose "done" is null.
 */
Datum
chpg_progress(PG_FUNCTION_ARGS)
{
	int			work;

	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	work = find_work(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (own.operation == 0 && !PG_ARGISNULL(1))
		begin_in_portal(work);
	if (own.operation != work)
		PG_RETURN_VOID();
	if (PG_ARGISNULL(1))
		chpg_activity_end();
	else
	{
		if (PG_GETARG_INT64(1) > own.done)
			own.advanced = chpg_now();
		own.done = Max(PG_GETARG_INT64(1), 0);
		own.total = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT64(2);
		publish();
	}
	PG_RETURN_VOID();
}

/*
 * _chpg_expect_end(operation, seconds)
 *
 * Notes that the request budget makes the operation, if that shows, take this long.
 */
Datum
chpg_expect_end(PG_FUNCTION_ARGS)
{
	int			work = find_work(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	double		duration = PG_GETARG_FLOAT8(1) * USECS_PER_SEC;

	if (own.operation != work)
		PG_RETURN_VOID();
	own.expected_end = duration > 0 && duration < MAX_ESTIMATE ?
		chpg_now() + (int64) duration : 0;
	publish();
	PG_RETURN_VOID();
}

/* _chpg_leave_budget(): waits a moment, as one that leaves the budget to others */
Datum
chpg_leave_budget(PG_FUNCTION_ARGS)
{
	chpg_activity_sleep(chpg_now() + LEAVE_TIME, CHPG_WAIT_BUDGET);
	PG_RETURN_VOID();
}

/*
 * What all backends do
 */

/* What an operation is, in words; palloc'd or static. */
static const char *
describe_operation(int operation)
{
	const char *purpose;
	size_t		length;

	if (operation < CHPG_NUM_WORKS)
		return works[operation].name;
	operation -= CHPG_NUM_WORKS;
	if (operation == CHPG_NUM_OPERATIONS)
		return "chpg_request()";

	/* It completes "could not ... service": "read the logs of" */
	purpose = chpg_endpoints[operation].purpose;
	length = strlen(purpose);
	if (length > 3 && strcmp(purpose + length - 3, " of") == 0)
		return pnstrdup(purpose, length - 3);
	return strchr(purpose, ' ') != NULL ? purpose : psprintf("%s a service", purpose);
}

/*
 * When an operation ends, if it goes on as it went so far, and not before the budget
 * has granted its requests; 0: unknown.
 */
static int64
estimate_end(const ChpgActivity *activity, int64 now)
{
	double		left = (double) activity->total - activity->done;
	double		spent = activity->done > 0 ? activity->advanced - activity->started : 0;
	double		estimate = activity->expected_end;

	if (left <= 0 || (spent <= 0 && activity->expected_end <= now))
		return 0;
	if (spent > 0)
		estimate = Max(estimate, activity->advanced + spent / activity->done * left);
	if (estimate > (double) now + MAX_ESTIMATE)
		return 0;
	return Max((int64) estimate, now);
}

/* Copy what backends do, for which the lock must not be held for long; palloc'd. */
static ChpgActivity *
copy_activities(ChpgSharedState *shared)
{
	ChpgActivity *copies = palloc(shared->num_waiters * sizeof(ChpgActivity));

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->num_waiters; i++)
		copies[i] = shared->waiters[i].activity;
	LWLockRelease(&shared->lock);
	return copies;
}

/* Set a time, of clock.h, in a row. */
static void
set_time(Datum *value, bool *isnull, int64 time, const ChpgActivity *activity)
{
	*isnull = time == 0;
	if (!*isnull)
		*value = TimestampTzGetDatum(activity->clock_origin + time);
}

/*
 * Store a row of chpg_activity; if the session is not visible to the user, it has the
 * pid alone, and what pg_stat_activity has for a statement then.
 */
static void
put_activity(ReturnSetInfo *rsinfo, const ChpgActivity *activity, bool visible)
{
	static const char *const reasons[CHPG_NUM_WAIT_REASONS] = {
		[CHPG_WAIT_RESPONSE] = "API response",
		[CHPG_WAIT_BUDGET] = "request budget",
		[CHPG_WAIT_RATE_LIMIT] = "rate limit",
		[CHPG_WAIT_SHARED] = "another session",
		[CHPG_WAIT_RETRY] = "retry",
		[CHPG_WAIT_STATE] = "service state",
		[CHPG_WAIT_WEBHOOK] = "webhook response"
	};
	const char *unit = activity->operation < CHPG_NUM_WORKS ?
	works[activity->operation].unit : "requests";
	const char *reason = reasons[activity->waiting_for];
	Datum		values[ACTIVITY_COLUMNS] = {Int32GetDatum(activity->pid)};
	bool		nulls[ACTIVITY_COLUMNS];

	memset(nulls, !visible, sizeof(nulls));
	nulls[0] = nulls[1] = false;
	if (!visible)
		values[1] = CStringGetTextDatum("<insufficient privilege>");
	else
	{
		values[1] = CStringGetTextDatum(pgstat_get_backend_current_activity(activity->pid, false));
		values[2] = CStringGetTextDatum(describe_operation(activity->operation));
		nulls[3] = activity->done < 0 || unit == NULL;
		values[3] = Int64GetDatum(activity->done);
		nulls[4] = activity->total < 0;
		values[4] = Int64GetDatum(activity->total);
		nulls[5] = nulls[3];
		if (!nulls[5])
			values[5] = CStringGetTextDatum(unit);
		nulls[6] = reason == NULL;
		if (!nulls[6])
			values[6] = CStringGetTextDatum(reason);
		set_time(&values[7], &nulls[7], reason == NULL ? 0 : activity->waiting_since, activity);
		set_time(&values[8], &nulls[8], activity->started, activity);
		set_time(&values[9], &nulls[9], estimate_end(activity, chpg_now()), activity);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * chpg_activity()
 *
 * A row for each backend that does something in chpg.  Who sees what of it is as in
 * pg_stat_activity.  Issues a NOTICE where sessions share no memory.
 */
Datum
chpg_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgSharedState *shared = chpg_keys_get();
	bool		sees_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	ChpgActivity *copies = copy_activities(shared);

	InitMaterializedSRF(fcinfo, 0);
	if (!shared->is_shared && IsUnderPostmaster)
		ereport(NOTICE,
				(errmsg("other sessions are not shown: add chpg to \"shared_preload_libraries\""),
				 errhint("Before PostgreSQL 17, shared memory needs \"shared_preload_libraries\" in postgresql.conf, and a restart.")));
	for (int i = 0; i < shared->num_waiters; i++)
	{
		if (copies[i].operation != 0)
			put_activity(rsinfo, &copies[i],
						 sees_all || has_privs_of_role(GetUserId(), copies[i].role));
	}
	return (Datum) 0;
}
