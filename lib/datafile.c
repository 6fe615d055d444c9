#include "datafile.h"

#include "gzip.h"
#include "lake_internal.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK     ((size_t)256 << 10)
#define BLOCK_MIN ((size_t)4 << 10)

struct datafile {
	const struct lake_catalog *catalog;
	const struct lake_entry *entry;
	char *name; /* DIR/FILE: for messages */
	struct datafile_options o;
	int fd; /* -1: closed for now */
	ino_t inode;
	dev_t device;
	int64_t at;   /* bytes read, as stored */
	uint32_t crc; /* of them */
	struct gunzip *gunzip;
	struct reader reader;
};

/* ---- bytes ---- */

static int changed(const struct datafile *f)
{
	return fail(EXIT_DATA, "%s/%s: was replaced while it was read", f->catalog->dir,
	    f->entry->file);
}

/* Opens it again if it was closed, and makes sure that it is the same file. */
static int use(struct datafile *f)
{
	struct stat st;

	if (f->fd >= 0)
		return 0;
	f->fd = lake_catalog_open(f->catalog, f->entry);
	if (f->fd < 0)
		return -1;
	if (fstat(f->fd, &st) < 0)
		return fail_errno(EXIT_IO, "%s/%s", f->catalog->dir, f->entry->file);
	return st.st_ino == f->inode && st.st_dev == f->device ? 0 : changed(f);
}

static void rest(struct datafile *f)
{
	if (f->o.keep_open || f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
}

static int64_t pull_stored(void *ctx, char *to, size_t n)
{
	struct datafile *f = ctx;
	ssize_t got;

	if (use(f) < 0)
		return -1;
	do
		got = pread(f->fd, to, n, f->at);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_errno(EXIT_IO, "%s/%s", f->catalog->dir, f->entry->file);
	rest(f);
	f->at += got;
	f->crc = crc32_bytes(f->crc, to, (size_t)got);
	return got;
}

static int64_t pull_gunzipped(void *ctx, char *to, size_t n)
{
	struct datafile *f = ctx;

	return gunzip_into(f->gunzip, to, n);
}

/* ---- lines ---- */

/* The wanted size of a buffer, but no more than the file will fill and no less than makes sense. */
static size_t fitting(size_t wanted, int64_t file)
{
	size_t size = file >= 0 && (uint64_t)file < wanted ? (size_t)file : wanted;

	return size > BLOCK_MIN ? size : BLOCK_MIN;
}

static int start(struct datafile *f)
{
	size_t n = strlen(f->name), block = f->o.block ? f->o.block : BLOCK;
	bool gz = n > 3 && strcmp(f->name + n - 3, ".gz") == 0;

	f->at = 0;
	f->crc = 0;
	/* One byte more than the file has shows the end. */
	reader_init_pull(&f->reader, gz ? pull_gunzipped : pull_stored, f, f->name,
	    fitting(block, f->entry->raw + 1));
	if (gz)
		f->gunzip = gunzip_open_pull(pull_stored, f, f->name,
		    fitting(block / 2, f->entry->bytes + 1));
	return gz && !f->gunzip ? -1 : 0;
}

static void stop(struct datafile *f)
{
	reader_release(&f->reader);
	gunzip_close(f->gunzip);
	f->gunzip = NULL;
}

int datafile_rewind(struct datafile *f)
{
	stop(f);
	return start(f);
}

struct datafile *datafile_open(const struct lake_catalog *c, const struct lake_entry *e,
    const struct datafile_options *o)
{
	struct datafile *f = xcalloc(1, sizeof(*f));
	struct buf name = BUF_INIT;
	struct stat st;

	*f = (struct datafile){ .catalog = c, .entry = e, .o = *o, .fd = o->fd };
	buf_addf(&name, "%s/%s", c->dir, e->file);
	buf_cstr(&name);
	f->name = name.data;
	if (f->fd < 0)
		f->fd = lake_catalog_open(c, e);
	if (f->fd < 0)
		goto failed;
	if (fstat(f->fd, &st) < 0) {
		fail_errno(EXIT_IO, "%s/%s", c->dir, e->file);
		goto failed;
	}
	f->inode = st.st_ino;
	f->device = st.st_dev;
	if (st.st_size != e->bytes) {
		fail(EXIT_DATA,
		    "%s/%s: has %" PRId64 " bytes, the journal (commit %" PRId64 ") says %" PRId64,
		    c->dir, e->file, (int64_t)st.st_size, e->commit, e->bytes);
		goto failed;
	}
	rest(f);
	if (start(f) == 0)
		return f;
failed:
	datafile_close(f);
	return NULL;
}

void datafile_close(struct datafile *f)
{
	if (!f)
		return;
	stop(f);
	if (f->fd >= 0)
		close(f->fd);
	free(f->name);
	free(f);
}

uint64_t datafile_number(const struct datafile *f)
{
	return f->reader.lines;
}

/* The end: was it the file that the journal means? */
static enum line_result finish(const struct datafile *f)
{
	const struct lake_entry *e = f->entry;

	if (f->crc != e->crc32)
		fail(EXIT_DATA,
		    "%s/%s: has crc32 %08" PRIx32 ", the journal (commit %" PRId64 ") says %08" PRIx32,
		    f->catalog->dir, e->file, f->crc, e->commit, e->crc32);
	else if (f->at != e->bytes || (int64_t)f->reader.lines != e->records)
		fail(EXIT_DATA,
		    "%s/%s: has %" PRIu64 " records in %" PRId64
		    " bytes, the journal (commit %" PRId64 ") says %" PRId64 " in %" PRId64,
		    f->catalog->dir, e->file, f->reader.lines, f->at, e->commit, e->records, e->bytes);
	else
		return LINE_EOF;
	return LINE_FAIL;
}

enum line_result datafile_line(struct datafile *f, struct span *line)
{
	enum line_result r = reader_line(&f->reader, line, -1);

	if (r == LINE_EOF)
		return finish(f);
	if (r != LINE_TAIL)
		return r;
	if (finish(f) == LINE_EOF)
		fail(EXIT_DATA, "%s/%s:%" PRIu64 ": has no newline", f->catalog->dir,
		    f->entry->file, f->reader.lines);
	return LINE_FAIL;
}
