/* upsert: runs of rows as SQL statements, as long as they may be and no longer. */
#include "upsert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* t (k, `a`b`, v), key (v, k) or (k) */
static struct column column[] = {
	{ .name = (char *)"k", .name_len = 1, .at = 0, .key_at = 1 },
	{ .name = (char *)"a`b", .name_len = 3, .at = 1, .key_at = -1 },
	{ .name = (char *)"v", .name_len = 1, .at = 2, .key_at = 0 },
	{ .name = (char *)"w", .name_len = 1, .at = 3, .key_at = -1 },
};
static struct column *pair[] = { &column[2], &column[0] }, *single[] = { &column[0] };
static struct table table = { .name = (char *)"t`t", .column = column, .columns = 4 };
static const struct target target = { .table = &table };

static int two_columns_in_the_key(void **state)
{
	column[0].key_at = 1;
	column[2].key_at = 0;
	table.key = pair;
	table.keys = 2;
	return 0;
}

static int one_column_in_the_key(void **state)
{
	column[0].key_at = 0;
	column[2].key_at = -1;
	table.key = single;
	table.keys = 1;
	return 0;
}

static unsigned all_at[] = { 0, 1, 2, 3 }, key_at[] = { 0, 2 };
static const struct column_set all = { 4, all_at }, key = { 2, key_at }, none = { 0, NULL };

static const struct span values[] = { { "1,2,3,4", 7 }, { "5,6,7,8", 7 },
	{ "'a',DEFAULT,NULL,x'00'", 22 } };
static const struct span keys[] = { { "1,2", 3 }, { "3,4", 3 }, { "5,6", 3 } };

static struct window_run upserts(const struct column_set *set, size_t count)
{
	return (struct window_run){ &target, ROW_UPSERT, set, values, count };
}

static struct window_run deletes(size_t count)
{
	return (
	    struct window_run){ .target = &target, .kind = ROW_DELETE, .values = keys, .count = count };
}

/* One statement from row `from` on: how many rows it has, and its text. */
static void expect(const struct window_run *run, size_t from, struct upsert_form form, size_t n,
    const char *expected)
{
	struct buf sql = BUF_INIT;

	if (form.bytes == 0)
		form.bytes = 1 << 20;
	buf_add_str(&sql, "what was there before");
	assert_int_equal(upsert_statement(&sql, run, from, &form), n);
	assert_string_equal(buf_cstr(&sql), expected);
	buf_release(&sql);
}

#define HEAD   "INSERT INTO `t``t` (`k`,`a``b`,`v`,`w`) VALUES "
#define UPDATE " ON DUPLICATE KEY UPDATE `a``b`=VALUES(`a``b`),`w`=VALUES(`w`)"

static void rows_are_inserted_or_update_what_is_not_the_key(void **state)
{
	struct window_run run = upserts(&all, 3);

	expect(&run, 0, (struct upsert_form){ 0 }, 3,
	    HEAD "(1,2,3,4),(5,6,7,8),('a',DEFAULT,NULL,x'00')" UPDATE);
	expect(&run, 2, (struct upsert_form){ 0 }, 1, HEAD "('a',DEFAULT,NULL,x'00')" UPDATE);
}

static void the_new_row_has_a_name_where_the_server_knows_it(void **state)
{
	struct window_run run = upserts(&all, 1);

	expect(&run, 0, (struct upsert_form){ .alias = true }, 1,
	    HEAD "(1,2,3,4) AS sluice_new ON DUPLICATE KEY UPDATE "
		 "`a``b`=sluice_new.`a``b`,`w`=sluice_new.`w`");
}

static void a_row_of_nothing_but_a_key_changes_nothing_that_is_there(void **state)
{
	static const struct span pairs[] = { { "1,2", 3 } };
	struct window_run run = { &target, ROW_UPSERT, &key, pairs, 1 };

	expect(&run, 0, (struct upsert_form){ 0 }, 1,
	    "INSERT INTO `t``t` (`k`,`v`) VALUES (1,2) ON DUPLICATE KEY UPDATE `v`=`t``t`.`v`");
	expect(&run, 0, (struct upsert_form){ .alias = true }, 1,
	    "INSERT INTO `t``t` (`k`,`v`) VALUES (1,2) AS sluice_new ON DUPLICATE KEY UPDATE `v`=`t``t`.`v`");
}

