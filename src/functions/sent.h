/*-------------------------------------------------------------------------
 *
 * sent.h
 *		What this backend has sent of a service and the API may not show yet.
 *
 * The API queues changes, and shows the former value until it has applied one.  A
 * change of a part builds on the whole: built on what is shown, it would revert the
 * queued one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SENT_H
#define CHPG_SENT_H

/* What has been sent: the member of a service, and how messages name it */
typedef struct ChpgSentKind
{
	const char *name;			/* plural: "tags" */
	const char *hint;			/* how to wait, or to specify the whole */
} ChpgSentKind;

/*
 * Remember what was sent of a service: "value", to build on, and "form", as it compares
 * with what is shown.  "shown" is the form that was shown before; NULL if it was not
 * read.
 */
extern void chpg_sent_remember(const ChpgSentKind *kind, const char *service_id,
							   const char *value, const char *form, const char *shown);

/*
 * Return the value that was sent last if the API still shows an earlier one, with a
 * NOTICE; else NULL, and forget it.  It is valid until the next call.  Error 55006 if
 * that cannot be known: what was before the change was never read.
 */
extern const char *chpg_sent_queued(const ChpgSentKind *kind, const char *service_id,
									const char *shown);

/* Forget what was sent of a service: it counts no more. */
extern void chpg_sent_forget(const ChpgSentKind *kind, const char *service_id);

#endif							/* CHPG_SENT_H */
