/* The library's headers first: cmocka.h has a macro named fail. */
#include "replay.h"
#include "positions.h"
#include "rng.h"
#include "sink.h"

#include "lakedir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define REC(path, topic, part, offset)                                                             \
	"{\"path\":\"" path "\",\"topic\":\"" topic "\",\"partition\":" #part                      \
	",\"offset\":" #offset ",\"payload\":1}\n"
#define START(topic, part, offset)                                                                 \
	"{\"mark\":{\"kind\":\"start\",\"topic\":\"" topic "\",\"partition\":" #part               \
	",\"offset\":" #offset "}}\n"
#define POSITION(topic, part, offset, more)                                                        \
	"{\"mark\":{\"kind\":\"position\",\"topic\":\"" topic "\",\"partition\":" #part            \
	",\"offset\":" #offset more "}}\n"
#define LAST(offset) ",\"last\":{\"offset\":" #offset ",\"ts\":-1}"
#define END(n)       "{\"mark\":{\"kind\":\"end\",\"records\":" #n "}}\n"

/* ---- a lake ---- */

static struct sink *sink_of(enum sink_mode mode, const char *name, int gzip_level)
{
	static struct writer none; /* no acks are asked for */
	struct sink_options o = { .dir = dir,
		.mode = mode,
		.name = name,
		.reject_path = "_rejects",
		.trust_eof = true,
		.allow_gap = true,
		.threads = 1,
		.gzip_level = gzip_level,
		.interval_ms = INT64_C(3600000),
		.size = INT64_C(1) << 30,
		.timeout_ms = 200 };
	struct sink *s = sink_open(&o, &none);

	if (!s)
		fail_msg("%s", fail_message());
	return s;
}

/* Each line of the text goes to the sink. */
static void take(struct sink *s, const char *text)
{
	uint64_t number = 0;

	while (*text) {
		const char *end = strchr(text, '\n');

		if (!end)
			end = text + strlen(text);
		if (sink_line(s, (struct span){ text, (size_t)(end - text) }, ++number, false) < 0)
			fail_msg("%s", fail_message());
		text = *end ? end + 1 : end;
	}
}

static void finish(struct sink *s)
{
	if (sink_end(s, false) < 0)
		fail_msg("%s", fail_message());
	sink_close(s);
}

/* One commit of these lines. */
static void add(enum sink_mode mode, const char *name, const char *text)
{
	struct sink *s = sink_of(mode, name, 0);

	take(s, text);
	finish(s);
}

static void append(const char *text)
{
	add(SINK_APPEND, NULL, text);
}

/* A commit that removes a file, as retention will make it. */
static void remove_file(const char *file)
{
	struct lake *l = lake_open(dir, &(struct lake_options){ .lock_timeout_ms = 200 });
	char *name = xstrdup(file);
	struct lake_commit c = { .name = "retention", .remove = &name, .remove_count = 1 };
	bool stands;

	assert_non_null(l);
	if (lake_commit(l, &c, &stands) < 0)
		fail_msg("%s", fail_message());
	lake_close(l);
	free(name);
}

/* ---- a replay ---- */

static struct replay *opened(struct replay_options o)
{
	struct replay *r;

	o.dir = dir;
	r = replay_open(&o);
	if (!r)
		fail_msg("%s", fail_message());
	return r;
}

static void assert_unopened(struct replay_options o, enum exit_code code, const char *why)
{
	struct replay *r;

	o.dir = dir;
	r = replay_open(&o);
	if (r)
		fail_msg("opened");
	assert_failure(code, why);
}

/* What the rest of a replay writes into top/out, and with what result; closes it. The text is the caller's. */
static char *rest(struct replay *r, int *result)
{
	const char *path = at("../out");
	struct progress progress = { 0 };
	struct writer out;
	char *text;
	size_t n;

	writer_init(&out, open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), 0);
	assert_true(out.fd >= 0);
	*result = replay_run(r, &out, &progress);
	assert_int_equal(writer_flush(&out), 0);
	close(out.fd);
	writer_release(&out);
	replay_close(r);
	text = read_file(path, &n);
	assert_non_null(text);
	return text;
}

