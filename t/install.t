# make install puts everything where config.mk says, below DESTDIR, and uninstall takes all of it away.

use strict;
use warnings;
use File::Find qw(find);
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Test::More;

my $dir = tempdir();

# What is built is installed as it is: `-o all` keeps make from building it anew with other flags.
sub make
{
	my @args = @_;
	my $r = run('make', '-s', '-C', $SRC, '-o', 'all', @args, "BUILD=$BUILD", "DESTDIR=$dir", 'PREFIX=/usr');
	is $r->{exit}, 0, "make @args" or diag $r->{err};
}

sub installed
{
	my @found;
	find(sub { push @found, $File::Find::name =~ s/^\Q$dir\E//r if -f || -l }, $dir);
	return @found;
}

make('install');
my %there = map { $_ => 1 } installed();
my @tools = map { s{.*/|\.c$}{}gr } glob "$SRC/tools/*.c";
for my $tool (@tools) {
	ok $there{"/usr/bin/$tool"} && -x "$dir/usr/bin/$tool", "$tool can be executed";
	is run("$dir/usr/bin/$tool", '-V')->{exit}, 0, "$tool runs from there";
	ok $there{"/usr/share/bash-completion/completions/$tool"}, "bash finds the completion of $tool";
}
for my $page (map { s{.*/}{}r } glob "$SRC/man/*.[1-8]") {
	my ($section) = $page =~ /(\d)$/;
	ok $there{"/usr/share/man/man$section/$page"}, "$page is in its section";
}
ok $there{'/usr/share/zsh/site-functions/_sluice'}, 'zsh finds the completions';
for my $name (map { s{^\Q$SRC\E/(etc/)?}{}r } grep { -f } glob "$SRC/etc/* $SRC/etc/mappings/* $SRC/sql/* $SRC/sql/*/*") {
	ok -r "$dir/usr/share/sluice/$name" && !-x _, "$name is there to be read";
}
is join(' ', grep { !m{^/usr/} } sort keys %there), '', 'nothing lies outside the prefix';

make('uninstall');
is join(' ', installed()), '', 'uninstall leaves no file';
ok !-e "$dir/usr/share/sluice", '... and no directory of its own';

done_testing;
