/* The library's headers first: cmocka.h has a macro named fail. */
#include "value.h"
#include "decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define NINES_65 "99999999999999999999999999999999999999999999999999999999999999999"

static struct value v;
static struct buf sql, key;

/* ---- columns ---- */

static struct column column(enum column_type type)
{
	return (
	    struct column){ .type = type, .nullable = true, .chars = -1, .octets = -1, .key_at = -1 };
}

static struct column integer(int bits, bool is_unsigned)
{
	struct column c = column(COL_INT);

	c.is_unsigned = is_unsigned;
	c.max = UINT64_MAX >> (64 - bits + !is_unsigned);
	c.min = is_unsigned ? 0 : -(int64_t)c.max - 1;
	return c;
}

static struct column decimal(int precision, int scale)
{
	struct column c = column(COL_DECIMAL);

	c.precision = precision;
	c.scale = scale;
	return c;
}

static struct column text(enum column_type type, int64_t chars)
{
	struct column c = column(type);

	c.chars = chars;
	c.octets = chars < 0 ? -1 : chars * 4;
	return c;
}

static struct column bytes(enum column_type type, int64_t octets)
{
	struct column c = column(type);

	c.octets = octets;
	return c;
}

static struct column temporal(enum column_type type, int scale)
{
	struct column c = column(type);

	c.scale = scale;
	return c;
}

static struct column named(enum column_type type, char **name, size_t n)
{
	struct column c = column(type);

	c.value = name;
	c.values = n;
	return c;
}

/* ---- conversions ---- */

static struct value_in json_of(const char *json, size_t n)
{
	struct value_in in = { 0 };
	struct json j;

	json_init(&j, json, n);
	if (json_value(&j, &in.json) < 0 || json_finish(&j) < 0)
		fail_msg("%s is no JSON", json);
	return in;
}

static enum value_result convert(const struct column *c, const struct value_in *in, bool with_key)
{
	enum value_result r;

	buf_clear(&sql);
	buf_clear(&key);
	buf_add_str(&sql, "(");
	buf_add_str(&key, "k");
	r = value_convert(&v, c, in, &sql, with_key ? &key : NULL);
	if (r == VALUE_REJECT) {
		assert_true(span_is(buf_span(&sql), "("));
		assert_true(span_is(buf_span(&key), "k"));
		assert_int_equal(v.why.data[v.why.len], '\0');
		assert_int_equal(strlen(v.why.data), v.why.len);
		assert_null(strchr(v.why.data, '\n'));
	}
	return r;
}

/* As a statement would have it; NULL: v.why says why not. */
static const char *literal_of(const struct column *c, const char *json)
{
	struct value_in in = json_of(json, strlen(json));

	return convert(c, &in, false) == VALUE_REJECT ? NULL : buf_cstr(&sql) + 1;
}

static void takes(struct column c, const char *json, const char *want)
{
	const char *got = literal_of(&c, json);

	if (!got)
		fail_msg("%s %s", json, v.why.data);
	if (strcmp(got, want) != 0)
		fail_msg("%s became %s instead of %s", json, got, want);
}

static void rejects(struct column c, const char *json, const char *why)
{
	const char *got = literal_of(&c, json);

	if (got)
		fail_msg("%s became %s", json, got);
	if (strcmp(v.why.data, why) != 0)
		fail_msg("%s %s, instead of: %s", json, v.why.data, why);
}

static enum value_result with_bytes(const struct column *c, const char *p, size_t n, bool with_key)
{
	struct value_in in = { .bytes = { p, n } };

	return convert(c, &in, with_key);
}

#define KEPT 2

static struct buf kept[KEPT];

/* The key's bytes, valid until KEPT calls later. */
static struct span key_of(const struct column *c, const char *json)
{
	static unsigned at;
	struct value_in in = json_of(json, strlen(json));
	struct buf *to = &kept[at++ % KEPT];

	if (convert(c, &in, true) == VALUE_REJECT)
		fail_msg("%s %s", json, v.why.data);
	buf_clear(to);
	buf_add(to, key.data + 1, key.len - 1);
	return buf_span(to);
}

static void equal_keys(struct column c, const char *a, const char *b)
{
	if (!span_eq(key_of(&c, a), key_of(&c, b)))
		fail_msg("%s and %s are one key", a, b);
}

/* Ascending, and as long as each other. */
static void ordered_keys(struct column c, const char *const *json, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct span a = key_of(&c, json[i - 1]), b = key_of(&c, json[i]);

		if (a.n != b.n || memcmp(a.p, b.p, a.n) >= 0)
			fail_msg("%s comes before %s", json[i - 1], json[i]);
	}
}

