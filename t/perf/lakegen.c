/*
 * lakegen: a lake with a long history, as a job that runs every ten minutes for years leaves it, made by the
 * library's own commits.
 *
 *     lakegen DIR TOPIC COMMITS PARTITIONS TOUCHED RECORDS
 *
 * Every commit moves TOUCHED of the PARTITIONS, in turn, until each has RECORDS records; its records go into
 * one file in the directory of its day. A few more commits then fill the journal nearly to its roll: that is
 * when readers have most to read. Nothing is fsynced: the lake is made for one bench.
 */
#include "gzip.h"
#include "io.h"
#include "lake.h"
#include "log.h"
#include "opt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCH_MS  INT64_C(1763697600000)
#define PER_DAY   144 /* one in ten minutes */
#define ARGUMENTS 7
#define FULL      (LAKE_ROLL_BYTES * 15 / 16)

static struct {
	int64_t commits, partitions, touched, records;
	const char *topic;
} o;

/* In place of libc's, for the library too. */
int fsync(int fd)
{
	return 0;
}

int fdatasync(int fd)
{
	return 0;
}

static void add_records(struct buf *to, struct lake_file *f, int64_t partition, int64_t from,
    int64_t next)
{
	for (int64_t n = from; n < next; n++) {
		int64_t ts = EPOCH_MS + n * 1000;

		buf_addf(to, "{\"topic\":\"%s\",\"partition\":%" PRId64 ",\"offset\":%" PRId64,
		    o.topic, partition, n);
		buf_addf(to,
		    ",\"tstype\":\"create\",\"ts\":%" PRId64 ",\"key\":null,\"payload\":{\"n\":", ts);
		buf_addf(to, "%" PRId64 "}}\n", n);
		f->records++;
		f->min_ts = ts < f->min_ts ? ts : f->min_ts;
		f->max_ts = ts > f->max_ts ? ts : f->max_ts;
	}
}

/* Moves the partitions of commit c. */
static void fill(struct positions *ps, int64_t c, struct buf *text, struct lake_file *f)
{
	int64_t visits = o.commits * o.touched / o.partitions;

	for (int64_t k = 0; k < o.touched; k++) {
		int64_t turn = c * o.touched + k, visit = turn / o.partitions;
		struct position *p = positions_get(ps, (struct span){ o.topic, strlen(o.topic) },
		    (int32_t)(turn % o.partitions));
		int64_t next = visit + 1 < visits ? (visit + 1) * o.records / visits : o.records;

		add_records(text, f, p->partition, p->next, next);
		p->stored = p->moved = true;
		p->next = next;
		p->last_offset = next - 1;
		p->last_ts = next > 0 ? EPOCH_MS + p->last_offset * 1000 : -1;
	}
}

/* What has no records has no file: a commit may move positions only. */
static int write_file(struct lake *l, int64_t c, const struct buf *text, struct lake_file *f)
{
	char path[64];
	int fd, r;

	if (text->len == 0)
		return 0;
	snprintf(path, sizeof(path), "streams/%s/day=%04" PRId64, o.topic, c / PER_DAY);
	f->temp = lake_temp(l, (struct span){ path, strlen(path) }, &fd);
	if (f->temp < 0)
		return -1;
	f->bytes = f->raw = (int64_t)text->len;
	f->crc32 = crc32_bytes(0, text->data, text->len);
	r = write_all(fd, text->data, text->len) < 0 ? -1 : 0;
	if (close(fd) < 0 || r < 0)
		return fail_errno(EXIT_IO, "%s", path);
	return 0;
}

static int add_commit(struct lake *l, struct positions *ps, int64_t c, struct buf *text)
{
	struct lake_file f = { .min_ts = INT64_MAX, .max_ts = INT64_MIN };
	struct lake_commit commit = { .name = "append", .add = &f };
	bool stands;
	int r;

	buf_clear(text);
	fill(ps, c, text, &f);
	if (write_file(l, c, text, &f) < 0)
		return -1;
	commit.add_count = text->len > 0;
	commit.position_count = positions_moved(ps, &commit.positions);
	r = lake_commit(l, &commit, &stands);
	free(commit.positions);
	positions_begin(ps);
	return r;
}

static bool journal_is_full(const char *dir)
{
	struct buf path = BUF_INIT;
	struct stat st = { 0 };

	buf_addf(&path, "%s/.sluice/journal", dir);
	stat(buf_cstr(&path), &st);
	buf_release(&path);
	return st.st_size >= FULL;
}

int main(int argc, char **argv)
{
	struct lake_options options = { 0 };
	struct buf text = BUF_INIT;
	struct positions ps;
	struct lake *l;
	int r = 0;

	if (argc != ARGUMENTS || opt_int(argv[3], 1, 1000000, &o.commits) < 0 ||
	    opt_int(argv[4], 1, 100000, &o.partitions) < 0 ||
	    opt_int(argv[5], 1, o.partitions, &o.touched) < 0 ||
	    opt_int(argv[6], 1, 1000000, &o.records) < 0) {
		fprintf(stderr, "usage: lakegen DIR TOPIC COMMITS PARTITIONS TOUCHED RECORDS\n");
		return EXIT_USAGE;
	}
	o.topic = argv[2];
	positions_init(&ps, (struct positions_rules){ 0 });
	l = lake_open(argv[1], &options);
	if (!l)
		return (int)report();
	for (int64_t c = 0; r == 0 && (c < o.commits || !journal_is_full(argv[1])); c++)
		r = add_commit(l, &ps, c, &text);
	lake_close(l);
	positions_release(&ps);
	buf_release(&text);
	return r < 0 ? (int)report() : EXIT_DONE;
}
