# sql/ and etc/mappings: the schema, the questions, and the way of txgen's data into them, the same on both servers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;

my $SCHEMA = slurp("$SRC/sql/schema.sql");
my %query = map { m{([^/]+)\.sql$} => slurp($_) } glob "$SRC/sql/queries/*.sql";
my %mapping = map { m{([^/]+)\.json$} => $_ } glob "$SRC/etc/mappings/*.json";

# A schema of its own for each subtest.
sub warehouse
{
	my ($db) = @_;
	my $name = $db->database('dw');
	$db->sql($SCHEMA);
	return $name;
}

# Rows as people read them: a line each, columns apart by one blank.
sub table
{
	my ($db, $sql) = @_;
	return join '', map { join(' ', map { $_ // 'NULL' } @$_) . "\n" } $db->sql($sql);
}

# Users U01 to U12; u01 is another one. Days: 2026-10-26 is eight days before the last.
my $KNOWN = <<'END';
INSERT INTO dim_payment_methods VALUES ('card', 'Carte bancaire'), ('cash', NULL);
INSERT INTO dim_users (user_id, city, country) VALUES ('U01', 'Orléans', 'FR'), ('u01', 'Lyon', 'FR'),
	('U02', NULL, NULL), ('U03', '東京', 'JP'), ('U04', 'Nîmes', 'FR'), ('U05', 'Nîmes', 'FR'),
	('U06', 'Nîmes', 'FR'), ('U07', 'Nîmes', 'FR'), ('U08', 'Nîmes', 'FR'), ('U09', 'Nîmes', 'FR'),
	('U10', 'Nîmes', 'FR'), ('U11', 'Nîmes', 'FR'), ('U12', 'Nîmes', 'FR');
INSERT INTO fact_transactions
	(transaction_id, user_id, payment_method, type, status, amount, currency, happened_at, sent_at) VALUES
	('T1', 'U01', 'card', 'purchase', 'ok', 10.50, 'EUR', '2026-11-02 10:00:00', '2026-11-02 10:00:01'),
	('T2', 'U01', 'card', 'purchase', 'failed', 99.99, 'EUR', '2026-11-02 11:00:00', '2026-11-02 11:00:01'),
	('T3', 'u01', 'cash', 'refund', 'ok', 5.25, 'EUR', '2026-11-01 23:59:59.999', '2026-11-02 01:30:00'),
	('T4', 'U02', 'card', 'purchase', 'ok', 0.50, 'EUR', '2026-11-01 08:00:00', '2026-11-01 08:59:59.999'),
	('T5', 'U02', 'card', 'purchase', 'ok', 1.50, 'JPY', '2026-11-01 08:00:00', '2026-11-01 09:00:00'),
	('T6', 'U02', 'card', 'transfer', 'ok', 7.00, 'EUR', '2026-10-27 00:00:00', '2026-10-27 00:00:00'),
	('T7', 'U02', 'card', 'transfer', 'ok', 8.00, 'EUR', '2026-10-26 23:59:59', '2026-10-28 11:59:59');
INSERT INTO fact_user_totals (user_id, total_amount, transaction_count, changed_at, version) VALUES
	('U01', 9007199254740993.01, 2, '2026-11-02', 1), ('u01', 9007199254740993.02, 3, '2026-11-02', 1),
	('U02', 102, 2, '2026-11-02', 1), ('U03', 103.50, 2, '2026-11-02', 1), ('U04', 102, 2, '2026-11-02', 1),
	('U05', 105, 2, '2026-11-02', 1), ('U06', 106, 2, '2026-11-02', 1), ('U07', 107, 2, '2026-11-02', 1),
	('U08', 108, 2, '2026-11-02', 1), ('U09', 109, 2, '2026-11-02', 1), ('U10', 110, 2, '2026-11-02', 1),
	('U11', 1, 2, '2026-11-02', 1), ('U12', 0, 2, '2026-11-02', 1);
INSERT INTO blacklisted_users (user_id, reason, label, severity, blacklisted_at, changed_at, version) VALUES
	('u01', 'fraud', 'Fraude avérée', 4, '2026-11-01 23:59:59.999', '2026-11-01 23:59:59.999', 5),
	('U01', 'limit', NULL, 1, '2026-11-02 10:00:00.001', '2026-11-02 10:00:00.001', 6),
	('U02', 'identity', NULL, 2, '2026-11-01', '2026-11-01', 7);
INSERT INTO fact_windows (type, window_start, window_end, total_amount, transaction_count, changed_at, version) VALUES
	('purchase', '2026-11-01 22:55:00', '2026-11-01 23:00:00', 9.00, 1, '2026-11-01', 1),
	('purchase', '2026-11-01 23:00:00', '2026-11-01 23:05:00', 1.00, 1, '2026-11-01', 2),
	('refund', '2026-11-01 23:55:00', '2026-11-02 00:00:00', 2.00, 4, '2026-11-01', 3),
	('purchase', '2026-11-01 23:55:00', '2026-11-02 00:00:00', 1.00, 3, '2026-11-01', 4);
INSERT INTO reference_data (reference_key, class, code, label, category) VALUES
	('product/P1', 'product', 'P1', 'Thé', 'épicerie'), ('product/P2', 'product', 'P2', 'Café', 'épicerie'),
	('product/P3', 'product', 'P3', 'Écran', 'informatique'), ('city/Thé', 'city', 'Thé', 'Thé', 'no product');
INSERT INTO fact_sales (sale_id, product, quantity, unit_price, sold_at) VALUES
	(1, 'Thé', 2, 6.90, '2026-11-01'), (2, 'Café', 1, 12.50, '2026-11-01'), (3, 'Écran', 3, 229.90, '2026-11-01');
END

# ---- the schema ----

sub tables
{
	my ($db) = @_;
	return map { $_->[0] } $db->sql("SELECT table_name FROM information_schema.tables
	    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY 1");
}

sub as_made
{
	my ($db) = @_;
	return join "\n", map { ($db->sql("SHOW CREATE TABLE $_"))[0][1] } tables($db);
}

sub rows_in
{
	my ($db) = @_;
	return join ' ', map { $db->value("SELECT CONCAT('$_ ', COUNT(*)) FROM $_") } tables($db);
}

my %columns; # of each server, to compare

sub check_schema
{
	my ($db) = @_;
	warehouse($db);
	my $first = as_made($db);
	$db->sql($KNOWN);
	my $rows = rows_in($db);
	$db->sql($SCHEMA);
	is as_made($db), $first, 'a second time changes no table';
	is rows_in($db), $rows, '... and no row';

	is table($db, "SELECT table_name, engine, table_comment FROM information_schema.tables
	    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
	    AND (engine <> 'InnoDB' OR table_comment = '')"), '', 'each table is of InnoDB and says what it is';
	is table($db, "SELECT table_name, column_name, collation_name FROM information_schema.columns
	    JOIN information_schema.key_column_usage USING (table_schema, table_name, column_name)
	    WHERE table_schema = DATABASE() AND collation_name <> 'utf8mb4_bin'"), '', 'keys compare as bytes';
	is table($db, "SELECT table_name, referenced_table_name, delete_rule, update_rule
	    FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()
	    AND (referenced_table_name NOT LIKE 'dim%' OR delete_rule NOT IN ('RESTRICT', 'NO ACTION'))"), '',
	    'foreign keys point to dimensions, and none cascades';
	is $db->value("SELECT COUNT(*) FROM information_schema.referential_constraints
	    WHERE constraint_schema = DATABASE()"), 4, 'there are foreign keys';
	$columns{ $db->flavour } = table($db, "SELECT table_name, column_name, is_nullable, character_maximum_length,
	    numeric_precision, numeric_scale, datetime_precision, collation_name, column_comment
	    FROM information_schema.columns WHERE table_schema = DATABASE() AND data_type NOT LIKE '%int'
	    ORDER BY table_name, ordinal_position");
}

# ---- the questions ----

my %answer = (
	top_users => <<'END',
u01 Lyon FR 9007199254740993.02 3 fraud
U01 Orléans FR 9007199254740993.01 2 limit
U10 Nîmes FR 110.00 2 NULL
U09 Nîmes FR 109.00 2 NULL
U08 Nîmes FR 108.00 2 NULL
U07 Nîmes FR 107.00 2 NULL
U06 Nîmes FR 106.00 2 NULL
U05 Nîmes FR 105.00 2 NULL
U03 東京 JP 103.50 2 NULL
U04 Nîmes FR 102.00 2 NULL
END
	totals_by_type_and_day => <<'END',
2026-10-27 transfer 1 7.00
2026-11-01 purchase 2 2.00
2026-11-01 refund 1 5.25
2026-11-02 purchase 1 10.50
END
	windows => <<'END',
2026-11-01 23:00:00.000 purchase 1 1.00 100.0
2026-11-01 23:55:00.000 purchase 3 1.00 33.3
2026-11-01 23:55:00.000 refund 4 2.00 66.7
END
	late_data => <<'END',
2026-10-26 1 8.00 36.0
2026-11-01 2 6.75 1.5
END
	failed_share => <<'END',
card Carte bancaire 6 1 16.67
cash NULL 1 0 0.00
END
	after_blacklisting => <<'END',
u01 fraud 4 2026-11-01 23:59:59.999 1 5.25
U02 identity 2 2026-11-01 00:00:00.000 2 2.00
END
	sales_by_category => <<'END',
informatique 1 3 689.70
épicerie 2 3 26.30
END
);

sub check_queries
{
	my ($db) = @_;
	warehouse($db);
	$db->sql($KNOWN);
	is table($db, $query{$_}), $answer{$_}, $_ for sort keys %query;
}

sub check_foreign_keys
{
	my ($db) = @_;
	warehouse($db);
	$db->sql($KNOWN);
	ok !eval { $db->sql("UPDATE fact_transactions SET user_id = 'U99' WHERE transaction_id = 'T1'"); 1 },
	    'no payment of a user that is not there';
	like $@, qr/^1452 /, '... for that reason';
	ok !eval { $db->sql("DELETE FROM dim_users WHERE user_id = 'U12'"); 1 }, 'a user of whom facts tell stays';
	like $@, qr/^1451 /, '... for that reason';
	ok eval { $db->sql('DELETE FROM reference_data'); 1 }, 'reference data may go' or diag $@;
}

# ---- what their comments say of indexes ----

# Ten thousand users and twenty thousand payments, so that an index is worth while.
my $MANY = <<'END';
CREATE TABLE digit (i INT PRIMARY KEY);
INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE number (n INT PRIMARY KEY);
INSERT INTO number SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i FROM digit a, digit b, digit c, digit d;
INSERT INTO dim_payment_methods SELECT CONCAT('M', n), n FROM number WHERE n < 6;
INSERT INTO dim_users (user_id) SELECT CONCAT('U', n) FROM number;
INSERT INTO fact_user_totals (user_id, total_amount, transaction_count, changed_at, version)
	SELECT CONCAT('U', n), n * 7 % 1000, n, '2026-11-01', n FROM number;
INSERT INTO fact_transactions
	(transaction_id, user_id, payment_method, type, status, amount, currency, happened_at, sent_at)
	SELECT CONCAT('T', 2 * n + i), CONCAT('U', n % 200), CONCAT('M', n % 6), CONCAT('type', n % 5), 'ok', n, 'EUR',
		'2026-10-01' + INTERVAL n SECOND + INTERVAL n % 60 DAY,
		'2026-10-01' + INTERVAL n SECOND + INTERVAL n % 60 DAY + INTERVAL IF(n % 50, 0, n) SECOND
	FROM number, digit WHERE i < 2;
INSERT INTO fact_windows (type, window_start, window_end, total_amount, transaction_count, changed_at, version)
	SELECT CONCAT('type', i), '2026-10-01' + INTERVAL 300 * n SECOND, '2026-10-01' + INTERVAL 300 * n + 300 SECOND,
		n, n, '2026-10-01' + INTERVAL 300 * n SECOND, n
	FROM number, digit WHERE i < 5 AND n < 4000;
INSERT INTO blacklisted_users (user_id, reason, blacklisted_at, changed_at, version)
	SELECT CONCAT('U', n), 'fraud', '2026-11-27', '2026-11-27', n FROM number WHERE n < 20;
END

# What EXPLAIN says, a hash for each line; the two servers have different columns.
sub explained
{
	my ($db, $sql) = @_;
	my @columns = $db->flavour eq 'mysql'
	    ? qw(id select table partitions type possible key length ref rows filtered extra)
	    : qw(id select table type possible key length ref rows extra);
	return map { my %line; @line{@columns} = map { $_ // '' } @$_; \%line } $db->sql("EXPLAIN $sql");
}

# How many rows and entries of indexes a query has looked at, its temporary tables included.
sub reads
{
	my ($db, $sql) = @_;
	$db->sql('FLUSH STATUS');
	$db->sql($sql);
	my $reads = 0;
	$reads += $_->[1] for $db->sql("SHOW SESSION STATUS LIKE 'Handler_read%'");
	return $reads;
}

sub check_indexes
{
	my ($db) = @_;
	warehouse($db);
	$db->sql($MANY);
	$db->sql('ANALYZE TABLE dim_users, fact_user_totals, fact_transactions, fact_windows, blacklisted_users');
	for my $name (sort keys %query) {
		my ($table, $index, $how) = $query{$name} =~ /^-- Index: (\w+)\.(\w+) ?(.*)/m or next;
		my ($line) = grep { $_->{key} eq $index } explained($db, $query{$name});
		ok $line, "$name uses $table.$index" or next;
		like $line->{extra}, qr/Using index(?! condition)/, '... and reads no rows for it' if $how =~ /^alone/;
		cmp_ok reads($db, $query{$name}), '<', 100, '... and looks at few more than ten' if $how =~ /ten rows/;
		cmp_ok reads($db, $query{$name}), '<', 1000, '... and looks at a small part' if $how =~ /only/;
		unlike $line->{extra}, qr/filesort/, '... without sorting them' if $how =~ /none sorted/;
	}
}

# ---- txgen's data, each kind by its mapping ----

my $dir = tempdir();
my @KINDS = qw(transactions sales reference blacklist user-totals type-totals windows);

sub made
{
	my ($file, $command) = @_;
	my $r = pipeline("$command >$dir/$file", env => { SLUICE_BROKERS => undef });
	die "$command: $r->{err}" if $r->{exit};
}

# The keys of windows are bytes; kread takes them apart.
sub make_streams
{
	made($_, "txgen -c 3000 -p 3 --users 500 --marks -R $_") for grep { $_ ne 'windows' } @KINDS;
	made('windows', q(kmock -q -x 'txgen -c 3000 windows | kwrite -q -t windows &&
	    kread -q -t windows -s key=text --window time:5m -e --marks'));
	made('payment-methods', qq(jq -c 'select(.mark or .payload.class == "payment_method")' $dir/reference));
}

my $JQ = <<'END';
def time: (. / 1000 | floor | strftime("%Y-%m-%d %H:%M:%S")) + "." + ("00" + (. % 1000 | tostring))[-3:];
def iso: sub("T"; " ") | sub("Z"; "");
def cents: . * 100 | round;
def line: map(. // "NULL" | tostring) | join(" ");
def last_of(key): [.[] | select(.mark | not)] | group_by(key)[] | last;
def state: last_of([.key, .window]) | select(.payload);
def snapshot: (.ts | time), (.ts | time)[:10], .offset;
def totals: (.payload.total_amount | cents), .payload.transaction_count;
END

# Table: columns as text and exact numbers; from which streams jq makes the same lines, and how.
my @EXPECTED = (
	[ fact_transactions => 'transaction_id, user_id, CAST(amount * 100 AS SIGNED), currency, type, payment_method,
	    product, quantity, city, country, happened_at, sent_at, status', [ 'transactions' ],
	    '.[] | select(.payload) | .ts as $ts | .payload | [.transaction_id, .user_id, (.amount | cents), .currency, .type,
	    .payment_method, .product, .quantity, .city, .country, (.timestamp | iso), ($ts | time), .status]' ],
	[ dim_users => 'user_id, city, country, last_seen', [ 'transactions', 'blacklist', 'user-totals' ],
	    '[.[] | select(.payload)] | group_by(.key)[] | [.[] | select(.payload.city)][-1] as $paid |
	    [.[0].key, $paid.payload.city, $paid.payload.country, ($paid.ts | if . then time else null end)]' ],
	[ dim_payment_methods => 'payment_method, label', [ 'reference' ],
	    '.[] | .payload | select(.class == "payment_method") | [.code, .label]' ],
	[ fact_sales => 'sale_id, product, quantity, CAST(unit_price * 100 AS SIGNED), CAST(amount * 100 AS SIGNED), city, sold_at',
	    [ 'sales' ], '.[] | select(.payload) | .payload | [.id_vente, .produit, .quantite, (.prix_unitaire | cents),
	    (.prix_unitaire | cents) * .quantite, .ville, .date_vente + ".000"]' ],
	[ reference_data => 'reference_key, class, code, label, country, currency, category, CAST(price * 100 AS SIGNED)',
	    [ 'reference' ], '.[] | select(.payload) | .key as $key | .payload |
	    [$key, .class, .code, .label, .country, .currency, .category, (.price | if . then cents else null end)]' ],
	[ fact_user_totals => 'user_id, CAST(total_amount * 100 AS SIGNED), transaction_count, last_transaction, changed_at,
	    snapshot_date, version', [ 'user-totals' ], 'state | [.key, totals, (.payload.last_transaction | iso), snapshot]' ],
	[ fact_type_totals => 'type, CAST(total_amount * 100 AS SIGNED), transaction_count, last_transaction, changed_at,
	    snapshot_date, version', [ 'type-totals' ], 'state | [.key, totals, (.payload.last_transaction | iso), snapshot]' ],
	[ fact_windows => 'type, window_start, window_end, CAST(total_amount * 100 AS SIGNED), transaction_count, changed_at,
	    snapshot_date, version', [ 'windows' ],
	    'state | [.key, (.window.start | time), (.payload.window_end | iso), totals, snapshot]' ],
	[ blacklisted_users => 'user_id, reason, label, severity, blacklisted_at, changed_at, snapshot_date, version',
	    [ 'blacklist' ], 'state | .payload as $p |
	    [.key, $p.reason, $p.label, $p.severity, ($p.blacklisted_at | iso), snapshot]' ],
);

sub sorted { return join '', sort map { "$_\n" } split /\n/, $_[0] }

my %expected;

sub expect_tables
{
	for (@EXPECTED) {
		my ($table, undef, $streams, $filter) = @$_;
		my $r = run('jq', '-rs', "$JQ $filter | line", @$streams, { cwd => $dir });
		die "jq: $r->{err}" if $r->{exit};
		$expected{$table} = sorted($r->{out});
		cmp_ok $expected{$table} =~ tr/\n//, '>', 3, "$table: jq finds rows";
	}
}

sub upsert
{
	my ($db, $kind) = @_;
	return spawn('bash', '-c', "exec mysql-upsert @{[ $db->args ]} -M $mapping{$kind} <$dir/$kind");
}

sub compare_tables
{
	my ($db) = @_;
	is sorted(table($db, "SELECT $_->[1] FROM $_->[0]")), $expected{ $_->[0] }, $_->[0] for @EXPECTED;
}

sub check_mappings
{
	my ($db, @kinds) = @_;
	warehouse($db);
	for my $kind (@kinds) {
		my $r = finish(upsert($db, $kind));
		is $r->{exit}, 0, $kind or diag $r->{err};
	}
	compare_tables($db);
}

# As by timers of their own. Users come from three sides, so writers wait for each other's rows.
sub check_all_at_once
{
	my ($db) = @_;
	warehouse($db);
	my %running = map { $_ => upsert($db, $_) } keys %mapping;
	for my $kind (sort keys %running) {
		my $r = finish($running{$kind});
		is $r->{exit}, 0, $kind or diag $r->{err};
	}
	compare_tables($db);
	my $before = rows_in($db);
	is finish(upsert($db, 'transactions'))->{exit}, 0, 'once more';
	is rows_in($db), $before, '... changes nothing';
}

sub check_lake
{
	my ($db) = @_;
	my $lake = "$dir/lake-" . $db->flavour;
	my ($table, $columns) = @{ $EXPECTED[0] };

	warehouse($db);
	my $r = pipeline("partition <$dir/transactions | jsonl-sink $lake && lakecat -t transactions $lake |
	    mysql-upsert @{[ $db->args ]} -M $mapping{transactions}");
	is $r->{exit}, 0, 'by way of the lake' or diag $r->{err};
	is sorted(table($db, "SELECT $columns FROM $table")), $expected{$table}, $table;
}

# ---- all of it ----

like $query{$_}, qr/\A-- [^\n]*\?\n/, "$_ begins with its question" for sort keys %query;
is_deeply [ sort keys %answer ], [ sort keys %query ], 'each question has an answer here';
my @order = qw(transactions user-totals blacklist windows type-totals sales payment-methods reference);
is_deeply [ sort keys %mapping ], [ sort @order ], 'each mapping is tried';
is_deeply [ grep { !$mapping{$_} } @KINDS ], [], 'each kind of txgen has a mapping';
my ($shown) = slurp("$SRC/man/sluice.7") =~ /^(\{"tables".*?^\]\})/ms;
is_deeply json($shown), json(slurp($mapping{'user-totals'})), 'sluice(7) shows one of them as it is';
make_streams();
expect_tables();
is scalar(grep { /^-- Index: / } map { split /\n/ } values %query), 6, 'six say which index they use';

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour . ': the schema' => \&check_schema, $db;
	subtest $db->flavour . ': the questions' => \&check_queries, $db;
	subtest $db->flavour . ': foreign keys' => \&check_foreign_keys, $db;
	subtest $db->flavour . ': indexes' => \&check_indexes, $db;
	subtest $db->flavour . ': txgen, facts first' => \&check_mappings, $db, @order;
	subtest $db->flavour . ': txgen, facts last' => \&check_mappings, $db, reverse @order;
	subtest $db->flavour . ': txgen, all at once' => \&check_all_at_once, $db;
	subtest $db->flavour . ': txgen, from a lake' => \&check_lake, $db;
}
is $columns{mysql}, $columns{mariadb}, 'both servers have made the same columns' if keys %columns == 2;

done_testing;
