/* window: what is sent, in which order. That the tables end right is in t/mysql-order.t. */
#include "window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- tables by hand: k is the key, then a, b, c ---- */

#define TABLES 3

static struct column column[TABLES][4];
static struct column *key[TABLES];
static struct table table[TABLES];
static struct source source[TABLES][4];
static struct target target[TABLES];
static struct mapping mapping;

/* Tables p, q and r that reduce by key. */
static int make_tables(void **state)
{
	static const char *const columns[] = { "k", "a", "b", "c" }, *const tables[] = { "p", "q", "r" };

	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned i = 0; i < 4; i++) {
			column[t][i] = (struct column){ .name = (char *)columns[i],
				.name_len = 1,
				.at = i,
				.type = COL_INT,
				.key_at = i == 0 ? 0 : -1 };
			source[t][i] = (struct source){ .kind = SOURCE_MEMBER };
		}
		key[t] = &column[t][0];
		table[t] = (struct table){ .name = (char *)tables[t],
			.column = column[t],
			.columns = 4,
			.key = &key[t],
			.keys = 1 };
		target[t] = (struct target){ .table = &table[t],
			.source = source[t],
			.has_key = true,
			.fills_key = true };
	}
	mapping = (struct mapping){ .target = target, .targets = 1 };
	return 0;
}

static unsigned all_at[] = { 0, 1, 2, 3 }, ka_at[] = { 0, 1 }, kb_at[] = { 0, 2 },
		kab_at[] = { 0, 1, 2 };
/* Of rows that may be sent in any order the sets decide, by their addresses. */
static const struct column_set sets[] = { { 4, all_at }, { 2, ka_at }, { 2, kb_at }, { 3, kab_at } };
#define all (sets[0])
#define ka  (sets[1])
#define kb  (sets[2])
#define kab (sets[3])

/* ---- records ---- */

static struct position place[2] = { { .topic = (char *)"T", .topic_len = 1 },
	{ .topic = (char *)"T", .topic_len = 1, .partition = 1 } };

static struct line line_of(bool tombstone, int64_t offset)
{
	return (struct line){ .kind = LINE_RECORD,
		.text = SPAN("{}"),
		.offset = offset,
		.payload_enc = tombstone ? ENC_NONE : ENC_PLAIN };
}

/* A row: "7,x,y" begins with its key, which is text as it compares. NULL: none. set NULL: it is deleted. */
static void add_rows(struct window *w, const char *const *values, const struct column_set *const *set)
{
	uint32_t ends[TABLES][4];
	struct row row[TABLES] = { 0 };
	struct line l = line_of(!set[0], (int64_t)window_records(w));

	for (size_t t = 0; t < mapping.targets; t++) {
		struct span v = { values[t], values[t] ? strlen(values[t]) : 0 };
		unsigned n = 0;

		if (!v.p)
			continue;
		row[t] = (struct row){ .kind = set[t] ? ROW_UPSERT : ROW_DELETE,
			.values = v,
			.key = { v.p, strcspn(v.p, ",") },
			.columns = set[t],
			.ends = ends[t] };
		for (size_t i = 0; i <= v.n && n < 4; i++)
			if (i == v.n || v.p[i] == ',')
				ends[t][n++] = (uint32_t)i;
	}
	window_add(w, &l, window_records(w), &place[0], row);
}

static void up(struct window *w, const char *values, const struct column_set *set)
{
	add_rows(w, (const char *const[]){ values, NULL, NULL },
	    (const struct column_set *const[]){ set, NULL, NULL });
}

static void del(struct window *w, const char *values)
{
	up(w, values, NULL);
}

/* The same of the t-th table alone. */
static void up_in(struct window *w, unsigned t, const char *values)
{
	const char *v[TABLES] = { NULL };
	const struct column_set *set[TABLES] = { &all, &all, &all };

	v[t] = values;
	add_rows(w, v, set);
}

static void del_in(struct window *w, unsigned t, const char *values)
{
	const char *v[TABLES] = { NULL };
	const struct column_set *set[TABLES] = { NULL };

	v[t] = values;
	add_rows(w, v, set);
}

