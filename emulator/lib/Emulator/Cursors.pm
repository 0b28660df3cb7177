# The cursors of paged lists.  They are opaque, and look unlike offsets.
package Emulator::Cursors;

use strict;
use warnings;

use Digest::SHA qw(sha1_base64);

sub new
{
	my ($class, $seed) = @_;
	return bless { seed => $seed, place => {} }, $class;
}

# A cursor for the rows of a list from this place on
sub make
{
	my ($self, $list, $place) = @_;
	my $cursor = '+/' . sha1_base64("$self->{seed} $list $place") . '=';
	$self->{place}{$list}{$cursor} = $place;
	return $cursor;
}

# The place for which a cursor was made; undef for one of another list
sub place
{
	my ($self, $list, $cursor) = @_;
	return $self->{place}{$list}{$cursor};
}

1;
