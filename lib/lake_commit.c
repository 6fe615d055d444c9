/* A commit, from the comparison of positions to the roll of the journal. */
#include "beneath.h"
#include "clock.h"
#include "io.h"
#include "lake_writer.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Step 3: does each position stand where this window began? */
static int compare(struct lake *l, const struct lake_commit *c)
{
	const struct lake_name *n = lake_name(l, (struct span){ c->name, strlen(c->name) });

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
	const struct lake_temp *t = &l->temp[f->temp];
	struct journal_file *to = journal_add_file(&d->line);
	char name[64];

	if (f->snapshot)
		snprintf(name, sizeof(name), LAKE_SNAPSHOT ".jsonl%s", f->gzip ? ".gz" : "");
	else
		snprintf(name, sizeof(name), "%08" PRId64 ".jsonl%s", d->line.commit,
		    f->gzip ? ".gz" : "");
	to->file = keep(d, t->dir->path, name);
	lake_temp_name(l, t->number, name, sizeof(name));
	to->tmp = keep(d, "", name);
	to->records = f->records;
	to->bytes = f->bytes;
	to->raw = f->raw;
	to->min_ts = f->min_ts;
	to->max_ts = f->max_ts;
	to->crc32 = f->crc32;
}

/* Overwrite leaves one file in a directory: every other data file there goes. */
static int draft_others(struct lake *l, struct draft *d, const struct lake_dir *in, struct span file)
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

/* Step 3, files: what is there already where the file that was drafted last will be? */
static int draft_place(struct lake *l, struct draft *d, const struct lake_commit *c,
    const struct lake_file *f)
{
	struct span file = d->line.add[d->line.adds - 1].file;
	const struct lake_dir *in = l->temp[f->temp].dir;
	int there;

	if (!f->snapshot) {
		there = lake_exists(l->dirfd, file);
		return there <= 0
		    ? there
		    : fail(EXIT_CANTCREAT,
			  "%s/%.*s: is there already but not in the journal: see jsonl-sink --check; "
			  "--repair moves it away",
			  l->dir, (int)file.n, file.p);
	}
	if (c->exclusive) {
		there = lake_has_files(l, (struct span){ in->path, strlen(in->path) });
		return there <= 0
		    ? there
		    : fail(EXIT_TRYAGAIN,
			  "%s/%s: another writer stored data there meanwhile; nothing was stored: run again",
			  l->dir, in->path);
	}
	return c->remove_others ? draft_others(l, d, in, file) : 0;
}

