# lib/db and lib/table on both servers: connecting and what goes wrong with it, what errors mean, quoting, and what a
# table is said to be.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Sluice;
use Sluice::Db;
use Sluice::Proxy;
use Test::More;
use POSIX ();
use Time::HiRes qw(time sleep);

my $DB = "$BUILD/t/tool/db";

# The tool's answer to commands, on the database made last.
sub db
{
	my ($db, @commands) = @_;
	my $r = run($DB, $db->args, @commands, { timeout => 60 });
	fail "db ended with $r->{exit}: $r->{err}" if $r->{exit};
	return $r->{out};
}

sub try
{
	my (@args) = @_;
	return run($DB, @args, { timeout => 60 });
}

# One that waits where its commands say so, until a line is printed to $p->{to}. Options beat those of $db.
sub talk
{
	my ($db, @args) = @_;
	my $fifo = tempdir() . '/fifo';

	POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
	my $p = spawn('sh', '-c', 'exec "$@" <' . $fifo, 'sh', $DB, $db->args, @args);
	open $p->{to}, '>', $fifo or die "$fifo: $!";
	$p->{to}->autoflush(1);
	return $p;
}

sub refused
{
	my ($r, $exit, $message, $name) = @_;
	return subtest $name => sub {
		is $r->{exit}, $exit, 'exit status';
		like $r->{err}, qr/\Adb: $message/, 'message';
		is $r->{err} =~ tr/\n//, 1, 'one line';
		unlike $r->{err}, qr/secret/, 'no password';
	};
}

# MySQL's takes TLS whenever it can, verifies when there is a CA, and takes MariaDB's latin1 in the handshake for UTF-8.
my $mysql_library = try('-S', '/none', 'about')->{err} =~ /MySQL server/;

my @servers = Sluice::Db::servers();

# ---- without a server ----

