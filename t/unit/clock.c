/* The library's headers first: cmocka.h has a macro named fail. */
#include "clock.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t iso(const char *text)
{
	int64_t ms = -1;

	return clock_parse_iso(text, strlen(text), &ms) == 0 ? ms : -1;
}

static int64_t epoch(const char *text)
{
	int64_t ms = -1;

	return clock_parse_epoch(text, strlen(text), &ms) == 0 ? ms : -1;
}

static const char *show(int64_t sec)
{
	static char text[64];
	struct tm tm;

	clock_calendar(sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d %s", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_zone);
	return text;
}

static void zone(const char *name)
{
	assert_int_equal(clock_zone(name), 0);
}

static void iso_reads_every_form_the_header_lists(void **state)
{
	(void)state;
	zone("UTC");
	assert_int_equal(iso("1970-01-01"), 0);
	assert_int_equal(iso("2026-11-21T04:10:00.123Z"), 1795234200123);
	assert_int_equal(iso("2026-11-21 04:10:00.123Z"), 1795234200123);
	assert_int_equal(iso("2026-11-21t04:10:00.123z"), 1795234200123);
	assert_int_equal(iso("2026-11-21T04:10:00,1239999999999999999999999"), 1795234200123);
	assert_int_equal(iso("2026-11-21T04:10"), 1795234200000);
	assert_int_equal(iso("2026-11-21T06:10+02"), 1795234200000);
	assert_int_equal(iso("2026-11-21T06:10:00+0200"), 1795234200000);
	assert_int_equal(iso("2026-11-21T09:40:00.5+05:30"), 1795234200500);
	assert_int_equal(iso("2026-11-20T23:10:00-05:00"), 1795234200000);
	assert_int_equal(iso("2026-11-21T04:10:00-00:00"), 1795234200000);
	assert_int_equal(iso("9999-12-31T23:59:59.999Z"), CLOCK_MAX_MS);
	assert_int_equal(iso("2000-02-29"), 951782400000);
}

static void end_of_day_and_leap_second_are_the_second_after(void **state)
{
	(void)state;
	zone("UTC");
	assert_int_equal(iso("2016-12-31T24:00:00Z"), iso("2017-01-01"));
	assert_int_equal(iso("2016-12-31T24:00Z"), iso("2017-01-01"));
	assert_int_equal(iso("2016-12-31T23:59:60Z"), iso("2017-01-01"));
	assert_int_equal(iso("2016-12-31T23:59:60.250Z"), iso("2017-01-01") + 250);
	assert_int_equal(iso("2017-01-01T05:29:60+05:30"), iso("2017-01-01"));
}

static void iso_refuses_everything_else(void **state)
{
	static const char *const bad[] = {
		"",
		"2026",
		"2026-11",
		"20261121",
		"2026-1-21",
		"2026-11-1",
		"2026-13-01",
		"2026-00-10",
		"2026-11-31",
		"2026-11-00",
		"2025-02-29",
		"1900-02-29",
		"2100-02-29",
		"2026-11-21T",
		"2026-11-21T4:10",
		"2026-11-21T04",
		"2026-11-21T25:00",
		"2026-11-21T24:00:01",
		"2026-11-21T24:01",
		"2026-11-21T24:00:00.001Z",
		"2026-11-21T04:60",
		"2026-11-21T04:10:61",
		"2026-11-21T04:10:60Z",
		"2026-11-21T23:59:60+01:00",
		"2026-11-21T04:10:00.",
		"2026-11-21T04:10:00.Z",
		"2026-11-21T04:10:00 Z",
		"2026-11-21  04:10:00",
		"2026-11-21T04:10:00ZZ",
		"2026-11-21T04:10:00+1",
		"2026-11-21T04:10:00+24:00",
		"2026-11-21T04:10:00+01:60",
		"2026-11-21T04:10:00+01:",
		"2026-11-21T04:10:00 UTC",
		" 2026-11-21",
		"2026-11-21 ",
		"2026-11-21Z",
		"+2026-11-21",
		"-2026-11-21",
		"2026/11/21",
		"1969-12-31",
		"1970-01-01T00:00:00+01:00",
		"9999-12-31T24:00:00Z",
		"9999-12-31T23:59:59-01:00",
		"10000-01-01",
		"2026-11-21T0x:10",
		"now",
	};

	(void)state;
	zone("UTC");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (iso(bad[i]) != -1)
			fail_msg("accepted \"%s\"", bad[i]);
}

static void iso_never_reads_past_its_span(void **state)
{
	static const char text[] = "2026-11-21T04:10:00.123+01:00";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n ? n : 1); /* the address sanitizer watches its end */
		int64_t ms;

		memcpy(exact, text, n);
		clock_parse_iso(exact, n, &ms);
		clock_parse_epoch(exact, n, &ms);
		free(exact);
	}
}

