/*
 * libFuzzer target for lib/row: lines through a mapping. What a converter has learnt from the lines before changes
 * nothing: one that is new says the same of each line.
 */
#include "row.h"
#include "log.h"

#include "../unit/tables.h"
#include "fuzz.h"

unsigned corpus_cuts = 40;

static const struct span mapping_text = SPAN(
    "{\"tables\":["
    "{\"table\":\"dim_users\",\"key\":[\"user_id\"],\"columns\":{\"city\":\".user.city\",\"source\":{\"const\":\"f\"},"
    "\"score\":\".user\",\"seen_at\":\"@ts\"}},"
    "{\"table\":\"pairs\",\"topics\":[\"P\",\"Q\"],\"key\":[\"a\",\"b\"],\"columns\":{\"v\":\".user.city.v\"}},"
    "{\"table\":\"windows\",\"topics\":[\"W\"],\"columns\":{\"type\":\"@key.type\",\"window_start\":\"@window.start\"}},"
    "{\"table\":\"events\",\"topics\":[\"E\"]},"
    "{\"table\":\"places\",\"topics\":[\"L\"],\"columns\":{\"topic\":\"@topic\",\"part\":\"@partition\",\"off\":\"@offset\","
    "\"at\":\"@ts\",\"ends\":\"@window.end\",\"k\":\"@key\"}}]}");

#define TARGETS 5

/* One converter, and what it said of the line. */
struct side {
	struct rows *rows;
	struct row row[TARGETS];
	struct row_problem problem;
	int result;
};

static void convert(struct side *s, struct span text)
{
	struct line l;

	s->result = stream_parse(rows_stream(s->rows), text, &l);
	if (s->result == 0 && l.kind == LINE_MARK)
		s->result = -1;
	if (s->result < 0) {
		s->problem = (struct row_problem){ .why = "no line" };
		return;
	}
	s->result = rows_convert(s->rows, &l, s->row, &s->problem);
	must(s->result == 0 || s->problem.why, "a reject says why");
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_same(const struct row *a, const struct row *b, const struct table *t)
{
	must(a->kind == b->kind && span_eq(a->values, b->values) && span_eq(a->key, b->key),
	    "the row is the same");
	must((a->columns != NULL) == (a->kind == ROW_UPSERT), "upserts have columns");
	if (!a->columns)
		return;
	must(a->columns->count == b->columns->count, "so are its columns");
	for (unsigned i = 0; i < a->columns->count; i++) {
		must(a->columns->at[i] == b->columns->at[i] && a->columns->at[i] < t->columns,
		    "each of them");
		must(i == 0 || a->columns->at[i - 1] < a->columns->at[i], "and they ascend");
		must(!a->ends || (a->ends[i] == b->ends[i] && a->ends[i] <= a->values.n),
		    "and end where they do");
	}
	must(!a->ends || a->columns->count == 0 || a->ends[a->columns->count - 1] == a->values.n,
	    "all of it is theirs");
}

static void check_line(struct side *warm, const struct mapping *m, const struct rows_options *o,
    struct span text)
{
	struct side cold = { .rows = rows_new(m, o) };

	convert(warm, text);
	convert(&cold, text);
	must(warm->result == cold.result, "what was before makes no reject");
	if (cold.result < 0)
		must(same_text(warm->problem.why, cold.problem.why) &&
			same_text(warm->problem.column, cold.problem.column) &&
			same_text(warm->problem.table, cold.problem.table),
		    "nor another reason for one");
	for (size_t i = 0; i < m->targets && cold.result == 0; i++)
		check_same(&warm->row[i], &cold.row[i], m->target[i].table);
	rows_free(cold.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct mapping *m;
	struct take t = { data, n };
	struct rows_options o = { .quiet = true, .partial = take_byte(&t) & 1 };
	struct side warm = { 0 };

	if (!m)
		m = mapping_build(&tables_by_hand,
		    &(struct mapping_options){ .file = memory_path(mapping_text) });
	must(m && m->targets == TARGETS, "the mapping is good");
	warm.rows = rows_new(m, &o);
	while (t.n > 0)
		check_line(&warm, m, &o, take_line(&t));
	rows_free(warm.rows);
	return 0;
}