/* ---- what comes out ---- */

/* "p+kab 1,x,y 2,x,y; p- 3": upserts with their columns, and deletes */
static int add_run(void *ctx, const struct window_run *run)
{
	struct buf *to = ctx;

	buf_addf(to, "%s%s%c", to->len ? "; " : "", run->target->table->name,
	    run->kind == ROW_UPSERT ? '+' : '-');
	for (unsigned i = 0; run->kind == ROW_UPSERT && i < run->columns->count; i++)
		buf_addf(to, "%s", run->target->table->column[run->columns->at[i]].name);
	for (size_t i = 0; i < run->count; i++) {
		buf_add_char(to, ' ');
		buf_add_span(to, run->values[i]);
	}
	return 0;
}

static struct window *new_window(bool reduce, bool partial)
{
	return window_new(&mapping, (struct window_rules){ reduce, partial });
}

static void expect_again(struct window *w, const char *expected)
{
	struct buf b = BUF_INIT;

	assert_int_equal(window_runs(w, add_run, &b), 0);
	assert_string_equal(buf_cstr(&b), expected);
	buf_release(&b);
}

static void expect(struct window *w, const char *expected)
{
	expect_again(w, expected);
	expect_again(w, expected); /* after a deadlock all of it is sent once more */
	window_free(w);
}

/* ---- one table, by key ---- */

static void the_last_of_each_key_is_sent_sorted(void **state)
{
	struct window *w = new_window(true, false);

	up(w, "3,a,b,c", &all);
	up(w, "1,a,b,c", &all);
	up(w, "3,a,b,longer", &all);
	up(w, "2,a,b,c", &all);
	up(w, "1,x,y,z", &all);
	assert_int_equal(window_records(w), 5);
	expect(w, "p+kabc 1,x,y,z 2,a,b,c 3,a,b,longer");
}

static void a_key_is_not_the_beginning_of_another(void **state)
{
	struct window *w = new_window(true, false);

	up(w, "12345678x,1,1,1", &all);
	up(w, "12345678,2,2,2", &all);
	up(w, "123456789,3,3,3", &all);
	del(w, "1");
	expect(w, "p+kabc 12345678,2,2,2 123456789,3,3,3 12345678x,1,1,1; p- 1");
}

static void a_tombstone_is_all_that_is_left_of_its_key(void **state)
{
	struct window *w = new_window(true, false);

	up(w, "1,a,b,c", &all);
	del(w, "1");
	del(w, "2");
	del(w, "2");
	expect(w, "p- 1 2");
}

static void after_a_tombstone_the_full_row_is_enough(void **state)
{
	struct window *w = new_window(true, false);

	del(w, "1");
	up(w, "1,a,b,c", &all);
	expect(w, "p+kabc 1,a,b,c");
}

static void columns_left_alone_are_reset_by_a_tombstone(void **state)
{
	struct window *w = new_window(true, false);

	del(w, "1");
	up(w, "1,a", &ka);
	del(w, "2");
	up(w, "2,a", &ka);
	up(w, "2,x", &ka);
	up(w, "3,a", &ka);
	expect(w, "p- 1 2; p+ka 1,a 2,x 3,a");
}

/* In the room of the row before, where the row that comes again is put too. */
static void what_deletes_a_key_is_kept_beside_what_comes_again(void **state)
{
	struct row gone = { .kind = ROW_DELETE, .values = SPAN("x'31'"), .key = SPAN("1") };
	struct window *w = new_window(true, false);
	struct line l = line_of(true, 1);

	up(w, "1,a long value,b,c", &all);
	window_add(w, &l, 1, &place[0], &gone);
	up(w, "1,a", &ka);
	expect(w, "p- x'31'; p+ka 1,a");
}

static void a_second_tombstone_needs_no_row_between(void **state)
{
	struct window *w = new_window(true, false);

	del(w, "1");
	up(w, "1,a", &ka);
	del(w, "1");
	expect(w, "p- 1");
}

