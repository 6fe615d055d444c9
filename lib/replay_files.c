/* The files of a commit: which of them has the next record, and what its line becomes. */
#include "beneath.h"
#include "datafile.h"
#include "interleave.h"
#include "log.h"
#include "replay_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MERGE_MEMORY   ((size_t)128 << 20) /* blocks of all files that are merged */
#define MERGE_BLOCK    ((size_t)8 << 10)   /* but never less a file */
#define PROGRESS_EVERY 1024                /* records */

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

/* What the outermost object of a line has that is no record. */
struct members {
	bool payload, others;
	struct json_value topic; /* of a reject, or a flat record's */
};

/* A value that is no object has none. 0; -1: the text is no JSON. */
static int find_members(struct span text, struct members *m)
{
	struct json_value v;
	struct json j;
	struct span key;
	bool escaped, flat = false;
	int r;

	*m = (struct members){ 0 };
	json_init(&j, text.p, text.n);
	if (json_peek(&j) != JSON_OBJECT)
		return json_value(&j, &v) < 0 ? -1 : json_finish(&j);
	if (json_enter(&j) < 0)
		return -1;
	while ((r = json_member(&j, &key, &escaped)) > 0 && json_value(&j, &v) == 0) {
		bool own = json_key_is(key, escaped, "_topic");

		if (json_key_is(key, escaped, "payload"))
			m->payload = true;
		else
			m->others = true;
		if (own || (!flat && json_key_is(key, escaped, "topic")))
			m->topic = v;
		flat |= own;
	}
	return r != 0 ? -1 : json_finish(&j);
}

static bool wanted_topic(const struct replay *r, const struct json_value *topic)
{
	struct buf scratch = BUF_INIT;
	bool wanted = r->o.topics == 0;

	if (!wanted && topic->type == JSON_STRING)
		wanted = replay_wants(r, json_text(topic, &scratch));
	buf_release(&scratch);
	return wanted;
}

static int bad_line(const struct replay *r, const struct source *s, const struct line *l)
{
	uint64_t number = datafile_number(s->file);

	if (l->kind == LINE_RECORD)
		fail_context("%.*s/%d: offset %" PRId64, (int)l->topic.n, l->topic.p, l->partition,
		    l->offset);
	return fail_context("%s/%s:%" PRIu64, r->o.dir, s->entry->file, number);
}

/*
 * What is this line, and is it wanted? 1, 0, or -1 with fail(). What is no record, and could be mistaken for something
 * else behind a path, is wrapped as partition does it: a payload that has a member mark, path or payload of its own.
 */
static int judge(struct replay *r, struct source *s, struct span text)
{
	struct members m;
	struct line l;
	int result = stream_parse(&r->stream, text, &l);

	s->text = l.text;
	if (result == 0 && l.kind == LINE_RECORD && l.paths == 0) {
		s->wrap = false;
		s->part = replay_part(r, l.topic, l.partition);
		s->offset = l.offset;
		return s->part->wanted;
	}
	if (find_members(l.text, &m) < 0)
		return bad_line(r, s, &l);
	s->part = NULL;
	/* path_cut: a member path of whatever type. */
	s->wrap = result < 0 || l.kind != LINE_BARE || l.path_cut.n > 0 || (m.payload && m.others);
	return wanted_topic(r, &m.topic);
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
	size_t at;

	if (s->part) {
		replay_meet(r, s->part,
		    s->part->from >= 0 && s->part->from < s->offset ? s->part->from : s->offset);
		check_order(r, s);
	}
	buf_add(to, s->prefix, s->prefix_len);
	if (s->wrap) {
		buf_add_str(to, ",\"payload\":");
		buf_add_span(to, s->text);
		buf_add_str(to, "}\n");
	} else {
		/* Blanks stay where they are, so that the line is what it was when a sink cuts the path again. */
		for (at = 0; strchr(" \t\r", rest.p[at]);)
			at++;
		if (rest.p[at] != '}')
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
				    "%s/%s:%" PRIu64 ": %s/%d: offset %" PRId64 " is not above the one "
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

int replay_files(struct replay *r, const struct lake_entry **entry, size_t n)
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
