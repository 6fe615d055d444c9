/* The library's headers first: cmocka.h has a macro named fail. */
#include "row.h"
#include "tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TARGETS_MAX 4
#define Q           "\\\"" /* a quote in a literal */

static struct mapping *map;
static struct rows *rows;
static struct row row[TARGETS_MAX];
static struct row_problem problem;

static int teardown(void **state)
{
	rows_free(rows);
	mapping_free(map);
	rows = NULL;
	map = NULL;
	return 0;
}

static void begin(const struct mapping_options *o, const struct rows_options *ro)
{
	teardown(NULL);
	map = mapping_build(&tables_by_hand, o);
	if (!map)
		fail_msg("%s", fail_message());
	assert_true(map->targets <= TARGETS_MAX);
	rows = rows_new(map, ro);
}

static void begin_table(const char *table, const char *keys)
{
	begin(&(struct mapping_options){ .table = table, .keys = keys },
	    &(struct rows_options){ .quiet = true });
}

static void begin_partial(const char *table, const char *keys)
{
	begin(&(struct mapping_options){ .table = table, .keys = keys },
	    &(struct rows_options){ .quiet = true, .partial = true });
}

static void begin_file(const char *text)
{
	char path[] = "/tmp/sluice-row-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	begin(&(struct mapping_options){ .file = path }, &(struct rows_options){ .quiet = true });
	unlink(path);
}

static int convert(const char *text)
{
	/* Each line in memory of its own, so that a look beyond it is seen. */
	static char *copy;
	struct line l;

	free(copy);
	copy = xstrdup(text);
	if (stream_parse(rows_stream(rows), (struct span){ copy, strlen(copy) }, &l) < 0)
		fail_msg("%s: %s", text, fail_message());
	return rows_convert(rows, &l, row, &problem);
}

static void accept(const char *text)
{
	if (convert(text) < 0)
		fail_msg("%s: %s.%s %s", text, problem.table, problem.column, problem.why);
}

static void assert_span(struct span is, const char *want)
{
	if (!span_is(is, want))
		fail_msg("is \"%.*s\", should be \"%s\"", (int)is.n, is.p, want);
}

static void assert_key(struct span is, struct span want)
{
	if (!span_eq(is, want))
		fail_msg("key \"%.*s\" of %zu bytes, should be of %zu", (int)is.n, is.p, is.n, want.n);
}

static void assert_values(const char *text, const char *values)
{
	accept(text);
	assert_int_equal(row[0].kind, ROW_UPSERT);
	assert_span(row[0].values, values);
}

static void assert_deletes(const char *text, const char *values)
{
	accept(text);
	assert_int_equal(row[0].kind, ROW_DELETE);
	assert_span(row[0].values, values);
	assert_null(row[0].columns);
}

static void assert_reject(const char *text, const char *table, const char *column, const char *why)
{
	if (convert(text) == 0)
		fail_msg("accepted: %s", text);
	if (table)
		assert_string_equal(problem.table, table);
	else
		assert_null(problem.table);
	if (column)
		assert_string_equal(problem.column, column);
	else
		assert_null(problem.column);
	if (!strstr(problem.why, why))
		fail_msg("%s: \"%s\", should be \"%s\"", text, problem.why, why);
}

/* A record with these members after its place. */
#define RECORD(rest)      "{\"topic\":\"T\",\"partition\":3,\"offset\":42," rest "}"
#define KEYED(key, value) RECORD("\"key\":" key ",\"payload\":" value)
#define TOMBSTONE(key)    RECORD("\"key\":" key ",\"payload_enc\":\"none\",\"payload\":null")

/* ---- members ---- */

static void members_fill_the_columns_of_their_names(void **state)
{
	begin_table("pairs", NULL);
	assert_values("{\"v\":\"x\",\"a\":\"k\",\"b\":7}", "7,'k','x'");
	assert_values(RECORD("\"payload\":{\"b\":-1,\"a\":\"k\",\"v\":null}"), "-1,'k',NULL");
	assert_int_equal(row[0].columns->count, 3);
}

static void the_exact_case_is_preferred_to_another(void **state)
{
	begin_table("pairs", NULL);
	assert_values("{\"B\":1,\"A\":\"k\"}", "1,'k',NULL");
	assert_values("{\"V\":\"upper\",\"v\":\"exact\",\"b\":1,\"a\":\"k\"}", "1,'k','exact'");
	assert_values("{\"v\":\"exact\",\"V\":\"upper\",\"b\":1,\"a\":\"k\"}", "1,'k','exact'");
	begin_table("dim_users", NULL);
	assert_values("{\"user_id\":\"u\",\"country\":\"be\",\"COUNTRY\":\"fr\"}",
	    "'u',NULL,'fr',NULL,DEFAULT,NULL");
	assert_values("{\"user_id\":\"u\",\"Country\":\"de\",\"COUNTRY\":\"fr\"}",
	    "'u',NULL,'de',NULL,DEFAULT,NULL");
}

static void of_repeated_members_the_last_counts(void **state)
{
	begin_table("pairs", NULL);
	assert_values("{\"b\":1,\"a\":\"k\",\"b\":2,\"b\":3}", "3,'k',NULL");
	assert_values("{\"b\":1,\"a\":\"k\",\"v\":\"x\",\"v\":null}", "1,'k',NULL");
}

