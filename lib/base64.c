#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *to, const void *data, size_t n)
{
	const unsigned char *p = data;
	char *out;

	if (n == 0)
		return;
	buf_reserve(to, BASE64_SIZE(n));
	out = to->data + to->len;
	to->len += BASE64_SIZE(n);
	for (; n >= 3; n -= 3, p += 3) {
		*out++ = alphabet[p[0] >> 2];
		*out++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = alphabet[p[2] & 63];
	}
	if (n > 0) {
		*out++ = alphabet[p[0] >> 2];
		*out++ = alphabet[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)];
		*out++ = n == 2 ? alphabet[(p[1] & 15) << 2] : '=';
		*out++ = '=';
	}
}

/* The value of each character of the alphabet plus one; 0 for all others. */
#define RUN8(c, v)                                                                                 \
	[c] = v, [c + 1] = v + 1, [c + 2] = v + 2, [c + 3] = v + 3, [c + 4] = v + 4,               \
	[c + 5] = v + 5, [c + 6] = v + 6, [c + 7] = v + 7
#define RUN26(c, v)                                                                                \
	RUN8(c, v), RUN8(c + 8, v + 8), RUN8(c + 16, v + 16), [c + 24] = v + 24, [c + 25] = v + 25

static const unsigned char value_plus_one[256] = {
	RUN26('A', 1),
	RUN26('a', 27),
	RUN8('0', 53),
	['8'] = 61,
	['9'] = 62,
	['+'] = 63,
	['/'] = 64,
};

/* The 24 bits of four characters; -1 when one of them is not of the alphabet. */
static inline long quartet(const char *p)
{
	unsigned a = value_plus_one[(unsigned char)p[0]], b = value_plus_one[(unsigned char)p[1]];
	unsigned c = value_plus_one[(unsigned char)p[2]], d = value_plus_one[(unsigned char)p[3]];

	if (!a || !b || !c || !d)
		return -1;
	return (long)((a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1));
}

/* The last four characters, `pad` of them (1 or 2) =; the bits that they leave over must be 0. */
static int decode_last(const char *p, int pad, char *out)
{
	char filled[4] = { p[0], p[1], pad == 2 ? 'A' : p[2], 'A' };
	long bits = quartet(filled);

	if (bits < 0 || (bits & (pad == 2 ? 0xffff : 0xff)) != 0)
		return -1;
	out[0] = (char)(bits >> 16);
	if (pad == 1)
		out[1] = (char)(bits >> 8);
	return 0;
}

int base64_decode(struct buf *to, const char *p, size_t n)
{
	const char *end;
	int pad = 0;
	char *out;

	if (n % 4 != 0)
		return -1;
	if (n == 0)
		return 0;
	end = p + n;
	if (end[-1] == '=')
		pad = end[-2] == '=' ? 2 : 1;
	buf_reserve(to, n / 4 * 3);
	out = to->data + to->len;
	for (; p < end - (pad ? 4 : 0); p += 4, out += 3) {
		long bits = quartet(p);

		if (bits < 0)
			return -1;
		out[0] = (char)(bits >> 16);
		out[1] = (char)(bits >> 8);
		out[2] = (char)bits;
	}
	if (pad && decode_last(p, pad, out) < 0)
		return -1;
	to->len += n / 4 * 3 - (size_t)pad;
	return 0;
}