static int draft_line(struct lake *l, struct draft *d, const struct lake_commit *c)
{
	d->line.commit = l->commit + 1;
	d->line.host = (struct span){ l->host, strlen(l->host) };
	d->line.writer = (struct span){ l->id, strlen(l->id) };
	d->line.name = (struct span){ c->name, strlen(c->name) };
	draft_positions(d, c);
	for (size_t i = 0; i < c->add_count; i++) {
		draft_file(l, d, &c->add[i]);
		if (draft_place(l, d, c, &c->add[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->remove_count; i++)
		journal_add_remove(&d->line, keep(d, "", c->remove[i]));
	return lake_check_names(l->dir, &d->line);
}

/* The files of this commit are not ours to drop any more. */
static void give_up(struct lake *l, const struct lake_commit *c)
{
	for (size_t i = 0; i < c->add_count; i++)
		l->temp[c->add[i].temp].dir = NULL;
}

/*
 * Step 4 went wrong: take the line back. If even that fails, nobody may build on this journal; and the line may be
 * whole, so what it names stays: whoever finds it can finish it, or cut it and sweep.
 */
static int take_back(struct lake *l, const struct lake_commit *c)
{
	int fd;

	if (ftruncate(l->journal_fd, l->reader.at) == 0 && fsync(l->journal_fd) == 0)
		return -1;
	give_up(l, c);
	l->litter = true;
	fd = openat(l->dirfd, META_FAILED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	lake_sync_path(l, META);
	return fail(EXIT_IO,
	    "%s/" META_JOURNAL ": a line could neither be made durable nor be taken back: run "
	    "jsonl-sink --repair",
	    l->dir);
}

/* Step 4: the commit itself. */
static int append(struct lake *l, const struct lake_commit *c, const struct journal_line *line)
{
	struct buf text = BUF_INIT;
	int r = 0;

	journal_format(line, &text);
	if (write_all(l->journal_fd, text.data, text.len) < 0 || fdatasync(l->journal_fd) < 0) {
		fail_errno(EXIT_IO, "%s/" META_JOURNAL, l->dir);
		r = take_back(l, c);
	}
	buf_release(&text);
	return r;
}

/* ---- roll ---- */

/* Appends the snapshot line that begins a new journal: where every name stands. */
static void format_snapshot(const struct lake *l, const char *previous, struct buf *to)
{
	char stamp[CLOCK_ISO_SIZE];
	struct journal_line line = { .snapshot = true, .commit = l->commit };

	line.time = (struct span){ stamp, clock_format_iso(stamp, clock_now_ms()) };
	line.writer = (struct span){ l->id, strlen(l->id) };
	line.host = (struct span){ l->host, strlen(l->host) };
	line.previous = (struct span){ previous, strlen(previous) };
	for (const struct lake_name *n = l->names; n; n = n->next) {
		for (size_t i = 0; i < n->at.count; i++) {
			const struct position *p = n->at.item[i];
			struct journal_position *at = journal_add_position(&line);

			at->name = (struct span){ n->name, strlen(n->name) };
			at->topic = (struct span){ p->topic, p->topic_len };
			at->partition = p->partition;
			at->next = p->next;
			at->last_offset = p->last_offset;
			at->last_ts = p->last_ts;
		}
	}
	journal_format(&line, to);
	journal_line_release(&line);
}

/*
 * A journal.new that is there already is never written to: where rename is a link and an unlink, a power loss between
 * them leaves it as another name of the journal itself.
 */
static int write_new(const struct lake *l, struct span text)
{
	int fd = unlinkat(l->dirfd, META_NEW, 0) < 0 && errno != ENOENT
	    ? -1
	    : openat(l->dirfd, META_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	int r = fd < 0 || write_all(fd, text.p, text.n) < 0 || fsync(fd) < 0 ? -1 : 0;

	if (r < 0)
		fail_errno(EXIT_IO, "%s/" META_NEW, l->dir);
	if (fd >= 0 && close(fd) < 0 && r == 0)
		r = fail_errno(EXIT_IO, "%s/" META_NEW, l->dir);
	return r;
}

/* The N of the journal.N that the journal is to become: a roll that was killed may have linked it already. */
static int64_t next_rolled(const struct lake *l)
{
	int64_t largest = lake_rolled(l->dir, l->dirfd);
	char path[64];
	struct stat st;

	if (largest <= 0)
		return largest < 0 ? -1 : 1;
	snprintf(path, sizeof(path), META_JOURNAL ".%" PRId64, largest);
	if (fstatat(l->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == l->journal_ino)
		return largest;
	return largest + 1;
}

/*
 * The journal has grown: it becomes journal.N, and a new one begins with a snapshot. A name called journal is
 * there at every moment, and each step finds what an earlier attempt has left.
 */
static int roll(struct lake *l)
{
	int64_t number = next_rolled(l);
	char link[64], previous[32];
	struct buf text = BUF_INIT;
	int r;

	if (number < 0)
		return -1;
	snprintf(link, sizeof(link), META_JOURNAL ".%" PRId64, number);
	snprintf(previous, sizeof(previous), "journal.%" PRId64, number);
	format_snapshot(l, previous, &text);
	r = write_new(l, buf_span(&text));
	buf_release(&text);
	if (r < 0)
		return -1;
	if (linkat(l->dirfd, META_JOURNAL, l->dirfd, link, 0) < 0 && errno != EEXIST)
		return fail_errno(EXIT_IO, "%s/%s: link", l->dir, link);
	if (lake_sync_path(l, META) < 0)
		return -1;
	if (renameat(l->dirfd, META_NEW, l->dirfd, META_JOURNAL) < 0)
		return fail_errno(EXIT_IO, "%s/" META_JOURNAL ": rename", l->dir);
	return lake_sync_path(l, META) < 0 ? -1 : lake_refresh(l);
}

/* ---- all of it ---- */

/* What step 4 made durable is ours to finish (step 5) and to know. */
static int settle(struct lake *l, const struct lake_commit *c, const struct draft *d)
{
	give_up(l, c);
	if (lake_refresh(l) < 0)
		return -1;
	if (lake_redo(l->dir, l->dirfd, &d->line) < 0)
		return -1;
	l->done = l->commit;
	while (l->temps > 0 && !l->temp[l->temps - 1].dir)
		l->temps--;
	if (l->temps == 0 && l->dir_count > LAKE_DIRS_KEPT)
		lake_forget_dirs(l);
	/* Nothing of ours is left: the list of a long-running writer must not grow for ever. */
	if (l->temps == 0 && !l->litter && lake_list_clear(l) < 0)
		return -1;
	/* The commit is done, and a journal that could not be rolled serves on: the next commit tries again. */
	if (l->reader.at > l->options.roll_bytes && roll(l) < 0)
		warn("%s; the journal was not rolled", fail_message());
	return 0;
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
		if (append(l, c, &d.line) == 0) {
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
		if (lake_sync_dirs(l, l->temp[c->add[i].temp].dir) < 0)
			return -1;
	lock = lake_enter(l);
	if (lock < 0)
		return -1;
	r = commit_locked(l, c, stands);
	if (r == 0)
		lake_mark_done(lock, l->commit);
	close(lock);
	return r;
}
