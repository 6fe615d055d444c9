/*
 * libFuzzer target for lib/value: the first three bytes are a column, then come two values, JSON or any bytes, on a line
 * each. A literal must be one token of SQL that says what the value says, so it is read back and converted again.
 */
#include "value.h"

#include "fuzz.h"

static char red[] = "red", green[] = "green", odd[] = "it's \\", none[] = "", comma_free[] = "1";
static char *names[] = { red, green, odd, none, comma_free };

static struct column column(struct take *t)
{
	struct column c = { .type = (enum column_type)(take_byte(t) % (COL_OTHER + 1)),
		.nullable = true };
	unsigned shape = take_byte(t), more = take_byte(t);

	c.is_unsigned = shape & 1;
	c.json = c.type == COL_JSON || (c.type == COL_TEXT && shape & 2);
	c.compare = (enum column_compare)(shape >> 2 & 3) % 3;
	c.max = UINT64_MAX >> (shape >> 2);
	if (c.type == COL_INT && !c.is_unsigned) {
		c.max >>= 1;
		c.min = -(int64_t)c.max - 1;
	}
	c.precision = 1 + (shape >> 1) % 65;
	c.scale = c.type == COL_DECIMAL ? (int)more % (c.precision + 1) : (int)more % 7;
	c.chars = c.type == COL_CHAR || (c.type == COL_TEXT && shape & 4) ? (int64_t)more : -1;
	c.octets = c.type == COL_BINARY || shape & 8 ? 4 * (int64_t)more : -1;
	c.value = names;
	c.values = sizeof(names) / sizeof(names[0]);
	return c;
}

/* What the server makes of a literal: the text between quotes, or the digits. */
static void decode(struct span s, struct buf *to)
{
	const char *p = s.p, *end = s.p + s.n, *meant;
	static const char letters[] = "0nrZ", codes[] = "\0\n\r\x1a";

	must(s.n > 0, "a literal is not empty");
	if (*p != '\'') {
		for (; p < end; p++)
			must((*p >= '0' && *p <= '9') || strchr("+-.eE", *p), "a number is one token");
		buf_add_span(to, s);
		return;
	}
	for (p++; p < end && *p != '\''; p++) {
		must(*p != '\0' && *p != '\n', "text is on one line");
		if (*p != '\\') {
			buf_add_char(to, *p);
			continue;
		}
		must(++p < end, "a backslash escapes something");
		meant = strchr(letters, *p);
		buf_add_char(to, meant ? codes[meant - letters] : *p);
	}
	must(p == end - 1, "text ends at its last quote");
}

static bool is_hex(struct span s)
{
	if (s.n < 3 || *s.p != 'x')
		return false;
	must(s.p[1] == '\'' && s.p[s.n - 1] == '\'' && s.n % 2 == 1, "bytes are pairs of digits");
	for (size_t i = 2; i < s.n - 1; i++)
		must(memchr("0123456789abcdef", s.p[i], 16), "bytes are hexadecimal");
	return true;
}

struct result {
	enum value_result result;
	struct buf sql, key;
};

static void convert(struct value *v, const struct column *c, const struct value_in *in,
    bool with_key, struct result *r)
{
	struct span why;

	buf_clear(&r->sql);
	buf_clear(&r->key);
	buf_add_str(&r->sql, "before");
	buf_add_str(&r->key, "before");
	r->result = value_convert(v, c, in, &r->sql, with_key ? &r->key : NULL);
	if (r->result == VALUE_REJECT) {
		why = buf_span(&v->why);
		must(span_is(buf_span(&r->sql), "before") && span_is(buf_span(&r->key), "before"),
		    "a reject leaves nothing");
		must(why.n > 0 && why.p[why.n] == '\0' && !memchr(why.p, '\0', why.n) &&
			!memchr(why.p, '\n', why.n),
		    "a reject has a reason of one line");
		return;
	}
	must(r->sql.len > 6 && memcmp(r->sql.data, "before", 6) == 0, "a literal is appended");
	must(memcmp(r->key.data, "before", 6) == 0, "a key is appended");
	must(r->result == VALUE_OK || c->type == COL_DECIMAL, "only a DECIMAL is rounded");
}

static struct span literal(const struct result *r)
{
	return (struct span){ r->sql.data + 6, r->sql.len - 6 };
}

