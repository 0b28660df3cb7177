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
 * Which sockets to wait for, and for what.  Never throw, and allocate nothing
 * in a memory context, so that callbacks of libraries may call them.  Watching
 * fails, with false, if there is no memory.
 */
extern bool chpg_watch_socket(pgsocket fd, bool readable, bool writeable);
extern void chpg_unwatch_socket(pgsocket fd);
extern void chpg_unwatch_all_sockets(void);

/* What a backend waits for, as pg_stat_activity shows it. */
typedef enum ChpgWaitReason
{
	CHPG_WAIT_REQUEST,			/* an answer of the API */
	CHPG_WAIT_BUDGET,			/* its turn to send a request */
	CHPG_WAIT_SHARED,			/* the answer to another backend's request */
	CHPG_WAIT_PAUSE,			/* the next look at a service */
	CHPG_NUM_WAIT_REASONS
} ChpgWaitReason;

/*
 * Sleep until a socket is ready, the latch is set, or the deadline is there;
 * returns the number of events, and whether the latch was set.  The caller
 * checks for interrupts.
 */
extern int	chpg_wait_for_sockets(int64 deadline, ChpgWaitReason reason,
								  ChpgSocketEvent *events, int max_events,
								  bool *latch_set);

#endif							/* CHPG_SOCKETS_H */
