#!/usr/bin/perl
# Byte fidelity: what a producer wrote passes topic, stream, lake and back to a topic without the change of a
# byte; every line of the lake is JSON that strict readers take; kcat -J output is stored as what it means.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode ();
use MIME::Base64 qw(encode_base64);
use Sluice;
use Test::More;

need_kafka();
binmode($_, ':utf8') for map { Test::More->builder->$_ } qw(output failure_output);

my $ms = 1795234200123; # 2026-11-21T04:10:00.123Z

sub b64 { return defined $_[0] ? encode_base64($_[0], '') : undef }

sub nested { my ($depth) = @_; return '[' x $depth . ']' x $depth }

# Payloads that are JSON and must be embedded as they are.
my @json = (
	'{"a":12.50,"b":9007199254740993,"c":1e3,"d":-0,"e":-0.0,"f":1E+400,"g":123456789012345678901234567890.123456789}',
	'{"dup":1,"dup":2,"z":1,"a":2,"dup":3}', '{"e":"\u0000\u00e9\ud83d\ude00\/\\\\\"\b\f\n\r\t"}', '{"é":"日本 😀"}',
	"  {\"a\" : [ 1 ,\t2 ] }  ", "{\n  \"a\": 1,\r\n  \"b\": [\n2\n]\n}", '"text"', '42', 'true', 'null', '[]', '{}', '""',
	nested(99), nested(100), '{"mark":{"kind":"end"}}', '{"path":"x","topic":"y","offset":-1}',
);

# Payloads that are not, for one reason each.
my @other = (
	nested(101), nested(102), '', ' ', "\0", "a\0b", 'plain text', '{"a":1', '{"a":1}{"b":2}', '{"a":"\ud800"}', '{"a":"\udc00\ud800"}',
	"{\"a\":\"\xff\"}", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xef\xbb\xbf{}", '01', '1.', '.5', '+1', 'NaN', "{'a':1}",
	'[1,]', "\x01\x02\x03" x 20, "\"tab\there\"", "line\nbreak", join('', map { chr } 0 .. 255),
);

sub zoo
{
	my @rows = map { { key => b64("k$_"), value => b64($json[$_]), ts => $ms + $_ * 3_600_000 } } 0 .. $#json;
	push @rows, map { { key => b64("o$_"), value => b64($other[$_]), ts => $ms + $_ * 3_600_000 } } 0 .. $#other;
	push @rows, { key => b64('tombstone'), value => undef, ts => $ms };
	push @rows, { key => b64($_), value => b64('{}'), ts => $ms }
	    for undef, '', "\0", "\xff\xfe", 'é', '{"id":1}', '"quoted"', "a\nb", 'x' x 5000;
	push @rows, { key => undef, value => b64('{}'), ts => $ms, headers => $_ }
	    for [], [ [ 'h', b64('v') ] ], [ [ 'h', undef ], [ 'h', b64('') ], [ 'h', b64("\xff\0") ], [ 'h', b64('again') ] ],
	    [ [ '', b64('no name') ], [ 'é', b64('日') ], [ 'trace-id', b64('"quoted\\') ] ];
	push @rows, { key => b64('large'), value => b64('{"pad":"' . 'é' x 1_000_000 . '"}'), ts => $ms };
	push @rows, { key => b64('large text'), value => b64('"' x 3_000_000), ts => $ms };
	$rows[$_]{partition} = $_ % 3 for 0 .. $#rows;
	return @rows;
}

my %large = ('max.message.bytes' => 30_000_000, 'message.timestamp.after.max.ms' => '9223372036854775807');
my $source = topic('ZOO', partitions => 3, config => \%large);
produce($source, zoo());
my @want = rows_of($source);

sub essence { return map { my $r = $_; to_json([ map { $r->{$_} } qw(partition offset key value headers ts tstype) ]) } @_ }

