package Sluice::Kills::Round;

# Sluice::Kills::Round: a new lake, pipelines into it that are killed and run again until they complete, then the
# proof that each record is there once.
#
#	my $r = Sluice::Kills::Round->new(what => 'small commits', lines => [ {..} ], wanted => 6, reader => $reader,
#	    dir => $dir, roll => 3000, watch => 1, recovery => 0.3)->play;
#	$r->{problems}, $r->{stories}, $r->{kills}{VICTIM}, $r->{by_source}: how many were of pipelines from the
#	'broker', from a 'recorded' stream, and of sinks with 'no input' that were opening the lake
#
# A line is one pipeline:
#	topic => of Sluice::Kills::Data, source => 'broker' or a recorded stream (FILE), parts => [ of the reader ],
#	mode, name, layout, gzip, threads, size, slow, from, sink => [more options], direct => 1: no partition
#	next => the line that follows when this one is done

use strict;
use warnings;
use Sluice;
use Sluice::Fault;
use Sluice::Kills;
use Time::HiRes qw(sleep time);

# System calls of the sink at which it may die, and the paths that they are about.
my @CALLS = map { [ split ] } (
	'write', 'write .sluice/journal', 'write .sluice/journal', 'write /.sluice-', 'write .sluice/writers', 'fsync',
	'fsync /.sluice-', 'fsync /day=', 'fdatasync .sluice/journal', 'fdatasync .sluice/journal', 'rename', 'rename',
	'rename /day=', 'rename journal.new', 'link', 'unlink', 'unlink', 'ftruncate', 'open', 'open /.sluice-', 'close',
	'flock', 'flock .sluice/lock', 'mkdir',
);

sub one_of { return $_[ rand @_ ] }