static void names_with_escapes_are_the_same_names(void **state)
{
	begin_table("pairs", NULL);
	assert_values("{\"\\u0062\":1,\"\\u0061\":\"k\",\"V\":\"x\",\"\\u0076\":\"y\"}", "1,'k','y'");
	assert_values("{\"\\u0042\":1,\"a\":\"k\"}", "1,'k',NULL");
}

static void the_order_of_members_may_change_from_record_to_record(void **state)
{
	begin_table("pairs", NULL);
	for (int i = 0; i < 3; i++) {
		assert_values("{\"a\":\"k\",\"b\":1,\"v\":\"x\"}", "1,'k','x'");
		assert_values("{\"v\":\"x\",\"b\":1,\"a\":\"k\"}", "1,'k','x'");
		assert_values("{\"a\":\"k\",\"z\":0,\"b\":1}", "1,'k',NULL");
		assert_values("{\"b\":1,\"a\":\"k\",\"a\":\"l\"}", "1,'l',NULL");
	}
}

static void a_record_is_the_full_row(void **state)
{
	begin_table("dim_users", NULL);
	/* NULL for what may be, the column's default, and the time it was added left alone */
	assert_values("{\"user_id\":\"u\"}", "'u',NULL,NULL,NULL,DEFAULT,NULL");
	assert_int_equal(row[0].columns->count, 6);
	assert_int_equal(row[0].columns->at[5], 5);
	assert_int_equal(row[0].ends[1], strlen("'u',NULL"));
	assert_values("{\"user_id\":\"u\",\"added_at\":\"2026-11-21\"}",
	    "'u',NULL,NULL,NULL,DEFAULT,NULL,'2026-11-21 00:00:00'");
	assert_int_equal(row[0].columns->count, 7);
	assert_reject("{\"city\":\"Lyon\"}", "dim_users", "user_id",
	    "is NOT NULL, and the record has no value for it");
	assert_reject("{\"user_id\":null}", "dim_users", "user_id", "NOT NULL");
	assert_reject("{\"user_id\":\"u\",\"source\":null}", "dim_users", "source", "NOT NULL");
}

static void generated_columns_are_never_written(void **state)
{
	begin_table("fact_tx", NULL);
	assert_values("{\"tx\":\"t\",\"user_id\":\"u\",\"amount\":12.50,\"day\":\"2026-11-21\"}",
	    "'t','u',12.50,NULL,NULL");
	assert_int_equal(row[0].columns->count, 5);
	assert_int_equal(rows_counts(rows).unknown, 0);
}

static void an_absent_auto_increment_key_is_left_to_the_server(void **state)
{
	begin_table("events", NULL);
	assert_values("{\"what\":\"x\"}", "'x'");
	assert_int_equal(row[0].columns->count, 1);
	assert_int_equal(row[0].columns->at[0], 1);
	assert_int_equal(row[0].key.n, 0);
	assert_values("{\"what\":\"x\",\"id\":5}", "5,'x'");
	assert_int_equal(row[0].key.n, 8);
	assert_values("{\"what\":\"x\"}", "'x'");
	assert_int_equal(row[0].key.n, 0);
	/* but not when it is the key that is asked for it */
	begin_table("events", "id");
	assert_reject(KEYED("null", "{\"what\":\"x\"}"), "events", "id", "NOT NULL");
}

static void a_default_in_the_key_leaves_it_unknown(void **state)
{
	begin_table("defaults", NULL);
	assert_values("{\"v\":1}", "DEFAULT,1");
	assert_int_equal(row[0].key.n, 0);
}

static void a_value_that_does_not_fit_is_a_reject_with_its_column(void **state)
{
	begin_table("pairs", NULL);
	assert_reject("{\"a\":\"k\",\"b\":1.5}", "pairs", "b", "is no integer");
	assert_reject("{\"a\":\"0123456789012345678901\",\"b\":1}", "pairs", "a",
	    "is longer than 20 characters");
	assert_values("{\"a\":\"k\",\"b\":1}", "1,'k',NULL");
}

static void rounded_decimals_of_accepted_records_are_counted(void **state)
{
	begin_table("places", NULL);
	assert_values("{\"topic\":\"t\",\"part\":1,\"off\":2}", "'t',1,2,NULL,NULL,NULL");
	assert_int_equal(rows_counts(rows).rounded, 0);
	begin_table("fact_tx", NULL);
	assert_values("{\"tx\":\"t\",\"user_id\":\"u\",\"amount\":0.125}", "'t','u',0.13,NULL,NULL");
	assert_reject("{\"tx\":\"t\",\"user_id\":\"u\",\"amount\":0.125,\"note\":\"0123456789012345678901234567890123456789"
		      "0123456789012345678901234567890123456789012345678901234567890\"}",
	    "fact_tx", "note", "is longer than 100 characters");
	assert_int_equal(rows_counts(rows).rounded, 1);
	assert_values("{\"tx\":\"t\",\"user_id\":\"u\",\"amount\":1}", "'t','u',1,NULL,NULL");
	assert_int_equal(rows_counts(rows).rounded, 1);
}

static void members_without_a_column_are_counted(void **state)
{
	begin_table("pairs", NULL);
	accept("{\"a\":\"k\",\"b\":1,\"x\":1,\"y\":{\"a\":2}}");
	accept("{\"a\":\"k\",\"b\":1,\"x\":1,\"\":0}");
	assert_int_equal(rows_counts(rows).unknown, 4);
}

