#!/usr/bin/perl
# jsonl-sink: every mode, shape and option, what it notices, what it refuses and what it leaves behind. The
# streams are made by hand, so no broker is needed; the system calls of a commit are t/lake-faults.t's.

use strict;
use warnings;
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use IO::Handle;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = tempdir();
chmod 0755, $dir;
my $lakes = 0;

sub lake { return sprintf '%s/lake-%d', $dir, ++$lakes }

# ---- streams ----

sub record
{
	my ($offset, %m) = @_;
	my %r = (path => 'streams/TX', topic => 'TX', partition => 0, ts => 1_763_697_600_000 + $offset,
		key => 'null', payload => qq({"n":$offset}), %m);
	my $path = defined $r{path} ? qq("path":"$r{path}",) : '';
	return qq({${path}"topic":"$r{topic}","partition":$r{partition},"offset":$offset,"tstype":"create",)
	    . qq("ts":$r{ts},"key":$r{key},"payload":$r{payload}}\n);
}

sub records { my ($from, $to, %m) = @_; return join '', map { record($_, %m) } $from .. $to - 1 }

sub mark
{
	my ($kind, $offset, %m) = @_;
	my %r = (topic => 'TX', partition => 0, %m);
	return qq({"mark":{"kind":"end","records":$offset}}\n) if $kind eq 'end';
	return qq({"mark":{"kind":"$kind","topic":"$r{topic}","partition":$r{partition},"offset":$offset}}\n);
}

# As kread --marks | partition writes it.
sub whole { my ($from, $to, %m) = @_; return mark('start', $from, %m) . records($from, $to, %m) . mark('position', $to, %m) . mark('end', $to - $from) }

# ---- running it ----

sub sink
{
	my ($lake, $stream, @args) = @_;
	my $o = ref $args[-1] eq 'HASH' ? pop @args : {};
	return run('jsonl-sink', '-q', @args, $lake, { stdin => $stream, %$o });
}

# A sink whose input stays open: write to ->{to}, read acknowledgements from ->{from}.
sub open_sink
{
	my ($lake, @args) = @_;
	my $o = ref $args[-1] eq 'HASH' ? pop @args : {};
	pipe my $in, my $to or die "pipe: $!";
	my $fifo = sprintf '%s/acks-%d', $dir, ++$lakes;
	POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
	my $p = spawn('jsonl-sink', '-q', @args, $lake, { stdin => $in, out => '/dev/null', %$o,
		$o->{out} ? () : (out => $fifo) }) ;
	open $p->{from}, '<', $fifo or die "$fifo: $!" unless $o->{out};
	close $in;
	$to->autoflush(1);
	$p->{to} = $to;
	$p->{out} = '/dev/null';
	return $p;
}

sub give { my ($p, $text) = @_; print { $p->{to} } $text or die "give: $!" }

# Waits until it has read all that was given.
sub taken
{
	my ($p) = @_;
	wait_until(30, 'the pipe is empty', sub {
		my $left = pack 'i', 0;
		ioctl $p->{to}, 0x541B, $left or die "FIONREAD: $!";
		return unpack('i', $left) == 0;
	});
	return;
}

sub done { my ($p, $timeout) = @_; close $p->{to} if $p->{to}; delete $p->{to}; return finish($p, $timeout) }

sub ends_with
{
	my ($r, $exit, $message, $name) = @_;
	is $r->{exit}, $exit, $name // 'exit status' or diag $r->{err};
	like $r->{err}, $message, 'message' if $message;
	return;
}

# ---- looking at a lake ----

sub all_files
{
	my ($lake) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, substr $_, length "$lake/" if -f || -l } }, $lake) if -d $lake;
	return sort @files;
}

sub data_files { return grep { !m{(^|/)\.} } all_files(@_) }

sub temp_files { return grep { m{(^|/)\.sluice-} } all_files(@_) }

sub content
{
	my ($lake, $file) = @_;
	return slurp("$lake/$file") if $file !~ /\.gz$/;
	my $r = run('zcat', "$lake/$file");
	die $r->{err} if $r->{exit};
	return $r->{out};
}

# All records that a reader sees, in the order of file names.
sub lines_of { my ($lake) = @_; return join '', map { content($lake, $_) } grep { !/^_rejects/ } data_files($lake) }

sub journal { my ($lake) = @_; return json_lines(slurp("$lake/.sluice/journal")) }

sub offsets { return [ map { $_->{offset} } json_lines(lines_of($_[0])) ] }

sub position
{
	my ($lake, @args) = @_;
	my $r = run('jsonl-sink', '-Q', @args, $lake);
	return $r->{exit} ? "exit $r->{exit}: $r->{err}" : $r->{out};
}

sub next_offset { my ($lake, @args) = @_; return position(@_) =~ /"offset":(\d+)/ ? $1 : undef }

sub check_is_clean
{
	my ($lake, $name) = @_;
	my $r = run('jsonl-sink', '--check', $lake);
	is $r->{exit}, 0, $name // '--check is clean' or diag $r->{err};
	return;
}

sub stored { my $line = shift; $line =~ s/"path":"[^"]*",//g; return $line }

# ---- append ----

subtest 'append: one file to a path, the line without its path, to the byte' => sub {
	my $lake = lake();
	my $odd = qq({"topic":"TX","partition":0,"path":"streams\\/TX","offset":3,"ts":1, "payload":{"a" : 12.50,"a":1e2,)
	    . qq("n":9007199254740993,"s":"\\u00e9\\/\xc3\xa9","d":[ ]} }\n);
	my $r = sink($lake, records(0, 3) . " $odd" . record(0, topic => 'TY', path => 'streams/TY/day=1'));
	ends_with($r, 0);
	is $r->{out}, '', 'nothing on stdout';
	is $r->{err}, '', 'nothing on stderr';
	is_deeply [ data_files($lake) ], [ 'streams/TX/00000001.jsonl', 'streams/TY/day=1/00000001.jsonl' ];
	my $want = stored(records(0, 3)) . $odd =~ s/"path":"streams\\\/TX",//r;
	is content($lake, 'streams/TX/00000001.jsonl'), $want;
	is_deeply [ temp_files($lake) ], [];
	check_is_clean($lake);
};

subtest 'append: a rerun stores nothing, more records make another file' => sub {
	my $lake = lake();
	sink($lake, records(0, 10));
	my $before = slurp("$lake/.sluice/journal");
	my $r = run('jsonl-sink', $lake, { stdin => records(0, 10) });
	ends_with($r, 0, qr/^jsonl-sink: 10 records in, 0 stored, 10 skipped, 0 rejected; 0 files in 0 commits/m);
	is slurp("$lake/.sluice/journal"), $before, 'the journal is as it was';
	sink($lake, records(5, 20));
	is_deeply [ data_files($lake) ], [ 'streams/TX/00000001.jsonl', 'streams/TX/00000002.jsonl' ];
	is_deeply offsets($lake), [ 0 .. 19 ];
	check_is_clean($lake);
};

subtest 'append: the journal tells what was stored' => sub {
	my $lake = lake();
	sink($lake, records(5, 8) . record(0, partition => 1, ts => 7));
	my ($line) = journal($lake);
	is $line->{commit}, 1;
	is $line->{name}, 'append';
	like $line->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
	is_deeply $line->{positions}, [
		{ topic => 'TX', partition => 0, from => undef, offset => 8, last => { offset => 7, ts => 1763697600007 } },
		{ topic => 'TX', partition => 1, from => undef, offset => 1, last => { offset => 0, ts => 7 } } ];
	my $file = $line->{add}[0];
	is $file->{records}, 4;
	is $file->{bytes}, -s "$lake/streams/TX/00000001.jsonl";
	is $file->{raw}, $file->{bytes};
	is $file->{min_ts}, 7;
	is $file->{max_ts}, 1763697600007;
	is_deeply $line->{remove}, [];
};

subtest 'append: nothing in, nothing made but the lake' => sub {
	my $lake = lake();
	ends_with(sink($lake, ''), 0);
	is_deeply [ data_files($lake) ], [];
	is slurp("$lake/.sluice/journal"), '';
	check_is_clean($lake);
	is position($lake), '';
};

subtest 'append: bare objects are stored at least once, wrapped ones as they are' => sub {
	my $lake = lake();
	my $stream = qq({"a": 1}\n{"path":"x","payload":{"b":2}}\n{"path":"x","c":3}\n);
	ends_with(sink($lake, $stream, '-p', 'bare'), 0);
	is content($lake, 'bare/00000001.jsonl'), qq({"a": 1}\n);
	is content($lake, 'x/00000001.jsonl'), qq({"payload":{"b":2}}\n{"c":3}\n);
	sink($lake, $stream, '-p', 'bare');
	is content($lake, 'bare/00000002.jsonl'), qq({"a": 1}\n);
	is_deeply [ map { scalar @{ $_->{positions} } } journal($lake) ], [ 0, 0 ];
};

subtest 'append: a timer commits with no further record' => sub {
	my $lake = lake();
	my $p = open_sink($lake, '-a', '-i', '0.3');
	my $start = time;
	give($p, records(0, 5));
	is readline($p->{from}), qq({"mark":{"kind":"position","topic":"TX","partition":0,"offset":5,)
	    . qq("last":{"offset":4,"ts":1763697600004}}}\n);
	my $took = time - $start;
	cmp_ok $took, '>=', 0.25, 'not before its time';
	cmp_ok $took, '<', 5;
	is_deeply offsets($lake), [ 0 .. 4 ], 'visible when acknowledged';
	is next_offset($lake), 5, 'in the journal when acknowledged';
	give($p, record(5) . record(6));
	like readline($p->{from}), qr/"offset":7,/;
	is_deeply offsets($lake), [ 0 .. 6 ];
	my $r = done($p);
	is $r->{exit}, 0;
	is scalar(journal($lake)), 2, 'the end adds no commit when nothing came';
};

