/*-------------------------------------------------------------------------
 *
 * remote_text.h
 *		Which characters of a text from outside a message may show.
 *
 * Texts are in the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_REMOTE_TEXT_H
#define CHPG_REMOTE_TEXT_H

/*
 * A text from outside that holds no secrets, such as a name, for a message:
 * clipped, and cleaned.  Changes the text.
 */
extern char *chpg_clean_remote(char *text);

/*
 * Replace by spaces, in a text of any length, what no message may have: controls,
 * C1 among them, line and paragraph separators, marks that change the direction of
 * text, and characters that are not to be seen.  Changes the text, which gets no
 * longer.
 */
extern char *chpg_clean_text(char *text);

/* Does a text have such characters? */
extern bool chpg_has_hidden(const char *text);

#endif							/* CHPG_REMOTE_TEXT_H */
