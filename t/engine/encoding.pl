# Texts in all encodings, in both directions: characters arrive as they are, and a
# character that the database cannot represent is replaced, with a warning.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Encode qw(decode_utf8 encode_utf8);
use JSON::PP;
use Test::More;

my $UNKNOWN = "\x{FFFD}";
my $WARNING = qr/WARNING:  22P05: replaced characters that the database cannot store/;

# psql uses UTF-8, whatever the database's encoding.
$ENV{PGCLIENTENCODING} = 'UTF8';

my $url = start_emulator();
my $node = start_node('main', 'chpg.max_retries = 0');
my @DATABASES = qw(utf8 latin1 sql_ascii);

for my $database (@DATABASES)
{
	$node->safe_psql('postgres',
		"CREATE DATABASE $database TEMPLATE template0 ENCODING '$database' LOCALE 'C'");
	$node->safe_psql($database, connect_sql($url) . 'CREATE TABLE x ()');
}

# What a statement prints, and its notices and errors, as characters
sub ask
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) =
	  $node->psql($database, encode_utf8("\\set VERBOSITY verbose\n$sql"));

	return (decode_utf8($out), decode_utf8($err));
}

# The text in ASCII, for test names and comparisons: Perl's test harness cannot print
# other characters.
sub printable
{
	my ($text) = @_;
	return ($text // 'nothing') =~ s/([^ -~])/sprintf '\\x{%02X}', ord $1/ger;
}

# Like is_deeply() and like(), for texts in any script
sub same
{
	my ($got, $expected, $name) = @_;
	my ($first, $second) = map { join "\n", map { printable($_) } @$_ } $got, $expected;

	is($first, $second, $name);
	return;
}

sub matches
{
	my ($text, $regex, $name) = @_;
	ok(($text // '') =~ $regex, $name) or diag(printable($text));
	return;
}

# The values of an expression over the rows of a reading function, exactly
sub texts
{
	my ($database, $expression, $from) = @_;
	my ($out, $err) = ask($database,
		"SELECT encode(convert_to($expression, 'UTF8'), 'hex') FROM $from");

	return ([ map { decode_utf8(pack 'H*', $_) } split /\n/, $out ], $err);
}

# A list of patterns with these query texts, each a JSON string in bytes
sub answer_patterns
{
	my ($number, @literals) = (0, @_);
	respond_with($url, '{"result":[' . join(',', map { '{"queryId":"' . $number++ . '","queryText":' . $_ . '}' } @literals) . ']}');
	return;
}

sub literal
{
	my ($text) = @_;
	return JSON::PP->new->utf8->allow_nonref->encode($text);
}

sub warnings_are
{
	my ($err, $expected, $name) = @_;
	is(scalar(() = $err =~ /$WARNING/g), $expected, "$name: $expected warnings") or diag(printable($err));
	ok($err !~ /ERROR|FATAL|PANIC/, "$name: no error") or diag(printable($err));
	return;
}

my $PATTERNS = "chpg_slow_patterns($DAY, '$ORDERS')";

# Texts that every database can represent arrive as they are.
my @PLAIN = (
	q{SELECT 'it''s', "Quoted ""Name""", $1, $$dollar$$ FROM t WHERE a = 'b'},
	q{'; DROP TABLE x; --},
	q{$$); DROP TABLE x; --},
	q{E'\'; DROP TABLE x; --},
	'100%', '%s %d %n %m %% %1$s',
	"two\nlines,\r\n\ta tab, \x01 and \x7F",
	'\ \\\\ \n \x41 \u0041 \u0000 \ud800',
	'{"json": [null, true, 1e5, "x"]}', "\xE9\xFC\xDF\xA0\xFF",
	'', ' ', '\N', 'NULL');

for my $database (@DATABASES)
{
	answer_patterns(map { literal($_) } @PLAIN);
	my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
	same($texts, \@PLAIN, "plain texts in $database");
	warnings_are($err, 0, "plain texts in $database");
}

# JSON requires that control characters are escaped; unescaped ones are accepted.
for my $database (@DATABASES)
{
	answer_patterns("\"a\tb\nc\x01\"");
	my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
	same($texts, ["a\tb\nc\x01"], "control characters in $database");
	warnings_are($err, 0, "control characters in $database");
}

# Texts in JSON's escape notation
for my $database (@DATABASES)
{
	answer_patterns('"\u0041\u00e9\/\b\f\n\r\t\"\\\\u0000"');
	my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
	same($texts, [ "A\xE9/\b\f\n\r\t\"\\u0000" ], "escapes in $database");
	warnings_are($err, 0, "escapes in $database");
}

# Characters beyond Latin-1
my @WIDE = ('😀', 'naïve €5 日本語', "e\x{301}", "\x{FEFF}x\x{10FFFF}");

for my $database (@DATABASES)
{
	my $narrow = $database eq 'latin1';

	answer_patterns((map { literal($_) } @WIDE), '"\ud83d\ude00"');
	my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
	same($texts,
		$narrow ? [ '?', "na\xEFve ?5 ???", 'e?', '?x?', '?' ] : [ @WIDE, '😀' ],
		"wide characters in $database");
	warnings_are($err, $narrow ? 1 : 0, "wide characters in $database");
}

# Long texts are converted in pieces: no character is lost between them.
for my $database (@DATABASES)
{
	my $narrow = $database eq 'latin1';
	my @long = map { 'a' x $_ . 'é' x 10_000 . '日' x 10_000 . '😀' x 10_000 . 'z' } 0 .. 3;

	answer_patterns(map { literal($_) } @long);
	my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
	same($texts, $narrow ? [ map { s/[日😀]/?/gr } @long ] : \@long, "long texts in $database");
	warnings_are($err, $narrow ? 1 : 0, "long texts in $database");
}

# Bytes that are no text are replaced by U+FFFD, or by ? where the encoding lacks that.
my %BROKEN = (
	'a byte that is not UTF-8' => "\"a\xFFb\"",
	'text in Latin-1' => "\"caf\xE9\"",
	'a character that is cut off' => "\"a\xE2\x82\"",
	'a character that is cut off before another' => "\"a\xF0\x9F\x98b\"",
	'an overlong form' => "\"a\xC0\xAFb\"",
	'a surrogate in UTF-8' => "\"a\xED\xA0\x80b\"",
	'a number beyond Unicode' => "\"a\xF4\x90\x80\x80b\"",
	'a NUL byte' => "\"a\0b\"",
	'an escaped NUL' => '"a\u0000b"',
	'several escaped NULs' => '"\u0000a\u0000\u0000"',
	'a high surrogate alone' => '"a\ud83db"',
	'a low surrogate alone' => '"a\ude00b"',
	'surrogates in the wrong order' => '"a\ude00\ud83db"',
	'a high surrogate before another escape' => '"a\ud83d\u0062"',
	'a high surrogate at the end' => '"a\ud83d"');

for my $database (@DATABASES)
{
	my $mark = $database eq 'latin1' ? qr/\?/ : $database eq 'utf8' ? qr/$UNKNOWN/ : qr/$UNKNOWN|\?/;

	for my $what (sort keys %BROKEN)
	{
		my $name = "$what in $database";

		answer_patterns('"before"', $BROKEN{$what}, $BROKEN{$what}, '"after"');
		my ($texts, $err) = texts($database, 'query_text', $PATTERNS);
		is(scalar @$texts, 4, "$name: all rows are there");
		is("@$texts[0, 3]", 'before after', "$name: the texts beside it are unchanged");
		matches($texts->[1], qr/\A(?:caf|a)?$mark+(?:a?$mark*|b?)\z/, "$name: replaced");
		warnings_are($err, 1, $name);
	}
}

# A statement warns of replaced characters once, however many services it reads.
respond_with($url, "{\"result\":[{\"queryId\":\"1\",\"queryText\":\"\xFF\"},{\"queryId\":\"2\",\"queryText\":\"\\u0000\"}]}",
	path => 'slowQueryPatterns');
for my $database (@DATABASES)
{
	my $fleet = "SELECT count(query_text) FROM chpg_slow_patterns($DAY)";
	my ($out, $err) = ask($database, $fleet);
	is($out, 12, "a fleet of bad texts in $database");
	warnings_are($err, 1, "a fleet of bad texts in $database");
	($out, $err) = ask($database, "$fleet;\n$fleet;");
	warnings_are($err, 2, "a fleet of bad texts in $database, twice");
}

# Tags, which become jsonb
for my $database (@DATABASES)
{
	my $narrow = $database eq 'latin1';
	my $emoji = $narrow ? '?' : '😀';
	my $mark = $narrow ? qr/\?/ : qr/$UNKNOWN|\?/;

	respond_with($url, encode_utf8('{"result":[{"id":"x","tags":[{"key":"é\"\\\\","value":"%s\n\'\u0001"},{"key":"😀","value":"😀"}]}]}'));
	my ($texts, $err) = texts($database, "t.key || '=' || t.value", 'chpg_services, jsonb_each_text(tags) t ORDER BY length(t.value)');
	same([ sort @$texts ], [ sort "$emoji=$emoji", "\xE9\"\\=%s\n'\x01" ], "tags in $database");
	warnings_are($err, $narrow ? 1 : 0, "tags in $database");

	for my $bad ('\u0000', '\ud800', "\xFF")
	{
		my $name = sprintf '%s in tags in %s', printable($bad), $database;

		respond_with($url, "{\"result\":[{\"id\":\"x\",\"tags\":[{\"key\":\"k$bad\",\"value\":\"v$bad\"}]}]}");
		($texts, $err) = texts($database, "t.key || '=' || t.value", 'chpg_services, jsonb_each_text(tags) t');
		matches($texts->[0], qr/\Ak$mark=v$mark\z/, "$name: replaced");
		warnings_are($err, 1, $name);

		respond_with($url, "{\"result\":[{\"id\":\"x\",\"tags\":{\"k\":\"v$bad\\\\u0000\"}}]}");
		($texts, $err) = texts($database, "tags->>'k'", 'chpg_services');
		matches($texts->[0], qr/\Av$mark\\u0000\z/, "$name, as an object: replaced");
		warnings_are($err, 1, "$name, as an object");
	}
}

# A key that contains \u0000 could be mistaken for another key: the response is
# rejected.
respond_with($url, '{"result":[{"id":"x","name\u0000":"y"}]}');
for my $database (@DATABASES)
{
	my (undef, $err) = ask($database, 'SELECT * FROM chpg_services');
	matches($err, qr/ERROR:  08P01: .*DETAIL:  .*\\u0000/s, "\\u0000 in a key in $database");
}

# Texts of errors
for my $database (@DATABASES)
{
	my $narrow = $database eq 'latin1';
	my $emoji = $narrow ? '?' : '😀';
	my $mark = $narrow ? qr/\?/ : qr/$UNKNOWN|\?/;
	my ($out, $err);

	respond_with($url, encode_utf8(q({"error":"BAD_REQUEST: %s %n 100% é 😀 \"'; DROP TABLE x; --\\nnext\\\\","requestId":"%s"})), status => 400);
	(undef, $err) = ask($database, 'SELECT * FROM chpg_services');
	matches($err, qr/ERROR:  22023: .*DETAIL:  The API says: "BAD_REQUEST: %s %n 100% \xE9 \Q$emoji\E "'; DROP TABLE x; -- next\\"\. HTTP status 400, request id %s, /s,
		"an error text in $database");

	for my $bad ('\u0000', '\ud800', "\xFF")
	{
		my $name = sprintf '%s in an error text in %s', printable($bad), $database;

		respond_with($url, "{\"error\":\"x$bad\",\"requestId\":\"y$bad\"}", status => 400);
		(undef, $err) = ask($database, 'SELECT * FROM chpg_services');
		matches($err, qr/ERROR:  22023: .*The API says: "x$mark".*request id y$mark,/s, $name);
		is(scalar(() = $err =~ /WARNING: /g), 1, "$name: one warning");
	}

	# Cut without cutting a character
	for my $shift (0 .. 3)
	{
		respond_with($url, encode_utf8('{"error":"' . 'x' x $shift . '€é' x 1000 . '"}'), status => 400);
		(undef, $err) = ask($database, 'SELECT * FROM chpg_services');
		my $euro = $narrow ? '\?' : '€';
		matches($err, qr/The API says: "x{$shift}(?:${euro}\xE9){50,}${euro}?"\./, "a long error text in $database, $shift bytes on");
	}
}

# Arguments reach the API unchanged, in UTF-8.
clear_faults($url);
my @ARGUMENTS = (
	'a&b=c', 'a#b', '100%', '%41', 'a+b', 'a b', 'a/b/../c', '?x', ';', '=', q{it's "quoted"}, '\\', '<>', '[]{}|^`~',
	"a\nb\tc", '$1', 'ünïcode', "\xA0");

for my $database (@DATABASES)
{
	for my $argument (@ARGUMENTS, $database eq 'latin1' ? () : ('日本語', '😀'))
	{
		my $quoted = $argument =~ s/'/''/gr;

		my $before = request_count($url);
		my ($out, $err) = ask($database, "SELECT count(*) FROM chpg_slow_patterns($DAY, '$ORDERS', db_name => '$quoted', app => '$quoted')");
		my @requests = @{ journal($url)->{requests} };
		splice @requests, 0, $before;
		my $name = 'argument ' . printable($argument) . " in $database";
		same([ $out, $err ], [ 0, '' ], "$name: is accepted");
		is(scalar @requests, 1, "$name: one request");
		same([ $requests[0]{query}{db_name} ], [$argument], "$name: arrives");
		same([ $requests[0]{query}{app} ], [$argument], "$name: arrives in another parameter");
		matches($requests[0]{raw_query}, qr/\A[-A-Za-z0-9._~%&=]*\z/, "$name: nothing but plain characters in the URL");
	}
}

# So do names of services.
reset_emulator($url, overrides => { billing => { name => 'Bücher & Ca%s' } });
for my $database (@DATABASES)
{
	my ($texts, $err) = texts($database, 'name', "chpg_service('Bücher & Ca%s')");
	same($texts, ['Bücher & Ca%s'], "a service by its name in $database");
	fault($url, path => 'slowQueryPatterns', status => 500);
	(undef, $err) = ask($database, "SELECT * FROM chpg_slow_patterns($DAY, 'Bücher & Ca%s')");
	matches($err, qr/ERROR:  58000: .*service "Bücher & Ca%s" \(/, "a service is named in an error in $database");
	clear_faults($url);
}

# SQL_ASCII accepts any bytes, the API does not: such an argument is rejected without a
# request.
my $before = request_count($url);
my (undef, $err) = ask('sql_ascii', "SELECT * FROM chpg_slow_patterns($DAY, '$ORDERS', db_name => E'\\xff')");
matches($err, qr/ERROR:  22021: invalid byte sequence for encoding "UTF8": 0xff/, 'an argument that is not UTF-8');
is(request_count($url), $before, 'an argument that is not UTF-8: nothing is sent');

# After all that the table is still there, and so is the server.
is($node->safe_psql($_, 'SELECT count(*) FROM x'), 0, "nothing was injected in $_") for @DATABASES;
is($node->safe_psql($_, 'SELECT count(*) FROM chpg_services'), 6, "$_ reads on") for @DATABASES;

# Integers that json-c would silently replace by the nearest one that it can hold
my $ANY = q{SELECT chpg_request('GET', '/v1/organizations')};

for my $literal ('-9223372036854775809', '18446744073709551616', '9' x 40, '-' . '9' x 40)
{
	for my $sql ("SELECT call_count FROM $PATTERNS", $ANY)
	{
		respond_with($url, qq({"result":[{"queryId":"1","callCount":$literal}]}));
		like((ask('utf8', $sql))[1], qr/ERROR:  08P01: .*DETAIL:  The response is not usable as JSON: integer out of range/s,
			"integer $literal: $sql");
	}
}
for my $literal ('1e', '1.5E+', '1.', '.5', '-', '--1', '-e5', '01', '-01.5', '+1', '1-2')
{
	respond_with($url, qq({"result":[{"queryId":"1","callCount":$literal}]}));
	like((ask('utf8', $ANY))[1], qr/ERROR:  08P01: .*DETAIL:  The response is not usable as JSON: /s, "no number: $literal");
}
for my $literal ('-9223372036854775808', '9223372036854775807', '18446744073709551615')
{
	respond_with($url, qq({"result":{"n":[$literal]}}));
	like((ask('utf8', $ANY))[0], qr/\[$literal\]/, "integer $literal is unchanged");
}

done_testing();
