/*-------------------------------------------------------------------------
 *
 * import.h
 *		IMPORT FOREIGN SCHEMA, and the descriptions of tables and columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_IMPORT_H
#define CHPG_IMPORT_H

#include "foreign/fdwapi.h"

/*
 * Return the commands that create the foreign tables of a server: a table for each
 * resource, and with the option "window" one of the latest rows beside it.  Error: HV00Q
 * for a schema that is not CHPG_REMOTE_SCHEMA, and those of the options.
 */
extern List *chpgImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid server);

#endif							/* CHPG_IMPORT_H */
