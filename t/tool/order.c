/*
 * order [OPTION]...: whether windows give the tables that one record at a time gives.
 *
 * Each seed is a random stream for one of the scenarios of order.h. It goes into three databases, DB_reduced,
 * DB_exact and DB_oracle: as windows of random sizes, as windows with --no-reduce, and statement by statement
 * in SQL that is made here, from values written by hand, with nothing of row.c, value.c, window.c, upsert.c and
 * apply.c. Then
 *	exact     has the same rows, to the byte, and the same rejects
 *	reduced   has the same rows but for the spelling of keys that the server holds equal. In a window from
 *	          which the server rejected nothing, a value that it would reject may have been superseded: there
 *	          the oracle is given one that it takes. In all others also the rejects are the same.
 */
#include "order.h"
#include "apply.h"
#include "io.h"
#include "log.h"
#include "mapping.h"
#include "rng.h"
#include "row.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_EVENTS 61
#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))

static struct db_config config = { .timeout_ms = 30000 };
static int64_t first_seed = 1, streams = 100;
static const char *only;
static bool verbose, first;

static const struct opt options[] = {
	DB_OPTIONS(config),
	{ 's', "seed", "N", OPT_INT, &first_seed, .help = "the first seed (1)" },
	{ 'n', "streams", "N", OPT_INT, &streams, .help = "how many seeds (100)" },
	{ 0, "only", "TEXT", OPT_STRING, &only, .help = "only scenarios with this in their name" },
	{ 0, "first", NULL, OPT_FLAG, &first, .help = "end with the first scenario that fails" },
	{ 'v', "verbose", NULL, OPT_FLAG, &verbose, .help = "print streams and tables" },
};
static const struct opt_tool tool = {
	.name = "order",
	.usage = "[OPTION]...",
	.about = "Compares windows with single records.",
	.options = options,
	.count = OPT_COUNT(options),
	.host_letter = true,
};

/* ---- streams ---- */

enum event_kind { UPSERT, TOMBSTONE, OUTSIDE_EVENT };

struct event {
	enum event_kind kind;
	unsigned feed;
	unsigned choice[MAX_FIELDS]; /* 1 + place in the pool; 0: absent */
	const char *sql;             /* OUTSIDE_EVENT */
	bool ends_window;
	bool unfit; /* the client rejects it */
	bool bad;   /* there is a value in it that the server rejects */
	int64_t offset;
};

struct stream_of {
	const struct scenario *s;
	struct event event[MAX_EVENTS];
	size_t n;
	bool partial, rejects;
	size_t statement_rows;
};

/* What a stream is like: chosen once for each. */
struct mood {
	struct rng rng;
	unsigned tombstones, outside, window; /* percent, percent, records */
	bool unfit, bad, orphans;
	int optional; /* members that need not be there: -1 none is, 1 all are, 0 as it comes */
	unsigned keys[MAX_FEEDS][MAX_FIELDS][4]; /* few values, so that keys come again */
	unsigned key_count;
	bool alive[MAX_FEEDS][16];      /* rows, by the place of their key in its pool */
	unsigned refers[MAX_FEEDS][16]; /* 1 + the place of their parent's key; 0: none */
};

static unsigned pool_size(const struct value_of *pool)
{
	unsigned n = 0;

	while (pool[n].json)
		n++;
	return n;
}

static bool may_refer(const struct scenario *s, const struct mood *m, const struct field *f, unsigned i)
{
	const struct feed *parent = &s->feed[f->refers - 1];

	return m->orphans || i >= pool_size(parent->field[0].pool) || m->alive[f->refers - 1][i];
}

static bool is_absent(struct mood *m, const struct field *f)
{
	if (!f->otherwise)
		return m->unfit && rng_below(&m->rng, 100) < f->absent;
	if (m->optional && f->absent < 100 && !f->refers)
		return m->optional < 0;
	return rng_below(&m->rng, 100) < f->absent;
}

/* 1 + a place in the pool, or 0. */
static unsigned choose(const struct scenario *s, struct mood *m, unsigned feed, unsigned at)
{
	const struct field *f = &s->feed[feed].field[at];
	unsigned n = pool_size(f->pool), i;

	if (is_absent(m, f))
		return 0;
	for (unsigned tries = 0; tries < 50; tries++) {
		i = f->key ? m->keys[feed][at][rng_below(&m->rng, m->key_count)]
			   : rng_below(&m->rng, n);
		if ((!f->pool[i].sql && (!m->unfit || rng_below(&m->rng, 4))) ||
		    (f->pool[i].good && (!m->bad || rng_below(&m->rng, 2)))) {
			i = rng_below(&m->rng, n);
			if (!f->pool[i].sql || f->pool[i].good)
				continue;
		}
		if (!f->refers || may_refer(s, m, f, i))
			return i + 1;
	}
	return f->otherwise ? 0 : 1;
}

static const struct value_of *chosen(const struct feed *feed, const struct event *e, unsigned at)
{
	return e->choice[at] ? &feed->field[at].pool[e->choice[at] - 1] : NULL;
}

