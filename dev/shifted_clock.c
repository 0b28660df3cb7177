/*-------------------------------------------------------------------------
 *
 * shifted_clock.c
 *		A preloaded library that shifts the date, for tests.
 *
 * CHPG_CLOCK_SHIFT gives the seconds that are added to what time(),
 * gettimeofday() and clock_gettime() say of the date.  CHPG_CLOCK_FILE names a
 * file whose first eight bytes are an integer of further seconds: writing to it
 * moves the clock of all processes that have it, at once.  Nothing else
 * changes: CLOCK_MONOTONIC, sleeps, timers and the times of files stay the
 * kernel's.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*ClockFunction) (clockid_t clock, struct timespec *now);

static ClockFunction real_clock_gettime = NULL;
static time_t shift = 0;
static const volatile int64_t *moved = NULL;	/* of CHPG_CLOCK_FILE */

__attribute__((constructor))
static void
initialize(void)
{
	const char *seconds = getenv("CHPG_CLOCK_SHIFT");
	const char *file = getenv("CHPG_CLOCK_FILE");

	if (seconds != NULL)
		shift = (time_t) strtoll(seconds, NULL, 10);
	if (file != NULL)
	{
		int			descriptor = open(file, O_RDONLY | O_CLOEXEC);

		if (descriptor >= 0)
		{
			void	   *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, descriptor, 0);

			if (map != MAP_FAILED)
				moved = map;
			close(descriptor);
		}
	}
	real_clock_gettime = (ClockFunction) dlsym(RTLD_NEXT, "clock_gettime");
}

/* The constructors of other libraries may come first. */
static int
read_clock(clockid_t clock, struct timespec *now)
{
	if (real_clock_gettime != NULL)
		return real_clock_gettime(clock, now);
	return (int) syscall(SYS_clock_gettime, clock, now);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			status = read_clock(clock, now);

	if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += shift + (moved != NULL ? (time_t) *moved : 0);
	return status;
}

int
gettimeofday(struct timeval *now, void *zone)
{
	struct timespec precise;
	int			status = clock_gettime(CLOCK_REALTIME, &precise);

	(void) zone;
	if (status == 0)
	{
		now->tv_sec = precise.tv_sec;
		now->tv_usec = precise.tv_nsec / 1000;
	}
	return status;
}

time_t
time(time_t *place)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (place != NULL)
		*place = now.tv_sec;
	return now.tv_sec;
}
