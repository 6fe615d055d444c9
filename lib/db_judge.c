#include "db.h"

#include <string.h>

/*
 * What the servers' error numbers mean to somebody who writes rows in transactions. Numbers below 2000 and of the
 * client library (2000 to 2999, 5000 to 5999) are common to both servers; above, each has its own, so one that the
 * other gives another meaning is here only when that one never comes from what we send. What is not here is judged
 * by its SQLSTATE.
 *
 * A reject is an error that another value would have avoided: had the server trouble with it for any other reason
 * (a right, a full disk, a column that is gone), every record behind it would become a reject too.
 */
static const struct known {
	unsigned from, to;
	enum db_result result;
	enum exit_code code; /* of DB_FAIL */
} known[] = {
	/* The connection. Also an error of COMMIT after which nobody knows: who reconnects and looks finds out. */
	{ 1043, 1043, DB_LOST, 0 }, /* bad handshake */
	{ 1053, 1053, DB_LOST, 0 }, /* shutdown in progress */
	{ 1077, 1080, DB_LOST, 0 }, /* shutdown, its signal, its end; forced close */
	{ 1152, 1152, DB_LOST, 0 }, /* aborted connection */
	{ 1154, 1161, DB_LOST, 0 }, /* reading and writing packets */
	{ 1180, 1180, DB_LOST, 0 }, /* error during COMMIT */
	{ 1184, 1184, DB_LOST, 0 }, /* aborted connection */
	{ 1835, 1835, DB_LOST, 0 }, /* malformed packet */
	{ 1927, 1927, DB_LOST, 0 }, /* MariaDB: killed */
	{ 2006, 2006, DB_LOST, 0 }, /* gone away */
	{ 2012, 2013, DB_LOST, 0 }, /* lost in the handshake; during a query */
	{ 2026, 2027, DB_LOST, 0 }, /* TLS: once it stands, a cut connection; malformed packet */
	{ 2055, 2055, DB_LOST, 0 }, /* lost, with the reason */
	{ 3032, 3032, DB_LOST, 0 }, /* MySQL: offline mode */
	{ 3169, 3169, DB_LOST, 0 }, /* MySQL: killed */
	{ 4031, 4031, DB_LOST, 0 }, /* MySQL: idle for longer than wait_timeout */
	{ 5013, 5015, DB_LOST, 0 }, /* libmariadb: reading, writing, uncompressing */

	/* Somebody else was in the way. A lock timeout undoes only the statement, the others all: roll back. */
	{ 1020, 1020, DB_RETRY, 0 }, /* MariaDB: changed since it was read */
	{ 1205, 1205, DB_RETRY, 0 }, /* lock wait timeout */
	{ 1213, 1213, DB_RETRY, 0 }, /* deadlock */
	{ 1317, 1317, DB_RETRY, 0 }, /* interrupted: KILL QUERY; of a shutdown DB_LOST follows */
	{ 1412, 1412, DB_RETRY, 0 }, /* table definition has changed */
	{ 1637, 1637, DB_RETRY, 0 }, /* too many concurrent transactions */
	{ 1689, 1689, DB_RETRY, 0 }, /* wait for a lock was aborted */
	{ 1969, 1969, DB_RETRY, 0 }, /* MariaDB: max_statement_time */
	{ 3024, 3024, DB_RETRY, 0 }, /* MySQL: max_execution_time */
	{ 3100, 3101, DB_RETRY, 0 }, /* MySQL: group replication, before and while committing */
	{ 3572, 3572, DB_RETRY, 0 }, /* MySQL: NOWAIT */

	/* The data. */
	{ 1048, 1048, DB_REJECT, 0 }, /* NULL for NOT NULL */
	{ 1062, 1062, DB_REJECT, 0 }, /* duplicate: of another unique key than the upsert's */
	{ 1118, 1118, DB_REJECT, 0 }, /* row too big for its page */
	{ 1169, 1169, DB_REJECT, 0 }, /* unique constraint, without saying which */
	{ 1216, 1217, DB_REJECT, 0 }, /* foreign keys, for users who may not see the other table */
	{ 1264, 1265, DB_REJECT, 0 }, /* out of range; truncated */
	{ 1267, 1267, DB_REJECT, 0 }, /* a literal that the column's character set does not have */
	{ 1270, 1271, DB_REJECT, 0 }, /* likewise, of three and more */
	{ 1292, 1292, DB_REJECT, 0 }, /* incorrect value */
	{ 1300, 1300, DB_REJECT, 0 }, /* invalid character string */
	{ 1365, 1367, DB_REJECT, 0 }, /* division by zero; incorrect value; illegal number */
	{ 1369, 1369, DB_REJECT, 0 }, /* CHECK OPTION of a view, in a trigger */
	{ 1406, 1406, DB_REJECT, 0 }, /* too long */
	{ 1411, 1411, DB_REJECT, 0 }, /* incorrect value for a function */
	{ 1416, 1416, DB_REJECT, 0 }, /* not a geometry */
	{ 1425, 1426, DB_REJECT, 0 }, /* a literal with too many digits */
	{ 1441, 1441, DB_REJECT, 0 }, /* datetime overflow */
	{ 1451, 1452, DB_REJECT, 0 }, /* has children; has no parent */
	{ 1525, 1526, DB_REJECT, 0 }, /* incorrect date or the like; no partition for it */
	{ 1557, 1557, DB_REJECT, 0 }, /* a cascade would make a duplicate */
	{ 1586, 1586, DB_REJECT, 0 }, /* duplicate, with the key's name */
	{ 1591, 1591, DB_REJECT, 0 }, /* no partition for it */
	{ 1643, 1644, DB_REJECT, 0 }, /* SIGNAL of a trigger */
	{ 1690, 1690, DB_REJECT, 0 }, /* an expression out of range */
	{ 1713, 1713, DB_REJECT, 0 }, /* undo record too big: too many long columns */
	{ 1748, 1748, DB_REJECT, 0 }, /* not of this partition */
	{ 1761, 1762, DB_REJECT, 0 }, /* a cascade would make a duplicate */
	{ 1859, 1859, DB_REJECT, 0 }, /* duplicate for a key without a name */
	{ 1863, 1863, DB_REJECT, 0 }, /* not of this partition */
	{ 1916, 1918, DB_REJECT, 0 }, /* MariaDB: overflow, truncation, bad data in a cast */
	{ 1977, 1977, DB_REJECT, 0 }, /* MariaDB: a character that the character set does not have */
	{ 3140, 3141, DB_REJECT, 0 }, /* MySQL: not JSON, in a column, for a function */
	{ 3144, 3144, DB_REJECT, 0 }, /* MySQL: bytes for JSON */
	{ 3146, 3147, DB_REJECT, 0 }, /* MySQL: JSON in generated columns and CHECKs */
	{ 3150, 3151, DB_REJECT, 0 }, /* MySQL: JSON too big, name too long */
	{ 3155, 3158, DB_REJECT, 0 }, /* MySQL: JSON out of range, no fit, too deep, no name */
	{ 3698, 3699, DB_REJECT, 0 }, /* MySQL: a regular expression finds no end with it */
	{ 3751, 3752, DB_REJECT, 0 }, /* MySQL: truncated, out of range for a functional index */
	{ 3819, 3819, DB_REJECT, 0 }, /* MySQL: CHECK */
	{ 3854, 3854, DB_REJECT, 0 }, /* MySQL: no such character in the column's set */
	{ 3903, 3908, DB_REJECT, 0 }, /* MySQL: JSON for functional and multi-valued indexes */
	{ 3934, 3934, DB_REJECT, 0 }, /* MySQL: JSON schema */
	{ 3988, 3988, DB_REJECT, 0 }, /* MySQL: as 3854 */
	{ 4025, 4025, DB_REJECT, 0 }, /* MariaDB: CHECK */
	{ 4035, 4040, DB_REJECT, 0 }, /* MariaDB: JSON */

	/* Rights. */
	{ 1044, 1045, DB_FAIL, EXIT_PERM }, /* to the database; wrong user or password, REQUIRE SSL */
	{ 1130, 1130, DB_FAIL, EXIT_PERM }, /* host */
	{ 1142, 1143, DB_FAIL, EXIT_PERM }, /* command on the table, on the column */
	{ 1227, 1227, DB_FAIL, EXIT_PERM }, /* a global right */
	{ 1370, 1370, DB_FAIL, EXIT_PERM }, /* routine, in a trigger */
	{ 1419, 1419, DB_FAIL, EXIT_PERM }, /* a trigger, with a binary log */
	{ 1698, 1698, DB_FAIL, EXIT_PERM }, /* as 1045, by a plugin */
	{ 1820, 1820, DB_FAIL, EXIT_PERM }, /* password has expired, here and below */
	{ 1862, 1862, DB_FAIL, EXIT_PERM }, /* likewise */
	{ 1873, 1873, DB_FAIL, EXIT_PERM }, /* change of user */
	{ 3118, 3118, DB_FAIL, EXIT_PERM }, /* MySQL: account is locked */
	{ 3159, 3159, DB_FAIL, EXIT_PERM }, /* MySQL: the server wants TLS; MariaDB says 1045 */
	{ 3879, 3879, DB_FAIL, EXIT_PERM }, /* MySQL: database, by a role */
	{ 4150, 4151, DB_FAIL, EXIT_PERM }, /* MariaDB: account is blocked, is locked */

	/* Full, or broken below the server. */
	{ 1021, 1021, DB_FAIL, EXIT_IO }, /* disk full */
	{ 1030, 1030, DB_FAIL, EXIT_IO }, /* error of the engine: 28 is ENOSPC */
	{ 1114, 1114, DB_FAIL, EXIT_IO }, /* table full */
	{ 1206, 1206, DB_FAIL, EXIT_IO }, /* lock table full */
	{ 1467, 1467, DB_FAIL, EXIT_IO }, /* no more AUTO_INCREMENT values */
	{ 3675, 3675, DB_FAIL, EXIT_IO }, /* MySQL: disk full */

	/* Read-only for now: another server may have become the primary. */
	{ 1036, 1036, DB_FAIL, EXIT_TRYAGAIN }, /* table */
	{ 1207, 1207, DB_FAIL, EXIT_TRYAGAIN }, /* transaction */
	{ 1223, 1223, DB_FAIL, EXIT_TRYAGAIN }, /* a read lock of all tables */
	{ 1290, 1290, DB_FAIL, EXIT_TRYAGAIN }, /* --read-only and its like */
	{ 1792, 1792, DB_FAIL, EXIT_TRYAGAIN }, /* transaction */
	{ 1836, 1836, DB_FAIL, EXIT_TRYAGAIN }, /* server */
	{ 1874, 1874, DB_FAIL, EXIT_TRYAGAIN }, /* InnoDB */
	{ 3989, 3989, DB_FAIL, EXIT_TRYAGAIN }, /* MySQL: database */

	/* No server, or none for us now. */
	{ 1040, 1042, DB_FAIL, EXIT_UNAVAILABLE }, /* too many connections; no memory; our host has no name */
	{ 1047, 1047, DB_FAIL, EXIT_UNAVAILABLE }, /* Galera: the node is not ready */
	{ 1129, 1129, DB_FAIL, EXIT_UNAVAILABLE }, /* host is blocked after failed connections */
	{ 1135, 1135, DB_FAIL, EXIT_UNAVAILABLE }, /* no thread */
	{ 1203, 1203, DB_FAIL, EXIT_UNAVAILABLE }, /* too many connections of the user */
	{ 1226, 1226, DB_FAIL, EXIT_UNAVAILABLE }, /* another limit of the user */
	{ 2001, 2005, DB_FAIL, EXIT_UNAVAILABLE }, /* socket, TCP; unknown host (libmariadb: 2002 for all) */
	{ 2007, 2007, DB_FAIL, EXIT_UNAVAILABLE }, /* another protocol */
	{ 2014, 2014, DB_FAIL, EXIT_UNAVAILABLE }, /* commands out of sync */

	/* What was asked for is not there, or not so: of SQLSTATEs that would say something else. */
	{ 1052, 1052, DB_FAIL, EXIT_CONFIG }, /* ambiguous column */
	{ 1153, 1153, DB_FAIL, EXIT_CONFIG }, /* above max_allowed_packet: it would be so again */
	{ 1197, 1197, DB_FAIL, EXIT_CONFIG }, /* above max_binlog_cache_size */
	{ 1364, 1364, DB_FAIL, EXIT_CONFIG }, /* no default: the table has changed, or a trigger is wrong */
	{ 1665, 1665, DB_FAIL, EXIT_CONFIG }, /* binlog_format=STATEMENT forbids READ COMMITTED */
	{ 2020, 2020, DB_FAIL, EXIT_CONFIG }, /* above the client's own max_allowed_packet */
	{ 2059, 2059, DB_FAIL, EXIT_CONFIG }, /* the client has not the authentication plugin */
	{ 2061, 2061, DB_FAIL, EXIT_CONFIG }, /* or it failed: most want TLS */
};

