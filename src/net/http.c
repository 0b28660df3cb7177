/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP transfers that a backend can wait for.
 *
 * One libcurl multi handle per backend keeps connections and TLS sessions
 * between statements.  The backend waits for its sockets, the process latch and the
 * earliest deadline in one WaitEventSet, so that everything that can interrupt
 * a backend interrupts a transfer as well.  (curl_easy_perform() with a
 * progress callback does not: the backend would absorb no signal barriers, and
 * DROP DATABASE elsewhere would hang.)
 *
 * libcurl's callbacks must not throw, or libcurl considers itself inside the
 * callback forever and refuses to free anything.  They write to malloc'd memory, and
 * set flags that the loop in chpg_http_wait() reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "ascii.h"
#include "compat.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "net/http.h"
#include "net/inflate.h"
#include "net/clock.h"
#include "net/sockets.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* Connections kept open between requests, and their longest idle time in seconds */
#define MAX_IDLE_CONNECTIONS	16L
#define MAX_IDLE_TIME			60L

/* All headers of a response together; libcurl keeps them in memory. */
#define MAX_HEADER_SIZE			(256 * 1024)

/* Socket events taken from the kernel at once; the next turn takes the others */
#define MAX_EVENTS				32

/* A transfer lives in a memory context of its own, whose reset releases it. */
struct ChpgTransfer
{
	CURL	   *easy;
	struct curl_slist *headers;
	bool		attached;		/* part of the multi handle */
	bool		reserved;		/* counted as an external file descriptor */
	bool		done;
	ChpgHttpResponse response;
	char	   *body;			/* malloc'd */
	size_t		length;
	size_t		allocated;
	size_t		max_size;
	size_t		header_size;
	bool		in_head;		/* the response's headers have not ended */
	ChpgInflate *inflate;		/* for a compressed body, once it begins */
	bool		has_body;		/* it has begun */
	bool		unreadable;		/* an error's body, in an unknown coding */
	bool		sent;			/* the request was sent, or is about to be */
	bool		held;			/* the request must not be sent now */
	bool		stopped;		/* the transfer ended because it was held */
	int64		began;			/* when the response began, or 0 */
	bool		(*accepts_address) (const struct sockaddr *address);
	bool		address_refused;
	bool		too_large;
	bool		out_of_memory;
	const char *malformed;		/* a sentence on a malformed response, or NULL */
	char		error[CURL_ERROR_SIZE];
	MemoryContext context;
	MemoryContextCallback callback;
};

static CURLM *multi = NULL;
static bool multi_broken = false;	/* to be replaced once unused */
static int	active_transfers = 0;

/* Time of libcurl's timer, at which to call curl_multi_socket_action() */
static int64 timer = CHPG_FOREVER;

/* A response has begun since chpg_http_wait() was called */
static bool response_began = false;

/*
 * Callbacks of libcurl
 */

/* Append to the body; false without memory. */
static bool
append_body(ChpgTransfer *transfer, const char *data, size_t length)
{
	size_t		needed = transfer->length + length + 1;

	if (needed > transfer->allocated)
	{
		size_t		allocate = Max(transfer->allocated * 2, needed);
		char	   *body = realloc(transfer->body, allocate);

		if (body == NULL)
			return false;
		transfer->body = body;
		transfer->allocated = allocate;
	}
	memcpy(transfer->body + transfer->length, data, length);
	transfer->length += length;
	transfer->body[transfer->length] = '\0';
	return true;
}

/*
 * Accept a part of the decompressed body; false, with a flag set, if the body
 * gets too large or memory is short.
 */
static bool
take_body(const char *data, size_t length, void *arg)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;

	if (length > transfer->max_size - transfer->length)
		transfer->too_large = true;
	else if (!append_body(transfer, data, length))
		transfer->out_of_memory = true;
	return !transfer->too_large && !transfer->out_of_memory;
}

/*
 * Return the value of a header of the response, or NULL. It belongs to
 * libcurl.
 */
