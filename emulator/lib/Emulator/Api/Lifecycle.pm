# Routes: operations that create, change and delete services.
package Emulator::Api::Lifecycle;

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use Emulator::Access;
use Emulator::Api
  qw(success acknowledged refuse organization service parameters);
use Emulator::Body
  qw(body string matching integer_value one_of_these tags settings);
use Emulator::Certificates;
use Emulator::Clock qw(parse_time);
use Emulator::Lifecycle;

my $BASE = '/v1/organizations/{organization}/postgres';
my $SERVICE = "$BASE/{service}";
Emulator::Api::route(POST => $BASE, \&create);
Emulator::Api::route(PATCH => $SERVICE, \&update);
Emulator::Api::route(DELETE => $SERVICE, \&remove);
Emulator::Api::route(PATCH => "$SERVICE/state", \&command);
Emulator::Api::route(PATCH => "$SERVICE/password", \&set_password);
Emulator::Api::route(POST => "$SERVICE/readReplica", \&replicate);
Emulator::Api::route(POST => "$SERVICE/restoredService", \&restore);
Emulator::Api::route(GET => "$SERVICE/caCertificates", \&certificates);

my $REPLICA = 'Read replicas cannot be modified directly!'
  . ' Please modify the parent database instead.';
my $NO_BACKUP = 'Parent server is not ready for read replicas.'
  . ' There are no backups, yet.';

my $NAME = string(1, 50);
my $SIZE = matching(
	qr/\A(?:[a-z]+\d+[a-z]*\.(?:medium|large|\d{0,2}xlarge)
		|[a-z]+\d+[a-z]*-[a-z]+-\d+(?:-lssd)?)\z/ax,
	'known size');
my $HA_TYPE = one_of_these(qw(none async sync));

# Properties that all operations accept that create a service
my %NEW = (
	name => $NAME,
	tags => tags(empty_values => 1),
	pgConfig => settings(),
	pgBouncerConfig => settings());

my %CREATE = (
	%NEW,
	provider => one_of_these(qw(aws gcp)),
	region => matching(qr/\A[a-z]+(?:-[a-z]+)+-?\d+\z/a, 'known region'),
	size => $SIZE,
	storageSize => integer_value(1),
	postgresVersion => one_of_these(qw(18 17)),
	haType => $HA_TYPE);

my %RESTORE = (%NEW, restoreTarget => \&rfc3339);

my %UPDATE =
  (name => $NAME, size => $SIZE, haType => $HA_TYPE, tags => tags(),
	ipAccessList => \&Emulator::Access::check);

my @PASSWORD_NEEDS = (
	[ 'a lowercase letter', qr/[a-z]/ ],
	[ 'an uppercase letter', qr/[A-Z]/ ],
	[ 'a digit', qr/[0-9]/ ]);

my %COMMANDS = (
	restart => \&restart,
	promote => \&promote,
	switchover => \&switch_over);

sub create
{
	my ($call) = @_;
	my $organization = organization($call);
	parameters($call, {});
	my $wanted = _named($call, body($call, \%CREATE, qw(name provider region size)));
	# The services belong to the first organization, others may have none.
	my ($first) = $call->{emulator}{fleet}->organization_ids;
	refuse(409, 'Conflict') if $organization ne $first;
	return _made($call, sub { $_[0]->create($wanted) });
}

sub replicate
{
	my ($call) = @_;
	my $parent = _writable($call);
	my $wanted = _named($call, body($call, \%NEW, 'name'));
	refuse(400, $REPLICA) if Emulator::Lifecycle::is_replica($parent);
	my $emulator = $call->{emulator};
	refuse(400, $NO_BACKUP)
	  if !$emulator->{backups}->times($parent)
	  || !$emulator->{lifecycle}->has_backup($parent);
	return _made($call, sub { $_[0]->replicate($parent, $wanted) });
}

sub restore
{
	my ($call) = @_;
	my $origin = _writable($call);
	my $wanted = _named($call, body($call, \%RESTORE, qw(name restoreTarget)));
	my $target = delete $wanted->{restoreTarget};
	refuse(400, 'request body.restoreTarget is in the future.')
	  if $target > $call->{emulator}{clock}->now;
	return _made($call, sub { $_[0]->restore($origin, $wanted) });
}

# A PATCH without tags clears them.  A read replica refuses every body.
sub update
{
	my ($call) = @_;
	my $service = _writable($call);
	refuse(400, $REPLICA) if Emulator::Lifecycle::is_replica($service);
	my $wanted = _named($call, body($call, \%UPDATE));
	$wanted->{tags} //= [];
	my $lifecycle = $call->{emulator}{lifecycle};
	$call->{emulator}{access}
	  ->apply($lifecycle->coming($service)->{ipAccessList}, $wanted);
	return _answered($call, $lifecycle->update($service, $wanted));
}

