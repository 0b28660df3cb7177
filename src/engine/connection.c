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
#include "ascii.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/cryptohash.h"
#include "compat.h"
#include "engine/connection.h"
#include "engine/trust.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "protocol/arguments.h"
#include "protocol/closest.h"
#include "protocol/resources.h"
#include "protocol/url.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* The URL of a server that has none */
#define DEFAULT_URL	"https://api.clickhouse.cloud"

/* The limit that the API's documentation names */
#define DOCUMENTED_RATE_LIMIT	"10/10s"

/* Longer than any value in use, and short enough for an error message. */
#define MAX_OPTION_LENGTH	1024

/* Ids and secrets of keys are longer. */
#define MIN_KEY_LENGTH		16

/* The longest option key_secret: a secret, with the address that it is bound to. */
#define MAX_SECRET_LENGTH	(5 * MAX_OPTION_LENGTH)

typedef struct Option
{
	const char *name;
	Oid			catalog;		/* whose objects take it */
	void		(*check) (const char *name, const char *value);
} Option;

static void check_api_url(const char *name, const char *value);
static void check_ca_file(const char *name, const char *value);
static void check_organization_id(const char *name, const char *value);
static void check_proxy(const char *name, const char *value);
static void check_rate_limit(const char *name, const char *value);
static void check_resource(const char *name, const char *value);
static void check_secret(const char *name, const char *value);
static void check_window(const char *name, const char *value);

static const Option options[] = {
	{"api_url", ForeignServerRelationId, check_api_url},
	{"ca_file", ForeignServerRelationId, check_ca_file},
	{"organization_id", ForeignServerRelationId, check_organization_id},
	{"proxy", ForeignServerRelationId, check_proxy},
	{"rate_limit", ForeignServerRelationId, check_rate_limit},
	{"key_id", UserMappingRelationId, chpg_check_key},
	{"key_secret", UserMappingRelationId, check_secret},
	{"resource", ForeignTableRelationId, check_resource},
	{"window", ForeignTableRelationId, check_window},
	{NULL}
};

PG_FUNCTION_INFO_V1(chpg_own_server);
PG_FUNCTION_INFO_V1(chpg_validator);

/*
 * Values of options
 */

static void
check_length(const char *name, const char *value, int max_length)
{
	if (*value == '\0' || strlen(value) > max_length)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("The value must have 1 to %d characters.", max_length)));
}

/* May a value be a key in the wrong place, by its length and its characters? */
static bool
may_be_key(const char *value)
{
	const char *p = value;

	while (chpg_is_letter(*p) || chpg_is_digit(*p))
		p++;
	return *p == '\0' && p - value >= MIN_KEY_LENGTH;
}

/* Throw the error of an invalid option.  Shows its value, unless that may be a secret. */
static void
refuse_value(const char *name, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 strchr(value, '@') == NULL && !may_be_key(value) ?
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value) :
			 errmsg("invalid value for option \"%s\"", name),
			 errhint("%s", hint)));
}

static void
check_api_url(const char *name, const char *value)
{
	if (chpg_canonical_api_url(value) == NULL)
		refuse_value(name, value,
					 "Specify a URL such as " DEFAULT_URL ". It must be https, or http to localhost or a literal loopback address, without user name, query, fragment, or dots for a part of its path.");
}

static void
check_ca_file(const char *name, const char *value)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", name),
				 errdetail("Only roles with privileges of the \"%s\" role may set this option.",
						   "pg_read_server_files")));
	if (!is_absolute_path(value))
		refuse_value(name, value,
					 "Specify the absolute path of a PEM file on the server's machine.");
}

static void
refuse_key(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("invalid value for option \"%s\"", name),
			 errdetail("The key contains a space, a control character or another character that no key has."),
			 errhint("Copy the key again from the ClickHouse Cloud console.")));
}

void
chpg_check_key(const char *name, const char *value)
{
	bool		is_id = strcmp(name, "key_id") == 0;

	check_length(name, value, MAX_OPTION_LENGTH);
	for (const char *p = value; *p != '\0'; p++)
	{
		/* A colon ends the user name of HTTP Basic authentication. */
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7F ||
			(is_id && *p == ':'))
			refuse_key(name);
	}
}

