package Sluice::Proxy;

# Sluice::Proxy: stands between a client and a MariaDB or MySQL, and loses the connection when a test says so.
#
#	my $proxy = Sluice::Proxy->start($db);
#	run('mysql-upsert', $proxy->args, '-T', 't', { stdin => .. });     as $db->args, but through the proxy
#	$proxy->rule('reply', qr/^COMMIT/);                  what happens to the next request that matches
#	$proxy->rule('before', qr/^INSERT/, nth => 3, reset => 1);         to the third; with RST instead of FIN
#	$proxy->rule('delay', qr/./, seconds => 0.2, times => 100);        to the next hundred
#	$proxy->rule('reply', qr/^COMMIT/, then => [ 'before', qr/^ROLLBACK/ ]);   a rule that begins when this was met
#	$proxy->refuse(0.5);     nobody listens so long; existing connections stay
#	$proxy->clear;           no rules any more, it listens, and what was delayed goes on
#	$proxy->count            { requests, connections, cuts => { before => 1, .. }, requests_seen => [ the last 200 ] }
#	$proxy->cuts             how many cuts there were in all
#
# A rule says when the connection is cut, on both sides at once:
#	before    before the request is forwarded: the server never sees it
#	mid       after half of it
#	after     after all of it, without waiting for the reply: the server may have done it or not
#	reply     when the reply has come, before any of it is passed on: it was done, the client does not know
#	mid-reply after half of what came first of the reply
# with kill => PID: that process gets a KILL at this moment; with refuse => SECONDS: nobody listens afterwards.
# And freeze: nothing flows any more, but nobody hangs up; delay: the request waits for so many seconds.
#
# A request is matched by its SQL (COM_QUERY, COM_STMT_PREPARE), any other by its name: <PING>, <QUIT>, <EXECUTE> ..
# What a client and a server say before the first command is passed on as it is, but that the server's greeting offers
# neither TLS nor query attributes (which Oracle's client puts before the SQL).

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM SOL_SOCKET SO_LINGER);
use Sluice ();
use Time::HiRes qw(sleep time);

my %COMMAND = (1 => 'QUIT', 2 => 'INIT_DB', 9 => 'STATISTICS', 14 => 'PING', 23 => 'EXECUTE', 24 => 'LONG_DATA', 25 => 'CLOSE',
    26 => 'RESET_STMT', 27 => 'SET_OPTION', 28 => 'FETCH', 31 => 'RESET_CONNECTION');
my $KEPT = 200; # requests that count() shows

# ---- the test's side ----

sub start
{
	my ($class, $db) = @_;
	my $p = bless { db => $db, port => Sluice::free_port(), owner => $$ }, $class;

	socketpair my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
	$p->{control} = $mine;
	$_->autoflush(1) for $mine, $its;
	$p->{pid} = fork // die "fork: $!";
	if (!$p->{pid}) {
		close $mine;
		POSIX::setpgid(0, 0);
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		$SIG{PIPE} = 'IGNORE';
		my $loop = Sluice::Proxy::Loop->new(listen => $p->{port}, to => $db->port, control => $its);
		$loop->run while !$loop->{ended};
		POSIX::_exit(0);
	}
	close $its;
	$p->{file} = $db->option_file(host => '127.0.0.1', port => $p->{port}, socket => undef);
	$p->ask('count'); # it listens
	return $p;
}

sub ask
{
	my ($p, $op, %args) = @_;
	print { $p->{control} } Sluice::to_json({ %args, op => $op }), "\n";
	return Sluice::json(readline($p->{control}) // die "the proxy died\n");
}

sub a_rule { my ($when, $match, %o) = @_; return { times => 1, nth => 1, %o, when => $when, match => "$match" } }

sub rule
{
	my ($p, @rule) = @_;
	my $rule = a_rule(@rule);
	$rule->{then} = a_rule(@{ $rule->{then} }) if $rule->{then};
	return $p->ask('rule', rule => $rule);
}

sub clear { return $_[0]->ask('clear') }

sub refuse { my ($p, $seconds) = @_; return $p->ask('refuse', seconds => $seconds) }

sub count { return $_[0]->ask('count') }

sub cuts
{
	my ($p) = @_;
	return $p->ask('cuts')->{all};
}

sub port { return $_[0]{port} }

sub defaults { return $_[0]{file} }

sub args
{
	my ($p) = @_;
	my (undef, undef, @database) = $p->{db}->args;
	return ('--defaults-file', $p->{file}, @database);
}

sub DESTROY
{
	my ($p) = @_;
	return if $p->{owner} != $$;
	local ($?, $!);
	kill 'KILL', $p->{pid};
	waitpid $p->{pid}, 0;
}

# ---- the process that forwards ----

package Sluice::Proxy::Loop;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

sub new
{
	my ($class, %o) = @_;
	my $l = bless { %o, ends => {}, rules => [], asked => '', log => [], all => 0,
		count => { requests => 0, connections => 0, cuts => {} } }, $class;
	$l->{control}->blocking(0);
	$l->{server} = $l->listening;
	return $l;
}

sub listening
{
	my ($l) = @_;
	return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $l->{listen}, Listen => 64, ReuseAddr => 1, Blocking => 0)
	    // die "proxy: port $l->{listen}: $!\n";
}

