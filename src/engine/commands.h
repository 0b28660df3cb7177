/*-------------------------------------------------------------------------
 *
 * commands.h
 *		Commands sent to services, which the API may not have begun to carry out.
 *
 * The API queues a command: for a while it shows the state that the service had before.
 * All sessions with the same key know of the latest command to a service, and of the
 * states that waits have found since, where they share memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_COMMANDS_H
#define CHPG_COMMANDS_H

#include "engine/shared_state.h"

/*
 * Remember a command to the service of this id, which was sent now: its kind, size and
 * ha_type.  "state" is the state in the response, or NULL.  Replaces an earlier command
 * to the service, and stands for that, too, while it has not begun.
 */
extern void chpg_command_note(const ChpgConnection *connection, const char *id,
							  const ChpgCommand *command, const char *state);

/*
 * Note the state that a read found, which began at "since" on the clock of chpg_now();
 * NULL if the response omits it.  Updates the caller's copy of the latest command to the
 * service, which begins as zeros, and lasts even if the shared one makes way.  False if
 * there is no command.
 */
extern bool chpg_command_follow(const ChpgConnection *connection, const char *id,
								const char *state, int64 since,
								ChpgCommand *command);

/* Note that the effect of a command was seen. */
extern void chpg_command_confirm(const ChpgConnection *connection,
								 const ChpgCommand *command);

/* Was the effect of a command seen, or another state than this one since? */
extern bool chpg_command_has_begun(const ChpgCommand *command, const char *state);

/* Is a command so old at a time that its effect must show (chpg.command_lag)? */
extern bool chpg_command_is_old(const ChpgCommand *command, int64 now);

/* What the command is called in messages. */
extern const char *chpg_command_noun(const ChpgCommand *command);

#endif							/* CHPG_COMMANDS_H */
