/* The library's headers first: cmocka.h has a macro named fail. */
#include "sink.h"
#include "clock.h"
#include "gzip.h"
#include "layout.h"
#include "positions.h"

#include "lakedir.h"

#include "child.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>

#define HOUR INT64_C(3600000)

#define START(offset)                                                                              \
	"{\"mark\":{\"kind\":\"start\",\"topic\":\"TX\",\"partition\":0,\"offset\":" #offset "}}"
#define POSITION(offset)                                                                           \
	"{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":" #offset "}}"
#define END "{\"mark\":{\"kind\":\"end\",\"records\":0}}"

static struct writer acks;
static uint64_t number; /* of the line */

/* ---- a sink ---- */

static struct sink_options like(enum sink_mode mode)
{
	return (struct sink_options){ .dir = dir,
		.mode = mode,
		.reject_path = "_rejects",
		.acks = true,
		.threads = 1,
		.interval_ms = HOUR,
		.size = INT64_C(1) << 30,
		.timeout_ms = 200 };
}

static int setup_sink(void **state)
{
	char path[128];

	if (setup(state) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/acks", top);
	writer_init(&acks, open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), 0);
	assert_true(acks.fd >= 0);
	number = 0;
	return 0;
}

static int teardown_sink(void **state)
{
	close(acks.fd);
	writer_release(&acks);
	return teardown(state);
}

static struct sink *opened(const struct sink_options *o)
{
	struct sink *s = sink_open(o, &acks);

	if (!s)
		fail_msg("%s", fail_message());
	return s;
}

static void take(struct sink *s, const char *line)
{
	if (sink_line(s, (struct span){ line, strlen(line) }, ++number, false) < 0)
		fail_msg("%s", fail_message());
}

static void refuse(struct sink *s, const char *line, const char *why)
{
	assert_int_equal(sink_line(s, (struct span){ line, strlen(line) }, ++number, false), -1);
	assert_failure(EXIT_DATA, why);
}

static void finish(struct sink *s)
{
	if (sink_end(s, false) < 0)
		fail_msg("%s", fail_message());
	sink_close(s);
}

/* A record as partition hands it on, valid until the next call. */
static const char *record_of(const char *path, int partition, int offset)
{
	static char line[256];

	snprintf(line, sizeof(line),
	    "{\"path\":\"%s\",\"topic\":\"TX\",\"partition\":%d,\"offset\":%d,\"ts\":%d,\"payload\":{\"n\":%d}}",
	    path, partition, offset, 1000 + offset, offset);
	return line;
}

static const char *record(int offset)
{
	return record_of("p", 0, offset);
}

/* What is stored of records [from, to). */
static const char *lines(int from, int to)
{
	static char text[2048];
	size_t n = 0;

	text[0] = '\0';
	for (int i = from; i < to; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "{\"topic\":\"TX\",\"partition\":0,\"offset\":%d,\"ts\":%d,\"payload\":{\"n\":%d}}\n",
		    i, 1000 + i, i);
	return text;
}

static void assert_acks(const char *want)
{
	assert_text(at("../acks"), want);
}

#define ACK(offset, last, ts)                                                                      \
	"{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":" #offset    \
	",\"last\":{\"offset\":" #last ",\"ts\":" #ts "}}}\n"

/* A lake that has records [0, n) of TX/0 under p, by append. */
static void fill(int n)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.acks = false;
	s = opened(&o);
	for (int i = 0; i < n; i++)
		take(s, record(i));
	finish(s);
	number = 0;
}

/* ---- when a commit is due ---- */

static void with_interval_0_every_line_is_due_at_once(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.interval_ms = 0;
	s = opened(&o);
	assert_int_equal(sink_deadline(s), -1);
	take(s, record(0));
	assert_in_range(sink_deadline(s), 0, clock_mono_ms());
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(sink_deadline(s), -1);
	assert_int_equal(position("append", 0), 1);
	take(s, record(1));
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(sink_counts(s).commits, 2);
	assert_int_equal(sink_tick(s), 0); /* nothing waits */
	assert_int_equal(sink_counts(s).commits, 2);
	sink_close(s);
	assert_text(at("p/00000001.jsonl"), lines(0, 1));
	assert_text(at("p/00000002.jsonl"), lines(1, 2));
}

static void the_oldest_line_sets_the_deadline(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s = opened(&o);
	int64_t before = clock_mono_ms(), due;

	take(s, record(0));
	due = sink_deadline(s);
	assert_in_range(due, before + HOUR, clock_mono_ms() + HOUR);
	usleep(5000);
	take(s, record(1));
	assert_int_equal(sink_deadline(s), due);
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(sink_counts(s).commits, 0);
	assert_int_equal(position("append", 0), -1);
	sink_close(s);
}

static void a_tick_commits_when_the_time_has_come_and_not_before(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;
	int64_t due;

	o.interval_ms = 300;
	s = opened(&o);
	take(s, record(0));
	due = sink_deadline(s);
	while (clock_mono_ms() < due - 20) {
		assert_int_equal(sink_tick(s), 0);
		if (clock_mono_ms() < due)
			assert_int_equal(sink_counts(s).commits, 0);
		usleep(10000);
	}
	while (clock_mono_ms() < due)
		usleep(1000);
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(sink_counts(s).commits, 1);
	assert_int_equal(position("append", 0), 1);
	sink_close(s);
}

static void a_position_mark_alone_is_worth_a_commit(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.interval_ms = 0;
	s = opened(&o);
	take(s, START(0));
	assert_int_equal(sink_deadline(s), -1);
	take(s, POSITION(7));
	assert_true(sink_deadline(s) >= 0);
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(position("append", 0), 7);
	assert_int_equal(sink_counts(s).files, 0);
	sink_close(s);
}

