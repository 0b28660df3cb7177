# Failures between chpg and the API, and the errors that the user sees.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $PATTERN = "'$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT'";
my $LIST = 'SELECT * FROM chpg_services';

# With the option organization_id, no request discovers the organization.
my $NO_ORGANIZATION = '00000000-0000-4000-8000-000000000000';
my $FLEET = "SELECT service_id FROM chpg_slow_patterns($DAY)";

my $url = start_emulator();
my $node = start_node('main', 'chpg.max_retries = 0', "chpg.server = 'chpg'",
	'log_statement = none');

$node->safe_psql('postgres', connect_sql($url));

# The statement meets this fault, fails like this, and costs one request.
sub fault_fails
{
	my ($fault, $state, $message, $name, $sql) = @_;
	my $before;
	my $err;

	only_fault($url, %$fault);
	$before = request_count($url);
	$err = fails_with($node, $sql // $LIST, $state, $message, $name);
	is(request_count($url) - $before, 1, "$name: one request");
	return $err;
}

# Seconds between the requests of the journal
sub pauses
{
	my @at = map { $_->{at} } @{ journal($url)->{requests} };
	return map { $at[$_] - $at[ $_ - 1 ] } 1 .. $#at;
}

# The API rejects: SQLSTATE, message, and hint
my @REFUSALS = (
	[ 400, '22023', qr/the API rejected the request/ ],
	[ 418, '22023', qr/the API rejected the request/ ],
	[ 422, '22023', qr/the API rejected the request/ ],
	[ 401, '28000', qr/key.*HINT: .*chpg_connect/s ],
	[ 403, '42501', qr/HINT:  .*"$KEY_ID".*control-plane:postgres-service:view/s ],
	[ 404, '42704', qr/does not exist|did not find/ ],
	[ 409, '55006', qr/HINT:  / ],
	[ 429, '53400', qr/The budget resets in 10\.0 s\..*HINT:  /s ],
	[ 500, '58000', qr/HINT:  / ],
	[ 502, '58000', qr/HINT:  / ],
	[ 503, '58000', qr/HINT:  / ],
	[ 504, '58000', qr/HINT:  / ]);

for my $refusal (@REFUSALS)
{
	my ($status, $state, $message) = @$refusal;
	my $err = fault_fails({ status => $status }, $state, $message, "status $status");

	like($err, qr/ERROR: .*could not list the services: /, "status $status: the message names the failed operation");
	like($err,
		qr/DETAIL:  The API says: "[A-Z_0-9]+: injected fault"\..* HTTP status $status, request id [-0-9a-f]{36}, 1 attempt\./,
		"status $status: the API's own words, status, request id and attempts");
	like($err, qr{CONTEXT:  request GET /v1/organizations/[-0-9a-f]{36}/postgres$}m,
		"status $status: method and path");
}

# An error about a service names it.
only_fault($url, status => 500, path => "/$ORDERS\$");
fails_with($node, "SELECT * FROM chpg_service('orders')", '58000',
	qr/could not read service "orders" \($ORDERS\): /, 'a service by name');
fault_fails({ status => 404 }, '42704',
	qr/could not read service "$ORDERS": .*HINT:  SELECT \* FROM chpg_services shows/s,
	'a service that does not exist', "SELECT * FROM chpg_service('$ORDERS')");

# Keys
clear_faults($url);
fails_with($node, "SELECT * FROM chpg_connect('$KEY_ID', 'wrong', server => 'other', api_url => '$url')",
	'28000', qr/the API did not accept the key.*HINT:  /s, 'connecting with a wrong secret');

# Redirects, which would take the key elsewhere
for my $status (301, 302, 303, 307, 308)
{
	fault_fails({ redirect => "$url/v1/organizations", status => $status },
		'08P01', qr/malformed API response.*HTTP status $status, 1 attempt/s, "redirect $status");
}

# No connection
add_server($node, 'refused', api_url => 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port(), organization_id => $NO_ORGANIZATION);
add_server($node, 'unknown_host', api_url => 'https://api.invalid', organization_id => $NO_ORGANIZATION);
fails_with($node, "SELECT * FROM chpg_services('refused')", '08001',
	qr/no connection to the API.*DETAIL:  .+ No HTTP status, 1 attempt\..*HINT:  .*api_url/s,
	'a port without a listener');
fails_with($node, "SELECT * FROM chpg_services('unknown_host')", '08001',
	qr/no connection to the API.*DETAIL:  .*api\.invalid/s,
	'a host that does not exist');

# Broken connections and slow answers
my %BROKEN = (
	'a reset before the answer' => { reset => 'before' },
	'a reset in the middle of the answer' => { reset => 'mid' },
	'a reset in the middle of a chunked answer' => { reset => 'mid', chunked => JSON::PP::true },
	'a connection that closes without an answer' => { close => JSON::PP::true },
	'an answer that ends too early' => { truncate => 10 },
	'a chunked answer that ends too early' => { truncate => 10, chunked => JSON::PP::true },
	'a compressed answer that ends too early' => { truncate => 30, encoding => 'gzip' });

fault_fails($BROKEN{$_}, '08006', qr/the connection broke before the response was complete.*HINT:  /s, $_)
  for sort keys %BROKEN;

my %SLOW = (
	'no answer in time' => { hang => JSON::PP::true },
	'an answer that begins too late' => { latency_ms => 2000 },
	'an answer that never ends' => { drip_ms => 20 });

fault_fails($SLOW{$_}, '08006', qr/did not answer in time.*HINT:  .*chpg\.request_timeout/s,
	$_, "SET chpg.request_timeout = '200ms'; $LIST")
  for sort keys %SLOW;

# Requests and responses that are too large
my $MANY = 500_001;
my %LARGE = (
	'a large answer' => { oversize_bytes => 1_000_000 },
	'a large chunked answer' => { oversize_bytes => 1_000_000, chunked => JSON::PP::true },
	'a large answer that came compressed' => { oversize_bytes => 100_000_000, encoding => 'gzip' });

fault_fails($LARGE{$_}, '54000', qr/the response is too large.*HINT:  .*chpg\.max_response_size/s,
	$_, "SET chpg.max_response_size = '64kB'; $LIST")
  for sort keys %LARGE;
fault_fails({ body => '{"result":[' . join(',', ('{}') x $MANY) . ']}' },
	'54000', qr/the response is too large.*DETAIL:  .*values/s, 'too many JSON values');
fault_fails({ headers => { map { ("X-Filler-$_" => 'x' x 1000) } 1 .. 300 } },
	'54000', qr/the response is too large/, 'too many headers');
fault_fails({ headers => { 'X-Filler' => 'x' x 120_000 } }, '54000', qr/the response is too large/, 'a header that is too long');

# Responses of something else than the API, such as a proxy
my $HTML = '<html><body><h1>502 Bad Gateway</h1></body></html>';

fault_fails({ status => 502, body => $HTML, content_type => 'text/html' },
	'58000', qr/DETAIL:  The response is not JSON\. HTTP status 502, 1 attempt\./, 'a proxy without a backend');
fault_fails({ status => 502, body => '' }, '58000', qr/DETAIL:  HTTP status 502, 1 attempt\./, 'an empty 502');
fault_fails({ status => 403, body => 'Forbidden', content_type => 'text/plain' },
	'42501', qr/HTTP status 403/, 'a 403 in plain text');
fault_fails({ status => 400, body => '{"error":{"message":"no"},"requestId":17}' },
	'22023', qr/HTTP status 400, 1 attempt/, 'an error in another form');
fault_fails({ status => 400, body => '[]' }, '22023', qr/HTTP status 400/, 'a list as an error');

# Answers that no rows can be made of.  None of them becomes an empty result.
my $NOT_THE_API = qr/malformed API response/;
my %MALFORMED = (
	'HTML' => $HTML,
	'nothing' => '',
	'plain text' => 'OK',
	'half a document' => '{"result":[{"id":"x"',
	'two documents' => '{"result":[]}{"result":[]}',
	'text after the document' => '{"result":[]} OK',
	'a number' => '17',
	'null' => 'null',
	'a list without an envelope' => '[]',
	'an envelope without result' => '{"status":200}',
	'a null result' => '{"result":null,"status":200}',
	'an object for a list' => '{"result":{}}',
	'a string for a list' => '{"result":"x"}',
	'a number for a list' => '{"result":5}',
	'true for a list' => '{"result":true}',
	'a list of null' => '{"result":[null]}',
	'a list of numbers' => '{"result":[1]}',
	'a list of strings' => '{"result":["x"]}',
	'a list of lists' => '{"result":[[]]}',
	'a list that ends in null' => '{"result":[{"id":"x"},null]}',
	'an object for text' => '{"result":[{"id":"x","name":{}}]}',
	'an integer of 30 digits' => '{"result":[{"id":"x","storageSize":' . '9' x 30 . '}]}',
	'an error with status 200' => '{"error":"BAD_REQUEST: no"}',
	'values nested deeply' => '{"result":' . '[' x 100 . ']' x 100 . '}',
	'values nested very deeply' => '{"result":' . '[' x 100_000,
	'\u0000 in a key' => '{"result":[{"id\u0000x":"y"}]}',
	'NaN' => '{"result":[{"storageSize":NaN}]}');

for my $what (sort keys %MALFORMED)
{
	my $err = fault_fails({ body => $MALFORMED{$what} }, '08P01', $NOT_THE_API, "$what as an answer");
	like($err, qr{CONTEXT:  .*request GET /v1/}s, "$what as an answer: says of which request");
}
fault_fails({ body => $MALFORMED{'an error with status 200'} }, '08P01', qr/DETAIL:  The API says: "BAD_REQUEST: no"\./,
	'an error with status 200: the message has that status');
fault_fails({ body => $MALFORMED{'an envelope without result'} }, '08P01', qr/DETAIL:  The response lacks "result"\./,
	'an envelope without result: the message');
fault_fails({ garbage => JSON::PP::true }, '08P01', $NOT_THE_API, 'random bytes as the response');
fault_fails({ headers => { 'Content-Encoding' => 'gzip' } }, '08P01', $NOT_THE_API, 'a response that is not compressed as its header says');

# The same for functions whose rows are elsewhere in the response
my %ELSEWHERE = (
	"chpg_service('$ORDERS')" => [ '{"status":200}', '{"result":[]}', '{"result":"x"}', '{"result":17}' ],
	"chpg_slow_patterns($DAY, '$ORDERS')" => [ '{"result":{}}', '{"result":[null]}', '{"result":[{"queryId":{}}]}' ],
	"chpg_slow_pattern($PATTERN)" => [ '{"result":[]}', '{"result":{"aggregate":[]}}', '{"result":{"aggregate":17}}' ],
	"chpg_slow_pattern_executions($PATTERN)" =>
	  [ '{"result":[]}', '{"result":{}}', '{"result":{"recentExecutions":{}}}', '{"result":{"recentExecutions":[null]}}' ],
	$FLEET => [ '{"result":{}}', '{"result":[null]}', '{"result":["x"]}', '{"result":[{"name":"x"}]}', '{"result":[{"id":"a/b"}]}' ]);

for my $function (sort keys %ELSEWHERE)
{
	my $sql = $function =~ /^SELECT/ ? $function : "SELECT * FROM $function";
	fault_fails({ body => $_ }, '08P01', qr{CONTEXT:  .*request GET /v1/}s, "$_ for $function", $sql)
	  for @{ $ELSEWHERE{$function} };
}

# An unknown organization is not an unknown service.
add_server($node, 'elsewhere', api_url => $url, organization_id => $NO_ORGANIZATION);
clear_faults($url);
fails_with($node, "SELECT * FROM chpg_services('elsewhere')", '42704', qr/the API did not find the organization/, 'an unknown organization');
fails_with($node, "SELECT * FROM chpg_service('pg0000000000000000000000ab', 'chpg')", '42704', qr/could not read service "pg0000000000000000000000ab": the API did not find it/,
	'an unknown service');

# A server whose organization has to be discovered
$node->safe_psql('postgres',
	"CREATE SERVER discovering FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER discovering OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");
fault_fails({ body => $_, path => 'organizations$' }, '08P01', qr/$NOT_THE_API|belongs to no organization/,
	"$_ for the organizations", "SELECT * FROM chpg_services('discovering')")
  for '{"result":[]}', '{"result":{}}', '{"result":[null]}', '{"result":[{"id":17}]}', '{"result":[{"id":"x/../y"}]}';
fault_fails({ status => 401, path => 'organizations$' }, '28000', qr/did not accept the key/,
	'a refused discovery', "SELECT * FROM chpg_services('discovering')");

# A program at the address that does not speak HTTP
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8) or die "could not listen: $!";

