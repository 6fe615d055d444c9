/*
 * lake: the journal of a data lake and the commit protocol around it (sluice-lake(5)).
 *
 * A lake is a directory of immutable data files and .sluice/journal, one JSON line per commit. A commit
 * is durable when its line is: fdatasync of the journal is the commit. Everything before it can be thrown
 * away, everything after it can be done again. Any number of writers share a lake; the lock is
 * held during a commit only.
 *
 * This module knows files and positions, not records: jsonl-sink feeds it, retention will.
 */
#ifndef SLUICE_LAKE_H
#define SLUICE_LAKE_H

#include "buf.h"
#include "positions.h"

#include <stdbool.h>
#include <stdint.h>

#define LAKE_ROLL_BYTES ((int64_t)16 << 20)

struct lake;

struct lake_options {
	int64_t lock_timeout_ms; /* how long to wait for another writer's commit; 0: 30 s */
	int64_t roll_bytes;      /* 0: LAKE_ROLL_BYTES ($SLUICE_ROLL_BYTES for tests) */
};

/*
 * Opens DIR for writing, making it and .sluice when they are not there (the parent must be). Finishes
 * the last commit of whoever died and sweeps the temporary files of dead writers. NULL with fail():
 * EXIT_DATA damaged (journal.N without journal, rot, .sluice/failed), EXIT_CANTCREAT, EXIT_PERM,
 * EXIT_IO, EXIT_TRYAGAIN (lock).
 */
struct lake *lake_open(const char *dir, const struct lake_options *options);
void lake_close(struct lake *l); /* gives up what is not committed: its temporary files go */

/* The stored positions of one name, as of lake_open or the last commit, into *to (positions_set). */
int lake_load_positions(struct lake *l, const char *name, struct positions *to);

/* Whether the journal shows that `name` ever wrote a file into `path` (reads rolled journals too). */
int lake_name_wrote(struct lake *l, const char *name, struct span path);

/* ---- a commit in the making ---- */

/*
 * A new temporary file in directory `path` (relative, already checked by path_problem; directories are made,
 * no symlink is followed). *fd is open for writing. Returns its number within the writer; -1 with fail():
 * EXIT_DATA when the path cannot be (a symlink, a file in the way), else by errno.
 */
int64_t lake_temp(struct lake *l, struct span path, int *fd);
/* Opens it again for appending (a writer with many paths keeps few descriptors). fd or -1 with fail(). */
int lake_temp_reopen(struct lake *l, int64_t temp);
/* fsync and close. 0 or -1 with fail(). */
int lake_temp_finish(struct lake *l, int64_t temp, int fd);

struct lake_file {
	int64_t temp;           /* of lake_temp */
	const char *snapshot;   /* NULL: named by the commit; else the fixed name to replace, "snapshot" */
	const char *suffix;     /* ".jsonl", ".jsonl.gz" */
	int64_t records, bytes, raw; /* bytes as stored, raw before compression */
	int64_t min_ts, max_ts; /* INT64_MAX/INT64_MIN: no record had a time */
	uint32_t crc32;         /* of the file as stored */
};

struct lake_commit {
	const char *name;
	struct position **positions; /* as positions_moved gives them: next, last and from */
	size_t position_count;
	const struct lake_file *add;
	size_t add_count;
	char **remove;               /* paths below DIR; files only */
	size_t remove_count;
	bool remove_others;          /* overwrite: also every other data file in the directories of `add` */
};

/*
 * Makes it durable, all or nothing. 0: done and visible. -1 with fail(): EXIT_TRYAGAIN: the
 * positions are not what they were (fenced), nothing written; EXIT_IO and others: when *stands is set the
 * commit is in the journal but not all files could be renamed: no ack, the next writer finishes it; else
 * nothing of it will be seen.
 */
int lake_commit(struct lake *l, const struct lake_commit *c, bool *stands);
/* Throws a temporary file away. */
void lake_temp_drop(struct lake *l, int64_t temp);

int64_t lake_last_commit(const struct lake *l);
/* A descriptor of the lake's directory, for openat; owned by the lake. */
int lake_dirfd(const struct lake *l);
/* Whether `path` has data files (*.jsonl, *.jsonl.gz) now. 1, 0 or -1 with fail(). */
int lake_has_files(struct lake *l, struct span path);

/* ---- readers: never write, never repair, ignore a torn tail ---- */

/* Adds the positions of `name` to *out. A directory without a journal is EXIT_DATA only when it is no lake
 * at all but not empty... an absent or empty directory has no positions. 0 or -1. */
int lake_read_positions(const char *dir, const char *name, struct positions *out);

struct lake_entry {          /* a file of the catalog */
	char *file;          /* below DIR */
	char *tmp;           /* its temporary name, in the same directory */
	char *name;
	int64_t commit, records, bytes, raw;
	int64_t min_ts, max_ts;
	uint32_t crc32;
	bool last;           /* of the last commit: maybe not yet renamed */
};

struct lake_catalog {
	int dirfd;
	struct lake_entry *entry; /* what is live: added and not removed or replaced; in commit order */
	size_t count, cap;
	int64_t last_commit;
	void *index;              /* internal */
};

/* The live files, of all names (name NULL) or of one. 0 or -1. */
int lake_catalog_read(const char *dir, const char *name, struct lake_catalog *c);
void lake_catalog_release(struct lake_catalog *c);
/* Opens one for reading, by its temporary name when it is not renamed yet. fd or -1 with fail(). */
int lake_catalog_open(const struct lake_catalog *c, const struct lake_entry *e);

/* Verifies everything against the journal and prints each finding with error(). 0: clean; else the
 * exit code. *records, *files, *bytes (may be NULL) are what was verified. */
struct lake_check {
	int64_t files, records, bytes, commits;
	int64_t problems;
};
int lake_check(const char *dir, struct lake_check *result);

/* Mends what can be mended (sluice-lake(5), REPAIR) and says each thing it does. 0, or -1 with fail(). */
int lake_repair(const char *dir);

#endif
