/*
 * progress: one line on a terminal, at most 4 times a second, and the summary at the end.
 *
 * Nothing is shown when stderr is not a terminal or -q was given.
 */
#ifndef SLUICE_PROGRESS_H
#define SLUICE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	int64_t started_ms, shown_ms; /* of clock_mono_ms() */
	bool on, visible;
};

void progress_start(struct progress *p);

/* Call now and then (say every 1,000 records). total 0: the end is not known. */
void progress_show(struct progress *p, uint64_t records, uint64_t bytes, uint64_t total);
void progress_clear(struct progress *p); /* takes the line away before anything else is printed */

/* Appends nothing, prints nothing: "12.3 MB, 4.1 s, 250k records/s" into `to` for a summary line. */
void progress_figures(const struct progress *p, uint64_t records, uint64_t bytes, char *to,
    unsigned long size);

#endif