start_process(sub {
	while (my $client = $listener->accept)
	{
		syswrite $client, "SSH-2.0-OpenSSH_9.2\r\n";
		sysread $client, my $request, 4096;
	}
});
add_server($node, 'not_http', api_url => 'http://127.0.0.1:' . $listener->sockport, organization_id => $NO_ORGANIZATION);
fails_with($node, "SELECT * FROM chpg_services('not_http')", '08P01', $NOT_THE_API, 'an address that does not speak HTTP');

# Numbers outside the range of their attributes, and numbers in other notations
my %NUMBERS = (
	'"storageSize":1e30' => '22003',
	'"storageSize":9223372036854775808' => '22003',
	'"storageSize":"9223372036854775808"' => '22003',
	'"storageSize":"NaN"' => '22',
	'"storageSize":"118 GB"' => '22P02',
	'"storageSize":"' . '1' x 1000 . '"' => '08P01',
	'"createdAt":1e300' => '22008',
	'"createdAt":"now"' => '22007',
	'"createdAt":"2026-13-01T00:00:00Z"' => '22008',
	'"isPrimary":"perhaps"' => '22P02');

for my $number (sort keys %NUMBERS)
{
	my $err;
	only_fault($url, body => qq({"result":[{"id":"x",$number}]}));
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$LIST");
	like($err, qr/ERROR:  (?:$NUMBERS{$number})/, substr($number, 0, 60) . ": SQLSTATE $NUMBERS{$number}");
	like($err, qr/CONTEXT:  .*attribute "/s, substr($number, 0, 60) . ': names the attribute');
}
only_fault($url, body => '{"result":[{"id":17,"name":true,"storageSize":"118.6","createdAt":1750000000.25,"isPrimary":"true","unheardOf":[{}]}],"status":200.0}');
is($node->safe_psql('postgres', "SET timezone = 'UTC'; SELECT id, name, storage_size, created_at, is_primary FROM chpg_services"),
	'17|true|119|2025-06-15 15:06:40.25+00|t', 'values in other forms than usual');

# Retries: transient failures of reads are retried, and nothing else is.
my $RETRIES = 'SET chpg.max_retries = 3';

only_fault($url, status => 503, times => 2);
costs($node, $url, "$RETRIES; $LIST", 3, 'an API that fails twice');
only_fault($url, reset => 'before', times => 1);
costs($node, $url, "$RETRIES; $LIST", 2, 'a connection that breaks once');
only_fault($url, hang => JSON::PP::true, times => 1);
costs($node, $url, "$RETRIES; SET chpg.request_timeout = '1s'; $LIST", 2, 'a response that fails to arrive once');

only_fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '0.3' }, times => 1);
costs($node, $url, "$RETRIES; $LIST", 2, 'a request beyond the limit');
cmp_ok((pauses())[0], '>=', 0.3, 'a request beyond the limit waits for the reset');
for my $status (429, 503)
{
	only_fault($url, status => $status, headers => { 'Retry-After' => '1' }, times => 1);
	costs($node, $url, "$RETRIES; $LIST", 2, "status $status with Retry-After");
	cmp_ok((pauses())[0], '>=', 1, "status $status with Retry-After waits as long");
}

