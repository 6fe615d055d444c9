# Faults of the tools around the lake: every call of partition, lakecat, txgen, kread and kwrite that touches what they
# read and write fails (ENOSPC, EIO, EMFILE, EINTR, a short count; once and for ever) and kills (before, after, within).
# A tool that says 0 has done all of it; else it says why, and what it has written is the beginning of what it would
# have written: nothing is made up, repeated or left out in the middle. kwrite acknowledges nothing that the broker has
# not got. A pipeline in which one of them was struck is healed by the same line again. The lake's own calls are walked
# by t/lake-faults.t; the broker here is kmock, whose connections are not disturbed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use Sluice::Lake;
use POSIX ();
use Test::More;

my $mock = spawn('kmock');
$ENV{SLUICE_BROKERS} = wait_until(60, 'kmock prints its address', sub { -e $mock->{out} && slurp($mock->{out}) =~ /^(.+)\n/ && $1 });
END {
	my $status = $?;
	kill('TERM', $mock->{pid}), finish($mock) if $mock && $$ == $mock->{owner};
	$? = $status;
}
$mock->{owner} = $$;

# What a rule of this name counts besides: libfault.c.
my %group = (openat => 'open', openat2 => 'open', pread => 'read', pwrite => 'write', writev => 'write');
my $runs = 0;

# ---- one run ----

