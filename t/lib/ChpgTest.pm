# What the TAP tests share, a module per concern; this one exports them all.
package ChpgTest;

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();

use ChpgTest::Crash;
use ChpgTest::Emulator;
use ChpgTest::History;
use ChpgTest::Keys;
use ChpgTest::Node;
use ChpgTest::Process;
use ChpgTest::Session;
use ChpgTest::Statement;

our @EXPORT = (
	qw($DAY $PAST_DATE),
	@ChpgTest::Crash::EXPORT, @ChpgTest::Emulator::EXPORT, @ChpgTest::History::EXPORT, @ChpgTest::Keys::EXPORT,
	@ChpgTest::Node::EXPORT, @ChpgTest::Process::EXPORT, @ChpgTest::Session::EXPORT,
	@ChpgTest::Statement::EXPORT);

# The arguments of chpg_slow_patterns() for the last day
our $DAY = "now() - interval '1 day', now()";

# The day before yesterday, for windows that stay the same throughout a test: all of
# it is past, and query insights still keep it.
our $PAST_DATE = POSIX::strftime('%Y-%m-%d', gmtime(time - 2 * 86400));

1;
