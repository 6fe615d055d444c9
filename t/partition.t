#!/usr/bin/perl
# partition: each record gets the path where it belongs, and nothing else of it changes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use File::Path qw(make_path);
use IO::Handle;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep);

my $DEFAULT = '__HIVE_DEFAULT_PARTITION__';
my $MARK = '{"mark":{"kind":"position","topic":"TX","partition":0,"offset":43}}';

# A record of kread with this payload (JSON text), after which any member may be changed.
sub record
{
	my ($payload, %m) = @_;
	my $ts = $m{ts} // 1795234200123;
	my $key = $m{key} // 'null';
	my $topic = $m{topic} // 'TX';
	return qq({"topic":"$topic","partition":3,"offset":42,"tstype":"create","ts":$ts,) .
		qq("key":$key,"payload":$payload});
}

sub partition
{
	my ($input, @args) = @_;
	return run('partition', '-q', @args, { stdin => $input });
}

# The one path that a line gets.
sub path_of
{
	my ($line, @args) = @_;
	my $r = partition("$line\n", @args);
	return "exit $r->{exit}: $r->{err}" if $r->{exit} || $r->{err};
	return (json_lines($r->{out}))[0]{path};
}

# ---- the line ----

subtest 'path comes first and every other byte stays' => sub {
	my $rest = '"topic":"TX","partition":0,"offset":42,"tstype":"create","ts":1795234200123,' .
	    '"headers":["trace","a1","k",null],"key":"U1","payload":{"a" : 12.50, "a":1e2,"n":9007199254740993,' .
	    '"s":"\u00e9\/","d":[ ]}}';
	my $r = partition("{$rest\n");
	is $r->{out}, qq({"path":"streams/TX/year=2026/month=11/day=21",$rest\n);
	is $r->{exit}, 0;
	is $r->{err}, '';
};

subtest 'an existing path is replaced, wherever it stands and however often' => sub {
	my $want = qq({"path":"tables/TX","topic":"TX","partition":0,"offset":1,"payload":1}\n);
	for my $line ('{"path":"../x","topic":"TX","partition":0,"offset":1,"payload":1}',
		'{"topic":"TX","partition":0,"path":"x","offset":1,"payload":1}',
		'{"topic":"TX","partition":0,"offset":1,"payload":1,"path":"x"}',
		'{"path":"x","topic":"TX","path":"y","partition":0,"offset":1,"payload":1,"path":"z"}',
		'{"p\u0061th":"x","topic":"TX","partition":0,"offset":1,"payload":1}')
	{
		is partition("$line\n", '-l', 'table')->{out}, $want, $line;
	}
};

subtest 'partition of its own output changes nothing' => sub {
	my $input = join '', map { "$_\n" } record('{"a":1}'), $MARK, '{"a":2,"at":"2026-11-21"}', '{"path":"/usr","at":"2026-01-01"}';
	my @args = ('-l', '{topic}/%F', '-t', '.at');
	my $once = partition($input, @args);
	is $once->{exit}, 0;
	is partition($once->{out}, @args)->{out}, $once->{out};
};

subtest 'members in any order, with blanks, as jq -S writes them' => sub {
	my $line = '  { "ts" : 0, "topic" : "TX", "payload" : {"city":"x"}, "offset" : 1, "key":"k", "partition" : 0 } ' . "\r";
	is partition("$line\n", '-l', '{topic}/{key}/{.city}/%Y')->{out},
	    '{"path":"TX/k/x/1970", "ts" : 0, "topic" : "TX", "payload" : {"city":"x"}, "offset" : 1, "key":"k", "partition" : 0 }' . "\n";
};

subtest 'of repeated members the last counts' => sub {
	is path_of('{"topic":"A","topic":"B","partition":0,"offset":1,"ts":0,"ts":86400000,"key":"x","key":"y",' .
		'"payload":{"c":1,"c":{"d":2,"d":3}}}', '-l', '{topic}/{key}/{.c.d}/%d'), 'B/y/3/02';
	is path_of('{"topic":"A","partition":0,"offset":1,"payload":{"c":"x"},"payload":{}}', '-l', 'c/{.c}'), "c/$DEFAULT";
};

subtest 'bare objects are wrapped, those with a path of their own too' => sub {
	is partition(qq({"a": 1}\n{"path":"/bin","a":2}\n), '-l', 'x/{.a}')->{out},
	    qq({"path":"x/1","payload":{"a": 1}}\n{"path":"x/2","payload":{"path":"/bin","a":2}}\n);
	is partition(qq({"payload":{"a":1}}\n), '-l', 'x/{.payload.a}')->{out},
	    qq({"path":"x/1","payload":{"payload":{"a":1}}}\n);
};

subtest 'marks pass through untouched and in their place' => sub {
	my $odd = ' {"mark" :{"kind":"new"}, "path":"x"}';
	my $r = run('partition', '-l', 'table', { stdin => join '', map { "$_\n" } record(1), $MARK, record(2), $odd });
	is_deeply [ map { s/.*"payload":(\d).*/$1/r } split /\n/, $r->{out} ], [ 1, $MARK, 2, $odd ];
	like $r->{err}, qr/^partition: 2 records, 2 marks, 0 in a default partition, \d+ B, .*\n\z/;
};

subtest 'payloads of kcat -J that are JSON have fields' => sub {
	my $kcat = '{"topic":"TX","partition":0,"offset":1,"tstype":"create","ts":0,"broker":0,"key":"k","payload":"%s"}';
	is path_of(sprintf($kcat, '{\"city\":\"N\u00eemes\",\"at\":\"2026-11-21\"}'), '-l', '{.city}/%F', '-t', '.at'), 'Nîmes/2026-11-21';
	is path_of(sprintf($kcat, 'no json'), '-l', 'c/{.city}'), "c/$DEFAULT";
	is path_of(sprintf($kcat, '{\"city\":1} x'), '-l', 'c/{.city}'), "c/$DEFAULT";
};

subtest 'a last line without newline counts when it is whole' => sub {
	for my $line (record(1), $MARK) {
		my $r = partition($line, '-l', 'table');
		is $r->{exit}, 0;
		like $r->{out}, qr/\}\n\z/;
	}
	is partition('')->{out}, '', 'and nothing is a stream too';
};