# { tool, args, in => text, lake => dir or undef }; FILE in args is the run's own number.
sub go
{
	my ($o, $fault, $log) = @_;
	my $files = "$DIR/run" . ++$runs;
	spew("$files.in", $o->{in} // '');
	open my $in, '<', "$files.in" or die $!;
	my $r = run($o->{tool}, (map { s/FILE/$runs/r } @{ $o->{args} }), { stdin => $in, out => "$files.out",
	    env => fault("comm=$o->{tool};path=$DIR;$fault", $log) });
	$r->{number} = $runs;
	unlink "$files.in", "$files.out";
	return $r;
}

# Every call that touches our files: [ name, n, what it is about ].
sub steps
{
	my ($o) = @_;
	my $log = "$DIR/log";
	$o->{right} = go($o, '', $log);
	is $o->{right}{exit}, 0, 'undisturbed' or diag $o->{right}{err};
	cmp_ok length $o->{right}{out}, '>', 0, 'prints something';
	my (%nth, @steps);

	for my $call (grep { $_->{path} =~ m{^\Q$DIR\E/} } calls($log)) {
		my $n = ++$nth{ $call->{call} };
		$nth{ $group{ $call->{call} } }++ if $group{ $call->{call} };
		push @steps, [ $call->{call}, $n, $call->{path} =~ s{^\Q$DIR\E/}{}r ];
	}
	unlink $log;
	return @steps;
}

sub faults
{
	my ($name, $n) = @_;
	my @faults = ((map { "$n:$_" } qw(EIO EINTR kill-before kill-after)), "$n+:EIO", "$n-" . ($n + 2) . ':EINTR');
	push @faults, "$n:ENOSPC", "$n:EMFILE", "$n+:ENOSPC", "$n+:EMFILE" if $ENV{SLUICE_LONG} || $name =~ /write|open/;
	push @faults, "$n:short", "$n+:short" if $name =~ /read|write/;
	push @faults, "$n:kill-mid" if $name =~ /write/;
	return @faults;
}

sub problems_of
{
	my ($o, $r, $what) = @_;
	my @problems;

	if ($r->{signal} == 9) {
		push @problems, 'killed by nobody' unless $what =~ /kill/;
	} elsif ($r->{exit} != 0) {
		push @problems, "exit $r->{exit}: $r->{err}" if $r->{exit} !~ /^(64|65|73|74|77|78)$/;
		push @problems, "does not say why: $r->{err}"
		    if $what =~ /:(E\w+)$/ && $r->{err} !~ POSIX::strerror(POSIX->can($1)->());
	} elsif (!$o->{any_out} && $r->{out} ne $o->{right}{out}) {
		push @problems, 'says 0, but its output is not right: ' . substr $r->{out}, -200;
	}
	push @problems, 'its output is not the beginning of the right one: ' . substr $r->{out}, -200
	    if !$o->{any_out} && index($o->{right}{out}, $r->{out}) != 0;
	return @problems;
}

sub walk
{
	my ($what, %o) = @_;
	subtest $what => sub {
		for my $step (steps(\%o)) {
			my ($name, $n, $path) = @$step;
			next if $path =~ m{^base/\.sluice/lock} && $name eq 'close'; # readers may not even take notice
			for my $fault (faults($name, $n)) {
				my $r = go(\%o, "$name:$fault");
				my @problems = problems_of(\%o, $r, $fault);
				push @problems, $o{check}->($r) if $o{check};
				ok !@problems, "$name $path ($fault)"
				    or diag join "\n", "$o{tool} @{ $o{args} }: SLUICE_FAULT='$name:$fault'", @problems;
			}
		}
	};
}

# ---- filters and readers ----

my @all = records(0, 20);
my $base = "$DIR/base";
is run('jsonl-sink', '-q', $base, { stdin => stream(0, 12) })->{exit}, 0, 'a lake';
is run('jsonl-sink', '-q', '-z', 'gzip', $base, { stdin => stream(12, 20) })->{exit}, 0, 'of plain and packed files';
my $before = to_json(tree($base));
my $large = join '', map { $_->{stream} =~ s/"path":"[^"]*",//r } records(0, 2000); # more than one block

walk('partition', tool => 'partition', args => ['-q'], in => $large);
walk('lakecat', tool => 'lakecat', args => [ '-q', $base ]);
walk('lakecat --marks', tool => 'lakecat', args => [ '-q', '--marks', $base ]) if $ENV{SLUICE_LONG};
walk('txgen', tool => 'txgen', args => [ '-q', '-c', 3000, 'transactions' ]);

# ---- the broker ----

my $topic = "T";
my $sent = join '', map { $_->{stream} =~ s/"path":"[^"]*",//r } map { record(0, $_) } 0 .. 19;
is run('kwrite', '-q', '--keep-partition', '-t', $topic, { stdin => $sent })->{exit}, 0, 'a topic';

walk('kread', tool => 'kread', args => [ '-q', '-e', '-t', $topic ]);
my $part = "$DIR/part";
is run('jsonl-sink', '-q', $part, { stdin => stream(0, 12) })->{exit}, 0, 'a lake that has some of it';
walk('kread --from a lake', tool => 'kread', args => [ '-q', '-e', '-t', $topic, '--from', $part, '-p', 0 ]);
is to_json(tree($base)), $before, 'no reader changed the lake';

# Each run writes to a topic of its own; the broker is asked once for all of them.
my %acked;
walk('kwrite -a', tool => 'kwrite', args => [ '-q', '-a', '--keep-partition', '-m', 10, '-t', 'WFILE' ], in => $sent, any_out => 1, check => sub {
	my ($r) = @_;
	my $whole = $r->{out} =~ s/[^\n]+\z//r;
	$acked{"W$r->{number}"} = [ $r->{exit}, map { $_->{mark}{offset} } json_lines($whole) ];
	return $r->{exit} == 0 && !@{ $acked{"W$r->{number}"} }[1] ? "acknowledged nothing: <$r->{out}> $r->{err}" : ();
});

subtest 'kwrite: the broker has what was acknowledged, in order, each once' => sub {
	my (%has, @problems);
	my $r = run('kread', '-q', '-e', '-t', '^^W', { timeout => 120 });
	is $r->{exit}, 0 or diag $r->{err};
	push @{ $has{ $_->{topic} } }, $_->{payload}{n} for json_lines($r->{out});
	for my $w (sort keys %acked) {
		my ($exit, @offsets) = @{ $acked{$w} };
		my @n = @{ $has{$w} // [] };
		push @problems, "$w: acknowledged $offsets[-1], has " . @n if @offsets && $offsets[-1] > @n;
		push @problems, "$w: said 0, has " . @n if $exit == 0 && @n != 20;
		push @problems, "$w: has @n" if "@n" ne join ' ', map { $_ * 7 } 0 .. $#n;
	}
	cmp_ok scalar(keys %acked), '>', 20, 'runs';
	ok !@problems, 'all of it' or diag join "\n", @problems;
};

# ---- the pipeline: whoever is struck, the same line again makes the lake whole ----

my @lines = map { $_->{stream} =~ s/"path":"[^"]*",//r } map { record(0, $_) } 0 .. 399;
is run('kwrite', '-q', '--keep-partition', '-t', 'P', { stdin => join '', @lines })->{exit}, 0, 'a topic for the pipeline';

sub pipeline_into
{
	my ($lake, $fault) = @_;
	return pipeline("kread -q -t P -e --marks | partition -q -l 'streams/T/{partition}' | jsonl-sink -q -a $lake >$lake.out",
	    env => $fault ? fault($fault) : {});
}

subtest 'a pipeline' => sub {
	for my $strike (map { my $tool = $_; map { "comm=$tool;$_" }
	        ('path=pipe;write:1:EIO', 'path=pipe;write:1:kill-mid', 'path=pipe;write:1:kill-after', 'path=pipe;write:2:kill-mid',
	            'path=pipe;write:1-3:EINTR', 'path=pipe;write:1+:short', $tool eq 'kread' ? () : ('path=pipe;read:2:EIO',
	                'path=pipe;read:1:kill-after', 'path=pipe;read:1-3:EINTR', 'path=pipe;read:1+:short')) }
	        'kread', 'partition') {
		my $lake = new_lake();
		my $r = pipeline_into($lake, $strike);
		my $acked = slurp("$lake.out");
		my $again = pipeline_into($lake);
		my (@problems, %have);
		my $have = contents($lake, \@problems);
		my %want = map { s/\n//r => 1 } @lines;
		/"offset":(\d+)/ and $have{$1} = 1 for keys %$have;
		my ($last) = $acked =~ /.*"offset":(\d+),"last"/s;
		push @problems, "the rerun: $again->{exit}: $again->{err}" if $again->{exit};
		push @problems, 'lost ' . grep { !$have{$_} } 0 .. 399 if keys %have != 400;
		push @problems, 'has ' . keys(%$have) . ' lines' if keys %$have != 400;
		ok !@problems, "$strike (ended with $r->{exit})" or diag join "\n", splice(@problems, 0, 8), $r->{err};
	}
};

done_testing;
