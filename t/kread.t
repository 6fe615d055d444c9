#!/usr/bin/perl
# kread: what it writes for which message, where it starts, and what a sink's position means to it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

need_kafka();

my $TS = 1795234200123; # 2026-11-21T04:10:00.123Z

sub b64 { return encode_base64($_[0], '') }

# A row for kt: key and value as bytes or undef.
sub row
{
	my ($key, $value, %more) = @_;
	return { ts => $TS, key => defined $key ? b64($key) : undef,
		value => defined $value ? b64($value) : undef, %more };
}

# Runs it quietly to the end; dies unless it succeeds in silence.
sub kread
{
	my @args = @_;
	my $r = run('kread', '-q', '-e', @args);
	die "kread @args: exit $r->{exit}: $r->{err}\n" if $r->{exit} || $r->{err} ne '';
	return split /^/, $r->{out};
}

sub offsets { return join ' ', map { /"mark"/ ? () : /"partition":(\d+),"offset":(\d+)/ ? "$1:$2" : "?" } @_ }

sub marks { return join ' ', map { /"mark"/ ? /"kind":"(\w+)"(?:,"topic":"[^"]+","partition":(\d+),"offset":(\d+)|,"records":(\d+))/
	? defined $2 ? "$1:$2:$3" : "$1:$4" : '?' : () } @_ }

sub so_far { return -e $_[0]{out} ? slurp($_[0]{out}) : '' }

# ---- lines ----

subtest 'the bytes of a line' => sub {
	my $t = topic('LINE');
	my @cases = (
		[row('U1', '{"amount":12.50}'), '"key":"U1","payload":{"amount":12.50}'],
		[row(undef, '{"n":9007199254740993,"e":1E+2,"z":-0,"n":1}'),
			'"key":null,"payload":{"n":9007199254740993,"e":1E+2,"z":-0,"n":1}'],
		[row('', '"a\u0000\ud83d\ude00 \/"'), '"key":"","payload":"a\u0000\ud83d\ude00 \/"'],
		[row('a"b\\c', 'true'), '"key":"a\"b\\\\c","payload":true'],
		[row("caf\xc3\xa9", 'null'), "\"key\":\"caf\xc3\xa9\",\"payload\":null"],
		[row("\xff\x00", '0'), '"key_enc":"base64","key":"/wA=","payload":0'],
		[row("\x01\x02\x03\x04", '[]'), '"key_enc":"base64","key":"AQIDBA==","payload":[]'],
		[row('k', undef), '"key":"k","payload_enc":"none","payload":null'],
		[row('k', ''), '"key":"k","payload_enc":"utf8","payload":""'],
		[row('k', 'plain text'), '"key":"k","payload_enc":"utf8","payload":"plain text"'],
		[row('k', "tab\there, \x{c3}\x{a9}, 'quotes' and \"more\", and the end"),
			"\"key\":\"k\",\"payload_enc\":\"utf8\",\"payload\":\"tab\\there, \xc3\xa9, 'quotes' and \\\"more\\\", and the end\""],
		[row('k', ' '), '"key":"k","payload_enc":"utf8","payload":" "'],
		[row('k', "\x00\x01\x02\x03"), '"key":"k","payload_enc":"base64","payload":"AAECAw=="'],
		[row('k', "\xc3("), '"key":"k","payload_enc":"base64","payload":"wyg="'],
		[row('k', "\xed\xa0\x80 surrogate"), '"key":"k","payload_enc":"base64","payload":"7aCAIHN1cnJvZ2F0ZQ=="'],
		[row('k', '{"s":"\ud800"}'), '"key":"k","payload_enc":"utf8","payload":"{\"s\":\"\\\\ud800\"}"'],
		[row('k', '{"a":1'), '"key":"k","payload_enc":"utf8","payload":"{\"a\":1"'],
		[row('k', '01'), '"key":"k","payload_enc":"utf8","payload":"01"'],
		[row('k', '{} {}'), '"key":"k","payload_enc":"utf8","payload":"{} {}"'],
		[row('k', "{\"a\":\n [1,\r\n\t2]}"), "\"key\":\"k\",\"payload\":{\"a\":  [1,  \t2]}"],
		[row('k', " \r\n{\"a\": 1}\n"), '"key":"k","payload":{"a": 1}'],
		[row('k', '[' x 99 . ']' x 99), '"key":"k","payload":' . '[' x 99 . ']' x 99],
		[row('k', '[' x 100 . ']' x 100), '"key":"k","payload":' . '[' x 100 . ']' x 100],
		[row('k', '[' x 101 . ']' x 101), '"key":"k","payload_enc":"utf8","payload":"' . '[' x 101 . ']' x 101 . '"'],
		[row('k', '[' x 102 . ']' x 102), '"key":"k","payload_enc":"utf8","payload":"' . '[' x 102 . ']' x 102 . '"'],
		[row('k', '1', headers => [['trace', b64('a1')], ['k', undef], ['trace', b64('')], ['bin', b64("\xff")]]),
			'"headers":["trace","a1","k",null,"trace","","bin",{"base64":"/w=="}],"key":"k","payload":1'],
		[row('k', '1', headers => [['n"', b64('{"a":1}')]]), '"headers":["n\"","{\"a\":1}"],"key":"k","payload":1'],
	);
	produce($t, map { $_->[0] } @cases);
	my @lines = kread('-t', $t);
	is scalar(@lines), scalar(@cases), 'one line each';
	for my $i (0 .. $#cases) {
		is $lines[$i], qq({"topic":"$t","partition":0,"offset":$i,"tstype":"create","ts":$TS,$cases[$i][1]}\n),
		    "$cases[$i][1]" =~ s/(.{60}).*/$1.../r;
	}
};

