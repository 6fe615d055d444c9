#!/usr/bin/perl
# kread -s and --window: keys as ksqlDB writes them arrive as values, and go back as the bytes that they were.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;

need_kafka();

my $TS = 1795234200123;    # 2026-11-21T04:10:00.123Z
my $START = 1795233900000; # ...04:05:00Z
my $END = 1795234177777;

sub b64 { return encode_base64($_[0], '') }

# As Java's serializers do it: big-endian.
sub int32 { return pack 'l>', $_[0] }
sub int64 { return pack 'q>', $_[0] }
sub double { return pack 'd>', $_[0] }
sub timed { return $_[0] . int64($START) }
sub session { return $_[0] . int64($END) . int64($START) }

# A topic with these keys, in this order; a tombstone for each second one.
sub topic_of
{
	my ($name, @keys) = @_;
	my $t = topic($name);
	my $n = 0;
	produce($t, map { { ts => $TS, key => defined $_ ? b64($_) : undef, value => $n++ % 2 ? undef : b64('{"n":1}') } } @keys);
	return $t;
}

# Its lines; dies unless it succeeds in silence.
sub kread
{
	my @args = @_;
	my $r = run('kread', '-q', '-e', @args);
	die "kread @args: exit $r->{exit}: $r->{err}\n" if $r->{exit} || $r->{err} ne '';
	return split /^/, $r->{out};
}

# What stands between time and payload.
sub key_members { return map { /"ts":\d+,(.*?),"payload(?:_enc)?":/ ? $1 : $_ } @_ }

sub keys_in { return map { $_->{key} // '(null)' } rows_of($_[0]) }

my %format = (
	text => [['U1', '"key":"U1"'], ['', '"key":""'], ["\x01\x02\x03\x04", '"key":"\u0001\u0002\u0003\u0004"'], ["caf\xc3\xa9", "\"key\":\"caf\xc3\xa9\""]],
	json => [['"U1"', '"key_enc":"json","key":"U1"'], ['{"ID":7,"CITY":"N\u00eemes"}', '"key_enc":"json","key":{"ID":7,"CITY":"N\u00eemes"}'],
		['9007199254740993', '"key_enc":"json","key":9007199254740993'], ['null', '"key_enc":"json","key":null']],
	int => [map { [int32($_), qq("key_enc":"int","key":$_)] } 0, 42, -1, 2147483647, -2147483648],
	bigint => [map { [int64($_), qq("key_enc":"bigint","key":$_)] } 0, 42, -1, 9007199254740993, '9223372036854775807', '-9223372036854775808'],
	double => [map { [double($_), qq("key_enc":"double","key":$_)] } 0, 12.5, -0.1, '1e+300'],
	base64 => [["U1", '"key_enc":"base64","key":"VTE="'], ["\xff\x00", '"key_enc":"base64","key":"/wA="']],
);
my %window = (
	'' => sub { @_ },
	'time:5m' => sub { timed($_[0]), qq($_[1],"window_enc":"time","window":{"start":$START,"end":@{[$START + 300_000]}}) },
	'session' => sub { session($_[0]), qq($_[1],"window_enc":"session","window":{"start":$START,"end":$END}) },
);

for my $type (sort keys %format) {
	for my $window (sort keys %window) {
		my @options = ('-s', "key=$type", $window ? ('--window', $window) : ());

		subtest "@options" => sub {
			my @case = (map({ [$window{$window}->(@$_)] } @{ $format{$type} }), [undef, '"key":null']);
			my $t = topic_of('K', map { $_->[0] } @case);
			my @lines = kread('-t', $t, @options);
			is_deeply [key_members(@lines)], [map { $_->[1] } @case], 'each key is its value';
			is scalar(grep { /"payload_enc":"none","payload":null\}$/ } @lines), int(@case / 2), 'also those of tombstones';
			my $copy = topic('COPY');
			my $r = run('kwrite', '-q', '-t', $copy, { stdin => join '', @lines });
			is "$r->{exit} $r->{err}", '0 ', 'kwrite takes the lines';
			is_deeply [keys_in($copy)], [keys_in($t)], '... and writes the same bytes';
		};
	}
}

subtest 'the numbers are those of kcat -s' => sub {
	for (['int', '>i$', map { int32($_) } 7, -7, 2147483647], ['bigint', '>q$', map { int64($_) } 7, -7, '-9223372036854775808']) {
		my ($type, $pack, @keys) = @$_;
		my $t = topic_of('KCAT', @keys);
		my $kcat = run('kcat', '-C', '-e', '-q', '-b', broker(), '-t', $t, '-s', "key=$pack", '-f', '%k\n');
		for my $name ($type, substr($pack, 1, 1), $pack) {
			is join('', map { json($_)->{key} . "\n" } kread('-t', $t, '-s', "key=$name")), $kcat->{out}, "key=$name";
		}
	}
};

subtest 'a window without -s' => sub {
	my $t = topic_of('BARE', timed('TR'), timed("\xff"));
	is_deeply [key_members(kread('-t', $t, '--window', 'time:1h'))],
	    [map { qq($_,"window_enc":"time","window":{"start":$START,"end":@{[$START + 3_600_000]}}) } '"key":"TR"', '"key_enc":"base64","key":"/w=="'],
	    'the rest of the key is text or base64';
};

subtest 'what is not as the options say is base64, told, and still a copy' => sub {
	my $t = topic_of('BAD', int32(1), 'U1', int64(1), int32(2));
	my $r = run('kread', '-e', '-t', $t, '-s', 'key=int');
	is $r->{exit}, 0, 'it goes on';
	my @lines = split /^/, $r->{out};
	is_deeply [key_members(@lines)], ['"key_enc":"int","key":1', '"key_enc":"base64","key":"VTE="',
		'"key_enc":"base64","key":"AAAAAAAAAAE="', '"key_enc":"int","key":2'], 'with the bytes of those keys';
	like $r->{err}, qr{\Akread: \Q$t\E/0: offset 1: key not as -s and --window say: base64\nkread: 2 keys .*\nkread: 4 records}, 'the first is named, all are counted';
	my $copy = topic('COPY');
	is run('kwrite', '-q', '-t', $copy, { stdin => $r->{out} })->{exit}, 0;
	is_deeply [keys_in($copy)], [keys_in($t)], 'the same bytes';

	$t = topic_of('NOWINDOW', 'customer-0042', timed('TR'), 'short', timed("\xff"));
	$r = run('kread', '-e', '-t', $t, '-s', 'key=text', '--window', 'session');
	is scalar(() = $r->{out} =~ /"key_enc":"base64"/g), 4, 'keys without a session stay whole';
	unlike $r->{out}, qr/"window"/;
	$r = run('kread', '-e', '-t', $t, '-s', 'key=text', '--window', 'time:5m');
	is join(' ', map { $_->{window} ? 'window' : 'none' } json_lines($r->{out})), 'none window none window', 'a text has no time at its end';
	is run('kwrite', '-q', '-t', topic('COPY2'), { stdin => $r->{out} })->{exit}, 0;
	is run('kread', '-q', '-e', '-t', $t, '-s', 'key=int')->{err}, '', '-q says nothing';
};

subtest 'the windows of txgen' => sub {
	my $t = topic('WINDOWS', partitions => 2);
	is pipeline("txgen -c 500 windows | kwrite -q -t $t")->{exit}, 0;
	my @r = map { json($_) } kread('-t', $t, '-s', 'key=text', '--window', 'time:5m');
	is scalar(@r), 500;
	is scalar(grep { !$_->{window} || $_->{key} !~ /^[a-z_]+$/ } @r), 0, 'each has its key and its window';
	my @wrong = grep {
		my ($from, $to) = map { my @t = gmtime $_ / 1000; sprintf '%04d-%02d-%02dT%02d:%02d:%02d', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0] } @{ $_->{window} }{qw(start end)};
		$_->{payload} && ($_->{payload}{window_start} !~ /^$from/ || $_->{payload}{window_end} !~ /^$to/)
	} @r;
	is scalar(@wrong), 0, 'the same as in the payload' or diag to_json($wrong[0]);
};

