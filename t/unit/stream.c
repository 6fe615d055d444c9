/* The library's headers first: cmocka.h has a macro named fail. */
#include "stream.h"
#include "log.h"

#include "place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAYLOAD "{\"transaction_id\":\"T1\",\"amount\":12.50}"
#define RECORD                                                                                     \
	"{\"path\":\"streams/TX\",\"topic\":\"TX\",\"partition\":3,\"offset\":42,"                 \
	"\"tstype\":\"create\",\"ts\":1763697600123,\"headers\":[\"trace\",\"a1\",\"k\",null],"    \
	"\"key\":\"U000123\",\"payload\":" PAYLOAD "}"

static struct stream st;
static struct line ln;

static int setup(void **state)
{
	stream_init(&st);
	return 0;
}

static int teardown(void **state)
{
	stream_release(&st);
	return 0;
}

static struct span text_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static void parse(const char *text)
{
	if (stream_parse(&st, text_of(text), &ln) < 0)
		fail_msg("%s: %s", text, fail_message());
}

static void assert_span(struct span is, const char *want)
{
	if (!span_is(is, want))
		fail_msg("is \"%.*s\", should be \"%s\"", (int)is.n, is.p, want);
}

/* The message says why; the kind is what is left in ln. */
static void assert_bad(const char *text, const char *why)
{
	if (stream_parse(&st, text_of(text), &ln) == 0)
		fail_msg("accepted: %s", text);
	assert_int_equal(fail_code(), EXIT_DATA);
	if (!strstr(fail_message(), why))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, fail_message(), why);
}

static void assert_without_path(const char *text, const char *want)
{
	struct buf b = BUF_INIT;

	parse(text);
	stream_without_path(&ln, &b);
	assert_span(buf_span(&b), want);
	buf_release(&b);
}

static void assert_payload_bytes(int result, const char *want)
{
	struct buf scratch = BUF_INIT;
	struct span out;

	assert_int_equal(stream_payload_bytes(&ln, &scratch, &out), result);
	if (result == 1)
		assert_span(out, want);
	buf_release(&scratch);
}

static void assert_key_bytes(int result, const char *want)
{
	struct buf scratch = BUF_INIT;
	struct span out;

	assert_int_equal(stream_key_bytes(&ln, &scratch, &out), result);
	if (result == 1)
		assert_span(out, want);
	buf_release(&scratch);
}

/* ---- records ---- */

static void assert_is_record(void)
{
	assert_int_equal(ln.kind, LINE_RECORD);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.partition, 3);
	assert_int_equal(ln.offset, 42);
	assert_true(ln.has_ts);
	assert_int_equal(ln.ts, 1763697600123);
	assert_span(ln.tstype.raw, "\"create\"");
	assert_span(ln.headers.raw, "[\"trace\",\"a1\",\"k\",null]");
	assert_span(ln.key.raw, "\"U000123\"");
	assert_span(ln.payload.raw, PAYLOAD);
	assert_span(ln.path.raw, "\"streams/TX\"");
	assert_int_equal(ln.paths, 1);
	assert_int_equal(ln.payload_enc, ENC_PLAIN);
	assert_int_equal(ln.key_enc, ENC_PLAIN);
	assert_false(ln.kcat);
}

static void a_record_of_kread_is_found_whole(void **state)
{
	parse(RECORD);
	assert_is_record();
	assert_span(ln.text, RECORD);
}

static void the_order_of_the_members_does_not_matter(void **state)
{
	static const char *const member[] = { "\"path\":\"streams/TX\"", "\"topic\":\"TX\"",
		"\"partition\":3", "\"offset\":42", "\"tstype\":\"create\"", "\"ts\":1763697600123",
		"\"headers\":[\"trace\",\"a1\",\"k\",null]", "\"key\":\"U000123\"",
		"\"payload\":" PAYLOAD };
	enum { N = sizeof(member) / sizeof(member[0]) };
	unsigned char order[N];
	struct buf b = BUF_INIT;

	for (int i = 0; i < N; i++)
		order[i] = (unsigned char)i;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		for (int i = N - 1; i > 0; i--) {
			int k = rand() % (i + 1);
			unsigned char t = order[i];

			order[i] = order[k];
			order[k] = t;
		}
		buf_clear(&b);
		for (int i = 0; i < N; i++)
			buf_addf(&b, "%s%s", i ? "," : "{", member[order[i]]);
		buf_add_char(&b, '}');
		parse(buf_cstr(&b));
		assert_is_record();
		/* The path is cut out with one comma, wherever it stood. */
		{
			struct buf cut = BUF_INIT, want = BUF_INIT;
			int n = 0;

			buf_add_char(&want, '{');
			for (int i = 0; i < N; i++)
				if (order[i] != 0)
					buf_addf(&want, "%s%s", n++ ? "," : "", member[order[i]]);
			buf_add_char(&want, '}');
			stream_without_path(&ln, &cut);
			assert_span(buf_span(&cut), buf_cstr(&want));
			buf_release(&cut);
			buf_release(&want);
		}
	}
	buf_release(&b);
}

