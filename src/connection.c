/*-------------------------------------------------------------------------
 *
 * connection.c
 *		Which API, organization and key a call uses.
 *
 * Secrets stand in user mappings only: everybody can read a server's options.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "arguments.h"
#include "ascii.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/cryptohash.h"
#include "compat.h"
#include "connection.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "resources.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define DEFAULT_RATE_LIMIT	"10/10s"

/* Longer than any value in use, and short enough for an error message. */
#define MAX_OPTION_LENGTH	1024

typedef struct Option
{
	const char *name;
	Oid			catalog;		/* whose objects take it */
	void		(*check) (const char *name, const char *value);
} Option;

static void check_api_url(const char *name, const char *value);
static void check_ca_file(const char *name, const char *value);
static void check_key(const char *name, const char *value);
static void check_organization_id(const char *name, const char *value);
static void check_proxy(const char *name, const char *value);
static void check_rate_limit(const char *name, const char *value);
static void check_resource(const char *name, const char *value);
static void check_window(const char *name, const char *value);

static const Option options[] = {
	{"api_url", ForeignServerRelationId, check_api_url},
	{"ca_file", ForeignServerRelationId, check_ca_file},
	{"organization_id", ForeignServerRelationId, check_organization_id},
	{"proxy", ForeignServerRelationId, check_proxy},
	{"rate_limit", ForeignServerRelationId, check_rate_limit},
	{"key_id", UserMappingRelationId, check_key},
	{"key_secret", UserMappingRelationId, check_key},
	{"resource", ForeignTableRelationId, check_resource},
	{"window", ForeignTableRelationId, check_window},
	{NULL}
};

PG_FUNCTION_INFO_V1(chpg_validator);

/*
 * Values of options
 */

/* For values that may be shown: not a key's, nor URLs with a password. */
static void
refuse_value(const char *name, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 strchr(value, '@') == NULL ?
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value) :
			 errmsg("invalid value for option \"%s\"", name),
			 errhint("%s", hint)));
}

/* The host part of a URL that is checked already; palloc'd. */
static char *
url_host(const char *url)
{
	const char *host = strstr(url, "://") + 3;
	size_t		length;

	if (*host == '[')
		length = strcspn(host, "]") + 1;
	else
		length = strcspn(host, ":/");
	return pnstrdup(host, length);
}

static bool
is_loopback(const char *host)
{
	return chpg_same_in_any_case(host, "localhost") ||
		strcmp(host, "[::1]") == 0 ||
		(strncmp(host, "127.", 4) == 0 &&
		 host[strspn(host, "0123456789.")] == '\0');
}

/* scheme://host[:port][/path], with nothing that could hold a secret. */
static bool
is_plain_url(const char *url)
{
	const char *p = strstr(url, "://");
	int			port = 0;

	if (p == NULL)
		return false;
	p += 3;
	if (*p == '[')
	{
		p++;
		p += strspn(p, "0123456789abcdefABCDEF:.");
		if (*p++ != ']')
			return false;
	}
	else
	{
		size_t		length = strspn(p, "abcdefghijklmnopqrstuvwxyz"
									"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

		if (length == 0)
			return false;
		p += length;
	}
	if (*p == ':')
	{
		for (p++; chpg_is_digit(*p) && port <= 65535; p++)
			port = port * 10 + (*p - '0');
		if (port < 1 || port > 65535)
			return false;
	}
	if (*p == '/')
		p += strspn(p, "abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/");
	return *p == '\0';
}

static void
check_api_url(const char *name, const char *value)
{
	if (is_plain_url(value) &&
		(strncmp(value, "https://", 8) == 0 ||
		 (strncmp(value, "http://", 7) == 0 && is_loopback(url_host(value)))))
		return;
	refuse_value(name, value,
				 "Give a URL such as " CHPG_DEFAULT_URL ". It must be https, or http to a loopback address, without user name, query or fragment.");
}

static void
check_ca_file(const char *name, const char *value)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", name),
				 errdetail("Only roles with privileges of the \"%s\" role may name files of the server's machine.",
						   "pg_read_server_files")));
	if (!is_absolute_path(value))
		refuse_value(name, value,
					 "Give the absolute path of a PEM file on the server's machine.");
}

