#include "row.h"

#include "clock.h"
#include "log.h"
#include "members.h"
#include "value.h"

#include <stdlib.h>

#define WARNINGS_MAX 100 /* names of members that have no column */

/* A column of the primary key in the row at hand, as it compares. */
struct key_part {
	size_t at, n; /* in rows.parts */
	bool known;
};

struct rows_target {
	const struct target *t;
	struct member_cell *cell; /* by column */
	struct key_part *part;    /* by place in the key */
	const struct column_set *last;
	bool taken;     /* the topic at hand is one of its own */
	bool takes_key; /* columns take the key, or members of it */
	bool takes_key_members;
	bool may_blank;     /* absent members overwrite something */
	uint64_t filled_by; /* the record whose payload had a member for it */
	struct buf values, key;
	uint32_t *ends;
};

struct rows {
	const struct mapping *m;
	struct rows_options o;
	struct rows_counts counts;
	struct stream stream;
	struct rows_target *target;

	struct members *payload, *key_members;
	struct member_cell nowhere; /* for members whose column the key fills */
	unsigned warnings;

	/* the record at hand */
	uint64_t record;
	const struct line *line;
	bool has_key;
	struct value_in key;
	struct buf key_bytes, key_text;
	struct buf number; /* of what is not JSON in the line */
	unsigned *at;      /* the columns of the row */
	unsigned ats;
	uint64_t rounded;
	struct buf parts;
	struct value value;
	struct buf why;
	struct row_problem *problem;

	/* the topic at hand, and who takes it */
	bool topic_known;
	struct buf topic, topic_json;
	size_t takers;
	bool key_taken, key_members_taken;

	struct column_set **set; /* a hash table; a power of two */
	size_t sets, set_slots;
};

/* ---- the converter ---- */

static void want_path(struct rows *r, const char *path, struct member_cell *cell, unsigned owner)
{
	struct stream s;
	int i;

	stream_init(&s);
	i = stream_want(&s, path);
	if (i >= 0) /* mapping_load() has looked */
		members_want_path(r->payload, s.want[i].step, s.want[i].steps, cell, owner);
	stream_release(&s);
}

static void want_column(struct rows *r, unsigned owner, const struct column *c)
{
	struct rows_target *t = &r->target[owner];
	const struct source *s = &t->t->source[c->at];
	struct span name = { c->name, c->name_len };
	struct member_cell *by_name = NULL;

	switch (s->kind) {
	case SOURCE_MEMBER:
		by_name = &t->cell[c->at];
		break;
	case SOURCE_PATH:
		want_path(r, s->text, &t->cell[c->at], owner);
		break;
	case SOURCE_KEY_MEMBER:
		members_want(r->key_members, (struct span){ s->text, strlen(s->text) },
		    &t->cell[c->at], owner);
		t->takes_key_members = true;
		t->takes_key = true;
		by_name = &r->nowhere;
		break;
	case SOURCE_KEY:
		t->takes_key = true;
		by_name = &r->nowhere;
		break;
	default:
		break;
	}
	members_want(r->payload, name, by_name, owner);
	if ((s->kind == SOURCE_MEMBER || s->kind == SOURCE_PATH) && !c->default_now && !c->auto_increment)
		t->may_blank = true;
}

static void init_target(struct rows *r, unsigned i)
{
	struct rows_target *t = &r->target[i];
	const struct table *table = r->m->target[i].table;

	t->t = &r->m->target[i];
	t->cell = xcalloc(table->columns, sizeof(*t->cell));
	t->ends = xcalloc(table->columns, sizeof(*t->ends));
	t->part = xcalloc(table->keys, sizeof(*t->part));
	for (unsigned k = 0; k < table->columns; k++)
		want_column(r, i, &table->column[k]);
}

struct rows *rows_new(const struct mapping *m, const struct rows_options *o)
{
	struct rows *r = xcalloc(1, sizeof(*r));
	unsigned most = 0;

	r->m = m;
	r->o = *o;
	stream_init(&r->stream);
	r->payload = members_new();
	r->key_members = members_new();
	r->target = xcalloc(m->targets, sizeof(*r->target));
	for (unsigned i = 0; i < m->targets; i++) {
		init_target(r, i);
		if (m->target[i].table->columns > most)
			most = m->target[i].table->columns;
	}
	r->at = xcalloc(most, sizeof(*r->at));
	members_ready(r->payload);
	members_ready(r->key_members);
	return r;
}