static void of_repeated_members_the_last_counts(void **state)
{
	parse("{\"topic\":5,\"topic\":\"TX\",\"partition\":9,\"partition\":3,\"offset\":\"x\",\"offset\":42,"
	      "\"ts\":[],\"ts\":7,\"key\":\"a\",\"key\":null,\"payload\":1,\"payload_enc\":\"none\","
	      "\"payload\":\"x\",\"payload_enc\":\"utf8\"}");
	assert_int_equal(ln.kind, LINE_RECORD);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.partition, 3);
	assert_int_equal(ln.offset, 42);
	assert_int_equal(ln.ts, 7);
	assert_int_equal(ln.key.type, JSON_NULL);
	assert_int_equal(ln.payload_enc, ENC_UTF8);
	assert_span(ln.payload.raw, "\"x\"");
}

static void member_names_may_be_escaped(void **state)
{
	parse("{\"\\u0074opic\":\"T\\u0058\",\"p\\u0061rtition\":3,\"\\u006fffset\":42,"
	      "\"payloa\\u0064\":null,\"payload_en\\u0063\":\"non\\u0065\",\"k\\u0065y\":\"a\\nb\"}");
	assert_int_equal(ln.kind, LINE_RECORD);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.offset, 42);
	assert_int_equal(ln.payload_enc, ENC_NONE);
	assert_key_bytes(1, "a\nb");
}

static void blanks_around_and_within_are_no_matter(void **state)
{
	parse(" \t { \"topic\" : \"TX\" ,\t\"partition\":3 , \"offset\" : 42 , \"payload\" : [ 1 ] } \t\r");
	assert_int_equal(ln.kind, LINE_RECORD);
	assert_span(ln.payload.raw, "[ 1 ]");
	assert_int_equal(ln.text.p[0], '{');
	assert_int_equal(ln.text.p[ln.text.n - 1], '}');
}

static void unknown_members_are_left_alone(void **state)
{
	parse("{\"x\":{\"topic\":\"no\",\"offset\":1},\"topic\":\"TX\",\"y\":[],\"partition\":0,\"offset\":0,"
	      "\"payload\":{\"topic\":\"no\",\"offset\":7}}");
	assert_int_equal(ln.kind, LINE_RECORD);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.offset, 0);
}

static void the_time_may_be_unknown(void **state)
{
	static const char *const ts[] = { "", "\"ts\":-1,", "\"ts\":null," };

	for (size_t i = 0; i < 3; i++) {
		struct buf b = BUF_INIT;

		buf_addf(&b, "{\"topic\":\"TX\",\"partition\":0,\"offset\":1,%s\"payload\":1}", ts[i]);
		parse(buf_cstr(&b));
		assert_false(ln.has_ts);
		buf_release(&b);
	}
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"ts\":0,\"payload\":1}");
	assert_true(ln.has_ts);
}

static void the_largest_numbers_fit(void **state)
{
	parse("{\"topic\":\"TX\",\"partition\":2147483647,\"offset\":9223372036854775806,"
	      "\"ts\":9223372036854775807,\"payload\":1}");
	assert_int_equal(ln.partition, INT32_MAX);
	assert_int_equal(ln.offset, INT64_MAX - 1);
	assert_bad("{\"topic\":\"TX\",\"partition\":2147483648,\"offset\":1,\"payload\":1}",
	    "\"partition\"");
	assert_bad("{\"topic\":\"TX\",\"partition\":0,\"offset\":9223372036854775807,\"payload\":1}",
	    "\"offset\"");
	assert_bad("{\"topic\":\"TX\",\"partition\":0,\"offset\":9223372036854775808,\"payload\":1}",
	    "\"offset\"");
}

static void a_wrong_type_is_bad_data(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "{\"topic\":1,\"partition\":0,\"offset\":1,\"payload\":1}", "\"topic\"" },
		{ "{\"topic\":null,\"partition\":0,\"offset\":1,\"payload\":1}", "\"topic\"" },
		{ "{\"topic\":\"\",\"partition\":0,\"offset\":1,\"payload\":1}", "\"topic\"" },
		{ "{\"topic\":\"a\\u0000b\",\"partition\":0,\"offset\":1,\"payload\":1}", "\"topic\"" },
		{ "{\"topic\":\"T\",\"partition\":\"0\",\"offset\":1,\"payload\":1}", "\"partition\"" },
		{ "{\"topic\":\"T\",\"partition\":-1,\"offset\":1,\"payload\":1}", "\"partition\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1.0,\"payload\":1}", "\"offset\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1e3,\"payload\":1}", "\"offset\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":-1,\"payload\":1}", "\"offset\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":true,\"payload\":1}", "\"offset\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"ts\":\"1\",\"payload\":1}", "\"ts\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"ts\":1.5,\"payload\":1}", "\"ts\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"tstype\":1,\"payload\":1}",
		    "\"tstype\"" },
		{ "{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"headers\":{},\"payload\":1}",
		    "\"headers\"" },
		{ "{\"path\":1,\"topic\":\"T\",\"partition\":0,\"offset\":1,\"payload\":1}", "\"path\"" },
		{ "{\"path\":null,\"payload\":1}", "\"path\"" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_bad(bad[i].text, bad[i].why);
}

static void a_record_that_lost_a_member_is_bad_data(void **state)
{
	assert_bad("{\"partition\":0,\"offset\":1,\"payload\":1}", "without topic");
	assert_bad("{\"topic\":\"T\",\"offset\":1,\"payload\":1}", "without partition");
	assert_bad("{\"topic\":\"T\",\"partition\":0,\"payload\":1}", "without offset");
	assert_bad("{\"path\":\"x\",\"topic\":\"T\",\"payload\":1}", "without partition");
}

/* ---- how key and payload are embedded ---- */

#define WITH(members) "{\"topic\":\"T\",\"partition\":0,\"offset\":1," members "}"

