#!/usr/bin/perl
# kmock: an embedded broker that runs a command beside it and leaves nothing behind.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Man;
use Test::More;
use Time::HiRes qw(sleep);

# A file of a process that may end at any moment.
sub proc { my $text = eval { slurp("/proc/$_[0]/$_[1]") }; return $text // '' }

# Processes whose command line holds this word, which is unique to the test.
sub running
{
	my ($word) = @_;
	return grep { $_ != $$ && proc($_, 'cmdline') =~ /\Q$word\E/ && proc($_, 'stat') !~ /\) Z/ }
	    map { m{(\d+)} } glob '/proc/[0-9]*';
}

sub sleeping { return grep { proc($_, 'comm') eq "sleep\n" } running($_[0]) }

sub nap { return sprintf '%d.%05d', 300 + int rand 100, $$ % 100000 } # `sleep` for a time that nobody else sleeps

sub metadata { return json(run('kcat', '-L', '-J', '-b', $_[0])->{out}) }

# Starts kmock without command and gives its process and address.
sub start
{
	my $p = spawn('kmock', @_);
	my $address = wait_until(20, 'kmock prints its address', sub { -e $p->{out} && slurp($p->{out}) =~ /^(.+)\n/ && $1 });
	return ($p, $address);
}

subtest 'without a command it prints its address and waits' => sub {
	my ($p, $address) = start();
	like $address, qr/\A127\.0\.0\.1:\d+\z/;
	is scalar @{ metadata($address)->{brokers} }, 1, 'a broker answers there';
	kill 'TERM', $p->{pid};
	my $r = finish($p, 20);
	is $r->{exit}, 0, 'TERM ends it';
	is $r->{err}, '';
	isnt run('kcat', '-L', '-m', '1', '-b', $address)->{exit}, 0, 'and the broker with it';
};

subtest 'INT ends it with 130' => sub {
	my ($p) = start();
	kill 'INT', $p->{pid};
	is finish($p, 20)->{exit}, 130;
};

subtest 'topics have the partitions asked for' => sub {
	my ($p, $address) = start('-t', 'TX:3,USERS', '-p', 2, '--topics', 'VENTES:1');
	my %topic = map { $_->{topic} => scalar @{ $_->{partitions} } } @{ metadata($address)->{topics} };
	is_deeply \%topic, { TX => 3, USERS => 2, VENTES => 1 };
	kill 'TERM', $p->{pid};
	finish($p, 20);
};

subtest 'several brokers' => sub {
	my ($p, $address) = start('-n', 3);
	is scalar(split /,/, $address), 3;
	is scalar @{ metadata($address)->{brokers} }, 3;
	kill 'TERM', $p->{pid};
	finish($p, 20);
};

subtest 'what is written is read again' => sub {
	my $r = run('kmock', '-t', 'T:1', '-x', 'seq 1000 | kcat -P -b $SLUICE_BROKERS -t T &&' .
		' kcat -C -q -e -b $SLUICE_BROKERS -t T');
	is $r->{exit}, 0;
	is $r->{out}, join('', map { "$_\n" } 1 .. 1000);
};

subtest 'the command has the address in its environment and gives the status' => sub {
	like run('kmock', '-x', 'echo $SLUICE_BROKERS')->{out}, qr/\A127\.0\.0\.1:\d+\n\z/;
	is run('kmock', '-x', 'exit 7')->{exit}, 7;
	is run('kmock', '-x', 'kill -KILL $$')->{exit}, 137;
	is run('kmock', '-x', 'no-such-command')->{exit}, 127;
	is run('kmock', '-x', 'cat', { stdin => "in\n" })->{out}, "in\n", 'standard input is the command\'s';
};

for my $signal (qw(TERM INT HUP)) {
	subtest "$signal reaches a whole pipeline" => sub {
		my $nap = nap();
		my $p = spawn('kmock', '-x', "sleep $nap | sleep $nap | cat");
		wait_until(20, 'the pipeline runs', sub { sleeping($nap) });
		kill $signal, $p->{pid};
		my $r = finish($p, 20);
		is $r->{exit}, 128 + { TERM => 15, INT => 2, HUP => 1 }->{$signal};
		is_deeply [ running($nap) ], [], 'nothing is left';
	};
}

subtest 'what the command left running is ended' => sub {
	my $nap = nap();
	my $r = run('kmock', '-x', "sleep $nap & sleep $nap & exit 3", { timeout => 20 });
	is $r->{exit}, 3;
	cmp_ok $r->{sec}, '<', 15, 'soon';
	is_deeply [ running($nap) ], [];
};

subtest 'also what does not listen to TERM' => sub {
	my $nap = nap();
	my $r = run('kmock', '-x', "(trap '' TERM; sleep $nap) & exit 3", { timeout => 30 });
	is $r->{exit}, 3;
	is_deeply [ running($nap) ], [];
};

subtest 'orphans of the command are buried' => sub {
	my $r = run('kmock', '-x', 'p=$(sleep 0.2 >/dev/null & echo $!); while kill -0 $p 2>/dev/null; do sleep 0.1; done',
		{ timeout => 20 });
	is $r->{exit}, 0, 'the command can wait for one to be gone';
};

subtest 'killed outright it takes the command along' => sub {
	my $nap = nap();
	my $p = spawn('kmock', '-x', "exec sleep $nap");
	wait_until(20, 'it runs', sub { sleeping($nap) });
	kill 'KILL', $p->{pid};
	finish($p, 20);
	ok wait_until(20, 'the command is gone', sub { !running($nap) });
};

subtest 'on a terminal the command is in the foreground, and kmock again after it' => sub {
	my $r = run('script', '-qec', q(kmock -q -x 'read line; echo "got $line"'; read next; echo "and $next"), '/dev/null',
		{ stdin => "first\nsecond\n", timeout => 20 });
	is $r->{exit}, 0;
	like $r->{out}, qr/^got first\r?$/m, 'it may read from it';
	like $r->{out}, qr/^and second\r?$/m, 'and so may the shell afterwards';
};

subtest 'bad names and numbers are usage errors' => sub {
	for my $bad ([ '-t', 'a b' ], [ '-t', 'T:0' ], [ '-t', 'T:x' ], [ '-t', ',' ], [ '-t', '' ], [ '-n', 0 ], [ '-t', 'T,T' ],
		[ '-p', '1.5' ], ['operand']) {
		my $r = run('kmock', @$bad, { timeout => 20 });
		is $r->{exit}, 64, "@$bad";
		like $r->{err}, qr/\Akmock: [^\n]+\n\z/;
	}
};

is run('kmock', { out => '/dev/full', timeout => 20 })->{exit}, 74, 'an address that nobody gets is an error';

subtest 'the EXAMPLES of the man page run' => sub {
	my @examples = examples('kmock');
	is @examples, 2;
	my $r = run('sh', '-c', $examples[0]);
	is $r->{exit}, 0;
	is $r->{out}, "1000\n";
	$r = run('sh', '-c', $examples[1]);
	is $r->{exit}, 0;
	like $r->{out}, qr/topic "TX" with 3 partitions.*topic "USERS" with 1 partitions/s;
};

done_testing;
