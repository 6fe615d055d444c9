# What people read a lake with takes it as it is: DuckDB, pandas, pyarrow, jq and zcat see every committed record
# once, year, month and day as columns, and nothing of what is not committed.

use strict;
use warnings;
use FindBin;
use IO::Handle;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my $dir = tempdir();
my $lake = "$dir/lake";
my $python = python();

# Two commits of three days, one of them compressed; amounts that a sum tells apart.
for (['1', '-z', 'gzip:1'], ['2001']) {
	my ($first, @how) = @$_;
	my $r = pipeline("txgen -q -R -t TX-$first --first $first -c 2000 transactions | partition -q -l "
		. "'streams/TX/year=%Y/month=%m/day=%d' | jsonl-sink -q @how $lake");
	is $r->{exit}, 0, "2000 records @how" or diag $r->{err};
}

# A third writer that has written, but not committed: its records must not be seen by anybody.
sub late
{
	return qq({"path":"streams/TX/year=2026/month=11/day=02","topic":"LATE","partition":0,"offset":$_[0],)
	    . qq("ts":1793600000000,"key":null,"payload":{"transaction_id":"LATE","amount":1e9,"pad":"@{['x' x 500]}"}}\n);
}
pipe my $in, my $to or die "pipe: $!";
my $sink = spawn('jsonl-sink', '-q', '-i', 3600, $lake, { stdin => $in });
my $late = 0;
print $to late($late++) while $late < 10_000;
$to->flush;
wait_until(20, 'a temporary file', sub { grep { -s } glob "$lake/streams/TX/*/*/*/.sluice-*" });

my @files = glob "$lake/streams/TX/year=2026/month=11/day=*/*.jsonl*";
cmp_ok scalar(@files), '>=', 6, 'files of three days and two commits: ' . @files;

# By the oracle: how many records of each day, and the cents of them all.
my (%day, $cents, %id);
for my $file (@files) {
	my ($day) = $file =~ /day=0*(\d+)/;
	for (json_lines(run('zcat', '-f', $file)->{out})) {
		$day{$day}++;
		$id{ $_->{payload}{transaction_id} }++;
		$cents += sprintf '%.0f', $_->{payload}{amount} * 100;
	}
}
is scalar(keys %id), 4000, 'zcat: all of them, each once';
my $expect = join("\n", (map { "$_ $day{$_}" } sort { $a <=> $b } keys %day), $cents) . "\n";

sub reads
{
	my ($what, @command) = @_;
	my $r = run(@command, { cwd => $lake, timeout => 120 });
	is $r->{out}, $expect, $what or diag $r->{err};
}

reads('DuckDB', $python, '-c', <<'EOP');
import duckdb
table = "read_json('streams/TX/*/*/*/*.jsonl*', hive_partitioning = true)"
for row in duckdb.sql("SELECT day::INT, count(*) FROM %s WHERE year = 2026 AND month = 11 GROUP BY ALL ORDER BY 1" % table).fetchall():
    print(*row)
print(duckdb.sql("SELECT sum(round(payload.amount * 100))::BIGINT FROM %s" % table).fetchall()[0][0])
EOP

reads('DuckDB, every file below', $python, '-c', <<'EOP');
import duckdb
table = "read_json('streams/**/*.jsonl*', hive_partitioning = true)"
for row in duckdb.sql("SELECT day::INT, count(*) FROM %s GROUP BY ALL ORDER BY 1" % table).fetchall():
    print(*row)
print(duckdb.sql("SELECT sum(round(payload.amount * 100))::BIGINT FROM %s" % table).fetchall()[0][0])
EOP

reads('pyarrow, with the partitions as columns', $python, '-c', <<'EOP');
import pyarrow.dataset as ds
t = ds.dataset("streams/TX", format="json", partitioning="hive").to_table()
for row in sorted(t.group_by(["year", "month", "day"]).aggregate([([], "count_all")]).to_pylist(), key=lambda r: r["day"]):
    print(row["day"], row["count_all"])
print(sum(round(p["amount"] * 100) for p in t.column("payload").to_pylist()))
EOP

reads('pandas', $python, '-c', <<'EOP');
import glob, pandas as pd
files = glob.glob("streams/TX/*/*/*/*.jsonl*")
t = pd.concat(pd.read_json(f, lines=True).assign(day=int(f.split("day=")[1][:2])) for f in files)
for day, count in t.groupby("day").size().items():
    print(day, count)
print(int(sum(round(p["amount"] * 100) for p in t.payload)))
EOP

my $jq = pipeline('find streams -name "*.jsonl*" -exec zcat -f {} + | jq -n "reduce inputs as \$r (0; . + (\$r.payload.amount * 100 | round))"',
	cwd => $lake);
is $jq->{out}, "$cents\n", 'zcat | jq';

close $to;
is finish($sink)->{exit}, 0, 'the late writer commits';
my $r = run($python, '-c', <<'EOP', { cwd => $lake });
import duckdb
print(duckdb.sql("SELECT count(*) FROM read_json('streams/TX/*/*/*/*.jsonl*')").fetchall()[0][0])
EOP
is $r->{out}, "14000\n", 'and then its records are seen' or diag $r->{err};

done_testing;
