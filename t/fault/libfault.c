/*
 * libfault: an LD_PRELOAD library with which a test makes one system call fail, or die there.
 *
 *     SLUICE_FAULT="comm=jsonl-sink;path=.sluice/journal;fdatasync:3:EIO;write:2:kill-mid"
 *
 * The value is a list of items, separated by commas or semicolons. CALL:WHEN:WHAT is a rule:
 *
 *   CALL  one of the names in the wrappers below. write stands for pwrite and writev too, read for
 *         pread, open for openat and openat2, rename, link, unlink and mkdir for their *at forms; such
 *         a form's own name stands for itself only.
 *   WHEN  N: the Nth call that the rule looks at, N+: that and all that follow, N-M: those from the
 *         Nth to the Mth.
 *   WHAT  an errno (EIO): fail, nothing done. short: write or read half. kill-before, kill-after:
 *         SIGKILL before or after the call; kill-mid: after half of a write.
 *
 * path=TEXT filters for the rules that follow it: only calls whose path (or whose descriptor's, as
 * /proc/self/fd shows it; "old -> new" for two) contains TEXT; path= alone takes the filter away.
 * comm=NAME, anywhere: only processes of that name, for a pipeline shares one environment.
 *
 * SLUICE_FAULT_LOG=FILE appends a line per call: number, process name, call, path, result (or
 * -ERRNO, or what killed it), separated by tabs, so that a test can count the calls of a run and then
 * visit each of them.
 *
 * SLUICE_RECORD and SLUICE_RECORD_DIR record a run for the simulator of power losses: see record.c.
 *
 * Everything runs through libc's own syscall(3): one symbol to look up, and nothing that a signal
 * handler might not call. What stdio does inside libc is not seen. Sanitizer builds need ASAN_OPTIONS=verify_asan_link_order=0.
 */
#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_RULES 32

enum what { ERRNO, SHORT, KILL_BEFORE, KILL_MID, KILL_AFTER, STOP_BEFORE };

static struct rule {
	const char *call, *path; /* path NULL: any */
	unsigned long first, last;
	enum what what;
	int error;
	atomic_ulong seen;
} rules[MAX_RULES];

static int rule_count;
static int log_fd = -1;
static atomic_ulong log_lines;
static char comm[17];
static bool need_path;
long (*libc_syscall)(long number, ...);

/* ---- configuration ---- */

static void bad(const char *item)
{
	fprintf(stderr, "libfault: \"%s\" is no rule\n", item);
	_exit(99);
}

static int errno_of(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return 0;
}

static void set_when(struct rule *r, const char *when, const char *item)
{
	char *end;

	r->first = r->last = strtoul(when, &end, 10);
	if (*end == '+') {
		r->last = ULONG_MAX;
		end++;
	} else if (*end == '-') {
		r->last = strtoul(end + 1, &end, 10);
	}
	if (r->first == 0 || r->last < r->first || *end)
		bad(item);
}

static void add_rule(char *item, const char *path)
{
	static const char *const whats[] = { "", "short", "kill-before", "kill-mid", "kill-after",
		"stop-before" };
	struct rule *r = &rules[rule_count];
	char *save, *whole = strdup(item);
	char *call = strtok_r(item, ":", &save);
	char *when = strtok_r(NULL, ":", &save), *what = strtok_r(NULL, ":", &save);

	if (!call || !when || !what || rule_count == MAX_RULES)
		bad(whole);
	r->call = call;
	r->path = path;
	set_when(r, when, whole);
	for (int i = SHORT; i <= STOP_BEFORE; i++)
		if (strcmp(what, whats[i]) == 0)
			r->what = (enum what)i;
	if (r->what == ERRNO && (r->error = errno_of(what)) == 0)
		bad(whole);
	free(whole);
	rule_count++;
	need_path = need_path || path;
}

static void open_log(const char *path)
{
	long fd = libc_syscall(SYS_openat, AT_FDCWD, path,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	/* Out of the way of programs that count on the lowest descriptor. */
	log_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 400);
	libc_syscall(SYS_close, fd);
	need_path = true;
}

