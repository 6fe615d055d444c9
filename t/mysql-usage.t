# How mysql-upsert is called and what it says: options that do not go together, -n and -Q, progress and summary, signals,
# and the exit status of each way out. What all tools have in common: t/tools.t.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Proxy;
use Sluice::Records;
use Test::More;
use Time::HiRes qw(sleep);

my $T = 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT, CONSTRAINT small CHECK (n < 1000))';

sub fresh { my ($db) = @_; $db->database('usage'); $db->sql("CREATE TABLE $T") }

sub upsert { my ($db, $lines, @args) = @_; return run('mysql-upsert', $db->args, qw(-T t -k id), @args, { stdin => $lines }) }

sub table { my ($db) = @_; return join ' ', map { "$_->[0]=" . ($_->[1] // 'NULL') } $db->sql('SELECT id, n FROM t ORDER BY id') }

# ---- before there is a server ----

my @refused = (
	[ 'which table\? -T TABLE or -M MAPPING' ],
	[ 'which table\?', '-r' ], [ 'which table\?', qw(-N name) ], [ 'which table\?', qw(--replay -N name) ],
	[ 'takes no operands', qw(-T t TOPIC) ], [ 'takes no operands', qw(--rejects -T t TOPIC) ], [ 'takes no operands', qw(--replay -T t TOPIC) ],
	[ '--key does not go with -M', qw(-M map -k id) ],
	[ '--force needs --replay', qw(-T t --force) ], [ '--force needs --replay', qw(-T t -Q --force) ],
	(map { [ "--$_ does not go with -Q", qw(-Q -T t), "--$_" ] } qw(rejects replay dry-run keep-rejects no-reduce ack allow-gap recreated partial)),
	(map { [ "--$_ does not go with --rejects", qw(--rejects -T t), "--$_" ] } qw(replay dry-run keep-rejects no-reduce ack allow-gap recreated partial)),
	(map { [ "--$_ does not go with --replay", qw(--replay -T t), "--$_" ] } qw(dry-run keep-rejects no-reduce ack allow-gap recreated)),
	(map { my ($o, $v) = @$_; map { [ "--$o does not go with $_", $_, qw(-T t), "--$o", $v ] } qw(-Q --rejects --replay) }
	    [ interval => 1 ], [ rows => 1 ], [ buffer => '1M' ]),
	[ '--ack does not go with -n', qw(-n -T t -a) ],
	[ 'a name is', qw(-T t -N), '' ], [ 'a name is', qw(-T t -N), 'x ' ], [ 'a name is', qw(-T t -N), "\xff" ],
	(map { [ '--rows|-rows', qw(-T t --rows), $_ ] } 0, -1, 'x', '1x', 10_000_001),
	(map { [ '--buffer', qw(-T t --buffer), $_ ] } 0, -1, 'x', '1Q'),
	(map { [ '-i|--interval', qw(-T t -i), $_ ] } -1, 'x', ''),
	(map { [ '--timeout', qw(-T t --timeout), $_ ] } 0, -1, 'x'),
	(map { [ '-P|--port', qw(-T t -P), $_ ] } 0, 65536, 'x'),
);
subtest 'options that do not go together, or that no one understands' => sub {
	for (@refused) {
		my ($why, @args) = @$_;
		my $r = run('mysql-upsert', '-h', '127.0.0.1', '-P', free_port(), '-D', 'd', @args, { stdin => '' });
		is $r->{exit}, 64, "@args";
		like $r->{err}, qr/\Amysql-upsert: .*(?:$why).*\n\z/, '... one line that says why';
	}
};

# ---- with one ----

sub dry
{
	my ($db) = @_;
	fresh($db);
	my $before = join ' ', map { @$_ } $db->sql('SHOW TABLES');
	my $lines = record(0, 'a', '{"n":1}') . record(1, 'b', '{"n":"x"}') . record(2, 'c', undef) . "{\"id\":\"c\"}\n";
	my $r = upsert($db, $lines, '-n');
	is $r->{exit}, 65, '-n without -r ends where a run would';
	like $r->{err}, qr{^mysql-upsert: stdin:2: T/0: offset 1: t\.n: is no number$}m, '... and says why';
	$r = upsert($db, $lines, '-n', '-r');
	is $r->{exit}, 1, '-n -r: the exit status of the run';
	like $r->{err}, qr{^mysql-upsert: stdin:2: T/0: offset 1: t\.n: is no number$}m, '... says what would be kept';
	like $r->{err}, qr/^mysql-upsert: 4 records in, .* 2 rejected; 0 commits/m, '... and counts it';
	is $r->{out}, join('', map { "$_\n" } 't: id <- @key', 't: n <- member n', 't: tombstones delete') . $r->{out} =~ s/^t: .*\n//mgr,
	    '... the mapping first';
	my @sql = grep { /;$/ } split /\n/, $r->{out};
	like "@sql", qr/^INSERT INTO `t` \(`id`,`n`\) VALUES \('a',1\).*; DELETE FROM `t` WHERE `id` IN \('c'\);$/, '... then statements';
	is join(' ', map { @$_ } $db->sql('SHOW TABLES')), $before, '... and no table is made';
	is run('mysql-upsert', $db->args, qw(-n -T t -k id), { stdin => record(0, 'a', '{"n":1}'), out => '/dev/full' })->{exit}, 74,
	    '-n to a full disk';
}

sub asked
{
	my ($db) = @_;
	fresh($db);
	is run('mysql-upsert', $db->args, qw(-Q -T t))->{out}, '', '-Q before the first run';
	is run('mysql-upsert', $db->args, qw(-Q -v -T t))->{err}, "mysql-upsert: $db->{database}: has no positions of the name \"t\"\n",
	    '... -v says so';
	upsert($db, join '', map { record(5, "k$_", '{"n":1}', topic => $_, partition => 2) } qw(B A C));
	my $q = sub { return join ' ',
	    map { "$_->{mark}{kind} $_->{mark}{topic}/$_->{mark}{partition} $_->{mark}{offset} $_->{mark}{last}{offset} $_->{mark}{last}{ts}" }
		json_lines(run('mysql-upsert', $db->args, '-Q', @_)->{out}) };
	my $at = 1763697600005;
	is $q->(qw(-T t)), join(' ', map { "position $_/2 6 5 $at" } qw(A B C)), '-Q prints marks, in order';
	is $q->(qw(-N t)), $q->(qw(-T t)), '... by NAME';
	is $q->(qw(-T t C A)), join(' ', map { "position $_/2 6 5 $at" } qw(A C)), '... of some topics';
	is $q->(qw(-T t D)), '', '... of one that it does not know';
	is run('mysql-upsert', $db->args, qw(-Q -T t), { out => '/dev/full' })->{exit}, 74, '... to a full disk';
	is run('mysql-upsert', $db->args, qw(-Q -T gone))->{exit}, 0, '... of a table that is gone';
}

sub said
{
	my ($db) = @_;
	fresh($db);
	my $figures = '[\d.]+ k?B, [\d.]+ s, [\d.]+k? records/s';
	my $r = upsert($db, record(0, 'a', '{"n":1}'));
	like $r->{err}, qr{\Amysql-upsert: 1 record in, 1 row upserted, 0 deleted, 0 skipped, 0 rejected; 1 commit, 0 retried; $figures\n\z},
	    'the summary';
	$r = upsert($db, record(0, 'a', '{"n":1}') . record(1, 'a', undef) . record(2, 'b', '{"n":1000}') . record(3, 'c', '{"n":3}'), '-r');
	like $r->{err}, qr{\Amysql-upsert: 4 records in, 1 row upserted, 1 deleted, 1 skipped, 1 rejected; 1 commit, 0 retried; $figures\n\z},
	    '... of all that there is';
	$r = upsert($db, record(4, 'a', '{"n":1,"x":2}') . record(5, 'a', '{"n":1,"x":2}'));
	like $r->{err}, qr/\Amysql-upsert: member x of topic T has no column: it is not stored\n/, 'a member without a column is named';
	is scalar(() = $r->{err} =~ /member x/g), 1, '... once';
	is upsert($db, record(6, 'a', '{"n":1,"x":2}'), '-q')->{err}, '', '-q says nothing';
	$r = upsert($db, record(7, 'a', '{"n":1}') . mark(position => 'T', 0, 8));
	like $r->{err}, qr/^mysql-upsert: the stream has marks but no end mark/m, 'a stream with marks but no end mark is warned about';
	is $r->{exit}, 0, '... which is no error';
	unlike upsert($db, mark(position => 'T', 0, 8) . end_mark())->{err}, qr/end mark/, '... one with it is not';
	# On a terminal.
	my $file = tempdir() . '/lines';
	spew($file, map { sprintf "{\"id\":\"k%d\",\"n\":1}\n", $_ % 100 } 0 .. 20000);
	my $command = "(for i in 1 2 3 4 5 6; do sed 4000q $file; sleep 0.1; done; cat $file) | mysql-upsert @{[ $db->args ]} -T t -i 0.05";
	my $on = run('script', '-qec', $command, '/dev/null')->{out};
	like $on, qr{\r\e\[Kmysql-upsert: \d+ records  [\d.]+k?/s  [\d.]+ [kM]?B/s(?s:.*)\r\e\[Kmysql-upsert: .*records in},
	    'a progress line on a terminal, gone before the summary';
	unlike run('bash', '-c', $command)->{err}, qr/\r/, '... nor when stderr is no terminal';
	unlike run('script', '-qec', "$command -q", '/dev/null')->{out}, qr/mysql-upsert/, '... none with -q';
}

# ---- the ways out ----

sub waiting
{
	my ($db, @args) = @_;
	pipe my $in, my $to or die "pipe: $!";
	$to->autoflush(1);
	my $p = spawn('mysql-upsert', $db->args, qw(-T t -k id), @args, { stdin => $in });
	close $in;
	return ($p, $to);
}

sub ways_out
{
	my ($db) = @_;
	for (['TERM', 0], ['INT', 130]) {
		my ($signal, $code) = @$_;
		fresh($db);
		my ($p, $to) = waiting($db, qw(-a -i 3600));
		print $to record(0, 'a', '{"n":1}'), record(1, 'b', '{"n":1}'), '{"topic":"T","partition":0,"off';
		wait_until(20, 'its session', sub { $db->value('SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()') > 1 });
		sleep 0.3;
		is table($db), '', "$signal: nothing is written yet";
		kill $signal, $p->{pid};
		my $r = finish($p);
		is $r->{exit}, $code, "... it ends with $code" or diag $r->{err};
		is table($db) . ' ' . positions($db, 't'), 'a=1 b=1 T/0 2', '... and has written what it had';
		is +(json_lines($r->{out}))[-1]{mark}{offset}, 2, '... and acknowledged it';
	}
	fresh($db);
	my $whole = record(0, 'a', '{"n":1}');
	my %ends = (
		'a last line without newline counts' => [ 0, 'a=1 b=2', $whole . record(1, 'b', '{"n":2}') =~ s/\n//r ],
		'one that is cut does not' => [ 65, 'a=1', $whole . substr(record(1, 'b', '{"n":2}'), 0, 50) ],
		'an empty line' => [ 65, 'a=1', "$whole\n" . record(1, 'b', '{"n":2}') ],
		'no JSON' => [ 65, 'a=1', "${whole}x\n" . record(1, 'b', '{"n":2}') ],
		'bytes that are no UTF-8' => [ 65, 'a=1', $whole . record(1, "b", "{\"n\":2,\"x\":\"\xff\"}") ],
		'a record that a filter broke' => [ 65, 'a=1', "$whole\{\"topic\":\"T\",\"payload\":{}}\n" ],
		'a broken mark' => [ 65, 'a=1', "$whole\{\"mark\":{\"kind\":\"position\"}}\n" ],
		'nothing' => [ 0, '', '' ],
	);
	for my $what (sort keys %ends) {
		my ($code, $table, $lines) = @{ $ends{$what} };
		fresh($db);
		my $r = upsert($db, $lines, '-r');
		is "$r->{exit} " . table($db), "$code $table", "$what: $code";
		like $r->{err}, qr/^mysql-upsert: stdin:2: /m, '... with its line' if $code;
	}
	fresh($db);
	my $r = run('mysql-upsert', $db->args, qw(-a -T t -k id), { stdin => $whole, out => '/dev/full' });
	is "$r->{exit} " . table($db), '74 a=1', 'acknowledgements to a full disk: 74, though it is committed';
	fresh($db);
	spew(my $file = tempdir() . '/lines', map { record($_, "k$_", '{"n":1}') } 0 .. 999);
	$r = pipeline("(cat $file; sleep 1; sed s/k/l/ $file) | mysql-upsert @{[ $db->args ]} -a -i 0.01 -T t -k id | true");
	isnt $r->{exit}, 0, 'acknowledgements that nobody reads end the run';
	$r = pipeline("mysql-upsert @{[ $db->args ]} -T t -k id <&-");
	is $r->{exit}, 74, 'a closed stdin';
	$r = run('mysql-upsert', $db->args, qw(-T t -k nothing), { stdin => '' });
	is $r->{exit}, 78, 'a key that is no column';
	$r = run('mysql-upsert', $db->args, '-T', 't', '-k', 'id,id', { stdin => '' });
	is $r->{exit}, 64, 'a key twice';
	$r = run('mysql-upsert', $db->args, '-T', 't', '-k', '', { stdin => '' });
	is $r->{exit}, 64, 'a key without a name';
	$r = run('mysql-upsert', $db->args, '-M', '/nowhere/map', { stdin => '' });
	is $r->{exit}, 78, 'a mapping that is not there';

	# The server is killed while it keeps a reject, and at the COMMIT; and is back a moment later.
	my $proxy = Sluice::Proxy->start($db);
	my $lines = join '', map { record($_, "k$_", $_ % 3 ? "{\"n\":$_}" : $_ % 2 ? '{"n":"x"}' : '{"n":1000}') } 0 .. 8;
	for my $where (qr/^INSERT INTO sluice_rejects/, qr/^COMMIT/) {
		fresh($db);
		my $delayed = sub { $proxy->count->{cuts}{delay} // 0 };
		my $before = $delayed->();
		$proxy->rule('delay', $where, seconds => 0.5);
		my $p = spawn('mysql-upsert', $proxy->args, qw(-r -T t -k id), { stdin => $lines });
		wait_until(20, 'the request', sub { $delayed->() > $before });
		$db->restart('KILL');
		my $r = finish($p);
		$db->sql("USE `$db->{database}`");
		is "$r->{exit} " . table($db), '1 k1=1 k2=2 k4=4 k5=5 k7=7 k8=8', "the server is killed at $where: rows" or diag $r->{err};
		is join(' ', map { @$_ } $db->sql('SELECT off FROM sluice_rejects ORDER BY off')) . ' ' . positions($db, 't'), '0 3 6 T/0 9',
		    '... rejects and the position, once';
	}
	fresh($db);

	# It ends for good.
	my ($p, $to) = waiting($db, qw(-N third -i 0.05 --timeout 1));
	print $to record(0, 'x', '{"n":1}');
	wait_until(20, 'the first record', sub { table($db) =~ /x=1/ });
	$db->stop;
	print $to record(1, 'y', '{"n":1}');
	close $to;
	$r = finish($p);
	is $r->{exit}, 69, 'a server that does not come back';
	like $r->{err}, qr/^mysql-upsert: \S+ as \S+: /m, '... with its place';
	$db->start_again;
	$db->sql("USE `$db->{database}`");
	is table($db) =~ /y=/ ? 1 : 0, 0, '... what was not committed is not there';
	is run('mysql-upsert', $db->args, qw(-T t -k id -N third), { stdin => record(0, 'x', '{"n":1}') . record(1, 'y', '{"n":1}') })->{exit}, 0,
	    '... until a rerun';
}

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour . ': -n' => sub { dry($db) };
	subtest $db->flavour . ': -Q' => sub { asked($db) };
	subtest $db->flavour . ': what it says' => sub { said($db) };
	my $own = Sluice::Db->start($db->flavour);
	subtest $db->flavour . ': the ways out' => sub { ways_out($own) };
	$own->kill9;
}

done_testing;