# ---- layouts ----

subtest 'the named layouts' => sub {
	is path_of(record('{}')), 'streams/TX/year=2026/month=11/day=21';
	is path_of(record('{}'), '-l', 'hive'), 'streams/TX/year=2026/month=11/day=21';
	is path_of(record('{}'), '--layout=hive-hour'), 'streams/TX/year=2026/month=11/day=21/hour=04';
	is path_of(record('{}'), '-l', 'date'), 'TX/2026-11-21';
	is path_of(record('{}'), '-l', 'table'), 'tables/TX';
};

subtest 'templates of everything' => sub {
	my $r = record('{"user":{"country":"FR"},"odd name":{"x/y":[1]},"n":-1.50}', key => '"U1"');
	is path_of($r, '-l', 'a={topic}-{partition}/{key}/{.user.country}/{.n}/{.["odd name"]}/%Y%%%m'),
	    "a=TX-3/U1/FR/-1.50/$DEFAULT/2026%2511";
	is path_of($r, '-l', '%T/%D'), '04%3A10%3A00/11%2F21%2F26';
	is path_of($r, '-l', '%A %B %-d/%p%I/%G-W%V-%u/%j/%s'), 'Saturday November 21/AM04/2026-W47-6/325/1795234200';
};

subtest 'every conversion agrees with strftime' => sub {
	my @t = gmtime(1795234200);
	local $ENV{TZ} = 'UTC';
	POSIX::tzset();
	for my $c (split //, 'aAbBCdeFgGhHIjmMpSuUVwWyY') {
		is path_of(record('{}'), '-l', "x/%$c"), 'x/' . strftime("%$c", @t), "%$c";
	}
};

