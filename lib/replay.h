/*
 * replay: a lake as a stream again: every record with its path, the offsets of each partition in order.
 *
 * The journal is read line by line; the files of a commit are merged so that the offsets of every partition
 * increase. That is always possible: the order in which the records came was one such order. Nothing is
 * locked: only whole commits are seen, those that were there at the beginning.
 */
#ifndef SLUICE_REPLAY_H
#define SLUICE_REPLAY_H

#include "io.h"
#include "progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replay_options {
	const char *dir;
	const char *name;   /* of the pipeline whose records are wanted; NULL: all */
	const char **topic; /* those that are wanted */
	size_t topics;      /* 0: all, and what has no topic */
	bool marks;
	size_t max_open; /* descriptors of data files at a time; 0: as many as the system allows */
};

struct replay_counts {
	uint64_t records; /* lines that are no marks */
	uint64_t files, commits;
	uint64_t total; /* records in the files that are to be read */
};

struct replay;

/*
 * Reads the journal. NULL with fail(): EXIT_DATA (no lake, damaged), EXIT_USAGE (a topic was stored under several
 * names: its offsets would repeat), EXIT_TRYAGAIN (snapshots are replaced faster than they can be opened).
 */
struct replay *replay_open(const struct replay_options *o);
void replay_close(struct replay *r); /* NULL is fine */

/*
 * Writes it all to out. 0: done, or stopped by a signal (sig_stop()) or because out failed; -1 with fail(): EXIT_DATA
 * names the file and line, EXIT_TRYAGAIN: a file was replaced meanwhile.
 */
int replay_run(struct replay *r, struct writer *out, struct progress *progress);

struct replay_counts replay_counts(const struct replay *r);

#endif