/* The SQL standard's classes, where MySQL follows them. */
static const struct {
	const char *class;
	enum db_result result;
	enum exit_code code;
} classes[] = {
	{ "08", DB_LOST, 0 },           /* connection */
	{ "21", DB_FAIL, EXIT_CONFIG }, /* so many columns, one row of a subquery */
	{ "22", DB_REJECT, 0 },         /* data exception */
	{ "23", DB_REJECT, 0 },         /* integrity constraint */
	{ "28", DB_FAIL, EXIT_PERM },   /* authorization */
	{ "40", DB_RETRY, 0 },          /* transaction rollback */
	{ "42", DB_FAIL, EXIT_CONFIG }, /* syntax, unknown table or column */
	{ "45", DB_REJECT, 0 },         /* SIGNAL with a number of its own */
};

enum db_result db_judge(unsigned number, const char *sqlstate, const char *text, enum exit_code *code)
{
	/* The engine's errors have one number: this is its "row size too large". */
	if (number == 1030 && strstr(text, "error 139"))
		return DB_REJECT;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (known[i].from <= number && number <= known[i].to) {
			*code = known[i].code;
			return known[i].result;
		}
	}
	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
		if (strncmp(sqlstate, classes[i].class, 2) == 0) {
			*code = classes[i].code;
			return classes[i].result;
		}
	}
	*code = EXIT_IO;
	return DB_FAIL;
}
