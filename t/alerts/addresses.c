/*-------------------------------------------------------------------------
 *
 * addresses.c
 *		src/net/addresses.c as a program, for the tests.
 *
 *	addresses ADDRESS...	prints "public" or "refused" for each address
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/net/addresses.h"

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		struct sockaddr_storage address = {0};
		struct sockaddr_in *v4 = (struct sockaddr_in *) &address;
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &address;

		if (inet_pton(AF_INET, argv[i], &v4->sin_addr) == 1)
			address.ss_family = AF_INET;
		else if (inet_pton(AF_INET6, argv[i], &v6->sin6_addr) == 1)
			address.ss_family = AF_INET6;
		else
			exit(1);
		printf("%s %s\n", argv[i],
			   chpg_is_public_address((struct sockaddr *) &address) ? "public" : "refused");
	}
	return 0;
}
