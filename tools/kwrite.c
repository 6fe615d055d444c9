/*
 * kwrite: a stream to Kafka topics, the inverse of kread: records keep key, headers and time, and with
 * --keep-partition their place; bare objects become payloads.
 */
#include "clock.h"
#include "io.h"
#include "kafka.h"
#include "log.h"
#include "message.h"
#include "opt.h"
#include "producer.h"
#include "progress.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#define LINE_BITS  40   /* of a tag */
#define POLL_EVERY 1000 /* lines */
#define MARKS_MS   100  /* acknowledgements are printed at most so often while input flows */
#define IDLE_MS    10 /* with records under way: how long input may block before we look at answers */
#define STOP_MS    200 /* with none: how soon a signal that came at a bad moment is noticed */

static struct kafka_config config = KAFKA_CONFIG_INIT;
static struct message_rules rules = { .key_want = -1 };
static const char *key_field, *codec;
static bool print_marks;
static int64_t timeout_ms = 30000;

static int set_codec(void *ctx, const char *arg)
{
	static const char *const known[] = { "none", "gzip", "snappy", "lz4", "zstd" };

	for (size_t i = 0; i < OPT_COUNT(known); i++) {
		if (strcmp(arg, known[i]) == 0) {
			codec = known[i];
			return 0;
		}
	}
	return fail(EXIT_USAGE, "unknown codec %s (none, gzip, snappy, lz4 or zstd)", arg);
}

static const struct opt options[] = {
	KAFKA_OPTIONS(&config),
	{ 't', "topic", "TOPIC", OPT_STRING, &rules.topic,
	    .help = "write to TOPIC (default: each record's own)" },
	{ 'k', "key", "FIELD", OPT_STRING, &key_field,
	    .help = "key of bare objects: a field of theirs, user_id or .user.id" },
	{ 0, "keep-partition", NULL, OPT_FLAG, &rules.keep_partition,
	    .help = "records go to the partition that they name" },
	{ 'z', "compress", "CODEC", OPT_CALL, NULL, set_codec,
	    .help = "none, gzip, snappy, lz4 or zstd" },
	{ 'a', "ack", NULL, OPT_FLAG, &print_marks,
	    .help = "print position marks of what the broker has acknowledged" },
	{ 'm', "timeout", "SEC", OPT_SECONDS, &timeout_ms,
	    .help = "give up when the broker has not answered for so long (30)" },
};

static const struct opt_tool tool = {
	.name = "kwrite",
	.usage = "[-b HOSTS] [-F FILE] [-X KEY=VALUE] [-t TOPIC] [-k FIELD] [--keep-partition]\n"
		 " [-z CODEC] [-a] [-m SEC] [FILE...]",
	.about = "Writes records and bare objects from FILEs or standard input to Kafka.",
	.options = options,
	.count = OPT_COUNT(options),
	.footer = "It ends with 0 only when the broker has acknowledged every record.",
};

struct run {
	struct producer producer;
	struct stream stream;
	struct writer out;
	struct reader in;
	struct progress progress;
	char **file; /* the operands */
	int input;   /* the one being read */
	uint64_t lines, marks;
	bool ended;               /* an end mark was seen */
	int64_t now_ms, marks_ms; /* of the last look at the clock, of the last marks */
	int code;
};

/* Prints what fail() left, if it is the first failure: others mostly follow from it. */
static void complain(struct run *run)
{
	if (!run->code)
		run->code = run->out.broken ? (int)fail_code() : (int)report();
}

/* A tag is the number of the input and of the line in it. */
static uint64_t tag_here(const struct run *run)
{
	return (uint64_t)run->input << LINE_BITS | run->in.lines;
}

static const char *input_name(const char *operand)
{
	return strcmp(operand, "-") == 0 ? "stdin" : operand;
}

static int fail_at(const struct run *run, uint64_t tag)
{
	return fail_context("%s:%" PRIu64, input_name(run->file[tag >> LINE_BITS]),
	    tag & ((UINT64_C(1) << LINE_BITS) - 1));
}

/* The first message that the broker refused; others of its batch may have been refused with it. */
static int refused(const struct run *run)
{
	const struct producer *p = &run->producer;

	if (p->failed > 1)
		fail_context("and %" PRIu64 " more", p->failed - 1);
	if (p->failed > 0)
		fail_at(run, p->failed_tag);
	return -1;
}

static int take_line(struct run *run, struct span text)
{
	struct message m;
	struct line l;

	run->lines++;
	if (stream_parse(&run->stream, text, &l) < 0)
		return fail_at(run, tag_here(run));
	if (l.kind == LINE_MARK) {
		run->marks++;
		run->ended = run->ended || l.mark == MARK_END;
		return 0;
	}
	if (message_from_line(&rules, &run->stream, &l, &m) < 0)
		return fail_at(run, tag_here(run));
	m.tag = tag_here(run);
	return producer_send(&run->producer, &m) < 0 ? refused(run) : 0;
}

/* ---- the loop ---- */

static int print_acks(struct run *run)
{
	if (print_marks)
		producer_marks(&run->producer, &run->out.buf);
	return writer_flush(&run->out);
}