subtest 'no server' => sub {
	my $port = free_port();
	my $dir = tempdir();
	my @who = ('-u', 'joe', '-D', 'dw');

	refused(try('-P', $port, @who, 'about'), 69, qr/localhost:$port as joe: Can't connect/, 'a port that nobody listens on');
	refused(try('-h', '127.0.0.1', '-P', $port, @who, 'about'), 69, qr/127\.0\.0\.1:$port as joe: Can't connect/, '-h and -P');
	refused(try('-S', "$dir/none", @who, 'about'), 69, qr{\Q$dir\E/none as joe: Can't connect}, 'a socket that is not there');
	refused(try('-h', 'nobody.invalid', @who, 'about'), 69, qr/nobody\.invalid:3306 as joe: Unknown/, 'an unknown host');

	spew("$dir/my.cnf", "[client]\nhost=127.0.0.1\nport=9\nuser=joe\npassword=secret\n[sluice]\nport=$port\n[mysql]\nport=8\n");
	refused(try('--defaults-file', "$dir/my.cnf", '-D', 'dw', 'about'), 69, qr/127\.0\.0\.1:$port as joe: Can't/,
	    'who and where from groups [client] and [sluice]');
	refused(try('--defaults-file', "$dir/my.cnf", '-P', 7, '-u', 'ann', '-D', 'dw', 'about'), 69, qr/127\.0\.0\.1:7 as ann: Can't/,
	    'options beat the file');
	refused(try('--defaults-file', "$dir/my.cnf", '-S', "$dir/none", 'about'), 69, qr{\Q$dir\E/none as joe: Can't},
	    '-S beats the host of a file');
};

subtest 'a server that never answers' => sub {
	my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
	my $start = time;

	refused(try('-h', '127.0.0.1', '-P', $silent->sockport, '-u', 'joe', '--timeout', 1, 'about'), 69,
	    qr/127\.0\.0\.1:\d+ as joe: Lost connection/, 'accepts and says nothing');
	cmp_ok time - $start, '<', 10, 'within the timeout';
	for my $nonsense ("\n" x 100, "HTTP/1.1 400 Bad Request\r\n\r\n", pack('V', 1) . 'x') {
		my $other = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
		my $p = spawn($DB, '-h', '127.0.0.1', '-P', $other->sockport, '-u', 'joe', '--timeout', 20, 'about');
		my $peer = $other->accept;
		print $peer $nonsense;
		close $peer;
		refused(finish($p), 69, qr/127\.0\.0\.1:\d+ as joe: /, 'speaks something else');
	}
};

subtest 'option files that the client library would pass over' => sub {
	my $dir = tempdir();
	my $file = "$dir/my.cnf";
	my $open = sub { spew($file, $_[0]); chmod $_[1] // 0600, $file; return try('--defaults-file', $file, 'about') };

	refused(try('--defaults-file', "$dir/none", 'about'), 78, qr{\Q$dir\E/none: No such file}, 'not there');
	refused(try('--defaults-file', $dir, 'about'), 78, qr{\Q$dir\E: not a file}, 'a directory');
	refused(try('--defaults-file', '/proc/self/mem', 'about'), 78, qr{/proc/self/mem: }, 'one that cannot be read');
	refused($open->("[client]\n", 0666), 78, qr/\Q$file\E: anybody may write/, 'anybody may write to it');
	refused($open->("[client]\nuser=joe\n ssl_mode = VERIFY_CA\n"), 78,
	    qr/\Q$file\E:3: ssl_mode: (MariaDB|MySQL)'s client library does not know it/, 'ssl-mode, which only the mysql programs know');
	refused($open->("[client]\nssl\n"), 78, qr/\Q$file\E:2: ssl: /, 'ssl likewise');
	refused($open->("[mysql]\nssl-mode=REQUIRED\nssl\n[client]\nssl-mode=PREFERRED\nssl=0\nsocket=$dir/s\nuser=joe\n"), 69,
	    qr{\Q$dir\E/s as joe: Can't}, 'not in the groups of others, nor when switched off');
};

# ---- each server ----

sub connecting
{
	my ($db) = @_;
	my $name = $db->database('dw');
	my ($host, $port) = ('127.0.0.1', $db->port);
	my $flavour = $db->flavour;
	my $version = $db->version =~ /^(\d+)\.(\d+)\.(\d+)/ ? $1 * 10000 + $2 * 100 + $3 : die;
	my $alias = $flavour eq 'mysql' && $version >= 80020 ? 'alias' : 'values';
	my $packet = $db->value('SELECT @@max_allowed_packet') - 4;
	my $about = "$flavour $version $packet $name $alias\n";
	my @tcp = $db->tcp;
	my $with = sub { my ($file, @more) = @_; return try('--defaults-file', $file, @more, 'about') };

	is db($db, 'about'), $about, 'through its socket';
	is $with->($db->option_file(@tcp), '-D', $name)->{out}, $about, 'through its port';
	is $with->($db->option_file(database => $name))->{out}, $about, 'the database of the option file';
	is $with->($db->option_file(socket => '/none'), '-P', $port, '-D', $name)->{out}, $about, '-P means TCP';
	is $with->($db->option_file(@tcp, port => 1), '-S', $db->socket, '-D', $name)->{out}, $about, '-S means the socket';

	my $wrong = $db->option_file(@tcp, password => 'top-secret');
	refused($with->($wrong), 77, qr/$host:$port as sluice: Access denied/, 'wrong password');
	refused($with->($db->defaults), 78, qr/\Q@{[$db->socket]}\E as sluice: no database/, 'no database');
	refused($with->($db->defaults, '-D', 'none'), 78, qr/.* as sluice: Unknown database 'none'/, 'no such database');
	$db->sql("CREATE USER IF NOT EXISTS nobody\@'%' IDENTIFIED BY 'secret'");
	refused($with->($db->option_file(user => 'nobody', password => 'secret'), '-D', $name), 77,
	    qr/.* as nobody: Access denied for user/, 'no right to the database');

	# Whatever the option file or its init-command say.
	my $odd = $db->option_file('init-command' => q{SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+05:45', foreign_key_checks = 0},
	    'default-character-set' => 'latin1', reconnect => 1, database => $name);
	my $session = q{SELECT @@sql_mode, @@time_zone, @@character_set_client, @@character_set_results, @@autocommit,
		@@foreign_key_checks, @@unique_checks, @@wait_timeout, @@}
	    . ($flavour eq 'mysql' ? 'transaction_isolation' : 'tx_isolation');
	my $expected = join("\t", 'NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
	    '+00:00', 'utf8mb4', 'utf8mb4', 1, 1, 1, 60, 'READ-COMMITTED') . "\nok 0\n";
	is try('--defaults-file', $odd, 'select', $session)->{out}, $expected, 'the session is the same everywhere';
	is try('--defaults-file', $odd, 'quote')->{out}, "same\nok 0\nsame\nok 0\n", 'so text and bytes come back as they were';
	is try('--defaults-file', $odd, 'reconnect', 'select', $session)->{out}, "again\n$expected", 'also after reconnecting';
}

sub losing
{
	my ($db) = @_;
	plan skip_all => 'the proxy does not see through TLS' if $mysql_library && $db->flavour eq 'mysql';
	my $name = $db->database('dw');
	my $proxy = Sluice::Proxy->start($db);
	my @through = ($proxy->args, '--timeout', 3);
	my $cut = sub {
		my ($when, $sql) = @_;
		$proxy->rule($when, qr/^\Q$sql\E/);
		return try(@through, 'run', $sql, 'run', 'DO 2', 'reconnect', 'run', 'DO 3')->{out};
	};

	for my $when (qw(before mid after reply mid-reply)) {
		my @lines = split /\n/, $cut->($when, 'DO 1');
		like $lines[0], qr/^lost \d+ \S/, "cut $when a statement";
		like $lines[1], qr/^lost \d+ \S/, '.. it stays lost';
		is "@lines[2, 3]", 'again ok 0', '.. until connected again';
	}
	like $cut->('mid-reply', q{SELECT REPEAT('x', 1000000)}), qr/\Alost .*\nlost .*\nagain\nok 0\n\z/, 'cut amid rows';

	unless ($mysql_library) {
		$proxy->rule('freeze', qr/^DO 0/);
		my $r = try(@through, '--timeout', 1, 'about');
		refused($r, 69, qr/127\.0\.0\.1:\d+ as sluice: Lost connection/, 'lets us in, then does not answer');
		cmp_ok $r->{sec}, '<', 10, '.. within the timeout';
		$proxy->clear;
	}

	my $p = talk($db, '--defaults-file', $proxy->defaults, 'run', 'DO 7', 'wait', 'run', 'DO 1', 'reconnect', 'run', 'DO 2');
	wait_until(20, 'the connection', sub { slurp($p->{out}) =~ /^ok 0$/m });
	$proxy->rule('before', qr/^DO 1/);
	$proxy->refuse(1);
	is try(@through, 'about')->{exit}, 69, 'connecting is tried once';
	print { $p->{to} } "\n";
	my $back = finish($p);
	like $back->{out}, qr/\Aok 0\nlost \d+ .*\nagain\nok 0\n\z/, 'reconnecting until somebody listens';

	$p = talk($db, '--defaults-file', $proxy->defaults, '--timeout', 1, 'run', 'DO 7', 'wait', 'run', 'DO 1', 'reconnect', 'run', 'DO 2');
	wait_until(20, 'the connection', sub { slurp($p->{out}) =~ /^ok 0$/m });
	$proxy->rule('before', qr/^DO 1/);
	$proxy->refuse(3);
	print { $p->{to} } "\n";
	like finish($p)->{out}, qr/\Aok 0\nlost .*\naway: 127\.0\.0\.1:\d+ as sluice: Can't connect.* \(69\)\nlost 2006 not connected \(0\)\n\z/,
	    '.. at most for the timeout';
	wait_until(20, 'the proxy', sub { try(@through, 'about')->{exit} == 0 });

	for my $sql ('SET NAMES', 'SET SESSION', 'SELECT VERSION') {
		$proxy->rule('reply', qr/^\Q$sql\E/);
		refused(try(@through, 'about'), 69, qr/127\.0\.0\.1:\d+ as sluice: Lost connection/, "while connecting, at $sql");
	}
	$db->sql('CREATE TABLE t (id INT PRIMARY KEY, s TEXT, p INT, FOREIGN KEY (p) REFERENCES t (id))');
	for my $from (qw(COLUMNS TABLES STATISTICS), 'KEY_COLUMN_USAGE|REFERENTIAL_CONSTRAINTS', 'REFERENTIAL_CONSTRAINTS WHERE DELETE_RULE') {
		$proxy->rule('before', qr/information_schema\.(?:$from)/);
		like try(@through, 'table', 't')->{out}, qr/^reading information_schema: .* \(69\)$/, "while reading $from";
	}
	$proxy->rule('before', qr/^SHOW CREATE/);
	like try(@through, 'table', 't')->{out}, qr/^SHOW CREATE TABLE: .* \(69\)$/, 'while reading CHECKs';
	$proxy->rule('before', qr/^DO 1/);
	refused(try(@through, 'must', 'DO 1'), 69, qr/trying: 127\.0\.0\.1:\d+ as sluice: .* \(error 20\d\d\)/, 'where it must not');
}

# Seconds until the kernel asks whether the other side of its connection to this port is still there.
sub probe_in
{
	my ($port) = @_;
	my ($timer) = slurp('/proc/net/tcp') =~ /^ *\d+: \w+:\w+ \w+:@{[sprintf '%04X', $port]} 01 \w+:\w+ 02:(\w+) /m;
	return defined $timer ? hex($timer) / 100 : undef;
}

sub dead_host
{
	my ($db) = @_;
	$db->database('dw');
	my $p = talk($db, '--defaults-file', $db->option_file($db->tcp), '--timeout', 3, 'run', 'DO 1', 'wait', 'run', 'DO SLEEP(2)');
	wait_until(20, 'the connection', sub { slurp($p->{out}) =~ /^ok 0$/m });
	my $seconds = probe_in($db->port);
	cmp_ok $seconds // 7200, '<', 2, 'a third of the timeout until the first probe';
	print { $p->{to} } "\n";
	is finish($p)->{out}, "ok 0\nok 0\n", 'a server that works answers probes';
}

sub killed
{
	my ($db) = @_;
	my $name = $db->database('dw');
	my $kill = q{KILL CONNECTION_ID()};

	# MySQL tells a session that kills itself that its statement was interrupted.
	like db($db, 'run', $kill, 'run', 'DO 1', 'reconnect', 'run', 'DO 2'), qr/\A(?:lost \d+|retry 1317) .*\nlost \d+ .*\nagain\nok 0\n\z/,
	    'KILL CONNECTION';
	like db($db, 'run', 'KILL QUERY CONNECTION_ID()', 'run', 'DO 1'), qr/\Aretry 1317 .*\nok 0\n\z/, 'KILL QUERY';
	my $p = talk($db, 'run', 'SET SESSION wait_timeout = 1', 'wait', 'run', 'DO 1', 'reconnect', 'run', 'DO 2');
	wait_until(20, 'the connection', sub { slurp($p->{out}) =~ /^ok 0$/m });
	sleep 1.5;
	print { $p->{to} } "\n";
	like finish($p)->{out}, qr/\Aok 0\nlost \d+ .*\nagain\nok 0\n\z/, 'idle for longer than wait_timeout';
}

# SQL => what db says of it. The first ones prepare.
sub errors
{
	my ($db) = @_;
	my $mysql = $db->flavour eq 'mysql';
	$db->database('dw');
	$db->sql($_) for "CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5),
		n TINYINT NOT NULL DEFAULT 0, d DECIMAL(4,2), dt DATETIME, e ENUM('a'), l VARCHAR(9) CHARACTER SET latin1, u INT UNIQUE,
		p INT, g INT AS (100 / n) STORED, j JSON, CHECK (n < 100), FOREIGN KEY (p) REFERENCES p (id))",
	    "CREATE TABLE r (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10))",
	    'SET SESSION innodb_strict_mode = 0', # else such a table cannot even be made
	    "CREATE TABLE big (id INT PRIMARY KEY, " . join(', ', map { "c$_ TEXT" } 1 .. 20) . ') ROW_FORMAT=COMPACT CHARSET latin1',
	    "CREATE TRIGGER no BEFORE UPDATE ON t FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no updates,\nplease'",
	    "CREATE TABLE s (state CHAR(5) PRIMARY KEY)", "CREATE TRIGGER s BEFORE INSERT ON s FOR EACH ROW
		IF NEW.state = '22003' THEN SIGNAL SQLSTATE '22003'; ELSE SIGNAL SQLSTATE '02001'; END IF",
	    "INSERT INTO p VALUES (1)", "INSERT INTO t (id, n, u, p) VALUES (1, 1, 1, 1)";
	my @cases = (
		[ 'INSERT INTO p (id) VALUES (NULL)', 'reject 1048' ],
		[ 'INSERT INTO t (id, n) VALUES (2, 128)', 'reject 1264' ],
		[ "INSERT INTO t (id, n, s) VALUES (2, 1, '123456')", 'reject 1406' ],
		[ "INSERT INTO t (id, n, s) VALUES (2, 1, '12345      ')", 'ok 1' ],
		[ "INSERT INTO t (id, n, d) VALUES (3, 1, 'x')", 'reject 1366' ],
		[ "INSERT INTO t (id, n, dt) VALUES (3, 1, '2026-02-30')", 'reject 1292' ],
		[ "INSERT INTO t (id, n, dt) VALUES (3, 1, '0000-00-00')", 'reject 1292' ],
		[ "INSERT INTO t (id, n, e) VALUES (3, 1, 'b')", 'reject 1265' ],
		[ "INSERT INTO t (id, n, l) VALUES (3, 1, '\xe5\xbc\xa7')", 'reject 1366' ],
		[ "INSERT INTO t (id, n, s) VALUES (3, 1, '\xff')", 'reject 1366' ],
		[ "INSERT INTO t (id, n, u) VALUES (3, 1, 1)", 'reject 1062' ],
		[ "INSERT INTO t (id, n, p) VALUES (3, 1, 2)", 'reject 1452' ],
		[ "INSERT INTO t (id, n, j) VALUES (3, 1, '{')", $mysql ? 'reject 3140' : 'reject 4025' ],
		[ "INSERT INTO t (id, n) VALUES (3, 100)", $mysql ? 'reject 3819' : 'reject 4025' ],
		[ "INSERT INTO t (id, n) VALUES (3, 0)", 'reject 1365' ],
		[ "INSERT INTO t (id, n) VALUES (3, 9223372036854775807 + 1)", 'reject 1690' ],
		[ "DELETE FROM p", 'reject 1451' ],
		[ "UPDATE t SET n = 2", 'reject 1644' ],
		[ "INSERT INTO r VALUES (11)", 'reject 1526' ],
		[ "INSERT INTO s VALUES ('22003')", 'reject 1644' ], # SIGNAL takes any state
		[ "INSERT INTO s VALUES ('02001')", 'reject 1643' ],
		[ "INSERT INTO big VALUES (1" . ", REPEAT('x', 900)" x 20 . ")", 'reject 1118' ],
		[ "DELETE FROM t WHERE l IN ('\xe5\xbc\xa7')", 'reject 1267' ],
		[ "INSERT INTO t (id, n) VALUES (9, 1) ON DUPLICATE KEY UPDATE s = 'y'", 'ok 1' ],
		[ 'INSERT INTO none VALUES (1)', 'fail 1146', 78 ],
		[ 'INSERT INTO t (none) VALUES (1)', 'fail 1054', 78 ],
		[ 'INSERT INTO t (id) VALUES (1, 2)', 'fail 1136', 78 ],
		[ 'INSERT INTO', 'fail 1064', 78 ],
		[ 'SELECT id FROM t JOIN p', 'fail 1052', 78 ],
		[ 'INSERT INTO p () VALUES ()', 'fail 1364', 78 ],
		[ 'INSERT INTO none.t VALUES (1)', $mysql ? 'fail 1049' : 'fail 1146', 78 ],
	);

	is db($db, 'run', 'SET NAMES utf8mb4', 'run', "UPDATE t SET id = id WHERE id > 100"), "ok 0\nok 0\n", 'nothing matched';
	if ($mysql) {
		$db->sql('CREATE TABLE f (id INT PRIMARY KEY, j JSON, INDEX ((CAST(j->"$" AS UNSIGNED ARRAY))))');
		push @cases, [ q<INSERT INTO f VALUES (1, '["x"]')>, 'reject 3903' ], [ q<INSERT INTO f VALUES (1, '[-1]')>, 'reject 3752' ],
		    [ q<INSERT INTO f VALUES (1, '[[1]]')>, 'reject 3908' ];
	}
	my @lines = split /\n/, db($db, map { ('run', $_->[0]) } @cases);
	for my $i (0 .. $#cases) {
		my ($sql, $expected, $exit) = @{ $cases[$i] };
		my $code = $expected =~ /^ok/ ? qr// : $exit ? qr/ .* \($exit\)/ : qr/ .* \(0\)/;
		like $lines[$i], qr/^$expected$code$/, substr $sql, 0, 60;
	}
	is scalar @lines, scalar @cases, 'a line for each, also when the server has more';
	is db($db, 'run', 'SELECT 1', 'select', 'SELECT NULL, 2 UNION SELECT 3, 4', 'stop', 'SELECT 1 UNION SELECT 2', 'select', 'SELECT 5'),
	    "ok 0\n\\N\t2\n3\t4\nok 0\n1\nfail 0 stopped (65)\n5\nok 0\n", 'rows: all are read, also when the first is enough';
	is db($db, 'run', 'UPDATE p SET id = 1'), "ok 1\n", 'a row that was found counts, changed or not';
	refused(try($db->args, 'must', 'DO 1', 'must', 'INSERT INTO p VALUES (NULL)'), 65, qr/trying: Column 'id' cannot be null \(error 1048\)/, 'a reject where none may be');
	refused(try($db->args, 'must', 'INSERT INTO none VALUES (1)'), 78, qr/trying: Table '.*' doesn't exist \(error 1146\)/, 'a failure');
	refused(try($db->args, 'must', 'KILL QUERY CONNECTION_ID()'), 75, qr/trying: Query execution was interrupted \(error 1317\)/, 'what could be tried again');
	like db($db, 'select', 'SELECT 1 UNION ALL SELECT (SELECT 1 UNION SELECT 2)'), qr/^fail 1242 .*\(\d+\)$/m, 'an error amid rows';
}

sub limits
{
	my ($db) = @_;
	$db->database('dw');
	my $packet = $db->value('SELECT @@max_allowed_packet');

	is db($db, 'long', $packet - 4), "ok 0\n", 'the longest statement';
	like db($db, 'long', $packet - 3, 'run', 'DO 1'), qr/\Afail 1153 .*\(78\)\nok 0\n\z/, 'one byte more is not even sent';
	my ($grew) = db($db, 'big', 100) =~ /\Aok 100000000\ngrew by (\d+) MB\n\z/;
	SKIP: {
		skip 'a sanitizer keeps freed memory', 1 if sanitized();
		cmp_ok $grew // 999, '<', 20, '100 MB of rows are not held in memory';
	}
}

sub rights
{
	my ($db) = @_;
	my $name = $db->database('dw');
	my $pass = "IDENTIFIED BY 'secret'";
	$db->sql($_) for 'CREATE TABLE p (id INT PRIMARY KEY)',
	    'CREATE TABLE t (id INT PRIMARY KEY, j JSON, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)';
	my $as = sub {
		my ($user, $grants, @commands) = @_;
		$db->sql("CREATE USER IF NOT EXISTS $user\@'%' $pass");
		$db->sql("GRANT $_ TO $user\@'%'") for @$grants;
		my $r = try('--defaults-file', $db->option_file(user => $user, password => 'secret'), '-D', $name, @commands);
		return $r->{out} . $r->{err};
	};
	my $t = db($db, 'table', 't');
	my $p = db($db, 'table', 'p');

	like $p, qr/^p cascades:/, 'a child that cascades';
	like $t, qr/^t: p\n/, 'its parent';
	like $t, qr/^  j .* json /m, 'a JSON column';
	my $loader = [ "SELECT, INSERT, UPDATE, DELETE ON `$name`.*" ];
	is $as->('loader', $loader, 'table', 't', 'table', 'p'), "$t$p", 'with rights to the database';
	my $narrow = [ map { "SELECT, INSERT, UPDATE ON `$name`.$_" } qw(t p) ];
	is $as->('narrow', $narrow, 'table', 't', 'table', 'p'), "$t$p", 'with rights to the tables only';
	my $parent = [ "SELECT ON `$name`.p" ];
	like $as->('parent', $parent, 'table', 't'), qr/^no table t in database $name, or no right to see it \(78\)$/, 'without any right to it';
	my $column = [ "SELECT (j), INSERT (j) ON `$name`.t" ];
	like $as->('onecol', $column, 'table', 't'), qr/^table t.* primary key.* \(78\)$/, 'without a right to its key';
	my $columns = [ map { "$_ (id, j, p) ON `$name`.t" } qw(SELECT INSERT UPDATE) ];
	like $as->('columns', $columns, 'table', 't'), qr/\At:.*\n  id .* key0\n  j .*\n  p .*\n\z/, 'with rights to all of its columns';
	like $as->('parent', [], 'run', 'INSERT INTO p VALUES (1)', 'run', 'DELETE FROM p', 'run', 'CREATE TABLE n (i INT)', 'run',
	    'FLUSH TABLES'), qr/\Afail 1142 .*\(77\)\nfail 1142 .*\(77\)\nfail 1142 .*\(77\)\nfail 1227 .*\(77\)\n\z/, 'rights are no rejects';
}

sub read_only
{
	my ($db) = @_;
	$db->database('dw');
	$db->sql('CREATE TABLE t (id INT PRIMARY KEY)');

	like db($db, 'run', 'START TRANSACTION READ ONLY', 'run', 'INSERT INTO t VALUES (1)'), qr/^fail 1792 .*\(75\)$/m,
	    'a read-only transaction';
	like db($db, 'run', 'SET innodb_lock_wait_timeout = 1', 'run', 'DO 1'), qr/\Aok 0\nok 0\n/, 'lock timeouts are the session\'s';

	my $other = $db->session;
	$other->sql('INSERT INTO t VALUES (1), (2)');
	$other->sql('BEGIN');
	$other->sql('UPDATE t SET id = 11 WHERE id = 1');
	like db($db, 'run', 'SET innodb_lock_wait_timeout = 1', 'run', 'DELETE FROM t WHERE id = 1'), qr/^retry 1205 /m, 'lock wait timeout';

	# The other session waits for us, and we then for it: the one with less to undo is the victim.
	my $p = talk($db, 'run', 'BEGIN', 'run', 'DELETE FROM t WHERE id = 2', 'wait', 'run', 'DELETE FROM t WHERE id = 1', 'run', 'ROLLBACK');
	wait_until(20, 'the DELETE', sub { slurp($p->{out}) =~ /^ok 1$/m });
	$other->sql('INSERT INTO t VALUES ' . join ',', map { "($_)" } 100 .. 300);
	$other->send('UPDATE t SET id = 12 WHERE id = 2');
	$db->wait_for_lock;
	print { $p->{to} } "\n";
	like finish($p)->{out}, qr/^retry 1213 .*\nok 0\n\z/m, 'deadlock';
	$other->receive;
}

# Everything that table_load says, as text.
sub types
{
	my ($db) = @_;
	my $mysql = $db->flavour eq 'mysql';
	$db->database('dw');
	$db->sql(q{CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT, c CHAR(5) COLLATE utf8mb4_bin,
		i1 TINYINT, i2 SMALLINT UNSIGNED, i3 MEDIUMINT, i3u MEDIUMINT UNSIGNED NOT NULL, i4 INT ZEROFILL, i8 BIGINT, bo BOOLEAN DEFAULT 1,
		d DECIMAL(38,10) DEFAULT 0, du DECIMAL(5) UNSIGNED, f FLOAT, db DOUBLE, bi BIT(10), b64 BIT(64),
		v VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'NULL', vp VARCHAR(7) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
		tt TINYTEXT CHARACTER SET utf8mb4, lt LONGTEXT CHARACTER SET latin1, mt MEDIUMTEXT CHARACTER SET utf8mb3,
		bn BINARY(3), vb VARBINARY(7), bl BLOB, lb LONGBLOB, vc VARCHAR(5) CHARACTER SET binary,
		da DATE, ti TIME(3), dt DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6), dn DATETIME DEFAULT NOW(), ou DATETIME NULL ON UPDATE CURRENT_TIMESTAMP,
		ts TIMESTAMP NULL, tn TIMESTAMP(2) NULL DEFAULT '2026-01-01 00:00:00', y YEAR,
		nd VARCHAR(30) DEFAULT 'CURRENT_TIMESTAMP', nn VARCHAR(3) NOT NULL DEFAULT '', de INT DEFAULT 3,
		e ENUM('a','it''s','b\\\\x','x,y','(','','new
line','tab	"q"') NOT NULL DEFAULT 'a', s SET('p','x unsigned'),
		gs INT GENERATED ALWAYS AS (i2 + 1) STORED, gv INT AS (i2 + 1) VIRTUAL COMMENT 'DEFAULT_GENERATED',
		geo GEOMETRY, j JSON, tj TEXT CHECK (JSON_VALID(tj)), PRIMARY KEY (c, id), KEY (id), UNIQUE KEY (v, i1)) DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_general_ci});
	my $json = $mysql ? 'j JSON null json server' : 'j TEXT octets=4294967295 null json pad';
	is db($db, 'any', 't'), <<"END", 'a column of each type';
t other-unique:
  id INT 0..18446744073709551615 unsigned auto bytes key1
  c CHAR chars=5 pad key0
  i1 INT -128..127 null bytes
  i2 INT 0..65535 unsigned null bytes
  i3 INT -8388608..8388607 null bytes
  i3u INT 0..16777215 unsigned bytes
  i4 INT 0..4294967295 unsigned null bytes
  i8 INT -9223372036854775808..9223372036854775807 null bytes
  bo INT -128..127 null default bytes
  d DECIMAL 38,10 null default bytes
  du DECIMAL 5,0 unsigned null bytes
  f FLOAT null server
  db DOUBLE null server
  bi BIT ..1023 null bytes
  b64 BIT ..18446744073709551615 null bytes
  v TEXT chars=20 null default pad
  vp TEXT chars=7 null pad
  tt TEXT octets=255 null server
  lt TEXT null server
  mt TEXT octets=16777215 null server
  bn BINARY octets=3 null bytes
  vb VARBINARY octets=7 null bytes
  bl VARBINARY octets=65535 null bytes
  lb VARBINARY octets=4294967295 null bytes
  vc VARBINARY octets=5 null bytes
  da DATE null bytes
  ti TIME 3 null bytes
  dt DATETIME 6 null default now bytes
  dn DATETIME 0 null default now bytes
  ou DATETIME 0 null now bytes
  ts TIMESTAMP 0 null bytes
  tn TIMESTAMP 2 null default bytes
  y YEAR null bytes
  nd TEXT chars=30 null default server
  nn TEXT chars=3 default server
  de INT -2147483648..2147483647 null default bytes
  e ENUM <a> <it's> <b\\x> <x,y> <(> <> <new
line> <tab	"q"> default server
  s SET <p> <x unsigned> null server
  gs INT -2147483648..2147483647 null generated bytes
  gv INT -2147483648..2147483647 null generated bytes
  geo OTHER null server
  $json
  tj TEXT octets=65535 null json server
END
	$db->sql($mysql ? q{CREATE TABLE own (n VARCHAR(5) COLLATE utf8mb4_0900_bin PRIMARY KEY, c CHAR(3) COLLATE utf8mb4_0900_bin,
		ex DATETIME DEFAULT (NOW(6)), cd DATE DEFAULT (CURDATE()), uu VARCHAR(40) DEFAULT (UUID()),
		la DATETIME DEFAULT (NOW() + INTERVAL 1 DAY), iv INT INVISIBLE DEFAULT 7)}
	    : q{CREATE TABLE own (n VARCHAR(5) COLLATE utf8mb4_nopad_bin PRIMARY KEY, c CHAR(3) COLLATE utf8mb4_nopad_bin,
		ex DATETIME DEFAULT (NOW(6)), cd DATE DEFAULT CURDATE(), uu VARCHAR(40) DEFAULT UUID(),
		la DATETIME DEFAULT (NOW() + INTERVAL 1 DAY), iv INT INVISIBLE DEFAULT 7,
		ut INT DEFAULT UNIX_TIMESTAMP(), id UUID, i4 INET4, i6 INET6, jc LONGTEXT CHECK (JSON_VALID(jc) OR jc = 'x'))
		DEFAULT CHARSET latin1 WITH SYSTEM VERSIONING});
	is db($db, 'table', 'own'), <<'END' . ($mysql ? '' : <<'MORE'), 'what only this server has';
own:
  n TEXT chars=5 bytes key0
  c CHAR chars=3 null pad
  ex DATETIME 0 null default now bytes
  cd DATE null default now bytes
  uu TEXT chars=40 null default server
  la DATETIME 0 null default bytes
  iv INT -2147483648..2147483647 null default bytes
END
  ut INT -2147483648..2147483647 null default now bytes
  id UUID null server
  i4 INET4 null server
  i6 INET6 null server
  jc TEXT null server
MORE
}

sub unfit
{
	my ($db) = @_;
	my $name = $db->database('dw');
	$db->sql($_) for 'CREATE TABLE nokey (a INT NOT NULL UNIQUE)', 'CREATE TABLE prefix (a VARCHAR(99), b INT, PRIMARY KEY (b, a(9)))',
	    'CREATE TABLE myisam (a INT PRIMARY KEY) ENGINE=MyISAM', 'CREATE TABLE two (a INT PRIMARY KEY, b INT UNIQUE, c INT, UNIQUE (c, a))',
	    'CREATE VIEW view AS SELECT * FROM two';
	$db->sql('CREATE TABLE fun (a INT PRIMARY KEY, b INT, UNIQUE ((b + 1)))') if $db->flavour eq 'mysql';

	is db($db, map { ('table', $_) } qw(none nokey prefix myisam two view)), <<"END", 'each with its reason';
no table none in database $name, or no right to see it (78)
table nokey has no primary key (78)
table prefix: its primary key has only the beginning of column a (78)
table myisam: engine MyISAM has no transactions (78)
table two has another unique key: an upsert may change another row than the record's (--any-unique) (78)
table view is a VIEW (78)
END
	like db($db, 'any', 'two'), qr/^two other-unique:$/m, 'another unique key when asked for';
	like db($db, 'table', 'fun'), qr/^table fun has another unique key/, 'a unique key on an expression' if $db->flavour eq 'mysql';
}

sub names
{
	my ($db) = @_;
	my $odd = "odd `name'\" \\ " . ($mysql_library ? '' : "\xc3\xa9 ") . $$;
	$db->sql(sprintf 'CREATE DATABASE `%1$s`; USE `%1$s`', $odd =~ s/`/``/gr);
	local $db->{database} = $odd;
	for my $name ('dw.users', 'a`b', "it's", '"q"', 'back\\slash', "\xc3\xa9t\xc3\xa9", "\xe5\xbc\xa7", 'SELECT', ' x', '%', '_', '{db}', '{table}') {
		my $quoted = $name =~ s/`/``/gr;
		$db->sql("CREATE TABLE `$quoted` (`$quoted` INT PRIMARY KEY, `j $quoted` JSON)");
		like db($db, 'table', $name), qr/\A\Q$name\E:\n  \Q$name\E INT .* key0\n  j \Q$name\E .* json .*\n\z/, $name;
	}
	is db($db, 'table', 'users'), "no table users in database $odd, or no right to see it (78)\n",
	    'a name is not split at its dot';
}

sub references
{
	my ($db) = @_;
	my $other = $db->database('other');
	my $name = $db->database('dw');
	$db->sql($_) for 'CREATE TABLE zz (id INT PRIMARY KEY, b INT, UNIQUE (id, b))',
	    'CREATE TABLE kid (id INT PRIMARY KEY, z INT, FOREIGN KEY (z) REFERENCES zz (id))',
	    'CREATE TABLE grandkid (id INT PRIMARY KEY, k INT, z INT, FOREIGN KEY (k) REFERENCES kid (id), FOREIGN KEY (z, k) REFERENCES zz (id, b))',
	    'CREATE TABLE tree (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE)',
	    'CREATE TABLE alone (id INT PRIMARY KEY)', 'CREATE TABLE nulled (id INT PRIMARY KEY)', 'CREATE TABLE far (id INT PRIMARY KEY)',
	    'CREATE TABLE n (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES nulled (id) ON DELETE SET NULL)',
	    "CREATE TABLE `$other`.abroad (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES `$name`.far (id) ON DELETE CASCADE)",
	    "CREATE TABLE `$other`.alone (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES `$other`.abroad (id) ON DELETE CASCADE)",
	    "CREATE TABLE expat (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES `$other`.abroad (id))";
	my %head = map { my ($first) = split /\n/, db($db, 'any', $_); ($_ => $first) } qw(zz kid grandkid tree alone nulled far expat n);

	is $head{zz}, 'zz other-unique:', 'children that hold back';
	is $head{kid}, 'kid: zz', 'a parent';
	is join(' ', sort split / /, $head{grandkid}), 'grandkid: kid zz', 'two parents, one by a key of two columns';
	is $head{tree}, 'tree cascades itself:', 'a table that refers to itself';
	is $head{alone}, 'alone:', 'another database has a table of the same name';
	is $head{nulled}, 'nulled cascades:', 'ON DELETE SET NULL';
	is $head{far}, 'far cascades:', 'a child in another database';
	is $head{expat}, 'expat:', 'a parent in another database is none to be ordered by';
	is db($db, 'order', 'tree,grandkid,kid,zz,alone'), "alone tree zz kid grandkid\n", 'parents first, others by name';
	$db->sql($_) for 'CREATE TABLE b (id INT PRIMARY KEY, x INT)', 'CREATE TABLE a (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES b (id))',
	    'ALTER TABLE b ADD FOREIGN KEY (x) REFERENCES a (id)';
	is db($db, 'order', 'b,a'), "a b\n", 'a cycle: by name';
}

sub tls
{
	my ($db) = @_;
	my $name = $db->database('dw');
	my @tcp = $db->tcp;
	my $cipher = sub {
		my (@options) = @_;
		return try('--defaults-file', $db->option_file(@tcp, @options), '-D', $name, 'select', q{SHOW STATUS LIKE 'Ssl_cipher'});
	};

	like $cipher->('ssl-ca' => $db->ca)->{out}, qr/^Ssl_cipher\t\S+\nok 0$/m, 'its CA';
	is db($db, 'select', 'SELECT 1'), "1\nok 0\n", 'none is needed on its socket';
	refused($cipher->('ssl-ca' => "$name/none"), 78, qr{127\.0\.0\.1:\d+ as sluice: TLS: \Q$name\E/none: No such file}, 'a CA that is not there');
	refused($cipher->('ssl-ca' => $db->other_ca), 77, qr/127\.0\.0\.1:\d+ as sluice: .*certificate/, 'another CA');
	$db->sql("CREATE USER encrypted\@'%' IDENTIFIED BY 'secret' REQUIRE SSL; GRANT ALL ON *.* TO encrypted\@'%'");
	my @user = (user => 'encrypted', password => 'secret');
	like $cipher->(@user, 'ssl-ca' => $db->ca)->{out}, qr/^ok 0$/m, 'a user who must have it';
	return if $mysql_library;
	refused($cipher->(@user), 77, qr/127\.0\.0\.1:\d+ as encrypted: Access denied/, 'and has it not');
	$db->sql('SET GLOBAL require_secure_transport = 1');
	refused($cipher->(), 77, qr/127\.0\.0\.1:\d+ as sluice: (Access denied|Connections using insecure)/, 'the server wants it');
	like $cipher->('ssl-ca' => $db->ca)->{out}, qr/^ok 0$/m, '.. and gets it';
}

# The server's certificate comes from our CA; what was asked for is had or refused.
sub no_tls
{
	my ($db) = @_;
	my $name = $db->database('dw');
	my $ca = Sluice::try_fetch('tls') . '/ca.pem';
	my $r = try('--defaults-file', $db->option_file($db->tcp, 'ssl-ca' => $ca), '-D', $name, 'about');
	refused($r, 69, qr/127\.0\.0\.1:\d+ as sluice: the server has no TLS, which ssl-ca asks for/, 'no TLS');
}

my @subtests = (connecting => \&connecting, 'lost connections' => \&losing, 'a host that is gone' => \&dead_host, killed => \&killed, errors => \&errors, limits => \&limits,
    rights => \&rights, 'locks and read-only' => \&read_only, types => \&types, 'tables that cannot be kept right' => \&unfit,
    'names of any kind' => \&names, references => \&references);

for my $db (@servers) {
	subtest $db->flavour => sub {
		for (my $i = 0; $i < @subtests; $i += 2) {
			my ($name, $test) = @subtests[$i, $i + 1];
			subtest $name => sub { $test->($db) };
		}
		subtest TLS => sub { tls(Sluice::Db->start($db->flavour, tls => 1)) };
	};
}

subtest 'a server without TLS' => sub { no_tls(Sluice::Db->start('mariadb', args => ['--skip-ssl'])) }
    if grep { $_->flavour eq 'mariadb' } @servers;

done_testing;
