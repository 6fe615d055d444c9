#include "consumer.h"

#include "clock.h"
#include "io.h"
#include "log.h"
#include "nudge.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH        1000              /* messages taken from the queue at once, */
#define BATCH_BYTES  (4 * 1024 * 1024) /* and about how much of them: they are not in its limits */
#define IDLE_MS      100               /* how long consumer_next may block: TERM waits that long */
#define SPREAD_MS    3000 /* a topic just created may be unknown to a broker for this long */
#define ASK_AFTER_MS 5000 /* silence after which the brokers are asked whether they are there */
#define ASK_MS       500

/*
 * queued.*, fetch.max.bytes: they bound the memory, also when our reader stands still. A queued record
 * costs about 310 bytes beside its own; the queue is checked only before a fetch. fetch.wait.max.ms: what is below a
 * pinned end is there, a broker that holds a fetch back only delays the partitions beside it.
 */
const struct kafka_setting consumer_settings[] = {
	{ "client.id", "sluice", false },
	{ "isolation.level", "read_committed", false },
	{ "queued.min.messages", "500000", false },
	{ "queued.max.messages.kbytes", "131072", false },
	{ "fetch.max.bytes", "8388608", false },
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

/* The probe's: everything that is there, and little of it. */
static const struct kafka_setting probe_settings[] = {
	{ "client.id", "sluice", false },
	{ "fetch.max.bytes", "8388608", false },
	{ "receive.message.max.bytes", "1200000000", false },
	{ "isolation.level", "read_uncommitted", true },
	{ "fetch.message.max.bytes", "65536", true },
	{ "fetch.wait.max.ms", "50", true },
	{ "auto.offset.reset", "error", true },
	{ "enable.auto.commit", "false", true },
	{ "enable.partition.eof", "true", true },
	{ "allow.auto.create.topics", "false", true },
};

struct topic {
	char *name;
	rd_kafka_topic_t *rkt;
	struct consumer_partition **partition; /* by number; NULL: not read */
	int32_t partitions;
	int32_t first, count; /* place in consumer->partition while it is built */
};

struct consumer {
	struct consumer_options o;
	struct kafka kafka;
	struct kafka probe; /* a client that sees uncommitted records too, only before the run */
	int64_t deadline;   /* of what happens before the first record */
	rd_kafka_queue_t *queue;
	struct nudge *nudge;

	struct topic **topic;
	size_t topics;
	struct consumer_partition *partition;
	size_t partitions;
	size_t open; /* partitions that have not reached their end */
	uint64_t total, passed;

	rd_kafka_message_t **batch;
	size_t batch_at, batch_len, batch_max;
	rd_kafka_message_t *current;
	const rd_kafka_topic_t *recent_rkt; /* messages come in runs of one partition */
	struct consumer_partition *recent;
	bool idle;         /* nothing came when last asked: the next call may block */
	int64_t silent_ms; /* since when nobody said anything */
	int64_t ask_ms;    /* when to ask the brokers whether they are there */
};

/* ---- -o ---- */

static int parse_time(const char *text, int64_t *ms)
{
	size_t n = strlen(text);

	if (n > 0 && strspn(text, "0123456789") == n)
		return opt_int(text, 0, INT64_MAX, ms);
	if (clock_parse_iso(text, n, ms) < 0)
		return fail(EXIT_USAGE, "\"%s\" is neither ms since 1970 nor an ISO 8601 time", text);
	return 0;
}

int consumer_start_parse(void *start, const char *arg)
{
	struct consumer_start *s = start;
	int64_t n;

	if (strncmp(arg, "e@", 2) == 0) {
		s->has_stop = true;
		return parse_time(arg + 2, &s->stop_ms);
	}
	if (strncmp(arg, "s@", 2) == 0) {
		s->kind = START_TIME;
		return parse_time(arg + 2, &s->n);
	}
	if (strcmp(arg, "beginning") == 0) {
		s->kind = START_BEGINNING;
		return 0;
	}
	if (strcmp(arg, "end") == 0) {
		s->kind = START_END;
		return 0;
	}
	if (strcmp(arg, "stored") == 0)
		return fail(EXIT_USAGE, "stored: there is no group; --from takes a sink's position");
	if (opt_int(arg, INT64_MIN + 1, INT64_MAX, &n) < 0)
		return fail(EXIT_USAGE, "\"%s\" is none of beginning, end, N, -N, s@TIME, e@TIME", arg);
	s->kind = arg[0] == '-' ? START_TAIL : START_OFFSET;
	s->n = n < 0 ? -n : n;
	return 0;
}

/* ---- which topics ---- */

/* Said too of a topic that is new, or by a broker that has just started. */
static bool is_unknown(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	    err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

static bool is_pattern(const char *name)
{
	return name[0] == '^';
}

static struct topic *add_topic(struct consumer *c, const char *name)
{
	rd_kafka_topic_conf_t *conf;
	struct topic *t;

	for (size_t i = 0; i < c->topics; i++)
		if (strcmp(c->topic[i]->name, name) == 0)
			return c->topic[i];
	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(name);
	conf = rd_kafka_default_topic_conf_dup(c->kafka.rk);
	rd_kafka_topic_conf_set_opaque(conf, t);
	t->rkt = rd_kafka_topic_new(c->kafka.rk, name, conf);
	if (!t->rkt) {
		fail(EXIT_CONFIG, "%s: %s", name, rd_kafka_err2str(rd_kafka_last_error()));
		free(t->name);
		free(t);
		return NULL;
	}
	c->topic = xrealloc(c->topic, (c->topics + 1) * sizeof(*c->topic));
	c->topic[c->topics++] = t;
	return t;
}

/* Kafka's own bookkeeping is read only when it is asked for by name. */
static bool is_internal(const char *name)
{
	return strcmp(name, "__consumer_offsets") == 0 || strcmp(name, "__transaction_state") == 0;
}

static int add_matching(struct consumer *c, const char *pattern, const struct rd_kafka_metadata *md)
{
	regex_t re;
	char why[200];
	int err = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);

	if (err) {
		regerror(err, &re, why, sizeof(why));
		return fail(EXIT_USAGE, "%s: %s", pattern, why);
	}
	for (int i = 0; i < md->topic_cnt; i++)
		if (!is_internal(md->topics[i].topic) &&
		    regexec(&re, md->topics[i].topic, 0, NULL, 0) == 0 &&
		    !add_topic(c, md->topics[i].topic)) {
			regfree(&re);
			return -1;
		}
	regfree(&re);
	return 0;
}

static int find_topics(struct consumer *c)
{
	const struct rd_kafka_metadata *md;
	bool patterns = false;
	int result = 0;

	for (size_t i = 0; i < c->o.topics; i++) {
		if (is_pattern(c->o.topic[i]))
			patterns = true;
		else if (!add_topic(c, c->o.topic[i]))
			return -1;
	}
	if (!patterns)
		return 0;
	if (kafka_metadata(&c->kafka, KAFKA_ASK_ALL, c->deadline, &md) < 0)
		return -1;
	for (size_t i = 0; result == 0 && i < c->o.topics; i++)
		if (is_pattern(c->o.topic[i]))
			result = add_matching(c, c->o.topic[i], md);
	rd_kafka_metadata_destroy(md);
	if (result == 0 && c->topics == 0)
		return fail(EXIT_CONFIG, "%s: no topic matches", c->o.topic[0]);
	return result;
}

/* ---- which partitions ---- */

static bool wanted(const struct consumer *c, int32_t id)
{
	for (size_t i = 0; i < c->o.partitions; i++)
		if (c->o.partition[i] == id)
			return true;
	return !c->o.partition;
}

static int check_topic(const struct consumer *c, const struct rd_kafka_metadata_topic *m)
{
	if (m->err)
		return fail(kafka_exit_code(m->err), "%s: %s", m->topic,
		    is_unknown(m->err) ? "there is no such topic" : rd_kafka_err2str(m->err));
	for (size_t i = 0; i < c->o.partitions; i++)
		if (c->o.partition[i] >= m->partition_cnt)
			return fail(EXIT_CONFIG,
			    "%s [%" PRId32 "]: there is no such partition: the topic has %d",
			    m->topic, c->o.partition[i], m->partition_cnt);
	return 0;
}

static const struct rd_kafka_metadata_topic *metadata_of(const struct rd_kafka_metadata *md,
    const char *name)
{
	for (int i = 0; i < md->topic_cnt; i++)
		if (strcmp(md->topics[i].topic, name) == 0)
			return &md->topics[i];
	return NULL;
}

static int compare_topics(const void *a, const void *b)
{
	return strcmp((*(struct topic *const *)a)->name, (*(struct topic *const *)b)->name);
}

/* 0; -1 with fail(); 1: a topic is not there (yet), fail() says which. */
static int try_partitions(struct consumer *c, const struct rd_kafka_metadata *md)
{
	size_t count = 0;

	for (size_t i = 0; i < c->topics; i++) {
		const struct rd_kafka_metadata_topic *m = metadata_of(md, c->topic[i]->name);

		if (!m)
			m = &(struct rd_kafka_metadata_topic){ .topic = c->topic[i]->name,
				.err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART };
		if (check_topic(c, m) < 0)
			return fail_code() == EXIT_CONFIG || kafka_transient(m->err) ? 1 : -1;
		count += (size_t)m->partition_cnt;
	}
	c->partition = xcalloc(count, sizeof(*c->partition));
	for (size_t i = 0; i < c->topics; i++) {
		struct topic *t = c->topic[i];

		t->partitions = metadata_of(md, t->name)->partition_cnt;
		t->partition = xcalloc((size_t)t->partitions, sizeof(*t->partition));
		for (int32_t id = 0; id < t->partitions; id++)
			if (wanted(c, id)) {
				t->partition[id] = &c->partition[c->partitions++];
				*t->partition[id] = (struct consumer_partition){ .topic = t->name,
					.id = id,
					.rkt = t->rkt,
					.stop = INT64_MAX,
					.check_offset = -1 };
			}
	}
	return 0;
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL); /* a signal ends it early: right */
}

