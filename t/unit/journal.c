/* The library's headers first: cmocka.h has a macro named fail. */
#include "journal.h"
#include "gzip.h"
#include "json.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ODD "a \"b\"\\\n\t\xc3\xa9\xf0\x9f\x98\x80/\x01x"

static void assert_span(struct span is, struct span want)
{
	if (!span_eq(is, want))
		fail_msg("is \"%.*s\", should be \"%.*s\"", (int)is.n, is.p, (int)want.n, want.p);
}

/* A commit of two files, or of one. */
static void add_commit(struct buf *to, int64_t number, const char *name, bool one)
{
	struct journal_line l = { .commit = number };
	struct journal_position *p;
	struct journal_file *f;
	char tmp[2][32];

	for (int i = 0; i < 2; i++)
		snprintf(tmp[i], sizeof(tmp[i]), ".sluice-k3Xq9T-%d", (int)number * 2 + i);
	l.time = SPAN("2026-11-21T04:10:00.123Z");
	l.writer = SPAN("k3Xq9T");
	l.host = SPAN("h");
	l.name = (struct span){ name, strlen(name) };
	p = journal_add_position(&l);
	p->topic = (struct span){ ODD, sizeof(ODD) - 1 };
	p->partition = 3;
	p->from = number == 1 ? -1 : 100;
	p->next = 4200;
	p->last_offset = 4199;
	p->last_ts = 1763697600123;
	p = journal_add_position(&l);
	p->topic = SPAN("TX");
	p->next = INT64_MAX;
	f = journal_add_file(&l);
	f->file = SPAN("streams/TX/" ODD "/00000012.jsonl.gz");
	f->tmp = (struct span){ tmp[0], strlen(tmp[0]) };
	f->records = 4200;
	f->bytes = 88231;
	f->raw = 981002;
	f->min_ts = 0;
	f->max_ts = INT64_MAX - 1;
	f->crc32 = 0x0badcafe;
	if (!one) {
		f = journal_add_file(&l);
		f->file = SPAN("00000012.jsonl");
		f->tmp = (struct span){ tmp[1], strlen(tmp[1]) };
	}
	journal_add_remove(&l, SPAN("x/" ODD));
	journal_add_remove(&l, SPAN("y"));
	journal_format(&l, to);
	journal_line_release(&l);
}

static void add_snapshot(struct buf *to, int64_t number)
{
	struct journal_line l = { .snapshot = true, .commit = number };
	struct journal_position *p = journal_add_position(&l);

	l.previous = SPAN("journal.3");
	p->name = SPAN(ODD);
	p->topic = SPAN("TX");
	p->partition = INT32_MAX;
	p->next = 7;
	journal_format(&l, to);
	journal_line_release(&l);
}

/* A file that exists only as a descriptor. */
static int file_with(struct span s)
{
	FILE *f = tmpfile();
	int fd = dup(fileno(f));

	fclose(f);
	assert_int_equal(write(fd, s.p, s.n), s.n);
	return fd;
}

/* ---- one line ---- */

static void a_commit_is_read_as_it_was_written(void **state)
{
	struct buf b = BUF_INIT;
	struct journal_line l = { 0 };

	add_commit(&b, 12, ODD, false);
	assert_int_equal(b.data[b.len - 1], '\n');
	assert_null(memchr(b.data, '\n', b.len - 1));
	if (journal_parse(&l, (struct span){ b.data, b.len - 1 }) < 0)
		fail_msg("%s", fail_message());
	assert_false(l.snapshot);
	assert_int_equal(l.commit, 12);
	assert_span(l.time, SPAN("2026-11-21T04:10:00.123Z"));
	assert_span(l.writer, SPAN("k3Xq9T"));
	assert_span(l.host, SPAN("h"));
	assert_span(l.name, SPAN(ODD));
	assert_int_equal(l.positions, 2);
	assert_span(l.position[0].topic, SPAN(ODD));
	assert_int_equal(l.position[0].partition, 3);
	assert_int_equal(l.position[0].from, 100);
	assert_int_equal(l.position[0].next, 4200);
	assert_int_equal(l.position[0].last_offset, 4199);
	assert_int_equal(l.position[0].last_ts, 1763697600123);
	assert_span(l.position[1].topic, SPAN("TX"));
	assert_int_equal(l.position[1].from, -1);
	assert_int_equal(l.position[1].next, INT64_MAX);
	assert_int_equal(l.position[1].last_offset, -1);
	assert_int_equal(l.adds, 2);
	assert_span(l.add[0].file, SPAN("streams/TX/" ODD "/00000012.jsonl.gz"));
	assert_span(l.add[0].tmp, SPAN(".sluice-k3Xq9T-24"));
	assert_int_equal(l.add[0].records, 4200);
	assert_int_equal(l.add[0].bytes, 88231);
	assert_int_equal(l.add[0].raw, 981002);
	assert_int_equal(l.add[0].min_ts, 0);
	assert_int_equal(l.add[0].max_ts, INT64_MAX - 1);
	assert_int_equal(l.add[0].crc32, 0x0badcafe);
	assert_int_equal(l.add[1].min_ts, INT64_MAX);
	assert_int_equal(l.add[1].max_ts, INT64_MIN);
	assert_int_equal(l.removes, 2);
	assert_span(l.remove[0], SPAN("x/" ODD));
	assert_span(l.remove[1], SPAN("y"));
	journal_line_release(&l);
	buf_release(&b);
}

