# make demo shows what it says, on servers of its own and on others, and leaves nothing behind, however it ends.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Test::More;

# Each demo has a directory for its temporary files; its processes are known by that in their environment.
my $tmp = tempdir();

# A temporary table of another server: MariaDB removes what is called so in its tmpdir when it starts.
spew("$tmp/#sql-of-another", '');

sub left_over
{
	my @pids = grep { eval { slurp("/proc/$_/environ") =~ /(?:^|\0)TMPDIR=\Q$tmp\E\0/ } }
	    map { m{(\d+)$} } glob '/proc/[0-9]*';
	return map { "$_: " . (eval { slurp("/proc/$_/cmdline") =~ tr/\0/ /r } // 'gone') } @pids;
}

sub nothing_is_left
{
	my ($when) = @_;
	ok eval { wait_until(10, 'processes are left', sub { !left_over() }) }, "no process is left after $when" or diag left_over();
	is join(' ', glob "$tmp/*"), "$tmp/#sql-of-another", '... and no file but those of others';
}

sub demo { return spawn("$SRC/t/demo", { env => { TMPDIR => $tmp, @_ } }) }

sub said { my ($p) = @_; return -e $p->{out} ? slurp($p->{out}) : "" }

my $r = finish(demo(), 300);
is $r->{exit}, 0, 'the demo ends well' or diag $r->{out}, $r->{err};
cmp_ok $r->{sec}, '<', 90, '... within 90 s' unless sanitized();
like $r->{out}, qr/All was there, and once/, '... all was there';
like $r->{out}, qr/^\| user_id +\| city +\| country \| total_amount/m, '... with tables that people read';
unlike $r->{out}, qr/^No warehouse/m, '... on a database of its own';
nothing_is_left('it');

for my $signal ('INT', $ENV{SLUICE_LONG} ? qw(TERM KILL) : ()) {
	my $p = demo();
	wait_until(120, 'no database', sub { said($p) =~ /CREATE DATABASE/ });
	ok scalar(left_over()), "$signal comes while servers run";
	kill $signal, -$p->{pid};
	isnt finish($p)->{exit}, 0, '... and ends it';
	# Nobody can tidy up behind KILL; what matters are the processes.
	run('sh', '-c', "rm -rf $tmp/tmp.*") if $signal eq 'KILL';
	nothing_is_left($signal);
}

# MySQL, if it is there, for the demo has just run on a MariaDB.
for my $db ((reverse Sluice::Db::servers())[ 0 .. ($ENV{SLUICE_LONG} ? 1 : 0) ]) {
	$r = finish(demo(MYSQL => $db->defaults), 300);
	is $r->{exit}, 0, 'the demo on another ' . $db->flavour or diag $r->{out}, $r->{err};
	like $r->{out}, qr/All was there, and once/, '... all was there';
	like $r->{out}, qr/CREATE DATABASE sluice_demo_/, '... in a database of its own';
	is $db->value("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'sluice_demo_%'"), 0,
	    '... which has gone again';
	nothing_is_left('it');
}

done_testing;
