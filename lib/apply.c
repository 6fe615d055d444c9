#include "apply.h"

#include "log.h"
#include "rejects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP  1000 /* records that go together when a window is done again in stream order */
#define LOSSES 10   /* connections lost in one window before we believe that it kills them */

struct apply {
	struct db *db;
	const struct mapping *mapping;
	struct apply_options o;
	struct apply_counts counts, sent; /* sent: by the open transaction */
	struct rows *rows;                /* converts once more what is done again */
	struct window *group;             /* in stream order */
	struct buf sql;
	bool have_rejects; /* there may be some that a tombstone supersedes */

	/* The statement that failed last. */
	const struct table *table;
	char why[512];
	const char *column; /* NULL: none in particular */
};

/* One window on its way through the server, maybe several times. */
struct task {
	struct window *w;
	const struct window_move *move;
	size_t moves;
	size_t limit; /* records that are applied */
	bool careful; /* in stream order, in groups, down to the record that is rejected */
	struct window_move *sent; /* the moves of the last COMMIT that was sent; whether it was done is not known */
	size_t sent_moves;
	bool uncertain;
	char *reason;   /* without -r: what the record at `limit` was rejected for */
	bool *rejected; /* by the server, with -r; NULL: none */
	unsigned losses;
	struct db_wait wait;
};

struct apply *apply_new(struct db *db, const struct mapping *m, const struct apply_options *o)
{
	struct apply *a = xcalloc(1, sizeof(*a));
	int any = rejects_any(db, o->name);

	if (any < 0) {
		free(a);
		return NULL;
	}
	a->db = db;
	a->mapping = m;
	a->o = *o;
	a->have_rejects = any > 0;
	a->rows = rows_new(m, &(struct rows_options){ .partial = o->partial, .quiet = true });
	a->group = window_new(m, (struct window_rules){ .reduce = false, .partial = o->partial });
	return a;
}

void apply_free(struct apply *a)
{
	if (!a)
		return;
	rows_free(a->rows);
	window_free(a->group);
	buf_release(&a->sql);
	free(a);
}

struct apply_counts apply_counts(const struct apply *a)
{
	return a->counts;
}

/* ---- rows ---- */

/* Where `quoted` stands last in the text; NULL: nowhere. */
static const char *find_last(const char *text, const char *quoted)
{
	const char *found = NULL;

	while ((text = strstr(text, quoted)) != NULL)
		found = text++;
	return found;
}

/*
 * The column that the server complains of: "... for column 'a' at row 1", "... for column `db`.`t`.`a` at row 1". It
 * stands behind the value, which may look like anything.
 */
static const char *named_column(const struct table *t, const char *text)
{
	const char *name = NULL, *last = NULL;
	struct buf quoted = BUF_INIT;

	for (unsigned i = 0; i < t->columns && strstr(text, "olumn "); i++) {
		for (const char *quote = "'`"; *quote; quote++) {
			const char *at;

			buf_clear(&quoted);
			buf_addf(&quoted, "%c%s%c", *quote, t->column[i].name, *quote);
			at = find_last(text, buf_cstr(&quoted));
			if (at && (!last || at > last)) {
				last = at;
				name = t->column[i].name;
			}
		}
	}
	buf_release(&quoted);
	return name;
}

static int send_run(void *ctx, const struct window_run *run)
{
	struct apply *a = ctx;
	struct upsert_form form = { .rows = a->o.statement_rows,
		.bytes = db_max_packet(a->db),
		.alias = db_row_alias(a->db) };
	enum db_result r = DB_OK;

	for (size_t done = 0, n; done < run->count && r == DB_OK; done += n) {
		n = upsert_statement(&a->sql, run, done, &form);
		a->table = run->target->table;
		if (n == 0) {
			snprintf(a->why, sizeof(a->why),
			    "the row makes a statement of %zu bytes, and max_allowed_packet is %zu",
			    a->sql.len, form.bytes);
			a->column = NULL;
			return DB_REJECT;
		}
		r = db_run(a->db, a->sql.data, a->sql.len, NULL);
		if (r == DB_REJECT) {
			snprintf(a->why, sizeof(a->why), "%s", db_error(a->db));
			a->column = named_column(a->table, a->why);
		}
		*(run->kind == ROW_UPSERT ? &a->sent.upserted : &a->sent.deleted) += n;
	}
	return (int)r;
}

/* ---- record by record ---- */

