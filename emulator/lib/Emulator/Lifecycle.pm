# The life of services: operations that change them, and the states they go
# through.  Reads of a service advance its state, so that tests need not wait.
package Emulator::Lifecycle;

use strict;
use warnings;

use Mojo::JSON      qw(true false);
use Emulator::Clock qw(format_time);
use Emulator::Random;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

# options: fleet, clock, seed; transition_polls: reads of a service that return a
# state before the next state; apply_polls: reads that return the old values after
# a change; backup_polls: read replicas that a service refuses before it has a
# backup; list_lag_polls, read_lag_polls: lists that lack a new service, and reads of it
# that return 404; command_lag: seconds before a command begins; max_services: the quota, or undef; switchover: what it does without a
# standby, replaces or ignored.
sub new
{
	my ($class, %options) = @_;
	return bless { %options, passwords => 0, queue => [] }, $class;
}

# Begins the queued commands that are due.  Call before a request is answered.
sub begin_commands
{
	my ($self) = @_;
	my $queue = $self->{queue};
	while (@$queue && $queue->[0]{at} <= clock_gettime(CLOCK_MONOTONIC))
	{
		my $command = shift @$queue;
		$command->{begin}->($self, $command->{service})
		  if $self->{fleet}->by_id($command->{service}{fields}{id});
	}
	return;
}

