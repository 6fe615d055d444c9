-- The warehouse of the field: payments, what stream processors make of them, and the dimensions of both.
-- For MariaDB 10.11 and MySQL 8.0 alike, into a database of any name, as often as you like:
--
--	mysql -D dw <sql/schema.sql
--
-- Each topic has a mapping in etc/mappings, and mysql-upsert(1) keeps the tables equal to it. Its own tables,
-- sluice_positions and sluice_rejects, it makes by itself.
--
-- Keys are utf8mb4_bin, for Kafka's keys are bytes: with the servers' default collation U1 and u1 would be one
-- user. All times are UTC; those of DATETIME(3) are as exact as Kafka's.
--
-- What must be there first. Every topic is loaded by a pipeline and a timer of its own, in any order, and none
-- may have to wait for another. So foreign keys point only to dimensions, and who writes the child writes the
-- parent as well: a mapping names both tables, and the same record makes the user (its key alone, if that is all
-- that the topic knows; what other topics know is left as it is) and the fact, in one transaction. A user of
-- whom nobody has told yet but the blacklist has no city; the first payment fills it in.
--
-- No foreign key cascades. Rows go when their topic says so, by a tombstone, and a fact that went because its
-- user went would make the table differ from its topic. A dimension row that facts hang on cannot be deleted:
-- the server refuses, and mysql-upsert keeps the tombstone as a reject.
--
-- Tables that show the present state of a compacted topic, one row a key, say which state: the time of the record
-- behind the row, its day, and its offset as version. All records of a key are in one partition, so of two
-- versions the greater is the newer, unless the topic was made anew.

SET NAMES utf8mb4;

-- ---- dimensions ----