static int find_partitions(struct consumer *c)
{
	int64_t give_up = clock_mono_ms() + SPREAD_MS;
	const struct rd_kafka_metadata *md;
	int result;

	if (give_up > c->deadline)
		give_up = c->deadline;
	for (;;) {
		if (kafka_metadata(&c->kafka, KAFKA_ASK_KNOWN, c->deadline, &md) < 0)
			return -1;
		qsort(c->topic, c->topics, sizeof(*c->topic), compare_topics);
		result = try_partitions(c, md);
		rd_kafka_metadata_destroy(md);
		if (result <= 0)
			return result;
		if (clock_mono_ms() >= give_up || sig_stop())
			return -1;
		sleep_ms(100);
	}
}

/* ---- offsets ---- */

/*
 * One request per leader for all partitions: ListOffsets takes -1 for the end (the last stable offset under
 * read_committed) and -2 for the log start in place of a time.
 */
#define ASK_END   (-1)
#define ASK_START (-2)

static rd_kafka_topic_partition_list_t *make_list(const struct consumer *c, int64_t ask)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->partitions);

	for (size_t i = 0; i < c->partitions; i++)
		rd_kafka_topic_partition_list_add(list, c->partition[i].topic, c->partition[i].id)
		    ->offset = ask;
	return list;
}

