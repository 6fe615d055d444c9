/*
 * The list of a writer: which temporary files are to be removed when it is dead. Each is listed before it is
 * made, so after a kill the list has them all. It is not synced line by line, so after a power loss it may not;
 * but then its name is there, which is synced before the first temporary file is made, and its first line
 * is not that of this boot: all of the lake is searched for the files of that writer.
 */
#include "beneath.h"
#include "io.h"
#include "json.h"
#include "lake_writer.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* {"boot":"..."}: what was written since then and not lost is whole. */
static void find_boot(struct lake *l)
{
	size_t n;
	char *id = read_file(BOOT_ID, &n);

	if (id && n > 1) {
		buf_add_str(&l->boot, "{\"boot\":");
		json_escape(&l->boot, id, strcspn(id, "\n"));
		buf_add_str(&l->boot, "}\n");
	}
	free(id);
}

/* ---- our own ---- */

static int put(struct lake *l, struct span text)
{
	if (write_all(l->writer_fd, text.p, text.n) == 0)
		return 0;
	return fail_errno(EXIT_IO, "%s/" META_WRITERS "/%s", l->dir, l->id);
}

int lake_list_open(struct lake *l)
{
	static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	unsigned char random[LAKE_WRITER_ID];
	char path[64];

	do {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return fail_errno(EXIT_IO, "getrandom");
		for (int i = 0; i < LAKE_WRITER_ID; i++)
			l->id[i] = letters[random[i] % (sizeof(letters) - 1)];
		snprintf(path, sizeof(path), META_WRITERS "/%s", l->id);
		l->writer_fd = openat(l->dirfd, path,
		    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
	} while (l->writer_fd < 0 && errno == EEXIST);
	if (l->writer_fd < 0 || flock(l->writer_fd, LOCK_EX | LOCK_NB) < 0)
		return fail_errno(0, "%s/%s", l->dir, path);
	return put(l, buf_span(&l->boot));
}

int lake_list_add(struct lake *l, const struct lake_dir *d, const char *name)
{
	struct buf path = BUF_INIT, line = BUF_INIT;
	int r;

	buf_addf(&path, "%s%s%s", d->path, *d->path ? "/" : "", name);
	json_escape(&line, path.data, path.len);
	buf_add_char(&line, '\n');
	r = put(l, buf_span(&line));
	buf_release(&path);
	buf_release(&line);
	return r;
}

int lake_list_clear(struct lake *l)
{
	if (ftruncate(l->writer_fd, (off_t)l->boot.len) == 0)
		return 0;
	return fail_errno(EXIT_IO, "%s/" META_WRITERS "/%s", l->dir, l->id);
}

void lake_list_close(struct lake *l)
{
	char path[64];

	if (l->writer_fd >= 0) {
		snprintf(path, sizeof(path), META_WRITERS "/%s", l->id);
		if (!l->litter)
			unlinkat(l->dirfd, path, 0);
		close(l->writer_fd);
	}
	buf_release(&l->boot);
}

/* ---- those of the dead ---- */

struct dead {
	struct lake *lake;
	const char *id;
	bool gone; /* all that was found */
};

/* Removes a temporary file of the dead writer, and leaves anything else alone. */
static int remove_temp(void *ctx, const char *file)
{
	struct dead *d = ctx;
	const char *base = strrchr(file, '/'), *name = base ? base + 1 : file;
	size_t n = strlen(d->id);

	if (lake_is_temp_name(name) && strncmp(name += sizeof(TEMP_PREFIX) - 1, d->id, n) == 0 &&
	    name[n] == '-')
		d->gone = lake_unlink(d->lake->dirfd, file) && d->gone;
	return 0;
}

/* 1: all that it names was looked at; 0: it may not name all; -1 with fail(). */
static int read_list(struct dead *d, int fd)
{
	struct lake *l = d->lake;
	enum line_result result;
	struct reader r;
	struct span line;
	int whole = 0;

	reader_init(&r, fd, META_WRITERS, NULL);
	while ((result = reader_line(&r, &line, -1)) == LINE_OK) {
		struct buf file = BUF_INIT;

		if (r.lines == 1)
			whole = l->boot.len > 0 &&
			    span_eq(line, (struct span){ l->boot.data, l->boot.len - 1 });
		if (line.n > 2 && *line.p == '"' && json_valid(line.p, line.n, NULL)) {
			json_unescape(&file, (struct span){ line.p + 1, line.n - 2 });
			remove_temp(d, buf_cstr(&file));
		}
		buf_release(&file);
	}
	reader_release(&r);
	if (result == LINE_WAIT)
		d->gone = false; /* a signal: the next one goes on */
	return result == LINE_FAIL ? -1 : whole;
}

/* A writer holds its list locked while it lives. */
static int sweep_writer(struct lake *l, int writers, const char *id)
{
	int fd = openat(writers, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r;
	struct dead d = { l, id, true };

	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno(0, "%s/" META_WRITERS "/%s", l->dir, id);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return 0;
	}
	r = read_list(&d, fd);
	close(fd);
	if (r < 0)
		return -1;
	if (r == 0 && lake_each_temp(l->dirfd, remove_temp, &d) < 0) {
		note("%s: looking for the temporary files of writer %s", fail_message(), id);
		d.gone = false; /* no reason not to write; the next one tries again */
	}
	/* A cut last line names a file that was not made yet. What could not be removed stays listed. */
	if (d.gone) {
		unlinkat(writers, id, 0);
		note("%s: swept the temporary files of writer %s", l->dir, id);
	}
	return 0;
}

int lake_sweep(struct lake *l)
{
	int fd = beneath_dir(l->dirfd, META_WRITERS), r = 0;
	struct dirent *e;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d) {
		fail_errno(0, "%s/" META_WRITERS, l->dir);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	find_boot(l);
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = sweep_writer(l, fd, e->d_name);
	closedir(d);
	return r;
}
