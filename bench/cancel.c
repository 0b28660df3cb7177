/*-------------------------------------------------------------------------
 *
 * cancel.c
 *		How long a cancel takes to reach the client.
 *
 *	cancel COUNT_URL SAMPLES SETUP QUERY
 *
 * Runs QUERY, which asks something that never answers, waits until the number
 * at COUNT_URL (of the requests that arrived) has grown, cancels the backend
 * from another session, and prints the milliseconds until the error is there;
 * so many times.  SETUP is run once before.  libpq's environment says where.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS 30000

static void
fail(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	fputs("cancel: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static PGconn *
connect_session(void)
{
	PGconn	   *session = PQconnectdb("");

	if (PQstatus(session) != CONNECTION_OK)
		fail("%s", PQerrorMessage(session));
	return session;
}

static void
run(PGconn *session, const char *sql)
{
	PGresult   *result = PQexec(session, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK &&
		PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("%s", PQerrorMessage(session));
	PQclear(result);
}

static size_t
read_number(char *data, size_t size, size_t count, void *argument)
{
	*(long *) argument = strtol(data, NULL, 10);
	return size * count;
}

static long
count_requests(CURL *curl)
{
	long		number = -1;

	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, read_number);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &number);
	if (curl_easy_perform(curl) != CURLE_OK || number < 0)
		fail("nobody counts requests");
	return number;
}

static void
await_request(CURL *curl, long before)
{
	double		deadline = now() + PATIENCE_MS;

	while (count_requests(curl) == before)
	{
		if (now() > deadline)
			fail("no request arrived");
	}
}

/* The error of the session's query, or whatever ended it instead. */
static void
await_cancel(PGconn *session)
{
	PGresult   *result = PQgetResult(session);
	const char *error = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (error == NULL || strstr(error, "due to user request") == NULL)
		fail("not canceled: %s", PQresultErrorMessage(result));
	PQclear(result);
}

static double
sample(CURL *curl, PGconn *session, PGconn *other, const char *query)
{
	long		before = count_requests(curl);
	char		cancel[64];
	double		start;
	double		end;

	snprintf(cancel, sizeof(cancel), "SELECT pg_cancel_backend(%d)",
			 PQbackendPID(session));
	if (!PQsendQuery(session, query))
		fail("%s", PQerrorMessage(session));
	await_request(curl, before);
	start = now();
	if (!PQsendQuery(other, cancel))
		fail("%s", PQerrorMessage(other));
	await_cancel(session);
	end = now();
	while (PQgetResult(session) != NULL)
		;
	while (PQgetResult(other) != NULL)
		;
	return end - start;
}

int
main(int argc, char **argv)
{
	CURL	   *curl = curl_easy_init();
	PGconn	   *session;
	PGconn	   *other;

	if (argc != 5)
		fail("usage: cancel COUNT_URL SAMPLES SETUP QUERY");
	curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
	session = connect_session();
	other = connect_session();
	run(session, argv[3]);
	for (int i = atoi(argv[2]); i > 0; i--)
		printf("%.3f\n", sample(curl, session, other, argv[4]));
	PQfinish(other);
	PQfinish(session);
	curl_easy_cleanup(curl);
	return 0;
}
