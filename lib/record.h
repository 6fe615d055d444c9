/*
 * record: a Kafka message as one line of the stream (sluice-stream(5)).
 *
 * The hot path of kread: one validating scan and one copy of the payload, no allocation.
 */
#ifndef SLUICE_RECORD_H
#define SLUICE_RECORD_H

#include "buf.h"
#include "key.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct record {
	int64_t offset;
	rd_kafka_timestamp_type_t tstype; /* NOT_AVAILABLE: the line has neither tstype nor ts */
	int64_t ts;
	const rd_kafka_headers_t *headers; /* NULL: none */
	struct span key, payload;          /* p NULL: null; n 0 with another p: empty */
	const struct key_format *format; /* what the key is; NULL: as with KEY_ANY and no window */
};

/* Appends what all lines of a partition begin with: {"topic":"TX","partition":0,"offset": */
void record_prefix(struct buf *to, const char *topic, int32_t partition);

/*
 * Appends the line and its newline. exact: a JSON payload (or key) with line breaks between its tokens or white
 * space around it becomes a string, so that its bytes survive. False: the key is not what the format says; it, or
 * what stands before its window, is in the line as base64.
 */
bool record_line(struct buf *to, struct span prefix, const struct record *r, bool exact);

#endif
