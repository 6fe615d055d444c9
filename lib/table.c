#include "table.h"

#include "json.h"
#include "log.h"

#include <stdlib.h>
#include <strings.h>

/* ---- what COLUMN_TYPE and COLUMN_DEFAULT say ---- */

static bool contains(struct span s, const char *word)
{
	return s.n > 0 && memmem(s.p, s.n, word, strlen(word));
}

static bool ends_with(struct span s, const char *end)
{
	size_t n = strlen(end);

	return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

static int64_t number(struct span s, int64_t otherwise)
{
	int64_t n;

	return s.p && json_int64(s, &n) == 0 ? n : otherwise;
}

/*
 * enum('a','it''s','new\nline'): both servers double the quote and escape what db_quote_text does, whatever sql_mode
 * says. Characters of four bytes come as question marks (information_schema is utf8mb3): such a value fits nothing.
 */
static void parse_values(struct column *c, struct span type)
{
	static const char escape[] = "0nrtbZ", meant[] = "\0\n\r\t\b\x1a";
	const char *p = memchr(type.p, '(', type.n), *end = type.p + type.n, *known;
	struct buf b = BUF_INIT;

	while (p && p < end && (p = memchr(p, '\'', (size_t)(end - p))) != NULL) {
		buf_clear(&b);
		for (p++; p < end && (*p != '\'' || (p + 1 < end && p[1] == '\'')); p++) {
			bool escaped = *p == '\\' && p + 1 < end;

			p += escaped || *p == '\'';
			known = escaped ? strchr(escape, *p) : NULL;
			buf_add_char(&b, known ? meant[known - escape] : *p);
		}
		p++;
		c->value = xrealloc(c->value, (c->values + 1) * sizeof(*c->value));
		c->value[c->values++] = xstrndup(b.len ? b.data : "", b.len);
	}
	buf_release(&b);
}

/*
 * Functions of no argument, or of a number of digits, that give the current time. MariaDB writes current_timestamp(6),
 * MySQL CURRENT_TIMESTAMP(6) or, as an expression, now(6); parentheses around do not matter.
 */
static bool is_now(struct span text)
{
	static const char *const functions[] = { "current_timestamp", "now", "localtime",
		"localtimestamp", "sysdate", "current_date", "curdate", "current_time", "curtime",
		"utc_timestamp", "utc_date", "utc_time", "unix_timestamp" };
	size_t n = 0;

	while (text.n > 1 && text.p[0] == '(' && text.p[text.n - 1] == ')')
		text = (struct span){ text.p + 1, text.n - 2 };
	while (n < text.n && text.p[n] != '(')
		n++;
	for (size_t i = n; i < text.n; i++)
		if (!strchr("()0123456789", text.p[i]))
			return false;
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (n == strlen(functions[i]) && strncasecmp(text.p, functions[i], n) == 0)
			return true;
	return false;
}

/* ---- types ---- */

struct type {
	const char *name; /* DATA_TYPE */
	enum column_type type;
	int bits; /* integers */
};

static const struct type types[] = {
	{ "tinyint", COL_INT, 8 },
	{ "smallint", COL_INT, 16 },
	{ "mediumint", COL_INT, 24 },
	{ "int", COL_INT, 32 },
	{ "bigint", COL_INT, 64 },
	{ "decimal", COL_DECIMAL, 0 },
	{ "float", COL_FLOAT, 0 },
	{ "double", COL_DOUBLE, 0 },
	{ "bit", COL_BIT, 0 },
	{ "char", COL_CHAR, 0 },
	{ "varchar", COL_TEXT, 0 },
	{ "tinytext", COL_TEXT, 0 },
	{ "text", COL_TEXT, 0 },
	{ "mediumtext", COL_TEXT, 0 },
	{ "longtext", COL_TEXT, 0 },
	{ "binary", COL_BINARY, 0 },
	{ "varbinary", COL_VARBINARY, 0 },
	{ "tinyblob", COL_VARBINARY, 0 },
	{ "blob", COL_VARBINARY, 0 },
	{ "mediumblob", COL_VARBINARY, 0 },
	{ "longblob", COL_VARBINARY, 0 },
	{ "date", COL_DATE, 0 },
	{ "time", COL_TIME, 0 },
	{ "datetime", COL_DATETIME, 0 },
	{ "timestamp", COL_TIMESTAMP, 0 },
	{ "year", COL_YEAR, 0 },
	{ "enum", COL_ENUM, 0 },
	{ "set", COL_SET, 0 },
	{ "json", COL_JSON, 0 },
	{ "uuid", COL_UUID, 0 },
	{ "inet4", COL_INET4, 0 },
	{ "inet6", COL_INET6, 0 },
};

/* The columns of COLUMNS_QUERY. */
enum {
	C_TABLE,
	C_NAME,
	C_DATA_TYPE,
	C_COLUMN_TYPE,
	C_NULLABLE,
	C_DEFAULT,
	C_EXTRA,
	C_CHARS,
	C_OCTETS,
	C_PRECISION,
	C_SCALE,
	C_FRACTION,
	C_CHARSET,
	C_COLLATION,
	C_COUNT,
};

/*
 * A text's limit of bytes counts in the column's character set. In another than Unicode's ours would be longer: then
 * the server says what is too long.
 */
static void set_limits(struct column *c, const struct span *v)
{
	bool varchar = ends_with(v[C_DATA_TYPE], "char"), utf8 = contains(v[C_CHARSET], "utf8");

	c->chars = c->octets = -1;
	switch (c->type) {
	case COL_CHAR:
	case COL_TEXT:
		if (varchar)
			c->chars = number(v[C_CHARS], -1);
		else if (utf8)
			c->octets = number(v[C_OCTETS], -1);
		break;
	case COL_BINARY:
	case COL_VARBINARY:
		c->octets = number(v[C_OCTETS], -1);
		break;
	default:
		break;
	}
}

static void set_range(struct column *c, int bits)
{
	if (c->type == COL_BIT)
		c->max = UINT64_MAX >> (64 - c->precision);
	if (c->type != COL_INT)
		return;
	c->max = UINT64_MAX >> (64 - bits + !c->is_unsigned);
	c->min = c->is_unsigned ? 0 : -(int64_t)c->max - 1;
}

/*
 * _bin compares code points, and nearly all of them pad with spaces: not utf8mb4_0900_bin of MySQL, the _nopad_bin of
 * MariaDB. CHAR loses its trailing spaces when stored. Of all character sets only cp932 has one code for two characters
 * of ours (U+6659, U+6661).
 */
static enum column_compare compare_of(enum column_type type, struct span collation)
{
	switch (type) {
	case COL_CHAR:
	case COL_TEXT:
		if (!ends_with(collation, "_bin") || contains(collation, "cp932"))
			return COMPARE_SERVER;
		if (type == COL_CHAR)
			return COMPARE_PAD;
		return contains(collation, "_0900_") || contains(collation, "_nopad_") ? COMPARE_BYTES
										       : COMPARE_PAD;
	case COL_FLOAT:
	case COL_DOUBLE:
	case COL_ENUM:
	case COL_SET:
	case COL_JSON:
	case COL_UUID:
	case COL_INET4:
	case COL_INET6:
	case COL_OTHER:
		return COMPARE_SERVER;
	default:
		return COMPARE_BYTES;
	}
}

/*
 * Without a default MariaDB says NULL as a word, MySQL as NULL. Literals are quoted on MariaDB; on MySQL expressions
 * are told by EXTRA, but CURRENT_TIMESTAMP of a temporal column before 8.0: there it could be nothing else.
 */
static void set_default(struct column *c, const struct span *v, bool mariadb)
{
	bool temporal = c->type == COL_DATETIME || c->type == COL_TIMESTAMP;

	c->has_default = v[C_DEFAULT].p && !(mariadb && span_is(v[C_DEFAULT], "NULL"));
	c->default_now = c->has_default && is_now(v[C_DEFAULT]) &&
	    (mariadb || temporal || contains(v[C_EXTRA], "DEFAULT_GENERATED"));
	c->default_of_row = c->has_default && memchr(v[C_DEFAULT].p, '`', v[C_DEFAULT].n);
	if (contains(v[C_EXTRA], "on update"))
		c->default_now = true;
	c->auto_increment = contains(v[C_EXTRA], "auto_increment");
	/* "STORED GENERATED", "VIRTUAL GENERATED"; not DEFAULT_GENERATED */
	c->generated = ends_with(v[C_EXTRA], " GENERATED") || contains(v[C_EXTRA], " GENERATED ") ||
	    contains(v[C_EXTRA], " GENERATED,");
}

struct loading {
	struct table *t;
	bool mariadb;
	struct span type, engine;
};

static int add_column(void *ctx, const struct span *v, size_t columns)
{
	struct loading *l = ctx;
	struct table *t = l->t;
	struct column *c;
	int bits = 0;

	free(t->name); /* as the server spells it */
	t->name = xstrndup(v[C_TABLE].p, v[C_TABLE].n);
	t->column = xrealloc(t->column, (t->columns + 1) * sizeof(*t->column));
	c = &t->column[t->columns];
	memset(c, 0, sizeof(*c));
	c->at = t->columns++;
	c->name = xstrndup(v[C_NAME].p, v[C_NAME].n);
	c->name_len = v[C_NAME].n;
	c->type = COL_OTHER;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (span_is(v[C_DATA_TYPE], types[i].name)) {
			c->type = types[i].type;
			bits = types[i].bits;
		}
	}
	c->is_unsigned = v[C_PRECISION].p && contains(v[C_COLUMN_TYPE], " unsigned");
	c->nullable = span_is(v[C_NULLABLE], "YES");
	c->json = c->type == COL_JSON;
	c->precision = (int)number(v[C_PRECISION], 0);
	c->scale = (int)number(v[C_FRACTION], number(v[C_SCALE], -1));
	c->key_at = -1;
	set_limits(c, v);
	set_range(c, bits);
	set_default(c, v, l->mariadb);
	if (c->type == COL_ENUM || c->type == COL_SET)
		parse_values(c, v[C_COLUMN_TYPE]);
	c->compare = compare_of(c->type, v[C_COLLATION]);
	return 0;
}