/* A row goes, and with it those that it takes along. */
static void bury(const struct scenario *s, struct mood *m, unsigned feed, unsigned key)
{
	m->alive[feed][key] = false;
	for (unsigned f = 0; f < MAX_FEEDS && s->feed[f].topic; f++) {
		const struct field *r = &s->feed[f].field[1];

		for (unsigned k = 0; k < 16 && r->cascades && r->refers == (int)feed + 1; k++)
			if (m->alive[f][k] && m->refers[f][k] == key + 1)
				bury(s, m, f, k);
	}
}

/* What a record that is taken does to the rows that others may refer to. */
static void note_row(const struct scenario *s, struct mood *m, const struct event *e, bool partial)
{
	unsigned key = e->choice[0] ? e->choice[0] - 1 : 15;

	if (e->unfit || (e->kind == UPSERT && e->bad))
		return;
	if (e->kind == TOMBSTONE) {
		bury(s, m, e->feed, key);
		return;
	}
	if (e->choice[1] || !partial || !m->alive[e->feed][key])
		m->refers[e->feed][key] = e->choice[1];
	m->alive[e->feed][key] = true;
}

static void judge_event(const struct feed *feed, struct event *e)
{
	e->unfit = e->kind == TOMBSTONE && !feed->deletes;
	for (unsigned i = 0; feed->field[i].name; i++) {
		const struct value_of *v = chosen(feed, e, i);

		if (e->kind == TOMBSTONE && !feed->field[i].key)
			continue;
		e->unfit |= v ? !v->sql : !feed->field[i].otherwise;
		e->bad |= v && v->good;
	}
}

static void make_event(const struct scenario *s, struct mood *m, struct event *e, bool partial)
{
	unsigned feeds = 0, others = 0;
	const struct feed *feed;

	while (feeds < MAX_FEEDS && s->feed[feeds].topic)
		feeds++;
	while (others < COUNT(s->outside) && s->outside[others])
		others++;
	*e = (struct event){ .feed = rng_below(&m->rng, feeds) };
	feed = &s->feed[e->feed];
	e->ends_window = rng_below(&m->rng, m->window) == 0;
	if (others > 0 && rng_below(&m->rng, 100) < m->outside) {
		e->kind = OUTSIDE_EVENT;
		e->sql = s->outside[rng_below(&m->rng, others)];
		return;
	}
	e->kind = rng_below(&m->rng, 100) < m->tombstones ? TOMBSTONE : UPSERT;
	for (unsigned i = 0; feed->field[i].name; i++)
		e->choice[i] = choose(s, m, e->feed, i);
	judge_event(feed, e);
	note_row(s, m, e, partial);
}

/* Values that stand together in their pool are those that somebody may hold equal. */
static void choose_keys(struct mood *m, unsigned key[4], unsigned size)
{
	unsigned near = rng_below(&m->rng, 2) ? 4 : size, from = rng_below(&m->rng, size);

	for (unsigned k = 0; k < 4; k++)
		key[k] = (from + rng_below(&m->rng, near)) % size;
}

static void make_mood(const struct scenario *s, struct mood *m)
{
	static const unsigned tombstones[] = { 0, 10, 30, 50 }, window[] = { 1, 3, 10, 100, 100 };

	m->tombstones = tombstones[rng_below(&m->rng, COUNT(tombstones))];
	m->window = window[rng_below(&m->rng, COUNT(window))];
	m->outside = rng_below(&m->rng, 2) ? 8 : 0;
	m->unfit = rng_below(&m->rng, 3) == 0;
	m->bad = rng_below(&m->rng, 3) == 0;
	m->optional = (int)rng_below(&m->rng, 5) / 2 - 1;
	m->orphans = s->orphans && rng_below(&m->rng, 3) == 0;
	m->key_count = 2 + rng_below(&m->rng, 3);
	for (unsigned f = 0; f < MAX_FEEDS && s->feed[f].topic; f++)
		for (unsigned i = 0; s->feed[f].field[i].name; i++)
			choose_keys(m, m->keys[f][i], pool_size(s->feed[f].field[i].pool));
}

static void make_stream(const struct scenario *s, uint64_t seed, struct stream_of *st)
{
	static int64_t offset; /* positions only go forward */
	struct mood m = { .rng = rng_at(seed, 6, 0) };

	make_mood(s, &m);
	*st = (struct stream_of){ .s = s, .n = 5 + rng_below(&m.rng, rng_below(&m.rng, 4) ? 16 : 56) };
	st->partial = rng_below(&m.rng, 2);
	st->rejects = rng_below(&m.rng, 4) > 0;
	st->statement_rows = rng_below(&m.rng, 2) ? 0 : 2;
	for (size_t i = 0; i < st->n; i++) {
		make_event(s, &m, &st->event[i], st->partial);
		st->event[i].offset = offset + (int64_t)i;
		if (i > 0 && st->event[i].kind == OUTSIDE_EVENT)
			st->event[i - 1].ends_window = true;
	}
	st->event[st->n - 1].ends_window = true;
	offset += MAX_EVENTS;
}

