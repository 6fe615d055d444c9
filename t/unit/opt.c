#include "opt.h"

#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

static bool flag, quiet;
static const char *string, *optional;
static int64_t number, bounded, size, seconds;
static char called[100];

static int remember(void *ctx, const char *arg)
{
	char *to = ctx;

	if (strcmp(arg, "bad") == 0)
		return (fail)(EXIT_USAGE, "no good"); /* in brackets: cmocka has a macro of that name */
	snprintf(to + strlen(to), sizeof(called) - strlen(to), "%s;", arg);
	return 0;
}

static const struct opt table[] = {
	{ 'f', "flag", NULL, OPT_FLAG, &flag, .help = "a flag" },
	{ 's', "string", "TEXT", OPT_STRING, &string, .help = "a string" },
	{ 'z', "optional", "[LEVEL]", OPT_STRING, &optional, .help = "with or without a value" },
	{ 'c', "count", "N", OPT_INT, &number, .help = "a number" },
	{ 0, "bounded", "N", OPT_INT, &bounded, .min = 1, .max = 9, .help = "within limits" },
	{ 'S', "size", "SIZE", OPT_SIZE, &size, .min = 1024, .max = 1 << 30, .help = "bytes" },
	{ 'm', "timeout", "SEC", OPT_SECONDS, &seconds, .help = "seconds" },
	{ 'x', NULL, "ARG", OPT_CALL, called, remember, .help = "a letter only" },
};

static const struct opt_tool tool = {
	.name = "tool",
	.usage = "[-f] FILE",
	.about = "Does nothing.",
	.options = table,
	.count = OPT_COUNT(table),
};

/* What the last parse said on stdout or stderr. */
static char said[8192];

static int parse_with(const struct opt_tool *t, int fd, int *code, const char **argv)
{
	int pipe_fd[2], old = dup(fd), argc = 0, result;
	ssize_t n;

	while (argv[argc])
		argc++;
	fflush(stdout);
	assert_int_equal(pipe(pipe_fd), 0);
	dup2(pipe_fd[1], fd);
	close(pipe_fd[1]);
	result = opt_parse(t, argc, (char **)argv, code);
	fflush(stdout);
	dup2(old, fd);
	close(old);
	n = read(pipe_fd[0], said, sizeof(said) - 1);
	close(pipe_fd[0]);
	said[n > 0 ? n : 0] = '\0';
	return result;
}

static int reset(void **state)
{
	flag = false;
	string = optional = NULL;
	number = bounded = size = seconds = -1;
	called[0] = '\0';
	return 0;
}

#define PARSE(fd, code, ...)                                                                       \
	parse_with(&tool, fd, code, (const char *[]){ "tool", __VA_ARGS__, NULL })

static void assert_usage_error(int result, const int *code, const char *text)
{
	assert_int_equal(result, -1);
	assert_int_equal(*code, EXIT_USAGE);
	assert_string_equal(said, text);
}

static void every_kind_reaches_its_variable(void **state)
{
	int code = 0;

	assert_int_equal(PARSE(STDERR_FILENO, &code, "-f", "-s", "a b", "-c", "12", "--bounded=9",
			     "-S", "4k", "-m", "0.5", "-x", "one", "-xtwo", "operand"),
	    14);
	assert_string_equal(said, "");
	assert_true(flag);
	assert_string_equal(string, "a b");
	assert_int_equal(number, 12);
	assert_int_equal(bounded, 9);
	assert_int_equal(size, 4096);
	assert_int_equal(seconds, 500);
	assert_string_equal(called, "one;two;");
}

static void letters_join_and_long_names_shorten(void **state)
{
	int code = 0;

	assert_int_equal(PARSE(STDERR_FILENO, &code, "-fc3", "--str=x", "--time", "2"), 5);
	assert_true(flag);
	assert_int_equal(number, 3);
	assert_string_equal(string, "x");
	assert_int_equal(seconds, 2000);
}