void rows_free(struct rows *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->m->targets; i++) {
		free(r->target[i].cell);
		free(r->target[i].ends);
		free(r->target[i].part);
		buf_release(&r->target[i].values);
		buf_release(&r->target[i].key);
	}
	for (size_t i = 0; i < r->set_slots; i++)
		free(r->set[i]);
	free(r->set);
	free(r->at);
	free(r->target);
	members_free(r->payload);
	members_free(r->key_members);
	stream_release(&r->stream);
	value_release(&r->value);
	buf_release(&r->key_bytes);
	buf_release(&r->key_text);
	buf_release(&r->number);
	buf_release(&r->parts);
	buf_release(&r->why);
	buf_release(&r->topic);
	buf_release(&r->topic_json);
	free(r);
}

struct stream *rows_stream(struct rows *r)
{
	return &r->stream;
}

struct rows_counts rows_counts(const struct rows *r)
{
	return r->counts;
}

/* ---- sets of columns ---- */

static bool same_set(const struct column_set *s, const unsigned *at, unsigned n)
{
	return s->count == n && memcmp(s->at, at, n * sizeof(*at)) == 0;
}

static struct column_set **place_of_set(const struct rows *r, const unsigned *at, unsigned n)
{
	size_t i = span_hash((struct span){ (const char *)at, n * sizeof(*at) }) & (r->set_slots - 1);

	while (r->set[i] && !same_set(r->set[i], at, n))
		i = (i + 1) & (r->set_slots - 1);
	return &r->set[i];
}

static void grow_sets(struct rows *r)
{
	struct column_set **old = r->set;
	size_t slots = r->set_slots;

	r->set_slots = slots ? slots * 2 : 16;
	r->set = xcalloc(r->set_slots, sizeof(struct column_set *));
	for (size_t i = 0; i < slots; i++)
		if (old[i])
			*place_of_set(r, old[i]->at, old[i]->count) = old[i];
	free(old);
}

/* The set of the columns in r->at: nearly always that of the target's row before. */
static const struct column_set *intern_set(struct rows *r, struct rows_target *t)
{
	struct column_set **place, *s;

	if (t->last && same_set(t->last, r->at, r->ats))
		return t->last;
	if (r->sets * 2 >= r->set_slots)
		grow_sets(r);
	place = place_of_set(r, r->at, r->ats);
	if (!*place) {
		s = xmalloc(sizeof(*s) + r->ats * sizeof(*s->at));
		s->count = r->ats;
		s->at = (unsigned *)(s + 1);
		memcpy(s->at, r->at, r->ats * sizeof(*s->at));
		*place = s;
		r->sets++;
	}
	t->last = *place;
	return *place;
}

/* ---- rejects ---- */

static int reject(struct rows *r, const struct rows_target *t, const struct column *c, const char *why)
{
	*r->problem = (struct row_problem){ .table = t ? t->t->table->name : NULL,
		.column = c ? c->name : NULL,
		.why = why };
	return -1;
}

/* ---- the parts of the record ---- */

/* Whose records these are; how many targets take them. */
static size_t take(struct rows *r)
{
	struct span topic = r->line->kind == LINE_RECORD ? r->line->topic : (struct span){ 0 };

	if (r->topic_known && span_eq(topic, buf_span(&r->topic)))
		return r->takers;
	r->topic_known = true;
	r->topic.len = r->topic_json.len = 0;
	buf_add_span(&r->topic, topic);
	json_escape(&r->topic_json, topic.p, topic.n);
	r->takers = 0;
	r->key_taken = r->key_members_taken = false;
	for (size_t i = 0; i < r->m->targets; i++) {
		struct rows_target *t = &r->target[i];

		t->taken = target_takes(t->t, topic);
		r->takers += t->taken;
		r->key_taken |= t->taken && t->takes_key;
		r->key_members_taken |= t->taken && t->takes_key_members;
	}
	return r->takers;
}

static void warn_unknown(struct rows *r, struct member_name *name)
{
	bool of = r->topic.len > 0;

	name->warned = true;
	if (r->o.quiet || !name->kept || r->warnings > WARNINGS_MAX)
		return;
	if (r->warnings++ == WARNINGS_MAX)
		warn("there are more members without a column; their names are not said any more");
	else
		warn("member %.*s%s%.*s has no column: it is not stored", (int)name->name.n,
		    name->name.p, of ? " of topic " : "", of ? (int)r->topic.len : 0,
		    of ? r->topic.data : "");
}

