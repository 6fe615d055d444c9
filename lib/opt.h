/*
 * opt: one table per tool from which parsing, --help and the completions come.
 *
 * Parsing is getopt_long(3)'s, so abbreviations of long options, `--`, `-abc` and `-ovalue` work as
 * everywhere. -h/--help prints the help on stdout and ends with 0 (tools that set host_letter give
 * -h away as mysql does and take -? for help), -V/--version likewise; both come by themselves, as
 * do -q/--quiet and -v/--verbose unless the table has its own.
 */
#ifndef SLUICE_OPT_H
#define SLUICE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_kind {
	OPT_FLAG,    /* bool *: set to true */
	OPT_STRING,  /* const char **: points into argv */
	OPT_INT,     /* int64_t *: decimal, within [min, max] */
	OPT_SIZE,    /* int64_t *: bytes; suffix k, M, G (1024-based), within [min, max] */
	OPT_SECONDS, /* int64_t *: ms, in [min, max] (max 0: any); the user writes seconds (0.5) */
	OPT_CALL,    /* int (*)(void *ctx, const char *arg): 0, or -1 after fail(); may repeat */
};

struct opt {
	char letter;      /* 0: long only */
	const char *name; /* long name, NULL: letter only */
	const char *arg;  /* what --help calls the value: "SEC"; NULL for flags; "[N]": optional */
	enum opt_kind kind;
	void *to; /* by kind; for OPT_CALL the ctx */
	int (*call)(void *ctx, const char *arg);
	int64_t min, max; /* both 0: no limits but >= 0 */
	const char *help; /* one line or more, wrapped by opt_help */
};

struct opt_tool {
	const char *name;
	const char *usage; /* after the name: "[-l LAYOUT] [-t FIELD]"; several forms by \n; a line that
				 begins with a blank continues the one before */
	const char *about; /* one sentence */
	const struct opt *options;
	size_t count;
	const char *footer; /* after the options; NULL: none */
	bool host_letter;   /* -h is the host; help is -? and --help */
};

#define OPT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Parses argv. Returns the index of the first operand; or -1 after a usage error was printed as one
 * line on stderr (exit 64); or -2 when help or version was printed (exit 0, or 74 when stdout is
 * full). *code holds that exit code.
 */
int opt_parse(const struct opt_tool *tool, int argc, char **argv, int *code);

/* Whether the option with this long name was given to the last opt_parse that succeeded. */
bool opt_given(const char *name);
/* An option that would be ignored: -1 with fail(EXIT_USAGE) "--NAME WHY" for the first of these that was given, else 0. */
int opt_refuse(const char *const *names, const char *why); /* long names, NULL behind the last */

/* The same number parsers for values inside other syntax. 0, or -1 with fail(EXIT_USAGE). */
int opt_int(const char *text, int64_t min, int64_t max, int64_t *out);
int opt_size(const char *text, int64_t *out);
int opt_seconds(const char *text, int64_t *ms);
int opt_duration(const char *text, int64_t *ms); /* a number, then ms, s, m, h or d; more than 0 */

#endif
