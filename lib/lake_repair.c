/*
 * Repair. What it takes out of the lake it moves to .sluice/damaged and names; it deletes only temporary files
 * of the dead. The order: first the last line of the journal, so that writers can go on; then the
 * files that the journal names; then what it does not name.
 */
#include "beneath.h"
#include "gzip.h"
#include "lake_internal.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_DAMAGED META "/damaged"

struct repair {
	const char *dir;
	int dirfd;
	int journal;
	int64_t commit; /* the last that the journal has */
	int64_t done;   /* the last that was seen done */
	bool anything;
};

/* ---- quarantine ---- */

/*
 * A name in .sluice/damaged that is free: the path with its slashes made commas, and no suffix that a reader's
 * pattern could match.
 */
static void damaged_name(int damaged, const char *file, struct buf *to)
{
	size_t n = strlen(file), stem,
	       skip = n > 200 ? n - 200 : 0; /* the end tells more than the beginning */

	buf_add(to, file + skip, n - skip);
	for (size_t i = 0; i < to->len; i++)
		if (to->data[i] == '/')
			to->data[i] = ',';
	stem = to->len;
	buf_add_str(to, ".damaged");
	for (int i = 2; faccessat(damaged, buf_cstr(to), F_OK, AT_SYMLINK_NOFOLLOW) == 0; i++) {
		to->len = stem;
		buf_addf(to, ".damaged-%d", i);
	}
}

/* It has its new name for good before it loses the old one: a power loss may take either half of a rename. */
static int move(struct repair *r, int from, const char *file, size_t base, int damaged)
{
	struct buf to = BUF_INIT;
	int result = 0;

	damaged_name(damaged, file, &to);
	if (linkat(from, file + base, damaged, buf_cstr(&to), 0) == 0 && fsync(damaged) == 0 &&
	    unlinkat(from, file + base, 0) == 0 && fsync(from) == 0) {
		say("%s/%s: moved to " META_DAMAGED "/%s", r->dir, file, buf_cstr(&to));
		r->anything = true;
	} else if (errno != ENOENT) {
		result = fail_errno(EXIT_IO, "%s/%s: moving it to " META_DAMAGED, r->dir, file);
	}
	buf_release(&to);
	return result;
}

