/*-------------------------------------------------------------------------
 *
 * endpoints.c
 *		The table of the API's operations: pure data.
 *
 * The facts are those of ClickHouse Cloud's OpenAPI document.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "protocol/endpoints.h"

static const ChpgAttribute no_exceptions[] = {
	{NULL}
};

static const ChpgAttribute whole_attributes[] = {
	{"raw", "@row"},
	{NULL}
};

/* No field of a notification is documented. */
static const ChpgAttribute notification_attributes[] = {
	{"id", NULL, .lenient = true},
	{"type", NULL, .lenient = true},
	{"severity", NULL, .lenient = true},
	{"category", NULL, .lenient = true},
	{"title", NULL, .lenient = true},
	{"message", NULL, "body", .lenient = true},
	{"resource_type", NULL, .lenient = true},
	{"resource_id", NULL, .lenient = true},
	{"resource_name", NULL, .lenient = true},
	{"created_at", NULL, .lenient = true},
	{"read_at", NULL, .lenient = true},
	{"raw", "@row"},
	{NULL}
};

/*
 * The API's serviceId is that of the endpoint; the service's own has no member.  Only
 * the state and the lists are documented.
 */
static const ChpgAttribute private_endpoint_attributes[] = {
	{"service_id", "postgresId", .lenient = true},
	{"service_name", "postgresName", .lenient = true},
	{"state", NULL, .lenient = true},
	{"endpoint_service_name", "serviceName", "endpointServiceName", .lenient = true},
	{"endpoint_service_id", "serviceId", "endpointServiceId", .lenient = true},
	{"private_dns_name", NULL, .lenient = true},
	{"private_hostname", NULL, "privateDnsHostname", .lenient = true},
	{"private_dns_verification_state", NULL, .lenient = true},
	{"raw", "@row"},
	{NULL}
};

static const ChpgAttribute service_attributes[] = {
	{"tags", NULL, .tags = true},
	{NULL}
};

static const ChpgAttribute pattern_attributes[] = {
	{"query_id", NULL, .integral = true},
	{"query_hex", "queryId", .integral = true, .hex = true},
	{NULL}
};

static const ChpgAttribute execution_attributes[] = {
	{"query_id", NULL, .integral = true},
	{"query_hex", "queryId", .integral = true, .hex = true},
	{"executed_at", "timestamp"},
	{NULL}
};

static const ChpgAttribute metric_attributes[] = {
	{"metric", "key"},
	{"series", "label"},
	{NULL}
};

static const ChpgSortField pattern_sort_fields[] = {
	{"total_duration", "total_duration_us", true},
	{"avg_duration", "avg_duration_us", true},
	{"max_duration", "max_duration_us", true},
	{"p50_duration", "p50_duration_us", true},
	{"p95_duration", "p95_duration_us", true},
	{"p99_duration", "p99_duration_us", true},
	{"call_count", "call_count", true},
	{"error_count", "error_count"},
	{"total_rows", "total_rows"},
	{"total_blks_read", "total_shared_blks_read"},
	{"total_shared_blks_hit", "total_shared_blks_hit"},
	{"total_cpu_time", "total_cpu_time_us"},
	{"total_wal_bytes", "total_wal_bytes"},
	{NULL}
};

static const char *const pattern_identity[] = {
	"queryId", "dbName", "dbUser", "dbOperation", "app", NULL
};

static const char *const log_identity[] = {
	"timestamp", "severity", "body", NULL
};

#define ORGANIZATION	"/v1/organizations/{organization_id}"
#define SERVICE			ORGANIZATION "/postgres/{service_id}"
#define VIEW_SERVICES	"control-plane:postgres-service:view"
#define MANAGE_SERVICES	"control-plane:postgres-service:manage"
#define CREATE_SERVICES	"control-plane:organization:create-service"
#define VIEW_ORGANIZATION "control-plane:organization:view"

/* The parameters of one pattern, whether for its aggregate or its executions. */
#define PATTERN_PARAMETERS \
	{ \
		{"query_id", NULL, CHPG_NUMBER, true}, \
		{"db_name", "db_name", CHPG_ANY_TEXT, true}, \
		{"db_user", "db_user", CHPG_ANY_TEXT, true}, \
		{"db_operation", "db_operation", CHPG_ANY_TEXT, true}, \
		{"app", "app", CHPG_ANY_TEXT, false}, \
		{"executed_at", "timestamp", CHPG_TIME, false} \
	}

