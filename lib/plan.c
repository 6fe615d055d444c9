#include "plan.h"

#include "clock.h"
#include "io.h"

#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPREAD_MS 3000 /* a topic just created may be unknown to a broker for this long */
#define WAIT_MS   100  /* between looks at what may end a wait */

#define PARTITION_MAX 1000000

/*
 * The probe's: everything that is there, and little of it, but of all partitions at once: each fetch costs
 * the broker 30 ms when there are a thousand.
 */
static const struct kafka_setting probe_settings[] = {
	{ "client.id", "sluice", false },
	{ "fetch.max.bytes", "16777216", false },
	{ "receive.message.max.bytes", "1200000000", false },
	{ "isolation.level", "read_uncommitted", true },
	{ "fetch.message.max.bytes", "65536", true },
	{ "fetch.wait.max.ms", "50", true },
	{ "auto.offset.reset", "error", true },
	{ "enable.auto.commit", "false", true },
	{ "enable.partition.eof", "true", true },
	{ "allow.auto.create.topics", "false", true },
};

/* ---- -t and -p ---- */

/* The next of A,B,..., maybe empty, to be freed; NULL at the end. */
static char *next_of_list(const char **list)
{
	size_t n = strcspn(*list, ",");
	char *item;

	if (!**list)
		return NULL;
	item = xstrndup(*list, n);
	*list += n + ((*list)[n] == ',');
	return item;
}

int plan_add_topics(void *options, const char *arg)
{
	struct plan_options *o = options;
	char *name;

	while ((name = next_of_list(&arg))) {
		if (!*name) {
			free(name);
			continue;
		}
		o->topic = xrealloc(o->topic, (o->topics + 1) * sizeof(*o->topic));
		o->topic[o->topics++] = name;
	}
	return 0;
}

int plan_add_partitions(void *options, const char *arg)
{
	struct plan_options *o = options;
	char *text;

	while ((text = next_of_list(&arg))) {
		int64_t id = 0;
		int result = opt_int(text, 0, PARTITION_MAX, &id);
		int32_t *ids;

		free(text);
		if (result < 0)
			return -1;
		ids = xrealloc((void *)o->partition, (o->partitions + 1) * sizeof(*ids));
		ids[o->partitions++] = (int32_t)id;
		o->partition = ids;
	}
	return 0;
}

void plan_options_release(struct plan_options *o)
{
	for (size_t i = 0; i < o->topics; i++)
		free((char *)o->topic[i]);
	free(o->topic);
	free((void *)o->partition);
	o->topic = NULL;
	o->partition = NULL;
	o->topics = o->partitions = 0;
}

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

int plan_start_parse(void *start, const char *arg)
{
	struct plan_start *s = start;
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

static bool is_pattern(const char *name)
{
	return name[0] == '^';
}

static rd_kafka_topic_t *new_topic(struct kafka *k, struct plan_topic *t)
{
	rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(k->rk);
	rd_kafka_topic_t *rkt;

	rd_kafka_topic_conf_set_opaque(conf, t);
	rkt = rd_kafka_topic_new(k->rk, t->name, conf);
	if (!rkt)
		fail(EXIT_CONFIG, "%s: %s", t->name, rd_kafka_err2str(rd_kafka_last_error()));
	return rkt;
}

struct plan_partition *plan_partition_of(const rd_kafka_message_t *m)
{
	const struct plan_topic *t = m->rkt ? rd_kafka_topic_opaque(m->rkt) : NULL;

	return t && m->partition >= 0 && m->partition < t->partitions ? t->partition[m->partition]
								      : NULL;
}

static int add_topic(struct plan *plan, const char *name)
{
	struct plan_topic *t;

	for (size_t i = 0; i < plan->topics; i++)
		if (strcmp(plan->topic[i]->name, name) == 0)
			return 0;
	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(name);
	plan->topic = xrealloc(plan->topic, (plan->topics + 1) * sizeof(*plan->topic));
	plan->topic[plan->topics++] = t;
	t->rkt = new_topic(plan->kafka, t);
	return t->rkt ? 0 : -1;
}

/* Kafka's own bookkeeping is read only when it is asked for by name. */
static bool is_internal(const char *name)
{
	return strcmp(name, "__consumer_offsets") == 0 || strcmp(name, "__transaction_state") == 0;
}

static int add_matching(struct plan *plan, const char *pattern, const struct rd_kafka_metadata *md)
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
		    add_topic(plan, md->topics[i].topic) < 0) {
			regfree(&re);
			return -1;
		}
	regfree(&re);
	return 0;
}

