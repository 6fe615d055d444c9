# Exactly once under kills: mysql-upsert, its server (kill -9, restart) and its connections (KILL CONNECTION, a proxy that
# cuts before, within and after a request and its reply, COMMIT above all) are killed and it is run again, over and over,
# on MariaDB and on MySQL at the same time. After every run the tables are what the topic was at the positions beside
# them; with --no-reduce, what triggers counted shows that no record was applied twice. make soak goes on with more.
#
#	SLUICE_KILLS=N      how many kills on each server (200; 1000 with make check LONG=1; none with sanitizers)
#	SLUICE_SEED=N       to repeat a choice of rounds; the moments themselves are not repeatable
#	SLUICE_NO_KILLS=1   skip it

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use Sluice;
use Sluice::Db;
use Sluice::Kills;
use Sluice::Kills::Changes;
use Sluice::Kills::Warehouse;
use Test::More;

plan skip_all => 'no random kills asked for' if $ENV{SLUICE_NO_KILLS} || sanitized() && !$ENV{SLUICE_KILLS};

my $wanted = $ENV{SLUICE_KILLS} // ($ENV{SLUICE_LONG} ? 1000 : 200);
my $seed = int($ENV{SLUICE_SEED} // time % 1_000_000_007);
my $dir = tempdir();
my @flavours = map { $_->flavour } Sluice::Db::servers();

broker();
srand $seed;
diag "seed $seed, $wanted kills on each server";
my $changes = Sluice::Kills::Changes->new($ENV{SLUICE_BROKERS}, $dir);

# Rounds on one server, each told to the parent in a line, until there were enough kills.
sub work
{
	my ($flavour, $out) = @_;
	mkdir "$dir/$flavour";
	my $w = Sluice::Kills::Warehouse->new(flavour => $flavour, changes => $changes, dir => "$dir/$flavour");
	my @order = ($w->with_broker, ($w->recorded_kinds) x 2);
	my ($kills, $fenced, $failed) = (0, 0, 0);

	for (my $i = 0; $kills < $wanted && $failed < 3; $i++) {
		my $round = $w->round($order[ $i % @order ], wanted => 4 + int rand 6);
		my $kept = @{ $round->{problems} } ? "/tmp/sluice-kills-$seed-$flavour-" . ++$failed : undef;
		$round->keep($kept) if $kept;
		$round->remove;
		$kills += $round->kills;
		print $out to_json({ flavour => $flavour, count => $round->kills, kept => $kept,
			map { $_ => $round->{$_} } qw(what kills fenced gave_up problems seconds) }), "\n";
	}
}

sub start_worker
{
	my ($flavour) = @_;
	pipe my $in, my $out or die "pipe: $!";
	my $pid = fork // die "fork: $!";

	if ($pid) {
		close $out;
		return { pid => $pid, in => $in };
	}
	close $in;
	$out->autoflush(1);
	srand $seed + length $flavour;
	eval { work($flavour, $out); 1 } or print $out to_json({ flavour => $flavour, died => "$@" }), "\n";
	exit 0;
}

my (%kills, %victims, %gave_up, $fenced);

sub judge
{
	my ($report) = @_;
	my $flavour = $report->{flavour};

	return fail("$flavour: $report->{died}") if $report->{died};
	ok !@{ $report->{problems} }, sprintf '%s: %s: %d kills, %.1f s', @$report{qw(flavour what count seconds)};
	diag join "\n", @{ $report->{problems} }, "what there is is kept in $report->{kept}, seed $seed" if $report->{kept};
	$kills{$flavour} += $report->{count};
	$gave_up{$flavour} += $report->{gave_up};
	$fenced += $report->{fenced};
	$victims{$flavour}{$_} += $report->{kills}{$_} for keys %{ $report->{kills} };
}

my @workers = map { start_worker($_) } @flavours;
my $select = IO::Select->new(map { $_->{in} } @workers);
while ($select->count) {
	for my $in ($select->can_read) {
		my $line = readline $in;
		defined $line ? judge(json($line)) : $select->remove($in);
	}
}
waitpid $_->{pid}, 0 for @workers;

for my $flavour (@flavours) {
	my $of = $victims{$flavour} // {};
	cmp_ok $kills{$flavour} // 0, '>=', $wanted, "$flavour: as many kills as asked for: " . join ', ', map { "$_ $of->{$_}" } sort keys %$of;
	is join(', ', grep { !$of->{$_} } 'server', 'tool', 'tool at COMMIT', 'connection', 'cut at', 'cut at COMMIT'), '',
	    "$flavour: none of the kinds was missed" if $wanted >= 200;
	note "$flavour: $gave_up{$flavour} runs gave up (69)";
}
done_testing;
