# Processes that end with the test, and waiting for conditions.
package ChpgTest::Process;

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();
use PostgreSQL::Test::Cluster ();    # whose END block runs after the one here
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(start_process end_with_test wait_until);

my $LIMIT = $PostgreSQL::Test::Utils::timeout_default // 180;
my @running;

# Run this in a process that ends with this test; returns its id.
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
	end_with_test($pid);
	return $pid;
}

sub end_with_test { my ($pid) = @_; return push @running, $pid }

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

END
{
	local $?;
	kill 'TERM', @running if @running;
}

1;
