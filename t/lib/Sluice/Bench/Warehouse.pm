package Sluice::Bench::Warehouse;

# What t/perf/bench says of mysql-upsert: changes over a fifth as many keys, about 250 bytes each, into a table of 5
# columns with a string key, on a MariaDB and a MySQL with the settings that they come with, on the disk.
#
# Other tools' times are from the first record to the last one; ours are from start to exit. The server's own limit is
# its client, fed upserts of 1,000 rows in transactions of 10,000 that were made beforehand from the same records.

use strict;
use warnings;
use Exporter qw(import);
use POSIX ();
use Sluice;
use Sluice::Bench;
use Sluice::Db;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(warehouse);

my %NAME = (mariadb => 'MariaDB', mysql => 'MySQL');

# What the tests leave out to be quick: the defaults of MariaDB 10.11 and of MySQL 8.0.
my %DEFAULTS = (
	mariadb => [ '--innodb-log-file-size=96M', '--innodb-buffer-pool-size=128M' ],
	mysql => [ '--innodb-redo-log-capacity=100M', '--innodb-buffer-pool-size=128M', '--log-bin=binlog' ],
);

# How many times faster than what, by server.
my %AT_LEAST = (
	'the Python script' => { mariadb => [ 4, 1.4 ], mysql => [ 3.5, 1.4 ] },
	"Debezium's JDBC sink" => { mariadb => [ 12, 4 ], mysql => [ 6, 2.5 ] },
	'a commit per row' => { mariadb => [100], mysql => [100] },
);

my ($count, $keys, $rounds, $long, $shm, $disk); # of the run

sub sh { system('bash', '-o', 'pipefail', '-c', $_[0]) == 0 or die "bench: $_[0]: exit $?\n" }

# ---- servers and their table ----

my %servers;

sub servers
{
	return map {
		$servers{$_} //= eval {
			my $db = Sluice::Db->start($_, disk => 1, args => $DEFAULTS{$_});
			$db->database('bench');
			$db;
		} // do { skip("on $NAME{$_}", $@); 0 };
	} Sluice::Db::flavours();
}

sub create
{
	my ($table, $collation) = @_;
	my $text = $collation ? "CHARACTER SET utf8mb4 COLLATE $collation" : 'CHARACTER SET utf8mb4';
	return "CREATE TABLE $table (user_id VARCHAR(64) $text NOT NULL, total_amount DECIMAL(18,2) NOT NULL, "
	    . 'transaction_count BIGINT UNSIGNED NOT NULL, last_transaction DATETIME(3) NULL, '
	    . 'changed_at DATETIME(3) NOT NULL, PRIMARY KEY (user_id)) ENGINE=InnoDB';
}

sub client { my ($db) = @_; return "mysql --defaults-file=" . $db->defaults . " $db->{database}" }

# A command that makes the tables anew: each run begins with nothing.
sub afresh
{
	my ($db) = @_;
	spew("$shm/afresh.sql", map { "$_;\n" } 'DROP TABLE IF EXISTS totals, default_ci, sluice_positions',
	    create('totals', 'utf8mb4_bin'), create('default_ci'));
	return client($db) . " <$shm/afresh.sql";
}

# The command, with a mapping that fills changed_at; what it says goes into a file.
sub upsert
{
	my ($db, $table, @more) = @_;
	my $m = "$shm/$table.json";
	spew($m, qq({"tables": [{"table": "$table", "key": ["user_id"], "columns": {"changed_at": "\@ts"}}]}\n));
	return join ' ', 'mysql-upsert --defaults-file', $db->defaults, '-D', $db->{database}, '-M', $m, @more,
	    "2>$shm/said";
}

# Whether the table has what the stream says.
sub check
{
	my ($db, $what, $rows) = @_;
	my $is = $db->value('SELECT COUNT(*) FROM totals');
	die "bench: $what on $NAME{$db->flavour}: $is rows, not $rows: " . slurp("$shm/said") if $is != $rows;
}

