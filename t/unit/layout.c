/* The library's headers first: cmocka.h has a macro named fail. */
#include "layout.h"
#include "clock.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEFAULT LAYOUT_DEFAULT

static struct buf path;
static int defaults; /* of the last path */

/* The path of one line in a layout of its own. */
static const char *path_by(const char *spec, const char *time_field, const char *format,
    const char *text)
{
	struct stream s;
	struct layout *l;
	struct line line;

	stream_init(&s);
	l = layout_open(spec, time_field, format, &s);
	if (!l)
		fail_msg("%s: %s", spec, fail_message());
	if (stream_parse(&s, (struct span){ text, strlen(text) }, &line) < 0)
		fail_msg("%s: %s", text, fail_message());
	buf_clear(&path);
	defaults = layout_path(l, &line, &path);
	layout_close(l);
	stream_release(&s);
	if (memchr(path.data, '\0', path.len) || path_problem(buf_span(&path)))
		fail_msg("%s: %s", buf_cstr(&path), path_problem(buf_span(&path)));
	return buf_cstr(&path);
}

static const char *path_in(const char *spec, const char *text)
{
	return path_by(spec, NULL, NULL, text);
}

#define RECORD(ts, key, payload)                                                                   \
	"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"ts\":" ts ",\"key\":" key               \
	",\"payload\":" payload "}"

/* The component that a JSON value makes of {.v}. */
static const char *value(const char *json)
{
	struct buf text = BUF_INIT;

	buf_addf(&text, RECORD("0", "null", "{\"v\":%s}"), json);
	path_in("x/{.v}", buf_cstr(&text));
	buf_release(&text);
	assert_memory_equal(path.data, "x/", 2);
	return path.data + 2;
}

static void named_layouts_are_what_the_manual_says(void **state)
{
	static const char record[] = RECORD("1795234200123", "null", "{}");

	(void)state;
	assert_string_equal(path_in("hive", record), "streams/TX/year=2026/month=11/day=21");
	assert_string_equal(path_in("hive-hour", record),
	    "streams/TX/year=2026/month=11/day=21/hour=04");
	assert_string_equal(path_in("date", record), "TX/2026-11-21");
	assert_string_equal(path_in("table", record), "tables/TX");
	assert_int_equal(defaults, 0);
}

static void templates_take_every_piece(void **state)
{
	static const char record[] = RECORD("1795234203123", "\"U1\"",
	    "{\"city\":\"Besançon\",\"user\":{\"x y\":{\"z\":7}}}");

	(void)state;
	assert_string_equal(path_in("{topic}-{partition}/{key}/c={.city}/{.user[\"x y\"].z}", record),
	    "TX-3/U1/c=Besançon/7");
	assert_string_equal(path_in("%Y%m%d/%H%M%S/%j/%s", record), "20261121/041003/325/1795234203");
	assert_string_equal(path_in("%-m.%-d.%-H/a%%b/%F/%b %a/%G-W%V-%u", record),
	    "11.21.4/a%25b/2026-11-21/Nov Sat/2026-W47-6");
	assert_int_equal(defaults, 0);
}

static void conversions_are_escaped_too(void **state)
{
	static const char record[] = RECORD("1795234203123", "null", "{}");

	(void)state;
	assert_string_equal(path_in("%T/%D/%Z%z", record), "04%3A10%3A03/11%2F21%2F26/UTC+0000");
	assert_string_equal(path_in("%c", record), "Sat Nov 21 04%3A10%3A03 2026");
}

static void values_are_escaped_as_hive_does(void **state)
{
	(void)state;
	assert_string_equal(value("\"plain-text_1.5 ~!@$&()+,;<>`|}\""),
	    "plain-text_1.5 ~!@$&()+,;<>`|}");
	assert_string_equal(value("\"\\\"#%'*/:=?\\\\{[]^\\u007f\""),
	    "%22%23%25%27%2A%2F%3A%3D%3F%5C%7B%5B%5D%5E%7F");
	assert_string_equal(value("\"a\\u0001b\\n\\u001f\\t\""), "a%01b%0A%1F%09");
	assert_string_equal(value("\"\\u0000\""), "%00");
	assert_string_equal(value("\"São Paulo \\ud83d\\ude00\""), "São Paulo \xf0\x9f\x98\x80");
	assert_string_equal(value("\"" DEFAULT "\""), DEFAULT);
	assert_int_equal(defaults, 0);
}

