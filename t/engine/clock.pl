# The tests, the server and the emulator have one clock, which dev/test --at shifts;
# timeouts and sleeps take as long as ever.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time clock_gettime CLOCK_MONOTONIC);

my $shift = $ENV{CHPG_CLOCK_SHIFT} // 0;
my $file = PostgreSQL::Test::Utils::tempdir() . '/file';
my $url = start_emulator();
my $node = start_node('main');

# The event was between these two times, in seconds since 1970.
sub happens_between
{
	my ($before, $at, $after, $name) = @_;
	ok($before <= $at && $at <= $after, $name) or diag("$before, $at, $after");
	return;
}

# The time of a file is the kernel's, in its ticks.
my $before = time;
append_to_file($file, '');
happens_between($before - 1, (Time::HiRes::stat($file))[9] + $shift, time, 'the tests');

$before = time;
my $at = $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())');
happens_between($before - 0.001, $at, time, 'the server');

is($node->safe_psql('postgres', 'SHOW timezone'), $ENV{TZ}, 'and its time zone') if $ENV{TZ};

$before = time;
$node->safe_psql('postgres', connect_sql($url) . 'SELECT FROM chpg_services');
happens_between($before - 0.001, journal($url)->{requests}[-1]{at}, time, 'the emulator');

my $uptime = (split / /, slurp_file('/proc/uptime'))[0];
cmp_ok(clock_gettime(CLOCK_MONOTONIC), '<', $uptime + 60, 'the time that has passed is not shifted');

# Timers, chpg's and PostgreSQL's
fault($url, hang => JSON::PP::true);
fails_with($node, "SET statement_timeout = '100ms'; SELECT pg_sleep(600)", '57014', qr/statement timeout/, 'a timeout in PostgreSQL');
fails_with($node, "SET statement_timeout = '1s'; SELECT FROM chpg_services", '57014', qr/statement timeout/, 'a timeout in chpg');
fails_with($node, "SET chpg.max_retries = 0; SET chpg.request_timeout = '100ms'; SELECT FROM chpg_services", '08006', qr/./, 'a timeout of chpg');

done_testing();
