# The same request is sent once: within a statement always, and between sessions for
# chpg.cache_ttl, also while its response is on its way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $WINDOW = "'$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z'";
my $LIST = 'SELECT count(*) FROM chpg_services()';
my $CACHED = q{SET chpg.cache_ttl = '10min';};

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", "chpg.cache_size = '2MB'");

# The names of services are known.
$node->safe_psql('postgres', connect_sql($url) . "; $LIST");
my @sessions = map { open_session($node) } 1 .. 8;
in_session($_, "$CACHED LOAD 'chpg'") for @sessions;

# Empty the cache, and reset the emulator with these options.
sub begin_anew
{
	my (%options) = @_;
	reset_emulator($url, %options);
	$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
	return;
}

# Run this in all sessions at once; returns the number of requests and what each session
# printed.
sub all_ask
{
	my ($sql, @who) = @_;
	my @printed;

	@who = @sessions if !@who;
	begin_in_session($_, $sql) for @who;
	@printed = map { in_session($_, '\echo') . $_->{stderr} } @who;
	return (request_count($url), @printed);
}

sub active
{
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%chpg\\_s%' AND pid <> pg_backend_pid()");
}

# Eight sessions send the same request.
begin_anew();
fault($url, latency_ms => 200, times => 1);
is_deeply([ all_ask($LIST) ], [ 1, ("6\n") x 8 ], 'eight sessions with the same request cost one');
begin_anew();
is_deeply([ all_ask("SELECT count(*) FROM chpg_slow_patterns($WINDOW)") ], [ 7, ('360' . "\n") x 8 ], 'a fleet of six costs seven');
costs($node, $url, "$CACHED $LIST", 0, 'a later session');
is($node->safe_psql('postgres', 'SELECT sum(cache_hits) > 0, sum(shared_flights) > 0 FROM chpg_stats'), 't|t', 'both are counted');
costs($node, $url, "SET chpg.cache_ttl = 0; $LIST; $LIST", 2, 'a session with cache_ttl 0');
$node->safe_psql('postgres', "$CACHED $LIST");
in_session($sessions[0], q{SET chpg.cache_ttl = '100ms'});
clear_journal($url);
wait_until(sub { in_session($sessions[0], $LIST); request_count($url) == 1 }, 'a cached response is too old');
in_session($sessions[0], $CACHED);
begin_anew();
is( costs($node, $url,
		join('', map { "SELECT FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 12:00:00Z'::timestamptz + interval '$_ s', '$ORDERS', max_rows => 1);" } 1 .. 100),
		100, 'a hundred questions'),
	'', 'each is asked');

