# Healthy services, noisy as real ones are, raise almost no alarm: a watch each hour of two days, over a fleet
# with deployments, jobs, backups, restarts and gaps.  README.md describes the fleet; bench/run l has a large one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Fleet;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'fsync = off', 'max_wal_size = 2GB');
$node->safe_psql('postgres', 'CREATE EXTENSION chpg');

my $fleet = ChpgTest::Fleet->new(
	run => sub { return $node->safe_psql('postgres', $_[0]) }, say => sub { note(@_) },
	seed => 101, services => 8, patterns => 25, days => 14, judged => 2, step => 15);
$fleet->load->watch_all;
note($fleet->report);

my $healthy = $fleet->healthy;
is($healthy->{days}, 16, 'eight services are watched for two days');
cmp_ok($healthy->{alarms}, '<=', 1, 'at most one service-day has a WARN');
is($healthy->{errors}, 0, 'and none an ERROR');

# The same seed makes the same fleet, and another one another.
my $sum = q{SELECT md5(string_agg(p::text, ' ' ORDER BY p.window_start, p.service_key, p.pattern_key)) FROM kept.open_hour p};
my %made;
for my $seed (101, 101, 102)
{
	my $again = ChpgTest::Fleet->new(
		run => sub { return $node->safe_psql("again$seed", $_[0]) }, seed => $seed, services => 1, patterns => 5, days => 2, open_days => 2, judged => 1, step => 0);
	$node->safe_psql('postgres', $_) for "DROP DATABASE IF EXISTS again$seed", "CREATE DATABASE again$seed";
	$node->safe_psql("again$seed", 'CREATE EXTENSION chpg');
	push @{ $made{$seed} }, $again->load->sql($sum);
}
is($made{101}[0], $made{101}[1], 'a seed makes the same fleet again');
isnt($made{101}[0], $made{102}[0], 'another seed makes another one');

done_testing();
