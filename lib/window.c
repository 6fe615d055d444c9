#include "window.h"

#include <stdlib.h>

enum order {
	STREAM,   /* each row, in the order of the records */
	BY_BYTES, /* the last of equal bytes, in the order of the records */
	BY_KEY,   /* the last of each key, in the order of the keys */
};

/* One row; its text lies in w->rows. */
struct op {
	const struct column_set *columns;
	size_t values, key, ends, erased; /* offsets */
	uint32_t values_n, values_cap, key_n, erased_n;
	uint32_t record, segment;
	uint32_t target : 29;
	uint32_t kind : 2;  /* enum row_kind */
	uint32_t erase : 1; /* the key is deleted first, by the literals at `erased` */
};

/* The latest row of a key. The hash stands here too: a row that is not meant is not touched, which costs 100 ns. */
struct slot {
	uint32_t hash, op; /* op: its number + 1; 0: empty */
};

/* For sorting. */
struct place_of {
	uintptr_t set;   /* rows of one set of columns stand together */
	uint64_t prefix; /* of the key, big endian; or the record */
	uint32_t op;
};

struct window {
	const struct mapping *mapping;
	struct window_rules rules;
	enum order *order; /* of each target */
	bool related; /* more targets than one, not all by key: upserts and deletes are kept apart */
	bool strict;  /* the same, and one may depend on another: so are the records */

	struct buf lines, rows;
	struct window_record *record;
	size_t records, record_cap;
	struct op *op;
	size_t ops, op_cap;
	struct slot *slot; /* hash table; a power of two */
	size_t slots;
	uint32_t *hash; /* of the keys of the record at hand, one for each target */

	uint32_t segment;  /* rows of an earlier one are written before those of a later one */
	bool cascaded;     /* this segment deletes from a table whose deletes change others */
	enum row_kind now; /* related: what this segment does */
	size_t only;       /* strict: the one target that it writes to; targets: more than one */

	struct window_reject *reject;
	size_t rejects, reject_cap;
	struct window_move *move;
	size_t moves;

	struct column_set **own; /* sets that only merged rows have; kept over window_clear */
	size_t unions;
	struct buf merged, merged_ends; /* scratch */

	struct place_of *sorted; /* window_runs; of `ops` members each */
	struct span *values;
};

static bool generated_key(const struct target *t)
{
	for (unsigned i = 0; i < t->table->keys; i++) {
		const struct column *c = t->table->key[i];
		enum source_kind kind = t->source[c->at].kind;

		if (c->auto_increment && (kind == SOURCE_MEMBER || kind == SOURCE_PATH))
			return true;
	}
	return false;
}

/* Whether a new row depends on the first record of its key: a default of other columns, where the record says nothing. */
static bool first_matters(const struct target *t, bool partial)
{
	for (unsigned i = 0; i < t->table->columns; i++)
		if (t->table->column[i].default_of_row && (partial || t->source[i].kind == SOURCE_NONE))
			return true;
	return false;
}

static enum order order_of(const struct target *t, struct window_rules rules)
{
	const struct table *table = t->table;

	if (!rules.reduce || !t->fills_key || generated_key(t) || table->other_unique ||
	    table->refers_to_itself || first_matters(t, rules.partial))
		return STREAM;
	for (unsigned i = 0; i < table->keys; i++)
		if (table->key[i]->compare == COMPARE_SERVER)
			return rules.partial ? STREAM : BY_BYTES;
	return BY_KEY;
}

/* Whether a row of one target may depend on, or change, one of another. */
static bool depend(const struct mapping *m)
{
	for (size_t i = 0; i < m->targets && m->targets > 1; i++) {
		const struct table *t = m->target[i].table;

		if (t->cascades)
			return true;
		for (size_t p = 0; p < t->parents; p++)
			for (size_t k = 0; k < m->targets; k++)
				if (strcmp(t->parent[p], m->target[k].table->name) == 0)
					return true;
	}
	return false;
}

struct window *window_new(const struct mapping *m, struct window_rules rules)
{
	struct window *w = xcalloc(1, sizeof(*w));