/* .sluice/damaged, its own name durable: what is moved there is not to be lost with it. fd, or -1 with fail(). */
static int open_damaged(struct repair *r)
{
	int made, fd = beneath_make_dir(r->dirfd, META_DAMAGED, &made),
		  meta = fd < 0 ? -1 : beneath_dir(r->dirfd, META);

	if (meta >= 0 && fsync(meta) == 0) {
		close(meta);
		return fd;
	}
	fail_errno(0, "%s/" META_DAMAGED, r->dir);
	if (meta >= 0)
		close(meta);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Moves a file below DIR to .sluice/damaged. 0 also when it is not there, or is none that a journal may name. */
static int quarantine(struct repair *r, const char *file)
{
	size_t n = beneath_dirname(file, strlen(file));
	int from, result = -1, damaged;
	char *dir;

	if (!lake_is_data_name((struct span){ file, strlen(file) }) &&
	    !lake_is_temp_name(file + (n ? n + 1 : 0)))
		return 0;
	dir = xstrndup(file, n);
	from = beneath_dir(r->dirfd, dir);
	free(dir);
	if (from < 0)
		return errno == ENOENT ? 0 : fail_errno(0, "%s/%s", r->dir, file);
	damaged = open_damaged(r);
	if (damaged >= 0) {
		result = move(r, from, file, n ? n + 1 : 0, damaged);
		close(damaged);
	}
	close(from);
	return result;
}

static int quarantine_span(struct repair *r, struct span file)
{
	char *name = xstrndup(file.p, file.n);
	int result = quarantine(r, name);

	free(name);
	return result;
}

/* ---- the last line ---- */

struct tail {
	int64_t at;      /* where the last line begins */
	struct buf text; /* without newline */
	bool good;       /* it parses; else it is damaged */
	bool commit;
};

static int cut(struct repair *r, int64_t at, const char *why)
{
	if (ftruncate(r->journal, at) < 0 || fsync(r->journal) < 0)
		return fail_errno(EXIT_IO, "%s/" META_JOURNAL ": cutting the last line", r->dir);
	say("%s/" META_JOURNAL ": cut the last line, at byte %" PRId64 ": %s", r->dir, at, why);
	r->anything = true;
	return 0;
}

static bool quarantine_name(void *ctx, struct span file, struct span tmp)
{
	struct repair *r = ctx;

	if (lake_in_place(&r->dirfd, file, tmp) && lake_exists(r->dirfd, file) > 0 &&
	    quarantine_span(r, file) < 0)
		report();
	return false;
}

/* The last line is damaged though its files are in place: both go, and a rerun writes them again. */
static int undo_damaged(struct repair *r, int64_t at, struct span text)
{
	journal_each_name(text, quarantine_name, r);
	return cut(r, at, "it is damaged");
}

/* A file of the last commit is there under neither name: the commit cannot be finished, so it is undone. */
static int undo_commit(struct repair *r, const struct tail *t, const struct journal_line *line)
{
	struct buf tmp = BUF_INIT;
	int result = 0;

	for (size_t i = 0; result == 0 && i < line->adds; i++) {
		const struct journal_file *f = &line->add[i];
		size_t n = beneath_dirname(f->file.p, f->file.n);

		buf_clear(&tmp);
		buf_addf(&tmp, "%.*s%s%.*s", (int)n, f->file.p, n ? "/" : "", (int)f->tmp.n, f->tmp.p);
		result = quarantine(r, buf_cstr(&tmp));
		if (result == 0)
			result = quarantine_span(r, f->file);
	}
	buf_release(&tmp);
	if (result < 0 ||
	    cut(r, t->at, "a file of its commit is lost; its records are to be read again") < 0)
		return -1;
	r->commit--;
	return 0;
}

/* 1: each file of the line is there under one of its names; 0: not; -1 with fail(). */
static int can_finish(struct repair *r, const struct journal_line *line)
{
	struct buf tmp = BUF_INIT;
	int there = 1;

	for (size_t i = 0; there == 1 && i < line->adds; i++) {
		const struct journal_file *f = &line->add[i];
		size_t n = beneath_dirname(f->file.p, f->file.n);

		buf_clear(&tmp);
		buf_addf(&tmp, "%.*s%s%.*s", (int)n, f->file.p, n ? "/" : "", (int)f->tmp.n, f->tmp.p);
		there = lake_exists(r->dirfd, buf_span(&tmp));
		if (there == 0)
			there = lake_exists(r->dirfd, f->file);
	}
	buf_release(&tmp);
	return there;
}

static int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1 : (int64_t)st.st_size;
}

/* Reads all that stands behind `at` into t->text. */
static int read_tail(struct repair *r, int64_t at, struct tail *t)
{
	int64_t size = size_of(r->journal);
	ssize_t n = 0;

	t->at = at;
	if (size < at)
		return fail_errno(EXIT_IO, "%s/" META_JOURNAL, r->dir);
	buf_reserve(&t->text, (size_t)(size - at));
	while (t->text.len < (size_t)(size - at) &&
	    (n = pread(r->journal, t->text.data + t->text.len, (size_t)(size - at) - t->text.len,
		 at + (int64_t)t->text.len)) > 0)
		t->text.len += (size_t)n;
	return n < 0 ? fail_errno(EXIT_IO, "%s/" META_JOURNAL, r->dir) : 0;
}

/* What the reader says is rot: the last line can be taken out, one in the middle cannot. */
static int mend_rot(struct repair *r, int64_t at)
{
	struct tail t = { 0 };
	int result = read_tail(r, at, &t);

	if (result == 0 && journal_follows(buf_span(&t.text)))
		result = fail(EXIT_DATA,
		    "%s/" META_JOURNAL ": byte %" PRId64
		    ": damaged, and not the last line: restore the journal from a "
		    "backup, or copy what is good with lakecat --marks into a new lake",
		    r->dir, at);
	else if (result == 0)
		result = undo_damaged(r, at, buf_span(&t.text));
	buf_release(&t.text);
	return result;
}

