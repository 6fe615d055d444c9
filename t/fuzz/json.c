/* libFuzzer target for lib/json and lib/base64: what must hold for any bytes. */
#include "json.h"
#include "base64.h"

#include "fuzz.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct span trim(const char *p, size_t n)
{
	while (n > 0 && is_blank(p[n - 1]))
		n--;
	while (n > 0 && is_blank(*p)) {
		p++;
		n--;
	}
	return (struct span){ p, n };
}

/* Escaped and read back, any UTF-8 is the same again. */
static void check_escape(struct span text)
{
	struct buf quoted = BUF_INIT, back = BUF_INIT;

	json_escape(&quoted, text.p, text.n);
	must(quoted.len == json_escaped_size(text.p, text.n), "json_escaped_size is right");
	must(json_valid(quoted.data, quoted.len, NULL), "what json_escape makes is valid");
	json_unescape(&back, (struct span){ quoted.data + 1, quoted.len - 2 });
	must(span_eq(buf_span(&back), text), "escaping and unescaping gives the same");
	buf_release(&quoted);
	buf_release(&back);
}

static void check_string(const struct json_value *v)
{
	struct span inner = { v->raw.p + 1, v->raw.n - 2 };
	struct buf scratch = BUF_INIT;
	struct span text = json_text(v, &scratch);

	must(utf8_valid(text.p, text.n), "a decoded string is UTF-8");
	must(v->escaped == (inner.n > 0 && memchr(inner.p, '\\', inner.n)),
	    "escaped tells of backslashes");
	must(v->escaped || span_eq(text, inner), "a string without escapes is its own text");
	check_escape(text);
	buf_add_char(&scratch, '\0');
	if (v->escaped && !memchr(scratch.data, '\0', scratch.len - 1))
		must(json_key_is(inner, true, scratch.data), "json_key_is agrees with json_unescape");
	buf_release(&scratch);
}

static void check_number(struct span raw)
{
	struct buf b = BUF_INIT;
	int64_t v;

	if (json_int64(raw, &v) == 0) {
		buf_add_int(&b, v);
		must(span_eq(buf_span(&b), raw) || (v == 0 && span_is(raw, "-0")),
		    "an integer prints as it was");
	}
	buf_release(&b);
}

/* Passes a value with the pull functions alone. */
static bool walk(struct json *j)
{
	enum json_type type = json_peek(j);
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (type != JSON_ARRAY && type != JSON_OBJECT) {
		if (json_value(j, &v) < 0)
			return false;
		must(v.type == type, "json_peek tells the type of a valid value");
		if (type == JSON_STRING)
			check_string(&v);
		else if (type == JSON_NUMBER)
			check_number(v.raw);
		return true;
	}
	if (json_enter(j) < 0)
		return false;
	while ((r = type == JSON_OBJECT ? json_member(j, &key, &escaped) : json_element(j)) > 0)
		if (!walk(j))
			return false;
	return r == 0;
}

static void check_text(const char *p, size_t n)
{
	bool breaks, valid = json_valid(p, n, &breaks);
	struct span text = trim(p, n);
	struct json_value v;
	struct json j;

	json_init(&j, p, n);
	must((walk(&j) && json_finish(&j) == 0) == valid, "pulling and skipping agree");
	must(j.depth >= 0 && j.depth <= JSON_DEPTH, "the depth has bounds");
	must(valid ? !j.why && j.p == j.end : j.why && j.p >= p && j.p <= j.end,
	    "an error has a reason and a place");
	if (!valid)
		return;
	must(j.breaks == breaks, "both see the line breaks");
	must(json_valid(text.p, text.n, NULL), "blanks around a text do not matter");
	must(utf8_valid(p, n), "a valid text is UTF-8");
	json_init(&j, p, n);
	must(json_value(&j, &v) == 0 && span_eq(v.raw, text),
	    "a value is the text without the blanks around it");
	if (v.type == JSON_OBJECT || v.type == JSON_ARRAY || v.type == JSON_STRING)
		must(!json_valid(text.p, text.n - 1, NULL), "no proper prefix of it is a text");
}

static void check_base64(const char *p, size_t n)
{
	struct buf text = BUF_INIT, back = BUF_INIT;

	base64_encode(&text, p, n);
	must(text.len == BASE64_SIZE(n), "BASE64_SIZE is right");
	must(base64_decode(&back, text.data, text.len) == 0, "what base64_encode makes can be decoded");
	must(span_eq(buf_span(&back), (struct span){ p, n }), "and gives the same bytes");
	buf_clear(&text);
	buf_clear(&back);
	if (base64_decode(&back, p, n) == 0) {
		base64_encode(&text, back.data, back.len);
		must(span_eq(buf_span(&text), (struct span){ p, n }),
		    "each byte string has one base64 form only");
	} else {
		must(back.len == 0, "a failed decode adds nothing");
	}
	buf_release(&text);
	buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;

	check_text(p, n);
	if (utf8_valid(p, n))
		check_escape((struct span){ p, n });
	check_base64(p, n);
	return 0;
}