/* Check the option key_secret: the secret, and the address where it may go. */
static void
check_secret(const char *name, const char *value)
{
	ChpgSecret	secret;

	if (!chpg_parse_secret(value, &secret))
		refuse_key(name);
	chpg_check_key(name, secret.secret);
}

static void
check_organization_id(const char *name, const char *value)
{
	if (!chpg_is_uuid(value))
		refuse_value(name, value,
					 "Specify the id of the organization, a UUID, or omit the option: chpg then asks the API.");
}

static void
check_proxy(const char *name, const char *value)
{
	if (chpg_canonical_proxy(value) == NULL)
		refuse_value(name, value,
					 "Specify a URL such as http://proxy.example.com:3128, without user name and password, since everybody can read it.");
}

/*
 * Parse a rate limit: "10/10s", "unlimited", for which requests is 0, or "auto", for
 * which it is the documented limit.
 */
static bool
parse_rate_limit(const char *value, int *requests, double *window, bool *automatic)
{
	char	   *end;
	long		number;

	*requests = 0;
	*window = 0;
	*automatic = strcmp(value, "auto") == 0;
	if (*automatic)
		value = DOCUMENTED_RATE_LIMIT;
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
	bool		automatic;

	if (!parse_rate_limit(value, &requests, &window, &automatic))
		refuse_value(name, value,
					 "Specify auto, or at most 1000 requests and a period in seconds, such as 10/10s, or unlimited.");
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
	check_length(name, value, option->check == check_secret ?
				 MAX_SECRET_LENGTH : MAX_OPTION_LENGTH);
	option->check(name, value);
}

/*
 * The validator of the foreign-data wrapper
 */

/* Throw the error of an unknown option, with the valid ones for that kind of object. */
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

/* Check that an option is known, and may be set on that kind of object. */
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

/* Check options that depend on one another. */
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

/* chpg_validator(options, catalog): checks the options of CREATE and ALTER */
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

/* The role's mapping for a server; NULL if there is none, or only PUBLIC's and own_only. */
static UserMapping *
find_mapping(Oid serverid, Oid userid, bool own)
{
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER,
							   ObjectIdGetDatum(userid),
							   ObjectIdGetDatum(serverid)) &&
		(own || !SearchSysCacheExists2(USERMAPPINGUSERSERVER,
									   ObjectIdGetDatum(InvalidOid),
									   ObjectIdGetDatum(serverid))))
		return NULL;
	return GetUserMapping(userid, serverid);
}

/* The secret that the role gave to a server, if it did so by chpg_connect(). */
static bool
read_sealed(const ForeignServer *server, Oid userid, ChpgSecret *secret)
{
	UserMapping *mapping = find_mapping(server->serverid, userid, true);
	const char *key_id;
	const char *key_secret;

	if (mapping == NULL)
		return false;
	key_id = chpg_get_option(mapping->options, "key_id");
	key_secret = chpg_get_option(mapping->options, "key_secret");
	return key_id != NULL && key_secret != NULL &&
		chpg_parse_secret(key_secret, secret) &&
		chpg_is_sealed(server->serverid, userid, key_id, secret);
}

/*
 * Has the role given a key of its own to a server?  A mapping for a server of
 * somebody else's may be that owner's work, unless chpg_connect() sealed it.
 */
static bool
has_own_key(const ForeignServer *server, Oid userid)
{
	ChpgSecret	secret;

	if (chpg_trusts(userid, server->owner))
		return find_mapping(server->serverid, userid, true) != NULL;
	return read_sealed(server, userid, &secret);
}

bool
chpg_connection_is_approved(const ForeignServer *server, Oid userid,
							ChpgAddress address)
{
	ChpgSecret	secret;

	return read_sealed(server, userid, &secret) &&
		chpg_is_same_address(secret.address, address);
}

/* The servers of our wrapper that the current user may use. */
static List *
usable_servers(void)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(CHPG_WRAPPER_NAME,
															  false);
	Relation	catalog = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL,
										  0, NULL);
	HeapTuple	tuple;
	List	   *servers = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);
		ForeignServer *server;

		if (form->srvfdw != wrapper->fdwid ||
			!chpg_has_server_usage(form->oid, GetUserId()))
			continue;
		server = GetForeignServerExtended(form->oid, FSV_MISSING_OK);
		if (server != NULL)
			servers = lappend(servers, server);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return servers;
}

