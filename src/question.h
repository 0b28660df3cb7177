/*-------------------------------------------------------------------------
 *
 * question.h
 *		What is asked of the API, and the URL that asks it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_QUESTION_H
#define CHPG_QUESTION_H

#include "arguments.h"
#include "connection.h"

typedef struct ChpgQuestion
{
	const ChpgConnection *connection;
	const ChpgEndpoint *endpoint;
	const ChpgArguments *arguments; /* NULL if the endpoint takes none */
	const char *service_id;		/* NULL if it concerns no service */
	const char *service_name;	/* for messages, or NULL */
	int64		offset;			/* of a page; with limit */
	int			limit;			/* rows wanted; 0: not sent */
} ChpgQuestion;

/*
 * The path, and the URL of which it is a part.  Values are percent-encoded;
 * neither holds a secret.
 */
extern char *chpg_build_path(const ChpgQuestion *question);
extern char *chpg_build_url(const ChpgQuestion *question, const char *path);

#endif							/* CHPG_QUESTION_H */