/* ---- records ---- */

static void add_members(struct buf *to, const struct feed *feed, const struct event *e, bool key)
{
	const char *comma = "";

	buf_add_char(to, '{');
	for (unsigned i = 0; feed->field[i].name; i++) {
		const struct value_of *v = chosen(feed, e, i);

		if (feed->field[i].key != key || !v || !*v->json)
			continue;
		buf_addf(to, "%s\"%s\":%s", comma, feed->field[i].name, v->json);
		comma = ",";
	}
	buf_add_char(to, '}');
}

static void add_line(struct buf *to, const struct scenario *s, const struct event *e)
{
	const struct feed *feed = &s->feed[e->feed];
	unsigned keys = 0;

	for (unsigned i = 0; feed->field[i].name; i++)
		keys += feed->field[i].key;
	buf_addf(to, "{\"topic\":\"%s\",\"partition\":0,\"offset\":%lld,\"ts\":1763697600000,",
	    feed->topic, (long long)e->offset);
	if (keys > 1) {
		buf_add_str(to, "\"key_enc\":\"json\",\"key\":");
		add_members(to, feed, e, true);
	} else {
		buf_addf(to, "\"key\":%s", keys ? chosen(feed, e, 0)->json : "null");
	}
	if (e->kind == TOMBSTONE) {
		buf_add_str(to, ",\"payload_enc\":\"none\",\"payload\":null}");
		return;
	}
	buf_add_str(to, ",\"payload\":");
	add_members(to, feed, e, false);
	buf_add_char(to, '}');
}

/* ---- what came out ---- */

/* How one run ended, record by record. */
struct outcome {
	const struct stream_of *st;
	bool rejected[MAX_EVENTS];
	size_t stop; /* without -r: the record that ended the run; else all of them */
};

/* Whether the server rejected something of the window that event i belongs to. */
static bool server_rejects(const struct stream_of *st, const struct outcome *o, size_t i)
{
	while (i > 0 && !st->event[i - 1].ends_window)
		i--;
	for (;; i++) {
		if (o->rejected[i] && !st->event[i].unfit)
			return true;
		if (st->event[i].ends_window)
			return false;
	}
}

/* ---- one way through the library ---- */

struct side {
	struct db *db; /* NULL: not open */
	const struct mapping *mapping;
	bool reduce;
	char name[8]; /* of its positions */
	struct rows *rows;
	struct row *row;
	struct window *window;
	struct apply *apply;
	struct positions positions;
};

static int open_side(struct side *side, const struct side *as, const struct stream_of *st)
{
	const struct mapping *m = as->mapping;
	struct apply_options o = { .name = side->name,
		.rejects = st->rejects,
		.partial = st->partial,
		.statement_rows = st->statement_rows };

	*side = *as;
	snprintf(side->name, sizeof(side->name), "%d%d%zu", st->partial, st->rejects,
	    st->statement_rows);
	side->rows = rows_new(m, &(struct rows_options){ .partial = st->partial, .quiet = true });
	side->row = xcalloc(m->targets, sizeof(*side->row));
	side->window = window_new(m, (struct window_rules){ as->reduce, st->partial });
	positions_init(&side->positions, (struct positions_rules){ .allow_gap = true });
	side->apply = apply_new(side->db, m, &o);
	return side->apply && warehouse_positions(side->db, o.name, &side->positions) == 0 ? 0 : -1;
}

static void close_side(struct side *side)
{
	if (!side->db)
		return;
	apply_free(side->apply);
	window_free(side->window);
	positions_release(&side->positions);
	rows_free(side->rows);
	free(side->row);
	side->db = NULL;
}

/* 0; 1: stopped by a reject, *applied records are in; -1 */
static int apply_side(struct side *side, size_t *applied)
{
	int r;

	*applied = 0;
	window_close(side->window, &side->positions);
	r = apply_window(side->apply, side->window, applied);
	window_clear(side->window);
	return r == 0 ? 0 : fail_code() == EXIT_DATA ? 1 : -1;
}

/* Adds event i. 1: without -r it ends the run. */
static int add_event(struct side *side, const struct stream_of *st, size_t i)
{
	const struct event *e = &st->event[i];
	struct buf text = BUF_INIT;
	struct row_problem problem;
	struct line l;
	int r;

	add_line(&text, st->s, e);
	if (stream_parse(rows_stream(side->rows), buf_span(&text), &l) < 0) {
		buf_release(&text);
		return -1;
	}
	r = rows_convert(side->rows, &l, side->row, &problem);
	if ((r < 0) != e->unfit) {
		r = fail(EXIT_DATA, "offset %lld: the client %s: %s", (long long)e->offset,
		    r < 0 ? "rejects it" : "takes it", r < 0 ? problem.why : buf_cstr(&text));
	} else if (r < 0 && !st->rejects) {
		r = 1;
	} else if (positions_record(&side->positions, &l) != POSITION_STORE) {
		r = fail_context("offset %lld", (long long)e->offset);
	} else if (r < 0) {
		window_add_reject(side->window, &l, i, side->positions.recent, &problem);
		r = 0;
	} else {
		window_add(side->window, &l, i, side->positions.recent, side->row);
	}
	buf_release(&text);
	return r;
}

