/*-------------------------------------------------------------------------
 *
 * budget.c
 *		When the next request with a key may be sent.
 *
 * The API allows a key so many requests in so much time, and refuses what is
 * over.  After such a refusal this backend sends nothing more with that key
 * until the API's own reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "budget.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

typedef struct KeyBudget
{
	char	   *api_url;
	char	   *key_id;
	int64		blocked_until;
} KeyBudget;

/* The keys that were refused, for the life of the backend. */
static List *budgets = NIL;

static KeyBudget *
find_budget(const ChpgConnection *connection)
{
	ListCell   *lc;

	foreach(lc, budgets)
	{
		KeyBudget  *budget = (KeyBudget *) lfirst(lc);

		if (strcmp(budget->key_id, connection->key_id) == 0 &&
			strcmp(budget->api_url, connection->api_url) == 0)
			return budget;
	}
	return NULL;
}

int64
chpg_budget_next(const ChpgConnection *connection)
{
	KeyBudget  *budget = find_budget(connection);

	return budget != NULL ? budget->blocked_until : 0;
}

void
chpg_budget_block(const ChpgConnection *connection, int64 until)
{
	KeyBudget  *budget = find_budget(connection);

	if (budget == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		budget = palloc0(sizeof(KeyBudget));
		budget->api_url = pstrdup(connection->api_url);
		budget->key_id = pstrdup(connection->key_id);
		budgets = lappend(budgets, budget);
		MemoryContextSwitchTo(caller);
	}
	budget->blocked_until = Max(budget->blocked_until, until);
}

double
chpg_budget_duration(const ChpgConnection *connection, int requests)
{
	if (connection->rate_requests == 0 || requests < 1)
		return 0;
	return (requests - 1) / connection->rate_requests * connection->rate_window;
}
