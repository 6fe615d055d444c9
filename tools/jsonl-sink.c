/* jsonl-sink: stream to lake, exactly once. The work is in lib/sink.c and lib/lake.c. */
#include "clock.h"
#include "io.h"
#include "json.h"
#include "lake.h"
#include "layout.h"
#include "log.h"
#include "opt.h"
#include "progress.h"
#include "pump.h"
#include "sink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOTS_MAX 1000

struct options {
	struct sink_options sink;
	const char *root[ROOTS_MAX];
	int64_t threads;
	bool print, check, repair;
};

static struct options o;

static int set_mode(void *ctx, const char *arg)
{
	for (enum sink_mode m = SINK_APPEND; m <= SINK_IGNORE; m++) {
		if (strcmp(arg, sink_mode_name(m)) == 0) {
			o.sink.mode = m;
			return 0;
		}
	}
	return fail(EXIT_USAGE, "\"%s\" is none of append, overwrite, ignore", arg);
}

static int set_shape(void *ctx, const char *arg)
{
	static const char *const name[] = { "record", "payload", "flat" };
	for (int i = 0; i < 3; i++) {
		if (strcmp(arg, name[i]) == 0) {
			o.sink.shape = (enum sink_shape)i;
			return 0;
		}
	}
	return fail(EXIT_USAGE, "\"%s\" is none of record, payload, flat", arg);
}

static int set_gzip(void *ctx, const char *arg)
{
	int64_t level = 6;

	if (strncmp(arg, "gzip", 4) != 0 || (arg[4] && arg[4] != ':'))
		return fail(EXIT_USAGE, "\"%s\" is not gzip or gzip:1 to gzip:9", arg);
	if (arg[4] && opt_int(arg + 5, 1, 9, &level) < 0)
		return -1;
	o.sink.gzip_level = (int)level;
	return 0;
}

/* It becomes a member of every line of the journal. */
static int set_name(void *ctx, const char *arg)
{
	o.sink.name = arg;
	return *arg && utf8_valid(arg, strlen(arg))
	    ? 0
	    : fail(EXIT_USAGE, "a name is UTF-8 and not empty");
}

static int check_path(const char *arg)
{
	const char *problem = path_problem((struct span){ arg, strlen(arg) });

	if (!problem && !utf8_valid(arg, strlen(arg)))
		problem = "not UTF-8";
	return problem ? fail(EXIT_USAGE, "\"%s\": %s", arg, problem) : 0;
}

static int set_path(void *ctx, const char *arg)
{
	o.sink.path = arg;
	return check_path(arg);
}

static int set_reject_path(void *ctx, const char *arg)
{
	o.sink.reject_path = arg;
	o.sink.rejects = true;
	return check_path(arg);
}

static int add_root(void *ctx, const char *arg)
{
	if (o.sink.roots == ROOTS_MAX)
		return fail(EXIT_USAGE, "more than %d", ROOTS_MAX);
	o.root[o.sink.roots++] = arg;
	return check_path(arg);
}

/* Tests roll the journal long before 16 MiB. */
static int read_environment(void)
{
	const char *text = getenv("SLUICE_ROLL_BYTES");

	if (!text || opt_size(text, &o.sink.roll_bytes) == 0)
		return 0;
	return fail_context("SLUICE_ROLL_BYTES");
}

static int print_positions(char **topic, int topics)
{
	const char *name = o.sink.name ? o.sink.name : sink_mode_name(o.sink.mode);
	struct positions ps;
	struct writer out;
	int r;

	writer_init(&out, STDOUT_FILENO, 0);
	positions_init(&ps, (struct positions_rules){ 0 });
	r = lake_read_positions(o.sink.dir, name, &ps);
	if (r == 0 && ps.count == 0)
		warn("%s: has no positions of the name \"%s\"", o.sink.dir, name);
	positions_print_stored(&ps, topic, topics, &out.buf);
	positions_release(&ps);
	if (r == 0)
		r = writer_close(&out);
	writer_release(&out);
	return r < 0 ? (int)report() : EXIT_DONE;
}

