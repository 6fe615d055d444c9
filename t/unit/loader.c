/*
 * loader: which records go out together, and when; what is said of them, and what a failure leaves undone. The server is
 * one of ours (apply.h, warehouse.h), which can be kept waiting and can refuse; real ones are behind t/mysql-*.t. The
 * library's headers first: cmocka.h has a macro named fail.
 */
#include "loader.h"

#include "apply.h"
#include "clock.h"
#include "log.h"
#include "tables.h"
#include "warehouse.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* As cmocka does not know it. */
static int refuse(enum exit_code code, const char *why)
{
	return (fail)(code, "%s", why);
}

/* ---- the server ---- */

struct apply {
	int nothing;
};

static struct apply the_apply;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
	bool hold;            /* takes a window and does not answer */
	unsigned taken, done; /* windows */
	unsigned refuse;      /* the so many-th one, behind so many records */
	size_t refuse_behind;
	struct buf windows; /* offsets: "[0 1 2][3]" */
	int64_t position;   /* of T/0; -1: none */
} server;

struct apply *apply_new(struct db *db, const struct mapping *m, const struct apply_options *o)
{
	return &the_apply;
}

void apply_free(struct apply *a)
{
}

struct apply_counts apply_counts(const struct apply *a)
{
	return (struct apply_counts){ .commits = server.done };
}

int apply_window(struct apply *a, struct window *w, size_t *applied)
{
	size_t n = window_records(w);
	bool refused;

	pthread_mutex_lock(&lock);
	server.taken++;
	pthread_cond_broadcast(&changed);
	while (server.hold)
		pthread_cond_wait(&changed, &lock);
	refused = server.taken == server.refuse;
	*applied = refused ? server.refuse_behind : n;
	buf_add_char(&server.windows, '[');
	for (size_t i = 0; i < *applied; i++)
		buf_addf(&server.windows, "%s%" PRId64 "%s", i > 0 ? " " : "",
		    window_record(w, i)->offset, window_reject(w, i) ? "!" : "");
	buf_add_char(&server.windows, ']');
	server.done++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return refused ? refuse(EXIT_TRYAGAIN, "refused") : 0;
}

int warehouse_check_name(const char *name)
{
	return 0;
}

int warehouse_check_topic(struct span topic)
{
	return span_is(topic, "bad") ? refuse(EXIT_DATA, "a bad topic") : 0;
}

int warehouse_prepare(struct db *db, bool rejects)
{
	return 0;
}

int warehouse_positions(struct db *db, const char *name, struct positions *to)
{
	if (server.position >= 0)
		positions_set(to, SPAN("T"), 0, server.position, server.position - 1,
		    server.position - 1);
	return 0;
}

