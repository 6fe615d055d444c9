#include "positions.h"

#include "log.h"

#include <inttypes.h>
#include <stdlib.h>

void positions_init(struct positions *ps, struct positions_rules rules)
{
	*ps = (struct positions){ .rules = rules };
}

void positions_release(struct positions *ps)
{
	for (size_t i = 0; i < ps->count; i++) {
		free(ps->item[i]->topic);
		free(ps->item[i]);
	}
	free(ps->item);
	free(ps->bucket);
	*ps = (struct positions){ 0 };
}

/* ---- the map ---- */

static uint64_t hash(struct span topic, int32_t partition)
{
	return span_hash(topic) + (uint32_t)partition * UINT64_C(2654435761);
}

static bool is(const struct position *p, struct span topic, int32_t partition)
{
	return p->partition == partition && span_eq((struct span){ p->topic, p->topic_len }, topic);
}

struct position *positions_find(const struct positions *ps, struct span topic, int32_t partition)
{
	struct position *p;

	if (ps->recent && is(ps->recent, topic, partition))
		return ps->recent;
	if (ps->buckets == 0)
		return NULL;
	p = ps->bucket[hash(topic, partition) % ps->buckets];
	while (p && !is(p, topic, partition))
		p = p->hash_next;
	return p;
}

static void link_item(struct positions *ps, struct position *p)
{
	struct span topic = { p->topic, p->topic_len };
	struct position **head = &ps->bucket[hash(topic, p->partition) % ps->buckets];

	p->hash_next = *head;
	*head = p;
}

struct position *positions_get(struct positions *ps, struct span topic, int32_t partition)
{
	struct position *p = positions_find(ps, topic, partition);

	if (p)
		return ps->recent = p;
	if (ps->count == ps->cap) {
		ps->cap = ps->cap ? ps->cap * 2 : 16;
		ps->item = xrealloc(ps->item, ps->cap * sizeof(*ps->item));
		free(ps->bucket);
		ps->buckets = ps->cap * 2;
		ps->bucket = xcalloc(ps->buckets, sizeof(*ps->bucket));
		for (size_t i = 0; i < ps->count; i++)
			link_item(ps, ps->item[i]);
	}
	p = xcalloc(1, sizeof(*p));
	p->topic = xstrndup(topic.p, topic.n);
	p->topic_len = topic.n;
	p->partition = partition;
	p->last_offset = p->last_ts = p->seen = p->final = p->proving = -1;
	ps->item[ps->count++] = p;
	link_item(ps, p);
	return ps->recent = p;
}

void positions_set(struct positions *ps, struct span topic, int32_t partition, int64_t next,
    int64_t last_offset, int64_t last_ts)
{
	struct position *p = positions_get(ps, topic, partition);

	p->stored = p->from_stored = true;
	p->next = p->from_next = next;
	p->last_offset = last_offset;
	p->last_ts = last_ts;
}

/* ---- the checks ---- */

static int gap(const struct position *p, int64_t offset, const char *what)
{
	return fail(EXIT_DATA,
	    "%s/%d: gap: %s %" PRId64 ", but the stored position is %" PRId64 ": %" PRId64
	    " offsets are missing; behind it may be -o, a group that was reset, retention, compaction without "
	    "--marks or --from, or a filter that drops marks; nothing was stored: resume with kread --from, or "
	    "pass --allow-gap if they may be missing",
	    p->topic, p->partition, what, offset, p->next, offset - p->next);
}

static int recreated(const struct position *p, int64_t ts)
{
	return fail(EXIT_DATA,
	    "%s/%d: offset %" PRId64 ": the record there has ts %" PRId64 ", the one stored had %" PRId64
	    ": the topic was deleted and made anew; nothing was stored: read it from the beginning with "
	    "--recreated if that was on purpose",
	    p->topic, p->partition, p->last_offset, ts, p->last_ts);
}

