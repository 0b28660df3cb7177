/*-------------------------------------------------------------------------
 *
 * url.h
 *		URLs that a key may be sent to, in one canonical form.
 *
 * Two URLs lead to the same place if their canonical forms are the same text.
 * What libcurl, or a resolver, could read in another way has none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_URL_H
#define CHPG_URL_H

/*
 * The canonical form of the API's base, palloc'd, without a trailing slash or
 * "/v1"; NULL if the URL is none: https, or http to localhost or a literal
 * loopback address, and no user name, query or fragment.
 */
extern char *chpg_canonical_api_url(const char *url);

/* The same for an HTTP proxy: any host, no path. */
extern char *chpg_canonical_proxy(const char *url);

#endif							/* CHPG_URL_H */
