/*
 * window: the records of one transaction to be, reduced to the last of each key as they come.
 *
 * All lines are kept until the COMMIT, superseded ones too: the last of a key may be rejected by the server and give
 * way to the one before. Rows are kept for the last of a key only. The window knows keys and the order in which rows
 * have to be written so that the tables end as if each record had been written alone; it knows no server. One thread
 * at a time.
 *
 * How the rows of a target are treated:
 *     in stream order   without `reduce`; keys that records do not fill; another unique key; a table that refers to itself;
 *                       columns left alone whose default is computed from other columns
 *     by equal bytes    a key that only the server can compare: the last of equal bytes, in stream order
 *     by key            all other: the last of each key, sorted
 *
 * Tables of one mapping that refer to each other are written parents first, and deleted from children first, whatever the
 * order of their records in the window. So with `reduce` it is enough that their references hold in the end: a child that
 * comes before its parent, or a parent's tombstone before that of its child, is a reject only if a window ends between
 * them (or has another reject: then it is done again record by record). Without `reduce` their rows are written record by
 * record, and each is judged at its place in the stream.
 */
#ifndef SLUICE_WINDOW_H
#define SLUICE_WINDOW_H

#include "positions.h"
#include "row.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_rules {
	bool reduce;  /* false: each record is sent, in stream order */
	bool partial; /* rows have only some columns, and duplicates are merged column by column */
};

/* A record as it came. There are many: what is rarely wanted is not here. */
struct window_record {
	size_t line; /* see window_line */
	uint32_t line_n;
	uint32_t reject : 31; /* 0, or window_reject tells why no server has to see it */
	uint32_t tombstone : 1;
	const struct position *place; /* topic and partition (no other member is to be read); NULL: a bare object */
	int64_t offset;
	uint64_t number; /* of its line in the input */
};

struct window_reject {
	char *table, *column; /* may be NULL */
	char *why;
};

/* What the transaction does to a position; the values of the time when the window was closed. */
struct window_move {
	const struct position *place;
	bool moved;        /* false: nothing to write, only to acknowledge */
	bool from_stored;  /* what must be found: nothing, or */
	int64_t from_next; /* this */
	int64_t next, last_offset, last_ts;
};

/* Rows of one target, kind and set of columns that may follow each other in one statement. */
struct window_run {
	const struct target *target;
	enum row_kind kind;
	const struct column_set *columns; /* ROW_UPSERT */
	const struct span *values;
	size_t count;
};

struct window;

struct window *window_new(const struct mapping *m, struct window_rules rules);
void window_free(struct window *w);
void window_clear(struct window *w);

/* Adds a record with its rows (one for each target of the mapping). place NULL: a bare object. Copies all but place. */
void window_add(struct window *w, const struct line *l, uint64_t number,
    const struct position *place, const struct row *row);
/* A record that makes no rows. */
void window_add_reject(struct window *w, const struct line *l, uint64_t number,
    const struct position *place, const struct row_problem *why);

size_t window_records(const struct window *w);
size_t window_bytes(const struct window *w); /* of lines, rows and what is kept about them */
const struct window_record *window_record(const struct window *w, size_t i);
struct span window_line(const struct window *w, size_t i);
const struct window_reject *window_reject(const struct window *w, size_t i); /* NULL: it is none */

/* The window is complete: notes what it does to the positions, and begins their next window. */
void window_close(struct window *w, struct positions *ps);

/* In order of (topic, partition). The array is the window's. */
const struct window_move *window_moves(const struct window *w, size_t *count);
/* The same when only the first `records` are applied (it parses them); the caller frees it. */
struct window_move *window_moves_before(const struct window *w, size_t records, size_t *count);

/*
 * The rows as runs, in the order in which they must be written: a table's rows before those of the tables that refer
 * to it, deletes the other way round. each returns 0 to go on; another value ends it and is returned.
 */
int window_runs(struct window *w, int (*each)(void *ctx, const struct window_run *run), void *ctx);

#endif
