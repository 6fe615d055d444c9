/* fault: what libfault.c (rules, log, wrappers) and record.c (the trace of a run) share. */
#ifndef SLUICE_FAULT_H
#define SLUICE_FAULT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define TEXT_SIZE (2 * PATH_MAX + 16)

struct rule;

struct call {
	const char *name, *group;
	int fd;           /* or the directory that path is relative to */
	const char *path; /* NULL: the call is about fd */
	int fd2;          /* of path2: the other name of rename and link */
	const char *path2;
	const void *data; /* what is written */
	long long at; /* where; of ftruncate the size, of open the flags; -1: where the file stands */
	struct rule *hit;
	bool recorded; /* between record_before and record_after */
};

/* The real syscall(3). */
extern long (*libc_syscall)(long number, ...);

/* The path of fd, or of `path` in the directory fd; appended to `to` at `at`. The new length. */
size_t fault_path(char *to, size_t at, int fd, const char *path);

/* Begins to record what happens below `dir` (an absolute path without . or ..). */
void record_open(const char *file, const char *dir);
/* Around the real call. Calls that are recorded have one order over all threads and processes. */
void record_before(struct call *c);
void record_after(struct call *c, long result); /* leaves errno alone */

#endif
