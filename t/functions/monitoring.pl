# Prometheus metrics, time series and logs: their requests, and that windows of several
# requests have neither gaps nor repetitions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use Test::More;

my $NOW = '2026-06-30T12:00:30.000Z';
my $MONTH = "'2026-05-01 00:00Z', '2026-06-01 00:00Z', '$ORDERS'";

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));

# The API's own response
sub ask
{
	my ($path) = @_;
	my $organization = organization_id($url);
	my $answer = HTTP::Tiny->new->get("$url/v1/organizations/$organization/postgres/$path",
		{ headers => { Authorization => 'Basic ' . encode_base64("$KEY_ID:$KEY_SECRET", '') } });

	die "$path: $answer->{status} $answer->{content}" if !$answer->{success};
	return $answer->{content};
}

# Prometheus
reset_emulator($url, now => $NOW);
my $text = ask("$ORDERS/prometheus");
my @samples = grep { /^[^#]/ } split /\n/, $text;

cmp_ok(scalar @samples, '>', 30, 'the API has samples');
is(costs($node, $url, "SELECT count(*) FROM chpg_prometheus('$ORDERS')", 1, 'the samples of a service'),
	scalar @samples, 'each sample is a row');
is(costs($node, $url, "SELECT chpg_prometheus_text('$ORDERS')", 1, 'the text'),
	$text, 'the text is that of the API');
is( costs($node, $url,
		q{SELECT string_agg(DISTINCT type, ',' ORDER BY type), count(*) FILTER (WHERE help IS NULL), count(*) FILTER (WHERE service_id IS DISTINCT FROM labels->>'postgres_service'), count(DISTINCT service_name) FROM chpg_prometheus()},
		1, 'the samples of all services'),
	'counter,gauge|0|0|6', 'types, help and labels are there');
is(costs($node, $url, q{SELECT count(DISTINCT service_id) FROM chpg_prometheus('orders')}, 2, 'a service by name'),
	1, 'only that service');
reset_emulator($url, now => $NOW, overrides => { orders => { name => "o\"r\\ders" } });
is($node->safe_psql('postgres', "SELECT DISTINCT service_name FROM chpg_prometheus('$ORDERS')"),
	'o"r\\ders', 'escapes in labels');

for my $case (
	[ "a 1\nb{c=\"d\" 2\n", 'a broken label', qr/line 2 of the metrics: .*DETAIL:  The line is "b\{c="d" 2"/s ],
	[ '<html>login</html>', 'a login page', qr/line 1 of the metrics/ ],
	[ "a 1\na \xff\n", 'no number', qr/line 2 of the metrics/ ])
{
	my ($body, $name, $message) = @$case;

	for my $call ("SELECT * FROM chpg_prometheus('$ORDERS')", 'SELECT * FROM chpg_health',
		"SELECT chpg_prometheus_text('$ORDERS')")
	{
		clear_faults($url);
		fault($url, path => 'prometheus', body_base64 => encode_base64($body, ''), content_type => 'text/plain');
		fails_with($node, $call, '08P01', $message, "$name: $call");
	}
}
clear_faults($url);
fault($url, path => 'prometheus', body => '', content_type => 'text/plain');
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_prometheus()'), 0, 'no metrics are no rows');
clear_faults($url);

# A large machine: no number is cut where psql shows the fleet
my %large = (CPUCores => 128, ActiveConnections => 234, StorageLimitBytes => 999 * 2**30, FilesystemUsedPercent => 100);
my $metrics = ask('prometheus');
$metrics =~ s/^(PostgresServer_$_\{.*\}) \S+/$1 $large{$_}/mg for keys %large;
fault($url, path => 'prometheus', body => $metrics, content_type => 'text/plain');
is($node->safe_psql('postgres', 'SELECT DISTINCT load, storage FROM chpg_fleet WHERE load IS NOT NULL'), '  234/128|100% of 999 GB', 'the load and storage of a large machine');
clear_faults($url);

# The fleet's health: one request, or an error where the API returns only a part
reset_emulator($url, now => $NOW, services => 80);
is( costs($node, $url,
		'SELECT count(*), count(status), count(version), bool_and(storage_used_percent BETWEEN 0 AND 100 AND memory_limit_bytes > 0 AND database_bytes > 0 AND active_connections >= 0 AND commits > 0) FROM chpg_health',
		1, 'the health of 80 services'),
	'80|80|80|t', 'all services are there');
reset_emulator($url, now => $NOW, services => 100);
is(costs($node, $url, 'SELECT count(*) FROM chpg_health', 2, 'the health of 100 services'), 100, 'all services are there');
reset_emulator($url, now => $NOW, services => 101);
fails_with($node, 'SELECT count(*) FROM chpg_health', '54000',
	qr/omit 1 of its services.*at most 100.*HINT:  .*LATERAL chpg_prometheus\(s\.id\)/s, 'the health of 101 services');
is( costs($node, $url, 'SELECT count(DISTINCT p.service_id) FROM chpg_services s, LATERAL chpg_prometheus(s.id) p',
		102, 'the hint'),
	101, 'all services are there');

# Where the organization's metrics are not enabled, those of each service are read.
my $HEALTH = q{SELECT string_agg(h::text, E'\n' ORDER BY h.service_id) FROM chpg_health() h};
reset_emulator($url, now => $NOW);
my $health = $node->safe_psql('postgres', $HEALTH);
for my $option (qw(early_access not_set_up))
{
	reset_emulator($url, now => $NOW, prometheus_of_all => $option);
	is(costs($node, $url, $HEALTH, 1 + 1 + 6, "$option: the health of each service"), $health, 'is the same');
	my $notices = notices($node, "$HEALTH; SELECT FROM chpg_health a JOIN chpg_health b USING (service_id)");
	like($notices, qr/NOTICE:  Prometheus metrics of the organization are not enabled: reading those of each service, with 6 requests\nHINT:  Ask the support/, "$option: a notice with the cost");
	is(scalar(() = $notices =~ /(?:NOTICE|WARNING):/g), 2, "$option: one for each statement");
	fails_with($node, 'SELECT FROM chpg_prometheus()', '42501', qr/the feature may not be enabled for the organization/, "$option: the metrics themselves");
	fault($url, path => '/postgres/prometheus$', status => 403);
	clear_journal($url);
	fails_with($node, $HEALTH, '42501', qr/the key does not have the permission/, "$option: a missing permission");
	is(request_count($url), 1, "$option: is none that other requests get round");
	only_fault($url, path => "/$ORDERS/prometheus", status => 403);
	fails_with($node, $HEALTH, '42501', qr/of service "orders" \($ORDERS\): the key does not/, "$option: a permission for a service");
	only_fault($url, path => "/$ORDERS/prometheus", status => 500);
	my ($rc, $rows, $warnings) = $node->psql('postgres', 'SET chpg.max_retries = 0; SET chpg.on_service_error = warning; SELECT count(*) FROM chpg_health');
	is($rows, 5, "$option: a service that fails");
	like($warnings, qr/WARNING:  could not read the Prometheus metrics of service "orders"/, "$option: with a warning");
	only_fault($url, path => '/postgres/[^/]+/prometheus$', status => 500);
	fails_with($node, "SET chpg.max_retries = 0; SET chpg.on_service_error = warning; $HEALTH", '58000', qr/ERROR:  58000: could not read the Prometheus metrics of service/, "$option: all services fail");
	only_fault($url, path => "/$ORDERS/prometheus", status => 404, body => '{"error": "NOT_FOUND"}');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_health'), 5, "$option: a service that has vanished");
	clear_faults($url);
}
reset_emulator($url, now => $NOW, prometheus_of_all => 'early_access', not_running => 'refused');
is(costs($node, $url, q{SET client_min_messages = error; SELECT count(*), string_agg(concat_ws(' ', service_name, status, cpu_cores), ', ') FILTER (WHERE status <> 'running') FROM chpg_health}, 1 + 1 + 6, 'a service that is not running'), '6|search stopped', 'has its state, and nothing else');
like(notices($node, 'SELECT FROM chpg_health'), qr/WARNING:  could not read the Prometheus metrics of service "search" \(.*\): the service is "stopped", and the API rejected the request/, 'with a warning');
reset_emulator($url, now => $NOW, prometheus_of_all => 'early_access', services => 20);
$node->safe_psql('postgres', "CREATE SERVER other FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', rate_limit '10/10s'); CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (key_id 'secondKeyId', key_secret '$KEY_SECRET')");
clear_journal($url);
my $refused = fails_with($node, "SET chpg.max_wait = '5s'; SELECT FROM chpg_health('other')", '53400',
	qr/could not read the Prometheus metrics of the services: the key's request budget does not allow it in time\nDETAIL:  20 requests are needed, and 7 can be sent now; .*\nHINT:  Ask for less, or raise "chpg.max_wait"/, 'more services than the budget has room for');
like($refused, qr/NOTICE:  \w+: Prometheus metrics of the organization are not enabled: .* 20 requests\nDETAIL:  This takes about [12]\d s\./, 'a notice says why');
is(request_count($url), 3, 'nothing but the organization and the list was read');
$node->safe_psql('postgres', 'DROP SERVER other CASCADE');
fails_with($node, "SET chpg.max_requests = 10; $HEALTH", '54000', qr/: 20 requests are needed, of which "chpg.max_requests" allows 10/, 'more services than a statement may read');

# Two captures of counters yield rates.
reset_emulator($url, now => '2026-06-30T12:00:30.000Z');
$node->safe_psql('postgres',
	"CREATE TABLE samples AS SELECT timestamptz '2026-06-30 12:00:30Z' AS captured_at, * FROM chpg_prometheus() WHERE type = 'counter'");
reset_emulator($url, now => '2026-06-30T12:05:30.000Z');
is( $node->safe_psql('postgres', <<'SQL'),
INSERT INTO samples SELECT timestamptz '2026-06-30 12:05:30Z', * FROM chpg_prometheus() WHERE type = 'counter';
SELECT count(*) > 100, min(per_second) >= 0, max(per_second) > 0
FROM (SELECT (value - lag(value) OVER w) / extract(epoch FROM captured_at - lag(captured_at) OVER w) AS per_second
      FROM samples
      WINDOW w AS (PARTITION BY service_id, metric, labels ORDER BY captured_at)) rates
WHERE per_second IS NOT NULL
SQL
	't|t|t', 'counters grow');

# Time series: a month in steps of a minute
reset_emulator($url, now => $NOW);
my $SEEN = q{count(*), count(DISTINCT (metric, series, "timestamp")), count(DISTINCT (metric, series)), min("timestamp"), max("timestamp")};
my @month = split /\|/, costs($node, $url, "SELECT $SEEN FROM chpg_metrics($MONTH, bucket => '1 minute')", 179, 'a month by the minute');

is($month[0], $month[1], 'no point comes twice');
is($month[0], $month[2] * 31 * 24 * 60, 'no point is missing');
is("$month[3]|$month[4]", '2026-05-01 00:00:00+00|2026-05-31 23:59:00+00', 'from the first minute to the last');
is( $node->safe_psql('postgres', <<"SQL"), '0', 'any cut of a window gives the same points');
WITH whole AS (SELECT * FROM chpg_metrics('2026-05-01 00:00Z', '2026-05-02 00:00Z', '$ORDERS', '1 minute')),
parts AS (SELECT * FROM chpg_metrics('2026-05-01 00:00Z', '2026-05-01 07:13Z', '$ORDERS', '1 minute')
          UNION ALL SELECT * FROM chpg_metrics('2026-05-01 07:13Z', '2026-05-02 00:00Z', '$ORDERS', '1 minute'))
SELECT count(*) FROM ((TABLE whole EXCEPT ALL TABLE parts) UNION ALL (TABLE parts EXCEPT ALL TABLE whole)) differences
SQL
is( costs($node, $url, q{SELECT count(DISTINCT "timestamp"), min("timestamp") FROM chpg_metrics('2026-05-01 00:00:30Z', '2026-05-01 10:00:30Z', 'pg7myrd1j06p3gx4zrm2ze8qz6', '1 minute') WHERE metric = 'cpu_usage'},
		3, 'a window that does not begin with a bucket'),
	'600|2026-05-01 00:01:00+00', 'all its buckets are there');
costs($node, $url, "SELECT FROM chpg_metrics('2026-05-01 00:00Z', '2026-05-01 08:20Z', '$ORDERS', '1 minute')", 2, 'two times 250 buckets');
costs($node, $url, "SELECT FROM chpg_metrics($MONTH)", 1, 'a month without a bucket');
is( costs($node, $url, q{SELECT count(DISTINCT "timestamp") FROM chpg_metrics('2026-01-01 00:00Z', '2026-05-01 00:00Z', 'pg7myrd1j06p3gx4zrm2ze8qz6') WHERE metric = 'cpu_usage'},
		4, 'four months without a bucket'),
	120 * 8, 'every three hours');
costs($node, $url, "SELECT FROM chpg_metrics('2026-05-01 00:00Z', '2026-05-01 01:00Z')", 7, 'an hour of the fleet');
is(costs($node, $url, "SELECT count(DISTINCT unit) > 2, bool_or(unit IS NULL), bool_or(value IS NULL) FROM chpg_metrics($MONTH)", 1, 'units'),
	't|t|f', 'units are there where the API has them, values always');
costs($node, $url, "SELECT FROM chpg_metrics($MONTH, bucket => '59.7 seconds')", 179, 'a bucket is rounded to seconds');
for my $bucket ('0.4 seconds', '-1 minute', '1 month', '32 days')
{
	clear_journal($url);
	fails_with($node, "SELECT * FROM chpg_metrics($MONTH, bucket => '$bucket')", '22023',
		qr/invalid value for "bucket".*HINT:  /s, "a bucket of $bucket");
	is(request_count($url), 0, "a bucket of $bucket: no request");
}
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '10/10s')});
clear_journal($url);
fails_with($node, "SELECT * FROM chpg_metrics($MONTH, bucket => '1 minute')", '53400',
	qr/DETAIL:  179 requests are needed, .*HINT:  .*chpg\.max_wait/s, 'too many points for the budget');
