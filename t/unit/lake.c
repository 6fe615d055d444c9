/* The library's headers first: cmocka.h has a macro named fail. */
#include "lake.h"
#include "gzip.h"
#include "io.h"
#include "journal.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lakedir.h"

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void spew(const char *path, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text.p, text.n), 0);
	close(fd);
}

/* The last line of the journal, parsed; release both. */
static void last_line(struct journal_line *l, char **text)
{
	size_t n;
	char *start;

	*text = read_file(at(".sluice/journal"), &n);
	assert_non_null(*text);
	assert_true(n > 0 && (*text)[n - 1] == '\n');
	(*text)[n - 1] = '\0';
	start = strrchr(*text, '\n');
	start = start ? start + 1 : *text;
	*l = (struct journal_line){ 0 };
	if (journal_parse(l, (struct span){ start, strlen(start) }) < 0)
		fail_msg("%s", fail_message());
}

/* ---- writing ---- */

static struct lake *open_with(int64_t roll_bytes)
{
	struct lake_options o = { .lock_timeout_ms = 200, .roll_bytes = roll_bytes };

	return lake_open(dir, &o);
}

static struct lake *opened(void)
{
	struct lake *l = open_with(0);

	if (!l)
		fail_msg("%s", fail_message());
	return l;
}

static struct lake_file temp_with(struct lake *l, const char *path, const char *text)
{
	struct lake_file f = { .min_ts = INT64_MAX, .max_ts = INT64_MIN };
	int fd;

	f.temp = lake_temp(l, (struct span){ path, strlen(path) }, &fd);
	if (f.temp < 0)
		fail_msg("%s", fail_message());
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fsync(fd), 0);
	close(fd);
	f.records = 1;
	f.bytes = f.raw = (int64_t)strlen(text);
	f.crc32 = crc32_bytes(0, text, strlen(text));
	return f;
}

static void move_to(struct positions *ps, int64_t offset)
{
	struct line line = { .kind = LINE_RECORD,
		.topic = SPAN("TX"),
		.offset = offset - 1,
		.has_ts = true,
		.ts = 1000 + offset };

	assert_int_equal(positions_record(ps, &line), POSITION_STORE);
}

/* One commit of some files; the position of TX/0 moves to `offset`. */
static int commit_files(struct lake *l, const char *name, int64_t offset,
    const struct lake_file *add, size_t adds, bool *stands)
{
	struct lake_commit c = { .name = name, .add = add, .add_count = adds };
	struct positions ps;
	struct position **moved;
	int r;

	positions_init(&ps, (struct positions_rules){ .allow_gap = true });
	lake_positions(l, name, &ps);
	move_to(&ps, offset);
	c.position_count = positions_moved(&ps, &moved);
	c.positions = moved;
	r = lake_commit(l, &c, stands);
	free(moved);
	positions_release(&ps);
	return r;
}

static void commit(struct lake *l, const char *path, int64_t offset)
{
	char text[64];
	struct lake_file f;
	bool stands;

	snprintf(text, sizeof(text), "{\"to\":%d}\n", (int)offset);
	f = temp_with(l, path, text);
	if (commit_files(l, "append", offset, &f, 1, &stands) < 0)
		fail_msg("%s", fail_message());
	assert_true(stands);
}

static int64_t position_in(struct lake *l, const char *name)
{
	struct positions ps;
	const struct position *p;
	int64_t next;

	positions_init(&ps, (struct positions_rules){ 0 });
	lake_positions(l, name, &ps);
	p = positions_find(&ps, SPAN("TX"), 0);
	next = p ? p->next : -1;
	positions_release(&ps);
	return next;
}

static void assert_open_fails(enum exit_code code, const char *why)
{
	struct lake *l = open_with(0);

	if (l)
		fail_msg("opened");
	assert_int_equal(fail_code(), code);
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
}

/* ---- commits ---- */

static void a_commit_is_visible_and_remembered(void **state)
{
	struct lake *l = opened();
	struct lake_file add[2];
	bool stands;

	assert_int_equal(position_in(l, "append"), -1);
	add[0] = temp_with(l, "streams/TX/day=1", "{\"a\":1}\n");
	add[1] = temp_with(l, "x", "{\"b\":1}\n");
	add[1].gzip = true;
	assert_int_equal(count("streams/TX/day=1/.sluice-*"), 1);
	assert_int_equal(count("streams/TX/day=1/*.jsonl"), 0);
	assert_int_equal(commit_files(l, "append", 5, add, 2, &stands), 0);
	assert_true(stands);
	assert_text(at("streams/TX/day=1/00000001.jsonl"), "{\"a\":1}\n");
	assert_text(at("x/00000001.jsonl.gz"), "{\"b\":1}\n");
	assert_int_equal(count("x/.sluice-*") + count("streams/TX/day=1/.sluice-*"), 0);
	assert_int_equal(position_in(l, "append"), 5);
	assert_int_equal(position("append", 0), 5);
	assert_int_equal(position("other", 0), -1);
	lake_close(l);
	l = opened();
	assert_int_equal(position_in(l, "append"), 5);
	commit(l, "x", 7);
	assert_text(at("x/00000002.jsonl"), "{\"to\":7}\n");
	lake_close(l);
	assert_int_equal(count(".sluice/writers/[!.]*"), 0);
}

static void what_is_not_committed_goes_with_its_writer(void **state)
{
	struct lake *l = opened();

	temp_with(l, "a", "x");
	lake_temp_drop(l, temp_with(l, "b", "x").temp);
	assert_int_equal(count("a/.sluice-*"), 1);
	assert_int_equal(count("b/.sluice-*"), 0);
	assert_int_equal(count(".sluice/writers/[!.]*"), 1);
	lake_close(l);
	assert_int_equal(count("a/.sluice-*"), 0);
	assert_int_equal(count(".sluice/writers/[!.]*"), 0);
	assert_clean();
}

