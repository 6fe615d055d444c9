/* lakecat: lake to stream: every record with its path again, in offset order. The work is in lib/replay.c. */
#include "io.h"
#include "log.h"
#include "opt.h"
#include "progress.h"
#include "replay.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static struct replay_options options;

static int add_topics(void *ctx, const char *arg)
{
	char *list = xstrdup(arg), *next = list, *topic;

	while ((topic = strsep(&next, ",")) && *topic) {
		options.topic = xrealloc(options.topic, (options.topics + 1) * sizeof(*options.topic));
		options.topic[options.topics++] = xstrdup(topic);
	}
	free(list);
	return topic ? fail(EXIT_USAGE, "\"%s\" has an empty topic", arg) : 0;
}

static void release_topics(void)
{
	for (size_t i = 0; i < options.topics; i++)
		free((void *)options.topic[i]);
	free((void *)options.topic);
}

static const struct opt table[] = {
	{ 't', "topic", "TOPIC[,...]", OPT_CALL, NULL, add_topics,
	    .help = "only these topics; may be repeated" },
	{ 'N', "name", "NAME", OPT_STRING, &options.name,
	    .help = "only what the pipeline of this name has stored" },
	{ 0, "marks", NULL, OPT_FLAG, &options.marks,
	    .help = "positions too, so that jsonl-sink can copy a lake with them" },
};

static const struct opt_tool tool = {
	.name = "lakecat",
	.usage = "[-t TOPIC,...] [-N NAME] [--marks] DIR",
	.about = "Replays a lake as a stream, each record with its path, in offset order.",
	.options = table,
	.count = OPT_COUNT(table),
};

static void summary(const struct replay *replay, const struct progress *progress, uint64_t bytes)
{
	struct replay_counts c = replay_counts(replay);
	char figures[128];

	progress_figures(progress, c.records, bytes, figures, sizeof(figures));
	say("%" PRIu64 " record%s from %" PRIu64 " file%s of %" PRIu64 " commit%s, %s", c.records,
	    plural(c.records), c.files, plural(c.files), c.commits, plural(c.commits), figures);
}

static int run(struct writer *out)
{
	struct progress progress;
	struct replay *replay;
	int code = EXIT_DONE, result;

	progress_start(&progress);
	replay = replay_open(&options);
	if (!replay)
		return (int)report();
	result = replay_run(replay, out, &progress);
	progress_clear(&progress);
	/* What came before a damage goes out before it is complained about. */
	if (writer_flush(out) == 0 && result < 0)
		code = (int)report();
	if (writer_close(out) < 0 && !out->broken)
		code = (int)report();
	if (out->broken)
		sig_broken_pipe();
	if (code == EXIT_DONE && sig_stop() == SIGINT)
		code = EXIT_INT;
	summary(replay, &progress, out->bytes);
	replay_close(replay);
	return code;
}

int main(int argc, char **argv)
{
	struct writer out;
	int code, first = opt_parse(&tool, argc, argv, &code);

	if (first < 0)
		return code;
	if (argc - first != 1) {
		error("%s (try lakecat --help)", first >= argc ? "which DIR?" : "more than one DIR");
		return EXIT_USAGE;
	}
	options.dir = argv[first];
	sig_install(false);
	writer_init(&out, STDOUT_FILENO, 0);
	code = run(&out);
	writer_release(&out);
	release_topics();
	return code;
}