static void two_dashes_end_the_options(void **state)
{
	int code = 0;

	assert_int_equal(PARSE(STDERR_FILENO, &code, "-f", "--", "-s"), 3);
	assert_null(string);
	assert_int_equal(PARSE(STDERR_FILENO, &code, "-f", "-"), 2); /* a dash alone is an operand */
}

static void an_optional_value_sticks_to_its_option(void **state)
{
	int code = 0;

	assert_int_equal(PARSE(STDERR_FILENO, &code, "-z", "9"), 2);
	assert_null(optional);
	assert_int_equal(PARSE(STDERR_FILENO, &code, "-z9"), 2);
	assert_string_equal(optional, "9");
	assert_int_equal(PARSE(STDERR_FILENO, &code, "--optional=6"), 2);
	assert_string_equal(optional, "6");
}

static void mistakes_are_one_line_that_names_them(void **state)
{
	int code = 0;

	assert_usage_error(PARSE(STDERR_FILENO, &code, "--nope"), &code,
	    "tool: unknown option --nope (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "--password=secret"), &code,
	    "tool: unknown option --password (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-fk"), &code,
	    "tool: unknown option -k (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "--flag", "-fkf"), &code,
	    "tool: unknown option -k (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-\xc3\xa9"), &code,
	    "tool: unknown option -\xc3\xa9 (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-f\x80"), &code,
	    "tool: unknown option -f\x80 (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "--no\npe\x1b[1m"), &code,
	    "tool: unknown option --no?pe?[1m (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-s"), &code,
	    "tool: option -s needs a value (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "--flag=1"), &code,
	    "tool: option --flag takes no value (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-c", "12x"), &code,
	    "tool: --count: \"12x\" is not a number (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "--bounded", "10"), &code,
	    "tool: --bounded: 10 is not within 1 and 9 (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-x", "bad"), &code,
	    "tool: -x: no good (try tool --help)\n");
}

static void numbers_are_whole_and_within_limits(void **state)
{
	static const char *const bad[] = { "", " 1", "1 ", "\v1", "\r1", "x", "1.5", "0x10",
		"9223372036854775808", "--1", "1e3" };
	int64_t v;

	assert_int_equal(opt_int("9223372036854775807", 0, INT64_MAX, &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(opt_int("-5", -5, 0, &v), 0);
	assert_int_equal(v, -5);
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(opt_int(bad[i], INT64_MIN, INT64_MAX, &v), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
	assert_int_equal(opt_int("-1", 0, 9, &v), -1);
}

static void sizes_take_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes; /* -1: not a size */
	} cases[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "3k", 3072 },
		{ "3K", 3072 },
		{ "2M", 2 << 20 },
		{ "2m", 2 << 20 },
		{ "5G", INT64_C(5) << 30 },
		{ "1T", INT64_C(1) << 40 },
		{ "8388607T", INT64_C(8388607) << 40 },
		{ "8388608T", -1 },
		{ "", -1 },
		{ "k", -1 },
		{ "-1", -1 },
		{ "1kb", -1 },
		{ "1 k", -1 },
		{ "1.5M", -1 },
		{ "1x", -1 },
		{ " 1", -1 },
		{ "\f1", -1 },
		{ "99999999999999999999", -1 },
	};

	for (size_t i = 0; i < OPT_COUNT(cases); i++) {
		int64_t v = -1;

		if (opt_size(cases[i].text, &v) != (cases[i].bytes < 0 ? -1 : 0) || v != cases[i].bytes)
			fail_msg("\"%s\": %lld", cases[i].text, (long long)v);
	}
}

