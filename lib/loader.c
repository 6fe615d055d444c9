#include "loader.h"

#include "apply.h"
#include "clock.h"
#include "log.h"
#include "positions.h"
#include "row.h"
#include "stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 5 /* while the server is busy: so soon it is looked at again */

struct loader {
	struct loader_options o;
	const char *name;
	const struct mapping *mapping;
	struct db *db;
	struct writer *out;
	struct stream *stream; /* of rows */
	struct rows *rows;
	struct row *row; /* one for each target */
	struct positions positions;
	struct window *window, *other; /* being filled; being applied, or empty */
	struct apply *apply;
	uint64_t in, bytes; /* records and their lines */
	uint64_t misfits;   /* of -n: what would be rejects */
	int64_t oldest_ms; /* when the oldest line of the window came, clock_mono_ms(); -1: it is empty */
	int64_t looked_ms; /* when the clock was looked at last: not for each line */
	bool discard;      /* nothing that is not committed may be written any more */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock: */
	struct window *job; /* for the thread */
	bool quit;
	/* Written by the thread before it sets idle, which the main thread reads without the lock. */
	atomic_bool idle;
	enum exit_code code; /* EXIT_DONE, or why the last job failed */
	char message[1024];
};

/* ---- the thread ---- */

static int print_moves(struct loader *l, const struct window_move *move, size_t n)
{
	for (size_t i = 0; i < n; i++)
		stream_mark_position(&l->out->buf,
		    (struct span){ move[i].place->topic, move[i].place->topic_len },
		    move[i].place->partition, move[i].next, move[i].last_offset, move[i].last_ts);
	return writer_flush(l->out);
}

/* What is durable now is acknowledged; applied: so many records of the window. */
static int acknowledge(struct loader *l, struct window *w, size_t applied)
{
	struct window_move *part;
	size_t n;
	int r;

	if (!l->o.acks)
		return 0;
	if (applied == window_records(w)) {
		const struct window_move *all = window_moves(w, &n);

		return print_moves(l, all, n);
	}
	part = window_moves_before(w, applied, &n);
	r = print_moves(l, part, n);
	free(part);
	return r;
}

static void keep_failure(struct loader *l)
{
	l->code = fail_code();
	snprintf(l->message, sizeof(l->message), "%s", fail_message());
}

static void do_job(struct loader *l, struct window *w)
{
	size_t applied;
	int r = apply_window(l->apply, w, &applied);

	if (r < 0)
		keep_failure(l);
	if ((r == 0 || applied > 0) && acknowledge(l, w, applied) < 0 && r == 0)
		keep_failure(l);
}

