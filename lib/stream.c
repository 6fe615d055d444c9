#include "stream.h"

#include "base64.h"
#include "log.h"

#include <inttypes.h>
#include <stdlib.h>

/* The members that mean something; the order is kread's, with what few records have at the end: guesses are right. */
enum member {
	M_PATH,
	M_TOPIC,
	M_PARTITION,
	M_OFFSET,
	M_TSTYPE,
	M_TS,
	M_BROKER,
	M_HEADERS,
	M_KEY_ENC,
	M_KEY,
	M_PAYLOAD_ENC,
	M_PAYLOAD,
	M_MARK,
	M_WINDOW_ENC,
	M_WINDOW,
	M_COUNT,
};

static const struct span member_name[M_COUNT] = {
	[M_PATH] = SPAN("path"),
	[M_TOPIC] = SPAN("topic"),
	[M_PARTITION] = SPAN("partition"),
	[M_OFFSET] = SPAN("offset"),
	[M_TSTYPE] = SPAN("tstype"),
	[M_TS] = SPAN("ts"),
	[M_BROKER] = SPAN("broker"),
	[M_HEADERS] = SPAN("headers"),
	[M_KEY_ENC] = SPAN("key_enc"),
	[M_KEY] = SPAN("key"),
	[M_PAYLOAD_ENC] = SPAN("payload_enc"),
	[M_PAYLOAD] = SPAN("payload"),
	[M_MARK] = SPAN("mark"),
	[M_WINDOW_ENC] = SPAN("window_enc"),
	[M_WINDOW] = SPAN("window"),
};

/* What the scan of one line collects before the line is judged. */
struct found {
	struct json_value value[M_COUNT];
};

void stream_init(struct stream *s)
{
	*s = (struct stream){ 0 };
}

static void release_steps(struct stream_want *w)
{
	for (int i = 0; i < w->steps; i++)
		free((char *)w->step[i].p);
	free(w->step);
}

void stream_release(struct stream *s)
{
	for (int i = 0; i < s->wants; i++) {
		release_steps(&s->want[i]);
	}
	free(s->want);
	buf_release(&s->topic);
	buf_release(&s->text);
	buf_release(&s->kcat);
	*s = (struct stream){ 0 };
}

/* ---- wanted paths ---- */

#define WANTS_MAX 64 /* they are kept in sets of bits */

static void add_step(struct stream_want *w, const char *p, size_t n)
{
	w->step = xrealloc(w->step, (size_t)(w->steps + 1) * sizeof(*w->step));
	w->step[w->steps++] = (struct span){ xstrndup(p, n), n };
}

/* One step of a path at *p: .name, ."odd name" or ["odd name"] (after a dot too, as jq has it). */
static bool parse_step(struct stream_want *w, const char **p)
{
	const char *s = *p;
	struct buf name = BUF_INIT;
	bool bracket;
	size_t n;

	if (*s == '.')
		s++;
	else if (*s != '[')
		return false;
	bracket = *s == '[';
	if (bracket)
		s++;
	if (*s == '"') {
		n = 1;
		while (s[n] && s[n] != '"')
			n += s[n] == '\\' && s[n + 1] ? 2 : 1;
		if (s[n] != '"' || !json_valid(s, n + 1, NULL))
			return false;
		json_unescape(&name, (struct span){ s + 1, n - 1 });
		add_step(w, buf_cstr(&name), name.len);
		buf_release(&name);
		s += n + 1;
		if (bracket && *s++ != ']')
			return false;
	} else {
		n = strcspn(s, ".[]{}\"\\ ");
		if (n == 0 || bracket)
			return false;
		add_step(w, s, n);
		s += n;
	}
	*p = s;
	return true;
}

int stream_want(struct stream *s, const char *path)
{
	struct stream_want w = { 0 };
	const char *p = path;

	while (*p && parse_step(&w, &p))
		;
	if (*p || w.steps == 0 || s->wants == WANTS_MAX) {
		release_steps(&w);
		return fail(EXIT_USAGE, "\"%s\" is not a payload path like .city or .user.country",
		    path);
	}
	s->want = xrealloc(s->want, (size_t)(s->wants + 1) * sizeof(*s->want));
	s->want[s->wants] = w;
	return s->wants++;
}

