/*
 * loader: what mysql-upsert does with each line: check its position, convert it, collect it in a window, and have the
 * window applied when its time has come.
 *
 * Two windows: while a thread applies one (apply.h), the next one collects records and is reduced as they come. So a slow
 * stream has low latency, and a fast one has less to write. When both are full the input waits.
 */
#ifndef SLUICE_LOADER_H
#define SLUICE_LOADER_H

#include "db.h"
#include "io.h"
#include "mapping.h"
#include "pump.h"

#include <stdbool.h>
#include <stdint.h>

struct loader_options {
	const char *name; /* NULL: the mapping's */
	bool reduce;      /* false: --no-reduce */
	bool partial, rejects, acks, allow_gap, recreated;
	bool dry; /* -n: print statements, write nothing */
	int64_t interval_ms, rows, buffer;
};

/* upserted, deleted: rows sent; in, bytes: records as they came, the others as committed */
struct loader_counts {
	uint64_t in, upserted, deleted, skipped, rejected, retried, commits, rounded, unknown, bytes;
};

struct loader;

/*
 * Loads the positions. db and m are borrowed: the loader's thread uses db until loader_close. out: where -a and -n print.
 * NULL with fail().
 */
struct loader *loader_open(struct db *db, const struct mapping *m, const struct loader_options *o,
    struct writer *out);
/* What is not committed is forgotten. */
void loader_close(struct loader *l);

/* As sink_line, sink_deadline, sink_tick, sink_end, sink_abort (sink.h). */
int loader_line(struct loader *l, struct span text, uint64_t number, bool tail);
int64_t loader_deadline(const struct loader *l);
int loader_tick(struct loader *l);
int loader_end(struct loader *l, bool stopped);
void loader_abort(struct loader *l);

/* All of these, for pump_run. */
struct pump loader_pump(struct loader *l);

/* Waits for the window that is being applied, which counts too. */
struct loader_counts loader_counts(struct loader *l);

#endif
