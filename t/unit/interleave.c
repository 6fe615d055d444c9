#include "interleave.h"

#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void add_all(struct interleave *i, size_t file, size_t partition, const int64_t *offset, size_t n)
{
	for (size_t k = 0; k < n; k++)
		assert_int_equal(interleave_add(i, file, partition, offset[k]), 0);
}

static void expect(struct interleave *i, size_t partition, int64_t offset, size_t file)
{
	int64_t is = -1;

	assert_int_equal(interleave_next(i, partition, &is), file);
	assert_int_equal(is, offset);
	interleave_take(i, partition);
}

static void offsets_come_in_order_with_their_files(void **state)
{
	struct interleave *i = interleave_new();
	int64_t none;

	add_all(i, 0, 0, (const int64_t[]){ 0, 3, 4 }, 3);
	add_all(i, 0, 1, (const int64_t[]){ 7 }, 1);
	add_all(i, 1, 0, (const int64_t[]){ 1, 5 }, 2);
	add_all(i, 2, 0, (const int64_t[]){ 2 }, 1);
	expect(i, 0, 0, 0);
	expect(i, 0, 1, 1);
	expect(i, 1, 7, 0);
	expect(i, 0, 2, 2);
	expect(i, 0, 3, 0);
	expect(i, 0, 4, 0);
	expect(i, 0, 5, 1);
	for (size_t partition = 0; partition < 4; partition++)
		assert_true(interleave_next(i, partition, &none) == SIZE_MAX);
	interleave_free(i);
}

static void offsets_of_any_size(void **state)
{
	static const int64_t even[] = { 0, 126, 128, 1000000, INT64_C(1) << 40, INT64_MAX - 1 };
	static const int64_t odd[] = { 127, 255, 16511, (INT64_C(1) << 40) + 1, INT64_MAX };
	struct interleave *i = interleave_new();

	add_all(i, 0, 0, even, 6);
	add_all(i, 1, 0, odd, 5);
	expect(i, 0, 0, 0);
	expect(i, 0, 126, 0);
	expect(i, 0, 127, 1);
	expect(i, 0, 128, 0);
	expect(i, 0, 255, 1);
	expect(i, 0, 16511, 1);
	expect(i, 0, 1000000, 0);
	expect(i, 0, INT64_C(1) << 40, 0);
	expect(i, 0, (INT64_C(1) << 40) + 1, 1);
	expect(i, 0, INT64_MAX - 1, 0);
	expect(i, 0, INT64_MAX, 1);
	interleave_free(i);
}

static void offsets_that_do_not_increase_are_refused(void **state)
{
	struct interleave *i = interleave_new();
	int64_t none;

	assert_int_equal(interleave_add(i, 0, 0, 5), 0);
	assert_int_equal(interleave_add(i, 0, 0, 5), -1);
	assert_int_equal(interleave_add(i, 0, 0, 4), -1);
	assert_int_equal(interleave_add(i, 0, 1, 4), 0);
	assert_int_equal(interleave_add(i, 1, 0, 4), 0);
	expect(i, 0, 4, 1);
	expect(i, 0, 5, 0);
	assert_true(interleave_next(i, 0, &none) == SIZE_MAX);
	interleave_free(i);
}

static void equal_offsets_come_in_the_order_of_their_files(void **state)
{
	struct interleave *i = interleave_new();

	for (size_t file = 0; file < 5; file++)
		add_all(i, file, 0, (const int64_t[]){ 3, 9 }, 2);
	for (size_t file = 0; file < 5; file++)
		expect(i, 0, 3, file);
	for (size_t file = 0; file < 5; file++)
		expect(i, 0, 9, file);
	interleave_free(i);
}

/* A million offsets dealt to 1,000 files come back as they were dealt. */
static void many_files_with_many_offsets(void **state)
{
	enum { FILES = 1000, OFFSETS = 1000000 };
	struct interleave *i = interleave_new();
	uint16_t *file = xmalloc(OFFSETS * sizeof(*file));
	unsigned seed = 1;

	for (size_t k = 0; k < OFFSETS; k++)
		file[k] = (uint16_t)((seed = seed * 1103515245 + 12345) >> 8) % FILES;
	for (size_t f = 0; f < FILES; f++)
		for (size_t k = 0; k < OFFSETS; k++)
			if (file[k] == f)
				assert_int_equal(interleave_add(i, f, 3, (int64_t)k * 3), 0);
	for (size_t k = 0; k < OFFSETS; k++)
		expect(i, 3, (int64_t)k * 3, file[k]);
	free(file);
	interleave_free(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_come_in_order_with_their_files),
		cmocka_unit_test(offsets_of_any_size),
		cmocka_unit_test(offsets_that_do_not_increase_are_refused),
		cmocka_unit_test(equal_offsets_come_in_the_order_of_their_files),
		cmocka_unit_test(many_files_with_many_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
