/*-------------------------------------------------------------------------
 *
 * shared.c
 *		What the backends know together: keys, and who waits for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"
#include "miscadmin.h"
#include "shared.h"
#include "sockets.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static ChpgShared *shared_memory = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(ChpgShared, waiters),
					mul_size(MaxBackends, sizeof(ChpgWaiter)));
}

static void
initialize(void *place)
{
	ChpgShared *shared = (ChpgShared *) place;

	memset(shared, 0, shared_size());
	shared->tranche = LWLockNewTrancheId();
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
		initialize(shared_memory);
	LWLockRelease(AddinShmemInitLock);
}

void
chpg_shared_prepare(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

/* A library of another version has other structures, and so another name. */
static ChpgShared *
attach_memory(void)
{
	char		name[64];

	if (!IsUnderPostmaster)
		return NULL;
	snprintf(name, sizeof(name), "chpg " CHPG_VERSION " %zu", shared_size());
	return chpg_named_segment(name, shared_size(), initialize);
}

static ChpgShared *
create_private(void)
{
	ChpgShared *shared = MemoryContextAllocHuge(TopMemoryContext,
												shared_size());

	initialize(shared);
	shared->is_shared = false;
	ereport(LOG,
			(errmsg("chpg keeps the request budget and the cache of this backend only"),
			 errdetail("Other backends that use the same key know nothing of its requests."),
			 errhint("Add chpg to \"shared_preload_libraries\".")));
	return shared;
}

ChpgShared *
chpg_shared_get(void)
{
	static bool registered = false;

	if (shared_memory == NULL)
		shared_memory = attach_memory();
	if (shared_memory == NULL)
		shared_memory = create_private();
	if (!registered)
		LWLockRegisterTranche(shared_memory->tranche, "chpg");
	registered = true;
	return shared_memory;
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

static void
hash_connection(const ChpgConnection *connection, uint64 hash[2])
{
	const unsigned char *url = (const unsigned char *) connection->api_url;
	const unsigned char *id = (const unsigned char *) connection->key_id;

	for (int i = 0; i < 2; i++)
		hash[i] = hash_combine64(hash_bytes_extended(url, strlen((const char *) url), i + 1),
								 hash_bytes_extended(id, strlen((const char *) id), i + 1));
	if (hash[0] == 0)
		hash[0] = 1;
}

static int
find_hash(const ChpgShared *shared, const uint64 hash[2])
{
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (shared->keys[i].hash[0] == hash[0] &&
			shared->keys[i].hash[1] == hash[1])
			return i;
	}
	return -1;
}

int
chpg_key_find(ChpgShared *shared, const ChpgConnection *connection)
{
	uint64		hash[2];

	hash_connection(connection, hash);
	return find_hash(shared, hash);
}

/* Does nothing that happens now depend on it? */
static bool
is_idle(const ChpgShared *shared, int number, int64 now)
{
	const ChpgKey *key = &shared->keys[number];
	int64		window = 0;

	for (int i = 0; i < CHPG_MAX_LIMITS; i++)
		window = Max(window, key->limits[i].window);
	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		if (key->slots[i].serial != 0 &&
			(key->slots[i].owner != CHPG_NOBODY ||
			 key->slots[i].arrived + window > now))
			return false;
	}
	for (int i = 0; i < shared->num_waiters; i++)
	{
		if (shared->waiters[i].waiting && shared->waiters[i].key == number)
			return false;
	}
	return key->blocked_until <= now;
}

/* A free place, or that of the key that was not used for the longest time. */
static int
find_place(const ChpgShared *shared, int64 now)
{
	int			place = -1;

	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (shared->keys[i].hash[0] == 0)
			return i;
		if ((place < 0 || shared->keys[i].used < shared->keys[place].used) &&
			is_idle(shared, i, now))
			place = i;
	}
	return place;
}

int
chpg_key_enter(ChpgShared *shared, const ChpgConnection *connection)
{
	int64		now = chpg_now();
	uint64		hash[2];
	int			number;
	ChpgKey    *key;

	hash_connection(connection, hash);
	number = find_hash(shared, hash);
	if (number < 0)
	{
		number = find_place(shared, now);
		if (number < 0)
			return -1;
		key = &shared->keys[number];
		memset(key, 0, sizeof(ChpgKey));
		memcpy(key->hash, hash, sizeof(key->hash));
		strlcpy(key->key_id, connection->key_id, sizeof(key->key_id));
		key->generation = ++shared->last_serial;
	}
	key = &shared->keys[number];
	key->used = now;
	strlcpy(key->server, connection->server, sizeof(key->server));
	return number;
}

uint64
chpg_key_generation(const ChpgConnection *connection)
{
	ChpgShared *shared = chpg_shared_get();
	uint64		generation = 0;
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
		generation = shared->keys[number].generation;
	LWLockRelease(&shared->lock);
	return generation;
}

void
chpg_key_changed(const ChpgConnection *connection)
{
	ChpgShared *shared = chpg_shared_get();
	int			number;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
		shared->keys[number].generation = ++shared->last_serial;
	LWLockRelease(&shared->lock);
}