__attribute__((constructor)) static void init(void)
{
	const char *spec = getenv("SLUICE_FAULT"), *log = getenv("SLUICE_FAULT_LOG");
	const char *record = getenv("SLUICE_RECORD"), *dir = getenv("SLUICE_RECORD_DIR");
	static char *copy; /* the rules point into it */
	char *save, *path = NULL;
	bool mine = true;

	if (libc_syscall)
		return;
	copy = strdup(spec ? spec : "");
	libc_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	prctl(PR_GET_NAME, comm);
	for (char *item = strtok_r(copy, ",;", &save); item; item = strtok_r(NULL, ",;", &save)) {
		if (strncmp(item, "comm=", 5) == 0) {
			mine = strncmp(item + 5, comm, sizeof(comm) - 2) == 0;
		} else if (strncmp(item, "path=", 5) == 0) {
			path = item[5] ? item + 5 : NULL;
		} else {
			add_rule(item, path);
		}
	}
	if (!mine)
		rule_count = 0;
	else if (log)
		open_log(log);
	if (mine && record && dir)
		record_open(record, dir);
}

/* ---- one call ---- */

static size_t add(char *to, size_t at, const char *s)
{
	size_t n = strlen(s);

	if (n > TEXT_SIZE - 1 - at)
		n = TEXT_SIZE - 1 - at;
	memcpy(to + at, s, n);
	to[at + n] = '\0';
	return at + n;
}

static size_t add_number(char *to, size_t at, unsigned long v)
{
	char digits[24], *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return add(to, at, p);
}

size_t fault_path(char *to, size_t at, int fd, const char *path)
{
	char link[40];
	size_t n;
	ssize_t got;

	if (!path || (path[0] != '/' && fd != AT_FDCWD)) {
		n = add(link, 0, "/proc/self/fd/");
		add_number(link, n, (unsigned long)fd);
		got = readlink(link, to + at,
		    PATH_MAX < TEXT_SIZE - at ? PATH_MAX : TEXT_SIZE - 1 - at);
		at += got > 0 ? (size_t)got : 0;
		to[at] = '\0';
		if (path)
			at = add(to, at, "/");
	}
	return path ? add(to, at, path) : at;
}

static void describe(const struct call *c, char text[TEXT_SIZE])
{
	size_t n;

	text[0] = '\0';
	if (!need_path)
		return;
	n = fault_path(text, 0, c->fd, c->path);
	if (c->path2) {
		n = add(text, n, " -> ");
		fault_path(text, n, c->fd2, c->path2);
	}
}

/* result < 0: -errno; what: instead of a result. */
static void write_log(const struct call *c, const char *path, long result, const char *what)
{
	char line[TEXT_SIZE];
	size_t n;

	if (log_fd < 0)
		return;
	n = add_number(line, 0, atomic_fetch_add(&log_lines, 1) + 1);
	n = add(line, n, "\t");
	n = add(line, n, comm);
	n = add(line, n, "\t");
	n = add(line, n, c->name);
	n = add(line, n, "\t");
	n = add(line, n, path);
	n = add(line, n, what || result >= 0 ? "\t" : "\t-");
	if (what)
		n = add(line, n, what);
	else if (result >= 0)
		n = add_number(line, n, (unsigned long)result);
	else
		n = add(line, n, strerrorname_np((int)-result));
	line[n++] = '\n';
	libc_syscall(SYS_write, log_fd, line, n); /* one write: lines of processes do not mix */
}

static void die(const struct call *c, const char *path, const char *how)
{
	write_log(c, path, 0, how);
	libc_syscall(SYS_kill, getpid(), SIGKILL);
	for (;;)
		pause();
}

static bool applies(struct rule *r, const struct call *c, const char *path)
{
	unsigned long n;

	if (strcmp(r->call, c->name) != 0 && strcmp(r->call, c->group) != 0)
		return false;
	if (r->path && !strstr(path, r->path))
		return false;
	n = atomic_fetch_add(&r->seen, 1) + 1;
	return n >= r->first && n <= r->last;
}