CREATE TABLE IF NOT EXISTS dim_users (
	user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	city VARCHAR(100) NULL COMMENT 'of the last payment; NULL before the first',
	country CHAR(2) NULL COMMENT 'ISO 3166-1, as city',
	last_seen DATETIME(3) NULL COMMENT 'when the last payment was sent',
	added_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP COMMENT 'when the row came here',
	PRIMARY KEY (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='each user that any topic has named (transactions, user-totals, blacklist)';

CREATE TABLE IF NOT EXISTS dim_payment_methods (
	payment_method VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	label VARCHAR(100) NULL COMMENT 'NULL until the reference data has come',
	PRIMARY KEY (payment_method)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='ways to pay: the code from transactions, the label from reference';

-- The topic as it is: four classes under one kind of key. Nothing refers to it, so it may come and go.
CREATE TABLE IF NOT EXISTS reference_data (
	reference_key VARCHAR(160) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'class/code',
	class VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
		COMMENT 'type, payment_method, city, product',
	code VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	label VARCHAR(100) NOT NULL,
	country CHAR(2) NULL COMMENT 'of a city',
	currency CHAR(3) NULL COMMENT 'of a city, ISO 4217',
	category VARCHAR(64) NULL COMMENT 'of a product',
	price DECIMAL(12,2) NULL COMMENT 'of a product',
	PRIMARY KEY (reference_key),
	KEY by_class (class, code)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='static data (reference)';

CREATE OR REPLACE VIEW dim_types AS
	SELECT code AS type, label FROM reference_data WHERE class = 'type';

CREATE OR REPLACE VIEW dim_cities AS
	SELECT code AS city, country, currency FROM reference_data WHERE class = 'city';

CREATE OR REPLACE VIEW dim_products AS
	SELECT code AS product_id, label AS product, category, price FROM reference_data WHERE class = 'product';

-- ---- what happened: rows are added, and hardly ever changed ----

CREATE TABLE IF NOT EXISTS fact_transactions (
	transaction_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	payment_method VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	type VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	status VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'ok or failed',
	amount DECIMAL(14,2) NOT NULL COMMENT 'in currency',
	currency CHAR(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'ISO 4217',
	product VARCHAR(100) NULL,
	quantity INT UNSIGNED NULL,
	city VARCHAR(100) NULL COMMENT 'of the shop',
	country CHAR(2) NULL,
	happened_at DATETIME(3) NOT NULL COMMENT 'the payment''s own time',
	sent_at DATETIME(3) NOT NULL COMMENT 'the record''s time in Kafka',
	-- Both servers index these; only MySQL could index the expressions.
	day DATE AS (CAST(happened_at AS DATE)) STORED COMMENT 'UTC day of happened_at',
	late_seconds INT AS (TIMESTAMPDIFF(SECOND, happened_at, sent_at)) STORED
		COMMENT 'how long after it happened it was sent',
	PRIMARY KEY (transaction_id),
	KEY by_user (user_id, happened_at),
	KEY by_method (payment_method, status),
	KEY by_day (day, type, status, amount),
	KEY by_lateness (late_seconds, day, amount),
	CONSTRAINT fact_transactions_user FOREIGN KEY (user_id) REFERENCES dim_users (user_id),
	CONSTRAINT fact_transactions_method FOREIGN KEY (payment_method)
		REFERENCES dim_payment_methods (payment_method)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='payments, one row each (transactions)';

-- Sales name products and cities by their labels, and no user: there is nothing that a foreign key could hold.
CREATE TABLE IF NOT EXISTS fact_sales (
	sale_id BIGINT UNSIGNED NOT NULL,
	product VARCHAR(100) NOT NULL,
	quantity INT UNSIGNED NOT NULL,
	unit_price DECIMAL(12,2) NOT NULL,
	amount DECIMAL(14,2) AS (quantity * unit_price) STORED,
	city VARCHAR(100) NULL,
	sold_at DATETIME(3) NOT NULL,
	PRIMARY KEY (sale_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='sales of the shops (sales)';

-- ---- how things stand: one row a key, equal to the last state of a compacted topic ----

CREATE TABLE IF NOT EXISTS fact_user_totals (
	user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	total_amount DECIMAL(18,2) NOT NULL,
	transaction_count BIGINT UNSIGNED NOT NULL,
	last_transaction DATETIME(3) NULL,
	changed_at DATETIME(3) NOT NULL COMMENT 'time of the record that this row is from',
	snapshot_date DATE AS (CAST(changed_at AS DATE)) STORED COMMENT 'its UTC day',
	version BIGINT UNSIGNED NOT NULL COMMENT 'its offset: grows with each change of a key',
	PRIMARY KEY (user_id),
	KEY by_amount (total_amount),
	CONSTRAINT fact_user_totals_user FOREIGN KEY (user_id) REFERENCES dim_users (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='running total of each user (user-totals)';

-- Types have no table, only the view dim_types: a new one needs no permission to appear here.
CREATE TABLE IF NOT EXISTS fact_type_totals (
	type VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	total_amount DECIMAL(18,2) NOT NULL,
	transaction_count BIGINT UNSIGNED NOT NULL,
	last_transaction DATETIME(3) NULL,
	changed_at DATETIME(3) NOT NULL COMMENT 'time of the record that this row is from',
	snapshot_date DATE AS (CAST(changed_at AS DATE)) STORED COMMENT 'its UTC day',
	version BIGINT UNSIGNED NOT NULL COMMENT 'its offset: grows with each change of a key',
	PRIMARY KEY (type)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='running total of each type of transaction (type-totals)';

CREATE TABLE IF NOT EXISTS fact_windows (
	type VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	window_start DATETIME(3) NOT NULL,
	window_end DATETIME(3) NOT NULL COMMENT 'not in the window',
	total_amount DECIMAL(18,2) NOT NULL,
	transaction_count BIGINT UNSIGNED NOT NULL,
	changed_at DATETIME(3) NOT NULL COMMENT 'time of the record that this row is from',
	snapshot_date DATE AS (CAST(changed_at AS DATE)) STORED COMMENT 'its UTC day',
	version BIGINT UNSIGNED NOT NULL COMMENT 'its offset: grows with each change of a key',
	PRIMARY KEY (type, window_start),
	KEY by_start (window_start)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='totals of each type in windows of 5 minutes; type and start are the key (windows)';

CREATE TABLE IF NOT EXISTS blacklisted_users (
	user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	reason VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	label VARCHAR(100) NULL COMMENT 'the reason in words',
	severity TINYINT UNSIGNED NULL COMMENT '1 to 5',
	blacklisted_at DATETIME(3) NOT NULL,
	changed_at DATETIME(3) NOT NULL COMMENT 'time of the record that this row is from',
	snapshot_date DATE AS (CAST(changed_at AS DATE)) STORED COMMENT 'its UTC day',
	version BIGINT UNSIGNED NOT NULL COMMENT 'its offset: grows with each change of a key',
	PRIMARY KEY (user_id),
	CONSTRAINT blacklisted_users_user FOREIGN KEY (user_id) REFERENCES dim_users (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
	COMMENT='users who are blocked now; a tombstone takes the row away (blacklist)';
