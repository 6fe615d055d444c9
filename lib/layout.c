/*
 * A template is compiled to components (what stands between slashes) of pieces. A component is
 * rendered on its own, so that one value too long costs its component the values and nothing else.
 *
 * Without key and fields a path depends on little: the topic, the partition, and the time as far as
 * the finest conversion tells it apart. So it is remembered by these, and a record costs a lookup;
 * of a path with key or fields, only the components that hold them are rendered each time.
 */
#include "layout.h"

#include "clock.h"
#include "log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPONENT_MAX 255  /* NAME_MAX of every file system in use */
#define PATH_BYTES    3000 /* PATH_MAX is 4096: the lake's directory and file names come on top */
#define TIME_TEXT_MAX 64   /* escaped; the longest, %c, has 28 bytes */
#define SLOTS         256  /* remembered paths, direct mapped */
#define TOPIC_MAX     249  /* Kafka's limit; longer ones are not remembered */

enum piece_kind {
	P_TEXT,
	P_TIME,
	P_TOPIC, /* from here on: values of the record */
	P_PARTITION,
	P_KEY,
	P_FIELD,
};

struct piece {
	enum piece_kind kind;
	char *text; /* P_TEXT: literal; P_TIME: strftime format of one conversion */
	size_t len;
	int want;      /* P_FIELD: index in stream->want */
	bool unpadded; /* P_TIME: %-d */
};

struct component {
	size_t first, end; /* pieces [first, end) */
	bool own;          /* has a key or field: not remembered */
};

struct slot {
	bool used;
	int64_t unit;
	int32_t partition;
	int defaults;
	struct buf topic, path; /* in the path a NUL stands for each component that is not remembered */
};

struct layout {
	struct stream *stream;
	struct piece *piece;
	size_t pieces;
	struct component *component;
	size_t components;
	bool own, own_time; /* one of them is the record's own; and has a conversion too */

	int time_want; /* of -t; -1: the record's ts */
	char *format;  /* of -f; NULL: ISO 8601 or epoch */
	int64_t unit;  /* seconds that the finest conversion tells apart; 0: no time */
	bool uses[P_FIELD + 1];
	bool escapes[256]; /* which characters are escaped in values */
	struct buf scratch;
	struct slot slot[SLOTS];
};

/* ---- escaping ---- */

/*
 * What Hive percent-escapes in the value of a partition (FileUtils.escapePathName), so that every
 * reader of Hive partitions decodes it: these and the control characters; and NUL.
 */
static const char hive_escapes[] = "\"#%'*/:=?\\{[]^\x7f";

static void fill_escapes(bool table[256])
{
	for (int c = 0; c < 0x20; c++)
		table[c] = true;
	for (const char *p = hive_escapes; *p; p++)
		table[(unsigned char)*p] = true;
}

static void add_percent(char to[3], unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	to[0] = '%';
	to[1] = hex[c >> 4];
	to[2] = hex[c & 15];
}

/* 0; -1: empty, or too long for any component. */
static int add_escaped(const struct layout *l, struct buf *to, struct span s)
{
	size_t plain = 0;

	if (s.n == 0 || s.n > COMPONENT_MAX)
		return -1;
	while (plain < s.n && !l->escapes[(unsigned char)s.p[plain]])
		plain++;
	buf_add(to, s.p, plain);
	for (size_t i = plain; i < s.n; i++) {
		char code[3] = { s.p[i] };

		if (l->escapes[(unsigned char)s.p[i]])
			add_percent(code, (unsigned char)s.p[i]);
		buf_add(to, code, code[0] == '%' ? 3 : 1);
	}
	return 0;
}

static void escape_dot(struct buf *to, size_t at)
{
	buf_reserve(to, 2);
	memmove(to->data + at + 3, to->data + at + 1, to->len - at - 1);
	add_percent(to->data + at, '.');
	to->len += 2;
}

/* How long the suffix is that would make a directory look like a data file; 0: none. */
static size_t data_suffix(const char *p, size_t n)
{
	static const struct span suffix[] = { SPAN(".jsonl"), SPAN(".jsonl.gz") };

	for (size_t i = 0; i < 2; i++)
		if (n >= suffix[i].n && memcmp(p + n - suffix[i].n, suffix[i].p, suffix[i].n) == 0)
			return suffix[i].n;
	return 0;
}

