/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Responses already paid for, shared by all backends.
 *
 * Layout: one segment of shared memory of a fixed size (chpg.cache_size when it is
 * made), of which the tables are the beginning (struct Cache): entries in a hash
 * table, shares by role, and flights.  PostgreSQL's allocator (DSA) manages the rest,
 * for bodies.  Each body counts the entries and flights that have it.
 *
 * Locks: cache->lock guards everything, bodies included.  Reading an entry needs it
 * shared; an entry's last_use is atomic for that.  Everything else needs it
 * exclusively.  It is never held together with the lock of shared_state.h, and
 * nothing may throw while it is held: memory is palloc'd with MCXT_ALLOC_NO_OOM.
 *
 * Lifetime: the first backend that needs the cache makes the segment and pins it
 * until the server ends; shared_state.h has its handle.  Without shared memory, or
 * if there is no room for the segment, a backend has a small cache of its own, or
 * none, which is no error.
 *
 * A crash of a backend makes the postmaster end all others, and the cache begins
 * anew.  A backend that ends otherwise leaves its flights to their followers (call.c);
 * one that is stopped loses those whose request waits to be sent after LATE_GRACE, and
 * the others when their followers have waited for chpg.request_timeout.
 *
 * When memory, or the table of entries, is full, an entry makes way: the oldest of
 * the role that has the most beyond its share, the one that wants to keep an answer
 * counted as if it had that already.  If no role has more than its share, the role
 * gives up an entry of its own, and what does not fit then is not kept.  With N
 * roles the share is 1/N of what is in use, and at least 1/(2 N) of all.  So no role
 * can take the last from another, which loses entries only as more roles come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "engine/cache.h"
#include "engine/keys.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "settings.h"
#include "storage/dsm.h"
#include "utils/dsa.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define NUM_BUCKETS		1024
#define MAX_ENTRIES		4096
#define MAX_FLIGHTS		256

/* Roles with a share of their own; all further ones have the last share together. */
#define MAX_SHARES		128

/* The tables and something to keep fit into this. */
#define MIN_CACHE_SIZE	(1024 * 1024)

/* Each backend by itself has as much at most. */
#define MAX_PRIVATE_SIZE	(4 * 1024 * 1024)

/*
 * DSA cuts pieces of up to 8 kB out of blocks of 64 kB, each for pieces of one
 * size.  It knows some 30 sizes, and their blocks would not fit into a small
 * cache: so bodies only use the sizes that are powers of two.
 */
#define MIN_PIECE_SIZE	256
#define MAX_PIECE_SIZE	8192

/* Larger bodies take whole pages of this size. */
#define DSA_PAGE_SIZE	4096

/* An owner that is late for this long (microseconds) loses its flight. */
#define LATE_GRACE		(10 * USECS_PER_SEC)

/* For this long (microseconds) an entry of CHPG_LASTING counts as just used. */
#define LASTING_AGE		(3600 * USECS_PER_SEC)

#define NOTHING			(-1)

/* A body, and how many entries and flights have it. */
typedef struct Body
{
	int			uses;
	size_t		length;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} Body;

typedef struct Entry
{
	ChpgReadId	id;
	bool		used;
	int			next;			/* in its bucket */
	uint64		generation;
	int64		stored;
	pg_atomic_uint64 last_use;
	int			status;
	int			share;			/* of its role */
	dsa_pointer body;
} Entry;

/* What a role has of the cache. */
typedef struct Share
{
	Oid			role;
	int			entries;		/* 0: not in use */
	Size		bytes;			/* of their bodies */
} Share;

typedef enum FlightState
{
	FLIGHT_NONE,
	FLIGHT_UNDER_WAY,
	FLIGHT_ANSWERED,
	FLIGHT_BROKEN
} FlightState;

