package Sluice::Bench;

# What t/perf/bench measures with: commands in turn, their wall and CPU time, their memory; and the targets that
# the figures are held against, printed at the end and kept in $BUILD/bench.json.

use strict;
use warnings;
use Exporter qw(import);
use POSIX ();
use Sluice;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(section compare once peak cpu_of target figure skip report median);

my (@targets, %figures, $section);

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

# section(NAME, TITLE): whether it was asked for; $BENCH are the names of those that are, all when it is empty.
sub section
{
	my ($name, $title) = @_;
	my %only = map { $_ => 1 } split /[\s,]+/, $ENV{BENCH} // '';
	return 0 if %only && !$only{$name};
	$section = $name;
	print "\n$title\n";
	return 1;
}

# What a command, run by bash, takes: {wall, cpu, user} seconds. cpu is of all its processes, but not of the broker.
# One that prints "N seconds" has measured itself.
sub once
{
	my ($command) = @_;
	my (undef, undef, @before) = times;
	my $from = time;
	open my $f, '-|', 'bash', '-o', 'pipefail', '-c', $command or die "bench: $command: $!\n";
	my $out = do { local $/; readline $f } // '';
	close $f;
	my $wall = time - $from;
	die "bench: $command: exit $?\n" if $?;
	my (undef, undef, @after) = times;
	return { wall => $1, cpu => $1, user => $1 } if $out =~ /^([\d.]+) seconds/m;
	my ($user, $sys) = map { $after[$_] - $before[$_] } 0, 1;
	return { wall => $wall, cpu => $user + $sys, user => $user };
}

# The seconds of CPU that a process has taken since it began.
sub cpu_of
{
	my ($pid) = @_;
	my @stat = split / /, slurp("/proc/$pid/stat") =~ s/.*\) //sr;
	return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# compare({title, units, unit, rounds, server}, [NAME, COMMAND, SETUP] ..): the commands in turn, A B C A B C ..., so
# that a machine that slows down slows all of them. Returns {NAME => {wall, cpu, best}}, medians of seconds; with the
# process id of a server also {server}, the CPU that it took meanwhile.
sub compare
{
	my ($o, @entries) = @_;
	my (%wall, %cpu, %server, %result);

	print "  $o->{title}\n" if $o->{title};
	for my $round (0 .. $o->{rounds}) {
		for (@entries) {
			my ($name, $command, $setup) = @$_;
			system('bash', '-c', $setup) == 0 or die "bench: $setup\n" if $setup;
			my $before = $o->{server} ? cpu_of($o->{server}) : 0;
			my $t = once($command);
			next unless $round; # the first warms the caches
			push @{ $server{$name} }, cpu_of($o->{server}) - $before if $o->{server};
			push @{ $wall{$name} }, $t->{wall};
			push @{ $cpu{$name} }, $t->{cpu};
		}
	}
	for (map { $_->[0] } @entries) {
		my $r = $result{$_} = { wall => median(@{ $wall{$_} }), cpu => median(@{ $cpu{$_} }),
			best => (sort { $a <=> $b } @{ $wall{$_} })[0] };
		$r->{server} = median(@{ $server{$_} }) if $o->{server};
		printf "    %-58s %7.3f s  %8.1f %-12s cpu %6.3f s %8.1f%s\n", $_, $r->{wall}, $o->{units} / $r->{wall},
		    $o->{unit}, $r->{cpu}, $o->{units} / ($r->{cpu} || 1e-9),
		    $o->{server} ? sprintf('  server %6.3f s', $r->{server}) : '';
		figure($_, { %$r, units => $o->{units}, unit => $o->{unit} });
	}
	return \%result;
}

# The peak of a command's resident set, in MB. `until` (a sub) ends it before it ends by itself.
sub peak
{
	my ($name, $command, $until) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		POSIX::setpgid(0, 0);
		exec 'bash', '-c', "exec $command" or POSIX::_exit(127);
	}
	my $max = 0;
	while (waitpid($pid, POSIX::WNOHANG()) == 0) {
		if (open my $f, '<', "/proc/$pid/status") {
			my $status = join '', <$f>;
			my ($is) = $status =~ /^Name:\s+(\S+)/;
			$max = $1 if $command =~ /^\Q$is\E\b/ && $status =~ /^VmHWM:\s+(\d+)/m && $1 > $max;
		}
		kill 'KILL', -$pid if $until && $until->($max);
		sleep 0.005;
	}
	die "bench: $command: exit $?\n" if $? && !$until;
	my $mb = $max * 1024 / 1e6;
	printf "    %-58s %7.1f MB resident at most\n", $name, $mb;
	figure($name, { peak_mb => $mb });
	return $mb;
}

sub figure
{
	my ($name, $what) = @_;
	$figures{"$section: $name"} = $what;
}

# target(NAME, VALUE, OP, LIMIT, UNIT): OP is >= or <=.
sub target
{
	my ($name, $value, $op, $limit, $unit) = @_;
	my $met = $op eq '>=' ? $value >= $limit : $value <= $limit;
	push @targets, { section => $section, name => $name, value => $value, op => $op, limit => $limit,
		unit => $unit, met => $met ? JSON::PP::true : JSON::PP::false };
	print '  ', line_of($targets[-1]);
}

sub skip
{
	my ($name, $why) = @_;
	$why =~ s/\s+/ /g;
	push @targets, { section => $section, name => $name, skipped => $why };
	print '  ', line_of($targets[-1]);
}

sub line_of
{
	my ($t) = @_;
	return "skipped  $t->{name}: $t->{skipped}\n" if $t->{skipped};
	return sprintf "%-8s %-70s %8.2f %-5s (%s %.3g)\n", $t->{met} ? 'met' : 'NOT MET', $t->{name}, $t->{value},
	    $t->{unit}, $t->{op} eq '>=' ? 'at least' : 'at most', $t->{limit};
}

# All targets again, and everything into a file.
sub report
{
	my ($file) = @_;
	my $met = grep { $_->{met} } @targets;
	my $skipped = grep { $_->{skipped} } @targets;

	print "\ntargets\n";
	print '  ', line_of($_) for @targets;
	printf "%d of %d targets met%s\n", $met, @targets - $skipped, $skipped ? ", $skipped skipped" : '';
	my $loads = slurp('/proc/loadavg') =~ s/\n//r;
	spew($file, JSON::PP->new->canonical->pretty->encode({ targets => \@targets, figures => \%figures,
		met => $met, skipped => $skipped, load => $loads, when => time }));
	print "figures: $file\n";
}

1;
