# The IP access list of a service.  Whether responses show it, whether a PATCH without
# it keeps it, and what its form is, are not documented: options decide.
package Emulator::Access;

use strict;
use warnings;

use Emulator::Api  qw(refuse);
use Emulator::Body qw(string);

# The values of the options; the first is the default.
our %OPTIONS = (
	ip_access_list => [qw(shown get hidden)],
	ip_access_list_patch => [qw(kept cleared)],
	ip_access_list_form => [qw(changes array)],
	ip_access_list_remove => [qw(source exact)]);

our @ANYWHERE = ({ source => '0.0.0.0/0', description => 'Anywhere' });

sub new
{
	my ($class, %options) = @_;
	return bless {%options}, $class;
}

# The fields of a service that a response shows: to a read, or to a change
sub shown
{
	my ($self, $fields, $to) = @_;
	return $fields
	  if $self->{ip_access_list} eq 'shown' || $self->{ip_access_list} eq $to;
	my %fields = %$fields;
	delete $fields{ipAccessList};
	return \%fields;
}

# Replaces the list of a PATCH, if it has one, by what becomes of the old one.
sub apply
{
	my ($self, $old, $wanted) = @_;
	if (!exists $wanted->{ipAccessList})
	{
		$wanted->{ipAccessList} = []
		  if $self->{ip_access_list_patch} eq 'cleared';
		return;
	}
	my $change = $wanted->{ipAccessList};
	if (ref $change eq 'ARRAY')
	{
		refuse(400, 'request body.ipAccessList is an object.')
		  if $self->{ip_access_list_form} ne 'array';
		return;
	}
	refuse(400,
		'request body.ipAccessList value is not an array: [object Object]')
	  if $self->{ip_access_list_form} eq 'array';
	my @list = grep {
		my $entry = $_;
		!grep { $self->_removes($_, $entry) } @{ $change->{remove} // [] }
	} @{ $old // [] };
	$wanted->{ipAccessList} = [ @list, @{ $change->{add} // [] } ];
	return;
}

# A check for body(): an object of changes, or an array of entries
sub check
{
	my ($place, $value) = @_;
	return _entries($place, $value) if ref $value eq 'ARRAY';
	refuse(400, "$place is an object.") if ref $value ne 'HASH';
	my %change;
	for my $name (sort keys %$value)
	{
		refuse(400, "request body property can't be validated: $name")
		  if $name !~ /\A(?:add|remove)\z/;
		refuse(400, "$place.$name is an array.")
		  if ref $value->{$name} ne 'ARRAY';
		$change{$name} = _entries("$place.$name", $value->{$name});
	}
	return \%change;
}

sub _removes
{
	my ($self, $removed, $entry) = @_;
	return 0 if _block($removed->{source}) ne _block($entry->{source});
	return 1 if $self->{ip_access_list_remove} ne 'exact';
	return ($removed->{description} // '') eq ($entry->{description} // '');
}

sub _block { my ($source) = @_; return $source =~ s{/32\z}{}r }

sub _entries
{
	my ($place, $entries) = @_;
	return [ map { _entry("$place\[$_]", $entries->[$_]) } 0 .. $#$entries ];
}

sub _entry
{
	my ($place, $entry) = @_;
	refuse(400, "$place is an object.") if ref $entry ne 'HASH';
	for my $name (sort keys %$entry)
	{
		refuse(400, "request body property can't be validated: $name")
		  if $name !~ /\A(?:source|description)\z/;
		string(0, 256)->("$place.$name", $entry->{$name});
	}
	refuse(400, "$place.source is required.") if !exists $entry->{source};
	my @bytes = $entry->{source} =~
	  m{\A(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:/(?:[12]?\d|3[0-2]))?\z}a;
	refuse(400, "$place.source '$entry->{source}' is no IPv4 address or CIDR.")
	  if !@bytes || grep { $_ > 255 } @bytes;
	return {%$entry};
}

1;
