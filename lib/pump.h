/*
 * pump: a sink's loop: lines from stdin, the time of the next commit, signals, progress.
 */
#ifndef SLUICE_PUMP_H
#define SLUICE_PUMP_H

#include "buf.h"
#include "progress.h"

#include <stdbool.h>
#include <stdint.h>

/* What is done with the lines. All but deadline return 0, or -1 with fail(). */
struct pump {
	void *ctx;
	int (*line)(void *ctx, struct span text, uint64_t number,
	    bool tail); /* tail: the last, without a newline */
	int64_t (*deadline)(
	    const void *ctx); /* when tick has something to do, in clock_mono_ms(); -1: never */
	int (*tick)(void *ctx);
	int (*end)(void *ctx, bool stopped); /* of the input, or (stopped) by a signal */
	void (*abort)(void *ctx); /* after a failure of line, tick or the input; the message that stands stays */
};

/* Reads until the end, a signal or a failure. 0, or -1 with fail(). */
int pump_run(const struct pump *to, struct progress *progress);

#endif
