/* table: names and order. What information_schema says is in t/db.t. */
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct column named(const char *name)
{
	return (struct column){ .name = (char *)name, .name_len = strlen(name) };
}

static void the_exact_name_goes_before_any_case(void **state)
{
	struct column column[] = { named("User_ID"), named("user_id"), named("Stra\xc3\x9f-e"),
		named("USER") };
	struct table t = { .column = column, .columns = COUNT(column) };

	assert_ptr_equal(table_column(&t, SPAN("user_id")), &column[1]);
	assert_ptr_equal(table_column(&t, SPAN("User_ID")), &column[0]);
	assert_ptr_equal(table_column(&t, SPAN("USER_ID")), &column[0]);
	assert_ptr_equal(table_column(&t, SPAN("user")), &column[3]);
	assert_ptr_equal(table_column(&t, SPAN("STRA\xc3\x9f-E")), &column[2]);
	assert_null(table_column(&t, SPAN("use")));
	assert_null(table_column(&t, SPAN("users")));
	assert_null(table_column(&t, SPAN("")));
	assert_null(table_column(&t, (struct span){ NULL, 0 }));
	assert_null(table_column(&t, SPAN("USER\0")));
}

static struct table *make(const char *name, const char **parent, size_t parents)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->name = xstrdup(name);
	t->parent = (char **)parent;
	t->parents = parents;
	return t;
}

static void assert_order(struct table **t, size_t n, const char *expected)
{
	struct buf b = BUF_INIT;

	table_order(t, n);
	for (size_t i = 0; i < n; i++) {
		buf_addf(&b, "%s%s", i > 0 ? " " : "", t[i]->name);
		free(t[i]->name);
		free(t[i]);
	}
	assert_string_equal(buf_cstr(&b), expected);
	buf_release(&b);
}

static void parents_come_first_and_strangers_by_name(void **state)
{
	const char *users[] = { "users" }, *both[] = { "methods", "users", "not-here" };
	struct table *t[] = { make("zeta", NULL, 0), make("facts", both, 3), make("alpha", NULL, 0),
		make("methods", users, 1), make("users", NULL, 0) };

	assert_order(t, COUNT(t), "alpha users methods facts zeta");
}

static void a_cycle_is_broken_by_name(void **state)
{
	const char *a[] = { "a" }, *b[] = { "b" }, *c[] = { "c" };
	struct table *t[] = { make("d", c, 1), make("c", b, 1), make("b", a, 1), make("a", c, 1) };

	assert_order(t, COUNT(t), "a b c d");
}

static void one_table_or_none_is_in_order(void **state)
{
	struct table *t[] = { make("a", NULL, 0) };

	table_order(NULL, 0);
	table_free(NULL);
	assert_order(t, 1, "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_exact_name_goes_before_any_case),
		cmocka_unit_test(parents_come_first_and_strangers_by_name),
		cmocka_unit_test(a_cycle_is_broken_by_name),
		cmocka_unit_test(one_table_or_none_is_in_order),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
