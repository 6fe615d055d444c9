#include "db.h"

#include "clock.h"
#include "json.h"
#include "log.h"

#include <errno.h>
#include <mysql.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GROUP "sluice"

/* Alike on both servers, whatever their defaults and the option file's init-command say. */
#define SESSION                                                                                    \
	"SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,"                  \
	"NO_AUTO_VALUE_ON_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"           \
	"NO_ENGINE_SUBSTITUTION', autocommit = 1, foreign_key_checks = 1, unique_checks = 1, "     \
	"wait_timeout = 60"
#define ISOLATION "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
#define ABOUT     "SELECT VERSION(), @@max_allowed_packet, DATABASE()"

/* The server refuses a packet of max_allowed_packet bytes; one byte of it is the command. */
#define PACKET_OVERHEAD 2

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

struct known {
	unsigned number;
	enum db_result class;
	enum exit_code code; /* of DB_FAIL */
	const char *text;    /* NULL: any; else the message contains it */
};

/*
 * What the servers' error numbers mean to somebody who writes rows in transactions. Numbers below 2000 and of the
 * client library (2000 to 2999, 5000 to 5999) are common to both servers; above, each has its own, so one that the
 * other gives another meaning is here only when that one never comes from what we send. What is not here is judged
 * by its SQLSTATE.
 *
 * A reject is an error that another value would have avoided: had the server trouble with it for any other reason
 * (a right, a full disk, a column that is gone), every record behind it would become a reject too.
 */