subtest 'append: the age of the oldest record counts, while records keep coming' => sub {
	my $lake = lake();
	my $p = open_sink($lake, '-a', '-i', '0.5');
	my $start = time;
	my ($offset, $acked) = (0, '');
	$p->{from}->blocking(0);
	while (!length $acked && time - $start < 10) {
		give($p, record($offset++));
		sleep 0.01;
		sysread $p->{from}, $acked, 1000, length $acked;
	}
	cmp_ok time - $start, '<', 8, 'acknowledged in spite of a steady stream';
	like $acked, qr/"offset":\d+/;
	is done($p)->{exit}, 0;
	is_deeply offsets($lake), [ 0 .. $offset - 1 ];
};

subtest 'append: commits at a size' => sub {
	my $lake = lake();
	my $stream = records(0, 1000);
	my $r = sink($lake, $stream, '--size', '10k', '-a');
	my $line = length stored(record(500));
	my @journal = journal($lake);
	cmp_ok abs(@journal - 1000 * $line / 10240), '<=', 2, 'as many commits as the size says';
	is_deeply offsets($lake), [ 0 .. 999 ];
	is scalar(() = $r->{out} =~ /\n/g), scalar @journal, 'an acknowledgement each';
	my @acked = map { $_->{mark}{offset} } json_lines($r->{out});
	is_deeply \@acked, [ map { $_->{positions}[0]{offset} } @journal ];
	check_is_clean($lake);
};

subtest 'append: several partitions and topics, acknowledged in their order' => sub {
	my $lake = lake();
	my $stream = join '', map { my $o = $_; map { record($o, partition => $_) } 2, 0, 1 } 0 .. 9;
	my $r = sink($lake, $stream . records(0, 3, topic => 'A', path => 'a'), '-a');
	is_deeply [ map { "$_->{mark}{topic}/$_->{mark}{partition} $_->{mark}{offset}" } json_lines($r->{out}) ],
	    [ 'A/0 3', 'TX/0 10', 'TX/1 10', 'TX/2 10' ];
	is sink($lake, $stream, '-a')->{out}, join('', map { "$_\n" } grep { /"TX"/ } split /\n/, $r->{out}),
	    'what is stored already is acknowledged when it comes again';
	is sink($lake, '', '-a')->{out}, '', 'what does not come is not';
};

# ---- shapes ----

my $payloads = join '', record(0, payload => '{"a":1.50,"b":[ 1 ]}', key => '"k"'), record(1, payload => '{}', key => '{"id":1}'),
    record(2, payload => '{ "x" : 1 }', key => '17'), qq({"path":"streams/TX","topic":"TX","partition":0,"offset":3,"payload_enc":"none","payload":null}\n),
    qq({"path":"streams/TX","topic":"TX","partition":0,"offset":4,"ts":9,"key_enc":"base64","key":"/w==","payload":{"z":null}}\n),
    qq({"path":"streams/TX","payload":{"bare":1}}\n{"path":"streams/TX","own":1}\n);

subtest '-w payload: the payload only' => sub {
	my $lake = lake();
	my $other = join '', record(5, payload => '"text"'), record(6, payload => '[1, 2]'),
	    qq({"path":"streams/TX","topic":"TX","partition":0,"offset":7,"payload_enc":"utf8","payload":"a\\nb"}\n),
	    qq({"path":"streams/TX","topic":"TX","partition":0,"offset":8,"payload_enc":"base64","payload":"/w=="}\n),
	    qq({"path":"streams/TX","topic":"TX","partition":0,"offset":9,"broker":1,"payload":"{\\"k\\":\\n1}"}\n);
	ends_with(sink($lake, $payloads . $other, '-w', 'payload'), 0);
	is lines_of($lake), join "\n", '{"a":1.50,"b":[ 1 ]}', '{}', '{ "x" : 1 }', 'null', '{"z":null}', '{"bare":1}',
	    '{"own":1}', '"text"', '[1, 2]', '"a\nb"', '"/w=="', qq({"k": 1}\n);
};

subtest '-w flat: the payload with where it came from' => sub {
	my $lake = lake();
	ends_with(sink($lake, $payloads, '-w', 'flat'), 0);
	my $t = '"_topic":"TX","_partition":0';
	is lines_of($lake), join "\n", qq({"a":1.50,"b":[ 1 ],$t,"_offset":0,"_ts":1763697600000,"_key":"k"}),
	    qq({$t,"_offset":1,"_ts":1763697600001,"_key":{"id":1}}), qq({ "x" : 1,$t,"_offset":2,"_ts":1763697600002,"_key":17}),
	    qq({$t,"_offset":3,"_ts":null,"_key":null,"_tombstone":true}),
	    qq({"z":null,$t,"_offset":4,"_ts":9,"_key_enc":"base64","_key":"/w=="}), '{"bare":1}', qq({"own":1}\n);
	for my $payload ('1', '[]', '"x"', 'null') {
		my $lake2 = lake();
		ends_with(sink($lake2, record(0, payload => $payload), '-w', 'flat'), 65,
		    qr{TX/0: offset 0: the payload is not an object}, "$payload cannot be flat");
		ends_with(sink($lake2, record(0, payload => $payload), '-w', 'flat', '-r'), 1);
		is next_offset($lake2), 1;
	}
};

subtest 'every line of every shape is one JSON text in one line' => sub {
	for my $shape (qw(record payload flat)) {
		my $r = pipeline("txgen -q -R --marks -c 500 transactions | partition -q | jsonl-sink -q -w $shape @{[lake()]}");
		is $r->{exit}, 0;
		my @lines = split /\n/, lines_of("$dir/lake-$lakes");
		is scalar @lines, 500, "$shape: as many lines as records";
		is scalar(grep { ref(eval { json($_) }) eq 'HASH' } @lines), 500, "$shape: all of them objects";
	}
};

# ---- compression ----

subtest '-z gzip: the same lines, readable by zcat, at every level and with threads' => sub {
	my $stream = join '', map { record($_, path => "p/" . $_ % 3, payload => '"' . 'x' x (($_ * 7919) % 500) . '"') } 0 .. 2999;
	my $plain = lake();
	sink($plain, $stream);
	my $want = lines_of($plain);
	my %size;
	for my $args (['gzip'], ['gzip:1'], ['gzip:9'], ['gzip', '-j', '4'], ['gzip:6', '--size', '100k']) {
		my $lake = lake();
		ends_with(sink($lake, $stream, '-z', @$args), 0, undef, "@$args");
		my @files = data_files($lake);
		is scalar(grep { /\.jsonl\.gz$/ } @files), scalar @files, 'all are .jsonl.gz';
		is join('', sort split /^/, lines_of($lake)), join('', sort split /^/, $want), 'the same lines';
		my ($first) = journal($lake);
		cmp_ok $first->{add}[0]{raw}, '>', $first->{add}[0]{bytes};
		is $first->{add}[0]{bytes}, -s "$lake/$first->{add}[0]{file}";
		$size{"@$args"} += -s "$lake/$_" for @files;
		check_is_clean($lake);
	}
	cmp_ok $size{'gzip:9'}, '<', $size{'gzip:1'}, 'a higher level is smaller';
	is $size{gzip}, $size{'gzip -j 4'}, 'threads change nothing';
	ends_with(run('jsonl-sink', '-z', $_, lake()), 64, qr/compress/, "-z $_") for qw(gzip:0 gzip:10 zstd gzip: gzip6);
};

subtest '-z gzip: members of about 1 MiB, so that files split' => sub {
	my $lake = lake();
	my $stream = join '', map { record($_, payload => '"' . 'x' x 1000 . '"') } 0 .. 4999;
	sink($lake, $stream, '-z', 'gzip');
	my $bytes = slurp("$lake/streams/TX/00000001.jsonl.gz");
	my $members = () = $bytes =~ /\x1f\x8b\x08\x00\x00\x00\x00\x00/g;
	cmp_ok $members, '>=', 4;
	cmp_ok $members, '<=', 6;
};

# ---- names and positions ----

subtest '-Q prints the positions as marks, of all or some topics' => sub {
	my $lake = lake();
	sink($lake, records(0, 3) . records(0, 2, topic => 'AB', path => 'a') . record(7, partition => 1));
	my $ab = qq({"mark":{"kind":"position","topic":"AB","partition":0,"offset":2,"last":{"offset":1,"ts":1763697600001}}}\n);
	my $tx = qq({"mark":{"kind":"position","topic":"TX","partition":0,"offset":3,"last":{"offset":2,"ts":1763697600002}}}\n)
	    . qq({"mark":{"kind":"position","topic":"TX","partition":1,"offset":8,"last":{"offset":7,"ts":1763697600007}}}\n);
	is position($lake), $ab . $tx;
	is run('jsonl-sink', '-Q', $lake, 'TX')->{out}, $tx;
	is run('jsonl-sink', '-Q', $lake, 'AB', 'TX', 'none')->{out}, $ab . $tx;
	is run('jsonl-sink', '-Q', $lake, 'A')->{out}, '', 'no part of a name';
	is position($lake, '-m', 'overwrite'), '', 'of another name: none';
	is position("$lake/none"), '', 'of no lake: none';
	is position($lake, '-N', 'append'), $ab . $tx, 'the name of append is append';
	ok !-e "$lake/none", 'and nothing is made';
};

subtest '-N: each name has its own positions' => sub {
	my $lake = lake();
	sink($lake, records(0, 5));
	ends_with(sink($lake, records(0, 3, path => 'other'), '-N', "odd \"name\"\n\xc3\xa9"), 0);
	is_deeply [ map { $_->{offset} } json_lines(content($lake, 'other/00000002.jsonl')) ], [ 0, 1, 2 ];
	is next_offset($lake, '-N', "odd \"name\"\n\xc3\xa9"), 3;
	is next_offset($lake), 5;
	ends_with(run('jsonl-sink', '-N', '', $lake), 64, qr/name/, 'an empty name');
	ends_with(run('jsonl-sink', '-N', "\xff", $lake), 64, qr/name/, 'one that is no UTF-8');
	check_is_clean($lake);
};

subtest 'one name for two pipelines: the second is warned that it skips' => sub {
	my $lake = lake();
	sink($lake, records(0, 5));
	my $r = run('jsonl-sink', $lake, { stdin => records(0, 5, path => 'by-user/1') });
	ends_with($r, 0, qr{records for by-user/1 were skipped as stored, but the name "append" never wrote there.*-N});
	$r = run('jsonl-sink', $lake, { stdin => records(0, 5) });
	unlike $r->{err}, qr/never wrote/, 'no warning where it did';
};

