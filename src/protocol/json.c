/*-------------------------------------------------------------------------
 *
 * json.c
 *		Parsed JSON documents from a source that is not trusted.
 *
 * json_reader.c does the parsing, without PostgreSQL.  This file converts to the
 * database's encoding, and ties documents to memory contexts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include <json-c/json.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "protocol/json.h"
#include "utils/memutils.h"

/* Values of a document, of which json-c needs up to 800 bytes each */
#define MAX_NODES		500000

/* Bytes converted to the database's encoding at once */
#define CONVERSION_CHUNK	8192

#define REPLACEMENT_UTF8	"\xEF\xBF\xBD"	/* U+FFFD */

struct ChpgJson
{
	struct json_object *root;
	MemoryContext context;
	MemoryContextCallback callback;
};

/* Callback: release json-c's memory of a document. */
static void
release_document(void *arg)
{
	ChpgJson   *document = (ChpgJson *) arg;

	json_object_put(document->root);
	document->root = NULL;
}

/*
 * Replacing what cannot be represented
 */

/*
 * Warn, once in a statement, that characters were replaced: an error would
 * hide a whole fleet because of one query text.
 */
static void
warn_replaced(void)
{
	static TimestampTz warned_at = 0;

	if (warned_at == GetCurrentStatementStartTimestamp())
		return;
	warned_at = GetCurrentStatementStartTimestamp();
	ereport(WARNING,
			(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
			 errmsg("replaced characters that the database cannot store"),
			 errdetail("An API response contains invalid UTF-8, \\u0000, or characters that the database encoding \"%s\" lacks.",
					   GetDatabaseEncodingName())));
}

/* Return the length of the valid UTF-8 character at p; 0 if it is none. */
static int
utf8_length(const char *p, const char *end)
{
	int			length;

	if (*p == '\0')
		return 0;
	length = pg_utf_mblen((const unsigned char *) p);
	if (length > end - p || !pg_utf8_islegal((const unsigned char *) p, length))
		return 0;
	return length;
}

/*
 * Replace each byte that is no valid UTF-8, and NULs, by U+FFFD; palloc'd.
 * Sets the new length, and warns.
 */
static char *
repair_utf8(const char *data, size_t *length)
{
	StringInfoData repaired;
	const char *end = data + *length;

	initStringInfo(&repaired);
	for (const char *p = data; p < end;)
	{
		int			n = utf8_length(p, end);

		if (n == 0)
		{
			appendStringInfoString(&repaired, REPLACEMENT_UTF8);
			p++;
		}
		else
		{
			appendBinaryStringInfo(&repaired, p, n);
			p += n;
		}
	}
	warn_replaced();
	*length = repaired.len;
	return repaired.data;
}

/*
 * Convert valid UTF-8 without NULs to the database's encoding, palloc'd.
 * Characters that the encoding lacks become "?", with a warning.
 */
static char *
convert_utf8(const char *text, size_t length)
{
	Oid			conversion = FindDefaultConversionProc(PG_UTF8,
													   GetDatabaseEncoding());
	StringInfoData result;
	unsigned char *buffer;

	if (!OidIsValid(conversion))
		return pg_any_to_server(text, (int) length, PG_UTF8);

	initStringInfo(&result);
	buffer = palloc(CONVERSION_CHUNK * MAX_CONVERSION_GROWTH + 1);
	while (length > 0)
	{
		int			chunk = Min(length, CONVERSION_CHUNK);
		int			done;

		while (chunk < length && (text[chunk] & 0xC0) == 0x80)
			chunk--;			/* not in the middle of a character */
		done = pg_do_encoding_conversion_buf(conversion, PG_UTF8,
											 GetDatabaseEncoding(),
											 (unsigned char *) unconstify(char *, text),
											 chunk, buffer,
											 CONVERSION_CHUNK * MAX_CONVERSION_GROWTH + 1,
											 true);
		appendStringInfoString(&result, (char *) buffer);
		if (done < chunk)
		{
			appendStringInfoChar(&result, '?');
			warn_replaced();
			done += Min(pg_utf_mblen((const unsigned char *) text + done),
						chunk - done);
		}
		text += done;
		length -= done;
	}
	pfree(buffer);
	return result.data;
}

/*
 * Convert UTF-8, which may contain NULs, to the database's encoding, palloc'd.
 */
