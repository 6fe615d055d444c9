#!/usr/bin/perl
# Many writers on one lake, started, stopped, killed and put to sleep at random, while readers run all the time: what
# a reader sees is the lake as it was after some commit, never less than it saw before.
#
#	SLUICE_LONG=1, SLUICE_SEED=N

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use Sluice::Kills;
use Sluice::Kills::Data;
use Sluice::Lake;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = int($ENV{SLUICE_SEED} // time % 1_000_000_007);
my $storm = ($ENV{SLUICE_LONG} ? 120 : 12) * (sanitized() ? 3 : 1); # seconds
srand $seed;
diag "seed $seed";

# ---- a commit that is in the journal, and whose files have not all got their names ----

my @all = records(0, 20);

# What a sink that opens the lake renames in vain is counted too.
my %early = (append => 'path=day=01/;rename:2', overwrite => 'path=day=00/;rename:2');
for my $some ('none of', 'some of') {
	for my $how ([], [ '-z', 'gzip', '-j', 2 ], [ '-m', 'overwrite' ]) {
		my $name = "@$how" =~ /overwrite/ ? 'overwrite' : 'append';
		subtest "$some the files renamed: readers see the whole commit, without a recovery (@$how)" => sub {
			my $lake = new_lake();
			my $o = { args => [ '-a', @$how ], name => $name, offsets => [ 0, 20 ], want => \@all };
			my $rule = $some eq 'none of' ? $early{$name} : 'path=day=02/;rename:1';
			is sink($lake, { %$o, offsets => [ 0, 12 ] })->{exit}, 0, 'a lake to begin with';
			is sink($lake, { %$o, fault => fault("comm=jsonl-sink;$rule:kill-before") })->{signal}, 9, 'killed';
			my $before = tree($lake);
			ok((grep { m{/\.sluice-} } all_files($lake)), 'files have their temporary names');

			my $cat = run('lakecat', '-N', $name, '--marks', $lake);
			is $cat->{exit}, 0, 'lakecat' or diag $cat->{err};
			is join('', sort grep { !/"mark"/ } $cat->{out} =~ /^.*\n/mg), join('', sort map { $_->{stream} } @all),
			    'all of it, once';
			is scalar(() = $cat->{out} =~ /"kind":"position".*"offset":20\b/g), 2, 'and where it ends';
			is scalar(() = run('jsonl-sink', '-Q', '-N', $name, $lake)->{out} =~ /"offset":20,/g), 2, '-Q';
			my $check = run('jsonl-sink', '--check', $lake);
			is $check->{exit}, 0, '--check' or diag $check->{err};
			is_deeply tree($lake), $before, 'nothing was changed by looking';
			my $problems = [];
			heal($lake, $o, $problems);
			ok !@$problems, 'the next run renames them' or diag join "\n", @$problems;
		};
	}
}

# ---- the storm ----

my $dir = tempdir();
my $lake = "$dir/lake";
my $data = Sluice::Kills::Data->new(broker(), $dir, 0.5);
my $reader = Sluice::Kills::Reader->new;
my $begun = time;
my @problems;
my %did;

sub one_of { return $_[ rand @_ ] }

sub problem { my ($what) = @_; push @problems, $what; return }

# What a writer is: topic, name, layout, options of the sink. Those of one name take over from each other.
sub writer
{
	my ($stem, $name, $root, @args) = @_;
	return { topic => $data->named($stem), name => $name, root => $root, args => \@args,
		layout => "$root/{topic}/year=%Y/month=%m/day=%d" };
}

my @writers = (
	(map { writer('ONE', 'append', 'streams/one') } 1 .. 2),
	writer('THREE', 'b', 'streams/b', '-N', 'b'),
	writer('THREE', 'b2', 'streams/b2', '-N', 'b2', '-z', 'gzip:1'),
	(map { writer('FOUR', 'c', 'streams/c', '-N', 'c', '-z', 'gzip', '-j', 2) } 1 .. 3),
	writer('THREE', 'overwrite', 'tables', '-m', 'overwrite'),
);
my %topic_of = map { $_->{name} => $_->{topic} } @writers;
my %rivals = (append => 1, c => 1);

# Lines come at their time, as from a live topic, whenever the writer was started.
my $feed = 'my ($file, $begun, $seconds) = @ARGV; open my $f, "<", $file; my @l = <$f>; $| = 1; my $i = 0; '
    . 'for (@l) { my $due = $begun + $seconds * $i++ / @l; '
    . 'while ((my $left = $due - Time::HiRes::time()) > 0) { Time::HiRes::sleep($left) } print }';

# A system call to die at, in the opening or in one of the first commits.
sub fate
{
	return undef if rand() < 0.6;
	my $n = 1 + int rand 6;
	return fault('comm=jsonl-sink;' . one_of("path=/day=;rename:$n:kill-before", "path=/day=;rename:$n:kill-after",
	    "path=.sluice/journal;fdatasync:$n:kill-after", "path=.sluice/journal;write:$n:kill-mid",
	    "path=.sluice/journal;write:$n:kill-after", "path=journal.new;rename:$n:kill-after", "unlink:$n:kill-before"));
}

sub start
{
	my ($w, $hurry) = @_;
	my $table = $w->{name} eq 'overwrite';
	# The table: half of it in the first half of the storm, then all. The other way round would be a topic made anew.
	my $of = $table && !$hurry && time - $begun < $storm / 2 ? $w->{topic}{half} : $w->{topic};
	local $ENV{SLUICE_ROLL_BYTES} = 4000;
	$w->{doomed} = $hurry ? undef : fate();
	$w->{run} = Sluice::Kills->start([ 'perl', '-MTime::HiRes', '-e', $feed, $of->{stream}, $begun, $hurry || $table ? 0 : $storm * 0.9 ],
	    [ 'partition', '-q', '-l', $w->{layout} ], [ 'jsonl-sink', '-q', $table ? () : ('-i', '0.2'), @{ $w->{args} }, $lake ],
	    { env => $w->{doomed} });
	$w->{hit} = '';
	$did{starts}++;
}

# What a writer did when it was left to itself.
sub ended
{
	my ($w) = @_;
	my $sink = $w->{run}{status}{'jsonl-sink'};
	my $err = $w->{run}->err('jsonl-sink');

	$did{fenced}++ if $sink == 75;
	$did{doomed}++ if $sink == 137 && !$w->{hit};
	return if $sink == 0;
	return if $sink == 143 && $w->{hit} =~ /TERM/ && $err eq ''; # before it had even begun
	return if $sink == 137 && ($w->{hit} =~ /KILL/ || $w->{doomed});
	return if $sink == 75 && $rivals{ $w->{name} } && $err =~ /another writer of the name/;
	return if $sink == 65 && $w->{hit} && $err =~ /incomplete|cut/;
	problem("writer $w->{name} ended with $sink after '$w->{hit}': $err");
}

my @hits = ('KILL', 'TERM', 'STOP', 'KILL all', 'KILL partition');

sub hit
{
	my ($w) = @_;
	my $run = $w->{run};
	my $what = $hits[0];
	my $pid = $run->{pid}{'jsonl-sink'};

	return unless grep { $_ eq 'jsonl-sink' } $run->running;
	push @hits, shift @hits;
	$did{$what}++;
	if ($what eq 'STOP') {
		kill 'STOP', $pid;
		sleep rand 0.3;
		kill 'CONT', $pid;
		return;
	}
	$w->{hit} .= "$what ";
	return $run->kill9('all') if $what eq 'KILL all';
	return $run->kill9('partition') if $what eq 'KILL partition';
	kill $what, $pid;
}

# ---- readers: each notes what it saw, to be judged when all commits are known ----

my $stop = "$dir/stop";

sub position_marks
{
	my ($out, $kind) = @_;
	my %at;
	$at{$2} = 0 + $3 while $out =~ /^\{"mark":\{"kind":"$kind","topic":("[^"]*"),"partition":(\d+),"offset":(\d+)/mg;
	return { map { $at{$_} ? ($_ => $at{$_}) : () } keys %at };
}

# Offsets by partition, in the order in which they came.
sub offsets
{
	my ($out) = @_;
	my %o;
	push @{ $o{$1} }, $2 while $out =~ /^\{(?:"path":"[^"]*",)?"topic":"[^"]*","partition":(\d+),"offset":(\d+)/mg;
	return \%o;
}

my %want; # name -> partition -> offsets, in order
for my $name (keys %topic_of) {
	for (split /\n/, slurp($topic_of{$name}{expect})) {
		my (undef, $p, $o) = split /\t/;
		push @{ $want{$name}{$p} }, $o;
	}
	@{ $want{$name}{$_} } = sort { $a <=> $b } @{ $want{$name}{$_} } for keys %{ $want{$name} };
}

# Are these the records from one position to another (undef: to the end)? Why not; '' when they are.
sub not_between
{
	my ($name, $have, $from, $to) = @_;
	for my $p (sort keys %{ $want{$name} }) {
		my @want = grep { $_ >= ($from->{$p} // 0) && (!$to || $_ < ($to->{$p} // 0)) } @{ $want{$name}{$p} };
		my @have = @{ $have->{$p} // [] };
		return sprintf 'partition %d: %d records (%s..%s), not %d (%s..%s)', $p, scalar @have, $have[0] // '-',
		    $have[-1] // '-', scalar @want, $want[0] // '-', $want[-1] // '-' if "@have" ne "@want";
	}
	return '';
}

sub query
{
	my ($name) = @_;
	my $r = run('jsonl-sink', '-Q', '-N', $name, $lake);
	return { what => '-Q', at => position_marks($r->{out}, 'position'), bad => $r->{exit} ? "$r->{exit}: $r->{err}" : '' };
}

sub cat
{
	my ($name) = @_;
	my $r = run('lakecat', '--marks', '-N', $name, $lake);
	my $at = position_marks($r->{out}, 'position');
	return { what => 'lakecat', at => $at, bad => $r->{exit} ? "$r->{exit}: $r->{err}" : not_between($name, offsets($r->{out}), {}, $at) };
}

sub resume
{
	my ($name) = @_;
	my $r = run('kread', '-q', '-t', $topic_of{$name}{name}, '-e', '--from', "$lake/", '-N', $name);
	my $at = position_marks($r->{out}, 'start');
	return { what => 'kread --from', at => $at,
		bad => $r->{exit} ? "$r->{exit}: $r->{err}" : not_between($name, offsets($r->{out}), $at, undef) };
}

sub check
{
	my $r = run('jsonl-sink', '--check', $lake);
	return { what => '--check', bad => $r->{exit} ? "$r->{exit}: $r->{err}" : '' };
}

# The whole of one version or of the other.
sub cat_table
{
	my $r = run('lakecat', '-N', 'overwrite', $lake);
	my $have = offsets($r->{out});
	my ($half, $whole) = (0, 0);
	$half += @$_ for values %$have;
	return { what => 'lakecat of a table', bad => '' } if $r->{exit} == 75 || $half == 0 && $r->{exit} == 0;
	my $why = $r->{exit} ? "$r->{exit}: $r->{err}" : '';
	my @lines = split /\n/, slurp($topic_of{overwrite}{half}{expect});
	$why ||= not_between('overwrite', { map { $_ => [ sort { $a <=> $b } @{ $have->{$_} } ] } keys %$have }, {}, undef)
	    unless $half == @lines;
	return { what => 'lakecat of a table', bad => $why, rows => $half };
}

sub look
{
	my ($number, @looks) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	srand $seed + $number;
	open my $log, '>', "$dir/saw-$number" or POSIX::_exit(1);
	$log->autoflush(1);
	until (-e $stop) {
		my $name = one_of('append', 'b', 'b2', 'c');
		print $log to_json({ %{ $_->($name) }, name => $name }), "\n" for @looks;
	}
	POSIX::_exit(0);
}

# ---- all of it ----

sub keep_writing
{
	for my $w (@writers) {
		next if $w->{run} && $w->{run}->running;
		ended($w) if $w->{run};
		start($w);
	}
}

sub rage
{
	wait_until(60, 'there is a lake', sub { keep_writing(); -e "$lake/.sluice/journal" });
	my @readers = (look(1, \&query, \&cat, \&query), look(2, \&query, \&resume, \&query), look(3, \&check),
	    look(4, \&cat_table), look(5, \&query, \&cat, \&resume, \&cat));
	$reader->ask(watch => lake => $lake, below => 'streams');
	while (time - $begun < $storm) {
		keep_writing();
		hit(one_of(@writers)) if rand() < 0.7;
		sleep rand 0.15;
	}
	spew($stop, '');
	waitpid $_, 0 for @readers;
	push @problems, map { "DuckDB: $_" } @{ $reader->ask('stop')->{errors} };
}

sub calm_down
{
	for my $w (@writers) {
		$w->{run}->wait(60);
		ended($w);
		for (1 .. 5) {
			start($w, 1);
			my $status = $w->{run}->wait(120);
			ended($w);
			last unless $status->{'jsonl-sink'};
		}
	}
}

# For each name, where it stood after each of its commits.
sub history
{
	my %history;
	for my $commit (grep { $_->{commit} } Sluice::Lake::journal_lines($lake)) {
		my $h = $history{ $commit->{name} } //= [ {} ];
		push @$h, { %{ $h->[-1] }, map { ($_->{partition} => $_->{offset}) } @{ $commit->{positions} } };
	}
	return \%history;
}

# Each look must show one of these states, and none before the one that the look before it showed.
sub judge
{
	my ($history) = @_;
	my (%looks, %after);
	for my $log (glob "$dir/saw-*") {
		my %least;
		for my $saw (map { json($_) } split /\n/, slurp($log)) {
			my ($name, $what) = @$saw{qw(name what)};
			$looks{$what}++;
			problem("$what of $name: $saw->{bad}") if $saw->{bad};
			next unless $saw->{at} && !$saw->{bad};
			my $states = $history->{$name} // [ {} ];
			my $is = to_json($saw->{at});
			my $least = $least{$name} //= 0;
			my ($i) = grep { to_json($states->[$_]) eq $is } $least .. $#$states;
			defined $i ? ($least{$name} = $i) : problem("$what of $name saw $is: no commit since number $least of that name");
			$after{$what}{$i}++ if defined $i;
		}
	}
	return (\%looks, { map { $_ => scalar keys %{ $after{$_} } } keys %after });
}

my $ok = eval { rage(); 1 };
spew($stop, q()); # whatever happened, the readers must end
die $@ unless $ok;
calm_down();
my ($looks, $states) = judge(history());
ok !@problems, "readers beside writers: whole commits only (seed $seed)"
    or diag join "\n", splice(@problems, 0, 10), "the lake: " . (run('cp', '-a', $lake, "/tmp/sluice-storm-$seed") && "/tmp/sluice-storm-$seed");
cmp_ok $looks->{$_} // 0, '>', 2, "$_: $looks->{$_} looks" . ($states->{$_} ? " at $states->{$_} states" : '')
    for '-Q', 'lakecat', 'kread --from', '--check', 'lakecat of a table';
cmp_ok $states->{$_}, '>', 1, "$_ looked while things moved" for 'lakecat', 'kread --from';
cmp_ok $did{$_} // 0, '>', 0, "writers: $_ " . ($did{$_} // 0) for @hits, 'starts', 'doomed', 'fenced';

my @parts = map { { root => $_->{root}, kind => $_->{name} eq 'overwrite' ? 'snapshot' : 'once', expect => [ $_->{topic}{expect} ],
    versions => [ [ $_->{topic}{expect} ] ] } } @writers;
my %seen;
is_deeply $reader->ask(verify => lake => $lake, parts => [ grep { !$seen{ $_->{root} }++ } @parts ])->{errors}, [], 'in the end each record is there once';
is run('jsonl-sink', '--check', $lake)->{exit}, 0, '--check';
done_testing;
