# The queue for a key's budget: nobody who is stopped stops others, and nothing
# that still counts is forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $SERVICE = 'pg7myrd1j06p3gx4zrm2ze8qz6';
my $EXECUTIONS = "SELECT FROM chpg_slow_pattern_executions('$SERVICE', %d, 'sales', 'app', 'SELECT')";

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");

$node->safe_psql('postgres', connect_sql($url));

sub limit { return use_new_key($node, $url, @_) }
sub budget { return key_budget($node, @_) }

# Which of the executions have been asked for, in order.
sub turns
{
	return join ' ', map { $_->{path} =~ m{slowQueryPatterns/(\d)} ? $1 : () } @{ journal($url)->{requests} };
}

# Stop a backend; the test must not leave one so, or the server could not stop.
my %stopped;

sub stop_process { my ($pid) = @_; $stopped{$pid} = 1; return kill 'STOP', $pid }
sub continue_process { my ($pid) = @_; delete $stopped{$pid}; return kill 'CONT', $pid }
END { kill 'CONT', keys %stopped if %stopped }

my @sessions = map { open_session($node) } 1 .. 4;
my @pids = map { in_session($_, 'SELECT pg_backend_pid()') } @sessions;

# Queue all sessions, while the key is blocked, each for an execution.
sub queue_all
{
	my ($id) = @_;

	block_key($node, $url);
	for my $i (1 .. 4)
	{
		begin_in_session($sessions[ $i - 1 ], sprintf $EXECUTIONS, $i);
		wait_until(sub { budget('waiting', $id) eq $i }, 'another one waits');
	}
	return;
}

# The first two are stopped: those after them have their turns, and the two have
# theirs when they come back, before others that came later.
my $id = limit('1/0.2s');
queue_all($id);
stop_process($_) for @pids[ 0, 1 ];
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
wait_until(sub { turns() eq '3 4' || grep { $_->{stderr} ne '' } @sessions[ 2, 3 ] }, 'two have their turns');
is(turns(), '3 4', 'two stopped processes at the head of the queue stop nobody');
is(in_session($_, "SELECT 'done'"), 'done', 'one that passed them has its answer') for @sessions[ 2, 3 ];
$node->safe_psql('postgres', sprintf $EXECUTIONS, 5);
is(turns(), '3 4 5', 'nor do they stop one who comes later');
continue_process($_) for @pids[ 0, 1 ];
is(in_session($_, "SELECT 'done'"), 'done', 'one that was stopped has its answer') for @sessions[ 0, 1 ];
like(turns(), qr/^3 4 5 (?:1 2|2 1)$/, 'each was sent once');
is(budget('waiting', $id), 0, 'nobody waits any more');

# One that is slow for a moment only is not passed.
$id = limit('1/0.2s');
queue_all($id);
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
wait_until(sub { length turns() == 7 }, 'all have their turns');
is(turns(), '1 2 3 4', 'turns are in the order of arrival');
in_session($_, 'SELECT') for @sessions;

# A process that is stopped while its request travels has its slot until the
# request must have ended, by its own timeout.
$id = limit('1/0.5s');
fault($url, times => 1, hang => JSON::PP::true);
in_session($sessions[0], "SET chpg.request_timeout = '1s'; SET chpg.max_retries = 0");
begin_in_session($sessions[0], 'SELECT FROM chpg_organizations()');
wait_until(sub { request_count($url) == 1 }, 'a request is under way');
stop_process($pids[0]);
is(in_session($sessions[1], 'SELECT count(*) FROM chpg_organizations()'), 1, 'a stopped process does not keep its slot');
continue_process($pids[0]);
await_in_session($sessions[0], qr/ERROR:  08006/);

# There are places for 128 keys.  A key whose requests count keeps its place, one
# without such requests makes way, and beyond that a new key is refused.
$node->restart;
my $organization = 'f001cfed-390b-4897-9d38-697e646612d2';
limit('unlimited');
$node->safe_psql('postgres',
	"CREATE SERVER many FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit 'unlimited');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER many OPTIONS (key_id 'many0', key_secret 'x')");

sub request_with_keys
{
	my ($settings, @numbers) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		join('', "$settings\\set VERBOSITY verbose\n",
			map { "ALTER USER MAPPING FOR CURRENT_USER SERVER many OPTIONS (SET key_id 'many$_');\n SELECT FROM chpg_services('many');\n" } @numbers),
		on_error_stop => 0);
	return $err;
}

clear_journal($url);
is(scalar(() = request_with_keys('', 1, 2) =~ /ERROR:  28000/g), 2, 'two keys without a limit');
$node->safe_psql('postgres', q{ALTER SERVER many OPTIONS (SET rate_limit '5/3600s')});
my @errors = request_with_keys('', 3 .. 130) =~ /ERROR:  (\w+)/g;
is_deeply(\@errors, [ ('28000') x 128 ], '128 keys with a limit');
is(request_count($url), 130, 'have sent a request each');
my $refused = request_with_keys("SET chpg.max_wait = '500ms';\n", 131);
like($refused, qr/ERROR:  53400: .* budget is used up/, 'one more is refused');
like($refused, qr/DETAIL:  128 other keys have sent requests that still count, and there is no place for one more\. Nothing was sent\./, 'and learns why');
is(request_count($url), 130, 'its request is not sent');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_budget WHERE used = 1"), 128, 'the requests of the others still count');

done_testing();
