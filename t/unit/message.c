/* The library's headers first: cmocka.h has a macro named fail. */
#include "message.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct stream stream;
static struct message_rules rules;
static char text[4096]; /* the scanner may read behind a line */

static int parse(const char *line, struct message *m)
{
	struct line l;
	size_t n = strlen(line);

	assert_true(n < sizeof(text) - 64);
	memcpy(text, line, n + 1);
	assert_int_equal(stream_parse(&stream, (struct span){ text, n }, &l), 0);
	return message_from_line(&rules, &stream, &l, m);
}

static void assert_bytes(struct span got, const char *want, size_t n)
{
	assert_int_equal(got.n, n);
	assert_memory_equal(got.p, want, n);
}

static int set_up(void **state)
{
	stream_init(&stream);
	rules = (struct message_rules){ .key_want = -1 };
	return 0;
}

static int tear_down(void **state)
{
	message_rules_release(&rules);
	stream_release(&stream);
	return 0;
}

static void a_record_is_what_it_was_in_kafka(void **state)
{
	struct message m;

	assert_int_equal(parse("{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"tstype\":\"create\","
			       "\"ts\":1763697600123,\"key\":\"U1\",\"payload\":{\"a\": 12.50}}",
			     &m),
	    0);
	assert_bytes(m.topic, "TX", 2);
	assert_true(m.has_key && m.has_payload);
	assert_bytes(m.key, "U1", 2);
	assert_bytes(m.payload, "{\"a\": 12.50}", 12);
	assert_int_equal(m.ts, INT64_C(1763697600123));
	assert_int_equal(m.partition, RD_KAFKA_PARTITION_UA);
	assert_null(m.headers);
}

static void its_partition_is_kept_when_asked(void **state)
{
	struct message m;

	rules.keep_partition = true;
	assert_int_equal(parse("{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"payload\":1}", &m),
	    0);
	assert_int_equal(m.partition, 3);
}

static void null_and_empty_are_different(void **state)
{
	struct message m;

	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":null,\"payload_enc\":\"none\",\"payload\":null}",
	    &m);
	assert_false(m.has_key);
	assert_false(m.has_payload);
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key\":\"\",\"payload_enc\":\"utf8\",\"payload\":\"\"}",
	    &m);
	assert_true(m.has_key && m.key.n == 0);
	assert_true(m.has_payload && m.payload.n == 0);
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload\":null}", &m);
	assert_true(m.has_payload);
	assert_bytes(m.payload, "null", 4);
}

static void base64_becomes_bytes_again(void **state)
{
	struct message m;

	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"key_enc\":\"base64\",\"key\":\"AP8=\","
	      "\"payload_enc\":\"base64\",\"payload\":\"/wA=\"}",
	    &m);
	assert_bytes(m.key, "\0\xff", 2);
	assert_bytes(m.payload, "\xff\0", 2);
	assert_int_equal(parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload_enc\":\"base64\","
			       "\"payload\":\"/w\"}",
			     &m),
	    -1);
	assert_int_equal(fail_code(), EXIT_DATA);
}

static void a_line_of_kcat_has_text(void **state)
{
	struct message m;

	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"tstype\":\"create\",\"ts\":5,\"broker\":1,"
	      "\"headers\":[\"a\",\"1\"],\"key\":\"k\",\"payload\":\"{\\\"a\\\":1}\"}",
	    &m);
	assert_bytes(m.payload, "{\"a\":1}", 7);
	assert_non_null(m.headers);
	rd_kafka_headers_destroy(m.headers);
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"broker\":1,\"key\":null,\"payload\":null}",
	    &m);
	assert_false(m.has_payload);
}

static void times_that_are_none(void **state)
{
	struct message m;

	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload\":1}", &m);
	assert_int_equal(m.ts, 0);
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"tstype\":\"unknown\",\"ts\":-1,\"payload\":1}",
	    &m);
	assert_int_equal(m.ts, -1);
	assert_int_equal(rules.undated, 0);
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"tstype\":\"create\",\"ts\":0,\"payload\":1}",
	    &m);
	assert_int_equal(rules.undated, 1);
}

