/*
 * child: a test in a process of its own, that may lower its limits, take signals and end as it likes. Include it
 * behind cmocka.h.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its exit status; what killed it, negative. */
static inline int in_child(int (*f)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(f());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void set_limit(int what, rlim_t n)
{
	struct rlimit l;

	getrlimit(what, &l);
	l.rlim_cur = n < l.rlim_max ? n : l.rlim_max;
	setrlimit(what, &l);
}

/* From here on no thread and no process can be made. */
static inline void no_more_threads(void)
{
	set_limit(RLIMIT_NPROC, 0);
	if (geteuid() == 0 && setuid(65534) < 0) /* the limit is not root's */
		_exit(99);
}

#endif
