#include "buf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

static void grows_and_keeps_every_byte(void **state)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, (char)(i * 7));
	assert_int_equal(b.len, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], (char)(i * 7));
	buf_release(&b);
	assert_null(b.data);
	buf_add_str(&b, "again");
	assert_true(span_is(buf_span(&b), "again"));
	buf_release(&b);
}

static void reserve_makes_room_without_adding(void **state)
{
	struct buf b = BUF_INIT;
	char *data;

	buf_add_str(&b, "x");
	buf_reserve(&b, 5000);
	assert_int_equal(b.len, 1);
	assert_true(b.cap >= 5001);
	data = b.data;
	buf_reserve(&b, 5000);
	assert_ptr_equal(b.data, data);
	buf_release(&b);
}

static void adding_nothing_is_fine_without_memory(void **state)
{
	struct buf b = BUF_INIT;

	buf_add(&b, NULL, 0);
	buf_add_span(&b, (struct span){ NULL, 0 });
	assert_int_equal(b.len, 0);
	assert_true(span_eq(buf_span(&b), (struct span){ "", 0 }));
	buf_release(&b);
}

static void cstr_ends_with_a_nul_that_does_not_count(void **state)
{
	struct buf b = BUF_INIT;

	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(b.len, 0);
	for (int i = 0; i < 64; i++)
		buf_add_char(&b, 'a');
	assert_int_equal(strlen(buf_cstr(&b)), 64);
	assert_int_equal(b.len, 64);
	buf_release(&b);
}

static void addf_formats_behind_what_is_there(void **state)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s:%d", "a", 1);
	buf_addf(&b, "%0500d", 7);
	assert_int_equal(b.len, 503);
	assert_memory_equal(b.data, "a:10000", 3);
	assert_int_equal(b.data[502], '7');
	buf_release(&b);
}

static void integers_look_as_printf_shows_them(void **state)
{
	static const int64_t numbers[] = { 0, 1, -1, 9, 10, 99, 100, -100, 1763697600123, INT64_MAX,
		INT64_MIN, INT64_MIN + 1, INT32_MAX, INT32_MIN };
	struct buf b = BUF_INIT;
	char expected[24], direct[20];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(expected, sizeof(expected), "%" PRId64, numbers[i]);
		buf_clear(&b);
		buf_add_int(&b, numbers[i]);
		assert_string_equal(buf_cstr(&b), expected);
		assert_int_equal(format_int(direct, numbers[i]), strlen(expected));
		assert_memory_equal(direct, expected, strlen(expected));
	}
	buf_release(&b);
}

static void spans_compare_by_bytes(void **state)
{
	assert_true(span_eq(SPAN("ab"), (struct span){ "abc", 2 }));
	assert_false(span_eq(SPAN("ab"), SPAN("abc")));
	assert_false(span_eq(SPAN("ab"), SPAN("aB")));
	assert_true(span_eq(SPAN("a\0b"), SPAN("a\0b")));
	assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
	assert_false(span_is(SPAN("a\0b"), "a"));
	assert_true(span_is((struct span){ NULL, 0 }, ""));
}

static void strings_are_copied(void **state)
{
	char *s = xstrdup("sluice"), *n = xstrndup("sluice", 3), *none = xstrndup(NULL, 0);

	assert_string_equal(s, "sluice");
	assert_string_equal(n, "slu");
	assert_string_equal(none, ""); /* of an empty span */
	free(s);
	free(n);
	free(none);
	free(xmalloc(0));
	free(xcalloc(0, 8));
}

/* In a child: it must end with 74 and a message, not crash and not return. */
static void a_buffer_beyond_the_limit_ends_the_process(void **state)
{
	int status, fd[2];
	char text[100] = "";
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct buf b = BUF_INIT;

		dup2(fd[1], STDERR_FILENO);
		buf_add_char(&b, 'x');
		buf_reserve(&b, BUF_MAX);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 74);
	assert_true(read(fd[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "out of memory"));
	close(fd[0]);
	close(fd[1]);
}

/* Instrumented allocators say so instead of ending the process themselves. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static volatile size_t too_much = SIZE_MAX / 4; /* volatile: the compiler must not see it */

static int allocate_too_much(void)
{
	return xmalloc(too_much) != NULL;
}

static int clear_too_much(void)
{
	return xcalloc(too_much, 2) != NULL;
}

static int grow_too_much(void)
{
	return xrealloc(NULL, too_much) != NULL;
}

static void no_memory_ends_the_process(void **state)
{
	int old = dup(STDERR_FILENO);

	close(STDERR_FILENO); /* nobody has to hear it */
	assert_int_equal(in_child(allocate_too_much), 74);
	assert_int_equal(in_child(clear_too_much), 74);
	assert_int_equal(in_child(grow_too_much), 74);
	dup2(old, STDERR_FILENO);
	close(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_every_byte),
		cmocka_unit_test(reserve_makes_room_without_adding),
		cmocka_unit_test(adding_nothing_is_fine_without_memory),
		cmocka_unit_test(cstr_ends_with_a_nul_that_does_not_count),
		cmocka_unit_test(addf_formats_behind_what_is_there),
		cmocka_unit_test(integers_look_as_printf_shows_them),
		cmocka_unit_test(spans_compare_by_bytes),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(a_buffer_beyond_the_limit_ends_the_process),
		cmocka_unit_test(no_memory_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
