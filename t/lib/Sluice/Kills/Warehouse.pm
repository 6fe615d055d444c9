package Sluice::Kills::Warehouse;

# Sluice::Kills::Warehouse: the situations in which mysql-upsert, its server and its connections are killed, as rounds
# to run on a server of its own.
#
#	my $w = Sluice::Kills::Warehouse->new(flavour => 'mysql', changes => $changes, dir => $dir);
#	my $round = $w->round('reduced', wanted => 6);    a Sluice::Kills::Load that has been run
#	$w->recorded_kinds, $w->with_broker              the names: from recorded streams, and with kread before it

use strict;
use warnings;
use Sluice::Db;
use Sluice::Kills::Load;
use Sluice::Proxy;

sub new
{
	my ($class, %o) = @_;
	my $db = Sluice::Db->start($o{flavour});
	return bless { %o, db => $db, proxy => Sluice::Proxy->start($db) }, $class;
}

sub one_of { return $_[ rand @_ ] }

# One line: a topic into a table. Most have little room, so that there are many COMMITs.
sub line
{
	my ($w, $stem, %o) = @_;
	return { topic => $w->{changes}->named($stem), source => 'recorded', table => 'totals', rows => one_of(7, 20, 60),
		buffer => one_of('64k', '128k', '256k'), mapping => 'plain', %o };
}

sub any { return one_of('ONE', 'FOUR') }

sub from_broker { my ($w, $stem, %o) = @_; return $w->line($stem, source => 'broker', from => one_of(0, 1), %o) }

my %recorded = (
	'reduced' => sub { my ($w) = @_; return $w->line(any()) },
	'by -T and -k' => sub { my ($w) = @_; return $w->line(any(), mapping => undef) },
	'each record, with triggers' => sub { my ($w) = @_; return $w->line(any(), triggers => 1) },
	'large windows, with triggers' => sub { my ($w) = @_; return $w->line(any(), triggers => 1, rows => 300, buffer => '1M') },
	'rejects' => sub { my ($w) = @_; return $w->line('ODD', rejects => 1, triggers => one_of(0, 1)) },
	'rejects of the server' => sub { my ($w) = @_; return $w->line('CHECKED', rejects => 1, check => 1, triggers => one_of(0, 1)) },
	'parent and child' => sub { my ($w) = @_; return $w->line('ONLY', mapping => 'tree') },
	'a trickle' => sub { my ($w) = @_; return $w->line(any(), slow => 1, rows => 10000, buffer => '1M', triggers => one_of(0, 1)) },
	'two tables' => sub {
		my ($w) = @_;
		my $stem = any();
		return ($w->line($stem), $w->line($stem, table => 'second', triggers => 1));
	},
	'one table, disjoint topics' => sub {
		my ($w) = @_;
		return map { $w->line($_, name => "from-$_", shared => [ 'ONE', 'FOUR' ]) } 'ONE', 'FOUR';
	},
	'one name twice' => sub { my ($w) = @_; return map { $w->line('FOUR', slow => one_of(0, 1)) } 1 .. 2 },
);

my %broker = (
	'kread before it' => sub { my ($w) = @_; return $w->from_broker(any()) },
	'kread before it, with triggers' => sub { my ($w) = @_; return $w->from_broker(any(), triggers => 1) },
	'kread, a trickle' => sub { my ($w) = @_; return $w->from_broker('FOUR', slow => 1, rows => 10000, buffer => '1M', triggers => 1) },
);

sub recorded_kinds { return sort keys %recorded }

sub with_broker { return sort keys %broker }

sub round
{
	my ($w, $what, %o) = @_;
	my @lines = ($recorded{$what} // $broker{$what})->($w);
	return Sluice::Kills::Load->new(what => $what, lines => \@lines, db => $w->{db}, proxy => $w->{proxy}, dir => $w->{dir}, %o)->play;
}

1;
