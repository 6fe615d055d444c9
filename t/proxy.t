# The proxy that cuts connections for the tests of mysql-upsert: it cuts where it says.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Proxy;
use Test::More;
use Time::HiRes qw(time);

sub error_of { my ($try) = @_; return eval { $try->(); 1 } ? '' : $@ }

my $LOST = qr/^20(13|06|26|27) /;

sub through { my ($proxy, $name) = @_; return Sluice::Db::Session->new($proxy->defaults, $name) }

for my $db (Sluice::Db::servers()) {
	subtest $db->flavour => sub {
		my $name = $db->database('dw');
		my $proxy = Sluice::Proxy->start($db);
		my $s = through($proxy, $name);
		$s->sql('CREATE TABLE t (a INT PRIMARY KEY, b MEDIUMBLOB)');
		is $s->value("SELECT 'x'"), 'x', 'passes on what is asked and answered';
		my $long = 'y' x 700_000;
		$s->sql("INSERT INTO t VALUES (0, '$long')");
		is $s->value('SELECT b FROM t'), $long, 'large ones too';
		my $count = $proxy->count;
		is_deeply [ @$count{qw(requests connections)} ], [ 4, 1 ], 'counts requests and connections';
		is $count->{requests_seen}[1], "SELECT 'x'", 'and has seen what they say';
		is run('mariadb', ($proxy->args)[0] . '=' . $proxy->defaults, '-D', $name, '-Nse', 'SELECT COUNT(*) FROM t')->{out}, "1\n",
		    'for the client binary too';

		my %stored = (before => [0], mid => [0], after => [ 0, 1 ], reply => [1], 'mid-reply' => [1]);
		my $key = 0;
		for my $when (sort keys %stored) {
			for my $reset (0, 1) {
				my $what = $when . ($reset ? ' with RST' : '');
				$key++;
				$s = through($proxy, $name);
				$s->sql("BEGIN; INSERT INTO t VALUES ($key, 'x')");
				$proxy->rule($when, qr/^COMMIT/, reset => $reset);
				is $s->value('SELECT 1'), 1, "$what: nothing happens until it matches";
				like error_of(sub { $s->sql('COMMIT') }), $LOST, "$what: the connection is lost";
				# The server notices when it comes to it.
				my $trx = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '$name' AND id <> CONNECTION_ID()";
				wait_until(20, 'the session ends', sub { $db->value($trx) == 0 });
				my $n = $db->value("SELECT COUNT(*) FROM t WHERE a = $key");
				ok scalar(grep { $_ == $n } @{ $stored{$when} }), "$what: the server has it or not, as it must ($n)";
				is error_of(sub { through($proxy, $name)->sql('COMMIT') }), '', "$what: once";
			}
		}
		is_deeply $proxy->count->{cuts}, { map { $_ => 2 } keys %stored }, 'the cuts are counted';
		is $proxy->cuts, 10, 'all of them';

		$s = through($proxy, $name);
		$proxy->rule('before', qr/SELECT/, nth => 3);
		is_deeply [ map { error_of(sub { $s->sql('SELECT 1') }) =~ $LOST ? 'lost' : 'fine' } 1 .. 3 ], [ 'fine', 'fine', 'lost' ],
		    'the third that matches';
		$proxy->rule('before', qr/./);
		$proxy->clear;
		$s = through($proxy, $name);
		is $s->value('SELECT 1'), 1, 'rules can be taken back';

		$proxy->rule('delay', qr/SELECT 2/, seconds => 1);
		my $other = through($proxy, $name);
		my $before = time;
		$s->send('SELECT 2');
		wait_until(20, 'the delay', sub { $proxy->count->{cuts}{delay} });
		is $other->value('SELECT 1'), 1, 'one is delayed, not the other';
		$s->receive;
		cmp_ok time - $before, '>=', 1, 'a delay';

		$proxy->refuse(30);
		is $s->value('SELECT 1'), 1, 'refuses nobody who is there';
		like error_of(sub { through($proxy, $name)->sql('DO 1') }), qr/^200[23] /, 'refuses the others';
		$proxy->clear;
		wait_until(10, 'it listens again', sub { !error_of(sub { through($proxy, $name)->sql('DO 1') }) });

		$proxy->rule('freeze', qr/SELECT 2/);
		$s->send('SELECT 2');
		is $other->value('SELECT 1'), 1, 'one frozen, not the other';
		my $r = '';
		vec($r, fileno $s->{from}, 1) = 1;
		is scalar(select $r, undef, undef, 0.3), 0, 'frozen: no answer and no end';
	};
}

done_testing;
