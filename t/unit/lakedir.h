/*
 * lakedir: a lake in a directory of its own for each test, and what its files hold. Include it behind
 * the library's headers: cmocka.h has a macro named fail.
 */
#ifndef LAKEDIR_H
#define LAKEDIR_H

#include "io.h"
#include "lake.h"
#include "log.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64], dir[96]; /* the lake is top/lake */

static inline int setup(void **state)
{
	snprintf(top, sizeof(top), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/lake", top);
	log_level(true, false);
	return 0;
}

static inline int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

/* A path below the lake, valid for some calls. */
static inline const char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline const char *at(const char *fmt, ...)
{
	static char path[8][512];
	static unsigned turn;
	char *p = path[turn++ % 8];
	va_list ap;
	int n = snprintf(p, 512, "%s/", dir);

	va_start(ap, fmt);
	vsnprintf(p + n, 512 - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

static inline size_t count(const char *pattern)
{
	glob_t g;
	size_t n = glob(at("%s", pattern), GLOB_PERIOD, NULL, &g) == 0 ? g.gl_pathc : 0;

	if (n > 0)
		globfree(&g);
	return n;
}

static inline void assert_text(const char *path, const char *want)
{
	size_t n;
	char *text = read_file(path, &n);

	if (!text)
		fail_msg("%s", fail_message());
	assert_string_equal(text, want);
	free(text);
}

/* It has failed with this code, and says this. */
static inline void assert_failure(enum exit_code code, const char *why)
{
	if (!strstr(fail_message(), why))
		fail_msg("\"%s\" does not say \"%s\"", fail_message(), why);
	assert_int_equal(fail_code(), code);
}

static inline void assert_clean(void)
{
	struct lake_check c;

	if (lake_check(dir, &c) != 0)
		fail_msg("%s", fail_message());
}

/* Where the lake stands in TX/N; -1: nowhere. */
static inline int64_t position(const char *name, int32_t partition)
{
	struct positions ps;
	const struct position *p;
	int64_t next;

	positions_init(&ps, (struct positions_rules){ 0 });
	if (lake_read_positions(dir, name, &ps) < 0)
		fail_msg("%s", fail_message());
	p = positions_find(&ps, SPAN("TX"), partition);
	next = p ? p->next : -1;
	positions_release(&ps);
	return next;
}

#endif
