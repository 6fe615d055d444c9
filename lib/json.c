/*
 * The scanner never builds anything: one loop walks over a value, keeping only which kind each open
 * container is. Its speed comes from strings: 16 bytes at a time are tested for "nothing special
 * here", so that most names and values cost one test, and UTF-8 is looked at only where there is any.
 *
 * No byte at or behind `end` is ever read: at() gives NUL there, which fits nowhere in JSON, so the
 * end of the text needs no case of its own.
 */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define likely(x)     __builtin_expect(!!(x), 1)
#define always_inline static inline __attribute__((always_inline))

typedef unsigned char byte;

/* ---- runs of bytes that need no attention ---- */

/* Printable ASCII but for quote and backslash. */
static inline bool is_plain(byte c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* What an escaper copies: plain bytes and all of UTF-8. */
static inline bool is_literal(byte c)
{
	return is_plain(c) || c >= 0x80;
}

static inline bool is_digit(byte c)
{
	return (byte)(c - '0') < 10;
}

#if defined(__SSE2__) && !defined(JSON_PORTABLE)

#define BLOCK 16

static inline __m128i load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* A bit for each of the 16 bytes that is quote or backslash, or set in `other`. */
static inline unsigned special_bits(__m128i v, __m128i other)
{
	__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
	__m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(other, _mm_or_si128(quote, backslash)));
}

/* The compare is signed: bytes from 0x80 on are below 0x20 too. */
static inline unsigned not_plain(const char *p)
{
	__m128i v = load(p);

	return special_bits(v, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
}

static inline unsigned not_literal(const char *p)
{
	__m128i v = load(p);

	return special_bits(v, _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v));
}

/*
 * The first byte from p on that is not plain, or end. Less than a block before the end, the last
 * block of the text is taken and the bits of what lies before p are dropped: 7 % faster on short lines.
 */
static inline const char *plain_run(const char *start, const char *p, const char *end)
{
	for (; end - p >= BLOCK; p += BLOCK) {
		unsigned bits = not_plain(p);

		if (likely(bits))
			return p + __builtin_ctz(bits);
	}
	if (end - start >= BLOCK) {
		unsigned bits = not_plain(end - BLOCK) >> (BLOCK - (end - p));

		return bits ? p + __builtin_ctz(bits) : end;
	}
	while (p < end && is_plain((byte)*p))
		p++;
	return p;
}

static inline const char *literal_run(const char *p, const char *end)
{
	for (; end - p >= BLOCK; p += BLOCK) {
		unsigned bits = not_literal(p);

		if (bits)
			return p + __builtin_ctz(bits);
	}
	while (p < end && is_literal((byte)*p))
		p++;
	return p;
}

#else /* eight bytes in a word, which tells "none of them is special" and no more */

#define BLOCK   8
#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

/* Nonzero when a byte of w is below n (n <= 128). */
static inline uint64_t has_below(uint64_t w, byte n)
{
	return (w - EACH(n)) & ~w & EACH(0x80);
}