static void payload_member(void *ctx, struct member_name *name)
{
	struct rows *r = ctx;
	bool known = false;

	for (size_t i = 0; i < name->uses; i++) {
		struct rows_target *t = &r->target[name->use[i].owner];

		if (!t->taken)
			continue;
		known = true;
		if (name->use[i].wanted)
			t->filled_by = r->record;
	}
	if (known)
		return;
	r->counts.unknown++;
	if (!name->warned)
		warn_unknown(r, name);
}

static int scan_payload(struct rows *r)
{
	struct json_value payload = stream_payload(&r->stream, r->line);

	if (payload.type != JSON_OBJECT)
		return reject(r, NULL, NULL, "the payload is not an object");
	members_scan(r->payload, payload.raw, r->record, payload_member, r);
	for (size_t i = 0; i < r->m->targets; i++) {
		const struct rows_target *t = &r->target[i];

		if (t->taken && t->may_blank && t->filled_by != r->record)
			return reject(r, t, NULL, "no member of the payload has a column");
	}
	return 0;
}

/* The members of a key that is an object, or text that is one. */
static int scan_key(struct rows *r)
{
	struct json_value v = r->key.json;
	struct span object = v.raw;
	struct json j;

	/* Bytes too: text with many quotes is shorter as base64. */
	if (v.type == JSON_STRING || v.type == JSON_NONE) {
		object = v.type == JSON_NONE ? r->key.bytes : json_text(&v, &r->key_text);
		json_init(&j, object.p, object.n);
		if (json_peek(&j) == JSON_OBJECT && json_valid(object.p, object.n, NULL))
			v.type = JSON_OBJECT;
	}
	if (v.type != JSON_OBJECT)
		return reject(r, NULL, NULL, "the key is not a JSON object");
	members_scan(r->key_members, object, r->record, NULL, NULL);
	return 0;
}

static int find_key(struct rows *r)
{
	const struct line *l = r->line;
	struct span bytes;

	r->has_key = l->kind == LINE_RECORD && l->key.type != JSON_NONE && l->key.type != JSON_NULL;
	if (!r->has_key)
		return 0;
	r->key = (struct value_in){ .json = l->key };
	if (l->key_enc == ENC_BASE64) {
		if (stream_key_bytes(l, &r->key_bytes, &bytes) < 0) {
			buf_clear(&r->why); /* the next fail() is not to be the reason */
			buf_add_str(&r->why, fail_message());
			return reject(r, NULL, NULL, buf_cstr(&r->why));
		}
		r->key = (struct value_in){ .bytes = bytes };
	}
	return r->key_members_taken ? scan_key(r) : 0;
}

/* ---- what a column is filled from ---- */

enum found { FOUND_BAD = -1, FOUND_NOTHING, FOUND_VALUE };

static void number_value(struct rows *r, int64_t n, struct value_in *in)
{
	buf_clear(&r->number);
	buf_add_int(&r->number, n);
	in->json = (struct json_value){ JSON_NUMBER, buf_span(&r->number), false };
}

static bool is_temporal(const struct column *c)
{
	return c->type == COL_DATE || c->type == COL_DATETIME || c->type == COL_TIMESTAMP;
}

/* Milliseconds since the epoch: other than a number of the payload, whose unit a column of dates tells by its size. */
static enum found time_value(struct rows *r, const struct column *c, int64_t ms, struct value_in *in)
{
	if (!is_temporal(c)) {
		number_value(r, ms, in);
		return FOUND_VALUE;
	}
	if (ms < 0 || ms > CLOCK_MAX_MS)
		return FOUND_BAD;
	*in = (struct value_in){ .instant = true, .us = ms * 1000 };
	return FOUND_VALUE;
}

/* A member of {"start":MS,"end":MS}. */
static enum found window_value(struct rows *r, const struct column *c, const char *name,
    struct value_in *in)
{
	const struct json_value *w = &r->line->window;
	struct json_value v, found = { 0 };
	struct span key;
	bool escaped;
	struct json j;
	int64_t ms;

	if (w->type != JSON_OBJECT)
		return w->type == JSON_NONE || w->type == JSON_NULL ? FOUND_NOTHING : FOUND_BAD;
	json_init(&j, w->raw.p, w->raw.n);
	json_enter(&j);
	while (json_member(&j, &key, &escaped) > 0 && json_value(&j, &v) == 0)
		if (json_key_is(key, escaped, name))
			found = v;
	if (found.type == JSON_NONE || found.type == JSON_NULL)
		return FOUND_NOTHING;
	if (found.type != JSON_NUMBER || json_int64(found.raw, &ms) < 0)
		return FOUND_BAD;
	return time_value(r, c, ms, in);
}