static void a_temporary_file_can_be_opened_again_for_appending(void **state)
{
	struct lake *l = opened();
	struct lake_file f = temp_with(l, "a/b", "one\n");
	bool stands;
	int fd = lake_temp_reopen(l, f.temp);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "two\n", 4), 4);
	close(fd);
	f.bytes = f.raw = 8;
	f.records = 2;
	f.crc32 = crc32_bytes(0, "one\ntwo\n", 8);
	assert_int_equal(commit_files(l, "append", 1, &f, 1, &stands), 0);
	assert_text(at("a/b/00000001.jsonl"), "one\ntwo\n");
	lake_close(l);
	assert_clean();
}

static void a_long_running_writer_keeps_its_list_short(void **state)
{
	struct lake *l = opened();
	struct stat st;
	glob_t g;
	off_t head;

	assert_int_equal(glob(at(".sluice/writers/[!.]*"), 0, NULL, &g), 0);
	assert_int_equal(stat(g.gl_pathv[0], &st), 0);
	head = st.st_size;
	for (int i = 1; i <= 50; i++)
		commit(l, "a", i);
	assert_int_equal(stat(g.gl_pathv[0], &st), 0);
	assert_int_equal(st.st_size, head);
	globfree(&g);
	lake_close(l);
	assert_clean();
}

static void snapshots_replace_and_remove_the_others(void **state)
{
	struct lake *l = opened();
	struct lake_commit c = { .name = "overwrite", .add_count = 1, .remove_others = true };
	struct lake_file f;
	bool stands;

	commit(l, "t", 1);
	commit(l, "u", 2);
	for (int i = 0; i < 2; i++) {
		f = temp_with(l, "t", i ? "{\"new\":2}\n" : "{\"new\":1}\n");
		f.snapshot = true;
		c.add = &f;
		assert_int_equal(lake_commit(l, &c, &stands), 0);
		assert_text(at("t/snapshot.jsonl"), i ? "{\"new\":2}\n" : "{\"new\":1}\n");
		assert_false(there(at("t/00000001.jsonl")));
		assert_true(there(at("u/00000002.jsonl")));
	}
	lake_close(l);
	assert_clean();
}

static void files_can_be_removed(void **state)
{
	char *gone[] = { (char *)"a/00000001.jsonl", (char *)"never/there.jsonl" };
	struct lake_commit c = { .name = "retention", .remove = gone, .remove_count = 2 };
	struct lake *l = opened();
	struct lake_catalog catalog;
	bool stands;

	commit(l, "a", 1);
	commit(l, "a", 2);
	assert_int_equal(lake_commit(l, &c, &stands), 0);
	assert_false(there(at("a/00000001.jsonl")));
	lake_close(l);
	assert_clean();
	assert_int_equal(lake_catalog_read(dir, &catalog), 0);
	assert_int_equal(catalog.count, 2);
	assert_false(catalog.entry[0].live);
	assert_true(catalog.entry[1].live);
	lake_catalog_release(&catalog);
}

static void a_file_in_the_place_of_a_new_one_stops_the_commit(void **state)
{
	struct lake *l = opened();
	struct lake_file f = temp_with(l, "a", "new\n");
	bool stands;

	spew(at("a/00000001.jsonl"), SPAN("strange\n"));
	assert_int_equal(commit_files(l, "append", 5, &f, 1, &stands), -1);
	assert_int_equal(fail_code(), EXIT_CANTCREAT);
	assert_false(stands);
	assert_int_equal(position("append", 0), -1);
	lake_close(l);
	assert_text(at("a/00000001.jsonl"), "strange\n");
}

/* ---- two writers ---- */

static void the_writer_that_comes_late_is_fenced(void **state)
{
	struct lake *a = opened(), *b = opened();
	struct lake_file f = temp_with(a, "a", "from a\n"), g = temp_with(b, "a", "from b\n");
	bool stands;

	assert_int_equal(commit_files(a, "append", 5, &f, 1, &stands), 0);
	assert_int_equal(commit_files(b, "append", 3, &g, 1, &stands), -1);
	assert_int_equal(fail_code(), EXIT_TRYAGAIN);
	assert_non_null(strstr(fail_message(), "TX/0: another writer of the name \"append\""));
	assert_false(stands);
	assert_int_equal(count("a/*.jsonl"), 1);
	lake_close(b);
	commit(a, "a", 8);
	lake_close(a);
	assert_int_equal(count("a/.sluice-*"), 0);
	assert_clean();
}

static void writers_of_other_names_are_no_matter(void **state)
{
	struct lake *a = opened(), *b = opened();
	struct lake_file f, g;
	bool stands;

	for (int i = 1; i <= 10; i++) {
		f = temp_with(a, "p", "from a\n");
		g = temp_with(b, "p", "from b\n");
		assert_int_equal(commit_files(a, "a", i * 5, &f, 1, &stands), 0);
		assert_int_equal(commit_files(b, "b", i * 3, &g, 1, &stands), 0);
	}
	assert_int_equal(position("a", 0), 50);
	assert_int_equal(position("b", 0), 30);
	assert_int_equal(position_in(b, "a"), 50); /* seen on the way */
	lake_close(a);
	lake_close(b);
	assert_int_equal(count("p/*.jsonl"), 20);
	assert_clean();
}