static void a_payload_without_any_column_is_a_reject(void **state)
{
	begin_table("pairs", "a,b");
	assert_reject(KEYED("{\"a\":\"k\",\"b\":1}", "{\"x\":1,\"y\":2}"), "pairs", NULL,
	    "no member of the payload has a column");
	assert_reject(KEYED("{\"a\":\"k\",\"b\":1}", "{}"), "pairs", NULL,
	    "no member of the payload has a column");
	assert_values(KEYED("{\"a\":\"k\",\"b\":1}", "{\"x\":1,\"v\":null}"), "1,'k',NULL");
	/* a member whose column is left alone fills nothing */
	begin_file("{\"tables\":[{\"table\":\"pairs\",\"columns\":{\"a\":\"@key\",\"v\":null}}]}");
	assert_reject(KEYED("\"k\"", "{\"v\":1}"), "pairs", NULL,
	    "no member of the payload has a column");
	/* nothing of the payload is asked for here: there is nothing to blank */
	begin_file(
	    "{\"tables\":[{\"table\":\"pairs\",\"columns\":{\"a\":\"@key\",\"b\":\"@offset\",\"v\":null}}]}");
	assert_values(KEYED("\"k\"", "{\"x\":1}"), "42,'k'");
}

static void a_payload_that_is_no_object_is_a_reject(void **state)
{
	begin_table("pairs", NULL);
	assert_reject(RECORD("\"payload\":null"), NULL, NULL, "the payload is not an object");
	assert_reject(RECORD("\"payload\":[{\"a\":1}]"), NULL, NULL, "the payload is not an object");
	assert_reject(RECORD("\"payload\":\"{\\\"a\\\":\\\"k\\\",\\\"b\\\":1}\""), NULL, NULL,
	    "not an object");
	assert_reject(RECORD("\"payload_enc\":\"utf8\",\"payload\":\"a=1\""), NULL, NULL,
	    "not an object");
	assert_reject(RECORD("\"payload_enc\":\"base64\",\"payload\":\"e30=\""), NULL, NULL,
	    "not an object");
	assert_reject("{\"path\":\"x\",\"payload\":5}", NULL, NULL, "not an object");
}

static void text_that_is_an_object_is_one(void **state)
{
	begin_table("pairs", NULL);
	assert_values(RECORD("\"payload_enc\":\"utf8\",\"payload\":\"{\\\"a\\\":\\\"k\\\",\\\"b\\\":1}\""),
	    "1,'k',NULL");
	assert_values(RECORD("\"broker\":1,\"key\":\"x\",\"payload\":\"{\\\"a\\\":\\\"k\\\",\\n\\\"b\\\":1}\""),
	    "1,'k',NULL");
	assert_values("{\"path\":\"x\",\"payload\":{\"a\":\"k\",\"b\":2}}", "2,'k',NULL");
}

/* ---- keys ---- */

static void one_key_column_takes_the_scalar_key(void **state)
{
	begin_table("dim_users", "user_id");
	assert_values(KEYED("\"U1\"", "{\"city\":\"Lyon\"}"), "'U1','Lyon',NULL,NULL,DEFAULT,NULL");
	assert_values(KEYED("17", "{\"city\":\"Lyon\"}"), "'17','Lyon',NULL,NULL,DEFAULT,NULL");
	assert_values(RECORD("\"key_enc\":\"base64\",\"key\":\"VTE=\",\"payload\":{\"city\":\"Lyon\"}"),
	    "'U1','Lyon',NULL,NULL,DEFAULT,NULL");
	assert_reject(RECORD("\"key_enc\":\"base64\",\"key\":\"/w==\",\"payload\":{\"city\":\"Lyon\"}"),
	    "dim_users", "user_id", "UTF-8");
	assert_reject(RECORD("\"key_enc\":\"base64\",\"key\":\"!\",\"payload\":{\"city\":\"Lyon\"}"),
	    NULL, NULL, "\"key\" is marked base64 but is not");
	assert_reject(KEYED("null", "{\"city\":\"Lyon\"}"), "dim_users", "user_id", "NOT NULL");
	assert_reject(RECORD("\"payload\":{\"city\":\"Lyon\"}"), "dim_users", "user_id", "NOT NULL");
}

static void the_key_beats_a_member_of_its_name(void **state)
{
	begin_table("dim_users", "user_id");
	assert_values(KEYED("\"U1\"", "{\"user_id\":\"U2\"}"), "'U1',NULL,NULL,NULL,DEFAULT,NULL");
	assert_int_equal(rows_counts(rows).unknown, 0);
	assert_reject("{\"user_id\":\"U2\"}", "dim_users", "user_id", "NOT NULL");
	begin_table("pairs", "a,b");
	assert_values(KEYED("{\"a\":\"k\",\"b\":1}", "{\"a\":\"l\",\"b\":2,\"v\":\"x\"}"), "1,'k','x'");
}

