# Texts of the API that would control the terminal, or mislead the reader, of a message
# or the log: control characters including C1, characters that reverse the direction of
# text, and invisible characters.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Encode qw(decode encode);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;


# A text that clears the screen, moves the cursor, hides and reverses what follows
my $HOSTILE = join '', map { chr($_) . 'x' } 0x1B, 0x0D, 0x0A, 0x7F, 0x80, 0x85, 0x9B, 0x9F, 0x61C, 0x200B, 0x200E,
  0x200F, 0x2028, 0x2029, 0x202A .. 0x202E, 0x2060, 0x2066 .. 0x2069, 0xFEFF, 0xFFF9, 0xE0041;
my $CLEAN = 'x' =~ s/x/ x/r x (($HOSTILE =~ tr/x//) - 1);
my $HIDDEN = qr/[\x01-\x08\x0B-\x1F\x7F-\x9F\x{61C}\x{200B}\x{200E}\x{200F}\x{2028}-\x{202E}\x{2060}-\x{206F}\x{FEFF}\x{FFF9}-\x{FFFB}\x{E0000}-\x{E007F}]/;

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", 'chpg.max_retries = 0', 'log_min_messages = debug1');
my $server_log_start = 0;

$node->safe_psql('postgres', connect_sql($url));

# The hostile text as an SQL expression, so that the statement in the log is plain
my $SQL = q{U&'} . join('', map { sprintf '\\+%06X', ord } split //, 'a' . $HOSTILE) . q{'};

# The statement reports something of the hostile text, and nothing raw, to the client
# and in the log.
sub says_clean
{
	my ($sql, $expected, $name, $database) = @_;
	my ($status, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\nSET client_encoding = 'UTF8';\n$sql", on_error_stop => 0);
	my $log = slurp_file($node->logfile, $server_log_start);

	$err = decode('UTF-8', $err);
	like($err, $expected, "$name: shown");
	unlike($err, $HIDDEN, "$name: to the client nothing raw");
	unlike(decode('UTF-8', $log), $HIDDEN, "$name: nor to the log") if !defined $database;
	return;
}

sub answer
{
	my ($status, $answer, %fault) = @_;
	return respond_with($url, encode_json($answer), status => $status, content_type => 'application/json', %fault);
}

# Error texts of the API
answer(400, { error => "BAD: ${HOSTILE}end", requestId => "id${HOSTILE}end" });
says_clean('SELECT FROM chpg_services', qr/DETAIL:  The API says: "BAD: ( x)+end"\. HTTP status 400, request id id( x)+end, 1 attempt/, "the API's error");
says_clean("SET chpg.on_service_error = 'warning'; SELECT FROM chpg_slow_patterns($DAY)", qr/ERROR:.*DETAIL:  The API says/s, 'an error of the list');

# A text much longer than any message is not even searched for secrets.
answer(400, { error => 'x' x 70_000 });
says_clean('SELECT FROM chpg_services', qr/DETAIL:  The API says: "\(70000 bytes, not shown\)"/, 'a very long error');

# Of a fleet, as warnings
answer(400, { error => $HOSTILE }, path => 'slowQueryPatterns', skip => 1);
says_clean("SET chpg.on_service_error = 'warning'; SELECT FROM chpg_slow_patterns($DAY)", qr/WARNING:.*DETAIL:  The API says: "( x)+"/s, "a fleet's warnings");

# Error texts of a proxy
clear_faults($url);
fault($url, status => 302, headers => { Location => encode('UTF-8', "http://x/\x{9B}31m\x{202E}\x7F") }, body => 'x');
says_clean('SELECT FROM chpg_services', qr/It redirects to "/, 'where a redirect leads');
clear_faults($url);
fault($url, status => 400, headers => { 'X-Request-Id' => encode('UTF-8', "\x{9B}\x{202E}"), 'Content-Type' => "x\x9B" }, body => "\e[31m");
says_clean('SELECT FROM chpg_services', qr/the API rejected the request/, 'headers and a body that is no JSON');

# Values
my $operation = 0;
for my $value ([ callCount => qr/22P02: malformed API response/ ], [ totalDurationUs => qr/22P02: malformed API response/ ])
{
	my ($field, $expected) = @$value;

	clear_faults($url);
	fault($url, path => 'slowQueryPatterns$', patch => { "result.0.$field" => "1\x{9B}\x{202E}5" });
	says_clean("SELECT FROM chpg_slow_patterns($DAY, '$ORDERS')", $expected, "a value of \"$field\"");
}
for my $time ("now\x{9B}", "2026-01-01T00:00:00Z\x{202E}", "2026-01-01 \x{85}tomorrow")
{
	clear_faults($url);
	fault($url, path => 'postgres$', patch => { 'result.0.createdAt' => $time });
	says_clean('SELECT FROM chpg_services', qr/ERROR:  (?:22P02|22007)/, 'a time');
}
clear_faults($url);
fault($url, path => 'prometheus$', body_base64 => encode_base64("cpu{a=\"\xC2\x9B\xE2\x80\xAE\x1B\"} \xC2\x9B\n", ''));
says_clean("SELECT FROM chpg_prometheus('$ORDERS')", qr/DETAIL:  The line is "cpu/, 'a line of metrics');

# Names of services
reset_emulator($url, overrides => { orders => { name => "o$HOSTILE" =~ s/(.{40}).*/$1/sr }, billing => { name => "b\x{202E}x" }, analytics => { name => "b\x{202E}x" } });
says_clean("SELECT FROM chpg_service('nobody')", qr/DETAIL:  The services of the organization are: o[ x]+, b x, b x,/, 'names of services');
says_clean("SELECT FROM chpg_delete_service('$ORDERS', 'o')", qr/DETAIL:  The name of the service is "o[ x]+"/, 'the name of a service');
fault($url, path => 'slowQueryPatterns$', status => 503);
says_clean("SELECT FROM chpg_slow_patterns($DAY)", qr/could not read the slow query patterns of service "/, "a service's name in an error");
clear_faults($url);

# They come back as arguments, out of rows.
says_clean("SELECT p.* FROM chpg_services s, LATERAL chpg_service(s.name) p WHERE s.name LIKE 'b%'", qr/22023: argument "service" contains characters that are invisible or change the direction of text/, 'a name of a service as an argument');
says_clean("SELECT FROM chpg_slow_patterns($DAY, 'orders', sort_by => $SQL)", qr/22023: invalid value for "sort_by": "a( x)+"/, 'an argument');
says_clean("SELECT chpg_request('GET', $SQL)", qr/22023: invalid value for "path": "a( x)+"/, 'a path');
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
says_clean("SELECT FROM cloud.slow_patterns WHERE service_id = U&'b\\202Ex' AND from_date = now() - interval '1 h' AND to_date = now()", qr/NOTICE:  .*"b x" is the name of a service/, 'a name for an id');

# Changes are logged.
my $NAME = q{U&'a\009Bb\0085c\202Ed\2066e\200Ff\2028g'};
reset_emulator($url, service_names => 'any');
says_clean("SELECT FROM chpg_update_service('$ORDERS', name => $NAME)", qr/^$/, 'a change');
like(slurp_file($node->logfile, $server_log_start), qr/sent PATCH .*"name":"a b c d e f g"/, 'which is in the log');
says_clean("SET chpg.dry_run = on; SELECT FROM chpg_update_service('$ORDERS', name => $NAME)", qr/NOTICE:  00000: would send PATCH .*"name":"a b c d e f g"/, 'a change that is only shown');
fault($url, path => 'config$', method => 'PATCH', patch => { 'result.message' => "restart${HOSTILE}now" });
says_clean(qq{SELECT FROM chpg_patch_config('$ORDERS', pg_config => '{"max_connections": "200"}')}, qr/NOTICE:  00000: restart( x)+now/, 'the notice of a change of the configuration');
clear_faults($url);
fault($url, path => "$ORDERS\$", patch => { 'result.state' => "up$HOSTILE" });
says_clean("SELECT FROM chpg_wait('$ORDERS', timeout => '2 s', poll_interval => '100 ms')", qr/NOTICE:  .* is up( x)+ after.*ERROR:.*The state is up( x)+/s, 'a state');
says_clean("SELECT FROM chpg_wait('$ORDERS', $SQL, timeout => '2 s', poll_interval => '100 ms')", qr/waiting for a( x)+.*did not become a( x)+ within "timeout"/s, 'the state that is waited for');

# In other encodings: a C1 control is a byte in Latin 1; in SQL_ASCII the API's texts stay UTF-8.
for my $encoding ('LATIN1', 'SQL_ASCII', 'WIN1252', 'EUC_JP')
{
	clear_faults($url);
	$node->safe_psql('postgres', "CREATE DATABASE \L$encoding\E ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql(lc $encoding, connect_sql($url));
	answer(400, { error => "\x{9B}${HOSTILE}\x{E4}" });
	says_clean('SELECT FROM chpg_services', qr/DETAIL:  The API says: "[ ?]/, "in $encoding", lc $encoding);
}

done_testing();
