# The commit protocol of sluice-lake(5) under faults: every system call that touches the lake, the stream or the
# acknowledgements, in every situation a commit can meet, fails (ENOSPC, EIO, EMFILE, EINTR, a short write; once and
# for ever) and kills (before, after, within). Whatever happens, what is visible is whole and in the journal, what was
# acknowledged stays, its calls came in the order that a power loss demands, and the same line run again (after --repair only where the protocol says so) ends with every
# record once, a clean --check and nothing left lying about. t/lake-steps.t has what each step promises, by name.
#
#	SLUICE_LONG=1     all of them (make check LONG=1); else each call fails once with EIO and kills once, and
#	SLUICE_FAULTS=N   so many of the others (200)
#	SLUICE_SEED=N     to repeat a choice

use strict;
use warnings;
use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use List::Util qw(shuffle sum);
use Sluice;
use Sluice::Fault;
use Sluice::Lake;
use Sluice::Order;
use POSIX ();
use Test::More;

my $seed = $ENV{SLUICE_SEED} // time % 1_000_000_007;
my $sample = $ENV{SLUICE_FAULTS} // 200;
$sample /= 10 if sanitized();
srand int $seed;
diag "seed $seed" unless $ENV{SLUICE_LONG};

# ---- situations: where one differs from the ones before, only that stage of the run is walked ----

my $append = { args => ['-a'], name => 'append' };
my @early = records(0, 12);
my @all = records(0, 20);
my $base = new_lake();
is sink($base, { %$append, offsets => [ 0, 12 ] })->{exit}, 0, 'a lake to begin with';

my %more = (%$append, offsets => [ 12, 20 ]);
my %roll = (env => { SLUICE_ROLL_BYTES => 200 });

sub situation
{
	my ($what, %o) = @_;
	return { %$append, what => $what, base => $base, offsets => [ 0, 20 ], want => \@all, %o };
}

sub killed { my ($fault, @o) = @_; return struck_lake($base, { %more, @o }, fault($fault)) }

my @before_renames = (base => killed('path=day=01;rename:2:kill-before'));

# Snapshots, and beside them what a later append has added.
my $snapshots = copy_of($base);
sink($snapshots, { %$append, args => [ '-a', '-m', 'overwrite' ], offsets => [ 4, 16 ] });
sink($snapshots, { %$append, offsets => [ 12, 20 ] });

# Records without a path, kept by -r: they move the position as the others do.
my %rejects = do {
	my @some = map { $_->{offset} % 5 == 3 ? bad_record($_->{partition}, $_->{offset}) : $_ } @all;
	(args => [ '-a', '-r' ], done => 1, base => new_lake(), stream => stream_of(0, 20, @some), want => \@some);
};

# Lakes that need --repair, which is killed and fails too. Then the sink runs again.
my $half_a_line = copy_of($base);
sink($half_a_line, { %more, fault => fault('path=/journal;write:1:short;write:2+:EIO;ftruncate:1:EIO') });
my $lost = killed('path=day=01;rename:2:kill-before');
unlink grep { -f } glob "$lost/streams/T/day=02/.sluice-*" or die;
my $stray = copy_of($base);
spew("$stray/streams/T/day=00/00000099.jsonl", "{}\n");
my $damaged = copy_of($base); # not in the last commit, which could be undone
sink($damaged, { %$append, offsets => [ 12, 14 ] });
spew("$damaged/streams/T/day=01/00000001.jsonl", "{}\n");

sub repair_of
{
	my ($what, $lake, @o) = @_;
	return situation("--repair of $what", base => $lake, args => ['--repair'], offsets => undef, loose => 1,
	    then => situation('', @o));
}

sub reading
{
	my ($args, $of, $lake) = @_;
	return situation("@$args of $of", base => $lake, args => $args, offsets => undef, reader => 1);
}