only_fault($url, status => 503);
fails_with($node, "SET chpg.max_retries = 2; $LIST", '58000', qr/HTTP status 503, request id [-0-9a-f]+, 3 attempts\./,
	'an API that fails for good');
only_fault($url, status => 503, times => 1);
fails_with($node, "SET chpg.max_retries = 0; $LIST", '58000', qr/ 1 attempt\./, 'no retries wanted');

for my $status (400, 401, 403, 404, 409, 422, 302)
{
	only_fault($url, status => $status);
	my $before = request_count($url);
	isnt($node->psql('postgres', "$RETRIES; $LIST", on_error_stop => 1), 0, "status $status fails");
	is(request_count($url) - $before, 1, "status $status is not tried again");
}
fault_fails({ body => 'nonsense' }, '08P01', qr/ 1 attempt\./, 'a malformed response is not tried again', "$RETRIES; $LIST");

# The other readers

for my $reader ('chpg_prometheus()', 'chpg_health', '(SELECT chpg_prometheus_text()) t', "chpg_metrics($DAY, '$ORDERS')", "chpg_logs($DAY, '$ORDERS')", 'chpg_quotas()')
{
	fault_fails({ status => 403 }, '42501', qr/HINT:  .*needs the permission control-plane:/, "$reader without the permission", "SELECT * FROM $reader");
	fault_fails({ status => 404 }, '42704', qr/the API did not find/, "$reader of what is unknown", "SELECT * FROM $reader");
	fault_fails({ status => 503, body => $HTML, content_type => 'text/html' }, '58000', qr/The response is not JSON/, "$reader of an API that is down", "SELECT * FROM $reader");
	fault_fails({ body => $HTML, content_type => 'text/html' }, '08P01', qr/malformed API response/, "$reader from a login page", "SELECT * FROM $reader");
	fault_fails({ truncate => 10 }, '08006', qr/the connection broke/, "$reader cut off", "SELECT * FROM $reader");
	fault_fails({ oversize_bytes => 100_000, encoding => 'gzip' }, '54000', qr/the response is too large/, "$reader with a bomb",
		"SET chpg.max_response_size = '64kB'; SELECT * FROM $reader");
}

