/* mysql-upsert: stream to warehouse, exactly once. The work is in lib/loader.c and lib/apply.c. */
#include "db.h"
#include "io.h"
#include "json.h"
#include "loader.h"
#include "log.h"
#include "mapping.h"
#include "opt.h"
#include "positions.h"
#include "progress.h"
#include "pump.h"
#include "rejects.h"
#include "warehouse.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
	struct db_config db;
	struct mapping_options mapping;
	struct loader_options loader;
	bool no_reduce, print, rejects, replay, force;
};

static struct options o;

/* It becomes a key of sluice_positions: with blanks at its end it would be another's there. */
static int set_name(void *ctx, const char *arg)
{
	size_t n = strlen(arg);

	o.loader.name = arg;
	return n > 0 && arg[n - 1] != ' ' && utf8_valid(arg, n)
	    ? 0
	    : fail(EXIT_USAGE, "a name is UTF-8, not empty, and does not end with a blank");
}

/* ---- what does not read the stream ---- */

static int print_positions(struct db *db, const char *name, char **topic, int topics, struct writer *out)
{
	struct positions ps;
	int r;

	positions_init(&ps, (struct positions_rules){ 0 });
	r = warehouse_positions(db, name, &ps);
	if (r == 0 && ps.count == 0)
		note("%s: has no positions of the name \"%s\"", db_database(db), name);
	positions_print_stored(&ps, topic, topics, &out->buf);
	positions_release(&ps);
	return r;
}

static int replay(struct db *db, const char *name, const struct mapping *m)
{
	struct replay_counts c;

	if (rejects_replay(db, name, m, o.loader.partial, o.force, &c) < 0)
		return -1;
	say("%" PRIu64 " reject%s applied, %" PRIu64 " passed over: newer rows are there, %" PRIu64
	    " kept",
	    c.applied, plural(c.applied), c.passed, c.kept);
	return c.kept > 0 ? EXIT_REJECTED : EXIT_DONE;
}

/* ---- the stream ---- */

static void summary(struct loader *l, const struct progress *p)
{
	struct loader_counts c = loader_counts(l);
	char figures[128];

	if (c.rounded > 0)
		warn("%" PRIu64 " decimal%s rounded to the scale of the column", c.rounded,
		    plural(c.rounded));
	if (c.unknown > 0)
		warn("%" PRIu64 " member%s without a column, not stored", c.unknown, plural(c.unknown));
	progress_figures(p, c.in, c.bytes, figures, sizeof(figures));
	say("%" PRIu64 " record%s in, %" PRIu64 " row%s upserted, %" PRIu64 " deleted, %" PRIu64
	    " skipped, %" PRIu64 " rejected; %" PRIu64 " commit%s, %" PRIu64 " retried; %s",
	    c.in, plural(c.in), c.upserted, plural(c.upserted), c.deleted, c.skipped, c.rejected,
	    c.commits, plural(c.commits), c.retried, figures);
}

static int load(struct db *db, const struct mapping *m, struct writer *out)
{
	struct progress p;
	struct loader *l;
	struct pump to;
	int r;

	sig_install(false);
	progress_start(&p);
	if (o.loader.dry)
		mapping_print(m, &out->buf);
	l = loader_open(db, m, &o.loader, out);
	if (!l)
		return -1;
	to = loader_pump(l);
	r = pump_run(&to, &p);
	if (r < 0)
		r = out->broken && fail_code() == EXIT_IO ? EXIT_IO : (int)report();
	else if (loader_counts(l).rejected > 0)
		r = EXIT_REJECTED;
	summary(l, &p);
	loader_close(l);
	if (out->broken)
		sig_broken_pipe();
	return r == EXIT_DONE && sig_stop() == SIGINT ? EXIT_INT : r;
}

/* ---- options ---- */

static struct options o = {
	.db = { .timeout_ms = 30000 },
	.loader = { .reduce = true, .interval_ms = 1000, .rows = 10000, .buffer = INT64_C(208) << 20 },
};

