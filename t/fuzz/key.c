/*
 * libFuzzer target for the formats of keys (lib/key): whatever -s and --window say, a key goes into a line (lib/record)
 * that is read as a record (lib/stream), and comes back (lib/message) with the same bytes.
 */
#include "key.h"
#include "log.h"
#include "message.h"
#include "record.h"

#include "fuzz.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Whether they are the same but for what a JSON key loses unless it is to be exact. */
static bool same_but_for_space(struct span a, struct span b)
{
	size_t i = 0, j = 0;

	while (i < a.n || j < b.n) {
		if (i < a.n && is_space(a.p[i]))
			i++;
		else if (j < b.n && is_space(b.p[j]))
			j++;
		else if (i == a.n || j == b.n || a.p[i++] != b.p[j++])
			return false;
	}
	return true;
}

static void check_line(const struct key_format *f, struct span key, struct span text, bool good,
    bool exact)
{
	struct message_rules rules = { .key_want = -1 };
	struct key_window w;
	struct message got;
	struct stream s;
	struct line l;
	int windowed;

	stream_init(&s);
	must(text.n > 0 && text.p[text.n - 1] == '\n', "a line ends");
	text.n--;
	must(!memchr(text.p, '\n', text.n), "and is one line");
	must(stream_parse(&s, text, &l) == 0 && l.kind == LINE_RECORD, "it is a record");
	windowed = stream_window(&l, &w);
	must(windowed == (l.window_enc != WINDOW_NONE), "a window is marked");
	must(!windowed || (l.window_enc == f->window && w.start >= 0 && w.start <= w.end),
	    "it is as the format says");
	must(good || l.key_enc == ENC_BASE64, "what does not fit is base64");
	must(!good || !key.p || !f->window || windowed, "what fits has its window");
	must(message_from_line(&rules, &s, &l, &got) == 0 && got.has_key == (key.p != NULL),
	    "it is a message with a key");
	must(f->type == KEY_JSON && !exact ? same_but_for_space(got.key, key) : span_eq(got.key, key),
	    "the key has the same bytes");
	message_rules_release(&rules);
	stream_release(&s);
}

/* A number that somebody else has written becomes bytes, and these become a number again, or it is refused. */
static void check_number(enum key_type type, struct span number)
{
	struct buf bytes = BUF_INIT, again = BUF_INIT, back = BUF_INIT;

	if (json_valid(number.p, number.n, NULL) &&
	    (number.p[0] == '-' || (number.p[0] >= '0' && number.p[0] <= '9')) &&
	    !is_space(number.p[number.n - 1]) && key_add_bytes(&bytes, type, number) == 0) {
		must(key_add_number(&again, type, buf_span(&bytes)), "the bytes of a number are one");
		must(json_valid(again.data, again.len, NULL), "in JSON");
		must(key_add_bytes(&back, type, buf_span(&again)) == 0 &&
			span_eq(buf_span(&back), buf_span(&bytes)),
		    "of the same bytes");
	}
	buf_release(&bytes);
	buf_release(&again);
	buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	unsigned what = take_byte(&t);
	struct key_format f = { .type = (enum key_type)(what % KEY_TYPES),
		.window = (enum window_kind)(what / KEY_TYPES % WINDOW_KINDS),
		.size_ms = take_natural(&t) % 1000000000 + 1 };
	struct record r = { .key = take_rest(&t), .payload = SPAN("1"), .format = &f };
	struct buf line = BUF_INIT;

	if (what < 128 && r.key.n == 0)
		r.key = SPAN("");
	if (what >= 128 && r.key.n == 0)
		r.key.p = NULL;
	for (int exact = 0; exact <= 1; exact++) {
		bool good;

		buf_clear(&line);
		good = record_line(&line, SPAN("{\"topic\":\"T\",\"partition\":0,\"offset\":"), &r,
		    exact);
		check_line(&f, r.key, buf_span(&line), good, exact);
	}
	if (r.key.n > 0 && f.type >= KEY_INT && f.type <= KEY_DOUBLE)
		check_number(f.type, r.key);
	buf_release(&line);
	return 0;
}