static void durations_have_a_unit(void **state)
{
	static const char *const bad[] = { "", "5", "m", "0s", "-1s", " 5m", "5 m", "5M", "1.5h",
		"5ms5", "1y", "9223372036854775808ms", "9223372036854775807d" };
	int64_t ms = -1;

	assert_int_equal(opt_duration("1ms", &ms), 0);
	assert_int_equal(ms, 1);
	assert_int_equal(opt_duration("90s", &ms), 0);
	assert_int_equal(ms, 90000);
	assert_int_equal(opt_duration("5m", &ms), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(opt_duration("2h", &ms), 0);
	assert_int_equal(ms, 7200000);
	assert_int_equal(opt_duration("7d", &ms), 0);
	assert_int_equal(ms, 604800000);
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(opt_duration(bad[i], &ms), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
	assert_int_equal(ms, 604800000);
}

static void seconds_take_a_fraction(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: none */
	} cases[] = {
		{ "0", 0 },
		{ "1", 1000 },
		{ "0.5", 500 },
		{ ".25", 250 },
		{ "1.0004", 1000 },
		{ "1000000000", INT64_C(1000000000000) },
		{ "1000000001", -1 },
		{ "", -1 },
		{ ".", -1 },
		{ "-1", -1 },
		{ "1s", -1 },
		{ "1e3", -1 },
		{ "nan", -1 },
		{ "inf", -1 },
		{ " 1", -1 },
		{ "\f1", -1 },
		{ "0x1", -1 },
		{ "1.2.3", -1 },
	};

	for (size_t i = 0; i < OPT_COUNT(cases); i++) {
		int64_t v = -1;

		if (opt_seconds(cases[i].text, &v) != (cases[i].ms < 0 ? -1 : 0) || v != cases[i].ms)
			fail_msg("\"%s\": %lld", cases[i].text, (long long)v);
	}
}

static void help_shows_the_whole_table_and_ends_with_0(void **state)
{
	static const char *const expected[] = { "usage: tool [-f] FILE\n", "Does nothing.\n",
		"  -f, --flag ", "  -s, --string=TEXT ", "  -z, --optional[LEVEL]",
		"      --bounded=N ", "  -x ARG ", "  -q, --quiet ", "  -v, --verbose ",
		"  -h, --help ", "  -V, --version " };
	int code = 1;

	assert_int_equal(PARSE(STDOUT_FILENO, &code, "--help", "--nope"), -2);
	assert_int_equal(code, EXIT_DONE);
	for (size_t i = 0; i < OPT_COUNT(expected); i++)
		if (!strstr(said, expected[i]))
			fail_msg("\"%s\" is not in\n%s", expected[i], said);
	assert_int_equal(PARSE(STDOUT_FILENO, &code, "-h"), -2);
	assert_int_equal(PARSE(STDOUT_FILENO, &code, "-V"), -2);
	assert_string_equal(said, "tool (sluice) " SLUICE_VERSION "\n");
}

static void a_mistake_before_help_is_a_mistake(void **state)
{
	int code = 0;

	assert_usage_error(PARSE(STDERR_FILENO, &code, "--nope", "--help"), &code,
	    "tool: unknown option --nope (try tool --help)\n");
}

static void with_a_host_letter_the_question_mark_helps(void **state)
{
	static const char *host;
	static const struct opt host_table[] = { { 'h', "host", "HOST", OPT_STRING, &host,
	    .help = "the host" } };
	static const struct opt_tool with_host = { .name = "tool",
		.usage = "",
		.about = "x",
		.options = host_table,
		.count = 1,
		.host_letter = true };
	int code = 1;

	assert_int_equal(parse_with(&with_host, STDOUT_FILENO, &code,
			     (const char *[]){ "tool", "-?", NULL }),
	    -2);
	assert_non_null(strstr(said, "  -?, --help "));
	assert_int_equal(parse_with(&with_host, STDOUT_FILENO, &code,
			     (const char *[]){ "tool", "-h", "db", NULL }),
	    3);
	assert_string_equal(host, "db");
}

static void a_tool_may_have_its_own_quiet(void **state)
{
	static const struct opt own[] = { { 'q', "quiet", NULL, OPT_FLAG, &quiet, .help = "its own" } };
	static const struct opt_tool with_own = { .name = "tool",
		.usage = "",
		.about = "x",
		.options = own,
		.count = 1 };
	int code = 1;

	assert_int_equal(parse_with(&with_own, STDERR_FILENO, &code,
			     (const char *[]){ "tool", "-q", NULL }),
	    2);
	assert_true(quiet);
}

static void an_option_that_would_be_ignored_is_refused_by_name(void **state)
{
	static const char *const some[] = { "count", "size", NULL }, *const none[] = { NULL };
	int code;

	assert_true(parse_with(&tool, STDERR_FILENO, &code,
			(const char *[]){ "tool", "-S", "4k", "--siz=1M", "-x1", NULL }) > 0);
	assert_true(opt_given("size"));
	assert_false(opt_given("count"));
	assert_int_equal(opt_refuse(none, "never"), 0);
	assert_int_equal(opt_refuse(some, "does not go with that"), -1);
	assert_string_equal(fail_message(), "--size does not go with that");
	assert_int_equal(fail_code(), EXIT_USAGE);
	assert_true(
	    parse_with(&tool, STDERR_FILENO, &code, (const char *[]){ "tool", "-f", NULL }) > 0);
	assert_int_equal(opt_refuse(some, "is of the run before"), 0);
}

static void a_size_has_limits_too(void **state)
{
	int code = 0;

	assert_usage_error(PARSE(STDERR_FILENO, &code, "-S", "1"), &code,
	    "tool: --size: 1 is not within 1024 and 1073741824 bytes (try tool --help)\n");
	assert_usage_error(PARSE(STDERR_FILENO, &code, "-S", "x"), &code,
	    "tool: --size: \"x\" is not a size (a number, then k, M, G or T) (try tool --help)\n");
}

/* -q of a tool's own takes the letter, and --quiet stays. */
static void a_letter_of_the_tool_goes_before_a_common_one(void **state)
{
	static const struct opt own[] = { { 'q', "queue", NULL, OPT_FLAG, &flag, .help = "a queue" } };
	static const struct opt_tool other = { .name = "tool", .options = own, .count = 1 };
	int code = 0;

	assert_int_equal(parse_with(&other, STDERR_FILENO, &code,
			     (const char *[]){ "tool", "-q", "--quiet", NULL }),
	    3);
	assert_true(flag);
	log_level(false, false);
}

static int open_nothing(void)
{
	const char *argv[] = { "tool", NULL };
	int code = 0;

	close(STDERR_FILENO);
	set_limit(RLIMIT_NOFILE, 0);
	if (opt_parse(&tool, 1, (char **)argv, &code) != -1)
		code = 0;
	set_limit(RLIMIT_NOFILE, RLIM_INFINITY);
	return code;
}

static void a_standard_descriptor_that_cannot_be_filled_ends_the_tool(void **state)
{
	assert_int_equal(in_child(open_nothing), EXIT_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_kind_reaches_its_variable, reset),
		cmocka_unit_test_setup(letters_join_and_long_names_shorten, reset),
		cmocka_unit_test_setup(two_dashes_end_the_options, reset),
		cmocka_unit_test_setup(an_optional_value_sticks_to_its_option, reset),
		cmocka_unit_test_setup(mistakes_are_one_line_that_names_them, reset),
		cmocka_unit_test(numbers_are_whole_and_within_limits),
		cmocka_unit_test(sizes_take_a_unit),
		cmocka_unit_test(durations_have_a_unit),
		cmocka_unit_test(seconds_take_a_fraction),
		cmocka_unit_test(an_option_that_would_be_ignored_is_refused_by_name),
		cmocka_unit_test_setup(help_shows_the_whole_table_and_ends_with_0, reset),
		cmocka_unit_test_setup(a_mistake_before_help_is_a_mistake, reset),
		cmocka_unit_test_setup(with_a_host_letter_the_question_mark_helps, reset),
		cmocka_unit_test_setup(a_tool_may_have_its_own_quiet, reset),
		cmocka_unit_test_setup(a_letter_of_the_tool_goes_before_a_common_one, reset),
		cmocka_unit_test_setup(a_size_has_limits_too, reset),
		cmocka_unit_test(a_standard_descriptor_that_cannot_be_filled_ends_the_tool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
