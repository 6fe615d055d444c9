/* base64: RFC 4648 section 10's vectors, and nothing but the canonical form. */
#include "base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	struct span bytes, text;
} vectors[] = {
	{ SPAN(""), SPAN("") },
	{ SPAN("f"), SPAN("Zg==") },
	{ SPAN("fo"), SPAN("Zm8=") },
	{ SPAN("foo"), SPAN("Zm9v") },
	{ SPAN("foob"), SPAN("Zm9vYg==") },
	{ SPAN("fooba"), SPAN("Zm9vYmE=") },
	{ SPAN("foobar"), SPAN("Zm9vYmFy") },
	{ SPAN("\0"), SPAN("AA==") },
	{ SPAN("\0\0\0"), SPAN("AAAA") },
	{ SPAN("\xff"), SPAN("/w==") },
	{ SPAN("\xff\xff\xff"), SPAN("////") },
	{ SPAN("\xfb\xef\xbe"), SPAN("++++") },
	{ SPAN("\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71\xd7\x9f"
	       "\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"),
	    SPAN("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") },
};

static bool decodes(const char *p, size_t n)
{
	struct buf b = BUF_INIT;
	bool ok;

	buf_add_str(&b, "before");
	ok = base64_decode(&b, place(PLACE_AT_END, p, n), n) == 0;
	if (!ok && !span_is(buf_span(&b), "before"))
		fail_msg("a failed decode of %.*s changed the buffer", (int)n, p);
	assert_int_equal(base64_decode(&b, place(PLACE_MALLOC, p, n), n) == 0, ok);
	buf_release(&b);
	return ok;
}

static void vectors_both_ways(void **state)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < COUNT(vectors); i++) {
		struct span s = vectors[i].bytes, t = vectors[i].text;

		buf_clear(&b);
		base64_encode(&b, place(PLACE_AT_END, s.p, s.n), s.n);
		assert_true(span_eq(buf_span(&b), t));
		assert_int_equal(BASE64_SIZE(s.n), t.n);
		buf_clear(&b);
		assert_int_equal(base64_decode(&b, place(PLACE_AT_END, t.p, t.n), t.n), 0);
		assert_true(span_eq(buf_span(&b), s));
	}
	buf_release(&b);
}

static void both_append(void **state)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "a:");
	base64_encode(&b, "foo", 3);
	base64_encode(&b, "f", 1);
	assert_true(span_is(buf_span(&b), "a:Zm9vZg=="));
	assert_int_equal(base64_decode(&b, "YmFy", 4), 0);
	assert_true(span_is(buf_span(&b), "a:Zm9vZg==bar"));
	buf_release(&b);
}

static void all_lengths_and_bytes_round_trip(void **state)
{
	struct buf text = BUF_INIT, back = BUF_INIT;
	char bytes[300];
	unsigned r = 1;

	for (size_t n = 0; n <= sizeof(bytes); n++) {
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)((r = r * 1664525 + 1013904223) >> 24);
		buf_clear(&text);
		buf_clear(&back);
		base64_encode(&text, place(PLACE_AT_END, bytes, n), n);
		assert_int_equal(text.len, BASE64_SIZE(n));
		assert_int_equal(base64_decode(&back, place(PLACE_AT_END, text.data, text.len),
				     text.len),
		    0);
		assert_true(span_eq(buf_span(&back), (struct span){ bytes, n }));
	}
	buf_release(&text);
	buf_release(&back);
}

static void only_the_alphabet_at_each_place(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t at = 0; at < 8; at++) {
		for (int c = 0; c < 256; c++) {
			char text[] = "Zm9vYmFy";
			bool fits = c != 0 && strchr(alphabet, c);

			text[at] = (char)c;
			if (at == 7 && c == '=') /* "YmF=": left-over bits 01 */
				fits = false;
			if (decodes(text, 8) != fits)
				fail_msg("byte %02x at %zu", (unsigned)c, at);
		}
	}
}

static void only_whole_quartets_with_padding_at_the_end(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zm8", "Zm9vY", "Zm9vYg",
		"Zm9vYg=", "Zg===", "Zg==Zg==", "Zm8=Zm8=", "====", "=", "==", "Z===", "=AAA",
		"A=AA", "AA=A", "A=A=", "=A==", "AAAA=", "AAAA====", "AAAA=AAA", "Zm9v\n", "Zm 9",
		"Zg==\n", "Zm9-", "Zm9_" };

	for (size_t i = 0; i < COUNT(bad); i++)
		if (decodes(bad[i], strlen(bad[i])))
			fail_msg("%s", bad[i]);
	for (size_t n = 0; n <= 8; n++)
		assert_int_equal(decodes("Zm9vYmFy", n), n % 4 == 0);
}

static void left_over_bits_must_be_zero(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(decodes((char[]){ 'A', alphabet[i], '=', '=' }, 4), i % 16 == 0);
		assert_int_equal(decodes((char[]){ 'A', 'A', alphabet[i], '=' }, 4), i % 4 == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(vectors_both_ways),
		cmocka_unit_test(both_append), cmocka_unit_test(all_lengths_and_bytes_round_trip),
		cmocka_unit_test(only_the_alphabet_at_each_place),
		cmocka_unit_test(only_whole_quartets_with_padding_at_the_end),
		cmocka_unit_test(left_over_bits_must_be_zero) };

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