typedef struct Flight
{
	ChpgReadId	id;
	FlightState state;
	uint64		serial;
	uint64		generation;
	int			owner;			/* a process, or nobody */
	uint64		ownership;		/* which of its calls: its reference has it */
	int64		away;			/* since when the owner does not wait, or 0 */
	int64		sent;			/* since when its request travels, or 0 */
	int64		look;			/* if it does not: when the owner looks next */
	int			followers;
	bool		outdated;		/* the cache was cleared meanwhile */
	int			status;
	dsa_pointer body;
} Flight;

typedef struct Cache
{
	LWLock		lock;
	uint64		last_serial;
	int			num_processes;
	Size		size;			/* for bodies */
	Size		largest;		/* bodies over this are not kept: others would
								 * have to go */
	int			buckets[NUM_BUCKETS];
	Entry		entries[MAX_ENTRIES];
	Share		shares[MAX_SHARES];
	Flight		flights[MAX_FLIGHTS];
	int			following[FLEXIBLE_ARRAY_MEMBER];	/* flights that a process
													 * follows */
} Cache;

static Cache *cache = NULL;
static dsa_area *area = NULL;
static bool unavailable = false;

/*
 * Setting up
 */

static Size
tables_size(void)
{
	return MAXALIGN(offsetof(Cache, following) + MaxBackends * sizeof(int));
}

/* Make an empty cache in memory of that size; segment is NULL if it is private. */
static void
initialize(void *place, Size size, dsm_segment *segment)
{
	int			tranche = chpg_keys_get()->tranche;

	cache = place;
	memset(cache, 0, tables_size());
	LWLockInitialize(&cache->lock, tranche);
	cache->num_processes = MaxBackends;
	cache->size = size - tables_size();
	cache->largest = cache->size / 4;
	for (int i = 0; i < NUM_BUCKETS; i++)
		cache->buckets[i] = NOTHING;
	for (int i = 0; i < MAX_ENTRIES; i++)
		pg_atomic_init_u64(&cache->entries[i].last_use, 0);
	area = dsa_create_in_place((char *) cache + tables_size(),
							   size - tables_size(), tranche, segment);

	/* So it never asks for more memory, which could fail. */
	dsa_set_size_limit(area, size - tables_size());
}

static void
attach(dsm_segment *segment)
{
	cache = dsm_segment_address(segment);
	area = dsa_attach_in_place((char *) cache + tables_size(), segment);
}

/* NULL if there is no memory for it, which is no reason to fail. */
static dsm_segment *
try_to_create(ChpgSharedState *shared, Size size)
{
	MemoryContext caller = CurrentMemoryContext;
	dsm_segment *volatile segment = NULL;

	PG_TRY();
	{
		segment = dsm_create(size, 0);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* It holds no lock when it fails. */
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (!shared->cache_failed)
			ereport(LOG,
					(errmsg("chpg keeps no responses in shared memory: %s", error->message),
					 errhint("Make room for shared memory, or lower \"chpg.cache_size\".")));
		FreeErrorData(error);
		shared->cache_failed = true;
	}
	PG_END_TRY();
	return segment;
}

/* Make a segment and publish it, unless another backend has done so by now. */
static void
create_cache(ChpgSharedState *shared)
{
	Size		size = Max((Size) chpg_cache_size * 1024, MIN_CACHE_SIZE);
	dsm_segment *segment = try_to_create(shared, size);
	dsm_handle	present;

	if (segment == NULL)
		return;
	initialize(dsm_segment_address(segment), size, segment);
	dsm_pin_segment(segment);
	dsa_pin(area);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	present = shared->cache;
	if (present == 0)
		shared->cache = dsm_segment_handle(segment);
	LWLockRelease(&shared->lock);
	if (present == 0)
		return;

	dsm_unpin_segment(dsm_segment_handle(segment));
	dsm_detach(segment);
	attach(dsm_attach(present));
}

static void
create_private(void)
{
	Size		size = Max(Min((Size) chpg_cache_size * 1024, MAX_PRIVATE_SIZE),
						   MIN_CACHE_SIZE);

	initialize(palloc(size), size, NULL);
}

