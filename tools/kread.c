/*
 * kread: Kafka topics as a stream of JSON lines (sluice-stream(5)).
 *
 * Lines are built in the writer's buffer straight from librdkafka's messages. The consumer decides what
 * is read and when a partition has ended; this file decides what is written.
 */
#include "buf.h"
#include "consumer.h"
#include "io.h"
#include "kafka.h"
#include "key.h"
#include "log.h"
#include "opt.h"
#include "positions.h"
#include "progress.h"
#include "record.h"
#include "resume.h"
#include "stream.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#define MARK_EVERY 65536 /* records of a partition between its position marks */
#define SHOW_EVERY 1024  /* records between two looks at the clock for the progress line */

static struct kafka_config config;
static struct plan_options options = { .timeout_ms = 30000 };
static struct positions from_positions;
static struct key_format format;
static int64_t count;
static const char *from, *name = "append";
static bool marks, exact, started;

struct run {
	struct consumer *consumer;
	struct writer out;
	struct progress progress;
	int64_t records;
	uint64_t undecoded; /* keys */
};

/* ---- options ---- */

static int set_start(void *ctx, const char *arg)
{
	started = true;
	return plan_start_parse(&options.start, arg);
}

static const struct opt table[] = {
	{ 't', "topic", "TOPIC,...", OPT_CALL, &options, plan_add_topics,
	    .help = "topics to read; ^REGEX: all that match (may repeat)" },
	{ 'p', "partition", "N,...", OPT_CALL, &options, plan_add_partitions,
	    .help = "only these partitions" },
	{ 'o', "offset", "WHERE", OPT_CALL, NULL, set_start,
	    .help = "start at beginning (default), end, offset N, -N before the end, or s@TIME "
		    "(ms since 1970 or ISO 8601); e@TIME: end before the first record of that time" },
	{ 'e', "exit", NULL, OPT_FLAG, &options.pin,
	    .help = "end where the topics end now, whatever arrives meanwhile" },
	{ 'c', "count", "N", OPT_INT, &count, .min = 1, .max = INT64_MAX, .help = "end after N records" },
	{ 0, "from", "SRC", OPT_STRING, &from,
	    .help = "start where a sink stands: a lake directory, a file of position marks, or - (stdin)" },
	{ 'N', "name", "NAME", OPT_STRING, &name,
	    .help = "whose positions in the lake of --from (append)" },
	{ 0, "skip-lost", NULL, OPT_FLAG, &options.skip_lost,
	    .help = "go on at the log start where records were deleted before the sink had them" },
	{ 0, "marks", NULL, OPT_FLAG, &marks,
	    .help = "write start, position and end marks (--from does too)" },
	{ 0, "exact", NULL, OPT_FLAG, &exact,
	    .help = "keep the bytes of JSON payloads with line breaks or outer white space: as strings" },
	{ 's', NULL, "key=TYPE", OPT_CALL, &format, key_parse_type,
	    .help = "what the keys are: text, json, int (4 bytes, big-endian), bigint (8), double, base64" },
	{ 0, "window", "WINDOW", OPT_CALL, &format, key_parse_window,
	    .help = "split the window off the keys: time:SIZE (time:5m) or session" },
	KAFKA_OPTIONS(&config),
	{ 'm', "timeout", "SEC", OPT_SECONDS, &options.timeout_ms, .min = 1,
	    .help = "how long a broker may not answer (30)" },
};

static const struct opt_tool tool = {
	.name = "kread",
	.usage = "[-b HOSTS] -t TOPIC[,TOPIC|^REGEX] [-p N,...] [-o WHERE] [-e] [-c N]\n"
		 " [--from SRC [-N NAME] [--skip-lost]] [-s key=TYPE] [--window time:SIZE|session]\n"
		 " [--marks] [--exact] [-X KEY=VALUE] [-F FILE] [-m SEC]",
	.about = "Reads Kafka topics and writes one JSON line per record.",
	.options = table,
	.count = OPT_COUNT(table),
};

static int check_options(int argc, int at)
{
	if (at < argc)
		return fail(EXIT_USAGE, "too many arguments; topics go with -t (try kread --help)");
	if (options.topics == 0)
		return fail(EXIT_USAGE, "which topic? -t TOPIC (try kread --help)");
	if (from && started)
		return fail(EXIT_USAGE, "-o and --from both say where to start");
	if (options.skip_lost && !from)
		return fail(EXIT_USAGE, "--skip-lost needs --from");
	if (opt_given("name") && !(from && resume_may_be_lake(from)))
		return fail(EXIT_USAGE, "-N names the positions of a lake: it needs --from LAKE");
	if (options.timeout_ms < 1)
		return fail(EXIT_USAGE, "--timeout must be more than 0");
	marks = marks || from;
	return 0;
}

/* ---- what is written ---- */

static struct span topic_of(const struct plan_partition *p)
{
	return (struct span){ p->topic, strlen(p->topic) };
}

static void mark_position(struct run *r, struct plan_partition *p)
{
	p->unmarked = 0;
	if (!marks)
		return;
	stream_mark_position(&r->out.buf, topic_of(p), p->id, p->next, -1, 0);
	p->marked = p->next;
}

/* Start marks of all partitions come before the first record, so that a sink can refuse in time. */
static void begin(struct run *r)
{
	size_t n = consumer_partitions(r->consumer);

	for (size_t i = 0; i < n; i++) {
		struct plan_partition *p = consumer_partition(r->consumer, i);

		record_prefix(&p->prefix, p->topic, p->id);
		if (marks)
			stream_mark_start(&r->out.buf, topic_of(p), p->id, p->start);
	}
	for (size_t i = 0; i < n; i++)
		if (consumer_partition(r->consumer, i)->done)
			mark_position(r, consumer_partition(r->consumer, i));
}

