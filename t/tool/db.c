/*
 * db [OPTION]... COMMAND [ARG]...: lib/db and lib/table, for t/db.t. Commands, one after the other:
 *	about              server, version, longest statement, database
 *	run SQL            "ok N", or "lost|retry|reject|fail NUMBER MESSAGE (CODE)"
 *	select SQL         its rows, tab-separated, NULL as \N; then as run. stop SQL: ends after the first row
 *	must SQL           ends the program when it does not succeed
 *	long N             a statement of N bytes
 *	quote              whether text and bytes come back as they were
 *	big N              a result of N MB in rows of one; by how many MB the process grew
 *	reconnect          "again", or "away: MESSAGE (CODE)"
 *	wait               for a line on stdin
 *	table NAME         what table_load says of it; any NAME: with any_unique
 *	order NAME,NAME..  in which they are written
 */
#include "db.h"
#include "log.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct db_config config = { .timeout_ms = 30000 };
static const struct opt options[] = { DB_OPTIONS(config) };
static const struct opt_tool tool = {
	.name = "db",
	.usage = "[OPTION]... COMMAND [ARG]...",
	.about = "Tries lib/db.",
	.options = options,
	.count = OPT_COUNT(options),
	.host_letter = true,
};

static bool stop;

static int print_row(void *ctx, const struct span *v, size_t columns)
{
	for (size_t i = 0; i < columns; i++) {
		printf("%s", i > 0 ? "\t" : "");
		if (v[i].p)
			fwrite(v[i].p, 1, v[i].n, stdout);
		else
			printf("\\N");
	}
	printf("\n");
	return stop ? fail(EXIT_DATA, "stopped") : 0;
}

static void print_result(struct db *db, enum db_result r, uint64_t matched)
{
	static const char *const names[] = { "ok", "lost", "retry", "reject", "fail" };

	if (r == DB_OK)
		printf("ok %llu\n", (unsigned long long)matched);
	else
		printf("%s %u %s (%d)\n", names[r], db_errno(db),
		    r == DB_FAIL ? fail_message() : db_error(db), r == DB_FAIL ? (int)fail_code() : 0);
}

static void print_column(const struct table *t, const struct column *c)
{
	static const char *const types[] = { "INT", "DECIMAL", "FLOAT", "DOUBLE", "BIT", "CHAR",
		"TEXT", "BINARY", "VARBINARY", "DATE", "TIME", "DATETIME", "TIMESTAMP", "YEAR",
		"ENUM", "SET", "JSON", "UUID", "INET4", "INET6", "OTHER" };
	static const char *const compares[] = { "bytes", "pad", "server" };

	printf("  %s %s", c->name, types[c->type]);
	if (c->type == COL_INT)
		printf(" %lld..%llu", (long long)c->min, (unsigned long long)c->max);
	if (c->type == COL_BIT)
		printf(" ..%llu", (unsigned long long)c->max);
	if (c->type == COL_DECIMAL)
		printf(" %d,%d", c->precision, c->scale);
	if (c->type == COL_TIME || c->type == COL_DATETIME || c->type == COL_TIMESTAMP)
		printf(" %d", c->scale);
	if (c->chars >= 0)
		printf(" chars=%lld", (long long)c->chars);
	if (c->octets >= 0)
		printf(" octets=%lld", (long long)c->octets);
	for (size_t i = 0; i < c->values; i++)
		printf(" <%s>", c->value[i]);
	printf("%s%s%s%s%s%s%s %s", c->is_unsigned ? " unsigned" : "", c->nullable ? " null" : "",
	    c->json ? " json" : "", c->has_default ? " default" : "", c->default_now ? " now" : "",
	    c->generated ? " generated" : "", c->auto_increment ? " auto" : "", compares[c->compare]);
	if (c->key_at >= 0)
		printf(" key%d", c->key_at);
	printf("\n");
}

static int print_table(struct db *db, const char *name, bool any_unique)
{
	struct table *t = table_load(db, name, any_unique);

	if (!t) {
		printf("%s (%d)\n", fail_message(), (int)fail_code());
		return 0;
	}
	printf("%s%s%s%s:", t->name, t->cascades ? " cascades" : "",
	    t->refers_to_itself ? " itself" : "", t->other_unique ? " other-unique" : "");
	for (size_t i = 0; i < t->parents; i++)
		printf(" %s", t->parent[i]);
	printf("\n");
	for (unsigned i = 0; i < t->columns; i++)
		print_column(t, &t->column[i]);
	table_free(t);
	return 0;
}

static int print_order(struct db *db, const char *names)
{
	struct table *table[16];
	size_t n = 0;

	while (n < 16 && *names) {
		size_t length = strcspn(names, ",");
		char *name = xstrndup(names, length);

		table[n] = table_load(db, name, true);
		free(name);
		if (!table[n++])
			return -1;
		names += length + (names[length] == ',');
	}
	table_order(table, n);
	for (size_t i = 0; i < n; i++) {
		printf("%s%s", i ? " " : "", table[i]->name);
		table_free(table[i]);
	}
	printf("\n");
	return 0;
}

