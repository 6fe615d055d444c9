/*
 * The way back of what was rejected. A row that is there is newer than any reject of its key; but a row that a reject has
 * just made is not, so which keys are there is looked at for all of them before the first one is applied.
 *
 * REPEATABLE READ, so that the locks are also on rows that are not there yet: positions of partitions that a run meets
 * just now, and rows that records without a position would insert.
 */
#include "rejects.h"

#include "log.h"
#include "upsert.h"
#include "warehouse.h"

#include <stdlib.h>

struct kept {
	char *id;
	struct buf line; /* data NULL: it was too large to keep */
	bool *there;     /* for each target: the key has a row */
};

struct replay {
	struct db *db;
	const char *name;
	const struct mapping *mapping;
	struct rows *rows;
	struct row *row;
	struct buf sql, key;
	bool force, wrote;
	struct replay_counts *counts;
	struct kept *kept; /* read first: a connection does one thing at a time */
	size_t count, cap;
};

static int collect_row(void *ctx, const struct span *v, size_t columns)
{
	struct replay *p = ctx;
	struct kept *k;

	(void)columns;
	if (p->count == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->kept = xrealloc(p->kept, p->cap * sizeof(*p->kept));
	}
	k = &p->kept[p->count++];
	*k = (struct kept){ .id = xstrndup(v[0].p, v[0].n),
		.there = xcalloc(p->mapping->targets, sizeof(*k->there)) };
	buf_add_span(&k->line, v[1]);
	return 0;
}

static enum db_result lock_positions(struct replay *p)
{
	int n = 0;

	buf_clear(&p->sql);
	buf_add_str(&p->sql, "SELECT 1 FROM sluice_positions WHERE name = ");
	db_quote_text(&p->sql, p->name, strlen(p->name));
	buf_add_str(&p->sql, " ORDER BY name, topic, part FOR UPDATE");
	return db_select(p->db, p->sql.data, p->sql.len, db_count_row, &n);
}

/* ---- which keys are there ---- */

/* Its rows, in p->row. False: it still does not fit. */
static bool convert(struct replay *p, const struct kept *k)
{
	struct row_problem problem;
	struct line l;

	return k->line.data && stream_parse(rows_stream(p->rows), buf_span(&k->line), &l) == 0 &&
	    rows_convert(p->rows, &l, p->row, &problem) == 0;
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
	r = db_select(p->db, p->sql.data, p->sql.len, db_count_row, &n);
	*there = n > 0;
	return r;
}

static enum db_result look(struct replay *p)
{
	enum db_result r = DB_OK;

	for (size_t i = 0; i < p->count && r == DB_OK; i++) {
		if (!convert(p, &p->kept[i]))
			continue;
		for (size_t t = 0; t < p->mapping->targets && r == DB_OK; t++)
			if (p->row[t].kind != ROW_NONE)
				r = is_there(p, &p->mapping->target[t], &p->row[t],
				    &p->kept[i].there[t]);
	}
	return r;
}

/* ---- applying ---- */

/* A tombstone has to wait where a row is: the user knows which is newer. */
static enum db_result replay_row(struct replay *p, size_t target, bool there)
{
	const struct row *row = &p->row[target];
	struct window_run run = { &p->mapping->target[target], row->kind, row->columns,
		&row->values, 1 };
	struct upsert_form form = { .bytes = db_max_packet(p->db), .alias = db_row_alias(p->db) };
	enum db_result r;

	if (there)
		return row->kind == ROW_DELETE ? DB_REJECT : DB_OK;
	if (upsert_statement(&p->sql, &run, 0, &form) == 0)
		return DB_REJECT;
	r = db_run(p->db, p->sql.data, p->sql.len, NULL);
	p->wrote |= r == DB_OK;
	return r;
}

/* Parents first, but when they are deleted. */
static enum db_result replay_rows(struct replay *p, const struct kept *k)
{
	size_t n = p->mapping->targets;
	enum db_result r = DB_OK;
	bool deletes = false;

	for (size_t i = 0; i < n && r == DB_OK; i++)
		if (p->row[i].kind == ROW_UPSERT)
			r = replay_row(p, i, k->there[i]);
	for (size_t i = n; i > 0 && r == DB_OK; i--) {
		if (p->row[i - 1].kind == ROW_DELETE) {
			deletes = true;
			r = replay_row(p, i - 1, k->there[i - 1]);
		}
	}
	if (r == DB_OK && deletes)
		r = rejects_supersede(p->db, p->name, rows_stream(p->rows), buf_span(&k->line));
	return r;
}

/* DB_REJECT: it still does not fit. */
static enum db_result replay_one(struct replay *p, const struct kept *k)
{
	enum db_result r;

	p->wrote = false;
	if (!convert(p, k))
		return DB_REJECT;
	r = db_runf(p->db, "SAVEPOINT sluice");
	if (r == DB_OK)
		r = replay_rows(p, k);
	if (r == DB_OK)
		return db_runf(p->db, "DELETE FROM sluice_rejects WHERE id = %s", k->id);
	if (r != DB_REJECT)
		return r;
	r = db_runf(p->db, "ROLLBACK TO SAVEPOINT sluice");
	return r == DB_OK ? DB_REJECT : r;
}

static enum db_result replay_all(struct replay *p)
{
	enum db_result r = DB_OK;

	for (size_t i = 0; i < p->count && r == DB_OK; i++) {
		r = replay_one(p, &p->kept[i]);
		if (r == DB_OK)
			*(p->wrote ? &p->counts->applied : &p->counts->passed) += 1;
		if (r == DB_REJECT) {
			p->counts->kept++;
			r = DB_OK;
		}
	}
	return r;
}

static enum db_result transaction(struct replay *p)
{
	enum db_result r = db_runf(p->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");

	if (r == DB_OK)
		r = db_runf(p->db, "START TRANSACTION");
	if (r == DB_OK)
		r = lock_positions(p);
	if (r == DB_OK)
		r = rejects_select(p->db, p->name, "id, line", collect_row, p);
	if (r == DB_OK && !p->force)
		r = look(p);
	if (r == DB_OK)
		r = replay_all(p);
	return r == DB_OK ? db_runf(p->db, "COMMIT") : r;
}

int rejects_replay(struct db *db, const char *name, const struct mapping *m, bool partial,
    bool force, struct replay_counts *counts)
{
	struct replay p = { .db = db, .name = name, .mapping = m, .force = force, .counts = counts };
	int r = warehouse_has(db, "sluice_rejects");

	*counts = (struct replay_counts){ 0 };
	if (r <= 0)
		return r;
	p.rows = rows_new(m, &(struct rows_options){ .partial = partial, .quiet = true });
	p.row = xcalloc(m->targets, sizeof(*p.row));
	r = db_must(db, transaction(&p), "replay");
	if (r < 0)
		*counts = (struct replay_counts){ 0 }; /* the connection ends, and with it the transaction */
	for (size_t i = 0; i < p.count; i++) {
		free(p.kept[i].id);
		free(p.kept[i].there);
		buf_release(&p.kept[i].line);
	}
	free(p.kept);
	free(p.row);
	rows_free(p.rows);
	buf_release(&p.sql);
	buf_release(&p.key);
	return r;
}
