#include "message.h"

#include "base64.h"
#include "json.h"
#include "log.h"

void message_rules_release(struct message_rules *r)
{
	buf_release(&r->key);
	buf_release(&r->payload);
}

/* ---- headers ---- */

/* The member base64 of an object that has no other. */
static int base64_member(struct span raw, struct buf *to)
{
	struct buf text = BUF_INIT;
	struct json_value v = { 0 };
	struct span key, encoded;
	bool escaped;
	struct json j;
	int result = -1;

	json_init(&j, raw.p, raw.n);
	if (json_enter(&j) == 0 && json_member(&j, &key, &escaped) > 0 &&
	    json_key_is(key, escaped, "base64") && json_value(&j, &v) == 0 &&
	    v.type == JSON_STRING && json_member(&j, &key, &escaped) == 0) {
		encoded = json_text(&v, &text);
		result = base64_decode(to, encoded.p, encoded.n);
	}
	buf_release(&text);
	return result;
}

/* 1: bytes in *to; 0: null; -1: neither text nor null nor {"base64":..}. */
static int header_bytes(struct json *list, struct buf *to)
{
	struct json_value v;

	buf_clear(to);
	if (json_value(list, &v) < 0)
		return -1;
	if (v.type == JSON_STRING) {
		json_unescape(to, (struct span){ v.raw.p + 1, v.raw.n - 2 });
		return 1;
	}
	if (v.type == JSON_OBJECT)
		return base64_member(v.raw, to) < 0 ? -1 : 1;
	return v.type == JSON_NULL ? 0 : -1;
}

static int add_header(struct json *list, rd_kafka_headers_t *headers, struct buf *name, struct buf *value)
{
	int got;

	if (header_bytes(list, name) != 1)
		return fail(EXIT_DATA, "headers: a name is not text");
	if (json_element(list) <= 0)
		return fail(EXIT_DATA, "headers: a name without value");
	got = header_bytes(list, value);
	if (got < 0)
		return fail(EXIT_DATA, "headers: a value is not text, null or {\"base64\":\"...\"}");
	buf_cstr(name);
	if (rd_kafka_header_add(headers, name->data, (ssize_t)name->len,
		got ? buf_cstr(value) : NULL, got ? (ssize_t)value->len : 0))
		return fail(EXIT_DATA, "headers: not accepted");
	return 0;
}

int message_headers(struct span raw, rd_kafka_headers_t **out)
{
	rd_kafka_headers_t *headers = NULL;
	struct buf name = BUF_INIT, value = BUF_INIT;
	struct json list;
	int result = 0;

	*out = NULL;
	json_init(&list, raw.p, raw.n);
	if (json_enter(&list) < 0)
		return fail(EXIT_DATA, "headers: not a list");
	while (result == 0 && json_element(&list) > 0) {
		if (!headers)
			headers = rd_kafka_headers_new(8);
		result = add_header(&list, headers, &name, &value);
	}
	buf_release(&name);
	buf_release(&value);
	if (result < 0)
		rd_kafka_headers_destroy(headers);
	else
		*out = headers;
	return result;
}

/* ---- the whole message ---- */

/* Text is its characters, anything else its JSON text. */
static void bare_key(struct message_rules *r, const struct stream *s, struct message *m)
{
	const struct json_value *v;

	if (r->key_want < 0)
		return;
	v = &s->want[r->key_want].value;
	m->has_key = v->type != JSON_NONE && v->type != JSON_NULL;
	if (!m->has_key)
		r->keyless++;
	else
		m->key = v->type == JSON_STRING ? json_text(v, &r->key) : v->raw;
}

/* A key whose window was split off is one again. What kind it was must be told: the bytes differ. */
static int join_window(struct message_rules *r, const struct line *l, struct message *m)
{
	struct key_window w;
	int got = stream_window(l, &w);

	if (got <= 0)
		return got;
	if (!l->window_enc)
		return fail(EXIT_DATA, "a window without window_enc (did a filter drop it?)");
	if (!m->has_key)
		return fail(EXIT_DATA, "a window without a key (did a filter drop it?)");
	if (m->key.p != r->key.data) {
		buf_clear(&r->key);
		buf_add_span(&r->key, m->key);
	}
	key_add_window(&r->key, l->window_enc, &w);
	m->key = buf_span(&r->key);
	return 0;
}

static int record_parts(struct message_rules *r, const struct line *l, struct message *m)
{
	int got = stream_key_bytes(l, &r->key, &m->key);

	if (got < 0)
		return -1;
	m->has_key = got > 0;
	if (join_window(r, l, m) < 0)
		return -1;
	if (l->has_ts)
		m->ts = l->ts;
	else if (l->tstype.type == JSON_STRING && span_is(l->tstype.raw, "\"unknown\""))
		m->ts = -1;
	r->undated += l->has_ts && l->ts == 0;
	if (r->keep_partition)
		m->partition = l->partition;
	if (!r->topic)
		m->topic = l->topic;
	return l->headers.type == JSON_ARRAY ? message_headers(l->headers.raw, &m->headers) : 0;
}

int message_from_line(struct message_rules *r, const struct stream *s, const struct line *l,
    struct message *m)
{
	int got;

	*m = (struct message){ .partition = RD_KAFKA_PARTITION_UA };
	if (r->topic)
		m->topic = (struct span){ r->topic, strlen(r->topic) };
	else if (l->kind == LINE_BARE)
		return fail(EXIT_DATA, "a bare object names no topic: -t says where it goes");
	got = stream_payload_bytes(l, &r->payload, &m->payload);
	if (got < 0)
		return -1;
	m->has_payload = got > 0;
	buf_clear(&r->key);
	if (l->kind == LINE_RECORD)
		return record_parts(r, l, m);
	bare_key(r, s, m);
	return 0;
}
