package Sluice::With;

# Sluice::With: a command that finds servers running: what t/lib/with-kafka and with-databases have in common.

use strict;
use warnings;

# Runs COMMAND in the environment %$env and with %$more; the exit status is the command's.
sub run
{
	my ($name, $env, $more, @command) = @_;
	my $child = fork // die "$name: fork: $!\n";

	if (!$child) {
		%ENV = (%$env, %$more);
		exec { $command[0] } @command or die "$name: $command[0]: $!\n";
	}
	$SIG{$_} = sub { kill $_[0], $child } for qw(TERM INT HUP);
	1 while waitpid($child, 0) != $child;
	exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}

1;
