/*-------------------------------------------------------------------------
 *
 * prometheus_rows.c
 *		Rows of Prometheus samples, for functions and foreign tables alike.
 *
 * The decoder of decode.h reads JSON; this is its counterpart for text in
 * Prometheus' format, which protocol/prometheus.h parses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "compat.h"
#include "engine/call.h"
#include "engine/prometheus_rows.h"
#include "engine/redact.h"
#include "engine/services.h"
#include "miscadmin.h"
#include "protocol/prometheus.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Services in the organization's metrics; the API omits others without a word. */
#define MAX_SERVICES	100

#define ID_LABEL		"postgres_service"
#define NAME_LABEL		"postgres_service_name"

/* The metric, and its label, that say what a service is doing */
#define INFO_METRIC		"PostgresServiceInfo"
#define STATUS_LABEL	"postgres_status"

/*
 * An attribute of chpg_prometheus_row.  get() returns false where the sample has no
 * value for it, and allocates the value in the current memory context.
 */
typedef struct Column
{
	const char *name;
	Oid			type;
	bool		(*get) (const ChpgSample *sample, Datum *value);
} Column;

/*
 * Columns: each function returns an attribute of a sample, as Column says
 */

/* Copy a view to a text. */
static text *
make_text(ChpgText view)
{
	return cstring_to_text_with_len(view.data, view.length);
}

/* Make a view of a string. */
static ChpgText
view_of(const char *string)
{
	ChpgText	view = {string, strlen(string)};

	return view;
}

/* Is a view this string? */
static bool
is_text(ChpgText view, const char *string)
{
	return view.length == strlen(string) &&
		memcmp(view.data, string, view.length) == 0;
}

/* Return the value of a label; false if the sample has none of that name. */
static bool
get_label(const ChpgSample *sample, const char *name, Datum *value)
{
	for (int i = 0; i < sample->label_count; i++)
	{
		if (is_text(sample->labels[i].name, name))
		{
			*value = PointerGetDatum(make_text(sample->labels[i].value));
			return true;
		}
	}
	return false;
}

static bool
get_service_id(const ChpgSample *sample, Datum *value)
{
	return get_label(sample, ID_LABEL, value);
}

static bool
get_service_name(const ChpgSample *sample, Datum *value)
{
	return get_label(sample, NAME_LABEL, value);
}

static bool
get_metric(const ChpgSample *sample, Datum *value)
{
	*value = PointerGetDatum(make_text(sample->name));
	return true;
}

static bool
get_type(const ChpgSample *sample, Datum *value)
{
	*value = CStringGetTextDatum(chpg_metric_type_name(sample->type));
	return true;
}

static bool
get_help(const ChpgSample *sample, Datum *value)
{
	if (sample->help.data == NULL)
		return false;
	*value = PointerGetDatum(make_text(sample->help));
	return true;
}

/* Push a view to a jsonb value under construction, as a string. */
static void
push_view(JsonbInState *state, JsonbIteratorToken token, ChpgText view)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, view.data);
	value.val.string.len = (int) view.length;
	chpg_push_jsonb(state, token, &value);
}

/* Return all labels, as a jsonb object. */
static bool
get_labels(const ChpgSample *sample, Datum *value)
{
	JsonbInState state = {0};

	chpg_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < sample->label_count; i++)
	{
		push_view(&state, WJB_KEY, sample->labels[i].name);
		push_view(&state, WJB_VALUE, sample->labels[i].value);
	}
	chpg_push_jsonb(&state, WJB_END_OBJECT, NULL);
	*value = JsonbPGetDatum(JsonbValueToJsonb(state.result));
	return true;
}

static bool
get_value(const ChpgSample *sample, Datum *value)
{
	*value = Float8GetDatum(sample->value);
	return true;
}

/*
 * Return the time of a sample; false if it has none that PostgreSQL can hold.
 */
static bool
get_timestamp(const ChpgSample *sample, Datum *value)
{
	int64		time;

	if (!sample->has_timestamp ||
		pg_sub_s64_overflow(sample->timestamp, MILLISECONDS_TO_2000, &time) ||
		pg_mul_s64_overflow(time, 1000, &time) || !IS_VALID_TIMESTAMP(time))
		return false;
	*value = TimestampTzGetDatum(time);
	return true;
}