# date(1) is the oracle for a handful of instants of each zone.
subtest 'zones: both changes of the clocks, half hours, the far ends' => sub {
	my %instants = (
		'Europe/Paris' => [ 1774745999, 1774746000, 1792889999, 1792890000, 1782864000 ],
		'America/New_York' => [ 1772953199, 1772953200, 1793512799, 1793512800, 0 ],
		'Asia/Kolkata' => [ 1795199399, 1795199400 ],
		'Asia/Kathmandu' => [ 1795198499, 1795198500 ],
		'Australia/Lord_Howe' => [ 1775314799, 1775314800, 1791041399, 1791041400 ],
		'America/St_Johns' => [ 1162089059, 1162089060, 1772949599, 1772949600 ],
		'Pacific/Apia' => [ 1325239199, 1325239200 ],
		'Pacific/Kiritimati' => [ 253402300799 ],
		'UTC' => [ 0, 951782399, 951782400, 951868800, 4107542399, 4107542400, 253402300799 ],
	);
	for my $zone (sort keys %instants) {
		my @sec = @{ $instants{$zone} };
		my $r = partition(join('', map { record('{}', ts => $_ * 1000 + 999) . "\n" } @sec),
			'-Z', $zone, '-l', '%Y-%m-%d/%H%M%S/%Z%z/%s/%j');
		my @want = map { chomp(my $d = `TZ=$zone date -d \@$_ +%Y-%m-%d/%H%M%S/%Z%z/%s/%j`); $d } @sec;
		is_deeply [ map { $_->{path} } json_lines($r->{out}) ], \@want, $zone;
	}
};

subtest 'leap days' => sub {
	for (qw(2024-02-29 2000-02-29 2100-03-01 2026-03-01)) {
		is path_of(qq({"t":"$_"}), '-t', '.t', '-l', '%F'), $_;
	}
	is path_of(qq({"t":"$_"}), '-t', '.t', '-l', '%F'), $DEFAULT, $_ for qw(2026-02-29 2100-02-29);
};