# Two scans of a statement read the same, and the one whose request is under way ends
# before the other looks for the response: rows of the second service are filtered away,
# while the third one's are still to come.
begin_anew();
my @ids = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM chpg_services ORDER BY id');
fault($url, path => "/$ids[1]/slowQueryPatterns", latency_ms => 1500, times => 100);
fault($url, path => "/$_/slowQueryPatterns", latency_ms => 4000, times => 100) for @ids[ 2 .. $#ids ];
$node->safe_psql('postgres', "CREATE SCHEMA tables; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO tables");
my $TIMES = "from_date = '$PAST_DATE 00:00Z' AND to_date = '$PAST_DATE 24:00Z'";
costs($node, $url, <<SQL, 7, 'scans of the same fleet beside each other');
SET chpg.cache_ttl = 0;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET enable_memoize = off;
SELECT count(*) FROM tables.slow_patterns o WHERE $TIMES AND o.service_id || '' <> '$ids[1]'
AND EXISTS (SELECT FROM tables.slow_patterns i WHERE $TIMES
	AND i.service_id <= o.service_id AND i.service_id >= o.service_id AND i.service_id || o.service_id <> '$ids[-1]$ids[-1]');
SQL

# Sessions one after the other: no other backend keeps the shared memory alive in
# between.
$_->quit for splice @sessions, 3;
my $alone = $node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
clear_journal($url);
is($node->safe_psql('postgres', "$CACHED $LIST"), 6, "session $_") for 1 .. 3;
is(request_count($url), 1, 'share their responses');

# Changes
my $TAG = "SELECT FROM chpg_set_tags('$ORDERS', '{\"team\": \"data\"}')";
begin_anew();
in_session($sessions[0], $LIST);
in_session($sessions[1], $TAG);
clear_journal($url);
in_session($sessions[0], $LIST);
is(request_count($url), 1, 'a read after a change sends a request');
begin_anew();
fault($url, path => 'postgres$', latency_ms => 700, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'an old read is under way');
in_session($sessions[1], $TAG);
clear_journal($url);
in_session($sessions[1], $LIST);
is(request_count($url), 1, 'a read before the change does not serve a read after it');
in_session($sessions[0], 'SELECT');
clear_journal($url);
in_session($sessions[2], $LIST);
is(request_count($url), 0, 'nor does its response replace the later one');
begin_anew(overrides => { orders => { state => 'restarting' } });
in_session($sessions[0], "SELECT state FROM chpg_services() WHERE id = '$ORDERS'");
control($url, 'POST', 'services/orders', { state => 'running' });
in_session($sessions[1], "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')");
is(in_session($sessions[0], "SELECT state FROM chpg_services() WHERE id = '$ORDERS'"), 'running', 'all sessions see the state that chpg_wait has read');

begin_anew();
$node->safe_psql('postgres', "$CACHED $LIST");
costs($node, $url, "$CACHED SET chpg.dry_run = on; $TAG; SET chpg.dry_run = off; $LIST", 1, 'a dry run leaves cached responses valid');

# Keys: a response is shared only with callers that know the secret.
$node->safe_psql('postgres',
	"CREATE ROLE guesser LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO guesser;"
	  . "CREATE USER MAPPING FOR guesser SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret 'guessed')");
$node->safe_psql('postgres', "$CACHED $LIST");
fails_with($node, "$CACHED $LIST", '28000', qr/did not accept the key/, 'a wrong secret', extra_params => [ '-U', 'guesser' ]);
fails_with($node, "$CACHED SELECT * FROM chpg_connect('$KEY_ID', 'guessed', server => 'chpg')", '28000', qr/did not accept/, 'chpg_connect');

fails_with($node, "$CACHED $LIST; ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_secret 'wrong'); $LIST",
	'28000', qr/did not accept the key/, 'a secret that changes within a session');
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_secret '$KEY_SECRET')");

# One execution of a statement
my %ONCE = (
	'a self-join' => [ 'SELECT count(*) FROM chpg_services() a, chpg_services() b', 1 ],
	'a lateral join' => [ "SELECT count(*) FROM generate_series(1, 5) i, LATERAL (SELECT i, s.* FROM chpg_service('$ORDERS') s OFFSET 0) t", 1 ],
	'repeated arguments' => [ "SELECT count(*) FROM (VALUES ('$ORDERS'), ('$ORDERS')) v(id), LATERAL chpg_service(v.id)", 1 ],
	'a union' => [ 'TABLE chpg_services UNION ALL TABLE chpg_services', 1 ],
	'results side by side' => [ "SELECT chpg_service('$ORDERS'), chpg_service('$ORDERS')", 1 ],
	'a correlated subquery' => [ 'SELECT (SELECT count(*) FROM chpg_services() WHERE i > 0) FROM generate_series(1, 5) i', 1 ],
	'common table expressions' => [ 'WITH a AS MATERIALIZED (TABLE chpg_services), b AS MATERIALIZED (TABLE chpg_services) SELECT FROM a, b', 1 ],
	'a cursor' => [ 'BEGIN; DECLARE c CURSOR FOR SELECT chpg_services() UNION ALL SELECT chpg_services(); FETCH 1 FROM c; FETCH ALL FROM c; COMMIT', 1 ],
	'services by name' => [ "SELECT FROM chpg_slow_patterns($WINDOW, 'orders') a, chpg_slow_patterns($WINDOW, 'orders') b", 2 ],
	'a change in between' => [ "SELECT (SELECT count(*) FROM chpg_services()), (SELECT count(*) FROM chpg_set_tags('$ORDERS', '{\"team\": \"data\"}')), (SELECT count(*) FROM chpg_services())", 4 ],
	'a loop' => [ 'DO $$ BEGIN FOR i IN 1..3 LOOP PERFORM * FROM chpg_services(); END LOOP; END $$', 3 ],
	'executions of a prepared statement' => [ "PREPARE p AS $LIST; EXECUTE p; EXECUTE p", 2 ]);