subtest '-p: the path of lines that have none; without it they are bad data' => sub {
	my $lake = lake();
	ends_with(sink($lake, record(0, path => undef) . record(1)), 65, qr{stdin:1: TX/0: offset 0: no path: put partition});
	is position($lake), '', 'the position is where it was';
	ends_with(sink($lake, record(0, path => undef) . record(1), '-p', 'x/y'), 0);
	is_deeply [ data_files($lake) ], [ 'streams/TX/00000001.jsonl', 'x/y/00000001.jsonl' ];
	ends_with(run('jsonl-sink', '-p', $_, $lake), 64, undef, "-p '$_'") for '', '../x', '/x', 'a//b', '.x', 'a/..', 'x.jsonl', "\xff";
};

# ---- bad data and rejects ----

my @bad = ('', '[]', 'x', '{"a":', '{"a":1}}', '{"topic":"TX","offset":1,"payload":1}', "{\"a\":\"\xff\"}", '{"path":5,"payload":1}',
	'{"topic":"TX","partition":"0","offset":5,"payload":1}', '{"a":"\ud800"}');

subtest 'a bad line ends the run with 65; what came before is committed' => sub {
	for my $bad (@bad) {
		my $lake = lake();
		my $r = sink($lake, records(0, 3) . "$bad\n" . records(3, 6));
		ends_with($r, 65, qr/^jsonl-sink: stdin:4: /, $bad);
		is_deeply offsets($lake), [ 0 .. 2 ], 'before';
		is next_offset($lake), 3;
		is_deeply [ temp_files($lake) ], [];
	}
	my $lake = lake();
	sink($lake, records(0, 3) . "x\n");
	ends_with(sink($lake, records(0, 6)), 0);
	is_deeply offsets($lake), [ 0 .. 5 ], 'a rerun without the bad line goes on';
};

subtest 'what is no stream at all is told from one that was cut' => sub {
	my $lake = lake();
	ends_with(sink($lake, '{"path":"x","pay'), 65, qr/stdin:1: the last line is incomplete: what feeds this was cut short/);
	ends_with(sink($lake, "\x1f\x8b\x08\0\0"), 65, qr/stdin:1: not a JSON object$/);
	ends_with(sink($lake, "{\n  \"a\": 1\n}\n"), 65, qr/stdin:1: byte 2: the text ends too early \(one object a line: jq does so with -c\)$/);
	is run('partition', '-q', { stdin => "\x1f\x8b\x08\0\0" })->{err}, "partition: stdin:1: not a JSON object\n";
	like run('partition', '-q', { stdin => '{"topic' })->{err}, qr/the last line is incomplete/;
};

subtest '-Q says when there is nothing to print' => sub {
	my $lake = lake();
	my $r = run('jsonl-sink', '-Q', $lake);
	is $r->{exit}, 0;
	is $r->{out}, '';
	is $r->{err}, qq(jsonl-sink: $lake: has no positions of the name "append"\n);
	sink($lake, records(0, 3));
	is run('jsonl-sink', '-Q', $lake)->{err}, '';
	is run('jsonl-sink', '-Q', '-m', 'ignore', $lake)->{err}, qq(jsonl-sink: $lake: has no positions of the name "ignore"\n);
	is run('jsonl-sink', '-Q', '-q', '-N', 'x', $lake)->{err}, '';
	spew("$lake/file", '');
	is run(@$_, "$lake/file")->{exit}, 65, "@$_: a file is no lake" for ['jsonl-sink', '-Q'], ['jsonl-sink', '--check'], ['lakecat'];
};

subtest '-r keeps bad lines and goes on' => sub {
	my $lake = lake();
	my $r = run('jsonl-sink', '-r', $lake, { stdin => records(0, 3) . join('', map { "$_\n" } @bad) . records(3, 6) });
	my $n = @bad;
	my $in = $n + 6;
	ends_with($r, 1, qr/ $in records in, 6 stored, 0 skipped, $n rejected; 2 files in 1 commit; /);
	is_deeply offsets($lake), [ 0 .. 5 ];
	my @rejects = json_lines(content($lake, '_rejects/00000001.jsonl'));
	is scalar @rejects, $n;
	for my $i (0 .. $#bad) {
		ok length $rejects[$i]{reason}, "the reason of '$bad[$i]': $rejects[$i]{reason}";
		my $line = $rejects[$i]{line};
		if ($rejects[$i]{line_enc}) {
			is $rejects[$i]{line_enc}, 'base64';
			require MIME::Base64;
			$line = MIME::Base64::decode_base64($line);
		}
		is $line, $bad[$i], 'the line as it was';
	}
	is scalar(journal($lake)), 1, 'in the same commit';
	check_is_clean($lake);
};

subtest '-r: a reject whose place can be read moves the position, its time is known' => sub {
	my $lake = lake();
	my $broken = qq({"path":"x","topic":"TX","partition":0,"offset":3,"ts":77,"payload":{"a":}}\n);
	ends_with(sink($lake, records(0, 3) . $broken, '-r'), 1);
	is position($lake), qq({"mark":{"kind":"position","topic":"TX","partition":0,"offset":4,"last":{"offset":3,"ts":77}}}\n);
	is content($lake, '_rejects/00000001.jsonl'), qq({"reason":"byte 74: expected a value","topic":"TX","partition":0,"offset":3,)
	    . qq("line":"{\\"path\\":\\"x\\",\\"topic\\":\\"TX\\",\\"partition\\":0,\\"offset\\":3,\\"ts\\":77,\\"payload\\":{\\"a\\":}}"}\n);
	ends_with(sink($lake, records(0, 3) . $broken, '-r'), 0, undef, 'the same again: all of it is stored');
	ends_with(sink($lake, $broken . record(4)), 0, undef, 'also without -r');
	is_deeply offsets($lake), [ 0, 1, 2, 4 ];
	is scalar(grep { /^_rejects/ } data_files($lake)), 1;
	check_is_clean($lake);
};

subtest '--reject-path: elsewhere, and implies -r' => sub {
	my $lake = lake();
	ends_with(sink($lake, "x\n", '--reject-path', 'bad/lines', '-z', 'gzip'), 1);
	is_deeply [ data_files($lake) ], ['bad/lines/00000001.jsonl.gz'];
	ends_with(run('jsonl-sink', '--reject-path', '../x', $lake), 64);
};

