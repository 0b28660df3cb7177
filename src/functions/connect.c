/*-------------------------------------------------------------------------
 *
 * connect.c
 *		Storing and removing an API key: chpg_connect(), chpg_disconnect().
 *
 * The caller writes a secret as a literal in the statement.  From the moment that
 * chpg_connect() runs, the text of the statement stays out of the log and of
 * pg_stat_activity.  Servers and user mappings are changed by utility statements, as
 * event triggers and ProcessUtility hooks expect: their parse nodes hold the
 * secret, their texts do not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "ascii.h"
#include "compat.h"
#include "engine/budget.h"
#include "engine/connection.h"
#include "engine/hide_statement.h"
#include "engine/keys.h"
#include "engine/services.h"
#include "engine/trust.h"
#include "engine/utility.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "net/http.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* The arguments of chpg_connect(); only the last two may be NULL. */
typedef struct ConnectArguments
{
	char	   *key_id;
	char	   *key_secret;
	char	   *server;
	char	   *organization_id;
	char	   *api_url;
} ConnectArguments;

PG_FUNCTION_INFO_V1(chpg_connect);
PG_FUNCTION_INFO_V1(chpg_disconnect);

/*
 * chpg_connect
 */

/*
 * Return the text of an argument, palloc'd, or NULL; checked as this option of
 * a server, unless the option is NULL. Errors: those of chpg_check_option().
 */
static char *
text_argument(FunctionCallInfo fcinfo, int i, const char *option)
{
	char	   *value;

	if (PG_ARGISNULL(i))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(i));
	if (option != NULL)
		chpg_check_option(option, value);
	return value;
}

/*
 * Read and check the arguments of chpg_connect(). Errors: 22004 for a NULL,
 * 22023 for an invalid name of a server, HV024 for any other invalid value.
 */
static void
read_arguments(FunctionCallInfo fcinfo, ConnectArguments *arguments)
{
	arguments->key_id = text_argument(fcinfo, 0, NULL);
	arguments->key_secret = text_argument(fcinfo, 1, NULL);
	arguments->server = text_argument(fcinfo, 2, NULL);
	arguments->organization_id = text_argument(fcinfo, 3, "organization_id");
	arguments->api_url = text_argument(fcinfo, 4, "api_url");
	for (int i = 0; i < 3; i++)
	{
		static const char *const names[] = {"key_id", "key_secret", "server"};

		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
	chpg_check_key("key_id", arguments->key_id);
	chpg_check_key("key_secret", arguments->key_secret);
	if (*arguments->server == '\0' ||
		strlen(arguments->server) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\"", "server"),
				 errhint("Specify a name of 1 to %d bytes.", NAMEDATALEN - 1)));
}

/*
 * Set an option in a list, and return the list; unchanged if the value is
 * NULL.
 */
static List *
set_option(List *options, const char *name, char *value)
{
	ListCell   *lc;

	if (value == NULL)
		return options;
	foreach(lc, options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, name) == 0)
			options = foreach_delete_current(options, lc);
	}
	return lappend(options,
				   makeDefElem(pstrdup(name), (Node *) makeString(value), -1));
}

/*
 * Throw error 42501 if the caller may neither use the server nor create it,
 * before this database sends a request for the caller.  The server is NULL if
 * it does not exist; "wanted" is the connection that the arguments describe.
 */
static void
check_permission(const ForeignServer *server, const ChpgConnection *wanted)
{
	ChpgConnection *present;

	if (server == NULL)
	{
		ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(CHPG_WRAPPER_NAME,
																  false);

		if (!chpg_has_wrapper_usage(wrapper->fdwid, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for foreign-data wrapper %s",
							wrapper->fdwname),
					 errdetail("Server \"%s\" does not exist, and creating it requires USAGE on the foreign-data wrapper.",
							   wanted->server),
					 errhint("Name a server that you may use, or ask a superuser to run: GRANT USAGE ON FOREIGN DATA WRAPPER %s TO %s;",
							 quote_identifier(wrapper->fdwname),
							 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
		return;
	}
	if (chpg_owns_server(server->serverid, GetUserId()))
		return;
	present = chpg_connection_create(server->servername, server->options);
	if (strcmp(wanted->api_url, present->api_url) != 0)
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER,
					   server->servername);
}

/*
 * Throw error 42501 unless the key may go to an existing server of another
 * role, whose owner decides where the server leads.  A stranger may have
 * created it under the name that the caller means.  The key may go there if
 * the caller trusts the owner; if the caller names the address, and the owner
 * has set neither a proxy nor a CA file; or if chpg_connect() has sent a key
 * of the caller to that address before.
 */
static void
check_owner(const ForeignServer *server, const ConnectArguments *arguments,
			const ChpgConnection *wanted)
{
	ChpgConnection *present;

	if (server == NULL || chpg_trusts(GetUserId(), server->owner))
		return;
	present = chpg_connection_create(server->servername, server->options);
	if (strcmp(wanted->api_url, present->api_url) == 0 &&
		((arguments->api_url != NULL && present->proxy == NULL &&
		  present->ca_file == NULL) ||
		 chpg_connection_is_approved(server, GetUserId(),
									 chpg_connection_address(present))))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("key was not sent: server \"%s\" belongs to role \"%s\" and its address is %s",
					server->servername,
					GetUserNameFromId(server->owner, false),
					chpg_describe_address(chpg_connection_address(present))),
			 errdetail("The owner is neither a superuser, nor your role, nor a group of yours, and could have chosen the address to collect keys."),
			 present->proxy == NULL && present->ca_file == NULL ?
			 errhint("Use a server of your own: chpg_connect(..., server => 'NAME'). Only if you know that this is the address of the API, confirm it: chpg_connect(..., server => %s, api_url => 'https://...');",
					 quote_literal_cstr(server->servername)) :
			 errhint("Use a server of your own: chpg_connect(..., server => 'NAME');")));
}