static const Column columns[] = {
	{"service_id", TEXTOID, get_service_id},
	{"service_name", TEXTOID, get_service_name},
	{"metric", TEXTOID, get_metric},
	{"type", TEXTOID, get_type},
	{"help", TEXTOID, get_help},
	{"labels", JSONBOID, get_labels},
	{"value", FLOAT8OID, get_value},
	{"timestamp", TIMESTAMPTZOID, get_timestamp}
};

/*
 * Match the attributes of a row type with columns, by name: a palloc'd array with
 * NULL for each attribute that is no column.  Error 42804 if a type differs.
 */
static const Column **
match_columns(TupleDesc tupdesc)
{
	const Column **matched = palloc0(tupdesc->natts * sizeof(Column *));

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);

		for (int j = 0; j < lengthof(columns) && !attribute->attisdropped; j++)
		{
			if (strcmp(NameStr(attribute->attname), columns[j].name) != 0)
				continue;
			if (attribute->atttypid != columns[j].type)
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("column \"%s\" must be of type %s", columns[j].name,
								format_type_be(columns[j].type))));
			matched[i] = &columns[j];
		}
	}
	return matched;
}

/*
 * Completeness
 */

/* Create a set of service ids, in the current memory context. */
static HTAB *
create_ids(void)
{
	HASHCTL		control = {
		.keysize = NAMEDATALEN,
		.entrysize = NAMEDATALEN,
		.hcxt = CurrentMemoryContext
	};

	return hash_create("chpg services", 2 * MAX_SERVICES, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/*
 * Add the service of a sample to the set.
 */
static void
note_service(HTAB *ids, const ChpgSample *sample)
{
	char		id[NAMEDATALEN];

	for (int i = 0; i < sample->label_count; i++)
	{
		const ChpgLabel *label = &sample->labels[i];

		if (!is_text(label->name, ID_LABEL) || label->value.length >= NAMEDATALEN)
			continue;
		memcpy(id, label->value.data, label->value.length);
		id[label->value.length] = '\0';
		(void) hash_search(ids, id, HASH_ENTER, NULL);
	}
}

/*
 * Throw error 54000 if the organization has services that are not in the set.  The
 * list of services costs a request, which is sent only if the set is full.
 */
static void
check_complete(const ChpgConnection *connection, HTAB *ids)
{
	int			missing = 0;
	ListCell   *lc;

	if (hash_get_num_entries(ids) < MAX_SERVICES)
		return;
	foreach(lc, chpg_find_services(connection, NULL))
		missing += hash_search(ids, ((ChpgService *) lfirst(lc))->id, HASH_FIND,
							   NULL) == NULL;
	if (missing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("Prometheus metrics of the organization omit %d of its services",
						missing),
				 errdetail("The API returns at most %d services at once.",
						   MAX_SERVICES),
				 errhint("Read each service, for one request each: SELECT p.* FROM chpg_services s, LATERAL chpg_prometheus(s.id) p;")));
}

/*
 * Reading
 */

/*
 * Throw error 08P01 for a text that the parser rejects.
 */
static void
report_malformed(const ChpgRequest *request, const ChpgPrometheusError *error)
{
	char	   *line = pnstrdup(error->text.data, error->text.length);

	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed API response: line %zu of the metrics: %s",
					error->line, error->reason),
			 errdetail("The line is \"%s\".", chpg_redact_remote(request, line))));
}

/*
 * Call act() for each sample of a text, in a memory context that is reset after each.
 * Error 08P01 if the text is malformed.
 */
