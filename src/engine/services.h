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
#include "engine/call.h"
#include "engine/connection.h"
#include "nodes/pg_list.h"

typedef struct ChpgService
{
	char	   *id;
	char	   *name;			/* NULL if not known */
	char	   *shown_name;		/* the same, fit for messages */
	char	   *state;			/* fit for messages; NULL if not known */
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

/* Is a service known to be in another state than running? */
extern bool chpg_service_is_down(const ChpgService *service);

/*
 * Let a failed call say in which state its service is, if that may be the reason: the
 * API does not say how it answers for a service that is not running.  Returns whether
 * it may.  An unknown state is looked up in the list, if wanted, for one request; errors
 * are those of the list.
 */
extern bool chpg_blame_state(ChpgCall *call, const ChpgConnection *connection,
							 const ChpgService *service, bool look_up);

/*
 * May a read of several services do without this one, whose call has failed?  So it may
 * if the service is gone, then *silently, if its state explains the failure, as
 * chpg_blame_state() says, and if the user may do without it (chpg.on_service_error).
 */
extern bool chpg_may_omit_service(ChpgCall *call, const ChpgConnection *connection,
								  const ChpgService *service, bool look_up,
								  bool *silently);

#endif							/* CHPG_SERVICES_H */
