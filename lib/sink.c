#include "sink.h"

#include "base64.h"
#include "clock.h"
#include "lake.h"
#include "layout.h"
#include "log.h"
#include "positions.h"
#include "spool.h"
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SKIPPED_PATHS 64 /* so many are remembered for the warning of warn_skipped() */

struct sink {
	struct sink_options o;
	const char *name;
	struct lake *lake;
	struct spool *spool;
	struct stream stream;
	struct positions positions;
	struct writer *acks;
	struct sink_counts counts;
	struct buf path, key; /* scratch */
	uint64_t rejects;     /* in the spool */
	int64_t oldest_ms;    /* when the oldest uncommitted line came, clock_mono_ms(); -1: none */
	bool discard;         /* nothing uncommitted may be kept */
	char *skipped[SKIPPED_PATHS];
	int skipped_paths;
};

const char *sink_mode_name(enum sink_mode mode)
{
	static const char *const name[] = { "append", "overwrite", "ignore" };

	return name[mode];
}

struct sink *sink_open(const struct sink_options *o, struct writer *acks)
{
	struct sink *s = xcalloc(1, sizeof(*s));
	struct lake_options lake = { o->timeout_ms, o->roll_bytes };
	struct spool_options spool = { .gzip_level = o->gzip_level,
		.threads = o->threads,
		.snapshot = o->mode != SINK_APPEND };

	s->o = *o;
	s->name = o->name ? o->name : sink_mode_name(o->mode);
	s->acks = acks;
	s->oldest_ms = -1;
	stream_init(&s->stream);
	positions_init(&s->positions,
	    (struct positions_rules){ o->allow_gap, o->recreated, o->mode != SINK_APPEND });
	s->lake = lake_open(o->dir, &lake);
	if (s->lake)
		s->spool = spool_open(s->lake, &spool);
	if (!s->spool) {
		sink_close(s);
		return NULL;
	}
	lake_positions(s->lake, s->name, &s->positions);
	return s;
}

void sink_close(struct sink *s)
{
	if (!s)
		return;
	spool_close(s->spool);
	lake_close(s->lake);
	stream_release(&s->stream);
	positions_release(&s->positions);
	buf_release(&s->path);
	buf_release(&s->key);
	for (int i = 0; i < s->skipped_paths; i++)
		free(s->skipped[i]);
	free(s);
}

struct sink_counts sink_counts(const struct sink *s)
{
	struct sink_counts c = s->counts;

	c.skipped = (uint64_t)s->positions.skipped;
	return c;
}

/* ---- commit ---- */

/* After a commit, or when there was nothing to commit: what is stored already is as durable. */
static int acknowledge(struct sink *s)
{
	struct position **named;
	size_t n;

	if (!s->o.acks)
		return 0;
	n = positions_named(&s->positions, &named);
	positions_print(named, n, &s->acks->buf);
	free(named);
	return writer_flush(s->acks);
}

static int commit(struct sink *s)
{
	struct position **moved;
	struct lake_file *add = NULL;
	struct lake_commit c = { .name = s->name,
		.exclusive = s->o.mode == SINK_IGNORE,
		.remove_others = s->o.mode == SINK_OVERWRITE };
	bool stands;
	int r;

	s->oldest_ms = -1;
	c.position_count = positions_moved(&s->positions, &moved);
	c.positions = moved;
	r = spool_finish(s->spool, &add, &c.add_count);
	c.add = add;
	if (r == 0 && c.position_count + c.add_count > 0) {
		r = lake_commit(s->lake, &c, &stands);
		if (r == 0) {
			s->counts.commits++;
			s->counts.files += c.add_count;
			s->counts.stored += (uint64_t)spool_records(s->spool) - s->rejects;
			s->counts.rejected += s->rejects;
			for (size_t i = 0; i < c.add_count; i++)
				s->counts.bytes += add[i].bytes;
		}
	}
	if (r == 0)
		r = acknowledge(s);
	if (r < 0) /* nobody hears of what comes now: sink_abort must not go on */
		s->discard = true;
	positions_begin(&s->positions);
	spool_reset(s->spool);
	s->rejects = 0;
	free(moved);
	free(add);
	return r;
}

int64_t sink_deadline(const struct sink *s)
{
	bool may = s->o.mode == SINK_APPEND && s->oldest_ms >= 0 &&
	    positions_may_commit(&s->positions);

	return may ? s->oldest_ms + s->o.interval_ms : -1;
}

int sink_tick(struct sink *s)
{
	int64_t due = sink_deadline(s);

	return due >= 0 && clock_mono_ms() >= due ? commit(s) : 0;
}

