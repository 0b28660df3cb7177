# Routes: backups.
package Emulator::Api::Backups;

use strict;
use warnings;

use Mojo::JSON    qw(encode_json);
use Emulator::Api qw(success refuse running_service parameters page_parameters page);
use Emulator::Lifecycle;

my $PAGE = 100;
my $REPLICA = 'Read replicas have no backups.';

Emulator::Api::route(
	GET => '/v1/organizations/{organization}/postgres/{service}/backups',
	\&list);

sub list
{
	my ($call) = @_;
	my $service = running_service($call);
	my $emulator = $call->{emulator};
	my $value = parameters($call, page_parameters($emulator, $PAGE));
	refuse(404, $call->{service}) if $service->{fields}{state} eq 'deleting';
	refuse(400, $REPLICA)
	  if Emulator::Lifecycle::is_replica($service)
	  && $emulator->{replica_backups} eq 'refused';
	my @rows = $emulator->{backups}->list($service);
	my ($page, %beside) = page($call, $value, $PAGE, @rows);
	return success(encode_json($page), undef, %beside,
		totalCount => scalar @rows);
}

1;