static const char *component_problem(struct span c)
{
	if (c.n == 0)
		return "an empty component";
	if (c.p[0] == '.')
		return c.n == 2 && c.p[1] == '.' ? "a component \"..\""
						 : "a component that begins with a dot";
	if (c.n > COMPONENT_MAX)
		return "a component longer than 255 bytes";
	if (data_suffix(c.p, c.n))
		return "a component that ends like a data file";
	return NULL;
}

const char *path_problem(struct span path)
{
	const char *p = path.p, *end = path.p + path.n, *why = NULL;

	if (path.n == 0)
		return "empty";
	if (path.n > PATH_BYTES)
		return "longer than 3000 bytes";
	if (memchr(path.p, '\0', path.n))
		return "a NUL";
	if (*p == '/')
		return "absolute";
	while (!why) {
		const char *slash = memchr(p, '/', (size_t)(end - p));

		why = component_problem((struct span){ p, (size_t)((slash ? slash : end) - p) });
		if (!slash)
			break;
		p = slash + 1;
	}
	return why;
}

/* ---- time ---- */

/* strptime wants a string, and leaves alone what its format does not name. */
static int parse_format(const char *format, struct span s, int64_t *ms)
{
	char text[COMPONENT_MAX + 1];
	struct tm tm = { .tm_mday = 1, .tm_gmtoff = LONG_MIN };
	const char *end;

	if (s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return -1;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	end = strptime(text, format, &tm);
	if (!end || *end)
		return -1;
	return clock_instant(&tm, tm.tm_gmtoff == LONG_MIN, ms);
}

static int parse_time(const struct layout *l, struct span text, int64_t *ms)
{
	if (l->format)
		return parse_format(l->format, text, ms);
	if (clock_parse_epoch(text.p, text.n, ms) == 0)
		return 0;
	return clock_parse_iso(text.p, text.n, ms);
}

static bool record_time(struct layout *l, const struct line *line, int64_t *sec)
{
	const struct json_value *v;
	struct span text;
	int64_t ms = line->ts;

	if (l->time_want >= 0) {
		v = &l->stream->want[l->time_want].value;
		if (v->type == JSON_STRING)
			text = json_text(v, &l->scratch);
		else if (v->type == JSON_NUMBER)
			text = v->raw;
		else
			return false;
		if (parse_time(l, text, &ms) < 0)
			return false;
	} else if (line->kind != LINE_RECORD || !line->has_ts || ms < 0 || ms > CLOCK_MAX_MS) {
		return false;
	}
	*sec = ms / 1000;
	return true;
}

static void add_number(struct buf *to, int v, int width)
{
	char text[12];
	int at = sizeof(text);

	for (; at > 0 && (v > 0 || width > 0); v /= 10, width--)
		text[--at] = (char)('0' + v % 10);
	buf_add(to, text + at, sizeof(text) - (size_t)at);
}

/* One conversion. The usual ones are numbers, and ten times faster without strftime(3). */
static int add_time(const struct layout *l, struct buf *to, const struct piece *p,
    const struct tm *tm, int64_t sec)
{
	char text[TIME_TEXT_MAX];
	size_t n;

	switch (p->text[p->len - 1]) {
	case 'Y':
		add_number(to, tm->tm_year + 1900, 4);
		return 0;
	case 'm':
		add_number(to, tm->tm_mon + 1, p->unpadded ? 1 : 2);
		return 0;
	case 'd':
		add_number(to, tm->tm_mday, p->unpadded ? 1 : 2);
		return 0;
	case 'H':
		add_number(to, tm->tm_hour, p->unpadded ? 1 : 2);
		return 0;
	case 'M':
		add_number(to, tm->tm_min, p->unpadded ? 1 : 2);
		return 0;
	case 'S':
		add_number(to, tm->tm_sec, p->unpadded ? 1 : 2);
		return 0;
	case 's': /* strftime counts back from tm by the TZ of the machine */
		buf_add_int(to, sec);
		return 0;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* compile_time has checked it */
	n = strftime(text, sizeof(text), p->text, tm);
#pragma GCC diagnostic pop
	return add_escaped(l, to, (struct span){ text, n });
}

/* ---- rendering ---- */

struct moment {
	bool known;
	int64_t sec;
	struct tm tm;
};

/* Text, numbers and booleans; nothing else can be part of a path. */
static int add_json(struct layout *l, const struct json_value *v, struct buf *to)
{
	if (v->type == JSON_STRING)
		return add_escaped(l, to, json_text(v, &l->scratch));
	if (v->type == JSON_NUMBER || v->type == JSON_TRUE || v->type == JSON_FALSE)
		return add_escaped(l, to, v->raw);
	return -1;
}

static int add_piece(struct layout *l, const struct piece *p, const struct line *line,
    const struct moment *at, struct buf *to)
{
	bool record = line->kind == LINE_RECORD;

	switch (p->kind) {
	case P_TEXT:
		buf_add(to, p->text, p->len);
		return 0;
	case P_TIME:
		return at->known ? add_time(l, to, p, &at->tm, at->sec) : -1;
	case P_TOPIC:
		return record ? add_escaped(l, to, line->topic) : -1;
	case P_PARTITION:
		if (record)
			buf_add_int(to, line->partition);
		return record ? 0 : -1;
	case P_KEY:
		return record && line->key_enc != ENC_BASE64 ? add_json(l, &line->key, to) : -1;
	case P_FIELD:
		return add_json(l, &l->stream->want[p->want].value, to);
	}
	return -1;
}

/* How many pieces became LAYOUT_DEFAULT; -1: too long (never when `plain`: without values). */
static int add_component(struct layout *l, const struct component *c, const struct line *line,
    const struct moment *at, bool plain, struct buf *to)
{
	size_t start = to->len, suffix;
	int defaults = 0;

	for (size_t i = c->first; i < c->end; i++) {
		const struct piece *p = &l->piece[i];
		size_t mark = to->len;

		if ((plain && p->kind >= P_TOPIC) || add_piece(l, p, line, at, to) < 0) {
			to->len = mark;
			buf_add_str(to, LAYOUT_DEFAULT);
			defaults++;
		}
	}
	if (to->data[start] == '.')
		escape_dot(to, start);
	suffix = data_suffix(to->data + start, to->len - start);
	if (suffix)
		escape_dot(to, to->len - suffix);
	return to->len - start <= COMPONENT_MAX ? defaults : -1;
}

/* One component that fits; when its values make it too long, it is rendered without. */
static int add_fitting(struct layout *l, const struct component *c, const struct line *line,
    const struct moment *at, bool plain, struct buf *to)
{
	size_t start = to->len;
	int defaults = add_component(l, c, line, at, plain, to);

	if (defaults >= 0)
		return defaults;
	to->len = start;
	return add_component(l, c, line, at, true, to);
}

static int render(struct layout *l, const struct line *line, const struct moment *at, bool plain,
    struct buf *to)
{
	int defaults = 0;

	for (size_t i = 0; i < l->components; i++) {
		if (i > 0)
			buf_add_char(to, '/');
		defaults += add_fitting(l, &l->component[i], line, at, plain, to);
	}
	return defaults;
}

static struct moment moment_of(int64_t sec, bool known)
{
	struct moment at = { .known = known, .sec = sec };

	if (known)
		clock_calendar(sec, &at.tm);
	return at;
}

static int render_path(struct layout *l, const struct line *line, int64_t sec, bool known,
    struct buf *to)
{
	struct moment at = moment_of(sec, known);
	size_t start = to->len;
	int defaults = render(l, line, &at, false, to);

	if (to->len - start <= PATH_BYTES)
		return defaults;
	to->len = start;
	return render(l, line, &at, true, to);
}

/* What is remembered of a path: all of it, or a NUL in the place of each component of the record's own. */
static int render_slot(struct layout *l, const struct line *line, int64_t sec, bool known,
    struct buf *to)
{
	struct moment at;
	int defaults = 0;

	if (!l->own)
		return render_path(l, line, sec, known, to);
	at = moment_of(sec, known);
	for (size_t i = 0; i < l->components; i++) {
		if (i > 0)
			buf_add_char(to, '/');
		if (l->component[i].own)
			buf_add_char(to, '\0');
		else
			defaults += add_fitting(l, &l->component[i], line, &at, false, to);
	}
	return defaults;
}

/* The remembered path with the record's own components in it. */
static int fill_in(struct layout *l, const struct slot *s, const struct line *line, int64_t sec,
    bool known, struct buf *to)
{
	const char *p = s->path.data, *end = p + s->path.len;
	struct moment at = { .known = false };
	size_t start = to->len;
	int defaults = s->defaults;

	if (l->own_time)
		at = moment_of(sec, known);
	for (size_t i = 0; i < l->components; i++) {
		const char *nul;

		if (!l->component[i].own)
			continue;
		nul = memchr(p, '\0', (size_t)(end - p));
		buf_add(to, p, (size_t)(nul - p));
		p = nul + 1;
		defaults += add_fitting(l, &l->component[i], line, &at, false, to);
	}
	buf_add(to, p, (size_t)(end - p));
	if (to->len - start <= PATH_BYTES)
		return defaults;
	to->len = start;
	return render_path(l, line, sec, known, to);
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/*
 * Which of the layout's units of local time the instant is in. With units of a second it is the
 * instant itself: clocks that are set back show an hour twice, which %s, %z and %Z tell apart.
 */
static int64_t unit_of(const struct layout *l, int64_t sec, bool known)
{
	if (known && l->unit == 1)
		return sec;
	return known ? floor_div(sec + clock_offset(sec), l->unit) : INT64_MIN;
}

static struct slot *slot_of(struct layout *l, int64_t unit, struct span topic, int32_t partition)
{
	uint64_t h = (uint64_t)unit * 31 + (uint32_t)partition;

	for (size_t i = 0; i < topic.n; i++)
		h = h * 31 + (unsigned char)topic.p[i];
	return &l->slot[(h ^ h >> 8) % SLOTS];
}

int layout_path(struct layout *l, const struct line *line, struct buf *to)
{
	bool record = line->kind == LINE_RECORD, known = false;
	struct span topic = { "", 0 };
	int32_t partition = -1;
	int64_t sec = 0, unit = 0;
	struct slot *s;

	if (l->unit > 0) {
		known = record_time(l, line, &sec);
		unit = unit_of(l, sec, known);
	}
	if (record && l->uses[P_TOPIC])
		topic = line->topic;
	if (record && l->uses[P_PARTITION])
		partition = line->partition;
	if (topic.n > TOPIC_MAX)
		return render_path(l, line, sec, known, to);

	s = slot_of(l, unit, topic, partition);
	if (!s->used || s->unit != unit || s->partition != partition ||
	    !span_eq(buf_span(&s->topic), topic)) {
		buf_clear(&s->topic);
		buf_clear(&s->path);
		buf_add_span(&s->topic, topic);
		s->unit = unit;
		s->partition = partition;
		s->used = true;
		s->defaults = render_slot(l, line, sec, known, &s->path);
	}
	if (l->own)
		return fill_in(l, s, line, sec, known, to);
	buf_add_span(to, buf_span(&s->path));
	return s->defaults;
}

bool layout_uses_time(const struct layout *l)
{
	return l->unit > 0;
}

/* ---- compiling ---- */

static const struct {
	const char *name, *spec;
} named[] = {
	{ "hive", "streams/{topic}/year=%Y/month=%m/day=%d" },
	{ "hive-hour", "streams/{topic}/year=%Y/month=%m/day=%d/hour=%H" },
	{ "date", "{topic}/%Y-%m-%d" },
	{ "table", "tables/{topic}" },
};

static struct piece *add_new_piece(struct layout *l, enum piece_kind kind, const char *text, size_t n)
{
	struct piece *p;

	l->piece = xrealloc(l->piece, (l->pieces + 1) * sizeof(*l->piece));
	p = &l->piece[l->pieces++];
	*p = (struct piece){ .kind = kind, .text = xstrndup(text, n), .len = n };
	l->component[l->components - 1].end = l->pieces;
	l->uses[kind] = true;
	return p;
}

static void begin_component(struct layout *l)
{
	l->component = xrealloc(l->component, (l->components + 1) * sizeof(*l->component));
	l->component[l->components++] = (struct component){ .first = l->pieces, .end = l->pieces };
}

/* How many seconds a conversion does not tell apart; 0: it is none that is known. */
static int64_t unit_of_conversion(char c)
{
	static const struct {
		const char *letters;
		int64_t unit;
	} units[] = { { "aAbBCdDeFgGhjmuUVwWxyY", 86400 }, { "HIklpP", 3600 }, { "MR", 60 },
		{ "ScrsTXzZ", 1 } };

	for (size_t i = 0; c && i < sizeof(units) / sizeof(units[0]); i++)
		if (strchr(units[i].letters, c))
			return units[i].unit;
	return 0;
}

/* %x or %-x at *p; %% is a percent sign, escaped as everywhere in a path. */
static int compile_time(struct layout *l, const char **p)
{
	bool unpadded = (*p)[1] == '-';
	size_t n = unpadded ? 3 : 2;
	int64_t unit;

	if ((*p)[1] == '%') {
		add_new_piece(l, P_TEXT, "%25", 3);
		*p += 2;
		return 0;
	}
	unit = unit_of_conversion((*p)[n - 1]);
	if (unit == 0)
		return fail(EXIT_USAGE, "unknown conversion %.*s", (int)strnlen(*p, n), *p);
	if (l->unit == 0 || unit < l->unit)
		l->unit = unit;
	add_new_piece(l, P_TIME, *p, n)->unpadded = unpadded;
	*p += n;
	return 0;
}

/* The closing brace; those in quotes belong to a field's name. */
static const char *find_brace(const char *p)
{
	bool quoted = false;

	for (; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1])
			p++;
		else if (!quoted && *p == '}')
			return p;
	}
	return NULL;
}

static int compile_brace(struct layout *l, const char **p)
{
	const char *start = *p + 1, *end = find_brace(start);
	struct span name = { start, end ? (size_t)(end - start) : 0 };
	struct piece *piece;

	if (!end)
		return fail(EXIT_USAGE, "no } after %.40s", *p);
	*p = end + 1;
	if (span_is(name, "topic")) {
		add_new_piece(l, P_TOPIC, "", 0);
	} else if (span_is(name, "partition")) {
		add_new_piece(l, P_PARTITION, "", 0);
	} else if (span_is(name, "key")) {
		add_new_piece(l, P_KEY, "", 0);
	} else if (name.n > 0 && name.p[0] == '.') {
		piece = add_new_piece(l, P_FIELD, name.p, name.n);
		piece->want = stream_want(l->stream, piece->text);
		return piece->want < 0 ? -1 : 0;
	} else {
		return fail(EXIT_USAGE, "unknown {%.*s} ({topic}, {partition}, {key} or {.field})",
		    (int)name.n, name.p);
	}
	return 0;
}

static int compile_text(struct layout *l, const char **p)
{
	size_t n = strcspn(*p, "/%{");

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)(*p)[i];

		if (c == '"' || c == '\\')
			return fail(EXIT_USAGE, "a quote or backslash");
		if (c == '}')
			return fail(EXIT_USAGE, "a } without {");
	}
	add_new_piece(l, P_TEXT, *p, n);
	*p += n;
	return 0;
}

