/*
 * producer: messages to Kafka, in order, each of them acknowledged by all replicas or reported.
 *
 * librdkafka's idempotent producer keeps the order of a partition and repeats nothing however often it
 * has to try again. It tries for ever; what is limited here is silence: when messages wait and none
 * has been acknowledged for timeout_ms, the broker counts as gone.
 *
 * Every message has a tag (a line number, say) by which a failure can be traced to its input.
 */
#ifndef SLUICE_PRODUCER_H
#define SLUICE_PRODUCER_H

#include "buf.h"
#include "kafka.h"
#include "message.h"

#include <stdbool.h>
#include <stdint.h>

struct producer {
	struct kafka kafka;
	int64_t timeout_ms; /* set before producer_open */
	uint64_t sent, acknowledged, bytes;

	/* The first failure: what fail() said. failed 0: none. */
	uint64_t failed;     /* how many messages were not accepted */
	uint64_t failed_tag; /* the first one's, or 0 when it is no message's fault */

	/* internal */
	size_t in_flight;    /* bytes given to librdkafka and not yet settled */
	int64_t progress_ms; /* when something was last settled, or began to wait */
	struct producer_topic **topic;
	size_t topics;
	struct producer_topic *last;
	enum exit_code code;
	char why[1024];
};

/* Connects. 0; -1 with fail(), see kafka_metadata. p must stay where it is. */
int producer_open(struct producer *p, const struct kafka_config *c,
    const struct kafka_setting *extra, size_t extras);
void producer_close(struct producer *p); /* forgets what is not acknowledged */

/* Prints what -X list or -X dump ask for. */
enum exit_code producer_show(const struct kafka_config *c, const struct kafka_setting *extra,
    size_t extras);

/*
 * Hands one message over; waits while too much is under way. Bytes are copied. -1 with fail(), also
 * for an earlier message that failed meanwhile.
 */
int producer_send(struct producer *p, struct message *m);

/* Settles what the broker has answered. 0; -1 with fail() when a message failed or nobody answers. */
int producer_poll(struct producer *p, int wait_ms);

/* Waits until all is settled; what can still be delivered is, also after a failure. 0 or -1. */
int producer_flush(struct producer *p);

static inline uint64_t producer_pending(const struct producer *p)
{
	return p->sent - p->acknowledged - p->failed;
}

/* Appends a position mark for each partition that moved since the last call. */
void producer_marks(struct producer *p, struct buf *to);

#endif