is(request_count($url), 0, 'too many points for the budget: no request');

# Ten thousand years in steps of a second, where a statement may send that many requests
my $BOUNDLESS = 'SET chpg.max_requests = 2147483647;';
for my $case (
	[ '', 'a fleet, all time by the second' ],
	[ ", '$ORDERS'", 'a service, all time by the second' ],
	[ ", 'orders'", 'a service by name, all time by the second' ])
{
	my ($service, $name) = @$case;
	my $call = "chpg_metrics('0001-01-01', '9999-12-31', bucket => '1 second'" . ($service =~ s/, /, service => /r) . ')';

	clear_journal($url);
	fails_with($node, "$BOUNDLESS SELECT * FROM $call", '53400', qr/DETAIL:  126\d{7} requests are needed, .*HINT:  .*chpg\.max_wait/s, $name);
	is(request_count($url), 0, "$name: no request");
}

# If there is time for the requests of one service, the list of the fleet decides: more
# requests than 32 bits can count, and so more than any limit.
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '256/0.1s')});
clear_journal($url);
fails_with($node, qq{$BOUNDLESS SET chpg.max_wait = '24d'; SELECT * FROM chpg_metrics('0001-01-01', '9999-12-31', bucket => '1 second')},
	'54000', qr/757\d{7} requests are needed, of which "chpg\.max_requests" allows 2147483647/, 'a fleet, and a patient statement');
