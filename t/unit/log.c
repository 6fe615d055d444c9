#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static void fail_leaves_message_and_code(void **state)
{
	assert_int_equal(fail(EXIT_DATA, "%s: offset %d", "TX", 42), -1);
	assert_string_equal(fail_message(), "TX: offset 42");
	assert_int_equal(fail_code(), EXIT_DATA);
}

static void context_goes_before_and_keeps_the_code(void **state)
{
	fail(EXIT_UNAVAILABLE, "no answer");
	assert_int_equal(fail_context("TX [%d]", 3), -1);
	assert_int_equal(fail_context("kafka"), -1);
	assert_string_equal(fail_message(), "kafka: TX [3]: no answer");
	assert_int_equal(fail_code(), EXIT_UNAVAILABLE);
}

static void the_last_message_may_be_part_of_the_next(void **state)
{
	fail(EXIT_IO, "x: Is a directory");
	fail(EXIT_CONFIG, "%s", fail_message());
	assert_string_equal(fail_message(), "x: Is a directory");
	assert_int_equal(fail_code(), EXIT_CONFIG);
}

static void errno_chooses_the_code_unless_given(void **state)
{
	static const struct {
		int error;
		enum exit_code code;
	} cases[] = {
		{ EACCES, EXIT_PERM },
		{ EPERM, EXIT_PERM },
		{ EROFS, EXIT_CANTCREAT },
		{ EEXIST, EXIT_CANTCREAT },
		{ ENOTDIR, EXIT_CANTCREAT },
		{ ELOOP, EXIT_CANTCREAT },
		{ ENAMETOOLONG, EXIT_CANTCREAT },
		{ ENOSPC, EXIT_IO },
		{ EIO, EXIT_IO },
		{ EDQUOT, EXIT_IO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		errno = cases[i].error;
		assert_int_equal(fail_errno(0, "file"), -1);
		assert_int_equal(fail_code(), cases[i].code);
		errno = cases[i].error;
		fail_errno(EXIT_CONFIG, "file");
		assert_int_equal(fail_code(), EXIT_CONFIG);
	}
	errno = ENOSPC;
	fail_errno(0, "%s", "journal");
	assert_string_equal(fail_message(), "journal: No space left on device");
}

static void a_long_message_is_cut_not_lost(void **state)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	errno = EIO;
	fail_errno(0, "%s", text);
	assert_in_range(strlen(fail_message()), 1000, sizeof(text) - 1);
	fail_context("%s", text);
	assert_in_range(strlen(fail_message()), 1000, sizeof(text) - 1);
	assert_int_equal(fail_code(), EXIT_IO);
}

static void *fail_elsewhere(void *arg)
{
	fail(EXIT_CONFIG, "other thread");
	return NULL;
}

static void each_thread_has_its_own(void **state)
{
	pthread_t other;

	fail(EXIT_DATA, "this thread");
	assert_int_equal(pthread_create(&other, NULL, fail_elsewhere, NULL), 0);
	pthread_join(other, NULL);
	assert_string_equal(fail_message(), "this thread");
	assert_int_equal(fail_code(), EXIT_DATA);
}

/* What `print` writes to stderr, which is a pipe meanwhile. */
static const char *stderr_of(void (*print)(void))
{
	static char text[8192];
	int fd[2], old = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(fd), 0);
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	print();
	dup2(old, STDERR_FILENO);
	close(old);
	n = read(fd[0], text, sizeof(text) - 1);
	close(fd[0]);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void print_all(void)
{
	error("e%d", 1);
	warn("w%d", 2);
	note("n%d", 3);
	say("s%d", 4);
}

static void quiet_and_verbose_choose_what_is_said(void **state)
{
	log_init("tool");
	log_level(false, false);
	assert_string_equal(stderr_of(print_all), "tool: e1\ntool: w2\ntool: s4\n");
	log_level(true, false);
	assert_string_equal(stderr_of(print_all), "tool: e1\n");
	log_level(false, true);
	assert_string_equal(stderr_of(print_all), "tool: e1\ntool: w2\ntool: n3\ntool: s4\n");
	log_level(false, false);
}

static void print_long(void)
{
	error("%06000d", 0);
}

static void a_line_is_always_ended(void **state)
{
	const char *text = stderr_of(print_long);

	assert_in_range(strlen(text), 2000, 5000);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void print_report(void)
{
	fail(EXIT_TRYAGAIN, "lost a race");
	assert_int_equal(report(), EXIT_TRYAGAIN);
}

static void report_prints_the_failure_and_gives_its_code(void **state)
{
	log_init("jsonl-sink");
	assert_string_equal(log_tool(), "jsonl-sink");
	assert_string_equal(stderr_of(print_report), "jsonl-sink: lost a race\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_leaves_message_and_code),
		cmocka_unit_test(context_goes_before_and_keeps_the_code),
		cmocka_unit_test(the_last_message_may_be_part_of_the_next),
		cmocka_unit_test(errno_chooses_the_code_unless_given),
		cmocka_unit_test(a_long_message_is_cut_not_lost),
		cmocka_unit_test(each_thread_has_its_own),
		cmocka_unit_test(quiet_and_verbose_choose_what_is_said),
		cmocka_unit_test(a_line_is_always_ended),
		cmocka_unit_test(report_prints_the_failure_and_gives_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