/* Whether the call must not be made: errno is set then. Does not return when it is to die before. */
static bool refuse(struct call *c)
{
	char path[TEXT_SIZE];

	if (!libc_syscall)
		init(); /* another library's constructor was quicker */
	if (rule_count > 0)
		describe(c, path);
	for (int i = 0; i < rule_count; i++)
		if (applies(&rules[i], c, path) && !c->hit)
			c->hit = &rules[i];
	if (c->hit && c->hit->what == KILL_BEFORE)
		die(c, path, "kill-before");
	if (c->hit && c->hit->what == STOP_BEFORE)
		libc_syscall(SYS_kill, getpid(), SIGSTOP);
	record_before(c);
	if (!c->hit || c->hit->what != ERRNO)
		return false;
	record_after(c, -1);
	write_log(c, path, -c->hit->error, NULL);
	errno = c->hit->error;
	return true;
}

static long done(struct call *c, long result)
{
	int saved = errno;
	char path[TEXT_SIZE];

	record_after(c, result);
	if (log_fd >= 0 || c->hit)
		describe(c, path);
	if (c->hit && c->hit->what == KILL_AFTER)
		die(c, path, "kill-after");
	if (c->hit && c->hit->what == KILL_MID)
		die(c, path, "kill-mid");
	if (log_fd >= 0)
		write_log(c, path, result < 0 ? -saved : result, NULL);
	errno = saved;
	return result;
}

static size_t cut(const struct call *c, size_t n)
{
	bool half = c->hit && (c->hit->what == SHORT || c->hit->what == KILL_MID);

	return half && n > 1 ? n / 2 : n;
}

/* ---- the wrappers ---- */

ssize_t write(int fd, const void *p, size_t n)
{
	struct call c = { .name = "write", .group = "write", .fd = fd, .data = p, .at = -1 };

	return refuse(&c) ? -1 : done(&c, libc_syscall(SYS_write, fd, p, cut(&c, n)));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	struct call c = { .name = "pwrite", .group = "write", .fd = fd, .data = p, .at = at };

	return refuse(&c) ? -1 : done(&c, libc_syscall(SYS_pwrite64, fd, p, cut(&c, n), at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	struct call c = { .name = "writev", .group = "write", .fd = fd, .at = -1 };

	if (refuse(&c))
		return -1;
	c.data = count > 0 ? v[0].iov_base : NULL;
	/* Recorded, it comes short: one piece of data for each event. */
	if (count > 0 && (c.recorded || cut(&c, 2) == 1))
		return done(&c, libc_syscall(SYS_write, fd, v[0].iov_base, cut(&c, v[0].iov_len)));
	return done(&c, libc_syscall(SYS_writev, fd, v, count));
}

ssize_t read(int fd, void *p, size_t n)
{
	struct call c = { .name = "read", .group = "read", .fd = fd };

	return refuse(&c) ? -1 : done(&c, libc_syscall(SYS_read, fd, p, cut(&c, n)));
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	struct call c = { .name = "pread", .group = "read", .fd = fd };

	return refuse(&c) ? -1 : done(&c, libc_syscall(SYS_pread64, fd, p, cut(&c, n), at));
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
	return pread(fd, p, n, at);
}

/* What _FORTIFY_SOURCE makes of them; their check of the buffer's size is not ours to do. */
ssize_t __read_chk(int fd, void *p, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t size);
ssize_t __pread64_chk(int fd, void *p, size_t n, off64_t at, size_t size);

ssize_t __read_chk(int fd, void *p, size_t n, size_t size)
{
	return read(fd, p, n);
}

ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t size)
{
	return pread(fd, p, n, at);
}

ssize_t __pread64_chk(int fd, void *p, size_t n, off64_t at, size_t size)
{
	return pread(fd, p, n, at);
}

int fsync(int fd)
{
	struct call c = { .name = "fsync", .group = "fsync", .fd = fd };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
	struct call c = { .name = "fdatasync", .group = "fdatasync", .fd = fd };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_fdatasync, fd));
}

int ftruncate(int fd, off_t size)
{
	struct call c = { .name = "ftruncate", .group = "ftruncate", .fd = fd, .at = size };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_ftruncate, fd, size));
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

int flock(int fd, int how)
{
	struct call c = { .name = "flock", .group = "flock", .fd = fd };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_flock, fd, how));
}