static void columns_that_the_last_record_leaves_alone_come_from_the_one_before(void **state)
{
	struct window *w = new_window(true, false);

	up(w, "1,a,b", &kab);
	up(w, "1,x", &ka);
	up(w, "1,y", &ka);
	up(w, "2,a", &ka);
	up(w, "2,a,b", &kab);
	expect(w, "p+kab 1,a,b; p+ka 1,y; p+kab 2,a,b");
}

static void rows_without_a_key_stay_in_stream_order(void **state)
{
	struct window *w;

	column[0][0].auto_increment = true;
	w = new_window(true, false);
	up(w, "2,a", &ka);
	up(w, "1,a", &ka);
	up(w, "2,b", &ka);
	expect(w, "p+ka 2,a 1,a 2,b");

	target[0].fills_key = column[0][0].auto_increment = false;
	w = new_window(true, false);
	up(w, "2,a", &ka);
	up(w, "2,b", &ka);
	expect(w, "p+ka 2,a 2,b");
}

/* It may be the key of any other: what comes before it is written before, and what comes after it after. */
static void a_row_whose_key_is_the_default_parts_the_others(void **state)
{
	struct window *w = new_window(true, false);

	up(w, "2,a", &ka);
	up(w, "1,b", &ka);
	up(w, ",c", &ka);
	up(w, "1,d", &ka);
	up(w, "0,e", &ka);
	expect(w, "p+ka 1,b 2,a; p+ka ,c; p+ka 0,e 1,d");
}

static void an_auto_increment_key_that_is_kafkas_is_a_key(void **state)
{
	struct window *w;

	column[0][0].auto_increment = true;
	source[0][0].kind = SOURCE_KEY;
	w = new_window(true, false);
	up(w, "2,a", &ka);
	up(w, "2,b", &ka);
	expect(w, "p+ka 2,b");
}

/* ---- keys that only the server compares ---- */

static void only_equal_bytes_are_reduced_in_the_order_of_the_last(void **state)
{
	struct window *w;

	column[0][0].compare = COMPARE_SERVER;
	w = new_window(true, false);
	up(w, "b,1", &ka);
	up(w, "A,2", &ka);
	up(w, "a,3", &ka);
	up(w, "b,4", &ka);
	up(w, "A,5", &ka);
	expect(w, "p+ka a,3 b,4 A,5");
}

static void a_tombstone_may_be_of_another_spelling(void **state)
{
	struct window *w;

	column[0][0].compare = COMPARE_SERVER;
	w = new_window(true, false);
	del(w, "a");
	up(w, "A,1", &ka);
	up(w, "a,2", &ka);
	del(w, "A");
	expect(w, "p- a; p+ka a,2; p- A");
}

static void with_partial_they_are_not_reduced_at_all(void **state)
{
	struct window *w;

	column[0][0].compare = COMPARE_SERVER;
	w = new_window(true, true);
	up(w, "a,1", &ka);
	up(w, "a,2", &ka);
	up(w, "A,3", &kb);
	del(w, "a");
	expect(w, "p+ka a,1 a,2; p+kb A,3; p- a");
}

/* ---- --partial ---- */

static void partial_records_are_merged(void **state)
{
	struct window *w = new_window(true, true);

	up(w, "1,a", &ka);
	up(w, "1,b", &kb);
	up(w, "1,aa", &ka);
	expect(w, "p+kab 1,aa,b");

	w = new_window(true, true);
	up(w, "2,a", &ka);
	up(w, "1,bbb", &kb);
	up(w, "1,bb", &kb);
	up(w, "3,a", &ka);
	expect(w, "p+ka 2,a 3,a; p+kb 1,bb");
}

static void a_union_of_columns_is_one_set_of_rows(void **state)
{
	struct window *w = new_window(true, true);

	for (unsigned i = 0; i < 3; i++) {
		char a[16], b[16];

		snprintf(a, sizeof(a), "%u,a", i);
		snprintf(b, sizeof(b), "%u,b", i);
		up(w, i % 2 ? b : a, i % 2 ? &kb : &ka);
		up(w, i % 2 ? a : b, i % 2 ? &ka : &kb);
	}
	expect(w, "p+kab 0,a,b 1,a,b 2,a,b");
}

