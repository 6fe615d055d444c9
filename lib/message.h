/*
 * message: what a line of the stream is in Kafka: key (with its window), value, headers and time as bytes, the
 * inverse of what kread embeds.
 */
#ifndef SLUICE_MESSAGE_H
#define SLUICE_MESSAGE_H

#include "buf.h"
#include "stream.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct message {
	struct span topic;
	int32_t partition;         /* RD_KAFKA_PARTITION_UA: the partitioner's choice, by key */
	bool has_key, has_payload; /* false: null; an empty span is an empty key or value */
	struct span key, payload;
	int64_t ts;                  /* ms; -1: none; 0: now (librdkafka cannot send 0 itself) */
	rd_kafka_headers_t *headers; /* NULL: none. producer_send takes them over */
	uint64_t tag;                /* by which a failure is traced to its input */
};

/* How lines become messages. Set the first three, leave the rest zero. */
struct message_rules {
	const char *topic;   /* NULL: each record's own */
	bool keep_partition; /* records go to the partition they name */
	int key_want;        /* index of a stream_want: key of bare objects; -1: they have none */

	uint64_t keyless;        /* bare objects in which that key was missing or null */
	uint64_t undated;        /* records whose time is 0, and so will be the present */
	struct buf key, payload; /* what spans of the last message may point into */
};

void message_rules_release(struct message_rules *r);

/*
 * *m from a record or a bare object; its spans are valid until the next stream_parse or call. 0; -1 with
 * fail(EXIT_DATA). The caller sets m->tag, and owns m->headers until they are sent.
 */
int message_from_line(struct message_rules *r, const struct stream *s, const struct line *l,
    struct message *m);

/*
 * Headers from the stream's flat list, ["name","value",...]: values are text, null or {"base64":..},
 * names text or {"base64":..}. 0; -1 with fail(EXIT_DATA). *out is NULL for an empty list.
 */
int message_headers(struct span list, rd_kafka_headers_t **out);

#endif
