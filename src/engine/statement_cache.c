/*-------------------------------------------------------------------------
 *
 * statement_cache.c
 *		What one execution of a statement has been answered.
 *
 * Bodies stay in memory up to work_mem, and go to a temporary file beyond.  The
 * file belongs to the memory context, not to a transaction, so that there is
 * one way for it to end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "engine/statement_cache.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

typedef struct MemoEntry
{
	ChpgReadId	id;				/* hash key */
	uint64		generation;
	int			status;
	size_t		length;
	char	   *body;			/* NULL: in the file */
	off_t		offset;
} MemoEntry;

struct ChpgMemo
{
	MemoryContext context;		/* of the execution */
	HTAB	   *entries;		/* MemoEntry */
	size_t		size;			/* of the bodies in memory */
	int			notices;		/* bits of ChpgWindowNotice, issued */
	File		file;			/* 0 until it is needed */
	off_t		file_size;
	int64		waited;			/* microseconds, for the budget */
	MemoryContextCallback callback;
};

/* The memos of the executions under way, in memory that outlives them. */
static List *memos = NIL;

/*
 * Bits of ChpgWindowNotice that the client's present statement has issued, the
 * requests that it has sent, a hash of its latest change, and its start.  A
 * function may execute statements of its own.
 */
static int	statement_notices = 0;
static int64 statement_requests = 0;
static uint64 statement_write = 0;
static TimestampTz statement_start = 0;

static void
release_memo(void *arg)
{
	ChpgMemo   *memo = (ChpgMemo *) arg;

	if (memo->file > 0)
		FileClose(memo->file);
	memos = list_delete_ptr(memos, memo);
}

ChpgMemo *
chpg_memo_get(MemoryContext query_context)
{
	HASHCTL		control = {
		.keysize = sizeof(ChpgReadId),
		.entrysize = sizeof(MemoEntry),
		.hcxt = query_context
	};
	MemoryContext caller;
	ChpgMemo   *memo;
	ListCell   *lc;

	foreach(lc, memos)
	{
		memo = (ChpgMemo *) lfirst(lc);
		if (memo->context == query_context)
			return memo;
	}
	memo = MemoryContextAllocZero(query_context, sizeof(ChpgMemo));
	memo->context = query_context;
	memo->entries = hash_create("chpg memo", 64, &control,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	caller = MemoryContextSwitchTo(TopMemoryContext);
	memos = lappend(memos, memo);
	MemoryContextSwitchTo(caller);
	memo->callback.func = release_memo;
	memo->callback.arg = memo;
	MemoryContextRegisterResetCallback(query_context, &memo->callback);
	return memo;
}

/* Begin anew if the client has sent another statement. */
static void
look_at_statement(void)
{
	TimestampTz start = GetCurrentStatementStartTimestamp();

	if (statement_start == start)
		return;
	statement_start = start;
	statement_notices = 0;
	statement_requests = 0;
	statement_write = 0;
}

/* A procedure that commits may go on for long. */
static void
end_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	statement_requests = 0;
	statement_write = 0;
}

/* The same, and also where a transaction of the statement has ended. */
static void
look_at_transaction(void)
{
	static bool watching = false;

	if (!watching)
		RegisterXactCallback(end_transaction, NULL);
	watching = true;
	look_at_statement();
}

int64 *
chpg_statement_requests(void)
{
	look_at_transaction();
	return &statement_requests;
}

uint64 *
chpg_statement_write(void)
{
	look_at_transaction();
	return &statement_write;
}

bool
chpg_memo_says_first(ChpgMemo *memo, ChpgWindowNotice notice)
{
	int			issued = memo != NULL ? memo->notices : 0;

	look_at_statement();
	issued |= statement_notices;
	statement_notices |= 1 << notice;
	if (memo != NULL)
		memo->notices |= 1 << notice;
	return (issued & (1 << notice)) == 0;
}

static void
write_body(ChpgMemo *memo, MemoEntry *entry, const ChpgAnswer *answer)
{
	if (memo->file <= 0)
		memo->file = OpenTemporaryFile(true);
	entry->offset = memo->file_size;
	if (FileWrite(memo->file, answer->body, answer->length, entry->offset,
				  WAIT_EVENT_BUFFILE_WRITE) != answer->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						FilePathName(memo->file))));
	memo->file_size += answer->length;
}

void
chpg_memo_store(ChpgMemo *memo, const ChpgReadId *id, uint64 generation,
				const ChpgAnswer *answer)
{
	MemoEntry	stored = {
		.id = *id,
		.generation = generation,
		.status = answer->status,
		.length = answer->length
	};
	MemoEntry  *entry;

	if (memo->size + answer->length <= (size_t) work_mem * 1024)
	{
		stored.body = MemoryContextAllocHuge(memo->context, answer->length + 1);
		memcpy(stored.body, answer->body, answer->length);
		memo->size += answer->length;
	}
	else if (temp_file_limit < 0 ||
			 memo->file_size + answer->length <= (size_t) temp_file_limit * 1024)
		write_body(memo, &stored, answer);
	else
		return;					/* rather ask again than fail */
	entry = hash_search(memo->entries, id, HASH_ENTER, NULL);
	*entry = stored;
}

static MemoEntry *
find_entry(ChpgMemo *memo, const ChpgReadId *id, uint64 generation)
{
	MemoEntry  *entry = hash_search(memo->entries, id, HASH_FIND, NULL);

	return entry != NULL && entry->generation == generation ? entry : NULL;
}

bool
chpg_memo_find(ChpgMemo *memo, const ChpgReadId *id, uint64 generation,
			   ChpgAnswer *answer)
{
	MemoEntry  *entry = find_entry(memo, id, generation);

	if (entry == NULL)
		return false;
	answer->status = entry->status;
	answer->length = entry->length;
	answer->body = MemoryContextAllocHuge(CurrentMemoryContext,
										  entry->length + 1);
	if (entry->body != NULL)
		memcpy(answer->body, entry->body, entry->length);
	else if (FileRead(memo->file, answer->body, entry->length, entry->offset,
					  WAIT_EVENT_BUFFILE_READ) != entry->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m",
						FilePathName(memo->file))));
	answer->body[answer->length] = '\0';
	return true;
}

int64 *
chpg_memo_waited(ChpgMemo *memo)
{
	return &memo->waited;
}

bool
chpg_memo_has(ChpgMemo *memo, const ChpgReadId *id, uint64 generation)
{
	return find_entry(memo, id, generation) != NULL;
}
