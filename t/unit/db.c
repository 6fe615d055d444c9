/* db: quoting and what errors mean. What needs a server is in t/db.t. */
#include "db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void names_double_their_backticks(void **state)
{
	static const struct {
		struct span name;
		const char *quoted;
	} cases[] = {
		{ SPAN("user_id"), "`user_id`" },
		{ SPAN(""), "``" },
		{ SPAN("`"), "````" },
		{ SPAN("a`b``c"), "`a``b````c`" },
		{ SPAN("dw.users"), "`dw.users`" },
		{ SPAN("it's \"x\" \\"), "`it's \"x\" \\`" },
		{ SPAN("größe \xf0\x9f\x98\x80"), "`größe \xf0\x9f\x98\x80`" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b = BUF_INIT;

		db_quote_name(&b, cases[i].name.p, cases[i].name.n);
		assert_string_equal(buf_cstr(&b), cases[i].quoted);
		buf_release(&b);
	}
}

static void text_escapes_what_ends_or_changes_a_literal(void **state)
{
	static const struct {
		struct span text;
		const char *quoted;
	} cases[] = {
		{ SPAN(""), "''" },
		{ SPAN("plain"), "'plain'" },
		{ SPAN("it's"), "'it\\'s'" },
		{ SPAN("\\"), "'\\\\'" },
		{ SPAN("\\' OR 1=1 -- "), "'\\\\\\' OR 1=1 -- '" },
		{ SPAN("\"`"), "'\\\"`'" },
		{ SPAN("a\0b"), "'a\\0b'" },
		{ SPAN("\r\n\x1a\t"), "'\\r\\n\\Z\t'" },
		{ SPAN("\xbf'\xbf\\"), "'\xbf\\'\xbf\\\\'" }, /* GBK lead bytes */
		{ SPAN("\xf0\x9f\x98\x80"), "'\xf0\x9f\x98\x80'" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b = BUF_INIT;

		buf_add_str(&b, "=");
		db_quote_text(&b, cases[i].text.p, cases[i].text.n);
		assert_string_equal(buf_cstr(&b) + 1, cases[i].quoted);
		buf_release(&b);
	}
}

static void bytes_are_hexadecimal(void **state)
{
	struct buf b = BUF_INIT;

	db_quote_bytes(&b, "", 0);
	db_quote_bytes(&b, "\0\x7f\xff'", 4);
	assert_string_equal(buf_cstr(&b), "x''x'007fff27'");
	buf_release(&b);
}

struct expected {
	unsigned number;
	const char *state, *text;
	enum db_result result;
	enum exit_code code;
};

static void assert_judged(const struct expected *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum exit_code code = EXIT_DONE;
		enum db_result r = db_judge(e[i].number, e[i].state, e[i].text ? e[i].text : "", &code);

		if (r != e[i].result || (r == DB_FAIL && code != e[i].code))
			fail_msg("error %u is %d (%d), not %d (%d)", e[i].number, (int)r, (int)code,
			    (int)e[i].result, (int)e[i].code);
	}
}

static void the_designs_data_errors_are_rejects(void **state)
{
	static const unsigned numbers[] = { 1048, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1644,
		3140, 3819, 4025, 1062, 1690 };

	/* Whatever their SQLSTATE: 1265 is 01000, a warning. */
	for (size_t i = 0; i < COUNT(numbers); i++)
		assert_judged(&(struct expected){ numbers[i], "HY000", NULL, DB_REJECT, 0 }, 1);
}

static void each_failure_has_its_exit_code(void **state)
{
	static const struct expected cases[] = {
		{ 1045, "28000", NULL, DB_FAIL, EXIT_PERM },
		{ 1044, "42000", NULL, DB_FAIL, EXIT_PERM },
		{ 1142, "42000", NULL, DB_FAIL, EXIT_PERM },
		{ 1143, "42000", NULL, DB_FAIL, EXIT_PERM },
		{ 1049, "42000", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1054, "42S22", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1146, "42S02", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1064, "42000", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1052, "23000", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1153, "08S01", NULL, DB_FAIL, EXIT_CONFIG },
		{ 1114, "HY000", NULL, DB_FAIL, EXIT_IO },
		{ 1021, "HY000", NULL, DB_FAIL, EXIT_IO },
		{ 1030, "HY000", "Got error 28 from storage engine", DB_FAIL, EXIT_IO },
		{ 1290, "HY000", NULL, DB_FAIL, EXIT_TRYAGAIN },
		{ 1792, "25006", NULL, DB_FAIL, EXIT_TRYAGAIN },
		{ 1836, "HY000", NULL, DB_FAIL, EXIT_TRYAGAIN },
		{ 1040, "08004", NULL, DB_FAIL, EXIT_UNAVAILABLE },
		{ 2002, "HY000", NULL, DB_FAIL, EXIT_UNAVAILABLE },
		{ 1203, "42000", NULL, DB_FAIL, EXIT_UNAVAILABLE },
	};

	assert_judged(cases, COUNT(cases));
}

static void lost_and_retry(void **state)
{
	static const struct expected cases[] = {
		{ 2006, "HY000", NULL, DB_LOST, 0 },
		{ 2013, "HY000", NULL, DB_LOST, 0 },
		{ 2026, "HY000", NULL, DB_LOST, 0 },
		{ 1053, "08S01", NULL, DB_LOST, 0 },
		{ 1927, "70100", NULL, DB_LOST, 0 },
		{ 1205, "HY000", NULL, DB_RETRY, 0 },
		{ 1213, "40001", NULL, DB_RETRY, 0 },
		{ 1020, "HY000", NULL, DB_RETRY, 0 },
	};

	assert_judged(cases, COUNT(cases));
}

static void unknown_numbers_go_by_their_sqlstate(void **state)
{
	static const struct expected cases[] = {
		{ 31000, "21S01", NULL, DB_FAIL, EXIT_CONFIG },
		{ 31000, "22003", NULL, DB_REJECT, 0 },
		{ 31000, "23000", NULL, DB_REJECT, 0 },
		{ 31000, "45000", NULL, DB_REJECT, 0 },
		{ 31000, "08S01", NULL, DB_LOST, 0 },
		{ 31000, "40001", NULL, DB_RETRY, 0 },
		{ 31000, "28000", NULL, DB_FAIL, EXIT_PERM },
		{ 31000, "42000", NULL, DB_FAIL, EXIT_CONFIG },
		{ 31000, "HY000", NULL, DB_FAIL, EXIT_IO },
		{ 31000, "", NULL, DB_FAIL, EXIT_IO },
	};

	assert_judged(cases, COUNT(cases));
}

static void a_row_too_big_for_the_engine_is_the_records_fault(void **state)
{
	static const struct expected cases[] = {
		{ 1030, "HY000", "Got error 139 \"Row size too large\" from storage engine",
		    DB_REJECT, 0 },
		{ 1118, "42000", NULL, DB_REJECT, 0 },
	};

	assert_judged(cases, COUNT(cases));
}

static void a_connection_that_was_never_made_can_be_closed(void **state)
{
	db_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_double_their_backticks),
		cmocka_unit_test(text_escapes_what_ends_or_changes_a_literal),
		cmocka_unit_test(bytes_are_hexadecimal),
		cmocka_unit_test(the_designs_data_errors_are_rejects),
		cmocka_unit_test(each_failure_has_its_exit_code),
		cmocka_unit_test(lost_and_retry),
		cmocka_unit_test(unknown_numbers_go_by_their_sqlstate),
		cmocka_unit_test(a_row_too_big_for_the_engine_is_the_records_fault),
		cmocka_unit_test(a_connection_that_was_never_made_can_be_closed),
	};

	return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
