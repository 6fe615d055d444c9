/*
 * txgen: the field's data as bare objects or records, deterministic by seed, as fast as a pipe takes it.
 */
#include "base64.h"
#include "broken.h"
#include "clock.h"
#include "field.h"
#include "io.h"
#include "json.h"
#include "log.h"
#include "opt.h"
#include "rng.h"
#include "stream.h"

#include <stdlib.h>
#include <unistd.h>

#define BROKEN_STREAM 1000 /* of rng_at: apart from those of the kinds */

static struct field_plan plan = {
	.count = 1000,
	.seed = 1,
	.first = 1,
	.users = 1000,
	.days = 3,
	.tombstones = 5,
};
static int64_t seed = 1, partitions = 1, bad_percent;
static const char *topic, *start = "2026-11-01";
static bool records, marks;

static const struct opt options[] = {
	{ 'c', "count", "N", OPT_INT, &plan.count, .max = 1000000000, .help = "how many (1000)" },
	{ 'S', "seed", "SEED", OPT_INT, &seed, .help = "another seed, other data (1)" },
	{ 'R', "records", NULL, OPT_FLAG, &records,
	    .help = "records with key, topic, partition, offset and time instead of bare objects; "
		    "always so for changelogs" },
	{ 't', "topic", "TOPIC", OPT_STRING, &topic,
	    .help = "topic of the records (the name of the kind)" },
	{ 'p', "partitions", "N", OPT_INT, &partitions, .min = 1, .max = 10000,
	    .help = "spread the records over so many partitions by key (1)" },
	{ 0, "marks", NULL, OPT_FLAG, &marks, .help = "also print marks, as kread --marks" },
	{ 0, "bad", "PERCENT", OPT_INT, &bad_percent, .max = 99,
	    .help = "this share of the lines is broken, in every way in turn; they come between the good ones" },
	{ 0, "size", "BYTES", OPT_SIZE, &plan.size, .max = 1 << 30,
	    .help = "pad every payload to this size" },
	{ 0, "start", "DATE", OPT_STRING, &start, .help = "the first day (2026-11-01)" },
	{ 0, "days", "N", OPT_INT, &plan.days, .min = 1, .max = 36500,
	    .help = "spread them over so many days (3)" },
	{ 0, "users", "N", OPT_INT, &plan.users, .min = 1, .max = 1000000,
	    .help = "how many users (1000)" },
	{ 0, "first", "N", OPT_INT, &plan.first, .max = INT64_C(1000000000000),
	    .help = "number of the first: to go on where an earlier run ended (1)" },
	{ 0, "tombstones", "PERCENT", OPT_INT, &plan.tombstones, .max = 100,
	    .help = "this share of a changelog deletes its key (5)" },
};

static const struct opt_tool tool = {
	.name = "txgen",
	.usage = "[-c N] [-S SEED] [-R [-t TOPIC] [-p N]] [--bad PERCENT] [--size BYTES] KIND",
	.about = "Prints made-up data, one JSON object per line, the same for the same options.",
	.options = options,
	.count = OPT_COUNT(options),
	.footer = "KIND is one of transactions, sales, reference (bare objects, or records with -R),\n"
		  "blacklist, user-totals, type-totals, windows (changelogs: records with keys and tombstones).",
};

struct run {
	struct writer out;
	struct buf good, scratch;
	int64_t *offsets; /* next one of each partition */
	uint64_t lines, bad, unkeyed;
};

static void add_key(struct buf *to, struct buf *scratch, const struct field_record *r)
{
	if (!r->has_key) {
		buf_add_str(to, ",\"key\":null");
	} else if (r->binary) {
		buf_clear(scratch);
		base64_encode(scratch, r->key.p, r->key.n);
		buf_add_str(to, ",\"key_enc\":\"base64\",\"key\":");
		json_escape(to, scratch->data, scratch->len);
	} else {
		buf_add_str(to, ",\"key\":");
		json_escape(to, r->key.p, r->key.n);
	}
}

/* The members in the order in which kread writes them. */
static void add_record(struct run *run, struct buf *to, const struct field_record *r, int32_t partition)
{
	buf_add_str(to, "{\"topic\":\"");
	buf_add_str(to, topic);
	buf_add_str(to, "\",\"partition\":");
	buf_add_int(to, partition);
	buf_add_str(to, ",\"offset\":");
	buf_add_int(to, run->offsets[partition]);
	buf_add_str(to, ",\"tstype\":\"create\",\"ts\":");
	buf_add_int(to, r->ts);
	add_key(to, &run->scratch, r);
	if (r->tombstone) {
		buf_add_str(to, ",\"payload_enc\":\"none\",\"payload\":null}");
	} else {
		buf_add_str(to, ",\"payload\":");
		buf_add_span(to, r->payload);
		buf_add_char(to, '}');
	}
}

