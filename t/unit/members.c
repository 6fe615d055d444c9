/* The library's headers first: cmocka.h has a macro named fail. */
#include "members.h"
#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static struct members *members;
static uint64_t scan;

static int setup(void **state)
{
	members = members_new();
	return 0;
}

static int teardown(void **state)
{
	members_free(members);
	return 0;
}

static struct span text_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static void look(const char *object)
{
	members_scan(members, text_of(object), ++scan, NULL, NULL);
}

static void assert_cell(const struct member_cell *c, const char *want)
{
	if (!want) {
		assert_true(c->scan != scan);
		return;
	}
	if (c->scan != scan || !span_is(c->value.raw, want))
		fail_msg("is \"%.*s\", should be \"%s\"", c->scan == scan ? (int)c->value.raw.n : 0,
		    c->value.raw.p, want);
}

static void values_have_their_exact_bytes_and_their_type(void **state)
{
	struct member_cell a = { 0 };

	members_want(members, SPAN("a"), &a, 0);
	members_ready(members);
	look("{ \"a\" : 12.50 }");
	assert_cell(&a, "12.50");
	assert_int_equal(a.value.type, JSON_NUMBER);
	look("{\"b\":{\"a\":1},\"a\":[ {\"a\":2} ]}");
	assert_cell(&a, "[ {\"a\":2} ]");
	assert_int_equal(a.value.type, JSON_ARRAY);
	look("{\"a\":\"\\u0041\"}");
	assert_true(a.value.escaped);
	look("{\"b\":1}");
	assert_cell(&a, NULL);
	look("{}");
	assert_cell(&a, NULL);
}

static void names_are_compared_without_their_escapes(void **state)
{
	struct member_cell a = { 0 };

	members_want(members, SPAN("a"), &a, 0);
	members_ready(members);
	look("{\"\\\\u0061\":1}"); /* the six characters \u0061 */
	assert_cell(&a, NULL);
	look("{\"\\u0061\":2}"); /* the same bytes, but for one backslash: a */
	assert_cell(&a, "2");
	look("{\"\\u0061\":2,\"\\\\u0061\":1}");
	assert_cell(&a, "2");
}

static void one_member_may_be_wanted_by_many(void **state)
{
	struct member_cell name = { 0 }, path = { 0 }, inner = { 0 };

	members_want(members, SPAN("User"), &name, 0);
	members_want_path(members, (struct span[]){ SPAN("user") }, 1, &path, 1);
	members_want_path(members, (struct span[]){ SPAN("user"), SPAN("id") }, 2, &inner, 2);
	members_ready(members);
	look("{\"user\":{\"id\":7,\"x\":[]}}");
	assert_cell(&name, "{\"id\":7,\"x\":[]}");
	assert_cell(&path, "{\"id\":7,\"x\":[]}");
	assert_cell(&inner, "7");
	look("{\"USER\":{\"id\":7}}");
	assert_cell(&name, "{\"id\":7}");
	assert_cell(&path, NULL);
	assert_cell(&inner, NULL);
}

/* What is said of a member: "name:owner" with + for wanted, and ! for a name that is not kept. */
static void note(void *ctx, struct member_name *name)
{
	struct buf *to = ctx;

	buf_add_span(to, name->name);
	for (size_t i = 0; i < name->uses; i++)
		buf_addf(to, ":%u%s", name->use[i].owner, name->use[i].wanted ? "+" : "");
	buf_add_str(to, name->kept ? " " : "! ");
}

static void each_member_of_the_outermost_object_is_told_with_its_owners(void **state)
{
	struct member_cell a = { 0 }, deep = { 0 };
	struct buf said = BUF_INIT;

	members_want(members, SPAN("a"), &a, 0);
	members_want(members, SPAN("A"), NULL, 1);
	members_want_path(members, (struct span[]){ SPAN("p"), SPAN("a") }, 2, &deep, 2);
	members_ready(members);
	members_scan(members, SPAN("{\"a\":1,\"p\":{\"a\":1,\"z\":2},\"x\":0,\"a\":2,\"\\u0070\":3}"),
	    ++scan, note, &said);
	assert_string_equal(buf_cstr(&said), "a:0+:1 p:2+ x a:0+:1 p:2+ ");
	assert_cell(&a, "2");
	assert_cell(&deep, NULL);
	buf_release(&said);
}

