/*
 * journal: the lines of a lake's journal, their bytes and their meaning (sluice-lake(5)).
 *
 * A line is one JSON object and ends with a member "crc", the CRC-32 of all bytes before `,"crc"`. The
 * first line of a rolled journal is a snapshot: where every name stands, and what the journal before is
 * called. Reading keeps at most one journal (16 MiB and one line) in memory.
 */
#ifndef SLUICE_JOURNAL_H
#define SLUICE_JOURNAL_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

struct journal_position {
	struct span name; /* in snapshots; in commits the line's own name */
	struct span topic;
	int32_t partition;
	int64_t from; /* -1: there was no position before */
	int64_t next;
	int64_t last_offset, last_ts; /* -1: not known */
};

struct journal_file {
	struct span file; /* below the lake's directory */
	struct span tmp;  /* in the same directory */
	int64_t records, bytes, raw;
	int64_t min_ts, max_ts; /* INT64_MAX, INT64_MIN: no record had one */
	uint32_t crc32;
};

struct journal_line {
	struct span raw; /* the whole line as read */
	bool snapshot;
	int64_t commit; /* snapshot: the number of the last commit before it */
	struct span time, writer, host, name;
	struct span previous; /* snapshot: the journal before this one, "journal.3" */
	struct journal_position *position;
	size_t positions, positions_cap;
	struct journal_file *add;
	size_t adds, adds_cap;
	struct span *remove;
	size_t removes, removes_cap;
	struct buf text; /* scratch: decoded strings */
};

void journal_line_release(struct journal_line *l);

/* Parses a line (without newline). Spans point into `text` and l. 0; -1 with fail(EXIT_DATA): crc or shape. */
int journal_parse(struct journal_line *l, struct span text);

/*
 * For the files in a line that may be damaged: `file` below the lake's directory, `tmp` the name that it had before
 * in the same directory; empty when that cannot be read.
 */
typedef bool journal_name_fn(void *ctx, struct span file, struct span tmp);

/* Calls each() for the names that can still be read, until it returns true. Whether it did. */
bool journal_each_name(struct span text, journal_name_fn *each, void *ctx);

/* Whether a good line stands anywhere behind the first one of text, which is bad. */
bool journal_follows(struct span text);

/* Appends the line with crc and newline. */
void journal_format(const struct journal_line *l, struct buf *to);

/* The line of .sluice/lock, with crc and newline: this commit and all before it were seen done. */
void journal_format_done(int64_t commit, struct buf *to);
int64_t journal_parse_done(struct span text); /* 0: that is no such line */

/* Room for one more, zeroed; the caller fills it in. */
struct journal_position *journal_add_position(struct journal_line *l);
struct journal_file *journal_add_file(struct journal_line *l);
void journal_add_remove(struct journal_line *l, struct span file);

/* ---- a journal file ---- */

struct journal_reader {
	char *name;       /* for messages: "data_lake/.sluice/journal" */
	int fd;           /* the caller's */
	size_t step;      /* how much to read at a time, at least; tests do with little */
	struct buf block; /* unread bytes of the file from `at` on */
	size_t used;
	int64_t at; /* offset in the file of the next line */
	int64_t lines;
	bool torn; /* what lies behind `at` is a torn line: to be ignored, or cut by a writer */
};

void journal_reader_init(struct journal_reader *r, int fd, const char *name);
void journal_reader_release(struct journal_reader *r);

/*
 * The next line. 1: *l, valid until the next call; 0: no more, r->at is where the next one goes, r->torn
 * whether garbage stands there; -1 with fail(EXIT_DATA): rot. in_place(ctx, file, tmp): whether the file has its
 * name, so that the commit was done; it decides whether a bad last line is torn (to be cut: nothing of it was done) or
 * rot. Call again later for what was appended since.
 */
int journal_next(struct journal_reader *r, struct journal_line *l, journal_name_fn *in_place,
    void *ctx);

#endif
