/*
 * The file of -M, sluice-mapping(5). Read with the scanner that reads records, not with cJSON: a constant must keep its
 * digits and its NULs, and every mistake needs its place. All mistakes are said, not the first one only: a file is
 * mended in an editor, not in ten runs.
 */
#include "io.h"
#include "log.h"
#include "mapping_internal.h"
#include "stream.h"
#include "value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX  ((size_t)1 << 20) /* bytes; a larger one is no mapping but a mistaken name */
#define NAME_SHOW 64                /* bytes of a name that a message quotes */

struct reading {
	struct mapping *m;
	const struct table_finder *finder;
	const struct mapping_options *o;
	struct buf place; /* tables[0].columns.city: what is being read */
	struct buf last;  /* the mistake that was found last, and not printed yet */
	unsigned mistakes;
	bool stopped;     /* fail() holds what is no mistake of the file: a server that is gone */
	bool used;        /* an entry for o->table was there */
	struct buf names; /* of the tables so far, each with a NUL */
	struct value value;
	struct buf scratch;
};

/* ---- mistakes ---- */

static void __attribute__((format(printf, 2, 3))) mistake(struct reading *r, const char *fmt, ...)
{
	char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (r->mistakes++ > 0)
		error("%s", buf_cstr(&r->last));
	buf_clear(&r->last);
	buf_addf(&r->last, "%s: ", r->o->file);
	buf_add_span(&r->last, buf_span(&r->place));
	buf_addf(&r->last, "%s%s", r->place.len > 0 ? ": " : "", why);
}

/* A mistake in the JSON itself has a line and a column, in characters as editors count them. */
static int bad_json(const struct reading *r, struct span text, const struct json *j)
{
	size_t line = 1, column = 1;

	for (const char *p = text.p; p < j->p; p++) {
		if (*p == '\n')
			line++, column = 1;
		else if (((unsigned char)*p & 0xc0) != 0x80)
			column++;
	}
	return fail(EXIT_CONFIG, "%s:%zu:%zu: %s", r->o->file, line, column, j->why);
}

/* ---- places ---- */

static bool plain_name(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x80 && c != '_' && c != '-' && c != '$' && !(c >= '0' && c <= '9') &&
		    !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			return false;
	}
	return name.n > 0 && name.n <= NAME_SHOW;
}

/* Quoted for a message, and cut when it is long. */
static void add_quoted(struct buf *to, struct span name)
{
	bool cut = name.n > NAME_SHOW;

	if (cut)
		for (name.n = NAME_SHOW; name.n > 0 && ((unsigned char)name.p[name.n] & 0xc0) == 0x80;)
			name.n--;
	json_escape(to, name.p, name.n);
	if (cut)
		buf_add_str(to, "...");
}

/* Enters a member; returns what leave() takes to go back. */
static size_t enter(struct reading *r, struct span name)
{
	size_t before = r->place.len;

	if (plain_name(name)) {
		if (before > 0)
			buf_add_char(&r->place, '.');
		buf_add_span(&r->place, name);
	} else {
		buf_add_char(&r->place, '[');
		add_quoted(&r->place, name);
		buf_add_char(&r->place, ']');
	}
	return before;
}

static size_t enter_element(struct reading *r, size_t i)
{
	size_t before = r->place.len;

	buf_addf(&r->place, "[%zu]", i);
	return before;
}

static void leave(struct reading *r, size_t before)
{
	r->place.len = before;
}

static void mistake_at(struct reading *r, const char *member, const char *why)
{
	size_t before = enter(r, (struct span){ member, strlen(member) });

	mistake(r, "%s", why);
	leave(r, before);
}

/* ---- values ---- */

/* The next member of an object that is known to be valid; its name is unescaped. */
static bool next_member(struct json *j, struct buf *name, struct json_value *v)
{
	struct span key;

	if (json_member(j, &key, NULL) <= 0)
		return false;
	buf_clear(name);
	json_unescape(name, key);
	return json_value(j, v) == 0;
}

