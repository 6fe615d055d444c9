/*
 * record: the exact bytes of kread's lines, for every kind of payload, key, header and time.
 * The library's headers first: cmocka.h has a macro named fail.
 */
#include "record.h"
#include "log.h"
#include "place.h"
#include "rng.h"
#include "stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Bytes in a block of exactly their size, so that a read of one too many is caught. */
static struct span placed(const char *p, size_t n)
{
	return (struct span){ place(PLACE_AT_END, p, n), n };
}

static void expect_line(const struct record *r, bool exact, const char *rest)
{
	struct buf prefix = BUF_INIT, line = BUF_INIT, expected = BUF_INIT;

	record_prefix(&prefix, "T", 3);
	record_line(&line, buf_span(&prefix), r, exact);
	buf_addf(&expected, "{\"topic\":\"T\",\"partition\":3,\"offset\":%lld%s}\n",
	    (long long)r->offset, rest);
	assert_string_equal(buf_cstr(&line), buf_cstr(&expected));
	assert_int_equal(line.len, expected.len); /* no NUL within */
	buf_release(&prefix);
	buf_release(&line);
	buf_release(&expected);
}

static void expect_payload(struct span payload, bool exact, const char *members)
{
	struct record r = { .payload = placed(payload.p, payload.n) };
	struct buf rest = BUF_INIT;

	buf_addf(&rest, ",\"key\":null,%s", members);
	expect_line(&r, exact, buf_cstr(&rest));
	buf_release(&rest);
}

static void expect_key(struct span key, const char *members)
{
	struct record r = { .key = placed(key.p, key.n), .payload = SPAN("1") };
	struct buf rest = BUF_INIT;

	buf_addf(&rest, ",%s,\"payload\":1", members);
	expect_line(&r, false, buf_cstr(&rest));
	expect_line(&r, true, buf_cstr(&rest));
	buf_release(&rest);
}

/* ---- what all lines begin with ---- */

static void expect_prefix(const char *topic, int32_t partition, const char *want)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "before");
	record_prefix(&b, topic, partition);
	assert_memory_equal(buf_cstr(&b), "before", 6);
	assert_string_equal(b.data + 6, want);
	buf_release(&b);
}

static void the_prefix_names_topic_and_partition(void **state)
{
	expect_prefix("TX", 0, "{\"topic\":\"TX\",\"partition\":0,\"offset\":");
	expect_prefix("a.b-c_d", INT32_MAX,
	    "{\"topic\":\"a.b-c_d\",\"partition\":2147483647,\"offset\":");
	expect_prefix("a\"b\\", 1, "{\"topic\":\"a\\\"b\\\\\",\"partition\":1,\"offset\":");
}

static void lines_are_appended_with_the_largest_offsets(void **state)
{
	struct record first = { .payload = SPAN("1") },
		      last = { .offset = INT64_MAX, .payload = SPAN("2") };
	struct buf line = BUF_INIT;

	record_line(&line, SPAN("{\"offset\":"), &first, false);
	record_line(&line, SPAN("{\"offset\":"), &last, false);
	assert_string_equal(buf_cstr(&line),
	    "{\"offset\":0,\"key\":null,\"payload\":1}\n"
	    "{\"offset\":9223372036854775807,\"key\":null,\"payload\":2}\n");
	buf_release(&line);
}

/* ---- payloads ---- */

static void json_is_embedded_as_it_is(void **state)
{
	static const char *const same[] = { "{\"a\":12.50}", "{}", "[]", "0", "-0", "1E400", "true",
		"false", "null", "\"\"", "9007199254740993", "{\"b\":1,\"a\":2,\"b\":3}",
		"\"\\u0000\\ud83d\\ude00\"", "{ \"a\" :\t[ 1 , 2 ] }", "\"\xc3\xa9\xe2\x80\xa8\"" };
	char members[200];

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct span payload = { same[i], strlen(same[i]) };

		snprintf(members, sizeof(members), "\"payload\":%s", same[i]);
		expect_payload(payload, false, members);
		expect_payload(payload, true, members);
	}
}