/* The literal as a value again: it must give itself, and the same key. */
static void check_again(struct value *v, const struct column *c, const struct result *r, bool with_key)
{
	bool quoted = *literal(r).p == '\'';
	struct buf text = BUF_INIT, json = BUF_INIT;
	struct value_in in = { 0 };
	struct result again = { 0 };
	struct json j;

	decode(literal(r), &text);
	if (quoted && !c->json)
		json_escape(&json, text.data, text.len);
	else
		buf_add_span(&json, buf_span(&text));
	json_init(&j, json.data, json.len);
	must(json_value(&j, &in.json) == 0 && json_finish(&j) == 0,
	    "what is stored can be a value again");
	convert(v, c, &in, with_key, &again);
	must(again.result == VALUE_OK, "what is stored fits");
	if (c->type == COL_DOUBLE || c->type == COL_FLOAT || c->type == COL_DECIMAL ||
	    is_hex(literal(&again)))
		must(!with_key || span_eq(buf_span(&again.key), buf_span(&r->key)),
		    "and has the same key");
	else
		must(span_eq(buf_span(&again.sql), buf_span(&r->sql)) &&
			span_eq(buf_span(&again.key), buf_span(&r->key)),
		    "and is the same");
	buf_release(&text);
	buf_release(&json);
	buf_release(&again.sql);
	buf_release(&again.key);
}

/* Characters stay; what a type strips or pads is at their end. */
static void check_text(const struct column *c, const struct value_in *in, const struct result *r)
{
	struct buf scratch = BUF_INIT, text = BUF_INIT;
	struct span want;

	if ((c->type != COL_CHAR && c->type != COL_TEXT && c->type != COL_VARBINARY) ||
	    is_hex(literal(r)))
		return;
	want = in->json.type == JSON_NONE              ? in->bytes
	    : in->json.type == JSON_STRING && !c->json ? json_text(&in->json, &scratch)
						       : in->json.raw;
	decode(literal(r), &text);
	must(text.len <= want.n && span_eq(buf_span(&text), (struct span){ want.p, text.len }),
	    "text is what it was");
	must(utf8_valid(want.p, want.n) || c->type == COL_VARBINARY, "text is UTF-8");
	for (size_t i = text.len; i < want.n; i++)
		must(c->type == COL_CHAR && want.p[i] == ' ', "a CHAR loses spaces only");
	buf_release(&scratch);
	buf_release(&text);
}

/* Literals of a key that have one form for each value. */
static bool canonical(const struct column *c)
{
	switch (c->type) {
	case COL_TEXT:
		return c->compare != COMPARE_PAD;
	case COL_BINARY:
	case COL_VARBINARY: /* 'a' and x'61' */
	case COL_UUID:
	case COL_INET6:
	case COL_JSON:
		return false;
	default:
		return true;
	}
}

static struct value_in value_of(const struct column *c, struct span s, bool bytes)
{
	struct value_in in = { 0 };
	struct json j;

	json_init(&j, s.p, s.n);
	if (bytes || json_value(&j, &in.json) < 0 || json_finish(&j) < 0)
		in = (struct value_in){ .bytes = s };
	return in;
}

static void check(struct value *v, const struct column *c, const struct value_in *in,
    struct result *with_key)
{
	struct result plain = { 0 };

	convert(v, c, in, false, &plain);
	convert(v, c, in, true, with_key);
	must(plain.result == with_key->result || in->json.raw.n > 400 || in->bytes.n > 400,
	    "a key takes what another column takes");
	for (int i = 0; i < 2; i++) {
		const struct result *r = i ? with_key : &plain;

		if (r->result == VALUE_REJECT || span_is(literal(r), "NULL"))
			continue;
		if (!is_hex(literal(r)))
			check_again(v, c, r, i);
		check_text(c, in, r);
	}
	buf_release(&plain.sql);
	buf_release(&plain.key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	struct column c = column(&t);
	unsigned kind = take_byte(&t);
	struct value_in a = value_of(&c, take_line(&t), kind & 1),
			b = value_of(&c, take_rest(&t), kind & 2);
	struct value v = { 0 };
	struct result ra = { 0 }, rb = { 0 };

	check(&v, &c, &a, &ra);
	check(&v, &c, &b, &rb);
	if (ra.result != VALUE_REJECT && rb.result != VALUE_REJECT && canonical(&c))
		must(span_eq(literal(&ra), literal(&rb)) ==
			    span_eq(buf_span(&ra.key), buf_span(&rb.key)) ||
			span_is(literal(&ra), "NULL") || span_is(literal(&rb), "NULL"),
		    "keys are equal when the values are");
	value_release(&v);
	buf_release(&ra.sql);
	buf_release(&ra.key);
	buf_release(&rb.sql);
	buf_release(&rb.key);
	return 0;
}
