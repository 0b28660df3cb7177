/*-------------------------------------------------------------------------
 *
 * access.c
 *		Which addresses may connect to a service: chpg_ip_access_list(),
 *		chpg_allow_ip(), chpg_revoke_ip().
 *
 * A change says what to add to the list and what to remove from it, as the API's does
 * for ClickHouse services.  The tags go along, as with every update.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/names.h"
#include "engine/redact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/access_list.h"
#include "functions/tags.h"
#include "functions/write.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* The source that admits every address */
#define ANYWHERE			"0.0.0.0/0"

PG_FUNCTION_INFO_V1(chpg_allow_ip);
PG_FUNCTION_INFO_V1(chpg_ip_access_list);
PG_FUNCTION_INFO_V1(chpg_revoke_ip);

/*
 * chpg_ip_access_list(service)
 *
 * Error 55000 if the response omits the list: no rows would look like an empty one.
 */
Datum
chpg_ip_access_list(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	ChpgCall   *call;

	InitMaterializedSRF(fcinfo, 0);
	if (!chpg_begin_operation(fcinfo, CHPG_GET_IP_ACCESS_LIST, &prepared))
		return (Datum) 0;
	chpg_use_statement_cache(&prepared.invocation);
	chpg_locate_service(&prepared);
	(void) chpg_call_perform(&prepared.request, &call);
	if (chpg_json_get(chpg_call_result(call), "ipAccessList") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("API response omits the IP access list of service \"%s\"",
						prepared.request.service_id),
				 errdetail("This deployment of the API may not show it. The list may have entries all the same.")));
	(void) chpg_name_of_service(prepared.request.connection, prepared.request.service_id);
	chpg_put_response_rows(fcinfo, &prepared.request, call);
	return (Datum) 0;
}

/*
 * Return an argument of type text, palloc'd; NULL if it is null.  Errors: 22023 if it
 * is empty or too long, 22P05 if it cannot be sent.
 */
static char *
text_argument(const ChpgPrepared *prepared, const char *name)
{
	FunctionCallInfo fcinfo = prepared->invocation.fcinfo;
	int			i = chpg_find_argument(&prepared->invocation, name);
	Datum		value;

	if (i < 0)
		return NULL;
	value = PG_GETARG_DATUM(i);
	if (!chpg_text_fits(value) || *TextDatumGetCString(value) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", name),
				 errhint("Specify 1 to 256 bytes.")));
	return TextDatumGetCString(value);
}

/*
 * Read and check the arguments of a change of the list, locate the service, and read
 * its tags and list.  Returns the source, palloc'd.
 */
static char *
begin_access_change(FunctionCallInfo fcinfo, ChpgPrepared *prepared,
					char **description)
{
	char	   *source;

	(void) chpg_begin_operation(fcinfo, CHPG_UPDATE_SERVICE, prepared);
	source = text_argument(prepared, "source");
	if (source == NULL)
		chpg_refuse_null("source");
	*description = text_argument(prepared, "description");
	chpg_locate_service(prepared);
	*chpg_prepared_argument(prepared, "tags") =
		chpg_tags_to_list(chpg_read_tags(prepared));
	return source;
}

/* Append an entry to a JSON list under construction; description may be NULL. */
static void
append_entry(StringInfo list, const char *source, const char *description)
{
	appendStringInfoString(list, list->len > 0 ? ",{\"source\":" : "{\"source\":");
	escape_json(list, source);
	if (description != NULL)
	{
		appendStringInfoString(list, ",\"description\":");
		escape_json(list, description);
	}
	appendStringInfoChar(list, '}');
}

/* Send a change of the list, {"add": [...]} or {"remove": [...]}, and return the row. */
static Datum
send_access_change(FunctionCallInfo fcinfo, ChpgPrepared *prepared,
				   const char *member, const char *entries)
{
	*chpg_prepared_argument(prepared, "ip_access_list") =
		psprintf("{\"%s\":[%s]}", member, entries);
	return chpg_send_tags(fcinfo, prepared);
}

/* Say in a NOTICE that the list admits every address, if an entry does. */
static void
note_anywhere(const ChpgPrepared *prepared)
{
	if (!chpg_has_source(prepared->access_list, ANYWHERE))
		return;
	ereport(NOTICE,
			(errmsg("service \"%s\" still admits every address: its IP access list has " ANYWHERE,
					prepared->request.service_id),
			 errhint("To restrict access: SELECT FROM chpg_revoke_ip(%s, '" ANYWHERE "', server => %s);",
					 quote_literal_cstr(prepared->request.service_id),
					 quote_literal_cstr(prepared->request.connection->server))));
}

/*
 * chpg_allow_ip(service, source, description)
 */
