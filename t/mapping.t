# mysql-upsert -M: which part of a record reaches which column of which table, on both servers; and that each mistake in
# a mapping is found and named before anything is written.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Man;
use Test::More;

my $SCHEMA = <<'END';
CREATE TABLE dim_users (user_id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, city VARCHAR(10), country CHAR(2),
	source VARCHAR(10) NOT NULL DEFAULT 'none', seen_at DATETIME(3), added_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE fact_tx (tx VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, user_id VARCHAR(20) COLLATE utf8mb4_bin NOT NULL,
	amount DECIMAL(14,2) NOT NULL, note TEXT, twice DECIMAL(15,2) AS (amount * 2) STORED,
	FOREIGN KEY (user_id) REFERENCES dim_users (user_id));
CREATE TABLE windows (type VARCHAR(20) COLLATE utf8mb4_bin, window_start DATETIME(3), total DECIMAL(14,2),
	PRIMARY KEY (type, window_start));
CREATE TABLE keyless (a INT);
END

# What is good, but for its mistakes to come.
my $GOOD = {
	tables => [
		{ table => 'fact_tx', topics => [ 'TX', 'TX2' ], columns => { tx => '.tx', user_id => '.user.id', note => undef } },
		{ table => 'dim_users', key => ['user_id'],
			columns => { user_id => '@key.id', CITY => '.user["the city"]', source => { const => 'kafka' }, seen_at => '@ts' } },
		{ table => 'windows', key => ['type'], columns => { window_start => '@window.start' } },
	],
};

my $dir = tempdir();
my $file = "$dir/mapping.json";
my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;

sub upsert
{
	my ($db, $mapping, $stdin, @args) = @_;
	spew($file, ref $mapping ? $JSON->encode($mapping) : $mapping);
	return run('mysql-upsert', '-q', $db->args, '-M', $file, @args, { stdin => $stdin, timeout => 60 });
}

my $offset = 0;

sub record
{
	my ($topic, $key, $payload, %more) = @_;
	return $JSON->encode({ topic => $topic, partition => 0, offset => $offset++, key => $key, payload => $payload,
		defined $payload ? () : (payload_enc => 'none'), %more }) . "\n";
}

sub rows { my ($db, $sql) = @_; return join "\n", map { join '|', map { $_ // 'NULL' } @$_ } $db->sql($sql) }

# ---- mistakes ----

# The good mapping with another value at a place, which is a list of names and indexes.
sub with_value
{
	my ($new, @path) = @_;
	my $copy = $JSON->decode($JSON->encode($GOOD));
	my $at = \$copy;
	$at = ref $$at eq 'HASH' ? \$$at->{$_} : \$$at->[$_] for @path;
	$$at = $new;
	return $copy;
}

sub place { return join('', map { /^\d+$/ ? "[$_]" : ".$_" } @_) =~ s/^\.//r }

# The mistakes that can be made at a place and below it: [what, the mapping, the place that must be named].
sub mutations
{
	my ($value, @path) = @_;
	my $place = place(@path);
	my @made;
	for my $wrong (12, JSON::PP::true, [], {}, '', '@nope', "a\0b") {
		# These would be none.
		next if $place =~ /\.const$/ || $place =~ /topics\[/ && $wrong eq '@nope' || $place =~ /columns$/ && ref $wrong eq 'HASH';
		push @made, [ "$place: " . $JSON->encode($wrong), with_value($wrong, @path), $place ];
	}
	if (ref $value eq 'HASH') {
		push @made, [ "$place: a member more", with_value({ %$value, 'a b' => 1 }, @path), "${place}[\"a b\"]" ];
		for my $name (sort keys %$value) {
			my %renamed = %$value;
			$renamed{"${name}_x"} = delete $renamed{$name};
			push @made, [ "$place: $name renamed", with_value(\%renamed, @path), place(@path, "${name}_x") ],
			    mutations($value->{$name}, @path, $name);
		}
	} elsif (ref $value eq 'ARRAY') {
		for my $i (0 .. $#$value) {
			push @made, [ "$place: element $i twice", with_value([ @$value, $value->[$i] ], @path), place(@path, scalar @$value) ],
			    mutations($value->[$i], @path, $i);
		}
	}
	return @made;
}

# Mistakes that JSON::PP would not write, and some that only these tables make.
my @others = (
	[ 'nothing', '', ':1:1' ],
	[ 'no end', '{"tables": [', ':1:13' ],
	[ 'a comma too many', qq({"tables": [\n  {"table": "windows"},\n]}), ':3:1' ],
	[ 'more behind the end', '{"tables": [{"table": "windows"}]} {}', ':1:36' ],
	[ 'a comment', "# tables\n{}", ':1:1' ],
	[ 'no UTF-8', qq({"tables": [{"table": "\xff"}]}), ':1:24' ],
	[ 'a byte order mark', qq(\xef\xbb\xbf{"tables": [{"table": "windows"}]}), ': begins with a byte order mark' ],
	[ 'a NUL', qq({"tables":\0 [{"table": "windows"}]}), ':1:11' ],
	[ 'a member twice', '{"tables": [{"table": "windows", "table": "windows"}]}', ': tables[0].table: is there twice' ],
	[ 'a column twice', '{"tables": [{"table": "windows", "columns": {"total": ".a", "TOTAL": ".b"}}]}',
		': tables[0].columns.TOTAL: column total is there twice' ],
	[ 'a table without primary key', '{"tables": [{"table": "keyless"}]}', ': tables[0].table: table keyless has no primary key' ],
	[ 'another database', '{"tables": [{"table": "mysql.user"}]}', ': tables[0].table: no table' ],
	[ 'a generated column', '{"tables": [{"table": "fact_tx", "columns": {"twice": ".twice"}}]}',
		': tables[0].columns.twice: is a generated column' ],
	[ 'a generated key', '{"tables": [{"table": "fact_tx", "key": ["twice"]}]}', ': tables[0].key[0]: column twice is generated' ],
	[ 'a long constant', '{"tables": [{"table": "dim_users", "columns": {"source": {"const": "0123456789a"}}}]}',
		': tables[0].columns.source.const: is longer than 10 characters' ],
	[ 'a constant that is no number', '{"tables": [{"table": "windows", "columns": {"total": {"const": "much"}}}]}',
		': tables[0].columns.total.const: is no number' ],
	[ 'a constant null', '{"tables": [{"table": "windows", "columns": {"total": {"const": null}}}]}', ': tables[0].columns.total.const: null' ],
	[ 'nothing for a NOT NULL column', '{"tables": [{"table": "fact_tx", "columns": {"amount": null}}]}',
		': tables[0].columns.amount: is NOT NULL without a default' ],
	[ 'a key column from the payload', '{"tables": [{"table": "windows", "key": ["type"], "columns": {"type": ".t"}}]}',
		': tables[0].key[0]: column type is filled by the key' ],
);

my @mutations = mutations($GOOD);
cmp_ok scalar(@mutations), '>=', 200, scalar(@mutations) . ' mistakes by mutation';

# The servers share them, so that each has a hundred; with LONG=1 each has all.
my ($servers, $turn) = (scalar(my @servers = Sluice::Db::servers()), 0);

for my $db (@servers) {
	$turn++;
	subtest $db->flavour => sub {
		my $database = $db->database('mapping');
		$db->sql($_) for grep { /\S/ } split /;\n/, $SCHEMA;

		subtest 'each mistake is named with file and place before anything is written' => sub {
			my $good = record('TX', '{"id":"U1"}', { tx => 'T1', amount => 1, type => 'x', total => 1, user => { id => 'U1', 'the city' => 'Lyon' } },
				window => { start => 0, end => 1 });
			my @wrong;
			my $n = 0;
			for ($ENV{SLUICE_LONG} ? @mutations : grep { $n++ % $servers == $turn % $servers } @mutations) {
				my ($what, $mapping, $place) = @$_;
				my $r = upsert($db, $JSON->encode($mapping), $good);
				push @wrong, "$what: exit $r->{exit}\n$r->{err}\n"
				    if $r->{exit} != 78 || index($r->{err}, "mysql-upsert: $file: $place") < 0;
			}
			is "@wrong[0 .. ($#wrong < 2 ? $#wrong : 2)]", '', 'by mutation';
			for (@others) {
				my ($what, $text, $place) = @$_;
				my $r = upsert($db, $text, $good);
				is $r->{exit}, 78, $what;
				like $r->{err}, qr/^mysql-upsert: \Q$file$place\E/, '... is named';
			}
			is rows($db, "SELECT table_name FROM information_schema.tables WHERE table_schema = '$database' ORDER BY 1"),
			    "dim_users\nfact_tx\nkeyless\nwindows", 'no table was made';
			is rows($db, "SELECT COUNT(*) FROM $_"), 0, "$_ is empty" for qw(dim_users fact_tx windows);
			is upsert($db, $GOOD, $good)->{exit}, 0, 'without a mistake it is written';
			is rows($db, 'SELECT tx, user_id, amount FROM fact_tx'), 'T1|U1|1.00';
			$db->sql("DELETE FROM $_") for qw(fact_tx dim_users windows);
		};

		subtest 'all mistakes of a file are said in one run' => sub {
			my $r = upsert($db, '{"tables": [{"table": "nope"}, {"table": "windows", "topics": [], "columns": {"x": ".x"}}]}', '');
			is $r->{exit}, 78;
			is scalar(() = $r->{err} =~ /^mysql-upsert: \Q$file\E: tables\[\d\]\.\w+/mg), 3 or diag $r->{err};
		};

		subtest 'a file that is none' => sub {
			for (['/nonexistent.json', 'No such file'], [$dir, 'is not a file'], ['/dev/zero', 'is not a file']) {
				my $r = run('mysql-upsert', '-q', $db->args, '-M', $_->[0], { stdin => '' });
				is $r->{exit}, 78, $_->[0];
				like $r->{err}, qr/^mysql-upsert: \Q$_->[0]: $_->[1]\E/;
			}
		};

		subtest 'one stream into parent and child, whatever their order in the file' => sub {
			my $mapping = { tables => [
				{ table => 'fact_tx', key => ['tx'], topics => ['PAY'], columns => { user_id => '.user.id' } },
				{ table => 'dim_users', columns => { user_id => '.user.id', city => '.user.city', country => undef, seen_at => '@ts' } },
			] };
			my @stream = map { record('PAY', "T$_", { amount => $_, user => { id => 'U' . $_ % 7, city => "C$_" } }, ts => 1763697600000 + $_) } 1 .. 100;
			my $r = upsert($db, $mapping, join('', @stream));
			is $r->{exit}, 0 or diag $r->{err};
			is rows($db, 'SELECT COUNT(*), COUNT(DISTINCT user_id), SUM(amount) FROM fact_tx'), '100|7|5050.00';
			is rows($db, 'SELECT user_id, city, country, source, seen_at FROM dim_users WHERE user_id = "U2"'),
			    'U2|C100|NULL|none|2025-11-21 04:00:00.100';
			is rows($db, 'SELECT name FROM sluice_positions WHERE topic = "PAY"'), 'dim_users,fact_tx', 'the positions have the name of the tables';
			# A tombstone deletes the child, which has the key, and leaves the parent alone.
			$r = upsert($db, $mapping, record('PAY', 'T100', undef) . record('PAY', 'T101', { amount => 5, user => { id => 'U9', city => 'x' } }));
			is $r->{exit}, 0 or diag $r->{err};
			is rows($db, 'SELECT COUNT(*) FROM fact_tx WHERE tx = "T100"'), 0;
			is rows($db, 'SELECT COUNT(*) FROM dim_users'), 8;
		};

		subtest 'what one table rejects reaches none' => sub {
			my $r = upsert($db, { tables => [ { table => 'fact_tx', columns => { user_id => '.user.id' } },
				{ table => 'dim_users', columns => { user_id => '.user.id', city => '.user.city' } } ] },
			    record('R', 'x', { tx => 'R1', amount => 1, user => { id => 'R1', city => 'a name that is too long' } }), '-N', 'rejects');
			is $r->{exit}, 65;
			like $r->{err}, qr/city: is longer than 10 characters/;
			is rows($db, 'SELECT COUNT(*) FROM fact_tx WHERE tx = "R1"'), 0;
		};

		subtest 'tombstones delete children before parents' => sub {
			my $mapping = { tables => [ map { { table => $_, key => ['user_id'], columns => {} } } qw(dim_users) ] };
			$mapping->{tables}[1] = { table => 'fact_tx', key => ['tx'], topics => ['BOTH'], columns => { user_id => '@key' } };
			my $r = upsert($db, $mapping, record('BOTH', 'B1', { amount => 1, city => 'x' }));
			is $r->{exit}, 0 or diag $r->{err};
			is rows($db, 'SELECT tx, user_id FROM fact_tx WHERE tx = "B1"'), 'B1|B1';
			$r = upsert($db, $mapping, record('BOTH', 'B1', undef));
			is $r->{exit}, 0 or diag $r->{err};
			is rows($db, "SELECT COUNT(*) FROM $_ WHERE user_id = 'B1'"), 0, $_ for qw(fact_tx dim_users);
		};

		subtest 'with -T only that table of the mapping' => sub {
			my $mapping = { tables => [ { table => 'not_here' }, { table => 'windows', columns => { type => '@topic', window_start => { const => '2026-11-21' }, total => '@offset' } } ] };
			is upsert($db, $mapping, record('ONE', 'k', { x => 1 }))->{exit}, 78;
			my $r = upsert($db, $mapping, record('ONE', 'k', { x => 1 }), '-T', 'windows');
			is $r->{exit}, 0 or diag $r->{err};
			like rows($db, 'SELECT * FROM windows WHERE type = "ONE"'), qr/^ONE\|2026-11-21 00:00:00.000\|\d+\.00$/;
		};

		subtest 'names are names, whatever is in them' => sub {
			my $table = q{o`dd "t' \\x};
			my @columns = ('a`b', q{c"d'}, 'e\\f', "h\ni", 'j.k', '@key', "\x{e9}", '-- ;');
			my $bytes = sub { utf8::encode(my $copy = $_[0]); return $copy };
			my $quote = sub { '`' . $bytes->($_[0]) =~ s/`/``/gr . '`' };
			$db->sql('CREATE TABLE ' . $quote->($table) . '(' . join(',', map { $quote->($_) . ' VARCHAR(20)' } @columns)
			    . ', PRIMARY KEY (`a``b`))');
			my %from = map { $_ => '.[' . JSON::PP->new->allow_nonref->encode("$_!") . ']' } @columns[2 .. 7];
			my $mapping = { tables => [ { table => $table, key => ['a`b'], columns => { %from, q{c"d'} => { const => q{'"`\\} } } } ] };
			my $r = upsert($db, $mapping, record(q{t'op"ic`\\}, q{k'ey"`\\}, { map { ("$_!" => "<$_>") } @columns }));
			is $r->{exit}, 0 or diag $r->{err};
			is_deeply [ $db->sql('SELECT * FROM ' . $quote->($table)) ],
			    [ [ q{k'ey"`\\}, q{'"`\\}, map { $bytes->("<$_>") } @columns[2 .. 7] ] ];
			is rows($db, 'SELECT topic FROM sluice_positions WHERE name LIKE "o`dd%"'), q{t'op"ic`\\};
		};

		subtest 'members without a column are named once and counted' => sub {
			spew($file, '{"tables": [{"table": "windows", "columns": {"window_start": "@ts"}}]}');
			my $r = run('mysql-upsert', $db->args, '-M', $file, { stdin => join '', map { record('M', 'k', { type => "m$_", odd => 1, total => 1 }, ts => 1) } 1 .. 3 });
			is $r->{exit}, 0 or diag $r->{err};
			is scalar(() = $r->{err} =~ /^mysql-upsert: member odd of topic M has no column/mg), 1 or diag $r->{err};
			like $r->{err}, qr/^mysql-upsert: 3 members without a column, not stored$/m;
		};

		subtest 'the examples of the manual run' => sub {
			$database = $db->database('examples');
			mkdir "$dir/" . $db->flavour;
			my $home = "$dir/home-" . $db->flavour;
			mkdir $home;
			symlink $db->defaults, "$home/.my.cnf";
			my @out = map {
				my $script = s/-D dw\b/-D $database/gr =~ s/\bmysql -D/mysql --defaults-file=~\/.my.cnf -D/gr;
				my $r = run('bash', '-e', '-o', 'pipefail', '-c', $script, { cwd => "$dir/" . $db->flavour, env => { HOME => $home } });
				is $r->{exit}, 0, (split /\n/)[0] or diag $r->{err};
				$r->{out};
			} examples('sluice-mapping.5');
			like $out[1], qr/^payments: source <- const "txgen"$/m;
			is rows($db, 'SELECT COUNT(*), SUM(source = "txgen") FROM payments'), '1000|1000';
			like $out[2], qr/^FR\t\d+\t[\d.]+$/m;
			is $out[3], "type\tsince\ttotal_amount\ncash\t2025-11-21 04:00:00\t12.50\n";
		};
	};
}

done_testing();