static void what_is_skipped_waits_for_no_commit(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(2);
	o.acks = false;
	s = opened(&o);
	take(s, record(0));
	take(s, record(1));
	assert_int_equal(sink_deadline(s), -1);
	finish(s);
	assert_acks("");
	assert_int_equal(count("p/*.jsonl"), 1);
}

static void snapshots_have_no_deadline(void **state)
{
	static const enum sink_mode mode[] = { SINK_OVERWRITE, SINK_IGNORE };

	for (size_t i = 0; i < 2; i++) {
		struct sink_options o = like(mode[i]);
		struct sink *s;

		o.interval_ms = 0;
		o.size = 1;
		s = opened(&o);
		take(s, record(0));
		take(s, POSITION(1));
		assert_int_equal(sink_deadline(s), -1);
		assert_int_equal(sink_tick(s), 0);
		assert_int_equal(sink_counts(s).commits, 0);
		sink_close(s);
		assert_int_equal(count("p/*"), 2); /* . and .. */
	}
}

static void a_commit_comes_with_the_line_that_reaches_the_size(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.size = (int64_t)strlen(lines(0, 2));
	s = opened(&o);
	take(s, record(0));
	assert_int_equal(sink_counts(s).commits, 0);
	take(s, record(1));
	assert_int_equal(sink_counts(s).commits, 1);
	assert_int_equal(sink_deadline(s), -1);
	sink_close(s);
	assert_text(at("p/00000001.jsonl"), lines(0, 2));

	o.size++;
	s = opened(&o);
	take(s, record(2));
	take(s, record(3));
	assert_int_equal(sink_counts(s).commits, 0);
	take(s, record(4));
	assert_int_equal(sink_counts(s).commits, 1);
	sink_close(s);
	assert_text(at("p/00000002.jsonl"), lines(2, 5));
}

static void nothing_is_due_before_recreated_is_proven(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(3);
	o.recreated = true;
	o.interval_ms = 0;
	o.size = 1;
	s = opened(&o);
	take(s, "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"ts\":9,\"payload\":0}");
	assert_int_equal(sink_deadline(s), -1);
	assert_int_equal(sink_tick(s), 0);
	assert_int_equal(sink_counts(s).commits, 0);
	take(s, "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":2,\"ts\":9,\"payload\":0}");
	assert_int_equal(sink_counts(s).commits, 1);
	assert_int_equal(sink_counts(s).stored, 2);
	sink_close(s);

	s = opened(&o); /* told to stop: nothing was wrong, and nothing is stored */
	take(s, "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"ts\":9,\"payload\":0}");
	assert_int_equal(sink_end(s, true), 0);
	assert_int_equal(sink_counts(s).commits, 0);
	sink_close(s);
	assert_int_equal(position("append", 0), 3);

	s = opened(&o); /* the same topic as before, after all */
	take(s, "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"ts\":9,\"payload\":0}");
	refuse(s,
	    "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":2,\"ts\":9,\"payload\":0}",
	    "--recreated");
	sink_abort(s);
	sink_close(s);
	assert_int_equal(count("p/*.jsonl"), 2);
}

/* ---- the end ---- */

static void append_commits_at_the_end_whatever_the_marks_say(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s = opened(&o);

	take(s, record(0)); /* no marks */
	finish(s);
	assert_int_equal(position("append", 0), 1);
	s = opened(&o);
	take(s, START(1)); /* marks, and cut short */
	take(s, record(1));
	finish(s);
	assert_int_equal(position("append", 0), 2);
	s = opened(&o);
	take(s, START(2));
	take(s, record(2));
	take(s, POSITION(5));
	take(s, END);
	finish(s);
	assert_int_equal(position("append", 0), 5);
	s = opened(&o);
	take(s, record(5));
	assert_int_equal(sink_end(s, true), 0); /* a signal */
	sink_close(s);
	assert_int_equal(position("append", 0), 6);
	assert_acks(ACK(1, 0, 1000) ACK(2, 1, 1001) ACK(5, 2, 1002) ACK(6, 5, 1005));
	assert_clean();
}

static void a_run_without_anything_leaves_the_journal_alone(void **state)
{
	static const enum sink_mode mode[] = { SINK_APPEND, SINK_OVERWRITE, SINK_IGNORE };

	for (size_t i = 0; i < 3; i++) {
		struct sink_options o = like(mode[i]);
		struct sink *s = opened(&o);
		struct stat st;

		take(s, END);
		assert_int_equal(sink_end(s, false), 0);
		assert_int_equal(sink_counts(s).commits, 0);
		sink_close(s);
		assert_int_equal(stat(at(".sluice/journal"), &st), 0);
		assert_int_equal(st.st_size, 0);
	}
	assert_acks("");
}

/* The lines of a run of overwrite; NULL ends them. 1: published; 0: not, without a failure; -1. */
static int run_snapshot(const struct sink_options *o, bool stopped, const char *const *line)
{
	struct sink *s = opened(o);
	int r;

	while (*line)
		take(s, *line++);
	r = sink_end(s, stopped);
	if (r == 0)
		r = (int)sink_counts(s).commits;
	else
		sink_abort(s);
	sink_close(s);
	return r;
}

