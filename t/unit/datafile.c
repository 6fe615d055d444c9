#include "datafile.h"

#include "gzip.h"
#include "log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory with one file, and what a journal would say of it. */
struct place {
	char dir[64], name[64];
	struct lake_catalog catalog;
	struct lake_entry entry;
};

static void write_file(const struct place *p, const char *name, struct span bytes)
{
	int fd = openat(p->catalog.dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, bytes.p, bytes.n), 0);
	close(fd);
}

static void begin(struct place *p, const char *name, struct span bytes, int64_t records, int64_t raw)
{
	*p = (struct place){ .dir = "/tmp/sluice-datafile-XXXXXX" };
	snprintf(p->name, sizeof(p->name), "%s", name);
	assert_non_null(mkdtemp(p->dir));
	p->catalog.dir = p->dir;
	p->catalog.dirfd = open(p->dir, O_RDONLY | O_DIRECTORY);
	p->entry = (struct lake_entry){ .file = p->name,
		.tmp = p->name,
		.commit = 7,
		.records = records,
		.bytes = (int64_t)bytes.n,
		.raw = raw,
		.crc32 = crc32_bytes(0, bytes.p, bytes.n) };
	write_file(p, name, bytes);
}

static void end(struct place *p)
{
	unlinkat(p->catalog.dirfd, p->entry.file, 0);
	close(p->catalog.dirfd);
	rmdir(p->dir);
}

/* n lines, "0" to "n-1", of growing length. */
static void make_lines(struct buf *to, int n)
{
	for (int i = 0; i < n; i++)
		buf_addf(to, "%*d\n", i % 300 + 1, i);
}

static void compress(const struct buf *raw, size_t member, struct buf *to)
{
	struct gzip *g = gzip_open(6, 1);
	struct gzip_block block;

	for (size_t at = 0; at < raw->len; at += member) {
		struct buf part = BUF_INIT;

		buf_add(&part, raw->data + at, raw->len - at < member ? raw->len - at : member);
		assert_true(gzip_submit(g, &part, NULL));
		assert_true(gzip_next(g, true, &block));
		buf_add_span(to, block.data);
		buf_release(&part);
	}
	gzip_close(g);
}

static void expect_lines(struct datafile *f, int n)
{
	struct span line;
	char text[400];

	for (int i = 0; i < n; i++) {
		if (datafile_line(f, &line) != LINE_OK)
			fail_msg("line %d: %s", i + 1, fail_message());
		assert_int_equal(datafile_number(f), i + 1);
		snprintf(text, sizeof(text), "%*d", i % 300 + 1, i);
		assert_int_equal(line.n, strlen(text));
		assert_memory_equal(line.p, text, line.n);
	}
	assert_int_equal(datafile_line(f, &line), LINE_EOF);
}

static void lines_of(const char *name, bool gz)
{
	struct buf raw = BUF_INIT, packed = BUF_INIT;
	struct place p;

	make_lines(&raw, 2000);
	if (gz)
		compress(&raw, 10007, &packed);
	begin(&p, name, buf_span(gz ? &packed : &raw), 2000, (int64_t)raw.len);
	for (int keep = 0; keep < 2; keep++) {
		for (size_t block = 0; block < 20000; block += 4999) {
			struct datafile_options o = { .block = block, .keep_open = keep, .fd = -1 };
			struct datafile *f = datafile_open(&p.catalog, &p.entry, &o);

			assert_non_null(f);
			expect_lines(f, 2000);
			assert_int_equal(datafile_rewind(f), 0);
			expect_lines(f, 2000);
			datafile_close(f);
		}
	}
	end(&p);
	buf_release(&raw);
	buf_release(&packed);
}

static void lines_of_a_plain_file_twice(void **state)
{
	lines_of("00000001.jsonl", false);
}

static void lines_of_a_gzip_file_twice(void **state)
{
	lines_of("00000001.jsonl.gz", true);
}

/* Reads all of it: how it ends. */
static enum line_result read_all(const struct place *p, int64_t *lines)
{
	struct datafile_options o = { .fd = -1 };
	struct datafile *f = datafile_open(&p->catalog, &p->entry, &o);
	enum line_result r = LINE_FAIL;
	struct span line;

	*lines = 0;
	while (f && (r = datafile_line(f, &line)) == LINE_OK)
		++*lines;
	datafile_close(f);
	return r;
}

static void expect_failure(const struct place *p, int64_t lines, const char *why)
{
	int64_t n;

	assert_int_equal(read_all(p, &n), LINE_FAIL);
	assert_int_equal(n, lines);
	assert_int_equal(fail_code(), EXIT_DATA);
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
}

