# Programs that read the views of chpg_bi_create as BI tools do.  What each prints, and costs in
# requests, is the same for all.
package ChpgTest::Clients;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ChpgTest::Emulator;
use ChpgTest::Node;
use ChpgTest::Process;

our @EXPORT = qw(needs_node_modules start_clients client_port client_steps client_step client_requests client_cancels);

my ($url, $node, $total, $pages, $hour, $patterns);

# Skip the whole file unless Node.js has these modules, where the CI stage installs them.
sub needs_node_modules
{
	my (@modules) = @_;

	$ENV{NODE_PATH} = ($ENV{CHPG_CI_CACHE} // '/var/cache/chpg-ci') . '/clients/node_modules';
	for my $module (@modules)
	{
		plan(skip_all => "$module is not installed")
		  if !eval { IPC::Run::run([ 'node', '-e', 'require(process.argv[1])', $module ], '<', \undef, '>&', \my $output) };
	}
	return;
}

# Start an emulator, and a cluster whose role "tool", with the password "word", may read the views of
# the schema "bi": logs of the service "orders", and a history of some hours.
sub start_clients
{
	$url = start_emulator();
	$node = start_node('main', "listen_addresses = '127.0.0.1'", "timezone = 'UTC'", 'chpg.max_retries = 0', "chpg.request_timeout = '5min'");
	$node->safe_psql('postgres', connect_sql($url) . q{CREATE ROLE tool LOGIN PASSWORD 'word'});
	unlink $node->data_dir . '/pg_hba.conf';
	$node->append_conf('pg_hba.conf', "local all all trust\nhost all tool 127.0.0.1/32 scram-sha-256");
	$node->restart;
	reset_emulator($url, services => 2, patterns => 20, log_lines_per_hour => 300);
	sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'});
	sql('CALL chpg_capture()');
	sql(q{SELECT FROM chpg_bi_create('bi', '1 day', '{orders}', '{tool}')});
	clear_journal($url);
	$total = sql('SELECT count(*) FROM bi.logs');
	$pages = request_count($url);
	cmp_ok($pages, '>', 2, 'the logs have several pages');
	($hour, $patterns) = split /\|/, sql(q{SELECT to_char(min("time"), 'YYYY-MM-DD HH24:MI:SS'), count(*) FROM bi.patterns_by_hour});
	return;
}

sub client_port { return $node->port }

# The steps of a client: the name, arguments, the line that it prints, and the number of requests.
sub client_steps
{
	my $lines = sql(qq{SELECT count(*) FROM bi.logs WHERE "time" >= '$hour' AND "time" < timestamptz '$hour' + interval '1 hour'});
	my $of_hour = sql(qq{SELECT count(*) FROM bi.patterns_by_hour WHERE "time" = '$hour'});

	cmp_ok($lines, '>', 100, 'an hour has lines');
	cmp_ok($of_hour, '>', 5, 'and patterns');
	return (
		[ 'lists', [], 'findings health incidents logs metrics patterns_by_day patterns_by_hour services top_patterns', 0 ],
		[ 'previews', ['services'], 2, 1 ],
		[ 'previews', ['health'], 2, 1 ],
		[ 'previews', ['logs'], 1000, 1 ],
		[ 'previews', ['patterns_by_hour'], $patterns, 0 ],
		[ 'filters', [ 'logs', $hour ], $lines, 1 ],
		[ 'filters', [ 'patterns_by_hour', $hour ], $of_hour, 0 ],
		[ 'pages', [ 'logs', 300 ], 300, 1 ]);
}

# The program prints this line for a step, and costs as many requests.
sub client_step
{
	my ($command, $step, $arguments, $expected, $requests) = @_;
	my ($out, $err) = ('', '');
	my $name = join ' ', $step, @$arguments;

	clear_journal($url);
	my $ok = IPC::Run::run([ @$command, $step, @$arguments ], '<', \undef, '>', \$out, '2>', \$err);
	ok($ok, "$name: succeeds") or diag("$out$err");
	chomp $out;
	is($out, $expected, "$name: the result");
	is(request_count($url), $requests, "$name: $requests requests");
	return;
}

# What the function returns, and the number of requests that it caused
sub client_requests
{
	my ($run) = @_;

	clear_journal($url);
	my $result = $run->();
	return "$result " . request_count($url);
}

# The program cancels a query that waits for the API when it reads a line, and prints the SQLSTATE and
# what its next query returns.
sub client_cancels
{
	my ($command) = @_;
	my ($in, $out, $err) = ('', '', '');

	clear_journal($url);
	fault($url, path => 'logs$', hang => JSON::PP::true());
	my $client = IPC::Run::start([ @$command, 'cancels' ], '<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default // 180));
	wait_until(sub { $client->pump_nb; request_count($url) == 1 || !$client->pumpable }, 'the query waits for the API');
	$in = "now\n";
	my $ok = eval { $client->finish };
	ok($ok, 'cancels: succeeds') or diag("$@$out$err");
	chomp $out;
	is($out, '57014 1', 'cancels: the query ends, and the connection stays');
	is(request_count($url), 1, 'cancels: 1 request');
	clear_faults($url);
	return;
}

1;