static int run_outside(struct db *db, const struct event *e)
{
	return db_must(db, db_run(db, e->sql, strlen(e->sql), NULL), e->sql);
}

static int note_offset(void *ctx, const struct span *v, size_t columns)
{
	struct outcome *o = ctx;
	int64_t offset;

	(void)columns;
	if (json_int64(v[0], &offset) < 0)
		return fail(EXIT_DATA, "%.*s is no offset", (int)v[0].n, v[0].p);
	for (size_t i = 0; i < o->st->n; i++)
		o->rejected[i] |= o->st->event[i].offset == offset;
	return 0;
}

static int run_events(struct side *side, const struct stream_of *st, struct outcome *o)
{
	size_t begin = 0, applied;
	int r = 0, last;

	for (o->stop = 0; o->stop < st->n; o->stop++) {
		const struct event *e = &st->event[o->stop];

		if (window_records(side->window) == 0)
			begin = o->stop + (e->kind == OUTSIDE_EVENT);
		if (e->kind == OUTSIDE_EVENT) {
			if (run_outside(side->db, e) < 0)
				return -1;
			continue;
		}
		r = add_event(side, st, o->stop);
		if (r == 0 && !e->ends_window)
			continue;
		last = r < 0 ? -1 : apply_side(side, &applied);
		if (last > 0)
			o->stop = begin + applied;
		r = last != 0 ? last : r;
		if (r != 0)
			break;
	}
	if (r > 0)
		o->rejected[o->stop] = true;
	return r < 0 ? -1 : 0;
}

/* As it was left, or opened. Without -r a run may end within a window; then what comes next begins anew. */
static int run_side(struct side *side, const struct side *as, const struct stream_of *st,
    struct outcome *o)
{
	static const char rejects[] = "SELECT off FROM sluice_rejects",
			  clean[] = "DELETE FROM sluice_rejects";
	uint64_t before;
	int r;

	*o = (struct outcome){ .st = st };
	if (!side->db && open_side(side, as, st) < 0)
		return -1;
	before = apply_counts(side->apply).rejected;
	r = run_events(side, st, o);
	if (r == 0 && apply_counts(side->apply).rejected > before) {
		r = db_must(side->db,
		    db_select(side->db, rejects, sizeof(rejects) - 1, note_offset, o), rejects);
		if (r == 0)
			r = db_must(side->db, db_run(side->db, clean, sizeof(clean) - 1, NULL), clean);
	}
	if (r < 0 || o->stop < st->n)
		close_side(side);
	return r;
}

/* ---- the oracle ---- */

static const struct target *target_of(const struct mapping *m, const char *table)
{
	for (size_t i = 0; i < m->targets; i++)
		if (strcmp(m->target[i].table->name, table) == 0)
			return &m->target[i];
	fprintf(stderr, "order: no table %s in the mapping\n", table);
	exit(1);
}

static bool in_key(const struct table *t, const char *column)
{
	const struct column *c = table_column(t, (struct span){ column, strlen(column) });

	return c && c->key_at >= 0;
}

/* What the record has for a column; NULL: it is left alone. */
static const char *literal_of(const struct stream_of *st, const struct event *e, unsigned at, bool mild)
{
	const struct feed *feed = &st->s->feed[e->feed];
	const struct value_of *v = chosen(feed, e, at);

	if (v)
		return mild && v->good ? v->good : v->sql;
	return st->partial || !*feed->field[at].otherwise ? NULL : feed->field[at].otherwise;
}

static enum db_result oracle_upsert(struct db *db, const struct stream_of *st,
    const struct event *e, unsigned table, const struct table *t, bool mild)
{
	const struct feed *feed = &st->s->feed[e->feed];
	struct buf columns = BUF_INIT, values = BUF_INIT, updates = BUF_INIT;
	enum db_result r;

	for (unsigned i = 0; feed->field[i].name; i++) {
		const char *name = feed->field[i].name, *literal = literal_of(st, e, i, mild);

		if (!literal || feed->field[i].not_in >> table & 1)
			continue;
		buf_addf(&columns, "%s%s", columns.len ? ", " : "", name);
		buf_addf(&values, "%s%s", values.len ? ", " : "", literal);
		if (!in_key(t, name))
			buf_addf(&updates, "%s%s = VALUES(%s)", updates.len ? ", " : "", name, name);
	}
	if (updates.len == 0)
		buf_addf(&updates, "%s = %s.%s", t->key[0]->name, t->name, t->key[0]->name);
	r = db_runf(db, "INSERT INTO %s (%s) VALUES (%s) ON DUPLICATE KEY UPDATE %s", t->name,
	    buf_cstr(&columns), buf_cstr(&values), buf_cstr(&updates));
	buf_release(&columns);
	buf_release(&values);
	buf_release(&updates);
	return r;
}

