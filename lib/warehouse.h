/*
 * warehouse: sluice's own two tables beside the user's, sluice_positions and sluice_rejects.
 *
 * A position moves in the transaction of the rows: its row is locked and compared with what this run began from before
 * the first row is written, and written before COMMIT. Nobody can come between, and a run that was overtaken finds out
 * before it has done anything.
 */
#ifndef SLUICE_WAREHOUSE_H
#define SLUICE_WAREHOUSE_H

#include "db.h"
#include "positions.h"
#include "window.h"

/*
 * Makes the tables if they are missing. Looked up first, so that no right to CREATE is needed when they are there.
 * 0 or -1 with fail().
 */
int warehouse_prepare(struct db *db, bool rejects);

/* Whether a table of that name is there: 1, 0, or -1 with fail(), also when it has no transactions. */
int warehouse_has(struct db *db, const char *table);

/*
 * Whether the tables can hold a NAME, and a topic so that it can be told from all others (they compare without blanks at
 * the end). 0, or -1 with fail(): EXIT_CONFIG, EXIT_DATA.
 */
int warehouse_check_name(const char *name);
int warehouse_check_topic(struct span topic);

/* Loads the positions of `name`, none when there is no table. 0 or -1 with fail(). */
int warehouse_positions(struct db *db, const char *name, struct positions *to);

/*
 * Sees to it that each partition that moves has a row, in a transaction of its own: those inserted anew have the position
 * NULL. Rows that two writers insert at once in a larger transaction would deadlock.
 */
enum db_result warehouse_meet(struct db *db, const char *name, const struct window_move *move,
    size_t count);

/* What was found: both can be true, when a position of a recreated topic comes to stand where the old one stood. */
struct warehouse_state {
	bool old;  /* all as this run began from */
	bool done; /* all as the moves want them, with the last records */
};

/* Within a transaction: locks the rows of the moves, in key order, and compares. No moves: both. */
enum db_result warehouse_lock(struct db *db, const char *name, const struct window_move *move,
    size_t count, struct warehouse_state *state);

/* Within the same transaction: what they are now. */
enum db_result warehouse_move(struct db *db, const char *name, const struct window_move *move,
    size_t count);

#endif
