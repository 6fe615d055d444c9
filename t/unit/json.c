/* The scanner: what it accepts and rejects, and what each function of its interface does. */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *show(struct span text)
{
	static char shown[400];
	size_t n = 0;

	for (size_t i = 0; i < text.n && n + 5 < sizeof(shown); i++) {
		unsigned char c = (unsigned char)text.p[i];

		n += (size_t)snprintf(shown + n, sizeof(shown) - n,
		    c < 0x20 || c > 0x7e ? "\\x%02x" : "%c", c);
	}
	shown[n] = '\0';
	return shown;
}

static void assert_verdict(struct span text, bool expected)
{
	for (enum place where = 0; where < PLACES; where++)
		if (json_valid(place(where, text.p, text.n), text.n, NULL) != expected)
			fail_msg("%s: %s", expected ? "rejected" : "accepted", show(text));
}

static void assert_verdicts(const struct span *texts, size_t count, bool expected)
{
	for (size_t i = 0; i < count; i++)
		assert_verdict(texts[i], expected);
}

/* ---- the grammar ---- */

static void scalars_are_texts(void **state)
{
	static const struct span texts[] = { SPAN("null"), SPAN("true"), SPAN("false"), SPAN("0"),
		SPAN("\"\""), SPAN("\"text\""), SPAN("-1"), SPAN(" null"), SPAN("true "),
		SPAN("\t\r\n 7 \t\r\n") };

	assert_verdicts(texts, COUNT(texts), true);
}

static void a_text_is_one_value(void **state)
{
	static const struct span texts[] = { SPAN(""), SPAN(" "), SPAN("\n"), SPAN("1 2"),
		SPAN("{}{}"), SPAN("[] 1"), SPAN("\"a\"\"b\""), SPAN("null,"), SPAN(",null"),
		SPAN("[]]"), SPAN("{}}"), SPAN("1]"), SPAN("nullnull"), SPAN("[],"), SPAN("\"a\"x"),
		SPAN("{} #"), SPAN("1 // one"), SPAN("/**/1"), SPAN("[1]\0"), SPAN("\0"), SPAN("1\0") };

	assert_verdicts(texts, COUNT(texts), false);
}

static void only_the_three_literals_in_lower_case(void **state)
{
	static const struct span texts[] = { SPAN("True"), SPAN("NULL"), SPAN("nul"), SPAN("nulL"),
		SPAN("nulll"), SPAN("fals"), SPAN("tru"), SPAN("truth"), SPAN("t"), SPAN("f"),
		SPAN("n"), SPAN("[nul]"), SPAN("[tru,1]"), SPAN("NaN"), SPAN("nan"),
		SPAN("Infinity"), SPAN("-Infinity"), SPAN("inf"), SPAN("undefined"), SPAN("None"),
		SPAN("[true1]"), SPAN("yes"), SPAN("falsefalse"), SPAN("[false\0]") };

	assert_verdicts(texts, COUNT(texts), false);
}

static void numbers_of_every_form(void **state)
{
	static const struct span texts[] = { SPAN("0"), SPAN("-0"), SPAN("1"), SPAN("10"),
		SPAN("-10"), SPAN("1234567890"), SPAN("0.0"), SPAN("-0.0"), SPAN("0.10"),
		SPAN("12.50"), SPAN("1e1"), SPAN("1E1"), SPAN("1e+1"), SPAN("1E-1"), SPAN("1e01"),
		SPAN("0e0"), SPAN("0E+00"), SPAN("-0.0e-0"), SPAN("1.5e10"), SPAN("123.456E-789"),
		SPAN("0.000000000000000000000000000000000000000000000000000000000000000000001"),
		SPAN("-9007199254740993"), SPAN("[0]"), SPAN("[0,-0]"), SPAN("{\"a\":1}"),
		SPAN("[1\n,2\t]") };

	assert_verdicts(texts, COUNT(texts), true);
}

static void numbers_of_no_other_form(void **state)
{
	static const struct span texts[] = { SPAN("-"), SPAN("+1"), SPAN("--1"), SPAN("01"),
		SPAN("-01"), SPAN("00"), SPAN("-00"), SPAN("012"), SPAN("1."), SPAN("-1."),
		SPAN("0."), SPAN(".5"), SPAN("-.5"), SPAN("1.e1"), SPAN("0.e1"), SPAN("1e"),
		SPAN("1E"), SPAN("1e+"), SPAN("1e-"), SPAN("1.0e"), SPAN("1.5e+"), SPAN("1ee2"),
		SPAN("1e2.5"), SPAN("1e2e3"), SPAN("1.2.3"), SPAN("1..2"), SPAN("0x10"),
		SPAN("0b1"), SPAN("0o7"), SPAN("1_000"), SPAN("1,000"), SPAN("1 000"), SPAN("- 1"),
		SPAN("1f"), SPAN("1L"), SPAN("[1a]"), SPAN("[-]"), SPAN("[-a]"), SPAN("[1+2]"),
		SPAN("[1-2]"), SPAN("{\"a\":-}"), SPAN("[0e]"), SPAN("[1.]"), SPAN("[-,1]"),
		SPAN("\xef\xbc\x91"), /* a full-width digit */
		SPAN("\xd9\xa1"),     /* an Arabic one */
		SPAN("\xe2\x88\x92"
		     "1"), /* a typographic minus */
		SPAN("[1e\0]"), SPAN("-\0"),
		SPAN("1\0"
		     "2") };

	assert_verdicts(texts, COUNT(texts), false);
}

static void between_digits_only_what_makes_a_number(void **state)
{
	for (int c = 0; c < 256; c++) {
		char digits[] = { '[', '1', (char)c, '5', ']' };
		char exponent[] = { '[', '1', 'e', (char)c, '5', ']' };

		assert_verdict((struct span){ digits, 5 }, c != 0 && strchr("0123456789.eE,", c));
		assert_verdict((struct span){ exponent, 6 }, c != 0 && strchr("0123456789+-", c));
	}
}