static void epoch_units_are_told_apart_by_size(void **state)
{
	(void)state;
	assert_int_equal(epoch("0"), 0);
	assert_int_equal(epoch("1763697600"), 1763697600000);
	assert_int_equal(epoch("1763697600.123"), 1763697600123);
	assert_int_equal(epoch("1763697600.1"), 1763697600100);
	assert_int_equal(epoch("1763697600.12399999999999999999999999"), 1763697600123);
	assert_int_equal(epoch("1763697600123"), 1763697600123);
	assert_int_equal(epoch("1763697600123.9"), 1763697600123);
	assert_int_equal(epoch("1763697600123456"), 1763697600123);
	assert_int_equal(epoch("1763697600123456789"), 1763697600123);
	assert_int_equal(epoch("99999999999"), 99999999999000);
	assert_int_equal(epoch("100000000000"), 100000000000);
	assert_int_equal(epoch("99999999999999"), 99999999999999);
	assert_int_equal(epoch("100000000000000"), 100000000000);
	assert_int_equal(epoch("99999999999999999"), 99999999999999);
	assert_int_equal(epoch("100000000000000000"), 100000000000);
	assert_int_equal(epoch("1.763697600123E9"), 1763697600123);
	assert_int_equal(epoch("1.763697600123E12"), 1763697600123);
	assert_int_equal(epoch("17636976001230e-1"), 1763697600123);
	assert_int_equal(epoch("5e-1"), 500);
	assert_int_equal(epoch("5e-9999"), 0);
	assert_int_equal(epoch("0.009000000000000003136"), 9);
	assert_int_equal(epoch("9999999999999999999e-19"), 999);
	assert_int_equal(epoch("9999999999999999999e-21"), 9);
	assert_int_equal(epoch("0e9999"), 0);
	assert_int_equal(epoch("1e+3"), 1000000);
	assert_int_equal(epoch("00000000000000000000001763697600"), 1763697600000);
}

