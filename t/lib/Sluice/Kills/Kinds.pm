package Sluice::Kills::Kinds;

# Sluice::Kills::Kinds: the situations in which pipelines are killed, as rounds to run.
#
#	my $kinds = Sluice::Kills::Kinds->new(data => $data, reader => $reader, dir => $dir);
#	my $round = $kinds->round('two topics', wanted => 6);    a Sluice::Kills::Round that has been run
#	$kinds->with_broker, $kinds->recorded                     the names: what plays kread's part
#	$kinds->broker_round($kafka)                             the broker dies, not the pipeline

use strict;
use warnings;
use Sluice ();
use Sluice::Kills::Round;
use Time::HiRes qw(sleep time);

# Most lakes are in memory where that can be: a kill leaves what the kernel has, on a disk or not, and the disk is slow.
sub new
{
	my ($class, %o) = @_;
	my $k = bless {%o}, $class;

	$k->{memory} = Sluice::memory_dir();
	return $k;
}

sub dir { my ($k) = @_; return rand() < 0.75 ? "$k->{memory}" : $k->{dir} }

sub one_of { return $_[ rand @_ ] }

# ---- pipelines ----

sub part { my ($root, $kind, %more) = @_; return { root => $root, kind => $kind, %more } }

# One that appends all of a topic, from the broker; recorded() makes it one from a recorded stream.
sub append
{
	my ($k, $stem, %o) = @_;
	my $topic = $k->{data}->named($stem);
	return { topic => $topic, source => 'broker', from => one_of(0, 1), gzip => one_of(0, 1), threads => one_of(1, 2),
		parts => [ part('streams', 'once', expect => [ $topic->{expect} ]) ], %o };
}

sub recorded
{
	my ($k, $stem, %o) = @_;
	return $k->append($stem, source => $k->{data}->named($stem)->{stream}, from => 0, %o);
}

sub second_name
{
	my ($k, $line) = @_;
	return { %$line, name => 'second', layout => 'second/{topic}/year=%Y/month=%m/day=%d',
		parts => [ part('second', 'once', expect => [ $line->{topic}{expect} ]) ] };
}

sub rejects
{
	my ($k, $stem) = @_;
	my $odd = $k->{data}->named($stem)->{odd};
	return $k->recorded($stem, source => $odd->{stream}, direct => 1, rejects => 1, sink => ['-r'], parts => [
		part('streams', 'once', expect => [ $odd->{expect} ]), part('_rejects', 'rejects', expect => [ $odd->{rejects} ]) ]);
}

sub objects
{
	my ($k) = @_;
	my $objects = $k->{data}->objects;
	return { source => $objects->{stream}, direct => 1, gzip => one_of(0, 1), sink => [ '-p', 'objects/of=today' ],
		parts => [ part('objects', 'least', expect => [ $objects->{expect} ]) ] };
}

# Half of a topic as a table, then all of it.
sub overwrite
{
	my ($k, $stem) = @_;
	my $topic = $k->{data}->named($stem);
	my @versions = ([ $topic->{half}{expect} ], [ $topic->{expect} ]);
	my %o = (mode => 'overwrite', layout => 'tables/{topic}/year=%Y/month=%m/day=%d',
		parts => [ part('tables', 'snapshot', versions => \@versions) ]);
	return $k->recorded($stem, %o, source => $topic->{half}{stream}, next => $k->recorded($stem, %o));
}

# Half of it; all of it is too late then.
sub ignore
{
	my ($k, $stem) = @_;
	my $topic = $k->{data}->named($stem);
	my %o = (mode => 'ignore', layout => 'once/{topic}/year=%Y/month=%m/day=%d',
		parts => [ part('once', 'snapshot', versions => [ [ $topic->{half}{expect} ] ]) ]);
	return $k->recorded($stem, %o, source => $topic->{half}{stream}, next => $k->recorded($stem, %o, parts => []));
}

sub any { return one_of('ONE', 'FOUR', 'THREE') }

# ---- kinds: with the broker, and those in which it plays no part ----

