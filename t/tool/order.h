/*
 * What the random streams of order.c are made of: tables, and values for their columns, each as a record has it
 * and as SQL that was written by hand.
 */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_FIELDS 9
#define MAX_FEEDS  4
#define MAX_TABLES 4

/* One value of a column. */
struct value_of {
	const char *json; /* "": it is not in the record (a constant of the mapping) */
	const char *sql;  /* NULL: no record with it comes to the server */
	const char *good; /* not NULL: the server rejects it, but would take this */
};

struct field {
	const char *name; /* the column, and the member of the record */
	const struct value_of *pool;
	bool key;        /* it is in the key of the record, not in the payload */
	unsigned absent; /* percent of the records that do not have it */
	const char *otherwise; /* their SQL: "DEFAULT", "NULL"; "": the column is left alone; NULL: rejected */
	int refers;            /* 1 + the feed that has the parents: only to those that are there */
	bool cascades;   /* and goes when its parent goes: the second field, the first is the key */
	unsigned not_in; /* a set of the feed's tables (bit 0: the first) that have no such column */
};

/* The records of one topic. */
struct feed {
	const char *topic;
	const char *table[2]; /* parents first */
	unsigned deletes;     /* from these a tombstone deletes; none: it is a reject */
	const struct field *field;
};

struct scenario {
	const char *name;
	const char *server; /* NULL: both */
	const char *ddl;
	const char *mapping;
	struct feed feed[MAX_FEEDS];
	const char *other[2];   /* tables that are filled by hand, or by the server */
	const char *outside[4]; /* what somebody else does between two windows */
	const char *unordered;  /* the column whose value is the server's: only its order counts */
	bool any_unique;        /* implies no_reduce */
	bool no_reduce;
	bool orphans; /* references may also be to what is not there yet, or no more */
	bool deferred; /* references between tables of the mapping: good at the end of a window is good enough */
};

/* ---- the columns that most tables have behind their key ---- */

#define FITS(json, sql)                                                                            \
	{                                                                                          \
		json, sql, NULL                                                                    \
	}
#define REFUSED(json, sql, good)                                                                   \
	{                                                                                          \
		json, sql, good                                                                    \
	}
#define UNFIT(json)                                                                                \
	{                                                                                          \
		json, NULL, NULL                                                                   \
	}
#define END_OF_POOL                                                                                \
	{                                                                                          \
		NULL, NULL, NULL                                                                   \
	}

#define PARENTS                                                                                    \
	"CREATE TABLE one (n INT PRIMARY KEY); INSERT INTO one VALUES (1), (2)" /* once in each database */
#define COLUMNS                                                                                    \
	"v INT NOT NULL CHECK (v <> 13), w VARCHAR(6) DEFAULT 'dw', "                              \
	"n INT NULL, FOREIGN KEY (n) REFERENCES one (n), "                                         \
	"created DATETIME NULL DEFAULT CURRENT_TIMESTAMP, note VARCHAR(6) NULL DEFAULT 'dn', "     \
	"source VARCHAR(6) NOT NULL, m INT NOT NULL DEFAULT 5"
#define MAPPED "\"columns\": {\"note\": null, \"source\": {\"const\": \"kafka\"}}"

static const struct value_of numbers[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	FITS("\"3\"", "3"),
	FITS("4e1", "40"),
	FITS("5.0", "5"),
	REFUSED("13", "13", "1"),
	UNFIT("1.5"),
	UNFIT("null"),
	UNFIT("99999999999"),
	END_OF_POOL,
};
static const struct value_of words[] = {
	FITS("\"p\"", "'p'"),
	FITS("\"q\"", "'q'"),
	FITS("\"\"", "''"),
	FITS("null", "NULL"),
	FITS("\"it's\"", "'it''s'"),
	UNFIT("\"toolong\""),
	END_OF_POOL,
};
static const struct value_of ones[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	FITS("null", "NULL"),
	REFUSED("9", "9", "NULL"),
	END_OF_POOL,
};
static const struct value_of times[] = {
	FITS("\"2020-01-01T00:00:00Z\"", "'2020-01-01 00:00:00'"),
	FITS("\"2021-06-30T12:00:00.9Z\"", "'2021-06-30 12:00:00'"),
	FITS("null", "NULL"),
	UNFIT("\"2021-02-30\""),
	END_OF_POOL,
};
static const struct value_of kafka[] = { FITS("", "'kafka'"), END_OF_POOL };

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
/* NOT NULL, with a default. */
static const struct value_of counts[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	UNFIT("null"),
	END_OF_POOL,
};

#define V_FIELD                                                                                    \
	{                                                                                          \
		"v", numbers, .absent = 0                                                          \
	}
#define MORE_FIELDS                                                                                \
	V_FIELD, { "w", words, .absent = 30, .otherwise = "DEFAULT" },                             \
	    { "n", ones, .absent = 30, .otherwise = "NULL" },                                      \
	    { "created", times, .absent = 60, .otherwise = "" }, { "source", kafka, .absent = 0 }, \
	{                                                                                          \
		"m", counts, .absent = 40, .otherwise = "DEFAULT"                                  \
	}