static void marked_payloads_are_text_bytes_or_none(void **state)
{
	parse(WITH("\"payload_enc\":\"utf8\",\"payload\":\"a\\u0000\\n\\u00e9\""));
	assert_int_equal(ln.payload_enc, ENC_UTF8);
	{
		struct buf scratch = BUF_INIT;
		struct span out;

		assert_int_equal(stream_payload_bytes(&ln, &scratch, &out), 1);
		assert_int_equal(out.n, 5);
		assert_memory_equal(out.p, "a\0\n\xc3\xa9", 5);
		buf_release(&scratch);
	}
	parse(WITH("\"payload_enc\":\"base64\",\"payload\":\"AP8=\""));
	assert_int_equal(ln.payload_enc, ENC_BASE64);
	{
		struct buf scratch = BUF_INIT;
		struct span out;

		assert_int_equal(stream_payload_bytes(&ln, &scratch, &out), 1);
		assert_int_equal(out.n, 2);
		assert_memory_equal(out.p, "\0\xff", 2);
		buf_release(&scratch);
	}
	parse(WITH("\"payload_enc\":\"none\",\"payload\":null"));
	assert_int_equal(ln.payload_enc, ENC_NONE);
	assert_payload_bytes(0, NULL);
	parse(WITH("\"payload\":null"));
	assert_int_equal(ln.payload_enc, ENC_PLAIN);
	assert_payload_bytes(1, "null");
	parse(WITH("\"payload\":\"text\""));
	assert_payload_bytes(1, "\"text\""); /* unmarked: the JSON text itself */
	parse(WITH("\"payload_enc\":\"utf8\",\"payload\":\"\""));
	assert_payload_bytes(1, "");
}

static void a_marker_must_fit(void **state)
{
	assert_bad(WITH("\"payload_enc\":\"utf8\",\"payload\":1"), "\"payload\"");
	assert_bad(WITH("\"payload_enc\":\"base64\",\"payload\":null"), "\"payload\"");
	assert_bad(WITH("\"payload_enc\":\"none\",\"payload\":\"\""), "\"payload\"");
	assert_bad(WITH("\"payload_enc\":\"gzip\",\"payload\":\"\""), "\"payload_enc\"");
	assert_bad(WITH("\"payload_enc\":null,\"payload\":\"\""), "\"payload_enc\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"none\",\"key\":null"), "\"key_enc\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"base64\",\"key\":null"), "\"key\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"base64\""), "\"key\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"json\""), "\"key\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"int\",\"key\":\"1\""), "\"key\"");
	assert_bad(WITH("\"payload\":1,\"key_enc\":\"double\",\"key\":null"), "\"key\"");
	assert_bad(WITH("\"payload_enc\":\"int\",\"payload\":1"), "\"payload_enc\"");
	assert_bad(WITH("\"payload\":1,\"window_enc\":\"time\""), "\"window\"");
	assert_bad(WITH("\"payload\":1,\"window_enc\":\"time\",\"window\":[1,2]"), "\"window\"");
	assert_bad(WITH("\"payload\":1,\"window_enc\":\"5m\",\"window\":{}"), "\"window_enc\"");
}

