/* The library's headers first: cmocka.h has a macro named fail. */
#include "spool.h"
#include "gzip.h"
#include "io.h"
#include "log.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

static char dir[64];
static struct lake *lake;

static int setup(void **state)
{
	struct lake_options o = { 0 };

	/* In memory where that is possible: 10,000 files are fsynced. */
	snprintf(dir, sizeof(dir), "%s/sluice-spool-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	lake = lake_open(dir, &o);
	assert_non_null(lake);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	lake_close(lake);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 3; /* . and .. and the one of opendir */
}

static struct spool *opened(struct spool_options o)
{
	struct spool *s;

	if (o.threads == 0)
		o.threads = 1;
	s = spool_open(lake, &o);
	if (!s)
		fail_msg("%s", fail_message());
	return s;
}

static void add(struct spool *s, struct span path, struct span line, int64_t ts)
{
	struct spool_file *f = spool_get(s, path);

	if (!f)
		fail_msg("%s", fail_message());
	assert_true(span_eq(f->path, path));
	buf_add_span(&f->raw, line);
	if (spool_added(s, f, line.n, ts) < 0)
		fail_msg("%s", fail_message());
}

/* Takes the window out and commits it. The files are the caller's to free. */
static struct lake_file *finish(struct spool *s, size_t *n)
{
	struct lake_file *list;
	struct lake_commit c = { .name = "append" };
	bool stands;

	if (spool_finish(s, &list, n) < 0)
		fail_msg("%s", fail_message());
	c.add = list;
	c.add_count = *n;
	if (lake_commit(lake, &c, &stands) < 0)
		fail_msg("%s", fail_message());
	spool_reset(s);
	return list;
}

static char *content(const char *path, int commit, bool gz, size_t *n)
{
	char full[256];
	struct buf text = BUF_INIT;
	struct gunzip *z;
	struct span part;
	int fd, more;

	snprintf(full, sizeof(full), "%s/%s/%08d.jsonl%s", dir, path, commit, gz ? ".gz" : "");
	if (!gz) {
		char *p = read_file(full, n);

		if (!p)
			fail_msg("%s", fail_message());
		return p;
	}
	fd = open(full, O_RDONLY);
	assert_true(fd >= 0);
	z = gunzip_open(fd, full);
	while ((more = gunzip_read(z, &part)) > 0)
		buf_add_span(&text, part);
	if (more < 0)
		fail_msg("%s", fail_message());
	gunzip_close(z);
	close(fd);
	*n = text.len;
	buf_cstr(&text);
	return text.data;
}

/* ---- what comes out ---- */

static void lines_of_each_path_stay_in_order(void **state)
{
	static const struct spool_options how[] = { { 0 }, { .gzip_level = 1 },
		{ .gzip_level = 6, .threads = 4 }, { .memory = 4096, .max_open = 1 },
		{ .memory = 4096, .max_open = 2, .gzip_level = 1, .threads = 3 } };

	for (size_t h = 0; h < sizeof(how) / sizeof(how[0]); h++) {
		struct spool *s = opened(how[h]);
		struct lake_file *list;
		struct buf want[7] = { { 0 } }, line = BUF_INIT;
		char path[16];
		size_t n;

		srand(1);
		for (int i = 0; i < 20000; i++) {
			int p = rand() % 7;

			buf_clear(&line);
			buf_addf(&line, "{\"i\":%d,\"pad\":\"%*d\"}\n", i, rand() % 200, i);
			snprintf(path, sizeof(path), "p/%d", p);
			add(s, (struct span){ path, strlen(path) }, buf_span(&line), i);
			buf_add_span(&want[p], buf_span(&line));
		}
		assert_int_equal(spool_records(s), 20000);
		list = finish(s, &n);
		assert_int_equal(n, 7);
		for (int p = 0; p < 7; p++) {
			size_t size;
			char *text;

			snprintf(path, sizeof(path), "p/%d", p);
			text = content(path, (int)h + 1, how[h].gzip_level > 0, &size);
			assert_int_equal(size, want[p].len);
			assert_memory_equal(text, want[p].data, size);
			free(text);
			buf_release(&want[p]);
		}
		free(list);
		buf_release(&line);
		spool_close(s);
	}
}

static void files_come_in_order_of_first_sight_with_their_figures(void **state)
{
	for (int gz = 0; gz < 2; gz++) {
		struct spool *s = opened((struct spool_options){ .gzip_level = gz });
		struct lake_file *list;
		size_t n;
		char *text;

		add(s, SPAN("b"), SPAN("one\n"), 50);
		add(s, SPAN("a"), SPAN("two\n"), -1);
		add(s, SPAN("b"), SPAN("three\n"), 40);
		assert_int_equal(spool_raw_bytes(s), 14);
		assert_int_equal(spool_records(s), 3);
		list = finish(s, &n);
		assert_int_equal(n, 2);
		assert_int_equal(list[0].records, 2);
		assert_int_equal(list[0].raw, 10);
		assert_int_equal(list[0].min_ts, 40);
		assert_int_equal(list[0].max_ts, 50);
		assert_int_equal(list[0].gzip, gz);
		assert_false(list[0].snapshot);
		assert_int_equal(list[1].records, 1);
		assert_int_equal(list[1].min_ts, INT64_MAX);
		assert_int_equal(list[1].max_ts, INT64_MIN);
		text = content("b", gz + 1, gz, &n);
		assert_string_equal(text, "one\nthree\n");
		if (!gz) {
			assert_int_equal(list[0].bytes, 10);
			assert_int_equal(list[0].crc32, crc32_bytes(0, text, 10));
		}
		free(text);
		free(list);
		assert_int_equal(spool_raw_bytes(s), 0);
		assert_int_equal(spool_records(s), 0);
		spool_close(s);
	}
	{
		struct lake_check c;

		assert_int_equal(lake_check(dir, &c), 0); /* size, crc and lines are what was said */
		assert_int_equal(c.records, 6);
	}
}

static void gzip_members_are_of_about_a_mebibyte(void **state)
{
	struct spool *s = opened((struct spool_options){ .gzip_level = 1 });
	struct buf line = BUF_INIT;
	struct lake_file *list;
	char path[128], *bytes;
	size_t n, members = 0;

	buf_addf(&line, "{\"pad\":\"%01000d\"}\n", 1);
	for (int i = 0; i < 10 * 1024; i++)
		add(s, SPAN("a"), buf_span(&line), 1);
	list = finish(s, &n);
	snprintf(path, sizeof(path), "%s/a/00000001.jsonl.gz", dir);
	bytes = read_file(path, &n);
	for (size_t i = 0; i + 3 < n; i++)
		members += memcmp(bytes + i, "\x1f\x8b\x08\x00", 4) == 0;
	assert_in_range(members, 9, 12);
	free(bytes);
	free(list);
	buf_release(&line);
	spool_close(s);
}

static void an_empty_file_is_a_file(void **state)
{
	for (int gz = 0; gz < 2; gz++) {
		struct spool *s = opened((struct spool_options){ .gzip_level = gz });
		struct lake_file *list;
		size_t n;
		char *text;

		assert_non_null(spool_get(s, SPAN("empty")));
		list = finish(s, &n);
		assert_int_equal(n, 1);
		assert_int_equal(list[0].records, 0);
		assert_int_equal(list[0].raw, 0);
		assert_int_equal(list[0].bytes > 0, gz); /* one empty member is not no bytes */
		text = content("empty", gz + 1, gz, &n);
		assert_int_equal(n, 0);
		free(text);
		free(list);
		spool_close(s);
	}
}

static void an_ignored_path_takes_nothing(void **state)
{
	struct spool *s = opened((struct spool_options){ .snapshot = true });
	struct lake_file *list;
	size_t n;

	assert_null(spool_find(s, SPAN("a")));
	assert_true(spool_ignore(s, SPAN("a"))->ignored);
	assert_true(spool_find(s, SPAN("a"))->ignored);
	assert_true(spool_get(s, SPAN("a"))->ignored);
	add(s, SPAN("b"), SPAN("x\n"), 1);
	list = finish(s, &n);
	assert_int_equal(n, 1);
	assert_true(list[0].snapshot);
	free(list);
	assert_null(spool_find(s, SPAN("a"))); /* a window later it is looked at again */
	spool_close(s);
}

static void a_window_that_is_dropped_leaves_nothing(void **state)
{
	struct spool *s = opened((struct spool_options){ .gzip_level = 1, .memory = 1000 });
	struct lake_file *list;
	size_t n;
	char *text;
	int before = descriptors();

	for (int i = 0; i < 100; i++)
		add(s, SPAN("a"), SPAN("to be dropped\n"), 1);
	spool_reset(s);
	assert_int_equal(descriptors(), before);
	assert_int_equal(spool_records(s), 0);
	add(s, SPAN("a"), SPAN("kept\n"), 1);
	list = finish(s, &n);
	text = content("a", 1, true, &n);
	assert_string_equal(text, "kept\n");
	free(text);
	free(list);
	spool_close(s);
}

static void a_record_larger_than_all_memory_goes_through(void **state)
{
	struct spool *s = opened((struct spool_options){ .memory = 1 << 20 });
	struct lake_file *list;
	size_t n, size = (size_t)40 << 20;
	char *big = malloc(size), *text;

	memset(big, 'x', size);
	big[size - 1] = '\n';
	add(s, SPAN("a"), SPAN("small\n"), 1);
	add(s, SPAN("a"), (struct span){ big, size }, 1);
	add(s, SPAN("a"), SPAN("small\n"), 1);
	list = finish(s, &n);
	text = content("a", 1, false, &n);
	assert_int_equal(n, size + 12);
	assert_memory_equal(text + 6, big, size);
	free(text);
	free(big);
	free(list);
	spool_close(s);
}

/* ---- bounds ---- */

#define PATHS 10000

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void a_window_is_full_when_it_has_more_paths_than_it_may(void **state)
{
	struct spool *s = opened((struct spool_options){ .paths = 10 });
	char path[32];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i <= 10; i++) {
			assert_false(spool_full(s));
			snprintf(path, sizeof(path), "p/%d", i);
			add(s, (struct span){ path, strlen(path) }, SPAN("x\n"), 1);
		}
		assert_true(spool_full(s));
		spool_reset(s);
	}
	spool_close(s);
}

