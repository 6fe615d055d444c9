#include "spool.h"

#include "gzip.h"
#include "io.h"
#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEMORY   ((int64_t)256 << 20)
#define MAX_OPEN 128
#define PATHS    100000 /* of a window, in append: their names cost memory too, here, in the lake */
#define PER_PATH 1024   /* and in the line of the journal; about so much */
#define BLOCK    ((size_t)1 << 20) /* raw bytes of a gzip member; what a plain file is written in */
#define SEND     ((int64_t)8 << 20) /* so much of a file is sent to the disk at a time */
#define KEEP     ((size_t)4 << 20)  /* a buffer that one huge record has grown is given back */

struct spool {
	struct lake *lake;
	struct spool_options o;
	struct gzip *gzip;

	struct spool_file **file; /* in order of first sight */
	size_t files, cap;
	struct spool_file **bucket;
	size_t buckets;
	struct spool_file *recent;

	struct spool_file *newest, *oldest; /* with open descriptors */
	int open;
	size_t buffered;
	int64_t raw, records;
};

/* The other half is for the lake, a walk to a deep directory and whatever the process got from its parent. */
static int descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 >= MAX_OPEN)
		return MAX_OPEN;
	return limit.rlim_cur < 4 ? 1 : (int)limit.rlim_cur / 2;
}

struct spool *spool_open(struct lake *lake, const struct spool_options *o)
{
	struct spool *s = xcalloc(1, sizeof(*s));

	s->lake = lake;
	s->o = *o;
	if (s->o.memory == 0)
		s->o.memory = MEMORY;
	if (s->o.paths == 0)
		s->o.paths = PATHS;
	if (s->o.max_open == 0)
		s->o.max_open = descriptors();
	if (o->gzip_level > 0 && !(s->gzip = gzip_open(o->gzip_level, o->threads))) {
		free(s);
		return NULL;
	}
	return s;
}

/* ---- open descriptors ---- */

static void unlink_open(struct spool *s, struct spool_file *f)
{
	*(f->newer ? &f->newer->older : &s->newest) = f->older;
	*(f->older ? &f->older->newer : &s->oldest) = f->newer;
	f->newer = f->older = NULL;
}

static void link_newest(struct spool *s, struct spool_file *f)
{
	f->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = f;
	s->newest = f;
}

/*
 * What was written is fsynced whenever the descriptor goes: an error of a write that the kernel did late is told to a
 * descriptor that was open then, not surely to one that is opened later.
 */
static int close_file(struct spool *s, struct spool_file *f)
{
	int r = 0;

	if (f->fd < 0)
		return 0;
	unlink_open(s, f);
	s->open--;
	if (f->dirty && fsync(f->fd) < 0)
		r = fail_errno(EXIT_IO, "%s: fsync", f->path_text);
	f->dirty = false;
	if (close(f->fd) < 0 && r == 0)
		r = fail_errno(EXIT_IO, "%s: close", f->path_text);
	f->fd = -1;
	return r;
}

/* Before another descriptor is opened. */
static int make_room(struct spool *s)
{
	return s->open >= s->o.max_open ? close_file(s, s->oldest) : 0;
}

static int use(struct spool *s, struct spool_file *f)
{
	if (f->fd < 0) {
		if (make_room(s) < 0)
			return -1;
		f->fd = lake_temp_reopen(s->lake, f->file.temp);
		if (f->fd < 0)
			return -1;
		s->open++;
	} else {
		unlink_open(s, f);
	}
	link_newest(s, f);
	return 0;
}

/* ---- writing out ---- */

