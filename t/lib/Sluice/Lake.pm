package Sluice::Lake;

# Sluice::Lake: a small stream of two partitions over several paths, and what a lake that took it must hold.
#
#	my @all = records(0, 20);                  # offsets 0 to 19 of T/0 and T/1: { partition, offset, path, line, stream }
#	run('jsonl-sink', '-a', $lake, { stdin => stream(0, 20) });
#	my $problems = [];                         # each check adds what it finds
#	compare($lake, $problems, @all);           # whole files, known to the journal, and these lines once each
#	check_acks($lake, $problems, $out, 'append', @all);
#	left_behind($lake);                        # temporary files and lists of the dead
#
#	my $o = { args => ['-a'], name => 'append', offsets => [ 0, 20 ], want => \@all, env => {}, fault => {} };
#	my $r = sink($lake, $o);                   # one run of the sink
#	heal($lake, $o, $problems);                # the same line again, then everything must be right
#
# The journal and the files are read here by themselves, not with the tools. Lakes, and what is fed to and printed
# by the sink, are in $DIR, so that a fault with path=$DIR meets these and nothing else.

use strict;
use warnings;
use Exporter qw(import);
use File::Find qw(find);
use IO::Uncompress::Gunzip qw(gunzip);
use Sluice;

our @EXPORT = qw(record records mark stream stream_of bad_record all_files visible contents compare check_acks
    missing journal_lines left_behind tree new_lake copy_of state_of sink went_well heal struck_lake $DIR);

# In memory where possible: thousands of runs would mostly wait for a disk that plays no part here.
our $DIR = memory_dir();
my $lakes = 0;

# ---- what goes in, as kread --marks | partition writes it ----

sub record
{
	my ($partition, $offset) = @_;
	my $body = sprintf '"topic":"T","partition":%d,"offset":%d,"tstype":"create","ts":%d,"key":null,'
	    . '"payload":{"n":%d}}', $partition, $offset, 1_763_697_600_000 + $offset, $offset * 7;
	my $path = sprintf 'streams/T/day=%02d', $offset / 8; # every path has records of both partitions
	return { partition => $partition, offset => $offset, path => $path, line => "{$body",
		stream => "{\"path\":\"$path\",$body\n" };
}

# One that no path was found for, and how -r keeps it.
sub bad_record
{
	my $r = record(@_);
	my $why = 'no path: put partition before this sink, or pass -p PATH';
	my $line = $r->{line};

	$r->{stream} = "$line\n";
	$r->{path} = '_rejects';
	$r->{line} = "{\"reason\":\"$why\",\"topic\":\"T\",\"partition\":$r->{partition},\"offset\":$r->{offset},"
	    . '"line":"' . $line =~ s/"/\\"/gr . '"}';
	return $r;
}

sub records { my ($from, $to) = @_; return map { record(0, $_), record(1, $_) } $from .. $to - 1 }

sub mark { return '{"mark":{"kind":"' . shift() . '"' . join('', map { ",$_" } @_) . "}}\n" }

sub stream_of
{
	my ($from, $to, @records) = @_;
	my @place = map { "\"topic\":\"T\",\"partition\":$_" } 0, 1;
	return join '', (map { mark('start', $_, "\"offset\":$from") } @place), (map { $_->{stream} } @records),
	    (map { mark('position', $_, "\"offset\":$to") } @place), mark('end', '"records":' . @records);
}

sub stream { my ($from, $to) = @_; return stream_of($from, $to, records($from, $to)) }

# ---- what must come out ----

sub all_files
{
	my ($lake) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, substr $_, length "$lake/" if -f } }, $lake) if -d $lake;
	return sort @files;
}

sub visible { return grep { !m{(^|/)\.} } all_files(@_) }

# Every file and its bytes: what a reader must not change.
sub tree { my ($lake) = @_; return { map { $_ => slurp("$lake/$_") } all_files($lake) } }

