# mysql-upsert: what each type makes of a JSON value, and why not, the same on MariaDB and MySQL. The tables below read
# as the manual's section VALUES does: JSON => what SELECT shows afterwards, or [the reason of the reject].

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sluice;
use Sluice::Db;
use Math::BigFloat;
use Test::More;

my $EMOJI = "\xf0\x9f\x98\x80";
my $NINES = '9' x 65;
my $INTEGER = ['is no integer'];
my $NUMBER = ['is no number'];
my $DATE = ['is no date'];
my $DATETIME = ['is no date and time'];
my $OF_DAY = ['has a time of day (in UTC), for which a DATE has no place'];
my $TIMESTAMP = ['is out of range: a TIMESTAMP is 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC'];
my $TIME = ['is no time: hh:mm:ss'];
my $LONG = ['is out of range: a TIME is -838:59:59 to 838:59:59'];
my $YEAR = ['is out of range: a YEAR is 1901 to 2155'];
my $ENUM = ['is no value of the ENUM'];
my $SET = ['has what is no value of the SET'];
my $NEGATIVE = ['is negative, the column is UNSIGNED'];

sub range { return ["is out of range: $_[0] to $_[1]"] }
sub rounded { return \$_[0] } # and it is counted
sub digits { return ["is out of range: a DECIMAL($_[0],$_[1]) has " . ($_[0] - $_[1]) . ' digits before the point'] }
sub longer { return ["is longer than $_[0]"] }