static void a_snapshot_is_read_as_it_was_written(void **state)
{
	struct buf b = BUF_INIT;
	struct journal_line l = { 0 };

	add_snapshot(&b, 99);
	assert_int_equal(journal_parse(&l, (struct span){ b.data, b.len - 1 }), 0);
	assert_true(l.snapshot);
	assert_int_equal(l.commit, 99);
	assert_span(l.previous, SPAN("journal.3"));
	assert_int_equal(l.positions, 1);
	assert_span(l.position[0].name, SPAN(ODD));
	assert_int_equal(l.position[0].partition, INT32_MAX);
	assert_int_equal(l.position[0].last_offset, -1);
	assert_int_equal(l.adds + l.removes, 0);
	journal_line_release(&l);
	buf_release(&b);
}

/* To the byte: other writers and readers are written after this. */
static void the_format_is_that_of_the_manual(void **state)
{
	struct journal_line l = { .commit = 12 };
	struct journal_position *p = journal_add_position(&l);
	struct journal_file *f = journal_add_file(&l);
	struct buf b = BUF_INIT, want = BUF_INIT;

	l.time = SPAN("2026-11-21T04:10:00.123Z");
	l.writer = SPAN("k3Xq9T");
	l.host = SPAN("a");
	l.name = SPAN("append");
	p->topic = SPAN("TX");
	p->from = 0;
	p->next = 4200;
	p->last_offset = 4199;
	p->last_ts = 1763697600123;
	p = journal_add_position(&l);
	p->topic = SPAN("TX");
	p->partition = 1;
	p->next = 5;
	f->file = SPAN("streams/TX/00000012.jsonl");
	f->tmp = SPAN(".sluice-k3Xq9T-4");
	f->records = 1;
	f->bytes = f->raw = 10;
	f->crc32 = 0xab;
	journal_format(&l, &b);
	buf_add_str(&want,
	    "{\"commit\":12,\"time\":\"2026-11-21T04:10:00.123Z\",\"writer\":\"k3Xq9T\",\"host\":\"a\","
	    "\"name\":\"append\",\"positions\":[{\"topic\":\"TX\",\"partition\":0,\"from\":0,"
	    "\"offset\":4200,\"last\":{\"offset\":4199,\"ts\":1763697600123}},"
	    "{\"topic\":\"TX\",\"partition\":1,\"from\":null,\"offset\":5}],"
	    "\"add\":[{\"file\":\"streams/TX/00000012.jsonl\",\"tmp\":\".sluice-k3Xq9T-4\","
	    "\"records\":1,\"bytes\":10,\"raw\":10,\"min_ts\":null,\"max_ts\":null,"
	    "\"crc32\":\"000000ab\"}],\"remove\":[]");
	buf_addf(&want, ",\"crc\":\"%08x\"}\n", crc32_bytes(0, want.data, want.len));
	assert_string_equal(buf_cstr(&b), buf_cstr(&want));
	assert_true(json_valid(b.data, b.len, NULL));
	journal_line_release(&l);
	buf_release(&b);
	buf_release(&want);
}

