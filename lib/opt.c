#include "opt.h"

#include "buf.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELP_COLUMN 26
#define HELP_WIDTH  92
#define GIVEN_MAX   64

#define DURATION_MAX                                                                               \
	((int64_t)1000 * 366 * 86400000) /* ms: a sum with any time of the clock's fits */

static const char *given[GIVEN_MAX]; /* long names, as in the tool's table */
static size_t givens;

static bool takes_value(const struct opt *o)
{
	return o->kind != OPT_FLAG && o->arg;
}

static bool value_optional(const struct opt *o)
{
	return o->arg && o->arg[0] == '[';
}

/* strtoll(3) skips white space of six kinds before a number. */
static bool begins_number(const char *text)
{
	return (*text >= '0' && *text <= '9') || *text == '-' || *text == '+';
}

int opt_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end || errno || !begins_number(text))
		return fail(EXIT_USAGE, "\"%s\" is not a number", text);
	if (v < min || v > max)
		return fail(EXIT_USAGE, "%s is not within %lld and %lld", text, (long long)min,
		    (long long)max);
	*out = v;
	return 0;
}

int opt_size(const char *text, int64_t *out)
{
	static const char units[] = "kMGT";
	char *end;
	const char *unit;
	long long v;
	int shift = 0;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || errno || v < 0 || !begins_number(text))
		return fail(EXIT_USAGE, "\"%s\" is not a size (a number, then k, M, G or T)", text);
	if (*end) {
		unit = strchr(units,
		    *end == 'K'       ? 'k'
			: *end == 'm' ? 'M'
			: *end == 'g' ? 'G'
				      : *end);
		if (!unit || end[1])
			return fail(EXIT_USAGE,
			    "\"%s\" is not a size (a number, then k, M, G or T)", text);
		shift = 10 * (int)(unit - units + 1);
	}
	if (v > INT64_MAX >> shift)
		return fail(EXIT_USAGE, "%s is too large", text);
	*out = v << shift;
	return 0;
}

int opt_seconds(const char *text, int64_t *ms)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (end == text || *end || errno || !(v >= 0) || v > 1e9 ||
	    strspn(text, "0123456789.") != strlen(text))
		return fail(EXIT_USAGE, "\"%s\" is not a number of seconds", text);
	*ms = (int64_t)(v * 1000 + 0.5);
	return 0;
}

int opt_duration(const char *text, int64_t *ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} unit[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end != text && !errno && v > 0 && begins_number(text))
		for (size_t i = 0; i < OPT_COUNT(unit); i++)
			if (strcmp(end, unit[i].name) == 0 && v <= DURATION_MAX / unit[i].ms) {
				*ms = v * unit[i].ms;
				return 0;
			}
	return fail(EXIT_USAGE, "\"%s\" is not a duration (a number, then ms, s, m, h or d)", text);
}

bool opt_given(const char *name)
{
	for (size_t i = 0; i < givens; i++)
		if (strcmp(given[i], name) == 0)
			return true;
	return false;
}

int opt_refuse(const char *const *names, const char *why)
{
	for (; *names; names++)
		if (opt_given(*names))
			return fail(EXIT_USAGE, "--%s %s", *names, why);
	return 0;
}

static int apply(const struct opt *o, const char *arg)
{
	int64_t v;

	if (o->name && givens < GIVEN_MAX && !opt_given(o->name))
		given[givens++] = o->name;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->to = true;
		return 0;
	case OPT_STRING:
		*(const char **)o->to = arg;
		return 0;
	case OPT_INT:
		return opt_int(arg, o->min, o->min || o->max ? o->max : INT64_MAX, o->to);
	case OPT_SIZE:
		if (opt_size(arg, &v) < 0)
			return -1;
		if ((o->min || o->max) && (v < o->min || v > o->max))
			return fail(EXIT_USAGE, "%s is not within %lld and %lld bytes", arg,
			    (long long)o->min, (long long)o->max);
		*(int64_t *)o->to = v;
		return 0;
	case OPT_SECONDS:
		if (opt_seconds(arg, &v) < 0)
			return -1;
		if (v < o->min || (o->max > 0 && v > o->max))
			return fail(EXIT_USAGE, "%s seconds are too %s", arg,
			    v < o->min ? "short" : "long");
		*(int64_t *)o->to = v;
		return 0;
	case OPT_CALL:
		return o->call(o->to, arg);
	}
	return 0;
}

