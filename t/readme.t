# The recipes of README work as they stand there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my ($recipes) = slurp("$SRC/README") =~ /^Recipes\n-+\n(.*)\z/ms or BAIL_OUT('no recipes in README');

# Blocks of indented lines, each a script; what is no shell (a unit, a configuration file) is told apart by form.
my @blocks = map { s/^    //gmr } $recipes =~ /((?:^    .*\n)+)/mg;
my @scripts = grep { !/^\[|^[a-z.]+=/ } @blocks;
my ($unit) = grep { /^ExecStart=/m } @blocks;
ok @scripts >= 8, 'README has recipes: ' . @scripts;

my %topic = (TX => topic('TX', partitions => 4), USER_TOTALS => topic('USER_TOTALS', partitions => 2));
my $dir = tempdir();

# The topics of README by the names that they have in this run.
sub shell
{
	my ($script) = @_;
	$script =~ s/\b(TX|USER_TOTALS)\b/$topic{$1}/g;
	return run('bash', '-e', '-o', 'pipefail', '-c', $script, { cwd => $dir });
}

is shell('txgen -R -t TX -p 4 -c 2000 transactions | kwrite -t TX')->{exit}, 0, 'there are transactions';
is shell('txgen -t USER_TOTALS -p 2 -c 500 user-totals | kwrite -t USER_TOTALS')->{exit}, 0, 'and totals';
kt(create => topic => "$topic{TX}-$_", partitions => 4) for 'copy', 'again';

for my $script (@scripts) {
	my $r = shell($script);
	is $r->{exit}, 0, $script =~ s/\n.*//sr or diag $r->{err};
}
my ($command) = $unit =~ /^ExecStart=\S+ -o pipefail -c '(.*)'$/m;
is shell($command)->{exit}, 0, 'the unit runs its pipeline';

# What they promise, looked at from outside.
sub lines { return scalar split /\n/, shell($_[0])->{out} }

is lines('cat $(find data_lake/streams -name "*.jsonl")'), 2000, 'each transaction is in the lake once';
is lines('lakecat -t TX -N append data_lake/'), 2000, 'lakecat gives them all back';
is lines('lakecat -t TX by_city/'), 2000, 'by city: all of them';
my $large = shell(q{kread -q -t TX -e | jq -c 'select(.payload.amount > 500)'})->{out} =~ tr/\n//;
cmp_ok $large, '>', 0, 'there are large amounts';
is lines('cat $(find data_lake/large -name "*.jsonl")'), $large, 'the filtered pipeline keeps just those';
is lines('cat data_lake/tables/USER_TOTALS/snapshot.jsonl'), 500, 'the table is whole';
is lines('cat $(find data_lake/sales -name "*.jsonl")'), 100, 'objects from elsewhere are there';
is_deeply [ map { [ @$_{qw(partition offset key value ts)} ] } rows_of("$topic{TX}-copy") ],
    [ map { [ @$_{qw(partition offset key value ts)} ] } rows_of($topic{TX}) ], 'the copied topic is the same';
is scalar(rows_of("$topic{TX}-again")), 2000, 'the lake was replayed';
is shell('jsonl-sink --check copy_of_lake/')->{exit}, 0, 'the copied lake is sound';
is lines('lakecat copy_of_lake/'), lines('lakecat -N append data_lake/'), 'and holds as much';

my $first = shell('kread -t TX -e --from new/ | partition | tee stream | jsonl-sink new/');
is $first->{exit}, 0, 'the line with --from also begins a lake';
$first = shell('kread -q -t TX -e --from none/ | grep -c offset');
is $first->{exit}, 0, '... though it is not there when kread looks';

done_testing;
