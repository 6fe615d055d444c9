/*
 * interleave: in which of several files does a partition go on?
 *
 * The records of a partition may be spread over many files (by city, say), in each of them in the order of
 * their offsets. A first pass over the files tells this module all offsets, file by file; then it names, for
 * every partition, the file that has the smallest offset left. An offset takes one byte or two.
 */
#ifndef SLUICE_INTERLEAVE_H
#define SLUICE_INTERLEAVE_H

#include <stddef.h>
#include <stdint.h>

struct interleave;

struct interleave *interleave_new(void);
void interleave_free(struct interleave *i); /* NULL is fine */

/*
 * First pass: all of file 0, then all of file 1, ... Partitions are numbered from 0. Within a file the offsets
 * of a partition must increase: 0, or -1 when this one does not (nothing was added).
 */
int interleave_add(struct interleave *i, size_t file, size_t partition, int64_t offset);

/* Second pass: the smallest offset that is left of the partition, and its file. SIZE_MAX: none is left. */
size_t interleave_next(struct interleave *i, size_t partition, int64_t *offset);
void interleave_take(struct interleave *i, size_t partition); /* that one is done */

#endif
