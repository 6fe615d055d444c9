#include "warehouse.h"

#include "log.h"

#include <inttypes.h>
#include <stdlib.h>

/* Large enough for any position list to be quick, and far below any max_allowed_packet that servers start with. */
#define ROWS 500

#define NAME_CHARS  191 /* of sluice_positions.name */
#define TOPIC_CHARS 249 /* of sluice_positions.topic: Kafka's own limit */

static const char create_positions[] =
    "CREATE TABLE IF NOT EXISTS sluice_positions ("
    "name VARCHAR(191) NOT NULL COMMENT 'of the pipeline: mysql-upsert -N',"
    "topic VARCHAR(249) NOT NULL,"
    "part INT NOT NULL,"
    "next_offset BIGINT NULL COMMENT 'the next offset wanted; NULL: none is stored yet',"
    "last_offset BIGINT NULL COMMENT 'of the last record stored',"
    "last_ts BIGINT NULL COMMENT 'its time, ms since the epoch',"
    "updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),"
    "PRIMARY KEY (name, topic, part)"
    ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    " COMMENT='where sluice stands in each Kafka partition: moves with the rows'";

static const char create_rejects[] =
    "CREATE TABLE IF NOT EXISTS sluice_rejects ("
    "id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
    "name VARCHAR(191) NOT NULL,"
    "topic VARCHAR(249) NULL,"
    "part INT NULL,"
    "off BIGINT NULL,"
    "col VARCHAR(255) NULL COMMENT 'that the record does not fit',"
    "reason VARCHAR(1000) NOT NULL,"
    "line LONGTEXT NULL COMMENT 'the record; NULL: it was too large for one packet',"
    "key_hash BIGINT UNSIGNED NULL COMMENT 'of topic, partition, key and window',"
    "superseded BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'its key was deleted later',"
    "at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),"
    "KEY by_place (name, topic, part, off),"
    "KEY by_key (name, key_hash)"
    ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    " COMMENT='records that did not fit: mysql-upsert --rejects, --replay'";

/* ---- the tables ---- */

/* It may have been made by somebody else. A view has no engine. */
static int see_table(void *ctx, const struct span *v, size_t columns)
{
	const char **missing = ctx;

	(void)columns;
	if (v[0].p && !span_is(v[1], "YES"))
		return fail(EXIT_CONFIG, "%s: engine %.*s has no transactions", *missing,
		    (int)v[0].n, v[0].p);
	*missing = NULL;
	return 0;
}

int warehouse_has(struct db *db, const char *table)
{
	const char *missing = table;
	struct buf sql = BUF_INIT;
	int r;

	buf_add_str(&sql,
	    "SELECT t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t LEFT JOIN "
	    "information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = DATABASE() AND "
	    "t.TABLE_NAME = ");
	db_quote_text(&sql, table, strlen(table));
	r = db_must(db, db_select(db, sql.data, sql.len, see_table, &missing), table);
	buf_release(&sql);
	return r < 0 ? -1 : !missing;
}

static int prepare_table(struct db *db, const char *table, const char *create, size_t n)
{
	int there = warehouse_has(db, table);

	return there ? there < 0 ? -1 : 0 : db_must(db, db_run(db, create, n, NULL), table);
}

int warehouse_prepare(struct db *db, bool rejects)
{
	if (prepare_table(db, "sluice_positions", create_positions, sizeof(create_positions) - 1) < 0)
		return -1;
	return rejects
	    ? prepare_table(db, "sluice_rejects", create_rejects, sizeof(create_rejects) - 1)
	    : 0;
}

int warehouse_check_name(const char *name)
{
	size_t n = strlen(name);

	if (utf8_length(name, n) <= NAME_CHARS)
		return 0;
	return fail(EXIT_CONFIG,
	    "the name is longer than %d characters: give a shorter one with -N", NAME_CHARS);
}

int warehouse_check_topic(struct span topic)
{
	if (topic.n > TOPIC_CHARS && utf8_length(topic.p, topic.n) > TOPIC_CHARS)
		return fail(EXIT_DATA, "the topic's name is longer than %d characters", TOPIC_CHARS);
	if (topic.n > 0 && topic.p[topic.n - 1] == ' ')
		return fail(EXIT_DATA, "the topic's name ends with a blank: \"%.*s\"", (int)topic.n,
		    topic.p);
	return 0;
}

