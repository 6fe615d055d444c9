#include "rejects.h"

#include "log.h"
#include "upsert.h"
#include "warehouse.h"

#include <inttypes.h>
#include <stdlib.h>

#define STATEMENT_REST 4096 /* bytes of a statement that are not the line */

static bool parse_key(struct stream *stream, struct span line, struct buf *scratch, struct span *key)
{
	struct line l;

	return stream_parse(stream, line, &l) == 0 && l.kind == LINE_RECORD &&
	    stream_key_bytes(&l, scratch, key) > 0;
}

/* The hash of a record's key, as SQL. A bare object and a null key have none. */
static void add_key_hash(struct buf *sql, struct stream *stream, struct span line)
{
	struct buf scratch = BUF_INIT;
	struct span key;

	if (parse_key(stream, line, &scratch, &key))
		buf_addf(sql, "%" PRIu64, span_hash(key));
	else
		buf_add_str(sql, "NULL");
	buf_release(&scratch);
}

static void add_text(struct buf *sql, const char *text)
{
	if (text)
		db_quote_text(sql, text, strlen(text));
	else
		buf_add_str(sql, "NULL");
}

enum db_result rejects_add(struct db *db, const char *name, struct stream *stream,
    const struct window *w, size_t i, const struct reject *why)
{
	const struct window_record *r = window_record(w, i);
	struct span line = window_line(w, i);
	struct buf sql = BUF_INIT, quoted = BUF_INIT, reason = BUF_INIT;
	enum db_result result;

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
	buf_addf(&reason, "%.*s", 900, why->why);
	if (sql.len + quoted.len + STATEMENT_REST > db_max_packet(db)) {
		buf_addf(&reason, " (a line of %zu bytes, too large to keep)", line.n);
		buf_clear(&quoted);
		buf_add_str(&quoted, "NULL");
	}
	buf_add_char(&sql, ',');
	db_quote_text(&sql, reason.data, reason.len);
	buf_add_char(&sql, ',');
	add_key_hash(&sql, stream, line);
	buf_add_char(&sql, ',');
	buf_add_span(&sql, buf_span(&quoted));
	buf_add_char(&sql, ')');
	result = db_run(db, sql.data, sql.len, NULL);
	buf_release(&sql);
	buf_release(&quoted);
	buf_release(&reason);
	return result;
}

enum db_result rejects_supersede(struct db *db, const char *name, struct stream *stream,
    const struct window *w, size_t i)
{
	const struct window_record *r = window_record(w, i);
	struct buf sql = BUF_INIT;
	enum db_result result;

	buf_add_str(&sql, "UPDATE sluice_rejects SET superseded = TRUE WHERE name = ");
	add_text(&sql, name);
	buf_add_str(&sql, " AND topic = ");
	add_text(&sql, r->place->topic);
	buf_add_str(&sql, " AND key_hash = ");
	add_key_hash(&sql, stream, window_line(w, i));
	buf_addf(&sql, " AND part = %" PRId32 " AND off < %" PRId64, r->place->partition, r->offset);
	result = db_run(db, sql.data, sql.len, NULL);
	buf_release(&sql);
	return result;
}

/* ---- reading ---- */

static int count_row(void *ctx, const struct span *value, size_t columns)
{
	(void)value, (void)columns;
	++*(int *)ctx;
	return 0;
}

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

int rejects_any(struct db *db, const char *name)
{
	int there = warehouse_has(db, "sluice_rejects"), n = 0;

	if (there <= 0)
		return there;
	if (db_must(db, select_rejects(db, name, "1", " LIMIT 1", count_row, &n), "sluice_rejects") < 0)
		return -1;
	return n > 0;
}

