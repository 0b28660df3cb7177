/*-------------------------------------------------------------------------
 *
 * request_build.h
 *		Building a request: its path, URL and body out of an endpoint and arguments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REQUEST_BUILD_H
#define CHPG_REQUEST_BUILD_H

#include "lib/stringinfo.h"
#include "protocol/arguments.h"

struct ChpgConnection;

/*
 * A request of one endpoint.  All that it points to belongs to the caller and
 * outlives it.
 */
typedef struct ChpgRequest
{
	const struct ChpgConnection *connection;	/* for whoever sends it; not
												 * looked at here */
	const ChpgEndpoint *endpoint;
	const ChpgArguments *arguments; /* NULL if the endpoint takes none */
	const char *service_id;		/* NULL if it concerns no service */
	const char *service_name;	/* for messages, or NULL */
	int64		offset;			/* of a page; with limit, unless there are
								 * cursors */
	const char *cursor;			/* of a page after the first one, as the
								 * response before it has it; or NULL */
	int			limit;			/* rows wanted; 0: not sent */
	const char *path;			/* NULL: the endpoint's */
	const char *query;			/* with its "?", encoded; NULL: made of the
								 * arguments */
	const char *body;			/* JSON; NULL: made of the arguments */
	bool		no_retry;		/* make no second attempt */
	bool		one_retry;		/* an answer of 5xx is probably final: make no
								 * third attempt after that */
	int64		deadline;		/* of all attempts, as chpg_now(); 0: none */
} ChpgRequest;

/*
 * Build the body of a write, palloc'd: its arguments as one JSON object in UTF-8;
 * NULL for an endpoint without such parameters, and for a read.  A masked body is for
 * messages: "***" stands for each secret.  Error 22023 if a value cannot be sent.
 */
extern const char *chpg_build_body(const ChpgRequest *request, bool masked);

/*
 * Build the path below the API's base URL, palloc'd, with the arguments that stand
 * in it and the organization (NULL if the path has none) percent-encoded.  It holds
 * no secret.  Error XX000 if a value is missing.
 */
extern char *chpg_build_path(const ChpgRequest *request, const char *organization_id);

/*
 * Build the whole URL, palloc'd: the API's base, the path of chpg_build_path(), and
 * the arguments of a read as query.  It holds no secret.
 */
extern char *chpg_build_url(const ChpgRequest *request, const char *api_url,
							const char *path);

/*
 * Append a text of the database's encoding as UTF-8, percent-encoded but for RFC
 * 3986's unreserved characters.
 */
extern void chpg_append_encoded(StringInfo url, const char *text);

#endif							/* CHPG_REQUEST_BUILD_H */
