/*-------------------------------------------------------------------------
 *
 * setting_names.c
 *		Names of settings of a service that do not exist, and what was meant.
 *
 * The API says which settings exist: nothing is refused here.  The known settings of
 * PostgreSQL are those of this server, and later ones of the API's document.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "functions/setting_names.h"
#include "miscadmin.h"
#include "protocol/closest.h"
#include "protocol/json.h"
#include "protocol/remote_text.h"

/* Settings of the API's document that a supported server may lack. */
static const char *const later_settings[] = {"transaction_timeout"};

/* The settings of PgBouncer 1.25 that concern pools and their connections. */
static const char *const pgbouncer_settings[] = {
	"application_name_add_host", "autodb_idle_timeout", "cancel_wait_timeout",
	"client_idle_timeout", "client_login_timeout", "default_pool_size", "disable_pqexec",
	"dns_max_ttl", "dns_nxdomain_ttl", "dns_zone_check_period", "idle_transaction_timeout",
	"ignore_startup_parameters", "listen_backlog", "log_connections", "log_disconnections",
	"log_pooler_errors", "log_stats", "max_client_conn", "max_db_client_connections",
	"max_db_connections", "max_packet_size", "max_prepared_statements",
	"max_user_client_connections", "max_user_connections", "min_pool_size", "pkt_buf",
	"pool_mode", "query_timeout", "query_wait_notify", "query_wait_timeout",
	"reserve_pool_size", "reserve_pool_timeout", "sbuf_loopcnt", "server_check_delay",
	"server_check_query", "server_connect_timeout", "server_fast_close",
	"server_idle_timeout", "server_lifetime", "server_login_retry", "server_reset_query",
	"server_reset_query_always", "server_round_robin", "stats_period", "suspend_timeout",
	"tcp_defer_accept", "tcp_keepalive", "tcp_keepcnt", "tcp_keepidle", "tcp_keepintvl",
	"tcp_socket_buffer", "tcp_user_timeout", "track_extra_parameters", "transaction_timeout",
	"verbose"
};

/* A setting that a request has */
typedef struct Setting
{
	const char *name;			/* NULL: there is none */
	bool		pgbouncer;
} Setting;

/* Consider the known settings for a name. */
static void
add_known(ChpgClosest *closest, bool pgbouncer)
{
	const char *const *names = pgbouncer ? pgbouncer_settings : later_settings;
	int			count = pgbouncer ? lengthof(pgbouncer_settings) : lengthof(later_settings);
	struct config_generic **local;
	int			number;

	for (int i = 0; i < count; i++)
		chpg_closest_add(closest, names[i]);
	if (pgbouncer)
		return;
	local = chpg_list_settings(&number);
	for (int i = 0; i < number; i++)
	{
		if (local[i]->context != PGC_INTERNAL && strchr(local[i]->name, '.') == NULL)
			chpg_closest_add(closest, local[i]->name);
	}
	pfree(local);
}

/*
 * Return the end of a message on a setting, palloc'd, such as ': did you mean
 * "work_mem"?'; "" if it is known, or no known one is close.
 */
static const char *
question(const Setting *setting)
{
	ChpgClosest closest;

	CHECK_FOR_INTERRUPTS();
	chpg_closest_begin(&closest, setting->name);
	add_known(&closest, setting->pgbouncer);
	if (closest.match != NULL && strcmp(closest.match, setting->name) == 0)
		return "";
	return chpg_closest_question(&closest);
}

/*
 * Call a function for each setting that a request gives a value, in both sections; the
 * name lives during the call.
 */
static void
each_setting(const ChpgRequest *request,
			 void (*function) (const Setting *setting, void *state), void *state)
{
	const ChpgParameter *parameters = request->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name != NULL; i++)
	{
		const char *section = request->arguments->values[i];
		ChpgJsonEntry *entry = NULL;
		ChpgJson   *document;
		ChpgJsonNode *settings;

		if (section == NULL ||
			(parameters[i].kind != CHPG_NEW_CONFIG &&
			 parameters[i].kind != CHPG_CHANGED_CONFIG &&
			 parameters[i].kind != CHPG_WHOLE_CONFIG))
			continue;
		document = chpg_json_create(CurrentMemoryContext);
		chpg_json_set_json(document, parameters[i].key, section);
		settings = chpg_json_get(chpg_json_root(document), parameters[i].key);
		while ((entry = chpg_json_next(settings, entry)) != NULL)
		{
			Setting		setting = {
				.name = chpg_json_entry_key(entry),
				.pgbouncer = parameters[i].only_strings
			};

			if (chpg_json_entry_value(entry) != NULL)
				function(&setting, state);
		}
		chpg_json_free(document);
	}
}

/* Warn of a setting of PgBouncer. */
static void
warn_of(const Setting *setting, void *state)
{
	const char *meant = setting->pgbouncer ? question(setting) : "";

	if (*meant != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("unknown setting \"%s\" of PgBouncer%s",
						chpg_clean_remote(pstrdup(setting->name)), meant)));
}

void
chpg_warn_of_settings(const ChpgRequest *request)
{
	each_setting(request, warn_of, NULL);
}

/* The setting that a refusal names */
typedef struct Refusal
{
	const ChpgCall *call;
	Setting		setting;
} Refusal;

/* Does a refusal name a setting, after a dot, a blank or a quote? */
static bool
is_named(const ChpgCall *call, const char *name)
{
	for (const char *before = ". '\"`"; *before != '\0'; before++)
	{
		if (chpg_call_refused_with(call, psprintf("%c%s", *before, name)))
			return true;
	}
	return false;
}

/* Take a setting for the refused one: of several names in a text, the longest. */
static void
find_refused(const Setting *setting, void *state)
{
	Refusal    *refusal = (Refusal *) state;
	const char *name = refusal->setting.name;

	if ((name != NULL && strlen(name) >= strlen(setting->name)) ||
		!is_named(refusal->call, setting->name))
		return;
	refusal->setting.name = pstrdup(setting->name);
	refusal->setting.pgbouncer = setting->pgbouncer;
}

void
chpg_explain_setting(const ChpgRequest *request, ChpgCall *call)
{
	Refusal		refusal = {.call = call};

	each_setting(request, find_refused, &refusal);
	if (refusal.setting.name != NULL)
		chpg_call_explain(call, psprintf("the API rejects setting \"%s\"%s",
										 chpg_clean_remote(pstrdup(refusal.setting.name)),
										 question(&refusal.setting)),
						  NULL);
}