	w->mapping = m;
	w->rules = rules;
	w->order = xcalloc(m->targets, sizeof(*w->order));
	for (size_t i = 0; i < m->targets; i++) {
		w->order[i] = order_of(&m->target[i], rules);
		w->related |= m->targets > 1 && w->order[i] != BY_KEY;
	}
	w->strict = !rules.reduce && depend(m);
	w->hash = xcalloc(m->targets, sizeof(*w->hash));
	w->slots = 1 << 12;
	w->slot = xcalloc(w->slots, sizeof(*w->slot));
	return w;
}

void window_clear(struct window *w)
{
	for (size_t i = 0; i < w->rejects; i++) {
		free(w->reject[i].table);
		free(w->reject[i].column);
		free(w->reject[i].why);
	}
	free(w->move);
	w->move = NULL;
	w->moves = w->records = w->ops = w->rejects = 0;
	buf_clear(&w->lines);
	buf_clear(&w->rows);
	memset(w->slot, 0, w->slots * sizeof(*w->slot));
	w->segment = 0;
	w->cascaded = false;
	w->now = ROW_NONE;
}

void window_free(struct window *w)
{
	if (!w)
		return;
	window_clear(w);
	buf_release(&w->lines);
	buf_release(&w->rows);
	buf_release(&w->merged);
	buf_release(&w->merged_ends);
	for (size_t i = 0; i < w->unions; i++) {
		free(w->own[i]->at);
		free(w->own[i]);
	}
	free(w->own);
	free(w->order);
	free(w->record);
	free(w->op);
	free(w->slot);
	free(w->hash);
	free(w->reject);
	free(w->sorted);
	free(w->values);
	free(w);
}

/* ---- records ---- */

static struct window_record *add_record(struct window *w, const struct line *l, uint64_t number,
    const struct position *place)
{
	struct window_record *r;

	if (w->records == w->record_cap) {
		w->record_cap = w->record_cap ? w->record_cap * 2 : 1024;
		w->record = xrealloc(w->record, w->record_cap * sizeof(*w->record));
	}
	r = &w->record[w->records++];
	*r = (struct window_record){ .line = w->lines.len,
		.line_n = (uint32_t)l->text.n,
		.place = place,
		.offset = l->kind == LINE_RECORD ? l->offset : -1,
		.number = number,
		.tombstone = l->payload_enc == ENC_NONE && l->kind == LINE_RECORD };
	buf_add_span(&w->lines, l->text);
	return r;
}

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

void window_add_reject(struct window *w, const struct line *l, uint64_t number,
    const struct position *place, const struct row_problem *why)
{
	struct window_record *r = add_record(w, l, number, place);

	if (w->rejects == w->reject_cap) {
		w->reject_cap = w->reject_cap ? w->reject_cap * 2 : 16;
		w->reject = xrealloc(w->reject, w->reject_cap * sizeof(*w->reject));
	}
	w->reject[w->rejects++] = (struct window_reject){ copy(why->table), copy(why->column),
		copy(why->why) };
	r->reject = (uint32_t)w->rejects & 0x7fffffff;
}

const struct window_reject *window_reject(const struct window *w, size_t i)
{
	return w->record[i].reject > 0 ? &w->reject[w->record[i].reject - 1] : NULL;
}

size_t window_records(const struct window *w)
{
	return w->records;
}

size_t window_bytes(const struct window *w)
{
	/* Sorting takes its memory twice. */
	size_t of_op = sizeof(*w->op) + 2 * sizeof(*w->sorted) + sizeof(*w->values);

	return w->lines.len + w->rows.len + w->records * sizeof(*w->record) + w->ops * of_op +
	    w->slots * sizeof(*w->slot);
}

const struct window_record *window_record(const struct window *w, size_t i)
{
	return &w->record[i];
}

struct span window_line(const struct window *w, size_t i)
{
	return (struct span){ w->lines.data + w->record[i].line, w->record[i].line_n };
}

/* ---- rows ---- */

static size_t keep(struct window *w, const void *p, size_t n)
{
	size_t at = w->rows.len;

	buf_add(&w->rows, p, n);
	return at;
}

static size_t keep_ends(struct window *w, const uint32_t *ends, unsigned count)
{
	while (w->rows.len % sizeof(*ends) != 0)
		buf_add_char(&w->rows, 0);
	return keep(w, ends, count * sizeof(*ends));
}