#define ORDERED(c, ...)                                                                            \
	ordered_keys(c, (const char *const[]){ __VA_ARGS__ },                                      \
	    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

/* ---- NULL ---- */

static void null_needs_a_column_that_may_be_null(void **state)
{
	struct column c = column(COL_OTHER);

	(void)state;
	takes(c, "null", "NULL");
	takes(temporal(COL_TIMESTAMP, 0), "null", "NULL");
	takes(column(COL_JSON), "null", "NULL");
	c = temporal(COL_TIMESTAMP, 0); /* MariaDB would store now() */
	c.nullable = false;
	rejects(c, "null", "is null, the column is NOT NULL");
	c = text(COL_TEXT, 10);
	c.nullable = false;
	rejects(c, "null", "is null, the column is NOT NULL");
	takes(c, "\"null\"", "'null'");
	takes(c, "\"\"", "''");
}

static void types_we_do_not_know_take_only_null(void **state)
{
	(void)state;
	rejects(column(COL_OTHER), "\"POINT(1 1)\"",
	    "cannot be stored: the column's type takes only NULL from here");
}

/* ---- numbers ---- */

static void integers_have_the_limits_of_their_type(void **state)
{
	(void)state;
	takes(integer(8, false), "-128", "-128");
	takes(integer(8, false), "127", "127");
	rejects(integer(8, false), "128", "is out of range: -128 to 127");
	rejects(integer(8, false), "-129", "is out of range: -128 to 127");
	takes(integer(8, true), "0", "0");
	takes(integer(8, true), "255", "255");
	rejects(integer(8, true), "256", "is out of range: 0 to 255");
	rejects(integer(8, true), "-1", "is out of range: 0 to 255");
	takes(integer(24, false), "-8388608", "-8388608");
	rejects(integer(24, true), "16777216", "is out of range: 0 to 16777215");
	takes(integer(64, false), "9007199254740993", "9007199254740993");
	takes(integer(64, false), "9223372036854775807", "9223372036854775807");
	takes(integer(64, false), "-9223372036854775808", "-9223372036854775808");
	rejects(integer(64, false), "9223372036854775808",
	    "is out of range: -9223372036854775808 to 9223372036854775807");
	rejects(integer(64, false), "-9223372036854775809",
	    "is out of range: -9223372036854775808 to 9223372036854775807");
	takes(integer(64, true), "18446744073709551615", "18446744073709551615");
	rejects(integer(64, true), "18446744073709551616",
	    "is out of range: 0 to 18446744073709551615");
	rejects(integer(64, true), "1e400", "is out of range: 0 to 18446744073709551615");
	rejects(integer(64, true), "1e999999999999999999999",
	    "is out of range: 0 to 18446744073709551615");
}

static void integers_may_be_written_as_any_number(void **state)
{
	struct column c = integer(32, false);

	(void)state;
	takes(c, "17.0", "17");
	takes(c, "1e3", "1000");
	takes(c, "1E+3", "1000");
	takes(c, "1500e-2", "15");
	takes(c, "0.00017e5", "17");
	takes(c, "1700000000000000000000000000000e-29", "17");
	takes(c, "-0", "0");
	takes(c, "-0.0e7", "0");
	takes(c, "0e99999999999999999999", "0");
	takes(integer(32, true), "-0", "0");
	takes(c, "true", "1");
	takes(c, "false", "0");
	takes(c, "\"17\"", "17");
	takes(c, "\"\\u0031\\u0037\"", "17");
	takes(c, "\"-1.70e1\"", "-17");
	rejects(c, "1.5", "is no integer");
	rejects(c, "15e-1", "is no integer");
	rejects(c, "1e-400", "is no integer");
	rejects(c, "9007199254740993.0000000000000000000000000000001", "is no integer");
}

static void what_is_no_number_is_none(void **state)
{
	static const char *const bad[] = { "\"\"", "\" 17\"", "\"17 \"", "\"+17\"", "\"017\"",
		"\"0x11\"", "\"1,7\"", "\"17\\u0000\"", "\"NaN\"", "\"Infinity\"", "\"true\"",
		"\".5\"", "\"5.\"", "\"1e\"", "\"-\"", "\"--1\"", "\"1e+\"", "\"1.5.2\"", "{}",
		"[1]", "\"\\uff11\"" };
	const struct column types[] = { integer(64, false), decimal(10, 2), column(COL_FLOAT),
		column(COL_DOUBLE), column(COL_BIT) };

	(void)state;
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			rejects(types[t], bad[i], "is no number");
}

static void decimals_are_exact(void **state)
{
	struct column c = decimal(10, 2);

	(void)state;
	takes(c, "12.50", "12.50");
	takes(c, "12.5", "12.5");
	takes(c, "0", "0");
	takes(c, "-12.50", "-12.50");
	takes(c, "\"12.50\"", "12.50");
	takes(c, "true", "1");
	takes(c, "1.25e1", "12.50");
	takes(c, "1e3", "1000.00");
	takes(c, "-0.5", "-0.50");
	takes(c, "-0", "0.00");
	takes(c, "-0.00", "0.00");
	takes(c, "99999999.99", "99999999.99");
	takes(decimal(65, 0), NINES_65, NINES_65);
	takes(decimal(65, 0), "-" NINES_65, "-" NINES_65);
	takes(decimal(65, 30), "12345678901234567890123456789012345.123456789012345678901234567890",
	    "12345678901234567890123456789012345.123456789012345678901234567890");
	takes(decimal(38, 0), "99999999999999999999999999999999999999",
	    "99999999999999999999999999999999999999");
	takes(decimal(38, 38), "1e-38", "0.00000000000000000000000000000000000001");
	takes(decimal(2, 2), "0.99", "0.99");
	takes(decimal(2, 2), "-0.99", "-0.99");
	takes(decimal(2, 2), "99e-2", "0.99");
}

static void decimals_have_room_for_so_many_digits(void **state)
{
	static const char out[] = "is out of range: a DECIMAL(10,2) has 8 digits before the point";
	struct column c = decimal(10, 2);

	(void)state;
	rejects(c, "100000000", out);
	rejects(c, "-1e8", out);
	rejects(c, "99999999.995", out);
	rejects(c, "1e400", out);
	rejects(c, "1e99999999999999999999", out);
	rejects(decimal(65, 0), NINES_65 "0",
	    "is out of range: a DECIMAL(65,0) has 65 digits before the point");
	rejects(decimal(38, 0), "100000000000000000000000000000000000000",
	    "is out of range: a DECIMAL(38,0) has 38 digits before the point");
	rejects(decimal(2, 2), "1", "is out of range: a DECIMAL(2,2) has 0 digits before the point");
	c.is_unsigned = true;
	rejects(c, "-0.01", "is negative, the column is UNSIGNED");
	rejects(c, "-5", "is negative, the column is UNSIGNED");
	takes(c, "-0", "0.00");
	takes(c, "5.25", "5.25");
}

static void rounds(struct column c, const char *json, const char *want)
{
	struct value_in in = json_of(json, strlen(json));

	assert_int_equal(convert(&c, &in, false), VALUE_ROUNDED);
	assert_string_equal(buf_cstr(&sql) + 1, want);
}

static void decimals_round_half_away_from_zero_and_say_so(void **state)
{
	struct column c = decimal(5, 2);
	struct value_in in = json_of("1.5000", 6);

	(void)state;
	rounds(c, "1.005", "1.01");
	rounds(c, "-1.005", "-1.01");
	rounds(c, "1.0049999999999999999999999999999", "1.00");
	rounds(c, "9.999", "10.00");
	rounds(c, "999.994", "999.99");
	rounds(c, "0.005", "0.01");
	rounds(c, "0.0049", "0.00");
	rounds(c, "-0.0049", "0.00");
	rounds(c, "5e-3", "0.01");
	rounds(c, "5e-4", "0.00");
	rounds(c, "1e-9999999999999999999", "0.00");
	rounds(c, "\"2.345\"", "2.35");
	rounds(decimal(5, 0), "0.5", "1");
	rounds(decimal(5, 0), "2.5", "3");
	rounds(decimal(5, 0), "-2.5", "-3");
	rounds(decimal(2, 2), "0.985", "0.99");
	assert_int_equal(convert(&c, &in, false), VALUE_OK); /* nothing was lost */
	assert_string_equal(buf_cstr(&sql) + 1, "1.50");
}

static void floating_point_is_the_nearest_value_within_bounds(void **state)
{
	struct column c = column(COL_DOUBLE), f = column(COL_FLOAT);

	(void)state;
	takes(c, "12.50", "12.50e0");
	takes(c, "1e3", "1e3");
	takes(c, "1E-3", "1E-3");
	takes(c, "-1", "-1e0");
	takes(c, "0", "0e0");
	takes(c, "-0", "0e0"); /* MySQL would store -0, MariaDB 0 */
	takes(c, "-0.0E5", "0e0");
	takes(c, "true", "1e0");
	takes(c, "\"12.50\"", "12.50e0");
	takes(c, "1.7976931348623157e308", "1.7976931348623157e308");
	takes(c, "-1.7976931348623157e308", "-1.7976931348623157e308");
	takes(c, "4.9e-324", "4.9e-324");
	takes(c, "1e-400", "0e0");
	takes(c, "-2e-324", "0e0");
	takes(c, "-3e-324", "-3e-324");
	takes(f, "-1e-45", "-1e-45");
	takes(f, "-1e-46", "0e0");
	takes(c, "-1e-999999999999", "0e0");
	rejects(c, "1.7976931348623159e308", "is out of range: too large for a DOUBLE");
	rejects(c, "1e309", "is out of range: too large for a DOUBLE");
	rejects(c, "-1e400", "is out of range: too large for a DOUBLE");
	rejects(c, "1e9999999999999999999999", "is out of range: too large for a DOUBLE");
	takes(f, "3.4028234e38", "3.4028234e38");
	rejects(f, "3.4028236e38", "is out of range: too large for a FLOAT");
	rejects(f, "-3.4028236e38", "is out of range: too large for a FLOAT");
	rejects(f, "-1e39", "is out of range: too large for a FLOAT");
	rejects(f, "1e40", "is out of range: too large for a FLOAT");
	f.is_unsigned = true;
	rejects(f, "-1", "is negative, the column is UNSIGNED");
	takes(f, "-0", "0e0");
}

static void bits_are_numbers(void **state)
{
	struct column c = column(COL_BIT);

	(void)state;
	c.max = 255;
	takes(c, "0", "0");
	takes(c, "255", "255");
	takes(c, "true", "1");
	rejects(c, "256", "is out of range: 0 to 255");
	rejects(c, "-1", "is out of range: 0 to 255");
	rejects(c, "0.5", "is no integer");
	c.max = UINT64_MAX;
	takes(c, "18446744073709551615", "18446744073709551615");
	rejects(c, "18446744073709551616", "is out of range: 0 to 18446744073709551615");
}

/* ---- text ---- */

static void text_is_escaped(void **state)
{
	struct column c = text(COL_TEXT, 100);

	(void)state;
	takes(c, "\"Zürich 😀\"", "'Zürich 😀'");
	takes(c, "\"it's\"", "'it\\'s'");
	takes(c, "\"a\\\\b\"", "'a\\\\b'");
	takes(c, "\"a\\u0000b\"", "'a\\0b'");
	takes(c, "\"\\\"\\n\\t\"", "'\\\"\\n\t'");
	takes(c, "\"\\u00e9\\ud83d\\ude00\"", "'é😀'");
	takes(c, "\"\\\\'; DROP TABLE x; -- \"", "'\\\\\\'; DROP TABLE x; -- '");
	takes(c, "\"縗\\\\\"", "'縗\\\\'"); /* in GBK its last byte and the backslash were one character */
	takes(c, "\"\"", "''");
}

static void text_is_as_long_as_its_characters(void **state)
{
	struct column c = text(COL_CHAR, 3), one = text(COL_TEXT, 1), octets = bytes(COL_TEXT, 8);

	(void)state;
	takes(c, "\"abc\"", "'abc'");
	takes(c, "\"äöü\"", "'äöü'");
	takes(c, "\"😀😀😀\"", "'😀😀😀'");
	rejects(c, "\"abcd\"", "is longer than 3 characters");
	rejects(c, "\"😀😀😀!\"", "is longer than 3 characters");
	takes(c, "\"ab \"", "'ab '");
	rejects(c, "\"abc \"", "is longer than 3 characters"); /* the server would cut it with a note */
	rejects(one, "\"ab\"", "is longer than 1 character");
	takes(text(COL_TEXT, 0), "\"\"", "''");
	rejects(text(COL_TEXT, 0), "\" \"", "is longer than 0 characters");
	takes(octets, "\"😀😀\"", "'😀😀'");
	rejects(octets, "\"😀😀!\"", "is longer than 8 bytes");
	takes(column(COL_TEXT), "\"a text without limits\"", "'a text without limits'");
}

static void text_takes_any_value_as_its_own_bytes(void **state)
{
	struct column c = text(COL_TEXT, 30);

	(void)state;
	takes(c, "12.50", "'12.50'");
	takes(c, "1E3", "'1E3'");
	takes(c, "true", "'true'");
	takes(c, "{\"a\" : [1, \"it's\"]}", "'{\\\"a\\\" : [1, \\\"it\\'s\\\"]}'");
	takes(c, "[\"\\n\"]", "'[\\\"\\\\n\\\"]'");
	rejects(c, "[1,2,3,4,5,6,7,8,9,10,11,12,13]", "is longer than 30 characters");
}

static void bytes_for_text_must_be_utf8(void **state)
{
	struct column c = text(COL_TEXT, 3);

	(void)state;
	assert_int_equal(with_bytes(&c, "\xc3\xa9", 2, false), VALUE_OK);
	assert_string_equal(buf_cstr(&sql), "('é'");
	assert_int_equal(with_bytes(&c, "'\0\\", 3, false), VALUE_OK);
	assert_string_equal(buf_cstr(&sql), "('\\'\\0\\\\'");
	assert_int_equal(with_bytes(&c, NULL, 0, false), VALUE_OK);
	assert_string_equal(buf_cstr(&sql), "(''");
	assert_int_equal(with_bytes(&c, "\xff", 1, false), VALUE_REJECT);
	assert_string_equal(v.why.data, "is no valid UTF-8");
	assert_int_equal(with_bytes(&c, "abcd", 4, false), VALUE_REJECT);
	assert_string_equal(v.why.data, "is longer than 3 characters");
}

static void binary_takes_bytes_or_the_bytes_of_text(void **state)
{
	struct column c = bytes(COL_VARBINARY, 4), b = bytes(COL_BINARY, 4), n = integer(32, false);

	(void)state;
	takes(c, "\"ab\"", "'ab'");
	takes(c, "\"😀\"", "'😀'");
	takes(c, "\"\\u0000'\"", "'\\0\\''");
	takes(c, "12.5", "'12.5'");
	rejects(c, "\"😀!\"", "is longer than 4 bytes");
	takes(b, "\"ab\"", "'ab'"); /* the server pads it */
	takes(c, "{\"base64\":\"AP8n\"}", "x'00ff27'");
	takes(c, "{ \"b\\u0061se64\" : \"\\/\\/8=\" }", "x'ffff'");
	takes(c, "{\"base64\":\"\"}", "x''");
	takes(b, "{\"base64\":\"/w==\"}", "x'ff'");
	rejects(c, "{\"base64\":\"AP8\"}", "is no base64");
	rejects(c, "{\"base64\":\"AAECAwQ=\"}", "is longer than 4 bytes");
	takes(bytes(COL_VARBINARY, 40), "{\"base64\":1}", "'{\\\"base64\\\":1}'");
	takes(bytes(COL_VARBINARY, 40), "{\"base64\":\"\",\"a\":1}",
	    "'{\\\"base64\\\":\\\"\\\",\\\"a\\\":1}'");
	takes(bytes(COL_VARBINARY, 40), "{}", "'{}'");
	assert_int_equal(with_bytes(&c, "\x00\xff'", 3, false), VALUE_OK);
	assert_string_equal(buf_cstr(&sql), "(x'00ff27'");
	assert_int_equal(with_bytes(&c, NULL, 0, false), VALUE_OK);
	assert_string_equal(buf_cstr(&sql), "(x''");
	assert_int_equal(with_bytes(&c, "12345", 5, false), VALUE_REJECT);
	assert_string_equal(v.why.data, "is longer than 4 bytes");
	assert_int_equal(with_bytes(&n, "17", 2, false), VALUE_OK); /* bytes are text elsewhere */
	assert_string_equal(buf_cstr(&sql), "(17");
	assert_int_equal(with_bytes(&n, NULL, 0, false), VALUE_REJECT);
	assert_string_equal(v.why.data, "is no number");
}

static void json_is_its_own_bytes(void **state)
{
	struct column my = column(COL_JSON), maria = column(COL_TEXT);

	(void)state;
	maria.json = true;
	for (int i = 0; i < 2; i++) {
		struct column c = i ? my : maria;

		takes(c, "{\"a\": 12.50, \"a\": 1}", "'{\\\"a\\\": 12.50, \\\"a\\\": 1}'");
		takes(c, "\"abc\"", "'\"abc\"'");
		takes(c, "\"it's\\u0000\\n\"", "'\\\"it\\'s\\\\u0000\\\\n\\\"'");
		takes(c, "9007199254740993", "'9007199254740993'");
		takes(c, "true", "'true'");
		assert_int_equal(with_bytes(&c, "{}", 2, false), VALUE_REJECT);
		assert_string_equal(v.why.data, "is no JSON");
	}
}

/* ---- names ---- */

static char red[] = "red", green[] = "green", its[] = "it's", none[] = "", capital[] = "Red";
static char *colours[] = { red, green, its, none, capital };

static void an_enum_is_given_by_its_name(void **state)
{
	struct column c = named(COL_ENUM, colours, 5), without = named(COL_ENUM, colours, 3);

	(void)state;
	takes(c, "\"red\"", "'red'");
	takes(c, "\"Red\"", "'Red'");
	takes(c, "\"it's\"", "'it\\'s'");
	takes(c, "\"\"", "''");
	rejects(without, "\"\"", "is no value of the ENUM");
	rejects(c, "\"RED\"", "is no value of the ENUM");
	rejects(c, "\"red \"", "is no value of the ENUM");
	rejects(c, "\"1\"", "is no value of the ENUM"); /* the server would take it for an index */
	rejects(c, "\"red\\u0000\"", "is no value of the ENUM");
	rejects(c, "1", "is not the name of a value of the ENUM");
	rejects(c, "true", "is not the name of a value of the ENUM");
}

static void a_set_is_given_by_its_names(void **state)
{
	struct column c = named(COL_SET, colours, 3);

	(void)state;
	takes(c, "\"green,red\"", "'red,green'");
	takes(c, "\"red,red\"", "'red'");
	takes(c, "\"it's\"", "'it\\'s'");
	takes(c, "\"\"", "''");
	takes(c, "[]", "''");
	takes(c, "[\"it's\", \"r\\u0065d\"]", "'red,it\\'s'");
	rejects(c, "\"red,blue\"", "has what is no value of the SET");
	rejects(c, "\"red,\"", "has what is no value of the SET");
	rejects(c, "\",\"", "has what is no value of the SET");
	rejects(c, "\"red, green\"", "has what is no value of the SET");
	rejects(c, "[\"red,green\"]", "has what is no value of the SET");
	rejects(named(COL_SET, colours, 5), "[\"\"]", "has what is no value of the SET");
	rejects(c, "[\"red\", 1]", "has what is no value of the SET");
	rejects(c, "3", "has what is no value of the SET");
	rejects(c, "{\"red\":true}", "has what is no value of the SET");
}

static void addresses_are_checked(void **state)
{
	(void)state;
	takes(column(COL_UUID), "\"123e4567-E89B-12d3-a456-426614174000\"",
	    "'123e4567-E89B-12d3-a456-426614174000'");
	rejects(column(COL_UUID), "\"123e4567e89b12d3a456426614174000\"", "is no UUID");
	rejects(column(COL_UUID), "\"123e4567-e89b-12d3-a456-42661417400g\"", "is no UUID");
	rejects(column(COL_UUID), "\"123e4567-e89b-12d3-a456+426614174000\"", "is no UUID");
	rejects(column(COL_UUID), "\"\"", "is no UUID");
	rejects(column(COL_UUID), "1", "is no UUID");
	takes(column(COL_INET4), "\"192.0.2.1\"", "'192.0.2.1'");
	rejects(column(COL_INET4), "\"192.0.2.256\"", "is no IPv4 address");
	rejects(column(COL_INET4), "\"192.0.2.1\\u0000\"", "is no IPv4 address");
	rejects(column(COL_INET4), "\"::1\"", "is no IPv4 address");
	rejects(column(COL_INET4), "\"\"", "is no IPv4 address");
	takes(column(COL_INET6), "\"2001:db8::1\"", "'2001:db8::1'");
	takes(column(COL_INET6), "\"::ffff:192.0.2.1\"", "'::ffff:192.0.2.1'");
	rejects(column(COL_INET6), "\"192.0.2.1\"", "is no IPv6 address");
	rejects(column(COL_INET6), "\"2001:db8::1%eth0\"", "is no IPv6 address");
	rejects(column(COL_INET6), "\"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb\"",
	    "is no IPv6 address");
}

/* ---- dates ---- */

static void a_datetime_is_utc_with_as_many_digits_as_the_column_has(void **state)
{
	struct column c = temporal(COL_DATETIME, 0), ms = temporal(COL_DATETIME, 3),
		      us = temporal(COL_DATETIME, 6);

	(void)state;
	takes(c, "\"2026-11-21T04:10:00Z\"", "'2026-11-21 04:10:00'");
	takes(c, "\"2026-11-21 04:10:00\"", "'2026-11-21 04:10:00'");
	takes(c, "\"2026-11-21T04:10\"", "'2026-11-21 04:10:00'");
	takes(c, "\"2026-11-21\"", "'2026-11-21 00:00:00'");
	takes(c, "\"2026-11-21T01:10:00+02:00\"", "'2026-11-20 23:10:00'");
	takes(c, "\"2026-12-31T23:30:00-0130\"", "'2027-01-01 01:00:00'");
	takes(c, "\"2026-11-21T04:10:00.999999Z\"", "'2026-11-21 04:10:00'"); /* MySQL would round it */
	takes(ms, "\"2026-11-21T04:10:00.9999Z\"", "'2026-11-21 04:10:00.999'");
	takes(ms, "\"2026-11-21T04:10:00.5\"", "'2026-11-21 04:10:00.500'");
	takes(us, "\"2026-11-21T04:10:00.1234567899\"", "'2026-11-21 04:10:00.123456'");
	takes(us, "\"2016-12-31T23:59:60Z\"", "'2017-01-01 00:00:00.000000'");
	takes(c, "\"2026-11-21T24:00:00\"", "'2026-11-22 00:00:00'");
	takes(ms, "\"0001-01-01T00:00:00Z\"", "'0001-01-01 00:00:00.000'");
	takes(ms, "\"1969-12-31T23:59:59.9999Z\"", "'1969-12-31 23:59:59.999'");
	takes(us, "\"9999-12-31T23:59:59.999999Z\"", "'9999-12-31 23:59:59.999999'");
	takes(c, "\"2024-02-29\"", "'2024-02-29 00:00:00'");
}

/* From year 1 to 9999: libc's calendar, with an offset that leads to it. */
static void datetimes_are_libcs(void **state)
{
	struct column c = temporal(COL_DATETIME, 6);
	uint64_t seed = 42;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char json[64], want[64];
		time_t sec, local;
		struct tm tm;
		int offset;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		offset = (int)(seed >> 20) % (24 * 60);
		sec = (time_t)((seed >> 8) % 315537724800) - 62135510400; /* a day off either end */
		local = sec + offset * 60;
		gmtime_r(&sec, &tm);
		snprintf(want, sizeof(want), "'%04d-%02d-%02d %02d:%02d:%02d.%06d'", tm.tm_year + 1900,
		    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, i);
		gmtime_r(&local, &tm);
		snprintf(json, sizeof(json), "\"%04d-%02d-%02dT%02d:%02d:%02d.%06d%c%02d:%02d\"",
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    i, offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
		takes(c, json, want);
	}
}

static void what_is_no_date_and_time_is_none(void **state)
{
	static const char *const bad[] = { "\"\"", "\"2026-02-30T00:00:00\"", "\"2026-02-29\"",
		"\"2026-13-01\"", "\"0000-00-00\"", "\"0000-00-00 00:00:00\"", "\"2026-00-10\"",
		"\"0000-12-31\"", "\"0001-01-01T00:00:00+00:01\"", "\"9999-12-31T23:59:59-00:01\"",
		"\"2026-11-21T25:00:00\"", "\"2026-11-21T04:10:60\"", "\"2026-11-21T04:60:00\"",
		"\"2026-11-21T04:10:00 UTC\"", "\"tomorrow\"", "\"21.11.2026\"", "\"20261121\"",
		"\"202611210410\"", "\"20261121041000\"", "\"17636976001.5\"", "\"1e9\"", "-1",
		"1e99", "true", "{}", "[]" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		rejects(temporal(COL_DATETIME, 0), bad[i], "is no date and time");
}

static void epoch_times_are_told_apart_by_size(void **state)
{
	struct column c = temporal(COL_DATETIME, 6);

	(void)state;
	takes(c, "0", "'1970-01-01 00:00:00.000000'");
	takes(c, "1763697600", "'2025-11-21 04:00:00.000000'");
	takes(c, "1763697600.25", "'2025-11-21 04:00:00.250000'");
	takes(c, "1763697600123", "'2025-11-21 04:00:00.123000'");
	takes(c, "1763697600123456", "'2025-11-21 04:00:00.123456'");
	takes(c, "1763697600123456789", "'2025-11-21 04:00:00.123456'");
	takes(c, "1.763697600123456E9", "'2025-11-21 04:00:00.123456'");
	takes(c, "\"1763697600\"", "'2025-11-21 04:00:00.000000'");
	takes(c, "\"1763697600123\"", "'2025-11-21 04:00:00.123000'");
	takes(c, "\"1763697600123456\"", "'2025-11-21 04:00:00.123456'");
}

static void a_timestamp_ends_in_2038(void **state)
{
	static const char range[] = "is out of range: a TIMESTAMP is 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC";
	struct column c = temporal(COL_TIMESTAMP, 6);

	(void)state;
	takes(c, "\"1970-01-01T00:00:01Z\"", "'1970-01-01 00:00:01.000000'");
	takes(c, "\"2038-01-19T03:14:07.999999Z\"", "'2038-01-19 03:14:07.999999'");
	takes(c, "1763697600123", "'2025-11-21 04:00:00.123000'");
	takes(temporal(COL_TIMESTAMP, 0), "\"2038-01-19T03:14:07.999999Z\"", "'2038-01-19 03:14:07'");
	rejects(c, "\"2038-01-19T03:14:08Z\"", range);
	rejects(c, "\"1970-01-01T00:00:00.999999Z\"", range);
	rejects(c, "0", range);
	rejects(c, "\"0001-01-01\"", range);
	rejects(c, "\"9999-12-31\"", range);
	rejects(c, "\"2026-02-30\"", "is no date and time");
}

static void a_date_has_no_time_of_day(void **state)
{
	static const char time_of_day[] = "has a time of day (in UTC), for which a DATE has no place";
	struct column c = column(COL_DATE);

	(void)state;
	takes(c, "\"2026-11-21\"", "'2026-11-21'");
	takes(c, "\"0001-01-01\"", "'0001-01-01'");
	takes(c, "\"9999-12-31\"", "'9999-12-31'");
	takes(c, "\"2026-11-21T00:00:00Z\"", "'2026-11-21'");
	takes(c, "\"2026-11-21T02:00:00+02:00\"", "'2026-11-21'");
	takes(c, "1795219200", "'2026-11-21'");
	takes(c, "1795219200000", "'2026-11-21'");
	takes(c, "\"1795219200\"", "'2026-11-21'");
	rejects(c, "\"2026-11-21T04:10:00Z\"", time_of_day);
	rejects(c, "\"2026-11-21T00:00:00+02:00\"", time_of_day);
	rejects(c, "\"2026-11-21T00:00:00.000001Z\"", time_of_day);
	rejects(c, "1795219201", time_of_day);
	rejects(c, "\"2026-02-30\"", "is no date");
	rejects(c, "\"2025-02-29\"", "is no date");
	rejects(c, "\"0000-00-00\"", "is no date");
	rejects(c, "\"\"", "is no date");
	rejects(c, "true", "is no date");
}

static void a_small_number_for_a_date_counts_days(void **state)
{
	static const char time_of_day[] = "has a time of day (in UTC), for which a DATE has no place";
	struct column c = column(COL_DATE);

	(void)state;
	takes(c, "0", "'1970-01-01'");
	takes(c, "20778", "'2026-11-21'");
	takes(c, "-1", "'1969-12-31'");
	takes(c, "2932896", "'9999-12-31'");
	takes(c, "-719162", "'0001-01-01'");
	rejects(c, "2932897", time_of_day);
	rejects(c, "-719163", "is no date");
	rejects(c, "20778.5", time_of_day);
	rejects(c, "\"20778\"", "is no date");
}

static void a_time_may_be_long_and_negative(void **state)
{
	static const char *const bad[] = { "\"\"", "\"10\"", "\"1:00\"", "\"10:60\"",
		"\"10:00:60\"", "\"10:00:00.\"", "\"10:00.5\"", "\"10:00:00Z\"", "\"10:0\"",
		"\"10:00:0\"", "\"1000:00:00\"", "\"+10:00\"", "\"-\"", "\"10:00:00 \"",
		"\"10:00:\"", "101112", "3600000", "true" };
	static const char range[] = "is out of range: a TIME is -838:59:59 to 838:59:59";
	struct column c = temporal(COL_TIME, 0), us = temporal(COL_TIME, 6);

	(void)state;
	takes(c, "\"10:00\"", "'10:00:00'");
	takes(c, "\"23:59:59\"", "'23:59:59'");
	takes(c, "\"24:00:00\"", "'24:00:00'");
	takes(c, "\"838:59:59\"", "'838:59:59'");
	takes(c, "\"-838:59:59.9\"", "'-838:59:59'");
	takes(c, "\"-00:00:00.9\"", "'00:00:00'");
	takes(c, "\"012:00:00\"", "'12:00:00'");
	takes(us, "\"10:00:00.5\"", "'10:00:00.500000'");
	takes(us, "\"-10:00:00.1234567\"", "'-10:00:00.123456'");
	rejects(c, "\"839:00:00\"", range);
	rejects(c, "\"-839:00\"", range);
	rejects(us, "\"838:59:59.000001\"", range); /* MariaDB has a place for it, MySQL not */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		rejects(c, bad[i], "is no time: hh:mm:ss");
}

static void a_year_has_four_digits(void **state)
{
	struct column c = column(COL_YEAR);

	(void)state;
	takes(c, "2026", "2026");
	takes(c, "\"2026\"", "2026");
	takes(c, "1901", "1901");
	takes(c, "2155", "2155");
	takes(c, "2026.0", "2026");
	takes(c, "0", "0");
	rejects(c, "1900", "is out of range: a YEAR is 1901 to 2155");
	rejects(c, "2156", "is out of range: a YEAR is 1901 to 2155");
	rejects(c, "26", "is out of range: a YEAR is 1901 to 2155"); /* no guess */
	rejects(c, "-1", "is out of range: a YEAR is 1901 to 2155");
	rejects(c, "1e30", "is out of range: a YEAR is 1901 to 2155");
	rejects(c, "2026.5", "is no year");
	rejects(c, "true", "is no year");
	rejects(c, "\"26\"", "is no year of four digits");
	rejects(c, "\"0000\"", "is no year");
	rejects(c, "\"\"", "is no year of four digits");
}

/* ---- keys ---- */

static void keys_are_equal_when_the_values_are(void **state)
{
	struct column pad = text(COL_TEXT, 10), fixed = text(COL_CHAR, 10);

	(void)state;
	equal_keys(integer(64, false), "17", "1.7e1");
	equal_keys(integer(64, true), "true", "\"1\"");
	equal_keys(decimal(10, 2), "12.5", "\"12.50\"");
	equal_keys(decimal(10, 2), "-0", "0.001");
	equal_keys(decimal(10, 2), "1e3", "1000");
	equal_keys(column(COL_DOUBLE), "1", "1.0e0");
	equal_keys(column(COL_DOUBLE), "-0", "-1e-500");
	equal_keys(column(COL_FLOAT), "0.1", "0.10000000149011612");
	equal_keys(temporal(COL_DATETIME, 0), "\"2026-11-21T04:10:00.9\"",
	    "\"2026-11-21 06:10:00+02\"");
	equal_keys(temporal(COL_TIMESTAMP, 3), "1763697600123", "1763697600123456");
	equal_keys(column(COL_DATE), "20778", "\"2026-11-21\"");
	equal_keys(temporal(COL_TIME, 0), "\"10:00\"", "\"10:00:00.9\"");
	equal_keys(column(COL_UUID), "\"123e4567-E89B-12d3-a456-426614174000\"",
	    "\"123E4567-e89b-12d3-a456-426614174000\"");
	equal_keys(column(COL_INET6), "\"::1\"", "\"0:0:0:0:0:0:0:1\"");
	equal_keys(bytes(COL_BINARY, 4), "\"ab\"", "\"ab\\u0000\"");
	equal_keys(named(COL_SET, colours, 3), "\"red,green\"", "[\"green\",\"red\"]");
	pad.compare = COMPARE_PAD;
	equal_keys(pad, "\"ab\"", "\"ab  \"");
	fixed.compare = COMPARE_SERVER;
	equal_keys(fixed, "\"ab\"", "\"ab  \"");
	pad.compare = COMPARE_BYTES;
	assert_false(span_eq(key_of(&pad, "\"ab\""), key_of(&pad, "\"ab \"")));
}

static void keys_sort_as_the_server_sorts(void **state)
{
	struct column bits = column(COL_BIT);

	(void)state;
	bits.max = UINT64_MAX;
	ORDERED(integer(64, false), "-9223372036854775808", "-256", "-1", "0", "1", "255", "256",
	    "9223372036854775807");
	ORDERED(integer(64, true), "0", "1", "256", "9223372036854775808", "18446744073709551615");
	ORDERED(bits, "0", "255", "256", "18446744073709551615");
	ORDERED(decimal(5, 2), "-999.99", "-10", "-9.99", "-0.01", "0", "0.01", "9.99", "10", "999.99");
	ORDERED(column(COL_DOUBLE), "-1e300", "-1", "-1e-300", "0", "1e-300", "1", "1e300");
	ORDERED(temporal(COL_DATETIME, 6), "\"0001-01-01\"", "\"1969-12-31T23:59:59.999999\"", "0",
	    "1763697600", "\"9999-12-31\"");
	ORDERED(column(COL_DATE), "\"0001-01-01\"", "-1", "0", "1", "\"9999-12-31\"");
	ORDERED(temporal(COL_TIME, 0), "\"-838:59:59\"", "\"-00:00:01\"", "\"00:00\"", "\"838:59:59\"");
	ORDERED(column(COL_YEAR), "0", "1901", "2155");
	ORDERED(bytes(COL_BINARY, 2), "\"\"", "\"\\u0001\"", "\"a\"", "\"aa\"");
	ORDERED(named(COL_ENUM, colours, 3), "\"red\"", "\"green\"", "\"it's\"");
	ORDERED(column(COL_INET4), "\"9.0.0.0\"", "\"10.0.0.0\"");
	ORDERED(column(COL_INET6), "\"2001:db8::1\"", "\"2001:db8::2\"");
	ORDERED(column(COL_UUID), "\"123e4567-e89b-12d3-a456-426614174000\"",
	    "\"123e4567-e89b-12d3-a456-426614174001\"");
}

static void key_literal(struct column c, const char *json, const char *want)
{
	key_of(&c, json);
	assert_string_equal(buf_cstr(&sql) + 1, want);
}

static void a_double_of_a_key_has_400_digits(void **state)
{
	struct column c = column(COL_DOUBLE);
	struct value_in in;
	char digits[500];

	(void)state;
	memset(digits, '1', sizeof(digits));
	memcpy(digits, "0.", 2);
	in = json_of(digits, sizeof(digits));
	assert_int_equal(convert(&c, &in, false), VALUE_OK);
	assert_int_equal(convert(&c, &in, true), VALUE_REJECT);
	assert_string_equal(v.why.data, "has too many digits for a key");
	in = json_of(digits, 400);
	assert_int_equal(convert(&c, &in, true), VALUE_OK);
}

/* What a DELETE compares with must be what the server stored. */
static void literals_of_keys_are_what_is_stored(void **state)
{
	struct column c = bytes(COL_BINARY, 4);

	(void)state;
	key_literal(c, "\"ab\"", "x'61620000'");
	key_literal(c, "\"abcd\"", "'abcd'");
	key_literal(c, "{\"base64\":\"/w==\"}", "x'ff000000'");
	with_bytes(&c, "\xff", 1, true);
	assert_string_equal(buf_cstr(&sql), "(x'ff000000'");
	key_literal(bytes(COL_VARBINARY, 4), "\"ab\"", "'ab'");
	key_literal(text(COL_CHAR, 5), "\"ab  \"", "'ab'");
	key_literal(text(COL_TEXT, 5), "\"ab  \"", "'ab  '");
	key_literal(column(COL_FLOAT), "0.1", "1.0000000149011612e-01");
	key_literal(column(COL_DOUBLE), "-0", "0.0000000000000000e+00");
	key_literal(decimal(5, 2), "-1.005", "-1.01");
}

/* ---- lib/decimal ---- */

static void a_decimal_has_one_form(void **state)
{
	struct buf scratch = BUF_INIT;
	struct decimal d;
	uint64_t n;

	(void)state;
	assert_int_equal(decimal_parse(&d, SPAN("-00"), &scratch), -1);
	assert_int_equal(decimal_parse(&d, (struct span){ NULL, 0 }, &scratch), -1);
	assert_int_equal(decimal_parse(&d, SPAN("-0012e1"), &scratch), -1);
	assert_int_equal(decimal_parse(&d, SPAN("-0.00120e+5"), &scratch), 0);
	assert_true(d.negative && d.digits == 2 && memcmp(d.digit, "12", 2) == 0 && d.point == 3);
	assert_true(decimal_is_integer(&d));
	assert_int_equal(decimal_magnitude(&d, &n), 0);
	assert_int_equal(n, 120);
	assert_int_equal(decimal_parse(&d, SPAN("-0.0"), &scratch), 0);
	assert_true(!d.negative && d.digits == 0 && d.point == 0 && decimal_is_integer(&d));
	buf_release(&scratch);
}

static int release(void **state)
{
	(void)state;
	value_release(&v);
	buf_release(&sql);
	buf_release(&key);
	for (size_t i = 0; i < KEPT; i++)
		buf_release(&kept[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_needs_a_column_that_may_be_null),
		cmocka_unit_test(types_we_do_not_know_take_only_null),
		cmocka_unit_test(integers_have_the_limits_of_their_type),
		cmocka_unit_test(integers_may_be_written_as_any_number),
		cmocka_unit_test(what_is_no_number_is_none),
		cmocka_unit_test(decimals_are_exact),
		cmocka_unit_test(decimals_have_room_for_so_many_digits),
		cmocka_unit_test(decimals_round_half_away_from_zero_and_say_so),
		cmocka_unit_test(floating_point_is_the_nearest_value_within_bounds),
		cmocka_unit_test(bits_are_numbers),
		cmocka_unit_test(text_is_escaped),
		cmocka_unit_test(text_is_as_long_as_its_characters),
		cmocka_unit_test(text_takes_any_value_as_its_own_bytes),
		cmocka_unit_test(bytes_for_text_must_be_utf8),
		cmocka_unit_test(binary_takes_bytes_or_the_bytes_of_text),
		cmocka_unit_test(json_is_its_own_bytes),
		cmocka_unit_test(an_enum_is_given_by_its_name),
		cmocka_unit_test(a_set_is_given_by_its_names),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(a_datetime_is_utc_with_as_many_digits_as_the_column_has),
		cmocka_unit_test(datetimes_are_libcs),
		cmocka_unit_test(what_is_no_date_and_time_is_none),
		cmocka_unit_test(epoch_times_are_told_apart_by_size),
		cmocka_unit_test(a_timestamp_ends_in_2038),
		cmocka_unit_test(a_date_has_no_time_of_day),
		cmocka_unit_test(a_small_number_for_a_date_counts_days),
		cmocka_unit_test(a_time_may_be_long_and_negative),
		cmocka_unit_test(a_year_has_four_digits),
		cmocka_unit_test(keys_are_equal_when_the_values_are),
		cmocka_unit_test(keys_sort_as_the_server_sorts),
		cmocka_unit_test(a_double_of_a_key_has_400_digits),
		cmocka_unit_test(literals_of_keys_are_what_is_stored),
		cmocka_unit_test(a_decimal_has_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