static const struct opt table[] = {
	DB_OPTIONS(o.db),
	{ 'T', "table", "TABLE", OPT_STRING, &o.mapping.table, .help = "write to this table" },
	{ 'k', "key", "COL,...", OPT_STRING, &o.mapping.keys,
	    .help = "columns that the Kafka key fills; tombstones delete by it" },
	{ 'M', "mapping", "FILE", OPT_STRING, &o.mapping.file,
	    .help = "which part of a record goes into which column of which table: sluice-mapping(5)" },
	{ 'r', "keep-rejects", NULL, OPT_FLAG, &o.loader.rejects,
	    .help = "keep records that do not fit in sluice_rejects and go on" },
	{ 'i', "interval", "SEC", OPT_SECONDS, &o.loader.interval_ms,
	    .help = "commit when the oldest uncommitted record is so old (1)" },
	{ 0, "rows", "N", OPT_INT, &o.loader.rows, NULL, 1, 10000000,
	    "commit at so many records, if the server is free (10000)" },
	{ 0, "buffer", "SIZE", OPT_SIZE, &o.loader.buffer, NULL, 1, INT64_MAX,
	    "memory for records that wait for the server (208M)" },
	{ 0, "no-reduce", NULL, OPT_FLAG, &o.no_reduce,
	    .help = "send each record, in stream order: for tables with triggers or history" },
	{ 0, "partial", NULL, OPT_FLAG, &o.loader.partial,
	    .help = "leave columns of absent members as they are" },
	{ 'N', "name", "NAME", OPT_CALL, NULL, set_name,
	    .help = "name of this pipeline's positions (the tables)" },
	{ 'a', "ack", NULL, OPT_FLAG, &o.loader.acks,
	    .help = "print the positions of each commit when it is durable" },
	{ 'Q', "positions", NULL, OPT_FLAG, &o.print, .help = "print the stored positions" },
	{ 'n', "dry-run", NULL, OPT_FLAG, &o.loader.dry,
	    .help = "print the mapping and the statements, write nothing" },
	{ 0, "rejects", NULL, OPT_FLAG, &o.rejects, .help = "print the records that -r kept" },
	{ 0, "replay", NULL, OPT_FLAG, &o.replay,
	    .help = "apply the records that -r kept, where the key has no row; those that still do not fit stay" },
	{ 0, "force", NULL, OPT_FLAG, &o.force, .help = "with --replay: also over rows that are there" },
	{ 0, "any-unique", NULL, OPT_FLAG, &o.mapping.any_unique,
	    .help = "accept tables with another unique key; implies --no-reduce" },
	{ 0, "allow-gap", NULL, OPT_FLAG, &o.loader.allow_gap,
	    .help = "accept a stream that starts above the position" },
	{ 0, "recreated", NULL, OPT_FLAG, &o.loader.recreated,
	    .help = "the topic was made anew: begin its positions anew" },
};

static const struct opt_tool tool = {
	"mysql-upsert",
	"[--defaults-file FILE] [-D DB] -T TABLE [-k COL,...] [-r]\n"
	" [-i SEC] [-N NAME] [-a]\n"
	"[--defaults-file FILE] [-D DB] -M MAPPING [-T TABLE] [-r]\n"
	" [-i SEC] [-N NAME] [-a]\n"
	"-n -T TABLE | -M MAPPING\n"
	"-Q -T TABLE | -M MAPPING | -N NAME [TOPIC ...]\n"
	"--rejects | --replay [--force] -T TABLE | -M MAPPING",
	"Keeps tables of MariaDB or MySQL equal to a stream of records, exactly once.",
	table,
	OPT_COUNT(table),
	NULL,
	true,
};

/* An option that does nothing is a mistake somewhere: better told than ignored. */
static int check_options(int operands)
{
	static const char *const printing[] = { "rejects", "replay", "partial", NULL };
	static const char *const showing[] = { "replay", "partial", NULL };
	static const char *const loading[] = { "dry-run", "keep-rejects", "interval", "rows",
		"buffer", "no-reduce", "ack", "allow-gap", "recreated", NULL };
	static const char *const ack[] = { "ack", NULL }, *const force[] = { "force", NULL },
				 *const key[] = { "key", NULL };
	const char *mode = o.print ? "does not go with -Q"
	    : o.rejects            ? "does not go with --rejects"
	    : o.replay             ? "does not go with --replay"
				   : NULL;

	if (!o.mapping.table && !o.mapping.file && !(o.loader.name && (o.print || o.rejects)))
		return fail(EXIT_USAGE,
		    "which table? -T TABLE or -M MAPPING (try mysql-upsert --help)");
	if (operands > 0 && !o.print)
		return fail(EXIT_USAGE, "takes no operands (try mysql-upsert --help)");
	if (o.mapping.file && opt_refuse(key, "does not go with -M: the mapping says it") < 0)
		return -1;
	if (!o.replay && opt_refuse(force, "needs --replay") < 0)
		return -1;
	if (o.loader.dry && opt_refuse(ack, "does not go with -n") < 0)
		return -1;
	if (o.print && opt_refuse(printing, mode) < 0)
		return -1;
	if (o.rejects && opt_refuse(showing, mode) < 0)
		return -1;
	return mode ? opt_refuse(loading, mode) : 0;
}

static int run(struct db *db, char **topic, int topics)
{
	bool reading = o.print || o.rejects;
	const char *name = o.loader.name;
	struct mapping *m = NULL;
	struct writer out;
	int r;

	/* -Q and --rejects need no look at the tables when they know whose positions are meant. */
	if (!name && !o.mapping.file)
		name = o.mapping.table;
	if (!reading || !name) {
		o.mapping.any_unique |= reading;
		m = mapping_load(db, &o.mapping);
		if (!m)
			return -1;
		name = name ? name : m->name;
	}
	writer_init(&out, STDOUT_FILENO, 0);
	if (o.print)
		r = print_positions(db, name, topic, topics, &out);
	else if (o.rejects)
		r = rejects_print(db, name, &out);
	else
		r = o.replay ? replay(db, name, m) : load(db, m, &out);
	if (writer_close(&out) < 0 && r == 0)
		r = -1;
	writer_release(&out);
	mapping_free(m);
	return r;
}

int main(int argc, char **argv)
{
	int code, first = opt_parse(&tool, argc, argv, &code);
	struct db *db;

	if (first < 0)
		return code;
	if (check_options(argc - first) < 0)
		return (int)report();
	o.loader.reduce = !o.no_reduce && !o.mapping.any_unique;
	db = db_open(&o.db);
	if (!db)
		return (int)report();
	code = run(db, argv + first, argc - first);
	if (code < 0)
		code = (int)report();
	db_close(db);
	return code;
}
