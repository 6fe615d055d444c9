package Sluice::Records;

# Sluice::Records: lines of the stream made by hand, for the tests of mysql-upsert.
#
#	record(7, 'k', '{"n":1}')       offset, key, payload as JSON text; topic T, partition 0, and a time that grows
#	record(7, 'k', undef)           a tombstone
#	record(7, 'k', '{}', topic => 'U', partition => 3, ts => 5, more => '"window":{..},')
#	mark(position => 'T', 0, 8); end_mark()
#	positions($db, NAME)            'T/0 8' .. as -Q prints them
#	rejects($db, NAME)              what --rejects prints, decoded

use strict;
use warnings;
use Exporter qw(import);
use Sluice;

our @EXPORT = qw(record mark end_mark positions rejects);
our $MS = 1763697600000;

sub record
{
	my ($offset, $key, $payload, %o) = @_;
	my $what = defined $payload ? "\"payload\":$payload" : '"payload_enc":"none","payload":null';
	return sprintf "{\"topic\":%s,\"partition\":%d,\"offset\":%d,\"tstype\":\"create\",\"ts\":%d,\"key\":%s,%s%s}\n",
	    to_json($o{topic} // 'T'), $o{partition} // 0, $offset, $o{ts} // $MS + $offset, to_json($key), $o{more} // '', $what;
}

sub mark
{
	my ($kind, $topic, $partition, $offset) = @_;
	return to_json({ mark => { kind => $kind, topic => $topic, partition => $partition, offset => $offset } }) . "\n";
}

sub end_mark { return "{\"mark\":{\"kind\":\"end\",\"records\":0}}\n" }

sub positions
{
	my ($db, $name) = @_;
	my $r = run('mysql-upsert', $db->args, '-Q', '-N', $name);
	return $r->{err} if $r->{exit};
	return join ' ', map { "$_->{mark}{topic}/$_->{mark}{partition} $_->{mark}{offset}" } json_lines($r->{out});
}

sub rejects
{
	my ($db, $name) = @_;
	my $r = run('mysql-upsert', $db->args, '--rejects', '-N', $name);
	die $r->{err} if $r->{exit};
	return json_lines($r->{out});
}

1;