static void several_key_columns_take_the_members_of_the_key(void **state)
{
	begin_table("pairs", "a,b");
	assert_values(KEYED("{\"a\":\"k\",\"b\":1}", "{\"v\":\"x\"}"), "1,'k','x'");
	assert_values(KEYED("\"{\\\"a\\\":\\\"k\\\\u0021\\\", \\\"b\\\":1}\"", "{\"v\":\"x\"}"),
	    "1,'k!','x'");
	/* kread writes text with many quotes as base64, which is shorter. */
	assert_values(RECORD("\"key_enc\":\"base64\",\"key\":\"eyJhIjoieCIsImIiOjF9\",\"payload\":{\"v\":\"x\"}"),
	    "1,'x','x'");
	assert_values(KEYED("{\"B\":1,\"A\":\"no\",\"a\":\"k\"}", "{\"v\":\"x\"}"), "1,'k','x'");
	assert_reject(KEYED("{\"a\":\"k\"}", "{\"b\":1,\"v\":\"x\"}"), "pairs", "b", "NOT NULL");
	assert_reject(KEYED("\"a,b\"", "{\"v\":\"x\"}"), NULL, NULL, "the key is not a JSON object");
	assert_reject(KEYED("\"[1]\"", "{\"v\":\"x\"}"), NULL, NULL, "the key is not a JSON object");
	assert_reject(KEYED("7", "{\"v\":\"x\"}"), NULL, NULL, "the key is not a JSON object");
	assert_reject(KEYED("\"{\\\"a\\\":}\"", "{\"v\":\"x\"}"), NULL, NULL,
	    "the key is not a JSON object");
	assert_reject(KEYED("null", "{\"v\":\"x\"}"), "pairs", "b", "NOT NULL");
}

static void row_keys_are_equal_only_if_all_parts_are(void **state)
{
	begin_table("pairs", NULL);
	assert_values("{\"a\":\"k\",\"b\":1}", "1,'k',NULL");
	assert_key(row[0].key, SPAN("k\0\0\x80\0\0\0\0\0\0\1"));
	assert_values("{\"a\":\"x\\u0000y\\u0000\",\"b\":1}", "1,'x\\0y\\0',NULL");
	assert_key(row[0].key, SPAN("x\0\377y\0\377\0\0\x80\0\0\0\0\0\0\1"));
	assert_values("{\"a\":\"\",\"b\":-1}", "-1,'',NULL");
	assert_key(row[0].key, SPAN("\0\0\x7f\377\377\377\377\377\377\377"));
	begin_table("dim_users", "user_id");
	assert_values(KEYED("\"\"", "{\"city\":null}"), "'',NULL,NULL,NULL,DEFAULT,NULL");
	assert_key(row[0].key, SPAN("\0\0"));
}

static int compare_spans(struct span a, struct span b)
{
	int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

static void row_keys_sort_part_by_part(void **state)
{
	/* in ascending order */
	static const char *const lines[] = {
		"{\"a\":\"\",\"b\":5}",
		"{\"a\":\"\\u0000\",\"b\":1}",
		"{\"a\":\"\\u0000\\u0000\",\"b\":1}",
		"{\"a\":\"\\u0000a\",\"b\":1}",
		"{\"a\":\"\\u0001\",\"b\":1}",
		"{\"a\":\"a\",\"b\":-2}",
		"{\"a\":\"a\",\"b\":1}",
		"{\"a\":\"a\\u0000\",\"b\":0}",
		"{\"a\":\"aa\",\"b\":0}",
		"{\"a\":\"b\",\"b\":-9}",
	};
	struct buf last = BUF_INIT;

	begin_table("pairs", NULL);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		accept(lines[i]);
		if (i > 0 && compare_spans(buf_span(&last), row[0].key) >= 0)
			fail_msg("%s does not sort behind %s", lines[i], lines[i - 1]);
		buf_clear(&last);
		buf_add_span(&last, row[0].key);
	}
	buf_release(&last);
}

/* ---- tombstones ---- */

static void tombstones_delete_by_the_key(void **state)
{
	begin_table("dim_users", "user_id");
	assert_deletes(TOMBSTONE("\"U'1\""), "'U\\'1'");
	assert_key(row[0].key, SPAN("U'1\0\0"));
	assert_deletes(RECORD("\"broker\":0,\"key\":\"U1\",\"payload\":null"), "'U1'");
	assert_reject(TOMBSTONE("null"), "dim_users", "user_id", "the tombstone does not fill it");
	begin_table("pairs", "a,b");
	/* in the order of the primary key */
	assert_deletes(TOMBSTONE("{\"b\":1,\"a\":\"k\"}"), "'k',1");
	assert_key(row[0].key, SPAN("k\0\0\x80\0\0\0\0\0\0\1"));
	assert_reject(TOMBSTONE("{\"a\":\"k\"}"), "pairs", "b", "the tombstone does not fill it");
	assert_reject(TOMBSTONE("{\"a\":\"k\",\"b\":\"x\"}"), "pairs", "b", "is no number");
}

static void the_key_of_a_tombstone_is_that_of_its_upsert(void **state)
{
	struct buf key = BUF_INIT;

	begin_table("pairs", "b,a");
	accept(KEYED("{\"a\":\"k\\u0000\",\"b\":1}", "{\"v\":\"x\"}"));
	buf_add_span(&key, row[0].key);
	accept(TOMBSTONE("{\"b\":1.0,\"a\":\"k\\u0000\"}"));
	assert_key(row[0].key, buf_span(&key));
	buf_release(&key);
}

static void tombstones_that_no_key_helps_are_rejects(void **state)
{
	begin_table("dim_users", NULL);
	assert_reject(TOMBSTONE("\"U1\""), NULL, NULL, "no key says which row it deletes");
	/* the key does not fill the whole primary key, and no payload is there to */
	begin_table("pairs", "a");
	assert_values(KEYED("\"k\"", "{\"b\":1}"), "1,'k',NULL");
	assert_reject(TOMBSTONE("\"k\""), "pairs", "b", "the tombstone does not fill it");
}

