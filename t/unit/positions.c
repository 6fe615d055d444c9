/* The library's headers first: cmocka.h has a macro named fail. */
#include "positions.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct positions ps;

static int setup(void **state)
{
	positions_init(&ps, (struct positions_rules){ 0 });
	return 0;
}

static int teardown(void **state)
{
	positions_release(&ps);
	return 0;
}

static struct line line(const char *topic, int32_t partition, int64_t offset)
{
	return (
	    struct line){ .topic = { topic, strlen(topic) }, .partition = partition, .offset = offset };
}

static enum position_verdict record_at(const char *topic, int32_t partition, int64_t offset, int64_t ts)
{
	struct line l = line(topic, partition, offset);

	l.kind = LINE_RECORD;
	l.has_ts = ts >= 0;
	l.ts = ts;
	return positions_record(&ps, &l);
}

/* The time of record N is 1000 + N unless a test says otherwise. */
static enum position_verdict record(int64_t offset)
{
	return record_at("TX", 0, offset, 1000 + offset);
}

static bool has(int64_t offset)
{
	struct line l = line("TX", 0, offset);

	return positions_has(&ps, &l);
}

static int mark_of(enum mark_kind kind, const char *topic, int32_t partition, int64_t offset)
{
	struct line l = line(topic, partition, offset);

	l.kind = LINE_MARK;
	l.mark = kind;
	return positions_mark(&ps, &l);
}

static int start(int64_t offset)
{
	return mark_of(MARK_START, "TX", 0, offset);
}

static int position(int64_t offset)
{
	return mark_of(MARK_POSITION, "TX", 0, offset);
}

static int end(void)
{
	return mark_of(MARK_END, "", 0, -1);
}

static void stored(int64_t next)
{
	positions_set(&ps, SPAN("TX"), 0, next, next - 1, 1000 + next - 1);
}

static int64_t next_of(const char *topic, int32_t partition)
{
	struct position *p = positions_find(&ps, (struct span){ topic, strlen(topic) }, partition);

	return p && p->stored ? p->next : -1;
}

/* The last failure was one of data and says so. */
static void assert_says(const char *what)
{
	assert_int_equal(fail_code(), EXIT_DATA);
	if (!strstr(fail_message(), what))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), what);
}

