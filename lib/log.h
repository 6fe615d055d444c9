/*
 * log: how failures travel up, and what a tool says on stderr.
 *
 * A library function that fails calls fail() and returns its result: -1, with one message and one
 * exit code left behind in a thread-local slot. The tool prints it once (report()) and exits with
 * that code. So no library function prints errors or exits, and no caller invents numbers.
 */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* sysexits(3) where it has a fitting code; each man page lists the ones its tool uses. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_REJECTED = 1, /* done, but records were rejected */
	EXIT_USAGE = 64,
	EXIT_DATA = 65,        /* bad data, gap, recreated topic, damaged lake */
	EXIT_UNAVAILABLE = 69, /* broker or database does not answer */
	EXIT_CANTCREAT = 73,
	EXIT_IO = 74,
	EXIT_TRYAGAIN = 75, /* lost a race, fenced, retries used up */
	EXIT_PERM = 77,
	EXIT_CONFIG = 78,
	EXIT_INT = 130, /* ended by SIGINT */
};

/* Call first in main: the name before every line, and how much to say. */
void log_init(const char *tool);
void log_level(bool quiet, bool verbose); /* quiet: no notes and no summary; errors always print */
const char *log_tool(void);
bool log_quiet(void);

/*
 * Leaves "what: why" (no tool name, no newline) and the code; returns -1.
 * fail_errno appends ": " and strerror(errno), and with code 0 chooses it by errno: EACCES, EPERM:
 * EXIT_PERM; EROFS, EEXIST, ENOTDIR, ELOOP, ENAMETOOLONG: EXIT_CANTCREAT; else EXIT_IO.
 */
int fail(enum exit_code code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fail_errno(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fail_context(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* puts "fmt: " before the message that stands; returns -1 */

const char *fail_message(void); /* the last one, "" when none */
enum exit_code fail_code(void);

/* All of these print one line; control characters in what they are given become question marks. */
enum exit_code report(void); /* prints "tool: message", returns the code; for main */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* prints unless quiet */
void error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* prints always */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* prints when verbose */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the summary: unless quiet */

/* For messages: "%d record%s", n, plural(n). */
static inline const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

#endif