static void arrays(void **state)
{
	static const struct span good[] = { SPAN("[]"), SPAN("[ ]"), SPAN("[\n]"), SPAN("[1]"),
		SPAN("[ 1 , 2 ]"), SPAN("[[]]"), SPAN("[[],[]]"), SPAN("[[[]],[]]"),
		SPAN("[null,true,false,1,\"\",{},[]]"), SPAN("[\"\"]"), SPAN("[1,\t2,\r\n3]"),
		SPAN("[{}]"), SPAN("[[] ]"), SPAN("[ [ ] , { } ]") };
	static const struct span bad[] = { SPAN("["), SPAN("]"), SPAN("[1"), SPAN("[1,"),
		SPAN("[1,]"), SPAN("[,1]"), SPAN("[,]"), SPAN("[1,,2]"), SPAN("[1 2]"),
		SPAN("[\"a\" \"b\"]"), SPAN("[1;2]"), SPAN("[1:2]"), SPAN("[\"a\":1]"), SPAN("[1}"),
		SPAN("[[1]"), SPAN("[1]]"), SPAN("[}"), SPAN("[{]}"), SPAN("[,"), SPAN("[[,]]"),
		SPAN("(1)"), SPAN("[1)"), SPAN("[a]"), SPAN("['a']"), SPAN("[*]"),
		SPAN("[1,2,...]"), SPAN("[\v1]"), SPAN("[\f]"), SPAN("[ ,"), SPAN("[[][]]"),
		SPAN("[\"\""), SPAN("[null"), SPAN("[1]x"), SPAN("[\xa0]"), SPAN("[\xc2\xa0]"),
		SPAN("[\xe2\x80\xa8]"), SPAN("[\0]"), SPAN("[\xff]") };

	assert_verdicts(good, COUNT(good), true);
	assert_verdicts(bad, COUNT(bad), false);
}

static void objects(void **state)
{
	static const struct span good[] = { SPAN("{}"), SPAN("{ }"), SPAN("{\r\n}"),
		SPAN("{\"a\":1}"), SPAN("{ \"a\" : 1 , \"b\" : 2 }"), SPAN("{\"\":0}"),
		SPAN("{\"a\":{}}"), SPAN("{\"a\":{},\"b\":[]}"), SPAN("{\"a\":{\"a\":{\"a\":{}}}}"),
		SPAN("{\"a\":1,\"a\":1}"),
		SPAN("{\"a\":1,\"a\":2}"), /* repeated names are the reader's business */
		SPAN("{\"\\u0000\":1}"), SPAN("{\"\\\"\":\"\\\"\"}"),
		SPAN("{\"\xc3\xa9\":\"\xc3\xa9\"}"), SPAN("{\"a\"\n:\n1\n,\n\"b\"\t:\t[ ]\t}"),
		SPAN("{\"a\":[{\"b\":[{}]}]}") };
	static const struct span bad[] = { SPAN("{"), SPAN("}"), SPAN("{]"), SPAN("{\"a\""),
		SPAN("{\"a\":"), SPAN("{\"a\":1"), SPAN("{\"a\":1,"), SPAN("{\"a\":1,}"),
		SPAN("{,\"a\":1}"), SPAN("{,}"), SPAN("{\"a\"}"), SPAN("{\"a\":}"),
		SPAN("{\"a\" 1}"), SPAN("{\"a\",1}"), SPAN("{\"a\"::1}"), SPAN("{:1}"),
		SPAN("{a:1}"), SPAN("{'a':1}"), SPAN("{1:1}"), SPAN("{null:1}"), SPAN("{[]:1}"),
		SPAN("{{}:1}"), SPAN("{\"a\":1 \"b\":2}"), SPAN("{\"a\":1,,\"b\":2}"),
		SPAN("{\"a\":1;\"b\":2}"), SPAN("{\"a\"=1}"), SPAN("{\"a\":1]"), SPAN("{\"a\":[}"),
		SPAN("{\"a\":[1}]"), SPAN("{\"a\":1}}"), SPAN("{\"a\":1,2}"),
		SPAN("{\"a\":1,\"b\"}"), SPAN("{\"a\":1,null}"), SPAN("{\"a"), SPAN("{\"a\":\"b}"),
		SPAN("{\"a\":b}"), SPAN("{\"a\":1}#"), SPAN("{\"a\":/*1*/2}"),
		SPAN("{\"a\" \"b\"}"), SPAN("{\"a\":1 2}"), SPAN("{\"a\\\":1}"),
		SPAN("{\"\xff\":1}"), SPAN("{\"\\ud800\":1}"), SPAN("{\"\t\":1}"),
		SPAN("{\xef\xbb\xbf}"), SPAN("{\0}"), SPAN("{\"a\"\0:1}") };

	assert_verdicts(good, COUNT(good), true);
	assert_verdicts(bad, COUNT(bad), false);
}

static void strings_and_their_escapes(void **state)
{
	static const struct span good[] = { SPAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
		SPAN("\"\\u0000\""), SPAN("\"\\u0020\\u00e9\\uABCD\\uabcd\""),
		SPAN("\"\\u0022\\u005c\""), SPAN("\"/\""), SPAN("\"\x7f\""), SPAN("\"'\""),
		SPAN("\" \""), SPAN("\"\\\\u\""), SPAN("\"\\\\\\\"\""), SPAN("\"a/*b*/c\""),
		SPAN("\"\\ud83d\\ude00\""), SPAN("\"\\uD800\\uDC00\""), SPAN("\"\\udbff\\udfff\""),
		SPAN("\"\\ud834\\uDD1Ex\\ud834\\udd1e\""), SPAN("\"\\ufffe\\uffff\\ufdd0\""),
		SPAN("\"\\ud7ff\\ue000\"") };
	static const struct span bad[] = { SPAN("\""), SPAN("\"a"), SPAN("\"\\\""), SPAN("\"\\"),
		SPAN("\"\\\\\\\""), SPAN("'a'"), SPAN("a"), SPAN("\"\\a\""), SPAN("\"\\x41\""),
		SPAN("\"\\'\""), SPAN("\"\\0\""), SPAN("\"\\v\""), SPAN("\"\\e\""), SPAN("\"\\N\""),
		SPAN("\"\\U0041\""), SPAN("\"\\ \""), SPAN("\"\\\n\""), SPAN("\"\\\0\""),
		SPAN("\"\\\xc3\xa9\""), SPAN("\"\\u\""), SPAN("\"\\u0\""), SPAN("\"\\u00\""),
		SPAN("\"\\u004\""), SPAN("\"\\u00g1\""), SPAN("\"\\u+041\""), SPAN("\"\\u 041\""),
		SPAN("\"\\u-001\""), SPAN("\"\\u{41}\""), SPAN("\"\\u0x41\""),
		SPAN("\"\\u00\x00"
		     "41\""),
		SPAN("\"\\u00e\xc3\xa9\""), SPAN("\"\\u00:0\""), SPAN("\"\\u00/0\""),
		SPAN("\"\\u00`0\""), SPAN("\"\\u00@0\""), SPAN("\"\\u00G0\""), SPAN("\"\t\""),
		SPAN("\"\n\""), SPAN("\"\r\n\""), SPAN("\"\x1f\""), SPAN("\"\x01\""),
		SPAN("\"\0\""), SPAN("\"a\0b\""), SPAN("\\u0022a\\u0022"), SPAN("\\n") };

	assert_verdicts(good, COUNT(good), true);
	assert_verdicts(bad, COUNT(bad), false);
}