static void
check_key(const char *name, const char *value)
{
	bool		is_id = strcmp(name, "key_id") == 0;

	for (const char *p = value; *p != '\0'; p++)
	{
		/* A colon ends the user name of HTTP Basic authentication. */
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7F ||
			(is_id && *p == ':'))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					 errmsg("invalid value for option \"%s\"", name),
					 errdetail("It contains a space, a control character or another character that a key never has."),
					 errhint("Copy the key once more from the console of ClickHouse Cloud.")));
	}
}

static void
check_organization_id(const char *name, const char *value)
{
	if (!chpg_is_uuid(value))
		refuse_value(name, value,
					 "Give the organization's id, a UUID, or leave the option out: the API tells it.");
}

static void
check_proxy(const char *name, const char *value)
{
	if (!is_plain_url(value) ||
		(strncmp(value, "http://", 7) != 0 &&
		 strncmp(value, "https://", 8) != 0))
		refuse_value(name, value,
					 "Give a URL such as http://proxy.example.com:3128, without user name and password, since everybody can read it.");
}

/* "10/10s" or "unlimited"; requests is 0 for the latter. */
static bool
parse_rate_limit(const char *value, int *requests, double *window)
{
	char	   *end;
	long		number;

	*requests = 0;
	*window = 0;
	if (strcmp(value, "unlimited") == 0)
		return true;
	if (!chpg_is_digit(*value))
		return false;
	number = strtol(value, &end, 10);
	if (number < 1 || number > CHPG_MAX_RATE || *end != '/' ||
		!chpg_is_digit(end[1]))
		return false;
	*window = strtod(end + 1, &end);
	if (*window <= 0 || *window > 86400 || strcmp(end, "s") != 0)
		return false;
	*requests = (int) number;
	return true;
}

static void
check_rate_limit(const char *name, const char *value)
{
	int			requests;
	double		window;

	if (!parse_rate_limit(value, &requests, &window))
		refuse_value(name, value,
					 "Give the requests that a key may make in so many seconds, at most 256, such as 10/10s, or unlimited.");
}

static void
check_resource(const char *name, const char *value)
{
	if (chpg_find_resource(value) == NULL)
		refuse_value(name, value,
					 psprintf("Give one of: %s.", chpg_resource_names()));
}

static void
check_window(const char *name, const char *value)
{
	if (chpg_parse_window(value) == NULL)
		refuse_value(name, value,
					 "Give an interval of more than nothing and at most a year, such as 1 hour.");
}

void
chpg_check_option(const char *name, const char *value)
{
	const Option *option = options;

	while (strcmp(option->name, name) != 0)
		option++;
	if (*value == '\0' || strlen(value) > MAX_OPTION_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("It must have 1 to %d characters.",
						   MAX_OPTION_LENGTH)));
	option->check(name, value);
}

/*
 * The validator of the foreign-data wrapper
 */

/* What the same kind of object could take instead. */
static char *
valid_options(Oid catalog)
{
	StringInfoData names;

	initStringInfo(&names);
	for (const Option *option = options; option->name != NULL; option++)
	{
		if (option->catalog == catalog)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 option->name);
	}
	return names.data;
}

static void
check_known(const char *name, Oid catalog)
{
	char	   *valid = valid_options(catalog);

	for (const Option *option = options; option->name != NULL; option++)
	{
		if (option->catalog == catalog && strcmp(option->name, name) == 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 *valid != '\0' ?
			 errhint("Valid options in this context are: %s", valid) :
			 errhint("There are no valid options in this context.")));
}

static void
check_combination(List *given)
{
	const char *api_url = chpg_get_option(given, "api_url");
	const char *name = chpg_get_option(given, "resource");
	const ChpgResource *resource = name != NULL ? chpg_find_resource(name) : NULL;

	if (chpg_get_option(given, "window") != NULL && resource != NULL &&
		!chpg_has_window(resource))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"window\" cannot be used with resource \"%s\"", name),
				 errdetail("Its rows do not depend on a window of time.")));
	if (chpg_get_option(given, "proxy") != NULL &&
		api_url != NULL && strncmp(api_url, "http:", 5) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("option \"proxy\" cannot be used with an http \"api_url\""),
				 errdetail("The proxy would see the key.")));
}

Datum
chpg_validator(PG_FUNCTION_ARGS)
{
	List	   *given = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;

	foreach(lc, given)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		check_known(option->defname, catalog);
		chpg_check_option(option->defname, defGetString(option));
	}
	check_combination(given);
	PG_RETURN_VOID();
}

/*
 * Servers
 */

char *
chpg_get_option(List *given, const char *name)
{
	ListCell   *lc;

	foreach(lc, given)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return NULL;
}

