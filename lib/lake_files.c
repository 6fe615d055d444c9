/* What readers and writers of a lake share: names, the lock, and finishing a commit. */
#include "beneath.h"
#include "clock.h"
#include "lake_internal.h"
#include "log.h"
#include "opt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool ends_with(struct span s, const char *tail)
{
	size_t n = strlen(tail);

	return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

static struct span base_name(struct span file)
{
	size_t dir = beneath_dirname(file.p, file.n), skip = dir ? dir + 1 : 0;

	return (struct span){ file.p + skip, file.n - skip };
}

bool lake_is_data_name(struct span file)
{
	struct span base = base_name(file);

	return base.n > 0 && base.p[0] != '.' &&
	    (ends_with(base, ".jsonl") || ends_with(base, ".jsonl.gz"));
}

bool lake_is_snapshot_name(struct span file)
{
	struct span base = base_name(file);

	return span_is(base, SNAPSHOT_PREFIX) || span_is(base, SNAPSHOT_PREFIX ".gz");
}

bool lake_is_temp_name(const char *name)
{
	return strncmp(name, TEMP_PREFIX, sizeof(TEMP_PREFIX) - 1) == 0;
}

char *lake_path(const char *dir, const char *file)
{
	struct buf b = BUF_INIT;
	size_t n = strlen(dir);

	buf_addf(&b, "%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", file);
	buf_cstr(&b);
	return b.data;
}

int lake_exists(int dirfd, struct span file)
{
	size_t n = beneath_dirname(file.p, file.n);
	char *dir = xstrndup(file.p, n),
	     *base = xstrndup(file.p + (n ? n + 1 : 0), file.n - (n ? n + 1 : 0));
	int fd = beneath_dir(dirfd, dir), there = 0;
	struct stat st;

	if (fd < 0 && errno != ENOENT)
		there = fail_errno(0, "%s", dir);
	if (fd >= 0) {
		there = fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (!there && errno != ENOENT)
			there = fail_errno(0, "%.*s", (int)file.n, file.p);
		close(fd);
	}
	free(dir);
	free(base);
	return there;
}

bool lake_in_place(void *ctx, struct span file, struct span tmp)
{
	int dirfd = *(int *)ctx;
	size_t n = beneath_dirname(file.p, file.n);
	struct buf path = BUF_INIT;
	bool gone;

	/* Of a name that is lost only the other one tells, and a snapshot may be the one before. */
	if (tmp.n == 0)
		return !lake_is_snapshot_name(file) && lake_exists(dirfd, file) > 0;
	buf_addf(&path, "%.*s%s%.*s", (int)n, file.p, n ? "/" : "", (int)tmp.n, tmp.p);
	gone = lake_exists(dirfd, buf_span(&path)) == 0;
	buf_release(&path);
	return gone;
}

int64_t lake_rolled(const char *dir, int dirfd)
{
	static const char lead[] = "journal.";
	int fd = beneath_dir(dirfd, META);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int64_t largest = 0;

	if (!d) {
		fail_errno(0, "%s/" META, dir);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(d))) {
		int64_t n;

		if (strncmp(e->d_name, lead, sizeof(lead) - 1) != 0)
			continue;
		if (opt_int(e->d_name + sizeof(lead) - 1, 0, INT64_MAX - 1, &n) == 0 && n > largest)
			largest = n;
	}
	closedir(d);
	return largest;
}

int lake_lock(const char *dir, int dirfd, int64_t timeout_ms)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	struct timespec pause = { 0, 1000000 };
	int fd = openat(dirfd, META_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);

	if (fd < 0)
		return fail_errno(0, "%s/" META_LOCK, dir);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			fail_errno(EXIT_IO, "%s/" META_LOCK ": flock", dir);
			close(fd);
			return -1;
		}
		if (clock_mono_ms() >= deadline) {
			close(fd);
			return fail(EXIT_TRYAGAIN,
			    "%s/" META_LOCK ": another writer has been in a commit for %lld s", dir,
			    (long long)timeout_ms / 1000);
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 20000000)
			pause.tv_nsec *= 2;
	}
	return fd;
}

/* ---- what was done ---- */