subtest 'without --exact only white space may change, with it nothing' => sub {
	my $t = topic('EXACT');
	my @payloads = ("{\"a\":\n1}", " {\"a\":1}", "{\"a\":1}\t", "[1,\r2]", '{"a": 1}', "\n", "{\n} x");
	produce($t, map { row('k', $_) } @payloads);
	my @lines = kread('-t', $t, '--exact');
	for my $i (0 .. $#payloads) {
		my $r = json($lines[$i]);
		my $bytes = !exists $r->{payload_enc} ? $lines[$i] =~ /"payload":(.*)\}\n/s && $1
		    : $r->{payload_enc} eq 'base64' ? decode_base64($r->{payload}) : $r->{payload};
		is $bytes, $payloads[$i], 'the same bytes: ' . to_json($payloads[$i]);
		unlike substr($lines[$i], 0, -1), qr/\n/, '... on one line';
	}
	unlike $lines[4], qr/payload_enc/, 'what keeps its bytes anyway is not marked';
};

subtest 'log append time is told apart' => sub {
	my $t = topic('APPEND', config => { 'message.timestamp.type' => 'LogAppendTime' });
	produce($t, row('k', '1'));
	like((kread('-t', $t))[0], qr/"tstype":"logappend","ts":(?!$TS)\d{13},/, 'tstype logappend, the broker\'s time');
};

subtest 'a message of 20 MB' => sub {
	my $t = topic('LARGE', config => { 'max.message.bytes' => 30_000_000 });
	my $text = 'x' x 20_000_000;
	my $ok = eval {
		kt(produce => topic => $t, rows => [row('k', qq({"t":"$text"})), row('k', "\xff$text"), row('k', '1')],
		    config => { 'message.max.bytes' => 30_000_000 });
	};
	ok $ok, 'produced' or return diag $@;
	my @lines = kread('-t', $t);
	is length $lines[0], length(qq({"topic":"$t","partition":0,"offset":0,"tstype":"create","ts":$TS,"key":"k","payload":{"t":"$text"}}\n)),
	    'whole as JSON';
	my ($b) = $lines[1] =~ /"payload":"([^"]*)"/;
	is length decode_base64($b), 20_000_001, 'whole as base64';
	is scalar(@lines), 3, 'and what follows';
};

