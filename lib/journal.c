#include "journal.h"

#include "gzip.h"
#include "json.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* More is a forgery: sums must not overflow, and jq reads numbers so far exactly. */
#define COUNT_MAX  (INT64_C(1) << 53)
#define READ_BYTES ((size_t)256 << 10)
#define CRC_TAIL   (sizeof(",\"crc\":\"00000000\"}") - 1)

void journal_line_release(struct journal_line *l)
{
	free(l->position);
	free(l->add);
	free(l->remove);
	buf_release(&l->text);
	*l = (struct journal_line){ 0 };
}

/* One more element at the end of a growing array. */
static void *grow(void **array, size_t *count, size_t *cap, size_t size)
{
	if (*count == *cap) {
		*cap = *cap ? *cap * 2 : 8;
		*array = xrealloc(*array, *cap * size);
	}
	memset((char *)*array + *count * size, 0, size);
	return (char *)*array + (*count)++ * size;
}

struct journal_position *journal_add_position(struct journal_line *l)
{
	struct journal_position *p = grow((void **)&l->position, &l->positions, &l->positions_cap,
	    sizeof(*l->position));

	p->from = p->last_offset = p->last_ts = -1;
	return p;
}

struct journal_file *journal_add_file(struct journal_line *l)
{
	struct journal_file *f = grow((void **)&l->add, &l->adds, &l->adds_cap, sizeof(*l->add));

	f->min_ts = INT64_MAX;
	f->max_ts = INT64_MIN;
	return f;
}

void journal_add_remove(struct journal_line *l, struct span file)
{
	*(struct span *)grow((void **)&l->remove, &l->removes, &l->removes_cap,
	    sizeof(*l->remove)) = file;
}

/* ---- reading ---- */

static void reset(struct journal_line *l, size_t room)
{
	l->snapshot = false;
	l->commit = -1;
	l->time = l->writer = l->host = l->name = l->previous = (struct span){ 0 };
	l->positions = l->adds = l->removes = 0;
	buf_clear(&l->text);
	/* Decoded text is never longer than the line: spans into this buffer stay valid. */
	buf_reserve(&l->text, room);
}

static struct span keep_text(struct journal_line *l, const struct json_value *v)
{
	size_t start = l->text.len;

	if (v->type != JSON_STRING)
		return (struct span){ 0 };
	if (!v->escaped)
		return (struct span){ v->raw.p + 1, v->raw.n - 2 };
	json_unescape(&l->text, (struct span){ v->raw.p + 1, v->raw.n - 2 });
	return (struct span){ l->text.data + start, l->text.len - start };
}

/* null leaves *out as it is: "not known". */
static int keep_int(const struct json_value *v, int64_t *out)
{
	return v->type == JSON_NULL || (v->type == JSON_NUMBER && json_int64(v->raw, out) == 0) ? 0
												: -1;
}

static int keep_count(const struct json_value *v, int64_t *out)
{
	if (v->type == JSON_NULL)
		return 0;
	return keep_int(v, out) == 0 && *out >= 0 && *out <= COUNT_MAX ? 0 : -1;
}

static int keep_crc(const struct json_value *v, uint32_t *out)
{
	static const char digits[] = "0123456789abcdef";

	if (v->type != JSON_STRING || v->raw.n != 10)
		return -1;
	*out = 0;
	for (int i = 1; i <= 8; i++) {
		const char *digit = memchr(digits, v->raw.p[i], 16);

		if (!digit)
			return -1;
		*out = *out << 4 | (uint32_t)(digit - digits);
	}
	return 0;
}

static int parse_last(struct json *j, struct journal_position *p)
{
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_enter(j) < 0)
		return -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		if (json_value(j, &v) < 0)
			return -1;
		if (json_key_is(key, escaped, "offset") && keep_int(&v, &p->last_offset) < 0)
			return -1;
		if (json_key_is(key, escaped, "ts") && keep_int(&v, &p->last_ts) < 0)
			return -1;
	}
	return r;
}

static int parse_position(struct journal_line *l, struct json *j)
{
	struct journal_position *p = journal_add_position(l);
	int64_t partition = -1;
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_enter(j) < 0)
		return -1;
	p->next = -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		int bad = 0;

		if (json_key_is(key, escaped, "last")) {
			if (parse_last(j, p) < 0)
				return -1;
			continue;
		}
		if (json_value(j, &v) < 0)
			return -1;
		if (json_key_is(key, escaped, "topic"))
			p->topic = keep_text(l, &v);
		else if (json_key_is(key, escaped, "name"))
			p->name = keep_text(l, &v);
		else if (json_key_is(key, escaped, "partition"))
			bad = keep_int(&v, &partition);
		else if (json_key_is(key, escaped, "from"))
			bad = keep_int(&v, &p->from);
		else if (json_key_is(key, escaped, "offset"))
			bad = keep_int(&v, &p->next);
		if (bad)
			return -1;
	}
	p->partition = (int32_t)partition;
	return r < 0 || !p->topic.p || partition < 0 || partition > INT32_MAX || p->next < 0 ? -1 : 0;
}