static int find_topics(struct plan *plan)
{
	const struct rd_kafka_metadata *md;
	bool patterns = false;
	int result = 0;

	for (size_t i = 0; i < plan->o.topics; i++) {
		if (is_pattern(plan->o.topic[i]))
			patterns = true;
		else if (add_topic(plan, plan->o.topic[i]) < 0)
			return -1;
	}
	if (!patterns)
		return 0;
	if (kafka_metadata(plan->kafka, KAFKA_ASK_ALL, plan->deadline, &md) < 0)
		return -1;
	for (size_t i = 0; result == 0 && i < plan->o.topics; i++)
		if (is_pattern(plan->o.topic[i]))
			result = add_matching(plan, plan->o.topic[i], md);
	rd_kafka_metadata_destroy(md);
	if (result == 0 && plan->topics == 0)
		return fail(EXIT_CONFIG, "%s: no topic matches", plan->o.topic[0]);
	return result;
}

/* ---- which partitions ---- */

static bool wanted(const struct plan *plan, int32_t id)
{
	for (size_t i = 0; i < plan->o.partitions; i++)
		if (plan->o.partition[i] == id)
			return true;
	return !plan->o.partition;
}

static int check_topic(const struct plan *plan, const struct rd_kafka_metadata_topic *m)
{
	if (m->err)
		return fail(kafka_exit_code(m->err), "%s: %s", m->topic,
		    kafka_unknown(m->err) ? "there is no such topic" : rd_kafka_err2str(m->err));
	for (size_t i = 0; i < plan->o.partitions; i++)
		if (plan->o.partition[i] >= m->partition_cnt)
			return fail(EXIT_CONFIG,
			    "%s/%" PRId32 ": there is no such partition: the topic has %d",
			    m->topic, plan->o.partition[i], m->partition_cnt);
	return 0;
}

static struct rd_kafka_metadata_topic metadata_of(const struct rd_kafka_metadata *md,
    struct plan_topic *t)
{
	for (int i = 0; i < md->topic_cnt; i++)
		if (strcmp(md->topics[i].topic, t->name) == 0)
			return md->topics[i];
	return (struct rd_kafka_metadata_topic){ .topic = t->name,
		.err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART };
}

static int compare_topics(const void *a, const void *b)
{
	return strcmp((*(struct plan_topic *const *)a)->name, (*(struct plan_topic *const *)b)->name);
}

static void add_partitions(struct plan *plan, struct plan_topic *t, int32_t count)
{
	t->partitions = count;
	t->partition = xcalloc((size_t)count, sizeof(*t->partition));
	for (int32_t id = 0; id < count; id++) {
		if (!wanted(plan, id))
			continue;
		t->partition[id] = &plan->partition[plan->partitions++];
		*t->partition[id] = (struct plan_partition){ .topic = t->name,
			.id = id,
			.rkt = t->rkt,
			.stop = INT64_MAX,
			.check_offset = -1 };
	}
}

/* 0; -1 with fail(); 1: a topic is not there (yet), fail() says which. */
static int try_partitions(struct plan *plan, const struct rd_kafka_metadata *md)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->topics; i++) {
		struct rd_kafka_metadata_topic m = metadata_of(md, plan->topic[i]);

		if (check_topic(plan, &m) < 0)
			return fail_code() == EXIT_CONFIG || kafka_transient(m.err) ? 1 : -1;
		count += (size_t)m.partition_cnt;
	}
	plan->partition = xcalloc(count, sizeof(*plan->partition));
	for (size_t i = 0; i < plan->topics; i++)
		add_partitions(plan, plan->topic[i], metadata_of(md, plan->topic[i]).partition_cnt);
	return 0;
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL); /* a signal ends it early: right */
}

