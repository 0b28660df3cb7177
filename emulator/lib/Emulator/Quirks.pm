# What the API may answer although its documentation does not say so.  Each quirk is an
# option of a reset.
package Emulator::Quirks;

use strict;
use warnings;

my $TIME = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?/a;

# By the option: a function that changes a successful answer to a request
our %QUIRKS = (
	times_without_zone => \&times_without_zone,
	odd_values => \&odd_values,
	empty_acknowledgements => \&empty_acknowledgements,
	commented_certificates => \&commented_certificates);

# Applies the quirks that are switched on.
sub apply
{
	my ($options, $request, $answer) = @_;
	return $answer if $answer->{status} != 200;
	for my $name (sort keys %QUIRKS)
	{
		$QUIRKS{$name}->($request, $answer) if $options->{$name};
	}
	return $answer;
}

sub times_without_zone
{
	my ($request, $answer) = @_;
	$answer->{body} =~ s/("$TIME)Z"/$1"/g;
	return;
}

# The first value of each kind, so that the others show that they are not lost with it
sub odd_values
{
	my ($request, $answer) = @_;
	return if $request->{method} ne 'GET';
	my $odd = \$answer->{body};
	$$odd =~ s/"queryId":\K"[^"]*"/""/;
	$$odd =~ s/"createdAt":\K"[^"]*"/""/;
	$$odd =~ s/"storageSize":\K"?\d+"?/""/;
	$$odd =~ s/"dataPoints":\K\[[^\]]*\]/null/;
	$$odd =~ s/"recentExecutions":\K\[.*\](?=\},"requestId")/null/s;
	return;
}

sub empty_acknowledgements
{
	my ($request, $answer) = @_;
	return if $request->{method} eq 'GET' || $answer->{body} =~ /"result":/;
	@$answer{qw(status body)} = (204, '');
	return;
}

sub commented_certificates
{
	my ($request, $answer) = @_;
	$answer->{body} = "\n# The CAs of the service\n\n$answer->{body}"
	  if $request->{path} =~ /caCertificates\z/;
	return;
}

1;
