# The servers that the tests of mysql-upsert stand on: what t/lib/Sluice/Db.pm says of them is so.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;

sub error_of { my ($try) = @_; return eval { $try->(); 1 } ? '' : $@ }

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour => sub {
		my $name = $db->database('dw');
		like $db->version, $db->flavour eq 'mysql' ? qr/^8\.0\./ : qr/^10\..*MariaDB/, 'its version';
		is $db->value('SELECT DATABASE()'), $name, 'a new database is used';

		$db->sql('CREATE TABLE t (a VARCHAR(20) CHARACTER SET utf8mb4 PRIMARY KEY, b BLOB)');
		$db->sql(q{INSERT INTO t VALUES ('x', X'000A09FF5C'), ('y', NULL), ('z', ''), ('NULL', 'NULL')});
		is_deeply [ $db->sql('SELECT a, b FROM t ORDER BY a') ],
		    [ [ 'NULL', 'NULL' ], [ 'x', "\0\n\t\xff\\" ], [ 'y', undef ], [ 'z', '' ] ], 'any bytes and NULL come back';
		is_deeply [ $db->sql('DELETE FROM t') ], [], 'no rows';
		is_deeply [ $db->sql('SELECT * FROM t') ], [], 'none either';
		is $db->value("SELECT 'a\xf0\x9f\x98\x80'"), "a\xf0\x9f\x98\x80", 'text is UTF-8';
		is $db->value('SET @a = 1; SELECT @a + 1; SELECT @a + 2'), 3, 'of several statements the last answers';
		like error_of(sub { $db->sql("INSERT INTO t VALUES ('x', 1), ('x', 2)") }), qr/^1062 23000 Duplicate/, 'an error';
		is $db->value('SELECT 1'), 1, 'after an error it goes on';

		my @other = ($db->session, $db->session);
		$db->sql("INSERT INTO t VALUES ('k', 0)");
		$other[0]->sql('BEGIN; UPDATE t SET b = 1');
		$other[1]->send('UPDATE t SET b = 2');
		$db->wait_for_lock;
		$other[0]->sql('COMMIT');
		$other[1]->receive;
		is $db->value('SELECT b FROM t'), 2, 'sessions can wait for each other';
		$db->sql('KILL CONNECTION ' . $other[0]->id);
		like error_of(sub { $other[0]->sql('SELECT 1') }), qr/^(2013|2006|1927|4031) /, 'a killed connection says so';

		my $tcp = Sluice::Db::Session->new($db->option_file($db->tcp), $name);
		is $tcp->value('SELECT 1'), 1, 'through the port';
		like error_of(sub { Sluice::Db::Session->new($db->option_file(password => 'wrong'))->sql('SELECT 1') }),
		    qr/^1045 28000 Access denied/, 'a wrong password';
	};
}

for my $flavour (map { $_->flavour } Sluice::Db::servers()) {
	subtest "a $flavour of one's own" => sub {
		my $db = Sluice::Db->start($flavour, args => ['--max-allowed-packet=1M'], tls => 1);
		$db->database('dw');
		is $db->value('SELECT @@max_allowed_packet'), 1 << 20, 'with settings of its own';
		is $db->value('SELECT @@innodb_flush_log_at_trx_commit'), 1, 'a commit is on disk';
		$db->sql('CREATE TABLE t (a INT PRIMARY KEY); BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (2)');
		my $before = $db->session;
		is $before->value('SELECT 1'), 1, 'a session before the kill';
		$db->kill9;
		like error_of(sub { $before->sql('SELECT 1') }), qr/^20(06|13) /, 'which the kill ends';
		like error_of(sub { $db->sql('SELECT 1') }), qr/^2002 /, 'nobody answers then';
		$db->start_again;
		is_deeply [ $db->sql('SELECT a FROM t') ], [ [1] ], 'after kill -9 what was committed is there, and nothing else';

		my $tls = Sluice::Db::Session->new($db->option_file($db->tcp, 'ssl-ca' => $db->ca, 'ssl-verify-server-cert' => ''));
		isnt $tls->sql("SHOW STATUS LIKE 'Ssl_cipher'") && ($tls->sql("SHOW STATUS LIKE 'Ssl_cipher'"))[0][1], '', 'TLS';
		my $pid = $db->{pid};
		$db->stop;
		ok !kill(0, $pid), 'stopped';
	};
}

done_testing;
