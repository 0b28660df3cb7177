# What a statement should print, cost in requests, or fail with.
package ChpgTest::Statement;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Test::More;

use ChpgTest::Emulator;
use ChpgTest::Node;

our @EXPORT = qw(costs fails_with fails_as rejects notices if_up keeps_secrets);

# The statement succeeds and costs this many requests; returns what it printed.
sub costs
{
	my ($node, $url, $sql, $expected, $name, %psql) = @_;

	clear_journal($url);
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1, %psql);
	is($status, 0, "$name: succeeds") or diag($err);
	is(request_count($url), $expected, "$name: $expected requests");
	return $out;
}

# The statement fails with this SQLSTATE and a message that matches; returns all
# that psql printed of the error, at verbosity "verbose".
sub fails_with
{
	my ($node, $sql, $state, $message, $name, %psql) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1, %psql);

	like($err, qr/(?:ERROR|FATAL):  \Q$state\E: /, "$name: SQLSTATE $state");
	like($err, $message, "$name: message");
	return $err;
}

# The statement of this role fails so, on the cluster that was started first.
sub fails_as
{
	my ($role, $sql, @expected) = @_;
	return fails_with(main_node(), $sql, @expected, extra_params => [ '-U', $role ]);
}

# The statement fails so, and without a request to this emulator.
sub rejects
{
	my ($node, $url, $sql, $state, $message, $name, %psql) = @_;

	clear_journal($url);
	my $error = fails_with($node, $sql, $state, $message, $name, %psql);
	is(request_count($url), 0, "$name: no request");
	return $error;
}

# The notices and warnings of a statement.  Where the emulator's clock stands still,
# the windows of a test are long past by the server's clock, which a notice says each
# time: that notice is left out.
sub notices
{
	my ($node, $sql, %psql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, %psql);
	return $err =~ s/^[^\n]*NOTICE:  (?:00000: )?the window begins before what the API keeps[^\n]*(?:\nLOCATION:[^\n]*)?(?:\n|\z)//mgr =~ s/\n\z//r;
}

# What a query prints, or nothing while the server, which may be restarting, takes no
# connections.  The query is an argument of psql, which may end before it reads any
# input.
sub if_up
{
	my ($node, $sql) = @_;
	my ($out) = run_command([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres'), '-c', $sql ]);
	return $out;
}

# The text contains none of the secrets.
sub keeps_secrets
{
	my ($text, $name, @secrets) = @_;
	die "$name: no secrets to look for" unless @secrets;
	my @found = grep { index($text, $_) >= 0 } @secrets;

	is_deeply(\@found, [], "$name: no secret");
	return;
}

1;
