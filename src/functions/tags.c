/*-------------------------------------------------------------------------
 *
 * tags.c
 *		Changing some tags of a service, and keeping the others.
 *
 * A PATCH replaces all tags, so a change of some is made of those that the API
 * shows.  But a change is queued, and until it is applied the API shows the
 * tags before it: made of those, the next change would take it back.  So we
 * remember for a while what was sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/redact.h"
#include "fmgr.h"
#include "functions/tags.h"
#include "net/clock.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long a change may be queued, in microseconds. */
#define QUEUE_TIME			(10 * 60 * USECS_PER_SEC)

/* Tags are objects in JSON, in the form that jsonb prints. */
typedef struct SentTags
{
	MemoryContext context;		/* of all this */
	char	   *service_id;
	char	   *tags;			/* sent last */
	List	   *earlier;		/* shown or sent before */
	bool		complete;		/* nothing else was there before */
	int64		sent_at;
} SentTags;

/* Of each service that this backend has changed. */
static List *sent_tags = NIL;

PG_FUNCTION_INFO_V1(chpg_remove_tags);
PG_FUNCTION_INFO_V1(chpg_set_tags);

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

static Datum
tags_from_text(const char *object)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(object));
}

static char *
tags_to_text(Datum tags)
{
	Jsonb	   *object = DatumGetJsonbP(tags);

	return JsonbToCString(NULL, &object->root, VARSIZE(object));
}

/* From the form in which they are sent. */
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

static void
forget_tags(SentTags *sent)
{
	sent_tags = list_delete_ptr(sent_tags, sent);
	MemoryContextDelete(sent->context);
}

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
		/* The former may still be queued as well. */
		foreach(lc, former->earlier)
			sent->earlier = lappend(sent->earlier, pstrdup(lfirst(lc)));
		sent->earlier = lappend(sent->earlier, pstrdup(former->tags));
	}
	sent->complete = prepared->shown_tags != NULL ||
		(former != NULL && former->complete);
	if (prepared->shown_tags != NULL)
		sent->earlier = lappend(sent->earlier, pstrdup(prepared->shown_tags));
	MemoryContextSwitchTo(TopMemoryContext);
	sent_tags = lappend(sent_tags, sent);
	MemoryContextSwitchTo(caller);
	if (former != NULL)
		forget_tags(former);
}

/* Is what the API shows just what was there before the change? */
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
 * A PATCH without tags removes them, whatever merge-patch says, so each one
 * has them.  Returns the present ones as an object.
 */
static Datum
read_shown_tags(const ChpgPrepared *prepared)
{
	ChpgJsonNode *tags = chpg_read_now(prepared, CHPG_GET_SERVICE, "tags");

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
	Datum		shown = read_shown_tags(prepared);
	SentTags   *sent = find_sent_tags(prepared->request.service_id);

	prepared->shown_tags = tags_to_text(shown);
	if (sent == NULL)
		return shown;
	if (!is_queued(sent, prepared->shown_tags))
	{
		/* It has been applied, or somebody else has changed them since. */
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
	return chpg_answer_row(fcinfo, &prepared->request, call);
}

static void
refuse_argument(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\"", name),
			 errhint("%s", hint)));
}

static void
check_tags(const char *name, Datum value)
{
	if (JB_ROOT_COUNT(DatumGetJsonbP(value)) == 0)
		refuse_argument(name, "Specify at least one tag. chpg_update_service() can remove all.");
}

static void
check_keys(const char *name, Datum value)
{
	ArrayType  *keys = DatumGetArrayTypeP(value);

	if (ARR_NDIM(keys) != 1 || array_contains_nulls(keys))
		refuse_argument(name, "Specify a list of keys, such as '{team}', without nulls.");
}

/* Send the present tags, changed by an argument. */
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