static void a_snapshot_is_published_only_when_the_stream_is_whole(void **state)
{
	static const char r[] = "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload\":1}";
	static const char *const plain[] = { r, NULL }, *const cut[] = { START(0), r, NULL },
				 *const whole[] = { START(0), r, END, NULL },
				 *const more[] = { START(0), END, r, NULL },
				 *const bare[] = { START(0), END, "{\"path\":\"p\",\"a\":1}", NULL };
	static const struct {
		const char *const *line;
		bool trust_eof, stopped;
		int published;
	} cases[] = {
		{ plain, false, false, -1 },
		{ plain, false, true, 0 },
		{ plain, true, true, 0 },
		{ cut, false, false, -1 },
		{ cut, true, false, -1 }, /* marks are there to be believed */
		{ more, true, false, -1 },
		{ more, false, true, 0 },
		{ bare, false, false, -1 },
		{ plain, true, false, 1 },
		{ whole, false, false, 1 },
		{ whole, false, true, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sink_options o = like(SINK_OVERWRITE);
		size_t files = count("p/snapshot.jsonl");

		o.trust_eof = cases[i].trust_eof;
		if (run_snapshot(&o, cases[i].stopped, cases[i].line) != cases[i].published)
			fail_msg("case %zu: not %d", i, cases[i].published);
		if (cases[i].published < 0)
			assert_failure(EXIT_DATA, "no end mark");
		if (cases[i].published <= 0)
			assert_int_equal(count("p/snapshot.jsonl"), files);
		assert_int_equal(count("p/.sluice-*"), 0);
	}
	assert_text(at("p/snapshot.jsonl"),
	    "{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload\":1}\n");
	assert_clean();
}

static void overwrite_replaces_a_path_and_leaves_the_others(void **state)
{
	static const char *const line[] = { "{\"path\":\"p\",\"payload\":2}", END, NULL };
	struct sink_options o = like(SINK_OVERWRITE);

	fill(2);
	run_snapshot(&o, false, (const char *const[]){ "{\"path\":\"q\",\"payload\":1}", END, NULL });
	assert_int_equal(run_snapshot(&o, false, line), 1);
	assert_int_equal(count("p/*.jsonl"), 1);
	assert_text(at("p/snapshot.jsonl"), "{\"payload\":2}\n");
	assert_text(at("q/snapshot.jsonl"), "{\"payload\":1}\n");
	assert_clean();
}

static void overwrite_never_skips_by_position(void **state)
{
	struct sink_options o = like(SINK_OVERWRITE);

	o.trust_eof = true;
	for (int i = 0; i < 2; i++) {
		struct sink *s = opened(&o);

		take(s, record(0));
		take(s, record(1));
		assert_int_equal(sink_end(s, false), 0);
		assert_int_equal(sink_counts(s).stored, 2);
		assert_int_equal(sink_counts(s).skipped, 0);
		sink_close(s);
	}
	assert_text(at("p/snapshot.jsonl"), lines(0, 2));
}

static void a_topic_that_ends_below_the_position_is_refused_at_the_end(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(5);
	s = opened(&o);
	take(s, "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":1,\"offset\":0,\"payload\":1}");
	take(s, START(0));
	take(s, POSITION(3));
	take(s, END);
	assert_int_equal(sink_end(s, false), -1);
	assert_failure(EXIT_DATA, "TX/0: the topic ends at 3, below the stored position 5");
	sink_abort(s);
	sink_close(s);
	assert_int_equal(position("append", 0), 5);
	assert_int_equal(position("append", 1), -1);
	assert_int_equal(count("p/*.jsonl"), 1);
}

static void ignore_leaves_paths_alone_that_have_files(void **state)
{
	struct sink_options o = like(SINK_IGNORE);
	struct sink *s;

	fill(2);
	s = opened(&o);
	take(s, "{\"path\":\"p\",\"payload\":1}");
	take(s, "{\"path\":\"q\",\"payload\":2}");
	take(s, "{\"path\":\"p\",\"payload\":3}");
	take(s, END);
	assert_int_equal(sink_end(s, false), 0);
	assert_int_equal(sink_counts(s).in, 3);
	assert_int_equal(sink_counts(s).ignored, 2);
	assert_int_equal(sink_counts(s).stored, 1);
	sink_close(s);
	assert_int_equal(count("p/*.jsonl"), 1);
	assert_text(at("p/00000001.jsonl"), lines(0, 2));
	assert_text(at("q/snapshot.jsonl"), "{\"payload\":2}\n");
	assert_clean();
}

static void a_root_gets_an_empty_snapshot_when_nothing_came(void **state)
{
	const char *roots[] = { "empty", "p" };
	struct sink_options o = like(SINK_OVERWRITE);

	o.root = roots;
	o.roots = 2;
	assert_int_equal(run_snapshot(&o, false,
			     (const char *const[]){ "{\"path\":\"p\",\"payload\":1}", END, NULL }),
	    1);
	assert_text(at("empty/snapshot.jsonl"), "");
	assert_text(at("p/snapshot.jsonl"), "{\"payload\":1}\n");
	assert_int_equal(run_snapshot(&o, false, (const char *const[]){ END, NULL }), 1);
	assert_text(at("p/snapshot.jsonl"), "");
	assert_clean();
}

static void what_was_not_committed_goes_with_the_sink(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s = opened(&o);

	take(s, record(0));
	assert_int_equal(count("p/.sluice-*"), 1);
	sink_close(s);
	assert_int_equal(count("p/.sluice-*"), 0);
	assert_int_equal(count("p/*.jsonl"), 0);
	assert_int_equal(position("append", 0), -1);
	assert_acks("");
}

/* ---- after a failure ---- */

static void what_came_before_a_bad_line_is_kept(void **state)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{ "[]", "stdin:2: not a JSON object" },
		{ "", "stdin:2: an empty line" },
		{ "{\"path\":\"p\",\"topic\":\"TX\",\"payload\":1}",
		    "stdin:2: an object with payload but without" },
		{ "{\"payload\":1}", "stdin:2: no path: put partition before this sink" },
		{ "{\"path\":\"../x\",\"topic\":\"TX\",\"partition\":0,\"offset\":9,\"payload\":1}",
		    "stdin:2: TX/0: offset 9: " },
		{ "{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\"}}", "stdin:2: a mark without" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sink_options o = like(SINK_APPEND);
		struct sink *s = opened(&o);

		number = 0;
		take(s, record((int)i));
		refuse(s, bad[i].line, bad[i].why);
		assert_int_equal(position("append", 0), i == 0 ? -1 : (int64_t)i);
		sink_abort(s);
		assert_failure(EXIT_DATA, bad[i].why);
		assert_int_equal(sink_counts(s).commits, 1);
		sink_close(s);
		assert_int_equal(position("append", 0), i + 1);
		assert_text(at("p/%08zu.jsonl", i + 1), lines((int)i, (int)i + 1));
	}
	assert_int_equal(count("../x"), 0);
	assert_clean();
}

