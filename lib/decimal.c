#include "decimal.h"

#define EXPONENT_MAX INT64_C(1000000000000000) /* more digits than there are bytes of memory */

static bool is_digit(const char *p, const char *end)
{
	return p < end && (unsigned char)(*p - '0') < 10;
}

static struct span digits(const char **p, const char *end)
{
	struct span s = { *p, 0 };

	while (is_digit(*p, end))
		++*p;
	s.n = (size_t)(*p - s.p);
	return s;
}

/* *p stands behind the e. -1: no digits. */
static int exponent(const char **p, const char *end, int64_t *out)
{
	bool negative = *p < end && **p == '-';
	struct span s;

	if (negative || (*p < end && **p == '+'))
		++*p;
	s = digits(p, end);
	*out = 0;
	for (size_t i = 0; i < s.n && *out < EXPONENT_MAX; i++)
		*out = *out * 10 + (s.p[i] - '0');
	if (negative)
		*out = -*out;
	return s.n > 0 ? 0 : -1;
}

static void trim(struct decimal *d)
{
	while (d->digits > 0 && d->digit[0] == '0') {
		d->digit++;
		d->digits--;
		d->point--;
	}
	while (d->digits > 0 && d->digit[d->digits - 1] == '0')
		d->digits--;
	if (d->digits == 0) {
		d->point = 0;
		d->negative = false;
	}
}

int decimal_parse(struct decimal *d, struct span text, struct buf *scratch)
{
	const char *p = text.p, *end = text.n > 0 ? text.p + text.n : text.p;
	struct span whole, fraction = { NULL, 0 };
	int64_t shift = 0;

	d->negative = p < end && *p == '-';
	p += d->negative;
	whole = digits(&p, end);
	if (whole.n == 0 || (whole.n > 1 && *whole.p == '0'))
		return -1;
	if (p < end && *p == '.') {
		p++;
		fraction = digits(&p, end);
		if (fraction.n == 0)
			return -1;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (exponent(&p, end, &shift) < 0)
			return -1;
	}
	if (p != end)
		return -1;
	d->digit = whole.p;
	d->digits = whole.n + fraction.n;
	d->point = (int64_t)whole.n + shift;
	if (fraction.n > 0) {
		buf_clear(scratch);
		buf_add_span(scratch, whole);
		buf_add_span(scratch, fraction);
		d->digit = scratch->data;
	}
	trim(d);
	return 0;
}

int decimal_magnitude(const struct decimal *d, uint64_t *out)
{
	uint64_t v = 0;

	for (int64_t i = 0; i < d->point; i++) { /* the first digit is not 0: no more than 21 times */
		unsigned digit = (size_t)i < d->digits ? (unsigned)(d->digit[i] - '0') : 0;

		if (v > (UINT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}