/* Puts a value into the room of the one that it replaces, if that is large enough. */
static void set_values(struct window *w, struct op *o, struct span values)
{
	if (values.n <= o->values_cap) {
		memcpy(w->rows.data + o->values, values.p, values.n);
	} else {
		o->values = keep(w, values.p, values.n);
		o->values_cap = (uint32_t)values.n;
	}
	o->values_n = (uint32_t)values.n;
}

static void set_row(struct window *w, struct op *o, const struct row *r)
{
	o->kind = r->kind;
	o->columns = r->columns;
	o->record = (uint32_t)(w->records - 1);
	set_values(w, o, r->values);
	if (r->kind == ROW_UPSERT && w->rules.partial)
		o->ends = keep_ends(w, r->ends, r->columns->count);
}

static void add_op(struct window *w, uint32_t target, const struct row *r)
{
	struct op *o;

	if (w->ops == w->op_cap) {
		w->op_cap = w->op_cap ? w->op_cap * 2 : 1024;
		w->op = xrealloc(w->op, w->op_cap * sizeof(*w->op));
	}
	o = &w->op[w->ops++];
	*o = (struct op){ .target = target, .segment = w->segment };
	o->key = keep(w, r->key.p, r->key.n);
	o->key_n = (uint32_t)r->key.n;
	set_row(w, o, r);
}

/* The slot of a key: of its latest row, or an empty one. */
static struct slot *find_slot(const struct window *w, uint32_t target, struct span key, uint32_t hash)
{
	size_t mask = w->slots - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct slot *slot = &w->slot[i];
		const struct op *o;

		if (slot->op == 0)
			return slot;
		if (slot->hash != hash)
			continue;
		o = &w->op[slot->op - 1];
		if (o->target == target && o->key_n == key.n &&
		    memcmp(w->rows.data + o->key, key.p, key.n) == 0)
			return slot;
	}
}

static void grow_slots(struct window *w)
{
	struct slot *old = w->slot;
	size_t n = w->slots;

	w->slots *= 2;
	w->slot = xcalloc(w->slots, sizeof(*w->slot));
	for (size_t i = 0; i < n; i++) {
		size_t to = old[i].hash & (w->slots - 1);

		if (old[i].op == 0)
			continue;
		while (w->slot[to].op)
			to = (to + 1) & (w->slots - 1);
		w->slot[to] = old[i];
	}
	free(old);
}

/* Whether `all` has each column of `some`. */
static bool covers(const struct column_set *all, const struct column_set *some)
{
	unsigned j = 0;

	if (all == some)
		return true;
	for (unsigned i = 0; i < some->count; i++) {
		while (j < all->count && all->at[j] < some->at[i])
			j++;
		if (j == all->count || all->at[j] != some->at[i])
			return false;
	}
	return true;
}

/* Whether a row that was deleted and inserted anew differs from the same row updated: in the columns left alone. */
static bool leaves_columns(const struct table *t, const struct column_set *set)
{
	unsigned written = 0;

	for (unsigned i = 0; i < t->columns; i++)
		written += !t->column[i].generated;
	return set->count < written;
}

/* ---- reducing ---- */

static void new_segment(struct window *w)
{
	w->segment++;
	w->cascaded = false;
}

static bool same_set(const struct column_set *a, const struct column_set *b)
{
	return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0;
}

/* The columns of both sets, as one pointer each time. Those that no record had alone are the window's own. */
static const struct column_set *union_of(struct window *w, const struct column_set *a,
    const struct column_set *b)
{
	struct column_set *set;
	unsigned i = 0, j = 0;

	if (covers(a, b) || covers(b, a))
		return covers(a, b) ? a : b;
	set = xcalloc(1, sizeof(*set));
	set->at = xcalloc(a->count + b->count, sizeof(*set->at));
	while (i < a->count || j < b->count) {
		unsigned x = i < a->count ? a->at[i] : UINT32_MAX;
		unsigned y = j < b->count ? b->at[j] : UINT32_MAX;

		i += x <= y;
		j += y <= x;
		set->at[set->count++] = x < y ? x : y;
	}
	for (size_t k = 0; k < w->unions; k++) {
		if (!same_set(w->own[k], set))
			continue;
		free(set->at);
		free(set);
		return w->own[k];
	}
	w->own = xrealloc(w->own, (w->unions + 1) * sizeof(struct column_set *));
	w->own[w->unions++] = set;
	return set;
}

