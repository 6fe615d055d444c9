/*
 * plan: which partitions, from where, to which end, and every check before the first record; against
 * librdkafka's mock brokers inside this process. The library's headers first: cmocka.h has a macro
 * named fail.
 */
#include "plan.h"
#include "clock.h"
#include "consumer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "mock.h"

#define TIMEOUT_MS 10000

static const char *topic[4];
static struct plan_options options;
static struct kafka kafka;
static struct plan plan;
static struct positions sink;

static int set_up(void **state)
{
	mock_open(1);
	log_level(true, false);
	topic[0] = "T";
	options = (struct plan_options){ .topic = topic, .topics = 1, .pin = true, .timeout_ms = TIMEOUT_MS };
	positions_init(&sink, (struct positions_rules){ 0 });
	return 0;
}

static void release(void)
{
	plan_release(&plan);
	kafka_close(&kafka);
}

static int tear_down(void **state)
{
	release();
	positions_release(&sink);
	mock_close();
	return 0;
}

static int make(void)
{
	release();
	assert_int_equal(kafka_open(&kafka, &config, RD_KAFKA_CONSUMER, consumer_settings,
			     consumer_settings_count),
	    0);
	return plan_make(&plan, &kafka, &config, &options);
}

static void make_ok(void)
{
	if (make() < 0)
		fail_msg("%s", fail_message());
}

static void expect_failure(enum exit_code code, const char *why)
{
	assert_int_equal(make(), -1);
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
	assert_int_equal(fail_code(), code);
}

static void expect_partition(size_t i, const char *name, int32_t id, int64_t start, int64_t end)
{
	const struct plan_partition *p = &plan.partition[i];

	assert_true(i < plan.partitions);
	assert_string_equal(p->topic, name);
	assert_int_equal(p->id, id);
	assert_int_equal(p->start, start);
	assert_int_equal(p->next, start);
	assert_int_equal(p->end, end);
	assert_int_equal(p->done, start >= end);
	assert_int_equal(p->marked, -1);
}

static void start_at(enum start_kind kind, int64_t n)
{
	options.start = (struct plan_start){ .kind = kind, .n = n };
}

static void stands(const char *name, int32_t id, int64_t next, int64_t last, int64_t ts)
{
	positions_set(&sink, (struct span){ name, strlen(name) }, id, next, last, ts);
	options.from = &sink;
}

/* ---- which partitions ---- */

static void all_partitions_are_read_from_their_start_to_where_they_end_now(void **state)
{
	mock_topic("T", 3);
	mock_fill("T", 0, 0, 10);
	mock_fill("T", 2, 0, 5);
	make_ok();
	mock_fill("T", 0, 10, 20); /* too late */
	assert_int_equal(plan.partitions, 3);
	expect_partition(0, "T", 0, 0, 10);
	expect_partition(1, "T", 1, 0, 0);
	expect_partition(2, "T", 2, 0, 5);
}

static void without_a_pin_there_is_no_end(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 10);
	options.pin = false;
	make_ok();
	expect_partition(0, "T", 0, 0, INT64_MAX);
	expect_partition(1, "T", 1, 0, INT64_MAX);
}

static void only_the_partitions_asked_for_are_read_in_their_order(void **state)
{
	static const int32_t ids[] = { 3, 1 };

	mock_topic("T", 4);
	mock_fill("T", 3, 0, 2);
	options.partition = ids;
	options.partitions = 2;
	make_ok();
	assert_int_equal(plan.partitions, 2);
	expect_partition(0, "T", 1, 0, 0);
	expect_partition(1, "T", 3, 0, 2);
}

static void a_partition_that_is_not_there_is_named(void **state)
{
	static const int32_t ids[] = { 1, 4 };

	mock_topic("T", 4);
	options.partition = ids;
	options.partitions = 2;
	options.timeout_ms = 400;
	expect_failure(EXIT_CONFIG, "T/4: there is no such partition: the topic has 4");
}

static void topics_come_by_name_and_each_once(void **state)
{
	mock_topic("B", 1);
	mock_topic("A", 1);
	mock_topic("AB", 1);
	mock_topic("__consumer_offsets", 1);
	topic[0] = "B";
	topic[1] = "^A";
	topic[2] = "^B$";
	topic[3] = "B";
	options.topics = 4;
	make_ok();
	assert_int_equal(plan.partitions, 3);
	expect_partition(0, "A", 0, 0, 0);
	expect_partition(1, "AB", 0, 0, 0);
	expect_partition(2, "B", 0, 0, 0);
}