/* Prints `help` from `column` on, wrapped at words. */
static void print_wrapped(const char *help, size_t column)
{
	size_t at = column;

	while (*help) {
		size_t word = strcspn(help, " \n");

		if (at > column && at + 1 + word > HELP_WIDTH) {
			printf("\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			putchar(' ');
			at++;
		}
		printf("%.*s", (int)word, help);
		at += word;
		help += word;
		if (*help)
			help++;
	}
	putchar('\n');
}

static void print_option(const struct opt *o)
{
	struct buf left = BUF_INIT;

	if (o->letter)
		buf_addf(&left, "  -%c%s", o->letter, o->name ? ", " : "");
	else
		buf_add_str(&left, "      ");
	if (o->name)
		buf_addf(&left, "--%s", o->name);
	if (takes_value(o))
		buf_addf(&left, "%s%s", value_optional(o) ? "" : o->name ? "=" : " ", o->arg);
	printf("%s", buf_cstr(&left));
	if (left.len + 2 > HELP_COLUMN)
		printf("\n%*s", HELP_COLUMN, "");
	else
		printf("%*s", (int)(HELP_COLUMN - left.len), "");
	print_wrapped(o->help, HELP_COLUMN);
	buf_release(&left);
}

static void print_help(const struct opt_tool *tool, const struct opt *all, size_t count)
{
	const char *usage = tool->usage;
	const char *lead = "usage:";

	for (;;) {
		size_t n = strcspn(usage, "\n");

		if (*usage == ' ')
			printf("%s %*s%.*s\n", lead, (int)strlen(tool->name), "", (int)n, usage);
		else
			printf("%s %s%s%.*s\n", lead, tool->name, n ? " " : "", (int)n, usage);
		if (!usage[n])
			break;
		usage += n + 1;
		lead = "      ";
	}
	printf("%s\n\n", tool->about);
	for (size_t i = 0; i < count; i++)
		print_option(&all[i]);
	if (tool->footer)
		printf("\n%s\n", tool->footer);
}

/* stdout must have taken it all: `tool --help > /dev/full` is an error like any other. */
static int close_stdout(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	fail_errno(EXIT_IO, "stdout");
	return report();
}

static bool has(const struct opt_tool *tool, char letter, const char *name)
{
	for (size_t i = 0; i < tool->count; i++) {
		const struct opt *o = &tool->options[i];

		if ((letter && o->letter == letter) || (name && o->name && strcmp(o->name, name) == 0))
			return true;
	}
	return false;
}

struct common {
	bool quiet, verbose, help, version;
};

/* The tool's table and, behind it, the options that every tool has. */
static struct opt *with_common(const struct opt_tool *tool, struct common *c, size_t *count)
{
	const struct opt common[] = {
		{ 'q', "quiet", NULL, OPT_FLAG, &c->quiet, .help = "no notes and no summary" },
		{ 'v', "verbose", NULL, OPT_FLAG, &c->verbose, .help = "say more of what is done" },
		{ tool->host_letter ? '?' : 'h', "help", NULL, OPT_FLAG, &c->help,
		    .help = "print this help" },
		{ 'V', "version", NULL, OPT_FLAG, &c->version, .help = "print the version" },
	};
	struct opt *all = xcalloc(tool->count + OPT_COUNT(common), sizeof(*all));

	if (tool->count)
		memcpy(all, tool->options, tool->count * sizeof(*all));
	*count = tool->count;
	for (size_t i = 0; i < OPT_COUNT(common); i++) {
		if (has(tool, 0, common[i].name))
			continue;
		all[*count] = common[i];
		if (has(tool, common[i].letter, NULL))
			all[*count].letter = 0;
		(*count)++;
	}
	return all;
}

static int usage_error(const struct opt_tool *tool, const char *what)
{
	error("%s (try %s --help)", what, tool->name);
	return EXIT_USAGE;
}

static void describe(char *to, size_t size, const struct opt *o)
{
	if (o->name)
		snprintf(to, size, "--%s", o->name);
	else
		snprintf(to, size, "-%c", o->letter);
}

#define LONG_BASE 256 /* getopt values of the table's entries: LONG_BASE + index */

/*
 * The option that getopt_long(3) stopped at: the word (without its value, which may be a password), or the letter in it. It is done with the word before optind
 * unless letters follow; one that is no ASCII is shown with them, as part of its character.
 */
static void bad_name(char *to, size_t size, char **argv)
{
	const char *word = argv[optind - 1];
	size_t n = strlen(word);

	if (optopt >= LONG_BASE || optopt == 0)
		snprintf(to, size, "%.*s", (int)strcspn(word, "="), word);
	else if (optopt > ' ' && optopt < 0x7f)
		snprintf(to, size, "-%c", optopt);
	else
		snprintf(to, size, "%s", n > 0 && word[n - 1] == (char)optopt ? word : argv[optind]);
}

/* What getopt_long found wrong, in our words: it prints nothing itself (opterr = 0). */
static int bad_option(const struct opt_tool *tool, int c, char **argv)
{
	char what[300], bad[200];

	bad_name(bad, sizeof(bad), argv);
	if (c == ':')
		snprintf(what, sizeof(what), "option %s needs a value", bad);
	else if (optopt >= LONG_BASE)
		snprintf(what, sizeof(what), "option %s takes no value", bad);
	else
		snprintf(what, sizeof(what), "unknown option %s", bad);
	return usage_error(tool, what);
}

static int parse(const struct opt_tool *tool, struct opt *all, size_t count, struct common *common,
    int argc, char **argv)
{
	struct option *longs = xcalloc(count + 1, sizeof(*longs));
	struct buf shorts = BUF_INIT;
	size_t n = 0;
	int c, result = 0;

	buf_add_char(&shorts, ':');
	for (size_t i = 0; i < count; i++) {
		int arg = !takes_value(&all[i]) ? no_argument
		    : value_optional(&all[i])   ? optional_argument
						: required_argument;

		if (all[i].letter && all[i].letter != '?') {
			buf_add_char(&shorts, all[i].letter);
			buf_add(&shorts, "::",
			    (size_t)(arg == required_argument  ? 1
				    : arg == optional_argument ? 2
							       : 0));
		}
		if (all[i].name)
			longs[n++] = (struct option){ all[i].name, arg, NULL, LONG_BASE + (int)i };
	}
	opterr = 0;
	optind = 0; /* from the start, even if it stopped within a word before */
	givens = 0;
	while (result == 0 && (c = getopt_long(argc, argv, buf_cstr(&shorts), longs, NULL)) != -1) {
		const struct opt *o = NULL;
		char name[100];

		if (c == '?' && optopt == '?' && tool->host_letter) {
			common->help = true;
			break;
		}
		if (c == '?' || c == ':') {
			result = bad_option(tool, c, argv);
			break;
		}
		for (size_t i = 0; i < count; i++)
			if (c == LONG_BASE + (int)i || c == all[i].letter)
				o = &all[i];
		if (o && apply(o, optarg) < 0) {
			describe(name, sizeof(name), o);
			fail_context("%s", name);
			result = usage_error(tool, fail_message());
		}
		if (common->help || common->version)
			break;
	}
	free(longs);
	buf_release(&shorts);
	return result;
}

/*
 * Who starts a tool with a standard descriptor closed must not have the next file that is opened in its
 * place: a message would land in the journal. Opened the wrong way round, reading stdin and writing stdout
 * fail as on a closed one.
 */
static int fill_standard(void)
{
	static const int how[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", how[fd]) < 0) /* NOLINT: inherited */
			return fail_errno(EXIT_IO, "/dev/null");
	return 0;
}

int opt_parse(const struct opt_tool *tool, int argc, char **argv, int *code)
{
	struct common common = { 0 };
	size_t count;
	struct opt *all;

	log_init(tool->name);
	if (fill_standard() < 0) {
		*code = (int)report();
		return -1;
	}
	all = with_common(tool, &common, &count);
	*code = parse(tool, all, count, &common, argc, argv);
	if (*code == 0 && common.help)
		print_help(tool, all, count);
	else if (*code == 0 && common.version)
		printf("%s (sluice) %s\n", tool->name, SLUICE_VERSION);
	free(all);
	if (*code)
		return -1;
	if (common.help || common.version) {
		*code = close_stdout();
		return -2;
	}
	log_level(common.quiet, common.verbose);
	return optind;
}