/* A line with a right crc, to see what else is looked at. */
static int parse_with_crc(const char *start)
{
	struct journal_line l = { 0 };
	struct buf b = BUF_INIT;
	int r;

	buf_add_str(&b, start);
	buf_addf(&b, ",\"crc\":\"%08x\"}", crc32_bytes(0, b.data, b.len));
	r = journal_parse(&l, buf_span(&b));
	journal_line_release(&l);
	buf_release(&b);
	return r;
}

static void members_of_later_versions_are_no_error(void **state)
{
	assert_int_equal(parse_with_crc(
			     "{\"commit\":1,\"new\":{\"a\":[1]},\"name\":\"n\",\"positions\":"
			     "[{\"topic\":\"T\",\"partition\":0,\"offset\":5,\"more\":1,"
			     "\"last\":{\"offset\":4,\"ts\":1,\"more\":[]}}],\"add\":[],\"remove\":[]"),
	    0);
	assert_int_equal(parse_with_crc("{\"commit\":1"), 0);
}

static void a_right_crc_alone_makes_no_line(void **state)
{
	static const char *const bad[] = { "{\"name\":\"n\"", "{\"commit\":\"1\"", "{\"commit\":-1",
		"{\"commit\":1.5", "[1", "{\"commit\":1,\"positions\":{}",
		"{\"commit\":1,\"positions\":[1]", "{\"commit\":1,\"positions\":[{}]",
		"{\"commit\":1,\"positions\":[{\"topic\":\"T\",\"partition\":0}]",
		"{\"commit\":1,\"positions\":[{\"topic\":\"T\",\"partition\":2147483648,\"offset\":1}]",
		"{\"commit\":1,\"positions\":[{\"topic\":5,\"partition\":0,\"offset\":1}]",
		"{\"commit\":1,\"positions\":[{\"topic\":\"T\",\"partition\":0,\"offset\":\"1\"}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\"}]", "{\"commit\":1,\"add\":[{\"tmp\":\"a\"}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"bytes\":true}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"crc32\":\"xyz\"}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"crc32\":\"0000000g\"}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"crc32\":\" 0000001\"}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"raw\":-1}]",
		"{\"commit\":1,\"add\":[{\"file\":\"a\",\"tmp\":\"b\",\"bytes\":9223372036854775807}]",
		"{\"commit\":9223372036854775807", "{\"snapshot\":9223372036854775807",
		"{\"commit\":1,\"remove\":[5]", "{\"commit\":1,\"remove\":\"a\"", "{\"commit\":1,}",
		"{\"commit\":x", "{\"commit\":1,\"positions\":[{\"topic\":x}]",
		"{\"commit\":1,\"positions\":[{\"last\":5}]",
		"{\"commit\":1,\"positions\":[{\"last\":{\"offset\":x}}]",
		"{\"commit\":1,\"positions\":[{\"last\":{\"offset\":\"1\"}}]",
		"{\"commit\":1,\"positions\":[{\"last\":{\"ts\":\"1\"}}]",
		"{\"commit\":1,\"add\":[5]", "{\"commit\":1,\"add\":[{\"file\":x}]" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse_with_crc(bad[i]) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(fail_code(), EXIT_DATA);
	}
}

/* ---- damage ---- */

struct names {
	struct buf text;
	int stop_after;
};

static bool collect(void *ctx, struct span file, struct span tmp)
{
	struct names *n = ctx;

	buf_addf(&n->text, "[%.*s|%.*s]", (int)file.n, file.p, (int)tmp.n, tmp.p);
	return --n->stop_after == 0;
}

