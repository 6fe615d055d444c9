#include "log.h"

#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *tool_name = "sluice";
static bool be_quiet, be_verbose;

static _Thread_local struct {
	char text[2048];
	enum exit_code code;
} last;

void log_init(const char *tool)
{
	tool_name = tool;
}

void log_level(bool quiet, bool verbose)
{
	be_quiet = quiet;
	be_verbose = verbose;
}

const char *log_tool(void)
{
	return tool_name;
}

bool log_quiet(void)
{
	return be_quiet;
}

int fail(enum exit_code code, const char *fmt, ...)
{
	char text[sizeof(last.text)]; /* fail_message() may be among the arguments */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(last.text, text, strlen(text) + 1);
	last.code = code;
	return -1;
}

static enum exit_code code_of_errno(int e)
{
	switch (e) {
	case EACCES:
	case EPERM:
		return EXIT_PERM;
	case EROFS:
	case EEXIST:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return EXIT_CANTCREAT;
	default:
		return EXIT_IO;
	}
}

int fail_errno(int code, const char *fmt, ...)
{
	int e = errno;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(last.text, sizeof(last.text), fmt, ap);
	va_end(ap);
	n = strlen(last.text);
	snprintf(last.text + n, sizeof(last.text) - n, ": %s", strerror(e));
	last.code = code ? (enum exit_code)code : code_of_errno(e);
	return -1;
}

int fail_context(const char *fmt, ...)
{
	char old[sizeof(last.text)];
	va_list ap;
	size_t n;

	memcpy(old, last.text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(last.text, sizeof(last.text), fmt, ap);
	va_end(ap);
	n = strlen(last.text);
	snprintf(last.text + n, sizeof(last.text) - n, ": %s", old);
	return -1;
}

const char *fail_message(void)
{
	return last.text;
}

enum exit_code fail_code(void)
{
	return last.code;
}

/* What a message quotes (an option, a topic) must not break its line or drive the terminal. */
static void mask_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static void print(const char *fmt, va_list ap)
{
	char line[4096];
	size_t room = sizeof(line) - 1; /* one byte stays for the newline */
	size_t n = (size_t)snprintf(line, room, "%s: ", tool_name);

	vsnprintf(line + n, room - n, fmt, ap);
	mask_controls(line);
	n = strlen(line);
	line[n] = '\n';
	line[n + 1] = '\0';
	fputs(line, stderr); /* one write: lines of several tools on one stderr stay whole */
}

enum exit_code report(void)
{
	error("%s", last.text);
	return last.code;
}

void error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	if (be_quiet)
		return;
	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void note(const char *fmt, ...)
{
	va_list ap;

	if (!be_verbose)
		return;
	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}

void say(const char *fmt, ...)
{
	va_list ap;

	if (be_quiet)
		return;
	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
}