/* Opens a value for next_member or json_element. */
static void open_value(struct json *j, const struct json_value *v)
{
	json_init(j, v->raw.p, v->raw.n);
	json_enter(j);
}

/* The members of an object that may have only these: value[i] is that of name[i], JSON_NONE when it is not there. */
static bool read_object(struct reading *r, const struct json_value *object, const char *const *name,
    size_t names, struct json_value *value)
{
	struct buf member = BUF_INIT;
	struct json_value v;
	struct json j;

	memset(value, 0, names * sizeof(*value));
	if (object->type != JSON_OBJECT) {
		mistake(r, "is not an object");
		return false;
	}
	open_value(&j, object);
	while (next_member(&j, &member, &v)) {
		size_t before = enter(r, buf_span(&member)), i = 0;

		while (i < names && !span_is(buf_span(&member), name[i]))
			i++;
		if (i == names)
			mistake(r, "no such member");
		else if (value[i].type != JSON_NONE)
			mistake(r, "is there twice");
		else
			value[i] = v;
		leave(r, before);
	}
	buf_release(&member);
	return true;
}

/* A name: a string that is not empty and fits in a C string. Caller frees; NULL when it is none. */
static char *read_name(struct reading *r, const struct json_value *v)
{
	struct span s;

	if (v->type != JSON_STRING) {
		mistake(r, "is not a string");
		return NULL;
	}
	s = json_text(v, &r->scratch);
	if (s.n == 0 || memchr(s.p, '\0', s.n)) {
		mistake(r, s.n == 0 ? "is empty" : "has a NUL");
		return NULL;
	}
	return xstrndup(s.p, s.n);
}

/* ---- sources ---- */

static const struct {
	const char *name;
	enum source_kind kind;
} at_sources[] = {
	{ "@key", SOURCE_KEY },
	{ "@topic", SOURCE_TOPIC },
	{ "@partition", SOURCE_PARTITION },
	{ "@offset", SOURCE_OFFSET },
	{ "@ts", SOURCE_TS },
	{ "@window.start", SOURCE_WINDOW_START },
	{ "@window.end", SOURCE_WINDOW_END },
};

#define KEY_MEMBER "@key."

static bool read_at_source(struct reading *r, const char *text, struct source *s)
{
	for (size_t i = 0; i < sizeof(at_sources) / sizeof(at_sources[0]); i++)
		if (strcmp(text, at_sources[i].name) == 0) {
			s->kind = at_sources[i].kind;
			return true;
		}
	if (strncmp(text, KEY_MEMBER, sizeof(KEY_MEMBER) - 1) == 0 && text[sizeof(KEY_MEMBER) - 1]) {
		s->kind = SOURCE_KEY_MEMBER;
		s->text = xstrdup(text + sizeof(KEY_MEMBER) - 1);
		return true;
	}
	buf_clear(&r->scratch);
	add_quoted(&r->scratch, (struct span){ text, strlen(text) });
	mistake(r,
	    "no source %s: there are @key, @key.NAME, @topic, @partition, @offset, @ts, @window.start and "
	    "@window.end",
	    buf_cstr(&r->scratch));
	return false;
}

static bool read_path(struct reading *r, const char *text, struct source *s)
{
	struct stream paths;
	bool good;

	stream_init(&paths);
	good = stream_want(&paths, text) >= 0;
	stream_release(&paths);
	if (!good) {
		mistake(r, "%s", fail_message());
		return false;
	}
	s->kind = SOURCE_PATH;
	s->text = xstrdup(text);
	return true;
}

static bool read_const(struct reading *r, const struct json_value *v, struct source *s)
{
	static const char *const names[] = { "const" };
	struct json_value value;

	read_object(r, v, names, 1, &value);
	if (value.type == JSON_NONE) {
		mistake(r, "is not {\"const\": VALUE}");
		return false;
	}
	if (value.type == JSON_NULL) {
		mistake_at(r, "const",
		    "null is no constant; without the object it leaves the column alone");
		return false;
	}
	value.raw.p = xstrndup(value.raw.p, value.raw.n);
	*s = (struct source){ .kind = SOURCE_CONST, .value = value };
	return true;
}

