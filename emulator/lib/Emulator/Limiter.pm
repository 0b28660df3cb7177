# The API's request limit: a sliding or fixed window per key, and the headers that
# describe it.
package Emulator::Limiter;

use strict;
use warnings;

use Time::HiRes qw(time);

# The limit "10/10s": requests / seconds.  The kind of window is "sliding" or "fixed";
# fixed windows begin at multiples of their length.  Without "enforced" requests are
# counted and none is refused.  Dies on anything else.
sub new
{
	my ($class, $limit, $kind, $enforced) = @_;
	my ($requests, $seconds) = $limit =~ m{\A([1-9]\d*)/(\d+(?:\.\d+)?)s\z}a
	  or die "rate limit \"$limit\" is not of the form 10/10s\n";
	return bless {
		requests => $requests,
		seconds => $seconds,
		kind => $kind,
		enforced => $enforced,
		granted => {}
	}, $class;
}

# Counts a request with the key, unless it is refused.  Returns the headers for its
# response, and, if it is refused, the seconds until a request is granted again.
sub count
{
	my ($self, $key) = @_;
	my $now = time;
	my $granted = $self->{granted}{$key} //= [];
	my $seconds = $self->{seconds};
	my $fixed = $self->{kind} eq 'fixed';
	my $begin = $fixed ? int($now / $seconds) * $seconds : $now - $seconds;
	shift @$granted
	  while @$granted && ($fixed ? $granted->[0] < $begin : $granted->[0] <= $begin);
	my $refused = $self->{enforced} && @$granted >= $self->{requests};
	push @$granted, $now if !$refused;
	my $reset = ($fixed ? $begin : $granted->[0]) + $seconds - $now;
	my $remaining = $self->{requests} - @$granted;
	return (
		{
			'X-RateLimit-Limit' => $self->{requests},
			'X-RateLimit-Policy' =>
			  qq($self->{requests};w=$seconds;comment="$self->{kind} window"),
			'X-RateLimit-Remaining' => $remaining < 0 ? 0 : $remaining,
			'X-RateLimit-Reset' => sprintf('%.3f', $reset + 0.0005)
		},
		$refused ? $reset : undef);
}

1;