subtest 'gaps, order and recreated topics are never rejects' => sub {
	my %case = (
		gap => [ record(12, payload => '{"a":}'), qr/gap: the stream starts at offset 12, but the stored position is 10/ ],
		order => [ record(10) . record(11) . record(10, path => '/etc'), qr/offset 10 comes after 11/ ],
		recreated => [ record(9, ts => 5, path => '../x'), qr/made anew/ ],
		mark => [ qq({"mark":{"kind":"position","topic":"TX"}}\n), qr/a mark without topic, partition or offset/ ],
		'half a mark' => [ qq({"mark":{"kind":"pos\n), qr/stdin:1:/ ],
	);
	for my $what (sort keys %case) {
		my $lake = lake();
		sink($lake, records(0, 10));
		ends_with(sink($lake, $case{$what}[0], '-r'), 65, $case{$what}[1], $what);
		is next_offset($lake), 10, 'nothing moves';
		is_deeply offsets($lake), [ 0 .. 9 ], 'nothing is stored';
		is_deeply [ grep { /_rejects/ } data_files($lake) ], [];
	}
};

subtest 'an incomplete last line is 65, never a reject; a whole one counts' => sub {
	for my $args ([], ['-r']) {
		for my $cut (1, 20, 60, 100, 120) {
			my $lake = lake();
			my $r = sink($lake, records(0, 3) . substr(record(3), 0, $cut), @$args);
			ends_with($r, 65, qr/stdin:4: the last line is incomplete: what feeds this was cut short/, "@$args cut at $cut");
			is next_offset($lake), 3, 'what came before is committed';
			is_deeply [ grep { /_rejects/ } data_files($lake) ], [];
			ends_with(sink($lake, records(0, 5)), 0);
			is_deeply offsets($lake), [ 0 .. 4 ], 'the rerun has it whole';
		}
		my $lake = lake();
		ends_with(sink($lake, records(0, 3) . substr(record(3), 0, -1), @$args), 0, undef, 'without its newline only');
		is_deeply offsets($lake), [ 0 .. 3 ];
	}
	my $lake = lake();
	sink($lake, records(0, 5));
	ends_with(sink($lake, substr(records(0, 3), 0, -5)), 65, qr/incomplete/, 'also when it would have been skipped');
	ends_with(sink(lake(), "x", '-r', '-p', 'p'), 65, qr/stdin:1: not a JSON object$/, 'what no tool of ours began is none either');
};

# ---- what is noticed ----

subtest 'a gap is 65 until it is allowed' => sub {
	my $lake = lake();
	sink($lake, records(0, 10));
	ends_with(sink($lake, records(15, 20)), 65, qr{stdin:1: TX/0: gap: the stream starts at offset 15, but the stored position is 10: 5 offsets});
	ends_with(sink($lake, whole(15, 20)), 65, qr/gap/, 'by its start mark');
	ends_with(sink($lake, mark('position', 15) . mark('end', 0)), 65, qr/there is no start mark/, 'by a position mark');
	is next_offset($lake), 10;
	ends_with(sink($lake, mark('start', 10) . records(15, 20)), 0, undef, 'a start mark bridges what was compacted');
	is_deeply offsets($lake), [ 0 .. 9, 15 .. 19 ];
	ends_with(sink($lake, records(25, 26), '--allow-gap'), 0);
	is next_offset($lake), 26;
};

subtest 'a gap in one partition keeps the others back too' => sub {
	my $lake = lake();
	sink($lake, records(0, 5) . records(0, 5, partition => 1));
	ends_with(sink($lake, records(5, 9) . records(6, 9, partition => 1)), 65, qr{TX/1: gap});
	is_deeply [ map { /"offset":(\d+),"last"/ } split /\n/, position($lake) ], [ 5, 5 ];
};

subtest 'what is committed before an error of order stays, the rest goes' => sub {
	my $lake = lake();
	ends_with(sink($lake, records(0, 500) . records(490, 520), '--size', '10k'), 65, qr/offset 490 comes after 499: is there a sort/);
	my $next = next_offset($lake);
	cmp_ok $next, '>', 0;
	cmp_ok $next, '<=', 500;
	is_deeply offsets($lake), [ 0 .. $next - 1 ];
	is_deeply [ temp_files($lake) ], [];
};

subtest 'a recreated topic is noticed by the time of the last record, and by its end' => sub {
	my $lake = lake();
	sink($lake, records(0, 10));
	ends_with(sink($lake, records(0, 20, ts => 5)), 65, qr{TX/0: offset 9: the record there has ts 5, the one stored had 1763697600009});
	ends_with(sink($lake, whole(0, 5, ts => 5)), 65, qr{TX/0: the topic ends at 5, below the stored position 10});
	my $r = run('jsonl-sink', $lake, { stdin => records(0, 5) });
	ends_with($r, 0, qr{TX/0: the stream ends at offset 4, below the stored position 10}, 'without marks a warning');
	is_deeply offsets($lake), [ 0 .. 9 ];
	is next_offset($lake), 10;
};

subtest '--recreated begins anew, once' => sub {
	my $lake = lake();
	sink($lake, records(0, 10));
	my $new = whole(0, 20, ts => 5);
	ends_with(sink($lake, $new, '--recreated'), 0);
	is_deeply offsets($lake), [ 0 .. 9, 0 .. 19 ];
	is next_offset($lake), 20;
	ends_with(sink($lake, $new, '--recreated'), 65, qr/is stored already/, 'the same line again repeats nothing');
	is_deeply offsets($lake), [ 0 .. 9, 0 .. 19 ];
	ends_with(sink($lake, whole(0, 4, ts => 7), '--recreated'), 0, undef, 'a shorter topic, whole');
	is next_offset($lake), 4;
	ends_with(sink($lake, records(0, 2, ts => 8), '--recreated'), 65, qr/before --recreated could be checked/, 'a stream without marks that ends too early');
	is next_offset($lake), 4;
	check_is_clean($lake);
};

subtest '--recreated commits nothing before it is proven' => sub {
	my $lake = lake();
	sink($lake, records(0, 100));
	my $p = open_sink($lake, '--recreated', '-i', '0.1', '--size', '1k');
	give($p, records(0, 90, ts => 5));
	taken($p);
	sleep 0.4;
	is next_offset($lake), 100;
	kill 'KILL', $p->{pid};
	done($p);
	$p = open_sink($lake, '--recreated');
	give($p, records(0, 90, ts => 5));
	taken($p);
	kill 'TERM', $p->{pid};
	ends_with(done($p), 0, undef, 'TERM is no failure');
	is_deeply offsets($lake), [ 0 .. 99 ];
};

subtest 'a stream with marks but no end is warned about in append' => sub {
	my $lake = lake();
	my $r = run('jsonl-sink', $lake, { stdin => mark('start', 0) . records(0, 3) });
	ends_with($r, 0, qr/the stream has marks but no end mark/);
	is next_offset($lake), 3;
	$r = run('jsonl-sink', $lake, { stdin => whole(3, 5) });
	unlike $r->{err}, qr/end mark/;
};

subtest 'position marks move the position over what is no record' => sub {
	my $lake = lake();
	ends_with(sink($lake, mark('start', 0) . records(0, 3) . mark('position', 8) . mark('end', 3)), 0);
	is position($lake), qq({"mark":{"kind":"position","topic":"TX","partition":0,"offset":8,"last":{"offset":2,"ts":1763697600002}}}\n);
	ends_with(sink($lake, whole(8, 8)), 0, undef, 'an idle run');
	is scalar(journal($lake)), 1, 'writes nothing';
	ends_with(sink($lake, mark('start', 8) . mark('position', 9) . mark('end', 0)), 0);
	is next_offset($lake), 9;
	check_is_clean($lake);
};

# ---- overwrite ----

subtest 'overwrite: each path becomes one snapshot, other data files of it go' => sub {
	my $lake = lake();
	sink($lake, records(0, 3, path => 'tables/A') . records(0, 3, partition => 1, path => 'tables/B'));
	ends_with(sink($lake, whole(0, 5, path => 'tables/A'), '-m', 'overwrite'), 0);
	is_deeply [ data_files($lake) ], [ 'tables/A/snapshot.jsonl', 'tables/B/00000001.jsonl' ];
	is content($lake, 'tables/A/snapshot.jsonl'), stored(records(0, 5));
	is_deeply [ sort @{ (journal($lake))[1]{remove} } ], ['tables/A/00000001.jsonl'];
	ends_with(sink($lake, whole(0, 7, path => 'tables/A'), '-m', 'overwrite'), 0, undef, 'again: it skips nothing');
	is content($lake, 'tables/A/snapshot.jsonl'), stored(records(0, 7));
	ends_with(sink($lake, whole(0, 7, path => 'tables/A'), '-m', 'overwrite', '-z', 'gzip'), 0);
	is_deeply [ data_files($lake) ], [ 'tables/A/snapshot.jsonl.gz', 'tables/B/00000001.jsonl' ];
	is content($lake, 'tables/A/snapshot.jsonl.gz'), stored(records(0, 7));
	check_is_clean($lake);
};

subtest 'overwrite: without the end mark nothing is published' => sub {
	my $lake = lake();
	sink($lake, whole(0, 5), '-m', 'overwrite');
	for my $stream (records(0, 9), mark('start', 0) . records(0, 9), mark('start', 0) . records(0, 9) . mark('position', 9),
		mark('start', 0) . mark('end', 0) . records(0, 9), whole(0, 5) . qq({"path":"streams/TX","late":1}\n), '')
	{
		ends_with(sink($lake, $stream, '-m', 'overwrite'), 65, qr/no end mark: nothing was published/);
		is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 5));
		is next_offset($lake, '-m', 'overwrite'), 5;
		is_deeply [ temp_files($lake) ], [];
	}
	ends_with(sink($lake, records(0, 3) . "bad\n" . records(3, 9), '-m', 'overwrite'), 65, qr/stdin:4:/, 'a bad line');
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 5));
	check_is_clean($lake);
};

subtest 'overwrite: --trust-eof for streams without marks' => sub {
	my $lake = lake();
	ends_with(sink($lake, records(0, 9), '-m', 'overwrite', '--trust-eof'), 0);
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 9));
	ends_with(sink($lake, mark('start', 0) . records(0, 5), '-m', 'overwrite', '--trust-eof'), 65, qr/no end mark/, 'marks without an end are not trusted');
	ends_with(sink($lake, records(0, 3) . substr(record(3), 0, 50), '-m', 'overwrite', '--trust-eof'), 65, qr/incomplete/);
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 9));
	my $p = open_sink($lake, '-m', 'overwrite', '--trust-eof', { out => '/dev/null' });
	give($p, records(0, 2));
	taken($p);
	kill 'TERM', $p->{pid};
	is done($p)->{exit}, 0, 'TERM is no end';
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 9));
};

subtest 'overwrite: --root makes an empty snapshot when nothing came' => sub {
	my $lake = lake();
	sink($lake, whole(0, 5, path => 'tables/A'), '-m', 'overwrite', '--root', 'tables/A', '--root', 'tables/B');
	is -s "$lake/tables/A/snapshot.jsonl", length stored(records(0, 5));
	is -s "$lake/tables/B/snapshot.jsonl", 0;
	sink($lake, mark('start', 5) . mark('position', 5) . mark('end', 0), '-m', 'overwrite', '-z', 'gzip', '--root', 'tables/A');
	is_deeply [ grep { /A/ } data_files($lake) ], ['tables/A/snapshot.jsonl.gz'];
	is content($lake, 'tables/A/snapshot.jsonl.gz'), '', 'an empty one is valid gzip';
	check_is_clean($lake);
	ends_with(run('jsonl-sink', '--root', 'x', $lake), 64, qr/-m overwrite/, 'append has no roots');
	ends_with(run('jsonl-sink', '-m', 'overwrite', '--root', '../x', $lake), 64);
	ends_with(run('jsonl-sink', '-m', 'overwrite', (map { ('--root', "r$_") } 1 .. 1025), $lake), 64, qr/--root: more than \d+/);
};

subtest 'overwrite: rejects of others stay' => sub {
	my $lake = lake();
	sink($lake, records(0, 3) . "x\n", '-r');
	ends_with(sink($lake, mark('start', 0) . "y\n" . records(0, 3, path => 'z') . mark('position', 3) . mark('end', 3), '-m', 'overwrite', '-r'), 1);
	is_deeply [ data_files($lake) ], [ '_rejects/00000001.jsonl', '_rejects/00000002.jsonl', 'streams/TX/00000001.jsonl', 'z/snapshot.jsonl' ];
	check_is_clean($lake);
};

subtest 'overwrite: a directory that is named like a file stays, a name that is no UTF-8 is refused' => sub {
	my $lake = lake();
	make_path("$lake/streams/TX/odd.jsonl");
	ends_with(sink($lake, whole(0, 5), '-m', 'overwrite'), 0);
	ok -d "$lake/streams/TX/odd.jsonl";
	spew("$lake/streams/TX/\xff.jsonl", '');
	ends_with(sink($lake, whole(0, 6), '-m', 'overwrite'), 73, qr/no UTF-8/);
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 5));
};

