/*
 * libFuzzer target for lib/resume: a file of position marks. Whatever it says is where a run resumes, and printed
 * as marks and read again it is the same.
 */
#include "log.h"
#include "resume.h"

#include "fuzz.h"

#include <inttypes.h>

static void print(struct positions *ps, struct buf *to)
{
	struct position **list;
	size_t n;

	for (size_t i = 0; i < ps->count; i++) {
		const struct position *p = ps->item[i];

		must(p->stored && p->next >= 0 && p->partition >= 0 && p->topic_len > 0 &&
			strlen(p->topic) == p->topic_len,
		    "a position is one");
		ps->item[i]->moved = true;
	}
	n = positions_moved(ps, &list);
	positions_print(list, n, to);
	free(list);
}

/* The last position mark of each partition is what counts. */
static void check_against_lines(struct span text, const struct positions *ps)
{
	struct take t = { (const uint8_t *)text.p, text.n };
	struct positions seen;
	struct stream stream;
	struct line l;

	stream_init(&stream);
	positions_init(&seen, (struct positions_rules){ 0 });
	while (t.n > 0) {
		must(stream_parse(&stream, take_line(&t), &l) == 0 && l.kind == LINE_MARK,
		    "a file that is accepted has marks only");
		if (l.mark == MARK_POSITION)
			positions_get(&seen, l.topic, l.partition)->next = l.offset;
	}
	must(seen.count == ps->count, "no partition is lost");
	for (size_t i = 0; i < seen.count; i++) {
		const struct position *p = seen.item[i];
		const struct position *q = positions_find(ps,
		    (struct span){ p->topic, p->topic_len }, p->partition);

		must(q && q->next == p->next, "the last mark counts");
	}
	positions_release(&seen);
	stream_release(&stream);
}

/* "FILE:LINE: why", and the line is the first that is no mark. */
static void check_failure(struct span text, const char *path)
{
	struct take t = { (const uint8_t *)text.p, text.n };
	char *message = xstrdup(fail_message());
	struct buf place = BUF_INIT;
	uint64_t number = 1;
	struct stream stream;
	struct line l;

	stream_init(&stream);
	while (t.n > 0 && stream_parse(&stream, take_line(&t), &l) == 0 && l.kind == LINE_MARK)
		number++;
	buf_addf(&place, "%s:%" PRIu64 ": ", path, number);
	must(strncmp(message, buf_cstr(&place), place.len) == 0, "the line that is wrong is named");
	must(fail_code() == EXIT_DATA, "it is bad data");
	free(message);
	buf_release(&place);
	stream_release(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	struct buf printed = BUF_INIT, again = BUF_INIT;
	struct positions ps;
	const char *path = memory_path(text);

	positions_init(&ps, (struct positions_rules){ 0 });
	if (resume_read(path, "append", &ps) == 0) {
		check_against_lines(text, &ps);
		print(&ps, &printed);
		positions_release(&ps);
		must(resume_read(memory_path(buf_span(&printed)), "append", &ps) == 0,
		    "what is printed can be read");
		print(&ps, &again);
		must(span_eq(buf_span(&printed), buf_span(&again)), "and is the same");
	} else {
		check_failure(text, path);
	}
	positions_release(&ps);
	buf_release(&printed);
	buf_release(&again);
	return 0;
}