#define FIELDS MORE_FIELDS, END
#define OUTSIDE                                                                                    \
	{                                                                                          \
		"UPDATE t SET note = 'x'", "UPDATE t SET note = 'y' WHERE v = 2"                   \
	}

/* ---- tables with a key of one column ---- */

static const struct value_of strings[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"a \"", "'a '"),
	FITS("\"A\"", "'A'"),
	FITS("\"\\u00e1\"", "'\xc3\xa1'"),
	FITS("\"a\\u0301\"", "'a\xcc\x81'"),
	FITS("\"\"", "''"),
	FITS("\" \"", "' '"),
	FITS("\"a\\u0000\"", "'a\\0'"),
	FITS("\"a\\t\"", "'a\\t'"),
	FITS("\"\\u00df\"", "'\xc3\x9f'"),
	FITS("\"ss\"", "'ss'"),
	FITS("\"\xf0\x9f\x98\x80\"", "'\xf0\x9f\x98\x80'"),
	FITS("\"10\"", "'10'"),
	FITS("\"9\"", "'9'"),
	UNFIT("\"12345678901\""),
	UNFIT("null"),
	END_OF_POOL,
};
/* A CHAR is stored without the blanks at its end, whatever the collation. */
static const struct value_of chars[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"a \"", "'a'"),
	FITS("\"a  \"", "'a'"),
	FITS("\"A\"", "'A'"),
	FITS("\"\\u00e1\"", "'\xc3\xa1'"),
	FITS("\"\"", "''"),
	FITS("\"  \"", "''"),
	FITS("\" a\"", "' a'"),
	FITS("\"a\\u0000\"", "'a\\0'"),
	FITS("\"a\\t \"", "'a\\t'"),
	UNFIT("\"12345678901\""),
	END_OF_POOL,
};
static const struct value_of latin[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"a \"", "'a '"),
	FITS("\"A\"", "'A'"),
	FITS("\"\\u00e1\"", "'\xc3\xa1'"),
	FITS("\"\\u00c1\"", "'\xc3\x81'"),
	FITS("\"\\u20ac\"", "'\xe2\x82\xac'"),
	FITS("\"\\u00df\"", "'\xc3\x9f'"),
	FITS("\"\"", "''"),
	REFUSED("\"\\u0105\"", "'\xc4\x85'", ""),
	END_OF_POOL,
};
/* Two characters of Unicode are one in cp932. */
static const struct value_of japanese[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"a \"", "'a '"),
	FITS("\"\\u6659\"", "'\xe6\x99\x99'"),
	FITS("\"\\u6661\"", "'\xe6\x99\xa1'"),
	FITS("\"\\u3042\"", "'\xe3\x81\x82'"),
	REFUSED("\"\\u0105\"", "'\xc4\x85'", ""),
	END_OF_POOL,
};
static const struct value_of binary[] = {
	FITS("\"a\"", "x'61'"),
	FITS("\"a\\u0000\"", "x'6100'"),
	FITS("\"a \"", "x'6120'"),
	FITS("\"A\"", "x'41'"),
	FITS("\"\\u00e1\"", "x'c3a1'"),
	FITS("\"\"", "x''"),
	FITS("\"\\u0000\"", "x'00'"),
	UNFIT("\"toolongbytes\""),
	END_OF_POOL,
};
static const struct value_of padded[] = {
	FITS("\"a\"", "x'61000000'"),
	FITS("\"a\\u0000\"", "x'61000000'"),
	FITS("\"a \"", "x'61200000'"),
	FITS("\"abcd\"", "x'61626364'"),
	FITS("\"\"", "x'00000000'"),
	FITS("\"\\u0000\"", "x'00000000'"),
	UNFIT("\"toolong\""),
	END_OF_POOL,
};
static const struct value_of integers[] = {
	FITS("1", "1"),
	FITS("1.0", "1"),
	FITS("\"1\"", "1"),
	FITS("1e0", "1"),
	FITS("10e-1", "1"),
	FITS("0", "0"),
	FITS("-0", "0"),
	FITS("-1", "-1"),
	FITS("true", "1"),
	FITS("256", "256"),
	FITS("-9223372036854775808", "-9223372036854775808"),
	FITS("9223372036854775807", "9223372036854775807"),
	UNFIT("1.5"),
	END_OF_POOL,
};
static const struct value_of naturals[] = {
	FITS("1", "1"),
	FITS("1e0", "1"),
	FITS("0", "0"),
	FITS("-0.0", "0"),
	FITS("2", "2"),
	FITS("18446744073709551615", "18446744073709551615"),
	FITS("9223372036854775808", "9223372036854775808"),
	FITS("1.8446744073709551615e19", "18446744073709551615"),
	UNFIT("-1"),
	END_OF_POOL,
};
static const struct value_of bits[] = {
	FITS("1", "1"),
	FITS("true", "1"),
	FITS("0", "0"),
	FITS("false", "0"),
	FITS("511", "511"),
	FITS("256", "256"),
	FITS("\"256\"", "256"),
	UNFIT("512"),
	END_OF_POOL,
};
static const struct value_of decimals[] = {
	FITS("1", "1"),
	FITS("1.0", "1"),
	FITS("1e0", "1"),
	FITS("\"1.00\"", "1"),
	FITS("0", "0"),
	FITS("-0.00", "0"),
	FITS("-0.001", "0"),
	FITS("1.005", "1.01"),
	FITS("1.01", "1.01"),
	FITS("-1.005", "-1.01"),
	FITS("999.99", "999.99"),
	FITS("-999.99", "-999.99"),
	FITS("9.5", "9.5"),
	FITS("10", "10"),
	UNFIT("1000"),
	END_OF_POOL,
};
static const struct value_of doubles[] = {
	FITS("1", "1e0"),
	FITS("1.0", "1e0"),
	FITS("100e-2", "1e0"),
	FITS("0", "0e0"),
	FITS("-0.0", "0e0"),
	FITS("0.1", "0.1e0"),
	FITS("0.10000000000000000001", "0.1e0"),
	FITS("-1.5", "-1.5e0"),
	FITS("1e308", "1e308"),
	FITS("9007199254740993", "9007199254740992e0"),
	FITS("9007199254740992", "9007199254740992e0"),
	UNFIT("1e309"),
	END_OF_POOL,
};
/* 0.1 is another number as a FLOAT: this is it. */
static const struct value_of floats[] = {
	FITS("1", "1e0"),
	FITS("1.0", "1e0"),
	FITS("0", "0e0"),
	FITS("-0.0", "0e0"),
	FITS("0.1", "0.100000001490116119384765625e0"),
	FITS("0.10000000149", "0.100000001490116119384765625e0"),
	FITS("-1.5", "-1.5e0"),
	FITS("16777217", "16777216e0"),
	FITS("16777216", "16777216e0"),
	UNFIT("1e39"),
	END_OF_POOL,
};
static const struct value_of dates[] = {
	FITS("\"2026-11-21\"", "'2026-11-21'"),
	FITS("\"2026-11-22\"", "'2026-11-22'"),
	FITS("\"2024-02-29\"", "'2024-02-29'"),
	FITS("\"1969-12-31\"", "'1969-12-31'"),
	UNFIT("\"2026-02-30\""),
	END_OF_POOL,
};
static const struct value_of datetimes[] = {
	FITS("\"2026-11-21T10:00:00Z\"", "'2026-11-21 10:00:00'"),
	FITS("\"2026-11-21 10:00:00.000\"", "'2026-11-21 10:00:00'"),
	FITS("\"2026-11-21T12:00:00.0009+02:00\"", "'2026-11-21 10:00:00'"),
	FITS("\"2026-11-21T10:00:00.001Z\"", "'2026-11-21 10:00:00.001'"),
	FITS("\"2026-11-21T10:00:00.001999Z\"", "'2026-11-21 10:00:00.001'"),
	FITS("\"2026-11-21T09:59:59.9996Z\"", "'2026-11-21 09:59:59.999'"),
	UNFIT("\"2026-11-31T10:00:00Z\""),
	END_OF_POOL,
};
static const struct value_of clocks[] = {
	FITS("\"10:00:00\"", "'10:00:00'"),
	FITS("\"10:00:00.04\"", "'10:00:00.0'"),
	FITS("\"10:00:00.1\"", "'10:00:00.1'"),
	FITS("\"-10:00:00\"", "'-10:00:00'"),
	FITS("\"838:00:00\"", "'838:00:00'"),
	FITS("\"00:00:00\"", "'00:00:00'"),
	END_OF_POOL,
};
static const struct value_of years[] = {
	FITS("2026", "2026"),
	FITS("\"2026\"", "2026"),
	FITS("1999", "1999"),
	FITS("2155", "2155"),
	UNFIT("2156"),
	END_OF_POOL,
};
static const struct value_of colours[] = {
	FITS("\"red\"", "'red'"),
	FITS("\"Green\"", "'Green'"),
	FITS("\"blue\"", "'blue'"),
	FITS("\"\xc3\xa9\"", "'\xc3\xa9'"),
	UNFIT("\"RED\""),
	UNFIT("1"),
	END_OF_POOL,
};
static const struct value_of sets[] = {
	FITS("\"a,b\"", "'a,b'"),
	FITS("\"b,a\"", "'a,b'"),
	FITS("[\"a\"]", "'a'"),
	FITS("\"\"", "''"),
	FITS("[]", "''"),
	FITS("\"a,a\"", "'a'"),
	FITS("\"c\"", "'c'"),
	UNFIT("\"d\""),
	END_OF_POOL,
};
static const struct value_of uuids[] = {
	FITS("\"00112233-4455-6677-8899-aabbccddeeff\"", "'00112233-4455-6677-8899-aabbccddeeff'"),
	FITS("\"00112233-4455-6677-8899-AABBCCDDEEFF\"", "'00112233-4455-6677-8899-aabbccddeeff'"),
	FITS("\"ffffffff-0000-0000-0000-000000000000\"", "'ffffffff-0000-0000-0000-000000000000'"),
	UNFIT("\"00112233\""),
	END_OF_POOL,
};
static const struct value_of addresses[] = {
	FITS("\"::1\"", "'::1'"),
	FITS("\"0:0:0:0:0:0:0:1\"", "'::1'"),
	FITS("\"2001:DB8::\"", "'2001:db8::'"),
	FITS("\"2001:db8:0::0\"", "'2001:db8::'"),
	FITS("\"::ffff:1.2.3.4\"", "'::ffff:1.2.3.4'"),
	FITS("\"::ffff:102:304\"", "'::ffff:1.2.3.4'"),
	UNFIT("\":::\""),
	END_OF_POOL,
};

