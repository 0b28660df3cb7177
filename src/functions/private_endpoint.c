/*-------------------------------------------------------------------------
 *
 * private_endpoint.c
 *		The private endpoint of a service (AWS PrivateLink):
 *		chpg_create_private_endpoint(), chpg_allow_vpc_endpoints(),
 *		chpg_set_vpc_endpoints(), chpg_delete_private_endpoint().
 *
 * A change replaces the whole list of VPC endpoints that may connect.  The members of
 * its entries are not documented: entries are repeated as they are shown, and new ones
 * are spelled like those.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/creations.h"
#include "fmgr.h"
#include "functions/private_endpoint.h"
#include "functions/sent.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* What an id of a VPC endpoint begins with, before hexadecimal digits */
#define VPC_ENDPOINT		"vpce-"

/* The member of an entry that has its id, while the list shows none */
#define DEFAULT_MEMBER		"vpcEndpointId"

#define LIST_KEY			"allowedVpcEndpoints"

/* The ids of lists are compared, since the API may complete and sort entries. */
static const ChpgSentKind sent_vpc_endpoints = {
	.name = "VPC endpoints",
	.hint = "Wait with chpg_wait(..., expected => ...), or specify all of them in chpg_set_vpc_endpoints()."
};

PG_FUNCTION_INFO_V1(chpg_allow_vpc_endpoints);
PG_FUNCTION_INFO_V1(chpg_create_private_endpoint);
PG_FUNCTION_INFO_V1(chpg_delete_private_endpoint);
PG_FUNCTION_INFO_V1(chpg_set_vpc_endpoints);

/* Return the name by which a private endpoint is remembered as created just now. */
static char *
creation_id(const char *service_id)
{
	return psprintf("%s/privateEndpoint", service_id);
}

bool
chpg_private_endpoint_is_new(const ChpgRequest *request)
{
	return chpg_creation_is_recent(request->connection,
								   creation_id(request->service_id));
}

/*
 * chpg_create_private_endpoint(service, supported_regions)
 */
Datum
chpg_create_private_endpoint(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;

	(void) chpg_begin_operation(fcinfo, CHPG_CREATE_PRIVATE_ENDPOINT, &prepared);
	chpg_locate_service(&prepared);
	call = chpg_send_write(&prepared.request);
	if (call == NULL)
		PG_RETURN_NULL();
	chpg_sent_forget(&sent_vpc_endpoints, prepared.request.service_id);
	chpg_creation_note(prepared.request.connection,
					   creation_id(prepared.request.service_id), "");
	return chpg_response_row(fcinfo, &prepared.request, call);
}

/*
 * chpg_delete_private_endpoint(service)
 *
 * Returns the request id; NULL if the response has none.
 */
Datum
chpg_delete_private_endpoint(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;
	const char *request_id;

	(void) chpg_begin_operation(fcinfo, CHPG_DELETE_PRIVATE_ENDPOINT, &prepared);
	chpg_locate_service(&prepared);
	call = chpg_send_write(&prepared.request);
	if (call == NULL)
		PG_RETURN_NULL();
	chpg_sent_forget(&sent_vpc_endpoints, prepared.request.service_id);
	chpg_creation_forget(prepared.request.connection,
						 creation_id(prepared.request.service_id));
	request_id = chpg_call_request_id(call);
	if (request_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(request_id));
}

/*
 * Lists of VPC endpoints
 */

/* Return a node's text if that is the id of a VPC endpoint, palloc'd; else NULL. */
static char *
id_text(ChpgJsonNode *node)
{
	char	   *text;
	const char *digits;

	if (chpg_json_kind(node) != CHPG_JSON_STRING)
		return NULL;
	text = chpg_json_text(node);
	digits = text + strlen(VPC_ENDPOINT);
	if (strncmp(text, VPC_ENDPOINT, strlen(VPC_ENDPOINT)) != 0 || *digits == '\0' ||
		digits[strspn(digits, "0123456789abcdef")] != '\0')
		return NULL;
	return text;
}

/*
 * Return the id of an entry, palloc'd, and the member that has it: "" if the entry is a
 * text.  NULL if it has none.  A description is no id, whatever it says.
 */
static char *
entry_id(ChpgJsonNode *entry, char **member)
{
	*member = "";
	if (chpg_json_kind(entry) != CHPG_JSON_OBJECT)
		return id_text(entry);
	for (ChpgJsonEntry *at = chpg_json_next(entry, NULL); at != NULL;
		 at = chpg_json_next(entry, at))
	{
		char	   *id = id_text(chpg_json_entry_value(at));

		*member = chpg_json_entry_key(at);
		if (id != NULL && strcmp(*member, "description") != 0)
			return id;
	}
	return NULL;
}

