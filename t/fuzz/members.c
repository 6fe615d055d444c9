/*
 * libFuzzer target for lib/stream: the order of a line's members does not matter. The first byte says which order the
 * line that follows is brought into.
 */
#include "log.h"
#include "rng.h"
#include "stream.h"

#include "fuzz.h"

#define MEMBERS 40

/* The members of the object, each with its name. 0: it is none, or has too many, or some twice. */
static size_t split(struct span text, struct span member[MEMBERS])
{
	struct span name[MEMBERS], key;
	struct buf plain[MEMBERS] = { 0 };
	struct json_value v;
	size_t n = 0;
	struct json j;
	int r = -1;

	json_init(&j, text.p, text.n);
	if (json_peek(&j) == JSON_OBJECT && json_enter(&j) == 0) {
		j.depth--; /* as deep as a payload may be */
		while ((r = json_member(&j, &key, NULL)) > 0) {
			if (n == MEMBERS || json_value(&j, &v) < 0) {
				r = -1;
				break;
			}
			member[n] = (struct span){ key.p - 1, (size_t)(j.p - key.p + 1) };
			json_unescape(&plain[n], key);
			name[n] = buf_span(&plain[n]);
			for (size_t i = 0; i < n; i++)
				if (span_eq(name[i], name[n]))
					r = -1;
			n++;
			if (r < 0)
				break;
		}
	}
	for (size_t i = 0; i < MEMBERS; i++)
		buf_release(&plain[i]);
	return r < 0 ? 0 : n;
}

static void join(const struct span *member, size_t n, struct buf *to)
{
	buf_add_char(to, '{');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(to, ',');
		buf_add_span(to, member[i]);
	}
	buf_add_char(to, '}');
}

static void shuffle(struct span *member, size_t n, struct rng *rng)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = rng_below(rng, (uint32_t)i);
		struct span s = member[i - 1];

		member[i - 1] = member[k];
		member[k] = s;
	}
}

static bool same_value(const struct json_value *a, const struct json_value *b)
{
	return a->type == b->type && (a->type == JSON_NONE || span_eq(a->raw, b->raw));
}

static void check_same(struct stream *sa, const struct line *a, struct stream *sb, const struct line *b)
{
	struct buf ka = BUF_INIT, kb = BUF_INIT;
	struct span x, y;
	int got;

	must(a->kind == b->kind && span_eq(a->topic, b->topic) && a->partition == b->partition &&
		a->offset == b->offset,
	    "the record is found");
	must(a->has_ts == b->has_ts && (!a->has_ts || a->ts == b->ts), "so is its time");
	must(a->mark == b->mark && a->records == b->records && a->has_last == b->has_last,
	    "so is what a mark says");
	must(same_value(&a->path, &b->path) && same_value(&a->key, &b->key) &&
		same_value(&a->headers, &b->headers) && same_value(&a->window, &b->window) &&
		same_value(&a->tstype, &b->tstype) && same_value(&a->payload, &b->payload),
	    "so are its members");
	must(a->payload_enc == b->payload_enc && a->key_enc == b->key_enc &&
		a->window_enc == b->window_enc && a->kcat == b->kcat,
	    "and how they are embedded");
	if (a->kind == LINE_MARK)
		return;
	for (int i = 0; i < sa->wants; i++)
		must(same_value(&sa->want[i].value, &sb->want[i].value), "so is what was wanted");
	got = stream_key_bytes(a, &ka, &x);
	must(stream_key_bytes(b, &kb, &y) == got && (got <= 0 || span_eq(x, y)), "the key is the same");
	buf_release(&ka);
	buf_release(&kb);
}

static void want(struct stream *s)
{
	stream_init(s);
	stream_want(s, ".a");
	stream_want(s, ".a.b");
	stream_want(s, ".[\"c d\"]");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	struct rng rng = rng_at(take_byte(&t), 0, 0);
	struct span member[MEMBERS];
	struct buf ordered = BUF_INIT, shuffled = BUF_INIT;
	struct stream a, b;
	struct line la, lb;
	size_t count = split(take_line(&t), member);
	int result;

	if (count == 0)
		return 0;
	want(&a);
	want(&b);
	join(member, count, &ordered);
	shuffle(member, count, &rng);
	join(member, count, &shuffled);
	result = stream_parse(&a, buf_span(&ordered), &la);
	must(stream_parse(&b, buf_span(&shuffled), &lb) == result,
	    "the order does not make a line good or bad");
	if (result == 0)
		check_same(&a, &la, &b, &lb);
	stream_release(&a);
	stream_release(&b);
	buf_release(&ordered);
	buf_release(&shuffled);
	return 0;
}
