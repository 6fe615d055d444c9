/*
 * The byte loops of the scanner and the escaper, which take many bytes at a time: every byte at
 * every place of strings of every length around a block, against definitions written a byte at a
 * time.
 */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place.h"

#define LONGEST 70 /* more than four blocks of 16 and a rest */

typedef unsigned char byte;

static bool valid(const char *p, size_t n)
{
	bool verdict = json_valid(place(PLACE_AT_END, p, n), n, NULL);

	assert_int_equal(json_valid(place(PLACE_AT_START, p, n), n, NULL), verdict);
	return verdict;
}

/* `length` times x between quotes, with `what` instead at `at`. */
static size_t quoted(char *to, size_t length, size_t at, const char *what, size_t n)
{
	memset(to, 'x', length + 2);
	to[0] = to[length + 1] = '"';
	memcpy(to + 1 + at, what, n);
	return length + 2;
}

static void every_byte_at_every_place_of_a_string(void **state)
{
	char text[LONGEST + 2];

	for (size_t length = 1; length <= LONGEST; length++) {
		for (size_t at = 0; at < length; at++) {
			for (int c = 0; c < 256; c++) {
				size_t n = quoted(text, length, at, (char[]){ (char)c }, 1);
				bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

				if (valid(text, n) != plain)
					fail_msg("byte %02x at %zu of %zu", (unsigned)c, at, length);
			}
		}
	}
}

static const struct {
	struct span bytes;
	bool valid;
} sequences[] = {
	{ SPAN("\\n"), true },
	{ SPAN("\\\""), true },
	{ SPAN("\\\\"), true },
	{ SPAN("\\u00e9"), true },
	{ SPAN("\\ud83d\\ude00"), true },
	{ SPAN("\xc3\xa9"), true },
	{ SPAN("\xe2\x82\xac"), true },
	{ SPAN("\xf0\x9f\x98\x80"), true },
	{ SPAN("\xc3\xa9\xc3\xa9"), true },
	{ SPAN("\xc3\xa9\\n\xc3\xa9"), true },
	{ SPAN("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"), true },
	{ SPAN("\\ud83dx"), false },
	{ SPAN("\\ud83d\\ud83d"), false },
	{ SPAN("\\q"), false },
	{ SPAN("\xc3\xa9\xc3"), false },
	{ SPAN("\xe2\x82"), false },
	{ SPAN("\xf0\x9f\x98"), false },
	{ SPAN("\xed\xa0\x80"), false },
	{ SPAN("\xc3\xa9\n"), false },
	{ SPAN("\\u00e"), false },
};

static void every_sequence_at_every_place_of_a_string(void **state)
{
	char text[LONGEST + 2], object[LONGEST + 20];

	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		struct span s = sequences[i].bytes;

		for (size_t length = s.n; length <= LONGEST; length++) {
			for (size_t at = 0; at + s.n <= length; at++) {
				size_t n = quoted(text, length, at, s.p, s.n);
				size_t m = (size_t)snprintf(object, sizeof(object), "{%.*s:1}",
				    (int)n, text);

				if (valid(text, n) != sequences[i].valid ||
				    valid(object, m) != sequences[i].valid)
					fail_msg("sequence %zu at %zu of %zu", i, at, length);
			}
		}
	}
}

static void every_cut_through_a_string_is_rejected(void **state)
{
	char text[LONGEST + 2];

	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		size_t length = quoted(text, LONGEST, LONGEST / 2, sequences[i].bytes.p,
		    sequences[i].bytes.n);

		for (size_t n = 0; n < length; n++)
			assert_false(valid(text, n));
	}
}

static void escapes_are_seen_at_every_place(void **state)
{
	char text[LONGEST + 2];

	for (size_t length = 2; length <= LONGEST; length++) {
		for (size_t at = 0; at + 2 <= length; at++) {
			size_t n = quoted(text, length, at, "\\n", 2);
			struct json_value v;
			struct json j;

			json_init(&j, place(PLACE_AT_END, text, n), n);
			assert_int_equal(json_value(&j, &v), 0);
			assert_true(v.escaped);
			n = quoted(text, length, at, "\xc3\xa9", 2);
			json_init(&j, place(PLACE_AT_END, text, n), n);
			assert_int_equal(json_value(&j, &v), 0);
			assert_false(v.escaped);
		}
	}
}

