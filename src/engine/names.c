/*-------------------------------------------------------------------------
 *
 * names.c
 *		The names of services, kept for an hour.
 *
 * The names of a list are one piece of memory: a header, and then pairs of an id and a
 * name, each ended by a NUL.  A backend has a copy for each of the keys that it used
 * last.  Another copy is a lasting entry of the shared cache, under an id that no request
 * has.  It is in the encoding of the database, which is part of that id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/admission.h"
#include "engine/cache.h"
#include "engine/call.h"
#include "engine/names.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "net/clock.h"
#include "utils/memutils.h"

/* For this long (microseconds) a list that was read is current. */
#define NAMES_AGE		(3600 * USECS_PER_SEC)

/* After this long (microseconds) a list that could not be read is requested again. */
#define RETRY_AGE		(60 * USECS_PER_SEC)

/* How often (microseconds) a backend looks whether another one has read a list. */
#define LOOK_AGE		(5 * USECS_PER_SEC)

/* The longest time (seconds) that a row waits for the name of its service. */
#define ASK_SECONDS		5

/* The most bytes of names that are kept of a list. */
#define MAX_SIZE		(1024 * 1024)

/* The most bytes of a name, and of an id, that are kept. */
#define MAX_NAME_SIZE	1024

/* The keys whose names a backend keeps. */
#define MAX_LISTS		8

/* The times of a list; those of chpg_now(). */
typedef struct NamesHeader
{
	int64		read;			/* when it was read; 0: never */
	int64		ask;			/* when to request it again */
	int64		ask_unknown;	/* when to request it for a service that it
								 * lacks */
} NamesHeader;

/* A list of names that a backend keeps. */
typedef struct Names
{
	ChpgReadId	id;
	int64		looked;			/* into the cache, at this time */
	NamesHeader header;
	char	   *pairs;			/* ids and names; NULL: none */
	size_t		length;
} Names;

/* In TopMemoryContext, those used last at the end. */
static List *lists = NIL;

/* Identify the list of a connection. */
static void
identify(const ChpgConnection *connection, ChpgReadId *id)
{
	char	   *text = psprintf("names in %s of %s %s", GetDatabaseEncodingName(),
								connection->api_url,
								connection->organization_id ? connection->organization_id : "");

	chpg_read_id(connection, text, id);
	pfree(text);
}

/* Replace the pairs of a list by a copy of others. */
static void
set_pairs(Names *names, const char *pairs, size_t length)
{
	char	   *copy = NULL;

	if (length > 0)
	{
		copy = MemoryContextAlloc(TopMemoryContext, length);
		memcpy(copy, pairs, length);
	}
	if (names->pairs != NULL)
		pfree(names->pairs);
	names->pairs = copy;
	names->length = length;
}

/* Give a list to all backends. */
static void
publish(const ChpgConnection *connection, const Names *names)
{
	ChpgFlight	none = {0};
	StringInfoData body;
	ChpgAnswer	answer = {.status = 200};

	initStringInfo(&body);
	appendBinaryStringInfo(&body, (const char *) &names->header, sizeof(NamesHeader));
	if (names->length > 0)
		appendBinaryStringInfo(&body, names->pairs, names->length);
	answer.body = body.data;
	answer.length = body.len;
	chpg_cache_publish(&names->id, connection->owner_id, CHPG_LASTING, &none, &answer, true);
	pfree(body.data);
}

/* Take a list from the cache if another backend has read it since, or could not. */
static void
look_into_cache(Names *names)
{
	NamesHeader header;
	ChpgAnswer	answer;

	names->looked = chpg_now();
	if (!chpg_cache_get(&names->id, CHPG_LASTING, 2 * NAMES_AGE, &answer))
		return;
	if (answer.length >= sizeof(header))
	{
		memcpy(&header, answer.body, sizeof(header));
		if (header.read >= names->header.read && header.ask >= names->header.ask)
		{
			names->header = header;
			set_pairs(names, answer.body + sizeof(header), answer.length - sizeof(header));
		}
	}
	pfree(answer.body);
}

/* Find the list of a connection, which is empty if there is none. */
static Names *
find_names(const ChpgConnection *connection)
{
	MemoryContext caller;
	ChpgReadId	id;
	Names	   *names = NULL;
	ListCell   *lc;

	identify(connection, &id);
	foreach(lc, lists)
	{
		Names	   *other = (Names *) lfirst(lc);

		if (memcmp(&other->id, &id, sizeof(id)) == 0)
			names = other;
	}
	caller = MemoryContextSwitchTo(TopMemoryContext);
	if (names == NULL)
	{
		names = palloc0(sizeof(Names));
		names->id = id;
		lists = lappend(lists, names);
	}
	else if (names != llast(lists))
		lists = lappend(list_delete_ptr(lists, names), names);
	if (list_length(lists) > MAX_LISTS)
	{
		Names	   *oldest = linitial(lists);

		lists = list_delete_first(lists);
		set_pairs(oldest, NULL, 0);
		pfree(oldest);
	}
	MemoryContextSwitchTo(caller);
	if (names->looked == 0 || names->looked + LOOK_AGE <= chpg_now())
		look_into_cache(names);
	return names;
}

