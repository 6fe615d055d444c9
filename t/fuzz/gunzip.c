/*
 * libFuzzer target for lib/gzip and lib/datafile: any bytes as a .gz file, against libdeflate or, without it, only
 * against themselves; and any bytes compressed and read again, through blocks of any size.
 */
#include "datafile.h"
#include "gzip.h"
#include "log.h"

#include "fuzz.h"

#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#define OUT_MAX ((size_t)1 << 20)

struct source {
	struct span rest;
	size_t step;
};

static int64_t pull(void *ctx, char *to, size_t n)
{
	struct source *s = ctx;

	if (n > s->step)
		n = s->step;
	if (n > s->rest.n)
		n = s->rest.n;
	if (n > 0)
		memcpy(to, s->rest.p, n);
	s->rest.p += n;
	s->rest.n -= n;
	return (int64_t)n;
}

/* 0: all of it, or too much; -1: damaged. */
static int read_all(struct span packed, size_t block, size_t step, struct buf *to)
{
	struct source source = { packed, step };
	struct gunzip *z = gunzip_open_pull(pull, &source, "file", block);
	char out[4096];
	int64_t n;

	buf_clear(to);
	must(z != NULL, "there is memory");
	while ((n = gunzip_into(z, out, block % sizeof(out) + 1)) > 0 && to->len <= OUT_MAX)
		buf_add(to, out, (size_t)n);
	must(n >= 0 || (fail_code() == EXIT_DATA && strncmp(fail_message(), "file: ", 6) == 0),
	    "damage is told");
	if (n == 0) {
		must(gunzip_bytes(z) == packed.n, "a good file is read to its end");
		must(gunzip_crc32(z) == crc32_z(0, (const unsigned char *)packed.p, packed.n),
		    "its checksum is the right one");
	}
	gunzip_close(z);
	return n < 0 ? -1 : 0;
}

/* The verdict of an independent decoder. */
static void check_verdict(struct span packed, int result, const struct buf *got)
{
#ifdef HAVE_LIBDEFLATE
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result r = LIBDEFLATE_BAD_DATA;
	struct buf to = BUF_INIT;

	while (packed.n > 0) {
		size_t in, out;

		buf_reserve(&to, OUT_MAX);
		r = libdeflate_gzip_decompress_ex(d, packed.p, packed.n, to.data + to.len, OUT_MAX,
		    &in, &out);
		if (r != LIBDEFLATE_SUCCESS)
			break;
		packed.p += in;
		packed.n -= in;
		to.len += out;
		if (to.len > OUT_MAX)
			break;
	}
	if (r != LIBDEFLATE_INSUFFICIENT_SPACE && to.len <= OUT_MAX) {
		must((r == LIBDEFLATE_SUCCESS) == (result == 0),
		    "it is damaged where another decoder says so");
		must(result < 0 || span_eq(buf_span(got), buf_span(&to)),
		    "it holds what another decoder finds");
	}
	buf_release(&to);
	libdeflate_free_decompressor(d);
#endif
}

static void check_packed(struct span packed, size_t block)
{
	struct buf whole = BUF_INIT, slow = BUF_INIT;
	int result = read_all(packed, 1 << 16, 1 << 16, &whole);

	if (whole.len <= OUT_MAX) {
		must(read_all(packed, block, block / 2 + 1, &slow) == result, "blocks do not matter");
		must(result < 0 || span_eq(buf_span(&whole), buf_span(&slow)), "at all");
		check_verdict(packed, result, &whole);
	}
	buf_release(&whole);
	buf_release(&slow);
}

static void pack(struct span raw, int level, struct buf *to)
{
	z_stream z = { 0 };

	must(deflateInit2(&z, level, Z_DEFLATED, 9 + 16, 1, Z_DEFAULT_STRATEGY) == Z_OK, /* little memory */
	    "there is memory");
	buf_reserve(to, deflateBound(&z, raw.n));
	z.next_in = (Bytef *)(raw.n > 0 ? raw.p : "");
	z.avail_in = (uInt)raw.n;
	z.next_out = (Bytef *)to->data + to->len;
	z.avail_out = (uInt)(to->cap - to->len);
	must(deflate(&z, Z_FINISH) == Z_STREAM_END, "it can be compressed");
	to->len = to->cap - z.avail_out;
	deflateEnd(&z);
}

/* As a file of a lake: its lines, when the journal is right about it. */
static void check_datafile(struct span packed, struct span raw, size_t block, int lie)
{
	struct lake_catalog catalog = { .dir = (char *)"lake", .dirfd = -1 };
	struct lake_entry entry = { .file = (char *)"a.jsonl.gz",
		.tmp = (char *)"b",
		.bytes = (int64_t)packed.n,
		.raw = (int64_t)raw.n };
	struct datafile_options o = { .block = block, .keep_open = true };
	struct take t = { (const uint8_t *)raw.p, raw.n };
	struct datafile *f;
	enum line_result got;
	struct span line;
	int fd = memory_file();

	append(fd, packed);
	o.fd = dup(fd);
	entry.crc32 = (uint32_t)crc32_z(0, (const unsigned char *)packed.p, packed.n) ^ (lie == 1);
	for (size_t i = 0; i < raw.n; i++)
		entry.records += raw.p[i] == '\n';
	entry.records += (lie == 2);
	f = datafile_open(&catalog, &entry, &o);
	must(f != NULL, "a file of the right size is opened");
	while ((got = datafile_line(f, &line)) == LINE_OK) {
		must(t.n > 0, "no line is made up");
		must(span_eq(line, take_line(&t)), "lines are those that were compressed");
		must(datafile_number(f) > 0, "they are counted");
	}
	if (lie == 1 || lie == 2 || (raw.n > 0 && raw.p[raw.n - 1] != '\n'))
		must(got == LINE_FAIL && fail_code() == EXIT_DATA,
		    "a file that is not the journal's is found out");
	else
		must(got == LINE_EOF && t.n == 0, "a good file is read to its end");
	datafile_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span all = { (const char *)data, n }, raw;
	struct take t = { data, n };
	size_t block = 1 + take_byte(&t) * 3, cut = take_byte(&t);
	int level = (int)(cut % 9) + 1, lie = (int)(take_byte(&t) % 6);
	struct buf packed = BUF_INIT, back = BUF_INIT;

	check_packed(all, block);
	raw = take_rest(&t);
	cut = raw.n > 0 ? cut % raw.n : 0;
	pack((struct span){ raw.p, cut }, level, &packed);
	pack((struct span){ raw.p + cut, raw.n - cut }, level, &packed);
	must(read_all(buf_span(&packed), block, block, &back) == 0, "what is compressed can be read");
	must(span_eq(buf_span(&back), raw), "and is the same");
	check_datafile(buf_span(&packed), raw, block, lie);
	if (cut < packed.len) {
		int result;

		packed.data[cut] ^= (char)(1 + lie);
		result = read_all(buf_span(&packed), block, block, &back);
		check_verdict(buf_span(&packed), result, &back);
	}
	buf_release(&packed);
	buf_release(&back);
	return 0;
}
