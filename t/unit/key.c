/*
 * key: ksqlDB's key formats and windows, from the bytes that Kafka's serializers write to the stream and back.
 * The library's headers first: cmocka.h has a macro named fail.
 */
#include "key.h"
#include "clock.h"
#include "log.h"
#include "message.h"
#include "opt.h"
#include "place.h"
#include "record.h"
#include "rng.h"
#include "stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START "\0\0\x01\x9a\xa4\xa0\x1c\x40" /* 1763698547776 */
#define END   "\0\0\x01\x9a\xa4\xa0\x1f\xff" /* 1763698548735 */

/* Bytes in a block of exactly their size, so that a read of one too many is caught. */
static struct span placed(struct span s)
{
	return (struct span){ place(PLACE_AT_END, s.p, s.n), s.n };
}

/* ---- options ---- */

static void types_are_known_by_name(void **state)
{
	static const char *const bad[] = { "", "text", "key", "key=", "key=Text", "key=<i",
		"key=int,", "key=>", "key=$", "key=is", "key=I", "key=i$$", "value=text", "key=any" };
	static const struct {
		const char *arg;
		enum key_type type;
	} kcat[] = { { "key=s", KEY_TEXT }, { "key=i", KEY_INT }, { "key=>i$", KEY_INT },
		{ "key=>q", KEY_BIGINT }, { "key=q$", KEY_BIGINT } };
	struct key_format f = { 0 };

	for (unsigned i = KEY_TEXT; i < KEY_TYPES; i++) {
		char arg[20];

		snprintf(arg, sizeof(arg), "key=%s", key_type_name[i]);
		assert_int_equal(key_parse_type(&f, arg), 0);
		assert_int_equal(f.type, i);
	}
	for (size_t i = 0; i < OPT_COUNT(kcat); i++) {
		assert_int_equal(key_parse_type(&f, kcat[i].arg), 0);
		assert_int_equal(f.type, kcat[i].type);
	}
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(key_parse_type(&f, bad[i]), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
}

static void windows_have_a_size_or_are_sessions(void **state)
{
	static const struct {
		const char *arg;
		int64_t ms;
	} good[] = { { "time:5m", 300000 }, { "time:1ms", 1 }, { "time:30s", 30000 },
		{ "time:1h", 3600000 }, { "time:7d", 604800000 } };
	static const char *const bad[] = { "", "time", "time:", "time:5", "time:m", "time:0s",
		"time:-5m", "time: 5m", "time:5 m", "time:5M", "time:1.5h", "time:9999999d",
		"time:99999999999999999999ms", "session:5m", "sessions", "5m" };
	struct key_format f = { 0 };

	for (size_t i = 0; i < OPT_COUNT(good); i++) {
		assert_int_equal(key_parse_window(&f, good[i].arg), 0);
		assert_int_equal(f.window, WINDOW_TIME);
		assert_int_equal(f.size_ms, good[i].ms);
	}
	assert_int_equal(key_parse_window(&f, "session"), 0);
	assert_int_equal(f.window, WINDOW_SESSION);
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(key_parse_window(&f, bad[i]), -1);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
}

/* ---- windows ---- */

static void expect_window(struct key_format f, struct span bytes, size_t left, int64_t start,
    int64_t end)
{
	struct span key = placed(bytes);
	struct buf again = BUF_INIT;
	struct key_window w;

	assert_true(key_take_window(&f, &key, &w));
	assert_int_equal(key.n, left);
	assert_int_equal(w.start, start);
	assert_int_equal(w.end, end);
	buf_add_span(&again, key);
	key_add_window(&again, f.window, &w);
	assert_int_equal(again.len, bytes.n);
	assert_memory_equal(again.data, bytes.p, bytes.n);
	buf_release(&again);
}

static void a_time_window_is_its_start_and_a_session_its_end_and_start(void **state)
{
	const struct key_format time = { .window = WINDOW_TIME, .size_ms = 300000 };
	const struct key_format session = { .window = WINDOW_SESSION };

	expect_window(time, SPAN("TR" START), 2, 1763698547776, 1763698847776);
	expect_window(time, SPAN(START), 0, 1763698547776, 1763698847776);
	expect_window(time, SPAN("TR\0\0\0\0\0\0\0\0"), 2, 0, 300000);
	expect_window(session, SPAN("TR" END START), 2, 1763698547776, 1763698548735);
	expect_window(session, SPAN(START START), 0, 1763698547776, 1763698547776);
	expect_window(time, SPAN("\0\0\xe6\x77\xd2\x1f\xdb\xff"), 0, CLOCK_MAX_MS,
	    CLOCK_MAX_MS + 300000);
}

static void what_are_no_times_is_no_window(void **state)
{
	static const struct {
		enum window_kind kind;
		struct span bytes;
	} bad[] = {
		{ WINDOW_TIME, SPAN("") },
		{ WINDOW_TIME, SPAN("\0\0\x01\x9a\xa4\xa0\x1c") },
		{ WINDOW_TIME, SPAN("customer-0042") },                      /* a text */
		{ WINDOW_TIME, SPAN("TR\xff\xff\xff\xff\xff\xff\xff\xff") }, /* before 1970 */
		{ WINDOW_TIME, SPAN("TR\0\0\xe6\x77\xd2\x1f\xdc\0") },       /* the year 10000 */
		{ WINDOW_TIME, SPAN("TR" START "\0\0\0\0") }, /* of a changelog: a sequence number behind it */
		{ WINDOW_SESSION, SPAN("TR" START) },
		{ WINDOW_SESSION, SPAN("\0\0\x01\x9a\xa4\xa0\x1c" START) },
		{ WINDOW_SESSION, SPAN("TR" START END) }, /* it ends before it starts */
		{ WINDOW_SESSION, SPAN("TR\xff\xff\xff\xff\xff\xff\xff\xff" START) },
		{ WINDOW_SESSION, SPAN("TR\x7f\xff\xff\xff\xff\xff\xff\xff" START) },
	};

	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		struct key_format f = { .window = bad[i].kind, .size_ms = 1000 };
		struct span key = placed(bad[i].bytes);
		struct key_window w;

		assert_false(key_take_window(&f, &key, &w));
		assert_int_equal(key.n, bad[i].bytes.n);
	}
}

