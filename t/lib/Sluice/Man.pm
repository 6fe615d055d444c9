package Sluice::Man;

# examples(PAGE): what stands in the EXAMPLES of a page (kread, sluice.7), one script for each display.

use strict;
use warnings;
use Exporter qw(import);
use Sluice qw(slurp);

our @EXPORT = qw(examples);

sub examples
{
	my ($page) = @_;
	$page .= '.1' unless $page =~ /\.\d\z/;
	my ($text) = slurp("$Sluice::SRC/man/$page") =~ /^\.Sh EXAMPLES\n(.*?)^\.Sh/ms;

	return map { s/\\e/\\/gr } $text =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed/msg;
}

1;
