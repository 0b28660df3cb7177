/*-------------------------------------------------------------------------
 *
 * connection.h
 *		Which API, organization and key a call uses.
 *
 * They are the options of a server and of the current user's mapping for it.
 * Both are looked up for each call, so that a change acts at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CONNECTION_H
#define CHPG_CONNECTION_H

#include "common/sha2.h"
#include "engine/trust.h"
#include "foreign/foreign.h"

#define CHPG_WRAPPER_NAME	"chpg"

/* The most requests in a window that a rate limit can name. */
#define CHPG_MAX_RATE		1000

struct ChpgStatementCache;

typedef struct ChpgConnection
{
	char	   *server;			/* name of the server */
	Oid			server_id;		/* InvalidOid if the server does not exist yet */
	Oid			user_id;		/* the role whose user mapping has the key */
	Oid			mapping_id;		/* that mapping; InvalidOid if the key is from
								 * none */
	Oid			owner_id;		/* the role to whose places in shared memory
								 * the key counts: the one that gave it, or
								 * else the owner of the server */
	bool		unbounded;		/* is that role a superuser? */
	char	   *api_url;		/* canonical (url.h) */
	char	   *organization_id;	/* NULL until discovered */
	char	   *ca_file;		/* NULL: the system's CAs */
	char	   *proxy;			/* canonical; NULL: none */
	char	   *key_id;
	char	   *key_secret;
	int			rate_requests;	/* the limit: requests in a window; 0:
								 * unlimited */
	double		rate_window;	/* seconds; 0: unlimited */
	bool		rate_is_automatic;	/* that is the documented limit, and the
									 * API's responses may replace it */
	uint8		identity[PG_SHA256_DIGEST_LENGTH];	/* of API, key and secret */
	bool		no_cache;		/* send all requests, whatever is cached */
	struct ChpgStatementCache *statement_cache; /* of this execution of a
												 * statement, or NULL */
} ChpgConnection;

/*
 * The connection for the current user, by the server's name, or, given NULL,
 * by chpg.server, or the only server that the user owns or gave a key to.  In a
 * function that runs as another role, chpg.server chooses only among servers that
 * the role gave a key to.  Nothing is sent.
 * Errors: 42704 (no such server or mapping), 42809 (a server of another wrapper),
 * 42501 (no USAGE; chpg.server cannot choose it), 42P08 (several servers), HV00J (a
 * mapping without a key), HV024 (an invalid option), 55000 (the key was given for
 * another address).
 */
extern ChpgConnection *chpg_connection_get(const char *server);

/*
 * The same for a role and a server that are known.  A role that has a key needs
 * no USAGE, but cannot get one without it.
 */
extern ChpgConnection *chpg_connection_for(const ForeignServer *server, Oid userid);

/*
 * The same connection with the key that its user mapping has now, palloc'd; NULL
 * if the key is still the same, the mapping is gone, or the server's address is
 * another: a key is sent only where it was meant to go.
 */
extern ChpgConnection *chpg_connection_renew(const ChpgConnection *connection);

/* The address where a connection's requests go; shares its texts. */
extern ChpgAddress chpg_connection_address(const ChpgConnection *connection);

/* Did chpg_connect(), called by the role, send a key to the server at that address? */
extern bool chpg_connection_is_approved(const ForeignServer *server, Oid userid,
										ChpgAddress address);

/* The server that chpg_connection_get() would use. */
extern ForeignServer *chpg_connection_server(const char *server);

/* A connection with the options of a server and no key yet, palloc'd. */
extern ChpgConnection *chpg_connection_create(const char *server, List *options);

/* Give it a key. */
extern void chpg_connection_set_key(ChpgConnection *connection, char *key_id,
									char *key_secret);

/* A read: the exact URL, and the key and secret that it is sent with. */
typedef struct ChpgReadId
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
} ChpgReadId;

/* Identify the read of a URL with a connection's key. */
extern void chpg_read_id(const ChpgConnection *connection, const char *url,
						 ChpgReadId *id);

/* The connections, with their keys, of all servers that the user may use. */
extern List *chpg_connection_list(void);

/* The value of an option, or NULL. */
extern char *chpg_get_option(List *options, const char *name);

/* Check a value as CREATE SERVER and CREATE USER MAPPING do.  Errors: HV024 for an invalid value, 42501 for a file's path. */
extern void chpg_check_option(const char *name, const char *value);

/* Check the id or the secret of a key, without an address.  Error HV024. */
extern void chpg_check_key(const char *name, const char *value);

#endif							/* CHPG_CONNECTION_H */
