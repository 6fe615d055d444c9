/*
 * Numbers. Most are plain: an integer of up to 19 digits, an amount that its DECIMAL has room for. These are recognised
 * by one pass over their bytes; what is left goes through lib/decimal, exactly and slower.
 */
#include "value_internal.h"

#include "decimal.h"

#include <float.h>

#define DECIMAL_PLACES 65 /* both servers' limit */

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
	if (d.negative ? n > lowest : n > c->max)
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

enum value_result value_convert_number(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	switch (c->type) {
	case COL_DECIMAL:
		return convert_decimal(v, c, in, sql, key);
	case COL_FLOAT:
	case COL_DOUBLE:
		return convert_double(v, c, in, sql, key);
	default:
		return convert_int(v, c, in, sql, key);
	}
}