is(request_count($url), 1, 'a fleet, and a patient statement: the list of services only');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});

# Logs, compared with the API's own response for each hour
sub hours
{
	my ($from, $hours) = @_;
	my @lines;

	for my $hour (0 .. $hours - 1)
	{
		my $query = sprintf 'from_date=%s&to_date=%s&limit=2000&sort_order=asc',
		  map { $node->safe_psql('postgres', qq{SELECT to_char(timestamptz '$from' + interval '$_', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')}) }
		  "$hour hours", ($hour + 1) . ' hours - 1 millisecond';
		push @lines, @{ decode_json(ask("$ORDERS/logs?$query"))->{result} };
	}
	return @lines;
}

reset_emulator($url, now => $NOW, log_lines_per_hour => 1000);
my @lines = hours('2026-06-29 00:00Z', 5);
my $DIGEST = q{SELECT count(*), md5(string_agg(severity || body, '|' ORDER BY "timestamp", severity COLLATE "C", body COLLATE "C")) FROM };
my $digest = $node->safe_psql('postgres',
	$DIGEST . q{json_to_recordset($json$} . JSON::PP->new->ascii->encode(\@lines) . q{$json$) l("timestamp" timestamptz, severity text, body text)});

cmp_ok(scalar @lines, '>=', 5000, 'the API has lines');
is( costs($node, $url, "$DIGEST chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS')",
		1 + int(@lines / 2000), 'five hours of logs'),
	$digest, 'every line once, and equal lines as often as the API has them');
is( $node->safe_psql('postgres', "$DIGEST chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', sort_order => 'asc')"),
	$digest, 'the same in the other order');
is( $node->safe_psql('postgres', "$DIGEST (SELECT * FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 02:00Z', '$ORDERS')"
		  . " UNION ALL SELECT * FROM chpg_logs('2026-06-29 02:00Z', '2026-06-29 05:00Z', '$ORDERS')) parts"),
	$digest, 'windows that meet have no line in common');
is( costs($node, $url, "SELECT count(*), bool_and(\"timestamp\" >= (SELECT \"timestamp\" FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', max_rows => 2500) ORDER BY 1 LIMIT 1)) FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', max_rows => 2500)",
		2, 'the newest lines'),
	'2500|t', 'max_rows');
is( $node->safe_psql('postgres', "SELECT max(\"timestamp\") FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', max_rows => 1)"),
	$node->safe_psql('postgres', "SELECT timestamptz '$lines[-1]{timestamp}'"), 'the newest line');
is( $node->safe_psql('postgres', "SELECT max(\"timestamp\") FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', sort_order => 'asc', max_rows => 1)"),
	$node->safe_psql('postgres', "SELECT timestamptz '$lines[0]{timestamp}'"), 'the oldest line');
my @errors = grep { $_->{severity} eq 'ERROR' } @lines;
is( costs($node, $url, "SELECT count(*) FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', severity => 'error')", 1, 'errors only'),
	scalar @errors, 'all errors');
my ($word) = $errors[0]{body} =~ /([a-z]{4,})/;
is( $node->safe_psql('postgres', "SELECT count(*) FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS', body_contains => '$word')"),
	scalar(grep { index($_->{body}, $word) >= 0 } @lines), 'lines with a word');

# A window of 45 days takes two requests, without a repeated line between them.
reset_emulator($url, now => $NOW, log_lines_per_hour => 5);
my $SEAM = "'2026-05-10 00:00Z', '2026-06-24 00:00Z', '$ORDERS'";
my $halves = $node->safe_psql('postgres',
	"$DIGEST (SELECT * FROM chpg_logs('2026-05-10 00:00Z', '2026-06-01 00:00Z', '$ORDERS') UNION ALL SELECT * FROM chpg_logs('2026-06-01 00:00Z', '2026-06-24 00:00Z', '$ORDERS')) halves");
is($node->safe_psql('postgres', "$DIGEST chpg_logs($SEAM)"), $halves, 'a window of 45 days');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_logs($SEAM, max_rows => 10)"), 10, 'the newest of 45 days');
is(costs($node, $url, "SELECT count(*) FROM chpg_logs('2026-01-01 00:00Z', '2026-06-24 00:00:00.001Z', '$ORDERS', max_rows => 5)", 1,
		'the newest lines of half a year'), 5, 'need no older lines');
costs($node, $url, q{SELECT FROM chpg_logs('2026-06-24 00:00Z', '2026-06-24 01:00Z')}, 7, 'logs of the fleet');

# An API that repeats its pages would never come to an end.
fault($url, path => 'logs$', body => encode_json({ result => [ map { { timestamp => '2026-06-29T00:00:00.000Z', severity => 'LOG', body => "line $_" } } 1 .. 2000 ] }));
fails_with($node, "SELECT count(*) FROM chpg_logs('2026-06-29 00:00Z', '2026-06-29 05:00Z', '$ORDERS')", '08P01',
	qr/page 2 has the rows of earlier pages/, 'a page that comes again');

done_testing();
