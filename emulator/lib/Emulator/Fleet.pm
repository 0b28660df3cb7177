# The organization and its services, made from the seed, a description and the
# overrides of a reset.  Patterns are made when they are first read.
package Emulator::Fleet;

use strict;
use warnings;

use List::Util      qw(max min);
use Mojo::JSON      qw(encode_json true false);
use Emulator::Access;
use Emulator::Clock qw(format_time);
use Emulator::Executions;
use Emulator::Fleet::Demo;
use Emulator::Levels;
use Emulator::Lifecycle;
use Emulator::Model;
use Emulator::Patterns;
use Emulator::Random;

our @NAMES = qw(test demo);

# Fields that the list omits
my @SINGLE_ONLY = qw(hostname username connectionString password ipAccessList
  earliestRestoreTime);

# The fleet of the tests: name, form of the id, provider, region, size, storage,
# version, HA
my @NAMED = map { [split] } split /\n/, <<'END';
orders     pg    aws  us-west-2     r8gd.large            118  18  sync
billing    uuid  aws  us-east-1     m8gd.xlarge           237  17  async
analytics  pg    aws  us-west-2     r8gd.4xlarge          950  18  none
sessions   uuid  gcp  us-central1   c4a-highmem-4-lssd    375  17  none
inventory  pg    gcp  europe-west4  c4a-standard-8-lssd   750  18  async
search     uuid  aws  eu-central-1  i7ie.large           1250  17  none
END

# Fields of single services; undef is a missing field.
my %ODD = (
	analytics => { isPrimary => false },
	sessions => { tags => [] },
	inventory => { isPrimary => undef, tags => undef },
	search => { state => 'stopped' });

my @REGIONS = (
	[ 'aws', 'us-east-2' ],
	[ 'aws', 'eu-west-1' ],
	[ 'aws', 'ap-southeast-1' ],
	[ 'gcp', 'us-east1' ],
	[ 'gcp', 'asia-northeast1' ]);
my %SIZES = (
	aws => [qw(r8gd.medium m6id.large i8g.2xlarge r6gd.xlarge)],
	gcp => [qw(c4a-standard-4-lssd c4a-highmem-16-lssd)]);
my @TEAMS = qw(payments platform growth data logistics);

# The id of the vendor's guide
my $ORDERS_ID = 'pg7myrd1j06p3gx4zrm2ze8qz6';

# options: access (Emulator::Access), fleet, seed, services, patterns, organizations, overrides (by name),
# pattern_overrides and slower (by name and place), and base, the epoch before which all
# recorded times lie.
sub new
{
	my ($class, %options) = @_;
	my $self = bless { %options, patterns_of => {} }, $class;
	$self->{described} =
	  $options{fleet} eq 'demo' ? \@Emulator::Fleet::Demo::SERVICES : [];
	$options{services} //= @{ $self->{described} } || @NAMED;
	$self->{organizations} =
	  [ $self->_organizations($options{organizations}) ];
	$self->{list} =
	  [ map { $self->_service($_) } 0 .. $options{services} - 1 ];
	$self->{next_number} = $options{services};
	$self->_override($options{overrides});
	_check_places('pattern_overrides', $options{pattern_overrides},
		\&Emulator::Patterns::check_override);
	_check_places('slower', $options{slower}, \&Emulator::Patterns::check_slower);
	$self->{by_id} = { map { $_->{fields}{id} => $_ } @{ $self->{list} } };
	return $self;
}

sub organization_ids
{
	my ($self) = @_;
	return map { $_->{id} } @{ $self->{organizations} };
}

sub organizations_json
{
	my ($self) = @_;
	return $self->{organizations_json} //=
	  encode_json($self->{organizations});
}

# All services belong to the first organization.
sub list_json
{
	my ($self, $organization) = @_;
	return '[]' if $organization ne ($self->organization_ids)[0];
	return $self->{list_json} //=
	  encode_json([ map { _list_item($_) } @{ $self->{list} } ]);
}

# undef if the organization has no such service
sub service
{
	my ($self, $organization, $id) = @_;
	return undef if $organization ne ($self->organization_ids)[0];
	return $self->{by_id}{$id};
}

sub services
{
	my ($self) = @_;
	return @{ $self->{list} };
}

sub by_id
{
	my ($self, $id) = @_;
	return $self->{by_id}{$id};
}

