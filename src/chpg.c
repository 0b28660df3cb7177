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
#include "settings.h"

CHPG_MODULE_MAGIC;

void		_PG_init(void);

/*
 * The postmaster may load us, and libcurl's handles do not survive a fork:
 * everything but settings and shared memory waits for the first request.
 */
void
_PG_init(void)
{
	chpg_define_settings();
	chpg_keys_prepare();
}
