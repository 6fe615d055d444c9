# The fault library itself: what the tests of the lake rely on when they say "the third fsync fails".

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use Test::More;

my $dir = tempdir();

# A program in one line of Perl, run with a fault: what it printed, how it ended.
sub perl
{
	my ($code, $spec, $log) = @_;
	return run('perl', '-e', $code, { cwd => $dir, env => fault($spec, $log) });
}

# Perl has no builtin for these system calls: syscall() is the libc function that is interposed.
my %number = do {
	my $names = run('sh', '-c', 'echo "#include <sys/syscall.h>
openat2 SYS_openat2 renameat2 SYS_renameat2" | cc -E -P -');
	$names->{out} =~ /(openat2|renameat2) (\d+)/g;
};

subtest 'without rules nothing changes and every call is logged with its path' => sub {
	my $log = "$dir/log";
	my $r = perl('open my $f, ">", "a"; syswrite $f, "hello"; close $f; rename "a", "b"; mkdir "d"; rmdir "d"; '
	    . 'link "b", "c"; unlink "c"; open $f, ">>", "b"; flock $f, 2; truncate $f, 2', '', $log);
	is $r->{exit}, 0;
	is -s "$dir/b", 2;
	my @mine = grep { $_->{path} !~ m{^/(?!tmp)} } calls($log);
	my @open = grep { $_->{call} =~ /^open/ && $_->{path} eq 'a' } @mine;
	is scalar @open, 1, 'open';
	cmp_ok $open[0]{result}, '>', 2, 'with its descriptor';
	my %by = map { ("$_->{call} $_->{path}" => $_) } @mine;
	is $by{"write $dir/a"}{result}, 5, 'write, by the path of its descriptor';
	ok $by{"close $dir/a"}, 'close';
	for ('rename a -> b', 'mkdir d', 'rmdir d', 'link b -> c', 'unlink c', "flock $dir/b", "ftruncate $dir/b") {
		is $by{$_}{result}, 0, $_;
	}
	is $by{'rename a -> b'}{comm}, 'perl';
	is_deeply [ map { $_->{n} } calls($log) ], [ 1 .. calls($log) ], 'numbered in order';
};

subtest 'the Nth call fails once, with the errno asked for' => sub {
	my $r = perl('for (1..5) { print STDERR mkdir("x$_") ? "ok " : "$!{EDQUOT} " }', 'mkdir:3:EDQUOT');
	like $r->{err}, qr/^ok ok [1-9]\d* ok ok $/;
	ok !-e "$dir/x3" && -d "$dir/x4";
};

subtest 'N+ fails from there on' => sub {
	my $r = perl('for (1..4) { print STDERR mkdir("y$_") ? "ok " : "no " }', 'mkdir:3+:ENOSPC');
	is $r->{err}, 'ok ok no no ';
};

subtest 'N-M fails that often, and then no more' => sub {
	my $r = perl('for (1..5) { print STDERR mkdir("w$_") ? "ok " : "no " }', 'mkdir:2-4:EINTR');
	is $r->{err}, 'ok no no no ok ';
};

subtest 'reads fail, come short, and kill' => sub {
	spew("$dir/text", '12345678');
	my $code = 'open my $f, "<", "text"; my $n = sysread $f, my $b, 8; print STDERR $n // "$!{EIO}", $b // ""';
	is perl($code, 'path=/text;read:1:short')->{err}, '41234';
	like perl($code, 'path=/text;read:1:EIO')->{err}, qr/^[1-9]\d*$/;
	is perl($code, 'path=/text;read:1:kill-before')->{signal}, 9;
	is perl($code, 'path=/text;read:2:EIO')->{err}, '812345678';
};

subtest 'a short write writes half and says so' => sub {
	my $r = perl('open my $f, ">", "short"; print STDERR syswrite($f, "12345678"), syswrite($f, "abcdefgh")',
	    'path=/short;write:1:short');
	is $r->{err}, '48';
	is slurp("$dir/short"), '1234abcdefgh';
};

for my $how (['before', ''], ['mid', '1234'], ['after', '12345678']) {
	subtest "kill-$how->[0] of a write" => sub {
		my $log = "$dir/log-$how->[0]";
		my $r = perl('open my $f, ">", "killed"; syswrite $f, "12345678"; print STDERR "alive"',
		    "path=killed;write:1:kill-$how->[0]", $log);
		is $r->{signal}, 9;
		is $r->{err}, '';
		is slurp("$dir/killed"), $how->[1];
		is((calls($log))[-1]{result}, "kill-$how->[0]", 'is the last line of the log');
	};
}

for (['before', 'old'], ['after', 'new']) {
	my ($how, $left) = @$_;
	subtest "kill-$how of a rename" => sub {
		spew("$dir/old", 'x');
		unlink "$dir/new";
		is run('mv', 'old', 'new', { cwd => $dir, env => fault("rename:1:kill-$how") })->{signal}, 9;
		is join(' ', grep { -e "$dir/$_" } 'old', 'new'), $left;
	};
}

subtest 'stop-before: the process sleeps before the call, and then makes it' => sub {
	my $p = spawn('mkdir', 'slept', { cwd => $dir, env => fault('path=slept;mkdir:1:stop-before') });
	wait_until(30, 'it sleeps', sub { slurp("/proc/$p->{pid}/stat") =~ /\) T/ });
	ok !-e "$dir/slept";
	kill 'CONT', $p->{pid};
	is finish($p)->{exit}, 0;
	ok -e "$dir/slept";
};