static void assert_rest(struct replay *r, const char *want)
{
	int result;
	char *text = rest(r, &result);

	if (result < 0)
		fail_msg("%s", fail_message());
	assert_string_equal(text, want);
	free(text);
}

static void assert_replay(struct replay_options o, const char *want)
{
	assert_rest(opened(o), want);
}

/* What comes before it is written, then it fails. */
static void assert_fails(struct replay_options o, const char *want, enum exit_code code, const char *why)
{
	int result;
	char *text = rest(opened(o), &result);

	assert_int_equal(result, -1);
	assert_failure(code, why);
	assert_string_equal(text, want);
	free(text);
}

static const struct replay_options plain = { 0 }, marks = { .marks = true };

/* ---- order ---- */

static void files_of_a_commit_are_merged_by_offset(void **state)
{
	static const char run[] = REC("a", "TX", 0, 0) REC("b", "TX", 0, 1) REC("a", "TX", 0, 2)
	    REC("c", "TX", 0, 3) REC("b", "TX", 0, 5) REC("a", "TX", 0, 9);

	append(run);
	assert_int_equal(count("?/*.jsonl"), 3);
	assert_replay(plain, run);
}

static void every_partition_is_in_order_whatever_the_files(void **state)
{
	static const char first[] = REC("a", "TX", 0, 0) REC("b", "TX", 1, 0) REC("a", "TX", 1, 1)
	    REC("b", "TX", 0, 1) REC("b", "U", 0, 7) REC("a", "U", 0, 8);
	int result, last[3] = { -1, -1, -1 }, n = 0;
	char *text, *line, *next;

	append(first);
	text = next = rest(opened(plain), &result);
	assert_int_equal(result, 0);
	while (*(line = strsep(&next, "\n"))) {
		int part, offset, *seen;
		char topic[8], path[8];

		assert_int_equal(sscanf(line,
				     "{\"path\":\"%7[^\"]\",\"topic\":\"%7[^\"]\",\"partition\":%d,\"offset\":%d,",
				     path, topic, &part, &offset),
		    4);
		seen = &last[strcmp(topic, "U") == 0 ? 2 : part];
		assert_true(offset > *seen);
		*seen = offset;
		n++;
	}
	free(text);
	assert_int_equal(n, 6);
}

/*
 * Records of three partitions thrown at random into five paths and two commits: each partition comes back as it
 * went in, each record with its path; with many descriptors, with few and with gzip.
 */
static void assert_random_order(int gzip_level, size_t max_open)
{
	struct rng rng = rng_at(7, 1, (uint64_t)gzip_level);
	struct buf want[3] = { BUF_INIT, BUF_INIT, BUF_INIT },
		   got[3] = { BUF_INIT, BUF_INIT, BUF_INIT };
	char *text, *line, *next, record[128];
	int64_t offset[3] = { 0 };
	int result;

	for (int commit = 0; commit < 2; commit++) {
		struct sink *s = sink_of(SINK_APPEND, NULL, gzip_level);

		for (int i = 0; i < 400; i++) {
			uint32_t part = rng_below(&rng, 3);

			snprintf(record, sizeof(record),
			    "{\"path\":\"d=%d\",\"topic\":\"TX\",\"partition\":%d,\"offset\":%d,\"payload\":1}",
			    (int)rng_below(&rng, 5), (int)part, (int)offset[part]);
			offset[part] += 1 + rng_below(&rng, 3);
			take(s, record);
			buf_addf(&want[part], "%s\n", record);
		}
		finish(s);
	}
	text = next = rest(opened((struct replay_options){ .max_open = max_open }), &result);
	if (result < 0)
		fail_msg("%s", fail_message());
	while (*(line = strsep(&next, "\n"))) {
		const char *part = strstr(line, "\"partition\":");

		assert_non_null(part);
		buf_addf(&got[part[12] - '0'], "%s\n", line);
	}
	for (int i = 0; i < 3; i++) {
		assert_string_equal(buf_cstr(&got[i]), buf_cstr(&want[i]));
		buf_release(&got[i]);
		buf_release(&want[i]);
	}
	free(text);
}

