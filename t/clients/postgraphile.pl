# PostGraphile 4: its introspection makes a GraphQL schema of the views of chpg_bi_create, by which
# it previews, filters by a time and pages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clients;
use Test::More;

needs_node_modules('pg', 'postgraphile');
start_clients();
my @client = ('node', "$FindBin::RealBin/read_graphql.js", client_port());
for my $step (client_steps())
{
	my ($name, $arguments, @expected) = @$step;

	# Its filters compare by =, which is a single time of log lines.
	next if $name eq 'filters' && $arguments->[0] eq 'logs';
	client_step(\@client, @$step);
}
my $time = sql(q{SELECT to_char(max("time"), 'YYYY-MM-DD HH24:MI:SS.US') FROM bi.logs WHERE "time" < now() - interval '1 hour'});
client_step(\@client, 'filters', [ 'logs', $time ], sql(qq{SELECT count(*) FROM bi.logs WHERE "time" = '$time'}), 1);

done_testing();
