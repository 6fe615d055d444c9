/* The writing side. The steps of a commit are numbered as in sluice-lake(5). */
#include "beneath.h"
#include "clock.h"
#include "io.h"
#include "json.h"
#include "lake_internal.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITER_ID 6

/* A directory that holds temporary files, or lies above one that does. */
struct dir {
	char *path;     /* "" is DIR itself */
	bool synced;    /* its entry in the parent and those of its subdirectories are durable */
	struct dir *up; /* NULL for DIR itself */
	struct dir *next;
};

struct temp {
	struct dir *dir; /* NULL: dropped, or taken by a commit */
	int64_t number;
};

/* Where one name stands. */
struct name {
	char *name;
	struct positions at;
	struct name *next;
};

#define DIR_BUCKETS 4096

struct lake {
	char *dir;
	struct lake_options options;
	int dirfd;

	int journal_fd;
	ino_t journal_ino;
	struct journal_reader reader;
	struct journal_line line;
	struct buf last; /* the text of the last commit; empty: a snapshot is the last line */
	int64_t done;    /* the last commit that this writer has seen done */
	int64_t commit;  /* the last commit in the journal */
	struct name *names;

	char id[WRITER_ID + 1];
	int writer_fd;
	struct dir *dirs[DIR_BUCKETS];
	struct temp *temp;
	size_t temps, temps_cap;
	int64_t next_number;
	char host[256];
};

/* ---- state ---- */

static struct name *find_name(struct lake *l, struct span name)
{
	struct name *n = l->names;

	while (n && !span_is(name, n->name))
		n = n->next;
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->name = xstrndup(name.p, name.n);
		n->next = l->names;
		l->names = n;
		positions_init(&n->at, (struct positions_rules){ 0 });
	}
	return n;
}

static void forget_names(struct lake *l)
{
	while (l->names) {
		struct name *n = l->names;

		l->names = n->next;
		positions_release(&n->at);
		free(n->name);
		free(n);
	}
}

static void apply(struct lake *l, const struct journal_line *line)
{
	for (size_t i = 0; i < line->positions; i++) {
		const struct journal_position *p = &line->position[i];
		struct name *n = find_name(l, line->snapshot ? p->name : line->name);

		positions_set(&n->at, p->topic, p->partition, p->next, p->last_offset, p->last_ts);
	}
	l->commit = line->commit;
	buf_clear(&l->last);
	if (!line->snapshot)
		buf_add_span(&l->last, line->raw);
}

void lake_positions(struct lake *l, const char *name, struct positions *to)
{
	const struct name *n = find_name(l, (struct span){ name, strlen(name) });

	for (size_t i = 0; i < n->at.count; i++) {
		const struct position *p = n->at.item[i];

		positions_set(to, (struct span){ p->topic, p->topic_len }, p->partition, p->next,
		    p->last_offset, p->last_ts);
	}
}

/* ---- directories ---- */

static struct dir *get_dir(struct lake *l, const char *path, size_t n)
{
	uint32_t h = 2166136261u;
	struct dir *d;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)path[i]) * 16777619u;
	for (d = l->dirs[h % DIR_BUCKETS]; d; d = d->next)
		if (strlen(d->path) == n && memcmp(d->path, path, n) == 0)
			return d;
	d = xcalloc(1, sizeof(*d));
	d->path = xstrndup(path, n);
	d->next = l->dirs[h % DIR_BUCKETS];
	l->dirs[h % DIR_BUCKETS] = d;
	if (n > 0)
		d->up = get_dir(l, path, beneath_dirname(path, n));
	return d;
}

static int sync_path(struct lake *l, const char *path)
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
 * Step 1, directories. The one that holds the temporary files each time; those above once per run even if
 * they were there: a killed run may have made them and not come this far. Above DIR is DIR's parent.
 */
