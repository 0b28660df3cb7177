/*-------------------------------------------------------------------------
 *
 * page_dedup.c
 *		Which rows were on an earlier page.
 *
 * Of each row, eight bytes are kept in one sorted array, up to work_mem, and in
 * a temporary file beyond, which is read once a page.  Two of a million rows
 * are taken for the same one with a probability of 3 in 100 million.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/page_dedup.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* So many hashes are read at a time; each part of the file is sorted in itself. */
#define PART_LENGTH		1024
#define PART_SIZE		(PART_LENGTH * sizeof(uint64))

struct ChpgSeen
{
	MemoryContext context;
	uint64	   *hashes;			/* sorted */
	int64		count;
	int64		capacity;
	File		file;			/* 0 until it is needed */
	off_t		file_size;
	MemoryContextCallback callback;
};

/* A row of the page that is looked at. */
typedef struct PageRow
{
	uint64		hash;
	int			number;
} PageRow;

static void
close_file(void *arg)
{
	ChpgSeen   *seen = (ChpgSeen *) arg;

	if (seen->file > 0)
		FileClose(seen->file);
}

ChpgSeen *
chpg_seen_create(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg rows seen",
												  ALLOCSET_SMALL_SIZES);
	ChpgSeen   *seen = MemoryContextAllocZero(context, sizeof(ChpgSeen));

	seen->context = context;
	seen->callback.func = close_file;
	seen->callback.arg = seen;
	MemoryContextRegisterResetCallback(context, &seen->callback);
	return seen;
}

void
chpg_seen_free(ChpgSeen *seen)
{
	MemoryContextDelete(seen->context);
}

static int
compare_rows(const void *a, const void *b)
{
	uint64		left = ((const PageRow *) a)->hash;
	uint64		right = ((const PageRow *) b)->hash;

	return (left > right) - (left < right);
}

static PageRow *
sort_page(const uint64 *hashes, int num_rows)
{
	PageRow    *rows = palloc(num_rows * sizeof(PageRow));

	for (int i = 0; i < num_rows; i++)
	{
		rows[i].hash = hashes[i];
		rows[i].number = i;
	}
	qsort(rows, num_rows, sizeof(PageRow), compare_rows);
	return rows;
}

/* Mark those rows that are among these hashes; both are sorted. */
static void
mark_rows(const PageRow *rows, int num_rows, const uint64 *hashes, int64 count,
		  bool *repeated)
{
	int64		at = 0;

	for (int i = 0; i < num_rows; i++)
	{
		while (at < count && hashes[at] < rows[i].hash)
			at++;
		if (at < count && hashes[at] == rows[i].hash)
			repeated[rows[i].number] = true;
	}
}

static void
mark_rows_of_file(const ChpgSeen *seen, const PageRow *rows, int num_rows,
				  bool *repeated)
{
	uint64	   *part = palloc(PART_SIZE);

	for (off_t offset = 0; offset < seen->file_size; offset += PART_SIZE)
	{
		CHECK_FOR_INTERRUPTS();
		if (FileRead(seen->file, (char *) part, PART_SIZE, offset,
					 WAIT_EVENT_BUFFILE_READ) != PART_SIZE)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m",
							FilePathName(seen->file))));
		mark_rows(rows, num_rows, part, PART_LENGTH, repeated);
	}
	pfree(part);
}

/* Move all whole parts to the file. */
static void
spill(ChpgSeen *seen)
{
	int64		parts = seen->count / PART_LENGTH;
	size_t		size = parts * PART_SIZE;

	if (seen->file <= 0)
		seen->file = OpenTemporaryFile(true);
	if (FileWrite(seen->file, (char *) seen->hashes, size, seen->file_size,
				  WAIT_EVENT_BUFFILE_WRITE) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						FilePathName(seen->file))));
	seen->file_size += size;
	seen->count -= parts * PART_LENGTH;
	memmove(seen->hashes, seen->hashes + parts * PART_LENGTH,
			seen->count * sizeof(uint64));
}

static void
make_room(ChpgSeen *seen, int num_rows)
{
	int64		most = Max((int64) work_mem * 1024 / (int64) sizeof(uint64), PART_LENGTH);

	if (seen->count + num_rows > most && seen->count >= PART_LENGTH)
		spill(seen);
	if (seen->count + num_rows <= seen->capacity)
		return;
	seen->capacity = Max(seen->count + num_rows,
						 Min(seen->capacity + seen->capacity / 2, most));
	if (seen->hashes == NULL)
		seen->hashes = MemoryContextAllocHuge(seen->context,
											  seen->capacity * sizeof(uint64));
	else
		seen->hashes = repalloc_huge(seen->hashes,
									 seen->capacity * sizeof(uint64));
}

/* Merge the rows into the array, from its end. */
static void
add_rows(ChpgSeen *seen, const PageRow *rows, int num_rows)
{
	int64		from;
	int64		to;

	make_room(seen, num_rows);
	from = seen->count;
	to = seen->count += num_rows;
	for (int i = num_rows - 1; i >= 0; i--)
	{
		while (from > 0 && seen->hashes[from - 1] > rows[i].hash)
			seen->hashes[--to] = seen->hashes[--from];
		seen->hashes[--to] = rows[i].hash;
	}
}

int
chpg_seen_page(ChpgSeen *seen, const uint64 *hashes, int num_rows, bool *repeated)
{
	PageRow    *rows = sort_page(hashes, num_rows);
	int			num_repeated = 0;

	memset(repeated, 0, num_rows * sizeof(bool));
	mark_rows(rows, num_rows, seen->hashes, seen->count, repeated);
	mark_rows_of_file(seen, rows, num_rows, repeated);
	add_rows(seen, rows, num_rows);
	for (int i = 0; i < num_rows; i++)
		num_repeated += repeated[i];
	pfree(rows);
	return num_repeated;
}