/* --partial: the columns of both rows, the new one's literals where it has them. */
static void merge(struct window *w, struct op *o, const struct row *r)
{
	const struct column_set *set = union_of(w, o->columns, r->columns);
	const char *old = w->rows.data + o->values;
	const uint32_t *old_ends = (const uint32_t *)(const void *)(w->rows.data + o->ends);
	unsigned i = 0, j = 0;

	buf_clear(&w->merged);
	buf_clear(&w->merged_ends);
	for (unsigned k = 0; k < set->count; k++) {
		bool is_new = j < r->columns->count && r->columns->at[j] == set->at[k];
		bool is_old = i < o->columns->count && o->columns->at[i] == set->at[k];
		uint32_t end;

		if (k > 0)
			buf_add_char(&w->merged, ',');
		buf_add_span(&w->merged,
		    is_new ? row_literal(r->values.p, r->ends, j) : row_literal(old, old_ends, i));
		end = (uint32_t)w->merged.len;
		buf_add(&w->merged_ends, &end, sizeof(end));
		i += is_old;
		j += is_new;
	}
	set_row(w, o,
	    &(struct row){ .kind = ROW_UPSERT,
		.values = buf_span(&w->merged),
		.columns = set,
		.ends = (const uint32_t *)(const void *)w->merged_ends.data });
}

/* A key that has a row in this segment gets another one. */
static void supersede(struct window *w, struct slot *slot, uint32_t target, const struct row *r)
{
	struct op *o = &w->op[slot->op - 1];
	const struct table *table = w->mapping->target[target].table;

	if (r->kind == ROW_UPSERT && o->kind == ROW_DELETE) {
		if (table->cascades)
			new_segment(w);
		if (table->cascades || w->order[target] == BY_BYTES) {
			add_op(w, target, r);
			slot->op = (uint32_t)w->ops;
			return;
		}
		if (w->rules.partial || leaves_columns(table, r->columns)) {
			o->erase = true;
			o->erased = o->values;
			o->erased_n = o->values_n;
			o->values_cap = 0;
		}
	} else if (r->kind == ROW_UPSERT && w->rules.partial) {
		merge(w, o, r);
		return;
	} else if (r->kind == ROW_UPSERT && !covers(r->columns, o->columns)) {
		new_segment(w);
		add_op(w, target, r);
		slot->op = (uint32_t)w->ops;
		return;
	}
	if (r->kind == ROW_DELETE)
		o->erase = false;
	set_row(w, o, r);
}

/* The slots of the keys are needed soon, and far from each other: asked for before the line is copied. */
static void expect(struct window *w, const struct row *row)
{
	for (size_t i = 0; i < w->mapping->targets; i++) {
		if (row[i].kind == ROW_NONE || w->order[i] == STREAM)
			continue;
		w->hash[i] = (uint32_t)span_hash(row[i].key) ^ (uint32_t)i * 0x9e3779b9u;
		__builtin_prefetch(&w->slot[w->hash[i] & (w->slots - 1)]);
	}
}

static void add_row(struct window *w, uint32_t target, const struct row *r)
{
	uint32_t hash = w->hash[target];
	struct slot *slot;

	if (w->order[target] == STREAM) {
		add_op(w, target, r);
		return;
	}
	if (r->key.n == 0) { /* the key's default: any of the others may be the same */
		new_segment(w);
		add_op(w, target, r);
		new_segment(w);
		return;
	}
	if ((w->ops + 1) * 2 > w->slots)
		grow_slots(w);
	slot = find_slot(w, target, r->key, hash);
	if (slot->op && w->op[slot->op - 1].segment == w->segment) {
		supersede(w, slot, target, r);
		return;
	}
	add_op(w, target, r);
	*slot = (struct slot){ hash, (uint32_t)w->ops };
}

/* What the rows of a record do, all in all: tombstones delete, other records do not. *only: to which target; n: several. */
static enum row_kind kind_of(const struct row *row, size_t n, size_t *only)
{
	enum row_kind kind = ROW_NONE;

	for (size_t i = 0; i < n; i++) {
		if (row[i].kind == ROW_NONE)
			continue;
		*only = kind == ROW_NONE ? i : n;
		kind = row[i].kind;
	}
	return kind;
}

