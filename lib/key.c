#include "key.h"

#include "clock.h"
#include "json.h"
#include "log.h"
#include "opt.h"

#define TIME_SIZE 8
#define SHOWN_MAX 40 /* bytes of a number, in messages */

const char *const key_type_name[KEY_TYPES] = {
	[KEY_TEXT] = "text",
	[KEY_JSON] = "json",
	[KEY_INT] = "int",
	[KEY_BIGINT] = "bigint",
	[KEY_DOUBLE] = "double",
	[KEY_BASE64] = "base64",
};

const char *const window_kind_name[WINDOW_KINDS] = {
	[WINDOW_TIME] = "time",
	[WINDOW_SESSION] = "session",
};

/* ---- options ---- */

/* kcat's letters for the same, big-endian as there: i, >i, i$ (it takes more bytes behind an i without $). */
static bool is_kcat_name(enum key_type type, const char *arg)
{
	static const char letter[KEY_TYPES] = { [KEY_TEXT] = 's', [KEY_INT] = 'i', [KEY_BIGINT] = 'q' };

	arg += *arg == '>';
	return *arg && *arg == letter[type] && (arg[1] == '\0' || strcmp(arg + 1, "$") == 0);
}

int key_parse_type(void *format, const char *arg)
{
	struct key_format *f = format;

	if (strncmp(arg, "key=", 4) != 0)
		return fail(EXIT_USAGE, "\"%s\" is not key=TYPE (payloads need none)", arg);
	for (unsigned i = 0; i < KEY_TYPES; i++) {
		enum key_type type = (enum key_type)i;

		if ((key_type_name[i] && strcmp(arg + 4, key_type_name[i]) == 0) ||
		    is_kcat_name(type, arg + 4)) {
			f->type = type;
			return 0;
		}
	}
	return fail(EXIT_USAGE, "\"%s\" is none of text, json, int, bigint, double, base64", arg + 4);
}

int key_parse_window(void *format, const char *arg)
{
	struct key_format *f = format;

	if (strcmp(arg, "session") == 0) {
		f->window = WINDOW_SESSION;
		return 0;
	}
	if (strncmp(arg, "time:", 5) != 0)
		return fail(EXIT_USAGE, "\"%s\" is neither time:SIZE, such as time:5m, nor session",
		    arg);
	f->window = WINDOW_TIME;
	return opt_duration(arg + 5, &f->size_ms);
}

/* ---- bytes ---- */

static uint64_t get_big_endian(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

static void add_big_endian(struct buf *to, uint64_t v, size_t n)
{
	while (n-- > 0)
		buf_add_char(to, (char)(v >> 8 * n));
}

/* ---- windows ---- */

bool key_take_window(const struct key_format *f, struct span *key, struct key_window *w)
{
	bool session = f->window == WINDOW_SESSION;
	size_t size = session ? 2 * TIME_SIZE : TIME_SIZE;
	const char *end = key->p + key->n;
	int64_t start, last;

	if (key->n < size)
		return false;
	start = last = (int64_t)get_big_endian(end - TIME_SIZE, TIME_SIZE);
	if (session)
		last = (int64_t)get_big_endian(end - size, TIME_SIZE);
	if (start < 0 || last < start || last > CLOCK_MAX_MS)
		return false;
	*w = (struct key_window){ start, session ? last : start + f->size_ms };
	key->n -= size;
	return true;
}

void key_add_window(struct buf *to, enum window_kind kind, const struct key_window *w)
{
	if (kind == WINDOW_SESSION)
		add_big_endian(to, (uint64_t)w->end, TIME_SIZE);
	add_big_endian(to, (uint64_t)w->start, TIME_SIZE);
}

/* ---- numbers ---- */

bool key_add_number(struct buf *to, enum key_type type, struct span bytes)
{
	uint64_t v;
	double d;

	if (bytes.n != (type == KEY_INT ? 4 : 8))
		return false;
	v = get_big_endian(bytes.p, bytes.n);
	if (type == KEY_DOUBLE) {
		memcpy(&d, &v, sizeof(d));
		return json_add_double(to, d);
	}
	buf_add_int(to, type == KEY_INT ? (int32_t)v : (int64_t)v);
	return true;
}

int key_add_bytes(struct buf *to, enum key_type type, struct span number)
{
	int shown = (int)(number.n < SHOWN_MAX ? number.n : SHOWN_MAX);
	uint64_t bits;
	int64_t v;
	double d;

	if (type == KEY_DOUBLE && json_double(number, &d) == 0) {
		memcpy(&bits, &d, sizeof(bits));
		add_big_endian(to, bits, 8);
	} else if (type == KEY_BIGINT && json_int64(number, &v) == 0) {
		add_big_endian(to, (uint64_t)v, 8);
	} else if (type == KEY_INT && json_int64(number, &v) == 0 && (int32_t)v == v) {
		add_big_endian(to, (uint32_t)v, 4);
	} else {
		return fail(EXIT_DATA, "the key %.*s is not of type %s", shown, number.p,
		    key_type_name[type]);
	}
	return 0;
}
