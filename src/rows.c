/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Many calls as one stream of rows: which services, which pages, how
 *		many at once.
 *
 * Several services are asked at a time.  Rows come in the order in which the
 * answers arrive; the rows of one answer are decoded while others travel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "rows.h"
#include "services.h"
#include "settings.h"
#include "sockets.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* A duration that is worth a NOTICE beforehand. */
#define NOTICE_SECONDS	1.0

/* Identifies a row among the pages of a service. */
typedef struct RowIdentity
{
	uint64		hash[2];
} RowIdentity;

typedef struct SeenRow
{
	RowIdentity identity;		/* hash key */
	int			page;			/* on which it was first seen */
} SeenRow;

/* What is read of one service, or of the organization. */
typedef struct Source
{
	ChpgService *service;		/* NULL if it concerns no service */
	ChpgCall   *call;			/* for the page under way */
	int			page;
	int			limit;			/* rows asked for in this page; 0: no pages */
	int64		offset;			/* of this page */
	int			page_rows;		/* rows that this page had */
	int			new_rows;		/* of them, not on earlier pages */
	int64		total_rows;		/* rows returned */
	HTAB	   *seen;			/* SeenRow, if there may be several pages */
} Source;

struct ChpgStream
{
	MemoryContext context;
	ChpgRequestedRows wanted;
	ChpgDecoder *decoder;
	bool		started;
	bool		announced;		/* that it takes long */
	int			num_sources;
	List	   *waiting;		/* sources whose next page is not asked for */
	List	   *active;			/* sources with a call under way */
	Source	   *current;		/* whose answer is being decoded */
	int64		waited;			/* microseconds, for all answers together */
	int			num_missing;	/* services that vanished, or failed */
	ChpgCall   *missing;		/* the call that found the first of them */
};

ChpgStream *
chpg_stream_begin(const ChpgRequestedRows *wanted)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg stream",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	const ChpgEndpoint *endpoint = wanted->endpoint;
	ChpgStream *stream = palloc0(sizeof(ChpgStream));

	stream->context = context;
	stream->wanted = *wanted;
	stream->decoder = chpg_decoder_create(wanted->tupdesc, endpoint->rows,
										  endpoint->attributes);

	/* What a row is asked by, it is, even if the answer does not repeat it. */
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
		chpg_decoder_set_default(stream->decoder, endpoint->parameters[i].name,
								 wanted->arguments.values[i]);
	MemoryContextSwitchTo(caller);
	return stream;
}

void
chpg_stream_end(ChpgStream *stream)
{
	MemoryContextDelete(stream->context);
}


static void
add_source(ChpgStream *stream, ChpgService *service)
{
	Source	   *source = palloc0(sizeof(Source));

	source->service = service;
	stream->waiting = lappend(stream->waiting, source);
	stream->num_sources++;
}

static void
find_sources(ChpgStream *stream)
{
	ChpgRequestedRows *wanted = &stream->wanted;
	List	   *services;
	ListCell   *lc;

	if (strstr(wanted->endpoint->path, "{organization_id}") != NULL)
		chpg_discover_organization(wanted->connection);
	if (!chpg_endpoint_is_per_service(wanted->endpoint))
	{
		add_source(stream, NULL);
		return;
	}
	services = chpg_find_services(wanted->connection, wanted->service);
	foreach(lc, services)
		add_source(stream, (ChpgService *) lfirst(lc));
}

/* Rows to ask for in a source's next page; 0 where there are no pages. */
static int
page_limit(const ChpgStream *stream, const Source *source)
{
	int			limit = stream->wanted.endpoint->page_size;

	if (limit > 0 && stream->wanted.max_rows > 0)
		limit = Min(limit, stream->wanted.max_rows - source->total_rows);
	return limit;
}

/* The question for a source's next page. */
static ChpgQuestion
next_question(const ChpgStream *stream, const Source *source)
{
	ChpgQuestion question = {
		.connection = stream->wanted.connection,
		.endpoint = stream->wanted.endpoint,
		.arguments = &stream->wanted.arguments,
		.offset = source->offset,
		.limit = page_limit(stream, source)
	};

	if (source->service != NULL)
	{
		question.service_id = source->service->id;
		question.service_name = source->service->shown_name;
	}
	return question;
}

/*
 * How many of the requests known so far have to be sent, for what is not
 * answered already.  The last one's question is for messages.
 */
