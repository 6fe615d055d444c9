/*
 * libFuzzer target for lib/journal: what the reader makes of any bytes, against a model of it in a few lines, also when
 * the file grows while it is read; and that lines which are written read as the same.
 */
#include "journal.h"
#include "log.h"

#include "crcs.h"
#include "fuzz.h"

/* Some files have their names already, whatever the journal says. */
static bool in_place(void *ctx, struct span file, struct span tmp)
{
	return span_hash(tmp) % 4 == 0;
}

static bool crc_is_right(struct span line)
{
	char tail[CRC_TAIL + 1];

	if (line.n <= CRC_TAIL)
		return false;
	crc_tail(tail, (struct span){ line.p, line.n - CRC_TAIL });
	return memcmp(line.p + line.n - CRC_TAIL, tail, CRC_TAIL) == 0;
}

/* ---- lines ---- */

static bool same_position(const struct journal_position *a, const struct journal_position *b)
{
	return span_eq(a->topic, b->topic) && span_eq(a->name, b->name) &&
	    a->partition == b->partition && a->from == b->from && a->next == b->next &&
	    (a->last_offset < 0 ? b->last_offset < 0
				: a->last_offset == b->last_offset && a->last_ts == b->last_ts);
}

static bool same_file(const struct journal_file *a, const struct journal_file *b)
{
	return span_eq(a->file, b->file) && span_eq(a->tmp, b->tmp) && a->records == b->records &&
	    a->bytes == b->bytes && a->raw == b->raw && a->min_ts == b->min_ts &&
	    a->max_ts == b->max_ts && a->crc32 == b->crc32;
}

static void check_same(const struct journal_line *a, const struct journal_line *b)
{
	must(a->snapshot == b->snapshot && a->commit == b->commit, "the number stays");
	must(span_eq(a->time, b->time) && span_eq(a->writer, b->writer) && span_eq(a->host, b->host) &&
		span_eq(a->name, b->name) && span_eq(a->previous, b->previous),
	    "who wrote it stays");
	must(a->positions == b->positions && a->adds == b->adds && a->removes == b->removes,
	    "nothing is lost");
	for (size_t i = 0; i < a->positions; i++)
		must(same_position(&a->position[i], &b->position[i]), "positions stay");
	for (size_t i = 0; i < a->adds; i++)
		must(same_file(&a->add[i], &b->add[i]), "files stay");
	for (size_t i = 0; i < a->removes; i++)
		must(span_eq(a->remove[i], b->remove[i]), "removed files stay");
}

/* What was read, written and read again. */
static void check_round_trip(const struct journal_line *l)
{
	struct buf text = BUF_INIT;
	struct journal_line again = { 0 };

	journal_format(l, &text);
	must(text.len > 0 && text.data[text.len - 1] == '\n', "a line ends");
	must(!memchr(text.data, '\n', text.len - 1), "and is one line");
	must(journal_parse(&again, (struct span){ text.data, text.len - 1 }) == 0,
	    "what is written can be read");
	check_same(l, &again);
	journal_line_release(&again);
	buf_release(&text);
}

/* Lines of others may hold what ours never do: written again it would be dropped. */
static void check_line(struct journal_line *l)
{
	must(crc_is_right(l->raw), "a line that is accepted has the right crc");
	must(l->commit >= 0, "it has a number");
	for (size_t i = 0; i < l->positions; i++) {
		must(l->position[i].topic.p && l->position[i].partition >= 0 && l->position[i].next >= 0,
		    "positions are of a partition");
		if (!l->snapshot)
			l->position[i].name = (struct span){ 0 };
		else
			l->position[i].from = -1;
	}
	for (size_t i = 0; i < l->adds; i++)
		must(l->add[i].file.n > 0 && l->add[i].tmp.n > 0, "files have names");
	if (l->snapshot) {
		l->adds = l->removes = 0;
		l->name = (struct span){ 0 };
	} else {
		l->previous = (struct span){ 0 };
	}
	check_round_trip(l);
}

/* ---- files ---- */

struct expected {
	int64_t lines, at;
	int end; /* of journal_next: 0 or -1 */
	bool torn;
};

/* Whether any of these lines is a good one; what has no newline is no line. */
static bool any_good(struct take t)
{
	struct journal_line l = { 0 };
	bool good = false;

	while (!good && t.n > 0) {
		size_t before = t.n;
		struct span line = take_line(&t);

		good = before - t.n > line.n && journal_parse(&l, line) == 0;
	}
	journal_line_release(&l);
	return good;
}

/* What should be read of a file of these bytes. */
static struct expected expect(struct span text)
{
	struct take t = { (const uint8_t *)text.p, text.n }, rest = t;
	struct expected e = { 0 };
	struct journal_line l = { 0 };

	while (t.n > 0) {
		struct span line = take_line(&t);

		if (rest.n - t.n == line.n || journal_parse(&l, line) < 0)
			break;
		e.lines++;
		rest = t;
	}
	journal_line_release(&l);
	e.at = (int64_t)(text.n - rest.n);
	/* The first bad line: the end is torn unless more was good, or done. */
	if (any_good(t) || journal_each_name(take_rest(&rest), in_place, NULL))
		e.end = -1;
	else
		e.torn = (size_t)e.at < text.n;
	return e;
}