static void epoch_refuses_everything_else(void **state)
{
	static const char *const bad[] = {
		"",
		"-1",
		"-0",
		"+1",
		".5",
		"5.",
		"1.2.3",
		"1e",
		"1e+",
		"1e-",
		"1ex",
		"e5",
		" 1",
		"1 ",
		"0x10",
		"1e99999",
		"1e300",
		"99999999999999999999",
		"123456789012345678901234567890",
		"NaN",
		"1_000",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (epoch(bad[i]) != -1)
			fail_msg("accepted \"%s\"", bad[i]);
}

static int64_t iso_us(const char *text)
{
	int64_t us = -1;

	return clock_parse_iso_us(text, strlen(text), &us) == 0 ? us : -1;
}

static int64_t epoch_us(const char *text)
{
	int64_t us = -1;

	return clock_parse_epoch_us(text, strlen(text), &us) == 0 ? us : -1;
}

static void microseconds_are_kept_where_they_are_asked_for(void **state)
{
	(void)state;
	zone("UTC");
	assert_int_equal(iso_us("2026-11-21T04:10:00.1234569Z"), 1795234200123456);
	assert_int_equal(iso_us("1969-12-31T23:59:59.75Z"), -250000);
	assert_int_equal(iso_us("0001-01-01"), CLOCK_MIN_US);
	assert_int_equal(iso_us("9999-12-31T23:59:59.999999Z"), CLOCK_MAX_MS * 1000 + 999);
	assert_int_equal(iso_us("0000-12-31"), -1);
	assert_int_equal(iso_us("0001-01-01T00:00:00+00:01"), -1);
	assert_int_equal(iso_us("9999-12-31T24:00:00Z"), -1);
	assert_int_equal(iso_us("1900-02-29"), -1);
	assert_int_equal(epoch_us("1763697600"), 1763697600000000);
	assert_int_equal(epoch_us("1763697600.1234569"), 1763697600123456);
	assert_int_equal(epoch_us("1763697600123.4569"), 1763697600123456);
	assert_int_equal(epoch_us("1763697600123456.9"), 1763697600123456);
	assert_int_equal(epoch_us("1763697600123456789"), 1763697600123456);
	assert_int_equal(epoch_us("9999999999999999999e-19"), 999999);
	assert_int_equal(epoch_us("-1"), -1);
}

static void format_and_parse_agree(void **state)
{
	char text[CLOCK_ISO_SIZE];
	uint64_t seed = 42;

	(void)state;
	zone("UTC");
	assert_int_equal(clock_format_iso(text, 1795234200123), 24);
	assert_string_equal(text, "2026-11-21T04:10:00.123Z");
	clock_format_iso(text, -1);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	assert_true(clock_format_iso(text, INT64_MAX) < CLOCK_ISO_SIZE);
	assert_true(clock_format_iso(text, INT64_MIN) < CLOCK_ISO_SIZE);
	for (int i = 0; i < 100000; i++) {
		int64_t ms;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		ms = (int64_t)((seed >> 11) % (uint64_t)(CLOCK_MAX_MS + 1));
		clock_format_iso(text, ms);
		assert_int_equal(iso(text), ms);
	}
}

static void same_calendar(int64_t sec, const struct tm *want)
{
	struct tm got;

	clock_calendar(sec, &got);
	if (got.tm_year != want->tm_year || got.tm_mon != want->tm_mon ||
	    got.tm_mday != want->tm_mday || got.tm_hour != want->tm_hour ||
	    got.tm_min != want->tm_min || got.tm_sec != want->tm_sec || got.tm_wday != want->tm_wday ||
	    got.tm_yday != want->tm_yday || got.tm_isdst != want->tm_isdst ||
	    got.tm_gmtoff != want->tm_gmtoff || strcmp(got.tm_zone, want->tm_zone) != 0)
		fail_msg("%lld: %s", (long long)sec, show(sec));
}

/* Every day and a bit from 1900 to 9999, against libc. */
static void calendar_agrees_with_libc(void **state)
{
	static const char *const zones[] = {
		"Europe/Paris",
		"America/New_York",
		"Asia/Kolkata",
		"Australia/Lord_Howe",
		"Pacific/Apia",
		"Africa/Casablanca",
		"America/St_Johns",
		"Asia/Kathmandu",
		"Etc/GMT+12",
	};
	struct tm tm;

	(void)state;
	zone("UTC");
	for (int64_t sec = -2208988800; sec < 253402300800; sec += 86400 + 4321) {
		time_t t = (time_t)sec;

		gmtime_r(&t, &tm);
		tm.tm_zone = "UTC";
		same_calendar(sec, &tm);
	}
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		zone(zones[i]);
		for (int64_t sec = 0; sec < 253402300800; sec += 5 * 86400 + 4321) {
			time_t t = (time_t)sec;

			localtime_r(&t, &tm);
			same_calendar(sec, &tm);
		}
	}
}

static void zones_change_at_the_right_second(void **state)
{
	(void)state;
	zone("Europe/Paris");
	assert_string_equal(show(1774745999), "2026-03-29 01:59:59 CET");
	assert_string_equal(show(1774746000), "2026-03-29 03:00:00 CEST");
	assert_string_equal(show(1792889999), "2026-10-25 02:59:59 CEST");
	assert_string_equal(show(1792890000), "2026-10-25 02:00:00 CET");
	zone("America/New_York");
	assert_string_equal(show(1772953199), "2026-03-08 01:59:59 EST");
	assert_string_equal(show(1772953200), "2026-03-08 03:00:00 EDT");
	assert_string_equal(show(0), "1969-12-31 19:00:00 EST");
	zone("Africa/Monrovia"); /* the one change off the minute: why offsets are kept by half
				    minute */
	assert_string_equal(show(63593069), "1972-01-06 23:59:59 MMT");
	assert_string_equal(show(63593070), "1972-01-07 00:44:30 GMT");
	assert_int_equal(clock_offset(INT64_MAX / 2), 0); /* where libc knows no calendar it is UTC */
	zone("UTC");
	assert_string_equal(show(1774746000), "2026-03-29 01:00:00 UTC");
}

