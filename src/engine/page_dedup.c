/*-------------------------------------------------------------------------
 *
 * page_dedup.c
 *		Finding rows that were on an earlier page.
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

/* Hashes that are read at a time; each such part of the file is sorted in itself. */
#define PART_LENGTH		1024
#define PART_SIZE		(PART_LENGTH * sizeof(uint64))

struct ChpgPageDedup
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
	ChpgPageDedup *dedup = (ChpgPageDedup *) arg;

	if (dedup->file > 0)
		FileClose(dedup->file);
}

ChpgPageDedup *
chpg_page_dedup_create(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "chpg rows dedup",
												  ALLOCSET_SMALL_SIZES);
	ChpgPageDedup *dedup = MemoryContextAllocZero(context, sizeof(ChpgPageDedup));

	dedup->context = context;
	dedup->callback.func = close_file;
	dedup->callback.arg = dedup;
	MemoryContextRegisterResetCallback(context, &dedup->callback);
	return dedup;
}

void
chpg_page_dedup_free(ChpgPageDedup *dedup)
{
	MemoryContextDelete(dedup->context);
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

/* Mark those rows that are in the file, of which each part is read once. */
static void
mark_rows_of_file(const ChpgPageDedup *dedup, const PageRow *rows, int num_rows,
				  bool *repeated)
{
	uint64	   *part = palloc(PART_SIZE);

	for (off_t offset = 0; offset < dedup->file_size; offset += PART_SIZE)
	{
		CHECK_FOR_INTERRUPTS();
		if (FileRead(dedup->file, (char *) part, PART_SIZE, offset,
					 WAIT_EVENT_BUFFILE_READ) != PART_SIZE)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m",
							FilePathName(dedup->file))));
		mark_rows(rows, num_rows, part, PART_LENGTH, repeated);
	}
	pfree(part);
}

/* Move all whole parts to the file. */
static void
spill(ChpgPageDedup *dedup)
{
	int64		parts = dedup->count / PART_LENGTH;
	size_t		size = parts * PART_SIZE;

	if (dedup->file <= 0)
		dedup->file = OpenTemporaryFile(true);
	if (FileWrite(dedup->file, (char *) dedup->hashes, size, dedup->file_size,
				  WAIT_EVENT_BUFFILE_WRITE) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						FilePathName(dedup->file))));
	dedup->file_size += size;
	dedup->count -= parts * PART_LENGTH;
	memmove(dedup->hashes, dedup->hashes + parts * PART_LENGTH,
			dedup->count * sizeof(uint64));
}

/* Make room for more rows in memory, or in the file where work_mem does not allow that. */
static void
make_room(ChpgPageDedup *dedup, int num_rows)
{
	int64		most = Max((int64) work_mem * 1024 / (int64) sizeof(uint64), PART_LENGTH);

	if (dedup->count + num_rows > most && dedup->count >= PART_LENGTH)
		spill(dedup);
	if (dedup->count + num_rows <= dedup->capacity)
		return;
	dedup->capacity = Max(dedup->count + num_rows,
						  Min(dedup->capacity + dedup->capacity / 2, most));
	if (dedup->hashes == NULL)
		dedup->hashes = MemoryContextAllocHuge(dedup->context,
											   dedup->capacity * sizeof(uint64));
	else
		dedup->hashes = repalloc_huge(dedup->hashes,
									  dedup->capacity * sizeof(uint64));
}

/* Merge the rows into the array, from its end. */
static void
add_rows(ChpgPageDedup *dedup, const PageRow *rows, int num_rows)
{
	int64		from;
	int64		to;

	make_room(dedup, num_rows);
	from = dedup->count;
	to = dedup->count += num_rows;
	for (int i = num_rows - 1; i >= 0; i--)
	{
		while (from > 0 && dedup->hashes[from - 1] > rows[i].hash)
			dedup->hashes[--to] = dedup->hashes[--from];
		dedup->hashes[--to] = rows[i].hash;
	}
}

int
chpg_page_dedup_add(ChpgPageDedup *dedup, const uint64 *hashes, int num_rows, bool *repeated)
{
	PageRow    *rows = sort_page(hashes, num_rows);
	int			num_repeated = 0;

	memset(repeated, 0, num_rows * sizeof(bool));
	mark_rows(rows, num_rows, dedup->hashes, dedup->count, repeated);
	mark_rows_of_file(dedup, rows, num_rows, repeated);
	add_rows(dedup, rows, num_rows);
	for (int i = 0; i < num_rows; i++)
		num_repeated += repeated[i];
	pfree(rows);
	return num_repeated;
}
