# lakecat: a lake comes back as the stream that it was made of, in offset order, and can be copied.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Fault;
use File::Find;
use POSIX ();
use Test::More;

# In memory where that is possible: a lake of 10,000 files is fsynced 20,000 times, which is not what is tested here.
my $top = memory_dir();
my $dirs = 0;

sub new_dir { my $dir = "$top/" . ++$dirs; mkdir $dir or die "$dir: $!"; return $dir }

# ---- making lakes ----

sub store
{
	my ($dir, $lines, @args) = @_;
	my $r = run('jsonl-sink', '-q', @args, $dir, { stdin => ref $lines ? join('', map { "$_\n" } @$lines) : $lines });
	is $r->{exit}, 0, "stored in $dir" or diag $r->{err};
	return $r;
}

sub record
{
	my ($topic, $partition, $offset, $path, $payload) = @_;
	$payload //= qq({"n":$offset});
	my $ts = 1763697600000 + $offset;
	return ($path ? qq({"path":"$path",) : '{') .
	    qq("topic":"$topic","partition":$partition,"offset":$offset,"tstype":"create","ts":$ts,"key":null,"payload":$payload});
}

sub mark
{
	my ($kind, $topic, $partition, $offset) = @_;
	return qq({"mark":{"kind":"$kind","topic":"$topic","partition":$partition,"offset":$offset}});
}

my $END = '{"mark":{"kind":"end","records":0}}';