static const char *
header_value(const ChpgTransfer *transfer, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1,
						 &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

/* Return the content encoding of the response. */
static ChpgCoding
response_coding(const ChpgTransfer *transfer)
{
	return chpg_content_coding(header_value(transfer, "Content-Encoding"));
}

/*
 * Prepare for the body's content encoding, before its first byte.  False, with
 * a flag set, if the body cannot be read; the body of an error may remain
 * unread, as its status is enough.
 */
static bool
begin_body(ChpgTransfer *transfer)
{
	long		status = 0;

	transfer->has_body = true;
	switch (response_coding(transfer))
	{
		case CHPG_CODING_NONE:
			break;
		case CHPG_CODING_GZIP:
		case CHPG_CODING_DEFLATE:
			transfer->inflate = chpg_inflate_create(response_coding(transfer));
			transfer->out_of_memory = transfer->inflate == NULL;
			break;
		case CHPG_CODING_UNKNOWN:
			(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
			if (status >= 400)
				transfer->unreadable = true;
			else
				transfer->malformed = "The content encoding of the response is unknown";
			break;
	}
	return !transfer->out_of_memory && transfer->malformed == NULL;
}

/*
 * Callback: receive a part of the body.  Another result than its length ends
 * the transfer.
 */
static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;
	size_t		length = size * count;

	if (!transfer->has_body && !begin_body(transfer))
		return 0;
	if (transfer->unreadable)
		return length;
	if (transfer->inflate == NULL)
		return take_body(data, length, transfer) ? length : 0;
	switch (chpg_inflate(transfer->inflate, data, length, take_body, transfer))
	{
		case CHPG_INFLATE_OK:
			return length;
		case CHPG_INFLATE_MALFORMED:
			transfer->malformed = "The compressed response is corrupt";
			break;
		case CHPG_INFLATE_NO_MEMORY:
			transfer->out_of_memory = true;
			break;
		case CHPG_INFLATE_STOPPED:
			break;				/* take_body() has set the reason */
	}
	return 0;
}

/* Callback: receive a header line, and notice that the response begins. */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;

	if (transfer->began == 0)
	{
		transfer->began = chpg_now();
		response_began = true;
	}
	if (size * count >= 5 && memcmp(data, "HTTP/", 5) == 0)
		transfer->in_head = true;
	else if (size * count <= 2)
		transfer->in_head = false;	/* the empty line */
	transfer->header_size += size * count;
	if (transfer->header_size > MAX_HEADER_SIZE)
	{
		transfer->too_large = true;
		return 0;
	}
	return size * count;
}

/*
 * Callback: a connection is ready for the request.  When a kept connection
 * turns out to be closed, libcurl would send the request a second time by
 * itself; retries are up to the caller, so that ends the transfer.
 */
static int
on_send(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;

	transfer->stopped = transfer->held;
	if (transfer->sent || transfer->held)
		return CURL_PREREQFUNC_ABORT;
	transfer->sent = true;
	return CURL_PREREQFUNC_OK;
}

/*
 * Callback: open a socket for an address that the host's name resolved to, unless
 * the request must not go there.  libcurl then tries the name's next address.
 */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;
	curl_socket_t fd;

	if (!transfer->accepts_address(&address->addr))
	{
		transfer->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype, address->protocol);
	if (fd != CURL_SOCKET_BAD)
		(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/* Callback: watch a socket, or stop watching it. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	if (what == CURL_POLL_REMOVE)
	{
		chpg_unwatch_socket(fd);
		return 0;
	}
	return chpg_watch_socket(fd, (what & CURL_POLL_IN) != 0,
							 (what & CURL_POLL_OUT) != 0) ? 0 : -1;
}

/*
 * Callback: set the timer, as an absolute time, which a wake-up for another
 * reason does not restart.
 */
static int
on_timer(CURLM *handle, long timeout_ms, void *arg)
{
	if (timeout_ms < 0)
		timer = CHPG_FOREVER;
	else
		timer = chpg_now() + (int64) timeout_ms * 1000;
	return 0;
}

/*
 * The multi handle
 */

/*
 * Block all signals while libcurl works.  It starts threads to resolve names,
 * which inherit the signal mask, and only the main thread may handle signals.
 */
static void
block_signals(sigset_t *save)
{
	sigprocmask(SIG_SETMASK, &BlockSig, save);
}

/* Restore the signal mask. */
static void
restore_signals(const sigset_t *save)
{
	sigprocmask(SIG_SETMASK, save, NULL);
}

/* Free the multi handle, with its connections.  No transfer may use it. */
static void
discard_multi(void)
{
	sigset_t	save;

	block_signals(&save);
	(void) curl_multi_cleanup(multi);
	restore_signals(&save);
	multi = NULL;
	multi_broken = false;
	chpg_unwatch_all_sockets();
	timer = CHPG_FOREVER;
}

/* Throw error 0A000 if libcurl blocks while it resolves names. */
static void
check_library(void)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if ((info->features & CURL_VERSION_ASYNCHDNS) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("libcurl on this machine lacks asynchronous name resolution"),
				 errdetail("A statement that resolves a name could not be canceled."),
				 errhint("Install a libcurl that was built with a threaded resolver or c-ares.")));
}

