/*-------------------------------------------------------------------------
 *
 * planted.c
 *		Refusing tables that run somebody's code when they are changed.
 *
 * Whoever has TRIGGER or REFERENCES on a table, such as by GRANT ALL, has a
 * say in what changes of it run, and with whose rights.  A query sees the
 * catalogs as they were when its transaction's snapshot was taken, which may
 * be before a trigger was made; the executor sees what there is now, and so
 * does this.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(chpg_refuse_code);

static void
refuse_trigger(Relation relation, const Trigger *trigger)
{
	const char *table = RelationGetRelationName(relation);

	if (trigger->tgisinternal)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has a foreign key of table \"%s\", which is not chpg's",
						table, get_rel_name(trigger->tgconstrrelid)),
				 errhint("Drop that foreign key.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has a trigger \"%s\", which is not chpg's",
					table, trigger->tgname),
			 errhint("DROP TRIGGER %s ON %s.", quote_identifier(trigger->tgname),
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
												table))));
}

/*
 * _chpg_refuse_code(relation)
 *
 * Error 55000 if a table, or one of its partitions, has a trigger, a foreign key of
 * either direction, or a rule.  The caller holds a lock that lets nobody make one.
 */
Datum
chpg_refuse_code(PG_FUNCTION_ARGS)
{
	List	   *ids = find_all_inheritors(PG_GETARG_OID(0), AccessShareLock, NULL);
	ListCell   *cell;

	foreach(cell, ids)
	{
		Relation	relation = table_open(lfirst_oid(cell), AccessShareLock);

		if (relation->trigdesc != NULL && relation->trigdesc->numtriggers > 0)
			refuse_trigger(relation, &relation->trigdesc->triggers[0]);
		if (relation->rd_rules != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" has a rule, which is not chpg's",
							RelationGetRelationName(relation))));
		table_close(relation, AccessShareLock);
	}
	PG_RETURN_VOID();
}
