/*
 * rejects: records that did not fit, in sluice_rejects, and their way back.
 */
#ifndef SLUICE_REJECTS_H
#define SLUICE_REJECTS_H

#include "db.h"
#include "io.h"
#include "row.h"
#include "stream.h"
#include "window.h"

struct reject {
	const char *table, *column; /* may be NULL */
	const char *why;
};

/* In the caller's transaction: keeps record i of the window. The stream is scratch, to read the key. */
enum db_result rejects_add(struct db *db, const char *name, struct stream *stream,
    const struct window *w, size_t i, const struct reject *why);

/* Whether the name has rejects that are not superseded: 1, 0, or -1 with fail(). No table: 0. */
int rejects_any(struct db *db, const char *name);

/*
 * In the caller's transaction: these lines, tombstones in the order of their offsets, were applied, so older rejects of
 * their keys (and windows) are superseded.
 */
enum db_result rejects_supersede(struct db *db, const char *name, struct stream *stream,
    const struct span *line, size_t n);

/* Columns of those that are not superseded, in offset order; row as of db_select. */
enum db_result rejects_select(struct db *db, const char *name, const char *columns,
    int (*row)(void *ctx, const struct span *value, size_t columns), void *ctx);

/* Prints those that are not superseded, as records with "error":{"column","reason"}, in offset order. 0 or -1. */
int rejects_print(struct db *db, const char *name, struct writer *out);

struct replay_counts {
	uint64_t applied, kept; /* kept: they still do not fit */
	uint64_t passed;        /* removed without a change: the key has a row by now */
};

/*
 * Applies them, in offset order, in one transaction that keeps all runs of the name out. A row whose key is there is newer
 * and stays, unless force. 0 or -1 with fail(): nothing was changed.
 */
int rejects_replay(struct db *db, const char *name, const struct mapping *m, bool partial,
    bool force, struct replay_counts *counts);

#endif