static void random_runs_come_back_in_order(void **state)
{
	assert_random_order(0, 0);
}

static void random_runs_come_back_in_order_with_two_descriptors(void **state)
{
	assert_random_order(0, 2);
}

static void random_runs_come_back_in_order_from_gzip(void **state)
{
	assert_random_order(6, 0);
}

static void random_runs_come_back_in_order_from_gzip_with_two_descriptors(void **state)
{
	assert_random_order(6, 2);
}

static void commits_come_in_their_order(void **state)
{
	append(REC("z", "TX", 0, 0));
	append(REC("a", "TX", 0, 1));
	append(REC("z", "TX", 0, 2));
	assert_replay(plain, REC("z", "TX", 0, 0) REC("a", "TX", 0, 1) REC("z", "TX", 0, 2));
}

static void what_is_no_record_keeps_the_order_of_its_file(void **state)
{
	append("{\"path\":\"a\",\"n\":3}\n{\"path\":\"a\",\"n\":1}\n{\"path\":\"a\",\"n\":2}\n");
	assert_replay(plain,
	    "{\"path\":\"a\",\"n\":3}\n{\"path\":\"a\",\"n\":1}\n{\"path\":\"a\",\"n\":2}\n");
}

/* ---- lines ---- */

/* A payload of its own (-w payload) that could be mistaken for something else goes into a member. */
static void a_payload_that_looks_like_a_line_of_the_stream_is_wrapped(void **state)
{
	static const char payloads[] = "{\"path\":\"p\",\"payload\":{\"mark\":1}}\n"
				       "{\"path\":\"p\",\"payload\":{\"path\":\"q\"}}\n"
				       "{\"path\":\"p\",\"payload\":{\"payload\":1,\"a\":2}}\n"
				       "{\"path\":\"p\",\"payload\":[1]}\n"
				       "{\"path\":\"p\",\"payload\":\"x\"}\n";
	struct sink_options o = { .dir = dir,
		.shape = SINK_PAYLOAD,
		.threads = 1,
		.interval_ms = 1000000,
		.size = 1 << 20,
		.timeout_ms = 200 };
	struct writer none = { 0 };
	struct sink *s = sink_open(&o, &none);

	assert_non_null(s);
	take(s, payloads);
	take(s, "{\"path\":\"p\",\"payload\":{\"a\":1}}\n{\"path\":\"p\",\"payload\":{}}");
	finish(s);
	assert_text(at("p/00000001.jsonl"),
	    "{\"mark\":1}\n{\"path\":\"q\"}\n{\"payload\":1,\"a\":2}\n[1]\n\"x\"\n{\"a\":1}\n{}\n");
	{
		struct buf want = BUF_INIT;

		buf_add_str(&want, payloads);
		buf_add_str(&want, "{\"path\":\"p\",\"a\":1}\n{\"path\":\"p\"}\n");
		assert_replay(plain, buf_cstr(&want));
		buf_release(&want);
	}
}

