#include "replay.h"

#include "log.h"
#include "replay_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_TRIES 5
#define SPARE_FDS  64 /* descriptors that are not for data files */

/* ---- partitions ---- */

bool replay_wants(const struct replay *r, struct span topic)
{
	bool wanted = r->o.topics == 0;

	for (size_t i = 0; !wanted && i < r->o.topics; i++)
		wanted = span_is(topic, r->o.topic[i]);
	return wanted;
}

struct part *replay_part(struct replay *r, struct span topic, int32_t partition)
{
	struct position *at = positions_get(&r->map, topic, partition);
	struct part *p = at->own;

	if (p)
		return p;
	p = at->own = xcalloc(1, sizeof(*p));
	p->at = at;
	p->number = r->parts;
	p->wanted = replay_wants(r, topic);
	p->lost = p->from = p->seen = -1;
	r->part = xrealloc(r->part, (r->parts + 1) * sizeof(struct part *));
	r->part[r->parts++] = p;
	return p;
}

void replay_meet(struct replay *r, struct part *p, int64_t offset)
{
	if (p->met)
		return;
	p->met = true;
	if (r->o.marks)
		stream_mark_start(&r->out->buf, (struct span){ p->at->topic, p->at->topic_len },
		    p->at->partition, offset);
}

/* ---- the journal, up to where it stood when the catalog was read ---- */

static bool wanted_line(const struct replay *r, const struct journal_line *line)
{
	bool wanted = r->o.topics == 0;

	if (line->snapshot || (r->o.name && !span_is(line->name, r->o.name)))
		return false;
	for (size_t i = 0; !wanted && i < line->positions; i++)
		wanted = replay_wants(r, line->position[i].topic);
	return wanted;
}

static int walk_line(void *ctx, const struct journal_line *line)
{
	struct replay *r = ctx;
	int result = wanted_line(r, line) ? r->step(r, line) : 0;

	r->finished = result == 0 && line->commit == r->catalog.last;
	return r->finished ? -1 : result;
}

/* Calls step() for every commit that is wanted. 0; -1 when it has returned that, or with fail(). */
static int walk(struct replay *r, replay_step *step)
{
	r->step = step;
	r->finished = false;
	if (r->catalog.commits == 0 ||
	    lake_each_line(r->o.dir, r->catalog.dirfd, walk_line, r, NULL) == 0 || r->finished)
		return 0;
	return -1;
}

/* ---- the survey: what is there, and under which names ---- */

