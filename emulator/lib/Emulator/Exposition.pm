# Prometheus metrics as text. Counters grow with the clock, once a minute.
package Emulator::Exposition;

use strict;
use warnings;

use Encode qw(encode_utf8);
use Emulator::Levels;

my $PREFIX = 'PostgresServer_';

# Counters of the test fleet grow from this time on; before it they are 0.
my $START = 1_735_689_600;

# Values of each label: a series per value
my %VALUES = (
	mode => [qw(user system idle iowait steal nice irq softirq)],
	state =>
	  [ 'active', 'idle', 'idle in transaction', 'fastpath function call' ]);

# name, type, label, help text
my @FAMILIES = map { [ split ' ', $_, 4 ] } split /\n/, <<'END';
CPUCores                     gauge    -        CPU cores of the server.
MemoryLimitBytes             gauge    -        Memory of the server, in bytes.
StorageLimitBytes            gauge    -        Storage of the server, in bytes.
CPUSeconds_Total             counter  mode     CPU time by mode, in seconds.
MemoryUsedPercent            gauge    -        Memory in use, in percent.
MemoryCachePercent           gauge    -        Memory used as cache, in percent.
FilesystemUsedPercent        gauge    -        Storage in use, in percent.
DiskReads_Total              counter  -        Disk reads.
DiskWrites_Total             counter  -        Disk writes.
NetworkReceiveBytes_Total    counter  -        Bytes received.
NetworkTransmitBytes_Total   counter  -        Bytes sent.
TuplesFetched_Total          counter  -        Rows fetched.
TuplesInserted_Total         counter  -        Rows inserted.
TuplesUpdated_Total          counter  -        Rows updated.
TuplesDeleted_Total          counter  -        Rows deleted.
TransactionsCommitted_Total  counter  -        Transactions committed.
TransactionsRolledBack_Total counter  -        Transactions rolled back.
Deadlocks_Total              counter  -        Deadlocks.
ActiveConnections            gauge    state    Connections by state.
CacheHitRatio                gauge    -        Share of blocks found in the buffer cache.
DatabaseSizeBytes            gauge    database Size of a database, in bytes.\nIncludes C:\\its indexes.
END

# Formats of gauges other than %.3f
my %FORM = (
	CacheHitRatio => '%.6e',
	map { $_ => '%d' }
	  qw(CPUCores MemoryLimitBytes StorageLimitBytes
	  ActiveConnections DatabaseSizeBytes));

sub text
{
	my ($fleet, $now, $organization, @services) = @_;
	my $minutes = $now > $START ? int(($now - $START) / 60) : 0;
	my @labels = map { _service_labels($organization, $_) } @services;
	my @levels = map { $fleet->levels($_) } @services;
	my @lines = (
		'# HELP PostgresServiceInfo Status and version of the service.',
		'# TYPE PostgresServiceInfo gauge',
		map {
			sprintf 'PostgresServiceInfo{%s,%s} 1', $labels[$_],
			  _info_labels($services[$_])
		} 0 .. $#services);

	for my $family (@FAMILIES)
	{
		my ($name, $type, $label, $help) = @$family;
		push @lines, "# HELP $PREFIX$name $help", "# TYPE $PREFIX$name $type";
		for my $i (0 .. $#services)
		{
			for my $value (_label_values($levels[$i], $label))
			{
				my $more = $value eq '' ? '' : qq(,$label="$value");
				push @lines, "$PREFIX$name\{$labels[$i]$more} "
				  . _value($levels[$i], $family, $value, $minutes);
			}
		}
	}
	return encode_utf8(join "\n", @lines, '');
}

sub _label_values
{
	my ($levels, $label) = @_;
	return $levels->databases if $label eq 'database';
	return @{ $VALUES{$label} // [''] };
}

# A model knows the value at a time, levels how a counter grows in a second.
sub _value
{
	my ($levels, $family, $value, $minutes) = @_;
	my ($name, $type) = @$family;
	my $form = $FORM{$name} // ($type eq 'counter' ? '%d' : '%.3f');
	my $number = $levels->sample($name, $value, $START + 60 * $minutes);
	$number *= 60 * $minutes
	  if $type eq 'counter' && $levels->isa('Emulator::Levels');
	return sprintf $form, $number;
}

sub _service_labels
{
	my ($organization, $service) = @_;
	return _labels(
		clickhouse_org => $organization,
		postgres_service => $service->{fields}{id},
		postgres_service_name => $service->{fields}{name});
}

sub _info_labels
{
	my ($service) = @_;
	return _labels(
		postgres_status => $service->{fields}{state},
		postgres_version => $service->{fields}{postgresVersion});
}

# A field that a reset has removed gives an empty label.
sub _labels
{
	my (@pairs) = @_;
	my @labels;
	while (my ($name, $value) = splice @pairs, 0, 2)
	{
		my $text = ($value // '') =~ s/([\\"])/\\$1/gr;
		$text =~ s/\n/\\n/g;
		push @labels, qq($name="$text");
	}
	return join ',', @labels;
}

1;
