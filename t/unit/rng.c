#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The numbers of the authors' reference implementation for this seed. */
static void gives_the_published_numbers(void **state)
{
	static const uint64_t expected[] = { UINT64_C(6457827717110365317),
		UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
		UINT64_C(4593380528125082431), UINT64_C(16408922859458223821) };
	struct rng r = { 1234567 };

	for (int i = 0; i < 5; i++)
		assert_true(rng_next(&r) == expected[i]);
}

static void below_reaches_every_value_and_no_other(void **state)
{
	struct rng r = { 7 };
	int seen[6] = { 0 };

	for (int i = 0; i < 60000; i++) {
		uint32_t n = rng_below(&r, 6);

		assert_true(n < 6);
		seen[n]++;
	}
	for (int i = 0; i < 6; i++)
		assert_in_range(seen[i], 9500, 10500);
}

static void streams_and_numbers_differ(void **state)
{
	struct rng a = rng_at(1, 0, 5), b = rng_at(1, 1, 5), c = rng_at(2, 0, 5), d = rng_at(1, 0, 6);
	uint64_t first = rng_next(&a);

	assert_true(first != rng_next(&b));
	assert_true(first != rng_next(&c));
	assert_true(first != rng_next(&d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_published_numbers),
		cmocka_unit_test(below_reaches_every_value_and_no_other),
		cmocka_unit_test(streams_and_numbers_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