static int
count_requests(const ChpgStream *stream, ChpgQuestion *question)
{
	int			requests = 0;
	ListCell   *lc;

	foreach(lc, stream->waiting)
	{
		ChpgQuestion next = next_question(stream, (Source *) lfirst(lc));

		if (chpg_is_answered(&next))
			continue;
		*question = next;
		requests++;
	}
	foreach(lc, stream->active)
	{
		const ChpgCall *call = ((Source *) lfirst(lc))->call;

		if (!chpg_call_failed(call) && chpg_call_document(call) == NULL &&
			!chpg_call_in_flight(call))
			requests++;
	}
	return requests;
}

/*
 * Whenever more requests turn out to be needed: an error if they cannot be
 * sent in time, and a word to the user if they take long.
 */
static void
check_budget(ChpgStream *stream)
{
	const ChpgConnection *connection = stream->wanted.connection;
	ChpgQuestion question = next_question(stream, linitial(stream->waiting));
	int			known = list_length(stream->waiting) + list_length(stream->active);
	int			requests;
	double		seconds;

	if (chpg_budget_suffices(connection, known, stream->waited, &seconds) &&
		(seconds < NOTICE_SECONDS || stream->announced))
		return;
	requests = count_requests(stream, &question);
	chpg_require_budget(&question, requests, stream->waited, &seconds);
	if (seconds >= NOTICE_SECONDS && !stream->announced)
		ereport(NOTICE,
				(errmsg("%d more requests are needed, which the rate limit of key \"%s\" lets through in about %.0f s",
						requests, connection->key_id, seconds)));
	stream->announced = true;
}

static void
ask_for_page(ChpgStream *stream, Source *source)
{
	ChpgQuestion question = next_question(stream, source);

	source->limit = question.limit;
	source->page++;
	source->page_rows = 0;
	source->new_rows = 0;
	source->call = chpg_call_create(&question);
	stream->active = lappend(stream->active, source);
}

static void
fill_pipe(ChpgStream *stream)
{
	MemoryContext caller = MemoryContextSwitchTo(stream->context);

	while (stream->waiting != NIL &&
		   list_length(stream->active) < chpg_max_concurrency)
	{
		Source	   *source = (Source *) linitial(stream->waiting);

		stream->waiting = list_delete_first(stream->waiting);
		ask_for_page(stream, source);
	}
	MemoryContextSwitchTo(caller);
}

/* The source whose call ends first, no longer among the active ones. */
static Source *
wait_for_source(ChpgStream *stream)
{
	List	   *calls = NIL;
	int64		started = chpg_now();
	ChpgCall   *ended;
	ListCell   *lc;
	Source	   *source = NULL;

	foreach(lc, stream->active)
		calls = lappend(calls, ((Source *) lfirst(lc))->call);
	ended = chpg_calls_wait(calls);
	stream->waited += chpg_now() - started;
	list_free(calls);
	foreach(lc, stream->active)
	{
		source = (Source *) lfirst(lc);
		if (source->call == ended)
			break;
	}
	stream->active = list_delete_ptr(stream->active, source);
	return source;
}

/*
 * A service of the list may be gone by the time it is asked, and the user may
 * do without the rows of one that fails.  That all of them are gone, or fail,
 * is an error: see check_missing().
 */
static void
handle_failure(ChpgStream *stream, Source *source)
{
	bool		in_fleet = stream->wanted.service == NULL && source->service != NULL;

	if (in_fleet && chpg_on_service_error == CHPG_SERVICE_WARNING &&
		chpg_call_concerns_service(source->call) &&
		!chpg_call_not_found(source->call))
		chpg_call_warn(source->call);
	else if (!in_fleet || !chpg_call_not_found(source->call))
		chpg_call_report(source->call);
	if (stream->num_missing++ == 0)
		stream->missing = source->call;
	else
		chpg_call_end(source->call);
	source->call = NULL;
}

static void
check_missing(const ChpgStream *stream)
{
	if (stream->num_missing > 0 && stream->num_missing == stream->num_sources)
		chpg_call_report(stream->missing);
}

/*
 * Pages of live data may overlap
 */

static RowIdentity
identify_row(const ChpgStream *stream)
{
	RowIdentity identity = {{1, 2}};

	for (const char *const *key = stream->wanted.endpoint->identity;
		 *key != NULL; key++)
	{
		ChpgJsonNode *node = chpg_decoder_get(stream->decoder, *key);
		char	   *text = node ? chpg_json_text(node) : NULL;

		for (int i = 0; i < 2; i++)
			identity.hash[i] = hash_combine64(identity.hash[i],
											  text == NULL ? 0 :
											  hash_bytes_extended((unsigned char *) text,
																  strlen(text),
																  identity.hash[i]));
		if (text != NULL)
			pfree(text);
	}
	return identity;
}

