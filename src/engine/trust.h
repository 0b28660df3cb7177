/*-------------------------------------------------------------------------
 *
 * trust.h
 *		Which servers a role trusts, where its key may go, and which role gave it.
 *
 * The owner of a server decides where it leads, may change that at any time, and
 * may make or alter the user mappings of others for it, without seeing their
 * secrets.  So the secret carries with it where it may go, in one value that is
 * replaced as a whole or not at all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_TRUST_H
#define CHPG_TRUST_H

/* Where a key goes. */
typedef struct ChpgAddress
{
	const char *api_url;		/* canonical (url.h); NULL: anywhere */
	const char *proxy;			/* canonical; NULL: none */
	const char *ca_file;		/* NULL: the system's CAs */
} ChpgAddress;

/*
 * The option key_secret of a user mapping:
 *
 *		SECRET [API_URL [proxy=URL] [seal=HEX] [ca_file=PATH]]
 */
typedef struct ChpgSecret
{
	char	   *secret;
	ChpgAddress address;		/* where it may go */
	char	   *seal;			/* of chpg_connect(), or NULL */
} ChpgSecret;

/* Read the option; false if it has another form. */
extern bool chpg_parse_secret(const char *value, ChpgSecret *secret);

/*
 * The option for a key's secret that may go to an address, sealed as given by
 * that role to that server; palloc'd.
 */
extern char *chpg_bind_secret(Oid serverid, Oid userid, const char *key_id,
							  char *key_secret, ChpgAddress address);

/* Is it the same, by the same way? */
extern bool chpg_is_same_address(ChpgAddress a, ChpgAddress b);

/* May the secret go there? */
extern bool chpg_may_go(const ChpgSecret *secret, ChpgAddress address);

/* An address for messages, palloc'd. */
extern char *chpg_describe_address(ChpgAddress address);

/* Return HMAC-SHA256 of some data, in hexadecimal digits, palloc'd. */
extern char *chpg_hmac_sha256(const char *key, size_t key_length,
							  const char *data, size_t length);

/*
 * Did chpg_connect(), called by the role, make its mapping as it is now?
 * Only chpg_connect() can make a seal: its key is in this cluster's memory alone.
 */
extern bool chpg_is_sealed(Oid serverid, Oid userid, const char *key_id,
						   const ChpgSecret *secret);

/*
 * Does a role trust what the owner of a server makes of it?  It does if that is
 * the role itself, a superuser, the owner of the extension, or a group, a role that
 * cannot log in and is not predefined, that a superuser, or the role itself, made it a
 * member of.  Other memberships say nothing: anybody may grant membership in a role
 * of theirs to anybody, and the administrator of a role is its member.
 */
extern bool chpg_trusts(Oid userid, Oid owner);

#endif							/* CHPG_TRUST_H */