/* RFC 8259 leaves them to the implementation; one of them makes DuckDB reject a file and stops jq.
 */
static void lone_surrogates_are_rejected(void **state)
{
	static const struct span texts[] = { SPAN("\"\\ud800\""), SPAN("\"\\udbff\""),
		SPAN("\"\\udc00\""), SPAN("\"\\udc00\\udc00\""), SPAN("\"\\udfff\\udc00\""),
		SPAN("\"\\udfff\""), SPAN("\"\\ud83dx\""), SPAN("\"\\ud83d\\n\""),
		SPAN("\"\\ud83d\\u0041\""), SPAN("\"\\ud83d\\ud83d\""), SPAN("\"\\ude00\\ud83d\""),
		SPAN("\"\\ud83d\\ue000\""), SPAN("\"\\ud83d\\udbff\""),
		SPAN("\"\\ud83d\\ud83d\\ude00\""), SPAN("\"\\ud83d\\ude0\""), SPAN("\"\\ud83d\\u\""),
		SPAN("\"\\ud83d\\"), SPAN("\"\\ud83d\\u"), SPAN("\"\\ud83d\\ude00\\ude00\""),
		SPAN("\"\\ud83d\\\\ude00\""), SPAN("\"\\ud83d\\xde00\""), SPAN("\"\\ud83d/ude00\""),
		SPAN("\"\\ud83d\\udeg0\""), SPAN("[\"\\uDEAD\"]") };

	assert_verdicts(texts, COUNT(texts), false);
}

static void utf8_must_be_well_formed(void **state)
{
	static const struct span good[] = { SPAN("\"\xc2\x80\xdf\xbf\""),
		SPAN("\"\xe0\xa0\x80\xef\xbf\xbf\""), SPAN("\"\xed\x9f\xbf\xee\x80\x80\""),
		SPAN("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), SPAN("\"\xef\xbb\xbf\""),
		SPAN("\"\xe2\x80\xa8\xe2\x80\xa9\""), SPAN("\"\xc2\x85\""), SPAN("\"\xef\xb7\x90\""),
		SPAN("\"na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80\"") };
	static const struct span bad[] = { SPAN("\"\x80\""), SPAN("\"\xbf\""), SPAN("\"\xc3\""),
		SPAN("\"\xc3x\""), SPAN("\"\xc0\xaf\""), SPAN("\"\xc1\xbf\""),
		SPAN("\"\xe0\x80\xaf\""), SPAN("\"\xe0\x9f\xbf\""), SPAN("\"\xe2\x82\""),
		SPAN("\"\xe2\x28\xa1\""), SPAN("\"\xed\xa0\x80\""), SPAN("\"\xed\xbf\xbf\""),
		SPAN("\"\xed\xa0\xbd\xed\xb8\x80\""), SPAN("\"\xf0\x8f\xbf\xbf\""),
		SPAN("\"\xf0\x9f\x98\""), SPAN("\"\xf0\x28\x8c\xbc\""),
		SPAN("\"\xf4\x90\x80\x80\""), SPAN("\"\xf5\x80\x80\x80\""),
		SPAN("\"\xf8\x88\x80\x80\x80\""), SPAN("\"\xfc\x84\x80\x80\x80\x80\""),
		SPAN("\"\xfe\""), SPAN("\"\xff\""), SPAN("\"\xe9\""), SPAN("\"\xc3\xa9\xa9\""),
		SPAN("\"\xc3"), SPAN("\"\xf0\x9f"), SPAN("\xc3\xa9"), SPAN("\xff"),
		SPAN("[\"a\"\xc3\xa9]"), SPAN("\"\xc3\"\""), SPAN("\"\\\xc3\"") };

	assert_verdicts(good, COUNT(good), true);
	assert_verdicts(bad, COUNT(bad), false);
}

static void no_other_encodings_and_no_byte_order_mark(void **state)
{
	static const struct span texts[] = { SPAN("\xef\xbb\xbf{}"), SPAN("\xef\xbb\xbf"),
		SPAN("\xef\xbb{}"), SPAN("{}\xef\xbb\xbf"), SPAN("\xff\xfe{\0}\0"), SPAN("{\0}\0"),
		SPAN("\0{\0}"), SPAN("\xfe\xff\0{\0}"), SPAN("\xe2\x81\xa0[]"), SPAN("\xc2\xa0[]"),
		SPAN("[]\xc2\x85") };

	assert_verdicts(texts, COUNT(texts), false);
}

static void white_space_is_the_four_bytes(void **state)
{
	assert_verdict((struct span)SPAN(
			   " \t\n\r[ \t\n\r1 \t\n\r, \t\n\r{ \t\n\r\"a\" \t\n\r: \t\n\r2 \t\n\r} \t\n\r] \t\n\r"),
	    true);
	for (int c = 0; c < 256; c++) {
		char text[] = { '[', (char)c, '1', ']' };
		bool fits = strchr(" \t\n\r-123456789", c) && c != 0;

		assert_verdict((struct span){ text, sizeof(text) }, fits);
	}
}

