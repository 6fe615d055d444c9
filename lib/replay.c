#include "replay.h"

#include "beneath.h"
#include "datafile.h"
#include "interleave.h"
#include "lake_internal.h"
#include "log.h"
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_TRIES     5
#define SPARE_FDS      64                  /* descriptors that are not for data files */
#define MERGE_MEMORY   ((size_t)128 << 20) /* blocks of all files that are merged */
#define MERGE_BLOCK    ((size_t)8 << 10)   /* but never less a file */
#define PROGRESS_EVERY 1024                /* records */

/* One partition of a topic. */
struct part {
	struct position *at; /* topic and partition: the map's entry */
	size_t number;
	bool wanted; /* -t */
	char *owner; /* the name whose positions count: the one that has files */
	bool live;   /* a commit of it has files */
	int64_t lost; /* files of this commit and all before are gone, retention took them; -1: none */
	bool met;     /* its start mark is out */
	int64_t from; /* where the commit at hand found it; -1: not known */
	int64_t seen; /* the last offset written; -1: none */
	bool warned;
	bool pending;                     /* a position mark is to come at the end */
	struct journal_position position; /* that mark; its spans are not valid */
};

/* A file of the commit at hand and its next line. */
struct source {
	const struct lake_entry *entry;
	struct datafile *file;
	char *prefix; /* {"path":"P" */
	size_t prefix_len;
	bool head, done; /* a line was read and not yet written; there is no more */
	struct span text;
	struct part *part; /* NULL: not a record */
	int64_t offset;
	bool wrap; /* the line is a payload that must stand in a member of that name */
};

struct replay {
	struct replay_options o;
	struct lake_catalog catalog;
	struct lake_catalog later; /* read again when a file was not what it should be */
	int *fd;                   /* by index in the catalog: snapshots, opened in advance; -1 */
	struct stream stream;
	struct stream bare; /* the topic of what is no record */
	int want[2];
	struct positions map; /* its entries' `own` is our struct part */
	struct part **part;
	size_t parts;
	char *several; /* what replay_open complains about: a topic with several names */
	struct writer *out;
	struct progress *progress;
	struct replay_counts counts;
	bool stopped, finished;
};

/* ---- partitions ---- */

static bool wanted_topic(const struct replay *r, struct span topic)
{
	bool wanted = r->o.topics == 0;

	for (size_t i = 0; !wanted && i < r->o.topics; i++)
		wanted = span_is(topic, r->o.topic[i]);
	return wanted;
}

static struct part *get_part(struct replay *r, struct span topic, int32_t partition)
{
	struct position *at = positions_get(&r->map, topic, partition);
	struct part *p = at->own;

	if (p)
		return p;
	p = at->own = xcalloc(1, sizeof(*p));
	p->at = at;
	p->number = r->parts;
	p->wanted = wanted_topic(r, topic);
	p->lost = p->from = p->seen = -1;
	r->part = xrealloc(r->part, (r->parts + 1) * sizeof(struct part *));
	r->part[r->parts++] = p;
	return p;
}

/* ---- the survey: what is there, and under which names ---- */

/* The entry of a file that this line has added, if it is still there and not of a later commit. */
static const struct lake_entry *live_entry(const struct replay *r, const struct journal_line *line,
    size_t add)
{
	const struct lake_entry *e = lake_catalog_find(&r->catalog, line->add[add].file);

	return e && e->live && e->commit == line->commit ? e : NULL;
}

static bool wanted_line(struct replay *r, const struct journal_line *line)
{
	bool wanted = r->o.topics == 0;

	if (line->snapshot || (r->o.name && !span_is(line->name, r->o.name)))
		return false;
	for (size_t i = 0; !wanted && i < line->positions; i++)
		wanted = wanted_topic(r, line->position[i].topic);
	return wanted;
}

/* Two names that have files with records of one partition: its offsets would come twice. */
static void note_several(struct replay *r, const struct part *p, struct span name)
{
	struct buf b = BUF_INIT;

	if (r->several)
		return;
	buf_addf(&b, "%s was stored under the names \"%s\" and \"%.*s\": choose one with -N",
	    p->at->topic, p->owner, (int)name.n, name.p);
	buf_cstr(&b);
	r->several = b.data;
}