/* The first error of the list that has one; NULL: all answered. */
static const rd_kafka_topic_partition_t *first_error(const rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].err)
			return &list->elems[i];
	return NULL;
}

/* Puts the answer for each partition at `field` of its struct. */
static int ask_offsets(struct consumer *c, struct kafka *k, int64_t ask, size_t field)
{
	rd_kafka_topic_partition_list_t *list = NULL;
	const rd_kafka_topic_partition_t *bad = NULL;
	int64_t slice = 500, left;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__TIMED_OUT;

	while (!sig_stop() && (left = c->deadline - clock_mono_ms()) > 0) {
		list = make_list(c, ask);
		err = rd_kafka_offsets_for_times(k->rk, list, (int)(left < slice ? left : slice));
		bad = first_error(list);
		if (err == 0 && bad)
			err = bad->err;
		if (err == 0)
			break;
		kafka_poll(k, 0);
		if (!kafka_transient(err) && !is_unknown(err)) {
			if (bad)
				fail(kafka_exit_code(err), "%s [%" PRId32 "]: offsets: %s",
				    bad->topic, bad->partition, rd_kafka_err2str(err));
			else
				fail(kafka_exit_code(err), "offsets: %s", rd_kafka_err2str(err));
			rd_kafka_topic_partition_list_destroy(list);
			return -1;
		}
		rd_kafka_topic_partition_list_destroy(list);
		list = NULL;
		sleep_ms(50);
		slice *= 2;
	}
	if (!list)
		return sig_stop() ? fail(EXIT_INT, "interrupted") : kafka_fail_unreachable(k);
	for (int i = 0; i < list->cnt; i++)
		*(int64_t *)((char *)&c->partition[i] + field) = list->elems[i].offset;
	rd_kafka_topic_partition_list_destroy(list);
	return 0;
}

