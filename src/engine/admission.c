/*-------------------------------------------------------------------------
 *
 * admission.c
 *		Whether a statement may send requests, and in time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "engine/admission.h"
#include "engine/budget.h"
#include "engine/keys.h"
#include "engine/response.h"
#include "engine/statement_cache.h"
#include "net/clock.h"
#include "settings.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

int64
chpg_admission_deadline(int64 waited_us, bool admitted, const char **setting)
{
	int64		now = chpg_now();
	int64		deadline = admitted ? CHPG_FOREVER :
	now + (int64) chpg_max_wait * 1000 - waited_us;

	*setting = "chpg.max_wait";
	if (get_timeout_active(STATEMENT_TIMEOUT))
	{
		int64		rest = get_timeout_finish_time(STATEMENT_TIMEOUT) -
		GetCurrentTimestamp();

		if (now + rest < deadline)
		{
			deadline = now + rest;
			*setting = "statement_timeout";
		}
	}
	return deadline;
}

bool
chpg_admission_is_answered(const ChpgRequest *request)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg request",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	const ChpgConnection *connection = request->connection;
	uint64		generation = chpg_key_generation(connection);
	ChpgReadId	id;
	bool		answered;

	chpg_read_id(connection, chpg_build_url(request, connection->api_url,
											chpg_build_path(request, connection->organization_id)),
				 &id);
	answered = !connection->no_cache &&
		((connection->statement_cache != NULL &&
		  chpg_statement_cache_has(connection->statement_cache, &id, generation)) ||
		 chpg_cache_has(&id, generation, (int64) chpg_cache_ttl * 1000));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return answered;
}

bool
chpg_admission_may_send(int64 requests)
{
	return requests <= chpg_max_requests - *chpg_statement_requests();
}

void
chpg_admission_report_too_many(const ChpgRequest *request, int64 requests)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("could not %s%s: " INT64_FORMAT " requests are needed, of which \"chpg.max_requests\" allows %d",
					request->endpoint->purpose, chpg_describe_service(request),
					requests, chpg_max_requests),
			 errdetail("None of these requests was sent."),
			 errhint("Ask for less: a shorter window, larger buckets, fewer services. Superusers may raise \"chpg.max_requests\".")));
}

/*
 * Can this number of requests be sent in time?  *done is when the last can, *available
 * how many can at once, and *setting what sets the deadline.
 */
static bool
is_in_time(const ChpgConnection *connection, int64 requests,
		   const ChpgQueueing * queueing, int64 *done, int *available,
		   const char **setting)
{
	int64		waited_us = chpg_statement_cache_waited(connection->statement_cache,
														queueing->waited_us);
	int64		deadline = chpg_admission_deadline(waited_us, queueing->admitted,
												   setting);

	/* What is done now is done in time, also if no time is left. */
	*done = chpg_now();
	deadline = Max(deadline, *done);
	*available = 0;
	if (requests > 0)
		*done = chpg_budget_estimate(connection, requests, queueing->id, deadline,
									 available);
	return *done <= deadline;
}

bool
chpg_admission_suffices(const ChpgConnection *connection, int64 requests,
						const ChpgQueueing * queueing, double *seconds)
{
	const char *setting;
	int			available;
	int64		done;
	bool		fits = is_in_time(connection, requests, queueing, &done,
								  &available, &setting);

	*seconds = (double) (done - chpg_now()) / USECS_PER_SEC;
	return fits;
}

const char *
chpg_admission_describe(int64 requests, int available, int64 done)
{
	int64		wait = Max(done - chpg_now(), 0);
	TimestampTz time;

	if (pg_add_s64_overflow(GetCurrentTimestamp(), wait, &time))
		time = DT_NOEND;
	return psprintf(INT64_FORMAT " %s needed, and " INT64_FORMAT " can be sent now; the last could be sent in %.1f s, at %s.",
					requests, requests == 1 ? "request is" : "requests are",
					Min(available, requests), (double) wait / USECS_PER_SEC,
					timestamptz_to_str(time));
}

const char *
chpg_admission_block_hint(const ChpgConnection *connection)
{
	return chpg_budget_is_blocked(connection) ?
		" The API refused the key (429): SELECT chpg_budget_reset() ends the block." : "";
}

void
chpg_admission_require(const ChpgRequest *request, int64 requests,
					   const ChpgQueueing * queueing, double *seconds)
{
	const char *setting;
	int			available;
	int64		done;

	if (!is_in_time(request->connection, requests, queueing, &done, &available,
					&setting))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not %s%s: the key's request budget does not allow it in time",
						request->endpoint->purpose, chpg_describe_service(request)),
				 errdetail_internal("%s", chpg_admission_describe(requests, available, done)),
				 errhint("Ask for less, or raise \"%s\".%s", setting,
						 chpg_admission_block_hint(request->connection))));
	*seconds = (double) (done - chpg_now()) / USECS_PER_SEC;
}
