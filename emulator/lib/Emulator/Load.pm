# How much a service is used: a weekly course that repeats, hour by hour (UTC).
package Emulator::Load;

use strict;
use warnings;

my $HOUR = 3600;
my $WEEK = 168;

# Epoch second 0 was the beginning of a Thursday.
my $FIRST_WEEKDAY = 4;

# "day" has 24 numbers, "week" 7 from Sunday on.
sub new
{
	my ($class, $day, $week) = @_;
	my @hours = map {
		$day->[ $_ % 24 ] * $week->[ (int($_ / 24) + $FIRST_WEEKDAY) % 7 ]
	} 0 .. $WEEK - 1;
	my @before = (0);
	push @before, $before[-1] + $_ for @hours;
	return bless { hours => \@hours, before => \@before }, $class;
}

# The load of an hour, by its number since the epoch
sub of_hour
{
	my ($self, $hour) = @_;
	return $self->{hours}[ $hour % $WEEK ];
}

# The load of a moment, between those of the middles of two hours
sub at
{
	my ($self, $time) = @_;
	my $middle = $time / $HOUR - 0.5;
	my $hour = int $middle;
	my $part = $middle - $hour;
	return (1 - $part) * $self->of_hour($hour) +
	  $part * $self->of_hour($hour + 1);
}

# The sum over the hours between two moments, and parts of hours; 0 if the
# second one is not after the first.
sub between
{
	my ($self, $from, $to) = @_;
	return $from < $to ? $self->_until($to) - $self->_until($from) : 0;
}

sub _until
{
	my ($self, $time) = @_;
	my $hour = int($time / $HOUR);
	return int($hour / $WEEK) * $self->{before}[$WEEK] +
	  $self->{before}[ $hour % $WEEK ] +
	  ($time / $HOUR - $hour) * $self->of_hour($hour);
}

1;
