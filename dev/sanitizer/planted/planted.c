/*
 * planted(fault) commits one fault of memory or arithmetic, to show that the
 * sanitizers that watch chpg's tests report it.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(planted);

/* The compiler knows neither this nor the pointers below, and so sees no fault. */
static volatile int one = 1;
static volatile int sink;

static void
heap_overflow(void)
{
	char	   *volatile block = calloc(40, 1);

	sink = block[39 + one];
	free(block);
}

/* The chunk has room for more than what was asked for. */
static void
palloc_overflow(void)
{
	char	   *volatile chunk = palloc0(41);

	sink = chunk[40 + one];
}

static void
use_after_pfree(void)
{
	char	   *volatile chunk = palloc0(40);

	pfree(chunk);
	sink = chunk[one];
}

static void
use_after_reset(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "planted",
												  ALLOCSET_DEFAULT_SIZES);
	char	   *volatile chunk = MemoryContextAllocZero(context, 40);

	MemoryContextReset(context);
	sink = chunk[one];
}

static void
stack_overflow(void)
{
	volatile char array[40] = {0};
	volatile char *volatile start = array;

	sink = start[39 + one];
}

static void
misaligned(void)
{
	int64	   *volatile chunk = palloc0(40);

	sink = *(volatile int *) ((char *) chunk + one);
}

Datum
planted(PG_FUNCTION_ARGS)
{
	char	   *fault = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(fault, "heap-overflow") == 0)
		heap_overflow();
	else if (strcmp(fault, "palloc-overflow") == 0)
		palloc_overflow();
	else if (strcmp(fault, "use-after-pfree") == 0)
		use_after_pfree();
	else if (strcmp(fault, "use-after-reset") == 0)
		use_after_reset();
	else if (strcmp(fault, "stack-overflow") == 0)
		stack_overflow();
	else if (strcmp(fault, "signed-overflow") == 0)
		sink = INT_MAX - 1 + one + one;
	else if (strcmp(fault, "shift") == 0)
		sink = one << (one + 31);
	else if (strcmp(fault, "misaligned") == 0)
		misaligned();
	else if (strcmp(fault, "float-cast") == 0)
		sink = (int) (1e10 * one);
	else if (strcmp(fault, "assertion") == 0)
		Assert(one == 2);
	else if (strcmp(fault, "none") != 0)
		elog(ERROR, "unknown fault \"%s\"", fault);
	PG_RETURN_INT32(sink);
}
