/*
 * resume: where a sink stands, from whatever can say so: its lake, or position marks.
 */
#ifndef SLUICE_RESUME_H
#define SLUICE_RESUME_H

#include "positions.h"

#include <stdbool.h>

/*
 * source: a lake's directory (the positions of `name`), a file of position marks, or "-" (stdin). One
 * that ends in a slash and is not there is a lake yet to be made: no positions. Of
 * several marks of a partition the last counts, other kinds are passed over. 0; -1 with fail(): EXIT_DATA
 * another line than a mark, EXIT_CONFIG no such file, else as the lake or by errno; or because of a
 * signal (sig_stop()).
 */
int resume_read(const char *source, const char *name, struct positions *to);

/* Whether source can be a lake: no file and not stdin. */
bool resume_may_be_lake(const char *source);

#endif