sub journal_lines
{
	my ($lake) = @_;
	my @rolled = sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } glob("$lake/.sluice/journal.[0-9]*");
	my @lines = map { split /^/m, slurp($_) } @rolled, grep { -e } "$lake/.sluice/journal";
	return map { eval { json($_) } // () } grep { /\n\z/ } @lines; # a torn tail is no commit
}

# Whether what the journal says is in the lake is there: a file of its last line may have the name before or after, but
# one that replaces another is there all the time.
sub missing
{
	my ($lake, @commits) = @_;
	my $last = @commits ? pop @commits : {};
	my %live;

	for my $commit (@commits) {
		$live{ $_->{file} } = 1 for @{ $commit->{add} // [] };
		delete @live{ @{ $commit->{remove} // [] } };
	}
	delete @live{ @{ $last->{remove} // [] } };
	my @missing = grep { !-e "$lake/$_" } sort keys %live;
	for my $add (@{ $last->{add} // [] }) {
		my $tmp = $add->{file} =~ s{[^/]*$}{$add->{tmp}}r;
		push @missing, $add->{file} unless -e "$lake/$add->{file}" || -e "$lake/$tmp" && !$live{ $add->{file} };
	}
	return map { "in the journal, not in the lake: $_" } @missing;
}

# Whether the visible files are whole and known to the journal; and the lines they hold.
sub contents
{
	my ($lake, $problems) = @_;
	my (%known, %lines);
	return {} unless -d $lake;

	my @commits = journal_lines($lake);
	push @$problems, missing($lake, @commits);
	for my $commit (@commits) {
		$known{ $_->{file} } = $_->{records} for @{ $commit->{add} // [] };
	}
	for my $file (visible($lake)) {
		my $text = slurp("$lake/$file");
		if ($file =~ /\.gz$/) {
			my $packed = $text;
			gunzip(\$packed => \$text, MultiStream => 1) or push @$problems, "$file is no gzip";
		}
		my @lines = split /\n/, $text;
		push @$problems, "$file is visible but not in the journal" unless exists $known{$file};
		push @$problems, "$file ends in half a line" if $text !~ /\n\z/;
		push @$problems, "$file has " . @lines . " lines, journal $known{$file}" if @lines != ($known{$file} // -1);
		$lines{$_}++ and push @$problems, "twice: $_" for @lines;
	}
	return \%lines;
}

sub compare
{
	my ($lake, $problems, @want) = @_;
	my $have = contents($lake, $problems);
	my %want = map { $_->{line} => 1 } @want;
	push @$problems, map { "lost: $_" } grep { !$have->{$_} } sort keys %want;
	push @$problems, map { "too much: $_" } grep { !$want{$_} } sort keys %$have;
}

# What was acknowledged must be in the journal and its records visible, whatever happened afterwards.
sub check_acks
{
	my ($lake, $problems, $out, $name, @want) = @_;
	my (%stored, %acked);
	$out =~ s/[^\n]+\z//; # a line cut short tells nobody anything
	return unless $out;

	for my $commit (grep { $_->{commit} && $_->{name} eq $name } journal_lines($lake)) {
		$stored{ $_->{partition} } = $_->{offset} for @{ $commit->{positions} };
	}
	$acked{ $_->{partition} } = $_->{offset} for map { $_->{mark} } json_lines($out);
	for my $partition (sort keys %acked) {
		push @$problems, "acknowledged, not in the journal: $partition $acked{$partition}"
		    if $acked{$partition} > ($stored{$partition} // -1);
	}
	my $have = contents($lake, []);
	push @$problems, map { "acknowledged, not visible: $_->{line}" }
	    grep { $_->{offset} < ($acked{ $_->{partition} } // -1) && !$have->{ $_->{line} } } @want;
}

sub left_behind
{
	my ($lake) = @_;
	return grep { m{(^|/)\.sluice-[^/]*$|/writers/|/failed$} } all_files($lake);
}

# ---- runs ----

sub new_lake { return "$DIR/lake" . ++$lakes }

# As cp -a, with its hard links (a journal and journal.N), in a tenth of the time.
sub copy_of
{
	my ($base) = @_;
	my $lake = new_lake();
	my %seen;
	my $copy = sub {
		my $to = $lake . substr $_, length $base;
		my $inode = (lstat)[1];
		if (-d _) {
			mkdir $to or die "$to: $!";
		} elsif ($seen{$inode}) {
			link $seen{$inode}, $to or die "$to: $!";
		} else {
			spew($seen{$inode} = $to, slurp($_));
		}
	};
	find({ no_chdir => 1, wanted => $copy }, $base) if -e $base;
	return $lake;
}

# All that a run can find in a lake, without what differs from run to run: times and names of writers. Lakes that
# agree in it are healed alike.
sub state_of
{
	my ($lake) = @_;
	my ($text, %inode, %writer) = ('');
	my $add = sub {
		my $inode = (lstat)[1];
		$text .= substr($_, length $lake) . "\0" . ($inode{$inode} //= keys %inode) . "\0" . (-f _ ? slurp($_) : '') . "\0";
	};
	find({ no_chdir => 1, wanted => $add, preprocess => sub { sort @_ } }, $lake) if -d $lake;
	$text =~ s/"time":"[^"]*"/"time"/g;
	$text =~ s/"crc":"[0-9a-f]{8}"\}/"crc"/g;
	$writer{$1} //= keys %writer while $text =~ m{(?:\.sluice-|/writers/|"writer":")(\w{6})\b}g;
	$text =~ s/\b$_\b/writer$writer{$_}/g for keys %writer;
	return $text;
}

sub sink
{
	my ($lake, $o) = @_;
	spew("$lake.in", $o->{stream} // ($o->{offsets} ? stream(@{ $o->{offsets} }) : ''));
	open my $in, '<', "$lake.in" or die $!;
	my $r = run('jsonl-sink', @{ $o->{args} }, $lake, { stdin => $in, out => "$lake.out",
	    env => { %{ $o->{env} // {} }, %{ $o->{fault} // {} } } });
	unlink "$lake.in", "$lake.out";
	return $r;
}

# A copy of $base in which a sink was killed by the fault.
sub struck_lake
{
	my ($base, $o, $fault) = @_;
	my $lake = copy_of($base);
	my $r = sink($lake, { %$o, fault => $fault });
	die "not killed: $fault->{SLUICE_FAULT}\n" if $r->{signal} != 9;
	return $lake;
}

# 1: done, but records were rejected, as $o expects.
sub went_well { my ($r, $o) = @_; return $r->{exit} == 0 || $r->{exit} == ($o->{done} // 0) }

sub repair
{
	my ($lake, $problems) = @_;
	my $r = run('jsonl-sink', '--repair', $lake);
	push @$problems, "--repair: $r->{exit}: $r->{err}" if $r->{exit};
}

# The same line again heals everything; it may ask for --repair where a line of the journal could not be taken back.
sub heal
{
	my ($lake, $o, $problems) = @_;
	my $r = sink($lake, $o);

	if (-e "$lake/.sluice/failed") {
		push @$problems, "refused with $r->{exit}, not 65: $r->{err}" if $r->{exit} != 65;
		push @$problems, "the refusal does not name --repair: $r->{err}" if $r->{err} !~ /--repair/;
		repair($lake, $problems);
		$r = sink($lake, $o);
	}
	push @$problems, "rerun: $r->{exit}: $r->{err}" unless went_well($r, $o);
	return heal($lake, $o->{then}, $problems) if $o->{then};
	compare($lake, $problems, @{ $o->{want} });
	my $check = run('jsonl-sink', '--check', $lake);
	push @$problems, "--check: $check->{exit}: $check->{err}" if $check->{exit};
	push @$problems, map { "left behind: $_" } left_behind($lake);
}

1;