# A file system in memory makes a thousand replacements a matter of seconds.
subtest 'overwrite: who opens snapshot.jsonl reads one whole version, whenever' => sub {
	my $shm = memory_dir();
	my $lake = "$shm/lake";
	my $rounds = sanitized() ? 200 : 1000;
	my $version = sub {
		my ($n) = @_;
		my $count = 50 + $n % 100;
		return ($count, join '', map { qq({"path":"t","v":$n,"of":$count,"pad":") . 'x' x 200 . qq("}\n) } 1 .. $count);
	};
	sink($lake, ($version->(0))[1], '-m', 'overwrite', '--trust-eof');
	pipe my $from, my $to or die;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		my ($reads, $bad, %seen) = (0, '');
		until (-e "$shm/stop") {
			my @lines = split /\n/, eval { slurp("$lake/t/snapshot.jsonl") } // "$@";
			my ($v, $of) = ($lines[0] // '') =~ /^\{"v":(\d+),"of":(\d+),/ or $bad = "begins with '$lines[0]'";
			last if $bad;
			my $same = grep { /^\{"v":$v,.*\}$/ } @lines;
			$bad = sprintf 'version %d has %d lines of %d, %d its own', $v, scalar @lines, $of, $same if @lines != $of || $same != $of;
			last if $bad;
			$reads++;
			$seen{$v} = 1;
		}
		print $to to_json({ reads => $reads, versions => scalar keys %seen, bad => $bad });
		close $to;
		POSIX::_exit(0);
	}
	close $to;
	spew("$shm/$_", ($version->($_))[1]) for 1 .. $rounds;
	my $r = run('bash', '-c', "for i in {1..$rounds}; do jsonl-sink -q -m overwrite --trust-eof $lake <$shm/\$i || exit; done", { timeout => 300 });
	ends_with($r, 0, undef, "$rounds replacements");
	spew("$shm/stop", '');
	my $seen = json(join '', <$from>);
	waitpid $pid, 0;
	is $seen->{bad}, '', 'always one whole version';
	cmp_ok $seen->{reads}, '>', $rounds, "$seen->{reads} reads";
	cmp_ok $seen->{versions}, '>', $rounds / 10, "of $seen->{versions} versions";
	is scalar(data_files($lake)), 1;
	check_is_clean($lake);
};

subtest 'overwrite: an upstream or a sink that is killed never replaces a snapshot' => sub {
	my $lake = lake();
	sink($lake, whole(0, 5), '-m', 'overwrite');
	my $old = content($lake, 'streams/TX/snapshot.jsonl');
	for my $victim (qw(upstream sink)) {
		for my $round (1 .. 5) {
			pipe my $in, my $out or die;
			my $up = fork // die;
			if (!$up) {
				close $in;
				$out->autoflush(1);
				print $out mark('start', 0);
				for (my $o = 0;; $o++) { print $out record($o) or POSIX::_exit(1) }
			}
			close $out;
			my $p = spawn('jsonl-sink', '-q', '-m', 'overwrite', $lake, { stdin => $in });
			close $in;
			sleep 0.02 * $round;
			kill 'KILL', $victim eq 'upstream' ? $up : $p->{pid};
			my $r = finish($p);
			waitpid $up, 0;
			is $r->{exit}, $victim eq 'upstream' ? 65 : 137, "$victim killed";
			is content($lake, 'streams/TX/snapshot.jsonl'), $old;
		}
	}
	ends_with(sink($lake, whole(0, 6), '-m', 'overwrite'), 0);
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 6));
	is_deeply [ temp_files($lake) ], [], 'nothing is left of the killed';
};

# ---- ignore ----

subtest 'ignore: paths with files are left alone, the others become snapshots' => sub {
	my $lake = lake();
	sink($lake, records(0, 3, path => 'a'));
	my $stream = mark('start', 0) . records(0, 2, path => 'a') . records(2, 4, path => 'b') . mark('position', 4) . mark('end', 4);
	my $r = run('jsonl-sink', '-m', 'ignore', $lake, { stdin => $stream });
	ends_with($r, 0, qr/4 records in, 2 stored, 2 skipped/);
	is_deeply [ data_files($lake) ], [ 'a/00000001.jsonl', 'b/snapshot.jsonl' ];
	my $b = content($lake, 'b/snapshot.jsonl');
	ends_with(sink($lake, $stream =~ s/"n":2/"n":9/r, '-m', 'ignore'), 0);
	is content($lake, 'b/snapshot.jsonl'), $b;
	ends_with(sink($lake, records(0, 1, path => 'c'), '-m', 'ignore'), 65, qr/no end mark/);
	ok !-e "$lake/c/snapshot.jsonl";
	ends_with(sink($lake, mark('start', 4) . mark('position', 4) . mark('end', 0), '-m', 'ignore', '--root', 'a', '--root', 'd'), 0);
	is_deeply [ data_files($lake) ], [ 'a/00000001.jsonl', 'b/snapshot.jsonl', 'd/snapshot.jsonl' ];
	check_is_clean($lake);
};

subtest 'ignore: who comes second in a race gives up' => sub {
	my $lake = lake();
	my $p = open_sink($lake, '-m', 'ignore', { out => '/dev/null' });
	give($p, mark('start', 0) . records(0, 3));
	wait_until(10, 'a temporary file', sub { temp_files($lake) });
	sink($lake, whole(0, 5, topic => 'TY'), '-m', 'ignore', '-N', 'other');
	give($p, mark('position', 3) . mark('end', 3));
	my $r = done($p);
	ends_with($r, 75, qr/another writer stored data there/);
	is content($lake, 'streams/TX/snapshot.jsonl'), stored(records(0, 5, topic => 'TY'));
};

# ---- signals, pipes, full outputs ----

subtest 'TERM and INT: append commits all it has and acknowledges it' => sub {
	for (['TERM', 0], ['INT', 130]) {
		my ($signal, $exit) = @$_;
		my $lake = lake();
		my $p = open_sink($lake, '-a');
		give($p, records(0, 1000) . substr(record(1000), 0, 50));
		taken($p);
		kill $signal, $p->{pid};
		like readline($p->{from}), qr/"offset":1000,/, "$signal: acknowledged";
		my $r = finish($p);
		is $r->{exit}, $exit, "$signal: exit status";
		is $r->{err}, '';
		is_deeply offsets($lake), [ 0 .. 999 ];
		is_deeply [ temp_files($lake) ], [];
		is_deeply [ grep { m{writers/} } all_files($lake) ], [];
		check_is_clean($lake);
	}
};

subtest 'TERM and INT: overwrite and ignore before the end keep nothing' => sub {
	for my $mode (qw(overwrite ignore)) {
		for (['TERM', 0], ['INT', 130]) {
			my ($signal, $exit) = @$_;
			my $lake = lake();
			my $p = open_sink($lake, '-m', $mode, { out => '/dev/null' });
			give($p, mark('start', 0) . records(0, 100));
			wait_until(10, 'a temporary file', sub { temp_files($lake) });
			kill $signal, $p->{pid};
			is finish($p)->{exit}, $exit, "$mode, $signal";
			is_deeply [ all_files($lake) ], [ '.sluice/journal', '.sluice/lock' ], 'nothing is left';
		}
	}
};

subtest 'TERM ends a sink whose input never runs dry' => sub {
	my $lake = lake();
	pipe my $in, my $out or die;
	my $up = fork // die;
	if (!$up) {
		close $in;
		for (my $o = 0;; $o++) { print $out record($o) or POSIX::_exit(1) }
	}
	close $out;
	my $p = spawn('jsonl-sink', '-q', $lake, { stdin => $in });
	close $in;
	wait_until(10, 'a temporary file', sub { temp_files($lake) });
	kill 'TERM', $p->{pid};
	my $r = finish($p, 20);
	kill 'KILL', $up;
	waitpid $up, 0;
	is $r->{exit}, 0;
	my $next = next_offset($lake);
	cmp_ok $next, '>', 0;
	is scalar(@{ offsets($lake) }), $next;
};

subtest 'the reader of acknowledgements goes away: by SIGPIPE, and what was committed stays' => sub {
	my $lake = lake();
	my $p = open_sink($lake, '-a', '-i', '0.1');
	give($p, records(0, 3));
	like readline($p->{from}), qr/"offset":3,/;
	close $p->{from};
	give($p, records(3, 6));
	my $r = finish($p, 10);
	is $r->{signal}, POSIX::SIGPIPE();
	is $r->{err}, '', 'quietly';
	is_deeply offsets($lake), [ 0 .. 5 ], 'the commit stands';
	is_deeply [ temp_files($lake) ], [];
	check_is_clean($lake);
};

subtest 'a full output is 74, and the commit stands' => sub {
	my $lake = lake();
	ends_with(sink($lake, records(0, 3), '-a', { out => '/dev/full' }), 74, qr/stdout: No space/);
	is next_offset($lake), 3;
	ends_with(run('jsonl-sink', '-Q', $lake, { out => '/dev/full' }), 74, qr/stdout: No space/);
	ends_with(sink($lake, records(0, 3), { out => '/dev/full' }), 0, undef, 'nothing to say, no error');
};

subtest 'an acknowledgement that fails under way ends the run, and is said once' => sub {
	my $lake = lake();
	my $r = sink($lake, records(0, 3), '-q', '-a', '--size', 1, { out => '/dev/full' });
	is $r->{exit}, 74;
	is $r->{err}, "jsonl-sink: stdout: No space left on device\n";
	is next_offset($lake), 1, 'the commit stands, and is the last';
};

# ---- other writers ----

subtest 'two sinks of one name: the one that comes late is fenced with 75' => sub {
	my $lake = lake();
	my $p = open_sink($lake, '-a');
	give($p, records(0, 3));
	wait_until(10, 'a temporary file', sub { temp_files($lake) });
	ends_with(sink($lake, records(0, 5)), 0);
	my $r = done($p);
	ends_with($r, 75, qr{TX/0: another writer of the name "append" moved the position from 0 to 5});
	is_deeply offsets($lake), [ 0 .. 4 ];
	is scalar(readline $p->{from}), undef, 'no acknowledgement';
	is_deeply [ temp_files($lake) ], [];
	check_is_clean($lake);
};

subtest 'sinks of different topics and names share a lake' => sub {
	my $lake = lake();
	my @p = map { my $n = $_; spawn('jsonl-sink', '-q', '--size', '5k', '-N', $n % 2 ? 'append' : "n$n", $lake,
		{ stdin => records(0, 500, topic => "T$n", path => 'shared/' . $n % 3) }) } 0 .. 5;
	is finish($_)->{exit}, 0 for @p;
	my %count;
	$count{$_->{topic}}++ for json_lines(lines_of($lake));
	is_deeply \%count, { map { ("T$_" => 500) } 0 .. 5 };
	check_is_clean($lake);
};