static void numbers_and_booleans_keep_their_text(void **state)
{
	(void)state;
	assert_string_equal(value("12.50"), "12.50");
	assert_string_equal(value("-0"), "-0");
	assert_string_equal(value("9007199254740993"), "9007199254740993");
	assert_string_equal(value("1E+400"), "1E+400");
	assert_string_equal(value("true"), "true");
	assert_string_equal(value("false"), "false");
	assert_int_equal(defaults, 0);
}

static void what_is_no_text_is_the_default(void **state)
{
	static const char *const none[] = { "null", "\"\"", "[]", "[1]", "{}", "{\"v\":1}" };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_string_equal(value(none[i]), DEFAULT);
		assert_int_equal(defaults, 1);
	}
	assert_string_equal(path_in("c={.a}/d={.b.c}", RECORD("0", "null", "{\"a\":1,\"b\":2}")),
	    "c=1/d=" DEFAULT);
	/* Within quotes a brace is one, and so is a quote behind a backslash. */
	assert_string_equal(path_in("c={.\"a}\\\"b\"}", RECORD("0", "null", "{\"a}\\\"b\":1}")), "c=1");
	assert_string_equal(path_in("{.a}-%Y", RECORD("0", "null", "{\"a\":1}")), "1-1970"); /* both in one */
	assert_string_equal(path_in("{.a}", RECORD("0", "null", "[1]")), DEFAULT);
	assert_string_equal(path_in("{.a}", RECORD("0", "null", "null")), DEFAULT);
}

static void no_value_makes_a_component_that_is_special(void **state)
{
	(void)state;
	assert_string_equal(value("\".\""), "%2E");
	assert_string_equal(value("\"..\""), "%2E.");
	assert_string_equal(value("\"../../etc/passwd\""), "%2E.%2F..%2Fetc%2Fpasswd");
	assert_string_equal(value("\".sluice\""), "%2Esluice");
	assert_string_equal(value("\"/abs\""), "%2Fabs");
	assert_string_equal(value("\"a.jsonl\""), "a%2Ejsonl");
	assert_string_equal(value("\"a.jsonl.gz\""), "a%2Ejsonl.gz");
	assert_string_equal(value("\".jsonl\""), "%2Ejsonl");
	assert_string_equal(value("\"a.jsonl.gz.jsonl\""), "a.jsonl.gz%2Ejsonl");
	assert_string_equal(value("\"a.jsonl.bak\""), "a.jsonl.bak");
	/* Only the component as a whole counts. */
	assert_string_equal(path_in("{.a}{.b}", RECORD("0", "null", "{\"a\":\".js\",\"b\":\"onl\"}")),
	    "%2Ejsonl");
	assert_string_equal(path_in("c={.a}", RECORD("0", "null", "{\"a\":\"..\"}")), "c=..");
}

static char *repeat(const char *s, size_t count)
{
	struct buf b = BUF_INIT;

	buf_add_char(&b, '"');
	while (count-- > 0)
		buf_add_str(&b, s);
	buf_add_char(&b, '"');
	buf_cstr(&b);
	return b.data;
}

static void check_long(const char *s, size_t count, bool fits)
{
	char *json = repeat(s, count);

	value(json);
	if (fits == (strcmp(path.data + 2, DEFAULT) == 0))
		fail_msg("%zu times %s: %s", count, s, path.data);
	assert_int_equal(defaults, fits ? 0 : 1);
	free(json);
}

