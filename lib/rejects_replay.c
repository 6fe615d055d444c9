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

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 100 /* lines in memory at a time */

struct replay {
	struct db *db;
	const char *name;
	const struct mapping *mapping;
	struct rows *rows;
	struct row *row;
	struct buf sql, key;
	bool force, wrote;
	struct replay_counts *counts;
	int64_t *id; /* in the order of the offsets */
	size_t count, cap;
	bool *there; /* for each of them, and target: the key has a row */
	struct buf line[BATCH];
	size_t from; /* line[0] is that of id[from] */
};

static int collect_id(void *ctx, const struct span *v, size_t columns)
{
	struct replay *p = ctx;

	(void)columns;
	if (p->count == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->id = xrealloc(p->id, p->cap * sizeof(*p->id));
	}
	return json_int64(v[0], &p->id[p->count++]);
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

/* Of one that was too large to keep, none. */
static int collect_line(void *ctx, const struct span *v, size_t columns)
{
	struct replay *p = ctx;
	int64_t id;

	(void)columns;
	for (size_t i = 0; json_int64(v[0], &id) == 0 && i < BATCH && p->from + i < p->count; i++)
		if (p->id[p->from + i] == id)
			buf_add_span(&p->line[i], v[1]);
	return 0;
}

static enum db_result read_lines(struct replay *p, size_t from)
{
	p->from = from;
	buf_clear(&p->sql);
	buf_add_str(&p->sql, "SELECT id, line FROM sluice_rejects WHERE id IN (");
	for (size_t i = 0; i < BATCH && from + i < p->count; i++) {
		buf_clear(&p->line[i]);
		buf_addf(&p->sql, "%s%" PRId64, i > 0 ? "," : "", p->id[from + i]);
	}
	buf_add_char(&p->sql, ')');
	return db_select(p->db, p->sql.data, p->sql.len, collect_line, p);
}

/* The line of the i-th; they are asked for in order. */
static enum db_result read_line(struct replay *p, size_t i, struct span *line)
{
	enum db_result r = i % BATCH == 0 ? read_lines(p, i) : DB_OK;

	*line = buf_span(&p->line[i % BATCH]);
	return r;
}

/* ---- which keys are there ---- */

/* Its rows, in p->row. False: it still does not fit. */
static bool convert(struct replay *p, struct span line)
{
	struct row_problem problem;
	struct line l;

	return line.n > 0 && stream_parse(rows_stream(p->rows), line, &l) == 0 &&
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
	size_t targets = p->mapping->targets;
	enum db_result r = DB_OK;
	struct span line;

	for (size_t i = 0; i < p->count && r == DB_OK; i++) {
		r = read_line(p, i, &line);
		if (r != DB_OK || !convert(p, line))
			continue;
		for (size_t t = 0; t < targets && r == DB_OK; t++)
			if (p->row[t].kind != ROW_NONE)
				r = is_there(p, &p->mapping->target[t], &p->row[t],
				    &p->there[i * targets + t]);
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
static enum db_result replay_rows(struct replay *p, const bool *there, struct span line)
{
	size_t n = p->mapping->targets;
	enum db_result r = DB_OK;
	bool deletes = false;

	for (size_t i = 0; i < n && r == DB_OK; i++)
		if (p->row[i].kind == ROW_UPSERT)
			r = replay_row(p, i, there[i]);
	for (size_t i = n; i > 0 && r == DB_OK; i--) {
		if (p->row[i - 1].kind == ROW_DELETE) {
			deletes = true;
			r = replay_row(p, i - 1, there[i - 1]);
		}
	}
	if (r == DB_OK && deletes)
		r = rejects_supersede(p->db, p->name, rows_stream(p->rows), &line, 1);
	return r;
}

/* DB_REJECT: it still does not fit. */
static enum db_result replay_one(struct replay *p, size_t i)
{
	struct span line;
	enum db_result r = read_line(p, i, &line);

	p->wrote = false;
	if (r == DB_OK && !convert(p, line))
		return DB_REJECT;
	if (r == DB_OK)
		r = db_runf(p->db, "SAVEPOINT sluice");
	if (r == DB_OK)
		r = replay_rows(p, p->there + i * p->mapping->targets, line);
	if (r == DB_OK)
		return db_runf(p->db, "DELETE FROM sluice_rejects WHERE id = %" PRId64, p->id[i]);
	if (r != DB_REJECT)
		return r;
	r = db_runf(p->db, "ROLLBACK TO SAVEPOINT sluice");
	return r == DB_OK ? DB_REJECT : r;
}

static enum db_result replay_all(struct replay *p)
{
	enum db_result r = DB_OK;

	for (size_t i = 0; i < p->count && r == DB_OK; i++) {
		r = replay_one(p, i);
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

	*p->counts = (struct replay_counts){ 0 };
	p->count = 0;
	if (r == DB_OK)
		r = db_runf(p->db, "START TRANSACTION");
	if (r == DB_OK)
		r = lock_positions(p);
	if (r == DB_OK)
		r = rejects_select(p->db, p->name, "id", collect_id, p);
	if (r != DB_OK)
		return r;
	free(p->there);
	p->there = xcalloc(p->count * p->mapping->targets, sizeof(*p->there));
	if (!p->force)
		r = look(p);
	if (r == DB_OK)
		r = replay_all(p);
	return r == DB_OK ? db_runf(p->db, "COMMIT") : r;
}

/* Deadlocks come of rows that are not there yet: two that wait for each other may both have looked. */
static int replay(struct replay *p)
{
	struct db_wait wait = { 0 };
	enum db_result r;

	while ((r = transaction(p)) == DB_RETRY) {
		char why[512];

		snprintf(why, sizeof(why), "%s", db_error(p->db));
		db_runf(p->db, "ROLLBACK"); /* if that fails, what comes next does too */
		if (db_wait(p->db, &wait, why) < 0)
			return -1;
	}
	return db_must(p->db, r, "replay"); /* the connection ends, and with it the transaction */
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
	r = replay(&p);
	for (size_t i = 0; i < BATCH; i++)
		buf_release(&p.line[i]);
	free(p.id);
	free(p.there);
	free(p.row);
	rows_free(p.rows);
	buf_release(&p.sql);
	buf_release(&p.key);
	return r;
}
