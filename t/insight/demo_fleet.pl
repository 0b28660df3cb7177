# The demo fleet: findings are what was planted there and nothing else, and a
# comparison has the regression alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @starts = time;
my $url = start_emulator('--fleet', 'demo');
push @starts, time;
my $HOUR = $starts[0] - $starts[0] % 3600;
my $onsets = join ', ', map { "to_timestamp(" . ($_ - $_ % 3600 - 8 * 3600) . ")" } @starts;

my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'fsync = off');

$node->safe_psql('postgres', connect_sql($url));
# More hours than the periods below need: whenever it is, some are of the day before they begin.
$node->safe_psql('postgres', <<'SQL');
SELECT chpg_history_enable('fleet_history');
UPDATE fleet_history.setting SET value = '36 hours' WHERE name = 'backfill';
UPDATE fleet_history.setting SET value = 'off' WHERE name = 'metric_bucket';
SQL
$node->safe_psql('postgres', "CALL chpg_capture('hour')");

# Hours that begin while this test runs change neither list.
my $PERIOD = q{tstzrange(now() - interval '6 hours', now())};
my $BASELINE = q{tstzrange(now() - interval '30 hours', now() - interval '24 hours')};

is( $node->safe_psql(
		'postgres', "SELECT f.level, s.name, f.rule_id,
			coalesce(f.evidence->>'query_text', f.evidence->>'app', f.evidence->>'name')
		FROM chpg_findings($PERIOD) f LEFT JOIN chpg_services s ON s.id = f.service_id
		WHERE f.level <> 'SKIPPED'
		ORDER BY f.rule_id, 4"),
	join("\n",
		'INFO|billing|CHPG101|SELECT id, invoice_id, amount, state FROM payments WHERE merchant_reference = $1',
		'INFO|storefront|CHPG102|SELECT "products".* FROM "products" WHERE "products"."id" = $1 LIMIT $2',
		'ERROR|orders|CHPG501|SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2',
		'WARN|analytics|CHPG701|',
		'INFO|search|CHPG706|random_page_cost',
		'INFO|search|CHPG706|statement_timeout'),
	'each planted problem is found that is there now, and no other');

# Errors that came to an end are found when they were there: from four hours before the full hour to two.
is( $node->safe_psql(
		'postgres', "SELECT f.level, s.name, f.evidence->>'app', f.since = to_timestamp($HOUR) - interval '4 hours'
		FROM chpg_findings(tstzrange(to_timestamp($HOUR) - interval '8 hours', to_timestamp($HOUR) - interval '2 hours'),
			history_only => true) f
		LEFT JOIN chpg_services s ON s.id = f.service_id
		WHERE f.rule_id IN ('CHPG401', 'CHPG402') AND f.level <> 'SKIPPED'"),
	'WARN|inventory|inventory-sync|t', 'errors are found while they last');

is( $node->safe_psql(
		'postgres', "SELECT s.name, c.change, c.cause, split_part(c.hours_worse, '/', 1) = split_part(c.hours_worse, '/', 2)
		FROM chpg_compare($BASELINE, $PERIOD) c JOIN chpg_services s ON s.id = c.service_id
		WHERE c.change <> 'steady'"),
	'orders|regressed|more blocks|t',
	'only the regression has changed, in all hours');

# The onset is eight hours before the full hour in which the emulator started.
is( $node->safe_psql(
		'postgres', "SELECT bool_and((avg_duration_us > 10000) = (\"time\" >= onset)), onset IN ($onsets)
		FROM (SELECT *, min(\"time\") FILTER (WHERE avg_duration_us > 10000) OVER () AS onset
			FROM fleet_history.pattern_hour
			WHERE service_name = 'orders' AND query_text LIKE 'SELECT * FROM orders WHERE customer_id%') h
		GROUP BY onset"),
	't|t', 'the history has the hour in which it began');

$node->stop;

done_testing();