static void bytes_that_are_no_base64_are_told(void **state)
{
	struct buf scratch = BUF_INIT;
	struct span out;

	parse(WITH("\"payload_enc\":\"base64\",\"payload\":\"A\""));
	assert_int_equal(stream_payload_bytes(&ln, &scratch, &out), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	parse(WITH("\"payload\":1,\"key_enc\":\"base64\",\"key\":\"!!!!\""));
	assert_int_equal(stream_key_bytes(&ln, &scratch, &out), -1);
	buf_release(&scratch);
}

static void keys_are_text_bytes_null_or_json(void **state)
{
	parse(WITH("\"payload\":1"));
	assert_key_bytes(0, NULL);
	parse(WITH("\"key\":null,\"payload\":1"));
	assert_key_bytes(0, NULL);
	parse(WITH("\"key\":\"\",\"payload\":1"));
	assert_key_bytes(1, "");
	parse(WITH("\"key_enc\":\"base64\",\"key\":\"QQ==\",\"payload\":1"));
	assert_key_bytes(1, "A");
	parse(WITH("\"key\":17,\"payload\":1"));
	assert_key_bytes(1, "17");
	parse(WITH("\"key\":{\"a\": 1},\"payload\":1"));
	assert_key_bytes(1, "{\"a\": 1}");
}

static void decoded_keys_are_their_bytes_again(void **state)
{
	struct buf scratch = BUF_INIT;
	struct span out;

	parse(WITH("\"key_enc\":\"json\",\"key\":\"U1\",\"payload\":1"));
	assert_int_equal(ln.key_enc, ENC_JSON);
	assert_key_bytes(1, "\"U1\"");
	parse(WITH("\"key_enc\":\"json\",\"key\":null,\"payload\":1"));
	assert_key_bytes(1, "null");
	parse(WITH("\"key_enc\":\"int\",\"key\":1094861636,\"payload\":1"));
	assert_int_equal(ln.key_enc, ENC_INT);
	assert_key_bytes(1, "ABCD");
	parse(WITH("\"key_enc\":\"bigint\",\"key\":4702394921427289928,\"payload\":1"));
	assert_key_bytes(1, "ABCDEFGH");
	parse(WITH("\"key_enc\":\"double\",\"key\":2393736.541207228,\"payload\":1"));
	assert_key_bytes(1, "ABCDEFGH");
	parse(WITH("\"key_enc\":\"int\",\"key\":2147483648,\"payload\":1"));
	assert_int_equal(stream_key_bytes(&ln, &scratch, &out), -1);
	assert_int_equal(fail_code(), EXIT_DATA);
	buf_release(&scratch);
}

static void assert_window(int result, const char *member)
{
	struct buf text = BUF_INIT;
	struct key_window w = { 0 };

	buf_addf(&text, WITH("\"payload\":1%s"), member);
	parse(buf_cstr(&text));
	assert_int_equal(stream_window(&ln, &w), result);
	if (result == 1) {
		assert_int_equal(w.start, 5);
		assert_int_equal(w.end, 7);
	}
	buf_release(&text);
}

static void a_window_has_a_start_and_an_end(void **state)
{
	assert_window(0, "");
	assert_window(0, ",\"window\":null");
	assert_window(1, ",\"window\":{\"start\":5,\"end\":7}");
	assert_int_equal(ln.window_enc, WINDOW_NONE);
	assert_window(1,
	    ",\"window\":{\"end\":7,\"x\":{\"end\":1},\"start\":1,\"\\u0073tart\":5},\"window_enc\":\"session\"");
	assert_int_equal(ln.window_enc, WINDOW_SESSION);
	assert_window(-1, ",\"window\":{\"start\":5}");
	assert_window(-1, ",\"window\":{\"start\":5,\"end\":\"7\"}");
	assert_window(-1, ",\"window\":{\"start\":5,\"end\":7.5}");
	assert_window(-1, ",\"window\":[5,7]");
	assert_window(-1, ",\"window\":{}");
	assert_int_equal(fail_code(), EXIT_DATA);
}

static void the_payload_is_one_json_value(void **state)
{
	parse(WITH("\"payload\":{\"a\":1}"));
	assert_span(stream_payload(&st, &ln).raw, "{\"a\":1}");
	parse(WITH("\"payload_enc\":\"utf8\",\"payload\":\" {\\\"a\\\":\\n1} \""));
	assert_span(stream_payload(&st, &ln).raw, "{\"a\": 1}");
	assert_int_equal(stream_payload(&st, &ln).type, JSON_OBJECT);
	parse(WITH("\"payload_enc\":\"utf8\",\"payload\":\"{no\""));
	assert_span(stream_payload(&st, &ln).raw, "\"{no\"");
	parse(WITH("\"payload_enc\":\"utf8\",\"payload\":\"\""));
	assert_span(stream_payload(&st, &ln).raw, "\"\"");
	parse(WITH("\"payload_enc\":\"base64\",\"payload\":\"e30=\""));
	assert_span(stream_payload(&st, &ln).raw, "\"e30=\"");
	parse(" {\"a\":1} ");
	assert_span(stream_payload(&st, &ln).raw, "{\"a\":1}");
}

static void a_payload_may_be_100_levels_deep(void **state)
{
	struct buf b = BUF_INIT, cut = BUF_INIT;

	for (int levels = 99; levels <= 101; levels++) {
		for (int kind = 0; kind < 3; kind++) {
			static const char *const lead[] = {
				"{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"payload\":",
				"{\"path\":\"x\",\"payload\":", "{\"path\":\"x\",\"a\":1,\"path\":\"y\",\"payload\":"
			};
			size_t n;

			buf_clear(&b);
			buf_add_str(&b, lead[kind]);
			n = b.len;
			for (int i = 0; i < levels; i++)
				buf_add_char(&b, '[');
			for (int i = 0; i < levels; i++)
				buf_add_char(&b, ']');
			buf_add_char(&b, '}');
			if (levels > 100) {
				assert_bad(buf_cstr(&b), "nested too deep");
				assert_int_equal(ln.kind, kind == 0 ? LINE_RECORD : LINE_BARE);
				continue;
			}
			parse(buf_cstr(&b));
			assert_int_equal(ln.payload.raw.n, 2 * levels);
			buf_clear(&cut);
			stream_without_path(&ln, &cut);
			assert_memory_equal(cut.data + cut.len - (b.len - n), b.data + n, b.len - n);
		}
	}
	/* A bare object is its own payload: its own level counts. */
	for (int levels = 99; levels <= 100; levels++) {
		buf_clear(&b);
		buf_add_str(&b, "{\"a\":");
		for (int i = 0; i < levels; i++)
			buf_add_char(&b, '[');
		for (int i = 0; i < levels; i++)
			buf_add_char(&b, ']');
		buf_add_char(&b, '}');
		if (levels == 99)
			parse(buf_cstr(&b));
		else
			assert_bad(buf_cstr(&b), "nested too deep");
	}
	buf_release(&b);
	buf_release(&cut);
}

/* ---- kcat -J ---- */

static void a_line_of_kcat_has_text_and_tombstones(void **state)
{
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":5,\"tstype\":\"create\",\"ts\":1,\"broker\":0,"
	      "\"headers\":[\"a\",\"b\"],\"key\":\"k\",\"payload\":\"{\\\"a\\\": 1.50}\"}");
	assert_true(ln.kcat);
	assert_int_equal(ln.payload_enc, ENC_UTF8);
	assert_payload_bytes(1, "{\"a\": 1.50}");
	assert_span(stream_payload(&st, &ln).raw, "{\"a\": 1.50}");
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":5,\"tstype\":\"create\",\"ts\":1,\"broker\":0,"
	      "\"key\":null,\"payload\":null}");
	assert_int_equal(ln.payload_enc, ENC_NONE);
	assert_payload_bytes(0, NULL);
	/* A marker says more than `broker`. */
	parse("{\"topic\":\"TX\",\"partition\":0,\"offset\":5,\"broker\":0,\"payload_enc\":\"base64\","
	      "\"payload\":\"AAEC\"}");
	assert_int_equal(ln.payload_enc, ENC_BASE64);
	/* The same line without `broker` is JSON: a string, and the text null. */
	parse(WITH("\"payload\":\"{}\""));
	assert_false(ln.kcat);
	assert_payload_bytes(1, "\"{}\"");
}