static int
compare_servers(const ListCell *a, const ListCell *b)
{
	return strcmp(((ForeignServer *) lfirst(a))->servername,
				  ((ForeignServer *) lfirst(b))->servername);
}

/*
 * The servers that an unnamed call may mean, by name: the current user's own, and those
 * that it gave a key of its own to.  Others are made and granted by anybody.
 */
static List *
own_servers(void)
{
	List	   *servers = usable_servers();
	ListCell   *lc;

	foreach(lc, servers)
	{
		const ForeignServer *server = (ForeignServer *) lfirst(lc);

		if (server->owner != GetUserId() && !has_own_key(server, GetUserId()))
			servers = foreach_delete_current(servers, lc);
	}
	list_sort(servers, compare_servers);
	return servers;
}

/*
 * _chpg_own_server(server): the server given, else that of chpg.server, else the first of
 * them by name, or NULL
 */
Datum
chpg_own_server(PG_FUNCTION_ARGS)
{
	List	   *servers;

	if (!PG_ARGISNULL(0))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	if (chpg_server != NULL && chpg_server[0] != '\0')
		PG_RETURN_TEXT_P(cstring_to_text(chpg_server));
	servers = own_servers();
	if (servers == NIL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(((ForeignServer *) linitial(servers))->servername));
}

/* The only server that an unnamed call may mean.  Errors: 42704 and 42P08. */
static ForeignServer *
only_server(void)
{
	List	   *servers = own_servers();
	StringInfoData list;
	ListCell   *lc;

	if (list_length(servers) == 1)
		return (ForeignServer *) linitial(servers);
	if (servers == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 usable_servers() == NIL ?
				 errmsg("role \"%s\" may use no chpg server: call chpg_connect()",
						GetUserNameFromId(GetUserId(), false)) :
				 errmsg("role \"%s\" has no chpg server of its own: name one, or call chpg_connect()",
						GetUserNameFromId(GetUserId(), false)),
				 usable_servers() == NIL ?
				 errhint("Ask the owner of a server for USAGE on it, or run: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET');") :
				 errhint("Name a server of another role in the argument \"server\" or in \"chpg.server\", or run: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => 'NAME');")));

	initStringInfo(&list);
	foreach(lc, servers)
		appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "",
						 ((ForeignServer *) lfirst(lc))->servername);
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
			 errmsg("several chpg servers match: name one in \"chpg.server\""),
			 errdetail("The servers are: %s.", list.data),
			 errhint("Name one in the argument \"server\", or run: SET chpg.server = 'NAME';")));
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
			 errhint("Ask the owner to run: GRANT USAGE ON FOREIGN SERVER %s TO %s;",
					 quote_identifier(server->servername),
					 quote_identifier(GetUserNameFromId(userid, false)))));
}

/*
 * Throw error 42704 for a server that does not exist.  Where there are others, a hint to
 * create it would take a service, or a typo, for its name.
 */
static void
refuse_server(const char *name)
{
	List	   *servers = usable_servers();
	const char *first;
	ChpgClosest closest;
	ListCell   *lc;

	if (servers == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Run: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => %s);",
						 quote_literal_cstr(name))));

	list_sort(servers, compare_servers);
	first = ((const ForeignServer *) linitial(servers))->servername;
	chpg_closest_begin(&closest, name);
	foreach(lc, servers)
		chpg_closest_add(&closest, ((const ForeignServer *) lfirst(lc))->servername);
	if (closest.match != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist%s", name, chpg_closest_question(&closest))));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("server \"%s\" does not exist: give a server such as \"%s\", not a service", name, first),
			 errhint("Name a service in the argument \"service\" or, where there is none, pick its row by id. Another server is created by chpg_connect().")));
}

/* The chpg server of that name.  Error 42704 if there is none. */
static ForeignServer *
named_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL)
		refuse_server(name);
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname,
			   CHPG_WRAPPER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a chpg server", name)));
	check_usage(server, GetUserId());
	return server;
}

/*
 * Does the current user run what another one called?  REFRESH MATERIALIZED VIEW and
 * other maintenance sets no SECURITY_LOCAL_USERID_CHANGE, also where the owner is
 * not the caller.
 */
