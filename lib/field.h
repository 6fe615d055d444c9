/*
 * field: the data of the field that sluice was made for: payments of users in shops, and what stream
 * processors derive from them. Deterministic: the same plan gives the same bytes on every machine.
 */
#ifndef SLUICE_FIELD_H
#define SLUICE_FIELD_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

enum field_kind {
	FIELD_TRANSACTIONS, /* payments; key: the user */
	FIELD_SALES,        /* ventes: sales with French member names; no key */
	FIELD_REFERENCE,    /* types, payment methods, cities, products; key: class/code */
	FIELD_BLACKLIST,    /* changelog of blocked users; key: the user */
	FIELD_USER_TOTALS,  /* changelog of running totals; key: the user */
	FIELD_TYPE_TOTALS,  /* the same; key: the type of transaction */
	FIELD_WINDOWS,      /* the same per 5 minutes; key: type and start (8 bytes) */
	FIELD_KINDS,
};

struct field_plan {
	enum field_kind kind;
	uint64_t seed;
	int64_t count;      /* how many, at most 1e9; the reference data has an end of its own */
	int64_t first;      /* number of the first one: T0000001 is 1 */
	int64_t users;      /* how many different ones, at most 1e6 */
	int64_t start_ms;   /* the first day... */
	int64_t days;       /* ...and how many, over which they are spread */
	int64_t size;       /* pad payloads to this many bytes; 0: as they are */
	int64_t tombstones; /* percent, changelogs */
};

struct field_record {
	int64_t ts; /* ms, when it was sent; never goes back, as the times in the payload may */
	bool has_key;
	struct span key; /* bytes as Kafka has them */
	bool binary;     /* the key is no text */
	bool tombstone;
	struct span payload; /* one JSON object */
};

struct field;

const char *field_name(enum field_kind kind);
/* The kind of that name; FIELD_KINDS when there is none. */
enum field_kind field_find(const char *name);
/* Whether a record without its key makes no sense: a changelog. */
bool field_keyed(enum field_kind kind);

struct field *field_open(const struct field_plan *plan);
void field_close(struct field *f);

/* The next record; spans are valid until the next call. False at the end. */
bool field_next(struct field *f, struct field_record *r);

#endif