begin_anew();
costs($node, $url, "SET chpg.cache_ttl = 0; $ONCE{$_}[0]", $ONCE{$_}[1], $_) for sort keys %ONCE;

# Responses that do not fit into work_mem go to a file, which is removed at the end of
# the statement.
begin_anew(services => 1, patterns => 1200);
my $PAGES = "SELECT * FROM chpg_slow_patterns($WINDOW, '$ORDERS')";
my $TWICE = "SELECT count(*) FROM ($PAGES UNION ALL $PAGES) twice";
is(costs($node, $url, "SET chpg.cache_ttl = 0; SET work_mem = '64kB'; $TWICE", 3, 'three pages twice'), 2400, 'all rows are there');
is(costs($node, $url, "SET chpg.cache_ttl = 0; SET work_mem = '64kB'; DO \$\$ BEGIN BEGIN PERFORM 1 / (n - 2400) FROM ($TWICE) t(n); EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$;"
		. ' SELECT count(*) FROM pg_ls_tmpdir()', 3, 'in a subtransaction that fails'), 0, 'no file is left');
$node->safe_psql('postgres', "SET chpg.cache_ttl = 0; SET work_mem = '64kB'; SET temp_file_limit = '1MB'; SELECT sum(call_count) FROM (SELECT * FROM chpg_slow_patterns($WINDOW, '$ORDERS', max_rows => 5)) s");

# The session that sends the request for all may be canceled; another one sends it then.
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	begin_anew();
	my $first = open_session($node);
	my $pid = in_session($first, "$CACHED SELECT pg_backend_pid()");

	fault($url, hang => JSON::PP::true, times => 1);
	begin_in_session($first, $LIST);
	wait_until(sub { request_count($url) == 1 }, 'the first session sends its request');
	begin_in_session($_, $LIST) for @sessions;
	wait_until(sub { active() == 4 }, 'the other sessions wait');
	$node->safe_psql('postgres', "SELECT $end($pid)");
	is(in_session($_, '\echo'), "6\n", "$end: the others get their answer") for @sessions;
	is(request_count($url), 2, "$end: by one further request");
	$first->quit if $end eq 'pg_cancel_backend';
}
begin_anew();
fault($url, latency_ms => 3000, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'the first session sends its request');
begin_in_session($sessions[1], "SET statement_timeout = '200ms'; $LIST");
await_in_session($sessions[1], qr/statement timeout/);
in_session($sessions[1], 'RESET statement_timeout');
is(in_session($sessions[0], '\echo'), "6\n", 'a follower that is canceled does not affect other sessions');
begin_anew();
fault($url, hang => JSON::PP::true, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'the first session sends its request');
is($node->safe_psql('postgres', "$CACHED SET chpg.request_timeout = '300ms'; $LIST"), 6, 'a follower with less time sends its own request');
end_first('while the other one still has no answer');

# A session that accepts no cached response does not wait for another session's request
# either.
begin_anew();
fault($url, hang => JSON::PP::true, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'the first session sends its request');
$node->safe_psql('postgres', "SET chpg.cache_ttl = 0; $LIST");
end_first('a session without the cache does not wait, but sends its own request');

# The first of two requests has no answer yet: cancel it.
sub end_first
{
	my ($name) = @_;

	is_deeply([ map { $_->{status} } @{ journal($url)->{requests} } ], [ undef, 200 ], $name);
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%chpg\_services%' AND pid <> pg_backend_pid()});
	await_in_session($sessions[0], qr/ERROR:  57014/);
	return;
}

