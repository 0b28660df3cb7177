/*-------------------------------------------------------------------------
 *
 * request_build.c
 *		Building a request: its path, URL and body out of an endpoint and arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ascii.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "protocol/request_build.h"

void
chpg_append_encoded(StringInfo url, const char *text)
{
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	for (const char *p = utf8; *p != '\0'; p++)
	{
		if (chpg_is_letter(*p) || chpg_is_digit(*p) || strchr("-._~", *p) != NULL)
			appendStringInfoChar(url, *p);
		else
			appendStringInfo(url, "%%%02X", (unsigned char) *p);
	}
}

/*
 * Find the value of {name} in an endpoint's path; NULL if the request has none.
 */
static const char *
path_value(const ChpgRequest *request, const char *organization_id,
		   const char *name, size_t length)
{
	const ChpgParameter *parameters = request->endpoint->parameters;

	if (strncmp(name, "organization_id", length) == 0)
		return organization_id;
	if (strncmp(name, "service_id", length) == 0)
		return request->service_id;
	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].key == NULL &&
			strncmp(parameters[i].name, name, length) == 0)
			return request->arguments->values[i];
	}
	return NULL;
}

char *
chpg_build_path(const ChpgRequest *request, const char *organization_id)
{
	StringInfoData path;

	if (request->path != NULL)
		return pstrdup(request->path);
	initStringInfo(&path);
	for (const char *p = request->endpoint->path; *p != '\0'; p++)
	{
		size_t		length;
		const char *value;

		if (*p != '{')
		{
			appendStringInfoChar(&path, *p);
			continue;
		}
		length = strcspn(++p, "}");
		value = path_value(request, organization_id, p, length);
		if (value == NULL || *value == '\0')
			elog(ERROR, "no value for \"%.*s\" in the path \"%s\"",
				 (int) length, p, request->endpoint->path);
		chpg_append_encoded(&path, value);
		p += length;
	}
	return path.data;
}

/* Append an argument to the query of a URL. */
static void
append_query(StringInfo url, const char *key, const char *value)
{
	appendStringInfo(url, "%c%s=", strchr(url->data, '?') ? '&' : '?', key);
	chpg_append_encoded(url, value);
}

char *
chpg_build_url(const ChpgRequest *request, const char *api_url, const char *path)
{
	const ChpgParameter *parameters = request->endpoint->parameters;
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s%s%s", api_url, path,
					 request->query ? request->query : "");
	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].key != NULL && !chpg_is_write(request->endpoint) &&
			request->arguments->values[i] != NULL)
			append_query(&url, parameters[i].key,
						 request->arguments->values[i]);
	}
	if (request->limit > 0)
	{
		append_query(&url, "limit", psprintf("%d", request->limit));
		if (!request->endpoint->by_cursor)
			append_query(&url, "offset",
						 psprintf(INT64_FORMAT, request->offset));
	}
	if (request->cursor != NULL)
		append_query(&url, "cursor", request->cursor);
	return url.data;
}

/*
 * Set a member of a body from a parameter's value.
 */
static void
add_member(ChpgJson *body, const ChpgParameter *parameter, const char *value,
		   bool masked)
{
	switch (parameter->kind)
	{
		case CHPG_NUMBER:
		case CHPG_TAGS:
		case CHPG_NEW_CONFIG:
		case CHPG_CHANGED_CONFIG:
		case CHPG_WHOLE_CONFIG:
		case CHPG_ANY_JSON:
		case CHPG_TEXT_LIST:
			chpg_json_set_json(body, parameter->key, value);
			break;
		case CHPG_PASSWORD:
			chpg_json_set_text(body, parameter->key, masked ? "***" : value);
			break;
		default:
			chpg_json_set_text(body, parameter->key, value);
			break;
	}
}

const char *
chpg_build_body(const ChpgRequest *request, bool masked)
{
	const ChpgParameter *parameters = request->endpoint->parameters;
	ChpgJson   *body = NULL;

	if (request->body != NULL)
		return masked ? "{...}" : request->body;
	if (!chpg_is_write(request->endpoint))
		return NULL;
	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].key == NULL)
			continue;
		if (body == NULL)
			body = chpg_json_create(CurrentMemoryContext);
		if (request->arguments->values[i] != NULL)
			add_member(body, &parameters[i], request->arguments->values[i],
					   masked);
	}
	return body != NULL ? chpg_json_print(body) : NULL;
}