/* What a column is to be filled from. */
static bool read_source(struct reading *r, const struct json_value *v, struct source *s)
{
	char *text;
	bool good = false;

	*s = (struct source){ .kind = SOURCE_NONE };
	if (v->type == JSON_NULL)
		return true;
	if (v->type == JSON_OBJECT)
		return read_const(r, v, s);
	if (v->type != JSON_STRING) {
		mistake(r,
		    "is none of a path like \".city\", a source like \"@key\", {\"const\": VALUE} and null");
		return false;
	}
	text = read_name(r, v);
	if (text)
		good = *text == '@' ? read_at_source(r, text, s) : read_path(r, text, s);
	free(text);
	return good;
}

/* Whether a constant fits its column. */
static bool check_const(struct reading *r, const struct column *c, const struct source *s)
{
	struct value_in in = { .json = s->value };
	size_t before;

	buf_clear(&r->scratch);
	if (value_convert(&r->value, c, &in, &r->scratch, NULL) != VALUE_REJECT)
		return true;
	before = enter(r, SPAN("const"));
	mistake(r, "%s", buf_cstr(&r->value.why));
	leave(r, before);
	return false;
}

/* Whether the column can be filled so. */
static bool check_source(struct reading *r, const struct column *c, const struct source *s)
{
	if (c->generated && s->kind != SOURCE_NONE) {
		mistake(r, "is a generated column: the server fills it");
		return false;
	}
	if (s->kind == SOURCE_NONE && !c->nullable && !c->has_default && !c->default_now &&
	    !c->auto_increment && !c->generated) {
		mistake(r, "is NOT NULL without a default: something must fill it");
		return false;
	}
	return s->kind != SOURCE_CONST || check_const(r, c, s);
}

/* ---- one entry of "tables" ---- */

enum entry_member { ENTRY_TABLE, ENTRY_TOPICS, ENTRY_KEY, ENTRY_COLUMNS, ENTRY_MEMBERS };

static const char *const entry_names[ENTRY_MEMBERS] = { "table", "topics", "key", "columns" };

struct entry {
	struct target *t; /* NULL: only what needs no table is checked */
	bool *given;      /* by column: whether "columns" names it */
};

static void read_column(struct reading *r, struct entry *e, struct span name,
    const struct json_value *v)
{
	const struct column *c = e->t ? table_column(e->t->table, name) : NULL;
	struct source s;

	if (e->t && !c) {
		mistake(r, "table %s has no such column%s", e->t->table->name,
		    similar_column(e->t->table, name, &r->scratch));
		return;
	}
	if (c && e->given[c->at]) {
		mistake(r, "column %s is there twice", c->name);
		return;
	}
	if (c)
		e->given[c->at] = true;
	if (read_source(r, v, &s) && c && check_source(r, c, &s))
		target_set_source(e->t, c, s);
	else
		source_release(&s);
}

static void read_columns(struct reading *r, struct entry *e, const struct json_value *v)
{
	struct buf name = BUF_INIT;
	struct json_value source;
	struct json j;

	if (v->type == JSON_NONE)
		return;
	if (v->type != JSON_OBJECT) {
		mistake(r, "is not an object of columns");
		return;
	}
	open_value(&j, v);
	while (next_member(&j, &name, &source)) {
		size_t before = enter(r, buf_span(&name));

		read_column(r, e, buf_span(&name), &source);
		leave(r, before);
	}
	buf_release(&name);
}

/* A column that the key fills: "columns" may say with which part of it, and with nothing else. */
static void use_key(struct reading *r, struct entry *e, const struct column *c, bool alone)
{
	enum source_kind kind = e->t->source[c->at].kind;

	if (c->generated)
		mistake(r, "column %s is generated: the server fills it", c->name);
	else if (!e->given[c->at])
		target_set_source(e->t, c, source_of_key(c, alone));
	else if (kind != SOURCE_KEY && kind != SOURCE_KEY_MEMBER)
		mistake(r,
		    "column %s is filled by the key, but \"columns\" fills it with something else",
		    c->name);
}