static void hold(bool on)
{
	pthread_mutex_lock(&lock);
	server.hold = on;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_for(const unsigned *counter, unsigned n)
{
	pthread_mutex_lock(&lock);
	while (*counter < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static unsigned so_far(const unsigned *counter)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = *counter;
	pthread_mutex_unlock(&lock);
	return n;
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static void *let_go(void *nothing)
{
	pause_ms(50);
	hold(false);
	return NULL;
}

/* ---- a loader ---- */

static struct mapping *map;
static struct loader *loader;
static struct writer out;
static int out_fd;
static uint64_t number;

static int setup(void **state)
{
	buf_release(&server.windows);
	memset(&server, 0, sizeof(server));
	server.position = -1;
	number = 0;
	out_fd = memfd_create("out", MFD_CLOEXEC);
	assert_true(out_fd >= 0);
	writer_init(&out, out_fd, 0);
	map = mapping_build(&tables_by_hand,
	    &(struct mapping_options){ .table = "dim_users", .keys = "user_id" });
	assert_non_null(map);
	return 0;
}

static int teardown(void **state)
{
	hold(false);
	loader_close(loader);
	loader = NULL;
	mapping_free(map);
	writer_release(&out);
	close(out_fd);
	buf_release(&server.windows);
	return 0;
}

static const struct loader_options usual = { .reduce = true,
	.interval_ms = 60000,
	.rows = 1000,
	.buffer = 1 << 28 };

static void begin(struct loader_options o)
{
	loader = loader_open(NULL, map, &o, &out);
	assert_non_null(loader);
}

static int give(const char *text)
{
	return loader_line(loader, (struct span){ text, strlen(text) }, ++number, false);
}

static int record(int64_t offset)
{
	char text[256];

	snprintf(text, sizeof(text),
	    "{\"topic\":\"T\",\"partition\":0,\"offset\":%" PRId64 ",\"tstype\":\"create\",\"ts\":%" PRId64
	    ",\"key\":\"k%" PRId64 "\",\"payload\":{\"score\":%" PRId64 "}}",
	    offset, offset, offset % 7, offset);
	return give(text);
}

static void records(int64_t from, int64_t to)
{
	for (int64_t i = from; i <= to; i++)
		assert_int_equal(record(i), 0);
}

static void expect(const char *windows)
{
	char *were;

	pthread_mutex_lock(&lock);
	were = xstrdup(buf_cstr(&server.windows));
	pthread_mutex_unlock(&lock);
	assert_string_equal(were, windows);
	free(were);
}

/* The offsets that were acknowledged, the latest only. */
static int64_t acknowledged(void)
{
	static char text[65536];
	ssize_t n = pread(out_fd, text, sizeof(text) - 1, 0);
	int64_t offset = -1;

	assert_true(n >= 0);
	text[n] = '\0';
	for (char *p = text; (p = strstr(p, "\"partition\":0,\"offset\":")); p++)
		assert_int_equal(sscanf(p, "\"partition\":0,\"offset\":%" SCNd64, &offset), 1);
	return offset;
}

static void expect_failure(enum exit_code code, const char *message)
{
	assert_int_equal(fail_code(), code);
	if (!strstr(fail_message(), message))
		fail_msg("%s", fail_message());
}

/* ---- when windows go out ---- */

static void all_goes_out_at_the_end(void **state)
{
	begin(usual);
	records(0, 4);
	expect("");
	assert_int_equal(loader_end(loader, false), 0);
	expect("[0 1 2 3 4]");
	assert_int_equal(loader_counts(loader).in, 5);
	assert_int_equal(acknowledged(), -1); /* nobody asked for it */
}

static void a_window_is_due_when_its_oldest_record_is(void **state)
{
	struct loader_options o = usual;
	int64_t from;

	o.interval_ms = 300;
	begin(o);
	assert_int_equal(loader_deadline(loader), -1);
	from = clock_mono_ms();
	records(0, 0);
	assert_in_range(loader_deadline(loader), from + 300, clock_mono_ms() + 300);
	pause_ms(20);
	records(1, 1);
	assert_true(loader_deadline(loader) <= clock_mono_ms() + 280);
	assert_int_equal(loader_tick(loader), 0);
	if (clock_mono_ms() < from + 300) /* else the machine has other things to do */
		assert_int_equal(so_far(&server.taken), 0);
	pause_ms(300);
	assert_int_equal(loader_tick(loader), 0);
	wait_for(&server.done, 1);
	expect("[0 1]");
	loader_counts(loader); /* waits until the thread has nothing to do */
	assert_int_equal(loader_deadline(loader), -1);
	records(2, 2);
	assert_int_equal(loader_end(loader, false), 0);
	expect("[0 1][2]");
}

static void while_one_is_applied_the_next_collects(void **state)
{
	struct loader_options o = usual;
	int64_t now;

	o.rows = 3;
	o.interval_ms = 1;
	begin(o);
	hold(true);
	records(0, 2);
	wait_for(&server.taken, 1);
	records(3, 9);
	pause_ms(5);
	now = clock_mono_ms();
	assert_int_equal(loader_tick(loader), 0); /* it is due, and has to wait */
	assert_true(loader_deadline(loader) > now);
	assert_int_equal(so_far(&server.taken), 1);
	hold(false);
	assert_int_equal(loader_end(loader, false), 0);
	expect("[0 1 2][3 4 5 6 7 8 9]");
}

static void when_both_are_full_the_input_waits(void **state)
{
	struct loader_options o = usual;
	pthread_t thread;

	o.buffer = 1;
	begin(o);
	hold(true);
	records(0, 0);
	wait_for(&server.taken, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
	records(1, 1);
	assert_true(so_far(&server.done) >= 1);
	pthread_join(thread, NULL);
	assert_int_equal(loader_end(loader, false), 0);
	expect("[0][1][]");
}

static void many_windows_hold_each_record_once(void **state)
{
	struct loader_options o = usual;

	o.rows = 5;
	o.acks = true;
	begin(o);
	records(0, 1999);
	assert_int_equal(loader_end(loader, false), 0);
	for (char *p = server.windows.data; p < server.windows.data + server.windows.len; p++)
		if (*p == ']' || *p == '[')
			*p = ' ';
	for (int i = 0, at = 0, n, offset; i < 2000; i++, at += n) {
		assert_int_equal(sscanf(buf_cstr(&server.windows) + at, " %d%n", &offset, &n), 1);
		assert_int_equal(offset, i);
	}
	assert_int_equal(acknowledged(), 2000);
}

static void closing_waits_for_what_is_applied(void **state)
{
	struct loader_options o = usual;
	pthread_t thread;

	o.rows = 1;
	begin(o);
	hold(true);
	records(0, 0);
	wait_for(&server.taken, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
	loader_close(loader);
	loader = NULL;
	pthread_join(thread, NULL);
	expect("[0]");
}

static void what_is_under_way_is_counted(void **state)
{
	struct loader_options o = usual;
	pthread_t thread;

	o.rows = 1;
	begin(o);
	hold(true);
	records(0, 0);
	wait_for(&server.taken, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
	assert_int_equal(record(0), -1);
	loader_abort(loader);
	assert_int_equal(loader_counts(loader).commits, 1);
	pthread_join(thread, NULL);
}

/* ---- acknowledgements ---- */

static void nothing_is_acknowledged_before_it_is_applied(void **state)
{
	struct loader_options o = usual;

	o.rows = 3;
	o.acks = true;
	begin(o);
	hold(true);
	records(0, 2);
	wait_for(&server.taken, 1);
	records(3, 4);
	pause_ms(10);
	assert_int_equal(acknowledged(), -1);
	hold(false);
	assert_int_equal(loader_end(loader, false), 0);
	assert_int_equal(acknowledged(), 5);
}

static void of_a_window_that_was_cut_the_first_part_is_acknowledged(void **state)
{
	struct loader_options o = usual;

	o.acks = true;
	begin(o);
	server.refuse = 1;
	server.refuse_behind = 2;
	records(0, 4);
	assert_int_equal(loader_end(loader, false), -1);
	expect_failure(EXIT_TRYAGAIN, "refused");
	assert_int_equal(acknowledged(), 2);
}

static void of_a_window_that_failed_nothing_is_acknowledged(void **state)
{
	struct loader_options o = usual;

	o.acks = true;
	begin(o);
	server.refuse = 1;
	records(0, 4);
	assert_int_equal(loader_end(loader, false), -1);
	assert_int_equal(acknowledged(), -1);
}

static void what_is_stored_already_is_acknowledged_too(void **state)
{
	struct loader_options o = usual;

	server.position = 10;
	o.acks = true;
	begin(o);
	records(5, 8);
	assert_true(loader_deadline(loader) >= 0);
	assert_int_equal(loader_end(loader, false), 0);
	assert_int_equal(acknowledged(), 10);
	assert_int_equal(loader_counts(loader).skipped, 4);
}

static void acknowledgements_that_cannot_be_written_end_the_run(void **state)
{
	struct loader_options o = usual;

	o.acks = true;
	writer_release(&out);
	close(out_fd);
	out_fd = open("/dev/full", O_WRONLY);
	writer_init(&out, out_fd, 0);
	begin(o);
	records(0, 0);
	assert_int_equal(loader_end(loader, false), -1);
	assert_int_equal(fail_code(), EXIT_IO);
	expect("[0]");
}

/* ---- failures ---- */

static void a_failure_is_noticed_though_nothing_more_comes(void **state)
{
	struct loader_options o = usual;

	o.rows = 1;
	begin(o);
	server.refuse = 1;
	hold(true);
	records(0, 0);
	wait_for(&server.taken, 1);
	assert_true(loader_deadline(loader) >= 0);
	assert_int_equal(loader_tick(loader), 0);
	hold(false);
	loader_counts(loader);
	assert_in_range(loader_deadline(loader), 0, clock_mono_ms());
	assert_int_equal(loader_tick(loader), -1);
	expect_failure(EXIT_TRYAGAIN, "refused");
}

static void after_a_window_that_failed_nothing_is_applied(void **state)
{
	struct loader_options o = usual;

	o.rows = 1;
	for (int way = 0; way < 3; way++) {
		int r = 0;

		if (way > 0) {
			teardown(NULL);
			setup(NULL);
		}
		o.interval_ms = way == 1 ? 1 : usual.interval_ms;
		begin(o);
		server.refuse = 1;
		hold(true);
		records(0, 1); /* the second one has to wait */
		wait_for(&server.taken, 1);
		hold(false);
		wait_for(&server.done, 1);
		if (way == 2)
			r = loader_end(loader, false);
		for (int64_t i = 2; way < 2 && r == 0; i++) /* until the thread has said so */
			r = way == 0 ? record(i) : loader_tick(loader);
		assert_int_equal(r, -1);
		expect_failure(EXIT_TRYAGAIN, "refused");
		loader_abort(loader);
		expect_failure(EXIT_TRYAGAIN, "refused");
		expect("[]");
	}
}

static void what_came_before_a_bad_line_is_applied(void **state)
{
	begin(usual);
	records(0, 2);
	assert_int_equal(give("{\"score\""), -1);
	expect_failure(EXIT_DATA, "stdin:4");
	loader_abort(loader);
	expect_failure(EXIT_DATA, "stdin:4");
	expect("[0 1 2]");
}

static void if_that_fails_too_it_is_what_ended_the_run(void **state)
{
	begin(usual);
	server.refuse = 1;
	records(0, 2);
	assert_int_equal(give("null"), -1);
	loader_abort(loader);
	expect_failure(EXIT_TRYAGAIN, "refused");
}

static void offsets_that_go_back_discard_all_of_the_window(void **state)
{
	begin(usual);
	records(0, 5);
	assert_int_equal(record(3), -1);
	expect_failure(EXIT_DATA, "sort");
	loader_abort(loader);
	expect("");
}

static void a_gap_discards_all_of_the_window(void **state)
{
	server.position = 10;
	begin(usual);
	assert_int_equal(record(12), -1);
	expect_failure(EXIT_DATA, "gap");
	loader_abort(loader);
	expect("");
}

static void a_topic_that_no_table_can_hold_ends_the_run(void **state)
{
	begin(usual);
	assert_int_equal(give("{\"topic\":\"bad\",\"partition\":0,\"offset\":0,\"payload\":{\"score\":1}}"),
	    -1);
	expect_failure(EXIT_DATA, "stdin:1: a bad topic");
}

static void a_last_line_that_was_cut_is_said_to_be(void **state)
{
	begin(usual);
	assert_int_equal(loader_line(loader, SPAN("{\"topic\":\"T\""), 1, true), -1);
	expect_failure(EXIT_DATA, "incomplete");
}

static void recreated_and_stopped_before_that_is_proven_nothing_is_stored(void **state)
{
	struct loader_options o = usual;

	server.position = 10;
	o.recreated = true;
	o.rows = 1;
	begin(o);
	records(0, 4);
	assert_int_equal(loader_deadline(loader), -1);
	assert_int_equal(loader_tick(loader), 0);
	assert_int_equal(loader_end(loader, true), 0);
	expect("");
}

/* ---- rejects, marks ---- */

static void a_record_that_does_not_fit_ends_the_run(void **state)
{
	begin(usual);
	records(0, 1);
	assert_int_equal(give("{\"topic\":\"T\",\"partition\":0,\"offset\":2,\"key\":\"a\",\"payload\":{\"score\":\"x\"}}"),
	    -1);
	expect_failure(EXIT_DATA, "stdin:3: T/0: offset 2: dim_users.score: ");
	loader_abort(loader);
	expect("[0 1]");
}

static void kept_it_moves_the_position_like_any_other(void **state)
{
	struct loader_options o = usual;

	o.rejects = o.acks = true;
	begin(o);
	records(0, 1);
	assert_int_equal(give("{\"topic\":\"T\",\"partition\":0,\"offset\":2,\"key\":\"a\",\"payload\":{\"score\":\"x\"}}"),
	    0);
	assert_int_equal(loader_end(loader, false), 0);
	expect("[0 1 2!]");
	assert_int_equal(acknowledged(), 3);
}

static void a_position_mark_alone_is_worth_a_commit(void **state)
{
	struct loader_options o = usual;

	o.acks = true;
	begin(o);
	assert_int_equal(give("{\"mark\":{\"kind\":\"start\",\"topic\":\"T\",\"partition\":0,\"offset\":7}}"),
	    0);
	assert_int_equal(loader_deadline(loader), -1);
	assert_int_equal(give("{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":0,\"offset\":9}}"),
	    0);
	assert_true(loader_deadline(loader) >= 0);
	assert_int_equal(give("{\"mark\":{\"kind\":\"end\",\"records\":0}}"), 0);
	assert_int_equal(loader_end(loader, false), 0);
	expect("[]");
	assert_int_equal(acknowledged(), 9);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_goes_out_at_the_end),
		TEST(a_window_is_due_when_its_oldest_record_is),
		TEST(while_one_is_applied_the_next_collects),
		TEST(when_both_are_full_the_input_waits),
		TEST(many_windows_hold_each_record_once),
		TEST(closing_waits_for_what_is_applied),
		TEST(what_is_under_way_is_counted),
		TEST(nothing_is_acknowledged_before_it_is_applied),
		TEST(of_a_window_that_was_cut_the_first_part_is_acknowledged),
		TEST(of_a_window_that_failed_nothing_is_acknowledged),
		TEST(what_is_stored_already_is_acknowledged_too),
		TEST(acknowledgements_that_cannot_be_written_end_the_run),
		TEST(a_failure_is_noticed_though_nothing_more_comes),
		TEST(after_a_window_that_failed_nothing_is_applied),
		TEST(what_came_before_a_bad_line_is_applied),
		TEST(if_that_fails_too_it_is_what_ended_the_run),
		TEST(offsets_that_go_back_discard_all_of_the_window),
		TEST(a_gap_discards_all_of_the_window),
		TEST(a_topic_that_no_table_can_hold_ends_the_run),
		TEST(a_last_line_that_was_cut_is_said_to_be),
		TEST(recreated_and_stopped_before_that_is_proven_nothing_is_stored),
		TEST(a_record_that_does_not_fit_ends_the_run),
		TEST(kept_it_moves_the_position_like_any_other),
		TEST(a_position_mark_alone_is_worth_a_commit),
	};

	alarm(60); /* what waits for ever has failed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