static int sync_dirs(struct lake *l, struct dir *d)
{
	bool above = !d->synced;
	int fd, r;

	if (sync_path(l, d->path) < 0)
		return -1;
	d->synced = true;
	if (!above)
		return 0;
	if (d->up)
		return d->up->synced ? 0 : sync_dirs(l, d->up);
	fd = openat(l->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A parent that we may not read is not ours to sync, and was not changed by us either. */
	if (fd < 0)
		return errno == EACCES ? 0 : fail_errno(0, "%s/..", l->dir);
	r = fsync(fd);
	if (r < 0)
		fail_errno(EXIT_IO, "%s/..: fsync", l->dir);
	close(fd);
	return r;
}

/* ---- temporary files ---- */

static void temp_name(const struct lake *l, int64_t number, char *to, size_t size)
{
	snprintf(to, size, TEMP_PREFIX "%s-%" PRId64, l->id, number);
}

/* Notes the name in the writer's list before the file is made: whoever finds us dead removes it. */
static int register_temp(struct lake *l, const struct dir *d, const char *name)
{
	struct buf path = BUF_INIT, line = BUF_INIT;
	int r = 0;

	buf_addf(&path, "%s%s%s", d->path, *d->path ? "/" : "", name);
	json_escape(&line, path.data, path.len);
	buf_add_char(&line, '\n');
	if (write_all(l->writer_fd, line.data, line.len) < 0)
		r = fail_errno(EXIT_IO, "%s/" META_WRITERS "/%s", l->dir, l->id);
	buf_release(&path);
	buf_release(&line);
	return r;
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

/* Directories that were made have new entries above them: as many parents must be synced again. */
static void unsync(struct dir *d, int made)
{
	d->synced = false;
	for (; made > 0 && d->up; made--) {
		d = d->up;
		d->synced = false;
	}
}

int64_t lake_temp(struct lake *l, struct span path, int *fd)
{
	struct dir *d = get_dir(l, path.p, path.n);
	char name[64];
	int made, dirfd;

	dirfd = beneath_make_dir(l->dirfd, d->path, &made);
	if (made > 0)
		unsync(d, made);
	if (dirfd < 0)
		return bad_place(l, d->path);
	temp_name(l, l->next_number, name, sizeof(name));
	if (register_temp(l, d, name) < 0) {
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
	l->temp[l->temps] = (struct temp){ d, l->next_number++ };
	return (int64_t)l->temps++;
}

static char *temp_path(const struct lake *l, const struct temp *t)
{
	struct buf b = BUF_INIT;
	char name[64];

	temp_name(l, t->number, name, sizeof(name));
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

/* Whether it is gone now. */
static bool unlink_beneath(int dirfd, const char *path)
{
	char *dir = xstrndup(path, beneath_dirname(path, strlen(path)));
	int fd = beneath_dir(dirfd, dir);
	bool gone = fd < 0 && errno == ENOENT;

	if (fd >= 0) {
		gone = unlinkat(fd, path + (*dir ? strlen(dir) + 1 : 0), 0) == 0 || errno == ENOENT;
		close(fd);
	}
	free(dir);
	return gone;
}

void lake_temp_drop(struct lake *l, int64_t temp)
{
	struct temp *t = &l->temp[temp];
	char *path;

	if (!t->dir)
		return;
	path = temp_path(l, t);
	unlink_beneath(l->dirfd, path);
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

/* ---- opening the lake: the journal, the last commit, the dead ---- */

/* Step 2: what was appended since; all of it again when the journal was rolled. Needs the lock. */
static int open_journal(struct lake *l)
{
	struct stat st;
	char *path;
	int fd;

	if (l->journal_fd >= 0 && fstatat(l->dirfd, META_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == l->journal_ino)
		return 0;
	fd = openat(l->dirfd, META_JOURNAL, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		int64_t rolled = lake_rolled(l->dir, l->dirfd);

		if (rolled < 0)
			return -1;
		if (rolled > 0 || l->journal_fd >= 0)
			return fail(EXIT_DATA,
			    "%s/" META_JOURNAL ": missing, though journal.%" PRId64
			    " is there: restore it, or see "
			    "sluice-lake(5); the lake is not empty",
			    l->dir, rolled);
		fd = openat(l->dirfd, META_JOURNAL,
		    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(0, "%s/" META_JOURNAL, l->dir);
	if (l->journal_fd >= 0) {
		close(l->journal_fd);
		journal_reader_release(&l->reader);
		forget_names(l);
	}
	l->journal_fd = fd;
	l->journal_ino = st.st_ino;
	path = lake_path(l->dir, META_JOURNAL);
	journal_reader_init(&l->reader, fd, path);
	free(path);
	/* Whoever made or rolled it may have died before its name was durable. */
	return sync_path(l, META);
}

static int read_journal(struct lake *l)
{
	int r;

	if (open_journal(l) < 0)
		return -1;
	while ((r = journal_next(&l->reader, &l->line, lake_in_place, &l->dirfd)) > 0)
		apply(l, &l->line);
	if (r < 0)
		return -1;
	if (l->reader.torn) {
		note("%s/" META_JOURNAL ": cut a torn line at byte %" PRId64, l->dir, l->reader.at);
		if (ftruncate(l->journal_fd, l->reader.at) < 0 || fsync(l->journal_fd) < 0)
			return fail_errno(EXIT_IO, "%s/" META_JOURNAL ": cutting a torn line", l->dir);
	}
	return 0;
}

/*
 * Step 2, the last line. Its writer may have died anywhere after it wrote the line, so it is made durable
 * first, then its files get their names. Earlier lines are done: their successors' writers saw to it.
 */
static int finish_last(struct lake *l)
{
	if (l->commit == l->done || l->last.len == 0)
		return 0;
	if (fdatasync(l->journal_fd) < 0)
		return fail_errno(EXIT_IO, "%s/" META_JOURNAL ": fdatasync", l->dir);
	if (journal_parse(&l->line, buf_span(&l->last)) < 0 || lake_redo(l->dir, l->dirfd, &l->line) < 0)
		return -1;
	l->done = l->commit;
	return 0;
}

/* Removes what the list of a dead writer names. A writer holds its list locked while it lives. */
static int sweep_writer(struct lake *l, int writers, const char *id)
{
	int fd = openat(writers, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	enum line_result result;
	struct reader r;
	struct span line;
	bool gone = true;

	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno(0, "%s/" META_WRITERS "/%s", l->dir, id);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return 0;
	}
	reader_init(&r, fd, META_WRITERS, NULL);
	while ((result = reader_line(&r, &line, -1)) == LINE_OK) {
		struct buf file = BUF_INIT;

		if (line.n > 2 && json_valid(line.p, line.n, NULL)) {
			json_unescape(&file, (struct span){ line.p + 1, line.n - 2 });
			if (lake_is_temp_name(basename(buf_cstr(&file))))
				gone = unlink_beneath(l->dirfd, file.data) && gone;
		}
		buf_release(&file);
	}
	reader_release(&r);
	close(fd);
	if (result == LINE_FAIL)
		return -1;
	/* A cut last line names a file that was not made yet. What could not be removed stays listed. */
	if (result != LINE_WAIT && gone) {
		unlinkat(writers, id, 0);
		note("%s: swept the temporary files of writer %s", l->dir, id);
	}
	return 0;
}

static int sweep(struct lake *l)
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
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = sweep_writer(l, fd, e->d_name);
	closedir(d);
	return r;
}

/* A name of our own that nobody had before, and the list behind it, locked while we live. */
static int become_writer(struct lake *l)
{
	static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	unsigned char random[WRITER_ID];
	char path[64];

	do {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return fail_errno(EXIT_IO, "getrandom");
		for (int i = 0; i < WRITER_ID; i++)
			l->id[i] = letters[random[i] % (sizeof(letters) - 1)];
		snprintf(path, sizeof(path), META_WRITERS "/%s", l->id);
		l->writer_fd = openat(l->dirfd, path,
		    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
	} while (l->writer_fd < 0 && errno == EEXIST);
	if (l->writer_fd < 0 || flock(l->writer_fd, LOCK_EX | LOCK_NB) < 0)
		return fail_errno(0, "%s/%s", l->dir, path);
	return 0;
}

/* Locks the lake and brings our picture of it up to date: step 2. The lock's descriptor, or -1. */
static int enter(struct lake *l)
{
	int lock = lake_lock(l->dir, l->dirfd, l->options.lock_timeout_ms);

	if (lock < 0)
		return -1;
	if (faccessat(l->dirfd, META_FAILED, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		fail(EXIT_DATA,
		    "%s/" META_FAILED ": an earlier commit could neither be written nor taken back: "
		    "run jsonl-sink --repair",
		    l->dir);
	else if (read_journal(l) == 0 && finish_last(l) == 0)
		return lock;
	close(lock);
	return -1;
}

static int make_meta(struct lake *l)
{
	if ((mkdirat(l->dirfd, META, 0777) < 0 && errno != EEXIST) ||
	    (mkdirat(l->dirfd, META_WRITERS, 0777) < 0 && errno != EEXIST))
		return fail_errno(0, "%s/" META, l->dir);
	/* All three levels once per run, as for any directory that we write to. */
	return sync_dirs(l, get_dir(l, META_WRITERS, strlen(META_WRITERS)));
}

static int open_lake(struct lake *l)
{
	int lock;

	l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0 && errno == ENOENT && mkdir(l->dir, 0777) == 0)
		l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0)
		return fail_errno(errno == ENOENT ? EXIT_CANTCREAT : 0, "%s", l->dir);
	if (make_meta(l) < 0 || (lock = enter(l)) < 0)
		return -1;
	if (sweep(l) < 0 || become_writer(l) < 0) {
		close(lock);
		return -1;
	}
	close(lock);
	return 0;
}

struct lake *lake_open(const char *dir, const struct lake_options *options)
{
	struct lake *l = xcalloc(1, sizeof(*l));

	l->dir = xstrdup(dir);
	l->options = *options;
	if (l->options.lock_timeout_ms == 0)
		l->options.lock_timeout_ms = LAKE_LOCK_TIMEOUT;
	if (l->options.roll_bytes == 0)
		l->options.roll_bytes = LAKE_ROLL_BYTES;
	l->dirfd = l->journal_fd = l->writer_fd = -1;
	l->done = -1;
	if (gethostname(l->host, sizeof(l->host) - 1) < 0 || !utf8_valid(l->host, strlen(l->host)))
		l->host[0] = '\0';
	if (open_lake(l) == 0)
		return l;
	lake_close(l);
	return NULL;
}

void lake_close(struct lake *l)
{
	char path[64];

	if (!l)
		return;
	for (size_t i = 0; i < l->temps; i++)
		lake_temp_drop(l, (int64_t)i);
	if (l->writer_fd >= 0) {
		snprintf(path, sizeof(path), META_WRITERS "/%s", l->id);
		unlinkat(l->dirfd, path, 0);
		close(l->writer_fd);
	}
	if (l->journal_fd >= 0) {
		close(l->journal_fd);
		journal_reader_release(&l->reader);
	}
	if (l->dirfd >= 0)
		close(l->dirfd);
	for (size_t i = 0; i < DIR_BUCKETS; i++) {
		while (l->dirs[i]) {
			struct dir *d = l->dirs[i];

			l->dirs[i] = d->next;
			free(d->path);
			free(d);
		}
	}
	forget_names(l);
	journal_line_release(&l->line);
	buf_release(&l->last);
	free(l->temp);
	free(l->dir);
	free(l);
}

/* ---- commit ---- */

/* Step 3: does each position stand where this window began? */
static int compare(struct lake *l, const struct lake_commit *c)
{
	const struct name *n = find_name(l, (struct span){ c->name, strlen(c->name) });

	for (size_t i = 0; i < c->position_count; i++) {
		const struct position *want = c->positions[i];
		const struct position *is = positions_find(&n->at,
		    (struct span){ want->topic, want->topic_len }, want->partition);

		if ((is != NULL) == want->from_stored && (!is || is->next == want->from_next))
			continue;
		return fail(EXIT_TRYAGAIN,
		    "%s/%d: another writer of the name \"%s\" moved the position from %" PRId64
		    " to %" PRId64
		    "; nothing since the last commit was stored: run again, or give each pipeline its own -N",
		    want->topic, want->partition, c->name, want->from_stored ? want->from_next : 0,
		    is ? is->next : 0);
	}
	return 0;
}

/* The line that is being made, and the strings that its spans point to. */
struct draft {
	struct journal_line line;
	char **string;
	size_t strings, cap;
};

static void draft_release(struct draft *d)
{
	for (size_t i = 0; i < d->strings; i++)
		free(d->string[i]);
	free(d->string);
	journal_line_release(&d->line);
}

/* "dir/name", kept as long as the draft. */
static struct span keep(struct draft *d, const char *dir, const char *name)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s%s%s", dir, *dir ? "/" : "", name);
	if (d->strings == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 64;
		d->string = xrealloc(d->string, d->cap * sizeof(*d->string));
	}
	d->string[d->strings++] = b.data;
	return buf_span(&b);
}

static void draft_file(struct lake *l, struct draft *d, const struct lake_file *f)
{
	const struct temp *t = &l->temp[f->temp];
	struct journal_file *to = journal_add_file(&d->line);
	char name[64];

	if (f->snapshot)
		snprintf(name, sizeof(name), LAKE_SNAPSHOT ".jsonl%s", f->gzip ? ".gz" : "");
	else
		snprintf(name, sizeof(name), "%08" PRId64 ".jsonl%s", d->line.commit,
		    f->gzip ? ".gz" : "");
	to->file = keep(d, t->dir->path, name);
	temp_name(l, t->number, name, sizeof(name));
	to->tmp = keep(d, "", name);
	to->records = f->records;
	to->bytes = f->bytes;
	to->raw = f->raw;
	to->min_ts = f->min_ts;
	to->max_ts = f->max_ts;
	to->crc32 = f->crc32;
}

/* Overwrite leaves one file in a directory: every other data file there goes. */
static int draft_others(struct lake *l, struct draft *d, const struct dir *in, struct span file)
{
	int fd = beneath_dir(l->dirfd, in->path);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		fail_errno(0, "%s/%s", l->dir, in->path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(dir))) {
		struct span name = { e->d_name, strlen(e->d_name) }, other;
		struct stat st;

		if (!lake_is_data_name(name) ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    S_ISDIR(st.st_mode))
			continue;
		if (!utf8_valid(name.p, name.n)) {
			closedir(dir);
			return fail(EXIT_CANTCREAT,
			    "%s/%s: has a data file whose name is no UTF-8: move it away", l->dir,
			    in->path);
		}
		other = keep(d, in->path, e->d_name);
		if (!span_eq(other, file))
			journal_add_remove(&d->line, other);
	}
	closedir(dir);
	return 0;
}

static void draft_positions(struct draft *d, const struct lake_commit *c)
{
	for (size_t i = 0; i < c->position_count; i++) {
		const struct position *p = c->positions[i];
		struct journal_position *to = journal_add_position(&d->line);

		to->topic = (struct span){ p->topic, p->topic_len };
		to->partition = p->partition;
		to->from = p->from_stored ? p->from_next : -1;
		to->next = p->next;
		to->last_offset = p->last_offset;
		to->last_ts = p->last_ts;
	}
}

static int draft_line(struct lake *l, struct draft *d, const struct lake_commit *c)
{
	d->line.commit = l->commit + 1;
	d->line.host = (struct span){ l->host, strlen(l->host) };
	d->line.writer = (struct span){ l->id, strlen(l->id) };
	d->line.name = (struct span){ c->name, strlen(c->name) };
	draft_positions(d, c);
	for (size_t i = 0; i < c->add_count; i++) {
		const struct lake_file *f = &c->add[i];
		struct span file;
		int there;

		draft_file(l, d, f);
		file = d->line.add[d->line.adds - 1].file;
		if (!f->snapshot && (there = lake_exists(l->dirfd, file)) != 0)
			return there < 0
			    ? -1
			    : fail(EXIT_CANTCREAT,
				  "%s/%.*s: is there already but not in the journal: move it away",
				  l->dir, (int)file.n, file.p);
		if (c->remove_others && f->snapshot &&
		    draft_others(l, d, l->temp[f->temp].dir, file) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->remove_count; i++)
		journal_add_remove(&d->line, keep(d, "", c->remove[i]));
	return 0;
}

/* Step 4 went wrong: take the line back. If even that fails, nobody may build on this journal. */
static int take_back(struct lake *l)
{
	int fd;

	if (ftruncate(l->journal_fd, l->reader.at) == 0 && fsync(l->journal_fd) == 0)
		return -1;
	fd = openat(l->dirfd, META_FAILED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	sync_path(l, META);
	return fail(EXIT_IO,
	    "%s/" META_JOURNAL ": a line could neither be made durable nor be taken back: run "
	    "jsonl-sink --repair",
	    l->dir);
}

/* Step 4: the commit itself. */
static int append(struct lake *l, const struct journal_line *line)
{
	struct buf text = BUF_INIT;
	int r = 0;

	journal_format(line, &text);
	if (write_all(l->journal_fd, text.data, text.len) < 0 || fdatasync(l->journal_fd) < 0) {
		fail_errno(EXIT_IO, "%s/" META_JOURNAL, l->dir);
		r = take_back(l);
	}
	buf_release(&text);
	return r;
}

/* The journal has grown: a snapshot of all positions begins a new one, the old one becomes journal.N. */
static int roll(struct lake *l)
{
	int64_t number = lake_rolled(l->dir, l->dirfd);
	struct draft d = { 0 };
	struct buf text = BUF_INIT;
	char stamp[CLOCK_ISO_SIZE], link[64], previous[32];
	struct stat st;
	int fd, r;

	if (number < 0)
		return -1;
	/* A roll that was killed may have linked it already. */
	snprintf(link, sizeof(link), META_JOURNAL ".%" PRId64, number);
	if (number == 0 || fstatat(l->dirfd, link, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_ino != l->journal_ino)
		snprintf(link, sizeof(link), META_JOURNAL ".%" PRId64, ++number);
	snprintf(previous, sizeof(previous), "journal.%" PRId64, number);
	d.line.snapshot = true;
	d.line.commit = l->commit;
	d.line.time = (struct span){ stamp, clock_format_iso(stamp, clock_now_ms()) };
	d.line.writer = (struct span){ l->id, strlen(l->id) };
	d.line.host = (struct span){ l->host, strlen(l->host) };
	d.line.previous = (struct span){ previous, strlen(previous) };
	for (struct name *n = l->names; n; n = n->next) {
		for (size_t i = 0; i < n->at.count; i++) {
			const struct position *p = n->at.item[i];
			struct journal_position *to = journal_add_position(&d.line);

			to->name = (struct span){ n->name, strlen(n->name) };
			to->topic = (struct span){ p->topic, p->topic_len };
			to->partition = p->partition;
			to->next = p->next;
			to->last_offset = p->last_offset;
			to->last_ts = p->last_ts;
		}
	}
	journal_format(&d.line, &text);
	fd = openat(l->dirfd, META_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	r = fd < 0 || write_all(fd, text.data, text.len) < 0 || fsync(fd) < 0 ? -1 : 0;
	if (fd >= 0 && close(fd) < 0)
		r = -1;
	if (r == 0 && linkat(l->dirfd, META_JOURNAL, l->dirfd, link, 0) < 0 && errno != EEXIST)
		r = -1;
	if (r < 0)
		fail_errno(EXIT_IO, "%s/" META_NEW, l->dir);
	if (r == 0)
		r = sync_path(l, META);
	if (r == 0 && renameat(l->dirfd, META_NEW, l->dirfd, META_JOURNAL) < 0)
		r = fail_errno(EXIT_IO, "%s/" META_JOURNAL ": rename", l->dir);
	if (r == 0)
		r = sync_path(l, META);
	if (r == 0)
		r = read_journal(l);
	buf_release(&text);
	draft_release(&d);
	return r;
}

/* What step 4 made durable is ours to finish (step 5) and to know. */
static int settle(struct lake *l, const struct lake_commit *c, const struct draft *d)
{
	for (size_t i = 0; i < c->add_count; i++)
		l->temp[c->add[i].temp].dir = NULL;
	if (read_journal(l) < 0)
		return -1;
	if (lake_redo(l->dir, l->dirfd, &d->line) < 0)
		return -1;
	l->done = l->commit;
	while (l->temps > 0 && !l->temp[l->temps - 1].dir)
		l->temps--;
	/* Nothing of ours is left: the list of a long-running writer must not grow for ever. */
	if (l->temps == 0 && ftruncate(l->writer_fd, 0) < 0)
		return fail_errno(EXIT_IO, "%s/" META_WRITERS "/%s", l->dir, l->id);
	return l->reader.at > l->options.roll_bytes ? roll(l) : 0;
}

static int commit_locked(struct lake *l, const struct lake_commit *c, bool *stands)
{
	struct draft d = { 0 };
	char stamp[CLOCK_ISO_SIZE];
	int r = -1;

	if (compare(l, c) < 0)
		return -1;
	if (draft_line(l, &d, c) == 0) {
		d.line.time = (struct span){ stamp, clock_format_iso(stamp, clock_now_ms()) };
		if (append(l, &d.line) == 0) {
			*stands = true;
			r = settle(l, c, &d);
		}
	}
	draft_release(&d);
	return r;
}

int lake_commit(struct lake *l, const struct lake_commit *c, bool *stands)
{
	int lock, r;

	*stands = false;
	for (size_t i = 0; i < c->add_count; i++)
		if (sync_dirs(l, l->temp[c->add[i].temp].dir) < 0)
			return -1;
	lock = enter(l);
	if (lock < 0)
		return -1;
	r = commit_locked(l, c, stands);
	close(lock);
	return r;
}