/* ---- reading ---- */

/* NULL: `none`. 0, or -1 with fail(): something else than sluice has written here. */
static int read_int(struct span v, int64_t none, int64_t *out)
{
	*out = none;
	if (!v.p || json_int64(v, out) == 0)
		return 0;
	return fail(EXIT_DATA, "sluice_positions: \"%.*s\" is no number", (int)v.n, v.p);
}

static int read_position(const struct span *v, int64_t *part, int64_t *next, int64_t *last_offset,
    int64_t *last_ts)
{
	return read_int(v[1], 0, part) < 0 || read_int(v[2], -1, next) < 0 ||
		read_int(v[3], -1, last_offset) < 0 || read_int(v[4], -1, last_ts) < 0
	    ? -1
	    : 0;
}

static int position_row(void *ctx, const struct span *v, size_t columns)
{
	int64_t part, next, last_offset, last_ts;

	(void)columns;
	if (read_position(v, &part, &next, &last_offset, &last_ts) < 0)
		return -1;
	if (v[2].p)
		positions_set(ctx, v[0], (int32_t)part, next, last_offset, last_ts);
	return 0;
}

int warehouse_positions(struct db *db, const char *name, struct positions *to)
{
	struct buf sql = BUF_INIT;
	int there = warehouse_has(db, "sluice_positions"), r;

	if (there <= 0)
		return there;
	buf_add_str(&sql,
	    "SELECT topic, part, next_offset, last_offset, last_ts FROM sluice_positions WHERE name = ");
	db_quote_text(&sql, name, strlen(name));
	buf_add_str(&sql, " ORDER BY topic, part");
	r = db_must(db, db_select(db, sql.data, sql.len, position_row, to), "sluice_positions");
	buf_release(&sql);
	return r;
}

/* ---- moving ---- */

static void add_number(struct buf *sql, bool there, int64_t v)
{
	if (there)
		buf_add_int(sql, v);
	else
		buf_add_str(sql, "NULL");
}

static void add_place(struct buf *sql, const struct window_move *m)
{
	db_quote_text(sql, m->place->topic, m->place->topic_len);
	buf_add_char(sql, ',');
	buf_add_int(sql, m->place->partition);
}

/* Calls a statement for ROWS moves at a time. */
struct batch {
	struct db *db;
	struct buf name, sql; /* name: quoted */
	const struct window_move *move;
	size_t count;
};

static enum db_result each_batch(struct db *db, const char *name, const struct window_move *move,
    size_t count, enum db_result (*call)(struct batch *b, void *ctx), void *ctx)
{
	struct batch b = { .db = db };
	enum db_result r = DB_OK;

	db_quote_text(&b.name, name, strlen(name));
	for (size_t i = 0; i < count && r == DB_OK; i += b.count) {
		b.move = move + i;
		b.count = count - i < ROWS ? count - i : ROWS;
		buf_clear(&b.sql);
		r = call(&b, ctx);
	}
	buf_release(&b.name);
	buf_release(&b.sql);
	return r;
}

static enum db_result meet(struct batch *b, void *ctx)
{
	bool any = false;

	(void)ctx;
	buf_add_str(&b->sql, "INSERT IGNORE INTO sluice_positions (name, topic, part) VALUES ");
	for (size_t i = 0; i < b->count; i++) {
		if (b->move[i].from_stored || !b->move[i].moved)
			continue;
		buf_add_str(&b->sql, any ? ",(" : "(");
		buf_add_span(&b->sql, buf_span(&b->name));
		buf_add_char(&b->sql, ',');
		add_place(&b->sql, &b->move[i]);
		buf_add_char(&b->sql, ')');
		any = true;
	}
	return any ? db_run(b->db, b->sql.data, b->sql.len, NULL) : DB_OK;
}

enum db_result warehouse_meet(struct db *db, const char *name, const struct window_move *move,
    size_t count)
{
	return each_batch(db, name, move, count, meet, NULL);
}

struct comparison {
	const struct window_move *move; /* of the batch */
	size_t count, at;               /* where the next row is likely to belong */
	size_t old, done, wanted;
};

