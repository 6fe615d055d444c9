# The completions are what the option tables say, and both shells take them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Help;
use Test::More;

my $dir = "$SRC/etc/completions";
my $new = tempdir();
is run("$SRC/t/lib/completions", $new)->{exit}, 0, 'completions can be made from --help';
for my $file ('sluice.bash', '_sluice') {
	ok slurp("$new/$file") eq slurp("$dir/$file"), "$file is up to date (else: t/lib/completions etc/completions)";
}

# What bash offers for the words of a command line, the last of which is being typed.
sub bash_offers
{
	my (@words) = @_;
	my $r = run('bash', '--norc', '-c', <<'EOF', 'bash', "$dir/sluice.bash", @words, { cwd => $new });
source "$1" && shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
$function && printf '%s\n' "${COMPREPLY[@]}"
EOF
	is $r->{err}, '', "bash completes \"@words\" without errors";
	return join ' ', sort split /\n/, $r->{out};
}

is bash_offers('kread', '--fr'), '--from', 'bash: a long option';
is bash_offers('partition', '-l', 'hive'), 'hive hive-hour', 'bash: the value of a short option';
is bash_offers('partition', '--layout', '=', 'da'), 'date', 'bash: the value after =';
is bash_offers('partition', '--zone', '=', ''), '', 'bash: no options where a value stands';
is bash_offers('txgen', 'ref'), 'reference', 'bash: an operand';
is bash_offers('kread', '-s', 'key'), 'key=base64 key=bigint key=double key=int key=json key=text', 'bash: a name and a value';
is bash_offers('kread', '-s', 'key', '=', 'b'), 'base64 bigint', 'bash: the value of a name';
is bash_offers('kread', '-s', 'key', '='), 'base64 bigint double int json text', 'bash: all of them';
is bash_offers('kread', '--window', '=', 's'), 'session', 'bash: a kind of window';
mkdir "$new/data_lake" or die;
is bash_offers('jsonl-sink', 'data'), 'data_lake', 'bash: a directory';
is bash_offers('jsonl-sink', '-m', 'o'), 'overwrite', 'bash: alternatives that --help lists';
for my $tool (map { s{.*/|\.c$}{}gr } glob "$SRC/tools/*.c") {
	my %offered = map { $_ => 1 } split / /, bash_offers($tool, '-');
	my @all = map { ($_->{letter} ? "-$_->{letter}" : (), $_->{long} ? "--$_->{long}" : ()) }
	    help_options(run($tool, '--help')->{out});
	is join(' ', grep { !$offered{$_} } @all), '', "bash: every option of $tool";
}

# zsh only completes on a terminal: zpty is one. The line that it makes of the words is read back by a widget.
sub zsh_makes
{
	my ($line) = @_;
	my $r = run('zsh', '-f', '-c', <<'EOF', 'zsh', $dir, $line, { cwd => $new, timeout => 20 });
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= RPS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D"
zpty -w shell "show() { print -r -- \"<<\$BUFFER>>\"; exit }; zle -N show; bindkey '^X' show; print ready"
zpty -r shell out '*ready*ready*'
zpty -w -n shell "$2"$'\t\x18'
zpty -r shell out '*<<*>>*'
print -r -- "${${out##*<<}%%>>*}"
EOF
	return $r->{out} =~ s/\s+\z//r;
}

is run('zsh', '-n', "$dir/_sluice")->{err}, '', 'zsh: the syntax is right';
is zsh_makes('kread --fro'), 'kread --from=', 'zsh: a long option';
is zsh_makes('partition -l dat'), 'partition -l date', 'zsh: a value';
is zsh_makes('kread -s key=big'), 'kread -s key=bigint', 'zsh: the value of a name';
is zsh_makes('txgen blackl'), 'txgen blacklist', 'zsh: an operand';

done_testing;