/* The entry of a file that this line has added, if it is still there and not of a later commit. */
static const struct lake_entry *live_entry(const struct replay *r, const struct journal_line *line,
    size_t add)
{
	const struct lake_entry *e = lake_catalog_find(&r->catalog, line->add[add].file);

	return e && e->live && e->commit == line->commit ? e : NULL;
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

static bool is_snapshots(const struct journal_line *line)
{
	return line->adds > 0 && lake_is_snapshot_name(line->add[0].file);
}

static void survey_position(struct replay *r, const struct journal_line *line,
    const struct journal_position *at, bool live)
{
	struct part *p = replay_part(r, at->topic, at->partition);

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
	if (!p->live && line->adds > 0 && !is_snapshots(line))
		p->lost = line->commit;
}

static struct snapshots *get_snapshots(struct replay *r, struct span name)
{
	for (size_t i = 0; i < r->snapshot_names; i++)
		if (span_is(name, r->snapshots[i].name))
			return &r->snapshots[i];
	r->snapshots = xrealloc(r->snapshots, (r->snapshot_names + 1) * sizeof(*r->snapshots));
	r->snapshots[r->snapshot_names] = (struct snapshots){ .name = xstrndup(name.p, name.n) };
	return &r->snapshots[r->snapshot_names++];
}

static int survey_commit(struct replay *r, const struct journal_line *line)
{
	bool live = false;

	for (size_t i = 0; i < line->adds; i++) {
		const struct lake_entry *e = live_entry(r, line, i);

		live |= e != NULL;
		r->counts.total += e ? (uint64_t)e->records : 0;
	}
	for (size_t i = 0; i < line->positions; i++)
		survey_position(r, line, &line->position[i], live);
	if (live && is_snapshots(line))
		get_snapshots(r, line->name)->last = line->commit;
	return 0;
}

/* ---- commits ---- */

static void write_position(struct replay *r, struct part *p, const struct journal_position *at)
{
	replay_meet(r, p, at->from >= 0 && at->from < at->next ? at->from : at->next);
	p->pending = false;
	if (r->o.marks)
		stream_mark_position(&r->out->buf, (struct span){ p->at->topic, p->at->topic_len },
		    p->at->partition, at->next, at->last_offset, at->last_ts);
}

/* later: not now, but with those of a later commit. */
static void write_positions(struct replay *r, const struct journal_line *line, bool later)
{
	for (size_t i = 0; i < line->positions; i++) {
		struct journal_position at = line->position[i];
		struct part *p = replay_part(r, at.topic, at.partition);

		if (!p->wanted || !span_is(line->name, p->owner) || line->commit < p->lost)
			continue;
		if (line->commit == p->lost)
			at.from = -1;
		if (later) {
			p->pending = true;
			p->position = at;
		} else {
			write_position(r, p, &at);
		}
	}
}

/* The live files of a commit of snapshots: kept for the last such commit of the name, which gets them all. */
static bool gather_snapshots(struct replay *r, const struct journal_line *line,
    const struct lake_entry ***entry, size_t *n)
{
	struct snapshots *s = get_snapshots(r, line->name);

	if (*n > 0) {
		s->entry = xrealloc(s->entry, (s->entries + *n) * sizeof(*s->entry));
		memcpy(&s->entry[s->entries], *entry, *n * sizeof(*s->entry));
		s->entries += *n;
	}
	if (line->commit != s->last)
		return false;
	free(*entry);
	*entry = s->entry;
	*n = s->entries;
	s->entry = NULL;
	return true;
}

static int replay_commit(struct replay *r, const struct journal_line *line)
{
	const struct lake_entry **entry = xcalloc(line->adds, sizeof(const struct lake_entry *));
	bool later = false;
	size_t n = 0;
	int result = 0;

	for (size_t i = 0; i < line->adds; i++)
		if ((entry[n] = live_entry(r, line, i)))
			n++;
	r->counts.commits += n > 0;
	for (size_t i = 0; i < line->positions; i++)
		replay_part(r, line->position[i].topic, line->position[i].partition)
		    ->from = line->position[i].from;
	if (is_snapshots(line))
		later = !gather_snapshots(r, line, &entry, &n);
	if (n > 0 && !later)
		result = replay_files(r, entry, n);
	free((void *)entry);
	if (result == 0)
		write_positions(r, line, later);
	return result;
}

int replay_run(struct replay *r, struct writer *out, struct progress *progress)
{
	r->out = out;
	r->progress = progress;
	if (walk(r, replay_commit) < 0)
		return r->stopped || out->failed ? 0 : -1;
	if (r->damage)
		return fail(EXIT_DATA, "%s; what comes before it was written", r->damage);
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
		const struct lake_entry *is;

		if (!is_snapshot(r, e))
			continue;
		is = lake_catalog_find(&now, (struct span){ e->file, strlen(e->file) });
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
		if (lake_catalog_read(r->o.dir, &r->catalog) < 0) {
			/* What stands before a damage is good, and worth to be saved in another lake. */
			if (fail_code() != EXIT_DATA || r->catalog.commits == 0)
				return -1;
			r->damage = xstrdup(fail_message());
		}
		r->fd = xmalloc(r->catalog.count * sizeof(*r->fd));
		for (size_t k = 0; k < r->catalog.count; k++)
			r->fd[k] = -1;
		same = r->damage ? 1 : hold_snapshots(r);
	}
	return same != 0 ? same
			 : fail(EXIT_TRYAGAIN,
			       "%s: snapshots are replaced faster than they can be opened", r->o.dir);
}

static int open_replay(struct replay *r)
{
	if (r->o.max_open == 0)
		r->o.max_open = descriptors();
	if (read_catalog(r) < 0 || walk(r, survey_commit) < 0)
		return -1;
	return r->several ? fail(EXIT_USAGE, "%s", r->several) : 0;
}

struct replay *replay_open(const struct replay_options *o)
{
	struct replay *r = xcalloc(1, sizeof(*r));

	r->o = *o;
	r->catalog.dirfd = r->later.dirfd = -1;
	stream_init(&r->stream);
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
	for (size_t i = 0; i < r->parts; i++) {
		free(r->part[i]->owner);
		free(r->part[i]);
	}
	free(r->part);
	positions_release(&r->map);
	for (size_t i = 0; i < r->snapshot_names; i++) {
		free((void *)r->snapshots[i].entry);
		free(r->snapshots[i].name);
	}
	free(r->snapshots);
	free(r->several);
	free(r->damage);
	free(r);
}
