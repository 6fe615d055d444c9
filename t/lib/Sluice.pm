package Sluice;

# Sluice: what every t/*.t needs: our tools, processes, a real Kafka, an oracle.
#
#	use FindBin; use lib "$FindBin::Bin/lib";
#	use Sluice; use Test::More;
#
#	my $t = topic('TX', partitions => 2);          # a new topic of the broker, with a name of its own
#	produce($t, { k => 'a', v => '{"n":1}' });     # kt rows (t/lib/kt); kt(OP => %args) does the rest
#	my $r = run('kread', '-t', $t, '-e');          # $SLUICE_BROKERS is set once broker() or topic() ran
#	is $r->{exit}, 0; is $r->{err}, ''; my @records = json_lines($r->{out});
#	$r = pipeline("kread -t $t -e | partition | jsonl-sink $dir/lake", timeout => 30);
#
# run(CMD.., {stdin, env, cwd, timeout, out}) and pipeline(SHELL, the same) -> {out, err, exit, signal, sec, timed_out}
# spawn(CMD.., {the same}) -> process to signal; finish($p, SEC) -> what run returns
# tempdir() removed at exit, memory_dir() with the object that it returns; slurp(FILE), spew(FILE, BYTES); wait_until(SEC, WHAT, sub) dies when it never gets true
# start_kafka(sasl => 1, tls => 1, acl => 1, properties => {..}) -> a broker of one's own: ->brokers,
#     ->brokers('SASL_PLAINTEXT'|'SSL'|'SASL_SSL'), ->stop, ->kill9, ->start (same data and ports), ->ca, ->other_ca
#     SASL users (SCRAM-SHA-256): admin, reader, nobody, each with the password NAME-secret
# need_kafka(), python(): skip the test on a laptop that cannot have them, die with $SLUICE_REQUIRE_KAFKA=1
#
# sanitized(): the tools are instrumented, so slower and larger.
#
# What the environment may say:
#	SLUICE_BUILD=DIR         tests what is built there (build); its tools stand first in PATH
#	SLUICE_LONG=1            make check LONG=1: all faults instead of a sample, more kills, states, texts and rounds
#	SLUICE_SEED=N            of what is random: repeats a choice; tests that choose print theirs
#	SLUICE_NO_KILLS=1        without t/kills.t; SLUICE_KILLS=N: so many kills (200)
#	SLUICE_FAULTS=N          t/lake-faults.t: so many faults of the sample (200)
#	SLUICE_STATES=N          t/power-loss.t: N times as many states
#	SLUICE_TEXTS=N           t/json-differential.t: so many texts
#	SLUICE_REQUIRE_KAFKA=1   no broker is a failure, not a skip (make check); SLUICE_TEST_BROKERS: the one that
#	                         t/lib/with-kafka has started for all tests
#	SLUICE_REQUIRE_DATABASES=1  the same for MariaDB and MySQL; SLUICE_TEST_MARIADB, SLUICE_TEST_MYSQL: option files of
#	                         those that t/lib/with-databases has started
#	SLUICE_DATABASES=mysql   only this one of the two
#	KILLS, SLUICE_SOAK, SLUICE_WORKERS: of make soak, see t/soak
# What tests set for the tools: SLUICE_ROLL_BYTES=SIZE (jsonl-sink rolls its journal at this size, not at 16 MiB),
# SLUICE_FAULT, SLUICE_FAULT_LOG (t/fault/libfault.c) and SLUICE_RECORD.. (t/fault/record.c), ASAN_OPTIONS, UBSAN_OPTIONS, TSAN_OPTIONS (exit status 99).
#
# HOME, TZ and the locale are set to something odd, so that a tool that depends on them is found out.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(run pipeline spawn finish tempdir memory_dir slurp spew wait_until free_port json json_lines
    to_json tool $SRC $BUILD sanitized broker topic kt produce rows_of need_kafka start_kafka python);

our $LIB = dirname(abs_path(__FILE__));
our $SRC = dirname(dirname($LIB));
our $BUILD = $ENV{SLUICE_BUILD} // "$SRC/build";
$BUILD = "$SRC/$BUILD" unless $BUILD =~ m{^/};

our $home = File::Temp->newdir('sluice-home-XXXXXX', TMPDIR => 1);
my $owner = $$;
my @servers;

$ENV{XDG_CACHE_HOME} //= ($ENV{HOME} // '/root') . '/.cache';
$ENV{HOME} = "$home";
$ENV{TZ} = 'Asia/Kathmandu';
$ENV{LC_ALL} = 'C';
$ENV{PATH} = "$BUILD/bin:$ENV{PATH}:/usr/sbin:/sbin";
$ENV{ASAN_OPTIONS} //= 'exitcode=99';
$ENV{UBSAN_OPTIONS} //= 'exitcode=99:print_stacktrace=1';
$ENV{TSAN_OPTIONS} //= "exitcode=99:suppressions=$LIB/tsan.supp";
delete @ENV{qw(SLUICE_BROKERS XDG_CONFIG_HOME)};

