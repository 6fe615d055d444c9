package Sluice::Power;

# Sluice::Power: what a power loss may leave of a directory, built from the record of a run.
#
#	my $disk = Sluice::Power->new($dir);              # all of $dir is durable now
#	run(@command, { env => record($dir, $trace) });   # t/fault/record.c
#	for my $event (events($trace)) {
#		$disk->apply($event);
#		$disk->each_state(sub { my ($state) = @_; $disk->build($state, $to) });
#		$disk->some_states($n, sub { ... });          # until it has returned true $n times
#	}
#
# The model. Inodes and names are things apart. A file is what was last synced of it and, behind that, the
# writes and cuts since; a directory likewise, its operations being names made, removed and renamed. fsync and
# fdatasync of an inode, if they return 0, make its own content durable and nothing else: not its name, and of
# a directory not what its entries hold. What stands behind may each be lost or kept:
#
# - a name that was made (open, mkdir, link) or removed (unlink, rmdir), each by itself, whatever became of
#   earlier ones; a directory without a name takes all below it along;
# - a rename within a directory: lost, done, or done with the old name still there (POSIX says that the new
#   name is never missing, not more); into another directory: the two halves each by itself;
# - a write: lost, done, the first byte, half of it or all but the last byte of it, that half with zeros or with
#   garbage (with newlines) up to the size, all of it zeros (a size without data) or garbage, and the second half
#   behind zeros; where it went over older bytes, these in place of zeros and garbage. Of several writes to one file: all up to some point, that one in any of these
#   ways; and each one missing alone;
# - a cut (ftruncate, O_TRUNC): lost or done.
#
# Operations on the same name, and writes to the same place, that are kept act in their order. A sync that
# failed made nothing durable, and the writes it covered may be lost even if a later one succeeds (the kernel has
# marked them clean), unless they were cut off or written again. After a kill -9 nothing is lost: what the next run does goes behind. A power loss ends in a
# new boot: the id of this one becomes another.
#
# each_state builds all combinations of these (with {few} fewer forms of a write: lost, half, zeros, done);
# some_states nothing lost, all lost, and then random ones, of which half have one operation alone lost or kept.

use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Exporter qw(import);
use Fcntl qw(O_TRUNC);
use Sluice;
use Sluice::Fault;

our @EXPORT = qw(record events);

my ($boot) = slurp('/proc/sys/kernel/random/boot_id') =~ /(\S+)/;

