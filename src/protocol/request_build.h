/*-------------------------------------------------------------------------
 *
 * request_build.h
 *		What is asked of the API, and the URL that asks it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REQUEST_BUILD_H
#define CHPG_REQUEST_BUILD_H

#include "engine/connection.h"
#include "lib/stringinfo.h"
#include "protocol/arguments.h"

typedef struct ChpgRequest
{
	const ChpgConnection *connection;
	const ChpgEndpoint *endpoint;
	const ChpgArguments *arguments; /* NULL if the endpoint takes none */
	const char *service_id;		/* NULL if it concerns no service */
	const char *service_name;	/* for messages, or NULL */
	int64		offset;			/* of a page; with limit */
	int			limit;			/* rows wanted; 0: not sent */
	const char *path;			/* NULL: the endpoint's */
	const char *query;			/* with its "?", encoded; NULL: made of the
								 * arguments */
	const char *body;			/* JSON; NULL: made of the arguments */
	bool		no_retry;		/* make no second attempt */
	int64		deadline;		/* of all attempts, as chpg_now(); 0: none */
} ChpgRequest;

/*
 * The body of a write: its parameters as one JSON object, in UTF-8; NULL for
 * one that has none.  Masked, what is secret is left out, to be shown.
 */
extern const char *chpg_build_body(const ChpgRequest *request, bool masked);

/*
 * The path, and the URL of which it is a part.  Values are percent-encoded;
 * neither holds a secret.
 */
extern char *chpg_build_path(const ChpgRequest *request);
extern void chpg_append_encoded(StringInfo url, const char *text);
extern char *chpg_build_url(const ChpgRequest *request, const char *path);

#endif							/* CHPG_REQUEST_BUILD_H */
