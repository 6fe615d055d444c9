/* Verification. It reads beside running writers, so what looks wrong is looked at again before it is said. */
#include "beneath.h"
#include "gzip.h"
#include "lake_internal.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the content of one file ---- */

struct content {
	int64_t bytes, raw, records;
	uint32_t crc32;
};

static int64_t count_lines(struct span s)
{
	int64_t n = 0;
	const char *p = s.p, *end = s.p + s.n;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

static int read_gzip(int fd, const char *name, struct content *c)
{
	struct gunzip *z = gunzip_open(fd, name);
	struct span s;
	int r;

	if (!z)
		return -1;
	while ((r = gunzip_read(z, &s)) > 0) {
		c->raw += (int64_t)s.n;
		c->records += count_lines(s);
	}
	c->crc32 = gunzip_crc32(z);
	c->bytes = (int64_t)gunzip_bytes(z);
	gunzip_close(z);
	return r;
}

static int read_plain(int fd, const char *name, struct content *c)
{
	size_t size = 1 << 20;
	char *block = xmalloc(size);
	ssize_t n;

	while ((n = read(fd, block, size)) > 0) {
		c->crc32 = crc32_bytes(c->crc32, block, (size_t)n);
		c->bytes += n;
		c->records += count_lines((struct span){ block, (size_t)n });
	}
	c->raw = c->bytes;
	free(block);
	return n < 0 ? fail_errno(EXIT_IO, "%s", name) : 0;
}

int lake_verify_file(const struct lake_catalog *c, const struct lake_entry *e)
{
	size_t n = strlen(e->file);
	bool gz = n > 3 && strcmp(e->file + n - 3, ".gz") == 0;
	struct content is = { 0 };
	int fd = lake_catalog_open(c, e), r;

	if (fd < 0)
		return -1;
	r = gz ? read_gzip(fd, e->file, &is) : read_plain(fd, e->file, &is);
	close(fd);
	if (r < 0)
		return -1;
	if (is.bytes != e->bytes)
		return fail(EXIT_DATA,
		    "%s: has %" PRId64 " bytes, the journal (commit %" PRId64 ") says %" PRId64,
		    e->file, is.bytes, e->commit, e->bytes);
	if (is.crc32 != e->crc32)
		return fail(EXIT_DATA,
		    "%s: has crc32 %08" PRIx32 ", the journal (commit %" PRId64 ") says %08" PRIx32,
		    e->file, is.crc32, e->commit, e->crc32);
	if (is.records != e->records || is.raw != e->raw)
		return fail(EXIT_DATA,
		    "%s: has %" PRId64 " records in %" PRId64 " bytes, the journal (commit %" PRId64
		    ") says %" PRId64 " in %" PRId64,
		    e->file, is.records, is.raw, e->commit, e->records, e->raw);
	return 0;
}

/* ---- the journal against itself ---- */

struct history {
	int64_t commit; /* -1: no line yet */
	struct name_positions {
		char *name;
		struct positions at;
	} * name;
	size_t names;
	struct lake_check *result;
};

static struct positions *positions_of(struct history *h, struct span name)
{
	for (size_t i = 0; i < h->names; i++)
		if (span_is(name, h->name[i].name))
			return &h->name[i].at;
	h->name = xrealloc(h->name, (h->names + 1) * sizeof(*h->name));
	h->name[h->names].name = xstrndup(name.p, name.n);
	positions_init(&h->name[h->names].at, (struct positions_rules){ 0 });
	return &h->name[h->names++].at;
}

static void release_history(struct history *h)
{
	for (size_t i = 0; i < h->names; i++) {
		free(h->name[i].name);
		positions_release(&h->name[i].at);
	}
	free(h->name);
}

static int check_line(void *ctx, const struct journal_line *line)
{
	struct history *h = ctx;

	h->result->commits += !line->snapshot;
	if (h->commit >= 0 && line->commit != h->commit + (line->snapshot ? 0 : 1)) {
		error("journal: commit %" PRId64 " follows commit %" PRId64, line->commit, h->commit);
		h->result->problems++;
	}
	h->commit = line->commit;
	for (size_t i = 0; i < line->positions; i++) {
		const struct journal_position *p = &line->position[i];
		struct positions *at = positions_of(h, line->snapshot ? p->name : line->name);
		const struct position *was = positions_find(at, p->topic, p->partition);
		int64_t expect = line->snapshot ? p->next : p->from;

		if ((was ? was->next : -1) != expect && !(line->snapshot && h->result->commits == 0)) {
			error("journal: commit %" PRId64 ": %.*s/%d: begins at %" PRId64
			      ", but the position was %" PRId64,
			    line->commit, (int)p->topic.n, p->topic.p, p->partition, expect,
			    was ? was->next : -1);
			h->result->problems++;
		}
		positions_set(at, p->topic, p->partition, p->next, p->last_offset, p->last_ts);
	}
	return 0;
}

/* ---- files that the journal does not know ---- */

struct names {
	char **item;
	size_t count, cap;
};

static void add_name(struct names *n, const char *name)
{
	if (n->count == n->cap) {
		n->cap = n->cap ? n->cap * 2 : 64;
		n->item = xrealloc(n->item, n->cap * sizeof(*n->item));
	}
	n->item[n->count++] = xstrdup(name);
}

static void release_names(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->item[i]);
	free(n->item);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Collects all data files (NULL: none), and all temporary files, below `path`. Never follows a symlink. */
static int walk(int dirfd, const char *path, struct names *data, struct names *temps)
{
	int fd = beneath_dir(dirfd, path), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		bool gone = fd < 0 && errno == ENOENT && *path; /* removed since its parent was read */

		fail_errno(0, "%s", *path ? path : ".");
		if (fd >= 0)
			close(fd);
		return gone ? 0 : -1;
	}
	while (r == 0 && (e = readdir(d))) {
		struct span name = { e->d_name, strlen(e->d_name) };
		struct buf full = BUF_INIT;
		struct stat st;

		buf_addf(&full, "%s%s%s", path, *path ? "/" : "", e->d_name);
		if (lake_is_temp_name(e->d_name))
			add_name(temps, buf_cstr(&full));
		else if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISDIR(st.st_mode))
				r = walk(dirfd, buf_cstr(&full), data, temps);
			else if (data && lake_is_data_name(name))
				add_name(data, buf_cstr(&full));
		}
		buf_release(&full);
	}
	closedir(d);
	return r;
}

