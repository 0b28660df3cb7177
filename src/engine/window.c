/*-------------------------------------------------------------------------
 *
 * window.c
 *		A window of time that takes several requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "engine/window.h"
#include "utils/timestamp.h"

/*
 * Milliseconds that a window may begin too early without a word: "7 days ago" is
 * an hour earlier where clocks change.
 */
#define RETENTION_SLACK	(SECS_PER_HOUR * INT64CONST(1000))

static void
set_value(const ChpgEndpoint *endpoint, ChpgArguments *arguments,
		  ChpgParameterKind kind, const char *value)
{
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		if (endpoint->parameters[i].kind == kind)
			arguments->values[i] = value;
	}
}

void
chpg_end_window(const ChpgEndpoint *endpoint, ChpgArguments *arguments, int64 end)
{
	if (arguments->end <= end)
		return;
	arguments->end = end;
	set_value(endpoint, arguments, CHPG_WINDOW_END, chpg_time_text(end));
}

/* The bucket, in whole hours, with which the longest slice has not too many points. */
static int64
default_bucket(const ChpgEndpoint *endpoint)
{
	int64		bucket = endpoint->max_window / endpoint->max_points + 1;

	return (bucket / SECS_PER_HOUR + 1) * SECS_PER_HOUR;
}

void
chpg_cut_window(const ChpgEndpoint *endpoint, ChpgArguments *arguments,
				ChpgWindow *window)
{
	int64		length = arguments->end - arguments->start;
	int64		limit = endpoint->max_window;

	window->start = arguments->start;
	window->end = arguments->end;
	window->origin = arguments->start;
	window->step = length;
	window->count = 1;
	if (limit == 0)
		return;
	if (endpoint->max_points > 0 && arguments->bucket == 0 && length > limit * 1000)
	{
		arguments->bucket = default_bucket(endpoint);
		set_value(endpoint, arguments, CHPG_BUCKET,
				  psprintf(INT64_FORMAT, arguments->bucket));
	}
	if (arguments->bucket > 0)
	{
		int64		bucket = arguments->bucket * 1000;

		limit = Min(limit / arguments->bucket, endpoint->max_points) *
			arguments->bucket;
		window->origin -= (window->start % bucket + bucket) % bucket;
	}
	if (window->end - window->origin <= limit * 1000)
		return;
	window->step = limit * 1000;
	window->count = (window->end - window->origin + window->step - 1) / window->step;
}

ChpgArguments *
chpg_slice_arguments(const ChpgEndpoint *endpoint, const ChpgArguments *arguments,
					 const ChpgWindow *window, int64 slice)
{
	ChpgArguments *result = palloc(sizeof(ChpgArguments));
	int64		start = window->origin + slice * window->step;

	*result = *arguments;
	if (window->count == 1)
		return result;
	result->start = Max(start, window->start);
	result->end = Min(start + window->step, window->end);
	set_value(endpoint, result, CHPG_WINDOW_START, chpg_time_text(result->start));
	set_value(endpoint, result, CHPG_WINDOW_END, chpg_time_text(result->end));
	return result;
}

/* Do the arguments say when their window begins? */
static bool
has_window(const ChpgEndpoint *endpoint, const ChpgArguments *arguments)
{
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		if (endpoint->parameters[i].kind == CHPG_WINDOW_START)
			return arguments->values[i] != NULL;
	}
	return false;
}

void
chpg_warn_of_future(ChpgStatementCache *statement_cache)
{
	if (chpg_statement_cache_says_first(statement_cache, CHPG_WINDOW_IN_FUTURE))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the window begins in the future")));
}

void
chpg_check_window_times(const ChpgEndpoint *endpoint, const ChpgArguments *arguments,
						ChpgStatementCache *statement_cache)
{
	int64		now = (int64) (GetCurrentTimestamp() / 1000) + MILLISECONDS_TO_2000;
	int64		kept = endpoint->retention * SECS_PER_DAY * INT64CONST(1000);

	if (!has_window(endpoint, arguments))
		return;
	if (arguments->start > now)
		chpg_warn_of_future(statement_cache);
	if (kept > 0 && arguments->start < now - kept - RETENTION_SLACK &&
		chpg_statement_cache_says_first(statement_cache, CHPG_WINDOW_FORGOTTEN))
		ereport(NOTICE,
				(errmsg("the window begins before what the API keeps of query patterns, at most %d days",
						endpoint->retention)));
}