# Adds a service with these fields, an id and a host name.  It has no patterns.
sub add
{
	my ($self, $fields) = @_;
	my $number = $self->{next_number}++;
	my $name = $fields->{name};
	my $id = _service_id(
		'',
		$number % 2 ? 'uuid' : 'pg',
		Emulator::Random->new($self->{seed}, 'added', $number));
	my $hostname = $self->hostname($name, $id, @$fields{qw(region provider)});
	my $service = {
		number => $number,
		name => $name,
		fields => {
			ipAccessList => [@Emulator::Access::ANYWHERE],
			%$fields,
			id => $id,
			hostname => $hostname
		},
		storage_listed => $number % 2 == 0
	};
	$self->{patterns_of}{$number} =
	  Emulator::Patterns->new($self->{seed}, $name, $number, 0);
	push @{ $self->{list} }, $service;
	$self->changed($service);
	return $service;
}

sub remove
{
	my ($self, $service) = @_;
	$self->{list} = [ grep { $_ != $service } @{ $self->{list} } ];
	$self->changed($service);
	return;
}

# Call after every change of a service's fields.
sub changed
{
	my ($self, $service) = @_;
	delete $service->{json};
	delete $self->{list_json};
	$self->{by_id} = { map { $_->{fields}{id} => $_ } @{ $self->{list} } };
	return;
}

# The host name of a service with this name
sub hostname
{
	my ($self, $name, $id, $region, $provider) = @_;
	my $random = Emulator::Random->new($self->{seed}, 'host', $name, $id);
	my $label = lc $name =~ s/[^A-Za-z0-9]+/-/gr;
	return _hostname($label, $id, $region, $provider, $random);
}

sub service_json
{
	my ($self, $service) = @_;
	return $service->{json} //=
	  encode_json($self->{access}->shown($service->{fields}, 'get'));
}

# The patterns of a window, as far as it lies between two moments; with a query id,
# those that have it
sub patterns
{
	my ($self, $service, $from, $to, $kept_since, $now, @query_id) = @_;
	my @window = (max($from, $kept_since), min($to, $now), @query_id);
	return $service->{model}->patterns(@window) if $service->{model};
	my $name = $service->{name};
	my $patterns = $self->{patterns_of}{ $service->{number} } //=
	  Emulator::Patterns->new(
		$self->{seed}, $name, $service->{number}, $self->{patterns},
		overrides => $self->{pattern_overrides}{$name},
		slower => $self->{slower}{$name});
	return $patterns->window(@window);
}

