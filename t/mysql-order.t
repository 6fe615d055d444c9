# However mysql-upsert groups, sorts and reduces what it is given: the tables end as if each record had been written alone.
# Random streams by t/tool/order.c, which says how they are compared; then the cases that somebody would ask about.
#
# A seed that fails is repeated, and shown, by: order --defaults-file FILE -D NAME --seed N --streams 1 --verbose

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;
use Time::HiRes qw(time);

my @servers = Sluice::Db::servers();

# ---- random streams, on all servers at once ----

my $streams = $ENV{SLUICE_LONG} ? 100_000 : $BUILD =~ /san-/ ? 500 : 2_000;
my $seed = $ENV{SLUICE_SEED} // int(time * 1000) % 1_000_000_000;
my %running = map {
	$_->database('order');
	($_->flavour => spawn("$BUILD/t/tool/order", $_->args, '--seed', $seed, '--streams', $streams));
} @servers;

for my $db (@servers) {
	subtest $db->flavour . ": $streams random streams from seed $seed on" => sub {
		my $r = finish($running{ $db->flavour }, $ENV{SLUICE_LONG} ? 14_400 : 600);
		is $r->{err}, '', 'nothing to complain about';
		my ($report, $ran) = ('', 0);
		for my $line (split /\n/, $r->{out}) {
			if ($line =~ /^(not )?ok (\d+) streams: (.*)/) {
				$ran += $2;
				ok !$1, "$3 ($2 streams)" or $report .= "$3:\n";
			} else {
				$report .= "$line\n";
			}
		}
		diag $report if $report;
		is $r->{exit}, 0, 'all are the same';
		is $ran, $streams, 'and all were tried';
		note sprintf '%s: %d random streams in %.0f s', $db->flavour, $ran, $r->{sec};
	};
}

# ---- cases ----

my $topics = 0;

# Records of one topic: [ key, payload ], no payload: a tombstone. Their offsets are their places.
sub stream
{
	my @records = @_;
	my $topic = 'T' . $topics++;
	my $offset = 0;
	my $lines = join '', map {
		my ($key, $payload, $of) = @$_;
		to_json({ topic => $of // $topic, partition => 0, offset => $offset++, ts => 1763697600000, key => $key,
			ref $key ? (key_enc => 'json') : (), payload => $payload, $payload ? () : (payload_enc => 'none') }) . "\n";
	} @records;
	utf8::encode($lines);
	return $lines;
}

# In one window, unless the arguments say otherwise.
sub load
{
	my ($db, $what, $records, @args) = @_;
	my $r = run('mysql-upsert', $db->args, '-q', '-i', 60, '-T', 't', '-k', 'k', @args, { stdin => stream(@$records) });
	my $exit = (grep { $_ eq '-r' } @args) ? $r->{exit} & ~1 : $r->{exit};
	is $exit, 0, "$what is loaded" or diag $r->{err};
	return $r;
}