static void a_tombstone_ends_a_merge_and_is_sent(void **state)
{
	struct window *w = new_window(true, true);

	up(w, "1,a,b,c", &all);
	del(w, "1");
	up(w, "1,a", &ka);
	up(w, "1,b", &kb);
	del(w, "2");
	expect(w, "p- 1; p+kab 1,a,b; p- 2");
}

/* ---- in stream order ---- */

static void without_reduction_every_record_is_sent_in_stream_order(void **state)
{
	struct window *w = new_window(false, false);

	up(w, "2,a", &ka);
	up(w, "1,a", &ka);
	up(w, "2,b", &ka);
	up(w, "2,b", &kb);
	del(w, "2");
	up(w, "2,c", &ka);
	expect(w, "p+ka 2,a 1,a 2,b; p+kb 2,b; p- 2; p+ka 2,c");
}

static void tables_with_another_unique_key_or_of_themselves_are_not_reduced(void **state)
{
	struct window *w;

	table[0].other_unique = true;
	w = new_window(true, false);
	up(w, "2,a", &ka);
	up(w, "2,b", &ka);
	expect(w, "p+ka 2,a 2,b");

	table[0].other_unique = false;
	table[0].refers_to_itself = true;
	w = new_window(true, false);
	up(w, "2,a", &ka);
	up(w, "2,b", &ka);
	expect(w, "p+ka 2,a 2,b");
}

static void the_first_record_matters_where_a_default_comes_from_other_columns(void **state)
{
	struct window *w;

	column[0][2].default_of_row = true;
	w = new_window(true, false);
	up(w, "1,a,x,x", &all);
	up(w, "1,b,y,y", &all);
	expect(w, "p+kabc 1,b,y,y");

	source[0][2].kind = SOURCE_NONE;
	w = new_window(true, false);
	up(w, "1,a", &ka);
	up(w, "1,b", &ka);
	expect(w, "p+ka 1,a 1,b");

	source[0][2].kind = SOURCE_MEMBER;
	w = new_window(true, true);
	up(w, "1,a", &ka);
	up(w, "1,b", &ka);
	expect(w, "p+ka 1,a 1,b");
}

/* The server deletes the rows of a list in the order of their keys. */
static void deletes_in_stream_order_are_statements_of_their_own(void **state)
{
	struct window *w;

	w = new_window(false, false);
	del(w, "2");
	del(w, "1");
	expect(w, "p- 2; p- 1");

	table[0].refers_to_itself = true;
	w = new_window(true, false);
	del(w, "2");
	del(w, "1");
	expect(w, "p- 2; p- 1");
}

/* ---- tables that refer to others ---- */

static void deletes_that_cascade_are_not_reduced_away(void **state)
{
	struct window *w;

	table[0].cascades = true;
	w = new_window(true, false);
	up(w, "1,a,b,c", &all);
	del(w, "1");
	up(w, "1,x,y,z", &all);
	up(w, "1,d,e,f", &all);
	up(w, "2,a,b,c", &all);
	expect(w, "p- 1; p+kabc 1,d,e,f 2,a,b,c");
}

static void parents_are_written_first_and_deleted_last(void **state)
{
	struct window *w;

	mapping.targets = 3;
	w = new_window(true, false);
	up_in(w, 2, "1,a,b,c");
	up_in(w, 0, "1,a,b,c");
	del_in(w, 0, "2");
	del_in(w, 2, "2");
	up_in(w, 1, "1,a,b,c");
	del_in(w, 1, "2");
	expect(w, "p+kabc 1,a,b,c; q+kabc 1,a,b,c; r+kabc 1,a,b,c; r- 2; q- 2; p- 2");
}

static void rows_that_come_again_are_deleted_from_children_first(void **state)
{
	const struct column_set *some[] = { &ka, &ka, &ka };
	struct window *w;

	mapping.targets = 2;
	w = new_window(true, false);
	del_in(w, 1, "1");
	del_in(w, 0, "1");
	add_rows(w, (const char *const[]){ "1,a", "1,a" }, some);
	expect(w, "q- 1; p- 1; p+ka 1,a; q+ka 1,a");
}

