# What the TAP tests share: an emulator of the API, a cluster that talks to it,
# and ways to say what a statement should cost and how it should fail.
package ChpgTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp;
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  $KEY_ID $KEY_SECRET $DAY $PAST_DATE
  start_emulator start_node needs_extension connect_sql
  reset_emulator fault clear_faults clear_journal journal request_count connections
  fails_with costs keeps_secrets unplant wait_until if_up notices
  use_new_key key_budget block_key
  open_session in_session begin_in_session await_in_session
  start_process
);

our $KEY_ID = 'demoKeyId';
our $KEY_SECRET = 'demoKeySecret';

# The arguments of chpg_slow_patterns() for the last day.
our $DAY = "now() - interval '1 day', now()";

# The day before yesterday, for windows that stay the same throughout a test: all of
# it is past, and query insights still keep it.
our $PAST_DATE = POSIX::strftime('%Y-%m-%d', gmtime(time - 2 * 86400));

my $ROOT = dirname(dirname(dirname(abs_path(__FILE__))));
my $LIMIT = $PostgreSQL::Test::Utils::timeout_default // 180;
my %running;

# Start an emulator that ends with this test; its base URL.
sub start_emulator
{
	my (@options) = @_;
	my $directory = File::Temp->newdir;
	my $port_file = "$directory/port";
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		exec "$ROOT/emulator/chpg-emulator", '--port', 0, '--port-file',
		  $port_file, '--parent', getppid(), @options
		  or die "could not start the emulator: $!";
	}
	wait_until(sub { -s $port_file }, 'the emulator listens');
	my $scheme = grep({ $_ eq '--tls-cert' } @options) ? 'https' : 'http';
	my $url = "$scheme://127.0.0.1:" . (slurp_file($port_file) =~ s/\s+//gr);
	$running{$url} = $pid;
	return $url;
}

# A started cluster without chpg, with these lines in its configuration.  Its
# backends share the budget, which before 17 needs preloading, and each statement
# asks the API anew.
sub start_node
{
	my ($name, @configuration) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my @usual = ('chpg.cache_ttl = 0');

	push @usual, "shared_preload_libraries = 'chpg'"
	  if $node->pg_version < 17;
	$node->init;
	$node->append_conf('postgresql.conf',
		join("\n", @usual, @configuration, ''));
	$node->start;
	return $node;
}

# The version of an extension that this test needs beside chpg.  Where Debian has no
# package of it yet the test is not run, and dev/test's summary shows that.
sub needs_extension
{
	my ($node, $name) = @_;
	my $version = $node->safe_psql('postgres',
		"SELECT default_version FROM pg_available_extensions WHERE name = '$name'");

	plan(skip_all => "$name is not installed") if $version eq '';
	return $version;
}

# SQL that creates the extension and connects it to the emulator, without a
# limit unless one is given.
sub connect_sql
{
	my ($url, $rate_limit) = @_;
	$rate_limit //= 'unlimited';
	return "CREATE EXTENSION chpg;"
	  . " SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url');"
	  . " ALTER SERVER chpg OPTIONS (ADD rate_limit '$rate_limit');";
}

# The emulator's control routes
sub control
{
	my ($url, $method, $route, $content) = @_;
	my $answer = HTTP::Tiny->new(verify_SSL => 0)->request(
		$method,
		"$url/_emulator/$route",
		defined $content ? { content => encode_json($content) } : {});

	die "emulator: $answer->{status} $answer->{content}" if !$answer->{success};
	return $answer->{content};
}

sub reset_emulator { my ($url, %options) = @_; return control($url, 'POST', 'reset', \%options) }
sub fault { my ($url, %fault) = @_; return control($url, 'POST', 'faults', \%fault) }
sub clear_journal { my ($url) = @_; return control($url, 'DELETE', 'journal') }
sub clear_faults { my ($url) = @_; return control($url, 'DELETE', 'faults') }
sub journal { my ($url) = @_; return decode_json(control($url, 'GET', 'journal')) }
sub request_count { my ($url) = @_; return scalar @{ journal($url)->{requests} } }
sub connections { my ($url) = @_; return journal($url)->{connections} }

# The statement succeeds and costs this many requests; what it printed.
sub costs
{
	my ($node, $url, $sql, $expected, $name, %psql) = @_;
	my ($status, $out, $err);

	control($url, 'DELETE', 'journal');
	($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1, %psql);
	is($status, 0, "$name: succeeds") or diag($err);
	is(request_count($url), $expected, "$name: $expected requests");
	return $out;
}

# Takes patterns out of the history in the schema "kept" again, by their texts.
sub unplant
{
	my ($node, @texts) = @_;
	my $list = join ', ', map { "'$_'" } @texts;

	return $node->safe_psql('postgres', "DELETE FROM kept.pattern p USING kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text IN ($list)");
}