/* Accepted although no double holds them: numbers are bytes here. */
static void numbers_have_no_limits(void **state)
{
	static const struct span texts[] = {
		SPAN("1e9999"), SPAN("-1e+9999"), SPAN("1e-9999"),
		SPAN("0e99999999999999999999999999"), SPAN("123123e100000000000000000000000"),
		SPAN("1.7976931348623159e308"), SPAN("-5e-325"),
		SPAN("100000000000000000000000000000000000000000000000000000000000000000000000000000000000000"),
		SPAN("0.100000000000000000000000000000000000000000000000000000000000000000000000000000000000")
	};
	char *digits = malloc(100000);

	assert_verdicts(texts, COUNT(texts), true);
	memset(digits, '9', 100000);
	assert_verdict((struct span){ digits, 100000 }, true);
	digits[0] = '-';
	digits[50000] = '.';
	assert_verdict((struct span){ digits, 100000 }, true);
	digits[0] = '0';
	assert_verdict((struct span){ digits, 100000 }, false);
	free(digits);
}

static struct span nested(struct buf *b, int depth, const char *open, const char *inner,
    const char *close)
{
	buf_clear(b);
	for (int i = 0; i < depth; i++)
		buf_add_str(b, open);
	buf_add_str(b, inner);
	for (int i = 0; i < depth; i++)
		buf_add_str(b, close);
	return buf_span(b);
}

static void a_hundred_levels_counting_the_outermost(void **state)
{
	struct buf b = BUF_INIT;

	for (int depth = 1; depth <= 300; depth++) {
		bool fits = depth <= 100;

		assert_verdict(nested(&b, depth, "[", "", "]"), fits);
		assert_verdict(nested(&b, depth, "[", "1", "]"), fits);
		assert_verdict(nested(&b, depth, "{\"a\":", "\"\"", "}"), fits);
		assert_verdict(nested(&b, depth, " [ 1 , ", "null", " , 2 ] "), fits);
		if (depth % 2 == 0)
			assert_verdict(nested(&b, depth / 2, "[{\"a\":", "0", "}]"), fits);
	}
	/* depth is how many are open at once, not how many there are */
	buf_clear(&b);
	buf_add_char(&b, '[');
	for (int i = 0; i < 500; i++)
		buf_add_str(&b, "[{}],{\"a\":[]},");
	buf_add_str(&b, "0]");
	assert_verdict(buf_span(&b), true);
	buf_release(&b);
}

static void unclosed_nesting_of_any_depth_is_rejected(void **state)
{
	struct buf b = BUF_INIT;

	for (int depth = 1; depth < 2000; depth += depth < 110 ? 1 : 97) {
		assert_verdict(nested(&b, depth, "[", "", ""), false);
		assert_verdict(nested(&b, depth, "{\"a\":", "", ""), false);
		assert_verdict(nested(&b, depth, "]", "", ""), false);
	}
	buf_release(&b);
}

/* Each is a container, string or literal, so that no proper prefix of it is a text. */
static const struct span whole[] = {
	SPAN("null"), SPAN("true"), SPAN("false"), SPAN("\"\""), SPAN("[]"), SPAN("{}"),
	SPAN("[[],{}]"), SPAN("\"\\\"\\\\\\u00e9\\ud83d\\ude00\""),
	SPAN("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""), SPAN("[null,true,false,-0.5e+10,\"x\"]"),
	SPAN("{\"a\":1,\"b\":[1,2,{\"c\":\"d\"}],\"e\":null}"),
	SPAN(" \t\r\n{ \"a\" : 1 ,\n\t\"b\" : [ ]\n}"),
	SPAN("{\"topic\":\"TX\",\"partition\":0,\"offset\":42,\"tstype\":\"create\",\"ts\":1763697600123,"
	     "\"headers\":[\"trace\",\"a1\",\"k\",null],\"key\":\"U000123\",\"payload\":{\"transaction_id\":\"T1\","
	     "\"amount\":12.50,\"city\":\"Saint-\xc3\x89tienne\",\"note\":\"a \\\"quoted\\\" \\u00e9 word\"}}")
};

static void every_truncation_is_rejected(void **state)
{
	for (size_t i = 0; i < COUNT(whole); i++) {
		assert_verdict(whole[i], true);
		for (size_t n = 0; n < whole[i].n; n++)
			assert_verdict((struct span){ whole[i].p, n }, false);
	}
}

static void every_tail_of_a_container_is_rejected(void **state)
{
	for (size_t i = 0; i < COUNT(whole); i++)
		for (size_t n = 1; n < whole[i].n && strchr("[{", *whole[i].p); n++)
			assert_verdict((struct span){ whole[i].p + n, whole[i].n - n }, false);
}

/* ---- the interface ---- */

static struct json scan(struct span text)
{
	struct json j;

	json_init(&j, text.p, text.n);
	return j;
}

static void assert_span(struct span s, const char *expected)
{
	if (!span_is(s, expected))
		fail_msg("\"%s\" is not \"%s\"", show(s), expected);
}

static void peek_tells_the_type_by_the_first_byte(void **state)
{
	static const struct {
		struct span text;
		enum json_type type;
	} cases[] = {
		{ SPAN(" null"), JSON_NULL },
		{ SPAN("\n\ttrue"), JSON_TRUE },
		{ SPAN("false"), JSON_FALSE },
		{ SPAN("-x"), JSON_NUMBER },
		{ SPAN("0"), JSON_NUMBER },
		{ SPAN("9"), JSON_NUMBER },
		{ SPAN("\""), JSON_STRING },
		{ SPAN("["), JSON_ARRAY },
		{ SPAN(" {"), JSON_OBJECT },
		{ SPAN(""), JSON_NONE },
		{ SPAN("  "), JSON_NONE },
		{ SPAN("x"), JSON_NONE },
		{ SPAN("]"), JSON_NONE },
		{ SPAN("+1"), JSON_NONE },
		{ SPAN("\0"), JSON_NONE },
		{ SPAN("/"), JSON_NONE },
		{ SPAN(":"), JSON_NONE },
		{ SPAN("\xef\xbb\xbf"), JSON_NONE },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json j = scan(cases[i].text);

		if (json_peek(&j) != cases[i].type)
			fail_msg("peek at \"%s\"", show(cases[i].text));
		assert_null(j.why);
	}
}

static void a_value_is_the_exact_bytes(void **state)
{
	static const struct {
		struct span text;
		enum json_type type;
		const char *raw;
		bool escaped;
	} cases[] = {
		{ SPAN(" 12.50 "), JSON_NUMBER, "12.50", false },
		{ SPAN("9007199254740993,"), JSON_NUMBER, "9007199254740993", false },
		{ SPAN("\t-0E+1]"), JSON_NUMBER, "-0E+1", false },
		{ SPAN("null}"), JSON_NULL, "null", false },
		{ SPAN("true"), JSON_TRUE, "true", false },
		{ SPAN("false\n"), JSON_FALSE, "false", false },
		{ SPAN("\"a\\\"b\" :"), JSON_STRING, "\"a\\\"b\"", true },
		{ SPAN("\"plain\xc3\xa9\""), JSON_STRING, "\"plain\xc3\xa9\"", false },
		{ SPAN("\"\""), JSON_STRING, "\"\"", false },
		{ SPAN("\"0123456789abcdef0123456789abcdef\\n\""), JSON_STRING,
		    "\"0123456789abcdef0123456789abcdef\\n\"", true },
		{ SPAN(" [ 1, \"\\n\" ] ]"), JSON_ARRAY, "[ 1, \"\\n\" ]", true },
		{ SPAN("{\"a\" : {}}}"), JSON_OBJECT, "{\"a\" : {}}", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json j = scan(cases[i].text);
		struct json_value v;

		assert_int_equal(json_value(&j, &v), 0);
		assert_int_equal(v.type, cases[i].type);
		assert_span(v.raw, cases[i].raw);
		assert_ptr_equal(j.p, v.raw.p + v.raw.n);
		if (v.type == JSON_STRING)
			assert_int_equal(v.escaped, cases[i].escaped);
	}
}

static void a_value_that_is_wrong_is_none(void **state)
{
	static const struct span texts[] = { SPAN("\"cut"), SPAN("[1"), SPAN("{\"a\":"),
		SPAN("nul"), SPAN("-"), SPAN("") };

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct json_value v = { .type = JSON_STRING };
		struct json j = scan(texts[i]);

		assert_int_equal(json_value(&j, &v), -1);
		assert_int_equal(v.type, JSON_NONE);
		v.type = JSON_STRING;
		assert_int_equal(json_value(&j, &v), -1);
		assert_int_equal(v.type, JSON_NONE);
	}
}

static void members_come_in_order_with_repetitions(void **state)
{
	struct json j = scan((struct span)SPAN(
	    " { \"b\" : 1 ,\"a\":[2, 3],\"b\":{\"c\":4},\"\\u0061\":\"x\\ty\",\"\":null} "));
	static const struct {
		const char *key, *raw;
		bool escaped;
	} expected[] = {
		{ "b", "1", false },
		{ "a", "[2, 3]", false },
		{ "b", "{\"c\":4}", false },
		{ "\\u0061", "\"x\\ty\"", true },
		{ "", "null", false },
	};
	struct json_value v;
	struct span key;
	bool escaped;

	assert_int_equal(json_peek(&j), JSON_OBJECT);
	assert_int_equal(json_enter(&j), 0);
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_int_equal(json_member(&j, &key, &escaped), 1);
		assert_span(key, expected[i].key);
		assert_int_equal(escaped, expected[i].escaped);
		assert_int_equal(json_value(&j, &v), 0);
		assert_span(v.raw, expected[i].raw);
	}
	assert_int_equal(json_member(&j, &key, NULL), 0);
	assert_int_equal(j.depth, 0);
	assert_int_equal(json_finish(&j), 0);
	assert_ptr_equal(j.p, j.end);
}

