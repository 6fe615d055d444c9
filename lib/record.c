#include "record.h"

#include "base64.h"
#include "json.h"

#define LITERAL(to, text) buf_add((to), (text), sizeof(text) - 1)

void record_prefix(struct buf *to, const char *topic, int32_t partition)
{
	LITERAL(to, "{\"topic\":");
	json_escape(to, topic, strlen(topic));
	LITERAL(to, ",\"partition\":");
	buf_add_int(to, partition);
	LITERAL(to, ",\"offset\":");
}

/* How bytes that are no JSON are written: as text, unless they are none or base64 is shorter. */
static bool is_text(struct span s, size_t *escaped)
{
	*escaped = json_escaped_size(s.p, s.n);
	return *escaped <= BASE64_SIZE(s.n) + 2;
}

static void add_text(struct buf *to, struct span s, size_t escaped)
{
	buf_reserve(to, escaped);
	if (escaped != s.n + 2) {
		json_escape(to, s.p, s.n);
		return;
	}
	to->data[to->len++] = '"';
	memcpy(to->data + to->len, s.p, s.n);
	to->len += s.n;
	to->data[to->len++] = '"';
}

static void add_base64(struct buf *to, struct span s)
{
	buf_add_char(to, '"');
	base64_encode(to, s.p, s.n);
	buf_add_char(to, '"');
}

static void add_time(struct buf *to, const struct record *r)
{
	switch (r->tstype) {
	case RD_KAFKA_TIMESTAMP_CREATE_TIME:
		LITERAL(to, ",\"tstype\":\"create\",\"ts\":");
		break;
	case RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
		LITERAL(to, ",\"tstype\":\"logappend\",\"ts\":");
		break;
	default:
		return; /* as kcat -J */
	}
	buf_add_int(to, r->ts);
}

/* A name or value of a header: a string, or {"base64":"..."} when it is not UTF-8. */
static void add_header_part(struct buf *to, struct span s)
{
	size_t escaped = json_escaped_size(s.p, s.n);

	if (escaped != SIZE_MAX) {
		add_text(to, s, escaped);
		return;
	}
	LITERAL(to, "{\"base64\":");
	add_base64(to, s);
	buf_add_char(to, '}');
}

static void add_headers(struct buf *to, const rd_kafka_headers_t *headers)
{
	const char *name;
	const void *value;
	size_t size;

	if (rd_kafka_header_cnt(headers) == 0)
		return;
	LITERAL(to, ",\"headers\":[");
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
		if (i > 0)
			buf_add_char(to, ',');
		add_header_part(to, (struct span){ name, strlen(name) });
		buf_add_char(to, ',');
		if (value)
			add_header_part(to, (struct span){ value, size });
		else
			LITERAL(to, "null");
	}
	buf_add_char(to, ']');
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct span without_outer_space(struct span s)
{
	while (s.n > 0 && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* In valid JSON a raw line break stands only between tokens, where a space means the same. */
static void add_on_one_line(struct buf *to, struct span s)
{
	char *p;

	buf_reserve(to, s.n);
	p = to->data + to->len;
	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] == '\n' || s.p[i] == '\r' ? ' ' : s.p[i];
	to->len += s.n;
}

/* The member, from `name` on. False: it is no JSON, or would not keep its bytes though it has to. */
static bool add_json(struct buf *to, struct span name, struct span bytes, bool exact)
{
	bool breaks = false;
	struct span s;

	if (!json_valid(bytes.p, bytes.n, &breaks))
		return false;
	s = without_outer_space(bytes);
	if (exact && (breaks || s.n != bytes.n))
		return false;
	buf_add_span(to, name);
	if (breaks)
		add_on_one_line(to, s);
	else
		buf_add_span(to, s);
	return true;
}

static void add_key_base64(struct buf *to, struct span key)
{
	LITERAL(to, ",\"key_enc\":\"base64\",\"key\":");
	add_base64(to, key);
}

static void add_key_text(struct buf *to, struct span key, size_t escaped)
{
	LITERAL(to, ",\"key\":");
	add_text(to, key, escaped);
}

static void add_any_key(struct buf *to, struct span key)
{
	size_t escaped;

	if (!key.p)
		LITERAL(to, ",\"key\":null");
	else if (is_text(key, &escaped))
		add_key_text(to, key, escaped);
	else
		add_key_base64(to, key);
}

/* False: the key is not of this type, and nothing was added. */
static bool add_typed_key(struct buf *to, enum key_type type, struct span key, bool exact)
{
	size_t before = to->len, escaped;

	switch (type) {
	case KEY_TEXT:
		escaped = json_escaped_size(key.p, key.n);
		if (escaped == SIZE_MAX)
			return false;
		add_key_text(to, key, escaped);
		return true;
	case KEY_JSON:
		if (add_json(to, SPAN(",\"key_enc\":\"json\",\"key\":"), key, exact))
			return true;
		if (!json_valid(key.p, key.n, NULL))
			return false;
		add_key_text(to, key, json_escaped_size(key.p, key.n));
		return true;
	case KEY_BASE64:
		add_key_base64(to, key);
		return true;
	case KEY_ANY:
		add_any_key(to, key);
		return true;
	default:
		LITERAL(to, ",\"key_enc\":\"");
		buf_add_str(to, key_type_name[type]);
		LITERAL(to, "\",\"key\":");
		if (key_add_number(to, type, key))
			return true;
		to->len = before;
		return false;
	}
}

static void add_window(struct buf *to, enum window_kind kind, const struct key_window *w)
{
	LITERAL(to, ",\"window_enc\":\"");
	buf_add_str(to, window_kind_name[kind]);
	LITERAL(to, "\",\"window\":{\"start\":");
	buf_add_int(to, w->start);
	LITERAL(to, ",\"end\":");
	buf_add_int(to, w->end);
	buf_add_char(to, '}');
}

/* A key without the window it should have cannot be taken apart: it stays whole. */
static bool add_formatted_key(struct buf *to, const struct record *r, bool exact)
{
	const struct key_format *f = r->format;
	struct span key = r->key;
	struct key_window w;
	bool good = !f->window || key_take_window(f, &key, &w);

	if (!good || !add_typed_key(to, f->type, key, exact)) {
		add_key_base64(to, key);
		good = false;
	}
	if (key.n < r->key.n)
		add_window(to, f->window, &w);
	return good;
}

static bool add_key(struct buf *to, const struct record *r, bool exact)
{
	if (r->format && r->key.p)
		return add_formatted_key(to, r, exact);
	add_any_key(to, r->key);
	return true;
}

static void add_payload(struct buf *to, struct span payload, bool exact)
{
	size_t escaped;

	if (!payload.p) {
		LITERAL(to, ",\"payload_enc\":\"none\",\"payload\":null");
	} else if (payload.n > 0 && add_json(to, SPAN(",\"payload\":"), payload, exact)) {
		return;
	} else if (is_text(payload, &escaped)) {
		LITERAL(to, ",\"payload_enc\":\"utf8\",\"payload\":");
		add_text(to, payload, escaped);
	} else {
		LITERAL(to, ",\"payload_enc\":\"base64\",\"payload\":");
		add_base64(to, payload);
	}
}

bool record_line(struct buf *to, struct span prefix, const struct record *r, bool exact)
{
	bool good;

	buf_add_span(to, prefix);
	buf_add_int(to, r->offset);
	add_time(to, r);
	if (r->headers)
		add_headers(to, r->headers);
	good = add_key(to, r, exact);
	add_payload(to, r->payload, exact);
	LITERAL(to, "}\n");
	return good;
}
