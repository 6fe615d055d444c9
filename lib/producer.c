#include "producer.h"

#include "clock.h"
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define IN_FLIGHT_MAX ((size_t)128 << 20) /* bytes; one larger message goes alone */
#define WAIT_MS       100

/* What the promise of order and acknowledgement rests on is fixed; the rest are defaults. */
static const struct kafka_setting own[] = {
	{ "client.id", "sluice", false },
	{ "enable.idempotence", "true", true }, /* implies acks=all and retries for ever */
	{ "message.timeout.ms", "0", true },    /* producer_poll limits silence instead */
	{ "partitioner", "murmur2_random", false }, /* Java's: a key goes where other producers put it */
	{ "message.max.bytes", "1000000000", false },
	{ "queue.buffering.max.messages", "500000", false },
	{ "queue.buffering.max.kbytes", "2097151", true }, /* we count bytes ourselves: IN_FLIGHT_MAX */
	{ "reconnect.backoff.max.ms", "1000", false },
	{ "topic.metadata.propagation.max.ms", "10000", false }, /* an unknown topic: may be auto-created */
};

#define OWN (sizeof(own) / sizeof(own[0]))

struct acked {
	int64_t offset, ts; /* of the last one; offset -1: none yet */
	bool moved;
};

struct producer_topic {
	struct span name;
	rd_kafka_topic_t *rkt;
	struct acked *part;
	int32_t parts;
};

/* ---- failures ---- */

static int fail_first(const struct producer *p)
{
	return fail(p->code, "%s", p->why);
}

/* A message that a broker will never take is bad data, whatever else the error may mean elsewhere. */
static enum exit_code exit_code_of(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		return EXIT_DATA;
	default:
		return kafka_exit_code(err);
	}
}

/* Only the first failure is told: the others mostly follow from it. */
static void remember(struct producer *p, uint64_t tag, const char *topic, int32_t partition,
    rd_kafka_resp_err_t err)
{
	struct buf text = BUF_INIT;
	rd_kafka_resp_err_t fatal;
	char why[512];

	if (p->failed++ > 0)
		return;
	/* After a fatal error all that waits is purged: then that error is the reason. */
	fatal = rd_kafka_fatal_error(p->kafka.rk, why, sizeof(why));
	err = fatal ? fatal : err;
	buf_addf(&text, "topic %s", topic);
	if (partition >= 0)
		buf_addf(&text, " partition %" PRId32, partition);
	buf_addf(&text, ": %s", fatal ? why : rd_kafka_err2str(err));
	/* What asks for the right is the idempotent producer's number, before any record is seen. */
	if (err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
		buf_add_str(&text, " (may this user write to the topic?)");
	p->failed_tag = tag;
	p->code = exit_code_of(err);
	snprintf(p->why, sizeof(p->why), "%s", buf_cstr(&text));
	buf_release(&text);
}

/* ---- acknowledgements ---- */

static void note_ack(struct producer_topic *t, const rd_kafka_message_t *m)
{
	struct acked *a;

	if (m->partition >= t->parts) {
		t->part = xrealloc(t->part, ((size_t)m->partition + 1) * sizeof(*t->part));
		while (t->parts <= m->partition)
			t->part[t->parts++] = (struct acked){ .offset = -1 };
	}
	a = &t->part[m->partition];
	a->offset = m->offset;
	a->ts = rd_kafka_message_timestamp(m, NULL);
	a->moved = true;
}

static void on_delivered(void *ctx, const rd_kafka_message_t *m)
{
	struct producer *p = ctx;

	p->in_flight -= m->len + m->key_len;
	if (m->err) {
		remember(p, (uint64_t)(uintptr_t)m->_private, rd_kafka_topic_name(m->rkt),
		    m->partition, m->err);
	} else {
		p->acknowledged++;
		note_ack(rd_kafka_topic_opaque(m->rkt), m);
	}
}

void producer_marks(struct producer *p, struct buf *to)
{
	for (size_t i = 0; i < p->topics; i++) {
		struct producer_topic *t = p->topic[i];

		for (int32_t n = 0; n < t->parts; n++) {
			struct acked *a = &t->part[n];

			if (a->moved)
				stream_mark_position(to, t->name, n, a->offset + 1, a->offset, a->ts);
			a->moved = false;
		}
	}
}

int producer_poll(struct producer *p, int wait_ms)
{
	int64_t now;

	if (kafka_poll(&p->kafka, wait_ms) > 0)
		p->progress_ms = clock_mono_ms();
	if (p->failed > 0)
		return fail_first(p);
	if (producer_pending(p) == 0)
		return 0;
	now = clock_mono_ms();
	if (now - p->progress_ms > p->timeout_ms) {
		kafka_fail_unreachable(&p->kafka);
		return fail_context("%" PRIu64 " records without acknowledgement", producer_pending(p));
	}
	return 0;
}

int producer_flush(struct producer *p)
{
	while (producer_pending(p) > 0) {
		if (producer_poll(p, WAIT_MS) < 0 && p->failed == 0)
			return -1;
		if (clock_mono_ms() - p->progress_ms > p->timeout_ms)
			break;
	}
	return p->failed > 0 ? fail_first(p) : 0;
}

/* ---- sending ---- */

static struct producer_topic *open_topic(struct producer *p, struct span name)
{
	rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(p->kafka.rk);
	struct producer_topic *t = xcalloc(1, sizeof(*t));

	t->name = (struct span){ xstrndup(name.p, name.n), name.n };
	rd_kafka_topic_conf_set_opaque(conf, t);
	t->rkt = rd_kafka_topic_new(p->kafka.rk, t->name.p, conf);
	if (!t->rkt) { /* conf is gone, too */
		free((char *)t->name.p);
		free(t);
		return NULL;
	}
	p->topic = xrealloc(p->topic, (p->topics + 1) * sizeof(struct producer_topic *));
	p->topic[p->topics++] = t;
	return t;
}

static struct producer_topic *find_topic(struct producer *p, struct span name)
{
	if (p->last && span_eq(p->last->name, name))
		return p->last;
	p->last = NULL;
	for (size_t i = 0; i < p->topics && !p->last; i++)
		if (span_eq(p->topic[i]->name, name))
			p->last = p->topic[i];
	if (!p->last)
		p->last = open_topic(p, name);
	return p->last;
}

static rd_kafka_resp_err_t produce(struct producer *p, struct producer_topic *t,
    const struct message *m)
{
	rd_kafka_resp_err_t err;
	rd_kafka_error_t *e;
	rd_kafka_vu_t vu[8] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = t->rkt },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = m->partition },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
		{ .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = m->ts },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)m->tag },
	};
	size_t n = 5;

	/* An empty value has an address, null has none. */
	if (m->has_payload)
		vu[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_VALUE,
			.u.mem = { (void *)(m->payload.n ? m->payload.p : ""), m->payload.n } };
	if (m->has_key)
		vu[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_KEY,
			.u.mem = { (void *)(m->key.n ? m->key.p : ""), m->key.n } };
	if (m->headers)
		vu[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = m->headers };
	e = rd_kafka_produceva(p->kafka.rk, vu, n);
	if (!e)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	err = rd_kafka_error_code(e);
	rd_kafka_error_destroy(e);
	return err;
}

