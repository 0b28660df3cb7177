/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The configuration parameters chpg.*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SETTINGS_H
#define CHPG_SETTINGS_H

typedef enum ChpgOnServiceError
{
	CHPG_SERVICE_ERROR,
	CHPG_SERVICE_WARNING
} ChpgOnServiceError;

extern int	chpg_cache_size;	/* kilobytes, of all backends together */
extern int	chpg_cache_ttl;		/* milliseconds */
extern int	chpg_command_lag;	/* milliseconds */
extern int	chpg_connect_timeout;	/* milliseconds */
extern bool chpg_dry_run;		/* show changes instead of sending them */
extern int	chpg_max_concurrency;	/* requests under way in one call */
extern int	chpg_max_requests;	/* of one statement */
extern int	chpg_max_response_size; /* kilobytes, decompressed */
extern int	chpg_max_retries;	/* attempts after the first one */
extern int	chpg_max_wait;		/* milliseconds */
extern int	chpg_on_service_error;	/* ChpgOnServiceError */
extern int	chpg_request_timeout;	/* milliseconds, per attempt */
extern char *chpg_server;		/* server of calls that name none, or "" */
extern char *chpg_webhook_addresses;	/* networks, as chpg_parse_networks()
										 * takes them */

/*
 * Define the parameters, when the library is loaded.  is_networks() checks
 * chpg.webhook_addresses, and throws nothing.  Error 22023: see settings.c.
 */
extern void chpg_define_settings(bool (*is_networks) (const char *text));

/*
 * Throw error 22023 if this session has set, before the library was loaded, a setting
 * chpg.* that does not exist, and not chpg.dry_run, which may have been meant.
 */
extern void chpg_check_dry_run_meant(void);

#endif							/* CHPG_SETTINGS_H */