# ---- the records ----

my $topic;

# A topic of changes, and in files in memory what mysql-upsert and the client read.
sub changes
{
	return $topic if $topic;
	$topic = topic('TOTALS', partitions => 4);
	print "    loading $count changes of $keys keys into 4 partitions ...\n";
	sh("txgen -q -c $count --users $keys --size 250 --tombstones 0 user-totals | kwrite -q -t $topic");
	sh("kread -q -t $topic -e --marks >$shm/changes");
	return $topic;
}

sub file
{
	my ($name) = @_;
	changes();
	return "$shm/$name" if -e "$shm/$name";
	my %perl = (
		# Each key once, in an order that is none.
		distinct => 's/"key":"U\d+"/sprintf q("key":"U%07d"), ++$n * 7654321 % 9999991/e',
		# One in a hundred deletes its key.
		tombstones => 's/"payload":.*/"payload_enc":"none","payload":null}/ if /"key"/ && ++$n % 100 == 0',
	);
	sh("perl -pe '$perl{$name}' <$shm/changes >$shm/$name");
	return "$shm/$name";
}

sub ready_made
{
	my ($db, $from, $which) = @_;
	my $form = $db->flavour eq 'mysql' ? 'alias' : 'values';
	my $to = "$shm/$from-$which-$form.sql";
	file($from) unless $from eq 'changes';
	sh("@{[ python() ]} $SRC/t/perf/ready-made totals $which $form <$shm/$from >$to") unless -e $to;
	return client($db) . " <$to";
}

# ---- from a file: the server's own limit ----

sub limits
{
	section('warehouse', "warehouse: $count changes of $keys keys from a file in memory") or return;
	changes();
	limits_on($_) for servers();
}