/* Names of the servers of our wrapper that the current user may use. */
static List *
usable_servers(void)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(CHPG_WRAPPER_NAME,
															  false);
	Relation	catalog = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL,
										  0, NULL);
	HeapTuple	tuple;
	List	   *names = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (server->srvfdw == wrapper->fdwid &&
			chpg_has_server_usage(server->oid, GetUserId()))
			names = lappend(names, pstrdup(NameStr(server->srvname)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return names;
}

static char *
only_server(void)
{
	List	   *names = usable_servers();
	StringInfoData list;
	ListCell   *lc;

	if (list_length(names) == 1)
		return (char *) linitial(names);
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no chpg server that role \"%s\" may use",
						GetUserNameFromId(GetUserId(), false)),
				 errhint("Set one up with SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET'), or ask its owner for USAGE on it.")));

	initStringInfo(&list);
	foreach(lc, names)
		appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "",
						 (char *) lfirst(lc));
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
			 errmsg("there are several chpg servers to choose from"),
			 errdetail("They are: %s.", list.data),
			 errhint("Name one in the argument \"server\" or in the setting \"chpg.server\".")));
	return NULL;				/* keep compiler quiet */
}

static void
check_usage(const ForeignServer *server, Oid userid)
{
	if (chpg_has_server_usage(server->serverid, userid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for foreign server %s",
					server->servername),
			 errhint("Ask its owner for GRANT USAGE ON FOREIGN SERVER %s TO %s.",
					 quote_identifier(server->servername),
					 quote_identifier(GetUserNameFromId(userid, false)))));
}

ForeignServer *
chpg_connection_server(const char *name)
{
	ForeignServer *server;

	if (name == NULL && chpg_server != NULL && chpg_server[0] != '\0')
		name = chpg_server;
	if (name == NULL)
		name = only_server();
	server = GetForeignServerByName(name, true);
	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Set it up with SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => %s).",
						 quote_literal_cstr(name))));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname,
			   CHPG_WRAPPER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a chpg server", name)));
	check_usage(server, GetUserId());
	return server;
}

/*
 * Connections
 */

/* Users write the base with or without "/v1" and a trailing slash. */
static char *
normalize_url(const char *url)
{
	char	   *base = pstrdup(url);
	size_t		length = strlen(base);

	while (length > 0 && base[length - 1] == '/')
		base[--length] = '\0';
	if (length > 3 && strcmp(base + length - 3, "/v1") == 0)
		base[length -= 3] = '\0';
	while (length > 0 && base[length - 1] == '/')
		base[--length] = '\0';
	return base;
}

ChpgConnection *
chpg_connection_create(const char *server, List *given)
{
	ChpgConnection *connection = palloc0(sizeof(ChpgConnection));
	char	   *api_url = chpg_get_option(given, "api_url");
	char	   *rate_limit = chpg_get_option(given, "rate_limit");

	check_combination(given);	/* they need not come from a catalog */
	connection->server = pstrdup(server);
	connection->api_url = normalize_url(api_url ? api_url : CHPG_DEFAULT_URL);
	connection->organization_id = chpg_get_option(given, "organization_id");
	connection->ca_file = chpg_get_option(given, "ca_file");
	connection->proxy = chpg_get_option(given, "proxy");
	(void) parse_rate_limit(rate_limit ? rate_limit : DEFAULT_RATE_LIMIT,
							&connection->rate_requests,
							&connection->rate_window);
	return connection;
}

void
chpg_digest(const char *const *texts, int count, uint8 * digest)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool		ok = context != NULL && pg_cryptohash_init(context) >= 0;

	/* With the NUL at its end, each text is told apart from the next. */
	for (int i = 0; ok && i < count; i++)
	{
		const char *text = texts[i] ? texts[i] : "";

		ok = pg_cryptohash_update(context, (const uint8 *) text,
								  strlen(text) + 1) >= 0;
	}
	ok = ok && pg_cryptohash_final(context, digest, PG_SHA256_DIGEST_LENGTH) >= 0;
	if (context != NULL)
		pg_cryptohash_free(context);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not compute SHA-256")));
}

/* Who has a wrong secret for a key has nothing to do with those who use it. */
void
chpg_connection_set_key(ChpgConnection *connection, char *key_id,
						char *key_secret)
{
	const char *identity[] = {connection->api_url, key_id, key_secret};

	connection->key_id = key_id;
	connection->key_secret = key_secret;
	chpg_digest(identity, lengthof(identity), connection->identity);
}