/* ---- bare objects ---- */

static void any_other_object_is_bare(void **state)
{
	static const char *const bare[] = { "{}", "{\"a\":1}", "{\"topic\":\"T\",\"offset\":1}",
		"{\"topic\":1,\"partition\":[],\"offset\":null}", "{\"payload\":5}" };

	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		parse(bare[i]);
		assert_int_equal(ln.kind, LINE_BARE);
		assert_int_equal(ln.payload.type, JSON_NONE);
		assert_payload_bytes(1, bare[i]);
	}
}

static void what_partition_has_wrapped_is_its_payload(void **state)
{
	parse("{\"path\":\"a/b\",\"payload\":{\"topic\":\"x\"}}");
	assert_int_equal(ln.kind, LINE_BARE);
	assert_span(ln.payload.raw, "{\"topic\":\"x\"}");
	assert_payload_bytes(1, "{\"topic\":\"x\"}");
	parse("{\"payload\":[],\"path\":\"a\"}");
	assert_span(ln.payload.raw, "[]");
}

static void what_is_no_object_is_bad_data(void **state)
{
	assert_bad("", "empty");
	assert_bad(" \t\r", "empty");
	assert_bad("[]", "not a JSON object");
	assert_bad("null", "not a JSON object");
	assert_bad("x", "not a JSON object");
	assert_bad("\xef\xbb\xbf{}", "not a JSON object");
	assert_bad("{} {}", "byte 4");
	assert_bad("{\"a\":1", "byte 7");
	assert_bad("{\"a\":01}", "byte 7");
	assert_bad("{\"a\":\"\xff\"}", "byte 7");
	assert_bad("{\"a\":\"\\ud800\"}", "byte 7");
	assert_bad("  {\"a\":\"\xff\"}", "byte 7"); /* bytes of the object, as editors count after trimming */
}

/* ---- path ---- */

static void the_path_is_cut_out_and_nothing_else_changes(void **state)
{
	assert_without_path("{\"path\":\"x\",\"a\":1}", "{\"a\":1}");
	assert_without_path("{\"path\":\"x\"}", "{}");
	assert_without_path("{ \"path\" : \"x\" }", "{ }");
	assert_without_path("{ \"path\" : \"x\" , \"a\" : 1 }", "{ \"a\" : 1 }");
	assert_without_path("{\"a\":1,\"path\":\"x\",\"b\":2}", "{\"a\":1,\"b\":2}");
	assert_without_path("{\"a\":1 , \"path\":\"x\" , \"b\":2}", "{\"a\":1 , \"b\":2}");
	assert_without_path("{\"a\":1,\"path\":\"x\"}", "{\"a\":1}");
	assert_without_path("{\"a\":1, \"path\":\"x\" }", "{\"a\":1 }");
	assert_without_path(" {\"a\":1} ", "{\"a\":1}");
	assert_without_path("{\"a\":1.50,\"p\\u0061th\":\"\\u0078\",\"b\":\"\\/\"}",
	    "{\"a\":1.50,\"b\":\"\\/\"}");
}

static void several_paths_all_go(void **state)
{
	assert_without_path("{\"path\":\"x\",\"a\":1.50,\"path\":\"y\",\"b\":[ 1 ],\"path\":\"z\"}",
	    "{\"a\":1.50,\"b\":[ 1 ]}");
	assert_int_equal(ln.paths, 3);
	assert_span(ln.path.raw, "\"z\"");
	assert_without_path("{\"path\":\"x\",\"path\":\"y\"}", "{}");
	assert_without_path("{\"p\\u0061th\":\"x\",\"\\u0061\":1,\"path\":\"y\"}", "{\"\\u0061\":1}");
}

static void a_path_that_is_no_string_belongs_to_a_bare_object(void **state)
{
	assert_without_path("{\"path\":5,\"a\":1}", "{\"path\":5,\"a\":1}");
	assert_int_equal(ln.path.type, JSON_NONE);
}

/* ---- wanted payload fields ---- */

static void assert_want(int i, const char *want)
{
	if (!want)
		assert_int_equal(st.want[i].value.type, JSON_NONE);
	else if (st.want[i].value.type == JSON_NONE)
		fail_msg("want %d: nothing, should be %s", i, want);
	else
		assert_span(st.want[i].value.raw, want);
}

