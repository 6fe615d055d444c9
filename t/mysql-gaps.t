# Gaps, order, recreated and truncated topics, from a real broker into tables of both servers: each is noticed with 65, the
# message says what and where and what to do, nothing moves, and the override does what it says. t/gaps.t is the same
# for the lake.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;

need_kafka();

my @servers = Sluice::Db::servers();
my $dir = tempdir();
my $ms = 1763697600000;

# ---- topics ----

# N rows from number FROM on, each with a key of its own, one ms apart beginning at AT.
sub rows
{
	my ($from, $n, $at) = @_;
	return map { { k => "k$_", v => "{\"n\":$_}", ts => ($at // $ms) + $_ } } $from .. $from + $n - 1;
}

sub new_topic
{
	my ($n, %args) = @_;
	my $t = topic('WGAP', %args);
	produce($t, rows(0, $n)) if $n;
	new_tables();
	return $t;
}

# ---- tables: the same in both servers ----

my $tables = 0;

sub new_tables
{
	$tables++;
	for my $db (@servers) {
		$db->database('gaps') if $tables == 1;
		$db->sql("CREATE TABLE t$tables (id VARCHAR(20) PRIMARY KEY, n BIGINT)");
	}
}

# LOAD and QUERY in a command are mysql-upsert with all that it needs.
sub command_for
{
	my ($db, $command) = @_;
	my $upsert = join ' ', 'mysql-upsert', $db->args, '-T', "t$tables";
	return $command =~ s/\bLOAD\b/$upsert -k id/gr =~ s/\bQUERY\b/$upsert -Q/gr;
}

sub stored
{
	my ($db) = @_;
	return join ' ', map { $_->[0] } $db->sql("SELECT n FROM t$tables ORDER BY n");
}

# All that must not move.
sub state_of
{
	my ($db) = @_;
	my $positions = join ';', map { join ',', map { $_ // 'NULL' } @$_ } $db->sql("SELECT topic, part, next_offset, last_offset, last_ts
		FROM sluice_positions WHERE name = 't$tables' ORDER BY topic, part");
	return stored($db) . " | $positions";
}

sub refused
{
	my ($what, $command, @says) = @_;
	for my $db (@servers) {
		my $it = $db->flavour . ": $what";
		my $before = state_of($db);
		my $r = pipeline(command_for($db, $command), timeout => 60);
		is $r->{exit}, 65, "$it: 65" or diag $r->{err};
		like $r->{err}, $_, "$it: says $_" for @says;
		is state_of($db), $before, "$it: nothing moved";
	}
}

# Runs it on each server; returns what the last one said.
sub done
{
	my ($what, $command) = @_;
	my $r;
	for my $db (@servers) {
		$r = pipeline(command_for($db, $command), timeout => 60);
		is $r->{exit}, 0, $db->flavour . ": $what: 0" or diag $r->{err};
	}
	return $r;
}

sub holds
{
	my ($what, @n) = @_;
	is stored($_), join(' ', @n), $_->flavour . ": $what" for @servers;
}

sub position_is
{
	my ($what, $offset) = @_;
	like pipeline(command_for($_, 'QUERY'))->{out}, qr/"offset":$offset,/, $_->flavour . ": $what" for @servers;
}

# ---- a filter that drops the first new record, and no marks to tell that it was seen ----
{
	my $t = new_topic(10);
	done('first run', "kread -t $t -e | LOAD");
	produce($t, rows(10, 5));
	my $filter = "jq -c 'select(.payload.n > 11)'";
	refused('a filter without marks', "kread -t $t -e -o 10 | $filter | LOAD",
		qr{\Q$t\E/0: gap: the stream starts at offset 12, but the stored position is 10: 2 offsets},
		qr{filter that drops marks}, qr{--from}, qr{--allow-gap});
	done('--allow-gap', "kread -t $t -e -o 10 | $filter | LOAD --allow-gap");
	holds('--allow-gap stores what comes', 0 .. 9, 12 .. 14);
}
{
	my $t = new_topic(10);
	done('first run', "kread -t $t -e | LOAD");
	produce($t, rows(10, 5));
	done('a filter that passes marks', "QUERY | kread -t $t -e --from - | jq -c 'select(.mark or .payload.n > 11)' | LOAD");
	position_is('a filter that passes marks does not freeze the position', 15);
	done('and nothing is a gap next time', "QUERY | kread -t $t -e --from - | LOAD");
	holds('what the filter let through is there', 0 .. 9, 12 .. 14);
}

# ---- a sort in the pipeline ----
{
	my $t = new_topic(20);
	done('a table without positions', 'LOAD </dev/null');
	refused('a sort', "kread -t $t -e | sort -r | LOAD", qr{\Q$t\E/0: offset \d+ comes after \d+: is there a sort in the pipeline\?});
	holds('a sort: nothing of the run is there');
}

# ---- an -o beyond the position ----
{
	my $t = new_topic(10);
	done('first run', "kread -t $t -e -c 4 | LOAD");
	refused('-o beyond the position', "kread -t $t -e -o 7 --marks | LOAD",
		qr{\Q$t\E/0: gap: the stream starts at offset 7, but the stored position is 4: 3 offsets});
	refused('-o beyond the position, without marks', "kread -t $t -e -o 7 | LOAD", qr{gap: the stream starts at offset 7}, qr{-o});
	done('-o below it is no gap', "kread -t $t -e -o 2 | LOAD");
	holds('-o below the position: nothing lost', 0 .. 9);
}

# ---- records deleted before the warehouse had them ----
{
	my $t = new_topic(20);
	done('first run', "kread -t $t -e -c 5 | LOAD");
	kt(delete_records => topic => $t, offset => 12);
	refused('DeleteRecords, --from', "QUERY | kread -t $t -e --from - | LOAD", qr{\Q$t\E.* 5 .* 12: 7 offsets were deleted}, qr{--skip-lost});
	refused('DeleteRecords, from the beginning', "kread -t $t -e --marks | LOAD",
		qr{gap: the stream starts at offset 12, but the stored position is 5: 7 offsets}, qr{retention});
	refused('--skip-lost alone', "QUERY | kread -t $t -e --from - --skip-lost | LOAD", qr{gap: .* 12}, qr{--allow-gap});
	done('both overrides', "QUERY | kread -t $t -e --from - --skip-lost | LOAD --allow-gap");
	holds('both overrides: all that is left is stored', 0 .. 4, 12 .. 19);
	done('and on', "QUERY | kread -t $t -e --from - | LOAD");
}

# ---- recreated: shorter, longer, of the same length ----
for my $case ([ shorter => 6 ], [ longer => 30 ], [ 'of the same length' => 10 ]) {
	my ($what, $now) = @$case;
	my $t = new_topic(10);
	done('first run', "kread -t $t -e | LOAD");
	kt(delete => topic => $t);
	kt(create => topic => $t);
	produce($t, rows(100, $now, $ms + 100_000));
	refused("recreated $what, --from -", "QUERY | kread -t $t -e --from - | LOAD", qr{\Q$t\E\W+0}, qr{recreated|made anew});
	refused("recreated $what, --from FILE", "QUERY >$dir/marks; kread -t $t -e --from $dir/marks | LOAD",
		qr{\Q$t\E\W+0}, qr{recreated|made anew});
	refused("recreated $what, from the beginning", "kread -t $t -e --marks | LOAD", qr{\Q$t\E/0}, qr{made anew}, qr{--recreated});
	done('--recreated', "kread -t $t -e --marks | LOAD --recreated");
	holds("recreated $what, --recreated: applied", 0 .. 9, 100 .. 99 + $now);
	position_is("recreated $what: the position began anew", $now);
	refused("recreated $what, --recreated once more", "kread -t $t -e --marks | LOAD --recreated", qr{stored already}, qr{without --recreated});
	done('the ordinary line goes on', "QUERY | kread -t $t -e --from - | LOAD");
	holds("recreated $what: and nothing is lost", 0 .. 9, 100 .. 99 + $now);
}

# ---- a stream that ends below the position, without marks: only a warning is possible ----
{
	my $t = new_topic(10);
	done('first run', "kread -t $t -e | LOAD");
	my $r = done('a shorter stream without marks', "kread -t $t -e -c 4 | LOAD");
	like $r->{err}, qr{\Q$t\E/0: the stream ends at offset 3, below the stored position 10}, 'a shorter stream without marks: warned';
	position_is('a shorter stream without marks: the position stays', 10);
}

# ---- truncated: the log ends below the position (as after an unclean leader election) ----
{
	my $t = new_topic(10);
	done('first run', "kread -t $t -e | LOAD");
	$_->sql("UPDATE sluice_positions SET next_offset = 25, last_offset = 24, last_ts = 1 WHERE name = 't$tables'") for @servers;
	refused('a position beyond the end, --from', "QUERY | kread -t $t -e --from - | LOAD", qr{\Q$t\E\W+0.*25});
	refused('a position beyond the end, from the beginning', "kread -t $t -e --marks | LOAD", qr{\Q$t\E/0}, qr{truncated|made anew});
	holds('a position beyond the end: nothing is lost', 0 .. 9);
}

# ---- offsets without records: aborted transactions and their markers are no gaps ----
{
	my $t = new_topic(3);
	kt(transaction => topic => $t, rows => [ rows(3, 4) ], end => 'abort');
	done('an aborted tail', "kread -t $t -e --marks | LOAD");
	position_is('an aborted tail: the position is behind its marker', 8);
	kt(transaction => topic => $t, rows => [ rows(7, 2) ], end => 'commit');
	done('and on', "QUERY | kread -t $t -e --from - | LOAD");
	position_is('and on: behind the next one', 11);
	done('without marks', "kread -t $t -e | LOAD");
	holds('what was committed is there', 0 .. 2, 7, 8);
}

# ---- two pipelines of one topic into one table under one name see each other's positions; two names do not ----
{
	my $t = new_topic(10);
	done('first pipeline', "kread -t $t -e | LOAD");
	my $r = done('the same once more', "kread -t $t -e | LOAD");
	like $r->{err}, qr{10 skipped}, 'one name: all skipped';
	$r = done('another name', "kread -t $t -e | LOAD -N other");
	like $r->{err}, qr{10 rows upserted, .* 0 skipped}, 'two names: each has applied all';
	holds('which changes nothing', 0 .. 9);
}

done_testing;