/* The first line of a partition in this run, at this offset. */
static int begin_partition(struct positions *ps, struct position *p, int64_t offset, const char *what)
{
	if (p->stored && offset > p->next && !ps->rules.allow_gap)
		return gap(p, offset, what);
	if (!p->met && ps->rules.recreated && p->stored && offset < p->next) {
		if (!ps->rules.no_skip && p->last_offset >= offset) {
			p->proving = p->last_offset;
			p->proving_ts = p->last_ts;
			ps->proving++;
		}
		note("%s/%d: begins anew at %" PRId64 ", was at %" PRId64, p->topic, p->partition,
		    offset, p->next);
		p->stored = false;
		p->last_offset = p->last_ts = -1;
	}
	p->met = p->named = true;
	return 0;
}

/* The stream has reached `offset` of a partition that is to begin anew: is it another topic now? */
static int prove(struct positions *ps, struct position *p, int64_t offset, int64_t ts)
{
	if (offset < p->proving)
		return 0;
	if (offset == p->proving && ts == p->proving_ts)
		return fail(EXIT_DATA,
		    "%s/%d: offset %" PRId64
		    ": this record is stored already: the topic was not recreated, or the "
		    "positions began anew in an earlier run; nothing was stored: run without --recreated",
		    p->topic, p->partition, offset);
	p->proving = -1;
	ps->proving--;
	return 0;
}

enum position_verdict positions_record(struct positions *ps, const struct line *l)
{
	struct position *p = positions_get(ps, l->topic, l->partition);
	int64_t ts = l->has_ts ? l->ts : -1;

	ps->ended = false;
	if (!p->met && begin_partition(ps, p, l->offset, "the stream starts at offset") < 0)
		return POSITION_FAIL;
	if (l->offset <= p->seen)
		return fail(EXIT_DATA,
		    "%s/%d: offset %" PRId64 " comes after %" PRId64 ": is there a sort in the pipeline? "
		    "nothing since the last commit was stored",
		    p->topic, p->partition, l->offset, p->seen);
	p->seen = l->offset;
	p->named = true;
	if (p->proving >= 0 && prove(ps, p, l->offset, ts) < 0)
		return POSITION_FAIL;
	if (p->stored && l->offset < p->next) {
		/* A time that is not known, here or there (a filter dropped it), proves nothing. */
		if (l->offset == p->last_offset && ts != p->last_ts && ts >= 0 && p->last_ts >= 0)
			return recreated(p, ts);
		if (ps->rules.no_skip) {
			p->moved = true;
			return POSITION_STORE;
		}
		ps->skipped++;
		return POSITION_SKIP;
	}
	p->stored = p->moved = true;
	p->next = l->offset + 1;
	p->last_offset = l->offset;
	p->last_ts = ts;
	return POSITION_STORE;
}

bool positions_has(const struct positions *ps, const struct line *l)
{
	const struct position *p = positions_find(ps, l->topic, l->partition);

	return p && p->stored && !ps->rules.no_skip && l->offset < p->next &&
	    (p->met || !ps->rules.recreated);
}

static int position_mark(struct positions *ps, const struct line *l)
{
	struct position *p = positions_get(ps, l->topic, l->partition);

	/* Without a start mark or a record before it, the mark tells of records that did not come this way. */
	if (!p->met &&
	    begin_partition(ps, p, l->offset, "there is no start mark, and a position mark says") < 0)
		return -1;
	if (l->offset - 1 > p->seen)
		p->seen = l->offset - 1;
	p->final = l->offset;
	p->named = true;
	if (p->proving >= 0 && prove(ps, p, l->offset - 1, INT64_MIN) < 0)
		return -1;
	if (ps->rules.no_skip)
		p->moved = true;
	if (p->stored && l->offset <= p->next)
		return 0;
	p->stored = p->moved = true;
	p->next = l->offset;
	/* A copy of a sink (lakecat) knows of the last record even if that came as something else: a reject. */
	if (l->has_last && l->last_offset > p->last_offset && l->last_offset < p->next) {
		p->last_offset = l->last_offset;
		p->last_ts = l->last_ts;
	}
	return 0;
}