static enum db_result oracle_delete(struct db *db, const struct stream_of *st,
    const struct event *e, const struct table *t)
{
	const struct feed *feed = &st->s->feed[e->feed];
	struct buf where = BUF_INIT;
	enum db_result r;

	for (unsigned i = 0; feed->field[i].name; i++)
		if (feed->field[i].key && in_key(t, feed->field[i].name))
			buf_addf(&where, "%s%s = %s", where.len ? " AND " : "", feed->field[i].name,
			    literal_of(st, e, i, false));
	r = db_runf(db, "DELETE FROM %s WHERE %s", t->name, buf_cstr(&where));
	buf_release(&where);
	return r;
}

/* One record: all of it or nothing. */
static enum db_result oracle_record(struct db *db, const struct mapping *m,
    const struct stream_of *st, const struct event *e, bool mild)
{
	const struct feed *feed = &st->s->feed[e->feed];
	enum db_result r = DB_OK;

	if (feed->table[1])
		r = db_runf(db, "SAVEPOINT one");
	for (unsigned i = 0; i < 2 && r == DB_OK; i++) {
		unsigned at = e->kind == TOMBSTONE ? 1 - i : i;
		const struct table *t;

		if (!feed->table[at] || (e->kind == TOMBSTONE && !(feed->deletes >> at & 1)))
			continue;
		t = target_of(m, feed->table[at])->table;
		r = e->kind == TOMBSTONE ? oracle_delete(db, st, e, t)
					 : oracle_upsert(db, st, e, at, t, mild);
	}
	if (r == DB_REJECT && feed->table[1] && db_runf(db, "ROLLBACK TO SAVEPOINT one") != DB_OK)
		return DB_FAIL;
	return r;
}

/* A bad value in the key: how the server would have had the record cannot be told, but it was superseded. */
static bool has_bad_key(const struct stream_of *st, const struct event *e)
{
	const struct feed *feed = &st->s->feed[e->feed];

	for (unsigned i = 0; feed->field[i].name; i++)
		if (feed->field[i].key && chosen(feed, e, i) && chosen(feed, e, i)->good)
			return true;
	return false;
}

static int oracle_event(struct db *db, const struct mapping *m, const struct stream_of *st,
    size_t i, bool mild, struct outcome *o)
{
	const struct event *e = &st->event[i];
	enum db_result r;

	if (e->kind == OUTSIDE_EVENT)
		return run_outside(db, e);
	o->rejected[i] = e->unfit;
	if (e->unfit || (mild && has_bad_key(st, e)))
		return 0;
	r = oracle_record(db, m, st, e, mild);
	if (verbose)
		printf("  oracle %lld: %s\n", (long long)e->offset, r == DB_OK ? "ok" : db_error(db));
	if (r == DB_REJECT && !mild) {
		o->rejected[i] = true;
		return 0;
	}
	return db_must(db, r, "the oracle");
}

/* reduced NULL: strictly. Else what is allowed to it, up to where it stopped. */
static int run_oracle(struct db *db, const struct mapping *m, const struct stream_of *st,
    const struct outcome *reduced, struct outcome *o)
{
	size_t end = reduced ? reduced->stop + (reduced->stop < st->n) : st->n;
	int r = db_must(db, db_runf(db, "START TRANSACTION"), "START TRANSACTION");

	*o = (struct outcome){ 0 };
	for (o->stop = 0; r == 0 && o->stop < end; o->stop++) {
		bool mild = reduced && !server_rejects(st, reduced, o->stop);

		if (st->s->deferred && reduced)
			db_runf(db, "SET foreign_key_checks = %d", !mild);
		r = oracle_event(db, m, st, o->stop, mild, o);
		if (r == 0 && o->rejected[o->stop] && !st->rejects)
			break;
	}
	db_runf(db, "SET foreign_key_checks = 1");
	if (r < 0)
		db_runf(db, "ROLLBACK");
	return r < 0 ? -1 : db_must(db, db_runf(db, "COMMIT"), "COMMIT");
}

/* ---- comparing ---- */

enum { REDUCED, EXACT, ORACLE, BASES };
static const char *const base_name[BASES] = { "reduced", "exact", "oracle" };

struct world {
	struct db *admin; /* without checks of foreign keys */
	struct db *db[BASES];
	char base[BASES][128];
	const struct scenario *s;
	struct mapping *mapping;
	struct table *table[MAX_TABLES];
	size_t tables;
	struct side side[ORACLE][2][2][2]; /* base, partial, rejects, small statements */
};

static int read_counts(void *ctx, const struct span *v, size_t columns)
{
	int64_t *n = ctx;

	for (size_t i = 0; i < columns; i++)
		if (json_int64(v[i], &n[i]) < 0)
			return fail(EXIT_DATA, "%.*s is no number", (int)v[i].n, v[i].p);
	return 0;
}

static bool is_numbered(const struct world *w, const struct table *t)
{
	return w->s->unordered &&
	    table_column(t, (struct span){ w->s->unordered, strlen(w->s->unordered) });
}

