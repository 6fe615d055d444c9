package Sluice::Kills::Changes;

# Sluice::Kills::Changes: changelog topics of a real broker, the streams that kread made of them, and what a table
# must hold when all before given positions was applied.
#
#	my $changes = Sluice::Kills::Changes->new($brokers, $dir);
#	my $t = $changes->named('FOUR');     { stem, name, stream => FILE, records => [ {partition, offset, key, row} ] }
#	$t->{ends}                           { partition => the position after all of it }
#	my %rows = rows_at($t, { 0 => 17 }); what the last records below these positions left: key => [ n, amount, city, part, off ]
#	my @good = changes_below($t, \%positions), bad_below(..), deletes_below(..)
#
# ONE has one partition; FOUR has four, and transactions of which some were aborted; ODD holds records that no table
# takes, CHECKED such that only a CHECK (n >= 0) finds; ONLY has no tombstones. About every tenth record of the others is one.

use strict;
use warnings;
use Exporter qw(import);
use MIME::Base64 qw(encode_base64);
use Sluice;

our @EXPORT_OK = qw(rows_at changes_below bad_below deletes_below);

sub new
{
	my ($class, $brokers, $dir) = @_;
	my $c = bless { brokers => $brokers, dir => $dir }, $class;

	$c->make('ONE', 1, 1500);
	$c->make('FOUR', 4, 2000, transactions => 1);
	$c->make('ODD', 2, 1000, bad => 0.03);
	$c->make('CHECKED', 2, 600, bad => 0.02, much => -1);
	$c->make('ONLY', 2, 1200, tombstones => 0);
	return $c;
}

sub named { return $_[0]{topics}{ $_[1] } }

sub one_of { return $_[ rand @_ ] }

# As they stand in a payload, and as a table holds them.
my @CITY = ([ "Z\xc3\xbcrich", "Z\xc3\xbcrich" ], [ "\xe6\x9d\xb1\xe4\xba\xac", "\xe6\x9d\xb1\xe4\xba\xac" ], [ '\u0041ix', 'Aix' ],
	[ "it's \\\"x\\\" \\\\", "it's \"x\" \\" ], [ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" ], [ '', '' ]);

# A key lives in one topic and one partition, as with Kafka's partitioners.
sub record
{
	my ($n, $stem, $partitions, %o) = @_;
	my $partition = int rand $partitions;
	my $r = { partition => $partition, ts => 1_763_697_600_000 + $n, key => "$stem-$partition-" . int rand 60 };

	return { %$r, kind => 'delete' } if rand() < ($o{tombstones} // 0.1);
	my ($city, $amount) = (one_of(@CITY), sprintf '%.2f', rand 100_000);
	my $bad = rand() < ($o{bad} // 0);
	my $payload = sprintf '{"n":%s,"amount":%s,"city":"%s", "unused":[1,{}]}', $bad ? $o{much} // '"much"' : $n, $amount, $city->[0];
	return { %$r, payload => $payload, kind => $bad ? 'bad' : 'upsert', row => [ $n, $amount, $city->[1] ] };
}

sub make
{
	my ($c, $stem, $partitions, $count, %o) = @_;
	my $name = kt(create => on => $c->{brokers}, topic => "CHANGES-$stem-$$", partitions => $partitions,
	    config => { 'retention.ms' => -1 }); # the times of the records are long past
	my @parts = $o{transactions} ? ('produce', 'commit', 'abort', 'commit', 'produce') : ('produce');
	my $t = $c->{topics}{$stem} = { stem => $stem, name => $name, records => [], ends => {} };

	for my $part (@parts) {
		my @records = map { record($_, $stem, $partitions, %o) } 1 .. $count / @parts;
		my @rows = map { { partition => $_->{partition}, ts => $_->{ts}, k => $_->{key},
		    value => defined $_->{payload} ? encode_base64($_->{payload}, '') : undef } } @records;
		my @how = $part eq 'produce' ? ('produce') : ('transaction', end => $part);
		my $places = kt(shift @how, on => $c->{brokers}, topic => $name, rows => \@rows, @how);
		next if $part eq 'abort';
		@{ $records[$_] }{qw(partition offset)} = @{ $places->[$_] } for 0 .. $#records;
		push @{ $t->{records} }, @records;
	}
	push @{ $_->{row} }, @$_{qw(partition offset)} for grep { $_->{row} } @{ $t->{records} };
	$c->record_stream($t);
	return $t;
}

sub record_stream
{
	my ($c, $t) = @_;
	my $r = run('kread', '-b', $c->{brokers}, '-t', $t->{name}, '-e', '--marks', '-m', 300, { timeout => 330 });
	die "kread: $r->{exit}: $r->{err}" if $r->{exit};
	$t->{stream} = "$c->{dir}/$t->{name}.stream";
	spew($t->{stream}, $r->{out});
	while ($r->{out} =~ /^\{"mark":\{"kind":"position".*"partition":(\d+),"offset":(\d+)/mg) {
		$t->{ends}{$1} = $2 if $2 > ($t->{ends}{$1} // 0);
	}
}

# ---- what positions mean ----

sub below
{
	my ($t, $positions, @kinds) = @_;
	my %kind = map { $_ => 1 } @kinds;
	return grep { $kind{ $_->{kind} } && $_->{offset} < ($positions->{ $_->{partition} } // 0) } @{ $t->{records} };
}

sub changes_below { return below(@_, 'upsert') }

sub bad_below { return below(@_, 'bad') }

sub rows_at
{
	my ($t, $positions) = @_;
	my %row;
	for my $r (below($t, $positions, 'upsert', 'delete')) {
		$r->{kind} eq 'delete' ? delete $row{ $r->{key} } : ($row{ $r->{key} } = $r->{row});
	}
	return %row;
}

# How many rows have been deleted when each record was applied once: tombstones that found one.
sub deletes_below
{
	my ($t, $positions) = @_;
	my ($n, %there) = (0);
	for my $r (below($t, $positions, 'upsert', 'delete')) {
		$n++ if $r->{kind} eq 'delete' && delete $there{ $r->{key} };
		$there{ $r->{key} } = 1 if $r->{kind} eq 'upsert';
	}
	return $n;
}

1;