static void nothing_moves_before_a_delete_that_cascades(void **state)
{
	struct window *w;

	mapping.targets = 2;
	table[0].cascades = true;
	w = new_window(true, false);
	up_in(w, 1, "1,a,b,c");
	del_in(w, 0, "1");
	del_in(w, 1, "2");
	up_in(w, 1, "1,x,y,z");
	expect(w, "q+kabc 1,a,b,c; q- 2; p- 1; q+kabc 1,x,y,z");
}

static void rows_of_one_record_go_parents_first(void **state)
{
	const struct column_set *full[] = { &all, &all, &all }, *none[] = { NULL, NULL, NULL };
	struct window *w;

	mapping.targets = 3;
	w = new_window(true, false);
	add_rows(w, (const char *const[]){ "1,a,b,c", NULL, "2,a,b,c" }, full);
	add_rows(w, (const char *const[]){ "3,a,b,c", NULL, "4,a,b,c" }, full);
	add_rows(w, (const char *const[]){ "3", NULL, "4" }, none);
	expect(w, "p+kabc 1,a,b,c; r+kabc 2,a,b,c; r- 4; p- 3");
}

static void beside_a_key_of_the_server_upserts_and_deletes_keep_their_order(void **state)
{
	struct window *w;

	mapping.targets = 2;
	column[1][0].compare = COMPARE_SERVER;
	w = new_window(true, false);
	up_in(w, 1, "b,1,1,1");
	up_in(w, 0, "1,a,b,c");
	up_in(w, 1, "a,1,1,1");
	del_in(w, 1, "b");
	del_in(w, 0, "2");
	up_in(w, 1, "B,2,2,2");
	expect(w, "p+kabc 1,a,b,c; q+kabc b,1,1,1 a,1,1,1; q- b; p- 2; q+kabc B,2,2,2");
}

/* A child that comes before its parent is a reject, without reduction. */
static void without_reduction_related_tables_are_written_record_by_record(void **state)
{
	const struct column_set *full[] = { &all, &all, &all };
	char *parent[] = { (char *)"p" };
	struct window *w;

	mapping.targets = 2;
	table[1].parent = parent;
	table[1].parents = 1;
	w = new_window(false, false);
	up_in(w, 1, "1,a,b,c");
	up_in(w, 1, "2,a,b,c");
	up_in(w, 0, "1,a,b,c");
	del_in(w, 1, "1");
	del_in(w, 0, "1");
	add_rows(w, (const char *const[]){ "3,a,b,c", "3,a,b,c" }, full);
	add_rows(w, (const char *const[]){ "4,a,b,c", "4,a,b,c" }, full);
	expect(w,
	    "q+kabc 1,a,b,c 2,a,b,c; p+kabc 1,a,b,c; q- 1; p- 1; "
	    "p+kabc 3,a,b,c; q+kabc 3,a,b,c; p+kabc 4,a,b,c; q+kabc 4,a,b,c");
}

static void without_reduction_strangers_are_written_table_by_table(void **state)
{
	const struct column_set *full[] = { &all, &all, &all };
	struct window *w;

	mapping.targets = 2;
	w = new_window(false, false);
	add_rows(w, (const char *const[]){ "3,a,b,c", "3,a,b,c" }, full);
	add_rows(w, (const char *const[]){ "1,a,b,c", "1,a,b,c" }, full);
	expect(w, "p+kabc 3,a,b,c 1,a,b,c; q+kabc 3,a,b,c 1,a,b,c");
}

/* ---- what is kept ---- */