/* Open the cache, with a mapping that belongs to no transaction. */
static void
open_cache(void)
{
	ChpgSharedState *shared = chpg_keys_get();
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	ResourceOwner owner = CurrentResourceOwner;
	dsm_handle	handle;

	CurrentResourceOwner = NULL;
	LWLockAcquire(&shared->lock, LW_SHARED);
	handle = shared->cache;
	LWLockRelease(&shared->lock);
	if (!shared->is_shared)
		create_private();
	else if (handle == 0)
		create_cache(shared);
	else
		attach(dsm_attach(handle));
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
	unavailable = cache == NULL;
}

static bool
is_open(void)
{
	if (cache == NULL && !unavailable && chpg_cache_size > 0)
		open_cache();
	return cache != NULL;
}

/*
 * Bodies; with the lock held exclusively
 */

/* Give up one use of a body, and free it after the last. */
static void
release_body(dsa_pointer *pointer)
{
	Body	   *body;

	if (!DsaPointerIsValid(*pointer))
		return;
	body = dsa_get_address(area, *pointer);
	if (--body->uses == 0)
		dsa_free(area, *pointer);
	*pointer = InvalidDsaPointer;
}

/* Fill in the answer; false if there is no memory for it. */
static bool
copy_answer(int status, dsa_pointer pointer, ChpgAnswer *answer)
{
	const Body *body = dsa_get_address(area, pointer);

	answer->status = status;
	answer->length = body->length;
	answer->body = palloc_extended(body->length + 1,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (answer->body == NULL)
		return false;
	memcpy(answer->body, body->data, body->length);
	answer->body[body->length] = '\0';
	return true;
}

/*
 * Entries
 */

/* The beginning of the chain in which an entry for that read is. */
static int *
bucket_of(const ChpgReadId *id)
{
	uint32		hash;

	memcpy(&hash, id->digest, sizeof(hash));
	return &cache->buckets[hash % NUM_BUCKETS];
}

static bool
is_same(const ChpgReadId *a, const ChpgReadId *b)
{
	return memcmp(a, b, sizeof(ChpgReadId)) == 0;
}

static Entry *
find_entry(const ChpgReadId *id)
{
	for (int i = *bucket_of(id); i != NOTHING; i = cache->entries[i].next)
	{
		if (is_same(&cache->entries[i].id, id))
			return &cache->entries[i];
	}
	return NULL;
}

/* The bytes that DSA allocates for a piece of that size. */
static Size
allocated_size(Size size)
{
	if (size <= MAX_PIECE_SIZE)
		return Max(pg_nextpower2_size_t(size), MIN_PIECE_SIZE);
	return TYPEALIGN(DSA_PAGE_SIZE, size);
}

/* Bytes that an entry takes of its role's share. */
static Size
entry_size(const Entry *entry)
{
	const Body *body = dsa_get_address(area, entry->body);

	return allocated_size(offsetof(Body, data) + body->length);
}

/* Take an entry out of its bucket and its share, and give up its body. */
static void
remove_entry(Entry *entry)
{
	int			number = entry - cache->entries;
	int		   *link = bucket_of(&entry->id);

	cache->shares[entry->share].entries--;
	cache->shares[entry->share].bytes -= entry_size(entry);

	while (*link != number)
		link = &cache->entries[*link].next;
	*link = entry->next;
	release_body(&entry->body);
	entry->used = false;
}

/* The number of a role's share, which it may just get. */
static int
share_of(Oid role)
{
	int			unused = MAX_SHARES - 1;

	for (int i = MAX_SHARES - 1; i >= 0; i--)
	{
		if (cache->shares[i].entries == 0)
			unused = i;
		else if (cache->shares[i].role == role)
			return i;
	}
	if (cache->shares[unused].entries == 0)
	{
		cache->shares[unused].role = role;
		cache->shares[unused].bytes = 0;
	}
	return unused;
}

/* What a share has, with what it is about to have. */
static Size
used_of(int number, int wanting, Size size, bool table_is_full)
{
	const Share *share = &cache->shares[number];

	if (table_is_full)
		return share->entries + (number == wanting);
	return (share->entries > 0 ? share->bytes : 0) + (number == wanting ? size : 0);
}

/*
 * The share that is to give up an entry, so that the given one can have one more of
 * that many bytes, or NOTHING if that is not to be.  The table of entries may
 * be what is full, or else memory is.
 */
static int
choose_share(int wanting, Size size, bool table_is_full)
{
	Size		total = 0;
	int			count = 0;
	int			chosen = NOTHING;
	Size		most;

	for (int i = 0; i < MAX_SHARES; i++)
	{
		total += used_of(i, wanting, size, table_is_full);
		count += used_of(i, wanting, size, table_is_full) > 0;
	}
	most = Max(total / count,
			   (table_is_full ? MAX_ENTRIES : cache->size) / 2 / count);
	for (int i = 0; i < MAX_SHARES; i++)
	{
		Size		used = used_of(i, wanting, size, table_is_full);

		if (cache->shares[i].entries > 0 && used > most)
		{
			most = used;
			chosen = i;
		}
	}
	if (chosen == NOTHING && cache->shares[wanting].entries > 0)
		chosen = wanting;
	return chosen;
}

/* Make room in a share by removing its least recently used entry. */
static void
remove_oldest(int share)
{
	Entry	   *oldest = NULL;

	for (int i = 0; i < MAX_ENTRIES; i++)
	{
		Entry	   *entry = &cache->entries[i];

		if (entry->used && entry->share == share &&
			(oldest == NULL || pg_atomic_read_u64(&entry->last_use) <
			 pg_atomic_read_u64(&oldest->last_use)))
			oldest = entry;
	}
	remove_entry(oldest);
}

/* An entry to use, or NULL if all are within the shares of others. */
static Entry *
free_entry(int share)
{
	for (;;)
	{
		int			chosen;

		for (int i = 0; i < MAX_ENTRIES; i++)
		{
			if (!cache->entries[i].used)
				return &cache->entries[i];
		}
		chosen = choose_share(share, 0, true);
		if (chosen == NOTHING)
			return NULL;
		remove_oldest(chosen);
	}
}

/*
 * Memory for a body, at the expense of entries that may go for the share; invalid
 * if there are none.  DSA keeps one empty block for each size of pieces unless it
 * is told to give it up.
 */
static dsa_pointer
allocate_body(Size size, int share)
{
	size = allocated_size(size);
	for (;;)
	{
		dsa_pointer pointer = dsa_allocate_extended(area, size,
													DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
		int			chosen;

		if (DsaPointerIsValid(pointer))
			return pointer;
		chosen = choose_share(share, size, false);
		if (chosen == NOTHING)
			return InvalidDsaPointer;
		remove_oldest(chosen);
		dsa_trim(area);
	}
}

/* Keep a copy of a body, which nothing refers to yet; invalid if that is not possible. */
static dsa_pointer
put_body(const ChpgAnswer *answer, int share)
{
	Size		size = offsetof(Body, data) + answer->length;
	dsa_pointer pointer;
	Body	   *body;

	if (size > cache->largest)
		return InvalidDsaPointer;
	pointer = allocate_body(size, share);
	if (!DsaPointerIsValid(pointer))
		return pointer;
	body = dsa_get_address(area, pointer);
	body->uses = 0;
	body->length = answer->length;
	memcpy(body->data, answer->body, answer->length);
	return pointer;
}

static dsa_pointer
share_body(dsa_pointer pointer)
{
	((Body *) dsa_get_address(area, pointer))->uses++;
	return pointer;
}

/*
 * Keep a body as the answer to that read, in the share of a role, unless there is one
 * of a later generation or no room in the table.
 */
static void
put_entry(const ChpgReadId *id, Oid role, uint64 generation, int status,
		  dsa_pointer body)
{
	Entry	   *entry = find_entry(id);
	int		   *bucket = bucket_of(id);
	int64		now = chpg_now();
	int			share;

	if (entry != NULL && entry->generation > generation)
		return;					/* a later one was faster */
	if (entry != NULL)
		remove_entry(entry);
	share = share_of(role);
	entry = free_entry(share);
	if (entry == NULL)
		return;
	entry->id = *id;
	entry->used = true;
	entry->generation = generation;
	entry->stored = now;
	pg_atomic_write_u64(&entry->last_use,
						generation == CHPG_LASTING ? now + LASTING_AGE : now);
	entry->status = status;
	entry->body = share_body(body);
	entry->share = share;
	cache->shares[share].entries++;
	cache->shares[share].bytes += entry_size(entry);
	entry->next = *bucket;
	*bucket = entry - cache->entries;
}

static bool
is_current(const Entry *entry, uint64 generation, int64 max_age)
{
	return entry != NULL && entry->generation == generation &&
		entry->stored + max_age > chpg_now();
}

/*
 * Flights; with the lock held exclusively
 */

/* Wake all backends that follow any flight: they are few, and look quickly. */
static void
wake_followers(void)
{
	for (int i = 0; i < cache->num_processes; i++)
	{
		if (cache->following[i] > 0 && i != chpg_process_number())
			chpg_wake(i);
	}
}

/* The flight under way of that read and generation, or NULL. */
static Flight *
find_flight(const ChpgReadId *id, uint64 generation)
{
	for (int i = 0; i < MAX_FLIGHTS; i++)
	{
		Flight	   *flight = &cache->flights[i];

		if (flight->state == FLIGHT_UNDER_WAY && !flight->outdated &&
			flight->generation == generation && is_same(&flight->id, id))
			return flight;
	}
	return NULL;
}

/* Make a flight that this backend owns; NULL if there are too many. */
static Flight *
new_flight(const ChpgReadId *id, uint64 generation)
{
	for (int i = 0; i < MAX_FLIGHTS; i++)
	{
		Flight	   *flight = &cache->flights[i];

		if (flight->state != FLIGHT_NONE)
			continue;
		memset(flight, 0, sizeof(Flight));
		flight->id = *id;
		flight->state = FLIGHT_UNDER_WAY;
		flight->serial = ++cache->last_serial;
		flight->generation = generation;
		flight->owner = chpg_process_number();
		flight->ownership = flight->serial;
		flight->look = chpg_now();
		return flight;
	}
	return NULL;
}

static void
refer_to(ChpgFlight *reference, const Flight *flight)
{
	reference->number = flight - cache->flights;
	reference->serial = flight->serial;
	reference->ownership = flight->ownership;
}

/* NULL if the flight that is referred to has ended. */
static Flight *
look_up(const ChpgFlight *reference)
{
	Flight	   *flight;

	if (reference->serial == 0)
		return NULL;
	flight = &cache->flights[reference->number];
	return flight->serial == reference->serial ? flight : NULL;
}

/* The same, NULL also if the caller's call does not own the flight any more. */
static Flight *
look_up_own(const ChpgFlight *reference)
{
	Flight	   *flight = look_up(reference);

	if (flight == NULL || flight->owner != chpg_process_number() ||
		flight->ownership != reference->ownership)
		return NULL;
	return flight;
}

/* Free a flight that has no followers, and no owner or an end. */
static void
forget_if_unused(Flight *flight)
{
	if (flight->followers > 0 ||
		(flight->state == FLIGHT_UNDER_WAY && flight->owner != CHPG_NOBODY))
		return;
	release_body(&flight->body);
	memset(flight, 0, sizeof(Flight));
}

/* End a reference to a flight that this backend follows. */
static void
stop_following(ChpgFlight *reference)
{
	Flight	   *flight = look_up(reference);

	cache->following[chpg_process_number()]--;
	reference->serial = 0;
	if (flight != NULL)
	{
		flight->followers--;
		forget_if_unused(flight);
	}
}

/*
 * May a follower take the flight over?  A call of this very backend that nobody waits
 * for would not go on before the follower's.
 */
static bool
may_be_taken(const Flight *flight)
{
	int64		now = chpg_now();

	return flight->owner == CHPG_NOBODY ||
		(flight->away != 0 && (flight->owner == chpg_process_number() ||
							   flight->away + CHPG_AWAY_GRACE <= now)) ||
		(flight->sent == 0 && flight->look + LATE_GRACE <= now);
}

/*
 * The interface: see cache.h
 */

/* With the lock held, at least shared. */
static bool
take_answer(const ChpgReadId *id, uint64 generation, int64 max_age, ChpgAnswer *answer)
{
	Entry	   *entry = find_entry(id);

	if (!is_current(entry, generation, max_age) ||
		!copy_answer(entry->status, entry->body, answer))
		return false;
	if (generation != CHPG_LASTING)
		pg_atomic_write_u64(&entry->last_use, chpg_now());
	return true;
}

bool
chpg_cache_get(const ChpgReadId *id, uint64 generation, int64 max_age,
			   ChpgAnswer *answer)
{
	bool		found;

	if (generation == 0 || max_age <= 0 || !is_open())
		return false;
	LWLockAcquire(&cache->lock, LW_SHARED);
	found = take_answer(id, generation, max_age, answer);
	LWLockRelease(&cache->lock);
	return found;
}

ChpgCacheResult
chpg_cache_find(const ChpgReadId *id, uint64 generation, int64 max_age,
				ChpgAnswer *answer, ChpgFlight *reference)
{
	ChpgCacheResult result = CHPG_CACHE_MISS;
	Flight	   *flight;

	if (generation == 0 || max_age <= 0 || !is_open())
		return CHPG_CACHE_MISS;
	if (chpg_cache_get(id, generation, max_age, answer))
		return CHPG_CACHE_ANSWER;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	if (take_answer(id, generation, max_age, answer))
		result = CHPG_CACHE_ANSWER;
	else if ((flight = find_flight(id, generation)) != NULL)
	{
		flight->followers++;
		cache->following[chpg_process_number()]++;
		refer_to(reference, flight);
		result = CHPG_CACHE_FOLLOW;
	}
	else if ((flight = new_flight(id, generation)) != NULL)
	{
		refer_to(reference, flight);
		result = CHPG_CACHE_OWN;
	}
	LWLockRelease(&cache->lock);
	return result;
}

bool
chpg_cache_has(const ChpgReadId *id, uint64 generation, int64 max_age)
{
	const Flight *flight;
	bool		found;

	if (generation == 0 || max_age <= 0 || !is_open())
		return false;
	LWLockAcquire(&cache->lock, LW_SHARED);
	found = is_current(find_entry(id), generation, max_age);
	if (!found)
	{
		flight = find_flight(id, generation);
		found = flight != NULL && flight->sent != 0;
	}
	LWLockRelease(&cache->lock);
	return found;
}

/*
 * What has become of a flight that this backend follows: it goes on, is taken over,
 * or has ended, which ends the reference too.  Fills in the answer, or *next.
 */
static ChpgCacheResult
follow(Flight *flight, ChpgFlight *reference, ChpgAnswer *answer, int64 *next)
{
	ChpgCacheResult result = CHPG_CACHE_MISS;

	*next = CHPG_FOREVER;
	if (flight->state == FLIGHT_UNDER_WAY)
	{
		if (!may_be_taken(flight))
		{
			if (flight->away != 0)
				*next = flight->away + CHPG_AWAY_GRACE;
			else if (flight->sent == 0)
				*next = flight->look + LATE_GRACE;
			return CHPG_CACHE_FOLLOW;
		}
		flight->owner = chpg_process_number();
		flight->ownership = reference->ownership = ++cache->last_serial;
		flight->away = 0;
		flight->sent = 0;
		flight->look = chpg_now();
		flight->followers--;
		cache->following[chpg_process_number()]--;
		return CHPG_CACHE_OWN;
	}
	if (flight->state == FLIGHT_ANSWERED &&
		copy_answer(flight->status, flight->body, answer))
		result = CHPG_CACHE_ANSWER;
	stop_following(reference);
	return result;
}

ChpgCacheResult
chpg_cache_follow(ChpgFlight *reference, ChpgAnswer *answer, int64 *next,
				  int64 *sent)
{
	ChpgCacheResult result;
	Flight	   *flight;

	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up(reference);
	*sent = flight->sent;
	result = follow(flight, reference, answer, next);
	LWLockRelease(&cache->lock);
	return result;
}

void
chpg_cache_unfollow(ChpgFlight *reference)
{
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	stop_following(reference);
	LWLockRelease(&cache->lock);
}

void
chpg_flight_hand_over(ChpgFlight *reference)
{
	Flight	   *flight;

	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up_own(reference);
	if (flight != NULL)
	{
		flight->owner = CHPG_NOBODY;
		forget_if_unused(flight);
		wake_followers();
	}
	LWLockRelease(&cache->lock);
	reference->serial = 0;
}

/* Note how far the owner of a flight is, and wake the followers when that changes. */
static void
note_progress(const ChpgFlight *reference, int64 sent, int64 look)
{
	Flight	   *flight;

	if (reference->serial == 0)
		return;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up_own(reference);
	if (flight != NULL)
	{
		bool		news = (flight->sent != 0) != (sent != 0);

		flight->sent = sent;
		flight->look = look;
		if (news)
			wake_followers();
	}
	LWLockRelease(&cache->lock);
}

void
chpg_flight_sent(const ChpgFlight *reference)
{
	note_progress(reference, chpg_now(), 0);
}

void
chpg_flight_waits(const ChpgFlight *reference, int64 until)
{
	note_progress(reference, 0, until);
}

void
chpg_flight_pause(const ChpgFlight *reference)
{
	Flight	   *flight;

	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up_own(reference);
	if (flight != NULL)
	{
		flight->away = chpg_now();
		wake_followers();
	}
	LWLockRelease(&cache->lock);
}

bool
chpg_flight_resume(const ChpgFlight *reference)
{
	Flight	   *flight;

	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up_own(reference);
	if (flight != NULL)
		flight->away = 0;
	LWLockRelease(&cache->lock);
	return flight != NULL;
}

void
chpg_cache_publish(const ChpgReadId *id, Oid role, uint64 generation,
				   ChpgFlight *reference, const ChpgAnswer *answer, bool keep)
{
	Flight	   *flight;
	dsa_pointer body = InvalidDsaPointer;

	if (generation == 0 || !is_open())
		return;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	flight = look_up_own(reference);
	keep = keep && (flight == NULL || !flight->outdated);
	if (keep || (flight != NULL && flight->followers > 0))
		body = put_body(answer, share_of(role));
	if (DsaPointerIsValid(body))
	{
		body = share_body(body);
		if (keep)
			put_entry(id, role, generation, answer->status, body);
	}
	if (flight != NULL)
	{
		flight->state = DsaPointerIsValid(body) ? FLIGHT_ANSWERED : FLIGHT_BROKEN;
		flight->owner = CHPG_NOBODY;
		flight->status = answer->status;
		if (DsaPointerIsValid(body))
			flight->body = share_body(body);
		forget_if_unused(flight);
		wake_followers();
	}
	release_body(&body);
	LWLockRelease(&cache->lock);
	reference->serial = 0;
}

void
chpg_cache_clear(void)
{
	if (!is_open())
		return;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_ENTRIES; i++)
	{
		if (cache->entries[i].used && cache->entries[i].generation != CHPG_LASTING)
			remove_entry(&cache->entries[i]);
	}
	for (int i = 0; i < MAX_FLIGHTS; i++)
		cache->flights[i].outdated = true;
	LWLockRelease(&cache->lock);
}
