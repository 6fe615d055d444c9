#include "members.h"

#include <stdlib.h>
#include <strings.h>

#define NAMES_MAX 1024 /* names kept of one object, beyond those that are wanted */
#define NAME_MAX  256  /* bytes of a name that is kept */

/* Somebody's want: a path of exact names, or one name in any case. */
struct want {
	struct span *step; /* borrowed from the want of the outermost object, which owns them */
	int steps;
	bool any_case;
	struct member_cell *cell;
	unsigned owner;
};

/* An object some of whose members are wanted. */
struct member_node {
	struct want *want;
	size_t wants;
	struct member_name **slot; /* a hash table of what names stand for; a power of two */
	size_t slots, names;
	struct member_name *first; /* what came first the last time */
	struct member_name other;  /* a name that is not kept */
};

struct members {
	struct member_node root;
	struct buf name; /* one with escapes, decoded */
	uint64_t scan;
};

static void add_want(struct member_node *n, struct want w)
{
	n->want = xrealloc(n->want, (n->wants + 1) * sizeof(*n->want));
	n->want[n->wants++] = w;
}

/* ---- what a name stands for ---- */

static bool same_name(const struct want *w, struct span name, bool *exact)
{
	*exact = span_eq(w->step[0], name);
	return *exact ||
	    (w->any_case && w->step[0].n == name.n && strncasecmp(w->step[0].p, name.p, name.n) == 0);
}

static void add_use(struct member_name *e, const struct want *w, bool exact)
{
	e->use = xrealloc(e->use, (e->uses + 1) * sizeof(*e->use));
	e->use[e->uses++] = (struct member_use){ .cell = w->steps > 1 ? NULL : w->cell,
		.owner = w->owner,
		.exact = exact,
		.wanted = w->cell != NULL };
}

static void add_inner(struct member_name *e, const struct want *w)
{
	if (!e->inner)
		e->inner = xcalloc(1, sizeof(*e->inner));
	add_want(e->inner,
	    (struct want){ .step = w->step + 1, .steps = w->steps - 1, .cell = w->cell, .owner = w->owner });
}

/* Works out what e->name stands for. */
static void resolve(const struct member_node *n, struct member_name *e)
{
	bool exact;

	e->uses = 0;
	for (size_t i = 0; i < n->wants; i++) {
		const struct want *w = &n->want[i];

		if (!same_name(w, e->name, &exact))
			continue;
		add_use(e, w, exact);
		if (w->steps > 1)
			add_inner(e, w);
	}
}

static struct member_name **place_of(const struct member_node *n, struct span name)
{
	size_t i = span_hash(name) & (n->slots - 1);

	while (n->slot[i] && !span_eq(n->slot[i]->name, name))
		i = (i + 1) & (n->slots - 1);
	return &n->slot[i];
}

static void grow(struct member_node *n)
{
	struct member_node old = *n;

	n->slots = old.slots ? old.slots * 2 : 64;
	n->slot = xcalloc(n->slots, sizeof(struct member_name *));
	for (size_t i = 0; i < old.slots; i++)
		if (old.slot[i])
			*place_of(n, old.slot[i]->name) = old.slot[i];
	free(old.slot);
}

static struct member_name *keep(struct member_node *n, struct span name)
{
	struct member_name *e = xcalloc(1, sizeof(*e));

	if (n->names * 2 >= n->slots)
		grow(n);
	e->name = (struct span){ xstrndup(name.p, name.n), name.n };
	e->kept = true;
	resolve(n, e);
	*place_of(n, e->name) = e;
	n->names++;
	return e;
}

static struct member_name *find(struct member_node *n, struct span name)
{
	struct member_name *e = *place_of(n, name);

	if (e)
		return e;
	if (n->names < n->wants + NAMES_MAX && name.n <= NAME_MAX)
		return keep(n, name);
	/* It leads to no inner object: the names that paths go through were all kept in the beginning. */
	n->other.name = name;
	resolve(n, &n->other);
	return &n->other;
}

/* ---- wants ---- */

struct members *members_new(void)
{
	return xcalloc(1, sizeof(struct members));
}

static void release_node(struct member_node *n)
{
	for (size_t i = 0; i < n->slots; i++) {
		struct member_name *e = n->slot[i];

		if (!e)
			continue;
		if (e->inner)
			release_node(e->inner);
		free(e->inner);
		free((char *)e->name.p);
		free(e->use);
		free(e);
	}
	free(n->slot);
	free(n->want);
	free(n->other.use);
}

