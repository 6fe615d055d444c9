/*
 * members: finds the members of an object that somebody wants, by name or by path, in one scan of its bytes.
 *
 * The records of a topic have the same members in the same order, or nearly: the name that came next the last time is
 * compared first, and only a miss is looked up. What a name stands for is worked out when it is met first, and kept;
 * of a stream with ever new names only so many.
 */
#ifndef SLUICE_MEMBERS_H
#define SLUICE_MEMBERS_H

#include "buf.h"
#include "json.h"

/* Where a value is put. It is of the scan of that number; after another one it is absent. Zero it before. */
struct member_cell {
	struct json_value value;
	uint64_t scan;
	bool exact; /* by its exact name: another case of it counts no more */
};

/* What a name of the outermost object means to one of those who want it. */
struct member_use {
	struct member_cell *cell; /* NULL: nothing is put there, or only what is further down a path */
	unsigned owner;           /* whose it is: the caller's number */
	bool exact;
	bool wanted; /* else it is only known */
};

/* A name of the outermost object, as objects spell it. */
struct member_name {
	struct span name; /* unescaped */
	struct member_use *use;
	size_t uses;
	bool kept;   /* the same struct next time; else there were too many names */
	bool warned; /* for the caller */

	/* internal */
	struct member_node *inner;
	struct member_name *next; /* what came after it the last time */
	uint64_t scan;
};

struct members;

struct members *members_new(void);
void members_free(struct members *m);

/*
 * Wants a member by name, in its exact case or, when that is not there, in any case of ASCII letters. cell NULL: the
 * name is only known.
 */
void members_want(struct members *m, struct span name, struct member_cell *cell, unsigned owner);
/* Wants what stands at the end of a path of exact names. */
void members_want_path(struct members *m, const struct span *step, int steps,
    struct member_cell *cell, unsigned owner);
/* No more wants: names and steps need not live any longer, cells as long as *m. */
void members_ready(struct members *m);

/*
 * Scans an object that is known to be valid. scan: above 0, and another number each time. Of repeated members the
 * last counts. seen (may be NULL) is called for each member of the outermost object.
 */
void members_scan(struct members *m, struct span object, uint64_t scan,
    void (*seen)(void *ctx, struct member_name *name), void *ctx);

#endif
