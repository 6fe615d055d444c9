#!/usr/bin/perl
# The lake as others read it: DuckDB, pandas, pyarrow, jq and zcat take it as it is, find its hive partitions,
# and see neither temporary files nor half a commit.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use IO::Handle;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = tempdir();
my $python = python();

# Prints what the expression `result` is, as JSON.
sub py
{
	my ($lake, $code) = @_;
	my $r = run($python, '-c', "import json, sys\nlake = sys.argv[1]\n$code\nprint(json.dumps(result, default=str))", $lake, { timeout => 120 });
	return $r->{exit} ? "exit $r->{exit}: " . substr($r->{err}, -800) : json($r->{out});
}

my $glob = "lake + '/**/*.jsonl*'";

# Transactions of several days, as record, payload and flat; plain and compressed.
my $count = 3000;
sub fill
{
	my ($lake, @args) = @_;
	my $r = pipeline("txgen -q -R --marks -c $count -p 3 --days 4 transactions | partition -q | jsonl-sink -q --size 100k @args $lake");
	is $r->{exit}, 0, 'filled' or diag $r->{err};
	return;
}

my @lakes = (['plain', '-w', 'record'], ['gzip', '-w', 'record', '-z', 'gzip', '-j', '2'], ['payload', '-w', 'payload'], ['flat', '-w', 'flat', '-z', 'gzip:1']);
fill("$dir/$_->[0]", @$_[1 .. $#$_]) for @lakes;

# Something uncommitted everywhere, for the rest of this test: sinks held in the middle of a run.
my ($late, @held) = (8000);
for (@lakes) {
	my ($name, @args) = @$_;
	my $source = pipeline("txgen -q -R --marks -c $late --first 100000 --size 800 -t LATE --days 4 transactions | partition -q -l 'streams/transactions/year=%Y/month=%m/day=%d'");
	pipe my $in, my $to or die;
	my $p = spawn('jsonl-sink', '-q', '-N', 'held', @args, "$dir/$name", { stdin => $in });
	close $in;
	$to->autoflush(1);
	print $to $source->{out} =~ s/\{"mark":\{"kind":"end".*\n//r;
	$p->{to} = $to;
	push @held, $p;
	# Each path has more than the mebibyte that stays in memory, so part of it is in temporary files; what is being
	# compressed may wait for more to come.
	my @written = "@args" =~ /gzip/ ? () : ('-size', '+0');
	wait_until(60, "$name: temporary files",
		sub { run('find', "$dir/$name", '-name', '.sluice-*', '-type', 'f', @written)->{out} =~ /day=/ });
}

subtest 'DuckDB reads all shapes and sees the partitions' => sub {
	for (@lakes) {
		my ($name) = @$_;
		my $r = py("$dir/$name", "import duckdb\n"
		    . "result = duckdb.sql(f\"select count(*), count(distinct day), min(year), max(month) from read_json_auto('{lake}/streams/**/*.jsonl*', hive_partitioning=true)\").fetchall()[0]");
		is_deeply $r, [ $count, 4, 2026, 11 ], $name or diag explain $r;
	}
	my $r = py("$dir/plain", "import duckdb\nresult = duckdb.sql(f\"select count(*), count(distinct (\\\"partition\\\", \\\"offset\\\")), sum(payload.amount)::decimal(18,2)::varchar from read_json_auto('{lake}/streams/**/*.jsonl')\").fetchall()[0]");
	my $f = py("$dir/flat", "import duckdb\nresult = duckdb.sql(f\"select count(*), count(distinct (_partition, _offset)), sum(amount)::decimal(18,2)::varchar from read_json_auto('{lake}/streams/**/*.jsonl.gz')\").fetchall()[0]");
	is $r->[1], $count, 'each record once';
	is_deeply $f, $r, 'flat has the same amounts';
	my $one = py("$dir/gzip", "import duckdb\nresult = duckdb.sql(f\"select count(*) from read_json_auto('{lake}/streams/*/*/*/day=02/*.jsonl*', hive_partitioning=true) where day = 2\").fetchall()[0][0]");
	cmp_ok $one, '>', 0, 'one day by a glob of its data files';
};

subtest 'pandas reads each file' => sub {
	for (@lakes) {
		my ($name) = @$_;
		my $r = py("$dir/$name", "import pandas as pd, glob\nfiles = glob.glob($glob, recursive=True)\n"
		    . "frames = [pd.read_json(f, lines=True) for f in files]\nresult = [sum(len(f) for f in frames), min(len(f) for f in frames) > 0]");
		is_deeply $r, [ $count, JSON::PP::true() ], $name or diag explain $r;
	}
};

subtest 'pyarrow reads the lake as one hive data set' => sub {
	for my $name (qw(plain payload)) {
		my $r = py("$dir/$name", "import pyarrow.dataset as ds\n"
		    . "d = ds.dataset(lake + '/streams', format='json', partitioning='hive')\nt = d.to_table(columns=['year', 'month', 'day'])\n"
		    . "result = [t.num_rows, len(set(t.column('day').to_pylist())), t.column('year')[0].as_py()]");
		is_deeply $r, [ $count, 4, 2026 ], $name or diag explain $r;
	}
};

subtest 'jq and zcat read it by a glob' => sub {
	for (@lakes) {
		my ($name) = @$_;
		my $r = pipeline("shopt -s globstar nullglob; { cat /dev/null $dir/$name/**/*.jsonl; for f in $dir/$name/**/*.gz; do zcat \$f || exit; done; } | jq -c type | sort | uniq -c");
		is $r->{exit}, 0;
		like $r->{out}, qr/^\s*$count "object"\n$/, $name;
	}
	my $r = run('sh', '-c', "cat $dir/gzip/streams/*/*/*/*/*.gz | zcat | jq -s 'map([.topic, .partition, .offset]) | unique | length'");
	is $r->{out}, "$count\n", 'files of several commits concatenate';
};

subtest 'the journal is a catalog for jq' => sub {
	my $r = run('jq', '-s', '[.[].add[].records] | add', "$dir/plain/.sluice/journal");
	is $r->{out}, "$count\n";
};

subtest 'what was held back comes when it is committed' => sub {
	for my $i (0 .. $#held) {
		my $name = $lakes[$i][0];
		close $held[$i]{to};
		is finish($held[$i])->{exit}, 0, $name;
		my $r = py("$dir/$name", "import duckdb\nresult = duckdb.sql(f\"select count(*) from read_json_auto('{lake}/streams/**/*.jsonl*')\").fetchall()[0][0]");
		is $r, $count + $late, "$name: now they are there";
		is run('jsonl-sink', '--check', "$dir/$name")->{exit}, 0;
	}
};

# While a sink commits again and again, whatever a reader opens is whole.
subtest 'beside a running sink every visible file is whole at every moment' => sub {
	my $lake = "$dir/busy";
	# Half of it, and the rest when a reader has seen some, so that there surely is a reader in the middle.
	my $wait = "perl -pe 'if (\$. == 20000) { select undef, undef, undef, 0.05 until -e qq($dir/go) }'";
	my $p = spawn('bash', '-c', "txgen -q -R --marks -c 40000 --days 4 transactions | $wait | partition -q | jsonl-sink -q -z gzip:1 --size 40k $lake");
	my ($rounds, $partial, $last, $bad) = (0, 0, 0, '');
	my $deadline = time + 300;
	while (!$bad && time < $deadline) {
		my $over = waitpid($p->{pid}, POSIX::WNOHANG()) == $p->{pid};
		my $n = py($lake, "import duckdb, glob\nfiles = glob.glob(lake + '/streams/**/*.jsonl.gz', recursive=True)\n"
		    . "result = duckdb.sql(f\"select count(*), count(distinct \\\"offset\\\") from read_json_auto({files}, union_by_name=true)\").fetchall()[0] if files else [0, 0]");
		$bad = ref $n ? $n->[0] != $n->[1] ? 'a record twice' : $n->[0] < $last ? 'records are gone' : '' : $n;
		my $z = run('bash', '-c', "shopt -s globstar nullglob; for f in $lake/**/*.gz; do zcat \$f | tail -c 1 | od -An -c | grep -q '\\\\n' || { echo \$f; exit 1; }; done");
		$bad ||= "zcat: $z->{out}$z->{err}" if $z->{exit};
		$last = $n->[0] if ref $n;
		$partial++ if $last > 0 && $last < 40000;
		spew("$dir/go", '') if $partial;
		$rounds++;
		last if $over;
	}
	is $bad, '', "$rounds rounds of readers";
	is $last, 40000, 'to the end';
	cmp_ok $partial, '>', 0, "$partial of them in the middle";
};

done_testing();
