# mysql-upsert keeps a table equal to its topic: the lines of the manual, from a real Kafka, on both servers; and the
# same tables come from a lake, from kcat -J and from topics as ksqlDB writes them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use MIME::Base64 qw(encode_base64);
use Test::More;

need_kafka();

my @servers = Sluice::Db::servers();
my $TOTALS = 'CREATE TABLE user_totals (user_id VARCHAR(32) NOT NULL PRIMARY KEY, total_amount DECIMAL(14,2) NOT NULL, '
    . 'transaction_count INT NOT NULL, last_transaction DATETIME(3)) DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_bin';

sub records { return map { json($_) } split /\n/, $_[0] }

# What a changelog comes down to: the last payload of each key that is not deleted.
sub last_states
{
	my %state;
	for my $r (@_) {
		next unless exists $r->{offset};
		if (defined $r->{payload}) { $state{ $r->{key} } = $r->{payload} }
		else { delete $state{ $r->{key} } }
	}
	return \%state;
}

sub time_of { return $_[0] =~ s/T/ /r =~ s/Z$//r }

# The table as last_states() would have it.
sub is_table
{
	my ($db, $state, $what) = @_;
	my %rows = map { $_->[0] => join ' ', @$_[1 .. 3] } $db->sql('SELECT * FROM user_totals');
	my %want = map {
		$_ => sprintf '%.2f %d %s', $state->{$_}{total_amount}, $state->{$_}{transaction_count}, time_of($state->{$_}{last_transaction})
	} keys %$state;
	return is_deeply(\%rows, \%want, $what);
}

sub args_of { my ($db) = @_; return join ' ', $db->args }

# One topic for all: it is only read.
my $topic = topic('USER_TOTALS', partitions => 3);
my $made = run('txgen', '-q', '-t', $topic, '-p', 3, '-c', 5000, '--users=700', 'user-totals');
my @all = grep { exists $_->{offset} } records($made->{out});
my ($early, $late) = ('', '');
my $n = 0;
for my $line (split /^/, $made->{out}) { $n++ < 3000 ? $early .= $line : ($late .= $line) }
is run('kwrite', '-q', '-t', $topic, '--keep-partition', { stdin => $early })->{exit}, 0, 'there is a changelog';

my %after_first;
for my $db (@servers) {
	$db->database('dw');
	$db->sql($TOTALS);
	my $args = args_of($db);
	my $r = pipeline("kread -q -t $topic -s key=text -e --marks | mysql-upsert $args -T user_totals -k user_id");
	is $r->{exit}, 0, $db->flavour . ': the first run' or diag $r->{err};
	like $r->{err}, qr/^mysql-upsert: 3000 records in, \d+ rows upserted, \d+ deleted, 0 skipped, 0 rejected; .* [1-9]\d\d kB, /m,
	    '... says what it did';
	is_table($db, last_states(@all[0 .. 2999]), '... the table is the last state of each key');
	$r = pipeline("mysql-upsert $args -Q -T user_totals | kread -q -t $topic -e --from - | mysql-upsert $args -T user_totals -k user_id");
	is $r->{exit}, 0, '... a run with nothing new' or diag $r->{err};
	like $r->{err}, qr/^mysql-upsert: 0 records in, 0 rows upserted, 0 deleted, 0 skipped/m, '... reads nothing again';
	is $db->value('SELECT SUM(next_offset) FROM sluice_positions'), 3000, '... the positions are behind the last records';
}
is run('kwrite', '-q', '-t', $topic, '--keep-partition', { stdin => $late })->{exit}, 0, 'the changelog goes on';
for my $db (@servers) {
	my $args = args_of($db);
	my $r = pipeline("mysql-upsert $args -Q -T user_totals | kread -q -t $topic -e --from - | mysql-upsert $args -a -T user_totals -k user_id");
	is $r->{exit}, 0, $db->flavour . ': the second run' or diag $r->{err};
	like $r->{err}, qr/^mysql-upsert: 2000 records in/m, '... reads what is new only';
	is_table($db, last_states(@all), '... and the table is right again');
	my %acked = map { $_->{mark}{partition} => $_ } json_lines($r->{out});
	is_deeply [ map { $acked{$_} } sort keys %acked ], [ json_lines(run('mysql-upsert', $db->args, '-Q', '-T', 'user_totals')->{out}) ],
	    '... what is acknowledged last is what -Q prints';
	$r = pipeline("kread -q -t $topic -e --marks | mysql-upsert $args -T user_totals -k user_id");
	like $r->{err}, qr/^mysql-upsert: 5000 records in, 0 rows upserted, 0 deleted, 5000 skipped/m, '... a run from the beginning skips it all';
	is_table($db, last_states(@all), '... and changes nothing');

	$r = run('mysql-upsert', $db->args, '-n', '-N', 'look', '-T', 'user_totals', '-k', 'user_id', { stdin => $early });
	is $r->{exit}, 0, '... -n succeeds';
	like $r->{out}, qr/^user_totals: user_id <- \@key\n/m, '... it shows where columns come from';
	like $r->{out}, qr/^INSERT INTO `user_totals` \(`user_id`,.* ON DUPLICATE KEY UPDATE .*;$/m, '... and the statements';
	is $db->value("SELECT COUNT(*) FROM sluice_positions WHERE name = 'look'"), 0, '... and writes nothing';
	my $others = $db->database('others');
	$db->sql($TOTALS);
	is run('bash', '-c', "mariadb --defaults-file=" . $db->defaults . " $others", { stdin => join '', grep { /^(?:INSERT|DELETE)/ } split /^/, $r->{out} })->{exit},
	    0, '... which the server takes';
	is_table($db, last_states(@all[0 .. 2999]), '... and which do what a run does');
}

# ---- the same from elsewhere ----

my $lake = tempdir() . '/lake';
is pipeline("kread -q -t $topic -e --marks | partition -q | jsonl-sink -q $lake")->{exit}, 0, 'a lake of that topic';
for my $from ("lakecat -q -t $topic $lake", "lakecat -q --marks -t $topic $lake", "kcat -C -e -q -J -b \$SLUICE_BROKERS -t $topic",
	"kread -q --exact -t $topic -e | jq -c .") {
	for my $db (@servers) {
		$db->database('again');
		$db->sql($TOTALS);
		my $r = pipeline("$from | mysql-upsert " . args_of($db) . ' -q -T user_totals -k user_id');
		is $r->{exit}, 0, $db->flavour . ": $from" =~ s/\S*\///r or diag $r->{err};
		is_table($db, last_states(@all), '... builds the same table');
		is $db->value('SELECT SUM(next_offset) FROM sluice_positions'), 5000, '... and positions';
	}
}

# ---- topics as ksqlDB writes them ----

sub b64 { return encode_base64($_[0], '') }
sub int64 { return pack 'q>', $_[0] }

my $START = 1795234200000; # 2026-11-21T04:10:00Z
my $MINUTES = 300_000;

# Topic, options of kread, table, mysql-upsert's, mapping, rows: key bytes and payload (undef: a tombstone); what the table
# must be.
my @ksql = (
	{ name => 'text keys', create => 'id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT', key => 'id',
		rows => [['a', '{"n":1}'], ['A', '{"n":2}'], ['b', '{"n":3}'], ['a', undef], ['b', '{"N":4}']], want => ['A 2', 'b 4'] },
	{ name => 'integer keys', read => '-s key=bigint', create => 'id BIGINT PRIMARY KEY, n INT', key => 'id',
		rows => [[int64(7), '{"N":1}'], [int64(-5), '{"N":2}'], [int64('9007199254740993'), '{"N":3}'], [int64(7), undef]],
		want => ['-5 2', '9007199254740993 3'] },
	{ name => 'JSON keys of two columns', read => '-s key=json', create => 'a INT, b VARCHAR(9) COLLATE utf8mb4_bin, n INT, PRIMARY KEY (b, a)',
		key => 'a,b', rows => [['{"A":1,"B":"x"}', '{"N":1}'], ['{"B":"y","A":1}', '{"N":2}'], ['{"B":"x","A":1}', undef],
		['{"A":2,"B":"y"}', '{"N":5}'], ['{"A":2,"B":"y"}', '{"N":null}']], want => ['1 y 2', '2 y NULL'] },
	{ name => 'JSON keys in text', create => 'a INT, b VARCHAR(9), n INT, PRIMARY KEY (a, b)',
		key => 'a,b', rows => [['{"a":1,"b":"x"}', '{"n":1}'], ['{"a":2,"b":"x"}', '{"n":1}'], ['{"b":"x","a":1}', undef]], want => ['2 x 1'] },
	{ name => 'time windows', read => '-s key=text --window time:5m', create => 'type VARCHAR(9), start DATETIME(3), end BIGINT, total DECIMAL(9,2), '
		. 'PRIMARY KEY (type, start)',
		mapping => '{"tables":[{"table":"t","key":["type"],"columns":{"type":"@key","start":"@window.start","end":"@window.end","total":".TOTAL"}}]}',
		rows => [['card' . int64($START), '{"TOTAL":12.50}'], ['card' . int64($START + $MINUTES), '{"TOTAL":1}'],
		['cash' . int64($START), '{"TOTAL":3}'], ['cash' . int64($START), undef], ['card' . int64($START), '{"TOTAL":13.5}']],
		want => ["card 2026-11-21 04:10:00.000 @{[ $START + $MINUTES ]} 13.50", "card 2026-11-21 04:15:00.000 @{[ $START + 2 * $MINUTES ]} 1.00"] },
	{ name => 'session windows', read => '-s key=int --window session', create => 'id INT, start BIGINT, end BIGINT, n INT, PRIMARY KEY (id, start, end)',
		mapping => '{"tables":[{"table":"t","key":["id"],"columns":{"id":"@key","start":"@window.start","end":"@window.end"}}]}',
		rows => [[pack('l>', 5) . int64($START + 10) . int64($START), '{"n":1}'], [pack('l>', 5) . int64($START + 10) . int64($START), undef],
		[pack('l>', 5) . int64($START + 70) . int64($START), '{"n":2}']], want => ["5 $START @{[ $START + 70 ]} 2"] },
);
for my $case (@ksql) {
	my $t = topic('KSQL');
	produce($t, map { { ts => $START, key => b64($_->[0]), value => defined $_->[1] ? b64($_->[1]) : undef } } @{ $case->{rows} });
	my $file = tempdir() . '/mapping.json';
	spew($file, $case->{mapping}) if $case->{mapping};
	my $how = $case->{mapping} ? "-M $file" : "-T t -k $case->{key}";
	for my $db (@servers) {
		$db->database('ksql');
		$db->sql("CREATE TABLE t ($case->{create}) DEFAULT CHARSET utf8mb4");
		my $r = pipeline("kread -q -t $t -e --marks " . ($case->{read} // '') . ' | mysql-upsert -q ' . args_of($db) . " $how");
		is $r->{exit}, 0, $db->flavour . ": $case->{name}" or diag $r->{err};
		is_deeply [ map { join ' ', map { $_ // 'NULL' } @$_ } $db->sql('SELECT * FROM t ORDER BY 1, 2') ], $case->{want}, '... arrive right';
	}
}

# ---- a slow stream ----

for my $db (@servers) {
	$db->database('slow');
	$db->sql($TOTALS);
	my $records = tempdir() . '/records';
	spew($records, $early);
	my $p = spawn('bash', '-c', "(head -n 100 $records; sleep 30) | mysql-upsert -i 0.2 " . args_of($db) . ' -T user_totals -k user_id');
	wait_until(20, 'no rows', sub { $db->value("SELECT COUNT(*) FROM user_totals") > 0 });
	pass $db->flavour . ': what came is in the table though the stream goes on';
	run('pkill', '-TERM', '-P', $p->{pid}, 'mysql-upsert');
	run('pkill', '-P', $p->{pid}, 'bash');
	run('pkill', '-P', $p->{pid}, 'sleep');
	my $done = finish($p, 40);
	like $done->{err}, qr/^mysql-upsert: 100 records in/m, '... and TERM ends it in good order' or diag $done->{err};
}

done_testing();
