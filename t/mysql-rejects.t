# Records that do not fit: without -r the first one ends the run, exactly there; with it they are kept in the same
# transaction, shown, and healed by --replay. What never makes a reject: t/mysql-refused.t.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Proxy;
use Sluice::Records;
use Test::More;

# id is the key; n is below 1000, which only the server knows.
my $T = 'id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT, CONSTRAINT small CHECK (n < 1000)';
# What the tool rejects, and what the server does.
my %BAD = (client => '{"n":"many"}', server => '{"n":1000}');
my %SAYS = (client => qr/t\.n: is no number/, server => qr/t: .*small/);

sub upsert
{
	my ($db, $lines, @args) = @_;
	return run('mysql-upsert', $db->args, qw(-T t -k id), @args, { stdin => $lines });
}

sub table
{
	my ($db, $table) = @_;
	$table //= 't';
	return join ' ', map { "$_->[0]=" . ($_->[1] // 'NULL') } $db->sql("SELECT id, n FROM $table ORDER BY id");
}

sub fresh { my ($db, $columns) = @_; $db->database('rejects'); $db->sql('CREATE TABLE t (' . ($columns // $T) . ') DEFAULT CHARSET utf8mb4') }

sub has_table
{
	my ($db, $table) = @_;
	return $db->value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '$table'");
}

sub kept { my ($db) = @_; return has_table($db, 'sluice_rejects') ? $db->value('SELECT COUNT(*) FROM sluice_rejects') : 0 }

# Of those that are kept, as T/0/7 ..
sub places
{
	my ($db) = @_;
	return join ' ', map { join '/', map { $_ // '-' } @$_ } $db->sql('SELECT topic, part, off FROM sluice_rejects ORDER BY topic, part, off, id');
}

sub without_r
{
	my ($db) = @_;
	for my $by (sort keys %BAD) {
		for my $how ([], ['--rows', 1, '-i', 0.001], ['--no-reduce'], ['--partial']) {
			fresh($db);
			my @lines = (record(0, 'a', '{"n":1}'), record(10, 'b', '{"n":2}', partition => 1), record(1, 'c', '{"n":3}'),
			    record(0, 'd', '{"n":4}', partition => 2), record(11, 'a', '{"n":5}', partition => 1),
			    record(2, 'x', $BAD{$by}), record(3, 'e', '{"n":6}'), record(1, 'f', '{"n":7}', partition => 2),
			    record(0, 'g', '{"n":8}', partition => 3));
			my $r = upsert($db, join('', @lines), '-a', @$how);
			my $what = "$by @$how";
			is $r->{exit}, 65, "$what: the first that does not fit ends the run";
			like $r->{err}, qr{^mysql-upsert: stdin:6: T/0: offset 2: $SAYS{$by}}m, '... the message says which, where and why';
			is table($db), 'a=5 b=2 c=3 d=4', '... all before it is applied, nothing after it';
			is positions($db, 't'), 'T/0 2 T/1 12 T/2 1', '... the positions are those of the records before it';
			my %acked = map { ("$_->{mark}{topic}/$_->{mark}{partition}" => $_->{mark}{offset}) } json_lines($r->{out});
			is_deeply \%acked, { 'T/0' => 2, 'T/1' => 12, 'T/2' => 1 }, '... and those are acknowledged';
			is has_table($db, 'sluice_rejects'), 0, '... and none is kept';
			$lines[5] = record(2, 'x', '{"n":9}');
			$r = upsert($db, join '', @lines);
			is "$r->{exit} " . table($db), '0 a=5 b=2 c=3 d=4 e=6 f=7 g=8 x=9', '... once it is mended a rerun does the rest';
		}
		fresh($db);
		my $r = upsert($db, record(0, 'x', $BAD{$by}) . record(1, 'a', '{"n":1}'));
		is "$r->{exit} " . table($db) . positions($db, 't'), '65 ', "$by, the very first: nothing at all";
		fresh($db);
		$r = upsert($db, record(0, 'a', '{"n":1}') . mark(position => 'T', 0, 5) . record(7, 'x', $BAD{$by})
		    . mark(position => 'T', 0, 8) . end_mark());
		is "$r->{exit} " . table($db), '65 a=1', "$by, behind a position mark";
		like positions($db, 't'), qr{^T/0 [1-5]$}, '... the position is not behind what is not applied';
	}
	fresh($db);
	my $r = upsert($db, record(0, 'a', '{"n":1}') . "{\"n\":2}\n" . record(1, 'b', "[1]"));
	like $r->{err}, qr{^mysql-upsert: stdin:2: t\.id: }m, 'a bare object has no offset, the message says the line';
	is "$r->{exit} " . table($db), '65 a=1', '... and what came before it is there';
}

sub with_r
{
	my ($db) = @_;
	fresh($db);
	my @lines = (record(0, 'a', '{"n":1}'), record(1, 'x', $BAD{client}), record(2, 'y', $BAD{server}), record(3, 'b', '{"n":2}'),
	    record(0, 'z', '[1]', partition => 1), record(4, 'c', undef), record(5, 'w', '{"other":1}'));
	my $r = upsert($db, join('', @lines), '-r');
	is $r->{exit}, 1, 'records that do not fit are kept, and the exit status says so';
	like $r->{err}, qr/^mysql-upsert: 7 records in, 2 rows upserted, 1 deleted, 0 skipped, 4 rejected; 1 commit, /m, '... and the summary';
	is table($db), 'a=1 b=2', '... the others are applied';
	is positions($db, 't'), 'T/0 6 T/1 1', '... and the positions are behind all of them';
	is_deeply [ $db->sql('SELECT name, topic, part, off, col, superseded, line FROM sluice_rejects ORDER BY part, off') ],
	    [ [ 't', 'T', 0, 1, 'n', 0, $lines[1] =~ s/\n//r ], [ 't', 'T', 0, 2, undef, 0, $lines[2] =~ s/\n//r ],
	    [ 't', 'T', 0, 5, undef, 0, $lines[6] =~ s/\n//r ], [ 't', 'T', 1, 0, undef, 0, $lines[4] =~ s/\n//r ] ], '... with their place and their line';
	is upsert($db, join('', @lines), '-r')->{exit}, 0, 'a rerun skips them';
	is kept($db), 4, '... and keeps none twice';
	$r = upsert($db, record(6, 'd', '{"n":5}') . "not JSON\n" . record(7, 'e', '{"n":6}'), '-r');
	is "$r->{exit} " . table($db), '65 a=1 b=2 d=5', 'a line that is no record ends the run also with -r';
	$r = upsert($db, record(3, 'd', '{"n":5}', topic => 'U') . record(2, 'e', '{"n":6}', topic => 'U'), '-r');
	is "$r->{exit} " . table($db), '65 a=1 b=2 d=5', 'so do offsets that go back';
	is kept($db), 4, '... and neither makes a reject';

	# sluice_rejects, too, is a table that may refuse.
	fresh($db);
	upsert($db, '', '-r');
	$db->sql('ALTER TABLE sluice_rejects MODIFY reason VARCHAR(4) NOT NULL');
	for my $by (sort keys %BAD) {
		$r = upsert($db, record(0, 'a', '{"n":1}') . record(1, 'x', $BAD{$by}), '-r');
		is "$r->{exit} " . table($db) . kept($db), '65 0', "$by: what sluice_rejects will not have ends the run, and nothing is applied";
		like $r->{err}, qr/too long for column 'reason'/, '... it says so';
	}
	# Names of so many bytes that the server cuts its message short, maybe within a character, which no table takes.
	for my $more (0 .. 2) {
		fresh($db, 'id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT');
		my $euros = 'x' x $more . "\xe2\x82\xac" x (64 - $more);
		$db->sql("CREATE TABLE `\xe2\x82\xac` (`$euros` INT PRIMARY KEY);
			ALTER TABLE t ADD CONSTRAINT `$euros` FOREIGN KEY (n) REFERENCES `\xe2\x82\xac` (`$euros`)");
		$r = upsert($db, record(0, 'a', '{"n":7}'), '-r');
		is $r->{exit}, 1, 'a reason that was cut is kept' or diag $r->{err};
		like $db->value('SELECT reason FROM sluice_rejects'), qr/^t: Cannot add or update a child row/, '... as it is';
	}
}

# What is rejected in one table reaches no other, whichever is written first; nor does what comes behind it.
sub several_tables
{
	my ($db) = @_;
	my $map = tempdir() . '/map.json';
	my $both = sub { run('mysql-upsert', $db->args, '-M', $map, @_) };
	my $lines = record(0, 'a', '{"n":1}') . record(1, 'x', $BAD{server}) . record(2, 'b', '{"n":2}') . record(3, 'a', undef) . record(4, 'c', '{"n":3}');
	spew($map, '{"tables":[{"table":"t","key":["id"]},{"table":"s","key":["id"]},{"table":"u","key":["id"]}]}');
	my $rows = sub { my %rows = map { table($db, $_) => 1 } qw(s t u); return join ' | ', sort keys %rows };
	my $begin = sub { fresh($db); $db->sql("CREATE TABLE $_ (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT)") for qw(s u) };
	for my $how ('', '--no-reduce') {
		my @how = split ' ', $how;
		$begin->();
		is $both->(@how, { stdin => $lines })->{exit} . ' ' . $rows->(), '65 a=1', "nothing of it, nor of what comes behind it $how";
		$begin->();
		is $both->('-r', @how, { stdin => $lines })->{exit} . ' ' . $rows->(), '1 b=2 c=3', "-r: nothing of it, all of the others $how";
	}
	is $both->('--replay')->{exit} . ' ' . $rows->(), '1 b=2 c=3', 'nor when it is replayed in vain';
	unlimit($db);
	is $both->('--replay')->{exit} . ' ' . $rows->(), '0 b=2 c=3 x=1000', 'mended, it is in all of them';
}

# The transaction of rows, positions and rejects: the connection ends at each point of it, and the tool itself.
sub all_or_nothing
{
	my ($db) = @_;
	my $lines = join '', map { record($_, "k$_", $_ % 3 ? "{\"n\":$_}" : $_ % 2 ? $BAD{client} : $BAD{server}) } 0 .. 11;
	my $want = 'k1=1 k10=10 k11=11 k2=2 k4=4 k5=5 k7=7 k8=8';
	my $places = join ' ', map { 'T/0/' . 3 * $_ } 0 .. 3;
	my $proxy = Sluice::Proxy->start($db);
	my %where = (savepoint => qr/^SAVEPOINT/, 'way back' => qr/^ROLLBACK TO/,
	    reject => qr/^INSERT INTO sluice_rejects/, position => qr/^INSERT INTO sluice_positions \(.*last_ts/s, commit => qr/^COMMIT/);
	for my $where (sort keys %where) {
		for my $when ($where =~ /position|commit/ ? qw(before after reply) : qw(before)) {
			fresh($db);
			$proxy->rule($when, $where{$where});
			my $r = run('mysql-upsert', $proxy->args, qw(-r -T t -k id), { stdin => $lines });
			is "$r->{exit} " . table($db), "1 $want", "the connection is lost at the $where, $when: rows";
			is places($db), $places, '... and rejects, each once';
			is positions($db, 't'), 'T/0 12', '... and the position';
		}
		fresh($db);
		my $frozen = sub { $proxy->count->{cuts}{freeze} // 0 };
		my $before = $frozen->();
		$proxy->rule('freeze', $where{$where});
		my $p = spawn('mysql-upsert', $proxy->args, qw(-r -T t -k id), { stdin => $lines });
		wait_until(20, 'the request', sub { $frozen->() > $before });
		kill 'KILL', $p->{pid};
		finish($p);
		$proxy->clear;
		is join('|', table($db), kept($db), positions($db, 't')), '|0|', "the tool is killed at the $where: nothing is there";
		$db->sql("KILL CONNECTION $_->[0]")
		    for $db->sql('SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = DATABASE()');
		is run('mysql-upsert', $db->args, qw(-r -T t -k id), { stdin => $lines })->{exit}, 1, "the tool is killed at the $where; a rerun";
		is join(' ', table($db), places($db), positions($db, 't')), "$want $places T/0 12", '... ends right';
	}
}

# ---- --rejects ----

# The lines stream again: through jq, and through mysql-upsert under another name.
sub printed
{
	my ($db) = @_;
	fresh($db);
	my $odd = "q'\\\"\x01\n\xe2\x82\xac";
	my @lines = (record(0, $odd, $BAD{client}), record(1, 'y', '"text"', more => '"headers":["h",null],'), record(2, 'z', undef),
	    "{}\n", "{ }\n", "{\"n\":\"many\",\"id\":\"bare\"}\n", record(3, 'v', '{"n":1000}', topic => 'A'), record(4, 'a', '{"n":7}'),
	    "{\"topic\":\"K\",\"partition\":0,\"offset\":9,\"tstype\":\"create\",\"ts\":1,\"broker\":1,\"key\":\"k\",\"payload\":\"{\\\"n\\\":[]}\"}\n",
	    "{\"topic\":\"B\",\"partition\":0,\"offset\":1,\"key_enc\":\"base64\",\"key\":\"/w==\",\"payload\":{\"n\":1}}\n");
	my $r = upsert($db, join('', @lines), '-r');
	is $r->{exit}, 1, 'records of all kinds are kept' or diag $r->{err};
	$r = run('mysql-upsert', $db->args, qw(--rejects -T t));
	is $r->{exit}, 0, 'they are printed';
	my $out = $r->{out};
	my @shown = json_lines($out);
	is join(' ', map { join '/', map { $_ // '-' } @$_{qw(topic partition offset)} } @shown),
	    '-/-/- -/-/- -/-/- A/0/3 B/0/1 K/0/9 T/0/0 T/0/1', '... in the order of their offsets';
	is scalar(@shown), 8, '... each on one line that is JSON';
	is scalar(grep { ref $_->{error} eq 'HASH' && exists $_->{error}{column} && length $_->{error}{reason} } @shown), 8,
	    '... with column and reason';
	is pipeline('jq -c .error.reason', stdin => $out)->{exit}, 0, '... jq reads them';
	my ($first) = grep { ($_->{topic} // '') eq 'T' && $_->{offset} == 0 } @shown;
	is_deeply $first, { %{ json($lines[0]) }, error => { column => 'n', reason => 't: is no number' } }, '... a record is as it came';
	$r = run('mysql-upsert', $db->args, qw(-r -N again -T t -k id), { stdin => $out });
	is $r->{exit}, 1, '... mysql-upsert reads them, too' or diag $r->{err};
	is $db->value("SELECT COUNT(*) FROM sluice_rejects WHERE name = 'again'"), 8, '... and they still do not fit';
	$db->sql('ALTER TABLE t DROP CONSTRAINT small') if $db->flavour eq 'mariadb';
	$db->sql('ALTER TABLE t DROP CHECK small') if $db->flavour eq 'mysql';
	$db->sql('ALTER TABLE t MODIFY id VARBINARY(100), MODIFY n VARCHAR(20)');
	$r = run('mysql-upsert', $db->args, qw(-r -N third -T t -k id), { stdin => $out });
	is table($db) =~ s/[^ -~]/?/gr, "a=7 k=[] q'\\\"?????" . '=many v=1000 ?=1', '... until the table is mended' or diag $r->{err};
	is run('mysql-upsert', $db->args, qw(--rejects -N nobody))->{out}, '', 'a name that has none';
	is run('mysql-upsert', $db->args, qw(--rejects -T t), { out => '/dev/full' })->{exit}, 74, 'a full disk is told';
	$db->database('empty');
	$r = run('mysql-upsert', $db->args, qw(--rejects -N t));
	is "$r->{exit} $r->{out}", '0 ', 'without the table there are none';
}

# ---- --replay ----

sub unlimit { my ($db) = @_; $db->sql('ALTER TABLE t DROP ' . ($db->flavour eq 'mysql' ? 'CHECK' : 'CONSTRAINT') . ' small') }

sub replay { my ($db, @args) = @_; return run('mysql-upsert', $db->args, qw(--replay -T t -k id), @args) }

sub replayed
{
	my ($db) = @_;
	fresh($db);
	my $r = upsert($db, join('', record(0, 'a', '{"n":1000}'), record(1, 'b', '{"n":2000}'), record(2, 'c', '{"n":"x"}'),
	    record(3, 'b', '{"n":3}'),
	    record(4, 'a', '{"n":1001}')), '-r', '--no-reduce');
	is "$r->{exit} " . table($db), '1 b=3', 'some do not fit';
	$r = replay($db);
	is "$r->{exit} " . table($db) . ' ' . kept($db), '1 b=3 3', 'nothing is mended: those that do not fit stay, the one that is outdone goes';
	like $r->{err}, qr/^mysql-upsert: 0 rejects applied, 1 passed over: newer rows are there, 3 kept$/m, '... and the tool says so';
	unlimit($db);
	$r = replay($db);
	is "$r->{exit} " . table($db) . ' ' . places($db), '1 a=1001 b=3 T/0/2', 'the schema is mended: of one key the last one stands';
	like $r->{err}, qr/^mysql-upsert: 2 rejects applied, 0 passed over: newer rows are there, 1 kept$/m, '... and the tool says so';
	$db->sql('ALTER TABLE t MODIFY n VARCHAR(9)');
	$r = replay($db, '-q');
	is "$r->{exit} $r->{err}" . table($db) . ' ' . kept($db), '0 a=1001 b=3 c=x 0', 'mended more: all are in';
	is replay($db)->{exit}, 0, 'no rejects, nothing to do';
	# Kept in another order than that of their offsets.
	fresh($db);
	for my $partition (2, 0, 1) {
		upsert($db, join('', map { record($_, 'k' . $_ % 7, "{\"n\":@{[ 1000 * (1 + $partition) + $_ ]}}", partition => $partition) } 0 .. 149),
		    qw(-r --no-reduce));
	}
	is kept($db), 450, 'more rejects than are read at once';
	unlimit($db);
	$r = replay($db);
	is "$r->{exit} " . kept($db), '0 0', '... are all replayed' or diag $r->{err};
	is table($db), join(' ', map { my $k = $_; "k$k=" . (3000 + (grep { $_ % 7 == $k } 0 .. 149)[-1]) } 0 .. 6), '... in offset order';
	is positions($db, 't'), 'T/0 150 T/1 150 T/2 150', 'no position has moved';
}

# Keys of several columns, and keys that the server makes.
sub odd_keys
{
	my ($db) = @_;
	fresh($db, 'id VARCHAR(20) COLLATE utf8mb4_bin, m INT, n INT, PRIMARY KEY (id, m), CONSTRAINT small CHECK (n < 1000)');
	upsert($db, join('', map { record($_, "{\"id\":\"a\",\"m\":$_}", '{"n":1000}') } 0 .. 2), '-r', '-k', 'id,m');
	upsert($db, record(3, '{"id":"a","m":1}', '{"n":5}'), '-k', 'id,m');
	unlimit($db);
	is replay($db, '-k', 'id,m')->{exit}, 0, 'a key of two columns';
	is_deeply [ $db->sql('SELECT m, n FROM t ORDER BY m') ], [ [ 0, 1000 ], [ 1, 5 ], [ 2, 1000 ] ], '... is looked for as a whole';
	fresh($db, 'id INT AUTO_INCREMENT PRIMARY KEY, n INT, CONSTRAINT small CHECK (n < 1000)');
	run('mysql-upsert', $db->args, qw(-r -T t), { stdin => join '', map { record($_, undef, "{\"n\":@{[ 998 + $_ ]}}") } 0 .. 3 });
	is places($db), 'T/0/2 T/0/3', 'a key that the server makes';
	unlimit($db);
	is run('mysql-upsert', $db->args, qw(--replay -T t))->{exit}, 0, '... is none that could be there';
	is join(' ', map { $_->[0] } $db->sql('SELECT n FROM t ORDER BY n')), '998 999 1000 1001', '... all are in';
}

sub lost_while_replaying
{
	my ($db) = @_;
	fresh($db);
	upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'b', '{"n":1001}'), '-r');
	unlimit($db);
	my $proxy = Sluice::Proxy->start($db);
	for my $where ('SELECT 1 FROM .t', 'SAVEPOINT', 'INSERT INTO .t', 'DELETE') {
		$proxy->rule('before', qr/^$where/, nth => 2);
		my $lost = run('mysql-upsert', $proxy->args, qw(--replay -T t -k id));
		is "$lost->{exit} " . table($db) . kept($db), '69 2', "the connection is lost at the second $where: nothing was done" or diag $lost->{err};
	}
	is replay($db)->{exit} . table($db), '0a=1000 b=1001', '... a second try does it';
	$db->database('empty');
	$db->sql("CREATE TABLE t ($T)");
	is replay($db)->{exit}, 0, 'where there never were rejects there is nothing to do';
}

# What is newer stays, by table; --force writes over it; a later record of the key wins also among rejects.
sub newer
{
	my ($db) = @_;
	for my $force (0, 1) {
		fresh($db);
		upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'b', '{"n":1001}') . record(2, 'b', '{"n":1002}'), '-r', '--no-reduce');
		upsert($db, record(3, 'a', '{"n":5}'));
		unlimit($db);
		my $r = replay($db, $force ? '--force' : ());
		is "$r->{exit} " . table($db) . ' ' . kept($db), ($force ? '0 a=1000 b=1002 0' : '0 a=5 b=1002 0'),
		    $force ? '--force writes over newer rows' : 'a newer row stays as it is';
	}
	# One table has the row, the other has not.
	fresh($db);
	$db->sql('CREATE TABLE u (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT)');
	my $map = tempdir() . '/map.json';
	spew($map, '{"tables":[{"table":"t","key":["id"]},{"table":"u","key":["id"]}]}');
	my $both = sub { run('mysql-upsert', $db->args, '-M', $map, @_) };
	is $both->('-r', { stdin => record(0, 'a', '{"n":1000}') })->{exit}, 1, 'a record that one table rejects';
	is table($db) . table($db, 'u'), '', '... reaches none';
	$db->sql("INSERT INTO u VALUES ('a', 5)");
	unlimit($db);
	is $both->('--replay')->{exit}, 0, 'it is replayed';
	is table($db) . ' ' . table($db, 'u'), 'a=1000 a=5', '... table by table, where the key has no row';
	# Keys that the server holds equal.
	fresh($db, 'id VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n INT, CONSTRAINT small CHECK (n < 1000)');
	upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'B', '{"n":1001}') . record(2, 'b', '{"n":1002}'), '-r', '--no-reduce');
	upsert($db, record(3, 'A', '{"n":5}'));
	unlimit($db);
	is replay($db)->{exit} . lc table($db), '0a=5 b=1002', 'keys are compared as the server compares them';
	# Merged, not replaced.
	fresh($db, 'id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT, m INT, CONSTRAINT small CHECK (n < 1000)');
	upsert($db, record(0, 'a', '{"n":1000,"m":1}') . record(1, 'a', '{"n":1001}'), '-r', '--partial', '--no-reduce');
	unlimit($db);
	is replay($db, '--partial')->{exit}, 0, '--partial';
	is_deeply [ $db->sql('SELECT * FROM t') ], [ [ 'a', 1001, 1 ] ], '... leaves absent members as the older reject had them';
}

# A tombstone behind a reject, wherever it comes, and tombstones that are rejects themselves.
sub deleted
{
	my ($db) = @_;
	for my $way ('one window', 'two windows', 'two runs', 'a run without -r') {
		fresh($db);
		my ($bad, $later) = (record(0, 'a', '{"n":1000}') . record(1, 'b', '{"n":1000}') . record(2, 'c', '{"n":"x"}'),
		    record(3, 'a', undef) . record(4, 'c', undef) . record(5, 'd', '{"n":1}'));
		my @windows = $way eq 'one window' ? () : (qw(--rows 1 -i 0.001));
		if ($way =~ /run/) {
			upsert($db, $bad, '-r', @windows);
			is upsert($db, $later, $way eq 'two runs' ? '-r' : ())->{exit}, 0, "$way: the keys are deleted later";
		} else {
			is upsert($db, $bad . $later, '-r', @windows)->{exit}, 1, "$way: the keys are deleted later";
		}
		is join(' ', map { $_->{key} } rejects($db, 't')), 'b', '... --rejects leaves them out';
		unlimit($db);
		$db->sql('ALTER TABLE t MODIFY n VARCHAR(9)');
		is replay($db, '--force')->{exit} . ' ' . table($db), '0 b=1000 d=1', '... and they stay away from --replay';
	}
	# The other way round: deleted first.
	fresh($db);
	upsert($db, record(0, 'a', undef) . record(1, 'a', '{"n":1000}'), '-r');
	is join(' ', map { $_->{key} } rejects($db, 't')), 'a', 'a record after the tombstone is not outdated by it';
	# In the same offset range of another partition, and another topic.
	fresh($db);
	upsert($db, record(0, 'a', '{"n":"x"}') . record(1, 'a', undef, partition => 1) . record(1, 'a', undef, topic => 'U'), '-r');
	is join(' ', map { $_->{key} } rejects($db, 't')), 'a', 'nor is one of another partition or topic';

	# Nor of another window of the same key.
	fresh($db, 'id VARCHAR(20) COLLATE utf8mb4_bin, start BIGINT, n INT, PRIMARY KEY (id, start)');
	my $map = tempdir() . '/map.json';
	spew($map, '{"tables":[{"table":"t","key":["id"],"columns":{"id":"@key","start":"@window.start"}}]}');
	my @window = map { { more => "\"window_enc\":\"time\",\"window\":{\"start\":$_,\"end\":@{[ $_ + 5 ]}}," } } 5, 10;
	my $r = run('mysql-upsert', $db->args, '-r', '-M', $map, { stdin => record(0, 'a', '{"n":"x"}', %{ $window[0] })
		. record(1, 'a', '{"n":"x"}', %{ $window[1] }) . record(2, 'a', undef, %{ $window[1] }) });
	is "$r->{exit} " . places($db), '1 T/0/0 T/0/1', 'two windows of a key' or diag $r->{err};
	is join(' ', map { $_->{window}{start} } rejects($db, 't')), 5, '... of which one is deleted';

	# Nor by a tombstone that has no key, where the row is known by other things.
	fresh($db, 'topic VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, k VARCHAR(20), n INT');
	spew($map, '{"tables":[{"table":"t","key":["k"],"columns":{"topic":"@topic"}}]}');
	$r = run('mysql-upsert', $db->args, '-r', '-M', $map, { stdin => record(0, 'a', '{"n":1}') . record(1, 'a', '{"n":"x"}') . record(2, undef, undef) });
	is "$r->{exit} " . $db->value('SELECT COUNT(*) FROM t'), '1 0', 'a tombstone without a key' or diag $r->{err};
	is join(' ', map { $_->{offset} } rejects($db, 't')), 1, '... outdates nothing';

	# Without -k a tombstone does not say which row.
	fresh($db);
	$r = run('mysql-upsert', $db->args, qw(-r -T t), { stdin => record(0, 'a', '{"id":"a","n":1}') . record(1, 'a', undef) });
	is "$r->{exit} " . table($db), '1 a=1', 'a tombstone without -k is a reject';
	like +(rejects($db, 't'))[0]{error}{reason}, qr/tombstone/, '... and says so';
	is +(rejects($db, 't'))[0]{payload_enc}, 'none', '... and is shown as a tombstone';

	# A row with children: the server does not let it go.
	fresh($db);
	$db->sql('CREATE TABLE child (t VARCHAR(20) COLLATE utf8mb4_bin, FOREIGN KEY (t) REFERENCES t (id))');
	upsert($db, record(0, 'a', '{"n":1}') . record(1, 'b', '{"n":1}'));
	$db->sql("INSERT INTO child VALUES ('a'), ('b')");
	$r = upsert($db, record(2, 'a', undef) . record(3, 'b', undef) . record(4, 'b', '{"n":4}') . record(5, 'e', '{"n":1000}')
	    . record(6, 'c', '{"n":6}'), '-r');
	is "$r->{exit} " . table($db) . ' ' . places($db), '1 a=1 b=4 c=6 T/0/2 T/0/3 T/0/5', 'a tombstone that the server refuses is a reject';
	is $r = upsert($db, record(7, 'a', undef), '-N', 'other')->{exit}, 65, '... without -r it ends the run';
	$db->sql('DELETE FROM child');
	$r = replay($db);
	is "$r->{exit} " . table($db) . ' ' . places($db), '1 a=1 b=4 c=6 T/0/2 T/0/3 T/0/5',
	    'while the row is there --replay does not know whether it is newer';
	$r = run('mysql-upsert', $db->args, qw(--replay --force -T t -k id));
	is table($db) . ' ' . places($db), 'c=6 T/0/5', '... --force deletes it';

	# A tombstone that --replay applies outdates older rejects, those that it cannot apply yet, too.
	fresh($db);
	$db->sql('CREATE TABLE child (t VARCHAR(20) COLLATE utf8mb4_bin, FOREIGN KEY (t) REFERENCES t (id))');
	upsert($db, record(0, 'a', '{"n":1}'));
	$db->sql("INSERT INTO child VALUES ('a')");
	upsert($db, record(1, 'a', '{"n":1000}') . record(2, 'a', undef), '-r', '--no-reduce');
	is places($db), 'T/0/1 T/0/2', 'a reject and its tombstone, a reject too';
	is join(' ', map { $_->{offset} } rejects($db, 't')), '1 2', '... which has deleted nothing, so nothing is outdated';
	$db->sql('DELETE FROM child');
	replay($db, '--force');
	unlimit($db);
	is replay($db)->{exit} . table($db), '0', '... deleted is deleted';
	# And among rejects: first a row, then its tombstone.
	fresh($db);
	run('mysql-upsert', $db->args, qw(-r -T t), { stdin => record(0, 'a', '{"id":"a","n":1000}') . record(1, 'a', undef) });
	is places($db), 'T/0/0 T/0/1', 'a reject and a tombstone that did not say what it deletes';
	unlimit($db);
	is replay($db)->{exit} . table($db) . kept($db), '00', '... in offset order they come to nothing';
}

# What the server rejects of a key gives way to the record before it, whatever else is in the window.
sub gives_way
{
	my ($db) = @_;
	my @cases = (
		[ 'a value', 'a=2', record(0, 'a', '{"n":1}'), record(1, 'a', '{"n":2}'), record(2, 'a', '{"n":1000}') ],
		[ 'two of them', 'a=1 b=7', record(0, 'a', '{"n":1}'), record(1, 'a', '{"n":2000}'), record(2, 'b', '{"n":7}'),
		    record(3, 'a', '{"n":1000}') ],
		[ 'behind a tombstone', '', record(0, 'a', '{"n":1}'), record(1, 'a', undef), record(2, 'a', '{"n":1000}') ],
		[ 'the client', 'a=1', record(0, 'a', '{"n":1}'), record(1, 'a', '{"n":"x"}') ],
		[ 'another partition', 'a=1', record(0, 'a', '{"n":1}'), record(0, 'a', '{"n":1000}', partition => 1) ],
	);
	for (@cases) {
		my ($what, $want, @lines) = @$_;
		for my $how ([], ['--no-reduce']) {
			fresh($db);
			is upsert($db, join('', @lines), '-r', @$how)->{exit}, 1, "$what @$how";
			is table($db), $want, '... gives way to the one before';
			fresh($db);
			is upsert($db, join('', @lines), @$how)->{exit}, 65, "$what @$how, without -r";
			is table($db), $what =~ /two/ ? 'a=1' : $want, '... too';
		}
	}
	fresh($db);
	my $r = upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'a', '{"n":1}'));
	is "$r->{exit} " . table($db), '0 a=1', 'one that is superseded in its window is not judged';
	fresh($db);
	is upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'a', '{"n":1}'), '--no-reduce')->{exit}, 65, '... but with --no-reduce';
	fresh($db);
	is upsert($db, record(0, 'a', '{"n":"x"}') . record(1, 'a', '{"n":1}'))->{exit}, 65, '... and by the tool in any case';
	# Thousands, of which a few are bad.
	fresh($db);
	my $lines = join '', map { record($_, 'k' . $_ % 700, $_ % 997 ? "{\"n\":@{[ $_ % 1000 ]}}" : '{"n":1000}') } 0 .. 4999;
	$r = upsert($db, $lines, '-r', '--no-reduce');
	is $r->{exit}, 1, 'a few among thousands';
	is places($db), join(' ', map { "T/0/$_" } grep { $_ % 997 == 0 } 0 .. 4999), '... are found';
	my %last = map { $_ % 997 ? ('k' . $_ % 700 => $_ % 1000) : () } 0 .. 4999;
	is table($db), join(' ', map { "$_=$last{$_}" } sort keys %last), '... and only they are left out';
}

# ---- beside a run ----

sub beside_a_run
{
	my ($db) = @_;
	fresh($db);
	upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'b', '{"n":1}'), '-r');
	unlimit($db);
	# A run is in the middle of a transaction that writes the key of the reject: it holds the position, and waits for a row.
	my $blocker = $db->session;
	$blocker->sql("BEGIN; SELECT * FROM t WHERE id = 'b' FOR UPDATE");
	my $run = spawn('mysql-upsert', $db->args, qw(-T t -k id --no-reduce), { stdin => record(2, 'a', '{"n":7}') . record(3, 'b', '{"n":8}') });
	$db->wait_for_lock(1);
	my $replay = spawn('mysql-upsert', $db->args, qw(--replay -T t -k id));
	$db->wait_for_lock(2);
	is table($db) . kept($db), 'b=11', 'while a run writes, --replay waits';
	$blocker->sql('ROLLBACK');
	is finish($run)->{exit}, 0, 'the run ends';
	is finish($replay)->{exit}, 0, '... and then the replay';
	is table($db) . ' ' . kept($db), 'a=7 b=8 0', '... which leaves the newer row';

	# The other way round: the replay holds the positions, and the run waits.
	fresh($db);
	upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'c', '{"n":1000}'), '-r');
	unlimit($db);
	$blocker = $db->session;
	$blocker->sql("BEGIN; INSERT INTO t VALUES ('c', 0)");
	$replay = spawn('mysql-upsert', $db->args, qw(--replay -T t -k id));
	$db->wait_for_lock(1);
	$run = spawn('mysql-upsert', $db->args, qw(-T t -k id), { stdin => record(2, 'a', '{"n":7}') });
	$db->wait_for_lock(2);
	$blocker->sql('ROLLBACK');
	is finish($replay)->{exit} . finish($run)->{exit}, '00', 'while --replay writes, a run waits';
	is table($db) . ' ' . kept($db), 'a=7 c=1000 0', '... and its rows are the newer ones';

	# Both have what the other wants: the replay, which has written less, is done again.
	fresh($db);
	upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'c', '{"n":1000}'), '-r');
	unlimit($db);
	$blocker = $db->session;
	$blocker->sql("BEGIN; INSERT INTO t VALUES ('c', 0), " . join ', ', map { "('y$_', 0)" } 1 .. 100);
	$replay = spawn('mysql-upsert', $db->args, qw(-v --replay -T t -k id));
	$db->wait_for_lock(1);
	$blocker->sql("INSERT INTO t VALUES ('aa', 0); DELETE FROM t WHERE id LIKE 'y%'; COMMIT");
	my $r = finish($replay);
	is "$r->{exit} " . table($db), '0 a=1000 aa=0 c=0', 'a deadlock is tried again';
	like $r->{err}, qr/trying again/, '... and -v says so';

	# Whoever cannot have the positions in time gives up, and has done nothing.
	fresh($db);
	upsert($db, record(0, 'a', '{"n":1000}'), '-r');
	unlimit($db);
	$blocker = $db->session;
	$blocker->sql('BEGIN; SELECT * FROM sluice_positions FOR UPDATE');
	my $impatient = $db->option_file('init-command' => 'SET innodb_lock_wait_timeout=1');
	$r = run('mysql-upsert', '--defaults-file', $impatient, '-D', $db->{database}, qw(--replay -T t -k id --timeout 1));
	is "$r->{exit} " . kept($db) . table($db), '75 1', '... or gives up with 75, and has done nothing';
	$blocker->sql('ROLLBACK');

	# A record of a partition that is new to the name, or of none, has no position to wait for: it stays the newer one all the same.
	my %lines = ('a new partition' => record(0, 'a', '{"n":7}', partition => 1), 'a bare object' => "{\"id\":\"a\",\"n\":7}\n");
	for my $way (sort keys %lines) {
		fresh($db);
		upsert($db, record(0, 'a', '{"n":1000}') . record(1, 'c', '{"n":1000}'), '-r');
		unlimit($db);
		$blocker = $db->session;
		$blocker->sql("BEGIN; INSERT INTO t VALUES ('c', 0)");
		$replay = spawn('mysql-upsert', $db->args, qw(--replay -T t -k id));
		$db->wait_for_lock(1);
		$run = spawn('mysql-upsert', $db->args, '-T', 't', $way =~ /bare/ ? () : qw(-k id), { stdin => $lines{$way} });
		$db->wait_for_lock(2);
		$blocker->sql('ROLLBACK');
		is finish($replay)->{exit} . finish($run)->{exit} . ' ' . table($db), '00 a=7 c=1000', "$way waits for --replay, and is newer";
	}
}

my %PARTS = ('without -r' => \&without_r, 'with -r' => \&with_r, 'several tables' => \&several_tables, 'odd keys' => \&odd_keys,
	'lost while replaying' => \&lost_while_replaying, 'in one transaction' => \&all_or_nothing, '--rejects' => \&printed,
	'--replay' => \&replayed, 'newer rows' => \&newer, 'deleted keys' => \&deleted, 'the last of a key' => \&gives_way,
	'beside a run' => \&beside_a_run);

for my $db (Sluice::Db::servers()) {
	for my $part (sort keys %PARTS) {
		subtest $db->flavour . ": $part" => sub { $PARTS{$part}->($db) };
	}
}

done_testing;
