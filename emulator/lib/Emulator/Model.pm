# A service whose patterns, metrics and log follow from one description of what
# runs there (see Emulator::Fleet::Demo), so that all routes agree.
package Emulator::Model;

use strict;
use warnings;

use List::Util qw(sum0);
use POSIX      qw(ceil);
use Emulator::Fleet::Demo;
use Emulator::Load;
use Emulator::Patterns;
use Emulator::Random;
use Emulator::Series;

my $HOUR = 3600;
my $BLOCK_BYTES = 8192;

# By CPU mode, the share of the time in which a core works; and the cores that wait
# for the disks
my %CPU_PART = (user => 0.8, system => 0.2);
my $IOWAIT = 0.004;

# How a quantity grows in an hour of load 1, without events; microseconds of
# time, else counts.  Time and blocks are those of all executions.
my %PER_HOUR = (
	calls => sub { $_[0]{text} eq '' ? 0 : $_[0]{calls} },
	errors => sub { $_[0]{text} eq '' ? $_[0]{calls} : 0 },
	rows => sub { $_[0]{calls} * $_[0]{rows} },
	micros => sub { $_[0]{calls} * $_[0]{micros} },
	cpu_micros =>
	  sub { $_[0]{calls} * $_[0]{micros} * $_[0]{cpu_percent} / 100 },
	blocks => sub { $_[0]{calls} * $_[0]{blocks} },
	blocks_read =>
	  sub { $_[0]{calls} * $_[0]{blocks} * $_[0]{read_percent} / 100 },
	wal_bytes => sub { $_[0]{calls} * $_[0]{wal_bytes} });

for my $operation (qw(INSERT UPDATE DELETE))
{
	$PER_HOUR{ lc $operation } =
	  sub { $_[0]{operation} eq $operation ? $_[0]{calls} * $_[0]{rows} : 0 };
}

# What else than the number of executions an event changes in a quantity
my %ALSO = (
	micros => 'micros',
	cpu_micros => 'micros',
	blocks => 'blocks',
	blocks_read => 'blocks');

# "service" is the fleet's, "entry" its description, "anchor" the epoch second
# from which events count back.
sub new
{
	my ($class, $seed, $service, $entry, $anchor) = @_;
	my $self = bless {
		seed => $seed,
		service => $service,
		entry => $entry,
		anchor => $anchor,
		created => $anchor - 86_400 * $entry->{age_days},
		load => Emulator::Load->new(@$entry{qw(shape shape)}),
		hours => {}
	}, $class;
	$self->{patterns} = [ $self->_patterns ];
	my @steady = grep { !@{ $_->{events} } } @{ $self->{patterns} };
	$self->{eventful} = [ grep { @{ $_->{events} } } @{ $self->{patterns} } ];
	for my $quantity (keys %PER_HOUR)
	{
		$self->{steady}{$quantity} =
		  sum0(map { $PER_HOUR{$quantity}->($_) } @steady);
	}
	return $self;
}

