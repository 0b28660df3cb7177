# Routes: reading services.
package Emulator::Api::Services;

use strict;
use warnings;

use Emulator::Api qw(success parameters organization service);

my $BASE = '/v1/organizations/{organization}/postgres';
Emulator::Api::route(GET => $BASE, \&list);
Emulator::Api::route(GET => "$BASE/{service}", \&get);

sub list
{
	my ($call) = @_;
	my $organization = organization($call);
	parameters($call, {});
	return success($call->{emulator}{fleet}->list_json($organization));
}

sub get
{
	my ($call) = @_;
	my $service = service($call);
	parameters($call, {});
	my $emulator = $call->{emulator};
	my $answer = success($emulator->{fleet}->service_json($service), '200.0');
	$emulator->{lifecycle}->polled($service);
	return $answer;
}

1;
