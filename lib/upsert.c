#include "upsert.h"

#define ALIAS "sluice_new"

static void add_name(struct buf *sql, const struct column *c)
{
	db_quote_name(sql, c->name, c->name_len);
}

static void add_update(struct buf *sql, const struct window_run *run, bool alias)
{
	const struct table *t = run->target->table;
	unsigned n = 0;

	buf_add_str(sql,
	    alias ? " AS " ALIAS " ON DUPLICATE KEY UPDATE " : " ON DUPLICATE KEY UPDATE ");
	for (unsigned i = 0; i < run->columns->count; i++) {
		const struct column *c = &t->column[run->columns->at[i]];

		if (c->key_at >= 0)
			continue;
		if (n++ > 0)
			buf_add_char(sql, ',');
		add_name(sql, c);
		buf_add_str(sql, alias ? "=" ALIAS "." : "=VALUES(");
		add_name(sql, c);
		if (!alias)
			buf_add_char(sql, ')');
	}
	if (n > 0)
		return;
	/* There is nothing but the key: the row is there already. */
	add_name(sql, t->key[0]);
	buf_add_char(sql, '=');
	db_quote_name(sql, t->name, strlen(t->name));
	buf_add_char(sql, '.');
	add_name(sql, t->key[0]);
}

/* What stands behind the rows: the same for any number of them. */
static void add_tail(struct buf *sql, const struct window_run *run, const struct upsert_form *form)
{
	if (run->kind == ROW_DELETE)
		buf_add_str(sql, form->select ? ") FOR UPDATE" : ")");
	else
		add_update(sql, run, form->alias);
}

static void add_head(struct buf *sql, const struct window_run *run, const struct upsert_form *form)
{
	const struct table *t = run->target->table;
	bool insert = run->kind == ROW_UPSERT, list = insert || t->keys > 1;
	unsigned n = insert ? run->columns->count : t->keys;

	buf_add_str(sql,
	    insert             ? "INSERT INTO "
		: form->select ? "SELECT 1 FROM "
			       : "DELETE FROM ");
	db_quote_name(sql, t->name, strlen(t->name));
	buf_add_str(sql, insert ? " " : " WHERE ");
	if (list)
		buf_add_char(sql, '(');
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(sql, ',');
		add_name(sql, insert ? &t->column[run->columns->at[i]] : t->key[i]);
	}
	if (list)
		buf_add_char(sql, ')');
	buf_add_str(sql, insert ? " VALUES " : " IN (");
}

size_t upsert_statement(struct buf *sql, const struct window_run *run, size_t from,
    const struct upsert_form *form)
{
	bool insert = run->kind == ROW_UPSERT, tuple = insert || run->target->table->keys > 1;
	size_t most = form->rows ? form->rows : UPSERT_ROWS, n, tail;

	buf_clear(sql);
	add_tail(sql, run, form); /* to know its length */
	tail = sql->len;
	buf_clear(sql);
	add_head(sql, run, form);
	for (n = 0; n < most && from + n < run->count; n++) {
		struct span v = run->values[from + n];

		if (n > 0 && sql->len + v.n + 3 + tail > form->bytes)
			break;
		if (n > 0)
			buf_add_char(sql, ',');
		if (tuple)
			buf_add_char(sql, '(');
		buf_add_span(sql, v);
		if (tuple)
			buf_add_char(sql, ')');
	}
	add_tail(sql, run, form);
	return sql->len > form->bytes ? 0 : n;
}