static void the_lock_is_waited_for_and_then_not(void **state)
{
	struct lake *l = opened();
	struct lake_file f = temp_with(l, "a", "x\n");
	int fd = open(at(".sluice/lock"), O_RDWR);
	bool stands;

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(commit_files(l, "append", 5, &f, 1, &stands), -1);
	assert_int_equal(fail_code(), EXIT_TRYAGAIN);
	assert_false(stands);
	assert_open_fails(EXIT_TRYAGAIN, ".sluice/lock");
	close(fd);
	assert_int_equal(commit_files(l, "append", 5, &f, 1, &stands), 0);
	lake_close(l);
}

/* ---- the last commit, whatever became of it ---- */

/* Makes it as if the writer had died right after the journal line was durable. */
static void undo_rename(struct journal_line *l, char **text)
{
	last_line(l, text);
	for (size_t i = 0; i < l->adds; i++) {
		struct span file = l->add[i].file;
		const char *slash = memrchr(file.p, '/', file.n);

		assert_int_equal(rename(at("%.*s", (int)file.n, file.p),
				     at("%.*s/%.*s", (int)(slash - file.p), file.p,
					 (int)l->add[i].tmp.n, l->add[i].tmp.p)),
		    0);
	}
}

static void setup_last(struct journal_line *line, char **text)
{
	struct lake *l = opened();
	struct lake_file add[2];
	bool stands;

	commit(l, "a", 1);
	add[0] = temp_with(l, "a", "one\n");
	add[1] = temp_with(l, "b/c", "two\n");
	assert_int_equal(commit_files(l, "append", 9, add, 2, &stands), 0);
	lake_close(l);
	undo_rename(line, text);
	assert_int_equal(count("a/*.jsonl"), 1);
	assert_int_equal(count("b/c/*.jsonl"), 0);
}

static void assert_last_is_done(void)
{
	assert_text(at("a/00000002.jsonl"), "one\n");
	assert_text(at("b/c/00000002.jsonl"), "two\n");
	assert_int_equal(count("a/.sluice-*") + count("b/c/.sluice-*"), 0);
	assert_clean();
}

static void a_commit_without_renames_is_finished_by_who_opens(void **state)
{
	struct journal_line line;
	char *text;

	setup_last(&line, &text);
	assert_int_equal(position("append", 0), 9); /* it counts already */
	assert_clean();
	lake_close(opened());
	assert_last_is_done();
	journal_line_release(&line);
	free(text);
}

static void a_commit_without_renames_is_finished_before_the_next(void **state)
{
	struct lake *l = opened();
	struct journal_line line;
	struct lake_file f;
	char *text;
	bool stands;

	setup_last(&line, &text);
	f = temp_with(l, "a", "of another\n"); /* opened before; its own commit comes third */
	assert_int_equal(commit_files(l, "other", 12, &f, 1, &stands), 0);
	assert_last_is_done();
	assert_text(at("a/00000003.jsonl"), "of another\n");
	lake_close(l);
	journal_line_release(&line);
	free(text);
}

static void half_of_the_renames_are_made_good(void **state)
{
	struct journal_line line;
	char *text;

	setup_last(&line, &text);
	assert_int_equal(rename(at("a/%.*s", (int)line.add[0].tmp.n, line.add[0].tmp.p),
			     at("a/00000002.jsonl")),
	    0);
	lake_close(opened());
	assert_last_is_done();
	journal_line_release(&line);
	free(text);
}

/* link and unlink, where a file system renames like that. */
static void both_names_of_one_file_are_made_one(void **state)
{
	struct journal_line line;
	char *text;

	setup_last(&line, &text);
	assert_int_equal(link(at("a/%.*s", (int)line.add[0].tmp.n, line.add[0].tmp.p),
			     at("a/00000002.jsonl")),
	    0);
	lake_close(opened());
	assert_last_is_done();
	journal_line_release(&line);
	free(text);
}

static void a_file_under_neither_name_is_damage_until_repair(void **state)
{
	struct journal_line line;
	struct lake *l;
	char *text;

	setup_last(&line, &text);
	assert_int_equal(unlink(at("a/%.*s", (int)line.add[0].tmp.n, line.add[0].tmp.p)), 0);
	assert_open_fails(EXIT_DATA,
	    "a/00000002.jsonl: the journal has it, but neither it nor its temporary file");
	assert_int_equal(count("b/c/.sluice-*"), 1); /* nothing is lost meanwhile */
	assert_int_equal(lake_repair(dir), 0);
	assert_int_equal(position("append", 0), 1);
	assert_clean();
	l = opened();
	commit(l, "a", 9);
	lake_close(l);
	assert_text(at("a/00000002.jsonl"), "{\"to\":9}\n");
	assert_clean();
	journal_line_release(&line);
	free(text);
}

static void a_lost_directory_is_damage_too(void **state)
{
	struct journal_line line;
	char *text;

	setup_last(&line, &text);
	assert_int_equal(unlink(at("b/c/%.*s", (int)line.add[1].tmp.n, line.add[1].tmp.p)), 0);
	assert_int_equal(rmdir(at("b/c")), 0);
	assert_open_fails(EXIT_DATA, "its directory is not there");
	assert_int_equal(lake_repair(dir), 0);
	assert_int_equal(position("append", 0), 1);
	assert_clean();
	journal_line_release(&line);
	free(text);
}

static void removals_are_redone(void **state)
{
	char *gone[] = { (char *)"a/00000001.jsonl", (char *)"away/00000001.jsonl" };
	struct lake_commit c = { .name = "retention", .remove = gone, .remove_count = 2 };
	struct lake *l = opened();
	bool stands;

	commit(l, "a", 1);
	assert_int_equal(lake_commit(l, &c, &stands), 0);
	lake_close(l);
	spew(at("a/00000001.jsonl"), SPAN("{\"to\":1}\n"));
	assert_clean(); /* it is being removed */
	lake_close(opened());
	assert_false(there(at("a/00000001.jsonl")));
	assert_clean();
}

