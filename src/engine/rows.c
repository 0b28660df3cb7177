/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Many calls as one stream of rows: which services, which pages, how
 *		many at once.
 *
 * Several services are read at a time.  Rows come in the order in which the
 * answers arrive; the rows of one answer are decoded while others travel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "engine/budget.h"
#include "engine/call.h"
#include "engine/keys.h"
#include "engine/names.h"
#include "engine/page_dedup.h"
#include "engine/rows.h"
#include "engine/services.h"
#include "engine/statement_cache.h"
#include "engine/window.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Seconds of waiting that are worth a NOTICE beforehand. */
#define NOTICE_SECONDS	1.0

/* A multiple of the expected time that is worth another NOTICE. */
#define NOTICE_DELAY	1.25

/* The most requests of which it is worth looking whether they are answered already. */
#define MAX_LOOKED_UP	1000

/* A service, or the organization, that is read. */
typedef struct Target
{
	ChpgService *service;		/* NULL if it concerns no service */
	ChpgArguments *arguments;	/* for the whole window */
	bool		named;			/* its name is there, or cannot be found */
	bool		failed;
} Target;

/* A part of what is read of a target, page by page. */
typedef struct PageReader
{
	Target	   *target;
	int64		slice;			/* of the window */
	ChpgArguments *arguments;	/* for that slice */
	ChpgCall   *call;			/* for the page under way */
	int			page;
	int			limit;			/* rows requested for this page; 0: no pages */
	int64		offset;			/* of this page */
	char	   *cursor;			/* of this page; NULL: the first one, or there
								 * are offsets */
	char	   *next_cursor;	/* of the page after it, or NULL */
	int			page_rows;		/* rows of this page so far */
	uint64		page_hash;		/* of all rows of this page, or 0 */
	uint64		last_hash;		/* of the page before */
	int64		total_rows;		/* rows returned */
	ChpgPageDedup *dedup;		/* rows, if there may be several pages; or
								 * cursors */
	bool	   *repeated;		/* for each row of this page, or NULL */
	int			num_repeated;
} PageReader;

struct ChpgStream
{
	MemoryContext context;
	ChpgReadSpec spec;
	ChpgDecoder *decoder;
	bool		started;
	bool		announced;		/* that it takes long */
	List	   *targets;
	ChpgWindow	window;
	int			next_target;	/* whose readers are not made yet, ... */
	int64		next_slice;		/* ... from this slice on */
	bool		backwards;		/* the last slice comes first */
	int			time_attribute; /* by which rows are cut, or -1 */
	int			name_attribute; /* for the name of the service, or -1 */
	List	   *waiting;		/* readers whose next page is not requested */
	List	   *active;			/* readers with a call under way */
	PageReader *current;		/* whose answer is being decoded */
	ChpgQueueing queueing;
	ChpgReadId	id;				/* of all its requests */
	int64		admitted_at;	/* when it was found that all can be sent */
	int64		expected_end;	/* when they will have been, as said last */
	int			num_failed;		/* services that vanished, or failed */
	ChpgCall   *failed;			/* the call that found the first of them */
};

ChpgStream *
chpg_stream_begin(const ChpgReadSpec *spec)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg stream",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ChpgStream *stream = palloc0(sizeof(ChpgStream));

	stream->context = context;
	stream->spec = *spec;
	stream->decoder = chpg_decoder_create(spec->tupdesc, spec->endpoint->rows,
										  spec->endpoint->attributes);
	MemoryContextSwitchTo(caller);
	return stream;
}

void
chpg_stream_end(ChpgStream *stream)
{
	MemoryContextDelete(stream->context);
}

int
chpg_stream_targets(const ChpgStream *stream)
{
	return list_length(stream->targets);
}

static void
add_target(ChpgStream *stream, ChpgService *service, ChpgArguments *arguments)
{
	Target	   *target = palloc0(sizeof(Target));

	target->service = service;
	target->arguments = arguments;
	stream->targets = lappend(stream->targets, target);
}

static void
add_targets(ChpgStream *stream, ChpgService *service)
{
	ListCell   *lc;

	if (stream->spec.alternatives == NIL)
		add_target(stream, service, &stream->spec.arguments);
	foreach(lc, stream->spec.alternatives)
		add_target(stream, service, (ChpgArguments *) lfirst(lc));
}

