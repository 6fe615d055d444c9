/*
 * consumer: each record once and in order, to the pinned end, through trouble; against librdkafka's mock
 * brokers inside this process. The library's headers first: cmocka.h has a macro named fail.
 */
#include "consumer.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "mock.h"

#define TIMEOUT_MS 10000
#define PARTITIONS 4

static const char *topic[] = { "T" };
static struct plan_options options;
static struct consumer *consumer;
static int64_t last[PARTITIONS]; /* of the offsets delivered; -1: none */
static int records, reached, idle;

static int set_up(void **state)
{
	mock_open(1);
	log_level(true, false);
	options = (struct plan_options){ .topic = topic, .topics = 1, .pin = true, .timeout_ms = TIMEOUT_MS };
	consumer = NULL;
	for (int i = 0; i < PARTITIONS; i++)
		last[i] = -1;
	records = reached = idle = 0;
	return 0;
}

static int tear_down(void **state)
{
	if (consumer)
		consumer_close(consumer);
	mock_close();
	return 0;
}

static void open_ok(void)
{
	consumer = consumer_open(&config, &options);
	if (!consumer)
		fail_msg("%s", fail_message());
}

static void expect_no_open(enum exit_code code, const char *why)
{
	consumer = consumer_open(&config, &options);
	assert_null(consumer);
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
	assert_int_equal(fail_code(), code);
}

/* A record is the next of its partition, and says its own offset. */
static void take(const struct consumer_event *e)
{
	const rd_kafka_message_t *m = e->message;
	char text[12];

	assert_in_range(m->partition, 0, PARTITIONS - 1);
	assert_int_equal(e->partition->id, m->partition);
	if (last[m->partition] >= 0)
		assert_int_equal(m->offset, last[m->partition] + 1);
	else
		assert_int_equal(m->offset, e->partition->start);
	assert_int_equal(e->partition->next, m->offset + 1);
	assert_int_equal(m->len, snprintf(text, sizeof(text), "%d", (int)m->offset));
	assert_memory_equal(m->payload, text, m->len);
	last[m->partition] = m->offset;
	records++;
}

/* Until something else than a record, an end or idleness comes, or there are `max` records. */
static enum consumer_result run(int max)
{
	int64_t give_up = clock_mono_ms() + 2 * TIMEOUT_MS;
	enum consumer_result r;
	struct consumer_event e;

	while (clock_mono_ms() < give_up) {
		r = consumer_next(consumer, &e);
		if (r == CONSUMER_RECORD)
			take(&e);
		else if (r == CONSUMER_REACHED)
			reached++;
		else if (r == CONSUMER_IDLE)
			idle++;
		else
			return r;
		if (r == CONSUMER_RECORD && records == max)
			return r;
	}
	fail_msg("no end in sight: %d records", records);
	return CONSUMER_FAIL;
}

static void expect_done(int want)
{
	if (run(-1) != CONSUMER_DONE)
		fail_msg("%s", fail_message());
	assert_int_equal(records, want);
}

static void expect_failure(enum exit_code code, const char *why)
{
	assert_int_equal(run(-1), CONSUMER_FAIL);
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
	assert_int_equal(fail_code(), code);
}

/* Until the end of the log has been told and nothing else is to come. */
static void run_to_the_end_of_the_log(void)
{
	struct consumer_event e;
	enum consumer_result r;

	while ((r = consumer_next(consumer, &e)) != CONSUMER_IDLE || !reached) {
		assert_int_not_equal(r, CONSUMER_FAIL);
		if (r == CONSUMER_RECORD)
			take(&e);
		else if (r == CONSUMER_REACHED)
			reached++;
	}
}

/* ---- to the pinned end ---- */

static void every_record_is_delivered_once_and_in_order(void **state)
{
	mock_topic("T", 3);
	mock_fill("T", 0, 0, 3000);
	mock_fill("T", 2, 0, 1500);
	open_ok();
	assert_int_equal(consumer_partitions(consumer), 3);
	assert_int_equal(consumer_total(consumer), 4500);
	assert_int_equal(consumer_passed(consumer), 0);
	expect_done(4500);
	assert_int_equal(last[0], 2999);
	assert_int_equal(last[2], 1499);
	assert_int_equal(consumer_passed(consumer), 4500);
	expect_done(4500); /* and stays so */
}

static void what_arrives_after_the_pin_is_left(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 10);
	mock_fill("T", 1, 0, 10);
	open_ok();
	mock_fill("T", 0, 10, 500);
	mock_fill("T", 1, 10, 500);
	expect_done(20);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(consumer_partition(consumer, i)->next, 10);
		assert_true(consumer_partition(consumer, i)->done);
	}
}