static void add_rows_of(struct buf *sql, const struct world *w, int base, const struct table *t)
{
	if (is_numbered(w, t))
		buf_addf(sql, "(SELECT ROW_NUMBER() OVER (ORDER BY %s) AS row_n, %s.* FROM %s.%s)",
		    w->s->unordered, t->name, w->base[base], t->name);
	else
		buf_addf(sql, "%s.%s", w->base[base], t->name);
}

/* How many rows of both are equal. */
static void add_equal(struct buf *sql, const struct world *w, const struct table *t, int a, int b,
    bool bytes)
{
	const char *and = "";

	buf_add_str(sql, "(SELECT COUNT(*) FROM ");
	add_rows_of(sql, w, a, t);
	buf_add_str(sql, " x JOIN ");
	add_rows_of(sql, w, b, t);
	buf_add_str(sql, " y ON ");
	if (is_numbered(w, t))
		buf_add_str(sql, "x.row_n = y.row_n"), and = " AND ";
	for (unsigned i = 0; i < t->columns; i++) {
		const char *c = t->column[i].name;

		if (is_numbered(w, t) && strcmp(w->s->unordered, c) == 0)
			continue;
		if (t->column[i].key_at >= 0)
			buf_addf(sql, "%sx.%s = y.%s", and, c, c), and = " AND ";
		if (t->column[i].key_at < 0 || bytes)
			buf_addf(sql, "%sCAST(x.%s AS BINARY) <=> CAST(y.%s AS BINARY)", and, c, c);
		and = " AND ";
	}
	buf_add_str(sql, ")");
}

/* Whether a base has the oracle's rows: 1, 0, -1. */
static int same_rows(struct world *w, int base)
{
	struct buf sql = BUF_INIT;
	int r = 1;

	for (size_t i = 0; i < w->tables && r == 1; i++) {
		const struct table *t = w->table[i];
		int64_t n[3] = { -1, -1, -1 };

		buf_clear(&sql);
		buf_addf(&sql, "SELECT (SELECT COUNT(*) FROM %s.%s), (SELECT COUNT(*) FROM %s.%s), ",
		    w->base[base], t->name, w->base[ORACLE], t->name);
		add_equal(&sql, w, t, base, ORACLE, base == EXACT);
		r = db_must(w->admin, db_select(w->admin, sql.data, sql.len, read_counts, n),
		    buf_cstr(&sql));
		r = r < 0 ? -1 : n[0] == n[2] && n[1] == n[2];
	}
	buf_release(&sql);
	return r;
}

static int print_row(void *ctx, const struct span *v, size_t columns)
{
	(void)ctx;
	printf("   ");
	for (size_t i = 0; i < columns; i++)
		printf(" %.*s", v[i].p ? (int)v[i].n : 4, v[i].p ? v[i].p : "NULL");
	printf("\n");
	return 0;
}

static void print_tables(struct world *w, int base)
{
	struct buf sql = BUF_INIT;

	for (size_t i = 0; i < w->tables; i++) {
		const struct table *t = w->table[i];

		printf("  %s.%s:\n", base_name[base], t->name);
		buf_clear(&sql);
		buf_add_str(&sql, "SELECT ");
		for (unsigned c = 0; c < t->columns; c++)
			buf_addf(&sql, "%s%s(CAST(%s AS BINARY))", c ? ", " : "",
			    t->column[c].key_at >= 0 ? "HEX" : "", t->column[c].name);
		buf_addf(&sql, " FROM %s.%s ORDER BY 1", w->base[base], t->name);
		if (db_select(w->admin, sql.data, sql.len, print_row, NULL) != DB_OK)
			printf("    %s\n", db_error(w->admin));
	}
	buf_release(&sql);
}

static void print_stream(const struct stream_of *st)
{
	struct buf text = BUF_INIT;

	printf("  %s%s%zu rows a statement\n", st->partial ? "--partial, " : "",
	    st->rejects ? "-r, " : "", st->statement_rows ? st->statement_rows : UPSERT_ROWS);
	for (size_t i = 0; i < st->n; i++) {
		const struct event *e = &st->event[i];

		buf_clear(&text);
		if (e->kind == OUTSIDE_EVENT)
			buf_add_str(&text, e->sql);
		else
			add_line(&text, st->s, e);
		printf("  %s%s%s\n", buf_cstr(&text),
		    e->unfit     ? " unfit"
			: e->bad ? " bad"
				 : "",
		    e->ends_window ? "\n  --" : "");
	}
	buf_release(&text);
}

/* What differs, or NULL. */
static const char *same_outcome(const struct stream_of *st, const struct outcome *a,
    const struct outcome *b)
{
	if (a->stop != b->stop)
		return "the run stops at another record";
	for (size_t i = 0; i < st->n; i++)
		if (a->rejected[i] != b->rejected[i])
			return a->rejected[i] ? "a record is rejected" : "a record is not rejected";
	return NULL;
}

/* ---- one seed ---- */

