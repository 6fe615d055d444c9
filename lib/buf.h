/*
 * buf: a growable byte buffer, and spans of bytes that somebody else owns.
 *
 * Every module that collects bytes uses this one. Running out of memory (or growing past BUF_MAX)
 * ends the process with a message and exit 74: no caller could do better.
 */
#ifndef SLUICE_BUF_H
#define SLUICE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes owned by somebody else; p may be NULL when n is 0. Not NUL-terminated. */
struct span {
	const char *p;
	size_t n;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

struct buf {
	char *data; /* NULL until the first byte; never NUL-terminated unless buf_cstr was called */
	size_t len;
	size_t cap;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		0                                                                                  \
	}
#define BUF_MAX ((size_t)4 << 30) /* more in one buffer is a bug or an attack */

/* malloc family that cannot fail: ends the process instead. Release with free(). */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

/* Makes room for `extra` more bytes; afterwards data + len may be written that far. */
void buf_reserve(struct buf *b, size_t extra);
void buf_release(struct buf *b); /* frees and empties; the buffer may be used again */
void buf_add_int(struct buf *b, int64_t v);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *buf_cstr(struct buf *b); /* puts a NUL behind the last byte (not counted in len) */

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->cap - b->len < n)
		buf_reserve(b, n);
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
}

static inline void buf_add_char(struct buf *b, char c)
{
	if (b->cap == b->len)
		buf_reserve(b, 1);
	b->data[b->len++] = c;
}

static inline void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
}

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){ b->data, b->len };
}

/* Names are short: two overlapping words are compared in less time than a call of memcmp(3) takes. */
static inline bool span_eq(struct span a, struct span b)
{
	uint64_t x[2], y[2];
	uint32_t v[2], w[2];

	if (a.n != b.n)
		return false;
	if (a.n < 4 || a.n > 16)
		return a.n == 0 || memcmp(a.p, b.p, a.n) == 0;
	if (a.n < 8) {
		memcpy(&v[0], a.p, 4), memcpy(&v[1], a.p + a.n - 4, 4);
		memcpy(&w[0], b.p, 4), memcpy(&w[1], b.p + b.n - 4, 4);
		return v[0] == w[0] && v[1] == w[1];
	}
	memcpy(&x[0], a.p, 8), memcpy(&x[1], a.p + a.n - 8, 8);
	memcpy(&y[0], b.p, 8), memcpy(&y[1], b.p + b.n - 8, 8);
	return x[0] == y[0] && x[1] == y[1];
}

static inline bool span_is(struct span a, const char *s)
{
	return span_eq(a, (struct span){ s, strlen(s) });
}

/* For hash tables: FNV-1a, folded. */
uint64_t span_hash(struct span s);

/* Writes v in decimal at `to` (at least 20 bytes) and returns the number of bytes written. */
size_t format_int(char *to, int64_t v);

#endif