int lake_each_temp(int dirfd, int (*temp)(void *ctx, const char *file), void *ctx)
{
	struct names temps = { 0 };
	int r = walk(dirfd, "", NULL, &temps);

	for (size_t i = 0; r == 0 && i < temps.count; i++)
		r = temp(ctx, temps.item[i]);
	release_names(&temps);
	return r;
}

/* ---- check ---- */

/* Sorted names of the live files. */
static struct names live_names(const struct lake_catalog *c)
{
	struct names n = { 0 };

	for (size_t i = 0; i < c->count; i++)
		if (c->entry[i].live)
			add_name(&n, c->entry[i].file);
	if (n.count > 0)
		if (n.count > 0)
			qsort(n.item, n.count, sizeof(*n.item), by_name);
	return n;
}

static bool has_name(const struct names *n, const char *name)
{
	return n->count > 0 && bsearch(&name, n->item, n->count, sizeof(*n->item), by_name);
}

bool lake_still_live(const char *dir, const struct lake_entry *e)
{
	struct lake_catalog now;
	bool live = true;

	if (lake_catalog_read(dir, &now) == 0) {
		live = false;
		for (size_t i = now.count; !live && i > 0; i--)
			live = now.entry[i - 1].live && now.entry[i - 1].commit == e->commit &&
			    strcmp(now.entry[i - 1].file, e->file) == 0;
	}
	lake_catalog_release(&now);
	return live;
}