static int clean(struct world *w, bool oracle_only)
{
	for (int b = oracle_only ? ORACLE : 0; b < BASES; b++)
		for (size_t i = 0; i < w->tables; i++)
			if (db_must(w->admin,
				db_runf(w->admin, "DELETE FROM %s.%s", w->base[b], w->table[i]->name),
				"DELETE") < 0)
				return -1;
	return 0;
}

/* The base that differs, and why; -1: none; -2: fail(). */
static int compare(struct world *w, const struct stream_of *st, int base, const struct outcome *o,
    const struct outcome *oracle, const char **why)
{
	int same;

	*why = same_outcome(st, o, oracle);
	same = *why ? 0 : same_rows(w, base);
	if (!same && !*why)
		*why = "other rows";
	return same < 0 ? -2 : same ? -1 : base;
}

static int run_base(struct world *w, int base, const struct stream_of *st, struct outcome *o)
{
	struct side as = { .db = w->db[base],
		.mapping = w->mapping,
		.reduce = base == REDUCED && !w->s->any_unique && !w->s->no_reduce };

	return run_side(&w->side[base][st->partial][st->rejects][st->statement_rows > 0], &as, st, o);
}

/* Positions that others have moved, or that went away, make all of them stale. */
static void close_sides(struct world *w)
{
	for (size_t i = 0; i < sizeof(w->side) / sizeof(struct side); i++)
		close_side(&w->side[0][0][0][0] + i);
}

static int try_stream(struct world *w, const struct stream_of *st, const char **why)
{
	struct outcome o[BASES];
	int r;

	if (clean(w, false) < 0 || run_base(w, REDUCED, st, &o[REDUCED]) < 0 ||
	    run_base(w, EXACT, st, &o[EXACT]) < 0 ||
	    run_oracle(w->db[ORACLE], w->mapping, st, NULL, &o[ORACLE]) < 0)
		return -2;
	r = compare(w, st, EXACT, &o[EXACT], &o[ORACLE], why);
	if (r != -1)
		return r;
	if (same_outcome(st, &o[REDUCED], &o[ORACLE]) &&
	    (clean(w, true) < 0 ||
		run_oracle(w->db[ORACLE], w->mapping, st, &o[REDUCED], &o[ORACLE]) < 0))
		return -2;
	return compare(w, st, REDUCED, &o[REDUCED], &o[ORACLE], why);
}

/* Again, when the positions are behind it. */
static int retry_stream(struct world *w, const struct stream_of *st, const char **why)
{
	close_sides(w);
	for (int b = 0; b < ORACLE; b++)
		if (db_must(w->admin, db_runf(w->admin, "DELETE FROM %s.sluice_positions", w->base[b]),
			"DELETE") < 0)
			return -2;
	return try_stream(w, st, why);
}

/* Leaves out of a stream what is not needed for it to differ. */
static void shrink(struct world *w, struct stream_of *st)
{
	const char *why;

	for (size_t i = st->n; i-- > 0 && st->n > 1;) {
		struct stream_of less = *st;

		if (i > 0)
			less.event[i - 1].ends_window |= less.event[i].ends_window;
		less.n--;
		memmove(&less.event[i], &less.event[i + 1], (less.n - i) * sizeof(*less.event));
		if (retry_stream(w, &less, &why) >= 0)
			*st = less;
	}
	for (size_t i = 0; i + 1 < st->n; i++) {
		struct stream_of less = *st;

		less.event[i].ends_window = false;
		if (st->event[i].ends_window && st->event[i + 1].kind != OUTSIDE_EVENT &&
		    retry_stream(w, &less, &why) >= 0)
			*st = less;
	}
}

static int try_seed(struct world *w, uint64_t seed)
{
	struct stream_of st;
	const char *why;
	int base;

	make_stream(w->s, seed, &st);
	if (verbose)
		print_stream(&st);
	base = try_stream(w, &st, &why);
	if (base < 0)
		return base == -1 ? 0 : -1;
	shrink(w, &st);
	print_stream(&st);
	base = retry_stream(w, &st, &why);
	if (base < 0)
		return base == -1 ? fail(EXIT_DATA, "it differed, but not each time") : -1;
	print_tables(w, base);
	print_tables(w, ORACLE);
	return fail(EXIT_DATA, "%s: %s", base_name[base], why);
}

/* ---- the databases ---- */

static int run_all(struct db *db, const char *sql)
{
	while (*sql) {
		size_t n = strcspn(sql, ";");
		int r = n > strspn(sql, " ") ? db_must(db, db_run(db, sql, n, NULL), sql) : 0;

		if (r < 0)
			return -1;
		sql += n + (sql[n] == ';');
	}
	return 0;
}

/* All defaults that are the time are the same. */
static int open_base(struct world *w, int base)
{
	struct db_config c = config;
	struct db *db;

	snprintf(w->base[base], sizeof(w->base[base]), "%s_%s", config.database, base_name[base]);
	if (db_must(w->admin, db_runf(w->admin, "CREATE DATABASE %s", w->base[base]), "CREATE") < 0)
		return -1;
	c.database = w->base[base];
	db = w->db[base] = db_open(&c);
	return !db ||
		db_must(db, db_runf(db, "SET timestamp = 1700000000, wait_timeout = 28800"), "SET") < 0 ||
		run_all(db, PARENTS) < 0 || (base != ORACLE && warehouse_prepare(db, true) < 0)
	    ? -1
	    : 0;
}