static int parse_file(struct journal_line *l, struct json *j)
{
	struct journal_file *f = journal_add_file(l);
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_enter(j) < 0)
		return -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		int bad = 0;

		if (json_value(j, &v) < 0)
			return -1;
		if (json_key_is(key, escaped, "file"))
			f->file = keep_text(l, &v);
		else if (json_key_is(key, escaped, "tmp"))
			f->tmp = keep_text(l, &v);
		else if (json_key_is(key, escaped, "records"))
			bad = keep_count(&v, &f->records);
		else if (json_key_is(key, escaped, "bytes"))
			bad = keep_count(&v, &f->bytes);
		else if (json_key_is(key, escaped, "raw"))
			bad = keep_count(&v, &f->raw);
		else if (json_key_is(key, escaped, "min_ts"))
			bad = keep_int(&v, &f->min_ts);
		else if (json_key_is(key, escaped, "max_ts"))
			bad = keep_int(&v, &f->max_ts);
		else if (json_key_is(key, escaped, "crc32"))
			bad = keep_crc(&v, &f->crc32);
		if (bad)
			return -1;
	}
	return r < 0 || f->file.n == 0 || f->tmp.n == 0 ? -1 : 0;
}

static int parse_remove(struct journal_line *l, struct json *j)
{
	struct json_value v;

	if (json_value(j, &v) < 0 || v.type != JSON_STRING)
		return -1;
	journal_add_remove(l, keep_text(l, &v));
	return 0;
}

static int parse_list(struct journal_line *l, struct json *j,
    int (*parse)(struct journal_line *, struct json *))
{
	int r;

	if (json_enter(j) < 0)
		return -1;
	while ((r = json_element(j)) > 0)
		if (parse(l, j) < 0)
			return -1;
	return r;
}

static int parse_members(struct journal_line *l, struct json *j)
{
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	if (json_enter(j) < 0)
		return -1;
	while ((r = json_member(j, &key, &escaped)) > 0) {
		int bad = 0;

		if (json_key_is(key, escaped, "positions"))
			bad = parse_list(l, j, parse_position);
		else if (json_key_is(key, escaped, "add"))
			bad = parse_list(l, j, parse_file);
		else if (json_key_is(key, escaped, "remove"))
			bad = parse_list(l, j, parse_remove);
		else if (json_value(j, &v) < 0)
			return -1;
		else if (json_key_is(key, escaped, "commit"))
			bad = keep_count(&v, &l->commit);
		else if (json_key_is(key, escaped, "snapshot"))
			l->snapshot = true, bad = keep_count(&v, &l->commit);
		else if (json_key_is(key, escaped, "time"))
			l->time = keep_text(l, &v);
		else if (json_key_is(key, escaped, "writer"))
			l->writer = keep_text(l, &v);
		else if (json_key_is(key, escaped, "host"))
			l->host = keep_text(l, &v);
		else if (json_key_is(key, escaped, "name"))
			l->name = keep_text(l, &v);
		else if (json_key_is(key, escaped, "previous"))
			l->previous = keep_text(l, &v);
		if (bad)
			return -1;
	}
	return r < 0 || json_finish(j) < 0 ? -1 : 0;
}

static bool crc_is_right(struct span text)
{
	char tail[CRC_TAIL + 1];

	if (text.n <= CRC_TAIL)
		return false;
	snprintf(tail, sizeof(tail), ",\"crc\":\"%08" PRIx32 "\"}",
	    crc32_bytes(0, text.p, text.n - CRC_TAIL));
	return memcmp(text.p + text.n - CRC_TAIL, tail, CRC_TAIL) == 0;
}

int journal_parse(struct journal_line *l, struct span text)
{
	struct json j;

	reset(l, text.n);
	l->raw = text;
	if (!crc_is_right(text))
		return fail(EXIT_DATA, "bad crc");
	json_init(&j, text.p, text.n);
	if (json_peek(&j) != JSON_OBJECT || parse_members(l, &j) < 0 || l->commit < 0)
		return fail(EXIT_DATA, "not a journal line");
	return 0;
}

/* ---- writing ---- */

static void put_text(struct buf *to, const char *name, struct span value)
{
	buf_addf(to, ",\"%s\":", name);
	json_escape(to, value.p, value.n);
}