static int put(struct spool *s, struct spool_file *f, struct span data)
{
	if (use(s, f) < 0)
		return -1;
	f->dirty = true;
	if (write_all(f->fd, data.p, data.n) < 0)
		return fail_errno(EXIT_IO, "%s", f->path_text);
	f->file.crc32 = crc32_bytes(f->file.crc32, data.p, data.n);
	f->file.bytes += (int64_t)data.n;
	/* The disk may begin while more is read; else it has nothing to do until the fsync, and all of it then. */
	if (f->file.bytes - f->sent >= SEND) {
		sync_file_range(f->fd, f->sent, f->file.bytes - f->sent, SYNC_FILE_RANGE_WRITE);
		f->sent = f->file.bytes;
	}
	return 0;
}

static int put_block(struct spool *s, const struct gzip_block *b)
{
	return put(s, b->cookie, b->data);
}

/* Keeps the total of all buffers right after one of them changed. */
static void account(struct spool *s, struct spool_file *f)
{
	s->buffered += f->raw.cap - f->counted;
	f->counted = f->raw.cap;
}

/* Everything in front of a file goes on: to the file, or to the threads that compress. */
static int drain(struct spool *s, struct spool_file *f)
{
	struct gzip_block block;

	if (!s->gzip) {
		int r = put(s, f, buf_span(&f->raw));

		buf_clear(&f->raw);
		if (f->raw.cap > KEEP)
			buf_release(&f->raw);
		account(s, f);
		return r;
	}
	while (!gzip_submit(s->gzip, &f->raw, f))
		if (gzip_next(s->gzip, true, &block) && put_block(s, &block) < 0)
			return -1;
	account(s, f);
	while (gzip_next(s->gzip, false, &block))
		if (put_block(s, &block) < 0)
			return -1;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct spool_file *x = *(struct spool_file *const *)a,
				*y = *(struct spool_file *const *)b;

	return (x->raw.cap < y->raw.cap) - (x->raw.cap > y->raw.cap);
}

/* What the names leave for buffers. */
static size_t memory_for_buffers(const struct spool *s)
{
	size_t all = (size_t)s->o.memory, names = s->files * PER_PATH;

	return names < all / 2 ? all - names : all / 2;
}

/*
 * Too much is buffered: the largest buffers go out and are given back until half is free. Largest first
 * keeps the number of small writes low when there are very many paths.
 */
static int relieve(struct spool *s)
{
	struct spool_file **list = xmalloc(s->files * sizeof(struct spool_file *));
	int r = 0;

	memcpy(list, s->file, s->files * sizeof(struct spool_file *));
	qsort(list, s->files, sizeof(struct spool_file *), by_size);
	for (size_t i = 0; r == 0 && i < s->files && s->buffered > memory_for_buffers(s) / 2; i++) {
		if (list[i]->raw.len > 0)
			r = drain(s, list[i]);
		buf_release(&list[i]->raw);
		account(s, list[i]);
	}
	free(list);
	return r;
}

int spool_added(struct spool *s, struct spool_file *f, size_t n, int64_t ts)
{
	f->file.records++;
	f->file.raw += (int64_t)n;
	s->records++;
	s->raw += (int64_t)n;
	if (ts >= 0 && ts < f->file.min_ts)
		f->file.min_ts = ts;
	if (ts >= 0 && ts > f->file.max_ts)
		f->file.max_ts = ts;
	if (f->raw.cap != f->counted)
		account(s, f);
	if (f->raw.len >= BLOCK)
		return drain(s, f);
	return s->buffered > memory_for_buffers(s) ? relieve(s) : 0;
}

bool spool_full(const struct spool *s)
{
	return s->files > s->o.paths;
}

int64_t spool_raw_bytes(const struct spool *s)
{
	return s->raw;
}

int64_t spool_records(const struct spool *s)
{
	return s->records;
}

/* ---- paths ---- */

struct spool_file *spool_find(struct spool *s, struct span path)
{
	struct spool_file *f;

	if (s->recent && span_eq(s->recent->path, path))
		return s->recent;
	if (s->buckets == 0)
		return NULL;
	f = s->bucket[span_hash(path) % s->buckets];
	while (f && !span_eq(f->path, path))
		f = f->hash_next;
	if (f)
		s->recent = f;
	return f;
}