static int check(void)
{
	struct progress p;
	struct lake_check c;
	char figures[128];
	int r;

	progress_start(&p);
	if (o.repair && lake_repair(o.sink.dir) < 0)
		return (int)report();
	r = lake_check(o.sink.dir, &c);
	if (r < 0 && c.commits == 0)
		return (int)report();
	progress_figures(&p, (uint64_t)c.records, (uint64_t)c.bytes, figures, sizeof(figures));
	say("%" PRId64 " commit%s, %" PRId64 " file%s, %" PRId64 " record%s verified; %s",
	    c.commits, plural((uint64_t)c.commits), c.files, plural((uint64_t)c.files), c.records,
	    plural((uint64_t)c.records), figures);
	return r < 0 ? (int)report() : EXIT_DONE;
}

static void summary(const struct sink *s, const struct progress *p)
{
	struct sink_counts c = sink_counts(s);
	char figures[128];

	progress_figures(p, c.in, (uint64_t)c.bytes, figures, sizeof(figures));
	say("%" PRIu64 " record%s in, %" PRIu64 " stored, %" PRIu64 " skipped, %" PRIu64
	    " rejected; %" PRIu64 " file%s in %" PRIu64 " commit%s; %s",
	    c.in, plural(c.in), c.stored, c.skipped + c.ignored, c.rejected, c.files,
	    plural(c.files), c.commits, plural(c.commits), figures);
}

static int run(void)
{
	struct progress p;
	struct writer acks;
	struct sink *s;
	struct pump to;
	int code = EXIT_DONE;

	sig_install(false);
	progress_start(&p);
	writer_init(&acks, STDOUT_FILENO, 0);
	s = sink_open(&o.sink, &acks);
	if (!s)
		return (int)report();
	to = sink_pump(s);
	if (pump_run(&to, &p) < 0)
		code = acks.broken && fail_code() == EXIT_IO ? EXIT_IO : (int)report();
	else if (sink_counts(s).rejected > 0)
		code = EXIT_REJECTED;
	summary(s, &p);
	sink_close(s);
	if (acks.broken)
		sig_broken_pipe();
	if (writer_close(&acks) < 0 && code == EXIT_DONE)
		code = (int)report();
	writer_release(&acks);
	return code == EXIT_DONE && sig_stop() == SIGINT ? EXIT_INT : code;
}

static struct options o = {
	.sink = { .reject_path = "_rejects",
	    .root = o.root,
	    .interval_ms = 60000,
	    .size = INT64_C(1) << 30,
	    .timeout_ms = LAKE_LOCK_TIMEOUT },
	.threads = 1,
};

static const struct opt table[] = {
	{ 'm', "mode", "MODE", OPT_CALL, NULL, set_mode,
	    .help = "append (default), overwrite: each path becomes one snapshot, or ignore: leave paths that have files" },
	{ 'w', "write", "SHAPE", OPT_CALL, NULL, set_shape,
	    .help = "record (default): the whole line; payload; flat: payload members with _topic, _partition, _offset, _ts, _key" },
	{ 'z', "compress", "gzip[:N]", OPT_CALL, NULL, set_gzip,
	    .help = "compress with gzip, level N (6)" },
	{ 'j', "threads", "N", OPT_INT, &o.threads, NULL, 1, 256, "threads that compress (1)" },
	{ 'i', "interval", "SEC", OPT_SECONDS, &o.sink.interval_ms,
	    .help = "commit when the oldest uncommitted record is so old (60)" },
	{ 0, "size", "SIZE", OPT_SIZE, &o.sink.size, NULL, 1, INT64_MAX,
	    "commit at so many uncompressed bytes (1G)" },
	{ 'N', "name", "NAME", OPT_CALL, NULL, set_name,
	    .help = "name of this pipeline's positions (the mode)" },
	{ 'p', "path", "PATH", OPT_CALL, NULL, set_path, .help = "path of lines that have none" },
	{ 0, "root", "PATH", OPT_CALL, NULL, add_root,
	    .help = "overwrite, ignore: make an empty snapshot there when nothing came for it; may be repeated" },
	{ 'r', "keep-rejects", NULL, OPT_FLAG, &o.sink.rejects,
	    .help = "store bad lines under _rejects and go on" },
	{ 0, "reject-path", "PATH", OPT_CALL, NULL, set_reject_path,
	    .help = "store them there; implies -r" },
	{ 'a', "ack", NULL, OPT_FLAG, &o.sink.acks,
	    .help = "print the positions of each commit when it is durable" },
	{ 0, "trust-eof", NULL, OPT_FLAG, &o.sink.trust_eof,
	    .help = "overwrite, ignore: publish at the end of a stream without marks" },
	{ 0, "allow-gap", NULL, OPT_FLAG, &o.sink.allow_gap,
	    .help = "accept a stream that starts above the position" },
	{ 0, "recreated", NULL, OPT_FLAG, &o.sink.recreated,
	    .help = "the topic was made anew: begin its positions anew" },
	{ 0, "timeout", "SEC", OPT_SECONDS, &o.sink.timeout_ms,
	    .help = "wait so long for another writer's commit (30)" },
	{ 'Q', "positions", NULL, OPT_FLAG, &o.print, .help = "print the stored positions" },
	{ 0, "check", NULL, OPT_FLAG, &o.check, .help = "verify the lake against its journal" },
	{ 0, "repair", NULL, OPT_FLAG, &o.repair, .help = "mend the lake, then verify it" },
};