/* The API's names of the sections are not those of the programs. */
static const char *const config_components[] = {
	"pgConfig", "postgres", "pgBouncerConfig", "pgbouncer", NULL
};

static const ChpgAttribute config_attributes[] = {
	{"component", "@section", .words = config_components},
	{"name", "@key"},
	{"value", "@value"},
	{NULL}
};

#define CONFIG_ROWS		"result.pgConfig|pgBouncerConfig{}"

/* The API requires both sections in every body. */
#define CONFIG_PARAMETERS(kind) \
	{ \
		{"pg_config", "pgConfig", kind, false}, \
		{"pgbouncer_config", "pgBouncerConfig", kind, false, true} \
	}

#define NO_PRIVATE_ENDPOINT	"the API found no private endpoint"
#define NO_PRIVATE_ENDPOINT_HINT \
	"Create one: SELECT * FROM chpg_create_private_endpoint(...). If there should be one: the service may not exist, or the organization may not have the feature."

/* Parameters of a new service, however it is created. */
#define NEW_SERVICE_PARAMETERS \
	{"tags", "tags", CHPG_TAGS, false}, \
	{"pg_config", "pgConfig", CHPG_NEW_CONFIG, false}, \
	{"pgbouncer_config", "pgBouncerConfig", CHPG_NEW_CONFIG, false, true}

