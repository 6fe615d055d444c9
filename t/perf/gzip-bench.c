/*
 * gzip-bench: how fast the compression library alone turns stdin into gzip members of 1 MiB raw, on one
 * thread, in memory, so that jsonl-sink -z can be held against it.
 *
 *     gzip-bench LEVEL [zlib] < FILE
 *
 * Prints the seconds spent in the library, and its name: that which sluice was built with, or zlib.
 */
#include "buf.h"
#include "log.h"
#include "opt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#define BLOCK ((size_t)1 << 20)

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A block, or what is left: its size. */
static size_t read_block(char *to)
{
	size_t n = 0;
	ssize_t got;

	while (n < BLOCK && (got = read(STDIN_FILENO, to + n, BLOCK - n)) > 0)
		n += (size_t)got;
	return n;
}

#ifdef HAVE_LIBDEFLATE
static size_t with_libdeflate(int level, const char *p, size_t n, char *to, size_t room)
{
	static struct libdeflate_compressor *c;

	if (!c)
		c = libdeflate_alloc_compressor(level);
	return libdeflate_gzip_compress(c, p, n, to, room);
}
#endif

static size_t with_zlib(int level, const char *p, size_t n, char *to, size_t room)
{
	static z_stream z;

	if (!z.state)
		deflateInit2(&z, level, Z_DEFLATED, MAX_WBITS + 16, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
	deflateReset(&z);
	z.next_in = (unsigned char *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (unsigned char *)to;
	z.avail_out = (uInt)room;
	deflate(&z, Z_FINISH);
	return z.total_out;
}

int main(int argc, char **argv)
{
	size_t (*compress_block)(int, const char *, size_t, char *, size_t) = with_zlib;
	char *raw = xmalloc(BLOCK), *packed = xmalloc(2 * BLOCK);
	double spent = 0, start;
	const char *name = "zlib";
	uint64_t in = 0, out = 0;
	int64_t level;
	size_t n;

	if (argc < 2 || opt_int(argv[1], 1, 9, &level) < 0) {
		fprintf(stderr, "usage: gzip-bench LEVEL [zlib] < FILE\n");
		return EXIT_USAGE;
	}
#ifdef HAVE_LIBDEFLATE
	if (argc == 2) {
		compress_block = with_libdeflate;
		name = "libdeflate";
	}
#endif
	while ((n = read_block(raw)) > 0) {
		start = seconds();
		out += compress_block((int)level, raw, n, packed, 2 * BLOCK);
		spent += seconds() - start;
		in += n;
	}
	printf("%.4f seconds in %s, %" PRIu64 " to %" PRIu64 " bytes\n", spent, name, in, out);
	free(raw);
	free(packed);
	return EXIT_DONE;
}
