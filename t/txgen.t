#!/usr/bin/perl
# txgen: the same options give the same bytes, every kind is what it says, broken lines are broken.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64;
use Sluice;
use Sluice::Man;
use Test::More;

my @bare = qw(transactions sales reference);
my @keyed = qw(blacklist user-totals type-totals windows);

sub txgen
{
	my $r = run('txgen', @_);
	is $r->{exit}, 0, "txgen @_" or diag $r->{err};
	return $r->{out};
}

sub lines { return split /\n/, txgen(@_) }

# Lines that another parser takes for one object each.
sub objects_of_jq
{
	my ($text) = @_;
	my $r = run('jq', '-Rc', 'try (fromjson | objects) catch empty', { stdin => $text });
	return scalar(() = $r->{out} =~ /\n/g);
}

subtest 'the same on every machine: the bytes that it has always printed' => sub {
	my %sum = (
		'transactions' =>
		    '69d9f5fc95fb2d2a5541e728f5d33fdb943819b65b9338ac919c3559377c188c',
		'sales' =>
		    '10ce09bb67f8e774cd9e4c43f343bde6e61e0720dae01f933983be85af09fa65',
		'reference' =>
		    '3e4d19a1a3b683573829597c1d9ca4062dc7018dbbf564765e1d7402bae17959',
		'blacklist' =>
		    'e8626b4742e345e0b9bab115b826eb6fe91db3911f3d21bb93ac60f7eb3191b1',
		'user-totals' =>
		    'afd37e4a2c548ff1b398a22accb77beb82c1172e38111953028a448c47af8421',
		'type-totals' =>
		    '850c34f6b4c66177c21f91cae4803830831c59d2f1f6b41c7f17ca6a53c7edf2',
		'windows' =>
		    '3a96d91b7b719df9c1221ac145c83c423fc20763ba0a0e281dd163f095dbc06f',
	);
	for my $kind (sort keys %sum) {
		is sha256_hex(txgen('-c', 2000, $kind)), $sum{$kind}, $kind;
	}
	is sha256_hex(txgen('-c', 2000, '--bad', 10, 'transactions')),
	    'e51ba966354ae74937f9912684190780c5e28d804d7b422d3c1dff0f9c0a82ea', 'with broken lines';
};

subtest 'another seed is other data, the same seed is not' => sub {
	my $one = txgen('-S', 7, 'transactions');
	is txgen('--seed=7', 'transactions'), $one;
	isnt txgen('-S', 8, 'transactions'), $one;
	local $ENV{TZ} = 'America/New_York';
	is txgen('-S', 7, 'transactions'), $one, 'nor does the zone of the machine matter';
};

for my $kind (@bare, @keyed) {
	subtest "$kind is JSON Lines of objects" => sub {
		my $text = txgen('-c', 500, $kind);
		my $n = $kind eq 'reference' ? 46 : 500;
		is scalar(() = $text =~ /\n/g), $n, 'as many lines as asked for';
		is objects_of_jq($text), $n, 'jq takes them all';
	};
}

subtest 'a transaction has what the field needs' => sub {
	my $text = txgen('-c', 5000, 'transactions');
	my @tx = json_lines($text);
	is $tx[0]{transaction_id}, 'T0000001';
	is $tx[-1]{transaction_id}, 'T0005000';
	is scalar(grep { $_->{user_id} !~ /\AU\d{6}\z/ } @tx), 0, 'users';
	is scalar(() = $text =~ /"amount":\d+\.\d\d[,}]/g), 5000, 'amounts with two digits';
	is join(' ', sort keys %{ { map { $_->{status} => 1 } @tx } }), 'failed ok';
	my $failed = grep { $_->{status} eq 'failed' } @tx;
	ok $failed > 50 && $failed < 300, "a few have failed: $failed";
	like $text, qr/Orléans/, 'a city with an accent';
	my @days = sort keys %{ { map { substr($_->{timestamp}, 0, 10) => 1 } @tx } };
	is "@days", '2026-10-30 2026-10-31 2026-11-01 2026-11-02 2026-11-03', 'three days, and late ones';
	is scalar(grep { $_->{timestamp} !~ /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/ } @tx), 0, 'ISO 8601';
	my $late = grep { $tx[$_]{timestamp} lt $tx[ $_ - 1 ]{timestamp} } 1 .. $#tx;
	ok $late > 50 && $late < 200, "some are late: $late";
	my $mean = length($text) / 5000;
	ok $mean > 230 && $mean < 270, "about 250 bytes each: $mean";
};

