/*
 * libFuzzer target for what lib/lake makes of a journal, whatever it says. The first byte says which files there are, the
 * rest is the journal. Readers change nothing; nobody, repair included, touches what lies outside the lake; what
 * a writer finds is what readers found; and a lake that was repaired opens.
 */
#include "lake.h"
#include "io.h"
#include "log.h"
#include "replay.h"
#include "stream.h"

#include "crcs.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

unsigned corpus_cuts = 4;

static char top[64];    /* top/lake, and beside it top/out */
static struct buf tree; /* of walk() */

static const char *at(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void put(const char *name, struct span content)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write_all(fd, content.p, content.n) == 0, "there is room");
	close(fd);
}

#define RECORD "{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"ts\":1,\"payload\":{}}\n"

/* Names that the seeds know, with its size and checksum. */
static const char *const files[] = { "lake/a/00000001.jsonl", "lake/a/.sluice-w-1",
	"lake/.sluice-w-2", "lake/a/snapshot.jsonl", "lake/b/.sluice-x-1", "out/.sluice-w-3",
	"out/victim.jsonl", "lake/.sluice/journal.1" };

static void make(unsigned which, struct span journal)
{
	static const char *const dirs[] = { "out", "lake", "lake/.sluice", "lake/.sluice/writers",
		"lake/a", "lake/b" };
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(top, sizeof(top), "%s/sluice-fuzz-XXXXXX", base);
	must(mkdtemp(top) != NULL, "there is a directory");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		must(mkdir(at(dirs[i]), 0755) == 0, "there is room");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (which >> i & 1 || strncmp(files[i], "out", 3) == 0)
			put(files[i], SPAN(RECORD));
	must(symlink("../out", at("lake/link")) == 0, "there is room");
	put("lake/.sluice/journal", journal);
}

/* All names with what they are and hold. */
static int note_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char *text = NULL;
	size_t n = 0;

	buf_addf(&tree, "%s %o ", path + strlen(top), (unsigned)st->st_mode);
	if (S_ISREG(st->st_mode)) {
		text = read_file(path, &n);
		must(text != NULL, "it can be read");
		buf_add(&tree, text, n);
		free(text);
	}
	buf_add_char(&tree, '\n');
	return 0;
}

/* Order of readdir: the same while nothing changes. */
static char *walk(const char *name)
{
	buf_clear(&tree);
	nftw(at(name), note_one, 8, FTW_PHYS);
	return xstrdup(buf_cstr(&tree));
}

/* The library says much on stderr. Sanitizers write to the descriptor: they are heard. */
static void hush(bool on)
{
	static FILE *real, *null;

	if (!null) {
		real = stderr;
		null = fopen("/dev/null", "we");
		must(null != NULL, "there is /dev/null");
	}
	stderr = on ? null : real; /* glibc's may be assigned */
}

static void print(struct positions *ps, struct buf *to)
{
	struct position **list;
	size_t n;

	for (size_t i = 0; i < ps->count; i++)
		ps->item[i]->moved = true;
	n = positions_moved(ps, &list);
	positions_print(list, n, to);
	free(list);
	positions_release(ps);
}

struct seen {
	int positions, catalog, check;
	struct buf marks;
};

static void read_all(struct seen *s)
{
	struct lake_catalog catalog;
	struct lake_check check;
	struct positions ps;

	positions_init(&ps, (struct positions_rules){ 0 });
	s->positions = lake_read_positions(at("lake"), "append", &ps);
	print(&ps, &s->marks);
	s->catalog = lake_catalog_read(at("lake"), &catalog);
	for (size_t i = 0; i < catalog.count; i++) {
		int fd = lake_catalog_open(&catalog, &catalog.entry[i]);

		if (fd >= 0)
			close(fd);
	}
	lake_catalog_release(&catalog);
	s->check = lake_check(at("lake"), &check);
}

/* Whatever the journal says, lakecat writes a stream. */
static void check_stream(struct span text)
{
	struct take t = { (const uint8_t *)text.p, text.n };
	struct stream stream;
	struct line l;

	stream_init(&stream);
	while (t.n > 0)
		must(stream_parse(&stream, take_line(&t), &l) == 0, "lakecat writes a stream");
	stream_release(&stream);
}

static void replay(bool marks)
{
	struct replay_options o = { .dir = at("lake"), .marks = marks };
	struct progress progress = { 0 };
	struct writer out;
	struct replay *r;
	char *text;
	size_t n;

	hush(true);
	writer_init(&out, memory_file(), 0);
	r = replay_open(&o);
	if (r)
		(void)replay_run(r, &out, &progress);
	hush(false);
	must(writer_flush(&out) == 0, "there is memory");
	replay_close(r);
	text = read_file(memory_name(out.fd), &n);
	must(text != NULL, "it can be read");
	check_stream((struct span){ text, n });
	free(text);
	writer_release(&out);
}

static bool open_lake(struct buf *marks)
{
	struct lake_options o = { .lock_timeout_ms = 1000 };
	struct lake *lake = lake_open(at("lake"), &o);
	struct positions ps;

	if (!lake)
		return false;
	positions_init(&ps, (struct positions_rules){ 0 });
	lake_positions(lake, "append", &ps);
	print(&ps, marks);
	lake_close(lake);
	return true;
}

static void check_lake(void)
{
	struct seen before = { 0 }, after = { 0 };
	struct buf marks = BUF_INIT, again = BUF_INIT;
	char *outside = walk("out"), *all = walk(""), *now;
	bool opened, repaired, opens;
	char why[300];

	hush(true);
	read_all(&before);
	hush(false);
	replay(true);
	replay(false);
	now = walk("");
	must(strcmp(all, now) == 0, "readers change nothing");
	free(now);
	free(all);

	hush(true);
	opened = open_lake(&marks);
	hush(false);
	must(!opened || (before.positions == 0 && span_eq(buf_span(&before.marks), buf_span(&marks))),
	    "a writer finds the positions that a reader found");

	hush(true);
	repaired = lake_repair(at("lake")) == 0;
	opens = open_lake(&again);
	snprintf(why, sizeof(why), "a lake that was repaired opens: %s", fail_message());
	read_all(&after);
	hush(false);
	must(!repaired || opens, why);
	must(!repaired || (after.positions == 0 && after.catalog == 0), "and is read");
	must(!opened || !repaired || span_eq(buf_span(&marks), buf_span(&again)),
	    "where nothing was damaged a repair moves no position");

	now = walk("out");
	must(strcmp(outside, now) == 0, "nothing outside of the lake is touched");
	free(now);
	free(outside);
	buf_release(&marks);
	buf_release(&again);
	buf_release(&before.marks);
	buf_release(&after.marks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	unsigned which = take_byte(&t);
	struct buf journal = BUF_INIT;

	mend_crcs(take_rest(&t), &journal);
	make(which, buf_span(&journal));
	check_lake();
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	buf_release(&journal);
	return 0;
}