/* ---- queries ---- */

static int select_rows(struct db *db, const struct buf *sql,
    int (*row)(void *, const struct span *, size_t), void *ctx)
{
	return db_must(db, db_select(db, sql->data, sql->len, row, ctx), "reading information_schema");
}

/* One statement of information_schema about the table; {db} and {table} are put in as texts. */
static int ask(struct db *db, struct buf *sql, const char *query, const char *table,
    int (*row)(void *, const struct span *, size_t), void *ctx)
{
	const char *database = db_database(db), *brace;

	buf_clear(sql);
	for (; (brace = strchr(query, '{')) != NULL; query = strchr(brace, '}') + 1) {
		const char *name = brace[1] == 'd' ? database : table;

		buf_add(sql, query, (size_t)(brace - query));
		db_quote_text(sql, name, strlen(name));
	}
	buf_add_str(sql, query);
	return select_rows(db, sql, row, ctx);
}

/* Aliases: MySQL 8 names the columns in capitals, whatever was written. */
#define COLUMNS_QUERY                                                                                  \
	"SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, " \
	"CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, "         \
	"DATETIME_PRECISION, CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLUMNS "      \
	"WHERE TABLE_SCHEMA = {db} AND TABLE_NAME = {table} ORDER BY ORDINAL_POSITION"

