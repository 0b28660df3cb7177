/*-------------------------------------------------------------------------
 *
 * remote_text.c
 *		Which characters of a text from outside a message may show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "protocol/remote_text.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(chpg_line_text);

/* Bytes of a text from outside that a message shows */
#define MAX_REMOTE_TEXT		500

/* Bytes of a text that becomes a line of a table */
#define MAX_LINE_BYTES		2000

/*
 * Ranges of characters that a message must not contain, in order: terminals obey
 * control characters, and marks that are invisible or change the direction of text
 * mislead the reader.  Joiners (U+200C, U+200D) stay: words of some scripts need them.
 */
static const struct
{
	pg_wchar	first;
	pg_wchar	last;
}			hidden_ranges[] = {
	{0x0001, 0x001F},
	{0x007F, 0x009F},
	{0x061C, 0x061C},
	{0x200B, 0x200B},
	{0x200E, 0x200F},
	{0x2028, 0x202E},
	{0x2060, 0x206F},
	{0xFEFF, 0xFEFF},
	{0xFFF9, 0xFFFB},
	{0xE0000, 0xE007F}
};

/* Is it the code point of a character that a message must not contain? */
static bool
is_hidden_code(pg_wchar code)
{
	for (int i = 0; i < lengthof(hidden_ranges); i++)
	{
		if (code >= hidden_ranges[i].first && code <= hidden_ranges[i].last)
			return true;
	}
	return false;
}

/*
 * The same for a byte that is a character by itself, in an encoding other than
 * UTF-8. Those of Windows and KOI8 have letters and signs in the place of C1.
 */
static bool
is_hidden_byte(int encoding, unsigned char byte)
{
	bool		has_marks = encoding == PG_ISO_8859_8 ||
	encoding == PG_WIN1255 || encoding == PG_WIN1256;

	if (has_marks && (byte == 0xFD || byte == 0xFE))
		return true;			/* U+200E and U+200F */
	switch (encoding)
	{
		case PG_WIN866:
		case PG_WIN874:
		case PG_WIN1250:
		case PG_WIN1251:
		case PG_WIN1252:
		case PG_WIN1253:
		case PG_WIN1254:
		case PG_WIN1255:
		case PG_WIN1256:
		case PG_WIN1257:
		case PG_WIN1258:
		case PG_KOI8R:
		case PG_KOI8U:
			return byte < ' ' || byte == 0x7F;
		default:
			return is_hidden_code(byte);
	}
}

/*
 * Return the length of the character at p, and whether a message must not
 * contain it.  Bytes that are no character, as in an SQL_ASCII database, count
 * one by one.
 */
static int
next_character(int encoding, const char *p, const char *end, bool *hidden)
{
	const unsigned char *bytes = (const unsigned char *) p;
	int			length;

	/* Nearly all of them: a character by itself, and shown, in any encoding. */
	if (*bytes >= ' ' && *bytes < 0x7F)
	{
		*hidden = false;
		return 1;
	}
	length = pg_encoding_mblen(encoding, p);
	if (length > end - p ||
		(encoding == PG_UTF8 && !pg_utf8_islegal(bytes, length)))
		length = 1;
	if (length == 1)
		*hidden = is_hidden_byte(encoding, *bytes);
	else
		*hidden = encoding == PG_UTF8 && is_hidden_code(utf8_to_unicode(bytes));
	return length;
}

/*
 * Return the encoding of texts.  In an SQL_ASCII database, those of the API
 * stay in UTF-8.
 */
static int
text_encoding(void)
{
	int			encoding = GetDatabaseEncoding();

	return encoding == PG_SQL_ASCII ? PG_UTF8 : encoding;
}

bool
chpg_has_hidden(const char *text)
{
	const char *end = text + strlen(text);
	int			encoding = text_encoding();
	bool		hidden = false;

	for (const char *p = text; p < end && !hidden;)
		p += next_character(encoding, p, end, &hidden);
	return hidden;
}

char *
chpg_clean_text(char *text)
{
	const char *end = text + strlen(text);
	int			encoding = text_encoding();
	char	   *to = text;

	for (const char *p = text; p < end;)
	{
		bool		hidden;
		int			length = next_character(encoding, p, end, &hidden);

		if (hidden)
			*to++ = ' ';
		else
		{
			memmove(to, p, length);
			to += length;
		}
		p += length;
	}
	*to = '\0';
	return text;
}

char *
chpg_clean_remote(char *text)
{
	text[pg_encoding_mbcliplen(text_encoding(), text, strlen(text),
							   MAX_REMOTE_TEXT)] = '\0';
	return chpg_clean_text(text);
}

/* Replace, in place, each sequence of blanks by one, and remove those at both ends. */
static void
squeeze_blanks(char *text)
{
	char	   *to = text;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p != ' ' || (to > text && to[-1] != ' '))
			*to++ = *p;
	}
	if (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

/*
 * _chpg_line_text(value, width): the text as one line of at most so many columns, as
 * psql counts them
 */
Datum
chpg_line_text(PG_FUNCTION_ARGS)
{
	char	   *line = text_to_cstring(PG_GETARG_TEXT_P_SLICE(0, 0, MAX_LINE_BYTES));
	int			width = PG_GETARG_INT32(1);
	int			encoding = text_encoding();
	const char *cut = line;		/* where ~ has room */
	const char *end;
	int			columns = 0;

	line[pg_encoding_mbcliplen(encoding, line, strlen(line), MAX_LINE_BYTES)] = '\0';
	squeeze_blanks(chpg_clean_text(line));
	end = line + strlen(line);
	for (const char *p = line; p < end;)
	{
		bool		hidden;
		int			length = next_character(encoding, p, end, &hidden);

		columns += length == 1 ? 1 : Max(pg_encoding_dsplen(encoding, p), 0);
		if (columns > width)
			PG_RETURN_TEXT_P(cstring_to_text(psprintf("%.*s~", (int) (cut - line), line)));
		p += length;
		if (columns < width)
			cut = p;
	}
	PG_RETURN_TEXT_P(cstring_to_text(line));
}