my @TYPES = (
	'TINYINT' => [ -128 => -128, 127 => 127, 128 => range(-128, 127), -129 => range(-128, 127), '-0' => 0 ],
	'TINYINT UNSIGNED' => [ 0 => 0, 255 => 255, 256 => range(0, 255), -1 => range(0, 255), '-0' => 0 ],
	'SMALLINT' => [ -32768 => -32768, 32767 => 32767, 32768 => range(-32768, 32767) ],
	'SMALLINT UNSIGNED' => [ 65535 => 65535, 65536 => range(0, 65535) ],
	'MEDIUMINT' => [ -8388608 => -8388608, 8388607 => 8388607, -8388609 => range(-8388608, 8388607) ],
	'MEDIUMINT UNSIGNED' => [ 16777215 => 16777215, 16777216 => range(0, 16777215) ],
	'INT' => [
		-2147483648 => -2147483648, 2147483647 => 2147483647, 2147483648 => range(-2147483648, 2147483647),
		'17.0' => 17, '1e3' => 1000, '1500E-2' => 15, '-0.0' => 0, 'true' => 1, 'false' => 0, '"17"' => 17,
		'1.5' => $INTEGER, '1e-1' => $INTEGER, '"1.5"' => $INTEGER,
		'""' => $NUMBER, '" 17"' => $NUMBER, '"017"' => $NUMBER, '"+17"' => $NUMBER, '"0x11"' => $NUMBER,
		'"17\u0000"' => $NUMBER, '"NaN"' => $NUMBER, '"true"' => $NUMBER, '{}' => $NUMBER, '[17]' => $NUMBER,
	],
	'INT UNSIGNED' => [ 4294967295 => 4294967295, 4294967296 => range(0, 4294967295) ],
	'INT(5) ZEROFILL' => [ 17 => '00017', -1 => range(0, 4294967295) ],
	'BIGINT' => [
		'9007199254740993' => '9007199254740993', '-9223372036854775808' => '-9223372036854775808',
		'9223372036854775807' => '9223372036854775807', '9.223372036854775807e18' => '9223372036854775807',
		map { $_ => range('-9223372036854775808', '9223372036854775807') }
		    qw(9223372036854775808 -9223372036854775809 1e400 1e99999999999999999999),
	],
	'BIGINT UNSIGNED' => [
		'18446744073709551615' => '18446744073709551615',
		'18446744073709551616' => range(0, '18446744073709551615'),
	],
	'BOOLEAN' => [ 'true' => 1, 'false' => 0, 2 => 2, '"true"' => $NUMBER ],
	'BIT(1)' => [ 0 => 0, 1 => 1, 'true' => 1, 2 => range(0, 1), -1 => range(0, 1), '0.5' => $INTEGER ],
	'BIT(64)' => [
		'18446744073709551615' => '18446744073709551615',
		'18446744073709551616' => range(0, '18446744073709551615'),
	],
	'DECIMAL(10,2)' => [
		'12.50' => '12.50', 12 => '12.00', '-12.5' => '-12.50', '"12.50"' => '12.50', '1.25e1' => '12.50',
		'1e3' => '1000.00',
		'-0' => '0.00', '-0.00' => '0.00', 'true' => '1.00', '99999999.99' => '99999999.99',
		'1.005' => rounded('1.01'), '-1.005' => rounded('-1.01'), '1.0049999999' => rounded('1.00'),
		'-0.004' => rounded('0.00'), '1e-400' => rounded('0.00'), '1.5000' => '1.50',
		'100000000' => digits(10, 2), '99999999.995' => digits(10, 2), '-1e8' => digits(10, 2),
		'1e400' => digits(10, 2),
		'""' => $NUMBER, '"12,50"' => $NUMBER, '"1.5 "' => $NUMBER, '{}' => $NUMBER,
	],
	'DECIMAL(10,2) UNSIGNED' => [ '12.50' => '12.50', '-0' => '0.00', '-0.01' => $NEGATIVE ],
	'DECIMAL(38,0)' => [
		'9' x 38 => '9' x 38, '-' . '9' x 38 => '-' . '9' x 38, 9 x 39 => digits(38, 0),
		'1e38' => digits(38, 0),
		'1e37' => '1' . '0' x 37,
		'12345678901234567890123456789012345678.4' => rounded('12345678901234567890123456789012345678'),
	],
	'DECIMAL(65,0)' => [
		$NINES => $NINES, "-$NINES" => "-$NINES", "${NINES}0" => digits(65, 0),
		"$NINES.5" => digits(65, 0),
	],
	'DECIMAL(65,30)' => [
		'9' x 35 . '.' . '9' x 30 => '9' x 35 . '.' . '9' x 30, '1e-30' => '0.' . '0' x 29 . '1',
		'1e35' => digits(65, 30),
	],
	'FLOAT' => [
		'12.50' => '12.5', '1e3' => 1000, '-0' => 0, '3.4028234e38' => '3.40282e38', '1e-50' => 0,
		'-1e-50' => 0, 'true' => 1,
		'3.4028236e38' => ['is out of range: too large for a FLOAT'],
		'-1e39' => ['is out of range: too large for a FLOAT'],
		'"Infinity"' => $NUMBER,
	],
	'DOUBLE' => [
		'12.50' => '12.5', '0.1' => '0.1', '9007199254740993' => '9.007199254740992e15', '-0' => 0,
		'1e400' => ['is out of range: too large for a DOUBLE'],
		'1.7976931348623157e308' => '1.7976931348623157e308',
		'-1.7976931348623157E+308' => '-1.7976931348623157e308',
		'1.7976931348623159e308' => ['is out of range: too large for a DOUBLE'], '5e-324' => '5e-324',
		'-1e-400' => 0,
		'0.' . '0' x 50 . '12345678901234567' => '1.2345678901234567e-51', '9' x 100 => '1e100',
		'"12.50"' => '12.5', '""' => $NUMBER,
	],
	'FLOAT UNSIGNED' => [ '-0' => 0, '1.5' => '1.5', '-1.5' => $NEGATIVE ],
	'FLOAT(7,2)' => [ '12.25' => '12.25', '99999.75' => '99999.75', 100000 => [qr/Out of range/] ],

	'CHAR(3)' => [
		'"abc"' => 'abc', '""' => '', "\"$EMOJI$EMOJI$EMOJI\"" => $EMOJI x 3,
		"\"$EMOJI$EMOJI$EMOJI!\"" => longer('3 characters'),
		'"a  "' => 'a', '"a   "' => longer('3 characters'), '"a\u0000"' => "a\0", 17 => 17,
		'1e3' => '1e3', '{}' => '{}',
	],
	'VARCHAR(5)' => [
		'"abcde"' => 'abcde', '"abcdef"' => longer('5 characters'), '"äöüßé"' => 'äöüßé',
		'"äöüßé!"' => longer('5 characters'),
		'"a    "' => 'a    ', '"abcde "' => longer('5 characters'), '"a\u0000b"' => "a\0b",
		'"\ud83d\ude00"' => $EMOJI,
		"\"$EMOJI$EMOJI$EMOJI$EMOJI$EMOJI\"" => $EMOJI x 5, '"it\'s"' => "it's", '"\\\\"' => '\\',
		'"\\""' => '"', '"\r\n\t"' => "\r\n\t",
		'"\u001a\u0008"' => "\x1a\x08", '"%_`"' => '%_`', 'true' => 'true', 12.50 => '12.5',
		'12.50' => '12.50', '-0' => '-0',
		'[1,2]' => '[1,2]', '[1, 2]' => longer('5 characters'), '"null"' => 'null',
	],
	'VARCHAR(40)' => [
		'{"b":1,"a": "it\'s \n"}' => '{"b":1,"a": "it\'s \n"}',
		'12345678901234567890.50' => '12345678901234567890.50',
	],
	'VARCHAR(3) CHARACTER SET latin1' => [
		'"äöü"' => 'äöü', '"äöüß"' => longer('3 characters'),
		"\"$EMOJI\"" => [qr/Incorrect string value/], '"\u20ac"' => "\xe2\x82\xac",
	],
	'VARCHAR(3) CHARACTER SET utf8mb3' => [ '"äöü"' => 'äöü', "\"$EMOJI\"" => [qr/Incorrect string value/] ],
	'VARCHAR(3) CHARACTER SET gbk' => [
		'"\u7e17\\\\\'"' => "\xe7\xb8\x97\\'", "\"$EMOJI\"" => [qr/Incorrect string value/],
	],
	'TINYTEXT' => [
		'"' . 'x' x 255 . '"' => 'x' x 255, '"' . 'x' x 256 . '"' => longer('255 bytes'),
		"\"${\($EMOJI x 64)}\"" => longer('255 bytes'),
	],
	'TEXT' => [
		'"' . 'é' x 32767 . '"' => 'é' x 32767, '"' . 'é' x 32768 . '"' => longer('65535 bytes'),
		'""' => '', '{"a":[1.50,true,null]}' => '{"a":[1.50,true,null]}',
	],
	'MEDIUMTEXT' => [ '"' . 'x' x 70000 . '"' => 'x' x 70000 ],

	'BINARY(4)' => [
		'"ab"' => '61620000', '""' => '00000000', "\"$EMOJI\"" => 'F09F9880',
		'"abcde"' => longer('4 bytes'), '"\u0000"' => '00000000',
	],
	'VARBINARY(4)' => [
		'"ab"' => '6162', '""' => '', '"a\u0000\\\\\'"' => '61005C27',
		"\"${EMOJI}x\"" => longer('4 bytes'), 1.5 => '312E35',
		'{"base64":"AP8n"}' => '00FF27', '{"base64":""}' => '', '{"base64":"AP8"}' => ['is no base64'],
	],
	'TINYBLOB' => [ '"' . 'é' x 127 . '"' => 'C3A9' x 127, '"' . 'é' x 128 . '"' => longer('255 bytes') ],
	'BLOB' => [ '{"a":1}' => uc unpack 'H*', '{"a":1}' ],

	'DATE' => [
		'"2026-11-21"' => '2026-11-21', '"0001-01-01"' => '0001-01-01', '"9999-12-31"' => '9999-12-31',
		'"2024-02-29"' => '2024-02-29',
		'"2026-11-21T00:00:00Z"' => '2026-11-21', '"2026-11-21T02:00:00+02:00"' => '2026-11-21',
		'"2026-11-21 00:00:00.000"' => '2026-11-21',
		'"2026-11-21T04:10:00Z"' => $OF_DAY, '"2026-11-21T00:00:00+02:00"' => $OF_DAY,
		'"2026-11-21T23:59:60"' => '2026-11-22',
		'1795219200' => '2026-11-21', '1795219200000' => '2026-11-21', '1795219200001' => $OF_DAY,
		20778 => '2026-11-21', 0 => '1970-01-01', -1 => '1969-12-31', 2932896 => '9999-12-31',
		2932897 => $OF_DAY, -719162 => '0001-01-01', -719163 => $DATE,
		'"2026-02-30"' => $DATE, '"2025-02-29"' => $DATE, '"0000-00-00"' => $DATE,
		'"2026-00-01"' => $DATE, '"10000-01-01"' => $DATE,
		'"20261121"' => $DATE, '"26-11-21"' => $DATE, '""' => $DATE, 'true' => $DATE, '{}' => $DATE,
	],
	'TIME' => [
		'"10:00"' => '10:00:00', '"23:59:59"' => '23:59:59', '"24:00:00"' => '24:00:00',
		'"838:59:59"' => '838:59:59', '"-838:59:59"' => '-838:59:59',
		'"10:00:00.999999"' => '10:00:00', '"-00:00:00.9"' => '00:00:00', '"839:00:00"' => $LONG,
		'"-838:59:60"' => $TIME,
		'"10"' => $TIME, '"10:60"' => $TIME, '"10:00:00Z"' => $TIME, '101112' => $TIME, '""' => $TIME,
	],
	'TIME(6)' => [
		'"10:00:00.5"' => '10:00:00.500000', '"-10:00:00.1234567"' => '-10:00:00.123456',
		'"838:59:59.000001"' => $LONG,
	],
	'DATETIME' => [
		'"2026-11-21T04:10:00Z"' => '2026-11-21 04:10:00',
		'"2026-11-21 04:10:00"' => '2026-11-21 04:10:00', '"2026-11-21"' => '2026-11-21 00:00:00',
		'"2026-11-21T01:10:00+02:00"' => '2026-11-20 23:10:00',
		'"2026-12-31T23:30:00-0130"' => '2027-01-01 01:00:00',
		'"2026-11-21T04:10"' => '2026-11-21 04:10:00',
		'"2026-11-21T04:10:00.999999Z"' => '2026-11-21 04:10:00',
		'"9999-12-31T23:59:59.999999Z"' => '9999-12-31 23:59:59',
		'"2016-12-31T23:59:60Z"' => '2017-01-01 00:00:00',
		'"2016-12-31T24:00:00Z"' => '2017-01-01 00:00:00', '"2026-11-21T04:10:60Z"' => $DATETIME,
		'"2038-01-19T03:14:08Z"' => '2038-01-19 03:14:08',
		'"1969-12-31T23:59:59.9Z"' => '1969-12-31 23:59:59',
		'"0001-01-01T00:00:00Z"' => '0001-01-01 00:00:00',
		'1763697600' => '2025-11-21 04:00:00', '1763697600123' => '2025-11-21 04:00:00',
		'"1763697600123456"' => '2025-11-21 04:00:00', 0 => '1970-01-01 00:00:00',
		'"2026-02-30T00:00:00"' => $DATETIME, '"0000-00-00 00:00:00"' => $DATETIME,
		'"0001-01-01T00:00:00+01:00"' => $DATETIME, '"9999-12-31T23:59:59-01:00"' => $DATETIME,
		'"20261121041000"' => $DATETIME, '"20261121"' => $DATETIME, '"tomorrow"' => $DATETIME,
		'""' => $DATETIME, -1 => $DATETIME, 'false' => $DATETIME,
	],
	'DATETIME(3)' => [
		'"2026-11-21T04:10:00.9999Z"' => '2026-11-21 04:10:00.999',
		'1763697600123456' => '2025-11-21 04:00:00.123', '1763697600.5' => '2025-11-21 04:00:00.500',
	],
	'DATETIME(6)' => [
		'"2026-11-21T04:10:00.1234569+00:00"' => '2026-11-21 04:10:00.123456',
		'1763697600123456789' => '2025-11-21 04:00:00.123456',
	],
	'TIMESTAMP NULL' => [
		'"1970-01-01T00:00:01Z"' => '1970-01-01 00:00:01',
		'"2038-01-19T03:14:07.999Z"' => '2038-01-19 03:14:07', 1763697600 => '2025-11-21 04:00:00',
		'"2026-03-29T02:30:00"' => '2026-03-29 02:30:00', '"1970-01-01T00:00:00Z"' => $TIMESTAMP,
		0 => $TIMESTAMP, '"2038-01-19T03:14:08Z"' => $TIMESTAMP,
		'"2026-02-30"' => $DATETIME, '""' => $DATETIME,
	],
	'TIMESTAMP(6) NULL' => [
		'"1970-01-01T00:00:00.999999Z"' => $TIMESTAMP,
		'"2038-01-19T03:14:07.9999999Z"' => '2038-01-19 03:14:07.999999',
	],
	'YEAR' => [
		1901 => 1901, 2155 => 2155, '"2026"' => 2026, '2026.0' => 2026, 0 => '0000', 1900 => $YEAR,
		2156 => $YEAR, 26 => $YEAR, '"26"' => ['is no year of four digits'], 'true' => ['is no year'],
	],

	"ENUM('red','it''s','1','b c','')" => [
		'"red"' => 'red', '"it\'s"' => "it's", '"1"' => '1', '"b c"' => 'b c', '""' => '',
		'"Red"' => $ENUM, '"red "' => $ENUM, '"2"' => $ENUM,
		1 => ['is not the name of a value of the ENUM'], 'true' => ['is not the name of a value of the ENUM'],
	],
	"ENUM('é','ß') CHARACTER SET latin1" => [ '"é"' => 'é', '"\u00df"' => 'ß', '"e"' => $ENUM, '"É"' => $ENUM ],
	"ENUM('a','b')" => [ '""' => $ENUM, '"a,b"' => $ENUM ],
	"SET('x','y','it''s')" => [
		'"x"' => 'x', '"y,x"' => 'x,y', '""' => '', '[]' => '', '["it\'s","x"]' => "x,it's",
		'"x,x"' => 'x', '"x, y"' => $SET, '"X"' => $SET, '"x,"' => $SET,
		'"1"' => $SET, 3 => $SET, '["x",1]' => $SET, '["x,y"]' => $SET,
	],
	'JSON' => [
		'{"b":12.50,"a":1}' => { mariadb => '{"b":12.50,"a":1}', mysql => '{"a": 1, "b": 12.5}' },
		'"it\'s\u0000\n"' => '"it\'s\u0000\n"', 9007199254740993 => '9007199254740993', 'true' => 'true',
		'""' => '""', '[]' => '[]', "\"$EMOJI\"" => "\"$EMOJI\"",
		'{"a":1,"a":2}' => { mariadb => '{"a":1,"a":2}', mysql => '{"a": 2}' },
		'[' x 31 . ']' x 31 => '[' x 31 . ']' x 31,
		'[' x 32 . ']' x 32 => { mariadb => [qr{v\.c\d+.* failed}], mysql => '[' x 32 . ']' x 32 },
		'[' x 98 . ']' x 98 => { mariadb => [qr{v\.c\d+.* failed}], mysql => '[' x 98 . ']' x 98 },
		'1e400' => { mariadb => '1e400', mysql => [qr/Invalid JSON text/] },
	],
	'POINT' => [ '"POINT(1 1)"' => ["cannot be stored: the column's type takes only NULL from here"] ],
);
my @MARIADB = (
	'DECIMAL(38,38)' => [ '1e-38' => '0.' . '0' x 37 . '1', '-0.' . '9' x 38 => '-0.' . '9' x 38, 1 => digits(38, 38) ],
	'UUID' => [
		'"123E4567-e89b-12d3-a456-426614174000"' => '123e4567-e89b-12d3-a456-426614174000',
		'"123e4567"' => ['is no UUID'], 1 => ['is no UUID'],
	],
	'INET4' => [
		'"192.0.2.1"' => '192.0.2.1', '"192.0.2.256"' => ['is no IPv4 address'],
		'"192.0.2"' => ['is no IPv4 address'], '""' => ['is no IPv4 address'],
	],
	'INET6' => [
		'"2001:DB8:0::1"' => '2001:db8::1', '"::ffff:192.0.2.1"' => '::ffff:192.0.2.1',
		'"192.0.2.1"' => ['is no IPv6 address'], '"::1%lo"' => ['is no IPv6 address'],
	],
);

