/*-------------------------------------------------------------------------
 *
 * trust.c
 *		Which servers a role trusts, where its key may go, and which role gave it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_control.h"
#include "catalog/pg_extension.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "compat.h"
#include "engine/trust.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "protocol/url.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

/* The purpose of a seal: the nonce that makes it has other uses, too. */
#define SEAL_PURPOSE	"chpg: key given by its role"

/*
 * Secrets
 */

/* Take the next word before a single space; *rest is NULL after the last. */
static char *
next_word(char **rest)
{
	char	   *word = *rest;
	char	   *space = strchr(word, ' ');

	if (space != NULL)
		*space = '\0';
	*rest = space != NULL ? space + 1 : NULL;
	return word;
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool
chpg_parse_secret(const char *value, ChpgSecret *secret)
{
	char	   *rest = pstrdup(value);

	memset(secret, 0, sizeof(ChpgSecret));
	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ')
			return false;
	}
	secret->secret = next_word(&rest);
	if (*secret->secret == '\0')
		return false;
	if (rest == NULL)
		return true;
	secret->address.api_url = chpg_canonical_api_url(next_word(&rest));
	if (secret->address.api_url == NULL)
		return false;
	while (rest != NULL)
	{
		char	   *word;

		if (starts_with(rest, "ca_file="))
		{
			/* A file's name may have spaces, so that it comes last. */
			secret->address.ca_file = rest + strlen("ca_file=");
			return is_absolute_path(secret->address.ca_file);
		}
		word = next_word(&rest);
		if (starts_with(word, "proxy=") && secret->address.proxy == NULL)
		{
			secret->address.proxy = chpg_canonical_proxy(word + strlen("proxy="));
			if (secret->address.proxy == NULL)
				return false;
		}
		else if (starts_with(word, "seal=") && secret->seal == NULL)
			secret->seal = word + strlen("seal=");
		else
			return false;
	}
	return true;
}

static bool
is_same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool
chpg_is_same_address(ChpgAddress a, ChpgAddress b)
{
	return is_same(a.api_url, b.api_url) && is_same(a.proxy, b.proxy) &&
		is_same(a.ca_file, b.ca_file);
}

bool
chpg_may_go(const ChpgSecret *secret, ChpgAddress address)
{
	return secret->address.api_url == NULL ||
		chpg_is_same_address(secret->address, address);
}

char *
chpg_describe_address(ChpgAddress address)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, address.api_url);
	if (address.proxy != NULL)
		appendStringInfo(&text, ", by the proxy %s", address.proxy);
	if (address.ca_file != NULL)
		appendStringInfo(&text, ", trusting the CAs in \"%s\"", address.ca_file);
	return text.data;
}

/*
 * Seals
 */

char *
chpg_hmac_sha256(const char *key, size_t key_length, const char *data, size_t length)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc0(2 * PG_SHA256_DIGEST_LENGTH + 1);
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);
	bool		ok = context != NULL &&
	pg_hmac_init(context, (const uint8 *) key, key_length) >= 0 &&
	pg_hmac_update(context, (const uint8 *) data, length) >= 0 &&
	pg_hmac_final(context, digest, sizeof(digest)) >= 0;

	if (context != NULL)
		pg_hmac_free(context);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not compute HMAC-SHA256")));
	(void) hex_encode((const char *) digest, sizeof(digest), hex);
	return hex;
}

/* Compute a seal with the cluster's own nonce as key, in hexadecimal digits, palloc'd. */
static char *
make_seal(Oid serverid, Oid userid, const char *key_id, const ChpgSecret *secret)
{
	const char *texts[] = {key_id, secret->secret, secret->address.api_url,
	secret->address.proxy, secret->address.ca_file};
	StringInfoData data;

	initStringInfo(&data);
	appendStringInfo(&data, "%s %u %u %u", SEAL_PURPOSE, MyDatabaseId, serverid,
					 userid);
	for (int i = 0; i < lengthof(texts); i++)
	{
		appendStringInfoChar(&data, '\0');
		appendStringInfoString(&data, texts[i] ? texts[i] : "");
	}
	return chpg_hmac_sha256(GetMockAuthenticationNonce(), MOCK_AUTH_NONCE_LEN,
							data.data, data.len);
}

char *
chpg_bind_secret(Oid serverid, Oid userid, const char *key_id, char *key_secret,
				 ChpgAddress address)
{
	ChpgSecret	secret = {.secret = key_secret, .address = address};
	StringInfoData value;

	initStringInfo(&value);
	appendStringInfo(&value, "%s %s", key_secret, address.api_url);
	if (address.proxy != NULL)
		appendStringInfo(&value, " proxy=%s", address.proxy);
	appendStringInfo(&value, " seal=%s",
					 make_seal(serverid, userid, key_id, &secret));
	if (address.ca_file != NULL)
		appendStringInfo(&value, " ca_file=%s", address.ca_file);
	return value.data;
}

bool
chpg_is_sealed(Oid serverid, Oid userid, const char *key_id,
			   const ChpgSecret *secret)
{
	const char *seal;

	if (secret->seal == NULL)
		return false;
	seal = make_seal(serverid, userid, key_id, secret);
	return strlen(secret->seal) == strlen(seal) &&
		timingsafe_bcmp(secret->seal, seal, strlen(seal)) == 0;
}

/*
 * Owners
 */

/* The owner of the extension chpg, or InvalidOid. */
static Oid
extension_owner(void)
{
	Relation	catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("chpg"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return owner;
}

/*
 * Does a role stand for its members only?  One that can log in is somebody, whose
 * administrators are members, too; predefined roles stand for privileges.
 */
static bool
is_group(Oid roleid)
{
	HeapTuple	tuple;
	bool		can_login;

	if (roleid < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	if (!HeapTupleIsValid(tuple))
		return false;
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return !can_login;
}

/* Add the groups that the member was made a member of by the user or a superuser. */
static List *
add_granted_groups(List *roles, Oid member, Oid userid)
{
	CatCList   *list = SearchSysCacheList1(AUTHMEMMEMROLE,
										   ObjectIdGetDatum(member));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_auth_members grant =
		(Form_pg_auth_members) GETSTRUCT(&list->members[i]->tuple);

		if ((grant->grantor == userid || superuser_arg(grant->grantor)) &&
			chpg_grant_is_usable(grant) && is_group(grant->roleid))
			roles = list_append_unique_oid(roles, grant->roleid);
	}
	ReleaseSysCacheList(list);
	return roles;
}

bool
chpg_trusts(Oid userid, Oid owner)
{
	List	   *roles;

	if (owner == userid || superuser_arg(owner) || owner == extension_owner())
		return true;
	roles = list_make1_oid(userid);
	for (int i = 0; i < list_length(roles); i++)
		roles = add_granted_groups(roles, list_nth_oid(roles, i), userid);
	return list_member_oid(roles, owner);
}
