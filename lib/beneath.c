#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool no_openat2; /* the kernel does not have it, or a container forbids it */

size_t beneath_dirname(const char *path, size_t n)
{
	while (n > 0 && path[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

/* Mounts, where the kernel numbers them (5.8); else devices, though files on overlayfs have others than directories. */
static bool one_mount(int dirfd, int fd)
{
	struct statx a, b;
	struct stat x, y;

	if (statx(dirfd, "", AT_EMPTY_PATH, STATX_MNT_ID, &a) == 0 &&
	    statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &b) == 0 &&
	    (a.stx_mask & b.stx_mask & STATX_MNT_ID))
		return a.stx_mnt_id == b.stx_mnt_id;
	return fstat(dirfd, &x) == 0 && fstat(fd, &y) == 0 &&
	    (!S_ISDIR(y.st_mode) || x.st_dev == y.st_dev);
}

static int on_mount_of(int dirfd, int fd)
{
	if (one_mount(dirfd, fd))
		return fd;
	close(fd);
	errno = EXDEV;
	return -1;
}

/* One component, opened without following it. With O_DIRECTORY a symlink says ENOTDIR: tell it apart. */
static int open_component(int dirfd, const char *name, int flags, mode_t mode)
{
	struct stat st;
	int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0 && errno == ENOTDIR && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
	return fd < 0 ? -1 : on_mount_of(dirfd, fd);
}

/* An absolute path, or one with a `..` in it. No caller has one, but a damaged journal may. */
static bool leads_out(const char *path)
{
	bool out = *path == '/';

	for (const char *p = path; !out && (p = strstr(p, "..")); p += 2)
		out = (p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0');
	if (out)
		errno = EXDEV;
	return out;
}

/* Walks to the directory `path` (n bytes), making components when `made` is given. */
static int walk(int dirfd, const char *path, size_t n, int *made)
{
	int fd = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t at = 0;

	while (fd >= 0 && at < n) {
		const char *slash = memchr(path + at, '/', n - at);
		size_t len = slash ? (size_t)(slash - (path + at)) : n - at;
		char *name = xstrndup(path + at, len);
		int next = -1, e;

		if (made && mkdirat(fd, name, 0777) == 0)
			++*made;
		else if (made && errno != EEXIST)
			goto failed;
		next = open_component(fd, name, (at + len < n ? O_PATH : O_RDONLY) | O_DIRECTORY, 0);
	failed:
		e = errno;
		free(name);
		close(fd);
		errno = e;
		fd = next;
		at += len + 1;
	}
	return fd;
}

static int resolve(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

int beneath_open(int dirfd, const char *path, int flags, mode_t mode)
{
	size_t n = strlen(path), dir = beneath_dirname(path, n);
	int fd, parent, e;

	if (leads_out(path))
		return -1;
	if (!no_openat2) {
		fd = resolve(dirfd, *path ? path : ".", flags, mode);
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd;
		no_openat2 = errno == ENOSYS;
	}
	if (n == 0)
		return openat(dirfd, ".", flags | O_CLOEXEC);
	parent = walk(dirfd, path, dir, NULL);
	if (parent < 0)
		return -1;
	fd = open_component(parent, path + (dir ? dir + 1 : 0), flags, mode);
	e = errno;
	close(parent);
	errno = e;
	return fd;
}

int beneath_dir(int dirfd, const char *path)
{
	return beneath_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
}

int beneath_make_dir(int dirfd, const char *path, int *made)
{
	int fd = beneath_dir(dirfd, path);

	*made = 0;
	if (fd >= 0 || errno != ENOENT)
		return fd;
	return walk(dirfd, path, strlen(path), made);
}