static void put_int(struct buf *to, const char *name, int64_t value, int64_t unknown)
{
	buf_addf(to, ",\"%s\":", name);
	if (value == unknown)
		buf_add_str(to, "null");
	else
		buf_add_int(to, value);
}

static void format_position(const struct journal_line *l, const struct journal_position *p,
    struct buf *to)
{
	buf_add_char(to, '{');
	if (l->snapshot) {
		buf_add_str(to, "\"name\":");
		json_escape(to, p->name.p, p->name.n);
		buf_add_char(to, ',');
	}
	buf_add_str(to, "\"topic\":");
	json_escape(to, p->topic.p, p->topic.n);
	put_int(to, "partition", p->partition, INT64_MIN);
	if (!l->snapshot)
		put_int(to, "from", p->from, -1);
	put_int(to, "offset", p->next, INT64_MIN);
	if (p->last_offset >= 0) {
		buf_add_str(to, ",\"last\":{\"offset\":");
		buf_add_int(to, p->last_offset);
		put_int(to, "ts", p->last_ts, INT64_MIN);
		buf_add_char(to, '}');
	}
	buf_add_char(to, '}');
}

static void format_file(const struct journal_file *f, struct buf *to)
{
	buf_add_str(to, "{\"file\":");
	json_escape(to, f->file.p, f->file.n);
	put_text(to, "tmp", f->tmp);
	put_int(to, "records", f->records, INT64_MIN);
	put_int(to, "bytes", f->bytes, INT64_MIN);
	put_int(to, "raw", f->raw, INT64_MIN);
	put_int(to, "min_ts", f->min_ts, INT64_MAX);
	put_int(to, "max_ts", f->max_ts, INT64_MIN);
	buf_addf(to, ",\"crc32\":\"%08" PRIx32 "\"}", f->crc32);
}

void journal_format(const struct journal_line *l, struct buf *to)
{
	size_t start = to->len;

	buf_addf(to, "{\"%s\":%" PRId64, l->snapshot ? "snapshot" : "commit", l->commit);
	put_text(to, "time", l->time);
	put_text(to, "writer", l->writer);
	put_text(to, "host", l->host);
	put_text(to, l->snapshot ? "previous" : "name", l->snapshot ? l->previous : l->name);
	buf_add_str(to, ",\"positions\":[");
	for (size_t i = 0; i < l->positions; i++) {
		if (i > 0)
			buf_add_char(to, ',');
		format_position(l, &l->position[i], to);
	}
	buf_add_char(to, ']');
	if (!l->snapshot) {
		buf_add_str(to, ",\"add\":[");
		for (size_t i = 0; i < l->adds; i++) {
			if (i > 0)
				buf_add_char(to, ',');
			format_file(&l->add[i], to);
		}
		buf_add_str(to, "],\"remove\":[");
		for (size_t i = 0; i < l->removes; i++) {
			if (i > 0)
				buf_add_char(to, ',');
			json_escape(to, l->remove[i].p, l->remove[i].n);
		}
		buf_add_char(to, ']');
	}
	buf_addf(to, ",\"crc\":\"%08" PRIx32 "\"}\n",
	    crc32_bytes(0, to->data + start, to->len - start));
}

void journal_format_done(int64_t commit, struct buf *to)
{
	size_t start = to->len;

	buf_addf(to, "{\"done\":%" PRId64, commit);
	buf_addf(to, ",\"crc\":\"%08" PRIx32 "\"}\n",
	    crc32_bytes(0, to->data + start, to->len - start));
}

int64_t journal_parse_done(struct span text)
{
	struct json_value v;
	int64_t commit = 0;
	struct span key;
	bool escaped;
	struct json j;

	if (text.n == 0 || text.p[text.n - 1] != '\n' ||
	    !crc_is_right((struct span){ text.p, text.n - 1 }))
		return 0;
	json_init(&j, text.p, text.n - 1);
	if (json_enter(&j) < 0 || json_member(&j, &key, &escaped) <= 0 ||
	    !json_key_is(key, escaped, "done") || json_value(&j, &v) < 0 || keep_int(&v, &commit))
		return 0;
	return commit > 0 ? commit : 0;
}

/* ---- a journal file ---- */

void journal_reader_init(struct journal_reader *r, int fd, const char *name)
{
	*r = (struct journal_reader){ .fd = fd, .name = xstrdup(name), .step = READ_BYTES };
	buf_reserve(&r->block, 1); /* so that there is something to point to */
}

void journal_reader_release(struct journal_reader *r)
{
	free(r->name);
	buf_release(&r->block);
}

