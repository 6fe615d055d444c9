#!/usr/bin/perl
# A writer that sleeps (SIGSTOP, a suspended machine, a long page fault) while others write: when it wakes up and its
# positions were taken over it stores nothing and ends with 75; when they were not, it goes on as if nothing had
# been. One that sleeps with the lock holds up writers, for as long as their --timeout says, and no reader.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use Sluice::Lake;
use Test::More;
use Time::HiRes qw(sleep time);

my @early = records(0, 12);
my @all = records(0, 20);
my $append = { args => ['-a'], name => 'append', offsets => [ 0, 20 ], want => \@all };
my $base = new_lake();
is sink($base, { %$append, offsets => [ 0, 12 ] })->{exit}, 0, 'a lake to begin with';

# ---- sleepers ----

sub sleeps { my ($p) = @_; return slurp("/proc/$p->{pid}/stat") =~ /^\d+ \(.*\) T/ }

# A sink that falls asleep at a system call.
sub fall_asleep
{
	my ($lake, $where, @args) = @_;
	my $p = spawn('jsonl-sink', '-a', @args, $lake, { stdin => stream(0, 20), env => fault("comm=jsonl-sink;$where:stop-before") });
	wait_until(60, "it sleeps at $where", sub { sleeps($p) });
	return $p;
}

sub wake { my ($p) = @_; kill 'CONT', $p->{pid}; return finish($p, 60) }

# What writers leave for others: not the temporary files and lists of those that live.
sub common
{
	my ($lake) = @_;
	my $tree = tree($lake);
	delete @$tree{ left_behind($lake) };
	return $tree;
}

sub is_right
{
	my ($lake, @want) = @_;
	my $problems = [];
	compare($lake, $problems, @want);
	my $check = run('jsonl-sink', '--check', $lake);
	push @$problems, "--check: $check->{exit}: $check->{err}" if $check->{exit};
	push @$problems, map { "left behind: $_" } left_behind($lake);
	ok !@$problems, 'each record once, nothing left behind' or diag join "\n", splice(@$problems, 0, 8);
}

sub is_fenced
{
	my ($r) = @_;
	is $r->{exit}, 75, 'it ends with 75' or diag $r->{err};
	like $r->{err}, qr{^jsonl-sink: T/[01]: another writer of the name "\w+" moved the position}m, 'and says why';
	is $r->{out}, '', 'it acknowledges nothing';
}

# ---- taken over ----

my %asleep = (
	'before its first byte of data' => 'path=/.sluice-;write:1',
	'before its data is durable' => 'path=/.sluice-;fsync:1',
	'before its directories are durable' => 'path=day=02;fsync:2',
	'before it asks for the lock' => 'path=.sluice/lock;flock:2',
);

for my $where (sort keys %asleep) {
	for my $rolls (0, 1) {
		local $ENV{SLUICE_ROLL_BYTES} = $rolls ? 100 : 16 << 20;
		subtest "asleep $where, " . ($rolls ? 'while the journal rolls' : 'while another run does it all') => sub {
			my $lake = copy_of($base);
			my $sleeper = fall_asleep($lake, $asleep{$where});
			is sink($lake, $append)->{exit}, 0, 'the other run';
			my $before = common($lake);
			is_fenced(wake($sleeper));
			is_deeply common($lake), $before, 'it wrote nothing';
			is_right($lake, @all);
		};
	}
	subtest "asleep $where, while another run dies between its commit and its renames" => sub {
		my $lake = copy_of($base);
		my $sleeper = fall_asleep($lake, $asleep{$where});
		is sink($lake, { %$append, fault => fault('comm=jsonl-sink;path=day=02;rename:1:kill-before') })->{signal}, 9, 'killed';
		my $before = slurp("$lake/.sluice/journal");
		is_fenced(wake($sleeper));
		is slurp("$lake/.sluice/journal"), $before, 'it committed nothing';
		my $problems = [];
		compare($lake, $problems, @all);
		ok !@$problems, 'but it finished the commit of the dead' or diag join "\n", @$problems;
		sink($lake, $append); # sweeps
		is_right($lake, @all);
	};
	subtest "asleep $where, while a run of another name commits" => sub {
		my $lake = copy_of($base);
		my $sleeper = fall_asleep($lake, $asleep{$where});
		my @others = map { { %$_, line => $_->{line} =~ s/"topic":"T"/"topic":"U"/r } } @early;
		my $r = sink($lake, { args => [ '-N', 'other' ], stream => stream(0, 12) =~ s/"topic":"T"/"topic":"U"/gr });
		is $r->{exit}, 0, 'the other run' or diag $r->{err};
		$r = wake($sleeper);
		is $r->{exit}, 0, 'it goes on' or diag $r->{err};
		is_right($lake, @all, @others);
	};
	subtest "asleep $where, and killed there" => sub {
		my $lake = copy_of($base);
		my $sleeper = fall_asleep($lake, $asleep{$where});
		is sink($lake, { %$append, offsets => [ 0, 16 ] })->{exit}, 0, 'another run';
		ok((grep { m{/\.sluice-} } all_files($lake)), 'the temporary files of the sleeper were left alone')
			if $where !~ /first byte/;
		kill 'KILL', $sleeper->{pid};
		is finish($sleeper)->{signal}, 9;
		is sink($lake, $append)->{exit}, 0, 'the next run';
		is_right($lake, @all);
	};
}

