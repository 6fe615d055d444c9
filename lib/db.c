#include "db.h"

#include "clock.h"
#include "db_internal.h"
#include "io.h"
#include "json.h"
#include "log.h"

#include <errmsg.h>
#include <mysql.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define GROUP "sluice"

/*
 * Alike on both servers, whatever their defaults, init_connect and the option file's init-command say. With a limit
 * SELECT would show only the first columns, and positions; messages of errors are read for the column they name.
 */
#define SESSION                                                                                    \
	"SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,"                  \
	"NO_AUTO_VALUE_ON_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"           \
	"NO_ENGINE_SUBSTITUTION', autocommit = 1, completion_type = 0, foreign_key_checks = 1, "   \
	"unique_checks = 1, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, "       \
	"lc_messages = 'en_US', wait_timeout = 60"
#define ISOLATION "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
#define ABOUT     "SELECT VERSION(), @@max_allowed_packet, DATABASE()"

/* A packet of max_allowed_packet bytes is refused; one is the command, two MySQL's library takes for attributes. */
#define PACKET_OVERHEAD 4

#define WAIT_MS      10 /* before the first retry; doubled so often at most: 640 ms */
#define WAIT_DOUBLED 6

struct db {
	MYSQL *mysql;       /* NULL: could not come back */
	struct db_config c; /* its texts are owned */
	char *place;        /* "127.0.0.1:3306 as loader": for messages */
	char *database;
	bool mariadb;
	long version;
	size_t max_packet;
	unsigned err;
	struct buf error;
};

/* ---- errors ---- */

static void set_error(struct db *db, unsigned number, const char *text)
{
	db->err = number;
	buf_clear(&db->error);
	buf_add_str(&db->error, text);
	for (size_t i = 0; i < db->error.len; i++)
		if (db->error.data[i] == '\n' || db->error.data[i] == '\r')
			db->error.data[i] = ' ';
}

/* What the client library says of the last call. */
static enum db_result judge(struct db *db, enum exit_code *code)
{
	set_error(db, mysql_errno(db->mysql), mysql_error(db->mysql));
	return db_judge(db->err, mysql_sqlstate(db->mysql), db_error(db), code);
}

static enum db_result failed(struct db *db)
{
	enum exit_code code;
	enum db_result r = judge(db, &code);

	if (r == DB_FAIL)
		fail(code, "%s (error %u)", db_error(db), db->err);
	return r;
}

unsigned db_errno(const struct db *db)
{
	return db->err;
}

const char *db_error(const struct db *db)
{
	return buf_cstr((struct buf *)&db->error);
}

int db_must(struct db *db, enum db_result r, const char *doing)
{
	switch (r) {
	case DB_OK:
		return 0;
	case DB_FAIL: /* without a number: what row() said */
		return db->err ? fail_context("%s", doing) : -1;
	case DB_LOST:
		return fail(EXIT_UNAVAILABLE, "%s: %s: %s (error %u)", doing, db->place,
		    db_error(db), db->err);
	case DB_RETRY:
		return fail(EXIT_TRYAGAIN, "%s: %s (error %u)", doing, db_error(db), db->err);
	case DB_REJECT:
		break;
	}
	return fail(EXIT_DATA, "%s: %s (error %u)", doing, db_error(db), db->err);
}

/* ---- connecting ---- */

/* Who connects where, for messages: also what only the option files know, which the library has read by now. */
static void name_place(struct db *db)
{
	const struct st_mysql_options *o = &db->mysql->options;
	const char *host = db->c.host ? db->c.host : o->host;
	const char *socket = db->c.socket ? db->c.socket : o->unix_socket;
	const char *user = db->c.user ? db->c.user : o->user;
	const struct passwd *login = getpwuid(geteuid());
	unsigned port = db->c.port ? (unsigned)db->c.port : o->port;
	struct buf b = BUF_INIT;

	if (o->protocol == MYSQL_PROTOCOL_TCP ||
	    (o->protocol != MYSQL_PROTOCOL_SOCKET && host && strcmp(host, "localhost") != 0))
		buf_addf(&b, "%s:%u", host ? host : "localhost", port ? port : MYSQL_PORT);
	else
		buf_addf(&b, "%s", socket ? socket : "localhost");
	buf_addf(&b, " as %s", user ? user : login ? login->pw_name : "nobody");
	free(db->place);
	db->place = xstrndup(b.data, b.len);
	buf_release(&b);
}