my @situations = (
	situation('the first commit of a lake', base => new_lake()),
	situation('a later commit'),
	situation('a commit that rolls the journal', stage => 'committed', %roll),
	situation('gzip in two threads', stage => 'writing', base => new_lake(), args => [ '-a', '-z', 'gzip', '-j', 2 ]),
	situation('after a writer died with temporary files', stage => 'opening',
		base => killed('path=/lock;flock:2:kill-before')),
	situation('after a writer died within the journal line', stage => 'opening',
		base => killed('path=/journal;write:1:kill-mid')),
	situation('after a writer died between the commit and its renames', stage => 'opening', @before_renames),
	situation('after a writer died among the renames', stage => 'opening',
		base => killed('path=day=02;rename:1:kill-before')),
	situation('nothing new', offsets => [ 0, 12 ], want => \@early),
	situation('overwrite, which replaces snapshots and removes other files', base => $snapshots, loose => 1,
		args => [ '-a', '-m', 'overwrite' ], name => 'overwrite', offsets => [ 4, 16 ],
		want => [ records(4, 16), grep { $_->{path} =~ /day=02/ } @all ]),
	# These are sampled only, unless all are asked for.
	situation('ignore, which leaves paths alone', args => [ '-a', '-m', 'ignore' ], name => 'ignore',
		want => [ @early, records(16, 20) ], sampled => 1),
	situation('rejects that are kept', %rejects, sampled => 1),
	situation('several commits in one run', args => [ '-a', '--size', 500 ], stage => 'committed', sampled => 1),
	situation('after a writer died before it rolled the journal', stage => 'opening', sampled => 1, %roll,
		base => killed('path=journal.new;open:1:kill-before', %roll)),
	situation('after a writer died within the roll', sampled => 1, %roll,
		base => killed('path=journal.new;rename:1:kill-before', %roll)),
	repair_of('half a line that could not be taken back', $half_a_line),
	repair_of('a commit that lost a file', $lost),
	repair_of('a file that nobody knows', $stray),
	repair_of('a file that is damaged', $damaged, want => [ grep { $_->{path} !~ /day=01/ || $_->{offset} >= 12 } @all ]),
	reading([ '-Q' ], 'a lake', $base),
	reading([ '-Q' ], 'a torn journal', killed('path=/journal;write:1:kill-mid')),
	reading([ '--check' ], 'a lake in the middle of a commit', $before_renames[1]),
	reading([ '--check' ], 'a rolled journal', killed('path=/.sluice;fsync:4:kill-after', %roll)),
);

# ---- the calls of a run ----

# Which step of the protocol a call belongs to, by what it does to which file; undef: not ours to disturb.
sub step_of
{
	my ($call, $committed) = @_;
	my ($name, $path) = @$call{qw(call path)};

	return undef if $path !~ m{\Q$DIR\E};
	return 'the stream' if $path =~ m{\.in$};
	return 'acknowledgements' if $path =~ m{\.out$};
	return '2, the lock' if $name eq 'flock' && $path =~ m{/lock$};
	return 'the writer\'s list' if $path =~ m{/\.sluice/writers(/|$)};
	return 'the roll' if $path =~ m{journal\.};
	return $$committed ? '5, the renames' : '2, redo' if $name =~ /^rename/;
	return $$committed ? '5, the removes' : '2, sweep' if $name =~ /^unlink/;
	if ($path =~ m{/journal$}) {
		return '2, the journal is read' if $name =~ /open|close|read/;
		return '4, back to where it was' if $name eq 'ftruncate' && $$committed;
		return '2, a torn tail' if $name eq 'ftruncate';
		$$committed = 1 if $name eq 'write'; # pwrite is for the last line of another
		return $name eq 'write' ? '4, the line' : $$committed ? '4, the commit' : '2, the last line is made sure';
	}
	return "1, data files" if $path =~ m{/\.sluice-[^/]*$};
	return '1, directories' if $name =~ /^mkdir/ || $name eq 'fsync' && !$$committed;
	return '5, directories' if $name eq 'fsync';
	return 'other';
}

# What a rule of this name counts besides: libfault.c.
my %group = (openat => 'open', openat2 => 'open', renameat => 'rename', renameat2 => 'rename', linkat => 'link',
    unlinkat => 'unlink', mkdirat => 'mkdir', pread => 'read', pwrite => 'write', writev => 'write');

# The calls of an undisturbed run: { name, n (the nth of that name), step, path }.
sub steps
{
	my ($o) = @_;
	my $lake = copy_of($o->{base});
	my $r = sink($lake, { %$o, fault => fault('comm=jsonl-sink', "$lake.log") });
	my (%nth, @steps);
	my ($committed, $opening) = (0, 1);

	ok went_well($r, $o), "$o->{what}: undisturbed" or diag $r->{err};
	is join('; ', order_of($lake, calls("$lake.log"))), '', 'in order';
	ok length $r->{out} > 0, 'says something' if $o->{reader} && "@{ $o->{args} }" eq '-Q' || "@{ $o->{args} }" =~ /^-a/ &&
	    $o->{offsets}[1] > 12;
	$o->{out} = $r->{out};
	for my $call (calls("$lake.log")) {
		my $step = step_of($call, \$committed) // next;
		my $n = ++$nth{ $call->{call} };
		$nth{ $group{ $call->{call} } }++ if $group{ $call->{call} };
		$opening = 0 if $step =~ /^1, data/;
		push @steps, { name => $call->{call}, n => $n, step => $step,
			stage => $committed ? 'committed' : $opening ? 'opening' : 'writing',
			path => $call->{path} =~ s/\Q$lake\E/DIR/gr };
	}
	remove_tree($lake);
	unlink "$lake.log";
	return grep { !$o->{stage} || $_->{stage} eq $o->{stage} } @steps;
}