/* Create the multi handle of this backend.  Errors: 0A000, 53200, 58000. */
static void
create_multi(void)
{
	static bool initialized = false;
	CURLMcode	rc;

	if (!initialized)
	{
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			ereport(ERROR,
					(errcode(ERRCODE_SYSTEM_ERROR),
					 errmsg("could not initialize libcurl")));
		initialized = true;
	}
	check_library();

	multi = curl_multi_init();
	if (multi == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	rc = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
							   MAX_IDLE_CONNECTIONS);
	chpg_set_multi_quick_exit(multi);
	if (rc != CURLM_OK)
	{
		discard_multi();
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libcurl: %s",
						curl_multi_strerror(rc))));
	}
}

/*
 * Transfers
 */

/*
 * Release what a transfer holds.  As a memory context's callback, it copes
 * with any state, and does not throw.
 */
static void
release_transfer(void *arg)
{
	ChpgTransfer *transfer = (ChpgTransfer *) arg;
	sigset_t	save;

	block_signals(&save);
	if (transfer->attached)
	{
		/*
		 * An abandoned name look-up goes on in a thread, and new versions of
		 * libcurl have few threads for each multi handle.
		 */
		if (!transfer->done && !transfer->sent)
			multi_broken = true;
		(void) curl_multi_remove_handle(multi, transfer->easy);
	}
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	restore_signals(&save);
	free(transfer->body);
	chpg_inflate_free(transfer->inflate);
	if (transfer->reserved)
		ReleaseExternalFD();
	if (transfer->attached)
		active_transfers--;
	transfer->easy = NULL;
	transfer->headers = NULL;
	transfer->body = NULL;
	transfer->inflate = NULL;
	transfer->reserved = false;
	transfer->attached = false;
}

/* Throw error 53200 or 58000 unless libcurl has accepted an option. */
static void
check_option(CURLcode rc)
{
	if (rc == CURLE_OK)
		return;
	ereport(ERROR,
			(errcode(rc == CURLE_OUT_OF_MEMORY ?
					 ERRCODE_OUT_OF_MEMORY : ERRCODE_SYSTEM_ERROR),
			 errmsg("could not prepare HTTP request: %s",
					curl_easy_strerror(rc)),
			 rc == CURLE_UNKNOWN_OPTION ?
			 errhint("libcurl on this machine is older than the version that chpg was built with.") : 0));
}

/* Append a header to the request.  Error 53200. */
static void
append_header(ChpgTransfer *transfer, const char *header)
{
	struct curl_slist *headers = curl_slist_append(transfer->headers, header);

	if (headers == NULL)
		check_option(CURLE_OUT_OF_MEMORY);
	transfer->headers = headers;
}

/* Is the request encrypted? */
static bool
is_https(const ChpgHttpRequest *request)
{
	return strncmp(request->url, "https:", 6) == 0;
}

/*
 * Set what decides to whom the request goes, and with which key.  The
 * environment has no say, and redirects are not followed.
 */