static int read_on(struct journal_reader *r)
{
	struct journal_line l = { 0 };
	int got;

	while ((got = journal_next(r, &l, in_place, NULL)) > 0)
		check_line(&l);
	journal_line_release(&l);
	return got;
}

static void compare(const struct journal_reader *r, int end, struct span text)
{
	bool told = fail_code() == EXIT_DATA && strstr(fail_message(), "damaged");
	struct expected e = expect(text);

	must(end == e.end, "the end is what it should be: torn or damaged");
	must(r->lines == e.lines && r->at == e.at, "all good lines are read and no other");
	must(end < 0 || r->torn == e.torn, "a torn tail is told");
	must(end == 0 || told, "damage is told");
}

/* A file that grows: what was torn is read again when there is more of it. */
static void check_file(struct span text, size_t cut, size_t step)
{
	struct journal_reader r;
	int fd = memory_file(), end;
	struct span first = { text.p, cut % (text.n + 1) };

	journal_reader_init(&r, fd, "journal");
	r.step = step;
	append(fd, first);
	end = read_on(&r);
	compare(&r, end, first);
	append(fd, (struct span){ text.p + first.n, text.n - first.n });
	if (end == 0)
		compare(&r, read_on(&r), text);
	journal_reader_release(&r);
}

/* ---- a commit of our own ---- */

enum { TEXTS = 40 };

static struct span any(struct take *t, struct buf text[TEXTS], size_t *used)
{
	return *used < TEXTS ? take_text(t, 60, &text[(*used)++]) : SPAN("t");
}

static struct span any_name(struct take *t, struct buf text[TEXTS], size_t *used)
{
	struct span s = any(t, text, used);

	return s.n > 0 ? s : SPAN("n");
}

static void make_positions(struct journal_line *l, struct take *t, struct buf text[TEXTS], size_t *used)
{
	for (unsigned n = take_byte(t) % 5; n > 0; n--) {
		struct journal_position *p = journal_add_position(l);

		p->topic = any_name(t, text, used);
		if (l->snapshot)
			p->name = any(t, text, used);
		p->partition = (int32_t)(take_natural(t) & INT32_MAX);
		p->next = take_natural(t);
		if (!l->snapshot)
			p->from = take_byte(t) % 2 ? take_natural(t) : -1;
		if (take_byte(t) % 2) {
			p->last_offset = take_natural(t);
			p->last_ts = take_natural(t);
		}
	}
}

static void make_files(struct journal_line *l, struct take *t, struct buf text[TEXTS], size_t *used)
{
	for (unsigned n = take_byte(t) % 4; n > 0; n--) {
		struct journal_file *f = journal_add_file(l);

		f->file = any_name(t, text, used);
		f->tmp = any_name(t, text, used);
		f->records = take_natural(t) >> 10;
		f->bytes = take_natural(t) >> 10;
		f->raw = take_natural(t) >> 10;
		f->crc32 = (uint32_t)take_int(t);
		if (take_byte(t) % 2) {
			f->min_ts = take_natural(t);
			f->max_ts = take_natural(t);
		}
	}
	for (unsigned n = take_byte(t) % 4; n > 0; n--)
		journal_add_remove(l, any(t, text, used));
}

static void check_made(struct take t)
{
	struct journal_line l = { .snapshot = take_byte(&t) % 4 == 0, .commit = take_natural(&t) >> 10 };
	struct buf text[TEXTS] = { 0 };
	size_t used = 0;

	l.time = any(&t, text, &used);
	l.writer = any(&t, text, &used);
	l.host = any(&t, text, &used);
	*(l.snapshot ? &l.previous : &l.name) = any(&t, text, &used);
	make_positions(&l, &t, text, &used);
	if (!l.snapshot)
		make_files(&l, &t, text, &used);
	check_round_trip(&l);
	for (size_t i = 0; i < used; i++)
		buf_release(&text[i]);
	journal_line_release(&l);
}

/* The note of what was done, in the lock. */
static void check_done(struct span text, int64_t commit)
{
	struct buf note = BUF_INIT;

	if (journal_parse_done(text) > 0)
		must(text.p[text.n - 1] == '\n' && crc_is_right((struct span){ text.p, text.n - 1 }),
		    "a note that is accepted has the right crc");
	journal_format_done(commit, &note);
	must(journal_parse_done(buf_span(&note)) == commit, "a note that is written can be read");
	for (size_t cut = 0; cut < note.len; cut++)
		must(journal_parse_done((struct span){ note.data, cut }) == 0, "half of one is none");
	buf_release(&note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	size_t cut = n > 0 ? (size_t)data[n - 1] * 17 : 0, step = n > 1 ? data[n - 2] + 1u : 1;
	struct buf mended = BUF_INIT;

	check_file(text, cut, step);
	mend_crcs(text, &mended);
	if (!span_eq(buf_span(&mended), text))
		check_file(buf_span(&mended), cut, step);
	check_done(buf_span(&mended), (int64_t)cut + 1);
	check_made((struct take){ data, n });
	buf_release(&mended);
	return 0;
}
