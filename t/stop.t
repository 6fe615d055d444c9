#!/usr/bin/perl
# TERM and INT while nobody reads the output, or slowly: the tools end in time, and in good order when they can.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Fcntl;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = tempdir();
my $count = 15_000; # records: more than a pipe and the buffers before it hold
my ($broker, $address);

# What writes more than a pipe takes, and goes on until it has been read.
my %tool = (
	kread => sub { ('kread', '-b', $address, '-t', 'TX') },
	partition => sub { ('partition') },
	lakecat => sub { ('lakecat', "$dir/lake") },
);

sub prepare
{
	my $r = run('txgen', '-q', '-R', '-c', $count, 'transactions');
	spew("$dir/stream", $r->{out});
	is run('jsonl-sink', '-q', '-p', 'x', "$dir/lake", { stdin => $r->{out} })->{exit}, 0;
	$broker = spawn('kmock', '-t', 'TX:1');
	$address = wait_until(30, 'kmock prints its address', sub { -e $broker->{out} && slurp($broker->{out}) =~ /^(.+)\n/ && $1 });
	is run('kwrite', '-q', '-b', $address, '-t', 'TX', "$dir/stream", { timeout => 120 })->{exit}, 0;
	return;
}

# The pipe stays; whoever reads the output by its name (finish) shall not wait for more.
sub unname { my ($fifo) = @_; unlink $fifo; spew($fifo, ''); return }

# Starts it with a pipe behind it that we hold open, and waits until it writes no more.
sub stall
{
	my ($name, @more) = @_;
	my $fifo = "$dir/$name-" . int rand 1e9;
	POSIX::mkfifo($fifo, 0600) or die;
	sysopen my $from, $fifo, O_RDWR or die "$fifo: $!";
	open my $in, '<', "$dir/stream" or die;
	my $p = spawn($tool{$name}->(), @more, { stdin => $in, out => $fifo });
	$p->{from} = $from;
	my ($had, $since) = (-1, time);
	wait_until(60, "$name is stuck", sub {
		my $waiting = pack 'i', 0;
		ioctl $from, 0x541B, $waiting or die "FIONREAD: $!";
		my $has = unpack 'i', $waiting;
		($had, $since) = ($has, time) if $has != $had;
		return $has > 0 && time - $since > 0.5;
	});
	unname($fifo);
	return $p;
}

# All that is or will be written to it, when $p has ended.
sub drain
{
	my ($p) = @_;
	my ($text, $r) = ('', undef);
	fcntl $p->{from}, F_SETFL, O_NONBLOCK or die;
	my $eof = 0;
	while (1) {
		my $n = sysread $p->{from}, $text, 1 << 16, length $text;
		next if $n;
		last if $eof;
		$eof = 1 if waitpid($p->{pid}, POSIX::WNOHANG()) > 0 and defined($p->{status} = $?);
		sleep 0.01;
	}
	return $text;
}

prepare();

for my $name ('kread', 'partition', 'lakecat') {
	for my $signal ('TERM', 'INT') {
		subtest "$name: $signal while nobody reads ends it, by that signal" => sub {
			my $p = stall($name);
			my $told = time;
			kill $signal, $p->{pid};
			my $r = finish($p, 30);
			my $took = time - $told;
			is $r->{signal}, $signal eq 'TERM' ? 15 : 2 or diag $r->{err};
			cmp_ok $took, '>', 0.9, 'it gives the reader a second';
			cmp_ok $took, '<', 15, 'and no more than two, on an idle machine';
			like $r->{err}, qr/^$name: told to stop, and nobody reads the output: its last line may be incomplete$/m;
			my $text = '';
			fcntl $p->{from}, F_SETFL, O_NONBLOCK or die;
			1 while sysread $p->{from}, $text, 1 << 20, length $text;
			my @line = $text =~ /.*\n?/g;
			is scalar(grep { !/^\{.*\}\n$/ } @line[0 .. $#line - 2]), 0, 'lines are whole but for the last';
		};
	}

	subtest "$name: TERM while the reader is slow ends it in good order" => sub {
		my $p = stall($name);
		kill 'TERM', $p->{pid};
		sleep 0.3;
		my $text = drain($p);
		is $p->{status}, 0, 'exit 0' or diag slurp($p->{err});
		unlike slurp($p->{err}), qr/nobody/;
		like $text, qr/\}\n\z/, 'at the end of a line';
		cmp_ok $text =~ tr/\n//, '<', $count, 'before the end of the input';
	};
}

subtest 'what a stalled pipe got goes into the lake, but for the incomplete line' => sub {
	my $p = stall('kread');
	kill 'TERM', $p->{pid};
	is finish($p, 30)->{signal}, 15;
	my $text = '';
	fcntl $p->{from}, F_SETFL, O_NONBLOCK or die;
	1 while sysread $p->{from}, $text, 1 << 20, length $text;
	$text .= '{"topic":"TX","part' if $text =~ /\n\z/;
	my $r = run('jsonl-sink', '-p', 'x', "$dir/rest", { stdin => $text });
	is $r->{exit}, 65;
	like $r->{err}, qr/the last line is incomplete: what feeds this was cut short/;
	my $whole = $text =~ tr/\n//;
	is run('lakecat', "$dir/rest")->{out} =~ tr/\n//, $whole, 'all whole lines are stored';
};

subtest 'acknowledgements that nobody reads: the commits stand, and TERM ends the sink' => sub {
	my $fifo = "$dir/acks";
	POSIX::mkfifo($fifo, 0600) or die;
	sysopen my $from, $fifo, O_RDWR or die;
	my $filler = 'x' x 4096;
	fcntl $from, F_SETFL, O_NONBLOCK or die;
	1 while syswrite $from, $filler;
	pipe my $in, my $to or die;
	my $p = spawn('jsonl-sink', '-a', '-i', '0', '-p', 'x', "$dir/acked", { stdin => $in, out => $fifo });
	syswrite $to, '{"topic":"TX","partition":0,"offset":0,"payload":1}' . "\n";
	wait_until(30, 'the commit', sub { -e "$dir/acked/.sluice/journal" && -s "$dir/acked/.sluice/journal" });
	sleep 0.2;
	unname($fifo);
	kill 'TERM', $p->{pid};
	my $r = finish($p, 30);
	is $r->{signal}, 15 or diag $r->{err};
	is run('jsonl-sink', '--check', '-q', "$dir/acked")->{exit}, 0;
	like run('jsonl-sink', '-Q', "$dir/acked")->{out}, qr/"offset":1,/;
};

kill 'TERM', $broker->{pid};
finish($broker, 30);
done_testing;
