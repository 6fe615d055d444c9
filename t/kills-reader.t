#!/usr/bin/perl
# The witness of t/kills.t and make soak itself (t/lib/kills-reader): it says nothing of a lake that is right, and
# notices everything that could be wrong with one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Kills;
use Sluice::Lake;
use Test::More;

my $dir = tempdir();
my $reader = Sluice::Kills::Reader->new;
my $append = { args => ['-a'], offsets => [ 0, 20 ] };
my $day0 = 'streams/T/day=00/00000001.jsonl';

sub expect
{
	my ($name, @records) = @_;
	spew("$dir/$name", map { join("\t", 'T', @$_{qw(partition offset)}, $_->{path}, '{"n":' . $_->{offset} * 7 . '}') . "\n" } @records);
	return "$dir/$name";
}

my $all = expect('all', records(0, 20));
my $half = expect('half', records(0, 10));
my $once = { root => 'streams', kind => 'once', expect => [$all] };

my $base = new_lake();
sink($base, { args => ['-a'], offsets => [ 0, 12 ] });
sink($base, $append);
my $table = new_lake();
sink($table, { args => [ '-m', 'overwrite' ], offsets => [ 0, 20 ] });
my $versions = { root => 'streams', kind => 'snapshot', versions => [ [$half], [$all] ] };

sub edit { my ($file, $how) = @_; local $_ = slurp($file); $how->(); spew($file, $_) }

# What it says when $spoil was done to a copy of the lake.
sub says
{
	my ($op, $from, $part, $spoil, @more) = @_;
	my $lake = copy_of($from);
	$reader->ask(look => lake => $lake, parts => [$part], acks => []) if $op eq 'look'; # what it remembers
	$spoil->($lake);
	return join "\n", @{ $reader->ask($op => lake => $lake, parts => [$part], @more)->{errors} };
}

is says(verify => $base, $once, sub { }), '', 'a lake that is right';
is says(verify => $table, $versions, sub { }), '', 'a table that is right';

my %verify = (
	'a file that is gone' => [ qr/^lost: /, sub { unlink "$_[0]/$day0" } ],
	'a record that is gone' => [ qr/^lost: \('T', 0, 3\)$/, sub { edit("$_[0]/$day0", sub { s/^.*"partition":0,"offset":3,.*\n//m }) } ],
	'a record twice' => [ qr/^repeated 2 times: \('T', 0, 3\)$/, sub { edit("$_[0]/$day0", sub { s/^.*"partition":0,"offset":3,.*\n/$&$&/m }) } ],
	'a record in two files' => [ qr/^repeated 2 times/, sub { run('cp', "$_[0]/$day0", "$_[0]/streams/T/day=00/00000009.jsonl") } ],
	'a record that nobody produced' => [ qr/^never produced/, sub { edit("$_[0]/$day0", sub { s/"offset":3,/"offset":300,/ }) } ],
	'a payload that changed' => [ qr/^not the bytes/, sub { edit("$_[0]/$day0", sub { s/"n":21/"n":2.1e1/ }) } ],
	'half a line' => [ qr/partial line/, sub { edit("$_[0]/$day0", sub { chop }) } ],
	'a file in another directory' => [ qr/^in the wrong directory/, sub { rename "$_[0]/$day0", "$_[0]/streams/T/day=02/00000001.jsonl" } ],
	'a file where nobody writes' => [ qr/^nobody writes there/, sub { spew("$_[0]/x.jsonl", "{}\n") } ],
	'a visible file that is no data' => [ qr/^visible, but no data/, sub { spew("$_[0]/streams/T/x.tmp", '') } ],
	'a temporary file' => [ qr/^left behind/, sub { spew("$_[0]/streams/T/day=00/.sluice-aaaaaa-1", '') } ],
	'the list of a writer' => [ qr/^left behind/, sub { spew("$_[0]/.sluice/writers/aaaaaa", '') } ],
);
like says(verify => $base, $once, $verify{$_}[1]), $verify{$_}[0], "verify: $_" for sort keys %verify;

my %look = (
	'nothing' => [ qr/^$/, sub { } ],
	'a file that is gone' => [ qr/^gone: /, sub { unlink "$_[0]/$day0" } ],
	'a file that changed' => [ qr/has changed$/, sub { edit("$_[0]/$day0", sub { s/\n/\n\n/ }) } ],
	'a file that the journal does not know' => [ qr/not in the journal$/, sub { spew("$_[0]/streams/T/day=00/00000009.jsonl", "{}\n") } ],
	'a torn last line of the journal is none' => [ qr/^$/, sub { edit("$_[0]/.sluice/journal", sub { $_ .= '{"commit":3,' }) } ],
	'a damaged line of the journal' => [ qr/^ValueError: journal: damaged/, sub { edit("$_[0]/.sluice/journal", sub { s/"host"/"hots"/ }) } ],
	'a commit that is missing' => [ qr/^ValueError: journal: commits \[2\]/, sub { edit("$_[0]/.sluice/journal", sub { s/^.*\n// }) } ],
);
like says(look => $base, $once, $look{$_}[1], acks => []), $look{$_}[0], "look: $_" for sort keys %look;

spew("$dir/acks", mark('position', '"topic":"T","partition":0', '"offset":20'));
is says(look => $base, $once, sub { }, acks => [ [ 'append', "$dir/acks" ] ]), '', 'what was acknowledged is there';
like says(look => $base, $once, sub { }, acks => [ [ 'other', "$dir/acks" ] ]), qr/^acknowledged T\/0 20, stored -1$/, 'not under that name';
like says(look => $base, $once, sub { run('rm', '-r', "$_[0]/.sluice") }, acks => [ [ 'append', "$dir/acks" ] ]), qr/^acknowledged, but there is no journal/, 'nor in no lake';
spew("$dir/acks", mark('position', '"topic":"T","partition":0', '"offset":21'));
like says(look => $base, $once, sub { }, acks => [ [ 'append', "$dir/acks" ] ]), qr/^acknowledged T\/0 21, stored 20$/, 'acknowledged too much';

my $snapshot = 'streams/T/day=00/snapshot.jsonl';
like says(look => $table, $versions, sub { edit("$_[0]/$snapshot", sub { s/\A.*\n// }) }, acks => []), qr/is no version, whole$/, 'a table with a record too few';
like says(verify => $table, $versions, sub { unlink "$_[0]/$snapshot" }), qr/^2 snapshots for 3 directories$/, 'a table without a path';
my $old = new_lake();
sink($old, { args => [ '-m', 'overwrite' ], offsets => [ 0, 10 ] });
like says(verify => $old, $versions, sub { }), qr/not the last version/, 'a table that is not the last';

done_testing;
