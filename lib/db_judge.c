#include "db.h"

#include <string.h>

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
	{ 3159, DB_FAIL, EXIT_PERM, NULL },   /* the server wants TLS: MariaDB says 1045 then */
};

/* By the SQL standard's classes, where MySQL follows them. A SIGNAL with a number of its own is a reject. */
static struct known by_sqlstate(const char *state)
{
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
