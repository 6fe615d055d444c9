/* What value.c, value_number.c and value_time.c share: nothing for others. */
#ifndef SLUICE_VALUE_INTERNAL_H
#define SLUICE_VALUE_INTERNAL_H

#include "value.h"

/* Leaves the reason in v->why; returns VALUE_REJECT. */
enum value_result value_reject(struct value *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether it is text: a string, or bytes that came as base64. The latter may be no UTF-8. */
bool value_is_text(const struct value_in *in);
/* Its characters: valid until the next call, when they are not a slice of the input. */
struct span value_text(struct value *v, const struct value_in *in);

/* Eight bytes that sort like the numbers. */
void value_key_unsigned(struct buf *key, uint64_t n);
void value_key_signed(struct buf *key, int64_t n);

/* Integers, BIT, DECIMAL, FLOAT and DOUBLE. Not for NULL. */
enum value_result value_convert_number(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key);

/* DATE, TIME, DATETIME, TIMESTAMP and YEAR. Not for NULL. */
enum value_result value_convert_time(struct value *v, const struct column *c,
    const struct value_in *in, struct buf *sql, struct buf *key);

#endif