void window_add(struct window *w, const struct line *l, uint64_t number,
    const struct position *place, const struct row *row)
{
	size_t targets = w->mapping->targets, only = targets;
	enum row_kind kind = kind_of(row, targets, &only);

	expect(w, row);
	add_record(w, l, number, place);
	if (kind == ROW_NONE)
		return;
	if (w->related && w->now != ROW_NONE &&
	    (w->now != kind || (w->strict && (only == targets || only != w->only))))
		new_segment(w);
	w->now = kind;
	w->only = only;
	if (kind == ROW_UPSERT && w->cascaded && targets > 1)
		new_segment(w);
	for (size_t i = 0; i < targets; i++) {
		if (row[i].kind == ROW_NONE)
			continue;
		add_row(w, (uint32_t)i, &row[i]);
		w->cascaded |= kind == ROW_DELETE && w->mapping->target[i].table->cascades;
	}
}

/* ---- positions ---- */

/* The time of a record, which its line has; -1: none. */
static int64_t time_of(const struct window *w, size_t i)
{
	struct stream stream;
	struct line l;
	int64_t ts = -1;

	stream_init(&stream);
	if (stream_parse(&stream, window_line(w, i), &l) == 0 && l.has_ts)
		ts = l.ts;
	stream_release(&stream);
	return ts;
}

static int64_t last_known(int64_t offset, int64_t value)
{
	return offset < 0 ? -1 : value;
}

void window_close(struct window *w, struct positions *ps)
{
	struct position **list;

	w->moves = positions_named(ps, &list);
	w->move = xcalloc(w->moves, sizeof(*w->move));
	for (size_t i = 0; i < w->moves; i++) {
		const struct position *p = list[i];

		w->move[i] = (struct window_move){ .place = p,
			.moved = p->moved,
			.from_stored = p->from_stored,
			.from_next = p->from_next,
			.next = p->next,
			.last_offset = p->last_offset,
			.last_ts = last_known(p->last_offset, p->last_ts) };
	}
	free(list);
	positions_begin(ps);
}

const struct window_move *window_moves(const struct window *w, size_t *count)
{
	*count = w->moves;
	return w->move;
}

static int by_pointer(const void *a, const void *b)
{
	const struct window_move *x = *(struct window_move *const *)a,
				 *y = *(struct window_move *const *)b;

	return (x->place > y->place) - (x->place < y->place);
}

struct window_move *window_moves_before(const struct window *w, size_t records, size_t *count)
{
	struct window_move *move = xcalloc(w->moves, sizeof(*move));
	struct window_move **by_place = xcalloc(w->moves, sizeof(struct window_move *));
	size_t n = 0;

	for (size_t i = 0; i < w->moves; i++) {
		move[i] = w->move[i];
		move[i].next = -1; /* not reached yet */
		by_place[i] = &move[i];
	}
	qsort(by_place, w->moves, sizeof(struct window_move *), by_pointer);
	for (size_t i = 0; i < records; i++) {
		const struct window_record *r = &w->record[i];
		struct window_move key = { .place = r->place }, *wanted = &key, **found;

		if (!r->place)
			continue;
		found = bsearch(&wanted, by_place, w->moves, sizeof(struct window_move *), by_pointer);
		if (!found)
			continue;
		(*found)->next = r->offset + 1;
		(*found)->last_offset = r->offset;
		(*found)->last_ts = (int64_t)i; /* for now */
	}
	for (size_t i = 0; i < w->moves; i++)
		if (move[i].moved && move[i].next >= 0) {
			move[n] = move[i];
			move[n].last_ts = time_of(w, (size_t)move[i].last_ts);
			n++;
		}
	free(by_place);
	*count = n;
	return move;
}

/* ---- runs ---- */

static int by_set_and_key(const void *a, const void *b, void *ctx)
{
	const struct place_of *x = a, *y = b;
	const struct window *w = ctx;
	const struct op *v, *u;
	size_t n;
	int order;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	v = &w->op[x->op];
	u = &w->op[y->op];
	n = v->key_n < u->key_n ? v->key_n : u->key_n;
	order = memcmp(w->rows.data + v->key, w->rows.data + u->key, n);
	return order ? order : (v->key_n > u->key_n) - (v->key_n < u->key_n);
}

