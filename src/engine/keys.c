/*-------------------------------------------------------------------------
 *
 * keys.c
 *		The keys' places in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "compat.h"
#include "engine/keys.h"
#include "engine/keys_file.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static ChpgSharedState *shared_memory = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(ChpgSharedState, waiters),
					mul_size(MaxBackends, sizeof(ChpgWaiter)));
}

static void
initialize(void *place)
{
	ChpgSharedState *shared = (ChpgSharedState *) place;

	memset(shared, 0, shared_size());
	shared->tranche = chpg_new_lwlock_tranche("chpg");
	LWLockInitialize(&shared->lock, shared->tranche);
	shared->is_shared = true;
	shared->stats_reset = GetCurrentTimestamp();
	shared->num_waiters = MaxBackends;
}

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(shared_size());
}

static void
start_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared_memory = ShmemInitStruct("chpg", shared_size(), &found);
	if (!found)
	{
		initialize(shared_memory);
		shared_memory->started = GetCurrentTimestamp();
	}
	LWLockRelease(AddinShmemInitLock);
}

void
chpg_keys_prepare(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

/* A library of another version has other structures, and so another name. */
static ChpgSharedState *
attach_memory(void)
{
	char		name[64];

	if (!IsUnderPostmaster)
		return NULL;
	snprintf(name, sizeof(name), "chpg " CHPG_VERSION " %zu", shared_size());
	return chpg_named_segment(name, shared_size(), initialize);
}

static ChpgSharedState *
create_private(void)
{
	ChpgSharedState *shared = MemoryContextAllocHuge(TopMemoryContext,
													 shared_size());

	initialize(shared);
	shared->is_shared = false;
	ereport(LOG,
			(errmsg("chpg keeps the request budget and the cache of this backend only"),
			 errhint("Add chpg to \"shared_preload_libraries\".")));
	return shared;
}

/* Open the file, and restore the logs from it if no other backend has. */
static void
restore(ChpgSharedState *shared)
{
	TimestampTz started = shared->restored ? 0 : chpg_server_start();

	chpg_keys_file_open();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (!shared->restored)
	{
		if (shared->started == 0)
			shared->started = started;
		chpg_keys_file_restore(shared);
	}
	shared->restored = true;
	LWLockRelease(&shared->lock);
}

ChpgSharedState *
chpg_keys_get(void)
{
	static bool registered = false;

	if (shared_memory == NULL)
		shared_memory = attach_memory();
	if (shared_memory == NULL)
		shared_memory = create_private();
	if (!registered)
	{
		chpg_register_lwlock_tranche(shared_memory->tranche, "chpg");
		registered = true;
		if (shared_memory->is_shared)
			restore(shared_memory);
	}
	return shared_memory;
}

void
chpg_keys_announce(void)
{
	static bool announced = false;

	/* The leader of parallel workers speaks for them. */
	if (announced || chpg_keys_get()->is_shared || !IsUnderPostmaster ||
		IsParallelWorker())
		return;
	announced = true;
	ereport(NOTICE,
			(errmsg("sessions do not share chpg's request budget and cache: add chpg to \"shared_preload_libraries\""),
			 errdetail("Each session may send as many requests as the API allows the key, and sends requests whose responses other sessions have."),
			 errhint("Before PostgreSQL 17, shared memory needs \"shared_preload_libraries\" in postgresql.conf, and a restart.")));
}

int
chpg_process_number(void)
{
	return (int) (MyProc - ProcGlobal->allProcs);
}

void
chpg_wake(int process)
{
	SetLatch(&ProcGlobal->allProcs[process].procLatch);
}

/*
 * Keys
 */

int
chpg_key_find(ChpgSharedState *shared, const ChpgConnection *connection)
{
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (shared->keys[i].in_use &&
			memcmp(shared->keys[i].identity, connection->identity,
				   sizeof(connection->identity)) == 0)
			return i;
	}
	return -1;
}

/* Is no request with the key in that place under way, and does no backend wait? */
static bool
is_idle(const ChpgSharedState *shared, int number)
{
	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		const ChpgSlot *slot = &shared->keys[number].slots[i];

		if (slot->serial != 0 && slot->owner != CHPG_NOBODY)
			return false;
	}
	for (int i = 0; i < shared->num_waiters; i++)
	{
		if (shared->waiters[i].waiting && shared->waiters[i].key == number)
			return false;
	}
	return true;
}

/*
 * Until when what is known of a key's requests matters.  The API's own window
 * counts also where no server has a limit: the next one may.  Nobody else's
 * requests depend on those with a key that the API does not accept, so that these
 * are forgotten after that window however long that of the server is.
 */
static int64
matters_until(const ChpgKey *key)
{
	int64		window = key->accepted ?
	Max(key->window, CHPG_DEFAULT_WINDOW) : CHPG_DEFAULT_WINDOW;
	int64		until = key->blocked_until;

	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		if (key->slots[i].serial != 0)
			until = Max(until, key->slots[i].arrived + window);
	}
	return until;
}

