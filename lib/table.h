/*
 * table: what information_schema says of a table that rows are written to, and whether it can be kept right.
 */
#ifndef SLUICE_TABLE_H
#define SLUICE_TABLE_H

#include "buf.h"
#include "db.h"

#include <stdbool.h>
#include <stdint.h>

enum column_type {
	COL_INT,     /* TINYINT to BIGINT, with min and max; BOOLEAN is TINYINT(1) */
	COL_DECIMAL, /* precision, scale */
	COL_FLOAT,
	COL_DOUBLE,
	COL_BIT,       /* max: the largest value */
	COL_CHAR,      /* chars */
	COL_TEXT,      /* VARCHAR (chars) and the TEXTs (octets) */
	COL_BINARY,    /* octets, padded */
	COL_VARBINARY, /* and BLOBs: octets */
	COL_DATE,
	COL_TIME,      /* scale: digits of the fraction */
	COL_DATETIME,  /* scale */
	COL_TIMESTAMP, /* scale */
	COL_YEAR,
	COL_ENUM, /* value[] */
	COL_SET,
	COL_JSON, /* MySQL's type; MariaDB's JSON is LONGTEXT with a CHECK: COL_TEXT with json set */
	COL_UUID,
	COL_INET4,
	COL_INET6,
	COL_OTHER, /* GEOMETRY and the like: only NULL fits */
};

/* How the server compares two values of a key column, as far as we can follow it. */
enum column_compare {
	COMPARE_BYTES, /* integers, DECIMAL, temporal, BINARY, VARBINARY, _bin NO PAD: equal when the converted bytes are */
	COMPARE_PAD,   /* the same after stripping trailing spaces: _bin PAD SPACE, every CHAR */
	COMPARE_SERVER, /* the collation decides, or the type: only equal bytes are known to be equal */
};

struct column {
	char *name;
	size_t name_len;
	unsigned at; /* its index in the table */
	enum column_type type;
	bool is_unsigned, nullable;
	bool json; /* MySQL's type, or a text with CHECK (json_valid(it)): MariaDB's JSON is one */
	bool has_default; /* another than NULL: an absent member becomes DEFAULT */
	bool default_now; /* CURRENT_TIMESTAMP as default, or ON UPDATE: left alone when absent */
	bool default_of_row; /* an expression of other columns: what it gives depends on the values a row begins with */
	bool generated; /* never written */
	bool auto_increment;
	int64_t min;           /* COL_INT */
	uint64_t max;          /* COL_INT, COL_BIT */
	int precision, scale;  /* digits; scale -1: none said (FLOAT, DOUBLE) */
	int64_t chars, octets; /* -1: no limit of the kind */
	char **value;          /* ENUM, SET: their names */
	size_t values;
	enum column_compare compare;
	int key_at; /* its place in the primary key; -1: not in it */
};

struct table {
	char *name;
	struct column *column; /* in the order of the table */
	unsigned columns;
	struct column **key; /* the primary key, in its order */
	unsigned keys;
	/* A table (this one too) refers to it with ON DELETE CASCADE, SET NULL or SET DEFAULT, as far as the user may see. */
	bool cascades;
	bool refers_to_itself;
	bool other_unique; /* it has another unique key */
	char **parent;     /* tables of this database that it refers to */
	size_t parents;
};

/*
 * Reads it. NULL with fail(): EXIT_CONFIG no such table, a view, no primary key or one on prefixes of columns, an
 * engine without transactions, another unique key unless any_unique.
 */
struct table *table_load(struct db *db, const char *name, bool any_unique);
void table_free(struct table *t);

/* By name: the exact case first, then any case of ASCII letters. NULL: none. */
struct column *table_column(const struct table *t, struct span name);

/* Sorts tables so that parents come before those that refer to them; what is not related by name. */
void table_order(struct table **table, size_t n);

#endif
