# Statements that wait for the request budget while a key is rotated use the new key.
# Each case revokes the old key before the statement gets its turn, so that only the new
# one can succeed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $LIST = 'SELECT count(*) FROM chpg_services';

my $url = start_emulator();
my $other_url = start_emulator();
my $node = start_node('main');
my $number = 0;

$node->safe_psql('postgres', connect_sql($url, '2/10s'));
my $monitor = open_session($node);
my @sessions = map { open_session($node) } 1 .. 3;

# A read, two sessions with the same read, and a change
queue_up(1, $LIST);
rotate();
finishes('a read', 6);

in_session($_, q{SET chpg.cache_ttl = '1min'}) foreach @sessions;
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
queue_up(3, $LIST);
rotate();
finishes('three that ask the same', 6, 6, 6);
is(requests('/postgres$'), 1, 'both sessions share one request');
in_session($_, 'RESET chpg.cache_ttl') foreach @sessions;

queue_up(1, "SELECT count(*) FROM chpg_restart_service('$ORDERS')");
rotate();
finishes('a change', 1);
is(requests("$ORDERS/state\$"), 1, 'the change is sent once');

# A fleet: its first requests carried the old key, and the others carry the new one.
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '2/3s')});
use_up();
begin_in_session($sessions[0], "SELECT count(DISTINCT service_id) FROM chpg_slow_patterns($DAY)");
wait_until(sub { request_count($url) >= 3 && waiting() == 1 }, 'the fleet is under way');
rotate();
finishes('a fleet', 6);
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '2/10s')});

# A new key that was stored with another address is sent to that address only; so is one
# without an address.
queue_up(1, $LIST);
reset_emulator($other_url, key_id => 'otherKey', key_secret => $KEY_SECRET);
$node->safe_psql('postgres',
	"ALTER SERVER chpg OPTIONS (SET api_url '$other_url');"
	  . "ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id 'otherKey', SET key_secret '$KEY_SECRET')");
finishes('a read whose server got another address', 6);
is_deeply([ map { $_->{headers}{authorization} } @{ journal($url)->{requests} } ], ['Basic ok'],
	'the statement uses the old key at the old address');
is(request_count($other_url), 0, 'and nothing at the new one');
$node->safe_psql('postgres',
	"ALTER SERVER chpg OPTIONS (SET api_url '$url');"
	  . "ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id 'key$number')");

# A statement does not continue with a mapping that was dropped, or created again.
queue_up(1, $LIST);
$node->safe_psql('postgres', 'SELECT chpg_disconnect()');
finishes('a read whose mapping was dropped', 6);
$node->safe_psql('postgres',
	"CREATE USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (key_id 'key$number', key_secret '$KEY_SECRET')");

$_->quit foreach $monitor, @sessions;

# Use up the budget of the present key, and let the statement wait in this many
# sessions.
sub queue_up
{
	my ($count, $sql) = @_;

	use_up();
	begin_in_session($_, $sql) foreach @sessions[0 .. $count - 1];
	wait_until(sub { waiting() >= 1 && sessions_within($sql) == $count }, 'the statement waits');
	return;
}

sub use_up
{
	$node->safe_psql('postgres', 'SELECT FROM chpg_organizations(); SELECT FROM chpg_organizations()');
	clear_journal($url);
	return;
}

sub waiting
{
	return in_session($monitor, 'SELECT coalesce(sum(waiting), 0) FROM chpg_budget');
}

sub sessions_within
{
	my ($sql) = @_;
	return in_session($monitor,
		"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension' AND query LIKE "
		  . q{'} . ($sql =~ s/'/''/gr) . q{%'});
}

# A new key, and the old one is revoked before the statements see that: they are stopped
# meanwhile, and wait, or the test would prove nothing.
sub rotate
{
	my $old = $number ? "key$number" : $KEY_ID;
	my $new = 'key' . ++$number;
	my @waiting = split /\n/, in_session($monitor, q{SELECT pid FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension'});

	kill 'STOP', @waiting;
	reset_emulator($url, key_id => $old, key_secret => $KEY_SECRET, keys => { $new => $KEY_SECRET });
	$node->safe_psql('postgres', "SELECT chpg_connect('$new', '$KEY_SECRET')");
	reset_emulator($url, key_id => $new, key_secret => $KEY_SECRET, keys => {});
	kill 'CONT', @waiting;
	return;
}

# What the statements of the sessions returned
sub finishes
{
	my ($name, @expected) = @_;

	foreach my $i (0 .. $#expected)
	{
		my $session = $sessions[$i];
		my $printed = in_session($session, 'SELECT');

		is($printed, $expected[$i], "$name: succeeds in session $i") or diag($session->{stderr});
	}
	return;
}

sub requests
{
	my ($path) = @_;
	return scalar grep { $_->{path} =~ $path } @{ journal($url)->{requests} };
}

done_testing();