static void forget_wants(struct stream *s, uint64_t set)
{
	for (int i = 0; i < s->wants; i++)
		if (set >> i & 1)
			s->want[i].value.type = JSON_NONE;
}

static inline bool key_eq(struct span key, bool escaped, struct span name)
{
	return escaped ? json_escaped_key_is(key, name.p) : span_eq(key, name);
}

static int scan_wanted(struct stream *s, struct json *j, int level, uint64_t set);

/* The value of a member that `hit` paths go through at `level`. Repeated members: the last counts. */
static int scan_hit(struct stream *s, struct json *j, int level, uint64_t hit)
{
	uint64_t deeper = 0;
	struct json_value v;
	const char *start;

	for (int i = 0; i < s->wants; i++)
		if ((hit >> i & 1) && s->want[i].steps > level + 1)
			deeper |= UINT64_C(1) << i;
	forget_wants(s, hit);
	v.type = json_peek(j);
	v.escaped = true; /* not known after an inner scan, and harmless */
	start = j->p;
	if (deeper && v.type == JSON_OBJECT) {
		if (scan_wanted(s, j, level + 1, deeper) < 0)
			return -1;
		v.raw = (struct span){ start, (size_t)(j->p - start) };
	} else if (json_value(j, &v) < 0) {
		return -1;
	}
	for (int i = 0; i < s->wants; i++)
		if ((hit & ~deeper) >> i & 1)
			s->want[i].value = v;
	return 0;
}

/* Scans the object at j and remembers the wanted members in the same pass that validates it. */
static int scan_wanted(struct stream *s, struct json *j, int level, uint64_t set)
{
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_enter(j) < 0)
		return -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		uint64_t hit = 0;

		for (int i = 0; i < s->wants; i++)
			if ((set >> i & 1) && key_eq(key, escaped, s->want[i].step[level]))
				hit |= UINT64_C(1) << i;
		if (hit ? scan_hit(s, j, level, hit) < 0 : json_value(j, &v) < 0)
			return -1;
	}
	return r;
}

static int scan_payload(struct stream *s, struct json *j, struct json_value *v)
{
	uint64_t all = s->wants >= WANTS_MAX ? UINT64_MAX : (UINT64_C(1) << s->wants) - 1;

	forget_wants(s, all);
	if (!all || json_peek(j) != JSON_OBJECT)
		return json_value(j, v);
	v->type = JSON_OBJECT;
	v->escaped = false;
	v->raw.p = j->p;
	if (scan_wanted(s, j, 0, all) < 0)
		return -1;
	v->raw.n = (size_t)(j->p - v->raw.p);
	return 0;
}

/* The levels of a payload or key are counted from there on: in the line there is one more around it. */
static int scan_embedded(struct stream *s, struct json *j, enum member m, struct json_value *v)
{
	int r;

	j->depth--;
	r = m == M_PAYLOAD ? scan_payload(s, j, v) : json_value(j, v);
	j->depth++;
	return r;
}

/* ---- one line ---- */

static int bad_json(const struct json *j, struct span text)
{
	/* The mistake that everybody makes once. */
	return fail(EXIT_DATA, "byte %zu: %s%s", (size_t)(j->p - text.p) + 1, j->why,
	    text.n <= 2 ? " (one object a line: jq does so with -c)" : "");
}

static enum member which_member(struct span key, bool escaped, enum member guess)
{
	for (unsigned i = 0; i < M_COUNT; i++) {
		enum member m = (guess + i) % M_COUNT;

		if (key_eq(key, escaped, member_name[m]))
			return m;
	}
	return M_COUNT;
}

