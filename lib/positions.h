/*
 * positions: where a sink stands in every partition, and all checks that keep it exactly once.
 *
 * The sink owns the position: it loads what it has stored, tells this module of every line it meets,
 * stores what it is told to store, and makes positions_moved() durable in the same atomic step as the
 * records. The module knows nothing of lakes or databases. See "Positions in a sink" in sluice(7).
 *
 * Keys are (topic, partition) of one NAME. A position is the next offset wanted; it remembers the last
 * record stored too, so that a topic that was deleted and made anew is noticed.
 *
 * Whenever a function here fails, nothing of this run that is not committed yet may be kept.
 */
#ifndef SLUICE_POSITIONS_H
#define SLUICE_POSITIONS_H

#include "buf.h"
#include "stream.h"

#include <stdbool.h>
#include <stdint.h>

struct position {
	char *topic; /* NUL-terminated; the map owns it */
	size_t topic_len;
	int32_t partition;

	bool stored;         /* there is a position: next is valid */
	int64_t next;        /* the next offset wanted */
	int64_t last_offset; /* of the last record stored; -1: none known */
	int64_t last_ts;

	/* What stood when the current window began: the value that a commit must find. */
	bool from_stored;
	int64_t from_next;
	bool moved; /* to be written by the next commit */
	bool named; /* a line of this window named it: to be acknowledged with it */

	/* Of this run. */
	bool met;        /* a start mark or a record named it */
	int64_t seen;    /* the largest offset met, or covered by a position mark; -1: none */
	int64_t final;   /* offset of the latest position mark; -1: none */
	int64_t proving; /* --recreated: the old last offset, until it is proven gone; -1: no */
	int64_t proving_ts;
	struct position *hash_next;
	void *own; /* the caller's */
};

struct positions_rules {
	bool allow_gap; /* --allow-gap: accept a start above the position */
	bool recreated; /* --recreated: begin anew where the stream starts below the position */
	bool no_skip; /* overwrite, ignore: a run reads it all; records below the position are stored too */
};

struct positions {
	struct position **item; /* in order of first sight */
	size_t count, cap;
	struct position **bucket;
	size_t buckets;
	struct position *recent; /* the one of the last line: streams come in runs */
	struct positions_rules rules;
	int64_t skipped; /* records met that were stored already */
	int proving;     /* partitions in that state */
	bool marks;      /* the stream has marks */
	bool ended;      /* its last line was an end mark */
};

void positions_init(struct positions *ps, struct positions_rules rules);
void positions_release(struct positions *ps);

/* The entry of (topic, partition): NULL when there is none; positions_get makes it. */
struct position *positions_find(const struct positions *ps, struct span topic, int32_t partition);
struct position *positions_get(struct positions *ps, struct span topic, int32_t partition);

/* Loads a stored position, before the first line. last_offset -1: none known. */
void positions_set(struct positions *ps, struct span topic, int32_t partition, int64_t next,
    int64_t last_offset, int64_t last_ts);

enum position_verdict { POSITION_FAIL = -1, POSITION_SKIP = 0, POSITION_STORE = 1 };

/*
 * A record: POSITION_STORE (store it; the position has moved behind it), POSITION_SKIP (it is stored
 * already), or POSITION_FAIL with fail(EXIT_DATA): a gap, offsets that go back, a recreated topic.
 */
enum position_verdict positions_record(struct positions *ps, const struct line *l);

/* Whether positions_record would skip it as stored already; moves nothing. */
bool positions_has(const struct positions *ps, const struct line *l);

/* A mark. 0, or -1 with fail(EXIT_DATA). */
int positions_mark(struct positions *ps, const struct line *l);

/*
 * False while --recreated is not proven right for some partition: until the stream has passed the old
 * last record (it is another one now) or has ended below it, a commit could store records twice.
 */
bool positions_may_commit(const struct positions *ps);

/*
 * The end of the input. `stopped`: we were told to stop, so it may be short. 0; -1 with fail(EXIT_DATA) when
 * a final position lies below the stored one, or --recreated was not proven. Warns about a stream
 * that lost its end mark, and one without marks that ends below the position.
 */
int positions_end(struct positions *ps, bool stopped);

/*
 * What the next commit writes, in order of (topic, partition). The array is the caller's to free;
 * the entries belong to the map. positions_begin starts the next window: from_* become what is now.
 */
size_t positions_moved(const struct positions *ps, struct position ***list);
void positions_begin(struct positions *ps);

/*
 * What to acknowledge when that commit is durable, before positions_begin: also what was stored before, of which
 * lines came once more. As positions_moved.
 */
size_t positions_named(const struct positions *ps, struct position ***list);

/* Appends a position mark for each entry, as -a and -Q print them. */
void positions_print(struct position *const *list, size_t count, struct buf *to);

/* All stored positions, of these topics only unless topics is 0, in order of (topic, partition): what -Q prints. */
void positions_print_stored(const struct positions *ps, char **topic, int topics, struct buf *to);

#endif
