/*
 * sql FILE [DATABASE]: one connection with the option file FILE, kept open for t/lib/Sluice/Db.pm.
 *
 * For each request on stdin (its length in four bytes, then SQL, several statements if need be) one answer on stdout, with its length before it: E and what the server says, as "1062
 * 23000 Duplicate entry ...", or R, the number of columns (four bytes) and the cells of the last
 * result set, each with its length before it (ffffffff: NULL), so that any bytes arrive as they are.
 */
#include "buf.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

#define NULL_CELL 0xffffffffu

static void add_u32(struct buf *to, uint32_t n)
{
	buf_add(to, &n, sizeof(n));
}

static bool read_request(struct buf *to)
{
	uint32_t n;

	buf_clear(to);
	if (fread(&n, sizeof(n), 1, stdin) != 1)
		return false;
	buf_reserve(to, n);
	to->len = fread(to->data, 1, n, stdin);
	return to->len == n;
}

static void write_answer(const struct buf *b)
{
	uint32_t n = (uint32_t)b->len;

	fwrite(&n, sizeof(n), 1, stdout);
	fwrite(b->data, 1, b->len, stdout);
	if (fflush(stdout) != 0)
		exit(74);
}

static void add_error(struct buf *to, MYSQL *db)
{
	buf_clear(to);
	buf_addf(to, "E%u %s %s", mysql_errno(db), mysql_sqlstate(db), mysql_error(db));
}

static void add_rows(struct buf *to, MYSQL_RES *result)
{
	unsigned columns = mysql_num_fields(result);
	MYSQL_ROW row;

	buf_clear(to);
	buf_add_char(to, 'R');
	add_u32(to, columns);
	while ((row = mysql_fetch_row(result)) != NULL) {
		unsigned long *length = mysql_fetch_lengths(result);

		for (unsigned i = 0; i < columns; i++) {
			add_u32(to, row[i] != NULL ? (uint32_t)length[i] : NULL_CELL);
			if (row[i] != NULL)
				buf_add(to, row[i], length[i]);
		}
	}
}

static void answer(struct buf *to, MYSQL *db, const struct buf *sql)
{
	int more;

	buf_clear(to);
	buf_add(to, "R\0\0\0\0", 5);
	if (mysql_real_query(db, sql->data, sql->len) != 0) {
		add_error(to, db);
		return;
	}
	do {
		MYSQL_RES *result = mysql_store_result(db);

		if (result != NULL) {
			add_rows(to, result);
			mysql_free_result(result);
		} else if (mysql_field_count(db) > 0) {
			add_error(to, db);
			return;
		}
		more = mysql_next_result(db);
	} while (more == 0);
	if (more > 0)
		add_error(to, db);
}

int main(int argc, char **argv)
{
	MYSQL *db = mysql_init(NULL);
	struct buf in = BUF_INIT;
	struct buf out = BUF_INIT;
	int status = 0;

	if (argc < 2 || db == NULL)
		return 64;
	mysql_options(db, MYSQL_READ_DEFAULT_FILE, argv[1]);
	mysql_options(db, MYSQL_READ_DEFAULT_GROUP, "client");
	mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (mysql_real_connect(db, NULL, NULL, NULL, argc > 2 ? argv[2] : NULL, 0, NULL,
		CLIENT_MULTI_STATEMENTS)) {
		while (read_request(&in)) {
			answer(&out, db, &in);
			write_answer(&out);
		}
	} else {
		add_error(&out, db);
		write_answer(&out);
		status = 69;
	}
	mysql_close(db);
	mysql_library_end();
	buf_release(&in);
	buf_release(&out);
	return status;
}