/* What the run says on stderr while f() goes on. */
static const char *stderr_of(int (*f)(struct positions *, bool), bool arg)
{
	static char text[2048];
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t n;

	dup2(fileno(file), STDERR_FILENO);
	assert_int_equal(f(&ps, arg), 0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

/* ---- the map ---- */

static void many_partitions_are_all_found_again(void **state)
{
	char topic[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(topic, sizeof(topic), "topic-%d", i % 50);
		positions_set(&ps, (struct span){ topic, strlen(topic) }, i / 50, i, i - 1, i);
	}
	assert_int_equal(ps.count, 5000);
	for (int i = 0; i < 5000; i++) {
		snprintf(topic, sizeof(topic), "topic-%d", i % 50);
		assert_int_equal(next_of(topic, i / 50), i);
	}
	assert_int_equal(next_of("topic-50", 0), -1);
	assert_int_equal(next_of("topic-1", 100), -1);
	assert_int_equal(next_of("topic", 0), -1);
	assert_int_equal(ps.count, 5000); /* looking makes nothing */
}

static void partitions_of_one_number_in_two_topics_differ(void **state)
{
	record_at("A", 1, 10, 5);
	record_at("B", 1, 20, 5);
	record_at("A", 2, 30, 5);
	assert_int_equal(next_of("A", 1), 11);
	assert_int_equal(next_of("B", 1), 21);
	assert_int_equal(next_of("A", 2), 31);
}

/* ---- the first line: gaps ---- */

static void without_a_position_any_start_is_accepted(void **state)
{
	assert_int_equal(record(4711), POSITION_STORE);
	assert_int_equal(next_of("TX", 0), 4712);
}

static void records_go_on_where_the_position_stands(void **state)
{
	stored(100);
	assert_int_equal(record(100), POSITION_STORE);
	assert_int_equal(record(101), POSITION_STORE);
	assert_int_equal(next_of("TX", 0), 102);
}

static void a_first_record_above_the_position_is_a_gap(void **state)
{
	stored(100);
	assert_int_equal(record(101), POSITION_FAIL);
	assert_says(
	    "TX/0: gap: the stream starts at offset 101, but the stored position is 100: 1 offsets");
	assert_says("--allow-gap");
	assert_int_equal(next_of("TX", 0), 100);
}

static void a_start_mark_above_the_position_is_a_gap(void **state)
{
	stored(100);
	assert_int_equal(start(150), -1);
	assert_says("TX/0: gap: the stream starts at offset 150");
	assert_int_equal(next_of("TX", 0), 100);
}

static void a_start_mark_below_bridges_compacted_offsets(void **state)
{
	stored(100);
	assert_int_equal(start(100), 0);
	assert_int_equal(record(150), POSITION_STORE);
	assert_int_equal(next_of("TX", 0), 151);
}

static void a_position_mark_that_comes_first_must_not_hide_a_gap(void **state)
{
	stored(100);
	assert_int_equal(position(150), -1);
	assert_says("there is no start mark");
	assert_int_equal(next_of("TX", 0), 100);
}

static void a_second_start_mark_is_checked_too(void **state)
{
	/* (kread -o 0 -c 100; kread -o 150) | jsonl-sink */
	stored(10);
	assert_int_equal(start(0), 0);
	assert_int_equal(record(10), POSITION_STORE);
	assert_int_equal(start(12), -1);
	assert_says("gap");
}

static void a_gap_may_be_allowed(void **state)
{
	ps.rules.allow_gap = true;
	stored(100);
	assert_int_equal(start(150), 0);
	assert_int_equal(record(150), POSITION_STORE);
	assert_int_equal(next_of("TX", 0), 151);
}

static void only_the_partition_with_the_gap_is_named(void **state)
{
	positions_set(&ps, SPAN("TX"), 0, 10, 9, 1);
	positions_set(&ps, SPAN("TX"), 1, 20, 19, 1);
	positions_set(&ps, SPAN("TY"), 1, 30, 29, 1);
	assert_int_equal(record_at("TX", 0, 10, 5), POSITION_STORE);
	assert_int_equal(record_at("TY", 1, 30, 5), POSITION_STORE);
	assert_int_equal(record_at("TX", 1, 22, 5), POSITION_FAIL);
	assert_says(
	    "TX/1: gap: the stream starts at offset 22, but the stored position is 20: 2 offsets");
}

/* ---- below the position: skip ---- */

static void what_is_stored_is_skipped_and_counted(void **state)
{
	stored(100);
	for (int64_t i = 0; i < 100; i++) {
		assert_true(has(i));
		assert_int_equal(record(i), POSITION_SKIP);
	}
	assert_false(has(100));
	assert_int_equal(record(100), POSITION_STORE);
	assert_int_equal(ps.skipped, 100);
	assert_int_equal(next_of("TX", 0), 101);
}

static void overwrite_skips_nothing(void **state)
{
	struct position **moved;

	ps.rules.no_skip = true;
	stored(100);
	assert_false(has(5));
	assert_int_equal(record(5), POSITION_STORE);
	assert_int_equal(ps.skipped, 0);
	assert_int_equal(next_of("TX", 0), 100); /* and goes back nowhere */
	assert_int_equal(positions_moved(&ps, &moved), 1);
	free(moved);
}

/* ---- recreated topics ---- */

static void the_last_record_with_another_time_is_another_topic(void **state)
{
	stored(100);
	assert_int_equal(record(98), POSITION_SKIP);
	assert_int_equal(record_at("TX", 0, 99, 7), POSITION_FAIL);
	assert_says("TX/0: offset 99: the record there has ts 7, the one stored had 1099");
	assert_says("--recreated");
}

static void overwrite_notices_it_too(void **state)
{
	ps.rules.no_skip = true;
	stored(100);
	assert_int_equal(record_at("TX", 0, 99, 7), POSITION_FAIL);
	assert_says("made anew");
}

static void an_unknown_time_proves_nothing(void **state)
{
	stored(100);
	assert_int_equal(record_at("TX", 0, 99, -1), POSITION_SKIP);
	positions_set(&ps, SPAN("TX"), 1, 100, 99, -1);
	assert_int_equal(record_at("TX", 1, 99, 5), POSITION_SKIP);
	positions_set(&ps, SPAN("TX"), 2, 100, -1, -1); /* nothing but marks was stored */
	assert_int_equal(record_at("TX", 2, 99, 5), POSITION_SKIP);
}

static void a_final_position_below_the_stored_one_is_another_topic(void **state)
{
	stored(100);
	assert_int_equal(start(0), 0);
	for (int64_t i = 0; i < 50; i++)
		record(i);
	assert_int_equal(position(50), 0);
	assert_int_equal(end(), 0);
	assert_int_equal(positions_end(&ps, false), -1);
	assert_says("TX/0: the topic ends at 50, below the stored position 100");
}

static void an_empty_topic_is_below_too(void **state)
{
	stored(100);
	start(0);
	position(0);
	end();
	assert_int_equal(positions_end(&ps, false), -1);
	assert_says("ends at 0");
}

static void an_interrupted_stream_may_end_below(void **state)
{
	stored(100);
	start(0);
	position(50);
	assert_string_equal(stderr_of(positions_end, true), "");
	assert_non_null(strstr(stderr_of(positions_end, false), "no end mark"));
}

static void a_whole_stream_ends_quietly(void **state)
{
	stored(100);
	start(100);
	record(100);
	position(101);
	end();
	assert_string_equal(stderr_of(positions_end, false), "");
}

static void without_marks_an_end_below_is_a_warning(void **state)
{
	stored(100);
	record(0);
	assert_non_null(strstr(stderr_of(positions_end, false),
	    "TX/0: the stream ends at offset 0, below the stored position 100"));
	assert_string_equal(stderr_of(positions_end, true), "");
}

/* ---- --recreated ---- */

static int setup_recreated(void **state)
{
	positions_init(&ps, (struct positions_rules){ .recreated = true });
	stored(100);
	return 0;
}

static void nothing_is_committed_before_it_is_proven(void **state)
{
	assert_true(positions_may_commit(&ps));
	assert_false(has(0));
	assert_int_equal(record_at("TX", 0, 0, 5000), POSITION_STORE);
	assert_false(positions_may_commit(&ps));
	for (int64_t i = 1; i < 99; i++)
		assert_int_equal(record_at("TX", 0, i, 5000 + i), POSITION_STORE);
	assert_false(positions_may_commit(&ps));
	assert_int_equal(record_at("TX", 0, 99, 5099), POSITION_STORE); /* another time: another record */
	assert_true(positions_may_commit(&ps));
	assert_int_equal(next_of("TX", 0), 100);
	assert_int_equal(ps.skipped, 0);
}

static void a_topic_that_lacks_the_last_offset_is_another(void **state)
{
	record_at("TX", 0, 0, 5000);
	assert_int_equal(record_at("TX", 0, 120, 5120), POSITION_STORE);
	assert_true(positions_may_commit(&ps));
}

static void a_position_behind_the_last_offset_proves_it_too(void **state)
{
	start(0);
	record_at("TX", 0, 0, 5000);
	assert_int_equal(position(99), 0);
	assert_false(positions_may_commit(&ps));
	assert_int_equal(position(100), 0);
	assert_true(positions_may_commit(&ps));
}

static void a_topic_that_is_still_the_same_is_found_out(void **state)
{
	for (int64_t i = 0; i < 99; i++)
		assert_int_equal(record(i), POSITION_STORE);
	assert_int_equal(record(99), POSITION_FAIL);
	assert_says("TX/0: offset 99: this record is stored already");
}

static void a_whole_shorter_topic_is_another(void **state)
{
	start(0);
	record_at("TX", 0, 0, 5000);
	position(1);
	end();
	assert_false(positions_may_commit(&ps));
	assert_int_equal(positions_end(&ps, false), 0);
	assert_true(positions_may_commit(&ps));
	assert_int_equal(next_of("TX", 0), 1);
}

static void a_cut_stream_proves_nothing(void **state)
{
	start(0);
	record_at("TX", 0, 0, 5000);
	position(1);
	assert_int_equal(positions_end(&ps, true), -1);
	assert_says("TX/0: the stream ended at 1 before --recreated could be checked");
}

static void without_marks_a_shorter_stream_proves_nothing(void **state)
{
	record_at("TX", 0, 0, 5000);
	assert_int_equal(positions_end(&ps, false), -1);
	assert_says("--recreated could be checked");
}

static void what_goes_on_at_the_position_begins_nothing_anew(void **state)
{
	assert_int_equal(record(100), POSITION_STORE);
	assert_true(positions_may_commit(&ps));
	assert_int_equal(next_of("TX", 0), 101);
}

static void the_commit_must_still_find_the_old_position(void **state)
{
	struct position **moved;

	record_at("TX", 0, 0, 5000);
	record_at("TX", 0, 200, 5000);
	assert_int_equal(positions_moved(&ps, &moved), 1);
	assert_true(moved[0]->from_stored);
	assert_int_equal(moved[0]->from_next, 100);
	assert_int_equal(moved[0]->next, 201);
	assert_int_equal(moved[0]->last_offset, 200);
	free(moved);
}

static void each_partition_is_proven_by_itself(void **state)
{
	positions_set(&ps, SPAN("TX"), 1, 10, 9, 5);
	record_at("TX", 0, 0, 5000);
	record_at("TX", 1, 0, 5000);
	record_at("TX", 1, 9, 5001);
	assert_false(positions_may_commit(&ps));
	record_at("TX", 0, 99, 5001);
	assert_true(positions_may_commit(&ps));
}

static void a_position_that_only_marks_made_needs_no_proof(void **state)
{
	positions_set(&ps, SPAN("TY"), 0, 10, -1, -1);
	assert_int_equal(record_at("TY", 0, 0, 1), POSITION_STORE);
	assert_true(positions_may_commit(&ps));
}

static void an_overwrite_begins_anew_at_once(void **state)
{
	ps.rules.no_skip = true;
	start(0);
	assert_int_equal(record(0), POSITION_STORE);
	position(1);
	end();
	assert_int_equal(positions_end(&ps, false), 0);
	assert_int_equal(next_of("TX", 0), 1);
}

/* ---- order ---- */

static void offsets_that_go_back_end_the_run(void **state)
{
	record(10);
	record(12);
	assert_int_equal(record(11), POSITION_FAIL);
	assert_says("TX/0: offset 11 comes after 12: is there a sort in the pipeline?");
}

static void an_offset_that_comes_twice_ends_the_run(void **state)
{
	record(10);
	assert_int_equal(record(10), POSITION_FAIL);
	assert_says("offset 10 comes after 10");
}

static void skipped_records_are_in_order_too(void **state)
{
	stored(100);
	record(50);
	assert_int_equal(record(49), POSITION_FAIL);
	assert_says("sort");
}

static void a_record_behind_its_position_mark_ends_the_run(void **state)
{
	start(0);
	position(43);
	assert_int_equal(record(42), POSITION_FAIL);
	assert_says("offset 42 comes after 42");
}

static void partitions_may_come_in_any_order(void **state)
{
	for (int64_t i = 0; i < 100; i++) {
		assert_int_equal(record_at("A", 0, i, 1), POSITION_STORE);
		assert_int_equal(record_at("A", 1, 99 + i, 1), POSITION_STORE);
		assert_int_equal(record_at("B", 0, 1000 + i, 1), POSITION_STORE);
	}
}

/* ---- marks move positions ---- */

static void a_position_mark_moves_over_what_is_no_record(void **state)
{
	struct position **moved;

	stored(100);
	start(100);
	assert_int_equal(position(105), 0);
	assert_int_equal(next_of("TX", 0), 105);
	assert_int_equal(positions_moved(&ps, &moved), 1);
	assert_int_equal(moved[0]->last_offset, 99); /* the last record is still that one */
	assert_int_equal(moved[0]->last_ts, 1099);
	free(moved);
}

static void a_position_mark_never_moves_back(void **state)
{
	struct position **moved;

	stored(100);
	start(0);
	assert_int_equal(position(50), 0);
	assert_int_equal(next_of("TX", 0), 100);
	assert_int_equal(positions_moved(&ps, &moved), 0);
	free(moved);
}

static void an_end_counts_only_as_the_last_line(void **state)
{
	start(0);
	end();
	assert_true(ps.ended);
	record(0);
	assert_false(ps.ended);
	end();
	start(1);
	assert_false(ps.ended);
}

/* ---- windows ---- */

static void what_moved_is_in_order_of_topic_and_partition(void **state)
{
	static const struct {
		const char *topic;
		int32_t partition;
	} want[] = { { "A", 0 }, { "A", 2 }, { "A", 10 }, { "AA", 1 }, { "B", 0 } };
	struct position **moved;

	record_at("B", 0, 1, 1);
	record_at("A", 10, 1, 1);
	record_at("AA", 1, 1, 1);
	record_at("A", 2, 1, 1);
	record_at("A", 0, 1, 1);
	positions_get(&ps, SPAN("never"), 0);
	positions_set(&ps, SPAN("known"), 0, 5, 4, 1);
	assert_int_equal(positions_moved(&ps, &moved), 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(moved[i]->topic, want[i].topic);
		assert_int_equal(moved[i]->partition, want[i].partition);
	}
	free(moved);
}

static void a_window_begins_where_the_last_one_ended(void **state)
{
	struct position **moved;

	record(5);
	assert_int_equal(positions_moved(&ps, &moved), 1);
	assert_false(moved[0]->from_stored);
	free(moved);
	positions_begin(&ps);
	assert_int_equal(positions_moved(&ps, &moved), 0);
	free(moved);
	record(6);
	record(7);
	assert_int_equal(positions_moved(&ps, &moved), 1);
	assert_true(moved[0]->from_stored);
	assert_int_equal(moved[0]->from_next, 6);
	assert_int_equal(moved[0]->next, 8);
	assert_int_equal(moved[0]->last_offset, 7);
	assert_int_equal(moved[0]->last_ts, 1007);
	free(moved);
}

static void positions_print_as_marks(void **state)
{
	struct position **moved;
	struct buf b = BUF_INIT;
	size_t n;

	record_at("T\"X", 1, 41, 7);
	record_at("T\"X", 0, 1, -1);
	start(0);
	position(9);
	n = positions_moved(&ps, &moved);
	positions_print(moved, n, &b);
	assert_string_equal(buf_cstr(&b),
	    "{\"mark\":{\"kind\":\"position\",\"topic\":\"T\\\"X\",\"partition\":0,\"offset\":2,"
	    "\"last\":{\"offset\":1,\"ts\":-1}}}\n"
	    "{\"mark\":{\"kind\":\"position\",\"topic\":\"T\\\"X\",\"partition\":1,\"offset\":42,"
	    "\"last\":{\"offset\":41,\"ts\":7}}}\n"
	    "{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":9}}\n");
	free(moved);
	buf_release(&b);
}

#define TEST(f)      cmocka_unit_test_setup_teardown(f, setup, teardown)
#define RECREATED(f) cmocka_unit_test_setup_teardown(f, setup_recreated, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_partitions_are_all_found_again),
		TEST(partitions_of_one_number_in_two_topics_differ),
		TEST(without_a_position_any_start_is_accepted),
		TEST(records_go_on_where_the_position_stands),
		TEST(a_first_record_above_the_position_is_a_gap),
		TEST(a_start_mark_above_the_position_is_a_gap),
		TEST(a_start_mark_below_bridges_compacted_offsets),
		TEST(a_position_mark_that_comes_first_must_not_hide_a_gap),
		TEST(a_second_start_mark_is_checked_too),
		TEST(a_gap_may_be_allowed),
		TEST(only_the_partition_with_the_gap_is_named),
		TEST(what_is_stored_is_skipped_and_counted),
		TEST(overwrite_skips_nothing),
		TEST(the_last_record_with_another_time_is_another_topic),
		TEST(overwrite_notices_it_too),
		TEST(an_unknown_time_proves_nothing),
		TEST(a_final_position_below_the_stored_one_is_another_topic),
		TEST(an_empty_topic_is_below_too),
		TEST(an_interrupted_stream_may_end_below),
		TEST(a_whole_stream_ends_quietly),
		TEST(without_marks_an_end_below_is_a_warning),
		RECREATED(nothing_is_committed_before_it_is_proven),
		RECREATED(a_topic_that_lacks_the_last_offset_is_another),
		RECREATED(a_position_behind_the_last_offset_proves_it_too),
		RECREATED(a_topic_that_is_still_the_same_is_found_out),
		RECREATED(a_whole_shorter_topic_is_another),
		RECREATED(a_cut_stream_proves_nothing),
		RECREATED(without_marks_a_shorter_stream_proves_nothing),
		RECREATED(what_goes_on_at_the_position_begins_nothing_anew),
		RECREATED(the_commit_must_still_find_the_old_position),
		RECREATED(each_partition_is_proven_by_itself),
		RECREATED(a_position_that_only_marks_made_needs_no_proof),
		RECREATED(an_overwrite_begins_anew_at_once),
		TEST(offsets_that_go_back_end_the_run),
		TEST(an_offset_that_comes_twice_ends_the_run),
		TEST(skipped_records_are_in_order_too),
		TEST(a_record_behind_its_position_mark_ends_the_run),
		TEST(partitions_may_come_in_any_order),
		TEST(a_position_mark_moves_over_what_is_no_record),
		TEST(a_position_mark_never_moves_back),
		TEST(an_end_counts_only_as_the_last_line),
		TEST(what_moved_is_in_order_of_topic_and_partition),
		TEST(a_window_begins_where_the_last_one_ended),
		TEST(positions_print_as_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