static void a_component_has_at_most_255_bytes_escaped(void **state)
{
	(void)state;
	check_long("x", 255, true);
	check_long("x", 256, false);
	check_long("x", 10000, false);
	check_long("é", 127, true);
	check_long("é", 128, false);
	check_long("/", 85, true);
	check_long("/", 86, false);
	check_long("\\u0000", 85, true);
	check_long("\\u0000", 86, false);
}

static void a_long_component_loses_its_values_and_no_other_does(void **state)
{
	char *a = repeat("a", 200), *b = repeat("b", 100);
	struct buf text = BUF_INIT;

	(void)state;
	buf_addf(&text, RECORD("0", "null", "{\"a\":%s,\"b\":%s}"), a, b);
	assert_string_equal(path_in("{topic}/{.a}-{.b}/%Y", buf_cstr(&text)),
	    "TX/" DEFAULT "-" DEFAULT "/1970");
	assert_int_equal(defaults, 2);
	assert_int_equal(strlen(path_in("{.a}/{.b}", buf_cstr(&text))), 301);
	assert_int_equal(defaults, 0);
	free(a);
	free(b);
	buf_release(&text);
}

static void a_path_has_at_most_3000_bytes(void **state)
{
	char *a = repeat("a", 250);
	struct buf text = BUF_INIT, spec = BUF_INIT;

	(void)state;
	buf_addf(&text, RECORD("0", "null", "{\"a\":%s}"), a);
	buf_add_str(&spec, "{topic}/%Y");
	for (int i = 0; i < 11; i++)
		buf_add_str(&spec, "/{.a}");
	assert_int_equal(strlen(path_in(buf_cstr(&spec), buf_cstr(&text))), 2768);
	assert_int_equal(defaults, 0);
	buf_add_str(&spec, "/{.a}");
	assert_memory_equal(path_in(buf_cstr(&spec), buf_cstr(&text)),
	    DEFAULT "/1970/" DEFAULT "/" DEFAULT, 85);
	assert_int_equal(defaults, 13);
	free(a);
	buf_release(&text);
	buf_release(&spec);
}

static void keys_that_are_text_are_values(void **state)
{
	(void)state;
	assert_string_equal(path_in("{key}", RECORD("0", "\"a/b\"", "1")), "a%2Fb");
	assert_string_equal(path_in("{key}", RECORD("0", "17", "1")), "17");
	assert_int_equal(defaults, 0);
	assert_string_equal(path_in("{key}", RECORD("0", "null", "1")), DEFAULT);
	assert_string_equal(path_in("{key}", RECORD("0", "\"\"", "1")), DEFAULT);
	assert_string_equal(path_in("{key}", RECORD("0", "{\"a\":1}", "1")), DEFAULT);
	assert_string_equal(path_in("{key}", RECORD("0", "\"AAE=\",\"key_enc\":\"base64\"", "1")),
	    DEFAULT);
	assert_string_equal(path_in("{key}",
				"{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"payload\":1}"),
	    DEFAULT);
}

static void bare_objects_have_no_topic_and_no_time_but_their_field(void **state)
{
	(void)state;
	assert_string_equal(path_in("{topic}/{partition}/{key}/%Y/{.a}", "{\"a\":\"x\"}"),
	    DEFAULT "/" DEFAULT "/" DEFAULT "/" DEFAULT "/x");
	assert_int_equal(defaults, 4);
	assert_string_equal(path_by("%Y/{.a}", ".t", NULL, "{\"a\":\"x\",\"t\":\"2026-11-21\"}"),
	    "2026/x");
	assert_string_equal(path_by("%Y/{.a}", ".t", NULL,
				"{\"path\":\"old\",\"payload\":{\"a\":\"x\",\"t\":\"2026-11-21\"}}"),
	    "2026/x");
}

static void text_payloads_that_are_json_have_fields(void **state)
{
	(void)state;
	assert_string_equal(path_in("{.a}",
				"{\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"tstype\":\"create\",\"ts\":0,"
				"\"broker\":1,\"key\":\"k\",\"payload\":\"{\\\"a\\\":\\\"x\\\"}\"}"),
	    "x");
	assert_string_equal(path_in("{.a}",
				"{\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"broker\":1,\"payload\":\"hello\"}"),
	    DEFAULT);
}

