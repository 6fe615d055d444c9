/*
 * gzip: a pool of threads that turns blocks of bytes into gzip members, and a reader of such files.
 *
 * Every block becomes one complete member (RFC 1952) of its own, so files concatenate and split, and
 * blocks of different files share the pool. Results come back in the order of submission, so the
 * caller appends each to the file that it was for and needs no bookkeeping of its own.
 *
 *     while (!gzip_submit(g, &raw, file)) {
 *             gzip_next(g, true, &block);
 *             ... write block.data to block.cookie
 *     }
 *
 * One thread may use a pool. Its threads block all signals and do not survive a fork(2).
 */
#ifndef SLUICE_GZIP_H
#define SLUICE_GZIP_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define GZIP_LEVEL 6 /* as gzip(1) */

struct gzip;

struct gzip_block {
	struct span data; /* one gzip member; valid until the next gzip_next or gzip_close */
	size_t raw;       /* bytes that went in */
	void *cookie;     /* as given to gzip_submit */
};

/* level 1 (fast) to 9 (small), threads >= 1. NULL with fail(EXIT_IO) when no thread could be made. */
struct gzip *gzip_open(int level, int threads);

/* Drops what was not taken with gzip_next. NULL is fine. */
void gzip_close(struct gzip *g);

/*
 * Takes over the bytes of *raw (none: an empty member) and leaves an empty buffer there, recycled from
 * an earlier block, so that a warm pool allocates nothing. False when 2 * threads + 1 blocks are in
 * flight: nothing was taken, gzip_next first.
 */
bool gzip_submit(struct gzip *g, struct buf *raw, void *cookie);

/*
 * The oldest block in flight. With `wait` false only when none is in flight; without it also when
 * the oldest is not finished yet.
 */
bool gzip_next(struct gzip *g, bool wait, struct gzip_block *out);

/* CRC-32 as in gzip and zip: begin with 0, pass the result back in for the bytes that follow. */
uint32_t crc32_bytes(uint32_t crc, const void *p, size_t n);

/* Reads a file of one or more members. Bytes behind the last one that are no member are an error. */
struct gunzip;

/* Reads from where fd stands and does not own it. name: for messages. NULL with fail(EXIT_IO): memory. */
struct gunzip *gunzip_open(int fd, const char *name);
/* Reads through pull(), `block` bytes at a time: it returns how many came, 0 at the end, -1 after fail(). */
struct gunzip *gunzip_open_pull(int64_t (*pull)(void *ctx, char *to, size_t n), void *ctx,
    const char *name, size_t block);
void gunzip_close(struct gunzip *z);

/*
 * 1 with the next bytes (never none), valid until the next call; 0 at the end of the file; -1 with
 * fail(EXIT_DATA) for an empty, cut or damaged file, fail(EXIT_IO) when it cannot be read.
 */
int gunzip_read(struct gunzip *z, struct span *out);
/* The same into the caller's buffer of n > 0 bytes: how many came; 0; -1. After gunzip_open_pull only this one. */
int64_t gunzip_into(struct gunzip *z, char *to, size_t n);

/* Of the compressed bytes read so far; of the whole file once gunzip_read returned 0. */
uint32_t gunzip_crc32(const struct gunzip *z);
uint64_t gunzip_bytes(const struct gunzip *z);

#endif
