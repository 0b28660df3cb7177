/*-------------------------------------------------------------------------
 *
 * resources.h
 *		What foreign tables show: an operation's rows, beside what they are
 *		asked by.
 *
 * A table's columns are those of the row type, and before them the parameters
 * that rows do not tell.  A table may have any of them, in any order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_RESOURCES_H
#define CHPG_RESOURCES_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "protocol/endpoints.h"

typedef struct ChpgResource
{
	const char *name;
	ChpgOperation operation;
	const char *row_type;
	const char *const *parameters;	/* columns before those of the row, up to
									 * NULL */
	const char *const *hidden;	/* attributes of the row that are no columns,
								 * up to NULL */
	const char *const *listed;	/* columns for which the list of services is
								 * enough, up to NULL; or NULL */
	const char *source;			/* the resource whose rows have the values of
								 * the required columns, or NULL */
	bool		any_state;		/* of services that come or go, too */
	bool		ranges;			/* a window may be a range of "timestamp" */
	double		rows;			/* of one service, as long as none were seen */
} ChpgResource;

extern const ChpgResource chpg_resources[]; /* up to a NULL name */

/* NULL if there is none of that name. */
extern const ChpgResource *chpg_find_resource(const char *name);

/* All names, for messages. */
extern char *chpg_resource_names(void);

/* Are its rows those of a window of time? */
extern bool chpg_has_window(const ChpgResource *resource);

/*
 * A window as an option gives it: an interval up to now; NULL if that is empty,
 * or longer than a year.  Error: 22007 for a text that is no interval.
 */
extern Interval * chpg_parse_window(const char *text);

/* What a parameter's column is. */
extern Oid	chpg_parameter_type(const ChpgParameter *parameter);
extern const char *chpg_parameter_comment(const ChpgParameter *parameter);

/* The parameter that a column stands for, or NULL. */
extern const ChpgParameter *chpg_resource_parameter(const ChpgResource *resource,
													const char *column);

/* The names of the columns that have to be known. */
extern List *chpg_required_columns(const ChpgResource *resource);

/*
 * The names of columns as messages have them, with the other column by which one can be
 * known; the names are to be put between these quotes.
 */
extern List *chpg_name_alternatives(List *names, const char *quote);

/* Names, each with what comes before and after it, and what is between the last two. */
extern char *chpg_join_names(List *names, const char *before, const char *after,
							 const char *between, const char *last);

/* Is it the column that has the service's id? */
extern bool chpg_is_service_column(const ChpgResource *resource, const char *column);

/* Is a name in a list that ends with NULL? */
extern bool chpg_is_listed(const char *const *names, const char *name);

#endif							/* CHPG_RESOURCES_H */