static void all_records_are_kept_and_rejects_among_them(void **state)
{
	struct window *w = new_window(true, false);
	struct line l = line_of(false, 7);

	up(w, "1,a,b,c", &all);
	window_add_reject(w, &l, 42, &place[1],
	    &(struct row_problem){ .table = "p", .column = "a", .why = "is no number" });
	l = line_of(false, 8);
	window_add_reject(w, &l, 43, NULL, &(struct row_problem){ .why = "is wrong" });
	up(w, "1,x,y,z", &all);
	assert_int_equal(window_records(w), 4);
	assert_null(window_reject(w, 0));
	assert_string_equal(window_reject(w, 1)->table, "p");
	assert_string_equal(window_reject(w, 1)->column, "a");
	assert_string_equal(window_reject(w, 1)->why, "is no number");
	assert_int_equal(window_record(w, 1)->offset, 7);
	assert_int_equal(window_record(w, 1)->number, 42);
	assert_ptr_equal(window_record(w, 1)->place, &place[1]);
	assert_null(window_reject(w, 2)->table);
	assert_null(window_record(w, 2)->place);
	assert_int_equal(window_line(w, 3).n, 2);
	assert_true(window_bytes(w) > 0);
	expect(w, "p+kabc 1,x,y,z");
}

static void a_cleared_window_has_forgotten_everything(void **state)
{
	struct window *w;

	table[0].cascades = true;
	w = new_window(true, true);
	up(w, "1,a", &ka);
	up(w, "1,b", &kb);
	del(w, "1");
	up(w, "1,a", &ka);
	window_clear(w);
	assert_int_equal(window_records(w), 0);
	expect_again(w, "");
	up(w, "1,b", &kb);
	expect(w, "p+kb 1,b");
}

static void many_keys_are_found_again(void **state)
{
	struct window *w = new_window(true, false);
	struct buf b = BUF_INIT;
	char values[32];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20000; i++) {
			snprintf(values, sizeof(values), "%05u,%u,0,0", i * 7919 % 20000, round);
			up(w, values, &all);
		}
	}
	window_runs(w, add_run, &b);
	assert_int_equal(window_records(w), 40000);
	assert_memory_equal(b.data, "p+kabc 00000,1,0,0 00001,1,0,0", 30);
	assert_int_equal(b.len, 6 + 20000 * sizeof("00000,1,0,0"));
	buf_release(&b);
	window_free(w);
}

static int stop_at_second(void *ctx, const struct window_run *run)
{
	(void)run;
	return ++*(int *)ctx == 2 ? 7 : 0;
}

static void what_the_callback_returns_ends_the_runs(void **state)
{
	struct window *w = new_window(false, false);
	int calls = 0;

	up(w, "1,a", &ka);
	up(w, "1,a", &kb);
	up(w, "1,a", &ka);
	assert_int_equal(window_runs(w, stop_at_second, &calls), 7);
	assert_int_equal(calls, 2);
	window_free(w);
}

/* ---- positions ---- */

static void record_at(struct window *w, struct positions *ps, const char *text)
{
	struct stream stream;
	struct row row[TABLES] = { 0 };
	struct line l;

	stream_init(&stream);
	assert_int_equal(stream_parse(&stream, (struct span){ text, strlen(text) }, &l), 0);
	if (l.kind == LINE_RECORD)
		assert_int_equal(positions_record(ps, &l), POSITION_STORE);
	window_add(w, &l, 0, l.kind == LINE_RECORD ? ps->recent : NULL, row);
	stream_release(&stream);
}

