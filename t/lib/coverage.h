/*
 * Included before all else by make coverage: a process that ends without exit(3) writes its figures first.
 * (What kill -9 ends writes none.)
 */
#include <gcov.h>
#include <signal.h>
#include <unistd.h>

static inline void coverage_write(void)
{
	__gcov_dump();
	__gcov_reset();
}

_Noreturn static inline void coverage_exit(int status)
{
	coverage_write();
	_exit(status);
}

static inline int coverage_raise(int signal)
{
	coverage_write();
	return raise(signal);
}

#define _exit      coverage_exit
#define raise      coverage_raise
#define execl(...) (coverage_write(), execl(__VA_ARGS__))