# The environment that records a run of jsonl-sink below $dir; $spec: faults besides.
sub record
{
	my ($dir, $trace, $spec) = @_;
	return { %{ fault('comm=jsonl-sink' . (length($spec // '') ? ";$spec" : '')) },
		SLUICE_RECORD => $trace, SLUICE_RECORD_DIR => $dir };
}

sub events
{
	my ($trace) = @_;
	my $text = slurp($trace);
	my ($at, @events) = (0);

	while ($at < length $text) {
		my $end = index $text, "\n", $at;
		my %e;
		@e{qw(call inode at size result path path2)} = split /\t/, substr($text, $at, $end - $at), 7;
		$e{data} = substr $text, $end + 1, $e{size};
		$at = $end + 1 + $e{size};
		push @events, \%e;
	}
	return @events;
}

# ---- the disk ----

sub new
{
	my ($class, $root) = @_;
	my $self = bless { root => $root, node => [], of => {} }, $class;

	$self->{top} = $self->_load($root);
	return $self;
}

# A node: {dir}, {kept} what is durable, {now} what processes see, {ops} what lies between.
sub _node
{
	my ($self, $inode, $dir, $content) = @_;
	push @{ $self->{node} }, { dir => $dir, kept => $content, now => $content, ops => [] };
	$self->{of}{$inode} = $#{ $self->{node} };
	return $#{ $self->{node} };
}

sub _load
{
	my ($self, $path) = @_;
	my $inode = (lstat $path)[1] // die "$path: $!\n";

	return $self->{of}{$inode} if exists $self->{of}{$inode};
	return $self->_node($inode, 0, slurp($path)) unless -d _;
	opendir my $d, $path or die "$path: $!\n";
	my %names = map { $_ => $self->_load("$path/$_") } grep { $_ ne '.' && $_ ne '..' } readdir $d;
	return $self->_node($inode, 1, \%names);
}

# The directory node and the name of a path.
sub _place
{
	my ($self, $path) = @_;
	my @names = split m{/}, substr $path, length $self->{root};
	my $name = pop @names;
	my $at = $self->{top};

	for (grep { length } @names) {
		$at = $self->{node}[$at]{now}{$_} // die "$path: no $_\n";
	}
	return ($self->{node}[$at], $name);
}

sub _enter # one operation on a directory: {del} a name, {set} one to a node
{
	my ($dir, %op) = @_;
	push @{ $dir->{ops} }, \%op;
	$dir->{now} = _entries($dir->{now}, \%op);
}

sub _entries
{
	my ($entries, $op, $both) = @_;
	my %to = %$entries;
	delete $to{ $op->{del} } if defined $op->{del} && !$both;
	$to{ $op->{set} } = $op->{node} if defined $op->{set};
	return \%to;
}

# One operation on a file: {at}, {data}; or {cut}, the size. $data: in place of the operation's.
sub _bytes
{
	my ($content, $op, $data) = @_;
	$data //= $op->{data};
	my $size = defined $op->{cut} ? $op->{cut} : $op->{at};

	$content .= "\0" x ($size - length $content) if length $content < $size;
	return substr $content, 0, $size if defined $op->{cut};
	substr($content, $size, length $data < length($content) - $size ? length $data : length($content) - $size) = $data;
	return $content;
}

sub _change
{
	my ($file, %op) = @_;
	push @{ $file->{ops} }, \%op;
	$file->{now} = _bytes($file->{now}, \%op);
}

# Whether nothing of a write is left after a later operation.
sub _undone
{
	my ($write, $op) = @_;
	return $op->{cut} <= $write->{at} if defined $op->{cut};
	return !$op->{doomed} && $op->{at} <= $write->{at} &&
	    $op->{at} + length $op->{data} >= $write->{at} + length $write->{data};
}

sub _sync
{
	my ($node, $result) = @_;
	if ($result < 0) {
		$_->{doomed} = 1 for grep { defined $_->{data} } @{ $node->{ops} };
		return;
	}
	my @ops = @{ $node->{ops} };
	my @doomed = map { $ops[$_] } grep { my $i = $_; $ops[$i]{doomed} && !grep { _undone($ops[$i], $_) } @ops[ $i + 1 .. $#ops ] } 0 .. $#ops;
	if (@doomed) { # all but those
		my $content = $node->{kept};
		$content = _bytes($content, $_) for grep { !$_->{doomed} } @ops;
		@$node{qw(kept ops)} = ($content, \@doomed);
		return;
	}
	@$node{qw(kept ops)} = ($node->{now}, []);
}

sub apply
{
	my ($self, $e) = @_;
	my $call = $e->{call};
	my $node = exists $self->{of}{ $e->{inode} } ? $self->{node}[ $self->{of}{ $e->{inode} } ] : undef;

	if ($call eq 'open' || $call eq 'mkdir') {
		my ($dir, $name) = $self->_place($e->{path});
		if (!exists $dir->{now}{$name}) {
			my $new = $self->_node($e->{inode}, $call eq 'mkdir', $call eq 'mkdir' ? {} : '');
			_enter($dir, set => $name, node => $new);
		} elsif ($e->{at} & O_TRUNC && length $node->{now}) {
			_change($node, cut => 0);
		}
	} elsif ($call eq 'write') {
		_change($node, at => $e->{at}, data => $e->{data}) if $e->{size};
	} elsif ($call eq 'ftruncate') {
		_change($node, cut => $e->{at}) if length $node->{now} != $e->{at};
	} elsif ($call =~ /sync$/) {
		_sync($node, $e->{result});
	} elsif ($call ne 'ack') {
		$self->_names($call, $e);
	}
}

sub _names
{
	my ($self, $call, $e) = @_;
	my ($dir, $name) = $self->_place($e->{path});
	my ($to, $new) = length $e->{path2} ? $self->_place($e->{path2}) : ();
	my $node = $dir->{now}{$name};

	if ($call eq 'unlink' || $call eq 'rmdir') {
		_enter($dir, del => $name);
	} elsif ($call eq 'link') {
		_enter($to, set => $new, node => $node);
	} elsif ($call eq 'rename' && $to == $dir) {
		_enter($dir, del => $name, set => $new, node => $node) if ($dir->{now}{$new} // -1) != $node;
	} elsif ($call eq 'rename') {
		_enter($dir, del => $name);
		_enter($to, set => $new, node => $node);
	} else {
		die "what is $call?\n";
	}
}

# ---- what may be left of one inode ----

# The ways in which a write may be there that was not synced, all of it first. What is lost of it is as it was
# before, or zeros or garbage behind the end; a prefix alone also ends there.
sub _forms
{
	my ($content, $op, $few) = @_;
	my ($data, $n) = ($op->{data}, length $op->{data});
	my $old = length $content > $op->{at} ? substr $content, $op->{at}, $n : '';
	my $zeros = $old . "\0" x ($n - length $old);
	my $garbage = $old . substr("\x{e9}{]\x{80}\n\"x" x ($n / 7 + 1), length $old, $n - length $old);
	my $half = int($n / 2);
	my ($first, $second) = (substr($data, 0, $half), substr($data, $half));

	return ($data, $first, $zeros) if $few;
	return ($data, $first, $zeros, substr($data, 0, 1), substr($data, 0, $n - 1), $first . substr($zeros, $half),
		$first . substr($garbage, $half), substr($zeros, 0, $half) . $second, $garbage);
}

sub _contents
{
	my ($file, $few) = @_;
	my @ops = @{ $file->{ops} };
	my ($content, @all) = ($file->{kept}, $file->{kept});

	for my $op (@ops) {
		push @all, map { _bytes($content, $op, $_) } defined $op->{data} ? _forms($content, $op, $few) : undef;
		$content = _bytes($content, $op);
	}
	for my $lost ($few ? () : @ops > 1 ? @ops[ 0 .. $#ops - 1 ] : ()) {
		my $without = $file->{kept};
		$without = _bytes($without, $_) for grep { $_ != $lost } @ops;
		push @all, $without;
	}
	my %seen;
	return grep { !$seen{$_}++ } @all;
}

# How many ways there are for each operation of a directory.
sub _ways { return map { defined $_->{del} && defined $_->{set} ? 3 : 2 } @{ $_[0]{ops} } }

# Its entries when operation I went way $way[I]: 0 lost, 1 done, 2 done and the old name is still there.
sub _listing
{
	my ($dir, @way) = @_;
	my $entries = $dir->{kept};
	for my $i (0 .. $#way) {
		$entries = _entries($entries, $dir->{ops}[$i], $way[$i] == 2) if $way[$i];
	}
	return $entries;
}

sub _listings
{
	my ($dir) = @_;
	my @all = ([]);
	for my $ways (_ways($dir)) {
		@all = map { my $w = $_; map { [ @$w, $_ ] } 0 .. $ways - 1 } @all;
	}
	my %seen;
	return grep { !$seen{ join '/', map { ($_, $_[0]) } %$_ }++ } map { _listing($dir, @$_) } @all;
}

# ---- states: { node => its content }, for every node that can be reached ----

# Builds the state that chooses $choose->(node) for each node that can be reached.
sub state
{
	my ($self, $choose) = @_;
	my (%state, @next);

	@next = $self->{top};
	while (defined(my $n = shift @next)) {
		next if exists $state{$n};
		my $node = $self->{node}[$n];
		$state{$n} = @{ $node->{ops} } ? $choose->($node) : $node->{kept};
		push @next, map { $state{$n}{$_} } sort keys %{ $state{$n} } if $node->{dir};
	}
	return \%state;
}

# The state that a kill -9 leaves.
sub whole { return $_[0]->state(sub { $_[0]{now} }) }

sub each_state
{
	my ($self, $visit, %o) = @_;
	my (%state, %ways);
	my $walk;

	$walk = sub {
		my ($n, @next) = @_;
		return $visit->({%state}) unless defined $n;
		return $walk->(@next) if exists $state{$n};
		my $node = $self->{node}[$n];
		my $ways = $ways{$n} //= [ $node->{dir} ? _listings($node) : _contents($node, $o{few}) ];
		for my $content (@$ways) {
			$state{$n} = $content;
			$walk->(@next, $node->{dir} ? map { $content->{$_} } sort keys %$content : ());
		}
		delete $state{$n};
	};
	$walk->($self->{top});
	undef $walk;
}

# Calls $visit until it has returned true $n times, or there seem to be no more.
sub some_states
{
	my ($self, $n, $visit) = @_;
	my @dirty = grep { @{ $_->{ops} } } @{ $self->{node} };
	my @whole = (sub { $_[0]{now} }, @dirty ? sub { $_[0]{kept} } : ());

	for my $try (0 .. (@dirty ? 4 * $n : 0)) {
		$n-- if $visit->($self->state($whole[$try] // $self->_choice(@dirty)));
		return if $n <= 0;
	}
}

sub _choice
{
	my ($self, @dirty) = @_;
	my $one = $dirty[ rand @dirty ];
	my $others = rand() < 0.5 ? 'now' : 'kept';
	my $p = (0.1, 0.5, 0.9)[ rand 3 ];

	return sub { _random($_[0], $p) } if rand() < 0.5;
	my @ways = $one->{dir} ? _single($one, $others eq 'now' ? 1 : 0) : _contents($one);
	my $way = $ways[ rand @ways ];
	return sub { $_[0] == $one ? $way : $_[0]{$others} };
}

# A directory of whose operations one went its own way: all that are not $others.
sub _single
{
	my ($dir, $others) = @_;
	my @ways = _ways($dir);
	return map {
		my $i = $_;
		map { my $way = $_; _listing($dir, map { $_ == $i ? $way : $others } 0 .. $#ways) }
		    grep { $_ != $others } 0 .. $ways[$i] - 1;
	} 0 .. $#ways;
}

sub _random
{
	my ($node, $p) = @_;
	return _listing($node, map { rand() >= $p ? 0 : $_ == 2 || rand() < 0.8 ? 1 : 2 } _ways($node)) if $node->{dir};
	return $node->{now} if rand() < $p;
	my @ways = _contents($node);
	return $ways[ rand @ways ];
}

# ---- a state on a real file system ----

sub build
{
	my ($self, $state, $to) = @_;
	my %path;
	$self->_build($state, $self->{top}, $to, \%path);
	return \%path;
}

sub _build
{
	my ($self, $state, $n, $path, $first) = @_;

	if (exists $first->{$n}) {
		link $first->{$n}, $path or die "$path: $!\n";
	} elsif ($self->{node}[$n]{dir}) {
		$first->{$n} = $path;
		mkdir $path or die "$path: $!\n";
		$self->_build($state, $state->{$n}{$_}, "$path/$_", $first) for sort keys %{ $state->{$n} };
	} else {
		$first->{$n} = $path;
		spew($path, $state->{$n} =~ s/\Q$boot/$boot =~ tr|0-9a-f|1-9a-f0|r/egr);
	}
}

# Two states with the same digest are the same disk.
sub digest
{
	my ($self, $state) = @_;
	my ($text, %seen) = ('');
	my $walk;

	$walk = sub {
		my ($n, $name) = @_;
		$text .= "$name\0" . ($seen{$n}++ ? "=$n\0" : '');
		return if $seen{$n} > 1;
		if ($self->{node}[$n]{dir}) {
			$walk->($state->{$n}{$_}, $_) for sort keys %{ $state->{$n} };
			$text .= "/\0";
		} else {
			$text .= length($state->{$n}) . "\0$state->{$n}";
		}
	};
	$walk->($self->{top}, '');
	undef $walk;
	return md5_hex($text);
}

1;