static void line_breaks_between_tokens_become_spaces(void **state)
{
	expect_payload(SPAN("[1,\r\n2]"), false, "\"payload\":[1,  2]");
	expect_payload(SPAN("{\n\"a\":\t1\r}"), false, "\"payload\":{ \"a\":\t1 }");
	expect_payload(SPAN("[\"\\n\"\n]"), false, "\"payload\":[\"\\n\" ]");
}

static void white_space_around_json_goes(void **state)
{
	expect_payload(SPAN(" [1]\n"), false, "\"payload\":[1]");
	expect_payload(SPAN("\r\n\t 1 \t\r\n"), false, "\"payload\":1");
}

static void exact_marks_json_that_would_lose_bytes(void **state)
{
	expect_payload(SPAN("[1,\r\n2]"), true, "\"payload_enc\":\"utf8\",\"payload\":\"[1,\\r\\n2]\"");
	expect_payload(SPAN(" [1]"), true, "\"payload_enc\":\"utf8\",\"payload\":\" [1]\"");
	expect_payload(SPAN("[1]\n"), true, "\"payload_enc\":\"utf8\",\"payload\":\"[1]\\n\"");
	expect_payload(SPAN("\n\n\n\n"), true, "\"payload_enc\":\"utf8\",\"payload\":\"\\n\\n\\n\\n\"");
}

static void what_is_not_strict_json_is_text(void **state)
{
	expect_payload(SPAN("a\"b"), false, "\"payload_enc\":\"utf8\",\"payload\":\"a\\\"b\"");
	expect_payload(SPAN("{a:1}"), false, "\"payload_enc\":\"utf8\",\"payload\":\"{a:1}\"");
	expect_payload(SPAN("1 2"), false, "\"payload_enc\":\"utf8\",\"payload\":\"1 2\"");
	expect_payload(SPAN("01"), false, "\"payload_enc\":\"utf8\",\"payload\":\"01\"");
	expect_payload(SPAN("NaN"), false, "\"payload_enc\":\"utf8\",\"payload\":\"NaN\"");
	expect_payload(SPAN("  "), false, "\"payload_enc\":\"utf8\",\"payload\":\"  \"");
	expect_payload(SPAN("\xef\xbb\xbf{}"), false,
	    "\"payload_enc\":\"utf8\",\"payload\":\"\xef\xbb\xbf{}\"");
	expect_payload(SPAN("\"\\ud800\""), false,
	    "\"payload_enc\":\"utf8\",\"payload\":\"\\\"\\\\ud800\\\"\"");
}

static void a_hundred_levels_are_json_and_one_more_is_text(void **state)
{
	char deep[203], members[300];

	for (int levels = 100; levels <= 101; levels++) {
		memset(deep, '[', (size_t)levels);
		memset(deep + levels, ']', (size_t)levels);
		deep[2 * levels] = '\0';
		snprintf(members, sizeof(members),
		    levels > 100 ? "\"payload_enc\":\"utf8\",\"payload\":\"%s\"" : "\"payload\":%s",
		    deep);
		expect_payload((struct span){ deep, 2 * (size_t)levels }, false, members);
	}
}

static void bytes_that_are_no_utf8_become_base64(void **state)
{
	expect_payload(SPAN("\xff"), false, "\"payload_enc\":\"base64\",\"payload\":\"/w==\"");
	expect_payload(SPAN("\"\xff\""), false, "\"payload_enc\":\"base64\",\"payload\":\"Iv8i\"");
	expect_payload(SPAN("\xed\xa0\x80"), false,
	    "\"payload_enc\":\"base64\",\"payload\":\"7aCA\""); /* a surrogate in UTF-8 */
	expect_payload(SPAN("\xc3"), false, "\"payload_enc\":\"base64\",\"payload\":\"ww==\"");
	expect_payload(SPAN("\xc0\x80"), false, "\"payload_enc\":\"base64\",\"payload\":\"wIA=\"");
}

static void escapes_longer_than_base64_become_base64(void **state)
{
	/* base64 of 6 bytes takes 8: two escapes of two characters fit, three do not. */
	expect_payload(SPAN("ab\t\tcd"), false, "\"payload_enc\":\"utf8\",\"payload\":\"ab\\t\\tcd\"");
	expect_payload(SPAN("ab\t\t\td"), false, "\"payload_enc\":\"base64\",\"payload\":\"YWIJCQlk\"");
	expect_payload(SPAN("1\0"), false, "\"payload_enc\":\"base64\",\"payload\":\"MQA=\"");
	expect_payload(SPAN("0123456789abcdefghij\0"), false,
	    "\"payload_enc\":\"utf8\",\"payload\":\"0123456789abcdefghij\\u0000\"");
}

