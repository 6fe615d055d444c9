# The commit protocol of sluice-lake(5) under faults: every system call that touches the lake, in every
# situation a commit can meet, fails once and kills once. Whatever happens, what is visible is whole and
# in the journal, what was acknowledged stays, and the same line run again (after --repair only where the
# protocol says so) ends with every record once, a clean --check and nothing left lying about.

use strict;
use warnings;
use File::Find qw(find);
use File::Path qw(remove_tree);
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use POSIX ();
use Test::More;

# In memory where possible: five thousand runs would mostly wait for a disk that plays no part here.
my $dir = -w '/dev/shm' ? File::Temp->newdir('sluice-XXXXXX', DIR => '/dev/shm') : tempdir();
my $lakes = 0;

# ---- what goes in, as kread --marks | partition writes it ----

sub record
{
	my ($partition, $offset) = @_;
	my $body = sprintf '"topic":"T","partition":%d,"offset":%d,"tstype":"create","ts":%d,"key":null,'
	    . '"payload":{"n":%d}}', $partition, $offset, 1_763_697_600_000 + $offset, $offset * 7;
	my $path = sprintf 'streams/T/day=%02d', $offset / 8; # every path has records of both partitions
	return { path => $path, line => "{$body", stream => "{\"path\":\"$path\",$body\n" };
}

sub records { my ($from, $to) = @_; return map { record(0, $_), record(1, $_) } $from .. $to - 1 }

sub mark { return '{"mark":{"kind":"' . shift() . '"' . join('', map { ",$_" } @_) . "}}\n" }

sub stream
{
	my ($from, $to) = @_;
	my @place = map { "\"topic\":\"T\",\"partition\":$_" } 0, 1;
	return join '', (map { mark('start', $_, "\"offset\":$from") } @place),
	    (map { $_->{stream} } records($from, $to)),
	    (map { mark('position', $_, "\"offset\":$to") } @place), mark('end', '"records":' . 2 * ($to - $from));
}

# ---- what must come out ----

sub all_files
{
	my ($lake) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, substr $_, length "$lake/" if -f } }, $lake) if -d $lake;
	return sort @files;
}

sub visible { return grep { !m{(^|/)\.} } all_files(@_) }

