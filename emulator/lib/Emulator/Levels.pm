# How much of its machine a service of the test fleet uses: one description, from
# which Prometheus and the time series follow, so that they agree with each other and
# with the service's size and storage.
package Emulator::Levels;

use strict;
use warnings;

use Emulator::Random;
use Emulator::Series;

my $GIB = 1024**3;
my $TURN = 6.283185;
my $DAY = 86400;

# GiB of storage of a service whose fields do not say it
my $USUAL_STORAGE = 118;

# Of what the storage holds, the databases have this share; WAL and others the rest.
my $DATABASES_SHARE = 0.93;
my @SHARES = (0.55, 0.24, 0.12, 0.06, 0.03);
my $POSTGRES_BYTES = 8_200_000;

# By CPU mode, the share of the time in which the machine is not idle
my %BUSY = (
	user => 0.7,
	system => 0.2,
	iowait => 0.06,
	softirq => 0.03,
	steal => 0.01);

# Of a service with these databases, the largest first
sub new
{
	my ($class, $seed, $service, @databases) = @_;
	my $random = Emulator::Random->new($seed, 'levels', $service->{number});
	my $fields = $service->{fields};
	my ($cores, $memory) = _machine($fields->{size} // '');
	my $calls = $random->log_between(5, 900) * $cores;
	my $used = $random->between(22, 60);
	my $active = $random->between(1, 2 * $cores);
	my $idle = $random->between(4, 60);
	my $self = bless {
		databases => \@databases,
		phase => $random->fraction * $TURN,
		cores => $cores,
		memory_bytes => $memory * $GIB,
		storage_bytes =>
		  ($fields->{storageSize} // $USUAL_STORAGE) * $GIB,
		storage_percent => $random->between(800, 8000) / 100,
		busy => $random->log_between(0.04, 0.55),
		memory_used => $used,
		memory_cached => $random->between(12, 36),
		memory_committed => 0.8 * $used,
		active => $active,
		idle => $idle,
		in_transaction => int($active / 3),
		hit_ratio => 1 - $random->log_between(0.0005, 0.08),
		commits => $calls,
		rollbacks => $calls * $random->log_between(0.0005, 0.01),
		deadlocks => $random->log_between(1e-6, 1e-4),
		fetch => $calls * $random->between(4, 40),
		insert => $calls * 0.31,
		update => $calls * 0.22,
		delete => $calls * 0.03,
		reads => $calls * 0.7,
		writes => $calls * 0.5,
		received => $calls * 310,
		transmitted => $calls * 1900
	}, $class;
	return $self;
}

# Cores and GiB of memory of a size's name
sub _machine
{
	my ($size) = @_;
	my $cores = 2;
	$cores = $1     if $size =~ /-(\d+)(?:-lssd)?\z/;
	$cores = 4 * $1 if $size =~ /\.(\d+)xlarge\z/;
	$cores = 4      if $size =~ /\.xlarge\z/;
	$cores = 1      if $size =~ /\.medium\z/;
	return ($cores, $cores * ($size =~ /\A(?:[ri]\d|\w+-highmem)/ ? 8 : 4));
}

sub databases
{
	my ($self) = @_;
	return (@{ $self->{databases} }, 'postgres');
}

# The databases fill the storage that is used, but for what is no database.
sub _database_bytes
{
	my ($self, $name) = @_;
	return $POSTGRES_BYTES if $name eq 'postgres';
	my ($place) =
	  grep { $self->{databases}[$_] eq $name } 0 .. $#{ $self->{databases} };
	my $bytes = $self->{storage_bytes} * $self->{storage_percent} / 100;
	return int(
		($bytes * $DATABASES_SHARE - $POSTGRES_BYTES) * $SHARES[$place]);
}

# The machine's time by mode, in cores
sub _cores_in
{
	my ($self, $mode) = @_;
	return $self->{cores} * (1 - $self->{busy}) if $mode eq 'idle';
	return $self->{cores} * $self->{busy} * ($BUSY{$mode} // 0);
}

# Prometheus: by family, of the value of its label.  Of a counter it is the growth
# in a second.
my %SAMPLE = (
	CPUCores => sub { $_[0]{cores} },
	MemoryLimitBytes => sub { $_[0]{memory_bytes} },
	StorageLimitBytes => sub { $_[0]{storage_bytes} },
	CPUSeconds_Total => \&_cores_in,
	MemoryUsedPercent => sub { $_[0]{memory_used} },
	MemoryCachePercent => sub { $_[0]{memory_cached} },
	FilesystemUsedPercent => sub { $_[0]{storage_percent} },
	DiskReads_Total => sub { $_[0]{reads} },
	DiskWrites_Total => sub { $_[0]{writes} },
	NetworkReceiveBytes_Total => sub { $_[0]{received} },
	NetworkTransmitBytes_Total => sub { $_[0]{transmitted} },
	TuplesFetched_Total => sub { $_[0]{fetch} },
	TuplesInserted_Total => sub { $_[0]{insert} },
	TuplesUpdated_Total => sub { $_[0]{update} },
	TuplesDeleted_Total => sub { $_[0]{delete} },
	TransactionsCommitted_Total => sub { $_[0]{commits} },
	TransactionsRolledBack_Total => sub { $_[0]{rollbacks} },
	Deadlocks_Total => sub { $_[0]{deadlocks} },
	ActiveConnections => sub {
		my ($self, $state) = @_;
		return $self->{ { active => 'active', idle => 'idle',
				'idle in transaction' => 'in_transaction' }->{$state} // '' } // 0;
	},
	CacheHitRatio => sub { $_[0]{hit_ratio} },
	DatabaseSizeBytes => \&_database_bytes);

sub sample
{
	my ($self, $family, $value) = @_;
	return $SAMPLE{$family}->($self, $value);
}

# Time series: by metric, of the label of its series; the mean of its points
my %MEAN = (
	cpu_usage => sub {
		my ($self, $mode) = @_;
		return 100 * $self->_cores_in($mode) / $self->{cores};
	},
	load_average => sub { $_[0]{cores} * $_[0]{busy} },
	memory_usage => sub {
		return $_[0]{memory_cached}    if $_[1] eq 'Cache & Buffers';
		return $_[0]{memory_committed} if $_[1] eq 'Committed Memory';
		return $_[0]{memory_used};
	},
	disk_usage => sub { $_[0]{storage_percent} },
	disk_io => sub { $_[0]{ lc $_[1] } },
	network_traffic => sub { $_[0]{ lc $_[1] } },
	connection_count => sub {
		my ($self, $label) = @_;
		return $self->{active} if $label eq 'Active';
		return $self->{active} + $self->{idle} + $self->{in_transaction};
	},
	cache_hit_ratio => sub { 100 * $_[0]{hit_ratio} },
	operation_throughput => sub { $_[0]{ lc $_[1] } },
	deadlocks => sub { $_[0]{deadlocks} },
	database_size => \&_database_bytes,
	transactions => sub { $_[0]{ lc $_[1] } },
	wait_events => \&_waiting,
	lock_waits => sub { $_[0]->_waiting("Lock:$_[1]") });

sub _waiting
{
	my ($self, $event) = @_;
	return Emulator::Series::waiting($event, $self->{active},
		$self->{idle} + $self->{in_transaction});
}

# Metrics that vary little, and those that do not at all
my %VARIATION = (
	memory_usage => 0.05,
	cache_hit_ratio => 0.01,
	disk_usage => 0,
	database_size => 0);

sub point
{
	my ($self, $metric, $label, $time) = @_;
	my $mean = $MEAN{$metric}->($self, $label);
	my $wave = 0.3 * sin($time / $DAY * $TURN + $self->{phase}) +
	  0.1 * sin($time * 12.9898 + $self->{phase});
	return $mean * (1 + ($VARIATION{$metric} // 1) * $wave);
}

1;
