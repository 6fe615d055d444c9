package Sluice::Fault;

# Sluice::Fault: run a tool with the fault library (t/fault/libfault.c tells what SPEC may say).
#
#	my $r = run('jsonl-sink', $lake, { stdin => $lines, env => fault('fdatasync:2:EIO') });
#	my $log = tempdir() . '/log';
#	run('jsonl-sink', $lake, { env => fault('', $log) });
#	my @calls = calls($log);   # { n, comm, call, path, result }, in order

use strict;
use warnings;
use Exporter qw(import);
use Sluice;

our @EXPORT = qw(fault calls);

my $lib = "$BUILD/t/libfault.so";

sub fault
{
	my ($spec, $log) = @_;
	die "$lib is not built\n" unless -e $lib;
	return {
		LD_PRELOAD => $lib, SLUICE_FAULT => $spec, SLUICE_FAULT_LOG => $log,
		ASAN_OPTIONS => ($ENV{ASAN_OPTIONS} // '') . ':verify_asan_link_order=0',
	};
}

sub calls
{
	my ($log) = @_;
	return map {
		my %c;
		@c{qw(n comm call path result)} = split /\t/;
		\%c;
	} split /\n/, slurp($log);
}

1;
