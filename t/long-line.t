# A line may have 1 GiB and no more. t/unit/io.c tries the edges with a small cap; this is the real one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my $dir = tempdir();
my $good = '{"topic":"TX","partition":0,"offset":1,"ts":1763697600123,"key":null,"payload":{}}';
my @patience = (timeout => 300);

# A line of so many bytes that a tool would take, and its newline.
sub long_line { return qq(printf '{"a":"'; head -c ) . ($_[0] - 8) . q( /dev/zero | tr '\0' x; echo '"}') }

subtest 'partition passes on what comes before a line over 1 GiB, and refuses that' => sub {
	my $r = pipeline("{ echo '$good'; head -c 1073741825 /dev/zero; } | partition", @patience);
	is $r->{exit}, 65;
	like $r->{out}, qr/\A\{"path":"streams\/TX\/[^\n]+\n\z/;
	like $r->{err}, qr/^partition: stdin:2: longer than 1073741824 bytes$/m;
};

SKIP: {
	skip 'needs 3 GiB and half a minute: SLUICE_LONG=1', 3 unless $ENV{SLUICE_LONG};

	subtest 'jsonl-sink stores what comes before it' => sub {
		my $r = pipeline("{ echo '$good'; head -c 1073741825 /dev/zero; } | jsonl-sink -p x $dir/lake",
			@patience);
		is $r->{exit}, 65;
		like $r->{err}, qr/^jsonl-sink: stdin:2: longer than 1073741824 bytes$/m;
		is slurp("$dir/lake/x/00000001.jsonl"), "$good\n";
	};

	subtest 'a line of 1 GiB is as good as any' => sub {
		my $size = 1 << 30;
		my $r = pipeline('{ ' . long_line($size) . "; echo '{}'; } | partition -l a/b | wc -lc", @patience);
		is $r->{exit}, 0 or diag $r->{err};
		my $added = length('{"path":"a/b","payload":}');
		like $r->{out}, qr/^\s*2\s+@{[ $size + 1 + 3 + 2 * $added ]}$/;
	};

	subtest 'one byte more is not' => sub {
		my $r = pipeline('{ ' . long_line((1 << 30) + 1) . "; echo '{}'; } | partition -l a/b | wc -lc", @patience);
		like $r->{err}, qr/^partition: stdin:1: longer than 1073741824 bytes$/m;
		like $r->{out}, qr/^\s*0\s+0$/;
	};
}

done_testing;