/* Return the name of a service that a list has, or NULL. */
static char *
listed_name(List *services, const char *id)
{
	ListCell   *lc;

	foreach(lc, services)
	{
		const ChpgService *service = (const ChpgService *) lfirst(lc);

		if (strcmp(service->id, id) == 0)
			return service->name;
	}
	return NULL;
}

static bool
is_one_of(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp((const char *) lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/*
 * Return those of the services that have one of the spec's names.  The names of services
 * that are given by id are those that are kept; where none is, the list is read, whose
 * failure is an error: no rows would be wrong.
 */
static List *
services_with_names(const ChpgReadSpec *spec, List *services)
{
	List	   *found = NIL;
	List	   *listed = NIL;
	ListCell   *lc;

	foreach(lc, services)
	{
		ChpgService *service = (ChpgService *) lfirst(lc);

		if (service->name == NULL)
			service->name = chpg_name_of_service(spec->connection, service->id);
		if (service->name == NULL)
		{
			if (listed == NIL)
				listed = chpg_list_services(spec->connection);
			service->name = listed_name(listed, service->id);
		}
		if (service->name != NULL && is_one_of(spec->service_names, service->name))
			found = lappend(found, service);
	}
	return found;
}

static List *
list_services(const ChpgReadSpec *spec)
{
	if (spec->by_id)
		return chpg_services_with_ids(spec->connection, spec->service_ids,
									  !spec->one_of_many);
	if (spec->any_state)
		return chpg_list_services(spec->connection);
	return chpg_find_services(spec->connection, spec->service);
}

static List *
services_to_read(const ChpgReadSpec *spec)
{
	List	   *services = list_services(spec);

	return spec->service_names == NIL ? services : services_with_names(spec, services);
}

static void
refuse_number(const ChpgStream *stream, int64 requests)
{
	ChpgRequest request = {
		.connection = stream->spec.connection,
		.endpoint = stream->spec.endpoint,
		.arguments = &stream->spec.arguments
	};

	chpg_admission_report_too_many(&request, requests);
}

/*
 * Throw error 54000 if these targets take more requests than a statement may send,
 * as far as that is known before any is sent.
 */
static void
check_number(const ChpgStream *stream, int64 targets)
{
	int64		each = stream->spec.first_page > 0 ? 1 : stream->window.count;
	int64		requests;

	/* With a first page, what comes after it may never be needed. */
	if (pg_mul_s64_overflow(targets, each, &requests))
		requests = PG_INT64_MAX;
	if (requests > chpg_max_requests)
		refuse_number(stream, requests);
}

/* Find what to read: discovers the organization, and lists the services if need be. */
static void
find_targets(ChpgStream *stream)
{
	ChpgReadSpec *spec = &stream->spec;
	int64		variants = Max(list_length(spec->alternatives), 1);
	List	   *services;
	ListCell   *lc;

	check_number(stream, variants);
	if (strstr(spec->endpoint->path, "{organization_id}") != NULL)
		chpg_discover_organization(spec->connection);
	if (!chpg_endpoint_is_per_service(spec->endpoint))
	{
		add_targets(stream, NULL);
		return;
	}
	services = services_to_read(spec);
	check_number(stream, list_length(services) * variants);
	foreach(lc, services)
		add_targets(stream, (ChpgService *) lfirst(lc));
}

/*
 * Choose the order of rows that are in order of time.  Lines that arrive meanwhile
 * shift the pages, unless the oldest lines come first.  If only the newest lines are
 * wanted, the window ends now.
 */
static void
choose_order(ChpgStream *stream)
{
	ChpgReadSpec *spec = &stream->spec;
	const char **order = chpg_argument(&spec->arguments, spec->endpoint,
									   "sort_order");
	int64		now = (int64) (GetCurrentTimestamp() / 1000) + MILLISECONDS_TO_2000;
	ListCell   *lc;

	if (spec->max_rows == 0)
		*order = "asc";
	else if (*order == NULL)
		*order = "desc";
	foreach(lc, spec->alternatives)
		* chpg_argument(lfirst(lc), spec->endpoint, "sort_order") = *order;
	stream->backwards = strcmp(*order, "desc") == 0;
	if (stream->backwards && spec->arguments.start < now)
		chpg_end_window(spec->endpoint, &spec->arguments, now);
}

/* The index of an attribute of this name and type that is to be read, or -1. */
static int
find_attribute(TupleDesc tupdesc, const char *name, Oid type)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);

		if (!attribute->attisdropped && attribute->atttypid == type &&
			strcmp(NameStr(attribute->attname), name) == 0)
			return i;
	}
	return -1;
}