/* Notes which bytes to drop to be rid of the member that ends at `end`: with one comma of its own. */
static void note_cut(struct line *l, const char *start, const char *end, bool first)
{
	const char *p = end, *line_end = l->text.p + l->text.n;

	if (first) {
		while (p < line_end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
			p++;
		if (p < line_end && *p == ',')
			end = p + 1;
	}
	l->path_cut = (struct span){ start, (size_t)(end - start) };
	l->paths++;
}

/* Scans all members of the object. */
static int scan_line(struct stream *s, struct json *j, struct line *l, struct found *f)
{
	enum member guess = M_PATH;
	const char *before;
	struct span key;
	bool escaped, first = true;
	int r;

	if (json_enter(j) < 0)
		return -1;
	before = j->p;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		enum member m = which_member(key, escaped, guess);
		struct json_value unknown;

		if (m == M_MARK)
			l->kind = LINE_MARK; /* also when it is broken from here on */
		if (m == M_PAYLOAD || m == M_KEY
			? scan_embedded(s, j, m, &f->value[m]) < 0
			: json_value(j, m == M_COUNT ? &unknown : &f->value[m]) < 0)
			return -1;
		if (m == M_PATH)
			note_cut(l, before, j->p, first);
		if (m != M_COUNT)
			guess = (m + 1) % M_COUNT;
		before = j->p;
		first = false;
	}
	return r < 0 || json_finish(j) < 0 ? -1 : 0;
}

static int read_int(const struct found *f, enum member m, int64_t min, int64_t max, int64_t *out)
{
	const struct json_value *v = &f->value[m];

	if (v->type == JSON_NUMBER && json_int64(v->raw, out) == 0 && *out >= min && *out <= max)
		return 0;
	return fail(EXIT_DATA, "\"%s\" is not a whole number from %" PRId64 " on", member_name[m].p,
	    min);
}

/* topic, partition and offset, as far as they are there and right. 0 when all three are. */
static int read_place(struct stream *s, const struct found *f, struct line *l)
{
	int64_t partition;

	if (f->value[M_TOPIC].type != JSON_STRING)
		return fail(EXIT_DATA, "\"topic\" is not a string");
	l->topic = json_text(&f->value[M_TOPIC], &s->topic);
	if (l->topic.n == 0 || memchr(l->topic.p, '\0', l->topic.n))
		return fail(EXIT_DATA, "\"topic\" is empty or has a NUL");
	if (read_int(f, M_PARTITION, 0, INT32_MAX, &partition) < 0 ||
	    read_int(f, M_OFFSET, 0, INT64_MAX - 1, &l->offset) < 0)
		return -1;
	l->partition = (int32_t)partition;
	l->kind = LINE_RECORD;
	return 0;
}

/* The time, when there is one. It belongs to the place: a reject's too tells a recreated topic later. */
static int read_ts(const struct found *f, struct line *l)
{
	enum json_type type = f->value[M_TS].type;

	if (type == JSON_NONE || type == JSON_NULL)
		return 0;
	if (read_int(f, M_TS, -1, INT64_MAX, &l->ts) < 0)
		return -1;
	l->has_ts = l->ts >= 0;
	return 0;
}

static bool string_is(const struct json_value *v, const char *text)
{
	return v->type == JSON_STRING &&
	    json_key_is((struct span){ v->raw.p + 1, v->raw.n - 2 }, v->escaped, text);
}

static const char *const payload_enc[] = {
	[ENC_UTF8] = "utf8",
	[ENC_BASE64] = "base64",
	[ENC_NONE] = "none",
};

static const char *const key_enc[] = {
	[ENC_UTF8] = "utf8",
	[ENC_BASE64] = "base64",
	[ENC_JSON] = "json",
	[ENC_INT] = "int",
	[ENC_BIGINT] = "bigint",
	[ENC_DOUBLE] = "double",
};

#define NAMES(a) (a), sizeof(a) / sizeof((a)[0])

/* A marker: the index of its name; 0: it is not there. -1 with fail(). */
static int read_marker(const struct found *f, enum member m, const char *const *name, size_t names)
{
	const struct json_value *v = &f->value[m];

	if (v->type == JSON_NONE)
		return 0;
	for (size_t i = 0; i < names; i++)
		if (name[i] && string_is(v, name[i]))
			return (int)i;
	return fail(EXIT_DATA, "\"%s\" is none that is known", member_name[m].p);
}