subtest 'the zone of the machine does not matter' => sub {
	for my $tz ('Asia/Tokyo', 'America/New_York', 'nonsense') {
		my $r = run('partition', '-q', '-l', '%F-%H/%Z/%s', '-t', '.t', { stdin => '{"t":"2026-11-21T04:10"}', env => { TZ => $tz } });
		like $r->{out}, qr{^\{"path":"2026-11-21-04/UTC/1795234200"}, $tz;
	}
};

subtest 'time fields: ISO 8601, epochs by size, -f' => sub {
	for ('"2026-11-21T04:10:00Z"', '"2026-11-21 05:10:00.5+01:00"', '1795234200', '1795234200.9', '1795234200123',
		'1795234200123456', '1795234200123456789', '"1795234200123"', '1.7952342E9')
	{
		is path_of(qq({"a":{"t":$_}}), '-t', '.a.t', '-l', '%F %H%M%S'), '2026-11-21 041000', "t=$_";
	}
	is path_of('{"t":"21/11/2026 05h10"}', '-t', '.t', '-f', '%d/%m/%Y %Hh%M', '-Z', 'Europe/Paris', '-l', '%F/%s'),
	    '2026-11-21/1795234200';
	is path_of('{"t":20261121}', '-t', '.t', '-f', '%Y%m%d', '-l', '%F'), '2026-11-21';
	for ('null', '""', '"x"', '-5', 'true', '{}', '"1969-12-31"', '"10000-01-01"', '1e99') {
		is path_of(qq({"t":$_}), '-t', '.t', '-l', '%Y'), $DEFAULT, "t=$_";
	}
	is path_of(record('null', ts => '1795234200123,"payload_enc":"none"'), '-t', '.t', '-l', '%Y'), $DEFAULT, 'a tombstone has no field';
};

subtest 'local times that occur twice or never' => sub {
	my @args = ('-t', '.t', '-Z', 'Europe/Paris', '-l', '%H%M/%s');
	is path_of('{"t":"2026-10-25T02:30"}', @args), '0230/1792888200', 'twice: the first';
	is path_of('{"t":"2026-03-29T02:30"}', @args), '0330/1774747800', 'never: an hour on';
};

# ---- values that would rather be somewhere else ----

my @hostile = ('../x', '../../../../etc/cron.d/x', '..', '.', './a', '/etc/passwd', '', 'a/b', 'a//b', '.sluice', '.sluice/journal',
	'a=b', 'k=v/..', "nul\0nul", "\0", "line\nbreak", "tab\tx", "\x7f", 'quote"d', 'back\\slash', '%2E%2E%2F', '{topic}',
	'x.jsonl', 'x.jsonl.gz', '.jsonl', '~', '-rf', '*', '$HOME', '`id`', 'CON', 'a b', 'trailing.', 'x' x 255, 'x' x 256, 'x' x 10_000,
	'/' x 85, '/' x 86, 'é' x 127, 'é' x 128, '😀', '😀' x 64, "e\xcc\x81", "\xe2\x80\xae", '__HIVE_DEFAULT_PARTITION__');

subtest 'hostile values stay below the directory, come out unharmed, and are told apart' => sub {
	my $dir = tempdir();
	my @lines = map { my $v = to_json($_); record(qq({"v":$v}), key => $v, topic => substr($v, 1, -1)) } @hostile;
	@lines = grep { !/"topic":(""|".*\\u0000.*"),"partition"/ } @lines; # stream_parse refuses these topics
	for my $layout ('{.v}', 'a/v={.v}', '{topic}/{key}', '{.v}{.v}', '{.v}.jsonl{.v}', 'x{.v}l') {
		my $r = partition(join('', map { "$_\n" } @lines), '-l', "$layout/%Y");
		is $r->{exit}, 0, $layout or diag $r->{err};
		my @out = json_lines($r->{out});
		is @out, @lines;
		for my $o (@out) {
			my $path = $o->{path};
			my @bad = grep { $_ eq '' || /^\./ || /\.jsonl(\.gz)?\z/ || length > 255 || /[\0-\x1f\x7f"\\]/ }
			    split m{/}, $path, -1;
			is_deeply \@bad, [], 'components' or diag $path;
			utf8::downgrade($path);
			make_path("$dir/$path", { error => \my $error });
			is_deeply $error, [], 'the directory can be made';
		}
	}
	my $r = partition(join('', map { record('{"v":' . to_json($_) . '}') . "\n" } @hostile), '-l', 'v/{.v}');
	my @paths = map { substr $_->{path}, 2 } json_lines($r->{out});
	for my $i (0 .. $#hostile) {
		next if $paths[$i] eq $DEFAULT;
		is $paths[$i] =~ s/%([0-9A-F]{2})/chr hex $1/ger, $hostile[$i];
	}
	is_deeply [ map { substr $_, 0, 20 } grep { $_ ne $DEFAULT } @hostile[grep { $paths[$_] eq $DEFAULT } 0 .. $#paths] ],
	    [ '', 'x' x 20, 'x' x 20, '/' x 20, 'é' x 10, '😀' x 5 ], 'only the empty and the too long are the default';
};

subtest 'missing values are counted by record' => sub {
	my $r = run('partition', '-l', '{.a}/{.b}', { stdin => join '', map { "$_\n" } record('{"a":1,"b":2}'), record('{}'), record('{"a":1}'), record('7') });
	like $r->{err}, qr/4 records, 0 marks, 3 in a default partition/;
};

# ---- bad data ----

subtest 'a bad line ends it with 65 and its place, after what came before it' => sub {
	my %bad = (
		'' => qr/stdin:3: an empty line/,
		'[1]' => qr/stdin:3: not a JSON object/,
		'{"a":1' => qr/stdin:3: byte \d+: /,
		'{"a":"' . "\xff" . '"}' => qr/stdin:3: byte \d+: /,
		'{"a":"\ud800"}' => qr/stdin:3: byte \d+: /,
		'{"topic":"TX","partition":0,"offset":7,"payload":{]}' => qr{stdin:3: TX/0: offset 7: byte 51: },
		'{"topic":"TX","payload":1}' => qr/stdin:3: .*partition/,
		'{"topic":"TX","partition":"0","offset":7,"payload":1}' => qr/stdin:3: .*partition/,
		'{"at":"2026-11-21"}' => qr/stdin:3: a bare object has no time of its own \(name its field with -t\)/,
	);
	for my $line (sort keys %bad) {
		my $r = run('partition', { stdin => join '', map { "$_\n" } record(1), $MARK, $line, record(4) });
		is $r->{exit}, 65, $line;
		like $r->{err}, qr/^partition: $bad{$line}.*\npartition: 1 record, 1 mark, .*\n\z/;
		is scalar(() = $r->{out} =~ /\n/g), 2;
	}
};

subtest 'an incomplete last line is 65, after what came before it' => sub {
	my $r = partition(record(1) . "\n" . substr(record(2), 0, -5));
	is $r->{exit}, 65;
	like $r->{err}, qr{^partition: stdin:2: (TX/3: offset 42: )?the last line is incomplete: byte \d+: .*\n\z};
	is scalar(json_lines($r->{out})), 1;
};

# ---- the command line ----

subtest 'help, version, bad options' => sub {
	my $r = run('partition', '--help');
	is $r->{exit}, 0;
	is $r->{err}, '';
	like $r->{out}, qr/^usage: partition .*--layout.*--time.*--format.*--zone/s;
	is run('partition', '-h')->{out}, $r->{out};
	like run('partition', '-V')->{out}, qr/^partition \(sluice\) \d\S*\n\z/;
	for (['--nope'], ['-x'], ['-l'], ['-l', 'hiev'], ['-l', '/abs/%Y'], ['-l', 'a//b'], ['-l', '../%Y'], ['-l', '.x/%Y'],
		['-l', '{city}'], ['-l', '{.a'], ['-l', '%Q'], ['-l', 'x/%Y.jsonl'], ['-t', 'ts'], ['-t', '.a', '-f', '%s'], ['-f', '%Y'],
		['-Z', 'Europe/Atlantis'], ['-Z', '../Europe/Paris'], ['-Z', '/etc/localtime'], ['-Z', ''], ['file.jsonl'])
	{
		$r = run('partition', @$_);
		is $r->{exit}, 64, "@$_";
		like $r->{err}, qr/^partition: .+\n\z/;
		is $r->{out}, '';
	}
};

subtest 'a full stdout is 74' => sub {
	for my $args ([], ['--help']) {
		my $r = run('partition', '-q', @$args, { stdin => record(1) . "\n", out => '/dev/full' });
		is $r->{exit}, 74, "@$args";
		like $r->{err}, qr/^partition: stdout: No space left on device\n\z/;
	}
};

subtest 'unreadable stdin is 74' => sub {
	my $r = pipeline('partition -q < .', cwd => tempdir());
	is $r->{exit}, 74;
	like $r->{err}, qr/^partition: stdin: Is a directory\n\z/;
};

subtest 'SIGPIPE ends it silently' => sub {
	my $r = pipeline('yes ' . quotemeta(record(1)) . ' | partition | head -1');
	like $r->{out}, qr/^\{"path"/;
	is $r->{err}, '';
	is $r->{exit}, 141;
};

# Starts partition on a pipe, so that it waits for more; returns the process and our end.
sub waiting
{
	my ($line) = @_;
	pipe my $from, my $to or die "pipe: $!";
	$to->autoflush(1);
	my $p = spawn('partition', { stdin => $from });
	close $from;
	print $to "$line\n" or die "pipe: $!";
	return ($p, $to);
}

subtest 'what was read is written before it waits for more' => sub {
	my ($p, $to) = waiting(record(1));
	ok wait_until(10, 'the first record', sub { -s $p->{out} && slurp($p->{out}) =~ /\n\z/ });
	close $to;
	is finish($p)->{exit}, 0;
};

subtest 'SIGPIPE ends it although its own input says nothing more' => sub {
	pipe my $from, my $to or die "pipe: $!";
	pipe my $reader, my $writer or die "pipe: $!";
	$to->autoflush(1);
	my $p = spawn('partition', { stdin => $from, out => '/dev/fd/' . fileno $writer });
	close $_ for $reader, $writer;
	print $to record(1), "\n";
	my $r = finish($p, 10);
	ok !$r->{timed_out};
	is $r->{exit}, 141;
	is $r->{err}, '';
};

for (['TERM', 0], ['INT', 130]) {
	my ($signal, $exit) = @$_;
	subtest "$signal ends it at a line with $exit" => sub {
		my ($p, $to) = waiting(record(1));
		print $to substr record(2), 0, 30;
		wait_until(10, 'the first record', sub { -s $p->{out} });
		kill $signal, $p->{pid};
		my $r = finish($p, 10);
		is $r->{exit}, $exit;
		is scalar(json_lines($r->{out})), 1;
		like $r->{err}, qr/^partition: 1 record, 0 marks, .*\n\z/;
	};
	subtest "$signal ends it while input never runs dry" => sub {
		my $p = spawn('bash', '-c', 'exec partition -q < <(trap "" TERM INT; exec yes ' . quotemeta(record(1)) . ')', { out => '/dev/null' });
		sleep 0.5;
		kill $signal, $p->{pid};
		my $r = finish($p, 10);
		is $r->{exit}, $exit;
		is $r->{err}, '';
		ok !$r->{timed_out};
	};
}

# ---- the manual ----

# What stands in the EXAMPLES of a man page, one command each.
sub examples
{
	my ($text) = slurp("$SRC/man/partition.1") =~ /^\.Sh EXAMPLES\n(.*?)^\.Sh/ms;
	return $text =~ /^\.Bd.*?\n(.*?)^\.Ed/msg;
}

subtest 'the EXAMPLES of the man page run' => sub {
	my $dir = tempdir();
	my @examples = examples();
	is @examples, 4;
	for my $example (@examples) {
		my $fill = $example =~ /^kread/ ? 'txgen -q -R -t TX -c 100 transactions | kwrite -q -t TX && ' : '';
		my $r = run('kmock', '-x', 'exec bash -o pipefail -c "$EXAMPLE"', { cwd => $dir, env => { EXAMPLE => $fill . $example } });
		is $r->{exit}, 0, $example =~ s/\n\s*/ /gr or diag $r->{err};
	}
	is run('sh', '-c', $examples[3])->{out},
	    '{"path":"ventes/ville=Nîmes/2026-11","payload":{"ville":"Nîmes","le":"21/11/2026"}}' . "\n";
	like run('sh', '-c', $examples[2])->{out}, qr{\A( *\d+ 2026-\d\d-\d\d/\S.*\n)+\z};
};

# ---- size ----

subtest 'a line of 20 MB' => sub {
	my $line = record('{"a":"' . 'x' x 20_000_000 . '","v":"end"}');
	my $r = partition("$line\n" . record('{"v":1}') . "\n", '-l', 'v/{.v}');
	is $r->{exit}, 0;
	is length $r->{out}, length($line) + length('"path":"v/end",') + length(record('{"v":1}')) + length('"path":"v/1",') + 2;
};

# ru_maxrss of the children is what wait4 has seen of the largest of them.
subtest 'memory does not grow with the number of records or paths' => sub {
	plan skip_all => 'the sanitizers keep what is freed' if sanitized();
	my $dir = tempdir();
	open my $f, '>', "$dir/in" or die;
	printf $f '{"topic":"T%d","partition":0,"offset":%d,"ts":%d,"payload":{"v":"%s"}}' . "\n", $_ % 5000, $_, $_ * 1e7, 'x' x 200
	    for 1 .. 200_000;
	close $f or die;
	my $r = pipeline("/usr/bin/env python3 -c 'import resource, subprocess, sys; subprocess.check_call(sys.argv[1:]); " .
		"print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)' " .
		"partition -q -l '{topic}/%F-%M' < $dir/in > /dev/null");
	is $r->{exit}, 0;
	cmp_ok $r->{err}, '<', 16_000, 'KiB';
};

done_testing();