# Rows as people read them.
sub rows { my ($db, $sql) = @_; return join ', ', map { join ' ', map { $_ // 'NULL' } @$_ } $db->sql($sql) }

sub fresh
{
	my ($db, @tables) = @_;
	$db->database('order');
	$db->sql($_) for @tables;
}

# Every sequence of up to four of these: two upserts and a tombstone.
sub sequences
{
	my @all = ('');
	my @longer = @all;
	for (1 .. 4) {
		@longer = map { my $s = $_; map { $s . $_ } qw(x y -) } @longer;
		push @all, @longer;
	}
	return grep { length } @all;
}

# Each with a key of its own, all of them interleaved, so that one window has them all.
sub interleaved
{
	my ($key, @sequences) = @_;
	my @records;
	for my $step (0 .. 3) {
		for my $s (grep { $step < length } @sequences) {
			my $do = substr $s, $step, 1;
			push @records, [ $key->($s), $do eq '-' ? undef : { v => $do, step => $step } ];
		}
	}
	return @records;
}

# A row is what came last; nothing after a tombstone.
sub outcome
{
	return map { [ $_, substr($_, -1), length() - 1 ] } grep { !/-$/ } @_;
}

for my $db (@servers) {
	my $on = $db->flavour;

	subtest "$on: delete and insert of one key within a window, in every order" => sub {
		my @sequences = sequences();
		my @want = sort map { "$_->[0] $_->[1] $_->[2]" } outcome(@sequences);
		my %types = (
			'a _bin key' => 'VARCHAR(8) COLLATE utf8mb4_bin',
			'a key of the default collation' => 'VARCHAR(8)',
			'a binary key' => 'VARBINARY(8)',
		);
		for my $type (sort keys %types) {
			for my $args ([], ['--no-reduce'], ['--partial'], [ '--rows', 1 ]) {
				for my $before ('no rows', 'rows') {
					fresh($db, "CREATE TABLE t (k $types{$type} PRIMARY KEY, v VARCHAR(8), step INT) CHARACTER SET utf8mb4");
					$db->sql('INSERT INTO t VALUES ' . join ', ', map { "('$_', 'before', NULL)" } @sequences)
					    if $before eq 'rows';
					my $what = join ' ', $type, @$args, "with $before before";
					load($db, $what, [ interleaved(sub { $_[0] }, @sequences) ], @$args);
					is_deeply [ sort map { join ' ', @$_ } $db->sql('SELECT k, v, step FROM t') ], \@want, $what;
				}
			}
		}
	};

	subtest "$on: keys whose bytes differ and that the server holds equal" => sub {
		my @spellings = ('Zoe', "Zo\x{eb}", 'ZOE', 'zoe');
		for my $args ([], ['--no-reduce'], ['--partial']) {
			fresh($db, 'CREATE TABLE t (k VARCHAR(8) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)');
			load($db, 'spellings', [ map { [ $spellings[ $_ % 4 ], { v => $_ } ] } 0 .. 9 ], @$args);
			is rows($db, 'SELECT v FROM t'), '9', "one row, the last one wins (@$args)";
			load($db, 'a tombstone', [ [ 'zOe', { v => 10 } ], ['ZOE'] ], @$args);
			is rows($db, 'SELECT v FROM t'), '', "a tombstone of another spelling deletes it (@$args)";
		}
		fresh($db, 'CREATE TABLE t (k VARCHAR(8) COLLATE utf8mb4_bin PRIMARY KEY, v INT)');
		load($db, '_bin', [ map { [ $spellings[ $_ % 4 ], { v => $_ } ] } 0 .. 9 ]);
		is rows($db, 'SELECT v FROM t ORDER BY v'), '6, 7, 8, 9', '_bin: four rows';
		load($db, 'blanks', [ [ 'zoe  ', { v => 11 } ], [ 'zoe ', { v => 12 } ] ]);
		is rows($db, 'SELECT v FROM t ORDER BY v'), '6, 8, 9, 12', 'but blanks at the end do not count, as it pads';
		my $nopad = $on eq 'mysql' ? 'utf8mb4_0900_bin' : 'utf8mb4_nopad_bin';
		fresh($db, "CREATE TABLE t (k VARCHAR(8) COLLATE $nopad PRIMARY KEY, v INT)");
		load($db, 'blanks', [ [ 'zoe', { v => 11 } ], [ 'zoe ', { v => 12 } ] ]);
		is rows($db, 'SELECT v FROM t ORDER BY v'), '11, 12', "$nopad: they do";
		fresh($db, "CREATE TABLE t (k CHAR(8) COLLATE $nopad PRIMARY KEY, v INT)");
		load($db, 'blanks', [ [ 'zoe', { v => 11 } ], [ 'zoe ', { v => 12 } ], ['zoe  '], [ 'zoe   ', { v => 13 } ] ]);
		is rows($db, 'SELECT v FROM t ORDER BY v'), '13', "CHAR, $nopad: not in a CHAR";
		load($db, 'a tombstone', [ ['zoe '] ]);
		is rows($db, 'SELECT v FROM t'), '', 'nor for a tombstone';
		fresh($db, 'CREATE TABLE t (k BINARY(4) PRIMARY KEY, v INT)');
		load($db, 'BINARY', [ [ 'zoe', { v => 1 } ], [ "zoe\0", { v => 2 } ], [ 'zo', { v => 3 } ], ["zo\0\0"] ]);
		is rows($db, 'SELECT HEX(k), v FROM t'), '7A6F6500 2', 'BINARY is padded with NUL, also in a tombstone';
		fresh($db, 'CREATE TABLE t (k DECIMAL(6,2) PRIMARY KEY, v INT)');
		load($db, 'DECIMAL', [ [ '1', { v => 1 } ], [ '1.0', { v => 2 } ], [ '1e0', { v => 3 } ], [ '10', { v => 4 } ], ['1e1'] ]);
		is rows($db, 'SELECT k, v FROM t'), '1.00 3', '1, 1.0 and 1e0 are one key';
	};

	subtest "$on: keys of several columns" => sub {
		my @pairs = ([ 'a', 'bc' ], [ 'ab', 'c' ], [ 'abc', '' ], [ '', 'abc' ], [ "a\0", 'bc' ], [ 'a', "\0bc" ]);
		my $pair = sub { return { k => $_[0][0], l => $_[0][1] } };
		fresh($db, 'CREATE TABLE t (l VARCHAR(8), k VARCHAR(8), v INT, PRIMARY KEY (k, l)) COLLATE utf8mb4_bin');
		load($db, 'pairs', [ map { [ $pair->($pairs[ $_ % 6 ]), { v => $_ } ] } 0 .. 17 ], '-k', 'k,l');
		is rows($db, 'SELECT v FROM t ORDER BY v'), '12, 13, 14, 15, 16, 17', 'parts do not run together';
		load($db, 'tombstones', [ map { [ $pair->($pairs[$_]) ] } 1, 4 ], '-k', 'k,l');
		is rows($db, 'SELECT v FROM t ORDER BY v'), '12, 14, 15, 17', 'nor in tombstones';
	};

	subtest "$on: duplicates within and across statements and windows" => sub {
		my @records = map { [ 'k' . $_ % 1300, { v => $_ } ] } 0 .. 4999;
		for my $type ('VARCHAR(8) COLLATE utf8mb4_bin', 'VARCHAR(8) COLLATE utf8mb4_general_ci') {
			for my $args ([], ['--no-reduce'], [ '--rows', 700 ]) {
				fresh($db, "CREATE TABLE t (k $type PRIMARY KEY, v INT)");
				load($db, "$type @$args", \@records, @$args);
				is rows($db, "SELECT COUNT(*), MIN(v), MAX(v), SUM(CONCAT('k', v % 1300) = k) FROM t"), '1300 3700 4999 1300',
				    "$type @$args: the last of each";
			}
		}
	};

	subtest "$on: columns that records leave alone" => sub {
		my $table = 'CREATE TABLE t (k INT PRIMARY KEY, v INT, w INT DEFAULT 7, '
		    . "created_at DATETIME DEFAULT CURRENT_TIMESTAMP, KEY (created_at))";
		my $old = '2000-01-01T00:00:00Z';
		my $kept = "SELECT k, v, w, created_at = '2000-01-01' FROM t ORDER BY k";
		for my $args ([], ['--no-reduce']) {
			fresh($db, $table);
			load($db, 'records', [ [ 1, { v => 1, w => 1, created_at => $old } ], [ 1, { v => 2 } ],
				[ 2, { v => 1, w => 1, created_at => $old } ], [2], [ 2, { v => 2 } ] ], @$args);
			is rows($db, $kept), '1 2 7 1, 2 2 7 0', "created_at stays, until a tombstone: @$args";
			load($db, 'later', [ [ 1, { v => 3 } ], [2], [ 2, { v => 3, created_at => $old } ], [ 2, { v => 4 } ] ], @$args);
			is rows($db, $kept), '1 3 7 1, 2 4 7 1', "also in the next window: @$args";
		}
	};

	subtest "$on: --partial" => sub {
		for my $args ([], ['--no-reduce']) {
			fresh($db, 'CREATE TABLE t (k INT PRIMARY KEY, a INT, b INT DEFAULT 7, c INT)');
			load($db, 'parts', [ [ 1, { a => 1 } ], [ 1, { b => 1 } ], [ 1, { a => 2 } ], [ 2, { c => 1 } ],
				[ 3, { a => 1, b => 1, c => 1 } ], [3], [ 3, { a => 2 } ], [ 3, { c => undef } ] ], '--partial', @$args);
			is rows($db, 'SELECT * FROM t ORDER BY k'), '1 2 1 NULL, 2 NULL 7 1, 3 2 7 NULL', "merged, but not across a tombstone: @$args";
			load($db, 'more', [ [ 1, { c => 5 } ], [2], [ 2, { a => 5 } ], [3], [ 1, { b => undef } ] ], '--partial', @$args);
			is rows($db, 'SELECT * FROM t ORDER BY k'), '1 2 NULL 5, 2 5 7 NULL', "into rows that are there: @$args";
		}
	};

	subtest "$on: deletes that change other tables" => sub {
		for my $rule ('CASCADE', 'SET NULL') {
			fresh($db, 'CREATE TABLE t (k INT PRIMARY KEY, v INT)',
				"CREATE TABLE c (k INT PRIMARY KEY, r INT NULL, FOREIGN KEY (r) REFERENCES t (k) ON DELETE $rule)");
			load($db, 'parents', [ [ 1, { v => 1 } ], [ 2, { v => 1 } ] ]);
			$db->sql('INSERT INTO c VALUES (1, 1), (2, 2)');
			load($db, 'a parent that goes and comes again', [ [ 1, { v => 2 } ], [1], [ 1, { v => 3 } ] ]);
			is rows($db, 'SELECT * FROM t ORDER BY k'), '1 3, 2 1', "$rule: the parent is there";
			is rows($db, 'SELECT * FROM c ORDER BY k'), $rule eq 'CASCADE' ? '2 2' : '1 NULL, 2 2', "$rule: its child has felt it";
		}
		fresh($db, 'CREATE TABLE t (k INT PRIMARY KEY, v INT NULL, FOREIGN KEY (v) REFERENCES t (k))');
		load($db, 'a tree', [ [ 3, {v => undef} ], [ 1, { v => 3 } ] ]);
		load($db, 'parent, then child', [ [3], [1] ], '-r');
		is rows($db, 'SELECT * FROM t'), '3 NULL', 'a table that refers to itself: a parent cannot go before its child';
		load($db, 'child, then parent', [ [ 1, { v => 3 } ], [1], [3] ]);
		is rows($db, 'SELECT * FROM t'), '', 'but after it';
	};

	subtest "$on: parents and children of one mapping" => sub {
		my $mapping = tempdir() . '/mapping.json';
		spew($mapping, to_json({ tables => [
			{ table => 'c', key => ['k'], topics => ['C'] }, { table => 'p', key => ['k'], topics => ['P'] } ] }));
		my @tables = ('CREATE TABLE p (k INT PRIMARY KEY, v INT)',
			'CREATE TABLE c (k INT PRIMARY KEY, r INT, FOREIGN KEY (r) REFERENCES p (k))');
		my $both = 'SELECT p.k, c.k FROM p LEFT JOIN c ON c.r = p.k ORDER BY p.k, c.k';
		my @child_first = ([ 1, { r => 5 }, 'C' ], [ 5, { v => 1 }, 'P' ], [ 2, { r => 5 }, 'C' ]);
		for my $args ([], ['--no-reduce']) {
			fresh($db, @tables);
			my $r = run('mysql-upsert', $db->args, '-q', '-i', 60, '-r', '-M', $mapping, @$args, { stdin => stream(@child_first) });
			is_deeply [ $r->{exit}, rows($db, $both) ], @$args ? [ 1, '5 2' ] : [ 0, '5 1, 5 2' ],
			    @$args ? '--no-reduce: a child that comes before its parent is a reject' : 'reduced: not if they share a window';
			$r = run('mysql-upsert', $db->args, '-q', '-i', 60, '-r', '-M', $mapping, '-N', 'again', @$args,
				{ stdin => stream([ 5, undef, 'P' ], [ 1, undef, 'C' ], [ 2, undef, 'C' ]) });
			is_deeply [ $r->{exit}, rows($db, $both) ], @$args ? [ 1, '5 NULL' ] : [ 0, '' ],
			    @$args ? '--no-reduce: so is a parent that goes before its children' : 'reduced: nor so';
		}
	};

	subtest "$on: what only the server rejects" => sub {
		my $table = 'CREATE TABLE t (k INT PRIMARY KEY, v INT CHECK (v <> 13))';
		my $offsets = 'SELECT off FROM sluice_rejects ORDER BY off';
		my @records = ([ 1, { v => 1 } ], [ 1, { v => 13 } ], [ 1, { v => 2 } ], [ 2, { v => 1 } ], [ 2, { v => 2 } ],
			[ 2, { v => 13 } ], [ 3, { v => 13 } ], [3], [ 4, { v => 1 } ], [4], [ 4, { v => 13 } ]);
		fresh($db, $table);
		load($db, 'records', \@records, '-r');
		is rows($db, 'SELECT * FROM t ORDER BY k'), '1 2, 2 2', 'gives way to the record before';
		is rows($db, $offsets), '1, 5, 6, 10', 'then all of the window are judged';
		fresh($db, $table);
		load($db, 'records', [ @records[ 0 .. 4, 6, 7 ] ], '-r');
		is rows($db, 'SELECT * FROM t ORDER BY k'), '1 2, 2 2', 'superseded: the same rows';
		is rows($db, $offsets), '', 'and nobody has judged what nobody sent';
		fresh($db, $table);
		load($db, 'records', [ @records[ 0 .. 4, 6, 7 ] ], '-r', '--no-reduce');
		is rows($db, 'SELECT * FROM t ORDER BY k'), '1 2, 2 2', '--no-reduce: the same rows';
		is rows($db, $offsets), '1, 5', '--no-reduce: but all were judged';
	};

	# Done again in groups of 1,000 records.
	subtest "$on: a few rejects among thousands of records" => sub {
		my @bad = (0, 7, 998, 999, 1000, 1001, 1999, 2500, 2599);
		my %bad = map { $_ => 1 } @bad;
		for my $args ([], ['--no-reduce']) {
			fresh($db, 'CREATE TABLE t (k INT PRIMARY KEY, v INT CHECK (v >= 0))');
			load($db, 'records', [ map { [ $_, { v => $bad{$_} ? -1 : $_ } ] } 0 .. 2599 ], '-r', @$args);
			is rows($db, 'SELECT COUNT(*), SUM(k = v) FROM t'), '2591 2591', "the others are in: @$args";
			is rows($db, 'SELECT off FROM sluice_rejects ORDER BY off'), join(', ', @bad), "exactly these are rejects: @$args";
			my $r = run('mysql-upsert', $db->args, '-q', '-i', 60, '-T', 't', '-k', 'k', '-N', 'strict', @$args,
				{ stdin => stream(map { [ $_ + 10_000, { v => $_ == 1500 ? -1 : $_ } ] } 0 .. 2599) });
			is $r->{exit}, 65, "without -r the first ends the run: @$args";
			is rows($db, 'SELECT COUNT(*), MAX(k) FROM t WHERE k >= 10000'), '1500 11499', "after what came before: @$args";
		}
	};

	subtest "$on: keys that the server makes, and other unique keys" => sub {
		fresh($db, 'CREATE TABLE t (k INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(8))');
		my $bare = join '', map { "{\"v\":\"$_\"}\n" } qw(a b a c b);
		is run('mysql-upsert', $db->args, '-q', '-T', 't', { stdin => $bare })->{exit}, 0, 'bare objects';
		is rows($db, 'SELECT v FROM t ORDER BY k'), 'a, b, a, c, b', 'each is a row, in their order';
		fresh($db, 'CREATE TABLE t (k INT PRIMARY KEY, v INT, mail VARCHAR(8) UNIQUE)');
		load($db, 'records', [ [ 1, { v => 1, mail => 'a' } ], [ 2, { v => 2, mail => 'a' } ], [ 3, { v => 3, mail => 'b' } ], [1] ],
			'--any-unique');
		is rows($db, 'SELECT * FROM t'), '3 3 b', '--any-unique: as the server does it, one by one';
	};
}

done_testing;
