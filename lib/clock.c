/*
 * The calendar is computed here, not by libc: UTC then needs neither tz database nor lock, and no
 * TZ of the machine can leak in. Another zone asks libc for one thing only, the offset at an
 * instant, and remembers it: offsets have changed at whole half minutes since 1970 (the odd one is
 * Liberia's in 1972, at 00:44:30 UTC).
 */
#include "clock.h"

#include "buf.h"
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY       INT64_C(86400)
#define SLOTS     256 /* offsets remembered, direct mapped by half minute: two hours in a row */
#define SLOT_SECS 30

struct offset {
	int64_t slot;     /* half minutes since the epoch */
	long seconds;     /* east of UTC */
	const char *zone; /* NULL: nothing remembered yet */
	int is_dst;
};

static bool zone_set; /* false: UTC */
static _Thread_local struct offset offsets[SLOTS];

static int64_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
	return now(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void)
{
	return now(CLOCK_MONOTONIC);
}

/* ---- zones ---- */

/*
 * Zones begin with a capital. The database's other files do not, nor do its right/ zones, which
 * count leap seconds that Kafka's time does not have, nor `localtime`, the machine's own zone.
 */
static bool zone_name_ok(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";

	return name[0] >= 'A' && name[0] <= 'Z' && name[strspn(name, allowed)] == '\0';
}

static bool zone_exists(const char *name)
{
	const char *dir = getenv("TZDIR");
	struct buf path = BUF_INIT;
	char magic[4];
	bool found = false;
	int fd;

	buf_addf(&path, "%s/%s", dir && *dir ? dir : "/usr/share/zoneinfo", name);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC);
	buf_release(&path);
	if (fd < 0)
		return false;
	if (read(fd, magic, sizeof(magic)) == sizeof(magic))
		found = memcmp(magic, "TZif", sizeof(magic)) == 0;
	close(fd);
	return found;
}

int clock_zone(const char *name)
{
	struct buf tz = BUF_INIT;

	memset(offsets, 0, sizeof(offsets));
	zone_set = false;
	if (strcmp(name, "UTC") == 0)
		return 0;
	if (!zone_name_ok(name) || !zone_exists(name))
		return fail(EXIT_USAGE, "unknown time zone \"%s\" (write it as Europe/Paris)", name);
	buf_addf(&tz, ":%s", name);
	setenv("TZ", buf_cstr(&tz), 1); /* for good: strftime(3) calls tzset again */
	tzset();
	buf_release(&tz);
	zone_set = true;
	return 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static const struct offset *offset_at(int64_t sec)
{
	static const struct offset utc = { .zone = "UTC" };
	int64_t slot = floor_div(sec, SLOT_SECS);
	struct offset *o = &offsets[(uint64_t)slot % SLOTS];
	time_t t = (time_t)sec;
	struct tm tm;

	if (!zone_set)
		return &utc;
	if (o->slot == slot && o->zone)
		return o;
	if (!localtime_r(&t, &tm))
		return &utc;
	*o = (struct offset){ slot, tm.tm_gmtoff, tm.tm_zone, tm.tm_isdst };
	return o;
}

long clock_offset(int64_t sec)
{
	return offset_at(sec)->seconds;
}

/* ---- the calendar ---- */

/*
 * Days since 1970-01-01 and back, in the proleptic Gregorian calendar. Years begin in March here,
 * so that the leap day is the last one, and repeat every 400 years = 146097 days ("era"); see
 * Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
static int64_t days_from_civil(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400), of_era = y - era * 400;
	int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), m = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

static bool leap_year(int64_t y)
{
	return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

static int month_days(int64_t year, int month)
{
	static const signed char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && leap_year(year) ? 29 : days[month - 1];
}

void clock_calendar(int64_t sec, struct tm *tm)
{
	const struct offset *o = offset_at(sec);
	int64_t local = sec + o->seconds, days = floor_div(local, DAY), year;
	int left = (int)(local - days * DAY);

	memset(tm, 0, sizeof(*tm));
	civil_from_days(days, &year, &tm->tm_mon, &tm->tm_mday);
	tm->tm_year = (int)(year - 1900);
	tm->tm_mon--;
	tm->tm_hour = left / 3600;
	tm->tm_min = left / 60 % 60;
	tm->tm_sec = left % 60;
	tm->tm_wday = (int)(days + 4 - floor_div(days + 4, 7) * 7); /* day 0 was a Thursday */
	tm->tm_yday = (int)(days - days_from_civil(year, 1, 1));
	tm->tm_isdst = o->is_dst;
	tm->tm_gmtoff = o->seconds;
	tm->tm_zone = o->zone;
}