static void elements_and_members_nest(void **state)
{
	struct json j = scan((struct span)SPAN("[ 1 , [] , {} , [ { \"a\" : [ 2 ] } , 3 ] ]"));
	struct json_value v;
	struct span key;

	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_element(&j), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_member(&j, &key, NULL), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_member(&j, &key, NULL), 1);
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(j.depth, 4);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_span(v.raw, "2");
	assert_int_equal(json_element(&j), 0);
	assert_int_equal(json_member(&j, &key, NULL), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_span(v.raw, "3");
	assert_int_equal(json_element(&j), 0);
	assert_int_equal(json_element(&j), 0);
	assert_int_equal(j.depth, 0);
	assert_int_equal(json_finish(&j), 0);
}

/* Walks a text with the pull functions alone: every container is entered. */
static bool walk(struct json *j)
{
	enum json_type type = json_peek(j);
	struct json_value v;
	struct span key;
	int r;

	if (type != JSON_ARRAY && type != JSON_OBJECT)
		return json_value(j, &v) == 0;
	if (json_enter(j) < 0)
		return false;
	while ((r = type == JSON_OBJECT ? json_member(j, &key, NULL) : json_element(j)) > 0)
		if (!walk(j))
			return false;
	return r == 0;
}

static bool walk_text(struct span text)
{
	struct json j = scan(text);

	return walk(&j) && json_finish(&j) == 0;
}

static void pulling_agrees_with_skipping(void **state)
{
	static const struct span bad[] = { SPAN("{\"a\":1,}"), SPAN("{,}"), SPAN("{\"a\"}"),
		SPAN("{\"a\":}"), SPAN("{\"a\" 1}"), SPAN("{\"a\":1 \"b\":2}"), SPAN("{\"a\":1]"),
		SPAN("{a:1}"), SPAN("[1,]"), SPAN("[,1]"), SPAN("[1 2]"), SPAN("[1}"), SPAN("[1"),
		SPAN("{\"a\":1"), SPAN("[[1]"), SPAN("[]]"), SPAN("{}{}"),
		SPAN("{\"a\":[1,{\"b\":nul}]}"), SPAN("{\"\\ud800\":1}"), SPAN("{\"a\":\"\xff\"}"),
		SPAN("[\"\\x\"]"), SPAN("[1,,2]"), SPAN("{\"a\",1}"), SPAN("{\"a\":1,2}"),
		SPAN("{\"a"), SPAN("{\"a\""), SPAN("{"), SPAN("["), SPAN("{\"\t\":1}"), SPAN(""),
		SPAN("[ "), SPAN("{ ") };
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < COUNT(bad); i++)
		for (enum place where = 0; where < PLACES; where++)
			assert_false(
			    walk_text((struct span){ place(where, bad[i].p, bad[i].n), bad[i].n }));
	for (size_t i = 0; i < COUNT(whole); i++)
		for (size_t n = 0; n <= whole[i].n; n++)
			assert_int_equal(walk_text(
					     (struct span){ place(PLACE_AT_END, whole[i].p, n), n }),
			    n == whole[i].n);
	for (int depth = 98; depth <= 102; depth++) {
		assert_int_equal(walk_text(nested(&b, depth, "[", "", "]")), depth <= 100);
		assert_int_equal(walk_text(nested(&b, depth, "{\"a\":", "1", "}")), depth <= 100);
	}
	buf_release(&b);
}

