/*-------------------------------------------------------------------------
 *
 * remote_text.h
 *		Making texts from outside fit for messages.
 *
 * Texts are in the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REMOTE_TEXT_H
#define CHPG_REMOTE_TEXT_H

/*
 * Clip and clean, in place, a text from outside that holds no secrets, such as a
 * name; returns it.
 */
extern char *chpg_clean_remote(char *text);

/*
 * Replace by spaces, in place, the characters that no message may contain: controls,
 * C1 among them, line and paragraph separators, marks that change the direction of
 * text, and invisible characters.  Returns the text, which gets no longer.
 */
extern char *chpg_clean_text(char *text);

/* Does a text contain such characters? */
extern bool chpg_has_hidden(const char *text);

#endif							/* CHPG_REMOTE_TEXT_H */