/*
 * The instant at which the zone's clocks show `local` (a calendar time counted as if it were UTC).
 * A change of offset is at most one within two days, so the offsets a day before and a day after
 * are all there are to try. Shown twice (clocks set back): the first time. Never shown (set
 * forward): as if they had not been set, which is that much later on the new clock.
 */
static int64_t instant_of_local(int64_t local)
{
	long before = offset_at(local - DAY)->seconds, after = offset_at(local + DAY)->seconds;

	if (offset_at(local - before)->seconds == before || before == after)
		return local - before;
	if (offset_at(local - after)->seconds == after)
		return local - after;
	return local - before;
}

/* clock_instant in seconds, and in any year. */
static int instant(const struct tm *tm, bool local, int64_t *result)
{
	int64_t year = (int64_t)tm->tm_year + 1900, sec;
	int month = tm->tm_mon + 1;

	if (month < 1 || month > 12 || tm->tm_mday < 1 || tm->tm_mday > month_days(year, month) ||
	    tm->tm_hour < 0 || tm->tm_hour > 24 || tm->tm_min < 0 || tm->tm_min > 59 ||
	    tm->tm_sec < 0 || tm->tm_sec > 60 || (tm->tm_hour == 24 && (tm->tm_min || tm->tm_sec)))
		return -1;
	sec = days_from_civil(year, month, tm->tm_mday) * DAY + tm->tm_hour * 3600 +
	    tm->tm_min * 60 + tm->tm_sec;
	sec = local ? instant_of_local(sec) : sec - tm->tm_gmtoff;
	if (tm->tm_sec == 60 && sec % DAY != 0) /* leap seconds are at midnight UTC */
		return -1;
	*result = sec;
	return 0;
}

int clock_instant(const struct tm *tm, bool local, int64_t *ms)
{
	int64_t sec;

	if (instant(tm, local, &sec) < 0 || sec < 0 || sec > CLOCK_MAX_MS / 1000)
		return -1;
	*ms = sec * 1000;
	return 0;
}

/* ---- texts ---- */

struct cursor {
	const char *p, *end;
};

static bool take(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* Exactly `count` digits, at most max. */
static bool digits(struct cursor *c, int count, int max, int *out)
{
	int v = 0;

	if (c->end - c->p < count)
		return false;
	while (count-- > 0) {
		unsigned d = (unsigned char)*c->p++ - '0';

		if (d > 9)
			return false;
		v = v * 10 + (int)d;
	}
	*out = v;
	return v <= max;
}

/* ".123456" or ",5": its first six digits as us. */
static bool fraction(struct cursor *c, int *us)
{
	int unit = 100000;
	const char *start;

	*us = 0;
	if (!take(c, '.') && !take(c, ','))
		return true;
	for (start = c->p; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		*us += (*c->p - '0') * unit;
		unit /= 10;
	}
	return c->p > start;
}

/* "" (then the time is local), Z, +hh, +hhmm or +hh:mm: seconds east of UTC. */
static bool offset(struct cursor *c, bool *local, long *seconds)
{
	int hours, minutes = 0;
	bool west;

	*seconds = 0;
	*local = c->p == c->end;
	if (*local || take(c, 'Z') || take(c, 'z'))
		return true;
	west = take(c, '-');
	if ((!west && !take(c, '+')) || !digits(c, 2, 23, &hours))
		return false;
	if (c->p < c->end) {
		take(c, ':');
		if (!digits(c, 2, 59, &minutes))
			return false;
	}
	*seconds = (hours * 60L + minutes) * (west ? -60 : 60);
	return true;
}

static bool read_iso(struct cursor *c, struct tm *tm, int *us, bool *local)
{
	if (!digits(c, 4, 9999, &tm->tm_year) || !take(c, '-') || !digits(c, 2, 12, &tm->tm_mon) ||
	    !take(c, '-') || !digits(c, 2, 31, &tm->tm_mday))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon--;
	if (c->p == c->end)
		return true;
	if (!take(c, 'T') && !take(c, 't') && !take(c, ' '))
		return false;
	if (!digits(c, 2, 24, &tm->tm_hour) || !take(c, ':') || !digits(c, 2, 59, &tm->tm_min))
		return false;
	if (take(c, ':') && (!digits(c, 2, 60, &tm->tm_sec) || !fraction(c, us)))
		return false;
	if (tm->tm_hour == 24 && *us > 0)
		return false;
	return offset(c, local, &tm->tm_gmtoff) && c->p == c->end;
}

int clock_parse_iso_us(const char *p, size_t n, int64_t *us)
{
	struct cursor c = { p, p + n };
	struct tm tm = { 0 };
	bool local = true;
	int fraction_us = 0;
	int64_t sec;

	if (!read_iso(&c, &tm, &fraction_us, &local) || instant(&tm, local, &sec) < 0 ||
	    sec < CLOCK_MIN_US / 1000000 || sec > CLOCK_MAX_MS / 1000)
		return -1;
	*us = sec * 1000000 + fraction_us;
	return 0;
}

int clock_parse_iso(const char *p, size_t n, int64_t *ms)
{
	int64_t us;

	if (clock_parse_iso_us(p, n, &us) < 0 || us < 0)
		return -1;
	*ms = us / 1000;
	return 0;
}

static const uint64_t pow10_of[20] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
	100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
	1000000000000000000, 10000000000000000000u };

