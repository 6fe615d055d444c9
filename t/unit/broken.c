#include "broken.h"
#include "log.h"
#include "stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GOOD   "{\"user_id\":\"U000001\",\"amount\":12.50}"
#define RECORD "{\"topic\":\"TX\",\"partition\":3,\"offset\":42,\"key\":null,\"payload\":{}}"

static void parses_only_when_whole(struct stream *s)
{
	struct line l;

	assert_int_equal(stream_parse(s, SPAN(GOOD), &l), 0);
	assert_int_equal(stream_parse(s, SPAN(RECORD), &l), 0);
}

/* Each kind draws among several spellings: many rounds see them all. */
static void no_kind_is_taken_for_a_good_line(void **state)
{
	struct buf line = BUF_INIT;
	struct stream s;
	struct line l;

	stream_init(&s);
	parses_only_when_whole(&s);
	for (unsigned kind = 0; kind < broken_kinds(true); kind++) {
		for (uint64_t round = 0; round < 200; round++) {
			struct rng rng = rng_at(1, kind, round);

			buf_clear(&line);
			if (round % 2 || kind >= broken_kinds(false))
				broken_record(&line, kind, "TX", 3, 42, SPAN(RECORD), &rng);
			else
				broken_line(&line, kind, SPAN(GOOD), &rng);
			buf_reserve(&line, 64); /* the scanner may read that far */
			if (stream_parse(&s, buf_span(&line), &l) == 0)
				fail_msg("%s passes: %.*s", broken_name(kind), (int)line.len,
				    line.data);
		}
	}
	buf_release(&line);
	stream_release(&s);
}

static void every_kind_has_a_name(void **state)
{
	for (unsigned kind = 0; kind < broken_kinds(true); kind++) {
		assert_true(strlen(broken_name(kind)) > 3);
		for (unsigned other = 0; other < kind; other++)
			assert_string_not_equal(broken_name(kind), broken_name(other));
	}
	assert_string_equal(broken_name(broken_kinds(true)), "?");
}

static void no_line_break_gets_into_a_line(void **state)
{
	struct buf line = BUF_INIT;

	for (unsigned kind = 0; kind < broken_kinds(true); kind++) {
		for (uint64_t round = 0; round < 50; round++) {
			struct rng rng = rng_at(2, kind, round);

			buf_clear(&line);
			broken_record(&line, kind, "TX", 3, 42, SPAN(RECORD), &rng);
			assert_true(line.len == 0 || !memchr(line.data, '\n', line.len));
		}
	}
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_kind_is_taken_for_a_good_line),
		cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(no_line_break_gets_into_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
