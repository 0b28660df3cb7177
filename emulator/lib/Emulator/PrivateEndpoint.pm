# The private endpoint of a service (AWS PrivateLink).  Little of it is documented: where
# two answers are plausible, options decide.
package Emulator::PrivateEndpoint;

use strict;
use warnings;

use Emulator::Api qw(refuse);
use Emulator::Body qw(string);
use Emulator::Random;

# The values of the options; the first is the default.
our %OPTIONS = (
	private_endpoint => [qw(enabled early_access not_set_up forbidden missing refused)],
	private_endpoint_gcp => [qw(refused forbidden missing)],
	private_endpoint_response => [qw(object acknowledged)],
	private_endpoint_fields => [qw(backend sister)],
	private_endpoint_creating => [qw(accepts refuses)],
	private_endpoint_deletion => [qw(deleting gone)],
	private_endpoint_deleted => [qw(acknowledged object empty)],
	vpc_endpoint_form => [qw(vpcEndpointId id text)]);

# Options that are numbers: seconds for which it is creating or deleting; reads that
# return 404 after its creation; reads that return the old lists after a change
our %NUMBERS = (
	private_endpoint_seconds => 2,
	private_endpoint_lag_polls => 0,
	vpc_endpoint_polls => 0);

# The refusals of what is not enabled, or not on AWS
my %REFUSALS = (
	early_access => [ 403, 'early access API endpoint' ],
	not_set_up => [ 403, 'private endpoint has not been setup for this service' ],
	forbidden => [403],
	missing => [ 404, 'private link services are not enabled for this project' ],
	refused => [ 400, 'private endpoints are supported on AWS only' ]);

# Regions that the API knows, and those that the provider's account lacks
my $REGION = qr/\A(?:us|eu|ap|sa|ca|me|af|il)-(?:north|south|east|west|central|northeast|southeast)+-\d\z/a;
my $MOST = 50;

# The sister operation's names of the fields
my %SISTER = (
	serviceName => 'endpointServiceName',
	serviceId => 'endpointServiceId',
	privateHostname => 'privateDnsHostname');

# options: clock, seed, and those above
sub new
{
	my ($class, %options) = @_;
	return bless {%options}, $class;
}

# Refuses a call unless its service may have a private endpoint.
sub check_enabled
{
	my ($self, $service) = @_;
	my $refusal = $REFUSALS{ $self->{private_endpoint} }
	  // ($service->{fields}{provider} ne 'aws' ? $REFUSALS{ $self->{private_endpoint_gcp} } : undef);
	refuse(@$refusal) if $refusal;
	return;
}

# The private endpoint of a service, or undef.  It ends some time after its deletion.
sub of
{
	my ($self, $service) = @_;
	my $endpoint = $service->{private_endpoint};
	delete $service->{private_endpoint}
	  if $endpoint && $endpoint->{state} eq 'deleting' && $self->_is_over($endpoint);
	$endpoint->{state} = 'available'
	  if $endpoint && $endpoint->{state} eq 'creating' && $self->_is_over($endpoint);
	return $service->{private_endpoint};
}

# The same for a read, which returns 404, or the old lists, for some time
sub read
{
	my ($self, $service) = @_;
	my $endpoint = $self->of($service) or return undef;
	return undef if $endpoint->{unread_polls} > 0 && $endpoint->{unread_polls}--;
	my %shown = %$endpoint;
	%shown = (%shown, %{ $endpoint->{old} })
	  if $endpoint->{old_polls} > 0 && $endpoint->{old_polls}--;
	return \%shown;
}