# All permissions that an operation needs, and a feature that is not enabled

for my $write ("chpg_create_read_replica('$ORDERS', 'copy')", "chpg_restore_service('$ORDERS', 'copy', now() - interval '1 hour')")
{
	only_fault($url, method => 'POST', status => 403);
	fails_with($node, "SELECT $write", '42501',
		qr/HINT:  .*needs the permissions control-plane:organization:create-service and control-plane:postgres-service:manage\.$/m,
		"$write names both permissions");
}
for my $words ('early access API endpoint', 'ClickStack has not been setup for this service')
{
	my $body = qq({"status":403,"error":"FORBIDDEN: $words","requestId":"1"});
	fault_fails({ status => 403, body => $body }, '42501',
		qr/(?!.*needs the permission)could not list the services: the feature may not be enabled for the organization.*\Q$words\E/s,
		"a 403 with: $words", $LIST);
}

# A reset that is too far away: chpg assumes three windows, does not wait, and saves the
# next request.
use_new_key($node, $url, 'unlimited');
my $err = fault_fails({ status => 429, headers => { 'X-RateLimit-Reset' => '3600' } },
	'53400', qr/The budget resets in 30\.0 s\. HTTP status 429/,
	'a reset beyond chpg.max_wait', "$RETRIES; SET chpg.max_wait = '1s'; $LIST");