static void names_are_found_in_a_damaged_line(void **state)
{
	struct names n = { .stop_after = -1 };
	struct buf b = BUF_INIT;

	add_commit(&b, 12, "append", false);
	b.data[3] ^= 1;
	assert_false(journal_each_name(buf_span(&b), collect, &n));
	assert_string_equal(buf_cstr(&n.text),
	    "[streams/TX/" ODD "/00000012.jsonl.gz|.sluice-k3Xq9T-24]"
	    "[00000012.jsonl|.sluice-k3Xq9T-25]");
	buf_clear(&n.text);
	n.stop_after = 1;
	assert_true(journal_each_name(buf_span(&b), collect, &n));
	buf_clear(&n.text);
	n.stop_after = -1;
	journal_each_name(SPAN("{\"file\":\"a\",\"t"), collect, &n);
	journal_each_name(SPAN("{\"file\":\"b\""), collect, &n);
	journal_each_name(SPAN("{\"file\":\"c\\\""), collect, &n);
	journal_each_name(SPAN("{\"file\":\"d"), collect, &n);
	journal_each_name(SPAN("{\"file\":"), collect, &n);
	journal_each_name(SPAN("{\"file\":\"e\",\"tmp\":\"x"), collect, &n);
	journal_each_name(SPAN("{\"file\":\"\",\"tmp\":\"x\""), collect, &n);
	journal_each_name(SPAN("{\"file\":\"\xff\",\"tmp\":\"x\""), collect, &n);
	assert_string_equal(buf_cstr(&n.text), "[a|][b|][e|]");
	buf_release(&n.text);
	buf_release(&b);
}

/* Every commit was done: no temporary name is left. */
static bool all_in_place(void *ctx, struct span file, struct span tmp)
{
	return true;
}

/* Nothing of the last line was done. */
static bool none_in_place(void *ctx, struct span file, struct span tmp)
{
	return false;
}

/* The writer of the last line, commit 14, died before it renamed anything: its temporary names are there. */
static bool temps_are_there(void *ctx, struct span file, struct span tmp)
{
	return tmp.n > 0 && !span_is(tmp, ".sluice-k3Xq9T-28") && !span_is(tmp, ".sluice-k3Xq9T-29");
}

#define LINES 4

/* Three commits behind a snapshot; end[i] is where line i ends. */
static void make_journal(struct buf *b, size_t end[LINES])
{
	add_snapshot(b, 11);
	end[0] = b->len;
	for (int i = 1; i < LINES; i++) {
		add_commit(b, 11 + i, i == 2 ? ODD : "append", false);
		end[i] = b->len;
	}
}

struct outcome {
	int lines;  /* that were accepted */
	int result; /* 0 or -1 */
	bool torn;
};

/* Reads it all; every line that is accepted must be one of the original, in order. */
static struct outcome read_all(struct span damaged, const struct buf *original,
    const size_t end[LINES], journal_name_fn *in_place)
{
	struct journal_line l = { 0 };
	struct journal_reader r;
	struct outcome o = { 0 };
	int fd = file_with(damaged);

	journal_reader_init(&r, fd, "journal");
	while ((o.result = journal_next(&r, &l, in_place, NULL)) > 0) {
		size_t start = o.lines ? end[o.lines - 1] : 0;

		assert_true(o.lines < LINES);
		assert_span(l.raw, (struct span){ original->data + start, end[o.lines] - start - 1 });
		o.lines++;
		assert_int_equal(r.at, end[o.lines - 1]);
	}
	o.torn = r.torn;
	if (o.result < 0)
		assert_int_equal(fail_code(), EXIT_DATA);
	journal_line_release(&l);
	journal_reader_release(&r);
	close(fd);
	return o;
}

static void no_changed_byte_is_ever_accepted(void **state)
{
	struct buf b = BUF_INIT;
	size_t end[LINES];

	make_journal(&b, end);
	for (size_t at = 0; at < b.len; at++) {
		for (int bit = 0; bit < 8; bit++) {
			struct outcome o;
			int line = 0;

			while (at >= end[line])
				line++;
			b.data[at] ^= (char)(1 << bit);
			{
				struct buf original = BUF_INIT;

				buf_add_span(&original, buf_span(&b));
				original.data[at] ^= (char)(1 << bit);
				o = read_all(buf_span(&b), &original, end, all_in_place);
				if (o.result != -1 || o.lines != line)
					fail_msg("byte %zu bit %d: %d lines, %d", at, bit, o.lines,
					    o.result);
				o = read_all(buf_span(&b), &original, end, temps_are_there);
				/* Rot in the last line of all cannot be told from a torn one. */
				if (o.lines != line || (line < LINES - 1 && o.result != -1) ||
				    (o.result == 0 && !o.torn))
					fail_msg("byte %zu bit %d: %d lines, %d", at, bit, o.lines,
					    o.result);
				buf_release(&original);
			}
			b.data[at] ^= (char)(1 << bit);
		}
	}
	buf_release(&b);
}