subtest 'records in every codec' => sub {
	for my $codec (qw(gzip snappy lz4 zstd)) {
		my $t = topic('CODEC');
		kt(produce => topic => $t, rows => [map { row("k$_", qq({"n":$_})) } 1 .. 500], config => { 'compression.type' => $codec });
		my @lines = kread('-t', $t);
		is scalar(grep { $lines[$_] =~ /"offset":$_,.*"key":"k@{[$_ + 1]}","payload":\{"n":@{[$_ + 1]}\}/ } 0 .. $#lines), 500, $codec;
	}
};

# ---- what is read ----

my $T = topic('WHERE', partitions => 3);
produce($T, map { row("k$_", qq({"n":$_}), partition => $_ % 2, ts => $TS + 1000 * $_) } 0 .. 9);

subtest 'where it starts and ends' => sub {
	my @p = ('-t', $T, '-p', 0);
	is offsets(sort(kread('-t', $T))), join(' ', (map { "0:$_" } 0 .. 4), map { "1:$_" } 0 .. 4), 'the beginning by default';
	is offsets(kread(@p)), '0:0 0:1 0:2 0:3 0:4', '-p takes one partition';
	is offsets(sort(kread('-t', $T, '-p', '2,1'))), '1:0 1:1 1:2 1:3 1:4', '-p takes several';
	is offsets(kread(@p, '-o', 'beginning')), '0:0 0:1 0:2 0:3 0:4', '-o beginning';
	is offsets(kread(@p, '-o', 'end')), '', '-o end';
	is offsets(kread(@p, '-o', 3)), '0:3 0:4', '-o N';
	is offsets(kread(@p, '-o', 5)), '', '-o N at the end';
	is offsets(kread(@p, '-o', '-2')), '0:3 0:4', '-o -N';
	is offsets(kread(@p, '-o-99')), '0:0 0:1 0:2 0:3 0:4', '-o -N before the start is the start';
	is offsets(kread(@p, '-o', 's@' . ($TS + 4000))), '0:2 0:3 0:4', '-o s@MS';
	is offsets(kread(@p, '-o', 's@' . ($TS + 3999))), '0:2 0:3 0:4', '-o s@MS between two records';
	is offsets(kread(@p, '-o', 's@' . ($TS + 99999))), '', '-o s@MS after the last record';
	is offsets(kread(@p, '-o', 's@2026-11-21T04:10:04.123Z')), '0:2 0:3 0:4', '-o s@ISO';
	is offsets(kread(@p, '-o', 's@2026-11-21T05:10:04.123+01:00')), '0:2 0:3 0:4', '-o s@ISO with an offset';
	is offsets(kread(@p, '-o', 's@2026-11-21 04:10:04.123')), '0:2 0:3 0:4', '-o s@ISO without a zone is UTC';
	is offsets(kread(@p, '-o', 'e@' . ($TS + 4000))), '0:0 0:1', '-o e@MS';
	is offsets(kread(@p, '-o', 's@' . ($TS + 2000), '-o', 'e@' . ($TS + 6000))), '0:1 0:2', '-o s@ and e@';
	my $r = run('kread', '-q', @p, '-o', 'e@' . ($TS + 99999), { timeout => 20 });
	is offsets(split /^/, $r->{out}), '0:0 0:1 0:2 0:3 0:4', '-o e@ ends by itself, also when no record is that late';
	$r = run('kread', '-q', @p, '-c', 2, { timeout => 20 });
	is "$r->{exit} " . offsets(split /^/, $r->{out}), '0 0:0 0:1', '-c ends without -e';
	is offsets(kread(@p, '-c', 99)), '0:0 0:1 0:2 0:3 0:4', '-c more than there are';
	for my $o (6, 99) {
		$r = run('kread', '-e', @p, '-o', $o);
		is $r->{exit}, 65, "-o $o is beyond the end";
		like $r->{err}, qr/\Akread: $T\/0: offset $o [^\n]*\b5\n\z/, '... and said so';
	}
};

subtest 'which topics' => sub {
	my ($a, $b) = (topic('REGEX.a'), topic('REGEX.b'));
	produce($a, row('k', '1'));
	produce($b, row('k', '2'));
	my $topics = sub { join ' ', sort map { json($_)->{topic} } kread(@_) };
	is $topics->('-t', "$a,$b"), "$a $b", 'a list';
	is $topics->('-t', $b, '-t', $a), "$a $b", 'several -t';
	is $topics->('-t', $a, '-t', $a), $a, 'the same twice is read once';
	is $topics->('-t', "^REGEX\\.[ab]-$$-"), "$a $b", 'a pattern';
	is $topics->('-t', "$b,^REGEX.a-$$"), "$a $b", 'a name and a pattern';
	my $r = run('kread', '-e', '-t', '^NOTHING-LIKE-THIS');
	is $r->{exit}, 78, 'a pattern that matches nothing';
	like $r->{err}, qr/\Akread: \^NOTHING-LIKE-THIS: no topic matches\n/, '... is named';
	$r = run('kread', '-e', '-t', '^(');
	is $r->{exit}, 64, 'a bad pattern is a usage error';
	$r = run('kread', '-e', '-t', 'NO-SUCH-TOPIC');
	is $r->{exit}, 78, 'an unknown topic';
	like $r->{err}, qr/\Akread: NO-SUCH-TOPIC: there is no such topic\n\z/, '... is named';
	is kt(partitions => topic => 'NO-SUCH-TOPIC'), 0, '... and not created';
	$r = run('kread', '-e', '-t', $T, '-p', 3);
	is $r->{exit}, 78, 'an unknown partition';
	like $r->{err}, qr/\Akread: $T\/3: there is no such partition: the topic has 3\n\z/, '... is named';
};

subtest 'it waits a little for a topic that is being created' => sub {
	my $name = "LATE-$$";
	my $p = spawn('kread', '-q', '-e', '-t', $name);
	sleep 0.4;
	kt(create => topic => $name);
	is finish($p)->{exit}, 0, 'no error';
};

subtest 'usage' => sub {
	for my $bad (['-e'], ['-t', 'a', 'b'], ['-t', 'a', '-o', 'middle'], ['-t', 'a', '-o', 's@yesterday'], ['-t', 'a', '-o', 'stored'],
		['-t', 'a', '-o', '5', '--from', '.'], ['-t', 'a', '--skip-lost'], ['-t', 'a', '-p', 'x'], ['-t', 'a', '-c', '0'],
		['-t', 'a', '-m', '0'], ['-t', 'a', '-X', 'novalue'], ['-t', 'a', '-p', '-1'], ['-t', 'a', '-o', '9223372036854775808']) {
		my $r = run('kread', @$bad, { timeout => 10 });
		is $r->{exit}, 64, "kread @$bad";
		like $r->{err}, qr/\Akread: [^\n]+\n\z/, '... one line';
	}
};

# ---- marks ----

subtest 'marks' => sub {
	my $t = topic('MARKS', partitions => 2);
	produce($t, map { row('k', $_, partition => 0) } 1 .. 3);
	is marks(kread('-t', $t)), '', 'none unless asked for';
	my @lines = kread('-t', $t, '--marks');
	is marks(@lines[0, 1]), 'start:0:0 start:1:0', 'all starts come first';
	is marks(@lines), 'start:0:0 start:1:0 position:1:0 position:0:3 end:3', 'positions at the ends, then the end';
	is marks($lines[-1]), 'end:3', 'the end mark is the last line';
	is marks(kread('-t', $t, '--marks', '-c', 2)), 'start:0:0 start:1:0 position:1:0 position:0:2 end:2', '-c completes the run';
	my $r = run('kread', '-q', '-t', $t, '--marks', '-p', 0, '-c', 1);
	is marks(split /^/, $r->{out}), 'start:0:0 position:0:1 end:1', '-c without -e';
	is marks(kread('-t', $t, '--marks', '-p', 0, '-o', 'end')), 'start:0:3 position:0:3 end:0', 'nothing to read';
	@lines = kread('-t', $t, '--from', '/dev/null');
	is marks(@lines), 'start:0:0 start:1:0 position:1:0 position:0:3 end:3', '--from writes them too';
};

subtest 'a position mark every 65536 records' => sub {
	my $t = topic('MANY');
	kt(produce => topic => $t, rows => [map { { v => "$_" } } 1 .. 65_600]);
	my @lines = kread('-t', $t, '--marks');
	is marks(@lines), 'start:0:0 position:0:65536 position:0:65600 end:65600', 'in their place';
	like $lines[65537], qr/"mark"/, '... right behind the record';
};

# ---- --from ----

sub mark
{
	my ($t, $p, $next, $last, $ts) = @_;
	my $more = defined $last ? qq(,"last":{"offset":$last,"ts":$ts}) : '';
	return qq({"mark":{"kind":"position","topic":"$t","partition":$p,"offset":$next$more}}\n);
}

sub from
{
	my ($t, $marks, @args) = @_;
	return run('kread', '-q', '-e', '-t', $t, '--from', '-', @args, { stdin => $marks });
}

subtest '--from marks' => sub {
	my $ts0 = $TS + 1000 * 4; # partition 0, offset 2
	my $dir = tempdir();
	is offsets(split /^/, from($T, mark($T, 0, 3, 2, $ts0) . mark($T, 1, 5, 4, $TS + 9000))->{out}), '0:3 0:4', 'after what the sink has';
	my $r = from($T, mark($T, 0, 3) . mark($T, 1, 4));
	is join(' ', sort split / /, offsets(split /^/, $r->{out})), '0:3 0:4 1:4', 'marks without "last" do too';
	$r = from($T, mark($T, 0, 5, 4, $TS + 8000));
	is offsets(split /^/, $r->{out}), '1:0 1:1 1:2 1:3 1:4', 'a partition that it does not know starts at the beginning';
	$r = from($T, mark($T, 0, 1) . mark($T, 0, 4) . mark($T, 1, 5));
	is offsets(split /^/, $r->{out}), '0:4', 'of several marks the last counts';
	$r = from($T, '{"mark":{"kind":"start","topic":"X","partition":0,"offset":1}}' . "\n" . mark('OTHER', 0, 99) . mark($T, 0, 5) . mark($T, 1, 4));
	is offsets(split /^/, $r->{out}), '1:4', 'other marks and topics are of no matter';
	$r = from($T, mark($T, 0, 4, 1, $TS + 2000) . mark($T, 1, 5));
	is offsets(split /^/, $r->{out}), '0:4', 'records between the last one stored and the position are not read again';
	spew("$dir/acks", mark($T, 0, 4), mark($T, 1, 5));
	is offsets(kread('-t', $T, '--from', "$dir/acks")), '0:4', 'a file';
	is marks(kread('-t', $T, '--from', "$dir/acks")), 'start:0:4 start:1:5 start:2:0 position:1:5 position:2:0 position:0:5 end:1', 'marks begin there';
	for my $bad ('{"a":1}', 'x', '', substr(mark($T, 0, 4), 0, 30)) {
		$r = from($T, mark($T, 1, 5) . "$bad\n");
		is "$r->{exit} $r->{out}", '65 ', "not a mark: '$bad'";
		like $r->{err}, qr/\Akread: stdin:2: /, '... and where';
	}
	$r = run('kread', '-e', '-t', $T, '--from', "$dir/nothing");
	is $r->{exit}, 78, 'no such file';
	like $r->{err}, qr{\Akread: \Q$dir\E/nothing: No such file}, '... is named';
};

subtest '--from a lake' => sub {
	my $lake = tempdir() . '/lake';
	my $t = topic('LAKE', partitions => 2);
	my $line = "kread -q -e -t $t --from $lake | partition -q | jsonl-sink -q $lake";
	mkdir $lake;
	produce($t, map { row("k$_", $_) } 1 .. 20);
	is pipeline($line)->{exit}, 0, 'a lake that is still empty';
	is offsets(kread('-t', $t, '--from', $lake)), '', 'nothing is new';
	produce($t, row('new', '21', partition => 1));
	like offsets(kread('-t', $t, '--from', $lake)), qr/\A1:\d+\z/, 'only what is new';
	is scalar(kread('-t', $t, '--from', $lake, '-N', 'other')), 26, 'another name stands at the beginning';
	is pipeline($line)->{exit}, 0, 'resumed';
	is scalar(map { json_lines(slurp($_)) } glob "$lake/streams/$t/year=2026/month=11/day=21/*.jsonl"), 21, 'each record once';
};

subtest '--from: records lost' => sub {
	my $t = topic('LOST');
	produce($t, map { row('k', $_) } 0 .. 9);
	kt(delete_records => topic => $t, offset => 6);
	my $r = from($t, mark($t, 0, 2, 1, $TS));
	is "$r->{exit} $r->{out}", '65 ', 'the position is below the log start: nothing is read';
	like $r->{err}, qr/\Akread: $t\/0: [^\n]*position is 2[^\n]*starts at 6: 4 offsets [^\n]*--skip-lost[^\n]*\n\z/, '... how many, and what to do';
	$r = from($t, mark($t, 0, 2, 1, $TS), '--skip-lost');
	is "$r->{exit} " . offsets(split /^/, $r->{out}), '0 0:6 0:7 0:8 0:9', '--skip-lost goes on behind them';
	is marks(split /^/, $r->{out}), 'start:0:6 position:0:10 end:4', '... and its start mark shows the gap';
	$r = run('kread', '-e', '-t', $t, '--skip-lost', '--from', '-', { stdin => mark($t, 0, 2) });
	like $r->{err}, qr/^kread: $t\/0: offsets 2 to 5 are lost: 4 skipped$/m, '... after a warning';
	$r = from($t, mark($t, 0, 6, 5, $TS));
	is "$r->{exit} " . offsets(split /^/, $r->{out}), '0 0:6 0:7 0:8 0:9', 'a position right at the log start lost nothing';
	is offsets(kread('-t', $t)), '0:6 0:7 0:8 0:9', 'without a position the log start is the beginning';
	$r = run('kread', '-e', '-t', $t, '-o', 3);
	is $r->{exit}, 65, '-o below the log start';
	like $r->{err}, qr/$t\/0: offset 3 is gone: the log starts at 6/, '... is said';
};

subtest '--from: the topic was recreated' => sub {
	my $t = topic('AGAIN', partitions => 2);
	my $again = sub {
		my (@rows) = @_;
		kt(delete => topic => $t);
		kt(create => topic => $t, partitions => 2);
		produce($t, @rows) if @rows;
	};
	produce($t, map { row('k', $_, partition => $_ % 2) } 0 .. 9);
	my $marks = mark($t, 0, 5, 4, $TS) . mark($t, 1, 5, 4, $TS);
	is from($t, $marks)->{exit}, 0, 'unchanged: no complaint';

	my @new = map { row('k', $_, partition => $_ % 2, ts => $TS + 1) } 0 .. 5;
	$again->(@new);
	my $r = from($t, $marks);
	is "$r->{exit} $r->{out}", '65 ', 'shorter: nothing is read';
	like $r->{err}, qr/\Akread: $t\/[01]: [^\n]*position 5 is beyond the end of the log, 3: [^\n]*recreated[^\n]*\n\z/, '... where and what';

	produce($t, map { row('k', $_, partition => $_ % 2, ts => $TS + 1) } 6 .. 19);
	$r = from($t, $marks);
	is "$r->{exit} $r->{out}", '65 ', 'longer: nothing is read';
	like $r->{err}, qr/\Akread: $t\/[01]: [^\n]*offset 4 [^\n]*recreated[^\n]*--recreated[^\n]*\n\z/, '... where, why and what to do';

	produce($t, row('k', '1', partition => 0));
	$r = from($t, mark($t, 0, 10, 9, $TS + 1) . mark($t, 1, 10, 9, $TS));
	is "$r->{exit} $r->{out}", '65 ', 'one idle partition is enough: nothing is read of the others';
	$r = from($t, mark($t, 0, 10, 9, $TS + 1) . mark($t, 1, 10, 9, $TS + 1));
	is "$r->{exit} " . offsets(split /^/, $r->{out}), '0 0:10', '... and when all agree the record last stored is not repeated';

	$again->();
	$r = from($t, $marks);
	is "$r->{exit} $r->{out}", '65 ', 'empty now';
};

# ---- configuration ----

sub read_config
{
	my ($text, @args) = @_;
	my $file = tempdir() . '/k.conf';
	spew($file, $text);
	my $r = run('kread', '-q', '-e', '-t', $T, '-p', 0, '-F', $file, @args);
	$r->{err} =~ s/\Q$file\E/FILE/g;
	return $r;
}

subtest 'settings' => sub {
	my $hosts = broker();
	my $dir = tempdir();
	my $nowhere = '127.0.0.1:1';
	my $ok = sub { my ($r, $what) = @_; is "$r->{exit} $r->{err}", '0 ', $what };
	local $ENV{SLUICE_BROKERS} = $nowhere;
	$ok->(read_config("# a comment\n\n  bootstrap.servers = $hosts \r\nclient.id=x"), '-F over $SLUICE_BROKERS');
	$ok->(read_config("metadata.broker.list=$hosts\ntopic.auto.offset.reset=earliest\n"), 'names that kcat takes');
	$ok->(read_config("bootstrap.servers=$nowhere\n", '-X', "bootstrap.servers=$hosts"), '-X over -F');
	$ok->(read_config("bootstrap.servers=$nowhere\n", '-X', "metadata.broker.list=$nowhere", '-b', $hosts), '-b over all');
	for my $case (["x\n", 'FILE:1: not key=value'], ["\n# c\nno.such.thing=1\n", 'FILE:3: no.such.thing: there is no such setting'],
		["=1\n", 'FILE:1: no key before ='], ["security.protocol=sasl_sssl\n", 'FILE:1: security.protocol: Invalid value'],
		["a=b\0\n", 'FILE:1: a NUL byte']) {
		my $r = read_config($case->[0]);
		is $r->{exit}, 78, "a mistake: $case->[1]";
		like $r->{err}, qr/\Akread: \Q$case->[1]\E[^\n]*\n\z/, '... is named with its place';
	}
	my $r = run('kread', '-e', '-t', $T, '-F', "$dir/none");
	is $r->{exit}, 78, 'a missing -F file';
	like $r->{err}, qr{\Akread: \Q$dir/none\E: No such file}, '... is named';
	like run('kread', '-e', '-t', $T, '-F', $dir)->{err}, qr{\Akread: \Q$dir\E: Is a directory\n\z}, 'a directory for -F';
	$r = run('kread', '-e', '-t', $T, '-b', $hosts, '-X', 'nothing.like.it=1');
	is "$r->{exit} $r->{err}", "78 kread: -X: nothing.like.it: there is no such setting\n", 'a mistake in -X';
	for my $text ("sasl.password hunter2\n", "hunter2\n", "enable.ssl.certificate.verification=hunter2\n" =~ s/hunter2/maybe/r,
		"ssl.key.password=hunter2\nssl.key.location=/nothing\nsecurity.protocol=ssl\n") {
		unlike read_config($text, '-b', $hosts, '-v')->{err}, qr/hunter2/, 'no secret in a message';
	}
	$r = run('kread', '-t', $T, '-X', 'dump', '-X', 'sasl.password=hunter2', '-X', 'client.id=me');
	is $r->{exit}, 0, '-X dump';
	like $r->{out}, qr/^client\.id = me\n(?s:.*)^isolation\.level = read_committed\n/m, '... prints what is in use';
	unlike $r->{out}, qr/hunter2/, '... but no secrets';
	like run('kread', '-X', 'list')->{out}, qr/^queued\.min\.messages/m, '-X list';
	is run('kread', '-X', 'list', { out => '/dev/full' })->{exit}, 74, '... to a full disk';
	$r = run('kread', '-q', '-e', '-t', $T, '-p', 0, '-b', $hosts, '-X', 'auto.offset.reset=earliest', '-X', 'enable.partition.eof=false', '-X', 'enable.auto.commit=true');
	is "$r->{exit} " . offsets(split /^/, $r->{out}), '0 0:0 0:1 0:2 0:3 0:4', 'what it relies on cannot be set otherwise';
};

subtest 'files that are read by themselves' => sub {
	my $dir = tempdir();
	my $hosts = broker();
	mkdir "$dir/sluice";
	mkdir "$dir/.config";
	mkdir "$dir/.config/sluice";
	delete local $ENV{SLUICE_BROKERS};
	spew("$dir/sluice/kafka.conf", "bootstrap.servers=$hosts\n");
	is run('kread', '-q', '-e', '-t', $T, { env => { XDG_CONFIG_HOME => $dir } })->{exit}, 0, '$XDG_CONFIG_HOME/sluice/kafka.conf';
	spew("$dir/.config/sluice/kafka.conf", "bootstrap.servers=$hosts\n");
	is run('kread', '-q', '-e', '-t', $T, { env => { HOME => $dir } })->{exit}, 0, '~/.config/sluice/kafka.conf';
	$ENV{SLUICE_BROKERS} = $hosts;
	spew("$dir/sluice/kafka.conf", "bootstrap.servers=127.0.0.1:1\n");
	is run('kread', '-q', '-e', '-t', $T, { env => { XDG_CONFIG_HOME => $dir } })->{exit}, 0, '$SLUICE_BROKERS comes after it';
	spew("$dir/sluice/kafka.conf", "oops\n");
	my $r = run('kread', '-q', '-e', '-t', $T, { env => { XDG_CONFIG_HOME => $dir } });
	is "$r->{exit} $r->{err}", "78 kread: $dir/sluice/kafka.conf:1: not key=value\n", 'a mistake in it';
	delete $ENV{SLUICE_BROKERS};
	$r = run('kread', '-e', '-t', $T, '-m', '0.5');
	like $r->{err}, qr/\Akread: localhost:9092: /, 'the default is localhost:9092';
	$ENV{SLUICE_BROKERS} = $hosts;
};

# ---- its life in a pipeline ----

my $BIG = topic('BIG', partitions => 2);
kt(produce => topic => $BIG, rows => [map { { v => qq({"n":$_,"t":") . 'x' x 200 . '"}' } } 1 .. 20_000]) for 1 .. 2;

subtest 'the summary' => sub {
	my $r = run('kread', '-e', '-t', $BIG);
	like $r->{err}, qr{\Akread: 40000 records, [\d.]+ MB, [\d.]+ s, [\d.]+[kM]? records/s\n\z}, 'records, bytes, seconds, rate';
	like run('kread', '-e', '-t', $T, '-p', '0', '-c', 1)->{err}, qr/\Akread: 1 record,/, 'one record';
	my $slow = "kread -e -t $BIG OPTION | (sleep 1; cat) > /dev/null";
	my $on_terminal = sub { run('script', '-qec', $slow =~ s/OPTION/@_/r, '/dev/null')->{out} };
	like $on_terminal->(), qr{\r\e\[Kkread: \d+ records  [\d.]+k?/s  [\d.]+ [kM]?B/s  \d+ %, \d+:\d\d left(?s:.*)\r\e\[Kkread: 40000 records,},
	    'a progress line on a terminal, gone before the summary';
	unlike $on_terminal->('-q'), qr/kread/, '... none with -q';
	unlike run('bash', '-c', $slow =~ s/OPTION//r)->{err}, qr/\r/, '... nor when stderr is no terminal';
};

subtest 'a stdout that takes nothing, or has nobody behind it' => sub {
	my $r = run('kread', '-e', '-t', $BIG, { out => '/dev/full' });
	is $r->{exit}, 74, '/dev/full';
	like $r->{err}, qr/^kread: stdout: No space left on device$/m, '... is said';
	$r = run('kread', '-q', '-e', '-t', $T, '-p', 0, { out => '/dev/full' });
	is $r->{exit}, 74, '... also when everything fits in the buffer';
	$r = pipeline("kread -e -t $BIG | head -n 1");
	is $r->{exit}, 141, 'SIGPIPE ends it as it ends cat';
	is $r->{err}, '', '... quietly';
	$r = pipeline("kread -t $T -p 0 --marks | head -n 1", timeout => 20);
	is "$r->{exit} $r->{err}", '141 ', 'also while it waits for more';
};

for my $case (['TERM', 0], ['INT', 130]) {
	my ($signal, $exit) = @$case;
	subtest "SIG$signal" => sub {
		my $p = spawn('kread', '-t', $T, '--marks');
		wait_until(10, 'records', sub { so_far($p) =~ /(?:"payload".*){10}/s });
		sleep 0.3;
		my $t0 = time;
		kill $signal, $p->{pid};
		my $r = finish($p, 10);
		is $r->{exit}, $exit, 'while it waits: the exit status';
		ok time - $t0 < 2, '... soon';
		unlike $r->{out}, qr/"end"/, '... without an end mark';
		is scalar(my @l = $r->{out} =~ /\}\n/g), scalar(() = $r->{out} =~ /\n/g), '... at the end of a line';

		$p = spawn('kread', '-b', '127.0.0.1:1', '-t', $T);
		sleep 0.3;
		kill $signal, $p->{pid};
		$r = finish($p, 10);
		is $r->{exit}, $exit, 'before there is a broker';

		# The pipe is full when it comes: nobody reads for a while.
		my $dir = tempdir();
		$r = run('bash', '-c', <<'END', 'sh', $BIG, $signal, $dir, { timeout => 30 });
set -m
mkfifo "$3/fifo"
kread -t "$1" --marks > "$3/fifo" & pid=$!
exec 3< "$3/fifo"
sleep 1
kill -"$2" $pid
sleep 0.3
cat <&3 > "$3/out"
wait $pid
END
		is $r->{exit}, $exit, 'while the pipe is full';
		my $out = slurp("$dir/out");
		like $out, qr/\}\n\z/, '... whole lines only';
		unlike $out, qr/"kind":"end"/, '... no end mark';
		like $out, qr/"kind":"position"[^\n]*\n\z/, '... and where it stopped';
	};
}

subtest 'memory is bounded while its reader stands still' => sub {
	my $t = topic('HEAP');
	pipeline("seq 1 2000000 | kcat -P -b @{[broker()]} -t $t -z lz4", timeout => 120);
	my $r = run('bash', '-c', <<'END', 'sh', $t, { timeout => 60, cwd => tempdir() });
mkfifo fifo
kread -q -t "$1" > fifo & pid=$!
exec 3< fifo
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3; done
grep VmHWM /proc/$pid/status
kill -9 $pid
END
	my ($kb) = $r->{out} =~ /(\d+) kB/;
	cmp_ok $kb, '<', 300_000, "2M records of 7 bytes: $kb kB" unless sanitized();
	cmp_ok $kb, '>', 20_000, 'it fetches ahead';
};

subtest 'what arrives is passed on at once' => sub {
	my $t = topic('LIVE');
	my $p = spawn('kread', '-q', '-t', $t, '--marks');
	wait_until(10, 'the start mark', sub { so_far($p) =~ /"start"/ });
	for my $i (0 .. 2) {
		produce($t, row('k', $i));
		my $t0 = time;
		wait_until(10, 'the record', sub { so_far($p) =~ /"offset":$i,.*"payload":$i\}\n/ });
		cmp_ok time - $t0, '<', 1.5, "record $i";
	}
	wait_until(10, 'a position mark at the end of the log', sub { marks(split /^/, so_far($p)) =~ /position:0:3/ });
	pass 'a position mark at the end of the log';
	kill 'TERM', $p->{pid};
	is finish($p)->{exit}, 0, 'ended';
};

subtest 'the examples of the manual' => sub {
	my @examples = slurp("$SRC/man/kread.1") =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed/msg;
	cmp_ok scalar(@examples), '>=', 5, 'there are some';
	produce('TX', map { row("U$_", qq({"amount":@{[$_ * 100]}.50}), ts => $TS - 60_000 * $_) } 1 .. 9) if eval { kt(create => topic => 'TX'); 1 };
	produce('TOTALS_5M', row('transfer' . pack('q>', $TS), '{"total_amount":12.50}')) if eval { kt(create => topic => 'TOTALS_5M'); 1 };
	eval { kt(create => topic => 'TX_COPY', partitions => 4) }; # as the broker makes it for man.t
	my $dir = tempdir();
	mkdir "$dir/data_lake";
	for my $e (@examples) {
		$e =~ s/\\e/\\/g;
		my $more = $e =~ /-o -10/; # it waits for more
		my $p = spawn('bash', '-o', 'pipefail', '-c', $e, { cwd => $dir });
		my $r = finish($p, 30);
		is $r->{exit}, 0, $e =~ s/\n//gr or diag $r->{err};
		ok length $r->{out} || $e =~ /sink|kwrite/, '... prints something' unless $more;
	}
	is scalar(map { json_lines(slurp($_)) } glob "$dir/data_lake/streams/TX/*/*/*/*.jsonl"), 9, 'each record is in the lake once';
};

done_testing;