/* The entries of a list, and their ids; NULL for an entry that has none */
typedef struct EntryList
{
	ChpgJsonNode *node;
	int			length;
	char	  **ids;
	const char *member;			/* that has the id in the first entry with one */
} EntryList;

/* Look for the ids in a list, which may be NULL. */
static EntryList
find_ids(ChpgJsonNode *node)
{
	EntryList	list = {.node = node, .length = chpg_json_length(node)};

	list.ids = MemoryContextAllocHuge(CurrentMemoryContext,
									  (list.length + (Size) 1) * sizeof(char *));
	for (int i = 0; i < list.length; i++)
	{
		char	   *member;

		CHECK_FOR_INTERRUPTS();
		list.ids[i] = entry_id(chpg_json_element(node, i), &member);
		if (list.ids[i] != NULL && list.member == NULL)
			list.member = member;
	}
	if (list.member == NULL)
		list.member = DEFAULT_MEMBER;
	return list;
}

/* Return the index, from "start" on, of the entry with this id; -1 if none has it. */
static int
find_entry(const EntryList *list, int start, const char *id)
{
	for (int i = start; id != NULL && i < list->length; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (list->ids[i] != NULL && strcmp(id, list->ids[i]) == 0)
			return i;
	}
	return -1;
}

/*
 * Append an entry that the caller gave to a JSON list under construction: an object as
 * it is, a text as the shown list has that endpoint, or spelled like its other entries.
 */
static void
append_given(StringInfo list, ChpgJsonNode *entry, const char *id,
			 const EntryList *shown)
{
	bool		is_text = chpg_json_kind(entry) == CHPG_JSON_STRING;
	int			at = is_text ? find_entry(shown, 0, id) : -1;

	appendStringInfoString(list, list->len > 0 ? "," : "");
	if (at >= 0)
		entry = chpg_json_element(shown->node, at);
	else if (is_text && *shown->member != '\0')
	{
		appendStringInfoChar(list, '{');
		escape_json(list, shown->member);
		appendStringInfo(list, ":%s}", chpg_json_serialize_exactly(entry));
		return;
	}
	appendStringInfoString(list, chpg_json_serialize_exactly(entry));
}

/*
 * Return the list to be sent, palloc'd: the entries that the caller gave, each endpoint
 * once; with "merge", after those that are shown.
 */
static char *
compose_list(ChpgJsonNode *given_node, ChpgJsonNode *shown_node, bool merge)
{
	EntryList	given = find_ids(given_node);
	EntryList	shown = find_ids(shown_node);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; merge && i < shown.length; i++)
	{
		if (find_entry(&given, 0, shown.ids[i]) < 0)
			appendStringInfo(&list, "%s%s", list.len > 0 ? "," : "",
							 chpg_json_serialize_exactly(chpg_json_element(shown.node, i)));
	}
	for (int i = 0; i < given.length; i++)
	{
		if (find_entry(&given, i + 1, given.ids[i]) < 0)
			append_given(&list, chpg_json_element(given.node, i), given.ids[i], &shown);
	}
	return psprintf("[%s]", list.data);
}

/*
 * Changing the list
 */

/* Parse a list, for the current memory context.  Error 22023 for malformed JSON. */
static ChpgJsonNode *
parse_list(const char *json)
{
	ChpgJson   *document = chpg_json_create(CurrentMemoryContext);

	chpg_json_set_json(document, "vpc_endpoints", json);
	return chpg_json_get(chpg_json_root(document), "vpc_endpoints");
}

/*
 * Return the argument "vpc_endpoints" as a list; NULL if it is null.  Error 22023 unless
 * it is an array of texts and objects; *has_texts says whether it has texts.
 */
static ChpgJsonNode *
given_list(ChpgPrepared *prepared, bool *has_texts)
{
	const char *json = *chpg_prepared_argument(prepared, "vpc_endpoints");
	ChpgJsonNode *list;
	bool		valid;

	*has_texts = false;
	if (json == NULL)
		return NULL;
	list = parse_list(json);
	valid = chpg_json_kind(list) == CHPG_JSON_ARRAY;
	for (int i = 0; valid && i < chpg_json_length(list); i++)
	{
		ChpgJsonNode *entry = chpg_json_element(list, i);
		bool		is_text = chpg_json_kind(entry) == CHPG_JSON_STRING;

		*has_texts |= is_text;
		valid = is_text ? !chpg_json_is_empty_text(entry) :
			chpg_json_kind(entry) == CHPG_JSON_OBJECT;
	}
	if (!valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be a JSON array of texts or objects", "vpc_endpoints"),
				 errhint("Specify an array of ids, such as [\"vpce-0123456789abcdef0\"], or of objects, which are sent as they are.")));
	return list;
}