static void read_key_column(struct reading *r, struct entry *e, const struct json_value *v,
    bool *seen, bool alone)
{
	char *name = read_name(r, v);
	const struct column *c;
	struct span span;

	if (!name || !e->t) {
		free(name);
		return;
	}
	span = (struct span){ name, strlen(name) };
	c = table_column(e->t->table, span);
	if (!c) {
		mistake(r, "table %s has no column %s%s", e->t->table->name, name,
		    similar_column(e->t->table, span, &r->scratch));
	} else if (seen[c->at]) {
		mistake(r, "column %s is there twice", c->name);
	} else {
		seen[c->at] = true;
		use_key(r, e, c, alone);
	}
	free(name);
}

static size_t count_elements(const struct json_value *list)
{
	struct json_value v;
	struct json j;
	size_t n = 0;

	open_value(&j, list);
	while (json_element(&j) > 0 && json_value(&j, &v) == 0)
		n++;
	return n;
}

/* How many elements the list has; 0, and a mistake, when there is none. */
static size_t check_list(struct reading *r, const struct json_value *v, const char *of)
{
	size_t n = v->type == JSON_ARRAY ? count_elements(v) : 0;

	if (v->type != JSON_ARRAY)
		mistake(r, "is not a list of %s", of);
	else if (n == 0)
		mistake(r, "is an empty list");
	return n;
}

static void read_key(struct reading *r, struct entry *e, const struct json_value *v)
{
	struct json_value column;
	bool *seen = NULL;
	struct json j;
	size_t n;

	if (v->type == JSON_NONE)
		return;
	n = check_list(r, v, "columns");
	if (n == 0)
		return;
	if (e->t) {
		seen = xcalloc(e->t->table->columns, sizeof(*seen));
		e->t->has_key = true;
	}
	open_value(&j, v);
	for (size_t i = 0; json_element(&j) > 0 && json_value(&j, &column) == 0; i++) {
		size_t before = enter_element(r, i);

		read_key_column(r, e, &column, seen, n == 1);
		leave(r, before);
	}
	free(seen);
}

static void read_topics(struct reading *r, struct target *t, const struct json_value *v)
{
	char **topic, *name;
	size_t n, topics = 0;
	struct json_value element;
	struct json j;

	if (v->type == JSON_NONE)
		return;
	n = check_list(r, v, "topics");
	topic = xcalloc(n + 1, sizeof(*topic));
	if (n > 0)
		open_value(&j, v);
	for (size_t i = 0; i < n && json_element(&j) > 0 && json_value(&j, &element) == 0; i++) {
		size_t before = enter_element(r, i);

		name = read_name(r, &element);
		for (size_t k = 0; name && k < topics; k++)
			if (strcmp(topic[k], name) == 0) {
				mistake(r, "topic %s is there twice", name);
				break;
			}
		if (name)
			topic[topics++] = name;
		leave(r, before);
	}
	if (t) {
		t->topic = topic;
		t->topics = topics;
		return;
	}
	while (topics > 0)
		free(topic[--topics]);
	free(topic);
}

static bool seen_before(const struct reading *r, const char *name)
{
	for (size_t at = 0; at < r->names.len; at += strlen(r->names.data + at) + 1)
		if (strcmp(r->names.data + at, name) == 0)
			return true;
	return false;
}

/* The table that an entry names. NULL: a mistake, or none that this run uses. */
static struct table *read_table_name(struct reading *r, const struct json_value *v)
{
	size_t before = enter(r, SPAN("table"));
	struct table *table = NULL;
	char *name = NULL;

	if (v->type == JSON_NONE)
		mistake(r, "is missing");
	else
		name = read_name(r, v);
	if (name && seen_before(r, name)) {
		mistake(r, "%s has an entry already", name);
	} else if (name) {
		buf_add(&r->names, name, strlen(name) + 1);
		if (!r->o->table || strcmp(r->o->table, name) == 0) {
			r->used = true;
			table = r->finder->find(r->finder->ctx, name);
			if (!table && fail_code() == EXIT_CONFIG)
				mistake(r, "%s", fail_message());
			else if (!table)
				r->stopped = true;
		}
	}
	free(name);
	leave(r, before);
	return table;
}