#define TABLE_QUERY                                                                                 \
	"SELECT t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t LEFT JOIN " \
	"information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = {db} AND "      \
	"t.TABLE_NAME = {table}"

#define KEYS_QUERY                                                                                 \
	"SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE "       \
	"TABLE_SCHEMA = {db} AND TABLE_NAME = {table} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, "    \
	"SEQ_IN_INDEX"

/*
 * References. MariaDB shows REFERENTIAL_CONSTRAINTS and CHECK_CONSTRAINTS only to users with a right to the whole
 * database, but KEY_COLUMN_USAGE and SHOW CREATE TABLE to those with any right to the table. MySQL shows all of them,
 * and is slow with KEY_COLUMN_USAGE.
 */
#define PARENTS_QUERY                                                                              \
	"SELECT UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME FROM "                             \
	"information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {db} AND TABLE_NAME = {table}"

#define PARENTS_QUERY_MARIADB                                                                         \
	"SELECT REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME FROM "                                 \
	"information_schema.KEY_COLUMN_USAGE WHERE CONSTRAINT_SCHEMA = {db} AND TABLE_SCHEMA = {db} " \
	"AND TABLE_NAME = {table} AND REFERENCED_TABLE_NAME IS NOT NULL AND ORDINAL_POSITION = 1"