static void a_copy_has_the_same_bytes_and_positions(void **state)
{
	static const char *const file[] = { "a/00000001.jsonl", "b/00000001.jsonl" };
	char *before[2], *stream;
	struct positions ps;
	const struct position *p;
	size_t n;
	int result;

	append(START("TX", 0, 0) REC("a", "TX", 0, 0) REC("b", "TX", 0,
	    4) "{\"path\":\"a\",\"n\" : 1.50}\n" POSITION("TX", 0, 9, "") END(3));
	for (int i = 0; i < 2; i++)
		before[i] = read_file(at("%s", file[i]), &n);
	stream = rest(opened(marks), &result);
	assert_int_equal(result, 0);
	snprintf(dir, sizeof(dir), "%s/copy", top);
	append(stream);
	for (int i = 0; i < 2; i++) {
		assert_non_null(before[i]);
		assert_text(at("%s", file[i]), before[i]);
		free(before[i]);
	}
	free(stream);
	positions_init(&ps, (struct positions_rules){ 0 });
	assert_int_equal(lake_read_positions(dir, "append", &ps), 0);
	p = positions_find(&ps, SPAN("TX"), 0);
	assert_non_null(p);
	assert_int_equal(p->next, 9);
	assert_int_equal(p->last_offset, 4);
	positions_release(&ps);
	assert_clean();
}

/* ---- marks ---- */

static void marks_say_where_each_commit_began_and_ended(void **state)
{
	append(START("TX", 0, 0) REC("a", "TX", 0, 3) POSITION("TX", 0, 8, ""));
	append(REC("a", "TX", 1, 5) REC("a", "TX", 0, 8));
	assert_replay(marks,
	    START("TX", 0, 3) REC("a", "TX", 0, 3) POSITION("TX", 0, 8, LAST(3)) START("TX", 1, 5)
		REC("a", "TX", 1, 5) REC("a", "TX", 0, 8) POSITION("TX", 0, 9, LAST(8))
		    POSITION("TX", 1, 6, LAST(5)) END(3));
	assert_replay(plain, REC("a", "TX", 0, 3) REC("a", "TX", 1, 5) REC("a", "TX", 0, 8));
}

static void a_commit_of_a_position_alone_is_a_mark(void **state)
{
	append(START("TX", 0, 2) POSITION("TX", 0, 8, ""));
	assert_replay(marks, START("TX", 0, 8) POSITION("TX", 0, 8, "") END(0));
	assert_replay(plain, "");
}

static void an_empty_lake_is_an_end_mark(void **state)
{
	lake_close(lake_open(dir, &(struct lake_options){ 0 }));
	assert_replay(marks, END(0));
	assert_replay(plain, "");
}

/* Retention took the beginning: the stream begins with what is there, and not below it. */
static void records_that_were_removed_leave_no_gap_behind_a_mark(void **state)
{
	append(REC("a", "TX", 0, 0));
	append(REC("a", "TX", 0, 1));
	append(REC("b", "TX", 0, 2));
	remove_file("a/00000001.jsonl");
	remove_file("a/00000002.jsonl");
	assert_replay(marks,
	    START("TX", 0, 2) POSITION("TX", 0, 2, LAST(1)) REC("b", "TX", 0, 2)
		POSITION("TX", 0, 3, LAST(2)) END(1));
}

/* ---- -N and -t ---- */

static void one_name_is_chosen_and_several_must_be(void **state)
{
	append(REC("a", "TX", 0, 0));
	add(SINK_APPEND, "other", REC("o", "TX", 0, 0) REC("o", "TX", 0, 1));
	assert_unopened(plain, EXIT_USAGE,
	    "TX was stored under the names \"append\" and \"other\": choose one with -N");
	assert_replay((struct replay_options){ .name = "append" }, REC("a", "TX", 0, 0));
	assert_replay((struct replay_options){ .name = "other", .marks = true },
	    START("TX", 0, 0) REC("o", "TX", 0, 0) REC("o", "TX", 0, 1)
		POSITION("TX", 0, 2, LAST(1)) END(2));
	assert_replay((struct replay_options){ .name = "nobody" }, "");
}

static void names_with_other_topics_are_no_trouble(void **state)
{
	append(REC("a", "TX", 0, 0));
	add(SINK_APPEND, "other", REC("o", "U", 0, 0));
	assert_replay(plain, REC("a", "TX", 0, 0) REC("o", "U", 0, 0));
}