/* A good line behind it says so, though no file that it names is in place. */
static void damage_before_a_good_line_is_no_torn_end(void **state)
{
	struct buf b = BUF_INIT;
	size_t end[LINES];

	make_journal(&b, end);
	for (int line = 0; line < LINES - 1; line++) {
		struct outcome o;

		b.data[end[line] - 20] ^= 1;
		o = read_all(buf_span(&b), &b, end, none_in_place);
		assert_int_equal(o.result, -1);
		assert_int_equal(o.lines, line);
		b.data[end[line] - 20] ^= 1;
	}
	buf_release(&b);
}

static void a_line_cut_before_its_files_were_renamed_is_torn(void **state)
{
	struct buf b = BUF_INIT;
	size_t end[LINES];

	make_journal(&b, end);
	for (size_t n = 0; n < b.len; n++) {
		struct outcome o = read_all((struct span){ b.data, n }, &b, end, none_in_place);
		int lines = 0;

		while (n >= end[lines])
			lines++;
		assert_int_equal(o.lines, lines);
		assert_int_equal(o.result, 0);
		assert_int_equal(o.torn, n > (lines ? end[lines - 1] : 0));
	}
	buf_release(&b);
}

static void a_line_cut_after_its_files_were_renamed_is_rot(void **state)
{
	struct buf b = BUF_INIT;
	size_t end[LINES], named;

	make_journal(&b, end);
	named = (size_t)((char *)memmem(b.data + end[LINES - 2], end[LINES - 1] - end[LINES - 2],
			     ",\"records\"", 10) -
	    b.data);
	for (size_t n = named; n < b.len; n++) {
		struct outcome o = read_all((struct span){ b.data, n }, &b, end, all_in_place);

		assert_int_equal(o.lines, LINES - 1);
		assert_int_equal(o.result, -1);
		assert_non_null(strstr(fail_message(), "journal: line 4 (byte "));
	}
	buf_release(&b);
}

/* A power loss may keep the length of a file and lose its pages. */
static void zeros_at_the_end_are_torn(void **state)
{
	struct buf b = BUF_INIT;
	size_t end[LINES];
	struct outcome o;

	make_journal(&b, end);
	memset(b.data + end[LINES - 2], 0, b.len - end[LINES - 2]);
	o = read_all(buf_span(&b), &b, end, temps_are_there);
	assert_int_equal(o.result, 0);
	assert_int_equal(o.lines, LINES - 1);
	assert_true(o.torn);
	buf_release(&b);
}

/* ---- what was done ---- */

static void the_note_of_what_was_done_is_whole_or_none(void **state)
{
	struct buf b = BUF_INIT;

	journal_format_done(INT64_MAX - 1, &b);
	assert_true(journal_parse_done(buf_span(&b)) == INT64_MAX - 1);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(journal_parse_done((struct span){ b.data, n }), 0);
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] ^= (char)(1 << i % 8);
		assert_int_equal(journal_parse_done(buf_span(&b)), 0);
		b.data[i / 8] ^= (char)(1 << i % 8);
	}
	buf_clear(&b);
	journal_format_done(-3, &b);
	assert_int_equal(journal_parse_done(buf_span(&b)), 0);
	buf_clear(&b);
	add_commit(&b, 12, "append", true);
	assert_int_equal(journal_parse_done(buf_span(&b)), 0);
	buf_release(&b);
}

/* ---- reading ---- */

static void a_reader_goes_on_with_what_is_appended(void **state)
{
	struct journal_line l = { 0 };
	struct journal_reader r;
	struct buf b = BUF_INIT;
	size_t end[LINES], sent = 0;
	int fd = file_with(SPAN("")), lines = 0;

	make_journal(&b, end);
	journal_reader_init(&r, fd, "journal");
	while (sent < b.len) {
		size_t n = b.len - sent < 37 ? b.len - sent : 37;

		assert_int_equal(write(fd, b.data + sent, n), n);
		sent += n;
		while (journal_next(&r, &l, none_in_place, NULL) > 0)
			lines++;
		assert_int_equal(r.at, lines ? end[lines - 1] : 0);
		assert_int_equal(r.torn, (size_t)r.at != sent);
	}
	assert_int_equal(lines, LINES);
	journal_line_release(&l);
	journal_reader_release(&r);
	buf_release(&b);
	close(fd);
}