static void numbers_and_blanks_of_every_length(void **state)
{
	char text[3 * LONGEST];

	for (size_t length = 1; length <= LONGEST; length++) {
		memset(text, '7', length);
		assert_true(valid(text, length));
		for (size_t at = 0; at < length; at++) {
			text[at] = '.';
			assert_int_equal(valid(text, length), at > 0 && at + 1 < length);
			text[at] = 'e';
			assert_int_equal(valid(text, length), at > 0 && at + 1 < length);
			text[at] = ':';
			assert_false(valid(text, length));
			text[at] = '/';
			assert_false(valid(text, length));
			text[at] = '7';
		}
		memset(text, ' ', 2 * length + 1);
		text[length] = '0';
		assert_true(valid(text, 2 * length + 1));
		assert_false(valid(text, length));
		text[length - 1] = '\v';
		assert_false(valid(text, 2 * length + 1));
	}
}

/* ---- UTF-8 by its definition: decode, then judge the code point ---- */

static bool naive_utf8(const char *s, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const byte *p = (const byte *)s, *end = p + n;

	while (p < end) {
		size_t length = *p < 0x80 ? 1
		    : *p >> 5 == 6        ? 2
		    : *p >> 4 == 14       ? 3
		    : *p >> 3 == 30       ? 4
					  : 0;
		uint32_t c = *p & (0xffU >> (length + 1));

		if (length == 0 || (size_t)(end - p) < length)
			return false;
		for (size_t i = 1; i < length; i++) {
			if (p[i] >> 6 != 2)
				return false;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			if (length > 1)
				return false;
		p += length;
	}
	return true;
}

static void check_utf8(const char *p, size_t n)
{
	bool expected = naive_utf8(p, n);

	if (utf8_valid(p, n) != expected)
		fail_msg("%02x %02x %02x %02x", (byte)p[0], (byte)p[1], (byte)p[2], (byte)p[3]);
}

static void utf8_of_one_to_three_bytes_exhaustively(void **state)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			char text[4] = { (char)a, (char)b };

			check_utf8(text, 1);
			check_utf8(text, 2);
			for (unsigned c = 0; a >= 0xc0 && c < 256; c++) {
				text[2] = (char)c;
				check_utf8(text, 3);
			}
		}
	}
}