static void only_the_topics_asked_for_come(void **state)
{
	const char *topic[] = { "U", "V" };
	struct replay_options o = { .topic = topic, .topics = 2, .marks = true };

	append("{\"path\":\"a\",\"n\":1}\n" REC("a", "TX", 0, 0) REC("a", "U", 0, 3)
		REC("a", "V", 2, 7) REC("b", "U", 0, 4));
	append(REC("a", "TX", 0, 1));
	assert_replay(o,
	    START("U", 0, 3) REC("a", "U", 0, 3) START("V", 2, 7) REC("a", "V", 2, 7)
		REC("b", "U", 0, 4) POSITION("U", 0, 5, LAST(4)) POSITION("V", 2, 8, LAST(7)) END(3));
	topic[0] = "none";
	o.topics = 1;
	assert_replay(o, END(0));
}

/* With -t another topic under two names is not asked about. */
static void several_names_of_another_topic_are_no_matter(void **state)
{
	const char *topic[] = { "U" };

	append(REC("a", "TX", 0, 0) REC("a", "U", 0, 0));
	add(SINK_APPEND, "other", REC("o", "TX", 0, 0));
	assert_replay((struct replay_options){ .topic = topic, .topics = 1 }, REC("a", "U", 0, 0));
}

/* ---- snapshots ---- */

#define SNAP(path, n) "{\"path\":\"" path "\",\"n\":" #n "}\n"

static void of_snapshots_the_latest_counts(void **state)
{
	add(SINK_OVERWRITE, NULL, SNAP("a", 1) SNAP("b", 1));
	add(SINK_OVERWRITE, NULL, SNAP("a", 2));
	assert_replay(plain, SNAP("b", 1) SNAP("a", 2));
	add(SINK_OVERWRITE, NULL, SNAP("b", 3));
	assert_replay(plain, SNAP("a", 2) SNAP("b", 3));
}

static void a_snapshot_replaced_meanwhile_is_read_as_it_was(void **state)
{
	struct replay *r;

	add(SINK_OVERWRITE, NULL, SNAP("a", 1) SNAP("b", 1));
	r = opened(plain);
	add(SINK_OVERWRITE, NULL, SNAP("a", 2) SNAP("b", 2));
	assert_rest(r, SNAP("a", 1) SNAP("b", 1));
}

static void too_many_snapshots_to_hold_are_tried_again_when_replaced(void **state)
{
	struct replay_options o = { .max_open = 2 };
	struct replay *r;
	char *text;
	int result;

	add(SINK_OVERWRITE, NULL, SNAP("a", 1) SNAP("b", 1) SNAP("c", 1));
	r = opened(o);
	add(SINK_OVERWRITE, NULL, SNAP("b", 22));
	text = rest(r, &result);
	assert_int_equal(result, -1);
	assert_failure(EXIT_TRYAGAIN, "b/snapshot.jsonl: was replaced by commit 2");
	free(text);
	assert_replay(o, SNAP("a", 1) SNAP("c", 1) SNAP("b", 22));
}

static void a_file_removed_meanwhile_is_passed_over(void **state)
{
	struct replay *r;

	append(REC("a", "TX", 0, 0) REC("b", "TX", 0, 1));
	append(REC("a", "TX", 0, 2));
	r = opened(plain);
	remove_file("a/00000001.jsonl");
	assert_rest(r, REC("b", "TX", 0, 1) REC("a", "TX", 0, 2));
}

/* ---- damage ---- */

/* Changes one byte of a file, so that the bit is wrong and the size right. */
static void rot(const char *path, const char *where, char byte)
{
	size_t n;
	char *text = read_file(path, &n), *found;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_non_null(text);
	assert_true(fd >= 0);
	found = strstr(text, where);
	assert_non_null(found);
	assert_int_not_equal(*found, byte);
	assert_int_equal(pwrite(fd, &byte, 1, found - text), 1);
	close(fd);
	free(text);
}

