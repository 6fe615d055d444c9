#!/usr/bin/perl
# kwrite: what it writes is what was read, byte for byte, and it says 0 only when the broker has all of it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Handle;
use MIME::Base64;
use Sluice;
use Sluice::Man;
use Test::More;
use Time::HiRes qw(sleep time);

need_kafka();

sub b64 { return encode_base64($_[0], '') }

sub kwrite
{
	my ($input, @args) = @_;
	return run('kwrite', '-q', @args, { stdin => $input });
}

# A row as far as a copy must agree in it.
sub essence { return [ map { my $r = $_; [ map { $r->{$_} } qw(partition key value headers ts) ] } @_ ] }

# kwrite with a pipe to its standard input, which stays open until it is closed.
sub kwrite_open
{
	my @args = @_;
	pipe my $from, my $to or die "pipe: $!";
	my $p = spawn('kwrite', @args, { stdin => $from });
	close $from;
	$to->autoflush(1);
	return ($p, $to);
}

sub out_of { return -e $_[0]{out} ? slurp($_[0]{out}) : '' }

# ---- bytes ----

subtest 'a bare object is written with its own bytes' => sub {
	my $t = topic('bare');
	my @object = ('{"a":12.50}', '{ "b" : 9007199254740993, "b":1e2 }', '{"s":"\u00e9\/\u0000é"}', '{}');
	is kwrite(join('', map { " \t$_ \r\n" } @object), '-t', $t)->{exit}, 0;
	is_deeply [ map { decode_base64($_->{value}) } rows_of($t) ], \@object;
	is scalar(grep { defined $_->{key} } rows_of($t)), 0, 'without key';
	is scalar(grep { abs($_->{ts} / 1000 - time) > 60 } rows_of($t)), 0, 'at the present time';
};

subtest 'the key of a bare object is one of its fields' => sub {
	my $t = topic('keys');
	my $input = <<'END';
{"id":"U1","user":{"id":"a"}}
{"id":"\u00e9\"","user":{"id":12.50}}
{"id":"","user":{"id":{"x": 1}}}
{"id":null,"user":1}
{"user":{"id":true}}
END
	my $r = run('kwrite', '-t', $t, '-k', 'id', { stdin => $input });
	is $r->{exit}, 0;
	like $r->{err}, qr/^kwrite: 2 objects without id got no key$/m;
	is kwrite($input, '-t', $t, '-k', '.user.id')->{exit}, 0;
	is_deeply [ map { $_->{key} && decode_base64($_->{key}) } rows_of($t) ],
	    [ 'U1', 'é"', '', undef, undef, 'a', '12.50', '{"x": 1}', undef, 'true' ];
};

# The numbers of Kafka's own UtilsTest.testMurmur2.
subtest 'a key goes to the partition that Java producers choose' => sub {
	my %murmur2 = ('21' => -973932308, 'foobar' => -790332482, 'a-little-bit-long-string' => -985981536,
		'a-little-bit-longer-string' => -1486304829,
		'lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8' => -58897971, 'abc' => 479470107);
	my $t = topic('murmur', partitions => 13);
	is kwrite(join('', map { qq({"k":"$_"}\n) } sort keys %murmur2), '-t', $t, '-k', 'k')->{exit}, 0;
	my %got = map { decode_base64($_->{key}) => $_->{partition} } rows_of($t);
	is_deeply \%got, { map { $_ => ($murmur2{$_} & 0x7fffffff) % 13 } keys %murmur2 };
};

