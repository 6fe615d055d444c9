/*
 * Text, bytes, names and addresses; numbers are in value_number.c, dates in value_time.c. A converter appends its literal
 * and its key last, so that a reject leaves nothing behind.
 */
#include "value_internal.h"

#include "base64.h"
#include "log.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

void value_release(struct value *v)
{
	buf_release(&v->text);
	buf_release(&v->other);
	buf_release(&v->why);
}

enum value_result value_reject(struct value *v, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	buf_clear(&v->why);
	buf_add_str(&v->why, why);
	buf_cstr(&v->why);
	return VALUE_REJECT;
}

bool value_is_text(const struct value_in *in)
{
	return in->json.type == JSON_STRING || in->json.type == JSON_NONE;
}

struct span value_text(struct value *v, const struct value_in *in)
{
	if (in->json.type != JSON_NONE)
		return json_text(&in->json, &v->text);
	return in->bytes.n > 0 ? in->bytes : SPAN("");
}

void value_key_unsigned(struct buf *key, uint64_t n)
{
	unsigned char bytes[8];

	for (int i = 8; i-- > 0; n >>= 8)
		bytes[i] = (unsigned char)n;
	buf_add(key, bytes, sizeof(bytes));
}

void value_key_signed(struct buf *key, int64_t n)
{
	value_key_unsigned(key, (uint64_t)n ^ UINT64_C(1) << 63);
}

/* ---- text and bytes ---- */

/* Most strings: nothing in them was escaped in JSON, so a quote is all that SQL could mind. */
static void put_text(const struct value_in *in, struct span text, struct buf *sql)
{
	if (in->json.type != JSON_STRING || in->json.escaped || memchr(text.p, '\'', text.n)) {
		db_quote_text(sql, text.p, text.n);
		return;
	}
	buf_reserve(sql, text.n + 2);
	buf_add_char(sql, '\'');
	buf_add_span(sql, text);
	buf_add_char(sql, '\'');
}

/* Whether the column has room for all of it. */
static enum value_result check_length(struct value *v, const struct column *c, struct span s)
{
	if (c->chars >= 0 && s.n > (uint64_t)c->chars && utf8_length(s.p, s.n) > (uint64_t)c->chars)
		return value_reject(v, "is longer than %lld character%s", (long long)c->chars,
		    plural((uint64_t)c->chars));
	if (c->octets >= 0 && s.n > (uint64_t)c->octets)
		return value_reject(v, "is longer than %lld byte%s", (long long)c->octets,
		    plural((uint64_t)c->octets));
	return VALUE_OK;
}

/* What a text or binary column stores of a value: the characters of a string; else the bytes of the JSON. */
static struct span own_bytes(struct value *v, const struct column *c, const struct value_in *in)
{
	return value_is_text(in) && !c->json ? value_text(v, in) : in->json.raw;
}

