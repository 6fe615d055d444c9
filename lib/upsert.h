/*
 * upsert: runs of rows as SQL statements.
 *
 *     INSERT INTO `t` (`a`,`b`) VALUES (1,'x'),(2,'y') ON DUPLICATE KEY UPDATE `b`=VALUES(`b`)
 *     DELETE FROM `t` WHERE (`a`,`b`) IN ((1,'x'),(2,'y'))
 *
 * Never REPLACE: it deletes, and cascades.
 */
#ifndef SLUICE_UPSERT_H
#define SLUICE_UPSERT_H

#include "window.h"

#define UPSERT_ROWS                                                                                \
	1000 /* of one statement; more are not faster (100: 103k rows/s, 1000: 124k, 5000: 127k) */

struct upsert_form {
	size_t rows;  /* at most; 0: UPSERT_ROWS */
	size_t bytes; /* of the statement: the server's max_allowed_packet */
	bool alias;   /* MySQL from 8.0.20 has a name for the new row, and deprecates VALUES() */
	bool select;  /* SELECT 1 ... FOR UPDATE where DELETE would delete */
};

/*
 * Puts a statement for as many of the run's rows, from `from` on, as fit into sql (cleared first). Returns how many: 0 when
 * even one is longer than the limit; sql then holds the statement for that one row.
 */
size_t upsert_statement(struct buf *sql, const struct window_run *run, size_t from,
    const struct upsert_form *form);

#endif