/* One of --rejects: the record as it came, with what was wrong; without its line, what is known of it. */
static int print_row(void *ctx, const struct span *v, size_t columns)
{
	struct writer *out = ctx;
	struct buf *to = &out->buf;
	struct span line = v[5];

	(void)columns;
	if (line.p && line.n > 2 && line.p[0] == '{') {
		buf_add(to, line.p, line.n - 1);
	} else {
		buf_add_str(to, "{\"topic\":");
		json_escape(to, v[0].p, v[0].n);
		buf_addf(to, ",\"partition\":%.*s,\"offset\":%.*s", (int)v[1].n, v[1].p,
		    (int)v[2].n, v[2].p);
	}
	buf_add_str(to, ",\"error\":{\"column\":");
	if (v[3].p)
		json_escape(to, v[3].p, v[3].n);
	else
		buf_add_str(to, "null");
	buf_add_str(to, ",\"reason\":");
	json_escape(to, v[4].p, v[4].n);
	buf_add_str(to, "}}\n");
	return to->len < 65536 ? 0 : writer_flush(out);
}

#define IN_ORDER " ORDER BY topic, part, off, id"

int rejects_print(struct db *db, const char *name, struct writer *out)
{
	int there = warehouse_has(db, "sluice_rejects");

	if (there <= 0)
		return there;
	return db_must(db,
	    select_rejects(db, name, "topic, part, off, col, reason, line", IN_ORDER, print_row, out),
	    "sluice_rejects");
}

/* ---- replay ---- */

struct replay {
	struct db *db;
	const char *name;
	const struct mapping *mapping;
	struct rows *rows;
	struct row *row;
	struct buf sql, key;
	bool force, wrote;
	struct replay_counts *counts;
	char **id; /* what is there to do: read first, a connection does one thing at a time */
	struct buf *line; /* data NULL: it was too large to keep */
	size_t count, cap;
};

static int collect_row(void *ctx, const struct span *v, size_t columns)
{
	struct replay *p = ctx;

	(void)columns;
	if (p->count == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->id = xrealloc(p->id, p->cap * sizeof(char *));
		p->line = xrealloc(p->line, p->cap * sizeof(*p->line));
	}
	p->id[p->count] = xstrndup(v[0].p, v[0].n);
	p->line[p->count] = (struct buf){ 0 };
	buf_add(&p->line[p->count++], v[1].p, v[1].n);
	return 0;
}

static enum db_result lock_positions(struct replay *p)
{
	int n = 0;

	buf_clear(&p->sql);
	buf_add_str(&p->sql, "SELECT 1 FROM sluice_positions WHERE name = ");
	db_quote_text(&p->sql, p->name, strlen(p->name));
	buf_add_str(&p->sql, " ORDER BY name, topic, part FOR UPDATE");
	return db_select(p->db, p->sql.data, p->sql.len, count_row, &n);
}

/* The literals of the primary key, of a row of either kind. */
static struct span key_literals(struct replay *p, const struct target *t, const struct row *row)
{
	if (row->kind == ROW_DELETE)
		return row->values;
	buf_clear(&p->key);
	for (unsigned k = 0; k < t->table->keys; k++) {
		for (unsigned i = 0; i < row->columns->count; i++) {
			if (row->columns->at[i] != t->table->key[k]->at)
				continue;
			if (k > 0)
				buf_add_char(&p->key, ',');
			buf_add_span(&p->key, row_literal(row->values.p, row->ends, i));
		}
	}
	return buf_span(&p->key);
}

static enum db_result is_there(struct replay *p, const struct target *t, const struct row *row,
    bool *there)
{
	struct span key = key_literals(p, t, row);
	struct window_run run = { .target = t, .kind = ROW_DELETE, .values = &key, .count = 1 };
	struct upsert_form form = { .bytes = db_max_packet(p->db), .select = true };
	enum db_result r;
	int n = 0;

	if (row->key.n == 0 || upsert_statement(&p->sql, &run, 0, &form) == 0)
		return DB_OK;
	r = db_select(p->db, p->sql.data, p->sql.len, count_row, &n);
	*there = n > 0;
	return r;
}

/* A row whose key is there stays, unless force; then a tombstone has to wait for the user, who knows which is newer. */
static enum db_result replay_row(struct replay *p, const struct target *t, const struct row *row)
{
	struct window_run run = { t, row->kind, row->columns, &row->values, 1 };
	struct upsert_form form = { .bytes = db_max_packet(p->db), .alias = db_row_alias(p->db) };
	bool there = false;
	enum db_result r = p->force || row->kind == ROW_NONE ? DB_OK : is_there(p, t, row, &there);