/*
 * What there is to read
 */

/* Slices that the same reader still has before it. */
static int64
slices_left(const ChpgStream *stream, const PageReader *reader)
{
	if (!stream->spec.endpoint->by_time)
		return 0;
	return stream->backwards ? reader->slice :
		stream->window.count - 1 - reader->slice;
}

static void
enter_slice(ChpgStream *stream, PageReader *reader, int64 slice)
{
	reader->slice = slice;
	reader->offset = 0;
	reader->arguments = chpg_slice_arguments(stream->spec.endpoint,
											 reader->target->arguments,
											 &stream->window, slice);
}

/*
 * Make a reader for the next part that has none, or return NULL.  Where rows are in
 * order of time, one reader goes through all slices; else each slice has its own.
 */
static PageReader *
make_reader(ChpgStream *stream)
{
	PageReader *reader;
	int64		slice = stream->next_slice;

	while (stream->next_target < list_length(stream->targets) &&
		   ((Target *) list_nth(stream->targets, stream->next_target))->failed)
	{
		stream->next_target++;
		slice = stream->next_slice = 0;
	}
	if (stream->next_target == list_length(stream->targets))
		return NULL;
	reader = palloc0(sizeof(PageReader));
	reader->target = list_nth(stream->targets, stream->next_target);
	if (stream->spec.endpoint->by_time)
		slice = stream->backwards ? stream->window.count - 1 : 0;
	if (stream->spec.endpoint->by_time ||
		++stream->next_slice == stream->window.count)
	{
		stream->next_target++;
		stream->next_slice = 0;
	}
	enter_slice(stream, reader, slice);
	return reader;
}

static void
free_reader(PageReader *reader)
{
	if (reader->dedup != NULL)
		chpg_page_dedup_free(reader->dedup);
	if (reader->cursor != NULL)
		pfree(reader->cursor);
	pfree(reader->arguments);
	pfree(reader);
}

/* The number of rows to request for a reader's next page; 0 where there are no pages. */
static int
page_limit(const ChpgStream *stream, const PageReader *reader)
{
	int			limit = stream->spec.endpoint->page_size;

	/* The pages of a cursor have one size. */
	if (limit > 0 && stream->spec.max_rows > 0)
		limit = Min(limit, stream->spec.max_rows -
					(stream->spec.endpoint->by_cursor ? 0 : reader->total_rows));
	if (limit > 0 && stream->spec.first_page > 0 && reader->page == 0)
		limit = Min(limit, stream->spec.first_page);
	return limit;
}

/* The request for a reader's next page. */
static ChpgRequest
page_request(const ChpgStream *stream, const PageReader *reader)
{
	ChpgRequest request = {
		.connection = stream->spec.connection,
		.endpoint = stream->spec.endpoint,
		.arguments = reader->arguments,
		.offset = reader->offset,
		.cursor = reader->cursor,
		.limit = page_limit(stream, reader)
	};

	if (reader->target->service != NULL)
	{
		request.service_id = reader->target->service->id;
		request.service_name = reader->target->service->shown_name;
		request.one_retry = chpg_service_is_down(reader->target->service);
	}
	return request;
}

/* Count the requests that are known to be needed and not under way. */
static int64
known_requests(const ChpgStream *stream)
{
	int64		requests = (list_length(stream->targets) - stream->next_target) *
	stream->window.count - stream->next_slice;
	ListCell   *lc;

	foreach(lc, stream->waiting)
		requests += 1 + slices_left(stream, (PageReader *) lfirst(lc));
	foreach(lc, stream->active)
	{
		PageReader *reader = (PageReader *) lfirst(lc);

		requests += !chpg_call_in_flight(reader->call) + slices_left(stream, reader);
	}
	return requests;
}

/*
 * Count the known requests for first pages, and for pages under way, that cost
 * nothing: their responses exist, or other backends have sent them.
 */