static void close_base(struct world *w, int base)
{
	db_close(w->db[base]);
	db_runf(w->admin, "DROP DATABASE IF EXISTS %s", w->base[base]);
}

/* The tables of all scenarios have these names. */
static int make_tables(struct world *w)
{
	for (int b = 0; b < BASES; b++) {
		const char *d = w->base[b];

		if (db_must(w->admin,
			db_runf(w->admin, "DROP TABLE IF EXISTS %s.a, %s.b, %s.c, %s.p, %s.t", d, d,
			    d, d, d),
			"DROP TABLE") < 0 ||
		    run_all(w->db[b], w->s->ddl) < 0)
			return -1;
	}
	return 0;
}

static int load_mapping(struct world *w)
{
	char file[] = "/tmp/sluice-order-XXXXXX";
	int fd = mkstemp(file);
	struct writer out;

	if (fd < 0)
		return fail_errno(0, "%s", file);
	writer_init(&out, fd, 0);
	buf_addf(&out.buf, "{\"tables\": [%s]}\n", w->s->mapping);
	if (writer_close(&out) == 0)
		w->mapping = mapping_load(w->db[REDUCED],
		    &(struct mapping_options){ .file = file, .any_unique = w->s->any_unique });
	writer_release(&out);
	unlink(file);
	if (!w->mapping)
		return -1;
	for (size_t i = 0; i < w->mapping->targets; i++)
		w->table[w->tables++] = w->mapping->target[i].table;
	for (size_t i = 0; i < COUNT(w->s->other) && w->s->other[i]; i++) {
		w->table[w->tables] = table_load(w->db[REDUCED], w->s->other[i], true);
		if (!w->table[w->tables++])
			return -1;
	}
	return 0;
}

/* Seeds are dealt out by their remainders; what is intricate gets more of them than a key of another type. */
struct share {
	const struct scenario *s;
	uint64_t from, to;
};

static uint64_t weight(const struct scenario *s)
{
	return s->feed[1].topic || s->other[0] || s->orphans ? 3 : 1;
}

static int run_scenario(struct world *w, const struct share *share, uint64_t all)
{
	uint64_t end = (uint64_t)(first_seed + streams), n = 0;
	int r;

	w->s = share->s;
	w->mapping = NULL;
	w->tables = 0;
	r = make_tables(w) < 0 || load_mapping(w) < 0 ? -1 : 0;
	for (uint64_t seed = (uint64_t)first_seed; r == 0 && seed < end; seed++) {
		if (seed % all < share->from || seed % all >= share->to)
			continue;
		n++;
		if (try_seed(w, seed) < 0)
			r = fail_context("seed %llu", (unsigned long long)seed);
	}
	if (n > 0 || r < 0)
		printf("%s %llu streams: %s\n", r == 0 ? "ok" : "not ok", (unsigned long long)n,
		    w->s->name);
	if (r < 0)
		printf("  %s\n", fail_message());
	fflush(stdout);
	close_sides(w);
	for (size_t i = w->mapping ? w->mapping->targets : w->tables; i < w->tables; i++)
		table_free(w->table[i]);
	mapping_free(w->mapping);
	return r;
}

/* Those that this server can have. */
static int run_scenarios(struct world *w)
{
	const char *server = db_mariadb(w->admin) ? "mariadb" : "mysql";
	struct share share[SCENARIOS];
	uint64_t all = 0;
	size_t n = 0;
	int failed = 0;

	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *s = &scenarios[i];

		if (s->server && strcmp(s->server, server) != 0)
			continue;
		share[n++] = (struct share){ s, all, all + weight(s) };
		all += weight(s);
	}
	for (size_t i = 0; i < n && !(first && failed); i++)
		if (!only || strstr(share[i].s->name, only))
			failed += run_scenario(w, &share[i], all) < 0;
	return failed;
}

int main(int argc, char **argv)
{
	struct world w = { 0 };
	int code, failed, r = 0;

	log_init("order");
	if (opt_parse(&tool, argc, argv, &code) < 0)
		return code;
	log_level(true, false);
	w.admin = db_open(&config);
	if (!w.admin ||
	    db_must(w.admin, db_runf(w.admin, "SET foreign_key_checks = 0, wait_timeout = 28800"),
		"SET") < 0)
		return (int)report();
	/* MySQL would start four threads for each COUNT(*). */
	if (!db_mariadb(w.admin))
		r = db_must(w.admin, db_runf(w.admin, "SET innodb_parallel_read_threads = 1"), "SET");
	for (int b = 0; b < BASES && r == 0; b++)
		r = open_base(&w, b);
	failed = r < 0 ? (int)report() : run_scenarios(&w);
	for (int b = 0; b < BASES; b++)
		close_base(&w, b);
	db_close(w.admin);
	return failed > 0;
}