/* What is logged is asked for before the descriptor is gone. As close(2), a failed one has closed. */
int close(int fd)
{
	struct call c = { .name = "close", .group = "close", .fd = fd };
	char path[TEXT_SIZE];
	long result;
	int saved;

	if (fd == log_fd && fd >= 0)
		return 0;
	if (refuse(&c)) {
		saved = errno;
		libc_syscall(SYS_close, fd);
		errno = saved;
		return -1;
	}
	describe(&c, path);
	result = libc_syscall(SYS_close, fd);
	saved = errno;
	if (c.hit && c.hit->what != SHORT && c.hit->what != STOP_BEFORE)
		die(&c, path, "kill-after");
	write_log(&c, path, result < 0 ? -saved : result, NULL);
	errno = saved;
	return (int)result;
}

static int open_as(const char *name, int dir, const char *path, int flags, mode_t mode)
{
	struct call c = { .name = name, .group = "open", .fd = dir, .path = path, .at = flags };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_openat, dir, path, flags, mode));
}

static mode_t mode_of(int flags, va_list ap)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_as("open", AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_as("openat", dir, path, flags, mode);
}

/* The same under the names that large-file and _FORTIFY_SOURCE builds use. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return open_as("open", AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return open_as("open", AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
	return open_as("openat", dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
	return open_as("openat", dir, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
	return open_as("open", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int rename_as(const char *name, int dir, const char *old, int dir2, const char *new,
    unsigned flags)
{
	struct call c = { .name = name, .group = "rename", .fd = dir, .path = old, .fd2 = dir2, .path2 = new };

	return refuse(&c) ? -1
			  : (int)done(&c, libc_syscall(SYS_renameat2, dir, old, dir2, new, flags));
}

int rename(const char *old, const char *new)
{
	return rename_as("rename", AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int dir, const char *old, int dir2, const char *new)
{
	return rename_as("renameat", dir, old, dir2, new, 0);
}

int renameat2(int dir, const char *old, int dir2, const char *new, unsigned flags)
{
	return rename_as("renameat2", dir, old, dir2, new, flags);
}

static int link_as(const char *name, int dir, const char *old, int dir2, const char *new, int flags)
{
	struct call c = { .name = name, .group = "link", .fd = dir, .path = old, .fd2 = dir2, .path2 = new };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_linkat, dir, old, dir2, new, flags));
}

int link(const char *old, const char *new)
{
	return link_as("link", AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int dir, const char *old, int dir2, const char *new, int flags)
{
	return link_as("linkat", dir, old, dir2, new, flags);
}

static int unlink_as(const char *name, int dir, const char *path, int flags)
{
	struct call c = { .name = name,
		.group = flags & AT_REMOVEDIR ? "rmdir" : "unlink",
		.fd = dir,
		.path = path };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_unlinkat, dir, path, flags));
}

int unlink(const char *path)
{
	return unlink_as("unlink", AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return unlink_as("unlinkat", dir, path, flags);
}

int rmdir(const char *path)
{
	return unlink_as("rmdir", AT_FDCWD, path, AT_REMOVEDIR);
}

static int mkdir_as(const char *name, int dir, const char *path, mode_t mode)
{
	struct call c = { .name = name, .group = "mkdir", .fd = dir, .path = path };

	return refuse(&c) ? -1 : (int)done(&c, libc_syscall(SYS_mkdirat, dir, path, mode));
}

int mkdir(const char *path, mode_t mode)
{
	return mkdir_as("mkdir", AT_FDCWD, path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return mkdir_as("mkdirat", dir, path, mode);
}

/* glibc has no wrapper for openat2, and old ones none for renameat2: callers use this. */
long syscall(long number, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_renameat2)
		return rename_as("renameat2", (int)a[0], (const char *)a[1], (int)a[2],
		    (const char *)a[3], (unsigned)a[4]);
	if (number == SYS_openat2) {
		struct call c = { .name = "openat2",
			.group = "open",
			.fd = (int)a[0],
			.path = (const char *)a[1],
			.at = (long long)((const struct open_how *)a[2])->flags };

		return refuse(&c) ? -1 : done(&c, libc_syscall(number, a[0], a[1], a[2], a[3]));
	}
	if (!libc_syscall)
		init();
	return libc_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