int64_t lake_get_done(int lock)
{
	char text[100];
	ssize_t n = pread(lock, text, sizeof(text), 0);

	return n <= 0 ? 0 : journal_parse_done((struct span){ text, (size_t)n });
}

int64_t lake_done(int dirfd)
{
	int fd = openat(dirfd, META_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int64_t done = fd < 0 ? 0 : lake_get_done(fd);

	if (fd >= 0)
		close(fd);
	return done;
}

/* What a failure leaves here is an older number or none. */
void lake_set_done(int lock, int64_t commit)
{
	struct buf text = BUF_INIT;
	ssize_t n;

	journal_format_done(commit, &text);
	n = pwrite(lock, text.data, text.len, 0);
	if (ftruncate(lock, n == (ssize_t)text.len ? n : 0) < 0)
		note(META_LOCK ": %s", strerror(errno));
	buf_release(&text);
}

void lake_mark_done(int lock, int64_t commit)
{
	if (commit > lake_get_done(lock))
		lake_set_done(lock, commit);
}

int lake_journal_missing(const char *dir, int dirfd, int64_t done)
{
	int64_t rolled = lake_rolled(dir, dirfd);

	if (rolled > 0)
		return fail(EXIT_DATA,
		    "%s/" META_JOURNAL ": missing, though journal.%" PRId64
		    " is there: restore it, or see sluice-lake(5); the lake is not empty",
		    dir, rolled);
	if (rolled == 0 && done > 0)
		return fail(EXIT_DATA,
		    "%s/" META_JOURNAL ": missing, though commit %" PRId64
		    " was done: restore it, or see sluice-lake(5); the lake is not empty",
		    dir, done);
	return (int)rolled;
}

int lake_check_end(const struct journal_reader *r, int64_t commit, int64_t done)
{
	if (commit >= done)
		return 0;
	return fail(EXIT_DATA,
	    "%s: line %" PRId64 " (byte %" PRId64 "): damaged or missing, but commit %" PRId64
	    " was done; see jsonl-sink --check and --repair",
	    r->name, r->lines + 1, r->at, done);
}

/* ---- finishing a commit ---- */

int lake_secure(const char *dir, int journal, int64_t at, struct span line)
{
	struct buf text = BUF_INIT;
	size_t done = 0;
	ssize_t n = 0;

	buf_add_span(&text, line);
	buf_add_char(&text, '\n');
	while (done < text.len && (n >= 0 || errno == EINTR)) {
		n = pwrite(journal, text.data + done, text.len - done, at + (int64_t)done);
		if (n > 0)
			done += (size_t)n;
	}
	buf_release(&text);
	if (n < 0 || fdatasync(journal) < 0)
		return fail_errno(EXIT_IO, "%s/" META_JOURNAL, dir);
	return 0;
}

/* One directory at a time stays open: the files of a line come grouped. */
struct place {
	const char *dir; /* of the lake, for messages */
	int dirfd;
	char *path; /* the directory that is open; NULL: none */
	int fd;
};

/* Leaves a directory: what was done in it becomes durable. */
static int leave(struct place *at)
{
	int r = 0;

	if (!at->path)
		return 0;
	if (fsync(at->fd) < 0)
		r = fail_errno(EXIT_IO, "%s/%s: fsync", at->dir, at->path);
	close(at->fd);
	free(at->path);
	at->path = NULL;
	return r;
}

/* Goes to the directory of `file`. 1; 0 when there is no such directory; -1. */
static int go_to(struct place *at, struct span file)
{
	size_t n = beneath_dirname(file.p, file.n);
	bool absent;

	if (at->path && strlen(at->path) == n && memcmp(at->path, file.p, n) == 0)
		return 1;
	if (leave(at) < 0)
		return -1;
	at->path = xstrndup(file.p, n);
	at->fd = beneath_dir(at->dirfd, at->path);
	if (at->fd >= 0)
		return 1;
	absent = errno == ENOENT;
	fail_errno(0, "%s/%s", at->dir, at->path);
	free(at->path);
	at->path = NULL;
	return absent ? 0 : -1;
}

static bool same_file(int fd, const char *a, const char *b)
{
	struct stat x, y;

	return fstatat(fd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstatat(fd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 && x.st_ino == y.st_ino;
}

/* rename that must not replace; where the file system cannot promise it, the lake's lock does. */
static int rename_new(int fd, const char *from, const char *to)
{
	struct stat st;

	if (renameat2(fd, from, fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (fstatat(fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (fstatat(fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(fd, from, fd, to);
}

static int redo_file(const struct place *at, const struct journal_file *f)
{
	struct span base = base_name(f->file);
	char *to = xstrndup(base.p, base.n), *from = xstrndup(f->tmp.p, f->tmp.n);
	int r = lake_is_snapshot_name(f->file) ? renameat(at->fd, from, at->fd, to)
					       : rename_new(at->fd, from, to);
	struct stat st;

	if (r < 0 && errno == ENOENT && fstatat(at->fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		r = 0; /* done before */
	else if (r < 0 && errno == ENOENT)
		fail(EXIT_DATA,
		    "%s/%.*s: the journal has it, but neither it nor its temporary file %s is there: run "
		    "jsonl-sink --repair",
		    at->dir, (int)f->file.n, f->file.p, from);
	else if (r < 0 && errno == EEXIST && same_file(at->fd, from, to))
		r = unlinkat(at->fd, from, 0);
	else if (r < 0)
		fail_errno(EXIT_IO, "%s/%.*s: rename", at->dir, (int)f->file.n, f->file.p);
	free(to);
	free(from);
	return r;
}

static int redo_remove(const struct place *at, struct span file)
{
	struct span base = base_name(file);
	char *name = xstrndup(base.p, base.n);
	int r = unlinkat(at->fd, name, 0);

	if (r < 0 && errno == ENOENT)
		r = 0;
	if (r < 0)
		fail_errno(EXIT_IO, "%s/%.*s: unlink", at->dir, (int)file.n, file.p);
	free(name);
	return r;
}

static int odd_name(const char *dir, const struct journal_line *line, struct span name)
{
	return fail(EXIT_DATA,
	    "%s/" META_JOURNAL ": commit %" PRId64 ": \"%.*s\", which no writer of a lake names",
	    dir, line->commit, (int)name.n, name.p);
}

/* A temporary name stands alone: what is renamed lies in the directory of the file. */
static bool is_temp_span(struct span name)
{
	return name.n >= sizeof(TEMP_PREFIX) &&
	    memcmp(name.p, TEMP_PREFIX, sizeof(TEMP_PREFIX) - 1) == 0 &&
	    !memchr(name.p, '/', name.n) && !memchr(name.p, '\0', name.n);
}

static bool is_data_span(struct span file)
{
	return lake_is_data_name(file) && !memchr(file.p, '\0', file.n);
}

int lake_check_names(const char *dir, const struct journal_line *line)
{
	for (size_t i = 0; i < line->adds; i++) {
		const struct journal_file *f = &line->add[i];

		if (!is_data_span(f->file) || !is_temp_span(f->tmp))
			return odd_name(dir, line, is_data_span(f->file) ? f->tmp : f->file);
	}
	for (size_t i = 0; i < line->removes; i++)
		if (!is_data_span(line->remove[i]))
			return odd_name(dir, line, line->remove[i]);
	return 0;
}

int lake_redo(const char *dir, int dirfd, const struct journal_line *line)
{
	struct place at = { .dir = dir, .dirfd = dirfd };
	int r = lake_check_names(dir, line);

	for (size_t i = 0; r == 0 && i < line->adds; i++) {
		r = go_to(&at, line->add[i].file);
		if (r == 0)
			r = fail(EXIT_DATA,
			    "%s/%.*s: the journal has it, but its directory is not there: run jsonl-sink "
			    "--repair",
			    dir, (int)line->add[i].file.n, line->add[i].file.p);
		else if (r > 0)
			r = redo_file(&at, &line->add[i]);
	}
	for (size_t i = 0; r == 0 && i < line->removes; i++) {
		r = go_to(&at, line->remove[i]);
		if (r > 0)
			r = redo_remove(&at, line->remove[i]);
	}
	if (r == 0)
		return leave(&at);
	if (at.path) {
		close(at.fd);
		free(at.path);
	}
	return -1;
}