static void kafkas_own_topics_are_read_only_by_name(void **state)
{
	mock_topic("__consumer_offsets", 1);
	topic[0] = "^.*_offsets";
	expect_failure(EXIT_CONFIG, "no topic matches");
	topic[0] = "__consumer_offsets";
	make_ok();
	assert_int_equal(plan.partitions, 1);
}

static void a_pattern_that_is_none_is_a_usage_error(void **state)
{
	topic[0] = "^(";
	expect_failure(EXIT_USAGE, "^(: ");
}

static void a_name_that_no_topic_can_have_is_a_mistake(void **state)
{
	char name[600];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	topic[0] = name;
	expect_failure(EXIT_CONFIG, "xxx: ");
}

static void a_topic_that_is_not_there_is_named(void **state)
{
	options.timeout_ms = 400;
	mock_topic("here", 1);
	topic[0] = "here";
	topic[1] = "gone";
	options.topics = 2;
	mock_topic("gone", 1); /* left to itself the mock would make it */
	rd_kafka_mock_topic_set_error(mock, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	expect_failure(EXIT_CONFIG, "gone: there is no such topic");
}

static void *appear_later(void *arg)
{
	struct timespec t = { 0, 150000000 };

	nanosleep(&t, NULL);
	rd_kafka_mock_topic_set_error(mock, "T", RD_KAFKA_RESP_ERR_NO_ERROR);
	return NULL;
}

static void a_topic_that_is_just_being_made_is_waited_for(void **state)
{
	pthread_t thread;

	mock_topic("T", 2);
	rd_kafka_mock_topic_set_error(mock, "T", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	assert_int_equal(pthread_create(&thread, NULL, appear_later, NULL), 0);
	make_ok();
	assert_int_equal(plan.partitions, 2);
	pthread_join(thread, NULL);
}

/* ---- -t and -p ---- */

static void lists_of_topics_and_partitions_add_up(void **state)
{
	struct plan_options o = { 0 };

	assert_int_equal(plan_add_topics(&o, "TX,,^A.*"), 0);
	assert_int_equal(plan_add_topics(&o, ""), 0);
	assert_int_equal(plan_add_topics(&o, "B,"), 0);
	assert_int_equal(o.topics, 3);
	assert_string_equal(o.topic[0], "TX");
	assert_string_equal(o.topic[1], "^A.*");
	assert_string_equal(o.topic[2], "B");
	assert_int_equal(plan_add_partitions(&o, "7"), 0);
	assert_int_equal(plan_add_partitions(&o, "0,1000000"), 0);
	assert_int_equal(o.partitions, 3);
	assert_int_equal(o.partition[0], 7);
	assert_int_equal(o.partition[1], 0);
	assert_int_equal(o.partition[2], 1000000);
	plan_options_release(&o);
	assert_int_equal(o.topics + o.partitions, 0);
}

static void a_list_with_something_else_than_a_partition_is_refused(void **state)
{
	static const char *const bad[] = { "x", "-1", "1,,2", "1,x", "1000001", " " };

	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		struct plan_options o = { 0 };

		assert_int_equal(plan_add_partitions(&o, bad[i]), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
		plan_options_release(&o);
	}
}

/* ---- where to start ---- */

static void expect_start(const char *arg, enum start_kind kind, int64_t n)
{
	struct plan_start s = { 0 };

	assert_int_equal(plan_start_parse(&s, arg), 0);
	assert_int_equal(s.kind, kind);
	assert_int_equal(s.n, n);
	assert_false(s.has_stop);
}

static void starts_are_parsed(void **state)
{
	static const char *const bad[] = { "", "x", "s@", "s@x", "e@", "1x", "--1", "stored",
		"9223372036854775808", "s@-1", "@1" };
	struct plan_start s = { 0 };

	expect_start("beginning", START_BEGINNING, 0);
	expect_start("end", START_END, 0);
	expect_start("0", START_OFFSET, 0);
	expect_start("9223372036854775807", START_OFFSET, INT64_MAX);
	expect_start("-10", START_TAIL, 10);
	expect_start("s@0", START_TIME, 0);
	expect_start("s@1795234200123", START_TIME, 1795234200123);
	expect_start("s@2026-11-21T04:10:00.123Z", START_TIME, 1795234200123);
	assert_int_equal(plan_start_parse(&s, "-5"), 0);
	assert_int_equal(plan_start_parse(&s, "e@1970-01-01T00:00:01Z"), 0);
	assert_int_equal(s.kind, START_TAIL);
	assert_true(s.has_stop);
	assert_int_equal(s.stop_ms, 1000);
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(plan_start_parse(&s, bad[i]), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
}

static void each_kind_of_start_is_an_absolute_offset(void **state)
{
	static const struct {
		enum start_kind kind;
		int64_t n, start;
	} cases[] = {
		{ START_BEGINNING, 0, 0 },
		{ START_END, 0, 10 },
		{ START_OFFSET, 0, 0 },
		{ START_OFFSET, 4, 4 },
		{ START_OFFSET, 10, 10 },
		{ START_TAIL, 3, 7 },
		{ START_TAIL, 10, 0 },
		{ START_TAIL, 11, 0 },
		{ START_TAIL, INT64_MAX, 0 },
	};

	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	for (size_t i = 0; i < OPT_COUNT(cases); i++) {
		start_at(cases[i].kind, cases[i].n);
		make_ok();
		expect_partition(0, "T", 0, cases[i].start, 10);
	}
}

static void an_offset_beyond_the_end_is_bad_data(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	start_at(START_OFFSET, 11);
	expect_failure(EXIT_DATA, "T/0: offset 11 is beyond the end of the log, 10");
}

static void a_log_that_starts_above_0_is_begun_there(void **state)
{
	int64_t low, end;

	mock_topic("T", 1);
	end = mock_overflow("T", 0);
	make_ok();
	low = plan.partition[0].start;
	assert_in_range(low, 1, end - 1);
	start_at(START_TAIL, end);
	make_ok();
	expect_partition(0, "T", 0, low, end);
	start_at(START_OFFSET, low);
	make_ok();
	expect_partition(0, "T", 0, low, end);
	start_at(START_OFFSET, low - 1);
	expect_failure(EXIT_DATA, " is gone: the log starts at ");
}

/* All that the mock can say of a time: that no record is so late. */
static void a_time_after_the_last_record_is_the_end(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	start_at(START_TIME, INT64_C(4000000000000));
	make_ok();
	expect_partition(0, "T", 0, 10, 10);
	start_at(START_OFFSET, 4);
	options.start.has_stop = true;
	options.start.stop_ms = INT64_C(4000000000000);
	options.pin = false; /* a stop pins it too */
	make_ok();
	expect_partition(0, "T", 0, 4, 10);
}

/* ---- where a sink stands ---- */

static void a_sink_is_resumed_where_it_stands(void **state)
{
	mock_topic("T", 4);
	for (int32_t id = 0; id < 4; id++)
		mock_fill("T", id, 0, 10);
	stands("T", 0, 4, 3, MOCK_TS + 3);
	stands("T", 1, 10, 9, MOCK_TS + 9);
	stands("T", 2, 7, -1, 0);
	stands("other", 3, 7, -1, 0); /* T/3 is new to it */
	make_ok();
	expect_partition(0, "T", 0, 4, 10);
	expect_partition(1, "T", 1, 10, 10);
	expect_partition(2, "T", 2, 7, 10);
	expect_partition(3, "T", 3, 0, 10);
}

static void a_sink_beyond_the_end_means_a_recreated_topic(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 1, 0, 10);
	stands("T", 1, 11, -1, 0);
	expect_failure(EXIT_DATA, "T/1: the sink's position 11 is beyond the end of the log, 10");
}

static void records_lost_before_a_sink_had_them_are_counted(void **state)
{
	char lost[100];
	int64_t low, end;

	mock_topic("T", 1);
	end = mock_overflow("T", 0);
	make_ok();
	low = plan.partition[0].start;
	assert_true(low > 0);
	stands("T", 0, 0, -1, 0);
	snprintf(lost, sizeof(lost), "the log starts at %d: %d offsets were deleted", (int)low,
	    (int)low);
	expect_failure(EXIT_DATA, lost);
	options.skip_lost = true;
	make_ok();
	expect_partition(0, "T", 0, low, end);
}

static void a_last_record_of_another_time_means_a_recreated_topic(void **state)
{
	mock_topic("T", 3);
	for (int32_t id = 0; id < 3; id++)
		mock_fill("T", id, 0, 10);
	stands("T", 0, 4, 3, MOCK_TS + 3);
	stands("T", 2, 10, 9, MOCK_TS + 8); /* idle, and checked all the same */
	expect_failure(EXIT_DATA,
	    "T/2: the record at offset 9 has the time 1763697600009, "
	    "the one that the sink stored had 1763697600008");
}

static void a_last_record_that_is_gone_or_has_no_time_is_not_checked(void **state)
{
	int64_t end;

	mock_topic("T", 2);
	end = mock_overflow("T", 0);
	mock_fill("T", 1, 0, 10);
	stands("T", 0, end, 0, 1); /* another time, but deleted */
	stands("T", 1, 4, 3, -1);
	make_ok();
	expect_partition(0, "T", 0, end, end);
	expect_partition(1, "T", 1, 4, 10);
}

/* ---- trouble ---- */

static void errors_that_pass_are_waited_for(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 10);
	stands("T", 0, 4, 3, MOCK_TS + 3);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 2);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 1);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
	make_ok();
	expect_partition(0, "T", 0, 4, 10);
}