# Call after each read of a service: makes the changes that are due.
sub polled
{
	my ($self, $service) = @_;
	my @waiting = @{ $service->{waiting} // [] };
	$_->{polls}-- for @waiting;
	$service->{waiting} = [ grep { $_->{polls} > 0 } @waiting ];
	$_->{change}->($self, $service) for grep { $_->{polls} <= 0 } @waiting;
	return;
}

sub quota_reached
{
	my ($self) = @_;
	my $quota = $self->{max_services};
	my $count = () = $self->{fleet}->services;
	return defined $quota && $count >= $quota;
}

# create, replicate and restore make a service and return it as the response has
# it.
sub create
{
	my ($self, $wanted) = @_;
	my %fields = (
		postgresVersion => '17',
		storageSize => 118,
		haType => 'none',
		isPrimary => true,
		%$wanted);
	return $self->_new_service(\%fields, 'password', qw(creating running));
}

# A replica has the password of its parent.
sub replicate
{
	my ($self, $parent, $wanted) = @_;
	my %fields = (
		_inherited($parent, qw(size storageSize)),
		haType => 'none',
		isPrimary => false,
		%$wanted);
	my $answer = $self->_new_service(\%fields, '', qw(creating running));
	$self->{fleet}->by_id($answer->{id})->{parent} = $parent->{number};
	return $answer;
}

sub restore
{
	my ($self, $origin, $wanted) = @_;
	my %fields = (
		_inherited($origin, qw(size storageSize haType)),
		isPrimary => true,
		%$wanted);
	return $self->_new_service(\%fields, 'password',
		qw(creating restoring_backup finalizing_restore running));
}

# Whether a service's backup can be used by now.  Each call counts towards backup_polls.
sub has_backup
{
	my ($self, $service) = @_;
	return ++$service->{backup_asked} > $self->{backup_polls};
}

# Queues a change, and returns the service as it will be.
sub update
{
	my ($self, $service, $wanted) = @_;
	my %change = %$wanted;
	my $fields = $service->{fields};
	$change{hostname} =
	  $self->{fleet}
	  ->hostname($change{name}, @$fields{qw(id region provider)})
	  if defined $change{name} && $change{name} ne $fields->{name};
	my %answer = (%{ $self->coming($service) }, %change);
	$self->_later(
		$service,
		{
			polls => $self->{apply_polls},
			fields => \%change,
			change => sub { $_[0]->_set($_[1], \%change) }
		});
	return \%answer;
}

# The fields of a service once its queued changes are applied
sub coming
{
	my ($self, $service) = @_;
	my @queued = map { $_->{fields} // {} } @{ $service->{waiting} // [] };
	return { map { %$_ } $service->{fields}, @queued };
}

sub replicas
{
	my ($self, $service) = @_;
	return
	  grep { defined $_->{parent} && $_->{parent} == $service->{number} }
	  $self->{fleet}->services;
}

# Deletes a service: at once if transition_polls is 0, else after so many reads.
sub remove
{
	my ($self, $service) = @_;
	return $self->_queue($service, sub { $_[0]->_go_through($_[1], 'deleting', undef) });
}

sub restart
{
	my ($self, $service) = @_;
	return $self->_queue(
		$service,
		sub {
			my ($self, $service) = @_;
			delete $service->{restart_needed};
			$self->_go_through($service, qw(restarting running));
		});
}

# Without a standby, a new server replaces the primary, or nothing happens.
sub switch_over
{
	my ($self, $service) = @_;
	return
	  if ($service->{fields}{haType} // 'none') eq 'none'
	  && $self->{switchover} eq 'ignored';
	return $self->_queue($service,
		sub { $_[0]->_go_through($_[1], qw(restarting running)) });
}

# Makes a replica a primary after transition_polls reads.
sub promote
{
	my ($self, $service) = @_;
	return $self->_queue($service, \&_promote);
}

sub _promote
{
	my ($self, $service) = @_;
	$self->_later(
		$service,
		{
			polls => $self->{transition_polls},
			change => sub {
				my ($self, $service) = @_;
				delete $service->{parent};
				$self->_set($service, { isPrimary => true });
			}
		});
	return;
}

sub is_replica
{
	my ($service) = @_;
	my $primary = $service->{fields}{isPrimary};
	return defined $primary && !$primary;
}

# A new password at each call
sub new_password
{
	my ($self) = @_;
	my $random =
	  Emulator::Random->new($self->{seed}, 'password', ++$self->{passwords});
	my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9, '-', '_');
	return join '',
	  $random->shuffle(
		$random->pick('a' .. 'z'),
		$random->pick('A' .. 'Z'),
		$random->pick(0 .. 9),
		map { $random->pick(@letters) } 4 .. 20);
}

sub connection_string
{
	my ($service, $password) = @_;
	return sprintf
	  'postgres://postgres:%s@%s:5432/postgres?channel_binding=require',
	  $password, $service->{fields}{hostname} // '';
}

# Merges fields into a service; null removes one.  A state that is set here stays.
# Dies of a text if the fields are invalid.
sub merge
{
	my ($self, $service, $fields) = @_;
	for my $name (qw(id name state))
	{
		die "a service needs its $name\n"
		  if exists $fields->{$name} && !defined $fields->{$name};
	}
	if (exists $fields->{state})
	{
		_stay($service);
		$self->{queue} =
		  [ grep { $_->{service} != $service } @{ $self->{queue} } ];
	}
	$self->_set($service, $fields);
	return;
}

# The fields that a new service takes from another; missing ones stay missing.
sub _inherited
{
	my ($service, @names) = @_;
	my $fields = $service->{fields};
	return
	  map  { $_ => $fields->{$_} }
	  grep { exists $fields->{$_} } qw(provider region postgresVersion),
	  @names;
}

# The response omits createdAt, and has the password if one is made.
sub _new_service
{
	my ($self, $fields, $credentials, @states) = @_;
	my %config =
	  map { $_ => delete $fields->{$_} // {} } qw(pgConfig pgBouncerConfig);
	my $service = $self->{fleet}->add(
		{
			tags => [],
			%$fields,
			state => $states[0],
			username => 'postgres'
		});
	$service->{config} = \%config;
	@$service{qw(unlisted_polls unread_polls)} =
	  @$self{qw(list_lag_polls read_lag_polls)};
	my %answer = %{ $service->{fields} };
	if ($credentials)
	{
		$answer{password} = $self->new_password;
		$answer{connectionString} =
		  connection_string($service, $answer{password});
	}
	$self->_set($service, { createdAt => format_time($self->{clock}->now) });
	$self->_go_through($service, @states);
	return \%answer;
}

# Begins a command: at once, or after command_lag seconds, which pass even while the
# emulator's clock stands still.  "begin" gets the service as an argument.
sub _queue
{
	my ($self, $service, $begin) = @_;
	return $begin->($self, $service) if $self->{command_lag} == 0;
	push @{ $self->{queue} },
	  {
		at => clock_gettime(CLOCK_MONOTONIC) + $self->{command_lag},
		service => $service,
		begin => $begin
	  };
	return;
}

# Sends a service through states; undef deletes it.
sub _go_through
{
	my ($self, $service, $state, @further) = @_;
	_stay($service);
	return $self->{fleet}->remove($service) if !defined $state;
	$self->_set($service, { state => $state });
	return if !@further;
	$self->_later(
		$service,
		{
			polls => $self->{transition_polls},
			of_state => 1,
			change => sub { $_[0]->_go_through($_[1], @further) }
		});
	return;
}

# The service keeps its state.
sub _stay
{
	my ($service) = @_;
	$service->{waiting} =
	  [ grep { !$_->{of_state} } @{ $service->{waiting} // [] } ];
	return;
}

# Queues a change, { polls, change, … }.  "change" gets the service as an argument
# instead of keeping a reference.
sub _later
{
	my ($self, $service, $change) = @_;
	return $change->{change}->($self, $service) if $change->{polls} <= 0;
	push @{ $service->{waiting} }, $change;
	return;
}

sub _set
{
	my ($self, $service, $wanted) = @_;
	my $fields = $service->{fields};
	%$fields = (%$fields, %$wanted);
	delete @$fields{ grep { !defined $fields->{$_} } keys %$fields };
	$self->{fleet}->changed($service);
	return;
}

1;
