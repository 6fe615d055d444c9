/* Directories and temporary files of a writer. */
#include "beneath.h"
#include "lake_writer.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- directories ---- */

struct lake_dir *lake_dir(struct lake *l, const char *path, size_t n)
{
	struct lake_dir **head = &l->dirs[span_hash((struct span){ path, n }) % LAKE_DIR_BUCKETS], *d;

	for (d = *head; d; d = d->next)
		if (strlen(d->path) == n && memcmp(d->path, path, n) == 0)
			return d;
	d = xcalloc(1, sizeof(*d));
	d->path = xstrndup(path, n);
	d->next = *head;
	*head = d;
	l->dir_count++;
	if (n > 0) {
		d->up = lake_dir(l, path, beneath_dirname(path, n));
		d->up->synced = false; /* a writer beside us may have made it since we synced the one above */
	}
	return d;
}

void lake_forget_dirs(struct lake *l)
{
	for (size_t i = 0; i < LAKE_DIR_BUCKETS; i++) {
		while (l->dirs[i]) {
			struct lake_dir *d = l->dirs[i];

			l->dirs[i] = d->next;
			free(d->path);
			free(d);
		}
	}
	l->dir_count = 0;
}

int lake_sync_path(struct lake *l, const char *path)
{
	int fd = beneath_dir(l->dirfd, path), r;

	if (fd < 0)
		return fail_errno(0, "%s/%s", l->dir, path);
	r = fsync(fd);
	if (r < 0)
		fail_errno(EXIT_IO, "%s/%s: fsync", l->dir, path);
	close(fd);
	return r;
}

/*
 * Step 1, directories. The one that holds the temporary files each time; those above when one below them
 * is seen for the first time, even if it was there: a run that was killed, or is still on its way, may have made it
 * and not come this far. Above DIR is DIR's parent.
 */
int lake_sync_dirs(struct lake *l, struct lake_dir *d)
{
	bool above = !d->synced;
	int fd, r;

	if (lake_sync_path(l, d->path) < 0)
		return -1;
	d->synced = true;
	if (!above)
		return 0;
	if (d->up)
		return d->up->synced ? 0 : lake_sync_dirs(l, d->up);
	if (l->parent_synced)
		return 0;
	fd = openat(l->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A parent that we may not read is not ours to sync, and was not changed by us either. */
	if (fd < 0)
		return errno == EACCES ? 0 : fail_errno(0, "%s/..", l->dir);
	r = fsync(fd);
	if (r < 0)
		fail_errno(EXIT_IO, "%s/..: fsync", l->dir);
	close(fd);
	l->parent_synced = r == 0;
	return r;
}

/* ---- temporary files ---- */

void lake_temp_name(const struct lake *l, int64_t number, char *to, size_t size)
{
	snprintf(to, size, TEMP_PREFIX "%s-%" PRId64, l->id, number);
}

static int bad_place(struct lake *l, const char *path)
{
	if (errno == ELOOP || errno == ENOTDIR || errno == EXDEV)
		return fail(EXIT_DATA, "%s/%s: %s is in the way", l->dir, path,
		    errno == ELOOP         ? "a symbolic link"
			: errno == ENOTDIR ? "a file"
					   : "a mount point");
	return fail_errno(0, "%s/%s", l->dir, path);
}

/* The directory, and so many above it, have entries that were not there when we synced what is above them. */
static void unsync(struct lake_dir *d, int above)
{
	d->synced = false;
	for (; above > 0 && d->up; above--) {
		d = d->up;
		d->synced = false;
	}
}

int64_t lake_temp(struct lake *l, struct span path, int *fd)
{
	struct lake_dir *d = lake_dir(l, path.p, path.n);
	struct stat st = { 0 };
	char name[64];
	int made, dirfd;

	dirfd = beneath_make_dir(l->dirfd, d->path, &made);
	if (dirfd < 0)
		return bad_place(l, d->path);
	if (fstat(dirfd, &st) < 0 || (d->inode && d->inode != st.st_ino))
		made = INT_MAX; /* it is not the one that we knew: somebody has removed it and made it again */
	if (made > 0)
		unsync(d, made);
	d->inode = st.st_ino;
	lake_temp_name(l, l->next_number, name, sizeof(name));
	if (lake_list_add(l, d, name) < 0) {
		close(dirfd);
		return -1;
	}
	*fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
	    0666);
	if (*fd < 0)
		fail_errno(0, "%s/%s/%s", l->dir, d->path, name);
	close(dirfd);
	if (*fd < 0)
		return -1;
	if (l->temps == l->temps_cap) {
		l->temps_cap = l->temps_cap ? l->temps_cap * 2 : 64;
		l->temp = xrealloc(l->temp, l->temps_cap * sizeof(*l->temp));
	}
	l->temp[l->temps] = (struct lake_temp){ d, l->next_number++ };
	return (int64_t)l->temps++;
}

static char *temp_path(const struct lake *l, const struct lake_temp *t)
{
	struct buf b = BUF_INIT;
	char name[64];

	lake_temp_name(l, t->number, name, sizeof(name));
	buf_addf(&b, "%s%s%s", t->dir->path, *t->dir->path ? "/" : "", name);
	buf_cstr(&b);
	return b.data;
}

int lake_temp_reopen(struct lake *l, int64_t temp)
{
	char *path = temp_path(l, &l->temp[temp]);
	int fd = beneath_open(l->dirfd, path, O_WRONLY | O_APPEND, 0);

	if (fd < 0)
		fail_errno(0, "%s/%s", l->dir, path);
	free(path);
	return fd;
}

/* For good: only then may the list that names it go. Whether it is gone now. */
bool lake_unlink(int dirfd, const char *path)
{
	char *dir = xstrndup(path, beneath_dirname(path, strlen(path)));
	int fd = beneath_dir(dirfd, dir);
	bool gone = fd < 0 && errno == ENOENT;

	if (fd >= 0) {
		gone = unlinkat(fd, path + (*dir ? strlen(dir) + 1 : 0), 0) == 0 || errno == ENOENT;
		gone = gone && fsync(fd) == 0;
		close(fd);
	}
	free(dir);
	return gone;
}

void lake_temp_drop(struct lake *l, int64_t temp)
{
	struct lake_temp *t = &l->temp[temp];
	char *path;

	if (!t->dir)
		return;
	path = temp_path(l, t);
	if (!lake_unlink(l->dirfd, path))
		l->litter = true;
	free(path);
	t->dir = NULL;
}

int lake_has_files(struct lake *l, struct span path)
{
	char *name = xstrndup(path.p, path.n);
	int fd = beneath_dir(l->dirfd, name), found = 0;
	struct dirent *e;
	DIR *d;

	if (fd < 0) {
		found = errno == ENOENT ? 0 : bad_place(l, name);
		free(name);
		return found;
	}
	free(name);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return fail_errno(EXIT_IO, "%s: opendir", l->dir);
	}
	while (!found && (e = readdir(d)))
		found = lake_is_data_name((struct span){ e->d_name, strlen(e->d_name) });
	closedir(d);
	return found;
}
