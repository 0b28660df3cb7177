/*-------------------------------------------------------------------------
 *
 * sent.c
 *		What this backend has sent of a service and the API may not show yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "functions/sent.h"
#include "net/clock.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long a change may be queued (microseconds) */
#define QUEUE_TIME			(10 * 60 * USECS_PER_SEC)

typedef struct Sent
{
	MemoryContext context;		/* below TopMemoryContext; holds all of this */
	const ChpgSentKind *kind;
	char	   *service_id;
	char	   *value;			/* sent last */
	char	   *form;			/* of that */
	List	   *earlier;		/* char *: forms shown or sent before that */
	bool		complete;		/* "earlier" has the form before the first
								 * change */
	int64		sent_at;		/* on the clock of chpg_now() */
} Sent;

/* One for each kind of each service that this backend has changed */
static List *all_sent = NIL;

/* Find what this backend has sent of a service, or NULL. */
static Sent *
find_sent(const ChpgSentKind *kind, const char *service_id)
{
	ListCell   *lc;

	foreach(lc, all_sent)
	{
		Sent	   *sent = (Sent *) lfirst(lc);

		if (sent->kind == kind && strcmp(sent->service_id, service_id) == 0)
			return sent;
	}
	return NULL;
}

/* Forget what was sent, and free it. */
static void
forget(Sent *sent)
{
	all_sent = list_delete_ptr(all_sent, sent);
	MemoryContextDelete(sent->context);
}

void
chpg_sent_forget(const ChpgSentKind *kind, const char *service_id)
{
	Sent	   *sent = find_sent(kind, service_id);

	if (sent != NULL)
		forget(sent);
}

void
chpg_sent_remember(const ChpgSentKind *kind, const char *service_id,
				   const char *value, const char *form, const char *shown)
{
	Sent	   *former = find_sent(kind, service_id);
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "chpg sent",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Sent	   *sent = palloc0(sizeof(Sent));
	ListCell   *lc;

	sent->context = context;
	sent->kind = kind;
	sent->service_id = pstrdup(service_id);
	sent->value = pstrdup(value);
	sent->form = pstrdup(form);
	sent->sent_at = chpg_now();
	if (former != NULL)
	{
		/* The former change may be queued, too. */
		foreach(lc, former->earlier)
			sent->earlier = lappend(sent->earlier, pstrdup(lfirst(lc)));
		sent->earlier = lappend(sent->earlier, pstrdup(former->form));
	}
	sent->complete = shown != NULL || (former != NULL && former->complete);
	if (shown != NULL)
		sent->earlier = lappend(sent->earlier, pstrdup(shown));
	MemoryContextSwitchTo(TopMemoryContext);
	all_sent = lappend(all_sent, sent);
	MemoryContextSwitchTo(caller);
	if (former != NULL)
		forget(former);
}

/*
 * Does what the API shows predate the change, so that the change is still queued?
 * Error 55006 if that cannot be known.
 */
static bool
is_queued(const Sent *sent, const char *shown)
{
	ListCell   *lc;

	if (strcmp(shown, sent->form) == 0 ||
		chpg_now() - sent->sent_at > QUEUE_TIME)
		return false;
	foreach(lc, sent->earlier)
	{
		if (strcmp(shown, (char *) lfirst(lc)) == 0)
			return true;
	}
	if (!sent->complete)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s of service \"%s\" differ from those sent %.0f s ago",
						sent->kind->name, sent->service_id,
						(double) (chpg_now() - sent->sent_at) / USECS_PER_SEC),
				 errdetail("Either the API has not applied them yet, or another client has changed them since."),
				 errhint("%s", sent->kind->hint)));
	return false;
}

const char *
chpg_sent_queued(const ChpgSentKind *kind, const char *service_id, const char *shown)
{
	Sent	   *sent = find_sent(kind, service_id);

	if (sent == NULL)
		return NULL;
	if (!is_queued(sent, shown))
	{
		/*
		 * The change was applied, or another client has changed the same
		 * since.
		 */
		forget(sent);
		return NULL;
	}
	ereport(NOTICE,
			(errmsg("API does not show the %s sent %.0f s ago yet", kind->name,
					(double) (chpg_now() - sent->sent_at) / USECS_PER_SEC),
			 errdetail("This change builds on those sent.")));
	return sent->value;
}