subtest 'a lock that another holds: 75 after the timeout' => sub {
	my $lake = lake();
	sink($lake, records(0, 3));
	open my $lock, '<', "$lake/.sluice/lock" or die;
	flock $lock, 2 or die;
	my $r = sink($lake, records(3, 5), '--timeout', '0.5');
	ends_with($r, 75, qr{/\.sluice/lock: another writer});
	cmp_ok $r->{sec}, '>=', 0.5;
	cmp_ok $r->{sec}, '<', 5;
	$r = sink($lake, records(3, 5), '--timeout', '0');
	ends_with($r, 75, undef, 'no waiting at all');
	cmp_ok $r->{sec}, '<', 5;
	my $p = spawn('jsonl-sink', '-q', $lake, { stdin => records(3, 5) });
	sleep 0.5;
	is next_offset($lake), 3, 'readers need no lock';
	check_is_clean($lake, 'nor does --check');
	close $lock;
	is finish($p)->{exit}, 0, 'it goes on when the lock is free';
	is next_offset($lake), 5;
};

subtest 'a sink that was killed: the next one removes its temporary files, not those of the living' => sub {
	my $lake = lake();
	my ($dead, $alive) = map { open_sink($lake, '-N', $_, { out => '/dev/null' }) } qw(dead alive);
	give($dead, records(0, 3, path => 'dead/1') . records(3, 6, path => 'dead/2'));
	give($alive, records(0, 3, path => 'alive'));
	wait_until(10, 'temporary files', sub { temp_files($lake) == 3 });
	kill 'KILL', $dead->{pid};
	done($dead);
	is scalar(temp_files($lake)), 3;
	ends_with(sink($lake, records(0, 1), '-v', { }), 0, qr/swept the temporary files of writer/);
	is_deeply [ map { m{^alive/\.} } temp_files($lake) ], [1];
	is done($alive)->{exit}, 0;
	is content($lake, 'alive/00000002.jsonl'), stored(records(0, 3, path => 'alive'));
	is_deeply [ grep { m{writers/} } all_files($lake) ], [];
	check_is_clean($lake);
};

# ---- paths ----

