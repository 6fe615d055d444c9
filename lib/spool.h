/*
 * spool: the records of many paths on their way into temporary files of a lake.
 *
 * Each path has one temporary file per commit and a buffer in front of it. Memory is bounded over all
 * paths (the fullest buffers are written out first), so are open descriptors, however many paths there are.
 * gzip output is a sequence of members of about 1 MiB raw.
 */
#ifndef SLUICE_SPOOL_H
#define SLUICE_SPOOL_H

#include "buf.h"
#include "lake.h"

#include <stdbool.h>
#include <stdint.h>

struct spool_options {
	int gzip_level; /* 0: plain */
	int threads;    /* that compress */
	int64_t memory; /* over all buffers; 0: 256 MiB */
	int max_open;   /* descriptors; 0: 128, at most half of those that the process may have */
	size_t paths;   /* of a window: see spool_full; 0: 100000 */
	bool snapshot;  /* the files are to be snapshots: lake_file.snapshot */
};

struct spool;

/* One path of this window. */
struct spool_file {
	struct span path;
	struct buf raw; /* lines on their way: append here, then call spool_added */
	struct lake_file file;
	/* internal */
	bool ignored; /* the caller's: drop what comes for this path */
	char *path_text;
	int fd;         /* -1: not open */
	bool dirty;     /* written to since it was opened */
	int64_t sent;   /* bytes that the disk was told to begin with */
	size_t counted; /* of raw.cap in the spool's total */
	struct spool_file *hash_next, *newer, *older; /* open descriptors, by last use */
};

/* Borrows the lake. NULL with fail(). */
struct spool *spool_open(struct lake *lake, const struct spool_options *o);
void spool_close(struct spool *s); /* temporary files stay the lake's: lake_close removes them */

/* The file of a path; makes it, with its temporary file, when it is new in this window. NULL with fail(). */
struct spool_file *spool_get(struct spool *s, struct span path);
/* The same, but a file that is not there is not made. NULL: none. */
struct spool_file *spool_find(struct spool *s, struct span path);
/* One that takes nothing (`ignored`): it has no temporary file and is not part of the commit. */
struct spool_file *spool_ignore(struct spool *s, struct span path);

/* A record of n bytes was appended to f->raw; ts < 0: it has none. 0 or -1 with fail(). */
int spool_added(struct spool *s, struct spool_file *f, size_t n, int64_t ts);

/* Whether there are so many paths that their names alone fill much of the memory: time for the next window. */
bool spool_full(const struct spool *s);

int64_t spool_raw_bytes(const struct spool *s); /* of this window */
int64_t spool_records(const struct spool *s);

/*
 * Writes everything out, fsyncs and closes all files: what a commit adds, in the order of first sight. The array
 * is the caller's to free. 0 or -1 with fail().
 */
int spool_finish(struct spool *s, struct lake_file **list, size_t *count);
/* Begins the next window: forgets all files, the ignored ones too. */
void spool_reset(struct spool *s);

#endif