static void windows_topics_and_partitions_help_a_tombstone(void **state)
{
	begin_file(
	    "{\"tables\":[{\"table\":\"windows\",\"key\":[\"type\"],\"columns\":{\"window_start\":\"@window.start\"}}]}");
	assert_deletes(RECORD("\"key\":\"card\",\"window\":{\"start\":1763697600123,\"end\":1763697900000},"
			      "\"payload_enc\":\"none\",\"payload\":null"),
	    "'card','2025-11-21 04:00:00.123'");
	assert_reject(TOMBSTONE("\"card\""), "windows", "window_start",
	    "the tombstone does not fill it");
	begin_file("{\"tables\":[{\"table\":\"places\",\"key\":[\"off\"],"
		   "\"columns\":{\"topic\":\"@topic\",\"part\":\"@partition\"}}]}");
	assert_deletes(TOMBSTONE("7"), "'T',3,7");
	/* no row was ever stored with the offset of its tombstone */
	begin_file("{\"tables\":[{\"table\":\"places\",\"key\":[\"topic\"],"
		   "\"columns\":{\"off\":\"@offset\",\"part\":\"@partition\"}}]}");
	assert_reject(TOMBSTONE("\"T\""), "places", "off", "the tombstone does not fill it");
	begin_file(
	    "{\"tables\":[{\"table\":\"windows\",\"key\":[\"type\"],\"columns\":{\"window_start\":\"@ts\"}}]}");
	assert_reject(RECORD("\"key\":\"card\",\"ts\":5,\"payload_enc\":\"none\",\"payload\":null"),
	    "windows", "window_start", "the tombstone does not fill it");
}

static void tombstones_leave_tables_of_other_topics_alone(void **state)
{
	begin_file("{\"tables\":[{\"table\":\"pairs\",\"topics\":[\"P\"],\"key\":[\"a\",\"b\"]},"
		   "{\"table\":\"dim_users\",\"key\":[\"user_id\"]}]}");
	assert_deletes(TOMBSTONE("\"U1\""), "'U1'");
	assert_int_equal(row[1].kind, ROW_NONE);
}

/* ---- mappings ---- */

static void paths_lead_into_the_payload(void **state)
{
	begin_file(
	    "{\"tables\":[{\"table\":\"pairs\",\"columns\":{\"a\":\".user.id\",\"b\":\".user.address.no\",\"v\":\".user\"}}]}");
	assert_values("{\"user\":{\"id\":\"u\",\"address\":{\"no\":4}}}",
	    "4,'u','{" Q "id" Q ":" Q "u" Q "," Q "address" Q ":{" Q "no" Q ":4}}'");
	assert_reject("{\"user\":{\"id\":\"u\",\"address\":7}}", "pairs", "b", "NOT NULL");
	/* the last of repeated members takes the place of all of the first */
	assert_reject("{\"user\":{\"id\":\"u\",\"address\":{\"no\":4}},\"user\":{\"id\":\"w\"}}",
	    "pairs", "b", "NOT NULL");
	assert_reject("{\"user\":{\"id\":\"u\",\"address\":{\"no\":4}},\"user\":null}", "pairs",
	    "b", "NOT NULL");
	assert_values("{\"user\":1,\"user\":{\"id\":\"u\",\"address\":{\"no\":4},\"address\":{\"no\":5}}}",
	    "5,'u','{" Q "id" Q ":" Q "u" Q "," Q "address" Q ":{" Q "no" Q ":4}," Q "address" Q
	    ":{" Q "no" Q ":5}}'");
	/* paths are exact */
	assert_reject("{\"User\":{\"id\":\"u\",\"address\":{\"no\":4}}}", "pairs", NULL,
	    "no member of the payload has a column");
	assert_values("{\"\\u0075ser\":{\"i\\u0064\":\"u\",\"address\":{\"no\":4}}}",
	    "4,'u','{" Q "i\\\\u0064" Q ":" Q "u" Q "," Q "address" Q ":{" Q "no" Q ":4}}'");
}

static void a_member_whose_column_takes_another_path_is_known_but_fills_nothing(void **state)
{
	begin_file("{\"tables\":[{\"table\":\"pairs\",\"columns\":{\"v\":\".w\"}}]}");
	assert_values("{\"a\":\"k\",\"b\":1,\"v\":\"x\",\"w\":\"y\"}", "1,'k','y'");
	assert_values("{\"a\":\"k\",\"b\":1,\"v\":\"x\"}", "1,'k',NULL");
	assert_int_equal(rows_counts(rows).unknown, 0);
}

