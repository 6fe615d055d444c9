#include "field.h"
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct field_plan plan = {
	.seed = 1,
	.count = 500,
	.first = 1,
	.users = 7,
	.start_ms = INT64_C(1793491200000),
	.days = 3,
	.tombstones = 10,
};

static bool is_changelog(enum field_kind kind)
{
	return kind >= FIELD_BLACKLIST;
}

static void every_payload_is_one_json_object(void **state)
{
	for (int kind = 0; kind < FIELD_KINDS; kind++) {
		struct field_plan p = plan;
		struct field_record r;
		struct field *f;
		int n = 0, tombstones = 0;

		p.kind = (enum field_kind)kind;
		f = field_open(&p);
		for (; field_next(f, &r); n++) {
			tombstones += r.tombstone;
			if (r.tombstone)
				assert_int_equal(r.payload.n, 0);
			else
				assert_true(r.payload.p[0] == '{' &&
				    json_valid(r.payload.p, r.payload.n, NULL));
		}
		assert_int_equal(n, kind == FIELD_REFERENCE ? 46 : 500);
		if (is_changelog(p.kind))
			assert_in_range(tombstones, 25, 80);
		else
			assert_int_equal(tombstones, 0);
		field_close(f);
	}
}

static void sending_times_never_go_back_and_stay_within_the_days(void **state)
{
	struct field_plan p = plan;
	struct field_record r;
	struct field *f;
	int64_t last = p.start_ms;

	p.kind = FIELD_TRANSACTIONS;
	f = field_open(&p);
	while (field_next(f, &r)) {
		assert_true(r.ts >= last && r.ts < p.start_ms + 3 * INT64_C(86400000));
		last = r.ts;
	}
	assert_true(last > p.start_ms + 5 * INT64_C(86400000) / 2);
	field_close(f);
}

static void all_users_occur_and_no_others(void **state)
{
	struct field_plan p = plan;
	struct field_record r;
	struct field *f;
	int seen[10] = { 0 };

	p.kind = FIELD_USER_TOTALS;
	f = field_open(&p);
	while (field_next(f, &r)) {
		assert_int_equal(r.key.n, 7);
		assert_memory_equal(r.key.p, "U00000", 6);
		seen[r.key.p[6] - '0']++;
	}
	for (int u = 0; u < 10; u++)
		assert_true(u >= 1 && u <= 7 ? seen[u] > 0 : seen[u] == 0);
	field_close(f);
}

static void size_pads_to_the_byte(void **state)
{
	struct field_plan p = plan;
	struct field_record r;
	struct field *f;

	p.kind = FIELD_TRANSACTIONS;
	p.size = 1000;
	f = field_open(&p);
	while (field_next(f, &r)) {
		assert_int_equal(r.payload.n, 1000);
		assert_true(json_valid(r.payload.p, r.payload.n, NULL));
	}
	field_close(f);
}

static void a_window_key_ends_with_its_start_in_big_endian(void **state)
{
	struct field_plan p = plan;
	struct field_record r;
	struct field *f;
	uint64_t start = 0;

	p.kind = FIELD_WINDOWS;
	p.tombstones = 0;
	f = field_open(&p);
	assert_true(field_next(f, &r));
	assert_true(r.binary && r.key.n > 8);
	for (size_t i = r.key.n - 8; i < r.key.n; i++)
		start = start << 8 | (unsigned char)r.key.p[i];
	assert_true(start % 300000 == 0 && (int64_t)start <= r.ts && r.ts < (int64_t)start + 300000);
	field_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_payload_is_one_json_object),
		cmocka_unit_test(sending_times_never_go_back_and_stay_within_the_days),
		cmocka_unit_test(all_users_occur_and_no_others),
		cmocka_unit_test(size_pads_to_the_byte),
		cmocka_unit_test(a_window_key_ends_with_its_start_in_big_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