static void survey_position(struct replay *r, const struct journal_line *line,
    const struct journal_position *at, bool live)
{
	struct part *p = get_part(r, at->topic, at->partition);
	bool snapshot = line->adds > 0 && lake_is_snapshot_name(line->add[0].file);

	if (!p->wanted)
		return;
	if (live && p->live && !span_is(line->name, p->owner))
		note_several(r, p, line->name);
	if (!p->owner || (live && !p->live)) {
		free(p->owner);
		p->owner = xstrndup(line->name.p, line->name.n);
	}
	p->live |= live;
	/* What overwrite has replaced is not lost: a later snapshot begins at the beginning again. */
	if (!p->live && line->adds > 0 && !snapshot)
		p->lost = line->commit;
}

static int survey_line(void *ctx, const struct journal_line *line)
{
	struct replay *r = ctx;
	bool live = false;

	if (!wanted_line(r, line))
		return 0;
	for (size_t i = 0; i < line->adds; i++) {
		const struct lake_entry *e = live_entry(r, line, i);

		live |= e != NULL;
		r->counts.total += e ? (uint64_t)e->records : 0;
	}
	for (size_t i = 0; i < line->positions; i++)
		survey_position(r, line, &line->position[i], live);
	return 0;
}

/* ---- files ---- */

/*
 * A file was not what the catalog says. If a later commit has removed or replaced it that is no damage.
 * 1: it was removed; 0: it is damaged; -1 with fail(): it was replaced.
 */
static int was_removed(struct replay *r, const struct lake_entry *e)
{
	struct span file = { e->file, strlen(e->file) };
	const struct lake_entry *now = lake_catalog_find(&r->later, file);
	char why[1024];

	if (!now || (now->live && now->commit == e->commit)) {
		snprintf(why, sizeof(why), "%s", fail_message());
		lake_catalog_release(&r->later);
		if (lake_catalog_read(r->o.dir, &r->later) < 0)
			return -1;
		now = lake_catalog_find(&r->later, file);
		fail(EXIT_DATA, "%s", why);
	}
	if (now && now->commit != e->commit)
		return fail(EXIT_TRYAGAIN,
		    "%s/%s: was replaced by commit %" PRId64 " while the lake was read: run again",
		    r->o.dir, e->file, now->commit);
	return now && !now->live;
}

static size_t dir_length(const char *file)
{
	return beneath_dirname(file, strlen(file));
}

static void begin_source(struct source *s, const struct lake_entry *e)
{
	struct buf prefix = BUF_INIT;

	buf_add_str(&prefix, "{\"path\":");
	json_escape(&prefix, e->file, dir_length(e->file));
	*s = (struct source){ .entry = e, .prefix = prefix.data, .prefix_len = prefix.len };
}

static void end_source(struct source *s)
{
	datafile_close(s->file);
	free(s->prefix);
	*s = (struct source){ .done = true };
}

/* 1: open, 0: the file was removed meanwhile, -1 with fail(). */
static int open_source(struct replay *r, struct source *s, const struct datafile_options *options)
{
	size_t index = (size_t)(s->entry - r->catalog.entry);
	struct datafile_options o = *options;
	int removed;

	o.fd = r->fd[index];
	r->fd[index] = -1;
	s->file = datafile_open(&r->catalog, s->entry, &o);
	if (s->file) {
		r->counts.files++;
		return 1;
	}
	if (fail_code() != EXIT_DATA)
		return -1;
	removed = was_removed(r, s->entry);
	if (removed > 0)
		warn("%s/%s: was removed while the lake was read", r->o.dir, s->entry->file);
	return removed > 0 ? 0 : -1;
}

/* ---- one line ---- */

static bool wanted_bare(struct replay *r, struct span text)
{
	struct line l;
	bool wanted = r->o.topics == 0;

	if (wanted || stream_parse(&r->bare, text, &l) < 0)
		return wanted;
	for (int i = 0; !wanted && i < 2; i++) {
		const struct json_value *v = &r->bare.want[r->want[i]].value;
		struct buf scratch = BUF_INIT;

		wanted = v->type == JSON_STRING && wanted_topic(r, json_text(v, &scratch));
		buf_release(&scratch);
	}
	return wanted;
}

/* What is this line, and is it wanted? 1, 0, or -1 with fail(). */
static int judge(struct replay *r, struct source *s, struct span text)
{
	struct line l;

	s->text = text;
	s->part = NULL;
	s->wrap = true;
	if (stream_parse(&r->stream, text, &l) < 0) {
		if (!json_valid(text.p, text.n, NULL))
			return fail_context("%s/%s: line %" PRIu64, r->o.dir, s->entry->file,
			    datafile_number(s->file));
		return wanted_bare(r, text);
	}
	s->text = l.text;
	if (l.kind == LINE_MARK || l.paths > 0) /* a payload that only looks like one of ours */
		return wanted_bare(r, text);
	s->wrap = false;
	if (l.kind != LINE_RECORD)
		return wanted_bare(r, text);
	s->part = get_part(r, l.topic, l.partition);
	s->offset = l.offset;
	return s->part->wanted;
}

