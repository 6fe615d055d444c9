# Where something is large, many or slow: packets, columns, partitions, pauses; and tables that cannot be kept right.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Records;
use Test::More;
use Time::HiRes qw(sleep);

my $MB = 1 << 20;

sub upsert { my ($db, $lines, @args) = @_; return run('mysql-upsert', $db->args, @args, { stdin => $lines }) }

sub fresh { my ($db, @tables) = @_; $db->database('limits'); $db->sql("CREATE TABLE $_") for @tables; return }

sub has_table
{
	my ($db, $table) = @_;
	return $db->value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '$table'");
}

# ---- max_allowed_packet ----

sub packets
{
	my ($db) = @_;
	my $create = 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, b LONGTEXT) DEFAULT CHARSET utf8mb4';
	my $sizes = sub { return join ' ', map { "$_->[0]=$_->[1]" } $db->sql('SELECT id, LENGTH(b) FROM t ORDER BY id') };
	my $row = sub { my ($offset, $key, $n, $c) = @_; return record($offset, $key, '{"b":"' . ($c // 'x') x $n . '"}') };
	is $db->value('SELECT @@max_allowed_packet'), $MB, 'max_allowed_packet is 1 MB';

	fresh($db, $create);
	my $r = upsert($db, join('', map { $row->($_, "k$_", 900_000) } 0 .. 9), qw(-T t -k id));
	is $r->{exit}, 0, 'rows of 0.9 MB' or diag $r->{err};
	is $sizes->(), join(' ', map { "k$_=900000" } 0 .. 9), '... are all there';
	$r = upsert($db, join('', map { $row->($_, 'k' . $_ % 3, 900_000 + $_) } 10 .. 19), qw(-T t -k id --no-reduce --buffer 1M));
	is $r->{exit}, 0, '... with little memory too' or diag $r->{err};
	is $sizes->(), join(' ', 'k0=900018', 'k1=900019', 'k2=900017', map { "k$_=900000" } 3 .. 9), '... the last of each key';

	for my $r_option ([], ['-r']) {
		fresh($db, $create);
		my @lines = ($row->(0, 'a', 900_000), $row->(1, 'b', $MB), $row->(2, 'c', 900_000), $row->(3, 'd', 600_000, '\"'), $row->(4, 'e', 5));
		$r = upsert($db, join('', @lines), qw(-T t -k id), @$r_option);
		if (!@$r_option) {
			is "$r->{exit} " . $sizes->() . positions($db, 't'), '65 a=900000T/0 1',
			    'a record beyond it ends the run; what was before it is there';
			like $r->{err}, qr{stdin:2: T/0: offset 1: t: .*\b1048\d\d\d bytes, and max_allowed_packet is 1048\d\d\d$}m,
			    '... and the message says how large it is';
			next;
		}
		is "$r->{exit} " . $sizes->() . ' ' . positions($db, 't'), '1 a=900000 c=900000 e=5 T/0 5',
		    'with -r the others are applied' or diag $r->{err};
		is_deeply [ $db->sql('SELECT topic, part, off, line IS NULL FROM sluice_rejects ORDER BY off') ], [ [ 'T', 0, 1, 1 ], [ 'T', 0, 3, 1 ] ],
		    '... and those are kept, without their lines';
		my @shown = rejects($db, 't');
		is_deeply [ map { [ @$_{qw(topic partition offset payload)} ] } @shown ], [ [ 'T', 0, 1, undef ], [ 'T', 0, 3, undef ] ],
		    '--rejects prints their places';
		like $shown[0]{error}{reason}, qr/\(a line of @{[ length($lines[1]) - 1 ]} bytes, too large to keep\)$/, '... and how long they are';
		my $again = run('mysql-upsert', $db->args, qw(--rejects -T t))->{out};
		is upsert($db, $again, qw(-r -T t -k id -N again))->{exit}, 1, '... as records, which do not fit';
		$r = run('mysql-upsert', $db->args, qw(--replay -T t -k id));
		is "$r->{exit} " . scalar(rejects($db, 't')), '1 2', '... they cannot be replayed';
		is upsert($db, record(5, 'b', undef), qw(-T t -k id))->{exit} . scalar(rejects($db, 't')), '01', 'a tombstone outdates them';
	}

	# One without a place; and one whose line can be kept, but whose row is longer: bytes are sent as hex.
	fresh($db, 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, b LONGBLOB)');
	$r = upsert($db, '{"id":"bare","b":"' . 'x' x $MB . "\"}\n" . record(0, 'k', '{"id":"k","b":{"base64":"' . 'AAAA' x 200_000 . '"}}'), qw(-r -T t));
	is_deeply [ $db->sql('SELECT topic, line IS NULL FROM sluice_rejects ORDER BY topic') ], [ [ undef, 1 ], [ 'T', 0 ] ],
	    'a line without a place, and a row longer than its line'
	    or diag $r->{err};
	is_deeply [ map { [ $_->{topic}, exists $_->{payload} ] } rejects($db, 't') ], [ [ undef, '' ], [ 'T', 1 ] ], '... are printed';
	$r = run('mysql-upsert', $db->args, qw(--replay -T t));
	like "$r->{exit} $r->{err}", qr/^1 .* 2 kept$/, '... neither can be replayed';

	# Wherever the limit falls, to the byte: stored, or a reject, and never a connection that is lost.
	fresh($db, $create);
	my $n = 0;
	$r = upsert($db, join('', map { $row->($n++, 'k', $_) } map { $MB - 150 + 9 * $_ } 0 .. 19), qw(-r -T t -k id --no-reduce --rows 1));
	is $r->{exit}, 1, 'rows about as large as the limit' or diag $r->{err};
	like $r->{err}, qr/^mysql-upsert: 20 records in, (\d+) rows upserted, 0 deleted, 0 skipped, (\d+) rejected; \d+ commits?, 0 retried/m,
	    '... no connection is lost';
	my ($in, $out) = $r->{err} =~ /(\d+) rows upserted.* (\d+) rejected/;
	cmp_ok $in * $out, '>', 0, '... some fit and some do not';
	is $in + $out, 20, '... and all are accounted for';
	is $sizes->(), 'k=' . ($MB - 150 + 9 * ($in - 1)), '... those up to the limit fit';
	$r = upsert($db, join('', map { record($_ + 20, "s$_", '{"b":"' . 'y' x 5000 . '"}') } 0 .. 999), qw(-T t -k id));
	is "$r->{exit} " . $db->value("SELECT COUNT(*) FROM t WHERE id LIKE 's%' AND LENGTH(b) = 5000"), '0 1000',
	    'many that together are larger go in several statements';
}

# ---- pauses ----

# A pipe to write to, line by line, and the process that reads it.
sub slowly
{
	my ($db, @args) = @_;
	pipe my $in, my $to or die "pipe: $!";
	$to->autoflush(1);
	my $p = spawn('mysql-upsert', $db->args, @args, { stdin => $in });
	close $in;
	return ($p, $to);
}

sub has_row { my ($db, $id) = @_; return sub { $db->value("SELECT COUNT(*) FROM t WHERE id = '$id'") } }

sub pauses
{
	my ($db) = @_;
	fresh($db, 't (id VARCHAR(20) PRIMARY KEY, n INT)');
	is $db->value('SELECT @@global.wait_timeout'), 2, 'wait_timeout is 2 s';
	my ($p, $to) = slowly($db, qw(-v -T t -k id -i 0.05));
	print $to record(0, 'a', '{"n":1}');
	wait_until(20, 'the first record', has_row($db, 'a'));
	sleep 3;
	print $to record(1, 'b', '{"n":1}');
	wait_until(20, 'the second record', has_row($db, 'b'));
	my $others = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = '$db->{database}'";
	my @session = $db->sql($others);
	is scalar(@session), 1, 'a slow stream keeps its connection';
	$db->sql("KILL CONNECTION $session[0][0]");
	print $to record(2, 'c', '{"n":1}');
	wait_until(20, 'the third record', has_row($db, 'c'));
	isnt +($db->sql($others))[0][0], $session[0][0], 'one that is killed while it is idle is made again';
	$db->sql("KILL CONNECTION $_->[0]") for $db->sql($others);
	close $to;
	my $r = finish($p);
	is "$r->{exit} " . positions($db, 't'), '0 T/0 3', '... and the run ends well';
	like $r->{err}, qr/^mysql-upsert: 3 records in, 3 rows upserted, .* 1 retried;/m, '... the summary tells of it';
	unlike $r->{err}, qr/\Q@{[ $db->password ]}/, '... the password is not said';

	# Before the first record, too.
	($p, $to) = slowly($db, qw(-T t -k id -i 0.05));
	wait_until(20, 'the connection', sub { @session = $db->sql($others) });
	sleep 0.3;
	$db->sql("KILL CONNECTION $session[0][0]");
	print $to record(3, 'd', '{"n":1}');
	close $to;
	is finish($p)->{exit} . has_row($db, 'd')->(), '01', 'also before the first record';
}

# ---- columns and partitions ----

sub columns
{
	my ($db) = @_;
	my @names = map { "c$_" } 1 .. 199;
	fresh($db, 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, ' . join(', ', map { "$_ INT" } @names) . ')');
	my $members = sub { my ($from, $n) = @_; return '{' . join(',', map { "\"$names[$_]\":@{[ $from + $_ ]}" } grep { $_ % $n == 0 } 0 .. $#names) . '}' };
	my $r = upsert($db, join('', map { record($_, 'k' . $_ % 100, $members->($_, 1)) } 0 .. 999), qw(-T t -k id));
	is $r->{exit}, 0, 'a table of 200 columns' or diag $r->{err};
	is_deeply [ $db->sql("SELECT * FROM t WHERE id = 'k42'") ], [ [ 'k42', 942 .. 942 + 198 ] ], '... each has its value';
	is $db->value('SELECT COUNT(*) FROM t WHERE c199 = c1 + 198'), 100, '... in all rows';
	$r = upsert($db, join('', map { record($_ + 999, "k$_", $members->(5000, $_ + 1)) } 1 .. 99), qw(-T t -k id --partial));
	is $r->{exit}, 0, '--partial with as many sets of columns as rows' or diag $r->{err};
	is_deeply [ $db->sql("SELECT * FROM t WHERE id = 'k42'") ], [ [ 'k42', map { $_ % 43 ? 942 + $_ : 5000 + $_ } 0 .. 198 ] ],
	    '... leaves the others';
}

sub partitions
{
	my ($db) = @_;
	fresh($db, 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT)');
	my @parts = map { $_ * 7 % 1000 } 0 .. 999;
	my $lines = sub {
		my ($offset) = @_;
		return join '', (map { mark(start => 'T', $_, $offset) } @parts),
		    (map { record($offset, "k$_", "{\"n\":$offset}", partition => $_) } @parts),
		    (map { mark(position => 'T', $_, $offset + 1) } @parts), end_mark();
	};
	for my $offset (0, 1) {
		my $r = upsert($db, $lines->($offset), qw(-a -T t -k id));
		is $r->{exit}, 0, "1,000 partitions, offset $offset" or diag $r->{err};
		is scalar(my @acks = json_lines($r->{out})), 1000, '... all are acknowledged';
		is $db->value('SELECT COUNT(*) FROM t WHERE n = ' . $offset), 1000, '... all are applied';
		is positions($db, 't'), join(' ', map { "T/$_ @{[ $offset + 1 ]}" } 0 .. 999), '... and the positions are right';
		cmp_ok $r->{sec}, '<', 5, '... soon' if !sanitized();
	}
	my $r = upsert($db, $lines->(1), qw(-T t -k id));
	like $r->{err}, qr/^mysql-upsert: 1000 records in, 0 rows upserted, 0 deleted, 1000 skipped/m, 'a rerun skips them';
	$db->sql('UPDATE sluice_positions SET next_offset = 7 WHERE part = 777');
	$r = upsert($db, $lines->(2), qw(-T t -k id));
	is "$r->{exit} " . $db->value('SELECT COUNT(*) FROM t WHERE n = 2'), '65 0',
	    'one of them is not where it was left: nothing is applied' or diag $r->{err};
}

# ---- tables ----

sub tables
{
	my ($db) = @_;
	my @refused = (
		[ 'no primary key', 't (id INT, n INT)', qr/table t has no primary key/ ],
		[ 'a unique key but no primary key', 't (id INT NOT NULL UNIQUE, n INT)', qr/table t has no primary key/ ],
		[ 'a primary key on a prefix', 't (id VARCHAR(200), n INT, PRIMARY KEY (id(10)))',
		    qr/primary key has only the beginning of column id/ ],
		[ 'another unique key', 't (id INT PRIMARY KEY, n INT UNIQUE)', qr/table t has another unique key: .*--any-unique/ ],
		[ 'another unique key of two columns', 't (id INT PRIMARY KEY, n INT, m INT, UNIQUE both_of (n, m))', qr/another unique key/ ],
		[ 'MyISAM', 't (id INT PRIMARY KEY, n INT) ENGINE=MyISAM', qr/engine MyISAM has no transactions/ ],
		[ 'MEMORY', 't (id INT PRIMARY KEY, n INT) ENGINE=MEMORY', qr/engine MEMORY has no transactions/ ],
		$db->flavour eq 'mariadb' ? [ 'Aria', 't (id INT PRIMARY KEY, n INT) ENGINE=Aria', qr/engine Aria has no transactions/ ] : (),
		[ 'a view', 'b (id INT PRIMARY KEY, n INT); CREATE VIEW t AS SELECT * FROM b', qr/table t is a VIEW/ ],
		[ 'no table', 'b (id INT PRIMARY KEY)', qr/no table t in database / ],
		[ 'a key that is no column', 't (no INT PRIMARY KEY, n INT)', qr/table t has no column id/ ],
		[ 'a key that is generated', 't (a INT PRIMARY KEY, n INT, id INT AS (a + 1) STORED)', qr/column id of table t is generated/ ],
	);
	for (@refused) {
		my ($what, $create, $says) = @$_;
		fresh($db, $create);
		my $r = upsert($db, record(0, '1', '{"n":1}'), qw(-r -T t -k id));
		is $r->{exit}, 78, "$what is refused";
		like $r->{err}, qr/\Amysql-upsert: .*$says.*\n\z/, '... in one line that says why';
		is has_table($db, 'sluice_positions') + has_table($db, 'sluice_rejects'), 0, '... and nothing is made';
		is upsert($db, 'not read', qw(--replay -T t -k id))->{exit}, 78, '... nor replayed';
	}

	fresh($db, 't (id INT PRIMARY KEY, n INT UNIQUE)');
	my $r = upsert($db, record(0, '1', '{"n":1}') . record(1, '2', '{"n":2}') . record(2, '1', '{"n":3}'), qw(--any-unique -T t -k id));
	is $r->{exit}, 0, '--any-unique accepts another unique key' or diag $r->{err};
	is_deeply [ $db->sql('SELECT * FROM t ORDER BY id') ], [ [ 1, 3 ], [ 2, 2 ] ], '... and sends each record';
	is run('mysql-upsert', $db->args, qw(-Q -T t))->{exit}, 0, '... -Q does not need it';

	fresh($db, 't (id INT PRIMARY KEY, n INT, twice INT AS (n * 2) STORED, thrice INT AS (n * 3) VIRTUAL)');
	$r = upsert($db, record(0, '1', '{"n":1,"twice":7}') . record(1, '2', '{"n":2}'), qw(-T t -k id));
	is $r->{exit}, 0, 'generated columns are left alone' or diag $r->{err};
	is_deeply [ $db->sql('SELECT * FROM t ORDER BY id') ], [ [ 1, 1, 2, 3 ], [ 2, 2, 4, 6 ] ], '... also when a member has their name';

	fresh($db, 't (id INT PRIMARY KEY, n INT) PARTITION BY HASH (id) PARTITIONS 4');
	is upsert($db, join('', map { record($_, $_ % 50, "{\"n\":$_}") } 0 .. 199), qw(-T t -k id))->{exit}, 0, 'a table of partitions';
	is_deeply [ $db->sql('SELECT COUNT(*), MIN(n), MAX(n) FROM t') ], [ [ 50, 150, 199 ] ], '... is a table';
	return if $db->flavour ne 'mariadb';
	# Our own tables may be made by somebody else; MyISAM has no room for their keys.
	for my $table (qw(sluice_positions sluice_rejects)) {
		fresh($db, 't (id INT PRIMARY KEY, n INT)');
		is upsert($db, '', qw(-r -T t -k id))->{exit}, 0, "$table is there";
		$db->sql("ALTER TABLE $table ENGINE=Aria");
		my $r = upsert($db, record(0, '1', '{"n":1}'), qw(-r -T t -k id));
		is "$r->{exit} " . $db->value('SELECT COUNT(*) FROM t'), '78 0', '... without transactions: refused';
		like $r->{err}, qr/\Amysql-upsert: $table: engine Aria has no transactions\n\z/, '... with the reason';
	}
	fresh($db, 't (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING');
	is upsert($db, record(0, '1', '{"n":1}') . record(1, '1', '{"n":2}') . record(2, '2', '{"n":2}'), qw(-T t -k id --no-reduce))->{exit}, 0,
	    'a table with versions';
	is_deeply [ $db->sql('SELECT id, n FROM t ORDER BY id') ], [ [ 1, 2 ], [ 2, 2 ] ], '... is a table too';
}

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour . ': columns' => sub { columns($db) };
	subtest $db->flavour . ': partitions' => sub { partitions($db) };
	subtest $db->flavour . ': tables' => sub { tables($db) };
	my $own = Sluice::Db->start($db->flavour, args => [ '--max-allowed-packet=1M', '--wait-timeout=2' ]);
	# As of a client that is not idle.
	$own->sql('SET SESSION wait_timeout = 1000');
	subtest $db->flavour . ': packets' => sub { packets($own) };
	subtest $db->flavour . ': pauses' => sub { pauses($own) };
	$own->kill9;
}

done_testing;
