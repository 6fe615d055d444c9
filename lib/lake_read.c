/* The reading side: it takes no lock and writes nothing, so whatever it meets may change under it. */
#include "beneath.h"
#include "lake_internal.h"
#include "log.h"
#include "opt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define READ_TRIES 5 /* a writer that cuts a torn line under us may make one read look damaged */

/* ---- journals ---- */

struct walk {
	const char *dir;
	int dirfd;
	int (*each)(void *ctx, const struct journal_line *line);
	void *ctx;
	struct buf *last;
	int64_t done; /* lake_done(), looked up before the journal was opened */
};

struct journal_name {
	char text[33];
};

/* For messages; the caller's to free. */
static char *journal_path(const struct walk *w, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), META "/%s", name);
	return lake_path(w->dir, file);
}

/* Opens .sluice/NAME. -1: errno ENOENT, or fail(). */
static int open_journal(const struct walk *w, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), META "/%s", name);
	fd = openat(w->dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno(errno == ENOENT ? EXIT_DATA : 0, "%s/%s", w->dir, path);
	return fd;
}

/* Reads one journal whole. The newest may still be written to; only its last line can be the lake's. */
static int walk_journal(const struct walk *w, int fd, const char *name, bool newest)
{
	char *path = journal_path(w, name);
	struct journal_reader r;
	struct journal_line line = { 0 };
	int64_t commit = 0;
	int more;

	journal_reader_init(&r, fd, path);
	free(path);
	while ((more = journal_next(&r, &line, lake_in_place, (void *)&w->dirfd)) > 0) {
		if (w->last && newest) {
			buf_clear(w->last);
			if (!line.snapshot)
				buf_add_span(w->last, line.raw);
		}
		if (w->each(w->ctx, &line) < 0) {
			more = -1;
			break;
		}
		commit = line.commit;
	}
	if (more == 0 && newest)
		more = lake_check_end(&r, commit, w->done);
	if (more == 0 && r.torn)
		note("%s: a torn line at byte %" PRId64 " is ignored", r.name, r.at);
	journal_reader_release(&r);
	journal_line_release(&line);
	return more;
}

/* What the snapshot at the head of a journal calls the one before: 1; 0: it is the oldest; -1. */
static int read_previous(const struct walk *w, int fd, const char *name, struct journal_name *previous)
{
	char *path = journal_path(w, name);
	struct journal_reader r;
	struct journal_line line = { 0 };
	struct span named = { 0 };
	int more;

	journal_reader_init(&r, fd, path);
	free(path);
	more = journal_next(&r, &line, lake_in_place, (void *)&w->dirfd);
	if (more > 0 && line.snapshot)
		named = line.previous;
	if (named.n >= sizeof(previous->text))
		more = fail(EXIT_DATA, "%s/" META ": a snapshot names an odd journal before it",
		    w->dir);
	else if (named.n > 0)
		snprintf(previous->text, sizeof(previous->text), "%.*s", (int)named.n, named.p);
	journal_reader_release(&r);
	journal_line_release(&line);
	return more < 0 ? -1 : named.n > 0;
}

/* N of journal.N; -1: another name. */
static int64_t journal_number(const char *name)
{
	static const char lead[] = "journal.";
	int64_t n;

	if (strncmp(name, lead, sizeof(lead) - 1) != 0 ||
	    opt_int(name + sizeof(lead) - 1, 0, INT64_MAX - 1, &n) < 0)
		return -1;
	return n;
}

/* Opens the journal before number *below, which becomes its own: they fall, so that the way back has an end. */
static int open_previous(const struct walk *w, const char *name, int64_t *below)
{
	int64_t number = journal_number(name);

	if (number < 0)
		return fail(EXIT_DATA, "%s/" META ": a snapshot names an odd journal before it",
		    w->dir);
	if (number >= *below)
		return fail(EXIT_DATA, "%s/" META ": the journals name each other in a circle", w->dir);
	*below = number;
	return open_journal(w, name);
}

/*
 * Each journal names the one before, so the way leads back first. The newest stays open, for it may be rolled
 * meanwhile; those before never change, and are opened one at a time: there may be thousands.
 */