/* Somebody put a file where one of the last commit belongs, so that it could never be finished: out of the way. */
static int make_way(struct repair *r, const struct journal_line *line)
{
	struct buf tmp = BUF_INIT;
	int result = 0;

	for (size_t i = 0; result == 0 && i < line->adds; i++) {
		const struct journal_file *f = &line->add[i];
		size_t n = beneath_dirname(f->file.p, f->file.n);

		buf_clear(&tmp);
		buf_addf(&tmp, "%.*s%s%.*s", (int)n, f->file.p, n ? "/" : "", (int)f->tmp.n, f->tmp.p);
		if (!lake_is_snapshot_name(f->file) && lake_exists(r->dirfd, buf_span(&tmp)) > 0 &&
		    lake_exists(r->dirfd, f->file) > 0)
			result = quarantine_span(r, f->file);
	}
	buf_release(&tmp);
	return result;
}

static int mend_last(struct repair *r, const struct tail *t)
{
	struct journal_line line = { 0 };
	int result = t->text.len == 0 ? 0 : journal_parse(&line, buf_span(&t->text));

	if (result == 0 && t->text.len > 0) {
		int can = lake_check_names(r->dir, &line) < 0 ? -1 : can_finish(r, &line);

		if (can == 0)
			result = undo_commit(r, t, &line);
		else if (can < 0 || lake_secure(r->dir, r->journal, t->at, buf_span(&t->text)) < 0)
			result = -1;
		else if ((result = make_way(r, &line)) == 0)
			result = lake_redo(r->dir, r->dirfd, &line);
	}
	journal_line_release(&line);
	return result;
}

static int mend_journal(struct repair *r)
{
	struct journal_line line = { 0 };
	struct journal_reader reader;
	struct tail t = { 0 };
	char *path = lake_path(r->dir, META_JOURNAL);
	int more, result;

	journal_reader_init(&reader, r->journal, path);
	free(path);
	while ((more = journal_next(&reader, &line, lake_in_place, &r->dirfd)) > 0) {
		buf_clear(&t.text);
		if (!line.snapshot)
			buf_add_span(&t.text, line.raw);
		r->commit = line.commit;
		t.at = reader.at - (int64_t)line.raw.n - 1;
	}
	if (more < 0)
		result = fail_code() == EXIT_DATA ? mend_rot(r, reader.at) : -1;
	else
		result = reader.torn
		    ? cut(r, reader.at, r->commit < r->done ? "it is damaged" : "it is torn")
		    : 0;
	if (result == 0)
		result = mend_last(r, &t);
	journal_reader_release(&reader);
	journal_line_release(&line);
	buf_release(&t.text);
	return result;
}

/* ---- the files ---- */

/* Files that are gone or damaged leave the catalog by a commit of their own, named "repair". */
static int forget_files(struct repair *r, struct lake *lake, char **file, size_t count)
{
	struct lake_commit c = { .name = "repair", .remove = file, .remove_count = count };
	bool stands;

	if (count == 0)
		return 0;
	r->anything = true;
	return lake_commit(lake, &c, &stands);
}

static int mend_files(struct repair *r, struct lake *lake)
{
	struct lake_catalog c;
	char **lost;
	size_t n = 0;
	int result = lake_catalog_read(r->dir, &c);

	lost = xcalloc(c.count, sizeof(*lost));
	for (size_t i = 0; result == 0 && i < c.count; i++) {
		const struct lake_entry *e = &c.entry[i];
		struct buf why = BUF_INIT;

		if (!e->live || !lake_is_data_name((struct span){ e->file, strlen(e->file) }) ||
		    lake_verify_file(&c, e) == 0)
			continue;
		if (fail_code() != EXIT_DATA) {
			result = -1;
			break;
		}
		buf_add_str(&why, fail_message());
		if (!lake_still_live(r->dir, e)) {
			buf_release(&why);
			continue;
		}
		say("%s; its %" PRId64 " records of commit %" PRId64 " of \"%s\" are lost to the lake: jq "
		    "'select(.commit==%" PRId64
		    ").positions' of the journal tells the offsets to read again",
		    buf_cstr(&why), e->records, e->commit, e->name, e->commit);
		buf_release(&why);
		result = quarantine(r, e->file);
		lost[n++] = e->file;
	}
	if (result == 0)
		result = forget_files(r, lake, lost, n);
	free(lost);
	lake_catalog_release(&c);
	return result;
}