static void memory_and_descriptors_are_bounded_over_many_paths(void **state)
{
	static const struct spool_options how[] = { { .memory = 8 << 20, .max_open = 20 },
		{ .memory = 8 << 20, .max_open = 20, .gzip_level = 1, .threads = 2 } };

	for (size_t h = 0; h < 2; h++) {
		struct spool *s = opened(how[h]);
		struct buf line = BUF_INIT;
		struct lake_file *list;
		int fds = descriptors(), most = 0;
		size_t start = in_use(), peak = 0, n;
		char path[32], *text;

		buf_addf(&line, "{\"pad\":\"%0700d\"}\n", 1);
		for (int i = 0; i < 5 * PATHS; i++) {
			snprintf(path, sizeof(path), "p/%d", i % PATHS);
			add(s, (struct span){ path, strlen(path) }, buf_span(&line), 1);
			if (i % 500 == 0) {
				int d = descriptors() - fds;
				size_t m = in_use() - start;

				most = d > most ? d : most;
				peak = m > peak ? m : peak;
			}
		}
		assert_in_range(most, 10, 20);
		/* 35 MB came; what each path costs beside its buffer is some hundred bytes. */
		if (peak > ((size_t)8 << 20) + PATHS * 1000 + ((size_t)8 << 20))
			fail_msg("%zu bytes at the peak", peak);
		list = finish(s, &n);
		assert_int_equal(n, PATHS);
		assert_int_equal(descriptors(), fds);
		snprintf(path, sizeof(path), "p/%d", PATHS - 1);
		text = content(path, (int)h + 1, h == 1, &n);
		assert_int_equal(n, 5 * line.len);
		free(text);
		free(list);
		buf_release(&line);
		spool_close(s);
	}
}

