/*
 * One converter for each type. Most values are plain: a string without escapes, an integer of up to 19 digits, an
 * amount that its DECIMAL has room for. These are recognised by one pass over their bytes and copied; what is left
 * goes through lib/decimal, exactly and slower.
 */
#include "value_internal.h"

#include "base64.h"
#include "decimal.h"

#include <arpa/inet.h>
#include <float.h>
#include <stdarg.h>
#include <stdio.h>

#define DECIMAL_PLACES 65 /* both servers' limit */

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

/* ---- numbers ---- */

/* The text of a number; true and false are 1 and 0, and text may be a number. 0 or -1. */
static int number_text(struct value *v, const struct value_in *in, struct span *out)
{
	switch (in->json.type) {
	case JSON_NUMBER:
		*out = in->json.raw;
		return 0;
	case JSON_TRUE:
		*out = SPAN("1");
		return 0;
	case JSON_FALSE:
		*out = SPAN("0");
		return 0;
	case JSON_STRING:
	case JSON_NONE:
		*out = value_text(v, in);
		return 0;
	default:
		return -1;
	}
}

static enum value_result reject_range(struct value *v, const struct column *c)
{
	return value_reject(v, "is out of range: %lld to %llu", (long long)c->min,
	    (unsigned long long)c->max);
}

static void put_unsigned(struct buf *sql, uint64_t n)
{
	char digits[20];
	int at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_add(sql, digits + at, sizeof(digits) - (size_t)at);
}

/* A BIT has no min: it is 0. */
static enum value_result convert_int(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	uint64_t lowest = c->min < 0 ? -(uint64_t)c->min : 0, n;
	struct decimal d;
	struct span text;
	int64_t small;

	if (number_text(v, in, &text) < 0)
		return value_reject(v, "is no number");
	if (json_int64(text, &small) == 0) {
		d.negative = small < 0;
		n = d.negative ? -(uint64_t)small : (uint64_t)small;
	} else {
		if (decimal_parse(&d, text, &v->other) < 0)
			return value_reject(v, "is no number");
		if (!decimal_is_integer(&d))
			return value_reject(v, "is no integer");
		if (decimal_magnitude(&d, &n) < 0)
			return reject_range(v, c);
	}
	if (d.negative ? n > lowest : n > c->max || (c->min > 0 && n < (uint64_t)c->min))
		return reject_range(v, c);
	if (d.negative)
		buf_add_char(sql, '-');
	put_unsigned(sql, n);
	if (key && c->min == 0)
		value_key_unsigned(key, n);
	else if (key)
		value_key_signed(key, (int64_t)(d.negative ? -n : n));
	return VALUE_OK;
}

/* Whether a number needs nothing but to be copied: 12.50, no exponent, and the column has a place for each digit. */
static bool plain_decimal(const struct column *c, struct span s)
{
	const char *p = s.p, *end = s.n > 0 ? s.p + s.n : s.p, *start;

	if (p < end && *p == '-' && !c->is_unsigned) {
		p++;
		if (p < end && *p == '0') /* it may be -0, which is 0 */
			return false;
	}
	for (start = p; p < end && (unsigned char)(*p - '0') < 10; p++)
		;
	if (p == start || p - start > c->precision - c->scale || (*start == '0' && p - start > 1))
		return false;
	if (p == end)
		return true;
	if (*p != '.')
		return false;
	for (start = ++p; p < end && (unsigned char)(*p - '0') < 10; p++)
		;
	return p == end && p > start && p - start <= c->scale;
}

/*
 * The number's digits where the column has them: `places` characters, the last c->scale of them behind the point.
 * 0; 1: rounded, half away from zero; -1: more digits before the point than there are places.
 */
static int place_digits(const struct column *c, const struct decimal *d, char *to)
{
	int64_t places = c->precision, whole = places - c->scale, first = whole - d->point, last;

	memset(to, '0', (size_t)places);
	if (d->digits == 0)
		return 0;
	if (first < 0)
		return -1;
	if (first > places)
		return 1;
	last = first + (int64_t)d->digits;
	if (last <= places) {
		memcpy(to + first, d->digit, d->digits);
		return 0;
	}
	memcpy(to + first, d->digit, (size_t)(places - first));
	if (d->digit[places - first] < '5')
		return 1;
	for (last = places; last-- > 0;) {
		if (to[last] < '9') {
			to[last]++;
			return 1;
		}
		to[last] = '0';
	}
	return -1;
}

static bool all_zeros(const char *digits, int n)
{
	while (n > 0 && digits[n - 1] == '0')
		n--;
	return n == 0;
}

static void put_decimal(const struct column *c, bool negative, const char *digits, struct buf *sql)
{
	int whole = c->precision - c->scale, at = 0;

	while (at < whole - 1 && digits[at] == '0')
		at++;
	if (negative)
		buf_add_char(sql, '-');
	if (whole == 0)
		buf_add_char(sql, '0');
	buf_add(sql, digits + at, (size_t)(whole - at));
	if (c->scale > 0) {
		buf_add_char(sql, '.');
		buf_add(sql, digits + whole, (size_t)c->scale);
	}
}

/* A sign and every digit; nines' complements where the sign is minus, so that it sorts. */
static void key_decimal(const struct column *c, bool negative, const char *digits, struct buf *key)
{
	buf_add_char(key, negative ? '-' : '0');
	for (int i = 0; i < c->precision; i++)
		buf_add_char(key, (char)(negative ? '0' + '9' - digits[i] : digits[i]));
}

