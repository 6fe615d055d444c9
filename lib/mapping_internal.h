/*
 * What mapping.c and mapping_file.c share: how tables are found, so that all of it runs without a server, and the
 * parts of which both make targets.
 */
#ifndef SLUICE_MAPPING_INTERNAL_H
#define SLUICE_MAPPING_INTERNAL_H

#include "mapping.h"

/* Returns the table, for its caller to own, or NULL with fail(): EXIT_CONFIG when the name is what is wrong. */
struct table_finder {
	struct table *(*find)(void *ctx, const char *name);
	void *ctx;
};

/* mapping_load() with tables from anywhere. */
struct mapping *mapping_build(const struct table_finder *finder, const struct mapping_options *o);

/* Reads o->file and adds its targets to *m. 0 or -1 with fail(). */
int mapping_read_file(struct mapping *m, const struct table_finder *finder,
    const struct mapping_options *o);

/* Adds a target whose columns all match by name. Takes the table over; valid until the next one is added. */
struct target *mapping_add_target(struct mapping *m, struct table *table);

/* Puts *s, whose memory is taken over, in place of the column's source. */
void target_set_source(struct target *t, const struct column *c, struct source s);

/* The source of a column that the Kafka key fills, alone or with others. */
struct source source_of_key(const struct column *c, bool alone);

void source_release(struct source *s);

/* For a message about a name that no column has: " (city?)" when one is like it, else "". In *scratch. */
const char *similar_column(const struct table *t, struct span name, struct buf *scratch);

#endif