static const struct known known[] = {
	/* The connection. Also an error of COMMIT after which nobody knows: who reconnects and looks finds out. */
	{ 1043, DB_LOST, 0, NULL }, /* bad handshake */
	{ 1053, DB_LOST, 0, NULL }, /* shutdown */
	{ 1077, DB_LOST, 0, NULL }, { 1079, DB_LOST, 0, NULL },
	{ 1080, DB_LOST, 0, NULL }, /* forcing close of thread */
	{ 1152, DB_LOST, 0, NULL }, /* aborted connection */
	{ 1154, DB_LOST, 0, NULL }, /* reading and writing packets, up to 1161 */
	{ 1155, DB_LOST, 0, NULL }, { 1156, DB_LOST, 0, NULL }, { 1157, DB_LOST, 0, NULL },
	{ 1158, DB_LOST, 0, NULL }, { 1159, DB_LOST, 0, NULL }, { 1160, DB_LOST, 0, NULL },
	{ 1161, DB_LOST, 0, NULL }, { 1180, DB_LOST, 0, NULL }, /* "got error during COMMIT" */
	{ 1184, DB_LOST, 0, NULL }, { 1835, DB_LOST, 0, NULL }, /* malformed packet */
	{ 1927, DB_LOST, 0, NULL },                             /* MariaDB: killed */
	{ 2006, DB_LOST, 0, NULL },                             /* gone away */
	{ 2012, DB_LOST, 0, NULL },                             /* in the handshake */
	{ 2013, DB_LOST, 0, NULL },                             /* during a query */
	{ 2026, DB_LOST, 0, NULL }, /* TLS: a cut connection, once it stands */
	{ 2027, DB_LOST, 0, NULL }, /* malformed packet */
	{ 2055, DB_LOST, 0, NULL }, { 3032, DB_LOST, 0, NULL }, /* MySQL: offline mode */
	{ 3169, DB_LOST, 0, NULL },                             /* MySQL: killed */
	{ 4031, DB_LOST, 0, NULL }, /* MySQL: idle for longer than wait_timeout */
	{ 5013, DB_LOST, 0, NULL }, /* libmariadb: reading, writing, uncompressing */
	{ 5014, DB_LOST, 0, NULL }, { 5015, DB_LOST, 0, NULL },

	/* Somebody else was in the way. Lock timeouts undo only the statement, the others all of it: roll back. */
	{ 1020, DB_RETRY, 0, NULL }, /* MariaDB: changed since read (innodb_snapshot_isolation) */
	{ 1205, DB_RETRY, 0, NULL }, /* lock wait timeout */
	{ 1213, DB_RETRY, 0, NULL }, /* deadlock */
	{ 1317, DB_RETRY, 0, NULL }, /* interrupted: KILL QUERY, or a shutdown that DB_LOST follows */
	{ 1412, DB_RETRY, 0, NULL }, /* table definition has changed */
	{ 1637, DB_RETRY, 0, NULL }, /* too many concurrent transactions */
	{ 1689, DB_RETRY, 0, NULL }, /* wait on a lock was aborted */
	{ 1969, DB_RETRY, 0, NULL }, /* MariaDB: max_statement_time */
	{ 3024, DB_RETRY, 0, NULL }, /* MySQL: max_execution_time */
	{ 3100, DB_RETRY, 0, NULL }, /* MySQL: group replication, before and while committing */
	{ 3101, DB_RETRY, 0, NULL }, { 3572, DB_RETRY, 0, NULL }, /* MySQL: NOWAIT */

	/* The data. */
	{ 1030, DB_REJECT, 0, "error 139" }, /* from the engine: the row is too big */
	{ 1048, DB_REJECT, 0, NULL },        /* NULL for NOT NULL */
	{ 1062, DB_REJECT, 0,
	    NULL }, /* duplicate: of another unique key, else ON DUPLICATE KEY would have taken it */
	{ 1118, DB_REJECT, 0, NULL }, /* row too big for its page */
	{ 1169, DB_REJECT, 0, NULL }, /* unique constraint, without saying which */
	{ 1216, DB_REJECT, 0, NULL }, /* foreign keys, for users who may not see the parent */
	{ 1217, DB_REJECT, 0, NULL }, { 1264, DB_REJECT, 0, NULL }, /* out of range */
	{ 1265, DB_REJECT, 0, NULL },                               /* truncated */
	{ 1267, DB_REJECT, 0,
	    NULL }, /* illegal mix of collations: a literal that the column's charset does not have */
	{ 1270, DB_REJECT, 0, NULL }, { 1271, DB_REJECT, 0, NULL },
	{ 1292, DB_REJECT, 0, NULL }, /* incorrect value */
	{ 1300, DB_REJECT, 0, NULL }, /* invalid character string */
	{ 1365, DB_REJECT, 0, NULL }, /* division by zero: in a generated column or trigger */
	{ 1366, DB_REJECT, 0, NULL }, /* incorrect value for the column */
	{ 1367, DB_REJECT, 0, NULL }, /* illegal number in a literal */
	{ 1369, DB_REJECT, 0, NULL }, /* CHECK OPTION of a view, in a trigger */
	{ 1406, DB_REJECT, 0, NULL }, /* too long */
	{ 1411, DB_REJECT, 0, NULL }, /* incorrect value for a function */
	{ 1416, DB_REJECT, 0, NULL }, /* not a geometry */
	{ 1425, DB_REJECT, 0, NULL }, /* a literal with too many digits behind the point, or at all */
	{ 1426, DB_REJECT, 0, NULL }, { 1441, DB_REJECT, 0, NULL }, /* datetime overflow */
	{ 1451, DB_REJECT, 0, NULL },                               /* has children */
	{ 1452, DB_REJECT, 0, NULL },                               /* has no parent */
	{ 1525, DB_REJECT, 0, NULL },                               /* incorrect date or the like */
	{ 1526, DB_REJECT, 0, NULL },                               /* no partition for the value */
	{ 1557, DB_REJECT, 0, NULL }, /* a cascade would make a duplicate, here and below */
	{ 1586, DB_REJECT, 0, NULL }, /* duplicate, with the key's name */
	{ 1591, DB_REJECT, 0, NULL }, /* no partition for the value */
	{ 1644, DB_REJECT, 0, NULL }, /* SIGNAL of a trigger */
	{ 1690, DB_REJECT, 0, NULL }, /* an expression out of range */
	{ 1713, DB_REJECT, 0, NULL }, /* undo record too big: the row has too many long columns */
	{ 1748, DB_REJECT, 0, NULL }, /* row does not match the partition */
	{ 1761, DB_REJECT, 0, NULL }, { 1762, DB_REJECT, 0, NULL },
	{ 1859, DB_REJECT, 0, NULL }, /* duplicate for a key without a name */
	{ 1863, DB_REJECT, 0, NULL }, /* row in the wrong partition */
	{ 1916, DB_REJECT, 0, NULL }, /* MariaDB: overflow, truncation or bad data in a cast */
	{ 1917, DB_REJECT, 0, NULL }, { 1918, DB_REJECT, 0, NULL },
	{ 1977, DB_REJECT, 0, NULL }, /* MariaDB: a character that the charset does not have */
	{ 3140, DB_REJECT, 0, NULL }, /* MySQL: JSON, up to 3158 */
	{ 3141, DB_REJECT, 0, NULL }, { 3146, DB_REJECT, 0, NULL }, { 3147, DB_REJECT, 0, NULL },
	{ 3150, DB_REJECT, 0, NULL }, { 3151, DB_REJECT, 0, NULL }, { 3155, DB_REJECT, 0, NULL },
	{ 3156, DB_REJECT, 0, NULL }, { 3157, DB_REJECT, 0, NULL }, { 3158, DB_REJECT, 0, NULL },
	{ 3819, DB_REJECT, 0, NULL }, /* MySQL: CHECK */
	{ 3854, DB_REJECT, 0, NULL }, /* MySQL: cannot convert a string to the column's charset */
	{ 3903, DB_REJECT, 0, NULL }, /* MySQL: JSON value of a functional index: wrong, out of range, too long */
	{ 3904, DB_REJECT, 0, NULL }, { 3907, DB_REJECT, 0, NULL },
	{ 3934, DB_REJECT, 0, NULL }, /* MySQL: JSON schema */
	{ 3988, DB_REJECT, 0, NULL }, /* MySQL: as 3854 */
	{ 4025, DB_REJECT, 0, NULL }, /* MariaDB: CHECK */
	{ 4035, DB_REJECT, 0, NULL }, /* MariaDB: JSON, up to 4040 */
	{ 4036, DB_REJECT, 0, NULL }, { 4037, DB_REJECT, 0, NULL }, { 4038, DB_REJECT, 0, NULL },
	{ 4039, DB_REJECT, 0, NULL }, { 4040, DB_REJECT, 0, NULL },

	/* Rights. */
	{ 1044, DB_FAIL, EXIT_PERM, NULL }, /* to the database */
	{ 1045, DB_FAIL, EXIT_PERM, NULL }, /* user, password; REQUIRE SSL */
	{ 1130, DB_FAIL, EXIT_PERM, NULL }, /* host */
	{ 1142, DB_FAIL, EXIT_PERM, NULL }, /* command on the table */
	{ 1143, DB_FAIL, EXIT_PERM, NULL }, /* on the column */
	{ 1227, DB_FAIL, EXIT_PERM, NULL }, /* a global right */
	{ 1370, DB_FAIL, EXIT_PERM, NULL }, /* routine, in a trigger */
	{ 1419, DB_FAIL, EXIT_PERM, NULL }, { 1698, DB_FAIL, EXIT_PERM, NULL }, /* as 1045, by a plugin */
	{ 1820, DB_FAIL, EXIT_PERM, NULL }, /* password has expired */
	{ 1862, DB_FAIL, EXIT_PERM, NULL }, { 1873, DB_FAIL, EXIT_PERM, NULL },
	{ 3118, DB_FAIL, EXIT_PERM, NULL }, /* account is locked: MySQL, MariaDB */
	{ 4151, DB_FAIL, EXIT_PERM, NULL },
	{ 4150, DB_FAIL, EXIT_PERM, NULL }, /* MariaDB: blocked after wrong passwords */
	{ 3879, DB_FAIL, EXIT_PERM, NULL }, /* MySQL: database, by a role */

	/* Full, or broken below the server. */
	{ 1021, DB_FAIL, EXIT_IO, NULL }, /* disk full */
	{ 1030, DB_FAIL, EXIT_IO, NULL }, /* error of the engine: 28 is ENOSPC */
	{ 1114, DB_FAIL, EXIT_IO, NULL }, /* table full */
	{ 1206, DB_FAIL, EXIT_IO, NULL }, /* lock table full */
	{ 1467, DB_FAIL, EXIT_IO, NULL }, /* no more AUTO_INCREMENT values */
	{ 3675, DB_FAIL, EXIT_IO, NULL }, /* MySQL: disk full */

	/* Read-only for now: another server may have become the primary. */
	{ 1036, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* table */
	{ 1207, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* transaction */
	{ 1223, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* a read lock of all tables */
	{ 1290, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* --read-only and its like */
	{ 1792, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* transaction */
	{ 1836, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* server */
	{ 1874, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* InnoDB */
	{ 3989, DB_FAIL, EXIT_TRYAGAIN, NULL }, /* MySQL: schema */

	/* No server, or none for us now. */
	{ 1040, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* too many connections */
	{ 1041, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* out of memory */
	{ 1042, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* cannot resolve our host */
	{ 1047, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* Galera: the node is not ready */
	{ 1129, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* host is blocked after failed connections */
	{ 1135, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* no thread */
	{ 1203, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* too many connections of the user */
	{ 1226, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* the user's limit */
	{ 2001, DB_FAIL, EXIT_UNAVAILABLE, NULL },
	{ 2002, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* socket; with libmariadb any */
	{ 2003, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* TCP */
	{ 2004, DB_FAIL, EXIT_UNAVAILABLE, NULL },
	{ 2005, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* unknown host */
	{ 2007, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* another protocol */
	{ 2014, DB_FAIL, EXIT_UNAVAILABLE, NULL }, /* commands out of sync */

	/* What was asked for is not there, or not so. Of SQLSTATE classes that would say something else. */
	{ 1052, DB_FAIL, EXIT_CONFIG, NULL }, /* 23000: ambiguous column */
	{ 1153, DB_FAIL, EXIT_CONFIG,
	    NULL }, /* 08S01: statement above max_allowed_packet; redoing does not help */
	{ 1197, DB_FAIL, EXIT_CONFIG, NULL }, /* transaction above max_binlog_cache_size */
	{ 1364, DB_FAIL, EXIT_CONFIG, NULL }, /* no default: the table has changed, or a trigger is wrong */
	{ 1665, DB_FAIL, EXIT_CONFIG, NULL }, /* binlog_format=STATEMENT forbids READ COMMITTED */
	{ 2020, DB_FAIL, EXIT_CONFIG, NULL }, /* above the client's own max_allowed_packet */
	{ 2059, DB_FAIL, EXIT_CONFIG, NULL }, /* the client has not the authentication plugin */
	{ 2061, DB_FAIL, EXIT_CONFIG, NULL }, /* or it failed: most want TLS */
	{ 3159, DB_FAIL, EXIT_CONFIG, NULL }, /* the server wants TLS */
};

/* By the SQL standard's classes, where MySQL follows them. A SIGNAL with a number of its own is a reject. */
static struct known by_sqlstate(const char *state)
{
	static const struct {
		const char *class;
		enum db_result result;
		enum exit_code code;
	} classes[] = {
		{ "08", DB_LOST, 0 },                                /* connection */
		{ "22", DB_REJECT, 0 },                              /* data exception */
		{ "23", DB_REJECT, 0 },                              /* integrity constraint */
		{ "28", DB_FAIL, EXIT_PERM }, { "40", DB_RETRY, 0 }, /* transaction rollback */
		{ "42", DB_FAIL, EXIT_CONFIG }, /* syntax, unknown table or column */
		{ "45", DB_REJECT, 0 },         /* SIGNAL */
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
		if (strncmp(state, classes[i].class, 2) == 0)
			return (struct known){ 0, classes[i].result, classes[i].code, NULL };
	return (struct known){ 0, DB_FAIL, EXIT_IO, NULL };
}

enum db_result db_judge(unsigned number, const char *sqlstate, const char *text, enum exit_code *code)
{
	struct known k = by_sqlstate(sqlstate);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (known[i].number == number && (!known[i].text || strstr(text, known[i].text))) {
			k = known[i];
			break;
		}
	}
	*code = k.code;
	return k.class;
}

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
	case DB_FAIL:
		return fail_context("%s", doing);
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

/* The client library passes over an option file that it cannot read, or that anybody may write, in silence. */
static int check_defaults_file(const char *path)
{
	struct stat st;

	if (access(path, R_OK) < 0 || stat(path, &st) < 0)
		return fail_errno(EXIT_CONFIG, "%s", path);
	if (S_ISDIR(st.st_mode))
		return fail(EXIT_CONFIG, "%s: is a directory", path);
	if (S_ISREG(st.st_mode) && st.st_mode & S_IWOTH)
		return fail(EXIT_CONFIG, "%s: anybody may write to it", path);
	return 0;
}

/* Who connects where, for messages: also what only the option files know, which the library has read by now. */
static void name_place(struct db *db)
{
	const struct st_mysql_options *o = &db->mysql->options;
	const char *host = db->c.host ? db->c.host : o->host;
	const char *socket = db->c.socket ? db->c.socket : o->unix_socket;
	const char *user = db->c.user ? db->c.user : o->user;
	const struct passwd *login = getpwuid(geteuid());
	struct buf b = BUF_INIT;

	if (o->protocol == MYSQL_PROTOCOL_TCP ||
	    (o->protocol != MYSQL_PROTOCOL_SOCKET && host && strcmp(host, "localhost") != 0))
		buf_addf(&b, "%s:%u", host ? host : "localhost",
		    db->c.port    ? (unsigned)db->c.port
			: o->port ? o->port
				  : MYSQL_PORT);
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
	/* A server could ask for any of our files. */
	mysql_options(db->mysql, MYSQL_OPT_LOCAL_INFILE, &off);
	if (db->c.socket)
		protocol = MYSQL_PROTOCOL_SOCKET;
	else if (db->c.port || (db->c.host && strcmp(db->c.host, "localhost") != 0))
		protocol = MYSQL_PROTOCOL_TCP;
	if (protocol != MYSQL_PROTOCOL_DEFAULT)
		mysql_options(db->mysql, MYSQL_OPT_PROTOCOL, &protocol);
}

static int refused(struct db *db)
{
	enum exit_code code;

	if (judge(db, &code) != DB_FAIL)
		code = EXIT_UNAVAILABLE;
	/* "Can't connect .. (115)": libmariadb forgets the reason, EINPROGRESS it is not. */
	if (db->error.len > 6 && memcmp(db->error.data + db->error.len - 6, " (115)", 6) == 0)
		db->error.len -= 6;
	/* TLS: a certificate that is not the right one is no matter of trying again. */
	if (db->err == 2026 &&
	    (strcasestr(db_error(db), "verif") || strcasestr(db_error(db), "trusted")))
		code = EXIT_PERM;
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
	if (db_must(db, db_run(db, SESSION, strlen(SESSION), NULL), "preparing the session") < 0 ||
	    db_must(db, db_run(db, ISOLATION, strlen(ISOLATION), NULL), "preparing the session") < 0 ||
	    db_must(db, db_select(db, ABOUT, strlen(ABOUT), about, db), "asking for the version") < 0)
		return fail_context("%s", db->place);
	if (!db->database)
		return fail(EXIT_CONFIG, "%s: no database: -D, or database= in group [" GROUP "]",
		    db->place);
	return 0;
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
	return prepare_session(db);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct db *db_open(const struct db_config *c)
{
	struct db *db;

	if (c->defaults_file && check_defaults_file(c->defaults_file) < 0)
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
		if (fail_code() != EXIT_UNAVAILABLE || left <= 0) {
			disconnect(db);
			return -1;
		}
		pause = pause < left ? pause : left;
		nanosleep(&(struct timespec){ pause / 1000, pause % 1000 * 1000000 }, NULL);
		pause = pause < 500 ? pause * 2 : 1000;
		left = end - clock_mono_ms() > 0 ? end - clock_mono_ms() : 1;
	}
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

static enum db_result send(struct db *db, const char *sql, size_t n)
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
	enum db_result r = send(db, sql, n);

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
	enum db_result r = send(db, sql, n);

	return r == DB_OK ? read_rows(db, row, ctx) : r;
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