static int check_files(const char *dir, const struct lake_catalog *c, struct lake_check *result)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct lake_entry *e = &c->entry[i];
		char message[512];

		if (!e->live)
			continue;
		if (lake_verify_file(c, e) < 0) {
			if (fail_code() != EXIT_DATA)
				return -1;
			snprintf(message, sizeof(message), "%s", fail_message());
			if (!lake_still_live(dir, e))
				continue;
			error("%s", message);
			result->problems++;
			continue;
		}
		result->files++;
		result->records += e->records;
		result->bytes += e->bytes;
	}
	return 0;
}

/* The files that the last commit removes may still be there: its writer may be at it. */
static bool being_removed(struct span last, const char *file)
{
	struct journal_line line = { 0 };
	bool found = false;

	if (last.n > 0 && journal_parse(&line, last) == 0)
		for (size_t i = 0; !found && i < line.removes; i++)
			found = span_is(line.remove[i], file);
	journal_line_release(&line);
	return found;
}

static int ignore_line(void *ctx, const struct journal_line *line)
{
	return 0;
}

int lake_each_unknown(const char *dir, int (*stray)(void *ctx, const char *file),
    int (*temp)(void *ctx, const char *file), void *ctx)
{
	struct names data = { 0 }, temps = { 0 }, live = { 0 };
	struct lake_catalog now;
	struct buf last = BUF_INIT;
	int r = lake_catalog_read(dir, &now);

	/* First the files, then the journal: a file is in the journal before it is in its place. */
	if (r == 0)
		r = walk(now.dirfd, "", &data, &temps);
	lake_catalog_release(&now);
	if (r == 0)
		r = lake_catalog_read(dir, &now);
	if (r == 0) {
		live = live_names(&now);
		r = lake_each_line(dir, now.dirfd, ignore_line, NULL, &last);
	}
	for (size_t i = 0; r == 0 && i < data.count; i++) {
		struct span file = { data.item[i], strlen(data.item[i]) };

		if (!has_name(&live, data.item[i]) && !being_removed(buf_span(&last), data.item[i]) &&
		    lake_exists(now.dirfd, file) != 0)
			r = stray(ctx, data.item[i]);
	}
	for (size_t i = 0; r == 0 && i < temps.count; i++)
		r = temp(ctx, temps.item[i]);
	lake_catalog_release(&now);
	buf_release(&last);
	release_names(&live);
	release_names(&data);
	release_names(&temps);
	return r;
}

struct unknown {
	const char *dir;
	struct lake_check *result;
	int64_t temps;
};

/* A reader would see its records as well. */
static int count_stray(void *ctx, const char *file)
{
	struct unknown *u = ctx;

	error("%s/%s: is not in the journal", u->dir, file);
	u->result->problems++;
	return 0;
}

static int count_temp(void *ctx, const char *file)
{
	struct unknown *u = ctx;

	u->temps++;
	return 0;
}

static int check_unknown(const char *dir, struct lake_check *result)
{
	struct unknown u = { dir, result, 0 };

	if (lake_each_unknown(dir, count_stray, count_temp, &u) < 0)
		return -1;
	if (u.temps > 0)
		note("%s: %" PRId64 " temporary files, of running writers or to be swept by the next",
		    dir, u.temps);
	return 0;
}

int lake_check(const char *dir, struct lake_check *result)
{
	struct history h = { .commit = -1, .result = result };
	struct lake_catalog c;
	int r;

	*result = (struct lake_check){ 0 };
	r = lake_catalog_read(dir, &c);
	if (r == 0 && faccessat(c.dirfd, META_FAILED, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		error("%s/" META_FAILED
		      ": a commit could neither be written nor taken back: run --repair",
		    dir);
		result->problems++;
	}
	if (r == 0)
		r = lake_each_line(dir, c.dirfd, check_line, &h, NULL);
	if (r == 0)
		r = check_files(dir, &c, result);
	if (r == 0)
		r = check_unknown(dir, result);
	lake_catalog_release(&c);
	release_history(&h);
	if (r < 0 || result->problems == 0)
		return r;
	return fail(EXIT_DATA, "%s: %" PRId64 " problem%s found", dir, result->problems,
	    result->problems == 1 ? "" : "s");
}
