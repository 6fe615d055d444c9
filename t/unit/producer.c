/* Against librdkafka's mock brokers inside this process. cmocka.h last: it has a macro named fail. */
#include "producer.h"
#include "buf.h"
#include "clock.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>

#define MOCK "test.mock.num.brokers=1"

static struct kafka_config config;
static struct producer *p;

static struct message message(const char *topic, int32_t partition, const char *text, uint64_t tag)
{
	return (struct message){ .topic = { topic, strlen(topic) },
		.partition = partition,
		.has_payload = true,
		.payload = { text, strlen(text) },
		.ts = INT64_C(1763697600123),
		.tag = tag };
}

/* more: another setting, or NULL. The result is producer_open's. */
static int open_with(const char *set, const char *more, int64_t timeout_ms)
{
	config = (struct kafka_config)KAFKA_CONFIG_INIT;
	kafka_config_set(&config, set);
	if (more)
		kafka_config_set(&config, more);
	assert_int_equal(kafka_config_load(&config), 0);
	p = calloc(1, sizeof(*p));
	p->timeout_ms = timeout_ms;
	return producer_open(p, &config, NULL, 0);
}

static int close_all(void **state)
{
	producer_close(p);
	free(p);
	kafka_config_release(&config);
	return 0;
}

static void all_that_was_sent_is_acknowledged_and_its_place_told(void **state)
{
	struct buf marks = BUF_INIT;

	assert_int_equal(open_with(MOCK, NULL, 10000), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		struct message m = message(i % 4 ? "A" : "B", i % 2, "{}", i);

		assert_int_equal(producer_send(p, &m), 0);
	}
	assert_int_equal(producer_flush(p), 0);
	assert_int_equal(p->acknowledged, 1000);
	assert_int_equal(producer_pending(p), 0);
	assert_int_equal(p->in_flight, 0);
	producer_marks(p, &marks);
	buf_cstr(&marks);
	assert_non_null(strstr(marks.data, "\"topic\":\"A\",\"partition\":1,\"offset\":500,"));
	assert_non_null(strstr(marks.data, "\"topic\":\"A\",\"partition\":0,\"offset\":250,"));
	assert_non_null(strstr(marks.data, "\"topic\":\"B\",\"partition\":0,\"offset\":250,"));
	assert_null(strstr(marks.data, "\"topic\":\"B\",\"partition\":1"));
	buf_clear(&marks);
	producer_marks(p, &marks);
	assert_int_equal(marks.len, 0);
	buf_release(&marks);
}

