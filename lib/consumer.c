#include "consumer.h"

#include "clock.h"
#include "io.h"
#include "log.h"
#include "nudge.h"

#include <inttypes.h>
#include <stdlib.h>

#define BATCH        1000              /* messages taken from the queue at once, */
#define BATCH_BYTES  (4 * 1024 * 1024) /* and about how much of them: they are not in its limits */
#define IDLE_MS      100               /* how long consumer_next may block: TERM waits that long */
#define ASK_AFTER_MS 5000 /* silence after which the brokers are asked whether they are there */
#define ASK_MS       500

/*
 * queued.*, fetch.max.bytes: they bound the memory, also when our reader stands still. A queued record
 * costs about 310 bytes beside its own, and the queue is checked only before a fetch, which may hold
 * twenty times its size. With nudge.h larger ones are no faster (measured up to 10M and 128 MB).
 * fetch.wait.max.ms: what is below a pinned end is there; a broker that holds a fetch back only
 * delays the partitions beside it.
 */
const struct kafka_setting consumer_settings[] = {
	{ "client.id", "sluice", false },
	{ "isolation.level", "read_committed", false },
	{ "queued.min.messages", "250000", false },
	{ "queued.max.messages.kbytes", "65536", false },
	{ "fetch.max.bytes", "2097152", false },
	{ "receive.message.max.bytes", "1200000000", false },
	{ "fetch.wait.max.ms", "50", false },
	{ "check.crcs", "true", false },
	{ "auto.offset.reset", "error", true },
	{ "enable.auto.commit", "false", true },
	{ "enable.auto.offset.store", "false", true },
	{ "enable.partition.eof", "true", true },
	{ "allow.auto.create.topics", "false", true },
};
const size_t consumer_settings_count = OPT_COUNT(consumer_settings);

struct consumer {
	struct kafka kafka;
	struct plan plan;
	rd_kafka_queue_t *queue;
	struct nudge *nudge;
	size_t open; /* partitions that have not reached their end */
	uint64_t passed;

	rd_kafka_message_t **batch;
	size_t batch_at, batch_len, batch_max;
	rd_kafka_message_t *current;
	const rd_kafka_topic_t *recent_rkt; /* messages come in runs of one partition */
	struct plan_partition *recent;
	bool idle;         /* nothing came when last asked: the next call may block */
	int64_t silent_ms; /* since when nobody said anything */
	int64_t ask_ms;    /* when to ask the brokers whether they are there */
};

/* ---- open and close ---- */