# Patterns with their number, rate, and events
sub _patterns
{
	my ($self) = @_;
	my ($entry, $name) = ($self->{entry}, $self->{service}{name});
	my $full_hour = $HOUR * int($self->{anchor} / $HOUR);
	my $number = 0;
	my @patterns;
	for my $plain (@{ $entry->{patterns} }, @Emulator::Fleet::Demo::EVERYWHERE)
	{
		my $monitoring = $plain->{app} eq 'bin/monitor';
		my %pattern = (%$plain, number => $number++);
		$pattern{calls} *= $entry->{scale} // 1 if !$monitoring;
		$pattern{db} = $monitoring ? 'postgres' : $entry->{database};
		$pattern{query_id} =
		  Emulator::Patterns::query_id($self->{seed}, $name, $plain->{text});
		my $label = $plain->{text} eq '' ? "$plain->{app} errors" : $plain->{text};
		$pattern{events} = [
			map {
				+{
					%$_,
					from => $full_hour + $HOUR * $_->{from},
					to => defined $_->{to}
					? $full_hour + $HOUR * $_->{to}
					: 9**9**9
				}
			} grep { $label =~ $_->{pattern} } @{ $entry->{events} // [] }
		];
		push @patterns, \%pattern;
	}
	return @patterns;
}

sub config
{
	my ($self) = @_;
	my $own = $self->{entry}{config} // {};
	my $common = \%Emulator::Fleet::Demo::CONFIG;
	return { map { $_ => { %{ $common->{$_} }, %{ $own->{$_} // {} } } }
		  keys %$common };
}

sub databases
{
	my ($self) = @_;
	return ($self->{entry}{database}, 'postgres');
}

sub patterns
{
	my ($self, $from, $to, $query_id) = @_;
	return Emulator::Patterns->of_rows(
		grep { defined } map { $self->_sum($_, $from, $to) }
		grep { !defined $query_id || $_->{query_id} eq $query_id }
		  @{ $self->{patterns} });
}

# The row of a pattern for a window; undef if it did not run
sub _sum
{
	my ($self, $pattern, $from, $to) = @_;
	my %sum;
	for my $hour (int($from / $HOUR) .. ceil($to / $HOUR) - 1)
	{
		my ($begin, $end) = ($HOUR * $hour, $HOUR * ($hour + 1));
		$begin = $from if $begin < $from;
		$end = $to if $end > $to;
		my $whole = $self->_hour($pattern, $hour);
		# The calls that are done at both ends, so that windows add up
		my ($before, $done) =
		  map { int($whole->{calls} * ($_ - $HOUR * $hour) / $HOUR + 0.5) }
		  $begin, $end;
		my $calls = $done - $before or next;
		$sum{calls} += $calls;
		$sum{$_} += $calls * $whole->{$_}
		  for qw(micros blocks p50 p95 p99);
		$sum{max} = $whole->{max} if $whole->{max} > ($sum{max} // 0);
	}
	return undef if !$sum{calls};
	return $self->_row($pattern, \%sum);
}

# From sums over executions
sub _row
{
	my ($self, $pattern, $sum) = @_;
	my $calls = $sum->{calls};
	my $failed = $pattern->{text} eq '';
	my $read = int($sum->{blocks} * $pattern->{read_percent} / 100);
	return {
		number => $pattern->{number},
		queryId => $pattern->{query_id},
		queryText => $pattern->{text},
		dbName => $pattern->{db},
		dbUser => $pattern->{user},
		dbOperation => $pattern->{operation},
		app => $pattern->{app},
		callCount => $calls,
		errorCount => $failed ? $calls : 0,
		totalDurationUs => $sum->{micros},
		avgDurationUs => $sum->{micros} / $calls,
		maxDurationUs => $sum->{max},
		p50DurationUs => $sum->{p50} / $calls,
		p95DurationUs => $sum->{p95} / $calls,
		p99DurationUs => $sum->{p99} / $calls,
		totalRows => int($calls * $pattern->{rows}),
		totalSharedBlksRead => $read,
		totalSharedBlksHit => int($sum->{blocks}) - $read,
		totalCpuTimeUs => $sum->{micros} * $pattern->{cpu_percent} / 100,
		totalWalBytes => int($calls * $pattern->{wal_bytes}),
		error => $self->{entry}{error},
		at => sub { $self->_row_at($pattern, $_[0]) }
	};
}

# The row of the hour of a moment; undef if the pattern did not run in it
sub _row_at
{
	my ($self, $pattern, $time) = @_;
	my $begin = $HOUR * int($time / $HOUR);
	return $self->_sum($pattern, $begin, $begin + $HOUR);
}

# An hour of a pattern: calls, and of each execution the rest
sub _hour
{
	my ($self, $pattern, $hour) = @_;
	return $self->{hours}{"$pattern->{number} $hour"} //= do
	{
		my $random = Emulator::Random->new($self->{seed},
			$self->{service}{name}, 'hour', $pattern->{number}, $hour);
		my $factor = _factors($pattern, $HOUR * $hour);
		my $load =
		  $pattern->{app} eq 'bin/monitor' ? 1 : $self->{load}->of_hour($hour);
		my $micros = $pattern->{micros} * $factor->{micros} * _about($random);
		{
			calls => int($pattern->{calls} * $load * $factor->{calls} *
				  _about($random) + $random->fraction),
			micros => $micros,
			blocks => $pattern->{blocks} * $factor->{blocks} * _about($random),
			p50 => $micros * 0.82 * _about($random),
			p95 => $micros * 2.1 * _about($random),
			p99 => $micros * 3.3 * _about($random),
			max => $micros * (9 + 6 * $random->fraction)
		};
	};
}

sub _about
{
	my ($random) = @_;
	return 0.96 + 0.08 * $random->fraction;
}

# By what the events of a moment multiply a pattern's calls, micros and blocks
sub _factors
{
	my ($pattern, $time) = @_;
	my %factor = map { $_ => 1 } qw(calls micros blocks);
	for my $event (@{ $pattern->{events} })
	{
		next if $time < $event->{from} || $time >= $event->{to};
		$factor{$_} *= $event->{$_} // 1 for keys %factor;
	}
	return \%factor;
}

# How much of a quantity there is per second at a moment
sub _rate
{
	my ($self, $quantity, $time) = @_;
	my $sum = $self->{steady}{$quantity};
	for my $pattern (@{ $self->{eventful} })
	{
		my $factor = _factors($pattern, $time);
		$sum += $PER_HOUR{$quantity}->($pattern) * $factor->{calls} *
		  ($ALSO{$quantity} ? $factor->{ $ALSO{$quantity} } : 1);
	}
	return $sum * $self->{load}->at($time) / $HOUR;
}

# How much of a quantity there was from the service's creation to a moment
sub _total
{
	my ($self, $quantity, $time) = @_;
	my $whole = $self->{load}->between($self->{created}, $time);
	my $sum = $self->{steady}{$quantity} * $whole;
	for my $pattern (@{ $self->{eventful} })
	{
		my $hours = $whole;
		for my $event (@{ $pattern->{events} })
		{
			my $end = $event->{to} < $time ? $event->{to} : $time;
			my $factor = ($event->{calls} // 1) *
			  ($event->{ $ALSO{$quantity} // '' } // 1);
			$hours += ($factor - 1) *
			  $self->{load}->between($event->{from}, $end);
		}
		$sum += $PER_HOUR{$quantity}->($pattern) * $hours;
	}
	return $sum;
}

# What metrics show at a moment.  A session is active for three times as long as
# its statements run, since it waits for the client within transactions.
my %LEVEL = (
	cores => sub { $_[0]{entry}{cores} },
	memory_bytes => sub { $_[0]{entry}{memory_gb} * 1024**3 },
	storage_bytes => sub { $_[0]{service}{fields}{storageSize} * 1024**3 },
	cores_used => sub { 0.02 + $_[0]->_rate('cpu_micros', $_[1]) / 1e6 },
	memory_used => sub { $_[0]->_wave($_[0]{entry}{memory_used}, $_[1]) },
	memory_cached => sub { $_[0]->_wave($_[0]{entry}{memory_cached}, $_[1]) },
	storage_used => sub {
		my ($self, $time) = @_;
		my $days = ($time - $self->{anchor}) / 86_400;
		my $percent =
		  $self->{entry}{storage_used} + $self->{entry}{growth} * $days;
		return $percent > 5 ? $percent : 5;
	},
	active => sub { 1 + 3 * $_[0]->_rate('micros', $_[1]) / 1e6 },
	idle => sub {
		my ($self, $time) = @_;
		my $idle = $self->{entry}{pool} - $self->_level('active', $time);
		return $idle > 0 ? $idle : 0;
	},
	hit_ratio => sub {
		my ($self, $time) = @_;
		return 1 - $self->_rate('blocks_read', $time) /
		  ($self->_rate('blocks', $time) || 1);
	});

sub _level
{
	my ($self, $name, $time) = @_;
	return $LEVEL{$name}->($self, $time);
}

# A value that hardly varies
sub _wave
{
	my ($self, $middle, $time) = @_;
	return $middle * (1 + 0.02 * sin($time / 7_200 + $self->{anchor}));
}

sub _database_bytes
{
	my ($self, $database, $time) = @_;
	return 8_200_000 if $database eq 'postgres';
	return 0.93 * $self->_level('storage_bytes', $time) *
	  $self->_level('storage_used', $time) / 100;
}

# Prometheus: by family, of the value of its label
my %SAMPLE = (
	CPUCores => sub { $_[0]->_level('cores', $_[2]) },
	MemoryLimitBytes => sub { $_[0]->_level('memory_bytes', $_[2]) },
	StorageLimitBytes => sub { $_[0]->_level('storage_bytes', $_[2]) },
	CPUSeconds_Total => \&_cpu_seconds,
	MemoryUsedPercent => sub { $_[0]->_level('memory_used', $_[2]) },
	MemoryCachePercent => sub { $_[0]->_level('memory_cached', $_[2]) },
	FilesystemUsedPercent => sub { $_[0]->_level('storage_used', $_[2]) },
	DiskReads_Total => sub { $_[0]->_total('blocks_read', $_[2]) },
	DiskWrites_Total =>
	  sub { $_[0]->_total('wal_bytes', $_[2]) * 2 / $BLOCK_BYTES },
	NetworkReceiveBytes_Total =>
	  sub { 140 * $_[0]->_total('calls', $_[2]) },
	NetworkTransmitBytes_Total =>
	  sub { 190 * $_[0]->_total('rows', $_[2]) },
	TuplesFetched_Total => sub { $_[0]->_total('rows', $_[2]) },
	TuplesInserted_Total => sub { $_[0]->_total('insert', $_[2]) },
	TuplesUpdated_Total => sub { $_[0]->_total('update', $_[2]) },
	TuplesDeleted_Total => sub { $_[0]->_total('delete', $_[2]) },
	TransactionsCommitted_Total => sub { $_[0]->_total('calls', $_[2]) },
	TransactionsRolledBack_Total => sub { $_[0]->_total('errors', $_[2]) },
	Deadlocks_Total =>
	  sub { $_[0]->_deadlocks(undef, $_[2]) },
	ActiveConnections =>
	  sub { $LEVEL{ $_[1] } ? $_[0]->_level($_[1], $_[2]) : 0 },
	CacheHitRatio => sub { $_[0]->_level('hit_ratio', $_[2]) },
	DatabaseSizeBytes => \&_database_bytes);

sub sample
{
	my ($self, $family, $value, $time) = @_;
	return $SAMPLE{$family}->($self, $value, $time);
}

sub _cpu_seconds
{
	my ($self, $mode, $time) = @_;
	my $age = $time - $self->{created};
	my $busy = 0.02 * $age + $self->_total('cpu_micros', $time) / 1e6;
	return $CPU_PART{$mode} * $busy if $CPU_PART{$mode};
	return $IOWAIT * $age           if $mode eq 'iowait';
	return 0                        if $mode ne 'idle';
	return $self->{entry}{cores} * $age - $busy - $IOWAIT * $age;
}

# Errors that are deadlocks: in so many seconds before a moment, or in all
sub _deadlocks
{
	my ($self, $seconds, $time) = @_;
	my $error = $self->{entry}{error};
	return 0 if !$error || $error->[0] ne '40P01';
	my $total = $self->_total('errors', $time);
	return $total if !defined $seconds;
	return $total - $self->_total('errors', $time - $seconds);
}

# Time series: by metric, of the label of its series, in a bucket of so many
# seconds
my %POINT = (
	cpu_usage => sub {
		my ($self, $label, $time) = @_;
		my $part = $CPU_PART{$label} // return $label eq 'iowait'
		  ? 100 * $IOWAIT / $self->{entry}{cores}
		  : 0;
		return $part * 100 *
		  $self->_level('cores_used', $time) / $self->{entry}{cores};
	},
	load_average => sub {
		my ($self, $label, $time) = @_;
		my ($minutes) = $label =~ /(\d+)/;
		return $self->_level('cores_used', $time - 30 * $minutes);
	},
	memory_usage => sub {
		my ($self, $label, $time) = @_;
		return $self->_level('memory_cached', $time)
		  if $label eq 'Cache & Buffers';
		return $self->_level('memory_used', $time) *
		  ($label eq 'Committed Memory' ? 0.8 : 1);
	},
	disk_usage => sub { $_[0]->_level('storage_used', $_[2]) },
	disk_io => sub {
		my ($self, $label, $time) = @_;
		return $self->_rate('blocks_read', $time) if $label eq 'Reads';
		return $self->_rate('wal_bytes', $time) * 2 / $BLOCK_BYTES;
	},
	network_traffic => sub {
		my ($self, $label, $time) = @_;
		return 140 * $self->_rate('calls', $time) if $label eq 'Received';
		return 190 * $self->_rate('rows', $time);
	},
	connection_count => sub {
		my ($self, $label, $time) = @_;
		my $active = $self->_level('active', $time);
		return $label eq 'Active'
		  ? $active
		  : $active + $self->_level('idle', $time);
	},
	cache_hit_ratio => sub { 100 * $_[0]->_level('hit_ratio', $_[2]) },
	operation_throughput => sub {
		$_[0]->_rate($_[1] eq 'Fetch' ? 'rows' : lc $_[1], $_[2]);
	},
	deadlocks => sub { $_[0]->_deadlocks($_[3], $_[2] + $_[3]) / $_[3] },
	database_size => \&_database_bytes,
	transactions =>
	  sub { $_[0]->_rate($_[1] eq 'Commits' ? 'calls' : 'errors', $_[2]) },
	wait_events => \&_waiting,
	lock_waits => sub { $_[0]->_waiting("Lock:$_[1]", $_[2]) });

sub _waiting
{
	my ($self, $event, $time) = @_;
	return Emulator::Series::waiting($event,
		map { $self->_level($_, $time) } qw(active idle));
}

# A point depends on its time only, but for the deadlocks of its bucket.
sub point
{
	my ($self, $metric, $label, $time, $bucket) = @_;
	my $value = $POINT{$metric}->($self, $label, $time, $bucket);
	return $value
	  if $metric =~ /\A(?:deadlocks|disk_usage|database_size|cache_hit_ratio)\z/;
	return $value * (1 + 0.02 * sin($time * 12.9898 + length $label));
}

# The lines that an hour of the log is made of, each as often as it may occur:
# severity, a form with a number, and the database
sub log_forms
{
	my ($self, $hour) = @_;
	my ($entry, @forms) = $self->{entry};
	my @patterns = grep { $_->{app} ne 'bin/monitor' } @{ $self->{patterns} };
	my $random =
	  Emulator::Random->new($self->{seed}, $self->{service}{name}, 'log',
		$hour);
	for my $line (@Emulator::Fleet::Demo::LOG)
	{
		my ($times, $severity, $form) = @$line;
		for (1 .. $times)
		{
			my $pattern = $random->pick(@patterns);
			my %word = (
				user => $pattern->{user},
				app => $pattern->{app},
				database => $entry->{database},
				table => $random->pick(@{ $entry->{tables} }));
			push @forms, [ $severity, $form =~ s/\{(\w+)\}/$word{$1}/gr ];
		}
	}
	for my $pattern (@patterns)
	{
		my $factor = _factors($pattern, $HOUR * $hour);
		push @forms,
		  ([ 'ERROR', "$entry->{error}[1] (process %d)" ]) x 40
		  if $pattern->{text} eq '' && $factor->{calls} > 1;
		# log_min_duration_statement
		my $milliseconds = $pattern->{micros} * $factor->{micros} / 1000;
		push @forms,
		  (
			[
				'LOG',
				sprintf 'duration: %d.%%.3s ms  execute <unnamed>: %s',
				$milliseconds, $pattern->{text} =~ s/%/%%/gr
			]) x 12
		  if $milliseconds >= 250;
	}
	return [ map { [ @$_, $entry->{database} ] } @forms ];
}

1;
