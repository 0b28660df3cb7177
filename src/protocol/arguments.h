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
 * A value for each parameter of an endpoint, in the order of its table: text in the
 * database's encoding, in the form that the API accepts, or NULL.
 */
typedef struct ChpgArguments
{
	const char *values[CHPG_MAX_PARAMETERS];

	/* the window, in milliseconds since 1970, and its buckets, in seconds */
	int64		start;
	int64		end;
	int64		bucket;			/* 0: the API's default */
} ChpgArguments;

/*
 * Check an SQL value of the type of the parameter's kind (text, timestamptz, interval,
 * bigint, jsonb or text[]), and set the parameter to its text, palloc'd.  Errors: 22023, and
 * 22P05 if a text cannot be converted to UTF-8.
 */
extern void chpg_set_argument(ChpgArguments *arguments,
							  const ChpgEndpoint *endpoint,
							  const ChpgParameter *parameter, Datum value);

/* The severities of log lines by which the API filters; NULL ends the list. */
extern const char *const chpg_log_severities[];

/* Is a text short enough for a parameter of the kind CHPG_ANY_TEXT? */
extern bool chpg_text_fits(Datum value);

/* Milliseconds from 1970 to PostgreSQL's own epoch. */
#define MILLISECONDS_TO_2000	INT64CONST(946684800000)

/* Format a time, in milliseconds since 1970, as the API does; palloc'd. */
extern char *chpg_time_text(int64 time);

/* Check parameters that depend on each other.  Errors: 22023. */
extern void chpg_check_arguments(const ChpgArguments *arguments,
								 const ChpgEndpoint *endpoint);

/* Convert tags, a jsonb object, to the API's list [{"key": k, "value": v}, ...]. */
extern char *chpg_tags_to_list(Datum tags);

/*
 * Print settings, a jsonb object of plain values, as JSON in the form that the API
 * accepts for this section of a configuration; palloc'd.
 */
extern char *chpg_config_to_text(const ChpgParameter *section, Datum settings);

/* Return the place of the value of an endpoint's parameter.  Error XX000 if none. */
extern const char **chpg_argument(ChpgArguments *arguments,
								  const ChpgEndpoint *endpoint,
								  const char *name);

/* Check an argument that is the id or the name of a service.  Errors: 22023. */
extern void chpg_check_service(const char *service);

/* Has a text the form of a service's id: a UUID, or "pg" and 24 of [a-z0-9]? */
extern bool chpg_is_service_id(const char *service);

/* Has a text the form of an organization's id, which some services' have, too? */
extern bool chpg_is_uuid(const char *text);

#endif							/* CHPG_ARGUMENTS_H */