#define KEYED(title, only, type, values)                                                           \
	{                                                                                          \
		.name = title, .server = only,                                                     \
		.ddl = "CREATE TABLE t (k " type " NOT NULL PRIMARY KEY, " COLUMNS ")",            \
		.mapping = "{\"table\": \"t\", \"key\": [\"k\"], " MAPPED "}",                     \
		.feed = { { "T", { "t" }, 1,                                                       \
		    (const struct field[]){ { "k", values, .key = true }, FIELDS } } },            \
		.outside = OUTSIDE                                                                 \
	}

/* ---- several columns in the key ---- */

static const struct value_of prefixes[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"ab\"", "'ab'"),
	FITS("\"a \"", "'a '"),
	FITS("\"\"", "''"),
	FITS("\"a\\u0000\"", "'a\\0'"),
	FITS("\"\\u0000\"", "'\\0'"),
	FITS("\"a\\u0000b\"", "'a\\0b'"),
	FITS("\"b\"", "'b'"),
	END_OF_POOL,
};
static const struct value_of nuls[] = {
	FITS("\"\"", "''"),
	FITS("\"\\u0000\"", "'\\0'"),
	FITS("\"\\u0000\\u0000\"", "'\\0\\0'"),
	END_OF_POOL,
};
static const struct value_of suffixes[] = {
	FITS("\"bc\"", "'bc'"),
	FITS("\"c\"", "'c'"),
	FITS("\"\"", "''"),
	FITS("\"\\u0000\"", "'\\0'"),
	FITS("\"\\u0000c\"", "'\\0c'"),
	FITS("\"b\"", "'b'"),
	END_OF_POOL,
};

