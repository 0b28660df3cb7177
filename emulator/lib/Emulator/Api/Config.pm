# Routes: the configuration of a service.
package Emulator::Api::Config;

use strict;
use warnings;

use Mojo::JSON     qw(encode_json);
use Emulator::Api  qw(success refuse service running_service parameters);
use Emulator::Body qw(body settings);

my $PATH = '/v1/organizations/{organization}/postgres/{service}/config';
Emulator::Api::route(GET => $PATH, \&get);
Emulator::Api::route(POST => $PATH, \&replace);
Emulator::Api::route(PATCH => $PATH, \&merge);

my @SECTIONS = qw(pgConfig pgBouncerConfig);

# Settings of PostgreSQL that only a restart changes
my %RESTART = map { $_ => 1 } qw(archive_mode autovacuum_freeze_max_age
  autovacuum_max_workers hot_standby huge_pages io_method
  max_connections max_files_per_process max_locks_per_transaction
  max_logical_replication_workers max_prepared_transactions
  max_replication_slots max_wal_senders max_worker_processes shared_buffers
  shared_preload_libraries superuser_reserved_connections
  track_activity_query_size track_commit_timestamp wal_buffers wal_level);

sub get
{
	my ($call) = @_;
	my $service = running_service($call);
	parameters($call, {});
	return success(encode_json(_config($service)));
}

# Replaces both sections: an empty one clears it, if the emulator accepts it.
sub replace
{
	my ($call) = @_;
	my ($service, $wanted) = _request($call);
	return _changed($service, $wanted);
}

# Merges: null removes a setting, all others stay.
sub merge
{
	my ($call) = @_;
	my ($service, $wanted) = _request($call, nulls => 1);
	my $old = _config($service);
	my %new;
	for my $section (@SECTIONS)
	{
		my %settings = (%{ $old->{$section} }, %{ $wanted->{$section} });
		delete @settings{ grep { !defined $settings{$_} } keys %settings };
		$new{$section} = \%settings;
	}
	return _changed($service, \%new);
}

# The service, and the two sections that the body has
sub _request
{
	my ($call, %options) = @_;
	my $service = service($call);
	parameters($call, {});
	refuse(404, $call->{service}) if $service->{fields}{state} eq 'deleting';
	$options{empty} = $call->{emulator}{empty_section} eq 'accepted';
	my $wanted = body($call, { map { $_ => settings(%options) } @SECTIONS });
	for my $section (@SECTIONS)
	{
		refuse(400, "request body.$section is an object, not 'undefined'.")
		  if !exists $wanted->{$section};
	}
	return ($service, $wanted);
}

sub _config
{
	my ($service) = @_;
	return $service->{config} //= { map { $_ => {} } @SECTIONS };
}

# Stores the new configuration and answers with it, and with a message when
# some of it waits for a restart.
sub _changed
{
	my ($service, $new) = @_;
	my $old = _config($service)->{pgConfig};
	my $now = $new->{pgConfig};
	my %either = (%$old, %$now);
	for my $name (grep { $RESTART{$_} } keys %either)
	{
		$service->{restart_needed}{$name} = 1
		  if ($old->{$name} // '') ne ($now->{$name} // '');
	}
	$service->{config} = $new;
	my %answer = %$new;
	my @waiting = sort keys %{ $service->{restart_needed} // {} };
	$answer{message} =
	  'These changes take effect after a restart: ' . join ', ', @waiting
	  if @waiting;
	return success(encode_json(\%answer));
}

1;