/* The places that a role has. */
static int
count_places(const ChpgSharedState *shared, Oid owner)
{
	int			count = 0;

	for (int i = 0; i < CHPG_MAX_KEYS; i++)
		count += shared->keys[i].in_use && shared->keys[i].owner == owner;
	return count;
}

/* Does one key make way before another, where nothing of both matters? */
static bool
goes_before(const ChpgKey *key, const ChpgKey *other)
{
	if (key->accepted != other->accepted)
		return !key->accepted;
	return key->used < other->used;
}

/*
 * The place of a key of which nothing need be remembered: of the role's own, or
 * of those of the role that has the most places, more than the given number; or
 * -1.  A key that still counts never makes way.
 */
static int
find_idle_place(const ChpgSharedState *shared, Oid owner, int others_above)
{
	int64		now = chpg_now();
	int			most = 0;
	int			place = -1;
	int			counts[CHPG_MAX_KEYS];	/* for the first key of each role */

	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		const ChpgKey *key = &shared->keys[i];
		int			first = 0;
		int			places;

		while (shared->keys[first].owner != key->owner)
			first++;
		if (first == i)
			counts[i] = count_places(shared, key->owner);
		places = key->owner == owner ? PG_INT32_MAX : counts[first];

		if (places <= others_above || places < most ||
			matters_until(key) > now || !is_idle(shared, i))
			continue;
		if (place < 0 || places > most ||
			goes_before(key, &shared->keys[place]))
			place = i;
		most = places;
	}
	return place;
}

/* A place for a key that has none; negative if there is none for it. */
static int
find_place(const ChpgSharedState *shared, const ChpgConnection *connection)
{
	int			own = count_places(shared, connection->owner_id);
	bool		is_full = !connection->unbounded && own >= CHPG_MAX_ROLE_KEYS;
	int			place;

	for (int i = 0; i < CHPG_MAX_KEYS && !is_full; i++)
	{
		if (!shared->keys[i].in_use)
			return i;
	}
	place = find_idle_place(shared, connection->owner_id,
							is_full ? CHPG_MAX_KEYS : own);
	if (place >= 0)
		return place;
	return is_full ? CHPG_NO_ROLE_PLACE : CHPG_NO_PLACE;
}

static void
hide_key_id(const char *key_id, char shown[CHPG_SHOWN_KEY_LENGTH])
{
	snprintf(shown, CHPG_SHOWN_KEY_LENGTH, "%.*s...", CHPG_KEY_PREFIX_LENGTH,
			 key_id);
}

static void
show_key_id(ChpgKey *key, const ChpgConnection *connection)
{
	if (key->accepted)
		strlcpy(key->key_id, connection->key_id, sizeof(key->key_id));
	else
		hide_key_id(connection->key_id, key->key_id);
}

/* Give a place to a key; what the former one cost stays counted. */
static void
occupy(ChpgSharedState *shared, ChpgKey *key, const ChpgConnection *connection)
{
	for (int i = 0; i <= CHPG_NUM_OPERATIONS; i++)
	{
		for (int j = 0; j < CHPG_NUM_COUNTERS; j++)
			shared->others[i].values[j] += key->counters[i].values[j];
	}
	memset(key, 0, sizeof(ChpgKey));
	key->in_use = true;
	key->owner = connection->owner_id;
	memcpy(key->identity, connection->identity, sizeof(key->identity));
	key->generation = ++shared->last_serial;
	chpg_keys_file_save_new_key(shared, key - shared->keys);
}

int
chpg_key_enter(ChpgSharedState *shared, const ChpgConnection *connection)
{
	int			number = chpg_key_find(shared, connection);

	if (number < 0)
	{
		number = find_place(shared, connection);
		if (number < 0)
			return number;
		occupy(shared, &shared->keys[number], connection);
	}
	shared->keys[number].used = chpg_now();
	if (shared->keys[number].key_id[0] == '\0')
		show_key_id(&shared->keys[number], connection);
	strlcpy(shared->keys[number].server, connection->server, NAMEDATALEN);
	return number;
}

char *
chpg_key_shown_id(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	char		shown[CHPG_SHOWN_KEY_LENGTH];
	int			number;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = chpg_key_find(shared, connection);
	if (number >= 0 && shared->keys[number].accepted)
		strlcpy(shown, connection->key_id, sizeof(shown));
	else
		hide_key_id(connection->key_id, shown);
	LWLockRelease(&shared->lock);
	return pstrdup(shown);
}

void
chpg_key_accept(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0 && !shared->keys[number].accepted)
	{
		ChpgKey    *key = &shared->keys[number];

		key->accepted = true;
		show_key_id(key, connection);
		chpg_keys_file_save_key(shared, number);
	}
	LWLockRelease(&shared->lock);
}

uint64
chpg_key_generation(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	uint64		generation;
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
		generation = shared->keys[number].generation;
	else
		generation = ++shared->last_serial; /* what no other has */
	LWLockRelease(&shared->lock);
	return generation;
}

void
chpg_key_changed(const ChpgConnection *connection)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
		shared->keys[number].generation = ++shared->last_serial;
	LWLockRelease(&shared->lock);
}
