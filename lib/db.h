/*
 * db: one connection to MariaDB or MySQL: option files, sessions, errors put into few classes.
 *
 * Speaks through libmysqlclient's C API and only with calls that libmariadb 3.3 and MySQL's own library
 * both document. Every session begins alike whatever the server's defaults are: utf8mb4, UTC, READ COMMITTED,
 * a strict sql_mode without NO_BACKSLASH_ESCAPES, wait_timeout 60, autocommit. One thread at a time per struct db.
 */
#ifndef SLUICE_DB_H
#define SLUICE_DB_H

#include "buf.h"
#include "log.h"
#include "opt.h"

#include <stdbool.h>
#include <stdint.h>

struct db_config {
	const char *defaults_file; /* NULL: the client library's usual files. Groups [client] and [sluice] */
	const char *host, *user, *socket, *database; /* NULL: as the option files say */
	int64_t port;                                /* 0: likewise */
	int64_t timeout_ms; /* to connect, and until a dead host is noticed; a statement may take longer */
};

/* --defaults-file -h -P -S -u -D --timeout: rows of an option table with host_letter, for a struct db_config. */
#define DB_OPTIONS(c)                                                                                 \
	{ 0, "defaults-file", "FILE", OPT_STRING, &(c).defaults_file,                                 \
		.help = "option file: groups [client] and [sluice]; the password belongs there" },    \
	    { 'h', "host", "HOST", OPT_STRING, &(c).host, .help = "server (localhost: its socket)" }, \
	    { 'P', "port", "PORT", OPT_INT, &(c).port, NULL, 1, 65535, "its TCP port (3306)" },       \
	    { 'S', "socket", "FILE", OPT_STRING, &(c).socket, .help = "its Unix socket" },            \
	    { 'u', "user", "USER", OPT_STRING, &(c).user, .help = "user to connect as" },             \
	    { 'D', "database", "DB", OPT_STRING, &(c).database, .help = "database of the tables" },   \
	{                                                                                             \
		0, "timeout", "SEC", OPT_SECONDS, &(c).timeout_ms, NULL, 1, 86400000,                 \
		    "wait so long for the server, also to come back (30)"                             \
	}

struct db;

/* For another thread than the one that opened it: before it uses a connection, and when it ends. */
void db_thread_begin(void);
void db_thread_end(void);

/*
 * Connects and prepares the session. NULL with fail(): EXIT_PERM wrong password, no right to the database, or a
 * certificate that is not trusted; EXIT_CONFIG no such database or a bad option file; EXIT_UNAVAILABLE no server, one
 * that accepts and does not answer in timeout_ms, or one without TLS when a CA was given. The message names host and
 * port or socket, and user; never the password. *c is copied.
 */
struct db *db_open(const struct db_config *c);
void db_close(struct db *db);

/* Connects again after DB_LOST, trying for timeout_ms or until sig_stop(). 0 or -1 with fail(); may be repeated. */
int db_reconnect(struct db *db);

bool db_mariadb(const struct db *db);
long db_version(const struct db *db);      /* 101106, 80031 */
bool db_row_alias(const struct db *db);    /* MySQL from 8.0.20: INSERT ... AS new, else VALUES() */
size_t db_max_packet(const struct db *db); /* bytes of the longest statement the server takes */
const char *db_database(const struct db *db);

enum db_result {
	DB_OK = 0,
	DB_LOST,  /* the connection is gone: nobody knows what happened to the statement */
	DB_RETRY, /* deadlock, lock timeout: the transaction must be rolled back and done again */
	DB_REJECT, /* the server found fault with the data: the list in db.c; db_errno(), db_error() say what */
	DB_FAIL, /* anything else, with fail(): EXIT_PERM, EXIT_IO (full), EXIT_TRYAGAIN (read-only),
		      EXIT_CONFIG (no such table or column), EXIT_UNAVAILABLE */
};

/* One statement without rows. *matched (may be NULL): rows found (CLIENT_FOUND_ROWS), as the server counts them. */
enum db_result db_run(struct db *db, const char *sql, size_t n, uint64_t *matched);
enum db_result db_runf(struct db *db, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * One statement with rows: each to row(ctx, value[], columns); value[i].p NULL: NULL. row returns 0 or -1 after
 * fail(), which ends it with DB_FAIL. All rows are read from the connection in any case.
 */
enum db_result db_select(struct db *db, const char *sql, size_t n,
    int (*row)(void *ctx, const struct span *value, size_t columns), void *ctx);
/* A row function that only counts, in the int at ctx. */
int db_count_row(void *ctx, const struct span *value, size_t columns);

unsigned db_errno(const struct db *db);
const char *db_error(const struct db *db); /* the server's words, without a newline */

/* What an error means, by its number, SQLSTATE and words; *code only with DB_FAIL. */
enum db_result db_judge(unsigned number, const char *sqlstate, const char *text, enum exit_code *code);

/*
 * After DB_RETRY and a ROLLBACK: waits, longer each time, before the transaction is done again. 0, or -1 with
 * fail(EXIT_TRYAGAIN): that goes on for longer than timeout_ms. why: what the server said.
 */
struct db_wait {
	unsigned tries;
	int64_t since_ms;
};
int db_wait(struct db *db, struct db_wait *w, const char *why);

/* For callers to whom every result but DB_OK is a failure: leaves fail() for it. Returns 0 or -1. */
int db_must(struct db *db, enum db_result r, const char *doing);

/* Appends `name` (backticks doubled) and 'text' (escaped for this session, which is utf8mb4). Any bytes. */
void db_quote_name(struct buf *to, const char *name, size_t n);
void db_quote_text(struct buf *to, const char *p, size_t n);
/* x'00ff': bytes that are no text. */
void db_quote_bytes(struct buf *to, const char *p, size_t n);

#endif