# What Prometheus and the time series of a service show: its model, or levels, which
# follow its size and storage
sub levels
{
	my ($self, $service) = @_;
	return $service->{model} if $service->{model};
	my $fields = $service->{fields};
	my $machine = join ' ', map { $_ // '' } @$fields{qw(size storageSize)};
	return $service->{levels}{$machine} //=
	  Emulator::Levels->new($self->{seed}, $service,
		Emulator::Patterns::databases($service->{name}));
}

# [ epoch, JSON ] pairs, newest first
sub executions
{
	my ($self, $service, @patterns) = @_;
	my @all = map {
		Emulator::Executions::executions($self->{seed}, $service->{name},
			Emulator::Lifecycle::is_replica($service) ? 'standby' : 'primary',
			{ %$_, %{ $_->{measured} } },
			$self->{base})
	} @patterns;
	@all = sort { $b->[0] <=> $a->[0] } @all;
	splice @all, 10 if @all > 10;
	return @all;
}

sub _organizations
{
	my ($self, $count) = @_;
	my $first =
	  @{ $self->{described} } ? $Emulator::Fleet::Demo::ORGANIZATION : 'Acme Analytics';
	my @names = ($first, map { "Acme Division $_" } 2 .. $count);
	return map { $self->_organization($names[$_], $_) } 0 .. $count - 1;
}

sub _organization
{
	my ($self, $name, $number) = @_;
	my $random =
	  Emulator::Random->new($self->{seed}, 'organization', $number);
	return {
		id => $random->uuid,
		name => $name,
		createdAt => '2025-11-04T09:12:45.120Z',
		privateEndpoints => [],
		byocConfig => [],
		enableCoreDumps => true
	};
}

# { number, name, fields, storage_listed }.  Data depends on "name", which an
# override does not change.
sub _service
{
	my ($self, $number) = @_;
	return $self->_described($number) if $self->{described}[$number];
	my $random = Emulator::Random->new($self->{seed}, 'service', $number);
	my ($name, $id_form, $provider, $region, $size, $storage, $version, $ha)
	  = @{ $NAMED[$number] // _further($number, $random) };
	my $id = _service_id($name, $id_form, $random);
	my %fields = (
		id => $id,
		name => $name,
		provider => $provider,
		region => $region,
		postgresVersion => $version,
		size => $size,
		storageSize => 0 + $storage,
		haType => $ha,
		tags => _tags($random),
		isPrimary => true,
		state => 'running',
		createdAt => _created($number),
		username => 'postgres',
		hostname => _hostname($name, $id, $region, $provider, $random),
		ipAccessList => [@Emulator::Access::ANYWHERE],
		%{ $ODD{$name} // {} });
	delete @fields{ grep { !defined $fields{$_} } keys %fields };
	return {
		number => $number,
		name => $name,
		fields => \%fields,
		storage_listed => $number % 2 == 0
	};
}

sub _described
{
	my ($self, $number) = @_;
	my $entry = $self->{described}[$number];
	my $name = $entry->{name};
	my $random = Emulator::Random->new($self->{seed}, 'service', $name);
	my ($provider, $region, $size, $storage, $version, $ha) =
	  split ' ', $entry->{fields};
	my $id = $entry->{id} // _service_id($name, 'pg', $random);
	my $service = {
		number => $number,
		name => $name,
		fields => {
			id => $id,
			name => $name,
			provider => $provider,
			region => $region,
			postgresVersion => $version,
			size => $size,
			storageSize => 0 + $storage,
			haType => $ha,
			tags => [
				{ key => 'Environment', value => $entry->{environment} },
				{ key => 'team', value => $entry->{team} }
			],
			isPrimary => true,
			state => 'running',
			createdAt => format_time(
				$self->{base} - 86_400 * $entry->{age_days} - 4_321 * $number),
			username => 'postgres',
			hostname => _hostname($name, $id, $region, $provider, $random),
			ipAccessList => [@Emulator::Access::ANYWHERE]
		},
		storage_listed => 1
	};
	$service->{model} = Emulator::Model->new($self->{seed}, $service, $entry,
		$self->{base});
	$service->{config} = $service->{model}->config;
	return $service;
}

sub _further
{
	my ($number, $random) = @_;
	my ($provider, $region) = @{ $random->pick(@REGIONS) };
	return [
		sprintf('svc-%03d', $number + 1),
		$random->pick(qw(uuid pg)),
		$provider,
		$region,
		$random->pick(@{ $SIZES{$provider} }),
		$random->pick(59, 118, 237, 474),
		$random->pick(qw(17 18)),
		$random->pick(qw(none none async sync))
	];
}

sub _service_id
{
	my ($name, $form, $random) = @_;
	return $ORDERS_ID if $name eq 'orders';
	return $random->uuid if $form eq 'uuid';
	return 'pg' . join '', map { $random->pick('a' .. 'z', 0 .. 9) } 1 .. 24;
}

sub _tags
{
	my ($random) = @_;
	return [
		{
			key => 'Environment',
			value => $random->pick(qw(production production staging))
		},
		{ key => 'team', value => $random->pick(@TEAMS) }
	];
}

sub _created
{
	my ($number) = @_;
	# 2026-03-26T20:51:16.384Z, and a day per service
	my $epoch = 1774558276.384 + $number * 86_417;
	return format_time($epoch, $number % 4 == 3 ? '.mmm+00:00' : '.mmmZ');
}

sub _hostname
{
	my ($name, $id, $region, $provider, $random) = @_;
	return sprintf '%s-%s.%s.c0.%s.%s.pg.clickhouse.cloud', $name,
	  $random->hex_digits(8), $id, $region, $provider;
}

# Merges the overrides into the services they name; null removes a field.
sub _override
{
	my ($self, $overrides) = @_;
	my %service = map { $_->{name} => $_ } @{ $self->{list} };
	for my $name (sort keys %$overrides)
	{
		my $service = $service{$name}
		  or die "overrides: there is no service \"$name\"\n";
		my $wanted = $overrides->{$name};
		die "overrides: \"$name\" needs an object\n" if ref $wanted ne 'HASH';
		$service->{storage_listed} = 1 if exists $wanted->{storageSize};
		my $fields = $service->{fields};
		%$fields = (%$fields, %$wanted);
		delete @$fields{ grep { !defined $fields->{$_} } keys %$fields };
		die "overrides: \"$name\" needs an id\n" if !defined $fields->{id};
	}
	return;
}

# Checks what an option has, by name and place.
sub _check_places
{
	my ($option, $of_names, $check) = @_;
	for my $name (sort keys %$of_names)
	{
		my $by_place = $of_names->{$name};
		die "$option: \"$name\" needs an object\n"
		  if ref $by_place ne 'HASH';
		$check->("$name $_", $_, $by_place->{$_}) for sort keys %$by_place;
	}
	return;
}

sub _list_item
{
	my ($service) = @_;
	my %item = %{ $service->{fields} };
	delete @item{@SINGLE_ONLY};
	delete $item{storageSize} if !$service->{storage_listed};
	return \%item;
}

1;