static int find_partitions(struct plan *plan)
{
	int64_t give_up = clock_mono_ms() + SPREAD_MS;
	const struct rd_kafka_metadata *md;
	int result;

	if (give_up > plan->deadline - 2 * WAIT_MS) /* the last word is the broker's, not the deadline's */
		give_up = plan->deadline - 2 * WAIT_MS;
	for (;;) {
		if (kafka_metadata(plan->kafka, KAFKA_ASK_KNOWN, plan->deadline, &md) < 0)
			return -1;
		qsort(plan->topic, plan->topics, sizeof(*plan->topic), compare_topics);
		result = try_partitions(plan, md);
		rd_kafka_metadata_destroy(md);
		if (result <= 0)
			return result;
		if (clock_mono_ms() >= give_up || sig_stop())
			return -1;
		sleep_ms(WAIT_MS);
	}
}

/* ---- offsets ---- */

rd_kafka_topic_partition_list_t *plan_list(const struct plan *plan, bool open, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(
	    (int)plan->partitions);

	for (size_t i = 0; i < plan->partitions; i++) {
		const struct plan_partition *p = &plan->partition[i];

		if (!open || !p->done)
			rd_kafka_topic_partition_list_add(list, p->topic, p->id)->offset = offset;
	}
	return list;
}

/* 0; -1 with fail() when it will not pass by itself; 1: ask again, fail() says why. */
static int ask_once(struct kafka *k, rd_kafka_topic_partition_list_t *list, int64_t timeout_ms)
{
	rd_kafka_resp_err_t err = kafka_ask_offsets(k, list, (int)timeout_ms);
	const rd_kafka_topic_partition_t *bad;

	if (!err)
		return 0;
	kafka_poll(k, 0);
	/* The broker named the partitions just now: that the client has lost them again is not what it says. */
	if (kafka_transient(err) || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	    err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
		kafka_fail_unreachable(k);
		return 1;
	}
	bad = kafka_culprit(k, list, err, (int)timeout_ms);
	if (!bad)
		return 1; /* it has passed */
	fail(kafka_exit_code(err), "%s/%" PRId32 ": offsets: %s", bad->topic, bad->partition,
	    rd_kafka_err2str(err));
	return kafka_unknown(err) ? 1 : -1;
}

/* Puts the answer for each partition at `field` of its struct. */
static int ask_offsets(struct plan *plan, struct kafka *k, int64_t ask, size_t field)
{
	rd_kafka_topic_partition_list_t *list;
	int64_t slice = 500, left;
	int result = kafka_fail_unreachable(k);

	while (result != 0 && !sig_stop() && (left = plan->deadline - clock_mono_ms()) > 0) {
		list = plan_list(plan, false, ask);
		result = ask_once(k, list, left < slice ? left : slice);
		for (int i = 0; result == 0 && i < list->cnt; i++)
			*(int64_t *)((char *)&plan->partition[i] + field) = list->elems[i].offset;
		rd_kafka_topic_partition_list_destroy(list);
		if (result < 0)
			break;
		if (result > 0)
			sleep_ms(WAIT_MS);
		if (slice < 8000) /* a signal has to wait so long */
			slice *= 2;
	}
	return result ? -1 : 0;
}

/* The high watermark comes first: else whatever arrives in between looks like an open transaction. */
static int find_offsets(struct plan *plan)
{
	if (plan->probe.rk &&
	    ask_offsets(plan, &plan->probe, KAFKA_LOG_END, offsetof(struct plan_partition, high)) < 0)
		return -1;
	if (ask_offsets(plan, plan->kafka, KAFKA_LOG_END, offsetof(struct plan_partition, stable)) < 0 ||
	    ask_offsets(plan, plan->kafka, KAFKA_LOG_START, offsetof(struct plan_partition, low)) < 0)
		return -1;
	if (plan->o.start.kind == START_TIME &&
	    ask_offsets(plan, plan->kafka, plan->o.start.n, offsetof(struct plan_partition, start)) < 0)
		return -1;
	if (plan->o.start.has_stop &&
	    ask_offsets(plan, plan->kafka, plan->o.start.stop_ms,
		offsetof(struct plan_partition, stop)) < 0)
		return -1;
	return 0;
}

