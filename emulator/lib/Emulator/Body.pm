# Bodies of requests: the API's checks, and its error texts.
package Emulator::Body;

use strict;
use warnings;

use Exporter      qw(import);
use Mojo::JSON    qw(encode_json);
use Emulator::Api qw(refuse);
use Emulator::Settings;

our @EXPORT_OK =
  qw(body string matching integer_value one_of_these tags settings);

# The JSON object of a call, checked: the values given, by name.  "known" has a
# check for each property, which gets its place in the body and its value and
# returns the value to use; "required" lists some of them.
sub body
{
	my ($call, $known, @required) = @_;
	my $request = $call->{request};
	my $type = $request->{headers}{'content-type'} // '';
	refuse(400, 'request body needs the content type application/json.')
	  if $type !~ m{\Aapplication/json\s*(?:;|\z)}i;
	my $body = $request->{json};
	refuse(400, 'request body is an object.') if ref $body ne 'HASH';

	my %value;
	for my $name (sort keys %$body)
	{
		my $check = $known->{$name}
		  or refuse(400, "request body property can't be validated: $name");
		$value{$name} = $check->("request body.$name", $body->{$name});
	}
	for my $name (@required)
	{
		refuse(400, "request body.$name is required.")
		  if !exists $value{$name};
	}
	return \%value;
}

# A check for the length of strings
sub string
{
	my ($shortest, $longest) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'string');
		my $length = length $value;
		refuse(400,
			"$place needs from $shortest to $longest characters, not $length."
		) if $length < $shortest || $length > $longest;
		return $value;
	};
}

# A check for strings that match; "what" names them in the refusal.
sub matching
{
	my ($regex, $what) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'string');
		refuse(400, "$place '$value' is no $what.") if $value !~ $regex;
		return $value;
	};
}

sub one_of_these
{
	my (@choices) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'string');
		return $value if grep { $_ eq $value } @choices;
		refuse(400,
			"$place '$value' is none of " . join(', ', @choices) . '.');
	};
}

sub integer_value
{
	my ($least) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'number');
		refuse(400, "$place is an integer.") if $value != int $value;
		refuse(400, "$place is at least $least.") if $value < $least;
		return $value;
	};
}

# A check for tags; an option allows the empty string as a tag's value.
sub tags
{
	my (%options) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'array');
		refuse(400, "$place has at most 50 tags.") if @$value > 50;
		return [ map { _tag("$place\[$_]", $value->[$_], \%options) }
			  0 .. $#$value ];
	};
}

sub _tag
{
	my ($place, $tag, $options) = @_;
	_demand($place, $tag, 'object');
	for my $name (sort keys %$tag)
	{
		refuse(400, "request body property can't be validated: $name")
		  if $name !~ /\A(?:key|value)\z/;
		_demand("$place.$name", $tag->{$name}, 'string');
	}
	refuse(400, "$place.key is required.") if !exists $tag->{key};
	_tag_text("$place.key", $tag->{key}, 128);
	refuse(400, "$place.key: chc_ is reserved.") if $tag->{key} =~ /\Achc_/;
	_tag_text("$place.value", $tag->{value}, 256)
	  if exists $tag->{value}
	  && !($options->{empty_values} && $tag->{value} eq '');
	return {%$tag};
}

sub _tag_text
{
	my ($place, $text, $longest) = @_;
	refuse(400,
		"$place needs from 1 to $longest characters of [a-zA-Z0-9._-].")
	  if $text !~ /\A[a-zA-Z0-9._-]{1,$longest}\z/a;
	return;
}

# A check for a section of a configuration: the values as strings.  Options
# allow it to be empty, and to have nulls.
sub settings
{
	my (%options) = @_;
	return sub {
		my ($place, $value) = @_;
		_demand($place, $value, 'object');
		refuse(400, "$place is an object with settings.")
		  if !%$value && !$options{empty};
		return {
			map { $_ => _setting($place, $_, $value->{$_}, \%options) }
			sort keys %$value
		};
	};
}

sub _setting
{
	my ($place, $name, $value, $options) = @_;
	refuse(400, "request body property can't be validated: $name")
	  if $name !~ /\A[a-z_][a-z0-9_.\$-]*\z/ia;
	my $kind = _kind($value);
	return undef if $kind eq 'null' && $options->{nulls};
	refuse(400, "$place.$name is a string or a number.")
	  if $kind !~ /\A(?:string|number|boolean)\z/;
	return $value ? 'on' : 'off' if $kind eq 'boolean';
	my $refusal = $place =~ /\.pgConfig\z/
	  && Emulator::Settings::refusal($name, "$value", $kind eq 'number');
	refuse(400, "$place.$name: $refusal") if $refusal;
	return "$value";
}

my %ARTICLE = (array => 'an', object => 'an', string => 'a', number => 'a');

sub _demand
{
	my ($place, $value, $kind) = @_;
	refuse(400, "$place is $ARTICLE{$kind} $kind.") if _kind($value) ne $kind;
	return;
}

# The JSON type of a value.  Call it before the value is used as a string, which
# hides that it was a number.
sub _kind
{
	my ($value) = @_;
	return 'null' if !defined $value;
	return 'array' if ref $value eq 'ARRAY';
	return 'object' if ref $value eq 'HASH';
	return 'boolean' if ref $value;
	return encode_json([$value]) =~ /\A\["/ ? 'string' : 'number';
}

1;
