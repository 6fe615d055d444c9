#include "progress.h"

#include "clock.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void figures_have_three_digits_and_a_unit(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B," },
		{ 999, "999 B," },
		{ 1000, "1.00 kB," },
		{ 12345, "12.3 kB," },
		{ 999499, "999 kB," },
		{ 999500, "1.00 MB," },
		{ 12300000, "12.3 MB," },
		{ 5000000000, "5.00 GB," },
		{ 7000000000000, "7.00 TB," },
	};
	struct progress p;
	char text[100];

	progress_start(&p);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		progress_figures(&p, 0, cases[i].bytes, text, sizeof(text));
		if (strncmp(text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("%s is not %s", text, cases[i].text);
	}
}

static void the_rate_is_that_of_the_time_since_the_start(void **state)
{
	struct progress p;
	char text[100];

	progress_start(&p);
	p.started_ms -= 4000;
	progress_figures(&p, 1000000, 12300000, text, sizeof(text));
	assert_string_equal(text, "12.3 MB, 4.0 s, 250k records/s");
}

static void no_time_at_all_is_no_division_by_zero(void **state)
{
	struct progress p;
	char text[100];

	progress_start(&p);
	p.started_ms = clock_mono_ms() + 1000;
	progress_figures(&p, 5, 5, text, sizeof(text));
	assert_null(strstr(text, "inf"));
	assert_null(strstr(text, "-"));
}

/* What progress_show writes into a pipe in the place of stderr, with p->on forced. */
static size_t shown_of(struct progress *p, uint64_t records, uint64_t total, char *to, size_t size)
{
	int fd[2], old = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(fd), 0);
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	progress_show(p, records, 1000000, total);
	dup2(old, STDERR_FILENO);
	close(old);
	n = read(fd[0], to, size - 1);
	close(fd[0]);
	to[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static size_t shown(struct progress *p, uint64_t total, char *to, size_t size)
{
	return shown_of(p, 500, total, to, size);
}

static void nothing_is_shown_without_a_terminal(void **state)
{
	struct progress p;
	char text[300];
	int old = dup(STDERR_FILENO), fd[2];

	assert_int_equal(pipe(fd), 0);
	dup2(fd[1], STDERR_FILENO);
	progress_start(&p);
	dup2(old, STDERR_FILENO);
	close(old);
	close(fd[0]);
	close(fd[1]);
	assert_false(p.on);
	p.shown_ms -= 10000;
	assert_int_equal(shown(&p, 0, text, sizeof(text)), 0);
}

static void four_lines_a_second_at_most(void **state)
{
	struct progress p;
	char text[300];

	progress_start(&p);
	p.on = true;
	assert_int_equal(shown(&p, 0, text, sizeof(text)), 0); /* too early */
	p.shown_ms -= 250;
	assert_true(shown(&p, 0, text, sizeof(text)) > 0);
	assert_int_equal(shown(&p, 0, text, sizeof(text)), 0);
	assert_true(p.visible);
}

static void the_end_is_told_when_it_is_known(void **state)
{
	struct progress p;
	char text[300];

	log_init("kread");
	progress_start(&p);
	p.on = true;
	p.shown_ms -= 1000;
	p.started_ms -= 10000;
	shown(&p, 2000, text, sizeof(text));
	assert_non_null(strstr(text, "kread: 500 records"));
	assert_non_null(strstr(text, "25 %, 0:30 left"));
	assert_null(strchr(text, '\n'));
	p.shown_ms -= 1000;
	shown(&p, 0, text, sizeof(text));
	assert_null(strstr(text, "left"));
	p.shown_ms -= 1000;
	shown(&p, 100, text, sizeof(text)); /* more than announced */
	assert_non_null(strstr(text, "100 %, 0:00 left"));
}

static void hours_are_told_as_hours_and_nothing_without_a_rate(void **state)
{
	struct progress p;
	char text[300];

	progress_start(&p);
	p.on = true;
	p.started_ms -= 10000;
	p.shown_ms -= 1000;
	shown(&p, 500 * 1000, text, sizeof(text)); /* 50 a second */
	assert_non_null(strstr(text, "0 %, 2:46:3"));
	p.shown_ms -= 1000;
	shown_of(&p, 0, 1000, text, sizeof(text));
	assert_non_null(strstr(text, "0 %"));
	assert_null(strstr(text, "left"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_have_three_digits_and_a_unit),
		cmocka_unit_test(the_rate_is_that_of_the_time_since_the_start),
		cmocka_unit_test(no_time_at_all_is_no_division_by_zero),
		cmocka_unit_test(nothing_is_shown_without_a_terminal),
		cmocka_unit_test(four_lines_a_second_at_most),
		cmocka_unit_test(the_end_is_told_when_it_is_known),
		cmocka_unit_test(hours_are_told_as_hours_and_nothing_without_a_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
