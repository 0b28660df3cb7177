/*-------------------------------------------------------------------------
 *
 * sockets.c
 *		Waiting for sockets, the process latch and a deadline at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "compat.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "net/sockets.h"

/* Events taken from the kernel at once; the next turn takes the others */
#define MAX_WAIT_EVENTS		34

typedef struct WatchedSocket
{
	pgsocket	fd;
	uint32		events;			/* WL_SOCKET_READABLE and so on */
} WatchedSocket;

/* malloc'd: see sockets.h. */
static WatchedSocket *sockets = NULL;
static int	num_sockets = 0;
static int	max_sockets = 0;

/*
 * Return the index of a watched socket; that of the end if it is not watched.
 */
static int
find_socket(pgsocket fd)
{
	int			i = 0;

	while (i < num_sockets && sockets[i].fd != fd)
		i++;
	return i;
}

/* Make room for another socket; false without memory. */
static bool
make_room(void)
{
	int			allocate = Max(max_sockets * 2, 16);
	WatchedSocket *larger = realloc(sockets, allocate * sizeof(WatchedSocket));

	if (larger == NULL)
		return false;
	sockets = larger;
	max_sockets = allocate;
	return true;
}

bool
chpg_watch_socket(pgsocket fd, bool readable, bool writeable)
{
	int			i = find_socket(fd);

	if (i == max_sockets && !make_room())
		return false;
	if (i == num_sockets)
		num_sockets++;
	sockets[i].fd = fd;
	sockets[i].events = (readable ? WL_SOCKET_READABLE : 0) |
		(writeable ? WL_SOCKET_WRITEABLE : 0);
	return true;
}

void
chpg_unwatch_socket(pgsocket fd)
{
	int			i = find_socket(fd);

	if (i < num_sockets)
		sockets[i] = sockets[--num_sockets];
}

void
chpg_unwatch_all_sockets(void)
{
	num_sockets = 0;
}

/* Add latch, postmaster and sockets to a set. */
static void
fill_set(WaitEventSet *set)
{
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
						  NULL);
	for (int i = 0; i < num_sockets; i++)
	{
		if (sockets[i].events != 0)
			AddWaitEventToSet(set, sockets[i].events, sockets[i].fd, NULL,
							  NULL);
	}
}

/* Milliseconds from now, rounded up so that the deadline has passed then. */
static long
wait_time(int64 deadline)
{
	int64		now;

	if (deadline == CHPG_FOREVER)
		return -1;
	now = chpg_now();
	if (deadline <= now)
		return 0;
	return (long) Min((deadline - now + 999) / 1000, INT_MAX);
}

/* Return the wait event of a reason, registered at its first use. */
static uint32
wait_event(ChpgWaitReason reason)
{
	static const char *const names[CHPG_NUM_WAIT_REASONS] = {
		[CHPG_WAIT_NOTHING] = "Chpg",
		[CHPG_WAIT_RESPONSE] = "ChpgApiResponse",
		[CHPG_WAIT_BUDGET] = "ChpgRequestBudget",
		[CHPG_WAIT_RATE_LIMIT] = "ChpgRateLimit",
		[CHPG_WAIT_SHARED] = "ChpgSharedResponse",
		[CHPG_WAIT_RETRY] = "ChpgRetry",
		[CHPG_WAIT_STATE] = "ChpgServiceState",
		[CHPG_WAIT_WEBHOOK] = "ChpgWebhook"
	};
	static uint32 wait_events[CHPG_NUM_WAIT_REASONS];

	if (wait_events[reason] == 0)
		wait_events[reason] = chpg_wait_event(names[reason]);
	return wait_events[reason];
}

/*
 * Wait in a set made for this wait; before 17, nothing but this function would
 * close its file descriptor after an error.
 */
static int
wait_for_events(int64 deadline, ChpgWaitReason reason, WaitEvent *events, int max_events)
{
	uint32		event = wait_event(reason);
	WaitEventSet *set;
	volatile int n = 0;

	/* Before 17 nothing else would close the set's file descriptor. */
	set = chpg_create_wait_event_set(num_sockets + 2);
	PG_TRY();
	{
		fill_set(set);
		n = WaitEventSetWait(set, wait_time(deadline), events, max_events,
							 event);
	}
	PG_FINALLY();
	{
		FreeWaitEventSet(set);
	}
	PG_END_TRY();
	return n;
}

int
chpg_wait_for_sockets(int64 deadline, ChpgWaitReason reason,
					  ChpgSocketEvent *events, int max_events, bool *latch_set)
{
	WaitEvent	occurred[MAX_WAIT_EVENTS];
	int			n = wait_for_events(deadline, reason, occurred,
									Min(max_events, MAX_WAIT_EVENTS));
	int			num_events = 0;

	*latch_set = false;
	for (int i = 0; i < n; i++)
	{
		if (occurred[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			*latch_set = true;
		}
		if ((occurred[i].events & WL_SOCKET_MASK) == 0)
			continue;
		events[num_events].fd = occurred[i].fd;
		events[num_events].readable = (occurred[i].events & WL_SOCKET_READABLE) != 0;
		events[num_events].writeable = (occurred[i].events & WL_SOCKET_WRITEABLE) != 0;
		num_events++;
	}
	return num_events;
}