static void check_time(const char *json, const char *format, const char *want)
{
	struct buf text = BUF_INIT;

	buf_addf(&text, RECORD("0", "null", "{\"t\":%s}"), json);
	path_by("%Y-%m-%d %H%M%S", ".t", format, buf_cstr(&text));
	if (strcmp(path.data,
		want ? want : DEFAULT "-" DEFAULT "-" DEFAULT " " DEFAULT DEFAULT DEFAULT) != 0)
		fail_msg("%s by %s: %s", json, format ? format : "itself", path.data);
	assert_int_equal(defaults, want ? 0 : 6);
	buf_release(&text);
}

static void time_fields_are_iso_or_epoch(void **state)
{
	(void)state;
	check_time("\"2026-11-21T04:10:03.999Z\"", NULL, "2026-11-21 041003");
	check_time("\"2026-11-21 05:10:03+01\"", NULL, "2026-11-21 041003");
	check_time("\"2026\\u002d11-21\"", NULL, "2026-11-21 000000");
	check_time("1795234203", NULL, "2026-11-21 041003");
	check_time("1795234203.5", NULL, "2026-11-21 041003");
	check_time("1795234203123", NULL, "2026-11-21 041003");
	check_time("1795234203123456", NULL, "2026-11-21 041003");
	check_time("1.795234203123E9", NULL, "2026-11-21 041003");
	check_time("\"1795234203123\"", NULL, "2026-11-21 041003");
	check_time("\"9999-12-31T23:59:59.999Z\"", NULL, "9999-12-31 235959");
	check_time("0", NULL, "1970-01-01 000000");
}