static void warn_open_transactions(const struct plan *plan)
{
	const struct plan_partition *first = NULL;
	int64_t offsets = 0;
	size_t count = 0;

	for (size_t i = 0; i < plan->partitions; i++) {
		const struct plan_partition *p = &plan->partition[i];

		if (p->stable >= p->high)
			continue;
		offsets += p->high - p->stable;
		count++;
		if (!first)
			first = p;
	}
	if (count == 1)
		warn("%s/%" PRId32 ": %" PRId64 " offsets from %" PRId64
		     " on wait for an open transaction: left for a later run",
		    first->topic, first->id, offsets, first->stable);
	else if (count > 1)
		warn("%" PRId64 " offsets in %zu partitions wait for open transactions (first %s/%" PRId32
		     " from %" PRId64 " on): left for a later run",
		    offsets, count, first->topic, first->id, first->stable);
}

/* ---- where to start ---- */

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

static int start_as_asked(struct plan_partition *p, const struct plan_start *s)
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
			    "%s/%" PRId32 ": offset %" PRId64 " is gone: the log starts at %" PRId64,
			    p->topic, p->id, s->n, p->low);
		if (s->n > p->stable)
			return fail(EXIT_DATA,
			    "%s/%" PRId32 ": offset %" PRId64 " is beyond the end of the log, %" PRId64,
			    p->topic, p->id, s->n, p->stable);
		p->start = s->n;
		break;
	}
	return 0;
}

static int start_from_sink(const struct plan *plan, struct plan_partition *p,
    const struct position *sink)
{
	if (sink->next > p->high)
		return fail(EXIT_DATA,
		    "%s/%" PRId32 ": the sink's position %" PRId64
		    " is beyond the end of the log, %" PRId64
		    ": the topic was recreated or truncated; nothing was read. If that was on purpose, "
		    "read it anew without --from and let the sink begin its positions anew (--recreated)",
		    p->topic, p->id, sink->next, p->high);
	if (sink->next < p->low && !plan->o.skip_lost)
		return fail(EXIT_DATA,
		    "%s/%" PRId32 ": the sink's position is %" PRId64
		    " but the log starts at %" PRId64 ": %" PRId64
		    " offsets were deleted before they were read (retention?); --skip-lost goes on behind "
		    "them (the sink then needs --allow-gap)",
		    p->topic, p->id, sink->next, p->low, p->low - sink->next);
	if (sink->next < p->low)
		warn("%s/%" PRId32 ": offsets %" PRId64 " to %" PRId64 " are lost: %" PRId64 " skipped",
		    p->topic, p->id, sink->next, p->low - 1, p->low - sink->next);
	p->start = sink->next < p->low ? p->low : sink->next;
	if (sink->last_offset >= p->low && sink->last_offset < p->high && sink->last_ts >= 0) {
		p->check_offset = sink->last_offset;
		p->check_ts = sink->last_ts;
	}
	return 0;
}

static int choose_offsets(struct plan *plan)
{
	for (size_t i = 0; i < plan->partitions; i++) {
		struct plan_partition *p = &plan->partition[i];
		const struct position *sink = NULL;

		if (plan->o.from)
			sink = positions_find(plan->o.from,
			    (struct span){ p->topic, strlen(p->topic) }, p->id);
		if (sink ? start_from_sink(plan, p, sink) < 0 : start_as_asked(p, &plan->o.start) < 0)
			return -1;
		p->end = plan->o.pin ? p->stable : INT64_MAX;
		if (plan->o.start.has_stop)
			p->end = p->stop < 0 || p->stop > p->stable ? p->stable : p->stop;
		p->next = p->start;
		p->marked = -1;
		p->done = p->next >= p->end;
	}
	return 0;
}

/* ---- is it still the same topic? ---- */

/*
 * What the probe got for a partition that is being checked. 1: nothing speaks against it; 0: go on
 * waiting; -1 with fail(). A later record or the end of the log in its place: compaction took it.
 */
