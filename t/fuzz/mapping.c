/*
 * libFuzzer target for lib/mapping_file: any bytes as the file of -M, against the tables of t/unit/tables.h. It is
 * refused with a place, or makes a mapping that holds what mapping.h says of it.
 */
#include "log.h"
#include "row.h"
#include "value.h"

#include "../unit/tables.h"
#include "fuzz.h"

unsigned corpus_cuts = 40;

static void check_source(const struct column *c, const struct source *s)
{
	struct value value = { 0 };
	struct buf sql = BUF_INIT;
	struct stream paths;

	must(!c->generated || s->kind == SOURCE_NONE, "generated columns are left alone");
	must(s->kind <= SOURCE_CONST, "a source is one of those there are");
	must((s->kind == SOURCE_PATH || s->kind == SOURCE_KEY_MEMBER) == (s->text != NULL),
	    "these have a text");
	if (s->kind == SOURCE_PATH) {
		stream_init(&paths);
		must(stream_want(&paths, s->text) == 0, "a path is one");
		stream_release(&paths);
	}
	if (s->kind == SOURCE_CONST)
		must(value_convert(&value, c, &(struct value_in){ .json = s->value }, &sql, NULL) !=
			VALUE_REJECT,
		    "a constant fits its column");
	buf_release(&sql);
	value_release(&value);
}

static void check_target(const struct target *t)
{
	bool keyed = false;

	for (unsigned i = 0; i < t->table->columns; i++) {
		const struct source *s = &t->source[i];

		check_source(&t->table->column[i], s);
		keyed |= s->kind == SOURCE_KEY || s->kind == SOURCE_KEY_MEMBER;
	}
	must(keyed || !t->has_key, "where the key deletes it fills something");
	must(t->topics == 0 || !target_takes(t, (struct span){ 0 }), "bare objects have no topic");
	for (size_t i = 0; i < t->topics; i++)
		must(target_takes(t, (struct span){ t->topic[i], strlen(t->topic[i]) }),
		    "it takes its topics");
}

/* A record goes through it. */
static void check_rows(const struct mapping *m)
{
	static const struct span text = SPAN(
	    "{\"topic\":\"TX\",\"partition\":0,\"offset\":1,\"ts\":5,\"key\":"
	    "{\"a\":\"k\",\"b\":1},\"payload\":{\"tx\":\"t\",\"user\":{\"id\":1},\"amount\":2}}");
	struct rows *rows = rows_new(m, &(struct rows_options){ .quiet = true });
	struct row *row = xcalloc(m->targets, sizeof(*row));
	struct row_problem problem = { 0 };
	struct line l;

	must(stream_parse(rows_stream(rows), text, &l) == 0, "it is a record");
	must(rows_convert(rows, &l, row, &problem) == 0 || problem.why, "a reject says why");
	free(row);
	rows_free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *path = memory_path((struct span){ (const char *)data, n });
	static FILE *nowhere;
	struct mapping *m;
	struct buf text = BUF_INIT;
	FILE *old = stderr;

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	stderr = nowhere; /* all mistakes but the last are said there */
	m = mapping_build(&tables_by_hand, &(struct mapping_options){ .file = path });
	stderr = old;
	if (!m) {
		must(fail_code() ==
			(strcmp(fail_message(), TABLES_GONE) == 0 ? EXIT_UNAVAILABLE : EXIT_CONFIG),
		    "a mistake is one of the configuration");
		must(fail_code() == EXIT_UNAVAILABLE || strncmp(fail_message(), path, strlen(path)) == 0,
		    "a mistake names the file");
		return 0;
	}
	must(m->targets > 0, "a mapping has a table");
	for (size_t i = 0; i < m->targets; i++)
		check_target(&m->target[i]);
	mapping_print(m, &text);
	check_rows(m);
	buf_release(&text);
	mapping_free(m);
	return 0;
}