static int start(struct consumer *c)
{
	rd_kafka_topic_partition_list_t *list;

	c->queue = rd_kafka_queue_new(c->kafka.rk);
	for (size_t i = 0; i < c->plan.partitions; i++) {
		struct plan_partition *p = &c->plan.partition[i];

		if (p->done)
			continue;
		if (kafka_start(p->rkt, p->id, p->start, c->queue) < 0)
			return -1;
		c->open++;
	}
	if (c->open == 0)
		return 0;
	list = plan_list(&c->plan, true, KAFKA_LOG_END);
	c->nudge = nudge_open(c->kafka.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return 0;
}

struct consumer *consumer_open(const struct kafka_config *config, const struct plan_options *o)
{
	struct consumer *c = xcalloc(1, sizeof(*c));

	c->batch = xcalloc(BATCH, sizeof(*c->batch));
	c->batch_max = BATCH;
	if (kafka_open(&c->kafka, config, RD_KAFKA_CONSUMER, consumer_settings,
		consumer_settings_count) == 0 &&
	    plan_make(&c->plan, &c->kafka, config, o) == 0 && start(c) == 0)
		return c;
	consumer_close(c);
	return NULL;
}

static void drop_current(struct consumer *c)
{
	if (c->current)
		rd_kafka_message_destroy(c->current);
	c->current = NULL;
}

void consumer_close(struct consumer *c)
{
	nudge_close(c->nudge);
	drop_current(c);
	while (c->batch_at < c->batch_len)
		rd_kafka_message_destroy(c->batch[c->batch_at++]);
	if (c->queue)
		rd_kafka_queue_destroy(c->queue);
	plan_release(&c->plan);
	kafka_close(&c->kafka);
	free(c->batch);
	free(c);
}

size_t consumer_partitions(struct consumer *c)
{
	return c->plan.partitions;
}

struct plan_partition *consumer_partition(struct consumer *c, size_t i)
{
	return &c->plan.partition[i];
}

uint64_t consumer_total(const struct consumer *c)
{
	uint64_t total = 0;

	for (size_t i = 0; i < c->plan.partitions; i++) {
		const struct plan_partition *p = &c->plan.partition[i];

		if (p->end == INT64_MAX)
			return 0;
		total += p->end > p->start ? (uint64_t)(p->end - p->start) : 0;
	}
	return total;
}

uint64_t consumer_passed(const struct consumer *c)
{
	return c->passed;
}

/* ---- the run ---- */

static struct plan_partition *partition_of(struct consumer *c, const rd_kafka_message_t *m)
{
	struct plan_partition *p;

	if (m->rkt == c->recent_rkt && m->partition == c->recent->id)
		return c->recent;
	p = plan_partition_of(m);
	if (p) {
		c->recent_rkt = m->rkt;
		c->recent = p;
	}
	return p;
}

static void pass(struct consumer *c, struct plan_partition *p, int64_t next)
{
	c->passed += (uint64_t)(next - p->next);
	p->next = next;
	if (next >= p->end) {
		p->done = true;
		c->open--;
	}
}

static enum consumer_result failed_message(struct consumer *c, const struct plan_partition *p,
    const rd_kafka_message_t *m)
{
	if (kafka_transient(m->err) || kafka_unknown(m->err)) {
		note("%s", rd_kafka_message_errstr(m)); /* librdkafka tries again; check_silence watches the time */
		return CONSUMER_IDLE;
	}
	if (p)
		fail(kafka_exit_code(m->err), "%s/%" PRId32 ": offset %" PRId64 ": %s", p->topic,
		    p->id, p->next, rd_kafka_message_errstr(m));
	else
		fail(kafka_exit_code(m->err), "%s: %s",
		    m->rkt ? rd_kafka_topic_name(m->rkt) : "Kafka", rd_kafka_message_errstr(m));
	return CONSUMER_FAIL;
}

/* CONSUMER_IDLE: nothing that the caller has to know. */
static enum consumer_result take(struct consumer *c, const rd_kafka_message_t *m,
    struct consumer_event *e)
{
	struct plan_partition *p = partition_of(c, m);

	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return p && p->done ? CONSUMER_IDLE : failed_message(c, p, m);
	if (!p || p->done || m->offset < p->next)
		return CONSUMER_IDLE;
	c->idle = false;
	e->partition = p;
	if (m->err) {
		/* Nothing more up to here for now. */
		pass(c, p, m->offset < p->end ? m->offset : p->end);
		return CONSUMER_REACHED;
	}
	if (m->offset >= p->end) {
		pass(c, p, p->end);
		return CONSUMER_REACHED;
	}
	pass(c, p, m->offset + 1);
	e->message = m;
	return CONSUMER_RECORD;
}

static int64_t ask_after(const struct consumer *c)
{
	return c->plan.o.timeout_ms / 2 < ASK_AFTER_MS ? c->plan.o.timeout_ms / 2 : ASK_AFTER_MS;
}

/* A log that ends below what was promised or read was cut: librdkafka would wait there for ever. */
static int check_truncated(const struct consumer *c, const rd_kafka_topic_partition_list_t *list)
{
	int at = 0;

	for (size_t i = 0; i < c->plan.partitions; i++) {
		const struct plan_partition *p = &c->plan.partition[i];
		int64_t expected = p->end == INT64_MAX ? p->next : p->end;

		if (p->done)
			continue;
		if (list->elems[at].offset < expected)
			return fail(EXIT_DATA,
			    "%s/%" PRId32 ": the log ends at %" PRId64 ", below %" PRId64
			    ": the topic was truncated or recreated while it was read",
			    p->topic, p->id, list->elems[at].offset, expected);
		at++;
	}
	return 0;
}

/* What asking for the ends has shown. 0: go on waiting; -1 with fail(). */
static int judge_silence(struct consumer *c, rd_kafka_resp_err_t err,
    const rd_kafka_topic_partition_list_t *list)
{
	const rd_kafka_topic_partition_t *bad;
	int64_t now = clock_mono_ms();
	bool late = now - c->silent_ms > c->plan.o.timeout_ms;

	if (!err) {
		c->silent_ms = now;
		c->ask_ms = now + ask_after(c);
		return check_truncated(c, list);
	}
	c->ask_ms = now + IDLE_MS;
	if (kafka_transient(err))
		return late ? kafka_fail_unreachable(&c->kafka) : 0;
	if (kafka_unknown(err) && !late)
		return 0;
	bad = kafka_culprit(&c->kafka, list, err, ASK_MS);
	if (!bad)
		return 0; /* asked again soon */
	if (kafka_unknown(err))
		return fail(EXIT_CONFIG, "%s/%" PRId32 ": no longer there: was the topic deleted?",
		    bad->topic, bad->partition);
	return fail(kafka_exit_code(err), "%s/%" PRId32 ": %s", bad->topic, bad->partition,
	    rd_kafka_err2str(err));
}

/*
 * Called while nothing comes. Silence means that there is nothing to read, that the brokers are gone,
 * or that the topic is: so after a while they are asked. 0; -1 with fail() when they have not
 * answered for the whole timeout.
 */
static int check_silence(struct consumer *c)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err;
	int result;

	if (c->kafka.fatal)
		return fail(EXIT_UNAVAILABLE, "%s", c->kafka.why);
	if (clock_mono_ms() < c->ask_ms)
		return 0;
	list = plan_list(&c->plan, true, KAFKA_LOG_END);
	err = kafka_ask_offsets(&c->kafka, list, ASK_MS);
	result = judge_silence(c, err, list);
	rd_kafka_topic_partition_list_destroy(list);
	return result;
}