const ChpgEndpoint chpg_endpoints[] = {
	[CHPG_WHOAMI] = {
		.method = "GET",
		.path = "/v1/whoami",
		.rows = "result",
		.purpose = "read the identity of the key",
		.missing_hint = "This deployment of the API has no whoami yet. The organization of the key: SELECT * FROM chpg_organizations();",
		.attributes = whole_attributes
	},
	[CHPG_LIST_ORGANIZATIONS] = {
		.method = "GET",
		.path = "/v1/organizations",
		.rows = "result[]",
		.purpose = "list the organizations of the key",
		.by_cursor = true,
		.attributes = no_exceptions
	},
	[CHPG_LIST_QUOTAS] = {
		.method = "GET",
		.path = ORGANIZATION "/quotas",
		.rows = "result[]",
		.purpose = "read the quotas of the organization",
		.permissions = {VIEW_ORGANIZATION},
		.attributes = no_exceptions
	},
	[CHPG_LIST_NOTIFICATIONS] = {
		.method = "GET",
		.path = ORGANIZATION "/notifications",
		.rows = "result[items]",
		.purpose = "read the notifications of the organization",
		.missing_hint = "This deployment of the API may be older than its notifications. Otherwise check the server's option organization_id.",
		.page_size = 250,
		.by_cursor = true,
		.parameters = {
			{"severity", "severity", CHPG_NOTIFICATION_SEVERITY, false},
			{"type", "type", CHPG_ANY_TEXT, false}
		},
		.attributes = notification_attributes
	},
	[CHPG_LIST_NOTIFICATION_TYPES] = {
		.method = "GET",
		.path = ORGANIZATION "/notificationTypes",
		.rows = "result[]",
		.purpose = "read the types of notifications of the organization",
		.permissions = {VIEW_ORGANIZATION},
		.missing_hint = "This deployment of the API may be older than its notifications. Otherwise check the server's option organization_id.",
		.attributes = no_exceptions
	},
	[CHPG_LIST_SERVICES] = {
		.method = "GET",
		.path = ORGANIZATION "/postgres",
		.rows = "result[]",
		.purpose = "list the services",
		.permissions = {VIEW_SERVICES},
		.attributes = service_attributes
	},
	[CHPG_GET_SERVICE] = {
		.method = "GET",
		.path = SERVICE,
		.rows = "result",
		.purpose = "read",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "id",
		.attributes = service_attributes
	},
	[CHPG_GET_IP_ACCESS_LIST] = {
		.method = "GET",
		.path = SERVICE,
		.rows = "result.ipAccessList[]",
		.purpose = "read the IP access list of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.attributes = whole_attributes
	},
	[CHPG_GET_PRIVATE_ENDPOINT] = {
		.method = "GET",
		.path = SERVICE "/privateEndpoint",
		.rows = "result",
		.purpose = "read the private endpoint of",
		.permissions = {VIEW_SERVICES},
		.missing_hint = NO_PRIVATE_ENDPOINT_HINT,
		.missing_reason = NO_PRIVATE_ENDPOINT,
		.may_be_disabled = true,
		.service_attribute = "service_id",
		.names_services = true,
		.attributes = private_endpoint_attributes
	},
	[CHPG_CREATE_PRIVATE_ENDPOINT] = {
		.method = "POST",
		.path = SERVICE "/privateEndpoint",
		.rows = "result?",
		.purpose = "create a private endpoint of",
		.permissions = {MANAGE_SERVICES},
		.missing_hint = "SELECT * FROM chpg_services shows the services that exist. The organization may not have the feature, or the service may not be on AWS.",
		.missing_reason = "the API did not find the service or the feature",
		.conflict_hint = "The service may have one: SELECT * FROM chpg_private_endpoint(...).",
		.may_be_disabled = true,
		.service_attribute = "service_id",
		.names_services = true,
		.acknowledges = true,
		.parameters = {
			{"supported_regions", "supportedRegions", CHPG_TEXT_LIST, false}
		},
		.attributes = private_endpoint_attributes
	},
	[CHPG_UPDATE_PRIVATE_ENDPOINT] = {
		.method = "PATCH",
		.path = SERVICE "/privateEndpoint",
		.rows = "result?",
		.purpose = "change the private endpoint of",
		.permissions = {MANAGE_SERVICES},
		.missing_hint = NO_PRIVATE_ENDPOINT_HINT,
		.missing_reason = NO_PRIVATE_ENDPOINT,
		.conflict_hint = "It may be in creation: SELECT * FROM chpg_wait(..., expected => '{\"private_endpoint\": {\"state\": \"available\"}}').",
		.may_be_disabled = true,
		.service_attribute = "service_id",
		.names_services = true,
		.acknowledges = true,
		.parameters = {
			{"vpc_endpoints", "allowedVpcEndpoints", CHPG_ANY_JSON, false},
			{"supported_regions", "supportedRegions", CHPG_TEXT_LIST, false}
		},
		.attributes = private_endpoint_attributes
	},
	[CHPG_DELETE_PRIVATE_ENDPOINT] = {
		.method = "DELETE",
		.path = SERVICE "/privateEndpoint",
		.rows = "result",
		.purpose = "delete the private endpoint of",
		.permissions = {MANAGE_SERVICES},
		.missing_hint = "It may be deleted already, the service may not exist, or the organization may not have the feature.",
		.missing_reason = NO_PRIVATE_ENDPOINT,
		.may_be_disabled = true,
		.acknowledges = true,
		.attributes = no_exceptions
	},
	[CHPG_LIST_SLOW_PATTERNS] = {
		.method = "GET",
		.path = SERVICE "/slowQueryPatterns",
		.rows = "result[]",
		.purpose = "read the slow query patterns of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.fleet = true,
		.page_size = 500,
		.retention = 7,
		.parameters = {
			{"from_date", "from_date", CHPG_WINDOW_START, true},
			{"to_date", "to_date", CHPG_WINDOW_END, true},
			{"db_name", "db_name", CHPG_ANY_TEXT, false},
			{"db_user", "db_user", CHPG_ANY_TEXT, false},
			{"db_operation", "db_operation", CHPG_ANY_TEXT, false},
			{"app", "app", CHPG_ANY_TEXT, false},
			{"sort_by", "sort_by", CHPG_SORT_FIELD, false},
			{"sort_order", "sort_order", CHPG_SORT_ORDER, false}
		},
		.attributes = pattern_attributes,
		.sort_fields = pattern_sort_fields,
		.identity = pattern_identity
	},
	[CHPG_GET_SLOW_PATTERN] = {
		.method = "GET",
		.path = SERVICE "/slowQueryPatterns/{query_id}",
		.rows = "result.aggregate?",
		.purpose = "read a slow query pattern of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.parameters = PATTERN_PARAMETERS,
		.attributes = pattern_attributes
	},
	[CHPG_LIST_SLOW_PATTERN_EXECUTIONS] = {
		.method = "GET",
		.path = SERVICE "/slowQueryPatterns/{query_id}",
		.rows = "result.recentExecutions[]",
		.purpose = "read the executions of a slow query pattern of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.parameters = PATTERN_PARAMETERS,
		.attributes = execution_attributes
	},
	[CHPG_CREATE_SERVICE] = {
		.method = "POST",
		.path = ORGANIZATION "/postgres",
		.rows = "result",
		.purpose = "create a service",
		.permissions = {CREATE_SERVICES},
		.new_service = true,
		.parameters = {
			{"name", "name", CHPG_NAME, true},
			{"provider", "provider", CHPG_ANY_TEXT, true},
			{"region", "region", CHPG_ANY_TEXT, true},
			{"size", "size", CHPG_ANY_TEXT, true},
			{"storage_size", "storageSize", CHPG_NUMBER, false},
			{"postgres_version", "postgresVersion", CHPG_ANY_TEXT, false},
			{"ha_type", "haType", CHPG_ANY_TEXT, false},
			NEW_SERVICE_PARAMETERS
		},
		.attributes = service_attributes
	},
	[CHPG_UPDATE_SERVICE] = {
		.method = "PATCH",
		.path = SERVICE,
		.rows = "result",
		.purpose = "update",
		.permissions = {MANAGE_SERVICES},
		.service_attribute = "id",
		.parameters = {
			{"name", "name", CHPG_NAME, false},
			{"size", "size", CHPG_ANY_TEXT, false},
			{"ha_type", "haType", CHPG_ANY_TEXT, false},
			{"tags", "tags", CHPG_TAGS, false},
			{"ip_access_list", "ipAccessList", CHPG_ANY_JSON, false}
		},
		.attributes = service_attributes
	},
	[CHPG_DELETE_SERVICE] = {
		.method = "DELETE",
		.path = SERVICE,
		.rows = "result",
		.purpose = "delete",
		.permissions = {MANAGE_SERVICES},
		.acknowledges = true,
		.attributes = no_exceptions
	},
	[CHPG_COMMAND_SERVICE] = {
		.method = "PATCH",
		.path = SERVICE "/state",
		.rows = "result?",
		.purpose = "change the state of",
		.permissions = {MANAGE_SERVICES},
		.service_attribute = "id",
		.acknowledges = true,
		.parameters = {
			{"command", "command", CHPG_ANY_TEXT, true}
		},
		.attributes = service_attributes
	},
	[CHPG_SET_PASSWORD] = {
		.method = "PATCH",
		.path = SERVICE "/password",
		.rows = "result?",
		.purpose = "set the password of",
		.permissions = {MANAGE_SERVICES},
		.acknowledges = true,
		.parameters = {
			{"password", "password", CHPG_PASSWORD, false}
		},
		.attributes = no_exceptions
	},
	[CHPG_CREATE_READ_REPLICA] = {
		.method = "POST",
		.path = SERVICE "/readReplica",
		.rows = "result",
		.purpose = "create a read replica of",
		.permissions = {CREATE_SERVICES, MANAGE_SERVICES},
		.new_service = true,
		.parameters = {
			{"name", "name", CHPG_NAME, true},
			NEW_SERVICE_PARAMETERS
		},
		.attributes = service_attributes
	},
	[CHPG_RESTORE_SERVICE] = {
		.method = "POST",
		.path = SERVICE "/restoredService",
		.rows = "result",
		.purpose = "restore",
		.permissions = {CREATE_SERVICES, MANAGE_SERVICES},
		.new_service = true,
		.parameters = {
			{"name", "name", CHPG_NAME, true},
			{"restore_target", "restoreTarget", CHPG_TIME, true},
			NEW_SERVICE_PARAMETERS
		},
		.attributes = service_attributes
	},
	[CHPG_GET_CONFIG] = {
		.method = "GET",
		.path = SERVICE "/config",
		.rows = CONFIG_ROWS,
		.purpose = "read the configuration of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.fleet = true,
		.attributes = config_attributes
	},
	[CHPG_PATCH_CONFIG] = {
		.method = "PATCH",
		.path = SERVICE "/config",
		.rows = CONFIG_ROWS,
		.purpose = "change the configuration of",
		.permissions = {MANAGE_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.parameters = CONFIG_PARAMETERS(CHPG_CHANGED_CONFIG),
		.attributes = config_attributes
	},
	[CHPG_REPLACE_CONFIG] = {
		.method = "POST",
		.path = SERVICE "/config",
		.rows = CONFIG_ROWS,
		.purpose = "replace the configuration of",
		.permissions = {MANAGE_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.parameters = CONFIG_PARAMETERS(CHPG_WHOLE_CONFIG),
		.attributes = config_attributes
	},
	[CHPG_GET_CA_CERTIFICATES] = {
		.method = "GET",
		.path = SERVICE "/caCertificates",
		.text_start = "-----BEGIN CERTIFICATE-----",
		.text_end = "-----END CERTIFICATE-----",
		.purpose = "read the CA certificates of",
		.permissions = {VIEW_SERVICES},
		.attributes = no_exceptions
	},
	[CHPG_GET_ALL_PROMETHEUS] = {
		.method = "GET",
		.path = ORGANIZATION "/postgres/prometheus",
		.text_start = "",
		.text_end = "\n",
		.purpose = "read the Prometheus metrics of the organization",
		.permissions = {VIEW_ORGANIZATION},
		.attributes = no_exceptions
	},
	[CHPG_GET_PROMETHEUS] = {
		.method = "GET",
		.path = SERVICE "/prometheus",
		.text_start = "",
		.text_end = "\n",
		.purpose = "read the Prometheus metrics of",
		.permissions = {VIEW_SERVICES},
		.fleet = true,
		.attributes = no_exceptions
	},
	[CHPG_GET_METRICS] = {
		.method = "GET",
		.path = SERVICE "/metrics",
		.rows = "result.metrics[].series[].dataPoints[]",
		.purpose = "read the metrics of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.fleet = true,
		.max_window = 31 * SECS_PER_DAY,
		.max_points = 250,
		.parameters = {
			{"from_date", "from_date", CHPG_WINDOW_START, true},
			{"to_date", "to_date", CHPG_WINDOW_END, true},
			{"bucket", "bucket_size_seconds", CHPG_BUCKET, false}
		},
		.attributes = metric_attributes
	},
	[CHPG_LIST_LOGS] = {
		.method = "GET",
		.path = SERVICE "/logs",
		.rows = "result[]",
		.purpose = "read the logs of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.fleet = true,
		.page_size = 2000,
		.max_window = 30 * SECS_PER_DAY,
		.by_time = true,
		.parameters = {
			{"from_date", "from_date", CHPG_WINDOW_START, true},
			{"to_date", "to_date", CHPG_WINDOW_END, true},
			{"severity", "severity", CHPG_SEVERITY, false},
			{"body_contains", "body_contains", CHPG_ANY_TEXT, false},
			{"sort_order", "sort_order", CHPG_SORT_ORDER, false}
		},
		.attributes = no_exceptions,
		.identity = log_identity
	},
	[CHPG_LIST_BACKUPS] = {
		.method = "GET",
		.path = SERVICE "/backups",
		.rows = "result[]",
		.purpose = "list the backups of",
		.permissions = {VIEW_SERVICES},
		.service_attribute = "service_id",
		.names_services = true,
		.fleet = true,
		.by_cursor = true,
		.attributes = no_exceptions
	},
};

bool
chpg_is_write(const ChpgEndpoint *endpoint)
{
	return strcmp(endpoint->method, "GET") != 0;
}

bool
chpg_endpoint_is_per_service(const ChpgEndpoint *endpoint)
{
	return strstr(endpoint->path, "{service_id}") != NULL;
}

const ChpgParameter *
chpg_find_parameter(const ChpgEndpoint *endpoint, const char *name)
{
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		if (strcmp(endpoint->parameters[i].name, name) == 0)
			return &endpoint->parameters[i];
	}
	return NULL;
}

int
chpg_operation_number(const ChpgEndpoint *endpoint)
{
	if (endpoint < chpg_endpoints ||
		endpoint >= chpg_endpoints + CHPG_NUM_OPERATIONS)
		return CHPG_NUM_OPERATIONS;
	return (int) (endpoint - chpg_endpoints);
}
