/*
 * decimal: the text of a JSON number taken apart, exactly, however long it is.
 *
 * Its magnitude is 0.DIGITS times 10 to the power of `point`. There is no zero at either end of the digits, so a
 * number has one form however it was written; zero has no digits.
 */
#ifndef SLUICE_DECIMAL_H
#define SLUICE_DECIMAL_H

#include "buf.h"

struct decimal {
	bool negative; /* -0 is not */
	const char *digit;
	size_t digits;
	int64_t point; /* how many digits stand before the point; between -2^62 and 2^62 */
};

/* The digits are a slice of text, or in *scratch. 0; -1: text is no number as JSON has them. */
int decimal_parse(struct decimal *d, struct span text, struct buf *scratch);

static inline bool decimal_is_integer(const struct decimal *d)
{
	return d->digits == 0 || (d->point > 0 && (uint64_t)d->point >= d->digits);
}

/* The magnitude of an integer. 0; -1: above 2^64 - 1. */
int decimal_magnitude(const struct decimal *d, uint64_t *out);

#endif
