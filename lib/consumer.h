/*
 * consumer: delivers what a plan holds, each record once and in order, and tells when it is done.
 *
 * One shared queue without a group. The end of a partition (-e) is where it ended when the run began;
 * records and events beyond it are ignored, so a position is never above what was promised.
 */
#ifndef SLUICE_CONSUMER_H
#define SLUICE_CONSUMER_H

#include "kafka.h"
#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

struct consumer;

/* Connects, makes the plan and begins to fetch. NULL with the fail() of plan_make or kafka_open. */
struct consumer *consumer_open(const struct kafka_config *config, const struct plan_options *o);
void consumer_close(struct consumer *c);

/* What -X dump shows besides the user's settings. */
extern const struct kafka_setting consumer_settings[];
extern const size_t consumer_settings_count;

size_t consumer_partitions(struct consumer *c);
struct plan_partition *consumer_partition(struct consumer *c, size_t i);

/* How many offsets there are to pass (0: the end is not pinned), and how many were passed. */
uint64_t consumer_total(const struct consumer *c);
uint64_t consumer_passed(const struct consumer *c);

enum consumer_result {
	CONSUMER_RECORD,  /* e.message, the next one of e.partition */
	CONSUMER_REACHED, /* e.partition: reached its end, or for now the end of the log */
	CONSUMER_IDLE,    /* the next call may block: a good moment to flush. Every 100 ms or so */
	CONSUMER_DONE,    /* every partition has reached its pinned end */
	CONSUMER_FAIL = -1,
};

struct consumer_event {
	struct plan_partition *partition;
	const rd_kafka_message_t *message; /* valid until the next call */
};

enum consumer_result consumer_next(struct consumer *c, struct consumer_event *e);

#endif
