package Sluice::Db;

# Sluice::Db: a MariaDB or a MySQL for the tests, in a directory of its own on loopback.
#
#	for my $db (Sluice::Db::servers()) {                 those of this prove run (t/lib/with-databases), or own ones
#		subtest $db->flavour => sub {                'mariadb' | 'mysql'
#			my $name = $db->database('dw');      a new database, which sql() then uses
#			$db->sql('CREATE TABLE t (a INT)');
#			my @rows = $db->sql('SELECT a, b FROM t');   array refs; NULL is undef, other bytes as they are
#			is $db->value('SELECT COUNT(*) FROM t'), 0;
#			run('mysql-upsert', $db->args, '-T', 't', { stdin => .. });    --defaults-file FILE -D dw-..
#		};
#	}
#	eval { $db->sql('..') }; like $@, qr/^1062 23000 Duplicate/;
#
#	my $other = $db->session;            a connection of its own: ->sql, ->value, ->id, ->send(SQL) .. ->receive
#	$db->wait_for_lock(N);               until N transactions (1) wait for a lock
#	my $file = $db->option_file(user => 'nobody', password => undef, 'ssl-ca' => ..);   [client] with changes
#	my $tcp = $db->option_file($db->tcp);                                  through the port, not the socket
#	$db->defaults, $db->socket, $db->port, $db->user, $db->password, $db->version
#
#	my $db = Sluice::Db->start('mysql', args => ['--max-allowed-packet=1M'], tls => 1);   one of its own, which may be
#	$db->kill9; $db->start_again; $db->stop; $db->restart(SIGNAL)        killed; ->ca, ->other_ca as of Kafka
#
# The user may do anything on the server. The data lie in memory where that can be (but with disk => 1): kill -9 leaves
# what the kernel has.

use strict;
use warnings;
use File::Temp ();
use IO::Socket::UNIX;
use POSIX ();
use Sluice ();
use Test::More ();
use Time::HiRes qw(sleep time);

my $PASSWORD = 'sluice-secret';

sub flavours { return $ENV{SLUICE_DATABASES} ? split /[ ,]+/, $ENV{SLUICE_DATABASES} : qw(mariadb mysql) }

my %shared;

# One of each flavour that can be had; the test is skipped when there is none, and fails when one must be there.
sub servers
{
	my @missing;
	for my $flavour (flavours()) {
		my $file = $ENV{ 'SLUICE_TEST_' . uc $flavour };
		$shared{$flavour} //= eval { $file ? Sluice::Db->attach($flavour, $file) : Sluice::Db->start($flavour) };
		push @missing, $@ unless $shared{$flavour};
	}
	my @servers = grep { $_ } map { $shared{$_} } flavours();
	Sluice::unavailable("@missing", 'SLUICE_REQUIRE_DATABASES') if @missing && ($ENV{SLUICE_REQUIRE_DATABASES} || !@servers);
	Test::More::diag("going on without: $_") for @missing;
	return @servers;
}

# ---- servers ----

my @started;

sub start
{
	my ($class, $flavour, %o) = @_;
	my $dir = $o{disk} ? File::Temp->newdir('sluice-db-XXXXXX', TMPDIR => 1) : Sluice::memory_dir('sluice-db');
	my $db = bless { %o, flavour => $flavour, base => Sluice::try_fetch($flavour), dir => $dir, owner => $$,
		keys => $o{tls} && Sluice::try_fetch('tls'), databases => 0, files => 0 }, $class;

	$db->{client} = { socket => "$dir/socket", port => Sluice::free_port(), user => 'sluice', password => $PASSWORD };
	Sluice::spew("$dir/init.sql", "CREATE USER IF NOT EXISTS 'sluice'\@'%' IDENTIFIED BY '$PASSWORD';\n",
	    "GRANT ALL ON *.* TO 'sluice'\@'%' WITH GRANT OPTION;\n");
	mkdir "$dir/tmp";
	my $copy = Sluice::run('cp', '-a', '--sparse=always', "$db->{base}/data", "$dir/data");
	die "$flavour: $copy->{err}\n" if $copy->{exit};
	push @started, $db;
	$db->{defaults} = $db->option_file;
	return $db->start_again;
}

