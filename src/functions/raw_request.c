/*-------------------------------------------------------------------------
 *
 * raw_request.c
 *		Any operation of the API: chpg_request().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "ascii.h"
#include "engine/hide_statement.h"
#include "engine/services.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions/write.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "protocol/remote_text.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(chpg_request);

static const ChpgAttribute no_exceptions[] = {
	{NULL}
};

/* Return the constant of an HTTP method.  Error 22023 for another one. */
static const char *
check_method(const char *method)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	for (int i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(method, methods[i]) == 0)
			return methods[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", "method",
					chpg_clean_remote(pstrdup(method))),
			 errhint("Specify GET, POST, PUT, PATCH or DELETE.")));
	return NULL;				/* keep compiler quiet */
}

/* In a path, stands for the server's organization */
#define ORGANIZATION_ID		"{organization_id}"

/*
 * Has a path only unreserved characters, slashes, and places for the
 * organization?
 */
static bool
has_path_characters(const char *path)
{
	while (*path != '\0')
	{
		if (strncmp(path, ORGANIZATION_ID, strlen(ORGANIZATION_ID)) == 0)
			path += strlen(ORGANIZATION_ID);
		else if (chpg_is_letter(*path) || chpg_is_digit(*path) ||
				 strchr("/._~-", *path) != NULL)
			path++;
		else
			return false;
	}
	return true;
}

/*
 * Throw error 22023 unless a path is below /v1, without segments such as "..".
 */
static void
check_path(const char *path)
{
	if (strncmp(path, "/v1/", 4) == 0 && strlen(path) <= 1024 &&
		strstr(path, "/.") == NULL && strstr(path, "//") == NULL &&
		has_path_characters(path))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", "path",
					chpg_clean_remote(pstrdup(path))),
			 errhint("Specify a path such as /v1/organizations/" ORGANIZATION_ID "/services. " ORGANIZATION_ID " stands for the server's organization.")));
}

/* Replace each place for the organization in a path; palloc'd. */
static const char *
fill_organization(const char *path, const ChpgConnection *connection)
{
	const char *found;

	while ((found = strstr(path, ORGANIZATION_ID)) != NULL)
		path = psprintf("%.*s%s%s", (int) (found - path), path,
						connection->organization_id,
						found + strlen(ORGANIZATION_ID));
	return path;
}

/*
 * Encode a jsonb object of strings as a query string with its "?", palloc'd;
 * empty for an empty object.  Error 22023 for another value.
 */
static char *
query_string(Datum query)
{
	Jsonb	   *object = DatumGetJsonbP(query);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	StringInfoData result;

	initStringInfo(&result);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", "query"),
				 errhint("Specify an object such as {\"limit\": \"10\"}.")));
	it = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		if (item.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for \"%s\"", "query"),
					 errhint("The values of the object must be strings.")));
		appendStringInfoChar(&result, token == WJB_VALUE ? '=' :
							 result.len == 0 ? '?' : '&');
		chpg_append_encoded(&result, pnstrdup(item.val.string.val,
											  item.val.string.len));
	}
	return result.data;
}

/* Return an argument of type jsonb as JSON in UTF-8, palloc'd, or NULL. */
static const char *
jsonb_argument(const ChpgInvocation *invocation, const char *name)
{
	int			i = chpg_find_argument(invocation, name);
	FunctionCallInfo fcinfo = invocation->fcinfo;
	Jsonb	   *json;
	char	   *text;

	if (i < 0)
		return NULL;
	json = PG_GETARG_JSONB_P(i);
	text = JsonbToCString(NULL, &json->root, VARSIZE(json));
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* Return an argument of type text, palloc'd.  Error 22004 if it is NULL. */
static char *
text_argument(const ChpgInvocation *invocation, const char *name)
{
	int			i = chpg_find_argument(invocation, name);
	FunctionCallInfo fcinfo = invocation->fcinfo;

	if (i < 0)
		chpg_refuse_null(name);
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* Form the row of a response: its HTTP status, request id and result. */
static Datum
result_row(FunctionCallInfo fcinfo, ChpgCall *call)
{
	ChpgJsonNode *result = chpg_call_result(call);
	const char *request_id = chpg_call_request_id(call);
	TupleDesc	tupdesc;
	ErrorContextCallback callback;
	char	   *fields[3];
	Datum		row;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fields[0] = psprintf("%d", chpg_call_status(call));
	fields[1] = request_id ? pstrdup(request_id) : NULL;
	fields[2] = result ? chpg_json_serialize(result) : NULL;
	chpg_call_push_context(call, &callback);
	row = HeapTupleGetDatum(BuildTupleFromCStrings(TupleDescGetAttInMetadata(tupdesc),
												   fields));
	error_context_stack = callback.previous;
	return row;
}

/*
 * Read and check the arguments, send the request, and return the row; NULL in
 * a dry run.  The endpoint lives on the stack: the call ends before the
 * function does.
 */
static Datum
send_request(FunctionCallInfo fcinfo)
{
	ChpgEndpoint endpoint = {
		.rows = "result?",
		.purpose = "send the request",
		.acknowledges = true,
		.attributes = no_exceptions
	};
	ChpgInvocation invocation;
	ChpgRequest request = {0};
	ChpgCall   *call;
	int			query;

	chpg_read_invocation(fcinfo, &endpoint, &invocation);
	endpoint.method = check_method(text_argument(&invocation, "method"));
	if (chpg_is_write(&endpoint))
		chpg_check_write_allowed("chpg_request");
	request.connection = invocation.connection;
	request.endpoint = &endpoint;
	request.arguments = &invocation.arguments;
	request.path = text_argument(&invocation, "path");
	check_path(request.path);
	endpoint.path = request.path;
	request.body = jsonb_argument(&invocation, "body");
	if (request.body != NULL && !chpg_is_write(&endpoint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("GET request cannot have a body")));
	query = chpg_find_argument(&invocation, "query");
	if (query >= 0)
		request.query = query_string(PG_GETARG_DATUM(query));

	if (strstr(request.path, "{organization_id}") != NULL)
		chpg_discover_organization(invocation.connection);
	request.path = fill_organization(request.path, invocation.connection);
	if (chpg_is_write(&endpoint))
		call = chpg_send_write(&request);
	else
		(void) chpg_call_perform(&request, &call);
	if (call == NULL)
		PG_RETURN_NULL();
	return result_row(fcinfo, call);
}

/*
 * chpg_request(method, path, query, body)
 */
Datum
chpg_request(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback;
	Datum		result;

	/* The body may hold a secret. */
	chpg_hide_statement(&callback, "SELECT * FROM chpg_request(...)");
	result = send_request(fcinfo);
	error_context_stack = callback.previous;
	return result;
}