static void a_snapshot_that_was_not_renamed_is(void **state)
{
	struct lake *l = opened();
	struct lake_commit c = { .name = "overwrite", .add_count = 1, .remove_others = true };
	struct journal_line line;
	struct lake_file f;
	char *text;
	bool stands;

	for (int i = 0; i < 2; i++) {
		f = temp_with(l, "t", i ? "new\n" : "old\n");
		f.snapshot = true;
		c.add = &f;
		assert_int_equal(lake_commit(l, &c, &stands), 0);
	}
	lake_close(l);
	undo_rename(&line, &text);
	spew(at("t/snapshot.jsonl"), SPAN("old\n"));
	lake_close(opened());
	assert_text(at("t/snapshot.jsonl"), "new\n");
	assert_int_equal(count("t/.sluice-*"), 0);
	assert_clean();
	journal_line_release(&line);
	free(text);
}

/* ---- the tail of the journal ---- */

static void append_to_journal(struct span text)
{
	int fd = open(at(".sluice/journal"), O_WRONLY | O_APPEND);

	assert_int_equal(write_all(fd, text.p, text.n), 0);
	close(fd);
}

/* A line that was forged, with a crc that is right: it names a file, its temporary name, and one to be removed. */
static void forge(int64_t commit, const char *file, const char *tmp, const char *remove)
{
	struct journal_line l = { .commit = commit, .name = SPAN("append") };
	struct buf text = BUF_INIT;
	struct journal_file *f;

	if (file) {
		f = journal_add_file(&l);
		f->file = (struct span){ file, strlen(file) };
		f->tmp = (struct span){ tmp, strlen(tmp) };
	}
	if (remove)
		journal_add_remove(&l, (struct span){ remove, strlen(remove) });
	journal_format(&l, &text);
	append_to_journal(buf_span(&text));
	buf_release(&text);
	journal_line_release(&l);
}

static void a_line_touches_nothing_but_data_files(void **state)
{
	static const char *const name[][3] = { { "a/00000002.jsonl", "../../victim", NULL },
		{ "a/00000002.jsonl", "../.sluice/lock", NULL },
		{ "../victim", ".sluice-x-1", NULL }, { ".sluice/journal", ".sluice-x-1", NULL },
		{ NULL, NULL, ".sluice/journal" }, { NULL, NULL, "../victim" },
		{ NULL, NULL, "a/.sluice-x-1" }, { NULL, NULL, "a" }, { NULL, NULL, "" } };

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		struct lake *l = opened();
		char victim[128];

		commit(l, "a", 1);
		lake_close(l);
		snprintf(victim, sizeof(victim), "%s/victim", top);
		spew(victim, SPAN("v\n"));
		spew(at("a/.sluice-x-1"), SPAN("x\n"));
		forge(2, name[i][0], name[i][1], name[i][2]);
		assert_open_fails(EXIT_DATA, "which no writer of a lake names");
		assert_int_equal(lake_repair(dir), -1);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_text(victim, "v\n");
		assert_true(there(at(".sluice/journal")) && there(at(".sluice/lock")));
		assert_true(there(at("a/.sluice-x-1")) && there(at("a/00000001.jsonl")));
		teardown(NULL);
		setup(NULL);
	}
}

/* An earlier line is done, whatever it says; but repair looks at what it names. */
static void repair_moves_nothing_but_data_files(void **state)
{
	struct lake *l = opened();

	commit(l, "a", 1);
	lake_close(l);
	forge(2, ".sluice/journal", ".sluice-x-1", NULL);
	forge(3, NULL, NULL, NULL);
	lake_close(opened());
	assert_int_equal(lake_repair(dir), 0);
	assert_true(there(at(".sluice/journal")));
	assert_int_equal(position("append", 0), 1);
	lake_close(opened());
}

static void only_data_files_can_be_removed(void **state)
{
	char *file[] = { (char *)".sluice/journal" };
	struct lake_commit c = { .name = "retention", .remove = file, .remove_count = 1 };
	struct lake *l = opened();
	bool stands;

	assert_int_equal(lake_commit(l, &c, &stands), -1);
	assert_false(stands);
	lake_close(l);
	lake_close(opened());
	assert_clean();
}

