/*
 * broken: lines that no tool may take for good ones, one of every kind that the field has seen.
 */
#ifndef SLUICE_BROKEN_H
#define SLUICE_BROKEN_H

#include "buf.h"
#include "rng.h"

#include <stdbool.h>
#include <stdint.h>

/* Kinds that any object can be broken in; with records there are more. */
unsigned broken_kinds(bool records);
const char *broken_name(unsigned kind);

/*
 * Appends line `good` (an object; with records: a record of topic, partition and offset) broken in the way
 * `kind` says (below broken_kinds), without a newline. The same arguments give the same bytes.
 */
void broken_line(struct buf *to, unsigned kind, struct span good, struct rng *rng);
void broken_record(struct buf *to, unsigned kind, const char *topic, int32_t partition,
    int64_t offset, struct span good, struct rng *rng);

#endif