static void nothing_is_kept_after_a_gap_or_a_step_back(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":5,\"payload\":1}",
		    "stdin:2: TX/0: gap" },
		{ START(4), "stdin:2: TX/0: gap" },
		{ POSITION(4), "stdin:2: TX/0: gap" },
		{ "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":1,\"offset\":7,\"payload\":1}",
		    "stdin:2: TX/1: offset 7 comes after 7: is there a sort" },
		{ "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":2,\"ts\":1,\"payload\":1}",
		    "stdin:2: TX/0: offset 2: the record there has ts 1, the one stored had 1002" },
		/* A gap in a line that is bad for another reason too, and one kept as a reject. */
		{ "{\"path\":\"/\",\"topic\":\"TX\",\"partition\":0,\"offset\":5,\"payload\":1}",
		    "stdin:2: TX/0: gap" },
	};

	fill(3);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sink_options o = like(SINK_APPEND);
		struct sink *s;

		o.rejects = true; /* none of these is one */
		s = opened(&o);
		number = 0;
		take(s, record_of("p", 1, 7));
		refuse(s, cases[i].line, cases[i].why);
		sink_abort(s);
		assert_failure(EXIT_DATA, cases[i].why);
		assert_int_equal(sink_counts(s).commits, 0);
		sink_close(s);
		assert_int_equal(position("append", 0), 3);
		assert_int_equal(position("append", 1), -1);
		assert_int_equal(count("p/*.jsonl") + count("_rejects/*.jsonl"), 1);
	}
	assert_acks("");
	assert_clean();
}

static void snapshots_keep_nothing_after_a_bad_line(void **state)
{
	struct sink_options o = like(SINK_OVERWRITE);
	struct sink *s;

	o.trust_eof = true;
	s = opened(&o);
	take(s, record(0));
	refuse(s, "x", "stdin:2: ");
	sink_abort(s);
	sink_close(s);
	assert_int_equal(count("p/*.jsonl"), 0);
	assert_int_equal(position("overwrite", 0), -1);
}

static void allow_gap_lets_a_gap_pass(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(1);
	o.allow_gap = true;
	s = opened(&o);
	take(s, record(4));
	finish(s);
	assert_int_equal(position("append", 0), 5);
	assert_acks(ACK(5, 4, 1004));
}

static void a_last_line_without_newline_counts_when_it_is_whole(void **state)
{
	static const char half[] = "{\"path\":\"p\",\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"pay";
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;
	const char *whole = record(0);

	o.rejects = true;
	s = opened(&o);
	assert_int_equal(sink_line(s, (struct span){ whole, strlen(whole) }, 1, true), 0);
	assert_int_equal(sink_line(s, SPAN(half), 2, true), -1);
	assert_failure(EXIT_DATA, "stdin:2: the last line is incomplete");
	sink_abort(s);
	assert_int_equal(sink_counts(s).rejected, 0);
	sink_close(s);
	assert_int_equal(position("append", 0), 1); /* not behind the record that was cut */
	assert_text(at("p/00000001.jsonl"), lines(0, 1));
	assert_int_equal(count("_rejects"), 0);
}

static void a_lake_that_cannot_be_opened_is_no_sink(void **state)
{
	struct sink_options o = like(SINK_APPEND);

	snprintf(dir, sizeof(dir), "%s/none/lake", top);
	assert_null(sink_open(&o, &acks));
	assert_failure(EXIT_CANTCREAT, "none/lake");
	sink_close(NULL); /* what could not be opened may be closed */
}

/* ---- acknowledgements ---- */

static void positions_are_acknowledged_with_the_commit_and_not_before(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.interval_ms = 0;
	s = opened(&o);
	take(s, record(0));
	take(s, record(1));
	assert_int_equal(writer_flush(&acks), 0);
	assert_acks("");
	assert_int_equal(sink_tick(s), 0);
	assert_acks(ACK(2, 1, 1001));
	take(s, record(2));
	finish(s);
	assert_acks(ACK(2, 1, 1001) ACK(3, 2, 1002));
}

/* kread -g commits to the group what is printed, so what the sink had before must be told to it too. */
static void what_was_stored_before_is_acknowledged_when_it_comes_again(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(3);
	s = opened(&o);
	take(s, record(0));
	take(s, record(1));
	assert_true(sink_deadline(s) >= 0); /* not only at the end, which may be far */
	finish(s);
	assert_acks(ACK(3, 2, 1002));
	s = opened(&o);
	take(s, START(1));
	take(s, "{\"mark\":{\"kind\":\"start\",\"topic\":\"TX\",\"partition\":1,\"offset\":0}}");
	take(s, END);
	finish(s);
	assert_acks(ACK(3, 2, 1002) ACK(3, 2, 1002)); /* and what never stood anywhere is not */
	o.interval_ms = 0;
	s = opened(&o);
	take(s, record(2));
	assert_int_equal(sink_tick(s), 0);
	assert_acks(ACK(3, 2, 1002) ACK(3, 2, 1002) ACK(3, 2, 1002));
	take(s, record(3));
	finish(s);
	assert_acks(ACK(3, 2, 1002) ACK(3, 2, 1002) ACK(3, 2, 1002) ACK(4, 3, 1003));
	assert_int_equal(position("append", 0), 4);
	assert_clean();
}

static void without_acks_nothing_is_printed(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.acks = false;
	s = opened(&o);
	take(s, record(0));
	finish(s);
	assert_int_equal(writer_flush(&acks), 0);
	assert_acks("");
}