static void depth_counts_what_was_entered_and_what_is_skipped(void **state)
{
	struct buf b = BUF_INIT;

	for (int depth = 99; depth <= 101; depth++) {
		for (int entered = 0; entered < depth && entered <= 100; entered++) {
			struct json j = scan(nested(&b, depth, "[", "", "]"));
			struct json_value v;

			for (int i = 0; i < entered; i++) {
				assert_int_equal(json_enter(&j), 0);
				assert_int_equal(json_element(&j), 1);
			}
			assert_int_equal(json_value(&j, &v), depth <= 100 ? 0 : -1);
		}
	}
	buf_release(&b);
}

static void an_error_names_the_byte_and_stays(void **state)
{
	static const struct {
		struct span text;
		size_t at;
	} cases[] = {
		{ SPAN(""), 0 },
		{ SPAN("  "), 2 },
		{ SPAN("x"), 0 },
		{ SPAN("[1,x]"), 3 },
		{ SPAN("[1 x"), 3 },
		{ SPAN("[1"), 2 },
		{ SPAN("{1"), 1 },
		{ SPAN("{\"a\"1"), 4 },
		{ SPAN("{\"a\":1,}"), 7 },
		{ SPAN("\"abc"), 4 },
		{ SPAN("\"a\tb\""), 2 },
		{ SPAN("\"a\xff\""), 2 },
		{ SPAN("\"\xc3\xa9\xe9\""), 3 },
		{ SPAN("\"a\\x\""), 3 },
		{ SPAN("\"a\\u12\""), 2 },
		{ SPAN("\"a\\ud800\""), 2 },
		{ SPAN("-x"), 1 },
		{ SPAN("1.x"), 2 },
		{ SPAN("1e+x"), 3 },
		{ SPAN("1 x"), 2 },
		{ SPAN("01"), 1 },
		{ SPAN("{}]"), 2 },
		{ SPAN("[}"), 1 },
		{ SPAN("{]"), 1 },
		{ SPAN("{\"a\":nul}"), 5 },
		{ SPAN("[1]\0"), 3 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json j = scan(cases[i].text);
		struct json_value v;
		struct span key;
		const char *why;

		if (json_value(&j, &v) == 0)
			assert_int_equal(json_finish(&j), -1);
		if ((size_t)(j.p - cases[i].text.p) != cases[i].at)
			fail_msg("\"%s\": byte %zu, not %zu", show(cases[i].text),
			    (size_t)(j.p - cases[i].text.p), cases[i].at);
		why = j.why;
		assert_non_null(why);
		assert_int_equal(json_peek(&j), JSON_NONE);
		assert_int_equal(json_value(&j, &v), -1);
		assert_int_equal(json_enter(&j), -1);
		assert_int_equal(json_member(&j, &key, NULL), -1);
		assert_int_equal(json_element(&j), -1);
		assert_int_equal(json_finish(&j), -1);
		assert_ptr_equal(j.why, why);
		assert_int_equal(j.p - cases[i].text.p, cases[i].at);
	}
}

static void an_error_says_why(void **state)
{
	static const struct {
		struct span text;
		const char *why;
	} cases[] = {
		{ SPAN("[1 2]"), "expected , or ]" },
		{ SPAN("{\"a\":1 2}"), "expected , or }" },
		{ SPAN("{\"a\":[1}"), "expected , or ]" },
		{ SPAN("{\"a\" 1}"), "expected a colon" },
		{ SPAN("{1:1}"), "expected a member name in quotes" },
		{ SPAN("[x]"), "expected a value" },
		{ SPAN("[nul]"), "expected a value" },
		{ SPAN("[-]"), "expected a digit" },
		{ SPAN("\"\x80\""), "invalid UTF-8" },
		{ SPAN("\"\n\""), "control character in a string" },
		{ SPAN("\"\\ud800\""), "unpaired surrogate" },
		{ SPAN("\"\\q\""), "no such escape sequence" },
		{ SPAN("[1"), "the text ends too early" },
		{ SPAN("\"a"), "the text ends too early" },
		{ SPAN(""), "the text ends too early" },
		{ SPAN("1 2"), "more text after the value" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json skipped = scan(cases[i].text), pulled = scan(cases[i].text);
		struct json_value v;

		if (json_value(&skipped, &v) == 0)
			json_finish(&skipped);
		if (walk(&pulled))
			json_finish(&pulled);
		assert_string_equal(skipped.why, cases[i].why);
		assert_string_equal(pulled.why, cases[i].why);
	}
}

static void enter_wants_a_container(void **state)
{
	static const struct span texts[] = { SPAN("1"), SPAN("\"a\""), SPAN("null"), SPAN(""),
		SPAN("]") };

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct json j = scan(texts[i]);

		assert_int_equal(json_enter(&j), -1);
		assert_non_null(j.why);
	}
}

static void finish_wants_nothing_but_white_space(void **state)
{
	struct json j = scan((struct span)SPAN("1 \t\r\n"));
	struct json_value v;

	assert_int_equal(json_value(&j, &v), 0);
	assert_int_equal(json_finish(&j), 0);
	j = scan((struct span)SPAN("[1]"));
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_int_equal(json_finish(&j), -1);
	j = scan((struct span)SPAN("["));
	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_finish(&j), -1);
}