/* Something came that a commit would make durable, or acknowledge. */
static void uncommitted(struct sink *s)
{
	if (s->oldest_ms < 0)
		s->oldest_ms = clock_mono_ms();
}

/* ---- storing one line ---- */

static int64_t time_of(const struct line *l)
{
	return l->has_ts ? l->ts : -1;
}

static void flat_members(const struct line *l, struct buf *to, bool first)
{
	if (l->kind != LINE_RECORD)
		return;
	buf_add_str(to, first ? "\"_topic\":" : ",\"_topic\":");
	json_escape(to, l->topic.p, l->topic.n);
	buf_add_str(to, ",\"_partition\":");
	buf_add_int(to, l->partition);
	buf_add_str(to, ",\"_offset\":");
	buf_add_int(to, l->offset);
	buf_add_str(to, ",\"_ts\":");
	if (l->has_ts)
		buf_add_int(to, l->ts);
	else
		buf_add_str(to, "null");
	if (l->key_enc == ENC_BASE64)
		buf_add_str(to, ",\"_key_enc\":\"base64\"");
	buf_add_str(to, ",\"_key\":");
	if (l->key.type == JSON_NONE)
		buf_add_str(to, "null");
	else
		buf_add_span(to, l->key.raw);
}

static void shape_flat(struct sink *s, const struct line *l, struct buf *to)
{
	struct json_value v = stream_payload(&s->stream, l);
	struct span inside = { v.raw.p + 1, v.raw.n - 2 };
	bool empty;

	buf_add_char(to, '{');
	if (l->payload_enc == ENC_NONE) {
		flat_members(l, to, true);
		buf_add_str(to, ",\"_tombstone\":true}");
		return;
	}
	while (inside.n > 0 && strchr(" \t\r\n", inside.p[inside.n - 1]))
		inside.n--;
	empty = inside.n == 0;
	buf_add_span(to, inside);
	flat_members(l, to, empty);
	buf_add_char(to, '}');
}

/* A bare object, perhaps with a path that somebody put into it: the path is not the payload's. */
static bool own_payload(const struct line *l)
{
	return l->kind == LINE_BARE && l->payload.type == JSON_NONE;
}

/* Appends the line as it is stored; the caller knows that the shape fits. */
static void shape(struct sink *s, const struct line *l, struct buf *to)
{
	if (s->o.shape == SINK_FLAT && !own_payload(l))
		shape_flat(s, l, to);
	else if (s->o.shape == SINK_PAYLOAD && !own_payload(l))
		buf_add_span(to, stream_payload(&s->stream, l).raw);
	else
		stream_without_path(l, to);
	buf_add_char(to, '\n');
}

/* Why the payload cannot be stored in the wanted shape; NULL: it can. */
static const char *shape_problem(struct sink *s, const struct line *l)
{
	if (s->o.shape != SINK_FLAT || l->payload_enc == ENC_NONE)
		return NULL;
	return stream_payload(&s->stream, l).type == JSON_OBJECT
	    ? NULL
	    : "the payload is not an object, so it cannot be flat";
}

static struct span path_of(struct sink *s, const struct line *l)
{
	if (l->path.type == JSON_STRING) {
		buf_clear(&s->path);
		return json_text(&l->path, &s->path);
	}
	return (struct span){ s->o.path, s->o.path ? strlen(s->o.path) : 0 };
}

static struct spool_file *file_of(struct sink *s, struct span path)
{
	struct spool_file *f = spool_find(s->spool, path);
	int there;

	if (f || s->o.mode != SINK_IGNORE)
		return f ? f : spool_get(s->spool, path);
	there = lake_has_files(s->lake, path);
	if (there < 0)
		return NULL;
	return there ? spool_ignore(s->spool, path) : spool_get(s->spool, path);
}

static int store(struct sink *s, const struct line *l, struct spool_file *f)
{
	size_t before = f->raw.len;

	uncommitted(s);
	if (f->ignored) {
		s->counts.ignored++;
		return 0;
	}
	shape(s, l, &f->raw);
	if (spool_added(s->spool, f, f->raw.len - before, time_of(l)) < 0) {
		s->discard = true;
		return -1;
	}
	if (s->o.mode == SINK_APPEND &&
	    (spool_raw_bytes(s->spool) >= s->o.size || spool_full(s->spool)) &&
	    positions_may_commit(&s->positions))
		return commit(s);
	return 0;
}

/* ---- rejects ---- */