/* What does not come from the payload; only records have it. */
static enum found record_value(struct rows *r, const struct column *c, enum source_kind kind,
    struct value_in *in)
{
	const struct line *l = r->line;

	if (l->kind != LINE_RECORD)
		return FOUND_NOTHING;
	switch (kind) {
	case SOURCE_KEY:
		*in = r->key;
		return r->has_key ? FOUND_VALUE : FOUND_NOTHING;
	case SOURCE_TOPIC:
		in->json = (struct json_value){ JSON_STRING, buf_span(&r->topic_json), true };
		return FOUND_VALUE;
	case SOURCE_PARTITION:
		number_value(r, l->partition, in);
		return FOUND_VALUE;
	case SOURCE_OFFSET:
		number_value(r, l->offset, in);
		return FOUND_VALUE;
	case SOURCE_TS:
		return l->has_ts ? time_value(r, c, l->ts, in) : FOUND_NOTHING;
	case SOURCE_WINDOW_START:
		return window_value(r, c, "start", in);
	default:
		return window_value(r, c, "end", in);
	}
}

static inline enum found find_value(struct rows *r, const struct rows_target *t,
    const struct column *c, struct value_in *in)
{
	const struct source *s = &t->t->source[c->at];
	const struct member_cell *cell = &t->cell[c->at];

	switch (s->kind) {
	case SOURCE_NONE:
		return FOUND_NOTHING;
	case SOURCE_CONST:
		in->json = s->value;
		return FOUND_VALUE;
	case SOURCE_MEMBER:
	case SOURCE_PATH:
	case SOURCE_KEY_MEMBER:
		in->json = cell->value;
		return cell->scan == r->record ? FOUND_VALUE : FOUND_NOTHING;
	default:
		return record_value(r, c, s->kind, in);
	}
}

/* ---- keys ---- */

/* Of the other types all values of a column have the same length as they compare (value.h). */
static bool is_string(enum column_type type)
{
	return type == COL_CHAR || type == COL_TEXT || type == COL_VARBINARY || type == COL_JSON ||
	    type == COL_OTHER;
}

/*
 * A string in a key: so that two keys are equal only if all their parts are, and sort by the first part that differs,
 * each 0x00 in it becomes 0x00 0xff, and it ends with 0x00 0x00.
 */
static void add_framed(struct buf *to, const char *p, size_t n)
{
	while (n > 0) {
		const char *nul = memchr(p, '\0', n);
		size_t run = nul ? (size_t)(nul - p) + 1 : n;

		buf_add(to, p, run);
		if (nul)
			buf_add_char(to, (char)0xff);
		p += run;
		n -= run;
	}
	buf_add(to, "\0", 2);
}

/* Puts the key together from its parts, when the record has all of them. */
static void make_key(struct rows *r, struct rows_target *t)
{
	const struct table *table = t->t->table;

	buf_clear(&t->key);
	for (unsigned i = 0; i < table->keys; i++)
		if (!t->part[i].known)
			return;
	for (unsigned i = 0; i < table->keys; i++) {
		const struct key_part *part = &t->part[i];

		if (is_string(table->key[i]->type))
			add_framed(&t->key, r->parts.data + part->at, part->n);
		else
			buf_add(&t->key, r->parts.data + part->at, part->n);
	}
}

/* Appends the literal of a value to the row, and its part to the key. */
static int add_value(struct rows *r, struct rows_target *t, const struct column *c,
    const struct value_in *in)
{
	struct buf *part = c->key_at >= 0 ? &r->parts : NULL;
	size_t before = r->parts.len;
	enum value_result result = value_convert(&r->value, c, in, &t->values, part);

	if (result == VALUE_REJECT)
		return reject(r, t, c, r->value.why.data);
	r->rounded += result == VALUE_ROUNDED;
	if (part)
		t->part[c->key_at] = (struct key_part){ before, r->parts.len - before, true };
	return 0;
}

/* ---- rows ---- */

/*
 * A column that the record does not fill. 1: *literal is what it gets; 0: it is out of the set; -1: a reject. The
 * payload's absences mean the default; the envelope's (no key, no time) are NULL.
 */
