/*-------------------------------------------------------------------------
 *
 * arguments.h
 *		Values for an endpoint's parameters, checked before anything is sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ARGUMENTS_H
#define CHPG_ARGUMENTS_H

#include "protocol/endpoints.h"

/*
 * A value for each parameter of an endpoint, in its order: text in the
 * database's encoding, in the form that the API takes, or NULL.
 */
typedef struct ChpgArguments
{
	const char *values[CHPG_MAX_PARAMETERS];

	/* a window, in milliseconds since 1970, and its buckets in seconds */
	int64		start;
	int64		end;
	int64		bucket;			/* 0: none is given */
} ChpgArguments;

/*
 * Set a parameter from an SQL value of the type that its kind says (text,
 * timestamptz, bigint or jsonb).  Errors: 22023.
 */
extern void chpg_set_argument(ChpgArguments *arguments,
							  const ChpgEndpoint *endpoint,
							  const ChpgParameter *parameter, Datum value);

/* Is it short enough for a parameter that is any text? */
extern bool chpg_text_fits(Datum value);

/* Milliseconds from 1970 to PostgreSQL's own epoch. */
#define MILLISECONDS_TO_2000	INT64CONST(946684800000)

/* The form that the API takes of a time in milliseconds since 1970. */
extern char *chpg_time_text(int64 time);

/* Check what concerns several parameters.  Errors: 22023. */
extern void chpg_check_arguments(const ChpgArguments *arguments,
								 const ChpgEndpoint *endpoint);

/* The form of the API, [{"key": k, "value": v}, ...], of tags as an object. */
extern char *chpg_tags_to_list(Datum tags);

/* The value of the endpoint's parameter, or NULL. */
extern const char **chpg_argument(ChpgArguments *arguments,
								  const ChpgEndpoint *endpoint,
								  const char *name);

/*
 * Check what a caller gave to name a service: an id or a name.  Errors: 22023.
 * chpg_is_service_id() tells whether the API takes it as an id.
 */
extern void chpg_check_service(const char *service);
extern bool chpg_is_service_id(const char *service);

/* Is it of the form of an organization's, and of some services', id? */
extern bool chpg_is_uuid(const char *text);

#endif							/* CHPG_ARGUMENTS_H */