static void
read_samples(const ChpgRequest *request, const char *text,
			 void (*act) (const ChpgSample *sample, void *arg), void *arg)
{
	MemoryContext sample_context = AllocSetContextCreate(CurrentMemoryContext,
														 "chpg sample",
														 ALLOCSET_DEFAULT_SIZES);
	ChpgPrometheus parser;
	ChpgSample	sample;
	size_t		needed;

	if (chpg_prometheus_scan(&parser, text, strlen(text), &needed) &&
		chpg_prometheus_start(&parser, MemoryContextAllocHuge(CurrentMemoryContext,
															  needed)))
	{
		while (chpg_prometheus_next(&parser, &sample))
		{
			MemoryContext caller = MemoryContextSwitchTo(sample_context);

			CHECK_FOR_INTERRUPTS();
			act(&sample, arg);
			MemoryContextSwitchTo(caller);
			MemoryContextReset(sample_context);
		}
	}
	if (parser.lines.error.reason != NULL)
		report_malformed(request, &parser.lines.error);
	MemoryContextDelete(sample_context);
}

/* Where read_samples() puts rows. */
typedef struct Sink
{
	Tuplestorestate *store;
	TupleDesc	tupdesc;
	const ChpgRequest *request;
	const Column **columns;		/* for each attribute, or NULL */
	Datum	   *values;
	bool	   *nulls;
	HTAB	   *ids;
} Sink;

/*
 * Store a sample as a row.  Where its labels omit the service, the request's is used.
 */
static void
put_sample(const ChpgSample *sample, void *arg)
{
	Sink	   *sink = (Sink *) arg;

	for (int i = 0; i < sink->tupdesc->natts; i++)
	{
		sink->nulls[i] = true;
		if (sink->columns[i] == NULL)
			continue;
		sink->nulls[i] = !sink->columns[i]->get(sample, &sink->values[i]);
		if (sink->nulls[i] && sink->columns[i]->get == get_service_id &&
			sink->request->service_id != NULL)
		{
			sink->values[i] = CStringGetTextDatum(sink->request->service_id);
			sink->nulls[i] = false;
		}
	}
	note_service(sink->ids, sample);
	tuplestore_putvalues(sink->store, sink->tupdesc, sink->values, sink->nulls);
}

/* Prepare to store samples of a response to a request as rows. */
static Sink
make_sink(const ChpgRequest *request, TupleDesc tupdesc, Tuplestorestate *store)
{
	Sink		sink = {
		.store = store,
		.tupdesc = tupdesc,
		.request = request,
		.columns = match_columns(tupdesc),
		.values = palloc(tupdesc->natts * sizeof(Datum)),
		.nulls = palloc(tupdesc->natts * sizeof(bool)),
		.ids = create_ids()
	};

	return sink;
}

/*
 * Store all samples of a call that has succeeded, and end the call.  Errors: 08P01,
 * 54000, 42804.
 */
static void
put_samples(ChpgCall *call, const ChpgRequest *request, TupleDesc tupdesc,
			Tuplestorestate *store)
{
	ErrorContextCallback callback;
	Sink		sink = make_sink(request, tupdesc, store);

	chpg_call_push_context(call, &callback);
	read_samples(request, chpg_call_text(call), put_sample, &sink);
	error_context_stack = callback.previous;
	chpg_call_end(call);
	if (request->service_id == NULL)
		check_complete(request->connection, sink.ids);
}

/*
 * Store the state that the list has of a service whose samples could not be read, as the
 * sample that would have it.
 */
static void
put_state(const ChpgService *service, const ChpgRequest *request, TupleDesc tupdesc,
		  Tuplestorestate *store)
{
	const char *labels[][2] = {
		{ID_LABEL, service->id}, {NAME_LABEL, service->name}, {STATUS_LABEL, service->state}
	};
	Sink		sink = make_sink(request, tupdesc, store);
	ChpgSample	sample = {.name = view_of(INFO_METRIC), .type = CHPG_METRIC_GAUGE, .value = 1};

	for (int i = 0; i < lengthof(labels); i++)
	{
		if (labels[i][1] == NULL)
			continue;
		sample.labels[sample.label_count].name = view_of(labels[i][0]);
		sample.labels[sample.label_count++].value = view_of(labels[i][1]);
	}
	put_sample(&sample, &sink);
}

/*
 * Requesting
 */