static void a_commit_stands_though_it_cannot_be_acknowledged(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s = opened(&o);

	close(acks.fd);
	acks.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(acks.fd >= 0);
	take(s, record(0));
	assert_int_equal(sink_end(s, false), -1);
	assert_failure(EXIT_IO, "No space left on device");
	sink_close(s);
	assert_int_equal(position("append", 0), 1);
	assert_text(at("p/00000001.jsonl"), lines(0, 1));
}

static void a_failed_acknowledgement_is_told_after_the_bad_line(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s = opened(&o);

	close(acks.fd);
	acks.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	take(s, record(0));
	refuse(s, "nonsense", "not a JSON object");
	sink_abort(s); /* commits, and says that nobody could be told */
	assert_failure(EXIT_DATA, "not a JSON object");
	assert_int_equal(sink_counts(s).commits, 1);
	sink_abort(s);
	assert_int_equal(sink_counts(s).commits, 1);
	sink_close(s);
	assert_int_equal(position("append", 0), 1);
}

/* Files may not grow beyond n bytes: as a full disk, but for this process only. */
static void grow_to(rlim_t n)
{
	signal(SIGXFSZ, SIG_IGN);
	set_limit(RLIMIT_FSIZE, n);
}

/* From a line or from a reject, at its line or at the end: nothing of the run is kept. */
static void nothing_is_kept_when_the_disk_is_full(void **state)
{
	static char large[2 << 20];

	for (int gzip = 0; gzip < 2; gzip++) {
		for (int reject = 0; reject < 2; reject++) {
			struct sink_options o = like(SINK_APPEND);
			struct sink *s;
			int n, r;

			o.gzip_level = gzip;
			o.rejects = true;
			s = opened(&o);
			take(s, record(0));
			n = snprintf(large, sizeof(large), "%s\"a\":\"",
			    reject ? "{" : "{\"path\":\"p\",");
			for (size_t i = (size_t)n; i < sizeof(large); i++)
				large[i] = (char)('a' + rand() % 26);
			memcpy(large + sizeof(large) - 2, "\"}", 2);
			grow_to(4096);
			r = sink_line(s, (struct span){ large, sizeof(large) }, 2, false);
			if (gzip && r == 0) /* it may still be with the threads */
				r = sink_end(s, false);
			grow_to(RLIM_INFINITY);
			assert_int_equal(r, -1);
			assert_failure(EXIT_IO, "File too large");
			sink_abort(s);
			assert_int_equal(sink_counts(s).commits, 0);
			sink_close(s);
		}
	}
	assert_int_equal(count("p/*"), 2); /* . and .. */
	assert_int_equal(position("append", 0), -1);
	assert_acks("");
}

static void who_is_overtaken_commits_and_acknowledges_nothing(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *late = opened(&o);

	take(late, record(0));
	take(late, record(1));
	fill(1);
	assert_int_equal(sink_end(late, false), -1);
	assert_int_equal(fail_code(), EXIT_TRYAGAIN);
	sink_abort(late);
	assert_int_equal(fail_code(), EXIT_TRYAGAIN);
	assert_int_equal(sink_counts(late).commits, 0);
	assert_int_equal(sink_counts(late).stored, 0);
	sink_close(late);
	assert_acks("");
	assert_int_equal(position("append", 0), 1);
	assert_int_equal(count("p/*.jsonl"), 1);
	assert_clean();
}

static void each_name_has_positions_of_its_own(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	fill(2);
	o.name = "other";
	s = opened(&o);
	take(s, record_of("q", 0, 0));
	finish(s);
	assert_int_equal(position("append", 0), 2);
	assert_int_equal(position("other", 0), 1);
	assert_acks(ACK(1, 0, 1000));
	for (int i = 0; i < 3; i++)
		assert_int_equal(position(sink_mode_name((enum sink_mode)i), 0),
		    i == SINK_APPEND ? 2 : -1);
}

static void a_second_pipeline_under_one_name_is_warned_about(void **state)
{
	static const struct {
		const char *path;
		bool warned;
	} cases[] = { { "p", false }, { "elsewhere", true } };
	struct sink_options o = like(SINK_APPEND);

	fill(2);
	for (size_t i = 0; i < 2; i++) {
		struct sink *s = opened(&o);
		int old = dup(STDERR_FILENO),
		    fd = open(at("../err"), O_RDWR | O_CREAT | O_TRUNC, 0666);
		size_t n;
		char *text;
		bool warned;

		take(s, record_of(cases[i].path, 0, 1));
		log_level(false, false);
		dup2(fd, STDERR_FILENO);
		close(fd);
		finish(s);
		dup2(old, STDERR_FILENO);
		close(old);
		log_level(true, false);
		text = read_file(at("../err"), &n);
		assert_non_null(text);
		warned = strstr(text, "records for elsewhere were skipped") != NULL;
		assert_int_equal(warned, cases[i].warned);
		free(text);
	}
}

/* ---- rejects ---- */

