# One writer at a time: of two runs of mysql-upsert under one name the one that was overtaken ends with 75 and has written
# nothing since; runs that share nothing do not disturb each other; deadlocks and lock waits that others cause are tried
# again; and a connection that is lost around COMMIT is made again, and each record applied once. What triggers counted
# tells what was applied.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Handle;
use Sluice;
use Sluice::Db;
use Sluice::Proxy;
use Test::More;
use Time::HiRes qw(sleep time);

my ($db, $proxy); # of the server that is tested now; a lock wait there ends after a second

# ---- streams and tables ----

# Records FROM..TO of a partition; their keys are such that every partition has its own.
sub records
{
	my ($from, $to, %o) = @_;
	my $p = $o{partition} // 0;
	return join '', map {
		my $key = $o{keys} ? $o{keys}[ $_ % @{ $o{keys} } ] : sprintf 'k%d-%04d', $p, $_;
		qq({"topic":"T","partition":$p,"offset":$_,"tstype":"create","ts":@{[ ($o{at} // 1000) + $_ ]},"key":"$key","payload":{"n":@{[ ($o{n} // 0) + $_ ]}}}\n);
	} $from .. $to;
}

sub tombstone
{
	my ($offset) = @_;
	return qq({"topic":"T","partition":0,"offset":$offset,"tstype":"create","ts":1,"key":"none","payload_enc":"none","payload":null}\n);
}

# A table whose triggers count what is applied.
sub make_table
{
	my ($t) = @_;
	$db->sql("CREATE TABLE $t (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, n BIGINT NOT NULL);
		CREATE TABLE ${t}_seen (id VARCHAR(40), n BIGINT);
		CREATE TRIGGER ${t}_i AFTER INSERT ON $t FOR EACH ROW INSERT INTO ${t}_seen VALUES (NEW.id, NEW.n);
		CREATE TRIGGER ${t}_u AFTER UPDATE ON $t FOR EACH ROW INSERT INTO ${t}_seen VALUES (NEW.id, NEW.n)");
}

sub new_database { $db->database('fence'); make_table('t'); $proxy->clear }

sub upsert
{
	my ($through, @args) = @_;
	return ('mysql-upsert', $through->args, '-T', 't', '-k', 'id', '-a', '-i', 0.05, '--no-reduce', @args);
}

# How often each record was applied, as "n=times": those that were not applied once.
sub applied_wrongly
{
	my ($from, $to, $t) = @_;
	my %times = map { @$_ } $db->sql('SELECT n, COUNT(*) FROM ' . ($t // 't') . '_seen GROUP BY n');
	my @wrong = map { ($times{$_} // 0) == 1 ? () : "$_=" . ($times{$_} // 0) } $from .. $to;
	push @wrong, map { "$_ is too much" } grep { $_ < $from || $_ > $to } keys %times;
	return @wrong;
}

sub position { return $db->value("SELECT next_offset FROM sluice_positions WHERE name = '" . ($_[0] // 't') . "' AND part = " . ($_[1] // 0)) }

# A run whose input comes when the test gives it; it has committed what it was given when give() returns.
sub start_run
{
	my (@command) = @_;
	pipe my $in, my $to or die "pipe: $!";
	my $p = spawn(@command, { stdin => $in });
	close $in;
	$to->autoflush(1);
	$p->{to} = $to;
	return $p;
}

sub give
{
	my ($p, $lines, $until) = @_;
	print { $p->{to} } $lines;
	wait_until(30, "position $until", sub { -e $p->{out} && slurp($p->{out}) =~ /"offset":$until,/ });
}

sub end { my ($p, $lines) = @_; { local $SIG{PIPE} = 'IGNORE'; print { $p->{to} } $lines // ''; close $p->{to} } return finish($p, 60) }

sub is_overtaken
{
	my ($r, $what) = @_;
	is $r->{exit}, 75, "$what: 75" or diag $r->{err};
	like $r->{err}, qr/another writer of the name "t"/, "$what: says why";
}

# ---- one name twice ----

sub overtaken
{
	for my $case ([ 'further than it has come' => 60 ], [ 'as far as it has come' => 30 ], [ 'to the end' => 100 ]) {
		my ($what, $to) = @$case;
		new_database();
		my $first = start_run(upsert($db));
		give($first, records(0, 19), 20);
		is run(upsert($db), { stdin => records(0, $to - 1) })->{exit}, 0, "$what: the second run goes on";
		is_overtaken(end($first, records(20, 99)), "$what: the first one");
		is_deeply [ applied_wrongly(0, $to - 1) ], [], "$what: each record was applied once, none after the takeover";
		is position(), $to, "$what: the position is the second run's";
		is run(upsert($db), { stdin => records(0, 99) })->{exit}, 0, "$what: a rerun";
		is_deeply [ applied_wrongly(0, 99) ], [], "$what: a rerun applies the rest";
	}
}

sub overtaken_in_one_of_two
{
	my $both = sub { my ($from, $to) = @_; return records($from, $to) . records($from, $to, partition => 1, n => 10) };
	new_database();
	my $first = start_run(upsert($db, '-i', 0.3));
	give($first, $both->(0, 9), 10);
	is run(upsert($db), { stdin => records(0, 19, partition => 1, n => 10) })->{exit}, 0, 'the second run goes on in one partition';
	is_overtaken(end($first, $both->(10, 19)), 'the first one, in both');
	is_deeply [ applied_wrongly(0, 29) ], [], 'each record was applied once, none of either partition after the takeover';
	is position(), 10, 'the position of the other one has not moved';
}

sub in_the_middle
{
	# Both begin from the same positions; the first one is in its transaction when the second comes. They write other
	# rows, so that nothing but the position stands between them.
	new_database();
	$proxy->rule('delay', qr/^INSERT INTO sluice_positions/, seconds => 60);
	my $first = start_run(upsert($proxy));
	print { $first->{to} } records(0, 29);
	wait_until(30, 'its rows are written, its position not yet', sub { $proxy->cuts == 1 });
	my $second = spawn(upsert($db), { stdin => records(0, 59, keys => [ map { "other$_" } 0 .. 59 ]) });
	$db->wait_for_lock;
	$proxy->clear;
	my $r = finish($second, 60);
	is_overtaken($r, 'it waits for the other transaction and is overtaken by it');
	is $r->{out}, '', 'it has acknowledged nothing';
	is end($first, records(30, 59))->{exit}, 0, 'the first one goes on';
	is_deeply [ applied_wrongly(0, 59) ], [], 'each record was applied once';

	# The first one stands still within a transaction; somebody ends its connection; the second goes on.
	new_database();
	$proxy->rule('delay', qr/^COMMIT/, seconds => 30);
	$first = start_run(upsert($proxy));
	print { $first->{to} } records(0, 29);
	wait_until(30, 'COMMIT', sub { $proxy->cuts == 2 });
	kill 'STOP', $first->{pid};
	$second = spawn(upsert($db, '--timeout', 20), { stdin => records(0, 59) });
	$db->wait_for_lock;
	my @sessions = $db->sql('SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state <> \'LOCK WAIT\'');
	$db->sql("KILL CONNECTION $_->[0]") for @sessions;
	is finish($second, 60)->{exit}, 0, 'when the connection of the first one ends, the second goes on';
	kill 'CONT', $first->{pid};
	is_overtaken(end($first, records(30, 59)), 'the first one, when it wakes up');
	is_deeply [ applied_wrongly(0, 59) ], [], 'each record was applied once';
}

# A partition that nobody has met has no row yet that could be locked.
sub first_sight
{
	new_database();
	my $cuts = $proxy->cuts;
	$proxy->rule('delay', qr/^INSERT INTO sluice_positions/, seconds => 60);
	my $first = start_run(upsert($proxy));
	print { $first->{to} } records(0, 29);
	wait_until(30, 'its rows are written, its position not yet', sub { $proxy->cuts > $cuts });
	my @others = map { my $n = $_; spawn(upsert($db, '-v'), { stdin => records(0, 59, keys => [ map { "other$n-$_" } 0 .. 59 ]) }) } 1 .. 3;
	$db->wait_for_lock(3);
	$proxy->clear;
	for my $r (map { finish($_, 60) } @others) {
		is_overtaken($r, 'each of three others');
		unlike $r->{err}, qr/deadlock/i, 'they do not lock each other out';
	}
	is end($first, records(30, 59))->{exit}, 0, 'the first one goes on';
	is_deeply [ applied_wrongly(0, 59) ], [], 'each record was applied once';

	new_database();
	$cuts = $proxy->cuts;
	$proxy->rule('freeze', qr/^COMMIT/);
	my $dead = start_run(upsert($proxy));
	print { $dead->{to} } records(0, 29);
	wait_until(30, 'COMMIT', sub { $proxy->cuts > $cuts });
	kill 'KILL', $dead->{pid};
	$db->sql("KILL CONNECTION $_->[0]") for $db->sql('SELECT trx_mysql_thread_id FROM information_schema.innodb_trx');
	is run(upsert($db), { stdin => records(10, 39) })->{exit}, 0, 'what was met and not committed has no position: no start is a gap';
	is_deeply [ applied_wrongly(10, 39) ], [], 'each record was applied once';
}

sub positions_gone
{
	new_database();
	my $p = start_run(upsert($db));
	give($p, records(0, 29), 30);
	$db->sql('DELETE FROM sluice_positions');
	is_overtaken(end($p, records(30, 59)), 'somebody deletes its positions');
	is_deeply [ applied_wrongly(0, 29) ], [], 'nothing was applied after that';

	new_database();
	$p = start_run(upsert($db));
	give($p, records(0, 29), 30);
	$db->sql("ALTER TABLE sluice_positions MODIFY next_offset VARCHAR(9)");
	$db->sql("UPDATE sluice_positions SET next_offset = 'x'");
	for my $r (end($p, records(30, 59)), run(upsert($db), { stdin => records(30, 59) })) {
		is $r->{exit}, 65, 'somebody makes nonsense of its positions: 65';
		like $r->{err}, qr/sluice_positions: "x" is no number/, 'it says so';
	}
	is_deeply [ applied_wrongly(0, 29) ], [], 'nothing was applied after that either';
}

# ---- side by side ----

sub side_by_side
{
	my ($what, @lines) = @_;
	new_database();
	make_table('u');
	my @runs = map { my ($stdin, @args) = @$_; spawn(upsert($db, '--rows', 50, '--buffer', '64k', @args), { stdin => $stdin }) } @lines;
	for my $r (map { finish($_, 100) } @runs) {
		is $r->{exit}, 0, "$what: 0" or diag $r->{err};
		unlike $r->{err}, qr/deadlock|lock wait/i, "$what: no deadlock";
		like $r->{err}, qr/ 0 retried/, "$what: nothing was tried again";
	}
}

sub disjoint
{
	my @parts = map { records(0, 1999, partition => $_) } 0 .. 3;
	side_by_side('two tables', [ "$parts[0]$parts[1]" ], [ "$parts[0]$parts[1]", '-T', 'u' ]);
	is $db->value('SELECT COUNT(*) FROM t_seen'), 4000, 'two tables: all in the one';
	is $db->value('SELECT COUNT(*) FROM u_seen'), 4000, 'two tables: all in the other';
	side_by_side('one name, disjoint partitions', map { [$_] } @parts);
	is $db->value('SELECT COUNT(*) FROM t_seen'), 8000, 'one name, disjoint partitions: each record once';
	side_by_side('two names, one table', map { [ $parts[$_], '-N', "name$_" ] } 0, 1);
	is $db->value('SELECT COUNT(*) FROM t_seen'), 4000, 'two names, one table: each record once';
}

# ---- deadlocks and lock waits ----

sub lock_wait
{
	new_database();
	$db->sql("INSERT INTO t VALUES ('k0-0050', -1)");
	my $other = $db->session;
	$other->sql("BEGIN; UPDATE t SET n = -2 WHERE id = 'k0-0050'");
	# Three statements, of which the last one waits: the server rolls back no more than that one.
	my $stream = records(0, 29) . tombstone(30) . records(31, 99);
	my $p = spawn(upsert($db), { stdin => $stream });
	sleep 2.5; # two lock waits end in vain meanwhile
	is $db->value('SELECT COUNT(*) FROM t'), 1, 'while it waits nothing of its window is there';
	$other->sql('COMMIT');
	my $r = finish($p, 60);
	is $r->{exit}, 0, 'a lock wait that ends: 0' or diag $r->{err};
	like $r->{err}, qr/ [1-9]\d* retried/, 'a lock wait that ends: the summary counts what was tried again';
	$db->sql('DELETE FROM t_seen WHERE n < 0');
	is_deeply [ applied_wrongly(0, 99) ], ['30=0'], 'a lock wait that ends: each record was applied once';
	is $db->value("SELECT n FROM t WHERE id = 'k0-0050'"), 50, 'a lock wait that ends: the record came last';

	$other->sql("BEGIN; UPDATE t SET n = -2 WHERE id = 'k0-0150'; INSERT INTO t VALUES ('k0-0150', -1)");
	$p = spawn(upsert($db, '--timeout', 2), { stdin => records(0, 199) });
	$r = finish($p, 60);
	is $r->{exit}, 75, 'a lock that stays: 75 after --timeout' or diag $r->{err};
	cmp_ok $r->{sec}, '<', 20, 'a lock that stays: in time';
	like $r->{err}, qr/gave up.*lock wait/i, 'a lock that stays: says what it waited for';
	is_deeply [ applied_wrongly(0, 99) ], ['30=0'], 'a lock that stays: nothing was applied';
	is position(), 100, 'a lock that stays: the position is where it was';
	$other->sql('ROLLBACK');
	is run(upsert($db), { stdin => records(0, 199) })->{exit}, 0, 'a lock that is gone: a rerun goes on';
	is_deeply [ applied_wrongly(0, 199) ], ['30=0'], 'and applies the rest';
}

# The other session has done more, so it is the tool that the server chooses to end.
sub deadlock
{
	new_database();
	$db->sql('CREATE TABLE heavy (a INT PRIMARY KEY)');
	$db->sql("INSERT INTO t VALUES ('k0-0000', -1), ('k0-0099', -1)");
	my $other = $db->session;
	$other->sql('BEGIN; INSERT INTO heavy VALUES ' . join ',', map { "($_)" } 1 .. 2000);
	$other->sql("UPDATE t SET n = -2 WHERE id = 'k0-0099'");
	my $p = spawn(upsert($db, '-v'), { stdin => records(0, 99) });
	$db->wait_for_lock;
	$other->sql("UPDATE t SET n = -2 WHERE id = 'k0-0000'; COMMIT"); # that is a deadlock
	my $r = finish($p, 60);
	is $r->{exit}, 0, 'a deadlock: 0' or diag $r->{err};
	like $r->{err}, qr/deadlock/i, 'a deadlock: there was one';
	like $r->{err}, qr/ [1-9]\d* retried/, 'a deadlock: tried again';
	$db->sql('DELETE FROM t_seen WHERE n < 0');
	is_deeply [ applied_wrongly(0, 99) ], [], 'a deadlock: each record was applied once';
	is_deeply [ $db->sql("SELECT n FROM t WHERE id IN ('k0-0000', 'k0-0099') ORDER BY id") ], [ [0], [99] ], 'a deadlock: the records came last';
}

# Another session that takes locks of the same rows in any order, all the time.
sub adversary
{
	new_database();
	my @keys = map { "key-$_" } 0 .. 19;
	$db->sql('CREATE TABLE heavy (a INT)');
	my $p = spawn(upsert($db, '--rows', 20, '--buffer', '64k'), { stdin => records(0, 2999, keys => \@keys) });
	my $other = $db->session;
	my ($rounds, $lost) = (0, 0);
	while (waitpid($p->{pid}, POSIX::WNOHANG()) == 0) {
		my @some = map { $keys[ rand @keys ] } 1 .. 3;
		eval {
			$other->sql('BEGIN; INSERT INTO heavy VALUES ' . join ',', ('(1)') x 50) if rand() < 0.5;
			$other->sql("BEGIN") if rand() < 0.1;
			$other->sql("SELECT n FROM t WHERE id = '$_' FOR UPDATE") for @some;
			1;
		} or $lost++;
		eval { $other->sql('ROLLBACK') };
		$rounds++;
	}
	my $status = $?;
	my $err = slurp($p->{err});
	is $status, 0, "an adversary: 0 ($rounds rounds, $lost of them lost)" or diag $err;
	is_deeply [ applied_wrongly(0, 2999) ], [], 'an adversary: each record was applied once';
	note $err;
}

# ---- the connection is lost at COMMIT ----

sub commit_lost
{
	for my $when (qw(before mid after reply mid-reply)) {
		for my $nth (1, 2) {
			my $what = "lost $when COMMIT $nth";
			new_database();
			my $p = start_run(upsert($proxy));
			$proxy->rule($when, qr/^COMMIT/, nth => $nth);
			give($p, records(0, 29), 30);
			my $r = end($p, records(30, 59));
			is $r->{exit}, 0, "$what: 0" or diag $r->{err};
			is_deeply [ applied_wrongly(0, 59) ], [], "$what: each record was applied once";
			like $r->{err}, qr/ 1 retried/, "$what: tried again once";
			my @acks = $r->{out} =~ /"offset":(\d+),"last"/g;
			is $acks[-1], 60, "$what: all of it is acknowledged";
		}
	}
}

# And once more while it finds out whether the COMMIT was done.
sub commit_lost_twice
{
	for my $first (qw(before reply)) {
		for my $then (map { [ split ' ', $_, 2 ] } 'before START', 'before FOR UPDATE', 'reply FOR UPDATE', 'before ROLLBACK', 'reply ROLLBACK',
			'before COMMIT', 'reply COMMIT') {
			my $what = "lost $first COMMIT, then @$then";
			new_database();
			my $p = start_run(upsert($proxy));
			give($p, records(0, 29), 30);
			$proxy->rule($first, qr/^COMMIT/, then => $then);
			my $r = end($p, records(30, 59) . tombstone(60));
			is $r->{exit}, 0, "$what: 0" or diag $r->{err};
			is_deeply [ applied_wrongly(0, 59) ], [], "$what: each record was applied once";
			is position(), 61, "$what: the position";
		}
	}
}

# As by a record that makes the server crash.
sub lost_for_ever
{
	new_database();
	$proxy->rule('before', qr/^COMMIT/, times => 1000);
	my $r = run(upsert($proxy), { stdin => records(0, 29) });
	is $r->{exit}, 69, 'lost before each COMMIT: 69 in the end';
	like $r->{err}, qr/the connection was lost 10 times while one window was written/, 'lost before each COMMIT: says why';
	$proxy->clear;
	is_deeply [ $db->sql('SELECT n FROM t_seen') ], [], 'lost before each COMMIT: nothing was applied';
}

# A topic made anew may come to stand where the old one stood: the position before and after the COMMIT is the same.
sub commit_lost_and_recreated
{
	for my $when (qw(before mid reply)) {
		new_database();
		is run(upsert($db), { stdin => records(0, 29) })->{exit}, 0, "recreated, lost $when COMMIT: the old topic";
		$proxy->rule($when, qr/^COMMIT/);
		my $r = run(upsert($proxy, '--recreated'), { stdin => records(0, 29, at => 5000, n => 100) });
		is $r->{exit}, 0, "recreated, lost $when COMMIT: 0" or diag $r->{err};
		$db->sql('DELETE FROM t_seen WHERE n < 100');
		is_deeply [ applied_wrongly(100, 129) ], [], "recreated, lost $when COMMIT: each record was applied once";
		is $db->value("SELECT last_ts FROM sluice_positions"), 5029, "recreated, lost $when COMMIT: its last record";
	}
}

# Bare objects move no position, so nothing tells whether it was done: they are sent again.
sub commit_lost_without_positions
{
	for my $when (qw(before mid)) {
		new_database();
		$proxy->rule($when, qr/^COMMIT/);
		my $r = run('mysql-upsert', $proxy->args, '-T', 't', { stdin => join '', map { qq({"id":"bare$_","n":$_}\n) } 0 .. 9 });
		is $r->{exit}, 0, "bare objects, lost $when COMMIT: 0" or diag $r->{err};
		is_deeply [ applied_wrongly(0, 9) ], [], "bare objects, lost $when COMMIT: all are there";
	}
}

# While it cannot connect another run of the name goes on: it must not take the other's position for its own COMMIT.
sub commit_lost_and_overtaken
{
	for my $case ([ before => 45 ], [ before => 80 ], [ reply => 80 ], [ before => 80, 'nothing more' ], [ reply => 80, 'nothing more' ]) {
		my ($when, $to, $last) = @$case;
		my $what = join ', ', "lost $when COMMIT", "the other goes to $to", $last // ();
		new_database();
		my $p = start_run(upsert($proxy));
		give($p, records(0, 29), 30);
		my $cuts = $proxy->cuts;
		$proxy->rule($when, qr/^COMMIT/, refuse => 30);
		print { $p->{to} } records(30, 59);
		wait_until(30, 'COMMIT', sub { $proxy->cuts > $cuts });
		is run(upsert($db), { stdin => records(0, $to - 1) })->{exit}, 0, "$what: it goes on";
		$proxy->clear;
		is_overtaken(end($p, $last ? '' : records(60, 99)), $what);
		is_deeply [ applied_wrongly(0, $to - 1) ], [], "$what: each record was applied once, none after the takeover";
	}
	# All that the other can do is to find that it was done.
	new_database();
	my $p = start_run(upsert($proxy));
	my $cuts = $proxy->cuts;
	$proxy->rule('reply', qr/^COMMIT/, refuse => 30);
	print { $p->{to} } records(0, 59);
	wait_until(30, 'COMMIT', sub { $proxy->cuts > $cuts });
	my $n = position();
	is run(upsert($db), { stdin => records(0, $n - 1) })->{exit}, 0, 'lost reply COMMIT, the other only looks: it has nothing to do';
	$proxy->clear;
	is end($p, records(60, 99))->{exit}, 0, 'lost reply COMMIT, the other only looks: the position is its own';
	is_deeply [ applied_wrongly(0, 99) ], [], 'lost reply COMMIT, the other only looks: each record was applied once';
}

for my $flavour (map { $_->flavour } Sluice::Db::servers()) {
	$db = Sluice::Db->start($flavour, args => ['--innodb-lock-wait-timeout=1']);
	$proxy = Sluice::Proxy->start($db);
	subtest "$flavour: overtaken between two windows" => \&overtaken;
	subtest "$flavour: overtaken in one of two partitions" => \&overtaken_in_one_of_two;
	subtest "$flavour: overtaken within a transaction" => \&in_the_middle;
	subtest "$flavour: partitions met for the first time" => \&first_sight;
	subtest "$flavour: positions that are gone" => \&positions_gone;
	subtest "$flavour: side by side" => \&disjoint;
	subtest "$flavour: lock waits" => \&lock_wait;
	subtest "$flavour: a deadlock" => \&deadlock;
	subtest "$flavour: locks all the time" => \&adversary;
	subtest "$flavour: the connection is lost at COMMIT" => \&commit_lost;
	subtest "$flavour: lost at COMMIT and once more" => \&commit_lost_twice;
	subtest "$flavour: lost at each COMMIT" => \&lost_for_ever;
	subtest "$flavour: lost at COMMIT, a topic made anew" => \&commit_lost_and_recreated;
	subtest "$flavour: lost at COMMIT, no positions" => \&commit_lost_without_positions;
	subtest "$flavour: lost at COMMIT and overtaken" => \&commit_lost_and_overtaken;
	undef $proxy;
	$db->kill9;
}

done_testing;
