# The emulator's clock, and the API's formats of times.
package Emulator::Clock;

use strict;
use warnings;

use Exporter    qw(import);
use POSIX       qw(strftime);
use Time::HiRes ();
use Time::Local qw(timegm);

our @EXPORT_OK = qw(parse_time format_time);

# "at": epoch seconds at which the clock is stopped; undef lets it run.
sub new
{
	my ($class, $at) = @_;
	return bless { at => $at }, $class;
}

sub now
{
	my ($self) = @_;
	return $self->{at} // Time::HiRes::time();
}

# Epoch seconds of YYYY-MM-DDTHH:MM:SS.mmmZ, the only form that the query
# insights accept; undef for anything else.
sub parse_time
{
	my ($text) = @_;
	my ($year, $month, $day, $hour, $minute, $second, $milli) =
	  $text =~ /\A(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z\z/a
	  or return undef;
	my $epoch =
	  eval { timegm($second, $minute, $hour, $day, $month - 1, $year) };
	return defined $epoch ? $epoch + $milli / 1000 : undef;
}

# "form" follows the seconds: 'Z', '+00:00', or either with '.mmm' before it.
sub format_time
{
	my ($epoch, $form) = @_;
	$form //= '.mmmZ';
	my $milli = int($epoch * 1000 + 0.5);
	my $fraction = sprintf '.%03d', $milli % 1000;
	$form =~ s/\.mmm/$fraction/;
	return strftime('%Y-%m-%dT%H:%M:%S', gmtime(int($milli / 1000))) . $form;
}

1;