/* Add the address of the connection to an error's context. */
static void
address_context_callback(void *arg)
{
	const ChpgConnection *connection = (const ChpgConnection *) arg;

	errcontext("connection to %s",
			   chpg_describe_address(chpg_connection_address(connection)));
}

/*
 * Find the organization of the new key by asking the API; the named one, if
 * the arguments name one.  One request.  Errors: 42704 if the key does not
 * belong to the named organization, 08P01 if it does not belong to exactly
 * one.
 */
static ChpgOrganization *
find_organization(const ConnectArguments *arguments,
				  const ChpgConnection *connection)
{
	List	   *organizations = chpg_list_organizations(connection);
	ListCell   *lc;

	foreach(lc, organizations)
	{
		ChpgOrganization *organization = (ChpgOrganization *) lfirst(lc);

		if (arguments->organization_id == NULL ?
			list_length(organizations) == 1 :
			chpg_same_in_any_case(arguments->organization_id, organization->id))
			return organization;
	}
	if (arguments->organization_id != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("key \"%s\" does not belong to organization \"%s\"",
						chpg_key_shown_id(connection),
						arguments->organization_id)));
	chpg_report_organizations(connection, list_length(organizations),
							  "Run: SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET', organization_id => 'ID');");
}

/* Throw error 55000 if an existing server is for another organization. */
static void
check_same_organization(const ForeignServer *server,
						const ChpgOrganization *organization)
{
	const char *present = chpg_get_option(server->options, "organization_id");

	if (present == NULL || chpg_same_in_any_case(present, organization->id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("server \"%s\" belongs to another organization",
					server->servername),
			 errdetail("The server belongs to organization %s, the key to %s.",
					   present, organization->id),
			 errhint("Use a server of another name: chpg_connect(..., server => 'NAME');")));
}

/*
 * Changes of the catalog
 */

/* Create the server, with these options. */
static void
create_server(const ConnectArguments *arguments, List *options)
{
	CreateForeignServerStmt *stmt = makeNode(CreateForeignServerStmt);

	stmt->servername = arguments->server;
	stmt->fdwname = CHPG_WRAPPER_NAME;
	stmt->options = options;
	chpg_run_utility((Node *) stmt,
					 chpg_statement_text("CREATE SERVER", stmt->servername,
										 " FOREIGN DATA WRAPPER " CHPG_WRAPPER_NAME,
										 options));
}

/*
 * Record in an existing server the organization, so that no session has to ask
 * the API again, and the address, if the arguments name one.
 */
static void
update_server(const ForeignServer *server, const ConnectArguments *arguments,
			  const ChpgOrganization *organization)
{
	AlterForeignServerStmt *stmt = makeNode(AlterForeignServerStmt);

	if (chpg_get_option(server->options, "organization_id") == NULL)
		stmt->options = lappend(stmt->options,
								chpg_option_change(NIL, "organization_id",
												   organization->id));
	if (arguments->api_url != NULL)
		stmt->options = lappend(stmt->options,
								chpg_option_change(server->options, "api_url",
												   arguments->api_url));
	if (stmt->options == NIL)
		return;
	stmt->servername = server->servername;
	chpg_run_utility((Node *) stmt,
					 chpg_statement_text("ALTER SERVER", stmt->servername, "",
										 stmt->options));
}

/*
 * Make the options of a user mapping that hold the connection's key, with the
 * secret bound to the connection's address.  Present are the options of the
 * mapping to alter; "alter" is false for a new mapping.
 */
static List *
key_options(const ChpgConnection *connection, List *present, bool alter)
{
	List	   *options = list_make2(chpg_option_change(present, "key_id",
														connection->key_id),
									 chpg_option_change(present, "key_secret",
														chpg_bind_secret(connection->server_id,
																		 GetUserId(),
																		 connection->key_id,
																		 connection->key_secret,
																		 chpg_connection_address(connection))));
	ListCell   *lc;

	foreach(lc, options)
	{
		if (!alter)
			((DefElem *) lfirst(lc))->defaction = DEFELEM_UNSPEC;
	}
	return options;
}

