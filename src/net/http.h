/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP transfers that a backend can wait for.
 *
 * A transfer is one request and its response.  Any number of them run at
 * once; they advance only while chpg_http_wait() waits, which is also where
 * query cancel, statement_timeout, termination and recovery conflicts act.
 *
 * Times are those of sockets.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_HTTP_H
#define CHPG_HTTP_H

#include "net/sockets.h"

typedef struct ChpgTransfer ChpgTransfer;

typedef struct ChpgHttpRequest
{
	const char *method;			/* "GET", "POST", ... */
	const char *url;			/* https, or http */
	const char *body;			/* JSON, or NULL */
	const char *user;			/* for HTTP Basic */
	const char *password;
	const char *ca_file;		/* CAs to trust instead of the system's, or
								 * NULL */
	const char *proxy;			/* URL, or NULL */
	bool		new_connection; /* use a connection of its own, since a kept
								 * one may turn out to be closed */
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds, for the whole transfer */
	size_t		max_size;		/* bytes of body, decompressed */
} ChpgHttpRequest;

typedef enum ChpgHttpOutcome
{
	CHPG_HTTP_ANSWERED,			/* a whole response, whatever its status */
	CHPG_HTTP_NOT_CONNECTED,	/* nothing of the request was sent */
	CHPG_HTTP_UNTRUSTED,		/* the same, since the peer's certificate is
								 * not valid */
	CHPG_HTTP_BROKEN,			/* sent, but no whole response came */
	CHPG_HTTP_TIMED_OUT,		/* sent, but no whole response came in time */
	CHPG_HTTP_MALFORMED,		/* sent, but what came is not HTTP */
	CHPG_HTTP_TOO_LARGE,		/* the response is over max_size */
	CHPG_HTTP_FAILED			/* a failure on this side, such as memory */
} ChpgHttpOutcome;

typedef struct ChpgHttpResponse
{
	ChpgHttpOutcome outcome;
	int			status;			/* HTTP status, or 0 */
	bool		has_end;		/* it said where it ends, by a length or
								 * otherwise */
	int64		retry_after;	/* seconds that Retry-After asks for, or 0 */
	const char *body;			/* NUL-terminated; belongs to the transfer */
	size_t		length;
	const char *error;			/* libcurl's words, unless answered */
	int64		wire_size;		/* bytes received: headers, and the body as it
								 * travels */
	int			connections;	/* that were opened for it */
} ChpgHttpResponse;

/*
 * Start a transfer that belongs to the given memory context: resetting the
 * context ends it.  Strings of the request need not outlive the call.
 */
extern ChpgTransfer *chpg_http_start(MemoryContext context,
									 const ChpgHttpRequest *request);
extern void chpg_http_end(ChpgTransfer *transfer);

/*
 * Let all transfers advance until an answer begins or ends, the latch is set,
 * or the given time is there.
 */
extern void chpg_http_wait(int64 until, ChpgWaitReason reason);

/* Sleep until the given time, while transfers advance. */
extern void chpg_http_sleep(int64 until);

/*
 * Whether a request that was not sent yet may be, while nobody waits for it but
 * for others.  True if that has ended the transfer, which is to be made anew.
 */
extern bool chpg_http_hold(ChpgTransfer *transfer, bool held);

/* Was any of the request sent, and when did the answer begin, or 0? */
extern bool chpg_http_sent(const ChpgTransfer *transfer);
extern int64 chpg_http_began(const ChpgTransfer *transfer);

/* The response, or NULL while the transfer is under way. */
extern const ChpgHttpResponse *chpg_http_response(ChpgTransfer *transfer);

/* A response header's value, in ASCII and palloc'd, or NULL. */
extern char *chpg_http_header(ChpgTransfer *transfer, const char *name);

/* Close the connections kept for later requests. */
extern void chpg_http_disconnect(void);

#endif							/* CHPG_HTTP_H */
