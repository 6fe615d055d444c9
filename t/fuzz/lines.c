/*
 * libFuzzer target for the line reader of lib/io: whatever pieces the bytes come in, the lines are the same, and none
 * is longer than it may be. The first bytes say in which.
 */
#include "io.h"
#include "log.h"

#include "fuzz.h"

struct source {
	struct span rest;
	struct take sizes;
};

static int64_t pull(void *ctx, char *to, size_t n)
{
	struct source *s = ctx;
	size_t piece = take_byte(&s->sizes) % 61 + 1;

	if (n > piece)
		n = piece;
	if (n > s->rest.n)
		n = s->rest.n;
	if (n > 0)
		memcpy(to, s->rest.p, n);
	s->rest.p += n;
	s->rest.n -= n;
	return (int64_t)n;
}

static void check_lines(struct reader *r, struct span text)
{
	struct take t = { (const uint8_t *)text.p, text.n };
	uint64_t number = 0, bytes = 0;
	enum line_result got;
	struct span line, want;

	for (;;) {
		size_t before = t.n;
		bool whole;

		want = take_line(&t);
		whole = want.n < before - t.n;
		got = reader_line(r, &line, -1);
		if (before == 0 || want.n > r->max)
			break;
		must(got == (whole ? LINE_OK : LINE_TAIL), "a line is whole or the last");
		must(span_eq(line, want), "it is what was written");
		must(memchr(line.p, 0, line.n + READ_PAD) || true, "the bytes behind it can be read");
		must(r->lines == ++number && r->bytes == (bytes += before - t.n), "it is counted");
	}
	if (want.n > r->max)
		must(got == LINE_FAIL && fail_code() == EXIT_DATA &&
			strstr(fail_message(), "longer than"),
		    "no line is too long");
	else
		must(got == LINE_EOF, "the end is the end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct source source = { .sizes = { data, n } };
	struct take t = { data, n };
	size_t block = take_byte(&t) % 40 + 1, max = (size_t)take_byte(&t) * 2;
	struct reader r;

	source.rest = take_rest(&t);
	reader_init_pull(&r, pull, &source, "text", block);
	r.max = max;
	check_lines(&r, source.rest);
	reader_release(&r);
	return 0;
}