static char *
utf8_to_server(const char *text, size_t length)
{
	if (memchr(text, '\0', length) != NULL)
		text = repair_utf8(text, &length);
	if (GetDatabaseEncoding() == PG_UTF8 ||
		GetDatabaseEncoding() == PG_SQL_ASCII)
		return pnstrdup(text, length);
	return convert_utf8(text, length);
}

/*
 * Documents
 */

/*
 * Allocate a document without a root, in a context of its own below this one,
 * with its release registered.
 */
static ChpgJson *
allocate_document(MemoryContext context)
{
	MemoryContext own = AllocSetContextCreate(context, "chpg document",
											  ALLOCSET_SMALL_SIZES);
	ChpgJson   *document = MemoryContextAllocZero(own, sizeof(ChpgJson));

	document->context = own;
	document->callback.func = release_document;
	document->callback.arg = document;
	MemoryContextRegisterResetCallback(own, &document->callback);
	return document;
}

/* Throw error 53200. */
static void
report_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory")));
}

ChpgJsonResult
chpg_json_parse(MemoryContext context, const char *data, size_t length,
				ChpgJson **result, const char **problem)
{
	ChpgJson   *document = allocate_document(context);
	MemoryContext caller = MemoryContextSwitchTo(document->context);
	ChpgJsonProblem found;
	ChpgJsonResult rc;

	if (!pg_verify_mbstr(PG_UTF8, data, (int) length, true))
		data = repair_utf8(data, &length);
	rc = chpg_json_read(data, length, MAX_NODES, &document->root, &found);
	if (rc == CHPG_JSON_NO_MEMORY)
		report_out_of_memory();
	if (found.replaces)
		warn_replaced();
	if (rc == CHPG_JSON_TOO_LARGE)
		*problem = psprintf("more than %d values", MAX_NODES);
	else if (found.has_place)
		*problem = psprintf("%s at byte %zu", found.reason, found.place);
	else
		*problem = found.reason;
	MemoryContextSwitchTo(caller);
	*result = document;
	return rc;
}

void
chpg_json_free(ChpgJson *document)
{
	MemoryContextDelete(document->context);
}

/*
 * Looking at a document
 */

ChpgJsonNode *
chpg_json_root(ChpgJson *document)
{
	return document->root;
}

ChpgJsonKind
chpg_json_kind(ChpgJsonNode *node)
{
	switch (json_object_get_type(node))
	{
		case json_type_null:
			return CHPG_JSON_NULL;
		case json_type_boolean:
			return CHPG_JSON_BOOLEAN;
		case json_type_int:
			return CHPG_JSON_INTEGER;
		case json_type_double:
			return CHPG_JSON_FRACTION;
		case json_type_string:
			return CHPG_JSON_STRING;
		case json_type_array:
			return CHPG_JSON_ARRAY;
		case json_type_object:
			return CHPG_JSON_OBJECT;
	}
	pg_unreachable();
}

bool
chpg_json_is_bigint(ChpgJsonNode *node, int64 *value)
{
	if (!json_object_is_type(node, json_type_int))
		return false;
	*value = json_object_get_int64(node);
	return *value < PG_INT64_MAX;	/* json-c saturates larger ones */
}

bool
chpg_json_is_double(ChpgJsonNode *node, double *value)
{
	int64		integer;

	if (chpg_json_is_bigint(node, &integer))
	{
		*value = (double) integer;
		return true;
	}
	if (!json_object_is_type(node, json_type_double))
		return false;
	*value = json_object_get_double(node);
	return isnormal(*value);
}

ChpgJsonNode *
chpg_json_get(ChpgJsonNode *node, const char *key)
{
	ChpgJsonNode *member = NULL;

	if (json_object_is_type(node, json_type_object))
		(void) json_object_object_get_ex(node, key, &member);
	return member;
}

bool
chpg_json_has(ChpgJsonNode *node, const char *key)
{
	return json_object_is_type(node, json_type_object) &&
		json_object_object_get_ex(node, key, NULL);
}

bool
chpg_json_is_empty_text(ChpgJsonNode *node)
{
	return json_object_is_type(node, json_type_string) &&
		json_object_get_string_len(node) == 0;
}

int
chpg_json_length(ChpgJsonNode *array)
{
	return array != NULL ? (int) json_object_array_length(array) : 0;
}

ChpgJsonNode *
chpg_json_element(ChpgJsonNode *array, int i)
{
	return json_object_array_get_idx(array, i);
}

