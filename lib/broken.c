#include "broken.h"

#include "json.h"

#include <inttypes.h>

enum {
	TRUNCATED,
	INVALID_UTF8,
	LONE_SURROGATE,
	NOT_JSON,
	ARRAY,
	EMPTY,
	CONTROL,
	TRAILING,
	TWO_OBJECTS,
	SCALAR,
	TOO_DEEP,
	BAD_ESCAPE,
	BAD_NUMBER,
	COMMA,
	HALF_A_RECORD,
	ANY_KINDS, /* what follows needs a record */
	NO_OFFSET = ANY_KINDS,
	TEXT_OFFSET,
	NEGATIVE_OFFSET,
	FRACTION_PARTITION,
	NUMBER_TOPIC,
	UNKNOWN_ENC,
	FALSE_ENC,
	NO_HEADERS,
	ALL_KINDS,
};

static const char *const names[ALL_KINDS] = {
	[TRUNCATED] = "truncated",
	[INVALID_UTF8] = "invalid UTF-8",
	[LONE_SURROGATE] = "lone surrogate",
	[NOT_JSON] = "not JSON",
	[ARRAY] = "an array",
	[EMPTY] = "empty",
	[CONTROL] = "control character",
	[TRAILING] = "trailing garbage",
	[TWO_OBJECTS] = "two objects",
	[SCALAR] = "a scalar",
	[TOO_DEEP] = "too deep",
	[BAD_ESCAPE] = "bad escape",
	[BAD_NUMBER] = "bad number",
	[COMMA] = "trailing comma",
	[HALF_A_RECORD] = "half a record",
	[NO_OFFSET] = "no offset",
	[TEXT_OFFSET] = "offset is text",
	[NEGATIVE_OFFSET] = "negative offset",
	[FRACTION_PARTITION] = "partition with a fraction",
	[NUMBER_TOPIC] = "topic is a number",
	[UNKNOWN_ENC] = "unknown payload_enc",
	[FALSE_ENC] = "payload_enc that does not fit",
	[NO_HEADERS] = "headers are no list",
};

struct choice {
	size_t count;
	struct span text[8];
};

static const struct choice invalid_utf8 = { 5,
	{ SPAN("\xff"), SPAN("\xc3"), SPAN("\xc0\xaf"), SPAN("\xed\xa0\x80"),
	    SPAN("\xf4\x90\x80\x80") } };
static const struct choice lone_surrogate = { 3,
	{ SPAN("\\ud800"), SPAN("\\udc00"), SPAN("\\ud83dx") } };
static const struct choice not_json = { 5,
	{ SPAN("Traceback (most recent call last):"), SPAN("{'user_id': 'U000001'}"),
	    SPAN("{user_id: 1}"),
	    SPAN("% ERROR: Topic TX error: Broker: Unknown topic or partition"), SPAN("NaN") } };
static const struct choice control = { 4, { SPAN("\x01"), SPAN("\t"), SPAN("\x1b[0m"), SPAN("\0") } };
static const struct choice trailing = { 4, { SPAN(" trailing"), SPAN("}"), SPAN(","), SPAN(" 0") } };
static const struct choice scalar = { 5,
	{ SPAN("42"), SPAN("\"text\""), SPAN("null"), SPAN("true"), SPAN("12.50") } };
static const struct choice bad_escape = { 3, { SPAN("\\x41"), SPAN("\\u12"), SPAN("\\'") } };
static const struct choice bad_number = { 6,
	{ SPAN("012"), SPAN("+1"), SPAN("1."), SPAN(".5"), SPAN("NaN"), SPAN("0x1f") } };

unsigned broken_kinds(bool records)
{
	return records ? ALL_KINDS : ANY_KINDS;
}

const char *broken_name(unsigned kind)
{
	return kind < ALL_KINDS ? names[kind] : "?";
}

static struct span pick(const struct choice *c, struct rng *rng)
{
	return c->text[rng_below(rng, (uint32_t)c->count)];
}

