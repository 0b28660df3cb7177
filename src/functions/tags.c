/*-------------------------------------------------------------------------
 *
 * tags.c
 *		Changing some tags of a service, and keeping the others.
 *
 * A PATCH replaces all tags, so a change of some builds on those that the API shows, or
 * on those that this backend has sent while the API does not show them: see sent.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/redact.h"
#include "fmgr.h"
#include "functions/access_list.h"
#include "functions/sent.h"
#include "functions/tags.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

/* Tags are objects in JSON, in the form that jsonb prints. */
static const ChpgSentKind sent_tags = {
	.name = "tags",
	.hint = "Wait with chpg_wait(..., expected => ...), or specify all tags in chpg_update_service()."
};

PG_FUNCTION_INFO_V1(chpg_remove_tags);
PG_FUNCTION_INFO_V1(chpg_set_tags);

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
	const char *queued;

	prepared->current_tags = tags_to_text(shown);
	queued = chpg_sent_queued(&sent_tags, prepared->request.service_id,
							  prepared->current_tags);
	return queued != NULL ? tags_from_text(queued) : shown;
}

Datum
chpg_send_tags(FunctionCallInfo fcinfo, ChpgPrepared *prepared)
{
	ChpgCall   *call = chpg_send_write(&prepared->request);
	char	   *tags;

	if (call == NULL)
		PG_RETURN_NULL();
	tags = list_to_text(*chpg_prepared_argument(prepared, "tags"));
	chpg_sent_remember(&sent_tags, prepared->request.service_id, tags, tags,
					   prepared->current_tags);
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