static int absent(struct rows *r, struct rows_target *t, const struct column *c, struct span *literal)
{
	enum source_kind kind = t->t->source[c->at].kind;
	bool of_payload = kind == SOURCE_MEMBER || kind == SOURCE_PATH;

	if (kind == SOURCE_NONE || c->default_now || (c->auto_increment && of_payload))
		return 0;
	if (r->o.partial && (c->nullable || c->has_default))
		return 0;
	if (of_payload && c->has_default)
		*literal = SPAN("DEFAULT");
	else if (c->nullable)
		*literal = SPAN("NULL");
	else
		return reject(r, t, c, "is NOT NULL, and the record has no value for it");
	return 1;
}

static int add_column(struct rows *r, struct rows_target *t, const struct column *c)
{
	struct value_in in = { 0 };
	size_t before = t->values.len;
	struct span literal;
	int there;

	switch (find_value(r, t, c, &in)) {
	case FOUND_BAD:
		return reject(r, t, c, "the record's time or window is not one");
	case FOUND_NOTHING:
		there = absent(r, t, c, &literal);
		if (there <= 0)
			return there;
		if (before > 0)
			buf_add_char(&t->values, ',');
		buf_add_span(&t->values, literal);
		break;
	case FOUND_VALUE:
		if (before > 0)
			buf_add_char(&t->values, ',');
		if (add_value(r, t, c, &in) < 0)
			return -1;
	}
	t->ends[r->ats] = (uint32_t)t->values.len;
	r->at[r->ats++] = c->at;
	return 0;
}

static void begin_row(struct rows *r, struct rows_target *t)
{
	r->ats = 0;
	r->parts.len = t->values.len = 0;
	for (unsigned i = 0; i < t->t->table->keys; i++)
		t->part[i].known = false;
}

static int upsert_row(struct rows *r, struct rows_target *t, struct row *out)
{
	const struct table *table = t->t->table;

	begin_row(r, t);
	for (unsigned i = 0; i < table->columns; i++)
		if (add_column(r, t, &table->column[i]) < 0)
			return -1;
	make_key(r, t);
	*out = (struct row){
		.kind = ROW_UPSERT,
		.values = buf_span(&t->values),
		.key = buf_span(&t->key),
		.columns = intern_set(r, t),
		.ends = t->ends,
	};
	return 0;
}

/* What a tombstone tells of the row it deletes: where it was and when may be another's. */
static bool names_row(enum source_kind kind)
{
	return kind != SOURCE_OFFSET && kind != SOURCE_TS;
}

static int delete_row(struct rows *r, struct rows_target *t, struct row *out)
{
	const struct table *table = t->t->table;

	begin_row(r, t);
	for (unsigned i = 0; i < table->keys; i++) {
		const struct column *c = table->key[i];
		struct value_in in = { 0 };

		if (!names_row(t->t->source[c->at].kind) || find_value(r, t, c, &in) != FOUND_VALUE)
			return reject(r, t, c,
			    "is part of the primary key, and the tombstone does not fill it");
		if (i > 0)
			buf_add_char(&t->values, ',');
		if (add_value(r, t, c, &in) < 0)
			return -1;
	}
	make_key(r, t);
	*out = (struct row){ .kind = ROW_DELETE,
		.values = buf_span(&t->values),
		.key = buf_span(&t->key) };
	return 0;
}

static int convert_tombstone(struct rows *r, struct row *out)
{
	bool deletes = false;

	for (size_t i = 0; i < r->m->targets; i++) {
		struct rows_target *t = &r->target[i];

		if (!t->taken || !t->t->has_key)
			continue;
		deletes = true;
		if (delete_row(r, t, &out[i]) < 0)
			return -1;
	}
	return deletes ? 0
		       : reject(r, NULL, NULL, "a tombstone, but no key says which row it deletes");
}

static int convert_payload(struct rows *r, struct row *out)
{
	if (scan_payload(r) < 0)
		return -1;
	for (size_t i = 0; i < r->m->targets; i++)
		if (r->target[i].taken && upsert_row(r, &r->target[i], &out[i]) < 0)
			return -1;
	return 0;
}

int rows_convert(struct rows *r, const struct line *l, struct row *out, struct row_problem *problem)
{
	int result;

	for (size_t i = 0; i < r->m->targets; i++)
		out[i] = (struct row){ .kind = ROW_NONE };
	r->record++;
	r->line = l;
	r->problem = problem;
	r->rounded = 0;
	if (take(r) == 0)
		return 0;
	if (r->key_taken && find_key(r) < 0)
		return -1;
	result = l->payload_enc == ENC_NONE ? convert_tombstone(r, out) : convert_payload(r, out);
	if (result == 0)
		r->counts.rounded += r->rounded;
	return result;
}
