# The API's request limit: a sliding window per key.
package Emulator::Limiter;

use strict;
use warnings;

use Time::HiRes qw(time);

# "10/10s": requests / seconds.  Dies on anything else.
sub new
{
	my ($class, $limit) = @_;
	my ($requests, $seconds) = $limit =~ m{\A([1-9]\d*)/(\d+(?:\.\d+)?)s\z}a
	  or die "rate limit \"$limit\" is not of the form 10/10s\n";
	return bless {
		requests => $requests,
		seconds => $seconds,
		granted => {}
	}, $class;
}

# Takes a slot of the key and returns undef; if none is free, returns the seconds
# until one is, and takes none.
sub refuse
{
	my ($self, $key) = @_;
	my $now = time;
	my $granted = $self->{granted}{$key} //= [];
	shift @$granted
	  while @$granted && $granted->[0] + $self->{seconds} <= $now;
	return $granted->[0] + $self->{seconds} - $now
	  if @$granted >= $self->{requests};
	push @$granted, $now;
	return undef;
}

1;
