# Routes: organizations.
package Emulator::Api::Organizations;

use strict;
use warnings;

use Emulator::Api qw(success parameters);

Emulator::Api::route(GET => '/v1/organizations', \&list);

sub list
{
	my ($call) = @_;
	parameters($call, {});
	return success($call->{emulator}{fleet}->organizations_json);
}

1;
