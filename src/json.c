/*-------------------------------------------------------------------------
 *
 * json.c
 *		Parsed JSON documents from a source that is not trusted.
 *
 * json-c does the parsing.  It would silently alter some documents (integers
 * that do not fit become the largest that does, \u0000 ends a key) and turns
 * others into a thousand times their size in memory, so a scan in front of it
 * refuses the former and bounds the latter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include <json-c/json.h>

#include "access/xact.h"
#include "ascii.h"
#include "catalog/namespace.h"
#include "json.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

/* Deeper than any answer of the API; json-c recurses while it frees. */
#define MAX_DEPTH		32

/* json-c needs up to 800 bytes for each. */
#define MAX_NODES		500000

/* Bytes converted to the database's encoding at once. */
#define CONVERSION_CHUNK	8192

/* An integer of as many characters fits into 64 bits. */
#define SAFE_DIGITS		18

#define WHITE_SPACE			" \t\r\n"

#define REPLACEMENT_UTF8	"\xEF\xBF\xBD"	/* U+FFFD */

struct ChpgJson
{
	struct json_tokener *tokener;
	struct json_object *root;
	MemoryContext context;
	MemoryContextCallback callback;
};

static void
release_document(void *arg)
{
	ChpgJson   *document = (ChpgJson *) arg;

	if (document->tokener != NULL)
		json_tokener_free(document->tokener);
	json_object_put(document->root);
	document->tokener = NULL;
	document->root = NULL;
}

/*
 * Replacing what cannot be represented
 */

/* One bad query text must not hide a fleet; but do say it, once. */
static void
warn_replaced(void)
{
	static TimestampTz warned_at = 0;

	if (warned_at == GetCurrentStatementStartTimestamp())
		return;
	warned_at = GetCurrentStatementStartTimestamp();
	ereport(WARNING,
			(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
			 errmsg("characters that cannot be stored were replaced"),
			 errdetail("An answer of the API contains bytes that are not UTF-8, \\u0000, or characters that the encoding \"%s\" of this database lacks.",
					   GetDatabaseEncodingName())));
}

/* Length of the valid UTF-8 character at p, or 0. */
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

/* Convert valid UTF-8 without NUL, replacing what the encoding lacks. */
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
 * The guard in front of the parser
 */

/* Does json-c hold this integer literal, or would it saturate? */
static bool
integer_fits(const char *literal, const char *end)
{
	char		digits[24];
	size_t		length = end - literal;

	if (length >= sizeof(digits))
		return false;
	memcpy(digits, literal, length);
	digits[length] = '\0';
	errno = 0;
	if (literal[0] == '-')
		(void) strtoll(digits, NULL, 10);
	else
		(void) strtoull(digits, NULL, 10);
	return errno == 0;
}

static const char *
skip_number(const char *p, const char **problem)
{
	const char *start = p;

	while (*p == '-' || chpg_is_digit(*p))
		p++;
	if (*p == '.' || *p == 'e' || *p == 'E')
		return p + strspn(p, "+-.eE0123456789");
	if (p - start > SAFE_DIGITS && !integer_fits(start, p))
		*problem = "an integer is out of range";
	return p;
}

