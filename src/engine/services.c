/*-------------------------------------------------------------------------
 *
 * services.c
 *		Which organization, and which of its services, a call concerns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/creations.h"
#include "engine/keys.h"
#include "engine/names.h"
#include "engine/redact.h"
#include "engine/services.h"
#include "lib/stringinfo.h"
#include "protocol/arguments.h"
#include "protocol/closest.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* The most names that a message lists. */
#define MAX_LISTED 10

/* The organizations that a backend remembers: as many as there are keys that it can use at once. */
#define MAX_DISCOVERIES CHPG_MAX_KEYS

/* The organization of a key. */
typedef struct Discovery
{
	char	   *api_url;
	char	   *key_id;
	char	   *organization_id;
} Discovery;

/* In TopMemoryContext, the oldest first. */
static List *discoveries = NIL;

/* A member of an object as text, palloc'd; NULL unless it is a string. */
static char *
get_string(ChpgJsonNode *object, const char *key)
{
	ChpgJsonNode *value = chpg_json_get(object, key);

	if (chpg_json_kind(value) != CHPG_JSON_STRING)
		return NULL;
	return chpg_json_text(value);
}

/*
 * Append to a list what convert() makes of each object of a page, unless that is NULL.
 * Returns the cursor of the next page, or NULL.  Error 08P01 if the response is
 * malformed.
 */
static char *
read_list_page(const ChpgRequest *request, int page, ChpgPageDedup **seen,
			   void *(*convert) (ChpgJsonNode *object), List **result)
{
	ErrorContextCallback callback;
	ChpgCall   *call;
	ChpgJsonNode *list;
	char	   *cursor = NULL;

	(void) chpg_call_perform(request, &call);
	list = chpg_call_result(call);
	chpg_call_push_context(call, &callback);
	if (chpg_json_kind(list) != CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"%s\" is not %s",
						"result", "a list")));
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		void	   *item = convert(chpg_json_element(list, i));

		if (item != NULL)
			*result = lappend(*result, item);
	}
	if (request->endpoint->by_cursor)
		cursor = chpg_call_next_cursor(call, page, seen);
	if (chpg_operation_number(request->endpoint) == CHPG_LIST_SERVICES)
		chpg_names_note(request->connection, list);
	error_context_stack = callback.previous;
	chpg_call_end(call);
	return cursor;
}

/*
 * Read all pages of a list of objects, and convert each: the result has what convert()
 * makes of it, unless that is NULL.  Error 08P01 if a response is malformed.
 */
static List *
read_list(const ChpgConnection *connection, ChpgOperation operation,
		  void *(*convert) (ChpgJsonNode *object))
{
	ChpgRequest request = {
		.connection = connection,
		.endpoint = &chpg_endpoints[operation]
	};
	ChpgPageDedup *seen = NULL;
	List	   *result = NIL;
	int			page = 0;

	do
	{
		request.cursor = read_list_page(&request, ++page, &seen, convert, &result);
	} while (request.cursor != NULL);
	if (seen != NULL)
		chpg_page_dedup_free(seen);
	return result;
}

/*
 * Organizations
 */

static void *
read_organization(ChpgJsonNode *object)
{
	ChpgOrganization *organization = palloc0(sizeof(ChpgOrganization));

	organization->id = get_string(object, "id");
	organization->name = get_string(object, "name");
	if (organization->id == NULL || !chpg_is_uuid(organization->id))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: an organization has no usable id")));
	return organization;
}

List *
chpg_list_organizations(const ChpgConnection *connection)
{
	return read_list(connection, CHPG_LIST_ORGANIZATIONS, read_organization);
}

void
chpg_report_organizations(const ChpgConnection *connection, int count,
						  const char *hint)
{
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("key \"%s\" belongs to no organization",
						chpg_key_shown_id(connection))));
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("key \"%s\" belongs to %d organizations: specify \"organization_id\"",
					chpg_key_shown_id(connection), count),
			 errhint("%s", hint)));
}