sub create
{
	my ($self, $service, $wanted) = @_;
	my $random = Emulator::Random->new($self->{seed}, 'private endpoint', $service->{number});
	return $service->{private_endpoint} = {
		state => 'creating',
		since => $self->{clock}->now,
		id => 'vpce-svc-0' . join('', map { $random->pick(0 .. 9, 'a' .. 'f') } 1 .. 16),
		endpoints => [],
		regions => _regions($service, $wanted->{supportedRegions} // []),
		unread_polls => $self->{private_endpoint_lag_polls},
		old_polls => 0
	};
}

# Replaces the lists that are given.
sub change
{
	my ($self, $service, $endpoint, $wanted) = @_;
	refuse(409, 'the private endpoint is not available yet')
	  if $self->{private_endpoint_creating} eq 'refuses' && $endpoint->{state} eq 'creating';
	my %lists = (
		exists $wanted->{allowedVpcEndpoints} ? (endpoints => $wanted->{allowedVpcEndpoints}) : (),
		exists $wanted->{supportedRegions} ? (regions => _regions($service, $wanted->{supportedRegions})) : ());
	$endpoint->{old} = { map { $_ => $endpoint->{$_} } qw(endpoints regions) };
	$endpoint->{old_polls} = $self->{vpc_endpoint_polls};
	%$endpoint = (%$endpoint, %lists);
	return;
}

sub remove
{
	my ($self, $service) = @_;
	@{ $service->{private_endpoint} }{qw(state since)} = ('deleting', $self->{clock}->now);
	delete $service->{private_endpoint} if $self->{private_endpoint_deletion} eq 'gone';
	return;
}

# What a response has of a private endpoint
sub shown
{
	my ($self, $service, $endpoint) = @_;
	my $fields = $service->{fields};
	my $is_made = $endpoint->{state} ne 'creating';
	my $hostname = ($fields->{hostname} // '') =~ s/\A([^.]+)/$1-private/r;
	my %shown = (
		state => $endpoint->{state},
		serviceId => $is_made ? $endpoint->{id} : undef,
		serviceName => $is_made ? "com.amazonaws.vpce.$fields->{region}.$endpoint->{id}" : undef,
		privateDnsName => $hostname,
		privateHostname => $hostname,
		privateDnsVerificationState => $is_made ? 'verified' : undef,
		ports => [ 5432, 6432 ],
		ipAddressType => 'ipv4',
		supportedRegions => $endpoint->{regions},
		allowedVpcEndpoints => [ map { $self->_entry($_) } @{ $endpoint->{endpoints} } ]);
	return \%shown if $self->{private_endpoint_fields} ne 'sister';
	return { map { ($SISTER{$_} // $_) => $shown{$_} } keys %shown };
}

# A check for body(): VPC endpoints, sorted by id
sub endpoints
{
	my ($self) = @_;
	return sub {
		my ($place, $value) = @_;
		refuse(400, "$place is an array.") if ref $value ne 'ARRAY';
		refuse(400, "$place has at most $MOST endpoints.") if @$value > $MOST;
		my @endpoints = map { $self->_checked("$place\[$_]", $value->[$_]) } 0 .. $#$value;
		my @invalid = grep { !/\Avpce-[0-9a-f]+\z/a } map { $_->{id} } @endpoints;
		refuse(400, "$place: invalid: @invalid") if @invalid;
		my %count;
		$count{ $_->{id} }++ for @endpoints;
		refuse(400, "$place: given twice: $_") for grep { $count{$_} > 1 } sort keys %count;
		return [ sort { $a->{id} cmp $b->{id} } @endpoints ];
	};
}

# A check for body(): regions
sub regions
{
	my ($place, $value) = @_;
	refuse(400, "$place is an array.") if ref $value ne 'ARRAY';
	string(1, 64)->("$place\[$_]", $value->[$_]) for 0 .. $#$value;
	my @unknown = grep { !/$REGION/ } @$value;
	refuse(400, "$place: unknown AWS region: @unknown") if @unknown;
	return $value;
}

sub _is_over
{
	my ($self, $endpoint) = @_;
	return $self->{clock}->now >= $endpoint->{since} + $self->{private_endpoint_seconds};
}

# Sorted and unique; the service's own region is not listed.
sub _regions
{
	my ($service, $regions) = @_;
	my $own = $service->{fields}{region};
	refuse(400, "request body.supportedRegions: $own is the service's own region")
	  if grep { $_ eq $own } @$regions;
	my %regions = map { $_ => 1 } @$regions;
	return [ sort keys %regions ];
}

# An entry of a body: an object that spells the id in either way, or a text
sub _checked
{
	my ($self, $place, $entry) = @_;
	if ($self->{vpc_endpoint_form} eq 'text')
	{
		string(1, 256)->($place, $entry);
		return { id => $entry, description => '' };
	}
	refuse(400, "$place is an object.") if ref $entry ne 'HASH';
	for my $name (sort keys %$entry)
	{
		refuse(400, "request body property can't be validated: $name")
		  if $name !~ /\A(?:vpcEndpointId|id|description)\z/;
		string(0, 256)->("$place.$name", $entry->{$name});
	}
	my $id = $entry->{vpcEndpointId} // $entry->{id};
	refuse(400, "$place.vpcEndpointId is required.") if !defined $id;
	return { id => $id, description => $entry->{description} // '' };
}

sub _entry
{
	my ($self, $endpoint) = @_;
	my $form = $self->{vpc_endpoint_form};
	return $endpoint->{id} if $form eq 'text';
	return { $form => $endpoint->{id}, description => $endpoint->{description} };
}

1;