static enum value_result convert_decimal(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	char digits[DECIMAL_PLACES];
	struct decimal d;
	struct span text;
	bool negative;
	int rounded;

	if (number_text(v, in, &text) < 0)
		return value_reject(v, "is no number");
	if (!key && plain_decimal(c, text)) {
		buf_add_span(sql, text);
		return VALUE_OK;
	}
	if (decimal_parse(&d, text, &v->other) < 0)
		return value_reject(v, "is no number");
	rounded = place_digits(c, &d, digits);
	if (rounded < 0)
		return value_reject(v,
		    "is out of range: a DECIMAL(%d,%d) has %d digits before the point",
		    c->precision, c->scale, c->precision - c->scale);
	negative = d.negative && !all_zeros(digits, c->precision);
	if (negative && c->is_unsigned)
		return value_reject(v, "is negative, the column is UNSIGNED");
	put_decimal(c, negative, digits, sql);
	if (key)
		key_decimal(c, negative, digits, key);
	return rounded ? VALUE_ROUNDED : VALUE_OK;
}

/* Two bounds that few numbers come near to; the others need no double. */
static bool too_large(struct span text, const struct decimal *d, bool single)
{
	int bound = single ? 39 : 309;
	double nearest;

	if (d->point != bound)
		return d->point > bound;
	return json_double(text, &nearest) < 0 || (single && nearest > (double)FLT_MAX);
}

static bool is_zero(struct span text, const struct decimal *d, bool single)
{
	double nearest;

	if (d->digits == 0 || d->point >= (single ? -43 : -322))
		return d->digits == 0;
	return json_double(text, &nearest) == 0 && (single ? (double)(float)nearest : nearest) == 0;
}

/* A FLOAT is written as the double that it is, or 0.1 would not be found again. Its eight bytes sort like doubles do. */
static enum value_result put_key_double(struct value *v, struct span text, bool negative,
    bool single, struct buf *sql, struct buf *key)
{
	uint64_t bits;
	double d;

	if (json_double(text, &d) < 0)
		return value_reject(v, "has too many digits for a key");
	d = single ? (double)(float)d : d;
	d = negative ? -d : d;
	buf_addf(sql, "%.16e", d);
	memcpy(&bits, &d, sizeof(bits));
	value_key_unsigned(key, negative ? ~bits : bits | UINT64_C(1) << 63);
	return VALUE_OK;
}

/*
 * With an exponent, or the server takes it for a DECIMAL and keeps 30 or 38 digits behind the point. -0 becomes 0, as
 * MariaDB stores it.
 */
static enum value_result convert_double(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	bool single = c->type == COL_FLOAT;
	struct decimal d;
	struct span text;

	if (number_text(v, in, &text) < 0 || decimal_parse(&d, text, &v->other) < 0)
		return value_reject(v, "is no number");
	if (d.negative && c->is_unsigned)
		return value_reject(v, "is negative, the column is UNSIGNED");
	if (*text.p == '-') /* of -0 too */
		text.p++, text.n--;
	if (too_large(text, &d, single))
		return value_reject(v, "is out of range: too large for a %s",
		    single ? "FLOAT" : "DOUBLE");
	if (is_zero(text, &d, single)) {
		d.negative = false;
		text = SPAN("0");
	}
	if (key)
		return put_key_double(v, text, d.negative, single, sql, key);
	if (d.negative)
		buf_add_char(sql, '-');
	buf_add_span(sql, text);
	if (!memchr(text.p, 'e', text.n) && !memchr(text.p, 'E', text.n))
		buf_add(sql, "e0", 2);
	return VALUE_OK;
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

/* Characters of valid UTF-8: the bytes that continue none. */
static int64_t characters(struct span s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* No more than the column takes; -1: reject. */
static enum value_result check_length(struct value *v, const struct column *c, struct span s, bool text)
{
	if (text && c->chars >= 0 && s.n > (uint64_t)c->chars && characters(s) > c->chars)
		return value_reject(v, "is longer than %lld character%s", (long long)c->chars,
		    c->chars == 1 ? "" : "s");
	if (c->octets >= 0 && s.n > (uint64_t)c->octets)
		return value_reject(v, "is longer than %lld byte%s", (long long)c->octets,
		    c->octets == 1 ? "" : "s");
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
	if (check_length(v, c, text, true) != VALUE_OK)
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

/*
 * {"base64":"AP8="}: how sluice writes bytes where JSON has no place for them (headers). 1: *out is the text in it; 0: the
 * value is something else.
 */
static int base64_marker(struct value *v, const struct json_value *object, struct span *out)
{
	struct json_value text;
	struct span name;
	struct json j;
	bool escaped;

	json_init(&j, object->raw.p, object->raw.n);
	if (object->type != JSON_OBJECT || json_enter(&j) < 0 ||
	    json_member(&j, &name, &escaped) <= 0 || !json_key_is(name, escaped, "base64") ||
	    json_value(&j, &text) < 0 || text.type != JSON_STRING || json_member(&j, &name, NULL) != 0)
		return 0;
	*out = json_text(&text, &v->text);
	return 1;
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
	if (check_length(v, c, s, false) != VALUE_OK)
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
		return convert_int(v, c, in, sql, key);
	case COL_DECIMAL:
		return convert_decimal(v, c, in, sql, key);
	case COL_FLOAT:
	case COL_DOUBLE:
		return convert_double(v, c, in, sql, key);
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

/* On a reject nothing was appended yet: what a converter appends comes last. */
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