static struct span without_trailing_spaces(struct span s)
{
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

static enum value_result convert_text(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	bool bytes = in->json.type == JSON_NONE;
	struct span text;

	if (bytes && c->json)
		return value_reject(v, "is no JSON");
	if (bytes && !utf8_valid(in->bytes.p, in->bytes.n))
		return value_reject(v, "is no valid UTF-8");
	text = own_bytes(v, c, in);
	if (check_length(v, c, text) != VALUE_OK)
		return VALUE_REJECT;
	/* A CHAR is stored without them; where the collation does not pad, a key would not be found with them. */
	if (key && c->type == COL_CHAR)
		text = without_trailing_spaces(text);
	put_text(in, text, sql);
	if (key)
		buf_add_span(key, c->compare == COMPARE_PAD ? without_trailing_spaces(text) : text);
	return VALUE_OK;
}

/* MySQL's own type, which no key can have. */
static enum value_result convert_json(struct value *v, const struct value_in *in, struct buf *sql)
{
	if (in->json.type == JSON_NONE)
		return value_reject(v, "is no JSON");
	put_text(in, in->json.raw, sql);
	return VALUE_OK;
}

/* {"base64":"AP8="}: how sluice writes bytes where JSON has no place for them, as in headers. *out: the text in it. */
static bool base64_marker(struct value *v, const struct json_value *object, struct span *out)
{
	struct json_value text;
	struct span name;
	struct json j;
	bool escaped;

	if (object->type != JSON_OBJECT)
		return false;
	json_init(&j, object->raw.p, object->raw.n);
	if (json_enter(&j) < 0 || json_member(&j, &name, &escaped) <= 0 ||
	    !json_key_is(name, escaped, "base64") || json_value(&j, &text) < 0 ||
	    text.type != JSON_STRING || json_member(&j, &name, NULL) != 0)
		return false;
	*out = json_text(&text, &v->text);
	return true;
}

/* To the length of a key's column: the server pads what it stores, and finds nothing that is not. */
static struct span padded(struct value *v, struct span s, size_t n)
{
	if (s.p != v->other.data) {
		buf_clear(&v->other);
		buf_add_span(&v->other, s);
	}
	while (v->other.len < n)
		buf_add_char(&v->other, '\0');
	return buf_span(&v->other);
}

static enum value_result convert_binary(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	bool is_text = in->json.type != JSON_NONE;
	struct span s = own_bytes(v, c, in), base64;

	if (base64_marker(v, &in->json, &base64)) {
		buf_clear(&v->other);
		if (base64_decode(&v->other, base64.p, base64.n) < 0)
			return value_reject(v, "is no base64");
		s = buf_span(&v->other);
		is_text = false;
	}
	if (check_length(v, c, s) != VALUE_OK)
		return VALUE_REJECT;
	if (key && c->type == COL_BINARY && s.n < (uint64_t)c->octets) {
		s = padded(v, s, (size_t)c->octets);
		is_text = false;
	}
	if (is_text)
		put_text(in, s, sql);
	else
		db_quote_bytes(sql, s.p, s.n);
	if (key)
		buf_add_span(key, s);
	return VALUE_OK;
}

/* ---- names ---- */

/* The index of a name, exactly as it is; c->values: there is none. */
static size_t find_name(const struct column *c, struct span s)
{
	size_t i = 0;

	while (i < c->values && !span_is(s, c->value[i]))
		i++;
	return i;
}

static enum value_result convert_enum(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	struct span s;
	size_t i;

	if (!value_is_text(in))
		return value_reject(v, "is not the name of a value of the ENUM");
	s = value_text(v, in);
	i = find_name(c, s);
	if (i == c->values)
		return value_reject(v, "is no value of the ENUM");
	db_quote_text(sql, s.p, s.n);
	if (key)
		value_key_unsigned(key, i + 1);
	return VALUE_OK;
}

static int add_member(const struct column *c, struct span s, uint64_t *set)
{
	size_t i = find_name(c, s);

	if (s.n == 0 || i == c->values || i > 63) /* '' is the empty set, even where it is a name */
		return -1;
	*set |= UINT64_C(1) << i;
	return 0;
}

/* No name has a comma. */
static int read_names(const struct column *c, struct span s, uint64_t *set)
{
	const char *p = s.p, *end = s.p + s.n, *comma;

	if (s.n == 0)
		return 0;
	for (; (comma = memchr(p, ',', (size_t)(end - p))); p = comma + 1)
		if (add_member(c, (struct span){ p, (size_t)(comma - p) }, set) < 0)
			return -1;
	return add_member(c, (struct span){ p, (size_t)(end - p) }, set);
}

/* "a,b" or ["a","b"] */
static int read_set(struct value *v, const struct column *c, const struct value_in *in, uint64_t *set)
{
	struct json_value name;
	struct json j;

	*set = 0;
	if (value_is_text(in))
		return read_names(c, value_text(v, in), set);
	json_init(&j, in->json.raw.p, in->json.raw.n);
	if (in->json.type != JSON_ARRAY || json_enter(&j) < 0)
		return -1;
	while (json_element(&j) > 0)
		if (json_value(&j, &name) < 0 || name.type != JSON_STRING ||
		    add_member(c, json_text(&name, &v->text), set) < 0)
			return -1;
	return 0;
}

/* In the order of the definition, as the server stores it. */
static enum value_result convert_set(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	uint64_t set;

	if (read_set(v, c, in, &set) < 0)
		return value_reject(v, "has what is no value of the SET");
	buf_clear(&v->other);
	for (size_t i = 0; i < c->values && i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		if (v->other.len > 0)
			buf_add_char(&v->other, ',');
		buf_add_str(&v->other, c->value[i]);
	}
	db_quote_text(sql, v->other.data, v->other.len);
	if (key)
		value_key_unsigned(key, set);
	return VALUE_OK;
}

/* ---- addresses ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 8-4-4-4-12 hexadecimal digits. */
static int read_uuid(struct span s, unsigned char to[16])
{
	size_t n = 0;

	if (s.n != 36)
		return -1;
	for (size_t i = 0; i < s.n;) {
		int high, low;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s.p[i++] != '-')
				return -1;
			continue;
		}
		high = hex_digit(s.p[i]), low = hex_digit(s.p[i + 1]);
		if (high < 0 || low < 0)
			return -1;
		to[n++] = (unsigned char)(high << 4 | low);
		i += 2;
	}
	return 0;
}