static bool
is_called_by_another(Oid userid, int context)
{
	return (context & SECURITY_LOCAL_USERID_CHANGE) != 0 ||
		((context & SECURITY_RESTRICTED_OPERATION) != 0 &&
		 userid != GetOuterUserId());
}

/*
 * Refuse a server that chpg.server names, which may be the caller's choice, unless
 * the role has given the server a key of its own.
 */
static void
check_choice(const ForeignServer *server)
{
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	if (!is_called_by_another(userid, context) || has_own_key(server, userid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("setting \"chpg.server\" cannot select server \"%s\" for role \"%s\" in %s",
					server->servername, GetUserNameFromId(userid, false),
					(context & SECURITY_LOCAL_USERID_CHANGE) != 0 ?
					"a SECURITY DEFINER function" : "a command of another role"),
			 errdetail("The caller may have changed the setting, and the role has no key of its own for that server."),
			 errhint("Name the server in the argument \"server\".")));
}

ForeignServer *
chpg_connection_server(const char *name)
{
	ForeignServer *server;

	if (name != NULL)
		return named_server(name);
	if (chpg_server == NULL || chpg_server[0] == '\0')
		return only_server();
	server = named_server(chpg_server);
	check_choice(server);
	return server;
}

/*
 * Connections
 */

/*
 * The value of an option, or NULL.  Checks it again: a version with other rules may
 * have set it.
 */
static char *
canonical_option(const char *name, const char *value,
				 char *(*canonical) (const char *url))
{
	char	   *url = value != NULL ? canonical(value) : NULL;

	if (value != NULL && url == NULL)
		chpg_check_option(name, value); /* says what is wrong */
	return url;
}

static void
set_owner(ChpgConnection *connection, Oid role)
{
	connection->owner_id = role;
	connection->unbounded = superuser_arg(role);
}

ChpgConnection *
chpg_connection_create(const char *server, List *given)
{
	ChpgConnection *connection = palloc0(sizeof(ChpgConnection));
	char	   *api_url = chpg_get_option(given, "api_url");
	char	   *rate_limit = chpg_get_option(given, "rate_limit");

	check_combination(given);	/* they need not come from a catalog */
	connection->server = pstrdup(server);
	set_owner(connection, GetUserId());
	connection->api_url = canonical_option("api_url",
										   api_url ? api_url : DEFAULT_URL,
										   chpg_canonical_api_url);
	connection->organization_id = chpg_get_option(given, "organization_id");
	connection->ca_file = chpg_get_option(given, "ca_file");
	connection->proxy = canonical_option("proxy", chpg_get_option(given, "proxy"),
										 chpg_canonical_proxy);
	(void) parse_rate_limit(rate_limit ? rate_limit : "auto",
							&connection->rate_requests,
							&connection->rate_window,
							&connection->rate_is_automatic);
	return connection;
}

/* Compute SHA-256 of texts, of which each may be NULL. */
static void
digest_texts(const char *const *texts, int count, uint8 * digest)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool		ok = context != NULL && pg_cryptohash_init(context) >= 0;

	/* With the NUL at its end, each text is distinct from the next. */
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

void
chpg_read_id(const ChpgConnection *connection, const char *url, ChpgReadId *id)
{
	const char *texts[] = {url, connection->key_id, connection->key_secret,
	connection->ca_file, connection->proxy};

	digest_texts(texts, lengthof(texts), id->digest);
}

/*
 * The identity includes the secret: a role with a wrong secret for a key shares
 * nothing with those that have the right one.
 */
void
chpg_connection_set_key(ChpgConnection *connection, char *key_id,
						char *key_secret)
{
	const char *identity[] = {connection->api_url, key_id, key_secret};

	connection->key_id = key_id;
	connection->key_secret = key_secret;
	digest_texts(identity, lengthof(identity), connection->identity);
}

/*
 * The role to whose places in shared memory a key counts.  The owner of a server may
 * make mappings for PUBLIC and for other roles, which come to use them unawares: such
 * keys count to the owner.
 */
static Oid
place_owner(const ForeignServer *server, const UserMapping *mapping)
{
	return has_own_key(server, mapping->userid) ? mapping->userid : server->owner;
}