sub new
{
	my ($class, %o) = @_;
	my $r = bless { recovery => 0.2, %o, problems => [], stories => [], kills => {}, by_source => {}, fenced => 0, gave_up => 0, started => time }, $class;

	$r->{lake} = "$r->{dir}/lake-$$-" . ++(our $number);
	$r->{all} = [ map { with_next($_) } @{ $r->{lines} } ];
	$r->{fencing} = keys %{ { map { (($_->{name} // '') . $_->{topic}{name} => 1) } grep { $_->{topic} } @{ $r->{lines} } } }
	    < grep { $_->{topic} } @{ $r->{lines} };
	return $r;
}

sub with_next { my ($line) = @_; return ($line, $line->{next} ? with_next($line->{next}) : ()) }

sub kills
{
	my ($r) = @_;
	my $n = 0;
	$n += $_ for values %{ $r->{kills} };
	return $n;
}

sub count
{
	my ($r, $victim, $source) = @_;
	$r->{kills}{$victim}++;
	$r->{by_source}{ $source eq 'broker' || $source eq 'no input' ? $source : 'recorded' }++;
}

# ---- one pipeline ----

sub stages
{
	my ($r, $o) = @_;
	# slow: a trickle, so that the timer makes the commits and the processes wait for each other.
	my $trickle = '$| = 1; while (<STDIN>) { print; select undef, undef, undef, 0.004 unless $. % 40 }';
	my @name = $o->{name} ? ('-N', $o->{name}) : ();
	return (
		$o->{source} eq 'broker' ? [ 'kread', '-t', $o->{topic}{name}, '-e', '-m', 60,
			$o->{from} ? ('--from', "$r->{lake}/", @name) : '--marks' ] : (),
		$o->{slow} ? [ 'perl', '-e', $trickle ] : (),
		$o->{direct} ? () : [ 'partition', '-q', $o->{layout} ? ('-l', $o->{layout}) : () ],
		$r->sink($o),
	);
}

sub sink
{
	my ($r, $o) = @_;
	return [ 'jsonl-sink', '-a', $o->{mode} ? ('-m', $o->{mode}) : (), $o->{name} ? ('-N', $o->{name}) : (),
		$o->{gzip} ? ('-z', one_of('gzip', 'gzip:1'), '-j', $o->{threads} // 1) : (),
		$o->{mode} ? () : ('-i', '0.05', '--size', $o->{size} // '12k'), @{ $o->{sink} // [] }, $r->{lake} ];
}

sub start
{
	my ($r, $o, $env) = @_;
	local $ENV{SLUICE_ROLL_BYTES} = $r->{roll} // 16 << 20;
	return Sluice::Kills->start($r->stages($o), { env => $env, dir => $r->{dir},
		in => $o->{source} eq 'broker' ? undef : $o->{source} });
}

sub describe
{
	my ($o) = @_;
	return join ' ', $o->{topic} ? $o->{topic}{stem} : 'objects', grep { defined } $o->{mode}, $o->{name},
	    map { $o->{$_} ? $_ : undef } qw(from gzip slow direct);
}

# Why the exit codes of a pipeline are not what they may be after a kill of $victim ('': none); '' when fine.
sub unexpected
{
	my ($r, $p, $o, $victim) = @_;
	my $status = $p->{status};
	my $sink = $status->{'jsonl-sink'};
	my $err = $p->err('jsonl-sink');

	return "hung: $p->{hung}" if $p->{hung};
	# All of us stood still for a while: who waited for another may have given up.
	return '' if $p->{paused} && $sink == 75;
	# A broker that the machine has no time for; but it must not come to nothing but this.
	return '' if ($status->{kread} // 0) == 69 && $sink == 0 && $r->{gave_up}++ < 5;
	return '' if $victim eq 'all' || $sink == 137 && $victim =~ /^(jsonl-sink|call|opening)/;
	return '' if $sink == 75 && $r->{fencing} && $err =~ /another writer/;
	# The writer of the pipe died: within a line, or before the end mark.
	return '' if $sink == 65 && $victim && $err =~ /incomplete|newline|cut/;
	return '' if ($sink == 0 || $sink == 1 && $o->{rejects})
	    && ($victim || !grep { $_ ne 'jsonl-sink' && $status->{$_} } keys %$status);
	return 'exit codes: ' . join(', ', map { "$_ $status->{$_}" } @{ $p->{names} }) . ": $err";
}

# ---- kills ----

# How far such a line gets, in seconds of its life or in calls, so that kills fall into it: less when one came
# too late, more when it did not.
my %reach;

sub aim { my ($what, $first) = @_; return rand($reach{$what} //= $first) }

sub aimed { my ($what, $hit) = @_; $reach{$what} *= $hit ? 1.05 : 0.7 }

# A system call of the sink to die at, and what it was aimed by.
sub call_to_die_at
{
	my ($o) = @_;
	my ($call, $path) = @{ one_of(@CALLS) };
	my $how = one_of('kill-before', 'kill-after', $call eq 'write' ? 'kill-mid' : ());
	my $what = join ' ', $o->{mode} // 'append', $call, $path //= '';
	my $n = 1 + int aim($what, 6);
	return ($what, "comm=jsonl-sink;path=$path;$call:$n:$how");
}

# Kills one of the pipelines (at random: when, and whom), or tells one to die at a call. Who it was; '': too late.
sub strike
{
	my ($r, $o, $p) = @_;
	my $what = describe($o);
	sleep aim($what, $o->{source} eq 'broker' || $o->{slow} ? 0.3 : 0.05);
	my $victim = one_of(('jsonl-sink') x 3, (grep { $_ ne 'jsonl-sink' && $_ ne 'perl' } @{ $p->{names} }), 'all', 'all');
	my $hit = $p->kill9($victim);
	aimed($what, $hit);
	return $hit ? $victim : '';
}

# Starts what is pending, kills one of them perhaps, waits for all. What is left to be done.
sub run_pending
{
	my ($r, $pending, $kill) = @_;
	my $chosen = int rand @$pending;
	my ($what, $rule) = $kill && rand() < 0.4 ? call_to_die_at($pending->[$chosen]) : ();
	my @p = map { $r->start($pending->[$_], $rule && $_ == $chosen ? fault($rule) : undef) } 0 .. $#$pending;
	my $victim = $kill && !$rule ? $r->strike($pending->[$chosen], $p[$chosen]) : '';

	$_->wait(180) for @p;
	if ($rule) {
		$victim = 'call' if $p[$chosen]{status}{'jsonl-sink'} == 137;
		aimed($what, $victim);
	}
	$r->count($victim, $pending->[$chosen]{source}) if $victim;
	return map { $r->outcome($pending->[$_], $p[$_], $_ == $chosen ? $victim : '') } 0 .. $#$pending;
}

# Notes what is wrong, and looks at the lake once. What is left to be done of this line.
sub outcome
{
	my ($r, $o, $p, $victim) = @_;
	my $why = $r->unexpected($p, $o, $victim);
	my $sink = $p->{status}{'jsonl-sink'};
	my @bad = grep { $_ } $why, $r->look([ $o, $p ]);

	$r->{fenced}++ if $sink == 75;
	push @{ $r->{stories} }, $p->story;
	push @{ $r->{problems} }, map { "$_\n" . $p->story } @bad;
	return $o if $victim || $sink > 1 || grep { $_ ne 'jsonl-sink' && $p->{status}{$_} } keys %{ $p->{status} };
	return $o->{next} // ();
}

# Nobody runs any more: whole files only, and what was acknowledged.
sub look
{
	my ($r, @runs) = @_;
	my @acks = map { [ $_->[0]{name} // $_->[0]{mode} // 'append', $_->[1]->out ] } grep { -e $_->[1]->out } @runs;
	return @{ $r->{reader}->ask(look => lake => $r->{lake}, parts => $r->parts, acks => \@acks)->{errors} };
}

# Up to three in a row that die while they open the lake: recovery, and the recovery of a recovery, without
# progress between.
sub kill_recoveries
{
	my ($r, $o) = @_;
	for (1 .. 1 + rand 3) {
		my $rule = rand() < 0.7 ? (call_to_die_at($o))[1] : undef;
		local $ENV{SLUICE_ROLL_BYTES} = $r->{roll} // 16 << 20;
		my $p = Sluice::Kills->start($r->sink($o), { in => '-', dir => $r->{dir}, env => $rule ? fault($rule) : undef });
		sleep rand 0.03;
		$p->kill9('all');
		$p->wait(60);
		$r->count('opening', 'no input');
		$r->outcome($o, $p, 'opening');
	}
}

# ---- the round ----

sub play
{
	my ($r) = @_;
	my @pending = @{ $r->{lines} };

	$r->{reader}->ask(watch => lake => $r->{lake}) if $r->{watch};
	for (my $runs = 0; @pending && !@{ $r->{problems} }; $runs++) {
		my $kill = $r->kills < $r->{wanted};
		@pending = $r->run_pending(\@pending, $kill);
		$r->kill_recoveries(one_of(@pending)) if $kill && @pending && rand() < $r->{recovery};
		push @{ $r->{problems} }, 'never gets done' if $runs > 80;
	}
	$r->conclude;
	return $r;
}

# What must hold once the lines have completed.
sub conclude
{
	my ($r) = @_;
	my $problems = $r->{problems};

	$r->prove_rerun unless @$problems;
	push @$problems, map { "reader: $_" } @{ $r->{reader}->ask('stop')->{errors} } if $r->{watch};
	push @$problems, @{ $r->{reader}->ask(verify => lake => $r->{lake}, parts => $r->parts)->{errors} };
	my $check = run('jsonl-sink', '--check', $r->{lake});
	push @$problems, "--check: $check->{exit}: $check->{err}" if $check->{exit};
	$r->{seconds} = time - $r->{started};
}

sub files
{
	my ($r) = @_;
	return join '', sort split /^/m, run('find', $r->{lake}, '-name', '*.jsonl*', '-printf', '%P %s %i\n')->{out};
}

# The same lines once more: nothing to do, nothing done, nothing left lying about. (What overwrites is made anew, and
# bare objects are stored again.)
sub prove_rerun
{
	my ($r) = @_;
	my $before = $r->files;
	my @again = grep { $_->{topic} && ($_->{mode} // '') ne 'overwrite' } @{ $r->{all} };

	$r->run_pending([$_], 0) for grep { !$_->{next} } @again;
	push @{ $r->{problems} }, 'a rerun with nothing new changed files' if $r->files ne $before;
}

# By directory, what all lines together should make of it.
sub parts
{
	my ($r) = @_;
	my %part;
	for my $part (map { @{ $_->{parts} } } @{ $r->{all} }) {
		my $to = $part{ $part->{root} } //= { %$part, expect => [] };
		my %had = map { $_ => 1 } @{ $to->{expect} };
		push @{ $to->{expect} }, grep { !$had{$_} } @{ $part->{expect} // [] };
	}
	return [ map { $part{$_} } sort keys %part ];
}

# Keeps the lake and how it came to be, for whoever looks into it.
sub keep
{
	my ($r, $to) = @_;
	run('mkdir', '-p', $to);
	run('cp', '-a', $r->{lake}, "$to/lake");
	run('cp', $_, $to) for grep { -e } map { $_->{source} } @{ $r->{all} };
	spew("$to/story", "$r->{what}, SLUICE_ROLL_BYTES=" . ($r->{roll} // '') . "\n\n", join("\n", @{ $r->{problems} }),
	    "\n\n---- every run ----\n\n", join("\n\n", @{ $r->{stories} }), "\n");
}

sub remove { my ($r) = @_; run('rm', '-rf', $r->{lake}) }

1;
