/*
 * json-valid [-d]: for each text on stdin (its length in four bytes, little-endian, then its bytes)
 * one byte on stdout: 1 when the scanner accepts it, 0 when not. json_valid and the pull functions
 * must agree. With -d every accepted text is followed by a dump of what the pull functions saw,
 * with its length before it: [ ] { } t f z, nRAW; for numbers, sLENGTH:BYTES for decoded strings
 * and names.
 */
#include "io.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool dump = false;

static void add_string(struct buf *to, struct span s)
{
	buf_addf(to, "s%zu:", s.n);
	buf_add_span(to, s);
}

static bool walk(struct json *j, struct buf *to);

static bool walk_container(struct json *j, enum json_type type, struct buf *to)
{
	struct buf scratch = BUF_INIT;
	struct span key;
	bool escaped;
	int r;

	buf_add_char(to, *j->p);
	if (json_enter(j) < 0)
		return false;
	for (;;) {
		r = type == JSON_OBJECT ? json_member(j, &key, &escaped) : json_element(j);
		if (r <= 0)
			break;
		if (type == JSON_OBJECT) {
			buf_clear(&scratch);
			if (escaped)
				json_unescape(&scratch, key);
			add_string(to, escaped ? buf_span(&scratch) : key);
		}
		if (!walk(j, to))
			break;
	}
	buf_add_char(to, type == JSON_OBJECT ? '}' : ']');
	buf_release(&scratch);
	return r == 0;
}

static bool walk(struct json *j, struct buf *to)
{
	enum json_type type = json_peek(j);
	struct buf scratch = BUF_INIT;
	struct json_value v;

	if (type == JSON_ARRAY || type == JSON_OBJECT)
		return walk_container(j, type, to);
	if (json_value(j, &v) < 0)
		return false;
	if (type == JSON_STRING)
		add_string(to, json_text(&v, &scratch));
	else if (type == JSON_NUMBER)
		buf_addf(to, "n%.*s;", (int)v.raw.n, v.raw.p);
	else
		buf_add_char(to, type == JSON_TRUE ? 't' : type == JSON_FALSE ? 'f' : 'z');
	buf_release(&scratch);
	return true;
}

static void judge(const char *p, size_t n, struct writer *out)
{
	bool valid = json_valid(p, n, NULL);
	struct buf seen = BUF_INIT;
	struct json j;
	uint32_t length;

	json_init(&j, p, n);
	if ((walk(&j, &seen) && json_finish(&j) == 0) != valid) {
		fprintf(stderr, "json-valid: json_valid and the pull functions disagree on: %.*s\n",
		    (int)n, p);
		exit(1);
	}
	buf_add_char(&out->buf, (char)valid);
	if (valid && dump) {
		length = (uint32_t)seen.len;
		buf_add(&out->buf, &length, sizeof(length));
		buf_add_span(&out->buf, buf_span(&seen));
	}
	buf_release(&seen);
}

int main(int argc, char **argv)
{
	struct writer out;
	uint32_t n;
	int failed;

	dump = argc > 1 && strcmp(argv[1], "-d") == 0;
	writer_init(&out, STDOUT_FILENO, 0);
	while (fread(&n, sizeof(n), 1, stdin) == 1) {
		char *text = malloc(n); /* of exactly its size: a sanitizer sees what reads beyond */

		if (n > 0 && (!text || fread(text, n, 1, stdin) != 1)) {
			fprintf(stderr, "json-valid: input ends within a text\n");
			return 1;
		}
		judge(text, n, &out);
		free(text);
		if (writer_check(&out) < 0)
			return 1;
	}
	failed = writer_close(&out) < 0;
	writer_release(&out);
	return failed;
}
