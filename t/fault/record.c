/*
 * record: the trace from which t/lib/Sluice/Power.pm builds what a power loss may leave.
 *
 *     SLUICE_RECORD=FILE SLUICE_RECORD_DIR=DIR [SLUICE_RECORD_KILL=N]
 *
 * FILE gets each call that changes or syncs something below DIR, and each write to a standard output that
 * lies elsewhere (the sink's acknowledgements), in the order in which they took effect. One event is
 *
 *     CALL <tab> INODE <tab> AT <tab> SIZE <tab> RESULT <tab> PATH <tab> PATH2 <newline> SIZE bytes
 *
 * CALL is the group of a rule (open, write, ...) or `ack`. INODE is of what was opened, made, written,
 * cut or synced, 0 for names; AT the place of a write, the size of ftruncate, the flags of open. Calls
 * that failed changed nothing and are not recorded, but for an fsync: who forgets what it told loses data.
 * After the Nth event the process is killed (SIGKILL).
 *
 * Events are ordered by a lock around the call and its record, of the thread and, on FILE, of the process.
 */
#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int trace = -1;
static char root[PATH_MAX];
static atomic_flag busy = ATOMIC_FLAG_INIT;
static long left = -1; /* events until death */

void record_open(const char *file, const char *dir)
{
	long fd = libc_syscall(SYS_openat, AT_FDCWD, file,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	const char *events = getenv("SLUICE_RECORD_KILL");

	if (events)
		left = strtol(events, NULL, 10);
	snprintf(root, sizeof(root), "%s", dir);
	trace = fcntl((int)fd, F_DUPFD_CLOEXEC, 401);
	libc_syscall(SYS_close, fd);
}

/* Whether the path is DIR or lies below it. */
static bool below(const char *path)
{
	size_t n = strlen(root);

	return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is(const struct call *c, const char *group)
{
	return strcmp(c->group, group) == 0;
}

static bool is_ack(const struct call *c, const char *path)
{
	return is(c, "write") && c->fd == STDOUT_FILENO && !below(path);
}

static bool wanted(const struct call *c)
{
	static const char *const groups[] = { "write", "fsync", "fdatasync", "ftruncate", "rename",
		"link", "unlink", "rmdir", "mkdir" };
	char path[TEXT_SIZE];
	bool known = is(c, "open") && (c->at & (O_CREAT | O_TRUNC));

	for (size_t i = 0; !known && i < sizeof(groups) / sizeof(*groups); i++)
		known = is(c, groups[i]);
	if (!known)
		return false;
	fault_path(path, 0, c->fd, c->path);
	return below(path) || is_ack(c, path);
}

void record_before(struct call *c)
{
	int saved = errno;
	struct stat st;

	if (trace < 0 || !wanted(c))
		return;
	while (atomic_flag_test_and_set(&busy))
		sched_yield();
	libc_syscall(SYS_flock, trace, LOCK_EX);
	c->recorded = true;
	if (is(c, "write") && c->at < 0)
		c->at = fcntl(c->fd, F_GETFL) & O_APPEND && fstat(c->fd, &st) == 0
		    ? (long long)st.st_size
		    : (long long)lseek(c->fd, 0, SEEK_CUR);
	errno = saved;
}

static unsigned long inode(const struct call *c, long result)
{
	struct stat st = { 0 };
	int r = 0;

	if (is(c, "mkdir"))
		r = fstatat(c->fd, c->path, &st, AT_SYMLINK_NOFOLLOW);
	else if (is(c, "open"))
		r = fstat((int)result, &st);
	else if (!c->path)
		r = fstat(c->fd, &st);
	return r < 0 ? 0 : (unsigned long)st.st_ino;
}

static void put(const void *p, size_t n)
{
	while (n > 0) {
		long done = libc_syscall(SYS_write, trace, p, n);

		if (done <= 0)
			_exit(98); /* a trace with a hole would prove nothing */
		p = (const char *)p + done;
		n -= (size_t)done;
	}
}

void record_after(struct call *c, long result)
{
	char path[TEXT_SIZE], path2[TEXT_SIZE] = "", line[2 * TEXT_SIZE + 128];
	int saved = errno, n;
	bool data = is(c, "write");

	if (!c->recorded)
		return;
	if (result >= 0 || is(c, "fsync") || is(c, "fdatasync")) {
		fault_path(path, 0, c->fd, c->path);
		if (c->path2)
			fault_path(path2, 0, c->fd2, c->path2);
		n = snprintf(line, sizeof(line), "%s\t%lu\t%lld\t%ld\t%ld\t%s\t%s\n",
		    is_ack(c, path) ? "ack" : c->group, inode(c, result), c->at, data ? result : 0L,
		    result, path, path2);
		put(line, (size_t)n);
		if (data)
			put(c->data, (size_t)result);
		if (left > 0 && --left == 0)
			libc_syscall(SYS_kill, getpid(), SIGKILL);
	}
	c->recorded = false;
	libc_syscall(SYS_flock, trace, LOCK_UN);
	atomic_flag_clear(&busy);
	errno = saved;
}
