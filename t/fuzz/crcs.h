/* crcs: what ends a line of a journal, computed without lib/gzip; so that fuzzers get past it. */
#ifndef CRCS_H
#define CRCS_H

#include "fuzz.h"

#include <zlib.h>

#define CRC_TAIL 18 /* ,"crc":"01234567"} */

static inline void crc_tail(char to[CRC_TAIL + 1], struct span body)
{
	unsigned long crc = crc32_z(0, (const unsigned char *)body.p, body.n);

	snprintf(to, CRC_TAIL + 1, ",\"crc\":\"%08lx\"}", crc);
}

/* The same bytes, but lines that end in a crc end in their own: else hardly one would be read. */
static inline void mend_crcs(struct span text, struct buf *to)
{
	struct take t = { (const uint8_t *)text.p, text.n };
	char tail[CRC_TAIL + 1];

	buf_clear(to);
	while (t.n > 0) {
		struct span line = take_line(&t);
		size_t body = line.n > CRC_TAIL ? line.n - CRC_TAIL : 0;

		buf_add_span(to, line);
		if (body && memcmp(line.p + body, ",\"crc\":\"", 8) == 0) {
			crc_tail(tail, (struct span){ line.p, body });
			to->len -= CRC_TAIL;
			buf_add(to, tail, CRC_TAIL);
		}
		if (t.n > 0 || text.p[text.n - 1] == '\n')
			buf_add_char(to, '\n');
	}
}

#endif
