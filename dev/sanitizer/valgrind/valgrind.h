/* What PostgreSQL asks of Valgrind beside memcheck.h: AddressSanitizer has none of it. */
#ifndef CHPG_SANITIZER_VALGRIND_H
#define CHPG_SANITIZER_VALGRIND_H

#define VALGRIND_COUNT_ERRORS	0
#define VALGRIND_PRINTF(...)	((void) 0)

#endif
