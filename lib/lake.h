/*
 * lake: a directory of immutable data files, a journal that says what is in it, and the commit protocol
 * around both (sluice-lake(5)).
 *
 * A commit is durable when its journal line is: the fdatasync of the journal IS the commit. Everything before it can
 * be thrown away, everything after it can be done again by whoever comes next. Any number of writers share
 * a lake; the lock is held during a commit only.
 *
 * The module knows files and positions, not records: jsonl-sink feeds it, retention will.
 */
#ifndef SLUICE_LAKE_H
#define SLUICE_LAKE_H

#include "buf.h"
#include "positions.h"

#include <stdbool.h>
#include <stdint.h>

#define LAKE_ROLL_BYTES   (INT64_C(16) << 20)
#define LAKE_LOCK_TIMEOUT 30000      /* ms */
#define LAKE_SNAPSHOT     "snapshot" /* base name of what overwrite and ignore write */

struct lake;

struct lake_options {
	int64_t lock_timeout_ms; /* how long to wait for another writer's commit; 0: LAKE_LOCK_TIMEOUT */
	int64_t roll_bytes;      /* 0: LAKE_ROLL_BYTES */
};

/*
 * Opens DIR for writing; makes it and .sluice when they are not there (the parent must be). Finishes
 * the last commit of whoever died and sweeps the temporary files of dead writers. NULL with fail():
 * EXIT_DATA (damaged: journal.N without journal, rot, .sluice/failed), EXIT_CANTCREAT, EXIT_PERM, EXIT_IO,
 * EXIT_TRYAGAIN (the lock).
 */
struct lake *lake_open(const char *dir, const struct lake_options *options);
/* Temporary files that no commit took are removed. NULL is fine. */
void lake_close(struct lake *l);

/* Loads where `name` stands, as of lake_open or the last commit. */
void lake_positions(struct lake *l, const char *name, struct positions *to);

/* ---- a commit in the making ---- */

/*
 * A new temporary file in the directory `path`, which path_problem() has accepted; directories are made.
 * Returns its number and *fd open for writing; -1 with fail(): EXIT_DATA when the path cannot be (a
 * symlink, a mount point or a file in the way), else by errno.
 */
int64_t lake_temp(struct lake *l, struct span path, int *fd);
/* Opens it again for appending, so that a writer with many paths needs few descriptors. fd, or -1 with fail(). */
int lake_temp_reopen(struct lake *l, int64_t temp);
void lake_temp_drop(struct lake *l, int64_t temp);

/* Whether directory `path` has data files (*.jsonl, *.jsonl.gz). 1, 0, or -1 with fail(). */
int lake_has_files(struct lake *l, struct span path);

struct lake_file {
	int64_t temp;  /* its content must be fsynced and closed by the caller */
	bool snapshot; /* snapshot.jsonl, replacing what is there; else named by the commit */
	bool gzip;     /* .jsonl.gz, else .jsonl */
	int64_t records, bytes, raw; /* bytes as stored, raw before compression */
	int64_t min_ts, max_ts;      /* INT64_MAX, INT64_MIN: no record had a time */
	uint32_t crc32;              /* of the file as stored */
};

struct lake_commit {
	const char *name;
	struct position **positions; /* from positions_moved */
	size_t position_count;
	const struct lake_file *add;
	size_t add_count;
	char **remove; /* paths below DIR, files only */
	size_t remove_count;
	bool exclusive;     /* snapshots only where no data file is: else EXIT_TRYAGAIN */
	bool remove_others; /* also every other data file in the directories of its snapshots */
};

/*
 * All or nothing. 0: durable and visible. -1 with fail(): EXIT_TRYAGAIN: a position is not what it was
 * (another writer took over) and nothing was written; anything else: when *stands the commit is in the
 * journal but not all its files have their names yet, the next writer finishes it, and it must not be
 * acknowledged; else nothing of it will be seen.
 */
int lake_commit(struct lake *l, const struct lake_commit *c, bool *stands);

/* ---- readers: they never write and never repair; a torn tail is ignored ---- */

/* Loads where `name` stands. No such directory, or no lake in it: no positions. 0 or -1 with fail(). */
int lake_read_positions(const char *dir, const char *name, struct positions *to);

struct lake_entry {
	char *file; /* below DIR */
	char *tmp;  /* the name it had before, in the same directory */
	char *name; /* of the pipeline that wrote it */
	int64_t commit, records, bytes, raw, min_ts, max_ts;
	uint32_t crc32;
	bool live; /* not removed or replaced by a later commit */
	bool last; /* of the last commit: perhaps not renamed yet */
};

struct lake_catalog {
	char *dir;
	int dirfd;
	struct lake_entry *entry; /* in the order of the commits, all journals */
	size_t count, cap;
	size_t *index; /* internal: hash of live files */
	size_t slots;
	int64_t commits; /* how many lines were read */
	int64_t last;    /* the number of the last one */
};

/*
 * 0, or -1 with fail(). No lake at all: EXIT_DATA. After a damage in the journal, EXIT_DATA, it holds what stands
 * before it. Release also after a failure.
 */
int lake_catalog_read(const char *dir, struct lake_catalog *c);
void lake_catalog_release(struct lake_catalog *c);
/* The latest entry of a file, live or not. NULL: the journal never had it. */
const struct lake_entry *lake_catalog_find(const struct lake_catalog *c, struct span file);
/* Opens it for reading, under its temporary name if it is not renamed yet. fd or -1 with fail(). */
int lake_catalog_open(const struct lake_catalog *c, const struct lake_entry *e);
/* Whether `name` ever wrote a file into the directory `path`. */
bool lake_catalog_wrote(const struct lake_catalog *c, const char *name, struct span path);

struct lake_check {
	int64_t commits, files, records, bytes; /* that were verified */
	int64_t problems;
};

/*
 * Verifies the journal and every live file against it; each problem goes out through error(), what is no
 * problem (a torn tail, temporary files of dead writers) through note(). 0 clean, EXIT_DATA, or another code
 * after fail().
 */
int lake_check(const char *dir, struct lake_check *result);

/* Mends what can be mended and says() each thing that it does: sluice-lake(5), REPAIR. 0 or -1 with fail(). */
int lake_repair(const char *dir);

#endif