static void unusable_times_are_the_default(void **state)
{
	static const char *const bad[] = { "null", "true", "\"\"", "\"soon\"", "-1", "[]", "{}",
		"1e300", "\"2026-02-29\"", "\"1969-12-31\"", "\"2026-11-21T04:10:03Z \"" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_time(bad[i], NULL, NULL);
	assert_string_equal(path_in("%Y", RECORD("-1", "null", "{}")), DEFAULT);
	assert_string_equal(path_in("%Y", RECORD("253402300800000", "null", "{}")), DEFAULT);
	assert_string_equal(path_in("%Y", RECORD("253402300799999", "null", "{}")), "9999");
	assert_string_equal(path_in("%Y", RECORD("9223372036854775807", "null", "{}")), DEFAULT);
	assert_string_equal(path_by("%Y", ".t", NULL, RECORD("0", "null", "null")), DEFAULT);
}

static void time_formats_are_those_of_strptime(void **state)
{
	(void)state;
	check_time("\"21/11/2026 04:10\"", "%d/%m/%Y %H:%M", "2026-11-21 041000");
	check_time("\"21/Nov/2026:05:10:03 +0100\"", "%d/%b/%Y:%H:%M:%S %z", "2026-11-21 041003");
	check_time("20261121", "%Y%m%d", "2026-11-21 000000");
	check_time("\"2026-11\"", "%Y-%m", "2026-11-01 000000");
	check_time("\"2026-11-21 and more\"", "%Y-%m-%d", NULL);
	check_time("\"2026-02-30\"", "%Y-%m-%d", NULL);
	check_time("\"04:10\"", "%H:%M", NULL);
	check_time("\"2026-11-21\\u0000\"", "%Y-%m-%d", NULL);
	check_time("\"\"", "%Y-%m-%d", NULL);
	char *spaces = repeat(" ", 10000);

	check_time(spaces, "%Y-%m-%d", NULL);
	free(spaces);
}

static void paths_follow_the_zone(void **state)
{
	(void)state;
	assert_int_equal(clock_zone("America/St_Johns"), 0);
	/* 2006-10-29 00:01, when Newfoundland put its clocks back to 23:01 of the day before */
	assert_string_equal(path_in("%d %H", RECORD("1162089059000", "null", "1")), "29 00");
	assert_string_equal(path_in("%d %H", RECORD("1162089060000", "null", "1")), "28 23");
	assert_int_equal(clock_zone("Asia/Kathmandu"), 0);
	assert_string_equal(path_in("%d %H%M", RECORD("1795198500000", "null", "1")), "21 0000");
	check_time("\"2026-11-21T00:00\"", NULL, "2026-11-21 000000");
	check_time("\"2026-11-21 00:00\"", "%Y-%m-%d %H:%M", "2026-11-21 000000");
	assert_int_equal(clock_zone("UTC"), 0);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

/* What a layout remembers must never show: a reused one agrees with a fresh one on every record. */
static void remembered_paths_are_right(void **state)
{
	static const char *const specs[] = { "hive", "{partition}/%H", "%M", "{topic}%S", "%Z%z %d",
		"table" };
	uint64_t seed = 7;

	(void)state;
	assert_int_equal(clock_zone("America/St_Johns"), 0);
	for (size_t k = 0; k < sizeof(specs) / sizeof(specs[0]); k++) {
		struct stream s;
		struct layout *l;

		stream_init(&s);
		l = layout_open(specs[k], NULL, NULL, &s);
		assert_non_null(l);
		for (int i = 0; i < 20000; i++) {
			struct buf text = BUF_INIT, got = BUF_INIT;
			struct line line;
			int n;

			next_random(&seed);
			buf_addf(&text,
			    "{\"topic\":\"T%d\",\"partition\":%d,\"offset\":1,\"ts\":%lld,\"payload\":1}",
			    (int)(seed >> 33) % 3, (int)(seed >> 35) % 3,
			    i % 50 ? 1162089060000 + (long long)(seed >> 40) % 20000000 - 10000000
				   : -1);
			assert_int_equal(stream_parse(&s, buf_span(&text), &line), 0);
			n = layout_path(l, &line, &got);
			path_in(specs[k], buf_cstr(&text));
			assert_string_equal(buf_cstr(&got), path.data);
			assert_int_equal(n, defaults);
			buf_release(&text);
			buf_release(&got);
		}
		layout_close(l);
		stream_release(&s);
	}
	assert_int_equal(clock_zone("UTC"), 0);
}

/* What a reader of Hive partitions makes of a component. */
static void unescape(struct buf *to, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned c;

		if (p[i] == '%' && sscanf(p + i, "%%%2X", &c) == 1) {
			buf_add_char(to, (char)c);
			i += 2;
		} else {
			buf_add_char(to, p[i]);
		}
	}
}

static void add_awkward(struct buf *to, uint32_t count, uint64_t *seed)
{
	static const char *const bits[] = { ".", "..", "/", ".jsonl", ".gz", ".js", "onl", "=", "%",
		"%2E", "\\", "\"", "\0", "\n", "x", "é", "\xf0\x9f\x98\x80", "{", "}", "*" };

	while (count-- > 0) {
		const char *bit = bits[next_random(seed) % 20];

		buf_add(to, bit, *bit ? strlen(bit) : 1);
	}
}

static void any_values_make_paths_that_sinks_accept(void **state)
{
	static const char *const specs[] = { "{.v}", "v={.v}", "{.v}{.w}", "{.v}/{.w}",
		"{.v}.{.w}l", "a{.v}z" };
	uint64_t seed = 99;

	(void)state;
	for (int i = 0; i < 60000; i++) {
		struct buf v = BUF_INIT, w = BUF_INIT, text = BUF_INIT, back = BUF_INIT;
		const char *spec = specs[next_random(&seed) % 6];

		add_awkward(&v, next_random(&seed) % (i % 100 ? 8 : 90), &seed);
		add_awkward(&w, next_random(&seed) % 4, &seed);
		buf_add_str(&text, "{\"v\":");
		json_escape(&text, v.data, v.len);
		buf_add_str(&text, ",\"w\":");
		json_escape(&text, w.data, w.len);
		buf_add_str(&text, "}");
		path_in(spec, buf_cstr(&text)); /* checks path_problem */
		unescape(&back, path.data, path.len);
		if (strcmp(spec, "{.v}") == 0 && defaults == 0)
			assert_true(span_eq(buf_span(&back), buf_span(&v)));
		buf_release(&v);
		buf_release(&w);
		buf_release(&text);
		buf_release(&back);
	}
}

static void path_is_appended(void **state)
{
	static const char text[] = RECORD("0", "null", "{\"a\":\"x\"}");
	struct buf b = BUF_INIT;
	struct stream s;
	struct layout *l;
	struct line line;

	(void)state;
	stream_init(&s);
	l = layout_open("{.a}", NULL, NULL, &s);
	assert_int_equal(stream_parse(&s, SPAN(text), &line), 0);
	buf_add_str(&b, ".jsonl/");
	layout_path(l, &line, &b);
	assert_string_equal(buf_cstr(&b), ".jsonl/x");
	layout_close(l);
	stream_release(&s);
	buf_release(&b);
}

static void check_refused(const char *spec, const char *field, const char *format, const char *why)
{
	struct stream s;
	struct layout *l;

	stream_init(&s);
	l = layout_open(spec, field, format, &s);
	if (l)
		fail_msg("accepted \"%s\"", spec);
	assert_int_equal(fail_code(), EXIT_USAGE);
	assert_null(strchr(fail_message(), '\n'));
	if (!strstr(fail_message(), why))
		fail_msg("%s: %s", spec, fail_message());
	stream_release(&s);
}

static void bad_templates_are_refused_with_a_reason(void **state)
{
	char *x = repeat("x", 256), *many = repeat("{.a}", 10);

	(void)state;
	check_refused("hiev", NULL, NULL, "unknown layout");
	check_refused("", NULL, NULL, "unknown layout");
	check_refused("/abs/{topic}", NULL, NULL, "absolute");
	check_refused("a//{topic}", NULL, NULL, "empty component");
	check_refused("{topic}/", NULL, NULL, "empty component");
	check_refused("../{topic}", NULL, NULL, "dot");
	check_refused("{topic}/../x", NULL, NULL, "dot");
	check_refused("{topic}/./x", NULL, NULL, "dot");
	check_refused(".x/{topic}", NULL, NULL, "dot");
	check_refused("{topic}/a.jsonl", NULL, NULL, "data file");
	check_refused("{topic}.jsonl.gz", NULL, NULL, "data file");
	check_refused("{tpoic}", NULL, NULL, "unknown {tpoic}");
	check_refused("{}", NULL, NULL, "unknown {}");
	check_refused("{topic", NULL, NULL, "no }");
	check_refused("x/{.a\"}", NULL, NULL, "no }");
	check_refused("topic}/x", NULL, NULL, "without {");
	check_refused("{.}", NULL, NULL, "not a payload path");
	check_refused("{.a..b}", NULL, NULL, "not a payload path");
	check_refused("%Q", NULL, NULL, "unknown conversion %Q");
	check_refused("%Ey", NULL, NULL, "unknown conversion");
	check_refused("%-Q", NULL, NULL, "unknown conversion %-Q");
	check_refused("%n/%t", NULL, NULL, "unknown conversion %n");
	check_refused("x%", NULL, NULL, "unknown conversion %");
	check_refused("a\"b/%Y", NULL, NULL, "quote");
	check_refused("a\\b/%Y", NULL, NULL, "backslash");
	check_refused("a\nb/%Y", NULL, NULL, "control");
	check_refused("a\xff/%Y", NULL, NULL, "UTF-8");
	x[0] = 'x';
	x[strlen(x) - 1] = '/';
	buf_clear(&path);
	buf_addf(&path, "%s%%Y", x);
	check_refused(buf_cstr(&path), NULL, NULL, "255");
	many[0] = 'x';
	many[strlen(many) - 1] = 'x';
	check_refused(many, NULL, NULL, "255");
	free(x);
	free(many);
}

static void bad_time_options_are_refused(void **state)
{
	(void)state;
	check_refused("hive", "ts", NULL, "not a payload path");
	check_refused("hive", "", NULL, "not a payload path");
	check_refused("hive", ".t", "", "no conversions");
	check_refused("hive", ".t", "plain", "no conversions");
	check_refused("hive", ".t", "%%", "no conversions");
	check_refused("hive", ".t", "%s", "epoch times need no format");
	check_refused("hive", ".t", "%H:%M %Z", "%Z");
	check_refused("hive", ".t", "%Y-%Q", "unknown conversion %Q");
	check_refused("hive", ".t", "%Y-%", "unknown conversion %");
}

static void only_layouts_with_conversions_use_the_time(void **state)
{
	static const struct {
		const char *spec;
		bool uses;
	} layouts[] = { { "hive", true }, { "table", false }, { "{topic}/%%", false },
		{ "x/%-d", true } };

	(void)state;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		struct stream s;
		struct layout *l;

		stream_init(&s);
		l = layout_open(layouts[i].spec, NULL, NULL, &s);
		assert_int_equal(layout_uses_time(l), layouts[i].uses);
		layout_close(l);
		stream_release(&s);
	}
}

