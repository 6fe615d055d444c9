/*
 * partition: where each record belongs. Adds "path" to every record and bare object of the stream.
 *
 * One scan of a line and one copy of it: the line's own bytes are passed on, never written anew.
 */
#include "buf.h"
#include "clock.h"
#include "io.h"
#include "layout.h"
#include "log.h"
#include "opt.h"
#include "progress.h"
#include "stream.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#define PROGRESS_EVERY 1000 /* lines */

static const char *layout_name = "hive", *time_field, *time_format;

static int set_zone(void *ctx, const char *arg)
{
	return clock_zone(arg);
}

static const struct opt options[] = {
	{ 'l', "layout", "LAYOUT", OPT_STRING, &layout_name,
	    .help = "hive (default), hive-hour, date, table, or a template: strftime conversions, "
		    "{topic}, {partition}, {key}, {.field}" },
	{ 't', "time", "FIELD", OPT_STRING, &time_field,
	    .help = "take the time from this payload field (.created.at), not from the record" },
	{ 'f', "format", "FORMAT", OPT_STRING, &time_format,
	    .help = "the time field in strptime's words (default: ISO 8601, or epoch s, ms or us)" },
	{ 'Z', "zone", "ZONE", OPT_CALL, NULL, set_zone, .help = "time zone of the paths (UTC)" },
};

static const struct opt_tool tool = {
	.name = "partition",
	.usage = "[-l LAYOUT] [-t FIELD] [-f FORMAT] [-Z ZONE] < STREAM",
	.about = "Adds to each record of the stream the path of the partition it belongs to.",
	.options = options,
	.count = OPT_COUNT(options),
	.footer = "hive is streams/{topic}/year=%Y/month=%m/day=%d, hive-hour ends in /hour=%H,\n"
		  "date is {topic}/%Y-%m-%d, table is tables/{topic}.",
};

struct run {
	struct stream stream;
	struct layout *layout;
	struct reader in;
	struct writer out;
	struct progress progress;
	uint64_t records, marks, defaults; /* defaults: records with a missing or unusable value */
};

/* The path holds no character that JSON escapes: layout.h. */
static void add_line(struct run *r, const struct line *line)
{
	struct buf *to = &r->out.buf;
	size_t at;

	buf_add(to, "{\"path\":\"", 9);
	if (layout_path(r->layout, line, to) > 0)
		r->defaults++;
	buf_add_char(to, '"');
	if (line->kind == LINE_BARE && line->payload.type == JSON_NONE) {
		buf_add_str(to, ",\"payload\":");
		buf_add_span(to, line->text);
		buf_add_char(to, '}');
	} else {
		at = to->len;
		stream_without_path(line, to);
		to->data[at] = ','; /* was its { */
	}
	r->records++;
}

static int bad_line(const struct run *r, const struct line *line)
{
	unsigned long long n = r->in.lines;

	if (line->kind == LINE_RECORD)
		return fail_context("%s:%llu: %.*s/%" PRId32 ": offset %" PRId64, r->in.name, n,
		    (int)line->topic.n, line->topic.p, line->partition, line->offset);
	return fail_context("%s:%llu", r->in.name, n);
}

/* cut: the last line has no newline. It counts if it is whole; else its writer was killed. */
static int take_line(struct run *r, struct span text, bool cut)
{
	struct line line;

	if (stream_parse(&r->stream, text, &line) < 0) {
		if (cut && *text.p == '{')
			fail_context("the last line is incomplete");
		return bad_line(r, &line);
	}
	if (line.kind == LINE_MARK) {
		buf_add_span(&r->out.buf, text);
		r->marks++;
	} else if (line.kind == LINE_BARE && !time_field && layout_uses_time(r->layout)) {
		fail(EXIT_DATA, "a bare object has no time of its own (name its field with -t)");
		return bad_line(r, &line);
	} else {
		add_line(r, &line);
	}
	buf_add_char(&r->out.buf, '\n');
	return writer_check(&r->out);
}

static int copy(struct run *r)
{
	enum line_result result;
	struct span text;

	while ((result = reader_line(&r->in, &text, -1)) != LINE_EOF) {
		if (result == LINE_FAIL || r->out.failed)
			return -1;
		if (result == LINE_WAIT && sig_stop())
			return 0;
		if (result != LINE_WAIT && take_line(r, text, result == LINE_TAIL) < 0)
			return -1;
		if (r->in.lines % PROGRESS_EVERY == 0 || reader_empty(&r->in))
			progress_show(&r->progress, r->records, r->in.bytes, 0);
	}
	return 0;
}

static void summary(const struct run *r)
{
	char figures[128];

	progress_figures(&r->progress, r->records, r->in.bytes, figures, sizeof(figures));
	say("%" PRIu64 " record%s, %" PRIu64 " mark%s, %" PRIu64 " in a default partition, %s",
	    r->records, plural(r->records), r->marks, plural(r->marks), r->defaults, figures);
}

static int run(struct run *r)
{
	int code = EXIT_DONE, result;

	progress_start(&r->progress);
	result = copy(r);
	progress_clear(&r->progress);
	/* What came before a bad line goes out before the line is complained about. */
	if (writer_flush(&r->out) == 0 && result < 0)
		code = (int)report();
	if (writer_close(&r->out) < 0 && !r->out.broken)
		code = (int)report();
	if (r->out.broken)
		sig_broken_pipe();
	if (code == EXIT_DONE && sig_stop() == SIGINT)
		code = EXIT_INT;
	summary(r);
	return code;
}

int main(int argc, char **argv)
{
	static const char *const timely[] = { "time", "zone", NULL };
	struct run r = { 0 };
	int code, operand = opt_parse(&tool, argc, argv, &code);

	if (operand < 0)
		return code;
	if (operand < argc) {
		error("unexpected operand %s (the stream comes on stdin)", argv[operand]);
		return EXIT_USAGE;
	}
	if (time_format && !time_field) {
		error("-f says how to read the field of -t, which is not given");
		return EXIT_USAGE;
	}
	stream_init(&r.stream);
	r.layout = layout_open(layout_name, time_field, time_format, &r.stream);
	if (r.layout && !layout_uses_time(r.layout) &&
	    opt_refuse(timely, "says what time it is, but the layout has none") < 0) {
		layout_close(r.layout);
		r.layout = NULL;
	}
	sig_install(false);
	writer_init(&r.out, STDOUT_FILENO, 0);
	reader_init(&r.in, STDIN_FILENO, "stdin", &r.out);
	code = r.layout ? run(&r) : (int)report();
	reader_release(&r.in);
	writer_release(&r.out);
	layout_close(r.layout);
	stream_release(&r.stream);
	return code;
}