static void a_changed_byte_is_found(void **state)
{
	append(REC("a", "TX", 0, 0));
	append(REC("a", "TX", 0, 1) REC("b", "TX", 0, 2));
	append(REC("a", "TX", 0, 3));
	rot(at("b/00000002.jsonl"), "1}", '7');
	/* Two files are looked through before a line of theirs goes out. */
	assert_fails(marks, START("TX", 0, 0) REC("a", "TX", 0, 0) POSITION("TX", 0, 1, LAST(0)),
	    EXIT_DATA, "/lake/b/00000002.jsonl: ");
}

static void a_line_that_is_no_json_any_more_is_named(void **state)
{
	append("{\"path\":\"a\",\"n\":1}\n{\"path\":\"a\",\"n\":2}\n");
	rot(at("a/00000001.jsonl"), "2}", 'x');
	assert_fails(plain, "{\"path\":\"a\",\"n\":1}\n", EXIT_DATA, "/lake/a/00000001.jsonl:2: ");
}

static void a_cut_or_a_longer_file_is_found_before_its_first_line(void **state)
{
	struct stat st;

	append(REC("a", "TX", 0, 0) REC("a", "TX", 0, 1));
	assert_int_equal(stat(at("a/00000001.jsonl"), &st), 0);
	for (int change = -1; change <= 1; change += 2) {
		assert_int_equal(truncate(at("a/00000001.jsonl"), st.st_size + change), 0);
		assert_fails(plain, "", EXIT_DATA, "/lake/a/00000001.jsonl: ");
	}
	assert_int_equal(truncate(at("a/00000001.jsonl"), st.st_size), 0);
}

static void a_damaged_gzip_file_is_found(void **state)
{
	struct sink *s = sink_of(SINK_APPEND, NULL, 6);
	char byte;
	int fd;

	take(s, REC("a", "TX", 0, 0));
	finish(s);
	assert_replay(plain, REC("a", "TX", 0, 0));
	fd = open(at("a/00000001.jsonl.gz"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, 20), 1);
	byte = (char)(byte ^ 1);
	assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
	close(fd);
	{
		int result;
		char *text = rest(opened(plain), &result);

		assert_int_equal(result, -1);
		assert_failure(EXIT_DATA, "/lake/a/00000001.jsonl.gz");
		free(text);
	}
}

static void a_file_that_is_gone_is_damage(void **state)
{
	append(REC("a", "TX", 0, 0));
	append(REC("a", "TX", 0, 1));
	assert_int_equal(unlink(at("a/00000002.jsonl")), 0);
	assert_fails(plain, REC("a", "TX", 0, 0), EXIT_DATA, "/lake/a/00000002.jsonl: ");
}

static void before_a_damage_in_the_journal_all_is_written_but_no_end(void **state)
{
	append(REC("a", "TX", 0, 0));
	append(REC("a", "TX", 0, 1));
	append(REC("a", "TX", 0, 2));
	rot(at(".sluice/journal"), "\"commit\":2", 'x');
	assert_fails(marks, START("TX", 0, 0) REC("a", "TX", 0, 0) POSITION("TX", 0, 1, LAST(0)),
	    EXIT_DATA, "what comes before it was written");
}

static void what_is_no_lake_cannot_be_replayed(void **state)
{
	assert_unopened(plain, EXIT_DATA, "/lake");
	replay_close(NULL); /* what could not be opened may be closed */
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_unopened(plain, EXIT_DATA, "not a lake");
	assert_int_equal(count("[!.]*") + count(".sluice"), 0);
}

/* ---- how it ends ---- */

static void a_full_disk_is_the_writers_failure(void **state)
{
	struct progress progress = { 0 };
	struct replay *r;
	struct writer out;

	append(REC("a", "TX", 0, 0) REC("a", "TX", 0, 1));
	r = opened(plain);
	writer_init(&out, open("/dev/full", O_WRONLY | O_CLOEXEC), 1);
	assert_int_equal(replay_run(r, &out, &progress), 0);
	assert_true(out.failed);
	assert_failure(EXIT_IO, "No space left");
	assert_int_equal(replay_counts(r).records, 1);
	close(out.fd);
	writer_release(&out);
	replay_close(r);
}