static void run_long(struct db *db, size_t n)
{
	static const char tail[] = "' = ''";
	char *sql = xmalloc(n);
	uint64_t matched = 0;
	enum db_result r;

	memset(sql, 'x', n);
	memcpy(sql, "DO '", 4);
	memcpy(sql + n - sizeof(tail) + 1, tail, sizeof(tail) - 1);
	r = db_run(db, sql, n, &matched);
	free(sql);
	print_result(db, r, matched);
}

static struct buf sent;

static int compare(void *ctx, const struct span *v, size_t columns)
{
	printf("%s\n", v[0].p && span_eq(v[0], buf_span(&sent)) ? "same" : "differs");
	return 0;
}

/* All ASCII characters, with what GBK and Latin-1 would take for others; then all bytes. */
static void run_quote(struct db *db)
{
	struct buf sql = BUF_INIT;

	for (int c = 0; c < 128; c++) {
		buf_add_str(&sent, "\xc3\xa9\xe5\xbc\xa7\xf0\x9f\x98\x80");
		buf_add_char(&sent, (char)c);
	}
	buf_add_str(&sql, "SELECT ");
	db_quote_text(&sql, sent.data, sent.len);
	print_result(db, db_select(db, sql.data, sql.len, compare, NULL), 0);
	buf_clear(&sql);
	buf_clear(&sent);
	for (int c = 0; c < 256; c++)
		buf_add_char(&sent, (char)c);
	buf_add_str(&sql, "SELECT ");
	db_quote_bytes(&sql, sent.data, sent.len);
	print_result(db, db_select(db, sql.data, sql.len, compare, NULL), 0);
	buf_release(&sql);
	buf_release(&sent);
}

static int count(void *ctx, const struct span *v, size_t columns)
{
	*(uint64_t *)ctx += v[0].n;
	return 0;
}

static long peak_kb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static void run_big(struct db *db, const char *n)
{
	long before = peak_kb();
	struct buf sql = BUF_INIT;
	enum db_result r;
	uint64_t bytes = 0;

	buf_addf(&sql,
	    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < %s) "
	    "SELECT REPEAT('x', 1000000) FROM r",
	    n);
	r = db_select(db, sql.data, sql.len, count, &bytes);
	print_result(db, r, bytes);
	printf("grew by %ld MB\n", (peak_kb() - before) / 1024);
	buf_release(&sql);
}

/* Returns how many arguments it took, or -1 after fail(). */
static int command(struct db *db, char **arg)
{
	const char *what = arg[0], *with = arg[1] ? arg[1] : "";
	uint64_t matched = 0;
	enum db_result r;
	int64_t n;

	stop = strcmp(what, "stop") == 0;
	if (strcmp(what, "about") == 0) {
		printf("%s %ld %zu %s %s\n", db_mariadb(db) ? "mariadb" : "mysql", db_version(db),
		    db_max_packet(db), db_database(db), db_row_alias(db) ? "alias" : "values");
		return 1;
	}
	if (strcmp(what, "reconnect") == 0) {
		if (db_reconnect(db) < 0)
			printf("away: %s (%d)\n", fail_message(), (int)fail_code());
		else
			printf("again\n");
		return 1;
	}
	if (strcmp(what, "wait") == 0)
		return getchar() == EOF ? fail(EXIT_DATA, "no line") : 1;
	if (strcmp(what, "quote") == 0) {
		run_quote(db);
		return 1;
	}
	if (strcmp(what, "run") == 0) {
		r = db_run(db, with, strlen(with), &matched);
		print_result(db, r, matched);
	} else if (strcmp(what, "select") == 0 || stop) {
		r = db_select(db, with, strlen(with), print_row, NULL);
		print_result(db, r, 0);
	} else if (strcmp(what, "must") == 0) {
		if (db_must(db, db_runf(db, "%s", with), "trying") < 0)
			return -1;
	} else if (strcmp(what, "long") == 0) {
		if (opt_int(with, 20, INT64_C(1) << 32, &n) < 0)
			return -1;
		run_long(db, (size_t)n);
	} else if (strcmp(what, "big") == 0) {
		run_big(db, with);
	} else if (strcmp(what, "table") == 0 || strcmp(what, "any") == 0) {
		print_table(db, with, strcmp(what, "any") == 0);
	} else if (strcmp(what, "order") == 0) {
		if (print_order(db, with) < 0)
			return -1;
	} else {
		return fail(EXIT_USAGE, "no command %s", what);
	}
	return 2;
}

int main(int argc, char **argv)
{
	struct db *db;
	int at, code, took;

	log_init("db");
	at = opt_parse(&tool, argc, argv, &code);
	if (at < 0)
		return code;
	db = db_open(&config);
	if (!db)
		return report();
	for (; at < argc; at += took) {
		took = command(db, argv + at);
		fflush(stdout);
		if (took < 0) {
			db_close(db);
			return report();
		}
	}
	db_close(db);
	return 0;
}