# Several ways to write one key, and what is another key; then the server that has the type, when it is not both.
my @KEYS = (
	'INT' => [ [ 17, '17.0', '"17"' ], 18 ],
	'BIGINT UNSIGNED' => [ [qw(18446744073709551615 1.8446744073709551615e19 "18446744073709551615")], 0 ],
	'DECIMAL(10,2)' => [ [ '12.5', '"12.50"', '1250.1e-2' ], '-12.5' ],
	'DECIMAL(65,30)' => [ [ '-1e-30', '-0.' . '0' x 29 . '1', '-0.' . '0' x 29 . '09' ], '1e-30' ],
	'FLOAT' => [ [ '0.1', '"0.10"', '1e-1' ], '-0.1' ],
	'DOUBLE' => [ [ '0.1', '"0.10"', '1e-1' ], '0.10000000000000002' ],
	'DOUBLE UNSIGNED' => [ [ 0, '-0', '1e-400' ], '5e-324' ],
	'BIT(8)' => [ [ 1, 'true', '"1"' ], 2 ],
	'CHAR(5)' => [ [ '"a"', '"a  "', '"a "' ], '"b"' ],
	'CHAR(5) COLLATE utf8mb4_bin' => [ [ '"a"', '"a  "', '"a "' ], '"A"' ],
	'CHAR(5) COLLATE utf8mb4_nopad_bin' => [ [ '"a"', '"a  "', '"a "' ], '"A"', 'mariadb' ],
	'CHAR(5) COLLATE utf8mb4_0900_bin' => [ [ '"a"', '"a  "', '"a "' ], '"A"', 'mysql' ],
	'VARCHAR(5)' => [ [ '"it\'s"', '"IT\'S"', '"It\'s"' ], '"its"' ],
	'VARCHAR(5) COLLATE utf8mb4_bin' => [ [ '"a\\\\"', '"a\\\\  "', '"a\\\\ "' ], '"A\\\\"' ],
	'VARCHAR(5) COLLATE utf8mb4_0900_bin' => [ [ '"a "', '"a\u0020"', '"a "' ], '"a"', 'mysql' ],
	'BINARY(4)' => [ [ '"a"', '"a\u0000"', [ base64 => 'YQ==' ] ], '"a "' ],
	'VARBINARY(4)' => [ [ '"a\u0000"', [ base64 => 'YQA=' ], '"a\u0000"' ], [ base64 => '/wA=' ] ],
	'DATE' => [ [ '"2026-11-21"', 20778, '"2026-11-21T02:00+02"' ], '"1969-12-31"' ],
	'TIME(3)' => [ [ '"-10:00"', '"-10:00:00.0009"', '"-10:00:00"' ], '"10:00"' ],
	'DATETIME(3)' => [
		[ '"2026-11-21T04:10:00.9999Z"', 1795234200999, '"2026-11-21 06:10:00.999+02:00"' ],
		1795234200998,
	],
	'TIMESTAMP(3)' => [
		[ '"2026-11-21T04:10:00.9999Z"', 1795234200999, '"2026-11-21 06:10:00.999+02:00"' ],
		1795234200998,
	],
	'YEAR' => [ [ 2026, '"2026"', '2026.0' ], 0 ],
	"ENUM('b','a')" => [ [ '"a"', '"\u0061"', '"a"' ], '"b"' ],
	"SET('b','a')" => [ [ '"a,b"', '["b","a"]', '"b,a"' ], '""' ],
	'UUID' => [
		[ map { "\"123e4567-e89b-12d3-a456-42661417400$_\"" } qw(a A a) ],
		'"123e4567-e89b-12d3-a456-426614174000"', 'mariadb',
	],
	'INET4' => [ [ '"192.0.2.1"', '"192.0.2.1"', '"192.0.2.1"' ], '"192.0.2.2"', 'mariadb' ],
	'INET6' => [ [ '"::1"', '"0:0:0:0:0:0:0:1"', '"::0001"' ], '"::2"', 'mariadb' ],
);