/* Records [from, to) as rows of a->group, in stream order. */
static void convert_group(struct apply *a, const struct window *w, size_t from, size_t to)
{
	struct row *row = xcalloc(a->mapping->targets, sizeof(*row));
	struct row_problem problem;
	struct line l;

	window_clear(a->group);
	for (size_t i = from; i < to; i++) {
		const struct window_record *record = window_record(w, i);

		/* It was all good when it came. */
		if (!record->reject && stream_parse(rows_stream(a->rows), window_line(w, i), &l) == 0 &&
		    rows_convert(a->rows, &l, row, &problem) == 0)
			window_add(a->group, &l, record->number, record->place, row);
	}
	free(row);
}

/* Record i is one that the server will not have. DB_OK: it is kept; DB_REJECT: it ends the run. */
static enum db_result reject(struct apply *a, struct task *t, size_t i)
{
	struct reject why = { a->table->name, a->column, a->why };
	const struct window_record *r = window_record(t->w, i);
	struct buf text = BUF_INIT;

	if (a->o.rejects) {
		if (!t->rejected)
			t->rejected = xcalloc(window_records(t->w), sizeof(*t->rejected));
		t->rejected[i] = true;
		a->sent.rejected++;
		a->have_rejects = true;
		return rejects_add(a->db, a->o.name, rows_stream(a->rows), t->w, i, &why);
	}
	buf_addf(&text, "stdin:%" PRIu64 ": ", r->number);
	if (r->place)
		buf_addf(&text, "%s/%" PRId32 ": offset %" PRId64 ": ", r->place->topic,
		    r->place->partition, r->offset);
	buf_addf(&text, "%s%s%s: %s", why.table, why.column ? "." : "",
	    why.column ? why.column : "", why.why);
	t->reason = xstrdup(buf_cstr(&text));
	buf_release(&text);
	t->limit = i;
	return DB_REJECT;
}

/* Applies [from, to). DB_REJECT: up to t->limit. */
static enum db_result apply_group(struct apply *a, struct task *t, size_t from, size_t to)
{
	size_t middle = from + (to - from) / 2;
	struct apply_counts before = a->sent;
	enum db_result r = db_runf(a->db, "SAVEPOINT sluice");

	if (r != DB_OK)
		return r;
	convert_group(a, t->w, from, to);
	r = (enum db_result)window_runs(a->group, send_run, a);
	if (r != DB_REJECT)
		return r;
	a->sent = before;
	r = db_runf(a->db, "ROLLBACK TO SAVEPOINT sluice");
	if (r != DB_OK)
		return r;
	if (to - from == 1)
		return reject(a, t, from);
	r = apply_group(a, t, from, middle);
	return r == DB_OK ? apply_group(a, t, middle, to) : r;
}

static enum db_result apply_carefully(struct apply *a, struct task *t)
{
	size_t n = window_records(t->w);
	enum db_result r = DB_OK;

	for (size_t from = 0; from < n && r == DB_OK; from += GROUP)
		r = apply_group(a, t, from, n - from < GROUP ? n : from + GROUP);
	return r == DB_REJECT && t->reason ? DB_OK : r; /* else sluice_rejects itself will not have it */
}

/* ---- the transaction ---- */

/* Rejects of keys that were deleted. */
static enum db_result supersede(struct apply *a, const struct task *t)
{
	struct span *line = xcalloc(t->limit, sizeof(*line));
	enum db_result r;
	size_t n = 0;

	for (size_t i = 0; i < t->limit; i++) {
		const struct window_record *record = window_record(t->w, i);

		if (record->tombstone && !record->reject && !(t->rejected && t->rejected[i]))
			line[n++] = window_line(t->w, i);
	}
	r = rejects_supersede(a->db, a->o.name, rows_stream(a->rows), line, n);
	free(line);
	return r;
}

static enum db_result keep_rejects(struct apply *a, struct task *t)
{
	enum db_result r = DB_OK;
	struct reject why;

	for (size_t i = 0; i < t->limit && r == DB_OK && a->o.rejects; i++) {
		const struct window_reject *reject = window_reject(t->w, i);

		if (!reject)
			continue;
		why = (struct reject){ reject->table, reject->column, reject->why };
		r = rejects_add(a->db, a->o.name, rows_stream(a->rows), t->w, i, &why);
		a->sent.rejected++;
		a->have_rejects = true;
	}
	return r == DB_OK && a->have_rejects ? supersede(a, t) : r;
}

static void choose_moves(struct task *t)
{
	free(t->sent);
	if (t->limit < window_records(t->w)) {
		t->sent = window_moves_before(t->w, t->limit, &t->sent_moves);
		return;
	}
	t->sent = xcalloc(t->moves, sizeof(*t->sent));
	memcpy(t->sent, t->move, t->moves * sizeof(*t->sent));
	t->sent_moves = t->moves;
}

static bool any_moved(const struct window_move *move, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (move[i].moved)
			return true;
	return false;
}

