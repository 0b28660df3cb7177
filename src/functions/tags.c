/*-------------------------------------------------------------------------
 *
 * tags.c
 *		Changing some tags of a service, and keeping the others.
 *
 * A PATCH replaces all tags, so a change of some builds on those that the API shows.
 * But the API queues changes, and shows the former tags until it has applied one:
 * built on those, the next change would revert the queued one.  So each backend
 * remembers for a while the tags that it has sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/redact.h"
#include "fmgr.h"
#include "functions/access_list.h"
#include "functions/tags.h"
#include "net/clock.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long a change may be queued (microseconds) */
#define QUEUE_TIME			(10 * 60 * USECS_PER_SEC)

/* Tags are objects in JSON, in the form that jsonb prints. */
typedef struct SentTags
{
	MemoryContext context;		/* below TopMemoryContext; holds all of this */
	char	   *service_id;
	char	   *tags;			/* sent last */
	List	   *earlier;		/* char *: tags shown or sent before those */
	bool		complete;		/* "earlier" has the tags before the first
								 * change */
	int64		sent_at;		/* on the clock of chpg_now() */
} SentTags;

/* One of each service whose tags this backend has changed */
static List *sent_tags = NIL;

PG_FUNCTION_INFO_V1(chpg_remove_tags);
PG_FUNCTION_INFO_V1(chpg_set_tags);

/* Find what this backend has sent for a service, or NULL. */
static SentTags *
find_sent_tags(const char *service_id)
{
	ListCell   *lc;

	foreach(lc, sent_tags)
	{
		SentTags   *sent = (SentTags *) lfirst(lc);

		if (strcmp(sent->service_id, service_id) == 0)
			return sent;
	}
	return NULL;
}

/* Parse a JSON object of tags as jsonb. */
static Datum
tags_from_text(const char *object)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(object));
}

/*
 * Print tags as a JSON object, in the form that compares equal for equal tags.
 */
static char *
tags_to_text(Datum tags)
{
	Jsonb	   *object = DatumGetJsonbP(tags);

	return JsonbToCString(NULL, &object->root, VARSIZE(object));
}

/* Convert tags from the API's list, as JSON, to that form. */
static char *
list_to_text(const char *list)
{
	ChpgJson   *document = chpg_json_create(CurrentMemoryContext);
	Datum		tags;

	chpg_json_set_json(document, "tags", list);
	tags = tags_from_text(chpg_tags_to_object(chpg_json_get(chpg_json_root(document),
															"tags")));
	chpg_json_free(document);
	return tags_to_text(tags);
}

/* Forget what was sent for a service, and free it. */
static void
forget_tags(SentTags *sent)
{
	sent_tags = list_delete_ptr(sent_tags, sent);
	MemoryContextDelete(sent->context);
}

/*
 * Remember the list of tags that was sent for a service, with the tags before
 * it.
 */
static void
remember_tags(const ChpgPrepared *prepared, const char *list)
{
	const char *service_id = prepared->request.service_id;
	char	   *tags = list_to_text(list);
	SentTags   *former = find_sent_tags(service_id);
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "chpg sent tags",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	SentTags   *sent = palloc0(sizeof(SentTags));
	ListCell   *lc;

	sent->context = context;
	sent->service_id = pstrdup(service_id);
	sent->tags = pstrdup(tags);
	sent->sent_at = chpg_now();
	if (former != NULL)
	{
		/* The former change may be queued, too. */
		foreach(lc, former->earlier)
			sent->earlier = lappend(sent->earlier, pstrdup(lfirst(lc)));
		sent->earlier = lappend(sent->earlier, pstrdup(former->tags));
	}
	sent->complete = prepared->current_tags != NULL ||
		(former != NULL && former->complete);
	if (prepared->current_tags != NULL)
		sent->earlier = lappend(sent->earlier, pstrdup(prepared->current_tags));
	MemoryContextSwitchTo(TopMemoryContext);
	sent_tags = lappend(sent_tags, sent);
	MemoryContextSwitchTo(caller);
	if (former != NULL)
		forget_tags(former);
}

/*
 * Do the tags that the API shows predate the change, so that the change is
 * still queued?  Error 55006 if that cannot be known: the tags before the
 * change were never read.
 */
static bool
is_queued(const SentTags *sent, const char *shown)
{
	ListCell   *lc;

	if (strcmp(shown, sent->tags) == 0 ||
		chpg_now() - sent->sent_at > QUEUE_TIME)
		return false;
	foreach(lc, sent->earlier)
	{
		if (strcmp(shown, (char *) lfirst(lc)) == 0)
			return true;
	}
	if (!sent->complete)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("tags of service \"%s\" differ from those sent %.0f s ago",
						sent->service_id,
						(double) (chpg_now() - sent->sent_at) / USECS_PER_SEC),
				 errdetail("Either the API has not applied them yet, or another client has changed the tags since."),
				 errhint("Wait with chpg_wait(..., expected => ...), or specify all tags in chpg_update_service().")));
	return false;
}

