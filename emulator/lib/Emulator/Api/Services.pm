# Routes: reading services.
package Emulator::Api::Services;

use strict;
use warnings;

use Mojo::JSON qw(decode_json encode_json);
use Emulator::Api qw(success refuse parameters organization service);

my $BASE = '/v1/organizations/{organization}/postgres';
Emulator::Api::route(GET => $BASE, \&list);
Emulator::Api::route(GET => "$BASE/{service}", \&get);

sub list
{
	my ($call) = @_;
	my $organization = organization($call);
	parameters($call, {});
	my $fleet = $call->{emulator}{fleet};
	my $list = $fleet->list_json($organization);
	my @lagging = grep { ($_->{unlisted_polls} // 0) > 0 } $fleet->services;
	return success($list) if !@lagging;
	$_->{unlisted_polls}-- for @lagging;
	my %hidden = map { $_->{fields}{id} => 1 } @lagging;
	return success(
		encode_json([ grep { !$hidden{ $_->{id} } } @{ decode_json($list) } ]));
}

sub get
{
	my ($call) = @_;
	my $service = service($call);
	parameters($call, {});
	my $emulator = $call->{emulator};
	refuse(404, $call->{service})
	  if ($service->{unread_polls} // 0) > 0 && $service->{unread_polls}--;
	my $json = $emulator->{fleet}->service_json($service);
	my %computed = $emulator->{backups}->earliest($service);
	$json = $json =~ s/\}\z//r . encode_json(\%computed) =~ s/\A\{/,/r
	  if %computed && !exists $service->{fields}{earliestRestoreTime};
	my $answer = success($json, '200.0');
	$emulator->{lifecycle}->polled($service);
	return $answer;
}

1;
