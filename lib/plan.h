/*
 * plan: what a run of the consumer reads: which partitions, from which offset, to which end.
 *
 * Everything is looked up and checked before the first record, so that nothing has been delivered
 * when something is wrong, and consumed by absolute offsets: nothing outside decides where a run starts
 * or ends. A second client, the probe, sees what the first does not: records of open transactions.
 */
#ifndef SLUICE_PLAN_H
#define SLUICE_PLAN_H

#include "buf.h"
#include "kafka.h"
#include "positions.h"

#include <stdbool.h>
#include <stdint.h>

enum start_kind { START_BEGINNING, START_END, START_OFFSET, START_TAIL, START_TIME };

struct plan_start { /* -o */
	enum start_kind kind;
	int64_t n; /* offset, offsets before the end, or ms */
	bool has_stop;
	int64_t stop_ms; /* e@: end before the first record of this time or later; pins the end */
};

/* beginning, end, N, -N, s@TIME, e@TIME; again for the other of s@ and e@. 0 or -1, fail(EXIT_USAGE). */
int plan_start_parse(void *start, const char *arg);

struct plan_options {
	const char **topic; /* names, and regular expressions that begin with ^ */
	size_t topics;
	const int32_t *partition; /* NULL: all */
	size_t partitions;
	struct plan_start start;
	const struct positions *from; /* where a sink stands; NULL: start as `start` says */
	bool skip_lost;               /* begin at the log start where `from` lies below it */
	bool pin;                     /* end where the topics end now */
	int64_t timeout_ms;           /* how long a broker may not answer */
};

/* For -t and -p: add A,B,... to the plan_options, which then own them. 0; -1 with fail(EXIT_USAGE). */
int plan_add_topics(void *options, const char *arg);
int plan_add_partitions(void *options, const char *arg);
void plan_options_release(struct plan_options *o); /* what was added */

struct plan_partition {
	const char *topic;
	int32_t id;
	int64_t start; /* the run begins here */
	int64_t end;   /* done when next reaches it; INT64_MAX: never */
	int64_t next;  /* everything before was delivered, or is no record that a reader sees */
	bool done;

	/* The tool's. */
	struct buf prefix;
	int64_t marked;   /* of the last position mark; -1: none */
	int64_t unmarked; /* records since */

	/* Internal. */
	rd_kafka_topic_t *rkt;
	int64_t low, stable, high, stop;
	int64_t check_offset, check_ts; /* the sink's last record; -1: nothing to check */
};

struct plan_topic {
	char *name;
	rd_kafka_topic_t *rkt;             /* its opaque is this struct */
	struct plan_partition **partition; /* by number; NULL: not read */
	int32_t partitions;
};

struct plan {
	struct plan_options o;
	struct kafka *kafka;
	struct kafka probe;
	int64_t deadline;
	struct plan_topic **topic; /* by name */
	size_t topics;
	struct plan_partition *partition; /* by topic and number */
	size_t partitions;
};

/*
 * Finds the topics, looks up all offsets, makes every check of `from` and `start`. What *o points to
 * must live as long as the plan. 0; -1 with fail(): EXIT_CONFIG no such topic or partition, EXIT_PERM,
 * EXIT_UNAVAILABLE, EXIT_DATA lost records or a recreated topic; or because of a signal (sig_stop()).
 */
int plan_make(struct plan *plan, struct kafka *kafka, const struct kafka_config *config,
    const struct plan_options *o);
void plan_release(struct plan *plan); /* also after a failure */

/* Whose message or event it is; NULL: of no partition of the plan. */
struct plan_partition *plan_partition_of(const rd_kafka_message_t *m);

/* All partitions (open: those that are not done), each with this offset. The caller's to destroy. */
rd_kafka_topic_partition_list_t *plan_list(const struct plan *plan, bool open, int64_t offset);

#endif
