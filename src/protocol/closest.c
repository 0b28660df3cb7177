/*-------------------------------------------------------------------------
 *
 * closest.c
 *		Which of several names was meant by one that does not exist.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "protocol/closest.h"
#include "protocol/remote_text.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(chpg_closest);

/* The most bytes of names that are compared. */
#define MAX_LENGTH		128

/* The most letters that may differ; at most half of those of the name. */
#define MAX_DISTANCE	4

/* The fewest bytes that a beginning has, and a part. */
#define MIN_BEGINNING	3
#define MIN_PART		4

/* Fold a name: in lower case, without blanks and quotes around it; NULL if it is too long. */
static char *
fold(const char *name)
{
	static const char around[] = " \t\r\n'\"`";
	size_t		length;

	name += strspn(name, around);
	length = strlen(name);
	while (length > 0 && strchr(around, name[length - 1]) != NULL)
		length--;
	if (length == 0 || length > MAX_LENGTH)
		return NULL;
	return str_tolower(name, length, DEFAULT_COLLATION_OID);
}

/*
 * How far a folded name is from the one that is wanted; more than the most if it is not
 * close.  One that is a part of the other is farther than any that is similar.
 */
static int
distance_to(const ChpgClosest *closest, const char *name)
{
	int			wanted_length = strlen(closest->wanted);
	int			length = strlen(name);
	int			most = Min(MAX_DISTANCE, wanted_length / 2);
	int			distance;

	if (strcmp(closest->wanted, name) == 0)
		return 0;
	if (wanted_length >= MIN_BEGINNING && strncmp(closest->wanted, name, wanted_length) == 0)
		return 1;
	if (length > MAX_LENGTH)
		return PG_INT32_MAX;
	distance = varstr_levenshtein_less_equal(closest->wanted, wanted_length, name, length,
											 1, 1, 1, most, false);
	if (distance <= most)
		return distance;
	if ((wanted_length >= MIN_PART && strstr(name, closest->wanted) != NULL) ||
		(length >= MIN_PART && strstr(closest->wanted, name) != NULL))
		return MAX_DISTANCE + 1;
	return PG_INT32_MAX;
}

void
chpg_closest_begin(ChpgClosest *closest, const char *wanted)
{
	closest->wanted = fold(wanted);
	closest->match = NULL;
	closest->distance = PG_INT32_MAX;
}

void
chpg_closest_add(ChpgClosest *closest, const char *name)
{
	char	   *folded;
	int			distance;

	if (name == NULL || closest->wanted == NULL)
		return;
	folded = fold(name);
	if (folded == NULL)
		return;
	distance = distance_to(closest, folded);
	if (distance < closest->distance)
	{
		closest->match = name;
		closest->distance = distance;
	}
	pfree(folded);
}

const char *
chpg_closest_question(const ChpgClosest *closest)
{
	if (closest->match == NULL)
		return "";
	return psprintf(": did you mean \"%s\"?", chpg_clean_remote(pstrdup(closest->match)));
}

/*
 * _chpg_closest(wanted, names): the end of a primary message, such as ': did you mean
 * "time"?'
 */
Datum
chpg_closest(PG_FUNCTION_ARGS)
{
	ChpgClosest closest;
	Datum	   *names;
	bool	   *nulls;
	int			count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &count);
	chpg_closest_begin(&closest, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			chpg_closest_add(&closest, TextDatumGetCString(names[i]));
	}
	PG_RETURN_TEXT_P(cstring_to_text(chpg_closest_question(&closest)));
}
