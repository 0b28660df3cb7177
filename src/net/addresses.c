/*-------------------------------------------------------------------------
 *
 * addresses.c
 *		Which IP addresses are of the public internet, and networks in a setting.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "ascii.h"
#include "net/addresses.h"

/* The longest network in a list: an IPv6 address with an embedded IPv4 one, and a prefix */
#define MAX_NETWORK_LENGTH	(INET6_ADDRSTRLEN + 4)

typedef struct Prefix
{
	unsigned char bytes[16];
	int			bits;
} Prefix;

/* IPv4 networks that are not of the public internet (IANA's special-purpose registry) */
static const Prefix special_ipv4[] = {
	{{0}, 8},					/* this network */
	{{10}, 8},					/* private */
	{{100, 64}, 10},			/* shared, behind a carrier's NAT */
	{{127}, 8},					/* loopback */
	{{169, 254}, 16},			/* link-local, and metadata of clouds */
	{{172, 16}, 12},			/* private */
	{{192, 0, 0}, 24},			/* protocol assignments */
	{{192, 0, 2}, 24},			/* documentation */
	{{192, 88, 99}, 24},		/* 6to4 relays */
	{{192, 168}, 16},			/* private */
	{{198, 18}, 15},			/* benchmarks */
	{{198, 51, 100}, 24},		/* documentation */
	{{203, 0, 113}, 24},		/* documentation */
	{{168, 63, 129, 16}, 32},	/* metadata of Azure */
	{{224}, 4},					/* multicast */
	{{240}, 4}					/* reserved, and broadcast */
};

/* The public internet has 2000::/3 of IPv6, but for these */
static const Prefix public_ipv6 = {{0x20}, 3};
static const Prefix special_ipv6[] = {
	{{0x20, 0x01, 0x00}, 23},	/* protocol assignments, such as Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},			/* 6to4, which embeds an IPv4 address */
	{{0x3f, 0xff}, 20}			/* documentation */
};

/* NAT64, which embeds an IPv4 address in its last bytes */
static const Prefix nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

/* Does an address begin with this number of bits of a prefix? */
static bool
has_prefix(const unsigned char *bytes, const unsigned char *prefix, int bits)
{
	int			whole = bits / 8;
	int			rest = bits % 8;
	unsigned char mask = (unsigned char) (0xff00 >> rest);

	return memcmp(bytes, prefix, whole) == 0 &&
		(rest == 0 || (bytes[whole] & mask) == (prefix[whole] & mask));
}

/* Return the bytes of an address in network order, or NULL for another family. */
static const unsigned char *
address_bytes(const struct sockaddr *address)
{
	switch (address->sa_family)
	{
		case AF_INET:
			return (const unsigned char *) &((const struct sockaddr_in *) address)->sin_addr;
		case AF_INET6:
			return (const unsigned char *) &((const struct sockaddr_in6 *) address)->sin6_addr;
		default:
			return NULL;
	}
}

/* Is an address in one of some prefixes? */
static bool
is_in(const unsigned char *bytes, const Prefix *prefixes, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (has_prefix(bytes, prefixes[i].bytes, prefixes[i].bits))
			return true;
	}
	return false;
}

static bool
is_public_ipv4(const unsigned char *bytes)
{
	return !is_in(bytes, special_ipv4, sizeof(special_ipv4) / sizeof(special_ipv4[0]));
}

bool
chpg_is_public_address(const struct sockaddr *address)
{
	const unsigned char *bytes = address_bytes(address);

	if (bytes == NULL)
		return false;
	if (address->sa_family == AF_INET)
		return is_public_ipv4(bytes);
	if (is_in(bytes, &nat64, 1))
		return is_public_ipv4(bytes + 12);
	return is_in(bytes, &public_ipv6, 1) &&
		!is_in(bytes, special_ipv6, sizeof(special_ipv6) / sizeof(special_ipv6[0]));
}

bool
chpg_is_in_networks(const struct sockaddr *address, const ChpgNetworks *networks)
{
	const unsigned char *bytes = address_bytes(address);

	for (int i = 0; bytes != NULL && i < networks->count; i++)
	{
		const ChpgNetwork *network = &networks->networks[i];

		if (network->family == address->sa_family &&
			has_prefix(bytes, network->bytes, network->bits))
			return true;
	}
	return false;
}

/* Parse the prefix length of a network, up to this many bits; -1 if it is none. */
static int
parse_bits(const char *text, int max_bits)
{
	int			bits = 0;

	if (*text == '\0' || strlen(text) > 3)
		return -1;
	for (; *text != '\0'; text++)
	{
		if (!chpg_is_digit(*text))
			return -1;
		bits = bits * 10 + (*text - '0');
	}
	return bits <= max_bits ? bits : -1;
}

/* Parse an address, or a network, which the text ends up cut for; false if it is none. */
static bool
parse_network(char *text, ChpgNetwork *network)
{
	char	   *slash = strchr(text, '/');
	int			max_bits;

	if (slash != NULL)
		*slash = '\0';
	network->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	max_bits = network->family == AF_INET6 ? 128 : 32;
	network->bits = slash != NULL ? parse_bits(slash + 1, max_bits) : max_bits;
	return network->bits >= 0 &&
		inet_pton(network->family, text, network->bytes) == 1;
}

bool
chpg_parse_networks(const char *text, ChpgNetworks *networks)
{
	networks->count = 0;
	for (;;)
	{
		char		item[MAX_NETWORK_LENGTH + 1];
		size_t		length;

		text += strspn(text, ", ");
		length = strcspn(text, ", ");
		if (length == 0)
			return true;
		if (length > MAX_NETWORK_LENGTH || networks->count == CHPG_MAX_NETWORKS)
			return false;
		memcpy(item, text, length);
		item[length] = '\0';
		if (!parse_network(item, &networks->networks[networks->count]))
			return false;
		networks->count++;
		text += length;
	}
}
