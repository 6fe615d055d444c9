#!/usr/bin/perl
# kread -e: the end is pinned when the run begins, and reached exactly, whatever the log holds and whatever
# arrives meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(sleep time);

need_kafka();

sub rows { return map { { k => 'k', v => "$_", partition => 0 } } @_ }

sub kread
{
	my @args = @_;
	my $r = run('kread', '-q', '-e', '--marks', @args, { timeout => 60 });
	die "kread @args: exit $r->{exit}: $r->{err}\n" if $r->{exit};
	return json_lines($r->{out});
}

sub offsets { return join ' ', map { $_->{offset} // () } @_ }

# The final position of each partition, and whether the run was completed.
sub final
{
	my (%p, $end);
	for my $m (map { $_->{mark} // () } @_) {
		$p{$m->{partition}} = $m->{offset} if $m->{kind} eq 'position';
		$end = $m->{records} if $m->{kind} eq 'end';
	}
	return join(' ', map { "$_:$p{$_}" } sort { $a <=> $b } keys %p) . ' end ' . ($end // 'missing');
}

# One that writes batch after batch until it is stopped.
sub start_producer
{
	my ($t) = @_;
	return spawn('bash', '-c', 'while sleep 0.01; do seq 1 200; done | kcat -P -b "$0" -t "$1" -p -1 -X linger.ms=1', broker(), $t);
}

sub stop_producer
{
	my ($p) = @_;
	kill 'KILL', -$p->{pid};
	finish($p);
}

subtest 'a producer that goes on does not move the end' => sub {
	my $t = topic('BUSY', partitions => 2);
	kt(produce => topic => $t, rows => [map { { v => "$_", partition => $_ % 2 } } 1 .. 20_000]);
	my $producer = start_producer($t);
	wait_until(20, 'the producer', sub { my $w = kt(watermarks => topic => $t); $w->{0}[1] + $w->{1}[1] > 21_000 });
	my $before = kt(watermarks => topic => $t);
	my $p = spawn('kread', '-q', '-e', '--marks', '-t', $t);
	my $r = finish($p, 60);
	my $after = kt(watermarks => topic => $t);
	stop_producer($producer);

	is $r->{exit}, 0, 'it ends though the topic grows' or diag $r->{err};
	my @lines = json_lines($r->{out});
	for my $part (0, 1) {
		my @o = map { $_->{offset} } grep { exists $_->{offset} && $_->{partition} == $part } @lines;
		is scalar(grep { $o[$_] != $_ } 0 .. $#o), 0, "partition $part: every offset once, in order";
		my ($mark) = grep { ($_->{mark}{partition} // -1) == $part && $_->{mark}{kind} eq 'position' } reverse @lines;
		is $mark->{mark}{offset}, scalar(@o), '... the final position is the end of what was delivered';
		cmp_ok scalar(@o), '>=', $before->{$part}[1], '... all that was there before the run';
		cmp_ok scalar(@o), '<=', $after->{$part}[1], '... and not what came after it';
	}
	cmp_ok $after->{0}[1] + $after->{1}[1], '>', scalar(grep { exists $_->{offset} } @lines), 'more had arrived by its end';
};

subtest 'records that arrive during the run are left for the next one' => sub {
	my $t = topic('DURING');
	produce($t, rows(1 .. 5));
	# The reader stands still before the end, so that the run is not over when the new records come.
	my $dir = tempdir();
	kt(produce => topic => $t, rows => [map { { v => '"' . 'x' x 500 . '"' } } 1 .. 3000]);
	my $p = spawn('bash', '-c', 'kread -q -e --marks -t "$0" | (sleep 2; cat)', $t);
	sleep 1;
	produce($t, rows(6 .. 9));
	my @lines = json_lines(finish($p)->{out});
	is final(@lines), '0:3005 end 3005', 'the first run ends where the topic ended when it began';
	is final(kread('-t', $t, '-o', 3005)), '0:3009 end 4', 'the next has the others';
};

subtest 'an empty topic' => sub {
	my $t = topic('EMPTY', partitions => 3);
	my $t0 = time;
	is final(kread('-t', $t)), '0:0 1:0 2:0 end 0', 'ends at once';
	cmp_ok time - $t0, '<', 2, '... without waiting for anything';
};

subtest 'idle partitions' => sub {
	my $t = topic('IDLE', partitions => 50);
	produce($t, { v => '1', partition => 17 });
	my @lines = kread('-t', $t);
	is final(@lines), join(' ', map { "$_:" . ($_ == 17 ? 1 : 0) } 0 .. 49) . ' end 1', 'every partition has a final position';
	is scalar(grep { exists $_->{mark} && $_->{mark}{kind} eq 'start' } @lines[0 .. 49]), 50, 'all start marks stand before the rest';
};

subtest 'a run with nothing to do is short' => sub {
	my $t = topic('NOTHING', partitions => 4);
	produce($t, map { { v => '1', partition => $_ } } 0 .. 3);
	my $r = run('bash', '-c', 'kread -e -q --marks -t "$0" | tee first | grep position > acks; for i in 1 2 3 4 5; do
		s=$(date +%s%N); kread -e -t "$0" --from acks > out || exit 1; e=$(date +%s%N); echo $(((e - s) / 1000000)); done',
		$t, { cwd => tempdir() });
	my ($best) = sort { $a <=> $b } split /\n/, $r->{out};
	cmp_ok $best, '<', sanitized() ? 2000 : 150, "the best of five took $best ms";
};

subtest 'a partition added during the run' => sub {
	my $t = topic('GROWS', partitions => 1);
	kt(produce => topic => $t, rows => [map { { v => '"' . 'x' x 500 . '"' } } 1 .. 3000]);
	my $dir = tempdir();
	my $p = spawn('bash', '-c', 'kread -q -e --marks -t "$0" | (sleep 2; cat)', $t);
	sleep 1;
	kt(grow => topic => $t, partitions => 2);
	produce($t, { v => '1', partition => 1 });
	my @lines = json_lines(finish($p)->{out});
	is final(@lines), '0:3000 end 3000', 'is not part of it';
	spew("$dir/acks", map { to_json($_) . "\n" } grep { exists $_->{mark} } @lines);
	is final(kread('-t', $t, '--from', "$dir/acks")), '0:3000 1:1 end 1', 'the next run reads it from the beginning';
};

subtest 'a log that does not start at 0' => sub {
	my $t = topic('TRIMMED');
	produce($t, rows(0 .. 9));
	kt(delete_records => topic => $t, offset => 4);
	my @lines = kread('-t', $t);
	is offsets(@lines), '4 5 6 7 8 9', 'what is left';
	is $lines[0]{mark}{offset}, 4, 'the start mark says so';
	is final(@lines), '0:10 end 6', 'to the end';
	kt(delete_records => topic => $t, offset => 10);
	is final(kread('-t', $t)), '0:10 end 0', 'nothing left at all';
};

subtest 'a compacted topic' => sub {
	my $t = topic('COMPACT', config => { 'cleanup.policy' => 'compact', 'segment.ms' => 100,
		'min.cleanable.dirty.ratio' => '0.01', 'max.compaction.lag.ms' => 100, 'delete.retention.ms' => 100,
		'min.compaction.lag.ms' => 0 });
	for my $round (1 .. 3) {
		produce($t, map { { k => "k$_", v => "$round", partition => 0 } } 1 .. 20);
		sleep 0.2;
	}
	produce($t, map { { k => "k$_", partition => 0 } } 1 .. 20); # tombstones at the end
	my $n = wait_until(90, 'compaction', sub {
		produce($t, { k => 'roll', v => '1' }); # closes a segment whose time is over
		my @r = rows_of($t);
		@r < 60 ? scalar @r : 0;
	});
	my $w = kt(watermarks => topic => $t)->{0};
	my @lines = kread('-t', $t);
	my @o = map { $_->{offset} // () } @lines;
	cmp_ok scalar(@o), '<', $w->[1] - $w->[0], 'there are gaps';
	is final(@lines), "0:$w->[1] end " . scalar(@o), 'the end is reached across them';
};

subtest 'transaction markers' => sub {
	my $t = topic('TX');
	kt(transaction => topic => $t, rows => [rows(1, 2)], end => 'commit');
	my @lines = kread('-t', $t);
	is offsets(@lines), '0 1', 'the records';
	is final(@lines), '0:3 end 2', 'the position is behind the marker';
	produce($t, rows(3));
	is final(kread('-t', $t, '-o', 2)), '0:4 end 1', 'a start on a marker';
};

subtest 'aborted transactions' => sub {
	my $t = topic('ABORT');
	produce($t, rows(1));
	kt(transaction => topic => $t, rows => [rows(2 .. 5)], end => 'abort');
	my @lines = kread('-t', $t);
	is offsets(@lines), '0', 'their records are not read';
	is final(@lines), '0:6 end 1', 'the position is behind them';
	my $only = topic('ABORTED');
	kt(transaction => topic => $only, rows => [rows(1 .. 3)], end => 'abort');
	is final(kread('-t', $only)), '0:4 end 0', 'nothing but aborted records';
	is final(kread('-t', $only, '-o', 2)), '0:4 end 0', 'a start among them';
};

subtest 'a last record that is no record any more is not looked for' => sub {
	my $t = topic('LAST');
	kt(transaction => topic => $t, rows => [rows(1, 2)], end => 'commit');
	my $mark = qq({"mark":{"kind":"position","topic":"$t","partition":0,"offset":3,"last":{"offset":2,"ts":1}}}\n);
	my $r = run('kread', '-e', '-t', $t, '--from', '-', { stdin => $mark, timeout => 30 });
	is $r->{exit}, 0, 'at its offset is a marker, as after compaction nothing would be';
	is final(json_lines($r->{out})), '0:3 end 0';
};

subtest 'an open transaction' => sub {
	my $t = topic('OPEN', partitions => 2);
	my $id = "open-$$";
	produce($t, rows(1, 2));
	kt(transaction => topic => $t, rows => [rows(3 .. 5)], end => 'open', id => $id);
	produce($t, rows(6));
	my $r = run('kread', '-e', '--marks', '-t', $t, { timeout => 30 });
	is "$r->{exit} " . offsets(json_lines($r->{out})), '0 0 1', 'the run ends before it';
	is final(json_lines($r->{out})), '0:2 1:0 end 2', 'and so does its position';
	like $r->{err}, qr/^kread: $t\/0: 4 offsets from 2 on wait for an open transaction: [^\n]*$/m, '... after a warning with the count';
	unlike run('kread', '-q', '-e', '-t', $t)->{err}, qr/./, 'unless -q';
	my $both = topic('OPEN2', partitions => 2);
	kt(transaction => topic => $both, rows => [ map { { v => '1', partition => $_ } } 0, 1, 1 ], end => 'open', id => "$id-both");
	like run('kread', '-e', '-t', $both)->{err}, qr/^kread: 3 offsets in 2 partitions wait for open transactions \(first $both\/0 from 0 on\): /m,
	    'of several partitions the sum and the first';
	kt(end_transaction => id => "$id-both", end => 'abort');
	kt(end_transaction => id => $id, end => 'commit');
	wait_until(10, 'the commit marker', sub { kt(watermarks => topic => $t)->{0}[1] == 7 });
	$r = run('kread', '-e', '--marks', '-t', $t, '-o', 2, '-p', 0);
	is offsets(json_lines($r->{out})), '2 3 4 5', 'the next run has it';
	is final(json_lines($r->{out})), '0:7 end 4', '... to behind the marker';
	unlike $r->{err}, qr/open transaction/, '... and no warning is left';
};

subtest 'a busy topic does not look like an open transaction' => sub {
	my $t = topic('NOTOPEN');
	my $producer = start_producer($t);
	wait_until(20, 'the producer', sub { kt(watermarks => topic => $t)->{0}[1] > 1000 });
	my @err = map { run('kread', '-e', '-t', $t, '-o', 'end')->{err} } 1 .. 10;
	stop_producer($producer);
	is scalar(grep { /transaction/ } @err), 0, 'no warning in ten runs';
};

subtest 'read_uncommitted on request' => sub {
	my $t = topic('DIRTY');
	kt(transaction => topic => $t, rows => [rows(1 .. 3)], end => 'abort');
	is offsets(kread('-t', $t, '-X', 'isolation.level=read_uncommitted')), '0 1 2', 'aborted records are there';
};

subtest 'a thousand partitions' => sub {
	my $t = topic('WIDE', partitions => 1000);
	produce($t, { v => '1', partition => 999 }, { v => '2', partition => 3 });
	my $t0 = time;
	my @lines = kread('-t', $t);
	my $sec = time - $t0;
	is scalar(grep { exists $_->{offset} } @lines), 2, 'all are read';
	cmp_ok $sec, '<', 30, sprintf 'in %.1f s: not half a second for each', $sec;
};

done_testing;
