# Routes: organizations.
package Emulator::Api::Organizations;

use strict;
use warnings;

use Mojo::JSON    qw(encode_json);
use Emulator::Api qw(success organization parameters);

Emulator::Api::route(GET => '/v1/organizations', \&list);
Emulator::Api::route(GET => '/v1/organizations/{organization}', \&get);

sub list
{
	my ($call) = @_;
	parameters($call, {});
	return success($call->{emulator}{fleet}->organizations_json);
}

sub get
{
	my ($call) = @_;
	my $id = organization($call);
	parameters($call, {});
	my ($found) =
	  grep { $_->{id} eq $id } @{ $call->{emulator}{fleet}{organizations} };
	return success(encode_json($found));
}

1;
