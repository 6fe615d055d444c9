/*
 * libFuzzer target for lib/clock: the first byte is a zone, the rest a text and an instant. The calendar is
 * compared with libc's, times and texts with their inverse.
 */
#include "clock.h"

#include "fuzz.h"

#include <math.h>

static const char *const zones[] = { "UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata",
	"Australia/Lord_Howe", "Africa/Monrovia", "Pacific/Apia", "America/Caracas" };

static bool same(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	    a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec &&
	    a->tm_wday == b->tm_wday && a->tm_yday == b->tm_yday && a->tm_gmtoff == b->tm_gmtoff &&
	    a->tm_isdst == b->tm_isdst && strcmp(a->tm_zone, b->tm_zone) == 0;
}

static bool same_clock(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_yday == b->tm_yday && a->tm_hour == b->tm_hour &&
	    a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

static void check_instant(bool utc, int64_t ms)
{
	time_t sec = (time_t)(ms / 1000);
	struct tm ours, theirs, back;
	char text[CLOCK_ISO_SIZE];
	int64_t again;

	clock_calendar(sec, &ours);
	if (utc) {
		gmtime_r(&sec, &theirs);
		theirs.tm_zone = "UTC";
	} else {
		localtime_r(&sec, &theirs);
	}
	must(same(&ours, &theirs), "the calendar is libc's");
	must(clock_offset(sec) == ours.tm_gmtoff, "the offset is the calendar's");

	must(clock_instant(&ours, false, &again) == 0 && again == sec * 1000, "an offset leads back");
	if (clock_instant(&ours, true, &again) == 0) {
		clock_calendar(again / 1000, &back);
		must(again <= sec * 1000 && same_clock(&ours, &back),
		    "the zone leads back to the first of what its clocks show twice");
	} else {
		must(ms < 86400000 * 2 || ms > CLOCK_MAX_MS - 86400000 * 2,
		    "in the middle it always does");
	}
	must(clock_format_iso(text, ms) == 24 && clock_parse_iso(text, 24, &again) == 0 && again == ms,
	    "what is written can be read");
}

/* What libc's strptime takes for the plain form, without its leniency. */
static void check_plain_iso(const char *p, size_t n, bool parsed, int64_t ms)
{
	static const char form[] = "0000-00-00T00:00:00Z";
	struct tm tm = { 0 }, back;
	char text[sizeof(form)];
	time_t sec;
	int day;

	if (n != sizeof(form) - 1)
		return;
	for (size_t i = 0; i < n; i++)
		if (form[i] == '0' ? p[i] < '0' || p[i] > '9' : p[i] != form[i])
			return;
	memcpy(text, p, n);
	text[n] = '\0';
	if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) || tm.tm_sec > 59)
		return;
	day = tm.tm_mday;
	sec = timegm(&tm); /* which makes February 30 a day of March */
	gmtime_r(&sec, &back);
	if (back.tm_mday != day)
		must(!parsed, "there are no days that are none");
	else
		must(parsed == (sec >= 0) && (!parsed || ms == sec * 1000), "ISO 8601 is libc's");
}

static void check_iso(const char *p, size_t n)
{
	int64_t ms = -1;
	bool parsed = clock_parse_iso(p, n, &ms) == 0;

	must(!parsed || (ms >= 0 && ms <= CLOCK_MAX_MS), "times have bounds");
	must(parsed || ms == -1, "a failure leaves nothing");
	check_plain_iso(p, n, parsed, ms);
}

/* A double is exact enough for seconds, and rounds where we cut. */
static void check_epoch(const char *p, size_t n)
{
	char text[64], *end;
	int64_t ms = -1;
	long double v;

	if (clock_parse_epoch(p, n, &ms) < 0) {
		must(ms == -1, "a failure leaves nothing");
		return;
	}
	must(ms >= 0 && ms <= CLOCK_MAX_MS, "times have bounds");
	if (n >= sizeof(text))
		return;
	memcpy(text, p, n);
	text[n] = '\0';
	v = strtold(text, &end);
	must(*end == '\0', "an epoch time is a number");
	v = v < 1e11L ? v * 1000 : v < 1e14L ? v : v < 1e17L ? v / 1000 : v / 1000000;
	must(fabsl(v - (long double)ms) <= 1, "it is the number's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	unsigned zone = take_byte(&t) % (sizeof(zones) / sizeof(zones[0]));
	struct span text;

	must(clock_zone(zones[zone]) == 0, "there is a tz database");
	text = take_rest(&t);
	check_iso(text.p, text.n);
	check_epoch(text.p, text.n);
	t = (struct take){ (const uint8_t *)text.p, text.n };
	check_instant(zone == 0, take_natural(&t) % (CLOCK_MAX_MS + 1));
	return 0;
}