/* Inside the last string of the object: before its closing quote. */
static void insert_in_string(struct buf *to, struct span good, struct span what)
{
	size_t at = good.n;

	while (at > 1 && good.p[at - 1] != '"')
		at--;
	buf_add(to, good.p, at - 1);
	buf_add_span(to, what);
	buf_add(to, good.p + at - 1, good.n - at + 1);
}

/* Another member at the end of the object. */
static void add_member(struct buf *to, struct span good, struct span value)
{
	buf_add(to, good.p, good.n - 1);
	buf_add_str(to, ",\"extra\":");
	buf_add_span(to, value);
	buf_add_char(to, '}');
}

static void add_deep(struct buf *to, struct span good)
{
	struct buf deep = BUF_INIT;

	for (int i = 0; i < JSON_DEPTH; i++)
		buf_add_char(&deep, '[');
	for (int i = 0; i < JSON_DEPTH; i++)
		buf_add_char(&deep, ']');
	add_member(to, good, buf_span(&deep));
	buf_release(&deep);
}

void broken_line(struct buf *to, unsigned kind, struct span good, struct rng *rng)
{
	switch (kind) {
	case TRUNCATED:
		buf_add(to, good.p, 1 + rng_below(rng, (uint32_t)good.n - 1));
		break;
	case INVALID_UTF8:
		insert_in_string(to, good, pick(&invalid_utf8, rng));
		break;
	case LONE_SURROGATE:
		insert_in_string(to, good, pick(&lone_surrogate, rng));
		break;
	case NOT_JSON:
		buf_add_span(to, pick(&not_json, rng));
		break;
	case ARRAY:
		buf_add_char(to, '[');
		buf_add_span(to, good);
		buf_add_char(to, ']');
		break;
	case CONTROL:
		insert_in_string(to, good, pick(&control, rng));
		break;
	case TRAILING:
		buf_add_span(to, good);
		buf_add_span(to, pick(&trailing, rng));
		break;
	case TWO_OBJECTS:
		buf_add_span(to, good);
		buf_add_span(to, good);
		break;
	case SCALAR:
		buf_add_span(to, pick(&scalar, rng));
		break;
	case TOO_DEEP:
		add_deep(to, good);
		break;
	case BAD_ESCAPE:
		insert_in_string(to, good, pick(&bad_escape, rng));
		break;
	case BAD_NUMBER:
		add_member(to, good, pick(&bad_number, rng));
		break;
	case COMMA:
		buf_add(to, good.p, good.n - 1);
		buf_add_str(to, ",}");
		break;
	case HALF_A_RECORD:
		buf_add_str(to, "{\"topic\":\"TX\",\"partition\":0,\"payload\":");
		buf_add_span(to, good);
		buf_add_char(to, '}');
		break;
	default: /* EMPTY */
		break;
	}
}

void broken_record(struct buf *to, unsigned kind, const char *topic, int32_t partition,
    int64_t offset, struct span good, struct rng *rng)
{
	if (kind < ANY_KINDS) {
		broken_line(to, kind, good, rng);
		return;
	}
	if (kind == NUMBER_TOPIC)
		buf_add_str(to, "{\"topic\":7,");
	else
		buf_addf(to, "{\"topic\":\"%s\",", topic);
	buf_addf(to, "\"partition\":%" PRId32 "%s,", partition, kind == FRACTION_PARTITION ? ".5" : "");
	if (kind == TEXT_OFFSET)
		buf_addf(to, "\"offset\":\"%" PRId64 "\",", offset);
	else if (kind == NEGATIVE_OFFSET)
		buf_addf(to, "\"offset\":-%" PRId64 ",", offset + 1);
	else if (kind != NO_OFFSET)
		buf_addf(to, "\"offset\":%" PRId64 ",", offset);
	if (kind == NO_HEADERS)
		buf_add_str(to, "\"headers\":{\"k\":\"v\"},");
	if (kind == UNKNOWN_ENC)
		buf_add_str(to, "\"payload_enc\":\"rot13\",");
	if (kind == FALSE_ENC)
		buf_add_str(to, "\"payload_enc\":\"base64\",");
	buf_add_str(to, "\"payload\":{}}");
}