/* Make the request of the text of a service, or of the organization (NULL). */
static ChpgRequest
prometheus_request(const ChpgConnection *connection, const ChpgService *service)
{
	static const ChpgArguments no_arguments;
	ChpgRequest request = {.connection = connection, .arguments = &no_arguments};

	request.endpoint = &chpg_endpoints[service ? CHPG_GET_PROMETHEUS :
									   CHPG_GET_ALL_PROMETHEUS];
	if (service != NULL)
	{
		request.service_id = service->id;
		request.service_name = service->shown_name;
	}
	return request;
}

/*
 * Request the text of a service, by id or name, or of the organization (NULL).
 * Fills in the request; returns the call, which has succeeded.
 */
static ChpgCall *
request_text(ChpgConnection *connection, const char *service, ChpgRequest *request)
{
	ChpgService *found = NULL;
	ChpgCall   *call;

	chpg_discover_organization(connection);
	if (service != NULL)
		found = linitial(chpg_find_services(connection, service));
	*request = prometheus_request(connection, found);
	(void) chpg_call_perform(request, &call);
	return call;
}

void
chpg_prometheus_put(ChpgConnection *connection, const char *service,
					TupleDesc tupdesc, Tuplestorestate *store)
{
	ChpgRequest request;
	ChpgCall   *call = request_text(connection, service, &request);

	put_samples(call, &request, tupdesc, store);
}

/* Do without a service whose call has failed, or throw the call's error. */
static void
omit_service(ChpgCall *call, const ChpgConnection *connection,
			 const ChpgService *service)
{
	bool		silently;

	if (!chpg_may_omit_service(call, connection, service, true, &silently))
		chpg_call_report(call);
	if (!silently)
		chpg_call_warn(call);
}

void
chpg_prometheus_put_by_id(ChpgConnection *connection, const char *service_id,
						  bool one_of_many, TupleDesc tupdesc, Tuplestorestate *store)
{
	List	   *services = NIL;
	ChpgRequest request;
	ChpgCall   *call;

	chpg_discover_organization(connection);
	if (service_id != NULL)
	{
		services = chpg_services_with_ids(connection,
										  list_make1(unconstify(char *, service_id)),
										  false);
		if (services == NIL)
			return;
	}
	request = prometheus_request(connection, services ? linitial(services) : NULL);
	call = chpg_call_create(&request);
	chpg_call_wait(call);
	if (one_of_many && chpg_call_failed(call))
	{
		omit_service(call, connection, linitial(services));
		return;
	}
	if (service_id != NULL && chpg_call_not_found(call))
	{
		/* A 404 may also mean the organization: then this is an error. */
		(void) chpg_list_services(connection);
		return;
	}
	if (chpg_call_failed(call))
		chpg_call_report(call);
	put_samples(call, &request, tupdesc, store);
}

/*
 * Each service of a fleet
 */

/* The call that reads a service of the fleet. */
typedef struct ServiceCall
{
	ChpgService *service;
	ChpgRequest request;
	ChpgCall   *call;
} ServiceCall;