static int32_t partition_of(struct run *run, const struct field_record *r)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	if (partitions == 1)
		return 0;
	if (!r->has_key)
		return (int32_t)(run->unkeyed++ % (uint64_t)partitions);
	for (size_t i = 0; i < r->key.n; i++)
		hash = (hash ^ (unsigned char)r->key.p[i]) * UINT64_C(0x100000001b3);
	return (int32_t)(rng_mix(hash) % (uint64_t)partitions);
}

/* A broken record has an offset of its own, as it would have in a topic. */
static void print_broken(struct run *run, const struct field_record *r, int32_t partition)
{
	unsigned kind = (unsigned)(run->bad % broken_kinds(records));
	struct rng rng = rng_at(plan.seed, BROKEN_STREAM, run->bad);
	struct buf *out = &run->out.buf;

	if (records) {
		buf_clear(&run->good);
		add_record(run, &run->good, r, partition);
		broken_record(out, kind, topic, partition, run->offsets[partition]++,
		    buf_span(&run->good), &rng);
	} else {
		broken_line(out, kind, r->payload, &rng);
	}
	buf_add_char(out, '\n');
	run->bad++;
	run->lines++;
}

static int print_all(struct run *run, struct field *f)
{
	struct buf *out = &run->out.buf;
	struct field_record r;

	while (field_next(f, &r)) {
		int32_t partition = records ? partition_of(run, &r) : 0;

		/* Before each good line as many broken ones as make the share right. */
		while ((run->bad + 1) * 100 <= (run->lines + 2) * (uint64_t)bad_percent)
			print_broken(run, &r, partition);
		if (records) {
			add_record(run, out, &r, partition);
			run->offsets[partition]++;
		} else {
			buf_add_span(out, r.payload);
		}
		buf_add_char(out, '\n');
		run->lines++;
		if (writer_check(&run->out) < 0)
			return -1;
	}
	return 0;
}

static void print_marks(struct run *run, bool at_start)
{
	struct span name = { topic, strlen(topic) };

	for (int32_t p = 0; p < partitions; p++) {
		if (at_start)
			stream_mark_start(&run->out.buf, name, p, 0);
		else
			stream_mark_position(&run->out.buf, name, p, run->offsets[p], -1, -1);
	}
	if (!at_start)
		stream_mark_end(&run->out.buf, (int64_t)run->lines);
}

static int check_options(int operands, char **operand)
{
	static const char *const of_records[] = { "topic", "partitions", NULL };
	static const char *const of_changelogs[] = { "tombstones", NULL };

	if (operands == 0)
		return fail(EXIT_USAGE, "which kind of data? (try txgen --help)");
	if (operands > 1)
		return fail(EXIT_USAGE, "unexpected operand %s", operand[1]);
	plan.kind = field_find(operand[0]);
	if (plan.kind == FIELD_KINDS)
		return fail(EXIT_USAGE, "unknown kind %s (try txgen --help)", operand[0]);
	if (clock_parse_iso(start, strlen(start), &plan.start_ms) < 0)
		return fail(EXIT_USAGE, "--start: \"%s\" is not a date", start);
	if (topic && (!*topic || topic[strcspn(topic, "\"\\")] || !utf8_valid(topic, strlen(topic))))
		return fail(EXIT_USAGE, "--topic: \"%s\" is not a topic's name", topic);
	records = records || marks || field_keyed(plan.kind);
	if (!records && opt_refuse(of_records, "needs -R: bare objects have none") < 0)
		return -1;
	if (!field_keyed(plan.kind) && opt_refuse(of_changelogs, "needs a changelog") < 0)
		return -1;
	topic = topic ? topic : field_name(plan.kind);
	plan.seed = (uint64_t)seed;
	return 0;
}

int main(int argc, char **argv)
{
	struct run run = { 0 };
	struct field *f;
	int code, result, first = opt_parse(&tool, argc, argv, &code);

	if (first < 0)
		return code;
	if (check_options(argc - first, argv + first) < 0)
		return report();
	writer_init(&run.out, STDOUT_FILENO, 0);
	run.offsets = xcalloc((size_t)partitions, sizeof(*run.offsets));
	f = field_open(&plan);
	if (marks)
		print_marks(&run, true);
	result = print_all(&run, f);
	if (marks)
		print_marks(&run, false);
	if (writer_close(&run.out) < 0)
		result = -1;
	field_close(f);
	buf_release(&run.good);
	buf_release(&run.scratch);
	writer_release(&run.out);
	free(run.offsets);
	if (result < 0 && run.out.broken) /* it was ignored for us */
		sig_broken_pipe();
	return result < 0 ? (int)report() : EXIT_DONE;
}