static const struct value_of spellings[] = {
	FITS("\"a\"", "'a'"),
	FITS("\"A\"", "'A'"),
	FITS("\"a \"", "'a '"),
	FITS("\"AB\"", "'AB'"),
	FITS("\"B\"", "'B'"),
	REFUSED("\"z\"", "'z'", "NULL"),
	END_OF_POOL,
};

#define PAIR(title, only, first, second, a, b)                                                     \
	{                                                                                          \
		.name = title, .server = only,                                                     \
		.ddl = "CREATE TABLE t (k " first " NOT NULL, " COLUMNS ", l " second              \
		       " NOT NULL, PRIMARY KEY (l, k))",                                           \
		.mapping = "{\"table\": \"t\", \"key\": [\"k\", \"l\"], " MAPPED "}",              \
		.feed = { { "T", { "t" }, 1,                                                       \
		    (const struct field[]){ { "k", a, .key = true }, { "l", b, .key = true },      \
			FIELDS } } },                                                              \
		.outside = OUTSIDE                                                                 \
	}

/* ---- tables that refer to others ---- */

static const struct value_of few[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	FITS("3", "3"),
	FITS("4", "4"),
	END_OF_POOL,
};
/* As few, then what is no parent. */
static const struct value_of parents[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	FITS("3", "3"),
	FITS("4", "4"),
	FITS("null", "NULL"),
	REFUSED("9", "9", "NULL"),
	END_OF_POOL,
};
/* The same, in a column that cannot do without. */
static const struct value_of owners[] = {
	FITS("1", "1"),
	FITS("2", "2"),
	FITS("3", "3"),
	FITS("4", "4"),
	END_OF_POOL,
};

#define KEY_OF(values)                                                                             \
	{                                                                                          \
		"k", values, .key = true                                                           \
	}
#define REF(feed, goes)                                                                            \
	{                                                                                          \
		"r", parents, .absent = 20, .otherwise = "NULL", .refers = feed, .cascades = goes  \
	}

/* A mapping of "t" alone, with its key. */
#define T_ALONE "{\"table\": \"t\", \"key\": [\"k\"], " MAPPED "}"
#define T_FEED                                                                                     \
	{                                                                                          \
		"T", { "t" }, 1, (const struct field[])                                            \
		{                                                                                  \
			KEY_OF(few), FIELDS                                                        \
		}                                                                                  \
	}
#define T_TABLE "CREATE TABLE t (k INT PRIMARY KEY, " COLUMNS "); "

#define BY_HAND(title, rule)                                                                       \
	{                                                                                          \
		.name = title,                                                                     \
		.ddl = T_TABLE "CREATE TABLE c (k INT PRIMARY KEY, r INT NULL, "                   \
			       "FOREIGN KEY (r) REFERENCES t (k) " rule ")",                       \
		.mapping = T_ALONE, .feed = { T_FEED }, .other = { "c" }, .outside = {             \
			"INSERT INTO c SELECT k, k FROM t ON DUPLICATE KEY UPDATE r = t.k",        \
			"INSERT IGNORE INTO c SELECT k + 10, k FROM t",                            \
			"UPDATE t SET note = 'x'",                                                 \
			"DELETE FROM c WHERE r = 1"                                                \
		}                                                                                  \
	}