static void link_file(struct spool *s, struct spool_file *f)
{
	struct spool_file **head = &s->bucket[span_hash(f->path) % s->buckets];

	f->hash_next = *head;
	*head = f;
}

static struct spool_file *add_file(struct spool *s, struct span path)
{
	struct spool_file *f = xcalloc(1, sizeof(*f));

	if (s->files == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->file = xrealloc(s->file, s->cap * sizeof(*s->file));
		free(s->bucket);
		s->buckets = s->cap * 2;
		s->bucket = xcalloc(s->buckets, sizeof(*s->bucket));
		for (size_t i = 0; i < s->files; i++)
			link_file(s, s->file[i]);
	}
	f->path_text = xstrndup(path.p, path.n);
	f->path = (struct span){ f->path_text, path.n };
	f->fd = -1;
	f->file.snapshot = s->o.snapshot;
	f->file.gzip = s->gzip != NULL;
	f->file.min_ts = INT64_MAX;
	f->file.max_ts = INT64_MIN;
	s->file[s->files++] = f;
	link_file(s, f);
	return s->recent = f;
}

struct spool_file *spool_get(struct spool *s, struct span path)
{
	struct spool_file *f = spool_find(s, path);
	int64_t temp;
	int fd;

	if (f)
		return f;
	if (make_room(s) < 0)
		return NULL;
	temp = lake_temp(s->lake, path, &fd);
	if (temp < 0)
		return NULL;
	f = add_file(s, path);
	f->file.temp = temp;
	f->fd = fd;
	s->open++;
	link_newest(s, f);
	return f;
}

struct spool_file *spool_ignore(struct spool *s, struct span path)
{
	struct spool_file *f = add_file(s, path);

	f->ignored = true;
	return f;
}

/* ---- the end of a window ---- */

static int drain_all(struct spool *s)
{
	struct gzip_block block;

	for (size_t i = 0; i < s->files; i++) {
		struct spool_file *f = s->file[i];

		if (f->ignored)
			continue;
		/* An empty gzip file is one empty member: zero bytes would be no gzip at all. */
		if ((f->raw.len > 0 || (s->gzip && f->file.raw == 0)) && drain(s, f) < 0)
			return -1;
		buf_release(&f->raw);
		account(s, f);
	}
	while (s->gzip && gzip_next(s->gzip, true, &block))
		if (put_block(s, &block) < 0)
			return -1;
	return 0;
}

int spool_finish(struct spool *s, struct lake_file **list, size_t *count)
{
	*list = xmalloc(s->files * sizeof(**list));
	*count = 0;
	if (drain_all(s) < 0)
		goto failed;
	for (size_t i = 0; i < s->files; i++) {
		if (s->file[i]->ignored)
			continue;
		if (close_file(s, s->file[i]) < 0)
			goto failed;
		(*list)[(*count)++] = s->file[i]->file;
	}
	return 0;
failed:
	free(*list);
	*list = NULL;
	return -1;
}

static void forget_files(struct spool *s)
{
	struct gzip_block block;

	while (s->gzip && gzip_next(s->gzip, true, &block))
		;
	for (size_t i = 0; i < s->files; i++) {
		struct spool_file *f = s->file[i];

		if (f->fd >= 0)
			close(f->fd);
		buf_release(&f->raw);
		free(f->path_text);
		free(f);
	}
	s->files = 0;
	s->recent = s->newest = s->oldest = NULL;
	s->open = 0;
	s->buffered = 0;
	s->raw = s->records = 0;
	if (s->buckets)
		memset(s->bucket, 0, s->buckets * sizeof(*s->bucket));
}

void spool_reset(struct spool *s)
{
	forget_files(s);
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	forget_files(s);
	gzip_close(s->gzip);
	free(s->file);
	free(s->bucket);
	free(s);
}
