/*
 * clock: instants in milliseconds since 1970-01-01T00:00:00Z, and the one zone they are shown in.
 *
 * The process's own TZ never matters: the zone is UTC until clock_zone() sets another one from the
 * tz database. Years 1970 to 9999.
 */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

int64_t clock_now_ms(void);  /* CLOCK_REALTIME */
int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC: for deadlines and rates */

/* Sets the zone: an Area/City name of the tz database, or UTC. 0; -1 with fail(EXIT_USAGE). */
int clock_zone(const char *name);

/* Calendar of an instant (seconds; may be negative) in the zone, with tm_gmtoff and tm_zone. */
void clock_calendar(int64_t sec, struct tm *tm);
long clock_offset(int64_t sec); /* the zone's seconds east of UTC at an instant */

/*
 * The inverse: the instant of tm_year to tm_sec, by tm_gmtoff or, when local is set, in the zone. What the
 * zone's clocks show twice is the first of them; what they leave out is that much later. 0; -1: not
 * a date and time, or outside the years above.
 */
int clock_instant(const struct tm *tm, bool local, int64_t *ms);

/*
 * ISO 8601 / RFC 3339: date, or date and time with T or one space, seconds optional, fraction of
 * any length (cut to ms), offset Z, +hh, +hhmm, +hh:mm or none (then: in the zone set above). 24:00:00
 * and a leap second :60 are the second after. 0; -1 when it is none (no fail()).
 */
int clock_parse_iso(const char *p, size_t n, int64_t *ms);

/* Epoch seconds, ms, us or ns told apart by size (below 1e11: s; 1e14: ms; 1e17: us); fractions of s. */
int clock_parse_epoch(const char *p, size_t n, int64_t *ms);

/* Both to the microsecond; the first takes the years from 1 on. */
#define CLOCK_MIN_US (-INT64_C(62135596800000000)) /* 0001-01-01T00:00:00Z */
int clock_parse_iso_us(const char *p, size_t n, int64_t *us);
int clock_parse_epoch_us(const char *p, size_t n, int64_t *us);

#define CLOCK_ISO_SIZE 32
/* "2026-11-21T04:10:00.123Z", always UTC; returns its length. */
size_t clock_format_iso(char to[CLOCK_ISO_SIZE], int64_t ms);

#endif