static int read_markers(const struct found *f, struct line *l)
{
	int payload = read_marker(f, M_PAYLOAD_ENC, NAMES(payload_enc));
	int key = read_marker(f, M_KEY_ENC, NAMES(key_enc));
	int window = read_marker(f, M_WINDOW_ENC, window_kind_name, WINDOW_KINDS);

	if (payload < 0 || key < 0 || window < 0)
		return -1;
	l->payload_enc = (enum enc)payload;
	l->key_enc = (enum enc)key;
	l->window_enc = (enum window_kind)window;
	return 0;
}

/* Markers must fit what they mark. */
static int check_enc(const char *what, enum enc enc, enum json_type type)
{
	switch (enc) {
	case ENC_UTF8:
	case ENC_BASE64:
		if (type == JSON_STRING)
			return 0;
		return fail(EXIT_DATA, "\"%s\" is marked as text or bytes but is no string", what);
	case ENC_NONE:
		if (type == JSON_NULL)
			return 0;
		return fail(EXIT_DATA, "\"%s\" is marked as none but is not null", what);
	case ENC_JSON:
		if (type != JSON_NONE)
			return 0;
		return fail(EXIT_DATA, "\"%s\" is marked but missing", what);
	case ENC_PLAIN:
		return 0;
	default:
		if (type == JSON_NUMBER)
			return 0;
		return fail(EXIT_DATA, "\"%s\" is marked as a number but is none", what);
	}
}

/* In a line of kcat -J a payload that is a string is text, and null is a tombstone. */
static void read_kcat(struct line *l)
{
	if (l->payload_enc != ENC_PLAIN)
		return;
	if (l->payload.type == JSON_STRING)
		l->payload_enc = ENC_UTF8;
	else if (l->payload.type == JSON_NULL)
		l->payload_enc = ENC_NONE;
}

static int read_record(struct stream *s, const struct found *f, struct line *l)
{
	if (read_place(s, f, l) < 0 || read_ts(f, l) < 0)
		return -1;
	l->payload = f->value[M_PAYLOAD];
	l->key = f->value[M_KEY];
	l->headers = f->value[M_HEADERS];
	l->window = f->value[M_WINDOW];
	l->tstype = f->value[M_TSTYPE];
	l->kcat = f->value[M_BROKER].type != JSON_NONE;
	if (read_markers(f, l) < 0 || check_enc("payload", l->payload_enc, l->payload.type) < 0 ||
	    check_enc("key", l->key_enc, l->key.type) < 0)
		return -1;
	if (l->window_enc && l->window.type != JSON_OBJECT)
		return fail(EXIT_DATA, "\"window\" is marked but is no object");
	if (l->tstype.type != JSON_NONE && l->tstype.type != JSON_STRING)
		return fail(EXIT_DATA, "\"tstype\" is not a string");
	if (l->headers.type != JSON_NONE && l->headers.type != JSON_ARRAY)
		return fail(EXIT_DATA, "\"headers\" is not a list");
	if (l->kcat)
		read_kcat(l);
	if (s->wants > 0 && l->payload_enc == ENC_UTF8) {
		struct json_value text = stream_payload(s, l), v;
		struct json j;

		json_init(&j, text.raw.p, text.raw.n);
		scan_payload(s, &j, &v);
	}
	return 0;
}

/* A bare object, or one that partition has wrapped: {"path":...,"payload":...}. */
static int read_bare(struct stream *s, const struct found *f, struct line *l)
{
	bool topic = f->value[M_TOPIC].type != JSON_NONE, offset = f->value[M_OFFSET].type != JSON_NONE;
	bool partition = f->value[M_PARTITION].type != JSON_NONE;
	struct json_value v;
	struct json j;

	if (f->value[M_PAYLOAD].type != JSON_NONE && (topic || partition || offset))
		return fail(EXIT_DATA, "an object with payload but without %s (did a filter drop it?)",
		    !topic           ? "topic"
			: !partition ? "partition"
				     : "offset");
	if (f->value[M_PAYLOAD].type != JSON_NONE && l->path.type != JSON_NONE) {
		l->payload = f->value[M_PAYLOAD];
		return 0;
	}
	/* It is its own payload: what was wanted is looked for in the object itself. */
	if (s->wants == 0)
		return 0;
	json_init(&j, l->text.p, l->text.n);
	return scan_payload(s, &j, &v) < 0 ? bad_json(&j, l->text) : 0;
}