ChpgJsonEntry *
chpg_json_next(ChpgJsonNode *object, ChpgJsonEntry *previous)
{
	if (previous != NULL)
		return lh_entry_next(previous);
	return lh_table_head(json_object_get_object(object));
}

char *
chpg_json_entry_key(ChpgJsonEntry *entry)
{
	const char *key = (const char *) lh_entry_k(entry);

	return utf8_to_server(key, strlen(key));
}

ChpgJsonNode *
chpg_json_entry_value(ChpgJsonEntry *entry)
{
	return (ChpgJsonNode *) lh_entry_v(entry);
}

char *
chpg_json_text(ChpgJsonNode *node)
{
	if (json_object_is_type(node, json_type_string))
		return utf8_to_server(json_object_get_string(node),
							  json_object_get_string_len(node));
	return chpg_json_serialize(node);
}

/*
 * Replace each escape \u0000, which jsonb cannot hold, in place.  An escaped
 * backslash before "u0000" is none.
 */
static void
replace_nul_escapes(char *json)
{
	char	   *to = strchr(json, '\\');

	if (to == NULL)
		return;
	for (const char *from = to; *from != '\0';)
	{
		if (strncmp(from, "\\u0000", 6) == 0)
		{
			if (GetDatabaseEncoding() == PG_UTF8)
			{
				memcpy(to, REPLACEMENT_UTF8, 3);
				to += 3;
			}
			else
				*to++ = '?';
			from += 6;
			warn_replaced();
			continue;
		}
		if (*from == '\\')
			*to++ = *from++;
		*to++ = *from++;
	}
	*to = '\0';
}

/*
 * Print a node as JSON in UTF-8; the text belongs to the node.  Error 53200.
 */
static const char *
print_node(ChpgJsonNode *node, size_t *length)
{
	const char *json;

	json = json_object_to_json_string_length(node,
											 JSON_C_TO_STRING_PLAIN |
											 JSON_C_TO_STRING_NOSLASHESCAPE,
											 length);
	if (json == NULL)
		report_out_of_memory();
	return json;
}

char *
chpg_json_serialize(ChpgJsonNode *node)
{
	size_t		length;
	const char *json = print_node(node, &length);
	char	   *text = utf8_to_server(json, length);

	replace_nul_escapes(text);
	return text;
}

char *
chpg_json_serialize_exactly(ChpgJsonNode *node)
{
	size_t		length;
	const char *json = print_node(node, &length);
	char	   *text = chpg_json_serialize(node);

	if (strcmp(pg_server_to_any(text, strlen(text), PG_UTF8), json) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("value in the API response has characters that the database encoding \"%s\" lacks",
						GetDatabaseEncodingName()),
				 errdetail("The change has to send the value back unaltered.")));
	return text;
}

char *
chpg_json_convert(const char *utf8, size_t length)
{
	if (!pg_verify_mbstr(PG_UTF8, utf8, (int) length, true))
		utf8 = repair_utf8(utf8, &length);
	return utf8_to_server(utf8, length);
}

/*
 * Building a document
 */

ChpgJson *
chpg_json_create(MemoryContext context)
{
	ChpgJson   *document = allocate_document(context);

	document->root = json_object_new_object();
	if (document->root == NULL)
		report_out_of_memory();
	return document;
}

/*
 * Add a member to a document, and take over the reference to its value.  Error
 * 53200.
 */
static void
set_member(ChpgJson *document, const char *key, struct json_object *value)
{
	if (value == NULL ||
		json_object_object_add(document->root, key, value) != 0)
	{
		json_object_put(value);
		report_out_of_memory();
	}
}

void
chpg_json_set_text(ChpgJson *document, const char *key, const char *text)
{
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	set_member(document, key, json_object_new_string(utf8));
}

void
chpg_json_set_json(ChpgJson *document, const char *key, const char *json)
{
	const char *utf8 = pg_server_to_any(json, strlen(json), PG_UTF8);
	ChpgJson   *value;
	const char *problem;

	if (chpg_json_parse(document->context, utf8, strlen(utf8), &value,
						&problem) != CHPG_JSON_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("could not send value for \"%s\": %s", key, problem)));
	set_member(document, key, json_object_get(value->root));
}

const char *
chpg_json_print(ChpgJson *document)
{
	const char *json = json_object_to_json_string_ext(document->root,
													  JSON_C_TO_STRING_PLAIN |
													  JSON_C_TO_STRING_NOSLASHESCAPE);

	if (json == NULL)
		report_out_of_memory();
	return json;
}
