/*
 * sink: what jsonl-sink does with each line: check its position, shape it, spool it, and commit in time.
 *
 * It ties stream, positions, spool and lake together. The tool around it only reads lines and asks when
 * the next commit is due.
 */
#ifndef SLUICE_SINK_H
#define SLUICE_SINK_H

#include "buf.h"
#include "io.h"
#include "pump.h"

#include <stdbool.h>
#include <stdint.h>

enum sink_mode { SINK_APPEND, SINK_OVERWRITE, SINK_IGNORE };
enum sink_shape { SINK_RECORD, SINK_PAYLOAD, SINK_FLAT };

struct sink_options {
	const char *dir;
	const char *name; /* NULL: the mode's */
	enum sink_mode mode;
	enum sink_shape shape;
	const char *path;  /* -p: of lines that have none; NULL: such lines are bad */
	const char **root; /* --root: snapshots to make even when nothing comes for them */
	size_t roots;
	bool rejects;            /* -r */
	const char *reject_path; /* "_rejects" */
	bool acks;               /* -a: to stdout */
	bool trust_eof, allow_gap, recreated;
	int gzip_level; /* 0: plain */
	int threads;
	int64_t interval_ms; /* -i */
	int64_t size;        /* --size: raw bytes */
	int64_t timeout_ms;  /* for the lake's lock */
	int64_t roll_bytes;  /* 0: the lake's default */
};

struct sink_counts { /* stored: without the rejects; in and skipped: as they came, the others: as committed */
	uint64_t in, stored, skipped, ignored, rejected, files, commits;
	int64_t bytes; /* stored, as written */
};

struct sink;

/* "append", "overwrite", "ignore". */
const char *sink_mode_name(enum sink_mode mode);

/* Opens the lake. NULL with fail(). acks: where -a prints; borrowed. */
struct sink *sink_open(const struct sink_options *o, struct writer *acks);
/* What is not committed is removed. */
void sink_close(struct sink *s);

/*
 * Takes one line; number: for messages; tail: it is the last one and had no newline, so it counts only if it is
 * whole and is never a reject. 0, or -1 with fail(); then call sink_abort.
 */
int sink_line(struct sink *s, struct span text, uint64_t number, bool tail);

/* When the next commit is due, in clock_mono_ms(); -1: nothing waits for one. */
int64_t sink_deadline(const struct sink *s);
/* Commits if the oldest uncommitted record is old enough. 0 or -1 with fail(). */
int sink_tick(struct sink *s);

/*
 * The end of the input; stopped: by a signal. Commits what may be committed. 0 or -1 with fail().
 */
int sink_end(struct sink *s, bool stopped);

/* After a failure: append commits what came before a bad line; the message that stands stays. */
void sink_abort(struct sink *s);

/* All of these, for pump_run. */
struct pump sink_pump(struct sink *s);

struct sink_counts sink_counts(const struct sink *s);

#endif
