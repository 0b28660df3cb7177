/*-------------------------------------------------------------------------
 *
 * addresses.h
 *		Which IP addresses are of the public internet, and networks in a setting.
 *
 * No PostgreSQL header is included.  Nothing here allocates or throws, so that
 * callbacks of libraries may call it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_ADDRESSES_H
#define CHPG_ADDRESSES_H

#include <stdbool.h>
#include <sys/socket.h>

/* The most networks that a list has. */
#define CHPG_MAX_NETWORKS	64

typedef struct ChpgNetwork
{
	int			family;			/* AF_INET or AF_INET6 */
	unsigned char bytes[16];	/* the first 4 of AF_INET */
	int			bits;			/* of its prefix */
} ChpgNetwork;

typedef struct ChpgNetworks
{
	int			count;
	ChpgNetwork networks[CHPG_MAX_NETWORKS];
} ChpgNetworks;

/*
 * Parse a list of addresses and networks, such as "10.0.0.0/8, ::1", separated by
 * commas or spaces; false if it is none.  An empty text is an empty list.
 */
extern bool chpg_parse_networks(const char *text, ChpgNetworks *networks);

/* Is an address in one of the networks? */
extern bool chpg_is_in_networks(const struct sockaddr *address, const ChpgNetworks *networks);

/*
 * Is an address one of the public internet?  Not loopback, private, link-local,
 * unique-local, multicast, reserved and documentation addresses, nor those where a
 * cloud serves a machine its metadata; nor any that embeds an IPv4 address, unless
 * NAT64 embeds a public one.
 */
extern bool chpg_is_public_address(const struct sockaddr *address);

#endif							/* CHPG_ADDRESSES_H */
