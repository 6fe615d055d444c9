/*
 * libFuzzer target for lib/opt: arguments, one a line, for the real table of each tool (the first byte says
 * which). They are taken, or refused in one line.
 */
#include "../options/table.h"
#include "log.h"
#include "opt.h"

#include "fuzz.h"

#define WORDS 40

static const struct tool_table *const tables[] = { &jsonl_sink_table, &kmock_table, &kread_table,
	&kwrite_table, &lakecat_table, &mysql_upsert_table, &partition_table, &txgen_table };

/* ---- the tool's own variables ---- */

union value {
	bool flag;
	const char *string;
	int64_t number;
};

static void keep(const struct opt_tool *tool, union value *v)
{
	for (size_t i = 0; i < tool->count; i++) {
		const struct opt *o = &tool->options[i];

		if (o->kind == OPT_FLAG)
			v[i].flag = *(bool *)o->to;
		else if (o->kind == OPT_STRING)
			v[i].string = *(const char **)o->to;
		else if (o->kind != OPT_CALL)
			v[i].number = *(int64_t *)o->to;
	}
}

static void restore(const struct opt_tool *tool, const union value *v)
{
	for (size_t i = 0; i < tool->count; i++) {
		const struct opt *o = &tool->options[i];

		if (o->kind == OPT_FLAG)
			*(bool *)o->to = v[i].flag;
		else if (o->kind == OPT_STRING)
			*(const char **)o->to = v[i].string;
		else if (o->kind != OPT_CALL)
			*(int64_t *)o->to = v[i].number;
	}
}

/* Numbers are within their limits, or what they were. */
static void check_limits(const struct opt_tool *tool, const union value *before)
{
	for (size_t i = 0; i < tool->count; i++) {
		const struct opt *o = &tool->options[i];
		int64_t max = o->min || o->max ? o->max : INT64_MAX, v;

		if (o->kind != OPT_INT && o->kind != OPT_SIZE && o->kind != OPT_SECONDS)
			continue;
		v = *(int64_t *)o->to;
		must(v == before[i].number || v >= 0, "a number is none below 0");
		if (o->kind != OPT_SECONDS)
			must(v == before[i].number || (v >= o->min && v <= max), "a number has limits");
	}
}

/* ---- what is said ---- */

static int said_fd = -1, real_stderr = -1;

static void listen(void)
{
	if (said_fd < 0) {
		said_fd = memfd_create("said", MFD_CLOEXEC);
		real_stderr = dup(STDERR_FILENO);
		/* --help is as long as it likes. */
		must(freopen("/dev/null", "w", stdout) != NULL, "there is /dev/null");
	}
	must(ftruncate(said_fd, 0) == 0 && lseek(said_fd, 0, SEEK_SET) == 0, "there is memory");
	dup2(said_fd, STDERR_FILENO);
}

static struct span heard(void)
{
	static char text[8192];
	ssize_t n;

	dup2(real_stderr, STDERR_FILENO);
	n = pread(said_fd, text, sizeof(text), 0);
	must(n >= 0 && n < (ssize_t)sizeof(text), "it does not say much");
	return (struct span){ text, (size_t)n };
}

static void check_refusal(const struct opt_tool *tool, struct span said, int code)
{
	size_t name = strlen(tool->name);

	must(code == EXIT_USAGE, "an option is refused with 64");
	must(said.n > name + 2 && memcmp(said.p, tool->name, name) == 0 &&
		memcmp(said.p + name, ": ", 2) == 0,
	    "in the tool's name");
	must(said.p[said.n - 1] == '\n' && !memchr(said.p, '\n', said.n - 1), "in one line");
	for (size_t i = 0; i + 1 < said.n; i++)
		must((unsigned char)said.p[i] >= 0x20 && said.p[i] != 0x7f, "in plain characters");
}

/* ---- arguments ---- */

static bool among(char *const *argv, int argc, const char *p)
{
	for (int i = 0; i < argc; i++)
		if (argv[i] == p)
			return true;
	return false;
}

static void check(const struct tool_table *table, int argc, char **argv)
{
	const struct opt_tool *tool = table->tool;
	union value before[64] = { 0 };
	char *given[WORDS + 2];
	int code = 0, operand;
	struct span said;

	must(tool->count <= 64, "there is room");
	keep(tool, before);
	memcpy(given, argv, sizeof(given));
	listen();
	operand = opt_parse(tool, argc, argv, &code);
	said = heard();
	must(operand >= -2 && operand != 0 && operand <= argc, "it gives an operand");
	if (operand == -1)
		check_refusal(tool, said, code);
	else
		must(code == 0 && said.n == 0, "what is taken is taken in silence");
	for (int i = 0; i < argc; i++)
		must(among(given, argc, argv[i]), "arguments are moved, never changed");
	check_limits(tool, before);
	restore(tool, before);
	table->reset();
	log_level(false, false);
}

/* ---- numbers ---- */

static void check_numbers(const char *text)
{
	size_t sign = strspn(text, "+-") == 1, digits = strspn(text + sign, "0123456789");
	const char *rest = text + sign + digits;
	int64_t v = -1;

	if (opt_int(text, INT64_MIN, INT64_MAX, &v) == 0)
		must(digits > 0 && !*rest && v == strtoll(text, NULL, 10), "a number is digits");
	else
		must(!digits || *rest || digits > 18, "digits are a number");
	if (opt_size(text, &v) == 0)
		must(digits > 0 && v >= 0 && (!*rest || (strchr("kKmMgGT", *rest) && !rest[1])),
		    "a size is digits and a unit");
	if (opt_seconds(text, &v) == 0)
		must(v >= 0 && strspn(text, "0123456789.") == strlen(text), "seconds are digits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	const struct tool_table *table = tables[take_byte(&t) % OPT_COUNT(tables)];
	char *argv[WORDS + 2] = { NULL }, *word[WORDS + 2] = { NULL };
	int argc = 0;

	argv[argc++] = xstrdup(table->tool->name);
	while (argc <= WORDS && t.n > 0) {
		struct span s = take_line(&t);

		argv[argc++] = xstrndup(s.n > 0 ? s.p : "", s.n);
		check_numbers(argv[argc - 1]);
	}
	memcpy(word, argv, sizeof(argv));
	check(table, argc, argv);
	for (int i = 0; i < argc; i++)
		free(word[i]);
	return 0;
}