subtest 'close: fails, but closes; and kills' => sub {
	my $r = perl('open my $f, ">", "c1"; my $n = fileno $f; print STDERR close($f) ? "ok" : "no"; '
	    . 'open $f, ">", "c1"; print STDERR fileno($f) == $n ? " same" : " leak"', 'path=/c1;close:1:EIO');
	is $r->{err}, 'no same';
	is perl('open my $f, ">", "c1"; close $f; sleep 9', 'path=/c1;close:1:kill-after')->{signal}, 9;
};

subtest 'a path filter looks at paths, descriptors, and both names of a rename' => sub {
	my $code = 'for my $n (qw(one two)) { open my $f, ">", $n or print STDERR "open-$n "; syswrite $f, "x" or print '
	    . 'STDERR "write-$n "; rename $n, "$n.new" or print STDERR "rename-$n " }';
	is perl($code, 'path=two;open:1:EACCES')->{err}, 'open-two write-two rename-two ';
	is perl($code, 'path=/two;write:1+:EIO')->{err}, 'write-two ';
	is perl($code, 'path=two.new,rename:1:EIO')->{err}, 'rename-two ';
	is perl($code, 'path=one;path=,write:2:EIO')->{err}, 'write-two ';
};

subtest 'comm picks one process of a pipeline' => sub {
	my $r = run('bash', '-o', 'pipefail', '-c', 'echo hello | cat | dd status=none; echo "${PIPESTATUS[@]}"',
	    { env => fault('comm=dd;write:1:EIO') });
	is $r->{out}, "0 0 1\n";
};

subtest 'system calls that go through syscall(): openat2, renameat2' => sub {
	plan skip_all => 'no C compiler' unless $number{renameat2};
	my $names = 'my ($b, $p, $q, $how) = ("b", "p", "q", pack "QQQ", 0, 0, 0); '; # syscall wants variables
	my $open = "$names print STDERR syscall($number{openat2}, -100, \$b, \$how, 24) < 0 ? \"\$! \" : 'ok ' for 1 .. 3";
	is perl($open, 'openat2:2:EROFS')->{err}, 'ok Read-only file system ok ';
	is perl($open, 'path=b;open:2:EROFS')->{err}, 'ok Read-only file system ok ';
	spew("$dir/p", '');
	my $move = "$names print STDERR syscall($number{renameat2}, -100, \$p, -100, \$q, 1) < 0 ? 'no' : 'ok'";
	is perl($move, 'rename:1:EXDEV')->{err}, 'no';
	is perl($move, '')->{err}, 'ok';
	ok -e "$dir/q";
};

subtest 'fsync and fdatasync of programs that use them' => sub {
	my @dd = ('dd', 'if=/dev/zero', 'of=s', 'bs=10', 'count=1', 'status=none');
	for my $sync ('fsync', 'fdatasync') {
		my $r = run(@dd, "conv=$sync", { cwd => $dir, env => fault("$sync:1:EIO") });
		is $r->{exit}, 1;
		like $r->{err}, qr/Input\/output error/;
		is run(@dd, "conv=$sync", { cwd => $dir, env => fault("$sync:2:EIO") })->{exit}, 0;
	}
};

subtest 'one rule sees each call once; several rules count for themselves' => sub {
	my $r = perl('for (1..4) { print STDERR mkdir("z$_") ? "ok " : $!{EIO} ? "EIO " : "ENOSPC " }',
	    'mkdir:2:EIO;mkdir:3:ENOSPC');
	is $r->{err}, 'ok EIO ENOSPC ok ';
};

subtest 'a rule that cannot be understood stops the program: a test must not pass by a typo' => sub {
	for my $spec ('fsync', 'fsync:0:EIO', 'fsync:x:EIO', 'fsync:1:EWHAT', 'fsync:1+x:EIO', 'fsync:3-2:EIO', 'fsync:2-:EIO') {
		my $r = perl('print 1', $spec);
		is $r->{exit}, 99, $spec;
		is $r->{out}, '';
	}
};

done_testing;