static int mend_stray(void *ctx, const char *file)
{
	return quarantine(ctx, file);
}

/* A temporary file whose writer is dead, though no list names it: a power loss may have taken the list. */
static int sweep_temp(void *ctx, const char *file)
{
	struct repair *r = ctx;
	size_t n = beneath_dirname(file, strlen(file));
	const char *base = file + (n ? n + 1 : 0);
	size_t id = strcspn(base + sizeof(TEMP_PREFIX) - 1, "-");
	struct buf path = BUF_INIT;
	bool alive = false;
	int fd;

	buf_addf(&path, META_WRITERS "/%.*s", (int)id, base + sizeof(TEMP_PREFIX) - 1);
	fd = beneath_open(r->dirfd, buf_cstr(&path), O_RDONLY, 0);
	if (fd >= 0) {
		alive = flock(fd, LOCK_EX | LOCK_NB) < 0;
		close(fd);
	}
	buf_clear(&path);
	if (!alive) {
		buf_add(&path, file, n);
		fd = beneath_dir(r->dirfd, buf_cstr(&path));
		if (fd >= 0 && unlinkat(fd, base, 0) == 0) {
			say("%s/%s: removed: its writer is dead", r->dir, file);
			r->anything = true;
		}
		if (fd >= 0)
			close(fd);
	}
	buf_release(&path);
	return 0;
}

/* Lines that the end of the journal has lost: their files become unknown ones, to be moved away with the others. */
static void admit_loss(struct repair *r, int lock)
{
	if (r->done <= r->commit)
		return;
	say("%s/" META_JOURNAL ": ends with commit %" PRId64 " though %" PRId64
	    " was done: what lies between is to be read again",
	    r->dir, r->commit, r->done);
	lake_set_done(lock, r->commit);
	r->anything = true;
}

/* Under the lock: the journal, and whatever an earlier failure left. */
static int mend_locked(struct repair *r, int lock)
{
	r->done = lake_get_done(lock);
	r->journal = openat(r->dirfd, META_JOURNAL, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (r->journal < 0)
		return errno == ENOENT ? lake_journal_missing(r->dir, r->dirfd, r->done)
				       : fail_errno(0, "%s/" META_JOURNAL, r->dir);
	if (mend_journal(r) < 0)
		return -1;
	admit_loss(r, lock);
	if (unlinkat(r->dirfd, META_FAILED, 0) == 0) {
		say("%s/" META_FAILED ": removed", r->dir);
		r->anything = true;
	} else if (errno != ENOENT) {
		return fail_errno(EXIT_IO, "%s/" META_FAILED ": unlink", r->dir);
	}
	return 0;
}

int lake_repair(const char *dir)
{
	struct repair r = { .dir = dir, .journal = -1 };
	struct lake_options options = { 0 };
	struct lake *lake = NULL;
	int lock, result = -1;

	r.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dirfd < 0)
		return fail_errno(errno == ENOENT ? EXIT_DATA : 0, "%s", dir);
	if (faccessat(r.dirfd, META, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		close(r.dirfd);
		return fail(EXIT_DATA, "%s: is not a lake: it has no " META, dir);
	}
	lock = lake_lock(dir, r.dirfd, LAKE_LOCK_TIMEOUT);
	if (lock >= 0) {
		result = mend_locked(&r, lock);
		close(lock);
	}
	/* Opening it as a writer sweeps what the dead have left. */
	if (result == 0 && !(lake = lake_open(dir, &options)))
		result = -1;
	if (result == 0)
		result = mend_files(&r, lake);
	if (result == 0)
		result = lake_each_unknown(dir, mend_stray, sweep_temp, &r);
	if (result == 0 && !r.anything)
		say("%s: there was nothing to mend", dir);
	lake_close(lake);
	if (r.journal >= 0)
		close(r.journal);
	close(r.dirfd);
	return result;
}