/* The organization that the backend remembers for a key, palloc'd; or NULL. */
static char *
find_discovery(const ChpgConnection *connection)
{
	ListCell   *lc;

	foreach(lc, discoveries)
	{
		Discovery  *discovery = (Discovery *) lfirst(lc);

		if (strcmp(discovery->key_id, connection->key_id) == 0 &&
			strcmp(discovery->api_url, connection->api_url) == 0)
			return pstrdup(discovery->organization_id);
	}
	return NULL;
}

/* Remember the organization of a connection's key, and forget the oldest beyond the most. */
static void
remember_discovery(const ChpgConnection *connection)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	Discovery  *discovery = palloc(sizeof(Discovery));

	discovery->api_url = pstrdup(connection->api_url);
	discovery->key_id = pstrdup(connection->key_id);
	discovery->organization_id = pstrdup(connection->organization_id);
	discoveries = lappend(discoveries, discovery);
	if (list_length(discoveries) > MAX_DISCOVERIES)
	{
		Discovery  *oldest = linitial(discoveries);

		discoveries = list_delete_first(discoveries);
		pfree(oldest->api_url);
		pfree(oldest->key_id);
		pfree(oldest->organization_id);
		pfree(oldest);
	}
	MemoryContextSwitchTo(caller);
}

void
chpg_discover_organization(ChpgConnection *connection)
{
	List	   *organizations;

	if (connection->organization_id == NULL)
		connection->organization_id = find_discovery(connection);
	if (connection->organization_id != NULL)
		return;

	organizations = chpg_list_organizations(connection);
	if (list_length(organizations) != 1)
		chpg_report_organizations(connection, list_length(organizations),
								  psprintf("Run: ALTER SERVER %s OPTIONS (ADD organization_id 'ID');",
										   quote_identifier(connection->server)));
	connection->organization_id =
		((ChpgOrganization *) linitial(organizations))->id;
	remember_discovery(connection);
}

/*
 * Services
 */

/* Can the id be part of a path?  The API calls ids opaque. */
static bool
is_usable_id(const char *id)
{
	size_t		length = strlen(id);

	return length > 0 && length <= 64 &&
		strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_-") == length;
}

static void *
read_service(ChpgJsonNode *object)
{
	ChpgService *service = palloc0(sizeof(ChpgService));

	service->id = get_string(object, "id");
	service->name = get_string(object, "name");
	service->state = get_string(object, "state");
	if (service->name != NULL)
		service->shown_name = chpg_clean_remote(pstrdup(service->name));
	if (service->state != NULL)
		service->state = chpg_clean_remote(service->state);
	if (service->id == NULL || !is_usable_id(service->id))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: service \"%s\" has no usable id",
						service->shown_name ? service->shown_name : "")));
	return service;
}

/* Is a service in this state, or none, one that is neither being created nor deleted? */
static bool
is_present(const char *state)
{
	return state == NULL ||
		(strcmp(state, "creating") != 0 && strcmp(state, "deleting") != 0);
}

/* Read a service, or return NULL for one that cannot answer requests yet, or any more. */
static void *
read_present_service(ChpgJsonNode *object)
{
	return is_present(get_string(object, "state")) ? read_service(object) : NULL;
}

/* The names, or ids, of services for a message; palloc'd. */
static char *
list_names(List *services, bool ids)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, services)
	{
		ChpgService *service = (ChpgService *) lfirst(lc);

		if (foreach_current_index(lc) == MAX_LISTED)
		{
			appendStringInfoString(&names, ", ...");
			break;
		}
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 ids || service->name == NULL ?
						 service->id : service->shown_name);
	}
	return names.data;
}

/* The services of that id, or else of that name. */
static List *
match_services(List *services, const char *wanted)
{
	List	   *matches = NIL;
	ListCell   *lc;

	foreach(lc, services)
	{
		ChpgService *service = (ChpgService *) lfirst(lc);

		if (strcmp(service->id, wanted) == 0)
			return list_make1(service);
		if (service->name != NULL && strcmp(service->name, wanted) == 0)
			matches = lappend(matches, service);
	}
	return matches;
}

/* A service of which only the id is known. */
static ChpgService *
make_service(const char *id)
{
	ChpgService *service = palloc0(sizeof(ChpgService));

	service->id = pstrdup(id);
	return service;
}

