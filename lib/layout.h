/*
 * layout: from a record to the path of its partition, by a template.
 *
 * A template is compiled once; per record its pieces are appended to a buffer. Every value that comes
 * from a record passes through one escaper (Hive's percent rules and more), so that a path is always
 * relative, has no empty, dot or dot-leading component, and no component over 255 bytes.
 */
#ifndef SLUICE_LAYOUT_H
#define SLUICE_LAYOUT_H

#include "buf.h"
#include "stream.h"

#include <stdbool.h>

#define LAYOUT_DEFAULT "__HIVE_DEFAULT_PARTITION__" /* Hive's own name for a missing value */

struct layout;

/*
 * spec: hive, hive-hour, date, table, or a template of strftime conversions, {topic}, {partition},
 * {key} and {.field}. time_field: a payload path for -t, or NULL for the record's ts. format: strptime
 * format for -f, or NULL. Registers what it needs with stream_want(s). NULL with fail(EXIT_USAGE).
 */
struct layout *layout_open(const char *spec, const char *time_field, const char *format,
    struct stream *s);
void layout_close(struct layout *l);

/*
 * Appends the path of `line`, escaped for the file system (not yet for JSON: it may hold non-ASCII
 * UTF-8, quotes and backslashes are percent-escaped). Returns how many pieces fell back to LAYOUT_DEFAULT.
 */
int layout_path(struct layout *l, const struct line *line, struct buf *to);

/* Whether this layout uses the time, and so whether bare objects need -t. */
bool layout_uses_time(const struct layout *l);

/* The rule that sinks check paths against. NULL: fine; else what is wrong with it (static text). */
const char *path_problem(struct span path);

#endif