static void tombstone_null_and_empty_are_three_things(void **state)
{
	struct record r = { .payload = { NULL, 0 } };

	expect_line(&r, false, ",\"key\":null,\"payload_enc\":\"none\",\"payload\":null");
	expect_line(&r, true, ",\"key\":null,\"payload_enc\":\"none\",\"payload\":null");
	expect_payload(SPAN("null"), false, "\"payload\":null");
	expect_payload(SPAN(""), false, "\"payload_enc\":\"utf8\",\"payload\":\"\"");
	expect_payload(SPAN(""), true, "\"payload_enc\":\"utf8\",\"payload\":\"\"");
}

/* ---- keys ---- */

static void keys_are_text_even_when_they_look_like_json(void **state)
{
	expect_key(SPAN("U000123"), "\"key\":\"U000123\"");
	expect_key(SPAN(""), "\"key\":\"\"");
	expect_key(SPAN("42"), "\"key\":\"42\"");
	expect_key(SPAN("null"), "\"key\":\"null\"");
	expect_key(SPAN("{\"a\":1}"), "\"key\":\"{\\\"a\\\":1}\"");
	expect_key(SPAN("\xc3\xa9\n"), "\"key\":\"\xc3\xa9\\n\"");
}

static void keys_that_are_bytes_are_marked(void **state)
{
	expect_key(SPAN("\0\xff"), "\"key_enc\":\"base64\",\"key\":\"AP8=\"");
	expect_key(SPAN("\0\0\0\x2a"), "\"key_enc\":\"base64\",\"key\":\"AAAAKg==\"");
}

/* ---- times and headers ---- */

static void a_time_says_who_gave_it(void **state)
{
	struct record r = { .ts = INT64_C(1795234200123), .payload = SPAN("1") };

	r.tstype = RD_KAFKA_TIMESTAMP_CREATE_TIME;
	expect_line(&r, false,
	    ",\"tstype\":\"create\",\"ts\":1795234200123,\"key\":null,\"payload\":1");
	r.tstype = RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
	expect_line(&r, false,
	    ",\"tstype\":\"logappend\",\"ts\":1795234200123,\"key\":null,\"payload\":1");
	r.ts = -1;
	expect_line(&r, false, ",\"tstype\":\"logappend\",\"ts\":-1,\"key\":null,\"payload\":1");
	r.tstype = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
	expect_line(&r, false, ",\"key\":null,\"payload\":1");
}

static void headers_are_a_flat_list_with_repeats_nulls_and_bytes(void **state)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(8);
	struct record r = { .headers = h, .payload = SPAN("1") };

	rd_kafka_header_add(h, "a", -1, "1", 1);
	rd_kafka_header_add(h, "a", -1, NULL, 0);
	rd_kafka_header_add(h, "", 0, "", 0);
	rd_kafka_header_add(h, "\xff", 1, "\xfe", 1);
	rd_kafka_header_add(h, "\xc3\xa9\"", -1, "{}\n", 3);
	rd_kafka_header_add(h, "nul", -1, "\0", 1);
	expect_line(&r, false,
	    ",\"headers\":[\"a\",\"1\",\"a\",null,\"\",\"\",{\"base64\":\"/w==\"},{\"base64\":\"/g==\"},"
	    "\"\xc3\xa9\\\"\",\"{}\\n\",\"nul\",\"\\u0000\"],\"key\":null,\"payload\":1");
	rd_kafka_headers_destroy(h);
}

static void an_empty_list_of_headers_is_no_member(void **state)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(1);
	struct record r = { .headers = h, .payload = SPAN("1") };

	expect_line(&r, false, ",\"key\":null,\"payload\":1");
	rd_kafka_headers_destroy(h);
}

