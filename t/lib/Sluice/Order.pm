package Sluice::Order;

# Sluice::Order: whether the calls of a run (Sluice::Fault's calls) came in the order that a power loss leaves no
# other choice. Any run: also one that failed or was killed, up to there. What a run did not do itself it may not
# rely on: directories and the journal count as durable only when it has synced them.
#
#	push @$problems, order_of($lake, calls($log));

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(order_of);

# The parts of a path below DIR's parent: the directory and those above it.
sub upwards
{
	my ($s, $dir) = @_;
	my @all;
	while (length $dir > length $s->{parent}) {
		push @all, $dir;
		$dir =~ s{/[^/]*$}{};
	}
	return @all, $s->{parent};
}

sub dir_of { my ($path) = @_; return $path =~ s{/[^/]*$}{}r }

sub is_temp { my ($path) = @_; return $path =~ m{/\.sluice-[^/]*$} }

sub problem { my ($s, $what) = @_; push @{ $s->{problems} }, "order: $what" }

# A name came or went in a directory: until that is synced a power loss may undo it.
sub changed { my ($s, $path) = @_; $s->{unsynced}{ dir_of($path) }{$path} = 1 unless $path =~ m{/\.sluice/writers/} }

sub unsynced { my ($s) = @_; return map { sort keys %{ $s->{unsynced}{$_} } } sort keys %{ $s->{unsynced} } }

sub locked { my ($s, $what) = @_; problem($s, "$what without the lock") unless $s->{locked} }

sub opened
{
	my ($s, $path) = @_;
	return if $s->{known}{$path}++ || $path !~ m{/\.sluice(-[^/]*|/journal|/journal\.new)$};
	changed($s, $path) if is_temp($path) || $s->{absent}{$path};
}

sub written
{
	my ($s, $path) = @_;
	if ($path eq $s->{journal}) {
		locked($s, 'the journal is written');
		problem($s, "the line before $_ is durable") for sort keys %{ $s->{dirty} };
		problem($s, "the line before the name $_ is durable") for unsynced($s);
		for my $dir (map { upwards($s, dir_of($_)) } grep { is_temp($_) } keys %{ $s->{known} }) {
			problem($s, "the line before $dir was synced in this run") unless $s->{synced}{$dir};
		}
		delete $s->{known}{$_} for grep { is_temp($_) } keys %{ $s->{known} };
		$s->{journal_is} = 'dirty';
	} elsif ($path eq $s->{out}) {
		problem($s, 'acknowledged before the journal is durable') if $s->{journal_is} eq 'dirty';
		# The name of the journal is no matter of a commit: before and after a roll it holds the line.
		problem($s, "acknowledged before the name $_ is durable") for grep { !m{/journal(\.\d+)?$} } unsynced($s);
	} elsif (is_temp($path) || $path =~ m{/journal\.new$}) {
		$s->{dirty}{$path} = 1;
	}
}

sub synced
{
	my ($s, $path) = @_;
	delete $s->{dirty}{$path};
	delete $s->{unsynced}{$path};
	$s->{synced}{$path} = 1;
	$s->{journal_is} = 'clean' if $path eq $s->{journal};
}

sub renamed
{
	my ($s, $from, $to) = @_;
	locked($s, "$to gets its name");
	if (is_temp($from)) {
		problem($s, "$to gets its name before the line is durable") if $s->{journal_is} ne 'clean';
		delete $s->{known}{$from};
	} elsif ($to eq $s->{journal}) {
		problem($s, "the roll renames before $_ is durable") for sort keys %{ $s->{dirty} };
		problem($s, "the roll renames before the name $_ is durable") for grep { m{/journal\.\d+$} } unsynced($s);
		problem($s, 'the roll has kept no link') unless $s->{linked};
	}
	changed($s, $to);
}

sub removed
{
	my ($s, $path) = @_;
	return if $path =~ m{/\.sluice/};
	delete $s->{dirty}{$path};
	delete $s->{known}{$path};
	delete $s->{unsynced}{ dir_of($path) }{$path};
	if (my $other = delete $s->{moved}{$path}) { # by --repair
		problem($s, "$path is removed before $other is durable") if $s->{unsynced}{ dir_of($other) }{$other};
		return changed($s, $path);
	}
	return if is_temp($path);
	locked($s, "$path is removed");
	problem($s, "$path is removed before the line is durable") if $s->{journal_is} ne 'clean';
	changed($s, $path);
}

sub unlocked
{
	my ($s) = @_;
	$s->{locked} = 0;
	problem($s, 'unlocked before the journal is durable or taken back') if $s->{journal_is} eq 'dirty' && !$s->{failed};
}

sub one_call
{
	my ($s, $name, $path, $result) = @_;
	my ($from, $to) = split / -> /, $path;
	my $done = $result !~ /^-/;

	# Then the next writer is warned by .sluice/failed, or syncs it before it does anything else.
	$s->{failed} = 1 if $name =~ /sync$/ && $path eq $s->{journal} && !$done || $path =~ m{/\.sluice/failed$};
	return unlocked($s) if $name eq 'close' && $path eq $s->{lock}; # it has closed, whatever it says
	$s->{absent}{$path} = 1 if $name =~ /^open/ && $result eq '-ENOENT';
	return unless $done && $result ne 'kill-before';
	opened($s, $path) if $name =~ /^open/;
	written($s, $path) if $name =~ /write/;
	synced($s, $path) if $name =~ /sync$/;
	renamed($s, $from, $to) if $name =~ /^rename/;
	removed($s, $path) if $name =~ /^unlink/;
	changed($s, $path) if $name =~ /^mkdir/;
	changed($s, $to), $s->{linked} = 1 if $name =~ /^link/;
	$s->{moved}{$from} = $to if $name =~ /^link/ && $to =~ m{/\.sluice/damaged/};
	$s->{linked} = 1 if $name =~ /^link/ && $result eq '-EEXIST';
	$s->{locked} ? unlocked($s) : ($s->{locked} = 1) if $name eq 'flock' && $path eq $s->{lock};
	$s->{journal_is} = 'dirty' if $name =~ /truncate/ && $path eq $s->{journal};
}

sub order_of
{
	my ($lake, @calls) = @_;
	my $s = { parent => dir_of($lake), journal => "$lake/.sluice/journal", lock => "$lake/.sluice/lock",
		out => "$lake.out", journal_is => 'unknown', problems => [] };

	one_call($s, @$_{qw(call path result)}) for grep { $_->{path} =~ m{^\Q$s->{parent}\E} } @calls;
	return @{ $s->{problems} };
}

1;
