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

struct ChpgStatementCache
{
	MemoryContext context;		/* of the execution */
	HTAB	   *entries;		/* MemoEntry */
	size_t		size;			/* of the bodies in memory */
	int			notices;		/* bits of ChpgWindowNotice, issued */
	File		file;			/* 0 until it is needed */
	off_t		file_size;
	int64		waited_us;		/* for the budget */
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
	ChpgStatementCache *statement_cache = (ChpgStatementCache *) arg;

	if (statement_cache->file > 0)
		FileClose(statement_cache->file);
	memos = list_delete_ptr(memos, statement_cache);
}

ChpgStatementCache *
chpg_statement_cache_get(MemoryContext query_context)
{
	HASHCTL		control = {
		.keysize = sizeof(ChpgReadId),
		.entrysize = sizeof(MemoEntry),
		.hcxt = query_context
	};
	MemoryContext caller;
	ChpgStatementCache *statement_cache;
	ListCell   *lc;

	foreach(lc, memos)
	{
		statement_cache = (ChpgStatementCache *) lfirst(lc);
		if (statement_cache->context == query_context)
			return statement_cache;
	}
	statement_cache = MemoryContextAllocZero(query_context, sizeof(ChpgStatementCache));
	statement_cache->context = query_context;
	statement_cache->entries = hash_create("chpg statement_cache", 64, &control,
										   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	caller = MemoryContextSwitchTo(TopMemoryContext);
	memos = lappend(memos, statement_cache);
	MemoryContextSwitchTo(caller);
	statement_cache->callback.func = release_memo;
	statement_cache->callback.arg = statement_cache;
	MemoryContextRegisterResetCallback(query_context, &statement_cache->callback);
	return statement_cache;
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
chpg_statement_cache_says_first(ChpgStatementCache *statement_cache, ChpgWindowNotice notice)
{
	int			issued = statement_cache != NULL ? statement_cache->notices : 0;

	look_at_statement();
	issued |= statement_notices;
	statement_notices |= 1 << notice;
	if (statement_cache != NULL)
		statement_cache->notices |= 1 << notice;
	return (issued & (1 << notice)) == 0;
}

static void
write_body(ChpgStatementCache *statement_cache, MemoEntry *entry, const ChpgAnswer *answer)
{
	if (statement_cache->file <= 0)
		statement_cache->file = OpenTemporaryFile(true);
	entry->offset = statement_cache->file_size;
	if (FileWrite(statement_cache->file, answer->body, answer->length, entry->offset,
				  WAIT_EVENT_BUFFILE_WRITE) != answer->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						FilePathName(statement_cache->file))));
	statement_cache->file_size += answer->length;
}

void
chpg_statement_cache_store(ChpgStatementCache *statement_cache, const ChpgReadId *id, uint64 generation,
						   const ChpgAnswer *answer)
{
	MemoEntry	stored = {
		.id = *id,
		.generation = generation,
		.status = answer->status,
		.length = answer->length
	};
	MemoEntry  *entry;

	if (statement_cache->size + answer->length <= (size_t) work_mem * 1024)
	{
		stored.body = MemoryContextAllocHuge(statement_cache->context, answer->length + 1);
		memcpy(stored.body, answer->body, answer->length);
		statement_cache->size += answer->length;
	}
	else if (temp_file_limit < 0 ||
			 statement_cache->file_size + answer->length <= (size_t) temp_file_limit * 1024)
		write_body(statement_cache, &stored, answer);
	else
		return;					/* rather ask again than fail */
	entry = hash_search(statement_cache->entries, id, HASH_ENTER, NULL);
	*entry = stored;
}

static MemoEntry *
find_entry(ChpgStatementCache *statement_cache, const ChpgReadId *id, uint64 generation)
{
	MemoEntry  *entry = hash_search(statement_cache->entries, id, HASH_FIND, NULL);

	return entry != NULL && entry->generation == generation ? entry : NULL;
}

bool
chpg_statement_cache_find(ChpgStatementCache *statement_cache, const ChpgReadId *id, uint64 generation,
						  ChpgAnswer *answer)
{
	MemoEntry  *entry = find_entry(statement_cache, id, generation);

	if (entry == NULL)
		return false;
	answer->status = entry->status;
	answer->length = entry->length;
	answer->body = MemoryContextAllocHuge(CurrentMemoryContext,
										  entry->length + 1);
	if (entry->body != NULL)
		memcpy(answer->body, entry->body, entry->length);
	else if (FileRead(statement_cache->file, answer->body, entry->length, entry->offset,
					  WAIT_EVENT_BUFFILE_READ) != entry->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m",
						FilePathName(statement_cache->file))));
	answer->body[answer->length] = '\0';
	return true;
}

int64
chpg_statement_cache_waited(const ChpgStatementCache *statement_cache, int64 waited_us)
{
	return statement_cache == NULL ? waited_us :
		Max(waited_us, statement_cache->waited_us);
}

void
chpg_statement_cache_add_wait(ChpgStatementCache *statement_cache, int64 waited_us)
{
	if (statement_cache != NULL)
		statement_cache->waited_us += waited_us;
}

bool
chpg_statement_cache_has(ChpgStatementCache *statement_cache, const ChpgReadId *id, uint64 generation)
{
	return find_entry(statement_cache, id, generation) != NULL;
}