static void rejects_are_kept_with_their_reason_and_move_the_position(void **state)
{
	static const char bytes[] = "{\"path\":\"p\",\"a\":\"\xff\"}";
	const char *why = path_problem(SPAN("../x"));
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;
	struct buf want = BUF_INIT;

	o.rejects = true;
	s = opened(&o);
	take(s, record(0));
	take(s,
	    "{\"path\":\"../x\",\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"payload\":\"\\\"\"}");
	take(s, "nonsense");
	take(s, bytes);
	assert_int_equal(sink_end(s, false), 0);
	assert_int_equal(sink_counts(s).in, 4);
	assert_int_equal(sink_counts(s).rejected, 3);
	sink_close(s);
	assert_text(at("p/00000001.jsonl"), lines(0, 1));
	buf_add_str(&want, "{\"reason\":");
	json_escape(&want, why, strlen(why));
	buf_add_str(&want,
	    ",\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"line\":"
	    "\"{\\\"path\\\":\\\"../x\\\",\\\"topic\\\":\\\"TX\\\",\\\"partition\\\":0,\\\"offset\\\":1,"
	    "\\\"payload\\\":\\\"\\\\\\\"\\\"}\"}\n"
	    "{\"reason\":\"not a JSON object\",\"line\":\"nonsense\"}\n"
	    "{\"reason\":\"byte 18: invalid UTF-8\",\"line_enc\":\"base64\",\"line\":"
	    "\"eyJwYXRoIjoicCIsImEiOiL/In0=\"}\n");
	assert_text(at("_rejects/00000001.jsonl"), buf_cstr(&want));
	buf_release(&want);
	assert_acks(ACK(2, 1, -1));
	assert_clean();
}

static void a_path_that_the_file_system_will_not_have_is_a_reject(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.rejects = true;
	s = opened(&o);
	assert_int_equal(symlink("..", at("link")), 0);
	take(s, record_of("link/x", 0, 0));
	take(s, record(1));
	assert_int_equal(sink_end(s, false), 0);
	assert_int_equal(sink_counts(s).rejected, 1);
	sink_close(s);
	assert_text(at("p/00000001.jsonl"), lines(1, 2));
	assert_int_equal(count("_rejects/*.jsonl"), 1);
	assert_int_equal(count("../x"), 0);
	assert_int_equal(position("append", 0), 2);
	unlink(at("link"));
	assert_clean();
}

/* A path for rejects that cannot be is no reject's fault. */
static void rejects_need_a_place(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.rejects = true;
	s = opened(&o);
	assert_int_equal(symlink("..", at("_rejects")), 0);
	take(s, record(0));
	assert_int_equal(sink_line(s, SPAN("nonsense"), 2, false), -1);
	assert_failure(EXIT_DATA, "_rejects: a symbolic link is in the way");
	sink_abort(s);
	sink_close(s);
	assert_int_equal(position("append", 0), -1);
}

static void snapshots_need_a_place(void **state)
{
	static const char *root[] = { "r" };
	struct sink_options o = like(SINK_IGNORE);
	struct sink *s;

	o.root = root;
	o.roots = 1;
	s = opened(&o);
	assert_int_equal(symlink("..", at("r")), 0);
	refuse(s, "{\"path\":\"r\",\"a\":1}", "a symbolic link is in the way");
	take(s, END);
	assert_int_equal(sink_end(s, false), -1);
	assert_failure(EXIT_DATA, "a symbolic link is in the way");
	sink_abort(s);
	sink_close(s);
	assert_int_equal(count(".sluice/journal"), 1);
	assert_text(at(".sluice/journal"), "");
}

/* The reason may name a directory that is no UTF-8, or be cut within a character: it is text all the same. */
static void the_reason_of_a_reject_is_always_text(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct buf line = BUF_INIT;
	char odd[120];
	size_t n;
	char *text;

	snprintf(odd, sizeof(odd), "%s/l\xff\"\n", top);
	o.dir = odd;
	o.rejects = true;
	for (int pad = 0; pad < 3; pad++) {
		struct sink *s = opened(&o);
		char link[200];

		snprintf(link, sizeof(link), "%s/link", odd);
		assert_int_equal(pad == 0 ? symlink("..", link) : 0, 0);
		take(s, "{\"path\":\"link\",\"a\":1}");
		/* A long path of two-byte characters: the message ends in the middle of one. */
		buf_clear(&line);
		buf_addf(&line, "{\"path\":\"link%.*s/", pad, "xx");
		for (int i = 0; i < 120; i++)
			buf_add_str(&line, "\xc3\xa9");
		buf_add_str(&line, "/");
		for (int i = 0; i < 120; i++)
			buf_add_str(&line, "\xc3\xa9");
		buf_add_str(&line, "\",\"a\":1}");
		take(s, buf_cstr(&line));
		finish(s);
	}
	snprintf(odd, sizeof(odd), "%s/l\xff\"\n/_rejects/00000001.jsonl", top);
	text = read_file(odd, &n);
	assert_non_null(text);
	for (char *p = text, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		assert_true(json_valid(p, (size_t)(end - p), NULL));
		*end = '\0';
		assert_non_null(strstr(p, "?/link"));
	}
	free(text);
	buf_release(&line);
}

static void what_is_stored_already_is_no_reject(void **state)
{
	struct sink_options o = like(SINK_APPEND);

	fill(2);
	for (int i = 0; i < 2; i++) {
		struct sink *s;

		o.rejects = i;
		s = opened(&o);
		take(s, record_of("../x", 0, 1));
		assert_int_equal(sink_counts(s).skipped, 1);
		assert_int_equal(sink_counts(s).rejected, 0);
		finish(s);
	}
	assert_int_equal(count("_rejects"), 0);
}

static void a_broken_mark_is_never_a_reject(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.rejects = true;
	s = opened(&o);
	refuse(s, "{\"mark\":{\"kind\":\"start\",\"topic\":\"TX\",\"partition\":0}}",
	    "stdin:1: a mark");
	refuse(s, "{\"mark\":1}", "stdin:2: \"mark\" is not an object");
	assert_int_equal(sink_counts(s).rejected, 0);
	assert_int_equal(sink_counts(s).in, 0);
	sink_close(s);
}

static void rejects_of_a_snapshot_do_not_replace_older_ones(void **state)
{
	static const char *const line[] = { "{\"path\":\"p\",\"payload\":1}", "bad", END, NULL };
	struct sink_options o = like(SINK_OVERWRITE);

	o.rejects = true;
	assert_int_equal(run_snapshot(&o, false, line), 1);
	assert_int_equal(run_snapshot(&o, false, line), 1);
	assert_int_equal(count("_rejects/*.jsonl"), 2);
	assert_int_equal(count("_rejects/snapshot.jsonl"), 0);
	assert_int_equal(count("p/*.jsonl"), 1);
	assert_clean();
}

