#include "rejects.h"

#include "log.h"
#include "warehouse.h"

#include <inttypes.h>

#define STATEMENT_REST 8192 /* bytes of a statement that are not the line */
#define REASON_MAX     900  /* bytes; the column takes 1000 characters */
#define TOMBSTONES     1000 /* of one statement; one each costs MySQL 1 ms */

/* What a tombstone and the records that it deletes have in common. False: a bare object, or no key. */
static bool hash_key(const struct line *l, uint64_t *hash)
{
	struct buf scratch = BUF_INIT, id = BUF_INIT;
	struct key_window window;
	struct span key;
	bool has = l->kind == LINE_RECORD && stream_key_bytes(l, &scratch, &key) > 0;

	if (has) {
		buf_add_span(&id, l->topic);
		buf_addf(&id, "/%" PRId32, l->partition);
		if (stream_window(l, &window) > 0)
			buf_addf(&id, " %" PRId64 " %" PRId64, window.start, window.end);
		buf_add_char(&id, '\0');
		buf_add_span(&id, key);
		*hash = span_hash(buf_span(&id));
	}
	buf_release(&scratch);
	buf_release(&id);
	return has;
}

static void add_text(struct buf *sql, const char *text)
{
	if (text)
		db_quote_text(sql, text, strlen(text));
	else
		buf_add_str(sql, "NULL");
}

/* What is said of it may have been cut in the middle of a character, which the server would not take. */
static void add_reason(struct buf *to, const char *why)
{
	size_t n = strnlen(why, REASON_MAX), cut = 0;

	while (cut < 4 && cut < n && !utf8_valid(why, n - cut))
		cut++;
	if (utf8_valid(why, n - cut)) {
		buf_add(to, why, n - cut);
		return;
	}
	for (size_t i = 0; i < n; i++)
		buf_add_char(to, (unsigned char)why[i] < 0x80 ? why[i] : '?');
}

enum db_result rejects_add(struct db *db, const char *name, struct stream *stream,
    const struct window *w, size_t i, const struct reject *why)
{
	const struct window_record *r = window_record(w, i);
	struct span line = window_line(w, i);
	struct buf sql = BUF_INIT, quoted = BUF_INIT, reason = BUF_INIT;
	enum db_result result;
	struct line l;
	uint64_t hash;

	buf_add_str(&sql,
	    "INSERT INTO sluice_rejects (name, topic, part, off, col, reason, key_hash, line) VALUES (");
	add_text(&sql, name);
	buf_add_char(&sql, ',');
	add_text(&sql, r->place ? r->place->topic : NULL);
	if (r->place)
		buf_addf(&sql, ",%" PRId32 ",%" PRId64 ",", r->place->partition, r->offset);
	else
		buf_add_str(&sql, ",NULL,NULL,");
	add_text(&sql, why->column);
	db_quote_text(&quoted, line.p, line.n);
	if (why->table)
		buf_addf(&reason, "%s: ", why->table);
	add_reason(&reason, why->why);
	if (sql.len + quoted.len + STATEMENT_REST > db_max_packet(db)) {
		buf_addf(&reason, " (a line of %zu bytes, too large to keep)", line.n);
		buf_clear(&quoted);
		buf_add_str(&quoted, "NULL");
	}
	buf_add_char(&sql, ',');
	db_quote_text(&sql, reason.data, reason.len);
	buf_add_char(&sql, ',');
	if (stream_parse(stream, line, &l) == 0 && hash_key(&l, &hash))
		buf_addf(&sql, "%" PRIu64, hash);
	else
		buf_add_str(&sql, "NULL");
	buf_add_char(&sql, ',');
	buf_add_span(&sql, buf_span(&quoted));
	buf_add_char(&sql, ')');
	result = db_run(db, sql.data, sql.len, NULL);
	buf_release(&sql);
	buf_release(&quoted);
	buf_release(&reason);
	return result;
}