static void a_partition_that_is_not_there_names_its_message(void **state)
{
	struct message good = message("A", 0, "{}", 7), bad = message("A", 99, "{}", 8);

	assert_int_equal(open_with(MOCK, NULL, 10000), 0);
	assert_int_equal(producer_send(p, &good), 0);
	producer_send(p, &bad);
	assert_int_equal(producer_flush(p), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
	assert_non_null(strstr(fail_message(), "topic A partition 99"));
	assert_int_equal(p->failed_tag, 8);
	assert_int_equal(p->acknowledged, 1);
}

static void a_message_over_the_limit_is_bad_data(void **state)
{
	static char large[5000];
	struct message m;

	memset(large, 'x', sizeof(large) - 1);
	assert_int_equal(open_with(MOCK, "message.max.bytes=2000", 10000), 0);
	m = message("A", 0, large, 3);
	assert_int_equal(producer_send(p, &m), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_int_equal(p->failed_tag, 3);
	assert_int_equal(producer_flush(p), -1);
}

/* Bytes under way are bounded: a slow broker makes the sender wait, and nothing is lost. */
static void a_slow_broker_makes_the_sender_wait(void **state)
{
	enum { SIZE = 1900000, COUNT = 100 };
	char *large = calloc(1, SIZE);
	struct message m = message("A", 0, "", 1);
	size_t most = 0;

	memset(large, 'x', SIZE);
	m.payload = (struct span){ large, SIZE };
	assert_int_equal(open_with(MOCK, "message.max.bytes=2000000", 20000), 0);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(producer_send(p, &m), 0);
		if (p->in_flight > most)
			most = p->in_flight;
	}
	assert_in_range(most, 10 * SIZE, 128 << 20);
	assert_int_equal(producer_flush(p), 0);
	assert_int_equal(p->acknowledged, COUNT);
	free(large);
}

static void a_full_queue_makes_the_sender_wait(void **state)
{
	struct message m = message("A", 0, "{}", 1);

	assert_int_equal(open_with(MOCK, "queue.buffering.max.messages=10", 10000), 0);
	for (int i = 0; i < 500; i++)
		assert_int_equal(producer_send(p, &m), 0);
	assert_int_equal(producer_flush(p), 0);
	assert_int_equal(p->acknowledged, 500);
}

static rd_kafka_mock_cluster_t *cluster(void)
{
	return rd_kafka_handle_mock_cluster(p->kafka.rk);
}

/* However it waits: for an answer, for bytes under way, for a place in the queue. */
static void who_waits_for_a_broker_that_went_gives_up_in_time(void **state)
{
	static const char *const set[] = { NULL, "queue.buffering.max.messages=10",
		"message.max.bytes=2000000" };
	enum { SIZE = 900000 };
	char *large = calloc(1, SIZE);
	int64_t begun;

	for (size_t i = 0; i < 3; i++) {
		struct message m = message("A", 0, "{}", 1);
		int sent = 0;

		if (i > 0)
			close_all(state);
		assert_int_equal(open_with(MOCK, set[i], 500), 0);
		assert_int_equal(producer_send(p, &m), 0);
		assert_int_equal(producer_flush(p), 0);
		rd_kafka_mock_broker_set_down(cluster(), 1);
		if (i == 2)
			m.payload = (struct span){ large, SIZE };
		begun = clock_mono_ms();
		while (sent++ < 1000 && producer_send(p, &m) == 0 && i > 0)
			;
		assert_int_equal(producer_flush(p), -1);
		assert_int_equal(fail_code(), EXIT_UNAVAILABLE);
		assert_non_null(strstr(fail_message(), " records without acknowledgement: "));
		assert_in_range(clock_mono_ms() - begun, 400, 5000);
		assert_true(sent < 1000);
	}
	free(large);
}

/* No topic can have the name; the second failure leaves the first one's words. Headers go with their message. */
static void the_first_refusal_counts(void **state)
{
	char name[600];
	struct message m = message("A", 0, "{}", 3);

	memset(name, 'x', sizeof(name));
	assert_int_equal(open_with(MOCK, NULL, 10000), 0);
	m.topic = (struct span){ name, sizeof(name) };
	m.headers = rd_kafka_headers_new(1);
	assert_int_equal(producer_send(p, &m), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
	assert_null(m.headers);
	assert_int_equal(p->failed_tag, 3);
	m = message("A", 0, "{}", 4);
	m.topic = (struct span){ name, sizeof(name) };
	assert_int_equal(producer_send(p, &m), -1);
	assert_int_equal(p->failed_tag, 3);
	assert_int_equal(p->failed, 2);
}

static void nobody_there_is_noticed_in_time(void **state)
{
	int64_t start = clock_mono_ms();

	assert_int_equal(open_with("bootstrap.servers=127.0.0.1:1", NULL, 300), -1);
	assert_int_equal(fail_code(), EXIT_UNAVAILABLE);
	assert_in_range(clock_mono_ms() - start, 200, 3000);
}

static void idempotence_cannot_be_switched_off(void **state)
{
	char value[100];
	size_t n = sizeof(value);

	assert_int_equal(open_with(MOCK, "enable.idempotence=false", 10000), 0);
	assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(p->kafka.rk), "enable.idempotence", value, &n),
	    0);
	assert_string_equal(value, "true");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, close_all)
	const struct CMUnitTest tests[] = {
		TEST(all_that_was_sent_is_acknowledged_and_its_place_told),
		TEST(a_partition_that_is_not_there_names_its_message),
		TEST(a_message_over_the_limit_is_bad_data),
		TEST(a_slow_broker_makes_the_sender_wait),
		TEST(a_full_queue_makes_the_sender_wait),
		TEST(who_waits_for_a_broker_that_went_gives_up_in_time),
		TEST(the_first_refusal_counts),
		TEST(nobody_there_is_noticed_in_time),
		TEST(idempotence_cannot_be_switched_off),
	};

	unsetenv("SLUICE_BROKERS");
	setenv("HOME", "/nonexistent", 1);
	unsetenv("XDG_CONFIG_HOME");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
