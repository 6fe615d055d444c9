/*
 * fuzz: what the fuzz targets share. A target takes any bytes, and must() says what has to hold for them: where it
 * does not, the process ends, and libFuzzer keeps the bytes. t/lib/corpus.c replays those without libFuzzer.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "buf.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

extern unsigned corpus_cuts; /* for t/lib/corpus.c; a target that is slow says less */

static inline void must(bool holds, const char *what)
{
	if (holds)
		return;
	dprintf(STDERR_FILENO, "fuzz: it does not hold that %s\n", what);
	abort();
}

/* ---- bytes as decisions; all of them may be taken from nothing ---- */

struct take {
	const uint8_t *p;
	size_t n;
};

static inline unsigned take_byte(struct take *t)
{
	if (t->n == 0)
		return 0;
	t->n--;
	return *t->p++;
}

/* Any number of 64 bits, small ones from few bytes. */
static inline int64_t take_int(struct take *t)
{
	unsigned head = take_byte(t);
	uint64_t v = head >> 4;

	for (unsigned i = 0; i < (head & 7); i++)
		v = v << 8 | take_byte(t);
	return (int64_t)(head & 8 ? ~v : v);
}

static inline int64_t take_natural(struct take *t)
{
	return take_int(t) & INT64_MAX;
}

/* At most `max` bytes, max < 256. */
static inline struct span take_bytes(struct take *t, size_t max)
{
	size_t n = take_byte(t) % (max + 1);
	struct span s;

	if (n > t->n)
		n = t->n;
	s = (struct span){ (const char *)t->p, n };
	t->p += n;
	t->n -= n;
	return s;
}

/* The same as UTF-8; *own holds it where it was none. */
static inline struct span take_text(struct take *t, size_t max, struct buf *own)
{
	struct span s = take_bytes(t, max);

	if (utf8_valid(s.p, s.n))
		return s;
	buf_clear(own);
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(own, (char)(s.p[i] & 0x7f));
	return buf_span(own);
}

/* What stands before the next newline. */
static inline struct span take_line(struct take *t)
{
	const uint8_t *nl = t->n > 0 ? memchr(t->p, '\n', t->n) : NULL;
	struct span s = { (const char *)t->p, nl ? (size_t)(nl - t->p) : t->n };

	t->p += s.n + (nl != NULL);
	t->n -= s.n + (nl != NULL);
	return s;
}

static inline struct span take_rest(struct take *t)
{
	struct span s = { (const char *)t->p, t->n };

	t->p += t->n;
	t->n = 0;
	return s;
}

/* ---- a file in memory; always the same one ---- */

static inline int memory_file(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0, "there is memory");
	return fd;
}

static inline void append(int fd, struct span s)
{
	must(write(fd, s.p, s.n) == (ssize_t)s.n, "there is memory");
}

/* Its name, for what opens files itself. */
static inline const char *memory_name(int fd)
{
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static inline const char *memory_path(struct span content)
{
	int fd = memory_file();

	append(fd, content);
	return memory_name(fd);
}

#endif