static int
count_answered(const ChpgStream *stream)
{
	ChpgStream	ahead = *stream;
	PageReader *reader;
	ListCell   *lc;
	int			answered = 0;

	foreach(lc, stream->active)
	{
		ChpgRequest request;

		reader = (PageReader *) lfirst(lc);
		request = page_request(stream, reader);
		answered += !chpg_call_in_flight(reader->call) && chpg_admission_is_answered(&request);
	}
	while ((reader = make_reader(&ahead)) != NULL)
	{
		ChpgRequest request = page_request(stream, reader);

		CHECK_FOR_INTERRUPTS();
		answered += chpg_admission_is_answered(&request);
		free_reader(reader);
	}
	return answered;
}

/* The same once the targets are known, with the requests that the statement has sent. */
static void
check_rest(const ChpgStream *stream)
{
	int64		requests = known_requests(stream);

	if (stream->spec.first_page > 0 || chpg_admission_may_send(requests))
		return;
	requests -= count_answered(stream);
	if (!chpg_admission_may_send(requests))
		refuse_number(stream, requests + *chpg_statement_requests());
}

/*
 * Give all first pages an id, by which other backends see that they need the
 * same requests, if they are to share the answers.
 */
static void
identify_requests(ChpgStream *stream)
{
	const ChpgConnection *connection = stream->spec.connection;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg requests",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ChpgStream	ahead = *stream;
	PageReader *reader;
	StringInfoData urls;

	initStringInfo(&urls);
	appendStringInfo(&urls, UINT64_FORMAT " " INT64_FORMAT,
					 chpg_key_generation(connection), stream->window.count);
	while ((reader = make_reader(&ahead)) != NULL)
	{
		ChpgRequest request = page_request(stream, reader);

		appendStringInfo(&urls, " %s",
						 chpg_build_url(&request, request.connection->api_url,
										chpg_build_path(&request, request.connection->organization_id)));
	}
	chpg_read_id(connection, urls.data, &stream->id);
	stream->queueing.id = &stream->id;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Requests that wait for the budget, for a message: "6 requests queued (limit 10 per 10 s)". */
static char *
describe_queue(const ChpgStream *stream, int64 requests)
{
	ChpgLimit	limit = chpg_budget_limit(stream->spec.connection);
	char	   *shown = limit.requests == 0 ? "" :
	psprintf(" (limit %d per %g s)", limit.requests,
			 (double) limit.window / USECS_PER_SEC);

	return psprintf(INT64_FORMAT " %s queued%s", requests,
					requests == 1 ? "request" : "requests", shown);
}

/*
 * Whenever more requests turn out to be needed: throw error 53400 if they cannot be
 * sent in time, and issue a NOTICE if they take long.  Returns how many seconds they
 * take.
 */
static double
check_budget(ChpgStream *stream)
{
	const ChpgConnection *connection = stream->spec.connection;
	ChpgRequest request = {
		.connection = connection,
		.endpoint = stream->spec.endpoint,
		.arguments = &stream->spec.arguments
	};
	int64		requests = known_requests(stream);
	double		seconds;

	if (stream->spec.first_page > 0)
		requests = Min(requests, 1);	/* the others may never be needed */
	if (chpg_admission_suffices(connection, requests, &stream->queueing, &seconds) &&
		(seconds < NOTICE_SECONDS || stream->announced))
		return seconds;
	if (requests <= MAX_LOOKED_UP)
		requests -= count_answered(stream);
	if (list_length(stream->targets) == 1 && stream->spec.service != NULL)
	{
		ChpgService *service = ((Target *) linitial(stream->targets))->service;

		request.service_id = service->id;
		request.service_name = service->shown_name;
	}
	chpg_admission_require(&request, requests, &stream->queueing, &seconds);
	if (seconds >= NOTICE_SECONDS && !stream->announced)
		ereport(NOTICE,
				(errmsg("waiting about %.0f s: %s", seconds,
						describe_queue(stream, requests))));
	stream->announced = true;
	return seconds;
}

/*
 * Admit, or refuse, as a whole a stream that needs several requests from the
 * beginning: chpg.max_wait does not end it half way, when some are spent.
 */
static void
admit(ChpgStream *stream)
{
	double		seconds = check_budget(stream);

	if (stream->spec.first_page > 0)
		return;
	stream->queueing.admitted = true;
	stream->admitted_at = chpg_now();
	stream->expected_end = stream->admitted_at + (int64) (seconds * USECS_PER_SEC);
}

/* Do these requests take much longer than expected?  *seconds is how long they take. */
static bool
takes_longer(const ChpgStream *stream, int64 requests, double *seconds)
{
	double		expected = stream->expected_end - stream->admitted_at;
	int64		end;

	(void) chpg_admission_suffices(stream->spec.connection, requests,
								   &stream->queueing, seconds);
	end = chpg_now() + (int64) (*seconds * USECS_PER_SEC);
	return *seconds >= NOTICE_SECONDS &&
		end - stream->admitted_at > expected * NOTICE_DELAY &&
		end - stream->expected_end > NOTICE_SECONDS * USECS_PER_SEC;
}

/* Tell the user if others, or more pages, have made it take longer. */
static void
announce_delay(ChpgStream *stream)
{
	int64		requests = known_requests(stream);
	double		seconds;

	if (!stream->queueing.admitted || requests == 0)
		return;
	if (!takes_longer(stream, requests, &seconds))
		return;
	if (requests <= MAX_LOOKED_UP)
	{
		int			answered = count_answered(stream);

		/* If others have sent some meanwhile, the next look is more exact. */
		if (!takes_longer(stream, requests - answered, &seconds) ||
			count_answered(stream) != answered)
			return;
		requests -= answered;
	}
	ereport(NOTICE,
			(errmsg("waiting longer than expected, about %.0f s: %s", seconds,
					describe_queue(stream, requests)),
			 errdetail("Other sessions have queued requests since, more requests turned out to be needed, or the API responds slowly.")));
	stream->expected_end = chpg_now() + (int64) (seconds * USECS_PER_SEC);
	stream->announced = true;
}

/*
 * Throw error 53400 for a window of which not even the slices of one target can be
 * requested in time, before the list of services costs a request.
 */
static void
check_window(const ChpgStream *stream)
{
	ChpgRequest request = {
		.connection = stream->spec.connection,
		.endpoint = stream->spec.endpoint,
		.arguments = &stream->spec.arguments
	};
	double		seconds;

	check_number(stream, 1);
	if (stream->window.count > MAX_LOOKED_UP && stream->spec.first_page == 0)
		chpg_admission_require(&request, stream->window.count, &stream->queueing,
							   &seconds);
}

static void
ask_for_page(ChpgStream *stream, PageReader *reader)
{
	ChpgRequest request = page_request(stream, reader);

	reader->limit = request.limit;
	reader->page++;
	reader->page_rows = 0;
	reader->last_hash = reader->page_hash;
	reader->page_hash = 0;
	reader->call = chpg_call_create(&request);
	stream->active = lappend(stream->active, reader);
}

/* Create calls for next pages, up to the allowed number at once. */
static void
fill_pipe(ChpgStream *stream)
{
	MemoryContext caller = MemoryContextSwitchTo(stream->context);
	int			concurrency = stream->spec.concurrency > 0 ?
	Min(stream->spec.concurrency, chpg_max_concurrency) : chpg_max_concurrency;

	while (list_length(stream->active) < concurrency)
	{
		PageReader *reader;

		if (stream->waiting != NIL)
		{
			reader = (PageReader *) linitial(stream->waiting);
			stream->waiting = list_delete_first(stream->waiting);
		}
		else if ((reader = make_reader(stream)) == NULL)
			break;
		ask_for_page(stream, reader);
	}
	MemoryContextSwitchTo(caller);
}

/* Note how many requests there are, and when the last is expected to be sent. */
static void
note_progress(ChpgStream *stream)
{
	ChpgProgress *progress = &stream->queueing.progress;
	ListCell   *lc;

	progress->total = progress->done + known_requests(stream);
	foreach(lc, stream->active)
		progress->total += chpg_call_in_flight(((PageReader *) lfirst(lc))->call);
	progress->expected_end = stream->expected_end;
}

/* Wait for the reader whose call ends first, and take it from the active ones. */
static PageReader *
wait_for_reader(ChpgStream *stream)
{
	List	   *calls = NIL;
	int			ended;
	ListCell   *lc;
	PageReader *reader;

	foreach(lc, stream->active)
		calls = lappend(calls, ((PageReader *) lfirst(lc))->call);
	stream->queueing.expected = stream->spec.first_page > 0 ?
		list_length(calls) : known_requests(stream);
	note_progress(stream);
	ended = chpg_calls_wait(calls, &stream->queueing);
	stream->queueing.progress.done++;
	stream->queueing.progress.advanced = chpg_now();
	announce_delay(stream);
	list_free(calls);
	reader = list_nth(stream->active, ended);
	stream->active = list_delete_nth_cell(stream->active, ended);
	return reader;
}

/*
 * Throw the error of a failed call, unless its service may be left out, as one of a
 * fleet.  See check_failed() for all of them.  Where only ids are known, the list is read,
 * unless the service is the only one that is read.
 */
static void
handle_failure(ChpgStream *stream, PageReader *reader)
{
	const ChpgReadSpec *spec = &stream->spec;
	const ChpgService *service = reader->target->service;
	bool		look_up = spec->one_of_many ||
	(spec->by_id && list_length(stream->targets) > 1);
	bool		silently;

	if (service != NULL && spec->service != NULL)
		(void) chpg_blame_state(reader->call, spec->connection, service, false);
	if (service == NULL || spec->service != NULL ||
		!chpg_may_omit_service(reader->call, spec->connection, service, look_up, &silently))
		chpg_call_report(reader->call);
	if (!reader->target->failed)
	{
		reader->target->failed = true;
		stream->num_failed++;
		if (!silently)
			chpg_call_warn(reader->call);
	}
	if (stream->failed == NULL)
		stream->failed = reader->call;
	else
	{
		chpg_call_end(reader->call);
		free_reader(reader);
	}
}

/*
 * Throw the first failure if all targets have failed.  Services that were named by id
 * may not exist, but their organization must.
 */
static void
check_failed(const ChpgStream *stream)
{
	if (stream->num_failed == 0 ||
		stream->num_failed < list_length(stream->targets) ||
		(stream->spec.one_of_many && !chpg_call_not_found(stream->failed)))
		return;
	if (!stream->spec.by_id || !chpg_call_not_found(stream->failed))
		chpg_call_report(stream->failed);
	(void) chpg_list_services(stream->spec.connection);
}

/*
 * Pages of live data may overlap
 */

/* A hash of what identifies the decoder's row among all pages. */
static uint64
identify_row(const ChpgStream *stream)
{
	uint64		identity = 1;

	for (const char *const *key = stream->spec.endpoint->identity;
		 *key != NULL; key++)
	{
		ChpgJsonNode *node = chpg_decoder_get(stream->decoder, *key);
		char	   *text = node ? chpg_json_text(node) : NULL;
		uint64		hash = 0;

		if (text != NULL)
		{
			hash = hash_bytes_extended((unsigned char *) text, strlen(text),
									   identity);
			pfree(text);
		}
		identity = hash_combine64(identity, hash);
	}
	return identity;
}

/* The same for all rows of the decoder's page, palloc'd. */
static uint64 *
identify_rows(const ChpgStream *stream, int *num_rows)
{
	int			size = stream->spec.endpoint->page_size;
	uint64	   *identities = palloc(size * sizeof(uint64));

	*num_rows = 0;
	while (chpg_decoder_next(stream->decoder))
	{
		if (*num_rows == size)
		{
			size *= 2;
			identities = repalloc_huge(identities, size * sizeof(uint64));
		}
		identities[(*num_rows)++] = identify_row(stream);
	}
	return identities;
}

/* Find the rows of earlier pages, before the page is decoded. */
static void
look_through_page(ChpgStream *stream, PageReader *reader)
{
	int64		max_rows = stream->spec.max_rows;
	bool		only_page = reader->page == 1 && max_rows > 0 &&
	reader->limit >= max_rows;
	MemoryContext caller;
	uint64	   *identities;
	int			num_rows;

	if (reader->limit == 0 || only_page || stream->spec.endpoint->by_cursor)
		return;
	caller = MemoryContextSwitchTo(stream->context);
	chpg_decoder_start(stream->decoder, chpg_call_document(reader->call));
	identities = identify_rows(stream, &num_rows);
	if (stream->spec.endpoint->by_time)
	{
		/* Single rows may be equal: only the whole page is compared. */
		for (int i = 0; i < num_rows; i++)
			reader->page_hash = hash_combine64(reader->page_hash, identities[i]);
	}
	else
	{
		if (reader->dedup == NULL)
			reader->dedup = chpg_page_dedup_create();
		reader->repeated = MemoryContextAllocHuge(stream->context,
												  num_rows * sizeof(bool));
		reader->num_repeated = chpg_page_dedup_add(reader->dedup, identities,
												   num_rows, reader->repeated);
	}
	pfree(identities);
	MemoryContextSwitchTo(caller);
}

/*
 * A window does not include its end, but where rows are in order of time the
 * API's does.
 */
static bool
is_beyond_end(const ChpgStream *stream, const PageReader *reader,
			  const Datum *values, const bool *nulls)
{
	int			i = stream->time_attribute;

	return i >= 0 && !nulls[i] &&
		DatumGetTimestampTz(values[i]) >=
		(reader->arguments->end - MILLISECONDS_TO_2000) * 1000;
}

/*
 * Give a row the name of its service, unless the response has it.  The name is found when
 * the first row is there: a service without rows costs no request for its name.
 */
static void
name_service(ChpgStream *stream, Target *target, Datum *values, bool *nulls)
{
	ChpgService *service = target->service;
	int			i = stream->name_attribute;

	if (i < 0 || !nulls[i])
		return;
	if (!target->named && service->name == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(stream->context);

		service->name = chpg_name_of_service(stream->spec.connection, service->id);
		MemoryContextSwitchTo(caller);
	}
	target->named = true;
	nulls[i] = service->name == NULL;
	if (!nulls[i])
		values[i] = CStringGetTextDatum(service->name);
}

/* The next row of the page being decoded; false at its end. */
static bool
next_of_page(ChpgStream *stream, PageReader *reader, Datum *values, bool *nulls)
{
	int64		max_rows = stream->spec.max_rows;

	while ((max_rows == 0 || reader->total_rows < max_rows) &&
		   chpg_decoder_next(stream->decoder))
	{
		bool		repeated = reader->repeated != NULL &&
		reader->repeated[reader->page_rows];

		reader->page_rows++;
		if (repeated)
			continue;
		chpg_decoder_row(stream->decoder, values, nulls);
		if (is_beyond_end(stream, reader, values, nulls))
			continue;
		name_service(stream, reader->target, values, nulls);
		reader->total_rows++;
		return true;
	}
	return false;
}

/* Begin to decode the page of a reader whose call has succeeded. */
static void
start_page(ChpgStream *stream, PageReader *reader)
{
	const ChpgEndpoint *endpoint = stream->spec.endpoint;
	ErrorContextCallback callback;

	chpg_call_push_context(reader->call, &callback);

	/*
	 * A row has the values that it was requested by, also if the response
	 * omits them.
	 */
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
		chpg_decoder_set_default(stream->decoder, endpoint->parameters[i].name,
								 reader->target->arguments->values[i]);
	if (endpoint->service_attribute != NULL)
		chpg_decoder_set_default(stream->decoder, endpoint->service_attribute,
								 reader->target->service->id);
	if (chpg_operation_number(endpoint) == CHPG_LIST_SERVICES)
		chpg_names_note(stream->spec.connection, chpg_call_result(reader->call));
	look_through_page(stream, reader);
	chpg_decoder_start(stream->decoder, chpg_call_document(reader->call));
	stream->current = reader;
	error_context_stack = callback.previous;
}

static bool
is_full(const PageReader *reader)
{
	return reader->limit > 0 && reader->page_rows >= reader->limit;
}

/*
 * Find the cursor of the page after this one, which is the last one without any.
 * Errors: those of chpg_call_next_cursor().
 */
static void
read_cursor(ChpgStream *stream, PageReader *reader)
{
	MemoryContext caller = MemoryContextSwitchTo(stream->context);

	reader->next_cursor = chpg_call_next_cursor(reader->call, reader->page,
												&reader->dedup);
	MemoryContextSwitchTo(caller);
}

/* Is there another page of this reader's slice?  One that is not full is the last. */
static bool
has_next_page(const ChpgStream *stream, const PageReader *reader)
{
	return stream->spec.endpoint->by_cursor ?
		reader->next_cursor != NULL : is_full(reader);
}

/* Throw error 08P01 for an API that repeats itself, and so would never come to an end. */
static void
check_progress(const PageReader *reader)
{
	bool		same = reader->page > 1 && reader->page_hash != 0 &&
	reader->page_hash == reader->last_hash;

	if (is_full(reader) && (reader->num_repeated == reader->page_rows || same))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: page %d has the rows of earlier pages",
						reader->page)));
}

