# make install puts everything where packagers want it, and make uninstall takes away just that.

use strict;
use warnings;
use File::Find;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my $root = tempdir();

sub make { return run('make', '-s', '-C', $SRC, @_, "DESTDIR=$root", 'PREFIX=/usr', { timeout => 300 }) }

sub files
{
	my @found;
	find(sub { push @found, $File::Find::name =~ s/^\Q$root\E//r if -l || !-d }, $root);
	return join ' ', sort @found;
}

my $r = make('install');
is $r->{exit}, 0, 'make install' or diag $r->{err};
for my $tool (map { s{.*/|\.c$}{}gr } glob "$SRC/tools/*.c") {
	is run("$root/usr/bin/$tool", '--version')->{exit}, 0, "$tool runs where it is installed";
	ok -s "$root/usr/share/man/man1/$tool.1", '... has its page';
	ok -s "$root/usr/share/bash-completion/completions/$tool", '... and its completion';
}
ok -s "$root/usr/share/$_", $_
    for qw(man/man5/sluice-lake.5 man/man5/sluice-stream.5 man/man7/sluice.7 sluice/sluice.jq zsh/site-functions/_sluice);

spew("$root/usr/share/sluice/mine", 'of somebody else');
$r = make('uninstall');
is $r->{exit}, 0, 'make uninstall' or diag $r->{err};
is files(), '/usr/share/sluice/mine', 'takes away what was installed and nothing else';

unlink "$root/usr/share/sluice/mine";
make($_) for 'install', 'uninstall';
is files(), '', 'nothing is left';
ok !-e "$root/usr/share/sluice", 'not even the directory';

done_testing;