# A statement that goes on after its fleet failed leads no flight.
begin_anew();
my $billing = $node->safe_psql('postgres', "$CACHED SELECT id FROM chpg_services() WHERE name = 'billing'");
fault($url, path => "/$billing/", status => 403, latency_ms => 500, times => 1);
fault($url, path => 'slowQueryPatterns', hang => JSON::PP::true, times => 5);
clear_journal($url);
in_session($sessions[2], 'SELECT pg_advisory_lock(1)');
begin_in_session($sessions[0], "DO \$\$ BEGIN BEGIN PERFORM FROM chpg_slow_patterns($WINDOW); EXCEPTION WHEN insufficient_privilege THEN NULL; END; PERFORM pg_advisory_xact_lock(1); END \$\$");
wait_until(sub { request_count($url) == 6 }, 'a fleet is under way');
is(in_session($sessions[1], "SELECT count(*) FROM chpg_slow_patterns($WINDOW, '$ORDERS')"), 60, 'a follower of a failed fleet sends the request itself');
is($node->safe_psql('postgres', q{SELECT wait_event_type FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'}), 'Lock', 'while the statement goes on');
in_session($sessions[2], 'SELECT pg_advisory_unlock(1)');
in_session($sessions[0], '\echo');

# An idle cursor delays no other session.
begin_anew(services => 4, patterns => 700);
in_session($sessions[0], "BEGIN; DECLARE c CURSOR FOR SELECT chpg_slow_patterns($WINDOW); FETCH 1 FROM c");
my $started = time;
is(in_session($sessions[1], "SELECT count(*) FROM chpg_slow_patterns($WINDOW)"), 2800, 'beside an open cursor');
# A wait for the cursor would last as long as chpg.request_timeout, half a minute.
cmp_ok(time - $started, '<', 15, 'other sessions go on');
is($node->safe_psql('postgres', 'SELECT max(waiting) FROM chpg_budget'), 0, 'the idle cursor waits for nothing');
in_session($sessions[0], 'ROLLBACK');

# A fleet that all sessions read costs the requests of one, also under a low limit.
begin_anew(patterns => 3);
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '4/0.5s')});
my @fleets = all_ask("SELECT count(*) FROM chpg_slow_patterns($WINDOW)");
is(shift @fleets, 7, 'one fleet for all, in turns');
like($_, qr/^18$/m, 'all rows are there') for @fleets;
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});

# An error of the API goes to all sessions; each decides whether to retry a transient
# one.
begin_anew();
fault($url, status => 403, times => 1, latency_ms => 500);
my ($requests, @printed) = all_ask($LIST);
is($requests, 1, 'an error of the API: one request');
is(scalar(grep { /ERROR:  42501/ } @printed), 3, 'an error of the API: all sessions get it');
like(join('', @printed), qr/, in response to another session\./, 'an error of the API: its CONTEXT names the session that sent the request');
begin_anew();
in_session($sessions[0], 'SET chpg.max_retries = 0');
fault($url, status => 503, times => 1, latency_ms => 500);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'a session without retries sends the request');
is(in_session($sessions[1], $LIST), 6, 'its failure is not that of the other sessions');
in_session($sessions[0], 'RESET chpg.max_retries');

# The cache is bounded, and evicts the least recently used response first.
begin_anew(services => 1, patterns => 500);
my $PAGE = "SELECT md5(string_agg(p::text, '|' ORDER BY p::text)) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', timestamptz '$PAST_DATE 12:00Z' + interval '%d s', '$ORDERS', max_rows => 500) p";
my $first = $node->safe_psql('postgres', $CACHED . sprintf $PAGE, 0);
for my $i (1 .. 12)
{
	my $page = $node->safe_psql('postgres', $CACHED . sprintf $PAGE, $i);
	isnt($page, $first, "page $i is another");
	is($node->safe_psql('postgres', $CACHED . sprintf $PAGE, $i), $page, 'and stays the same');
	costs($node, $url, $CACHED . sprintf($PAGE, 0), 0, 'a page that is used stays');
}
costs($node, $url, $CACHED . sprintf($PAGE, 1), 1, 'a response that was not used is evicted');
costs($node, $url, $CACHED . sprintf($PAGE, 12), 0, 'a new response is cached');
fault($url, path => 'postgres$', oversize_bytes => 1_500_000);
$node->psql('postgres', "$CACHED SELECT count(*) FROM chpg_services()");
clear_faults($url);
costs($node, $url, $CACHED . sprintf($PAGE, 12), 0, 'a response that is too large evicts nothing');