/*
 * Leave a page whose rows are read, and let its reader wait for its next page, or the
 * first one of its next slice, if there is one.
 */
static void
finish_page(ChpgStream *stream)
{
	PageReader *reader = stream->current;
	int64		max_rows = stream->spec.max_rows;
	bool		enough = max_rows > 0 && reader->total_rows >= max_rows;
	bool		has_next = has_next_page(stream, reader);
	MemoryContext caller;

	stream->current = NULL;
	chpg_call_end(reader->call);
	reader->call = NULL;
	if (reader->repeated != NULL)
		pfree(reader->repeated);
	reader->repeated = NULL;
	reader->num_repeated = 0;
	if (reader->cursor != NULL)
		pfree(reader->cursor);
	reader->cursor = reader->next_cursor;
	reader->next_cursor = NULL;
	if (enough || (!has_next && slices_left(stream, reader) == 0))
	{
		free_reader(reader);
		return;
	}
	caller = MemoryContextSwitchTo(stream->context);
	if (has_next)
		reader->offset += reader->page_rows;
	else
	{
		pfree(reader->arguments);
		enter_slice(stream, reader, reader->slice + (stream->backwards ? -1 : 1));
	}
	stream->waiting = lcons(reader, stream->waiting);
	(void) check_budget(stream);
	MemoryContextSwitchTo(caller);
}

