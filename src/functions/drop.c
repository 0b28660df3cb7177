/*-------------------------------------------------------------------------
 *
 * drop.c
 *		Saying what DROP EXTENSION leaves, and what goes with it.
 *
 * A history is no part of the extension, which has its name only; mutes and thresholds
 * of a database without a history are rows of the extension's tables.  What is said of
 * a table is said just before it is dropped.  A session in which nothing has loaded the
 * library says nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "functions/drop.h"
#include "protocol/resources.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Its only row has the history's schema; the rows of the others go. */
#define HISTORY_TABLE	"chpg_history_schema"

static const char *const tables[] = {HISTORY_TABLE, "chpg_finding_mute", "chpg_threshold", NULL};

static object_access_hook_type previous_hook = NULL;

static void
say_history_stays(Relation table, HeapTuple row)
{
	bool		isnull;
	AttrNumber	column = get_attnum(RelationGetRelid(table), "schema_name");
	Datum		value = heap_getattr(row, column, RelationGetDescr(table), &isnull);
	char	   *schema = NameStr(*DatumGetName(value));

	ereport(NOTICE,
			(errmsg("the history stays in schema \"%s\"", schema),
			 errdetail("So do mutes, thresholds, planned work and the log of findings, which have no effect any more."),
			 errhint("To go on with it, create the extension again and call chpg_history_enable(%s). "
					 "To remove it: DROP SCHEMA %s CASCADE;",
					 quote_literal_cstr(schema), quote_identifier(schema))));
}

/* Say what becomes of the rows of a table of the extension, just before it is dropped. */
static void
say_what_becomes(Oid id, const char *name)
{
	bool		is_history = strcmp(name, HISTORY_TABLE) == 0;
	Relation	table = table_open(id, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	int64		num_rows = 0;
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		num_rows++;
		if (is_history)
			say_history_stays(table, row);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	if (num_rows > 0 && !is_history)
		ereport(NOTICE,
				(errmsg("rows of table \"%s\" go with the extension: " INT64_FORMAT,
						name, num_rows)));
}

static void
watch_drop(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
	{
		const char *name = get_rel_name(object_id);
		Oid			extension = name != NULL && chpg_is_listed(tables, name) ?
		getExtensionOfObject(class_id, object_id) : InvalidOid;

		if (OidIsValid(extension) && extension == get_extension_oid("chpg", true))
			say_what_becomes(object_id, name);
	}
}

void
chpg_watch_drops(void)
{
	previous_hook = object_access_hook;
	object_access_hook = watch_drop;
}