static void breaks_are_raw_line_breaks_between_tokens(void **state)
{
	static const struct {
		struct span text;
		bool breaks;
	} cases[] = {
		{ SPAN("{\"a\": 1}"), false },
		{ SPAN("{\t\"a\":\t1 }"), false },
		{ SPAN("{\n\"a\":1}"), true },
		{ SPAN("{\"a\":\r1}"), true },
		{ SPAN("{\"a\"\n:1}"), true },
		{ SPAN("{\"a\":1\r\n}"), true },
		{ SPAN("[1,\n2]"), true },
		{ SPAN("[1\r,2]"), true },
		{ SPAN("[\n]"), true },
		{ SPAN("{\n}"), true },
		{ SPAN("\n1"), true },
		{ SPAN("1\n"), true },
		{ SPAN("1\r"), true },
		{ SPAN("[\"\\n\\r\"]"), false },
		{ SPAN("{\"a\\n\":\"\\u000a\"}"), false },
		{ SPAN("[1,    \n2]"), true },
		{ SPAN("[1,\t\t\t\t2]"), false },
		{ SPAN("[[1]\n]"), true },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		bool breaks = !cases[i].breaks;

		assert_true(json_valid(cases[i].text.p, cases[i].text.n, &breaks));
		if (breaks != cases[i].breaks)
			fail_msg("breaks of \"%s\"", show(cases[i].text));
	}
}

static void breaks_are_seen_by_every_pull_function(void **state)
{
	static const struct span texts[] = { SPAN("\n{\"a\":[1],\"b\":2}"),
		SPAN("{\n\"a\":[1],\"b\":2}"), SPAN("{\"a\"\n:[1],\"b\":2}"),
		SPAN("{\"a\":\n[1],\"b\":2}"), SPAN("{\"a\":[\n1],\"b\":2}"),
		SPAN("{\"a\":[1\n],\"b\":2}"), SPAN("{\"a\":[1]\n,\"b\":2}"),
		SPAN("{\"a\":[1],\n\"b\":2}"), SPAN("{\"a\":[1],\"b\":2\n}"),
		SPAN("{\"a\":[1],\"b\":2}\n") };
	struct json j = scan((struct span)SPAN(" { \"a\" : [ 1 ] , \"b\" : 2 } "));

	assert_true(walk(&j) && json_finish(&j) == 0);
	assert_false(j.breaks);
	for (size_t i = 0; i < COUNT(texts); i++) {
		j = scan(texts[i]);
		assert_true(walk(&j) && json_finish(&j) == 0);
		if (!j.breaks)
			fail_msg("breaks of \"%s\"", show(texts[i]));
	}
}

/* ---- decoding ---- */

static struct span unescaped(struct buf *b, struct span s)
{
	buf_clear(b);
	json_unescape(b, s);
	return buf_span(b);
}

static void unescape_decodes_every_escape(void **state)
{
	static const struct {
		struct span text, expected;
	} cases[] = {
		{ SPAN(""), SPAN("") },
		{ SPAN("plain"), SPAN("plain") },
		{ SPAN("\\\"\\\\\\/\\b\\f\\n\\r\\t"), SPAN("\"\\/\b\f\n\r\t") },
		{ SPAN("\\u0000"), SPAN("\0") },
		{ SPAN("a\\u0000b"), SPAN("a\0b") },
		{ SPAN("\\u0041\\u007f"), SPAN("A\x7f") },
		{ SPAN("\\u0080\\u07ff"), SPAN("\xc2\x80\xdf\xbf") },
		{ SPAN("\\u0800\\uFFFF"), SPAN("\xe0\xa0\x80\xef\xbf\xbf") },
		{ SPAN("\\ud83d\\ude00"), SPAN("\xf0\x9f\x98\x80") },
		{ SPAN("\\uD800\\uDC00\\udbff\\uDFFF"), SPAN("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf") },
		{ SPAN("\\ud7ff\\ue000"), SPAN("\xed\x9f\xbf\xee\x80\x80") },
		{ SPAN("\\\\u0041"), SPAN("\\u0041") },
		{ SPAN("\\\\\\u0041\\\\"), SPAN("\\A\\") },
		{ SPAN("\xc3\xa9\\u00e9\xc3\xa9"), SPAN("\xc3\xa9\xc3\xa9\xc3\xa9") },
	};
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < COUNT(cases); i++)
		for (enum place where = 0; where < PLACES; where++)
			assert_true(
			    span_eq(unescaped(&b,
					(struct span){ place(where, cases[i].text.p, cases[i].text.n),
					    cases[i].text.n }),
				cases[i].expected));
	buf_release(&b);
}

static void unescape_appends(void **state)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "so far ");
	json_unescape(&b, (struct span)SPAN("a\\tb"));
	assert_span(buf_span(&b), "so far a\tb");
	buf_release(&b);
}

static void text_is_a_slice_when_nothing_is_escaped(void **state)
{
	struct json j = scan((struct span)SPAN("[\"plain\",\"tab\\t\",\"\"]"));
	struct buf scratch = BUF_INIT;
	struct json_value v;
	struct span text;

	assert_int_equal(json_enter(&j), 0);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	text = json_text(&v, &scratch);
	assert_span(text, "plain");
	assert_ptr_equal(text.p, v.raw.p + 1);
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_span(json_text(&v, &scratch), "tab\t");
	assert_span(json_text(&v, &scratch), "tab\t"); /* not appended to what is there */
	assert_int_equal(json_element(&j), 1);
	assert_int_equal(json_value(&j, &v), 0);
	assert_int_equal(json_text(&v, &scratch).n, 0);
	buf_release(&scratch);
}

