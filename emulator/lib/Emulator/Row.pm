# JSON objects with a chosen literal per number, since the API sends the same field
# as an integer, a fraction or a string.
package Emulator::Row;

use strict;
use warnings;

use Exporter   qw(import);
use Mojo::JSON qw(encode_json);

our @EXPORT_OK = qw(json_row json_text json_fraction json_quoted);

# From name => literal pairs; a field without a literal is left out.
sub json_row
{
	my (@pairs) = @_;
	my @members;
	while (my ($name, $literal) = splice @pairs, 0, 2)
	{
		push @members, qq("$name":$literal) if defined $literal;
	}
	return '{' . join(',', @members) . '}';
}

# A string's literal; undef stays undef
sub json_text
{
	my ($text) = @_;
	return defined $text ? encode_json("$text") : undef;
}

# All digits of a double, and a fraction even when it is whole
sub json_fraction
{
	my ($number) = @_;
	my $literal = sprintf '%.17g', $number;
	return $literal =~ /[.e]/ ? $literal : "$literal.0";
}

sub json_quoted
{
	my ($literal) = @_;
	return qq("$literal");
}

1;