static void the_envelope_fills_what_a_mapping_asks_for(void **state)
{
	begin_file("{\"tables\":[{\"table\":\"places\",\"columns\":{\"topic\":\"@topic\",\"part\":\"@partition\","
		   "\"off\":\"@offset\",\"at\":\"@ts\",\"ends\":\"@window.end\",\"k\":\"@key\"}}]}");
	assert_values("{\"topic\":\"T\\\"\\u0041\",\"partition\":1,\"offset\":9007199254740993,\"ts\":1763697600123,"
		      "\"window\":{\"start\":0,\"end\":1763697600123},\"key_enc\":\"base64\",\"key\":\"/wA=\",\"payload\":{}}",
	    "'T\\\"A',1,9007199254740993,1763697600123,'2025-11-21 04:00:00',x'ff00'");
	assert_values(RECORD("\"payload\":{}"), "'T',3,42,NULL,NULL,NULL");
	assert_values(RECORD("\"payload\":{},\"window\":null"), "'T',3,42,NULL,NULL,NULL");
	assert_values(RECORD("\"payload\":{},\"window\":{}"), "'T',3,42,NULL,NULL,NULL");
	assert_reject(RECORD("\"payload\":{},\"window\":5"), "places", "ends",
	    "the record's time or window is not one");
	assert_reject(RECORD("\"payload\":{},\"window\":{\"end\":\"x\"}"), "places", "ends", "not one");
	assert_reject(RECORD("\"payload\":{},\"window\":{\"end\":253402300800000}"), "places",
	    "ends", "not one");
	assert_reject(RECORD("\"payload\":{},\"window\":{\"end\":-1}"), "places", "ends", "not one");
	assert_values(RECORD("\"payload\":{},\"window\":{\"end\":-1,\"\\u0065nd\":0}"),
	    "'T',3,42,NULL,'1970-01-01 00:00:00',NULL");
	assert_reject("{\"x\":1}", "places", "topic", "NOT NULL");
}

static void a_time_that_a_record_has_not_is_left_to_the_server(void **state)
{
	begin_file("{\"tables\":[{\"table\":\"dim_users\",\"key\":[\"user_id\"],\"columns\":{\"added_at\":\"@ts\","
		   "\"source\":\"@topic\"}}]}");
	assert_values(KEYED("\"u\"", "{\"city\":\"x\"}"), "'u','x',NULL,NULL,'T',NULL");
	assert_int_equal(row[0].columns->count, 6);
	/* but no other default: there may be a key among them */
	assert_reject("{\"user_id\":\"u\",\"city\":\"x\"}", "dim_users", "user_id", "NOT NULL");
	begin_file("{\"tables\":[{\"table\":\"defaults\",\"columns\":{\"id\":\"@key\"}}]}");
	assert_reject(KEYED("null", "{\"v\":1}"), "defaults", "id", "NOT NULL");
}

static void a_time_of_the_envelope_is_in_milliseconds_however_small(void **state)
{
	begin_file(
	    "{\"tables\":[{\"table\":\"windows\",\"key\":[\"type\"],\"columns\":{\"window_start\":\"@ts\"}}]}");
	assert_values(RECORD("\"ts\":5,\"key\":\"x\",\"payload\":{\"total\":1}"),
	    "'x','1970-01-01 00:00:00.005',1");
}

static void window_is_no_payload_member(void **state)
{
	begin_table("windows", "type");
	assert_reject(RECORD("\"key\":\"x\",\"window\":{\"start\":0,\"end\":1},\"payload\":{\"total\":1}"),
	    "windows", "window_start", "NOT NULL");
}

static void constants_are_the_same_in_each_row(void **state)
{
	begin_file("{\"tables\":[{\"table\":\"dim_users\",\"columns\":{\"source\":{\"const\":\"kaf'ka\"},\"score\":{\"const\":1e3},"
		   "\"city\":null,\"Country\":null}}]}");
	assert_values("{\"user_id\":\"u\",\"source\":\"x\"}", "'u',1000,'kaf\\'ka',NULL");
	assert_values("{\"user_id\":\"v\",\"city\":\"Lyon\"}", "'v',1000,'kaf\\'ka',NULL");
	assert_int_equal(rows_counts(rows).unknown, 0);
}

#define TWO                                                                                                \
	"{\"tables\":[{\"table\":\"fact_tx\",\"topics\":[\"TX\"],\"columns\":{\"user_id\":\".user.id\"}}," \
	"{\"table\":\"dim_users\",\"key\":[\"user_id\"],\"columns\":{\"city\":\".user.city\"}}]}"

static void one_record_fills_several_tables(void **state)
{
	begin_file(TWO);
	accept("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":\"U1\","
	       "\"payload\":{\"tx\":\"t\",\"amount\":1,\"user\":{\"id\":\"U1\",\"city\":\"Lyon\"}}}");
	assert_span(row[0].values, "'U1','Lyon',NULL,NULL,DEFAULT,NULL");
	assert_span(row[1].values, "'t','U1',1,NULL,NULL");
	assert_int_equal(rows_counts(rows).unknown, 0);
}

static void a_table_takes_its_topics_only(void **state)
{
	begin_file(TWO);
	accept(KEYED("\"U1\"", "{\"score\":7,\"tx\":\"t\"}"));
	assert_int_equal(row[0].kind, ROW_UPSERT);
	assert_int_equal(row[1].kind, ROW_NONE);
	assert_int_equal(rows_counts(rows).unknown, 1); /* tx, which only the other table has */
	begin_file("{\"tables\":[{\"table\":\"pairs\",\"topics\":[\"A\",\"B\"]}]}");
	accept("{\"topic\":\"A\",\"partition\":0,\"offset\":0,\"payload\":{\"a\":\"k\",\"b\":1}}");
	assert_int_equal(row[0].kind, ROW_UPSERT);
	accept(RECORD("\"payload\":17"));
	assert_int_equal(row[0].kind, ROW_NONE);
	accept("{\"a\":\"k\",\"b\":1}");
	assert_int_equal(row[0].kind, ROW_NONE);
	accept(TOMBSTONE("\"U1\""));
	assert_int_equal(row[0].kind, ROW_NONE);
}

