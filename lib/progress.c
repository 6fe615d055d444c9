#include "progress.h"

#include "clock.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOW_EVERY_MS 250
#define LINE_SIZE     200

#define CLEAR_LINE "\r\033[K"

void progress_start(struct progress *p)
{
	*p = (struct progress){ .started_ms = clock_mono_ms(),
		.on = !log_quiet() && isatty(STDERR_FILENO) };
	p->shown_ms = p->started_ms;
}

/* Three digits say enough: "7", "941", "12.3k", "250k", "1.45M". */
static void format_scaled(char *to, size_t size, double v, const char *unit)
{
	static const char prefix[] = " kMGTP";
	size_t i = 0;

	while (v >= 999.5 && i < sizeof(prefix) - 2) {
		v /= 1000;
		i++;
	}
	snprintf(to, size, "%.*f%s%.*s%s",
	    i == 0 || v >= 99.95 ? 0
		: v >= 9.995     ? 1
				 : 2,
	    v, *unit ? " " : "", i > 0 ? 1 : 0, &prefix[i], unit);
}

static double seconds(const struct progress *p)
{
	double s = (double)(clock_mono_ms() - p->started_ms) / 1000;

	return s > 0.001 ? s : 0.001;
}

/* "  45 %, 0:12 left"; nothing while the end is not known. */
static void format_left(char *to, size_t size, uint64_t records, uint64_t total, double elapsed)
{
	uint64_t left;

	to[0] = '\0';
	if (total == 0)
		return;
	if (records > total)
		records = total;
	snprintf(to, size, "  %" PRIu64 " %%", (uint64_t)((double)records * 100 / (double)total));
	if (records == 0)
		return;
	left = (uint64_t)(elapsed * (double)(total - records) / (double)records + 0.5);
	size -= strlen(to);
	to += strlen(to);
	if (left >= 3600)
		snprintf(to, size, ", %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left", left / 3600,
		    left / 60 % 60, left % 60);
	else
		snprintf(to, size, ", %" PRIu64 ":%02" PRIu64 " left", left / 60, left % 60);
}

void progress_show(struct progress *p, uint64_t records, uint64_t bytes, uint64_t total)
{
	char line[LINE_SIZE], rate[24], volume[24], left[64];
	int64_t now;
	double s;
	int n;

	if (!p->on)
		return;
	now = clock_mono_ms();
	if (now - p->shown_ms < SHOW_EVERY_MS)
		return;
	p->shown_ms = now;
	s = seconds(p);
	format_scaled(rate, sizeof(rate), (double)records / s, "");
	format_scaled(volume, sizeof(volume), (double)bytes / s, "B/s");
	format_left(left, sizeof(left), records, total, s);
	n = snprintf(line, sizeof(line), CLEAR_LINE "%s: %" PRIu64 " records  %s/s  %s%s",
	    log_tool(), records, rate, volume, left);
	/* Nothing can be done, and nothing is lost, when a terminal does not take it. */
	if (n > 0 &&
	    write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) > 0)
		p->visible = true;
}

void progress_clear(struct progress *p)
{
	if (p->visible && write(STDERR_FILENO, CLEAR_LINE, sizeof(CLEAR_LINE) - 1) > 0)
		p->visible = false;
}

void progress_figures(const struct progress *p, uint64_t records, uint64_t bytes, char *to,
    unsigned long size)
{
	char volume[24], rate[24];
	double s = seconds(p);

	format_scaled(volume, sizeof(volume), (double)bytes, "B");
	format_scaled(rate, sizeof(rate), (double)records / s, "");
	snprintf(to, size, "%s, %.1f s, %s records/s", volume, s, rate);
}
