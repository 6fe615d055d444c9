# Exactly once under kill -9: kread | partition | jsonl-sink against a real broker, killed at random moments
# and run again, over and over; then the lake must hold what was produced, each record once, byte for
# byte. Beside it DuckDB and zcat read every visible file all the time (t/lib/kills-reader).
#
#	SLUICE_KILLS=N      how many kills (200; 1000 with make check LONG=1; none with sanitizers)
#	SLUICE_SEED=N       to repeat a choice of rounds; the moments themselves are not repeatable
#	SLUICE_NO_KILLS=1   skip it

use strict;
use warnings;
use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64 qw(encode_base64);
use Sluice;
use Sluice::Kills;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'no random kills asked for' if $ENV{SLUICE_NO_KILLS} || sanitized() && !$ENV{SLUICE_KILLS};

my $wanted = $ENV{SLUICE_KILLS} // ($ENV{SLUICE_LONG} ? 1000 : 200);
my $seed = $ENV{SLUICE_SEED} // time % 1_000_000_007;
my $broker_rounds = int($wanted / 60);
my $kafka = start_kafka(); # our own: it is killed too
my $reader = Sluice::Kills::Reader->new;
my $dir = tempdir();
my ($rounds, $kills, $fenced, $broken, %killed) = (0, 0, 0, 0);

$ENV{SLUICE_BROKERS} = $kafka->brokers;
srand int $seed;
diag "seed $seed, $wanted kills";

sub one_of { return $_[ rand @_ ] }

# ---- what is produced ----

# Payloads of many shapes whose bytes must survive; over three days, so that a commit has several files.
sub rows
{
	my ($count, $partitions) = @_;
	my @city = ("Z\xc3\xbcrich", 'Bogota', "\xe6\x9d\xb1\xe4\xba\xac", '\u0041ix');
	return map {
		my $text = join ' ', map { one_of('lorem', 'ipsum', '\\"x\\"', 'dolor') } 1 .. 1 + rand 30;
		{
			partition => int rand $partitions, ts => 1_763_697_600_000 + $_ % 3 * 86_400_000 + $_,
			k => "K$_", payload => sprintf('{"n":%d,"amount":%.2f,"city":"%s", "big":9007199254740993,"t":"%s"}',
			    $_, rand 1000, one_of(@city), $text),
		}
	} 1 .. $count;
}

sub send_rows
{
	my ($how, $topic, $rows, @more) = @_;
	return kt($how => on => $kafka->brokers, topic => $topic, @more,
	    rows => [ map { { partition => $_->{partition}, ts => $_->{ts}, k => $_->{k},
	        value => encode_base64($_->{payload}, "") } } @$rows ]);
}

# A topic, and the file that says what is in it: topic, partition, offset, payload.
sub make_topic
{
	my ($stem, $partitions, $count, $transactions) = @_;
	my $name = kt(create => on => $kafka->brokers, topic => "$stem-$$", partitions => $partitions,
	    config => { 'retention.ms' => -1 }); # the times of the records are long past
	my @parts = $transactions ? ('produce', 'commit', 'abort', 'commit', 'produce') : ('produce');
	open my $f, '>:raw', "$dir/$name" or die $!;

	for my $part (@parts) {
		my @rows = rows($count / @parts, $partitions);
		my $places = $part eq 'produce' ? send_rows(produce => $name, \@rows)
		    : send_rows(transaction => $name, \@rows, end => $part);
		next if $part eq 'abort';
		for my $i (0 .. $#rows) {
			print $f join("\t", $name, @{ $places->[$i] }, $rows[$i]{payload}), "\n";
		}
	}
	close $f or die $!;
	return { name => $name, expect => "$dir/$name" };
}

# ---- one pipeline ----

