#include "gzip.h"

#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

/* A file that exists only as a descriptor, holding n bytes, read from its beginning. */
static int file_with(const void *p, size_t n)
{
	FILE *f = tmpfile();
	int fd = dup(fileno(f));

	fclose(f);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Lines that compress like ours do, different for every seed. */
static void fill(struct buf *b, unsigned seed, size_t n)
{
	while (b->len < n)
		buf_addf(b, "{\"offset\":%zu,\"payload\":{\"seed\":%u,\"r\":%d}}\n", b->len, seed,
		    rand() % 997);
	b->len = n;
}

static void gunzip_all(struct buf *to, const void *p, size_t n)
{
	int fd = file_with(p, n);
	struct gunzip *z = gunzip_open(fd, "test.gz");
	struct span s;
	int more;

	while ((more = gunzip_read(z, &s)) > 0)
		buf_add_span(to, s);
	if (more < 0)
		fail_msg("%s", fail_message());
	assert_int_equal(gunzip_bytes(z), n);
	assert_int_equal(gunzip_crc32(z), crc32_bytes(0, p, n));
	gunzip_close(z);
	close(fd);
}

/* The exit code that reading these bytes fails with, 0 when it does not; why in fail_message(). */
static int gunzip_fails(const void *p, size_t n)
{
	int fd = file_with(p, n);
	struct gunzip *z = gunzip_open(fd, "test.gz");
	struct span s;
	int more;

	while ((more = gunzip_read(z, &s)) > 0)
		;
	gunzip_close(z);
	close(fd);
	return more < 0 ? (int)fail_code() : 0;
}

/* One member that holds s. */
static void pack(struct buf *to, const char *s)
{
	struct gzip *g = gzip_open(GZIP_LEVEL, 1);
	struct buf raw = BUF_INIT;
	struct gzip_block block;

	buf_add_str(&raw, s);
	assert_true(gzip_submit(g, &raw, NULL));
	assert_true(gzip_next(g, true, &block));
	buf_add_span(to, block.data);
	gzip_close(g);
	buf_release(&raw);
}

static void blocks_come_back_in_order_and_whole(void **state)
{
	static const size_t sizes[] = { 1 << 20, 0, 1, 100, 70000, 300000 };
	enum { BLOCKS = 120 };

	for (int threads = 1; threads <= 4; threads += 3) {
		struct gzip *g = gzip_open(1, threads);
		struct buf raw = BUF_INIT, all = BUF_INIT, file = BUF_INIT, back = BUF_INIT;
		struct gzip_block block;
		uintptr_t next = 0;

		for (uintptr_t i = 0; i < BLOCKS; i++) {
			size_t n = sizes[i % 6];

			fill(&raw, (unsigned)i, n);
			buf_add_span(&all, buf_span(&raw));
			while (!gzip_submit(g, &raw, (void *)i)) {
				assert_true(gzip_next(g, true, &block));
				assert_int_equal((uintptr_t)block.cookie, next);
				assert_int_equal(block.raw, sizes[next++ % 6]);
				buf_add_span(&file, block.data);
			}
			assert_int_equal(raw.len, 0);
		}
		while (gzip_next(g, true, &block)) {
			assert_int_equal((uintptr_t)block.cookie, next++);
			buf_add_span(&file, block.data);
		}
		assert_int_equal(next, BLOCKS);
		gunzip_all(&back, file.data, file.len);
		assert_true(span_eq(buf_span(&back), buf_span(&all)));
		gzip_close(g);
		buf_release(&raw);
		buf_release(&all);
		buf_release(&file);
		buf_release(&back);
	}
}

static void a_full_queue_refuses_and_takes_nothing(void **state)
{
	struct gzip *g = gzip_open(6, 2);
	struct buf raw = BUF_INIT;
	struct gzip_block block;

	for (int i = 0; i < 5; i++) {
		buf_add_str(&raw, "x");
		assert_true(gzip_submit(g, &raw, NULL));
	}
	buf_add_str(&raw, "kept");
	assert_false(gzip_submit(g, &raw, NULL));
	assert_int_equal(raw.len, 4);
	assert_true(gzip_next(g, true, &block));
	assert_true(gzip_submit(g, &raw, NULL));
	gzip_close(g); /* with blocks in flight */
	buf_release(&raw);
}

static void a_block_stays_valid_until_the_next_is_taken(void **state)
{
	struct gzip *g = gzip_open(6, 2);
	struct buf raw = BUF_INIT, copy = BUF_INIT, back = BUF_INIT;
	struct gzip_block block, other;

	buf_add_str(&raw, "the first");
	gzip_submit(g, &raw, NULL);
	assert_true(gzip_next(g, true, &block));
	buf_add_span(&copy, block.data);
	do
		fill(&raw, 1, 50000);
	while (gzip_submit(g, &raw, NULL));
	usleep(20000);
	assert_true(span_eq(block.data, buf_span(&copy)));
	while (gzip_next(g, true, &other))
		;
	gunzip_all(&back, copy.data, copy.len);
	assert_true(span_is(buf_span(&back), "the first"));
	gzip_close(g);
	buf_release(&raw);
	buf_release(&copy);
	buf_release(&back);
}

static void without_wait_nothing_blocks(void **state)
{
	struct gzip *g = gzip_open(9, 1);
	struct buf raw = BUF_INIT;
	struct gzip_block block;

	assert_false(gzip_next(g, false, &block));
	assert_false(gzip_next(g, true, &block));
	fill(&raw, 3, 4 << 20);
	gzip_submit(g, &raw, NULL);
	assert_false(gzip_next(g, false, &block)); /* 4 MiB at level 9 take longer than this call */
	while (!gzip_next(g, false, &block))
		usleep(1000);
	assert_int_equal(block.raw, 4 << 20);
	gzip_close(g);
	buf_release(&raw);
}

static void a_warm_pool_gives_buffers_back(void **state)
{
	struct gzip *g = gzip_open(1, 1);
	struct buf raw = BUF_INIT;
	struct gzip_block block;

	for (int i = 0; i < 12; i++) {
		fill(&raw, 1, 1 << 20);
		gzip_submit(g, &raw, NULL);
		gzip_next(g, true, &block);
	}
	assert_true(raw.cap >= 1 << 20);
	fill(&raw, 1, 20 << 20); /* one very long line is not kept for ever */
	for (int i = 0; i < 4; i++) {
		gzip_submit(g, &raw, NULL);
		gzip_next(g, true, &block);
		assert_true(raw.cap < 20 << 20);
	}
	gzip_close(g);
	buf_release(&raw);
}

static void a_member_has_no_name_and_no_time(void **state)
{
	static const char head[] = { 0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0 };
	struct buf b = BUF_INIT;

	pack(&b, "text");
	assert_memory_equal(b.data, head, sizeof(head));
	buf_release(&b);
}

static void higher_levels_are_smaller(void **state)
{
	struct gzip *fast = gzip_open(1, 1), *small = gzip_open(9, 1);
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct gzip_block x, y;

	fill(&a, 1, 1 << 20);
	buf_add_span(&b, buf_span(&a));
	gzip_submit(fast, &a, NULL);
	gzip_submit(small, &b, NULL);
	assert_true(gzip_next(fast, true, &x) && gzip_next(small, true, &y));
	assert_true(y.data.n < x.data.n);
	gzip_close(fast);
	gzip_close(small);
	buf_release(&a);
	buf_release(&b);
}

static void crc32_is_that_of_gzip(void **state)
{
	assert_int_equal(crc32_bytes(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc32_bytes(crc32_bytes(0, "1234", 4), "56789", 5), 0xcbf43926);
	assert_int_equal(crc32_bytes(0xcbf43926, "", 0), 0xcbf43926);
	assert_int_equal(crc32_bytes(0, NULL, 0), 0);
}

static void a_file_cut_anywhere_is_bad_data(void **state)
{
	struct buf b = BUF_INIT;
	size_t first;

	pack(&b, "one\n");
	first = b.len;
	pack(&b, "two\n");
	for (size_t n = 0; n < b.len; n++) {
		if (n == first)
			continue; /* whole members: only their list knows that one is missing */
		assert_int_equal(gunzip_fails(b.data, n), EXIT_DATA);
	}
	assert_int_equal(gunzip_fails(b.data, first), 0);
	assert_int_equal(gunzip_fails(b.data, first + 3), EXIT_DATA);
	assert_non_null(strstr(fail_message(), "test.gz: gzip member at byte"));
	assert_non_null(strstr(fail_message(), "cut short"));
	buf_release(&b);
}

static void garbage_behind_the_last_member_is_bad_data(void **state)
{
	static const char *const tails[] = { "x", "garbage behind", "\x1f", "\x1f\x8c and more of it" };
	struct buf b = BUF_INIT;
	size_t n;

	pack(&b, "one\n");
	n = b.len;
	buf_add_char(&b, '\0'); /* gzip(1) accepts padding with zeros; DuckDB does not */
	assert_int_equal(gunzip_fails(b.data, b.len), EXIT_DATA);
	assert_non_null(strstr(fail_message(), "garbage"));
	for (size_t i = 0; i < 4; i++) {
		b.len = n;
		buf_add_str(&b, tails[i]);
		assert_int_equal(gunzip_fails(b.data, b.len), EXIT_DATA);
	}
	buf_release(&b);
	assert_int_equal(gunzip_fails("{\"a\":1}\n", 8), EXIT_DATA);
	assert_non_null(strstr(fail_message(), "not a gzip file"));
}

static void a_flipped_bit_is_bad_data(void **state)
{
	struct buf b = BUF_INIT;
	size_t bit, spare = 0;

	pack(&b, "some text that is long enough to be compressed, compressed, compressed\n");
	for (bit = 80; bit < b.len * 8; bit++) { /* behind the header, whose flags may be anything */
		int code;

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		code = gunzip_fails(b.data, b.len);
		assert_true(code == EXIT_DATA || code == 0);
		spare += code == 0;
		b.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_true(spare < 8); /* those that fill the last byte before the checksum mean nothing */
	assert_int_equal(gunzip_fails(b.data, b.len), 0);
	buf_release(&b);
}

static void a_descriptor_that_cannot_be_read_is_an_io_error(void **state)
{
	int fd = file_with("", 0);
	struct gunzip *z = gunzip_open(fd, "test.gz");
	struct span s;

	close(fd);
	assert_int_equal(gunzip_read(z, &s), -1);
	assert_int_equal(fail_code(), EXIT_IO);
	gunzip_close(z);
}

struct source {
	struct buf bytes;
	size_t at, fails_at;
};

static int64_t pull(void *ctx, char *to, size_t n)
{
	struct source *s = ctx;

	if (n > s->fails_at - s->at)
		n = s->fails_at - s->at;
	if (n == 0)
		return (fail)(EXIT_IO,
		    "the source has gone"); /* in brackets: cmocka has a macro of that name */
	memcpy(to, s->bytes.data + s->at, n);
	s->at += n;
	return (int64_t)n;
}

static void what_the_source_says_is_passed_on(void **state)
{
	struct source s = { 0 };
	struct gunzip *z;
	char out[100];

	pack(&s.bytes, "some text\n");
	for (s.fails_at = 0; s.fails_at < s.bytes.len; s.fails_at += 7) {
		s.at = 0;
		z = gunzip_open_pull(pull, &s, "test.gz", 5);
		assert_int_equal(gunzip_into(z, out, sizeof(out)), -1);
		assert_int_equal(fail_code(), EXIT_IO);
		assert_string_equal(fail_message(), "the source has gone");
		gunzip_close(z);
	}
	buf_release(&s.bytes);
}

static void a_large_block_is_given_back(void **state)
{
	struct gzip *g = gzip_open(1, 1);
	struct buf raw = BUF_INIT;
	struct gzip_block out;

	buf_reserve(&raw, 9 << 20);
	memset(raw.data, 'x', 9 << 20);
	raw.len = 9 << 20;
	assert_true(gzip_submit(g, &raw, NULL));
	assert_true(gzip_next(g, true, &out));
	assert_int_equal(out.raw, 9 << 20);
	for (int i = 0; i < 4; i++) { /* each slot's turn */
		buf_add_str(&raw, "x");
		assert_true(gzip_submit(g, &raw, NULL));
		assert_true(gzip_next(g, true, &out));
		assert_true(raw.cap < 9 << 20);
	}
	buf_release(&raw);
	gzip_close(g);
}

static int open_without_threads(void)
{
	no_more_threads();
	return gzip_open(6, 2) ? 1 : (int)fail_code();
}

static void a_pool_without_a_thread_is_none(void **state)
{
	assert_int_equal(in_child(open_without_threads), EXIT_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_back_in_order_and_whole),
		cmocka_unit_test(a_full_queue_refuses_and_takes_nothing),
		cmocka_unit_test(a_block_stays_valid_until_the_next_is_taken),
		cmocka_unit_test(without_wait_nothing_blocks),
		cmocka_unit_test(a_warm_pool_gives_buffers_back),
		cmocka_unit_test(a_member_has_no_name_and_no_time),
		cmocka_unit_test(higher_levels_are_smaller),
		cmocka_unit_test(crc32_is_that_of_gzip),
		cmocka_unit_test(a_file_cut_anywhere_is_bad_data),
		cmocka_unit_test(garbage_behind_the_last_member_is_bad_data),
		cmocka_unit_test(a_flipped_bit_is_bad_data),
		cmocka_unit_test(a_descriptor_that_cannot_be_read_is_an_io_error),
		cmocka_unit_test(what_the_source_says_is_passed_on),
		cmocka_unit_test(a_large_block_is_given_back),
		cmocka_unit_test(a_pool_without_a_thread_is_none),
	};

	return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