static void a_torn_line_is_ignored_and_cut(void **state)
{
	struct lake *l = opened(), *other;
	struct stat before, after;
	struct lake_file f;

	commit(l, "a", 5);
	assert_int_equal(stat(at(".sluice/journal"), &before), 0);
	f = temp_with(l, "a", "x\n"); /* of a commit that was torn in the middle of its line */
	append_to_journal(SPAN("{\"commit\":2,\"add\":[{\"file\":\"a/0000"));
	assert_int_equal(position("append", 0), 5);
	assert_clean();
	other = opened();
	assert_int_equal(stat(at(".sluice/journal"), &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(position_in(other, "append"), 5);
	append_to_journal(
	    SPAN("{\"commit\":2,\"ti\n{}\n\xe9\n{\"commit\":")); /* stale blocks may be behind it */
	assert_int_equal(position("append", 0), 5);
	assert_clean();
	commit(l, "b", 7); /* a writer that runs cuts it as well */
	assert_int_equal(position("append", 0), 7);
	lake_temp_drop(l, f.temp);
	lake_close(other);
	lake_close(l);
	assert_clean();
}

static void a_last_line_that_was_done_and_lost_its_crc_is_rot(void **state)
{
	struct lake *l = opened();
	struct stat st;
	int fd;

	commit(l, "a", 5);
	lake_close(l);
	assert_int_equal(stat(at(".sluice/journal"), &st), 0);
	/* The newline, then a digit of the crc. */
	for (off_t back = 1; back <= 5; back += 4) {
		fd = open(at(".sluice/journal"), O_RDWR);
		assert_int_equal(pwrite(fd, "?", 1, st.st_size - back), 1);
		close(fd);
		assert_open_fails(EXIT_DATA, "damaged");
	}
	assert_int_equal(lake_repair(dir), 0);
	assert_int_equal(position("append", 0), -1);
	assert_int_equal(count(".sluice/damaged/*00000001*"), 1);
	assert_clean();
}

/* Why a read of the positions fails; "": it does not. */
static const char *reading_fails(void)
{
	struct positions ps;
	int r;

	positions_init(&ps, (struct positions_rules){ 0 });
	r = lake_read_positions(dir, "append", &ps);
	positions_release(&ps);
	if (r == 0)
		return "";
	assert_int_equal(fail_code(), EXIT_DATA);
	return fail_message();
}

/* Whatever byte it is, the names of its files too, or if it has no files that could tell. */
static void no_bit_of_a_last_line_that_was_done_rots_unnoticed(void **state)
{
	for (int files = 0; files < 2; files++) {
		struct lake *l = opened();
		struct stat first, st;
		bool stands;
		size_t n;
		char *text;

		commit(l, "a", 5);
		assert_int_equal(stat(at(".sluice/journal"), &first), 0);
		if (files)
			commit(l, "a", 9);
		else
			assert_int_equal(commit_files(l, "append", 9, NULL, 0, &stands), 0);
		lake_close(l);
		text = read_file(at(".sluice/journal"), &n);
		for (size_t i = (size_t)first.st_size; i < n; i++) {
			text[i] ^= (char)(1 << i % 8);
			spew(at(".sluice/journal"), (struct span){ text, n });
			if (open_with(0) || fail_code() != EXIT_DATA ||
			    !strstr(fail_message(), "damaged"))
				fail_msg("%d files, byte %zu: %s", files, i, fail_message());
			if (i % 50 == 0)
				assert_non_null(strstr(reading_fails(), "damaged"));
			text[i] ^= (char)(1 << i % 8);
		}
		assert_int_equal(stat(at(".sluice/journal"), &st), 0);
		assert_int_equal(st.st_size, n);
		free(text);
		assert_int_equal(lake_repair(dir), 0);
		assert_int_equal(position("append", 0), 5);
		assert_int_equal(teardown(NULL) | setup(NULL), 0);
	}
}

static void lines_that_the_end_of_the_journal_has_lost_are_missed(void **state)
{
	struct lake *l = opened();
	struct lake_check check;
	struct stat first;

	commit(l, "a", 5);
	assert_int_equal(stat(at(".sluice/journal"), &first), 0);
	commit(l, "a", 9);
	commit(l, "b", 12);
	assert_int_equal(truncate(at(".sluice/journal"), first.st_size), 0);
	lake_close(l);
	assert_open_fails(EXIT_DATA, "commit 3 was done");
	assert_non_null(strstr(reading_fails(), "commit 3 was done"));
	assert_int_equal(lake_check(dir, &check), -1);
	assert_int_equal(lake_repair(dir), 0);
	assert_clean();
	assert_int_equal(count(".sluice/damaged/*00000002*"), 1);
	assert_int_equal(count(".sluice/damaged/*00000003*"), 1);
	l = opened();
	assert_int_equal(position_in(l, "append"), 5);
	commit(l, "a", 9); /* the number and the names are free again */
	lake_close(l);
	assert_clean();
	unlink(at(".sluice/journal"));
	assert_open_fails(EXIT_DATA, "missing, though commit 2 was done");
	assert_non_null(strstr(reading_fails(), "commit 2 was done"));
	assert_int_equal(lake_repair(dir), -1);
	assert_false(there(at(".sluice/journal")));
}

/* It is never fsynced: a power loss may leave an older one, none, or bytes of both. */
static void a_lost_note_of_what_was_done_stops_nobody(void **state)
{
	static const struct span left[] = { SPAN(""), SPAN("\0\0\0\0"),
		SPAN("{\"done\":9,\"crc\":\"00000000\"}\n"),
		SPAN("{\"done\":1,\"crc\":\"b1d0b5c9\"}"), SPAN("{\"commit\":7") };
	struct lake *l = opened();

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		commit(l, "a", (int64_t)i + 1);
		spew(at(".sluice/lock"), left[i]);
		lake_close(l);
		assert_clean();
		l = opened(); /* notes it anew */
		assert_int_equal(position_in(l, "append"), (int64_t)i + 1);
		assert_true(count(".sluice/lock") == 1);
	}
	lake_close(l);
	assert_int_equal(truncate(at(".sluice/journal"), 0), 0);
	assert_open_fails(EXIT_DATA, "commit 5 was done");
}

static void failed_stops_writers_only(void **state)
{
	struct lake *l = opened();
	struct lake_file f;
	bool stands;

	commit(l, "a", 5);
	spew(at(".sluice/failed"), SPAN(""));
	f = temp_with(l, "a", "x\n");
	assert_int_equal(commit_files(l, "append", 9, &f, 1, &stands), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_open_fails(EXIT_DATA, "--repair");
	assert_int_equal(position("append", 0), 5);
	assert_int_equal(lake_repair(dir), 0);
	assert_int_equal(commit_files(l, "append", 9, &f, 1, &stands), 0);
	lake_close(l);
	assert_clean();
}

static void a_journal_that_is_gone_is_no_empty_lake(void **state)
{
	struct lake *l = opened();
	struct lake_file f;
	struct positions ps;
	bool stands;

	commit(l, "a", 5);
	f = temp_with(l, "a", "x\n");
	assert_int_equal(rename(at(".sluice/journal"), at(".sluice/journal.1")), 0);
	assert_int_equal(commit_files(l, "append", 9, &f, 1, &stands), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	lake_close(l);
	assert_open_fails(EXIT_DATA, "missing, though journal.1 is there");
	positions_init(&ps, (struct positions_rules){ 0 });
	assert_int_equal(lake_read_positions(dir, "append", &ps), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	positions_release(&ps);
	assert_false(there(at(".sluice/journal")));
}

/* ---- rolling ---- */

static void assert_catalog_has(size_t files)
{
	struct lake_catalog c;
	int64_t last = 0;

	assert_int_equal(lake_catalog_read(dir, &c), 0);
	assert_int_equal(c.count, files);
	for (size_t i = 0; i < c.count; i++) {
		int fd = lake_catalog_open(&c, &c.entry[i]);

		assert_true(fd >= 0);
		close(fd);
		assert_true(c.entry[i].commit > last);
		last = c.entry[i].commit;
	}
	lake_catalog_release(&c);
}

static void a_journal_that_has_grown_is_rolled(void **state)
{
	struct lake *a = open_with(1000), *b = open_with(1000);
	struct lake_file f;
	bool stands;

	for (int i = 1; i <= 30; i++) {
		commit(a, "a", i);
		f = temp_with(b, "b", "from b\n");
		assert_int_equal(commit_files(b, "other \"name\"", i * 10, &f, 1, &stands), 0);
	}
	assert_true(count(".sluice/journal.[0-9]*") >= 5);
	assert_int_equal(position("append", 0), 30);
	assert_int_equal(position("other \"name\"", 0), 300);
	assert_int_equal(position_in(b, "append"), 29 + 1);
	lake_close(a);
	lake_close(b);
	assert_catalog_has(60);
	assert_clean();
	a = open_with(1000);
	assert_int_equal(position_in(a, "append"), 30);
	commit(a, "a", 31);
	lake_close(a);
	assert_clean();
	assert_int_equal(count(".sluice/journal.new"), 0);
}

/* What a roll that was killed leaves, step by step; it stands before the next commit each time. */
static void a_roll_that_was_killed_is_done_by_the_next(void **state)
{
	for (int step = 0; step < 4; step++) {
		struct lake *l;
		struct stat x, y;

		teardown(NULL);
		setup(NULL);
		l = open_with(0);
		commit(l, "a", 1);
		commit(l, "a", 2);
		lake_close(l);
		if (step >= 1) /* journal.new was cut */
			spew(at(".sluice/journal.new"), SPAN("{\"snapshot\":2,\"ti"));
		if (step >= 2) /* journal was linked */
			assert_int_equal(link(at(".sluice/journal"), at(".sluice/journal.1")), 0);
		l = step == 3 ? open_with(0) : open_with(500);
		assert_int_equal(position_in(l, "append"), 2);
		assert_clean();
		commit(l, "a", 3);
		lake_close(l);
		if (step == 3) /* the next one did not want to roll, the one after does */ {
			l = open_with(500);
			commit(l, "a", 4);
			lake_close(l);
		}
		assert_int_equal(count(".sluice/journal.[0-9]*"), 1);
		assert_false(there(at(".sluice/journal.new")));
		assert_int_equal(stat(at(".sluice/journal"), &x), 0);
		assert_int_equal(stat(at(".sluice/journal.1"), &y), 0);
		assert_true(x.st_ino != y.st_ino);
		assert_catalog_has(step == 3 ? 4 : 3);
		assert_int_equal(position("append", 0), step == 3 ? 4 : 3);
		assert_clean();
	}
}

/* A rename that a power loss cut in two: the journal has the name of the new one besides. */
static void a_new_journal_that_kept_both_its_names_is_not_written_over(void **state)
{
	struct lake *l = open_with(500);

	for (int i = 1; i <= 5; i++)
		commit(l, "a", i);
	lake_close(l);
	assert_int_equal(link(at(".sluice/journal"), at(".sluice/journal.new")), 0);
	l = open_with(500);
	for (int i = 6; i <= 10; i++)
		commit(l, "a", i);
	lake_close(l);
	assert_int_equal(position("append", 0), 10);
	assert_catalog_has(10);
	assert_clean();
}

static void positions_of_every_name_survive_many_rolls(void **state)
{
	struct lake *l = open_with(1);
	char name[32];
	bool stands;

	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < 20; i++) {
			struct lake_file f = temp_with(l, "p", "x\n");

			snprintf(name, sizeof(name), "name-%d", i);
			if (commit_files(l, name, round * 100 + i, &f, 1, &stands) < 0)
				fail_msg("%s", fail_message());
		}
	}
	lake_close(l);
	assert_int_equal(count(".sluice/journal.[0-9]*"), 60);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		assert_int_equal(position(name, 0), 300 + i);
	}
	assert_catalog_has(60);
	assert_clean();
}

static void a_reader_needs_no_descriptor_for_every_roll(void **state)
{
	struct lake *l = open_with(1);
	struct rlimit old, small;

	for (int i = 1; i <= 100; i++)
		commit(l, "a", i);
	lake_close(l);
	assert_int_equal(count(".sluice/journal.[0-9]*"), 100);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	small = (struct rlimit){ 32, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	assert_catalog_has(100);
	assert_clean();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void journals_that_name_each_other_are_no_end_of_work(void **state)
{
	struct lake *l = open_with(1);
	struct lake_catalog c;

	commit(l, "a", 1);
	lake_close(l);
	assert_int_equal(unlink(at(".sluice/journal.1")), 0);
	assert_int_equal(link(at(".sluice/journal"), at(".sluice/journal.1")), 0);
	assert_int_equal(lake_catalog_read(dir, &c), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_non_null(strstr(fail_message(), "in a circle"));
	lake_catalog_release(&c);
}

static void a_snapshot_that_names_no_journal_is_damage(void **state)
{
	static const char *const odd[] = { "../journal.1", "journal.x", "journal.",
		"journal.0000000000000000000000000000000001" };

	lake_close(opened());
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct journal_line line = { .snapshot = true,
			.commit = 1,
			.writer = SPAN("Gone00"),
			.previous = { odd[i], strlen(odd[i]) } };
		struct buf text = BUF_INIT;
		struct lake_catalog c;

		journal_format(&line, &text);
		spew(at(".sluice/journal"), buf_span(&text));
		assert_int_equal(lake_catalog_read(dir, &c), -1);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_non_null(strstr(fail_message(), "names an odd journal before it"));
		lake_catalog_release(&c);
		buf_release(&text);
	}
}

static void a_reader_beside_a_roll_reads_on(void **state)
{
	struct lake *l = open_with(1);
	struct lake_catalog c;

	commit(l, "a", 1);
	assert_int_equal(lake_catalog_read(dir, &c), 0);
	commit(l, "a", 2);
	commit(l, "a", 3);
	assert_int_equal(c.count, 1);
	assert_true(lake_catalog_open(&c, &c.entry[0]) >= 0);
	lake_catalog_release(&c);
	lake_close(l);
	assert_catalog_has(3);
}

/* ---- sweeping ---- */

static void the_files_of_the_dead_are_swept_and_only_those(void **state)
{
	struct lake *alive = opened();

	temp_with(alive, "a", "alive\n");
	spew(at("a/.sluice-Dead01-1"), SPAN("x"));
	spew(at("a/.sluice-Dead01-2"), SPAN("x"));
	spew(at("a/00000009.jsonl"), SPAN("x"));
	assert_int_equal(mkdir(at("a/d"), 0777), 0);
	spew(at(".sluice/writers/Dead01"),
	    SPAN("\"a/.sluice-Dead01-1\"\n\"a/none/.sluice-Dead01-7\"\n\"a/00000009.jsonl\"\n"
		 "garbage\n\"\"\n\"a/d\"\n\"a/.sluice-Dead01-2\"\n\"a/.sluice-De"));
	spew(at("../.sluice-out"), SPAN("x"));
	spew(at(".sluice/writers/Dead02"), SPAN("\"../.sluice-out\"\n"));
	lake_close(opened());
	assert_true(there(at("../.sluice-out")));
	assert_int_equal(count("a/.sluice-Dead*"), 0);
	assert_false(there(at(".sluice/writers/Dead01")));
	assert_true(there(at("a/00000009.jsonl"))); /* no temporary file, whatever a list says */
	assert_true(there(at("a/d")));
	assert_int_equal(count("a/.sluice-*"), 1);
	lake_close(alive);
	assert_int_equal(count("a/.sluice-*"), 0);
}

/* A list of before a power loss may have lost lines, one of this boot has not: then nothing is searched. */
static void after_a_power_loss_unlisted_files_of_the_dead_are_found(void **state)
{
	struct lake *alive = opened();
	struct buf list = BUF_INIT;
	glob_t g;
	size_t n;
	char *head;

	temp_with(alive, "a/b", "alive\n");
	spew(at("a/b/.sluice-Dead01-1"), SPAN("x"));
	spew(at("a/b/.sluice-Dead02-1"), SPAN("x"));
	spew(at("a/.sluice-Dead03-1"), SPAN("x"));
	spew(at("a/b/.sluice-Dead04-1"), SPAN("x"));
	assert_int_equal(glob(at(".sluice/writers/[!.]*"), 0, NULL, &g), 0);
	head = read_file(g.gl_pathv[0], &n);
	buf_add(&list, head, strcspn(head, "\n") + 1);
	spew(at(".sluice/writers/Dead01"), buf_span(&list));
	memset(list.data + 10, '0', 8);
	spew(at(".sluice/writers/Dead02"), buf_span(&list));
	memset(list.data, 0, list.len);
	spew(at(".sluice/writers/Dead03"), buf_span(&list));
	lake_close(opened());
	assert_true(there(at("a/b/.sluice-Dead01-1")));
	assert_false(there(at("a/b/.sluice-Dead02-1")));
	assert_false(there(at("a/.sluice-Dead03-1")));
	assert_true(there(at("a/b/.sluice-Dead04-1"))); /* its writer may be one that has just begun */
	assert_int_equal(count(".sluice/writers/[!.]*"), 1);
	assert_int_equal(count("a/b/.sluice-*"), 3);
	lake_close(alive);
	free(head);
	globfree(&g);
	buf_release(&list);
}

static void what_the_last_line_names_is_finished_before_the_sweep(void **state)
{
	struct journal_line line;
	char *text;
	struct buf list = BUF_INIT;

	setup_last(&line, &text);
	buf_addf(&list, "\"a/%.*s\"\n\"b/c/%.*s\"\n", (int)line.add[0].tmp.n, line.add[0].tmp.p,
	    (int)line.add[1].tmp.n, line.add[1].tmp.p);
	spew(at(".sluice/writers/%.*s", (int)line.writer.n, line.writer.p), buf_span(&list));
	lake_close(opened());
	assert_last_is_done();
	assert_int_equal(count(".sluice/writers/[!.]*"), 0);
	journal_line_release(&line);
	free(text);
	buf_release(&list);
}

/* ---- places ---- */

static void a_bad_place_is_bad_data(void **state)
{
	struct lake *l = opened();
	int fd;

	assert_int_equal(symlink("..", at("link")), 0);
	spew(at("file"), SPAN(""));
	assert_int_equal(lake_temp(l, SPAN("link/x"), &fd), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_int_equal(lake_temp(l, SPAN("file/x"), &fd), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_int_equal(lake_has_files(l, SPAN("link")), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	assert_int_equal(lake_has_files(l, SPAN("none/x")), 0);
	commit(l, "y", 1);
	assert_int_equal(lake_has_files(l, SPAN("y")), 1);
	assert_int_equal(lake_has_files(l, SPAN("")), 0);
	lake_close(l);
	assert_int_equal(count("*/.sluice-*"), 0);
	assert_int_equal(access(at("../x"), F_OK), -1);
}

static void the_lake_is_made_but_not_its_parent(void **state)
{
	lake_close(opened());
	assert_true(there(at(".sluice/journal")));
	snprintf(dir, sizeof(dir), "%s/none/lake", top);
	assert_open_fails(EXIT_CANTCREAT, "none/lake");
	snprintf(dir, sizeof(dir), "%s/file", top);
	spew(dir, SPAN(""));
	assert_open_fails(EXIT_CANTCREAT, "Not a directory");
}

/* ---- readers ---- */

static void where_there_is_no_lake_there_are_no_positions(void **state)
{
	struct lake_catalog c;
	struct lake_check check;

	assert_int_equal(position("append", 0), -1);
	assert_false(there(dir));
	assert_int_equal(lake_catalog_read(dir, &c), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	lake_catalog_release(&c);
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_int_equal(position("append", 0), -1);
	assert_int_equal(lake_check(dir, &check), -1);
	assert_non_null(strstr(fail_message(), "not a lake"));
	assert_int_equal(count("[!.]*"), 0);
}

static void the_catalog_reads_what_is_not_renamed_yet(void **state)
{
	struct lake_catalog c;
	struct journal_line line;
	char *text, got[16] = "";
	int fd;

	setup_last(&line, &text);
	assert_int_equal(lake_catalog_read(dir, &c), 0);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.commits, 2);
	assert_false(c.entry[0].last);
	assert_true(c.entry[1].last && c.entry[2].last);
	assert_string_equal(c.entry[1].file, "a/00000002.jsonl");
	fd = lake_catalog_open(&c, &c.entry[2]);
	assert_int_equal(read(fd, got, sizeof(got)), 4);
	assert_string_equal(got, "two\n");
	close(fd);
	lake_close(opened());
	fd = lake_catalog_open(&c, &c.entry[2]); /* renamed meanwhile */
	assert_true(fd >= 0);
	close(fd);
	assert_true(lake_catalog_wrote(&c, "append", SPAN("b/c")));
	assert_false(lake_catalog_wrote(&c, "append", SPAN("b")));
	assert_false(lake_catalog_wrote(&c, "other", SPAN("a")));
	lake_catalog_release(&c);
	journal_line_release(&line);
	free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_commit_is_visible_and_remembered),
		TEST(what_is_not_committed_goes_with_its_writer),
		TEST(a_temporary_file_can_be_opened_again_for_appending),
		TEST(a_long_running_writer_keeps_its_list_short),
		TEST(snapshots_replace_and_remove_the_others),
		TEST(files_can_be_removed),
		TEST(a_file_in_the_place_of_a_new_one_stops_the_commit),
		TEST(the_writer_that_comes_late_is_fenced),
		TEST(writers_of_other_names_are_no_matter),
		TEST(the_lock_is_waited_for_and_then_not),
		TEST(a_commit_without_renames_is_finished_by_who_opens),
		TEST(a_commit_without_renames_is_finished_before_the_next),
		TEST(half_of_the_renames_are_made_good),
		TEST(both_names_of_one_file_are_made_one),
		TEST(a_file_under_neither_name_is_damage_until_repair),
		TEST(a_lost_directory_is_damage_too),
		TEST(removals_are_redone),
		TEST(a_snapshot_that_was_not_renamed_is),
		TEST(a_line_touches_nothing_but_data_files),
		TEST(repair_moves_nothing_but_data_files),
		TEST(only_data_files_can_be_removed),
		TEST(a_torn_line_is_ignored_and_cut),
		TEST(no_bit_of_a_last_line_that_was_done_rots_unnoticed),
		TEST(lines_that_the_end_of_the_journal_has_lost_are_missed),
		TEST(a_lost_note_of_what_was_done_stops_nobody),
		TEST(a_last_line_that_was_done_and_lost_its_crc_is_rot),
		TEST(failed_stops_writers_only),
		TEST(a_journal_that_is_gone_is_no_empty_lake),
		TEST(a_journal_that_has_grown_is_rolled),
		TEST(a_roll_that_was_killed_is_done_by_the_next),
		TEST(a_new_journal_that_kept_both_its_names_is_not_written_over),
		TEST(positions_of_every_name_survive_many_rolls),
		TEST(a_reader_needs_no_descriptor_for_every_roll),
		TEST(journals_that_name_each_other_are_no_end_of_work),
		TEST(a_snapshot_that_names_no_journal_is_damage),
		TEST(a_reader_beside_a_roll_reads_on),
		TEST(the_files_of_the_dead_are_swept_and_only_those),
		TEST(after_a_power_loss_unlisted_files_of_the_dead_are_found),
		TEST(what_the_last_line_names_is_finished_before_the_sweep),
		TEST(a_bad_place_is_bad_data),
		TEST(the_lake_is_made_but_not_its_parent),
		TEST(where_there_is_no_lake_there_are_no_positions),
		TEST(the_catalog_reads_what_is_not_renamed_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