# slow: a trickle, so that the timer makes the commits and the processes wait for each other.
sub command
{
	my ($lake, $o) = @_;
	my $trickle = '$| = 1; while (<STDIN>) { print; select undef, undef, undef, 0.004 unless $. % 40 }';
	return (
		[ 'kread', '-t', $o->{topic}{name}, '-e', '-m', 10, $o->{from} ? ('--from', "$lake/") : '--marks' ],
		$o->{slow} ? [ 'perl', '-e', $trickle ] : (),
		['partition'],
		[ 'jsonl-sink', $o->{gzip} ? ('-z', one_of('gzip', 'gzip:1')) : (), '-i', '0.05', '--size',
			$o->{size} // '12k', $lake ],
	);
}

sub describe
{
	my ($o) = @_;
	return join ' ', $o->{topic}{name} =~ /^(\w+)/, grep { $o->{$_} } qw(from gzip slow);
}

# Why the exit codes of a pipeline are not what they may be after a kill of $victim ('': none); '' when fine.
sub unexpected
{
	my ($p, $victim, $fencing) = @_;
	my $status = $p->{status};
	my $sink = $status->{'jsonl-sink'};
	my $err = $p->err('jsonl-sink');

	return '' if $victim eq 'all' || $sink == 0 && ($victim || !grep { $_ } values %$status);
	return '' if $sink == 137 && $victim eq 'jsonl-sink';
	return '' if $sink == 75 && $fencing;
	# The writer of the pipe died within a line.
	return '' if $sink == 65 && $victim && $err =~ /incomplete|newline|cut/;
	return join '; ', (map { "$_ ended with $status->{$_}" } @{ $p->{names} }),
	    map { $p->err($_) } 'kread', 'jsonl-sink';
}

# How long such a line lives, so that kills fall into its life: shorter when one came too late, longer
# when it did not.
my %takes;

sub aim
{
	my ($o, $hit) = @_;
	my $takes = \($takes{ describe($o) } //= 0.4);

	return rand $$takes unless defined $hit;
	$$takes *= $hit ? 1.05 : 0.7;
}

# ---- a round: a new lake, kills until the lines complete, then the proof ----

sub files_of
{
	my ($lake) = @_;
	return join '', sort split /^/m, run('find', $lake, '-name', '*.jsonl*', '-printf', '%P %s %i\n')->{out};
}

sub run_all
{
	my ($lake, $pending, $kill, $problems, $fencing) = @_;
	my @p = map { { o => $_, run => Sluice::Kills->start(command($lake, $_)) } } @$pending;
	my $victim = '';
	my $hit = one_of(@p);

	if ($kill) {
		sleep aim($hit->{o});
		$victim = one_of('jsonl-sink', 'jsonl-sink', 'jsonl-sink', 'kread', 'partition', 'all', 'all');
		if ($hit->{run}->kill9($victim)) {
			$kills++;
			$killed{$victim}++;
		} else {
			$victim = '';
		}
		aim($hit->{o}, $victim ne '');
	}
	my @left;
	for my $p (@p) {
		my $status = $p->{run}->wait(60);
		my $mine = $p == $hit ? $victim : '';
		my $why = unexpected($p->{run}, $mine, $fencing);
		push @$problems, $why if $why;
		$fenced++ if $status->{'jsonl-sink'} == 75;
		push @left, $p->{o} if $mine || grep { $_ } values %$status;
	}
	return @left;
}

sub prove
{
	my ($lake, $pending, $problems) = @_;
	my %expect = map { $_->{topic}{expect} => 1 } @$pending;
	my $verified = $reader->ask('verify', $lake, sort keys %expect);
	my $check = run('jsonl-sink', '--check', $lake);

	push @$problems, @{ $verified->{errors} };
	push @$problems, "--check: $check->{exit}: $check->{err}" if $check->{exit};
	return $verified->{records};
}

# After it all, the same lines once more: nothing to do, nothing done, nothing left lying about.
sub prove_rerun
{
	my ($lake, $pending, $problems) = @_;
	my $before = files_of($lake);

	run_all($lake, [$_], 0, $problems, 0) for @$pending;
	push @$problems, 'a rerun with nothing new changed files' if files_of($lake) ne $before;
}

# What must hold once the lines have completed; then the lake may go.
sub conclude
{
	my ($what, $round, @lines) = @_;
	my ($lake, $problems) = @$round{qw(lake problems)};

	prove_rerun($lake, \@lines, $problems);
	push @$problems, map { "reader: $_" } @{ $reader->ask('stop')->{errors} };
	prove($lake, \@lines, $problems);
	ok !@$problems, sprintf '%s: %s%s: %d kills, %.1f s', $what, join(' + ', map { describe($_) } @lines),
	    $ENV{SLUICE_ROLL_BYTES} < 1 << 20 ? ', rolling' : '', $kills - $round->{kills}, time - $round->{started};
	if (@$problems) {
		my $kept = '/tmp/sluice-kills-' . int($seed) . '-' . ++$broken;
		run('cp', '-a', $lake, $kept);
		diag join "\n", @$problems, "the lake is kept in $kept, seed $seed";
	}
	remove_tree($lake);
	return if $broken < 3;
	diag 'three rounds failed: no more of them';
	done_testing;
	exit 1;
}

sub new_round
{
	my $round = { lake => "$dir/lake-" . ++$rounds, problems => [], started => time, kills => $kills };
	$ENV{SLUICE_ROLL_BYTES} = one_of(3000, 16 << 20);
	$reader->ask('watch', $round->{lake});
	return $round;
}

sub round
{
	my ($what, @lines) = @_;
	my $round = new_round();
	my $enough = $kills + 3 + int rand 6;
	my $fencing = @lines > 1 && $lines[0]{topic} == $lines[1]{topic};
	my @pending = @lines;

	for (my $runs = 0; @pending && !@{ $round->{problems} }; $runs++) {
		my $kill = $kills < $enough && $kills < $wanted;
		@pending = run_all($round->{lake}, \@pending, $kill, $round->{problems}, $fencing);
		push @{ $round->{problems} }, 'never gets done' if $runs > 50;
	}
	conclude($what, $round, @lines);
}

# The broker dies while the line runs and comes back: the line may wait for it, or give up and be run again.
sub broker_round
{
	my ($line) = @_;
	my $round = new_round();
	my $run = Sluice::Kills->start(command($round->{lake}, $line));

	sleep 0.1 + rand 0.5;
	$kafka->kill9;
	$kills++;
	$killed{broker}++;
	sleep rand 0.5;
	$kafka->start;
	my $status = $run->wait(60);
	my $why = unexpected($run, 'broker', 0);
	push @{ $round->{problems} }, $why if $why;
	run_all($round->{lake}, [$line], 0, $round->{problems}, 0) if grep { $_ } values %$status;
	conclude('broker', $round, $line);
}

my $one = make_topic('ONE', 1, 3000, 0);
my $four = make_topic('FOUR', 4, 4000, 1);
my $three = make_topic('THREE', 3, 2000, 0);

sub line { return { topic => shift, from => one_of(0, 1), gzip => one_of(0, 1), @_ } }

my @kinds = (
	sub { round('one partition', line($one)) },
	sub { round('four partitions, transactions', line($four)) },
	sub { round('a trickle', line(one_of($one, $four), slow => 1, size => '1G')) },
	sub { round('two topics, one lake', line($one), line($three)) },
	sub { round('one topic twice under one name', line($four, from => 0, slow => 1), line($four, slow => 1)) },
	sub { round('small commits', line(one_of($one, $four), size => '3k')) },
);

broker_round(line(one_of($one, $four), slow => 1)) for 1 .. $broker_rounds;
for (my $i = 0; $kills < $wanted; $i++) {
	$kinds[ $i % @kinds ]->();
}

cmp_ok $kills, '>=', $wanted,
    'as many kills as asked for: ' . join ', ', map { "$_ $killed{$_}" } sort keys %killed;
cmp_ok $fenced, '>', 0, "of two sinks under one name one was fenced ($fenced times)";
done_testing;
