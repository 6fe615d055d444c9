/*
 * json: a validating pull scanner over bytes in place, and an escaper.
 *
 * Strict RFC 8259: one text, valid UTF-8 (no surrogates, no overlong forms, nothing above U+10FFFF),
 * every \u surrogate paired, no control character in a string, at most JSON_DEPTH levels counting
 * the outermost. Nothing is copied or converted: numbers and strings are slices of the input, so
 * 12.50 stays 12.50. Values that the caller does not open are validated and skipped in one pass.
 *
 *     struct json j;
 *     json_init(&j, text, n);
 *     if (json_peek(&j) == JSON_OBJECT && json_enter(&j) == 0)
 *             while ((r = json_member(&j, &key)) > 0)
 *                     if (json_value(&j, &value) < 0) break;
 *     if (json_finish(&j) < 0) ... j.why, j.p - text
 *
 * No function calls fail(): the caller adds its own context to j.why and the byte offset.
 */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH 100 /* jq stops at 256, DuckDB at 128 */

enum json_type {
	JSON_NONE, /* no value here: end of input or a byte that starts none */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json {
	const char *p;           /* next byte; after an error the byte that is wrong */
	const char *start, *end; /* the text */
	const char *why;         /* NULL, or what is wrong (static text) */
	int depth;               /* containers open around p */
	bool breaks;             /* a raw LF or CR stood between tokens so far */
	bool first; /* internal: no member or element of the open container was read yet */
};

struct json_value {
	enum json_type type;
	struct span raw; /* the exact bytes of the value; strings with their quotes */
	bool escaped;    /* strings: there is a backslash in it */
};

void json_init(struct json *j, const char *p, size_t n);

/* Skips white space and tells what comes next, by its first byte only. */
enum json_type json_peek(struct json *j);

/* Validates and passes one whole value, whatever it is. 0, or -1 with j->why and v->type JSON_NONE. */
int json_value(struct json *j, struct json_value *v);

/* Opens the object or array that json_peek announced. 0 or -1 (also: not a container, too deep). */
int json_enter(struct json *j);

/*
 * After json_enter on an object: 1 with the next key (raw bytes between its quotes; *escaped tells
 * whether json_unescape must see it; may be NULL) and p before its value; 0 after the closing brace;
 * -1 on error. The caller must then consume the value (json_value, or json_enter and its members).
 */
int json_member(struct json *j, struct span *key, bool *escaped);

/* The same for arrays: 1 when p stands before an element, 0 after the closing bracket, -1. */
int json_element(struct json *j);

/* Nothing but white space may be left. 0 or -1. */
int json_finish(struct json *j);

/* Whether [p, p+n) is exactly one valid text. *breaks (may be NULL): see struct json. */
bool json_valid(const char *p, size_t n, bool *breaks);

bool json_escaped_key_is(struct span key, const char *name);

/*
 * Whether a key as given by json_member equals `name` (after unescaping when needed). Inline, so that a constant
 * name costs a compare of lengths.
 */
static inline bool json_key_is(struct span key, bool escaped, const char *name)
{
	return escaped ? json_escaped_key_is(key, name) : span_is(key, name);
}

/* Appends the decoded characters of a validated string; s is what stands between the quotes. */
void json_unescape(struct buf *to, struct span s);
/* The decoded text of a JSON_STRING value: a slice of it when it has no escapes, else in *scratch. */
struct span json_text(const struct json_value *v, struct buf *scratch);

/*
 * Appends a quoted JSON string for valid UTF-8 text: escapes only quote, backslash and control
 * characters (\b \f \n \r \t, else \u00xx in lower case), so other text stays as it is.
 */
void json_escape(struct buf *to, const char *p, size_t n);
/* How many bytes json_escape would append, quotes included; SIZE_MAX when p is not valid UTF-8. */
size_t json_escaped_size(const char *p, size_t n);
bool utf8_valid(const char *p, size_t n);
size_t utf8_length(const char *p, size_t n); /* characters, of valid UTF-8 */

/* A JSON number that is an integer without fraction and exponent and fits. 0 or -1. */
int json_int64(struct span raw, int64_t *out);

/* A JSON number as the nearest double; -1: too large for one, or more than 400 digits. */
int json_double(struct span raw, double *out);
/* Appends the number with as few digits as make json_double return it; false: JSON has none for infinity and NaN. */
bool json_add_double(struct buf *to, double v);

#endif