static void key_is_compares_decoded_names(void **state)
{
	static const struct {
		struct span key;
		bool escaped;
		const char *name;
		bool same;
	} cases[] = {
		{ SPAN("topic"), false, "topic", true },
		{ SPAN("topic"), false, "topi", false },
		{ SPAN("topi"), false, "topic", false },
		{ SPAN("Topic"), false, "topic", false },
		{ SPAN(""), false, "", true },
		{ SPAN(""), false, "a", false },
		{ SPAN("\\u0074opic"), true, "topic", true },
		{ SPAN("top\\u0069c"), true, "topic", true },
		{ SPAN("topi\\u0063"), true, "topic", true },
		{ SPAN("topi\\u0063s"), true, "topic", false },
		{ SPAN("\\u0074opi"), true, "topic", false },
		{ SPAN("\\u0054opic"), true, "topic", false },
		{ SPAN("a\\/b"), true, "a/b", true },
		{ SPAN("a\\nb"), true, "a\nb", true },
		{ SPAN("\\u00e9t\xc3\xa9"), true, "\xc3\xa9t\xc3\xa9", true },
		{ SPAN("\\ud83d\\ude00"), true, "\xf0\x9f\x98\x80", true },
		{ SPAN("\\ud83d\\ude00"), true, "\xf0\x9f\x98", false },
		{ SPAN("topic\\u0000"), true, "topic", false },
		{ SPAN("\\u0000"), true, "", false },
		{ SPAN("\\\\"), true, "\\", true },
		{ SPAN("topic"), true, "topic", true },
		{ SPAN("\\u00e9"), true, "\xc3", false },
		{ SPAN("a\0b"), false, "a", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		for (enum place where = 0; where < PLACES; where++) {
			struct span key = { place(where, cases[i].key.p, cases[i].key.n),
				cases[i].key.n };

			if (json_key_is(key, cases[i].escaped, cases[i].name) != cases[i].same)
				fail_msg("%s against %s", show(cases[i].key), cases[i].name);
		}
	}
}

static void int64_reads_integers_that_fit(void **state)
{
	static const struct {
		const char *raw;
		int64_t v;
	} cases[] = {
		{ "0", 0 },
		{ "-0", 0 },
		{ "7", 7 },
		{ "-7", -7 },
		{ "1763697600123", 1763697600123 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775807", -INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
		{ "9007199254740993", 9007199254740993 },
	};
	static const char *const none[] = { "9223372036854775808", "-9223372036854775809",
		"9223372036854775810", "18446744073709551616", "99999999999999999999",
		"00000000000000000001", "-99999999999999999999", "12345678901234567890123", "1.0",
		"1.5", "1e3", "1E3", "0.0", "-", "", "+1", "01", "-01", "00", "1 ", " 1", "\"1\"",
		"null", "0x10", "1a" };
	int64_t v;

	for (size_t i = 0; i < COUNT(cases); i++) {
		v = 42;
		if (json_int64((struct span){ cases[i].raw, strlen(cases[i].raw) }, &v) < 0 ||
		    v != cases[i].v)
			fail_msg("%s", cases[i].raw);
	}
	for (size_t i = 0; i < COUNT(none); i++) {
		size_t n = strlen(none[i]);

		v = 42;
		if (json_int64((struct span){ place(PLACE_AT_END, none[i], n), n }, &v) == 0 || v != 42)
			fail_msg("%s", none[i]);
	}
}

/* ---- escaping ---- */

static void escape_escapes_only_what_must_be(void **state)
{
	static const struct {
		struct span text;
		const char *expected;
	} cases[] = {
		{ SPAN(""), "\"\"" },
		{ SPAN("plain / text'"), "\"plain / text'\"" },
		{ SPAN("\"\\"), "\"\\\"\\\\\"" },
		{ SPAN("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
		{ SPAN("\0\x01\x0b\x1f"), "\"\\u0000\\u0001\\u000b\\u001f\"" },
		{ SPAN("\x7f\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80"),
		    "\"\x7f\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\"" },
		{ SPAN("0123456789abcdef\n0123456789abcdef\"0"),
		    "\"0123456789abcdef\\n0123456789abcdef\\\"0\"" },
	};
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < COUNT(cases); i++) {
		buf_clear(&b);
		json_escape(&b, cases[i].text.p, cases[i].text.n);
		assert_span(buf_span(&b), cases[i].expected);
		assert_int_equal(json_escaped_size(cases[i].text.p, cases[i].text.n), b.len);
	}
	json_escape(&b, "a", 1); /* appends */
	assert_span((struct span){ b.data + b.len - 4, 4 }, "\"\"a\"");
	buf_release(&b);
}

static void nothing_is_an_empty_string(void **state)
{
	struct buf b = BUF_INIT;

	json_escape(&b, NULL, 0);
	assert_span(buf_span(&b), "\"\"");
	assert_int_equal(json_escaped_size(NULL, 0), 2);
	assert_true(utf8_valid(NULL, 0));
	assert_false(json_valid(NULL, 0, NULL));
	json_unescape(&b, (struct span){ NULL, 0 });
	assert_span(buf_span(&b), "\"\"");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(scalars_are_texts),
		cmocka_unit_test(a_text_is_one_value),
		cmocka_unit_test(only_the_three_literals_in_lower_case),
		cmocka_unit_test(numbers_of_every_form), cmocka_unit_test(numbers_of_no_other_form),
		cmocka_unit_test(between_digits_only_what_makes_a_number), cmocka_unit_test(arrays),
		cmocka_unit_test(objects), cmocka_unit_test(strings_and_their_escapes),
		cmocka_unit_test(lone_surrogates_are_rejected),
		cmocka_unit_test(utf8_must_be_well_formed),
		cmocka_unit_test(no_other_encodings_and_no_byte_order_mark),
		cmocka_unit_test(white_space_is_the_four_bytes),
		cmocka_unit_test(numbers_have_no_limits),
		cmocka_unit_test(a_hundred_levels_counting_the_outermost),
		cmocka_unit_test(unclosed_nesting_of_any_depth_is_rejected),
		cmocka_unit_test(every_truncation_is_rejected),
		cmocka_unit_test(every_tail_of_a_container_is_rejected),
		cmocka_unit_test(peek_tells_the_type_by_the_first_byte),
		cmocka_unit_test(a_value_is_the_exact_bytes),
		cmocka_unit_test(a_value_that_is_wrong_is_none),
		cmocka_unit_test(members_come_in_order_with_repetitions),
		cmocka_unit_test(elements_and_members_nest),
		cmocka_unit_test(pulling_agrees_with_skipping),
		cmocka_unit_test(depth_counts_what_was_entered_and_what_is_skipped),
		cmocka_unit_test(an_error_names_the_byte_and_stays),
		cmocka_unit_test(an_error_says_why), cmocka_unit_test(enter_wants_a_container),
		cmocka_unit_test(finish_wants_nothing_but_white_space),
		cmocka_unit_test(breaks_are_raw_line_breaks_between_tokens),
		cmocka_unit_test(breaks_are_seen_by_every_pull_function),
		cmocka_unit_test(unescape_decodes_every_escape), cmocka_unit_test(unescape_appends),
		cmocka_unit_test(text_is_a_slice_when_nothing_is_escaped),
		cmocka_unit_test(key_is_compares_decoded_names),
		cmocka_unit_test(int64_reads_integers_that_fit),
		cmocka_unit_test(escape_escapes_only_what_must_be),
		cmocka_unit_test(nothing_is_an_empty_string) };

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