static void only_so_many_names_are_kept(void **state)
{
	struct buf object = BUF_INIT, said = BUF_INIT;
	struct member_cell late = { 0 };

	members_want(members, SPAN("late"), &late, 0);
	members_ready(members);
	buf_add_char(&object, '{');
	for (int i = 0; i < 3000; i++)
		buf_addf(&object, "\"n%d\":%d,", i, i);
	buf_add_str(&object, "\"LATE\":1}");
	members_scan(members, buf_span(&object), ++scan, note, &said);
	assert_non_null(strstr(buf_cstr(&said), "n0 n1 "));
	assert_non_null(strstr(said.data, " n2998! n2999! LATE:0+! "));
	assert_cell(&late, "1");
	look("{\"late\":2,\"LATE\":3}");
	assert_cell(&late, "2");
	buf_release(&object);
	buf_release(&said);
}

/* ---- against a search from the beginning ---- */

#define WANTS 6

static const struct {
	const char *step[3];
	int steps; /* 0: a name in any case */
} wants[WANTS] = {
	{ { "a" }, 0 },
	{ { "b" }, 0 },
	{ { "a", "b" }, 2 },
	{ { "a", "b", "a" }, 3 },
	{ { "B" }, 1 },
	{ { "b", "A" }, 2 },
};

/* The last member of that name; in_any_case: if there is none, the last in another case. */
static bool member_of(const struct json_value *object, const char *name, bool in_any_case,
    struct json_value *out)
{
	struct json_value v;
	bool found = false, exact = false, escaped;
	struct buf plain = BUF_INIT;
	struct span key;
	struct json j;

	if (object->type != JSON_OBJECT)
		return false;
	json_init(&j, object->raw.p, object->raw.n);
	json_enter(&j);
	while (json_member(&j, &key, &escaped) > 0 && json_value(&j, &v) == 0) {
		buf_clear(&plain);
		json_unescape(&plain, key);
		if (strcmp(buf_cstr(&plain), name) == 0)
			exact = true;
		else if (!in_any_case || exact || strcasecmp(plain.data, name) != 0)
			continue;
		*out = v;
		found = true;
	}
	buf_release(&plain);
	return found;
}

static bool search(struct span text, int want, struct json_value *v)
{
	*v = (struct json_value){ JSON_OBJECT, text, false };
	if (wants[want].steps == 0)
		return member_of(&(struct json_value){ JSON_OBJECT, text, false },
		    wants[want].step[0], true, v);
	for (int i = 0; i < wants[want].steps; i++) {
		struct json_value object = *v;

		if (!member_of(&object, wants[want].step[i], false, v))
			return false;
	}
	return true;
}

static void add_object(struct rng *rng, struct buf *to, int depth)
{
	static const char *const names[] = { "a", "b", "A", "B", "\\u0061", "\\u0042", "c", "", "aa" };
	unsigned n = rng_below(rng, 5);

	buf_add_char(to, '{');
	for (unsigned i = 0; i < n; i++) {
		buf_addf(to, "%s\"%s\":", i > 0 ? "," : "",
		    names[rng_below(rng, sizeof(names) / sizeof(names[0]))]);
		if (depth < 4 && rng_below(rng, 2) > 0)
			add_object(rng, to, depth + 1);
		else
			buf_addf(to, "%u", rng_below(rng, 1000));
	}
	buf_add_char(to, '}');
}

static void random_objects_give_what_a_search_from_the_beginning_gives(void **state)
{
	struct member_cell cell[WANTS] = { 0 };
	struct buf text = BUF_INIT;
	struct json_value v;
	unsigned found = 0;

	for (int i = 0; i < WANTS; i++) {
		struct span step[3];

		for (int k = 0; k < 3 && wants[i].step[k]; k++)
			step[k] = text_of(wants[i].step[k]);
		if (wants[i].steps == 0)
			members_want(members, step[0], &cell[i], 0);
		else
			members_want_path(members, step, wants[i].steps, &cell[i], 0);
	}
	members_ready(members);
	for (uint64_t seed = 0; seed < 50000; seed++) {
		struct rng rng = rng_at(1, 0, seed);

		buf_clear(&text);
		add_object(&rng, &text, 0);
		members_scan(members, buf_span(&text), ++scan, NULL, NULL);
		for (int i = 0; i < WANTS; i++) {
			bool there = search(buf_span(&text), i, &v);

			if (there != (cell[i].scan == scan) ||
			    (there &&
				(v.raw.p != cell[i].value.raw.p || v.raw.n != cell[i].value.raw.n)))
				fail_msg("want %d of %s", i, buf_cstr(&text));
			found += there;
		}
	}
	assert_true(found > 10000);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_have_their_exact_bytes_and_their_type, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(names_are_compared_without_their_escapes, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(one_member_may_be_wanted_by_many, setup, teardown),
		cmocka_unit_test_setup_teardown(each_member_of_the_outermost_object_is_told_with_its_owners,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(only_so_many_names_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(random_objects_give_what_a_search_from_the_beginning_gives,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