/* Count the services whose samples have to be requested: others' responses exist already. */
static int
count_requests(const ChpgConnection *connection, List *services)
{
	int			requests = 0;
	ListCell   *lc;

	foreach(lc, services)
	{
		ChpgRequest request = prometheus_request(connection, lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		requests += !chpg_admission_is_answered(&request);
	}
	return requests;
}

/*
 * Say in a NOTICE, once in a statement, that each service is read, and what that costs.
 * Errors: 53400 and 54000 if the requests cannot be sent, or not in time.
 */
static void
admit_services(const ChpgConnection *connection, List *services, ChpgQueueing * queueing)
{
	static TimestampTz noticed_at = 0;
	ChpgRequest request = prometheus_request(connection, NULL);
	int			requests = count_requests(connection, services);
	double		seconds;

	request.endpoint = &chpg_endpoints[CHPG_GET_PROMETHEUS];
	(void) chpg_admission_suffices(connection, requests, queueing, &seconds);
	if (noticed_at != GetCurrentStatementStartTimestamp())
		ereport(NOTICE,
				(errmsg("Prometheus metrics of the organization are not enabled: reading those of each service, with %d %s",
						requests, requests == 1 ? "request" : "requests"),
				 seconds >= 1 ? errdetail("This takes about %.0f s.", seconds) : 0,
				 errhint("Ask the support of ClickHouse Cloud to enable them.")));
	noticed_at = GetCurrentStatementStartTimestamp();
	if (!chpg_admission_may_send(requests))
		chpg_admission_report_too_many(&request, requests);
	chpg_admission_require(&request, requests, queueing, &seconds);
	queueing->admitted = true;
}

/* Wait for the first of these calls to end, and take it from the list. */
static ServiceCall *
wait_for_service(List **active, ChpgQueueing * queueing)
{
	List	   *calls = NIL;
	ServiceCall *service;
	int			ended;
	ListCell   *lc;

	foreach(lc, *active)
		calls = lappend(calls, ((ServiceCall *) lfirst(lc))->call);
	ended = chpg_calls_wait(calls, queueing);
	list_free(calls);
	service = list_nth(*active, ended);
	*active = list_delete_nth_cell(*active, ended);
	return service;
}

/* Send the request for the samples of a service. */
static ServiceCall *
call_service(const ChpgConnection *connection, ChpgService *service)
{
	ServiceCall *result = palloc(sizeof(ServiceCall));

	result->service = service;
	result->request = prometheus_request(connection, service);
	result->request.one_retry = chpg_service_is_down(service);
	result->call = chpg_call_create(&result->request);
	return result;
}

/*
 * Store the samples of each service, several at a time, and throw the first error if all
 * of them fail.
 */
static void
put_each(const ChpgConnection *connection, List *services, TupleDesc tupdesc,
		 Tuplestorestate *store)
{
	ChpgQueueing queueing = {0};
	List	   *active = NIL;
	ChpgCall   *failed = NULL;
	int			num_failed = 0;
	int			next = 0;

	admit_services(connection, services, &queueing);
	while (next < list_length(services) || active != NIL)
	{
		ServiceCall *ended;

		while (next < list_length(services) && list_length(active) < chpg_max_concurrency)
			active = lappend(active, call_service(connection, list_nth(services, next++)));
		queueing.expected = list_length(services) - next + list_length(active);
		ended = wait_for_service(&active, &queueing);
		if (!chpg_call_failed(ended->call))
		{
			put_samples(ended->call, &ended->request, tupdesc, store);
			continue;
		}
		omit_service(ended->call, connection, ended->service);
		if (chpg_service_is_down(ended->service))
			put_state(ended->service, &ended->request, tupdesc, store);
		num_failed++;
		if (failed == NULL)
			failed = ended->call;
		else
			chpg_call_end(ended->call);
	}
	if (failed != NULL && num_failed == list_length(services))
		chpg_call_report(failed);
}

void
chpg_prometheus_put_fleet(ChpgConnection *connection, TupleDesc tupdesc,
						  Tuplestorestate *store)
{
	ChpgRequest request;
	ChpgCall   *call;
	List	   *services;

	chpg_discover_organization(connection);
	request = prometheus_request(connection, NULL);
	call = chpg_call_create(&request);
	chpg_call_wait(call);
	if (!chpg_call_failed(call))
	{
		put_samples(call, &request, tupdesc, store);
		return;
	}
	if (!chpg_call_not_enabled(call))
		chpg_call_report(call);
	services = chpg_find_services(connection, NULL);
	if (services != NIL)
		put_each(connection, services, tupdesc, store);
}

/* Do nothing with a sample that was parsed to check its text. */
static void
ignore_sample(const ChpgSample *sample, void *arg)
{
}

const char *
chpg_prometheus_read_text(ChpgConnection *connection, const char *service)
{
	ErrorContextCallback callback;
	ChpgRequest request;
	ChpgCall   *call = request_text(connection, service, &request);

	chpg_call_push_context(call, &callback);
	read_samples(&request, chpg_call_text(call), ignore_sample, NULL);
	error_context_stack = callback.previous;
	return chpg_call_text(call);
}