/*
 * A decimal number as whole / 10^scale: exact, where a double would round. Digits that do not fit
 * are dropped behind the point (they are far below a microsecond) and refused before it. Exponents
 * occur: Java writes a double as 1.763697600123E9.
 */
static bool read_decimal(struct cursor *c, uint64_t *whole, int *scale)
{
	int point = 0, exponent = 0, kept = 0;
	bool any = false, negative;

	*whole = 0;
	for (;; c->p++) {
		unsigned d = c->p < c->end ? (unsigned char)*c->p - '0' : 10;

		if (c->p < c->end && *c->p == '.' && any && point == 0) {
			point = 1;
			any = false;
			continue;
		}
		if (d > 9)
			break;
		any = true;
		if (kept < 19) {
			*whole = *whole * 10 + d;
			kept += *whole > 0;
			point += point > 0;
		} else if (point == 0) {
			return false;
		}
	}
	*scale = point > 0 ? point - 1 : 0;
	if (!any)
		return false;
	if (!take(c, 'e') && !take(c, 'E'))
		return c->p == c->end;
	negative = take(c, '-');
	if (!negative)
		take(c, '+');
	if (c->p == c->end || c->end - c->p > 4 || !digits(c, (int)(c->end - c->p), 9999, &exponent))
		return false;
	*scale += negative ? exponent : -exponent;
	return true;
}

/* *ns: digits behind the point, cut to nine. */
static int read_epoch(const char *p, size_t n, uint64_t *whole, uint64_t *ns)
{
	struct cursor c = { p, p + n };
	uint64_t v, rest = 0;
	int scale;

	if (!read_decimal(&c, &v, &scale))
		return -1;
	for (; scale < 0 && v > 0; scale++) {
		if (v > UINT64_MAX / 10)
			return -1;
		v *= 10;
	}
	for (; scale > 19 && v > 0; scale--)
		v /= 10; /* what is lost is far below a microsecond */
	if (scale > 0 && v > 0) {
		rest = v % pow10_of[scale];
		rest = scale > 9 ? rest / pow10_of[scale - 9] : rest * pow10_of[9 - scale];
		v /= pow10_of[scale];
	}
	*whole = v;
	*ns = rest;
	return 0;
}

int clock_parse_epoch_us(const char *p, size_t n, int64_t *us)
{
	uint64_t v, ns;

	if (read_epoch(p, n, &v, &ns) < 0)
		return -1;
	if (v < pow10_of[11])
		v = v * 1000000 + ns / 1000;
	else if (v < pow10_of[14])
		v = v * 1000 + ns / 1000000;
	else if (v >= pow10_of[17])
		v /= 1000;
	*us = (int64_t)v; /* below 1e17 in every case, so before the end of 9999 */
	return 0;
}

int clock_parse_epoch(const char *p, size_t n, int64_t *ms)
{
	int64_t us;

	if (clock_parse_epoch_us(p, n, &us) < 0)
		return -1;
	*ms = us / 1000;
	return 0;
}

/* Not snprintf: mysql-upsert makes one of these for each record. */
static char *put(char *p, int v, int width)
{
	for (int i = width; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

static char *put_after(char *p, char separator, int v, int width)
{
	*p++ = separator;
	return put(p, v, width);
}

size_t clock_format_iso(char to[CLOCK_ISO_SIZE], int64_t ms)
{
	int64_t sec = floor_div(ms, 1000), days = floor_div(sec, DAY), year;
	int month, day, left = (int)(sec - days * DAY), rest = (int)(ms % 1000);
	char *p = to;

	civil_from_days(days, &year, &month, &day);
	p = year >= 0 && year <= 9999 ? put(p, (int)year, 4) : p + format_int(p, year);
	p = put_after(p, '-', month, 2);
	p = put_after(p, '-', day, 2);
	p = put_after(p, 'T', left / 3600, 2);
	p = put_after(p, ':', left / 60 % 60, 2);
	p = put_after(p, ':', left % 60, 2);
	p = put_after(p, '.', rest < 0 ? rest + 1000 : rest, 3);
	*p++ = 'Z';
	*p = '\0';
	return (size_t)(p - to);
}
