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
