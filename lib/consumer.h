/*
 * consumer: reads partitions from known offsets to pinned ends, in order, each record once.
 *
 * All offsets are looked up before the first record and then consumed as absolute ones, on one shared
 * queue and without a group: nothing outside decides where a run starts or ends. The end of a
 * partition (-e) is its last stable offset when the run begins; what comes later is left for later.
 */
#ifndef SLUICE_CONSUMER_H
#define SLUICE_CONSUMER_H

#include "buf.h"
#include "kafka.h"
#include "positions.h"

#include <stdbool.h>
#include <stdint.h>

enum start_kind { START_BEGINNING, START_END, START_OFFSET, START_TAIL, START_TIME };

struct consumer_start { /* -o */
	enum start_kind kind;
	int64_t n; /* offset, number of records before the end, or ms */
	bool has_stop;
	int64_t stop_ms; /* e@: end at the first record of this time or later; pins the end */
};

/* beginning, end, N, -N, s@TIME, e@TIME; may be called again for the other of s@ and e@. fail(EXIT_USAGE). */
int consumer_start_parse(void *start, const char *arg);

struct consumer_options {
	const char *const *topic; /* names, and regular expressions that begin with ^ */
	size_t topics;
	const int32_t *partition; /* NULL: all */
	size_t partitions;
	struct consumer_start start;
	const struct positions *from; /* NULL: start as `start` says */
	bool skip_lost;               /* begin at the log start where `from` lies below it */
	bool pin;
	int64_t timeout_ms; /* how long a broker may not answer */
};

struct consumer_partition {
	const char *topic;
	int32_t id;
	int64_t start; /* the run began here */
	int64_t end;   /* pinned: done when next reaches it; INT64_MAX when not */
	int64_t next;  /* everything before was delivered, or is no record that a reader sees */
	bool done;

	/* The tool's. */
	struct buf prefix;
	int64_t marked;   /* of the last position mark */
	int64_t unmarked; /* records since */

	/* Internal. */
	rd_kafka_topic_t *rkt;
	int64_t low, stable, high, stop;
	int64_t check_offset, check_ts; /* the sink's last record; -1: nothing to check */
};

struct consumer;

/*
 * Connects, finds the topics, looks up all offsets and makes every check of `from` and `start`, so that nothing
 * was delivered when one fails. NULL with fail(): EXIT_CONFIG no such topic or partition, EXIT_PERM,
 * EXIT_UNAVAILABLE, EXIT_DATA (lost records, recreated topic), or because of a signal (sig_stop()).
 */
struct consumer *consumer_open(const struct kafka_config *config, const struct consumer_options *o);
void consumer_close(struct consumer *c);

/* What -X dump shows besides the user's settings. */
extern const struct kafka_setting consumer_settings[];
extern const size_t consumer_settings_count;

size_t consumer_partitions(struct consumer *c);
struct consumer_partition *consumer_partition(struct consumer *c, size_t i);

/* How many offsets there are to pass, and were passed; 0 when the end is not pinned. */
uint64_t consumer_total(const struct consumer *c);
uint64_t consumer_passed(const struct consumer *c);

enum consumer_result {
	CONSUMER_RECORD,  /* e.message, the next one of e.partition */
	CONSUMER_REACHED, /* e.partition: reached its end, or for now the end of the log */
	CONSUMER_IDLE, /* the next call blocks: a good moment to flush. Comes again every 100 ms or so */
	CONSUMER_DONE, /* every partition has reached its pinned end */
	CONSUMER_FAIL = -1,
};

struct consumer_event {
	struct consumer_partition *partition;
	const rd_kafka_message_t *message; /* valid until the next call */
};

enum consumer_result consumer_next(struct consumer *c, struct consumer_event *e);

#endif