static void an_empty_topic_is_done_at_once(void **state)
{
	mock_topic("T", 4);
	open_ok();
	expect_done(0);
	assert_int_equal(idle, 0);
	assert_int_equal(consumer_total(consumer), 0);
}

static void a_start_within_a_batch_begins_at_its_offset(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 100);
	options.start = (struct plan_start){ .kind = START_OFFSET, .n = 37 };
	open_ok();
	assert_int_equal(consumer_total(consumer), 63);
	expect_done(63);
}

static void large_records_come_through_as_small_ones(void **state)
{
	struct consumer_event e;
	enum consumer_result r;
	int got = 0;

	mock_topic("T", 1);
	mock_overflow("T", 0);
	open_ok();
	while ((r = consumer_next(consumer, &e)) != CONSUMER_DONE) {
		assert_int_not_equal(r, CONSUMER_FAIL);
		if (r != CONSUMER_RECORD)
			continue;
		assert_int_equal(e.message->len, 1000000);
		got++;
	}
	assert_int_equal(got, consumer_total(consumer));
	assert_true(got > 0);
}

static void a_run_that_is_closed_early_leaves_nothing_behind(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 3000);
	mock_fill("T", 1, 0, 3000);
	open_ok();
	assert_int_equal(run(3), CONSUMER_RECORD); /* the sanitizer build counts what is left */
	assert_int_equal(consumer_passed(consumer), 3);
}

/* ---- without a pin ---- */

static void without_a_pin_the_end_of_the_log_is_told_and_waited_at(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 5);
	options.pin = false;
	open_ok();
	assert_int_equal(consumer_total(consumer), 0);
	run_to_the_end_of_the_log();
	assert_int_equal(records, 5);
	assert_int_equal(consumer_partition(consumer, 0)->next, 5);
	assert_false(consumer_partition(consumer, 0)->done);
	mock_fill("T", 0, 5, 8);
	assert_int_equal(run(8), CONSUMER_RECORD);
	assert_int_equal(last[0], 7);
}

/* ---- trouble ---- */

static void errors_that_pass_lose_and_repeat_nothing(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 500);
	mock_fill("T", 1, 0, 500);
	open_ok();
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR__TRANSPORT, 1);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 1);
	expect_done(1000);
}

static void a_broker_that_comes_back_loses_and_repeats_nothing(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	options.pin = false;
	open_ok();
	run_to_the_end_of_the_log();
	rd_kafka_mock_broker_set_down(mock, 1);
	for (struct consumer_event e; idle < 3; idle++)
		assert_int_equal(consumer_next(consumer, &e), CONSUMER_IDLE);
	rd_kafka_mock_broker_set_up(mock, 1);
	mock_fill("T", 0, 10, 20);
	assert_int_equal(run(20), CONSUMER_RECORD);
	assert_int_equal(last[0], 19);
}

/* Those that librdkafka handles by itself are above; of this kind it tells us. */
static void errors_that_librdkafka_tells_of_pass_too(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 500);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 3);
	open_ok();
	expect_done(500);
	assert_true(idle > 0);
}

/* What compaction or a transaction marker has left of the log ends below the pinned end. */
static void a_record_behind_the_end_ends_the_partition_and_is_left(void **state)
{
	struct plan_partition *p;

	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	options.start = (struct plan_start){ .kind = START_OFFSET, .n = 5 };
	open_ok();
	p = consumer_partition(consumer, 0);
	p->next = 0; /* as if offsets 0 to 4 had gone since the plan was made */
	p->end = 3;
	expect_done(0);
	assert_int_equal(reached, 1);
	assert_int_equal(p->next, 3);
}

static void a_log_that_ends_below_what_was_promised_is_bad_data(void **state)
{
	mock_topic("T", 2);
	mock_fill("T", 0, 0, 10);
	mock_fill("T", 1, 0, 10);
	options.timeout_ms = 400;
	open_ok();
	consumer_partition(consumer, 1)->end = 15; /* as if the log had been longer then */
	expect_failure(EXIT_DATA,
	    "T/1: the log ends at 10, below 15: the topic was truncated or recreated while it was read");
	assert_int_equal(records, 20);
}

static void a_topic_that_may_not_be_read_is_a_matter_of_rights(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 20);
	open_ok();
	expect_failure(EXIT_PERM, "T/0: offset 0: ");
	assert_int_equal(records, 0);
}

static void an_offset_that_is_gone_is_bad_data_and_no_jump(void **state)
{
	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	mock_errors(MOCK_FETCH, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, 20);
	open_ok();
	expect_failure(EXIT_DATA, "T/0: offset 0: ");
	assert_int_equal(records, 0);
}

