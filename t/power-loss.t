# The commit protocol of sluice-lake(5) under power loss: runs of jsonl-sink are recorded, and for each moment
# of a run the states are built that POSIX allows the disk to be in (t/lib/Sluice/Power.pm says which).
# In each of them
#
# - -Q finds every position that was acknowledged before, and --check has nothing to say;
# - the same line run again completes, and then every record is there once, --check is clean, what could be
#   seen before is as it was, and nothing is left lying about.
#
# All states of a small run; of others a sample. SLUICE_LONG=1: more of them, and more forms of a write;
# SLUICE_STATES=N: so many times as many; SLUICE_SEED=N: another sample. SLUICE_BUILD=DIR tests another build;
# prove t/power-loss.t :: TEXT only what has TEXT in its name.
# What fails is kept in /tmp/sluice-power-*, with the record of the run.
#
# That all this can fail is shown by controls: records of good runs from which a sync is taken out, or in which
# two calls have changed places, must be found wrong.

use strict;
use warnings;
use File::Path qw(remove_tree);
use FindBin;
use IO::Handle;
use IO::Uncompress::Gunzip qw(gunzip);
use IPC::Open2 qw(open2);
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Power;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{SLUICE_SEED} // 5;
my $times = ($ENV{SLUICE_LONG} ? 8 : 1) * ($ENV{SLUICE_STATES} // 1) / (sanitized() ? 10 : 1);
my $dir = memory_dir();
my ($only) = @ARGV;
my ($names, $states, $started) = (0, 0, time);
$SIG{PIPE} = 'IGNORE';

# ---- what goes in ----

sub line
{
	my ($partition, $offset) = @_;
	return sprintf '{"topic":"T","partition":%d,"offset":%d,"tstype":"create","ts":%d,"payload":{"n":%d}}',
	    $partition, $offset, 1_763_697_600_000 + $offset, $offset * 7;
}

# with_path([PATH, PARTITION, OFFSET]..)
sub with_path { return map { '{"path":"' . $_->[0] . '",' . substr(line(@$_[ 1, 2 ]), 1) . "\n" } @_ }

sub mark { return '{"mark":{"kind":"' . shift() . '"' . join('', map { ",$_" } @_) . "}}\n" }

sub stream
{
	my (@records) = @_;
	my (%from, %to);
	for (@records) {
		$from{ $_->[1] } //= $_->[2];
		$to{ $_->[1] } = $_->[2] + 1;
	}
	my $place = sub { "\"topic\":\"T\",\"partition\":$_[0],\"offset\":$_[1]" };
	return join '', (map { mark('start', $place->($_, $from{$_})) } sort keys %from), with_path(@records),
	    (map { mark('position', $place->($_, $to{$_})) } sort keys %to), mark('end', '"records":' . @records);
}

# ---- one state ----

# Shells that run the tools: forking this process for each would take most of the time. Each has a job at a time.
my @shells;

sub start_shell
{
	my ($script) = @_;
	my $shell = (grep { !$_->{busy} } @shells)[0];
	if (!$shell) {
		$shell = {};
		open2($shell->{from}, $shell->{to}, 'sh');
		push @shells, $shell;
	}
	$shell->{busy} = $script;
	print { $shell->{to} } "$script\n";
	$shell->{to}->flush;
	return $shell;
}

# What the script has printed, word by word.
sub answer
{
	my ($shell) = @_;
	local $SIG{ALRM} = sub { die "no answer after 120 s: $shell->{busy}\n" };
	alarm 120;
	my $answer = readline $shell->{from};
	alarm 0;
	delete $shell->{busy};
	return split ' ', $answer // die "the shell died\n";
}

# What stands below a directory: { path => content }, of hidden files only the names.
sub files
{
	my ($path, $prefix, $to) = @_;
	opendir my $d, $path or return $to;
	for (readdir $d) {
		next if $_ eq '.' || $_ eq '..';
		if (-d "$path/$_") {
			files("$path/$_", "$prefix$_/", $to);
		} else {
			$to->{"$prefix$_"} = "$prefix$_" =~ m{(^|/)\.} ? '' : slurp("$path/$_");
		}
	}
	return $to;
}

sub visible { my ($files) = @_; return grep { !m{(^|/)\.} } sort keys %$files }

sub lines_of
{
	my ($files) = @_;
	my @lines;
	for my $file (visible($files)) {
		my $text = $files->{$file};
		gunzip(\$files->{$file} => \$text, MultiStream => 1) if $file =~ /\.gz$/;
		push @lines, split /\n/, $text;
	}
	return @lines;
}

sub positions { return map { ($_->{mark}{partition} => $_->{mark}{offset}) } json_lines($_[0]) }

# Lets the tools loose on a state that stands in $d: a job to be judged. The design has --repair after a line that could
# be neither made durable nor taken back, and for nothing else.
sub try
{
	my ($s, $d) = @_;
	my $run = "$s->{env} jsonl-sink @{ $s->{args} } lake <$s->{in} >r 2>re";
	return { s => $s, dir => $d, acked => $s->{acked}, before => files("$d/lake", '', {}),
		when => "after event $s->{at}, $s->{event}", shell => start_shell(<<~"END") };
		cd $d; [ -e lake/.sluice/failed ]; failed=\$?
		jsonl-sink -Q -N $s->{name} lake >q 2>qe; a=\$?; jsonl-sink --check lake >f 2>fe; b=\$?
		$s->{first}; $run; c=\$?
		[ \$failed\$c = 065 ] && jsonl-sink --repair lake >p 2>&1 && { $run; c=\$?; }
		jsonl-sink --check lake >l 2>le; echo \$a \$b \$c \$? \$failed
		END
}

sub judge
{
	my ($job) = @_;
	my ($s, $d, $acked, $before) = @$job{qw(s dir acked before)};
	my ($q, $first, $run, $last, $failed) = answer($job->{shell});
	my $after = files("$d/lake", '', {});
	my %stored = positions(slurp("$d/q"));
	my $lake = keys %$acked || grep { m{^\.sluice/} } keys %$before; # else there may be none yet
	my (@problems, %have);

	push @problems, "-Q: $q: " . slurp("$d/qe") if $q;
	push @problems, map { "acknowledged, not stored: $_: $acked->{$_}" }
	    grep { ($stored{$_} // -1) < $acked->{$_} } sort keys %$acked;
	push @problems, "--check after the loss: $first: " . slurp("$d/fe") if $first && $lake && $failed && !$s->{damaged};
	push @problems, "run again: $run: " . slurp("$d/re") if $run && $run != $s->{exit};
	push @problems, "--check at the end: $last: " . slurp("$d/le") if $last;
	push @problems, map { "left behind: $_" } grep { m{(^|/)\.sluice-[^/]*$|/writers/|/failed$} } sort keys %$after;
	push @problems, map { "changed: $_" } grep { ($after->{$_} // '') ne $before->{$_} }
	    $s->{mode} eq 'append' && !$s->{damaged} ? visible($before) : ();
	push @problems, map { "damaged, and not kept: $_" } grep {
		system("grep -rqsF '$_' $d/lake") } @{ $s->{damaged} // [] };
	$have{$_}++ for lines_of($after);
	push @problems, map { "twice: $_" } grep { $have{$_} > 1 } sort keys %have;
	push @problems, map { "lost: $_" } grep { !$have{$_} } @{ $s->{want} };
	push @problems, map { "too much: $_" } grep { !$s->{wanted}{$_} } sort keys %have;
	return join "\n", $job->{when}, @problems if @problems;
	return '';
}

# The oldest job ends.
sub settle
{
	my ($s) = @_;
	my $job = shift @{ $s->{jobs} };
	my $found = judge($job);

	$s->{found} = $found if $s->{until} && $found =~ $s->{until};
	if ($found && !$s->{until} && @{ $s->{problems} } < 5) {
		my $kept = "/tmp/sluice-power-$$-$s->{count}";
		remove_tree($kept);
		mkdir $kept;
		$s->{disk}->build($job->{state}, "$kept/state");
		run('cp', '-a', $s->{work}, "$kept/run");
		$found .= "\nkept in $kept";
	}
	push @{ $s->{problems} }, $found if $found;
	remove_tree($job->{dir});
}

# ---- one run ----

# A scenario: {base}: runs whose work is durable. {runs}: that are recorded, one after the other, and the power is lost
# in each but those that have {pass}: they have {kill}, the number of events they live, or {spec}, faults, and
# {exit}, {args} if others than the scenario's. {args}, {env}, {exit} of the run that finds what was left; {first}: what
# is run before; {want}: the lines that must be there then, or else their number, and a whole run shows them. {spoil}:
# damages the lake at the beginning, so that {damaged}, these texts, must be kept wherever it is. {mangle} changes the
# list of events, for a control, and says from where on to look ({from}).
sub prepare
{
	my (%o) = @_;
	my $work = "$dir/" . ++$names;
	my $s = { exit => 0, mode => 'append', env => '', args => ['-a'], first => ':', runs => [ {} ],
		mangle => sub { shift; @_ }, %o,
		work => $work, jobs => [], problems => [], count => 0, seen => {}, traces => 0 };

	$s->{name} //= $s->{mode};
	want($s, @{ $s->{want} }) if ref $s->{want};
	$s->{in} = "$work.in";
	mkdir $work or die $!;
	mkdir "$work/d" or die $!;
	spew($s->{in}, $s->{stream});
	for my $base (@{ $s->{base} // [] }) {
		my $r = run('env', 'jsonl-sink', @{ $base->{args} // ['-a'] }, "$work/d/lake", { stdin => $base->{stream} });
		die "base: $r->{exit}: $r->{err}" if $r->{exit};
	}
	$s->{spoil}->("$work/d/lake") if $s->{spoil};
	if (my $from = $s->{from_disk}) {
		rmdir "$work/d";
		$from->[0]->build($from->[1], "$work/d");
	}
	$s->{disk} = Sluice::Power->new("$work/d");
	$s->{acked} = { positions(run('jsonl-sink', '-Q', '-N', $s->{name}, "$work/d/lake")->{out}) };
	return $s;
}

sub want
{
	my ($s, @lines) = @_;
	$s->{want} = \@lines;
	$s->{wanted} = { map { $_ => 1 } @lines };
}

# One recorded run: its events. What an undisturbed run leaves is what is wanted when the scenario does not say it.
sub recorded
{
	my ($s, %run) = @_;
	my $trace = "$s->{work}/trace" . ++$s->{traces};
	my $env = record("$s->{work}/d", $trace, $run{spec});
	my %more = $s->{env} =~ /(\w+)=(\w+)/g;
	my $killed = $run{kill} || ($run{spec} // '') =~ /kill/;
	my $r = run('jsonl-sink', @{ $run{args} // $s->{args} }, "$s->{work}/d/lake",
	    { stdin => $s->{stream}, env => { %$env, %more, $run{kill} ? (SLUICE_RECORD_KILL => $run{kill}) : () } });

	die "recorded: exit $r->{exit}: $r->{err}" if $killed ? $r->{signal} != 9 : $r->{exit} != ($run{exit} // $s->{exit});
	if (!ref $s->{want}) {
		my $lines = $s->{want};
		want($s, lines_of(files("$s->{work}/d/lake", '', {})));
		die "the lake has not $lines lines" if @{ $s->{want} } != $lines;
	}
	return $s->{mangle}->($s, events($trace));
}

sub visit
{
	my ($s, $state) = @_;
	my $key = $s->{disk}->digest($state) . join ',', map { "$_:$s->{acked}{$_}" } sort keys %{ $s->{acked} };
	my $to = "$dir/s" . ++$names;

	return 0 if $s->{seen}{$key}++ || $s->{found};
	$s->{disk}->build($state, $to);
	push @{ $s->{jobs} }, { state => $state, %{ try($s, $to) } };
	$s->{count}++;
	$states++;
	settle($s) if @{ $s->{jobs} } >= 3;
	return 1;
}

sub describe { my ($e) = @_; return join ' ', grep { length } @$e{qw(call path path2)} }

# Walks through a run and looks at the states after each event: all, or $n in all.
sub walk
{
	my ($s, $n, @events) = @_;
	my ($seen, $points) = ($s->{count}, @events + 1);
	my $look = sub {
		return if $s->{at} < ($s->{from} // 0);
		return $s->{disk}->each_state(sub { visit($s, @_) }, few => !$ENV{SLUICE_LONG}) if $n eq 'all';
		my $rest = ($n - ($s->{count} - $seen)) / ($points - $s->{at});
		$rest = int($rest) + (rand() < $rest - int $rest);
		$s->{disk}->some_states($rest, sub { visit($s, @_) }) if $rest > 0;
	};

	@$s{qw(at event)} = (0, 'the start');
	$s->{event} .= " of run $s->{traces}" if $s->{traces} > 1;
	$look->();
	for my $e (@events) {
		$s->{disk}->apply($e);
		$s->{acked} = { %{ $s->{acked} }, positions($e->{data}) } if $e->{call} eq 'ack';
		$s->{at}++;
		$s->{event} = describe($e) . ($s->{traces} > 1 ? " of run $s->{traces}" : '');
		$look->();
	}
	settle($s) while @{ $s->{jobs} };
}

# Only applies them: what processes see later is as if nothing had been lost.
sub apply_all
{
	my ($s, @events) = @_;
	for my $e (@events) {
		$s->{disk}->apply($e);
		$s->{acked} = { %{ $s->{acked} }, positions($e->{data}) } if $e->{call} eq 'ack';
	}
}

# One test for the states of these scenarios.
sub report_on
{
	my ($what, @s) = @_;
	my @bad = map { @{ $_->{problems} } } @s;
	my $count = 0;

	$count += $_->{count} for @s;
	ok !@bad && $count, "$what: $count states";
	diag join "\n", scalar(@bad) . " states are wrong, seed $seed", @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ] if @bad;
}

# All runs of a scenario, and $n of the states after the events of each.
sub play
{
	my ($s, $n) = @_;
	for my $run (@{ $s->{runs} }) {
		my @events = recorded($s, %$run);
		$run->{pass} ? apply_all($s, @events) : walk($s, $n, @events);
	}
	remove_tree($s->{work}) if !@{ $s->{problems} };
	return $s;
}

# scenario(WHAT, N, ..): a run, and N of its states, or `all`.
sub scenario
{
	my ($what, $n, %o) = @_;
	return if skipped($what);
	$n = 1000 if $n eq 'all' && sanitized();
	report_on($what, play(prepare(%o), $n eq 'all' ? $n : $n * $times));
}

# Whether this one is not wanted; else it begins with its own random numbers.
sub skipped
{
	my ($what) = @_;
	srand int($seed) + length $what;
	return defined $only && index($what, $only) < 0;
}

# The same for a run that did it wrong: something must be found, and it must be what $like says.
sub control
{
	my ($what, $like, %o) = @_;
	return if skipped("control: $what") || sanitized();
	my $s = prepare(%o, until => $like);
	walk($s, $o{look} // 400, recorded($s));
	ok $s->{found}, "control: $what: found after $s->{count} states"
	    or diag @{ $s->{problems} } ? "other problems: $s->{problems}[0]" : 'nothing was found';
	note $s->{found} if $s->{found};
	remove_tree($s->{work});
}

# without(CALL, PATH, N..): the events but for the Nth (all) of CALL whose path matches.
sub without
{
	my ($call, $path, @n) = @_;
	return mangle => sub {
		my ($s, @events) = @_;
		my @hits = grep { $events[$_]{call} eq $call && $events[$_]{path} =~ $path } 0 .. $#events;
		my %drop = map { $_ => 1 } @n ? @hits[ map { $_ - 1 } @n ] : @hits;
		($s->{from}) = sort { $a <=> $b } keys %drop;
		die "there is no $call of $path\n" if !defined $s->{from};
		return map { $drop{$_} ? () : $events[$_] } 0 .. $#events;
	};
}

# too_early(CALL, PATH, CALL2, PATH2): the first of CALL comes before the first CALL2.
sub too_early
{
	my ($call, $path, $call2, $path2) = @_;
	return mangle => sub {
		my ($s, @events) = @_;
		my ($from) = grep { $events[$_]{call} eq $call && $events[$_]{path} =~ $path } 0 .. $#events;
		my ($to) = grep { $events[$_]{call} eq $call2 && $events[$_]{path} =~ $path2 } 0 .. $#events;
		die "$call, $call2: not there, or not in this order\n" unless defined $from && $from > $to;
		$s->{from} = $to;
		return (@events[ 0 .. $to - 1 ], $events[$from], @events[ $to .. $from - 1, $from + 1 .. $#events ]);
	};
}

# ---- the runs ----

sub lines { return want => [ map { line(@$_[ 1, 2 ]) } @_ ] }

# $n records of two partitions, spread over so many paths
sub records { my ($n, $paths, $from) = @_; return map { [ $paths->($_ % 2, $_), $_ % 2, int $_ / 2 ] } ($from // 0) .. $n - 1 }

my @small = ([ 'a', 0, 0 ], [ 'b', 0, 1 ], [ 'b', 0, 2 ], [ 'b', 0, 3 ], [ 'b', 0, 4 ]);
my %small = (stream => stream(@small), args => [ '-a', '--size', 300 ], lines(@small));
my @deep = records(40, sub { "streams/T/day=0" . int $_[1] / 10 });
my @wide = records(80, sub { "wide/p" . $_[1] % 30 });

scenario('a small run, all states', 'all', %small);

scenario('directories to make, four commits', 120, stream => stream(@deep), args => [ '-a', '--size', '1k' ], lines(@deep));

scenario('gzip in two threads', 100, stream => stream(@deep), lines(@deep),
	args => [ '-a', '-z', 'gzip:1', '-j', 2, '--size', '1k' ]);

scenario('a journal that rolls', 120, stream => stream(@deep), lines(@deep),
	args => [ '-a', '--size', '1k' ], env => 'SLUICE_ROLL_BYTES=900');

scenario('many paths, two commits', 100, stream => stream(@wide), args => [ '-a', '--size', '4k' ], lines(@wide));

scenario('a lake that has data', 80, stream => stream(@deep), args => ['-a'], lines(@deep),
	base => [ { stream => stream(@deep[ 0 .. 13 ]) } ]);

{
	my @old = records(8, sub { "t/" . (qw(a b))[ $_[0] ] });
	my @new = records(20, sub { "t/" . (qw(b c))[ $_[0] ] }, 8);
	my @left = grep { $_->[0] eq 't/a' } @old;
	scenario('overwrite, which removes and replaces', 100, mode => 'overwrite', stream => stream(@new),
		args => [ '-a', '-m', 'overwrite' ], lines(@left, @new),
		base => [ { stream => stream(@old) } ]);
	scenario('overwrite of snapshots', 100, mode => 'overwrite', stream => stream(@new),
		args => [ '-a', '-m', 'overwrite', '-z', 'gzip' ], lines(@left, @new),
		base => [ { stream => stream(@old), args => [ '-m', 'overwrite' ] } ]);
	scenario('ignore', 80, mode => 'ignore', stream => stream(@new), args => [ '-a', '-m', 'ignore' ],
		lines(@old, grep { $_->[0] eq 't/c' } @new), base => [ { stream => stream(@old) } ]);
}

# What cannot be stored has a place of its own, in the same commit.
scenario('rejects', 80, args => [ '-a', '-r', '--size', '1k' ], exit => 1, want => 40,
	stream => stream(map { [ $_->[2] % 5 == 3 ? '.hidden' : $_->[0], @$_[ 1, 2 ] ] } @deep));

# ---- kill -9, and then the power ----

# What the killed run did is in the page cache: the next run sees all of it, and the power loss leaves what it leaves.
sub after_kills
{
	my ($what, $n, %o) = @_;
	return if skipped($what);
	my @events = recorded(prepare(%o));
	my $step = $times > 1 ? 1 : 4;
	my @s = map { play(prepare(%o, runs => [ { kill => $_, pass => 1 }, {} ]), $n * $times) }
	    grep { $_ % $step == 0 } 1 .. $#events;
	report_on($what, @s);
}

after_kills('a run that was killed, and the next', 12, %small);
after_kills('a roll that was killed, and the next', 5, stream => stream(@small), lines(@small),
	args => [ '-a', '--size', '300' ], env => 'SLUICE_ROLL_BYTES=200');

# The run that comes after a power loss is recorded too, and the power goes again.
sub relapse
{
	my ($what, $n, %o) = @_;
	return if skipped($what);
	my ($first, @s) = prepare(%o);
	for my $e (recorded($first)) {
		apply_all($first, $e);
		next if rand() > 0.3 && $times <= 1;
		$first->{disk}->some_states(1, sub {
			my ($state) = @_;
			my $s = prepare(%o, from_disk => [ $first->{disk}, $state ]);
			$s->{acked} = { %{ $first->{acked} } };
			push @s, play($s, $n * $times);
			return 1;
		});
	}
	report_on($what, @s);
}

relapse('a power loss, and one in the run after it', 12, %small);

# ---- when the disk fails before the power does ----

my %take_back = (stream => stream(@small), args => ['-a'], lines(@small), base => [ { stream => stream(@small[ 0 .. 1 ]) } ]);
for (['cannot be synced', 'fdatasync:2:EIO'], ['has no room', 'write:1:short;write:2:ENOSPC'],
	['can neither be synced nor taken back', 'fdatasync:2:EIO;ftruncate:1:EIO']) {
	my ($what, $faults) = @$_;
	scenario("a journal line that $what", 40, %take_back,
		runs => [ { spec => "path=.sluice/journal;$faults", exit => 74 } ]);
}
scenario('a journal line that --repair makes good', 40, %take_back, runs => [
	{ spec => 'path=.sluice/journal;fdatasync:2:EIO;ftruncate:1:EIO', exit => 74, pass => 1 },
	{ args => ['--repair'], exit => 0 }, {} ]);
scenario('what --repair takes out of the lake', 40, stream => stream(@small), lines(@small), args => ['-a'],
	base => [ { stream => stream(@small) } ], spoil => sub { spew("$_[0]/$_/00000077.jsonl", "odd $_\n") for qw(a b) },
	damaged => [ 'odd a', 'odd b' ], first => 'jsonl-sink --repair lake >p 2>&1', runs => [ { args => ['--repair'] } ]);
scenario('a rename that fails', 40, %take_back, runs => [ { spec => 'path=/b/;renameat2:2:EIO', exit => 74 }, {} ]);

# ---- two writers ----

# One writer has committed; another makes directories and is killed before it has synced anything; the first finds them
# there, commits into them and acknowledges. Both are in one record.
sub beside_the_dead
{
	my ($what, $n, $early, $late, %o) = @_;
	return if skipped($what);
	my $s = prepare(stream => stream(@$early, @$late), lines(@$early, @$late), args => [ '-a', '--size', 1 ], %o);
	my ($trace, $lake) = ("$s->{work}/trace1", "$s->{work}/d/lake");
	my @lines = split /^/, $s->{stream};
	pipe my $in, my $to or die;
	my $writer = spawn('jsonl-sink', @{ $s->{args} }, $lake, { stdin => $in, env => record("$s->{work}/d", $trace) });

	close $in;
	$to->autoflush(1);
	print { $to } @lines[ 0 .. @$early + 1 ]; # two start marks before
	wait_until(60, 'it has committed', sub {
		-e $writer->{out} && slurp($writer->{out}) =~ /"partition":1,"offset":1\b/ });
	my $dead = run('jsonl-sink', '-N', 'dead', $lake, { stdin => stream(map { [ $late->[$_][0], 2, $_ ] } 0 .. $#$late),
		env => record("$s->{work}/d", $trace, 'path=/last;mkdir:1:kill-after') });
	die "it was not killed but $dead->{exit}: $dead->{err}" if $dead->{signal} != 9;
	print { $to } @lines[ @$early + 2 .. $#lines ];
	close $to;
	my $r = finish($writer, 60);
	die "the writer: $r->{exit}: $r->{err}" if $r->{exit};
	walk($s, $n * $times, events($trace));
	report_on($what, $s);
	remove_tree($s->{work});
}

beside_the_dead('directories of a writer that died beside this one', 120,
	[ [ 'a/x', 0, 0 ], [ 'a/x', 1, 0 ] ],
	[ [ 'a/y', 0, 1 ], [ 'b', 1, 1 ], [ 'a/z/1/2', 0, 2 ], [ 'last', 1, 2 ] ]);

# ---- can it fail? ----

control('data files are not synced', qr/--check after the loss: 65/, %small, without('fsync', qr{/\.sluice-\w+-\d+$}));
control('the journal is not synced', qr/acknowledged, not stored/, %small, without('fdatasync', qr{/journal$}));
control('acknowledged before the journal is synced', qr/acknowledged, not stored/, %small,
	too_early('ack', qr//, 'fdatasync', qr{/journal$}), look => 'all');
control('the directory of a temporary file is not synced', qr/run again: 65/, %small, without('fsync', qr{/lake/a$}, 1));
control('nor the one above', qr/run again: 65/, %small, without('fsync', qr{/lake$}));
control('nor that of the lake', qr/acknowledged, not stored/, %small, without('fsync', qr{/d$}));
control('a file has its name before the journal has its line', qr/not in the journal/, %small,
	too_early('rename', qr{/lake/b/}, 'fdatasync', qr{/journal$}), look => 'all');
control('a final name is not synced', qr/lost: /, %small, without('fsync', qr{/lake/a$}, 2));
control('the name of the journal is not synced', qr/acknowledged, not stored/, %small, without('fsync', qr{/\.sluice$}));
control('the name of the list of temporary files is not synced', qr/left behind/, %small,
	without('fsync', qr{/writers$}));

diag sprintf '%d states in %.0f s, seed %s', $states, time - $started, $seed;
done_testing;