/* Why, as a JSON string: a message may be cut in the middle of a character, or name a DIR that is no UTF-8. */
static void format_reason(const char *why, struct buf *to)
{
	size_t n = strlen(why), valid = n;

	for (int i = 0; i < 3 && valid > 0 && !utf8_valid(why, valid); i++)
		valid--;
	if (utf8_valid(why, valid)) {
		json_escape(to, why, valid);
		return;
	}
	buf_add_char(to, '"');
	for (size_t i = 0; i < n; i++)
		buf_add_char(to,
		    (unsigned char)why[i] < 0x20 || (unsigned char)why[i] >= 0x7f ||
			    why[i] == '"' || why[i] == '\\'
			? '?'
			: why[i]);
	buf_add_char(to, '"');
}

static void format_reject(const struct line *l, struct span text, const char *why, struct buf *to)
{
	buf_add_str(to, "{\"reason\":");
	format_reason(why, to);
	if (l->kind == LINE_RECORD) {
		buf_add_str(to, ",\"topic\":");
		json_escape(to, l->topic.p, l->topic.n);
		buf_add_str(to, ",\"partition\":");
		buf_add_int(to, l->partition);
		buf_add_str(to, ",\"offset\":");
		buf_add_int(to, l->offset);
	}
	if (utf8_valid(text.p, text.n)) {
		buf_add_str(to, ",\"line\":");
		json_escape(to, text.p, text.n);
	} else {
		buf_add_str(to, ",\"line_enc\":\"base64\",\"line\":\"");
		base64_encode(to, text.p, text.n);
		buf_add_char(to, '"');
	}
	buf_add_str(to, "}\n");
}

static int keep_reject(struct sink *s, const struct line *l, struct span text, const char *why)
{
	struct span path = { s->o.reject_path, strlen(s->o.reject_path) };
	struct spool_file *f = spool_get(s->spool, path);
	size_t before;

	if (!f) {
		s->discard = true;
		return -1;
	}
	f->file.snapshot = false; /* rejects of other pipelines stay */
	before = f->raw.len;
	format_reject(l, text, why, &f->raw);
	s->rejects++;
	uncommitted(s);
	if (spool_added(s->spool, f, f->raw.len - before, time_of(l)) < 0) {
		s->discard = true;
		return -1;
	}
	return 0;
}

/* A line that cannot be stored: kept as a reject, or the end of the run. What is stored already is neither. */
static int bad(struct sink *s, const struct line *l, struct span text, uint64_t number, const char *why)
{
	char reason[512];

	snprintf(reason, sizeof(reason), "%s", why);
	if (l->kind == LINE_MARK) /* it may have told of a gap: never a reject */
		return fail(EXIT_DATA, "stdin:%" PRIu64 ": %s", number, reason);
	if (l->kind == LINE_RECORD) {
		bool has = positions_has(&s->positions, l);

		if (has || s->o.rejects) {
			enum position_verdict verdict = positions_record(&s->positions, l);

			if (verdict == POSITION_FAIL) {
				s->discard = true;
				return fail_context("stdin:%" PRIu64, number);
			}
			if (verdict == POSITION_SKIP)
				return 0;
		}
	}
	if (s->o.rejects)
		return keep_reject(s, l, text, reason);
	if (l->kind == LINE_RECORD)
		return fail(EXIT_DATA, "stdin:%" PRIu64 ": %.*s/%d: offset %" PRId64 ": %s", number,
		    (int)l->topic.n, l->topic.p, l->partition, l->offset, reason);
	return fail(EXIT_DATA, "stdin:%" PRIu64 ": %s", number, reason);
}

/* ---- one line ---- */

static void remember_skipped(struct sink *s, struct span path)
{
	for (int i = s->skipped_paths; i > 0; i--)
		if (span_is(path, s->skipped[i - 1]))
			return;
	if (s->skipped_paths < SKIPPED_PATHS)
		s->skipped[s->skipped_paths++] = xstrndup(path.p, path.n);
}

static const char *line_problem(struct sink *s, const struct line *l, struct span path)
{
	const char *problem = NULL;

	if (path.n == 0)
		return "no path: put partition before this sink, or pass -p PATH";
	if (!spool_find(s->spool, path)) /* else it was looked at before */
		problem = path_problem(path);
	return problem ? problem : shape_problem(s, l);
}

