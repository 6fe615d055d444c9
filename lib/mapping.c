#include "mapping.h"

#include "log.h"
#include "mapping_internal.h"

#include <ctype.h>
#include <stdlib.h>

/* ---- names that are nearly right ---- */

#define SIMILAR_MAX 64 /* characters: both servers' limit for a name */

/* How many characters have to be changed, added or left out to make one of the other: Levenshtein's distance. */
static unsigned distance(struct span a, struct span b)
{
	unsigned row[SIMILAR_MAX + 1];

	for (size_t k = 0; k <= b.n; k++)
		row[k] = (unsigned)k;
	for (size_t i = 0; i < a.n; i++) {
		unsigned above_left = row[0]++;

		for (size_t k = 0; k < b.n; k++) {
			unsigned above = row[k + 1];
			bool same = tolower((unsigned char)a.p[i]) == tolower((unsigned char)b.p[k]);
			unsigned least = above < row[k] ? above : row[k];

			row[k + 1] = above_left + !same < least + 1 ? above_left + !same : least + 1;
			above_left = above;
		}
	}
	return row[b.n];
}

const char *similar_column(const struct table *t, struct span name, struct buf *scratch)
{
	unsigned least = name.n < 4 ? 2 : 3; /* that many changes make another word */
	const struct column *similar = NULL;

	for (unsigned i = 0; i < t->columns && name.n <= SIMILAR_MAX; i++) {
		struct span column = { t->column[i].name, t->column[i].name_len };
		unsigned n = column.n <= SIMILAR_MAX ? distance(name, column) : least;

		if (n < least) {
			least = n;
			similar = &t->column[i];
		}
	}
	buf_clear(scratch);
	if (similar)
		buf_addf(scratch, " (%s?)", similar->name);
	return buf_cstr(scratch);
}

/* ---- targets ---- */

void source_release(struct source *s)
{
	free(s->text);
	free((char *)s->value.raw.p);
	*s = (struct source){ 0 };
}

void target_set_source(struct target *t, const struct column *c, struct source s)
{
	source_release(&t->source[c->at]);
	t->source[c->at] = s;
}

struct source source_of_key(const struct column *c, bool alone)
{
	if (alone)
		return (struct source){ .kind = SOURCE_KEY };
	return (struct source){ .kind = SOURCE_KEY_MEMBER, .text = xstrdup(c->name) };
}

struct target *mapping_add_target(struct mapping *m, struct table *table)
{
	struct target *t;

	m->target = xrealloc(m->target, (m->targets + 1) * sizeof(*m->target));
	t = &m->target[m->targets++];
	*t = (struct target){ .table = table, .source = xcalloc(table->columns, sizeof(*t->source)) };
	for (unsigned i = 0; i < table->columns; i++)
		if (!table->column[i].generated)
			t->source[i].kind = SOURCE_MEMBER;
	return t;
}

static void target_release(struct target *t)
{
	for (unsigned i = 0; i < t->table->columns; i++)
		source_release(&t->source[i]);
	for (size_t i = 0; i < t->topics; i++)
		free(t->topic[i]);
	free(t->source);
	free(t->topic);
	table_free(t->table);
}

/*
 * Where an absent member leaves a key column to the server, the row's key is not known, and it may be that of another
 * row. An AUTO_INCREMENT key is new each time, and row.h says so row by row.
 */
static bool fills_key(const struct target *t)
{
	for (unsigned i = 0; i < t->table->keys; i++) {
		const struct column *c = t->table->key[i];
		enum source_kind kind = t->source[c->at].kind;

		if (kind == SOURCE_NONE)
			return false;
		if ((kind == SOURCE_MEMBER || kind == SOURCE_PATH) && (c->has_default || c->default_now))
			return false;
	}
	return true;
}

/* ---- a whole mapping ---- */

