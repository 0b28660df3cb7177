/*-------------------------------------------------------------------------
 *
 * access_list.c
 *		The IP access list of a service, which a change of something else must keep.
 *
 * Nothing documents whether a PATCH without the list keeps it: one without tags
 * clears those.  And the list that is read is no list that may be sent: a PATCH takes
 * what to add and what to remove.  So other changes omit the list, and compare it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "engine/page_dedup.h"
#include "engine/redact.h"
#include "functions/access_list.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Entries that a message lists */
#define MAX_LISTED			50

ChpgJsonNode *
chpg_shown_access_list(ChpgJsonNode *service)
{
	ChpgJsonNode *list = chpg_json_get(service, "ipAccessList");

	return chpg_json_kind(list) == CHPG_JSON_ARRAY ? list : NULL;
}

char *
chpg_access_source(ChpgJsonNode *entry)
{
	ChpgJsonNode *source = entry;

	if (chpg_json_kind(entry) == CHPG_JSON_OBJECT)
		source = chpg_json_get(entry, "source");
	return chpg_json_kind(source) == CHPG_JSON_STRING ? chpg_json_text(source) : NULL;
}

/* Return the length of a source without "/32", which says no more than the address. */
static size_t
source_length(const char *source)
{
	size_t		mask = strcspn(source, "/");

	return strcmp(source + mask, "/32") == 0 ? mask : strlen(source);
}

bool
chpg_same_source(const char *a, const char *b)
{
	size_t		length = source_length(a);

	return source_length(b) == length && memcmp(a, b, length) == 0;
}

bool
chpg_has_source(ChpgJsonNode *list, const char *source)
{
	for (int i = 0; i < chpg_json_length(list); i++)
	{
		char	   *other = chpg_access_source(chpg_json_element(list, i));

		CHECK_FOR_INTERRUPTS();
		if (other != NULL && chpg_same_source(source, other))
			return true;
		if (other != NULL)
			pfree(other);
	}
	return false;
}

/* Hash a source so that those that are the same, as chpg_same_source() says, are equal. */
static uint64
hash_source(const char *source)
{
	return hash_bytes_extended((const unsigned char *) source, source_length(source), 0);
}

/*
 * Find the entries of a list, from 0, whose sources another one, which may be NULL, has:
 * a palloc'd array of the list's length.
 */
static bool *
find_kept(ChpgJsonNode *list, ChpgJsonNode *other)
{
	ChpgJsonNode *lists[] = {other, list};
	ChpgPageDedup *sources = chpg_page_dedup_create();
	bool	   *kept = NULL;

	for (int i = 0; i < lengthof(lists); i++)
	{
		int			length = chpg_json_length(lists[i]);
		uint64	   *hashes = palloc((length + 1) * sizeof(uint64));

		kept = palloc((length + 1) * sizeof(bool));
		for (int j = 0; j < length; j++)
		{
			char	   *source = chpg_access_source(chpg_json_element(lists[i], j));

			CHECK_FOR_INTERRUPTS();
			hashes[j] = source != NULL ? hash_source(source) : 0;
			if (source != NULL)
				pfree(source);
		}
		if (length > 0)
			(void) chpg_page_dedup_add(sources, hashes, length, kept);
	}
	chpg_page_dedup_free(sources);
	return kept;
}

/* Append the statement that restores an entry. */
static void
append_restoration(StringInfo statements, const ChpgPrepared *prepared,
				   const char *source, ChpgJsonNode *description)
{
	const ChpgRequest *request = &prepared->request;

	appendStringInfo(statements, "%sSELECT FROM chpg_allow_ip(%s, %s",
					 statements->len > 0 ? " " : "",
					 quote_literal_cstr(request->service_id),
					 quote_literal_cstr(source));
	if (chpg_json_kind(description) == CHPG_JSON_STRING)
		appendStringInfo(statements, ", %s",
						 quote_literal_cstr(chpg_redact_remote(request,
															   chpg_json_text(description))));
	appendStringInfo(statements, ", server => %s);",
					 quote_literal_cstr(request->connection->server));
}

/* Issue a WARNING if entries of "before" are not in "after", which may be NULL. */
static void
warn_of_losses(const ChpgPrepared *prepared, ChpgJsonNode *before,
			   ChpgJsonNode *after)
{
	StringInfoData sources;
	StringInfoData statements;
	bool	   *kept = find_kept(before, after);
	int			lost = 0;

	initStringInfo(&sources);
	initStringInfo(&statements);
	for (int i = 0; i < chpg_json_length(before); i++)
	{
		ChpgJsonNode *entry = chpg_json_element(before, i);
		char	   *source = chpg_access_source(entry);

		CHECK_FOR_INTERRUPTS();
		if (source == NULL || kept[i] || ++lost > MAX_LISTED)
			continue;
		source = chpg_redact_remote(&prepared->request, source);
		appendStringInfo(&sources, "%s%s", lost > 1 ? ", " : "", source);
		append_restoration(&statements, prepared, source,
						   chpg_json_get(entry, "description"));
	}
	if (lost == 0)
		return;
	if (lost > MAX_LISTED)
		appendStringInfo(&sources, ", and %d more", lost - MAX_LISTED);
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg_plural("change of service \"%s\" removed %d entry of its IP access list",
						   "change of service \"%s\" removed %d entries of its IP access list",
						   lost, prepared->request.service_id, lost),
			 errdetail("Missing since: %s.", sources.data),
			 errhint("Restore them: %s", statements.data)));
}

/*
 * Read the list again, for a message about a change.  One request.  False, with a
 * WARNING, if that fails.
 */
static bool
read_list_again(const ChpgPrepared *prepared, ChpgJsonNode **list)
{
	ChpgRequest request = chpg_read_request(prepared, CHPG_GET_SERVICE);
	ChpgCall   *call = chpg_call_create(&request);

	chpg_call_wait(call);
	if (chpg_call_failed(call))
	{
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("could not check whether service \"%s\" kept its IP access list",
						request.service_id),
				 errhint("Compare: SELECT * FROM chpg_ip_access_list(%s, server => %s);",
						 quote_literal_cstr(request.service_id),
						 quote_literal_cstr(request.connection->server))));
		return false;
	}
	*list = chpg_shown_access_list(chpg_call_result(call));
	return true;
}

void
chpg_check_access_list(const ChpgPrepared *prepared, ChpgCall *call)
{
	ChpgJsonNode *before = prepared->access_list;
	ChpgJsonNode *after;
	ErrorContextCallback callback;

	if (chpg_json_length(before) == 0)
		return;
	chpg_call_push_context(call, &callback);
	after = chpg_shown_access_list(chpg_call_result(call));
	if (after != NULL || read_list_again(prepared, &after))
		warn_of_losses(prepared, before, after);
	error_context_stack = callback.previous;
}