#define CHILDREN_QUERY                                                                             \
	"SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM "                              \
	"information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = {db} AND "    \
	"REFERENCED_TABLE_NAME = {table}"

#define CHILDREN_QUERY_MARIADB                                                                     \
	"SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM "                              \
	"information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_SCHEMA = {db} AND "            \
	"REFERENCED_TABLE_NAME = {table} AND ORDINAL_POSITION = 1"

static int see_table(void *ctx, const struct span *v, size_t columns)
{
	struct table *t = ctx;

	/* A system-versioned table is one that keeps its old rows; rows are written as to any other. */
	if (!span_is(v[0], "BASE TABLE") && !span_is(v[0], "SYSTEM VERSIONED"))
		return fail(EXIT_CONFIG, "table %s is a %.*s", t->name, (int)v[0].n, v[0].p);
	if (!span_is(v[2], "YES"))
		return fail(EXIT_CONFIG, "table %s: engine %.*s has no transactions", t->name,
		    v[1].p ? (int)v[1].n : 7, v[1].p ? v[1].p : "unknown");
	return 0;
}

static int see_key(void *ctx, const struct span *v, size_t columns)
{
	struct table *t = ctx;
	struct column *c;

	if (!span_is(v[0], "PRIMARY")) {
		t->other_unique = true;
		return 0;
	}
	c = table_column(t, v[1]);
	if (!c)
		return fail(EXIT_CONFIG, "table %s: no right to see all of its primary key", t->name);
	if (v[2].p)
		return fail(EXIT_CONFIG,
		    "table %s: its primary key has only the beginning of column %s", t->name, c->name);
	c->key_at = (int)t->keys;
	t->key = xrealloc(t->key, (t->keys + 1) * sizeof(*t->key));
	t->key[t->keys++] = c;
	return 0;
}

struct references {
	struct table *t;
	const char *database;
	size_t children;
	struct buf harmless; /* a query: how many of them do not cascade */
};

static int see_parent(void *ctx, const struct span *v, size_t columns)
{
	struct references *r = ctx;
	struct table *t = r->t;

	if (!span_is(v[0], r->database) || !v[1].p)
		return 0;
	if (span_is(v[1], t->name)) {
		t->refers_to_itself = true;
		return 0;
	}
	t->parent = xrealloc(t->parent, (t->parents + 1) * sizeof(*t->parent));
	t->parent[t->parents++] = xstrndup(v[1].p, v[1].n);
	return 0;
}

static int see_child(void *ctx, const struct span *v, size_t columns)
{
	struct references *r = ctx;

	buf_add_str(&r->harmless,
	    r->children++ > 0 ? " OR (CONSTRAINT_SCHEMA = " : "(CONSTRAINT_SCHEMA = ");
	db_quote_text(&r->harmless, v[0].p, v[0].n);
	buf_add_str(&r->harmless, " AND TABLE_NAME = ");
	db_quote_text(&r->harmless, v[1].p, v[1].n);
	buf_add_str(&r->harmless, " AND CONSTRAINT_NAME = ");
	db_quote_text(&r->harmless, v[2].p, v[2].n);
	buf_add_char(&r->harmless, ')');
	return 0;
}

/* A reference whose rule this user may not see may cascade. */
static int see_harmless(void *ctx, const struct span *v, size_t columns)
{
	struct references *r = ctx;

	r->t->cascades = number(v[0], 0) < (int64_t)r->children;
	return 0;
}

static int load_references(struct db *db, struct table *t, struct buf *sql)
{
	struct references r = { .t = t, .database = db_database(db) };
	bool mariadb = db_mariadb(db);
	int result;

	buf_add_str(&r.harmless,
	    "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS "
	    "WHERE DELETE_RULE IN ('RESTRICT', 'NO ACTION') AND (");
	result = ask(db, sql, mariadb ? PARENTS_QUERY_MARIADB : PARENTS_QUERY, t->name, see_parent, &r);
	if (result == 0)
		result = ask(db, sql, mariadb ? CHILDREN_QUERY_MARIADB : CHILDREN_QUERY, t->name,
		    see_child, &r);
	buf_add_char(&r.harmless, ')');
	if (result == 0 && r.children > 0)
		result = select_rows(db, &r.harmless, see_harmless, &r);
	buf_release(&r.harmless);
	return result;
}