static void a_topic_that_may_not_be_seen_is_a_matter_of_rights(void **state)
{
	int64_t begun = clock_mono_ms();

	mock_topic("T", 1);
	rd_kafka_mock_topic_set_error(mock, "T", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	expect_failure(EXIT_PERM, "T: ");
	assert_true(clock_mono_ms() - begun < TIMEOUT_MS / 2); /* it will not pass: no wait */
}

static void offsets_that_may_not_be_asked_for_are_a_matter_of_rights(void **state)
{
	mock_topic("T", 1);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 20);
	expect_failure(EXIT_PERM, "T/0: offsets: Broker: Topic authorization failed");
}

/* Of all requests the nth is refused: of the probe, for the end, for the start of the log, for a time. */
static void each_question_for_offsets_may_be_refused(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	start_at(START_TIME, MOCK_TS);
	options.start.has_stop = true;
	options.start.stop_ms = MOCK_TS + 5;
	for (size_t good = 0; good < 5; good++) {
		mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_NO_ERROR, good);
		mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
		expect_failure(EXIT_PERM, "T/0: offsets: ");
	}
	make_ok();
}

static void of_several_topics_the_one_without_rights_is_named(void **state)
{
	mock_topic("T", 1);
	mock_topic("U", 1);
	topic[1] = "U";
	options.topics = 2;
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_NO_ERROR, 1); /* of T */
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	expect_failure(EXIT_PERM, "U/0: offsets: ");
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	make_ok(); /* nobody repeats it: it has passed */
}

