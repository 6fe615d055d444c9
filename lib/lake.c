/* Opening a lake for writing: what the journal says, the last commit, and the dead. */
#include "beneath.h"
#include "io.h"
#include "json.h"
#include "lake_writer.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- state ---- */

struct lake_name *lake_name(struct lake *l, struct span name)
{
	struct lake_name *n = l->names;

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
		struct lake_name *n = l->names;

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
		struct lake_name *n = lake_name(l, line->snapshot ? p->name : line->name);

		positions_set(&n->at, p->topic, p->partition, p->next, p->last_offset, p->last_ts);
	}
	l->commit = line->commit;
	buf_clear(&l->last);
	if (!line->snapshot)
		buf_add_span(&l->last, line->raw);
}

void lake_positions(struct lake *l, const char *name, struct positions *to)
{
	const struct lake_name *n = lake_name(l, (struct span){ name, strlen(name) });

	for (size_t i = 0; i < n->at.count; i++) {
		const struct position *p = n->at.item[i];

		positions_set(to, (struct span){ p->topic, p->topic_len }, p->partition, p->next,
		    p->last_offset, p->last_ts);
	}
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
		if (lake_journal_missing(l->dir, l->dirfd,
			l->commit > l->known ? l->commit : l->known) < 0)
			return -1;
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
	return lake_sync_path(l, META);
}

int lake_refresh(struct lake *l)
{
	int r;

	if (open_journal(l) < 0)
		return -1;
	while ((r = journal_next(&l->reader, &l->line, lake_in_place, &l->dirfd)) > 0)
		apply(l, &l->line);
	if (r < 0 || lake_check_end(&l->reader, l->commit, l->known) < 0)
		return -1;
	if (l->reader.torn) {
		note("%s/" META_JOURNAL ": cut a torn line at byte %" PRId64, l->dir, l->reader.at);
		if (ftruncate(l->journal_fd, l->reader.at) < 0 || fsync(l->journal_fd) < 0)
			return fail_errno(EXIT_IO, "%s/" META_JOURNAL ": cutting a torn line", l->dir);
	}
	return 0;
}

/* Makes the last line durable. When nobody has seen it done, its writer may have failed or died on the way. */
static int secure_last(struct lake *l)
{
	int fd, r;

	if (l->known >= l->commit)
		return fdatasync(l->journal_fd) == 0
		    ? 0
		    : fail_errno(EXIT_IO, "%s/" META_JOURNAL ": fdatasync", l->dir);
	fd = openat(l->dirfd, META_JOURNAL, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(0, "%s/" META_JOURNAL, l->dir);
	r = lake_secure(l->dir, fd, l->reader.at - (int64_t)l->last.len - 1, buf_span(&l->last));
	close(fd);
	return r;
}

/*
 * Step 2, the last line. Its writer may have died anywhere after it wrote the line, so it is made durable
 * first, then its files get their names. Earlier lines are done: their successors' writers saw to it.
 */
static int finish_last(struct lake *l)
{
	if (l->commit == l->done || l->last.len == 0)
		return 0;
	if (secure_last(l) < 0)
		return -1;
	if (journal_parse(&l->line, buf_span(&l->last)) < 0 || lake_redo(l->dir, l->dirfd, &l->line) < 0)
		return -1;
	l->done = l->commit;
	return 0;
}

/* Locks the lake and brings our picture of it up to date: step 2. The lock's descriptor, or -1. */
int lake_enter(struct lake *l)
{
	int lock = lake_lock(l->dir, l->dirfd, l->options.lock_timeout_ms);

	if (lock < 0)
		return -1;
	l->known = lake_get_done(lock);
	if (faccessat(l->dirfd, META_FAILED, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		fail(EXIT_DATA,
		    "%s/" META_FAILED ": an earlier commit could neither be written nor taken back: "
		    "run jsonl-sink --repair",
		    l->dir);
	else if (lake_refresh(l) == 0 && finish_last(l) == 0) {
		lake_mark_done(lock, l->commit);
		return lock;
	}
	close(lock);
	return -1;
}

/*
 * A lake in a lake would be unknown files to the outer one, and its --repair would take them out. 0, or -1 with
 * fail() when a directory above is a lake; one that we may not look at is none.
 */
static int refuse_nested(const struct lake *l)
{
	struct stat here, up;
	int fd = openat(l->dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), above;

	while (fd >= 0) {
		above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (above < 0 || fstat(fd, &here) < 0 || fstat(above, &up) < 0 ||
		    (here.st_dev == up.st_dev && here.st_ino == up.st_ino)) {
			if (above >= 0)
				close(above);
			break;
		}
		close(fd);
		fd = above;
		if (faccessat(fd, META_JOURNAL, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
			close(fd);
			return fail(EXIT_CANTCREAT,
			    "%s: lies within another lake: use that one, or another place", l->dir);
		}
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static int make_meta(struct lake *l)
{
	int fd;

	if (faccessat(l->dirfd, META, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && refuse_nested(l) < 0)
		return -1;
	if ((mkdirat(l->dirfd, META, 0777) < 0 && errno != EEXIST) ||
	    (mkdirat(l->dirfd, META_WRITERS, 0777) < 0 && errno != EEXIST))
		return fail_errno(0, "%s/" META, l->dir);
	fd = beneath_dir(l->dirfd, META_WRITERS); /* nothing on the way is a symlink */
	if (fd < 0)
		return fail_errno(0, "%s/" META_WRITERS, l->dir);
	close(fd);
	return 0;
}

static int open_lake(struct lake *l)
{
	int lock;

	l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0 && errno == ENOENT && (mkdir(l->dir, 0777) == 0 || errno == EEXIST))
		l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0)
		return fail_errno(errno == ENOENT ? EXIT_CANTCREAT : 0, "%s", l->dir);
	if (make_meta(l) < 0 || (lock = lake_enter(l)) < 0)
		return -1;
	if (lake_sweep(l) < 0 || lake_list_open(l) < 0) {
		close(lock);
		return -1;
	}
	close(lock);
	/*
	 * All levels once per run, as for any directory that we write to; and the name of our list, before any
	 * temporary file is made: what a power loss leaves of those is found by it.
	 */
	return lake_sync_dirs(l, lake_dir(l, META_WRITERS, strlen(META_WRITERS)));
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
	if (!l)
		return;
	for (size_t i = 0; i < l->temps; i++)
		lake_temp_drop(l, (int64_t)i);
	lake_list_close(l);
	if (l->journal_fd >= 0) {
		close(l->journal_fd);
		journal_reader_release(&l->reader);
	}
	if (l->dirfd >= 0)
		close(l->dirfd);
	lake_forget_dirs(l);
	forget_names(l);
	journal_line_release(&l->line);
	buf_release(&l->last);
	free(l->temp);
	free(l->dir);
	free(l);
}