/* ---- shapes, to the byte ---- */

#define AT(offset)   "\"topic\":\"TX\",\"partition\":0,\"offset\":" #offset
#define FLAT(offset) "\"_topic\":\"TX\",\"_partition\":0,\"_offset\":" #offset

struct shape_case {
	const char *in, *out;
};

static void assert_shapes(enum sink_shape shape, const struct shape_case *c, size_t n)
{
	struct sink_options o = like(SINK_APPEND);
	struct buf want = BUF_INIT;
	struct sink *s;

	o.shape = shape;
	o.path = "else";
	s = opened(&o);
	for (size_t i = 0; i < n; i++) {
		take(s, c[i].in);
		buf_addf(&want, "%s\n", c[i].out);
	}
	finish(s);
	assert_text(at("else/00000001.jsonl"), buf_cstr(&want));
	assert_clean();
	buf_release(&want);
}

#define CASES(c) (c), sizeof(c) / sizeof((c)[0])

static void record_is_the_line_without_its_path(void **state)
{
	static const struct shape_case cases[] = {
		{ "{" AT(0) ",\"payload\":1}", "{" AT(0) ",\"payload\":1}" },
		{ "{\"path\":\"else\"," AT(1) ",\"payload\":1.50}", "{" AT(1) ",\"payload\":1.50}" },
		{ "{" AT(2) ",\"path\":\"else\",\"payload\":{\"path\":\"x\"}}",
		    "{" AT(2) ",\"payload\":{\"path\":\"x\"}}" },
		{ "{" AT(3) ",\"payload\":9007199254740993,\"path\":\"else\"}",
		    "{" AT(3) ",\"payload\":9007199254740993}" },
		{ "  {" AT(4) ", \"more\":[], \"payload\": null}\t",
		    "{" AT(4) ", \"more\":[], \"payload\": null}" },
		{ "{\"path\":\"else\",\"a\":1}", "{\"a\":1}" },
		{ "{\"a\" : 1}", "{\"a\" : 1}" },
		{ "{\"path\":\"else\",\"payload\":[1]}", "{\"payload\":[1]}" },
	};

	assert_shapes(SINK_RECORD, CASES(cases));
}

static void payload_is_the_payload_alone(void **state)
{
	static const struct shape_case cases[] = {
		{ "{\"path\":\"else\"," AT(0) ",\"payload\":{\"a\":12.50, \"a\":1e9}}",
		    "{\"a\":12.50, \"a\":1e9}" },
		{ "{" AT(1) ",\"payload\":\"\\u0000\"}", "\"\\u0000\"" },
		{ "{" AT(2) ",\"payload_enc\":\"none\",\"payload\":null}", "null" },
		{ "{" AT(3) ",\"payload_enc\":\"base64\",\"payload\":\"/w==\"}", "\"/w==\"" },
		{ "{" AT(4) ",\"payload_enc\":\"utf8\",\"payload\":\"not JSON\"}", "\"not JSON\"" },
		{ "{" AT(5) ",\"payload_enc\":\"utf8\",\"payload\":\"{\\\"a\\\":\\n1}\"}", "{\"a\": 1}" },
		{ "{\"path\":\"else\",\"payload\":[1, 2]}", "[1, 2]" },
		{ "{\"path\":\"else\",\"a\":1}", "{\"a\":1}" },
	};

	assert_shapes(SINK_PAYLOAD, CASES(cases));
}

static void flat_is_the_payload_and_where_it_comes_from(void **state)
{
	static const struct shape_case cases[] = {
		{ "{\"path\":\"else\"," AT(0) ",\"ts\":5,\"key\":\"k\",\"payload\":{\"a\":12.50}}",
		    "{\"a\":12.50," FLAT(0) ",\"_ts\":5,\"_key\":\"k\"}" },
		{ "{" AT(1) ",\"payload\":{ \"a\" : 1 }}",
		    "{ \"a\" : 1," FLAT(1) ",\"_ts\":null,\"_key\":null}" },
		{ "{" AT(2) ",\"key\":null,\"payload\":{}}", "{" FLAT(2) ",\"_ts\":null,\"_key\":null}" },
		{ "{" AT(3) ",\"payload\":{  }}", "{" FLAT(3) ",\"_ts\":null,\"_key\":null}" },
		{ "{" AT(4) ",\"key_enc\":\"base64\",\"key\":\"/w==\",\"payload\":{\"a\":1}}",
		    "{\"a\":1," FLAT(4) ",\"_ts\":null,\"_key_enc\":\"base64\",\"_key\":\"/w==\"}" },
		{ "{" AT(5) ",\"ts\":5,\"key\":\"k\",\"payload_enc\":\"none\",\"payload\":null}",
		    "{" FLAT(5) ",\"_ts\":5,\"_key\":\"k\",\"_tombstone\":true}" },
		{ "{" AT(6) ",\"payload_enc\":\"utf8\",\"payload\":\"{\\\"a\\\":1}\"}",
		    "{\"a\":1," FLAT(6) ",\"_ts\":null,\"_key\":null}" },
		{ "{\"path\":\"else\",\"payload\":{\"a\":1}}", "{\"a\":1}" },
		{ "{\"path\":\"else\",\"a\":1}", "{\"a\":1}" },
	};

	assert_shapes(SINK_FLAT, CASES(cases));
}

static void only_an_object_can_be_flat(void **state)
{
	static const char *const payload[] = { "1", "[]", "null", "\"x\"" };
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;
	char line[128];

	o.shape = SINK_FLAT;
	s = opened(&o);
	for (size_t i = 0; i < sizeof(payload) / sizeof(payload[0]); i++) {
		snprintf(line, sizeof(line), "{\"path\":\"p\"," AT(3) ",\"payload\":%s}", payload[i]);
		refuse(s, line, "TX/0: offset 3: the payload is not an object");
	}
	sink_close(s);
}