/*
 * What the template itself makes impossible. A component whose values are all LAYOUT_DEFAULT must
 * fit, or there would be no path at all for some records.
 */
static int check_components(const struct layout *l)
{
	size_t total = 0;

	for (size_t i = 0; i < l->components; i++) {
		const struct component *c = &l->component[i];
		size_t len = 0;

		if (c->first == c->end)
			return fail(EXIT_USAGE, i == 0 ? "absolute or empty" : "an empty component");
		for (size_t k = c->first; k < c->end; k++)
			len += l->piece[k].kind == P_TEXT ? l->piece[k].len
			    : l->piece[k].kind == P_TIME  ? TIME_TEXT_MAX / 2
							  : strlen(LAYOUT_DEFAULT);
		if (l->piece[c->first].kind == P_TEXT && l->piece[c->first].text[0] == '.')
			return fail(EXIT_USAGE, "a component that begins with a dot");
		if (l->piece[c->end - 1].kind == P_TEXT &&
		    data_suffix(l->piece[c->end - 1].text, l->piece[c->end - 1].len))
			return fail(EXIT_USAGE,
			    "a component that ends like a data file (the sink names the files)");
		if (len > COMPONENT_MAX)
			return fail(EXIT_USAGE, "a component that may be longer than 255 bytes");
		total += len + 1;
	}
	return total > PATH_BYTES ? fail(EXIT_USAGE, "longer than 3000 bytes") : 0;
}