/* -P says TCP, and -S says its socket, also where an option file or the library's defaults would say otherwise. */
static void set_options(struct db *db, int64_t timeout_ms)
{
	unsigned seconds = (unsigned)((timeout_ms + 999) / 1000), protocol = MYSQL_PROTOCOL_DEFAULT,
		 off = 0;

	if (db->c.defaults_file)
		mysql_options(db->mysql, MYSQL_READ_DEFAULT_FILE, db->c.defaults_file);
	mysql_options(db->mysql, MYSQL_READ_DEFAULT_GROUP, GROUP);
	mysql_options(db->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* Until the server's first words too: one that accepts and says nothing counts as none. */
	mysql_options(db->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	/* As a part of connecting: a proxy may let us in and its server not answer. */
	mysql_options(db->mysql, MYSQL_INIT_COMMAND, "DO 0");
	/* A server could ask for any of our files. */
	mysql_options(db->mysql, MYSQL_OPT_LOCAL_INFILE, &off);
	if (db->c.socket)
		protocol = MYSQL_PROTOCOL_SOCKET;
	else if (db->c.port || (db->c.host && strcmp(db->c.host, "localhost") != 0))
		protocol = MYSQL_PROTOCOL_TCP;
	if (protocol != MYSQL_PROTOCOL_DEFAULT)
		mysql_options(db->mysql, MYSQL_OPT_PROTOCOL, &protocol);
}

/* A file that is not there is the configuration's fault, and a certificate that is not trusted no server's. */
static int refused_tls(struct db *db)
{
	static const char *const untrusted[] = { "ertificate", "issuer", "verif", "inger print" };
	const struct st_mysql_options *o = &db->mysql->options;
	const char *const file[] = { o->ssl_ca, o->ssl_capath, o->ssl_cert, o->ssl_key };
	enum exit_code code = EXIT_UNAVAILABLE;

	for (size_t i = 0; i < OPT_COUNT(file); i++)
		if (file[i] && access(file[i], R_OK) < 0)
			return fail_errno(EXIT_CONFIG, "%s: TLS: %s", db->place, file[i]);
	for (size_t i = 0; i < OPT_COUNT(untrusted); i++)
		if (strstr(db_error(db), untrusted[i]))
			code = EXIT_PERM;
	return fail(code, "%s: %s (error %u)", db->place, db_error(db), db->err);
}

/* The libraries take a CA as a wish: a server without TLS, or somebody in between, would get all in plain text. */
static int check_tls(struct db *db)
{
	const struct st_mysql_options *o = &db->mysql->options;

	if ((!o->ssl_ca && !o->ssl_capath) || o->protocol == MYSQL_PROTOCOL_SOCKET ||
	    mysql_get_ssl_cipher(db->mysql) || strstr(mysql_get_host_info(db->mysql), "socket"))
		return 0;
	return fail(EXIT_UNAVAILABLE, "%s: the server has no TLS, which ssl-ca asks for", db->place);
}

static int refused(struct db *db)
{
	enum exit_code code;

	if (judge(db, &code) != DB_FAIL)
		code = EXIT_UNAVAILABLE;
	/* "Can't connect .. (115)": libmariadb forgets the reason, EINPROGRESS it is not. */
	if (db->error.len > 6 && memcmp(db->error.data + db->error.len - 6, " (115)", 6) == 0)
		db->error.len -= 6;
	if (db->err == CR_SSL_CONNECTION_ERROR)
		return refused_tls(db);
	return fail(code, "%s: %s (error %u)", db->place, db_error(db), db->err);
}

/* Takes the number that *s begins with. */
static long take_number(struct span *s)
{
	struct span digits = { s->p, 0 };
	int64_t n = 0;

	while (digits.n < s->n && s->p[digits.n] >= '0' && s->p[digits.n] <= '9')
		digits.n++;
	json_int64(digits, &n);
	*s = (struct span){ s->p + digits.n, s->n - digits.n };
	return (long)n;
}

static int about(void *ctx, const struct span *value, size_t columns)
{
	struct span version = value[0], packet = value[1];
	struct db *db = ctx;

	/* Not mysql_get_server_version: MySQL's library takes the 5.5.5- before MariaDB's for the version. */
	db->version = 0;
	for (long part = 10000; part > 0; part /= 100) {
		db->version += take_number(&version) * part;
		if (version.n > 0 && *version.p == '.')
			version = (struct span){ version.p + 1, version.n - 1 };
	}
	db->mariadb = version.n > 0 && memmem(version.p, version.n, "MariaDB", 7);
	db->max_packet = (size_t)take_number(&packet) - PACKET_OVERHEAD;
	free(db->database);
	db->database = value[2].p ? xstrndup(value[2].p, value[2].n) : NULL;
	return 0;
}

static int prepare_session(struct db *db)
{
	enum db_result r = db_run(db, SESSION, strlen(SESSION), NULL);

	if (r == DB_OK)
		r = db_run(db, ISOLATION, strlen(ISOLATION), NULL);
	if (r == DB_OK)
		r = db_select(db, ABOUT, strlen(ABOUT), about, db);
	if (r != DB_OK)
		return refused(db);
	if (!db->database)
		return fail(EXIT_CONFIG, "%s: no database: -D, or database= in group [" GROUP "]",
		    db->place);
	return 0;
}

/*
 * A statement may take long, but a host that is gone does not answer ever: by default the kernel would find out after
 * two hours. It answers to the kernel's probes however busy the server is. (A server that takes none of a statement's
 * bytes for so long is as good as gone.) Nothing of this matters on a Unix socket.
 */
static void notice_dead_host(const struct db *db)
{
	int ms = (int)db->c.timeout_ms, probe = ms < 3000 ? 1 : ms / 3000, probes = 2;

	setsockopt(db->mysql->net.fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe, sizeof(probe));
	setsockopt(db->mysql->net.fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof(probe));
	setsockopt(db->mysql->net.fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(db->mysql->net.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static void disconnect(struct db *db)
{
	if (db->mysql)
		mysql_close(db->mysql);
	db->mysql = NULL;
}

static int connect_once(struct db *db, int64_t timeout_ms)
{
	const char *host = db->c.socket && !db->c.host ? "localhost" : db->c.host;

	disconnect(db);
	db->mysql = mysql_init(NULL);
	if (!db->mysql)
		return fail(EXIT_IO, "out of memory");
	set_options(db, timeout_ms);
	if (!mysql_real_connect(db->mysql, host, db->c.user, NULL, db->c.database,
		(unsigned)db->c.port, db->c.socket, CLIENT_FOUND_ROWS | CLIENT_REMEMBER_OPTIONS)) {
		name_place(db);
		return refused(db);
	}
	name_place(db);
#ifdef MARIADB_BASE_VERSION
	/* An option file may say reconnect: a statement behind a lost one would run outside the transaction. */
	mysql_options(db->mysql, MYSQL_OPT_RECONNECT, &(my_bool){ 0 });
#endif
	notice_dead_host(db);
	return check_tls(db) < 0 ? -1 : prepare_session(db);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct db *db_open(const struct db_config *c)
{
	struct db *db;

	if (c->defaults_file && db_check_file(c->defaults_file) < 0)
		return NULL;
	db = xcalloc(1, sizeof(*db));
	db->max_packet = SIZE_MAX;
	db->c = *c;
	db->c.defaults_file = copy(c->defaults_file);
	db->c.host = copy(c->host);
	db->c.user = copy(c->user);
	db->c.socket = copy(c->socket);
	db->c.database = copy(c->database);
	if (connect_once(db, c->timeout_ms) == 0)
		return db;
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	disconnect(db);
	free((char *)db->c.defaults_file);
	free((char *)db->c.host);
	free((char *)db->c.user);
	free((char *)db->c.socket);
	free((char *)db->c.database);
	free(db->place);
	free(db->database);
	buf_release(&db->error);
	free(db);
}

/* A server that restarts is back in a few seconds; until then nobody listens, or it says that it is not ready. */
int db_reconnect(struct db *db)
{
	int64_t end = clock_mono_ms() + db->c.timeout_ms, pause = 20, left = db->c.timeout_ms;

	for (;;) {
		if (connect_once(db, left) == 0)
			return 0;
		left = end - clock_mono_ms();
		if (fail_code() != EXIT_UNAVAILABLE || left <= 0 || sig_stop()) {
			disconnect(db);
			return -1;
		}
		pause = pause < left ? pause : left;
		nanosleep(&(struct timespec){ pause / 1000, pause % 1000 * 1000000 }, NULL);
		pause = pause < 500 ? pause * 2 : 1000;
		left = end - clock_mono_ms() > 0 ? end - clock_mono_ms() : 1;
	}
}

int db_wait(struct db *db, struct db_wait *w, const char *why)
{
	int64_t now = clock_mono_ms();
	int64_t ms = WAIT_MS << (w->tries < WAIT_DOUBLED ? w->tries : WAIT_DOUBLED);

	if (w->tries++ == 0)
		w->since_ms = now;
	if (w->tries > 3 && now - w->since_ms > db->c.timeout_ms)
		return fail(EXIT_TRYAGAIN, "%s: gave up after %u tries: %s", db_database(db),
		    w->tries, why);
	note("%s: %s: trying again", db_database(db), why);
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
	return 0;
}

bool db_mariadb(const struct db *db)
{
	return db->mariadb;
}

long db_version(const struct db *db)
{
	return db->version;
}

bool db_row_alias(const struct db *db)
{
	return !db->mariadb && db->version >= 80020;
}

size_t db_max_packet(const struct db *db)
{
	return db->max_packet;
}

const char *db_database(const struct db *db)
{
	return db->database;
}

/* ---- statements ---- */

static enum db_result query(struct db *db, const char *sql, size_t n)
{
	db->err = 0;
	buf_clear(&db->error);
	if (!db->mysql) {
		set_error(db, 2006, "not connected");
		return DB_LOST;
	}
	/* The server would close the connection without reading all of it: that looks like a lost one. */
	if (n > db->max_packet) {
		set_error(db, 1153, "statement is longer than max_allowed_packet");
		fail(EXIT_CONFIG, "%s (%zu bytes; %zu)", db_error(db), n, db->max_packet);
		return DB_FAIL;
	}
	return mysql_real_query(db->mysql, sql, n) == 0 ? DB_OK : failed(db);
}

/* A statement sent before all of its answer was read would be out of step. */
static enum db_result read_rows(struct db *db, int (*row)(void *, const struct span *, size_t),
    void *ctx)
{
	MYSQL_RES *res = mysql_use_result(db->mysql);
	enum db_result result = DB_OK;
	struct span *value;
	MYSQL_ROW r;
	size_t n;

	if (!res)
		return mysql_field_count(db->mysql) > 0 ? failed(db) : DB_OK;
	n = mysql_num_fields(res);
	value = xcalloc(n, sizeof(*value));
	while (result == DB_OK && (r = mysql_fetch_row(res)) != NULL) {
		const unsigned long *length = mysql_fetch_lengths(res);

		for (size_t i = 0; i < n; i++)
			value[i] = (struct span){ r[i], r[i] ? length[i] : 0 };
		if (row && row(ctx, value, n) < 0)
			result = DB_FAIL;
	}
	if (result == DB_OK && mysql_errno(db->mysql) != 0)
		result = failed(db);
	mysql_free_result(res); /* reads what is left */
	free(value);
	return result;
}

enum db_result db_run(struct db *db, const char *sql, size_t n, uint64_t *matched)
{
	enum db_result r = query(db, sql, n);

	if (r == DB_OK && mysql_field_count(db->mysql) > 0)
		return read_rows(db, NULL, NULL);
	if (r == DB_OK && matched)
		*matched = mysql_affected_rows(db->mysql);
	return r;
}

enum db_result db_runf(struct db *db, const char *fmt, ...)
{
	struct buf sql = BUF_INIT;
	enum db_result r;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	buf_reserve(&sql, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(sql.data, (size_t)n + 1, fmt, ap);
	va_end(ap);
	r = db_run(db, sql.data, (size_t)n, NULL);
	buf_release(&sql);
	return r;
}

enum db_result db_select(struct db *db, const char *sql, size_t n,
    int (*row)(void *ctx, const struct span *value, size_t columns), void *ctx)
{
	enum db_result r = query(db, sql, n);

	return r == DB_OK ? read_rows(db, row, ctx) : r;
}

int db_count_row(void *ctx, const struct span *value, size_t columns)
{
	(void)value, (void)columns;
	++*(int *)ctx;
	return 0;
}

/* ---- quoting ---- */

void db_quote_name(struct buf *to, const char *p, size_t n)
{
	buf_add_char(to, '`');
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '`')
			buf_add_char(to, '`');
		buf_add_char(to, p[i]);
	}
	buf_add_char(to, '`');
}

/* In UTF-8 no byte of a longer character looks like any of these, so bytes can be escaped one by one. */
static char escaped(char c)
{
	switch (c) {
	case '\0':
		return '0';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\x1a':
		return 'Z';
	case '\'':
	case '"':
	case '\\':
		return c;
	default:
		return 0;
	}
}

void db_quote_text(struct buf *to, const char *p, size_t n)
{
	size_t done = 0;

	buf_reserve(to, n + 2);
	buf_add_char(to, '\'');
	for (size_t i = 0; i < n; i++) {
		char e = escaped(p[i]);

		if (!e)
			continue;
		buf_add(to, p + done, i - done);
		buf_add_char(to, '\\');
		buf_add_char(to, e);
		done = i + 1;
	}
	if (done < n) /* p may be NULL when n is 0 */
		buf_add(to, p + done, n - done);
	buf_add_char(to, '\'');
}

void db_quote_bytes(struct buf *to, const char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	buf_reserve(to, 2 * n + 3);
	buf_add(to, "x'", 2);
	for (size_t i = 0; i < n; i++) {
		buf_add_char(to, digits[(unsigned char)p[i] >> 4]);
		buf_add_char(to, digits[(unsigned char)p[i] & 15]);
	}
	buf_add_char(to, '\'');
}

void db_thread_begin(void)
{
	mysql_thread_init();
}

void db_thread_end(void)
{
	mysql_thread_end();
}
