/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between the versions of PostgreSQL and libcurl.
 *
 * The only file that looks at PG_VERSION_NUM or LIBCURL_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_COMPAT_H
#define CHPG_COMPAT_H

#include "access/stratnum.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "optimizer/appendinfo.h"
#include "optimizer/pathnode.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/datetime.h"
#include "utils/guc_tables.h"
#include "utils/jsonb.h"
#include "utils/rangetypes.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#include "storage/waiteventset.h"
#endif

#if PG_VERSION_NUM < 150000
#error "chpg requires PostgreSQL 15 or later"
#endif

/*
 * CURLOPT_QUICK_EXIT arrived in 7.87.0; without it a canceled statement waits
 * for a name server that does not answer.
 */
#if defined(LIBCURL_VERSION_NUM) && LIBCURL_VERSION_NUM < 0x075700
#error "chpg requires libcurl 7.87.0 or later"
#endif

/* Named in 8.6.0 only. */
#if defined(LIBCURL_VERSION_NUM) && LIBCURL_VERSION_NUM < 0x080600
#define CURLE_TOO_LARGE		((CURLcode) 100)
#endif

/*
 * Since 8.20.0, names are resolved by threads of the multi handle, which its
 * clean-up would wait for.
 */
#ifdef LIBCURL_VERSION_NUM
static inline void
chpg_set_multi_quick_exit(CURLM *multi)
{
#if LIBCURL_VERSION_NUM >= 0x081400
	(void) curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
}
#endif

/* Decode the fields of a time; the result is 0, or one of DTERR_.... */
static inline int
chpg_decode_datetime(char **fields, int *types, int count, int *type,
					 struct pg_tm *tm, fsec_t *fsec, int *zone)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(fields, types, count, type, tm, fsec, zone, &extra);
#else
	return DecodeDateTime(fields, types, count, type, tm, fsec, zone);
#endif
}

#if PG_VERSION_NUM < 180000
#define CHPG_MODULE_MAGIC PG_MODULE_MAGIC
#define pg_noreturn __attribute__((noreturn))
#else
#define CHPG_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "chpg", .version = CHPG_VERSION)
#endif

/* Create a set for one wait; the caller frees it. */
static inline WaitEventSet *
chpg_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(CurrentResourceOwner, nevents);
#else
	return CreateWaitEventSet(CurrentMemoryContext, nevents);
#endif
}

/* Return a wait event of this name; before 17, it is just "Extension". */
static inline uint32
chpg_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

#if PG_VERSION_NUM >= 190000
static inline void
chpg_initialize_segment(void *place, void *initialize)
{
	(*(void (**) (void *)) initialize) (place);
}
#endif

/* Return memory that all backends share without preloading; NULL before 17. */
static inline void *
chpg_named_segment(const char *name, Size size, void (*initialize) (void *place))
{
#if PG_VERSION_NUM >= 190000
	bool		found;

	return GetNamedDSMSegment(name, size, chpg_initialize_segment, &found,
							  &initialize);
#elif PG_VERSION_NUM >= 170000
	bool		found;

	return GetNamedDSMSegment(name, size, initialize, &found);
#else
	return NULL;
#endif
}

/* Create a tranche; each backend that uses it registers its name, too. */
static inline int
chpg_new_lwlock_tranche(const char *name)
{
#if PG_VERSION_NUM >= 190000
	return LWLockNewTrancheId(name);
#else
	return LWLockNewTrancheId();
#endif
}

/* Register a tranche's name; since 19 all backends know it. */
static inline void
chpg_register_lwlock_tranche(int tranche, const char *name)
{
#if PG_VERSION_NUM < 190000
	LWLockRegisterTranche(tranche, name);
#endif
}

/* As in 19: zeroed at first; "result" is set once the value is complete. */
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result;
	JsonbParseState *parseState;
} JsonbInState;
#endif

static inline void
chpg_push_jsonb(JsonbInState *state, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(state, token, value);
#else
	state->result = pushJsonbValue(&state->parseState, token, value);
#endif
}

/* Make a range that is not empty, palloc'd. */
static inline RangeType *
chpg_make_range(TypeCacheEntry *type, RangeBound *lower, RangeBound *upper)
{
#if PG_VERSION_NUM >= 160000
	return make_range(type, lower, upper, false, NULL);
#else
	return make_range(type, lower, upper, false);
#endif
}

