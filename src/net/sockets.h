/*-------------------------------------------------------------------------
 *
 * sockets.h
 *		Waiting for sockets, the process latch and a deadline at once.
 *
 * Times are those of clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SOCKETS_H
#define CHPG_SOCKETS_H

typedef struct ChpgSocketEvent
{
	pgsocket	fd;
	bool		readable;
	bool		writeable;
} ChpgSocketEvent;

/*
 * Choose the sockets to wait for.  These functions neither throw nor allocate in a
 * memory context, so that callbacks of libraries may call them.  Watching returns
 * false without memory.
 */
extern bool chpg_watch_socket(pgsocket fd, bool readable, bool writeable);
extern void chpg_unwatch_socket(pgsocket fd);
extern void chpg_unwatch_all_sockets(void);

/* What a backend waits for, as pg_stat_activity shows it. */
typedef enum ChpgWaitReason
{
	CHPG_WAIT_NOTHING,
	CHPG_WAIT_RESPONSE,			/* a response of the API */
	CHPG_WAIT_BUDGET,			/* its turn to send a request */
	CHPG_WAIT_RATE_LIMIT,		/* the end of the key's block (429) */
	CHPG_WAIT_SHARED,			/* the response to another backend's request */
	CHPG_WAIT_RETRY,			/* the time of the next attempt */
	CHPG_WAIT_STATE,			/* the next poll of a service */
	CHPG_WAIT_WEBHOOK,			/* a webhook's response */
	CHPG_NUM_WAIT_REASONS
} ChpgWaitReason;

/*
 * Sleep until a socket is ready, the latch is set, or the deadline has come.  Returns
 * the number of events, and whether the latch was set.  The caller checks for
 * interrupts.
 */
extern int	chpg_wait_for_sockets(int64 deadline, ChpgWaitReason reason,
								  ChpgSocketEvent *events, int max_events,
								  bool *latch_set);

#endif							/* CHPG_SOCKETS_H */