static void a_last_record_that_may_not_be_read_is_a_matter_of_rights(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	stands("T", 0, 4, 3, MOCK_TS + 3);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 20);
	expect_failure(EXIT_PERM, "T/0: offset 3: ");
}

static void a_last_record_is_waited_for_but_not_for_ever(void **state)
{
	int64_t begun;

	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	stands("T", 0, 4, 3, MOCK_TS + 3);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 1000);
	options.timeout_ms = 1000;
	begun = clock_mono_ms();
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 900, 5000);
}

static void a_broker_that_is_down_is_given_up_in_time(void **state)
{
	int64_t begun;

	mock_topic("T", 1);
	rd_kafka_mock_broker_set_down(mock, 1);
	options.timeout_ms = 300;
	begun = clock_mono_ms();
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 200, 3000);
	topic[0] = "^T";
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
}

static void offsets_that_never_come_are_given_up_in_time(void **state)
{
	int64_t begun;

	mock_topic("T", 1);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, 100);
	options.timeout_ms = 300;
	begun = clock_mono_ms();
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 200, 3000);
}

static void a_partition_without_a_leader_is_given_up_in_time(void **state)
{
	int64_t begun;

	mock_topic("T", 2);
	rd_kafka_mock_partition_set_leader(mock, "T", 1, -1);
	options.timeout_ms = 1000;
	begun = clock_mono_ms();
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 800, 5000);
}