static void read_entry(struct reading *r, const struct json_value *v)
{
	struct json_value member[ENTRY_MEMBERS];
	struct entry e = { 0 };
	struct table *table;
	size_t before;

	if (!read_object(r, v, entry_names, ENTRY_MEMBERS, member))
		return;
	table = read_table_name(r, &member[ENTRY_TABLE]);
	if (r->stopped)
		return;
	if (table) {
		e.t = mapping_add_target(r->m, table);
		e.given = xcalloc(table->columns, sizeof(*e.given));
	}
	before = enter(r, SPAN("topics"));
	read_topics(r, e.t, &member[ENTRY_TOPICS]);
	leave(r, before);
	before = enter(r, SPAN("columns"));
	read_columns(r, &e, &member[ENTRY_COLUMNS]);
	leave(r, before);
	before = enter(r, SPAN("key"));
	read_key(r, &e, &member[ENTRY_KEY]);
	leave(r, before);
	free(e.given);
}

/* ---- the file ---- */

static void read_tables(struct reading *r, const struct json_value *v)
{
	size_t before = enter(r, SPAN("tables")), n;
	struct json_value entry;
	struct json j;

	if (v->type == JSON_NONE) {
		mistake(r, "is missing");
	} else if ((n = check_list(r, v, "tables")) > 0) {
		open_value(&j, v);
		for (size_t i = 0; i < n && !r->stopped && json_element(&j) > 0; i++) {
			size_t outer = enter_element(r, i);

			json_value(&j, &entry);
			read_entry(r, &entry);
			leave(r, outer);
		}
		if (r->o->table && !r->used && !r->stopped)
			mistake(r, "no entry for table %s (-T)", r->o->table);
	}
	leave(r, before);
}

static void read_text(struct reading *r, struct span text)
{
	static const char *const names[] = { "tables" };
	struct json_value v, tables;
	struct json j;

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) {
		mistake(r, "begins with a byte order mark");
		return;
	}
	json_init(&j, text.p, text.n);
	if (json_value(&j, &v) < 0 || json_finish(&j) < 0) {
		r->stopped = true;
		bad_json(r, text, &j);
	} else if (read_object(r, &v, names, 1, &tables)) {
		read_tables(r, &tables);
	}
}

/* Whatever is wrong with the file, it is the configuration that is wrong. */
static char *load(const char *path, size_t *n)
{
	struct stat st;
	char *text;

	if (stat(path, &st) < 0) {
		fail_errno(EXIT_CONFIG, "%s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
		fail(EXIT_CONFIG, "%s: is not a file", path);
		return NULL;
	}
	text = st.st_size > (off_t)FILE_MAX ? NULL : read_file(path, n);
	if (!text && st.st_size <= (off_t)FILE_MAX) {
		fail(EXIT_CONFIG, "%s", fail_message());
	} else if (!text || *n > FILE_MAX) {
		fail(EXIT_CONFIG, "%s: is larger than 1 MiB: not a mapping", path);
		free(text);
		text = NULL;
	}
	return text;
}

int mapping_read_file(struct mapping *m, const struct table_finder *finder,
    const struct mapping_options *o)
{
	struct reading r = { .m = m, .finder = finder, .o = o };
	size_t n;
	char *text = load(o->file, &n);
	int result = -1;

	if (!text)
		return -1;
	read_text(&r, (struct span){ text, n });
	if (r.stopped && r.mistakes > 0)
		error("%s", buf_cstr(&r.last));
	else if (r.mistakes > 0)
		fail(EXIT_CONFIG, "%s", buf_cstr(&r.last));
	if (!r.stopped && r.mistakes == 0)
		result = 0;
	free(text);
	buf_release(&r.place);
	buf_release(&r.last);
	buf_release(&r.names);
	buf_release(&r.scratch);
	value_release(&r.value);
	return result;
}