static void local_times_that_occur_twice_are_the_first(void **state)
{
	(void)state;
	zone("Europe/Paris");
	assert_int_equal(iso("2026-10-25T02:30:00"), iso("2026-10-25T00:30:00Z"));
	assert_int_equal(iso("2026-10-25T02:30:00+01:00"), iso("2026-10-25T01:30:00Z"));
	assert_int_equal(iso("2026-10-25T03:00:00"), iso("2026-10-25T02:00:00Z"));
	zone("America/New_York");
	assert_int_equal(iso("2026-11-01T01:30"), iso("2026-11-01T05:30Z"));
	zone("Australia/Lord_Howe"); /* half an hour, in the southern autumn */
	assert_int_equal(iso("2026-04-05T01:45"), iso("2026-04-04T14:45Z"));
}

static void local_times_that_never_occur_move_forward(void **state)
{
	(void)state;
	zone("Europe/Paris");
	assert_int_equal(iso("2026-03-29T02:30:00"), iso("2026-03-29T01:30:00Z")); /* shown as 03:30 */
	assert_int_equal(iso("2026-03-29T02:00:00"), iso("2026-03-29T01:00:00Z"));
	assert_int_equal(iso("2026-03-29T01:59:59"), iso("2026-03-29T00:59:59Z"));
	assert_int_equal(iso("2026-03-29T03:00:00"), iso("2026-03-29T01:00:00Z"));
	zone("Australia/Lord_Howe");
	assert_int_equal(iso("2026-10-04T02:15"), iso("2026-10-03T15:45Z"));
	zone("Pacific/Apia"); /* 2011-12-30 was left out */
	assert_int_equal(iso("2011-12-30T12:00"), iso("2011-12-30T22:00Z"));
}

static void local_times_round_trip(void **state)
{
	static const char *const zones[] = { "Europe/Paris", "America/St_Johns", "Pacific/Apia",
		"Asia/Kathmandu" };

	(void)state;
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		zone(zones[i]);
		for (int64_t sec = 86400; sec < 4102444800; sec += 6 * 3600 + 1237) {
			char text[80];
			struct tm tm, again;
			int64_t ms;

			clock_calendar(sec, &tm);
			snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
			    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
			ms = iso(text);
			assert_int_not_equal(ms, -1);
			assert_true(ms / 1000 <= sec); /* shown twice: the first */
			clock_calendar(ms / 1000, &again);
			assert_true(tm.tm_hour == again.tm_hour && tm.tm_min == again.tm_min);
		}
	}
}

static void unknown_zones_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"Europe/Atlantis",
		"europe/paris",
		"/etc/localtime",
		"../zoneinfo/Europe/Paris",
		"Europe",
		"Europe/../Europe/Paris",
		"localtime",
		"right/Europe/Paris",
		"zone.tab",
		"CET-1CEST",
		":UTC",
		"Europe/Paris\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (clock_zone(bad[i]) == 0)
			fail_msg("accepted \"%s\"", bad[i]);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
}

static void the_machines_own_zone_never_matters(void **state)
{
	(void)state;
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	zone("UTC");
	assert_string_equal(show(0), "1970-01-01 00:00:00 UTC");
	assert_int_equal(iso("1970-01-01T00:00"), 0);
}

static void clocks_run(void **state)
{
	int64_t mono = clock_mono_ms();

	(void)state;
	assert_true(clock_now_ms() > 1700000000000);
	assert_true(clock_mono_ms() >= mono);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iso_reads_every_form_the_header_lists),
		cmocka_unit_test(end_of_day_and_leap_second_are_the_second_after),
		cmocka_unit_test(iso_refuses_everything_else),
		cmocka_unit_test(iso_never_reads_past_its_span),
		cmocka_unit_test(epoch_units_are_told_apart_by_size),
		cmocka_unit_test(epoch_refuses_everything_else),
		cmocka_unit_test(microseconds_are_kept_where_they_are_asked_for),
		cmocka_unit_test(format_and_parse_agree),
		cmocka_unit_test(calendar_agrees_with_libc),
		cmocka_unit_test(zones_change_at_the_right_second),
		cmocka_unit_test(local_times_that_occur_twice_are_the_first),
		cmocka_unit_test(local_times_that_never_occur_move_forward),
		cmocka_unit_test(local_times_round_trip),
		cmocka_unit_test(unknown_zones_are_refused),
		cmocka_unit_test(the_machines_own_zone_never_matters),
		cmocka_unit_test(clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