static void paths_of_others_are_checked(void **state)
{
	static const char *const good[] = { "a", "a/b", "streams/TX/year=2026", "a.b/c..d/e.",
		"é/\xf0\x9f\x98\x80", "a.jsonl.x", "jsonl", " ", "-" };
	static const char *const bad[] = { "", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.",
		"a/..", "a/../b", ".a", "a/.sluice/b", ".sluice/journal", "a.jsonl", "a.jsonl/b",
		"a/b.jsonl.gz" };
	char long_path[3002];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (path_problem((struct span){ good[i], strlen(good[i]) }))
			fail_msg("refused \"%s\"", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!path_problem((struct span){ bad[i], strlen(bad[i]) }))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_non_null(path_problem((struct span){ "a\0b", 3 }));
	assert_non_null(path_problem((struct span){ NULL, 0 }));

	memset(long_path, 'x', sizeof(long_path));
	assert_null(path_problem((struct span){ long_path, 255 }));
	assert_non_null(path_problem((struct span){ long_path, 256 }));
	for (size_t i = 200; i < sizeof(long_path); i += 200)
		long_path[i] = '/';
	long_path[3000] = 'x';
	assert_null(path_problem((struct span){ long_path, 3000 }));
	assert_non_null(path_problem((struct span){ long_path, 3001 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(named_layouts_are_what_the_manual_says),
		cmocka_unit_test(templates_take_every_piece),
		cmocka_unit_test(conversions_are_escaped_too),
		cmocka_unit_test(values_are_escaped_as_hive_does),
		cmocka_unit_test(numbers_and_booleans_keep_their_text),
		cmocka_unit_test(what_is_no_text_is_the_default),
		cmocka_unit_test(no_value_makes_a_component_that_is_special),
		cmocka_unit_test(a_component_has_at_most_255_bytes_escaped),
		cmocka_unit_test(a_long_component_loses_its_values_and_no_other_does),
		cmocka_unit_test(a_path_has_at_most_3000_bytes),
		cmocka_unit_test(keys_that_are_text_are_values),
		cmocka_unit_test(bare_objects_have_no_topic_and_no_time_but_their_field),
		cmocka_unit_test(text_payloads_that_are_json_have_fields),
		cmocka_unit_test(time_fields_are_iso_or_epoch),
		cmocka_unit_test(unusable_times_are_the_default),
		cmocka_unit_test(time_formats_are_those_of_strptime),
		cmocka_unit_test(paths_follow_the_zone),
		cmocka_unit_test(remembered_paths_are_right),
		cmocka_unit_test(any_values_make_paths_that_sinks_accept),
		cmocka_unit_test(path_is_appended),
		cmocka_unit_test(bad_templates_are_refused_with_a_reason),
		cmocka_unit_test(bad_time_options_are_refused),
		cmocka_unit_test(only_layouts_with_conversions_use_the_time),
		cmocka_unit_test(paths_of_others_are_checked),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buf_release(&path);
	return failed;
}