int positions_mark(struct positions *ps, const struct line *l)
{
	ps->marks = true;
	ps->ended = l->mark == MARK_END;
	if (l->mark == MARK_START)
		return begin_partition(ps, positions_get(ps, l->topic, l->partition), l->offset,
		    "the stream starts at offset");
	return l->mark == MARK_POSITION ? position_mark(ps, l) : 0;
}

bool positions_may_commit(const struct positions *ps)
{
	return ps->proving == 0;
}

int positions_end(struct positions *ps, bool stopped)
{
	bool whole = ps->marks && ps->ended;

	if (ps->marks && !ps->ended && !stopped)
		warn("the stream has marks but no end mark: was what feeds it cut short?");
	for (size_t i = 0; i < ps->count; i++) {
		const struct position *p = ps->item[i];

		if (p->proving >= 0 && !(whole && p->final >= 0))
			return fail(EXIT_DATA,
			    "%s/%d: the stream ended at %" PRId64
			    " before --recreated could be checked against the "
			    "last stored offset %" PRId64
			    "; nothing was stored: run it whole, with marks",
			    p->topic, p->partition, p->seen + 1, p->proving);
		if (!p->met || !p->stored || p->proving >= 0)
			continue;
		if (whole && p->final >= 0 && p->final < p->next)
			return fail(EXIT_DATA,
			    "%s/%d: the topic ends at %" PRId64 ", below the stored position %" PRId64
			    ": it was deleted and made anew, or truncated (or -c or -o ended the run early); nothing was "
			    "stored: read it from the beginning with --recreated if that was on purpose",
			    p->topic, p->partition, p->final, p->next);
		if (!ps->marks && !stopped && p->seen >= 0 && p->seen + 1 < p->next)
			warn("%s/%d: the stream ends at offset %" PRId64
			     ", below the stored position %" PRId64 ": is it all there?",
			    p->topic, p->partition, p->seen, p->next);
	}
	ps->proving = 0;
	return 0;
}

/* ---- windows ---- */

static int by_place(const void *a, const void *b)
{
	const struct position *x = *(struct position *const *)a, *y = *(struct position *const *)b;
	int order = strcmp(x->topic, y->topic);

	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static bool is_moved(const struct position *p)
{
	return p->moved;
}

static bool is_named(const struct position *p)
{
	return p->named && p->stored;
}

static size_t list_of(const struct positions *ps, bool (*wanted)(const struct position *),
    struct position ***list)
{
	size_t n = 0;

	*list = xcalloc(ps->count, sizeof(**list));
	for (size_t i = 0; i < ps->count; i++)
		if (wanted(ps->item[i]))
			(*list)[n++] = ps->item[i];
	qsort(*list, n, sizeof(**list), by_place);
	return n;
}

size_t positions_moved(const struct positions *ps, struct position ***list)
{
	return list_of(ps, is_moved, list);
}

size_t positions_named(const struct positions *ps, struct position ***list)
{
	return list_of(ps, is_named, list);
}

void positions_begin(struct positions *ps)
{
	for (size_t i = 0; i < ps->count; i++) {
		struct position *p = ps->item[i];

		p->named = false;
		if (!p->moved)
			continue;
		p->from_stored = p->stored;
		p->from_next = p->next;
		p->moved = false;
	}
}

void positions_print(struct position *const *list, size_t count, struct buf *to)
{
	for (size_t i = 0; i < count; i++)
		stream_mark_position(to, (struct span){ list[i]->topic, list[i]->topic_len },
		    list[i]->partition, list[i]->next, list[i]->last_offset, list[i]->last_ts);
}

static bool is_stored(const struct position *p)
{
	return p->stored;
}

void positions_print_stored(const struct positions *ps, char **topic, int topics, struct buf *to)
{
	struct position **list;
	size_t n = list_of(ps, is_stored, &list);

	for (size_t i = 0; i < n; i++) {
		bool wanted = topics == 0;

		for (int t = 0; t < topics && !wanted; t++)
			wanted = strcmp(topic[t], list[i]->topic) == 0;
		if (wanted)
			positions_print(&list[i], 1, to);
	}
	free(list);
}
