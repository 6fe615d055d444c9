# What is no fault of the data: rights, passwords, TLS, a server that is read-only, full or not there. The right exit
# status, a message that says who and where and never the password; nothing is half applied, and nothing becomes a reject.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Records;
use Test::More;

my $T = 't (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT, CONSTRAINT small CHECK (n < 1000))';
# Rows, one that the server rejects, and a tombstone.
my $LINES = record(0, 'a', '{"n":1}') . record(1, 'b', '{"n":1000}') . record(2, 'b', '{"n":2}') . record(3, 'c', undef);

sub tables
{
	my ($db) = @_;
	return join ' ', map { $_->[0] } $db->sql('SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1');
}

# All that a run may change. A row of positions that was met but has no offset is none.
sub state_of
{
	my ($db) = @_;
	my $rows = sub { join ';', map { join ',', map { $_ // 'NULL' } @$_ } $db->sql($_[0]) };
	return join '|', tables($db), $rows->('SELECT * FROM t ORDER BY id'),
	    map { tables($db) =~ /$_->[0]/ ? $rows->("SELECT $_->[1]") : '' } [ sluice_rejects => 'COUNT(*) FROM sluice_rejects' ],
	    [ sluice_positions => 'name, topic, part, next_offset FROM sluice_positions WHERE next_offset IS NOT NULL' ];
}

sub refused
{
	my ($db, $what, $code, $says, $lines, @args) = @_;
	my $before = state_of($db);
	my $r = run('mysql-upsert', @args, { stdin => $lines });
	is $r->{exit}, $code, "$what: $code" or diag $r->{err};
	like $r->{err}, $says, '... and the message';
	is state_of($db), $before, '... and nothing is applied, no reject made';
	return $r;
}

# A user with these rights and no others, as arguments.
my $users = 0;
sub user
{
	my ($db, @grants) = @_;
	my $user = sprintf 'u_%d_%d', $$, ++$users;
	$db->sql("CREATE USER '$user'\@'%' IDENTIFIED BY 'less-secret'");
	$db->sql("GRANT $_ TO '$user'\@'%'") for @grants;
	return ($user, '--defaults-file', $db->option_file(user => $user, password => 'less-secret'), '-D', $db->{database});
}

# ---- rights ----

sub rights
{
	my ($db) = @_;
	my $name = $db->database('rights');
	my @how = qw(-r -T t -k id --no-reduce);
	$db->sql("CREATE TABLE $T");
	my (undef, @args) = user($db, "SELECT, INSERT, UPDATE, DELETE ON `$name`.*");
	refused($db, 'no right to make sluice_positions', 77, qr/^mysql-upsert: sluice_positions: CREATE command denied/m, $LINES, @args, @how);
	is run('mysql-upsert', $db->args, qw(-T t -k id -N other), { stdin => record(0, 'z', '{"n":1}') . record(1, 'c', '{"n":1}') })->{exit}, 0,
	    'somebody makes it';
	refused($db, 'no right to make sluice_rejects', 77, qr/^mysql-upsert: sluice_rejects: CREATE command denied/m, $LINES, @args, @how);
	is run('mysql-upsert', @args, qw(-T t -k id -N third), { stdin => record(0, 'z', '{"n":1}') })->{exit}, 0,
	    'without -r the table is not needed';
	is run('mysql-upsert', $db->args, qw(-r -T t -k id -N fourth))->{exit}, 0, 'somebody makes that too';

	for (['t', 'DELETE'], ['t', 'UPDATE'], ['t', 'INSERT'], ['sluice_rejects', 'INSERT'], ['sluice_rejects', 'SELECT'],
	    ['sluice_positions', 'UPDATE'], ['sluice_positions', 'INSERT'], ['sluice_positions', 'SELECT']) {
		my ($table, $right) = @$_;
		my @grants = map {
			my $t = $_;
			'' . join(', ', grep { !($t eq $table && $_ eq $right) } qw(SELECT INSERT UPDATE DELETE)) . " ON `$name`.$t"
		} qw(t sluice_positions sluice_rejects);
		my ($user, @args) = user($db, @grants);
		refused($db, "no right to $right on $table", 77, qr/$right command denied to user '$user'/, $LINES, @args, @how);
	}
	(undef, @args) = user($db, "SELECT ON `$name`.*");
	refused($db, 'only a right to SELECT', 77, qr/command denied/, $LINES, @args, @how);
	is run('mysql-upsert', @args, qw(-Q -N other))->{exit} . run('mysql-upsert', @args, qw(--rejects -T t))->{exit}
	    . run('mysql-upsert', @args, qw(-n -T t -k id), { stdin => $LINES })->{exit}, '000', '... is enough for -Q, --rejects and -n';
	my ($user, @none) = user($db, 'USAGE ON *.*');
	refused($db, 'no right to the database', 77, qr/Access denied for user '$user'/, $LINES, @none, @how);

	# --replay needs to remove what it has applied.
	$db->sql("INSERT INTO sluice_rejects (name, topic, part, off, reason, line) VALUES ('t', 'T', 0, 1, 'r', '"
	    . (record(1, 'b', '{"n":2}') =~ s/\n//r) . "')");
	(undef, @args) = user($db, "SELECT, INSERT, UPDATE ON `$name`.*", "DELETE ON `$name`.t");
	refused($db, '--replay without the right to remove rejects', 77, qr/DELETE command denied/, '', @args, qw(--replay -T t -k id));
	is run('mysql-upsert', @args, qw(-T t -k id --no-reduce), { stdin => $LINES =~ s/1000/3/r })->{exit}, 0, 'a run does not need it';
}

# ---- who and where ----

sub connecting
{
	my ($db) = @_;
	$db->database('who');
	$db->sql("CREATE TABLE $T");
	my $port = free_port();
	my $file = $db->option_file($db->tcp, port => $port, password => 'very-secret');
	my ($user, $socket) = ($db->user, $db->socket);
	my $at = $db->port;
	my $wrong = $db->option_file(password => 'very-secret');
	my @cases = (
		[ 'nobody listens on the port', 69, qr/^mysql-upsert: 127\.0\.0\.1:$port as $user: /, '--defaults-file', $file, '-D', 'd' ],
		[ 'nor on that of -P', 69, qr/^mysql-upsert: 127\.0\.0\.1:$port as $user: /,
		    '--defaults-file', $wrong, '-h', '127.0.0.1', '-P', $port, '-D', 'd' ],
		[ 'no such socket', 69, qr{^mysql-upsert: /nowhere/s\.sock as somebody: }, '--defaults-file', $wrong, qw(-S /nowhere/s.sock -u somebody -D d) ],
		[ 'a wrong password', 77, qr/^mysql-upsert: \Q$socket\E as $user: Access denied/, '--defaults-file', $wrong, '-D', $db->{database} ],
		[ '... over TCP', 77, qr/^mysql-upsert: 127\.0\.0\.1:$at as $user: Access denied/,
		    '--defaults-file', $wrong, '-h', '127.0.0.1', '-P', $at, '-D', $db->{database} ],
		[ 'a wrong user', 77, qr/^mysql-upsert: \Q$socket\E as somebody: Access denied/,
		    '--defaults-file', $wrong, qw(-u somebody -D), $db->{database} ],
		[ 'no such database', 78, qr/Unknown database 'no_such'/, '--defaults-file', $db->defaults, qw(-D no_such) ],
		[ 'no database', 78, qr/no database: -D, or database= in group \[sluice\]/, '--defaults-file', $db->defaults ],
		[ 'no such option file', 78, qr{/nowhere/my\.cnf: No such file}, qw(--defaults-file /nowhere/my.cnf -D d) ],
	);
	for (@cases) {
		my ($what, $code, $says, @args) = @$_;
		for my $mode ([], ['-Q'], ['-v']) {
			my $r = run('mysql-upsert', @args, @$mode, qw(--timeout 2 -T t), { stdin => $LINES });
			is $r->{exit}, $code, "$what @$mode: $code" or diag $r->{err};
			like $r->{err}, $says, '... and says who and where';
			unlike "$r->{out}$r->{err}", qr/very-secret|\Q@{[ $db->password ]}/, '... but not the password';
			is scalar($r->{err} =~ tr/\n//), 1, '... in one line' if !grep { $_ eq '-v' } @$mode;
		}
	}
	for my $wish (['-psecret'], ['--password=secret'], ['-p', 'secret'], ['--pass', 'secret']) {
		my $r = run('mysql-upsert', $db->args, @$wish, '-T', 't');
		is "$r->{exit} $r->{out}", '64 ', "@$wish is no option";
		unlike $r->{err}, qr/secret/, '... and is not repeated';
	}
	# While it works: what others see of it.
	pipe my $in, my $to or die "pipe: $!";
	my $p = spawn('mysql-upsert', $db->args, qw(-T t -k id), { stdin => $in });
	wait_until(20, 'its session',
	    sub { $db->value("SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = DATABASE()") });
	my $seen = join '', map { slurp("/proc/$p->{pid}/$_") } qw(cmdline environ comm);
	unlike $seen, qr/\Q@{[ $db->password ]}/, 'ps does not show the password';
	like $seen, qr/--defaults-file/, '... but where it is';
	close $_ for $in, $to;
	is finish($p)->{exit}, 0, '... an empty stream is none';
}

sub tls
{
	my ($flavour) = @_;
	my $db = Sluice::Db->start($flavour, tls => 1);
	my $name = $db->database('tls');
	$db->sql("CREATE TABLE $T");
	$db->sql("CREATE USER 'careful'\@'%' IDENTIFIED BY 'less-secret' REQUIRE SSL; GRANT ALL ON `$name`.* TO 'careful'\@'%'");
	my @how = qw(-r -T t -k id --no-reduce);
	my $args = sub { return ('--defaults-file', $db->option_file($db->tcp, @_), '-D', $name) };
	my @careful = (user => 'careful', password => 'less-secret');
	refused($db, 'a user who must use TLS does not', 77, qr/127\.0\.0\.1:\d+ as careful: Access denied/, $LINES, $args->(@careful), @how);
	refused($db, 'a certificate of somebody else', 77, qr/127\.0\.0\.1:\d+ as careful: .*(?:certificate|verif|issuer)/i, $LINES,
	    $args->(@careful, 'ssl-ca' => $db->other_ca), @how);
	refused($db, 'no such CA', 78, qr{/nowhere/ca\.pem: No such file}, $LINES, $args->(@careful, 'ssl-ca' => '/nowhere/ca.pem'), @how);
	$db->sql('SET GLOBAL require_secure_transport = ON');
	refused($db, 'the server wants TLS from all', 77, qr/127\.0\.0\.1:\d+ as sluice: .*(?:insecure|denied)/i, $LINES, $args->(), @how);
	my $r = run('mysql-upsert', $args->(@careful, 'ssl-ca' => $db->ca), qw(-r -T t -k id --no-reduce), { stdin => $LINES });
	is "$r->{exit} " . $db->value('SELECT COUNT(*) FROM t'), '1 2', 'with the right CA it is had' or diag $r->{err};
	$db->sql('SET GLOBAL require_secure_transport = OFF');

	# A server that has none.
	$db->{tls} = 0;
	$db->{args} = [ $flavour eq 'mariadb' ? '--skip-ssl' : '--ssl=OFF' ];
	$db->restart;
	my $with = $flavour eq 'mysql' ? 'WITH mysql_native_password' : ''; # the other method itself needs TLS
	$db->sql("CREATE USER 'plain'\@'%' IDENTIFIED $with BY 'less-secret'; GRANT ALL ON `$name`.* TO 'plain'\@'%'");
	$r = run('mysql-upsert', $args->(user => 'plain', password => 'less-secret', 'ssl-ca' => $db->ca), @how, { stdin => $LINES });
	is $r->{exit}, 69, 'a server without TLS, where TLS is asked for' or diag $r->{err};
	$db->kill9;
}

# ---- read-only, full ----

# A server of its own: read-only is for all of it, and so is a disk that is full.
sub disabled
{
	my ($flavour) = @_;
	my $space = sub { return ['--innodb-file-per-table=0', "--innodb-data-file-path=ibdata1:12M:autoextend:max:$_[0]"] };
	my $db = Sluice::Db->start($flavour, args => $space->('24M'));
	my $name = $db->database('disabled');
	my @how = qw(-r -T t -k id --no-reduce);
	$db->sql("CREATE TABLE $T");
	is run('mysql-upsert', $db->args, qw(-r -T t -k id -N other), { stdin => record(0, 'z', '{"n":1}') . record(1, 'c', '{"n":1}') })->{exit}, 0,
	    'all tables are there';

	my (undef, @less) = user($db, "ALL ON `$name`.*");
	$db->sql('SET GLOBAL read_only = 1');
	refused($db, 'a read-only server', 75, qr/read-only/, $LINES, @less, @how);
	is run('mysql-upsert', @less, qw(-Q -T t))->{exit}, 0, '... may be asked for positions';
	$db->sql('SET GLOBAL read_only = 0');
	if ($flavour eq 'mysql') {
		$db->sql('SET GLOBAL super_read_only = 1');
		refused($db, 'super_read_only', 75, qr/super-read-only/, $LINES, $db->args, @how);
		$db->sql('SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0');
		$db->sql("ALTER DATABASE `$name` READ ONLY = 1");
		refused($db, 'a read-only database', 75, qr/read only/, $LINES, $db->args, @how);
		$db->sql("ALTER DATABASE `$name` READ ONLY = 0");
	}
	# Read-only while the run goes on: what was committed before stays.
	pipe my $in, my $to or die "pipe: $!";
	$to->autoflush(1);
	my $p = spawn('mysql-upsert', @less, qw(-r -T t -k id -i 0.05 -N third), { stdin => $in });
	close $in;
	print $to record(0, 'q', '{"n":1}');
	wait_until(20, 'the first record', sub { $db->value("SELECT COUNT(*) FROM t WHERE id = 'q'") });
	$db->sql('SET GLOBAL read_only = 1');
	print $to record(1, 'r', '{"n":1}');
	close $to;
	my $r = finish($p);
	is "$r->{exit} " . positions($db, 'third'), '75 T/0 1', 'a server that becomes read-only ends the run' or diag $r->{err};
	$db->sql("SET GLOBAL read_only = 0; DELETE FROM t WHERE id = 'q'");

	# A backup that holds all tables is waited for.
	my $backup = $db->session;
	$backup->sql('FLUSH TABLES WITH READ LOCK');
	$p = spawn('mysql-upsert', $db->args, qw(-T t -k id -N fourth), { stdin => record(0, 'q', '{"n":1}') });
	wait_until(20, 'its statement', sub { $db->value("SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for %lock%'") });
	$backup->sql('UNLOCK TABLES');
	is finish($p)->{exit} . ' ' . positions($db, 'fourth'), '0 T/0 1', 'a lock of all tables is waited for';
	$db->sql("DELETE FROM t WHERE id = 'q'");

	$db->sql('CREATE TABLE filler (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)');
	for my $size (1 << 20, 1 << 16, 1 << 12) {
		1 while eval { $db->sql("INSERT INTO filler (b) VALUES (REPEAT('x', $size))"); 1 };
	}
	my $many = join '', map { record($_, "k$_", '{"n":' . ($_ == 7 ? 1000 : 1) . '}') } 0 .. 20000;
	refused($db, 'a full server', 74, qr/full/, $many, $db->args, @how);
	$db->{args} = $space->('200M');
	$db->restart;
	$r = run('mysql-upsert', $db->args, @how, { stdin => $many });
	is "$r->{exit} " . $db->value('SELECT COUNT(*) FROM sluice_rejects') . ' ' . positions($db, 't'), '1 1 T/0 20001',
	    'once there is room a rerun does it' or diag $r->{err};
	$db->kill9;
}

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour . ': rights' => sub { rights($db) };
	subtest $db->flavour . ': connecting' => sub { connecting($db) };
	subtest $db->flavour . ': TLS' => sub { tls($db->flavour) };
	subtest $db->flavour . ': read-only and full' => sub { disabled($db->flavour) };
}

done_testing;