static void a_full_disk_is_so_too_when_files_are_merged(void **state)
{
	struct progress progress = { 0 };
	struct replay *r;
	struct writer out;

	append(REC("a", "TX", 0, 0) REC("b", "TX", 0, 1));
	r = opened(plain);
	writer_init(&out, open("/dev/full", O_WRONLY | O_CLOEXEC), 1);
	assert_int_equal(replay_run(r, &out, &progress), 0);
	assert_true(out.failed);
	assert_int_equal(replay_counts(r).records, 1);
	close(out.fd);
	writer_release(&out);
	replay_close(r);
}

static void counts_are_of_what_was_read(void **state)
{
	const char *topic[] = { "U" };
	struct replay_options o = { .topic = topic, .topics = 1 };
	struct progress progress = { 0 };

	append(REC("a", "TX", 0, 0) REC("b", "TX", 0, 1));
	append(REC("a", "U", 0, 0) REC("a", "TX", 0, 2));
	for (int i = 0; i < 2; i++) {
		struct replay *r = opened(i ? o : marks);
		struct replay_counts c;
		struct writer out;

		assert_int_equal(replay_counts(r).total, i ? 2 : 4);
		assert_int_equal(replay_counts(r).records, 0);
		writer_init(&out, open("/dev/null", O_WRONLY | O_CLOEXEC), 0);
		assert_int_equal(replay_run(r, &out, &progress), 0);
		c = replay_counts(r);
		assert_int_equal(c.records, i ? 1 : 4);
		assert_int_equal(c.files, i ? 1 : 3);
		assert_int_equal(c.commits, i ? 1 : 2);
		close(out.fd);
		writer_release(&out);
		replay_close(r);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(files_of_a_commit_are_merged_by_offset),
		T(every_partition_is_in_order_whatever_the_files),
		T(random_runs_come_back_in_order),
		T(random_runs_come_back_in_order_with_two_descriptors),
		T(random_runs_come_back_in_order_from_gzip),
		T(random_runs_come_back_in_order_from_gzip_with_two_descriptors),
		T(commits_come_in_their_order),
		T(what_is_no_record_keeps_the_order_of_its_file),
		T(a_payload_that_looks_like_a_line_of_the_stream_is_wrapped),
		T(a_copy_has_the_same_bytes_and_positions),
		T(marks_say_where_each_commit_began_and_ended),
		T(a_commit_of_a_position_alone_is_a_mark),
		T(an_empty_lake_is_an_end_mark),
		T(records_that_were_removed_leave_no_gap_behind_a_mark),
		T(one_name_is_chosen_and_several_must_be),
		T(names_with_other_topics_are_no_trouble),
		T(only_the_topics_asked_for_come),
		T(several_names_of_another_topic_are_no_matter),
		T(of_snapshots_the_latest_counts),
		T(a_snapshot_replaced_meanwhile_is_read_as_it_was),
		T(too_many_snapshots_to_hold_are_tried_again_when_replaced),
		T(a_file_removed_meanwhile_is_passed_over),
		T(a_changed_byte_is_found),
		T(a_line_that_is_no_json_any_more_is_named),
		T(a_cut_or_a_longer_file_is_found_before_its_first_line),
		T(a_damaged_gzip_file_is_found),
		T(a_file_that_is_gone_is_damage),
		T(before_a_damage_in_the_journal_all_is_written_but_no_end),
		T(what_is_no_lake_cannot_be_replayed),
		T(a_full_disk_is_the_writers_failure),
		T(a_full_disk_is_so_too_when_files_are_merged),
		T(counts_are_of_what_was_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
