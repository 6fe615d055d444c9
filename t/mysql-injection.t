# Names and values are bytes, whatever they look like: quotes, backslashes, backticks, NUL, line breaks, Ctrl-Z, comments,
# and characters whose bytes are halves of others in GBK. What comes back is what went in, and no other table is touched;
# also on servers whose defaults are made to confuse.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Sluice::Records;
use MIME::Base64 qw(encode_base64);
use Test::More;

sub utf8 { my ($s) = @_; utf8::encode($s); return $s }
sub characters { my ($s) = @_; utf8::decode($s); return $s }

# In the bytes of UTF-8: A9 before a quote or backslash is one character in GBK and Big5; BF 5C is the classic.
my @PIECES = ("'", '"', '\\', '`', "\0", "\n", "\r", "\x1a", "\t", '%', '_', ';', '--', ' ', "\x7f", 'x', '0', 'Z',
    map { utf8($_) } "\x{e9}", "\x{ff}", "\x{3bf}", "\x{8a9}", "\x{4e2d}", "\x{1f600}");
my @EVIL = ("' OR 1=1 -- ", "'); DROP TABLE victim; -- ", '"; DELETE FROM victim; #', "\\'; DELETE FROM victim; -- ", "/*! DROP TABLE victim */",
    '`; DROP TABLE victim; --', utf8("\x{e9}'; DELETE FROM victim; -- "), utf8("\x{bf}\\'; DELETE FROM victim; -- "), "x' || (SELECT 'y') || '",
    '${jndi}', '%s%n%d', '{db}{table}', "\\N", 'NULL', 'DEFAULT', '', "x\0'", "\x1a'", "'" x 50, '\\' x 51, '@@version', "0x41", "b'1'");
