/*-------------------------------------------------------------------------
 *
 * services.h
 *		Which organization, and which of its services, a call concerns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SERVICES_H
#define CHPG_SERVICES_H

#include "compat.h"
#include "engine/connection.h"
#include "nodes/pg_list.h"

typedef struct ChpgService
{
	char	   *id;
	char	   *name;			/* NULL if not known */
	char	   *shown_name;		/* the same, fit for messages */
} ChpgService;

typedef struct ChpgOrganization
{
	char	   *id;
	char	   *name;			/* NULL if the API does not say */
} ChpgOrganization;

/* List all organizations of the key, as ChpgOrganization.  One request for each page. */
extern List *chpg_list_organizations(const ChpgConnection *connection);

/*
 * Throw error 08P01, since so many organizations are not one; the hint is for
 * more than one.
 */
pg_noreturn extern void chpg_report_organizations(const ChpgConnection *connection,
												  int count, const char *hint);

/*
 * Fill in organization_id where the server does not say it.  One request for
 * the first call of a backend with a key.
 */
extern void chpg_discover_organization(ChpgConnection *connection);

/*
 * Find the service of an id (no request) or a name (one request); or, given NULL, list
 * all services that are neither being created nor deleted (one request).  Finds a
 * service that was created just now also if the list lacks it.  Errors:
 * 42704 (no such service), 42712 (several of that name).
 */
extern List *chpg_find_services(const ChpgConnection *connection,
								const char *service);

/* List all services, in any state, as ChpgService.  One request. */
extern List *chpg_list_services(const ChpgConnection *connection);

/*
 * Find the services with these ids.  An id that looks like one costs no request, and
 * is returned whether there is such a service or not.  One request finds all others;
 * those that are no ids are left out, with a NOTICE, if wanted, for a name.
 */
extern List *chpg_services_with_ids(const ChpgConnection *connection, List *ids,
									bool notice_names);

#endif							/* CHPG_SERVICES_H */