/* The high watermark comes first: else whatever arrives in between looks like an open transaction. */
static int find_offsets(struct consumer *c)
{
	if (c->probe.rk &&
	    ask_offsets(c, &c->probe, ASK_END, offsetof(struct consumer_partition, high)) < 0)
		return -1;
	if (ask_offsets(c, &c->kafka, ASK_END, offsetof(struct consumer_partition, stable)) < 0 ||
	    ask_offsets(c, &c->kafka, ASK_START, offsetof(struct consumer_partition, low)) < 0)
		return -1;
	if (c->o.start.kind == START_TIME &&
	    ask_offsets(c, &c->kafka, c->o.start.n, offsetof(struct consumer_partition, start)) < 0)
		return -1;
	if (c->o.start.has_stop &&
	    ask_offsets(c, &c->kafka, c->o.start.stop_ms, offsetof(struct consumer_partition, stop)) < 0)
		return -1;
	return 0;
}

static void warn_open_transactions(const struct consumer *c)
{
	const struct consumer_partition *first = NULL;
	int64_t offsets = 0;
	size_t count = 0;

	for (size_t i = 0; i < c->partitions; i++) {
		const struct consumer_partition *p = &c->partition[i];

		if (p->stable >= p->high)
			continue;
		offsets += p->high - p->stable;
		count++;
		if (!first)
			first = p;
	}
	if (count == 1)
		warn("%s [%" PRId32 "]: %" PRId64 " offsets from %" PRId64
		     " on wait for an open transaction: left for a later run",
		    first->topic, first->id, offsets, first->stable);
	else if (count > 1)
		warn("%" PRId64 " offsets in %zu partitions wait for open transactions (first %s [%" PRId32
		     "] from %" PRId64 " on): left for a later run",
		    offsets, count, first->topic, first->id, first->stable);
}

/* ---- where to start ---- */

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

static int start_as_asked(struct consumer_partition *p, const struct consumer_start *s)
{
	switch (s->kind) {
	case START_BEGINNING:
		p->start = p->low;
		break;
	case START_END:
		p->start = p->stable;
		break;
	case START_TAIL:
		p->start = clamp(p->stable - s->n, p->low, p->stable);
		break;
	case START_TIME:
		p->start = p->start < 0 ? p->stable : p->start; /* negative: no record is that late */
		break;
	case START_OFFSET:
		if (s->n < p->low)
			return fail(EXIT_DATA,
			    "%s [%" PRId32 "]: offset %" PRId64 " is gone: the log starts at %" PRId64,
			    p->topic, p->id, s->n, p->low);
		if (s->n > p->stable)
			return fail(EXIT_DATA,
			    "%s [%" PRId32 "]: offset %" PRId64
			    " is beyond the end of the log, %" PRId64,
			    p->topic, p->id, s->n, p->stable);
		p->start = s->n;
		break;
	}
	return 0;
}