# A sink whose input comes bit by bit: it sleeps between two reads.
sub fed
{
	my ($lake, @args) = @_;
	pipe my $in, my $to or die;
	my $p = spawn('jsonl-sink', '-a', @args, $lake, { stdin => $in });
	$to->autoflush(1);
	$p->{to} = $to;
	return $p;
}

sub settled { my ($p) = @_; return slurp("/proc/$p->{pid}/stat") =~ /^\d+ \(.*\) S/ }

for my $interval (60, 0.05) {
	subtest "asleep while it waits for input, commits every $interval s" => sub {
		my $lake = copy_of($base);
		my $p = fed($lake, '-i', $interval);
		my ($first, $rest) = stream(0, 20) =~ /\A(.*?"offset":15,.*?\n)(.*)\z/s;
		wait_until(60, 'it is there', sub { grep { m{/writers/} } all_files($lake) });
		kill 'STOP', $p->{pid} if $interval < 1; # its timer is over when it wakes up
		print { $p->{to} } $first;
		wait_until(60, 'it waits', sub { sleeps($p) || (grep { m{/\.sluice-} } all_files($lake)) && settled($p) });
		kill 'STOP', $p->{pid};
		wait_until(60, 'it sleeps', sub { sleeps($p) });
		is sink($lake, $append)->{exit}, 0, 'another run does it all';
		my $before = common($lake);
		sleep 2 * $interval if $interval < 1;
		kill 'CONT', $p->{pid};
		print { $p->{to} } $rest;
		close $p->{to};
		is_fenced(finish($p));
		is_deeply common($lake), $before, 'it wrote nothing';
		is_right($lake, @all);
	};
}

subtest 'overwrite: a sleeper does not put an old table over a newer one' => sub {
	my $lake = new_lake();
	my $p = fall_asleep($lake, 'path=.sluice/lock;flock:2', '-m', 'overwrite');
	my $r = sink($lake, { args => [ '-m', 'overwrite' ], offsets => [ 4, 24 ] });
	is $r->{exit}, 0, 'a newer one' or diag $r->{err};
	my $before = common($lake);
	is_fenced(wake($p));
	is_deeply common($lake), $before, 'it wrote nothing';
	is_right($lake, records(4, 24));
};

subtest 'ignore: a sleeper does not add to a path that has got data' => sub {
	my $lake = new_lake();
	my $p = fall_asleep($lake, 'path=.sluice/lock;flock:2', '-m', 'ignore');
	is sink($lake, { args => [ '-N', 'other' ], offsets => [ 8, 12 ] })->{exit}, 0, 'data in one of its paths';
	my $before = common($lake);
	my $r = wake($p);
	is $r->{exit}, 75;
	like $r->{err}, qr{day=01: another writer stored data there};
	is_deeply common($lake), $before, 'it wrote nothing';
	is_right($lake, records(8, 12));
};

# ---- asleep with the lock ----

my %holds = (
	'with the lock, before the line' => 'path=.sluice/journal;write:1',
	'with the lock, before the line is durable' => 'path=.sluice/journal;fdatasync:2',
	'with the lock, before the renames' => 'path=day=01/;rename:2',
	'with the lock, among the renames' => 'path=day=02;rename:1',
);