# The text has none of the secrets.
sub keeps_secrets
{
	my ($text, $name, @secrets) = @_;
	die "$name: no secrets to look for" unless @secrets;
	my @found = grep { index($text, $_) >= 0 } @secrets;

	is_deeply(\@found, [], "$name: no secret");
	return;
}

# The statement fails with this SQLSTATE and a message that matches; all that
# psql printed of the error, at verbosity "verbose".
sub fails_with
{
	my ($node, $sql, $state, $message, $name, %psql) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1, %psql);

	like($err, qr/(?:ERROR|FATAL):  \Q$state\E: /, "$name: SQLSTATE $state");
	like($err, $message, "$name: message");
	return $err;
}

# Let the server "chpg" use a key that nobody has used, with this rate limit, and
# the emulator start anew with these options; the key's id.
my $new_keys = 0;

sub use_new_key
{
	my ($node, $url, $rate_limit, %emulator) = @_;
	my $id = 'budgetKey' . ++$new_keys;

	reset_emulator($url, keys => { $id => $KEY_SECRET }, %emulator);
	$node->safe_psql('postgres',
		"ALTER SERVER chpg OPTIONS (SET rate_limit '$rate_limit'); ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id '$id')");
	return $id;
}

# Columns of a key's row in chpg_budget.
sub key_budget
{
	my ($node, $columns, $id) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM chpg_budget WHERE key_id = '$id'");
}

# Make the API accept the key that is in use, and then refuse a request (429) with
# these headers, so that it is blocked: by default for half a minute, or until
# chpg_budget_reset().  The journal is empty then.
sub block_key
{
	my ($node, $url, %headers) = @_;

	%headers = ('X-RateLimit-Reset' => 30) if !%headers;
	$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
	fault($url, times => 1, status => 429, headers => \%headers);
	$node->psql('postgres', 'SET chpg.max_retries = 0; SELECT FROM chpg_organizations()');
	clear_journal($url);
	return;
}

# What a query prints, or nothing while the server, which may be restarting, takes no
# connections.  Its text is an argument of psql, which may end before it reads any input.
sub if_up
{
	my ($node, $sql) = @_;
	my ($out) = run_command([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres'), '-c', $sql ]);
	return $out;
}

# What a statement says on the side: notices and warnings.  Where the emulator's clock
# stands still, a test's windows are long past by the server's, which it says of
# each: that is left out unless it is sought.
sub notices
{
	my ($node, $sql, %psql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, %psql);
	return $err =~ s/^[^\n]*NOTICE:  (?:00000: )?the window begins before what the API keeps[^\n]*(?:\nLOCATION:[^\n]*)?(?:\n|\z)//mgr =~ s/\n\z//r;
}

# Wait for a condition, not for a time.
sub wait_until
{
	my ($condition, $what) = @_;
	my $deadline = time + $LIMIT;

	while (!$condition->())
	{
		die "timed out waiting until $what" if time > $deadline;
		usleep(2_000);
	}
	return;
}

# A psql session that stays, and tells errors with their SQLSTATE
sub open_session
{
	my ($node, %psql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, %psql);

	bless $session, 'ChpgTest::Session';
	$session->set_query_timer_restart;
	in_session($session, '\set VERBOSITY verbose');
	return $session;
}

# Run a statement in a session; what it printed.  Its errors and notices are in
# $session->{stderr}.
sub in_session
{
	my ($session, $sql) = @_;

	$session->{stderr} = '';
	return scalar $session->query($sql);
}

# Begin a statement in a session, and do not wait for its end.
sub begin_in_session
{
	my ($session, $sql) = @_;

	$session->{stderr} = '';
	$session->{timeout}->start;
	$session->{stdin} .= "$sql;\n";
	$session->{run}->pump_nb while length $session->{stdin};
	return;
}

# Wait until a session has said this on the side, such as an error.
sub await_in_session
{
	my ($session, $message) = @_;

	while ($session->{stderr} !~ $message)
	{
		die "the session said: $session->{stderr}"
		  if $session->{timeout}->is_expired || !$session->{run}->pumpable;
		$session->{run}->pump;
	}
	return;
}

# Run this in a process that ends with this test; its id
sub start_process
{
	my ($run) = @_;
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		$SIG{TERM} = 'DEFAULT';
		eval { $run->() };
		POSIX::_exit(1);
	}
	$running{"process $pid"} = $pid;
	return $pid;
}

END
{
	local $?;
	kill 'TERM', values %running if %running;
}

# A session whose timer, which the latest statement started, does not run out
# between its end and that of the session: tests take long on a busy machine.
package ChpgTest::Session;

our @ISA = ('PostgreSQL::Test::BackgroundPsql');

sub quit
{
	my ($self) = @_;

	$self->{timeout}->start;
	return $self->SUPER::quit();
}

1;