/*
 * Read the tags that the API shows, as a jsonb object, and note the IP access list
 * in the same response.  One request.  Error 55000 if the response omits the tags: a
 * PATCH without them would remove them, contrary to merge-patch.  Error 22P05 if the
 * encoding cannot hold them.
 */
static Datum
read_current_tags(ChpgPrepared *prepared)
{
	ChpgJsonNode *service = chpg_read_result(prepared, CHPG_GET_SERVICE);
	ChpgJsonNode *tags = chpg_json_get(service, "tags");

	prepared->access_list = chpg_shown_access_list(service);
	if (tags == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("API response omits the tags of service \"%s\"",
						prepared->request.service_id),
				 errdetail("An update without tags would remove them."),
				 errhint("Specify all tags in the argument \"tags\" of chpg_update_service().")));
	(void) chpg_json_serialize_exactly(tags);
	return tags_from_text(chpg_tags_to_object(tags));
}

Datum
chpg_read_tags(ChpgPrepared *prepared)
{
	Datum		shown = read_current_tags(prepared);
	SentTags   *sent = find_sent_tags(prepared->request.service_id);

	prepared->current_tags = tags_to_text(shown);
	if (sent == NULL)
		return shown;
	if (!is_queued(sent, prepared->current_tags))
	{
		/*
		 * The change was applied, or another client has changed the tags
		 * since.
		 */
		forget_tags(sent);
		return shown;
	}
	ereport(NOTICE,
			(errmsg("API does not show the tags sent %.0f s ago yet",
					(double) (chpg_now() - sent->sent_at) / USECS_PER_SEC),
			 errdetail("This change builds on the tags sent.")));
	return tags_from_text(sent->tags);
}

Datum
chpg_send_tags(FunctionCallInfo fcinfo, ChpgPrepared *prepared)
{
	ChpgCall   *call = chpg_send_write(&prepared->request);

	if (call == NULL)
		PG_RETURN_NULL();
	remember_tags(prepared, *chpg_prepared_argument(prepared, "tags"));
	chpg_check_access_list(prepared, call);
	return chpg_response_row(fcinfo, &prepared->request, call);
}

/* Throw error 22023 for an argument. */
static void
refuse_argument(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\"", name),
			 errhint("%s", hint)));
}

/* Reject an empty object. */
static void
check_tags(const char *name, Datum value)
{
	if (JB_ROOT_COUNT(DatumGetJsonbP(value)) == 0)
		refuse_argument(name, "Specify at least one tag. chpg_update_service() can remove all.");
}

/* Reject an array of several dimensions, and NULL elements. */
static void
check_keys(const char *name, Datum value)
{
	ArrayType  *keys = DatumGetArrayTypeP(value);

	if (ARR_NDIM(keys) != 1 || array_contains_nulls(keys))
		refuse_argument(name, "Specify a list of keys, such as '{team}', without nulls.");
}

/*
 * Change the current tags of a service by an argument, and send them.  "check"
 * throws an error for an invalid argument; "change" is an operator's function
 * over jsonb and the argument.
 */
static Datum
change_tags(FunctionCallInfo fcinfo, const char *name,
			void (*check) (const char *name, Datum value), PGFunction change)
{
	ChpgPrepared prepared;
	Datum		tags;
	int			i;

	(void) chpg_begin_operation(fcinfo, CHPG_UPDATE_SERVICE, &prepared);
	i = chpg_find_argument(&prepared.invocation, name);
	if (i < 0)
		chpg_refuse_null(name);
	check(name, PG_GETARG_DATUM(i));
	chpg_locate_service(&prepared);
	tags = DirectFunctionCall2(change, chpg_read_tags(&prepared),
							   PG_GETARG_DATUM(i));
	*chpg_prepared_argument(&prepared, "tags") = chpg_tags_to_list(tags);
	return chpg_send_tags(fcinfo, &prepared);
}

/*
 * chpg_set_tags(service, tags)
 */
Datum
chpg_set_tags(PG_FUNCTION_ARGS)
{
	return change_tags(fcinfo, "tags", check_tags, jsonb_concat);
}

/*
 * chpg_remove_tags(service, keys)
 */
Datum
chpg_remove_tags(PG_FUNCTION_ARGS)
{
	return change_tags(fcinfo, "keys", check_keys, jsonb_delete_array);
}