static int check_last(const struct plan_partition *p, const rd_kafka_message_t *m)
{
	int64_t ts;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return 1;
	if (m->err && (kafka_transient(m->err) || kafka_unknown(m->err)))
		return 0;
	if (m->err)
		return fail(kafka_exit_code(m->err), "%s/%" PRId32 ": offset %" PRId64 ": %s",
		    p->topic, p->id, p->check_offset, rd_kafka_message_errstr(m));
	ts = rd_kafka_message_timestamp(m, NULL);
	if (m->offset == p->check_offset && ts != p->check_ts)
		return fail(EXIT_DATA,
		    "%s/%" PRId32 ": the record at offset %" PRId64 " has the time %" PRId64
		    ", the one that the sink stored had %" PRId64
		    ": the topic was recreated; nothing was read. If that was on purpose, read it anew "
		    "without --from and let the sink begin its positions anew (--recreated)",
		    p->topic, p->id, p->check_offset, ts, p->check_ts);
	return 1;
}

/* Starts the probe where there is something to check. The number of partitions, -1 with fail(). */
static int start_checks(struct plan *plan, rd_kafka_queue_t *queue)
{
	int started = 0;

	for (size_t i = 0; i < plan->topics; i++) {
		struct plan_topic *t = plan->topic[i];
		rd_kafka_topic_t *rkt = new_topic(&plan->probe, t);

		for (int32_t id = 0; rkt && id < t->partitions; id++) {
			if (!t->partition[id] || t->partition[id]->check_offset < 0)
				continue;
			if (kafka_start(rkt, id, t->partition[id]->check_offset, queue) < 0)
				started = -1;
			if (started < 0)
				break;
			started++;
		}
		if (rkt)
			rd_kafka_topic_destroy(rkt);
		if (!rkt || started < 0)
			return -1;
	}
	return started;
}

/* 1: one partition less to wait for; 0: none; -1 with fail(). */
static int take_check(struct plan *plan, rd_kafka_queue_t *queue)
{
	struct plan_partition *p;
	rd_kafka_message_t *m;
	int result = 0;

	kafka_poll(&plan->probe, 0);
	if (sig_stop())
		return fail(EXIT_INT, "interrupted");
	if (clock_mono_ms() > plan->deadline)
		return kafka_fail_unreachable(&plan->probe);
	if (rd_kafka_consume_batch_queue(queue, WAIT_MS, &m, 1) != 1)
		return 0;
	p = plan_partition_of(m);
	if (p && p->check_offset >= 0)
		result = check_last(p, m);
	if (result > 0)
		p->check_offset = -1;
	rd_kafka_message_destroy(m);
	return result;
}

/*
 * Reads the sink's last record again in every partition, idle ones too. By the probe, so that nothing
 * has to be held back until the last partition has answered.
 */
static int check_recreated(struct plan *plan)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(plan->probe.rk);
	int waiting = start_checks(plan, queue);
	int done = 0;

	while (waiting > 0 && done >= 0) {
		done = take_check(plan, queue);
		waiting -= done;
	}
	rd_kafka_queue_destroy(queue);
	return waiting < 0 || done < 0 ? -1 : 0;
}

/* ---- all of it ---- */

int plan_make(struct plan *plan, struct kafka *kafka, const struct kafka_config *config,
    const struct plan_options *o)
{
	*plan = (struct plan){ .o = *o, .kafka = kafka, .deadline = clock_mono_ms() + o->timeout_ms };
	if ((o->pin || o->from) &&
	    kafka_open(&plan->probe, config, RD_KAFKA_CONSUMER, probe_settings,
		OPT_COUNT(probe_settings)) < 0)
		return -1;
	if (find_topics(plan) < 0 || find_partitions(plan) < 0 || find_offsets(plan) < 0 ||
	    choose_offsets(plan) < 0)
		return -1;
	if (o->from && check_recreated(plan) < 0)
		return -1;
	if (o->pin)
		warn_open_transactions(plan);
	kafka_close(&plan->probe);
	return 0;
}

void plan_release(struct plan *plan)
{
	kafka_close(&plan->probe);
	for (size_t i = 0; i < plan->partitions; i++)
		buf_release(&plan->partition[i].prefix);
	for (size_t i = 0; i < plan->topics; i++) {
		if (plan->topic[i]->rkt)
			rd_kafka_topic_destroy(plan->topic[i]->rkt);
		free(plan->topic[i]->partition);
		free(plan->topic[i]->name);
		free(plan->topic[i]);
	}
	free(plan->topic);
	free(plan->partition);
	*plan = (struct plan){ 0 };
}