/* What librdkafka says when a starved broker has lost the leaders that it named before: no word of the broker's. */
static void a_partition_that_the_client_cannot_find_is_not_said_to_be_missing(void **state)
{
	mock_topic("T", 2);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, 1);
	make_ok();
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, 1000);
	options.timeout_ms = 1000;
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
}

/* ---- the plan in use ---- */

static void the_open_partitions_are_those_with_something_to_read(void **state)
{
	rd_kafka_topic_partition_list_t *list;

	mock_topic("T", 3);
	mock_fill("T", 1, 0, 1);
	make_ok();
	list = plan_list(&plan, true, 5);
	assert_int_equal(list->cnt, 1);
	assert_int_equal(list->elems[0].partition, 1);
	assert_int_equal(list->elems[0].offset, 5);
	rd_kafka_topic_partition_list_destroy(list);
	list = plan_list(&plan, false, 5);
	assert_int_equal(list->cnt, 3);
	rd_kafka_topic_partition_list_destroy(list);
}

static void a_message_finds_its_partition(void **state)
{
	static const int32_t ids[] = { 1 };
	rd_kafka_message_t m = { .partition = 1 };

	mock_topic("T", 3);
	options.partition = ids;
	options.partitions = 1;
	make_ok();
	assert_null(plan_partition_of(&m)); /* an event of no topic */
	m.rkt = plan.partition[0].rkt;
	assert_ptr_equal(plan_partition_of(&m), &plan.partition[0]);
	m.partition = 2; /* not read */
	assert_null(plan_partition_of(&m));
	m.partition = 3; /* added since */
	assert_null(plan_partition_of(&m));
	m.partition = RD_KAFKA_PARTITION_UA;
	assert_null(plan_partition_of(&m));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_partitions_are_read_from_their_start_to_where_they_end_now),
		TEST(without_a_pin_there_is_no_end),
		TEST(only_the_partitions_asked_for_are_read_in_their_order),
		TEST(a_partition_that_is_not_there_is_named),
		TEST(topics_come_by_name_and_each_once),
		TEST(kafkas_own_topics_are_read_only_by_name),
		TEST(a_pattern_that_is_none_is_a_usage_error),
		TEST(a_name_that_no_topic_can_have_is_a_mistake),
		TEST(a_topic_that_is_not_there_is_named),
		TEST(a_topic_that_is_just_being_made_is_waited_for),
		cmocka_unit_test(lists_of_topics_and_partitions_add_up),
		cmocka_unit_test(a_list_with_something_else_than_a_partition_is_refused),
		cmocka_unit_test(starts_are_parsed),
		TEST(each_kind_of_start_is_an_absolute_offset),
		TEST(an_offset_beyond_the_end_is_bad_data),
		TEST(a_log_that_starts_above_0_is_begun_there),
		TEST(a_time_after_the_last_record_is_the_end),
		TEST(a_sink_is_resumed_where_it_stands),
		TEST(a_sink_beyond_the_end_means_a_recreated_topic),
		TEST(records_lost_before_a_sink_had_them_are_counted),
		TEST(a_last_record_of_another_time_means_a_recreated_topic),
		TEST(a_last_record_that_is_gone_or_has_no_time_is_not_checked),
		TEST(errors_that_pass_are_waited_for),
		TEST(a_topic_that_may_not_be_seen_is_a_matter_of_rights),
		TEST(offsets_that_may_not_be_asked_for_are_a_matter_of_rights),
		TEST(each_question_for_offsets_may_be_refused),
		TEST(of_several_topics_the_one_without_rights_is_named),
		TEST(a_last_record_that_may_not_be_read_is_a_matter_of_rights),
		TEST(a_last_record_is_waited_for_but_not_for_ever),
		TEST(a_broker_that_is_down_is_given_up_in_time),
		TEST(offsets_that_never_come_are_given_up_in_time),
		TEST(a_partition_that_the_client_cannot_find_is_not_said_to_be_missing),
		TEST(a_partition_without_a_leader_is_given_up_in_time),
		TEST(the_open_partitions_are_those_with_something_to_read),
		TEST(a_message_finds_its_partition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
