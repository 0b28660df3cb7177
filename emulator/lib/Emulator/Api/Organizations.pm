# Routes: organizations, the key, quotas.
package Emulator::Api::Organizations;

use strict;
use warnings;

use Mojo::JSON   qw(encode_json true false);
use Emulator::Api qw(success refuse organization parameters);
use Emulator::Random;

my $BASE = '/v1/organizations/{organization}';
Emulator::Api::route(GET => '/v1/whoami', \&whoami);
Emulator::Api::route(GET => '/v1/organizations', \&list);
Emulator::Api::route(GET => $BASE, \&get);
Emulator::Api::route(GET => "$BASE/quotas", \&quotas);
Emulator::Api::route(GET => "$BASE/quotas/{code}", \&quota);

# Services that an organization may have if the reset has no max_services
my $USUAL_QUOTA = 200;

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

# What the key is: the option "whoami" says which kind of actor, or that the
# deployment does not know the path.
sub whoami
{
	my ($call) = @_;
	my $emulator = $call->{emulator};
	my $kind = $emulator->{whoami};
	refuse(404) if $kind eq 'unknown';
	parameters($call, {});
	my ($organization) = @{ $emulator->{fleet}{organizations} };
	my ($id) = Emulator::Api::key_of($call->{request}{authorization});
	my $random = Emulator::Random->new($emulator->{fleet}{seed}, 'whoami');
	my %actor = (
		apiKey => {
			keyId => $id,
			name => 'chpg',
			organizationId => $organization->{id}
		},
		user => {
			userId => $random->uuid,
			email => 'ada@example.com',
			name => 'Ada',
			organizations => [
				{
					organizationId => $organization->{id},
					organizationName => $organization->{name}
				}
			]
		},
		service => { serviceAccountId => $random->uuid, name => 'robot' });
	return success(encode_json({ actorType => $kind, %{ $actor{$kind} } }));
}

sub quotas
{
	my ($call) = @_;
	my @quotas = _quotas($call, organization($call));
	parameters($call, {});
	return success(encode_json(\@quotas));
}

sub quota
{
	my ($call) = @_;
	my @quotas = _quotas($call, organization($call));
	parameters($call, {});
	my ($quota) = grep { $_->{quotaCode} eq $call->{code} } @quotas
	  or refuse(404, $call->{code});
	return success(encode_json($quota));
}

# Services belong to the first organization, and others may have none.
sub _quotas
{
	my ($call, $organization) = @_;
	my $emulator = $call->{emulator};
	my $is_first = $organization eq ($emulator->{fleet}->organization_ids)[0];
	my $count = () = $emulator->{fleet}->services;
	return (
		_quota('services-per-organization', 'ClickHouse services',
			'organization', 20, 3),
		_quota(
			'postgres-services-per-organization',
			'Postgres services',
			'organization',
			$is_first ? $emulator->{lifecycle}{max_services} // $USUAL_QUOTA : 0,
			$is_first ? $count : 0),
		_quota('replicas-per-warehouse', 'Replicas', 'warehouse', 20, undef),
		_quota('api-keys-per-organization', 'API keys', 'organization', 100,
			4));
}

# The usage is left out where it is not counted.
sub _quota
{
	my ($code, $what, $scope, $value, $usage) = @_;
	return {
		quotaCode => $code,
		name => "$what per $scope",
		description => "How many $what there may be per $scope",
		scope => $scope,
		value => 0 + $value,
		defined $usage ? (usage => 0 + $usage) : (),
		adjustable => $scope eq 'organization' ? true : false
	};
}

1;