static int by_record(const void *a, const void *b, void *ctx)
{
	const struct place_of *x = a, *y = b;

	(void)ctx;
	return (x->prefix > y->prefix) - (x->prefix < y->prefix);
}

static uint64_t key_prefix(const struct window *w, const struct op *o)
{
	const unsigned char *key = (const unsigned char *)w->rows.data + o->key;
	uint64_t prefix = 0;

	for (uint32_t i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < o->key_n ? key[i] : 0);
	return prefix;
}

enum phase {
	ERASES, /* keys that are deleted and then have a row again */
	UPSERTS,
	DELETES,
};

static bool in_phase(const struct window *w, const struct op *o, enum phase phase)
{
	if (w->order[o->target] != BY_KEY && !w->related) /* both kinds, as they came */
		return phase == UPSERTS;
	switch (phase) {
	case ERASES:
		return o->erase;
	case UPSERTS:
		return o->kind == ROW_UPSERT;
	default:
		return o->kind == ROW_DELETE;
	}
}

struct each {
	int (*call)(void *ctx, const struct window_run *run);
	void *ctx;
};

/*
 * Whether a row that is deleted needs a statement of its own: the server deletes the rows of a list in the order of their
 * keys, which is another one. Of rows that refer to each other it would delete some that it must not.
 */
static bool alone(const struct window *w, const struct op *o)
{
	return o->kind == ROW_DELETE && w->order[o->target] == STREAM &&
	    (!w->rules.reduce || w->mapping->target[o->target].table->refers_to_itself);
}

/* Hands on sorted[0..n) of one target. */
static int emit(struct window *w, size_t n, bool erases, const struct each *each)
{
	struct window_run run = { 0 };
	const struct op *first = NULL;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct op *o = &w->op[w->sorted[i].op];

		if (first && !erases &&
		    (o->kind != first->kind || o->columns != first->columns || alone(w, o))) {
			r = each->call(each->ctx, &run);
			first = NULL;
		}
		if (!first) {
			first = o;
			run = (struct window_run){ .target = &w->mapping->target[o->target],
				.kind = erases ? ROW_DELETE : (enum row_kind)o->kind,
				.columns = erases ? NULL : o->columns,
				.values = w->values + i };
		}
		w->values[i] = erases ? (struct span){ w->rows.data + o->erased, o->erased_n }
				      : (struct span){ w->rows.data + o->values, o->values_n };
		run.count++;
	}
	return r == 0 && first ? each->call(each->ctx, &run) : r;
}

static int run_target(struct window *w, uint32_t target, size_t from, size_t to, enum phase phase,
    const struct each *each)
{
	bool by_key = w->order[target] == BY_KEY;
	size_t n = 0;

	for (size_t i = from; i < to; i++) {
		const struct op *o = &w->op[i];

		if (o->target != target || !in_phase(w, o, phase))
			continue;
		w->sorted[n++] = (struct place_of){
			.set = by_key && phase == UPSERTS ? (uintptr_t)o->columns : 0,
			.prefix = by_key ? key_prefix(w, o) : o->record,
			.op = (uint32_t)i,
		};
	}
	if (w->order[target] != STREAM)
		qsort_r(w->sorted, n, sizeof(*w->sorted), by_key ? by_set_and_key : by_record, w);
	return emit(w, n, phase == ERASES, each);
}

static int run_segment(struct window *w, size_t from, size_t to, const struct each *each)
{
	uint32_t targets = (uint32_t)w->mapping->targets;
	int r = 0;

	for (enum phase phase = ERASES; phase <= DELETES; phase++)
		for (uint32_t i = 0; i < targets && r == 0; i++)
			r = run_target(w, phase == UPSERTS ? i : targets - 1 - i, from, to, phase,
			    each);
	return r;
}

int window_runs(struct window *w, int (*each)(void *ctx, const struct window_run *run), void *ctx)
{
	struct each call = { each, ctx };
	size_t from = 0, to;
	int r = 0;

	w->sorted = xrealloc(w->sorted, (w->ops + 1) * sizeof(*w->sorted));
	w->values = xrealloc(w->values, (w->ops + 1) * sizeof(*w->values));
	for (; from < w->ops && r == 0; from = to) {
		for (to = from; to < w->ops && w->op[to].segment == w->op[from].segment; to++)
			;
		r = run_segment(w, from, to, &call);
	}
	return r;
}
