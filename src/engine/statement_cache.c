/*-------------------------------------------------------------------------
 *
 * statement_cache.c
 *		The answers that one execution of a statement has got.
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

typedef struct CachedAnswer
{
	ChpgReadId	id;				/* hash key */
	uint64		generation;
	int			status;
	size_t		length;
	char	   *body;			/* NULL: in the file */
	off_t		offset;
} CachedAnswer;

struct ChpgStatementCache
{
	MemoryContext context;		/* of the execution */
	HTAB	   *entries;		/* CachedAnswer */
	size_t		size;			/* of the bodies in memory */
	int			notices;		/* bits of ChpgWindowNotice, issued */
	File		file;			/* 0 until it is needed */
	off_t		file_size;
	int64		waited_us;		/* for the budget */
	MemoryContextCallback callback;
};

/* The caches of the executions under way, in memory that outlives them. */
static List *caches = NIL;

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
release_cache(void *arg)
{
	ChpgStatementCache *cache = (ChpgStatementCache *) arg;

	if (cache->file > 0)
		FileClose(cache->file);
	caches = list_delete_ptr(caches, cache);
}

ChpgStatementCache *
chpg_statement_cache_get(MemoryContext query_context)
{
	HASHCTL		control = {
		.keysize = sizeof(ChpgReadId),
		.entrysize = sizeof(CachedAnswer),
		.hcxt = query_context
	};
	MemoryContext caller;
	ChpgStatementCache *cache;
	ListCell   *lc;

	foreach(lc, caches)
	{
		cache = (ChpgStatementCache *) lfirst(lc);
		if (cache->context == query_context)
			return cache;
	}
	cache = MemoryContextAllocZero(query_context, sizeof(ChpgStatementCache));
	cache->context = query_context;
	cache->entries = hash_create("chpg statement cache", 64, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	caller = MemoryContextSwitchTo(TopMemoryContext);
	caches = lappend(caches, cache);
	MemoryContextSwitchTo(caller);
	cache->callback.func = release_cache;
	cache->callback.arg = cache;
	MemoryContextRegisterResetCallback(query_context, &cache->callback);
	return cache;
}

/* Begin anew if the client has sent another statement. */
static void
notice_statement(void)
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
notice_transaction(void)
{
	static bool watching = false;

	if (!watching)
		RegisterXactCallback(end_transaction, NULL);
	watching = true;
	notice_statement();
}

int64 *
chpg_statement_requests(void)
{
	notice_transaction();
	return &statement_requests;
}

uint64 *
chpg_statement_write(void)
{
	notice_transaction();
	return &statement_write;
}

bool
chpg_statement_cache_says_first(ChpgStatementCache *cache, ChpgWindowNotice notice)
{
	int			issued = cache != NULL ? cache->notices : 0;

	notice_statement();
	issued |= statement_notices;
	statement_notices |= 1 << notice;
	if (cache != NULL)
		cache->notices |= 1 << notice;
	return (issued & (1 << notice)) == 0;
}

static void
write_body(ChpgStatementCache *cache, CachedAnswer *entry, const ChpgAnswer *answer)
{
	if (cache->file <= 0)
		cache->file = OpenTemporaryFile(true);
	entry->offset = cache->file_size;
	if (FileWrite(cache->file, answer->body, answer->length, entry->offset,
				  WAIT_EVENT_BUFFILE_WRITE) != answer->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m",
						FilePathName(cache->file))));
	cache->file_size += answer->length;
}

void
chpg_statement_cache_store(ChpgStatementCache *cache, const ChpgReadId *id, uint64 generation,
						   const ChpgAnswer *answer)
{
	CachedAnswer stored = {
		.id = *id,
		.generation = generation,
		.status = answer->status,
		.length = answer->length
	};
	CachedAnswer *entry;

	if (cache->size + answer->length <= (size_t) work_mem * 1024)
	{
		stored.body = MemoryContextAllocHuge(cache->context, answer->length + 1);
		memcpy(stored.body, answer->body, answer->length);
		cache->size += answer->length;
	}
	else if (temp_file_limit < 0 ||
			 cache->file_size + answer->length <= (size_t) temp_file_limit * 1024)
		write_body(cache, &stored, answer);
	else
		return;					/* rather send the request again than fail */
	entry = hash_search(cache->entries, id, HASH_ENTER, NULL);
	*entry = stored;
}

static CachedAnswer *
find_entry(ChpgStatementCache *cache, const ChpgReadId *id, uint64 generation)
{
	CachedAnswer *entry = hash_search(cache->entries, id, HASH_FIND, NULL);

	return entry != NULL && entry->generation == generation ? entry : NULL;
}

bool
chpg_statement_cache_find(ChpgStatementCache *cache, const ChpgReadId *id, uint64 generation,
						  ChpgAnswer *answer)
{
	CachedAnswer *entry = find_entry(cache, id, generation);

	if (entry == NULL)
		return false;
	answer->status = entry->status;
	answer->length = entry->length;
	answer->body = MemoryContextAllocHuge(CurrentMemoryContext,
										  entry->length + 1);
	if (entry->body != NULL)
		memcpy(answer->body, entry->body, entry->length);
	else if (FileRead(cache->file, answer->body, entry->length, entry->offset,
					  WAIT_EVENT_BUFFILE_READ) != entry->length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m",
						FilePathName(cache->file))));
	answer->body[answer->length] = '\0';
	return true;
}

int64
chpg_statement_cache_waited(const ChpgStatementCache *cache, int64 waited_us)
{
	return cache == NULL ? waited_us :
		Max(waited_us, cache->waited_us);
}

void
chpg_statement_cache_add_wait(ChpgStatementCache *cache, int64 waited_us)
{
	if (cache != NULL)
		cache->waited_us += waited_us;
}

bool
chpg_statement_cache_has(ChpgStatementCache *cache, const ChpgReadId *id, uint64 generation)
{
	return find_entry(cache, id, generation) != NULL;
}