/* List all settings, also those that no library has defined; palloc'd. */
static inline struct config_generic **
chpg_list_settings(int *number)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(number);
#else
	Size		size = GetNumConfigOptions() * sizeof(struct config_generic *);

	*number = GetNumConfigOptions();
	return memcpy(palloc(size), get_guc_variables(), size);
#endif
}

/*
 * Return when this server started, or restarted after a crash, which does not change
 * the postmaster's start time.  Before 17, this is called at that time.
 */
static inline TimestampTz
chpg_server_start(void)
{
#if PG_VERSION_NUM >= 170000
	int			count = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= count; i++)
	{
		const PgBackendStatus *status = &pgstat_get_local_beentry_by_index(i)->backendStatus;

		if (status->st_backendType == B_CHECKPOINTER)
			return status->st_proc_start_timestamp;
	}
#endif
	return GetCurrentTimestamp();
}

static inline bool
chpg_has_server_usage(Oid serverid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, userid,
						   ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(serverid, userid,
									  ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
chpg_has_wrapper_usage(Oid wrapperid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignDataWrapperRelationId, wrapperid, userid,
						   ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_data_wrapper_aclcheck(wrapperid, userid,
											ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
chpg_owns_server(Oid serverid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ForeignServerRelationId, serverid, userid);
#else
	return pg_foreign_server_ownercheck(serverid, userid);
#endif
}

/*
 * Does a membership let the member use, or become, the role?  Since 16, others do
 * neither, such as the one that the creator of a role gets.
 */
static inline bool
chpg_grant_is_usable(Form_pg_auth_members grant)
{
#if PG_VERSION_NUM >= 160000
	return grant->inherit_option || grant->set_option;
#else
	return true;
#endif
}

/* May a role become another one by SET ROLE? */
static inline bool
chpg_may_set_role(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

static inline bool
chpg_is_descending(const PathKey *pathkey)
{
#if PG_VERSION_NUM >= 180000
	return pathkey->pk_cmptype == COMPARE_GT;
#else
	return pathkey->pk_strategy == BTGreaterStrategyNumber;
#endif
}

/* Translate an expression over a parent, or its ancestors, to its child. */
static inline Node *
chpg_translate_to_child(PlannerInfo *root, RelOptInfo *child, Node *node)
{
#if PG_VERSION_NUM >= 160000
	return adjust_appendrel_attrs_multilevel(root, node, child, child->top_parent);
#else
	return adjust_appendrel_attrs_multilevel(root, node, child->relids,
											 child->top_parent_relids);
#endif
}

/*
 * A path that lacks a required condition must lose to any other path, also to one with
 * disabled nodes.  Before 18 the cost of disabled nodes counts; since 18 their number,
 * which an Append of a single path loses.
 */
#define CHPG_IMPOSSIBLE_COST	1.0e12
#define CHPG_IMPOSSIBLE_NODES	1000

static inline ForeignPath *
chpg_create_foreignscan_path(PlannerInfo *root, RelOptInfo *rel, double rows,
							 Cost startup_cost, Cost total_cost, bool possible,
							 List *pathkeys, Relids required_outer,
							 List *fdw_private)
{
	return create_foreignscan_path(root, rel, NULL, rows,
#if PG_VERSION_NUM >= 180000
								   possible ? 0 : CHPG_IMPOSSIBLE_NODES,
#endif
								   startup_cost, total_cost, pathkeys,
								   required_outer, NULL,
#if PG_VERSION_NUM >= 170000
								   NIL,
#endif
								   fdw_private);
}

/* Return the role whose key a scan uses: the owner of its view, if it is in one. */
static inline Oid
chpg_scan_user(const ScanState *scan)
{
	const ForeignScan *plan = (const ForeignScan *) scan->ps.plan;
#if PG_VERSION_NUM >= 160000
	return OidIsValid(plan->checkAsUser) ? plan->checkAsUser : GetUserId();
#else
	int			rti = plan->scan.scanrelid;
	const RangeTblEntry *rte = exec_rt_fetch(rti, scan->ps.state);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

#endif							/* CHPG_COMPAT_H */