static void utf8_of_four_bytes(void **state)
{
	static const byte edges[] = { 0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };

	for (unsigned a = 0xec; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			for (size_t c = 0; c < sizeof(edges); c++)
				for (size_t d = 0; d < sizeof(edges); d++)
					check_utf8((char[]){ (char)a, (char)b, (char)edges[c],
						       (char)edges[d] },
					    4);
}

static void every_code_point_goes_through_escape_and_back(void **state)
{
	struct buf text = BUF_INIT, quoted_text = BUF_INIT;

	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		char escaped[16];
		struct span s = { escaped, 0 };

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		if (c < 0x10000)
			s.n = (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		else
			s.n = (size_t)snprintf(escaped, sizeof(escaped), "\\u%04X\\u%04X",
			    0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
		buf_clear(&text);
		json_unescape(&text, s);
		assert_true(naive_utf8(text.data, text.len));
		assert_int_equal(text.len, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
		buf_clear(&quoted_text);
		json_escape(&quoted_text, text.data, text.len);
		assert_int_equal(json_escaped_size(text.data, text.len), quoted_text.len);
		assert_true(json_valid(quoted_text.data, quoted_text.len, NULL));
		if (c >= 0x20 && c != '"' && c != '\\')
			assert_int_equal(quoted_text.len, text.len + 2);
	}
	buf_release(&text);
	buf_release(&quoted_text);
}

/* ---- the escaper by its definition ---- */

static void naive_escape(struct buf *to, const char *p, size_t n)
{
	buf_add_char(to, '"');
	for (size_t i = 0; i < n; i++) {
		byte c = (byte)p[i];

		if (c == '"' || c == '\\')
			buf_addf(to, "\\%c", c);
		else if (c == '\n')
			buf_add_str(to, "\\n");
		else if (c == '\r')
			buf_add_str(to, "\\r");
		else if (c == '\t')
			buf_add_str(to, "\\t");
		else if (c == '\b')
			buf_add_str(to, "\\b");
		else if (c == '\f')
			buf_add_str(to, "\\f");
		else if (c < 0x20)
			buf_addf(to, "\\u%04x", c);
		else
			buf_add_char(to, (char)c);
	}
	buf_add_char(to, '"');
}

static void escape_of_every_byte_at_every_place(void **state)
{
	struct buf expected = BUF_INIT, got = BUF_INIT, back = BUF_INIT;
	char text[LONGEST];

	for (size_t length = 1; length <= LONGEST; length++) {
		for (size_t at = 0; at < length; at++) {
			for (int c = 0; c < 128; c++) {
				enum place where = c % 2 ? PLACE_AT_END : PLACE_AT_START;
				const char *p;

				memset(text, 'x', length);
				text[at] = (char)c;
				p = place(where, text, length);
				buf_clear(&expected);
				buf_clear(&got);
				buf_clear(&back);
				naive_escape(&expected, p, length);
				json_escape(&got, p, length);
				assert_true(span_eq(buf_span(&got), buf_span(&expected)));
				assert_int_equal(json_escaped_size(p, length), expected.len);
				json_unescape(&back, (struct span){ got.data + 1, got.len - 2 });
				assert_true(span_eq(buf_span(&back), (struct span){ text, length }));
			}
		}
	}
	buf_release(&expected);
	buf_release(&got);
	buf_release(&back);
}

static void escaped_size_tells_invalid_utf8_at_every_place(void **state)
{
	static const struct span bad[] = { SPAN("\x80"), SPAN("\xc3"), SPAN("\xed\xa0\x80"),
		SPAN("\xf0\x9f\x98"), SPAN("\xff") };
	static const struct span good[] = { SPAN("\xc3\xa9"), SPAN("\xe2\x82\xac"),
		SPAN("\xf0\x9f\x98\x80") };
	char text[LONGEST];

	for (size_t length = 4; length <= LONGEST; length++) {
		for (size_t at = 0; at + 4 <= length; at++) {
			for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
				memset(text, 'x', length);
				memcpy(text + at, bad[i].p, bad[i].n);
				assert_true(json_escaped_size(place(PLACE_AT_END, text, length),
						length) == SIZE_MAX);
				assert_false(utf8_valid(place(PLACE_AT_START, text, length), length));
			}
			for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
				memset(text, 'x', length);
				memcpy(text + at, good[i].p, good[i].n);
				assert_int_equal(json_escaped_size(place(PLACE_AT_END, text, length),
						     length),
				    length + 2);
				assert_true(utf8_valid(place(PLACE_AT_START, text, length), length));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_byte_at_every_place_of_a_string),
		cmocka_unit_test(every_sequence_at_every_place_of_a_string),
		cmocka_unit_test(every_cut_through_a_string_is_rejected),
		cmocka_unit_test(escapes_are_seen_at_every_place),
		cmocka_unit_test(numbers_and_blanks_of_every_length),
		cmocka_unit_test(utf8_of_one_to_three_bytes_exhaustively),
		cmocka_unit_test(utf8_of_four_bytes),
		cmocka_unit_test(every_code_point_goes_through_escape_and_back),
		cmocka_unit_test(escape_of_every_byte_at_every_place),
		cmocka_unit_test(escaped_size_tells_invalid_utf8_at_every_place) };

	return cmocka_run_group_tests_name("json bytes", tests, NULL, NULL);
}