static int start_from_sink(const struct consumer *c, struct consumer_partition *p,
    const struct position *sink)
{
	if (sink->next > p->high)
		return fail(EXIT_DATA,
		    "%s [%" PRId32 "]: the sink's position %" PRId64
		    " is beyond the end of the log, %" PRId64
		    ": the topic was recreated or truncated; nothing was read. If that was on purpose, "
		    "read it anew without --from and let the sink begin its positions anew (--recreated)",
		    p->topic, p->id, sink->next, p->high);
	if (sink->next < p->low && !c->o.skip_lost)
		return fail(EXIT_DATA,
		    "%s [%" PRId32 "]: the sink's position is %" PRId64
		    " but the log starts at %" PRId64 ": %" PRId64
		    " offsets were deleted before they were read (retention?); --skip-lost goes on behind "
		    "them (the sink then needs --allow-gap)",
		    p->topic, p->id, sink->next, p->low, p->low - sink->next);
	if (sink->next < p->low)
		warn("%s [%" PRId32 "]: offsets %" PRId64 " to %" PRId64 " are lost: %" PRId64
		     " skipped",
		    p->topic, p->id, sink->next, p->low - 1, p->low - sink->next);
	p->start = sink->next < p->low ? p->low : sink->next;
	if (sink->last_offset >= p->low && sink->last_offset < p->high && sink->last_ts >= 0) {
		p->check_offset = sink->last_offset;
		p->check_ts = sink->last_ts;
	}
	return 0;
}

static int choose_offsets(struct consumer *c)
{
	for (size_t i = 0; i < c->partitions; i++) {
		struct consumer_partition *p = &c->partition[i];
		const struct position *sink = NULL;

		if (c->o.from)
			sink = positions_find(c->o.from,
			    (struct span){ p->topic, strlen(p->topic) }, p->id);
		if (sink ? start_from_sink(c, p, sink) < 0 : start_as_asked(p, &c->o.start) < 0)
			return -1;
		p->end = c->o.pin ? p->stable : INT64_MAX;
		if (c->o.start.has_stop)
			p->end = p->stop < 0 || p->stop > p->stable ? p->stable : p->stop;
		p->next = p->start;
		p->marked = -1;
		p->done = p->next >= p->end;
		if (p->done)
			continue;
		c->open++;
		if (p->end != INT64_MAX)
			c->total += (uint64_t)(p->end - p->next);
	}
	return 0;
}

/* ---- is it still the same topic? ---- */

static int start_partition(struct consumer *c, rd_kafka_topic_t *rkt, int32_t id, int64_t offset,
    rd_kafka_queue_t *queue)
{
	if (rd_kafka_consume_start_queue(rkt, id, offset, queue) == 0)
		return 0;
	return fail(kafka_exit_code(rd_kafka_last_error()), "%s [%" PRId32 "]: offset %" PRId64 ": %s",
	    rd_kafka_topic_name(rkt), id, offset, rd_kafka_err2str(rd_kafka_last_error()));
}

/* What the queue says of a partition that is being checked. 0: seen; -1: fail(); 1: go on waiting. */
static int check_last(struct consumer_partition *p, const rd_kafka_message_t *m)
{
	int64_t ts;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return 0;
	if (m->err)
		return kafka_transient(m->err) || is_unknown(m->err)
		    ? 1
		    : fail(kafka_exit_code(m->err), "%s [%" PRId32 "]: offset %" PRId64 ": %s",
			  p->topic, p->id, p->check_offset, rd_kafka_message_errstr(m));
	ts = rd_kafka_message_timestamp(m, NULL);
	if (m->offset == p->check_offset && ts != p->check_ts)
		return fail(EXIT_DATA,
		    "%s [%" PRId32 "]: the record at offset %" PRId64 " has the time %" PRId64
		    ", the one that the sink stored had %" PRId64
		    ": the topic was recreated; nothing was read. If that was on "
		    "purpose, read it anew without --from and let the sink begin its positions anew (--recreated)",
		    p->topic, p->id, p->check_offset, ts, p->check_ts);
	return 0;
}

/*
 * Reads the sink's last record again in every partition, with a client of its own: so nothing has to be
 * held back meanwhile, and idle partitions are checked too.
 */