static int take(struct sink *s, const struct line *l, struct span text, uint64_t number)
{
	struct span path = path_of(s, l);
	const char *problem = line_problem(s, l, path);
	struct spool_file *f;
	enum position_verdict verdict;

	if (problem)
		return bad(s, l, text, number, problem);
	/* A path that the file system will not have is bad data too: tried before the position moves. */
	if (l->kind == LINE_RECORD && positions_has(&s->positions, l)) {
		f = NULL;
	} else if (!(f = file_of(s, path))) {
		if (fail_code() == EXIT_DATA)
			return bad(s, l, text, number, fail_message());
		s->discard = true;
		return -1;
	}
	if (l->kind == LINE_RECORD) {
		verdict = positions_record(&s->positions, l);
		if (verdict == POSITION_FAIL) {
			s->discard = true;
			return fail_context("stdin:%" PRIu64, number);
		}
		if (verdict == POSITION_SKIP) {
			remember_skipped(s, path);
			if (s->o.acks)
				uncommitted(s);
			return 0;
		}
	}
	return store(s, l, f);
}

int sink_line(struct sink *s, struct span text, uint64_t number, bool tail)
{
	struct line l;

	if (stream_parse(&s->stream, text, &l) < 0) {
		/* Its writer was killed: as a reject it would move the position over a record that is not here. */
		if (tail && !json_valid(text.p, text.n, NULL))
			return fail_context(*text.p == '{'
				? "stdin:%" PRIu64
				  ": the last line is incomplete: what feeds this was cut short"
				: "stdin:%" PRIu64,
			    number);
		s->counts.in += l.kind != LINE_MARK;
		return bad(s, &l, text, number, fail_message());
	}
	if (l.kind == LINE_MARK) {
		if (positions_mark(&s->positions, &l) < 0) {
			s->discard = true;
			return fail_context("stdin:%" PRIu64, number);
		}
		if (l.mark == MARK_POSITION)
			uncommitted(s);
		return 0;
	}
	s->counts.in++;
	s->positions.ended = false; /* an end mark counts as the last line only */
	return take(s, &l, text, number);
}

/* ---- the end ---- */

/*
 * Records were skipped because this name has stored their offsets, but perhaps another pipeline did so into
 * other paths: two that read one topic differently into one lake need two names.
 */
static void warn_skipped(struct sink *s)
{
	struct lake_catalog c;
	bool known = true;

	if (s->skipped_paths == 0)
		return;
	if (lake_catalog_read(s->o.dir, &c) == 0) {
		for (int i = 0; known && i < s->skipped_paths; i++) {
			struct span path = { s->skipped[i], strlen(s->skipped[i]) };

			known = lake_catalog_wrote(&c, s->name, path);
			if (!known)
				warn("records for %s were skipped as stored, but the name \"%s\" never wrote "
				     "there: a second pipeline over one topic needs a name of its own (-N)",
				    s->skipped[i], s->name);
		}
	}
	lake_catalog_release(&c);
}

static int make_roots(struct sink *s)
{
	for (size_t i = 0; i < s->o.roots; i++)
		if (!file_of(s, (struct span){ s->o.root[i], strlen(s->o.root[i]) }))
			return -1;
	return 0;
}

int sink_end(struct sink *s, bool stopped)
{
	bool trusted = s->positions.marks ? s->positions.ended : s->o.trust_eof && !stopped;

	if (stopped && !positions_may_commit(&s->positions)) {
		warn("stopped before --recreated was proven right: nothing was stored");
		s->discard = true;
		return 0;
	}
	if (positions_end(&s->positions, stopped) < 0) {
		s->discard = true;
		return -1;
	}
	warn_skipped(s);
	if (s->o.mode != SINK_APPEND && !trusted) {
		s->discard = true;
		return stopped
		    ? 0
		    : fail(EXIT_DATA,
			  "the stream has no end mark: nothing was published (was what feeds it cut "
			  "short? use kread --marks, or --trust-eof)");
	}
	if (make_roots(s) < 0) {
		s->discard = true;
		return -1;
	}
	return commit(s);
}

void sink_abort(struct sink *s)
{
	enum exit_code code = fail_code();
	char message[1024];

	if (s->discard || s->o.mode != SINK_APPEND || !positions_may_commit(&s->positions))
		return;
	snprintf(message, sizeof(message), "%s", fail_message());
	if (commit(s) < 0 && !s->acks->broken)
		report();
	fail(code, "%s", message);
}

/* ---- as a pump ---- */

static int on_line(void *ctx, struct span text, uint64_t number, bool tail)
{
	return sink_line(ctx, text, number, tail);
}

static int64_t on_deadline(const void *ctx)
{
	return sink_deadline(ctx);
}

static int on_tick(void *ctx)
{
	return sink_tick(ctx);
}

static int on_end(void *ctx, bool stopped)
{
	return sink_end(ctx, stopped);
}

static void on_abort(void *ctx)
{
	sink_abort(ctx);
}

struct pump sink_pump(struct sink *s)
{
	return (struct pump){ s, on_line, on_deadline, on_tick, on_end, on_abort };
}
