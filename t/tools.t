# What every tool has in common, checked for every tool there is: --help, --version, bad options, a stdout
# that takes nothing, and a man page that names the same options.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Help;
use Test::More;

my @tools = map { s{.*/|\.c$}{}gr } glob "$SRC/tools/*.c";
ok @tools >= 2, 'there are tools: ' . join ' ', @tools;

# A page as plain text.
sub page_text
{
	my ($page) = @_;
	my $r = run('mandoc', '-T', 'ascii', '-O', 'width=1000', $page);
	is $r->{exit}, 0, "mandoc shows $page" or diag $r->{err};
	return $r->{out} =~ s/.\x08//gr;
}

sub unique { my %seen; return grep { !$seen{$_}++ } sort @_ }

# Pages also speak of other tools' options.
my %everywhere = map { $_->{long} // '' => 1 } map { help_options(run($_, '--help')->{out}) } @tools;

for my $tool (@tools) {
	subtest $tool => sub {
		my $help = run($tool, '--help');
		is $help->{exit}, 0, '--help is no error';
		is $help->{err}, '', '--help says nothing on stderr';
		like $help->{out}, qr/\Ausage: \Q$tool\E\b/, '--help begins with the usage';
		unlike $help->{out}, qr/^.{101}/m, '--help fits in 100 columns';

		my @options = help_options($help->{out});
		my @long = map { $_->{long} // () } @options;
		is scalar(unique(@long)), scalar(@long), 'no long option twice';
		my ($help_letter) = map { $_->{letter} } grep { ($_->{long} // '') eq 'help' } @options;
		is_deeply [ unique(grep { /^(?:help|quiet|verbose|version)$/ } @long) ],
		    [qw(help quiet verbose version)], 'the options that every tool has';
		is run($tool, "-$help_letter")->{out}, $help->{out}, "-$help_letter is --help";

		my %known = map { $_ => 1 } map { ($_->{letter} // (), $_->{long} // ()) } @options;
		my @unknown = grep { !$known{$_} } help_usage($help->{out});
		is "@unknown", '', 'the usage shows only options that are there';

		for my $option ('-V', '--version') {
			my $r = run($tool, $option);
			is $r->{exit}, 0, "$option is no error";
			like $r->{out}, qr/\A\Q$tool\E \(sluice\) \d+\.\d+\.\d+\n\z/, "$option names tool and version";
		}

		for my $bad (['--no-such-option'], ['-%'], ['--help=x']) {
			my $r = run($tool, @$bad);
			is $r->{exit}, 64, "@$bad is a usage error";
			like $r->{err}, qr/\A\Q$tool\E: [^\n]+\n\z/, "@$bad: one line on stderr";
			is $r->{out}, '', "@$bad: nothing on stdout";
		}
		for my $option (grep { defined $_->{long} && defined $_->{arg} && !$_->{optional} } @options) {
			my $r = run($tool, "--$option->{long}");
			is $r->{exit}, 64, "--$option->{long} without its value is a usage error";
			like $r->{err}, qr/\A\Q$tool\E: [^\n]*--\Q$option->{long}\E[^\n]*\n\z/, '... and named';
		}

		for my $option ('--help', '--version') {
			my $r = run($tool, $option, { out => '/dev/full' });
			is $r->{exit}, 74, "$option to a full disk is an I/O error";
			like $r->{err}, qr/\A\Q$tool\E: [^\n]+\n\z/, '... and said so';
		}

		is pipeline("$tool --version >&-")->{exit}, 74, 'a closed stdout is an I/O error';

		my $page = "$SRC/man/$tool.1";
		ok -e $page, 'there is a man page' or return;
		my $text = page_text($page);
		my @documented = unique($text =~ /(?<![\w-])--([a-z][a-z-]*)/g);
		my %documented = map { $_ => 1 } @documented;
		is join(' ', grep { !$documented{$_} } @long), '', 'the page names every long option';
		is join(' ', grep { !$everywhere{$_} } @documented), '', 'the page names no option that is nowhere';
		for my $letter (map { $_->{letter} // () } @options) {
			like $text, qr/(?<![\w-])-[A-Za-z]*\Q$letter\E/, "the page names -$letter";
		}
		like $text, qr/^EXIT STATUS$/m, 'the page tells the exit status';
		is run('mandoc', '-T', 'lint', '-W', 'warning', $page)->{out}, '', 'the page is clean mdoc';
	};
}

# An option that would do nothing is a mistake somewhere: better told than ignored.
subtest 'options that do not go together' => sub {
	my $dir = tempdir();
	spew("$dir/marks", '');
	my @refused = (
		[ '-N names .* needs --from', qw(kread -t T -N n) ],
		[ '-N names .* needs --from', qw(kread -t T -N n --from -) ],
		[ '-N names .* needs --from', qw(kread -t T -N n --from), "$dir/marks" ],
		[ '--skip-lost needs --from', qw(kread -t T --skip-lost) ],
		[ '-o and --from', qw(kread -t T -o end --from), $dir ],
		[ '--trust-eof needs -m overwrite or -m ignore', 'jsonl-sink', '--trust-eof', $dir ],
		[ '--root needs -m overwrite or -m ignore', 'jsonl-sink', '--root', 'x', $dir ],
		[ '--interval needs -m append', 'jsonl-sink', '-m', 'overwrite', '-i', 5, $dir ],
		[ '--size needs -m append', 'jsonl-sink', '-m', 'ignore', '--size', 5, $dir ],
		[ '--threads .* needs -z', 'jsonl-sink', '-j', 2, $dir ],
		[ '--mode does not go with -N', 'jsonl-sink', '-Q', '-m', 'append', '-N', 'x', $dir ],
		[ '--ack does not go with -Q', 'jsonl-sink', '-Q', '-a', $dir ],
		[ '--timeout does not go with --check', 'jsonl-sink', '--check', '--timeout', 1, $dir ],
		[ '--positions does not go with --check', 'jsonl-sink', '--check', '-Q', $dir ],
		[ '--name does not go with --repair', 'jsonl-sink', '--repair', '-N', 'x', $dir ],
		[ '-f says .* -t', qw(partition -f %d) ],
		[ '--time says .* layout has none', qw(partition -l table -t .a) ],
		[ '--zone says .* layout has none', qw(partition -l table -Z Europe/Paris) ],
		[ '--topic needs -R', qw(txgen -t T sales) ],
		[ '--partitions needs -R', qw(txgen -p 3 sales) ],
		[ '--tombstones needs a changelog', qw(txgen --tombstones 3 sales) ],
		[ '--partitions needs -t', qw(kmock -p 3 -x true) ],
	);
	for (@refused) {
		my ($why, @command) = @$_;
		my $r = run(@command);
		is $r->{exit}, 64, "@command";
		like $r->{err}, qr/\A$command[0]: .*$why.*\n\z/, '... and one line that says why';
	}
	ok !-e "$dir/.sluice", 'no lake was made';
};

# A descriptor that is closed at the start is not taken by a file of ours.
subtest 'closed descriptors' => sub {
	my $dir = tempdir();
	spew("$dir/in", qq({"path":"a","topic":"T","partition":0,"offset":0,"ts":1,"payload":{}}\n));
	for my $command ('partition <&-', 'kmock -q -t T -x "kwrite -t T <&-"', "jsonl-sink $dir/new <&-") {
		my $r = pipeline($command, timeout => 10);
		is $r->{exit}, 74, "$command: an I/O error";
		like $r->{err}, qr/\A[a-z-]+: stdin: Bad file descriptor\n/, '... and said so';
	}
	for my $closed ('>&-', '2>&-', '>&- 2>&-') {
		my $lake = tempdir();
		my $r = pipeline("jsonl-sink -a -v $lake $closed <$dir/in");
		is $r->{exit}, $closed =~ /^>/ ? 74 : 0, "jsonl-sink -a $closed";
		is run('jsonl-sink', '-q', '--check', $lake)->{exit}, 0, '... leaves a lake that is sound';
		is slurp("$lake/.sluice/journal") =~ tr/\n//, 1, '... and no message in its journal';
	}
	is pipeline("partition <$dir/in >&-")->{err} =~ s/\n.*//sr, 'partition: stdout: Bad file descriptor', 'no stdout';
};

subtest 'pages without a tool' => sub {
	for my $page (glob "$SRC/man/*.[57]") {
		is run('mandoc', '-T', 'lint', '-W', 'warning', $page)->{out}, '', "$page is clean mdoc";
	}
	ok -e "$SRC/man/$_", "there is $_" for qw(sluice.7 sluice-stream.5 sluice-lake.5);
};

done_testing;