my @VALUES = (@EVIL, @PIECES, map { my $p = $_; map { "$p$_" } @PIECES } @PIECES);
# What a server takes as a name: no NUL, nothing above U+FFFF, no space at the end.
my $NAME = "'\"`\\;-- /*\n\x1a#%{db}" . utf8("\x{e9}'\x{8a9}") . '\\';
my $QUOTED = '`' . ($NAME =~ s/`/``/gr) . '`';

sub hex_of { return unpack 'H*', $_[0] }

sub json_text { return to_json(characters($_[0])) }

# In the text of a statement; the helper's session has no NO_BACKSLASH_ESCAPES.
sub sql_text { return "_utf8mb4 x'" . hex_of($_[0]) . "'" }

sub utf8_record { my ($offset, $key, $payload, %o) = @_; return utf8_line(record($offset, defined $key ? characters($key) : undef, $payload, %o)) }

sub utf8_line { my ($s) = @_; utf8::encode($s); return $s }

sub victim
{
	my ($db) = @_;
	$db->sql("CREATE TABLE victim (id INT PRIMARY KEY, x VARCHAR(20)); INSERT INTO victim VALUES (1, 'a'), (2, 'b')");
}

# Only these tables, and the victim as it was.
sub unharmed
{
	my ($db, $what, @tables) = @_;
	is_deeply [ $db->sql('SELECT * FROM victim ORDER BY id') ], [ [ 1, 'a' ], [ 2, 'b' ] ], "$what: no other table was touched";
	is_deeply [ map { $_->[0] } $db->sql('SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY BINARY table_name') ],
	    [ sort @tables, qw(victim sluice_positions) ], '... none made';
}

my $BIN = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

sub values_of_types
{
	my ($db, @args) = @_;
	victim($db);
	$db->sql("CREATE TABLE t (id INT PRIMARY KEY, vc VARCHAR(300) $BIN, tx TEXT $BIN, vb VARBINARY(400), bl LONGBLOB, "
	    . "js JSON, la VARCHAR(300) CHARACTER SET latin1, gb VARCHAR(300) CHARACTER SET gbk)");
	my $n = 0;
	my $lines = join '', map {
		my ($i, $text) = ($n++, json_text($_));
		# gbk and latin1 have not all characters.
		my ($plain) = /[^\0-\x7f]/ ? 'null' : $text;
		my @members = map { ("\"$_\":" . (/[lg][ab]/ ? $plain : $text)) } qw(vc tx vb bl la gb);
		record($i, "$i", '{' . join(',', @members) . ",\"js\":{\"a\":$text,$text:1}}")
	} @VALUES;
	my $r = run('mysql-upsert', @args, qw(-T t -k id), { stdin => utf8_line($lines) });
	is $r->{exit}, 0, scalar(@VALUES) . ' values in columns of seven types' or diag $r->{err};
	my (%wrong, $seen);
	for ($db->sql('SELECT id, HEX(vc), HEX(tx), HEX(vb), HEX(bl), HEX(la), HEX(gb), JSON_VALID(js), '
	    . "HEX(CONVERT(JSON_UNQUOTE(JSON_EXTRACT(js, '\$.a')) USING utf8mb4)) FROM t")) {
		my ($id, @got) = @$_;
		my $value = $VALUES[$id];
		my $want = uc hex_of($value);
		my $plain = $value =~ /[^\0-\x7f]/ ? undef : $want;
		my @want = ($want, $want, $want, $want, $plain, $plain, 1, $want);
		$seen++;
		for (0 .. $#want) { $wrong{"column $_"} = "$want: " . ($got[$_] // 'NULL') if ($got[$_] // '') ne ($want[$_] // '') }
	}
	is $seen, scalar(@VALUES), '... all are there';
	is_deeply \%wrong, {}, '... with the same bytes';
	unharmed($db, 'values', 't');
}

# Keys of text and of bytes; each tombstone deletes its own row only.
sub keys_of_rows
{
	my ($db, @args) = @_;
	victim($db);
	my %seen;
	my @keys = grep { !$seen{ s/ +\z//r }++ } @VALUES;
	my $half = int @keys / 2;
	$db->sql("CREATE TABLE t (id VARCHAR(300) $BIN PRIMARY KEY, n INT)");
	for my $way ([], ['--no-reduce']) {
		$db->sql('DELETE FROM t; DELETE FROM sluice_positions') if @$way;
		my $r = run('mysql-upsert', @args, @$way, qw(-T t -k id),
		    { stdin => join('', (map { utf8_record($_, $keys[$_], "{\"n\":$_}") } 0 .. $#keys),
			map { utf8_record(@keys + $_, $keys[$_], undef) } 0 .. $half - 1) });
		is $r->{exit}, 0, scalar(@keys) . " keys @$way" or diag $r->{err};
		is_deeply { map { @$_ } $db->sql('SELECT HEX(id), n FROM t') }, { map { uc hex_of($keys[$_]) => $_ } $half .. $#keys },
		    '... are what they were, and each tombstone deletes its own';
	}
	my @bytes = ((map { chr } 0 .. 255), (map { my $c = chr; ("$c'", "$c\\", "$c\\'") } 0x81, 0xa9, 0xbf, 0xe5, 0xfe), "\xff' OR 1=1 -- ", @EVIL);
	$db->sql('CREATE TABLE b (id VARBINARY(300) PRIMARY KEY, n INT)');
	my $line = sub { my ($offset, $key, $payload) = @_; return record($offset, encode_base64($key, ''), $payload, more => '"key_enc":"base64",') };
	my $r = run('mysql-upsert', @args, qw(-T b -k id), { stdin => join('', (map { $line->($_, $bytes[$_], "{\"n\":$_}") } 0 .. $#bytes),
		map { $line->(@bytes + $_, $bytes[$_], undef) } 200 .. $#bytes - 1) });
	is $r->{exit}, 0, scalar(@bytes) . ' keys of any bytes' or diag $r->{err};
	is_deeply { map { @$_ } $db->sql('SELECT HEX(id), n FROM b') }, { map { uc hex_of($bytes[$_]) => $_ } 0 .. 199, $#bytes }, '... too';
	unharmed($db, 'keys', qw(t b));
}

# Each name that there is: database, table, columns, topic, NAME, user; values of ENUM and SET; what a mapping says.
sub names
{
	my ($db, $options, $ascii) = @_;
	my $name = "$NAME-$$-" . $db->flavour;
	$name =~ s/[^\0-\x7f]//g if $ascii;
	(my $quoted = "`$name") =~ s/(?<!^)`/``/g;
	$db->sql("CREATE DATABASE $quoted`; USE $quoted`");
	my @args = ('--defaults-file', $options->(), '-D', $name);
	victim($db);
	my ($key, $column, $table) = map { "`$_" . substr $QUOTED, 1 } qw(key column table);
	my @members = map { "$_$NAME" } qw(key column);
	my @enum = map { s/\0//gr } grep { !/,/ && !/ \z/ && !/[^\0-\x7f]{4}/ } "a'b", 'a"b', 'a\\b', 'a`b',
	    "a\nb", "a\rb", "a\x1ab", "a\tb", '%_', "a\\'b", utf8("\x{e9}'\x{e9}\\"), '', 'x)', "');--";
	my $enum = join ',', map { "'" . s/([\\'])/\\$1/gr . "'" } @enum;
	$db->sql("CREATE TABLE $table ($key VARCHAR(99) $BIN PRIMARY KEY, $column VARCHAR(99) $BIN, e ENUM ($enum) $BIN, s SET ($enum) $BIN)");
	my $topic = characters($NAME) . "\x01'";
	my $n = 0;
	my $lines = join '', (map { mark(start => $topic, $_, 0) } 0, 1),
	    (map { my $e = json_text($_); record($n++, "k$n", '{' . json_text($members[1]) . ":\"v$n\",\"e\":$e,\"s\":$e}", topic => $topic) } @enum),
	    record(0, characters($NAME), '{' . json_text($members[1]) . ':' . json_text($NAME) . '}', topic => $topic, partition => 1),
	    record(1, characters($NAME), undef, topic => $topic, partition => 1),
	    record(2, 'left', '{"e":"x)","other\'":1}', topic => $topic, partition => 1);
	my @how = ('-T', "table$NAME", '-k', $members[0], '-N', $NAME);
	my $dry = run('mysql-upsert', @args, @how, '-n', { stdin => utf8_line($lines) });
	is $dry->{exit}, 0, 'a dry run of odd names' or diag $dry->{err};
	my $r = run('mysql-upsert', @args, @how, '-a', { stdin => utf8_line($lines) });
	is $r->{exit}, 0, 'odd names everywhere' or diag $r->{err};
	is_deeply { map { shift @$_, $_ } $db->sql("SELECT HEX($key), HEX($column), HEX(e), HEX(s) FROM $table") },
	    { (map { my $e = uc hex_of($enum[$_ - 1]); (uc hex_of("k$_"), [ uc hex_of("v$_"), $e, $e ]) } 1 .. @enum),
		uc hex_of('left'), [ undef, uc hex_of('x)'), undef ] },
	    '... rows, also ENUM and SET values';
	my @acked = json_lines($r->{out});
	is $acked[-1]{mark}{topic}, utf8($topic), '... the topic is acknowledged under its name';
	$r = run('mysql-upsert', @args, '-Q', '-N', $NAME);
	is_deeply [ map { [ @{ $_->{mark} }{qw(topic partition offset)} ] } json_lines($r->{out}) ],
	    [ [ utf8($topic), 0, scalar @enum ], [ utf8($topic), 1, 3 ] ],
	    '... the positions too';
	is_deeply [ $db->sql('SELECT HEX(name), HEX(topic) FROM sluice_positions') ], [ map { [ uc hex_of($NAME), uc hex_of(utf8($topic)) ] } 0, 1 ],
	    '... as they are stored';
	like run('mysql-upsert', @args, @how, { stdin => utf8_line($lines) })->{err}, qr/ @{[ @enum + 3 ]} skipped, 0 rejected/,
	    '... a rerun skips all';
	is run('mysql-upsert', @args, '-Q', '-N', "x$NAME")->{out}, '', '... and another name is another';
	$r = run('mysql-upsert', @args, @how, { stdin => utf8_line(record(9, 'bad', '{"e":"zzz"}', topic => $topic, partition => 1)) });
	is $r->{exit}, 65, '... a gap of it is one';
	is scalar($r->{err} =~ tr/\n//), 2, '... told in one line (and the summary)';
	unharmed($db, 'names', "table$NAME");

	# Kept, shown, replayed.
	$r = run('mysql-upsert', @args, @how, '-r',
	    { stdin => utf8_line(record(3, characters($NAME), '{"e":' . json_text($NAME) . '}', topic => $topic, partition => 1)
		. record(4, characters($NAME), '[' . json_text($NAME) . ']', topic => $topic, partition => 1)) });
	is $r->{exit}, 1, 'odd rejects';
	my @rejects = json_lines(run('mysql-upsert', @args, '--rejects', '-N', $NAME)->{out});
	is_deeply [ map { [ @$_{qw(topic key)} ] } @rejects ], [ ([ utf8($topic), $NAME ]) x 2 ], '... are shown as they came';
	$db->sql("ALTER TABLE $table MODIFY e VARCHAR(99) $BIN");
	is run('mysql-upsert', @args, @how, '--replay')->{exit}, 1, '... and replayed';
	is $db->value("SELECT HEX(e) FROM $table WHERE $key = " . sql_text($NAME)), uc hex_of($NAME), '... as they are';
	is run('mysql-upsert', @args, @how, { stdin => utf8_line(record(5, characters($NAME), undef, topic => $topic, partition => 1)) })->{exit}, 0,
	    '... a tombstone';
	is $db->value("SELECT COUNT(*) FROM $table") . ' ' . $db->value('SELECT COUNT(*) FROM sluice_rejects WHERE superseded'), @enum + 1 . ' 1',
	    '... finds its row, and its reject';

	# What the server says of a column, behind a value that looks like one; and a message that is cut within a character.
	my ($long, $short) = map { utf8("\x{4e2d}" x $_) } 60, 40;
	$db->sql("CREATE TABLE `p$short` (`id$long` INT PRIMARY KEY); CREATE TABLE `l$short` (`id$long` INT PRIMARY KEY, "
	    . "`c'\"\xc3\xa9` VARCHAR(200) CHARACTER SET latin1, n VARCHAR(200) CHARACTER SET latin1, "
	    . "CONSTRAINT `fk$long` FOREIGN KEY (`id$long`) REFERENCES `p$short` (`id$long`)); INSERT INTO `p$short` VALUES (1), (2), (3)");
	my $value = characters("column 'n' \xe4\xb8\xad");
	$r = run('mysql-upsert', @args, qw(-r -N long -T), "l$short", '-k', "id$long",
	    { stdin => utf8_line(record(0, '1', "{\"c'\\\"\x{e9}\":" . to_json($value) . '}')
		. record(1, '2', '{"n":' . to_json($value) . '}') . record(2, '3', '{"n":"x"}') . record(3, '4', '{"n":"x"}')) });
	is "$r->{exit} " . $db->value("SELECT COUNT(*) FROM `l$short`"), '1 1', 'what only the server rejects' or diag $r->{err};
	is_deeply [ map { $_->{error}{column} } json_lines(run('mysql-upsert', @args, qw(--rejects -N long))->{out}) ], [ "c'\"\xc3\xa9", 'n', undef ],
	    '... the column is named';

	mapping($db, \@args, $topic);
	$db->sql("DROP DATABASE $quoted`");
}

sub mapping
{
	my ($db, $args, $topic) = @_;
	my ($parent, $child) = map { "`$_" . substr $QUOTED, 1 } qw(parent child);
	my $odd = characters($NAME);
	$db->sql("CREATE TABLE $parent ($QUOTED VARCHAR(99) $BIN PRIMARY KEY, c VARCHAR(99) $BIN, t VARCHAR(99) $BIN, d TEXT $BIN)");
	$db->sql("CREATE TABLE $child ($QUOTED VARCHAR(99) $BIN PRIMARY KEY, j JSON, "
	    . "CONSTRAINT `fk' \"\\` FOREIGN KEY ($QUOTED) REFERENCES $parent ($QUOTED) ON DELETE CASCADE)");
	my $path = '.[' . to_json($odd) . ']';
	my $file = tempdir() . "/map'\"`\\.json";
	my $map = { tables => [
		{ table => "child$odd", topics => [$odd], key => [$odd], columns => { $odd => "\@key.$odd", j => { const => { $odd => $odd } } } },
		{ table => "parent$odd", topics => [$odd], key => [$odd],
		    columns => { $odd => "\@key.$odd", c => { const => "$odd\0" }, t => '@topic', d => "$path$path" } } ] };
	spew($file, utf8(to_json($map)));
	my $key = to_json({ $odd => $odd });
	my $r = run('mysql-upsert', @$args, '-M', $file, { stdin => utf8_line(record(0, $key, to_json({ $odd => { $odd => "$odd\0" } }), topic => $odd)
		. record(1, $key =~ s/$/ /r, '{"x":1}', topic => "x$odd")) });
	is $r->{exit}, 0, 'a mapping of odd names' or diag $r->{err};
	is_deeply [ $db->sql("SELECT HEX($QUOTED), HEX(c), HEX(t), HEX(d) FROM $parent") ], [ [ map { uc hex_of($_) } $NAME, "$NAME\0", $NAME, "$NAME\0" ] ],
	    '... paths, constants, keys and the topic';
	is_deeply json($db->value("SELECT j FROM $child")), { $NAME => $NAME }, '... and a constant of JSON';
	$r = run('mysql-upsert', @$args, '-M', $file, { stdin => utf8_line(record(1, $key, undef, topic => $odd)) });
	is "$r->{exit} " . $db->value("SELECT COUNT(*) FROM $parent") . $db->value("SELECT COUNT(*) FROM $child"), '0 00',
	    '... a tombstone deletes both';
	$map->{tables}[0]{columns}{"no$odd"} = '.x';
	spew($file, utf8(to_json($map)));
	$r = run('mysql-upsert', @$args, '-M', $file, { stdin => '' });
	is $r->{exit}, 78, '... a mistake in it';
	is scalar($r->{err} =~ tr/\n//), 1, '... is one line';
	unlike $r->{err}, qr/[\0-\x09\x0b-\x1f]/, '... without control characters';
}

# Names that sluice's own tables could not tell apart, or hold.
sub topics
{
	my ($db, @args) = @_;
	victim($db);
	$db->sql("CREATE TABLE t (id VARCHAR(20) $BIN PRIMARY KEY, n INT)");
	my @good = ('a', 'A', "a\x01", "a\t", 'a!', "\x{e9}", "e", 'x' x 249, "\x{1f600}" x 249, '%', '_', 'a_', 'aa');
	my $lines = join '', map { my $t = $good[$_]; record(5, "k$_", '{"n":1}', topic => $t),
	    record(6, "k$_", '{"n":2}', topic => $t) } 0 .. $#good;
	for my $n (1, 2) {
		my $r = run('mysql-upsert', @args, qw(-i 0.001 --rows 3 -T t -k id), { stdin => utf8_line($lines) });
		is $r->{exit}, 0, "topics that look alike, run $n" or diag $r->{err};
		like $r->{err}, qr/ 0 skipped/, '... are different' if $n == 1;
		like $r->{err}, qr/ @{[ 2 * @good ]} skipped/, '... and each has its position' if $n == 2;
	}
	is $db->value('SELECT COUNT(*) FROM sluice_positions WHERE next_offset = 7'), scalar @good, '... of its own';
	my $all = join ' ', map { $_->[0] } $db->sql('SELECT HEX(topic) FROM sluice_positions ORDER BY topic');
	is run('mysql-upsert', @args, qw(-r -T t -k id), { stdin => record(0, 'bad', '{"n":1}', topic => "a\0") })->{exit}, 65,
	    'a topic with NUL is bad data';
	for my $bad ('a ', "a\t ", 'x' x 250, "\x{e9}" x 250) {
		for my $line (record(0, 'bad', '{"n":1}', topic => $bad), mark(start => $bad, 0, 0), mark(position => $bad, 0, 7)) {
			my $r = run('mysql-upsert', @args, qw(-r -T t -k id),
			    { stdin => utf8_line(record(7, 'good', '{"n":1}', topic => 'a') . $line) });
			is $r->{exit}, 65, 'a topic that cannot be one is bad data';
			like $r->{err}, qr/^mysql-upsert: stdin:2: the topic's name (?:is longer|ends)/m, '... and says so';
		}
	}
	is $db->value("SELECT COUNT(*) FROM t WHERE id = 'bad'"), 0, '... none of it is applied';
	is join(' ', map { $_->[0] } $db->sql('SELECT HEX(topic) FROM sluice_positions ORDER BY topic')), $all, '... nor in the positions';
	for my $bad (' ', 'a ', '', "\xff", 'x' x 192) {
		my $r = run('mysql-upsert', @args, '-T', 't', '-N', $bad, { stdin => '' });
		is $r->{exit}, length($bad) > 100 ? 78 : 64, 'a NAME that cannot be one';
	}
	is run('mysql-upsert', @args, '-T', 't', '-N', "\xc3\xa9" x 191, { stdin => '' })->{exit}, 0, '... but 191 characters are one';
	# Tables whose names differ in case or accents only.
	$db->sql("CREATE TABLE T (id VARCHAR(20) $BIN PRIMARY KEY, n INT, other INT); "
	    . "CREATE TABLE `\xc3\xa9` (id VARCHAR(20) $BIN PRIMARY KEY, n INT); CREATE TABLE e (no INT)");
	is run('mysql-upsert', @args, '-T', 'T', '-k', 'id', { stdin => record(0, 'x', '{"n":1,"other":2}') })->{exit}, 0,
	    'a table whose name is in capitals';
	is_deeply [ $db->sql('SELECT * FROM T') ], [ [ 'x', 1, 2 ] ], '... is another';
	is run('mysql-upsert', @args, '-T', "\xc3\xa9", '-k', 'id', { stdin => record(0, 'x', '{"n":1}') })->{exit}, 0, 'one that has an accent, too';
	unharmed($db, 'topics', qw(t T e sluice_rejects), "\xc3\xa9");
}

for my $db (Sluice::Db::servers()) {
	my $part = sub { my ($what, $do) = @_; $db->database('inject'); subtest $db->flavour . ": $what" => sub { $do->($db, $db->args) } };
	$part->('values', \&values_of_types);
	$part->('keys', \&keys_of_rows);
	$part->('topics', \&topics);
	subtest $db->flavour . ': names' => sub { names($db, sub { $db->defaults }) };

	# A server whose defaults would break each of these, and a user whom they concern.
	my $own = Sluice::Db->start($db->flavour, args => [ '--character-set-server=gbk', '--skip-character-set-client-handshake',
		"--init-connect=SET NAMES gbk, autocommit = 0, completion_type = 2, sql_select_limit = 1, sql_safe_updates = 1"
		    . ($db->flavour eq 'mariadb' ? ", lc_messages = 'de_DE'" : ''),
		'--sql-mode=ANSI,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,TRADITIONAL,NO_UNSIGNED_SUBTRACTION',
		'--default-time-zone=+05:45', '--transaction-isolation=SERIALIZABLE' ]);
	$own->sql("SET NAMES utf8mb4, sql_mode = ''; CREATE USER 'plain'\@'%' IDENTIFIED BY 'less-secret'; "
	    . "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, REFERENCES ON *.* TO 'plain'\@'%'");
	my $options = sub { return $own->option_file(user => 'plain', password => 'less-secret') };
	is +Sluice::Db::Session->new($options->())->value('SELECT @@character_set_client, @@autocommit'), 'gbk', $db->flavour . ': a server of GBK';
	for (['values', \&values_of_types], ['keys', \&keys_of_rows], ['topics', \&topics]) {
		my ($what, $do) = @$_;
		$own->database('inject');
		subtest $db->flavour . ", all defaults wrong: $what" => sub { $do->($own, '--defaults-file', $options->(), '-D', $own->{database}) };
	}
	# The database's name is said before the session is: that server reads it as GBK.
	subtest $db->flavour . ', all defaults wrong: names' => sub { names($own, $options, 'ascii') };
	$own->kill9;
}

done_testing;
