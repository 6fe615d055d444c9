package Sluice::Kills::Load;

# Sluice::Kills::Load: a new database, mysql-upsert (with kread before it or a recorded stream) that is killed, or loses
# its server or its connection, and is run again until it completes. After each run, killed or not, the tables must be
# what the topic was at the positions that stand beside them.
#
#	my $r = Sluice::Kills::Load->new(what => 'reduced', lines => [ {..} ], wanted => 6, db => $db, proxy => $proxy,
#	    dir => $dir)->play;
#	$r->{problems}, $r->{stories}, $r->{kills}{VICTIM}, $r->{by_source}, $r->{fenced}, $r->{gave_up}, $r->{seconds}
#
# A line is one pipeline: topic => of Sluice::Kills::Changes, source => 'broker' or 'recorded', table, name, from, slow,
# rows, buffer, rejects, check => 1: some only by the server, triggers => 1: each record counts (--no-reduce), mapping => 'plain' | 'tree' (a parent beside the table)
# or undef (-T and -k), shared => [ stems ] of all topics that go into this table.

use strict;
use warnings;
use Sluice;
use Sluice::Kills;
use Sluice::Kills::Changes qw(rows_at changes_below bad_below deletes_below);
use Time::HiRes qw(sleep time);

# What the proxy waits for: a COMMIT above all.
my $COMMIT = qr/^COMMIT/i;
my @REQUESTS = (($COMMIT) x 7, (qr/^SELECT.*FOR UPDATE/s) x 2, (qr/^INSERT INTO sluice_positions/) x 2, (qr/^INSERT INTO `/) x 3,
	(qr/^DELETE FROM `/) x 2, qr/^INSERT IGNORE INTO sluice_positions/, qr/SAVEPOINT/, qr/sluice_rejects/, qr/^START/, qr/^SET/, qr/information_schema/, qr/./);
my @WHEN = qw(before mid after after reply reply mid-reply);

sub one_of { return $_[ rand @_ ] }

sub new
{
	my ($class, %o) = @_;
	my $r = bless { %o, problems => [], stories => [], kills => {}, by_source => {}, fenced => 0, gave_up => 0,
		started => time }, $class;

	$r->{database} = $r->{db}->database('kills');
	$r->make_tables($_) for @{ $r->{lines} };
	$r->{fencing} = keys %{ { map { name_of($_) => 1 } @{ $r->{lines} } } } < @{ $r->{lines} };
	return $r;
}

sub kills
{
	my ($r) = @_;
	my $n = 0;
	$n += $_ for values %{ $r->{kills} };
	return $n;
}

sub count
{
	my ($r, $victim, $source) = @_;
	$r->{kills}{$victim}++;
	$r->{by_source}{$source}++;
}

