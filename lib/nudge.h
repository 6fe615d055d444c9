/*
 * nudge: wakes librdkafka's fetchers when the queue runs low.
 *
 * librdkafka 2.0 stops fetching when its queue is full and looks again only after up to 1 s, or when
 * a broker's thread has something else to do. A reader of 1.4M records/s empties any queue of bounded
 * memory in less (measured: half the throughput lost). So a thread of our own asks the brokers for
 * something small, whose answer is thrown away, when the queue has fallen to half of what it was.
 */
#ifndef SLUICE_NUDGE_H
#define SLUICE_NUDGE_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

struct nudge;

/* list: the partitions whose leaders to wake; copied. */
struct nudge *nudge_open(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list);
void nudge_close(struct nudge *n);

/* Tells how many messages are queued, now and then. Never blocks. */
void nudge_queued(struct nudge *n, size_t queued);

#endif
