/*
 * tables: tables made by hand, for tests of what maps records to them: no server.
 */
#ifndef TABLES_H
#define TABLES_H

#include "log.h"
#include "mapping_internal.h"

#include <stdlib.h>

enum {
	NULLABLE = 1,
	DEFAULTS = 2,
	NOW = 4,
	GENERATED = 8,
	AUTO = 16,
	IS_JSON = 32,
	PADS = 64,
};

struct column_spec {
	const char *name;
	enum column_type type;
	unsigned flags;
	int key; /* its place in the primary key, from 1; 0: not in it */
	int size, scale;
};

#define SPECS_MAX 12

struct table_spec {
	const char *name;
	struct column_spec column[SPECS_MAX];
	const char *parent;
};

static const struct table_spec table_specs[] = {
	{ .name = "dim_users",
	    .column = {
		{ "user_id", COL_TEXT, .key = 1, .size = 20 },
		{ "city", COL_TEXT, .flags = NULLABLE, .size = 10 },
		{ "Country", COL_TEXT, .flags = NULLABLE, .size = 2 },
		{ "score", COL_INT, .flags = NULLABLE },
		{ "source", COL_TEXT, .flags = DEFAULTS, .size = 10 },
		{ "seen_at", COL_DATETIME, .flags = NULLABLE, .scale = 3 },
		{ "added_at", COL_DATETIME, .flags = NOW },
	    } },
	{ .name = "fact_tx",
	    .column = {
		{ "tx", COL_TEXT, .key = 1, .size = 20 },
		{ "user_id", COL_TEXT, .size = 20 },
		{ "amount", COL_DECIMAL, .size = 14, .scale = 2 },
		{ "note", COL_TEXT, .flags = NULLABLE, .size = 100 },
		{ "doc", COL_JSON, .flags = NULLABLE },
		{ "day", COL_DATE, .flags = GENERATED },
	    },
	    .parent = "dim_users" },
	{ .name = "windows",
	    .column = {
		{ "type", COL_TEXT, .key = 1, .size = 20 },
		{ "window_start", COL_DATETIME, .key = 2, .scale = 3 },
		{ "total", COL_DECIMAL, .flags = NULLABLE, .size = 14, .scale = 2 },
	    } },
	{ .name = "events", .column = { { "id", COL_INT, .flags = AUTO, .key = 1 }, { "what", COL_TEXT, .flags = NULLABLE, .size = 20 } } },
	{ .name = "pairs",
	    .column = {
		{ "b", COL_INT, .key = 2 },
		{ "a", COL_TEXT, .key = 1, .size = 20 },
		{ "v", COL_TEXT, .flags = NULLABLE, .size = 100 },
	    } },
	{ .name = "defaults", .column = { { "id", COL_TEXT, .flags = DEFAULTS, .key = 1, .size = 20 }, { "v", COL_INT, .flags = NULLABLE } } },
	{ .name = "wide",
	    .column = {
		{ "id", COL_INT, .key = 1 },
		{ "c0", COL_INT, .flags = NULLABLE },
		{ "c1", COL_INT, .flags = NULLABLE },
		{ "c2", COL_INT, .flags = NULLABLE },
		{ "c3", COL_INT, .flags = NULLABLE },
		{ "c4", COL_INT, .flags = NULLABLE },
		{ "c5", COL_INT, .flags = NULLABLE },
		{ "c6", COL_INT, .flags = NULLABLE },
		{ "c7", COL_INT, .flags = NULLABLE },
	    } },
	{ .name = "addresses",
	    .column = {
		{ "user_id", COL_TEXT, .key = 1, .size = 20 },
		{ "city", COL_TEXT, .flags = NULLABLE, .size = 10 },
	    },
	    .parent = "dim_users" },
	{ .name = "places",
	    .column = {
		{ "topic", COL_TEXT, .key = 1, .size = 100 },
		{ "part", COL_INT, .key = 2 },
		{ "off", COL_INT, .key = 3 },
		{ "at", COL_INT, .flags = NULLABLE },
		{ "ends", COL_DATETIME, .flags = NULLABLE },
		{ "k", COL_VARBINARY, .flags = NULLABLE, .size = 20 },
	    } },
};

static inline void make_column(struct table *t, const struct column_spec *s)
{
	struct column *c = &t->column[t->columns];

	*c = (struct column){
		.name = xstrdup(s->name),
		.name_len = strlen(s->name),
		.at = t->columns++,
		.type = s->type,
		.nullable = s->flags & NULLABLE,
		.json = s->flags & IS_JSON,
		.has_default = s->flags & DEFAULTS,
		.default_now = s->flags & NOW,
		.generated = s->flags & GENERATED,
		.auto_increment = s->flags & AUTO,
		.min = INT64_MIN,
		.max = INT64_MAX,
		.precision = s->size,
		.scale = s->scale,
		.chars = s->size ? s->size : -1,
		.octets = s->type == COL_VARBINARY ? s->size : -1,
		.compare = s->flags & PADS ? COMPARE_PAD : COMPARE_BYTES,
		.key_at = s->key - 1,
	};
	if (s->key > 0)
		t->keys++;
}

static inline struct table *make_table(const struct table_spec *s)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->name = xstrdup(s->name);
	t->column = xcalloc(SPECS_MAX, sizeof(*t->column));
	for (const struct column_spec *c = s->column; c < s->column + SPECS_MAX && c->name; c++)
		make_column(t, c);
	t->key = xcalloc(t->keys, sizeof(struct column *));
	for (unsigned i = 0; i < t->columns; i++)
		if (t->column[i].key_at >= 0)
			t->key[t->column[i].key_at] = &t->column[i];
	if (s->parent) {
		t->parent = xcalloc(1, sizeof(char *));
		t->parent[t->parents++] = xstrdup(s->parent);
	}
	return t;
}

#define TABLES_GONE "localhost: the server is gone"

/* As table_load() does; of the table "gone" the server does not tell any more. */
static inline struct table *find_table(void *ctx, const char *name)
{
	(void)ctx;
	for (size_t i = 0; i < sizeof(table_specs) / sizeof(table_specs[0]); i++)
		if (strcmp(table_specs[i].name, name) == 0)
			return make_table(&table_specs[i]);
	if (strcmp(name, "gone") == 0)
		fail(EXIT_UNAVAILABLE, TABLES_GONE);
	else
		fail(EXIT_CONFIG, "no table %s in database dw", name);
	return NULL;
}

static const struct table_finder tables_by_hand = { find_table, NULL };

#endif