/* Of two tombstones of a key the later one counts: the first case that fits is taken. */
static enum db_result supersede(struct db *db, const char *name, struct stream *stream,
    const struct span *line, size_t n)
{
	struct buf sql = BUF_INIT, cases = BUF_INIT;
	enum db_result result = DB_OK;
	struct line l;
	uint64_t hash;

	buf_add_str(&sql, "UPDATE sluice_rejects SET superseded = TRUE WHERE name = ");
	add_text(&sql, name);
	buf_add_str(&sql, " AND key_hash IN (");
	while (n-- > 0) {
		if (stream_parse(stream, line[n], &l) < 0 || !hash_key(&l, &hash))
			continue;
		buf_addf(&sql, "%s%" PRIu64, cases.len > 0 ? "," : "", hash);
		buf_addf(&cases, " WHEN %" PRIu64 " THEN %" PRId64, hash, l.offset);
	}
	buf_add_str(&sql, ") AND off < CASE key_hash");
	buf_add_span(&sql, buf_span(&cases));
	buf_add_str(&sql, " END");
	if (cases.len > 0)
		result = db_run(db, sql.data, sql.len, NULL);
	buf_release(&sql);
	buf_release(&cases);
	return result;
}

enum db_result rejects_supersede(struct db *db, const char *name, struct stream *stream,
    const struct span *line, size_t n)
{
	enum db_result r = DB_OK;

	for (size_t i = 0; i < n && r == DB_OK; i += TOMBSTONES)
		r = supersede(db, name, stream, line + i, n - i < TOMBSTONES ? n - i : TOMBSTONES);
	return r;
}

/* ---- reading ---- */

static enum db_result select_rejects(struct db *db, const char *name, const char *columns,
    const char *rest, int (*row)(void *ctx, const struct span *value, size_t columns), void *ctx)
{
	struct buf sql = BUF_INIT;
	enum db_result r;

	buf_addf(&sql, "SELECT %s FROM sluice_rejects WHERE superseded = FALSE AND name = ", columns);
	db_quote_text(&sql, name, strlen(name));
	buf_add_str(&sql, rest);
	r = db_select(db, sql.data, sql.len, row, ctx);
	buf_release(&sql);
	return r;
}

enum db_result rejects_select(struct db *db, const char *name, const char *columns,
    int (*row)(void *ctx, const struct span *value, size_t columns), void *ctx)
{
	return select_rejects(db, name, columns, " ORDER BY topic, part, off, id", row, ctx);
}

int rejects_any(struct db *db, const char *name)
{
	int there = warehouse_has(db, "sluice_rejects"), n = 0;

	if (there <= 0)
		return there;
	if (db_must(db, select_rejects(db, name, "1", " LIMIT 1", db_count_row, &n),
		"sluice_rejects") < 0)
		return -1;
	return n > 0;
}

/* Of a line that was too large, what is known of it: its payload is no object, so nobody takes it for a row. */
static void add_place(struct buf *to, const struct span *v)
{
	if (!v[0].p)
		return;
	buf_add_str(to, "\"topic\":");
	json_escape(to, v[0].p, v[0].n);
	buf_addf(to, ",\"partition\":%.*s,\"offset\":%.*s,\"payload\":null,", (int)v[1].n, v[1].p,
	    (int)v[2].n, v[2].p);
}

/* The members of an object, with a comma behind the last. */
static void add_members(struct buf *to, struct span object)
{
	const char *p = object.p + 1, *end = object.p + object.n - 1;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end)
		return;
	buf_add(to, p, (size_t)(end - p));
	buf_add_char(to, ',');
}

/* One of --rejects: the record as it came, with what was wrong. */
static int print_row(void *ctx, const struct span *v, size_t columns)
{
	struct writer *out = ctx;
	struct buf *to = &out->buf;
	struct span line = v[5];

	(void)columns;
	buf_add_char(to, '{');
	if (line.p && line.n >= 2)
		add_members(to, line);
	else
		add_place(to, v);
	buf_add_str(to, "\"error\":{\"column\":");
	if (v[3].p)
		json_escape(to, v[3].p, v[3].n);
	else
		buf_add_str(to, "null");
	buf_add_str(to, ",\"reason\":");
	json_escape(to, v[4].p, v[4].n);
	buf_add_str(to, "}}\n");
	return writer_check(out);
}

int rejects_print(struct db *db, const char *name, struct writer *out)
{
	int there = warehouse_has(db, "sluice_rejects");

	if (there <= 0)
		return there;
	return db_must(db,
	    rejects_select(db, name, "topic, part, off, col, reason, line", print_row, out),
	    "sluice_rejects");
}
