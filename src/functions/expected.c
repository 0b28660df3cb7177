/*-------------------------------------------------------------------------
 *
 * expected.c
 *		What chpg_wait() expects: values of a service's attributes, in a jsonb object.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "functions/expected.h"
#include "lib/stringinfo.h"
#include "protocol/remote_text.h"
#include "protocol/resources.h"

/* Does the row type have an attribute of this name? */
static bool
has_attribute(TupleDesc tupdesc, const char *name)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(tupdesc, i)->attname), name) == 0)
			return true;
	}
	return false;
}

/* Find the next key of an object that is iterated over, palloc'd; NULL at the end. */
static char *
next_key(JsonbIterator **it)
{
	JsonbIteratorToken token;
	JsonbValue	item;

	while ((token = JsonbIteratorNext(it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			return pnstrdup(item.val.string.val, item.val.string.len);
	}
	return NULL;
}

/*
 * Throw error 22023 for a key of an object that is neither an attribute of the row type
 * nor "further", which may be NULL.  "of" says what has the attributes.
 */
static void
check_object(Jsonb *object, TupleDesc tupdesc, const char *of, const char *type,
			 const char *further)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	char	   *key;

	while ((key = next_key(&it)) != NULL)
	{
		if (!has_attribute(tupdesc, key) && (further == NULL || strcmp(key, further) != 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for \"%s\": a %s has no attribute \"%s\"",
							"expected", of, chpg_clean_remote(key)),
					 errhint("List the attributes in psql by: \\d %s", type)));
	}
}

/* Throw error 22023: a value is no object. */
static void
refuse_value(const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\"", "expected"),
			 errhint("%s", hint)));
}

Jsonb *
chpg_expected_endpoint(Datum expected)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&DatumGetJsonbP(expected)->root,
													 CHPG_EXPECTED_ENDPOINT,
													 strlen(CHPG_EXPECTED_ENDPOINT), NULL);

	return value != NULL ? JsonbValueToJsonb(value) : NULL;
}

void
chpg_check_expected(Datum expected, TupleDesc service, TupleDesc endpoint)
{
	Jsonb	   *object = DatumGetJsonbP(expected);
	Jsonb	   *of_endpoint;

	if (!JB_ROOT_IS_OBJECT(object))
		refuse_value("Specify an object such as {\"size\": \"r8gd.large\"}.");
	check_object(object, service, "service", "chpg_service_detail_row",
				 endpoint != NULL ? CHPG_EXPECTED_ENDPOINT : NULL);
	of_endpoint = chpg_expected_endpoint(expected);
	if (of_endpoint == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(of_endpoint) || JB_ROOT_COUNT(of_endpoint) == 0)
		refuse_value("Specify an object such as {\"" CHPG_EXPECTED_ENDPOINT "\": {\"state\": \"available\"}}.");
	check_object(of_endpoint, endpoint, "private endpoint", "chpg_private_endpoint_row",
				 NULL);
}

bool
chpg_expects_endpoint_state(Datum expected, const char *state)
{
	Jsonb	   *of_endpoint = chpg_expected_endpoint(expected);
	JsonbValue *value;

	if (of_endpoint == NULL)
		return false;
	value = getKeyJsonValueFromContainer(&of_endpoint->root, "state", strlen("state"), NULL);
	return value != NULL && value->type == jbvString &&
		value->val.string.len == (int) strlen(state) &&
		strncmp(value->val.string.val, state, value->val.string.len) == 0;
}

char *
chpg_pick_values(Jsonb *row, Jsonb *expected, const char *const *hidden)
{
	JsonbIterator *it = JsonbIteratorInit(&expected->root);
	StringInfoData text;
	char	   *key;

	initStringInfo(&text);
	while ((key = next_key(&it)) != NULL)
	{
		JsonbValue *value = getKeyJsonValueFromContainer(&row->root, key, strlen(key), NULL);
		Jsonb	   *found;

		if (value == NULL || (hidden != NULL && chpg_is_listed(hidden, key)))
			continue;
		found = JsonbValueToJsonb(value);
		appendStringInfo(&text, "%s\"%s\": %s", text.len > 0 ? ", " : "", key,
						 JsonbToCString(NULL, &found->root, VARSIZE(found)));
	}
	return psprintf("{%s}", text.data);
}
