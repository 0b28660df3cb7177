/*-------------------------------------------------------------------------
 *
 * url.c
 *		URLs that a key may be sent to, in one canonical form.
 *
 * Names that resolvers read as addresses ("127.1", "0x7f.1", "127.0.0.1.") are
 * rejected, and an address is only what inet_pton() accepts: otherwise a hosts
 * file, or a name server, would decide where plain http goes.  "localhost" needs no
 * resolver either: libcurl has its address built in, since 7.77.0.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "ascii.h"
#include "protocol/url.h"

#define LETTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS		"0123456789"
#define HEX_DIGITS	DIGITS "abcdefABCDEF"

#define MAX_NAME_LENGTH		253
#define MAX_LABEL_LENGTH	63

/* scheme://host[:port][path] */
typedef struct Url
{
	bool		https;
	char	   *host;			/* in lower case; IPv6 in brackets */
	bool		loopback;		/* whatever a resolver says */
	int			port;			/* 0: the scheme's */
	const char *path;			/* empty, or with a slash first */
} Url;

/* Would inet_aton() accept a name that ends in this label as an address? */
static bool
is_numeric(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return label[2 + strspn(label + 2, HEX_DIGITS)] == '\0';
	return label[strspn(label, DIGITS)] == '\0';
}

/*
 * Is a host a DNS name, whose last label is no number, without a dot at the
 * end?
 */
static bool
is_name(const char *host)
{
	const char *label = host;

	if (strlen(host) > MAX_NAME_LENGTH)
		return false;
	for (;;)
	{
		size_t		length = strcspn(label, ".");

		if (length == 0 || length > MAX_LABEL_LENGTH)
			return false;
		if (label[length] == '\0')
			return !is_numeric(label);
		label += length + 1;
	}
}

/* Read an IPv6 address in brackets, and advance *p; false if it is none. */
static bool
read_ipv6(const char **p, Url *url)
{
	char		text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t		length = strspn(*p + 1, HEX_DIGITS ":.");

	if ((*p)[length + 1] != ']' || length >= sizeof(text))
		return false;
	strlcpy(text, *p + 1, length + 1);
	if (inet_pton(AF_INET6, text, &address) != 1 ||
		inet_ntop(AF_INET6, &address, text, sizeof(text)) == NULL)
		return false;
	url->host = psprintf("[%s]", text);
	url->loopback = IN6_IS_ADDR_LOOPBACK(&address);
	*p += length + 2;
	return true;
}

/* Read a host, and advance *p; false if it is none. */
static bool
read_host(const char **p, Url *url)
{
	struct in_addr address;
	size_t		length;

	if (**p == '[')
		return read_ipv6(p, url);
	length = strspn(*p, LETTERS DIGITS ".-_");
	url->host = pnstrdup(*p, length);
	for (char *c = url->host; *c != '\0'; c++)
	{
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	}
	*p += length;
	if (inet_pton(AF_INET, url->host, &address) == 1)
	{
		url->loopback = (ntohl(address.s_addr) >> 24) == 127;
		return true;
	}
	url->loopback = strcmp(url->host, "localhost") == 0;
	return is_name(url->host);
}

/*
 * Read a port without leading zeros, if there is one, and advance *p; false if
 * it is none.
 */
static bool
read_port(const char **p, Url *url)
{
	url->port = 0;
	if (**p != ':')
		return true;
	(*p)++;
	if (**p == '0')
		return false;
	for (; chpg_is_digit(**p) && url->port <= 65535; (*p)++)
		url->port = url->port * 10 + (**p - '0');
	return url->port >= 1 && url->port <= 65535;
}

/* Has a path no dot segments, and no empty segment but the last? */
static bool
is_plain_path(const char *path)
{
	while (*path == '/')
	{
		size_t		length = strspn(++path, LETTERS DIGITS ".-_~");

		if ((length == 0 && *path != '\0') ||
			(length == 1 && path[0] == '.') ||
			(length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += length;
	}
	return *path == '\0';
}

/* Read a URL; false if it is none that a key may be sent to. */
static bool
read_url(const char *text, Url *url)
{
	const char *p = text;

	url->https = strncmp(p, "https://", 8) == 0;
	if (!url->https && strncmp(p, "http://", 7) != 0)
		return false;
	p += url->https ? 8 : 7;
	if (!read_host(&p, url) || !read_port(&p, url))
		return false;
	url->path = p;
	return is_plain_path(p);
}

/* Write a URL in its canonical form, palloc'd. */
static char *
write_url(const Url *url, int default_port)
{
	const char *scheme = url->https ? "https" : "http";

	if (url->port == 0 || url->port == default_port)
		return psprintf("%s://%s%s", scheme, url->host, url->path);
	return psprintf("%s://%s:%d%s", scheme, url->host, url->port, url->path);
}

/*
 * Cut "/v1" and slashes off the end of a path, palloc'd: users write the API's
 * base with or without them.
 */
static const char *
shorten_path(const char *path)
{
	char	   *base = pstrdup(path);
	size_t		length = strlen(base);

	for (;;)
	{
		if (length > 0 && base[length - 1] == '/')
			length--;
		else if (length >= 3 && strncmp(base + length - 3, "/v1", 3) == 0)
			length -= 3;
		else
			break;
	}
	base[length] = '\0';
	return base;
}

char *
chpg_canonical_api_url(const char *text)
{
	Url			url;

	if (!read_url(text, &url) || (!url.https && !url.loopback))
		return NULL;
	url.path = shorten_path(url.path);
	return write_url(&url, url.https ? 443 : 80);
}

/* libcurl's default port of an http proxy is none that a URL would have. */
char *
chpg_canonical_proxy(const char *text)
{
	Url			url;

	if (!read_url(text, &url) ||
		(url.path[0] != '\0' && strcmp(url.path, "/") != 0))
		return NULL;
	url.path = "";
	return write_url(&url, 0);
}