static int check_recreated(struct consumer *c)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(c->probe.rk);
	rd_kafka_message_t *m;
	rd_kafka_topic_t *rkt;
	size_t waiting = 0;
	int result = 0;

	for (size_t t = 0; t < c->topics && result == 0; t++) {
		rkt = rd_kafka_topic_new(c->probe.rk, c->topic[t]->name, NULL);
		for (int32_t id = 0; id < c->topic[t]->partitions && result == 0; id++) {
			struct consumer_partition *p = c->topic[t]->partition[id];

			if (!p || p->check_offset < 0)
				continue;
			result = start_partition(c, rkt, id, p->check_offset, queue);
			waiting++;
		}
	}
	while (result == 0 && waiting > 0) {
		struct consumer_partition *p = NULL;

		kafka_poll(&c->probe, 0);
		if (sig_stop())
			result = fail(EXIT_INT, "interrupted");
		else if (clock_mono_ms() > c->deadline)
			result = kafka_fail_unreachable(&c->probe);
		else if (rd_kafka_consume_batch_queue(queue, IDLE_MS, &m, 1) == 1) {
			for (size_t i = 0; i < c->partitions; i++)
				if (c->partition[i].id == m->partition &&
				    strcmp(c->partition[i].topic, rd_kafka_topic_name(m->rkt)) == 0)
					p = &c->partition[i];
			if (p && p->check_offset >= 0) {
				result = check_last(p, m);
				if (result == 0) {
					p->check_offset = -1;
					waiting--;
				} else if (result > 0)
					result = 0;
			}
			rd_kafka_message_destroy(m);
		}
	}
	rd_kafka_queue_destroy(queue);
	return result;
}

/* ---- open and close ---- */

static void drop_current(struct consumer *c)
{
	if (c->current)
		rd_kafka_message_destroy(c->current);
	c->current = NULL;
}

static int start(struct consumer *c)
{
	rd_kafka_topic_partition_list_t *list = make_list(c, ASK_END);

	c->queue = rd_kafka_queue_new(c->kafka.rk);
	if (c->open > 0)
		c->nudge = nudge_open(c->kafka.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	for (size_t i = 0; i < c->partitions; i++) {
		const struct consumer_partition *p = &c->partition[i];

		if (!p->done && start_partition(c, p->rkt, p->id, p->start, c->queue) < 0)
			return -1;
	}
	return 0;
}

static int prepare(struct consumer *c, const struct kafka_config *config)
{
	bool probe = c->o.pin || c->o.from || c->o.start.has_stop;

	if (kafka_open(&c->kafka, config, RD_KAFKA_CONSUMER, consumer_settings,
		consumer_settings_count) < 0)
		return -1;
	if (probe &&
	    kafka_open(&c->probe, config, RD_KAFKA_CONSUMER, probe_settings,
		OPT_COUNT(probe_settings)) < 0)
		return -1;
	if (find_topics(c) < 0 || find_partitions(c) < 0 || find_offsets(c) < 0 || choose_offsets(c) < 0)
		return -1;
	if (c->o.from && check_recreated(c) < 0)
		return -1;
	if (c->o.pin)
		warn_open_transactions(c);
	return start(c);
}

struct consumer *consumer_open(const struct kafka_config *config, const struct consumer_options *o)
{
	struct consumer *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	c->deadline = clock_mono_ms() + o->timeout_ms;
	c->batch = xcalloc(BATCH, sizeof(*c->batch));
	c->batch_max = BATCH;
	if (prepare(c, config) < 0) {
		consumer_close(c);
		return NULL;
	}
	return c;
}

void consumer_close(struct consumer *c)
{
	nudge_close(c->nudge);
	drop_current(c);
	while (c->batch_at < c->batch_len)
		rd_kafka_message_destroy(c->batch[c->batch_at++]);
	for (size_t i = 0; i < c->partitions; i++)
		buf_release(&c->partition[i].prefix);
	for (size_t i = 0; i < c->topics; i++) {
		rd_kafka_topic_destroy(c->topic[i]->rkt);
		free(c->topic[i]->partition);
		free(c->topic[i]->name);
		free(c->topic[i]);
	}
	if (c->queue)
		rd_kafka_queue_destroy(c->queue);
	kafka_close(&c->probe);
	kafka_close(&c->kafka);
	free(c->topic);
	free(c->partition);
	free(c->batch);
	free(c);
}

size_t consumer_partitions(struct consumer *c)
{
	return c->partitions;
}

struct consumer_partition *consumer_partition(struct consumer *c, size_t i)
{
	return &c->partition[i];
}

uint64_t consumer_total(const struct consumer *c)
{
	return c->total;
}

uint64_t consumer_passed(const struct consumer *c)
{
	return c->passed;
}

/* ---- the run ---- */

static struct consumer_partition *partition_of(struct consumer *c, const rd_kafka_message_t *m)
{
	struct topic *t;

	if (m->rkt == c->recent_rkt && m->partition == c->recent->id)
		return c->recent;
	t = m->rkt ? rd_kafka_topic_opaque(m->rkt) : NULL;
	if (!t || m->partition < 0 || m->partition >= t->partitions || !t->partition[m->partition])
		return NULL;
	c->recent_rkt = m->rkt;
	c->recent = t->partition[m->partition];
	return c->recent;
}

static void pass(struct consumer *c, struct consumer_partition *p, int64_t next)
{
	c->passed += (uint64_t)(next - p->next);
	p->next = next;
	if (next >= p->end) {
		p->done = true;
		c->open--;
	}
}

static enum consumer_result failed_message(struct consumer *c, const struct consumer_partition *p,
    const rd_kafka_message_t *m)
{
	if (kafka_transient(m->err) || is_unknown(m->err)) {
		note("%s", rd_kafka_message_errstr(m)); /* librdkafka tries again; check_silence watches the time */
		return CONSUMER_IDLE;
	}
	if (p)
		fail(kafka_exit_code(m->err), "%s [%" PRId32 "]: offset %" PRId64 ": %s", p->topic,
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
	struct consumer_partition *p = partition_of(c, m);

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
	return c->o.timeout_ms / 2 < ASK_AFTER_MS ? c->o.timeout_ms / 2 : ASK_AFTER_MS;
}

/* The ends of the log of all partitions that are not done; the first error, 0 when all answered. */
static rd_kafka_resp_err_t ask_open_ends(struct consumer *c, rd_kafka_topic_partition_list_t **list)
{
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)c->open);
	rd_kafka_resp_err_t err;

	for (size_t i = 0; i < c->partitions; i++)
		if (!c->partition[i].done)
			rd_kafka_topic_partition_list_add(l, c->partition[i].topic, c->partition[i].id)
			    ->offset = ASK_END;
	err = rd_kafka_offsets_for_times(c->kafka.rk, l, ASK_MS);
	if (!err && first_error(l))
		err = first_error(l)->err;
	*list = l;
	return err;
}