static void an_empty_file_is_whole(void **state)
{
	struct place p;
	int64_t n;

	begin(&p, "snapshot.jsonl", (struct span){ NULL, 0 }, 0, 0);
	assert_int_equal(read_all(&p, &n), LINE_EOF);
	assert_int_equal(n, 0);
	end(&p);
}

static void what_the_journal_does_not_say_is_damage(void **state)
{
	struct place p;
	int64_t n;

	begin(&p, "1.jsonl", SPAN("{}\n{}\n"), 2, 6);
	assert_int_equal(read_all(&p, &n), LINE_EOF);
	write_file(&p, "1.jsonl", SPAN("{}\n{}\n{"));
	expect_failure(&p, 0, "1.jsonl: has 7 bytes, the journal (commit 7) says 6");
	write_file(&p, "1.jsonl", SPAN("{}\n[]\n"));
	expect_failure(&p, 2, "1.jsonl: has crc32 ");
	write_file(&p, "1.jsonl", SPAN("{}\n{}\n"));
	p.entry.records = 3;
	expect_failure(&p, 2, "1.jsonl: has 2 records in 6 bytes, the journal (commit 7) says 3 in 6");
	unlinkat(p.catalog.dirfd, "1.jsonl", 0);
	expect_failure(&p, 0, "1.jsonl: No such file");
	end(&p);
	begin(&p, "1.jsonl", SPAN("{}\n{}"), 2, 5);
	expect_failure(&p, 1, "1.jsonl:2: has no newline");
	end(&p);
}

static void a_file_that_is_replaced_between_reads_is_noticed(void **state)
{
	struct buf raw = BUF_INIT;
	struct place p;

	make_lines(&raw, 2000);
	for (int keep = 0; keep < 2; keep++) {
		struct datafile_options o = { .block = 4096, .keep_open = keep, .fd = -1 };
		enum line_result r;
		struct datafile *f;
		struct span line;

		begin(&p, "1.jsonl", buf_span(&raw), 2000, (int64_t)raw.len);
		f = datafile_open(&p.catalog, &p.entry, &o);
		assert_int_equal(datafile_line(f, &line), LINE_OK);
		write_file(&p, "new", buf_span(&raw));
		assert_int_equal(renameat(p.catalog.dirfd, "new", p.catalog.dirfd, "1.jsonl"), 0);
		while ((r = datafile_line(f, &line)) == LINE_OK)
			;
		assert_int_equal(r, keep ? LINE_EOF : LINE_FAIL);
		datafile_close(f);
		end(&p);
	}
	buf_release(&raw);
}

static void a_file_that_goes_or_cannot_be_read_meanwhile_is_named(void **state)
{
	struct datafile_options o = { .block = 4096, .fd = -1 };
	struct buf raw = BUF_INIT;
	struct datafile *f;
	enum line_result r;
	struct span line;
	struct place p;

	make_lines(&raw, 2000);
	begin(&p, "1.jsonl", buf_span(&raw), 2000, (int64_t)raw.len);
	f = datafile_open(&p.catalog, &p.entry, &o);
	assert_int_equal(datafile_line(f, &line), LINE_OK);
	assert_int_equal(unlinkat(p.catalog.dirfd, "1.jsonl", 0), 0);
	while ((r = datafile_line(f, &line)) == LINE_OK)
		;
	assert_int_equal(r, LINE_FAIL);
	assert_int_equal(fail_code(), EXIT_DATA);
	datafile_close(f);

	write_file(&p, "1.jsonl", buf_span(&raw));
	o.keep_open = true;
	o.fd = openat(p.catalog.dirfd, "1.jsonl", O_WRONLY);
	f = datafile_open(&p.catalog, &p.entry, &o);
	assert_non_null(f);
	assert_int_equal(datafile_line(f, &line), LINE_FAIL);
	assert_int_equal(fail_code(), EXIT_IO);
	datafile_close(f);

	o.fd = openat(p.catalog.dirfd, "1.jsonl", O_RDONLY);
	close(o.fd);
	assert_null(datafile_open(&p.catalog, &p.entry, &o));
	assert_int_equal(fail_code(), EXIT_IO);
	end(&p);
	buf_release(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_a_plain_file_twice),
		cmocka_unit_test(lines_of_a_gzip_file_twice),
		cmocka_unit_test(an_empty_file_is_whole),
		cmocka_unit_test(what_the_journal_does_not_say_is_damage),
		cmocka_unit_test(a_file_that_is_replaced_between_reads_is_noticed),
		cmocka_unit_test(a_file_that_goes_or_cannot_be_read_meanwhile_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