/* Reads on to the next line that is wanted: s->head, or s->done. 0; -1 with fail(), or stopped. */
static int read_head(struct replay *r, struct source *s)
{
	while (!s->head && !s->done) {
		struct span text;
		enum line_result result = datafile_line(s->file, &text);
		int wanted;

		if (result == LINE_WAIT) {
			r->stopped = true;
			return -1;
		}
		if (result == LINE_FAIL) {
			if (fail_code() == EXIT_DATA)
				was_removed(r, s->entry); /* then that is why */
			return -1;
		}
		s->done = result == LINE_EOF;
		if (s->done)
			break;
		wanted = judge(r, s, text);
		if (wanted < 0)
			return -1;
		s->head = wanted > 0;
	}
	return 0;
}

static void meet(struct replay *r, struct part *p, int64_t offset)
{
	if (p->met)
		return;
	p->met = true;
	if (r->o.marks)
		stream_mark_start(&r->out->buf, (struct span){ p->at->topic, p->at->topic_len },
		    p->at->partition, offset);
}

static void check_order(struct replay *r, const struct source *s)
{
	struct part *p = s->part;

	if (s->offset <= p->seen && !p->warned) {
		warn("%s/%s: %s/%d: offset %" PRId64 " comes after %" PRId64
		     ": the topic was made anew, or there are "
		     "snapshots of several runs",
		    r->o.dir, s->entry->file, p->at->topic, p->at->partition, s->offset, p->seen);
		p->warned = true;
	}
	p->seen = s->offset;
}

/* The line with its path. 0; -1: the output failed. */
static int write_head(struct replay *r, struct source *s)
{
	struct buf *to = &r->out->buf;
	struct span rest = { s->text.p + 1, s->text.n - 1 };

	if (s->part) {
		meet(r, s->part,
		    s->part->from >= 0 && s->part->from < s->offset ? s->part->from : s->offset);
		check_order(r, s);
	}
	buf_add(to, s->prefix, s->prefix_len);
	if (s->wrap) {
		buf_add_str(to, ",\"payload\":");
		buf_add_span(to, s->text);
		buf_add_str(to, "}\n");
	} else {
		while (rest.n > 0 && strchr(" \t\r", rest.p[0]))
			rest = (struct span){ rest.p + 1, rest.n - 1 };
		if (rest.p[0] != '}')
			buf_add_char(to, ',');
		buf_add_span(to, rest);
		buf_add_char(to, '\n');
	}
	s->head = false;
	if (r->counts.records++ % PROGRESS_EVERY == 0)
		progress_show(r->progress, r->counts.records, r->out->bytes, r->counts.total);
	return writer_check(r->out);
}

/* ---- the files of a commit ---- */

static int write_one(struct replay *r, struct source *s)
{
	struct datafile_options o = { .keep_open = true };
	int there = open_source(r, s, &o);

	if (there <= 0)
		return there;
	for (;;) {
		if (read_head(r, s) < 0)
			return -1;
		if (s->done)
			return 0;
		if (write_head(r, s) < 0)
			return -1;
	}
}

/* The first pass: which offsets has each file? It also finds damage before anything is written. */
static int index_sources(struct replay *r, struct source *s, size_t n, struct interleave *order)
{
	struct datafile_options o = { .keep_open = n <= r->o.max_open, .block = MERGE_MEMORY / n };

	if (o.block < MERGE_BLOCK)
		o.block = MERGE_BLOCK;
	for (size_t i = 0; i < n; i++) {
		int there = open_source(r, &s[i], &o);

		if (there < 0)
			return -1;
		s[i].done = !there;
		while (!s[i].done) {
			if (read_head(r, &s[i]) < 0)
				return -1;
			if (s[i].head && s[i].part &&
			    interleave_add(order, i, s[i].part->number, s[i].offset) < 0)
				return fail(EXIT_DATA,
				    "%s/%s: line %" PRIu64 ": %s/%d: offset %" PRId64
				    " is not above the one "
				    "before it",
				    r->o.dir, s[i].entry->file, datafile_number(s[i].file),
				    s[i].part->at->topic, s[i].part->at->partition, s[i].offset);
			s[i].head = false;
		}
		s[i].done = !there;
		if (there)
			datafile_rewind(s[i].file);
	}
	return 0;
}

