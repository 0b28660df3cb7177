# What a restart or a crash of the server leaves of a key's budget: requests that count,
# requests that were under way, and blocks.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $REQUEST = 'SELECT FROM chpg_organizations()';

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", 'restart_after_crash = on');

$node->safe_psql('postgres', connect_sql($url));

# Keys from before a restart that no call has named since
sub restored { my ($condition) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM chpg_budget WHERE key_id IS NULL AND server IS NULL AND $condition") }

sub checkpointer
{
	my ($column) = @_;
	return if_up($node, "SELECT $column FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
}

# Kill a backend, after which the postmaster restarts all others.
sub crash
{
	my ($pid) = @_;
	my $before = checkpointer('backend_start');

	kill 'KILL', $pid // $node->safe_psql('postgres', 'SELECT pg_backend_pid()');
	wait_until(sub { my $now = checkpointer('backend_start'); $now ne '' && $now ne $before }, 'the server is back');
	return;
}

# An idle backend, to be killed
sub idle_session
{
	my $session = open_session($node);
	return ($session, in_session($session, 'SELECT pg_backend_pid()'));
}

my %ways = (
	'a fast restart' => sub { $node->restart },
	'an immediate shutdown' => sub { $node->stop('immediate'); $node->start },
	'kill -9 of a backend' => sub { my ($session, $pid) = idle_session(); crash($pid) },
	'kill -9 of the postmaster' => sub {
		my $pid = $node->safe_psql('postgres', q{SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)});

		$node->kill9;
		wait_until(sub { !kill 0, $pid }, 'the postmaster is gone');
		wait_until(sub { $node->start(fail_ok => 1) }, 'its processes are gone');
	});

for my $way (sort keys %ways)
{
	my $id = use_new_key($node, $url, '3/3600s');

	$node->safe_psql('postgres', $REQUEST) for 1 .. 2;
	$ways{$way}->();
	is(restored('used = 2'), 1, "after $way: a monitoring role sees them before the key is used");
	$node->safe_psql('postgres', $REQUEST);
	is(key_budget($node, 'used, free', $id), '3|0', "after $way the requests before count");
	fails_with($node, "SET chpg.max_wait = '1s'; $REQUEST", '53400', qr/budget is used up/, "after $way: no request over the limit");
	is(request_count($url), 3, "after $way: none is sent");
	use_new_key($node, $url, '1/3600s');
	costs($node, $url, "SET chpg.max_wait = 0; $REQUEST", 1, "after $way: a new key, at once,");
}

# A block survives a restart, and so does its end.
my $id = use_new_key($node, $url, '10/10s');
$node->safe_psql('postgres',
	"CREATE ROLE reader LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO reader; CREATE USER MAPPING FOR reader SERVER chpg OPTIONS (key_id '$id', key_secret '$KEY_SECRET')");
block_key($node, $url);
$node->restart;
is($node->safe_psql('postgres', 'SELECT server, key_id, blocked_until IS NOT NULL FROM chpg_budget', extra_params => [ '-U', 'reader' ]),
	"chpg|$id|t", 'a role with the key sees its block after a restart, before the key is used');
is(restored('blocked_until > now() AND free IS NULL'), 1, 'and so does a monitor');
fails_with($node, "SET chpg.max_wait = '1s'; $REQUEST", '53400', qr/budget is used up/, 'a key that is blocked');
is(key_budget($node, "blocked_until BETWEEN now() AND now() + interval '30 s'", $id), 't', 'a restart ends no block');
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
$node->restart;
costs($node, $url, "SET chpg.max_wait = '20s'; $REQUEST", 1, 'a block that was ended before a restart');

# A request that was under way when its backend was killed counts from the kill on,
# whatever its timeout was.
$id = use_new_key($node, $url, '1/4s');
fault($url, times => 1, hang => JSON::PP::true);
my ($victim, $pid) = idle_session();
in_session($victim, "SET chpg.request_timeout = '1h'");
begin_in_session($victim, $REQUEST);
wait_until(sub { request_count($url) == 1 }, 'a request is under way');
crash($pid);
$node->safe_psql('postgres', $REQUEST);
my @times = map { $_->{at} } @{ journal($url)->{requests} };
cmp_ok($times[1] - $times[0], '>=', 4, 'a request that was under way in a crash counts');

$id = use_new_key($node, $url, '1/4s');
fault($url, times => 1, hang => JSON::PP::true);
($victim, $pid) = idle_session();
in_session($victim, "SET chpg.request_timeout = '1h'");
begin_in_session($victim, $REQUEST);
wait_until(sub { request_count($url) == 1 }, 'a request is under way');
crash($pid);
wait_until(sub { checkpointer("now() - backend_start > interval '5 s'") eq 't' }, 'the server is up for longer than the window');
costs($node, $url, "SET chpg.max_wait = 0; $REQUEST", 1, 'a server that is up for longer than the window: the first request, at once,');

# A file that is damaged or cannot be opened does not keep the server from starting.
my $file = $node->data_dir . '/pg_stat/chpg_budget';
$node->stop;
append_to_file($file, 'x' x 5000);
$node->start;
costs($node, $url, $REQUEST, 1, 'with a file that has grown');
for my $content ("\xff" x 300_000, 'x', '')
{
	$node->stop;
	unlink $file;
	append_to_file($file, $content);
	$node->start;
	costs($node, $url, "SET chpg.max_wait = '20s'; $REQUEST", 1, 'with a file of garbage, ' . length($content) . ' bytes');
}
my $magic = pack 'Q', do { no warnings 'portable'; 0x6368706762756401 };
$node->stop;
unlink $file;
append_to_file($file, $magic . "\xff" x 300_000);
$node->start;
costs($node, $url, $REQUEST, 1, 'with a file of garbage that begins well');
$node->stop;
unlink $file;
mkdir $file;
$node->start;
costs($node, $url, $REQUEST, 1, 'with a directory in its place');
like(slurp_file($node->logfile), qr{LOG:  could not open file "pg_stat/chpg_budget": Is a directory\n.*DETAIL:  A restart will forget}, 'which is logged');

done_testing();
