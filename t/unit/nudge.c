/*
 * nudge: when the brokers are asked. The mock counts for us: each request takes one answer off a
 * stack of answers that are no errors. The library's headers first: cmocka.h has a macro named fail.
 */
#include "nudge.h"
#include "clock.h"
#include "kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "child.h"
#include "mock.h"

#define ANSWERS  50
#define QUIET_MS 150 /* in which a nudge would have come */

static struct kafka kafka;
static struct nudge *nudge;

static int set_up(void **state)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	mock_open(1);
	mock_topic("T", 1);
	assert_int_equal(kafka_open(&kafka, &config, RD_KAFKA_CONSUMER, NULL, 0), 0);
	for (int i = 0; i < ANSWERS; i++)
		rd_kafka_mock_broker_push_request_error_rtts(mock, 1, MOCK_LIST_OFFSETS, 1,
		    RD_KAFKA_RESP_ERR_NO_ERROR, 0);
	rd_kafka_topic_partition_list_add(list, "T", 0);
	nudge = nudge_open(kafka.rk, list);
	rd_kafka_topic_partition_list_destroy(list); /* it has its own */
	assert_non_null(nudge);
	return 0;
}

static int tear_down(void **state)
{
	nudge_close(nudge);
	kafka_close(&kafka);
	mock_close();
	return 0;
}

static int asked(void)
{
	size_t left;

	assert_int_equal(rd_kafka_mock_broker_error_stack_cnt(mock, 1, MOCK_LIST_OFFSETS, &left), 0);
	return ANSWERS - (int)left;
}

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void expect_asked(int times)
{
	int64_t give_up = clock_mono_ms() + 5000;

	while (asked() < times && clock_mono_ms() < give_up)
		pause_ms(5);
	assert_int_equal(asked(), times);
}

static void expect_quiet(int times)
{
	pause_ms(QUIET_MS);
	assert_int_equal(asked(), times);
}

static void a_queue_that_falls_below_half_wakes_the_brokers(void **state)
{
	nudge_queued(nudge, 1000);
	nudge_queued(nudge, 499);
	expect_asked(1);
}

static void each_time_that_it_has_been_filled_anew(void **state)
{
	for (int i = 1; i <= 3; i++) {
		nudge_queued(nudge, 1000);
		nudge_queued(nudge, 100);
		expect_asked(i);
		pause_ms(50); /* no two within 20 ms, and the one before must be over */
	}
}

static void a_queue_that_stays_above_half_is_left_alone(void **state)
{
	nudge_queued(nudge, 1000);
	nudge_queued(nudge, 500);
	nudge_queued(nudge, 999);
	expect_quiet(0);
}

static void a_queue_that_was_never_full_is_left_alone(void **state)
{
	nudge_queued(nudge, 15);
	nudge_queued(nudge, 0);
	nudge_queued(nudge, 0);
	expect_quiet(0);
}

static void half_is_of_what_was_queued_since_the_last_nudge(void **state)
{
	nudge_queued(nudge, 1000);
	nudge_queued(nudge, 100);
	expect_asked(1);
	pause_ms(50);
	nudge_queued(nudge, 60);
	expect_quiet(1);
	nudge_queued(nudge, 49);
	expect_asked(2);
}

static void it_ends_while_a_broker_is_silent(void **state)
{
	int64_t begun;

	rd_kafka_mock_broker_set_down(mock, 1);
	nudge_queued(nudge, 1000);
	nudge_queued(nudge, 0);
	pause_ms(20);
	begun = clock_mono_ms();
	nudge_close(nudge);
	nudge = NULL; /* and one that could not be opened does no harm */
	nudge_queued(nudge, 1000);
	assert_true(clock_mono_ms() - begun < 3000);
}

static int open_without_threads(void)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	no_more_threads();
	return nudge_open(NULL, list) ? 1 : 0;
}

static void without_a_thread_there_is_none_and_that_is_fine(void **state)
{
	assert_int_equal(in_child(open_without_threads), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_queue_that_falls_below_half_wakes_the_brokers),
		TEST(each_time_that_it_has_been_filled_anew),
		TEST(a_queue_that_stays_above_half_is_left_alone),
		TEST(a_queue_that_was_never_full_is_left_alone),
		TEST(half_is_of_what_was_queued_since_the_last_nudge),
		TEST(it_ends_while_a_broker_is_silent),
		cmocka_unit_test(without_a_thread_there_is_none_and_that_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