static void
set_security_options(CURL *easy, const ChpgHttpRequest *request)
{
	check_option(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
								  is_https(request) ? "https" : "http"));
	check_option(curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L));
	check_option(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L));
	check_option(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L));
	check_option(curl_easy_setopt(easy, CURLOPT_SSLVERSION,
								  (long) CURL_SSLVERSION_TLSv1_2));
	if (request->ca_file != NULL)
	{
		check_option(curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file));
		check_option(curl_easy_setopt(easy, CURLOPT_CAPATH, NULL));
	}

	/* An empty proxy makes libcurl ignore the environment's. */
	check_option(curl_easy_setopt(easy, CURLOPT_PROXY,
								  request->proxy ? request->proxy : ""));
	check_option(curl_easy_setopt(easy, CURLOPT_NOPROXY, ""));
	check_option(curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L));
	check_option(curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC));
	check_option(curl_easy_setopt(easy, CURLOPT_USERNAME, request->user));
	check_option(curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password));
}

/* Set timeouts, and how connections are used. */
static void
set_transfer_options(CURL *easy, const ChpgHttpRequest *request)
{
	check_option(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
	check_option(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
	check_option(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
								  (long) request->connect_timeout));
	check_option(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
								  (long) request->timeout));
	check_option(curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, MAX_IDLE_TIME));
	check_option(curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
								  (long) CURL_HTTP_VERSION_2TLS));
	check_option(curl_easy_setopt(easy, CURLOPT_USERAGENT,
								  "chpg/" CHPG_VERSION " PostgreSQL/" PG_MAJORVERSION));
	if (request->new_connection)
	{
		check_option(curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L));
		check_option(curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L));
	}
	else if (is_https(request))
	{
		/*
		 * Prefer to share an HTTP/2 connection over opening another.  Only
		 * for https, where the TLS handshake negotiates HTTP/2; in plain HTTP
		 * all requests would wait for the first response.
		 */
		check_option(curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L));
	}
}

/* Set the request itself, and the callbacks. */
static void
set_request(ChpgTransfer *transfer, const ChpgHttpRequest *request)
{
	CURL	   *easy = transfer->easy;

	check_option(curl_easy_setopt(easy, CURLOPT_URL, request->url));
	check_option(curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L));
	check_option(curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method));
	append_header(transfer, "Accept: application/json, */*;q=0.5");
	append_header(transfer, "Accept-Encoding: " CHPG_CONTENT_CODINGS);
	if (request->body != NULL)
	{
		append_header(transfer, "Content-Type: application/json");
		check_option(curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
									  request->body));
	}
	else if (strncmp(request->method, "P", 1) == 0)
	{
		/* POST, PUT and PATCH state that their body is empty. */
		append_header(transfer, "Content-Type: application/json");
		check_option(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L));
		check_option(curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, ""));
	}
	for (int i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
		append_header(transfer, request->headers[i]);
	check_option(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers));
	check_option(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error));
	check_option(curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer));
	check_option(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
	check_option(curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer));
	check_option(curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header));
	check_option(curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer));
	check_option(curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send));
	check_option(curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer));
	if (request->accepts_address != NULL)
	{
		transfer->accepts_address = request->accepts_address;
		check_option(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket));
		check_option(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer));
	}
}

/*
 * Add the transfer to the multi handle; libcurl then asks for its timer, and
 * starts in chpg_http_wait().
 */
static void
attach(ChpgTransfer *transfer)
{
	sigset_t	save;
	CURLMcode	rc;

	block_signals(&save);
	rc = curl_multi_add_handle(multi, transfer->easy);
	restore_signals(&save);
	if (rc != CURLM_OK)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not start HTTP request: %s",
						curl_multi_strerror(rc))));
	transfer->attached = true;
	active_transfers++;
}