static int settle(struct run *run, bool idle)
{
	run->now_ms = clock_mono_ms();
	if (producer_poll(&run->producer, 0) < 0)
		return refused(run);
	progress_show(&run->progress, run->producer.acknowledged, run->producer.bytes, 0);
	if (!idle && run->now_ms - run->marks_ms < MARKS_MS)
		return 0;
	run->marks_ms = run->now_ms;
	return print_acks(run);
}

/* One input to its end, or to the first line that is wrong. */
static int take_lines(struct run *run)
{
	for (;;) {
		int64_t wait = producer_pending(&run->producer) > 0 ? IDLE_MS : STOP_MS;
		struct span line;
		enum line_result got = reader_line(&run->in, &line, run->now_ms + wait);

		if (got == LINE_EOF)
			return 0;
		if (got == LINE_FAIL)
			return -1;
		if (got != LINE_WAIT && take_line(run, line) < 0)
			return -1;
		if ((got == LINE_WAIT || reader_empty(&run->in) || run->lines % POLL_EVERY == 0) &&
		    settle(run, got == LINE_WAIT) < 0)
			return -1;
		if (got == LINE_WAIT && sig_stop())
			return 0;
	}
}

static int take_input(struct run *run, const char *name)
{
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return fail_errno(errno == ENOENT ? EXIT_USAGE : 0, "%s", name);
	reader_init(&run->in, fd, input_name(name), NULL);
	result = take_lines(run);
	reader_release(&run->in);
	if (!is_stdin)
		close(fd);
	return result;
}

static void take_inputs(struct run *run)
{
	int result = 0;

	for (run->input = 0; run->file[run->input] && result == 0 && !sig_stop(); run->input++)
		result = take_input(run, run->file[run->input]);
	if (result < 0)
		complain(run);
	/* What came before a bad line is delivered all the same. */
	if (producer_flush(&run->producer) < 0) {
		refused(run);
		complain(run);
	}
	if (print_acks(run) < 0)
		complain(run);
}

static void summary(const struct run *run)
{
	const struct producer *p = &run->producer;
	uint64_t lost = producer_pending(p) + p->failed;
	char figures[200];

	progress_figures(&run->progress, p->acknowledged, p->bytes, figures, sizeof(figures));
	if (rules.undated > 0)
		warn("%" PRIu64 " record%s of time 0 got the present time", rules.undated,
		    plural(rules.undated));
	if (rules.keyless > 0)
		warn("%" PRIu64 " object%s without %s got no key", rules.keyless,
		    plural(rules.keyless), key_field);
	if (run->marks > 0 && !run->ended && !run->code && !sig_stop())
		warn("the input had marks but no end mark: is it complete?");
	if (lost > 0)
		error("%" PRIu64 " record%s not acknowledged", lost, plural(lost));
	say("%" PRIu64 " line%s, %" PRIu64 " mark%s passed over, %" PRIu64 " record%s acknowledged, %s",
	    run->lines, plural(run->lines), run->marks, plural(run->marks), p->acknowledged,
	    plural(p->acknowledged), figures);
}

static int add_key_field(struct stream *s)
{
	struct buf path = BUF_INIT;

	if (!key_field)
		return 0;
	buf_addf(&path, "%s%s", *key_field == '.' || *key_field == '[' ? "" : ".", key_field);
	rules.key_want = stream_want(s, buf_cstr(&path));
	buf_release(&path);
	return rules.key_want < 0 ? fail_context("--key") : 0;
}

static int write_all_inputs(struct run *run)
{
	struct kafka_setting extra = { "compression.codec", codec, false };

	run->producer.timeout_ms = timeout_ms;
	if (config.list || config.dump)
		return (int)producer_show(&config, &extra, codec != NULL) ? (int)report() : EXIT_DONE;
	sig_install(true);
	if (producer_open(&run->producer, &config, &extra, codec != NULL) < 0) {
		if (sig_stop() != SIGTERM)
			complain(run);
		return run->code;
	}
	progress_start(&run->progress);
	take_inputs(run);
	progress_clear(&run->progress);
	summary(run);
	if (writer_close(&run->out) < 0)
		complain(run);
	if (run->out.broken)
		sig_broken_pipe();
	return run->code ? run->code : sig_stop() == SIGINT ? EXIT_INT : EXIT_DONE;
}

int main(int argc, char **argv)
{
	static char stdin_operand[] = "-", *only_stdin[] = { stdin_operand, NULL };
	static struct run run;
	int code, first = opt_parse(&tool, argc, argv, &code);

	if (first < 0)
		return code;
	run.file = first < argc ? argv + first : only_stdin;
	stream_init(&run.stream);
	writer_init(&run.out, STDOUT_FILENO, 0);
	if (add_key_field(&run.stream) < 0 || kafka_config_load(&config) < 0)
		code = report();
	else
		code = write_all_inputs(&run);
	producer_close(&run.producer);
	kafka_config_release(&config);
	stream_release(&run.stream);
	writer_release(&run.out);
	message_rules_release(&rules);
	return code;
}