/* MariaDB's JSON is a LONGTEXT with such a CHECK; on MySQL too a text with one wants JSON. */
static int see_checks(void *ctx, const struct span *v, size_t columns)
{
	struct table *t = ctx;
	struct buf check = BUF_INIT;

	for (unsigned i = 0; i < t->columns; i++) {
		struct column *c = &t->column[i];

		buf_clear(&check);
		buf_add_str(&check, "CHECK (json_valid(");
		db_quote_name(&check, c->name, c->name_len);
		buf_add_str(&check, "))");
		if (c->type == COL_TEXT && contains(v[1], buf_cstr(&check)))
			c->json = true;
	}
	buf_release(&check);
	return 0;
}

/* With rights to some columns only it is not shown; then a JSON column is a text like others. */
static int load_checks(struct db *db, struct table *t, struct buf *sql)
{
	enum db_result r;
	bool texts = false;

	for (unsigned i = 0; i < t->columns; i++)
		texts |= t->column[i].type == COL_TEXT;
	if (!texts)
		return 0;
	buf_clear(sql);
	buf_add_str(sql, "SHOW CREATE TABLE ");
	db_quote_name(sql, t->name, strlen(t->name));
	r = db_select(db, sql->data, sql->len, see_checks, t);
	if (r == DB_FAIL && fail_code() == EXIT_PERM)
		return 0;
	return db_must(db, r, "SHOW CREATE TABLE");
}

static int load(struct db *db, struct table *t, const char *name, bool any_unique, struct buf *sql)
{
	struct loading l = { .t = t, .mariadb = db_mariadb(db) };

	if (ask(db, sql, COLUMNS_QUERY, name, add_column, &l) < 0)
		return -1;
	if (t->columns == 0)
		return fail(EXIT_CONFIG, "no table %s in database %s, or no right to see it", name,
		    db_database(db));
	if (ask(db, sql, TABLE_QUERY, t->name, see_table, t) < 0 ||
	    ask(db, sql, KEYS_QUERY, t->name, see_key, t) < 0)
		return -1;
	if (t->keys == 0)
		return fail(EXIT_CONFIG, "table %s has no primary key", t->name);
	if (t->other_unique && !any_unique)
		return fail(EXIT_CONFIG,
		    "table %s has another unique key: an upsert may change "
		    "another row than the record's (--any-unique)",
		    t->name);
	if (load_references(db, t, sql) < 0)
		return -1;
	return load_checks(db, t, sql);
}

struct table *table_load(struct db *db, const char *name, bool any_unique)
{
	struct table *t = xcalloc(1, sizeof(*t));
	struct buf sql = BUF_INIT;
	int result;

	t->name = xstrdup(name);
	result = load(db, t, name, any_unique, &sql);
	buf_release(&sql);
	if (result == 0)
		return t;
	table_free(t);
	return NULL;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->columns; i++) {
		for (size_t k = 0; k < t->column[i].values; k++)
			free(t->column[i].value[k]);
		free(t->column[i].value);
		free(t->column[i].name);
	}
	for (size_t i = 0; i < t->parents; i++)
		free(t->parent[i]);
	free(t->parent);
	free(t->column);
	free(t->key);
	free(t->name);
	free(t);
}

/* ---- names and order ---- */

struct column *table_column(const struct table *t, struct span name)
{
	for (unsigned i = 0; i < t->columns; i++)
		if (span_eq(name, (struct span){ t->column[i].name, t->column[i].name_len }))
			return &t->column[i];
	for (unsigned i = 0; i < t->columns; i++)
		if (t->column[i].name_len == name.n &&
		    strncasecmp(t->column[i].name, name.p, name.n) == 0)
			return &t->column[i];
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct table *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Whether one of table[0..n) is a parent of t. */
static bool waits(const struct table *t, struct table *const *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t p = 0; p < t->parents; p++)
			if (strcmp(t->parent[p], table[i]->name) == 0)
				return true;
	return false;
}

/* A cycle has no order that is right: its first by name breaks it. */
void table_order(struct table **table, size_t n)
{
	if (n > 1)
		qsort(table, n, sizeof(*table), by_name);
	for (; n > 1; table++, n--) {
		struct table *first;
		size_t i = 0;

		while (i < n && waits(table[i], table, n))
			i++;
		i = i < n ? i : 0;
		first = table[i];
		memmove(table + 1, table, i * sizeof(*table));
		table[0] = first;
	}
}