void members_free(struct members *m)
{
	for (size_t i = 0; i < m->root.wants; i++) {
		for (int k = 0; k < m->root.want[i].steps; k++)
			free((char *)m->root.want[i].step[k].p);
		free(m->root.want[i].step);
	}
	release_node(&m->root);
	buf_release(&m->name);
	free(m);
}

static void want(struct members *m, const struct span *step, struct want w)
{
	w.step = xcalloc((size_t)w.steps, sizeof(*w.step));
	for (int i = 0; i < w.steps; i++)
		w.step[i] = (struct span){ xstrndup(step[i].p, step[i].n), step[i].n };
	add_want(&m->root, w);
}

void members_want(struct members *m, struct span name, struct member_cell *cell, unsigned owner)
{
	want(m, &name, (struct want){ .steps = 1, .any_case = true, .cell = cell, .owner = owner });
}

void members_want_path(struct members *m, const struct span *step, int steps,
    struct member_cell *cell, unsigned owner)
{
	want(m, step, (struct want){ .steps = steps, .cell = cell, .owner = owner });
}

static void keep_wanted(struct member_node *n)
{
	grow(n);
	for (size_t i = 0; i < n->wants; i++)
		if (!*place_of(n, n->want[i].step[0]))
			keep(n, n->want[i].step[0]);
	for (size_t i = 0; i < n->slots; i++)
		if (n->slot[i] && n->slot[i]->inner)
			keep_wanted(n->slot[i]->inner);
}

void members_ready(struct members *m)
{
	keep_wanted(&m->root);
}

/* ---- scanning ---- */

/* Another object under the same name takes the place of all of the first, also of what it does not have itself. */
static void forget(struct member_node *n)
{
	for (size_t i = 0; i < n->wants; i++)
		if (n->want[i].cell)
			n->want[i].cell->scan = 0;
}

static void fill(struct members *m, const struct member_name *e, const struct json_value *v)
{
	for (size_t i = 0; i < e->uses; i++) {
		struct member_cell *c = e->use[i].cell;

		if (!c || (c->scan == m->scan && c->exact && !e->use[i].exact))
			continue;
		c->value = *v;
		c->scan = m->scan;
		c->exact = e->use[i].exact;
	}
}

static void scan_node(struct members *m, struct member_node *n, struct json *j,
    void (*seen)(void *ctx, struct member_name *name), void *ctx);

/* The value of a name that paths go through. */
static void scan_inner(struct members *m, struct member_name *e, struct json *j, struct json_value *v)
{
	const char *start;

	if (e->scan == m->scan)
		forget(e->inner);
	e->scan = m->scan;
	if (json_peek(j) != JSON_OBJECT) {
		json_value(j, v);
		return;
	}
	start = j->p;
	scan_node(m, e->inner, j, NULL, NULL);
	*v = (struct json_value){ JSON_OBJECT, { start, (size_t)(j->p - start) }, true };
}

static inline struct member_name *name_at(struct members *m, struct member_node *n,
    struct member_name **guess, struct span key, bool escaped)
{
	struct member_name *e = *guess;

	if (e && !escaped && span_eq(e->name, key))
		return e;
	if (escaped) {
		buf_clear(&m->name);
		json_unescape(&m->name, key);
		key = buf_span(&m->name);
	}
	e = find(n, key);
	if (e->kept)
		*guess = e;
	return e;
}

static void scan_node(struct members *m, struct member_node *n, struct json *j,
    void (*seen)(void *ctx, struct member_name *name), void *ctx)
{
	struct member_name **guess = &n->first;
	struct json_value v = { 0 };
	struct span key;
	bool escaped;

	json_enter(j);
	while (json_member(j, &key, &escaped) > 0) {
		struct member_name *e = name_at(m, n, guess, key, escaped);

		if (e->inner)
			scan_inner(m, e, j, &v);
		else
			json_value(j, &v);
		fill(m, e, &v);
		if (seen)
			seen(ctx, e);
		guess = &e->next;
	}
}

void members_scan(struct members *m, struct span object, uint64_t scan,
    void (*seen)(void *ctx, struct member_name *name), void *ctx)
{
	struct json j;

	m->scan = scan;
	json_init(&j, object.p, object.n);
	scan_node(m, &m->root, &j, seen, ctx);
}