/* It goes on, marked, for the sink to judge; but the options may be wrong. */
static void complain_of_key(struct run *r, const struct plan_partition *p, const rd_kafka_message_t *m)
{
	if (r->undecoded++ == 0) {
		progress_clear(&r->progress);
		warn("%s/%" PRId32 ": offset %" PRId64 ": key not as -s and --window say: base64",
		    p->topic, p->id, m->offset);
	}
}

static void write_record(struct run *r, struct plan_partition *p, const rd_kafka_message_t *m)
{
	struct record rec = {
		.offset = m->offset,
		.key = { m->key, m->key_len },
		.payload = { m->payload, m->len },
		.format = format.type || format.window ? &format : NULL,
	};
	rd_kafka_headers_t *headers = NULL;

	rec.ts = rd_kafka_message_timestamp(m, &rec.tstype);
	if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
		rec.headers = headers;
	if (!record_line(&r->out.buf, buf_span(&p->prefix), &rec, exact))
		complain_of_key(r, p, m);
	r->records++;
	if (++p->unmarked == MARK_EVERY || p->done)
		mark_position(r, p);
}

static uint64_t bytes_out(const struct run *r)
{
	return r->out.bytes + r->out.buf.len;
}

/* Compaction and transaction markers leave gaps: the share of the offsets passed tells how far it is. */
static void show_progress(struct run *r)
{
	uint64_t total = consumer_total(r->consumer), passed = consumer_passed(r->consumer);
	uint64_t records = (uint64_t)r->records;

	if (total > 0 && passed > 0)
		total = (uint64_t)((double)records * (double)total / (double)passed + 0.5);
	progress_show(&r->progress, records, bytes_out(r), total);
}

/* Until the run is complete (*complete), or a signal says stop. 0 or -1 with fail(). */
static int copy(struct run *r, bool *complete)
{
	for (;;) {
		enum consumer_result got;
		struct consumer_event e;

		got = consumer_next(r->consumer, &e);
		if (got == CONSUMER_FAIL)
			return -1;
		if (got == CONSUMER_RECORD)
			write_record(r, e.partition, e.message);
		else if (got == CONSUMER_REACHED &&
		    (e.partition->done || e.partition->next != e.partition->marked))
			mark_position(r, e.partition);
		*complete = got == CONSUMER_DONE || (got == CONSUMER_RECORD && r->records == count);
		if ((got == CONSUMER_IDLE ? writer_idle(&r->out) : writer_check(&r->out)) < 0)
			return -1;
		if (*complete || sig_stop())
			return 0;
		if (r->progress.on && (r->records % SHOW_EVERY == 0 || got == CONSUMER_IDLE))
			show_progress(r);
	}
}

/* What was delivered and not yet marked, for whoever resumes behind a filter; and the end. */
static void finish(struct run *r, bool complete)
{
	size_t n = consumer_partitions(r->consumer);

	for (size_t i = 0; i < n; i++) {
		struct plan_partition *p = consumer_partition(r->consumer, i);

		if (p->unmarked > 0)
			mark_position(r, p);
	}
	if (complete && marks)
		stream_mark_end(&r->out.buf, r->records);
}

static void summary(const struct run *r)
{
	char figures[100];

	progress_figures(&r->progress, (uint64_t)r->records, bytes_out(r), figures, sizeof(figures));
	if (r->undecoded > 1)
		warn("%" PRIu64 " keys are not as -s and --window say: base64", r->undecoded);
	say("%" PRId64 " record%s, %s", r->records, plural((uint64_t)r->records), figures);
}

/* What was delivered goes out before a failure is told: it is good. */
static int run(struct run *r)
{
	bool complete = false;
	int code = EXIT_DONE;

	if (copy(r, &complete) < 0 && !r->out.failed) {
		progress_clear(&r->progress);
		code = report();
	}
	finish(r, complete && code == EXIT_DONE);
	progress_clear(&r->progress);
	if (writer_close(&r->out) < 0 && !r->out.broken)
		code = report();
	if (r->out.broken)
		sig_broken_pipe();
	if (code == EXIT_DONE && sig_stop() == SIGINT)
		code = EXIT_INT;
	summary(r);
	return code;
}

/* Before the first record a signal only means that there is nothing to do any more. */
static int stopped_or_failed(void)
{
	if (sig_stop())
		return sig_stop() == SIGINT ? EXIT_INT : EXIT_DONE;
	return (int)report();
}

int main(int argc, char **argv)
{
	struct run r = { 0 };
	int code, at = opt_parse(&tool, argc, argv, &code);

	if (at < 0)
		return code;
	if (kafka_config_load(&config) < 0)
		return (int)report();
	if (config.list || config.dump)
		return kafka_config_show(&config, consumer_settings, consumer_settings_count)
		    ? (int)report()
		    : EXIT_DONE;
	if (check_options(argc, at) < 0)
		return (int)report();
	sig_install(true);
	positions_init(&from_positions, (struct positions_rules){ 0 });
	if (from && resume_read(from, name, &from_positions) < 0)
		return stopped_or_failed();
	options.from = from ? &from_positions : NULL;
	progress_start(&r.progress);
	if (!(r.consumer = consumer_open(&config, &options)))
		return stopped_or_failed();
	writer_init(&r.out, STDOUT_FILENO, 0);
	begin(&r);
	code = run(&r);
	writer_release(&r.out);
	consumer_close(r.consumer);
	positions_release(&from_positions);
	plan_options_release(&options);
	kafka_config_release(&config);
	return code;
}
