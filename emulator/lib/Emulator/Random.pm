# Repeatable random numbers: a stream depends only on its name, so that a further
# service or field leaves all other values unchanged.
package Emulator::Random;

use strict;
use warnings;

use Digest::MD5 qw(md5);
use Encode      qw(encode_utf8);

sub new
{
	my ($class, @name) = @_;
	my $state = unpack 'q', md5(encode_utf8(join "\0", @name));
	return bless \$state, $class;
}

# 31 random bits: the upper half of a 64-bit linear congruential generator.
sub bits
{
	my ($self) = @_;
	use integer;
	$$self = $$self * 6364136223846793005 + 1442695040888963407;
	return ($$self >> 32) & 0x7fffffff;
}

# In [0, 1)
sub fraction
{
	my ($self) = @_;
	return $self->bits / 2147483648;
}

sub chance
{
	my ($self, $probability) = @_;
	return $self->fraction < $probability;
}

sub between
{
	my ($self, $low, $high) = @_;
	return $low + int($self->fraction * ($high - $low + 1));
}

# Small values are as likely as large ones, as durations and counts are.
sub log_between
{
	my ($self, $low, $high) = @_;
	return $low * exp($self->fraction * log($high / $low));
}

sub pick
{
	my ($self, @list) = @_;
	return $list[ int($self->fraction * @list) ];
}

sub shuffle
{
	my ($self, @list) = @_;
	for my $last (reverse 1 .. $#list)
	{
		my $other = $self->between(0, $last);
		@list[ $last, $other ] = @list[ $other, $last ];
	}
	return @list;
}

sub hex_digits
{
	my ($self, $count) = @_;
	return join '', map { sprintf '%x', $self->between(0, 15) } 1 .. $count;
}

sub uuid
{
	my ($self) = @_;
	return join '-', $self->hex_digits(8), $self->hex_digits(4),
	  '4' . $self->hex_digits(3),
	  $self->pick(qw(8 9 a b)) . $self->hex_digits(3),
	  $self->hex_digits(12);
}

1;