/* Parents first. Each table knows its place only as a pointer, so the targets follow the tables. */
static void order_targets(struct mapping *m)
{
	struct table **table = xcalloc(m->targets, sizeof(struct table *));
	struct target *ordered = xcalloc(m->targets, sizeof(*ordered));

	for (size_t i = 0; i < m->targets; i++)
		table[i] = m->target[i].table;
	table_order(table, m->targets);
	for (size_t i = 0; i < m->targets; i++)
		for (size_t k = 0; k < m->targets; k++)
			if (m->target[k].table == table[i])
				ordered[i] = m->target[k];
	free(table);
	free(m->target);
	m->target = ordered;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted_names(const struct mapping *m)
{
	const char **name = xcalloc(m->targets, sizeof(char *));
	struct buf list = BUF_INIT;

	for (size_t i = 0; i < m->targets; i++)
		name[i] = m->target[i].table->name;
	qsort(name, m->targets, sizeof(*name), compare_names);
	for (size_t i = 0; i < m->targets; i++) {
		if (i > 0)
			buf_add_char(&list, ',');
		buf_add_str(&list, name[i]);
	}
	free(name);
	buf_cstr(&list);
	return list.data;
}

/* ---- from -T and -k ---- */

static int no_such_key(const struct table *table, const char *list, struct span name)
{
	struct buf hint = BUF_INIT;

	fail(EXIT_CONFIG, "-k %s: table %s has no column %.*s%s", list, table->name, (int)name.n,
	    name.p, similar_column(table, name, &hint));
	buf_release(&hint);
	return -1;
}

/* The columns that a list names, in column[]; how many there are, or -1 with fail(). */
static int find_keys(const struct table *table, const char *list, const struct column **column)
{
	unsigned n = 0;

	for (const char *p = list;; p++) {
		struct span name = { p, strcspn(p, ",") };
		const struct column *c = table_column(table, name);

		if (name.n == 0)
			return fail(EXIT_USAGE, "-k %s: an empty column name", list);
		if (!c)
			return no_such_key(table, list, name);
		if (c->generated)
			return fail(EXIT_CONFIG,
			    "-k %s: column %s of table %s is generated by the server", list,
			    c->name, table->name);
		for (unsigned i = 0; i < n; i++)
			if (column[i] == c)
				return fail(EXIT_USAGE, "-k %s: column %s twice", list, c->name);
		column[n++] = c;
		p += name.n;
		if (!*p)
			return (int)n;
	}
}

static int set_keys(struct target *t, const char *list)
{
	const struct column **column = xcalloc(t->table->columns, sizeof(struct column *));
	int n = find_keys(t->table, list, column);

	for (int i = 0; i < n; i++)
		target_set_source(t, column[i], source_of_key(column[i], n == 1));
	free(column);
	t->has_key = n > 0;
	return n < 0 ? -1 : 0;
}

static int from_options(struct mapping *m, const struct table_finder *finder,
    const struct mapping_options *o)
{
	struct table *table;

	if (!o->table)
		return fail(EXIT_USAGE, "-T TABLE or -M MAPPING says where the records go");
	table = finder->find(finder->ctx, o->table);
	if (!table)
		return -1;
	mapping_add_target(m, table);
	return o->keys ? set_keys(&m->target[0], o->keys) : 0;
}

struct mapping *mapping_build(const struct table_finder *finder, const struct mapping_options *o)
{
	struct mapping *m = xcalloc(1, sizeof(*m));
	int r;

	if (o->file && o->keys)
		r = fail(EXIT_USAGE, "-k beside -M: the mapping names the key's columns (\"key\")");
	else
		r = o->file ? mapping_read_file(m, finder, o) : from_options(m, finder, o);
	if (r < 0) {
		mapping_free(m);
		return NULL;
	}
	order_targets(m);
	for (size_t i = 0; i < m->targets; i++)
		m->target[i].fills_key = fills_key(&m->target[i]);
	m->name = sorted_names(m);
	return m;
}

struct in_database {
	struct db *db;
	bool any_unique;
};

static struct table *find_in_database(void *ctx, const char *name)
{
	const struct in_database *in = ctx;

	return table_load(in->db, name, in->any_unique);
}

struct mapping *mapping_load(struct db *db, const struct mapping_options *o)
{
	struct in_database in = { db, o->any_unique };

	return mapping_build(&(struct table_finder){ find_in_database, &in }, o);
}

void mapping_free(struct mapping *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->targets; i++)
		target_release(&m->target[i]);
	free(m->target);
	free(m->name);
	free(m);
}

bool target_takes(const struct target *t, struct span topic)
{
	for (size_t i = 0; i < t->topics; i++)
		if (span_is(topic, t->topic[i]))
			return true;
	return t->topics == 0;
}

/* ---- for -n ---- */

static void print_source(const struct column *c, const struct source *s, struct buf *to)
{
	static const char *const name[] = {
		[SOURCE_KEY] = "@key",
		[SOURCE_TOPIC] = "@topic",
		[SOURCE_PARTITION] = "@partition",
		[SOURCE_OFFSET] = "@offset",
		[SOURCE_TS] = "@ts",
		[SOURCE_WINDOW_START] = "@window.start",
		[SOURCE_WINDOW_END] = "@window.end",
	};

	switch (s->kind) {
	case SOURCE_NONE:
		buf_add_str(to, c->generated ? "left alone (generated)" : "left alone");
		break;
	case SOURCE_MEMBER:
		buf_addf(to, "member %s", c->name);
		break;
	case SOURCE_PATH:
		buf_add_str(to, s->text);
		break;
	case SOURCE_KEY_MEMBER:
		buf_addf(to, "@key.%s", s->text);
		break;
	case SOURCE_CONST:
		buf_add_str(to, "const ");
		buf_add_span(to, s->value.raw);
		break;
	default:
		buf_add_str(to, name[s->kind]);
	}
}

static void print_target(const struct target *t, struct buf *to)
{
	for (unsigned i = 0; i < t->table->columns; i++) {
		buf_addf(to, "%s: %s <- ", t->table->name, t->table->column[i].name);
		print_source(&t->table->column[i], &t->source[i], to);
		buf_add_char(to, '\n');
	}
	if (t->topics > 0) {
		buf_addf(to, "%s: records of", t->table->name);
		for (size_t i = 0; i < t->topics; i++)
			buf_addf(to, "%s %s", i > 0 ? "," : "", t->topic[i]);
		buf_add_char(to, '\n');
	}
	buf_addf(to, "%s: tombstones %s\n", t->table->name, t->has_key ? "delete" : "do not delete");
}

void mapping_print(const struct mapping *m, struct buf *to)
{
	for (size_t i = 0; i < m->targets; i++)
		print_target(&m->target[i], to);
}
