#!/usr/bin/perl
# Gaps, order, recreated and truncated topics, from a real broker through the whole pipeline: each is noticed
# with 65, the message says what and where and what to do, nothing moves, and the override does what it says.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

need_kafka();

my $ms = 1763697600000;

# N rows from number FROM on, one ms apart beginning at AT.
sub rows
{
	my ($from, $n, $at) = @_;
	return map { { k => "k$_", v => "{\"n\":$_}", ts => ($at // $ms) + $_ } } $from .. $from + $n - 1;
}

sub new_topic
{
	my ($n, %args) = @_;
	my $t = topic('GAP', %args);
	produce($t, rows(0, $n)) if $n;
	return $t;
}

sub all { return sort { $a cmp $b } @_ }

# What the lake holds, read without our tools: "topic/partition/offset payload", sorted as found.
sub stored
{
	my ($lake) = @_;
	my @lines;
	for my $file (split /\n/, `find $lake -name '*.jsonl' ! -path '*/.*' | sort`) {
		for my $r (json_lines(slurp($file))) {
			push @lines, exists $r->{offset} ? "$r->{partition}/$r->{offset} $r->{payload}{n}" : 'bare';
		}
	}
	return all(@lines);
}

sub expect { my ($from, $n) = @_; return all(map { "0/$_ $_" } $from .. $from + $n - 1) }

# The state that must not move: files and journal, byte for byte.
sub state_of { my ($lake) = @_; return `cd $lake && find . -type f ! -name lock | sort | xargs cksum` }

sub refused
{
	my ($what, $lake, $command, @says) = @_;
	my $before = state_of($lake);
	my $r = pipeline($command, timeout => 60);
	is $r->{exit}, 65, "$what: 65" or diag $r->{err};
	like $r->{err}, $_, "$what: says $_" for @says;
	is state_of($lake), $before, "$what: nothing moved";
	return $r;
}

sub done
{
	my ($what, $command) = @_;
	my $r = pipeline($command, timeout => 60);
	is $r->{exit}, 0, "$what: 0" or diag $r->{err};
	return $r;
}

my $dir = tempdir();
my $n = 0;
sub lake { return "$dir/lake" . ++$n }

# ---- a filter that drops the first new record, and no marks to tell that it was seen ----
{
	my $t = new_topic(10);
	my $lake = lake();
	done('first run', "kread -t $t -e | partition | jsonl-sink $lake");
	produce($t, rows(10, 5));
	my $filter = "jq -c 'select(.payload.n > 11)'";
	refused('a filter without marks', $lake, "kread -t $t -e -o 10 | $filter | partition | jsonl-sink $lake",
		qr{\Q$t\E/0: gap: the stream starts at offset 12, but the stored position is 10: 2 offsets},
		qr{filter that drops marks}, qr{--from}, qr{--allow-gap});
	done('--allow-gap', "kread -t $t -e -o 10 | $filter | partition | jsonl-sink --allow-gap $lake");
	is_deeply [ stored($lake) ], [ all(expect(0, 10), expect(12, 3)) ], '--allow-gap stores what comes';
}
{
	my $t = new_topic(10);
	my $lake = lake();
	done('first run', "kread -t $t -e | partition | jsonl-sink $lake");
	produce($t, rows(10, 5));
	done('a filter that passes marks', "kread -t $t -e --from $lake | jq -c 'select(.mark or .payload.n > 11)' | " .
			"partition | jsonl-sink $lake");
	like run('jsonl-sink', '-Q', $lake)->{out}, qr/"offset":15/, 'a filter that passes marks does not freeze the position';
	done('and nothing is a gap next time', "kread -t $t -e --from $lake | partition | jsonl-sink $lake");
}

# ---- a sort in the pipeline ----
{
	my $t = new_topic(20);
	my $lake = lake();
	done('a lake that does not know the topic', "jsonl-sink $lake </dev/null");
	refused('a sort', $lake, "kread -t $t -e | partition | sort -r | jsonl-sink $lake",
		qr{\Q$t\E/0: offset \d+ comes after \d+: is there a sort in the pipeline\?});
}

# ---- an -o beyond the position ----
{
	my $t = new_topic(10);
	my $lake = lake();
	done('first run', "kread -t $t -e -c 4 | partition | jsonl-sink $lake");
	refused('-o beyond the position', $lake, "kread -t $t -e -o 7 --marks | partition | jsonl-sink $lake",
		qr{\Q$t\E/0: gap: the stream starts at offset 7, but the stored position is 4: 3 offsets});
	refused('-o beyond the position, without marks', $lake, "kread -t $t -e -o 7 | partition | jsonl-sink $lake",
		qr{gap: the stream starts at offset 7}, qr{-o});
	done('-o below it is no gap', "kread -t $t -e -o 2 | partition | jsonl-sink $lake");
	is_deeply [ stored($lake) ], [ expect(0, 10) ], '-o below the position: nothing lost, nothing twice';
	refused('-o with --from', $lake, "kread -t $t -e -o 2 --from $lake; test \$? = 64 && exit 65", qr{--from});
}

# ---- records deleted before the sink had them ----
{
	my $t = new_topic(20);
	my $lake = lake();
	done('first run', "kread -t $t -e -c 5 | partition | jsonl-sink $lake");
	kt(delete_records => topic => $t, offset => 12);
	refused('DeleteRecords, --from', $lake, "kread -t $t -e --from $lake | partition | jsonl-sink $lake",
		qr{\Q$t\E.* 5 .* 12: 7 offsets were deleted}, qr{--skip-lost});
	refused('DeleteRecords, from the beginning', $lake, "kread -t $t -e --marks | partition | jsonl-sink $lake",
		qr{gap: the stream starts at offset 12, but the stored position is 5: 7 offsets}, qr{retention});
	refused('--skip-lost alone', $lake, "kread -t $t -e --from $lake --skip-lost | partition | jsonl-sink $lake",
		qr{gap: .* 12}, qr{--allow-gap});
	done('both overrides', "kread -t $t -e --from $lake --skip-lost | partition | jsonl-sink --allow-gap $lake");
	is_deeply [ stored($lake) ], [ all(expect(0, 5), expect(12, 8)) ], 'both overrides: all that is left is stored';
	done('and on', "kread -t $t -e --from $lake | partition | jsonl-sink $lake");
}

# ---- recreated: shorter, longer, of the same length ----
for my $case ([ shorter => 6 ], [ longer => 30 ], [ 'of the same length' => 10 ]) {
	my ($what, $now) = @$case;
	my $t = new_topic(10);
	my $lake = lake();
	my $marks = "$dir/marks";
	done('first run', "kread -t $t -e | partition | jsonl-sink $lake");
	kt(delete => topic => $t);
	kt(create => topic => $t);
	produce($t, rows(0, $now, $ms + 100_000));
	refused("recreated $what, --from LAKE", $lake, "kread -t $t -e --from $lake | partition | jsonl-sink $lake",
		qr{\Q$t\E\W+0}, qr{recreated|made anew}, qr{--recreated});
	refused("recreated $what, --from -", $lake,
		"jsonl-sink -Q $lake | kread -t $t -e --from - | partition | jsonl-sink $lake", qr{\Q$t\E\W+0}, qr{recreated|made anew});
	run('sh', '-c', "jsonl-sink -Q $lake >$marks");
	refused("recreated $what, --from FILE", $lake, "kread -t $t -e --from $marks | partition | jsonl-sink $lake",
		qr{\Q$t\E\W+0}, qr{recreated|made anew});
	refused("recreated $what, from the beginning", $lake, "kread -t $t -e --marks | partition | jsonl-sink $lake",
		qr{\Q$t\E/0}, qr{made anew}, qr{--recreated});
	done('--recreated', "kread -t $t -e --marks | partition | jsonl-sink --recreated $lake");
	is_deeply [ stored($lake) ], [ all(expect(0, 10), expect(0, $now)) ], "recreated $what, --recreated: stored anew";
	like run('jsonl-sink', '-Q', $lake)->{out}, qr/"offset":$now,/, "recreated $what: the position began anew";
	refused("recreated $what, --recreated once more", $lake,
		"kread -t $t -e --marks | partition | jsonl-sink --recreated $lake", qr{stored already}, qr{without --recreated});
	done('the ordinary line goes on', "kread -t $t -e --from $lake | partition | jsonl-sink $lake");
	is run('jsonl-sink', '--check', '-q', $lake)->{exit}, 0, "recreated $what: the lake is clean";
}

# ---- a stream that ends below the position, without marks: only a warning is possible ----
{
	my $t = new_topic(10);
	my $lake = lake();
	done('first run', "kread -t $t -e | partition | jsonl-sink $lake");
	my $r = done('a shorter stream without marks', "kread -t $t -e -c 4 | partition | jsonl-sink $lake");
	like $r->{err}, qr{\Q$t\E/0: the stream ends at offset 3, below the stored position 10}, 'a shorter stream without marks: warned';
}

# ---- truncated: the log ends below the position (as after an unclean leader election) ----
{
	my $t = new_topic(10);
	my $lake = lake();
	my $line = qq({"mark":{"kind":"position","topic":"$t","partition":0,"offset":25,"last":{"offset":24,"ts":1}}}\n);
	done('first run', "kread -t $t -e | partition | jsonl-sink $lake");
	my $r = run('kread', '-t', $t, '-e', '--from', '-', { stdin => $line });
	is $r->{exit}, 65, 'a position beyond the end: 65';
	like $r->{err}, qr{\Q$t\E\W+0.*25}, 'a position beyond the end: says where';
	is $r->{out}, '', 'a position beyond the end: not a byte of output';
}

# ---- a second name, and two pipelines under one ----
{
	my $t = new_topic(10);
	my $lake = lake();
	done('first pipeline', "kread -t $t -e | partition | jsonl-sink $lake");
	my $r = done('second pipeline, same name', "kread -t $t -e | partition -l 'other/{topic}' | jsonl-sink $lake");
	like $r->{err}, qr{other/\Q$t\E.*"append" never wrote}, 'a second pipeline under one name is warned';
	done('second pipeline, its own name', "kread -t $t -e | partition -l 'other/{topic}' | jsonl-sink -N other $lake");
	is scalar(my @all = stored($lake)), 20, 'two names: each has stored all';
}

done_testing;