sub tool { return "$BUILD/bin/$_[0]" }

sub sanitized { return $BUILD =~ /san-/ }

# ---- files ----

my @dirs;

# In memory where there is enough of it (a container may have 64 MB): for what is not about the disk. An object, to be
# kept as long as the directory.
sub memory_dir
{
	my ($stem) = @_;
	my $free = -w '/dev/shm' && `df -Pk /dev/shm` =~ /(\d+)\s+\d+%/ ? $1 >> 20 : 0;
	return File::Temp->newdir(($stem // 'sluice') . '-XXXXXX', $free >= 2 ? (DIR => '/dev/shm') : (TMPDIR => 1));
}

sub tempdir
{
	my $dir = File::Temp->newdir('sluice-XXXXXX', TMPDIR => 1);
	push @dirs, $dir;
	return "$dir";
}

sub slurp
{
	my ($file) = @_;
	open my $f, '<:raw', $file or die "$file: $!";
	local $/;
	return scalar(<$f>) // '';
}

sub spew
{
	my ($file, @bytes) = @_;
	open my $f, '>:raw', $file or die "$file: $!";
	print $f @bytes;
	close $f or die "$file: $!";
}

# ---- JSON; numbers that a double would change are kept as they are ----

my $json = JSON::PP->new->allow_nonref->allow_bignum->canonical;

sub json { return $json->decode($_[0]) }

sub json_lines { return map { $json->decode($_) } split /\n/, $_[0] }

sub to_json { return $json->encode($_[0]) }

# ---- processes ----

# spawn(CMD.., {..}): starts it in a process group of its own. stdin is empty unless given.
sub spawn
{
	my $o = ref $_[-1] eq 'HASH' ? pop : {};
	my @cmd = @_;
	my $dir = File::Temp->newdir('sluice-run-XXXXXX', TMPDIR => 1);
	my $p = { dir => $dir, out => $o->{out} // "$dir/out", err => "$dir/err", started => time };

	spew("$dir/in", $o->{stdin}) if defined $o->{stdin} && !ref $o->{stdin};
	$p->{pid} = fork // die "fork: $!";
	return $p if $p->{pid};

	POSIX::setpgid(0, 0);
	# Whoever runs the tests in the background may ignore them, and shells hand that down.
	$SIG{$_} = 'DEFAULT' for qw(INT TERM QUIT HUP PIPE);
	my $in = ref $o->{stdin} ? '<&' . fileno($o->{stdin}) : defined $o->{stdin} ? "< $dir/in" : '< /dev/null';
	my ($how, $where) = $in =~ /^(<&?)\s*(.*)/;
	my $ok = open(STDIN, $how, $where) && open(STDOUT, '>', $p->{out}) && open(STDERR, '>', $p->{err});
	chdir $o->{cwd} or $ok = 0 if $o->{cwd};
	if ($ok) {
		local @ENV{keys %{ $o->{env} // {} }} = values %{ $o->{env} // {} };
		delete @ENV{grep { !defined $ENV{$_} } keys %ENV};
		no warnings 'exec';
		exec { $cmd[0] } @cmd; # returns when there is no such command
	}
	print STDERR "$cmd[0]: $!\n";
	POSIX::_exit(127);
}

# finish($p, SEC): waits for it, kills its whole group when it takes longer than SEC (default 60).
sub finish
{
	my ($p, $timeout) = @_;
	my $deadline = time + ($timeout // 60);
	my ($pid, $nap, $timed_out) = (0, 0.001, 0);

	while (($pid = waitpid($p->{pid}, POSIX::WNOHANG())) == 0) {
		if (time > $deadline) {
			kill 'KILL', -$p->{pid};
			$timed_out = 1;
			$deadline += 1e9;
		}
		sleep $nap;
		$nap *= 1.5 if $nap < 0.05;
	}
	my $status = $?;
	kill 'KILL', -$p->{pid} if $timed_out;
	my $r = {
		exit => $status & 127 ? 128 + ($status & 127) : $status >> 8,
		signal => $status & 127, sec => time - $p->{started}, timed_out => $timed_out,
		out => $p->{out} =~ m{^/dev/(?!shm/)} ? '' : slurp($p->{out}), err => slurp($p->{err}),
	};
	Test::More::diag("timed out after $r->{sec} s: $r->{err}") if $timed_out;
	return $r;
}

sub run
{
	my $o = ref $_[-1] eq 'HASH' ? pop : {};
	return finish(spawn(@_, $o), $o->{timeout});
}

# A shell pipeline as in the manual; its status is that of the last command that failed.
sub pipeline
{
	my ($command, %o) = @_;
	return run('bash', '-o', 'pipefail', '-c', $command, \%o);
}

sub wait_until
{
	my ($seconds, $what, $true) = @_;
	my $deadline = time + $seconds;
	my $result;

	until ($result = $true->()) {
		die "waited $seconds s: $what\n" if time > $deadline;
		sleep 0.02;
	}
	return $result;
}

sub free_port
{
	for (1 .. 200) {
		# Below the range that the kernel hands out for connections (32768 and up).
		my $port = 15000 + int rand 17000;
		my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1) or next;
		close $s;
		return $port;
	}
	die "no free port\n";
}

# ---- what is fetched once (t/lib/fetch) ----

my %fetched;

# Where it is; dies when it cannot be had.
sub try_fetch
{
	my ($what) = @_;
	$fetched{$what} //= do {
		my $r = run("$LIB/fetch", $what, { timeout => 600 });
		die "$what: $r->{err}\n" if $r->{exit};
		$r->{out} =~ s/\n.*//sr;
	};
	return $fetched{$what};
}

sub fetch
{
	my ($what) = @_;
	return eval { try_fetch($what) } // do { $! = 0; unavailable($@) };
}

# Without a server a test means nothing: skipped where nobody asked for it, a failure in make check.
sub unavailable
{
	my ($why, $required) = @_;
	$required //= 'SLUICE_REQUIRE_KAFKA';
	$why =~ s/\s+/ /g;
	die "required by $required: $why\n" if $ENV{$required};
	my $builder = Test::More->builder;
	if (!$builder->has_plan && $builder->current_test == 0) {
		Test::More::plan(skip_all => $why);
	}
	$builder->skip($why);
	Test::More::done_testing() unless $builder->has_plan;
	exit 0;
}

sub python { return fetch('python') . '/bin/python' }

sub need_kafka { return broker() }

# ---- Kafka ----

# The broker of this prove run (t/lib/with-kafka), or one of our own that ends with the test.
my $broker;

sub broker
{
	$broker //= $ENV{SLUICE_TEST_BROKERS} || start_kafka()->brokers;
	$ENV{SLUICE_BROKERS} = $broker;
	return $broker;
}

my $topics = 0;

# topic(STEM, partitions =>, config =>): creates STEM-PID-N and returns the name.
sub topic
{
	my ($stem, %args) = @_;
	return kt(create => topic => sprintf('%s-%d-%d', $stem, $$, ++$topics), %args);
}

# kt(OP => NAME => VALUE..): one call of t/lib/kt; `on` names another broker, `conf` client settings.
my %kt;

sub kt
{
	my ($op, %args) = @_;
	my $on = delete $args{on} // broker();
	my $conf = delete $args{conf} // {};
	my @conf = map { ('-X', "$_=$conf->{$_}") } sort keys %$conf;
	my $k = $kt{"$$ $on @conf"} //= start_kt('-b', $on, @conf);

	print { $k->{to} } to_json({ %args, op => $op }), "\n";
	my $answer = readline $k->{from} // die "kt $op: it died\n";
	$answer = json($answer);
	die "kt $op: $answer->{error}\n" if exists $answer->{error};
	return $answer->{ok};
}

sub start_kt
{
	my @args = @_;
	my $python = python();
	pipe my $in, my $to or die "pipe: $!";
	pipe my $from, my $out or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		close $_ for $to, $from;
		exec $python, "$LIB/kt", @args, 'serve' or POSIX::_exit(127);
	}
	close $_ for $in, $out;
	$to->autoflush(1);
	return { pid => $pid, to => $to, from => $from };
}

# produce(TOPIC, ROW..): where each went, as [partition, offset].
sub produce
{
	my ($topic, @rows) = @_;
	return @{ kt(produce => topic => $topic, rows => \@rows) };
}

# rows_of(TOPIC, text => 1, isolation => ..): all its messages as kt shows them, by partition and offset.
sub rows_of
{
	my ($topic, %args) = @_;
	$args{$_} = $args{$_} ? JSON::PP::true : JSON::PP::false for grep { exists $args{$_} } 'text';
	return @{ kt(dump => topic => $topic, %args) };
}

sub start_kafka
{
	my %o = @_;
	require Sluice::Kafka;
	my $k = Sluice::Kafka->new(libs => fetch('kafka') . '/libs', $o{tls} ? (keys => fetch('tls')) : (), %o);
	push @servers, $k;
	eval { $k->start; 1 } or do { my $why = $@; $k->stop; die $why };
	return $k;
}

END {
	if ($$ == $owner) {
		my $status = $?; # waitpid below changes it, and with it the exit status of the test
		$_->stop for @servers;
		for my $k (grep { /^$$ / } keys %kt) {
			close $kt{$k}{to};
			waitpid $kt{$k}{pid}, 0;
		}
		$? = $status;
	}
}

1;
