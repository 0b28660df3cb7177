/*-------------------------------------------------------------------------
 *
 * redact.c
 *		Remote text without secrets, for messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/base64.h"
#include "engine/keys.h"
#include "engine/redact.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

/* Shorter texts of a body are not masked: they are everywhere, and no secrets. */
#define MIN_SECRET_LENGTH	4

/* Longer texts are not searched for secrets, which takes several times their size. */
#define MAX_SEARCHED_LENGTH	65536

static char *
replace_all(const char *string, const char *from, const char *to)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall3Coll(replace_text,
																  C_COLLATION_OID,
																  CStringGetTextDatum(string),
																  CStringGetTextDatum(from),
																  CStringGetTextDatum(to))));
}

/* Mask a secret in a text, as it is and as JSON has it. */
static char *
mask_secret(const char *secret, char *text)
{
	StringInfoData json;

	initStringInfo(&json);
	escape_json(&json, secret);
	json.data[json.len - 1] = '\0'; /* without its quotes */
	text = replace_all(text, secret, "***");
	return replace_all(text, json.data + 1, "***");
}

/* A proxy may echo the request, and the key as that has it. */
char *
chpg_mask_key(const ChpgConnection *connection, char *text)
{
	char	   *plain = psprintf("%s:%s", connection->key_id,
								 connection->key_secret);
	int			size = pg_b64_enc_len(strlen(plain));
	char	   *encoded = palloc0(size + 1);

	text = mask_secret(connection->key_secret, text);
	if (strlen(connection->key_id) >= MIN_SECRET_LENGTH &&
		strcmp(chpg_key_shown_id(connection), connection->key_id) != 0)
		text = mask_secret(connection->key_id, text);
	if (pg_b64_encode((const void *) plain, strlen(plain), encoded, size) > 0)
		text = replace_all(text, encoded, "***");
	return text;
}

/* Mask the passwords among the arguments: the API may echo what it rejects. */
static char *
mask_passwords(const ChpgRequest *request, char *text)
{
	const ChpgParameter *parameters = request->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].kind == CHPG_PASSWORD &&
			request->arguments->values[i] != NULL)
			text = mask_secret(request->arguments->values[i], text);
	}
	return text;
}

/* Mask every text of a body that the user wrote: any may be a secret. */
static char *
mask_values(ChpgJsonNode *node, char *text)
{
	ChpgJsonEntry *entry = NULL;

	switch (chpg_json_kind(node))
	{
		case CHPG_JSON_STRING:
			if (strlen(chpg_json_text(node)) >= MIN_SECRET_LENGTH)
				text = mask_secret(chpg_json_text(node), text);
			break;
		case CHPG_JSON_ARRAY:
			for (int i = 0; i < chpg_json_length(node); i++)
				text = mask_values(chpg_json_element(node, i), text);
			break;
		case CHPG_JSON_OBJECT:
			while ((entry = chpg_json_next(node, entry)) != NULL)
				text = mask_values(chpg_json_entry_value(entry), text);
			break;
		default:
			break;
	}
	return text;
}

/* Mask the texts of a body; a text is not shown at all if the body cannot be parsed. */
static char *
mask_body(const char *body, char *text)
{
	ChpgJson   *document;
	const char *problem;

	if (chpg_json_parse(CurrentMemoryContext, body, strlen(body), &document,
						&problem) != CHPG_JSON_OK)
		return pstrdup("(not shown)");
	text = mask_values(chpg_json_root(document), text);
	chpg_json_free(document);
	return text;
}

char *
chpg_redact_remote(const ChpgRequest *request, char *text)
{
	if (strlen(text) > MAX_SEARCHED_LENGTH)
		return psprintf("(%zu bytes, not shown)", strlen(text));
	text = chpg_mask_key(request->connection, text);
	text = mask_passwords(request, text);
	if (request->body != NULL)
		text = mask_body(request->body, text);
	return chpg_clean_remote(text);
}
