package Sluice::Kills::Data;

# Sluice::Kills::Data: what the killed pipelines carry: topics of a real broker, the streams that kread made of
# them, and for each a file that says what must come out (t/lib/kills-reader has the format).
#
#	my $data = Sluice::Kills::Data->new($brokers, $dir, $scale);   a scale of 1: 9000 records in all
#	my $t = $data->named('ONE');    { name, expect, stream => FILE, half => { expect, stream },
#	                                  odd => { expect, rejects, stream } }: every seventh line is rejected
#	$data->objects;                 { expect, stream }: bare objects

use strict;
use warnings;
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use Sluice;

sub new
{
	my ($class, $brokers, $dir, $scale) = @_;
	my $d = bless { brokers => $brokers, dir => $dir }, $class;

	$d->make_topic('ONE', 1, 3000 * $scale, 0);
	$d->make_topic('FOUR', 4, 4000 * $scale, 1);
	$d->make_topic('THREE', 3, 2000 * $scale, 0);
	$d->make_objects(1000 * $scale);
	return $d;
}

sub named { return $_[0]{topics}{ $_[1] } }

sub objects { return $_[0]{objects} }

sub one_of { return $_[ rand @_ ] }

# Payloads of many shapes whose bytes must survive; over three days, so that a commit has several files.
sub rows
{
	my ($count, $partitions) = @_;
	my @city = ("Z\xc3\xbcrich", 'Bogota', "\xe6\x9d\xb1\xe4\xba\xac", '\u0041ix');
	return map {
		my $text = join ' ', map { one_of('lorem', 'ipsum', '\\"x\\"', 'dolor') } 1 .. 1 + rand 30;
		{
			partition => int rand $partitions, ts => 1_763_697_600_000 + $_ % 3 * 86_400_000 + $_,
			k => "K$_", payload => sprintf('{"n":%d,"amount":%.2f,"city":"%s", "big":9007199254740993,"t":"%s"}',
			    $_, rand 1000, one_of(@city), $text),
		}
	} 1 .. $count;
}

sub send_rows
{
	my ($d, $how, $topic, $rows, @more) = @_;
	return kt($how => on => $d->{brokers}, topic => $topic, @more,
	    rows => [ map { { partition => $_->{partition}, ts => $_->{ts}, k => $_->{k},
	        value => encode_base64($_->{payload}, '') } } @$rows ]);
}

sub spew_lines
{
	my ($d, $file, @lines) = @_;
	spew("$d->{dir}/$file", map { "$_\n" } @lines);
	return "$d->{dir}/$file";
}

sub make_topic
{
	my ($d, $stem, $partitions, $count, $transactions) = @_;
	my $name = kt(create => on => $d->{brokers}, topic => "$stem-$$", partitions => $partitions,
	    config => { 'retention.ms' => -1 }); # the times of the records are long past
	my @parts = $transactions ? ('produce', 'commit', 'abort', 'commit', 'produce') : ('produce');
	my @expect;

	for my $part (@parts) {
		my @rows = rows($count / @parts, $partitions);
		my $places = $part eq 'produce' ? $d->send_rows(produce => $name, \@rows)
		    : $d->send_rows(transaction => $name, \@rows, end => $part);
		next if $part eq 'abort';
		push @expect, map {
			my ($p, $o) = @{ $places->[$_] };
			my $day = strftime('year=%Y/month=%m/day=%d', gmtime $rows[$_]{ts} / 1000);
			join "\t", $name, $p, $o, $day, $rows[$_]{payload};
		} 0 .. $#rows;
	}
	my $t = $d->{topics}{$stem} = { stem => $stem, name => $name };
	$t->{expect} = $d->spew_lines("$name.expect", @expect);
	$d->record($t, \@expect);
}

# What kread makes of it, and what else is made of that.
sub record
{
	my ($d, $t, $expect) = @_;
	my $r = run('kread', '-b', $d->{brokers}, '-t', $t->{name}, '-e', '--marks', '-m', 300, { timeout => 330 });
	die "kread: $r->{exit}: $r->{err}" if $r->{exit};
	my @lines = split /\n/, $r->{out};
	my %cut; # half of each partition

	$t->{stream} = $d->spew_lines("$t->{name}.stream", @lines);
	/^\{"mark":\{"kind":"position".*"partition":(\d+),"offset":(\d+)/ and $cut{$1} = int $2 / 2 for @lines;
	my $early = sub { my ($p, $o) = @_; return $o < $cut{$p} };
	my @half = grep { /^\{"topic".*?"partition":(\d+),"offset":(\d+)/ ? $early->($1, $2) : !/"position"|"end"/ } @lines;
	my @marks = map { qq({"mark":{"kind":"position","topic":"$t->{name}","partition":$_,"offset":$cut{$_}}}) } sort keys %cut;
	my $records = grep { /^\{"topic"/ } @half;
	$t->{half} = {
		stream => $d->spew_lines("$t->{name}.half", @half, @marks, qq({"mark":{"kind":"end","records":$records}})),
		expect => $d->spew_lines("$t->{name}.half-expect", grep { my @c = split /\t/; $early->(@c[ 1, 2 ]) } @$expect),
	};
	$t->{odd} = $d->make_odd($t, $expect);
}

sub make_odd
{
	my ($d, $t, $expect) = @_;
	my $odd = sub { my ($p, $o) = @_; return ($p + $o) % 7 == 0 };
	my $r = run('partition', '-q', { stdin => slurp($t->{stream}) });
	my @lines = split /\n/, $r->{out};

	/"partition":(\d+),"offset":(\d+),"tstype"/ and $odd->($1, $2) and s/^\{"path":"/$&..\// for @lines;
	return {
		stream => $d->spew_lines("$t->{name}.odd", @lines),
		expect => $d->spew_lines("$t->{name}.good-expect", grep { my @c = split /\t/; !$odd->(@c[ 1, 2 ]) } @$expect),
		rejects => $d->spew_lines("$t->{name}.odd-expect", grep { my @c = split /\t/; $odd->(@c[ 1, 2 ]) } @$expect),
	};
}

sub make_objects
{
	my ($d, $count) = @_;
	my @objects = map { sprintf '{"bare":%d,"text":"%s"}', $_, 'x' x rand 300 } 1 .. $count;
	my $i = 0;

	$d->{objects} = {
		stream => $d->spew_lines('objects.stream', @objects),
		expect => $d->spew_lines('objects.expect', map { join "\t", '-', 0, $i++, '', $_ } @objects),
	};
}

1;
