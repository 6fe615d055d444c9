package Sluice::Help;

# What --help says, taken apart: the one source of the completions and of the checks that every tool gets.

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(help_options help_usage);

# The options in order: {letter, long, arg, optional, help}; members that an option lacks are undef.
sub help_options
{
	my ($text) = @_;
	my @options;

	for my $line (split /\n/, $text) {
		if ($line =~ /^  (?:    |-(.)(?:, )?)(?:--([a-z0-9-]+))?([=\[ ]\S+)?(?:\s{2,}(.*)|\s*)$/ && ($1 || $2)) {
			my ($letter, $long, $arg, $help) = ($1, $2, $3, $4);
			my $optional = ($arg // '') =~ /^\[/;
			$arg =~ s/^[=\[ ]=?|\]$//g if defined $arg;
			push @options, { letter => $letter, long => $long, arg => $arg, optional => $optional,
				help => $help // '' };
		} elsif (@options && $line =~ /^ {26}(\S.*)$/) {
			$options[-1]{help} .= ($options[-1]{help} eq '' ? '' : ' ') . $1;
		} elsif (@options) {
			last; # the footer
		}
	}
	return @options;
}

# The options that the usage lines name, without dashes.
sub help_usage
{
	my ($text) = @_;
	my ($usage) = $text =~ /\A((?:usage:.*\n|       .*\n)+)/;
	return ($usage // '') =~ /(?<![\w-])--?([A-Za-z?][a-z-]*)/g;
}

1;