static void wanted_fields_are_found_on_the_way(void **state)
{
	int city = stream_want(&st, ".city"), country = stream_want(&st, ".user.country"),
	    user = stream_want(&st, ".user"), deep = stream_want(&st, ".a.b.c"),
	    odd = stream_want(&st, ".[\"a b\"]"), dotted = stream_want(&st, ".\"x.y\".z"),
	    bracket = stream_want(&st, ".user[\"country\"]");

	assert_int_equal(city, 0);
	assert_int_equal(bracket, 6);
	parse(WITH("\"city\":\"no\",\"payload\":{\"city\":\"Paris\",\"user\":{\"country\":\"FR\"},"
		   "\"a\":{\"b\":{\"c\":[1]}},\"a b\":null,\"x.y\":{\"z\":1e2}}"));
	assert_want(city, "\"Paris\"");
	assert_want(country, "\"FR\"");
	assert_want(bracket, "\"FR\"");
	assert_want(user, "{\"country\":\"FR\"}");
	assert_want(deep, "[1]");
	assert_want(odd, "null");
	assert_want(dotted, "1e2");
	parse(WITH("\"payload\":{\"a\":{\"b\":5},\"user\":\"x\"}"));
	assert_want(city, NULL);
	assert_want(country, NULL);
	assert_want(user, "\"x\"");
	assert_want(deep, NULL);
	parse(WITH("\"payload\":[]"));
	assert_want(user, NULL);
}

static void wanted_names_may_be_escaped_or_repeated(void **state)
{
	int city = stream_want(&st, ".city"), inner = stream_want(&st, ".u.c");

	parse(WITH("\"payload\":{\"\\u0063ity\":\"a\\u0062\"}"));
	assert_want(city, "\"a\\u0062\"");
	parse(WITH("\"payload\":{\"city\":1,\"u\":{\"c\":1},\"city\":2,\"u\":{\"c\":2,\"c\":3}}"));
	assert_want(city, "2");
	assert_want(inner, "3");
	/* The last u counts, and it has no c: neither has the payload. */
	parse(WITH("\"payload\":{\"u\":{\"c\":1},\"u\":{}}"));
	assert_want(inner, NULL);
	parse(WITH("\"payload\":{\"u\":{\"c\":1},\"u\":7}"));
	assert_want(inner, NULL);
	parse(WITH("\"payload\":{\"city\":1},\"payload\":{}"));
	assert_want(city, NULL);
	parse(WITH("\"payload\":{\"city\":1},\"payload\":5"));
	assert_want(city, NULL);
}

static void fields_are_wanted_of_every_kind_of_line(void **state)
{
	int city = stream_want(&st, ".city"), topic = stream_want(&st, ".topic");

	parse("{\"city\":\"a\",\"x\":{\"city\":\"b\"}}");
	assert_want(city, "\"a\"");
	parse("{\"path\":\"p\",\"city\":\"no\",\"payload\":{\"city\":\"c\"}}");
	assert_want(city, "\"c\"");
	parse("{\"payload\":{\"city\":\"no\"},\"city\":\"d\"}");
	assert_want(city, "\"d\"");
	parse("{\"city\":\"e\",\"topic\":\"own\"}");
	assert_want(topic, "\"own\"");
	parse("{\"topic\":\"T\",\"partition\":0,\"offset\":5,\"broker\":0,\"payload\":\"{\\\"city\\\":\\\"\\\\u0041\\\"}\"}");
	assert_want(city, "\"\\u0041\"");
	assert_want(topic, NULL);
	parse("{\"topic\":\"T\",\"partition\":0,\"offset\":5,\"broker\":0,\"payload\":\"no json\"}");
	assert_want(city, NULL);
	parse(WITH("\"payload_enc\":\"none\",\"payload\":null"));
	assert_want(city, NULL);
}

static void sixty_four_fields_can_be_wanted(void **state)
{
	char name[16];

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), ".f%d", i);
		assert_int_equal(stream_want(&st, name), i);
	}
	assert_int_equal(stream_want(&st, ".f64"), -1);
	assert_int_equal(fail_code(), EXIT_USAGE);
	parse("{\"f0\":0,\"f63\":63}");
	assert_want(0, "0");
	assert_want(63, "63");
	assert_want(1, NULL);
}

static void odd_wants_are_refused(void **state)
{
	static const char *const odd[] = { "", ".", "city", ".a.", "..a", ".a..b", ".[a]",
		".[\"a\"", ".[\"a]", ".\"a", ".a[0]", ".a b", ".\"\\ud800\"", ".a]", ".{" };

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		if (stream_want(&st, odd[i]) >= 0)
			fail_msg("accepted: %s", odd[i]);
		assert_int_equal(fail_code(), EXIT_USAGE);
	}
	assert_int_equal(st.wants, 0);
}

/* ---- marks ---- */

static void marks_say_where_kread_is(void **state)
{
	parse("{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":2,\"offset\":43}}");
	assert_int_equal(ln.kind, LINE_MARK);
	assert_int_equal(ln.mark, MARK_POSITION);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.partition, 2);
	assert_int_equal(ln.offset, 43);
	assert_false(ln.has_last);
	parse("{\"mark\":{\"kind\":\"start\",\"topic\":\"T\\u0058\",\"partition\":0,\"offset\":0}}");
	assert_int_equal(ln.mark, MARK_START);
	assert_span(ln.topic, "TX");
	parse("{\"mark\":{\"kind\":\"end\",\"records\":1000}}");
	assert_int_equal(ln.mark, MARK_END);
	assert_int_equal(ln.records, 1000);
	parse("{\"mark\":{\"kind\":\"end\"}}");
	assert_int_equal(ln.mark, MARK_END);
	assert_int_equal(ln.records, -1);
}

static void acknowledgements_carry_the_last_record(void **state)
{
	parse("{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":2,\"offset\":43,"
	      "\"last\":{\"offset\":42,\"ts\":1763697600123}}}");
	assert_true(ln.has_last);
	assert_int_equal(ln.last_offset, 42);
	assert_int_equal(ln.last_ts, 1763697600123);
	parse("{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":2,\"offset\":43,\"last\":null}}");
	assert_false(ln.has_last);
}

