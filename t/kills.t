# Exactly once under kill -9: kread | partition | jsonl-sink against a real broker, killed at random moments
# and run again, over and over; then the lake must hold what was produced, each record once, byte for
# byte. Beside it DuckDB reads every visible file all the time (t/lib/kills-reader). A part of the kills meets
# sinks that read a recorded stream: overwrite, ignore, rejects, recovery. make soak goes on with more of them.
#
#	SLUICE_KILLS=N      how many kills (200; 1000 with make check LONG=1; none with sanitizers)
#	SLUICE_SEED=N       to repeat a choice of rounds; the moments themselves are not repeatable
#	SLUICE_NO_KILLS=1   skip it

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Kills;
use Sluice::Kills::Data;
use Sluice::Kills::Kinds;
use Test::More;

plan skip_all => 'no random kills asked for' if $ENV{SLUICE_NO_KILLS} || sanitized() && !$ENV{SLUICE_KILLS};

my $wanted = $ENV{SLUICE_KILLS} // ($ENV{SLUICE_LONG} ? 1000 : 200);
my $seed = int($ENV{SLUICE_SEED} // time % 1_000_000_007);
my $kafka = start_kafka(); # our own: it is killed too
my $dir = tempdir();
my ($kills, $fenced, $failed, %killed) = (0, 0, 0);

$ENV{SLUICE_BROKERS} = $kafka->brokers;
srand $seed;
diag "seed $seed, $wanted kills";

my $data = Sluice::Kills::Data->new($kafka->brokers, $dir, 0.5);
my $kinds = Sluice::Kills::Kinds->new(data => $data, reader => Sluice::Kills::Reader->new, dir => $dir);

sub judge
{
	my ($round) = @_;
	my $problems = $round->{problems};

	$kills += $round->kills;
	$fenced += $round->{fenced};
	$killed{$_} += $round->{kills}{$_} for keys %{ $round->{kills} };
	ok !@$problems, sprintf '%s%s: %d kills, %.1f s', $round->{what}, $round->{roll} ? ', rolling' : '',
	    $round->kills, $round->{seconds};
	if (@$problems) {
		my $kept = "/tmp/sluice-kills-$seed-" . ++$failed;
		$round->keep($kept);
		diag join "\n", @$problems, "the lake and its command lines are kept in $kept, seed $seed";
	}
	$round->remove;
	return if $failed < 3;
	diag 'three rounds failed: no more of them';
	done_testing;
	exit 1;
}

judge($kinds->broker_round($kafka)) for 1 .. $wanted / 60;
my @kinds = map { my @r = $kinds->recorded_kinds; ($kinds->with_broker, @r[ $_ * 5 .. $_ * 5 + 4 ]) } 0 .. 2;
for (my $i = 0; $kills < $wanted; $i++) {
	my $kind = $kinds[ $i % @kinds ] // next;
	judge($kinds->round($kind, wanted => 3 + int rand 6));
}

judge($kinds->round('one topic twice under one name', wanted => 1)) for grep { !$fenced } 1 .. 10; # chance had its chance

cmp_ok $kills, '>=', $wanted, 'as many kills as asked for: ' . join ', ', map { "$_ $killed{$_}" } sort keys %killed;
cmp_ok $fenced, '>', 0, "of two sinks under one name one was fenced ($fenced times)";
done_testing;
