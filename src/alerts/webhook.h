/*-------------------------------------------------------------------------
 *
 * webhook.h
 *		Webhooks: where alerts are sent, in which form, and which of them.
 *
 * A webhook is a server of the wrapper chpg_webhook.  Its options are no secret:
 * everybody can read those of a server.  Its URL, and its secret, are options of the
 * user mapping of the role that sends.  Servers of a wrapper of their own are no
 * servers of the API, among which calls choose.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_WEBHOOK_H
#define CHPG_WEBHOOK_H

#define CHPG_WEBHOOK_WRAPPER	"chpg_webhook"

typedef enum ChpgWebhookFormat
{
	CHPG_WEBHOOK_JSON,			/* an object, signed with the secret */
	CHPG_WEBHOOK_SLACK,			/* a text; the URL is the secret */
	CHPG_WEBHOOK_PAGERDUTY		/* an event; the secret is its routing key */
} ChpgWebhookFormat;

typedef struct ChpgWebhook
{
	const char *problem;		/* why the role cannot send; NULL if it can */
	ChpgWebhookFormat format;
	const char *url;			/* https */
	const char *secret;			/* NULL: none */
	const char *ca_file;		/* NULL: the system's CAs */
} ChpgWebhook;

/*
 * Find a webhook as the current user sends with it: the user's own mapping, for a
 * server of an owner that the user trusts; palloc'd.  Nothing is thrown.
 */
extern ChpgWebhook *chpg_find_webhook(const char *name);

#endif							/* CHPG_WEBHOOK_H */