/* A log that ends below what was promised or read was cut: librdkafka would wait there for ever. */
static int check_truncated(const struct consumer *c, const rd_kafka_topic_partition_list_t *list)
{
	int at = 0;

	for (size_t i = 0; i < c->partitions; i++) {
		const struct consumer_partition *p = &c->partition[i];
		int64_t expected = p->end == INT64_MAX ? p->next : p->end;

		if (p->done)
			continue;
		if (list->elems[at].offset < expected)
			return fail(EXIT_DATA,
			    "%s [%" PRId32 "]: the log ends at %" PRId64 ", below %" PRId64
			    ": the topic was truncated or recreated while it was read",
			    p->topic, p->id, list->elems[at].offset, expected);
		at++;
	}
	return 0;
}

/*
 * Called while nothing comes. Silence means that nothing is there to read, that the brokers are gone,
 * or that the topic is: so after a while they are asked. 0; -1 with fail() when they have not
 * answered for the whole timeout.
 */
static int check_silence(struct consumer *c)
{
	int64_t now = clock_mono_ms(), timeout = c->o.timeout_ms;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err;
	int result = 0;

	if (c->kafka.fatal)
		return fail(EXIT_UNAVAILABLE, "%s", c->kafka.why);
	if (now < c->ask_ms)
		return 0;
	err = ask_open_ends(c, &list);
	now = clock_mono_ms();
	if (!err) {
		result = check_truncated(c, list);
		c->silent_ms = now;
		c->ask_ms = now + ask_after(c);
	} else if (!kafka_transient(err) && (!is_unknown(err) || now - c->silent_ms > timeout)) {
		result = fail(kafka_exit_code(err), "%s: %s",
		    first_error(list) ? first_error(list)->topic : c->kafka.brokers,
		    rd_kafka_err2str(err));
	} else if (now - c->silent_ms > timeout) {
		result = kafka_fail_unreachable(&c->kafka);
	} else {
		c->ask_ms = now + IDLE_MS;
	}
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
