/*
 * mapping: which part of a record goes into which column of which table.
 *
 * Made from -T and -k, or from a file (sluice-mapping(5)); checked against the tables before anything is written.
 * Read-only afterwards, so threads may share it.
 */
#ifndef SLUICE_MAPPING_H
#define SLUICE_MAPPING_H

#include "json.h"
#include "table.h"

enum source_kind {
	SOURCE_NONE,       /* nothing: the column is left alone (generated, or mapped to null) */
	SOURCE_MEMBER,     /* the payload member of the column's name: exact case first, then any */
	SOURCE_PATH,       /* .a.b of the payload: `text` as stream_want() takes it */
	SOURCE_KEY,        /* the whole key */
	SOURCE_KEY_MEMBER, /* `text`: the member of a JSON object key, as SOURCE_MEMBER finds it */
	SOURCE_TOPIC,
	SOURCE_PARTITION,
	SOURCE_OFFSET,
	SOURCE_TS,
	SOURCE_WINDOW_START,
	SOURCE_WINDOW_END,
	SOURCE_CONST, /* `value`: never null */
};

struct source {
	enum source_kind kind;
	char *text;
	struct json_value value; /* value.raw is owned */
};

struct target {
	struct table *table;   /* owned */
	struct source *source; /* one for each column of the table */
	char **topic;          /* whose records it takes; none: all */
	size_t topics;
	bool has_key; /* -k or "key": tombstones delete */
	/*
	 * Each column of the primary key has a source, so rows have a key to reduce by; but for those of an AUTO_INCREMENT
	 * that a payload does not have. Not where an absent member would make it the column's default: that may be
	 * another row's key.
	 */
	bool fills_key;
};

struct mapping {
	struct target *target; /* parents before children */
	size_t targets;
	char *name; /* the sorted table list, comma-separated: the default NAME */
};

struct mapping_options {
	const char *table, *keys; /* -T, -k COL,COL: NULL when not given */
	const char *file; /* -M: NULL when not given; with -T too only that table's entry is used */
	bool any_unique;
};

/*
 * Reads it, and the tables. NULL with fail(): EXIT_CONFIG; every mistake of a file as "FILE: tables[0].columns.city:
 * why", one line each: the last in fail(), those before it by error(). Owned by the caller.
 */
struct mapping *mapping_load(struct db *db, const struct mapping_options *o);
void mapping_free(struct mapping *m);

/* Whether the target takes records of this topic (n 0: bare objects: only targets without topics). */
bool target_takes(const struct target *t, struct span topic);

/* For -n: "table: column <- source" lines. */
void mapping_print(const struct mapping *m, struct buf *to);

#endif
