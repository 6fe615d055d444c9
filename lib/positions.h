/*
 * positions: where a sink stands in every partition, and all checks that keep it exactly once.
 *
 * The sink owns the position: it loads what it has stored, tells this module of every line it meets,
 * stores what it is told to store, and makes positions_moved() durable in the same atomic step as the
 * records. The module knows nothing of lakes or databases. See "Positions in a sink" in sluice(7).
 *
 * Keys are (topic, partition) of one NAME. A position is the next offset wanted; it remembers the last
 * record stored too, so that a topic that was deleted and made anew is noticed.
 */
#ifndef SLUICE_POSITIONS_H
#define SLUICE_POSITIONS_H

#include "buf.h"
#include "stream.h"

#include <stdbool.h>
#include <stdint.h>

struct position {
	char *topic;         /* NUL-terminated; the map owns it */
	size_t topic_len;
	int32_t partition;

	bool stored;         /* the sink has a position: next and last say which */
	int64_t next;        /* the next offset wanted */
	int64_t last_offset; /* of the last record stored; -1: none known */
	int64_t last_ts;

	/* This run; internal but for `from_*`, which positions_moved hands out. */
	bool from_stored;    /* what stood when the current window began: the value to compare at commit */
	int64_t from_next;
	bool met;            /* a line of this run named it */
	bool moved;          /* differs from what was committed, or has to be told again */
	int64_t seen;        /* the largest offset met in this run; -1: none */
	int64_t final;       /* next of the last position mark; -1: none */
	int64_t skipped;     /* records below the position met in this run */
	struct position *hash_next;
};

struct positions_rules {
	bool allow_gap;  /* --allow-gap */
	bool recreated;  /* --recreated: begin anew where the topic was recreated */
	bool no_skip;    /* overwrite, ignore: every run reads it all; records below the position are stored too */
};

struct positions {
	struct position **item; /* in order of first sight */
	size_t count, cap;
	struct position **bucket;
	size_t buckets;
	struct position *recent; /* the one of the last line: streams come in runs */
	struct positions_rules rules;
	bool marks;              /* the stream has marks */
	bool ended;              /* its end mark came */
	bool was_recreated;      /* --recreated has put a position back: note it once */
	int64_t skipped;
};

void positions_init(struct positions *ps, struct positions_rules rules);
void positions_release(struct positions *ps);

/* The entry of (topic, partition); NULL when there is none / made when there is none. */
struct position *positions_find(const struct positions *ps, struct span topic, int32_t partition);
struct position *positions_get(struct positions *ps, struct span topic, int32_t partition);

/* Loads a stored position, before the first line. last_offset -1: none known. */
void positions_set(struct positions *ps, struct span topic, int32_t partition, int64_t next,
    int64_t last_offset, int64_t last_ts);

enum position_verdict { POSITION_FAIL = -1, POSITION_STORE = 1, POSITION_SKIP = 0 };

/*
 * A record: POSITION_STORE (the position has moved behind it), POSITION_SKIP (it is stored already), or
 * POSITION_FAIL with fail(EXIT_DATA): gap, order or recreation. After POSITION_FAIL of order or
 * recreation nothing uncommitted may be kept: positions_discard() tells.
 */
enum position_verdict positions_record(struct positions *ps, const struct line *l);

/* A mark. 0, or -1 with fail(EXIT_DATA). */
int positions_mark(struct positions *ps, const struct line *l);

/*
 * The end of the stream. `whole`: it was not cut short (not by TERM, not by a failure). 0; -1 with
 * fail(EXIT_DATA) when a final position lies below the stored one; prints the warnings of a stream
 * that lost its end mark or ends below the position.
 */
int positions_end(struct positions *ps, bool whole);

/* Whether the last failure demands that nothing uncommitted is kept (order, recreation). */
bool positions_discard(const struct positions *ps);

/*
 * Windows. The moved entries since the last positions_begin, in order of (topic, partition): what a
 * commit writes, from_next being what it must find. The array is the caller's to free. A sink that commits one
 * window while it fills the next keeps the structs by value.
 */
size_t positions_moved(struct positions *ps, struct position **list);
/* The window was handed to a commit: what is now seen is what the next one starts from. */
void positions_begin(struct positions *ps);

#endif
