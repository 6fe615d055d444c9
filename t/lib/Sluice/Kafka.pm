package Sluice::Kafka;

# One Apache Kafka node (KRaft, broker and controller in one) in a directory of its own on loopback.
# Use it through start_kafka() of Sluice.pm. PLAINTEXT is always there, and without rights to ask for: tests
# administrate through it. SASL_PLAINTEXT, SSL and SASL_SSL listen beside it when they are asked for.

use strict;
use warnings;
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Sluice ();
use Time::HiRes qw(sleep time);

our $PASSWORD = 'sluice-test'; # of the key stores that t/lib/fetch makes
our @USERS = qw(admin reader nobody);

sub new
{
	my ($class, %o) = @_;
	my $dir = File::Temp->newdir('sluice-kafka-XXXXXX', TMPDIR => 1);
	my @listeners = ('PLAINTEXT', 'CONTROLLER', $o{sasl} ? 'SASL_PLAINTEXT' : (), $o{tls} ? 'SSL' : (),
	    $o{sasl} && $o{tls} ? 'SASL_SSL' : ());
	my $k = bless { %o, dir => $dir, owner => $$, names => \@listeners }, $class;

	$k->{port} = { map { $_ => Sluice::free_port() } @listeners };
	Sluice::spew("$dir/log4j.properties", log4j());
	Sluice::spew("$dir/server.properties", $k->properties);
	return $k;
}

sub log4j
{
	return <<'EOF';
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %m (%c)%n
EOF
}

sub properties
{
	my ($k) = @_;
	my ($port, @names) = ($k->{port}, @{ $k->{names} });
	my %p = (
		'process.roles' => 'broker,controller', 'node.id' => 1,
		'controller.quorum.voters' => "1\@127.0.0.1:$port->{CONTROLLER}",
		'listeners' => join(',', map { "$_://127.0.0.1:$port->{$_}" } @names),
		'advertised.listeners' =>
		    join(',', map { "$_://127.0.0.1:$port->{$_}" } grep { $_ ne 'CONTROLLER' } @names),
		'controller.listener.names' => 'CONTROLLER',
		'inter.broker.listener.name' => 'PLAINTEXT',
		'listener.security.protocol.map' =>
		    join(',', map { "$_:" . ($_ eq 'CONTROLLER' ? 'PLAINTEXT' : $_) } @names),
		'log.dirs' => "$k->{dir}/data",
		'offsets.topic.replication.factor' => 1, 'offsets.topic.num.partitions' => 4,
		'transaction.state.log.replication.factor' => 1, 'transaction.state.log.min.isr' => 1,
		'transaction.state.log.num.partitions' => 4,
		'group.initial.rebalance.delay.ms' => 0, 'num.partitions' => 4,
		'message.max.bytes' => 110_000_000, 'socket.request.max.bytes' => 250_000_000,
		# What tests produce may have any date and stays, unless a topic says otherwise.
		'log.retention.ms' => -1,
		# Old segments are deleted and compacted while a test can wait for it.
		'log.initial.task.delay.ms' => 100, 'log.retention.check.interval.ms' => 300, 'log.retention.ms' => -1,
		'log.cleaner.backoff.ms' => 100, 'log.segment.delete.delay.ms' => 500,
		'log.cleaner.dedupe.buffer.size' => 20_000_000,
		# A node that was killed is let in again as soon as its old session is over.
		'broker.session.timeout.ms' => 3000, 'broker.heartbeat.interval.ms' => 300,
	);
	if ($k->{sasl}) {
		$p{'sasl.enabled.mechanisms'} = 'SCRAM-SHA-256';
		for my $name (grep { /^SASL/ } @names) {
			$p{'listener.name.' . lc($name) . '.scram-sha-256.sasl.jaas.config'} =
			    'org.apache.kafka.common.security.scram.ScramLoginModule required;';
		}
	}
	if ($k->{tls}) {
		%p = (%p, 'ssl.keystore.location' => "$k->{keys}/ca.p12", 'ssl.keystore.type' => 'PKCS12',
		    'ssl.keystore.password' => $PASSWORD, 'ssl.key.password' => $PASSWORD,
		    'ssl.client.auth' => 'none');
	}
	if ($k->{acl}) {
		$p{'authorizer.class.name'} = 'org.apache.kafka.metadata.authorizer.StandardAuthorizer';
		$p{'super.users'} = 'User:ANONYMOUS;User:admin';
	}
	%p = (%p, %{ $k->{properties} // {} });
	return join '', map { "$_=$p{$_}\n" } sort keys %p;
}

sub brokers
{
	my ($k, $protocol) = @_;
	my $port = $k->{port}{ $protocol // 'PLAINTEXT' } // die "no listener $protocol\n";
	return "127.0.0.1:$port";
}

sub ca { return "$_[0]{keys}/ca.pem" }

sub other_ca { return "$_[0]{keys}/other.pem" }

sub java
{
	my ($k, @args) = @_;
	return ('java', '-Xmx1g', '-XX:+UseSerialGC', "-Dlog4j.configuration=file:$k->{dir}/log4j.properties",
	    '-cp', "$k->{libs}/*", @args);
}

sub format_storage
{
	my ($k) = @_;
	my @scram = map { ('--add-scram', "SCRAM-SHA-256=[name=$_,password=$_-secret]") } $k->{sasl} ? @USERS : ();
	my $r = Sluice::run($k->java('kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg',
	    '-c', "$k->{dir}/server.properties", @scram), { timeout => 120 });
	die "kafka: format: $r->{out}$r->{err}\n" if $r->{exit};
}

# Starts it, or starts it again on the same data and ports; returns when it answers.
sub start
{
	my ($k) = @_;
	$k->format_storage unless -e "$k->{dir}/data/meta.properties";
	$k->{pid} = fork // die "fork: $!";
	if (!$k->{pid}) {
		# A group of its own: an INT from the terminal must not end it before the tests.
		POSIX::setpgid(0, 0);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$k->{dir}/server.log";
		open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig', 'KILL', $k->java('kafka.Kafka', "$k->{dir}/server.properties")
		    or POSIX::_exit(127);
	}
	Sluice::wait_until(120, "no broker:\n" . $k->log, sub { $k->answers });
	return $k;
}

# Listening is not enough: the log says when the node is let into the cluster and serves requests.
sub answers
{
	my ($k) = @_;
	if (waitpid($k->{pid}, POSIX::WNOHANG()) == $k->{pid}) {
		delete $k->{pid};
		die "kafka ended:\n" . $k->log;
	}
	my $s = IO::Socket::INET->new(PeerAddr => $k->brokers, Timeout => 1) or return 0;
	close $s;
	return 1;
}

sub log
{
	my ($k) = @_;
	return -e "$k->{dir}/server.log" ? substr(Sluice::slurp("$k->{dir}/server.log"), -4000) : '';
}

sub stop
{
	my ($k, $signal) = @_;
	my $pid = $$ == $k->{owner} ? delete $k->{pid} : undef;
	return unless $pid;
	kill $signal // 'TERM', $pid;
	my $deadline = time + 10;
	while (waitpid($pid, POSIX::WNOHANG()) == 0) {
		kill 'KILL', $pid if time > $deadline;
		sleep 0.02;
	}
}

sub kill9 { $_[0]->stop('KILL') }

1;