sub name_of { my ($o) = @_; return $o->{name} // (($o->{mapping} // '') eq 'tree' ? "parents,$o->{table}" : $o->{table}) }

# ---- tables ----

my $TEXT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

sub make_tables
{
	my ($r, $o) = @_;
	my ($t, $db) = ($o->{table}, $r->{db});
	my $tree = ($o->{mapping} // '') eq 'tree';

	$o->{map} = $r->mapping($o) if $o->{mapping};
	return if $r->{made}{$t}++;
	$db->sql("CREATE TABLE parents (id VARCHAR(40) $TEXT PRIMARY KEY, off BIGINT)") if $tree;
	$db->sql("CREATE TABLE $t (id VARCHAR(40) $TEXT PRIMARY KEY, n BIGINT NOT NULL, amount DECIMAL(12,2), city VARCHAR(60) $TEXT" .
	    ($o->{mapping} ? ', part INT, off BIGINT' : '') . ($o->{check} ? ', CHECK (n >= 0)' : '') .
	    ($tree ? ", parent VARCHAR(40) $TEXT, FOREIGN KEY (parent) REFERENCES parents (id)" : '') . ')');
	return unless $o->{triggers};
	# What a trigger writes is part of the transaction; a record that is applied twice stands here twice.
	$db->sql("CREATE TABLE ${t}_seen (part INT, off BIGINT); CREATE TABLE ${t}_gone (id VARCHAR(40));
		CREATE TRIGGER ${t}_i AFTER INSERT ON $t FOR EACH ROW INSERT INTO ${t}_seen VALUES (NEW.part, NEW.off);
		CREATE TRIGGER ${t}_u AFTER UPDATE ON $t FOR EACH ROW INSERT INTO ${t}_seen VALUES (NEW.part, NEW.off);
		CREATE TRIGGER ${t}_d AFTER DELETE ON $t FOR EACH ROW INSERT INTO ${t}_gone VALUES (OLD.id)");
}

sub mapping
{
	my ($r, $o) = @_;
	my $file = "$r->{dir}/$o->{mapping}-$o->{table}.json";
	my %place = (part => '@partition', off => '@offset');
	my $tree = $o->{mapping} eq 'tree';
	my $table = { table => $o->{table}, key => ['id'], columns => { %place, $tree ? (parent => '@key') : () } };

	spew($file, to_json({ tables => [ $table, $tree ? { table => 'parents', key => ['id'], columns => { off => '@offset' } } : () ] }));
	return $file;
}

# ---- one pipeline ----

sub command
{
	my ($r, $o, @args) = @_;
	return ('mysql-upsert', @args, $o->{mapping} ? ('-M', $o->{map}) : ('-T', $o->{table}, '-k', 'id'),
		$o->{name} ? ('-N', $o->{name}) : ());
}

sub start
{
	my ($r, $o, $where) = @_;
	my $trickle = '$| = 1; while (<STDIN>) { print; select undef, undef, undef, 0.004 unless $. % 40 }';
	my @from = ('--marks');

	if ($o->{from}) {
		my $positions = run($r->command($o, $r->{db}->args, '-Q'));
		push @{ $r->{problems} }, "-Q: $positions->{exit}: $positions->{err}" if $positions->{exit};
		spew("$r->{dir}/from", $positions->{out});
		@from = ('--from', "$r->{dir}/from");
	}
	return Sluice::Kills->start(
		$o->{source} eq 'broker' ? [ 'kread', '-t', $o->{topic}{name}, '-e', '-m', 60, @from ] : (),
		$o->{slow} ? [ 'perl', '-e', $trickle ] : (),
		[ $r->command($o, $where->args, '-a', '--rows', $o->{rows}, '--buffer', $o->{buffer}, '-i', '0.05', $o->{triggers} ? '--no-reduce' : (),
			$o->{rejects} ? '-r' : ()) ],
		{ dir => $r->{dir}, in => $o->{source} eq 'broker' ? undef : $o->{topic}{stream} });
}

# Why the exit codes are not what they may be after such a kill ('': none); '' when fine.
sub unexpected
{
	my ($r, $p, $o, $victim) = @_;
	my $status = $p->{status};
	my $tool = $status->{'mysql-upsert'};
	my $err = $p->err('mysql-upsert');

	return "hung: $p->{hung}" if $p->{hung};
	return '' if $tool == 137 && $victim =~ /tool|all/;
	return '' if $tool == 75 && $r->{fencing} && $err =~ /another/;
	return '' if $tool == 65 && $victim =~ /kread|all/ && $err =~ /incomplete|newline|cut/;
	# Before the first connection stood nobody waits for a server.
	return '' if $tool == 69 && $victim =~ /server|cut|connection| at/ && $err !~ /commits?,/ && ++$r->{gave_up};
	return '' if $tool == 0 || $tool == 1 && $o->{rejects};
	return "exit codes after '$victim': " . join(', ', map { "$_ $status->{$_}" } @{ $p->{names} }) . ": $err";
}

# ---- kills ----

# How far such a line gets, in seconds or requests, so that kills fall into it: less when one came too late, more when
# it did not.
my %reach;

sub aim { my ($what, $first) = @_; return rand($reach{$what} //= $first) }

sub aimed { my ($what, $hit) = @_; $reach{$what} *= $hit ? 1.05 : 0.7 }

# A MySQL that was killed needs a second to come back.
sub choose
{
	my ($r, $o, $proxied) = @_;
	my $server = rand() < ($r->{db}->flavour eq 'mysql' ? 0.06 : 0.2);
	return one_of('server', $proxied ? 'server at' : ()) if $server;
	return one_of('kread', 'all') if $o->{source} eq 'broker' && rand() < 0.2;
	return $proxied ? one_of('tool at', 'cut at', 'cut at', 'connection') : one_of('tool', 'tool', 'connection');
}

# Nobody waits for anything that we know of: what the server is doing.
sub stands_still
{
	my ($r, $p) = @_;
	my @sessions = eval { $r->{db}->sql('SHOW FULL PROCESSLIST') };
	push @{ $r->{problems} }, join "\n", 'nothing happens for two minutes: ' . $p->story, map { joined(@$_) } @sessions;
}

# Kills at a moment that the proxy chooses. Returns what happened then, if it did.
sub strike_at
{
	my ($r, $how, $o, $p, @all) = @_;
	my ($request, $when) = (one_of(@REQUESTS), one_of(@WHEN));
	my $what = join ' ', $r->{db}->flavour, $o->{buffer}, $request;
	my $victim = $how eq 'tool at' ? $p->{pid}{'mysql-upsert'} : $how eq 'server at' ? $r->{db}{pid} : undef;
	my $before = $r->{proxy}->cuts;

	push @{ $r->{stories} }, "-- $how: $when $request";
	$r->{proxy}->rule($when, $request, nth => 1 + int aim($what, 3), reset => one_of(0, 1), $victim ? (kill => $victim) : (),
	    $how eq 'cut at' && rand() < 0.2 ? (refuse => rand 0.2) : ());
	my $deadline = time + 120;
	until ($r->{proxy}->cuts > $before || !($how eq 'tool at' ? $p->running : grep { $_->running } @all)) {
		sleep 0.01;
		$r->stands_still($p) if time > $deadline;
		last if time > $deadline;
	}
	my $hit = $r->{proxy}->cuts > $before;
	$r->{proxy}->clear unless $hit;
	aimed($what, $hit);
	# It comes back, and is lost once more.
	$r->{proxy}->rule(one_of(@WHEN), one_of(@REQUESTS)) if $hit && $how eq 'cut at' && rand() < 0.3;
	$r->restart if $hit && $how eq 'server at';
	return $hit && ($request == $COMMIT ? "$how COMMIT" : $how);
}

sub restart
{
	my ($r) = @_;
	$r->{db}->kill9;
	sleep rand 0.1;
	$r->{db}->start_again;
}

sub kill_connections
{
	my ($r, $p) = @_;
	my @ids = map { $_->[0] } $r->{db}->sql(sessions_of($r->{database}, 'id'));
	eval { $r->{db}->sql("KILL CONNECTION $_") } for @ids; # may have ended by itself
	return scalar @ids;
}

sub sessions_of
{
	my ($database, $what) = @_;
	return "SELECT $what FROM information_schema.processlist WHERE db = '$database' AND id <> CONNECTION_ID()";
}

# Kills at a moment of our own. Returns whom, or nothing when it was too late.
sub strike
{
	my ($r, $how, $o, $p, @all) = @_;
	return $r->strike_at($how, $o, $p, @all) if $how =~ /at$/;
	my $what = join ' ', $r->{db}->flavour, $how, $o->{buffer}, $o->{slow} // 0, $o->{source};
	sleep aim($what, $o->{slow} || $o->{source} eq 'broker' ? 0.2 : 0.05);
	my $hit = $how eq 'connection' ? $r->kill_connections : $how eq 'server' ? scalar $p->running
	    : $p->kill9($how eq 'tool' ? 'mysql-upsert' : $how);
	aimed($what, $hit);
	$r->restart if $hit && $how eq 'server';
	return $hit && $how;
}

# Strikes a line again and again, as long as it survives that. What happened to whom.
sub strikes
{
	my ($r, $o, $proxied, $p, @all) = @_;
	my @hits;

	while ($r->kills < $r->{wanted} && @hits < 5) {
		my $hit = $r->strike($r->choose($o, $proxied), $o, $p, @all) or last;
		push @hits, $hit;
		$r->count($hit, $o->{source});
		last unless $p->running;
	}
	$r->{proxy}->clear;
	return @hits;
}

# Starts what is pending, strikes one of them perhaps, waits for all. What is left to be done.
sub run_pending
{
	my ($r, $pending, $kill) = @_;
	my $chosen = int rand @$pending;
	my $proxied = rand() < 0.6;
	my @p = map { $r->start($_, $proxied ? $r->{proxy} : $r->{db}) } @$pending;
	my @hits = $kill ? $r->strikes($pending->[$chosen], $proxied, $p[$chosen], @p) : ();

	$_->wait(120) for @p;
	# What the proxy did may have met another's connection.
	my @victims = map { my $i = $_; join ', ', grep { $i == $chosen || /^(server|cut|connection)| at/ } @hits } 0 .. $#p;
	my @left = map { $r->outcome($pending->[$_], $p[$_], $victims[$_]) } 0 .. $#p;
	$r->look(@p);
	return @left;
}

sub outcome
{
	my ($r, $o, $p, $victim) = @_;
	my $why = $r->unexpected($p, $o, $victim);
	my $status = $p->{status};

	$r->{fenced}++ if $status->{'mysql-upsert'} == 75;
	push @{ $r->{stories} }, sprintf("%.3f s: ", time - $r->{started}) . $p->story;
	push @{ $r->{problems} }, "$why\n" . $p->story if $why;
	return grep({ $status->{$_} && !($_ eq 'mysql-upsert' && $status->{$_} == 1 && $o->{rejects}) } keys %$status) ? $o : ();
}

# ---- what must hold ----

sub positions
{
	my ($r, $o) = @_;
	my $there = $r->{db}->value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '$r->{database}'
		AND table_name = 'sluice_positions'");
	return {} unless $there;
	return { map { ($_->[0] => $_->[1]) } $r->{db}->sql("SELECT part, COALESCE(next_offset, 0) FROM sluice_positions
		WHERE name = '" . name_of($o) . "' AND topic = '$o->{topic}{name}'") };
}

sub differ
{
	my ($what, $got, $expected) = @_;
	return if keys %$got == keys %$expected && !grep { ($got->{$_} // '-') ne $expected->{$_} } keys %$expected;
	my ($first) = grep { ($got->{$_} // '-') ne ($expected->{$_} // '-') } sort keys %{ { %$got, %$expected } };
	return defined $first ? "$what: $first is " . ($got->{$first} // 'missing') . ', not ' . ($expected->{$first} // 'there') : ();
}

sub joined { return join '|', map { $_ // 'NULL' } @_ }

# Nobody runs any more, but for what the server still has to do: the tables are what the positions say, not less and not
# more, and what was acknowledged is there.
sub look
{
	my ($r, @p) = @_;
	my $sessions = sessions_of($r->{database}, 'COUNT(*)');
	wait_until(60, 'the sessions end', sub { $r->{db}->value($sessions) == 0 });
	my @lines = @{ $r->{lines} };
	my @bad = map { $r->check_line($_) } @lines;
	push @bad, map { $r->check_acks($_) } @p;
	push @{ $r->{problems} }, map { "$_\n$r->{stories}[-1]" } @bad;
}

sub check_line
{
	my ($r, $o) = @_;
	my ($t, $db) = ($o->{table}, $r->{db});
	my $positions = $r->positions($o);
	my %expected = map { rows_at($_->{topic}, $r->positions($_)) } $o->{shared} ? @{ $r->{lines} } : $o;
	my $columns = $o->{mapping} ? 'id, n, amount, city, part, off' : 'id, n, amount, city';
	my @bad = differ("$t (key)", { map { my ($id, @row) = @$_; ($id => joined(@row)) } $db->sql("SELECT $columns FROM $t") },
	    { map { ($_ => joined(@{ $expected{$_} }[ 0 .. ($o->{mapping} ? 4 : 2) ])) } keys %expected });

	if ($o->{triggers}) {
		push @bad, differ("applied (partition|offset)",
		    { map { ("$_->[0]|$_->[1]" => $_->[2]) } $db->sql("SELECT part, off, COUNT(*) FROM ${t}_seen GROUP BY part, off") },
		    { map { ("$_->{partition}|$_->{offset}" => 1) } changes_below($o->{topic}, $positions) });
		push @bad, differ('deletes', { rows => $db->value("SELECT COUNT(*) FROM ${t}_gone") },
		    { rows => deletes_below($o->{topic}, $positions) });
	}
	if ($o->{rejects} && %$positions) {
		my %kept = map { ("$_->[0]|$_->[1]" => $_->[2]) } $db->sql('SELECT part, off, COUNT(*) FROM sluice_rejects GROUP BY part, off');
		my %expected = map { ("$_->{partition}|$_->{offset}" => 1) } bad_below($o->{topic}, $positions);
		# The server judges only what is sent: not those that were superseded in their window.
		if ($o->{check} && !$o->{triggers}) {
			delete $expected{$_} for grep { !$kept{$_} } keys %expected;
		}
		push @bad, differ('rejects (partition|offset)', \%kept, \%expected);
	}
	if (($o->{mapping} // '') eq 'tree') {
		push @bad, differ('parents', { map { @$_ } $db->sql('SELECT id, off FROM parents') },
		    { map { ($_ => $expected{$_}[4]) } keys %expected });
	}
	return @bad;
}

sub check_acks
{
	my ($r, $p) = @_;
	my (%acked, @bad);
	for (-e $p->out ? split /\n/, slurp($p->out) : ()) { # killed before it even began, it has none
		$acked{$1}{$2} = $3 if /"topic":"([^"]+)","partition":(\d+),"offset":(\d+).*\}\}$/;
	}
	for my $o (@{ $r->{lines} }) {
		my $stored = $r->positions($o);
		next if grep { $_ != $o && $_->{topic} == $o->{topic} } @{ $r->{lines} }; # whose acks are they?
		my $acked = $acked{ $o->{topic}{name} } // {};
		push @bad, map { "acknowledged $acked->{$_} of partition $_, stored " . ($stored->{$_} // 'nothing') }
		    grep { $acked->{$_} > ($stored->{$_} // 0) } sort keys %$acked;
	}
	return @bad;
}

# ---- the round ----

sub play
{
	my ($r) = @_;
	my @pending = @{ $r->{lines} };

	for (my $runs = 0; @pending && !@{ $r->{problems} }; $runs++) {
		@pending = $r->run_pending(\@pending, $r->kills < $r->{wanted});
		push @{ $r->{problems} }, 'never gets done' if $runs > 80;
	}
	$r->conclude unless @{ $r->{problems} };
	$r->{seconds} = time - $r->{started};
	return $r;
}

# The same lines once more: nothing to do, nothing done; and all of it is there.
sub conclude
{
	my ($r) = @_;
	for my $o (@{ $r->{lines} }) {
		push @{ $r->{problems} }, "a rerun did not end well\n$r->{stories}[-1]" if $r->run_pending([$o], 0);
		push @{ $r->{problems} }, differ("position of $o->{topic}{stem}", $r->positions($o), $o->{topic}{ends});
	}
}

# Keeps what there is and how it came to be, for whoever looks into it.
sub keep
{
	my ($r, $to) = @_;
	run('mkdir', '-p', $to);
	run('cp', $_, $to) for map { $_->{topic}{stream} } @{ $r->{lines} };
	my @tables = map { $_->[0] } eval { $r->{db}->sql('SHOW TABLES') };
	spew("$to/$_", map { joined(@$_) . "\n" } $r->{db}->sql("SELECT * FROM `$_`")) for @tables;
	spew("$to/story", $r->{db}->flavour, ": $r->{what}\n\n", join("\n", @{ $r->{problems} }),
	    "\n\n---- every run ----\n\n", join("\n\n", @{ $r->{stories} }), "\n");
}

sub remove { my ($r) = @_; $r->{db}->sql("DROP DATABASE `$r->{database}`; CREATE DATABASE IF NOT EXISTS nothing; USE nothing") }

1;