# A server that somebody else has started and stops.
sub attach
{
	my ($class, $flavour, $file) = @_;
	my $dir = File::Temp->newdir('sluice-db-XXXXXX', TMPDIR => 1);
	my %client = Sluice::slurp($file) =~ /^([\w-]+)=(.*)$/mg;
	return bless { flavour => $flavour, dir => $dir, owner => 0, defaults => $file, client => \%client,
		databases => 0, files => 0 }, $class;
}

sub program
{
	my ($db) = @_;
	return $db->{flavour} eq 'mariadb' ? ('mariadbd', '--no-defaults', '--innodb-log-file-size=16M')
	    : ("$db->{base}/bin/mysqld", '--no-defaults', '--mysqlx=OFF', '--disable-log-bin', '--innodb-redo-log-capacity=16M',
	    "--pid-file=$db->{dir}/pid");
}

sub command
{
	my ($db) = @_;
	my ($dir, $client) = @$db{qw(dir client)};
	# In a shared tmpdir a server that starts removes the temporary tables of the others: MariaDB then crashes.
	return ($db->program, '--user=' . getpwuid($>), "--datadir=$dir/data", "--tmpdir=$dir/tmp", "--socket=$client->{socket}",
		"--port=$client->{port}", '--bind-address=127.0.0.1', '--skip-name-resolve', "--init-file=$dir/init.sql",
		'--innodb-buffer-pool-size=64M', '--performance-schema=OFF',
		$db->{tls} ? ("--ssl-ca=$db->{keys}/ca.pem", "--ssl-cert=$db->{keys}/ca-server.pem",
		    "--ssl-key=$db->{keys}/ca-server.pem") : (), @{ $db->{args} // [] });
}

# On the same data and port; returns when it answers.
sub start_again
{
	my ($db) = @_;
	$db->{pid} = fork // die "fork: $!";
	if (!$db->{pid}) {
		# A group of its own: an INT from the terminal must not end it before the tests.
		POSIX::setpgid(0, 0);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$db->{dir}/server.log";
		open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig', 'KILL', $db->command or POSIX::_exit(127);
	}
	Sluice::wait_until(120, "no $db->{flavour}", sub { $db->answers });
	return $db;
}

sub answers
{
	my ($db) = @_;
	if (waitpid($db->{pid}, POSIX::WNOHANG()) == $db->{pid}) {
		delete $db->{pid};
		die "$db->{flavour} ended:\n" . $db->log;
	}
	return IO::Socket::UNIX->new(Peer => $db->{client}{socket}) ? 1 : 0;
}

sub log
{
	my ($db) = @_;
	return -e "$db->{dir}/server.log" ? substr(Sluice::slurp("$db->{dir}/server.log"), -4000) : '';
}

sub stop
{
	my ($db, $signal) = @_;
	delete $db->{session};
	my $pid = $$ == $db->{owner} ? delete $db->{pid} : undef;
	return unless $pid;
	kill $signal // 'TERM', $pid;
	my $deadline = time + 30;
	while (waitpid($pid, POSIX::WNOHANG()) == 0) {
		kill 'KILL', $pid if time > $deadline;
		sleep 0.005;
	}
}

sub kill9 { $_[0]->stop('KILL') }

sub restart { my ($db, $signal) = @_; $db->stop($signal); return $db->start_again }

sub ca { return "$_[0]{keys}/ca.pem" }

sub other_ca { return "$_[0]{keys}/other.pem" }

END {
	my $status = $?;
	# Nobody needs what they would still write.
	$_->kill9 for @started;
	$? = $status;
}

# ---- how to reach it ----

sub flavour { return $_[0]{flavour} }

sub defaults { return $_[0]{defaults} }

sub socket { return $_[0]{client}{socket} }

sub port { return $_[0]{client}{port} }

sub user { return $_[0]{client}{user} }

sub password { return $_[0]{client}{password} }

sub version { return $_[0]->value('SELECT VERSION()') }

sub tcp { return (socket => undef, host => '127.0.0.1') }

sub option_file
{
	my ($db, %changes) = @_;
	my %client = (%{ $db->{client} }, %changes);
	my $file = "$db->{dir}/" . ($db->{files}++ || '') . 'my.cnf';

	Sluice::spew($file, "[client]\n", map { defined $client{$_} ? "$_=$client{$_}\n" : () } sort keys %client);
	chmod 0600, $file;
	return $file;
}

# For the tools: the database is the one that database() made last.
sub args { my ($db) = @_; return ('--defaults-file', $db->{defaults}, $db->{database} ? ('-D', $db->{database}) : ()) }

# ---- SQL ----

sub database
{
	my ($db, $stem) = @_;
	my $name = sprintf '%s_%d_%d', $stem // 'test', $$, ++$db->{databases};

	$db->sql("CREATE DATABASE `$name`; USE `$name`");
	return $db->{database} = $name;
}

sub session { my ($db) = @_; return Sluice::Db::Session->new($db->{defaults}, $db->{database}) }

# The session of this process: after a fork each has its own.
sub own_session
{
	my ($db) = @_;
	delete $db->{session} if $db->{session} && !$db->{session}->alive;
	return $db->{session} //= $db->session;
}

sub sql { my ($db, $sql) = @_; return $db->own_session->sql($sql) }

sub value { my ($db, $sql) = @_; return $db->own_session->value($sql) }

# Until N transactions wait for a lock. Asked more often than ten times a second the servers repeat their last answer.
sub wait_for_lock
{
	my ($db, $n) = @_;
	my $count = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
	my $waiting = sub { sleep 0.12; return $db->value($count) >= ($n // 1) };
	Sluice::wait_until(30, 'a lock wait', $waiting);
}

package Sluice::Db::Session;

use strict;
use warnings;
use POSIX ();
use Sluice ();

sub new
{
	my ($class, $file, $database) = @_;
	pipe my $in, my $to or die "pipe: $!";
	pipe my $from, my $out or die "pipe: $!";
	my $pid = fork // die "fork: $!";

	if (!$pid) {
		POSIX::setpgid(0, 0);
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		close $_ for $to, $from;
		exec "$Sluice::BUILD/t/tool/sql", $file, $database // () or POSIX::_exit(127);
	}
	close $_ for $in, $out;
	$to->autoflush(1);
	return bless { pid => $pid, owner => $$, to => $to, from => $from }, $class;
}

sub alive { my ($s) = @_; return $s->{owner} == $$ && !$s->{lost} }

sub id { my ($s) = @_; return $s->value('SELECT CONNECTION_ID()') }

sub send
{
	my ($s, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $s->{to} } pack 'V/a*', $sql; # when it could not connect it has said so
}

sub receive
{
	my ($s) = @_;
	my ($length, $answer);
	my $got = read($s->{from}, $length, 4) && read($s->{from}, $answer, unpack 'V', $length);

	if (!$got || $answer =~ s/^E//) {
		$s->{lost} = !$got || $answer =~ /^(20\d\d|3159|1152|1045) /;
		die $got ? "$answer\n" : "t/tool/sql ended\n";
	}
	return rows($answer);
}

sub rows
{
	my ($answer) = @_;
	my $columns = unpack 'xV', $answer;
	my ($at, @rows) = (5);

	while ($at < length $answer) {
		my @row;
		for (1 .. $columns) {
			my $length = unpack "\@${at}V", $answer;
			my $null = $length == 0xffffffff;
			push @row, $null ? undef : substr $answer, $at + 4, $length;
			$at += 4 + ($null ? 0 : $length);
		}
		push @rows, \@row;
	}
	return @rows;
}

sub sql { my ($s, $sql) = @_; $s->send($sql); return $s->receive }

sub value { my ($s, $sql) = @_; my ($row) = $s->sql($sql); return $row && $row->[0] }

sub DESTROY
{
	my ($s) = @_;
	return if $s->{owner} != $$;
	local ($?, $!);
	close $_ for @$s{qw(to from)};
	kill 'KILL', $s->{pid};
	waitpid $s->{pid}, 0;
}

1;