List *
chpg_list_services(const ChpgConnection *connection)
{
	return read_list(connection, CHPG_LIST_SERVICES, read_service);
}

List *
chpg_services_with_ids(const ChpgConnection *connection, List *ids, bool notice_names)
{
	List	   *all = NIL;
	bool		listed = false;
	List	   *services = NIL;
	ListCell   *lc;

	foreach(lc, ids)
	{
		const char *id = (const char *) lfirst(lc);
		List	   *matches;

		if (chpg_is_service_id(id))
		{
			services = lappend(services, make_service(id));
			continue;
		}
		if (!listed)
			all = chpg_list_services(connection);
		listed = true;
		matches = match_services(all, id);
		if (matches == NIL)
			continue;
		if (strcmp(((ChpgService *) linitial(matches))->id, id) == 0)
			services = lappend(services, linitial(matches));
		else if (notice_names)
			ereport(NOTICE,
					(errmsg("\"%s\" is the name of a service, not its id",
							chpg_clean_remote(pstrdup(id))),
					 errhint("Compare with its id: %s.", list_names(matches, true))));
	}
	return services;
}

/* The end of a primary message that asks whether another service was meant; or "". */
static const char *
closest_question(List *services, const char *wanted)
{
	ChpgClosest closest;
	ListCell   *lc;

	if (strchr(wanted, ',') != NULL)
		return ": give one service, or null for all";
	chpg_closest_begin(&closest, wanted);
	foreach(lc, services)
		chpg_closest_add(&closest, ((const ChpgService *) lfirst(lc))->shown_name);
	return chpg_closest_question(&closest);
}

List *
chpg_find_services(const ChpgConnection *connection, const char *wanted)
{
	List	   *services;
	List	   *matches;
	char	   *created;

	if (wanted == NULL)
		return read_list(connection, CHPG_LIST_SERVICES, read_present_service);
	if (chpg_is_service_id(wanted))
		return list_make1(make_service(wanted));

	services = chpg_list_services(connection);
	matches = match_services(services, wanted);
	created = matches == NIL ? chpg_creation_find(connection, wanted) : NULL;
	/* One that is listed has another name by now. */
	if (created != NULL && is_usable_id(created) &&
		match_services(services, created) == NIL)
		matches = list_make1(make_service(created));
	if (matches == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("service \"%s\" does not exist%s", wanted,
						closest_question(services, wanted)),
				 services == NIL ?
				 errdetail("The organization has no services.") :
				 errdetail("The services of the organization are: %s.",
						   list_names(services, false))));
	if (list_length(matches) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_ALIAS),
				 errmsg("service name \"%s\" is ambiguous: use an id", wanted),
				 errhint("The ids are: %s.",
						 list_names(matches, true))));
	return matches;
}

/*
 * States
 */

bool
chpg_service_is_down(const ChpgService *service)
{
	return service->state != NULL && strcmp(service->state, "running") != 0;
}

bool
chpg_blame_state(ChpgCall *call, const ChpgConnection *connection,
				 const ChpgService *service, bool look_up)
{
	ErrorContextCallback callback;
	List	   *matches;
	bool		looked_up = false;

	if (!chpg_call_may_blame_state(call))
		return false;
	if (service->state == NULL && look_up)
	{
		chpg_call_push_context(call, &callback);
		matches = match_services(chpg_list_services(connection), service->id);
		error_context_stack = callback.previous;
		looked_up = matches != NIL;
		if (looked_up)
			service = (ChpgService *) linitial(matches);
	}
	if (!chpg_service_is_down(service))
		return false;
	/* One that comes or goes may be listed, and not found: that is no news. */
	if (chpg_call_not_found(call) && !is_present(service->state))
		return false;
	chpg_call_blame_state(call, service->state, looked_up ? service->shown_name : NULL);
	return true;
}

bool
chpg_may_omit_service(ChpgCall *call, const ChpgConnection *connection,
					  const ChpgService *service, bool look_up, bool *silently)
{
	*silently = false;
	if (chpg_blame_state(call, connection, service, look_up))
		return true;
	*silently = chpg_call_not_found(call);
	return *silently ||
		(chpg_on_service_error == CHPG_SERVICE_WARNING && chpg_call_concerns_service(call));
}
