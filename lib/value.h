/*
 * value: a JSON value as the literal of a column's SQL type, or the reason why it does not fit.
 *
 * Strict: nothing is truncated, clipped or guessed; mysql-upsert(1) lists what a type itself changes. Numbers stay
 * text, so DECIMAL and BIGINT are exact. No function here calls fail(): a reason becomes part of a reject.
 */
#ifndef SLUICE_VALUE_H
#define SLUICE_VALUE_H

#include "buf.h"
#include "json.h"
#include "table.h"

/*
 * What is to be converted: a JSON value; or (json.type is JSON_NONE) bytes that came as base64; or, for a DATE, DATETIME
 * or TIMESTAMP, a time whose unit nobody has to guess.
 */
struct value_in {
	struct json_value json;
	struct span bytes;
	bool instant;
	int64_t us; /* instant: since the epoch */
};

enum value_result {
	VALUE_REJECT = -1,
	VALUE_OK = 0,
	VALUE_ROUNDED = 1, /* a DECIMAL with more digits than the column keeps, not all of them zeros */
};

/* Scratch of one converter; zero it before its first use. */
struct value {
	struct buf text, other;
	struct buf why; /* NUL-terminated after VALUE_REJECT: "is longer than 10 characters"; no column name, no newline */
};

void value_release(struct value *v);

/*
 * Appends the literal to sql: 12.50, 'text', x'00ff', NULL. Text is escaped for a utf8mb4 session whose sql_mode has
 * no NO_BACKSLASH_ESCAPES (db.h). NULL for a column that is NOT NULL is a reject.
 *
 * key not NULL (a column of the primary key): there the value is appended as it compares (column.compare): bytes that
 * are equal when the server says so, that sort like the server's order for numbers, dates and binary text, and of one
 * fixed length per column for types that are no strings. For COMPARE_SERVER the text itself.
 * The literal, too, is then what the server stores and a DELETE compares with: a CHAR without trailing spaces, a BINARY
 * padded, a FLOAT as the double that it is. After a reject sql and key are as they were.
 */
enum value_result value_convert(struct value *v, const struct column *c, const struct value_in *in,
    struct buf *sql, struct buf *key);

#endif
