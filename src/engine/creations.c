/*-------------------------------------------------------------------------
 *
 * creations.c
 *		Services created just now, which the API may not show yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/creations.h"
#include "engine/keys.h"
#include "net/clock.h"

/* For this long (microseconds) the API may not show a service. */
#define CREATION_LAG	(30 * USECS_PER_SEC)

/*
 * Find the latest creation of this key with that id, or else that name, which is not
 * older than the lag.  The caller holds the lock.
 */
static ChpgCreation *
find_creation(ChpgSharedState *shared, const ChpgConnection *connection,
			  const char *id, const char *name)
{
	int64		since = chpg_now() - CREATION_LAG;
	ChpgCreation *latest = NULL;

	for (int i = 0; i < CHPG_MAX_CREATIONS; i++)
	{
		ChpgCreation *creation = &shared->creations[i];

		if (creation->created == 0 || creation->created < since ||
			memcmp(creation->identity, connection->identity,
				   sizeof(creation->identity)) != 0 ||
			strcmp(id ? creation->id : creation->name, id ? id : name) != 0)
			continue;
		if (latest == NULL || creation->created > latest->created)
			latest = creation;
	}
	return latest;
}

void
chpg_creation_note(const ChpgConnection *connection, const char *id,
				   const char *name)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCreation *place;

	if (strlen(id) >= sizeof(place->id) || strlen(name) >= sizeof(place->name))
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_creation(shared, connection, id, NULL);
	if (place == NULL)
	{
		place = &shared->creations[0];
		for (int i = 1; i < CHPG_MAX_CREATIONS; i++)
		{
			if (shared->creations[i].created < place->created)
				place = &shared->creations[i];
		}
	}
	memcpy(place->identity, connection->identity, sizeof(place->identity));
	strlcpy(place->id, id, sizeof(place->id));
	strlcpy(place->name, name, sizeof(place->name));
	place->created = chpg_now();
	LWLockRelease(&shared->lock);
}

void
chpg_creation_forget(const ChpgConnection *connection, const char *id)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCreation *creation;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	creation = find_creation(shared, connection, id, NULL);
	if (creation != NULL)
		creation->created = 0;
	LWLockRelease(&shared->lock);
}

char *
chpg_creation_find(const ChpgConnection *connection, const char *name)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCreation *creation;
	ChpgCreation found;

	LWLockAcquire(&shared->lock, LW_SHARED);
	creation = find_creation(shared, connection, NULL, name);
	if (creation != NULL)
		found = *creation;
	LWLockRelease(&shared->lock);
	return creation != NULL ? pstrdup(found.id) : NULL;
}

bool
chpg_creation_is_recent(const ChpgConnection *connection, const char *id)
{
	ChpgSharedState *shared = chpg_keys_get();
	bool		recent;

	LWLockAcquire(&shared->lock, LW_SHARED);
	recent = find_creation(shared, connection, id, NULL) != NULL;
	LWLockRelease(&shared->lock);
	return recent;
}