subtest 'a run can go on where another ended' => sub {
	my @more = json_lines(txgen('-c', 10, '--first', 1001, '--start', '2026-11-04', '--days', 1, 'transactions'));
	is $more[0]{transaction_id}, 'T0001001';
	like $more[9]{timestamp}, qr/\A2026-11-0[34]/;
	my ($again) = json_lines(txgen('-c', 1, '--first', 1003, 'transactions'));
	is $again->{user_id}, $more[2]{user_id}, 'a record depends on its number only, but for the time';
};

subtest 'sales speak French' => sub {
	my ($sale) = json_lines(txgen('sales'));
	is join(' ', sort keys %$sale), 'date_vente id_vente prix_unitaire produit quantite ville';
};

subtest 'records are as kread writes them' => sub {
	my @line = lines('-R', '-t', 'TX', '-p', 3, '-c', 600, 'transactions');
	my (%next, %of_key);
	for my $line (@line) {
		like $line, qr/\A\{"topic":"TX","partition":[0-2],"offset":\d+,"tstype":"create","ts":\d{13},
		    "key":"U\d{6}","payload":\{.*\}\}\z/x or last;
		my $r = json($line);
		is $r->{offset}, $next{ $r->{partition} }++ // 0, 'offsets count up' or last;
		is $of_key{ $r->{key} } //= $r->{partition}, $r->{partition}, 'a key stays in its partition' or last;
	}
	is scalar keys %next, 3, 'all partitions are used';
	my @bare = map { json($_) } lines('-c', 600, 'transactions');
	is_deeply [ map { json($_)->{payload} } @line ], \@bare, 'the payloads are the bare objects';
};

subtest 'no time is before 1970' => sub {
	my @tx = json_lines(txgen('-c', 5000, '--start', '1970-01-01', 'transactions'));
	is scalar(grep { $_->{timestamp} !~ /^1970/ } @tx), 0, 'also of those that come late';
};

subtest 'records without a key go round' => sub {
	is join(' ', map { json($_)->{partition} } lines('-R', '-t', 'TX', '-p', 3, '-c', 7, 'sales')), '0 1 2 0 1 2 0';
};

subtest 'marks say where it begins and ends' => sub {
	my @line = lines('--marks', '-t', 'TX', '-p', 2, '-c', 10, 'transactions');
	is @line, 15;
	is $line[1], '{"mark":{"kind":"start","topic":"TX","partition":1,"offset":0}}';
	is $line[-1], '{"mark":{"kind":"end","records":10}}';
	my %mark = map { $_->{mark}{partition} => $_->{mark}{offset} } map { json($_) } @line[ -3, -2 ];
	is $mark{0} + $mark{1}, 10;
};

subtest 'a changelog adds up, and a tombstone begins anew' => sub {
	for my $kind ('user-totals', 'type-totals') {
		my (%count, %total);
		my $wrong = 0;
		my $tombstones = 0;
		for my $line (lines('-c', 2000, '--users', 50, $kind)) {
			my $r = json($line);
			if (!defined $r->{payload}) {
				is $r->{payload_enc}, 'none', 'marked as a tombstone' if !$tombstones++;
				delete $count{ $r->{key} };
				next;
			}
			$wrong++ if $r->{payload}{transaction_count} != ++$count{ $r->{key} };
			$wrong++ if exists $r->{payload}{user_id} || exists $r->{payload}{type};
		}
		is $wrong, 0, $kind;
		ok $tombstones > 50 && $tombstones < 160, "tombstones: $tombstones";
	}
	my @line = lines('--tombstones', 0, 'user-totals');
	is scalar(grep { /payload_enc/ } @line), 0, 'none when none are asked for';
};

subtest 'the key of a window is its type and its start' => sub {
	my $bad = 0;
	for my $line (lines('--tombstones', 0, 'windows')) {
		my $r = json($line);
		my $key = decode_base64($r->{key});
		my $start = unpack 'Q>', substr $key, -8;
		$bad++ if $r->{key_enc} ne 'base64' || $start % 300_000 || $start > $r->{ts} || $r->{ts} >= $start + 300_000;
		$bad++ if substr($key, 0, -8) !~ /\A(?:purchase|transfer|withdrawal|refund|subscription)\z/;
	}
	is $bad, 0;
};

