package Sluice::Kills;

# Sluice::Kills: pipelines whose processes can be killed one by one, and a reader that looks on.
#
#	my $p = Sluice::Kills->start([ 'kread', '-t', $t ], [ 'partition' ], [ 'jsonl-sink', $lake ]);
#	$p->kill9('partition');  or 'all'    1: it was alive
#	$p->wait(60);                        all have ended: { kread => 0, partition => 137, .. }
#	$p->running; $p->err('kread');
#
#	my $r = Sluice::Kills::Reader->new; $r->ask('verify', $lake, @files) as t/lib/kills-reader describes

use strict;
use warnings;
use POSIX ();
use Sluice;
use Time::HiRes qw(sleep time);

sub start
{
	my ($class, @commands) = @_;
	my $p = bless { dir => tempdir(), names => [ map { $_->[0] } @commands ], status => {} }, $class;
	my $in;

	open $in, '<', '/dev/null' or die $!;
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
	close $next if $next;
	open STDIN, '<&', $in;
	$out ? open STDOUT, '>&', $out : open STDOUT, '>', "$p->{dir}/out";
	open STDERR, '>', "$p->{dir}/$name.err";
	exec { $name } @$command or POSIX::_exit(127);
}

# Collects whoever has ended.
sub reap
{
	my ($p) = @_;
	for my $name (grep { !exists $p->{status}{$_} } @{ $p->{names} }) {
		next if waitpid($p->{pid}{$name}, POSIX::WNOHANG()) == 0;
		$p->{status}{$name} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
	}
}

sub running
{
	my ($p) = @_;
	$p->reap;
	return grep { !exists $p->{status}{$_} } @{ $p->{names} };
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
	my $deadline = time + $timeout;

	while ($p->running) {
		if (time > $deadline) {
			Test::More::diag('hangs: ', join ' ', $p->running);
			$p->kill9('all');
		}
		sleep 0.003;
	}
	return $p->{status};
}

# Killed before it even began, a process has no stderr.
sub err
{
	my ($p, $name) = @_;
	return -e "$p->{dir}/$name.err" ? slurp("$p->{dir}/$name.err") : '';
}

sub DESTROY
{
	my ($p) = @_;
	local $?;
	$p->wait(0) if $p->running;
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
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		exec $python, "$Sluice::LIB/kills-reader" or POSIX::_exit(127);
	}
	$to->autoflush(1);
	return bless { pid => $pid, to => $to, from => $from }, $class;
}

sub ask
{
	my ($r, @command) = @_;
	print { $r->{to} } join("\t", @command), "\n";
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
