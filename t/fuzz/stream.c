/* libFuzzer target for lib/stream: what must hold for any line. */
#include "stream.h"
#include "json.h"
#include "log.h"

#include "fuzz.h"

static void check_slice(const struct json_value *v, const char *what)
{
	must(v->type == JSON_NONE || json_valid(v->raw.p, v->raw.n, NULL), what);
}

/* The member path, whatever it was, and nothing else is gone. */
static void check_without_path(const struct line *l)
{
	struct buf rest = BUF_INIT;
	struct stream s;
	struct line again;

	stream_init(&s);
	stream_without_path(l, &rest);
	must(json_valid(rest.data, rest.len, NULL), "a line without its path is valid");
	must(stream_parse(&s, buf_span(&rest), &again) == 0, "a line without its path can be parsed");
	must(again.path.type == JSON_NONE, "it has no path any more");
	if (l->kind == LINE_RECORD) {
		must(again.kind == LINE_RECORD && again.offset == l->offset &&
			again.partition == l->partition,
		    "it is the same record");
		must(span_eq(again.topic, l->topic) && span_eq(again.payload.raw, l->payload.raw),
		    "with the same topic and payload");
	}
	stream_release(&s);
	buf_release(&rest);
}

static void check_payload(struct stream *s, const struct line *l)
{
	struct buf scratch = BUF_INIT;
	struct json_value v = stream_payload(s, l);
	struct span bytes;

	must(v.type != JSON_NONE && json_valid(v.raw.p, v.raw.n, NULL), "a payload is one JSON value");
	must(!memchr(v.raw.p, '\n', v.raw.n), "on one line");
	if (stream_payload_bytes(l, &scratch, &bytes) > 0 && l->payload_enc == ENC_UTF8)
		must(utf8_valid(bytes.p, bytes.n), "a payload that is text is UTF-8");
	if (stream_key_bytes(l, &scratch, &bytes) > 0 &&
	    (l->key_enc == ENC_PLAIN || l->key_enc == ENC_UTF8 || l->key_enc == ENC_JSON))
		must(utf8_valid(bytes.p, bytes.n), "a key that is text is UTF-8");
	buf_release(&scratch);
}

static void check_line(struct stream *s, const struct line *l)
{
	check_slice(&l->path, "path is a value");
	check_slice(&l->key, "key is a value");
	check_slice(&l->headers, "headers is a value");
	check_slice(&l->window, "window is a value");
	check_slice(&l->tstype, "tstype is a value");
	if (l->kind == LINE_RECORD)
		must(l->topic.n > 0 && l->partition >= 0 && l->offset >= 0, "a record has a place");
	for (int i = 0; i < s->wants && l->kind != LINE_MARK; i++)
		check_slice(&s->want[i].value, "what was wanted is a value");
	if (l->kind != LINE_MARK) {
		check_payload(s, l);
		if (l->path.type != JSON_NONE)
			check_without_path(l);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	struct stream s;
	struct line l;

	if (n > 0 && memchr(data, '\n', n)) /* no line has one */
		return 0;
	stream_init(&s);
	stream_want(&s, ".a");
	stream_want(&s, ".a.b");
	stream_want(&s, ".payload");
	if (stream_parse(&s, text, &l) == 0) {
		must(json_valid(text.p, text.n, NULL), "a line that is accepted is valid");
		check_line(&s, &l);
	} else {
		must(fail_message()[0] != '\0', "a line that is rejected gets a reason");
	}
	stream_release(&s);
	return 0;
}
