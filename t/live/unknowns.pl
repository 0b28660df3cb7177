# What the API's documents leave open, answered by the API itself: prints an answer a line.
#
# Reads only, with about 25 requests at the documented rate. Only dev/test t/live runs it, with the key in
# CLICKHOUSE_CLOUD_API_KEY and CLICKHOUSE_CLOUD_API_SECRET; CLICKHOUSE_API_URL is another address. Names
# of fields and the API's errors are printed, and no values. The test fails only if the key does not work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'CLICKHOUSE_CLOUD_API_KEY and CLICKHOUSE_CLOUD_API_SECRET are not set'
  if !$ENV{CLICKHOUSE_CLOUD_API_KEY} || !$ENV{CLICKHOUSE_CLOUD_API_SECRET};
$ENV{CLICKHOUSE_API_URL} ||= 'https://api.clickhouse.cloud';

# The server's log must not have the key.
my $node = start_node('live', 'log_statement = none', 'log_min_duration_statement = -1', "chpg.max_wait = '5min'");
my $POSTGRES = '/v1/organizations/{organization_id}/postgres';
my $ORGANIZATION = '/v1/organizations/{organization_id}';
my $WINDOW = q{jsonb_build_object('from_date', to_char(now() AT TIME ZONE 'UTC' - interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS.000"Z"'),}
  . q{ 'to_date', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.000"Z"'))};

# psql reads the key from the environment.
$node->safe_psql('postgres', 'CREATE EXTENSION chpg');
my ($status) = $node->psql('postgres',
	"\\getenv key CLICKHOUSE_CLOUD_API_KEY\n\\getenv secret CLICKHOUSE_CLOUD_API_SECRET\n\\getenv url CLICKHOUSE_API_URL\n"
	  . 'SELECT FROM chpg_connect(:\'key\', :\'secret\', api_url => :\'url\')', on_error_stop => 1);
is($status, 0, 'the key works') or BAIL_OUT('the API does not accept the key');

# Print what a statement returns, or how it fails.
sub answers
{
	my ($question, $sql) = @_;
	my ($failed, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	my ($state) = $error =~ /ERROR:  (\w{5}): /;
	my ($detail) = $error =~ /^DETAIL:  (.*)/m;

	$out = join ' ', 'error', $state // '', $detail // '' if $failed;
	$out = 'nothing' if $out eq '';
	diag("$question: " . join ', ', split /\n/, $out);
	return;
}

# The names of the members of the result of a request, or of its first row
sub members
{
	my ($path, $query) = @_;
	return sprintf 'SELECT string_agg(key || \' \' || jsonb_typeof(value), \', \' ORDER BY key) FROM'
	  . ' (SELECT CASE jsonb_typeof(result) WHEN \'array\' THEN result->0 ELSE result END AS one FROM chpg_request(\'GET\', \'%s\', %s)) r'
	  . ' CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(one) WHEN \'object\' THEN one END)',
	  $path, $query // 'NULL';
}

sub count_of
{
	my ($path, $query) = @_;
	return "SELECT coalesce(jsonb_array_length(CASE jsonb_typeof(result) WHEN 'array' THEN result END)::text, jsonb_typeof(result)) FROM chpg_request('GET', '$path', $query)";
}

# A service that is, or is not, a read replica
sub service_id
{
	my ($condition) = @_;
	return scalar $node->safe_psql('postgres', "SELECT id FROM chpg_services() WHERE state = 'running' AND $condition ORDER BY created_at LIMIT 1");
}

answers('whoami', 'SELECT actor_type FROM chpg_whoami()');
answers('members of whoami', members('/v1/whoami'));
answers('organizations with limit', count_of('/v1/organizations', q{'{"limit": "1"}'}));
answers('organizations with a foreign cursor', count_of('/v1/organizations', q{'{"cursor": "foreign"}'}));
answers('an unknown parameter', count_of('/v1/organizations', q{'{"region": "x"}'}));
answers('limit in force, and its source', 'SELECT to_jsonb(b) - \'key_id\' FROM chpg_budget b');
answers('quotas', q{SELECT quota_code || CASE WHEN usage IS NULL THEN ' without usage' ELSE '' END FROM chpg_quotas()});
answers('members of a notification', members("$ORGANIZATION/notifications", q{'{"limit": "1"}'}));
answers('notifications beyond the largest page', count_of("$ORGANIZATION/notifications", q{'{"limit": "251"}'}));
answers('types of notifications for Postgres', q{SELECT name || ' ' || severity FROM chpg_notification_types() WHERE category = 'postgres'});
answers('members of a service in the list', members($POSTGRES));

for (['a primary', 'is_primary IS NOT FALSE'], ['a read replica', 'NOT is_primary'])
{
	my ($what, $condition) = @$_;
	my $id = service_id($condition);

	if ($id eq '')
	{
		diag("$what: there is none that is running");
		next;
	}
	my $service = "$POSTGRES/$id";
	answers("$what: members", members($service));
	answers("$what: backups", count_of("$service/backups", 'NULL'));
	next if $what ne 'a primary';
	answers('backups, limit 0', count_of("$service/backups", q{'{"limit": "0"}'}));
	answers('backups, limit 101', count_of("$service/backups", q{'{"limit": "101"}'}));
	answers('backups, foreign cursor', count_of("$service/backups", q{'{"cursor": "foreign"}'}));
	answers('private endpoint', members("$service/privateEndpoint"));
	answers('slow patterns, limit 501', count_of("$service/slowQueryPatterns", qq{$WINDOW || '{"limit": "501"}'}));
	answers('logs, limit 2001', count_of("$service/logs", qq{$WINDOW || '{"limit": "2001"}'}));
	answers('metrics, with unit and series',
		"SELECT concat_ws(' ', metric, unit, string_agg(DISTINCT series, '/')) FROM chpg_metrics(now() - interval '1 hour', now(), '$id') WHERE metric <> 'database_size' GROUP BY metric, unit");
}

done_testing();
