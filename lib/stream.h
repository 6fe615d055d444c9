/*
 * stream: what one line of the stream says (sluice-stream(5)): a record, a mark or a bare object.
 *
 * One pass of the json scanner over the line validates all of it and notes where the members are;
 * nothing is copied unless a string has escapes. It is fastest when the members stand in the order in
 * which kread writes them and right in any other; of repeated members the last counts.
 */
#ifndef SLUICE_STREAM_H
#define SLUICE_STREAM_H

#include "buf.h"
#include "json.h"
#include "key.h"

#include <stdbool.h>
#include <stdint.h>

enum line_kind { LINE_RECORD, LINE_MARK, LINE_BARE };

/* How a key or payload is embedded: the value of payload_enc / key_enc. */
enum enc {
	ENC_PLAIN, /* no marker. payload: the JSON value itself; key: text in a string, null, or a value's JSON text */
	ENC_UTF8,   /* text in a string */
	ENC_BASE64, /* bytes */
	ENC_NONE,   /* payload only: a tombstone */
	ENC_JSON, /* key only, and those below: the JSON value itself, as kread -s has decoded it */
	ENC_INT,  /* a number of 4 bytes */
	ENC_BIGINT, /* of 8 */
	ENC_DOUBLE, /* IEEE 754 */
};

enum mark_kind { MARK_START, MARK_POSITION, MARK_END, MARK_UNKNOWN };

struct line {
	enum line_kind kind;
	struct span text; /* the object, without blanks around it */

	/* records, and marks but for MARK_END; topic of marks and records: decoded text */
	struct span topic;
	int32_t partition;
	int64_t offset;

	/* records; bare objects have only path (and then payload, when it is {"path","payload"}) */
	struct json_value path; /* type JSON_NONE: absent; else a string */
	struct span path_cut;   /* the bytes of text to leave out to be rid of the member path */
	int paths; /* how many members path there are: the cut removes the last one only */
	struct json_value payload; /* JSON_NONE in a bare object that is its own payload */
	struct json_value key, headers, window; /* JSON_NONE: absent */
	enum enc payload_enc, key_enc;
	enum window_kind window_enc; /* WINDOW_NONE: not marked; window is as somebody has written it */
	bool has_ts;
	int64_t ts; /* ms since the epoch; valid when has_ts */
	struct json_value tstype;
	bool kcat; /* a line of kcat -J: payload is text, or null for a tombstone */

	/* marks */
	enum mark_kind mark;
	bool has_last;
	int64_t last_offset, last_ts; /* position marks of a sink */
	int64_t records;              /* MARK_END */
};

/* A payload path such as .user.country that the caller wants to see. */
struct stream_want {
	struct span *step; /* the names, unescaped; owned */
	int steps;
	struct json_value value; /* JSON_NONE: not there; valid until the next stream_parse */
};

struct stream {
	struct stream_want *want;
	int wants;
	struct buf topic, text, kcat; /* scratch for what has escapes */
};

void stream_init(struct stream *s);
void stream_release(struct stream *s);

/* Adds a wanted path: ".a", ".a.b", .["odd name"]. Its index in s->want; -1 with fail(EXIT_USAGE). */
int stream_want(struct stream *s, const char *path);

/*
 * Parses one line; *out points into it and into *s, valid until the next call. 0; -1 with
 * fail(EXIT_DATA) that says what is wrong and at which byte. On failure out->topic, partition, offset and
 * ts are set when the line got far enough to tell them (out->kind is LINE_RECORD then), so that a reject
 * can still move its position; LINE_MARK: it has a member mark, which may be broken; else LINE_BARE.
 */
int stream_parse(struct stream *s, struct span text, struct line *out);

/*
 * The payload as one JSON value: the value itself; for text (kcat -J, payload_enc utf8) that is a valid JSON
 * text, that text (line breaks made spaces); a bare object itself. Anything else (text, base64, tombstone)
 * as it stands in the line. Valid until the next stream_parse.
 */
struct json_value stream_payload(struct stream *s, const struct line *l);

/*
 * The bytes of key and payload as Kafka has them, those of the key without the window behind it. 1: bytes in *out
 * (maybe in *scratch); 0: null; -1: fail().
 */
int stream_key_bytes(const struct line *l, struct buf *scratch, struct span *out);
/* The window, when the line has one. 1: in *out; 0: it has none; -1 with fail(EXIT_DATA): no start and end in it. */
int stream_window(const struct line *l, struct key_window *out);
int stream_payload_bytes(const struct line *l, struct buf *scratch, struct span *out);

/* Appends l->text without its member path. */
void stream_without_path(const struct line *l, struct buf *to);

/* Marks as the tools write them, each with its newline. last_offset -1: without "last". */
void stream_mark_start(struct buf *to, struct span topic, int32_t part, int64_t offset);
void stream_mark_position(struct buf *to, struct span topic, int32_t part, int64_t offset,
    int64_t last_offset, int64_t last_ts);
void stream_mark_end(struct buf *to, int64_t records);

#endif