static int read_address(int family, struct span s, unsigned char to[16])
{
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return -1;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, to) == 1 ? 0 : -1;
}

static enum value_result convert_address(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	const char *kind = c->type == COL_UUID ? "UUID"
	    : c->type == COL_INET4             ? "IPv4 address"
					       : "IPv6 address";
	unsigned char bytes[16];
	struct span s;
	int r;

	if (!value_is_text(in))
		return value_reject(v, "is no %s", kind);
	s = value_text(v, in);
	r = c->type == COL_UUID ? read_uuid(s, bytes)
				: read_address(c->type == COL_INET4 ? AF_INET : AF_INET6, s, bytes);
	if (r < 0)
		return value_reject(v, "is no %s", kind);
	db_quote_text(sql, s.p, s.n);
	if (key)
		buf_add(key, bytes, c->type == COL_INET4 ? 4 : 16);
	return VALUE_OK;
}

/* ---- all of them ---- */

static enum value_result convert(struct value *v, const struct column *c, const struct value_in *in,
    struct buf *sql, struct buf *key)
{
	switch (c->type) {
	case COL_INT:
	case COL_BIT:
	case COL_DECIMAL:
	case COL_FLOAT:
	case COL_DOUBLE:
		return value_convert_number(v, c, in, sql, key);
	case COL_CHAR:
	case COL_TEXT:
		return convert_text(v, c, in, sql, key);
	case COL_BINARY:
	case COL_VARBINARY:
		return convert_binary(v, c, in, sql, key);
	case COL_DATE:
	case COL_TIME:
	case COL_DATETIME:
	case COL_TIMESTAMP:
	case COL_YEAR:
		return value_convert_time(v, c, in, sql, key);
	case COL_ENUM:
		return convert_enum(v, c, in, sql, key);
	case COL_SET:
		return convert_set(v, c, in, sql, key);
	case COL_JSON:
		return convert_json(v, in, sql);
	case COL_UUID:
	case COL_INET4:
	case COL_INET6:
		return convert_address(v, c, in, sql, key);
	case COL_OTHER:
		break;
	}
	return value_reject(v, "cannot be stored: the column's type takes only NULL from here");
}

enum value_result value_convert(struct value *v, const struct column *c, const struct value_in *in,
    struct buf *sql, struct buf *key)
{
	if (in->json.type != JSON_NULL)
		return convert(v, c, in, sql, key);
	if (!c->nullable)
		return value_reject(v, "is null, the column is NOT NULL");
	buf_add(sql, "NULL", 4);
	return VALUE_OK;
}