sub remove
{
	my ($call) = @_;
	my $service = _writable($call);
	my $lifecycle = $call->{emulator}{lifecycle};
	refuse(400, 'Postgres service has read replicas, delete them first.')
	  if $lifecycle->replicas($service);
	$lifecycle->remove($service);
	return acknowledged();
}

sub command
{
	my ($call) = @_;
	my $service = _writable($call);
	my $wanted =
	  body($call, { command => one_of_these(qw(restart promote switchover)) },
		'command');
	my $command = $COMMANDS{ $wanted->{command} };
	return $command->($call, $service);
}

# An acknowledgement: the service as it was
sub restart
{
	my ($call, $service) = @_;
	my $answer = _answered($call, $service->{fields});
	$call->{emulator}{lifecycle}->restart($service);
	return $answer;
}

sub promote
{
	my ($call, $service) = @_;
	refuse(400, 'Postgres service is not a read replica.')
	  if !Emulator::Lifecycle::is_replica($service);
	my %fields = %{ $service->{fields} };
	delete $fields{isPrimary};
	$call->{emulator}{lifecycle}->promote($service);
	return _answered($call, \%fields);
}

sub switch_over
{
	my ($call, $service) = @_;
	my $emulator = $call->{emulator};
	my $answer =
	  $emulator->{switchover_response} eq 'service'
	  ? success(encode_json($service->{fields}))
	  : acknowledged();
	$emulator->{lifecycle}->switch_over($service);
	return $answer;
}

# A password from the request is not returned.
sub set_password
{
	my ($call) = @_;
	my $service = _writable($call);
	refuse(400, $REPLICA) if Emulator::Lifecycle::is_replica($service);
	my $wanted = body($call, { password => \&password });
	return acknowledged() if exists $wanted->{password};
	my $password = $call->{emulator}{lifecycle}->new_password;
	my $connection =
	  Emulator::Lifecycle::connection_string($service, $password);
	return success(
		encode_json(
			{ password => $password, connectionString => $connection }));
}

sub certificates
{
	my ($call) = @_;
	my $service = service($call);
	parameters($call, {});
	refuse(404, $call->{service}) if $service->{fields}{state} eq 'creating';
	return {
		status => 200,
		content_type => 'application/x-pem-file',
		headers => {
			'Content-Disposition' =>
			  'attachment; filename="postgres-ca-certificate.pem"'
		},
		body => Emulator::Certificates::bundle()
	};
}

# Checks for body()
sub password
{
	my ($place, $value) = @_;
	string(12, 1024)->($place, $value);
	for my $need (@PASSWORD_NEEDS)
	{
		my ($what, $regex) = @$need;
		refuse(400, "$place needs $what.") if $value !~ $regex;
	}
	return $value;
}

# Returns the epoch.
sub rfc3339
{
	my ($place, $value) = @_;
	string(1, 40)->($place, $value);
	my ($time, $fraction, $sign, $hours, $minutes) =
	  uc($value) =~ /\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?
		(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))\z/ax;
	my $epoch = defined $time ? parse_time("$time.000Z") : undef;
	refuse(400, "$place is no RFC 3339 time.") if !defined $epoch;
	my $ahead = 3600 * ($hours // 0) + 60 * ($minutes // 0);
	$ahead = -$ahead if ($sign // '') eq '-';
	return $epoch + ($fraction // 0) - $ahead;
}

# The service of a call that changes it.  One that is being deleted refuses every
# change.
sub _writable
{
	my ($call) = @_;
	my $service = service($call);
	parameters($call, {});
	refuse(404, $call->{service}) if $service->{fields}{state} eq 'deleting';
	return $service;
}

# The values of a body, whose name has the characters that the API's document allows,
# unless the emulator takes any.
sub _named
{
	my ($call, $wanted) = @_;
	refuse(400, 'request body.name needs letters, digits, whitespace, - and _ only.')
	  if $call->{emulator}{service_names} eq 'documented'
	  && defined $wanted->{name}
	  && $wanted->{name} !~ /\A[A-Za-z0-9 _-]*\z/;
	return $wanted;
}

# Answers with a new service, or refuses it when the quota is reached.
sub _made
{
	my ($call, $make) = @_;
	my $lifecycle = $call->{emulator}{lifecycle};
	refuse(409, 'Conflict') if $lifecycle->quota_reached;
	return _answered($call, $make->($lifecycle));
}

# The fields of a service, as the response to a change shows them
sub _answered
{
	my ($call, $fields) = @_;
	return success(
		encode_json($call->{emulator}{access}->shown($fields, 'change')));
}

1;