static bool newline_comes(void *ctx, struct span file, struct span tmp)
{
	int *fd = ctx;

	if (*fd >= 0)
		assert_int_equal(write(*fd, "\n", 1), 1);
	*fd = -1;
	return true;
}

/* A writer appends and renames while a reader that saw half of the line looks for the files. */
static void a_line_that_was_finished_meanwhile_is_read(void **state)
{
	struct journal_line l = { 0 };
	struct journal_reader r;
	struct buf b = BUF_INIT;
	int fd, late;

	add_commit(&b, 1, "append", true);
	fd = late = file_with((struct span){ b.data, b.len - 1 });
	journal_reader_init(&r, fd, "journal");
	assert_int_equal(journal_next(&r, &l, newline_comes, &late), 1);
	assert_int_equal(l.commit, 1);
	assert_int_equal(journal_next(&r, &l, all_in_place, NULL), 0);
	assert_false(r.torn);
	journal_line_release(&l);
	journal_reader_release(&r);
	buf_release(&b);
	close(fd);
}

static void what_cannot_be_read_is_an_io_error(void **state)
{
	struct journal_reader r;
	struct journal_line l = { 0 };
	int fd[2];

	assert_int_equal(pipe(fd), 0); /* has no places to read at */
	journal_reader_init(&r, fd[0], "journal");
	assert_int_equal(journal_next(&r, &l, NULL, NULL), -1);
	assert_int_equal(fail_code(), EXIT_IO);
	assert_non_null(strstr(fail_message(), "journal: "));
	journal_reader_release(&r);
	journal_line_release(&l);
	close(fd[0]);
	close(fd[1]);
}

static void lines_longer_than_a_block_are_read(void **state)
{
	struct journal_line l = { .commit = 1 }, in = { 0 };
	struct journal_reader r;
	struct buf b = BUF_INIT, name = BUF_INIT;
	int fd;

	for (int i = 0; i < 30000; i++) {
		struct journal_file *f = journal_add_file(&l);

		f->file = SPAN("streams/TX/year=2026/month=11/day=21/00000001.jsonl");
		f->tmp = SPAN(".sluice-k3Xq9T-1");
		f->records = i;
	}
	journal_format(&l, &b);
	l.commit = 2;
	journal_format(&l, &b);
	fd = file_with(buf_span(&b));
	journal_reader_init(&r, fd, "journal");
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(journal_next(&r, &in, all_in_place, NULL), 1);
		assert_int_equal(in.commit, i);
		assert_int_equal(in.adds, 30000);
		assert_int_equal(in.add[29999].records, 29999);
		assert_span(in.add[29999].tmp, SPAN(".sluice-k3Xq9T-1"));
	}
	assert_int_equal(journal_next(&r, &in, all_in_place, NULL), 0);
	journal_line_release(&l);
	journal_line_release(&in);
	journal_reader_release(&r);
	buf_release(&b);
	buf_release(&name);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_is_read_as_it_was_written),
		cmocka_unit_test(a_snapshot_is_read_as_it_was_written),
		cmocka_unit_test(the_format_is_that_of_the_manual),
		cmocka_unit_test(members_of_later_versions_are_no_error),
		cmocka_unit_test(a_right_crc_alone_makes_no_line),
		cmocka_unit_test(names_are_found_in_a_damaged_line),
		cmocka_unit_test(no_changed_byte_is_ever_accepted),
		cmocka_unit_test(damage_before_a_good_line_is_no_torn_end),
		cmocka_unit_test(a_line_cut_before_its_files_were_renamed_is_torn),
		cmocka_unit_test(a_line_cut_after_its_files_were_renamed_is_rot),
		cmocka_unit_test(zeros_at_the_end_are_torn),
		cmocka_unit_test(the_note_of_what_was_done_is_whole_or_none),
		cmocka_unit_test(a_reader_goes_on_with_what_is_appended),
		cmocka_unit_test(a_line_that_was_finished_meanwhile_is_read),
		cmocka_unit_test(what_cannot_be_read_is_an_io_error),
		cmocka_unit_test(lines_longer_than_a_block_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