static void a_row_of_nothing_is_all_defaults(void **state)
{
	static const struct span empty[] = { { "", 0 }, { NULL, 0 } };
	struct window_run run = { &target, ROW_UPSERT, &none, empty, 2 };

	expect(&run, 0, (struct upsert_form){ 0 }, 2,
	    "INSERT INTO `t``t` () VALUES (),() ON DUPLICATE KEY UPDATE `v`=`t``t`.`v`");
}

static void deletes_are_lists_of_keys_in_the_order_of_the_key(void **state)
{
	struct window_run run = deletes(3);

	expect(&run, 0, (struct upsert_form){ 0 }, 3,
	    "DELETE FROM `t``t` WHERE (`v`,`k`) IN ((1,2),(3,4),(5,6))");
	expect(&run, 1, (struct upsert_form){ .rows = 1 }, 1,
	    "DELETE FROM `t``t` WHERE (`v`,`k`) IN ((3,4))");
}

static void a_key_of_one_column_needs_no_tuples(void **state)
{
	static const struct span ones[] = { { "1", 1 }, { "'x'", 3 } };
	struct window_run run = { .target = &target, .kind = ROW_DELETE, .values = ones, .count = 2 };

	expect(&run, 0, (struct upsert_form){ 0 }, 2, "DELETE FROM `t``t` WHERE `k` IN (1,'x')");
	expect(&run, 0, (struct upsert_form){ .select = true }, 2,
	    "SELECT 1 FROM `t``t` WHERE `k` IN (1,'x') FOR UPDATE");
}

static void no_more_rows_than_the_form_says(void **state)
{
	struct window_run run = upserts(&all, 3);

	expect(&run, 0, (struct upsert_form){ .rows = 2 }, 2, HEAD "(1,2,3,4),(5,6,7,8)" UPDATE);
	expect(&run, 2, (struct upsert_form){ .rows = 2 }, 1, HEAD "('a',DEFAULT,NULL,x'00')" UPDATE);
}

static void by_default_a_thousand_rows(void **state)
{
	struct span many[UPSERT_ROWS + 1];
	struct window_run run = { .target = &target,
		.kind = ROW_DELETE,
		.values = many,
		.count = COUNT(many) };
	struct buf sql = BUF_INIT;

	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = SPAN("1");
	assert_int_equal(upsert_statement(&sql, &run, 0, &(struct upsert_form){ .bytes = 1 << 20 }),
	    UPSERT_ROWS);
	assert_int_equal(upsert_statement(&sql, &run, UPSERT_ROWS,
			     &(struct upsert_form){ .bytes = 1 << 20 }),
	    1);
	buf_release(&sql);
}

/* For every limit: as many rows as fit, never a byte more. */
static void no_statement_is_longer_than_the_limit(void **state)
{
	const struct window_run runs[] = { upserts(&all, 3), deletes(3) };
	struct buf sql = BUF_INIT, longer = BUF_INIT;

	for (size_t r = 0; r < COUNT(runs); r++) {
		for (size_t limit = 1; limit < 300; limit++) {
			struct upsert_form form = { .bytes = limit }, free = { .bytes = 1 << 20 };
			size_t n = upsert_statement(&sql, &runs[r], 0, &form);

			if (n == 0) { /* then it is the statement for one row */
				assert_true(sql.len > limit);
				free.rows = 1;
				assert_int_equal(upsert_statement(&longer, &runs[r], 0, &free), 1);
				assert_int_equal(longer.len, sql.len);
				continue;
			}
			assert_true(sql.len <= limit);
			free.rows = n + 1;
			if (upsert_statement(&longer, &runs[r], 0, &free) > n)
				assert_true(longer.len > limit);
		}
	}
	buf_release(&sql);
	buf_release(&longer);
}

#define TEST(f)        cmocka_unit_test_setup(f, two_columns_in_the_key)
#define TEST_SINGLE(f) cmocka_unit_test_setup(f, one_column_in_the_key)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_are_inserted_or_update_what_is_not_the_key),
		TEST(the_new_row_has_a_name_where_the_server_knows_it),
		TEST(a_row_of_nothing_but_a_key_changes_nothing_that_is_there),
		TEST(a_row_of_nothing_is_all_defaults),
		TEST(deletes_are_lists_of_keys_in_the_order_of_the_key),
		TEST_SINGLE(a_key_of_one_column_needs_no_tuples),
		TEST(no_more_rows_than_the_form_says),
		TEST_SINGLE(by_default_a_thousand_rows),
		TEST(no_statement_is_longer_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