static void what_one_table_rejects_reaches_none(void **state)
{
	begin_file(TWO);
	assert_reject("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":\"U1\","
		      "\"payload\":{\"tx\":\"t\",\"amount\":\"x\",\"user\":{\"id\":\"U1\",\"city\":\"Lyon\"}}}",
	    "fact_tx", "amount", "is no number");
	assert_reject("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":\"U1\",\"payload\":{\"tx\":\"t\"}}",
	    "dim_users", NULL, "no member of the payload has a column");
}

static void tombstones_leave_tables_without_key_alone(void **state)
{
	begin_file(TWO);
	accept("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":\"U1\",\"payload_enc\":\"none\",\"payload\":null}");
	assert_int_equal(row[0].kind, ROW_DELETE);
	assert_span(row[0].values, "'U1'");
	assert_int_equal(row[1].kind, ROW_NONE);
}

/* ---- partial ---- */

static void partial_rows_have_the_columns_of_their_members(void **state)
{
	begin_partial("dim_users", "user_id");
	assert_values(KEYED("\"U1\"", "{\"score\":7,\"city\":null}"), "'U1',NULL,7");
	assert_int_equal(row[0].columns->count, 3);
	assert_int_equal(row[0].columns->at[0], 0);
	assert_int_equal(row[0].columns->at[1], 1);
	assert_int_equal(row[0].columns->at[2], 3);
	assert_int_equal(row[0].ends[0], 4);
	assert_int_equal(row[0].ends[1], 9);
	assert_int_equal(row[0].ends[2], 11);
	begin_partial("fact_tx", NULL);
	assert_reject("{\"tx\":\"t\",\"user_id\":\"u\"}", "fact_tx", "amount", "NOT NULL");
	assert_reject("{\"user_id\":\"u\",\"amount\":1}", "fact_tx", "tx", "NOT NULL");
	assert_values("{\"tx\":\"t\",\"user_id\":\"u\",\"amount\":1}", "'t','u',1");
}

static void partial_leaves_an_absent_envelope_alone(void **state)
{
	teardown(NULL);
	begin_file("{\"tables\":[{\"table\":\"pairs\",\"columns\":{\"v\":\"@ts\"}}]}");
	rows_free(rows);
	rows = rows_new(map, &(struct rows_options){ .partial = true, .quiet = true });
	assert_values(RECORD("\"payload\":{\"a\":\"k\",\"b\":1}"), "1,'k'");
}

static void equal_sets_of_columns_are_one_pointer(void **state)
{
	const struct column_set *two, *three;

	begin_partial("pairs", NULL);
	accept("{\"a\":\"k\",\"b\":1}");
	two = row[0].columns;
	accept("{\"v\":\"x\",\"a\":\"l\",\"b\":1}");
	three = row[0].columns;
	assert_ptr_not_equal(two, three);
	accept("{\"b\":1,\"a\":\"k\"}");
	assert_ptr_equal(row[0].columns, two);
	accept("{\"b\":1,\"v\":null,\"a\":\"k\"}");
	assert_ptr_equal(row[0].columns, three);
	assert_int_equal(two->count, 2);
}

static void any_number_of_sets_is_interned(void **state)
{
	const struct column_set *set[256];
	struct buf line = BUF_INIT;

	begin_partial("wide", NULL);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned bits = 0; bits < 256; bits++) {
			buf_clear(&line);
			buf_add_str(&line, "{\"id\":1");
			for (unsigned i = 0; i < 8; i++)
				if (bits >> i & 1)
					buf_addf(&line, ",\"c%u\":%u", i, i);
			buf_add_char(&line, '}');
			accept(buf_cstr(&line));
			assert_int_equal(row[0].columns->count, 1 + __builtin_popcount(bits));
			if (round == 0)
				set[bits] = row[0].columns;
			assert_ptr_equal(row[0].columns, set[bits]);
			for (unsigned i = 0; round == 0 && i < bits; i++)
				assert_ptr_not_equal(set[i], set[bits]);
		}
	buf_release(&line);
}

/* ---- many names ---- */

/* What is said on stderr about a line. */
static const char *warnings(const char *text)
{
	static char said[4096];
	FILE *file = tmpfile();
	int old = dup(STDERR_FILENO);

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	accept(text);
	dup2(old, STDERR_FILENO);
	close(old);
	rewind(file);
	said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
	fclose(file);
	return said;
}

static void a_member_without_a_column_is_named_once(void **state)
{
	struct buf line = BUF_INIT;
	unsigned n = 0;

	begin(&(struct mapping_options){ .table = "events" }, &(struct rows_options){ 0 });
	assert_string_equal(warnings("{\"x\":1,\"what\":\"\",\"x\":2}"),
	    "sluice: member x has no column: it is not stored\n");
	assert_string_equal(warnings("{\"what\":\"\",\"x\":1,\"WHAT\":7}"), "");
	assert_string_equal(warnings(RECORD("\"payload\":{\"what\":\"\",\"y\\n\":1}")),
	    "sluice: member y? of topic T has no column: it is not stored\n");
	for (int i = 0; i < 200; i++) {
		buf_clear(&line);
		buf_addf(&line, "{\"what\":\"\",\"n%d\":1}", i);
		n += strlen(warnings(buf_cstr(&line))) > 0;
	}
	assert_int_equal(n, 99); /* the last one says that there are more */
	assert_int_equal(rows_counts(rows).unknown, 204);
	buf_release(&line);
}