static int walk_journals(const struct walk *w, int newest)
{
	struct journal_name *name = NULL, previous;
	int64_t below = INT64_MAX;
	size_t n = 0;
	int fd = newest, r;

	while ((r = read_previous(w, fd, n > 0 ? name[n - 1].text : "journal", &previous)) > 0) {
		name = xrealloc(name, (n + 1) * sizeof(*name));
		name[n++] = previous;
		if (fd != newest)
			close(fd);
		fd = open_previous(w, previous.text, &below);
		if (fd < 0)
			break;
	}
	if (fd >= 0 && fd != newest)
		close(fd);
	r = fd < 0 ? -1 : r;
	while (r == 0 && n > 0) {
		fd = open_journal(w, name[--n].text);
		r = fd < 0 ? -1 : walk_journal(w, fd, name[n].text, false);
		if (fd >= 0)
			close(fd);
	}
	free(name);
	return r < 0 ? -1 : walk_journal(w, newest, "journal", true);
}

int lake_each_line(const char *dir, int dirfd,
    int (*each)(void *ctx, const struct journal_line *line), void *ctx, struct buf *last)
{
	struct walk w = { dir, dirfd, each, ctx, last, lake_done(dirfd) };
	int fd = open_journal(&w, "journal"), r;

	if (fd >= 0) {
		r = walk_journals(&w, fd);
		close(fd);
		return r;
	}
	if (errno != ENOENT)
		return -1;
	if (faccessat(dirfd, META, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return lake_journal_missing(dir, dirfd, w.done);
}

/* ---- positions ---- */

struct position_reader {
	const char *name;
	struct positions *to;
};

static int read_position_line(void *ctx, const struct journal_line *line)
{
	struct position_reader *r = ctx;

	for (size_t i = 0; i < line->positions; i++) {
		const struct journal_position *p = &line->position[i];

		if (span_is(line->snapshot ? p->name : line->name, r->name))
			positions_set(r->to, p->topic, p->partition, p->next, p->last_offset,
			    p->last_ts);
	}
	return 0;
}

/* Snapshots hold all positions, so the journals before this one need not be read. */
static int read_positions_once(const char *dir, int dirfd, struct position_reader *r)
{
	struct walk w = { dir, dirfd, NULL, NULL, NULL, lake_done(dirfd) };
	struct journal_reader reader;
	struct journal_line line = { 0 };
	int64_t commit = 0;
	char *path;
	int fd = open_journal(&w, "journal"), more;

	if (fd < 0)
		return lake_each_line(dir, dirfd, read_position_line, r,
		    NULL); /* says why, or that there is none */
	path = lake_path(dir, META_JOURNAL);
	journal_reader_init(&reader, fd, path);
	free(path);
	while ((more = journal_next(&reader, &line, lake_in_place, &dirfd)) > 0) {
		read_position_line(r, &line);
		commit = line.commit;
	}
	if (more == 0)
		more = lake_check_end(&reader, commit, w.done);
	journal_reader_release(&reader);
	journal_line_release(&line);
	close(fd);
	return more;
}

int lake_read_positions(const char *dir, const char *name, struct positions *to)
{
	struct position_reader r = { name, to };
	struct timespec pause = { 0, 20000000 };
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = -1;

	if (dirfd < 0)
		return errno == ENOENT ? 0 : fail_errno(errno == ENOTDIR ? EXIT_DATA : 0, "%s", dir);
	for (int i = 0; i < READ_TRIES; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		result = read_positions_once(dir, dirfd, &r);
		if (result == 0 || fail_code() != EXIT_DATA)
			break;
	}
	close(dirfd);
	return result;
}

/* ---- the catalog ---- */

#define FREE_SLOT SIZE_MAX

/* The slot of a file: of its latest entry, live or not, or a free one. */
static size_t find_slot(const struct lake_catalog *c, struct span file)
{
	size_t i = span_hash(file) % c->slots;

	while (c->index[i] != FREE_SLOT && !span_is(file, c->entry[c->index[i]].file))
		i = (i + 1) % c->slots;
	return i;
}

static void grow_catalog(struct lake_catalog *c)
{
	c->cap = c->cap ? c->cap * 2 : 1024;
	c->entry = xrealloc(c->entry, c->cap * sizeof(*c->entry));
	free(c->index);
	c->slots = c->cap * 2;
	c->index = xmalloc(c->slots * sizeof(*c->index));
	memset(c->index, 0xff, c->slots * sizeof(*c->index));
	for (size_t i = 0; i < c->count; i++)
		c->index[find_slot(c, (struct span){ c->entry[i].file, strlen(c->entry[i].file) })] = i;
}

const struct lake_entry *lake_catalog_find(const struct lake_catalog *c, struct span file)
{
	size_t slot = c->slots > 0 ? c->index[find_slot(c, file)] : FREE_SLOT;

	return slot == FREE_SLOT ? NULL : &c->entry[slot];
}

static void forget(struct lake_catalog *c, struct span file)
{
	const struct lake_entry *e = lake_catalog_find(c, file);

	if (e)
		c->entry[e - c->entry].live = false;
}

static int catalog_line(void *ctx, const struct journal_line *line)
{
	struct lake_catalog *c = ctx;

	c->commits += !line->snapshot;
	c->last = line->commit;
	for (size_t i = 0; i < line->removes; i++)
		forget(c, line->remove[i]);
	for (size_t i = 0; i < line->adds; i++) {
		const struct journal_file *f = &line->add[i];
		struct lake_entry *e;

		forget(c, f->file);
		if (c->count == c->cap)
			grow_catalog(c);
		e = &c->entry[c->count];
		*e = (struct lake_entry){ .file = xstrndup(f->file.p, f->file.n),
			.tmp = xstrndup(f->tmp.p, f->tmp.n),
			.name = xstrndup(line->name.p, line->name.n),
			.commit = line->commit,
			.records = f->records,
			.bytes = f->bytes,
			.raw = f->raw,
			.min_ts = f->min_ts,
			.max_ts = f->max_ts,
			.crc32 = f->crc32,
			.live = true };
		c->index[find_slot(c, f->file)] = c->count++;
	}
	return 0;
}

/* The files of the last commit may still have their temporary names. */
static int flag_last(struct lake_catalog *c, struct span last)
{
	struct journal_line line = { 0 };

	if (last.n > 0 && journal_parse(&line, last) < 0) {
		journal_line_release(&line);
		return -1;
	}
	for (size_t i = c->count; last.n > 0 && i > 0 && c->entry[i - 1].commit == line.commit; i--)
		c->entry[i - 1].last = true;
	journal_line_release(&line);
	return 0;
}

void lake_catalog_release(struct lake_catalog *c)
{
	for (size_t i = 0; i < c->count; i++) {
		free(c->entry[i].file);
		free(c->entry[i].tmp);
		free(c->entry[i].name);
	}
	free(c->entry);
	free(c->index);
	free(c->dir);
	if (c->dirfd >= 0)
		close(c->dirfd);
	*c = (struct lake_catalog){ .dirfd = -1 };
}

int lake_catalog_read(const char *dir, struct lake_catalog *c)
{
	struct timespec pause = { 0, 20000000 };
	struct buf last = BUF_INIT;
	int r = -1;

	*c = (struct lake_catalog){ .dirfd = -1 };
	for (int i = 0; i < READ_TRIES && r < 0; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		lake_catalog_release(c);
		buf_clear(&last);
		c->dir = xstrdup(dir);
		c->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (c->dirfd < 0) {
			fail_errno(errno == ENOENT || errno == ENOTDIR ? EXIT_DATA : 0, "%s", dir);
			break;
		}
		if (faccessat(c->dirfd, META, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
			fail(EXIT_DATA, "%s: is not a lake: it has no " META, dir);
			break;
		}
		r = lake_each_line(dir, c->dirfd, catalog_line, c, &last);
		if (r == 0)
			r = flag_last(c, buf_span(&last));
		if (r < 0 && fail_code() != EXIT_DATA)
			break;
	}
	buf_release(&last);
	return r;
}

int lake_catalog_open(const struct lake_catalog *c, const struct lake_entry *e)
{
	struct buf tmp = BUF_INIT;
	int fd = -1;

	errno = ENOENT;
	if (e->last) {
		buf_addf(&tmp, "%.*s%s%s", (int)beneath_dirname(e->file, strlen(e->file)), e->file,
		    strchr(e->file, '/') ? "/" : "", e->tmp);
		fd = beneath_open(c->dirfd, buf_cstr(&tmp), O_RDONLY, 0);
		buf_release(&tmp);
	}
	if (fd < 0 && errno == ENOENT)
		fd = beneath_open(c->dirfd, e->file, O_RDONLY, 0);
	if (fd < 0)
		fail_errno(errno == ENOENT ? EXIT_DATA : 0, "%s/%s", c->dir, e->file);
	return fd;
}

bool lake_catalog_wrote(const struct lake_catalog *c, const char *name, struct span path)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct lake_entry *e = &c->entry[i];
		struct span dir = { e->file, beneath_dirname(e->file, strlen(e->file)) };

		if (strcmp(e->name, name) == 0 && span_eq(dir, path))
			return true;
	}
	return false;
}
