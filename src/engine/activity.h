/*-------------------------------------------------------------------------
 *
 * activity.h
 *		What backends do in chpg, how far they are, and what they wait for.
 *
 * A backend shows one operation, the outermost: a capture, but not the reads of its
 * windows.  It is a work, which code begins and ends, or else a call of the API, or
 * the calls of one read, while the backend waits for them.  An error, or the end of
 * the backend, ends it.
 *
 * Only numbers are shared, no texts: neither secrets nor names can show.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ACTIVITY_H
#define CHPG_ACTIVITY_H

#include "net/sockets.h"
#include "protocol/endpoints.h"

/* Works; what SQL begins with _chpg_progress() goes by the names in activity.c. */
typedef enum ChpgWork
{
	CHPG_WORK_NOTHING,
	CHPG_WORK_CAPTURE,
	CHPG_WORK_DELIVER,
	CHPG_WORK_EXPORT,
	CHPG_WORK_IMPORT_READ,
	CHPG_WORK_IMPORT_WRITE,
	CHPG_WORK_SEAL,
	CHPG_WORK_UPGRADE,
	CHPG_WORK_WAIT,
	CHPG_WORK_WATCH,
	CHPG_NUM_WORKS
} ChpgWork;

/* How far the requests of a read are; times are those of clock.h. */
typedef struct ChpgProgress
{
	int64		done;			/* responses received */
	int64		total;			/* requests known to be needed; 0: unknown */
	int64		started;		/* 0: now */
	int64		advanced;		/* when "done" was raised last */
	int64		expected_end;	/* when the budget will have granted the last
								 * one; 0: unknown */
} ChpgProgress;

/*
 * Begin a work, unless the backend shows an operation already: false then.  Whoever
 * has begun it ends it.
 */
extern bool chpg_activity_begin(ChpgWork work);
extern void chpg_activity_end(void);

/*
 * Let the backend show a call of the API until chpg_activity_waited(), unless it shows
 * an operation already.  Others see it from the next wait on.
 */
extern void chpg_activity_call(const ChpgEndpoint *endpoint,
							   const ChpgProgress *progress);

/*
 * As chpg_http_wait(); others see what the backend waits for, until it waits for
 * something else, or for nothing more.
 */
extern void chpg_activity_wait(int64 until, ChpgWaitReason reason);
extern void chpg_activity_waited(void);

/* Sleep until the given time, while transfers advance. */
extern void chpg_activity_sleep(int64 until, ChpgWaitReason reason);

#endif							/* CHPG_ACTIVITY_H */