# ---- one run for each server: a column for each type, a record for each value ----

sub shown
{
	my ($type, $column) = @_;
	return "$column+0" if $type =~ /^BIT/;
	return "HEX($column)" if $type =~ /BINARY|BLOB/;
	return "ST_AsText($column)" if $type eq 'POINT';
	return $column;
}

sub brief { return length $_[0] > 60 ? substr($_[0], 0, 57) . '...' : $_[0] }

# Columns, and one case for each value: NULL fits any.
sub cases
{
	my ($flavour, @types) = @_;
	my (@cases, @columns);

	while (my ($type, $values) = splice @types, 0, 2) {
		my $column = 'c' . @columns;
		push @columns, { type => $type, name => $column };
		my @left = (@$values, null => undef);
		while (my ($json, $want) = splice @left, 0, 2) {
			$want = $want->{$flavour} if ref $want eq 'HASH';
			push @cases, { type => $type, column => $column, json => $json, want => $want };
		}
	}
	return \@columns, \@cases;
}

sub upsert
{
	my ($db, $records, @options) = @_;
	return run('mysql-upsert', $db->args, @options, { stdin => join '', map { "$_\n" } @$records });
}

sub each_type
{
	my ($db) = @_;
	my ($columns, $cases) = cases($db->flavour, @TYPES, $db->flavour eq 'mariadb' ? @MARIADB : ());
	my $place = '"topic":"V","partition":0,"offset"';

	$db->sql("SET time_zone = '+00:00'; CREATE TABLE v (id INT PRIMARY KEY, "
	    . join(', ', map { "$_->{name} $_->{type}" } @$columns) . ') CHARACTER SET utf8mb4');
	my @records = map {
		my ($column, $json) = @{ $cases->[$_] }{qw(column json)};
		"{$place:$_,\"payload\":{\"id\":$_,\"$column\":$json}}";
	} 0 .. $#$cases;
	my $r = upsert($db, \@records, '-r', '-T', 'v');
	is $r->{exit}, 1, 'there are rejects' or diag $r->{err};
	my $rounded = grep { ref $_->{want} eq 'SCALAR' } @$cases;
	like $r->{err}, qr/ $rounded decimals rounded/, 'decimals that lost digits are counted';

	my $shown = join ', ', map { shown(@$_{qw(type name)}) } @$columns;
	my %row = map { $_->[0] => $_ } $db->sql("SELECT id, $shown FROM v");
	my %reject = map { $_->[0] => $_ } $db->sql('SELECT off, col, reason FROM sluice_rejects');
	my %index = map { $columns->[$_]{name} => $_ + 1 } 0 .. $#$columns;
	for my $id (0 .. $#$cases) {
		my ($type, $column, $json, $want) = @{ $cases->[$id] }{qw(type column json want)};
		my $name = "$type: " . brief($json);
		my $reject = join ' ', map { $_ // '?' } @{ $reject{$id} // [] }[ 1, 2 ];
		my $got = $row{$id} ? $row{$id}[ $index{$column} ] : $reject;

		if (ref $want eq 'ARRAY') {
			ok !$row{$id}, "$name: no row";
			ref $want->[0] ? like($got, $want->[0], $name) : is($got, "$column v: $want->[0]", $name);
		} else {
			is $got, ref $want ? $$want : $want, $name;
		}
	}
}

# Numbers of any length and exponent, written anyhow, and what Perl makes of them.
sub random_number
{
	my $digits = join '', map { int rand 10 } 1 .. 1 + int rand 25;
	my $fraction = rand() < 0.3 ? '' : '.' . join '', map { int rand 10 } 1 .. 1 + int rand 12;
	my $exponent = rand() < 0.5 ? '' : sprintf '%s%s%d', rand() < 0.5 ? 'e' : 'E', ('', '+', '-')[ rand 3 ], rand 20;
	$digits =~ s/^0+(?=\d)//;
	$fraction =~ s/\d$/5/ if rand() < 0.2;
	return (rand() < 0.5 ? '-' : '') . $digits . $fraction . $exponent;
}

sub double { return $_[0] == 0 ? 0 : sprintf '%.17g', unpack 'd', pack 'd', $_[0] }

sub random_numbers
{
	my ($db) = @_;
	my @numbers = map { random_number() } 1 .. 300;
	my %shown;

	$db->sql('CREATE TABLE r (id INT PRIMARY KEY, d DECIMAL(20,4), b BIGINT, f DOUBLE)');
	for my $column (qw(d b f)) {
		my $place = qq("topic":"R$column","partition":0,"offset");
		my @records = map { qq({$place:$_,"payload":{"id":$_,"$column":$numbers[$_]}}) } 0 .. $#numbers;
		my $r = upsert($db, \@records, '-q', '-r', '-T', 'r');
		cmp_ok $r->{exit}, '<=', 1, "$column: it runs" or diag $r->{err};
		$shown{$column}{ $_->[0] } = $_->[1] for $db->sql("SELECT id, $column FROM r");
		$db->sql('DELETE FROM r');
	}
	my ($limit, $least, $most) = map { Math::BigFloat->new($_) } qw(1e16 -9223372036854775808 9223372036854775807);
	for (0 .. $#numbers) {
		my $exact = Math::BigFloat->new($numbers[$_] =~ s/E-0$//ir); # which it could not read
		my $decimal = $exact->copy->bfround(-4, 'common');
		my $integer = $exact->copy->bint;
		my $fits = $integer == $exact && $integer >= $least && $integer <= $most;

		is_deeply [ $shown{d}{$_}, $shown{b}{$_}, double($shown{f}{$_}) ], [
			abs($decimal) >= $limit ? undef : $decimal->is_zero ? '0.0000' : $decimal->bstr,
			$fits ? $integer->bstr : undef,
			double($numbers[$_]),
		], "$numbers[$_] as a DECIMAL(20,4), a BIGINT and a DOUBLE";
	}
}

# What is absent, null and empty where NULL does not fit.
sub absent_null_and_empty
{
	my ($db) = @_;
	my @payloads = ('{"id":0}', '{"id":1,"a":"","b":0,"c":null}', '{"id":2,"a":null}', '{"id":3,"d":null}',
		'{"id":4,"b":""}', '{"id":5,"a":"x","d":"2020-11-21T04:10:00Z"}', '{"id":null}', '{"b":1}');
	my @records = map { qq({"topic":"N","partition":0,"offset":$_,"payload":$payloads[$_]}) } 0 .. $#payloads;
	my $null = 'n: is null, the column is NOT NULL';

	$db->sql(<<'END');
CREATE TABLE n (id INT PRIMARY KEY, a VARCHAR(9) NOT NULL DEFAULT 'none', b INT, c INT DEFAULT 7,
	d TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), e DATETIME(6) NULL DEFAULT NULL) CHARACTER SET utf8mb4
END
	my $r = upsert($db, \@records, '-q', '-r', '-T', 'n');
	is $r->{exit}, 1, 'some do not fit' or diag $r->{err};
	my $when = q{CASE WHEN d > NOW() - INTERVAL 1 DAY THEN 'now' ELSE d END};
	is_deeply [ $db->sql("SELECT id, a, b, c, $when, e FROM n ORDER BY id") ], [
		[ 0, 'none', undef, 7, 'now', undef ],
		[ 1, '', 0, undef, 'now', undef ],
		[ 5, 'x', undef, 7, '2020-11-21 04:10:00.000000', undef ],
	], 'absent is the default, null is NULL, empty is empty';
	is_deeply [ $db->sql("SELECT off, col, reason FROM sluice_rejects WHERE topic = 'N' ORDER BY off") ], [
		[ 2, 'a', $null ],
		[ 3, 'd', $null ], # MariaDB would store now()
		[ 4, 'b', 'n: is no number' ],
		[ 6, 'id', $null ],
		[ 7, 'id', 'n: is NOT NULL, and the record has no value for it' ],
	], 'what does not fit, with its reason';
}

# ---- keys: one run writes by the first way, one by the second, and one deletes by the third ----

sub key_of { my ($key) = @_; return ref $key ? qq{"key_enc":"base64","key":"$key->[1]"} : qq{"key":$key} }

sub keys_of
{
	my ($flavour) = @_;
	my @left = @KEYS;
	my @keys;

	while (my ($type, $k) = splice @left, 0, 2) {
		my ($ways, $other, $only) = @$k;
		push @keys, { type => $type, ways => $ways, other => $other } unless $only && $only ne $flavour;
	}
	return @keys;
}

sub each_key
{
	my ($db, $runs) = @_;
	my @keys = keys_of($db->flavour);
	my @did = ('is written', 'is changed', 'is deleted');
	my @left = ([ 1, 7 ], [ 2, 7 ], [7]);
	my @steps = ([], [], []);
	my (@tables, %offset);

	my $record = sub {
		my ($i, $key, $n) = @_;
		return sprintf '{"topic":"%s","partition":0,"offset":%d,%s,%s}', "K$runs$i", $offset{$i}++, key_of($key),
		    $n ? qq{"payload":{"n":$n}} : '"payload_enc":"none","payload":null';
	};
	for my $i (0 .. $#keys) {
		my ($table, $ways) = ("K$runs$i", $keys[$i]{ways});
		$db->sql("CREATE TABLE $table (k $keys[$i]{type} PRIMARY KEY, n INT) CHARACTER SET utf8mb4");
		push @tables, { table => $table, topics => [$table], key => ['k'], columns => { k => '@key' } };
		push @{ $steps[0] }, $record->($i, $ways->[0], 1), $record->($i, $keys[$i]{other}, 7);
		push @{ $steps[1] }, $record->($i, $ways->[1], 2);
		push @{ $steps[2] }, $record->($i, $ways->[2], undef);
	}
	my $file = tempdir() . '/keys.json';
	spew($file, to_json({ tables => \@tables }));
	if ($runs == 1) {
		@steps = [ map { @$_ } @steps ];
		@left = $left[2];
		@did = $did[2];
	}
	for my $step (0 .. $#steps) {
		my $r = upsert($db, $steps[$step], '-q', '-M', $file);
		is $r->{exit}, 0, 'it runs' or diag $r->{err};
		is_deeply [ map { $_->[0] } $db->sql("SELECT n FROM K$runs$_ ORDER BY n") ], $left[$step],
		    "$keys[$_]{type} $did[$step]" for 0 .. $#keys;
	}
}

my $seed = int($ENV{SLUICE_SEED} // time % 1_000_000_007);
srand $seed;
diag "SLUICE_SEED=$seed";
for my $db (Sluice::Db::servers()) {
	subtest $db->flavour => sub {
		$db->database('values');
		subtest 'each type' => sub { each_type($db) };
		subtest 'random numbers' => sub { random_numbers($db) };
		subtest 'absent, null, empty' => sub { absent_null_and_empty($db) };
		subtest 'keys, each step in a transaction of its own' => sub { each_key($db, 3) };
		subtest 'keys, all in one window' => sub { each_key($db, 1) };
	};
}

done_testing;
