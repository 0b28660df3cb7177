# A clock that a test moves: that of all processes which start after begin_clock(), servers and emulators alike.
# The monotonic clock, and the clock of the test itself, stay as they are.
package ChpgTest::Clock;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Time::Local qw(timegm);

our @EXPORT = qw(begin_clock set_clock advance_clock);

my $file;

# dev/test --at has preloaded the library, else it is built.
sub begin_clock
{
	my ($time) = @_;
	my $directory = tempdir(CLEANUP => 1);

	chmod 0755, $directory;
	$file = "$directory/clock";
	set_clock($time);
	$ENV{CHPG_CLOCK_FILE} = $file;
	return if ($ENV{LD_PRELOAD} // '') =~ /shifted_clock/;
	my $source = dirname(__FILE__) . '/../../../dev/shifted_clock.c';
	system($ENV{CC} || 'cc', '-O2', '-shared', '-fPIC', '-o', "$directory/shifted_clock.so", $source, '-ldl') == 0 or die "could not build $source\n";
	$ENV{LD_PRELOAD} = join ' ', "$directory/shifted_clock.so", $ENV{LD_PRELOAD} // ();
	return;
}

# Move the clock to this time, "2026-06-01 02:30" in UTC, from where it goes on.
sub set_clock
{
	my ($time) = @_;
	my ($year, $month, $day, $hour, $minute) = $time =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+)$/ or die "not a time: $time\n";
	my $seconds = pack 'q', timegm(0, $minute, $hour, $day, $month - 1, $year) - time;

	open my $out, (-e $file ? '+<' : '>'), $file or die "$file: $!\n";
	syswrite $out, $seconds;
	close $out;
	return;
}

# Move the clock on by an interval, from the node's present minute.
sub advance_clock
{
	my ($node, $interval) = @_;

	return set_clock($node->safe_psql('postgres', "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '$interval', 'YYYY-MM-DD HH24:MI')"));
}

1;