for my $reset ('1e300', '-5', 'soon', 'nan', 'inf')
{
	use_new_key($node, $url, 'unlimited');
	fault_fails({ status => 429, headers => { 'X-RateLimit-Reset' => $reset } },
		'53400', qr/The budget resets in \d{1,9}\.\d s\./, "a reset in $reset seconds", "$RETRIES; SET chpg.max_wait = '1s'; $LIST");
}
use_new_key($node, $url, 'unlimited');
only_fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '3600' }, times => 1);
{
	my $before = request_count($url);
	my $notices = notices($node, "\\set VERBOSITY verbose\nSET chpg.max_wait = '1s';\n$LIST;\n$LIST;", on_error_stop => 0);

	is(() = $notices =~ /ERROR:  53400/g, 2, 'while the budget is spent, all statements of a session fail');
	like($notices, qr/could be sent in (?:2\d|30)\.\d s, at \d.* Nothing was sent\./, 'the second statement sends no request');
	is(request_count($url) - $before, 1, 'the journal has one request');
}
reset_emulator($url);
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id '$KEY_ID')");

# Fleets
clear_faults($url);
my %id = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT name, id FROM chpg_services');

is(scalar keys %id, 6, 'the fleet has six services');
only_fault($url, status => 500, path => "/$id{billing}/");
fails_with($node, $FLEET, '58000', qr/could not read the slow query patterns of service "billing" \($id{billing}\): /,
	'a fleet in which one service fails');
