/*-------------------------------------------------------------------------
 *
 * commands.c
 *		Commands sent to services, which the API may not have begun to carry out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/commands.h"
#include "engine/keys.h"
#include "net/clock.h"
#include "settings.h"

static const char *const nouns[] = {
	[CHPG_RESTART] = "restart",
	[CHPG_PROMOTION] = "promotion",
	[CHPG_SWITCHOVER] = "switchover",
	[CHPG_DELETION] = "deletion",
	[CHPG_UPDATE] = "update"
};

/*
 * Find the place of the latest command of this key to the service of that id, or NULL.
 * The caller holds the lock.
 */
static ChpgCommand *
find_command(ChpgSharedState *shared, const ChpgConnection *connection,
			 const char *id)
{
	for (int i = 0; i < CHPG_MAX_COMMANDS; i++)
	{
		ChpgCommand *command = &shared->commands[i];

		if (command->sent != 0 && strcmp(command->id, id) == 0 &&
			memcmp(command->identity, connection->identity,
				   sizeof(command->identity)) == 0)
			return command;
	}
	return NULL;
}

/* Note a state that was found since a command. */
static void
add_state(ChpgCommand *command, const char *state)
{
	if (state == NULL || strlen(state) >= sizeof(command->state))
		return;
	if (command->state[0] == '\0')
		strlcpy(command->state, state, sizeof(command->state));
	else if (strcmp(command->state, state) != 0)
		command->begun = true;
}

/*
 * Let a command that replaces another one stand for both, unless that has begun: two
 * updates ask for the values of both.
 */
static void
replace_pending(ChpgCommand *command, const ChpgCommand *former)
{
	if (former->begun || chpg_command_is_old(former, chpg_now()))
		return;
	command->follows_pending = former->kind != command->kind || former->follows_pending;
	if (former->kind != CHPG_UPDATE || command->kind != CHPG_UPDATE)
		return;
	if (command->size[0] == '\0')
		strlcpy(command->size, former->size, sizeof(command->size));
	if (command->ha_type[0] == '\0')
		strlcpy(command->ha_type, former->ha_type, sizeof(command->ha_type));
}

void
chpg_command_note(const ChpgConnection *connection, const char *id,
				  const ChpgCommand *command, const char *state)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCommand noted = *command;
	ChpgCommand *place;

	if (strlen(id) >= sizeof(place->id))
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_command(shared, connection, id);
	if (place != NULL)
		replace_pending(&noted, place);
	else
	{
		place = &shared->commands[0];
		for (int i = 1; i < CHPG_MAX_COMMANDS; i++)
		{
			if (shared->commands[i].sent < place->sent)
				place = &shared->commands[i];
		}
	}
	*place = noted;
	memcpy(place->identity, connection->identity, sizeof(place->identity));
	strlcpy(place->id, id, sizeof(place->id));
	place->state[0] = '\0';
	place->begun = false;
	add_state(place, state);
	place->sent = chpg_now();
	LWLockRelease(&shared->lock);
}

bool
chpg_command_follow(const ChpgConnection *connection, const char *id,
					const char *state, int64 since, ChpgCommand *command)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCommand *place;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_command(shared, connection, id);
	if (place == NULL)
		place = command;
	if (place->sent != 0 && place->sent <= since)
		add_state(place, state);
	if (place != command)
		*command = *place;
	LWLockRelease(&shared->lock);
	return command->sent != 0;
}

void
chpg_command_confirm(const ChpgConnection *connection, const ChpgCommand *command)
{
	ChpgSharedState *shared = chpg_keys_get();
	ChpgCommand *place;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_command(shared, connection, command->id);
	if (place != NULL && place->sent == command->sent)
		place->begun = true;
	LWLockRelease(&shared->lock);
}

bool
chpg_command_has_begun(const ChpgCommand *command, const char *state)
{
	return command->begun ||
		(command->state[0] != '\0' && strcmp(command->state, state) != 0);
}

bool
chpg_command_is_old(const ChpgCommand *command, int64 now)
{
	return now - command->sent >= chpg_command_lag * INT64CONST(1000);
}

const char *
chpg_command_noun(const ChpgCommand *command)
{
	return nouns[command->kind];
}