#define ITSELF(title, rule, goes)                                                                  \
	{                                                                                          \
		.name = title,                                                                     \
		.ddl = "CREATE TABLE t (k INT PRIMARY KEY, r INT NULL, " COLUMNS                   \
		       ", FOREIGN KEY (r) REFERENCES t (k) " rule ")",                             \
		.mapping = T_ALONE,                                                                \
		.feed = { { "T", { "t" }, 1,                                                       \
		    (const struct field[]){ KEY_OF(few), REF(1, goes), FIELDS } } },               \
		.orphans = true, .outside = OUTSIDE                                                \
	}

/* p, and c that refers to it; a topic for each. */
#define FAMILY(title, rule, goes, loose)                                                             \
	{                                                                                            \
		.name = title,                                                                       \
		.ddl = "CREATE TABLE p (k INT PRIMARY KEY, v INT NOT NULL CHECK (v <> 13), "         \
		       "w VARCHAR(6) DEFAULT 'dw', created DATETIME NULL DEFAULT "                   \
		       "CURRENT_TIMESTAMP); "                                                        \
		       "CREATE TABLE c (k INT PRIMARY KEY, r INT NULL, " COLUMNS                     \
		       ", FOREIGN KEY (r) REFERENCES p (k) " rule ")",                               \
		.mapping = "{\"table\": \"c\", \"key\": [\"k\"], \"topics\": [\"C\"], " MAPPED "}, " \
			   "{\"table\": \"p\", \"key\": [\"k\"], \"topics\": [\"P\"]}",              \
		.feed = { { "P", { "p" }, 1,                                                         \
			      (const struct field[]){ KEY_OF(few), V_FIELD,                          \
				  { "w", words, .absent = 30, .otherwise = "DEFAULT" },              \
				  { "created", times, .absent = 60, .otherwise = "" }, END } },      \
			{ "C", { "c" }, 1,                                                           \
			    (const struct field[]){ KEY_OF(few), REF(1, goes), FIELDS } } },         \
		.orphans = loose, .deferred = loose, .outside = {                                    \
			"UPDATE c SET note = \'x\'"                                                  \
		}                                                                                    \
	}