/*
 * The second pass. A record is written when no file has a smaller offset of its partition left; else the file that
 * has it comes first. Whoever follows that advice through all partitions without writing anything goes round in
 * a circle: these files are not of one run. Then their own order is all there is.
 */
static int merge_sources(struct replay *r, struct source *s, size_t n, struct interleave *order)
{
	size_t at = 0, first = 0, hops = 0;

	while (first < n) {
		if (!s[at].done && read_head(r, &s[at]) < 0)
			return -1;
		if (s[at].done) {
			end_source(&s[at]);
			while (first < n && s[first].done)
				first++;
			at = first;
			continue;
		}
		if (s[at].part && hops <= n) {
			int64_t offset;
			size_t next = interleave_next(order, s[at].part->number, &offset);

			if (next != at && next < n && !s[next].done) {
				at = ++hops <= n ? next : first;
				continue;
			}
			if (next == at)
				interleave_take(order, s[at].part->number);
		}
		if (write_head(r, &s[at]) < 0)
			return -1;
		hops = hops > n ? hops : 0;
	}
	return 0;
}

static int write_files(struct replay *r, const struct lake_entry **entry, size_t n)
{
	struct source *s = xcalloc(n, sizeof(*s));
	struct interleave *order = NULL;
	int result;

	for (size_t i = 0; i < n; i++)
		begin_source(&s[i], entry[i]);
	if (n == 1) {
		result = write_one(r, &s[0]);
	} else {
		order = interleave_new();
		result = index_sources(r, s, n, order);
		if (result == 0)
			result = merge_sources(r, s, n, order);
	}
	interleave_free(order);
	for (size_t i = 0; i < n; i++)
		end_source(&s[i]);
	free(s);
	return result;
}

/* ---- commits ---- */

static void write_position(struct replay *r, struct part *p, const struct journal_position *at)
{
	meet(r, p, at->from >= 0 && at->from < at->next ? at->from : at->next);
	p->pending = false;
	if (r->o.marks)
		stream_mark_position(&r->out->buf, (struct span){ p->at->topic, p->at->topic_len },
		    p->at->partition, at->next, at->last_offset, at->last_ts);
}

static void write_positions(struct replay *r, const struct journal_line *line, size_t live)
{
	bool replaced = live == 0 && line->adds > 0 && lake_is_snapshot_name(line->add[0].file);

	for (size_t i = 0; i < line->positions; i++) {
		struct journal_position at = line->position[i];
		struct part *p = get_part(r, at.topic, at.partition);

		if (!p->wanted || !span_is(line->name, p->owner) || line->commit < p->lost)
			continue;
		if (line->commit == p->lost)
			at.from = -1;
		if (replaced) {
			p->pending = true;
			p->position = at;
		} else {
			write_position(r, p, &at);
		}
	}
}

static int replay_line(void *ctx, const struct journal_line *line)
{
	struct replay *r = ctx;
	const struct lake_entry **entry;
	size_t n = 0;
	int result = 0;

	if (wanted_line(r, line)) {
		entry = xcalloc(line->adds, sizeof(const struct lake_entry *));
		for (size_t i = 0; i < line->adds; i++)
			if ((entry[n] = live_entry(r, line, i)))
				n++;
		for (size_t i = 0; i < line->positions; i++)
			get_part(r, line->position[i].topic, line->position[i].partition)
			    ->from = line->position[i].from;
		if (n > 0) {
			r->counts.commits++;
			result = write_files(r, entry, n);
		}
		free(entry);
		if (result == 0)
			write_positions(r, line, n);
	}
	/* What was appended since we began is for the next time. */
	r->finished = result == 0 && line->commit == r->catalog.last;
	return r->finished || result < 0 ? -1 : 0;
}

int replay_run(struct replay *r, struct writer *out, struct progress *progress)
{
	r->out = out;
	r->progress = progress;
	if (r->catalog.commits > 0 &&
	    lake_each_line(r->o.dir, r->catalog.dirfd, replay_line, r, NULL) < 0 && !r->finished)
		return r->stopped || out->failed ? 0 : -1;
	for (size_t i = 0; i < r->parts; i++)
		if (r->part[i]->pending)
			write_position(r, r->part[i], &r->part[i]->position);
	if (r->o.marks)
		stream_mark_end(&out->buf, (int64_t)r->counts.records);
	return 0;
}