sub limits_on
{
	my ($db) = @_;
	return unless $db;
	my ($on, $afresh) = ("on $NAME{$db->flavour}", afresh($db));
	my $in = "$shm/changes";
	my $r = compare({ title => $NAME{ $db->flavour }, units => $count / 1000, unit => 'k records/s', rounds => $rounds,
			server => $db->{pid} },
		[ "mysql-upsert $on", upsert($db, 'totals') . " <$in", $afresh ],
		[ "the server's limit $on", ready_made($db, 'changes', 'all'), $afresh ],
		[ "the last state alone $on", ready_made($db, 'changes', 'last'), $afresh ],
		[ "mysql-upsert --no-reduce $on", upsert($db, 'totals', '--no-reduce') . " <$in", $afresh ],
		[ "mysql-upsert, 1 % tombstones $on", upsert($db, 'totals') . ' <' . file('tombstones'), $afresh ],
		[ "mysql-upsert, default collation $on", upsert($db, 'default_ci') . " <$in", $afresh ],
		[ "all keys distinct: the server's limit $on", ready_made($db, 'distinct', 'all'), $afresh ],
		[ "all keys distinct: mysql-upsert $on", upsert($db, 'totals') . ' <' . file('distinct'), $afresh ]);
	check($db, 'distinct', $count);
	my %wall = map { $_ => $r->{"$_ $on"}{wall} } map { s/ \Q$on\E$//r } keys %$r;
	my ($ours, $limit) = @wall{ 'mysql-upsert', "the server's limit" };
	target("mysql-upsert / the server's limit $on", $limit / $ours, '>=', 2, 'times');
	target("--no-reduce / the server's limit $on", $limit / $wall{'mysql-upsert --no-reduce'}, '>=', 0.9, 'times');
	target("all keys distinct / the server's limit $on", $wall{"all keys distinct: the server's limit"}
		/ $wall{'all keys distinct: mysql-upsert'}, '>=', 0.9, 'times');
	target("1 % tombstones / none $on", $wall{'mysql-upsert, 1 % tombstones'} / $ours, '<=', 1.1, 'times');
	# Other programs on the machine change this less than the time.
	my ($server, $most) = map { $r->{"$_ $on"}{server} } 'mysql-upsert', "the server's limit";
	printf "  %-60s %.2f times\n", "CPU of the server: its limit / mysql-upsert $on", $most / $server;
	printf "  %-60s %.2f times\n", "default collation / utf8mb4_bin $on", $wall{'mysql-upsert, default collation'} / $ours;
	target("$_ (CPU) $on", $r->{"$_ $on"}{cpu} / $count * 1e6, '<=', 2, 'us') for 'mysql-upsert', 'mysql-upsert --no-reduce';
	for ([ 'mysql-upsert', '' ], [ 'mysql-upsert --no-reduce', '--no-reduce' ]) {
		sh($afresh);
		target("resident set of $_->[0] $on", peak("$_->[0] $on", upsert($db, 'totals', $_->[1]) . " <$in"), '<=', 250, 'MB');
	}
}

# ---- from the broker: the others ----

# The same records with schemas, as Debezium's sink wants them, and one after the last of each partition.
sub with_schemas
{
	my $t = topic('SCHEMAS', partitions => 4);
	my $field = sub { qq({"field":"$_[0]","type":"$_[1]"$_[2]}) };
	my $time = ',"name":"io.debezium.time.Timestamp"';
	my $schema = '{"type":"struct","optional":false,"fields":[' . join(',', $field->('total_amount', 'double', ''),
	    $field->('transaction_count', 'int64', ''), $field->('last_transaction', 'int64', $time),
	    $field->('changed_at', 'int64', $time)) . ']}';
	spew("$shm/schemas.pl", <<'EOF');
use strict;
use warnings;
my $schema = shift;
while (<STDIN>) {
	my ($head, $ts, $rest, $amount, $n) =
	    /^(.*"ts":(\d+))(.*"payload":)\{"total_amount":([\d.-]+),"transaction_count":(\d+),/ or next;
	my $payload = qq({"total_amount":$amount,"transaction_count":$n,"last_transaction":$ts,"changed_at":$ts});
	print qq($head$rest\{"schema":$schema,"payload":$payload}}\n);
}
for (0 .. 3) {
	my $payload = '{"total_amount":0,"transaction_count":0,"last_transaction":0,"changed_at":0}';
	print qq({"topic":"T","partition":$_,"offset":999999999,"key":"~end$_","payload":{"schema":$schema,"payload":$payload}}\n);
}
EOF
	sh("perl $shm/schemas.pl '$schema' <$shm/changes | kwrite -q -t $t --keep-partition");
	return $t;
}

sub others
{
	section('warehouse-others', "warehouse-others: $count changes of $keys keys from the broker") or return;
	my $t = changes();
	my $libs = eval { Sluice::try_fetch('debezium') };
	my $why = $@;
	my $schemas = $libs && with_schemas();
	for my $db (servers()) {
		next unless $db;
		others_on($db, $t, $libs, $schemas);
		skip("mysql-upsert / Debezium's JDBC sink on $NAME{$db->flavour}", $why) unless $libs;
	}
}

sub others_on
{
	my ($db, $t, $libs, $schemas) = @_;
	my ($flavour, $afresh, $python) = ($db->flavour, afresh($db), python());
	my $on = "on $NAME{$flavour}";
	my $read = "kread -q -t $t -e --marks";
	my $sink = "$python $SRC/t/perf/python-sink " . $db->defaults . " $db->{database} totals " . broker() . " $t";
	my %o = (units => $count / 1000, unit => 'k records/s', rounds => $rounds, server => $db->{pid});
	my $r = compare({ %o, title => "$NAME{$flavour}: kread | mysql-upsert" },
		[ "mysql-upsert $on", "$read | " . upsert($db, 'totals'), $afresh ],
		[ "mysql-upsert --no-reduce $on", "$read | " . upsert($db, 'totals', '--no-reduce'), $afresh ],
		[ "the Python script $on", $sink, $afresh ]);
	my ($ours, $unreduced) = map { $r->{"$_ $on"}{wall} } 'mysql-upsert', 'mysql-upsert --no-reduce';
	my %other = ('the Python script' => $r->{"the Python script $on"}{wall});

	my $sample = $count < 5000 ? $count : 5000;
	sh($afresh);
	$other{'a commit per row'} = once("$sink 1 $sample")->{wall} / $sample * $count;
	if ($libs) {
		sh($afresh);
		my $took = eval { once(join ' ', "$SRC/t/perf/debezium", $libs, broker(), $schemas, $db->defaults, $flavour,
			$db->{database}, 'totals') };
		$took ? $other{"Debezium's JDBC sink"} = $took->{wall} : skip("mysql-upsert / Debezium's JDBC sink $on", $@);
	}
	for (sort keys %other) {
		printf "    %-58s %7.3f s  %8.1f k records/s\n", "$_ $on", $other{$_}, $count / 1000 / $other{$_};
		figure("$_ $on", { wall => $other{$_} });
		my ($least, $least_unreduced) = @{ $AT_LEAST{$_}{$flavour} };
		target("kread | mysql-upsert / $_ $on", $other{$_} / $ours, '>=', $least, 'times');
		target("kread | mysql-upsert --no-reduce / $_ $on", $other{$_} / $unreduced, '>=', $least_unreduced, 'times')
		    if $least_unreduced;
	}
}

# ---- a run with nothing new ----

sub idle
{
	section('warehouse-idle', 'warehouse-idle: a job that finds nothing new, of 1,000 partitions') or return;
	my $lines = join "\n", map { my $p = $_; map { qq({"topic":"T","partition":$p,"offset":$_,"ts":$_,"key":"k$p-$_",)
	    . '"payload":{"total_amount":1,"transaction_count":1}}' } 0 .. 9 } 0 .. 999;
	spew("$shm/idle", "$lines\n");
	for my $db (servers()) {
		next unless $db;
		my $on = "on $NAME{$db->flavour}";
		sh(afresh($db));
		sh(upsert($db, 'totals') . " <$shm/idle");
		sh(upsert($db, 'totals') . " -Q >$shm/positions");
		my $r = compare({ title => $NAME{ $db->flavour }, units => 1, unit => 'runs/s', rounds => 2 * $rounds },
			[ "mysql-upsert -Q $on", upsert($db, 'totals') . ' -Q' ],
			[ "mysql-upsert, nothing new $on", upsert($db, 'totals') . " <$shm/positions" ]);
		my ($print, $run) = map { $r->{"$_ $on"}{wall} } 'mysql-upsert -Q', 'mysql-upsert, nothing new';
		target("mysql-upsert's part of an idle run $on", $print + $run, '<=', 0.2, 's');
	}
}

# ---- a slow stream ----

my $RATE = 1000;
my $SECONDS = 20;

sub latency
{
	section('warehouse-latency', "warehouse-latency: $RATE changes a second, -i 1, for $SECONDS s") or return;
	for (servers()) {
		latency_on($_) if $_;
	}
}

# Writes RATE records a second and reads what mysql-upsert -a prints after each COMMIT, at once. Returns for each
# record the seconds from the one to the other.
sub follow
{
	my ($to, $from) = @_;
	my (@made, @next, @after);
	my ($n, $start, $acks) = (0, time, '');
	while (@after < $RATE * $SECONDS) {
		my $now = time;
		die "bench: not all is there after a minute more: " . slurp("$shm/said") if $now > $start + $SECONDS + 60;
		for (; $n < ($now - $start) * $RATE && $n < $RATE * $SECONDS; $n++) {
			push @{ $made[ $n % 4 ] }, $now;
			printf $to qq({"topic":"T","partition":%d,"offset":%d,"key":"U%06d","payload":)
			    . qq({"total_amount":%d.50,"transaction_count":1}}\n), $n % 4, $n >> 2, $n % 500, $n;
		}
		vec(my $bits = '', fileno $from, 1) = 1;
		next unless select $bits, undef, undef, 0.005;
		sysread $from, $acks, 1 << 16, length $acks or die "bench: mysql-upsert ended: " . slurp("$shm/said");
		$now = time;
		while ($acks =~ s/^(.*)\n//) {
			my ($p, $next) = @{ json($1)->{mark} }{qw(partition offset)};
			push @after, $now - $made[$p][ $next[$p]++ ] while ($next[$p] // 0) < $next;
		}
	}
	return sort { $a <=> $b } @after;
}

sub latency_on
{
	my ($db) = @_;
	my $on = "on $NAME{$db->flavour}";
	my $t = topic('SLOW', partitions => 4);
	sh(afresh($db));
	# The shell becomes mysql-upsert.
	my $sink = open my $from, '-|', 'bash', '-c', 'exec ' . upsert($db, 'totals', '-a', '-i', 1) . " < <(exec kread -q -t $t --marks)"
	    or die "bash: $!";
	open my $to, '|-', "exec kwrite -q -t $t --keep-partition" or die "kwrite: $!";
	$to->autoflush(1);
	sleep 3; # until all is connected
	my ($cpu, $start) = (cpu_of($sink), time);
	my @after = follow($to, $from);
	my $used = (cpu_of($sink) - $cpu) / (time - $start);
	close $to;
	kill 'TERM', $sink;
	close $from;
	my $slow = $after[ $#after * 0.99 ];
	printf "    %-58s median %.2f s, 99 %% %.2f s, all %.2f s\n", "after it was produced $on", median(@after), $slow, $after[-1];
	figure("latency $on", { median => median(@after), p99 => $slow, max => $after[-1], cpu => $used });
	target("99 % of the records are in the table after $on", $slow, '<=', 1.2, 's');
	target("mysql-upsert's CPU at $RATE changes a second $on", 100 * $used, '<=', 5, '%');
}

# ---- the same cost for every record ----

sub flat
{
	section('warehouse-flat', 'warehouse-flat: 1M changes, then 10M, of the same keys') or return;
	return skip('warehouse: time per record, 10M / 1M', 'make bench LONG=1') unless $long;
	for my $db (servers()) {
		next unless $db;
		my $on = "on $NAME{$db->flavour}";
		my (%ns, $peak);
		for my $n ($count, 10 * $count) {
			sh("txgen -q -c $n --users $keys --size 250 --tombstones 0 -p 4 --marks user-totals >$disk/flat");
			for (1 .. ($n == $count ? 3 : 1)) {
				sh(afresh($db));
				my $t = once(upsert($db, 'totals') . " <$disk/flat");
				push @{ $ns{$n}{$_} }, $t->{$_} / $n * 1e9 for qw(wall user);
			}
			sh(afresh($db));
			$peak = peak("mysql-upsert, $n changes $on", upsert($db, 'totals') . " <$disk/flat") if $n > $count;
		}
		for my $what (qw(wall user)) {
			my ($one, $ten) = map { median(@{ $ns{$_}{$what} }) } $count, 10 * $count;
			printf "    %-58s %.0f, %.0f ns\n", "$what $on", $one, $ten;
			figure("$what $on", [ $one, $ten ]);
			target("$what time per record, ten times as many $on", $ten / $one, '<=', 1.1, 'times');
		}
		target("resident set, 10M changes $on", $peak, '<=', 250, 'MB');
	}
	unlink "$disk/flat";
}

# warehouse({count, rounds, long, memory, disk}): all sections; memory and disk are directories.
sub warehouse
{
	my ($o) = @_;
	($count, $rounds, $long, $shm, $disk) = @$o{qw(count rounds long memory disk)};
	$keys = int $count / 5 || 1;
	limits();
	others();
	idle();
	latency();
	flat();
	unlink glob "$shm/{changes,distinct,tombstones,positions,idle,schemas}* $shm/{totals,default_ci}.json";
	$_ && $_->stop('KILL') for values %servers;
}

1;
