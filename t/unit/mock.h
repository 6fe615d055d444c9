/*
 * mock: librdkafka's mock cluster inside the test, filled by the producer that holds it. It has no
 * transactions, no offsets by time, no compaction. Include it behind cmocka.h.
 */
#ifndef MOCK_H
#define MOCK_H

#include "kafka.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

#define MOCK_TS INT64_C(1763697600000) /* of the record at offset 0; each next one is a ms later */

/* Kafka's numbers of its requests. */
#define MOCK_FETCH        1
#define MOCK_LIST_OFFSETS 2
#define MOCK_METADATA     3

static rd_kafka_t *mock_rk;
static rd_kafka_mock_cluster_t *mock;
static struct kafka_config config; /* of clients of the cluster */

/* No test reads the settings of whoever runs it. */
static inline void mock_config(const char *brokers)
{
	config = (struct kafka_config)KAFKA_CONFIG_INIT;
	unsetenv("SLUICE_BROKERS");
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", "/nonexistent", 1);
	config.brokers = brokers;
	kafka_config_set(&config, "fetch.error.backoff.ms=50"); /* nobody is spared by waiting */
	kafka_config_set(&config, "reconnect.backoff.ms=20");
	kafka_config_set(&config, "reconnect.backoff.max.ms=100");
	assert_int_equal(kafka_config_load(&config), 0);
}

static inline void mock_open(int brokers)
{
	static const char *const set[][2] = { { "linger.ms", "0" }, { "message.max.bytes", "2000000" } };
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char count[12], why[200];

	snprintf(count, sizeof(count), "%d", brokers);
	rd_kafka_conf_set(conf, "test.mock.num.brokers", count, why, sizeof(why));
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		rd_kafka_conf_set(conf, set[i][0], set[i][1], why, sizeof(why));
	rd_kafka_conf_set_log_cb(conf, NULL);
	mock_rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	assert_non_null(mock_rk);
	mock = rd_kafka_handle_mock_cluster(mock_rk);
	assert_non_null(mock);
	mock_config(rd_kafka_mock_cluster_bootstraps(mock));
}

static inline void mock_close(void)
{
	kafka_config_release(&config);
	rd_kafka_destroy(mock_rk);
}

static inline void mock_topic(const char *name, int partitions)
{
	assert_int_equal(rd_kafka_mock_topic_create(mock, name, partitions, 1), 0);
}

static inline void mock_put(const char *topic, int32_t partition, int64_t ts, const char *p, size_t n)
{
	assert_int_equal(rd_kafka_producev(mock_rk, RD_KAFKA_V_TOPIC(topic),
			     RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_TIMESTAMP(ts),
			     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			     RD_KAFKA_V_VALUE((void *)p, n), RD_KAFKA_V_END),
	    0);
}

static inline void mock_flush(void)
{
	assert_int_equal(rd_kafka_flush(mock_rk, 10000), 0);
}

/* Records of the offsets [from, to): their value is the offset in decimal. */
static inline void mock_fill(const char *topic, int32_t partition, int from, int to)
{
	char text[12];

	for (int i = from; i < to; i++) {
		int n = snprintf(text, sizeof(text), "%d", i);

		mock_put(topic, partition, MOCK_TS + i, text, (size_t)n);
	}
	mock_flush();
}

/* Records of 1 MB until the first ones are gone: a partition keeps 5 MiB. The log's end. */
static inline int64_t mock_overflow(const char *topic, int32_t partition)
{
	enum { RECORDS = 8, SIZE = 1000000 };
	char *large = calloc(1, SIZE);

	for (int i = 0; i < RECORDS; i++) {
		mock_put(topic, partition, MOCK_TS + i, large, SIZE);
		mock_flush(); /* each in a batch of its own */
	}
	free(large);
	return RECORDS;
}

/* The next `count` requests of a kind are answered with this error. */
static inline void mock_errors(int16_t request, rd_kafka_resp_err_t err, size_t count)
{
	while (count-- > 0)
		rd_kafka_mock_push_request_errors(mock, request, 1, err);
}

#endif