/*
 * Store the connection's key in the current user's mapping, which is created
 * if it does not exist.
 */
static void
set_mapping(const ChpgConnection *connection)
{
	Oid			serverid = connection->server_id;

	if (SearchSysCacheExists2(USERMAPPINGUSERSERVER,
							  ObjectIdGetDatum(GetUserId()),
							  ObjectIdGetDatum(serverid)))
	{
		AlterUserMappingStmt *stmt = makeNode(AlterUserMappingStmt);

		stmt->user = chpg_current_role();
		stmt->servername = connection->server;
		stmt->options = key_options(connection,
									GetUserMapping(GetUserId(), serverid)->options,
									true);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("ALTER USER MAPPING FOR CURRENT_USER SERVER",
											 stmt->servername, "", stmt->options));
	}
	else
	{
		CreateUserMappingStmt *stmt = makeNode(CreateUserMappingStmt);

		stmt->user = chpg_current_role();
		stmt->servername = connection->server;
		stmt->options = key_options(connection, NIL, false);
		chpg_run_utility((Node *) stmt,
						 chpg_statement_text("CREATE USER MAPPING FOR CURRENT_USER SERVER",
											 stmt->servername, "", stmt->options));
	}
}

/* Form the row that chpg_connect() returns. */
static Datum
connection_row(FunctionCallInfo fcinfo, const ConnectArguments *arguments,
			   const ChpgOrganization *organization,
			   const ChpgConnection *connection)
{
	TupleDesc	tupdesc;
	char	   *fields[4];

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fields[0] = arguments->server;
	fields[1] = organization->id;
	fields[2] = organization->name;
	fields[3] = connection->api_url;
	return HeapTupleGetDatum(BuildTupleFromCStrings(TupleDescGetAttInMetadata(tupdesc),
													fields));
}

/*
 * Check the key against the API, then create or update the server and the user
 * mapping.  All that can be refused without a request is refused before the
 * key is sent.  Errors: 25006, 22004, 22023, HV024, 42501, 55000, and those of the
 * request.
 */
static Datum
connect_internal(FunctionCallInfo fcinfo)
{
	ConnectArguments arguments;
	ForeignServer *server;
	ChpgConnection *connection;
	ChpgOrganization *organization;
	ErrorContextCallback callback;
	List	   *options;

	PreventCommandIfReadOnly("chpg_connect()");
	read_arguments(fcinfo, &arguments);
	server = GetForeignServerByName(arguments.server, true);
	if (server != NULL)
		server = chpg_connection_server(arguments.server);
	options = set_option(server ? list_copy(server->options) : NIL,
						 "api_url", arguments.api_url);
	connection = chpg_connection_create(arguments.server, options);
	chpg_connection_set_key(connection, arguments.key_id, arguments.key_secret);
	connection->server_id = server ? server->serverid : InvalidOid;
	connection->no_cache = true;
	check_owner(server, &arguments, connection);
	check_permission(server, connection);
	callback.callback = address_context_callback;
	callback.arg = connection;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	organization = find_organization(&arguments, connection);
	error_context_stack = callback.previous;
	if (server == NULL)
	{
		create_server(&arguments,
					  set_option(options, "organization_id", organization->id));
		connection->server_id = GetForeignServerByName(arguments.server,
													   false)->serverid;
		chpg_budget_note_limit(connection);
	}
	else
	{
		check_same_organization(server, organization);
		if (chpg_owns_server(server->serverid, GetUserId()))
			update_server(server, &arguments, organization);
	}
	set_mapping(connection);
	return connection_row(fcinfo, &arguments, organization, connection);
}

/*
 * chpg_connect(key_id, key_secret, server, organization_id, api_url)
 */
Datum
chpg_connect(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback;
	Datum		result;

	chpg_hide_statement(&callback, "SELECT * FROM chpg_connect(...)");
	chpg_warn_exposed("chpg_connect");
	result = connect_internal(fcinfo);
	error_context_stack = callback.previous;
	return result;
}

/*
 * chpg_disconnect(server)
 */
Datum
chpg_disconnect(PG_FUNCTION_ARGS)
{
	DropUserMappingStmt *stmt = makeNode(DropUserMappingStmt);
	ForeignServer *server;

	PreventCommandIfReadOnly("chpg_disconnect()");
	server = chpg_connection_server(PG_ARGISNULL(0) ? NULL :
									text_to_cstring(PG_GETARG_TEXT_PP(0)));
	stmt->user = chpg_current_role();
	stmt->servername = server->servername;
	stmt->missing_ok = false;
	chpg_run_utility((Node *) stmt,
					 chpg_statement_text("DROP USER MAPPING FOR CURRENT_USER SERVER",
										 stmt->servername, "", NIL));
	chpg_http_disconnect();
	PG_RETURN_VOID();
}
