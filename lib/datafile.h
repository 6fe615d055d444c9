/*
 * datafile: the lines of one file of a lake, plain or gzip, checked against what the journal says of it.
 *
 * A file that is cut, changed or replaced is found out: its size before the first line, its checksum and
 * number of lines after the last. Many files can be read in turns with little memory and few descriptors.
 */
#ifndef SLUICE_DATAFILE_H
#define SLUICE_DATAFILE_H

#include "io.h"
#include "lake.h"

struct datafile_options {
	size_t block; /* how much to read at a time; 0: as is fastest. Takes 2 blocks, with gzip 2.5 and 40 KiB */
	bool keep_open; /* else the descriptor is closed between reads */
	int fd;         /* the file, open already: taken over; -1: none */
};

struct datafile;

/* Borrows catalog and entry. NULL with fail(): EXIT_DATA when it is not there or has another size. */
struct datafile *datafile_open(const struct lake_catalog *c, const struct lake_entry *e,
    const struct datafile_options *o);
void datafile_close(struct datafile *f); /* NULL is fine */

/*
 * The next line, without newline, valid until the next call. LINE_OK; LINE_EOF: that was the whole file, and it is
 * what the journal says; LINE_WAIT: a signal to stop came; LINE_FAIL with fail() that names the file.
 */
enum line_result datafile_line(struct datafile *f, struct span *line);
uint64_t datafile_number(const struct datafile *f); /* of the line: 1, 2, ... */

/* Begins again with the first line. 0 or -1 with fail(). */
int datafile_rewind(struct datafile *f);

#endif
