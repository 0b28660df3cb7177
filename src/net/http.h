/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP transfers that a backend can wait for.
 *
 * A transfer is one request and its response.  Any number of them run at
 * once.  They advance only while chpg_http_wait() waits, which is also where
 * query cancel, statement_timeout, termination and recovery conflicts act.
 *
 * Times are those of clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_HTTP_H
#define CHPG_HTTP_H

#include "net/sockets.h"

struct sockaddr;

typedef struct ChpgTransfer ChpgTransfer;

typedef struct ChpgHttpRequest
{
	const char *method;			/* "GET", "POST", ... */
	const char *url;			/* https, or http */
	const char *body;			/* JSON, or NULL */
	const char *user;			/* for HTTP Basic, or NULL */
	const char *password;
	const char *const *headers; /* more lines "Name: value", then NULL; or
								 * NULL */

	/*
	 * May it connect to this address?  Neither allocates nor throws.  NULL:
	 * to any.
	 */
	bool		(*accepts_address) (const struct sockaddr *address);
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
	CHPG_HTTP_UNTRUSTED,		/* nothing was sent, as the peer's certificate
								 * is not valid */
	CHPG_HTTP_BROKEN,			/* sent; the response is incomplete */
	CHPG_HTTP_TIMED_OUT,		/* sent; the response was not complete in time */
	CHPG_HTTP_MALFORMED,		/* sent; the response is not HTTP */
	CHPG_HTTP_TOO_LARGE,		/* the response is over max_size */
	CHPG_HTTP_FAILED			/* a failure on this side, such as memory */
} ChpgHttpOutcome;

typedef struct ChpgHttpResponse
{
	ChpgHttpOutcome outcome;
	int			status;			/* HTTP status, or 0 */
	bool		has_end;		/* it declares where it ends, by a length or
								 * otherwise */
	int64		retry_after;	/* seconds, of Retry-After, or 0 */
	const char *body;			/* NUL-terminated; belongs to the transfer */
	size_t		length;
	bool		address_refused;	/* accepts_address() refused an address */
	bool		is_host_unknown;	/* the host's name has no address */
	const char *error;			/* a sentence, mostly libcurl's, unless the
								 * outcome is CHPG_HTTP_ANSWERED */
	int64		wire_size;		/* bytes received: headers, and the body as it
								 * travels */
	int			connections;	/* connections opened for it */
} ChpgHttpResponse;

/*
 * Start a transfer that belongs to the given memory context: resetting the context
 * ends it.  Strings of the request need not outlive the call.  Nothing is sent before
 * chpg_http_wait().  Errors: 0A000 or 58000 if libcurl cannot be used, 53200, 53000 if
 * too many files are open.
 */
extern ChpgTransfer *chpg_http_start(MemoryContext context,
									 const ChpgHttpRequest *request);

/* End a transfer, and free it with its response. */
extern void chpg_http_end(ChpgTransfer *transfer);

/*
 * Let all transfers advance until a response begins or ends, the latch is set,
 * or the given time has come.  Checks for interrupts, whose errors it throws.
 */
extern void chpg_http_wait(int64 until, ChpgWaitReason reason);

/*
 * Hold a request back that was not sent yet, while the backend waits for something
 * else, or let it go.  True if holding has ended the transfer: start another.
 */
extern bool chpg_http_hold(ChpgTransfer *transfer, bool held);

/* Was any of the request sent? */
extern bool chpg_http_sent(const ChpgTransfer *transfer);

/* Return the time at which the response began, or 0. */
extern int64 chpg_http_began(const ChpgTransfer *transfer);

/* Return the response, which belongs to the transfer; NULL while it is under way. */
extern const ChpgHttpResponse *chpg_http_response(ChpgTransfer *transfer);

/* Return a response header's value, in ASCII and palloc'd, or NULL. */
extern char *chpg_http_header(ChpgTransfer *transfer, const char *name);

/* Close idle connections, unless a transfer is under way. */
extern void chpg_http_disconnect(void);

#endif							/* CHPG_HTTP_H */
