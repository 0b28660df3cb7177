/*-------------------------------------------------------------------------
 *
 * resources.h
 *		The table of resources, which are what foreign tables show: the rows of an
 *		operation, and the parameters of its request.
 *
 * The columns of a table are the attributes of the row type, and before them the
 * parameters that rows omit.  A table may have any of them, in any order.
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
	const char *const *listed;	/* columns that the list of services has, too,
								 * up to NULL; or NULL */
	const char *source;			/* the resource whose rows have the values of
								 * the required columns, or NULL */
	bool		any_state;		/* also of services being created or deleted */
	bool		ranges;			/* conditions on "timestamp" may be the window */
	double		rows;			/* of one service, until statistics are known */
} ChpgResource;

extern const ChpgResource chpg_resources[]; /* up to a NULL name */

/* Find a resource by name; NULL if there is none. */
extern const ChpgResource *chpg_find_resource(const char *name);

/* List all names, for messages; palloc'd. */
extern char *chpg_resource_names(void);

/* Are the rows of a resource those of a window of time? */
extern bool chpg_has_window(const ChpgResource *resource);

/*
 * Parse the option "window", an interval that ends now; palloc'd.  NULL if it is not
 * positive, or longer than a year.  Error 22007 for a text that is no interval.
 */
extern Interval * chpg_parse_window(const char *text);

/* Return the type of a parameter's column, and its comment. */
extern Oid	chpg_parameter_type(const ChpgParameter *parameter);
extern const char *chpg_parameter_comment(const ChpgParameter *parameter);

/* Find the parameter that a column stands for, or NULL. */
extern const ChpgParameter *chpg_resource_parameter(const ChpgResource *resource,
													const char *column);

/* List the names of the columns that a query must restrict, as char *. */
extern List *chpg_required_columns(const ChpgResource *resource);

/*
 * List names of columns for messages, adding "or query_hex" to query_id.  The caller
 * puts each between quotes like this one.
 */
extern List *chpg_name_alternatives(List *names, const char *quote);

/*
 * Join names to a text, palloc'd: each between "before" and "after", with "between"
 * between two of them, and "last" before the last one.
 */
extern char *chpg_join_names(List *names, const char *before, const char *after,
							 const char *between, const char *last);

/* Is it the column of the service's id? */
extern bool chpg_is_service_column(const ChpgResource *resource, const char *column);

/* Is it the column of the service's name, which the list of services has? */
extern bool chpg_is_service_name(const ChpgResource *resource, const char *column);

/* Is a name in a list that ends with NULL? */
extern bool chpg_is_listed(const char *const *names, const char *name);

#endif							/* CHPG_RESOURCES_H */