	if (r != DB_OK || row->kind == ROW_NONE)
		return r;
	if (there)
		return row->kind == ROW_DELETE ? DB_REJECT : DB_OK;
	if (upsert_statement(&p->sql, &run, 0, &form) == 0)
		return DB_REJECT;
	r = db_run(p->db, p->sql.data, p->sql.len, NULL);
	p->wrote |= r == DB_OK;
	return r;
}

/* Parents first, but when they are deleted. */
static enum db_result replay_rows(struct replay *p)
{
	size_t n = p->mapping->targets;
	enum db_result r = DB_OK;

	for (size_t i = 0; i < n && r == DB_OK; i++)
		if (p->row[i].kind == ROW_UPSERT)
			r = replay_row(p, &p->mapping->target[i], &p->row[i]);
	for (size_t i = n; i > 0 && r == DB_OK; i--)
		if (p->row[i - 1].kind == ROW_DELETE)
			r = replay_row(p, &p->mapping->target[i - 1], &p->row[i - 1]);
	return r;
}

static enum db_result forget(struct replay *p, size_t i)
{
	return db_runf(p->db, "DELETE FROM sluice_rejects WHERE id = %s", p->id[i]);
}

/* DB_REJECT: it still does not fit. */
static enum db_result replay_line(struct replay *p, struct span line)
{
	struct row_problem problem;
	struct line l;
	enum db_result r = db_runf(p->db, "SAVEPOINT sluice");

	if (r != DB_OK)
		return r;
	p->wrote = false;
	if (!line.p || stream_parse(rows_stream(p->rows), line, &l) < 0 ||
	    rows_convert(p->rows, &l, p->row, &problem) < 0)
		return DB_REJECT;
	r = replay_rows(p);
	if (r != DB_REJECT)
		return r;
	r = db_runf(p->db, "ROLLBACK TO SAVEPOINT sluice");
	return r == DB_OK ? DB_REJECT : r;
}

static enum db_result replay_all(struct replay *p)
{
	enum db_result r = DB_OK;

	for (size_t i = 0; i < p->count && r == DB_OK; i++) {
		r = replay_line(p, buf_span(&p->line[i]));
		if (r == DB_REJECT) {
			p->counts->kept++;
			r = DB_OK;
		} else if (r == DB_OK) {
			*(p->wrote ? &p->counts->applied : &p->counts->passed) += 1;
			r = forget(p, i);
		}
	}
	return r;
}

static enum db_result replay_transaction(struct replay *p)
{
	enum db_result r = db_runf(p->db, "START TRANSACTION");

	if (r == DB_OK)
		r = lock_positions(p);
	if (r == DB_OK)
		r = select_rejects(p->db, p->name, "id, line", IN_ORDER, collect_row, p);
	if (r == DB_OK)
		r = replay_all(p);
	return r == DB_OK ? db_runf(p->db, "COMMIT") : r;
}

int rejects_replay(struct db *db, const char *name, const struct mapping *m, bool partial,
    bool force, struct replay_counts *counts)
{
	struct replay p = { .db = db, .name = name, .force = force, .counts = counts };
	int r = warehouse_has(db, "sluice_rejects");

	*counts = (struct replay_counts){ 0 };
	if (r <= 0)
		return r;
	p.rows = rows_new(m, &(struct rows_options){ .partial = partial, .quiet = true });
	p.row = xcalloc(m->targets, sizeof(*p.row));
	r = db_must(db, replay_transaction(&p), "replay");
	if (r < 0)
		*counts = (struct replay_counts){ 0 }; /* the connection ends, and with it the transaction */
	for (size_t i = 0; i < p.count; i++) {
		free(p.id[i]);
		free(p.line[i].data);
	}
	free(p.id);
	free(p.line);
	free(p.row);
	rows_free(p.rows);
	buf_release(&p.sql);
	buf_release(&p.key);
	return r;
}
