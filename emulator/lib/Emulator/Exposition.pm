# Prometheus metrics as text. Counters grow with the clock, once a minute.
package Emulator::Exposition;

use strict;
use warnings;

use Encode qw(encode_utf8);
use Emulator::Random;

my $PREFIX = 'PostgresServer_';

# Counters of the test fleet grow from this time on; before it they are 0.
my $START = 1_735_689_600;

# Values of each label: a series per value
my %VALUES = (
	mode => [qw(user system idle iowait steal nice irq softirq)],
	device => [qw(nvme0n1 nvme1n1)],
	interface => [qw(eth0 lo)],
	database => [qw(sales reports postgres)],
	state =>
	  [ 'active', 'idle', 'idle in transaction', 'fastpath function call' ]);

# name, type, label, least and greatest value of a gauge or growth of a counter in
# a minute, help text
my @FAMILIES = map { [ split ' ', $_, 6 ] } split /\n/, <<'END';
CPUCores                     gauge    -          2      16     CPU cores of the server.
MemoryLimitBytes             gauge    -          8e9    128e9  Memory of the server, in bytes.
StorageLimitBytes            gauge    -          118e9  1900e9 Storage of the server, in bytes.
CPUSeconds_Total             counter  mode       0.1    60     CPU time by mode, in seconds.
MemoryUsedPercent            gauge    -          20     95     Memory in use, in percent.
MemoryCachePercent           gauge    -          5      60     Memory used as cache, in percent.
FilesystemUsedPercent        gauge    -          5      99     Storage in use, in percent.
DiskReads_Total              counter  device     10     90000  Disk reads.
DiskWrites_Total             counter  device     10     90000  Disk writes.
NetworkReceiveBytes_Total    counter  interface  1e4    1e9    Bytes received.
NetworkTransmitBytes_Total   counter  interface  1e4    1e9    Bytes sent.
TuplesFetched_Total          counter  database   10     1e7    Rows fetched.
TuplesInserted_Total         counter  database   1      1e5    Rows inserted.
TuplesUpdated_Total          counter  database   1      1e5    Rows updated.
TuplesDeleted_Total          counter  database   0.1    1e4    Rows deleted.
TransactionsCommitted_Total  counter  database   1      1e5    Transactions committed.
TransactionsRolledBack_Total counter  database   0.1    100    Transactions rolled back.
Deadlocks_Total              counter  database   0.0001 0.01   Deadlocks.
ActiveConnections            gauge    state      0.6    120    Connections by state.
CacheHitRatio                gauge    -          0.8    1      Share of blocks found in the buffer cache.
DatabaseSizeBytes            gauge    database   8e6    4e11   Size of a database, in bytes.\nIncludes C:\\its indexes.
END

# Formats of gauges other than %.3f
my %FORM = (
	CacheHitRatio => '%.6e',
	map { $_ => '%d' }
	  qw(CPUCores MemoryLimitBytes StorageLimitBytes
	  ActiveConnections DatabaseSizeBytes));

sub text
{
	my ($seed, $now, $organization, @services) = @_;
	my $minutes = $now > $START ? int(($now - $START) / 60) : 0;
	my @labels = map { _service_labels($organization, $_) } @services;
	my @lines = (
		'# HELP PostgresServiceInfo Status and version of the service.',
		'# TYPE PostgresServiceInfo gauge',
		map {
			sprintf 'PostgresServiceInfo{%s,%s} 1', $labels[$_],
			  _info_labels($services[$_])
		} 0 .. $#services);

	for my $family (@FAMILIES)
	{
		my ($name, $type, $label, undef, undef, $help) = @$family;
		push @lines, "# HELP $PREFIX$name $help", "# TYPE $PREFIX$name $type";
		for my $i (0 .. $#services)
		{
			for my $value (_label_values($services[$i], $label))
			{
				my $more = $value eq '' ? '' : qq(,$label="$value");
				push @lines, "$PREFIX$name\{$labels[$i]$more} "
				  . _value($seed, $services[$i], $family, $value, $minutes);
			}
		}
	}
	return encode_utf8(join "\n", @lines, '');
}

sub _label_values
{
	my ($service, $label) = @_;
	return $service->{model}->databases
	  if $label eq 'database' && $service->{model};
	return @{ $VALUES{$label} // [''] };
}

sub _value
{
	my ($seed, $service, $family, $value, $minutes) = @_;
	my ($name, $type, undef, $low, $high) = @$family;
	my $form = $FORM{$name} // ($type eq 'counter' ? '%d' : '%.3f');
	return sprintf $form,
	  $service->{model}->sample($name, $value, $START + 60 * $minutes)
	  if $service->{model};
	my $random =
	  Emulator::Random->new($seed, 'exposition', $service->{number},
		$name, $value);
	my $number = $random->log_between($low, $high);
	return sprintf $form, $type eq 'counter' ? $number * $minutes : $number;
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