Datum
chpg_allow_ip(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	StringInfoData entries;
	char	   *description;
	char	   *source = begin_access_change(fcinfo, &prepared, &description);
	Datum		row;

	initStringInfo(&entries);
	append_entry(&entries, source, description);
	row = send_access_change(fcinfo, &prepared, "add", entries.data);
	note_anywhere(&prepared);
	return row;
}

/* Does an entry have this source, and this description unless that is NULL? */
static bool
is_revoked(ChpgJsonNode *entry, const char *source, const char *description)
{
	char	   *other = chpg_access_source(entry);
	ChpgJsonNode *text = chpg_json_get(entry, "description");

	if (other == NULL || !chpg_same_source(source, other))
		return false;
	return description == NULL ||
		(chpg_json_kind(text) == CHPG_JSON_STRING &&
		 strcmp(chpg_json_text(text), description) == 0);
}

/*
 * Append the entries of the list to be removed, as the API shows them: it may compare
 * the description, too.  Returns the entries that stay, as a list in a document.
 */
static ChpgJsonNode *
split_list(ChpgJsonNode *list, const char *source, const char *description,
		   StringInfo removed)
{
	ChpgJson   *document = chpg_json_create(CurrentMemoryContext);
	StringInfoData kept;

	initStringInfo(&kept);
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		ChpgJsonNode *entry = chpg_json_element(list, i);
		bool		goes = is_revoked(entry, source, description);
		StringInfo	to = goes ? removed : &kept;

		appendStringInfo(to, "%s%s", to->len > 0 ? "," : "",
						 goes ? chpg_json_serialize_exactly(entry) :
						 chpg_json_serialize(entry));
	}
	chpg_json_set_json(document, "kept", psprintf("[%s]", kept.data));
	return chpg_json_get(chpg_json_root(document), "kept");
}

/* Has a list an entry of another source? */
static bool
has_other_source(ChpgJsonNode *list, const char *source)
{
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		char	   *other = chpg_access_source(chpg_json_element(list, i));

		if (other == NULL || !chpg_same_source(source, other))
			return true;
	}
	return false;
}

/*
 * Throw error 55000: the list would be empty, or have entries of the source with other
 * descriptions only, which the API may remove, too.
 */
static void
refuse_last(const ChpgPrepared *prepared, const char *source)
{
	bool		others = chpg_json_length(prepared->access_list) > 0;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" is the last known %s of the IP access list of service \"%s\": specify \"allow_empty\"",
					chpg_clean_remote(pstrdup(source)), others ? "address" : "entry",
					prepared->request.service_id),
			 errdetail("%sAn empty list may admit every address, or none.",
					   others ? "The API may compare addresses alone, and remove all entries of this one. " : ""),
			 errhint("Allow another address first by chpg_allow_ip(), and wait until chpg_ip_access_list() shows it; or specify allow_empty => true.")));
}

/*
 * Check that a list which has no entry to be removed has none of its source either.
 * Error 42704 if it has: the API may compare the source alone, and remove those.
 */
static void
check_descriptions(const ChpgPrepared *prepared, const char *source)
{
	const ChpgRequest *request = &prepared->request;

	if (chpg_has_source(prepared->access_list, source))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("IP access list of service \"%s\" has \"%s\" with another \"description\" only",
						request->service_id, chpg_clean_remote(pstrdup(source))),
				 errhint("See the descriptions: SELECT * FROM chpg_ip_access_list(%s, server => %s);",
						 quote_literal_cstr(request->service_id),
						 quote_literal_cstr(request->connection->server))));
}

/*
 * chpg_revoke_ip(service, source, description, allow_empty)
 */
Datum
chpg_revoke_ip(PG_FUNCTION_ARGS)
{
	ChpgPrepared prepared;
	StringInfoData entries;
	char	   *description;
	char	   *source = begin_access_change(fcinfo, &prepared, &description);
	int			i = chpg_find_argument(&prepared.invocation, "allow_empty");
	bool		allow_empty = i >= 0 && PG_GETARG_BOOL(i);
	bool		is_shown = prepared.access_list != NULL;

	initStringInfo(&entries);
	prepared.access_list = split_list(prepared.access_list, source, description,
									  &entries);
	if (entries.len > 0 && !has_other_source(prepared.access_list, source) && !allow_empty)
		refuse_last(&prepared, source);
	if (entries.len == 0)
	{
		check_descriptions(&prepared, source);
		append_entry(&entries, source, description);
		if (is_shown)
			ereport(NOTICE,
					(errmsg("\"%s\" is not on the IP access list that the API shows of service \"%s\"",
							chpg_clean_remote(pstrdup(source)), prepared.request.service_id)));
	}
	return send_access_change(fcinfo, &prepared, "remove", entries.data);
}