static const struct scenario scenarios[] = {
	KEYED("VARCHAR, utf8mb4_bin", NULL, "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	    strings),
	KEYED("VARCHAR, the server's default collation", NULL, "VARCHAR(10) CHARACTER SET utf8mb4",
	    strings),
	KEYED("VARCHAR, utf8mb4_general_ci", NULL,
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", strings),
	KEYED("VARCHAR, utf8mb4_unicode_ci", NULL,
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", strings),
	KEYED("VARCHAR, utf8mb4_0900_as_cs", "mysql",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs", strings),
	KEYED("VARCHAR, utf8mb4_0900_bin", "mysql",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin", strings),
	KEYED("VARCHAR, utf8mb4_nopad_bin", "mariadb",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", strings),
	KEYED("VARCHAR, utf8mb4_unicode_nopad_ci", "mariadb",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_nopad_ci", strings),
	KEYED("VARCHAR, utf16_bin", NULL, "VARCHAR(10) CHARACTER SET utf16 COLLATE utf16_bin", strings),
	KEYED("VARCHAR, latin1_swedish_ci", NULL,
	    "VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci", latin),
	KEYED("VARCHAR, latin1_bin", NULL, "VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_bin", latin),
	KEYED("VARCHAR, latin1_nopad_bin", "mariadb",
	    "VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_nopad_bin", latin),
	KEYED("VARCHAR, cp932_bin", NULL, "VARCHAR(10) CHARACTER SET cp932 COLLATE cp932_bin", japanese),
	KEYED("CHAR, utf8mb4_bin", NULL, "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", chars),
	KEYED("CHAR, utf8mb4_general_ci", NULL,
	    "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", chars),
	KEYED("CHAR, utf8mb4_0900_bin", "mysql",
	    "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin", chars),
	KEYED("CHAR, utf8mb4_0900_ai_ci", "mysql",
	    "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", chars),
	KEYED("CHAR, utf8mb4_nopad_bin", "mariadb",
	    "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", chars),
	KEYED("CHAR, utf8mb4_general_nopad_ci", "mariadb",
	    "CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_nopad_ci", chars),
	KEYED("VARBINARY", NULL, "VARBINARY(4)", binary),
	KEYED("BINARY", NULL, "BINARY(4)", padded),
	KEYED("BIGINT", NULL, "BIGINT", integers),
	KEYED("BIGINT UNSIGNED", NULL, "BIGINT UNSIGNED", naturals),
	KEYED("BIT", NULL, "BIT(9)", bits),
	KEYED("DECIMAL", NULL, "DECIMAL(5,2)", decimals),
	KEYED("DOUBLE", NULL, "DOUBLE", doubles),
	KEYED("FLOAT", NULL, "FLOAT", floats),
	KEYED("DATE", NULL, "DATE", dates),
	KEYED("DATETIME(3)", NULL, "DATETIME(3)", datetimes),
	KEYED("TIMESTAMP(3)", NULL, "TIMESTAMP(3)", datetimes),
	KEYED("TIME(1)", NULL, "TIME(1)", clocks),
	KEYED("YEAR", NULL, "YEAR", years),
	KEYED("ENUM", NULL, "ENUM('red','Green','blue','\xc3\xa9') CHARACTER SET utf8mb4", colours),
	KEYED("SET", NULL, "SET('a','b','c')", sets),
	KEYED("UUID", "mariadb", "UUID", uuids),
	KEYED("INET6", "mariadb", "INET6", addresses),
	PAIR("a pair of texts, utf8mb4_bin", NULL,
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", prefixes, suffixes),
	PAIR("a pair of texts with NUL bytes, utf8mb4_bin", NULL,
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", nuls, nuls),
	PAIR("a pair of texts, one _bin", NULL,
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", prefixes, suffixes),
	PAIR("a pair of bytes", NULL, "VARBINARY(8)", "BINARY(4)", binary, padded),
	PAIR("a text and an integer", NULL, "BIGINT",
	    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", integers, prefixes),
	PAIR("a decimal and a time", NULL, "DECIMAL(5,2)", "DATETIME(3)", decimals, datetimes),
	BY_HAND("a parent alone, CASCADE", "ON DELETE CASCADE"),
	BY_HAND("a parent alone, SET NULL", "ON DELETE SET NULL"),
	BY_HAND("a parent alone, RESTRICT", ""),
	{
	    .name = "a parent alone, whose records leave no column alone, CASCADE",
	    .ddl = "CREATE TABLE t (k INT PRIMARY KEY, v INT NOT NULL CHECK (v <> 13), w VARCHAR(6) DEFAULT 'dw'); "
		   "CREATE TABLE c (k INT PRIMARY KEY, r INT NULL, FOREIGN KEY (r) REFERENCES t (k) ON DELETE CASCADE)",
	    .mapping = "{\"table\": \"t\", \"key\": [\"k\"]}",
	    .feed = { { "T", { "t" }, 1,
		(const struct field[]){ KEY_OF(few), V_FIELD,
		    { "w", words, .absent = 30, .otherwise = "DEFAULT" }, END } } },
	    .other = { "c" },
	    .outside = { "INSERT INTO c SELECT k, k FROM t ON DUPLICATE KEY UPDATE r = t.k" },
	},
	ITSELF("a table that refers to itself, RESTRICT", "", false),
	ITSELF("a table that refers to itself, CASCADE", "ON DELETE CASCADE", true),
	ITSELF("a table that refers to itself, SET NULL", "ON DELETE SET NULL", false),
	FAMILY("parents and children, RESTRICT", "", false, true),
	FAMILY("parents and children, CASCADE", "ON DELETE CASCADE", true, false),
	FAMILY("parents and children, SET NULL", "ON DELETE SET NULL", false, false),
	{
	    .name = "an AUTO_INCREMENT key that records sometimes fill",
	    .ddl = "CREATE TABLE t (k BIGINT AUTO_INCREMENT PRIMARY KEY, " COLUMNS
		   ") AUTO_INCREMENT = 1000",
	    .mapping = "{\"table\": \"t\", " MAPPED "}",
	    .feed = { { "T", { "t" }, 0,
		(const struct field[]){ { "k", few, .absent = 60, .otherwise = "" }, FIELDS } } },
	    .outside = OUTSIDE,
	    .unordered = "k",
	},
	{
	    .name = "an AUTO_INCREMENT key that is Kafka's",
	    .ddl = T_TABLE "ALTER TABLE t MODIFY k INT AUTO_INCREMENT",
	    .mapping = T_ALONE,
	    .feed = { { "T", { "t" }, 1, (const struct field[]){ KEY_OF(few), FIELDS } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "nothing but a key",
	    .ddl = "CREATE TABLE t (k VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY)",
	    .mapping = "{\"table\": \"t\", \"key\": [\"k\"]}",
	    .feed = { { "T", { "t" }, 1, (const struct field[]){ { "k", strings, .key = true }, END } } },
	},
	{
	    .name = "a key from the payload",
	    .ddl = T_TABLE,
	    .mapping = "{\"table\": \"t\", " MAPPED "}",
	    .feed = { { "T", { "t" }, 0, (const struct field[]){ { "k", few, .absent = 0 }, FIELDS } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "a key with a default, which records sometimes leave out",
	    .ddl = "CREATE TABLE t (k INT DEFAULT 3 PRIMARY KEY, " COLUMNS ")",
	    .mapping = "{\"table\": \"t\", " MAPPED "}",
	    .feed = { { "T", { "t" }, 0,
		(const struct field[]){ { "k", few, .absent = 40, .otherwise = "DEFAULT" }, FIELDS } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "a key with a part that the server generates",
	    .server = "mysql",
	    .ddl = "CREATE TABLE t (k INT, g INT AS (v % 2) STORED, " COLUMNS ", PRIMARY KEY (k, g))",
	    .mapping = "{\"table\": \"t\", " MAPPED "}",
	    .feed = { { "T", { "t" }, 0, (const struct field[]){ { "k", few, .absent = 0 }, FIELDS } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "defaults that other columns decide",
	    .ddl = "CREATE TABLE t (k INT PRIMARY KEY, " COLUMNS ", x INT DEFAULT (v + 1)); "
		   "ALTER TABLE t ALTER note SET DEFAULT (CONCAT('v', v))",
	    .mapping = T_ALONE,
	    .feed = { { "T", { "t" }, 1,
		(const struct field[]){ KEY_OF(few), MORE_FIELDS,
		    { "x", few, .absent = 70, .otherwise = "DEFAULT" }, END } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "two topics into one table",
	    .ddl = T_TABLE,
	    .mapping = T_ALONE,
	    .feed = { T_FEED,
		{ "U", { "t" }, 1,
		    (const struct field[]){ KEY_OF(few), V_FIELD,
			{ "w", words, .absent = 100, .otherwise = "DEFAULT" },
			{ "n", ones, .absent = 100, .otherwise = "NULL" },
			{ "m", counts, .absent = 0, .otherwise = "DEFAULT" },
			{ "source", kafka, .absent = 0 }, END } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "another unique key",
	    .ddl = "CREATE TABLE t (k INT PRIMARY KEY, u INT NULL UNIQUE, " COLUMNS ")",
	    .mapping = T_ALONE,
	    .feed = { { "T", { "t" }, 1,
		(const struct field[]){ KEY_OF(few),
		    { "u", parents, .absent = 30, .otherwise = "NULL" }, FIELDS } } },
	    .any_unique = true,
	    .outside = OUTSIDE,
	},
	{
	    .name = "a cycle of references, RESTRICT",
	    .ddl = "CREATE TABLE a (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13)); "
		   "CREATE TABLE b (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13), "
		   "FOREIGN KEY (r) REFERENCES a (k)); ALTER TABLE a ADD FOREIGN KEY (r) REFERENCES b (k)",
	    .mapping = "{\"table\": \"a\", \"key\": [\"k\"], \"topics\": [\"A\"]}, "
		       "{\"table\": \"b\", \"key\": [\"k\"], \"topics\": [\"B\"]}",
	    .feed = { { "A", { "a" }, 1,
			  (const struct field[]){ KEY_OF(few), REF(2, false), V_FIELD, END } },
		{ "B", { "b" }, 1, (const struct field[]){ KEY_OF(few), REF(1, false), V_FIELD, END } } },
	    .orphans = true,
	    .deferred = true,
	},
	{
	    .name = "a cycle of references, SET NULL",
	    .ddl = "CREATE TABLE a (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13)); "
		   "CREATE TABLE b (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13), "
		   "FOREIGN KEY (r) REFERENCES a (k) ON DELETE SET NULL); "
		   "ALTER TABLE a ADD FOREIGN KEY (r) REFERENCES b (k) ON DELETE SET NULL",
	    .mapping = "{\"table\": \"a\", \"key\": [\"k\"], \"topics\": [\"A\"]}, "
		       "{\"table\": \"b\", \"key\": [\"k\"], \"topics\": [\"B\"]}",
	    .feed = { { "A", { "a" }, 1,
			  (const struct field[]){ KEY_OF(few), REF(2, false), V_FIELD, END } },
		{ "B", { "b" }, 1, (const struct field[]){ KEY_OF(few), REF(1, false), V_FIELD, END } } },
	},
	{
	    .name = "grandchildren: CASCADE, then SET NULL",
	    .ddl = "CREATE TABLE a (k INT PRIMARY KEY, v INT NOT NULL CHECK (v <> 13)); "
		   "CREATE TABLE b (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13), "
		   "FOREIGN KEY (r) REFERENCES a (k) ON DELETE CASCADE); "
		   "CREATE TABLE t (k VARCHAR(10) COLLATE utf8mb4_general_ci PRIMARY KEY, r INT NULL, " COLUMNS
		   ", FOREIGN KEY (r) REFERENCES b (k) ON DELETE SET NULL)",
	    .mapping = "{\"table\": \"t\", \"key\": [\"k\"], \"topics\": [\"T\"], " MAPPED "}, "
		       "{\"table\": \"b\", \"key\": [\"k\"], \"topics\": [\"B\"]}, "
		       "{\"table\": \"a\", \"key\": [\"k\"], \"topics\": [\"A\"]}",
	    .feed = { { "A", { "a" }, 1, (const struct field[]){ KEY_OF(few), V_FIELD, END } },
		{ "B", { "b" }, 1, (const struct field[]){ KEY_OF(few), REF(1, true), V_FIELD, END } },
		{ "T", { "t" }, 1,
		    (const struct field[]){ { "k", strings, .key = true }, REF(2, false), FIELDS } } },
	    .outside = OUTSIDE,
	},
	{
	    .name = "a tree, and leaves that go with it",
	    .ddl = "CREATE TABLE p (k INT PRIMARY KEY, r INT NULL, v INT NOT NULL CHECK (v <> 13), "
		   "FOREIGN KEY (r) REFERENCES p (k) ON DELETE SET NULL); "
		   "CREATE TABLE c (k INT PRIMARY KEY, r INT NULL, " COLUMNS
		   ", FOREIGN KEY (r) REFERENCES p (k) ON DELETE CASCADE)",
	    .mapping = "{\"table\": \"c\", \"key\": [\"k\"], \"topics\": [\"C\"], " MAPPED "}, "
		       "{\"table\": \"p\", \"key\": [\"k\"], \"topics\": [\"P\"]}",
	    .feed = { { "P", { "p" }, 1,
			  (const struct field[]){ KEY_OF(few), REF(1, false), V_FIELD, END } },
		{ "C", { "c" }, 1, (const struct field[]){ KEY_OF(few), REF(1, true), FIELDS } } },
	    .outside = { "UPDATE c SET note = 'x'" },
	},
	{
	    .name = "parents and children whose keys are texts, RESTRICT",
	    .ddl = "CREATE TABLE p (k VARCHAR(10) PRIMARY KEY, v INT NOT NULL CHECK (v <> 13)) COLLATE utf8mb4_general_ci; "
		   "CREATE TABLE c (k VARCHAR(10) PRIMARY KEY, r VARCHAR(10) COLLATE utf8mb4_general_ci, " COLUMNS
		   ", FOREIGN KEY (r) REFERENCES p (k)) COLLATE utf8mb4_bin",
	    .mapping = "{\"table\": \"c\", \"key\": [\"k\"], \"topics\": [\"C\"], " MAPPED "}, "
		       "{\"table\": \"p\", \"key\": [\"k\"], \"topics\": [\"P\"]}",
	    .feed = { { "P", { "p" }, 1,
			  (const struct field[]){ { "k", prefixes, .key = true }, V_FIELD, END } },
		{ "C", { "c" }, 1,
		    (const struct field[]){ { "k", prefixes, .key = true },
			{ "r", spellings, .absent = 20, .otherwise = "NULL" }, FIELDS } } },
	    .deferred = true,
	},
	{
	    .name = "triggers that write a history",
	    .ddl = T_TABLE
	    "CREATE TABLE c (id INT AUTO_INCREMENT PRIMARY KEY, what CHAR(1), k INT, v INT); "
	    "CREATE TRIGGER ti AFTER INSERT ON t FOR EACH ROW INSERT INTO c (what, k, v) VALUES ('i', NEW.k, NEW.v); "
	    "CREATE TRIGGER tu AFTER UPDATE ON t FOR EACH ROW INSERT INTO c (what, k, v) VALUES ('u', NEW.k, NEW.v); "
	    "CREATE TRIGGER td AFTER DELETE ON t FOR EACH ROW INSERT INTO c (what, k, v) VALUES ('d', OLD.k, OLD.v)",
	    .mapping = T_ALONE,
	    .feed = { T_FEED },
	    .other = { "c" },
	    .outside = OUTSIDE,
	    .unordered = "id",
	    .no_reduce = true,
	},
	{
	    .name = "a record for a parent and its child",
	    .ddl = "CREATE TABLE p (r INT PRIMARY KEY, w VARCHAR(6) DEFAULT 'dw'); "
		   "CREATE TABLE t (k INT PRIMARY KEY, r INT NOT NULL, v INT NOT NULL CHECK (v <> 13), "
		   "FOREIGN KEY (r) REFERENCES p (r))",
	    .mapping = "{\"table\": \"t\", \"key\": [\"k\"]}, {\"table\": \"p\"}",
	    .feed = { { "T", { "p", "t" }, 2,
		(const struct field[]){ { "k", few, .key = true, .not_in = 1 },
		    { "r", owners, .absent = 0 }, { "v", numbers, .absent = 0, .not_in = 1 },
		    { "w", words, .absent = 30, .otherwise = "DEFAULT", .not_in = 2 }, END } } },
	},
	{
	    .name = "a record for a parent and its child, and a tombstone for both",
	    .ddl = "CREATE TABLE p (r INT PRIMARY KEY, w VARCHAR(6) DEFAULT 'dw'); "
		   "CREATE TABLE t (k INT, r INT, v INT NOT NULL CHECK (v <> 13), PRIMARY KEY (k, r), "
		   "FOREIGN KEY (r) REFERENCES p (r))",
	    .mapping = "{\"table\": \"t\", \"key\": [\"k\", \"r\"]}, {\"table\": \"p\", \"columns\": {\"r\": \"@key.r\"}, \"key\": [\"r\"]}",
	    .feed = { { "T", { "p", "t" }, 3,
		(const struct field[]){ { "k", few, .key = true, .not_in = 1 },
		    { "r", few, .key = true }, { "v", numbers, .absent = 0, .not_in = 1 },
		    { "w", words, .absent = 0, .not_in = 2 }, END } } },
	    .deferred = true,
	},
};

#define SCENARIOS (sizeof(scenarios) / sizeof(*scenarios))

#endif