my %broker = (
	'one partition' => sub { my ($k) = @_; return { watch => 1, lines => [ $k->append('ONE') ] } },
	'four partitions, transactions' => sub { my ($k) = @_; return { watch => 1, lines => [ $k->append('FOUR') ] } },
	'a trickle' => sub { my ($k) = @_; return { watch => 1, lines => [ $k->append(one_of('ONE', 'FOUR'), slow => 1, size => '1G') ] } },
	'two topics, one lake' => sub { my ($k) = @_; return { watch => 1, lines => [ $k->append('ONE'), $k->append('THREE') ] } },
	'one topic twice under one name' => sub {
		my ($k) = @_;
		return { watch => 1, lines => [ $k->append('FOUR', from => 0, slow => 1), $k->append('FOUR', slow => 1) ] };
	},
	'one topic under two names' => sub {
		my ($k) = @_;
		my $line = $k->append('THREE');
		return { watch => 1, lines => [ $line, $k->second_name($line) ] };
	},
	'small commits' => sub { my ($k) = @_; return { watch => 1, lines => [ $k->append(one_of('ONE', 'FOUR'), size => '3k') ] } },
	'append beside overwrite and ignore' => sub {
		my ($k) = @_;
		return { lines => [ $k->append('ONE'), $k->overwrite('THREE'), $k->ignore('FOUR') ] };
	},
);

my %recorded = (
	'recorded: one sink' => sub { my ($k) = @_; return { lines => [ $k->recorded(any()) ] } },
	'recorded: small commits' => sub { my ($k) = @_; return { lines => [ $k->recorded(any(), size => one_of('1k', '3k')) ] } },
	'recorded: two topics' => sub { my ($k) = @_; return { lines => [ $k->recorded('FOUR'), $k->recorded('THREE') ] } },
	'recorded: one name' => sub {
		my ($k) = @_;
		return { lines => [ map { $k->recorded('FOUR', size => '3k', slow => one_of(0, 1)) } 1 .. 2 ] };
	},
	'recorded: two names' => sub {
		my ($k) = @_;
		my $line = $k->recorded(any());
		return { lines => [ $line, $k->second_name($line) ] };
	},
	'recorded: append, overwrite, ignore' => sub {
		my ($k) = @_;
		return { lines => [ $k->recorded(any()), $k->overwrite(any()), $k->ignore(any()) ] };
	},
	'recorded: overwrite' => sub { my ($k) = @_; return { lines => [ $k->overwrite(any()) ] } },
	'recorded: ignore' => sub { my ($k) = @_; return { lines => [ $k->ignore(any()) ] } },
	'recorded: rejects' => sub { my ($k) = @_; return { lines => [ $k->rejects(any()), one_of(0, 1) ? $k->rejects('FOUR') : () ] } },
	'recorded: bare objects' => sub { my ($k) = @_; return { lines => [ $k->objects, one_of(0, 1) ? $k->recorded(any()) : () ] } },
	'recorded: rolls at each commit' => sub { my ($k) = @_; return { roll => one_of(1, 700), lines => [ $k->recorded(any(), size => '6k') ] } },
	'recorded: recovery' => sub { my ($k) = @_; return { recovery => 1, lines => [ $k->recorded(any(), size => '6k') ] } },
	'recorded: recovery beside others' => sub {
		my ($k) = @_;
		return { recovery => 1, lines => [ $k->recorded('ONE'), $k->overwrite('THREE'), $k->rejects('FOUR') ] };
	},
);

sub with_broker { return sort keys %broker }

sub recorded_kinds { return sort keys %recorded }

sub round
{
	my ($k, $what, %o) = @_;
	my $round = ($broker{$what} // $recorded{$what})->($k);
	delete $round->{watch} if exists $o{watch} && !delete $o{watch}; # never one that cannot be watched
	return Sluice::Kills::Round->new(what => $what, roll => one_of(700, 3000, undef, undef), reader => $k->{reader},
	    dir => $k->dir, %$round, %o)->play;
}

# The broker dies while the line runs and comes back: the line may wait for it, or give up and be run again.
sub broker_round
{
	my ($k, $kafka) = @_;
	my $line = $k->append(one_of('ONE', 'FOUR'), slow => 1);
	my $round = Sluice::Kills::Round->new(what => 'the broker dies', lines => [$line], reader => $k->{reader},
	    dir => $k->dir, watch => 1);

	$round->{reader}->ask(watch => lake => $round->{lake});
	my $p = $round->start($line);
	sleep 0.1 + rand 0.5;
	$kafka->kill9;
	$round->count('broker', 'broker');
	sleep rand 0.5;
	Sluice::wait_until(900, 'the broker comes back', sub { $kafka->{pid} ? $kafka->answers : eval { $kafka->start } });
	$p->wait(60);
	my @left = $round->outcome($line, $p, 'broker');
	$round->run_pending(\@left, 0);
	$round->conclude;
	return $round;
}

1;