static void a_small_limit_of_descriptors_is_enough(void **state)
{
	struct rlimit old, small;
	struct lake_file *list;
	struct spool *s;
	char path[32];
	size_t n;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	small = old;
	small.rlim_cur = 40;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	s = opened((struct spool_options){ 0 });
	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "p/%d", i % 100);
		add(s, (struct span){ path, strlen(path) }, SPAN("x\n"), 1);
	}
	list = finish(s, &n);
	assert_int_equal(n, 100);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	free(list);
	spool_close(s);
}

static int open_without_threads(void)
{
	struct spool_options o = { .gzip_level = 1, .threads = 2 };

	no_more_threads();
	return spool_open(lake, &o) ? 0 : (int)fail_code();
}

static void without_a_thread_to_compress_there_is_none(void **state)
{
	assert_int_equal(in_child(open_without_threads), EXIT_IO);
}

/* A directory that is gone: a file that is opened again, and one that is to be made below a file. */
static void places_that_are_gone_are_named(void **state)
{
	struct spool *s = opened((struct spool_options){ .max_open = 1 });
	struct spool_file *f = spool_get(s, SPAN("a"));
	struct lake_file *list;
	char command[128];
	size_t n;

	assert_non_null(f);
	buf_add_str(&f->raw, "x\n");
	assert_int_equal(spool_added(s, f, 2, 1), 0);
	assert_non_null(spool_get(s, SPAN("b"))); /* closes it */
	snprintf(command, sizeof(command), "rm -r '%s/a'", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(spool_finish(s, &list, &n), -1);
	assert_non_null(strstr(fail_message(), "a"));
	assert_non_null(strstr(fail_message(), "No such file or directory"));
	spool_close(s);
}

/* What cannot be made durable when its descriptor goes is known to the path that needs the room. */
static void a_descriptor_that_cannot_be_given_up_stops_the_next(void **state)
{
	struct spool *s = opened((struct spool_options){ .max_open = 1 });
	static char large[2 << 20];
	struct spool_file *a, *b;

	memset(large, 'x', sizeof(large));
	a = spool_get(s, SPAN("a"));
	buf_add(&a->raw, large, sizeof(large));
	assert_int_equal(spool_added(s, a, sizeof(large), 1), 0); /* written, not synced */
	close(a->fd);
	assert_null(spool_get(s, SPAN("b")));
	assert_non_null(strstr(fail_message(), "a: fsync: Bad file descriptor"));
	b = spool_get(s, SPAN("b")); /* there is room now */
	assert_non_null(b);
	buf_add(&b->raw, large, sizeof(large));
	assert_int_equal(spool_added(s, b, sizeof(large), 1), 0);
	close(b->fd);
	buf_add(&a->raw, large, sizeof(large));
	assert_int_equal(spool_added(s, a, sizeof(large), 1), -1);
	assert_non_null(strstr(fail_message(), "b: fsync: Bad file descriptor"));
	spool_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_of_each_path_stay_in_order),
		TEST(files_come_in_order_of_first_sight_with_their_figures),
		TEST(gzip_members_are_of_about_a_mebibyte),
		TEST(an_empty_file_is_a_file),
		TEST(an_ignored_path_takes_nothing),
		TEST(a_window_that_is_dropped_leaves_nothing),
		TEST(a_record_larger_than_all_memory_goes_through),
		TEST(a_window_is_full_when_it_has_more_paths_than_it_may),
		TEST(memory_and_descriptors_are_bounded_over_many_paths),
		TEST(a_small_limit_of_descriptors_is_enough),
		TEST(without_a_thread_to_compress_there_is_none),
		TEST(places_that_are_gone_are_named),
		TEST(a_descriptor_that_cannot_be_given_up_stops_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
