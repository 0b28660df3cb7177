/*-------------------------------------------------------------------------
 *
 * chpg.c
 *		ClickHouse Cloud's Managed Postgres as SQL: the module.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "engine/keys.h"
#include "fmgr.h"
#include "functions/drop.h"
#include "net/addresses.h"
#include "settings.h"

CHPG_MODULE_MAGIC;

void		_PG_init(void);

static bool
is_networks(const char *text)
{
	ChpgNetworks networks;

	return chpg_parse_networks(text, &networks);
}

/*
 * Define the settings, request shared memory and watch drops.  The postmaster may load
 * the library, and libcurl's handles do not survive a fork: all else happens at the
 * first request.
 */
void
_PG_init(void)
{
	chpg_define_settings(is_networks);
	chpg_keys_prepare();
	chpg_watch_drops();
}
