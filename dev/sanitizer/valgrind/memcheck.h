/*
 * The client requests by which PostgreSQL describes its memory to Valgrind
 * (USE_VALGRIND), made to AddressSanitizer instead: what palloc has not handed
 * out, or pfree has taken back, is poisoned.
 *
 * pfree overwrites a chunk and marks it NOACCESS in builds with assertions, so
 * VALGRIND_MEMPOOL_FREE, which has no size, needs to do nothing.
 */
#ifndef CHPG_SANITIZER_MEMCHECK_H
#define CHPG_SANITIZER_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define VALGRIND_MAKE_MEM_NOACCESS(addr, size) \
	ASAN_POISON_MEMORY_REGION((addr), (size))
#define VALGRIND_MAKE_MEM_UNDEFINED(addr, size) \
	ASAN_UNPOISON_MEMORY_REGION((addr), (size))
#define VALGRIND_MAKE_MEM_DEFINED(addr, size) \
	ASAN_UNPOISON_MEMORY_REGION((addr), (size))
#define VALGRIND_MEMPOOL_ALLOC(pool, addr, size) \
	ASAN_UNPOISON_MEMORY_REGION((addr), (size))
#define VALGRIND_MEMPOOL_CHANGE(pool, old_addr, addr, size) \
	ASAN_UNPOISON_MEMORY_REGION((addr), (size))
#define VALGRIND_MEMPOOL_FREE(pool, addr)			((void) (pool), (void) (addr))
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed)	((void) 0)
#define VALGRIND_DESTROY_MEMPOOL(pool)				((void) 0)
#define VALGRIND_CHECK_MEM_IS_DEFINED(addr, size)	((void) 0)

#endif
