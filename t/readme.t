# The recipes of README work as they stand there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;

my ($recipes) = slurp("$SRC/README") =~ /^Recipes\n-+\n(.*)\z/ms or BAIL_OUT('no recipes in README');

# Blocks of indented lines, each a script; what is no shell (a unit, a configuration file) is told apart by form.
my @blocks = map { s/^    //gmr } $recipes =~ /((?:^    .*\n)+)/mg;
my @scripts = grep { !/^\[|^[a-z.]+=/ } @blocks;
my ($unit) = grep { /^ExecStart=/m } @blocks;
ok @scripts >= 8, 'README has recipes: ' . @scripts;

my %topic = map { $_ => topic($_, partitions => 4) } qw(TX USER_TOTALS WINDOWS REFERENCE);
my $names = join '|', sort keys %topic;
my $dir = tempdir();
symlink "$SRC/$_", "$dir/$_" for qw(etc sql);

# What README calls ~/.my.cnf; any server will do, for t/sql.t tries both.
my ($db) = Sluice::Db::servers();
symlink $db->defaults, "$ENV{HOME}/.my.cnf" or BAIL_OUT("no ~/.my.cnf: $!");
my $database = "dw_readme_$$";
END { local $?; eval { $db->sql("DROP DATABASE $database") } if $db }

# The topics and the database of README by the names that they have in this run.
sub shell
{
	my ($script) = @_;
	$script =~ s/\b($names)\b/$topic{$1}/g;
	$script =~ s/(DATABASE|-D) dw\b/$1 $database/g;
	return run('bash', '-e', '-o', 'pipefail', '-c', $script, { cwd => $dir });
}

is shell('txgen -R -t TX -p 4 -c 2000 transactions | kwrite -t TX')->{exit}, 0, 'there are transactions';
is shell('txgen -t USER_TOTALS -p 4 -c 500 user-totals | kwrite -t USER_TOTALS')->{exit}, 0, 'and totals';
is shell('txgen -c 500 windows | kwrite -t WINDOWS')->{exit}, 0, 'and windows';
is shell('txgen -R reference | kwrite -t REFERENCE')->{exit}, 0, 'and static data';
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

sub value { return $db->value("SELECT $_[0]" =~ s/(FROM|JOIN) /$1 $database./gr) }

is value('COUNT(*) FROM fact_transactions'), 2000, 'each transaction is in the warehouse once';
my $keys = lines(q{kread -q -t USER_TOTALS -e | jq -s 'group_by(.key)[] | last | select(.payload) | .key'});
is value('COUNT(*) FROM fact_user_totals'), $keys, 'totals by the mapping: one for each key that was not deleted';
is value('COUNT(*) FROM user_totals'), $keys, '... and the same without it';
is value('COUNT(*) FROM dim_payment_methods WHERE label IS NOT NULL'), 6, 'the ways to pay have labels';
cmp_ok value('COUNT(*) FROM fact_windows'), '>', 100, 'there are windows';
is value("SUM(next_offset) FROM sluice_positions WHERE name = 'from-lake'"), 2000, 'the lake has been replayed';

my $first = shell('kread -t TX -e --from new/ | partition | tee stream | jsonl-sink new/');
is $first->{exit}, 0, 'the line with --from also begins a lake';
$first = shell('kread -q -t TX -e --from none/ | grep -c offset');
is $first->{exit}, 0, '... though it is not there when kread looks';

done_testing;