static void *work(void *ctx)
{
	struct loader *l = ctx;

	db_thread_begin();
	pthread_mutex_lock(&l->lock);
	for (;;) {
		while (!l->job && !l->quit)
			pthread_cond_wait(&l->changed, &l->lock);
		if (!l->job)
			break;
		pthread_mutex_unlock(&l->lock);
		do_job(l, l->job);
		pthread_mutex_lock(&l->lock);
		l->job = NULL;
		atomic_store(&l->idle, true);
		pthread_cond_broadcast(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	db_thread_end();
	return NULL;
}

static int start(struct loader *l)
{
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are main's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&l->thread, NULL, work, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	l->started = r == 0;
	return r == 0 ? 0 : fail(EXIT_IO, "cannot start a thread: %s", strerror(r));
}

static void wait_idle(struct loader *l)
{
	pthread_mutex_lock(&l->lock);
	while (l->job)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

/* ---- opening ---- */

static int prepare(struct loader *l)
{
	struct apply_options apply = { .name = l->name, .rejects = l->o.rejects, .partial = l->o.partial };

	if (warehouse_check_name(l->name) < 0 ||
	    (!l->o.dry && warehouse_prepare(l->db, l->o.rejects) < 0) ||
	    warehouse_positions(l->db, l->name, &l->positions) < 0)
		return -1;
	if (l->o.dry)
		return 0;
	l->apply = apply_new(l->db, l->mapping, &apply);
	return l->apply ? start(l) : -1;
}

struct loader *loader_open(struct db *db, const struct mapping *m, const struct loader_options *o,
    struct writer *out)
{
	struct loader *l = xcalloc(1, sizeof(*l));
	struct window_rules rules = { .reduce = o->reduce, .partial = o->partial };

	l->o = *o;
	l->db = db;
	l->mapping = m;
	l->out = out;
	l->name = o->name ? o->name : m->name;
	l->oldest_ms = -1;
	atomic_init(&l->idle, true);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	positions_init(&l->positions, (struct positions_rules){ o->allow_gap, o->recreated, false });
	l->rows = rows_new(m, &(struct rows_options){ .partial = o->partial });
	l->stream = rows_stream(l->rows);
	l->row = xcalloc(m->targets, sizeof(*l->row));
	l->window = window_new(m, rules);
	l->other = window_new(m, rules);
	if (prepare(l) == 0)
		return l;
	loader_close(l);
	return NULL;
}

void loader_close(struct loader *l)
{
	if (!l)
		return;
	if (l->started) {
		pthread_mutex_lock(&l->lock);
		l->quit = true;
		pthread_cond_broadcast(&l->changed);
		pthread_mutex_unlock(&l->lock);
		pthread_join(l->thread, NULL);
	}
	apply_free(l->apply);
	window_free(l->window);
	window_free(l->other);
	rows_free(l->rows);
	free(l->row);
	positions_release(&l->positions);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	free(l);
}

struct loader_counts loader_counts(struct loader *l)
{
	struct apply_counts a = { 0 };
	struct rows_counts r = rows_counts(l->rows);

	wait_idle(l);
	if (l->apply)
		a = apply_counts(l->apply);
	return (struct loader_counts){ l->in, a.upserted, a.deleted, (uint64_t)l->positions.skipped,
		a.rejected + l->misfits, a.retried, a.commits, r.rounded, r.unknown, l->bytes };
}

/* ---- windows ---- */

static int print_run(void *ctx, const struct window_run *run)
{
	struct loader *l = ctx;
	struct upsert_form form = { .bytes = db_max_packet(l->db), .alias = db_row_alias(l->db) };
	struct buf sql = BUF_INIT;
	int r = 0;

	for (size_t done = 0, n; done < run->count && r == 0; done += n ? n : 1) {
		n = upsert_statement(&sql, run, done, &form);
		buf_add_span(&l->out->buf, buf_span(&sql));
		buf_add_str(&l->out->buf, ";\n");
		r = writer_flush(l->out);
	}
	buf_release(&sql);
	return r;
}

/* Whether the last job went well; else nothing that came after it may be written. */
static int check_job(struct loader *l)
{
	if (l->code == EXIT_DONE)
		return 0;
	l->discard = true;
	return fail(l->code, "%s", l->message);
}

/* Waits until the thread has nothing to do, and gives it the window. */
static int hand_over(struct loader *l)
{
	struct window *w = l->window;
	int r;

	l->oldest_ms = -1;
	if (l->o.dry) {
		r = window_runs(w, print_run, l);
		window_close(w, &l->positions);
		window_clear(w);
		return r;
	}
	wait_idle(l);
	if (check_job(l) < 0)
		return -1;
	window_close(w, &l->positions);
	l->window = l->other;
	l->other = w;
	window_clear(l->window);
	pthread_mutex_lock(&l->lock);
	l->job = w;
	atomic_store(&l->idle, false);
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static bool may_commit(const struct loader *l)
{
	return l->oldest_ms >= 0 && positions_may_commit(&l->positions);
}

int64_t loader_deadline(const struct loader *l)
{
	/* While the thread works, it may fail, and perhaps no line comes any more that would notice. */
	if (!atomic_load(&l->idle))
		return l->looked_ms + POLL_MS;
	if (l->code != EXIT_DONE)
		return l->looked_ms;
	return may_commit(l) ? l->oldest_ms + l->o.interval_ms : -1;
}

int loader_tick(struct loader *l)
{
	l->looked_ms = clock_mono_ms();
	if (atomic_load(&l->idle)) {
		if (check_job(l) < 0)
			return -1;
		if (may_commit(l) && l->looked_ms >= l->oldest_ms + l->o.interval_ms)
			return hand_over(l);
	}
	return 0;
}

/* Something came that a commit would make durable, or acknowledge. */
static void uncommitted(struct loader *l)
{
	if (l->oldest_ms < 0)
		l->oldest_ms = clock_mono_ms();
}

/* After a record: the window goes out when it has enough and the server is free, and when it is full in any case. */
static int added(struct loader *l)
{
	uncommitted(l);
	if (!positions_may_commit(&l->positions))
		return 0;
	if (window_bytes(l->window) >= (size_t)l->o.buffer / 2)
		return hand_over(l);
	if (window_records(l->window) >= (size_t)l->o.rows && atomic_load(&l->idle))
		return hand_over(l);
	return 0;
}

/* ---- lines ---- */

static int fail_line(uint64_t number, const struct line *line, const struct row_problem *p)
{
	struct buf what = BUF_INIT;
	int r;

	if (p->table)
		buf_addf(&what, "%s%s%s: ", p->table, p->column ? "." : "", p->column ? p->column : "");
	buf_add_str(&what, p->why);
	if (line->kind == LINE_RECORD)
		r = fail(EXIT_DATA, "stdin:%" PRIu64 ": %.*s/%" PRId32 ": offset %" PRId64 ": %s",
		    number, (int)line->topic.n, line->topic.p, line->partition, line->offset,
		    buf_cstr(&what));
	else
		r = fail(EXIT_DATA, "stdin:%" PRIu64 ": %s", number, buf_cstr(&what));
	buf_release(&what);
	return r;
}

/* -n -r: what would be kept. */
static void show_misfit(struct loader *l, uint64_t number, const struct line *line,
    const struct row_problem *p)
{
	fail_line(number, line, p);
	warn("%s", fail_message());
	l->misfits++;
}

/* A record or bare object: 0 to go on, 1: skipped, -1. *place: its position, NULL: none. */
static int move_position(struct loader *l, uint64_t number, const struct line *line,
    const struct position **place)
{
	enum position_verdict verdict;

	*place = NULL;
	if (line->kind != LINE_RECORD)
		return 0;
	verdict = positions_record(&l->positions, line);
	if (verdict == POSITION_FAIL) {
		l->discard = true;
		return fail_context("stdin:%" PRIu64, number);
	}
	if (verdict == POSITION_SKIP) {
		if (l->o.acks)
			uncommitted(l);
		return 1;
	}
	*place = l->positions.recent;
	return 0;
}

static int take(struct loader *l, uint64_t number, const struct line *line)
{
	bool has = line->kind == LINE_RECORD && positions_has(&l->positions, line);
	struct row_problem problem;
	const struct position *place;
	bool fits = true;
	int r;

	if (!has) {
		fits = rows_convert(l->rows, line, l->row, &problem) == 0;
		if (!fits && !l->o.rejects)
			return fail_line(number, line, &problem);
		if (!fits && l->o.dry)
			show_misfit(l, number, line, &problem);
	}
	r = move_position(l, number, line, &place);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (fits)
		window_add(l->window, line, number, place, l->row);
	else
		window_add_reject(l->window, line, number, place, &problem);
	return added(l);
}

int loader_line(struct loader *l, struct span text, uint64_t number, bool tail)
{
	struct line line;

	if (stream_parse(l->stream, text, &line) < 0) {
		if (tail && !json_valid(text.p, text.n, NULL) && *text.p == '{')
			return fail_context("stdin:%" PRIu64
					    ": the last line is incomplete: what feeds this was cut short",
			    number);
		return fail_context("stdin:%" PRIu64, number);
	}
	if (warehouse_check_topic(line.topic) < 0)
		return fail_context("stdin:%" PRIu64, number);
	if (line.kind == LINE_MARK) {
		if (positions_mark(&l->positions, &line) < 0) {
			l->discard = true;
			return fail_context("stdin:%" PRIu64, number);
		}
		if (line.mark == MARK_POSITION)
			uncommitted(l);
		return 0;
	}
	l->in++;
	l->bytes += text.n;
	l->positions.ended = false; /* an end mark counts as the last line only */
	return take(l, number, &line);
}

/* ---- the end ---- */

/* Applies what there is, and waits for it. */
static int finish(struct loader *l)
{
	if (hand_over(l) < 0)
		return -1;
	if (l->o.dry)
		return 0;
	wait_idle(l);
	return check_job(l);
}

int loader_end(struct loader *l, bool stopped)
{
	if (stopped && !positions_may_commit(&l->positions)) {
		warn("stopped before --recreated was proven right: nothing was stored");
		l->discard = true;
		return 0;
	}
	if (positions_end(&l->positions, stopped) < 0) {
		l->discard = true;
		return -1;
	}
	return finish(l);
}

void loader_abort(struct loader *l)
{
	enum exit_code code = fail_code();
	char message[1024];

	if (l->discard || !positions_may_commit(&l->positions))
		return;
	snprintf(message, sizeof(message), "%s", fail_message());
	if (finish(l) < 0) /* of records that came before: that is what ended the run */
		return;
	fail(code, "%s", message);
}

/* ---- as a pump ---- */

static int on_line(void *ctx, struct span text, uint64_t number, bool tail)
{
	return loader_line(ctx, text, number, tail);
}

static int64_t on_deadline(const void *ctx)
{
	return loader_deadline(ctx);
}

static int on_tick(void *ctx)
{
	return loader_tick(ctx);
}

static int on_end(void *ctx, bool stopped)
{
	return loader_end(ctx, stopped);
}

static void on_abort(void *ctx)
{
	loader_abort(ctx);
}

struct pump loader_pump(struct loader *l)
{
	return (struct pump){ l, on_line, on_deadline, on_tick, on_end, on_abort };
}
