# Time series.  A value depends only on its service, series and time, so that
# overlapping windows agree.
package Emulator::Series;

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use POSIX      qw(ceil);
use Emulator::Random;

my $DAY = 86400;
my $TURN = 6.283185;

# key, unit, labels of the series, lowest, highest, name: description
my @METRICS = map { [ split ' ', $_, 6 ] } split /\n/, <<'END';
cpu_usage             %        user,system     1    60    CPU usage: CPU time by mode.
load_average          -        1m              0.1  12    Load average: Load of the last minute.
memory_usage          %        used,cached     10   90    Memory usage: Memory in use.
disk_usage            %        data            5    95    Disk usage: Storage in use.
disk_io               IOPS     Reads,Writes    1    4000  Disk I/O: Operations of the disks.
network_traffic       bytes/s  Received,Sent   1e3  1e8   Network traffic: Bytes on the network.
connection_count      count    active,idle     1    200   Connections: Connections by state.
cache_hit_ratio       %        hit             80   100   Cache hit ratio: Blocks found in the buffer cache.
operation_throughput  ops/s    insert,update   1    1e4   Operations: Rows changed.
deadlocks             count    sales           0.1  3     Deadlocks: Deadlocks in the bucket.
database_size         bytes    sales,postgres  8e6  4e11  Database size: Size by database.
transactions          tx/s     commit,rollback 0.1  5e3   Transactions: Transactions.
END

# Formats of values that are sent as strings or integers
my %FORM = (
	cpu_usage => '"%.2f"',
	connection_count => '%d',
	deadlocks => '%d',
	database_size => '"%d"');

# The buckets that begin in a half-open window: the number of the first one, and
# that of the one after the last
sub buckets
{
	my ($from, $to, $bucket) = @_;
	return (ceil($from / $bucket), ceil($to / $bucket));
}

sub json
{
	my ($seed, $service, $from, $to, $bucket) = @_;
	my ($first, $end) = buckets($from, $to, $bucket);
	my @times = map { $_ * $bucket } $first .. $end - 1;
	my @metrics =
	  map { _metric($seed, $service, $_, \@times, $bucket) } @METRICS;
	return '{"metrics":[' . join(',', @metrics) . ']}';
}

sub _metric
{
	my ($seed, $service, $metric, $times, $bucket) = @_;
	my ($key, $unit, $labels, undef, undef, $text) = @$metric;
	my ($name, $description) = split /: /, $text;
	my $head = encode_json(
		{
			key => $key,
			name => $name,
			unit => $unit eq '-' ? undef : $unit,
			description => $description
		});
	$head =~ s/\}\z//;
	my @series = map { _series($seed, $service, $metric, $_, $times, $bucket) }
	  _labels($service, $labels);
	return "$head,\"series\":[" . join(',', @series) . ']}';
}

# The labels of a metric's series.  A described service has databases of its own.
sub _labels
{
	my ($service, $labels) = @_;
	my @labels = split /,/, $labels;
	return @labels if !$service->{model} || $labels[0] ne 'sales';
	return ($service->{model}->databases)[ 0 .. $#labels ];
}

sub _series
{
	my ($seed, $service, $metric, $label, $times, $bucket) = @_;
	my ($key, $unit, undef, $low, $high) = @$metric;
	my $random =
	  Emulator::Random->new($seed, 'series', $service->{number}, $key,
		$label);
	my $middle = $random->log_between($low, $high);
	my $phase = $random->fraction * $TURN;
	my $form = '{"timestamp":%d,"value":' . ($FORM{$key} // '%.3f') . '}';
	my @points;
	for my $time (@$times)
	{
		my $value =
		  $service->{model}
		  ? $service->{model}->point($key, $label, $time, $bucket)
		  : $middle *
		  (1 + 0.3 * sin($time / $DAY * $TURN + $phase) +
			  0.1 * sin($time * 12.9898 + $phase));
		$value = 100 if $unit eq '%' && $value > 100;
		push @points, sprintf $form, $time, $value;
	}
	return sprintf '{"label":"%s","dataPoints":[%s]}', $label, join ',',
	  @points;
}

1;
