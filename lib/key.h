/*
 * key: the keys that ksqlDB and Kafka Streams write: text, JSON, big-endian numbers (Java's IntegerSerializer and
 * its kin), and behind any of them the window of an aggregate. What record writes of them stream reads back, to
 * the same bytes.
 *
 * A windowed key is the key's own bytes and then, in milliseconds since 1970, big-endian, 8 bytes each, the start
 * (time windows: Kafka Streams' WindowKeySchema.toBinary; the size is known to the reader only) or the end and the
 * start (SessionKeySchema.toBinary).
 */
#ifndef SLUICE_KEY_H
#define SLUICE_KEY_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

enum key_type {
	KEY_ANY, /* as without -s: text, or base64 where that is shorter or it is none */
	KEY_TEXT,
	KEY_JSON,
	KEY_INT,    /* 4 bytes, signed */
	KEY_BIGINT, /* 8 bytes, signed */
	KEY_DOUBLE, /* 8 bytes, IEEE 754; infinities and NaN are none, as in JSON */
	KEY_BASE64, /* any bytes */
	KEY_TYPES,
};

enum window_kind { WINDOW_NONE, WINDOW_TIME, WINDOW_SESSION, WINDOW_KINDS };

/* The names in options and in the stream's key_enc and window_enc; NULL: KEY_ANY and WINDOW_NONE have none. */
extern const char *const key_type_name[KEY_TYPES], *const window_kind_name[WINDOW_KINDS];

struct key_format {
	enum key_type type;
	enum window_kind window;
	int64_t size_ms; /* of time windows */
};

struct key_window {
	int64_t start, end; /* ms; a session's end is the time of its last event */
};

/* -s key=TYPE (or kcat's s, i, q) and --window time:SIZE|session into the key_format. 0; -1 with fail(EXIT_USAGE). */
int key_parse_type(void *format, const char *arg);
int key_parse_window(void *format, const char *arg);

/*
 * Takes the window off the end of *key, when the format has one. False: there is none, for the key is too short or
 * these are no times before the year 10000 (the last 8 bytes of a text never are); *key is as it was.
 */
bool key_take_window(const struct key_format *f, struct span *key, struct key_window *w);

/* Appends the window's bytes to the key's own. */
void key_add_window(struct buf *to, enum window_kind kind, const struct key_window *w);

/*
 * For KEY_INT, KEY_BIGINT and KEY_DOUBLE. key_add_number appends the JSON number that the bytes are; of a double the
 * shortest that is read as the same. False: they are none. key_add_bytes appends the bytes of a JSON number; -1 with
 * fail(EXIT_DATA): it is no number of that type.
 */
bool key_add_number(struct buf *to, enum key_type type, struct span bytes);
int key_add_bytes(struct buf *to, enum key_type type, struct span number);

#endif