static int mark_int(struct json *j, int64_t *out)
{
	struct json_value v;

	if (json_value(j, &v) < 0 || v.type != JSON_NUMBER || json_int64(v.raw, out) < 0 || *out < -1)
		return fail(EXIT_DATA, "a mark with a member of the wrong type");
	return 0;
}

static int read_last(struct json *j, struct line *l)
{
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_peek(j) != JSON_OBJECT)
		return json_value(j, &v);
	json_enter(j);
	l->has_last = true;
	l->last_offset = l->last_ts = -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		if (json_key_is(key, escaped, "offset")   ? mark_int(j, &l->last_offset) < 0
			: json_key_is(key, escaped, "ts") ? mark_int(j, &l->last_ts) < 0
							  : json_value(j, &v) < 0)
			return -1;
	}
	return r;
}

static int mark_kind(const struct json_value *v, enum mark_kind *out)
{
	if (v->type != JSON_STRING)
		return fail(EXIT_DATA, "a mark whose kind is not a string");
	*out = string_is(v, "position") ? MARK_POSITION
	    : string_is(v, "start")     ? MARK_START
	    : string_is(v, "end")       ? MARK_END
					: MARK_UNKNOWN;
	return 0;
}

/* The object of a mark was validated with its line: only its meaning can be wrong here. */
static int read_mark(struct stream *s, const struct json_value *mark, struct line *l)
{
	struct json_value v, topic = { 0 };
	int64_t partition = -1;
	struct json j;
	struct span key;
	bool escaped;

	l->kind = LINE_MARK;
	l->mark = MARK_UNKNOWN;
	l->offset = l->records = -1;
	if (mark->type != JSON_OBJECT)
		return fail(EXIT_DATA, "\"mark\" is not an object");
	json_init(&j, mark->raw.p, mark->raw.n);
	json_enter(&j);
	while (json_member(&j, &key, &escaped) > 0) {
		int r;

		if (json_key_is(key, escaped, "kind")) {
			r = json_value(&j, &v) < 0 ? -1 : mark_kind(&v, &l->mark);
		} else if (json_key_is(key, escaped, "topic")) {
			r = json_value(&j, &topic);
		} else if (json_key_is(key, escaped, "partition")) {
			r = mark_int(&j, &partition);
		} else if (json_key_is(key, escaped, "offset")) {
			r = mark_int(&j, &l->offset);
		} else if (json_key_is(key, escaped, "records")) {
			r = mark_int(&j, &l->records);
		} else if (json_key_is(key, escaped, "last")) {
			r = read_last(&j, l);
		} else {
			r = json_value(&j, &v);
		}
		if (r < 0)
			return -1;
	}
	if (l->mark != MARK_START && l->mark != MARK_POSITION)
		return 0;
	if (topic.type != JSON_STRING || partition < 0 || partition > INT32_MAX || l->offset < 0)
		return fail(EXIT_DATA, "a mark without topic, partition or offset");
	l->topic = json_text(&topic, &s->topic);
	if (l->topic.n == 0 || memchr(l->topic.p, '\0', l->topic.n))
		return fail(EXIT_DATA, "a mark whose topic is empty or has a NUL");
	l->partition = (int32_t)partition;
	return 0;
}

static struct span trim(struct span t)
{
	while (t.n > 0 && (t.p[0] == ' ' || t.p[0] == '\t' || t.p[0] == '\r'))
		t.p++, t.n--;
	while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t' || t.p[t.n - 1] == '\r'))
		t.n--;
	return t;
}