static enum db_result overtaken(const struct apply *a)
{
	fail(EXIT_TRYAGAIN,
	    "%s: another writer of the name \"%s\" has moved its positions since this run began: "
	    "nothing more was written",
	    db_database(a->db), a->o.name);
	return DB_FAIL;
}

/*
 * The connection was lost when COMMIT had been sent. While the old session lives, its locks make us wait, so what is
 * read here is final. *done: it was committed.
 */
static enum db_result settle(struct apply *a, struct task *t, bool *done)
{
	struct warehouse_state state;
	enum db_result r = warehouse_lock(a->db, a->o.name, t->sent, t->sent_moves, &state);

	if (r != DB_OK)
		return r;
	*done = state.done && any_moved(t->sent, t->sent_moves);
	if (!state.old && !state.done)
		return overtaken(a);
	t->uncertain = *done; /* to be asked once more, should ROLLBACK be lost too */
	return DB_OK;
}

static void forget_rejects(struct task *t)
{
	free(t->reason);
	free(t->rejected);
	t->reason = NULL;
	t->rejected = NULL;
}

static enum db_result apply_rows(struct apply *a, struct task *t)
{
	enum db_result r;

	memset(&a->sent, 0, sizeof(a->sent));
	forget_rejects(t);
	t->limit = window_records(t->w);
	r = t->careful ? apply_carefully(a, t) : (enum db_result)window_runs(t->w, send_run, a);
	if (r == DB_OK)
		r = keep_rejects(a, t);
	if (r != DB_OK)
		return r;
	choose_moves(t);
	r = warehouse_move(a->db, a->o.name, t->sent, t->sent_moves);
	if (r != DB_OK)
		return r;
	t->uncertain = true;
	return db_runf(a->db, "COMMIT");
}

static enum db_result transaction(struct apply *a, struct task *t)
{
	struct warehouse_state state;
	bool done = false;
	enum db_result r = warehouse_meet(a->db, a->o.name, t->move, t->moves);

	if (r == DB_OK)
		r = db_runf(a->db, "START TRANSACTION");
	if (r == DB_OK && t->uncertain)
		r = settle(a, t, &done);
	if (r == DB_OK && done)
		return db_runf(a->db, "ROLLBACK");
	if (r == DB_OK)
		r = warehouse_lock(a->db, a->o.name, t->move, t->moves, &state);
	if (r != DB_OK)
		return r;
	return state.old ? apply_rows(a, t) : overtaken(a);
}

/* ---- trying again ---- */

static int lost(struct apply *a, struct task *t)
{
	note("%s: %s: connecting again", db_database(a->db), db_error(a->db));
	if (++t->losses > LOSSES)
		return fail(EXIT_UNAVAILABLE,
		    "the connection was lost %d times while one window was written: %s", LOSSES,
		    db_error(a->db));
	a->counts.retried++;
	return db_reconnect(a->db);
}

/* What the server said is forgotten when it says the next thing. */
static void roll_back(struct apply *a)
{
	snprintf(a->why, sizeof(a->why), "%s", db_error(a->db));
	db_runf(a->db, "ROLLBACK"); /* if that fails, what comes next does too */
}

static int run_task(struct apply *a, struct task *t)
{
	for (;;) {
		enum db_result r = transaction(a, t);

		switch (r) {
		case DB_OK:
			return 0;
		case DB_LOST:
			if (lost(a, t) < 0)
				return -1;
			break;
		case DB_RETRY:
			roll_back(a);
			if (db_wait(a->db, &t->wait, a->why) < 0)
				return -1;
			a->counts.retried++;
			break;
		case DB_REJECT:
			roll_back(a);
			if (t->careful) /* not of the rows: those it sorts out itself */
				return fail(EXIT_DATA, "%s: %s", db_database(a->db), a->why);
			t->careful = true;
			break;
		default:
			db_runf(a->db, "ROLLBACK");
			return -1;
		}
	}
}

int apply_window(struct apply *a, struct window *w, size_t *applied)
{
	struct task t = { .w = w };
	int r;

	*applied = 0;
	t.move = window_moves(w, &t.moves);
	if (window_records(w) == 0 && !any_moved(t.move, t.moves))
		return 0;
	r = run_task(a, &t);
	if (r == 0) {
		*applied = t.limit;
		a->counts.commits++;
		a->counts.upserted += a->sent.upserted;
		a->counts.deleted += a->sent.deleted;
		a->counts.rejected += a->sent.rejected;
		if (t.reason && t.limit < window_records(w))
			r = fail(EXIT_DATA, "%s", t.reason);
	}
	free(t.sent);
	forget_rejects(&t);
	return r;
}