static int compile(struct layout *l, const char *spec)
{
	const char *p = spec;
	int result = 0;

	begin_component(l);
	while (*p && result == 0) {
		if (*p == '/') {
			begin_component(l);
			p++;
		} else if (*p == '%') {
			result = compile_time(l, &p);
		} else if (*p == '{') {
			result = compile_brace(l, &p);
		} else {
			result = compile_text(l, &p);
		}
	}
	return result < 0 ? -1 : check_components(l);
}

static void note_own(struct layout *l)
{
	for (size_t i = 0; i < l->components; i++) {
		struct component *c = &l->component[i];
		bool time = false;

		for (size_t k = c->first; k < c->end; k++) {
			c->own |= l->piece[k].kind == P_KEY || l->piece[k].kind == P_FIELD;
			time |= l->piece[k].kind == P_TIME;
		}
		l->own |= c->own;
		l->own_time |= c->own && time;
	}
}

/* A word with nothing of a template in it is a misspelt name, not a directory for all records. */
static int find_spec(const char *name, const char **spec)
{
	*spec = name;
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return fail(EXIT_USAGE, "the layout has a control character");
	if (!utf8_valid(name, strlen(name)))
		return fail(EXIT_USAGE, "the layout is not UTF-8");
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (strcmp(name, named[i].name) == 0) {
			*spec = named[i].spec;
			return 0;
		}
	}
	if (!strpbrk(name, "/%{"))
		return fail(EXIT_USAGE,
		    "unknown layout \"%s\" (hive, hive-hour, date, table, or a template)", name);
	return 0;
}

