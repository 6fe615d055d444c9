/*
 * libFuzzer target for lib/layout: a template (line 1), -t and -f (lines 2 and 3, may be empty) and records: whatever
 * they are, a path can be nothing that leaves its directory, hides, or cannot be made.
 */
#include "layout.h"
#include "log.h"

#include "fuzz.h"

#define LINES 8

struct parts {
	struct stream stream;
	struct layout *layout;
};

static bool open_parts(struct parts *p, char *const spec[3])
{
	stream_init(&p->stream);
	p->layout = layout_open(spec[0], spec[1][0] ? spec[1] : NULL, spec[2][0] ? spec[2] : NULL,
	    &p->stream);
	if (p->layout)
		return true;
	must(fail_code() == EXIT_USAGE && fail_message()[0], "a template is refused with a reason");
	stream_release(&p->stream);
	return false;
}

static void close_parts(struct parts *p)
{
	layout_close(p->layout);
	stream_release(&p->stream);
}

static void check_component(const char *p, size_t n)
{
	must(n > 0, "no component is empty");
	must(n <= 255, "no component is too long");
	must(p[0] != '.', "no component begins with a dot");
	must(n < 6 || memcmp(p + n - 6, ".jsonl", 6) != 0, "no component ends like a data file");
	must(n < 9 || memcmp(p + n - 9, ".jsonl.gz", 9) != 0, "no component ends like a data file");
	for (size_t i = 0; i < n; i++)
		must((unsigned char)p[i] >= 0x20 && p[i] != 0x7f,
		    "no component has control characters");
}

static void check_path(struct span path)
{
	size_t start = 0;

	must(path.n > 0 && path.n <= 3000, "a path has bounds");
	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/')
			continue;
		check_component(path.p + start, i - start);
		start = i + 1;
	}
	must(!path_problem(path), "a sink accepts it");
	must(json_escaped_size(path.p, path.n) == path.n + 2, "JSON escapes nothing of it");
}

/* The layout at hand remembers paths; one that is new does not. */
static void check_line(struct parts *used, char *const spec[3], struct span text)
{
	struct buf path = BUF_INIT, again = BUF_INIT;
	struct parts new;
	struct line l;
	int defaults;

	if (stream_parse(&used->stream, text, &l) < 0 || l.kind == LINE_MARK)
		return;
	buf_add_str(&path, "before");
	defaults = layout_path(used->layout, &l, &path);
	check_path((struct span){ path.data + 6, path.len - 6 });
	must(memcmp(path.data, "before", 6) == 0 && defaults >= 0, "it is appended");

	must(open_parts(&new, spec), "a template that was accepted is so again");
	must(stream_parse(&new.stream, text, &l) == 0, "so is a line");
	must(layout_path(new.layout, &l, &again) == defaults &&
		span_eq(buf_span(&again), (struct span){ path.data + 6, path.len - 6 }),
	    "a path depends on the line alone");
	close_parts(&new);
	buf_release(&path);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	struct parts parts;
	char *spec[3];

	for (int i = 0; i < 3; i++) {
		struct span s = take_line(&t);

		spec[i] = xstrndup(s.n > 0 ? s.p : "", s.n);
	}
	if (open_parts(&parts, spec)) {
		for (int i = 0; i < LINES && t.n > 0; i++)
			check_line(&parts, spec, take_line(&t));
		close_parts(&parts);
	}
	for (int i = 0; i < 3; i++)
		free(spec[i]);
	return 0;
}
