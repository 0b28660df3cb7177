# psql sessions that stay open, whose statements need not end before the next step of
# a test.
package ChpgTest::Session;

use strict;
use warnings;

use Exporter qw(import);

use PostgreSQL::Test::Cluster ();

our @ISA = ('PostgreSQL::Test::BackgroundPsql');
our @EXPORT = qw(open_session in_session begin_in_session await_in_session);

# Open a session, which prints errors with their SQLSTATE.
sub open_session
{
	my ($node, %psql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, %psql);

	bless $session, 'ChpgTest::Session';
	$session->set_query_timer_restart;
	in_session($session, '\set VERBOSITY verbose');
	return $session;
}

# Run a statement in a session; returns what it printed.  Its errors and notices are
# in $session->{stderr}.
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

# Wait until a session has printed this error or notice.
sub await_in_session
{
	my ($session, $message) = @_;

	while ($session->{stderr} !~ $message)
	{
		die "the session printed: $session->{stderr}"
		  if $session->{timeout}->is_expired || !$session->{run}->pumpable;
		$session->{run}->pump;
	}
	return;
}

# End a session.  The timer of its latest statement must not run out before: tests
# take long on a busy machine.
sub quit
{
	my ($self) = @_;

	$self->{timeout}->start;
	return $self->SUPER::quit();
}

1;