static void ever_new_names_are_counted_and_do_not_pile_up(void **state)
{
	struct buf line = BUF_INIT;

	begin_table("pairs", NULL);
	for (int i = 0; i < 20000; i++) {
		buf_clear(&line);
		buf_addf(&line, "{\"x%d\":1,\"A\":\"k\",\"b\":%d,\"y%d\":{\"a\":1}}", i, i, i);
		accept(buf_cstr(&line));
		assert_int_equal(row[0].kind, ROW_UPSERT);
		buf_clear(&line);
		buf_addf(&line, "%d,'k',NULL", i);
		assert_span(row[0].values, buf_cstr(&line));
	}
	assert_int_equal(rows_counts(rows).unknown, 40000);
	buf_release(&line);
}

static void a_name_may_be_as_long_as_a_line(void **state)
{
	struct buf line = BUF_INIT;

	begin_table("pairs", NULL);
	for (int i = 0; i < 3; i++) {
		buf_clear(&line);
		buf_add_str(&line, "{\"");
		for (int k = 0; k < 100000; k++)
			buf_add_char(&line, 'n');
		buf_add_str(&line, "\":1,\"a\":\"k\",\"b\":1}");
		assert_values(buf_cstr(&line), "1,'k',NULL");
	}
	assert_int_equal(rows_counts(rows).unknown, 3);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(members_fill_the_columns_of_their_names, teardown),
		cmocka_unit_test_teardown(the_exact_case_is_preferred_to_another, teardown),
		cmocka_unit_test_teardown(of_repeated_members_the_last_counts, teardown),
		cmocka_unit_test_teardown(names_with_escapes_are_the_same_names, teardown),
		cmocka_unit_test_teardown(the_order_of_members_may_change_from_record_to_record,
		    teardown),
		cmocka_unit_test_teardown(a_record_is_the_full_row, teardown),
		cmocka_unit_test_teardown(generated_columns_are_never_written, teardown),
		cmocka_unit_test_teardown(an_absent_auto_increment_key_is_left_to_the_server, teardown),
		cmocka_unit_test_teardown(a_default_in_the_key_leaves_it_unknown, teardown),
		cmocka_unit_test_teardown(a_value_that_does_not_fit_is_a_reject_with_its_column,
		    teardown),
		cmocka_unit_test_teardown(rounded_decimals_of_accepted_records_are_counted, teardown),
		cmocka_unit_test_teardown(members_without_a_column_are_counted, teardown),
		cmocka_unit_test_teardown(a_payload_without_any_column_is_a_reject, teardown),
		cmocka_unit_test_teardown(a_payload_that_is_no_object_is_a_reject, teardown),
		cmocka_unit_test_teardown(text_that_is_an_object_is_one, teardown),
		cmocka_unit_test_teardown(one_key_column_takes_the_scalar_key, teardown),
		cmocka_unit_test_teardown(the_key_beats_a_member_of_its_name, teardown),
		cmocka_unit_test_teardown(several_key_columns_take_the_members_of_the_key, teardown),
		cmocka_unit_test_teardown(row_keys_are_equal_only_if_all_parts_are, teardown),
		cmocka_unit_test_teardown(row_keys_sort_part_by_part, teardown),
		cmocka_unit_test_teardown(tombstones_delete_by_the_key, teardown),
		cmocka_unit_test_teardown(the_key_of_a_tombstone_is_that_of_its_upsert, teardown),
		cmocka_unit_test_teardown(tombstones_that_no_key_helps_are_rejects, teardown),
		cmocka_unit_test_teardown(windows_topics_and_partitions_help_a_tombstone, teardown),
		cmocka_unit_test_teardown(tombstones_leave_tables_of_other_topics_alone, teardown),
		cmocka_unit_test_teardown(paths_lead_into_the_payload, teardown),
		cmocka_unit_test_teardown(a_member_whose_column_takes_another_path_is_known_but_fills_nothing,
		    teardown),
		cmocka_unit_test_teardown(the_envelope_fills_what_a_mapping_asks_for, teardown),
		cmocka_unit_test_teardown(a_time_that_a_record_has_not_is_left_to_the_server, teardown),
		cmocka_unit_test_teardown(a_time_of_the_envelope_is_in_milliseconds_however_small,
		    teardown),
		cmocka_unit_test_teardown(window_is_no_payload_member, teardown),
		cmocka_unit_test_teardown(constants_are_the_same_in_each_row, teardown),
		cmocka_unit_test_teardown(one_record_fills_several_tables, teardown),
		cmocka_unit_test_teardown(a_table_takes_its_topics_only, teardown),
		cmocka_unit_test_teardown(what_one_table_rejects_reaches_none, teardown),
		cmocka_unit_test_teardown(tombstones_leave_tables_without_key_alone, teardown),
		cmocka_unit_test_teardown(partial_rows_have_the_columns_of_their_members, teardown),
		cmocka_unit_test_teardown(partial_leaves_an_absent_envelope_alone, teardown),
		cmocka_unit_test_teardown(equal_sets_of_columns_are_one_pointer, teardown),
		cmocka_unit_test_teardown(any_number_of_sets_is_interned, teardown),
		cmocka_unit_test_teardown(a_member_without_a_column_is_named_once, teardown),
		cmocka_unit_test_teardown(ever_new_names_are_counted_and_do_not_pile_up, teardown),
		cmocka_unit_test_teardown(a_name_may_be_as_long_as_a_line, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