/* Fill in the key of a mapping; *secret says where the key may go.  Error HV00J if it has none. */
static ChpgConnection *
mapped_connection(const ForeignServer *server, const UserMapping *mapping,
				  ChpgSecret *secret)
{
	ChpgConnection *connection = chpg_connection_create(server->servername,
														server->options);
	char	   *key_id = chpg_get_option(mapping->options, "key_id");
	char	   *key_secret = chpg_get_option(mapping->options, "key_secret");

	if (key_id == NULL || key_secret == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("user mapping for server \"%s\" lacks option \"%s\"",
						connection->server,
						key_id == NULL ? "key_id" : "key_secret"),
				 errhint("Run: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (ADD ...);",
						 quote_identifier(connection->server))));
	if (!chpg_parse_secret(key_secret, secret))
		refuse_key("key_secret");
	connection->server_id = mapping->serverid;
	connection->user_id = mapping->userid;
	connection->mapping_id = mapping->umid;
	set_owner(connection, place_owner(server, mapping));
	chpg_connection_set_key(connection, key_id, secret->secret);
	return connection;
}

ChpgAddress
chpg_connection_address(const ChpgConnection *connection)
{
	return (ChpgAddress)
	{
		connection->api_url, connection->proxy,
			connection->ca_file
	};
}

/* Throw error 55000 if the server leads elsewhere than its key may go. */
static void
check_address(const ChpgConnection *connection, const ChpgSecret *secret)
{
	ChpgAddress address = chpg_connection_address(connection);

	if (chpg_may_go(secret, address))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("key for server \"%s\" is bound to another address: set it again with chpg_connect()",
					connection->server),
			 errdetail("The key is bound to %s; the address of the server is %s.",
					   chpg_describe_address(secret->address),
					   chpg_describe_address(address)),
			 errhint("Ask the owner of the server why its address changed. Only if you know that the new one is an address of the API, confirm it: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => %s, api_url => 'https://...');",
					 quote_literal_cstr(connection->server))));
}

ChpgConnection *
chpg_connection_for(const ForeignServer *server, Oid userid)
{
	UserMapping *mapping = find_mapping(server->serverid, userid, false);
	ChpgConnection *connection;
	ChpgSecret	secret;

	if (mapping == NULL)
	{
		check_usage(server, userid);	/* without it, there is no getting one */
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" has no key for server \"%s\": call chpg_connect()",
						GetUserNameFromId(userid, false),
						server->servername),
				 errhint("Create a user mapping, or run: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', server => %s);",
						 quote_literal_cstr(server->servername))));
	}
	connection = mapped_connection(server, mapping, &secret);
	check_address(connection, &secret);
	return connection;
}

/* The connection of the same mapping, if it now has another key; or NULL. */
static ChpgConnection *
find_renewed(const ChpgConnection *connection)
{
	ForeignServer *server = GetForeignServerExtended(connection->server_id,
													 FSV_MISSING_OK);
	UserMapping *mapping;
	ChpgConnection *present;
	ChpgSecret	secret;

	mapping = server == NULL ? NULL :
		find_mapping(server->serverid, connection->user_id, false);
	if (mapping == NULL)
		return NULL;
	present = mapped_connection(server, mapping, &secret);
	if (present->mapping_id != connection->mapping_id ||
		!chpg_may_go(&secret, chpg_connection_address(present)) ||
		!chpg_is_same_address(chpg_connection_address(present),
							  chpg_connection_address(connection)) ||
		memcmp(present->identity, connection->identity,
			   sizeof(present->identity)) == 0)
		return NULL;
	return present;
}

/* Looks at the catalog each time that a call may be sent, and frees what that takes. */
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
		ForeignServer *server = (ForeignServer *) lfirst(lc);
		UserMapping *mapping = find_mapping(server->serverid, GetUserId(), false);
		ChpgConnection *connection;
		ChpgSecret	secret;

		if (mapping == NULL ||
			chpg_get_option(mapping->options, "key_id") == NULL ||
			chpg_get_option(mapping->options, "key_secret") == NULL)
			continue;
		connection = mapped_connection(server, mapping, &secret);
		if (chpg_may_go(&secret, chpg_connection_address(connection)))
			connections = lappend(connections, connection);
	}
	return connections;
}