static bool
read_page(ChpgStream *stream, Datum *values, bool *nulls)
{
	ErrorContextCallback callback;
	bool		found;

	chpg_call_push_context(stream->current->call, &callback);
	found = next_of_page(stream, stream->current, values, nulls);
	if (!found && stream->spec.endpoint->by_cursor)
		read_cursor(stream, stream->current);
	else if (!found)
		check_progress(stream->current);
	error_context_stack = callback.previous;
	if (!found)
		finish_page(stream);
	return found;
}

/* Find out, at the first row, which requests are needed, and whether they can be sent. */
static void
start(ChpgStream *stream)
{
	ChpgReadSpec *spec = &stream->spec;

	stream->started = true;
	stream->queueing.progress.started = chpg_now();
	stream->time_attribute = -1;
	stream->name_attribute = !spec->endpoint->names_services ? -1 :
		find_attribute(spec->tupdesc, "service_name", TEXTOID);
	chpg_check_window_times(spec->endpoint, &spec->arguments,
							spec->connection->statement_cache);
	if (spec->endpoint->by_time)
	{
		choose_order(stream);
		stream->time_attribute = find_attribute(spec->tupdesc, "timestamp", TIMESTAMPTZOID);
	}
	chpg_cut_window(spec->endpoint, &spec->arguments, &stream->window);
	check_window(stream);
	find_targets(stream);
	if (known_requests(stream) > 1)
	{
		check_rest(stream);
		if (known_requests(stream) <= MAX_LOOKED_UP && chpg_cache_ttl > 0 &&
			chpg_cache_size > 0 && !spec->connection->no_cache)
			identify_requests(stream);
		admit(stream);
	}
}

bool
chpg_stream_next(ChpgStream *stream, Datum *values, bool *nulls)
{
	MemoryContext caller;

	if (!stream->started)
	{
		caller = MemoryContextSwitchTo(stream->context);
		start(stream);
		MemoryContextSwitchTo(caller);
	}
	for (;;)
	{
		PageReader *reader;

		CHECK_FOR_INTERRUPTS();
		if (stream->current != NULL && read_page(stream, values, nulls))
			return true;
		fill_pipe(stream);
		if (stream->active == NIL)
			break;
		reader = wait_for_reader(stream);
		if (chpg_call_document(reader->call) == NULL)
			handle_failure(stream, reader);
		else
			start_page(stream, reader);
	}
	check_failed(stream);
	return false;
}