static const struct opt_tool tool = {
	"jsonl-sink",
	"[-m append|overwrite|ignore] [-w record|payload|flat] [-z gzip[:N]] [-j N]\n"
	" [-i SEC] [--size SIZE] [-N NAME] [-p PATH] [-r] [-a] DIR\n"
	"-Q [-m MODE | -N NAME] DIR [TOPIC ...]\n"
	"--check | --repair DIR",
	"Stores a stream of records in a data lake, exactly once.",
	table,
	OPT_COUNT(table),
	NULL,
	false,
};

/* An option that does nothing is a mistake somewhere: better told than ignored. */
static int check_options(int operands)
{
	static const char *const snapshots[] = { "root", "trust-eof", NULL };
	static const char *const windows[] = { "interval", "size", NULL };
	static const char *const threads[] = { "threads", NULL }, *const mode[] = { "mode", NULL };
	static const char *const place[] = { "mode", "name", "positions", NULL };
	static const char *const storing[] = { "write", "compress", "threads", "interval", "size",
		"path", "root", "keep-rejects", "reject-path", "ack", "trust-eof", "allow-gap",
		"recreated", "timeout", NULL };

	if (operands == 0)
		return fail(EXIT_USAGE, "which DIR? (try jsonl-sink --help)");
	if (operands > 1 && !o.print)
		return fail(EXIT_USAGE, "more than one DIR (try jsonl-sink --help)");
	if (o.check || o.repair) {
		const char *why = o.repair ? "does not go with --repair" : "does not go with --check";

		return opt_refuse(place, why) < 0 ? -1 : opt_refuse(storing, why);
	}
	if (o.print) {
		if (o.sink.name && opt_refuse(mode, "does not go with -N: both say whose positions") < 0)
			return -1;
		return opt_refuse(storing, "does not go with -Q");
	}
	if (!o.sink.gzip_level && opt_refuse(threads, "compresses: it needs -z") < 0)
		return -1;
	return o.sink.mode == SINK_APPEND
	    ? opt_refuse(snapshots, "needs -m overwrite or -m ignore")
	    : opt_refuse(windows, "needs -m append: the other modes commit at the end only");
}

int main(int argc, char **argv)
{
	int code, first = opt_parse(&tool, argc, argv, &code);

	if (first < 0)
		return code;
	if (check_options(argc - first) < 0)
		return (int)report();
	o.sink.dir = argv[first];
	o.sink.threads = (int)o.threads;
	if (o.sink.timeout_ms == 0)
		o.sink.timeout_ms = 1; /* 0 would be the lake's default */
	if (read_environment() < 0)
		return (int)report();
	if (o.check || o.repair)
		return check();
	if (o.print)
		return print_positions(argv + first + 1, argc - first - 1);
	return run();
}