/* Find the name of a service in a list; NULL if it is not there. */
static const char *
find_name(const Names *names, const char *id)
{
	const char *next = names->pairs;

	while (next != NULL && next < names->pairs + names->length)
	{
		const char *name = next + strlen(next) + 1;

		if (strcmp(next, id) == 0)
			return name;
		next = name + strlen(name) + 1;
	}
	return NULL;
}

/* Append a pair, unless it is too long, or there are too many. */
static void
append_pair(StringInfo pairs, const char *id, const char *name)
{
	if (*id == '\0' || *name == '\0' || strlen(id) > MAX_NAME_SIZE ||
		strlen(name) > MAX_NAME_SIZE || pairs->len > MAX_SIZE - 3 * MAX_NAME_SIZE)
		return;
	appendBinaryStringInfo(pairs, id, strlen(id) + 1);
	appendBinaryStringInfo(pairs, name, strlen(name) + 1);
}

/* Keep pairs, which are all of the list of a connection, and free them. */
static void
keep_pairs(const ChpgConnection *connection, Names *names, StringInfo pairs)
{
	set_pairs(names, pairs->data, pairs->len);
	publish(connection, names);
	pfree(pairs->data);
}

/* Is it a list whose pairs are these? */
static bool
has_pairs(const Names *names, const StringInfoData *pairs)
{
	return names->length == pairs->len &&
		(pairs->len == 0 || memcmp(names->pairs, pairs->data, pairs->len) == 0);
}

void
chpg_names_note(const ChpgConnection *connection, ChpgJsonNode *services)
{
	int			count = chpg_json_kind(services) == CHPG_JSON_ARRAY ?
	chpg_json_length(services) : 0;
	int64		now = chpg_now();
	StringInfoData pairs;
	Names	   *names;

	initStringInfo(&pairs);
	for (int i = 0; i < count; i++)
	{
		ChpgJsonNode *service = chpg_json_element(services, i);
		ChpgJsonNode *id = chpg_json_get(service, "id");
		ChpgJsonNode *name = chpg_json_get(service, "name");

		if (chpg_json_kind(id) == CHPG_JSON_STRING && chpg_json_kind(name) == CHPG_JSON_STRING)
			append_pair(&pairs, chpg_json_text(id), chpg_json_text(name));
	}
	names = find_names(connection);
	if (has_pairs(names, &pairs) && names->header.ask - now > NAMES_AGE / 2)
		return;
	names->header.read = now;
	names->header.ask = now + NAMES_AGE;
	keep_pairs(connection, names, &pairs);
}

void
chpg_names_set(const ChpgConnection *connection, const char *id, const char *name)
{
	Names	   *names = find_names(connection);
	const char *next = names->pairs;
	StringInfoData pairs;

	if (names->header.read == 0)
		return;
	initStringInfo(&pairs);
	append_pair(&pairs, id, name);
	while (next != NULL && next < names->pairs + names->length)
	{
		const char *other = next + strlen(next) + 1;

		if (strcmp(next, id) != 0)
			append_pair(&pairs, next, other);
		next = other + strlen(other) + 1;
	}
	keep_pairs(connection, names, &pairs);
}

/* Request the list, and keep it, or for how long it is not to be requested again. */
static void
ask(const ChpgConnection *connection)
{
	ChpgRequest request = {
		.connection = connection,
		.endpoint = &chpg_endpoints[CHPG_LIST_SERVICES],
		.no_retry = true,
		.deadline = chpg_now() + ASK_SECONDS * USECS_PER_SEC
	};
	ChpgCall   *call = chpg_call_create(&request);
	Names	   *names;

	chpg_call_wait(call);
	if (chpg_call_document(call) != NULL)
		chpg_names_note(connection, chpg_call_result(call));
	else
	{
		int			status = chpg_call_status(call);
		bool		refused = status >= 400 && status < 500 && !chpg_call_is_transient(call);

		names = find_names(connection);
		names->header.ask = names->header.ask_unknown =
			chpg_now() + (refused ? NAMES_AGE : RETRY_AGE);
		publish(connection, names);
	}
	chpg_call_end(call);
}

char *
chpg_name_of_service(const ChpgConnection *connection, const char *id)
{
	Names	   *names = find_names(connection);
	const char *name = find_name(names, id);
	int64		now = chpg_now();

	if ((names->header.ask <= now || (name == NULL && names->header.ask_unknown <= now)) &&
		chpg_admission_may_send(1))
	{
		ask(connection);
		names = find_names(connection);
		name = find_name(names, id);
		if (name == NULL && names->header.ask_unknown <= now)
		{
			names->header.ask_unknown = now + NAMES_AGE;
			publish(connection, names);
		}
	}
	return name != NULL ? pstrdup(name) : NULL;
}

char *
chpg_kept_name(const ChpgConnection *connection, const char *id)
{
	const char *name = find_name(find_names(connection), id);

	return name != NULL ? pstrdup(name) : NULL;
}
