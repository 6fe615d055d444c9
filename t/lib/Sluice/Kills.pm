package Sluice::Kills;

# Sluice::Kills: pipelines whose processes can be killed one by one, and a reader that looks on.
#
#	my $p = Sluice::Kills->start([ 'kread', '-t', $t ], [ 'partition' ], [ 'jsonl-sink', $lake ]);
#	$p->kill9('partition');  or 'all'    how many of them were alive
#	$p->wait(60);                        all have ended: { kread => 0, partition => 137, .. }
#	$p->{hung}, {paused}                 who did not; whether all of us stood still for a while
#	$p->running; $p->err('kread'); $p->out  the file with what the last one printed
#
# A hash at the end of start() may say: in => FILE (stdin of the first; '-' is a pipe that stays open and
# empty), env => {..} (of the last), dir => where the files of the run are kept.
#
#	my $r = Sluice::Kills::Reader->new; $r->ask(verify => lake => $lake, ..) as t/lib/kills-reader describes

use strict;
use warnings;
use File::Temp ();
use POSIX ();
use Sluice;
use Time::HiRes qw(sleep time);

sub start
{
	my ($class, @commands) = @_;
	my $o = ref $commands[-1] eq 'HASH' ? pop @commands : {};
	my $p = bless { dir => File::Temp->newdir('sluice-run-XXXXXX', DIR => $o->{dir} // '/tmp'),
		names => [ map { $_->[0] } @commands ], commands => \@commands, env => $o->{env}, in => $o->{in}, status => {} }, $class;
	my $in;

	if (($o->{in} // '') eq '-') {
		pipe $in, $p->{hold} or die "pipe: $!";
	} else {
		open $in, '<', $o->{in} // '/dev/null' or die "$o->{in}: $!";
	}
	for my $i (0 .. $#commands) {
		my ($next, $out);
		pipe $next, $out or die "pipe: $!" if $i < $#commands;
		$p->{pid}{ $commands[$i][0] } = $p->spawn_one($commands[$i], $in, $out, $next);
		$in = $next;
	}
	return $p;
}

sub spawn_one
{
	my ($p, $command, $in, $out, $next) = @_;
	my $name = $command->[0];
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM);
	close $next if $next;
	close $p->{hold} if $p->{hold};
	open STDIN, '<&', $in;
	$out ? open STDOUT, '>&', $out : open STDOUT, '>', $p->out;
	open STDERR, '>', "$p->{dir}/$name.err";
	if (!$out) {
		$ENV{$_} = $p->{env}{$_} for grep { defined $p->{env}{$_} } keys %{ $p->{env} // {} };
	}
	exec { $name } @$command or POSIX::_exit(127);
}

# Collects whoever has ended.
sub reap
{
	my ($p) = @_;
	for my $name (grep { !exists $p->{status}{$_} } keys %{ $p->{pid} }) { # start() may have been cut short
		next if waitpid($p->{pid}{$name}, POSIX::WNOHANG()) == 0;
		$p->{status}{$name} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
	}
}

sub running
{
	my ($p) = @_;
	$p->reap;
	return grep { exists $p->{pid}{$_} && !exists $p->{status}{$_} } @{ $p->{names} };
}

sub kill9
{
	my ($p, $who) = @_;
	my @alive = grep { $who eq 'all' || $_ eq $who } $p->running;
	return @alive ? kill 'KILL', map { $p->{pid}{$_} } @alive : 0;
}

sub wait
{
	my ($p, $timeout) = @_;
	my $nap = 0.0005;
	my $at = time;

	while ($p->running) {
		if ($timeout < 0) {
			$p->{hung} = join ' ', $p->running;
			$p->kill9('all');
		}
		sleep $nap;
		$nap *= 1.3 if $nap < 0.005;
		# If all of us were stopped for a while (a laptop that was closed), that is not their fault.
		my $slept = time - $at;
		$p->{paused} = 1 if $slept > 2;
		$timeout -= $slept < 2 ? $slept : 2;
		$at = time;
	}
	return $p->{status};
}

sub out { return "$_[0]{dir}/out" }

# Killed before it even began, a process has no stderr.
sub err
{
	my ($p, $name) = @_;
	return -e "$p->{dir}/$name.err" ? slurp("$p->{dir}/$name.err") : '';
}

# The command line, how each process ended, what they said: for whoever looks into a failure.
sub story
{
	my ($p) = @_;
	my $env = join '', map { "$_='$p->{env}{$_}' " } grep { defined $p->{env}{$_} } sort keys %{ $p->{env} // {} };
	my $in = $p->{in} ? $p->{in} eq '-' ? ' < (a pipe that stays empty)' : " < $p->{in}" : '';
	return join "\n", $env . join(' | ', map { join ' ', @$_ } @{ $p->{commands} }) . $in,
	    join(', ', map { "$_: " . ($p->{status}{$_} // 'runs') } @{ $p->{names} }), map { $p->err($_) } @{ $p->{names} };
}

sub DESTROY
{
	my ($p) = @_;
	local ($?, $!);
	$p->kill9('all');
	$p->wait(5);
}

package Sluice::Kills::Reader;

use strict;
use warnings;
use POSIX ();
use Sluice;

sub new
{
	my ($class) = @_;
	my $python = python();
	pipe my $in, my $to or die "pipe: $!";
	pipe my $from, my $out or die "pipe: $!";
	my $pid = fork // die "fork: $!";

	if (!$pid) {
		close $_ for $to, $from;
		$SIG{INT} = 'IGNORE'; # it ends when we do
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		exec $python, "$Sluice::LIB/kills-reader" or POSIX::_exit(127);
	}
	$to->autoflush(1);
	return bless { pid => $pid, to => $to, from => $from }, $class;
}

sub ask
{
	my ($r, $op, %args) = @_;
	print { $r->{to} } to_json({ %args, op => $op }), "\n";
	return json(readline($r->{from}) // die "the reader died\n");
}

sub DESTROY
{
	my ($r) = @_;
	local $?;
	close $r->{to};
	waitpid $r->{pid}, 0;
}

1;