# A stream as kread might have read it: partitions interleaved, gaps in the offsets, marks, any path for any record.
sub random_stream
{
	my (%o) = (records => 2000, topics => 2, partitions => 3, paths => 7, run => 20, next => {}, @_);
	my @lines;

	for my $t (1 .. $o{topics}) {
		for my $p (0 .. $o{partitions} - 1) {
			push @lines, mark('start', "T$t", $p, $o{next}{"T$t/$p"} // 0);
		}
	}
	while (@lines < $o{records}) {
		my ($t, $p) = (1 + int rand $o{topics}, int rand $o{partitions});
		for (1 .. 1 + int rand $o{run}) {
			my $offset = ($o{next}{"T$t/$p"} // 0) + (rand() < 0.1 ? int rand 300 : 0);
			push @lines, record("T$t", $p, $offset, 'path=' . int rand $o{paths});
			$o{next}{"T$t/$p"} = $offset + 1;
		}
	}
	push @lines, map { mark('position', (split m{/}), $o{next}{$_} += int rand 3) } sort keys %{ $o{next} };
	return (@lines, $END);
}

# ---- looking at lakes and streams, without any of our tools ----

# path\tline of every line of every visible file of a lake
sub content
{
	my ($dir) = @_;
	my @lines;

	find({ no_chdir => 1, wanted => sub {
		if (m{/\.sluice$}) {
			$File::Find::prune = 1;
		} elsif (m{^\Q$dir\E/*(.*)/[^/.]+\.jsonl(\.gz)?$}) {
			my $path = $1;
			my $bytes = $2 ? run('zcat', $_)->{out} : slurp($_);
			push @lines, map { "$path\t$_" } split /\n/, $bytes;
		}
	} }, $dir);
	@lines = sort @lines;
	return \@lines;
}

# The same of the stream that lakecat writes.
sub stored_form
{
	my ($out) = @_;
	return [ sort map { /^\{"path":"([^"]*)",?(.*)$/s ? "$1\t{$2" : die $_ } grep { !/^\{"mark"/ } split /\n/, $out ];
}

# What a sink may rely on. Returns complaints.
sub order_problems
{
	my ($out) = @_;
	my (%seen, %position, @problems);
	my $n = 0;

	for (split /\n/, $out) {
		push @problems, "something after the end mark: $_" if exists $seen{end};
		if (/^\{"mark":\{"kind":"end","records":(\d+)\}\}$/) {
			$seen{end} = 1;
			push @problems, "the end mark says $1, there were $n" if $1 != $n;
		} elsif (/^\{"mark":\{"kind":"(start|position)","topic":"(.*?)","partition":(\d+),"offset":(\d+)/) {
			my ($kind, $tp, $offset) = ($1, "$2/$3", $4);
			if ($kind eq 'start') {
				push @problems, "$tp starts twice" if exists $seen{$tp};
				$seen{$tp} = $offset - 1;
			} else {
				push @problems, "$tp has no start" unless exists $seen{$tp};
				push @problems, "$tp at $offset: after $seen{$tp}" if $offset <= $seen{$tp};
				push @problems, "$tp: position goes back" if $offset < ($position{$tp} // 0);
				$seen{$tp} = $offset - 1;
				$position{$tp} = $offset;
			}
		} elsif (/"topic":"(.*?)","partition":(\d+),"offset":(\d+)/) {
			my ($tp, $offset) = ("$1/$2", $3);
			$n++;
			push @problems, "$tp: $offset after $seen{$tp}" if exists $seen{$tp} && $offset <= $seen{$tp};
			$seen{$tp} = $offset;
		} else {
			$n++;
		}
	}
	return \@problems;
}

sub positions
{
	my ($dir, @args) = @_;
	my $r = run('jsonl-sink', '-Q', @args, $dir);
	is $r->{exit}, 0, 'positions' or diag $r->{err};
	return $r->{out};
}

sub lakecat
{
	my $r = run('lakecat', '-q', @_);
	is $r->{exit}, 0, "lakecat @_" or diag $r->{err};
	is $r->{err}, '', 'in silence';
	return $r->{out};
}

# Copies, and compares everything; then once more, which must copy nothing.
sub copy_is_equal
{
	my ($from, %o) = @_;
	my @sink = @{ $o{sink} // [] };
	my $to = $o{to} // new_dir();

	my $out = lakecat('--marks', @{ $o{args} // [] }, $from);
	is_deeply order_problems($out), [], 'offsets of each partition increase, marks are where they belong';
	store($to, $out, @sink);
	is_deeply content($to), content($from), 'the copy has the same lines in the same paths';
	is positions($to, @{ $o{to_name} // [] }), positions($from, @{ $o{from_name} // [] }), 'and the same positions';
	is run('jsonl-sink', '-q', '--check', $to)->{exit}, 0, 'and is sound';
	my $journal = slurp("$to/.sluice/journal");
	store($to, $out, @sink);
	is slurp("$to/.sluice/journal"), $journal, 'copied again: nothing more is stored' unless $o{twice};
	return $to;
}

# ---- records ----

subtest 'one path, one commit: the stream as it was' => sub {
	my $dir = new_dir();
	my @lines = map { record('TX', 0, $_, 'p') } 0 .. 99;
	store($dir, \@lines);
	is lakecat($dir), join('', map { "$_\n" } @lines);
	my $with = lakecat('--marks', $dir);
	is $with, join('', map { "$_\n" } mark('start', 'TX', 0, 0), @lines,
		'{"mark":{"kind":"position","topic":"TX","partition":0,"offset":100,"last":{"offset":99,"ts":1763697600099}}}',
		'{"mark":{"kind":"end","records":100}}');
};

for my $z ([], ['-z', 'gzip']) {
	subtest "many paths, partitions, topics, commits; copied and copied on: @$z" => sub {
		my ($dir, %next) = new_dir();
		my $to;
		srand 7;
		for my $round (1 .. 3) {
			store($dir, [ random_stream(next => \%next, records => 3000) ], @$z, '--size', '60k');
			$to = copy_is_equal($dir, to => $to, sink => $z);
		}
		cmp_ok slurp("$dir/.sluice/journal") =~ tr/\n//, '>', 10, 'there were many commits';
	};
}

subtest 'the order holds for any interleaving' => sub {
	for my $seed (1 .. 25) {
		srand $seed;
		my $dir = new_dir();
		my %shape = (records => 50 + int rand 500, topics => 1 + int rand 3, partitions => 1 + int rand 5,
			paths => 1 + int rand 40, run => 1 + int rand 60);
		store($dir, [ random_stream(%shape) ], '--size', $seed % 2 ? '10k' : '1G');
		my $out = lakecat('--marks', $dir);
		is_deeply order_problems($out), [], "seed $seed";
		is_deeply stored_form($out), content($dir);
	}
};

subtest 'transactions by city' => sub {
	my $dir = new_dir();
	my $r = pipeline("txgen -q -R -t TX -p 4 -c 5000 transactions | partition -q -l '{.city}/%F' -t .timestamp | jsonl-sink -q --size 500k $dir");
	is $r->{exit}, 0 or diag $r->{err};
	copy_is_equal($dir);
};

subtest '-t and -N choose' => sub {
	my $dir = new_dir();
	srand 3;
	my @stream = random_stream(topics => 3);
	store($dir, \@stream, '--size', '50k');
	for my $topics (['T1'], ['T1', 'T3'], ['T9']) {
		my $want = join '|', @$topics;
		my $out = lakecat('--marks', '-t', join(',', @$topics), $dir);
		is_deeply order_problems($out), [];
		is_deeply stored_form($out), [ grep { /"topic":"(?:$want)"/ } @{ content($dir) } ], "@$topics";
		my %others;
		$others{$1}++ while $out =~ /"topic":"(.*?)"/g;
		delete @others{@$topics};
		is_deeply \%others, {}, 'and of no other topic anything';
	}
	is lakecat('-t', 'T1', '-t', 'T2', $dir), lakecat('-t', 'T1,T2', $dir);

	store($dir, [ map { s/path=/other=/r } grep { /"T2"|"end"/ } @stream ], '-N', 'second');
	my $r = run('lakecat', $dir);
	is $r->{exit}, 64, 'a topic under two names is a question';
	like $r->{err}, qr/^lakecat: T2 was stored under the names "append" and "second": choose one with -N\n\z/;
	is $r->{out}, '';
	is run('lakecat', '-q', '-t', 'T1', $dir)->{exit}, 0, 'but not for other topics';
	is_deeply stored_form(lakecat('-N', 'second', $dir)), [ grep { /^other=/ } @{ content($dir) } ];
	is_deeply stored_form(lakecat('-N', 'append', $dir)), [ grep { /^path=/ } @{ content($dir) } ];
	is lakecat('-N', 'nobody', $dir), '', 'a name that nobody has wrote nothing';
};

subtest 'a name without files does not move the position of one that has them' => sub {
	my $dir = new_dir();
	store($dir, [ mark('start', 'T', 0, 0), (map { record('T', 0, $_, 'p') } 0 .. 9), mark('position', 'T', 0, 10), $END ]);
	store($dir, [ mark('start', 'T', 0, 0), mark('position', 'T', 0, 500), $END ], '-N', 'filtered');
	my $out = lakecat('--marks', $dir);
	unlike $out, qr/"offset":500/;
	copy_is_equal($dir);
	like lakecat('--marks', '-N', 'filtered', $dir), qr/"start".*"offset":500.*\n.*"position".*"offset":500/;
};

# ---- what is no record, or an odd one ----

subtest 'rejects and bare objects' => sub {
	my $dir = new_dir();
	store($dir, [ '{"path":"b","payload":{"a":1}}', '{"path":"b","x":1}', '{"path":"b"}' ]);
	is lakecat($dir), join('', map { "$_\n" } '{"path":"b","payload":{"a":1}}', '{"path":"b","x":1}', '{"path":"b"}');
	my $r = run('jsonl-sink', '-q', '-r', $dir, { stdin => join '', map { "$_\n" } record('T', 0, 0, 'p'), '{"a', record('T', 0, 1), record('T', 0, 2, 'p') });
	is $r->{exit}, 1;
	is_deeply stored_form(lakecat($dir)), content($dir), 'all of it';
	my @rejects = grep { $_->{path} eq '_rejects' } json_lines(lakecat($dir));
	is_deeply [ map { $_->{offset} // -1 } @rejects ], [ -1, 1 ], 'rejects are what they were';
	is_deeply [ map { $_->{offset} } json_lines(lakecat('-t', 'T', $dir)) ], [ 0, 2, 1 ], '-t takes the rejects of its topic';
	my $to = new_dir();
	store($to, lakecat('--marks', $dir));
	is_deeply content($to), content($dir);
	like positions($to), qr/"offset":3\b/;
};

subtest 'usage errors' => sub {
	for my $bad ([], [ 'a', 'b' ], [ '-t', 'a,,b', 'a' ], [ '-t', '', 'a' ]) {
		my $r = run('lakecat', @$bad);
		is $r->{exit}, 64, "@$bad";
		like $r->{err}, qr/\Alakecat: [^\n]+\n\z/;
	}
};

subtest 'blanks between the members survive a copy' => sub {
	my $dir = new_dir();
	my @lines = ('{ "topic" : "T", "partition": 0, "offset": 0, "payload": {"a": 1} }', "{\t\"x\": 1\t}", '{  }', '{ "payload": 1 }');
	store($dir, \@lines, '-p', 'p');
	is slurp("$dir/p/00000001.jsonl"), join('', map { "$_\n" } @lines);
	is lakecat($dir), join('', map { "$_\n" } '{"path":"p", "topic" : "T", "partition": 0, "offset": 0, "payload": {"a": 1} }', qq({"path":"p",\t"x": 1\t}), '{"path":"p"  }', '{"path":"p", "payload": 1 }');
	my $to = new_dir();
	store($to, lakecat('--marks', $dir));
	is slurp("$to/p/00000001.jsonl"), slurp("$dir/p/00000001.jsonl");
};

subtest 'lines of kcat -J pass as they are' => sub {
	my $dir = new_dir();
	my @lines = map { qq({"topic":"T","partition":0,"offset":$_,"tstype":"create","ts":1,"broker":0,"key":"k","payload":"{\\"a\\":1}"}) } 0 .. 5;
	store($dir, \@lines, '-p', 'p');
	is lakecat($dir), join('', map { '{"path":"p",' . substr($_, 1) . "\n" } @lines);
	copy_is_equal($dir);
};

subtest 'payload and flat' => sub {
	my @payloads = ('{"schema":{},"payload":{"a":1}}', '{"a":1}', '{}', '{ }', '5', '"text"', '[1,2]', 'null', '{"path":"/etc"}', '{"path":7}', '{"mark":{"kind":"end"}}',
		'{"payload":1}', '{"payload":1,"topic":"x"}', '{"topic":3,"x":[]}', '{"p\u0061th":"x"}', '{"a":"b"   }');
	my $i = 0;
	my @lines = map { record('T', 0, $i++, 'p/q=1', $_) } @payloads;

	my $dir = new_dir();
	store($dir, \@lines, '-w', 'payload');
	my $out = lakecat($dir);
	is $out, join('', map { "$_\n" } '{"path":"p/q=1","payload":{"schema":{},"payload":{"a":1}}}', '{"path":"p/q=1","a":1}', '{"path":"p/q=1"}', '{"path":"p/q=1" }', '{"path":"p/q=1","payload":5}',
		'{"path":"p/q=1","payload":"text"}', '{"path":"p/q=1","payload":[1,2]}', '{"path":"p/q=1","payload":null}',
		'{"path":"p/q=1","payload":{"path":"/etc"}}', '{"path":"p/q=1","payload":{"path":7}}',
		'{"path":"p/q=1","payload":{"mark":{"kind":"end"}}}', '{"path":"p/q=1","payload":1}',
		'{"path":"p/q=1","payload":{"payload":1,"topic":"x"}}', '{"path":"p/q=1","topic":3,"x":[]}',
		'{"path":"p/q=1","payload":{"p\u0061th":"x"}}', '{"path":"p/q=1","a":"b"   }');
	my $to = new_dir();
	store($to, lakecat('--marks', $dir), '-w', 'payload');
	is positions($to), positions($dir), 'a copy of payloads has the positions';
	is_deeply content($to), [ sort map { s/\{"payload":1\}/1/r } @{ content($dir) } ], 'and the payloads';

	$dir = new_dir();
	store($dir, [ @lines[0 .. 3, 8 .. 15] ], '-w', 'flat');
	$to = new_dir();
	store($to, lakecat('--marks', $dir), '-w', 'flat');
	is_deeply content($to), content($dir), 'a copy of flat records has them';
	is positions($to), positions($dir), 'and the positions';
	is scalar(json_lines(lakecat('-t', 'T', $dir))), 12, '-t knows flat records by _topic';
	is lakecat('-t', 'U', $dir), '';
};

subtest 'names with everything in them' => sub {
	my $dir = new_dir();
	my $odd = 't\"o\\\\p ic\u00e9';
	store($dir, [ qq({"path":"Nîmes/a b/c=%22","topic":"$odd","partition":0,"offset":7,"payload":{"topic":"x"}}) ], '-N', 'a "name"');
	is lakecat($dir), qq({"path":"Nîmes/a b/c=%22","topic":"$odd","partition":0,"offset":7,"payload":{"topic":"x"}}\n);
	is lakecat('-t', "t\"o\\p ic\xc3\xa9", '-N', 'a "name"', $dir), lakecat($dir);
};

# ---- snapshots ----

subtest 'overwritten snapshots: only what is there now' => sub {
	my $dir = new_dir();
	my $n = 0;
	for my $count (5, 8) {
		$n = $count;
		store($dir, [ mark('start', 'U', 0, 0), (map { record('U', 0, $_, 'tables/U/c=' . $_ % 2) } 0 .. $n - 1),
			mark('position', 'U', 0, $n), $END ], '-m', 'overwrite');
	}
	my $out = lakecat('--marks', $dir);
	is_deeply order_problems($out), [];
	is scalar(grep { /payload/ } split /\n/, $out), 8;
	copy_is_equal($dir, sink => ['-m', 'overwrite'], to_name => ['-m', 'overwrite'], from_name => ['-m', 'overwrite'], twice => 1);
	my $to = new_dir();
	store($to, $out);
	is positions($to), positions($dir, '-m', 'overwrite'), 'into an append lake too';
};

subtest 'paths that a later snapshot has left alone' => sub {
	my $dir = new_dir();
	my @first = map { record('U', $_ % 2, $_ >> 1, 'c=' . ($_ % 3)) } 0 .. 29;
	my @later = map { record('U', $_ % 2, $_ >> 1, 'c=' . ($_ % 3)) } grep { $_ % 3 != 1 } 0 .. 59;
	for ([15, \@first], [30, \@later]) {
		my ($end, $lines) = @$_;
		store($dir, [ mark('start', 'U', 0, 0), mark('start', 'U', 1, 0), @$lines, mark('position', 'U', 0, $end),
			mark('position', 'U', 1, $end), $END ], '-m', 'overwrite');
	}
	copy_is_equal($dir, from_name => ['-m', 'overwrite']);
};

subtest 'ignore: paths of several runs' => sub {
	my $dir = new_dir();
	for my $n (10, 20) {
		store($dir, [ mark('start', 'U', 0, 0), (map { record('U', 0, $_, 'd=' . int($_ / 10)) } 0 .. $n - 1),
			mark('position', 'U', 0, $n), $END ], '-m', 'ignore');
	}
	copy_is_equal($dir, from_name => ['-m', 'ignore']);
};

# A table in two paths whose rows all have the number of their version: no reader may see two of them.
subtest 'beside a writer that replaces snapshots: one whole version or another' => sub {
	my $dir = new_dir();
	my $version = sub {
		my ($n) = @_;
		return join '', map { "$_\n" } mark('start', 'U', 0, 0),
		    (map { record('U', 0, $_, 'c=' . $_ % 2, qq({"version":$n})) } 0 .. 299), mark('position', 'U', 0, 300), $END;
	};
	store($dir, $version->(0), '-m', 'overwrite');
	my $writer = spawn('bash', '-c', 'for n in $(seq 40); do sed "s/version.:0/version\":$n/" in | jsonl-sink -q -m overwrite lake || exit 1; done',
		{ cwd => do { my $d = new_dir(); symlink $dir, "$d/lake"; spew("$d/in", $version->(0)); $d } });
	my ($done, %seen, @odd);
	until ($done) {
		$done = waitpid($writer->{pid}, POSIX::WNOHANG()) != 0;
		my $r = run('lakecat', '-q', $dir);
		my %versions = map { $_ => 1 } $r->{out} =~ /"version":(\d+)/g;
		$seen{join ',', keys %versions}++;
		push @odd, "exit $r->{exit}: $r->{err}" if $r->{exit} != 0 && $r->{exit} != 75;
		push @odd, join ',', 'versions', keys %versions if keys %versions > 1;
		push @odd, 'not whole' if $r->{exit} == 0 && $r->{out} =~ tr/\n// != 300;
	}
	is_deeply \@odd, [];
	cmp_ok scalar(keys %seen), '>', 2, 'versions were seen while they were replaced';
};

subtest 'beside a writer that appends: whole commits' => sub {
	my $dir = new_dir();
	store($dir, [ record('T', 0, 0, 'p=0') ]);
	my $writer = spawn('jsonl-sink', '-q', '--size', '2k', $dir,
		{ stdin => join '', map { record('T', 0, $_, 'p=' . $_ % 5) . "\n" } 1 .. 20_000 });
	my ($done, %seen, @odd);
	until ($done) {
		$done = waitpid($writer->{pid}, POSIX::WNOHANG()) != 0;
		my $r = run('lakecat', '-q', '--marks', $dir);
		push @odd, "exit $r->{exit}: $r->{err}" if $r->{exit};
		push @odd, @{ order_problems($r->{out}) };
		my ($position) = $r->{out} =~ /.*"position".*?"offset":(\d+)/s;
		my $n = () = $r->{out} =~ /"payload"/g;
		push @odd, "$n records, position $position" if $n != $position;
		$seen{$n}++;
	}
	is_deeply \@odd, [];
	cmp_ok scalar(keys %seen), '>', 2, 'it was seen growing';
};

# ---- commits that are not finished, journals that are cut ----

subtest 'a commit whose files have no names yet' => sub {
	my $dir = new_dir();
	store($dir, [ map { record('T', 0, $_, 'p=' . $_ % 3) } 0 .. 9 ]);
	# The first three renames are those of the commit before, done again in vain.
	my $r = run('jsonl-sink', '-q', $dir, { stdin => join('', map { record('T', 0, $_, 'p=' . $_ % 3) . "\n" } 10 .. 19),
		env => fault('path=.sluice-;rename:5:kill-before') });
	is $r->{signal}, 9, 'killed between two renames';
	my $out = lakecat('--marks', $dir);
	is_deeply order_problems($out), [];
	is scalar(grep { /payload/ } split /\n/, $out), 20, 'it is all there';
	my @before = sort map { glob "$dir/p=*/.sluice-*" } 1;
	is @before, 2, 'and nothing was done about it';
	run('jsonl-sink', '-q', $dir);
	is lakecat('--marks', $dir), $out, 'after the next writer has finished it: the same';
};

subtest 'what was not committed is not there' => sub {
	my $dir = new_dir();
	store($dir, [ map { record('T', 0, $_, 'p') } 0 .. 9 ]);
	my $out = lakecat('--marks', $dir);
	my $r = run('jsonl-sink', '-q', $dir, { stdin => record('T', 0, 10, 'p') . "\n", env => fault('path=journal;write:1:kill-mid') });
	is $r->{signal}, 9, 'killed in the middle of the line';
	unlike slurp("$dir/.sluice/journal"), qr/\n\z/, 'the journal has a torn tail';
	is lakecat('--marks', $dir), $out;
	like run('lakecat', '-v', $dir)->{err}, qr/torn line/, '-v tells';
};

subtest 'a rolled journal' => sub {
	my $dir = new_dir();
	my $r = run('jsonl-sink', '-q', '--size', '200', $dir, { stdin => join('', map { record('T', $_ % 2, $_ >> 1, 'p=' . $_ % 3) . "\n" } 0 .. 199),
		env => { SLUICE_ROLL_BYTES => 2000 } });
	is $r->{exit}, 0;
	cmp_ok scalar(my @j = glob "$dir/.sluice/journal.*"), '>', 3;
	copy_is_equal($dir);
};

# Files that are gone with the journal's blessing, as retention removes them.
sub remove
{
	my ($dir, @files) = @_;
	my ($last) = slurp("$dir/.sluice/journal") =~ /\{"commit":(\d+)[^\n]*\n\z/;
	my $line = sprintf '{"commit":%d,"time":"2026-11-21T00:00:00.000Z","writer":"xxxxxx","host":"h","name":"retention","positions":[],"add":[],"remove":[%s]',
	    $last + 1, join ',', map { qq("$_") } @files;
	require Compress::Zlib;
	open my $j, '>>:raw', "$dir/.sluice/journal" or die;
	printf $j "%s,\"crc\":\"%08x\"}\n", $line, Compress::Zlib::crc32($line);
	close $j or die;
	unlink "$dir/$_" or die for @files;
}

subtest 'commits whose files are gone: the stream starts behind them, and a copy notices the gap' => sub {
	my $dir = new_dir();
	my $copy = new_dir();
	for my $n (0 .. 4) {
		store($dir, [ map { record('T', 0, $_, 'p') } $n * 10 .. $n * 10 + 9 ]);
		store($copy, lakecat('--marks', $dir)) if $n == 0;
	}
	remove($dir, map { sprintf 'p/%08d.jsonl', $_ } 1 .. 3);
	my $out = lakecat('--marks', $dir);
	is_deeply order_problems($out), [];
	like $out, qr/\A\{"mark":\{"kind":"start","topic":"T","partition":0,"offset":30\}\}\n/;
	is scalar(grep { /payload/ } split /\n/, $out), 20;
	my $r = run('jsonl-sink', '-q', $copy, { stdin => $out });
	is $r->{exit}, 65;
	like $r->{err}, qr{T/0: gap:.*offset 30.*position is 10};
	copy_is_equal($dir);

	remove($dir, map { sprintf 'p/%08d.jsonl', $_ } 4 .. 5);
	copy_is_equal($dir, twice => 1);
};

subtest 'positions without records are copied' => sub {
	my $dir = new_dir();
	store($dir, [ mark('start', 'T', 1, 5), mark('position', 'T', 1, 9), mark('start', 'T', 0, 0), mark('position', 'T', 0, 0), $END ]);
	like lakecat('--marks', $dir), qr/"start","topic":"T","partition":1,"offset":9/;
	copy_is_equal($dir);
};

# ---- damage ----

subtest 'damage is found, and named' => sub {
	for my $z ([], ['-z', 'gzip']) {
		for my $paths (1, 3) {
			my $make = sub {
				my $dir = new_dir();
				store($dir, [ map { record('T', 0, $_, 'p=' . $_ % $paths) } 0 .. 299 ], @$z);
				my ($file) = glob "$dir/p=0/*.jsonl*";
				return ($dir, $file);
			};
			my $fails = sub {
				my ($dir, $why, $what) = @_;
				my $r = run('lakecat', '--marks', $dir);
				is $r->{exit}, 65, "$what (@$z $paths)";
				like $r->{err}, qr{^lakecat: (?:\Q$dir\E/)?p=0/00000001\.jsonl\S*: $why}m;
				unlike $r->{out}, qr/"end"/, 'no end mark';
				is $r->{out} =~ tr/\n//, 0, 'nothing at all of a commit that was looked at first' if $paths > 1;
			};
			my ($dir, $file) = $make->();
			truncate $file, (-s $file) - 20;
			$fails->($dir, qr/has \d+ bytes, the journal \(commit 1\) says \d+/, 'cut');

			($dir, $file) = $make->();
			my $bytes = slurp($file);
			spew($file, @$z ? substr($bytes, 0, -8) . "\0" x 8 : $bytes =~ s/"n":3\d/"n":77/r);
			$fails->($dir, @$z ? qr/gzip member at byte \d+: / : qr/has crc32 [0-9a-f]{8}, the journal \(commit 1\) says/, 'changed');

			($dir, $file) = $make->();
			unlink $file;
			$fails->($dir, qr/No such file/, 'gone');
		}
	}
	my $dir = new_dir();
	store($dir, [ map { record('T', 0, $_, 'p') } 0 .. 9 ]);
	my ($file) = glob "$dir/p/*.jsonl";
	spew($file, slurp($file) =~ s/"n":5\}/"n":"5/r);
	my $r = run('lakecat', '-q', $dir);
	is $r->{exit}, 65;
	like $r->{err}, qr{^lakecat: \Q$file\E:6: T/0: offset 5: byte \d+: }, 'a line that is no JSON: file and line' or diag $r->{err};
	is $r->{out} =~ tr/\n//, 5, 'what came before it is written';
};

subtest 'a damaged journal: what stands before the damage can be saved' => sub {
	for my $roll (1e6, 500) {
		my $dir = new_dir();
		for my $n (0 .. 4) {
			is run('jsonl-sink', '-q', $dir, { stdin => join('', map { record('T', 0, $_, 'p') . "\n" } $n * 10 .. $n * 10 + 9),
				env => { SLUICE_ROLL_BYTES => $roll } })->{exit}, 0;
		}
		my ($journal) = grep { slurp($_) =~ /"commit":3/ } glob "$dir/.sluice/journal*";
		spew($journal, slurp($journal) =~ s/("commit":3.*?)"append"/$1"upsert"/r);
		my $r = run('lakecat', '-q', '--marks', $dir);
		is $r->{exit}, 65;
		like $r->{err}, qr{^lakecat: \Q$journal\E: line \d+ \(byte \d+\): damaged; .*; what comes before it was written\n\z};
		unlike $r->{out}, qr/"end"/;
		my $to = new_dir();
		store($to, $r->{out});
		is_deeply content($to), [ grep { /"offset":1?\d,/ } @{ content($dir) } ];
		like positions($to), qr/"offset":20\b/;
	}
};

subtest 'a topic that was made anew: its offsets come again, with a warning' => sub {
	my $dir = new_dir();
	my @lines = map { record('T', 0, $_, 'p') } 0 .. 9;
	store($dir, \@lines);
	store($dir, [ mark('start', 'T', 0, 0), (map { s/"ts":1/"ts":2/r } @lines[0 .. 2]), mark('position', 'T', 0, 3), $END ], '--recreated');
	my $r = run('lakecat', '-q', $dir);
	is $r->{exit}, 0;
	is scalar(() = $r->{out} =~ /\n/g), 13, 'all records of both';
	$r = run('lakecat', $dir);
	like $r->{err}, qr{^lakecat: \Q$dir\E/p/00000002.jsonl: T/0: offset 0 comes after 9: the topic was made anew}m;
	is scalar(() = $r->{err} =~ /made anew/g), 1, 'said once';
};

subtest 'few descriptors at first: as many as are allowed are taken' => sub {
	my $dir = new_dir();
	my @lines = map { record('T', 0, $_, 'p' . $_ % 100) } 0 .. 999;
	store($dir, \@lines);
	my $r = pipeline("ulimit -S -n 80; lakecat -q $dir");
	is $r->{exit}, 0;
	is_deeply order_problems($r->{out}), [];
	is scalar(() = $r->{out} =~ /\n/g), 1000;
};

subtest 'no lake' => sub {
	my $r = run('lakecat', "$top/nowhere");
	is $r->{exit}, 65;
	like $r->{err}, qr{^lakecat: \Q$top\E/nowhere: No such file or directory\n\z};
	my $dir = new_dir();
	$r = run('lakecat', $dir);
	is $r->{exit}, 65;
	like $r->{err}, qr/is not a lake/;
	run('jsonl-sink', '-q', $dir);
	is lakecat('--marks', $dir), qq({"mark":{"kind":"end","records":0}}\n), 'an empty lake is one';
	mkdir "$dir/.sluice" unless -d "$dir/.sluice";
	unlink "$dir/.sluice/journal";
	spew("$dir/.sluice/journal.1", '');
	$r = run('lakecat', $dir);
	is $r->{exit}, 65;
	like $r->{err}, qr/journal: missing, though journal\.1 is there/;
};

# ---- size and trouble ----

# The peak of the resident memory in KiB, of a command that must succeed.
sub peak
{
	my ($command) = @_;
	my $r = pipeline("python3 -c 'import resource, subprocess, sys; subprocess.check_call(sys.argv[1:]); " .
		"print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)' $command", timeout => 120);
	is $r->{exit}, 0, $command or diag $r->{err};
	return $r->{err};
}

subtest '10,000 paths in one commit: bounded memory, few descriptors' => sub {
	for my $z ([], ['-z', 'gzip:1']) {
		my $dir = new_dir();
		my $big = 'x' x 400;
		srand 5;
		my $lines = join '', map { record('T', 0, $_, 'p=' . int rand 10_000, qq({"s":"$big"})) . "\n" } 0 .. 60_000;
		store($dir, $lines, @$z);
		my $out = "$top/out";
		my $kib = peak("sh -c 'ulimit -n 100; exec lakecat -q $dir > $out'");
		cmp_ok $kib, '<', 400_000, "KiB @$z" unless sanitized();
		open my $f, '<', $out or die;
		my ($n, $bad) = (0, 0);
		while (<$f>) {
			/"offset":(\d+)/ && $1 == $n++ or $bad++;
		}
		is $n, 60_001;
		is $bad, 0, 'in the very order that they came';
	}
};

subtest 'a file far larger than memory is needed for' => sub {
	plan skip_all => 'the sanitizers keep what is freed' if sanitized();
	my $dir = new_dir();
	is pipeline("txgen -q -R -t TX -c 150000 transactions | jsonl-sink -q -p p $dir")->{exit}, 0;
	cmp_ok peak("sh -c 'exec lakecat -q $dir > /dev/null'"), '<', 16_000, 'KiB';
};

subtest 'a line of 20 MB' => sub {
	my $dir = new_dir();
	my $payload = '{"a":"' . 'x' x 20_000_000 . '"}';
	my $lines = join '', map { "$_\n" } record('T', 0, 0, 'p'), record('T', 0, 1, 'q', $payload), record('T', 0, 2, 'p');
	store($dir, $lines, '-z', 'gzip');
	ok lakecat($dir) eq $lines;
};

my $many = new_dir();
store($many, [ map { record('T', 0, $_, 'p') } 0 .. 20_000 ]);

subtest 'a full stdout is 74' => sub {
	my $r = run('lakecat', '-q', $many, { out => '/dev/full' });
	is $r->{exit}, 74;
	is $r->{err}, "lakecat: stdout: No space left on device\n";
};

subtest 'SIGPIPE ends it silently' => sub {
	my $r = pipeline("lakecat $many | head -1");
	is $r->{exit}, 141;
	is $r->{err}, '';
};

for (['TERM', 0], ['INT', 130]) {
	my ($signal, $exit) = @$_;
	subtest "$signal ends it at a line with $exit, without an end mark" => sub {
		my $fifo = new_dir() . '/fifo';
		POSIX::mkfifo($fifo, 0600) or die;
		my $p = spawn('bash', '-c', "exec lakecat --marks $many > $fifo");
		open my $f, '<', $fifo or die;
		my $out = <$f>;
		kill $signal, $p->{pid};
		local $/;
		$out .= <$f>;
		my $r = finish($p, 20);
		is $r->{exit}, $exit;
		like $out, qr/\}\n\z/;
		unlike $out, qr/"end"/;
		like $r->{err}, qr/^lakecat: \d+ records from 1 file of 1 commit, .*\n\z/;
	};
}

subtest 'the summary' => sub {
	like run('lakecat', $many)->{err}, qr/^lakecat: 20001 records from 1 file of 1 commit, [\d.]+ MB, .*\n\z/;
};

done_testing();