int stream_parse(struct stream *s, struct span text, struct line *l)
{
	struct found f;
	struct json j;

	for (int i = 0; i < M_COUNT; i++)
		f.value[i].type = JSON_NONE;
	*l = (struct line){ .kind = LINE_BARE, .text = trim(text) };
	s->topic.len = s->text.len = s->kcat.len = 0;
	if (l->text.n == 0)
		return fail(EXIT_DATA, "an empty line");
	json_init(&j, l->text.p, l->text.n);
	if (json_peek(&j) != JSON_OBJECT)
		return fail(EXIT_DATA, "not a JSON object");
	if (scan_line(s, &j, l, &f) < 0) {
		/* Where the record was from may stand before what is wrong with it. */
		if (l->kind != LINE_MARK && read_place(s, &f, l) == 0)
			read_ts(&f, l);
		return bad_json(&j, l->text);
	}
	l->path = f.value[M_PATH];
	if (f.value[M_MARK].type != JSON_NONE)
		return read_mark(s, &f.value[M_MARK], l);
	if (l->path.type != JSON_NONE && l->path.type != JSON_STRING) {
		if (f.value[M_PAYLOAD].type != JSON_NONE)
			return fail(EXIT_DATA, "\"path\" is not a string");
		l->path.type = JSON_NONE; /* a member of a bare object's own */
		l->paths = 0;
	}
	if (f.value[M_TOPIC].type != JSON_NONE && f.value[M_PARTITION].type != JSON_NONE &&
	    f.value[M_OFFSET].type != JSON_NONE && f.value[M_PAYLOAD].type != JSON_NONE)
		return read_record(s, &f, l);
	return read_bare(s, &f, l);
}

/* ---- what the record carries ---- */

/* Raw line breaks stand between tokens only, so in a valid text each may become a space. */
static void join_lines(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] == '\n' || b->data[i] == '\r')
			b->data[i] = ' ';
}

struct json_value stream_payload(struct stream *s, const struct line *l)
{
	struct json_value v = l->payload, inner;
	struct json j;
	bool breaks;

	if (v.type == JSON_NONE)
		return (struct json_value){ JSON_OBJECT, l->text, false };
	if (l->payload_enc != ENC_UTF8)
		return v;
	if (s->kcat.len == 0)
		json_unescape(&s->kcat, (struct span){ v.raw.p + 1, v.raw.n - 2 });
	if (!json_valid(s->kcat.data, s->kcat.len, &breaks))
		return v;
	if (breaks)
		join_lines(&s->kcat);
	json_init(&j, s->kcat.data, s->kcat.len);
	json_value(&j, &inner);
	return inner;
}

/* The text or the bytes that a marked (or key) string stands for. */
static int string_bytes(const struct json_value *v, enum enc enc, const char *what,
    struct buf *scratch, struct span *out)
{
	struct buf decoded = BUF_INIT;

	buf_clear(scratch);
	*out = json_text(v, scratch);
	if (enc != ENC_BASE64)
		return 1;
	if (base64_decode(&decoded, out->p, out->n) < 0) {
		buf_release(&decoded);
		return fail(EXIT_DATA, "\"%s\" is marked base64 but is not", what);
	}
	buf_release(scratch);
	*scratch = decoded;
	*out = buf_span(scratch);
	return 1;
}

int stream_key_bytes(const struct line *l, struct buf *scratch, struct span *out)
{
	static const enum key_type number[] = {
		[ENC_INT] = KEY_INT,
		[ENC_BIGINT] = KEY_BIGINT,
		[ENC_DOUBLE] = KEY_DOUBLE,
	};

	switch (l->key_enc) {
	case ENC_INT:
	case ENC_BIGINT:
	case ENC_DOUBLE:
		buf_clear(scratch);
		if (key_add_bytes(scratch, number[l->key_enc], l->key.raw) < 0)
			return -1;
		*out = buf_span(scratch);
		return 1;
	case ENC_JSON:
		*out = l->key.raw;
		return 1;
	default:
		break;
	}
	if (l->key.type == JSON_NONE || l->key.type == JSON_NULL)
		return 0;
	if (l->key.type == JSON_STRING)
		return string_bytes(&l->key, l->key_enc, "key", scratch, out);
	*out = l->key.raw;
	return 1;
}

