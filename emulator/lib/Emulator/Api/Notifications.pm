# Routes: notifications of the organization, and their types.
package Emulator::Api::Notifications;

use strict;
use warnings;

use Mojo::JSON      qw(encode_json true);
use Emulator::Api   qw(success refuse organization parameters page integer anything);
use Emulator::Clock qw(format_time);
use Emulator::Random;

my $BASE = '/v1/organizations/{organization}';
Emulator::Api::route(GET => "$BASE/notifications", \&list);
Emulator::Api::route(GET => "$BASE/notificationTypes", \&types);

# A page of unspecified size, and the largest one; more is clamped.
my $PAGE = 100;
my $LARGEST_PAGE = 250;

# Seconds between two notifications
my $INTERVAL = 6 * 3600;

# name, title, category, severity, type of the resource
my @TYPES = (
	[ 'postgres_storage_high', 'Storage is nearly full', qw(postgres warning postgres) ],
	[ 'service_backup_failed', 'Backup failed', qw(service critical service) ],
	[ 'billing_threshold', 'Costs exceed the threshold', qw(billing info service) ]);

sub types
{
	my ($call) = @_;
	organization($call);
	refuse(404) if $call->{emulator}{notifications} eq 'unknown';
	parameters($call, {});
	my %flags = (isConfigurable => true, isAvailable => true);
	return success(encode_json([ map { { %{ _type($_) }, %flags } } @TYPES ]));
}

sub _type
{
	my ($type) = @_;
	my %fields;
	@fields{qw(name title category severity resourceType)} = @$type;
	return \%fields;
}

# The newest first.  The option "notifications" says whether the result is a list
# with nextCursor beside it, or has items and a pagination.
sub list
{
	my ($call) = @_;
	my $emulator = $call->{emulator};
	organization($call);
	my $style = $emulator->{notifications};
	refuse(404) if $style eq 'unknown';
	my %known = map { $_ => \&anything } qw(cursor severity type);
	my $given = parameters($call, { limit => integer(1), %known });
	my @rows = map { _row($emulator, $_) } 0 .. $emulator->{notification_count} - 1;
	for my $filter (grep { defined $given->{$_} } qw(severity type))
	{
		@rows = grep { $_->{$filter} eq $given->{$filter} } @rows;
	}

	$given->{limit} = $LARGEST_PAGE if ($given->{limit} // 0) > $LARGEST_PAGE;
	my ($page, %beside) = page($call, $given, $PAGE, @rows);
	return success(encode_json($page), undef, %beside) if $style ne 'items';
	my $pagination = { nextCursor => $beside{nextCursor} };
	return success(encode_json({ items => $page, pagination => $pagination }));
}

sub _row
{
	my ($emulator, $number) = @_;
	my $fleet = $emulator->{fleet};
	my $random = Emulator::Random->new($fleet->{seed}, 'notification', $number);
	my $type = _type($TYPES[ $number % @TYPES ]);
	my @services = $fleet->services;
	my $service = @services ? $services[ $number % @services ]{fields} : {};
	return {
		id => $random->uuid,
		type => $type->{name},
		($number % 2 ? 'body' : 'message') => "$type->{title}: " . ($service->{name} // 'all services'),
		resourceId => $service->{id},
		resourceName => $service->{name},
		createdAt => format_time($emulator->{clock}->now - $number * $INTERVAL),
		readAt => undef,
		map { $_ => $type->{$_} } qw(title category severity resourceType)
	};
}

1;
