# Every request that chpg sends, and every response of the emulator, against the schemas of the API's
# documents (t/data), by an independent validator (ajv, in t/schemas/validate.js).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use IPC::Run qw(run);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Storable qw(dclone);
use Test::More;

my $ROOT = "$FindBin::RealBin/../..";
my $VALIDATOR = "$FindBin::RealBin/../schemas/validate.js";
my $DOCUMENTS = { map { $_ => decode_json(slurp_file("$FindBin::RealBin/../data/$_.json")) } qw(openapi additions) };

# Where Debian's modules for Node.js are, which another Node.js does not search
$ENV{NODE_PATH} = '/usr/share/nodejs';
plan(skip_all => 'ajv is not installed') if !eval { run([ 'node', '-e', 'require("ajv")' ], '<', \undef, '>&', \my $output) };

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'");
$node->safe_psql('postgres', connect_sql($url) . 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
my $organization = organization_id($url);

# Requests with their responses, as the emulator's journal has them
my @exchanges;

# The time at which the emulator's clock stands still, and the variables of dev/hostile-answers/calls.sql
my $NOW = '2026-06-01T12:00:00.000Z';
my @VARIABLES = map { ('-v', $_) } (
	"service=$ORDERS", 'start=2026-06-01 10:00Z', 'middle=2026-06-01 11:00Z', 'stop=2026-06-01 12:00Z',
	'query_id=-4748036479882663975', 'db_name=sales', 'db_user=orders_service', 'db_operation=SELECT');

# Run statements against an emulator with these options, and keep what was sent and returned; returns the errors.
sub recorded
{
	my ($options, @statements) = @_;
	my $errors;

	reset_emulator($url, record_bodies => 1, now => $NOW, %$options);
	$node->psql('postgres', join('', map { "$_;\n" } 'SET client_min_messages = error', @statements),
		stderr => \$errors, on_error_stop => 0, extra_params => \@VARIABLES);
	push @exchanges, @{ journal($url)->{requests} };
	return grep { /ERROR/ } split /\n/, $errors;
}

sub record
{
	my ($name, $options, @statements) = @_;
	is(join("\n", recorded($options, @statements)), '', $name);
	return;
}

# The same of statements that the API refuses
sub record_refused
{
	my ($name, $options, @statements) = @_;
	is(scalar(recorded($options, @statements)), scalar @statements, "$name: all are refused");
	return;
}

# Send requests that chpg does not send: their responses are the emulator's, too.
sub record_direct
{
	my ($options, @requests) = @_;
	reset_emulator($url, record_bodies => 1, now => $NOW, %$options);
	for (@requests)
	{
		my ($path, %headers) = @$_;
		%headers = (Authorization => 'Basic ' . encode_base64("$KEY_ID:$KEY_SECRET", '')) if !%headers;
		HTTP::Tiny->new->get("$url/v1/$path", { headers => \%headers });
	}
	push @exchanges, @{ journal($url)->{requests} };
	return;
}

# What the validator finds in exchanges
sub validated
{
	my $in = encode_json({ documents => $DOCUMENTS, exchanges => \@_ });
	my ($out, $err);
	run([ 'node', $VALIDATOR ], '<', \$in, '>', \$out, '2>', \$err) or die "$VALIDATOR: $err";
	return decode_json($out);
}

# Reads: those that a run against broken responses makes, and all parameters
my @reads = split /\n/, slurp_file("$ROOT/dev/hostile-answers/calls.sql");
my $create_endpoint = "SELECT FROM chpg_create_private_endpoint(:'service', '{eu-west-1}')";
record("reads of the $_ fleet", { fleet => $_ }, $create_endpoint, @reads) for qw(test demo);
record(
	'reads with all parameters', {},
	(map { "SELECT FROM chpg_slow_patterns(:'start', :'stop', :'service', sort_by => '$_', sort_order => 'asc', max_rows => 3)" }
		qw(total_duration avg_duration max_duration p50_duration p95_duration p99_duration call_count error_count total_rows
		total_blks_read total_shared_blks_hit total_cpu_time total_wal_bytes)),
	"SELECT FROM chpg_slow_patterns(:'start', :'stop', :'service', 'sales', 'orders_service', 'SELECT', 'orders-api')",
	"SELECT FROM chpg_slow_pattern(:'service', :query_id, :'db_name', :'db_user', :'db_operation', 'orders-api', :'middle')",
	"SELECT FROM chpg_metrics(:'start', :'stop', :'service', '5 minutes')",
	"SELECT FROM chpg_logs(:'start', :'stop', :'service', 'ERROR', 'a', 'asc', 5)",
	"SELECT FROM chpg_notifications('warning', 'service_backup_failed', :'start', 3)");
record_direct({}, map { [$_] } "organizations/$organization", map { "organizations/$organization/$_" }
	qw(quotas/postgres-services-per-organization quotas/none notifications?limit=1 notifications?cursor=x),
	"postgres/$ORDERS/backups?limit=1", "postgres/$ORDERS/backups?limit=0", "postgres/$ORDERS?x=1");
record_direct({ rate_limit => '1/10s', rate_headers => '1/10s' },
	[ 'organizations', 'X-No' => 'key' ], [ 'organizations', Authorization => 'Basic eDp5' ], ['organizations'], ['organizations']);
record('an organization of many', { organizations => 300 }, 'SELECT FROM chpg_organizations()');

# What is known to have two forms
record("whoami: $_", { whoami => $_ }, 'SELECT FROM chpg_whoami()') for qw(user service);
record('notifications in a pagination', { notifications => 'items', notification_count => 300 }, 'SELECT FROM chpg_notifications()');
record_refused('paths that an older deployment lacks', { whoami => 'unknown', notifications => 'unknown' },
	'SELECT FROM chpg_whoami()', 'SELECT FROM chpg_notifications()');
record("earliest restore time: $_", { earliest_restore_time => $_ }, "SELECT FROM chpg_service(:'service')") for qw(null absent);
record_refused('backups of a replica', { replica_backups => 'refused' }, q{SELECT FROM chpg_backups('analytics')});
record("services that do not run: $_", { not_running => $_ }, 'SET chpg.max_retries = 0', "SELECT FROM chpg_metrics(:'start', :'stop')")
  for qw(refused unavailable);
record("Prometheus of the organization: $_", { prometheus_of_all => $_ }, 'SELECT FROM chpg_health') for qw(early_access not_set_up);
record('certificates with a comment', { commented_certificates => 1 }, "SELECT chpg_ca_certificates(:'service')");

# The life of services
my $wait = q{SELECT FROM chpg_wait('%s', poll_interval => '1 ms')};
record(
	'changes', { transition_polls => 1, apply_polls => 0 },
	q[SELECT FROM chpg_create_service('first', 'aws', 'us-west-2', 'r8gd.large', 118, '18', 'async',
		'{"team": "a"}', '{"max_connections": 200}', '{"max_client_conn": 500}')],
	q{SELECT FROM chpg_create_service('second', 'aws', 'us-west-2', 'r8gd.large')},
	(map { sprintf $wait, $_ } qw(first second)),
	q[SELECT FROM chpg_set_tags('first', '{"cost-center": "42"}')], "SELECT FROM chpg_remove_tags('first', '{team}')",
	q[SELECT FROM chpg_update_service('first', 'third', 'r8gd.xlarge', 'none', '{}')],
	q[SELECT FROM chpg_patch_config(:'service', '{"work_mem": 65536, "random_page_cost": 1.1}', '{"default_pool_size": 30}')],
	q[SELECT FROM chpg_patch_config(:'service', '{"work_mem": null}')],
	q[SELECT FROM chpg_patch_config(:'service', pgbouncer_config => '{"max_client_conn": 100}')],
	q[SELECT FROM chpg_replace_config(:'service', '{"max_connections": 300}', '{"max_client_conn": 200}')],
	q[SELECT FROM chpg_replace_config(:'service', '{"max_connections": 400}')],
	"SELECT chpg_config(:'service')",
	"SELECT chpg_set_password(:'service')", "SELECT chpg_set_password(:'service', 'Correct1Horse')",
	"SELECT FROM chpg_restart_service(:'service')", sprintf($wait, 'orders'),
	"SELECT FROM chpg_create_read_replica(:'service', 'replica', '{\"team\": \"a\"}', '{\"work_mem\": 65536}', '{\"max_client_conn\": 100}')",
	sprintf($wait, 'replica'), q{SELECT FROM chpg_promote_service('replica')},
	"SELECT FROM chpg_restore_service(:'service', 'restored', '2026-05-31 12:00Z', '{\"team\": \"a\"}')",
	"SELECT FROM chpg_switchover_service(:'service', true)", sprintf($wait, 'orders'),
	q{SELECT chpg_delete_service('third', 'third')});
record('sections that must not be empty', { empty_section => 'refused' },
	q[SELECT FROM chpg_patch_config(:'service', '{"work_mem": 65536}', '{"max_client_conn": 500}')],
	q[SELECT FROM chpg_patch_config(:'service', '{"work_mem": 131072}')]);
record("the IP access list, $_->[0]", { apply_polls => 0, %{ $_->[1] } },
	"SELECT FROM chpg_allow_ip(:'service', '192.0.2.0/24', 'office')", "SELECT FROM chpg_allow_ip(:'service', '198.51.100.7')",
	"SELECT FROM chpg_revoke_ip(:'service', '0.0.0.0/0')", "SELECT FROM chpg_revoke_ip(:'service', '192.0.2.0/24', 'office')",
	"SELECT FROM chpg_set_tags(:'service', '{\"team\": \"a\"}')")
  for [ 'shown', {} ], [ 'shown by reads', { ip_access_list => 'get' } ], [ 'cleared by other changes', { ip_access_list_patch => 'cleared' } ],
  [ 'removed exactly', { ip_access_list_remove => 'exact' } ];
my $endpoint = q{'{"private_endpoint": {"state": "%s"}}', poll_interval => '1 ms'};
for my $options (
	{}, { vpc_endpoint_form => 'id' }, { private_endpoint_fields => 'sister' }, { private_endpoint_response => 'acknowledged' },
	{ private_endpoint_deletion => 'gone', private_endpoint_deleted => 'object' }, { private_endpoint_deleted => 'empty' })
{
	record(join(' ', 'private endpoints', map { "$_ $options->{$_}" } sort keys %$options), { private_endpoint_seconds => 0, %$options },
		$create_endpoint, "SELECT FROM chpg_private_endpoint(:'service')",
		"SELECT FROM chpg_wait(:'service', expected => " . sprintf($endpoint, 'available') . ')',
		"SELECT FROM chpg_allow_vpc_endpoints(:'service', '[\"vpce-0123456789abcdef0\"]')",
		"SELECT FROM chpg_set_vpc_endpoints(:'service', '[{\"id\": \"vpce-0123456789abcdef1\", \"description\": \"analytics\"}]')",
		"SELECT FROM chpg_set_vpc_endpoints(:'service', supported_regions => '{}')",
		"SELECT FROM chpg_private_endpoint(:'service')", "SELECT chpg_delete_private_endpoint(:'service')",
		"SELECT FROM chpg_wait(:'service', expected => " . sprintf($endpoint, 'deleted') . ')');
}
record_refused("private endpoints that are $_", { private_endpoint => $_ },
	"SELECT FROM chpg_private_endpoint(:'service')", "SELECT FROM chpg_create_private_endpoint(:'service')",
	"SELECT FROM chpg_set_vpc_endpoints(:'service', '[]')", "SELECT FROM chpg_delete_private_endpoint(:'service')")
  for qw(early_access not_set_up forbidden missing refused);
record_refused('private endpoints in creation', { private_endpoint_seconds => 3600, private_endpoint_creating => 'refuses' },
	"DO 'BEGIN PERFORM chpg_create_private_endpoint(''orders''); PERFORM chpg_set_vpc_endpoints(''orders'', ''[]''); END'",
	"SELECT FROM chpg_create_private_endpoint(:'service')");
record(
	'private endpoints with entries that are texts', { vpc_endpoint_form => 'text' }, $create_endpoint,
	"SELECT FROM chpg_request('PATCH', '/v1/organizations/{organization_id}/postgres/' || :'service' || '/privateEndpoint', body => '{\"allowedVpcEndpoints\": [\"vpce-0123456789abcdef0\"]}')",
	"SELECT FROM chpg_allow_vpc_endpoints(:'service', '[\"vpce-0123456789abcdef1\"]')");
record_refused('a second private endpoint, and one on another provider', {},
	"$create_endpoint; $create_endpoint", q{SELECT FROM chpg_create_private_endpoint('sessions')});
record('acknowledgements without a body', { empty_acknowledgements => 1 },
	"SELECT FROM chpg_restart_service(:'service')", "SELECT chpg_set_password(:'service', 'Correct1Horse')",
	q{SELECT chpg_delete_service('billing', 'billing')});
record('commands answered with the service', { switchover_response => 'service' }, "SELECT FROM chpg_switchover_service(:'service', true)");
record_refused(
	'changes', { max_services => 6, backup_polls => 1 },
	q{SELECT FROM chpg_create_service('more', 'aws', 'us-west-2', 'r8gd.large')},
	q{SELECT FROM chpg_create_read_replica('orders', 'more')},
	q{SELECT FROM chpg_set_password('analytics')}, q{SELECT FROM chpg_promote_service('orders')},
	q{SELECT FROM chpg_restart_service('pg00000000000000000000000a')},
	"SELECT FROM chpg_restore_service(:'service', 'more', '2026-06-02 12:00Z')");

# What the documents do not say or say otherwise, and why it is so.  The first are of requests.
my ($O, $S) = ('/v1/organizations/{}', '/v1/organizations/{}/postgres/{}');
my %QUIRKS = (
	qr{^openapi: \w+ \Q$S\E(?:/\w+(?:/\{\})?)?: path postgresId: not of format uuid$} =>
	  'ids of services may be 26 characters that begin with pg',
	qr{^all: POST \Q$O\E/postgres: request storageSize: unknown$} =>
	  'older deployments require it; sent only if given',
	qr{^openapi: PATCH \Q$S\E/config: request pg(?:Bouncer)?Config: not of minProperties 1$} =>
	  'a PATCH needs both sections, also if only one changes',
	qr{^openapi: PATCH \Q$S\E/config: request pgConfig\.work_mem: null, not string or integer$} =>
	  'null removes a setting',
	qr{^additions: GET \Q$S\E/backups: query limit: less than 1$} => 'sent by this test',
	qr{^all: GET \Q$S\E: query x: unknown$} => 'sent by this test',

	qr{^openapi: [^:]+: response 200 result(?:\[\])?\.id: not of format uuid$} =>
	  'ids of services may be 26 characters that begin with pg',
	qr{^openapi: GET \Q$O\E/postgres(?:/\{\})?: response 200 result(?:\[\])?\.provider: not in enum: gcp$} =>
	  'providers are more than the document has',
	qr{^openapi: GET \Q$O\E/postgres(?:/\{\})?: response 200 result(?:\[\])?\.size: not in enum: c4a-\S+$} =>
	  'sizes are more than the document has',
	qr{^all: GET \Q$O\E/postgres: response 200 result\[\]\.storageSize: unknown$} =>
	  'older deployments show it in the list',
	qr{^all: POST (?:\Q$O\E/postgres|\Q$S\E/(?:readReplica|restoredService)): response 200 result\.ipAccessList: unknown$} =>
	  'documented for no response; reads may show it, and so may creations',
	qr{^all: PATCH \Q$S\E/password: response 200 result\.connectionString: unknown$} =>
	  'was returned with the password',
	qr{^all: GET /v1/whoami: response 200 result\.serviceAccountId: unknown$} =>
	  'an identity that is neither a key nor a user: a switch of the emulator',
	qr{^additions: GET /v1/whoami: response 200 result: not exactly one of 2 alternatives$} =>
	  'an identity that is neither a key nor a user: a switch of the emulator',
	qr{^additions: GET \Q$O\E/notifications: response 200 result: object, not array$} =>
	  'other lists of the API have their items in the result: a switch of the emulator',

	qr{^all: PATCH \Q$S\E/(?:state|password): response 200 result: missing$} =>
	  'an acknowledgement, or a given password',
	qr{^all: (?:POST|PATCH|DELETE) \Q$S\E/privateEndpoint: response 200 result: missing$} =>
	  'an acknowledgement: switches of the emulator',
	qr{^openapi: GET \Q$S\E/config: response 200 result\.pg(?:Bouncer)?Config: not of minProperties 1$} =>
	  'a service without settings of its own',
	qr{^(?:openapi|all): GET \Q$S\E/config: response 200 result\.pgConfig\.log_min_duration_statement: unknown$} =>
	  'PostgreSQL has more settings than the document',
	qr{^openapi: GET \Q$S\E/metrics: response 200 result\.metrics\[\]\.unit: null, not string$} =>
	  'the unit of load_average is null',
	qr{^(?:openapi|additions): GET \Q$S\E/metrics: response 200 result\S+\.value: string, not number(?: or null)?$} =>
	  'a number may be a string',
	qr{^openapi: GET \Q$S\E/slowQueryPatterns(?:/\{\})?: response 200 result\S+(?:Us|Count|Rows|Hit|Read|Bytes): string, not integer$} =>
	  'a number may be a string',
	qr{^openapi: GET \Q$S\E/slowQueryPatterns(?:/\{\})?: response 200 result\S+Us: fraction, not integer$} =>
	  'durations are fractions of microseconds',
	qr{^openapi: GET \Q$S\E/slowQueryPatterns: response 200 result\[\]\.(?:totalWalBytes|maxDurationUs): null, not integer$} =>
	  'a number may be null',
	qr{^openapi: GET \Q$S\E/slowQueryPatterns: response 200 result\[\]\.(?:app|totalCpuTimeUs): missing$} =>
	  'a required field may be missing',
	qr{^openapi: GET \Q$S\E/slowQueryPatterns/\{\}: response 200 \S+\.(?:queryId|queryText|dbName|dbUser|dbOperation|app): missing$} =>
	  'executions may omit what the request has named',

	qr{^openapi: GET /v1/organizations: response (?:401|429): status is not documented$} => 'a wrong key, and too many requests',
	qr{^openapi: GET \Q$O\E/postgres/prometheus: response 403: status is not documented$} =>
	  'a feature that is not enabled: a switch of the emulator',
	qr{^(?:openapi|additions): GET \Q$S\E/metrics: response 503: status is not documented$} =>
	  'a service that does not run: a switch of the emulator',
	qr{^openapi: PATCH \Q$S\E/state: response 404: status is not documented$} => 'no such service',
	qr{^openapi: POST \Q$O\E/postgres: response 409: status is not documented$} => 'beyond the quota',
	qr{^additions: GET (?:/v1/whoami|\Q$O\E/notifications): response 404: status is not documented$} =>
	  'an older deployment: a switch of the emulator',
	qr{^openapi: (?:DELETE \Q$S\E|PATCH \Q$S\E/password): response 204: status is not documented$} =>
	  'an acknowledgement without a body: a switch of the emulator');

my $found = validated(@exchanges);
my @violations = sort keys %{ $found->{violations} };

cmp_ok($found->{exchanges}, '>', 300, 'requests and responses were validated');
is(join("\n", grep { my $violation = $_; !grep { $violation =~ $_ } keys %QUIRKS } @violations), '', 'no violation but those listed');
is(join("\n", grep { my $quirk = $_; !grep { $_ =~ $quirk } @violations } sort keys %QUIRKS), '', 'those listed are still there');
is(join("\n", grep { !$found->{operations}{$_} } sort keys %{ $found->{operations} }),
	'', 'each documented operation has succeeded');

# The validator finds what is planted: in a copy of the shortest exchange of a kind, a change of its parts, and of its
# decoded bodies.
my @planted;

sub plant
{
	my ($violation, $method, $path, $change) = @_;
	my ($original) = sort { length $a->{response_text} <=> length $b->{response_text} }
	  grep { $_->{method} eq $method && $_->{path} =~ m{/$path\z} && $_->{status} == 200 && $_->{response_text} !~ /"result":\[\]/ } @exchanges;
	my $exchange = dclone($original);
	my $json = JSON::PP->new->allow_nonref;
	my %body = map { $_ => $json->decode($exchange->{"${_}_text"} || 'null') } qw(request response);

	$change->($exchange, @body{qw(request response)});
	$exchange->{"${_}_text"} = $json->encode($body{$_}) for grep { $body{$_} && $exchange->{"${_}_text"} ne '' } keys %body;
	push @planted, [ $violation, $exchange ];
	return;
}

# Of a response
sub plant_in_service
{
	my ($violation, $change) = @_;
	return plant("openapi: GET $S: response 200 result.$violation", 'GET', $ORDERS, sub { $change->($_[2]{result}) });
}

plant_in_service('isPrimary: string, not boolean', sub { $_[0]{isPrimary} = 'true' });
plant_in_service('tags: object, not array', sub { $_[0]{tags} = {} });
plant_in_service('state: not in enum: asleep', sub { $_[0]{state} = 'asleep' });
plant_in_service('createdAt: not of format date-time', sub { $_[0]{createdAt} = 'yesterday' });
plant_in_service('name: not of maxLength 50', sub { $_[0]{name} = 'x' x 51 });
plant_in_service('tags[].key: not of pattern ^[a-zA-Z0-9._-]+$', sub { $_[0]{tags}[0]{key} = 'a b' });
plant_in_service('tags[].key: missing', sub { delete $_[0]{tags}[0]{key} });
plant("all: GET $S: response 200 result.colour: unknown", 'GET', $ORDERS, sub { $_[2]{result}{colour} = 'red' });
plant("all: GET $S/slowQueryPatterns: response 200 result[].colour: unknown", 'GET', 'slowQueryPatterns', sub { $_[2]{result}[1]{colour} = 'red' });
plant("additions: GET $S/backups: response 200 result[].key: missing", 'GET', 'backups', sub { delete $_[2]{result}[0]{key} });
plant("additions: GET $O/quotas: response 200 result[].value: less than 0", 'GET', 'quotas', sub { $_[2]{result}[0]{value} = -1 });
plant("openapi: GET $S: response 200: content type text/html, not application/json", 'GET', $ORDERS, sub { $_[0]{response_type} = 'text/html' });
plant("openapi: GET $S: response 418: status is not documented", 'GET', $ORDERS, sub { $_[0]{status} = 418 });
plant("all: GET $S: response 200 result: missing", 'GET', $ORDERS, sub { delete $_[2]{result} });
plant("all: GET $S/metrics: response 200: no content", 'GET', 'metrics', sub { $_[0]{response_text} = '' });

# Of a request
plant("all: GET $S/metrics: query step: unknown", 'GET', 'metrics', sub { $_[0]{raw_query} .= '&step=1' });
plant("all: GET $S/metrics: query to_date: given twice", 'GET', 'metrics', sub { $_[0]{raw_query} =~ s/(to_date=[^&]*)/$1&$1/ });
plant("openapi: GET $S/metrics: query from_date: missing", 'GET', 'metrics', sub { $_[0]{raw_query} =~ s/from_date=[^&]*&?// });
plant("openapi: GET $S/metrics: query from_date: not of format date-time", 'GET', 'metrics', sub { $_[0]{raw_query} =~ s/from_date=\K[^&]*/2026-06-01/ });
plant("openapi: GET $S/slowQueryPatterns: query limit: more than 500", 'GET', 'slowQueryPatterns', sub { $_[0]{raw_query} =~ s/limit=\K\d+/501/ });
plant("openapi: GET $S/slowQueryPatterns: query limit: string, not integer", 'GET', 'slowQueryPatterns', sub { $_[0]{raw_query} =~ s/limit=\K\d+/all/ });
plant("openapi: POST $O/postgres: request name: missing", 'POST', 'postgres', sub { delete $_[1]{name} });
plant("openapi: POST $O/postgres: request tags: object, not array", 'POST', 'postgres', sub { $_[1]{tags} = {} });
plant("all: POST $O/postgres: request colour: unknown", 'POST', 'postgres', sub { $_[1]{colour} = 'red' });
plant("openapi: POST $O/postgres: request: content type text/plain, not application/json", 'POST', 'postgres',
	sub { $_[0]{headers}{'content-type'} = 'text/plain' });
plant("openapi: PATCH $S/state: request command: not in enum: sleep", 'PATCH', 'state', sub { $_[1]{command} = 'sleep' });
plant('all: GET /v1/organization: request: no such operation', 'GET', 'organizations', sub { $_[0]{path} = '/v1/organization' });

my %before = map { $_ => 1 } @violations;
my $after = validated(map { $_->[1] } @planted)->{violations};
ok(!$before{ $_->[0] } && $after->{ $_->[0] }, "found: $_->[0]") for @planted;

done_testing();