int stream_window(const struct line *l, struct key_window *out)
{
	struct json_value start = { 0 }, end = { 0 }, v;
	struct span key;
	bool escaped;
	struct json j;

	if (l->window.type == JSON_NONE || l->window.type == JSON_NULL)
		return 0;
	if (l->window.type == JSON_OBJECT) {
		json_init(&j, l->window.raw.p, l->window.raw.n);
		json_enter(&j);
		while (json_member(&j, &key, &escaped) > 0 && json_value(&j, &v) == 0) {
			if (json_key_is(key, escaped, "start"))
				start = v;
			else if (json_key_is(key, escaped, "end"))
				end = v;
		}
	}
	if (start.type == JSON_NUMBER && json_int64(start.raw, &out->start) == 0 &&
	    end.type == JSON_NUMBER && json_int64(end.raw, &out->end) == 0)
		return 1;
	return fail(EXIT_DATA, "\"window\" is not an object with start and end in milliseconds");
}

int stream_payload_bytes(const struct line *l, struct buf *scratch, struct span *out)
{
	if (l->payload_enc == ENC_NONE)
		return 0;
	if (l->payload_enc != ENC_PLAIN)
		return string_bytes(&l->payload, l->payload_enc, "payload", scratch, out);
	*out = l->payload.type == JSON_NONE ? l->text : l->payload.raw;
	return 1;
}

/* With several members path the object is built again from the others: rare enough. */
static void rebuild_without_path(struct span text, struct buf *to)
{
	bool escaped, first = true;
	struct json_value v;
	struct span key;
	struct json j;

	json_init(&j, text.p, text.n);
	json_enter(&j);
	j.depth--; /* as in scan_embedded() */
	buf_add_char(to, '{');
	while (json_member(&j, &key, &escaped) > 0 && json_value(&j, &v) == 0) {
		if (json_key_is(key, escaped, "path"))
			continue;
		buf_add_str(to, first ? "\"" : ",\"");
		buf_add_span(to, key);
		buf_add_str(to, "\":");
		buf_add_span(to, v.raw);
		first = false;
	}
	buf_add_char(to, '}');
}

void stream_without_path(const struct line *l, struct buf *to)
{
	const char *end = l->text.p + l->text.n, *rest = l->path_cut.p + l->path_cut.n;

	if (l->paths == 0) {
		buf_add_span(to, l->text);
	} else if (l->paths == 1) {
		buf_add(to, l->text.p, (size_t)(l->path_cut.p - l->text.p));
		buf_add(to, rest, (size_t)(end - rest));
	} else {
		rebuild_without_path(l->text, to);
	}
}

/* ---- marks ---- */

static void begin_mark(struct buf *to, const char *kind, struct span topic, int32_t part, int64_t offset)
{
	buf_add_str(to, "{\"mark\":{\"kind\":\"");
	buf_add_str(to, kind);
	buf_add_str(to, "\",\"topic\":");
	json_escape(to, topic.p, topic.n);
	buf_add_str(to, ",\"partition\":");
	buf_add_int(to, part);
	buf_add_str(to, ",\"offset\":");
	buf_add_int(to, offset);
}

void stream_mark_start(struct buf *to, struct span topic, int32_t part, int64_t offset)
{
	begin_mark(to, "start", topic, part, offset);
	buf_add_str(to, "}}\n");
}

void stream_mark_position(struct buf *to, struct span topic, int32_t part, int64_t offset,
    int64_t last_offset, int64_t last_ts)
{
	begin_mark(to, "position", topic, part, offset);
	if (last_offset >= 0) {
		buf_add_str(to, ",\"last\":{\"offset\":");
		buf_add_int(to, last_offset);
		buf_add_str(to, ",\"ts\":");
		buf_add_int(to, last_ts);
		buf_add_char(to, '}');
	}
	buf_add_str(to, "}}\n");
}

void stream_mark_end(struct buf *to, int64_t records)
{
	buf_add_str(to, "{\"mark\":{\"kind\":\"end\",\"records\":");
	buf_add_int(to, records);
	buf_add_str(to, "}}\n");
}