only_fault($url, patch => { 'result.3.totalRows' => 'many' }, path => "/$id{billing}/");
fails_with($node, $FLEET, '22P02', qr/CONTEXT:  .*attribute "total_rows".*for service "billing"/s,
	'a fleet in which the response for one service is malformed');
only_fault($url, status => 404, path => "/$id{billing}/");
is($node->safe_psql('postgres', "SELECT count(DISTINCT service_id) FROM ($FLEET) fleet"), 5,
	'a service that has vanished is left out');
only_fault($url, status => 404, path => 'slowQueryPatterns');
fails_with($node, $FLEET, '42704', qr/could not read the slow query patterns of service /,
	'a fleet whose services all have vanished');
reset_emulator($url, services => 0);
is($node->safe_psql('postgres', "SELECT count(*) FROM ($FLEET) fleet"), 0, 'a fleet without services');
reset_emulator($url, overrides => { billing => { state => 'creating' }, search => { state => 'deleting' } });
is($node->safe_psql('postgres', "SELECT count(DISTINCT service_id) FROM ($FLEET) fleet"), 4,
	'services in states creating or deleting get no request');
reset_emulator($url);

# An API that repeats its pages would never come to an end.
my $page = encode_json({ result => [ map { { queryId => "$_" } } 1 .. 500 ] });
my $before = request_count($url);

only_fault($url, body => $page, path => 'slowQueryPatterns');
fails_with($node, "SELECT * FROM chpg_slow_patterns($DAY, '$ORDERS')", '08P01',
	qr/page 2 has the rows of earlier pages/, 'the same page again and again');
is(request_count($url) - $before, 2, 'the same page again and again: two requests');

# No secret appears in a message, even if a proxy echoes it.
my $basic = encode_base64("$KEY_ID:$KEY_SECRET", '');
my $echo = encode_json({
		error => "refused: Authorization: Basic $basic, password $KEY_SECRET\nsecond line\t" . 'x' x 10_000,
		requestId => "id-$KEY_SECRET" });

$err = fault_fails({ status => 400, body => $echo }, '22023',
	qr/Authorization: Basic \*\*\*, password \*\*\* second line x+"\. HTTP status 400, request id id-\*\*\*, 1 attempt/,
	'a response that echoes the key');
unlike($err, qr/\Q$KEY_SECRET\E|\Q$basic\E/, 'a response that echoes the key: the secret is masked');
cmp_ok(length $err, '<', 2000, 'a response that echoes the key: the message is short');
unlike(slurp_file($node->logfile), qr/\Q$KEY_SECRET\E|\Q$basic\E/, 'the secret is not in the server log either');

# Each field of each response in turn is missing, null, or of another type: all rows
# arrive, or a clear error, but never fewer rows. The attribute's type decides which.
my %MUTATION = (
	missing => { '$delete' => 1 },
	null => undef,
	number => 17,
	fraction => 0.5,
	string => 'word',
	list => ['word'],
	object => { word => 17 },
	true => JSON::PP::true);

my %ALLOWED = (
	text => { list => '08P01', object => '08P01' },
	number => { string => '22P02', true => '22P02', list => '08P01', object => '08P01' },
	boolean => { number => '22P02', fraction => '22P02', string => '22P02', list => '08P01', object => '08P01' },
	time => { string => '22007', true => '22007', list => '08P01', object => '08P01' },
	jsonb => { number => '08P01', fraction => '08P01', string => '08P01', true => '08P01', list => '08P01' });

my %KIND = (
	'bigint' => 'number',
	'integer' => 'number',
	'double precision' => 'number',
	'timestamp with time zone' => 'time',
	'text' => 'text',
	'boolean' => 'boolean',
	'jsonb' => 'jsonb');

