/*
 * apply: a window as one transaction of the server, whatever happens in between.
 *
 * 1. The rows of the positions are locked and compared with what this run began from: 75 if another writer moved them.
 * 2. The window's rows as multi-row statements; one is sent only after the last one's result was read, so that nothing
 *    runs outside of a transaction that the server has rolled back.
 * 3. The new positions, then COMMIT.
 *
 * Deadlock, lock timeout: roll back, wait, again. The server finds fault with the data: roll back and do it again record by
 * record, in stream order, halving a group that fails behind a savepoint. The connection is lost: connect again, and the
 * positions tell whether the COMMIT was done.
 */
#ifndef SLUICE_APPLY_H
#define SLUICE_APPLY_H

#include "upsert.h"
#include "warehouse.h"

struct apply_options {
	const char *name; /* of the positions */
	bool rejects;     /* -r: into sluice_rejects; else the first one ends the run */
	bool partial;
	size_t statement_rows; /* at most in one statement; 0: UPSERT_ROWS */
};

struct apply_counts {
	uint64_t upserted, deleted; /* rows sent, and committed */
	uint64_t rejected, retried, commits;
};

struct apply;

/* db and m are borrowed. NULL with fail(). */
struct apply *apply_new(struct db *db, const struct mapping *m, const struct apply_options *o);
void apply_free(struct apply *a);

/*
 * Applies a closed window. *applied: so many of its records, from the first on, are durable, and the positions of window_moves
 * or window_moves_before(*applied). 0: all of it. -1 with fail(): nothing of it, but for a rejected record without
 * `rejects` (EXIT_DATA): what came before that record.
 */
int apply_window(struct apply *a, struct window *w, size_t *applied);

struct apply_counts apply_counts(const struct apply *a);

#endif