# What can happen to a call: [ WHEN:WHAT of libfault.c, whether every make check must see it ].
sub faults
{
	my ($step, $o, $seen) = @_;
	my ($name, $n) = @$step{qw(name n)};
	# To die before an open or a close is to die after the change before it.
	my $changes = $name !~ /open|close|flock|read/;
	my $eio = $changes || $name !~ /read/ && !$seen->{"@$step{qw(step name path)}"}++;
	my @faults = (["$n:kill-before", $changes], ["$n:kill-after"], ["$n:EIO", $eio]);

	push @faults, map { ["$n:$_"] } qw(ENOSPC EMFILE EINTR);
	push @faults, map { ["$n+:$_"] } qw(EIO ENOSPC EMFILE);
	push @faults, ["$n-" . ($n + 2) . ':EINTR']; # for ever would be for ever
	push @faults, ["$n:short"], ["$n+:short"] if $name =~ /write|read/;
	push @faults, ["$n:kill-mid", 1] if $name =~ /write/;
	return map { [ $_->[0], $_->[1] && !$o->{sampled} && !$o->{reader} && !$o->{then} ] } @faults;
}

# ---- one run with one fault, and all that must hold after it ----

sub says_why
{
	my ($r, $fault) = @_;
	return $fault !~ /:(E\w+)$/ || $r->{err} =~ POSIX::strerror(POSIX->can($1)->());
}

# What has healed once needs not be shown again: most faults leave one of few states.
sub strike
{
	my ($o, $step, $what) = @_;
	my $lake = copy_of($o->{base});
	my $fault = "comm=jsonl-sink;path=$DIR;$step->{name}:$what";
	my $before = $o->{reader} ? tree($lake) : undef;
	my $r = sink($lake, { %$o, fault => fault($fault, "$lake.log") });
	my $problems = [ order_of($lake, calls("$lake.log")) ];

	if ($what =~ /kill/) {
		push @$problems, "not killed but $r->{exit}: $r->{err}" if $r->{signal} != 9;
	} elsif (!went_well($r, $o)) {
		push @$problems, "exit $r->{exit}: $r->{err}" if $r->{exit} !~ /^(65|73|74|75|77)$/;
		push @$problems, "the message does not say why: $r->{err}" unless says_why($r, $what);
	} elsif ($o->{reader}) {
		push @$problems, "answers wrong: $r->{out}" if $r->{out} ne $o->{out};
	} elsif (!$o->{then}) {
		compare($lake, $problems, @{ $o->{want} }); # it did without that call, so it must be right
	}
	if ($o->{reader}) {
		push @$problems, 'a reader changed the lake' if to_json(tree($lake)) ne to_json($before);
	} else {
		if ($o->{loose}) {
			push @$problems, missing($lake, journal_lines($lake)) unless $o->{then};
		} else {
			contents($lake, $problems);
		}
		check_acks($lake, $problems, $r->{out}, $o->{name}, @{ $o->{want} });
		heal($lake, $o, $problems) unless $o->{healed}{ md5_hex(state_of($lake)) }++;
	}
	my $path = $step->{path} =~ s{(writers/|\.sluice-)\w{6}\b}{$1WRITER}gr;
	ok !@$problems, "$step->{step}: $step->{name} $path ($what)"
	    or diag join "\n", "$o->{what}: SLUICE_FAULT='$fault'", splice(@$problems, 0, 8), "first run: $r->{err}";
	remove_tree($lake) unless @$problems;
	unlink "$lake.log";
}

# ---- the walk ----

my (%strikes, @others);

for my $o (@situations) {
	my %seen;
	for my $step (steps($o)) {
		for my $fault (faults($step, $o, \%seen)) {
			my $strike = [ $o, $step, $fault->[0] ];
			my $now = $ENV{SLUICE_LONG} || $fault->[1] && (!sanitized() || rand 5 < 1); # it takes ten times as long
			push @{ $now ? $strikes{ $o->{what} } : \@others }, $strike;
		}
	}
}
@others = shuffle(@others);
push @{ $strikes{ $_->[0]{what} } }, $_ for splice @others, 0, $sample;

for my $what (map { $_->{what} } @situations) {
	subtest $what => sub {
		plan skip_all => 'not in the sample' unless $strikes{$what};
		strike(@$_) for @{ $strikes{$what} };
	};
}
my $done = sum map { scalar @$_ } values %strikes;
diag "$done faults of ", $done + @others, ', which left ', sum(map { scalar keys %{ $_->{healed} } } @situations), ' states';

done_testing;
