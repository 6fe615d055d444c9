# The EXAMPLES of the manual run as they stand there, in the order of the page, on topics TX, USER_TOTALS and
# TOTALS_5M.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Man;
use Test::More;

my @here = qw(jsonl-sink kread lakecat mysql-upsert sluice-stream.5 sluice-lake.5 sluice.7);

# The others are run, and looked at, where their tools are tested.
my %run = map { $_ => 1 } @here, map { slurp($_) =~ /\bexamples\('([\w.-]+)'\)/g } glob "$SRC/t/*.t";
$run{partition} = 1 if slurp("$SRC/t/partition.t") =~ /EXAMPLES of the man page run/;
is join(' ', grep { !$run{$_} && !$run{s/\.1$//r} } map { s{.*/}{}r } glob "$SRC/man/*"), '', 'every page has its examples run';

my %topic = (TX => topic('TX', partitions => 2), USER_TOTALS => topic('USER_TOTALS'), TOTALS_5M => topic('TOTALS_5M'));
my $topics = join '|', sort { length $b <=> length $a } keys %topic;

# The examples of a page are one session in one directory.
my $dw;
sub shell
{
	my ($dir, $script, @before) = @_;
	$script =~ s/(?<!\w)($topics)\b(?!\/)/$topic{$1}/g;
	$script =~ s/'\^T'/'^$topic{TX}\$'/;
	$script =~ s{/usr/local/share/sluice/(?=sql/)}{$SRC/}g;
	$script =~ s{/usr/local/share/sluice}{$SRC/etc}g;
	$script =~ s/-D dw\b/-D $dw/g if $dw;
	return run(@before, 'bash', '-e', '-o', 'pipefail', '-c', $script, { cwd => $dir, timeout => 120 });
}

my $top = tempdir();
is shell($top, 'txgen -R -t TX -p 2 -c 3000 transactions | kwrite -q -t TX')->{exit}, 0, 'there are transactions';
is shell($top, 'txgen -t USER_TOTALS -c 500 user-totals | kwrite -q -t USER_TOTALS')->{exit}, 0, 'and totals';
is shell($top, 'txgen -t TOTALS_5M -c 500 windows | kwrite -q -t TOTALS_5M')->{exit}, 0, 'also by window';

# ~/.my.cnf leads to a warehouse; a page sees the etc/ of the sources.
my ($db) = Sluice::Db::servers();
$dw = $db->database('dw');
spew("$ENV{HOME}/.my.cnf", slurp($db->defaults));
is run('mariadb', $dw, { stdin => slurp("$SRC/sql/schema.sql") })->{exit}, 0, 'there is a warehouse';
$db->sql('CREATE TABLE user_totals (user_id VARCHAR(64) COLLATE utf8mb4_bin PRIMARY KEY, total_amount DECIMAL(18,2), '
    . 'transaction_count INT, last_transaction DATETIME(3)) DEFAULT CHARSET utf8mb4');

my (%dir, %result);
for my $page (@here) {
	my $dir = $dir{$page} = "$top/$page";
	mkdir $dir or die;
	symlink "$SRC/etc", "$dir/etc" or die;
	my $r = shell($dir, 'kread -q -t TX -e --from data_lake/ | partition -q | jsonl-sink -q data_lake/');
	is $r->{exit}, 0, "a lake for $page" or diag $r->{err};
	my @examples = examples($page);
	cmp_ok scalar(@examples), '>=', 3, "$page has examples";
	for my $script (@examples) {
		# What has no end by itself is told to stop.
		my $endless = $script =~ /kread (?!.*-e\b)(?!.*-c\b)(?!.*e\@)/;
		my $r = shell($dir, $script, $endless ? ('timeout', 3) : ());
		push @{ $result{$page} }, $r;
		is $r->{exit}, $endless ? 124 : 0, $script =~ s/\n\s*/ /gr or diag $r->{err};
		like $r->{err}, qr/^jsonl-sink: \d+ records? in/m, '... and ends in good order' if $endless;
	}
}

# ---- and do what is said of them ----

sub lines { my ($page, $n) = @_; return scalar split /\n/, $result{$page}[$n]{out} }

sub last_states
{
	my %state;
	$state{ $_->{key} } = $_->{payload} for @_;
	return { map { $_ => $state{$_} } grep { $state{$_} } keys %state };
}

sub lakecat { my ($page, @args) = @_; return scalar split /\n/, run('lakecat', '-q', @args, { cwd => $dir{$page} })->{out} }

is lakecat('jsonl-sink', '-N', 'append', 'data_lake'), 3000, 'the timer job repeats nothing';
is lakecat('jsonl-sink', '-N', 'overwrite', 'data_lake'), 500, 'the table is whole';
is lakecat('jsonl-sink', '-N', 'payloads', 'data_lake'), 3000, 'the payloads are all there';

my $large = lines('kread', 0);
cmp_ok $large, '>', 100, 'there are large amounts';
cmp_ok $large, '<', 2900, 'and small ones';
is lines('kread', 3), 5, 'five records, and an end';
is scalar(() = $result{kread}[5]{out} =~ /^[a-z_]+\t\d{13}\t[\d.]*$/mg), 500, 'keys, windows and totals';

is $result{lakecat}[0]{out} + 0, 3000, 'the lake is counted';
is scalar(rows_of("$topic{TX}-again")), 3000, 'and back in a topic';
is lakecat('lakecat', 'by_date'), 3000, 'and in another lake';

my @cities = map { $_->{payload}{city} } json_lines(run('lakecat', '-q', 'nimes', { cwd => $dir{'sluice-stream.5'} })->{out});
cmp_ok scalar(@cities), '>', 10, 'the filter has kept records';
is_deeply [ grep { $_ ne 'Nîmes' } @cities ], [], 'of one city';
is run('jsonl-sink', '-Q', 'nimes', '-N', 'nimes', { cwd => $dir{'sluice-stream.5'} })->{out} =~ s/,"last":\{.*?\}//gr,
    run('jsonl-sink', '-Q', 'data_lake', { cwd => $dir{'sluice-stream.5'} })->{out} =~ s/,"last":\{.*?\}//gr,
    'and the position has moved over the others';
is lakecat('sluice-stream.5', 'from_kcat'), 3000, 'what kcat reads is stored';

is_deeply [ map { $_->[2] } json_lines($result{'sluice-lake.5'}[0]{out}) ], [3000], 'the journal tells how much each commit has';
cmp_ok lines('sluice-lake.5', 2), '>', 0, 'there are files of that day';

my $totals = last_states(json_lines(run('kread', '-q', '-e', '-t', $topic{USER_TOTALS})->{out}));
is $db->value('SELECT COUNT(*) FROM user_totals'), scalar keys %$totals, 'user_totals is what the topic says';
is scalar(() = $result{'mysql-upsert'}[1]{out} =~ /^INSERT INTO `user_totals` /mg), 1, '-n shows a statement';
is $db->value('SELECT COUNT(*) FROM fact_transactions'), 3000, 'transactions are in the warehouse';
is $db->value("SELECT SUM(next_offset) FROM sluice_positions WHERE name = 'from_lake'"), 3000, 'and came from the lake too';

is lakecat('sluice.7', 'large'), $large, 'large amounts';
is lakecat('sluice.7', 'by_city'), 3000, 'by city: all of them';

# ---- sluice.jq ----

like $result{'sluice.7'}[-1]{out}, qr/^user_id.*\n(?:U\d+.*\n){10}/m, 'the warehouse says who has spent most';

subtest 'sluice.jq keeps marks' => sub {
	my $mark = '{"mark":{"kind":"position","topic":"T","partition":0,"offset":9}}';
	my @record = map { qq({"topic":"T","partition":0,"offset":$_,"payload":{"n":$_}}) } 0 .. 3;
	my $dead = '{"topic":"T","partition":0,"offset":4,"payload_enc":"none","payload":null}';
	my $jq = sub {
		my $r = run('jq', '-L', "$SRC/etc", '-c', "include \"sluice\"; $_[0]", { stdin => join "\n", @record, $dead, $mark, '{"n":7}' });
		is $r->{exit}, 0, $_[0] or diag $r->{err};
		return [ split /\n/, $r->{out} ];
	};
	is_deeply $jq->('marks'), [$mark];
	is_deeply $jq->('records'), [ @record, $dead, '{"n":7}' ];
	is_deeply $jq->('keep(.payload.n == 2)'), [ $record[2], $mark ];
	is_deeply $jq->('drop(.payload.n == 2)'), [ @record[0, 1, 3], $dead, $mark, '{"n":7}' ];
	is_deeply $jq->('keep(is_tombstone)'), [ $dead, $mark ];
	is_deeply $jq->('map_payload(.n += 1)'),
	    [ (map { s/"n":(\d)/'"n":' . ($1 + 1)/er } @record), $dead, $mark, '{"n":8}' ];
	is_deeply $jq->('map_payload({n})'), [ @record, $dead, $mark, '{"n":7}' ];
};

done_testing();