static void members_come_in_the_order_of_the_stream(void **state)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(1);
	struct record r = { .offset = 42,
		.tstype = RD_KAFKA_TIMESTAMP_CREATE_TIME,
		.ts = 7,
		.headers = h,
		.key = SPAN("\xff"),
		.payload = SPAN("x") };

	rd_kafka_header_add(h, "h", -1, "v", 1);
	expect_line(&r, false,
	    ",\"tstype\":\"create\",\"ts\":7,\"headers\":[\"h\",\"v\"],\"key_enc\":\"base64\",\"key\":\"/w==\","
	    "\"payload_enc\":\"utf8\",\"payload\":\"x\"");
	rd_kafka_headers_destroy(h);
}

/* ---- the inverse ---- */

/* Mostly what JSON is made of, some of it broken. */
static struct span random_text(struct rng *rng, char *to, size_t max)
{
	static const char *const piece[] = { "{", "}", "[", "]", ",", ":", "\"", "\"a\":", "1.50",
		"null", " ", "\n", "\r", "\t", "\\n", "\\u0000", "\\ud800", "\xc3\xa9", "\xff", "x" };
	size_t n = 0, want = rng_below(rng, 20);

	while (want-- > 0) {
		const char *p = piece[rng_below(rng, sizeof(piece) / sizeof(piece[0]))];

		if (n + strlen(p) > max)
			break;
		memcpy(to + n, p, strlen(p));
		n += strlen(p);
	}
	return (struct span){ to, n };
}

static void expect_bytes(struct span got, struct span want)
{
	assert_int_equal(got.n, want.n);
	if (want.n > 0)
		assert_memory_equal(got.p, want.p, want.n);
}

static void an_exact_line_gives_back_the_same_bytes(void **state)
{
	struct rng rng = rng_at(1, 0, 0);
	struct buf line = BUF_INIT, scratch = BUF_INIT;
	struct stream stream;
	char key[200], payload[200];

	stream_init(&stream);
	for (int i = 0; i < 20000; i++) {
		struct record r = { .offset = i,
			.key = random_text(&rng, key, sizeof(key)),
			.payload = random_text(&rng, payload, sizeof(payload)) };
		struct span got;
		struct line l;

		buf_clear(&line);
		record_line(&line, SPAN("{\"topic\":\"T\",\"partition\":0,\"offset\":"), &r, true);
		assert_ptr_equal(memchr(line.data, '\n', line.len), line.data + line.len - 1);
		buf_reserve(&line, 64); /* as a reader's line, which may be read beyond */
		memset(line.data + line.len, 0, 64);
		if (stream_parse(&stream, (struct span){ line.data, line.len - 1 }, &l) < 0)
			fail_msg("%s: %.*s", fail_message(), (int)line.len, line.data);
		assert_int_equal(l.offset, i);
		assert_int_equal(stream_key_bytes(&l, &scratch, &got), 1);
		expect_bytes(got, r.key);
		assert_int_equal(stream_payload_bytes(&l, &scratch, &got), 1);
		expect_bytes(got, r.payload);
	}
	stream_release(&stream);
	buf_release(&line);
	buf_release(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_prefix_names_topic_and_partition),
		cmocka_unit_test(lines_are_appended_with_the_largest_offsets),
		cmocka_unit_test(json_is_embedded_as_it_is),
		cmocka_unit_test(line_breaks_between_tokens_become_spaces),
		cmocka_unit_test(white_space_around_json_goes),
		cmocka_unit_test(exact_marks_json_that_would_lose_bytes),
		cmocka_unit_test(what_is_not_strict_json_is_text),
		cmocka_unit_test(a_hundred_levels_are_json_and_one_more_is_text),
		cmocka_unit_test(bytes_that_are_no_utf8_become_base64),
		cmocka_unit_test(escapes_longer_than_base64_become_base64),
		cmocka_unit_test(tombstone_null_and_empty_are_three_things),
		cmocka_unit_test(keys_are_text_even_when_they_look_like_json),
		cmocka_unit_test(keys_that_are_bytes_are_marked),
		cmocka_unit_test(a_time_says_who_gave_it),
		cmocka_unit_test(headers_are_a_flat_list_with_repeats_nulls_and_bytes),
		cmocka_unit_test(an_empty_list_of_headers_is_no_member),
		cmocka_unit_test(members_come_in_the_order_of_the_stream),
		cmocka_unit_test(an_exact_line_gives_back_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
