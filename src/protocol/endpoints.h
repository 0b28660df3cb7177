/*-------------------------------------------------------------------------
 *
 * endpoints.h
 *		The table of the API's operations.
 *
 * A new operation is a row here, and a declaration in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ENDPOINTS_H
#define CHPG_ENDPOINTS_H

#include "protocol/decode.h"

#define CHPG_MAX_PARAMETERS 10
#define CHPG_MAX_PERMISSIONS 3

typedef enum ChpgOperation
{
	CHPG_WHOAMI,
	CHPG_LIST_ORGANIZATIONS,
	CHPG_LIST_QUOTAS,
	CHPG_LIST_NOTIFICATIONS,
	CHPG_LIST_NOTIFICATION_TYPES,
	CHPG_LIST_SERVICES,
	CHPG_GET_SERVICE,
	CHPG_GET_IP_ACCESS_LIST,
	CHPG_GET_PRIVATE_ENDPOINT,
	CHPG_CREATE_PRIVATE_ENDPOINT,
	CHPG_UPDATE_PRIVATE_ENDPOINT,
	CHPG_DELETE_PRIVATE_ENDPOINT,
	CHPG_LIST_SLOW_PATTERNS,
	CHPG_GET_SLOW_PATTERN,
	CHPG_LIST_SLOW_PATTERN_EXECUTIONS,
	CHPG_CREATE_SERVICE,
	CHPG_UPDATE_SERVICE,
	CHPG_DELETE_SERVICE,
	CHPG_COMMAND_SERVICE,
	CHPG_SET_PASSWORD,
	CHPG_CREATE_READ_REPLICA,
	CHPG_RESTORE_SERVICE,
	CHPG_GET_CONFIG,
	CHPG_PATCH_CONFIG,
	CHPG_REPLACE_CONFIG,
	CHPG_GET_CA_CERTIFICATES,
	CHPG_GET_ALL_PROMETHEUS,
	CHPG_GET_PROMETHEUS,
	CHPG_GET_METRICS,
	CHPG_LIST_LOGS,
	CHPG_LIST_BACKUPS,
	CHPG_NUM_OPERATIONS
} ChpgOperation;

/* The values that a parameter accepts, by their SQL type. */
typedef enum ChpgParameterKind
{
	CHPG_ANY_TEXT,
	CHPG_WINDOW_START,			/* timestamptz; inclusive */
	CHPG_WINDOW_END,			/* timestamptz; exclusive */
	CHPG_TIME,					/* timestamptz */
	CHPG_BUCKET,				/* interval; sent in seconds */
	CHPG_NUMBER,				/* bigint */
	CHPG_SORT_FIELD,			/* one of the endpoint's sort_fields */
	CHPG_SORT_ORDER,			/* asc, desc */
	CHPG_SEVERITY,				/* of chpg_log_severities, in any case */
	CHPG_NOTIFICATION_SEVERITY, /* info, warning, critical */
	CHPG_NAME,					/* text, the name of a service */
	CHPG_PASSWORD,				/* text that the API accepts as a password */
	CHPG_TAGS,					/* jsonb, an object of texts */
	CHPG_NEW_CONFIG,			/* jsonb, settings: an object of plain values */
	CHPG_CHANGED_CONFIG,		/* the same, with null to remove a setting */
	CHPG_WHOLE_CONFIG,			/* the same, without nulls, or empty */
	CHPG_ANY_JSON,				/* jsonb, an object or a list; sent as it is */
	CHPG_TEXT_LIST				/* text[] */
} ChpgParameterKind;

typedef struct ChpgParameter
{
	const char *name;			/* as an argument, and as a column */
	const char *key;			/* in the query, or in the body of a write;
								 * NULL: it stands in the path */
	ChpgParameterKind kind;
	bool		required;
	bool		only_strings;	/* of a configuration: its values are sent as
								 * strings */
} ChpgParameter;

/* A field by which the API sorts, and the attribute that shows it. */
typedef struct ChpgSortField
{
	const char *key;
	const char *attribute;
	bool		always;			/* every row has it */
} ChpgSortField;

typedef struct ChpgEndpoint
{
	const char *method;
	const char *path;			/* below the API's base, with
								 * {organization_id}, {service_id} and names
								 * of parameters */
	const char *rows;			/* path of the rows, see decode.h; NULL: the
								 * response is text, not JSON */
	const char *purpose;		/* what it does: completes "could not ..." */
	const char *permissions[CHPG_MAX_PERMISSIONS];	/* that the key's role
													 * must grant, all of
													 * them; up to NULL */
	const char *missing_hint;	/* HINT where a 404 means that older
								 * deployments lack the operation, or what
								 * missing_reason says; or NULL */
	const char *missing_reason; /* the end of the primary message then, or
								 * NULL */
	const char *conflict_hint;	/* HINT of a 409, or NULL */
	bool		may_be_disabled;	/* it belongs to a feature that an
									 * organization may not have */
	const char *service_attribute;	/* the attribute that is the service's id */
	bool		names_services; /* its rows have a service_name, which the
								 * response omits */
	bool		fleet;			/* one call may read all services */
	bool		new_service;	/* it creates a service */
	bool		acknowledges;	/* the response may have no result */
	const char *text_start;		/* what a text begins with, if rows is NULL */
	const char *text_end;		/* what it ends with, unless it is empty */
	int			page_size;		/* maximum rows of a page; 0: not requested */
	bool		by_cursor;		/* the response names the next page by
								 * nextCursor, beside the result; else pages
								 * have offsets */
	int			max_window;		/* seconds that one request covers; 0: any */
	int			retention;		/* days for which the API keeps rows; 0:
								 * unknown */
	int			max_points;		/* buckets that one request covers; 0: any */
	bool		by_time;		/* rows are in order of time, may be equal,
								 * and include the end of the window */
	ChpgParameter parameters[CHPG_MAX_PARAMETERS];	/* up to a NULL name */
	const ChpgAttribute *attributes;	/* exceptions, up to a NULL name */
	const ChpgSortField *sort_fields;	/* up to a NULL key */
	const char *const *identity;	/* keys that identify a row among those of
									 * several pages, up to NULL */
} ChpgEndpoint;

extern const ChpgEndpoint chpg_endpoints[];

/* Find a parameter by its name; NULL if the endpoint has none of that name. */
extern const ChpgParameter *chpg_find_parameter(const ChpgEndpoint *endpoint,
												const char *name);

/* Return its index in the table; CHPG_NUM_OPERATIONS for another endpoint. */
extern int	chpg_operation_number(const ChpgEndpoint *endpoint);

/* Does it change something at the API? */
extern bool chpg_is_write(const ChpgEndpoint *endpoint);

/* Is each request for one service? */
extern bool chpg_endpoint_is_per_service(const ChpgEndpoint *endpoint);

#endif							/* CHPG_ENDPOINTS_H */