ChpgTransfer *
chpg_http_start(MemoryContext context, const ChpgHttpRequest *request)
{
	ChpgTransfer *transfer;
	MemoryContext own;

	if (multi_broken && active_transfers == 0)
		discard_multi();
	if (multi == NULL)
		create_multi();

	own = AllocSetContextCreate(context, "chpg transfer",
								ALLOCSET_SMALL_SIZES);
	transfer = MemoryContextAllocZero(own, sizeof(ChpgTransfer));
	transfer->context = own;
	transfer->max_size = request->max_size;

	/* Arm the clean-up before anything is acquired. */
	transfer->callback.func = release_transfer;
	transfer->callback.arg = transfer;
	MemoryContextRegisterResetCallback(own, &transfer->callback);

	transfer->reserved = AcquireExternalFD();
	if (!transfer->reserved)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not open a connection to the API: %m"),
				 errhint("Too many files are open; lower \"chpg.max_concurrency\" or raise \"max_files_per_process\".")));
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
		check_option(CURLE_OUT_OF_MEMORY);
	set_security_options(transfer->easy, request);
	set_transfer_options(transfer->easy, request);
	set_request(transfer, request);
	attach(transfer);
	return transfer;
}

void
chpg_http_end(ChpgTransfer *transfer)
{
	MemoryContextDelete(transfer->context);
}

/* Map the result of a transfer to an outcome. */
static ChpgHttpOutcome
classify(ChpgTransfer *transfer, CURLcode rc)
{
	/* Old versions of libcurl report a long header as lack of memory. */
	if (transfer->too_large || rc == CURLE_TOO_LARGE ||
		(rc == CURLE_OUT_OF_MEMORY && transfer->header_size > 0))
		return CHPG_HTTP_TOO_LARGE;
	if (transfer->out_of_memory || rc == CURLE_OUT_OF_MEMORY)
		return transfer->sent ? CHPG_HTTP_BROKEN : CHPG_HTTP_FAILED;
	if (transfer->malformed != NULL)
		return CHPG_HTTP_MALFORMED;
	switch (rc)
	{
		case CURLE_OK:
			return CHPG_HTTP_ANSWERED;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return CHPG_HTTP_UNTRUSTED;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_WEIRD_SERVER_REPLY:
			return CHPG_HTTP_MALFORMED;
		default:
			break;
	}
	if (!transfer->sent)
		return CHPG_HTTP_NOT_CONNECTED;
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return CHPG_HTTP_TIMED_OUT;
	return CHPG_HTTP_BROKEN;
}

/*
 * Make a text from the peer, or about it, fit for messages: its encoding is
 * unknown, so only ASCII stays.
 */
static void
clean_text(char *text)
{
	size_t		length = strlen(text);

	if (length > 0 && text[length - 1] == '.')
		text[length - 1] = '\0';
	for (char *p = text; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			*p = '?';
	}
}

/*
 * Return the seconds of the header Retry-After, from a whole number or an HTTP
 * date; 0 for anything else.
 */
static int64
retry_after(const ChpgTransfer *transfer)
{
	const char *value = header_value(transfer, "Retry-After");
	curl_off_t	seconds = 0;
	size_t		length;

	if (value == NULL)
		return 0;
	length = strlen(value);
	if (strspn(value, "0123456789") != length &&
		(length < 4 || strcmp(value + length - 4, " GMT") != 0 ||
		 curl_getdate(value, NULL) == -1))
		return 0;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &seconds);
	return (int64) seconds;
}

/*
 * Return a sentence on what a response lacks that libcurl takes for complete,
 * or NULL.
 */
static const char *
missing_part(const ChpgTransfer *transfer, int status)
{
	if (transfer->in_head)
		return "The connection was closed within the headers";
	if (transfer->inflate != NULL ?
		!chpg_inflate_ended(transfer->inflate) :
		!transfer->has_body && status == 200 &&
		response_coding(transfer) != CHPG_CODING_NONE)
		return "The compressed response is truncated";
	return NULL;
}

/*
 * Did the response declare where it ends?  Otherwise the connection's end is
 * its end, and a part of it looks complete.
 */
static bool
has_end(const ChpgTransfer *transfer)
{
	curl_off_t	announced = -1;
	long		version = 0;
	const char *transfer_encoding = header_value(transfer, "Transfer-Encoding");

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
							 &announced);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	return announced >= 0 || version >= CURL_HTTP_VERSION_2_0 ||
		transfer->inflate != NULL ||
		(transfer_encoding != NULL &&
		 chpg_same_in_any_case(transfer_encoding, "chunked"));
}