sub run
{
	my ($l) = @_;
	my @ends = values %{ $l->{ends} };
	my $read = IO::Select->new($l->{control}, $l->{server} // (), map { $_->{socket} } grep { !$_->{link}{frozen} } @ends);
	my $write = IO::Select->new(map { $_->{socket} } grep { length $_->{out} && !$_->{link}{frozen} } @ends);
	my ($readable, $writable) = IO::Select->select($read, $write, undef, $l->next_timer);

	for my $socket (@{ $writable // [] }) {
		my $end = $l->{ends}{$socket} // next;
		my $n = syswrite $socket, $end->{out};
		defined $n ? substr($end->{out}, 0, $n, '') : $!{EAGAIN} || $l->hang_up($end->{link});
	}
	for my $socket (@{ $readable // [] }) {
		if ($socket == $l->{control}) { $l->obey }
		elsif ($l->{server} && $socket == $l->{server}) { $l->connect }
		elsif (my $end = $l->{ends}{$socket}) { $l->receive($end) }
	}
	$l->timers;
}

# ---- what the test says ----

sub obey
{
	my ($l) = @_;
	$l->{ended} = 1 if !sysread $l->{control}, $l->{asked}, 65536, length $l->{asked};
	while ($l->{asked} =~ s/^(.*)\n//) {
		my $q = Sluice::json($1);
		if ($q->{op} eq 'rule') { push @{ $l->{rules} }, $q->{rule} }
		if ($q->{op} eq 'clear') { $l->clear }
		if ($q->{op} eq 'refuse') { $l->refuse($q->{seconds}) }
		my $answer = $q->{op} eq 'count' ? { %{ $l->{count} }, requests_seen => $l->{log} } : { all => $l->{all} };
		$l->{control}->blocking(1);
		print { $l->{control} } Sluice::to_json($answer), "\n";
		$l->{control}->blocking(0);
	}
}

sub refuse { my ($l, $seconds) = @_; @$l{qw(server refuse)} = (undef, time + $seconds) }

sub clear
{
	my ($l) = @_;
	$l->{rules} = [];
	$l->{refuse} = 0 if $l->{refuse};
	$_->{link}{held_until} &&= 1 for values %{ $l->{ends} };
	$l->timers;
}

sub next_timer
{
	my ($l) = @_;
	my ($first) = sort { $a <=> $b } grep { defined } $l->{refuse}, map { $_->{link}{held_until} } values %{ $l->{ends} };
	return !defined $first ? undef : $first > time ? $first - time : 0;
}

sub timers
{
	my ($l) = @_;
	if (defined $l->{refuse} && $l->{refuse} <= time) {
		delete $l->{refuse};
		$l->{server} = $l->listening;
	}
	for my $end (values %{ $l->{ends} }) {
		my $link = $end->{link};
		next if !$link->{held_until} || $link->{held_until} > time;
		delete $link->{held_until};
		$l->forward($link, delete $link->{held});
		$l->requests($link);
	}
}

# ---- connections: a link with two ends, and the bytes that each is still to be sent ----

sub connect
{
	my ($l) = @_;
	my $client = $l->{server}->accept or return;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->{to});

	return close $client unless $server;
	my $link = { in => '', replies => [] };
	$l->{count}{connections}++;
	for ([ client => $client ], [ server => $server ]) {
		my ($side, $socket) = @$_;
		$socket->blocking(0);
		$link->{$side} = $l->{ends}{$socket} = { link => $link, side => $side, socket => $socket, out => '' };
	}
}

sub hang_up
{
	my ($l, $link) = @_;
	for my $end (@$link{qw(client server)}) {
		delete $l->{ends}{ $end->{socket} };
		close $end->{socket};
	}
	$link->{closed} = 1;
	delete @$link{qw(client server held_until)};
}

sub receive
{
	my ($l, $end) = @_;
	my $link = $end->{link};
	my $n = sysread $end->{socket}, my $bytes, 1 << 18;

	return if !defined $n && $!{EAGAIN};
	return $l->finish($link) if !$n;
	return $l->reply($link, $bytes) if $end->{side} eq 'server';
	$link->{in} .= $bytes;
	$l->requests($link);
}

# One side has hung up: what it sent before is still passed on.
sub finish
{
	my ($l, $link) = @_;
	for my $end (@$link{qw(client server)}) {
		$end->{socket}->blocking(1);
		syswrite $end->{socket}, $end->{out} if length $end->{out};
	}
	$l->hang_up($link);
}

# ---- requests and replies ----

# Takes whole requests off what the client sent: packets whose numbers go up from 0. Before the first one it answers
# the server's greeting, from 1 on, which is passed on at once.
sub requests
{
	my ($l, $link) = @_;
	while (!$link->{closed} && !$link->{held} && !$link->{frozen}) {
		my $length = whole_request($link->{in}) // return;
		my $request = substr $link->{in}, 0, $length, '';
		if (ord(substr $request, 3, 1) > 0) {
			# It says that it can have query attributes though it was told not to.
			vec($request, 8 * 4 + 27, 1) = 0 unless $link->{answered}++;
			$link->{server}{out} .= $request;
			next;
		}
		$l->handle($link, $request);
	}
}

# Its length with all its packets, or undef: a packet of 2^24 - 1 bytes is followed by another one.
sub whole_request
{
	my ($bytes) = @_;
	my $at = 0;
	while ($at + 4 <= length $bytes) {
		my $n = unpack 'V', substr($bytes, $at, 3) . "\0";
		$at += 4 + $n;
		return undef if $at > length $bytes;
		return $at if $n < 0xffffff;
	}
	return undef;
}

sub text
{
	my ($request) = @_;
	my $command = ord substr $request, 4, 1;
	return substr $request, 5 if $command == 3 || $command == 22;
	return '<' . ($COMMAND{$command} // "COMMAND $command") . '>';
}

sub handle
{
	my ($l, $link, $request) = @_;
	my $text = text($request);
	$l->{count}{requests}++;
	push @{ $l->{log} }, substr $text, 0, 200;
	shift @{ $l->{log} } if @{ $l->{log} } > $KEPT;

	my $rule = $l->rule_for($text);
	my $when = $rule ? $rule->{when} : '';
	$l->{all}++, $l->{count}{cuts}{$when}++ if $when;
	push @{ $link->{replies} }, $rule if $when =~ /reply/;
	return $l->lose($link, $rule) if $when eq 'before';
	if ($when eq 'mid') { $l->lose($link, $rule, substr $request, 0, length($request) / 2) }
	elsif ($when eq 'after') { $l->lose($link, $rule, $request) }
	elsif ($when eq 'freeze') { $link->{frozen} = 1 }
	elsif ($when eq 'delay') { @$link{qw(held held_until)} = ($request, time + $rule->{seconds}) }
	else { $l->forward($link, $request) }
}

sub rule_for
{
	my ($l, $text) = @_;
	for my $rule (@{ $l->{rules} }) {
		next if $text !~ $rule->{match} || --$rule->{nth} > 0;
		$l->{rules} = [ grep { $_ != $rule } @{ $l->{rules} } ] if --$rule->{times} <= 0;
		push @{ $l->{rules} }, $rule->{then} if $rule->{then};
		return $rule;
	}
	return undef;
}

sub forward { my ($l, $link, $request) = @_; $link->{server}{out} .= $request }

# The last bytes for the server must have left before the end does; a reset would take back what it has not read
# yet, so only the client is told so.
sub lose
{
	my ($l, $link, $rule, $last) = @_;
	my $server = $link->{server}{socket};

	if (defined $last) {
		$server->blocking(1);
		syswrite $server, $link->{server}{out} . $last;
	}
	kill 'KILL', $rule->{kill} if $rule->{kill};
	$l->refuse($rule->{refuse}) if $rule->{refuse};
	setsockopt $link->{client}{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $rule->{reset};
	$l->hang_up($link);
}

# The same bit of the lower and of the upper half: CLIENT_SSL and CLIENT_QUERY_ATTRIBUTES.
sub plain_greeting
{
	my ($bytes) = @_;
	my $at = index($bytes, "\0", 5) + 14; # behind the version, the session, random bytes and a zero
	return $bytes if substr($bytes, 4, 1) ne "\x0a" || $at + 7 > length $bytes; # an error
	for my $half ($at, $at + 5) {
		substr $bytes, $half, 2, pack 'v', unpack('v', substr $bytes, $half, 2) & ~0x0800;
	}
	return $bytes;
}

sub reply
{
	my ($l, $link, $bytes) = @_;
	my $rule = shift @{ $link->{replies} };
	$bytes = plain_greeting($bytes) unless $link->{greeted}++;

	return $link->{client}{out} .= $bytes unless $rule;
	if ($rule->{when} eq 'mid-reply') {
		$link->{client}{socket}->blocking(1);
		syswrite $link->{client}{socket}, substr $bytes, 0, length($bytes) / 2;
	}
	$l->lose($link, $rule);
}

1;