# Whether the visible files are whole and known to the journal; and the lines they hold.
sub contents
{
	my ($lake, $problems) = @_;
	my (%known, %lines, @twice);
	return {} unless -d $lake;

	for my $journal (glob("$lake/.sluice/journal.[0-9]*"), grep { -e } "$lake/.sluice/journal") {
		for (split /\n/, slurp($journal)) {
			my $commit = eval { json($_) } or next; # a torn tail is no commit
			$known{ $_->{file} } = $_->{records} for @{ $commit->{add} // [] };
		}
	}
	for my $file (visible($lake)) {
		my $text = $file =~ /\.gz$/ ? run('zcat', "$lake/$file")->{out} : slurp("$lake/$file");
		my @lines = split /\n/, $text;
		push @$problems, "$file is visible but not in the journal" unless exists $known{$file};
		push @$problems, "$file ends in half a line" if $text !~ /\n\z/;
		push @$problems, "$file has " . @lines . " lines, journal $known{$file}" if @lines != ($known{$file} // -1);
		$lines{$_}++ and push @$problems, "twice: $_" for @lines;
	}
	return \%lines;
}

sub compare
{
	my ($lake, $problems, @want) = @_;
	my $have = contents($lake, $problems);
	my %want = map { $_->{line} => 1 } @want;
	push @$problems, map { "lost: $_" } grep { !$have->{$_} } sort keys %want;
	push @$problems, map { "too much: $_" } grep { !$want{$_} } sort keys %$have;
}

sub sink
{
	my ($lake, $o) = @_;
	return run('jsonl-sink', @{ $o->{args} }, $lake, {
		stdin => stream(@{ $o->{offsets} }), env => { %{ $o->{env} // {} }, %{ $o->{fault} // {} } } });
}

sub left_behind
{
	my ($lake) = @_;
	return grep { m{(^|/)\.sluice-[^/]*$|/writers/|/failed$} } all_files($lake);
}

# The same line again heals everything. $repair: the protocol allows that it asks for --repair first.
sub heal
{
	my ($lake, $o, $problems) = @_;
	my $r = sink($lake, $o);

	if (-e "$lake/.sluice/failed") {
		push @$problems, "refused with $r->{exit}, not 65: $r->{err}" if $r->{exit} != 65;
		push @$problems, "the refusal does not name --repair: $r->{err}" if $r->{err} !~ /--repair/;
		my $repair = run('jsonl-sink', '--repair', $lake);
		push @$problems, "--repair: $repair->{exit}: $repair->{err}" if $repair->{exit};
		$r = sink($lake, $o);
	}
	push @$problems, "rerun: $r->{exit}: $r->{err}" if $r->{exit};
	compare($lake, $problems, @{ $o->{want} });
	my $check = run('jsonl-sink', '--check', $lake);
	push @$problems, "--check: $check->{exit}: $check->{err}" if $check->{exit};
	push @$problems, map { "left behind: $_" } left_behind($lake);
}

# Positions that were acknowledged must be in the journal, whatever happened afterwards.
sub check_acks
{
	my ($lake, $r, $o, $problems) = @_;
	return unless $r->{out} =~ /\S/;
	my %stored = map { ("$_->{partition}" => $_->{offset}) } map { $_->{mark} }
	    json_lines(run('jsonl-sink', '-Q', '-N', $o->{name}, $lake)->{out});
	for my $ack (map { $_->{mark} } json_lines($r->{out})) {
		push @$problems, "acknowledged, not stored: $ack->{partition} $ack->{offset}"
		    if $ack->{offset} > ($stored{ $ack->{partition} } // -1);
	}
}

# ---- situations: where it differs from the ones before, only that stage of the run is walked ----

sub new_lake { return "$dir/lake" . ++$lakes }

sub copy_of
{
	my ($base) = @_;
	my $lake = new_lake();
	run('cp', '-a', $base, $lake)->{exit} == 0 or die if -e $base;
	return $lake;
}

my $append = { args => ['-a'], name => 'append' };
my @early = records(0, 12);
my @all = records(0, 20);
my $base = new_lake();
is sink($base, { %$append, offsets => [ 0, 12 ] })->{exit}, 0, 'a lake to begin with';

sub killed_lake
{
	my ($fault) = @_;
	my $lake = copy_of($base);
	my $r = sink($lake, { %$append, offsets => [ 12, 20 ], fault => fault($fault) });
	die "not killed: $fault\n" if $r->{signal} != 9;
	return $lake;
}

sub situation
{
	my ($what, %o) = @_;
	return { %$append, what => $what, base => $base, offsets => [ 0, 20 ], want => \@all, %o };
}

my @situations = (
	situation('the first commit of a lake', base => new_lake()),
	situation('a later commit'),
	situation('a commit that rolls the journal', stage => 'committed', env => { SLUICE_ROLL_BYTES => 200 }),
	situation('gzip in two threads', stage => 'writing', base => new_lake(), args => [ '-a', '-z', 'gzip', '-j', 2 ]),
	situation('after a writer died with temporary files', stage => 'opening',
		base => killed_lake('path=/lock;flock:2:kill-before')),
	situation('after a writer died within the journal line', stage => 'opening',
		base => killed_lake('path=/journal;write:1:kill-mid')),
	situation('after a writer died between the commit and its renames', stage => 'opening',
		base => killed_lake('path=day=01;rename:2:kill-before')),
	situation('after a writer died among the renames', stage => 'opening',
		base => killed_lake('path=day=02;rename:1:kill-before')),
	situation('nothing new', offsets => [ 0, 12 ], want => \@early),
	situation('overwrite, which removes other files', args => [ '-a', '-m', 'overwrite' ], name => 'overwrite',
		offsets => [ 4, 16 ], want => [ records(4, 16) ]),
);


# ---- the walk ----

# Which step of the protocol a call belongs to, by what it does to which file; undef: it changes nothing.
sub step_of
{
	my ($lake, $call, $committed) = @_;
	my ($name, $path) = @$call{qw(call path)};
	my $data = $path =~ m{/\.sluice-[^/]*$};

	return undef if $path !~ m{^\Q$lake\E} && $path !~ m{^\Q$dir\E$};
	return '2, the lock' if $name eq 'flock' && $path =~ m{/lock$};
	return 'the writer\'s list' if $path =~ m{/\.sluice/writers(/|$)};
	return 'the roll' if $path =~ m{journal\.};
	return $$committed ? '5, the renames' : '2, redo' if $name =~ /^rename/;
	return $$committed ? '5, the removes' : '2, sweep' if $name =~ /^unlink/;
	if ($path =~ m{/journal$}) {
		return '2, the journal is read' if $name =~ /open|close/;
		return '4, back to where it was' if $name eq 'ftruncate' && $$committed;
		return '2, a torn tail' if $name eq 'ftruncate';
		$$committed = 1 if $name =~ /write/;
		return $name =~ /write/ ? '4, the line' : $$committed ? '4, the commit' : '2, the last line is made sure';
	}
	return "1, data files" if $data;
	return '1, directories' if $name =~ /^mkdir/ || $name eq 'fsync' && !$$committed;
	return '5, directories' if $name eq 'fsync';
	return 'other';
}

# The calls of an undisturbed run: { name, n (the nth of that name), step, path }.
sub steps
{
	my ($o) = @_;
	my $lake = copy_of($o->{base});
	my $log = "$lake.log";
	my $r = sink($lake, { %$o, fault => fault('comm=jsonl-sink', $log) });
	my (%nth, @steps);
	my ($committed, $opening) = (0, 1);

	is $r->{exit}, 0, 'undisturbed' or diag $r->{err};
	for my $call (calls($log)) {
		my $n = ++$nth{ $call->{call} };
		my $step = step_of($lake, $call, \$committed) // next;
		$opening = 0 if $step =~ /^1, data/;
		push @steps, { name => $call->{call}, n => $n, step => $step,
			stage => $committed ? 'committed' : $opening ? 'opening' : 'writing',
			path => $call->{path} =~ s/\Q$lake\E/DIR/gr };
	}
	remove_tree($lake);
	return @steps;
}

# One run with one fault, and all that must hold after it.
sub strike
{
	my ($o, $step, $what) = @_;
	my $lake = copy_of($o->{base});
	my $fault = "comm=jsonl-sink;$step->{name}:$step->{n}:$what";
	my $r = sink($lake, { %$o, fault => fault($fault) });
	my $problems = [];

	if ($what =~ /kill/) {
		push @$problems, "not killed but $r->{exit}: $r->{err}" if $r->{signal} != 9;
	} elsif ($r->{exit} == 0) {
		compare($lake, $problems, @{ $o->{want} }); # it did without that call, so it must be right
	} else {
		push @$problems, "exit $r->{exit}: $r->{err}" if $r->{exit} !~ /^(65|73|74|75|77)$/;
		push @$problems, "the message does not say why: $r->{err}" if $what =~ /^E/
		    && $r->{err} !~ POSIX::strerror(POSIX->can($what)->());
	}
	contents($lake, $problems) if $o->{name} eq 'append';
	check_acks($lake, $r, $o, $problems);
	heal($lake, $o, $problems);
	ok !@$problems, "$step->{step}: $step->{name} $step->{path} ($what)"
	    or diag join "\n", "SLUICE_FAULT='$fault'", splice(@$problems, 0, 8), "first run: $r->{err}";
	remove_tree($lake) unless @$problems;
}

for my $o (@situations) {
	subtest $o->{what} => sub {
		my (%seen, $i);
		for my $step (steps($o)) {
			next if $o->{stage} && $step->{stage} ne $o->{stage};
			next if sanitized() && $i++ % 5; # a sample: each run takes ten times as long
			# To die before an open or a close is to die after the change before it.
			my $changes = $step->{name} !~ /open|close|flock/;
			strike($o, $step, 'kill-before') if $changes;
			strike($o, $step, 'kill-mid') if $step->{name} =~ /write/;
			strike($o, $step, 'EIO') if $changes || !$seen{"@$step{qw(step name path)}"}++;
		}
	};
}

# ---- what each step promises, by name ----

# The lake with one more commit on its way, struck by $fault: the result, and what the journal was before.
sub struck
{
	my ($fault, %more) = @_;
	my $lake = copy_of($base);
	my $o = { %$append, offsets => [ 0, 20 ], want => \@all, %more };
	my $before = slurp("$lake/.sluice/journal");
	my $r = sink($lake, { %$o, fault => fault("comm=jsonl-sink;$fault", "$lake.log") });
	return ($lake, $o, $r, $before);
}

sub healed
{
	my ($lake, $o) = @_;
	my $problems = [];
	heal($lake, $o, $problems);
	ok !@$problems, 'the same line again heals it' or diag join "\n", @$problems;
}

sub nothing_happened
{
	my ($lake, $o, $r, $before) = @_;
	my $problems = [];
	is $r->{out}, '', 'nothing acknowledged';
	is slurp("$lake/.sluice/journal"), $before, 'the journal is as it was';
	compare($lake, $problems, @early);
	ok !@$problems, 'nothing of it is visible' or diag join "\n", @$problems;
	is join(' ', left_behind($lake)), '', 'no temporary files';
	healed($lake, $o);
}

for (['write', 'ENOSPC', 74], ['write', 'EDQUOT', 74], ['write', 'EIO', 74], ['fsync', 'EIO', 74],
    ['open', 'EROFS', 73], ['open', 'ENOSPC', 74], ['open', 'EACCES', 77]) {
	my ($call, $errno, $code) = @$_;
	subtest "step 1: $errno on a data file ($call)" => sub {
		my @r = struck("path=/.sluice-;$call:1:$errno");
		is $r[2]{exit}, $code;
		like $r[2]{err}, qr/^jsonl-sink: .*streams\/T\/day=.*: ${\POSIX::strerror(POSIX->can($errno)->())}$/m;
		nothing_happened(@r);
	};
}

for (['ENOSPC', 74], ['EDQUOT', 74], ['EROFS', 73], ['EACCES', 77]) {
	my ($errno, $code) = @$_;
	subtest "step 1: $errno on a new directory" => sub {
		my @r = struck("path=day=02;mkdir:1:$errno");
		is $r[2]{exit}, $code;
		like $r[2]{err}, qr/day=02.*${\POSIX::strerror(POSIX->can($errno)->())}/;
		nothing_happened(@r);
	};
}

subtest 'step 1: a directory that cannot be made durable' => sub {
	my @r = struck('path=day=02;fsync:2:EIO');
	is $r[2]{exit}, 74;
	nothing_happened(@r);
};

subtest 'step 2: a lock that cannot be had' => sub {
	my @r = struck('path=/lock;flock:2:ENOLCK');
	isnt $r[2]{exit}, 0;
	nothing_happened(@r);
};

subtest 'step 3: a writer whose positions another has moved is fenced with 75 and stores nothing' => sub {
	my $lake = new_lake();
	my @writer = map { pipe my $in, my $to or die; $to->autoflush(1);
	    { to => $to, run => spawn('jsonl-sink', '-a', '-i', '0.01', $lake, { stdin => $in }) } } 1 .. 2;
	my $acked = sub { slurp($writer[0]{run}{out}) =~ /"partition":1,"offset":$_[0]\b/ };
	my $give = sub { my ($i, @records) = @_; print { $writer[$i]{to} } map { $_->{stream} } @records };

	wait_until(60, 'both are there', sub { 2 == grep { m{/writers/} } all_files($lake) });
	$give->(0, records(0, 4));
	wait_until(60, 'the first has committed', sub { $acked->(4) });
	$give->(1, records(0, 8));
	my $r = finish($writer[1]{run}, 60);
	is $r->{exit}, 75;
	like $r->{err}, qr{^jsonl-sink: .*T/0: another writer}m;
	is $r->{out}, '', 'nothing acknowledged';
	$give->(0, records(4, 8));
	wait_until(60, 'the first goes on', sub { $acked->(8) });
	close $writer[0]{to};
	is finish($writer[0]{run}, 60)->{exit}, 0, 'the first ends well';
	my $problems = [];
	compare($lake, $problems, records(0, 8));
	ok !@$problems, 'each record once' or diag join "\n", @$problems;
	is join(' ', left_behind($lake)), '', 'nothing left behind';
};

for (['write:1:ENOSPC', 'no room'], ['write:1:EDQUOT', 'over quota'],
    ['write:1:short;write:2:ENOSPC', 'half a line'], ['fdatasync:2:EIO', 'not durable']) {
	my ($fault, $what) = @$_;
	subtest "step 4: a line that fails is taken back: $what" => sub {
		my @r = struck("path=.sluice/journal;$fault");
		is $r[2]{exit}, 74;
		like $r[2]{err}, qr{\.sluice/journal};
		ok !-e "$r[0]/.sluice/failed";
		nothing_happened(@r);
	};
}

for ('fdatasync:2:EIO;ftruncate:1:EIO', 'write:1:short;write:2:ENOSPC;ftruncate:1:EIO',
    'fdatasync:2:EIO;fsync:1+:EIO') {
	my $fault = $_;
	subtest "step 4: a line that cannot be taken back stops all writers until --repair ($fault)" => sub {
		my ($lake, $o, $r) = struck("path=.sluice/journal;$fault");
		is $r->{exit}, 74;
		is $r->{out}, '', 'nothing acknowledged';
		ok -e "$lake/.sluice/failed";
		my $q = run('jsonl-sink', '-Q', $lake);
		is $q->{exit}, 0, 'positions can be asked for';
		healed($lake, $o); # runs into the refusal, repairs, runs again
	};
}

# The renames of a commit come after those with which opening the lake made sure of the last one.
my @renames = grep { $_->{step} eq '5, the renames' } steps($situations[1]);

for ("$renames[0]{n}:EIO", "$renames[1]{n}:EIO", "$renames[0]{n}+:ENOSPC") {
	my $fault = "$renames[0]{name}:$_";
	subtest "step 5: the commit stands when a rename fails, and the next writer finishes it ($fault)" => sub {
		my ($lake, $o, $r) = struck($fault);
		is $r->{exit}, 74;
		is $r->{out}, '', 'not acknowledged';
		my @temps = grep { /day=/ } left_behind($lake);
		ok @temps > 0, 'what the line names is still there';
		is run('jsonl-sink', '-q', $lake)->{exit}, 0, 'a writer with nothing to write';
		my $problems = [];
		compare($lake, $problems, @all);
		ok !@$problems, 'made it all visible' or diag join "\n", @$problems;
		healed($lake, $o);
	};
}

subtest 'step 5: neither the temporary file nor the final one is there' => sub {
	my ($lake, $o) = struck("$renames[0]{name}:$renames[0]{n}:kill-before");
	my ($temp) = grep { /day=/ } left_behind($lake);
	unlink "$lake/$temp" or die $!;
	for (1, 2) {
		my $r = sink($lake, $o);
		is $r->{exit}, 65, 'refused';
		like $r->{err}, qr/--repair/;
	}
	isnt run('jsonl-sink', '--check', $lake)->{exit}, 0, '--check says so';
	is run('jsonl-sink', '--repair', $lake)->{exit}, 0, '--repair';
	is sink($lake, $o)->{exit}, 0, 'and writers may go on';
};

subtest 'a kernel without openat2 and without RENAME_NOREPLACE' => sub {
	for ('openat2:1+:ENOSYS', 'renameat2:1+:EINVAL', 'renameat2:1+:ENOSYS') {
		my ($lake, $o, $r) = struck($_);
		is $r->{exit}, 0, $_ or diag $r->{err};
		healed($lake, $o);
	}
};

subtest 'short writes and interrupted calls are no errors' => sub {
	for ('write:1+:short', 'path=/.sluice-;write:1:EINTR', 'path=/lock;flock:1:EINTR') {
		my ($lake, $o, $r) = struck($_);
		is $r->{exit}, 0, $_ or diag $r->{err};
		healed($lake, $o);
	}
};

subtest 'the order that a power cut relies on' => sub {
	my ($lake, $o, $r) = struck('');
	my @calls = calls("$lake.log");
	my @at = map { +{ %$_, path => $_->{path} =~ s/\Q$lake\E/LAKE/gr } } @calls;
	my $first = sub { my ($re, $from) = @_; for my $i ($from // 0 .. $#at) {
	    return $i if "$at[$i]{call} $at[$i]{path}" =~ $re } return undef };
	my $line = $first->(qr{^write LAKE/\.sluice/journal$});
	my $commit = $first->(qr{^fdatasync LAKE/\.sluice/journal$}, $line);
	my @data = grep { "$at[$_]{call} $at[$_]{path}" =~ m{^write .*/\.sluice-[^/]*$} } 0 .. $#at;
	my $rename = sub { $first->(qr{^rename\w* .*/$_[0]/00000002\.jsonl$}) }; # opening redoes those of 1

	is $r->{exit}, 0;
	ok defined $commit, 'the line, then its fdatasync';
	ok $data[-1] < $line, 'data before the line';
	for my $path (sort keys %{ { map { $at[$_]{path} => 1 } @data } }) {
		my $at = $first->(qr{^fsync \Q$path\E$});
		ok defined $at && $at < $line, "durable before: $path";
	}
	for my $path ('LAKE/streams/T/day=02', 'LAKE/streams/T', 'LAKE/streams', 'LAKE', $dir) {
		my $at = $first->(qr{^fsync \Q$path\E$});
		ok defined $at && $at < $line, "durable before: $path";
	}
	for my $day ('day=01', 'day=02') {
		ok defined $rename->($day) && $rename->($day) > $commit, "its name after the commit: $day";
		ok defined $first->(qr{^fsync LAKE/streams/T/$day$}, $rename->($day)), "and durable: $day";
	}
	my ($ack) = grep { $at[$_]{call} eq 'write' && $at[$_]{path} =~ m{/out$} } 0 .. $#at;
	ok $ack > $first->(qr{^fsync LAKE/streams/T/day=02$}, $rename->('day=02')), 'and then acknowledged';
};

done_testing;