/* ---- numbers ---- */

static void expect_number(enum key_type type, struct span bytes, const char *want)
{
	struct buf number = BUF_INIT, again = BUF_INIT;

	assert_true(key_add_number(&number, type, placed(bytes)));
	assert_string_equal(buf_cstr(&number), want);
	assert_true(json_valid(number.data, number.len, NULL));
	assert_int_equal(key_add_bytes(&again, type, placed(buf_span(&number))), 0);
	assert_int_equal(again.len, bytes.n);
	assert_memory_equal(again.data, bytes.p, bytes.n);
	buf_release(&number);
	buf_release(&again);
}

static void integers_are_big_endian_and_signed(void **state)
{
	expect_number(KEY_INT, SPAN("\0\0\0\0"), "0");
	expect_number(KEY_INT, SPAN("\0\0\0\x2a"), "42");
	expect_number(KEY_INT, SPAN("\x01\x02\x03\x04"), "16909060");
	expect_number(KEY_INT, SPAN("\x7f\xff\xff\xff"), "2147483647");
	expect_number(KEY_INT, SPAN("\x80\0\0\0"), "-2147483648");
	expect_number(KEY_INT, SPAN("\xff\xff\xff\xff"), "-1");
	expect_number(KEY_BIGINT, SPAN("\0\0\0\0\0\0\0\x2a"), "42");
	expect_number(KEY_BIGINT, SPAN("\0\x20\0\0\0\0\0\x01"), "9007199254740993");
	expect_number(KEY_BIGINT, SPAN("\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807");
	expect_number(KEY_BIGINT, SPAN("\x80\0\0\0\0\0\0\0"), "-9223372036854775808");
}

static void doubles_are_written_as_short_as_they_can_be_read(void **state)
{
	expect_number(KEY_DOUBLE, SPAN("\0\0\0\0\0\0\0\0"), "0");
	expect_number(KEY_DOUBLE, SPAN("\x80\0\0\0\0\0\0\0"), "-0");
	expect_number(KEY_DOUBLE, SPAN("\x40\x29\0\0\0\0\0\0"), "12.5");
	expect_number(KEY_DOUBLE, SPAN("\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1");
	expect_number(KEY_DOUBLE, SPAN("\x3f\xd5\x55\x55\x55\x55\x55\x55"), "0.3333333333333333");
	expect_number(KEY_DOUBLE, SPAN("\x3f\xd3\x33\x33\x33\x33\x33\x34"), "0.30000000000000004");
	expect_number(KEY_DOUBLE, SPAN("\x7f\xef\xff\xff\xff\xff\xff\xff"), "1.7976931348623157e+308");
	expect_number(KEY_DOUBLE, SPAN("\0\0\0\0\0\0\0\x01"), "4.94065645841247e-324");
}

static void bytes_of_another_size_are_no_number(void **state)
{
	static const struct {
		enum key_type type;
		struct span bytes;
	} bad[] = {
		{ KEY_INT, SPAN("") }, { KEY_INT, SPAN("\0\0\0") }, { KEY_INT, SPAN("\0\0\0\0\0") },
		{ KEY_INT, SPAN("\0\0\0\0\0\0\0\0") }, { KEY_BIGINT, SPAN("\0\0\0\0") },
		{ KEY_BIGINT, SPAN("\0\0\0\0\0\0\0\0\0") }, { KEY_DOUBLE, SPAN("\0\0\0\0") },
		{ KEY_DOUBLE, SPAN("\x7f\xf0\0\0\0\0\0\0") }, /* infinity */
		{ KEY_DOUBLE, SPAN("\xff\xf0\0\0\0\0\0\0") },
		{ KEY_DOUBLE, SPAN("\x7f\xf8\0\0\0\0\0\0") }, /* NaN */
	};
	struct buf to = BUF_INIT;

	for (size_t i = 0; i < OPT_COUNT(bad); i++)
		assert_false(key_add_number(&to, bad[i].type, placed(bad[i].bytes)));
	assert_int_equal(to.len, 0);
}

static void numbers_that_do_not_fit_are_told(void **state)
{
	static const struct {
		enum key_type type;
		const char *number;
	} bad[] = { { KEY_INT, "2147483648" }, { KEY_INT, "-2147483649" }, { KEY_INT, "1.5" },
		{ KEY_INT, "1e3" }, { KEY_BIGINT, "9223372036854775808" }, { KEY_BIGINT, "17.0" },
		{ KEY_DOUBLE, "1e999" }, { KEY_DOUBLE, "-1e999" } };
	struct buf to = BUF_INIT, digits = BUF_INIT;

	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		struct span number = { bad[i].number, strlen(bad[i].number) };

		assert_int_equal(key_add_bytes(&to, bad[i].type, placed(number)), -1);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_non_null(strstr(fail_message(), bad[i].number));
		assert_non_null(strstr(fail_message(), key_type_name[bad[i].type]));
	}
	buf_add_str(&digits, "0.");
	for (int i = 0; i < 1000; i++)
		buf_add_char(&digits, '1');
	assert_int_equal(key_add_bytes(&to, KEY_DOUBLE, placed(buf_span(&digits))), -1);
	assert_true(strlen(fail_message()) < 100);
	assert_int_equal(to.len, 0);
	buf_release(&digits);
}

static void every_double_comes_back(void **state)
{
	struct rng rng = rng_at(2, 0, 0);
	struct buf number = BUF_INIT, again = BUF_INIT;

	for (int i = 0; i < 100000; i++) {
		uint64_t bits = rng_next(&rng);
		char bytes[8];

		for (int b = 0; b < 8; b++)
			bytes[b] = (char)(bits >> (56 - 8 * b));
		buf_clear(&number);
		buf_clear(&again);
		if (!key_add_number(&number, KEY_DOUBLE, (struct span){ bytes, 8 })) {
			assert_int_equal(bits >> 52 & 0x7ff, 0x7ff);
			continue;
		}
		assert_int_equal(key_add_bytes(&again, KEY_DOUBLE, buf_span(&number)), 0);
		assert_memory_equal(again.data, bytes, 8);
	}
	buf_release(&number);
	buf_release(&again);
}

/* ---- in lines ---- */

struct written {
	struct buf line;
	bool good;
};

static struct written line_of(struct key_format f, struct span key, bool exact)
{
	struct record r = { .key = key, .payload = SPAN("1"), .format = &f };
	struct written w = { BUF_INIT, false };

	if (key.p)
		r.key = placed(key);
	w.good = record_line(&w.line, SPAN("{\"topic\":\"T\",\"partition\":0,\"offset\":"), &r, exact);
	return w;
}

/* The members of the key, and that kwrite would write the same bytes. */
static void expect_line(struct key_format f, struct span key, bool exact, bool good, const char *members)
{
	struct message_rules rules = { .key_want = -1 };
	struct written w = line_of(f, key, exact);
	struct buf want = BUF_INIT;
	struct stream s;
	struct message m;
	struct line l;

	buf_addf(&want, "{\"topic\":\"T\",\"partition\":0,\"offset\":0,%s,\"payload\":1}\n", members);
	assert_string_equal(buf_cstr(&w.line), buf_cstr(&want));
	assert_int_equal(w.good, good);
	stream_init(&s);
	assert_int_equal(stream_parse(&s, placed((struct span){ w.line.data, w.line.len - 1 }), &l), 0);
	assert_int_equal(message_from_line(&rules, &s, &l, &m), 0);
	assert_int_equal(m.has_key, key.p != NULL);
	assert_int_equal(m.key.n, key.n);
	if (key.n > 0)
		assert_memory_equal(m.key.p, key.p, key.n);
	message_rules_release(&rules);
	stream_release(&s);
	buf_release(&want);
	buf_release(&w.line);
}

static void each_type_has_its_form(void **state)
{
#define LINE(t, bytes, members)                                                                    \
	expect_line((struct key_format){ .type = (t) }, SPAN(bytes), false, true, members)
	LINE(KEY_TEXT, "U1", "\"key\":\"U1\"");
	LINE(KEY_TEXT, "", "\"key\":\"\"");
	LINE(KEY_TEXT, "\"U1\"", "\"key\":\"\\\"U1\\\"\"");
	LINE(KEY_TEXT, "\x01\x02\x03\x04",
	    "\"key\":\"\\u0001\\u0002\\u0003\\u0004\""); /* also where base64 is shorter */
	LINE(KEY_JSON, "\"U1\"", "\"key_enc\":\"json\",\"key\":\"U1\"");
	LINE(KEY_JSON, "42", "\"key_enc\":\"json\",\"key\":42");
	LINE(KEY_JSON, "null", "\"key_enc\":\"json\",\"key\":null");
	LINE(KEY_JSON, "{\"A\":1,\"B\": 9007199254740993}",
	    "\"key_enc\":\"json\",\"key\":{\"A\":1,\"B\": 9007199254740993}");
	LINE(KEY_INT, "\0\0\0\x2a", "\"key_enc\":\"int\",\"key\":42");
	LINE(KEY_BIGINT, "\xff\xff\xff\xff\xff\xff\xff\xff", "\"key_enc\":\"bigint\",\"key\":-1");
	LINE(KEY_DOUBLE, "\x40\x29\0\0\0\0\0\0", "\"key_enc\":\"double\",\"key\":12.5");
	LINE(KEY_BASE64, "U1", "\"key_enc\":\"base64\",\"key\":\"VTE=\"");
	LINE(KEY_BASE64, "", "\"key_enc\":\"base64\",\"key\":\"\"");
}

static void a_key_of_another_type_is_base64(void **state)
{
#define BAD(t, bytes, base64)                                                                      \
	expect_line((struct key_format){ .type = (t) }, SPAN(bytes), false, false,                 \
	    "\"key_enc\":\"base64\",\"key\":\"" base64 "\"")
	BAD(KEY_TEXT, "\xff", "/w==");
	BAD(KEY_JSON, "U1", "VTE=");
	BAD(KEY_JSON, "", "");
	BAD(KEY_JSON, "\"\\ud800\"", "Ilx1ZDgwMCI=");
	BAD(KEY_INT, "U1", "VTE=");
	BAD(KEY_INT, "", "");
	BAD(KEY_BIGINT, "\0\0\0\x2a", "AAAAKg==");
	BAD(KEY_DOUBLE, "\x7f\xf8\0\0\0\0\0\0", "f/gAAAAAAAA=");
}

static void a_null_is_a_null_in_every_format(void **state)
{
	for (unsigned t = 0; t < KEY_TYPES; t++)
		for (unsigned w = 0; w < WINDOW_KINDS; w++)
			expect_line((struct key_format){ .type = (enum key_type)t,
					.window = (enum window_kind)w },
			    (struct span){ NULL, 0 }, false, true, "\"key\":null");
}

static void the_window_stands_behind_the_key(void **state)
{
#define TIME(t)    ((struct key_format){ .type = (t), .window = WINDOW_TIME, .size_ms = 300000 })
#define SESSION(t) ((struct key_format){ .type = (t), .window = WINDOW_SESSION })
#define TIMES      ",\"window_enc\":\"time\",\"window\":{\"start\":1763698547776,\"end\":1763698847776}"
#define SESSIONS                                                                                   \
	",\"window_enc\":\"session\",\"window\":{\"start\":1763698547776,\"end\":1763698548735}"
	expect_line(TIME(KEY_ANY), SPAN("TR" START), false, true, "\"key\":\"TR\"" TIMES);
	expect_line(TIME(KEY_ANY), SPAN("\xff" START), false, true,
	    "\"key_enc\":\"base64\",\"key\":\"/w==\"" TIMES);
	expect_line(TIME(KEY_TEXT), SPAN(START), false, true, "\"key\":\"\"" TIMES);
	expect_line(TIME(KEY_BIGINT), SPAN("\0\0\0\0\0\0\0\x07" START), false, true,
	    "\"key_enc\":\"bigint\",\"key\":7" TIMES);
	expect_line(TIME(KEY_JSON), SPAN("{\"A\":1}" START), false, true,
	    "\"key_enc\":\"json\",\"key\":{\"A\":1}" TIMES);
	expect_line(TIME(KEY_BASE64), SPAN("TR" START), false, true,
	    "\"key_enc\":\"base64\",\"key\":\"VFI=\"" TIMES);
	expect_line(SESSION(KEY_TEXT), SPAN("TR" END START), false, true, "\"key\":\"TR\"" SESSIONS);
	expect_line(SESSION(KEY_INT), SPAN("\0\0\0\x07" END START), false, true,
	    "\"key_enc\":\"int\",\"key\":7" SESSIONS);
}

static void a_key_without_its_window_stays_whole(void **state)
{
	expect_line(TIME(KEY_TEXT), SPAN("customer-0042"), false, false,
	    "\"key_enc\":\"base64\",\"key\":\"Y3VzdG9tZXItMDA0Mg==\"");
	expect_line(SESSION(KEY_INT), SPAN("\0\0\0\x07" START), false, false,
	    "\"key_enc\":\"base64\",\"key\":\"AAAABwAAAZqkoBxA\"");
	/* The window is there, but another key before it. */
	expect_line(TIME(KEY_INT), SPAN("TR" START), false, false,
	    "\"key_enc\":\"base64\",\"key\":\"VFI=\"" TIMES);
}

static void json_keys_are_one_line_and_exact_when_asked(void **state)
{
	const struct key_format f = { .type = KEY_JSON };
	struct written w = line_of(f, SPAN(" {\"a\":\n1}\r\n"), false);

	assert_non_null(
	    strstr(buf_cstr(&w.line), ",\"key_enc\":\"json\",\"key\":{\"a\": 1},\"payload\""));
	assert_true(w.good);
	buf_release(&w.line);
	expect_line(f, SPAN("{\"a\": 1}"), true, true, "\"key_enc\":\"json\",\"key\":{\"a\": 1}");
	expect_line(f, SPAN("{\"a\":\n1}"), true, true, "\"key\":\"{\\\"a\\\":\\n1}\"");
	expect_line(f, SPAN("1 "), true, true, "\"key\":\"1 \"");
}

static void a_json_key_may_be_as_deep_as_a_payload(void **state)
{
	char deep[2 * (JSON_DEPTH + 1)], members[300];

	for (size_t n = JSON_DEPTH; n <= JSON_DEPTH + 1; n++) {
		memset(deep, '[', n);
		memset(deep + n, ']', n);
		if (n <= JSON_DEPTH) {
			snprintf(members, sizeof(members), "\"key_enc\":\"json\",\"key\":%.*s",
			    (int)(2 * n), deep);
			expect_line((struct key_format){ .type = KEY_JSON },
			    (struct span){ deep, 2 * n }, false, true, members);
		} else {
			struct written w = line_of((struct key_format){ .type = KEY_JSON },
			    (struct span){ deep, 2 * n }, false);

			assert_false(w.good);
			buf_release(&w.line);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_known_by_name),
		cmocka_unit_test(windows_have_a_size_or_are_sessions),
		cmocka_unit_test(a_time_window_is_its_start_and_a_session_its_end_and_start),
		cmocka_unit_test(what_are_no_times_is_no_window),
		cmocka_unit_test(integers_are_big_endian_and_signed),
		cmocka_unit_test(doubles_are_written_as_short_as_they_can_be_read),
		cmocka_unit_test(bytes_of_another_size_are_no_number),
		cmocka_unit_test(numbers_that_do_not_fit_are_told),
		cmocka_unit_test(every_double_comes_back),
		cmocka_unit_test(each_type_has_its_form),
		cmocka_unit_test(a_key_of_another_type_is_base64),
		cmocka_unit_test(a_null_is_a_null_in_every_format),
		cmocka_unit_test(the_window_stands_behind_the_key),
		cmocka_unit_test(a_key_without_its_window_stays_whole),
		cmocka_unit_test(json_keys_are_one_line_and_exact_when_asked),
		cmocka_unit_test(a_json_key_may_be_as_deep_as_a_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