static void positions_move_with_the_window_or_with_part_of_it(void **state)
{
	struct window *w = new_window(true, false);
	const struct window_move *all_moves;
	struct window_move *some;
	struct positions ps;
	size_t n;

	positions_init(&ps, (struct positions_rules){ 0 });
	positions_set(&ps, SPAN("U"), 0, 100, 99, 5);
	record_at(w, &ps,
	    "{\"topic\":\"T\",\"partition\":1,\"offset\":5,\"ts\":11,\"key\":\"a\",\"payload\":{}}");
	record_at(w, &ps,
	    "{\"topic\":\"T\",\"partition\":0,\"offset\":7,\"ts\":12,\"key\":\"a\",\"payload\":{}}");
	record_at(w, &ps, "{\"bare\":1}");
	record_at(w, &ps,
	    "{\"topic\":\"U\",\"partition\":0,\"offset\":100,\"ts\":13,\"key\":\"a\",\"payload\":{}}");
	record_at(w, &ps,
	    "{\"topic\":\"T\",\"partition\":1,\"offset\":9,\"ts\":14,\"key\":\"a\",\"payload\":{}}");
	window_close(w, &ps);

	all_moves = window_moves(w, &n);
	assert_int_equal(n, 3);
	assert_int_equal(all_moves[0].next, 8);
	assert_false(all_moves[0].from_stored);
	assert_int_equal(all_moves[1].place->partition, 1);
	assert_int_equal(all_moves[1].next, 10);
	assert_int_equal(all_moves[1].last_ts, 14);
	assert_true(all_moves[2].from_stored);
	assert_int_equal(all_moves[2].from_next, 100);
	assert_int_equal(all_moves[2].next, 101);

	some = window_moves_before(w, 3, &n);
	assert_int_equal(n, 2);
	assert_int_equal(some[0].next, 8);
	assert_int_equal(some[0].last_ts, 12);
	assert_int_equal(some[1].next, 6);
	assert_int_equal(some[1].last_offset, 5);
	assert_int_equal(some[1].last_ts, 11);
	free(some);
	some = window_moves_before(w, 0, &n);
	assert_int_equal(n, 0);
	free(some);

	/* The next window begins where this one ends. */
	window_clear(w);
	record_at(w, &ps,
	    "{\"topic\":\"T\",\"partition\":1,\"offset\":10,\"key\":\"a\",\"payload\":{}}");
	window_close(w, &ps);
	all_moves = window_moves(w, &n);
	assert_int_equal(n, 1);
	assert_true(all_moves[0].from_stored);
	assert_int_equal(all_moves[0].from_next, 10);
	assert_int_equal(all_moves[0].last_ts, -1);
	positions_release(&ps);
	window_free(w);
	window_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup(f, make_tables)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_last_of_each_key_is_sent_sorted),
		TEST(a_key_is_not_the_beginning_of_another),
		TEST(a_tombstone_is_all_that_is_left_of_its_key),
		TEST(after_a_tombstone_the_full_row_is_enough),
		TEST(columns_left_alone_are_reset_by_a_tombstone),
		TEST(what_deletes_a_key_is_kept_beside_what_comes_again),
		TEST(a_second_tombstone_needs_no_row_between),
		TEST(columns_that_the_last_record_leaves_alone_come_from_the_one_before),
		TEST(rows_without_a_key_stay_in_stream_order),
		TEST(a_row_whose_key_is_the_default_parts_the_others),
		TEST(an_auto_increment_key_that_is_kafkas_is_a_key),
		TEST(only_equal_bytes_are_reduced_in_the_order_of_the_last),
		TEST(a_tombstone_may_be_of_another_spelling),
		TEST(with_partial_they_are_not_reduced_at_all),
		TEST(partial_records_are_merged),
		TEST(a_union_of_columns_is_one_set_of_rows),
		TEST(a_tombstone_ends_a_merge_and_is_sent),
		TEST(without_reduction_every_record_is_sent_in_stream_order),
		TEST(tables_with_another_unique_key_or_of_themselves_are_not_reduced),
		TEST(the_first_record_matters_where_a_default_comes_from_other_columns),
		TEST(deletes_in_stream_order_are_statements_of_their_own),
		TEST(deletes_that_cascade_are_not_reduced_away),
		TEST(parents_are_written_first_and_deleted_last),
		TEST(rows_that_come_again_are_deleted_from_children_first),
		TEST(nothing_moves_before_a_delete_that_cascades),
		TEST(rows_of_one_record_go_parents_first),
		TEST(beside_a_key_of_the_server_upserts_and_deletes_keep_their_order),
		TEST(without_reduction_related_tables_are_written_record_by_record),
		TEST(without_reduction_strangers_are_written_table_by_table),
		TEST(all_records_are_kept_and_rejects_among_them),
		TEST(a_cleared_window_has_forgotten_everything),
		TEST(many_keys_are_found_again),
		TEST(what_the_callback_returns_ends_the_runs),
		TEST(positions_move_with_the_window_or_with_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
