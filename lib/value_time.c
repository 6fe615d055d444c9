/*
 * Dates and times: microseconds since 1970 in UTC (TIME: since midnight), read by lib/clock, which also reads them for
 * partition -t; cut to the column's digits here, since MySQL would round them and MariaDB not.
 */
#include "value_internal.h"

#include "clock.h"
#include "decimal.h"

#define SECOND INT64_C(1000000)
#define DAY    (86400 * SECOND)

#define MIN_DAY  (-INT64_C(719162)) /* 0001-01-01 */
#define MAX_DAY  INT64_C(2932896)   /* 9999-12-31 */
#define MAX_TIME ((838 * 3600 + 59 * 60 + 59) * SECOND)

/* TIMESTAMP: 1970-01-01 00:00:01 to 2038-01-19 03:14:07.999999 on both servers. */
#define TIMESTAMP_MIN SECOND
#define TIMESTAMP_END (INT64_C(0x80000000) * SECOND)

static int64_t cut(int64_t us, int digits)
{
	static const int unit[] = { 1000000, 100000, 10000, 1000, 100, 10, 1 };
	int64_t rest = us % unit[digits];

	return us - (rest < 0 ? rest + unit[digits] : rest);
}

/* ---- literals ---- */

static char *put(char *p, unsigned v, int width)
{
	for (int i = width; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

static char *put_date(char *p, const struct tm *tm)
{
	p = put(p, (unsigned)tm->tm_year + 1900, 4);
	*p++ = '-';
	p = put(p, (unsigned)tm->tm_mon + 1, 2);
	*p++ = '-';
	return put(p, (unsigned)tm->tm_mday, 2);
}

/* us: since midnight, or more. */
static char *put_clock(char *p, int64_t us, int digits)
{
	unsigned sec = (unsigned)(us / SECOND), rest = (unsigned)(us % SECOND);
	unsigned hours = sec / 3600;

	p = put(p, hours, hours > 99 ? 3 : 2);
	*p++ = ':';
	p = put(p, sec / 60 % 60, 2);
	*p++ = ':';
	p = put(p, sec % 60, 2);
	if (digits > 0) {
		*p++ = '.';
		put(p, rest, 6);
		p += digits;
	}
	return p;
}

static void put_datetime(const struct column *c, int64_t us, struct buf *sql)
{
	int64_t of_day = us % DAY, at;
	char text[48], *p = text;
	struct tm tm;

	if (of_day < 0)
		of_day += DAY;
	at = us - of_day;
	clock_calendar(at / SECOND, &tm);
	*p++ = '\'';
	p = put_date(p, &tm);
	if (c->type != COL_DATE) {
		*p++ = ' ';
		p = put_clock(p, of_day, c->scale);
	}
	*p++ = '\'';
	buf_add(sql, text, (size_t)(p - text));
}

/* ---- DATE, DATETIME, TIMESTAMP ---- */

/*
 * Text that is an epoch time: with 10, 13 or 16 digits it is one since 2001, and cannot be taken for 20261121,
 * 202611210410 or 20261121041000, which would be somewhere in 1970 or 2612.
 */
static bool epoch_text(struct span s)
{
	return s.n == 10 || s.n == 13 || s.n == 16;
}

static int read_instant(struct value *v, const struct value_in *in, int64_t *us)
{
	struct span s;

	*us = in->us;
	if (in->instant)
		return 0;
	if (in->json.type == JSON_NUMBER)
		return clock_parse_epoch_us(in->json.raw.p, in->json.raw.n, us);
	if (!value_is_text(in))
		return -1;
	s = value_text(v, in);
	if (clock_parse_iso_us(s.p, s.n, us) == 0)
		return 0;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
	return epoch_text(s) ? clock_parse_epoch_us(s.p, s.n, us) : -1;
}

/* Numbers that are no more than this are days since 1970, as ksqlDB, Connect and Debezium write a DATE. */
static bool read_days(struct value *v, const struct value_in *in, int64_t *us)
{
	struct decimal d;
	uint64_t days;

	if (in->json.type != JSON_NUMBER || decimal_parse(&d, in->json.raw, &v->other) < 0 ||
	    !decimal_is_integer(&d) || decimal_magnitude(&d, &days) < 0)
		return false;
	if (days > (uint64_t)(d.negative ? -MIN_DAY : MAX_DAY))
		return false;
	*us = (d.negative ? -(int64_t)days : (int64_t)days) * DAY;
	return true;
}

static enum value_result convert_date(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	int64_t us;

	if (!read_days(v, in, &us)) {
		if (read_instant(v, in, &us) < 0)
			return value_reject(v, "is no date");
		if (us % DAY != 0)
			return value_reject(v,
			    "has a time of day (in UTC), for which a DATE has no place");
	}
	put_datetime(c, us, sql);
	if (key)
		value_key_signed(key, us);
	return VALUE_OK;
}

static enum value_result convert_datetime(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	int64_t us;

	if (read_instant(v, in, &us) < 0)
		return value_reject(v, "is no date and time");
	us = cut(us, c->scale);
	if (c->type == COL_TIMESTAMP && (us < TIMESTAMP_MIN || us >= TIMESTAMP_END))
		return value_reject(v,
		    "is out of range: a TIMESTAMP is 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC");
	put_datetime(c, us, sql);
	if (key)
		value_key_signed(key, us);
	return VALUE_OK;
}

/* ---- TIME ---- */

/* At least two digits, at most `most`. */
static bool number(const char **p, const char *end, int most, unsigned *out)
{
	const char *start = *p;

	for (*out = 0; *p < end && *p - start < most && (unsigned char)(**p - '0') < 10; ++*p)
		*out = *out * 10 + (unsigned)(**p - '0');
	return *p - start >= 2;
}

static bool take(const char **p, const char *end, char want)
{
	if (*p == end || **p != want)
		return false;
	++*p;
	return true;
}

static bool fraction(const char **p, const char *end, unsigned *us)
{
	const char *start = *p;
	unsigned unit = SECOND;

	for (; *p < end && (unsigned char)(**p - '0') < 10; ++*p)
		*us += (unsigned)(**p - '0') * (unit /= 10);
	return *p > start;
}

/* [-]hh:mm[:ss[.fraction]], hours up to three digits. */
static bool read_time(struct span s, int64_t *us)
{
	const char *p = s.p, *end = s.n > 0 ? s.p + s.n : s.p;
	bool negative = take(&p, end, '-');
	unsigned hours, minutes, seconds = 0, rest = 0;

	if (!number(&p, end, 3, &hours) || !take(&p, end, ':') || !number(&p, end, 2, &minutes) ||
	    minutes > 59)
		return false;
	if (take(&p, end, ':')) {
		if (!number(&p, end, 2, &seconds) || seconds > 59)
			return false;
		if (take(&p, end, '.') && !fraction(&p, end, &rest))
			return false;
	}
	*us = (hours * INT64_C(3600) + minutes * 60 + seconds) * SECOND + rest;
	if (negative)
		*us = -*us;
	return p == end;
}

static enum value_result convert_time(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	char text[32], *p = text;
	int64_t us;

	if (!value_is_text(in) || !read_time(value_text(v, in), &us))
		return value_reject(v, "is no time: hh:mm:ss");
	us = us < 0 ? -cut(-us, c->scale) : cut(us, c->scale);
	if (us > MAX_TIME || us < -MAX_TIME)
		return value_reject(v, "is out of range: a TIME is -838:59:59 to 838:59:59");
	*p++ = '\'';
	if (us < 0)
		*p++ = '-';
	p = put_clock(p, us < 0 ? -us : us, c->scale);
	*p++ = '\'';
	buf_add(sql, text, (size_t)(p - text));
	if (key)
		value_key_signed(key, us);
	return VALUE_OK;
}

/* ---- YEAR ---- */

static enum value_result convert_year(struct value *v, const struct value_in *in, struct buf *sql,
    struct buf *key)
{
	struct span s = in->json.raw;
	struct decimal d;
	uint64_t year;

	if (value_is_text(in)) {
		s = value_text(v, in);
		if (s.n != 4) /* "26" is a guess */
			return value_reject(v, "is no year of four digits");
	} else if (in->json.type != JSON_NUMBER) {
		return value_reject(v, "is no year");
	}
	if (decimal_parse(&d, s, &v->other) < 0 || !decimal_is_integer(&d))
		return value_reject(v, "is no year");
	if (d.negative || decimal_magnitude(&d, &year) < 0 ||
	    ((year < 1901 || year > 2155) && year != 0))
		return value_reject(v, "is out of range: a YEAR is 1901 to 2155");
	buf_add_int(sql, (int64_t)year);
	if (key)
		value_key_unsigned(key, year);
	return VALUE_OK;
}

enum value_result value_convert_time(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key)
{
	switch (c->type) {
	case COL_DATE:
		return convert_date(v, c, in, sql, key);
	case COL_TIME:
		return convert_time(v, c, in, sql, key);
	case COL_YEAR:
		return convert_year(v, in, sql, key);
	default:
		return convert_datetime(v, c, in, sql, key);
	}
}
