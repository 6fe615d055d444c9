/*
 * row: one record as the rows it makes, or why it makes none.
 *
 * Finds the parts of the record by the mapping and converts them (value.h). What comes out is text ready for a
 * statement and a key ready for comparison; nothing of the line is needed any more, but to keep it as a reject.
 */
#ifndef SLUICE_ROW_H
#define SLUICE_ROW_H

#include "mapping.h"
#include "stream.h"

/* Columns that rows have, by column.at, ascending. Interned: equal sets of one converter are one pointer. */
struct column_set {
	unsigned count;
	unsigned *at;
};

enum row_kind {
	ROW_NONE, /* the target does not take this record (its topics), or not this tombstone (no key) */
	ROW_UPSERT,
	ROW_DELETE,
};

struct row {
	enum row_kind kind;
	/* ROW_UPSERT: the literals of `columns`, comma-separated. ROW_DELETE: those of the primary key. No parentheses. */
	struct span values;
	struct span key; /* the primary key as it compares; n 0: the record does not fill it (AUTO_INCREMENT) */
	const struct column_set *columns; /* ROW_UPSERT */
	const uint32_t *ends; /* ROW_UPSERT: where the literal of each column of the set ends in values */
};

/* Why a record makes no rows. table, column: NULL when it is none in particular. */
struct row_problem {
	const char *table, *column;
	const char *why; /* valid until the next call */
};

struct rows;

struct rows_options {
	bool partial; /* absent members are left alone: out of the set */
	bool quiet;   /* no warnings about members without a column */
};

struct rows_counts {
	uint64_t rounded; /* DECIMALs */
	uint64_t unknown; /* members without a column, each time one comes */
};

struct rows *rows_new(const struct mapping *m, const struct rows_options *o);
void rows_free(struct rows *r);

/*
 * The converter has a struct stream of its own: lines must be parsed by it. Valid as long as the converter.
 */
struct stream *rows_stream(struct rows *r);

/* The literal of the i-th column of a row's set. */
static inline struct span row_literal(const char *values, const uint32_t *ends, unsigned i)
{
	uint32_t from = i == 0 ? 0 : ends[i - 1] + 1; /* behind the comma */

	return (struct span){ values + from, ends[i] - from };
}

/*
 * Converts a record or bare object that rows_stream parsed last: out[i] for target i, valid until the next call.
 * 0; -1: a reject, *problem says why, and out is of no use.
 */
int rows_convert(struct rows *r, const struct line *l, struct row *out, struct row_problem *problem);

struct rows_counts rows_counts(const struct rows *r);

#endif