static void
set_mapped_key(ChpgConnection *connection, const UserMapping * mapping)
{
	char	   *key_id = chpg_get_option(mapping->options, "key_id");
	char	   *key_secret = chpg_get_option(mapping->options, "key_secret");

	if (key_id == NULL || key_secret == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("user mapping for server \"%s\" lacks option \"%s\"",
						connection->server,
						key_id == NULL ? "key_id" : "key_secret"),
				 errhint("Use ALTER USER MAPPING ... OPTIONS (ADD ...).")));
	connection->server_id = mapping->serverid;
	connection->user_id = mapping->userid;
	connection->mapping_id = mapping->umid;
	chpg_connection_set_key(connection, key_id, key_secret);
}

static bool
has_mapping(Oid serverid, Oid userid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER,
								 ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER,
							  ObjectIdGetDatum(InvalidOid),
							  ObjectIdGetDatum(serverid));
}

ChpgConnection *
chpg_connection_for(const ForeignServer *server, Oid userid)
{
	ChpgConnection *connection = chpg_connection_create(server->servername,
														server->options);

	if (!has_mapping(server->serverid, userid))
	{
		check_usage(server, userid);	/* without it, there is no getting one */
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" has no key for server \"%s\"",
						GetUserNameFromId(userid, false),
						server->servername),
				 errhint("Give it one with SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => %s), or with CREATE USER MAPPING.",
						 quote_literal_cstr(server->servername))));
	}
	set_mapped_key(connection, GetUserMapping(userid, server->serverid));
	return connection;
}

/* Does a request go the same way to the same place? */
static bool
is_same_address(const ChpgConnection *a, const ChpgConnection *b)
{
	const char *options[][2] = {
		{a->api_url, b->api_url},
		{a->ca_file, b->ca_file},
		{a->proxy, b->proxy}
	};

	for (int i = 0; i < lengthof(options); i++)
	{
		const char *left = options[i][0] ? options[i][0] : "";
		const char *right = options[i][1] ? options[i][1] : "";

		if (strcmp(left, right) != 0)
			return false;
	}
	return true;
}

/* The connection of the same mapping, if it now has another key; or NULL. */
static ChpgConnection *
find_renewed(const ChpgConnection *connection)
{
	ForeignServer *server = GetForeignServerExtended(connection->server_id,
													 FSV_MISSING_OK);
	ChpgConnection *present;

	if (server == NULL || !has_mapping(server->serverid, connection->user_id))
		return NULL;
	present = chpg_connection_for(server, connection->user_id);
	if (present->mapping_id != connection->mapping_id ||
		!is_same_address(present, connection) ||
		memcmp(present->identity, connection->identity,
			   sizeof(present->identity)) == 0)
		return NULL;
	return present;
}

/* Looks at the catalog each time that a call may be sent, and keeps nothing of that. */
ChpgConnection *
chpg_connection_renew(const ChpgConnection *connection)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ChpgConnection *present;
	ChpgConnection *renewed = NULL;

	if (!OidIsValid(connection->mapping_id))
		return NULL;
	AcceptInvalidationMessages();
	scratch = AllocSetContextCreate(caller, "chpg key", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(scratch);
	present = find_renewed(connection);
	MemoryContextSwitchTo(caller);
	if (present != NULL)
	{
		renewed = palloc(sizeof(ChpgConnection));
		*renewed = *connection;
		chpg_connection_set_key(renewed, pstrdup(present->key_id),
								pstrdup(present->key_secret));
	}
	MemoryContextDelete(scratch);
	return renewed;
}

ChpgConnection *
chpg_connection_get(const char *server)
{
	return chpg_connection_for(chpg_connection_server(server), GetUserId());
}

List *
chpg_connection_list(void)
{
	List	   *connections = NIL;
	ListCell   *lc;

	foreach(lc, usable_servers())
	{
		ForeignServer *server = GetForeignServerByName(lfirst(lc), false);
		List	   *key;

		if (!has_mapping(server->serverid, GetUserId()))
			continue;
		key = GetUserMapping(GetUserId(), server->serverid)->options;
		if (chpg_get_option(key, "key_id") == NULL ||
			chpg_get_option(key, "key_secret") == NULL)
			continue;
		connections = lappend(connections,
							  chpg_connection_get(server->servername));
	}
	return connections;
}