/* How many messages to take next, if they are as large as these. */
static size_t batch_of(rd_kafka_message_t *const *m, size_t n)
{
	size_t bytes = 1;

	for (size_t i = 0; i < n; i++)
		bytes += m[i]->len;
	if (n == 0 || bytes / n <= BATCH_BYTES / BATCH)
		return BATCH;
	return bytes / n < BATCH_BYTES ? BATCH_BYTES / (bytes / n) : 1;
}

/* The next batch; blocks for IDLE_MS when the caller knows that nothing is there. */
static bool fill(struct consumer *c)
{
	size_t queued = rd_kafka_queue_length(c->queue);
	ssize_t n = rd_kafka_consume_batch_queue(c->queue, 0, c->batch, c->batch_max);

	/* The call waits until the batch is full or the time is over: so ask for one. */
	if (n == 0 && c->idle)
		n = rd_kafka_consume_batch_queue(c->queue, IDLE_MS, c->batch, 1);
	kafka_poll(&c->kafka, 0);
	c->batch_at = 0;
	c->batch_len = n > 0 ? (size_t)n : 0;
	c->batch_max = batch_of(c->batch, c->batch_len);
	nudge_queued(c->nudge, queued > c->batch_len ? queued - c->batch_len : 0);
	return n > 0;
}

enum consumer_result consumer_next(struct consumer *c, struct consumer_event *e)
{
	for (;;) {
		enum consumer_result r;

		drop_current(c);
		if (c->open == 0)
			return CONSUMER_DONE;
		if (c->batch_at < c->batch_len) {
			c->current = c->batch[c->batch_at++];
			r = take(c, c->current, e);
			if (r != CONSUMER_IDLE)
				return r;
		} else if (!fill(c)) {
			if (!c->idle) {
				c->idle = true;
				c->silent_ms = clock_mono_ms();
				c->ask_ms = c->silent_ms + ask_after(c);
			}
			return check_silence(c) < 0 ? CONSUMER_FAIL : CONSUMER_IDLE;
		}
	}
}