static inline uint64_t load(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static inline uint64_t not_literal(uint64_t w)
{
	return has_below(w, 0x20) | has_below(w ^ EACH('"'), 1) | has_below(w ^ EACH('\\'), 1);
}

static inline uint64_t not_plain(uint64_t w)
{
	return not_literal(w) | (w & EACH(0x80));
}

static inline const char *plain_run(const char *start, const char *p, const char *end)
{
	(void)start;
	while (end - p >= BLOCK && !not_plain(load(p)))
		p += BLOCK;
	while (p < end && is_plain((byte)*p))
		p++;
	return p;
}

static inline const char *literal_run(const char *p, const char *end)
{
	while (end - p >= BLOCK && !not_literal(load(p)))
		p += BLOCK;
	while (p < end && is_literal((byte)*p))
		p++;
	return p;
}

#endif

/* ---- UTF-8 ---- */

/* The length of the well-formed sequence of two to four bytes at p; 0: there is none. */
static inline size_t utf8_sequence(const char *p, const char *end)
{
	byte c = (byte)*p;
	byte low = 0x80, high = 0xbf; /* of the second byte: the Unicode standard's table 3-7 */
	size_t n;

	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if ((size_t)(end - p) < n)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if ((byte)p[1] < low || (byte)p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (((byte)p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

size_t utf8_length(const char *p, size_t n)
{
	size_t length = 0;

	for (size_t i = 0; i < n; i++)
		length += ((byte)p[i] & 0xc0) != 0x80; /* those that continue none */
	return length;
}

bool utf8_valid(const char *p, size_t n)
{
	return json_escaped_size(p, n) != SIZE_MAX;
}

/* ---- scanning ---- */

/* Notes that the byte at p is wrong. NULL, for the functions that return the next byte. */
static const char *wrong(struct json *j, const char *p, const char *why)
{
	j->p = p;
	j->why = p < j->end ? why : "the text ends too early";
	return NULL;
}

static inline byte at(const struct json *j, const char *p)
{
	return likely(p < j->end) ? (byte)*p : 0;
}

static const char *skip_space(struct json *j, const char *p)
{
	for (; p < j->end; p++) {
		if (*p == '\n' || *p == '\r')
			j->breaks = true;
		else if (*p != ' ' && *p != '\t')
			break;
	}
	return p;
}

static inline const char *space(struct json *j, const char *p)
{
	return likely(at(j, p) > ' ') ? p : skip_space(j, p);
}

static int hex_digit(byte c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code unit of the four hex digits at p; -1: there are none. */
static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit((byte)p[i]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static inline bool is_surrogate(int unit)
{
	return (unit & 0xf800) == 0xd800;
}

/* Passes the escape sequence whose backslash is at p. */
static const char *escape(struct json *j, const char *p)
{
	int unit;

	switch (at(j, p + 1)) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 2;
	case 'u':
		break;
	default:
		return wrong(j, p + 1, "no such escape sequence");
	}
	unit = hex4(p + 2, j->end);
	if (unit < 0)
		return wrong(j, p, "\\u without four hex digits");
	if (!is_surrogate(unit))
		return p + 6;
	if (unit >= 0xdc00 || at(j, p + 6) != '\\' || at(j, p + 7) != 'u')
		return wrong(j, p, "unpaired surrogate");
	unit = hex4(p + 8, j->end);
	if (unit < 0xdc00 || unit > 0xdfff)
		return wrong(j, p, "unpaired surrogate");
	return p + 12;
}

/* Passes what is not plain at p, but for the closing quote. */
static const char *string_special(struct json *j, const char *p, bool *escaped)
{
	byte c = at(j, p);

	if (c == '\\') {
		*escaped = true;
		return escape(j, p);
	}
	if (c < 0x80)
		return wrong(j, p, "control character in a string");
	do {
		size_t n = utf8_sequence(p, j->end);

		if (n == 0)
			return wrong(j, p, "invalid UTF-8");
		p += n;
	} while (at(j, p) >= 0x80);
	return p;
}

/* Passes a string; p stands behind its opening quote. */
static inline const char *string(struct json *j, const char *p, bool *escaped)
{
	for (;;) {
		p = plain_run(j->start, p, j->end);
		if (likely(at(j, p) == '"'))
			return p + 1;
		p = string_special(j, p, escaped);
		if (!p)
			return NULL;
	}
}

/* Passes one or more digits. */
static inline const char *digits(struct json *j, const char *p)
{
	if (!is_digit(at(j, p)))
		return wrong(j, p, "expected a digit");
	do
		p++;
	while (is_digit(at(j, p)));
	return p;
}

static inline const char *number(struct json *j, const char *p)
{
	if (*p == '-')
		p++;
	if (at(j, p) == '0')
		p++;
	else if (!(p = digits(j, p)))
		return NULL;
	if (at(j, p) == '.' && !(p = digits(j, p + 1)))
		return NULL;
	if ((at(j, p) | 0x20) == 'e') {
		p++;
		if (at(j, p) == '+' || at(j, p) == '-')
			p++;
		p = digits(j, p);
	}
	return p;
}

static inline const char *literal(struct json *j, const char *p, const char *word, size_t n)
{
	if ((size_t)(j->end - p) < n || memcmp(p, word, n) != 0)
		return wrong(j, p, "expected a value");
	return p + n;
}

/* Passes a value that is no container. */
static inline const char *scalar(struct json *j, const char *p, bool *escaped)
{
	byte c = at(j, p);

	switch (c) {
	case '"':
		return string(j, p + 1, escaped);
	case 't':
		return literal(j, p, "true", 4);
	case 'f':
		return literal(j, p, "false", 5);
	case 'n':
		return literal(j, p, "null", 4);
	default:
		return c == '-' || is_digit(c) ? number(j, p) : wrong(j, p, "expected a value");
	}
}

/* Passes a name, its colon and the white space around them: p then stands before the value. */
always_inline const char *name(struct json *j, const char *p, struct span *key, bool *escaped)
{
	if (at(j, p) != '"')
		return wrong(j, p, "expected a member name in quotes");
	key->p = p + 1;
	p = string(j, p + 1, escaped);
	if (!p)
		return NULL;
	key->n = (size_t)(p - 1 - key->p);
	p = space(j, p);
	if (at(j, p) != ':')
		return wrong(j, p, "expected a colon");
	return space(j, p + 1);
}

/* Passes the value at p, whatever is in it. */
static const char *skip(struct json *j, const char *p, bool *escaped)
{
	char closers[JSON_DEPTH]; /* what ends each container opened here */
	int depth = 0, most = JSON_DEPTH - j->depth;
	char closer = 0;
	struct span key;
	bool ignored;

	for (;;) {
		byte c = at(j, p);

		if (c == '{' || c == '[') {
			if (depth == most)
				return wrong(j, p, "nested too deep");
			closer = c == '{' ? '}' : ']';
			closers[depth++] = closer;
			p = space(j, p + 1);
			if (at(j, p) != (byte)closer) {
				if (closer == '}' && !(p = name(j, p, &key, &ignored)))
					return NULL;
				continue;
			}
		} else if (!(p = scalar(j, p, escaped))) {
			return NULL;
		}
		for (; depth > 0; depth--, p++) {
			closer = closers[depth - 1];
			p = space(j, p);
			if (at(j, p) != (byte)closer)
				break;
		}
		if (depth == 0)
			return p;
		if (at(j, p) != ',')
			return wrong(j, p, closer == '}' ? "expected , or }" : "expected , or ]");
		p = space(j, p + 1);
		if (closer == '}' && !(p = name(j, p, &key, &ignored)))
			return NULL;
	}
}

void json_init(struct json *j, const char *p, size_t n)
{
	/* p may be NULL when n is 0, and C lets nobody add to that */
	*j = (struct json){ .start = p, .p = p, .end = n > 0 ? p + n : p };
}

static enum json_type type_of(byte c)
{
	switch (c) {
	case 'n':
		return JSON_NULL;
	case 'f':
		return JSON_FALSE;
	case 't':
		return JSON_TRUE;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return c == '-' || is_digit(c) ? JSON_NUMBER : JSON_NONE;
	}
}

enum json_type json_peek(struct json *j)
{
	if (j->why)
		return JSON_NONE;
	j->p = space(j, j->p);
	return type_of(at(j, j->p));
}

/* Most values are scalars, and need no room for what is open in them. */
int json_value(struct json *j, struct json_value *v)
{
	const char *p = NULL;

	v->type = json_peek(j);
	v->escaped = false;
	if (likely(!j->why))
		p = v->type == JSON_OBJECT || v->type == JSON_ARRAY ? skip(j, j->p, &v->escaped)
								    : scalar(j, j->p, &v->escaped);
	if (!p) {
		v->type = JSON_NONE;
		return -1;
	}
	v->raw = (struct span){ j->p, (size_t)(p - j->p) };
	j->p = p;
	return 0;
}

int json_enter(struct json *j)
{
	enum json_type type = json_peek(j);

	if (j->why)
		return -1;
	if (type != JSON_OBJECT && type != JSON_ARRAY) {
		wrong(j, j->p, "expected an object or an array");
		return -1;
	}
	if (j->depth == JSON_DEPTH) {
		wrong(j, j->p, "nested too deep");
		return -1;
	}
	j->depth++;
	j->p++;
	j->first = true;
	return 0;
}

/*
 * To the next member or element of the container that `closer` ends: 1 with p before it, 0 after
 * the closer, -1.
 */
static inline int next(struct json *j, char closer, const char *why)
{
	bool first = j->first;

	if (j->why)
		return -1;
	j->p = space(j, j->p);
	j->first = false;
	if (at(j, j->p) == (byte)closer) {
		j->p++;
		j->depth--;
		return 0;
	}
	if (first)
		return 1;
	if (at(j, j->p) != ',') {
		wrong(j, j->p, why);
		return -1;
	}
	j->p = space(j, j->p + 1);
	return 1;
}

int json_member(struct json *j, struct span *key, bool *escaped)
{
	int more = next(j, '}', "expected , or }");
	bool with_escapes = false;
	const char *p;

	if (more <= 0)
		return more;
	p = name(j, j->p, key, &with_escapes);
	if (!p)
		return -1;
	if (escaped)
		*escaped = with_escapes;
	j->p = p;
	return 1;
}

int json_element(struct json *j)
{
	return next(j, ']', "expected , or ]");
}

int json_finish(struct json *j)
{
	if (j->why)
		return -1;
	j->p = space(j, j->p);
	if (j->p == j->end && j->depth == 0)
		return 0;
	wrong(j, j->p, "more text after the value");
	return -1;
}

bool json_valid(const char *p, size_t n, bool *breaks)
{
	struct json j;
	struct json_value v;
	bool valid;

	json_init(&j, p, n);
	valid = json_value(&j, &v) == 0 && json_finish(&j) == 0;
	if (breaks)
		*breaks = j.breaks;
	return valid;
}

/* ---- decoding ---- */

static size_t utf8_put(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Decodes the (validated) escape sequence at *p and passes it; at most 4 bytes at `to`. */
static size_t unescape_one(const char **p, const char *end, char *to)
{
	static const char letters[] = "bfnrt", codes[] = "\b\f\n\r\t";
	const char *s = *p, *letter;
	unsigned unit;

	*p += 2;
	if (s[1] != 'u') {
		letter = strchr(letters, s[1]);
		*to = letter ? codes[letter - letters] : s[1];
		return 1;
	}
	unit = (unsigned)hex4(s + 2, end);
	*p += 4;
	if (is_surrogate((int)unit)) {
		unit = 0x10000 + ((unit & 0x3ff) << 10 | ((unsigned)hex4(s + 8, end) & 0x3ff));
		*p += 6;
	}
	return utf8_put(to, unit);
}

void json_unescape(struct buf *to, struct span s)
{
	const char *p = s.p, *end;

	if (s.n == 0)
		return;
	end = p + s.n;
	buf_reserve(to, s.n); /* no escape is shorter than what it stands for */
	while (p < end) {
		const char *backslash = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((backslash ? backslash : end) - p);

		buf_add(to, p, n);
		p += n;
		if (backslash)
			to->len += unescape_one(&p, end, to->data + to->len);
	}
}

struct span json_text(const struct json_value *v, struct buf *scratch)
{
	struct span inner = { v->raw.p + 1, v->raw.n - 2 };

	if (!v->escaped)
		return inner;
	buf_clear(scratch);
	json_unescape(scratch, inner);
	return buf_span(scratch);
}

bool json_escaped_key_is(struct span key, const char *name)
{
	const char *p = key.p, *end = key.p + key.n;
	size_t left = strlen(name);

	while (p < end) {
		char c[4] = { *p };
		size_t n = *p == '\\' ? unescape_one(&p, end, c) : (p++, 1);

		if (n > left || memcmp(c, name, n) != 0)
			return false;
		name += n;
		left -= n;
	}
	return left == 0;
}

int json_int64(struct span raw, int64_t *out)
{
	const char *p = raw.p;
	bool negative = raw.n > 0 && *p == '-';
	size_t n = raw.n - negative;
	uint64_t v = 0;

	p += negative;
	if (n == 0 || n > 19 || (*p == '0' && n > 1)) /* 19 digits fit in 64 bits without a sign */
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit((byte)p[i]))
			return -1;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	if (v > (uint64_t)INT64_MAX + negative)
		return -1;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

/* ---- escaping ---- */

/* What follows the backslash for a quote, a backslash or a control character. */
static char escape_letter(byte c)
{
	switch (c) {
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return c < 0x20 ? 'u' : (char)c;
	}
}

void json_escape(struct buf *to, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const char *end = n > 0 ? p + n : p;

	buf_reserve(to, n + 2);
	buf_add_char(to, '"');
	while (p < end) {
		const char *next = literal_run(p, end);
		char letter;

		buf_add(to, p, (size_t)(next - p));
		p = next;
		if (p == end)
			break;
		letter = escape_letter((byte)*p);
		buf_add(to, (char[]){ '\\', letter }, 2);
		if (letter == 'u')
			buf_add(to, (char[]){ '0', '0', hex[*p >> 4], hex[*p & 15] }, 4);
		p++;
	}
	buf_add_char(to, '"');
}

size_t json_escaped_size(const char *p, size_t n)
{
	const char *start = p, *end = n > 0 ? p + n : p;
	size_t size = n + 2;

	for (;;) {
		p = plain_run(start, p, end);
		if (p == end)
			return size;
		if ((byte)*p < 0x80) {
			size += escape_letter((byte)*p) == 'u' ? 5 : 1;
			p++;
			continue;
		}
		while (p < end && (byte)*p >= 0x80) {
			size_t length = utf8_sequence(p, end);

			if (length == 0)
				return SIZE_MAX;
			p += length;
		}
	}
}

#define DOUBLE_MAX 400 /* bytes of a number; ours have 24 at most */

/* A JSON number is one of strtod(3), too, but has no NUL behind it. */
int json_double(struct span raw, double *out)
{
	char text[DOUBLE_MAX + 1];

	if (raw.n > DOUBLE_MAX)
		return -1;
	memcpy(text, raw.p, raw.n);
	text[raw.n] = '\0';
	*out = strtod(text, NULL);
	return isfinite(*out) ? 0 : -1;
}

bool json_add_double(struct buf *to, double v)
{
	char text[32];
	int n = 0;

	if (!isfinite(v))
		return false;
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_add(to, text, (size_t)n);
	return true;
}
