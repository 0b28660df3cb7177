/*-------------------------------------------------------------------------
 *
 * journey.c
 *		A preloaded library that notes which functions of chpg were entered, for
 *		dev/journeys.
 *
 * chpg is built with -finstrument-functions, and calls what is here.  Only the
 * backend that has called journey_begin() takes notes.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "postgres.h"

#include <dlfcn.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

/* A power of two, and far more than there are calls in chpg's source */
#define TABLE_SIZE	65536

typedef struct Step
{
	void	   *function;		/* NULL: a free place */
	void	   *caller;			/* where it was called */
} Step;

static Step steps[TABLE_SIZE];
static bool recording = false;

extern void __cyg_profile_func_enter(void *function, void *caller);
extern void __cyg_profile_func_exit(void *function, void *caller);

PG_FUNCTION_INFO_V1(journey_begin);
PG_FUNCTION_INFO_V1(journey_end);

/*
 * Note each pair once.  Callbacks of libraries come here, too: nothing is
 * allocated or thrown.
 */
void
__cyg_profile_func_enter(void *function, void *caller)
{
	size_t		place;

	if (!recording)
		return;
	place = ((uintptr_t) function * 31 + (uintptr_t) caller) % TABLE_SIZE;
	while (steps[place].function != NULL &&
		   (steps[place].function != function || steps[place].caller != caller))
		place = (place + 1) % TABLE_SIZE;
	steps[place].function = function;
	steps[place].caller = caller;
}

void
__cyg_profile_func_exit(void *function, void *caller)
{
}

Datum
journey_begin(PG_FUNCTION_ARGS)
{
	memset(steps, 0, sizeof(steps));
	recording = true;
	PG_RETURN_VOID();
}

/* Where a function is in chpg's library, or 0 if it is in none of chpg's. */
static long
offset_of(void *address)
{
	Dl_info		library;

	if (dladdr(address, &library) == 0 || library.dli_fname == NULL ||
		strstr(library.dli_fname, "/chpg.so") == NULL)
		return 0;
	return (char *) address - (char *) library.dli_fbase;
}

/* Return lines "FUNCTION CALLER", each an offset in chpg's library in hexadecimal. */
Datum
journey_end(PG_FUNCTION_ARGS)
{
	StringInfoData lines;

	recording = false;
	initStringInfo(&lines);
	for (int i = 0; i < TABLE_SIZE; i++)
		if (steps[i].function != NULL)
			appendStringInfo(&lines, "0x%lx 0x%lx\n",
							 offset_of(steps[i].function), offset_of(steps[i].caller));
	PG_RETURN_TEXT_P(cstring_to_text(lines.data));
}