/* What the span of a member holds that is not there is left over from another line, or from nothing. */
static void a_type_of_time_that_is_not_there_says_nothing(void **state)
{
	struct message m;
	struct line l;

	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":0,\"payload\":1}", &m);
	assert_int_equal(stream_parse(&stream, (struct span){ text, strlen(text) }, &l), 0);
	assert_int_equal(l.tstype.type, JSON_NONE);
	l.tstype.raw = SPAN("\"unknown\"");
	assert_int_equal(message_from_line(&rules, &stream, &l, &m), 0);
	assert_int_equal(m.ts, 0);
}

static void a_bare_object_is_its_own_payload(void **state)
{
	struct message m;

	rules.topic = "T";
	rules.key_want = stream_want(&stream, ".user.id");
	assert_int_equal(parse(" {\"user\": {\"id\":\"\\u00e9\"}, \"x\":1.0} ", &m), 0);
	assert_bytes(m.payload, "{\"user\": {\"id\":\"\\u00e9\"}, \"x\":1.0}", 34);
	assert_bytes(m.key, "é", 2);
	parse("{\"user\":{\"id\":12.50}}", &m);
	assert_bytes(m.key, "12.50", 5);
	parse("{\"user\":{\"id\":\"\"}}", &m);
	assert_true(m.has_key && m.key.n == 0);
	assert_int_equal(rules.keyless, 0);
	parse("{\"user\":{\"id\":null}}", &m);
	assert_false(m.has_key);
	parse("{\"user\":1}", &m);
	assert_false(m.has_key);
	assert_int_equal(rules.keyless, 2);
	parse("{\"path\":\"a/b\",\"payload\":{\"user\":{\"id\":\"w\"}}}", &m);
	assert_bytes(m.payload, "{\"user\":{\"id\":\"w\"}}", 19);
	assert_bytes(m.key, "w", 1);
}

static void a_bare_object_needs_a_topic(void **state)
{
	struct message m;

	assert_int_equal(parse("{}", &m), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
}

static void headers_keep_order_repeats_nulls_and_bytes(void **state)
{
	static const struct {
		const char *name, *value;
		size_t n;
	} want[] = {
		{ "a", "1", 1 },
		{ "a", NULL, 0 },
		{ "", "", 0 },
		{ "b", "\0\xff", 2 },
		{ "a", "\"\xc3\xa9", 3 },
	};
	rd_kafka_headers_t *h;
	const char *name;
	const void *value;
	size_t n;

	assert_int_equal(message_headers(SPAN("[\"a\",\"1\",\"a\",null, \"\",\"\",\"b\",{\"base64\":\"AP8=\"},"
					      "{\"base64\":\"YQ==\"},\"\\\"\\u00e9\"]"),
			     &h),
	    0);
	assert_int_equal(rd_kafka_header_cnt(h), 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(rd_kafka_header_get_all(h, i, &name, &value, &n), 0);
		assert_string_equal(name, want[i].name);
		assert_int_equal(value == NULL, want[i].value == NULL);
		assert_int_equal(n, want[i].n);
		if (value)
			assert_memory_equal(value, want[i].value, n);
	}
	rd_kafka_headers_destroy(h);
}

static void an_empty_list_is_no_headers(void **state)
{
	rd_kafka_headers_t *h;

	assert_int_equal(message_headers(SPAN("[]"), &h), 0);
	assert_null(h);
}

static void bad_headers_are_refused(void **state)
{
	static const char *const bad[] = { "[\"a\"]", "[\"a\",1]", "[null,\"a\"]", "[\"a\",{}]",
		"[1,\"a\"]", "[\"a\",{\"base64\":\"x\"}]", "[\"a\",{\"base64\":\"YQ==\",\"b\":1}]",
		"[\"a\",[]]", "[\"a\",{\"base64\":1}]", "[\"a\",\"1\",\"b\"]" };
	rd_kafka_headers_t *h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(text, bad[i], strlen(bad[i]));
		if (message_headers((struct span){ text, strlen(bad[i]) }, &h) != -1)
			fail_msg("%s is taken", bad[i]);
		assert_int_equal(fail_code(), EXIT_DATA);
	}
}