# Every kind of key, value, header and time. librdkafka cannot send the time 0.
sub all_kinds
{
	my @bytes = (undef, '', 'text', 'null', "\0\xff\x80", '{"a":12.50}', ' {"a": 1}' . "\n", "\xed\xa0\x80",
		'{"a":"\ud800"}', 'é', '"quoted"', join('', map { chr } 0 .. 255));
	my @headers = ([], [ [ 'a', '1' ] ], [ [ 'a', undef ], [ 'b', '' ], [ 'a', "\xff\0" ], [ 'a', 'é' ] ], [ [ '', 'x' ] ]);
	my @times = (1, 1_000, 1_763_697_600_123, 253_402_300_799_999);
	my @rows;
	my $n = 0;

	for my $value (@bytes) {
		for my $key (@bytes) {
			push @rows, { partition => $n % 3, key => defined $key ? b64($key) : undef,
				value => defined $value ? b64($value) : undef,
				headers => [ map { [ $_->[0], defined $_->[1] ? b64($_->[1]) : undef ] } @{ $headers[ $n % 4 ] } ],
				ts => $times[ $n % @times ] };
			$n++;
		}
	}
	return @rows;
}

subtest 'kread --exact | kwrite --keep-partition copies a topic byte for byte' => sub {
	my %config = ('retention.ms' => -1, 'message.timestamp.after.max.ms' => '9223372036854775807');
	my ($from, $to) = map { topic($_, partitions => 3, config => \%config) } qw(from to);
	produce($from, all_kinds());
	my $r = pipeline("kread -q -t $from -e --exact | kwrite -q --keep-partition -t $to", timeout => 120);
	is $r->{exit}, 0 or diag $r->{err};
	is $r->{err}, '';
	my ($want, $got) = (essence(rows_of($from)), essence(rows_of($to)));
	is scalar @$got, scalar @$want, scalar(@$want) . ' messages';
	my @wrong = grep { to_json($want->[$_]) ne to_json($got->[$_]) } 0 .. $#$want;
	is scalar @wrong, 0 or diag map { substr(to_json($want->[$_]), 0, 200), "\n", substr(to_json($got->[$_]), 0, 200), "\n" }
	    @wrong[ 0 .. ($#wrong < 3 ? $#wrong : 3) ];
};

subtest 'also 20 MB, JSON and not' => sub {
	my ($from, $to) = map { topic($_) } qw(large-from large-to);
	my $dir = tempdir();
	spew("$dir/0", '{"a":"', 'x' x 20_000_000, '"}');
	spew("$dir/1", "\xff\n\0" x 7_000_000);
	is run('kcat', '-P', '-b', broker(), '-t', $from, '-p', 0, '-X', 'message.max.bytes=100000000', "$dir/$_")->{exit}, 0
	    for 0, 1;
	my $r = pipeline("kread -q -t $from -e --exact | kwrite -q -t $to", timeout => 120);
	is $r->{exit}, 0 or diag $r->{err};
	for my $n (0, 1) {
		my $got = run('kcat', '-C', '-q', '-b', broker(), '-t', $to, '-o', $n, '-c', 1, '-f', '%s')->{out};
		ok $got eq slurp("$dir/$n"), "message $n";
	}
};

subtest 'records without -t go to their own topics' => sub {
	my ($one, $two) = map { topic($_) } qw(one two);
	my $line = join '', map {
		my $t = $_ % 2 ? $one : $two;
		qq({"topic":"$t","partition":7,"offset":$_,"key":null,"payload":$_}\n)
	} 0 .. 99;
	is kwrite($line)->{exit}, 0, 'the partition of a record does not matter';
	is_deeply [ map { decode_base64($_->{value}) } rows_of($one) ], [ grep { $_ % 2 } 0 .. 99 ];
	is_deeply [ map { decode_base64($_->{value}) } rows_of($two) ], [ grep { !($_ % 2) } 0 .. 99 ];
};

subtest 'what kcat -J prints is taken too' => sub {
	my ($from, $to) = map { topic($_) } qw(kcat-from kcat-to);
	produce($from, { k => 'é', v => '{"a":"b"}', ts => 1000, headers => [ [ 'h', b64('1') ], [ 'h', b64('2') ] ] },
		{ k => 'k', value => undef, ts => 2000 }, { v => 'text', ts => 3000 });
	my $r = pipeline("kcat -C -q -e -J -b \$SLUICE_BROKERS -t $from | kwrite -q -t $to");
	is $r->{exit}, 0 or diag $r->{err};
	is_deeply essence(rows_of($to)), essence(rows_of($from));
};

subtest 'every codec' => sub {
	for my $codec (qw(none gzip snappy lz4 zstd)) {
		my $t = topic("z-$codec");
		is pipeline("txgen -c 500 transactions | kwrite -q -z $codec -t $t")->{exit}, 0, $codec;
		is join('', map { decode_base64($_->{value}) . "\n" } rows_of($t)), run('txgen', '-c', 500, 'transactions')->{out};
	}
	my $r = kwrite('', '-z', 'brotli', '-t', 'x');
	is $r->{exit}, 64, 'and no other';
	like $r->{err}, qr/brotli/;
};

subtest 'a changelog of txgen keeps keys, order and tombstones' => sub {
	my $t = topic('totals', partitions => 3);
	my $text = run('txgen', '-c', 2000, 'user-totals')->{out};
	is kwrite($text, '-t', $t)->{exit}, 0;
	my (%want, %got);
	push @{ $want{$1} }, $2 =~ /"none","payload":null/ ? 'tombstone' : $2 =~ s/.*"payload"://r
	    while $text =~ /"key":"(U\d+)",(.*)\}\n/g;
	push @{ $got{ decode_base64($_->{key}) } }, defined $_->{value} ? decode_base64($_->{value}) : 'tombstone'
	    for rows_of($t);
	is_deeply \%got, \%want;
};

# ---- acknowledgements ----

subtest '-a prints what the broker has, up to the last record' => sub {
	my $t = topic('acks', partitions => 2);
	my $r = run('sh', '-c', "txgen -c 3000 transactions | kwrite -q -a -k user_id -t $t");
	is $r->{exit}, 0;
	my %at = map { $_->{mark}{partition} => $_->{mark} } json_lines($r->{out});
	my $watermark = kt(watermarks => topic => $t);
	my @rows = rows_of($t);
	for my $p (0, 1) {
		is $at{$p}{offset}, $watermark->{$p}[1], "partition $p";
		is $at{$p}{kind}, 'position';
		is $at{$p}{topic}, $t;
		my ($last) = grep { $_->{partition} == $p && $_->{offset} == $at{$p}{offset} - 1 } @rows;
		is_deeply $at{$p}{last}, { offset => $last->{offset}, ts => $last->{ts} };
	}
};

subtest 'each is acknowledged soon, however slow the input' => sub {
	my $t = topic('slow');
	my ($p, $to) = kwrite_open('-q', '-a', '-t', $t);
	for my $n (1 .. 3) {
		print $to qq({"n":$n}\n{"begun":); # the line that has begun must hold up nothing
		ok wait_until(20, "mark $n", sub { my $at = 2 * $n - 1; out_of($p) =~ /"offset":$at,"last"/ });
		print $to "$n}\n";
		ok wait_until(20, "the other mark $n", sub { my $at = 2 * $n; out_of($p) =~ /"offset":$at,"last"/ });
	}
	close $to;
	is finish($p)->{exit}, 0;
};

subtest 'marks are passed over' => sub {
	my $t = topic('marks');
	my $text = run('txgen', '--marks', '-c', 10, 'sales')->{out};
	my $r = run('kwrite', '-t', $t, { stdin => $text });
	is $r->{exit}, 0;
	is scalar rows_of($t), 10;
	unlike $r->{err}, qr/end mark/;
	$r = run('kwrite', '-t', $t, { stdin => $text =~ s/.*"end".*\n//r });
	is $r->{exit}, 0;
	like $r->{err}, qr/no end mark/, 'and a missing end is told';
};

subtest 'no input is no error' => sub {
	my $r = run('kwrite', '-t', topic('nothing'), { stdin => '' });
	is $r->{exit}, 0;
	is $r->{out}, '';
};

# ---- bad data ----

subtest 'a bad line ends the run with its place, what came before is written' => sub {
	my $text = run('txgen', '-c', 23, '--bad', 50, '-R', 'transactions')->{out};
	my $n = 0;
	for my $bad ((split /\n/, $text, -1)[ map { 2 * $_ } 0 .. 22 ]) {
		my $t = topic('bad');
		my $r = run('kwrite', '-t', $t, { stdin => qq({"a":1}\n{"a":2}\n$bad\n{"a":3}\n) });
		is $r->{exit}, 65, "line 3: " . substr($bad =~ s/[^ -~]/?/gr, 0, 60);
		like $r->{err}, qr/^kwrite: stdin:3: ./m;
		is scalar rows_of($t), 2 if $n++ % 6 == 0;
	}
	for my $bad ('{"topic":"x","partition":0,"offset":1,"payload_enc":"base64","payload":"*"}',
		'{"topic":"x","partition":0,"offset":1,"headers":["a"],"payload":1}',
		'{"topic":"x","partition":0,"offset":1,"headers":["a",5],"payload":1}') {
		my $r = kwrite("{}\n$bad\n", '-t', topic('bad'));
		is $r->{exit}, 65, $bad;
		like $r->{err}, qr/\Akwrite: stdin:2: ./;
	}
};

subtest 'a bare object without -t has nowhere to go' => sub {
	my $r = kwrite("{}\n");
	is $r->{exit}, 65;
	like $r->{err}, qr/stdin:1: .*-t/;
};

subtest 'files are read one after the other, and named' => sub {
	my $t = topic('files');
	my $dir = tempdir();
	spew("$dir/one", qq({"n":1}\n{"n":2}));
	spew("$dir/two", qq({"n":4}\n{"n":));
	my $r = run('kwrite', '-q', '-t', $t, "$dir/one", '-', "$dir/two", { stdin => qq({"n":3}\n) });
	is $r->{exit}, 65, 'an incomplete last line is bad data';
	like $r->{err}, qr{\Akwrite: \Q$dir\E/two:2: };
	is_deeply [ map { json(decode_base64($_->{value}))->{n} } rows_of($t) ], [ 1, 2, 3, 4 ],
	    'a last line without newline counts when it is whole';
	is run('kwrite', '-q', '-t', $t, "$dir/none")->{exit}, 64, 'no such file';
	is run('kwrite', '-q', '-t', $t, $dir)->{exit}, 74, 'a directory';
};

subtest 'a record that is too large is bad data, with its line' => sub {
	my $t = topic('large', config => { 'max.message.bytes' => 10_000 });
	my $large = qq({"a":"@{[ 'x' x 20_000 ]}"});
	for my $how ('its own limit', "the broker's") {
		my @limit = $how =~ /own/ ? ('-X', 'message.max.bytes=10000') : ();
		my $r = run('kwrite', @limit, '-X', 'batch.size=5000', '-t', $t, { stdin => "{}\n{}\n$large\n" });
		is $r->{exit}, 65, $how;
		like $r->{err}, qr/^kwrite: stdin:3: .*topic $t.*too large/mi;
	}
	is scalar rows_of($t), 4, 'what came before is written';
};

subtest 'a compacted topic wants keys' => sub {
	my $t = topic('compact', config => { 'cleanup.policy' => 'compact' });
	my $r = kwrite("{}\n", '-t', $t);
	is $r->{exit}, 65;
	like $r->{err}, qr/\Akwrite: stdin:1: topic $t/;
};

subtest 'a partition that is not there' => sub {
	my $t = topic('parts', partitions => 2);
	my $line = join '', map { qq({"topic":"x","partition":$_,"offset":0,"payload":1}\n) } 1, 2;
	my $r = kwrite($line, '--keep-partition', '-t', $t);
	is $r->{exit}, 78;
	like $r->{err}, qr/\Akwrite: stdin:2: topic $t partition 2: /;
	is scalar rows_of($t), 1;
};

subtest 'of several that are refused the first is named' => sub {
	my $t = topic('several', config => { 'max.message.bytes' => 1000 });
	my $line = qq({"a":") . 'x' x 600 . qq("}\n);
	my $r = kwrite($line x 3, '-t', $t, '-X', 'linger.ms=1000'); # in one batch, which is too large
	is $r->{exit}, 65;
	like $r->{err}, qr/\Akwrite: stdin:1: and 2 more: topic $t partition 0: .*too large/;
	like $r->{err}, qr/^kwrite: 3 records not acknowledged$/m;
};

subtest 'Kafka cannot keep the time 0' => sub {
	my $t = topic('undated');
	my $r = run('kwrite', '-t', $t, { stdin => qq({"topic":"x","partition":0,"offset":0,"tstype":"create","ts":0,"payload":1}\n) });
	is $r->{exit}, 0;
	like $r->{err}, qr/^kwrite: 1 record of time 0 got the present time$/m;
};

subtest 'usage errors' => sub {
	for my $bad ([ '-k', '' ], [ '-k', 'a..b' ], [ '-m', 'x' ], [ '-X', 'novalue' ]) {
		my $r = kwrite('', @$bad);
		is $r->{exit}, 64, "@$bad";
		like $r->{err}, qr/\Akwrite: [^\n]+\n\z/;
	}
	my $r = kwrite('', '-X', 'dump', '-z', 'lz4');
	is $r->{exit}, 0;
	like $r->{out}, qr/^enable\.idempotence = true\n(?s:.*)^compression\.codec = lz4$/m, '-X dump shows what is in use';
	is kwrite('', '-X', 'dump', '-X', 'linger.ms=-5')->{exit}, 78, 'and what cannot be';
	is kwrite('', '-X', 'no.such.setting=1')->{exit}, 78, 'a setting that there is not';
	is kwrite('', '-F', '/nonexistent')->{exit}, 78, 'a configuration that is not there';
};

# ---- trouble ----

subtest 'nobody there: 69 within the timeout' => sub {
	my $r = run('kwrite', '-b', '127.0.0.1:1', '-m', 1, '-t', 'x', { stdin => "{}\n", timeout => 20 });
	is $r->{exit}, 69;
	like $r->{err}, qr/127\.0\.0\.1:1/;
	cmp_ok $r->{sec}, '<', 10;
};

for my $signal ([ TERM => 0 ], [ INT => 130 ]) {
	subtest "$signal->[0] ends it after what it has read" => sub {
		my $t = topic('stop');
		my ($p, $to) = kwrite_open('-t', $t);
		print $to "{}\n" x 5000, '{"half":';
		wait_until(20, 'some are written', sub { kt(watermarks => topic => $t)->{0}[1] > 0 });
		kill $signal->[0], $p->{pid};
		my $r = finish($p, 20);
		is $r->{exit}, $signal->[1];
		my $acknowledged = $r->{err} =~ /(\d+) records acknowledged/ ? $1 : -1;
		is $acknowledged, scalar rows_of($t), 'it says how many';
		is $acknowledged, 5000;
	};
}

subtest 'a full stdout is an error, a reader that is gone is not worth a word' => sub {
	my $t = topic('stdout');
	my $r = run('kwrite', '-q', '-a', '-t', $t, { stdin => "{}\n", out => '/dev/full' });
	is $r->{exit}, 74;
	like $r->{err}, qr/\Akwrite: stdout: /;
	$r = pipeline("(echo '{}'; sleep 1; echo '{}') | kwrite -q -a -t $t | true");
	is $r->{exit}, 141;
	is $r->{err}, '';
};

my $kafka = start_kafka(sasl => 1, tls => 1, acl => 1, properties => { 'auto.create.topics.enable' => 'false' });

sub on { return run('kwrite', '-q', '-b', $kafka->brokers($_[0]), @_[ 1 .. $#_ ], { stdin => "{}\n" }) }

subtest 'a topic that is not there: 78' => sub {
	my $start = time;
	my $r = on('PLAINTEXT', '-t', 'absent', '-X', 'topic.metadata.propagation.max.ms=1000');
	is $r->{exit}, 78;
	like $r->{err}, qr/\Akwrite: stdin:1: topic absent: /;
	cmp_ok time - $start, '<', 20;
};

subtest 'users, passwords and rights' => sub {
	kt(create => topic => 'TX', on => $kafka->brokers);
	kt(acl => on => $kafka->brokers, principal => 'User:reader', operation => $_, name => 'TX') for qw(READ DESCRIBE);
	my $dir = tempdir();
	my $as = sub {
		my ($user, $password) = @_;
		spew("$dir/$user.conf", "security.protocol=sasl_plaintext\nsasl.mechanism=SCRAM-SHA-256\n",
			"sasl.username=$user\nsasl.password=$password\n");
		return on('SASL_PLAINTEXT', '-F', "$dir/$user.conf", '-t', 'TX', '-m', 10);
	};
	is $as->('admin', 'admin-secret')->{exit}, 0, 'who may write, writes' or return;
	my $r = $as->('admin', 'mistyped');
	is $r->{exit}, 77, 'a wrong password';
	unlike $r->{err}, qr/mistyped/, '... which nobody gets to see';
	cmp_ok $r->{sec}, '<', 9, '... at once';
	$r = $as->('reader', 'reader-secret');
	is $r->{exit}, 77, 'who may only read';
	like $r->{err}, qr/TX/;
	is $as->('nobody', 'nobody-secret')->{exit}, 77, 'who may do nothing';
	is scalar(@{ kt(dump => topic => 'TX', on => $kafka->brokers) }), 1, 'one was written';
};

subtest 'TLS' => sub {
	is on('SSL', '-t', 'TX', '-X', 'security.protocol=ssl', '-X', 'ssl.ca.location=' . $kafka->ca)->{exit}, 0;
	my $r = on('SSL', '-t', 'TX', '-m', 10, '-X', 'security.protocol=ssl', '-X', 'ssl.ca.location=' . $kafka->other_ca);
	is $r->{exit}, 69, 'a broker that cannot be trusted';
	like $r->{err}, qr/certificate/i;
};

subtest 'a broker that dies and comes back has each record once, in order' => sub {
	kt(create => topic => 'BACK', on => $kafka->brokers);
	my ($p, $to) = kwrite_open('-b', $kafka->brokers, '-t', 'BACK', '-m', 120);
	my $n = 0;
	my $some = sub { print $to join '', map { $n++; qq({"n":$n}\n) } 1 .. 2000 };
	$some->();
	wait_until(30, 'some are written', sub { kt(watermarks => topic => 'BACK', on => $kafka->brokers)->{0}[1] > 0 });
	$some->();
	$kafka->kill9;
	$some->();
	sleep 1;
	$kafka->start;
	$some->();
	close $to;
	my $r = finish($p, 150);
	is $r->{exit}, 0 or diag $r->{err};
	my @got = map { json(decode_base64($_->{value}))->{n} } @{ kt(dump => topic => 'BACK', on => $kafka->brokers) };
	is "@got", join(" ", 1 .. $n), "all, once, in order";
};

subtest 'a broker that does not come back: 69, and how many are not acknowledged' => sub {
	my ($p, $to) = kwrite_open('-b', $kafka->brokers, '-t', 'BACK', '-m', 2);
	print $to "{}\n";
	sleep 1;
	$kafka->kill9;
	print $to "{}\n{}\n";
	my $r = finish($p, 30);
	is $r->{exit}, 69, 'also while the input stays open';
	like $r->{err}, qr/2 records not acknowledged/;
	close $to;
};

subtest 'the EXAMPLES of the man page run' => sub {
	my %topic = map { $_ => topic($_) } qw(TX USER_TOTALS TX_COPY LARGE);
	my @examples = examples('kwrite');
	is @examples, 4;
	for my $script (@examples) {
		my $r = run('bash', '-e', '-o', 'pipefail', '-c',
			$script =~ s/-t \K(TX_COPY|TX|USER_TOTALS|LARGE)\b/$topic{$1}/gr);
		is $r->{exit}, 0, $script or diag $r->{err};
	}
	is scalar rows_of($topic{TX}), 1000;
	is_deeply essence(rows_of($topic{TX_COPY})), essence(rows_of($topic{TX}));
	my $large = grep { json(decode_base64($_->{value}))->{amount} > 500 } rows_of($topic{TX});
	is scalar rows_of($topic{LARGE}), $large;
	cmp_ok $large, '>', 100;
};

done_testing;
