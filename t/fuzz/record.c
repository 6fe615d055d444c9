/*
 * libFuzzer target for the way of a message through the stream: what kread writes of it (lib/record), or kcat -J, is
 * read (lib/stream) as the same topic, place, time, key, value and headers (lib/message).
 */
#include "record.h"
#include "log.h"
#include "message.h"

#include "fuzz.h"

/* A message, and where its bytes are kept. */
struct made {
	struct record r;
	char topic[16];
	int32_t partition;
	rd_kafka_headers_t *headers;
};

static struct span any_bytes(struct take *t)
{
	struct span s = take_bytes(t, 200);

	return s.n > 0 ? s : SPAN("");
}

static void make(struct made *m, struct take *t)
{
	unsigned what = take_byte(t);

	*m = (struct made){ .topic = "TX", .partition = (int32_t)(take_natural(t) & INT32_MAX) };
	m->r.offset = take_natural(t) % INT64_MAX;
	m->r.tstype = what & 1
	    ? what & 2 ? RD_KAFKA_TIMESTAMP_CREATE_TIME : RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME
	    : RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
	m->r.ts = what & 1 ? take_natural(t) : -1;
	if (what & 4)
		m->r.key = any_bytes(t);
	if (what & 8) {
		m->headers = rd_kafka_headers_new(4);
		for (unsigned n = take_byte(t) % 4; n > 0; n--) {
			struct span name = take_bytes(t, 20), value = any_bytes(t);
			const char *nul = name.n > 0 ? memchr(name.p, '\0', name.n) : NULL;
			bool null = take_byte(t) % 4 == 0;

			if (nul) /* librdkafka hands names out as strings */
				name.n = (size_t)(nul - name.p);
			rd_kafka_header_add(m->headers, name.p ? name.p : "", (ssize_t)name.n,
			    null ? NULL : value.p, null ? 0 : (ssize_t)value.n);
		}
		m->r.headers = m->headers;
	}
	if (what & 16)
		m->r.payload = t->n > 0 ? take_rest(t) : SPAN("");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What a JSON payload loses on its way unless it has to stay exact. */
static void flatten(struct span s, struct buf *to)
{
	while (s.n > 0 && is_space(s.p[0]))
		s.p++, s.n--;
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(to, (char)(s.p[i] == '\n' || s.p[i] == '\r' ? ' ' : s.p[i]));
}

static void check_payload(const struct made *m, const struct message *got, bool exact)
{
	struct buf flat = BUF_INIT;

	must(got->has_payload == (m->r.payload.p != NULL), "a tombstone is one and nothing else is");
	if (!exact && m->r.payload.n > 0 && json_valid(m->r.payload.p, m->r.payload.n, NULL)) {
		flatten(m->r.payload, &flat);
		must(span_eq(got->payload, buf_span(&flat)), "JSON is the same but for line breaks");
	} else if (got->has_payload) {
		must(span_eq(got->payload, m->r.payload), "a value keeps its bytes");
	}
	buf_release(&flat);
}

static void check_headers(const rd_kafka_headers_t *a, const rd_kafka_headers_t *b)
{
	size_t count = a ? rd_kafka_header_cnt(a) : 0;

	must(count == (b ? rd_kafka_header_cnt(b) : 0), "no header is lost");
	for (size_t i = 0; i < count; i++) {
		const char *name[2];
		const void *value[2];
		size_t size[2];

		rd_kafka_header_get_all(a, i, &name[0], &value[0], &size[0]);
		rd_kafka_header_get_all(b, i, &name[1], &value[1], &size[1]);
		must(strcmp(name[0], name[1]) == 0, "a header keeps its name");
		must(!value[0] == !value[1] && size[0] == size[1] &&
			(!value[0] || memcmp(value[0], value[1], size[0]) == 0),
		    "and its value");
	}
}

static void check_line(const struct made *m, struct span text, bool exact)
{
	struct message_rules rules = { .keep_partition = true, .key_want = -1 };
	struct message got;
	struct stream s;
	struct line l;

	stream_init(&s);
	must(text.n > 0 && text.p[text.n - 1] == '\n', "a line ends");
	text.n--;
	must(!memchr(text.p, '\n', text.n) && !memchr(text.p, '\r', text.n), "and is one line");
	must(stream_parse(&s, text, &l) == 0 && l.kind == LINE_RECORD, "a message is a record");
	must(l.offset == m->r.offset, "it keeps its offset");
	must(l.has_ts == (m->r.ts >= 0) && (!l.has_ts || l.ts == m->r.ts), "it keeps its time");
	must(message_from_line(&rules, &s, &l, &got) == 0, "a record is a message");
	must(span_is(got.topic, m->topic) && got.partition == m->partition, "it keeps its place");
	must(got.has_key == (m->r.key.p != NULL) && span_eq(got.key, m->r.key), "it keeps its key");
	check_payload(m, &got, exact);
	check_headers(m->headers, got.headers);
	if (got.headers)
		rd_kafka_headers_destroy(got.headers);
	message_rules_release(&rules);
	stream_release(&s);
}

/* kcat -J: every payload is text. */
static void check_kcat(const struct made *m)
{
	struct buf line = BUF_INIT;

	if (!utf8_valid(m->r.key.p, m->r.key.n) || !utf8_valid(m->r.payload.p, m->r.payload.n) ||
	    m->headers)
		return;
	buf_addf(&line, "{\"topic\":\"%s\",\"partition\":%d,\"offset\":", m->topic, (int)m->partition);
	buf_add_int(&line, m->r.offset);
	if (m->r.ts >= 0) {
		buf_add_str(&line, ",\"tstype\":\"create\",\"ts\":");
		buf_add_int(&line, m->r.ts);
	}
	buf_add_str(&line, ",\"broker\":0,\"key\":");
	if (m->r.key.p)
		json_escape(&line, m->r.key.p, m->r.key.n);
	else
		buf_add_str(&line, "null");
	buf_add_str(&line, ",\"payload\":");
	if (m->r.payload.p)
		json_escape(&line, m->r.payload.p, m->r.payload.n);
	else
		buf_add_str(&line, "null");
	buf_add_str(&line, "}\n");
	check_line(m, buf_span(&line), true);
	buf_release(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	struct buf prefix = BUF_INIT, line = BUF_INIT;
	struct made m;

	make(&m, &t);
	record_prefix(&prefix, m.topic, m.partition);
	for (int exact = 0; exact <= 1; exact++) {
		buf_clear(&line);
		record_line(&line, buf_span(&prefix), &m.r, exact);
		check_line(&m, buf_span(&line), exact);
	}
	check_kcat(&m);
	if (m.headers)
		rd_kafka_headers_destroy(m.headers);
	buf_release(&prefix);
	buf_release(&line);
	return 0;
}
