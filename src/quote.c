/*-------------------------------------------------------------------------
 *
 * quote.c
 *		Words of others, made fit to be shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "quote.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* Bytes of others' words that are shown. */
#define MAX_REMOTE_TEXT		500

static char *
replace_all(const char *string, const char *from, const char *to)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall3Coll(replace_text,
																  C_COLLATION_OID,
																  CStringGetTextDatum(string),
																  CStringGetTextDatum(from),
																  CStringGetTextDatum(to))));
}

/* The key, as it is and as it is sent: a proxy may echo the request. */
static char *
mask_key(const ChpgConnection *connection, char *text)
{
	char	   *plain = psprintf("%s:%s", connection->key_id,
								 connection->key_secret);
	int			size = pg_b64_enc_len(strlen(plain));
	char	   *encoded = palloc0(size + 1);

	text = replace_all(text, connection->key_secret, "***");
	if (pg_b64_encode((const void *) plain, strlen(plain), encoded, size) > 0)
		text = replace_all(text, encoded, "***");
	return text;
}

/* So may the API do with what it refuses. */
static char *
mask_passwords(const ChpgQuestion *question, char *text)
{
	const ChpgParameter *parameters = question->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].kind == CHPG_PASSWORD &&
			question->arguments->values[i] != NULL)
			text = replace_all(text, question->arguments->values[i], "***");
	}
	return text;
}

char *
chpg_clean_remote(char *text)
{
	int			encoding = GetDatabaseEncoding();

	/* In an SQL_ASCII database, the API's texts stay in UTF-8. */
	if (encoding == PG_SQL_ASCII)
		encoding = PG_UTF8;
	text[pg_encoding_mbcliplen(encoding, text, strlen(text),
							   MAX_REMOTE_TEXT)] = '\0';
	for (char *p = text; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7F)
			*p = ' ';
	}
	return text;
}

char *
chpg_quote_remote(const ChpgQuestion *question, char *text)
{
	text = mask_key(question->connection, text);
	return chpg_clean_remote(mask_passwords(question, text));
}