/* Fill in the response of a transfer that has ended. */
static void
finish(ChpgTransfer *transfer, CURLcode rc)
{
	const char *problem = NULL;
	ChpgHttpResponse *response = &transfer->response;
	long		status = 0;
	curl_off_t	body_size = 0;
	long		header_size = 0;
	long		connections = 0;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &body_size);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_HEADER_SIZE, &header_size);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections);
	response->wire_size = body_size + header_size;
	response->connections = (int) connections;
	response->outcome = classify(transfer, rc);
	response->address_refused = transfer->address_refused;
	response->is_host_unknown = rc == CURLE_COULDNT_RESOLVE_HOST;
	response->has_end = has_end(transfer);
	response->status = (int) status;
	response->retry_after = retry_after(transfer);
	response->body = transfer->body ? transfer->body : "";
	response->length = transfer->length;
	if (rc == CURLE_OK)
	{
		problem = missing_part(transfer, (int) status);
		if (problem != NULL)
			response->outcome = CHPG_HTTP_BROKEN;
	}
	else if (transfer->malformed != NULL)
		problem = transfer->malformed;
	else if (rc == CURLE_ABORTED_BY_CALLBACK)
		problem = "The connection was closed without a response";
	if (rc != CURLE_OK || problem != NULL)
	{
		if (problem != NULL)
			strlcpy(transfer->error, problem, sizeof(transfer->error));
		else if (transfer->error[0] == '\0')
			strlcpy(transfer->error, curl_easy_strerror(rc),
					sizeof(transfer->error));
		clean_text(transfer->error);
		response->error = transfer->error;
	}
	transfer->done = true;
}

/* Finish the transfers that have ended; returns whether any has. */
static bool
collect_finished(void)
{
	CURLMsg    *message;
	int			left;
	bool		any = false;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		char	   *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
								 &transfer);
		finish((ChpgTransfer *) transfer, message->data.result);
		any = true;
	}
	return any;
}

/* Let libcurl work on a socket, or on its timer.  Error 58000. */
static void
advance(curl_socket_t fd, int events)
{
	sigset_t	save;
	int			running;
	CURLMcode	rc;

	block_signals(&save);
	rc = curl_multi_socket_action(multi, fd, events, &running);
	restore_signals(&save);
	if (rc != CURLM_OK)
	{
		multi_broken = true;
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not continue HTTP request: %s",
						curl_multi_strerror(rc))));
	}
}

void
chpg_http_wait(int64 until, ChpgWaitReason reason)
{
	ChpgSocketEvent events[MAX_EVENTS];
	bool		latch_set = false;

	response_began = false;
	for (;;)
	{
		int			n;

		CHECK_FOR_INTERRUPTS();
		n = chpg_wait_for_sockets(Min(timer, until), reason, events, MAX_EVENTS,
								  &latch_set);
		for (int i = 0; i < n; i++)
			advance(events[i].fd,
					(events[i].readable ? CURL_CSELECT_IN : 0) |
					(events[i].writeable ? CURL_CSELECT_OUT : 0));
		if (timer <= chpg_now())
		{
			timer = CHPG_FOREVER;
			advance(CURL_SOCKET_TIMEOUT, 0);
		}
		if (multi != NULL && collect_finished())
			return;
		if (response_began || latch_set || until <= chpg_now())
			return;
	}
}

bool
chpg_http_sent(const ChpgTransfer *transfer)
{
	return transfer->sent;
}

bool
chpg_http_hold(ChpgTransfer *transfer, bool held)
{
	transfer->held = held;
	return transfer->stopped;
}

int64
chpg_http_began(const ChpgTransfer *transfer)
{
	return transfer->began;
}

const ChpgHttpResponse *
chpg_http_response(ChpgTransfer *transfer)
{
	return transfer->done ? &transfer->response : NULL;
}

char *
chpg_http_header(ChpgTransfer *transfer, const char *name)
{
	const char *header = header_value(transfer, name);
	char	   *value;

	if (header == NULL)
		return NULL;
	value = pstrdup(header);
	clean_text(value);
	return value;
}

void
chpg_http_disconnect(void)
{
	if (multi != NULL && active_transfers == 0)
		discard_multi();
}
