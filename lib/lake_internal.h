/* lake_internal: what all parts of the lake module share; the writing side has lake_writer.h besides. */
#ifndef SLUICE_LAKE_INTERNAL_H
#define SLUICE_LAKE_INTERNAL_H

#include "journal.h"
#include "lake.h"

#define META            ".sluice"
#define META_JOURNAL    META "/journal"
#define META_NEW        META "/journal.new"
#define META_LOCK       META "/lock"
#define META_FAILED     META "/failed"
#define META_WRITERS    META "/writers"
#define TEMP_PREFIX     ".sluice-" /* .sluice-WRITER-NUMBER */
#define SNAPSHOT_PREFIX LAKE_SNAPSHOT ".jsonl"

/* Whether a file name (any directory before it is ignored) is that of a data file, or of a snapshot. */
bool lake_is_data_name(struct span file);
bool lake_is_snapshot_name(struct span file);

/* 1: there; 0: not; -1 with fail(). Never follows a symlink. */
int lake_exists(int dirfd, struct span file);
/*
 * journal_next's in_place; ctx: int *dirfd. A file's temporary name is durable before its line is written, and goes
 * only by the rename: so the file is in place when that name is gone.
 */
bool lake_in_place(void *ctx, struct span file, struct span tmp);

/* The largest N of journal.N in .sluice; 0: none; -1 with fail(). */
int64_t lake_rolled(const char *dir, int dirfd);

/*
 * Makes the files of a journal line have their names, idempotently: renames, removes, and fsyncs every directory
 * it names. 0; -1 with fail(): EXIT_DATA when a file is there under neither name.
 */
int lake_redo(const char *dir, int dirfd, const struct journal_line *line);

/*
 * Whether a line names data files and temporary files only: one that was forged, with its crc, must not reach the
 * journal itself or what lies outside. 0; -1 with fail(EXIT_DATA). lake_redo asks it.
 */
int lake_check_names(const char *dir, const struct journal_line *line);

/*
 * Makes the last line of the journal (given without newline) durable, which somebody else wrote. He may have died after a
 * fdatasync that failed, and what that has left the kernel takes for clean: it is written again. The descriptor
 * must not be one that appends. 0 or -1 with fail().
 */
int lake_secure(const char *dir, int journal, int64_t at, struct span line);

/* Whether the name is that of a temporary file of a writer. */
bool lake_is_temp_name(const char *name);

/*
 * Calls each(ctx, line) for every line of every journal, oldest first. *last (may be NULL) gets the text of the last
 * line when it is a commit. 0; -1 with fail(), also when `each` returned -1. No journal: 0 lines.
 */
int lake_each_line(const char *dir, int dirfd,
    int (*each)(void *ctx, const struct journal_line *line), void *ctx, struct buf *last);

/* Reads a file of the catalog whole. 0; -1 with fail(): EXIT_DATA when it is not what the journal says. */
int lake_verify_file(const struct lake_catalog *c, const struct lake_entry *e);

/*
 * Calls stray() for each data file that the journal does not know, and temp() for each temporary file, with their
 * paths below DIR. 0; -1 with fail(), also when one of them returned -1. Safe beside running writers.
 */
int lake_each_unknown(const char *dir, int (*stray)(void *ctx, const char *file),
    int (*temp)(void *ctx, const char *file), void *ctx);

/* Calls temp() for each temporary file in the lake, with its path below it. 0; -1 with fail(), also of temp(). */
int lake_each_temp(int dirfd, int (*temp)(void *ctx, const char *file), void *ctx);

/* Whether the entry is still as it was: a writer may have replaced or removed the file under us. */
bool lake_still_live(const char *dir, const struct lake_entry *e);

/* "dir/.sluice/journal" and the like, for messages; caller frees. */
char *lake_path(const char *dir, const char *file);

/* Takes .sluice/lock; fd, or -1 with fail(): EXIT_TRYAGAIN after the timeout. */
int lake_lock(const char *dir, int dirfd, int64_t timeout_ms);

/*
 * The last commit that somebody saw done, as .sluice/lock tells: a journal that ends before it has lost lines. Written
 * when the line was durable and its files had their names, and never fsynced: a power loss may leave an older one
 * (nothing is lost but this check), never a newer one. 0: not known.
 */
int64_t lake_done(int dirfd);
/* The same for who has the lock, by its descriptor. */
int64_t lake_get_done(int lock);
void lake_mark_done(int lock, int64_t commit); /* never less than it was; best effort, as lake_set_done */
void lake_set_done(int lock, int64_t commit);

/*
 * There is no journal: 0 when there never was one, else -1 with fail(EXIT_DATA), for the lake is not empty: an
 * earlier journal is there, or a commit was done.
 */
int lake_journal_missing(const char *dir, int dirfd, int64_t done);

/* The journal r was read to its end, to this commit: 0, or -1 with fail(EXIT_DATA) when a later one was done. */
int lake_check_end(const struct journal_reader *r, int64_t commit, int64_t done);

#endif
