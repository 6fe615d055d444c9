/* The library's headers first: cmocka.h has a macro named fail. */
#include "resume.h"
#include "io.h"
#include "lake.h"
#include "log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MARK(part, offset)                                                                         \
	"{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":" #part                   \
	",\"offset\":" #offset "}}\n"
#define MARK_LAST(part, offset, last, ts)                                                          \
	"{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":" #part                   \
	",\"offset\":" #offset ",\"last\":{\"offset\":" #last ",\"ts\":" #ts "}}}\n"

static char top[64], file[96], lake[96];
static struct positions at;

static int set_up(void **state)
{
	snprintf(top, sizeof(top), "/tmp/sluice-resume-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(file, sizeof(file), "%s/marks", top);
	snprintf(lake, sizeof(lake), "%s/lake", top);
	log_level(true, false);
	positions_init(&at, (struct positions_rules){ 0 });
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	positions_release(&at);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

static void write_marks(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void read_ok(const char *source)
{
	if (resume_read(source, "append", &at) < 0)
		fail_msg("%s", fail_message());
}

/* last -1: none known. */
static void expect_position(int32_t partition, int64_t next, int64_t last, int64_t ts)
{
	const struct position *p = positions_find(&at, SPAN("TX"), partition);

	assert_non_null(p);
	assert_true(p->stored);
	assert_int_equal(p->next, next);
	assert_int_equal(p->last_offset, last);
	if (last >= 0)
		assert_int_equal(p->last_ts, ts);
}

static void expect_mistake(const char *text, enum exit_code code, const char *where)
{
	char want[200];

	write_marks(text);
	assert_int_equal(resume_read(file, "append", &at), -1);
	assert_int_equal(fail_code(), code);
	snprintf(want, sizeof(want), "%s%s", file, where);
	if (strncmp(fail_message(), want, strlen(want)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", fail_message(), want);
}

/* ---- position marks ---- */

static void a_file_of_marks_says_where_each_partition_stands(void **state)
{
	write_marks(MARK(0, 43) MARK_LAST(1, 9223372036854775807, 8, 1763697600123));
	read_ok(file);
	assert_int_equal(at.count, 2);
	expect_position(0, 43, -1, 0);
	expect_position(1, INT64_MAX, 8, INT64_C(1763697600123));
}

static void the_last_mark_of_a_partition_counts(void **state)
{
	write_marks(MARK_LAST(0, 10, 9, 5) MARK(1, 3) MARK_LAST(0, 20, 19, 6) MARK_LAST(1, 4, 3, 7)
		MARK(1, 2));
	read_ok(file);
	assert_int_equal(at.count, 2);
	expect_position(0, 20, 19, 6);
	expect_position(1, 2, -1, 0); /* the record of an older mark is not its last one */
}

static void marks_of_other_kinds_are_passed_over(void **state)
{
	write_marks(
	    "{\"mark\":{\"kind\":\"start\",\"topic\":\"TX\",\"partition\":0,\"offset\":7}}\n" MARK(1,
		5) "{\"mark\":{\"kind\":\"end\",\"records\":3}}\n");
	read_ok(file);
	assert_int_equal(at.count, 1);
	expect_position(1, 5, -1, 0);
}

static void what_a_filter_hung_on_a_mark_does_no_harm(void **state)
{
	write_marks("{\"path\":\"a\",\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,"
		    "\"offset\":7,\"by\":\"me\"}}\n");
	read_ok(file);
	expect_position(0, 7, -1, 0);
}

static void a_last_line_without_newline_counts(void **state)
{
	write_marks("{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":7}}");
	read_ok(file);
	expect_position(0, 7, -1, 0);
}

static void an_empty_file_knows_no_partition(void **state)
{
	write_marks("");
	read_ok(file);
	assert_int_equal(at.count, 0);
}

static void a_dash_is_stdin(void **state)
{
	int saved = dup(STDIN_FILENO), fd;

	write_marks(MARK(0, 43) "nonsense\n");
	fd = open(file, O_RDONLY);
	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDIN_FILENO);
	close(fd);
	assert_int_equal(resume_read("-", "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_memory_equal(fail_message(), "stdin:2: ", 9);
	expect_position(0, 43, -1, 0);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), 0); /* not ours to close */
	dup2(saved, STDIN_FILENO);
	close(saved);
}

/* ---- mistakes ---- */

static void a_line_that_is_no_mark_is_named(void **state)
{
	expect_mistake(MARK(0, 1) "{\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"payload\":1}\n",
	    EXIT_DATA, ":2: not a mark");
	expect_mistake("{\"a\":1}\n", EXIT_DATA, ":1: not a mark");
	expect_mistake(MARK(0, 1) MARK(0, 2) "\n", EXIT_DATA, ":3: ");
	expect_mistake("{\"mark\":", EXIT_DATA, ":1: ");
	expect_mistake("{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"offset\":1}}\n",
	    EXIT_DATA, ":1: ");
	expect_mistake(MARK(0, -1), EXIT_DATA, ":1: ");
}

static void a_file_that_is_not_there_is_a_mistake(void **state)
{
	assert_int_equal(resume_read(file, "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
	assert_non_null(strstr(fail_message(), file));
	assert_int_equal(resume_read("", "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
}

static void what_may_not_be_read_is_a_matter_of_rights(void **state)
{
	uid_t me = geteuid();

	write_marks(MARK(0, 1));
	assert_int_equal(chmod(file, 0), 0);
	if (me == 0) /* may read everything: so become nobody */
		assert_int_equal(chmod(top, 0755) + seteuid(65534), 0);
	assert_int_equal(resume_read(file, "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_PERM);
	assert_non_null(strstr(fail_message(), file));
	assert_int_equal(seteuid(me), 0);
	assert_int_equal(chmod(top, 0), 0); /* and one that cannot even be seen */
	if (me == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(resume_read(file, "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_PERM);
	assert_int_equal(seteuid(me) + chmod(top, 0700), 0);
}

/* In a process of its own: a signal that has come does not go away. */
static void a_signal_ends_the_wait_for_marks(void **state)
{
	int in[2], status;
	pid_t child;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(write_all(in[1], MARK(0, 43), strlen(MARK(0, 43))), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(in[0], STDIN_FILENO);
		sig_install(true);
		raise(SIGTERM);
		alarm(5);
		_exit(resume_read("-", "append", &at) == -1 ? (int)fail_code() : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	close(in[0]);
	close(in[1]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_INT);
}

static void what_cannot_be_read_to_its_end_is_named(void **state)
{
	assert_int_equal(resume_read("/proc/self/mem", "append", &at), -1); /* nothing is at its beginning */
	assert_int_equal(fail_code(), EXIT_IO);
	assert_non_null(strstr(fail_message(), "/proc/self/mem: "));
}

/* ---- lakes ---- */

/* A commit without files, as of a run whose records were all filtered: TX/`partition` moves to `next`. */
static void commit(const char *name, int32_t partition, int64_t next)
{
	struct lake_options o = { .lock_timeout_ms = 200 };
	struct lake *l = lake_open(lake, &o);
	struct lake_commit c = { .name = name };
	struct position **moved;
	struct positions ps;
	struct line record = { .kind = LINE_RECORD,
		.topic = SPAN("TX"),
		.partition = partition,
		.offset = next - 1,
		.has_ts = true,
		.ts = 1000 + next };
	bool stands;

	if (!l)
		fail_msg("%s", fail_message());
	positions_init(&ps, (struct positions_rules){ .allow_gap = true });
	lake_positions(l, name, &ps);
	assert_int_equal(positions_record(&ps, &record), POSITION_STORE);
	c.position_count = positions_moved(&ps, &moved);
	c.positions = moved;
	if (lake_commit(l, &c, &stands) < 0)
		fail_msg("%s", fail_message());
	free(moved);
	positions_release(&ps);
	lake_close(l);
}

static void a_lake_says_where_the_name_stands(void **state)
{
	commit("append", 0, 43);
	commit("append", 1, 7);
	commit("other", 0, 99);
	commit("append", 0, 50);
	read_ok(lake);
	assert_int_equal(at.count, 2);
	expect_position(0, 50, 49, 1050);
	expect_position(1, 7, 6, 1007);
}

static void another_name_stands_where_it_was_left(void **state)
{
	commit("append", 0, 43);
	commit("other", 0, 99);
	assert_int_equal(resume_read(lake, "other", &at), 0);
	expect_position(0, 99, 98, 1099);
}

static void a_name_that_the_lake_does_not_know_stands_nowhere(void **state)
{
	commit("append", 0, 43);
	assert_int_equal(resume_read(lake, "new", &at), 0);
	assert_int_equal(at.count, 0);
}

static void a_directory_without_a_lake_stands_nowhere(void **state)
{
	read_ok(top);
	assert_int_equal(at.count, 0);
}

static void only_a_slash_makes_a_missing_path_a_lake_to_be(void **state)
{
	char slash[100];

	snprintf(slash, sizeof(slash), "%s/", lake);
	read_ok(slash);
	assert_int_equal(at.count, 0);
	assert_int_not_equal(access(lake, F_OK), 0); /* a reader makes nothing */
	assert_int_equal(resume_read(lake, "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
}

static void a_damaged_journal_is_no_lake_without_positions(void **state)
{
	char path[160];
	int fd;

	commit("append", 0, 43);
	commit("append", 0, 50);
	snprintf(path, sizeof(path), "%s/.sluice/journal", lake);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "{\"rot", 5, 0), 5);
	close(fd);
	assert_int_equal(resume_read(lake, "append", &at), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_non_null(strstr(fail_message(), "journal"));
}

static void neither_a_file_nor_stdin_can_be_a_lake(void **state)
{
	write_marks(MARK(0, 43));
	assert_false(resume_may_be_lake(file));
	assert_false(resume_may_be_lake("-"));
	assert_true(resume_may_be_lake(top));
	assert_true(resume_may_be_lake("/there/is/none"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_file_of_marks_says_where_each_partition_stands),
		TEST(the_last_mark_of_a_partition_counts),
		TEST(marks_of_other_kinds_are_passed_over),
		TEST(what_a_filter_hung_on_a_mark_does_no_harm),
		TEST(a_last_line_without_newline_counts),
		TEST(an_empty_file_knows_no_partition),
		TEST(a_dash_is_stdin),
		TEST(a_line_that_is_no_mark_is_named),
		TEST(a_file_that_is_not_there_is_a_mistake),
		TEST(what_may_not_be_read_is_a_matter_of_rights),
		TEST(a_signal_ends_the_wait_for_marks),
		TEST(what_cannot_be_read_to_its_end_is_named),
		TEST(a_lake_says_where_the_name_stands),
		TEST(another_name_stands_where_it_was_left),
		TEST(a_name_that_the_lake_does_not_know_stands_nowhere),
		TEST(a_directory_without_a_lake_stands_nowhere),
		TEST(only_a_slash_makes_a_missing_path_a_lake_to_be),
		TEST(a_damaged_journal_is_no_lake_without_positions),
		TEST(neither_a_file_nor_stdin_can_be_a_lake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