/* The UTF-16 unit of an escape such as \ud83d, or -1 if it is another. */
static int
escaped_unit(const char *p)
{
	int			unit = 0;

	if (p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		int			digit = chpg_hex_value(p[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/*
 * Skip an escape.  json-c replaces half a surrogate pair without a word.
 */
static const char *
skip_escape(const char *p, bool *has_nul)
{
	int			unit = escaped_unit(p);

	if (unit == 0)
		*has_nul = true;
	if (unit < 0xD800 || unit > 0xDFFF)
		return p[1] != '\0' ? p + 2 : p + 1;
	if (unit <= 0xDBFF && (escaped_unit(p + 6) & 0xFC00) == 0xDC00)
		return p + 12;
	warn_replaced();
	return p + 6;
}

static const char *
skip_string(const char *p, const char **problem)
{
	bool		has_nul = false;
	const char *end = strchr(++p, '"');

	/* Few have escapes. */
	if (end != NULL && memchr(p, '\\', end - p) == NULL)
		return end + 1;
	while (*p != '"' && *p != '\0')
	{
		if (*p == '\\')
			p = skip_escape(p, &has_nul);
		else
			p++;
	}
	if (*p == '"')
		p++;
	if (has_nul && p[strspn(p, WHITE_SPACE)] == ':')
		*problem = "a key contains \\u0000";
	return p;
}

/* json-c takes NaN and Infinity as well, even in its strict mode. */
static const char *
skip_word(const char *p, const char **problem)
{
	static const char *const words[] = {"true", "false", "null"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		if (strncmp(p, words[i], length) == 0)
			return p + length;
	}
	*problem = "an unknown word";
	return p;
}

/* What stands between strings, numbers and words; previous is what was last. */
static void
check_punctuation(char c, char previous, const char **problem)
{
	switch (c)
	{
		case '{':
		case '[':
		case ':':
		case ',':
			break;
		case '}':
		case ']':
			if (previous == ',')
				*problem = "a comma before the end of a list or an object";
			break;
		default:
			*problem = "an unexpected character";
			break;
	}
}

/*
 * Look at every token once.  json-c's own strict mode is not used: what it
 * refuses differs between versions, and 0.18 refuses all that is not ASCII.
 */
static ChpgJsonResult
check_document(const char *data, const char **problem)
{
	char		previous = '\0';
	int			nodes = 0;

	*problem = NULL;
	for (const char *p = data; *p != '\0' && *problem == NULL;)
	{
		char		c = *p;

		if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		{
			p++;
			continue;
		}
		if (c == '"')
			p = skip_string(p, problem);
		else if (c == '-' || chpg_is_digit(c))
			p = skip_number(p, problem);
		else if (chpg_is_letter(c))
			p = skip_word(p, problem);
		else
		{
			check_punctuation(c, previous, problem);
			if ((c == ',' || c == '{' || c == '[') && ++nodes > MAX_NODES)
			{
				*problem = psprintf("more than %d values", MAX_NODES);
				return CHPG_JSON_TOO_LARGE;
			}
			p++;
		}
		previous = c;
	}
	return *problem == NULL ? CHPG_JSON_OK : CHPG_JSON_MALFORMED;
}

/* A document without a root, whose clean-up is armed. */
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

static void
report_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory")));
}

/* Let json-c parse the whole text. */
static ChpgJsonResult
parse_document(ChpgJson *document, const char *data, size_t length,
			   const char **problem)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	size_t		end;

	document->tokener = tokener;
	if (tokener == NULL)
		report_out_of_memory();

	/* With its NUL, or a bare scalar would "need more data". */
	document->root = json_tokener_parse_ex(tokener, data, (int) length + 1);
	end = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) != json_tokener_success)
	{
		*problem = psprintf("%s at byte %zu",
							json_tokener_error_desc(json_tokener_get_error(tokener)),
							end);
		return CHPG_JSON_MALFORMED;
	}
	if (end < length && end + strspn(data + end, WHITE_SPACE) < length)
	{
		*problem = psprintf("something follows it at byte %zu", end);
		return CHPG_JSON_MALFORMED;
	}
	return CHPG_JSON_OK;
}

ChpgJsonResult
chpg_json_parse(MemoryContext context, const char *data, size_t length,
				ChpgJson **result, const char **problem)
{
	ChpgJson   *document = allocate_document(context);
	MemoryContext caller = MemoryContextSwitchTo(document->context);
	ChpgJsonResult rc;

	if (!pg_verify_mbstr(PG_UTF8, data, (int) length, true))
		data = repair_utf8(data, &length);
	rc = check_document(data, problem);
	if (rc == CHPG_JSON_OK)
		rc = parse_document(document, data, length, problem);
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
	return *value < PG_INT64_MAX;	/* what saturates is not */
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

int
chpg_json_length(ChpgJsonNode *array)
{
	return (int) json_object_array_length(array);
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

/* jsonb cannot hold \u0000: replace the escape, but not an escaped backslash. */
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
				 errmsg("a value of the API has characters that the encoding \"%s\" of this database lacks",
						GetDatabaseEncodingName()),
				 errdetail("It would have to be sent back as it is.")));
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

/* Takes over the reference to the value. */
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
				 errmsg("value for \"%s\" cannot be sent: %s", key, problem)));
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
