# The scanner against an independent parser, Python's json made strict, on a million mutated texts; ten million with
# SLUICE_LONG=1.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my $count = $ENV{SLUICE_TEXTS} // ($ENV{SLUICE_LONG} ? 10_000_000 : 1_000_000);
my $script = "$SRC/t/lib/json-differential.py";
my $valid = "$BUILD/t/tool/json-valid";

# Exit status, how many texts were valid for Python, how many dumps were compared, all that was printed.
sub compare
{
	my ($validator, $texts) = @_;
	my $r = run('python3', $script, $validator, $texts, 20261121, { timeout => 600 + $texts / 1000 });
	my ($n, $accepted, $dumps, $wrong) =
	    $r->{out} =~ /^(\d+) texts, (\d+) valid, (\d+) dumps compared, (\d+) disagreements$/m;
	return { exit => $r->{exit}, texts => $n, valid => $accepted, dumps => $dumps, wrong => $wrong,
		said => "$r->{out}$r->{err}" };
}

subtest 'both parsers agree on every text' => sub {
	my $c = compare($valid, $count);
	is $c->{exit}, 0 or diag $c->{said};
	is $c->{texts}, $count, 'all texts were judged';
	cmp_ok $c->{valid}, '>', $count / 5, 'many of them are valid';
	cmp_ok $c->{valid}, '<', $count * 4 / 5, 'and many are not';
	cmp_ok $c->{dumps}, '>', 1000, 'names, strings and numbers were compared too';
	note $c->{said};
};

subtest 'a scanner that is wrong is found out' => sub {
	my $dir = tempdir();
	for (['accepts everything', 'chr 1'], ['rejects everything', 'chr 0'],
		['looks at the last byte only', 'chr(/[]}"0-9el]\s*$/ ? 1 : 0)']) {
		my ($what, $verdict) = @$_;
		spew("$dir/fake", "#!/usr/bin/perl\nbinmode STDIN; while (read STDIN, my \$n, 4) "
			. "{ local \$_ = ''; read STDIN, \$_, unpack 'V', \$n; print $verdict; "
			. "print pack 'V', 0 if \@ARGV && $verdict eq chr 1 }\n");
		chmod 0755, "$dir/fake";
		my $c = compare("$dir/fake", 2000);
		is $c->{exit}, 1, "one that $what" or diag $c->{said};
		like $c->{said}, qr/^disagreement on b/m, 'with the text';
	}
};

done_testing;