# Refresh
begin_anew();
$node->safe_psql('postgres', "$CACHED $LIST");
costs($node, $url, "$CACHED SELECT chpg_cache_reset(); $LIST", 1, 'after chpg_cache_reset()');
begin_anew();
fault($url, latency_ms => 700, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'a read is under way');
$node->safe_psql('postgres', "$CACHED SELECT chpg_cache_reset(); $LIST");
is(request_count($url), 2, 'also while a read is under way');
in_session($sessions[0], '\echo');
begin_anew();
fault($url, latency_ms => 700, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { request_count($url) == 1 }, 'a read is under way');
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
in_session($sessions[0], '\echo');
costs($node, $url, "$CACHED $LIST", 1, 'whose response is not cached');
$_->quit for @sessions;

# The smallest cache keeps responses of all sizes, however many there were before.
$node->append_conf('postgresql.conf', q{chpg.cache_size = '1MB'});
$node->restart;
reset_emulator($url, patterns => 200);
my $DIFFERENT = "PERFORM FROM chpg_slow_patterns('$PAST_DATE 00:00Z', timestamptz '$PAST_DATE 12:00Z' + i * interval '1 s', '$ORDERS', max_rows => 1 + i % 25)";
my $SIZES = "$CACHED DO \$\$ BEGIN FOR i IN %d .. %d LOOP $DIFFERENT; END LOOP; END \$\$";
costs($node, $url, sprintf($SIZES, 1, 800), 801, 'reads of 25 sizes, and the names of services');
costs($node, $url, sprintf($SIZES, 781, 800), 0, 'the latest responses are cached');
costs($node, $url, sprintf($SIZES, 801, 801) . sprintf("; $SIZES", 782, 801), 1, 'one more takes the place of the oldest');
my $LARGE = join ';', map { "SELECT FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 11:0$_:00Z', '$ORDERS', max_rows => 180)" } 1 .. 3;
costs($node, $url, "$CACHED $LARGE; $LARGE", 3, 'large responses take the place of all small ones');
costs($node, $url, 'SELECT chpg_cache_reset();' . sprintf($SIZES, 1, 25) . sprintf("; $SIZES", 1, 25), 25, 'after chpg_cache_reset() each size is kept');

# Without memory for the cache no response is kept.
$node->append_conf('postgresql.conf', 'chpg.cache_size = 0');
$node->restart;
costs($node, $url, "$CACHED $LIST; $LIST", 2, 'without a cache');
costs($node, $url, 'SELECT count(*) FROM chpg_services() a, chpg_services() b', 1, 'a statement still sends one request');

# A backend alone, where nothing is shared
if ($node->pg_version < 17)
{
	$node->append_conf('postgresql.conf', "chpg.cache_size = '2MB'\nshared_preload_libraries = ''");
	$node->restart;
	reset_emulator($url);
	costs($node, $url, "$CACHED $LIST; $LIST", 1, 'a session alone');
	costs($node, $url, "$CACHED $LIST", 1, 'the next statement does not reuse it');
	is($node->safe_psql('postgres', "$LIST; SELECT DISTINCT shared FROM chpg_stats; SELECT shared FROM chpg_budget"), "6\nf\nf", 'the views show no cache');
	is(scalar(() = slurp_file($node->logfile) =~ /LOG:  chpg keeps the request budget and the cache of this backend only/g), 3,
		'and so does the log, once for each session');
	reset_emulator($url, services => 12, rate_limit => '5/1s');
	$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '5/1s')});
	is($node->safe_psql('postgres', "SELECT count(DISTINCT service_id) FROM chpg_slow_patterns($WINDOW)"), 12, 'a fleet in one session');
	is_deeply([ grep { $_->{status} != 200 } @{ journal($url)->{requests} } ], [], 'is never rejected');
}

done_testing();
