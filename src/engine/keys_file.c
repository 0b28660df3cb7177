/*-------------------------------------------------------------------------
 *
 * keys_file.c
 *		What must outlive the server: the keys' logs of requests, and blocks.
 *
 * Times in the file are those of the wall clock, for the monotonic one begins
 * anew with the machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "engine/keys_file.h"
#include "net/clock.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#define FILE_NAME	"pg_stat/chpg_budget"

/* Changes with the layout of the file. */
#define FILE_MAGIC	UINT64CONST(0x6368706762756403)

typedef struct FileKey
{
	uint8		identity[PG_SHA256_DIGEST_LENGTH];
	int64		window;			/* microseconds; the longest of its limits */
	TimestampTz blocked_until;
	uint32		owner;			/* a role */
	uint32		accepted;		/* by the API */
} FileKey;

/* A key and its slots: when the request had arrived, at the latest, or 0. */
typedef struct FilePlace
{
	FileKey		key;
	TimestampTz slots[CHPG_MAX_RATE];
} FilePlace;

static int	file = -1;

static off_t
place_offset(int key)
{
	return sizeof(uint64) + (off_t) key * sizeof(FilePlace);
}

static TimestampTz
to_wall(int64 time)
{
	return time == 0 ? 0 : GetCurrentTimestamp() + (time - chpg_now());
}

static int64
from_wall(TimestampTz time)
{
	return chpg_now() - (GetCurrentTimestamp() - time);
}

void
chpg_keys_file_open(void)
{
	file = BasicOpenFilePerm(FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | PG_BINARY,
							 pg_file_create_mode);
	if (file < 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", FILE_NAME),
				 errdetail("A restart will forget the requests that count against the rate limits.")));
		return;
	}
	ReserveExternalFD();
}

/* What cannot be written is forgotten at the next start, and no more than that. */
static void
write_file(const void *data, size_t size, off_t offset)
{
	if (file >= 0)
		(void) !pwrite(file, data, size, offset);
}

static FileKey
file_key(const ChpgKey *key)
{
	FileKey		saved = {
		.window = key->window,
		.blocked_until = to_wall(key->blocked_until),
		.owner = key->owner,
		.accepted = key->accepted
	};

	memcpy(saved.identity, key->identity, sizeof(saved.identity));
	return saved;
}

void
chpg_keys_file_save_key(const ChpgSharedState *shared, int key)
{
	FileKey		saved = file_key(&shared->keys[key]);

	if (shared->is_shared)
		write_file(&saved, sizeof(saved), place_offset(key));
}

void
chpg_keys_file_save_slot(const ChpgSharedState *shared, int key, int number)
{
	const ChpgSlot *slot = &shared->keys[key].slots[number];
	TimestampTz saved = 0;

	if (slot->serial != 0)
		saved = to_wall(slot->owner != CHPG_NOBODY ? slot->expires : slot->arrived);
	if (shared->is_shared)
		write_file(&saved, sizeof(saved),
				   place_offset(key) + offsetof(FilePlace, slots) +
				   number * sizeof(TimestampTz));
}

void
chpg_keys_file_save_new_key(const ChpgSharedState *shared, int key)
{
	FilePlace	place = {.key = file_key(&shared->keys[key])};

	if (shared->is_shared)
		write_file(&place, sizeof(place), place_offset(key));
}

/*
 * What was under way when the server ended had arrived soon after that, and so
 * after this start.  A clock that was set back makes no time later than that.
 */
static bool
restore_key(ChpgSharedState *shared, ChpgKey *key, const FilePlace *place)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz latest = Min(shared->started + CHPG_TRAVEL_TIME, now);
	bool		matters = place->key.blocked_until > now;

	if (place->key.window < 0 || place->key.window > USECS_PER_DAY)
		return false;			/* nothing that was written here */
	for (int i = 0; i < CHPG_MAX_RATE; i++)
	{
		TimestampTz arrived = Min(place->slots[i], latest);

		if (arrived == 0 || arrived + place->key.window <= now)
			continue;
		matters = true;
		key->slots[i].serial = ++shared->last_serial;
		key->slots[i].owner = CHPG_NOBODY;
		key->slots[i].arrived = from_wall(arrived);
	}
	if (!matters)
		return false;
	key->in_use = true;
	memcpy(key->identity, place->key.identity, sizeof(key->identity));
	key->window = place->key.window;
	key->owner = place->key.owner;
	key->accepted = place->key.accepted != 0;
	key->generation = ++shared->last_serial;
	if (place->key.blocked_until > now)
		key->blocked_until = Min(from_wall(place->key.blocked_until),
								 chpg_now() + CHPG_MAX_BLOCK * USECS_PER_SEC);
	return true;
}

void
chpg_keys_file_restore(ChpgSharedState *shared)
{
	uint64		magic = 0;
	FilePlace	place;

	if (file < 0)
		return;
	if (pread(file, &magic, sizeof(magic), 0) != sizeof(magic) ||
		magic != FILE_MAGIC)
	{
		magic = FILE_MAGIC;
		if (ftruncate(file, 0) == 0)
			write_file(&magic, sizeof(magic), 0);
		return;
	}
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (pread(file, &place, sizeof(place), place_offset(i)) != sizeof(place))
			continue;
		if (!restore_key(shared, &shared->keys[i], &place))
			memset(&shared->keys[i], 0, sizeof(ChpgKey));
	}
}