static void a_line_with_a_mark_is_a_mark_whatever_hangs_on_it(void **state)
{
	parse("{\"path\":\"x\",\"topic\":\"T\",\"partition\":0,\"offset\":1,\"payload\":1,"
	      "\"mark\":{\"later\":[1],\"offset\":43,\"partition\":2,\"topic\":\"TX\",\"kind\":\"position\"}}");
	assert_int_equal(ln.kind, LINE_MARK);
	assert_span(ln.topic, "TX");
	assert_int_equal(ln.offset, 43);
	parse("{\"m\\u0061rk\":{\"k\\u0069nd\":\"\\u0065nd\"}}");
	assert_int_equal(ln.mark, MARK_END);
	parse("{\"mark\":{\"kind\":\"end\",\"kind\":\"position\",\"topic\":\"A\",\"topic\":\"B\",\"partition\":1,"
	      "\"partition\":2,\"offset\":3,\"offset\":4}}");
	assert_int_equal(ln.mark, MARK_POSITION);
	assert_span(ln.topic, "B");
	assert_int_equal(ln.partition, 2);
	assert_int_equal(ln.offset, 4);
}

static void marks_of_a_later_kind_are_no_error(void **state)
{
	parse("{\"mark\":{\"kind\":\"rebalance\",\"topic\":\"TX\"}}");
	assert_int_equal(ln.kind, LINE_MARK);
	assert_int_equal(ln.mark, MARK_UNKNOWN);
}

static void a_broken_mark_is_bad_data_and_still_a_mark(void **state)
{
	static const char *const bad[] = {
		"{\"mark\":1}", "{\"mark\":null}", "{\"mark\":[]}", "{\"mark\":{\"kind\":5}}",
		"{\"mark\":{\"kind\":\"position\"}}",
		"{\"mark\":{\"kind\":\"start\",\"topic\":\"T\",\"partition\":0}}",
		"{\"mark\":{\"kind\":\"start\",\"topic\":\"T\",\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"partition\":0,\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":5,\"partition\":0,\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"\",\"partition\":0,\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"a\\u0000\",\"partition\":0,\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":\"0\",\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":2147483648,\"offset\":0}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":0,\"offset\":-1}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":0,\"offset\":1.5}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"partition\":0,\"offset\":1,\"last\":{\"ts\":\"x\"}}}",
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\",\"parti",
		"{\"mark\":{\"kind\":\"end\"}",
		"{\"topic\":\"T\",\"partition\":0,\"offset\":1,\"payload\":1,\"mark\":{\"kind\":\"end\"},\"x\":}"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_bad(bad[i], "");
		if (ln.kind != LINE_MARK)
			fail_msg("not a mark: %s", bad[i]);
	}
}

static void the_marks_that_we_write_are_read_back(void **state)
{
	struct buf b = BUF_INIT;

	stream_mark_start(&b, SPAN("T\"X"), 7, 12);
	assert_span(buf_span(&b),
	    "{\"mark\":{\"kind\":\"start\",\"topic\":\"T\\\"X\",\"partition\":7,\"offset\":12}}\n");
	assert_int_equal(stream_parse(&st, (struct span){ b.data, b.len - 1 }, &ln), 0);
	assert_span(ln.topic, "T\"X");
	buf_clear(&b);
	stream_mark_position(&b, SPAN("TX"), 0, INT64_MAX, -1, -1);
	assert_span(buf_span(&b),
	    "{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":9223372036854775807}}\n");
	buf_clear(&b);
	stream_mark_position(&b, SPAN("TX"), 0, 43, 42, -1);
	assert_span(buf_span(&b),
	    "{\"mark\":{\"kind\":\"position\",\"topic\":\"TX\",\"partition\":0,\"offset\":43,"
	    "\"last\":{\"offset\":42,\"ts\":-1}}}\n");
	assert_int_equal(stream_parse(&st, (struct span){ b.data, b.len - 1 }, &ln), 0);
	assert_true(ln.has_last);
	assert_int_equal(ln.last_ts, -1);
	buf_clear(&b);
	stream_mark_end(&b, 5);
	assert_span(buf_span(&b), "{\"mark\":{\"kind\":\"end\",\"records\":5}}\n");
	buf_release(&b);
}

/* ---- errors ---- */

static void a_broken_line_still_tells_its_place(void **state)
{
	static const char *const bad[] = {
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"payload\":{\"a\":}}",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"payload\":\"\xff\"}",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"key\":tru",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"payload_enc\":\"no\",\"payload\":1}",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"headers\":1,\"payload\":1}",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":7,\"tstype\":1,\"payload\":1}",
		"{\"payload\":1,\"offset\":42,\"ts\":7,\"partition\":3,\"topic\":\"TX\"} x",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_bad(bad[i], "");
		if (ln.kind != LINE_RECORD)
			fail_msg("no place: %s", bad[i]);
		assert_span(ln.topic, "TX");
		assert_int_equal(ln.partition, 3);
		assert_int_equal(ln.offset, 42);
		assert_true(ln.has_ts);
		assert_int_equal(ln.ts, 7);
	}
	assert_bad("{\"topic\":\"TX\",\"partition\":3,\"payload\":{\"offset\":42", "");
	assert_int_equal(ln.kind, LINE_BARE);
	assert_bad("{\"topic\":\"TX\",\"partition\":3,\"offset\":42", "");
	assert_int_equal(ln.kind, LINE_RECORD); /* the number is whole as far as anyone can tell */
}