static void
create_seen(ChpgStream *stream, Source *source)
{
	HASHCTL		control = {
		.keysize = sizeof(RowIdentity),
		.entrysize = sizeof(SeenRow),
		.hcxt = stream->context
	};

	source->seen = hash_create("chpg rows seen", 1024, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Was the current row on an earlier page of its source? */
static bool
is_repeated(ChpgStream *stream, Source *source)
{
	RowIdentity identity;
	SeenRow    *seen;
	bool		found;

	if (source->seen == NULL)
	{
		/* Less than a page wanted: there will be no other. */
		if (source->limit == 0 ||
			source->limit < stream->wanted.endpoint->page_size)
			return false;
		create_seen(stream, source);
	}
	identity = identify_row(stream);
	seen = hash_search(source->seen, &identity, HASH_ENTER, &found);
	if (!found)
		seen->page = source->page;
	return seen->page < source->page;
}

/* The next row of the page being decoded; false at its end. */
static bool
next_of_page(ChpgStream *stream, Source *source, Datum *values, bool *nulls)
{
	int64		max_rows = stream->wanted.max_rows;

	while ((max_rows == 0 || source->total_rows < max_rows) &&
		   chpg_decoder_next(stream->decoder))
	{
		source->page_rows++;
		if (is_repeated(stream, source))
			continue;
		source->new_rows++;
		source->total_rows++;
		chpg_decoder_row(stream->decoder, values, nulls);
		return true;
	}
	return false;
}

static void
start_page(ChpgStream *stream, Source *source)
{
	const ChpgEndpoint *endpoint = stream->wanted.endpoint;

	if (endpoint->service_attribute != NULL)
		chpg_decoder_set_default(stream->decoder, endpoint->service_attribute,
								 source->service->id);
	chpg_decoder_start(stream->decoder, chpg_call_document(source->call));
	stream->current = source;
}

static bool
is_full(const Source *source)
{
	return source->limit > 0 && source->page_rows >= source->limit;
}

/* An API that repeats itself would never come to an end. */
static void
check_progress(const Source *source)
{
	if (is_full(source) && source->new_rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed answer from the API: page %d has the rows of earlier pages",
						source->page)));
}

/* A page that is not full is the last. */
static void
finish_page(ChpgStream *stream)
{
	Source	   *source = stream->current;
	int64		max_rows = stream->wanted.max_rows;

	stream->current = NULL;
	chpg_call_end(source->call);
	source->call = NULL;
	if (is_full(source) && (max_rows == 0 || source->total_rows < max_rows))
	{
		MemoryContext caller = MemoryContextSwitchTo(stream->context);

		source->offset += source->page_rows;
		stream->waiting = lcons(source, stream->waiting);
		check_budget(stream);
		MemoryContextSwitchTo(caller);
	}
	else if (source->seen != NULL)
	{
		hash_destroy(source->seen);
		source->seen = NULL;
	}
}

static bool
read_page(ChpgStream *stream, Datum *values, bool *nulls)
{
	ErrorContextCallback callback;
	bool		found;

	chpg_call_push_context(stream->current->call, &callback);
	found = next_of_page(stream, stream->current, values, nulls);
	if (!found)
		check_progress(stream->current);
	error_context_stack = callback.previous;
	if (!found)
		finish_page(stream);
	return found;
}

bool
chpg_stream_next(ChpgStream *stream, Datum *values, bool *nulls)
{
	MemoryContext caller;

	if (!stream->started)
	{
		caller = MemoryContextSwitchTo(stream->context);
		find_sources(stream);
		if (stream->num_sources > 1)
			check_budget(stream);
		stream->started = true;
		MemoryContextSwitchTo(caller);
	}
	for (;;)
	{
		Source	   *source;

		CHECK_FOR_INTERRUPTS();
		if (stream->current != NULL && read_page(stream, values, nulls))
			return true;
		fill_pipe(stream);
		if (stream->active == NIL)
			break;
		source = wait_for_source(stream);
		if (chpg_call_document(source->call) == NULL)
			handle_failure(stream, source);
		else
			start_page(stream, source);
	}
	check_missing(stream);
	return false;
}
