/* base64: RFC 4648 with padding, no line breaks; the only form sluice reads or writes. */
#ifndef SLUICE_BASE64_H
#define SLUICE_BASE64_H

#include "buf.h"

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)

void base64_encode(struct buf *to, const void *p, size_t n);
int base64_decode(struct buf *to, const char *p, size_t n); /* 0; -1: not canonical base64, *to as before */

#endif