static void rights_that_go_while_we_wait_are_noticed(void **state)
{
	mock_topic("T", 1);
	options.pin = false;
	options.timeout_ms = 400;
	open_ok();
	run_to_the_end_of_the_log();
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 20);
	expect_failure(EXIT_PERM, "T/0: Broker: Topic authorization failed");
}

static void a_topic_that_is_deleted_while_we_wait_is_named_in_time(void **state)
{
	int64_t begun;

	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	options.pin = false;
	options.timeout_ms = 400;
	open_ok();
	run_to_the_end_of_the_log();
	rd_kafka_mock_topic_set_error(mock, "T", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 1000);
	begun = clock_mono_ms();
	expect_failure(EXIT_CONFIG, "T/0: no longer there: was the topic deleted?");
	assert_in_range(clock_mono_ms() - begun, 200, 3000);
	assert_int_equal(records, 10);
}

/* The answer is one for all that were asked for; which one it is about is found out. */
static void of_several_partitions_the_one_without_rights_is_named(void **state)
{
	mock_topic("T", 3);
	options.pin = false;
	options.timeout_ms = 400;
	open_ok();
	run_to_the_end_of_the_log();
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_NO_ERROR, 1); /* of T/0 */
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	expect_failure(EXIT_PERM, "T/1: Broker: Topic authorization failed");
}

static void an_error_that_nobody_repeats_has_passed(void **state)
{
	struct consumer_event e;
	int64_t begun;

	mock_topic("T", 2);
	options.pin = false;
	options.timeout_ms = 200;
	open_ok();
	run_to_the_end_of_the_log();
	mock_errors(MOCK_LIST_OFFSETS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
	begun = clock_mono_ms();
	while (clock_mono_ms() - begun < 600)
		assert_int_not_equal(consumer_next(consumer, &e), CONSUMER_FAIL);
}

static void a_broker_that_stays_away_is_given_up_in_time(void **state)
{
	int64_t begun;

	mock_topic("T", 1);
	mock_fill("T", 0, 0, 10);
	options.pin = false;
	options.timeout_ms = 500;
	open_ok();
	run_to_the_end_of_the_log();
	rd_kafka_mock_broker_set_down(mock, 1);
	begun = clock_mono_ms();
	expect_failure(EXIT_UNAVAILABLE, "no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 300, 3000);
	assert_int_equal(records, 10);
}

static void a_broker_that_was_never_there_is_given_up_in_time(void **state)
{
	int64_t begun = clock_mono_ms();

	kafka_config_release(&config);
	mock_config("127.0.0.1:1");
	options.timeout_ms = 300;
	expect_no_open(EXIT_UNAVAILABLE, "127.0.0.1:1: no answer from Kafka in time");
	assert_in_range(clock_mono_ms() - begun, 200, 3000);
}

static void silence_of_a_broker_that_answers_is_no_failure(void **state)
{
	int64_t begun = clock_mono_ms();
	struct consumer_event e;

	mock_topic("T", 1);
	options.pin = false;
	options.timeout_ms = 200;
	open_ok();
	while (clock_mono_ms() - begun < 600)
		assert_int_not_equal(consumer_next(consumer, &e), CONSUMER_FAIL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_record_is_delivered_once_and_in_order),
		TEST(what_arrives_after_the_pin_is_left),
		TEST(an_empty_topic_is_done_at_once),
		TEST(a_start_within_a_batch_begins_at_its_offset),
		TEST(large_records_come_through_as_small_ones),
		TEST(a_run_that_is_closed_early_leaves_nothing_behind),
		TEST(without_a_pin_the_end_of_the_log_is_told_and_waited_at),
		TEST(errors_that_pass_lose_and_repeat_nothing),
		TEST(errors_that_librdkafka_tells_of_pass_too),
		TEST(a_record_behind_the_end_ends_the_partition_and_is_left),
		TEST(a_log_that_ends_below_what_was_promised_is_bad_data),
		TEST(a_broker_that_comes_back_loses_and_repeats_nothing),
		TEST(a_topic_that_may_not_be_read_is_a_matter_of_rights),
		TEST(an_offset_that_is_gone_is_bad_data_and_no_jump),
		TEST(rights_that_go_while_we_wait_are_noticed),
		TEST(of_several_partitions_the_one_without_rights_is_named),
		TEST(an_error_that_nobody_repeats_has_passed),
		TEST(a_topic_that_is_deleted_while_we_wait_is_named_in_time),
		TEST(a_broker_that_stays_away_is_given_up_in_time),
		TEST(a_broker_that_was_never_there_is_given_up_in_time),
		TEST(silence_of_a_broker_that_answers_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