static int wait_for_room(struct producer *p, size_t size)
{
	while (p->in_flight > 0 && p->in_flight + size > IN_FLIGHT_MAX)
		if (producer_poll(p, WAIT_MS) < 0)
			return -1;
	return 0;
}

static int refuse(struct producer *p, const struct message *m, rd_kafka_resp_err_t err)
{
	struct buf topic = BUF_INIT;

	buf_add_span(&topic, m->topic);
	p->sent++;
	remember(p, m->tag, buf_cstr(&topic), m->partition, err);
	buf_release(&topic);
	return fail_first(p);
}

static int try_send(struct producer *p, struct message *m)
{
	size_t size = m->payload.n + m->key.n;
	struct producer_topic *t = find_topic(p, m->topic);
	rd_kafka_resp_err_t err;

	if (!t)
		return refuse(p, m, rd_kafka_last_error());
	if (wait_for_room(p, size) < 0)
		return -1;
	while ((err = produce(p, t, m)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		if (producer_poll(p, WAIT_MS) < 0)
			return -1;
	if (err)
		return refuse(p, m, err);
	m->headers = NULL;
	if (producer_pending(p) == 0)
		p->progress_ms = clock_mono_ms();
	p->sent++;
	p->bytes += size;
	p->in_flight += size;
	return 0;
}

int producer_send(struct producer *p, struct message *m)
{
	int result;

	m->payload.n = m->has_payload ? m->payload.n : 0;
	m->key.n = m->has_key ? m->key.n : 0;
	result = try_send(p, m);
	if (m->headers)
		rd_kafka_headers_destroy(m->headers);
	m->headers = NULL;
	return result;
}

/* ---- life ---- */

/* Our own settings and behind them those of the tool's options. Caller frees. */
static struct kafka_setting *all_settings(const struct kafka_setting *extra, size_t extras)
{
	struct kafka_setting *all = xcalloc(OWN + extras, sizeof(*all));

	memcpy(all, own, sizeof(own));
	if (extras > 0)
		memcpy(all + OWN, extra, extras * sizeof(*extra));
	return all;
}

int producer_open(struct producer *p, const struct kafka_config *c,
    const struct kafka_setting *extra, size_t extras)
{
	struct kafka_setting *settings = all_settings(extra, extras);
	int result;

	p->kafka.delivered = on_delivered;
	p->kafka.ctx = p;
	result = kafka_open(&p->kafka, c, RD_KAFKA_PRODUCER, settings, OWN + extras);
	free(settings);
	if (result == 0)
		result = kafka_metadata(&p->kafka, KAFKA_ASK_NONE, clock_mono_ms() + p->timeout_ms,
		    NULL);
	p->progress_ms = clock_mono_ms();
	return result;
}

void producer_close(struct producer *p)
{
	if (p->kafka.rk && producer_pending(p) > 0)
		rd_kafka_purge(p->kafka.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	for (size_t i = 0; i < p->topics; i++)
		rd_kafka_topic_destroy(p->topic[i]->rkt);
	kafka_close(&p->kafka);
	for (size_t i = 0; i < p->topics; i++) {
		free((char *)p->topic[i]->name.p);
		free(p->topic[i]->part);
		free(p->topic[i]);
	}
	free(p->topic);
	p->topic = NULL;
	p->topics = 0;
}

enum exit_code producer_show(const struct kafka_config *c, const struct kafka_setting *extra,
    size_t extras)
{
	struct kafka_setting *settings = all_settings(extra, extras);
	enum exit_code code = kafka_config_show(c, settings, OWN + extras);

	free(settings);
	return code;
}