struct replay_counts replay_counts(const struct replay *r)
{
	return r->counts;
}

/* ---- opening ---- */

static size_t descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return SPARE_FDS;
	if (l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) < 0)
			getrlimit(RLIMIT_NOFILE, &l);
	}
	return l.rlim_cur > 2 * SPARE_FDS ? (size_t)l.rlim_cur - SPARE_FDS : SPARE_FDS;
}

static void release_catalog(struct replay *r)
{
	for (size_t i = 0; r->fd && i < r->catalog.count; i++)
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	free(r->fd);
	r->fd = NULL;
	lake_catalog_release(&r->catalog);
}

static bool is_snapshot(const struct replay *r, const struct lake_entry *e)
{
	return e->live && lake_is_snapshot_name((struct span){ e->file, strlen(e->file) }) &&
	    (!r->o.name || strcmp(e->name, r->o.name) == 0);
}

/*
 * Snapshots are replaced under the same name, so they are opened in advance and the journal is read again: if no later
 * commit has come, all of them are what the catalog means, whatever is renamed over them from now on.
 * 1: so it is; 0: not; -1 with fail().
 */
static int hold_snapshots(struct replay *r)
{
	struct lake_catalog now = { .dirfd = -1 };
	size_t n = 0;
	int same = 1;

	for (size_t i = 0; i < r->catalog.count; i++)
		n += is_snapshot(r, &r->catalog.entry[i]);
	if (n == 0 || n > r->o.max_open / 2)
		return 1; /* opened when their turn comes: then a replaced one ends it with EXIT_TRYAGAIN */
	for (size_t i = 0; i < r->catalog.count; i++)
		if (is_snapshot(r, &r->catalog.entry[i]))
			r->fd[i] = lake_catalog_open(&r->catalog, &r->catalog.entry[i]);
	if (lake_catalog_read(r->o.dir, &now) < 0)
		same = -1;
	for (size_t i = 0; same > 0 && i < r->catalog.count; i++) {
		const struct lake_entry *e = &r->catalog.entry[i];
		const struct lake_entry *is = is_snapshot(r, e)
		    ? lake_catalog_find(&now, (struct span){ e->file, strlen(e->file) })
		    : e;

		same = is && is->live && is->commit == e->commit;
	}
	lake_catalog_release(&now);
	return same;
}

static int read_catalog(struct replay *r)
{
	int same = 0;

	for (int i = 0; same == 0 && i < OPEN_TRIES; i++) {
		release_catalog(r);
		if (lake_catalog_read(r->o.dir, &r->catalog) < 0)
			return -1;
		r->fd = xmalloc(r->catalog.count * sizeof(*r->fd));
		for (size_t k = 0; k < r->catalog.count; k++)
			r->fd[k] = -1;
		same = hold_snapshots(r);
	}
	return same != 0 ? same
			 : fail(EXIT_TRYAGAIN,
			       "%s: snapshots are replaced faster than they can be opened", r->o.dir);
}

static int open_replay(struct replay *r)
{
	if (r->o.max_open == 0)
		r->o.max_open = descriptors();
	r->want[0] = stream_want(&r->bare, "._topic");
	r->want[1] = stream_want(&r->bare, ".topic");
	if (read_catalog(r) < 0 ||
	    (r->catalog.commits > 0 &&
		lake_each_line(r->o.dir, r->catalog.dirfd, survey_line, r, NULL) < 0))
		return -1;
	return r->several ? fail(EXIT_USAGE, "%s", r->several) : 0;
}

struct replay *replay_open(const struct replay_options *o)
{
	struct replay *r = xcalloc(1, sizeof(*r));

	r->o = *o;
	r->catalog.dirfd = r->later.dirfd = -1;
	stream_init(&r->stream);
	stream_init(&r->bare);
	positions_init(&r->map, (struct positions_rules){ 0 });
	if (open_replay(r) == 0)
		return r;
	replay_close(r);
	return NULL;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	release_catalog(r);
	lake_catalog_release(&r->later);
	stream_release(&r->stream);
	stream_release(&r->bare);
	for (size_t i = 0; i < r->parts; i++) {
		free(r->part[i]->owner);
		free(r->part[i]);
	}
	free(r->part);
	positions_release(&r->map);
	free(r->several);
	free(r);
}
