#include "db_internal.h"

#include "buf.h"
#include "io.h"
#include "log.h"

#include <ctype.h>
#include <fcntl.h>
#include <mysql.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The client libraries read the option file. They pass over a file that they cannot open, and over TLS options that
 * only the other one or its programs know: then ssl-mode=VERIFY_CA would lead to a connection in plain text. (MySQL's
 * library lists ssl_mode, but looks for it with a dash: 8.0.33 takes no notice of either spelling.)
 */
#ifdef MARIADB_BASE_VERSION
#define LIBRARY "MariaDB's"
#define INSTEAD "ssl-ca, ssl-verify-server-cert or ssl-enforce"
static const char *const foreign[] = { "ssl", "ssl-mode" };
#else
#define LIBRARY "MySQL's"
#define INSTEAD "ssl-ca"
static const char *const foreign[] = { "ssl", "ssl-mode", "ssl-enforce", "ssl-verify-server-cert",
	"ssl-fp", "ssl-fplist", "ssl-fp-list", "tls-fp", "tls-fplist", "tls-ca", "tls-enforce",
	"tls-verify-peer" };
#endif

static struct span trim(struct span s)
{
	for (; s.n > 0 && isspace((unsigned char)s.p[0]); s.n--)
		s.p++;
	while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Options may be written with _ for -, and groups in any case. */
static bool same(struct span s, const char *name)
{
	size_t i = 0;

	for (; i < s.n && name[i]; i++)
		if (tolower((unsigned char)(s.p[i] == '_' ? '-' : s.p[i])) != name[i])
			return false;
	return i == s.n && !name[i];
}

static bool is_any(struct span s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (same(s, names[i]))
			return true;
	return false;
}

static bool our_group(struct span line)
{
	static const char *const groups[] = { "[client]", "[client-server]", "[client-mariadb]",
		"[sluice]" };

	return is_any(line, groups, sizeof(groups) / sizeof(*groups));
}

/* Switched off is what one gets. */
static bool is_off(struct span value)
{
	static const char *const off[] = { "0", "off", "false", "disabled", "preferred" };

	return is_any(value, off, sizeof(off) / sizeof(*off));
}

static int check_line(struct span line, const char *place)
{
	const char *eq = memchr(line.p, '=', line.n);
	struct span name = trim((struct span){ line.p, eq ? (size_t)(eq - line.p) : line.n });
	struct span value = { "", 0 };

	if (eq)
		value = trim((struct span){ eq + 1, line.n - (size_t)(eq + 1 - line.p) });
	if (is_any(name, foreign, sizeof(foreign) / sizeof(*foreign)) && !is_off(value))
		return fail(EXIT_CONFIG,
		    "%s: %.*s: " LIBRARY " client library does not know it: use " INSTEAD, place,
		    (int)name.n, name.p);
	return 0;
}

static int check_lines(int fd, const char *path)
{
	struct buf place = BUF_INIT;
	struct reader r;
	struct span line;
	bool ours = false;
	int result = 0;

	reader_init(&r, fd, path, NULL);
	while (result == 0) {
		enum line_result got = reader_line(&r, &line, -1);

		if (got == LINE_FAIL)
			result = fail(EXIT_CONFIG, "%s", fail_message());
		if (got != LINE_OK && got != LINE_TAIL)
			break;
		line = trim(line);
		if (line.n > 0 && line.p[0] == '[')
			ours = our_group(line);
		if (!ours || line.n == 0)
			continue;
		buf_clear(&place);
		buf_addf(&place, "%s:%llu", path, (unsigned long long)r.lines);
		result = check_line(line, buf_cstr(&place));
	}
	reader_release(&r);
	buf_release(&place);
	return result;
}

int db_check_file(const char *path)
{
	struct stat st;
	int fd, result = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(EXIT_CONFIG, "%s", path);
	if (fstat(fd, &st) < 0)
		result = fail_errno(EXIT_CONFIG, "%s", path);
	else if (!S_ISREG(st.st_mode))
		result = fail(EXIT_CONFIG, "%s: not a file", path);
	else if (st.st_mode & S_IWOTH)
		result = fail(EXIT_CONFIG,
		    "%s: anybody may write to it, so the client library does not read it", path);
	else
		result = check_lines(fd, path);
	close(fd);
	return result;
}
