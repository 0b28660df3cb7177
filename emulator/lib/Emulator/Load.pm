# How much a service is used: a weekly course that repeats, hour by hour (UTC).
package Emulator::Load;

use strict;
use warnings;

my $HOUR = 3600;
my $WEEK = 168;

# Epoch second 0 was the beginning of a Thursday.
my $FIRST_WEEKDAY = 4;

# Load by hour of the day; 1 is the rate that patterns state.
my %DAY = (
	shop => [
		0.70, 0.50, 0.36, 0.28, 0.26, 0.32, 0.48, 0.68,
		0.88, 1.02, 1.10, 1.14, 1.20, 1.18, 1.12, 1.10,
		1.14, 1.24, 1.40, 1.56, 1.62, 1.50, 1.24, 0.96
	],
	office => [
		0.40, 0.36, 0.34, 0.34, 0.36, 0.44, 0.66, 1.04,
		1.42, 1.60, 1.64, 1.56, 1.36, 1.48, 1.56, 1.46,
		1.26, 1.00, 0.78, 0.66, 0.58, 0.52, 0.46, 0.42
	]);

# Load by day of the week, from Sunday on
my %WEEK = (
	even => [ (1) x 7 ],
	shop => [ 1.24, 0.92, 0.90, 0.92, 0.98, 1.04, 1.20 ],
	office => [ 0.42, 1.12, 1.14, 1.12, 1.10, 1.04, 0.46 ]);

# How long an execution takes in an hour without load, and how much longer in one of
# load 1, in parts of the mean
my ($IDLE, $STRAIN) = (0.85, 0.15);

# Of courses by name.  Sums are exact, since the load of an hour is kept as a whole
# number of 1/10000.
sub new
{
	my ($class, $day, $week) = @_;
	my @day = map { int($_ * 100 + 0.5) } @{ $DAY{$day} };
	my @week = map { int($_ * 100 + 0.5) } @{ $WEEK{$week} };
	my @hours = map {
		$day[ $_ % 24 ] * $week[ (int($_ / 24) + $FIRST_WEEKDAY) % 7 ]
	} 0 .. $WEEK - 1;
	my @before = (0);
	push @before, $before[-1] + $_ for @hours;
	my $self = bless { week => \@week, hours => \@hours, before => \@before }, $class;
	$self->_share_out(@day);
	return $self;
}

# The course of any day: by hour, and at its end, the shares of the day's calls and
# of its execution time that are done
sub _share_out
{
	my ($self, @day) = @_;
	my @time = map { $_ * ($IDLE + $STRAIN * $_ / 100) } @day;
	for my $course ([ calls => @day ], [ time => @time ])
	{
		my ($name, @parts) = @$course;
		my @done = (0);
		push @done, $done[-1] + $_ for @parts;
		$self->{$name} = [ (map { $_ / $done[-1] } @done[ 0 .. 23 ]), 1 ];
	}
	return;
}

# The load of an hour, by its number since the epoch
sub of_hour
{
	my ($self, $hour) = @_;
	return $self->{hours}[ $hour % $WEEK ] / 10_000;
}

# The load of a day of the week, by the number of the day since the epoch
sub of_day
{
	my ($self, $day) = @_;
	return $self->{week}[ ($day + $FIRST_WEEKDAY) % 7 ] / 100;
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
	return int($hour / $WEEK) * $self->{before}[$WEEK] / 10_000 +
	  $self->{before}[ $hour % $WEEK ] / 10_000 +
	  ($time / $HOUR - $hour) * $self->of_hour($hour);
}

# The days that a window touches, as { load, day, from, to, first, last }: the number
# of the day, the shares of its calls that are done at both ends, and the hours touched.
# A share depends on the millisecond of the day only, so that windows add up.  An empty
# window touches none.
sub days
{
	my ($self, $from, $to) = @_;
	my @ends = map { int($_ * 1000 + 0.5) } $from, $to;
	return if $ends[0] >= $ends[1];
	my @days;
	for (my $day = int($ends[0] / 86_400_000); $day * 86_400_000 < $ends[1]; $day++)
	{
		my ($begin, $end) = map { $_ - $day * 86_400_000 } @ends;
		$begin = 0 if $begin < 0;
		$end = 86_400_000 if $end > 86_400_000;
		push @days,
		  {
			load => $self,
			day => $day,
			from => $self->calls_until($begin),
			to => $self->calls_until($end),
			first => int($begin / 3_600_000),
			last => int(($end - 1) / 3_600_000)
		  };
	}
	return @days;
}

# The share of a day's calls that is done at a millisecond of it
sub calls_until
{
	my ($self, $milli) = @_;
	my $hour = int($milli / 3_600_000);
	return 1 if $hour == 24;
	return _between($self->{calls}, $hour, $milli / 3_600_000 - $hour);
}

# The share of a day's execution time that is done after a share of its calls, which is
# reached in about this hour
sub time_after
{
	my ($self, $share, $hour) = @_;
	$hour = $self->_hour_of($share, $hour);
	return _between($self->{time}, $hour, $self->_part_of($hour, $share));
}

# The second of a day at which a share of its calls is done
sub second_of
{
	my ($self, $share) = @_;
	my $hour = $self->_hour_of($share, 23);
	return $HOUR * ($hour + $self->_part_of($hour, $share));
}

# The hour of the day in which a share of its calls is reached; the search begins at $hour
sub _hour_of
{
	my ($self, $share, $hour) = @_;
	my $calls = $self->{calls};
	$hour-- while $hour > 0 && $calls->[$hour] > $share;
	$hour++ while $hour < 23 && $calls->[ $hour + 1 ] <= $share;
	return $hour;
}

# The part of an hour of the day after which a share of the day's calls is done
sub _part_of
{
	my ($self, $hour, $share) = @_;
	my ($before, $after) = @{ $self->{calls} }[ $hour, $hour + 1 ];
	return ($share - $before) / ($after - $before);
}

sub _between
{
	my ($course, $hour, $part) = @_;
	return $part == 1
	  ? $course->[ $hour + 1 ]
	  : $course->[$hour] + $part * ($course->[ $hour + 1 ] - $course->[$hour]);
}

1;
