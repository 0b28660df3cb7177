/*-------------------------------------------------------------------------
 *
 * url.h
 *		URLs that a key may be sent to, in one canonical form.
 *
 * Two URLs lead to the same place if their canonical forms are the same text.  A URL
 * that libcurl or a resolver could read in another way has no canonical form.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_URL_H
#define CHPG_URL_H

/*
 * Return the canonical form of the API's base URL, palloc'd, without a trailing slash
 * or "/v1".  NULL unless the URL is https, or http to localhost or a literal loopback
 * address, without user name, query and fragment.
 */
extern char *chpg_canonical_api_url(const char *url);

/* Return the same for an HTTP proxy: any host, no path. */
extern char *chpg_canonical_proxy(const char *url);

#endif							/* CHPG_URL_H */