static void a_given_path_is_for_lines_that_have_none(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.path = "else";
	s = opened(&o);
	take(s, "{\"path\":\"own\",\"a\":1}");
	take(s, "{\"a\":2}");
	finish(s);
	assert_text(at("own/00000001.jsonl"), "{\"a\":1}\n");
	assert_text(at("else/00000001.jsonl"), "{\"a\":2}\n");
}

static void assert_gunzips(const char *path, const char *want)
{
	struct buf got = BUF_INIT;
	struct span part;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct gunzip *z = gunzip_open(fd, path);

	assert_non_null(z);
	while ((r = gunzip_read(z, &part)) > 0)
		buf_add_span(&got, part);
	assert_int_equal(r, 0);
	assert_string_equal(buf_cstr(&got), want);
	gunzip_close(z);
	close(fd);
	buf_release(&got);
}

static void gzip_files_hold_the_same_lines(void **state)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink *s;

	o.gzip_level = 6;
	s = opened(&o);
	for (int i = 0; i < 3; i++)
		take(s, record(i));
	finish(s);
	assert_gunzips(at("p/00000001.jsonl.gz"), lines(0, 3));
	assert_int_equal(count("p/*.jsonl*"), 1);
	assert_clean();
}

/* ---- counts ---- */

static void assert_counts(int gzip_level, int first, const char *suffix)
{
	struct sink_options o = like(SINK_APPEND);
	struct sink_counts c;
	struct stat p, q;
	struct sink *s;

	o.gzip_level = gzip_level;
	s = opened(&o);
	take(s, START(0));
	take(s, record(first - 1));
	take(s, record(first));
	take(s, record_of("q", 0, first + 1));
	take(s, record(first + 2));
	c = sink_counts(s);
	assert_int_equal(c.in, 4);
	assert_int_equal(c.stored + c.files + c.commits, 0); /* not yet */
	assert_int_equal(c.bytes, 0);
	take(s, END);
	assert_int_equal(sink_end(s, false), 0);
	c = sink_counts(s);
	sink_close(s);
	assert_int_equal(c.in, 4);
	assert_int_equal(c.stored, 3);
	assert_int_equal(c.skipped, 1);
	assert_int_equal(c.ignored + c.rejected, 0);
	assert_int_equal(c.files, 2);
	assert_int_equal(c.commits, 1);
	assert_int_equal(stat(at("p/%s", suffix), &p), 0);
	assert_int_equal(stat(at("q/%s", suffix), &q), 0);
	assert_int_equal(c.bytes, p.st_size + q.st_size);
}

static void counts_say_what_became_of_every_line(void **state)
{
	fill(2);
	assert_counts(0, 2, "00000002.jsonl");
	assert_counts(6, 5, "00000003.jsonl.gz");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_sink, teardown_sink)
	const struct CMUnitTest tests[] = {
		T(with_interval_0_every_line_is_due_at_once),
		T(the_oldest_line_sets_the_deadline),
		T(a_tick_commits_when_the_time_has_come_and_not_before),
		T(a_position_mark_alone_is_worth_a_commit),
		T(what_is_skipped_waits_for_no_commit),
		T(snapshots_have_no_deadline),
		T(a_commit_comes_with_the_line_that_reaches_the_size),
		T(nothing_is_due_before_recreated_is_proven),
		T(append_commits_at_the_end_whatever_the_marks_say),
		T(a_run_without_anything_leaves_the_journal_alone),
		T(a_snapshot_is_published_only_when_the_stream_is_whole),
		T(overwrite_replaces_a_path_and_leaves_the_others),
		T(overwrite_never_skips_by_position),
		T(a_topic_that_ends_below_the_position_is_refused_at_the_end),
		T(ignore_leaves_paths_alone_that_have_files),
		T(a_root_gets_an_empty_snapshot_when_nothing_came),
		T(what_was_not_committed_goes_with_the_sink),
		T(what_came_before_a_bad_line_is_kept),
		T(nothing_is_kept_after_a_gap_or_a_step_back),
		T(snapshots_keep_nothing_after_a_bad_line),
		T(allow_gap_lets_a_gap_pass),
		T(a_last_line_without_newline_counts_when_it_is_whole),
		T(a_lake_that_cannot_be_opened_is_no_sink),
		T(positions_are_acknowledged_with_the_commit_and_not_before),
		T(what_was_stored_before_is_acknowledged_when_it_comes_again),
		T(without_acks_nothing_is_printed),
		T(a_commit_stands_though_it_cannot_be_acknowledged),
		T(a_failed_acknowledgement_is_told_after_the_bad_line),
		T(nothing_is_kept_when_the_disk_is_full),
		T(who_is_overtaken_commits_and_acknowledges_nothing),
		T(each_name_has_positions_of_its_own),
		T(a_second_pipeline_under_one_name_is_warned_about),
		T(rejects_are_kept_with_their_reason_and_move_the_position),
		T(a_path_that_the_file_system_will_not_have_is_a_reject),
		T(rejects_need_a_place),
		T(snapshots_need_a_place),
		T(the_reason_of_a_reject_is_always_text),
		T(what_is_stored_already_is_no_reject),
		T(a_broken_mark_is_never_a_reject),
		T(rejects_of_a_snapshot_do_not_replace_older_ones),
		T(record_is_the_line_without_its_path),
		T(payload_is_the_payload_alone),
		T(flat_is_the_payload_and_where_it_comes_from),
		T(only_an_object_can_be_flat),
		T(a_given_path_is_for_lines_that_have_none),
		T(gzip_files_hold_the_same_lines),
		T(counts_say_what_became_of_every_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
