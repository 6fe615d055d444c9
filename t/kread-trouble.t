#!/usr/bin/perl
# kread in trouble: brokers that are not there, die, return or refuse; topics that vanish while they are read.
# It ends in time with the right status and says what is wrong, or goes on as if nothing had been.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

need_kafka();

# Brokers of our own: these tests kill them.
my $kafka = start_kafka();
my $ON = $kafka->brokers;

my $serial = 0;

sub new_topic
{
	my (%args) = @_;
	return kt(create => topic => 'T' . ++$serial, on => $ON, %args);
}

sub fill
{
	my ($t, $n, $size) = @_;
	kt(produce => on => $ON, topic => $t, rows => [map { { v => qq({"n":$_,"x":") . 'x' x $size . '"}', partition => 0 } } 1 .. $n]);
}

# Small queues, so that a reader that stands still soon stops the fetching too.
my @SMALL = map { ('-X', $_) } qw(queued.max.messages.kbytes=500 fetch.message.max.bytes=50000 fetch.max.bytes=200000 message.max.bytes=200000
    reconnect.backoff.max.ms=500);

# kread with a reader that stands still until told to go on by `go`.
sub start_stalled
{
	my (@args) = @_;
	my $dir = tempdir();
	my $p = spawn('bash', '-c', 'dir=$1; shift; mkfifo "$dir/fifo"; kread "$@" > "$dir/fifo" 2> "$dir/err" & k=$!
		exec 3< "$dir/fifo"; while [ ! -e "$dir/go" ]; do sleep 0.02; done; cat <&3; wait $k',
	    'sh', $dir, '-b', $ON, @SMALL, @args);
	sleep 2; # it fills pipe and queue
	return { p => $p, dir => $dir };
}

sub go
{
	my ($s, $timeout) = @_;
	spew("$s->{dir}/go", '');
	my $r = finish($s->{p}, $timeout // 60);
	$r->{err} = slurp("$s->{dir}/err");
	return $r;
}

sub is_whole
{
	my ($r, $n, $what) = @_;
	my @o = $r->{out} =~ /"partition":0,"offset":(\d+),"tstype"/g;
	is scalar(@o), $n, "$what: as many records as there are";
	is scalar(grep { $o[$_] != $_ } 0 .. $#o), 0, "$what: each once and in order";
}

# ---- nobody there ----

subtest 'no broker' => sub {
	my $r = run('kread', '-b', '127.0.0.1:1,127.0.0.1:2', '-e', '-t', 'x', '-m', 1.5);
	is $r->{exit}, 69, 'nobody listens';
	cmp_ok $r->{sec}, '<', 4, '... within the timeout';
	like $r->{err}, qr/\Akread: 127\.0\.0\.1:1,127\.0\.0\.1:2: no answer[^\n]*Connection refused[^\n]*\n\z/, '... who and why';
	$r = run('kread', '-b', 'no-such-host.invalid', '-e', '-t', 'x', '-m', 1.5);
	is $r->{exit}, 69, 'a name that does not resolve';
	like $r->{err}, qr/\Akread: no-such-host\.invalid: [^\n]*resolve[^\n]*\n\z/, '... is said';
	my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
	$r = run('kread', '-b', '127.0.0.1:' . $silent->sockport, '-e', '-t', 'x', '-m', 1.5);
	is $r->{exit}, 69, 'somebody who accepts and never answers';
	cmp_ok $r->{sec}, '<', 4, '... within the timeout';
	$r = run('kread', '-b', "127.0.0.1:1,$ON", '-e', '-t', new_topic(), '-m', 10);
	is "$r->{exit}", 0, 'one of two is enough';
};

# ---- dying ----

subtest 'a broker that dies in mid-run and returns' => sub {
	my $t = new_topic();
	fill($t, 20_000, 500);
	my $s = start_stalled('-t', $t, '-e', '--marks', '-m', 60);
	$kafka->kill9;
	spew("$s->{dir}/go", ''); # it reads what it had and runs dry
	sleep 2;
	ok !-e "$s->{dir}/done" && kill(0, $s->{p}{pid}), 'it waits';
	$kafka->start;
	my $r = go($s, 90);
	is $r->{exit}, 0, 'it completes' or diag $r->{err};
	is_whole($r, 20_000, 'after the return');
	like $r->{out}, qr/"kind":"end","records":20000\}\}\n\z/, '... with an end mark';
};

subtest 'a broker that dies in mid-run and does not return' => sub {
	my $t = new_topic();
	fill($t, 20_000, 500);
	my $s = start_stalled('-t', $t, '-e', '--marks', '-m', 3);
	$kafka->kill9;
	my $t0 = time;
	my $r = go($s);
	is $r->{exit}, 69, 'the exit status';
	cmp_ok time - $t0, '<', 12, '... in time';
	like $r->{err}, qr/^kread: \Q$ON\E: no answer[^\n]*$/m, '... who does not answer';
	unlike $r->{out}, qr/"kind":"end"/, 'no end mark';
	like $r->{out}, qr/"kind":"position"[^\n]*\}\n\z/, 'what was read is whole, and marked';
	$kafka->start;
};

subtest 'following, a broker that is away for a while' => sub {
	my $t = new_topic(partitions => 1);
	fill($t, 3, 1);
	my $p = spawn('kread', '-b', $ON, '-t', $t, '-m', 60, '-X', 'reconnect.backoff.max.ms=500');
	wait_until(20, 'the first records', sub { -e $p->{out} && slurp($p->{out}) =~ /"offset":2,/ });
	$kafka->kill9;
	sleep 2;
	$kafka->start;
	fill($t, 3, 1);
	wait_until(60, 'the records after', sub { slurp($p->{out}) =~ /"offset":5,/ });
	sleep 0.5;
	kill 'TERM', $p->{pid};
	my $r = finish($p);
	is $r->{exit}, 0, 'it goes on';
	is_whole($r, 6, 'before and after');
};

subtest 'following, a broker that does not return' => sub {
	my $t = new_topic();
	fill($t, 3, 1);
	my $p = spawn('kread', '-b', $ON, '-t', $t, '-m', 2, '--marks');
	wait_until(20, 'the first records', sub { -e $p->{out} && slurp($p->{out}) =~ /"offset":2,/ });
	sleep 4;
	ok kill(0, $p->{pid}), 'silence alone is no reason to end';
	$kafka->kill9;
	my $t0 = time;
	my $r = finish($p, 30);
	is $r->{exit}, 69, 'the exit status';
	cmp_ok time - $t0, '<', 10, '... in time';
	unlike $r->{out}, qr/"kind":"end"/, 'no end mark';
	$kafka->start;
};

# ---- the topic changes under it ----

subtest 'records deleted before they could be read' => sub {
	my $t = new_topic();
	fill($t, 20_000, 500);
	my $s = start_stalled('-t', $t, '-e', '-m', 10);
	kt(delete_records => on => $ON, topic => $t, offset => 19_000);
	my $r = go($s);
	is $r->{exit}, 65, 'are not skipped in silence';
	my ($last) = $r->{out} =~ /.*"offset":(\d+),/s;
	cmp_ok $last, '<', 18_999, '... though there are later ones';
	like $r->{err}, qr/^kread: $t\/0: offset @{[$last + 1]}: [^\n]*out of range/m, '... and where';
};

subtest 'a topic deleted while it is read' => sub {
	my $t = new_topic();
	fill($t, 20_000, 500);
	my $s = start_stalled('-t', $t, '-e', '--marks', '-m', 3);
	kt(delete => on => $ON, topic => $t);
	my $r = go($s);
	is $r->{exit}, 78, 'the exit status';
	like $r->{err}, qr/^kread: $t\/0: [^\n]*deleted/m, '... names it';
	unlike $r->{out}, qr/"kind":"end"/, 'no end mark';
};

subtest 'a topic made anew while it is read' => sub {
	my $t = new_topic();
	fill($t, 20_000, 500);
	my $s = start_stalled('-t', $t, '-e', '--marks', '-m', 10);
	kt(delete => on => $ON, topic => $t);
	kt(create => on => $ON, topic => $t);
	fill($t, 10, 1);
	my $r = go($s);
	isnt $r->{exit}, 0, "it fails: $r->{exit}";
	like $r->{err}, qr/^kread: $t/m, '... and names it';
	unlike $r->{out}, qr/"kind":"end"/, 'no end mark';
};

$kafka->stop;

# ---- who may ----

my $guarded = start_kafka(sasl => 1, tls => 1, acl => 1);
my $admin = $guarded->brokers;

kt(create => on => $admin, topic => 'SECRET');
kt(create => on => $admin, topic => 'SEEN');
for my $t ('SECRET', 'SEEN') {
	kt(produce => on => $admin, topic => $t, rows => [map { { v => "$_" } } 1 .. 3]);
}
kt(acl => on => $admin, principal => 'User:reader', operation => 'READ', name => 'SECRET');
kt(acl => on => $admin, principal => 'User:reader', operation => 'DESCRIBE', name => 'SECRET');
kt(acl => on => $admin, principal => 'User:reader', operation => 'DESCRIBE', name => 'SEEN');

sub secured
{
	my ($protocol, $user, $password, @args) = @_;
	my $file = tempdir() . '/kafka.conf';
	spew($file, "security.protocol=$protocol\n",
	    $protocol =~ /SASL/ ? "sasl.mechanism=SCRAM-SHA-256\nsasl.username=$user\nsasl.password=$password\n" : '');
	my $r = run('kread', '-e', '-b', $guarded->brokers($protocol), '-F', $file, '-m', 20, @args, { timeout => 60 });
	unlike "$r->{err}$r->{out}", qr/\Q$password\E/, 'the password is not shown' if $password;
	return $r;
}

my @CA = ('-X', 'ssl.ca.location=' . $guarded->ca);
my @OTHER_CA = ('-X', 'ssl.ca.location=' . $guarded->other_ca);

subtest 'SASL/SCRAM' => sub {
	my $r = secured('SASL_PLAINTEXT', 'reader', 'reader-secret', '-t', 'SECRET');
	is $r->{exit}, 0, 'the right password' or diag $r->{err};
	is scalar(() = $r->{out} =~ /\n/g), 3, '... reads';
	$r = secured('SASL_PLAINTEXT', 'reader', 'wrong-password', '-t', 'SECRET');
	is $r->{exit}, 77, 'a wrong password';
	cmp_ok $r->{sec}, '<', 10, '... is told at once';
	like $r->{err}, qr/\Akread: [^\n]*uthentication fail[^\n]*\n\z/, '... and why';
	$r = secured('SASL_PLAINTEXT', 'stranger', 'reader-secret', '-t', 'SECRET');
	is $r->{exit}, 77, 'an unknown user';
};

subtest 'TLS' => sub {
	my $r = secured('SSL', undef, undef, '-t', 'SECRET', @CA);
	is "$r->{exit} " . (() = $r->{out} =~ /\n/g), '0 3', 'the right CA' or diag $r->{err};
	$r = secured('SASL_SSL', 'reader', 'reader-secret', '-t', 'SECRET', @CA);
	is "$r->{exit} " . (() = $r->{out} =~ /\n/g), '0 3', 'SASL over TLS' or diag $r->{err};
	$r = secured('SASL_SSL', 'reader', 'reader-secret', '-t', 'SECRET', @OTHER_CA);
	is $r->{exit}, 69, 'a certificate of another CA';
	cmp_ok $r->{sec}, '<', 10, '... is told at once';
	like $r->{err}, qr/\Akread: [^\n]*certificate[^\n]*\n\z/i, '... and why';
	$r = secured('SASL_SSL', 'reader', 'reader-secret', '-t', 'SECRET', '-X', 'ssl.ca.location=/nothing');
	is $r->{exit}, 78, 'a CA file that is not there';
	$r = run('kread', '-e', '-t', 'SECRET', '-b', $guarded->brokers('SSL'), '-m', 2);
	is $r->{exit}, 69, 'no TLS where the broker wants it';
	$r = run('kread', '-e', '-t', 'SECRET', '-b', $admin, '-m', 2, '-X', 'security.protocol=SSL', @CA);
	is $r->{exit}, 69, 'TLS where the broker has none';
};

subtest 'rights' => sub {
	my $r = secured('SASL_PLAINTEXT', 'nobody', 'nobody-secret', '-t', 'SECRET');
	is $r->{exit}, 77, 'no right at all';
	like $r->{err}, qr/^kread: SECRET[^\n]*authorization/im, '... names the topic';
	$r = secured('SASL_PLAINTEXT', 'reader', 'reader-secret', '-t', 'SEEN');
	is $r->{exit}, 77, 'the right to see it, but not to read';
	like $r->{err}, qr/^kread: SEEN[^\n]*authorization/im, '... names the topic';
	$r = secured('SASL_PLAINTEXT', 'reader', 'reader-secret', '-t', 'SECRET,SEEN');
	is $r->{exit}, 77, 'one of two';
	$r = secured('SASL_PLAINTEXT', 'reader', 'reader-secret', '-t', '^SECRET');
	is $r->{exit}, 0, 'a pattern sees what it may see';
};

done_testing;
