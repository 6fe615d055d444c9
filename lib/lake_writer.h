/*
 * lake_writer: what the writing side of the lake module shares: lake.c (opening, and what the journal says),
 * lake_temp.c (directories and temporary files), lake_list.c (lists of those, and the dead), lake_commit.c. The steps of a commit are numbered as in
 * sluice-lake(5).
 */
#ifndef SLUICE_LAKE_WRITER_H
#define SLUICE_LAKE_WRITER_H

#include "lake_internal.h"

#include <sys/types.h>

#define LAKE_WRITER_ID   6
#define LAKE_DIR_BUCKETS 4096
#define LAKE_DIRS_KEPT   (16 * LAKE_DIR_BUCKETS) /* over a commit */

/* A directory that holds temporary files, or lies above one that does. */
struct lake_dir {
	char *path; /* "" is DIR itself */
	bool synced; /* its entry in the parent and those of all subdirectories that we know are durable */
	ino_t inode;         /* 0: it has had no temporary file */
	struct lake_dir *up; /* NULL for DIR itself */
	struct lake_dir *next;
};

struct lake_temp {
	struct lake_dir *dir; /* NULL: dropped, or taken by a commit */
	int64_t number;
};

/* Where one name stands. */
struct lake_name {
	char *name;
	struct positions at;
	struct lake_name *next;
};

struct lake {
	char *dir;
	struct lake_options options;
	int dirfd;

	int journal_fd;
	ino_t journal_ino;
	struct journal_reader reader;
	struct journal_line line;
	struct buf last; /* the text of the last commit; empty: a snapshot is the last line */
	int64_t done;    /* the last commit that this writer has seen done */
	int64_t commit;  /* the last commit in the journal */
	int64_t known;   /* the last commit that somebody saw done, when the lock was taken */
	struct lake_name *names;

	char id[LAKE_WRITER_ID + 1];
	int writer_fd; /* our list */
	struct buf boot; /* the first line of every list that is made before the next power loss; empty: not known */
	struct lake_dir *dirs[LAKE_DIR_BUCKETS];
	size_t dir_count;
	bool parent_synced; /* DIR's parent, once per run */
	struct lake_temp *temp;
	size_t temps, temps_cap;
	int64_t next_number;
	bool litter; /* a file of our list is left to the next writer: the list must stay */
	char host[256];
};

/* Where a name stands; made when there is none. */
struct lake_name *lake_name(struct lake *l, struct span name);

/* Brings our picture of the journal up to date; needs the lock. 0 or -1 with fail(). */
int lake_refresh(struct lake *l);

/* Locks the lake and does step 2. The lock's descriptor, or -1 with fail(). */
int lake_enter(struct lake *l);

/* The entry of a directory below the lake, "" being the lake; made when there is none. */
struct lake_dir *lake_dir(struct lake *l, const char *path, size_t n);
/* None may be in use. What was synced before will be synced again. */
void lake_forget_dirs(struct lake *l);

int lake_sync_path(struct lake *l, const char *path); /* fsync of one directory. 0 or -1 with fail() */
int lake_sync_dirs(struct lake *l, struct lake_dir *d); /* step 1, for one that holds temporary files */

void lake_temp_name(const struct lake *l, int64_t number, char *to, size_t size);

/* Removes a file below the lake, durably. Whether it is gone. */
bool lake_unlink(int dirfd, const char *path);

/* ---- lists of temporary files ---- */

/* Takes a name that nobody had before and makes the list behind it, locked while we live. 0 or -1 with fail(). */
int lake_list_open(struct lake *l);
/* Notes a temporary file, before it is made: whoever finds us dead removes it. 0 or -1 with fail(). */
int lake_list_add(struct lake *l, const struct lake_dir *d, const char *name);
/* Nothing of ours is left. 0 or -1 with fail(). */
int lake_list_clear(struct lake *l);
void lake_list_close(struct lake *l);

/* Removes the temporary files of dead writers, under the lock when the last commit is finished. 0 or -1 with fail(). */
int lake_sweep(struct lake *l);

#endif
