# Routes: the private endpoint of a service.
package Emulator::Api::PrivateEndpoint;

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use Emulator::Api qw(success acknowledged refuse service parameters);
use Emulator::Body qw(body);
use Emulator::PrivateEndpoint;

my $PATH = '/v1/organizations/{organization}/postgres/{service}/privateEndpoint';
Emulator::Api::route(GET => $PATH, \&get);
Emulator::Api::route(POST => $PATH, \&create);
Emulator::Api::route(PATCH => $PATH, \&update);
Emulator::Api::route(DELETE => $PATH, \&remove);

my $NONE = 'private endpoint not found';

sub get
{
	my ($call) = @_;
	my ($service, $endpoints) = _enabled($call);
	my $endpoint = $endpoints->read($service) // refuse(404, $NONE);
	return success(encode_json($endpoints->shown($service, $endpoint)));
}

sub create
{
	my ($call) = @_;
	my ($service, $endpoints) = _enabled($call);
	my $wanted = body($call, { supportedRegions => \&Emulator::PrivateEndpoint::regions });
	refuse(409, 'Conflict') if $endpoints->of($service);
	return _changed($endpoints, $service, $endpoints->create($service, $wanted));
}

sub update
{
	my ($call) = @_;
	my ($service, $endpoints) = _enabled($call);
	my $wanted = body($call,
		{
			allowedVpcEndpoints => $endpoints->endpoints,
			supportedRegions => \&Emulator::PrivateEndpoint::regions
		});
	refuse(400, 'request body needs allowedVpcEndpoints or supportedRegions.') if !%$wanted;
	my $endpoint = $endpoints->of($service) // refuse(404, $NONE);
	refuse(404, $NONE) if $endpoint->{state} eq 'deleting';
	$endpoints->change($service, $endpoint, $wanted);
	return _changed($endpoints, $service, $endpoint);
}

sub remove
{
	my ($call) = @_;
	my ($service, $endpoints) = _enabled($call);
	my $endpoint = $endpoints->of($service) // refuse(404, $NONE);
	refuse(404, $NONE) if $endpoint->{state} eq 'deleting';
	$endpoints->remove($service);
	return { status => 204, body => '' } if $endpoints->{private_endpoint_deleted} eq 'empty';
	return acknowledged() if $endpoints->{private_endpoint_deleted} eq 'acknowledged';
	return success(encode_json($endpoints->shown($service, { %$endpoint, state => 'deleting' })));
}

# The service of a call, and the private endpoints, if the service may have one
sub _enabled
{
	my ($call) = @_;
	my $service = service($call);
	parameters($call, {});
	refuse(404, $call->{service}) if $service->{fields}{state} eq 'deleting';
	my $endpoints = $call->{emulator}{private_endpoints};
	$endpoints->check_enabled($service);
	return ($service, $endpoints);
}

# The response to a change
sub _changed
{
	my ($endpoints, $service, $endpoint) = @_;
	return acknowledged() if $endpoints->{private_endpoint_response} eq 'acknowledged';
	return success(encode_json($endpoints->shown($service, $endpoint)));
}

1;
