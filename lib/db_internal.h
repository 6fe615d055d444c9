/* db_internal: what the parts of db share. */
#ifndef SLUICE_DB_INTERNAL_H
#define SLUICE_DB_INTERNAL_H

/* What the client library would pass over in silence in an option file. 0, or -1 with fail(EXIT_CONFIG). */
int db_check_file(const char *path);

#endif