/* %s and %Z of strptime(3) lie: the one reads in the machine's zone, the other skips any word. */
static int check_format(const char *format)
{
	static const char known[] = "%AaBbCcDdeFGgHhIjklMmnpRrSTtUuVWwXxYyz";
	bool any = false;

	for (const char *p = strchr(format, '%'); p; p = strchr(p, '%')) {
		p += 1 + strspn(p + 1, "_-0^#EO");
		any |= *p && *p != '%';
		if (*p == 's')
			return fail(EXIT_USAGE,
			    "time format \"%s\": %%s (epoch times need no format)", format);
		if (*p == 'Z')
			return fail(EXIT_USAGE,
			    "time format \"%s\": %%Z (use %%z, or write the zone's name itself)",
			    format);
		if (!*p || !strchr(known, *p))
			return fail(EXIT_USAGE, "time format \"%s\": unknown conversion %%%.1s",
			    format, p);
		p++;
	}
	return any ? 0 : fail(EXIT_USAGE, "time format \"%s\": no conversions", format);
}

struct layout *layout_open(const char *spec, const char *time_field, const char *format,
    struct stream *s)
{
	struct layout *l = xcalloc(1, sizeof(*l));
	const char *template;

	l->stream = s;
	fill_escapes(l->escapes);
	l->time_want = -1;
	if (find_spec(spec, &template) < 0)
		goto failed;
	if (compile(l, template) < 0) {
		fail_context("layout \"%s\"", spec);
		goto failed;
	}
	note_own(l);
	if (time_field) {
		l->time_want = stream_want(s, time_field);
		if (l->time_want < 0)
			goto failed;
	}
	if (format) {
		if (check_format(format) < 0)
			goto failed;
		l->format = xstrdup(format);
	}
	return l;
failed:
	layout_close(l);
	return NULL;
}

void layout_close(struct layout *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->pieces; i++)
		free(l->piece[i].text);
	for (size_t i = 0; i < SLOTS; i++) {
		buf_release(&l->slot[i].topic);
		buf_release(&l->slot[i].path);
	}
	free(l->piece);
	free(l->component);
	free(l->format);
	buf_release(&l->scratch);
	free(l);
}