/* Reads on behind what is in the block. 1 when something came, 0 at the end of the file, -1. */
static int fill(struct journal_reader *r)
{
	ssize_t n;

	if (r->used > 0) {
		memmove(r->block.data, r->block.data + r->used, r->block.len - r->used);
		r->block.len -= r->used;
		r->used = 0;
	}
	buf_reserve(&r->block, r->step);
	do
		n = pread(r->fd, r->block.data + r->block.len, r->block.cap - r->block.len,
		    r->at + (int64_t)r->block.len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno(EXIT_IO, "%s", r->name);
	r->block.len += (size_t)n;
	return n > 0;
}

/* The string that may begin at p, decoded into *to; p moves behind it. False: there is none that is whole. */
static bool take_string(const char **p, const char *end, struct buf *to)
{
	const char *s = *p + 1;

	buf_clear(to);
	if (*p >= end || **p != '"')
		return false;
	while (s < end && *s != '"')
		s += *s == '\\' ? 2 : 1;
	if (s >= end || !json_valid(*p, (size_t)(s + 1 - *p), NULL))
		return false;
	json_unescape(to, (struct span){ *p + 1, (size_t)(s - *p - 1) });
	*p = s + 1;
	return true;
}

bool journal_each_name(struct span text, journal_name_fn *each, void *ctx)
{
	static const char lead[] = "\"file\":", next[] = ",\"tmp\":";
	const char *p = text.p, *end = text.p + text.n;
	struct buf file = BUF_INIT, tmp = BUF_INIT;
	bool found = false;

	while (!found && p < end && (p = memmem(p, (size_t)(end - p), lead, sizeof(lead) - 1))) {
		p += sizeof(lead) - 1;
		if (!take_string(&p, end, &file) || file.len == 0)
			continue;
		buf_clear(&tmp);
		if ((size_t)(end - p) > sizeof(next) && memcmp(p, next, sizeof(next) - 1) == 0) {
			p += sizeof(next) - 1;
			if (!take_string(&p, end, &tmp))
				buf_clear(&tmp);
		}
		found = each(ctx, buf_span(&file), buf_span(&tmp));
	}
	buf_release(&file);
	buf_release(&tmp);
	return found;
}

static int damaged(const struct journal_reader *r)
{
	return fail(EXIT_DATA,
	    "%s: line %" PRId64 " (byte %" PRId64 "): damaged; see jsonl-sink --check and --repair",
	    r->name, r->lines + 1, r->at);
}

/* What stands behind the last good line is no line of its own: drops it, to be read again next time. */
static int torn(struct journal_reader *r)
{
	r->torn = r->block.len > r->used;
	r->block.len = r->used;
	return 0;
}

bool journal_follows(struct span text)
{
	struct journal_line line = { 0 };
	const char *p = text.p, *end = text.p + text.n;
	bool found = false;

	while (!found && p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		const char *start = ++p, *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

		found = nl && journal_parse(&line, (struct span){ start, (size_t)(nl - start) }) == 0;
	}
	journal_line_release(&line);
	return found;
}

/*
 * A line is whole. Is it good? A bad one may be torn only when no good one stands behind it: what a power loss
 * leaves of an append may have newlines in it.
 */
static int judge(struct journal_reader *r, struct journal_line *l, struct span text,
    journal_name_fn *in_place, void *ctx)
{
	int more;

	if (journal_parse(l, text) == 0) {
		r->used += text.n + 1;
		r->at += (int64_t)text.n + 1;
		r->lines++;
		return 1;
	}
	while ((more = fill(r)) > 0)
		;
	if (more < 0)
		return -1;
	text = (struct span){ r->block.data + r->used, r->block.len - r->used };
	return journal_follows(text) || journal_each_name(text, in_place, ctx) ? damaged(r) : torn(r);
}

/*
 * The end, and no newline: torn, unless the files of the line are in place. Then its writer had written all of
 * it, and either the newline came while we looked, or something has damaged it.
 */
static int judge_tail(struct journal_reader *r, journal_name_fn *in_place, void *ctx)
{
	struct span text = { r->block.data + r->used, r->block.len - r->used };
	int more;

	if (text.n == 0 || !journal_each_name(text, in_place, ctx))
		return torn(r);
	more = fill(r);
	return more == 0 ? damaged(r) : more;
}

int journal_next(struct journal_reader *r, struct journal_line *l, journal_name_fn *in_place, void *ctx)
{
	size_t scanned = 0;
	int more;

	r->torn = false;
	for (;;) {
		const char *start = r->block.data + r->used;
		size_t unread = r->block.len - r->used;
		const char *nl = unread > scanned ? memchr(start + scanned, '\n', unread - scanned)
						  : NULL;

		if (nl)
			return judge(r, l, (struct span){ start, (size_t)(nl - start) }, in_place, ctx);
		scanned = unread;
		more = fill(r);
		if (more == 0)
			more = judge_tail(r, in_place, ctx);
		if (more <= 0)
			return more;
	}
}