static void half_a_place_is_none(void **state)
{
	static const char *const bad[] = { "{\"partition\":3,\"offset\":42,\"topic\":\"TX",
		"{\"partition\":3,\"offset\":42,\"topic\":\"TX\xff\",\"payload\":1}",
		"{\"topic\":\"A\",\"partition\":3,\"offset\":42,\"topic\":\"\\x\",\"payload\":1}",
		"{\"topic\":\"TX\",\"offset\":42,\"partition\":",
		"{\"topic\":\"TX\",\"partition\":3,\"offset\":-" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_bad(bad[i], "");
		if (ln.kind != LINE_BARE)
			fail_msg("a place: %s", bad[i]);
	}
}

static void any_cut_of_a_line_is_an_error(void **state)
{
	static const char *const line[] = { RECORD,
		"{\"mark\":{\"kind\":\"position\",\"topic\":\"T\\u0058\",\"partition\":2,\"offset\":43,"
		"\"last\":{\"offset\":42,\"ts\":1}}}",
		WITH("\"broker\":0,\"payload\":\"{\\\"a\\\":\\\"\\\\u00e9\\\"}\"") };

	stream_want(&st, ".a");
	stream_want(&st, ".amount");
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		for (size_t n = 0; n < strlen(line[i]); n++) {
			for (int where = 0; where < PLACES; where++) {
				struct span text = { place((enum place)where, line[i], n), n };

				if (stream_parse(&st, text, &ln) == 0)
					fail_msg("accepted: %.*s", (int)n, line[i]);
			}
		}
	}
}

/* No byte changed anywhere may make it read what is not there (run with a sanitizer). */
static void any_changed_byte_is_survived(void **state)
{
	static const char line[] =
	    "{\"path\":\"p\",\"topic\":\"T\\u0058\",\"partition\":2,\"offset\":43,\"ts\":1,"
	    "\"path\":\"q\",\"broker\":1,\"key\":\"k\",\"payload\":\"{\\\"a\\\":{\\\"b\\\":1}}\"}";
	struct buf out = BUF_INIT, scratch = BUF_INIT;
	struct span bytes;

	stream_want(&st, ".a.b");
	for (size_t at = 0; at < sizeof(line) - 1; at++) {
		for (int c = 0; c < 256; c++) {
			char changed[sizeof(line)];
			struct span text;

			memcpy(changed, line, sizeof(line));
			changed[at] = (char)c;
			text = (struct span){ place(PLACE_AT_END, changed, sizeof(line) - 1),
				sizeof(line) - 1 };
			if (stream_parse(&st, text, &ln) < 0)
				continue;
			buf_clear(&out);
			stream_without_path(&ln, &out);
			if (!json_valid(out.data, out.len, NULL))
				fail_msg("%s: became %.*s", changed, (int)out.len, out.data);
			if (ln.kind == LINE_MARK)
				continue;
			stream_payload(&st, &ln);
			stream_payload_bytes(&ln, &scratch, &bytes);
			stream_key_bytes(&ln, &scratch, &bytes);
		}
	}
	buf_release(&out);
	buf_release(&scratch);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_of_kread_is_found_whole),
		TEST(the_order_of_the_members_does_not_matter),
		TEST(of_repeated_members_the_last_counts),
		TEST(member_names_may_be_escaped),
		TEST(blanks_around_and_within_are_no_matter),
		TEST(unknown_members_are_left_alone),
		TEST(the_time_may_be_unknown),
		TEST(the_largest_numbers_fit),
		TEST(a_wrong_type_is_bad_data),
		TEST(a_record_that_lost_a_member_is_bad_data),
		TEST(marked_payloads_are_text_bytes_or_none),
		TEST(a_marker_must_fit),
		TEST(bytes_that_are_no_base64_are_told),
		TEST(keys_are_text_bytes_null_or_json),
		TEST(decoded_keys_are_their_bytes_again),
		TEST(a_window_has_a_start_and_an_end),
		TEST(the_payload_is_one_json_value),
		TEST(a_payload_may_be_100_levels_deep),
		TEST(a_line_of_kcat_has_text_and_tombstones),
		TEST(any_other_object_is_bare),
		TEST(what_partition_has_wrapped_is_its_payload),
		TEST(what_is_no_object_is_bad_data),
		TEST(the_path_is_cut_out_and_nothing_else_changes),
		TEST(several_paths_all_go),
		TEST(a_path_that_is_no_string_belongs_to_a_bare_object),
		TEST(wanted_fields_are_found_on_the_way),
		TEST(wanted_names_may_be_escaped_or_repeated),
		TEST(fields_are_wanted_of_every_kind_of_line),
		TEST(sixty_four_fields_can_be_wanted),
		TEST(odd_wants_are_refused),
		TEST(marks_say_where_kread_is),
		TEST(acknowledgements_carry_the_last_record),
		TEST(a_line_with_a_mark_is_a_mark_whatever_hangs_on_it),
		TEST(marks_of_a_later_kind_are_no_error),
		TEST(a_broken_mark_is_bad_data_and_still_a_mark),
		TEST(the_marks_that_we_write_are_read_back),
		TEST(a_broken_line_still_tells_its_place),
		TEST(half_a_place_is_none),
		TEST(any_cut_of_a_line_is_an_error),
		TEST(any_changed_byte_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
