# The commit protocol of sluice-lake(5), step by step: what each promises when it fails, by name. That it holds for
# every call is shown by t/lake-faults.t.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use Sluice::Lake;
use Sluice::Order;
use POSIX ();
use Test::More;

my $append = { args => ['-a'], name => 'append' };
my @early = records(0, 12);
my @all = records(0, 20);
my $base = new_lake();
is sink($base, { %$append, offsets => [ 0, 12 ] })->{exit}, 0, 'a lake to begin with';

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

subtest 'step 1: temporary files that cannot be removed stay listed, and the next writer removes them' => sub {
	for ('unlink', 'openat2') {
		my ($lake, $o, $r) = struck("path=/.sluice-;fsync:1:EIO;path=day;$_:" . ($_ eq 'unlink' ? 1 : 6) . '+:EMFILE');
		is $r->{exit}, 74, $_;
		ok((grep { m{/\.sluice-} } left_behind($lake)), 'there they are');
		healed($lake, $o);
	}
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

subtest 'step 4: a line that can be neither taken back nor denounced is whole or torn, and the next writer knows' => sub {
	for ('fdatasync:2:EIO', 'write:1:short;write:2:EIO') {
		my ($lake, $o, $r) = struck("path=.sluice/journal;$_;ftruncate:1:EIO;path=/failed;open:1:EIO");
		is $r->{exit}, 74, $_;
		is $r->{out}, '', 'nothing acknowledged';
		ok !-e "$lake/.sluice/failed";
		healed($lake, $o);
	}
};

# The renames of a commit come after those with which opening the lake made sure of the last one.
my ($rename) = do {
	my ($lake) = struck('');
	my @renames = grep { $_->{call} =~ /^rename/ } calls("$lake.log");
	grep { $renames[ $_ - 1 ]{path} =~ /00000002/ } 1 .. @renames;
};
my $rename_again = $rename + 1;

for ("$rename:EIO", "$rename_again:EIO", "$rename+:ENOSPC") {
	my $fault = "rename:$_";
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
	my ($lake, $o) = struck("rename:$rename:kill-before");
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

# ---- the order of the calls, which is all that a power loss leaves to rely on: t/lib/Sluice/Order.pm ----

sub in_order
{
	my ($what, $lake, %o) = @_;
	subtest "the order of calls: $what" => sub {
		my $r = sink($lake, { %$append, offsets => [ 0, 20 ], %o, fault => fault('', "$lake.log") });
		my @calls = calls("$lake.log");
		is $r->{exit}, 0 or diag $r->{err};
		is join("\n", order_of($lake, @calls)), '';
		return if $o{unchanged};
		# The checks above see nothing in calls that are not there.
		my $all = join '', map { "$_->{call} $_->{path}\n" } @calls;
		like $all, qr{^write \Q$lake\E/\.sluice/journal\n.*^fdatasync \Q$lake\E/\.sluice/journal\n.*^rename}sm, 'a commit';
		like $all, qr{^write \Q$lake\E\.out$}m, 'and its acknowledgement';
	};
}

my %roll = (env => { SLUICE_ROLL_BYTES => 200 });
my $later = { %$append, offsets => [ 12, 20 ] };

in_order('the first commit of a lake', new_lake());
in_order('a later one', copy_of($base));
in_order('several commits of one run', copy_of($base), args => [ '-a', '--size', 300 ], offsets => [ 0, 40 ]);
in_order('gzip', copy_of($base), args => [ '-a', '-z', 'gzip', '-j', 2 ]);
in_order('overwrite', copy_of($base), args => [ '-a', '-m', 'overwrite' ], offsets => [ 4, 16 ]);
in_order('the roll', copy_of($base), %roll);
in_order('after a torn line', struck_lake($base, $later, fault('path=/journal;write:1:kill-mid')));
in_order('after a line that was not synced', struck_lake($base, $later, fault('path=/journal;fdatasync:2:kill-before')),
    unchanged => 1);
in_order('after a first journal that was not synced', struck_lake(new_lake(), { %$append, offsets => [ 0, 12 ] },
    fault('path=/journal;write:1:kill-before')));
in_order('after a roll that was not finished', struck_lake($base, { %$later, %roll }, fault('path=journal.new;rename:1:kill-before')),
    unchanged => 1);
in_order('after a torn first line', struck_lake(new_lake(), { %$append, offsets => [ 0, 12 ] },
    fault('path=/journal;write:1:kill-mid')));

subtest 'a line whose fdatasync failed is written again: the kernel calls it clean, and another would sync nothing' => sub {
	my $lake = struck_lake($base, $later, fault('path=/journal;fdatasync:2:EIO;ftruncate:1:kill-before'));
	is sink($lake, { %$append, offsets => [ 12, 20 ], fault => fault('', "$lake.log") })->{exit}, 0;
	like join('', map { "$_->{call} $_->{path}\n" } calls("$lake.log")),
	    qr{^pwrite \Q$lake\E/\.sluice/journal\n(?:^(?!rename).*\n)*^fdatasync \Q$lake\E/\.sluice/journal\n.*^rename}sm;
};

subtest 'step 3: ignore looks again under the lock, and leaves what another has stored meanwhile' => sub {
	my $lake = copy_of($base);
	my @late = records(40, 44);
	pipe my $in, my $to or die $!;
	my $ignore = spawn('jsonl-sink', '-a', '-m', 'ignore', '--trust-eof', $lake, { stdin => $in });
	syswrite $to, join '', map { $_->{stream} } @late;
	wait_until(60, 'it has begun the path', sub { -d "$lake/streams/T/day=05" });
	is run('jsonl-sink', '-q', '-N', 'other', $lake, { stdin => stream(40, 44) })->{exit}, 0, 'another stores there';
	close $to;
	my $r = finish($ignore, 60);
	is $r->{exit}, 75 or diag $r->{err};
	is $r->{out}, '', 'nothing acknowledged';
	my $problems = [];
	compare($lake, $problems, @early, @late);
	ok !@$problems, 'each record once' or diag join "\n", @$problems;
};

subtest 'step 5: a file that somebody put in the way is never written over, whatever the file system can' => sub {
	for my $fault ('', 'renameat2:1+:EINVAL') {
		my $lake = struck_lake($base, { %$append, offsets => [ 12, 20 ] }, fault('path=/journal;fdatasync:2:kill-after'));
		my $theirs = "$lake/streams/T/day=01/00000002.jsonl";
		spew($theirs, "theirs\n");
		my $r = sink($lake, { %$append, offsets => [ 0, 20 ], fault => fault($fault) });
		is $r->{exit}, 74, $fault;
		is $r->{out}, '', 'nothing acknowledged';
		is slurp($theirs), "theirs\n", 'it is as it was';
	}
};

# ---- a writer that lives, and what others do meanwhile ----

# A writer that has committed T/0 and T/1 up to 14, and is fed by give().
sub living
{
	my ($lake) = @_;
	pipe my $in, my $to or die $!;
	$to->autoflush(1);
	my $w = { lake => $lake, to => $to, run => spawn('jsonl-sink', '-a', '-i', '0.01', $lake,
	    { stdin => $in, env => fault('', "$lake.log") }) };
	give($w, records(12, 14));
	return $w;
}

sub give
{
	my ($w, @records) = @_;
	my $next = $records[-1]{offset} + 1;
	print { $w->{to} } map { $_->{stream} } @records;
	wait_until(60, 'it has committed', sub { -e $w->{run}{out} && slurp($w->{run}{out}) =~ /"partition":1,"offset":$next\b/ });
}

# Ends it: all its calls as text, and whether they came in order.
sub calls_of
{
	my ($w) = @_;
	close $w->{to};
	is finish($w->{run}, 60)->{exit}, 0, 'it ends well';
	return map { "$_->{call} $_->{path}\n" =~ s/\Q$w->{lake}\E/LAKE/gr } calls("$w->{lake}.log");
}

my $other = { args => [ '-a', '-N', 'other' ], name => 'other', offsets => [ 0, 4 ] };

subtest 'step 2: a writer that lives finishes the commit of another before its own' => sub {
	my $w = living(my $lake = copy_of($base));
	is sink($lake, { %$other, fault => fault('path=/journal;fdatasync:2:kill-after') })->{signal}, 9, 'another dies';
	ok !-e "$lake/streams/T/day=00/00000003.jsonl", 'before its renames';
	give($w, records(14, 16));
	ok -e "$lake/streams/T/day=00/00000003.jsonl", 'they are made';
	calls_of($w);
	is run('jsonl-sink', '--check', $lake)->{exit}, 0, '--check';
};

subtest 'step 2: a journal that another has rolled is opened anew, and its name made durable before it is built on' => sub {
	my $w = living(my $lake = copy_of($base));
	is sink($lake, { %$other, %roll, fault => fault('path=journal.new;rename:1:kill-after') })->{signal}, 9, 'another dies';
	give($w, records(14, 16));
	my $calls = join '', calls_of($w);
	my ($last) = $calls =~ m{.*^openat LAKE/\.sluice/journal\n(.*?)^write LAKE/\.sluice/journal\n}sm;
	like $last, qr{^fsync LAKE/\.sluice$}m;
	is run('jsonl-sink', '--check', $lake)->{exit}, 0, '--check';
};

subtest 'step 1: a directory that went away under a writer and was made again is durable before the line' => sub {
	my $w = living(my $lake = copy_of($base));
	run('rm', '-r', "$lake/streams/T/day=01");
	give($w, records(14, 16));
	calls_of($w);
	is join("\n", order_of($lake, calls("$lake.log"))), '';
};

done_testing;