for my $where (sort keys %holds) {
	my $written = $where !~ /before the line$/;

	subtest "asleep $where: readers do not wait" => sub {
		my $lake = copy_of($base);
		my $p = fall_asleep($lake, $holds{$where});
		my $before = tree($lake);
		my $cat = run('lakecat', '-N', 'append', $lake, { timeout => 20 });
		is $cat->{exit}, 0;
		is join('', sort $cat->{out} =~ /^.*\n/mg), join('', sort map { $_->{stream} } $written ? @all : @early),
		    'lakecat: all of the commit, or nothing';
		like run('jsonl-sink', '-Q', $lake, { timeout => 20 })->{out}, $written ? qr/"offset":20/ : qr/"offset":12/, '-Q too';
		is run('jsonl-sink', '--check', $lake, { timeout => 20 })->{exit}, 0, '--check';
		is_deeply tree($lake), $before, 'and they change nothing';
		is wake($p)->{exit}, 0, 'it goes on';
		is_right($lake, @all);
	};
	subtest "asleep $where: a new writer gives up after --timeout" => sub {
		my $lake = copy_of($base);
		my $p = fall_asleep($lake, $holds{$where});
		my $before = tree($lake);
		my $r = sink($lake, { %$append, args => [ '-a', '--timeout', 1 ] });
		is $r->{exit}, 75;
		like $r->{err}, qr{\.sluice/lock: another writer has been in a commit for 1 s};
		cmp_ok $r->{sec}, '>=', 1;
		is_deeply tree($lake), $before, 'having done nothing';
		is wake($p)->{exit}, 0, 'the sleeper goes on';
		is sink($lake, $append)->{exit}, 0, 'and so does the next writer';
		is_right($lake, @all);
	};
	subtest "asleep $where: a writer that waits goes on when it wakes up" => sub {
		my $lake = copy_of($base);
		my $p = fall_asleep($lake, $holds{$where});
		my $waits = spawn('jsonl-sink', '-a', $lake, { stdin => stream(0, 20) });
		sleep 0.2;
		is wake($p)->{exit}, 0, 'the sleeper';
		is finish($waits)->{exit}, 0, 'who waited';
		is_right($lake, @all);
	};
	subtest "asleep $where: a writer that waits goes on when it is killed" => sub {
		my $lake = copy_of($base);
		my $p = fall_asleep($lake, $holds{$where});
		my $waits = spawn('jsonl-sink', '-a', $lake, { stdin => stream(0, 20) });
		sleep 0.2;
		kill 'KILL', $p->{pid};
		is finish($p)->{signal}, 9;
		is finish($waits)->{exit}, 0, 'who waited';
		is_right($lake, @all);
	};
	subtest "asleep $where: a writer with a commit to make gives up, and nothing of it is kept" => sub {
		my $lake = copy_of($base);
		my $late = fed($lake, '--timeout', 1);
		print { $late->{to} } stream(0, 20) =~ s{\{"mark":\{"kind":"end".*\n}{}r;
		wait_until(60, 'it has begun', sub { grep { m{day=02/\.sluice-} } all_files($lake) });
		my $p = fall_asleep($lake, $holds{$where});
		close $late->{to};
		my $r = finish($late);
		is $r->{exit}, 75;
		is $r->{out}, '', 'nothing acknowledged';
		is wake($p)->{exit}, 0, 'the sleeper goes on';
		is_right($lake, @all);
	};
}

# ---- at the beginning of a lake ----

for my $what ('', '/.sluice', '/.sluice/writers') {
	subtest "asleep before it makes DIR$what: another one does, and it goes on" => sub {
		my $lake = new_lake();
		my $p = fall_asleep($lake, "path=$lake;mkdir:" . ($what =~ tr{/}{} + 1), '-N', 'late');
		is sink($lake, { %$append, offsets => [ 0, 12 ] })->{exit}, 0, 'the other one';
		my $r = wake($p);
		is $r->{exit}, 0, 'the sleeper' or diag $r->{err};
		is run('jsonl-sink', '--check', $lake)->{exit}, 0;
	};
}

done_testing;