# Function call, its composite type, the place of a row in the response, and the path of
# its request.  Of a notification, no field is documented: all are taken leniently.
my @READERS = (
	[ 'chpg_notifications()', 'chpg_notification_row', 'result.0', 'notifications$' ],
	[ "chpg_backups('$ORDERS')", 'chpg_backup_row', 'result.0', 'backups$' ],
	[ 'chpg_organizations()', 'chpg_organization_row', 'result.0' ],
	[ 'chpg_whoami()', 'chpg_whoami_row', 'result' ],
	[ 'chpg_quotas()', 'chpg_quota_row', 'result.1' ],
	[ 'chpg_services()', 'chpg_service_row', 'result.0' ],
	[ "chpg_service('$ORDERS')", 'chpg_service_detail_row', 'result' ],
	[ "chpg_ip_access_list('$ORDERS')", 'chpg_ip_access_row', 'result.ipAccessList.0' ],
	[ "chpg_private_endpoint('$ORDERS')", 'chpg_private_endpoint_row', 'result' ],
	[ "chpg_slow_patterns($DAY, '$ORDERS')", 'chpg_slow_pattern_row', 'result.0' ],
	[ "chpg_slow_pattern($PATTERN)", 'chpg_slow_pattern_row', 'result.aggregate' ],
	[ "chpg_slow_pattern_executions($PATTERN)", 'chpg_slow_pattern_execution_row', 'result.recentExecutions.0' ]);

$node->safe_psql('postgres', <<'END');
CREATE FUNCTION outcome(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	state text;
	context text;
BEGIN
	EXECUTE sql INTO n;
	RETURN n || ' rows';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, context = PG_EXCEPTION_CONTEXT;
	RETURN state || ' ' || coalesce(substring(context FROM 'attribute "(\w+)"'), '');
END $$;
END

# The key of an attribute in the response
sub key_of
{
	my ($attribute) = @_;
	return 'timestamp' if $attribute eq 'executed_at';
	return $attribute =~ s/_(.)/\u$1/gr;
}

clear_faults($url);
$node->safe_psql('postgres', "SELECT FROM chpg_create_private_endpoint('$ORDERS')");

for my $reader (@READERS)
{
	my ($function, $type, $path, $of_request) = @$reader;
	my @cases;
	my @wrong;

	clear_faults($url);
	my $rows = $node->safe_psql('postgres', "SELECT count(*) FROM $function");
	cmp_ok($rows, '>', 0, "$function has rows");

	my @attributes = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres',
		"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '$type'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum");

	# Each fault is for one request, in their order.
	for my $attribute (@attributes)
	{
		my ($name, $sql_type) = @$attribute;
		my $kind = $KIND{$sql_type} // die "type $sql_type";

		# The field that query_id is made of, and the row as a whole
		next if $name eq 'query_hex' || $name eq 'raw';

		for my $mutation (sort keys %MUTATION)
		{
			my $state = $ALLOWED{$kind}{$mutation};

			# All JSON is jsonb, but for what is made into an object of tags.
			$state = undef if $sql_type eq 'jsonb' && $name ne 'tags';
			# Hardly any field of a private endpoint is documented.
			$state = undef if $type eq 'chpg_private_endpoint_row';
			$state = '22P02' if $name eq 'query_id' && $mutation eq 'fraction';
			$state = undef if $type eq 'chpg_notification_row';
			fault($url, times => 1, path => $of_request // '.', patch => { "$path." . key_of($name) => $MUTATION{$mutation} });
			push @cases, [ "$mutation for $name", $state ? "$state $name" : "$rows rows" ];
		}
	}
	my @outcomes = split /\n/, $node->safe_psql('postgres',
		'SELECT outcome($$SELECT count(*) FROM (SELECT * FROM ' . $function . ' r OFFSET 0) r$$)'
		  . ' FROM generate_series(1, ' . scalar(@cases) . ')');

	is(scalar @outcomes, scalar @cases, "$function survives all answers");
	for my $i (0 .. $#cases)
	{
		my ($what, $expected) = @{ $cases[$i] };
		push @wrong, "$what: $outcomes[$i] instead of $expected" if ($outcomes[$i] // '') ne $expected;
	}
	is(join("\n", @wrong), '', "$function: each field missing, null or of another type");
}

done_testing();
