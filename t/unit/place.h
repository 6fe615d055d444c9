/*
 * place: puts a text where a read of one byte too many is caught, with and without a sanitizer:
 * against the page without rights behind the block, against the one before it, and in a block of
 * malloc's of exactly its size.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PLACE_PAGE 65536 /* a multiple of every page size in use */
#define PLACE_ROOM (4 * PLACE_PAGE)

enum place { PLACE_AT_END, PLACE_AT_START, PLACE_MALLOC, PLACES };

/* A copy of [p, p+n), n <= PLACE_ROOM, valid until the next call. */
static inline const char *place(enum place where, const char *p, size_t n)
{
	static char *room, *block;
	char *to;

	if (!room) {
		char *map = mmap(NULL, PLACE_ROOM + 2 * PLACE_PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED ||
		    mprotect(map + PLACE_PAGE, PLACE_ROOM, PROT_READ | PROT_WRITE) < 0) {
			perror("place: mmap");
			exit(1);
		}
		room = map + PLACE_PAGE;
	}
	free(block);
	block = NULL;
	if (where == PLACE_MALLOC)
		to = block = malloc(n > 0 ? n : 1);
	else
		to = where == PLACE_AT_START ? room : room + PLACE_ROOM - n;
	if (to && n > 0)
		memcpy(to, p, n);
	return to;
}

#endif