sub same_messages
{
	my ($what, $topic) = @_;
	my @want = essence(@want);
	my @got = essence(rows_of($topic));
	is scalar @got, scalar @want, "$what: all messages";
	my @wrong = grep { $want[$_] ne ($got[$_] // '') } 0 .. $#want;
	is scalar @wrong, 0, "$what: every key, value, header, timestamp and offset is the same"
	    or diag map { substr($want[$_], 0, 200), "\n", substr($got[$_] // '', 0, 200), "\n" } @wrong[ 0 .. ($#wrong < 2 ? $#wrong : 2) ];
}

my $dir = tempdir();

for my $case ([ plain => '' ], [ gzip => '-z gzip:1' ]) {
	my ($what, $options) = @$case;
	my $lake = "$dir/$what";
	my $copy = topic("ZOO-$what", partitions => 3, config => \%large);
	my $r = pipeline("kread -q -t $source -e --exact --marks | partition -q | jsonl-sink -q $options $lake", timeout => 120);
	is $r->{exit}, 0, "$what: stored" or diag $r->{err};
	is run('jsonl-sink', '-q', '--check', $lake)->{exit}, 0, "$what: the lake is clean";

	$r = pipeline("find $lake -name '*.jsonl' -o -name '*.gz' | sort | xargs zcat -f | jq -c .offset | wc -l", timeout => 120);
	is $r->{out} + 0, scalar @want, "$what: jq reads every line" or diag $r->{err};
	$r = run(python(), '-c', <<'PY', $lake, { timeout => 120 });
import glob, gzip, json, sys
n = 0
for name in glob.glob(sys.argv[1] + '/streams/**/*.jsonl*', recursive=True):
    with (gzip.open if name.endswith('.gz') else open)(name, 'rb') as f:
        for line in f:
            json.loads(line.decode('utf-8', 'strict')).keys()
            line.decode('utf-8').encode('utf-16', 'strict')
            n += 1
print(n)
PY
	is $r->{out} + 0, scalar @want, "$what: Python reads every line" or diag $r->{err};

	$r = pipeline("lakecat -q $lake | kwrite -q --keep-partition -t $copy", timeout => 120);
	is $r->{exit}, 0, "$what: written to another topic" or diag $r->{err};
	same_messages("$what lake and back", $copy);
}

# Without --exact a payload keeps every byte but line breaks and outer white space.
{
	my $r = pipeline("kread -q -t $source -e | grep -v '\"payload_enc\"' | grep -v large | jq -c '[.key,.partition,.offset]' | wc -l");
	my $lake = "$dir/payloads";
	is pipeline("kread -q -t $source -e | grep -v payload_enc | partition -q -l '{topic}' | jsonl-sink -q -w payload $lake",
		timeout => 120)->{exit}, 0, 'payloads alone are stored';
	my @lines = grep { length $_ < 1000 } split /\n/, slurp("$lake/$source/00000001.jsonl");
	my %have = map { $_ => 1 } @lines;
	for (@json) {
		(my $line = $_) =~ tr/\n\r/  /;
		$line =~ s/^\s+|\s+$//g;
		ok $have{$line}, 'the payload as it was: ' . Encode::decode('UTF-8', substr $line, 0, 60);
	}
}

# kcat -J: every payload is text there; stored as a line it says so, stored as a payload it is what it means.
{
	my $t = topic('KCAT');
	produce($t, { k => 'a', v => '{"amount":12.50,"city":"é"}', ts => $ms }, { k => 'b', value => undef, ts => $ms },
		{ k => 'c', v => 'no json', ts => $ms, headers => [ [ 'h', b64('1') ], [ 'h', b64('2') ] ] }, { v => '"a string"', ts => $ms });
	my $kcat = "kcat -C -q -e -J -b \$SLUICE_BROKERS -t $t";
	my $r = pipeline("$kcat | partition -q -l '{topic}/{.city}' | jsonl-sink -q $dir/kcat");
	is $r->{exit}, 0, 'kcat -J output is stored' or diag $r->{err};
	is_deeply [ map { json($_) } split /\n/, slurp("$dir/kcat/$t/é/00000001.jsonl") ],
	    [ map { json($_) } grep { /city/ } split /\n/, pipeline($kcat)->{out} ], 'the line as kcat wrote it, found by a field of its text';
	pipeline("$kcat | partition -q -l '{topic}' | jsonl-sink -q -w payload $dir/kcat-payload");
	is slurp("$dir/kcat-payload/$t/00000001.jsonl"), qq({"amount":12.50,"city":"é"}\nnull\n"no json"\n"a string"\n),
	    'payloads of kcat -J are what they mean';
	like run('jsonl-sink', '-Q', "$dir/kcat")->{out}, qr/"offset":4,"last":\{"offset":3,"ts":$ms\}/, 'positions of kcat -J are kept';
	my $copy = topic('KCAT-COPY');
	pipeline("$kcat | partition -q | jsonl-sink -q $dir/kcat-all && lakecat -q $dir/kcat-all | kwrite -q --keep-partition -t $copy");
	is_deeply [ essence(rows_of($copy)) ], [ essence(rows_of($t)) ], 'kcat -J output, stored and written again, is the topic';
}

done_testing;
