/*
 * io: reading lines and writing bytes with the fewest system calls and no stdio.
 *
 * A reader hands out lines as spans into its own block buffer: no copy but for the tail of a block.
 * A writer gathers bytes and checks every write; an error sticks and is reported at the end, so a
 * full disk can never look like success. A reader may be tied to a writer: what was written is
 * flushed before the reader blocks, so a filter in a slow pipeline has no latency of its own.
 */
#ifndef SLUICE_IO_H
#define SLUICE_IO_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define LINE_MAX_BYTES ((size_t)1 << 30) /* a longer line is bad data (design: exit 65) */
#define READ_PAD       64                /* bytes after every line that may be read, not used */

struct writer {
	int fd;
	struct buf buf;
	size_t high;    /* flush when this many bytes are gathered */
	uint64_t bytes; /* handed to write(2) so far */
	bool failed;    /* fail() holds why; everything after is dropped */
	bool broken; /* the reader of our pipe is gone (EPIPE), or takes nothing while we are to stop */
};

void writer_init(struct writer *w, int fd, size_t high); /* high 0: 256 KiB */
void writer_release(struct writer *w);

/* 0, or -1 with fail(): EXIT_IO. After EPIPE w->broken is set too: a filter then ends quietly. */
int writer_flush(struct writer *w);
int writer_close(struct writer *w); /* flush, then close(2) checked; for stdout: main's last act */

/* For who has nothing to write for long: as writer_flush, and -1 (broken) too when the pipe's reader is gone. */
int writer_idle(struct writer *w);

/* For the hot path: append to w->buf with the buf_* functions, then call this once per line. */
static inline int writer_check(struct writer *w)
{
	return w->buf.len >= w->high ? writer_flush(w) : 0;
}

enum line_result {
	LINE_EOF = 0,   /* the input ended after a newline, or was empty */
	LINE_OK = 1,    /* *line is a line without its newline, valid until the next call */
	LINE_TAIL = 2,  /* the last line had no newline; *line holds it; LINE_EOF comes next */
	LINE_WAIT = 3,  /* the deadline passed, or a signal came (sig_stop()): nothing was lost */
	LINE_FAIL = -1, /* fail(): EXIT_IO for read errors, EXIT_DATA for a line over the cap */
};

struct reader {
	int fd;
	const char *name;    /* for messages: "stdin" or a file name */
	struct writer *tied; /* flushed before blocking; NULL: none */
	char *data;
	size_t start, end, cap;
	size_t scanned; /* no newline in [start, scanned) */
	bool eof;
	uint64_t bytes, lines; /* delivered so far; lines is also the current line's number */
	size_t block;          /* asked for at a time */
	size_t max;            /* bytes of a line: LINE_MAX_BYTES; tests have less memory */
	int64_t (*pull)(void *ctx, char *to, size_t n); /* NULL: read(2) */
	void *ctx;
};

void reader_init(struct reader *r, int fd, const char *name, struct writer *tied);
/*
 * Reads through pull() instead of from a descriptor: it returns how many bytes it put there, 0 at the end, -1
 * after fail(). It is not waited for. block: how much to ask for at a time, about half the memory that it takes.
 */
void reader_init_pull(struct reader *r, int64_t (*pull)(void *ctx, char *to, size_t n), void *ctx,
    const char *name, size_t block);
void reader_release(struct reader *r);

/*
 * The next line. Blocks until there is one, at most until deadline_ms of clock_mono_ms() (-1: for
 * ever), and returns at once with LINE_WAIT when a signal to stop came (also one that came before), or
 * when the tied writer has just failed.
 */
enum line_result reader_line(struct reader *r, struct span *line, int64_t deadline_ms);

/* Whether the next reader_line would have to call read(2): a good moment for housekeeping. */
bool reader_empty(const struct reader *r);

/* write(2) all of it; short writes and EINTR handled. 0 or -1 with errno. */
int write_all(int fd, const void *p, size_t n);

/* The whole of a (small) file, NUL-terminated; caller frees. NULL with fail(). */
char *read_file(const char *path, size_t *n);

/*
 * Signals. sig_install makes TERM and INT set a flag and ignores PIPE (writes then give EPIPE).
 * Without `anytime` they are taken only when reader_line would read (so a filter ends at a line), or while a
 * writer writes; with it they interrupt at any time (EINTR). SIGALRM is used up: from then on it comes each second.
 */
void sig_install(bool anytime);
int sig_stop(void); /* 0, or SIGTERM or SIGINT: the one that came */
/*
 * Nobody reads our pipe: ends the process by SIGPIPE as cat(1) does, so that pipefail sees it; or, when it stopped
 * being read and a signal told us to stop, by that.
 */
void sig_broken_pipe(void);

#endif
