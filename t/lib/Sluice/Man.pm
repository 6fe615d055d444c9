package Sluice::Man;

# examples(TOOL): what stands in the EXAMPLES of its man page, one script for each display.

use strict;
use warnings;
use Exporter qw(import);
use Sluice qw(slurp);

our @EXPORT = qw(examples);

sub examples
{
	my ($tool) = @_;
	my ($text) = slurp("$Sluice::SRC/man/$tool.1") =~ /^\.Sh EXAMPLES\n(.*?)^\.Sh/ms;

	return map { s/\\e/\\/gr } $text =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed/msg;
}

1;