subtest 'hostile paths are bad data, and nothing leaves the lake' => sub {
	my $lake = lake();
	make_path("$dir/outside");
	my @hostile = ('../outside', 'a/../../outside', "$dir/outside", '/', '', '.', '..', './a', 'a/.', 'a//b', 'a/', '.hidden', 'a/.hidden',
		'.sluice', '.sluice/writers', 'a\u0000b', 'x' x 256, join('/', ('y' x 200) x 20), 'z' x 10000, 'a.jsonl', 'a.jsonl.gz/b');
	for my $path (@hostile) {
		my $name = length $path > 40 ? substr($path, 0, 40) . '...' : $path;
		my $r = sink($lake, record(0, path => $path));
		ends_with($r, 65, qr{stdin:1: TX/0: offset 0: }, "'$name'");
	}
	is position($lake), '';
	my $stream = join '', map { record($_, path => $hostile[$_]) } 0 .. $#hostile;
	ends_with(sink($lake, $stream, '-r'), 1);
	is next_offset($lake), scalar @hostile;
	is_deeply [ all_files($lake) ], [ '.sluice/journal', '.sluice/lock', '_rejects/00000001.jsonl' ];
	my @rejects = json_lines(content($lake, '_rejects/00000001.jsonl'));
	is_deeply [ map { $_->{offset} } @rejects ], [ 0 .. $#hostile ];
	is_deeply [ all_files("$dir/outside") ], [];
};

subtest 'odd paths that are fine' => sub {
	my $lake = lake();
	my @fine = ("caf\xc3\xa9/\xf0\x9f\x98\x80", 'a b', 'a:b=c%2F', '-rf', '*', 'x' x 255, 'a\nb', '"q"\\\\', 'sluice', '~', 'con.', '...' x 0 . 'd..');
	@fine = map { s/^"q"/\\"q\\"/r } @fine;
	my $stream = join '', map { record($_, path => $fine[$_]) } 0 .. $#fine;
	ends_with(sink($lake, $stream), 0);
	is scalar(data_files($lake)), scalar @fine;
	check_is_clean($lake);
	ends_with(sink($lake, $stream), 0, undef, 'the journal reads them back');
	my $r = run('jq', '-r', '.add[].file', "$lake/.sluice/journal");
	is scalar(() = $r->{out} =~ /00000001/g), scalar @fine;
};

subtest 'symbolic links and files in the way are bad data, never followed' => sub {
	my $lake = lake();
	make_path("$lake/real", "$dir/out");
	symlink "$dir/out", "$lake/link";
	symlink 'real', "$lake/inner";
	spew("$lake/file", 'x');
	for my $path (qw(link link/sub inner inner/sub file file/sub)) {
		my $what = $path =~ /^file/ ? 'a file' : 'a symbolic link';
		ends_with(sink($lake, record(0, path => $path)), 65, qr{$path: $what is in the way}, $path);
		ends_with(sink($lake, record(0, path => $path), '-r', '-N', $path), 1, undef, "$path is a reject with -r");
	}
	is_deeply [ all_files("$dir/out") ], [];
	is_deeply [ grep { /^(link|inner|real)/ } data_files($lake) ], [ 'inner', 'link' ];
	is slurp("$lake/file"), 'x';
};

subtest 'a symbolic link for .sluice is not followed' => sub {
	my $lake = lake();
	make_path($lake, "$dir/elsewhere");
	symlink "$dir/elsewhere", "$lake/.sluice";
	ends_with(sink($lake, record(0)), 73, qr/\.sluice/);
	is_deeply [ all_files("$dir/elsewhere") ], [];
};

subtest 'a mount point in the lake is not crossed' => sub {
	plan skip_all => 'needs root' if $>;
	my $lake = lake();
	make_path("$lake/mounted");
	my $r = run('unshare', '-m', 'sh', '-c', "mount -t tmpfs none $lake/mounted && exec jsonl-sink -q $lake", { stdin => record(0, path => 'mounted/x') });
	if ($r->{err} =~ /unshare|mount:/) {
		die "CI needs mount: $r->{err}" if $ENV{CI};
		plan skip_all => 'cannot mount';
	}
	ends_with($r, 65, qr/a mount point is in the way/);
};

# ---- rights, places, disks ----

# Runs it as nobody when we are root: rights mean nothing to root.
sub as_nobody { return $> ? @_ : ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', @_) }

subtest 'missing rights are 77, a place that cannot be is 73' => sub {
	my $probe = run(as_nobody('test', '-r', tool('jsonl-sink')));
	plan skip_all => 'nobody cannot run the build' if $probe->{exit};
	make_path("$dir/ro", "$dir/foreign");
	chmod 0555, "$dir/ro";
	chmod 0700, "$dir/foreign";
	my @sink = as_nobody('jsonl-sink', '-q');
	ends_with(run(@sink, "$dir/ro/new", { stdin => record(0) }), 77, qr{$dir/ro/new: Permission denied}, 'DIR in a read-only directory');
	ends_with(run(@sink, "$dir/ro", { stdin => record(0) }), 77, qr/Permission denied/, 'DIR itself is read-only');
	ends_with(run(@sink, "$dir/foreign", { stdin => record(0) }), 77, qr/Permission denied/, 'a foreign DIR') if !$>;
	my $lake = lake();
	sink($lake, records(0, 3));
	if (!$>) {
		ends_with(run(@sink, $lake, { stdin => records(3, 5) }), 77, qr/Permission denied/, 'a foreign lake');
		is run(as_nobody('jsonl-sink', '-Q'), $lake)->{exit}, 0, 'reading it is fine';
		is run(as_nobody('jsonl-sink', '--check'), $lake)->{exit}, 0;
		run('chown', '-R', '65534:65534', $lake);
	}
	chmod 0555, "$lake/streams/TX";
	ends_with(run(@sink, $lake, { stdin => records(3, 5) }), 77, qr{streams/TX}, 'a path that may not be written');
	is next_offset($lake), 3;
	chmod 0755, "$lake/streams/TX";
	is run(@sink, $lake, { stdin => records(3, 5) })->{exit}, 0;
	chmod 0000, "$lake/.sluice/journal";
	ends_with(run(as_nobody('jsonl-sink', '-Q'), $lake), 77, undef, 'a journal that may not be read');
	ends_with(sink("$dir/none/lake", record(0)), 73, qr{$dir/none/lake: No such file}, 'the parent is missing');
	spew("$dir/plain", '');
	ends_with(sink("$dir/plain", record(0)), 73, qr/Not a directory/, 'DIR is a file');
	ends_with(sink("$dir/plain/lake", record(0)), 73, undef, 'below a file');
};

sub on_tmpfs
{
	my ($size, $code) = @_;
	my $mount = "$dir/small-" . ++$lakes;
	make_path($mount);
	my $r = $> ? { exit => 1 } : run('mount', '-t', 'tmpfs', '-o', "size=$size", 'none', $mount);
	if ($r->{exit}) {
		die "CI needs a tmpfs: $r->{err}" if $ENV{CI};
		plan skip_all => 'cannot mount a tmpfs';
	}
	eval { $code->("$mount/lake"); 1 } or diag $@;
	my $failed = $@;
	run('umount', '-l', $mount);
	die $failed if $failed;
	return;
}

subtest 'a full disk is 74, nothing half is seen, and when there is room again the run goes on' => sub {
	on_tmpfs('1m', sub {
		my ($lake) = @_;
		sink($lake, records(0, 100));
		spew("$lake-ballast", 'x' x 400_000);
		my $stream = join '', map { record($_, payload => '"' . 'x' x 1000 . '"') } 100 .. 999;
		for my $args ([], ['-z', 'gzip:1', '--size', '100k'], ['--size', '50k'], ['--size', '1k']) {
			my $stream2 = $args->[0] && $args->[0] eq '-z'
			    ? join('', map { record($_, payload => '"' . join('', map { chr(97 + rand 26) } 1 .. 2000) . '"') } 100 .. 999) : $stream;
			my $r = sink($lake, records(0, 100) . $stream2, @$args);
			ends_with($r, 74, qr/No space left/, "@$args");
			is_deeply [ temp_files($lake) ], [], 'temporary files are removed';
			my $next = next_offset($lake);
			is_deeply offsets($lake), [ 0 .. $next - 1 ], "up to $next";
			check_is_clean($lake);
			last if $next > 100;
		}
		unlink "$lake-ballast";
		run('mount', '-o', 'remount,size=4m', $lake =~ s{/lake$}{}r);
		my $r = sink($lake, records(0, 100) . $stream);
		ends_with($r, 0);
		is_deeply offsets($lake), [ 0 .. 999 ];
		check_is_clean($lake);
	});
};

subtest 'a disk so full that no lake fits' => sub {
	on_tmpfs('16k', sub {
		my ($lake) = @_;
		my $ballast = "$lake-ballast";
		open my $f, '>', $ballast or die "$ballast: $!";
		1 while syswrite $f, 'x' x 4096;
		close $f;
		ends_with(sink($lake, record(0)), 74, qr/No space left/);
		is next_offset($lake), undef;
		unlink $ballast;
		ends_with(sink($lake, record(0)), 0);
	});
};

# ---- damage ----

sub damaged
{
	my (@args) = @_;
	my $lake = lake();
	sink($lake, records(0, 50) . records(0, 50, partition => 1, path => 'streams/TY'), '--size', '4k', @args);
	return $lake;
}

sub flip { my ($file, $at, $bit) = @_; my $b = slurp($file); substr($b, $at, 1) ^= chr(1 << $bit); spew($file, $b); return }

subtest 'a torn journal line is ignored by readers and cut by the next writer' => sub {
	my $lake = damaged();
	my $journal = slurp("$lake/.sluice/journal");
	my $want = position($lake);
	for my $tail ('{"commit":99', '{"commit":99,"x":1,"crc":"00000000"}' . "\n", "\0" x 100, "\n", '{"file":"never/00000099.jsonl"') {
		spew("$lake/.sluice/journal", $journal, $tail);
		is position($lake), $want, 'ignored';
		check_is_clean($lake);
		is slurp("$lake/.sluice/journal"), $journal . $tail, 'readers change nothing';
		ends_with(sink($lake, ''), 0);
		is slurp("$lake/.sluice/journal"), $journal, 'cut';
	}
};

subtest 'rot anywhere in the journal stops writers and readers' => sub {
	my $lake = damaged();
	my $journal = slurp("$lake/.sluice/journal");
	srand 42;
	for (1 .. 15) {
		my $at = int rand length $journal;
		flip("$lake/.sluice/journal", $at, int rand 8);
		my $bad = slurp("$lake/.sluice/journal");
		my $r = sink($lake, records(50, 60));
		ends_with($r, 65, qr{\.sluice/journal: line \d+ \(byte \d+\): damaged; see jsonl-sink --check}, "byte $at");
		is run('jsonl-sink', '-Q', $lake)->{exit}, 65, '-Q';
		is run('jsonl-sink', '--check', $lake)->{exit}, 65, '--check';
		is slurp("$lake/.sluice/journal"), $bad, 'and nothing is changed';
		spew("$lake/.sluice/journal", $journal);
	}
	check_is_clean($lake);
};

subtest 'a journal that lost its last lines stops writers and readers, and --repair makes room to read them again' => sub {
	my $lake = lake();
	sink($lake, records(0, $_)) for 10, 20, 30;
	my @lines = slurp("$lake/.sluice/journal") =~ /.*\n/g;
	for my $kept (2, 1, 0) {
		my $text = join '', @lines[0 .. $kept - 1];
		spew("$lake/.sluice/journal", $text);
		ends_with(sink($lake, records(0, 40)), 65, qr{journal: line \d \(byte \d+\): damaged or missing, but commit 3 was done; see jsonl-sink --check and --repair});
		ends_with(run('jsonl-sink', $_, $lake), 65, qr/commit 3 was done/, $_) for '-Q', '--check';
		my $r = run('lakecat', $lake);
		ends_with($r, 65, qr/commit 3 was done/, 'lakecat');
		is $r->{out}, records(0, 10 * $kept), 'what stands can be saved';
		is slurp("$lake/.sluice/journal"), $text, 'nothing is changed';
		is scalar(data_files($lake)), 3;
	}
	spew("$lake/.sluice/journal", $lines[0]);
	repair($lake, qr/ends with commit 1 though 3 was done: .*read again.*00000002.*moved.*00000003.*moved/s);
	ends_with(sink($lake, records(0, 40)), 0);
	is_deeply offsets($lake), [ 0 .. 39 ];
	check_is_clean($lake);
};

# The note in .sluice/lock is not fsynced: a power loss may have taken it along.
subtest 'lost lines that nobody noted: --check finds their files, and none is written over' => sub {
	my $lake = lake();
	sink($lake, records(0, $_)) for 10, 20;
	my @files = map { [ $_, slurp("$lake/$_") ] } data_files($lake);
	spew("$lake/.sluice/journal", slurp("$lake/.sluice/journal") =~ /(.*\n)/);
	spew("$lake/.sluice/lock", '');
	ends_with(run('jsonl-sink', '--check', $lake), 65, qr{streams/TX/00000002\.jsonl: is not in the journal});
	ends_with(sink($lake, records(0, 40)), 73, qr{streams/TX/00000002\.jsonl: is there already but not in the journal.*--check.*--repair});
	is_deeply [ map { [ $_, slurp("$lake/$_") ] } data_files($lake) ], \@files;
	repair($lake, qr/00000002\.jsonl: moved/);
	ends_with(sink($lake, records(0, 40)), 0);
	is_deeply offsets($lake), [ 0 .. 39 ];
};

subtest 'a journal that is gone is never an empty lake' => sub {
	my $lake = lake();
	my $env = { env => { SLUICE_ROLL_BYTES => '1k' } };
	sink($lake, records(0, 100), '--size', '1k', $env);
	ok -e "$lake/.sluice/journal.1", 'rolled';
	ok -e "$lake/.sluice/journal.2", 'again';
	is next_offset($lake), 100;
	check_is_clean($lake);
	sink($lake, records(0, 120), $env);
	is_deeply offsets($lake), [ 0 .. 119 ];
	rename "$lake/.sluice/journal", "$lake/.sluice/away";
	for my $args ([], ['-Q'], ['--check'], ['--repair']) {
		ends_with(sink($lake, records(0, 130), @$args), 65, qr{journal}, "@$args");
	}
	ok !-e "$lake/.sluice/journal", 'and none is made';
	rename "$lake/.sluice/away", "$lake/.sluice/journal";
	check_is_clean($lake);
	rename "$lake/.sluice/journal.1", "$lake/.sluice/away";
	ends_with(run('jsonl-sink', '--check', $lake), 65, qr/journal\.1/, 'an earlier one is missed by --check');
	is next_offset($lake), 120, 'positions need the last one only';
};

subtest '--check finds any changed byte, also of compressed files' => sub {
	for my $args ([], ['-z', 'gzip']) {
		my $lake = damaged(@$args);
		my @files = data_files($lake);
		cmp_ok scalar @files, '>', 3;
		srand 7;
		my ($missed, $tries) = (0, sanitized() ? 20 : 60);
		for (1 .. $tries) {
			my $file = "$lake/" . $files[rand @files];
			my ($at, $bit) = (int rand -s $file, int rand 8);
			flip($file, $at, $bit);
			my $r = run('jsonl-sink', '--check', $lake);
			$missed++, diag "$file byte $at bit $bit: $r->{err}" if $r->{exit} != 65 || $r->{err} !~ m{\Q@{[substr $file, length "$lake/"]}\E};
			flip($file, $at, $bit);
		}
		is $missed, 0, "@$args: $tries flips";
		check_is_clean($lake);
	}
};

subtest '--check finds files that are missing, cut, longer or unknown' => sub {
	my $lake = damaged();
	my ($file) = data_files($lake);
	my $bytes = slurp("$lake/$file");
	my %case = (missing => sub { unlink "$lake/$file" }, cut => sub { spew("$lake/$file", substr $bytes, 0, -1) },
		empty => sub { spew("$lake/$file", '') }, longer => sub { spew("$lake/$file", $bytes, "{}\n") },
		unknown => sub { spew("$lake/streams/TX/part.jsonl", "{}\n"); $file = 'streams/TX/part.jsonl' },
		'unknown gzip' => sub { spew("$lake/streams/part.jsonl.gz", "{}\n"); $file = 'streams/part.jsonl.gz' });
	for my $what (sort keys %case) {
		my $known = $file;
		$case{$what}->();
		ends_with(run('jsonl-sink', '--check', $lake), 65, qr/\Q$file\E.*\n.*1 problem found/s, $what);
		unlink "$lake/$file" if $file ne $known;
		$file = $known;
		spew("$lake/$file", $bytes);
	}
	spew("$lake/streams/TX/README", 'no data file');
	spew("$lake/.hidden.jsonl", 'nor this');
	check_is_clean($lake, 'what readers do not match is no problem');
	ends_with(run('jsonl-sink', '--check', "$lake/streams"), 65, qr/not a lake/);
	ends_with(run('jsonl-sink', '--check', "$lake/none"), 65, qr/No such file/);
};

# ---- repair ----

sub repair
{
	my ($lake, $says) = @_;
	my $r = run('jsonl-sink', '--repair', $lake);
	is $r->{exit}, 0, '--repair' or diag $r->{err};
	like $r->{err}, $says if $says;
	check_is_clean($lake);
	return $r;
}

subtest '--repair: nothing to do' => sub {
	my $lake = damaged();
	my @before = map { [ $_, slurp("$lake/$_") ] } all_files($lake);
	repair($lake, qr/there was nothing to mend/);
	is_deeply [ map { [ $_, slurp("$lake/$_") ] } all_files($lake) ], \@before, 'and nothing is changed';
	my $fresh = lake();
	sink($fresh, '');
	repair($fresh, qr/nothing to mend/);
};

subtest '--repair: a torn last line is cut' => sub {
	my $lake = damaged();
	my $journal = slurp("$lake/.sluice/journal");
	spew("$lake/.sluice/journal", $journal, '{"commit":99,"x"');
	repair($lake, qr/cut the last line.*torn/);
	is slurp("$lake/.sluice/journal"), $journal;
};

subtest '--repair: a damaged last line is cut, its files are moved away, a rerun stores them again' => sub {
	for my $mode ('append', 'overwrite') {
		my $lake = lake();
		my $more = sub { my ($to) = @_; sink($lake, whole(0, $to), '-m', $mode, '-N', 'append') };
		$more->(5);
		$more->(8);
		my $journal = slurp("$lake/.sluice/journal");
		flip("$lake/.sluice/journal", length($journal) - 40, 2);
		ends_with(sink($lake, '', '-m', $mode, '-N', 'append'), 65, qr/damaged/);
		repair($lake, qr{moved to \.sluice/damaged.*cut the last line}s);
		is next_offset($lake), $mode eq 'append' ? 5 : undef;
		ends_with($more->(9), 0);
		is_deeply offsets($lake), [ 0 .. 8 ], $mode;
		check_is_clean($lake);
	}
};

subtest '--repair: a last line of which a file is lost is undone' => sub {
	my $lake = lake();
	sink($lake, records(0, 5));
	sink($lake, records(0, 8) . records(8, 12, path => 'other'));
	unlink "$lake/other/00000002.jsonl";
	ends_with(sink($lake, records(0, 12)), 65, qr{other/00000002.jsonl: the journal has it, but neither it nor its temporary file});
	repair($lake, qr/cut the last line.*a file of its commit is lost/);
	is next_offset($lake), 5;
	ends_with(sink($lake, records(0, 12)), 0);
	is_deeply offsets($lake), [ 0 .. 11 ];
	check_is_clean($lake);
};

subtest '--repair: lost and damaged files of earlier commits leave the lake, and it says what is lost' => sub {
	my $lake = damaged();
	my @files = grep { /TX/ } data_files($lake);
	unlink "$lake/$files[0]";
	flip("$lake/$files[1]", 10, 0);
	my $r = repair($lake, qr{\Q$files[1]\E: has crc32.*records of commit 2 of "append" are lost.*moved to \.sluice/damaged}s);
	is slurp((glob "$lake/.sluice/damaged/*00000002*")[0]) ne '', 1, 'the damaged one is kept aside';
	my ($last) = (journal($lake))[-1];
	is $last->{name}, 'repair';
	is_deeply [ sort @{ $last->{remove} } ], [ sort @files[0, 1] ];
	is next_offset($lake), 50, 'positions stay';
	repair($lake, qr/nothing to mend/);
};

subtest '--repair: files that nobody knows are moved away' => sub {
	my $lake = damaged();
	spew("$lake/streams/TX/part-1.jsonl", "{}\n");
	repair($lake, qr{part-1\.jsonl: moved to \.sluice/damaged/});
	is_deeply [ grep { /part-1/ } data_files($lake) ], [];
	is slurp((glob "$lake/.sluice/damaged/*part-1*")[0]), "{}\n";
};

subtest '--repair: a stranger in the place of a file of the last commit is moved away' => sub {
	my $lake = damaged();
	my ($add) = @{ (journal($lake))[-1]{add} };
	my $tmp = $add->{file} =~ s{[^/]+$}{$add->{tmp}}r;
	rename "$lake/$add->{file}", "$lake/$tmp";
	spew("$lake/$add->{file}", "{}\n");
	ends_with(sink($lake, ''), 74, qr/File exists/);
	repair($lake, qr/moved to \.sluice\/damaged/);
	is scalar(@{ offsets($lake) }), 100;
};

subtest '--repair: what a power loss left of dead writers is removed, not what the living use' => sub {
	my $lake = damaged();
	spew("$lake/streams/TX/.sluice-aaaaaa-1", 'x');
	my $p = open_sink($lake, '-N', 'live', { out => '/dev/null' });
	give($p, records(0, 3, path => 'live'));
	wait_until(10, 'a temporary file', sub { grep { /^live/ } temp_files($lake) });
	repair($lake, qr{\.sluice-aaaaaa-1: removed: its writer is dead});
	is scalar(temp_files($lake)), 1;
	is done($p)->{exit}, 0;
	is scalar(grep { /^live/ } data_files($lake)), 1;
	check_is_clean($lake);
};

subtest '--repair: what failed stops writers until then' => sub {
	my $lake = damaged();
	spew("$lake/.sluice/failed", '');
	ends_with(sink($lake, records(50, 60)), 65, qr/failed.*--repair/);
	ends_with(run('jsonl-sink', '--check', $lake), 65, qr/failed/);
	is next_offset($lake), 50, 'readers go on';
	repair($lake, qr/failed: removed/);
	ends_with(sink($lake, records(50, 60)), 0);
};

subtest '--repair: a damaged line in the middle cannot be mended' => sub {
	my $lake = damaged();
	flip("$lake/.sluice/journal", 30, 0);
	my @before = map { [ $_, slurp("$lake/$_") ] } all_files($lake);
	ends_with(run('jsonl-sink', '--repair', $lake), 65, qr/damaged, and not the last line/);
	is_deeply [ map { [ $_, slurp("$lake/$_") ] } all_files($lake) ], \@before;
	ends_with(run('jsonl-sink', '--repair', "$lake/none"), 65);
	ends_with(run('jsonl-sink', '--repair', "$lake/streams"), 65, qr/not a lake/);
};

# ---- many paths ----

subtest '10,000 paths in one run: bounded memory, 64 descriptors' => sub {
	my $shm = memory_dir();
	my ($paths, $rounds) = sanitized() ? (2000, 5) : (10_000, 11);
	for my $args ([], sanitized() ? () : ['-z', 'gzip:1']) {
		my $lake = "$shm/lake";
		remove_tree($lake);
		pipe my $in, my $to or die;
		my $fifo = "$shm/acks";
		unlink $fifo;
		POSIX::mkfifo($fifo, 0600) or die;
		my $p = spawn('bash', '-c', "ulimit -n 64; exec jsonl-sink -q -a -i 0.1 --size 100G @$args $lake", { stdin => $in, out => $fifo });
		open my $acks, '<', $fifo or die;
		close $in;
		my $pad = 'x' x 3000;
		my $offset = 0;
		my $n = 0;
		for my $round (1 .. $rounds) {
			for my $i (0 .. $paths - 1) {
				print $to qq({"path":"p/$i","topic":"T","partition":0,"offset":$offset,"ts":1,"key":null,"payload":{"pad":"$pad","r":$round}}\n);
				$offset++;
			}
		}
		$to->flush;
		my $acked = 0;
		while ($acked < $offset) {
			my $line = readline($acks) // last;
			($acked) = $line =~ /"offset":(\d+)/;
		}
		is $acked, $offset, "@$args: all is acknowledged";
		my ($peak) = (eval { slurp("/proc/$p->{pid}/status") } // '') =~ /VmHWM:\s+(\d+) kB/;
		cmp_ok $peak // 1e9, '<', 300 * 1024, "the peak is below 300 MB: $peak kB" unless sanitized();
		close $to;
		$p->{out} = '/dev/null';
		is finish($p)->{exit}, 0;
		my $r = run('jsonl-sink', '--check', $lake);
		is $r->{exit}, 0;
		like $r->{err}, qr/ $offset records verified/;
	}
};

# ---- lines ----

subtest 'a line of 100 MB goes through' => sub {
	my $lake = lake();
	my $big = 'x' x (100 << 20);
	my $r = sink($lake, record(0) . record(1, payload => qq("$big")) . record(2), '-z', 'gzip:1');
	ends_with($r, 0);
	my ($line) = journal($lake);
	is $line->{add}[0]{records}, 3;
	cmp_ok $line->{add}[0]{raw}, '>', 100 << 20;
	check_is_clean($lake);
};

subtest 'random bad lines of txgen: what is good is stored, what is not is a reject, whatever the options' => sub {
	for my $args ('', '-z gzip', '--size 20k', '-w payload') {
		my $lake = lake();
		my $r = pipeline("txgen -q -R -c 2000 --bad 20 -p 3 transactions | partition -q -r | jsonl-sink -r $args $lake");
		$r = pipeline("txgen -q -R -c 2000 --bad 20 -p 3 transactions | jsonl-sink -r -p x $args $lake") if $r->{err} =~ /unknown option|invalid option|unrecognized/;
		is $r->{exit}, 1, "'$args'" or diag $r->{err};
		my ($in, $stored, $rejected) = $r->{err} =~ /(\d+) records in, (\d+) stored, 0 skipped, (\d+) rejected/;
		cmp_ok $rejected, '>', 100;
		is $in, $stored + $rejected, 'every line is somewhere';
		check_is_clean($lake);
	}
};

subtest 'a lake within a lake is refused' => sub {
	my $lake = tempdir() . '/lake';
	is run('jsonl-sink', $lake)->{exit}, 0;
	mkdir "$lake/a";
	for my $inner ("$lake/a", "$lake/b") {
		my $r = run('jsonl-sink', $inner);
		is $r->{exit}, 73, "$inner: 73";
		like $r->{err}, qr/^jsonl-sink: \Q$inner\E: lies within another lake: /m, '... and why';
		ok !-e "$inner/.sluice", '... and nothing was made';
	}
	is run('jsonl-sink', $lake)->{exit}, 0, 'the outer one is opened again';
};

subtest 'usage errors' => sub {
	for my $bad ([], [ 'a', 'b' ], [ '-m', 'upsert', 'a' ], [ '-w', 'xml', 'a' ], [ '--check', 'a', 'b' ]) {
		my $r = run('jsonl-sink', @$bad);
		is $r->{exit}, 64, "@$bad";
		like $r->{err}, qr/\Ajsonl-sink: [^\n]+\n\z/;
	}
};

subtest 'a roll size that is none is a usage error' => sub {
	my $r = run('jsonl-sink', tempdir(), { env => { SLUICE_ROLL_BYTES => 'abc' } });
	is $r->{exit}, 64;
	like $r->{err}, qr/SLUICE_ROLL_BYTES: "abc" is not a size/;
};

done_testing();