subtest 'through a lake, and by path' => sub {
	my $dir = tempdir();
	my $t = topic_of('LAKE', map { timed(int32($_)) } 1 .. 4);
	my $r = pipeline("kread -q -t $t -e -s key=int --window time:5m --from $dir/lake/ | partition -q -l 'by/{key}' | jsonl-sink -q $dir/lake/");
	is "$r->{exit} $r->{err}", '0 ';
	is join(' ', sort map { m{by/(.*)/} } glob "$dir/lake/by/*/*"), '1 2 3 4', 'a number is its digits';
	my $copy = topic('COPY');
	is pipeline("lakecat -q $dir/lake | kwrite -q -t $copy")->{exit}, 0;
	is_deeply [keys_in($copy)], [keys_in($t)], 'the lake still knows the bytes';
};

subtest 'kwrite refuses what it cannot write' => sub {
	my $t = topic('REFUSED');
	my $line = '{"topic":"T","partition":0,"offset":0,%s,"payload":1}' . "\n";
	my $w = '"window":{"start":1,"end":2}';
	for (
		[ qq("key":"a",$w), 'window_enc' ],
		[ qq("key":null,"window_enc":"time",$w), 'without a key' ],
		[ '"key":"a","window_enc":"time","window":{"start":1}', 'start and end' ],
		[ '"key":"a","window_enc":"time","window":{"start":1.5,"end":2}', 'start and end' ],
		[ '"key":"a","window_enc":"time"', '"window" is marked' ],
		[ qq("key":"a","window_enc":"hopping",$w), '"window_enc"' ],
		[ '"key_enc":"int","key":"42"', 'marked as a number' ],
		[ '"key_enc":"int","key":4294967296', 'not of type int' ],
		[ '"key_enc":"bigint","key":1.5', 'not of type bigint' ],
		[ '"key_enc":"double","key":1e999', 'not of type double' ],
		[ '"key_enc":"json"', 'missing' ],
		[ '"key_enc":"avro","key":"a"', '"key_enc"' ],
	) {
		my ($members, $why) = @$_;
		my $r = run('kwrite', '-q', '-t', $t, { stdin => sprintf $line, $members });
		is $r->{exit}, 65, $members;
		like $r->{err}, qr/\Akwrite: stdin:1: .*\Q$why\E/, '... says why';
	}
	is scalar(rows_of($t)), 0, 'nothing was written';
};

subtest 'usage' => sub {
	for my $bad (['-s', 'int'], ['-s', 'key=varchar'], ['-s', 'value=json'], ['-s', 'key='], ['--window', 'time'], ['--window', 'time:5'],
		['--window', 'time:0m'], ['--window', 'time:5min'], ['--window', 'session:5m'], ['--window', 'hopping']) {
		my $r = run('kread', '-t', 'T', @$bad, { timeout => 10 });
		is $r->{exit}, 64, "kread @$bad";
		like $r->{err}, qr/\Akread: $bad->[0]: [^\n]+\n\z/, '... one line that names the option';
	}
};

done_testing();