subtest 'users and sizes are as asked for' => sub {
	my %user = map { json($_)->{user_id} => 1 } lines('-c', 2000, '--users', 5, 'transactions');
	is join(' ', sort keys %user), 'U000001 U000002 U000003 U000004 U000005';
	my @line = lines('--size', '1k', 'transactions');
	is scalar(grep { length($_) != 1024 } @line), 0, '--size is exact';
	is scalar(grep { !defined json($_)->{note} } @line), 0;
};

subtest 'broken lines have their share and the good ones stay' => sub {
	for my $percent (1, 10, 50, 90) {
		my $good = txgen('-c', 900, 'transactions');
		my @line = split /\n/, txgen('-c', 900, '--bad', $percent, 'transactions'), -1;
		pop @line;
		my %is_good = map { $_ => 1 } split /\n/, $good;
		is join('', map { "$_\n" } grep { $is_good{$_} } @line), $good, "$percent %: all good ones, in order";
		my $share = 100 * (@line - 900) / @line;
		ok abs($share - $percent) < 0.2, "$percent %: $share";
	}
};

# What another parser can judge: broken syntax. The rest (half records, surrogates) the unit test of broken
# and the readers of the stream look at.
subtest 'broken lines are broken' => sub {
	my $text = txgen('-c', 1000, '--bad', 50, '-R', 'transactions');
	my $taken = objects_of_jq($text);
	ok $taken < 1000 + 560, "jq refuses most of them too: it takes $taken of 2000";
	my $r = run('partition', '-q', { stdin => $text });
	is $r->{exit}, 65, 'partition stops at one';
	my @bad = grep { run('partition', '-q', { stdin => "$_\n" })->{exit} == 0 }
	    (split /\n/, txgen('-c', 23, '--bad', 50, '-R', 'transactions'))[ map { 2 * $_ } 0 .. 22 ];
	is_deeply \@bad, [], 'and takes none of them alone';
};

subtest 'usage errors' => sub {
	for my $bad ([], ['nonsense'], [ 'sales', 'sales' ], [ '-c', -1, 'sales' ], [ '--bad', 100, 'sales' ],
		[ '--start', 'yesterday', 'sales' ], [ '-t', 'a"b', 'sales' ], [ '-t', '', 'sales' ], [ '--users', 0, 'sales' ]) {
		my $r = run('txgen', @$bad);
		is $r->{exit}, 64, "txgen @$bad";
		like $r->{err}, qr/\Atxgen: [^\n]+\n\z/;
		is $r->{out}, '';
	}
};

is run('txgen', '-c', 100000, 'sales', { out => '/dev/full' })->{exit}, 74, 'a full disk is an error';
is run('txgen', '-c', 1, 'sales', { out => '/dev/full' })->{exit}, 74, 'also at the last line';
is run('txgen', '-c', 0, 'sales')->{out}, '', 'nothing is asked for, nothing printed';

subtest 'a reader that has seen enough ends it' => sub {
	my $r = pipeline('txgen -c 100000000 sales | head -n 1', timeout => 30);
	is $r->{exit}, 141;
	is $r->{err}, '', 'quietly';
	$r = pipeline('(trap "" PIPE; txgen -c 100000000 sales; echo $? >&2) | head -n 1', timeout => 30);
	is $r->{err}, "141\n", 'also where SIGPIPE is ignored';
};

for my $signal (qw(TERM INT)) {
	my $p = spawn('sh', '-c', 'txgen -c 1000000000 sales | sleep 100');
	sleep 1;
	kill $signal, -$p->{pid};
	my $r = finish($p, 20);
	ok !$r->{timed_out}, "$signal ends it, also while its reader sleeps";
}

subtest 'the EXAMPLES of the man page run' => sub {
	my @examples = examples('txgen');
	is @examples, 3;
	my $r = run('sh', '-c', $examples[0]);
	is $r->{exit}, 0;
	like $r->{out}, qr/\A(?:\{.*\}\n){10}\s*\d+\n\z/;
	$r = run('sh', '-c', $examples[1]);
	is scalar(() = $r->{out} =~ /"payload_enc":"none"/g) > 0, 1, 'tombstones';
	is run('sh', '-c', $examples[2])->{out}, "1000\n", 'as many as it says';
};

done_testing;