static void headers_that_are_no_list_or_no_json_are_bad_data(void **state)
{
	static const char *const bad[] = { "5", "[\"a\",x]", "[x]" };
	rd_kafka_headers_t *headers;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(message_headers((struct span){ bad[i], strlen(bad[i]) }, &headers),
		    -1);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_null(headers);
	}
}

static void a_key_that_is_no_base64_is_bad_data(void **state)
{
	struct message m;

	assert_int_equal(parse("{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"key_enc\":\"base64\","
			       "\"key\":\"?\",\"payload\":1}",
			     &m),
	    -1);
	assert_int_equal(fail_code(), EXIT_DATA);
}

#define WITH(members) "{\"topic\":\"TX\",\"partition\":0,\"offset\":0," members ",\"payload\":1}"
#define WINDOW        "\"window\":{\"start\":1,\"end\":258}"

static void a_window_is_joined_to_its_key(void **state)
{
	struct message m;

	assert_int_equal(parse(WITH("\"key\":\"a\",\"window_enc\":\"time\"," WINDOW), &m), 0);
	assert_bytes(m.key, "a\0\0\0\0\0\0\0\1", 9);
	assert_int_equal(parse(WITH("\"key\":\"\",\"window_enc\":\"session\"," WINDOW), &m), 0);
	assert_bytes(m.key, "\0\0\0\0\0\0\1\2\0\0\0\0\0\0\0\1", 16);
	/* A key that had to be decoded first. */
	assert_int_equal(parse(WITH("\"key\":\"\\u0061\",\"window_enc\":\"time\"," WINDOW), &m), 0);
	assert_bytes(m.key, "a\0\0\0\0\0\0\0\1", 9);
	assert_int_equal(parse(WITH("\"key_enc\":\"base64\",\"key\":\"/w==\",\"window_enc\":\"time\"," WINDOW),
			     &m),
	    0);
	assert_bytes(m.key, "\xff\0\0\0\0\0\0\0\1", 9);
	assert_int_equal(parse(WITH("\"key_enc\":\"int\",\"key\":7,\"window_enc\":\"time\"," WINDOW),
			     &m),
	    0);
	assert_bytes(m.key, "\0\0\0\7\0\0\0\0\0\0\0\1", 12);
	assert_int_equal(parse(WITH("\"key\":\"a\",\"window\":null"), &m), 0);
	assert_bytes(m.key, "a", 1);
}

static void a_window_that_cannot_be_joined_is_bad_data(void **state)
{
	static const char *const bad[] = { WITH("\"key\":\"a\"," WINDOW),
		WITH("\"window_enc\":\"time\"," WINDOW),
		WITH("\"key\":null,\"window_enc\":\"time\"," WINDOW),
		WITH("\"key\":\"a\",\"window_enc\":\"time\",\"window\":{\"start\":1}") };
	struct message m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], &m), -1);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_non_null(strstr(fail_message(), "window"));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_what_it_was_in_kafka),
		TEST(its_partition_is_kept_when_asked),
		TEST(null_and_empty_are_different),
		TEST(base64_becomes_bytes_again),
		TEST(a_line_of_kcat_has_text),
		TEST(times_that_are_none),
		TEST(a_type_of_time_that_is_not_there_says_nothing),
		TEST(a_bare_object_is_its_own_payload),
		TEST(a_bare_object_needs_a_topic),
		TEST(headers_keep_order_repeats_nulls_and_bytes),
		TEST(an_empty_list_is_no_headers),
		TEST(bad_headers_are_refused),
		TEST(headers_that_are_no_list_or_no_json_are_bad_data),
		TEST(a_key_that_is_no_base64_is_bad_data),
		TEST(a_window_is_joined_to_its_key),
		TEST(a_window_that_cannot_be_joined_is_bad_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