/*
 * Read the list that the API shows.  One request.  Errors: 55000 if the response omits
 * it, as a change would remove what it has; 08P01 if it is no list.
 */
static ChpgJsonNode *
read_list(const ChpgPrepared *prepared)
{
	ChpgJsonNode *list = chpg_read_now(prepared, CHPG_GET_PRIVATE_ENDPOINT, LIST_KEY);

	if (list == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("API response omits the VPC endpoints of service \"%s\"",
						prepared->request.service_id),
				 errdetail("A change replaces the whole list."),
				 errhint("Specify all entries, as objects, in chpg_set_vpc_endpoints().")));
	if (chpg_json_kind(list) != CHPG_JSON_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("malformed API response: \"%s\" is not %s",
						LIST_KEY, "a list")));
	return list;
}

/* Compare two texts, for qsort(). */
static int
compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Return the ids of a list's entries in order; palloc'd. */
static char *
ids_of(ChpgJsonNode *node)
{
	EntryList	list = find_ids(node);
	int			found = 0;
	StringInfoData form;

	for (int i = 0; i < list.length; i++)
	{
		if (list.ids[i] != NULL)
			list.ids[found++] = list.ids[i];
	}
	qsort(list.ids, found, sizeof(char *), compare_ids);
	initStringInfo(&form);
	for (int i = 0; i < found; i++)
		appendStringInfo(&form, "%s ", list.ids[i]);
	return form.data;
}

/*
 * Send a change.  "shown" is the list that was read before, NULL if it was not.  Returns
 * the row.
 */
static Datum
send_change(FunctionCallInfo fcinfo, ChpgPrepared *prepared, ChpgJsonNode *shown)
{
	const char *list = *chpg_prepared_argument(prepared, "vpc_endpoints");
	ChpgCall   *call = chpg_send_write(&prepared->request);

	if (call == NULL)
		PG_RETURN_NULL();
	if (list != NULL)
		chpg_sent_remember(&sent_vpc_endpoints, prepared->request.service_id, list,
						   ids_of(parse_list(list)), shown != NULL ? ids_of(shown) : NULL);
	return chpg_response_row(fcinfo, &prepared->request, call);
}

/*
 * Read the list to which a change adds: the one that the API shows, or the one that was
 * sent while the API does not show that yet.  One request; *shown is the one it shows.
 */
static ChpgJsonNode *
read_base(const ChpgPrepared *prepared, ChpgJsonNode **shown)
{
	const char *queued;

	*shown = read_list(prepared);
	queued = chpg_sent_queued(&sent_vpc_endpoints, prepared->request.service_id,
							  ids_of(*shown));
	return queued != NULL ? parse_list(queued) : *shown;
}

/*
 * chpg_allow_vpc_endpoints(service, vpc_endpoints)
 */
Datum
chpg_allow_vpc_endpoints(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgJsonNode *given;
	ChpgJsonNode *base;
	ChpgJsonNode *shown;
	bool		has_texts;

	(void) chpg_begin_operation(fcinfo, CHPG_UPDATE_PRIVATE_ENDPOINT, &prepared);
	given = given_list(&prepared, &has_texts);
	if (given == NULL)
		chpg_refuse_null("vpc_endpoints");
	if (chpg_json_length(given) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "vpc_endpoints"),
				 errhint("Specify at least one. chpg_set_vpc_endpoints() can remove all.")));
	chpg_locate_service(&prepared);
	base = read_base(&prepared, &shown);
	*chpg_prepared_argument(&prepared, "vpc_endpoints") = compose_list(given, base, true);
	return send_change(fcinfo, &prepared, shown);
}

/*
 * chpg_set_vpc_endpoints(service, vpc_endpoints, supported_regions)
 */
Datum
chpg_set_vpc_endpoints(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgJsonNode *given;
	ChpgJsonNode *shown;
	bool		has_texts;

	(void) chpg_begin_operation(fcinfo, CHPG_UPDATE_PRIVATE_ENDPOINT, &prepared);
	given = given_list(&prepared, &has_texts);
	if (given == NULL && *chpg_prepared_argument(&prepared, "supported_regions") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing to change: specify \"vpc_endpoints\" or \"supported_regions\"")));
	chpg_locate_service(&prepared);
	shown = has_texts ? read_list(&prepared) : NULL;
	if (given != NULL)
		*chpg_prepared_argument(&prepared, "vpc_endpoints") =
			compose_list(given, shown, false);
	return send_change(fcinfo, &prepared, shown);
}