static bool is_place(const struct window_move *m, struct span topic, int64_t part)
{
	return m->moved && m->place->partition == part &&
	    span_eq(topic, (struct span){ m->place->topic, m->place->topic_len });
}

/* The rows come in the order of the moves, but where a topic has a character below the blank. */
static int compare_row(void *ctx, const struct span *v, size_t columns)
{
	struct comparison *c = ctx;
	int64_t part, next, last_offset, last_ts;
	bool stands;

	(void)columns;
	if (read_position(v, &part, &next, &last_offset, &last_ts) < 0)
		return -1;
	for (size_t i = 0; i < c->count; i++) {
		size_t at = (c->at + i) % c->count;
		const struct window_move *m = &c->move[at];

		if (!is_place(m, v[0], part))
			continue;
		stands = v[2].p != NULL;
		c->old += stands == m->from_stored && (!stands || next == m->from_next);
		if (stands && next == m->next && last_offset == m->last_offset && last_ts == m->last_ts)
			c->done++;
		c->at = at + 1;
		break;
	}
	return 0;
}

static enum db_result lock(struct batch *b, void *ctx)
{
	struct comparison *c = ctx;
	bool any = false;

	c->move = b->move;
	c->count = b->count;
	c->at = 0;
	buf_add_str(&b->sql,
	    "SELECT topic, part, next_offset, last_offset, last_ts FROM sluice_positions WHERE name = ");
	buf_add_span(&b->sql, buf_span(&b->name));
	buf_add_str(&b->sql, " AND (topic, part) IN (");
	for (size_t i = 0; i < b->count; i++) {
		if (!b->move[i].moved)
			continue;
		buf_add_str(&b->sql, any ? ",(" : "(");
		add_place(&b->sql, &b->move[i]);
		buf_add_char(&b->sql, ')');
		any = true;
		c->wanted++;
	}
	buf_add_str(&b->sql, ") ORDER BY name, topic, part FOR UPDATE");
	return any ? db_select(b->db, b->sql.data, b->sql.len, compare_row, c) : DB_OK;
}

enum db_result warehouse_lock(struct db *db, const char *name, const struct window_move *move,
    size_t count, struct warehouse_state *state)
{
	struct comparison c = { 0 };
	enum db_result r = each_batch(db, name, move, count, lock, &c);

	if (r != DB_OK)
		return r;
	*state = (struct warehouse_state){ c.old == c.wanted, c.done == c.wanted };
	return DB_OK;
}

static enum db_result move_batch(struct batch *b, void *ctx)
{
	bool any = false;

	(void)ctx;
	buf_add_str(&b->sql,
	    "INSERT INTO sluice_positions (name, topic, part, next_offset, last_offset, last_ts) VALUES ");
	for (size_t i = 0; i < b->count; i++) {
		const struct window_move *m = &b->move[i];

		if (!m->moved)
			continue;
		buf_add_str(&b->sql, any ? ",(" : "(");
		buf_add_span(&b->sql, buf_span(&b->name));
		buf_add_char(&b->sql, ',');
		add_place(&b->sql, m);
		buf_add_char(&b->sql, ',');
		buf_add_int(&b->sql, m->next);
		buf_add_char(&b->sql, ',');
		add_number(&b->sql, m->last_offset >= 0, m->last_offset);
		buf_add_char(&b->sql, ',');
		add_number(&b->sql, m->last_ts >= 0, m->last_ts);
		buf_add_char(&b->sql, ')');
		any = true;
	}
	buf_add_str(&b->sql,
	    db_row_alias(b->db)
		? " AS n ON DUPLICATE KEY UPDATE next_offset=n.next_offset, last_offset=n.last_offset, last_ts=n.last_ts"
		: " ON DUPLICATE KEY UPDATE next_offset=VALUES(next_offset), last_offset=VALUES(last_offset), "
		  "last_ts=VALUES(last_ts)");
	return any ? db_run(b->db, b->sql.data, b->sql.len, NULL) : DB_OK;
}

enum db_result warehouse_move(struct db *db, const char *name, const struct window_move *move,
    size_t count)
{
	return each_batch(db, name, move, count, move_batch, NULL);
}
